/*
 * Reading sets. Declared reads of all features are fetched as one set when the first of them asks
 * a mailbox for anything; features that ask the same share the answer. What was not declared is
 * fetched as a set when asked.
 */
#include "features/private.h"

#include "base/text.h"

#include <cpuu/formats/entryid.h>
#include <cpuu/formats/propvalue.h>

#include <stdio.h>
#include <string.h>

/* Rows of a streamed query held at a time: few at first, more while they are small. */
#define FIRST_PAGE   64u
#define LARGEST_PAGE 1024u
#define PAGE_GROWS   (1u << 20) /* bytes: below this the next page is four times as long, ... */
#define PAGE_SHRINKS (4u << 20) /* ... above this half as long */
#define PAGE_PARTS   4u         /* read side by side */
#define KEEP_BYTES   (1u << 20) /* answers below this stay until the profile is done */
#define LEAST_PART   128u       /* rows */

static cpuu_rc fetch_failed(cpuu_fetch *f, cpuu_rc rc, const char *why)
{
    f->rc = rc;
    f->done = true;
    snprintf(f->problem, sizeof(f->problem), "%s", why);
    return rc;
}

static void fetch_free(cpuu_fetch *f)
{
    if (!f)
        return;
    cpuu_free(f->rows);
    cpuu_arena_free(&f->arena);
    cpuu_free(f);
}

/* ---- named properties ------------------------------------------------------------------------ */

uint32_t cpuu_wire_tag(const uint16_t *ids, uint32_t tag)
{
    const uint32_t id = tag >> 16;
    if (id < 0x8000u)
        return tag;
    const uint16_t wire = ids ? ids[id - 0x8000u] : 0;
    return wire ? ((uint32_t)wire << 16) | (tag & 0xffffu) : 0;
}

static cpuu_names *names_entry(cpuu_reading *s, const cpuu_feature *f, cpuu_mailbox *box)
{
    for (cpuu_names *n = s->names; n; n = n->next) {
        if (n->feature == f && n->box == box)
            return n;
    }
    return NULL;
}

static cpuu_names *new_names(cpuu_reading *s, const cpuu_feature *f, cpuu_mailbox *box)
{
    cpuu_names *n = cpuu_arena_alloc(&s->arena, sizeof(*n));
    uint16_t *ids = n ? cpuu_arena_alloc(&s->arena, (f->n_names + 1) * sizeof(*ids)) : NULL;
    if (!ids)
        return NULL;
    *n = (cpuu_names){f, box, ids, s->names};
    s->names = n;
    return n;
}

static cpuu_rc ask_names(cpuu_reading *s, cpuu_names **entries, size_t n, bool create,
                         cpuu_error *err)
{
    cpuu_mail_op *ops = cpuu_calloc(n, sizeof(*ops));
    if (!ops)
        return cpuu_nomem(err);
    for (size_t i = 0; i < n; i++)
        ops[i] = (cpuu_mail_op){.verb = CPUU_MAIL_NAME_IDS,
                                .box = entries[i]->box,
                                .names = entries[i]->feature->names,
                                .n_names = entries[i]->feature->n_names,
                                .create_names = create,
                                .name_ids = entries[i]->ids};
    cpuu_rc rc = cpuu_mail_run(s->w->mail, ops, n, err);
    for (size_t i = 0; i < n; i++) {
        if (rc == CPUU_OK && ops[i].rc < 0) {
            if (err)
                *err = ops[i].error;
            rc = ops[i].rc;
        }
        cpuu_mail_op_clear(&ops[i]);
    }
    cpuu_free(ops);
    return rc;
}

cpuu_rc cpuu_reading_names(cpuu_reading *s, const cpuu_feature *f, cpuu_mailbox *box, bool create,
                           const uint16_t **out, cpuu_error *err)
{
    *out = NULL;
    if (f->n_names == 0 || !box)
        return CPUU_OK;
    cpuu_names *n = names_entry(s, f, box);
    bool ask = !n;
    if (!n && !(n = new_names(s, f, box)))
        return cpuu_nomem(err);
    for (uint32_t i = 0; i < f->n_names && create; i++)
        ask = ask || n->ids[i] == 0;
    if (ask) {
        cpuu_rc rc = ask_names(s, &n, 1, create, err);
        if (rc < 0) {
            n->box = NULL; /* ask again next time */
            return rc;
        }
    }
    *out = n->ids;
    return CPUU_OK;
}

/* Names of all features that will run, in both mailboxes, in one set. */
static cpuu_rc map_names(cpuu_reading *s, cpuu_error *err)
{
    const size_t count = cpuu_plugins_count(s->w->plugins);
    cpuu_names **entries = cpuu_calloc(2 * count, sizeof(*entries));
    size_t n = 0;
    cpuu_rc rc = entries ? CPUU_OK : cpuu_nomem(err);
    for (size_t i = 0; i < count && rc == CPUU_OK; i++) {
        const cpuu_feature *f = cpuu_plugins_feature(s->w->plugins, i, NULL, NULL);
        cpuu_mailbox *boxes[2] = {f->needs & CPUU_NEED_SOURCE ? s->w->source : NULL,
                                  f->needs & CPUU_NEED_TARGET ? s->w->target : NULL};
        for (int k = 0; k < 2 && s->selected[i] && f->n_names; k++) {
            if (!boxes[k] || names_entry(s, f, boxes[k]))
                continue;
            entries[n] = new_names(s, f, boxes[k]);
            if (!entries[n++])
                rc = cpuu_nomem(err);
        }
    }
    if (rc == CPUU_OK && n)
        rc = ask_names(s, entries, n, false, err);
    cpuu_free(entries);
    return rc;
}

/* ---- which mailbox --------------------------------------------------------------------------- */

static cpuu_mailbox *own_box(const cpuu_work *w, uint32_t side)
{
    return side == CPUU_SOURCE ? w->source : w->target;
}

/* What a query's `store` names: *dn NULL = public folders. False with a problem in the fetch. */
static bool other_store(cpuu_reading *s, cpuu_fetch *f, bool *own, const char **dn)
{
    cpuu_eid eid;
    cpuu_mailbox *mine = own_box(s->w, f->q.side);
    *own = false;
    *dn = NULL;
    if (f->q.role == CPUU_ROLE_PUBLIC)
        return true;
    if (f->q.store.size == 0) {
        *own = !(f->q.folder.size && cpuu_eid_decode(f->q.folder, &eid, NULL) &&
                 eid.kind == CPUU_EID_FOLDER_PUBLIC);
        return true;
    }
    if (mine && cpuu_eid_same_store(f->q.store, cpuu_mailbox_get_info(mine)->store_entryid)) {
        *own = true;
        return true;
    }
    if (!cpuu_eid_decode(f->q.store, &eid, NULL) || eid.kind != CPUU_EID_STORE) {
        fetch_failed(f, CPUU_E_FORMAT, "what names the other mailbox is not a store EntryID");
        return false;
    }
    if (!cpuu_eid_is_mailbox(&eid))
        return true;
    cpuu_blob text;
    if (!cpuu_eid_store_dn(&eid, &text)) {
        fetch_failed(f, CPUU_E_FORMAT, "the store EntryID names no mailbox");
        return false;
    }
    char *copy = cpuu_arena_alloc(&s->arena, text.size + 1);
    if (copy && text.size)
        memcpy(copy, text.data, text.size);
    *dn = copy;
    if (!copy)
        fetch_failed(f, CPUU_E_NOMEM, "out of memory");
    return copy != NULL;
}

