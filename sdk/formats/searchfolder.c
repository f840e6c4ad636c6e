/* Search-folder definitions; see cpuu/formats/searchfolder.h. */
#include "internal.h"

#include <cpuu/formats/entryid.h>
#include <cpuu/formats/searchfolder.h>

#define VERSION 0x1004u

/* ---- reading --------------------------------------------------------------------------------- */

/* One length byte, 0xff before a 16-bit length, in characters. */
static cpuu_blob read_text(cpuu_reader *r, bool *wide, const char *field)
{
    uint32_t n = cpuu_read_u8(r, field);
    *wide = n == 0xff;
    if (*wide)
        n = cpuu_read_u16(r, field);
    return fmt_blob(r, 2 * n, field);
}

static bool ignore_node(void *user, const cpuu_res_node *node)
{
    (void)user;
    (void)node;
    return true;
}

static void read_folders(cpuu_reader *r, cpuu_search_folder *sf)
{
    cpuu_entry_list list;
    cpuu_fmt_error err;
    uint32_t size = cpuu_read_u32(r, "FolderList2Length");
    sf->folders_at = r->base + r->pos;
    sf->folders = fmt_blob(r, size, "FolderList2");
    if (sf->folders.size && !cpuu_entry_list_open(sf->folders, &list, &err)) {
        cpuu_reader_fail(r, err.field, err.what);
        r->error.offset = sf->folders_at + err.offset;
    }
}

static void read_addresses(cpuu_reader *r, cpuu_search_folder *sf)
{
    cpuu_rawprop p;
    sf->n_addresses = cpuu_read_u32(r, "AddressCount");
    uint32_t start = r->pos;
    sf->addresses_at = r->base + start;
    if (sf->n_addresses > cpuu_reader_left(r) / 8)
        cpuu_reader_fail(r, "AddressCount", "runs past the end");
    for (uint32_t i = 0; i < sf->n_addresses && !r->failed; i++) {
        uint32_t n = cpuu_read_u32(r, "PropertyCount");
        cpuu_read_skip(r, 4, "Pad");
        for (uint32_t k = 0; k < n && cpuu_rawprop_read(r, CPUU_FORM_SEARCH, &p); k++)
            ;
    }
    if (!r->failed)
        sf->addresses = (cpuu_blob){r->data + start, r->pos - start};
}

static void read_restriction(cpuu_reader *r, cpuu_search_folder *sf)
{
    uint32_t start = r->pos;
    sf->restriction_at = r->base + start;
    if (cpuu_res_walk(r, CPUU_FORM_SEARCH, ignore_node, NULL))
        sf->restriction = (cpuu_blob){r->data + start, r->pos - start};
}

static void read_filter(cpuu_reader *r, cpuu_search_folder *sf)
{
    uint32_t left = cpuu_reader_left(r);
    sf->filter_at = r->base + r->pos;
    sf->has_skip3 = left >= 4 && cpuu_le32(r->data + r->size - 4) == 0;
    sf->filter = fmt_blob(r, sf->has_skip3 ? left - 4 : left, "AdvancedSearch");
}

