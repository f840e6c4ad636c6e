/*
 * Features that have run and wait: what they queued for the mailbox is written together, so that
 * ten features cost one reading and one writing trip, not ten. Each keeps its own span and its own
 * failure.
 *
 * Why this gives what one after the other would give:
 *   - whoever names a waiting feature in `after`, or asks for something that depends on what waits
 *     (reads.c: must_write_first), has it written first
 *   - no two that wait change the same object, so that taking one back touches no other
 *   - a feature that flushes or writes a file does not wait and finds nobody waiting
 *   - edits of the profile are staged by one feature at a time, only after its mailbox changes have
 *     succeeded (or by one that does not wait); those of a feature are therefore always the last of
 *     the list while it can still fail, and are taken back by truncating it
 *   - a span is open only while its feature runs or is written: a worker that dies in the third
 *     feature does not count against the first one
 *   - a worker that dies while several are written counts against all of them; so whoever it counts
 *     against is written alone the next time, and then it shows whose fault it is
 *   - so does a request that fails as a whole: see cpuu_run_may_repeat()
 */
#include "features/private.h"

#include <string.h>

/* A feature the worker died in so often is not tried again (architecture 5.5). */
#define MAX_DEATHS 2u

/* What is longer gains nothing from waiting, and memory is bounded. */
#define MAX_WAITING_CHANGES 4096u
#define MAX_WAITING_BYTES   (4u << 20)

/* ---- spans ----------------------------------------------------------------------------------- */

cpuu_rc cpuu_span_begin(cpuu_run *run, cpuu_error *err)
{
    cpuu_journal *j = run->w->journal;
    unsigned deaths = 0;
    if (!j)
        return CPUU_OK;
    cpuu_rc rc = cpuu_journal_span_deaths(j, run->f->name, &deaths, err);
    if (rc == CPUU_OK && deaths >= MAX_DEATHS)
        return cpuu_fail(err, CPUU_E_FAILED,
                         "feature %s ended the program %u times and is not tried again",
                         run->f->name, deaths);
    run->alone = deaths > 0;
    if (rc == CPUU_OK)
        rc = cpuu_journal_begin_span(j, run->f->name, &run->span, err);
    /* On disk before the feature starts, with the end of the one before it: a feature that never
     * comes back must be known by name. */
    if (rc == CPUU_OK)
        rc = cpuu_journal_flush(j, err);
    run->broken = run->broken || rc < 0;
    return rc;
}

/* Durable with the next flush: when the next feature begins, or cpuu_batch_end(). */
static void end_span(cpuu_run *run, cpuu_span_end how)
{
    cpuu_error err = CPUU_ERROR_INIT;
    if (run->w->journal && run->span &&
        cpuu_journal_end_span(run->w->journal, run->span, how, &err) < 0)
        cpuu_logf(run->w->log, CPUU_LV_WARNING, "%s", err.text);
    run->span = 0;
}

/* ---- the end of a feature -------------------------------------------------------------------- */

void cpuu_reading_give_up(cpuu_reading *s, const cpuu_error *why)
{
    if (s->given_up.rc == CPUU_OK)
        s->given_up = *why;
}

/* Replay finds out what is there, so that a request that failed as a whole may be repeated; not for
 * ever, because whoever cut the connection may have come to stay. */
static cpuu_rc roll_back(cpuu_run *run, cpuu_error *err)
{
    cpuu_error why = CPUU_ERROR_INIT;
    cpuu_rc rc = cpuu_features_rollback(run->w, run->span, false, &why);
    if (rc == CPUU_E_IO || rc == CPUU_E_NETWORK || rc == CPUU_E_BUSY) {
        cpuu_logf(run->w->log, CPUU_LV_WARNING,
                  "feature %s could not be taken back, which is tried once more: %s", run->f->name,
                  why.text);
        return cpuu_features_rollback(run->w, run->span, false, err);
    }
    if (rc < 0)
        *err = why;
    return rc;
}

