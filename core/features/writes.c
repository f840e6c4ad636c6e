/*
 * The queue of one or more runs becomes journal records, flushed, then operations on the mailbox;
 * changes of the profile are staged when all else went well.
 */
#include "features/writes.h"
#include "features/proptext.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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

static cpuu_rc journal_all(const cpuu_slot *slots, size_t n, cpuu_error *err)
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
        cpuu_run_note_unanswered(run, op);
        if (!op->maybe_done)
            rc = cpuu_journal_mark(run->w->journal, q->seq, CPUU_RECORD_FAILED, NULL, err);
        run->broken = run->broken || rc < 0;
        /* What may have been done cannot be excused: only replay knows how to find it. */
        if (op->maybe_done)
            q->c.flags &= ~CPUU_MAY_FAIL;
        return rc < 0 ? rc : cpuu_run_excuse(run, q, op->rc, op->error.text, err);
    }
    q->result = op->created;
    if (!cpuu_queued_keep(&run->arena, &q->result))
        return cpuu_nomem(err);
    rc = cpuu_journal_mark(run->w->journal, q->seq, CPUU_RECORD_DONE,
                           q->result.size ? &q->result : NULL, err);
    run->broken = run->broken || rc < 0;
    return rc;
}

static cpuu_rc write_all(const cpuu_slot *slots, size_t n, cpuu_error *err)
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

static cpuu_rc pretend(const cpuu_slot *slots, size_t n, cpuu_error *err)
{
    for (size_t i = 0; i < n; i++) {
        cpuu_queued *q = slots[i].q;
        cpuu_reading *s = slots[i].run->s;
        q->applied = true;
        if (q->c.verb == CPUU_CREATE) {
            char id[40];
            snprintf(id, sizeof(id), CPUU_PLACEHOLDER "%" PRIu32, ++s->placeholders);
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
            rc = cpuu_run_excuse(run, q, rc, why.text, err);
    }
    return rc;
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* Written to the mailbox, and acknowledged. */
static bool was_written(const cpuu_run *run, size_t i)
{
    const cpuu_queued *q = &run->queue[i];
    return q->merged == i && q->applied && q->rc >= 0 && q->c.what != CPUU_SECTIONS;
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
    cpuu_slot *slots = cpuu_slots_of(runs, n, &count);
    cpuu_rc rc = slots ? CPUU_OK : cpuu_nomem(&err);
    if (rc == CPUU_OK && count)
        rc = cpuu_images_read(slots, count, &err);
    cpuu_free(slots);
    for (size_t i = 0; i < n && rc == CPUU_OK; i++) {
        if (runs[i]->rc == CPUU_OK)
            runs[i]->rc = cpuu_images_compare(runs[i], &runs[i]->why);
    }
    slots = rc == CPUU_OK ? cpuu_slots_of(runs, n, &count) : NULL; /* now without conflicts */
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

/* The report knows one feature at a time and forgets nothing. So it is not told before it is known
 * that the feature does not begin anew, or before there is too much to tell later. */
void cpuu_run_tell(cpuu_run *run)
{
    cpuu_run_report(run);
    cpuu_run_tell_files(run);
    for (; run->n_told < run->n_queue; run->n_told++) {
        const cpuu_queued *q = &run->queue[run->n_told];
        if (was_written(run, run->n_told) && !q->forgotten)
            report_change(run, q);
    }
}

void cpuu_run_finish(cpuu_run *run)
{
    for (size_t i = run->n_applied; i < run->n_queue; i++)
        run->n_changes += was_written(run, i);
    if (run->rc == CPUU_OK && cpuu_run_queues(run, true)) {
        cpuu_run_tell(run);
        run->rc = edit_profile(run, &run->why);
    }
    run->n_applied = run->n_queue; /* a failed flush is not repeated: the feature is rolled back */
}
