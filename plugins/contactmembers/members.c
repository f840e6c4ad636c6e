/*
 * Members of personal lists, and linked contacts; see contactmembers.h. A member is an EntryID, mostly
 * wrapped, and the one-off that Outlook shows when the EntryID leads nowhere ([MS-OXOCNTC] 2.2.2.2):
 * both tell the same story afterwards, or stay.
 */
#include "contactmembers/contactmembers.h"

#include <cpuu/formats/lists.h>
#include <cpuu/formats/propvalue.h>

#include <string.h>

/* ---- taking apart ---------------------------------------------------------------------------- */

static bool room(cm_members *m, uint32_t n)
{
    m->items = cpuu_fmt_realloc(NULL, ((size_t)n + 1) * sizeof(*m->items));
    if (m->items)
        memset(m->items, 0, ((size_t)n + 1) * sizeof(*m->items));
    return m->items != NULL;
}

cpuu_rc cm_members_arrays(const cpuu_value *eids, const cpuu_value *oneoffs, cm_members *out)
{
    kit_list a, b = {0};
    cm_members m = {0};
    cpuu_rc rc = kit_list_split(eids, &a);
    if (rc == CPUU_OK)
        rc = kit_list_split(oneoffs, &b);
    if (rc == CPUU_OK && b.present && a.count != b.count)
        rc = CPUU_E_FORMAT; /* they belong together by position */
    if (rc == CPUU_OK && !room(&m, a.count))
        rc = CPUU_E_NOMEM;
    for (uint32_t i = 0; rc == CPUU_OK && i < a.count; i++) {
        m.items[i].eid = a.items[i];
        if (b.present)
            m.items[i].oneoff = b.items[i];
    }
    m.count = a.count;
    kit_list_free(&a);
    kit_list_free(&b);
    if (rc == CPUU_OK)
        *out = m;
    return rc;
}

cpuu_rc cm_members_stream(cpuu_blob stream, cm_members *out, cpuu_dl_stream *head)
{
    cm_members m = {0};
    cpuu_dl_member one;
    if (!cpuu_dl_stream_open(stream, head, NULL))
        return CPUU_E_FORMAT;
    cpuu_dl_stream s = *head;
    if (!room(&m, s.n))
        return CPUU_E_NOMEM;
    while (cpuu_dl_stream_next(&s, &one))
        m.items[m.count++] = (cm_member){.eid = one.eid, .oneoff = one.oneoff, .extra = one.extra};
    *out = m;
    return CPUU_OK;
}

cpuu_rc cm_members_flat(cpuu_blob list, cm_members *out, bool *padded)
{
    cm_members m = {0};
    cpuu_reader r;
    cpuu_flat_list flat;
    cpuu_blob eid;
    cpuu_reader_init(&r, list.data, list.size);
    if (!cpuu_flat_list_read(&r, &flat) || cpuu_reader_left(&r))
        return CPUU_E_FORMAT;
    *padded = flat.padded;
    if (!room(&m, flat.n))
        return CPUU_E_NOMEM;
    while (cpuu_flat_list_next(&flat, &eid))
        m.items[m.count++].eid = eid;
    *out = m;
    return CPUU_OK;
}

void cm_members_free(cm_members *m)
{
    cpuu_fmt_free(m->items);
    memset(m, 0, sizeof(*m));
}

/* ---- links ----------------------------------------------------------------------------------- */

typedef struct finder {
    cm_member *m;
    cpuu_blob entry; /* of an address book */
} finder;

/* A contact that is in no mailbox: in a public folder, or in a PST or another store of its own. */
static void elsewhere(cm_member *m, uint32_t outcome, uint32_t reason)
{
    m->outcome = outcome;
    m->reason = reason;
}

static bool find_leaf(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    finder *f = user;
    cpuu_eid e;
    (void)kind;
    (void)out;
    if (!cpuu_eid_decode(in, &e, NULL))
        return false;
    if (e.kind == CPUU_EID_AB && e.u.ab.type != CPUU_AB_CONTAINER)
        f->entry = in;
    else if (e.kind == CPUU_EID_MESSAGE)
        f->m->message = in;
    else if (e.kind == CPUU_EID_MESSAGE_PUBLIC)
        elsewhere(f->m, CPUU_KEPT, CPUU_WHY_EXCLUDED);
    else if (e.kind == CPUU_EID_UNKNOWN)
        elsewhere(f->m, CPUU_ALREADY, CPUU_WHY_LOCAL);
    return false;
}

/* Address of a one-off as UTF-8, and whether it is a DN or an SMTP address; 0 = neither, or no one-off. */
static uint32_t address_of(const cpuu_eid *e, kit_pool *pool, cpuu_blob *address)
{
    static const cpuu_blob dn = {(const uint8_t *)"/o=", 3};
    if (e->kind != CPUU_EID_ONEOFF)
        return 0;
    cpuu_blob text = e->u.oneoff.bits & CPUU_ONEOFF_UNICODE
                         ? kit_pool_utf16(pool, e->u.oneoff.address)
                         : kit_pool_copy(pool, e->u.oneoff.address);
    *address = text;
    if (text.size > 3 && cpuu_blob_equal_nocase((cpuu_blob){text.data, 3}, dn))
        return CPUU_LINK_EX_DN;
    return text.size && memchr(text.data, '@', text.size) ? CPUU_LINK_SMTP : 0;
}

static uint32_t oneoff_address(cpuu_blob oneoff, kit_pool *pool, cpuu_blob *address)
{
    cpuu_eid e;
    return cpuu_eid_decode(oneoff, &e, NULL) ? address_of(&e, pool, address) : 0;
}