/* Takes back what a feature has done. When that fails nothing more may be written, not even to take
 * back another one: the next start does it. */
static cpuu_rc take_back(cpuu_run *run, cpuu_error *err)
{
    cpuu_work *w = run->w;
    if (w->edits && run->staged)
        cpuu_edits_truncate(w->edits, run->savepoint);
    if (run->wrote || run->expected)
        cpuu_reading_stale(run->s);
    if (!w->journal || !run->span)
        return CPUU_OK;
    if (w->restore_failed)
        return cpuu_fail(err, CPUU_E_FAILED, "an earlier one could not be taken back");
    cpuu_rc rc = roll_back(run, err);
    if (rc < 0)
        w->restore_failed = true;
    return rc;
}

static cpuu_feature_state state_of(const cpuu_run *run)
{
    if (!run->selected)
        return CPUU_FEATURE_SKIPPED;
    if (run->n_kept || run->n_excused)
        return CPUU_FEATURE_PARTLY;
    return run->n_changes || run->n_rewritten || run->n_dropped ? CPUU_FEATURE_OK
                                                                : CPUU_FEATURE_NOTHING;
}

static void end_well(cpuu_run *run)
{
    cpuu_run_tell(run);
    cpuu_reading_patch(run->s, run);
    if (run->expected && run->n_excused) /* not all that was shown to others has happened */
        cpuu_reading_stale(run->s);
    end_span(run, CPUU_SPAN_OK);
    cpuu_report_feature_end(run->w->report, state_of(run), NULL);
}

/* ---- once more ------------------------------------------------------------------------------- */

/*
 * When a whole request fails, all features with a change in it fail: with the others' changes that
 * may have been done, with what went wrong on the way, not with what they wanted. So each of them,
 * when it has been taken back, is run anew: it reads and compares what is there now, is written by
 * itself, and what happens then is its own affair. That goes through the journal as a span like
 * any other. A feature of which the report has already told something is not tried again, nor is
 * one that is not wholly taken back, because somebody else has changed what it wrote.
 */
bool cpuu_run_may_repeat(const cpuu_run *run)
{
    return run->unanswered && !run->again && !run->broken && !run->reported && !run->w->dry_run;
}

static bool is_taken_back(const cpuu_run *run)
{
    const cpuu_journal_filter open = {.span = run->span, .open = true};
    cpuu_error err = CPUU_ERROR_INIT;
    int64_t seq = 0;
    if (!run->w->journal || !run->span)
        return true;
    if (cpuu_journal_find(run->w->journal, &open, NULL, NULL, &seq, &err) < 0) {
        cpuu_logf(run->w->log, CPUU_LV_WARNING, "%s", err.text);
        return false;
    }
    return seq == 0;
}

static bool plan_again(const cpuu_run *run)
{
    cpuu_reading *s = run->s;
    if (s->given_up.rc < 0 ||
        !cpuu_grow(&s->again, &s->cap_again, s->n_again, sizeof(*s->again)))
        return false;
    s->again[s->n_again++] = (cpuu_retry){run->f, run->selected};
    cpuu_logf(run->w->log, CPUU_LV_WARNING,
              "feature %s was taken back and is tried once more by itself", run->f->name);
    return true;
}

bool cpuu_batch_again(cpuu_reading *s, cpuu_retry *out)
{
    if (s->n_again == 0 || s->given_up.rc < 0)
        return false;
    *out = s->again[0];
    memmove(s->again, s->again + 1, --s->n_again * sizeof(*s->again));
    return true;
}