static cpuu_other *find_other(cpuu_reading *s, uint32_t side, const char *dn)
{
    for (cpuu_other *o = s->others; o; o = o->next) {
        if (o->side == side && (dn ? o->dn && cpuu_caseeq(o->dn, dn) : !o->dn))
            return o;
    }
    return NULL;
}

static cpuu_other *add_other(cpuu_reading *s, uint32_t side, const char *dn)
{
    cpuu_other *o = cpuu_arena_alloc(&s->arena, sizeof(*o));
    if (!o)
        return NULL;
    *o = (cpuu_other){.side = side, .dn = dn, .rc = CPUU_END, .next = s->others};
    s->others = o;
    return o;
}

/* Opens every mailbox that was added and not tried yet, in one set. */
static cpuu_rc open_others(cpuu_reading *s, cpuu_error *err)
{
    size_t n = 0, at = 0;
    for (cpuu_other *o = s->others; o; o = o->next)
        n += o->rc == CPUU_END;
    if (n == 0)
        return CPUU_OK;
    cpuu_mail_open *opens = cpuu_calloc(n, sizeof(*opens));
    if (!opens)
        return cpuu_nomem(err);
    for (cpuu_other *o = s->others; o; o = o->next) {
        if (o->rc == CPUU_END)
            opens[at++] = (cpuu_mail_open){
                .endpoint = o->side == CPUU_SOURCE ? s->w->source_endpoint : s->w->target_endpoint,
                .mailbox_dn = o->dn};
    }
    cpuu_rc rc = cpuu_mail_open_all(s->w->mail, opens, n, err);
    at = 0;
    for (cpuu_other *o = s->others; o && rc == CPUU_OK; o = o->next) {
        if (o->rc != CPUU_END)
            continue;
        o->rc = opens[at].rc;
        o->box = opens[at].box;
        snprintf(o->problem, sizeof(o->problem), "%.255s", opens[at].error.text);
        at++;
    }
    cpuu_free(opens);
    return rc;
}

/* Notes which mailbox a fetch needs; the ones that are not open yet are added to the session. */
static cpuu_rc want_box(cpuu_reading *s, cpuu_fetch *f, cpuu_other **other, cpuu_error *err)
{
    bool own;
    const char *dn;
    const uint32_t need_others = CPUU_NEED_OTHERS, need_public = CPUU_NEED_PUBLIC;
    *other = NULL;
    f->box = NULL;
    if (!s->w->mail || !own_box(s->w, f->q.side)) {
        fetch_failed(f, CPUU_E_IO, "the mailbox is not connected");
        return CPUU_OK;
    }
    if (!other_store(s, f, &own, &dn))
        return CPUU_OK;
    if (own) {
        f->box = own_box(s->w, f->q.side);
        f->is_target = f->q.side == CPUU_TARGET;
        return CPUU_OK;
    }
    if (!(f->feature->needs & (dn ? need_others : need_public))) {
        fetch_failed(f, CPUU_E_UNDECLARED, "opens a mailbox that `needs` does not declare");
        return CPUU_OK;
    }
    if (!(f->q.side == CPUU_SOURCE ? s->w->source_endpoint : s->w->target_endpoint)) {
        fetch_failed(f, CPUU_E_ACCESS, "other mailboxes cannot be reached");
        return CPUU_OK;
    }
    *other = find_other(s, f->q.side, dn);
    if (!*other)
        *other = add_other(s, f->q.side, dn);
    return *other ? CPUU_OK : cpuu_nomem(err);
}

/* ---- fetching -------------------------------------------------------------------------------- */

/* The one property every row of that kind has, asked for when a feature wants only ids. */
static const uint32_t *id_column(uint32_t what)
{
    static const uint32_t rule = 0x66740014u, member = 0x66710014u, class = 0x001A001Fu,
                          name = 0x3001001Fu; /* PidTagRuleId, MemberId, MessageClass, DisplayName */
    switch (what) {
    case CPUU_RULES:
        return &rule;
    case CPUU_PERMISSIONS:
        return &member;
    case CPUU_ITEMS:
    case CPUU_HIDDEN:
        return &class;
    default:
        return &name;
    }
}

static cpuu_fetch *fetch_new(const cpuu_feature *feature, const cpuu_query *q)
{
    cpuu_fetch *f = cpuu_calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->feature = feature;
    f->q = *q;
    cpuu_arena *a = &f->arena;
    const uint32_t *tags = cpuu_arena_dup(a, q->tags, q->n_tags * sizeof(*q->tags));
    f->columns = cpuu_arena_alloc(a, (q->n_tags + 1) * sizeof(*f->columns));
    f->asked = cpuu_arena_alloc(a, (q->n_tags + 1) * sizeof(*f->asked));
    f->q.filter = q->filter ? cpuu_arena_strdup(a, q->filter) : NULL;
    f->q.folder.data = cpuu_arena_dup(a, q->folder.data, q->folder.size);
    f->q.store.data = cpuu_arena_dup(a, q->store.data, q->store.size);
    f->q.tags = tags;
    if (!tags || !f->columns || !f->asked || (q->filter && !f->q.filter) || !f->q.folder.data ||
        !f->q.store.data) {
        fetch_free(f);
        return NULL;
    }
    return f;
}

static cpuu_rc fetch_columns(cpuu_reading *s, cpuu_fetch *f, cpuu_error *err)
{
    const uint16_t *ids = NULL;
    bool named = false;
    for (uint32_t i = 0; i < f->q.n_tags; i++)
        named = named || f->q.tags[i] >= 0x80000000u;
    if (named) {
        cpuu_error why = CPUU_ERROR_INIT;
        cpuu_rc rc = cpuu_reading_names(s, f->feature, f->box, false, &ids, &why);
        if (rc == CPUU_E_NOMEM || rc == CPUU_E_STOP)
            return cpuu_fail(err, rc, "%s", why.text);
        if (rc < 0) {
            fetch_failed(f, rc, why.text);
            return CPUU_OK;
        }
    }
    f->n_asked = 0;
    for (uint32_t i = 0; i < f->q.n_tags; i++) {
        f->columns[i] = cpuu_wire_tag(ids, f->q.tags[i]);
        if (f->columns[i])
            f->asked[f->n_asked++] = f->columns[i];
    }
    if (f->n_asked == 0)
        f->asked[f->n_asked++] = *id_column(f->q.what);
    return CPUU_OK;
}

