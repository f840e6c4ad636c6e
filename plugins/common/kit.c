#include "common/kit.h"

#include <string.h>

uint32_t kit_u32(const cpuu_value *v, uint32_t fallback)
{
    return CPUU_FOUND(v) && v->size == 4 ? cpuu_le32(v->data) : fallback;
}

cpuu_blob kit_blob(const cpuu_value *v)
{
    cpuu_blob b = {NULL, 0};
    if (CPUU_FOUND(v)) {
        b.data = v->data;
        b.size = v->size;
    }
    return b;
}

const char *kit_text(const cpuu_value *v, char *out, size_t out_size)
{
    cpuu_blob b = kit_blob(v);
    size_t n = b.size < out_size - 1 ? b.size : out_size - 1;
    if (n < b.size) /* do not cut a character in two */
        while (n > 0 && (b.data[n] & 0xc0) == 0x80)
            n--;
    if (n)
        memcpy(out, b.data, n);
    out[n] = 0;
    return out;
}

const char *kit_address(const cpuu_value *v, char *out, size_t out_size)
{
    kit_text(v, out, out_size);
    if (strncmp(out, "SMTP:", 5) == 0 || strncmp(out, "smtp:", 5) == 0)
        memmove(out, out + 5, strlen(out + 5) + 1);
    return out;
}

cpuu_value kit_text_value(uint32_t tag, const char *text)
{
    cpuu_value v = {tag, (uint32_t)strlen(text), (const uint8_t *)text};
    return v;
}

cpuu_value kit_blob_value(uint32_t tag, cpuu_blob b)
{
    cpuu_value v = {tag, b.size, b.data};
    return v;
}

cpuu_rc kit_list_split(const cpuu_value *v, kit_list *out)
{
    cpuu_reader r;
    memset(out, 0, sizeof(*out));
    if (!CPUU_FOUND(v))
        return CPUU_OK;
    cpuu_reader_init(&r, v->data, v->size);
    uint32_t n = cpuu_read_u32(&r, "count");
    if (n > cpuu_reader_left(&r) / 4)
        return CPUU_E_FORMAT;
    cpuu_blob *items = cpuu_fmt_realloc(NULL, (n ? n : 1) * sizeof(*items));
    if (!items)
        return CPUU_E_NOMEM;
    for (uint32_t i = 0; i < n; i++) {
        items[i].size = cpuu_read_u32(&r, "size");
        items[i].data = cpuu_read_bytes(&r, items[i].size, "element");
    }
    if (r.failed) {
        cpuu_fmt_free(items);
        return CPUU_E_FORMAT;
    }
    out->items = items;
    out->count = n;
    out->present = true;
    return CPUU_OK;
}

void kit_list_free(kit_list *l)
{
    cpuu_fmt_free(l->items);
    memset(l, 0, sizeof(*l));
}

void kit_list_remove(kit_list *l, uint32_t index)
{
    if (index >= l->count)
        return;
    memmove(&l->items[index], &l->items[index + 1],
            (l->count - index - 1) * sizeof(*l->items));
    l->count--;
}

cpuu_value kit_list_join(const kit_list *l, uint32_t tag, cpuu_buf *buf)
{
    cpuu_buf_u32(buf, l->count);
    for (uint32_t i = 0; i < l->count; i++) {
        cpuu_buf_u32(buf, l->items[i].size);
        cpuu_buf_add(buf, l->items[i].data, l->items[i].size);
    }
    cpuu_value v = {tag, (uint32_t)buf->size, buf->data};
    return v;
}

uint32_t kit_links_add(kit_links *l, uint32_t kind, cpuu_blob in, const char *smtp)
{
    l->failed = l->failed || !kit_grow(&l->items, &l->cap, l->count, sizeof(*l->items));
    if (l->failed)
        return 0;
    cpuu_link link = {.size = sizeof(link), .kind = kind, .in = in, .smtp = smtp};
    l->items[l->count] = link;
    return l->count++;
}

void kit_links_free(kit_links *l)
{
    cpuu_fmt_free(l->items);
    memset(l, 0, sizeof(*l));
}

cpuu_rc kit_each_section(const cpuu_host *host, cpuu_run *run, const cpuu_query *query,
                         kit_section act)
{
    cpuu_rows *rows = NULL;
    cpuu_rc rc = kit_read(host, run, query, 1, &rows);
    for (uint32_t i = 0; rc == CPUU_OK; i++) {
        cpuu_row row = {.size = sizeof(row)};
        rc = host->rows(rows, i, &row);
        if (rc == CPUU_OK)
            rc = row.rc;
        if (rc == CPUU_OK)
            rc = act(host, run, &row);
        else if (rc != CPUU_END)
            host->fail(run, rc, "read a section", "profile");
    }
    host->rows_close(rows);
    return rc == CPUU_END ? CPUU_OK : rc;
}

cpuu_rc kit_clear(const cpuu_host *host, cpuu_run *run, const cpuu_row *row, const uint32_t *tags,
                  uint32_t n, const char *title)
{
    uint32_t unset[32], n_unset = 0;
    if (n > sizeof(unset) / sizeof(*unset))
        return host->fail(run, CPUU_E_TOOBIG, "clear so many properties", title);
    for (uint32_t i = 0; i < n; i++) {
        if (CPUU_FOUND(&row->values[i]))
            unset[n_unset++] = tags[i];
    }
    cpuu_change change = {.size = sizeof(change), .verb = CPUU_UPDATE, .what = CPUU_SECTIONS,
                          .id = row->id, .unset = unset, .n_unset = n_unset, .title = title};
    return n_unset ? kit_change(host, run, &change, 1, NULL) : CPUU_OK;
}

