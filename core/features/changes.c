/*
 * The seam: every change of every feature passes here. Queue -> fresh before-image -> comparison
 * with what the feature saw -> journal, flushed -> write -> result. A dry run takes the same way
 * and leaves out the journal and the write.
 */
#include "features/private.h"
#include "features/proptext.h"

#include "base/text.h"

#include <cpuu/formats/entryid.h>
#include <cpuu/formats/propvalue.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAX_QUEUE 65536u
#define MAX_BYTES (256u << 20) /* of all that one verb queues and reads */
#define KEEP_BYTES (1u << 20)  /* values of applied changes that are kept for the shared answers */

/* ---- queueing -------------------------------------------------------------------------------- */

static const char *values_problem(const cpuu_feature *f, const cpuu_change *c)
{
    if ((c->n_set && !c->set) || (c->n_unset && !c->unset) || c->n_set > 4096 || c->n_unset > 4096)
        return "a change has no list of values";
    for (uint32_t i = 0; i < c->n_set + c->n_unset; i++) {
        const uint32_t tag = i < c->n_set ? c->set[i].tag : c->unset[i - c->n_set];
        const uint32_t id = tag >> 16;
        if (c->what != CPUU_SECTIONS && id >= 0x8000u && id - 0x8000u >= f->n_names)
            return "a change sets a named property that `names` does not declare";
        if (i < c->n_set && !cpuu_prop_valid(&c->set[i]))
            return "a change sets a value that does not have the shape of its type";
        for (uint32_t k = 0; k < i; k++) {
            const uint32_t other = k < c->n_set ? c->set[k].tag : c->unset[k - c->n_set];
            if (other >> 16 == id && c->what != CPUU_SECTIONS)
                return "a change names one property twice";
        }
    }
    return NULL;
}

static const char *change_problem(const cpuu_run *run, const cpuu_change *c)
{
    const uint32_t need =
        c->what == CPUU_SECTIONS ? CPUU_NEED_PROFILE_WRITE : CPUU_NEED_TARGET_WRITE;
    if (run->verb != CPUU_VERB_UPDATE && run->verb != CPUU_VERB_SKIP)
        return "only update() and skip() may change anything";
    if (!(run->needs & need))
        return "a change to what `needs` does not declare as written";
    if (c->verb < CPUU_CREATE || c->verb > CPUU_DELETE)
        return "a change has an unknown verb";
    if (c->what < CPUU_ITEMS || c->what > CPUU_SECTIONS || c->what == CPUU_FOLDER)
        return "a change is of an unknown kind of object";
    if (c->verb != CPUU_CREATE && c->id.size == 0 && c->what != CPUU_STORE)
        return "a change names no object";
    if (c->what == CPUU_STORE && c->verb != CPUU_UPDATE)
        return "a mailbox can only be updated";
    if (c->what == CPUU_SECTIONS && c->verb == CPUU_CREATE)
        return "profile sections cannot be created";
    if (c->what == CPUU_SECTIONS && c->id.size != 16)
        return "a profile section is named by 16 bytes";
    if (c->what == CPUU_FOLDERS && c->verb == CPUU_DELETE)
        return "folders are never deleted: what is in them could not be brought back";
    if (c->verb != CPUU_DELETE && c->n_set + c->n_unset == 0)
        return "a change changes nothing";
    if (c->verb == CPUU_CREATE && c->n_unset)
        return "a new object has nothing to remove";
    const bool placed = c->role != CPUU_ROLE_NONE || c->folder.size;
    if (!placed && (c->verb == CPUU_CREATE || c->what == CPUU_RULES || c->what == CPUU_PERMISSIONS))
        return "a change does not say in which folder";
    if (c->role > CPUU_ROLE_PUBLIC || (c->role == CPUU_ROLE_PUBLIC && c->what != CPUU_SECTIONS))
        return "a change names an unknown folder";
    return values_problem(run->f, c);
}

static bool copy_blob(cpuu_arena *a, cpuu_blob *b)
{
    b->data = cpuu_arena_dup(a, b->data, b->size);
    return b->data != NULL;
}

static cpuu_value *copy_values(cpuu_arena *a, const cpuu_value *from, uint32_t n)
{
    cpuu_value *to = cpuu_arena_alloc(a, (n + 1) * sizeof(*to));
    for (uint32_t i = 0; to && i < n; i++) {
        to[i] = from[i];
        to[i].data = cpuu_arena_dup(a, from[i].data, from[i].size);
        if (!to[i].data)
            return NULL;
    }
    return to;
}

static cpuu_rc queue_one(cpuu_run *run, const cpuu_change *from, cpuu_error *err)
{
    cpuu_arena *a = &run->arena, *v = &run->values;
    if (run->n_queue >= MAX_QUEUE || a->used + v->used > MAX_BYTES)
        return cpuu_fail(err, CPUU_E_TOOBIG, "more changes than a feature may queue");
    if (!cpuu_grow(&run->queue, &run->cap_queue, run->n_queue, sizeof(*run->queue)))
        return cpuu_nomem(err);
    cpuu_queued q = {.c = *from, .merged = (uint32_t)run->n_queue};
    q.c.set = copy_values(v, from->set, from->n_set);
    q.c.unset = cpuu_arena_dup(v, from->unset, from->n_unset * sizeof(*from->unset));
    q.c.title = from->title ? cpuu_arena_strdup(v, from->title) : "";
    if (!q.c.set || !q.c.unset || !q.c.title || !copy_blob(a, &q.c.folder) ||
        !copy_blob(a, &q.c.id))
        return cpuu_nomem(err);
    run->queue[run->n_queue++] = q;
    return CPUU_OK;
}

