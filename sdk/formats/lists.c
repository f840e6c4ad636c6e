/* Small containers of identifiers; see cpuu/formats/lists.h. */
#include "internal.h"

#include <cpuu/formats/entryid.h>
#include <cpuu/formats/lists.h>

/* ---- entry list ------------------------------------------------------------------------------ */

bool cpuu_entry_list_open(cpuu_blob in, cpuu_entry_list *out, cpuu_fmt_error *err)
{
    cpuu_reader r;
    cpuu_entry_list list;
    memset(&list, 0, sizeof(list));
    cpuu_reader_init(&r, in.data, in.size);
    list.n = cpuu_read_u32(&r, "EntryCount");
    list.pad = cpuu_read_u32(&r, "Pad");
    if (list.n > cpuu_reader_left(&r) / 8)
        cpuu_reader_fail(&r, "EntryCount", "runs past the end");
    list.heads = cpuu_reader_sub(&r, r.failed ? 0 : 8 * list.n, "EntryLength");
    list.ids = r;
    cpuu_reader sizes = list.heads;
    for (uint32_t i = 0; i < list.n && !r.failed; i++) {
        cpuu_read_skip(&r, cpuu_read_u32(&sizes, "EntryLength"), "EntryId");
        cpuu_read_skip(&sizes, 4, "EntryLengthPad");
    }
    list.rest = fmt_blob_left(&r, "rest");
    if (!fmt_done(&r, err))
        return false;
    *out = list;
    return true;
}

bool cpuu_entry_list_next(cpuu_entry_list *list, cpuu_blob *eid, uint32_t *pad)
{
    if (list->n == 0)
        return false;
    list->n--;
    *eid = fmt_blob(&list->ids, cpuu_read_u32(&list->heads, "EntryLength"), "EntryId");
    *pad = cpuu_read_u32(&list->heads, "EntryLengthPad");
    return !list->ids.failed;
}

bool cpuu_entry_list_write(cpuu_buf *out, uint32_t pad, const cpuu_blob *eids, const uint32_t *pads,
                           uint32_t n)
{
    cpuu_buf_u32(out, n);
    cpuu_buf_u32(out, pad);
    for (uint32_t i = 0; i < n; i++) {
        cpuu_buf_u32(out, eids[i].size);
        cpuu_buf_u32(out, pads ? pads[i] : 0);
    }
    for (uint32_t i = 0; i < n; i++)
        fmt_add(out, eids[i]);
    return !out->failed;
}

bool cpuu_entry_list_rewrite(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out,
                             bool *replaced, cpuu_fmt_error *err)
{
    cpuu_entry_list list;
    cpuu_blob eid;
    uint32_t pad;
    if (!cpuu_entry_list_open(in, &list, err))
        return false;
    uint32_t n = list.n;
    size_t heads = out->size + 8;
    cpuu_buf_u32(out, n);
    cpuu_buf_u32(out, list.pad);
    cpuu_buf_add(out, list.heads.data, list.heads.size);
    for (uint32_t i = 0; i < n && !out->failed; i++) {
        size_t before = out->size;
        cpuu_entry_list_next(&list, &eid, &pad);
        cpuu_eid_rewrite(eid, cb, user, out, replaced);
        cpuu_buf_put_u32(out, heads + 8 * (size_t)i, (uint32_t)(out->size - before));
    }
    fmt_add(out, list.rest);
    return fmt_wrote(out, err);
}

/* ---- FLATENTRYLIST --------------------------------------------------------------------------- */

static uint32_t pad_of(uint32_t size)
{
    return (4 - size % 4) % 4;
}

static cpuu_blob read_flat(cpuu_reader *r, bool *padded)
{
    cpuu_blob eid = fmt_blob(r, cpuu_read_u32(r, "Size"), "EntryId");
    uint32_t pad = pad_of(eid.size);
    *padded = pad == 0 || cpuu_reader_left(r) != 0;
    if (*padded)
        cpuu_read_skip(r, pad, "Padding");
    return eid;
}

bool cpuu_flat_list_read(cpuu_reader *r, cpuu_flat_list *out)
{
    cpuu_flat_list list;
    list.n = cpuu_read_u32(r, "cEntries");
    list.entries = cpuu_reader_sub(r, cpuu_read_u32(r, "cbEntries"), "cbEntries");
    list.padded = true;
    cpuu_reader check = list.entries;
    for (uint32_t i = 0; i < list.n && !check.failed; i++)
        read_flat(&check, &list.padded);
    if (cpuu_reader_left(&check))
        cpuu_reader_fail(&check, "cbEntries", "is larger than the entries in it");
    if (!cpuu_reader_join(r, &check))
        return false;
    *out = list;
    return true;
}

bool cpuu_flat_list_next(cpuu_flat_list *list, cpuu_blob *eid)
{
    bool padded;
    if (list->n == 0)
        return false;
    list->n--;
    *eid = read_flat(&list->entries, &padded);
    return !list->entries.failed;
}

