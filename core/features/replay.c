/*
 * Taking work back: undo, rollback of a feature, recovery after a crash. All records of one object
 * form a chain from the state before to the last thing written. What is there now decides: a value
 * of the chain is replaced by the oldest one, anything else was put there by somebody else and
 * stays. So replay may be killed and started again at any point. Everything is read in one set and
 * written in one set; folders go last, when they are empty.
 */
#include "features/private.h"

#include "base/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct step { /* one record, decoded */
    cpuu_record r;
    cpuu_prop *before, *after;
    uint32_t n_before, n_after;
    cpuu_blob *ids; /* CREATE: in the folder before */
    uint32_t n_ids;
    struct step *older; /* of the same object */
    struct step *next;  /* of all records, newest first */
} step;

typedef enum act { ACT_NONE = 0, ACT_UPDATE, ACT_DELETE, ACT_CREATE, ACT_DELETE_FOLDER } act;

typedef struct object {
    step *newest, *oldest;
    uint32_t *tags; /* every tag the chain knows */
    uint32_t n_tags;
    cpuu_mail_op read;
    struct object *listing; /* whose `read` lists the folder this one must be looked for in; NULL */
    bool exists;
    const cpuu_mail_row *now;
    act act;
    cpuu_blob id; /* what to act on: found, when its id was never learnt */
    cpuu_value *set;
    uint32_t n_set, n_unset;
    uint32_t *unset;
    bool settled;
    struct object *next;
} object;

typedef struct replay {
    cpuu_work *w;
    cpuu_arena arena;
    step *steps, **tail;
    object *objects, **objects_tail;
    size_t n_objects;
    bool any_mailbox, remembered;
    cpuu_error *err;
} replay;

static cpuu_rc nomem(replay *p)
{
    return cpuu_nomem(p->err);
}

/* ---- reading the journal --------------------------------------------------------------------- */

static bool keep(cpuu_arena *a, cpuu_blob *b)
{
    b->data = cpuu_arena_dup(a, b->data, b->size);
    return b->data != NULL;
}

static cpuu_rc decode(replay *p, step *s)
{
    cpuu_rc rc = CPUU_OK;
    if (s->r.kind == CPUU_RECORD_FILE)
        return rc;
    if (s->r.kind == CPUU_RECORD_CREATE)
        rc = cpuu_idlist_decode(s->r.before, &p->arena, &s->ids, &s->n_ids, p->err);
    else
        rc = cpuu_proplist_decode(s->r.before, &p->arena, &s->before, &s->n_before, p->err);
    if (rc == CPUU_OK && s->r.has_after)
        rc = cpuu_proplist_decode(s->r.after, &p->arena, &s->after, &s->n_after, p->err);
    return rc;
}

static cpuu_rc collect(void *user, const cpuu_record *r)
{
    replay *p = user;
    if (r->status == CPUU_RECORD_UNDONE || r->status == CPUU_RECORD_FAILED)
        return CPUU_OK;
    step *s = cpuu_arena_alloc(&p->arena, sizeof(*s));
    if (!s)
        return nomem(p);
    s->r = *r;
    s->r.path = r->path ? cpuu_arena_strdup(&p->arena, r->path) : NULL;
    s->r.title = cpuu_arena_strdup(&p->arena, r->title ? r->title : "");
    if ((r->path && !s->r.path) || !s->r.title || !keep(&p->arena, &s->r.folder) ||
        !keep(&p->arena, &s->r.id) || !keep(&p->arena, &s->r.before) ||
        !keep(&p->arena, &s->r.after))
        return nomem(p);
    *p->tail = s;
    p->tail = &s->next;
    p->any_mailbox = p->any_mailbox || r->kind != CPUU_RECORD_FILE;
    return decode(p, s);
}

/* Ids of rules and members are those of one folder: another one may have the same. */
static bool same_place(const step *a, const step *b)
{
    return (a->r.what != CPUU_RULES && a->r.what != CPUU_PERMISSIONS) ||
           cpuu_blob_same(a->r.folder, b->r.folder);
}