static cpuu_change change_at(const cpuu_change *first, uint32_t i)
{
    cpuu_change c = {0};
    const size_t stride = first->size;
    memcpy(&c, (const char *)first + stride * i, stride < sizeof(c) ? stride : sizeof(c));
    c.size = sizeof(c);
    return c;
}

cpuu_rc CPUU_CALL cpuu_service_change(cpuu_run *run, const cpuu_change *changes, uint32_t n,
                                      uint32_t *ticket)
{
    cpuu_error err = CPUU_ERROR_INIT;
    const size_t before = run->n_queue;
    cpuu_rc rc = cpuu_run_beat(run);
    if (rc < 0 || n == 0)
        return rc;
    const char *problem = changes[0].size < CPUU_CHANGE_MIN ? "a change has the wrong size" : NULL;
    for (uint32_t i = 0; i < n && !problem; i++) {
        cpuu_change c = change_at(changes, i);
        problem = change_problem(run, &c);
    }
    if (problem) {
        run->bug = problem;
        cpuu_fail(&err, CPUU_E_UNDECLARED, "%s", problem);
        return cpuu_run_problem(run, &err);
    }
    for (uint32_t i = 0; i < n && rc == CPUU_OK; i++) {
        cpuu_change c = change_at(changes, i);
        rc = queue_one(run, &c, &err);
    }
    if (rc < 0) {
        run->n_queue = before;
        return cpuu_run_problem(run, &err);
    }
    if (ticket)
        *ticket = (uint32_t)before;
    return CPUU_OK;
}

/* ---- merging --------------------------------------------------------------------------------- */

/* Ids of rules and members are those of one folder: another one may have the same. */
static bool same_place(const cpuu_change *a, const cpuu_change *b)
{
    return (a->what != CPUU_RULES && a->what != CPUU_PERMISSIONS) ||
           (a->role == b->role && cpuu_blob_same(a->folder, b->folder));
}

static bool same_object(const cpuu_change *a, const cpuu_change *b)
{
    return a->verb != CPUU_CREATE && b->verb != CPUU_CREATE && a->what == b->what &&
           cpuu_blob_same(a->id, b->id) && same_place(a, b);
}

static bool names_tag(const cpuu_change *c, uint32_t tag)
{
    for (uint32_t i = 0; i < c->n_set; i++) {
        if (c->set[i].tag >> 16 == tag >> 16)
            return true;
    }
    for (uint32_t i = 0; i < c->n_unset; i++) {
        if (c->unset[i] >> 16 == tag >> 16)
            return true;
    }
    return false;
}

/* `later` wins property by property. */
static cpuu_rc merge_updates(cpuu_run *run, cpuu_change *into, const cpuu_change *later,
                             cpuu_error *err)
{
    const uint32_t most = into->n_set + later->n_set, most_unset = into->n_unset + later->n_unset;
    cpuu_value *set = cpuu_arena_alloc(&run->values, (most + 1) * sizeof(*set));
    uint32_t *unset = cpuu_arena_alloc(&run->values, (most_unset + 1) * sizeof(*unset));
    uint32_t n = 0, m = 0;
    if (!set || !unset)
        return cpuu_nomem(err);
    for (uint32_t i = 0; i < into->n_set; i++) {
        if (!names_tag(later, into->set[i].tag))
            set[n++] = into->set[i];
    }
    for (uint32_t i = 0; i < into->n_unset; i++) {
        if (!names_tag(later, into->unset[i]))
            unset[m++] = into->unset[i];
    }
    for (uint32_t i = 0; i < later->n_set; i++)
        set[n++] = later->set[i];
    for (uint32_t i = 0; i < later->n_unset; i++)
        unset[m++] = later->unset[i];
    into->set = set;
    into->n_set = n;
    into->unset = unset;
    into->n_unset = m;
    return CPUU_OK;
}

/* One object has one before-image, so all that a flush does to it must be one change. */
static cpuu_rc merge(cpuu_run *run, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    for (size_t i = run->n_applied; i < run->n_queue && rc == CPUU_OK; i++) {
        for (size_t k = run->n_applied; k < i; k++) {
            cpuu_queued *first = &run->queue[k], *later = &run->queue[i];
            if (first->merged != k || !same_object(&first->c, &later->c))
                continue;
            later->merged = (uint32_t)k;
            first->c.flags &= later->c.flags | ~CPUU_MAY_FAIL;
            if (first->c.verb == CPUU_DELETE)
                rc = cpuu_fail(err, CPUU_E_NOTFOUND, "'%s' is changed after it was deleted",
                               later->c.title);
            else if (later->c.verb == CPUU_DELETE)
                first->c.verb = CPUU_DELETE;
            else
                rc = merge_updates(run, &first->c, &later->c, err);
            break;
        }
    }
    return rc;
}

/* ---- what is written where ------------------------------------------------------------------- */

