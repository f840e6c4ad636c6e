#include "features/proplist.h"

#include <stdlib.h>
#include <string.h>

#define VERSION 1

bool cpuu_blob_same(cpuu_blob a, cpuu_blob b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

cpuu_prop cpuu_prop_of(uint32_t tag, const cpuu_value *v)
{
    cpuu_prop p = {.tag = tag};
    if (v && CPUU_FOUND(v)) {
        p.present = true;
        p.data = (cpuu_blob){v->data, v->size};
    }
    return p;
}

bool cpuu_prop_same(const cpuu_prop *a, const cpuu_prop *b)
{
    return a->tag == b->tag && a->present == b->present && cpuu_blob_same(a->data, b->data);
}

static int by_tag(const void *a, const void *b)
{
    const uint32_t x = ((const cpuu_prop *)a)->tag, y = ((const cpuu_prop *)b)->tag;
    return x < y ? -1 : x > y;
}

static int compare(cpuu_blob a, cpuu_blob b)
{
    const uint32_t n = a.size < b.size ? a.size : b.size;
    const int c = n ? memcmp(a.data, b.data, n) : 0;
    return c ? c : a.size < b.size ? -1 : a.size > b.size;
}

static int by_bytes(const void *a, const void *b)
{
    return compare(*(const cpuu_blob *)a, *(const cpuu_blob *)b);
}

const cpuu_prop *cpuu_proplist_find(const cpuu_prop *items, uint32_t n, uint32_t tag)
{
    const cpuu_prop key = {.tag = tag};
    return n ? bsearch(&key, items, n, sizeof(key), by_tag) : NULL;
}

bool cpuu_idlist_has(const cpuu_blob *ids, uint32_t n, cpuu_blob id)
{
    return n && bsearch(&id, ids, n, sizeof(id), by_bytes);
}

/* ---- writing --------------------------------------------------------------------------------- */

static cpuu_rc finish(const cpuu_buf *out, cpuu_error *err)
{
    if (!out->failed)
        return CPUU_OK;
    return out->max - out->size < 64 || out->size > CPUU_PROPLIST_MAX
               ? cpuu_fail(err, CPUU_E_TOOBIG, "an object is too large for the journal")
               : cpuu_nomem(err);
}

static void head(cpuu_buf *out, char kind, uint32_t n)
{
    cpuu_buf_u8(out, (uint8_t)kind);
    cpuu_buf_u8(out, VERSION);
    cpuu_buf_u32(out, n);
}

cpuu_rc cpuu_proplist_encode(const cpuu_prop *items, uint32_t n, cpuu_buf *out, cpuu_error *err)
{
    cpuu_prop *sorted = cpuu_memdup(items, n * sizeof(*items));
    if (!sorted)
        return cpuu_nomem(err);
    qsort(sorted, n, sizeof(*sorted), by_tag);
    cpuu_rc rc = CPUU_OK;
    head(out, 'P', n);
    for (uint32_t i = 0; i < n && rc == CPUU_OK; i++) {
        if (i && sorted[i].tag == sorted[i - 1].tag)
            rc = cpuu_fail(err, CPUU_E_FORMAT, "property 0x%08X is given twice", sorted[i].tag);
        const uint32_t size = sorted[i].present ? sorted[i].data.size : 0;
        cpuu_buf_u32(out, sorted[i].tag);
        cpuu_buf_u8(out, sorted[i].present);
        cpuu_buf_u32(out, size);
        if (size)
            cpuu_buf_add(out, sorted[i].data.data, size);
    }
    cpuu_free(sorted);
    return rc < 0 ? rc : finish(out, err);
}

cpuu_rc cpuu_idlist_encode(const cpuu_blob *ids, uint32_t n, cpuu_buf *out, cpuu_error *err)
{
    cpuu_blob *sorted = cpuu_memdup(ids, n * sizeof(*ids));
    if (!sorted)
        return cpuu_nomem(err);
    qsort(sorted, n, sizeof(*sorted), by_bytes);
    uint32_t unique = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (i == 0 || compare(sorted[i], sorted[unique - 1]) != 0)
            sorted[unique++] = sorted[i];
    }
    head(out, 'I', unique);
    for (uint32_t i = 0; i < unique; i++) {
        cpuu_buf_u32(out, sorted[i].size);
        if (sorted[i].size)
            cpuu_buf_add(out, sorted[i].data, sorted[i].size);
    }
    cpuu_free(sorted);
    return finish(out, err);
}

