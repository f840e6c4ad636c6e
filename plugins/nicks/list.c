/* See nicks.h. */
#include "nicks/nicks.h"

#include <cpuu/formats/propvalue.h>

#include <stdlib.h>
#include <string.h>

#define TAG_SMTP  0x39FE001Fu /* PidTagSmtpAddress */
#define TAG_EMAIL 0x3003001Fu /* PidTagEmailAddress */

/* ---- opening --------------------------------------------------------------------------------- */

cpuu_rc nick_list_open(cpuu_blob in, nick_list *out, cpuu_fmt_error *err)
{
    nick_list l = {.in = in};
    if (!cpuu_nick_open(in, &l.stream, err))
        return CPUU_E_FORMAT;
    if (l.stream.n_rows > NICK_MAX_ROWS || in.size > NICK_MAX) {
        *err = (cpuu_fmt_error){12, "row count", "is more than a list can have"};
        return CPUU_E_FORMAT;
    }
    l.rows = cpuu_fmt_realloc(NULL, (l.stream.n_rows + 1) * sizeof(*l.rows));
    if (!l.rows)
        return CPUU_E_NOMEM;
    memset(l.rows, 0, (l.stream.n_rows + 1) * sizeof(*l.rows));
    cpuu_nick_stream s = l.stream;
    for (nick_row *r = l.rows; cpuu_nick_next(&s, &r->at); r++)
        ;
    *out = l;
    return CPUU_OK;
}

void nick_list_free(nick_list *l)
{
    cpuu_fmt_free(l->rows);
    kit_pool_free(&l->texts);
    memset(l, 0, sizeof(*l));
}

/* ---- links ----------------------------------------------------------------------------------- */

static bool is_utf16(uint32_t tag)
{
    return CPUU_TAG_TYPE(tag) == CPUU_PT_STRING;
}

static bool is_text(uint32_t tag)
{
    return is_utf16(tag) || CPUU_TAG_TYPE(tag) == CPUU_PT_STRING8;
}

static bool names_entry(cpuu_blob eid)
{
    cpuu_eid e;
    return cpuu_eid_decode(eid, &e, NULL) && e.kind == CPUU_EID_AB &&
           e.u.ab.type != CPUU_AB_CONTAINER;
}

static bool is_ex_key(cpuu_blob key)
{
    cpuu_blob type, address, ex = {(const uint8_t *)"EX", 2};
    return cpuu_search_key_parse(key, &type, &address) && cpuu_blob_equal_nocase(type, ex);
}

/* The kind of link a property of a row holds, when it is one of those that change together; 0 if none.
 * A record key is often a copy of the EntryID. */
static uint32_t link_kind(const cpuu_nick_prop *p)
{
    uint32_t kind = cpuu_rawprop_link(p->tag, p->value);
    switch (kind) {
    case CPUU_LINK_EID:
    case CPUU_LINK_RECORD_KEY:
        return names_entry(p->value) ? CPUU_LINK_EID : 0;
    case CPUU_LINK_SEARCH_KEY:
        return is_ex_key(p->value) ? kind : 0;
    case CPUU_LINK_EX_DN:
    case CPUU_LINK_SMTP:
        return kind;
    default:
        return 0;
    }
}

/* The property in the form the host takes: text as UTF-8, kept in the list's own memory. */
static cpuu_blob link_bytes(nick_list *l, const cpuu_nick_prop *p)
{
    return is_utf16(p->tag) ? kit_pool_utf16(&l->texts, p->value)
                            : kit_pool_copy(&l->texts, p->value);
}

/* Does the row name somebody in the address book? Its SMTP address is the second way to find them. */
static bool names_person(nick_list *l, cpuu_nick_row row, const char **smtp)
{
    cpuu_nick_prop p;
    bool names = false;
    *smtp = NULL;
    while (cpuu_nick_prop_next(&row, &p)) {
        uint32_t kind = link_kind(&p);
        names = names || (kind && kind != CPUU_LINK_SMTP);
        if (kind == CPUU_LINK_SMTP && !*smtp)
            *smtp = (const char *)link_bytes(l, &p).data;
    }
    return names;
}