#define PLACEHOLDER "cpuu-dry-run-"

static bool is_placeholder(cpuu_blob id)
{
    return id.size > sizeof(PLACEHOLDER) - 1 &&
           memcmp(id.data, PLACEHOLDER, sizeof(PLACEHOLDER) - 1) == 0;
}

static bool to_mailbox(const cpuu_run *run, size_t i)
{
    const cpuu_queued *q = &run->queue[i];
    return q->merged == i && q->rc >= 0 && q->c.what != CPUU_SECTIONS;
}

/* The folder of a message is part of its EntryID. */
static cpuu_rc folder_of(cpuu_run *run, cpuu_queued *q, cpuu_error *err)
{
    cpuu_eid eid;
    if (q->c.what == CPUU_STORE)
        return CPUU_OK;
    if (q->c.role != CPUU_ROLE_NONE) {
        if (cpuu_mailbox_role(run->w->target, q->c.role, &q->folder))
            return CPUU_OK;
        return cpuu_fail(err, CPUU_E_NOTFOUND, "the target mailbox has no special folder %u",
                         q->c.role);
    }
    q->folder = q->c.folder;
    if (q->folder.size || !cpuu_eid_decode(q->c.id, &eid, NULL) || eid.kind != CPUU_EID_MESSAGE)
        return CPUU_OK;
    cpuu_buf b;
    cpuu_buf_init(&b, 256);
    cpuu_rc rc = CPUU_OK;
    if (cpuu_eid_build_folder(&b, eid.provider, &eid.u.message.folder)) {
        q->folder = (cpuu_blob){cpuu_arena_dup(&run->arena, b.data, b.size), (uint32_t)b.size};
        if (!q->folder.data)
            rc = cpuu_nomem(err);
    }
    cpuu_buf_free(&b);
    return rc;
}

/* In a dry run no name is created at the target; a tag without an id keeps the feature's own. */
static cpuu_rc wire_values(cpuu_run *run, const uint16_t *ids, cpuu_queued *q, cpuu_error *err)
{
    q->set = cpuu_arena_dup(&run->values, q->c.set, q->c.n_set * sizeof(*q->set));
    q->unset = cpuu_arena_dup(&run->values, q->c.unset, q->c.n_unset * sizeof(*q->unset));
    if (!q->set || !q->unset)
        return cpuu_nomem(err);
    for (uint32_t i = 0; i < q->c.n_set + q->c.n_unset; i++) {
        uint32_t *tag = i < q->c.n_set ? &q->set[i].tag : &q->unset[i - q->c.n_set];
        const uint32_t wire = cpuu_wire_tag(ids, *tag);
        if (!wire && !run->w->dry_run)
            return cpuu_fail(err, CPUU_E_FAILED, "the target gave no id for a named property");
        if (wire)
            *tag = wire;
    }
    return CPUU_OK;
}

static bool names_used(const cpuu_run *run)
{
    for (size_t i = run->n_applied; i < run->n_queue; i++) {
        const cpuu_change *c = &run->queue[i].c;
        for (uint32_t k = 0; to_mailbox(run, i) && k < c->n_set + c->n_unset; k++) {
            if ((k < c->n_set ? c->set[k].tag : c->unset[k - c->n_set]) >= 0x80000000u)
                return true;
        }
    }
    return false;
}

static cpuu_rc prepare_mailbox(cpuu_run *run, cpuu_error *err)
{
    const uint16_t *ids = NULL;
    cpuu_rc rc = CPUU_OK;
    if (!run->w->mail || !run->w->target)
        return cpuu_fail(err, CPUU_E_IO, "the target mailbox is not connected");
    if (!run->w->dry_run && !run->w->journal)
        return cpuu_fail(err, CPUU_E_FAILED, "there is no journal to write to");
    if (names_used(run))
        rc = cpuu_reading_names(run->s, run->f, run->w->target, !run->w->dry_run, &ids, err);
    for (size_t i = run->n_applied; i < run->n_queue && rc == CPUU_OK; i++) {
        cpuu_queued *q = &run->queue[i];
        if (!to_mailbox(run, i))
            continue;
        rc = folder_of(run, q, err);
        if (rc == CPUU_OK)
            rc = wire_values(run, ids, q, err);
        if (rc == CPUU_OK && q->c.verb != CPUU_CREATE)
            rc = cpuu_run_remember(run, q, err);
    }
    return rc;
}

cpuu_rc cpuu_run_prepare(cpuu_run *run, cpuu_error *err)
{
    cpuu_rc rc = merge(run, err);
    return rc == CPUU_OK && cpuu_run_queues(run, false) ? prepare_mailbox(run, err) : rc;
}

/* ---- before-images --------------------------------------------------------------------------- */

typedef struct slot { /* one change of one of the runs that are written together */
    cpuu_run *run;
    cpuu_queued *q;
} slot;

/* The changes that are still to be written, of all runs that have not failed. */
static slot *slots_of(cpuu_run *const *runs, size_t n, size_t *count)
{
    size_t most = 0, at = 0;
    for (size_t r = 0; r < n; r++)
        most += runs[r]->n_queue - runs[r]->n_applied;
    slot *slots = cpuu_calloc(most + 1, sizeof(*slots));
    for (size_t r = 0; r < n && slots; r++) {
        for (size_t i = runs[r]->n_applied; i < runs[r]->n_queue && runs[r]->rc == CPUU_OK; i++) {
            if (to_mailbox(runs[r], i))
                slots[at++] = (slot){runs[r], &runs[r]->queue[i]};
        }
    }
    *count = at;
    return slots;
}