static const uint8_t NOT_FOUND[4] = {0x0f, 0x01, 0x04, 0x80}; /* MAPI_E_NOT_FOUND, little-endian */

static cpuu_value absent(uint32_t tag)
{
    return (cpuu_value){(tag & 0xffff0000u) | CPUU_PT_ERROR, sizeof(NOT_FOUND), NOT_FOUND};
}

/* The values of a row in the order of the columns; only the property id decides, because an answer
 * may be an error or, for an unspecified type, of the type the property really has. */
static bool put_values(cpuu_fetch *f, cpuu_mail_row *row, const cpuu_value *from, uint32_t n)
{
    cpuu_value *values = cpuu_arena_alloc(&f->arena, (f->q.n_tags + 1) * sizeof(*values));
    if (!values)
        return false;
    uint32_t at = 0;
    for (uint32_t i = 0; i < f->q.n_tags; i++) {
        values[i] = absent(f->q.tags[i]);
        if (!f->columns[i])
            continue;
        if (at < n) {
            values[i].tag = (f->columns[i] & 0xffff0000u) | (from[at].tag & 0xffffu);
            values[i].size = from[at].size;
            values[i].data = cpuu_arena_dup(&f->arena, from[at].data, from[at].size);
            if (!values[i].data)
                return false;
        }
        at++;
    }
    row->values = values;
    row->n_values = f->q.n_tags;
    return true;
}

static cpuu_rc add_row(void *user, const cpuu_mail_row *from)
{
    cpuu_fetch *f = user;
    if (f->arena.used > CPUU_MAX_QUERY_BYTES)
        return CPUU_E_TOOBIG;
    if (!cpuu_grow(&f->rows, &f->cap, f->count, sizeof(*f->rows)))
        return CPUU_E_NOMEM;
    cpuu_mail_row row = {.rc = from->rc, .id = from->id};
    row.id.data = cpuu_arena_dup(&f->arena, from->id.data, from->id.size);
    if (!row.id.data || !put_values(f, &row, from->values, from->n_values))
        return CPUU_E_NOMEM;
    f->rows[f->count++] = row;
    return CPUU_OK;
}

static cpuu_mail_op read_op(cpuu_fetch *f)
{
    cpuu_mail_op op = {.verb = CPUU_MAIL_READ,
                       .box = f->box,
                       .what = f->q.what,
                       .role = f->q.role,
                       .folder = f->q.folder,
                       .flags = f->q.flags & CPUU_DEEP,
                       .filter = f->q.filter,
                       .tags = f->asked,
                       .n_tags = f->n_asked,
                       .on_row = add_row,
                       .user = f};
    return op;
}

/* Answers every fetch of the list that is not done, as one set. */
static cpuu_rc fetch_all(cpuu_reading *s, cpuu_fetch **list, size_t n, cpuu_error *err)
{
    cpuu_mail_op *ops = cpuu_calloc(n, sizeof(*ops));
    cpuu_other **others = cpuu_calloc(n, sizeof(*others));
    size_t *which = cpuu_calloc(n, sizeof(*which)), n_ops = 0;
    cpuu_rc rc = ops && others && which ? CPUU_OK : cpuu_nomem(err);
    for (size_t i = 0; i < n && rc == CPUU_OK; i++) {
        if (!list[i]->done)
            rc = want_box(s, list[i], &others[i], err);
    }
    if (rc == CPUU_OK)
        rc = open_others(s, err);
    for (size_t i = 0; i < n && rc == CPUU_OK; i++) {
        cpuu_fetch *f = list[i];
        if (others[i] && others[i]->rc < 0)
            fetch_failed(f, others[i]->rc, others[i]->problem);
        else if (others[i])
            f->box = others[i]->box;
        if (!f->done)
            rc = fetch_columns(s, f, err);
        if (rc == CPUU_OK && !f->done) {
            f->count = 0; /* of an attempt that was cut short */
            which[n_ops] = i;
            ops[n_ops++] = read_op(f);
        }
    }
    if (rc == CPUU_OK && n_ops)
        rc = cpuu_mail_run(s->w->mail, ops, n_ops, err);
    for (size_t i = 0; i < n_ops; i++) {
        cpuu_fetch *f = list[which[i]];
        f->done = rc == CPUU_OK;
        if (f->done && ops[i].rc == CPUU_E_TOOBIG)
            fetch_failed(f, CPUU_E_TOOBIG,
                         "the answer is too large: ask for less or use CPUU_STREAM");
        else if (f->done && ops[i].rc < 0)
            fetch_failed(f, ops[i].rc, ops[i].error.text);
        cpuu_mail_op_clear(&ops[i]);
    }
    cpuu_free(ops);
    cpuu_free(others);
    cpuu_free(which);
    return rc;
}

/* ---- declared reads -------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Named tags of two features mean the same only when their names do: compared as declared. */
static bool same_tag(const cpuu_feature *fa, uint32_t a, const cpuu_feature *fb, uint32_t b)
{
    if (a != b)
        return false;
    if (a < 0x80000000u || fa == fb)
        return true;
    const cpuu_name *x = &fa->names[(a >> 16) - 0x8000u], *y = &fb->names[(b >> 16) - 0x8000u];
    return memcmp(x->guid, y->guid, 16) == 0 && same_text(x->string, y->string) &&
           (x->string || x->id == y->id);
}

static bool same_query(const cpuu_fetch *f, const cpuu_feature *feature, const cpuu_query *q)
{
    if (f->q.side != q->side || f->q.what != q->what || f->q.role != q->role ||
        f->q.flags != q->flags || f->q.n_tags != q->n_tags || !same_text(f->q.filter, q->filter) ||
        !cpuu_blob_same(f->q.folder, q->folder) || !cpuu_blob_same(f->q.store, q->store))
        return false;
    for (uint32_t i = 0; i < q->n_tags; i++) {
        if (!same_tag(f->feature, f->q.tags[i], feature, q->tags[i]))
            return false;
    }
    return true;
}

static cpuu_fetch *find_declared(cpuu_reading *s, const cpuu_feature *feature, const cpuu_query *q)
{
    for (cpuu_fetch *f = s->declared; f; f = f->next) {
        if (same_query(f, feature, q))
            return f;
    }
    return NULL;
}