void nick_list_links(nick_list *l, kit_links *links)
{
    cpuu_nick_stream s = l->stream;
    cpuu_nick_row row;
    cpuu_nick_prop p;
    while (cpuu_nick_next(&s, &row)) {
        nick_row *r = &l->rows[row.index];
        const char *smtp;
        if (!names_person(l, row, &smtp))
            continue;
        r->first_link = r->decides = links->count;
        while (cpuu_nick_prop_next(&row, &p)) {
            uint32_t kind = link_kind(&p);
            if (kind)
                kit_links_add(links, kind, link_bytes(l, &p), smtp);
        }
        r->n_links = links->count - r->first_link;
    }
    links->failed = links->failed || l->texts.failed;
}

void nick_list_settle(nick_list *l, const kit_links *links)
{
    for (uint32_t i = 0; i < l->stream.n_rows; i++) {
        nick_row *r = &l->rows[i];
        if (r->n_links == 0)
            continue;
        r->decides = kit_settle(links, r->first_link, r->n_links, &r->rewrite);
        l->changed = l->changed || r->rewrite;
    }
}

/* ---- comparing ------------------------------------------------------------------------------- */

/* Text without regard to the case of ASCII letters, as 64 bits (FNV-1a); 0 = none. UTF-8 and UTF-16 of
 * one ASCII text, which addresses are, give the same. */
static uint64_t fold(cpuu_blob text, bool utf16)
{
    uint64_t h = 14695981039346656037u;
    const uint32_t width = utf16 ? 2 : 1;
    for (uint32_t i = 0; i + width <= text.size; i += width) {
        uint32_t c = utf16 ? cpuu_le16(text.data + i) : text.data[i];
        if (c >= 'A' && c <= 'Z')
            c += 'a' - 'A';
        h = (h ^ c) * 1099511628211u;
    }
    return text.size ? h | 1 : 0;
}

typedef struct row_id {
    uint64_t key, address;
    uint32_t weight;
} row_id;