static bool same_object(const object *o, const step *s)
{
    const step *a = o->newest;
    if (a->r.kind == CPUU_RECORD_FILE || s->r.kind == CPUU_RECORD_FILE)
        return a->r.kind == s->r.kind && strcmp(a->r.path, s->r.path) == 0;
    if (a->r.what == CPUU_STORE && s->r.what == CPUU_STORE)
        return true;
    return a->r.what == s->r.what && a->r.id.size && cpuu_blob_same(a->r.id, s->r.id) &&
           same_place(a, s);
}

static cpuu_rc chain(replay *p)
{
    for (step *s = p->steps; s; s = s->next) {
        object *o = p->objects;
        while (o && !same_object(o, s))
            o = o->next;
        if (!o) {
            o = cpuu_arena_alloc(&p->arena, sizeof(*o));
            if (!o)
                return nomem(p);
            o->newest = o->oldest = s;
            *p->objects_tail = o;
            p->objects_tail = &o->next;
            p->n_objects++;
        } else {
            o->oldest->older = s;
            o->oldest = s;
        }
    }
    return CPUU_OK;
}

/* ---- what a chain says ----------------------------------------------------------------------- */

static bool is_file(const object *o)
{
    return o->newest->r.kind == CPUU_RECORD_FILE;
}

static bool created_by_us(const object *o)
{
    return o->oldest->r.kind == CPUU_RECORD_CREATE;
}

static bool deleted_by_us(const object *o)
{
    return o->newest->r.kind == CPUU_RECORD_DELETE;
}

/* Where it lives: an update of a folder does not say, its creation does. */
static cpuu_blob place_of(const object *o)
{
    cpuu_blob folder = {NULL, 0};
    for (const step *s = o->newest; s && !folder.size; s = s->older)
        folder = s->r.folder;
    return folder;
}

static bool id_unknown(const object *o)
{
    return created_by_us(o) && o->newest == o->oldest && o->oldest->r.id.size == 0;
}

static bool add_tag(object *o, uint32_t tag)
{
    for (uint32_t i = 0; i < o->n_tags; i++) {
        if (o->tags[i] == tag)
            return true;
    }
    o->tags[o->n_tags++] = tag;
    return true;
}

/* Every tag that was written. Of a deleted object all were, but they matter only when it is gone.
 */
static cpuu_rc list_tags(replay *p, object *o)
{
    size_t most = 0;
    for (step *s = o->newest; s; s = s->older)
        most += s->n_before + s->n_after;
    o->tags = cpuu_arena_alloc(&p->arena, (most + 1) * sizeof(*o->tags));
    if (!o->tags)
        return nomem(p);
    for (step *s = o->newest; s; s = s->older) {
        for (uint32_t i = 0; i < s->n_after; i++)
            add_tag(o, s->after[i].tag);
        for (uint32_t i = 0; s->r.kind == CPUU_RECORD_UPDATE && i < s->n_before; i++)
            add_tag(o, s->before[i].tag);
    }
    return CPUU_OK;
}

/* Whether the chain ever gave the property this value. */
static bool known_value(const object *o, const cpuu_prop *now)
{
    for (const step *s = o->newest; s; s = s->older) {
        const cpuu_prop *a = cpuu_proplist_find(s->after, s->n_after, now->tag);
        const cpuu_prop *b = cpuu_proplist_find(s->before, s->n_before, now->tag);
        if ((a && cpuu_prop_same(a, now)) || (b && cpuu_prop_same(b, now)))
            return true;
    }
    return false;
}

/* The state before the first change; NULL when the chain does not tell. */
static const cpuu_prop *first_value(const object *o, uint32_t tag)
{
    const cpuu_prop *found = NULL;
    for (const step *s = o->newest; s; s = s->older) {
        const cpuu_prop *b = cpuu_proplist_find(s->before, s->n_before, tag);
        if (b)
            found = b;
    }
    return found;
}