static cpuu_mail_op image_op(cpuu_run *run, cpuu_queued *q, cpuu_error *err)
{
    static const uint32_t id_tags[] = {0x001A001Fu, 0x3001001Fu, 0x66740014u, 0x66710014u};
    cpuu_mail_op op = {.verb = CPUU_MAIL_READ,
                       .box = run->w->target,
                       .what = q->c.what,
                       .role = q->folder.size ? CPUU_ROLE_NONE : q->c.role,
                       .folder = q->folder};
    if (q->c.verb == CPUU_CREATE) { /* PidTagMessageClass, DisplayName, RuleId, MemberId */
        op.tags = &id_tags[q->c.what == CPUU_RULES         ? 2
                           : q->c.what == CPUU_PERMISSIONS ? 3
                           : q->c.what == CPUU_FOLDERS     ? 1
                                                           : 0];
        op.n_tags = 1;
        return op;
    }
    if (q->c.what != CPUU_STORE) {
        op.ids = &q->c.id;
        op.n_ids = 1;
    }
    if (q->c.verb == CPUU_DELETE)
        return op;
    const uint32_t n = q->c.n_set + q->c.n_unset;
    uint32_t *tags = cpuu_arena_alloc(&run->values, (n + 1) * sizeof(*tags));
    if (!tags) {
        cpuu_nomem(err);
        return op;
    }
    for (uint32_t i = 0; i < n; i++)
        tags[i] = i < q->c.n_set ? q->set[i].tag : q->unset[i - q->c.n_set];
    op.tags = tags;
    op.n_tags = n;
    return op;
}

/* An object that only this dry run knows has no image; neither has a folder that is to be created.
 */
static bool has_image(const cpuu_queued *q)
{
    return !is_placeholder(q->c.verb == CPUU_CREATE ? q->folder : q->c.id);
}

/* Several creations in one folder share one listing: the earlier one that has it. */
static const slot *listed_by(const slot *slots, size_t i)
{
    const cpuu_queued *q = slots[i].q;
    for (size_t k = 0; k < i && q->c.verb == CPUU_CREATE; k++) {
        const cpuu_queued *other = slots[k].q;
        if (other->c.verb == CPUU_CREATE && other->c.what == q->c.what &&
            cpuu_blob_same(other->folder, q->folder))
            return &slots[k];
    }
    return NULL;
}

static cpuu_rc keep_ids(cpuu_run *run, cpuu_queued *q, const cpuu_mail_rows *rows, cpuu_error *err)
{
    q->ids_before = cpuu_arena_alloc(&run->values, (rows->count + 1) * sizeof(*q->ids_before));
    if (!q->ids_before)
        return cpuu_nomem(err);
    for (size_t i = 0; i < rows->count; i++) {
        q->ids_before[i] = rows->items[i].id;
        if (!copy_blob(&run->values, &q->ids_before[i]))
            return cpuu_nomem(err);
    }
    q->n_ids_before = (uint32_t)rows->count;
    return CPUU_OK;
}

static cpuu_rc keep_image(cpuu_run *run, cpuu_queued *q, const cpuu_mail_op *op, cpuu_error *err)
{
    const cpuu_mail_row *row = op->rows.count ? &op->rows.items[0] : NULL;
    if (!row || row->rc < 0) {
        q->rc = row ? row->rc : CPUU_E_NOTFOUND;
        return CPUU_OK;
    }
    const uint32_t n = op->n_tags ? op->n_tags : row->n_values;
    q->before = cpuu_arena_alloc(&run->values, (n + 1) * sizeof(*q->before));
    if (!q->before)
        return cpuu_nomem(err);
    for (uint32_t i = 0; i < n; i++) {
        const cpuu_value *v = i < row->n_values ? &row->values[i] : NULL;
        cpuu_prop p = cpuu_prop_of(op->n_tags ? op->tags[i] : v->tag, v);
        /* The type that is there: it comes back with it. */
        if (p.present)
            p.tag = (p.tag & 0xffff0000u) | (v->tag & 0xffffu);
        if (!p.present && !op->n_tags)
            continue;
        if (!copy_blob(&run->values, &p.data))
            return cpuu_nomem(err);
        q->before[q->n_before++] = p;
    }
    return CPUU_OK;
}

static cpuu_rc take_image(const slot *s, const cpuu_mail_op *op, cpuu_error *err)
{
    if (op->rc < 0) {
        s->q->rc = op->rc;
        cpuu_run_problem(s->run, &op->error);
        return CPUU_OK;
    }
    if (s->q->c.verb == CPUU_CREATE)
        return keep_ids(s->run, s->q, &op->rows, err);
    return keep_image(s->run, s->q, op, err);
}

