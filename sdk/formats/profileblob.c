/* Structures inside profile values; see cpuu/formats/profileblob.h. */
#include "internal.h"

#include <cpuu/formats/profileblob.h>

#include <stdio.h>

/* ---- folder references -------------------------------------------------------------------------
 */

static const uint8_t ref_magic[4] = {0x80, 0x01, 0x01, 0x01};

/* Where the fields are: magic, then for each id its size, padding and a pointer. */
typedef struct ref_layout {
    unsigned width;
    uint32_t head, folder_size, store_size;
} ref_layout;
static const ref_layout layouts[] = {{4, 20, 4, 12}, {8, 40, 8, 24}};

/* True when the two sizes of this layout account for every byte. */
static bool fits(const ref_layout *l, cpuu_blob in)
{
    if (in.size < l->head)
        return false;
    uint64_t ids =
        (uint64_t)cpuu_le32(in.data + l->folder_size) + cpuu_le32(in.data + l->store_size);
    return ids == in.size - l->head;
}

static const ref_layout *ref_layout_of(cpuu_blob in, cpuu_fmt_error *err)
{
    const char *what = NULL;
    if (in.size < 4 || memcmp(in.data, ref_magic, 4) != 0)
        what = "does not begin with 80 01 01 01";
    else if (fits(&layouts[0], in) == fits(&layouts[1], in))
        what = fits(&layouts[0], in) ? "fits both widths" : "fits neither width";
    if (!what)
        return fits(&layouts[0], in) ? &layouts[0] : &layouts[1];
    if (err)
        *err = (cpuu_fmt_error){0, "folder reference", what};
    return NULL;
}

bool cpuu_folder_ref_decode(cpuu_blob in, cpuu_folder_ref *out, cpuu_fmt_error *err)
{
    const ref_layout *l = ref_layout_of(in, err);
    if (!l)
        return false;
    uint32_t n = cpuu_le32(in.data + l->folder_size);
    out->width = l->width;
    out->head = (cpuu_blob){in.data, l->head};
    out->folder = (cpuu_blob){in.data + l->head, n};
    out->store = (cpuu_blob){in.data + l->head + n, in.size - l->head - n};
    return true;
}

bool cpuu_folder_ref_encode(cpuu_buf *out, const cpuu_folder_ref *ref)
{
    const ref_layout *l = ref->width == 8 ? &layouts[1] : &layouts[0];
    size_t start = out->size;
    if (ref->head.size == l->head) {
        fmt_add(out, ref->head);
    } else {
        cpuu_buf_add(out, ref_magic, sizeof(ref_magic));
        cpuu_buf_fill(out, 0, l->head - sizeof(ref_magic));
    }
    cpuu_buf_put_u32(out, start + l->folder_size, ref->folder.size);
    cpuu_buf_put_u32(out, start + l->store_size, ref->store.size);
    fmt_add(out, ref->folder);
    return fmt_add(out, ref->store);
}

bool cpuu_folder_ref_rewrite(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out,
                             bool *replaced, cpuu_fmt_error *err)
{
    cpuu_folder_ref ref;
    cpuu_buf folder, store;
    bool changed = false;
    if (in.size == 0)
        return true;
    if (!cpuu_folder_ref_decode(in, &ref, err))
        return false;
    cpuu_buf_init(&folder, out->max);
    cpuu_buf_init(&store, out->max);
    cpuu_eid_rewrite(ref.store, cb, user, &store, &changed);
    cpuu_eid_rewrite(ref.folder, cb, user, &folder, &changed);
    if (folder.failed || store.failed)
        out->failed = true;
    ref.folder = (cpuu_blob){folder.data, (uint32_t)folder.size};
    ref.store = (cpuu_blob){store.data, (uint32_t)store.size};
    if (changed)
        ref.head = (cpuu_blob){NULL, 0};
    cpuu_folder_ref_encode(out, &ref);
    if (changed && replaced)
        *replaced = true;
    cpuu_buf_free(&folder);
    cpuu_buf_free(&store);
    return fmt_wrote(out, err);
}

/* ---- window states ------------------------------------------------------------------------------
 */

bool cpuu_window_state_decode(cpuu_blob in, cpuu_window_state *out, cpuu_fmt_error *err)
{
    cpuu_reader r;
    cpuu_window_state w;
    cpuu_reader_init(&r, in.data, in.size);
    w.version = cpuu_read_u32(&r, "version");
    if (w.version != 3 && w.version != 4)
        cpuu_reader_fail(&r, "version", "is neither 3 nor 4");
    w.word1 = cpuu_read_u32(&r, "word 1");
    w.word2 = cpuu_read_u32(&r, "word 2");
    w.ref = fmt_blob(&r, cpuu_read_u32(&r, "cbRef"), "folder reference");
    w.store = fmt_blob(&r, cpuu_read_u32(&r, "cbStore"), "store EntryID");
    w.rest = fmt_blob_left(&r, "window placement");
    if (!fmt_done(&r, err))
        return false;
    *out = w;
    return true;
}

bool cpuu_window_state_encode(cpuu_buf *out, const cpuu_window_state *w)
{
    cpuu_buf_u32(out, w->version);
    cpuu_buf_u32(out, w->word1);
    cpuu_buf_u32(out, w->word2);
    cpuu_buf_u32(out, w->ref.size);
    fmt_add(out, w->ref);
    cpuu_buf_u32(out, w->store.size);
    fmt_add(out, w->store);
    return fmt_add(out, w->rest);
}