static void end_badly(cpuu_run *run, const cpuu_error *why)
{
    cpuu_reading *s = run->s;
    cpuu_log *log = run->w->log;
    cpuu_error undo = CPUU_ERROR_INIT;
    bool again = cpuu_run_may_repeat(run) && why->rc != CPUU_E_STOP && why->rc != CPUU_E_NOMEM;
    cpuu_logf(log, again ? CPUU_LV_WARNING : CPUU_LV_ERROR, "%s", why->text);
    if (take_back(run, &undo) < 0) {
        cpuu_wrap(&undo, "feature %s could not be taken back", run->f->name);
        cpuu_logf(log, CPUU_LV_ERROR, "%s", undo.text);
        cpuu_run_report(run);
        cpuu_report_feature_end(run->w->report, CPUU_FEATURE_FAILED, undo.text);
        cpuu_reading_give_up(s, &undo);
        return;
    }
    again = again && is_taken_back(run);
    end_span(run, CPUU_SPAN_FAILED);
    if (again && plan_again(run))
        return;
    cpuu_run_report(run);
    cpuu_report_feature_end(run->w->report, CPUU_FEATURE_FAILED, why->text);
    if (run->critical || run->broken || why->rc == CPUU_E_STOP)
        cpuu_reading_give_up(s, why);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void write_runs(cpuu_reading *s, cpuu_run **runs, size_t n)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; i < n && rc == CPUU_OK && s->w->journal; i++) {
        if (!runs[i]->span) /* on disk with the records, before anything is sent */
            rc = cpuu_journal_begin_span(s->w->journal, runs[i]->f->name, &runs[i]->span, &err);
    }
    for (size_t i = 0; i < n && rc < 0; i++) {
        runs[i]->rc = rc;
        runs[i]->why = err;
        runs[i]->broken = true;
    }
    if (rc == CPUU_OK)
        cpuu_runs_write(runs, n);
    for (size_t i = 0; i < n; i++) {
        cpuu_run_finish(runs[i]);
        if (runs[i]->rc == CPUU_OK)
            end_well(runs[i]);
        else {
            cpuu_wrap(&runs[i]->why, "feature %s", runs[i]->f->name);
            end_badly(runs[i], &runs[i]->why);
        }
        cpuu_run_end(runs[i]);
    }
}

void cpuu_batch_apply(cpuu_reading *s)
{
    const size_t n = s->n_pending;
    s->n_pending = 0;
    if (n)
        write_runs(s, s->pending, n);
}

cpuu_rc cpuu_batch_before(cpuu_run *run)
{
    cpuu_batch_apply(run->s);
    if (run->s->given_up.rc == CPUU_OK)
        return CPUU_OK;
    run->stop = true;
    return CPUU_E_STOP;
}

#define DROPPED "not written, because the update of the profile was given up"

static void drop(cpuu_run *run)
{
    cpuu_run_report(run);
    end_span(run, CPUU_SPAN_OK);
    cpuu_report_feature_end(run->w->report, CPUU_FEATURE_FAILED, DROPPED);
    cpuu_run_end(run);
}

static void drop_again(cpuu_work *w, const cpuu_feature *f)
{
    cpuu_report_feature_begin(w->report, f->name);
    cpuu_report_feature_end(w->report, CPUU_FEATURE_FAILED, DROPPED);
}

void cpuu_batch_end(cpuu_reading *s)
{
    cpuu_error err = CPUU_ERROR_INIT;
    if (s->given_up.rc == CPUU_OK)
        cpuu_batch_apply(s);
    for (size_t i = 0; i < s->n_pending; i++)
        drop(s->pending[i]);
    s->n_pending = 0;
    for (size_t i = 0; i < s->n_again; i++)
        drop_again(s->w, s->again[i].f);
    s->n_again = 0;
    if (s->w->journal && cpuu_journal_flush(s->w->journal, &err) < 0)
        cpuu_logf(s->w->log, CPUU_LV_WARNING, "%s", err.text);
}

/* ---- who may wait ---------------------------------------------------------------------------- */