/* ---- reading --------------------------------------------------------------------------------- */

static cpuu_rc refuse(const cpuu_reader *r, cpuu_error *err)
{
    return cpuu_fail(err, CPUU_E_FORMAT, "journal list damaged at byte %u, %s: %s", r->error.offset,
                     r->error.field, r->error.what);
}

/* Every item takes at least `smallest` bytes, so that a false count cannot make us allocate. */
static uint32_t read_head(cpuu_reader *r, char kind, uint32_t smallest)
{
    if (cpuu_read_u8(r, "kind") != (uint8_t)kind)
        cpuu_reader_fail(r, "kind", "another kind of list");
    if (cpuu_read_u8(r, "version") != VERSION)
        cpuu_reader_fail(r, "version", "unknown version");
    uint32_t n = cpuu_read_u32(r, "count");
    if (n > cpuu_reader_left(r) / smallest) {
        cpuu_reader_fail(r, "count", "runs past the end");
        n = 0;
    }
    return n;
}

cpuu_rc cpuu_proplist_decode(cpuu_blob in, cpuu_arena *arena, cpuu_prop **out, uint32_t *count,
                             cpuu_error *err)
{
    cpuu_reader r;
    cpuu_reader_init(&r, in.data, in.size);
    const uint32_t n = read_head(&r, 'P', 9);
    cpuu_prop *items = cpuu_arena_alloc(arena, (n + 1) * sizeof(*items));
    if (!items)
        return cpuu_nomem(err);
    for (uint32_t i = 0; i < n && !r.failed; i++) {
        items[i].tag = cpuu_read_u32(&r, "tag");
        const uint8_t present = cpuu_read_u8(&r, "present");
        const uint32_t size = cpuu_read_u32(&r, "size");
        items[i].data = (cpuu_blob){cpuu_read_bytes(&r, size, "value"), size};
        items[i].present = present == 1;
        if (present > 1 || (!present && size))
            cpuu_reader_fail(&r, "present", "not a flag");
        if (i && items[i].tag <= items[i - 1].tag)
            cpuu_reader_fail(&r, "tag", "not in order");
    }
    if (cpuu_reader_left(&r))
        cpuu_reader_fail(&r, "end", "bytes are left over");
    if (r.failed)
        return refuse(&r, err);
    *out = items;
    *count = n;
    return CPUU_OK;
}

cpuu_rc cpuu_idlist_decode(cpuu_blob in, cpuu_arena *arena, cpuu_blob **out, uint32_t *count,
                           cpuu_error *err)
{
    cpuu_reader r;
    cpuu_reader_init(&r, in.data, in.size);
    const uint32_t n = read_head(&r, 'I', 4);
    cpuu_blob *ids = cpuu_arena_alloc(arena, (n + 1) * sizeof(*ids));
    if (!ids)
        return cpuu_nomem(err);
    for (uint32_t i = 0; i < n && !r.failed; i++) {
        const uint32_t size = cpuu_read_u32(&r, "size");
        ids[i] = (cpuu_blob){cpuu_read_bytes(&r, size, "id"), size};
        if (!r.failed && i && compare(ids[i - 1], ids[i]) >= 0)
            cpuu_reader_fail(&r, "id", "not in order");
    }
    if (cpuu_reader_left(&r))
        cpuu_reader_fail(&r, "end", "bytes are left over");
    if (r.failed)
        return refuse(&r, err);
    *out = ids;
    *count = n;
    return CPUU_OK;
}