static cpuu_rc declare(cpuu_reading *s, const cpuu_feature *feature, cpuu_error *err)
{
    for (uint32_t i = 0; i < feature->n_reads; i++) {
        cpuu_query q = cpuu_validate_query_at(feature->reads, i);
        cpuu_fetch *f = q.side == CPUU_PROFILE ? NULL : find_declared(s, feature, &q);
        if (f)
            f->shared = true;
        if (f || q.side == CPUU_PROFILE)
            continue;
        f = fetch_new(feature, &q);
        if (!f)
            return cpuu_nomem(err);
        f->next = s->declared;
        s->declared = f;
    }
    return CPUU_OK;
}

cpuu_rc cpuu_reading_declare(cpuu_reading *s, const bool *selected, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    s->selected = selected;
    for (size_t i = 0; i < cpuu_plugins_count(s->w->plugins) && rc == CPUU_OK; i++) {
        if (selected[i])
            rc = declare(s, cpuu_plugins_feature(s->w->plugins, i, NULL, NULL), err);
    }
    return rc;
}

/* What was declared, all of it. Most of it has been under way since the mailboxes were opened
 * (cpuu_features_ahead); a feature that reads no mailbox need not wait for it. */
static cpuu_rc prefetch(cpuu_reading *s, cpuu_error *err)
{
    size_t n = 0, at = 0;
    cpuu_rc rc = s->w->mail ? map_names(s, err) : CPUU_OK;
    for (const cpuu_fetch *f = s->declared; f; f = f->next)
        n++;
    cpuu_fetch **list = rc == CPUU_OK ? cpuu_calloc(n + 1, sizeof(*list)) : NULL;
    if (rc < 0 || !list)
        return rc < 0 ? rc : cpuu_nomem(err);
    for (cpuu_fetch *f = s->declared; f; f = f->next)
        list[at++] = f;
    rc = fetch_all(s, list, n, err);
    cpuu_free(list);
    s->fetched = rc == CPUU_OK;
    return rc;
}

/* Reads of the user's own mailbox whose columns are known without asking for ids of names. */
static bool is_ahead(const cpuu_query *q, uint32_t side)
{
    bool named = false;
    for (uint32_t i = 0; i < q->n_tags; i++)
        named = named || q->tags[i] >= 0x80000000u;
    return q->side == side && !named && q->role != CPUU_ROLE_NONE && q->role != CPUU_ROLE_PUBLIC &&
           q->store.size == 0;
}

static size_t feature_ahead(const cpuu_feature *f, uint32_t side, cpuu_mail_op *ops)
{
    size_t n = 0;
    if (f->n_names && (f->needs & (side == CPUU_SOURCE ? CPUU_NEED_SOURCE : CPUU_NEED_TARGET)))
        ops[n++] = (cpuu_mail_op){.verb = CPUU_MAIL_NAME_IDS, .names = f->names,
                                  .n_names = f->n_names};
    for (uint32_t i = 0; i < f->n_reads; i++) {
        cpuu_query q = cpuu_validate_query_at(f->reads, i);
        if (is_ahead(&q, side))
            ops[n++] = (cpuu_mail_op){.verb = CPUU_MAIL_READ, .what = q.what, .role = q.role,
                                      .flags = q.flags & CPUU_DEEP, .filter = q.filter,
                                      .tags = q.n_tags ? q.tags : id_column(q.what),
                                      .n_tags = q.n_tags ? q.n_tags : 1};
    }
    return n;
}

cpuu_rc cpuu_features_ahead(const cpuu_plugins *p, const cpuu_settings *s, uint32_t side,
                            cpuu_arena *arena, cpuu_mail_op **out, size_t *n, cpuu_error *err)
{
    const size_t count = cpuu_plugins_count(p);
    bool *selected = cpuu_arena_alloc(arena, (count + 1) * sizeof(*selected));
    size_t room = 1, used = 0;
    if (!selected)
        return cpuu_nomem(err);
    cpuu_plugins_select(p, s, selected);
    for (size_t i = 0; i < count; i++)
        room += 1 + cpuu_plugins_feature(p, i, NULL, NULL)->n_reads;
    cpuu_mail_op *ops = cpuu_arena_alloc(arena, room * sizeof(*ops));
    if (!ops)
        return cpuu_nomem(err);
    for (size_t i = 0; i < count; i++)
        if (selected[i])
            used += feature_ahead(cpuu_plugins_feature(p, i, NULL, NULL), side, ops + used);
    *out = ops;
    *n = used;
    return CPUU_OK;
}

void cpuu_reading_stale(cpuu_reading *s)
{
    for (cpuu_fetch *f = s->declared; f; f = f->next)
        f->stale = f->stale || f->is_target;
}

static void forget_rows(cpuu_fetch *f)
{
    f->count = 0;
    f->done = f->stale = false;
    f->rc = CPUU_OK; /* old rows stay in the arena until the session ends */
}

/* ---- profile sections ------------------------------------------------------------------------ */

static cpuu_rc section_row(cpuu_work *w, cpuu_fetch *f, const char *section, cpuu_error *err)
{
    uint8_t uid[16];
    if (!cpuu_unhex(uid, section, sizeof(uid)))
        return cpuu_fail(err, CPUU_E_FORMAT, "profile section '%s' has no UID for a name", section);
    cpuu_value *values = cpuu_arena_alloc(&f->arena, (f->q.n_tags + 1) * sizeof(*values));
    cpuu_mail_row row = {.id = {cpuu_arena_dup(&f->arena, uid, sizeof(uid)), sizeof(uid)},
                         .values = values,
                         .n_values = f->q.n_tags};
    if (!values || !row.id.data)
        return cpuu_nomem(err);
    for (uint32_t i = 0; i < f->q.n_tags; i++) {
        cpuu_error why = CPUU_ERROR_INIT;
        cpuu_rc rc =
            cpuu_profile_get(w->profile, section, f->q.tags[i], &f->arena, &values[i], &why);
        if (rc == CPUU_E_NOMEM)
            return cpuu_nomem(err);
        if (rc < 0)
            values[i] = absent(f->q.tags[i]);
        if (rc < 0 && rc != CPUU_E_NOTFOUND)
            cpuu_logf(w->log, CPUU_LV_WARNING, "%s", why.text);
    }
    if (!cpuu_grow(&f->rows, &f->cap, f->count, sizeof(*f->rows)))
        return cpuu_nomem(err);
    f->rows[f->count++] = row;
    return CPUU_OK;
}