/* What is there now, asked with `tag`; only the property id of the answer counts. */
static cpuu_prop value_now(const cpuu_mail_row *row, uint32_t tag)
{
    for (uint32_t i = 0; i < row->n_values; i++) {
        if (row->values[i].tag >> 16 == tag >> 16)
            return cpuu_prop_of(tag, &row->values[i]);
    }
    return (cpuu_prop){.tag = tag};
}

static void conflict(replay *p, object *o, const char *what)
{
    cpuu_report_conflict(p->w->report, o->newest->r.title, what);
    cpuu_logf(p->w->log, CPUU_LV_WARNING, "'%s' stays as it is: %s", o->newest->r.title, what);
}

static void settle(replay *p, object *o)
{
    cpuu_error err = CPUU_ERROR_INIT;
    o->settled = true;
    for (const step *s = o->newest; s; s = s->older) {
        /* Only a note: without it the next replay finds the object in its old state. */
        if (cpuu_journal_mark(p->w->journal, s->r.seq, CPUU_RECORD_UNDONE, NULL, &err) < 0)
            cpuu_logf(p->w->log, CPUU_LV_WARNING, "%s", err.text);
    }
}

/* ---- reading what is there ------------------------------------------------------------------- */

static void ask(replay *p, object *o)
{
    const step *s = o->newest;
    o->read = (cpuu_mail_op){.verb = CPUU_MAIL_READ,
                             .box = p->w->target,
                             .what = s->r.what,
                             .folder = place_of(o),
                             .tags = o->tags,
                             .n_tags = o->n_tags};
    if (o->n_tags == 0) { /* only whether it is there; PidTagRuleId, MemberId, MessageClass */
        o->tags[0] = s->r.what == CPUU_RULES         ? 0x66740014u
                     : s->r.what == CPUU_PERMISSIONS ? 0x66710014u
                                                     : 0x001A001Fu;
        o->read.n_tags = 1;
    }
    if (!id_unknown(o) && s->r.what != CPUU_STORE) {
        o->id = s->r.id;
        o->read.ids = &o->id;
        o->read.n_ids = 1;
    }
}

/* Runs the operations that pick() gives, one per object, as one set, and hands each its answer. */
static cpuu_rc run_set(replay *p, bool (*pick)(replay *p, object *o, cpuu_mail_op *op),
                       void (*answer)(replay *p, object *o, cpuu_mail_op *op))
{
    cpuu_mail_op *ops = cpuu_calloc(p->n_objects, sizeof(*ops));
    object **owners = cpuu_calloc(p->n_objects, sizeof(*owners));
    size_t n = 0;
    cpuu_rc rc = ops && owners ? CPUU_OK : nomem(p);
    for (object *o = p->objects; o && rc == CPUU_OK; o = o->next) {
        if (!is_file(o) && !o->settled && pick(p, o, &ops[n]))
            owners[n++] = o;
    }
    if (rc == CPUU_OK && n)
        rc = cpuu_mail_run(p->w->mail, ops, n, p->err);
    for (size_t i = 0; i < n; i++) {
        if (rc == CPUU_OK)
            answer(p, owners[i], &ops[i]);
        else
            cpuu_mail_op_clear(&ops[i]);
    }
    cpuu_free(ops);
    cpuu_free(owners);
    return rc;
}

static bool same_listing(const object *a, const object *b)
{
    return a->read.what == b->read.what && cpuu_blob_same(a->read.folder, b->read.folder) &&
           a->n_tags == b->n_tags && memcmp(a->tags, b->tags, a->n_tags * sizeof(*a->tags)) == 0;
}

/* Of all that must be looked for in one folder, the first one reads it. */
static bool is_listed(const replay *p, object *o)
{
    for (object *k = p->objects; k != o && !o->listing; k = k->next) {
        if (k->read.verb && !k->listing && id_unknown(k) && same_listing(k, o))
            o->listing = k;
    }
    return o->listing;
}

static bool pick_read(replay *p, object *o, cpuu_mail_op *op)
{
    ask(p, o);
    if (id_unknown(o) && is_listed(p, o))
        return false;
    *op = o->read;
    return true;
}