static cpuu_rc ask_images(const slot *slots, size_t n, cpuu_mail_op *ops, size_t *owners,
                          cpuu_error *err)
{
    size_t n_ops = 0;
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; i < n && rc == CPUU_OK; i++) {
        if (!has_image(slots[i].q) || listed_by(slots, i))
            continue;
        owners[n_ops] = i;
        ops[n_ops++] = image_op(slots[i].run, slots[i].q, err);
        if (slots[i].q->c.verb == CPUU_UPDATE && !ops[n_ops - 1].tags)
            rc = CPUU_E_NOMEM;
    }
    if (rc == CPUU_OK && n_ops)
        rc = cpuu_mail_run(slots[0].run->w->mail, ops, n_ops, err);
    for (size_t i = 0; i < n_ops; i++) {
        if (rc == CPUU_OK)
            rc = take_image(&slots[owners[i]], &ops[i], err);
        cpuu_mail_op_clear(&ops[i]);
    }
    return rc;
}

/* The ids stay where the other run keeps them: journal_all() copies them while all are there. */
static void share_listing(const slot *mine, const slot *other)
{
    mine->q->ids_before = other->q->ids_before;
    mine->q->n_ids_before = other->q->n_ids_before;
    mine->q->rc = other->q->rc;
    if (other->q->rc < 0 && mine->run != other->run)
        memcpy(mine->run->last_problem, other->run->last_problem, sizeof(mine->run->last_problem));
}

static cpuu_rc read_images(const slot *slots, size_t n, cpuu_error *err)
{
    cpuu_mail_op *ops = cpuu_calloc(n + 1, sizeof(*ops));
    size_t *owners = cpuu_calloc(n + 1, sizeof(*owners));
    cpuu_rc rc = ops && owners ? ask_images(slots, n, ops, owners, err) : cpuu_nomem(err);
    for (size_t i = 0; i < n && rc == CPUU_OK; i++) {
        const slot *other = listed_by(slots, i);
        if (other)
            share_listing(&slots[i], other);
    }
    cpuu_free(ops);
    cpuu_free(owners);
    return rc;
}

/* ---- comparison ------------------------------------------------------------------------------ */

/* Whether this verb has written to the object in an earlier flush: then the rows it read are older
 * than its own work. */
static bool written_before(const cpuu_run *run, const cpuu_queued *q)
{
    for (size_t i = 0; i < run->n_applied; i++) {
        const cpuu_queued *old = &run->queue[i];
        if (old->merged == i && old->c.what == q->c.what && same_place(&old->c, &q->c) &&
            (cpuu_blob_same(old->c.id, q->c.id) || cpuu_blob_same(old->result, q->c.id)))
            return true;
    }
    return false;
}

static bool changed_since(const cpuu_run *run, const cpuu_queued *q)
{
    for (uint32_t i = 0; i < q->n_before; i++) {
        for (uint32_t k = 0; k < q->n_seen; k++) {
            if (q->seen[k].tag == q->before[i].tag &&
                (q->seen[k].present != q->before[i].present ||
                 !cpuu_blob_same(q->seen[k].data, q->before[i].data)))
                return !written_before(run, q);
        }
    }
    return false;
}

/* Attachments and recipients are not in a property list, so that such a message could not come
 * back. */
static bool could_not_come_back(const cpuu_queued *q)
{
    if (q->c.verb != CPUU_DELETE)
        return false;
    for (uint32_t i = 0; i < q->n_before; i++) {
        const cpuu_prop *p = &q->before[i];
        if (p->tag == 0x0E1B000Bu && p->present && p->data.size && p->data.data[0])
            return true; /* PidTagHasAttachments */
        if ((p->tag == 0x0E04001Fu || p->tag == 0x0E03001Fu || p->tag == 0x0E02001Fu) &&
            p->present && p->data.size)
            return true; /* PidTagDisplayTo, Cc, Bcc */
    }
    return false;
}

static cpuu_rc excuse(cpuu_run *run, cpuu_queued *q, cpuu_rc rc, const char *why, cpuu_error *err)
{
    q->rc = rc;
    q->applied = true;
    if (!(q->c.flags & CPUU_MAY_FAIL))
        return cpuu_fail(err, rc, "cannot change '%s': %s", q->c.title, why);
    run->n_excused++;
    cpuu_logf(run->w->log, CPUU_LV_WARNING, "%s: '%s' was not changed: %s", run->f->name,
              q->c.title, why);
    return CPUU_OK;
}

static cpuu_rc compare(cpuu_run *run, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    for (size_t i = run->n_applied; i < run->n_queue && rc == CPUU_OK; i++) {
        cpuu_queued *q = &run->queue[i];
        if (q->merged != i || q->c.what == CPUU_SECTIONS)
            continue;
        if (q->rc < 0)
            rc = excuse(run, q, q->rc,
                        q->rc == CPUU_E_NOTFOUND ? "it is not there any more" : run->last_problem,
                        err);
        else if (changed_since(run, q))
            rc = excuse(run, q, CPUU_E_CONFLICT, "somebody else changed it just now; run again",
                        err);
        else if (could_not_come_back(q))
            rc = excuse(run, q, CPUU_E_UNSUPPORTED, "deleting it could not be undone", err);
    }
    return rc;
}

/* ---- journal and writing --------------------------------------------------------------------- */

