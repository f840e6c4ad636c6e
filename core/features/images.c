/*
 * Before-images: read anew for all that is about to be written, and compared with what the feature
 * saw. What somebody else has changed since is a conflict.
 */
#include "features/writes.h"

#include <string.h>

/* ---- before-images --------------------------------------------------------------------------- */

cpuu_slot *cpuu_slots_of(cpuu_run *const *runs, size_t n, size_t *count)
{
    size_t most = 0, at = 0;
    for (size_t r = 0; r < n; r++)
        most += runs[r]->n_queue - runs[r]->n_applied;
    cpuu_slot *slots = cpuu_calloc(most + 1, sizeof(*slots));
    for (size_t r = 0; r < n && slots; r++) {
        for (size_t i = runs[r]->n_applied; i < runs[r]->n_queue && runs[r]->rc == CPUU_OK; i++) {
            if (cpuu_run_writes(runs[r], i))
                slots[at++] = (cpuu_slot){runs[r], &runs[r]->queue[i]};
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

static bool is_placeholder(cpuu_blob id)
{
    return id.size > sizeof(CPUU_PLACEHOLDER) - 1 &&
           memcmp(id.data, CPUU_PLACEHOLDER, sizeof(CPUU_PLACEHOLDER) - 1) == 0;
}

/* An object that only this dry run knows has no image; neither has a folder that is to be created.
 */
static bool has_image(const cpuu_queued *q)
{
    return !is_placeholder(q->c.verb == CPUU_CREATE ? q->folder : q->c.id);
}

/* Several creations in one folder share one listing: the earlier one that has it. */
static const cpuu_slot *listed_by(const cpuu_slot *slots, size_t i)
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
        if (!cpuu_queued_keep(&run->values, &q->ids_before[i]))
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
        if (!cpuu_queued_keep(&run->values, &p.data))
            return cpuu_nomem(err);
        q->before[q->n_before++] = p;
    }
    return CPUU_OK;
}

/* Who may not write at all will not be let in a moment later. */
void cpuu_run_note_unanswered(cpuu_run *run, const cpuu_mail_op *op)
{
    if (op->unanswered && op->rc != CPUU_E_AUTH && op->rc != CPUU_E_ACCESS)
        run->unanswered = true;
}

static cpuu_rc take_image(const cpuu_slot *s, const cpuu_mail_op *op, cpuu_error *err)
{
    if (op->rc < 0) {
        s->q->rc = op->rc;
        cpuu_run_note_unanswered(s->run, op);
        cpuu_run_problem(s->run, &op->error);
        return CPUU_OK;
    }
    if (s->q->c.verb == CPUU_CREATE)
        return keep_ids(s->run, s->q, &op->rows, err);
    return keep_image(s->run, s->q, op, err);
}

static cpuu_rc ask_images(const cpuu_slot *slots, size_t n, cpuu_mail_op *ops, size_t *owners,
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
static void share_listing(const cpuu_slot *mine, const cpuu_slot *other)
{
    mine->q->ids_before = other->q->ids_before;
    mine->q->n_ids_before = other->q->n_ids_before;
    mine->q->rc = other->q->rc;
    if (other->q->rc < 0)
        mine->run->unanswered = mine->run->unanswered || other->run->unanswered;
    if (other->q->rc < 0 && mine->run != other->run)
        memcpy(mine->run->last_problem, other->run->last_problem, sizeof(mine->run->last_problem));
}

cpuu_rc cpuu_images_read(const cpuu_slot *slots, size_t n, cpuu_error *err)
{
    cpuu_mail_op *ops = cpuu_calloc(n + 1, sizeof(*ops));
    size_t *owners = cpuu_calloc(n + 1, sizeof(*owners));
    cpuu_rc rc = ops && owners ? ask_images(slots, n, ops, owners, err) : cpuu_nomem(err);
    for (size_t i = 0; i < n && rc == CPUU_OK; i++) {
        const cpuu_slot *other = listed_by(slots, i);
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
        if (old->merged == i && old->c.what == q->c.what &&
            cpuu_queued_same_place(&old->c, &q->c) &&
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

cpuu_rc cpuu_run_excuse(cpuu_run *run, cpuu_queued *q, cpuu_rc rc, const char *why, cpuu_error *err)
{
    q->rc = rc;
    q->applied = true;
    if (!(q->c.flags & CPUU_MAY_FAIL) || cpuu_run_may_repeat(run))
        return cpuu_fail(err, rc, "cannot change '%s': %s", q->c.title, why);
    run->n_excused++;
    cpuu_logf(run->w->log, CPUU_LV_WARNING, "%s: '%s' was not changed: %s", run->f->name,
              q->c.title, why);
    return CPUU_OK;
}

cpuu_rc cpuu_images_compare(cpuu_run *run, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    for (size_t i = run->n_applied; i < run->n_queue && rc == CPUU_OK; i++) {
        cpuu_queued *q = &run->queue[i];
        if (q->merged != i || q->c.what == CPUU_SECTIONS)
            continue;
        if (q->rc < 0)
            rc = cpuu_run_excuse(run, q, q->rc,
                                 q->rc == CPUU_E_NOTFOUND ? "it is not there any more"
                                                          : run->last_problem, err);
        else if (changed_since(run, q))
            rc = cpuu_run_excuse(run, q, CPUU_E_CONFLICT,
                                 "somebody else changed it just now; run again", err);
        else if (could_not_come_back(q))
            rc = cpuu_run_excuse(run, q, CPUU_E_UNSUPPORTED, "deleting it could not be undone",
                                 err);
    }
    return rc;
}