/* The rows stay with the object until the end. */
static void take_read(replay *p, object *o, cpuu_mail_op *op)
{
    (void)p;
    o->read = *op;
    if (op->rc == CPUU_OK && !id_unknown(o) && op->rows.count && op->rows.items[0].rc >= 0) {
        o->exists = true;
        o->now = &op->rows.items[0];
    }
}

static cpuu_rc read_problem(replay *p, const object *o)
{
    const cpuu_mail_op *op = &o->read;
    cpuu_rc rc = op->rc;
    if (rc == CPUU_OK && !id_unknown(o) && op->rows.count && op->rows.items[0].rc < 0 &&
        op->rows.items[0].rc != CPUU_E_NOTFOUND)
        rc = op->rows.items[0].rc;
    if (rc == CPUU_OK || rc == CPUU_E_NOTFOUND)
        return CPUU_OK; /* the folder may be gone with its object */
    return cpuu_fail(p->err, rc, "cannot read '%s' to take it back: %s", o->newest->r.title,
                     op->error.text);
}

/* ---- deciding -------------------------------------------------------------------------------- */

static bool claimed(const replay *p, const object *me, cpuu_blob id)
{
    for (const object *o = p->objects; o; o = o->next) {
        if (o != me && !is_file(o) && o->newest->r.what == me->newest->r.what &&
            cpuu_blob_same(o->id, id) && same_place(o->newest, me->newest))
            return true;
    }
    return false;
}

static bool content_equals(const object *o, const cpuu_mail_row *row)
{
    for (uint32_t i = 0; i < o->oldest->n_after; i++) {
        const cpuu_prop now = value_now(row, o->oldest->after[i].tag);
        if (!cpuu_prop_same(&now, &o->oldest->after[i]))
            return false;
    }
    return true;
}

/* An item without a known id is ours when it was not there before and is what we meant to create.
 */
static void find_created(replay *p, object *o)
{
    const cpuu_mail_rows *rows = o->listing ? &o->listing->read.rows : &o->read.rows;
    for (size_t i = 0; i < rows->count && !o->exists; i++) {
        const cpuu_mail_row *row = &rows->items[i];
        if (row->rc < 0 || !content_equals(o, row) ||
            cpuu_idlist_has(o->oldest->ids, o->oldest->n_ids, row->id) || claimed(p, o, row->id))
            continue;
        o->exists = true;
        o->now = row;
        o->id = row->id;
    }
}

static void decide_created(replay *p, object *o)
{
    char what[96];
    if (id_unknown(o))
        find_created(p, o);
    if (!o->exists)
        return;
    for (uint32_t i = 0; i < o->n_tags; i++) {
        const cpuu_prop now = value_now(o->now, o->tags[i]);
        if (!known_value(o, &now)) {
            snprintf(what, sizeof(what),
                     "created by the update, but property 0x%08" PRIX32 " was changed since",
                     now.tag);
            conflict(p, o, what);
            return;
        }
    }
    o->act = o->newest->r.what == CPUU_FOLDERS ? ACT_DELETE_FOLDER : ACT_DELETE;
}

static cpuu_rc decide_updated(replay *p, object *o)
{
    char what[96];
    o->set = cpuu_arena_alloc(&p->arena, (o->n_tags + 1) * sizeof(*o->set));
    o->unset = cpuu_arena_alloc(&p->arena, (o->n_tags + 1) * sizeof(*o->unset));
    if (!o->set || !o->unset)
        return nomem(p);
    for (uint32_t i = 0; i < o->n_tags; i++) {
        const cpuu_prop now = value_now(o->now, o->tags[i]);
        const cpuu_prop *first = first_value(o, o->tags[i]);
        if (!first || cpuu_prop_same(first, &now))
            continue;
        if (!known_value(o, &now)) {
            snprintf(what, sizeof(what), "property 0x%08" PRIX32 " was changed since the update",
                     now.tag);
            conflict(p, o, what);
        } else if (first->present) {
            o->set[o->n_set++] = (cpuu_value){first->tag, first->data.size, first->data.data};
        } else {
            o->unset[o->n_unset++] = first->tag;
        }
    }
    o->act = o->n_set || o->n_unset ? ACT_UPDATE : ACT_NONE;
    return CPUU_OK;
}