static cpuu_rc encode_after(const cpuu_queued *q, cpuu_buf *out, cpuu_error *err)
{
    const uint32_t n = q->c.n_set + q->c.n_unset;
    cpuu_prop *items = cpuu_calloc(n + 1, sizeof(*items));
    if (!items)
        return cpuu_nomem(err);
    for (uint32_t i = 0; i < q->c.n_set; i++)
        items[i] = (cpuu_prop){q->set[i].tag, true, {q->set[i].data, q->set[i].size}};
    for (uint32_t i = 0; i < q->c.n_unset; i++)
        items[q->c.n_set + i] = (cpuu_prop){.tag = q->unset[i]};
    cpuu_rc rc = cpuu_proplist_encode(items, n, out, err);
    cpuu_free(items);
    return rc;
}

static cpuu_rc journal_one(cpuu_run *run, cpuu_queued *q, cpuu_error *err)
{
    cpuu_buf before, after;
    cpuu_buf_init(&before, CPUU_PROPLIST_MAX);
    cpuu_buf_init(&after, CPUU_PROPLIST_MAX);
    cpuu_rc rc = q->c.verb == CPUU_CREATE
                     ? cpuu_idlist_encode(q->ids_before, q->n_ids_before, &before, err)
                     : cpuu_proplist_encode(q->before, q->n_before, &before, err);
    if (rc == CPUU_OK && q->c.verb != CPUU_DELETE)
        rc = encode_after(q, &after, err);
    if (rc == CPUU_OK) {
        cpuu_record rec = {.span = run->span,
                           .kind = q->c.verb == CPUU_CREATE   ? CPUU_RECORD_CREATE
                                   : q->c.verb == CPUU_UPDATE ? CPUU_RECORD_UPDATE
                                                              : CPUU_RECORD_DELETE,
                           .status = CPUU_RECORD_SENT, /* once this is flushed it may be */
                           .what = q->c.what,
                           .folder = q->folder,
                           .id = q->c.id,
                           .title = q->c.title,
                           .before = {before.data, (uint32_t)before.size},
                           .after = {after.data, (uint32_t)after.size},
                           .has_before = true,
                           .has_after = q->c.verb != CPUU_DELETE};
        rc = cpuu_journal_add(run->w->journal, &rec, err);
        q->seq = rec.seq;
    }
    cpuu_buf_free(&before);
    cpuu_buf_free(&after);
    return rc;
}

static cpuu_rc journal_all(const slot *slots, size_t n, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; i < n && rc == CPUU_OK; i++)
        rc = journal_one(slots[i].run, slots[i].q, err);
    return rc == CPUU_OK && n ? cpuu_journal_flush(slots[0].run->w->journal, err) : rc;
}

static cpuu_mail_op write_op(cpuu_run *run, const cpuu_queued *q)
{
    cpuu_mail_op op = {.verb = q->c.verb == CPUU_CREATE   ? CPUU_MAIL_CREATE
                               : q->c.verb == CPUU_UPDATE ? CPUU_MAIL_UPDATE
                                                          : CPUU_MAIL_DELETE,
                       .box = run->w->target,
                       .what = q->c.what,
                       .role = q->folder.size ? CPUU_ROLE_NONE : q->c.role,
                       .folder = q->folder,
                       .id = q->c.id};
    if (q->c.verb != CPUU_DELETE) {
        op.set = q->set;
        op.n_set = q->c.n_set;
        op.unset = q->unset;
        op.n_unset = q->c.n_unset;
    }
    return op;
}

static void report_change(cpuu_run *run, const cpuu_queued *q)
{
    char name[64];
    const uint32_t n = q->c.verb == CPUU_DELETE ? 0 : q->c.n_set + q->c.n_unset;
    const cpuu_prop none = {0};
    if (q->c.verb == CPUU_DELETE)
        cpuu_report_change(run->w->report, q->c.title, "(object)", "present", "deleted", ' ');
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t tag = i < q->c.n_set ? q->set[i].tag : q->unset[i - q->c.n_set];
        cpuu_prop after = {.tag = tag};
        if (i < q->c.n_set)
            after = cpuu_prop_of(tag, &q->set[i]);
        const cpuu_prop *before = &none;
        for (uint32_t k = 0; k < q->n_before; k++) {
            if (q->before[k].tag >> 16 == tag >> 16)
                before = &q->before[k];
        }
        if (cpuu_prop_same(before, &after))
            continue;
        char *old = cpuu_prop_text(before), *new = cpuu_prop_text(&after);
        cpuu_report_change(run->w->report, q->c.title,
                           cpuu_prop_name(tag, false, name, sizeof(name)), old, new, ' ');
        cpuu_free(old);
        cpuu_free(new);
    }
}

static cpuu_rc take_result(cpuu_run *run, cpuu_queued *q, const cpuu_mail_op *op, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    q->applied = true;
    if (op->rc < 0) {
        if (!op->maybe_done)
            rc = cpuu_journal_mark(run->w->journal, q->seq, CPUU_RECORD_FAILED, NULL, err);
        run->broken = run->broken || rc < 0;
        /* What may have been done cannot be excused: only replay knows how to find it. */
        if (op->maybe_done)
            q->c.flags &= ~CPUU_MAY_FAIL;
        return rc < 0 ? rc : excuse(run, q, op->rc, op->error.text, err);
    }
    q->result = op->created;
    if (!copy_blob(&run->arena, &q->result))
        return cpuu_nomem(err);
    rc = cpuu_journal_mark(run->w->journal, q->seq, CPUU_RECORD_DONE,
                           q->result.size ? &q->result : NULL, err);
    run->broken = run->broken || rc < 0;
    return rc;
}