uint32_t kit_settle(const kit_links *l, uint32_t first, uint32_t n, bool *rewrite)
{
    uint32_t decides = first;
    *rewrite = false;
    for (uint32_t i = first; i < first + n; i++) {
        const cpuu_link *k = &l->items[i];
        if (k->kind == CPUU_LINK_SMTP)
            continue;
        if (k->outcome == CPUU_KEPT || k->outcome == CPUU_DROPPED) {
            *rewrite = false;
            return i;
        }
        bool plainer = k->kind != CPUU_LINK_SEARCH_KEY &&
                       l->items[decides].kind == CPUU_LINK_SEARCH_KEY;
        if (k->outcome == CPUU_REWRITTEN && (!*rewrite || plainer)) {
            *rewrite = true;
            decides = i;
        }
    }
    return decides;
}

bool kit_grow(void *array, uint32_t *cap, uint32_t count, size_t element)
{
    void **a = array;
    if (count < *cap)
        return true;
    const uint32_t room = *cap ? 2 * *cap : 32;
    void *p = cpuu_fmt_realloc(*a, (size_t)room * element);
    if (!p)
        return false;
    *a = p;
    *cap = room;
    return true;
}

/* ---- pool ------------------------------------------------------------------------------------ */

#define CHUNK 65536u

struct kit_chunk {
    struct kit_chunk *next;
    size_t used, size;
    max_align_t data[];
};

void *kit_pool_take(kit_pool *p, size_t size)
{
    const size_t n = (size + sizeof(max_align_t) - 1) & ~(sizeof(max_align_t) - 1);
    struct kit_chunk *c = p->chunks;
    if (!c || c->size - c->used < n) {
        const size_t room = n > CHUNK ? n : CHUNK;
        c = cpuu_fmt_realloc(NULL, sizeof(*c) + room);
        if (!c) {
            p->failed = true;
            return NULL;
        }
        *c = (struct kit_chunk){.next = p->chunks, .size = room};
        p->chunks = c;
        p->used += room;
    }
    void *at = (char *)c->data + c->used;
    c->used += n;
    memset(at, 0, n);
    return at;
}

cpuu_blob kit_pool_copy(kit_pool *p, cpuu_blob b)
{
    cpuu_blob copy = {NULL, 0};
    uint8_t *at = b.size ? kit_pool_take(p, (size_t)b.size + 1) : NULL;
    if (at) {
        memcpy(at, b.data, b.size);
        copy = (cpuu_blob){at, b.size};
    }
    return copy;
}

cpuu_blob kit_pool_utf16(kit_pool *p, cpuu_blob utf16)
{
    cpuu_buf b;
    cpuu_buf_init(&b, (size_t)utf16.size * 2 + 8);
    cpuu_buf_utf8_from_utf16(&b, utf16.data, utf16.size & ~1u);
    p->failed = p->failed || b.failed;
    cpuu_blob copy = kit_pool_copy(p, (cpuu_blob){b.data, (uint32_t)b.size});
    cpuu_buf_free(&b);
    return copy;
}

void kit_pool_free(kit_pool *p)
{
    while (p->chunks) {
        struct kit_chunk *c = p->chunks;
        p->chunks = c->next;
        cpuu_fmt_free(c);
    }
    memset(p, 0, sizeof(*p));
}

/* ---- failing and deciding --------------------------------------------------------------------- */

cpuu_rc kit_nomem(const cpuu_host *host, cpuu_run *run)
{
    return host->fail(run, CPUU_E_NOMEM, "out of memory", "");
}

void kit_decide_as(const cpuu_host *host, cpuu_run *run, uint32_t outcome, uint32_t reason,
                   const char *title, const char *before, const char *after)
{
    cpuu_decision d = {sizeof(d), outcome, reason, title, before, after};
    host->decide(run, &d);
}

cpuu_rc kit_read(const cpuu_host *host, cpuu_run *run, const cpuu_query *queries, uint32_t n,
                 cpuu_rows **out)
{
    cpuu_rc rc = host->read(run, queries, n, out);
    return rc < 0 ? host->fail(run, rc, "read what it works on", NULL) : rc;
}

cpuu_rc kit_translate(const cpuu_host *host, cpuu_run *run, cpuu_link *links, uint32_t n)
{
    cpuu_rc rc = host->translate(run, links, n);
    return rc < 0 ? host->fail(run, rc, "find out where its links lead", NULL) : rc;
}

cpuu_rc kit_change(const cpuu_host *host, cpuu_run *run, const cpuu_change *changes, uint32_t n,
                   uint32_t *ticket)
{
    cpuu_rc rc = host->change(run, changes, n, ticket);
    return rc < 0 ? host->fail(run, rc, "queue a change", n ? changes->title : NULL) : rc;
}

const cpuu_link *kit_why(const cpuu_link *folder, const cpuu_link *store)
{
    return folder->outcome == CPUU_KEPT && folder->reason == CPUU_WHY_UNKNOWN &&
                   store->outcome == CPUU_KEPT
               ? store
               : folder;
}

void kit_decide(const cpuu_host *host, cpuu_run *run, const cpuu_link *l, const char *title)
{
    kit_decide_as(host, run, l->outcome, l->reason, title, l->in_text, l->out_text);
}