/* Properties that a store gives out itself: ids, keys, times, sizes, counts ([MS-OXCMSG] 2.2.1,
 * [MS-OXCFXICS] 2.2.1.2, [MS-OXPROPS]); asking to set them makes a server refuse the item. */
static bool given_by_store(uint32_t what, uint32_t tag)
{
    static const uint16_t ids[] = {0x0FFF, 0x0FF4, 0x0FF6, 0x0FF7, 0x0FF9, 0x0FFA, 0x0FFB, 0x0FFE,
                                   0x0E02, 0x0E03, 0x0E04, 0x0E05, 0x0E08, 0x0E09, 0x0E12, 0x0E13,
                                   0x0E1B, 0x0E1D, 0x0E23, 0x3007, 0x3008, 0x300B, 0x3FF8, 0x3FF9,
                                   0x3FFA, 0x3FFB, 0x65E0, 0x65E1, 0x65E2, 0x65E3, 0x6671, 0x6672,
                                   0x6674, 0x6748, 0x674A, 0x674B, 0x674D, 0x674E, 0x67A4};
    const uint16_t id = (uint16_t)(tag >> 16);
    if (what == CPUU_HIDDEN &&
        id == 0x0E07) /* PidTagMessageFlags: read or not means nothing there */
        return true;
    if ((tag & 0xffffu) == 0x000Du) /* PtypObject has no value */
        return true;
    if (id == 0x0FFF && what == CPUU_PERMISSIONS)
        return false; /* whose permission it is */
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        if (ids[i] == id)
            return true;
    }
    return false;
}

static cpuu_rc decide_deleted(replay *p, object *o)
{
    const step *s = o->newest;
    o->set = cpuu_arena_alloc(&p->arena, (s->n_before + 1) * sizeof(*o->set));
    if (!o->set)
        return nomem(p);
    for (uint32_t i = 0; i < s->n_before; i++) {
        const cpuu_prop *first = first_value(o, s->before[i].tag);
        if (first->present && !given_by_store(s->r.what, first->tag))
            o->set[o->n_set++] = (cpuu_value){first->tag, first->data.size, first->data.data};
    }
    o->act = o->n_set ? ACT_CREATE : ACT_NONE;
    return CPUU_OK;
}

static cpuu_rc decide(replay *p, object *o)
{
    if (created_by_us(o)) {
        decide_created(p, o);
        return CPUU_OK;
    }
    if (o->exists)
        return decide_updated(p, o);
    if (deleted_by_us(o))
        return decide_deleted(p, o);
    conflict(p, o, "it was deleted since the update");
    return CPUU_OK;
}

/* ---- bringing back what was deleted ---------------------------------------------------------- */

/* As for every creation: before it is tried the journal knows what was in the folder, so that a
 * second replay finds what a first one, killed, has created. */
static bool pick_listing(replay *p, object *o, cpuu_mail_op *op)
{
    if (o->act != ACT_CREATE)
        return false;
    uint32_t *tags = cpuu_arena_alloc(&p->arena, (o->n_set + 1) * sizeof(*tags));
    if (!tags)
        nomem(p);
    for (uint32_t i = 0; tags && i < o->n_set; i++)
        tags[i] = o->set[i].tag;
    *op = (cpuu_mail_op){.verb = CPUU_MAIL_READ,
                         .box = p->w->target,
                         .what = o->newest->r.what,
                         .folder = place_of(o),
                         .tags = tags,
                         .n_tags = o->n_set};
    return tags != NULL;
}

static bool row_equals_set(const object *o, const cpuu_mail_row *row)
{
    for (uint32_t i = 0; i < o->n_set; i++) {
        const cpuu_prop want = {o->set[i].tag, true, {o->set[i].data, o->set[i].size}};
        const cpuu_prop now = value_now(row, want.tag);
        if (!cpuu_prop_same(&want, &now))
            return false;
    }
    return true;
}