static cpuu_rc write_all(const slot *slots, size_t n, cpuu_error *err)
{
    cpuu_mail_op *ops = cpuu_calloc(n + 1, sizeof(*ops));
    if (!ops)
        return cpuu_nomem(err);
    for (size_t i = 0; i < n; i++) {
        ops[i] = write_op(slots[i].run, slots[i].q);
        slots[i].run->wrote = true;
    }
    cpuu_rc rc = n ? cpuu_mail_run(slots[0].run->w->mail, ops, n, err) : CPUU_OK;
    for (size_t i = 0; i < n; i++) {
        cpuu_run *run = slots[i].run;
        cpuu_error one = CPUU_ERROR_INIT;
        /* Without an answer nobody knows: the records stay "sent". */
        const cpuu_rc result = rc == CPUU_OK ? take_result(run, slots[i].q, &ops[i], &one) : rc;
        if (result < 0 && run->rc == CPUU_OK) {
            run->rc = result;
            run->why = rc == CPUU_OK || !err ? one : *err;
        }
        cpuu_mail_op_clear(&ops[i]);
    }
    cpuu_free(ops);
    return rc;
}

static cpuu_rc pretend(const slot *slots, size_t n, cpuu_error *err)
{
    for (size_t i = 0; i < n; i++) {
        cpuu_queued *q = slots[i].q;
        cpuu_reading *s = slots[i].run->s;
        q->applied = true;
        if (q->c.verb == CPUU_CREATE) {
            char id[40];
            snprintf(id, sizeof(id), PLACEHOLDER "%" PRIu32, ++s->placeholders);
            q->result.data = cpuu_arena_dup(&s->arena, id, strlen(id));
            q->result.size = (uint32_t)strlen(id);
            if (!q->result.data)
                return cpuu_nomem(err);
        }
    }
    return CPUU_OK;
}

/* ---- profile --------------------------------------------------------------------------------- */

static cpuu_rc edit_value(cpuu_run *run, const cpuu_queued *q, const char *section, uint32_t tag,
                          const cpuu_value *set, cpuu_error *err)
{
    cpuu_work *w = run->w;
    cpuu_value old = {0};
    char name[64];
    cpuu_error why = CPUU_ERROR_INIT;
    cpuu_rc rc = cpuu_profile_get(w->profile, section, tag, &run->arena, &old, &why);
    if (rc < 0 && rc != CPUU_E_NOTFOUND) {
        if (err)
            *err = why;
        return rc;
    }
    const cpuu_prop before = cpuu_prop_of(tag, rc == CPUU_OK ? &old : NULL);
    const cpuu_prop after = cpuu_prop_of(tag, set);
    if (cpuu_prop_same(&before, &after))
        return CPUU_OK;
    rc = set ? cpuu_profile_set(w->profile, w->edits, section, set, CPUU_MARK_OBSERVED, q->c.title,
                                err)
             : cpuu_profile_unset(w->profile, w->edits, section, tag, CPUU_MARK_OBSERVED,
                                  q->c.title, err);
    if (rc < 0)
        return rc;
    char *a = cpuu_prop_text(&before), *b = cpuu_prop_text(&after);
    cpuu_report_change(w->report, q->c.title, cpuu_prop_name(tag, true, name, sizeof(name)), a, b,
                       CPUU_MARK_OBSERVED);
    cpuu_free(a);
    cpuu_free(b);
    run->n_changes++;
    return CPUU_OK;
}

static cpuu_rc edit_section(cpuu_run *run, cpuu_queued *q, cpuu_error *err)
{
    cpuu_work *w = run->w;
    char section[33];
    cpuu_rc rc = CPUU_OK;
    if (!w->profile || !w->edits)
        return cpuu_fail(err, CPUU_E_NOTFOUND, "there is no profile to change");
    cpuu_hex(section, q->c.id.data, 16);
    const size_t savepoint = w->edits->count;
    if (q->c.verb == CPUU_DELETE) {
        rc = cpuu_profile_remove_provider(w->profile, w->edits, section, err);
        if (rc == CPUU_OK) {
            cpuu_report_change(w->report, q->c.title, section, "present", "removed",
                               CPUU_MARK_OBSERVED);
            run->n_changes++;
        }
    }
    for (uint32_t i = 0; i < q->c.n_set && rc == CPUU_OK && q->c.verb == CPUU_UPDATE; i++)
        rc = edit_value(run, q, section, q->c.set[i].tag, &q->c.set[i], err);
    for (uint32_t i = 0; i < q->c.n_unset && rc == CPUU_OK && q->c.verb == CPUU_UPDATE; i++)
        rc = edit_value(run, q, section, q->c.unset[i], NULL, err);
    if (rc < 0)
        cpuu_edits_truncate(w->edits, savepoint);
    return rc;
}