static cpuu_rc fetch_sections(cpuu_work *w, cpuu_fetch *f, cpuu_error *err)
{
    char **names = NULL;
    size_t n = 0;
    cpuu_error why = CPUU_ERROR_INIT;
    if (!w->profile) {
        fetch_failed(f, CPUU_E_NOTFOUND, "there is no profile");
        return CPUU_OK;
    }
    cpuu_rc rc = cpuu_profile_sections(w->profile, w->account, f->q.role, f->q.filter, &f->arena,
                                       &names, &n, &why);
    for (size_t i = 0; i < n && rc == CPUU_OK; i++)
        rc = section_row(w, f, names[i], &why);
    f->done = true;
    if (rc == CPUU_E_NOMEM)
        return cpuu_nomem(err);
    if (rc < 0)
        fetch_failed(f, rc, why.text);
    return CPUU_OK;
}

/* ---- the services ---------------------------------------------------------------------------- */

static cpuu_rows *rows_new(cpuu_run *run, cpuu_fetch *fetch, bool own)
{
    cpuu_rows *r = cpuu_calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->run = run;
    r->fetch = fetch;
    r->own = own;
    r->next = run->rows;
    r->link = &run->rows;
    if (run->rows)
        run->rows->link = &r->next;
    run->rows = r;
    return r;
}

/* Whether a shared answer has a row for each that the query asks for, and no other. */
static bool lists(const cpuu_fetch *f, const cpuu_query *q)
{
    cpuu_blob folder = f->q.folder;
    if (!f->done || f->rc < 0 || f->stale || f->q.side != q->side || f->q.what != q->what ||
        !same_text(f->q.filter, q->filter) || f->q.flags || f->q.store.size || q->store.size)
        return false;
    if (f->q.role != CPUU_ROLE_NONE && q->role == CPUU_ROLE_NONE &&
        !cpuu_mailbox_role(f->box, f->q.role, &folder))
        return false;
    return q->role != CPUU_ROLE_NONE ? f->q.role == q->role
                                     : folder.size && cpuu_blob_same(folder, q->folder);
}

/* The ids of a streamed query, from a declared read of the same folder when there is one. */
static cpuu_rc take_ids(cpuu_reading *s, cpuu_fetch *f, const cpuu_query *q, cpuu_error *err)
{
    const cpuu_fetch *from = s->declared;
    while (from && !lists(from, q))
        from = from->next;
    for (size_t i = 0; from && i < from->count; i++) {
        cpuu_mail_row row = {.id = from->rows[i].id};
        row.id.data = cpuu_arena_dup(&f->arena, row.id.data, row.id.size);
        if (!row.id.data || !cpuu_grow(&f->rows, &f->cap, f->count, sizeof(*f->rows)))
            return cpuu_nomem(err);
        f->rows[f->count++] = row;
    }
    if (from) {
        f->box = from->box;
        f->is_target = from->is_target;
        f->done = true;
    }
    return CPUU_OK;
}

/* Rows for one query: shared when it was declared and is still true, else of its own. */
static cpuu_rc open_rows(cpuu_run *run, const cpuu_query *q, cpuu_rows **out, cpuu_error *err)
{
    cpuu_fetch *f = q->side != CPUU_PROFILE ? find_declared(run->s, run->f, q) : NULL;
    if (f && f->stale)
        forget_rows(f);
    const bool own = !f;
    if (own) {
        cpuu_query plain = *q;
        if (q->flags & CPUU_STREAM)
            plain.n_tags = 0; /* first the ids; values follow page by page */
        f = fetch_new(run->f, &plain);
    }
    cpuu_rows *r = f ? rows_new(run, f, own) : NULL;
    if (!r) {
        if (own)
            fetch_free(f);
        return cpuu_nomem(err);
    }
    *out = r;
    if (q->flags & CPUU_STREAM) {
        r->page_size = FIRST_PAGE;
        r->page = fetch_new(run->f, q);
        if (!r->page)
            return cpuu_nomem(err);
        return own ? take_ids(run->s, f, q, err) : CPUU_OK;
    }
    return q->side == CPUU_PROFILE ? fetch_sections(run->w, f, err) : CPUU_OK;
}

static cpuu_rc undeclared(cpuu_run *run, const char *problem)
{
    cpuu_error err = CPUU_ERROR_INIT;
    run->bug = problem;
    cpuu_fail(&err, CPUU_E_UNDECLARED, "%s", problem);
    return cpuu_run_problem(run, &err);
}

static cpuu_rc run_queries(cpuu_run *run, cpuu_rows **out, uint32_t n, cpuu_error *err)
{
    cpuu_fetch **list = cpuu_calloc(n, sizeof(*list));
    if (!list)
        return cpuu_nomem(err);
    size_t missing = 0;
    for (uint32_t i = 0; i < n; i++) {
        bool twice = false;
        for (size_t k = 0; k < missing; k++)
            twice = twice || list[k] == out[i]->fetch;
        if (!out[i]->fetch->done && !twice)
            list[missing++] = out[i]->fetch;
    }
    cpuu_rc rc = missing ? fetch_all(run->s, list, missing, err) : CPUU_OK;
    cpuu_free(list);
    return rc;
}

static bool touches(const cpuu_fetch *f, const cpuu_queued *q);
static bool foreseen(const cpuu_queued *q);

/* Whether an answer to the query would depend on what this waiting change does. New items are not
 * shown before they are there to a feature that does not name their maker in `after`: that one
 * never runs while its maker waits. */
static bool depends(const cpuu_query *q, const cpuu_fetch *shared, const cpuu_queued *waiting)
{
    const uint32_t what = waiting->c.what;
    if (q->side == CPUU_PROFILE || what == CPUU_SECTIONS)
        return q->side == CPUU_PROFILE && what == CPUU_SECTIONS;
    if (!shared)
        return q->what == what || (what == CPUU_FOLDERS && q->what == CPUU_FOLDER);
    const bool item = what == CPUU_ITEMS || what == CPUU_HIDDEN;
    return !foreseen(waiting) && !item && touches(shared, waiting);
}

static bool must_write_first(cpuu_run *run, const cpuu_query *q)
{
    cpuu_reading *s = run->s;
    if (s->n_pending == 0)
        return false;
    if (q->side != CPUU_PROFILE && s->selected && !s->fetched) /* the server will be asked */
        return true;
    if (q->side == CPUU_SOURCE)
        return false;
    const bool own = q->side == CPUU_PROFILE || (q->flags & CPUU_STREAM);
    const cpuu_fetch *shared = own ? NULL : find_declared(s, run->f, q);
    if (shared && (shared->stale || !shared->done)) /* the server will be asked */
        return true;
    for (size_t i = 0; i < s->n_pending; i++) {
        const cpuu_run *r = s->pending[i];
        for (size_t k = r->n_applied; k < r->n_queue; k++) {
            if (r->queue[k].merged == k && depends(q, shared, &r->queue[k]))
                return true;
        }
    }
    return false;
}