static void listing_key(const object *o, char out[48])
{
    snprintf(out, 48, "restore:%" PRId64, o->newest->r.seq);
}

/* False on the first try, when there is nothing to go by yet. */
static bool tried_before(replay *p, object *o, const cpuu_mail_rows *rows)
{
    char key[48];
    cpuu_buf b;
    cpuu_blob *ids;
    uint32_t n;
    bool found = false;
    listing_key(o, key);
    cpuu_buf_init(&b, CPUU_PROPLIST_MAX);
    if (cpuu_journal_get(p->w->journal, key, &b, NULL) == CPUU_OK &&
        cpuu_idlist_decode((cpuu_blob){b.data, (uint32_t)b.size}, &p->arena, &ids, &n, NULL) ==
            CPUU_OK) {
        for (size_t i = 0; i < rows->count && !found; i++)
            found = rows->items[i].rc >= 0 && !cpuu_idlist_has(ids, n, rows->items[i].id) &&
                    row_equals_set(o, &rows->items[i]);
        if (found)
            o->act = ACT_NONE;
        cpuu_buf_free(&b);
        return true;
    }
    cpuu_buf_free(&b);
    return false;
}

static cpuu_rc remember_listing(replay *p, object *o, const cpuu_mail_rows *rows, cpuu_error *err)
{
    char key[48];
    cpuu_buf b;
    cpuu_blob *ids = cpuu_calloc(rows->count + 1, sizeof(*ids));
    if (!ids)
        return cpuu_nomem(err);
    for (size_t i = 0; i < rows->count; i++)
        ids[i] = rows->items[i].id;
    listing_key(o, key);
    cpuu_buf_init(&b, CPUU_PROPLIST_MAX);
    cpuu_rc rc = cpuu_idlist_encode(ids, (uint32_t)rows->count, &b, err);
    if (rc == CPUU_OK)
        rc = cpuu_journal_put(p->w->journal, key, b.data, b.size, err);
    cpuu_buf_free(&b);
    cpuu_free(ids);
    return rc;
}

static void take_listing(replay *p, object *o, cpuu_mail_op *op)
{
    cpuu_error err = CPUU_ERROR_INIT;
    if (op->rc < 0)
        err = op->error;
    else if (!tried_before(p, o, &op->rows))
        p->remembered = remember_listing(p, o, &op->rows, &err) == CPUU_OK;
    if (err.rc < 0 && p->err && p->err->rc == CPUU_OK)
        *p->err = err;
    cpuu_mail_op_clear(op);
}

/* ---- writing --------------------------------------------------------------------------------- */

static bool pick_write(replay *p, object *o, cpuu_mail_op *op)
{
    *op = (cpuu_mail_op){.box = p->w->target,
                         .what = o->newest->r.what,
                         .folder = place_of(o),
                         .id = o->id,
                         .set = o->set,
                         .n_set = o->n_set,
                         .unset = o->unset,
                         .n_unset = o->n_unset};
    switch (o->act) {
    case ACT_UPDATE:
        op->verb = CPUU_MAIL_UPDATE;
        return true;
    case ACT_CREATE:
        op->verb = CPUU_MAIL_CREATE;
        op->id = (cpuu_blob){NULL, 0};
        return true;
    case ACT_DELETE:
        op->verb = CPUU_MAIL_DELETE;
        return true;
    default:
        return false;
    }
}

static void note_error(replay *p, const object *o, const cpuu_error *why)
{
    if (p->err && p->err->rc == CPUU_OK)
        cpuu_fail(p->err, why->rc, "cannot take back '%s': %s", o->newest->r.title, why->text);
    cpuu_logf(p->w->log, CPUU_LV_ERROR, "cannot take back '%s': %s", o->newest->r.title, why->text);
}