static void member_links(cm_member *m, kit_pool *pool, kit_links *links)
{
    finder f = {m, {NULL, 0}};
    cpuu_buf scratch;
    cpuu_blob address = {NULL, 0}, own = {NULL, 0};
    cpuu_buf_init(&scratch, 65536 + (size_t)m->eid.size);
    cpuu_eid_rewrite(m->eid, find_leaf, &f, &scratch, NULL);
    links->failed = links->failed || scratch.failed;
    cpuu_buf_free(&scratch);
    m->first = m->decides = links->count;
    const uint32_t kind = oneoff_address(m->oneoff, pool, &address);
    const char *smtp = kind == CPUU_LINK_SMTP ? (const char *)address.data : NULL;
    const uint32_t own_kind = oneoff_address(m->eid, pool, &own);
    if (f.entry.size)
        kit_links_add(links, CPUU_LINK_EID, kit_pool_copy(pool, f.entry), smtp);
    else if (own_kind == CPUU_LINK_EX_DN)
        kit_links_add(links, own_kind, own, smtp);
    if (kind && links->count > m->first)
        kit_links_add(links, kind, address, smtp);
    m->n = links->count - m->first;
}

void cm_members_links(cm_members *m, kit_pool *pool, kit_links *links)
{
    for (uint32_t i = 0; i < m->count; i++)
        member_links(&m->items[i], pool, links);
    links->failed = links->failed || pool->failed;
}

bool cm_members_settle(cm_members *m, const kit_links *links)
{
    bool any = false;
    for (uint32_t i = 0; i < m->count; i++) {
        cm_member *one = &m->items[i];
        if (one->n) {
            one->decides = kit_settle(links, one->first, one->n, &one->rewrite);
            one->outcome = links->items[one->decides].outcome;
            one->reason = links->items[one->decides].reason;
        } else {
            one->rewrite = one->outcome == CPUU_REWRITTEN;
        }
        any = any || one->rewrite;
    }
    return any;
}

/* ---- writing --------------------------------------------------------------------------------- */

typedef struct replacement {
    const cm_member *m;
    const kit_links *links;
} replacement;

/* The link of the member that holds this identifier. */
static const cpuu_link *link_with(const replacement *r, uint32_t kind, cpuu_blob in)
{
    for (uint32_t i = r->m->first; i < r->m->first + r->m->n; i++) {
        const cpuu_link *k = &r->links->items[i];
        if (k->kind == kind && cpuu_blob_equal(k->in, in))
            return k->outcome == CPUU_REWRITTEN ? k : NULL;
    }
    return NULL;
}

/* A one-off with another address; name, type and bits stay. */
static bool replace_oneoff(const replacement *r, cpuu_eid *e, cpuu_buf *out)
{
    kit_pool pool = {0};
    cpuu_blob address;
    cpuu_buf text;
    const uint32_t kind = address_of(e, &pool, &address);
    const cpuu_link *k = kind ? link_with(r, kind, address) : NULL;
    cpuu_buf_init(&text, 131072);
    if (k && (e->u.oneoff.bits & CPUU_ONEOFF_UNICODE))
        cpuu_buf_utf16_n(&text, (const char *)k->out.data, k->out.size, false);
    else if (k)
        cpuu_buf_add(&text, k->out.data, k->out.size);
    if (k) {
        e->u.oneoff.address = (cpuu_blob){text.data, (uint32_t)text.size};
        cpuu_eid_encode(e, out);
    }
    out->failed = out->failed || text.failed || pool.failed;
    cpuu_buf_free(&text);
    kit_pool_free(&pool);
    return k != NULL;
}

static bool replace_leaf(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    const replacement *r = user;
    cpuu_eid e;
    (void)kind;
    if (!cpuu_eid_decode(in, &e, NULL))
        return false;
    if (e.kind == CPUU_EID_ONEOFF)
        return replace_oneoff(r, &e, out);
    if (e.kind == CPUU_EID_MESSAGE && r->m->message_out.size)
        return cpuu_buf_add(out, r->m->message_out.data, r->m->message_out.size);
    const cpuu_link *k = e.kind == CPUU_EID_AB ? link_with(r, CPUU_LINK_EID, in) : NULL;
    return k && cpuu_buf_add(out, k->out.data, k->out.size);
}

static void write_one(const replacement *r, cpuu_blob in, cpuu_buf *out)
{
    if (r->m->rewrite && in.size)
        cpuu_eid_rewrite(in, replace_leaf, (void *)r, out, NULL);
    else
        cpuu_buf_add(out, in.data, in.size);
}

void cm_member_write(const cm_member *m, const kit_links *links, cpuu_buf *eid, cpuu_buf *oneoff)
{
    const replacement r = {m, links};
    write_one(&r, m->eid, eid);
    write_one(&r, m->oneoff, oneoff);
}

bool cm_member_name(const cm_member *m, char *out, size_t out_size)
{
    cpuu_eid e;
    kit_pool pool = {0};
    cpuu_blob name = {NULL, 0};
    cpuu_blob from = m->oneoff.size ? m->oneoff : m->eid;
    if (cpuu_eid_decode(from, &e, NULL) && e.kind == CPUU_EID_ONEOFF)
        name = e.u.oneoff.bits & CPUU_ONEOFF_UNICODE ? kit_pool_utf16(&pool, e.u.oneoff.name)
                                                     : kit_pool_copy(&pool, e.u.oneoff.name);
    cpuu_value v = {0x3001001Fu, name.size, name.data};
    kit_text(&v, out, out_size);
    const bool ok = !pool.failed;
    kit_pool_free(&pool);
    return ok;
}