/* An empty page in place of the last one; rows handed out from that are no longer valid. */
static cpuu_rc new_page(cpuu_rows *r, size_t start, cpuu_error *err)
{
    cpuu_fetch *old = r->page;
    if (old->count && old->arena.used < PAGE_GROWS)
        r->page_size = r->page_size < LARGEST_PAGE / 4 ? r->page_size * 4 : LARGEST_PAGE;
    else if (old->arena.used > PAGE_SHRINKS && r->page_size > 1)
        r->page_size /= 2;
    cpuu_fetch *fresh = fetch_new(old->feature, &old->q);
    if (!fresh)
        return cpuu_nomem(err);
    fetch_free(old);
    cpuu_arena_free(&r->arena);
    r->page = fresh;
    r->page_start = start;
    fresh->box = r->fetch->box;
    fresh->is_target = r->fetch->is_target;
    return CPUU_OK;
}

/* The ids were listed in the order of the table, so its rows are taken from there. */
static size_t page_ops(const cpuu_rows *r, cpuu_blob *ids, cpuu_mail_op *ops)
{
    const size_t left = r->fetch->count - r->page_start;
    const uint32_t n = left < r->page_size ? (uint32_t)left : r->page_size;
    const uint32_t part = n / PAGE_PARTS < LEAST_PART ? n : (n + PAGE_PARTS - 1) / PAGE_PARTS;
    size_t n_ops = 0;
    for (uint32_t i = 0; i < n; i++)
        ids[i] = r->fetch->rows[r->page_start + i].id;
    for (uint32_t i = 0; i < n; i += part) {
        cpuu_mail_op *op = &ops[n_ops++];
        *op = read_op(r->page);
        op->on_row = NULL;
        op->ids = ids + i;
        op->n_ids = n - i < part ? n - i : part;
        op->in_table = true;
        op->first_row = (uint32_t)r->page_start + i;
    }
    return n_ops;
}

static cpuu_rc take_page(cpuu_fetch *f, cpuu_mail_op *ops, size_t n, cpuu_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (ops[i].rc < 0)
            return cpuu_fail(err, ops[i].rc, "%s", ops[i].error.text);
        for (size_t k = 0; k < ops[i].rows.count; k++) {
            cpuu_rc rc = add_row(f, &ops[i].rows.items[k]);
            if (rc < 0)
                return cpuu_fail(err, rc, "a page of rows is too large");
        }
        cpuu_mail_op_clear(&ops[i]);
    }
    return CPUU_OK;
}

static cpuu_rc prepare_page(cpuu_rows *r, size_t start, cpuu_error *err)
{
    cpuu_rc rc = new_page(r, start, err);
    if (rc == CPUU_OK)
        rc = fetch_columns(r->run->s, r->page, err);
    if (rc == CPUU_OK && r->page->done)
        rc = cpuu_fail(err, r->page->rc, "%s", r->page->problem);
    return rc;
}

/* Reads the pages that were prepared in one set; the error is that of the first one that cannot be
 * read, and does not keep the others from being read. */
static cpuu_rc load_pages(cpuu_rows *const *list, size_t n, cpuu_error *err)
{
    cpuu_mail_op *ops = cpuu_calloc(n * PAGE_PARTS, sizeof(*ops));
    cpuu_blob *ids = cpuu_calloc(n * LARGEST_PAGE, sizeof(*ids));
    size_t *ends = cpuu_calloc(n, sizeof(*ends)), n_ops = 0;
    cpuu_rc rc = ops && ids && ends ? CPUU_OK : cpuu_nomem(err);
    for (size_t i = 0; i < n && rc == CPUU_OK; i++) {
        n_ops += page_ops(list[i], ids + i * LARGEST_PAGE, ops + n_ops);
        ends[i] = n_ops;
    }
    if (rc == CPUU_OK)
        rc = cpuu_mail_run(list[0]->run->w->mail, ops, n_ops, err);
    const bool read = rc == CPUU_OK;
    for (size_t i = 0; i < n && read; i++) {
        const size_t begin = i ? ends[i - 1] : 0;
        cpuu_error why = CPUU_ERROR_INIT;
        if (take_page(list[i]->page, ops + begin, ends[i] - begin, &why) < 0 && rc == CPUU_OK) {
            rc = why.rc;
            if (err)
                *err = why;
        }
    }
    for (size_t i = 0; i < n_ops; i++)
        cpuu_mail_op_clear(&ops[i]);
    cpuu_free(ops);
    cpuu_free(ids);
    cpuu_free(ends);
    return rc;
}

/* The first pages of all streams of a set. What cannot be read stays empty: whoever asks for its rows
 * tries again, and learns why. */
static cpuu_rc load_first(cpuu_rows *const *rows, uint32_t n, cpuu_error *err)
{
    cpuu_rows **list = cpuu_calloc(n, sizeof(*list));
    cpuu_error why = CPUU_ERROR_INIT;
    size_t count = 0;
    cpuu_rc rc = list ? CPUU_OK : cpuu_nomem(err);
    for (uint32_t i = 0; i < n && rc == CPUU_OK; i++) {
        if (!rows[i]->page || rows[i]->fetch->rc < 0 || rows[i]->fetch->count == 0)
            continue;
        if (prepare_page(rows[i], 0, &why) == CPUU_OK)
            list[count++] = rows[i];
    }
    if (rc == CPUU_OK && count)
        rc = load_pages(list, count, &why);
    cpuu_free(list);
    if (rc != CPUU_E_NOMEM && rc != CPUU_E_STOP)
        return CPUU_OK;
    return cpuu_fail(err, rc, "%s", why.text);
}

cpuu_rc CPUU_CALL cpuu_service_read(cpuu_run *run, const cpuu_query *queries, uint32_t n,
                                    cpuu_rows **out)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_rc rc = cpuu_run_beat(run);
    for (uint32_t i = 0; i < n; i++)
        out[i] = NULL;
    if (rc < 0 || n == 0)
        return rc;
    if (queries[0].size < CPUU_QUERY_MIN)
        return undeclared(run, "a query has the wrong size");
    for (uint32_t i = 0; i < n; i++) {
        cpuu_query q = cpuu_validate_query_at(queries, i);
        cpuu_feature allowed = *run->f;
        allowed.needs = run->needs;
        const char *problem = cpuu_validate_query(&allowed, &q);
        if (problem)
            return undeclared(run, problem);
    }
    for (uint32_t i = 0; i < n && rc == CPUU_OK; i++) {
        cpuu_query q = cpuu_validate_query_at(queries, i);
        if (must_write_first(run, &q))
            rc = cpuu_batch_before(run);
    }
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < n && rc == CPUU_OK; i++) {
        cpuu_query q = cpuu_validate_query_at(queries, i);
        if (q.side != CPUU_PROFILE && run->s->selected && !run->s->fetched)
            rc = prefetch(run->s, &err);
        if (rc == CPUU_OK)
            rc = open_rows(run, &q, &out[i], &err);
    }
    if (rc == CPUU_OK)
        rc = run_queries(run, out, n, &err);
    if (rc == CPUU_OK)
        rc = load_first(out, n, &err);
    if (rc == CPUU_OK)
        return cpuu_run_beat(run);
    for (uint32_t i = 0; i < n; i++) {
        cpuu_service_rows_close(out[i]);
        out[i] = NULL;
    }
    return cpuu_run_problem(run, &err);
}