/* Whether there is a property that both set, to different values. */
static bool differ(const cpuu_queued *a, const cpuu_queued *b)
{
    for (uint32_t i = 0; i < a->c.n_set; i++) {
        for (uint32_t k = 0; k < b->c.n_set; k++) {
            const cpuu_prop x = cpuu_prop_of(a->set[i].tag, &a->set[i]);
            const cpuu_prop y = cpuu_prop_of(b->set[k].tag, &b->set[k]);
            if (x.tag == y.tag && !cpuu_prop_same(&x, &y))
                return true;
        }
    }
    return false;
}

/* Two changes that must not wait together: of one object; of the rules or permissions of one
 * folder, which are one table to the server; and two new objects that could be mistaken for each
 * other when one of them has to be found by what it looks like (replay.c: find_created). */
static bool collide(const cpuu_queued *a, const cpuu_queued *b)
{
    const bool same_kind = a->c.what == b->c.what;
    switch (a->c.what) {
    case CPUU_SECTIONS:
        return false;
    case CPUU_STORE:
        return same_kind;
    case CPUU_RULES:
    case CPUU_PERMISSIONS:
        return same_kind && cpuu_blob_same(a->folder, b->folder);
    default:
        break;
    }
    if (a->c.verb == CPUU_CREATE && b->c.verb == CPUU_CREATE)
        return same_kind && cpuu_blob_same(a->folder, b->folder) && !differ(a, b);
    return a->c.verb != CPUU_CREATE && b->c.verb != CPUU_CREATE && cpuu_blob_same(a->c.id, b->c.id);
}

static bool runs_collide(const cpuu_run *a, const cpuu_run *b)
{
    for (size_t i = a->n_applied; i < a->n_queue; i++) {
        for (size_t k = b->n_applied; k < b->n_queue; k++) {
            if (a->queue[i].merged == i && b->queue[k].merged == k &&
                collide(&a->queue[i], &b->queue[k]))
                return true;
        }
    }
    return false;
}

/* Whether what waits must be written before `run` is. */
static bool must_go_first(const cpuu_reading *s, const cpuu_run *run)
{
    const bool sections = cpuu_run_queues(run, true);
    for (size_t i = 0; i < s->n_pending; i++) {
        if ((sections && cpuu_run_queues(s->pending[i], true)) || runs_collide(s->pending[i], run))
            return true;
    }
    return false;
}

static size_t bytes_to_write(const cpuu_reading *s)
{
    size_t bytes = 0;
    for (size_t i = 0; i < s->n_pending; i++) {
        for (size_t k = 0; k < s->pending[i]->n_queue; k++) {
            const cpuu_queued *q = &s->pending[i]->queue[k];
            for (uint32_t v = 0; v < q->c.n_set && q->merged == k; v++)
                bytes += q->c.set[v].size + sizeof(q->c.set[v].tag);
        }
    }
    return bytes;
}

static bool may_wait(const cpuu_run *run)
{
    return cpuu_run_queues(run, false) && !run->alone && !run->again &&
           run->n_queue - run->n_applied <= MAX_WAITING_CHANGES &&
           run->arena.used + run->values.used <= MAX_WAITING_BYTES;
}

void cpuu_batch_add(cpuu_run *run, const cpuu_error *why)
{
    cpuu_reading *s = run->s;
    while (run->rows)
        cpuu_service_rows_close(run->rows);
    if (why) {
        end_badly(run, why);
        cpuu_run_end(run);
        return;
    }
    if (must_go_first(s, run))
        cpuu_batch_apply(s);
    if (s->given_up.rc < 0) {
        drop(run);
    } else if (may_wait(run) &&
               cpuu_grow(&s->pending, &s->cap_pending, s->n_pending, sizeof(*s->pending))) {
        end_span(run, CPUU_SPAN_OK);
        cpuu_reading_expect(s, run);
        run->expected = true;
        s->pending[s->n_pending++] = run;
        if (!s->w->dry_run)
            cpuu_mailbox_will_write(s->w->target, bytes_to_write(s));
    } else {
        write_runs(s, &run, 1);
    }
}
