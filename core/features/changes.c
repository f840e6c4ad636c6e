/*
 * The seam: every change of every feature passes here. Queue -> fresh before-image -> comparison
 * with what the feature saw -> journal, flushed -> write -> result. A dry run takes the same way
 * and leaves out the journal and the write.
 */
#include "features/writes.h"

#include "base/text.h"

#include <cpuu/formats/entryid.h>
#include <cpuu/formats/propvalue.h>

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

bool cpuu_queued_keep(cpuu_arena *a, cpuu_blob *b)
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
    if (!q.c.set || !q.c.unset || !q.c.title || !cpuu_queued_keep(a, &q.c.folder) ||
        !cpuu_queued_keep(a, &q.c.id))
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

bool cpuu_queued_same_place(const cpuu_change *a, const cpuu_change *b)
{
    return (a->what != CPUU_RULES && a->what != CPUU_PERMISSIONS) ||
           (a->role == b->role && cpuu_blob_same(a->folder, b->folder));
}

static bool same_object(const cpuu_change *a, const cpuu_change *b)
{
    return a->verb != CPUU_CREATE && b->verb != CPUU_CREATE && a->what == b->what &&
           cpuu_blob_same(a->id, b->id) && cpuu_queued_same_place(a, b);
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

bool cpuu_run_writes(const cpuu_run *run, size_t i)
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
        for (uint32_t k = 0; cpuu_run_writes(run, i) && k < c->n_set + c->n_unset; k++) {
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
        if (!cpuu_run_writes(run, i))
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

/* ---- the services ---------------------------------------------------------------------------- */

bool cpuu_run_queues(const cpuu_run *run, bool sections)
{
    for (size_t i = run->n_applied; i < run->n_queue; i++) {
        if ((run->queue[i].c.what == CPUU_SECTIONS) == sections)
            return true;
    }
    return false;
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
    if (run->rc == CPUU_OK)
        cpuu_run_tell(run);
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
    if (cpuu_run_is_over(run) || ticket >= run->n_applied)
        return CPUU_E_NOTFOUND;
    const cpuu_queued *q = &run->queue[run->queue[ticket].merged];
    cpuu_result r = {
        .size = out->size, .rc = q->rc, .id = q->c.verb == CPUU_CREATE ? q->result : q->c.id};
    memcpy(out, &r, out->size < sizeof(r) ? out->size : sizeof(r));
    return CPUU_OK;
}