/* Values with the tags the feature asked with. */
static const cpuu_value *feature_values(cpuu_rows *r, const cpuu_fetch *f, const cpuu_mail_row *row)
{
    bool named = false;
    for (uint32_t i = 0; i < f->q.n_tags; i++)
        named = named || f->q.tags[i] >= 0x80000000u;
    if (!named)
        return row->values;
    cpuu_value *values = cpuu_arena_dup(&r->arena, row->values, f->q.n_tags * sizeof(*values));
    for (uint32_t i = 0; values && i < f->q.n_tags; i++)
        values[i].tag = (f->q.tags[i] & 0xffff0000u) | (values[i].tag & 0xffffu);
    return values;
}

static cpuu_rc find_row(cpuu_rows *r, uint32_t index, cpuu_fetch **f, size_t *at, cpuu_error *err)
{
    *f = r->fetch;
    *at = index;
    if (index >= r->fetch->count)
        return CPUU_END;
    if (!r->page)
        return CPUU_OK;
    cpuu_rc rc = CPUU_OK;
    if (index < r->page_start || index >= r->page_start + r->page->count) {
        rc = prepare_page(r, index, err);
        if (rc == CPUU_OK)
            rc = load_pages(&r, 1, err);
    }
    *f = r->page;
    *at = index - r->page_start;
    if (rc == CPUU_OK && *at >= r->page->count)
        rc = cpuu_fail(err, CPUU_E_IO, "the server gave fewer rows than asked for");
    return rc;
}

cpuu_rc CPUU_CALL cpuu_service_rows(cpuu_rows *r, uint32_t index, cpuu_row *out)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_fetch *f;
    size_t at;
    if (r->fetch->rc < 0) {
        cpuu_fail(&err, r->fetch->rc, "%s", r->fetch->problem);
        return cpuu_run_problem(r->run, &err);
    }
    cpuu_rc rc = find_row(r, index, &f, &at, &err);
    if (rc < 0)
        return cpuu_run_problem(r->run, &err);
    if (rc == CPUU_END)
        return rc;
    cpuu_row row = {.size = out->size, .rc = f->rows[at].rc, .id = f->rows[at].id};
    row.values = feature_values(r, f, &f->rows[at]);
    if (f->q.n_tags && !row.values)
        return CPUU_E_NOMEM;
    memcpy(out, &row, out->size < sizeof(row) ? out->size : sizeof(row));
    return CPUU_OK;
}

void CPUU_CALL cpuu_service_rows_close(cpuu_rows *r)
{
    if (!r)
        return;
    *r->link = r->next;
    if (r->next)
        r->next->link = r->link;
    if (r->own)
        fetch_free(r->fetch);
    fetch_free(r->page);
    cpuu_arena_free(&r->arena);
    cpuu_free(r);
}

/* ---- what a feature saw, and what it changed ------------------------------------------------- */

/* Ids of rules and members are those of one folder: another one may have the same. */
static bool is_of_folder(const cpuu_fetch *f, const cpuu_queued *q)
{
    cpuu_blob folder = f->q.folder;
    if (q->c.what != CPUU_RULES && q->c.what != CPUU_PERMISSIONS)
        return true;
    if (f->q.role != CPUU_ROLE_NONE && !cpuu_mailbox_role(f->box, f->q.role, &folder))
        return false;
    return cpuu_blob_same(folder, q->folder);
}

static const cpuu_mail_row *row_of(const cpuu_fetch *f, const cpuu_queued *q)
{
    if (!f || !f->is_target || f->rc < 0 || f->q.what != q->c.what || !is_of_folder(f, q))
        return NULL;
    for (size_t i = 0; i < f->count; i++) {
        if (f->rows[i].rc >= 0 && cpuu_blob_same(f->rows[i].id, q->c.id))
            return &f->rows[i];
    }
    return NULL;
}

/* Adds the columns of one answer that no earlier one had. */
static cpuu_rc remember_row(cpuu_run *run, cpuu_queued *q, const cpuu_fetch *f, cpuu_error *err)
{
    const cpuu_mail_row *row = row_of(f, q);
    if (!row || f->q.n_tags == 0)
        return CPUU_OK;
    cpuu_prop *seen =
        cpuu_arena_alloc(&run->values, ((size_t)q->n_seen + f->q.n_tags) * sizeof(*seen));
    if (!seen)
        return cpuu_nomem(err);
    if (q->n_seen)
        memcpy(seen, q->seen, q->n_seen * sizeof(*seen));
    uint32_t n = q->n_seen;
    for (uint32_t i = 0; i < f->q.n_tags; i++) {
        bool known = f->columns[i] == 0;
        for (uint32_t k = 0; k < q->n_seen && !known; k++)
            known = seen[k].tag == f->columns[i];
        if (known)
            continue;
        seen[n] = cpuu_prop_of(f->columns[i], &row->values[i]);
        seen[n].tag = f->columns[i];
        seen[n].data.data = cpuu_arena_dup(&run->values, seen[n].data.data, seen[n].data.size);
        if (!seen[n++].data.data)
            return cpuu_nomem(err);
    }
    q->seen = seen;
    q->n_seen = n;
    return CPUU_OK;
}

/* Rows still open come first; a declared read that the feature has closed counts as seen, too. */
cpuu_rc cpuu_run_remember(cpuu_run *run, cpuu_queued *q, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    for (cpuu_rows *r = run->rows; r && rc == CPUU_OK; r = r->next)
        rc = remember_row(run, q, r->page ? r->page : r->fetch, err);
    for (cpuu_fetch *f = run->s->declared; f && rc == CPUU_OK; f = f->next)
        rc = remember_row(run, q, f, err);
    return rc;
}

/* Large answers that nobody else has declared: what the feature saw of the objects it changes has
 * been remembered. */
void cpuu_reading_release(cpuu_reading *s, const cpuu_run *run)
{
    for (cpuu_fetch **at = &s->declared; *at;) {
        cpuu_fetch *f = *at;
        bool keep = f->feature != run->f || f->shared || f->arena.used < KEEP_BYTES;
        for (const cpuu_rows *r = run->rows; r && !keep; r = r->next)
            keep = r->fetch == f;
        if (keep) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        fetch_free(f);
    }
}