bool cpuu_search_folder_decode(cpuu_blob in, cpuu_search_folder *out, cpuu_fmt_error *err)
{
    cpuu_reader r;
    cpuu_search_folder sf;
    memset(&sf, 0, sizeof(sf));
    cpuu_reader_init(&r, in.data, in.size);
    sf.version = cpuu_read_u32(&r, "Version");
    if (!r.failed && sf.version != VERSION) {
        r.pos = 0;
        cpuu_reader_fail(&r, "Version", "is not 0x1004");
    }
    sf.flags = cpuu_read_u32(&r, "Flags");
    sf.number = cpuu_read_u32(&r, "NumericSearch");
    sf.text = read_text(&r, &sf.text_wide, "TextSearch");
    sf.skip1 = fmt_blob(&r, cpuu_read_u32(&r, "SkipLen1"), "SkipBytes1");
    sf.deep = cpuu_read_u32(&r, "DeepSearch");
    sf.folder_names = read_text(&r, &sf.names_wide, "FolderList1");
    read_folders(&r, &sf);
    if (sf.flags & CPUU_SF_ADDRESSES)
        read_addresses(&r, &sf);
    sf.skip2 = fmt_blob(&r, cpuu_read_u32(&r, "SkipLen2"), "SkipBytes2");
    if (sf.flags & CPUU_SF_RESTRICTION)
        read_restriction(&r, &sf);
    sf.has_skip3 = true;
    if (sf.flags & CPUU_SF_FILTER)
        read_filter(&r, &sf);
    if (sf.has_skip3)
        sf.skip3 = fmt_blob(&r, cpuu_read_u32(&r, "SkipLen3"), "SkipBytes3");
    sf.rest = fmt_blob_left(&r, "rest");
    if (!fmt_done(&r, err))
        return false;
    *out = sf;
    return true;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void write_text(cpuu_buf *out, cpuu_blob text, bool wide)
{
    uint32_t n = text.size / 2;
    if (text.size % 2 || n > UINT16_MAX || (!wide && n >= 0xff))
        out->failed = true;
    cpuu_buf_u8(out, wide ? 0xff : (uint8_t)n);
    if (wide)
        cpuu_buf_u16(out, (uint16_t)n);
    fmt_add(out, text);
}

static void write_block(cpuu_buf *out, cpuu_blob b)
{
    cpuu_buf_u32(out, b.size);
    fmt_add(out, b);
}

static void write_head(cpuu_buf *out, const cpuu_search_folder *sf)
{
    cpuu_buf_u32(out, sf->version);
    cpuu_buf_u32(out, sf->flags);
    cpuu_buf_u32(out, sf->number);
    write_text(out, sf->text, sf->text_wide);
    write_block(out, sf->skip1);
    cpuu_buf_u32(out, sf->deep);
    write_text(out, sf->folder_names, sf->names_wide);
}

bool cpuu_search_folder_encode(cpuu_buf *out, const cpuu_search_folder *sf)
{
    write_head(out, sf);
    write_block(out, sf->folders);
    if (sf->flags & CPUU_SF_ADDRESSES) {
        cpuu_buf_u32(out, sf->n_addresses);
        fmt_add(out, sf->addresses);
    }
    write_block(out, sf->skip2);
    fmt_add(out, sf->restriction);
    fmt_add(out, sf->filter);
    if (sf->has_skip3)
        write_block(out, sf->skip3);
    return fmt_add(out, sf->rest);
}

/* ---- filter stream --------------------------------------------------------------------------- */

/* The size of a list counts its two header fields; the padding of FLATENTRYLIST entries was seen
 * with the last entry, too. */
#define LIST_HEAD 12u /* size field, cEntries, cbEntries */

static bool addresses_only(cpuu_flat_list list)
{
    cpuu_blob eid;
    cpuu_eid e;
    while (cpuu_flat_list_next(&list, &eid))
        if (!cpuu_eid_decode(eid, &e, NULL) ||
            (e.kind != CPUU_EID_AB && e.kind != CPUU_EID_ONEOFF && e.kind != CPUU_EID_CONTACT &&
             e.kind != CPUU_EID_PERSONAL_LIST))
            return false;
    return true;
}

bool cpuu_filter_list_find(cpuu_blob filter, uint32_t from, cpuu_filter_list *out)
{
    for (uint32_t at = from; filter.size >= LIST_HEAD && at <= filter.size - LIST_HEAD; at++) {
        const uint8_t *p = filter.data + at;
        uint32_t size = cpuu_le32(p), n = cpuu_le32(p + 4), bytes = cpuu_le32(p + 8);
        if (n == 0 || size < 8 || size - 8 != bytes || bytes > filter.size - at - LIST_HEAD ||
            n > bytes / 4)
            continue;
        cpuu_filter_list found = {at, size + 4, {0}};
        cpuu_reader r;
        cpuu_reader_init(&r, p + 4, size);
        if (!cpuu_flat_list_read(&r, &found.list) || !addresses_only(found.list))
            continue;
        *out = found;
        return true;
    }
    return false;
}

/* ---- rewriting ------------------------------------------------------------------------------- */

typedef struct sf_rewrite {
    const cpuu_search_folder *sf;
    cpuu_rewriter w;
    cpuu_buf *out;
    cpuu_fmt_error *err;
} sf_rewrite;

static bool failed_at(sf_rewrite *x, uint32_t offset, const char *field, const char *what)
{
    if (x->err)
        *x->err = (cpuu_fmt_error){offset, field, what};
    return false;
}

static bool rewrite_folders(sf_rewrite *x)
{
    size_t at = x->out->size;
    cpuu_buf_u32(x->out, 0);
    if (x->sf->folders.size && !cpuu_entry_list_rewrite(x->sf->folders, x->w.cb, x->w.user, x->out,
                                                        &x->w.replaced, x->err))
        return false;
    return cpuu_buf_put_u32(x->out, at, (uint32_t)(x->out->size - at - 4));
}

static bool rewrite_addresses(sf_rewrite *x)
{
    cpuu_reader r;
    if (!(x->sf->flags & CPUU_SF_ADDRESSES))
        return true;
    cpuu_reader_init(&r, x->sf->addresses.data, x->sf->addresses.size);
    r.base = x->sf->addresses_at;
    cpuu_buf_u32(x->out, x->sf->n_addresses);
    for (uint32_t i = 0; i < x->sf->n_addresses; i++) {
        uint32_t n = cpuu_read_u32(&r, "PropertyCount");
        cpuu_buf_u32(x->out, n);
        cpuu_buf_u32(x->out, cpuu_read_u32(&r, "Pad"));
        if (!cpuu_rawprop_rewrite_row(&r, CPUU_FORM_SEARCH, n, &x->w, x->out))
            return fmt_done(&r, x->err) && fmt_wrote(x->out, x->err);
    }
    return true;
}

static bool rewrite_restriction(sf_rewrite *x)
{
    cpuu_reader r;
    if (!x->sf->restriction.size)
        return true;
    cpuu_reader_init(&r, x->sf->restriction.data, x->sf->restriction.size);
    r.base = x->sf->restriction_at;
    return cpuu_res_rewrite(&r, CPUU_FORM_SEARCH, &x->w, x->out) ||
           (fmt_done(&r, x->err) && fmt_wrote(x->out, x->err));
}

static bool rewrite_filter(sf_rewrite *x)
{
    cpuu_blob f = x->sf->filter;
    cpuu_filter_list found;
    size_t start = x->out->size;
    uint32_t done = 0;
    while (!x->out->failed && cpuu_filter_list_find(f, done, &found)) {
        cpuu_reader r;
        cpuu_buf_add(x->out, f.data + done, found.offset - done);
        size_t at = x->out->size;
        cpuu_buf_u32(x->out, 0);
        cpuu_reader_init(&r, f.data + found.offset + 4, found.size - 4);
        cpuu_flat_list_rewrite(&r, x->w.cb, x->w.user, x->out, &x->w.replaced);
        cpuu_buf_put_u32(x->out, at, (uint32_t)(x->out->size - at - 4));
        done = found.offset + found.size;
    }
    cpuu_buf_add(x->out, f.data ? f.data + done : NULL, f.size - done);
    size_t size = x->out->size - start;
    if (x->out->failed || size == f.size)
        return fmt_wrote(x->out, x->err);
    if (f.size < 8 || cpuu_le32(f.data) != f.size - 8)
        return failed_at(x, x->sf->filter_at, "AdvancedSearch", "has its size in no known place");
    return cpuu_buf_put_u32(x->out, start, (uint32_t)(size - 8));
}

bool cpuu_search_folder_rewrite(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out,
                                bool *replaced, cpuu_fmt_error *err)
{
    cpuu_search_folder sf;
    sf_rewrite x;
    if (!cpuu_search_folder_decode(in, &sf, err))
        return false;
    memset(&x, 0, sizeof(x));
    x.sf = &sf;
    x.w.cb = cb;
    x.w.user = user;
    x.out = out;
    x.err = err;
    write_head(out, &sf);
    if (!rewrite_folders(&x) || !rewrite_addresses(&x))
        return out->failed ? fmt_wrote(out, err) : false;
    write_block(out, sf.skip2);
    if (!rewrite_restriction(&x) || !rewrite_filter(&x))
        return false;
    if (sf.has_skip3)
        write_block(out, sf.skip3);
    fmt_add(out, sf.rest);
    if (x.w.replaced && replaced && !out->failed)
        *replaced = true;
    return fmt_wrote(out, err);
}