bool cpuu_window_state_rewrite(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out,
                               bool *replaced, cpuu_fmt_error *err)
{
    cpuu_window_state w;
    cpuu_buf ref, store;
    if (in.size == 0)
        return true;
    if (!cpuu_window_state_decode(in, &w, err))
        return false;
    cpuu_buf_init(&ref, out->max);
    cpuu_buf_init(&store, out->max);
    bool ok = cpuu_folder_ref_rewrite(w.ref, cb, user, &ref, replaced, err);
    if (!ok && err && !ref.failed)
        err->offset += 16;
    if (ok) {
        if (!cpuu_eid_rewrite(w.store, cb, user, &store, replaced))
            out->failed = true;
        w.ref = (cpuu_blob){ref.data, (uint32_t)ref.size};
        w.store = (cpuu_blob){store.data, (uint32_t)store.size};
        cpuu_window_state_encode(out, &w);
        ok = fmt_wrote(out, err);
    }
    cpuu_buf_free(&ref);
    cpuu_buf_free(&store);
    return ok;
}

/* ---- lists --------------------------------------------------------------------------------------
 */

bool cpuu_eid_element(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                      cpuu_fmt_error *err)
{
    cpuu_eid_rewrite(in, cb, user, out, replaced);
    return fmt_wrote(out, err);
}

static cpuu_blob next_element(cpuu_reader *r)
{
    return fmt_blob(r, cpuu_read_u32(r, "size"), "element");
}

bool cpuu_list_count(cpuu_blob list, uint32_t *n, cpuu_fmt_error *err)
{
    cpuu_reader r;
    cpuu_reader_init(&r, list.data, list.size);
    uint32_t count = cpuu_read_u32(&r, "count");
    for (uint32_t i = 0; i < count && !r.failed; i++)
        next_element(&r);
    if (cpuu_reader_left(&r))
        cpuu_reader_fail(&r, "list", "is followed by more bytes");
    if (!fmt_done(&r, err))
        return false;
    *n = count;
    return true;
}

bool cpuu_list_at(cpuu_blob list, uint32_t index, cpuu_blob *element)
{
    cpuu_reader r;
    cpuu_blob found = {NULL, 0};
    cpuu_reader_init(&r, list.data, list.size);
    if (index >= cpuu_read_u32(&r, "count"))
        return false;
    for (uint32_t i = 0; i <= index && !r.failed; i++)
        found = next_element(&r);
    if (r.failed)
        return false;
    *element = found;
    return true;
}

bool cpuu_list_rewrite(cpuu_blob list, cpuu_element_rewrite rewrite, cpuu_link_cb cb, void *user,
                       cpuu_buf *out, bool *replaced, cpuu_fmt_error *err)
{
    cpuu_reader r;
    uint32_t n;
    if (!cpuu_list_count(list, &n, err))
        return false;
    cpuu_reader_init(&r, list.data, list.size);
    cpuu_read_skip(&r, 4, "count");
    cpuu_buf_u32(out, n);
    for (uint32_t i = 0; i < n; i++) {
        cpuu_blob element = next_element(&r);
        size_t at = out->size;
        cpuu_buf_u32(out, 0);
        if (!rewrite(element, cb, user, out, replaced, err)) {
            if (err && !out->failed)
                err->offset += r.pos - element.size;
            return false;
        }
        cpuu_buf_put_u32(out, at, (uint32_t)(out->size - at - 4));
    }
    return fmt_wrote(out, err);
}

bool cpuu_list_without(cpuu_blob list, uint32_t index, cpuu_buf *out, cpuu_fmt_error *err)
{
    cpuu_reader r;
    uint32_t n;
    if (!cpuu_list_count(list, &n, err))
        return false;
    cpuu_reader_init(&r, list.data, list.size);
    cpuu_read_skip(&r, 4, "count");
    cpuu_buf_u32(out, index < n ? n - 1 : n);
    for (uint32_t i = 0; i < n; i++) {
        cpuu_blob element = next_element(&r);
        if (i == index)
            continue;
        cpuu_buf_u32(out, element.size);
        fmt_add(out, element);
    }
    return fmt_wrote(out, err);
}

bool cpuu_eid_build_contab(cpuu_buf *out, const uint8_t uid[16], cpuu_blob folder)
{
    cpuu_eid eid;
    memset(&eid, 0, sizeof(eid));
    eid.kind = CPUU_EID_CONTAB;
    memcpy(eid.provider, cpuu_uid_contab, 16);
    eid.u.contab.version = 3;
    eid.u.contab.type = 3;
    memcpy(eid.u.contab.uid, uid, 16);
    eid.u.contab.inner = folder;
    return cpuu_eid_encode(&eid, out);
}

/* ---- account manager ----------------------------------------------------------------------------
 */

bool cpuu_account_text_decode(cpuu_blob in, cpuu_buf *utf8)
{
    uint32_t n = 0;
    while (n + 1 < in.size && cpuu_le16(in.data + n) != 0)
        n += 2;
    return cpuu_buf_utf8_from_utf16(utf8, in.data, n);
}

bool cpuu_account_text_encode(const char *utf8, cpuu_buf *out)
{
    return cpuu_buf_utf16(out, utf8, true);
}

void cpuu_account_key(uint32_t id, char name[9])
{
    snprintf(name, 9, "%08X", id);
}

bool cpuu_account_id(const char *name, uint32_t *id)
{
    uint32_t v = 0;
    for (int i = 0; i < 8; i++) {
        char c = name[i];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                                                : 16;
        if (digit == 16)
            return false;
        v = v << 4 | digit;
    }
    if (name[8])
        return false;
    *id = v;
    return true;
}

int32_t cpuu_account_position(cpuu_blob order, uint32_t id)
{
    for (uint32_t i = 0; i < order.size / 4; i++)
        if (cpuu_le32(order.data + 4 * (size_t)i) == id)
            return (int32_t)i;
    return -1;
}