static const cpuu_value *find_value(const cpuu_queued *q, uint32_t tag)
{
    for (uint32_t i = 0; i < q->c.n_set; i++) {
        if (q->set[i].tag == tag)
            return &q->set[i];
    }
    return NULL;
}

static bool is_unset(const cpuu_queued *q, uint32_t tag)
{
    for (uint32_t i = 0; i < q->c.n_unset; i++) {
        if (q->unset[i] >> 16 == tag >> 16)
            return true;
    }
    return false;
}

/* False when the row cannot be told without asking the server. */
static bool patch_row(cpuu_fetch *f, cpuu_mail_row *row, const cpuu_queued *q)
{
    cpuu_value *values = cpuu_arena_dup(&f->arena, row->values, f->q.n_tags * sizeof(*values));
    for (uint32_t i = 0; values && i < f->q.n_tags; i++) {
        const cpuu_value *v = find_value(q, f->columns[i]);
        if (v) {
            values[i] = *v;
            values[i].data = cpuu_arena_dup(&f->arena, v->data, v->size);
            if (!values[i].data)
                return false;
        } else if (f->columns[i] && is_unset(q, f->columns[i])) {
            values[i] = absent(f->columns[i]);
        }
    }
    row->values = values;
    return values != NULL;
}

/* A created item is told by what was set; what the server adds by itself stays absent. */
static bool patch_new(cpuu_fetch *f, const cpuu_queued *q)
{
    const cpuu_value *class = find_value(q, 0x001A001Fu); /* PidTagMessageClass */
    if ((q->c.what != CPUU_ITEMS && q->c.what != CPUU_HIDDEN) || !q->result.size)
        return false;
    if (f->q.filter && !class)
        return false;
    const size_t n = f->q.filter ? strlen(f->q.filter) : 0;
    if (n && (class->size < n || cpuu_ncasecmp((const char *)class->data, f->q.filter, n) != 0))
        return true; /* not what that query asks for */
    cpuu_mail_row row = {.id = q->result, .n_values = f->q.n_tags};
    cpuu_value *values = cpuu_arena_alloc(&f->arena, (f->q.n_tags + 1) * sizeof(*values));
    row.id.data = cpuu_arena_dup(&f->arena, q->result.data, q->result.size);
    row.values = values;
    if (!values || !row.id.data || !cpuu_grow(&f->rows, &f->cap, f->count, sizeof(*f->rows)))
        return false;
    for (uint32_t i = 0; i < f->q.n_tags; i++)
        values[i] = absent(f->q.tags[i]);
    f->rows[f->count] = row;
    if (!patch_row(f, &f->rows[f->count], q))
        return false;
    f->count++;
    return true;
}

static bool patch_fetch(cpuu_fetch *f, const cpuu_queued *q)
{
    if (q->c.what == CPUU_RULES || q->c.what == CPUU_PERMISSIONS)
        return false; /* the server rewrites what it is given */
    if (q->c.what == CPUU_FOLDERS)
        return false;
    if (q->c.verb == CPUU_CREATE)
        return patch_new(f, q);
    for (size_t i = 0; i < f->count; i++) {
        if (!cpuu_blob_same(f->rows[i].id, q->c.id) && q->c.what != CPUU_STORE)
            continue;
        if (q->c.verb == CPUU_UPDATE)
            return patch_row(f, &f->rows[i], q);
        memmove(&f->rows[i], &f->rows[i + 1], (f->count - i - 1) * sizeof(*f->rows));
        f->count--;
        return true;
    }
    return true; /* not in this answer */
}

static bool touches(const cpuu_fetch *f, const cpuu_queued *q)
{
    cpuu_blob folder = f->q.folder;
    if (!f->is_target || !f->done || f->rc < 0)
        return false;
    if (q->c.what == CPUU_FOLDERS) /* their order and depth are the server's business */
        return f->q.what == CPUU_FOLDERS || f->q.what == CPUU_FOLDER;
    if (f->q.what != q->c.what)
        return false;
    if (f->q.role != CPUU_ROLE_NONE && !cpuu_mailbox_role(f->box, f->q.role, &folder))
        return true;
    return q->folder.size == 0 || cpuu_blob_same(folder, q->folder);
}

/* A write may have created names at the target that no row could have before. */
static void learn_names(cpuu_reading *s, cpuu_fetch *f)
{
    const cpuu_names *n = names_entry(s, f->feature, f->box);
    for (uint32_t i = 0; n && i < f->q.n_tags; i++) {
        if (!f->columns[i])
            f->columns[i] = cpuu_wire_tag(n->ids, f->q.tags[i]);
    }
}

void cpuu_reading_patch(cpuu_reading *s, const cpuu_run *run)
{
    for (cpuu_fetch *f = s->declared; f; f = f->next) {
        if (f->is_target && f->done && f->rc >= 0)
            learn_names(s, f);
    }
    for (size_t i = 0; i < run->n_queue; i++) {
        const cpuu_queued *q = &run->queue[i];
        if (q->merged != i || !q->applied || q->rc < 0 || q->c.what == CPUU_SECTIONS)
            continue;
        for (cpuu_fetch *f = s->declared; f; f = f->next) {
            if (touches(f, q) && !f->stale)
                f->stale = q->forgotten || !patch_fetch(f, q);
        }
    }
}

/* What a waiting change will do to an item is known already, but for the id of a new one. */
static bool foreseen(const cpuu_queued *q)
{
    return q->c.verb != CPUU_CREATE && (q->c.what == CPUU_ITEMS || q->c.what == CPUU_HIDDEN ||
                                        q->c.what == CPUU_STORE);
}

void cpuu_reading_expect(cpuu_reading *s, const cpuu_run *run)
{
    for (size_t i = run->n_applied; i < run->n_queue; i++) {
        const cpuu_queued *q = &run->queue[i];
        if (q->merged != i || !foreseen(q))
            continue;
        for (cpuu_fetch *f = s->declared; f; f = f->next) {
            if (touches(f, q) && !f->stale)
                f->stale = !patch_fetch(f, q);
        }
    }
}

void cpuu_reading_free(cpuu_reading *s)
{
    cpuu_free(s->pending);
    while (s->declared) {
        cpuu_fetch *f = s->declared;
        s->declared = f->next;
        fetch_free(f);
    }
    while (s->overlays) {
        cpuu_overlay *o = s->overlays;
        s->overlays = o->next;
        cpuu_free(o->key);
        cpuu_free(o->data);
        cpuu_free(o);
    }
    cpuu_arena_free(&s->arena);
}