bool cpuu_flat_list_write(cpuu_buf *out, const cpuu_blob *eids, uint32_t n, bool padded)
{
    size_t start = out->size;
    cpuu_buf_u32(out, n);
    cpuu_buf_u32(out, 0);
    for (uint32_t i = 0; i < n; i++) {
        cpuu_buf_u32(out, eids[i].size);
        fmt_add(out, eids[i]);
        if (padded || i + 1 < n)
            cpuu_buf_fill(out, 0, pad_of(eids[i].size));
    }
    return cpuu_buf_put_u32(out, start + 4, (uint32_t)(out->size - start - 8));
}

bool cpuu_flat_list_rewrite(cpuu_reader *r, cpuu_link_cb cb, void *user, cpuu_buf *out,
                            bool *replaced)
{
    uint32_t from = r->pos;
    cpuu_flat_list list;
    cpuu_blob eid;
    bool changed = false;
    size_t start = out->size;
    if (!cpuu_flat_list_read(r, &list))
        return false;
    cpuu_buf_u32(out, list.n);
    cpuu_buf_u32(out, 0);
    while (!out->failed && cpuu_flat_list_next(&list, &eid)) {
        size_t before = out->size;
        cpuu_buf_u32(out, 0);
        cpuu_eid_rewrite(eid, cb, user, out, &changed);
        uint32_t size = (uint32_t)(out->size - before - 4);
        cpuu_buf_put_u32(out, before, size);
        if (list.padded || list.n)
            cpuu_buf_fill(out, 0, pad_of(size));
    }
    cpuu_buf_put_u32(out, start + 4, (uint32_t)(out->size - start - 8));
    if (changed && replaced)
        *replaced = true;
    if (!changed && !out->failed) {
        out->size = start;
        cpuu_buf_add(out, r->data + from, r->pos - from);
    }
    return !out->failed;
}

/* ---- PidTagAdditionalRenEntryIdsEx -------------------------------------------------------------
 */

#define REN_ENTRYID 1u
#define REN_END     0u

bool cpuu_ren_next(cpuu_reader *r, cpuu_ren_block *out)
{
    cpuu_ren_block block;
    if (cpuu_reader_left(r) == 0)
        return false;
    block.id = cpuu_read_u16(r, "PersistID");
    block.elements = cpuu_reader_sub(r, cpuu_read_u16(r, "DataElementsSize"), "DataElement");
    if (r->failed)
        return false;
    *out = block;
    return true;
}

bool cpuu_ren_element_next(cpuu_ren_block *block, cpuu_ren_element *out)
{
    cpuu_ren_element e;
    if (cpuu_reader_left(&block->elements) == 0)
        return false;
    e.id = cpuu_read_u16(&block->elements, "ElementID");
    e.data = fmt_blob(&block->elements, cpuu_read_u16(&block->elements, "ElementDataSize"),
                      "ElementData");
    if (block->elements.failed)
        return false;
    *out = e;
    return true;
}

static void put_size16(cpuu_buf *out, size_t at, size_t n)
{
    if (n > UINT16_MAX)
        out->failed = true;
    cpuu_buf_put_u16(out, at, (uint16_t)n);
}

static void write_element(cpuu_buf *out, const cpuu_ren_element *e)
{
    size_t at = out->size + 2;
    cpuu_buf_u16(out, e->id);
    cpuu_buf_u16(out, 0);
    fmt_add(out, e->data);
    put_size16(out, at, e->data.size);
}

bool cpuu_ren_block_write(cpuu_buf *out, uint16_t id, const cpuu_ren_element *elements, uint32_t n)
{
    size_t start = out->size;
    cpuu_buf_u16(out, id);
    cpuu_buf_u16(out, 0);
    for (uint32_t i = 0; i < n; i++)
        write_element(out, &elements[i]);
    put_size16(out, start + 2, out->size - start - 4);
    return !out->failed;
}

bool cpuu_ren_find(cpuu_blob in, uint16_t id, cpuu_blob *eid)
{
    cpuu_reader r;
    cpuu_ren_block block;
    cpuu_ren_element e;
    cpuu_reader_init(&r, in.data, in.size);
    while (cpuu_ren_next(&r, &block) && block.id != REN_END)
        while (block.id == id && cpuu_ren_element_next(&block, &e))
            if (e.id == REN_ENTRYID) {
                *eid = e.data;
                return true;
            }
    return false;
}

static bool rewrite_block(cpuu_ren_block *block, cpuu_link_cb cb, void *user, cpuu_buf *out,
                          bool *replaced)
{
    cpuu_ren_element e;
    size_t start = out->size;
    cpuu_buf_u16(out, block->id);
    cpuu_buf_u16(out, 0);
    while (!out->failed && cpuu_ren_element_next(block, &e)) {
        size_t at = out->size + 2;
        cpuu_buf_u16(out, e.id);
        cpuu_buf_u16(out, 0);
        if (e.id == REN_ENTRYID)
            cpuu_eid_rewrite(e.data, cb, user, out, replaced);
        else
            fmt_add(out, e.data);
        put_size16(out, at, out->size - at - 2);
    }
    put_size16(out, start + 2, out->size - start - 4);
    return !block->elements.failed;
}