static row_id identify(const nick_list *l, cpuu_nick_row row, const kit_links *links)
{
    const nick_row *r = &l->rows[row.index];
    uint32_t link = r->first_link;
    row_id id = {0, 0, 0};
    cpuu_nick_prop p;
    while (cpuu_nick_prop_next(&row, &p)) {
        bool linked = r->n_links && link_kind(&p);
        const cpuu_link *k = linked ? &links->items[link++] : NULL;
        if (p.tag == CPUU_NICK_KEY)
            id.key = fold(p.value, true);
        else if (p.tag == CPUU_NICK_WEIGHT && p.value.size == 4)
            id.weight = cpuu_le32(p.value.data);
        else if (CPUU_TAG_ID(p.tag) == CPUU_TAG_ID(TAG_EMAIL) && is_text(p.tag))
            id.address = k && r->rewrite && k->outcome == CPUU_REWRITTEN
                             ? fold(k->out, false)
                             : fold(p.value, is_utf16(p.tag));
    }
    return id;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static bool known(uint64_t value, const uint64_t *sorted, size_t n)
{
    return value && bsearch(&value, sorted, n, sizeof(*sorted), by_value);
}

/* Keys, and addresses, of all rows, sorted; owned by the caller. */
static bool index_list(const nick_list *l, const kit_links *links, uint64_t **keys,
                       uint64_t **addresses)
{
    cpuu_nick_stream s = l->stream;
    cpuu_nick_row row;
    const size_t n = l->stream.n_rows;
    *keys = cpuu_fmt_realloc(NULL, (n + 1) * sizeof(**keys));
    *addresses = cpuu_fmt_realloc(NULL, (n + 1) * sizeof(**addresses));
    if (!*keys || !*addresses)
        return false;
    while (cpuu_nick_next(&s, &row)) {
        row_id id = identify(l, row, links);
        (*keys)[row.index] = id.key;
        (*addresses)[row.index] = id.address;
    }
    qsort(*keys, n, sizeof(**keys), by_value);
    qsort(*addresses, n, sizeof(**addresses), by_value);
    return true;
}

bool nick_list_compare(nick_list *from, const nick_list *into, const kit_links *links)
{
    uint64_t *keys = NULL, *addresses = NULL;
    cpuu_nick_stream s = from->stream;
    cpuu_nick_row row;
    bool ok = index_list(into, links, &keys, &addresses);
    /* Rows of another version may not mean the same. */
    while (ok && from->stream.major == into->stream.major && cpuu_nick_next(&s, &row)) {
        row_id id = identify(from, row, links);
        if (!id.key || known(id.key, keys, into->stream.n_rows) ||
            known(id.address, addresses, into->stream.n_rows))
            continue;
        from->rows[row.index].add = true;
        from->n_add++;
    }
    cpuu_fmt_free(keys);
    cpuu_fmt_free(addresses);
    return ok;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void write_link(const cpuu_nick_prop *p, const cpuu_link *k, cpuu_buf *scratch, cpuu_buf *out)
{
    cpuu_nick_prop now = *p;
    now.value = k->out;
    if (is_utf16(p->tag)) {
        cpuu_buf_reset(scratch);
        if (!cpuu_buf_utf16_n(scratch, (const char *)k->out.data, k->out.size, false))
            out->failed = true;
        now.value = (cpuu_blob){scratch->data, (uint32_t)scratch->size};
    }
    cpuu_nick_prop_write(out, &now);
}

static void write_row(const nick_list *l, cpuu_nick_row row, const kit_links *links,
                      cpuu_buf *scratch, cpuu_buf *out)
{
    const nick_row *r = &l->rows[row.index];
    uint32_t link = r->first_link;
    cpuu_nick_prop p;
    if (!r->rewrite) {
        cpuu_buf_add(out, l->in.data + row.offset, row.size);
        return;
    }
    cpuu_buf_u32(out, row.n);
    while (cpuu_nick_prop_next(&row, &p)) {
        const cpuu_link *k = link_kind(&p) ? &links->items[link++] : NULL;
        if (k && k->outcome == CPUU_REWRITTEN)
            write_link(&p, k, scratch, out);
        else
            cpuu_buf_add(out, l->in.data + p.offset, p.size);
    }
}

/* The next row to be added; false when there is none. */
static bool next_added(const nick_list *more, cpuu_nick_stream *s, cpuu_nick_row *row)
{
    while (more && cpuu_nick_next(s, row)) {
        if (more->rows[row->index].add)
            return true;
    }
    return false;
}

bool nick_list_write(const nick_list *l, const nick_list *more, const kit_links *links,
                     cpuu_buf *out)
{
    cpuu_nick_stream s = l->stream, head = l->stream;
    cpuu_nick_stream s2 = more ? more->stream : l->stream;
    cpuu_nick_row row, added;
    cpuu_buf scratch;
    cpuu_buf_init(&scratch, out->max);
    head.n_rows += more ? more->n_add : 0;
    cpuu_nick_begin(out, &head);
    bool pending = next_added(more, &s2, &added);
    while (cpuu_nick_next(&s, &row)) {
        uint32_t weight = pending ? identify(l, row, links).weight : 0;
        while (pending && identify(more, added, links).weight > weight) {
            write_row(more, added, links, &scratch, out);
            pending = next_added(more, &s2, &added);
        }
        write_row(l, row, links, &scratch, out);
    }
    while (pending) {
        write_row(more, added, links, &scratch, out);
        pending = next_added(more, &s2, &added);
    }
    cpuu_nick_end(out, &head);
    cpuu_buf_free(&scratch);
    return !out->failed;
}

/* ---- words ----------------------------------------------------------------------------------- */

bool nick_row_title(const nick_row *row, char *out, size_t out_size)
{
    cpuu_nick_row r = row->at;
    cpuu_nick_prop p;
    cpuu_buf text;
    bool shown = false, ok = true;
    cpuu_buf_init(&text, NICK_MAX);
    while (!shown && cpuu_nick_prop_next(&r, &p)) {
        shown = p.tag == CPUU_NICK_DROPDOWN && p.value.size;
        if (!shown && p.tag != CPUU_NICK_KEY)
            continue;
        cpuu_buf_reset(&text);
        ok = cpuu_buf_utf8_from_utf16(&text, p.value.data, p.value.size) && ok;
    }
    cpuu_value v = {0x3001001Fu, (uint32_t)text.size, text.data};
    kit_text(&v, out, out_size);
    cpuu_buf_free(&text);
    return ok;
}