static cpuu_rc edit_profile(cpuu_run *run, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    if (run->w->edits && !run->staged) {
        run->savepoint = run->w->edits->count;
        run->staged = true;
    }
    for (size_t i = run->n_applied; i < run->n_queue && rc == CPUU_OK; i++) {
        cpuu_queued *q = &run->queue[i];
        cpuu_error why = CPUU_ERROR_INIT;
        if (q->merged != i || q->c.what != CPUU_SECTIONS)
            continue;
        rc = edit_section(run, q, &why);
        q->applied = true;
        if (rc < 0)
            rc = excuse(run, q, rc, why.text, err);
    }
    return rc;
}

/* ---- the services ---------------------------------------------------------------------------- */

bool cpuu_run_queues(const cpuu_run *run, bool sections)
{
    for (size_t i = run->n_applied; i < run->n_queue; i++) {
        if ((run->queue[i].c.what == CPUU_SECTIONS) == sections)
            return true;
    }
    return false;
}

static void fail_all(cpuu_run *const *runs, size_t n, const cpuu_error *why, bool broken)
{
    for (size_t i = 0; i < n; i++) {
        if (runs[i]->rc == CPUU_OK) {
            runs[i]->rc = why->rc;
            runs[i]->why = *why;
        }
        runs[i]->broken = runs[i]->broken || broken;
    }
}

void cpuu_runs_write(cpuu_run *const *runs, size_t n)
{
    cpuu_error err = CPUU_ERROR_INIT;
    size_t count;
    const cpuu_work *w = runs[0]->w;
    slot *slots = slots_of(runs, n, &count);
    cpuu_rc rc = slots ? CPUU_OK : cpuu_nomem(&err);
    if (rc == CPUU_OK && count)
        rc = read_images(slots, count, &err);
    cpuu_free(slots);
    for (size_t i = 0; i < n && rc == CPUU_OK; i++) {
        if (runs[i]->rc == CPUU_OK)
            runs[i]->rc = compare(runs[i], &runs[i]->why);
    }
    slots = rc == CPUU_OK ? slots_of(runs, n, &count) : NULL; /* now without conflicts */
    if (rc == CPUU_OK && !slots)
        rc = cpuu_nomem(&err);
    bool broken = false;
    if (rc == CPUU_OK && !w->dry_run && count) {
        rc = journal_all(slots, count, &err);
        broken = rc < 0;
    }
    if (rc == CPUU_OK)
        rc = w->dry_run ? pretend(slots, count, &err) : write_all(slots, count, &err);
    if (rc < 0)
        fail_all(runs, n, &err, broken);
    cpuu_free(slots);
}

void cpuu_run_finish(cpuu_run *run)
{
    cpuu_run_report(run);
    for (size_t i = run->n_applied; i < run->n_queue; i++) {
        const cpuu_queued *q = &run->queue[i];
        if (q->merged != i || !q->applied || q->rc < 0 || q->c.what == CPUU_SECTIONS)
            continue;
        run->n_changes++;
        report_change(run, q);
    }
    if (run->rc == CPUU_OK)
        run->rc = edit_profile(run, &run->why);
    run->n_applied = run->n_queue; /* a failed flush is not repeated: the feature is rolled back */
}

/* A flush that failed has failed the feature: what comes after it is not written. */
static cpuu_rc flush_now(cpuu_run *run, cpuu_error *err)
{
    if (run->rc == CPUU_OK && run->n_applied == run->n_queue)
        return CPUU_OK;
    run->alone = true;
    cpuu_rc rc = cpuu_batch_before(run);
    if (rc < 0)
        return rc;
    if (run->rc == CPUU_OK)
        run->rc = cpuu_run_prepare(run, &run->why);
    if (run->rc == CPUU_OK)
        cpuu_runs_write(&run, 1);
    cpuu_run_finish(run);
    if (run->rc < 0 && err)
        *err = run->why;
    return run->rc;
}

/* What only the flush needed. Ids and results stay: later changes may name them. */
static void forget_values(cpuu_run *run)
{
    if (run->values.used < KEEP_BYTES)
        return;
    for (size_t i = 0; i < run->n_queue; i++) {
        cpuu_queued *q = &run->queue[i];
        q->c.title = "";
        q->c.set = q->set = NULL;
        q->c.unset = q->unset = NULL;
        q->c.n_set = q->c.n_unset = q->n_before = q->n_ids_before = q->n_seen = 0;
        q->before = q->seen = NULL;
        q->ids_before = NULL;
        q->forgotten = true;
    }
    cpuu_arena_free(&run->values);
}

cpuu_rc CPUU_CALL cpuu_service_flush(cpuu_run *run)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_rc rc = cpuu_run_beat(run);
    if (rc == CPUU_OK)
        rc = flush_now(run, &err);
    forget_values(run);
    if (rc < 0)
        return err.rc ? cpuu_run_problem(run, &err) : rc;
    return cpuu_run_beat(run);
}

cpuu_rc CPUU_CALL cpuu_service_result(cpuu_run *run, uint32_t ticket, cpuu_result *out)
{
    if (ticket >= run->n_applied)
        return CPUU_E_NOTFOUND;
    const cpuu_queued *q = &run->queue[run->queue[ticket].merged];
    cpuu_result r = {
        .size = out->size, .rc = q->rc, .id = q->c.verb == CPUU_CREATE ? q->result : q->c.id};
    memcpy(out, &r, out->size < sizeof(r) ? out->size : sizeof(r));
    return CPUU_OK;
}