static void take_write(replay *p, object *o, cpuu_mail_op *op)
{
    if (op->rc == CPUU_E_CONFLICT)
        conflict(p, o, "it was changed while it was being taken back");
    else if (op->rc == CPUU_E_NOTFOUND && op->verb != CPUU_MAIL_DELETE)
        conflict(p, o, "it was deleted while it was being taken back");
    if (op->rc >= 0 || op->rc == CPUU_E_CONFLICT || op->rc == CPUU_E_NOTFOUND)
        settle(p, o);
    else
        note_error(p, o, &op->error);
    cpuu_mail_op_clear(op);
}

/* ---- folders we created ---------------------------------------------------------------------- */

static bool pick_inside(replay *p, object *o, cpuu_mail_op *op, uint32_t what)
{
    static const uint32_t tags[] = {0x001A001Fu, 0x3001001Fu}; /* MessageClass, DisplayName */
    if (o->act != ACT_DELETE_FOLDER)
        return false;
    *op = (cpuu_mail_op){.verb = CPUU_MAIL_READ,
                         .box = p->w->target,
                         .what = what,
                         .folder = o->id,
                         .tags = &tags[what == CPUU_FOLDERS],
                         .n_tags = 1};
    return true;
}

static bool pick_items(replay *p, object *o, cpuu_mail_op *op)
{
    return pick_inside(p, o, op, CPUU_ITEMS);
}

static bool pick_hidden(replay *p, object *o, cpuu_mail_op *op)
{
    return pick_inside(p, o, op, CPUU_HIDDEN);
}

static bool pick_folders(replay *p, object *o, cpuu_mail_op *op)
{
    return pick_inside(p, o, op, CPUU_FOLDERS);
}

static void take_inside(replay *p, object *o, cpuu_mail_op *op)
{
    if (op->rc < 0 || op->rows.count) {
        conflict(p, o, "the folder was created by the update, but something is in it now");
        o->act = ACT_NONE;
        settle(p, o);
    }
    cpuu_mail_op_clear(op);
}

static bool pick_folder_delete(replay *p, object *o, cpuu_mail_op *op)
{
    if (o->act != ACT_DELETE_FOLDER)
        return false;
    *op = (cpuu_mail_op){.verb = CPUU_MAIL_DELETE,
                         .box = p->w->target,
                         .what = CPUU_FOLDERS,
                         .folder = place_of(o),
                         .id = o->id};
    return true;
}

/* Newest first is deepest first, so that one after the other becomes empty. */
static cpuu_rc delete_folders(replay *p)
{
    cpuu_rc rc = CPUU_OK;
    for (object *o = p->objects; o && rc == CPUU_OK; o = o->next) {
        object *rest = o->next;
        replay one = {.w = p->w, .objects = o, .n_objects = 1, .err = p->err};
        if (is_file(o) || o->settled || o->act != ACT_DELETE_FOLDER)
            continue;
        o->next = NULL;
        rc = run_set(&one, pick_items, take_inside);
        if (rc == CPUU_OK)
            rc = run_set(&one, pick_hidden, take_inside);
        if (rc == CPUU_OK)
            rc = run_set(&one, pick_folders, take_inside);
        if (rc == CPUU_OK)
            rc = run_set(&one, pick_folder_delete, take_write);
        o->next = rest;
    }
    return rc;
}

/* ---- files ----------------------------------------------------------------------------------- */

static bool file_is(bool there, const cpuu_buf *now, bool has, cpuu_blob data)
{
    return there == has &&
           (!has || cpuu_blob_same((cpuu_blob){now->data, (uint32_t)now->size}, data));
}