bool cpuu_ren_rewrite(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                      cpuu_fmt_error *err)
{
    cpuu_reader r;
    cpuu_ren_block block;
    cpuu_reader_init(&r, in.data, in.size);
    while (!out->failed && cpuu_ren_next(&r, &block)) {
        if (!rewrite_block(&block, cb, user, out, replaced) && !out->failed)
            cpuu_reader_join(&r, &block.elements);
        if (block.id == REN_END) {
            fmt_add(out, fmt_blob_left(&r, "rest"));
            break;
        }
    }
    return fmt_done(&r, err) && fmt_wrote(out, err);
}

/* ---- PidTagExtendedFolderFlags ------------------------------------------------------------------
 */

bool cpuu_efp_next(cpuu_reader *r, cpuu_efp *out)
{
    cpuu_efp p;
    if (cpuu_reader_left(r) == 0)
        return false;
    p.id = cpuu_read_u8(r, "Id");
    p.data = fmt_blob(r, cpuu_read_u8(r, "Cb"), "Data");
    if (r->failed)
        return false;
    *out = p;
    return true;
}

bool cpuu_efp_write(cpuu_buf *out, const cpuu_efp *p)
{
    if (p->data.size > UINT8_MAX)
        out->failed = true;
    cpuu_buf_u8(out, p->id);
    cpuu_buf_u8(out, (uint8_t)p->data.size);
    return fmt_add(out, p->data);
}

bool cpuu_efp_find(cpuu_blob in, uint8_t id, cpuu_blob *data)
{
    cpuu_reader r;
    cpuu_efp p;
    cpuu_reader_init(&r, in.data, in.size);
    while (cpuu_efp_next(&r, &p))
        if (p.id == id) {
            *data = p.data;
            return true;
        }
    return false;
}

/* ---- PidTagSwappedToDoData ----------------------------------------------------------------------
 */

bool cpuu_swapped_todo_decode(cpuu_blob in, cpuu_swapped_todo *out, cpuu_fmt_error *err)
{
    cpuu_reader r;
    cpuu_swapped_todo t;
    cpuu_reader_init(&r, in.data, in.size);
    t.version = cpuu_read_u32(&r, "ulVersion");
    if (t.version != 1)
        cpuu_reader_fail(&r, "ulVersion", "is not 1");
    t.flags = cpuu_read_u32(&r, "dwFlags");
    t.item = cpuu_read_u32(&r, "dwToDoItem");
    fmt_copy(&r, t.flag_to, sizeof(t.flag_to), "wszFlagTo");
    t.start = cpuu_read_u32(&r, "rtmStartDate");
    t.due = cpuu_read_u32(&r, "rtmDueDate");
    t.reminder = cpuu_read_u32(&r, "rtmReminder");
    t.reminder_set = cpuu_read_u32(&r, "fReminderSet");
    if (cpuu_reader_left(&r))
        cpuu_reader_fail(&r, "fReminderSet", "is followed by more bytes");
    if (!fmt_done(&r, err))
        return false;
    *out = t;
    return true;
}

bool cpuu_swapped_todo_encode(cpuu_buf *out, const cpuu_swapped_todo *t)
{
    cpuu_buf_u32(out, t->version);
    cpuu_buf_u32(out, t->flags);
    cpuu_buf_u32(out, t->item);
    cpuu_buf_add(out, t->flag_to, sizeof(t->flag_to));
    cpuu_buf_u32(out, t->start);
    cpuu_buf_u32(out, t->due);
    cpuu_buf_u32(out, t->reminder);
    return cpuu_buf_u32(out, t->reminder_set);
}

/* ---- PR_FAV_DEL_SUBS ----------------------------------------------------------------------------
 */

bool cpuu_fav_keys_rewrite(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                           cpuu_fmt_error *err)
{
    cpuu_reader r;
    cpuu_reader_init(&r, in.data, in.size);
    while (cpuu_reader_left(&r) && !out->failed) {
        size_t before = out->size;
        cpuu_blob key = fmt_blob(&r, CPUU_SOURCE_KEY_SIZE, "SourceKey");
        cpuu_blob tail = fmt_blob(&r, CPUU_FAV_ENTRY_SIZE - CPUU_SOURCE_KEY_SIZE, "Tail");
        if (r.failed)
            break;
        cpuu_link_ask(cb, user, CPUU_LINK_SOURCE_KEY, key, out, replaced);
        if (out->size - before != CPUU_SOURCE_KEY_SIZE)
            out->failed = true;
        fmt_add(out, tail);
    }
    return fmt_done(&r, err) && fmt_wrote(out, err);
}
