/*
 * One query, one answer: whose mailbox it is of, which ids the named properties have there, and the
 * rows. Queries that have no answer yet are asked as a set.
 */
#include "features/reads.h"

#include "base/text.h"

#include <cpuu/formats/entryid.h>
#include <cpuu/formats/propvalue.h>

#include <stdio.h>
#include <string.h>

cpuu_rc cpuu_fetch_failed(cpuu_fetch *f, cpuu_rc rc, const char *why)
{
    f->rc = rc;
    f->done = true;
    snprintf(f->problem, sizeof(f->problem), "%s", why);
    return rc;
}

void cpuu_fetch_free(cpuu_fetch *f)
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

cpuu_names *cpuu_names_find(cpuu_reading *s, const cpuu_feature *f, cpuu_mailbox *box)
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
    cpuu_names *n = cpuu_names_find(s, f, box);
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
cpuu_rc cpuu_names_map(cpuu_reading *s, cpuu_error *err)
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
            if (!boxes[k] || cpuu_names_find(s, f, boxes[k]))
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

typedef enum place { IN_OWN, IN_PUBLIC, IN_ANOTHER } place;

static place place_of(const cpuu_reading *s, const cpuu_query *q)
{
    cpuu_eid eid;
    const cpuu_mailbox *mine = own_box(s->w, q->side);
    if (q->role == CPUU_ROLE_PUBLIC)
        return IN_PUBLIC;
    if (q->store.size == 0)
        return q->folder.size && cpuu_eid_decode(q->folder, &eid, NULL) &&
                       eid.kind == CPUU_EID_FOLDER_PUBLIC
                   ? IN_PUBLIC
                   : IN_OWN;
    if (cpuu_eid_same_store(q->store, cpuu_mailbox_get_info(mine)->store_entryid))
        return IN_OWN;
    return cpuu_eid_decode(q->store, &eid, NULL) && eid.kind == CPUU_EID_STORE &&
                   !cpuu_eid_is_mailbox(&eid)
               ? IN_PUBLIC
               : IN_ANOTHER;
}

/* The mailbox of a fetch; when that must be opened first, an entry in `boxes` says which. */
static void want_box(cpuu_reading *s, cpuu_fetch *f, cpuu_translate_box *boxes, size_t *n)
{
    f->box = NULL;
    if (!s->w->mail || !own_box(s->w, f->q.side)) {
        cpuu_fetch_failed(f, CPUU_E_IO, "the mailbox is not connected");
        return;
    }
    const place where = place_of(s, &f->q);
    if (where == IN_OWN) {
        f->box = own_box(s->w, f->q.side);
        f->is_target = f->q.side == CPUU_TARGET;
    } else if (!(f->feature->needs & (where == IN_PUBLIC ? CPUU_NEED_PUBLIC : CPUU_NEED_OTHERS))) {
        cpuu_fetch_failed(f, CPUU_E_UNDECLARED, "opens a mailbox that `needs` does not declare");
    } else if (!s->w->translate) {
        cpuu_fetch_failed(f, CPUU_E_UNSUPPORTED, "other mailboxes are opened during an update only");
    } else {
        boxes[*n] = (cpuu_translate_box){.target_side = f->q.side == CPUU_TARGET};
        if (where == IN_ANOTHER)
            boxes[*n].store = f->q.store;
        ++*n;
    }
}

/* Gives every fetch of the list that is not done its mailbox, or the reason why it has none. */
static cpuu_rc find_boxes(cpuu_reading *s, cpuu_fetch **list, size_t n, cpuu_error *err)
{
    size_t n_boxes = 0, at = 0;
    cpuu_translate_box *boxes = cpuu_calloc(n, sizeof(*boxes));
    if (!boxes)
        return cpuu_nomem(err);
    for (size_t i = 0; i < n; i++) {
        if (!list[i]->done)
            want_box(s, list[i], boxes, &n_boxes);
    }
    cpuu_rc rc = n_boxes ? cpuu_translate_open(s->w->translate, boxes, n_boxes, err) : CPUU_OK;
    for (size_t i = 0; i < n && rc == CPUU_OK; i++) {
        if (list[i]->done || list[i]->box)
            continue;
        list[i]->box = boxes[at].box;
        if (boxes[at].rc < 0)
            cpuu_fetch_failed(list[i], boxes[at].rc, boxes[at].problem);
        at++;
    }
    cpuu_free(boxes);
    return rc;
}

/* ---- fetching -------------------------------------------------------------------------------- */

/* The one property every row of that kind has, asked for when a feature wants only ids. */
const uint32_t *cpuu_fetch_id_column(uint32_t what)
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

cpuu_fetch *cpuu_fetch_new(const cpuu_feature *feature, const cpuu_query *q)
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
        cpuu_fetch_free(f);
        return NULL;
    }
    return f;
}

cpuu_rc cpuu_fetch_columns(cpuu_reading *s, cpuu_fetch *f, cpuu_error *err)
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
            cpuu_fetch_failed(f, rc, why.text);
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
        f->asked[f->n_asked++] = *cpuu_fetch_id_column(f->q.what);
    return CPUU_OK;
}

static const uint8_t NOT_FOUND[4] = {0x0f, 0x01, 0x04, 0x80}; /* MAPI_E_NOT_FOUND, little-endian */

cpuu_value cpuu_fetch_absent(uint32_t tag)
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
        values[i] = cpuu_fetch_absent(f->q.tags[i]);
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

cpuu_rc cpuu_fetch_add_row(void *user, const cpuu_mail_row *from)
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

cpuu_mail_op cpuu_fetch_op(cpuu_fetch *f)
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
                       .on_row = cpuu_fetch_add_row,
                       .user = f};
    return op;
}

/* Answers every fetch of the list that is not done, as one set. */
cpuu_rc cpuu_fetch_all(cpuu_reading *s, cpuu_fetch **list, size_t n, cpuu_error *err)
{
    cpuu_mail_op *ops = cpuu_calloc(n, sizeof(*ops));
    size_t *which = cpuu_calloc(n, sizeof(*which)), n_ops = 0;
    cpuu_rc rc = ops && which ? find_boxes(s, list, n, err) : cpuu_nomem(err);
    for (size_t i = 0; i < n && rc == CPUU_OK; i++) {
        cpuu_fetch *f = list[i];
        if (!f->done)
            rc = cpuu_fetch_columns(s, f, err);
        if (rc == CPUU_OK && !f->done) {
            f->count = 0; /* of an attempt that was cut short */
            which[n_ops] = i;
            ops[n_ops++] = cpuu_fetch_op(f);
        }
    }
    if (rc == CPUU_OK && n_ops)
        rc = cpuu_mail_run(s->w->mail, ops, n_ops, err);
    for (size_t i = 0; i < n_ops; i++) {
        cpuu_fetch *f = list[which[i]];
        f->done = rc == CPUU_OK;
        if (f->done && ops[i].rc == CPUU_E_TOOBIG)
            cpuu_fetch_failed(f, CPUU_E_TOOBIG,
                         "the answer is too large: ask for less or use CPUU_STREAM");
        else if (f->done && ops[i].rc < 0)
            cpuu_fetch_failed(f, ops[i].rc, ops[i].error.text);
        cpuu_mail_op_clear(&ops[i]);
    }
    cpuu_free(ops);
    cpuu_free(which);
    return rc;
}