static cpuu_rc restore_file(replay *p, object *o)
{
    const step *first = o->oldest;
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_buf now;
    cpuu_buf_init(&now, CPUU_PROPLIST_MAX);
    cpuu_rc rc = cpuu_file_read(first->r.path, &now, NULL, &err);
    const bool there = rc == CPUU_OK;
    bool known = false;
    for (const step *s = o->newest; s; s = s->older)
        known = known || file_is(there, &now, s->r.has_before, s->r.before) ||
                file_is(there, &now, s->r.has_after, s->r.after);
    if (rc == CPUU_OK || rc == CPUU_E_NOTFOUND) {
        rc = CPUU_OK;
        if (!known)
            conflict(p, o, "the file was changed since the update");
        else if (!file_is(there, &now, first->r.has_before, first->r.before))
            rc = first->r.has_before ? cpuu_file_write(first->r.path, first->r.before.data,
                                                       first->r.before.size, 0600, &err)
                                     : cpuu_file_delete(first->r.path, &err);
    }
    cpuu_buf_free(&now);
    if (rc < 0)
        note_error(p, o, &err);
    else
        settle(p, o);
    return rc;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static cpuu_rc replay_mailbox(replay *p)
{
    cpuu_rc rc = CPUU_OK;
    for (object *o = p->objects; o && rc == CPUU_OK; o = o->next) {
        if (!is_file(o))
            rc = list_tags(p, o);
    }
    if (rc == CPUU_OK)
        rc = run_set(p, pick_read, take_read);
    for (object *o = p->objects; o && rc == CPUU_OK; o = o->next) {
        if (is_file(o))
            continue;
        rc = read_problem(p, o);
        if (rc == CPUU_OK)
            rc = decide(p, o);
        if (rc == CPUU_OK && o->act == ACT_NONE)
            settle(p, o);
    }
    if (rc == CPUU_OK)
        rc = run_set(p, pick_listing, take_listing);
    if (rc == CPUU_OK && p->err->rc < 0)
        rc = p->err->rc;
    if (rc == CPUU_OK && p->remembered)
        rc = cpuu_journal_flush(p->w->journal, p->err);
    if (rc == CPUU_OK)
        rc = run_set(p, pick_write, take_write);
    return rc == CPUU_OK ? delete_folders(p) : rc;
}

static void forget(replay *p)
{
    for (object *o = p->objects; o; o = o->next)
        cpuu_mail_op_clear(&o->read);
    cpuu_arena_free(&p->arena);
}

static cpuu_rc replay_all(replay *p, int64_t span, bool skip_mailbox)
{
    cpuu_work *w = p->w;
    cpuu_rc rc = cpuu_journal_each(w->journal, span, true, collect, p, p->err);
    if (rc == CPUU_OK && p->any_mailbox && !skip_mailbox && (!w->mail || !w->target))
        rc = cpuu_fail(
            p->err, CPUU_E_NETWORK,
            "the target mailbox cannot be reached, so that nothing was taken back; try again "
            "later, or use --profile-only to restore only the profile");
    if (rc == CPUU_OK)
        rc = chain(p);
    if (rc == CPUU_OK && p->any_mailbox && !skip_mailbox)
        rc = replay_mailbox(p);
    if (rc == CPUU_OK && p->err->rc < 0)
        rc = p->err->rc;
    for (object *o = p->objects; o && rc == CPUU_OK; o = o->next) {
        if (is_file(o))
            rc = restore_file(p, o);
    }
    return rc;
}

cpuu_rc cpuu_features_rollback(cpuu_work *w, int64_t span, bool skip_mailbox, cpuu_error *err)
{
    cpuu_error why = CPUU_ERROR_INIT;
    replay p = {.w = w, .err = &why};
    p.tail = &p.steps;
    p.objects_tail = &p.objects;
    cpuu_rc rc = replay_all(&p, span, skip_mailbox);
    forget(&p);
    if (rc < 0)
        return cpuu_fail(err, rc, "%s", why.text[0] ? why.text : "taking the changes back failed");
    return CPUU_OK;
}

static cpuu_rc look(void *user, const cpuu_record *r)
{
    bool *found = user;
    if (r->kind != CPUU_RECORD_FILE && r->status != CPUU_RECORD_UNDONE &&
        r->status != CPUU_RECORD_FAILED)
        *found = true;
    return CPUU_OK;
}

cpuu_rc cpuu_features_has_mailbox_records(cpuu_journal *j, bool *out, cpuu_error *err)
{
    bool found = false;
    cpuu_rc rc = cpuu_journal_each(j, 0, true, look, &found, err);
    if (rc == CPUU_OK)
        *out = found;
    return rc;
}
