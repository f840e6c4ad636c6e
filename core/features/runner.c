/*
 * Order and guards: check() of critical features, then each feature in its span. Nothing a plugin
 * returns is believed before it has been looked at; what a failed feature has done is taken back
 * before the next one runs.
 */
#include "features/private.h"

#include <stdio.h>
#include <string.h>

#define MAX_DEATHS                                                                                 \
    2u /* a feature the worker died in so often is not tried again (architecture 5.5) */

/* ---- one verb -------------------------------------------------------------------------------- */

static cpuu_run run_begin(cpuu_reading *s, const cpuu_feature *f, cpuu_verb_kind verb, int64_t span)
{
    cpuu_run run = {.s = s, .w = s->w, .f = f, .verb = verb, .needs = f->needs, .span = span};
    if (verb == CPUU_VERB_SKIP)
        run.needs &= CPUU_SKIP_NEEDS;
    return run;
}

/* A bug of the plugin is not an error of the user's mailbox: it is named as what it is. */
static cpuu_rc plugin_bug(cpuu_run *run, const char *what, cpuu_rc rc, cpuu_error *err)
{
    cpuu_logf(run->w->log, CPUU_LV_WARNING, "Feature %s has a bug: %s", run->f->name, what);
    return cpuu_fail(err, rc, "feature %s has a bug: %s%s%s", run->f->name, what,
                     run->last_problem[0] ? "; the last problem was: " : "", run->last_problem);
}

/* What the verb's return code means, checked against what else the plugin did. */
static cpuu_rc judge(cpuu_run *run, cpuu_rc rc, cpuu_error *err)
{
    if (run->rows)
        cpuu_logf(run->w->log, CPUU_LV_TRACE, "%s left rows open; they were closed", run->f->name);
    if (run->stop)
        return cpuu_fail(err, CPUU_E_STOP, "stopped in feature %s", run->f->name);
    if (run->broken)
        return cpuu_fail(err, CPUU_E_IO, "feature %s: %s", run->f->name, run->last_problem);
    if (rc == CPUU_E_UNDECLARED || (rc < 0 && run->bug))
        return plugin_bug(run, run->bug ? run->bug : "it returned 'undeclared'", CPUU_E_UNDECLARED,
                          err);
    if (rc > 0 || rc < CPUU_E_UNSUPPORTED) {
        char what[64];
        snprintf(what, sizeof(what), "it returned the unknown code %d", (int)rc);
        return plugin_bug(run, what, CPUU_E_FAILED, err);
    }
    if (rc == CPUU_E_STOP)
        return plugin_bug(run, "it stopped without being asked to", CPUU_E_FAILED, err);
    if (rc == CPUU_OK && run->fails)
        return plugin_bug(run, "it said that it failed, and returned success", CPUU_E_FAILED, err);
    if (rc < 0 && !run->fails)
        return plugin_bug(run, "it failed without saying why", rc, err);
    if (rc < 0)
        return cpuu_fail(err, rc, "feature %s %s", run->f->name, run->fail_text);
    if (run->bug)
        return plugin_bug(run, run->bug, CPUU_E_UNDECLARED, err);
    return CPUU_OK;
}

/* Calls the verb and, when it went well, applies what it queued. */
static cpuu_rc call(cpuu_run *run, cpuu_verb verb, cpuu_error *err)
{
    cpuu_rc rc = judge(run, verb(&CPUU_HOST_TABLE, run), err);
    if (rc == CPUU_OK) {
        rc = cpuu_run_flush(run, err);
        if (rc < 0)
            cpuu_wrap(err, "feature %s", run->f->name);
    }
    if (rc == CPUU_OK && run->translated && !run->n_decided)
        cpuu_logf(run->w->log, CPUU_LV_WARNING,
                  "Feature %s has a bug: it translated %u links and reported none", run->f->name,
                  run->translated);
    return rc;
}

static cpuu_feature_state state_of(const cpuu_run *run)
{
    if (run->n_kept || run->n_excused)
        return CPUU_FEATURE_PARTLY;
    return run->n_changes || run->n_rewritten || run->n_dropped ? CPUU_FEATURE_OK
                                                                : CPUU_FEATURE_NOTHING;
}

/* ---- spans ----------------------------------------------------------------------------------- */

static cpuu_rc begin_span(cpuu_work *w, const cpuu_feature *f, int64_t *span, cpuu_error *err)
{
    unsigned deaths = 0;
    *span = 0;
    if (!w->journal)
        return CPUU_OK;
    cpuu_rc rc = cpuu_journal_span_deaths(w->journal, f->name, &deaths, err);
    if (rc == CPUU_OK && deaths >= MAX_DEATHS)
        return cpuu_fail(err, CPUU_E_FAILED,
                         "feature %s ended the program %u times and is not tried again", f->name,
                         deaths);
    if (rc == CPUU_OK)
        rc = cpuu_journal_begin_span(w->journal, f->name, span, err);
    /* On disk before the feature starts: a feature that never comes back must be known by name. */
    return rc == CPUU_OK ? cpuu_journal_flush(w->journal, err) : rc;
}

static void end_span(cpuu_work *w, int64_t span, cpuu_span_end how)
{
    cpuu_error err = CPUU_ERROR_INIT;
    if (!w->journal || !span)
        return;
    if (cpuu_journal_end_span(w->journal, span, how, &err) < 0 ||
        cpuu_journal_flush(w->journal, &err) < 0)
        cpuu_logf(w->log, CPUU_LV_WARNING, "%s", err.text);
}

/* Takes back what a feature has done. When that fails nothing more may be written. */
static cpuu_rc undo_span(cpuu_reading *s, int64_t span, size_t savepoint, cpuu_error *err)
{
    cpuu_work *w = s->w;
    if (w->edits)
        cpuu_edits_truncate(w->edits, savepoint);
    cpuu_reading_stale(s);
    if (!w->journal || !span)
        return CPUU_OK;
    cpuu_rc rc = cpuu_features_rollback(w, span, false, err);
    if (rc < 0)
        w->restore_failed = true;
    return rc;
}

typedef struct outcome {
    cpuu_rc rc; /* of the feature */
    bool fatal; /* the profile cannot go on */
    cpuu_error error;
} outcome;

static void fail_feature(cpuu_reading *s, const cpuu_feature *f, int64_t span, size_t savepoint,
                         outcome *o)
{
    cpuu_error undo = CPUU_ERROR_INIT;
    cpuu_work *w = s->w;
    cpuu_logf(w->log, CPUU_LV_ERROR, "%s", o->error.text);
    if (undo_span(s, span, savepoint, &undo) < 0) {
        o->fatal = true;
        o->rc = undo.rc;
        o->error = undo;
        cpuu_wrap(&o->error, "feature %s could not be taken back", f->name);
        cpuu_logf(w->log, CPUU_LV_ERROR, "%s", o->error.text);
    } else {
        end_span(w, span, CPUU_SPAN_FAILED);
    }
    cpuu_report_feature_end(w->report, CPUU_FEATURE_FAILED, o->error.text);
}

/* update() or skip() of one feature in its span. */
static outcome run_feature(cpuu_reading *s, const cpuu_feature *f, bool selected)
{
    cpuu_work *w = s->w;
    outcome o = {.error = CPUU_ERROR_INIT};
    int64_t span = 0;
    const size_t savepoint = w->edits ? w->edits->count : 0;
    cpuu_report_feature_begin(w->report, f->name);
    o.rc = begin_span(w, f, &span, &o.error);
    const bool begun = o.rc == CPUU_OK;
    cpuu_run run = run_begin(s, f, selected ? CPUU_VERB_UPDATE : CPUU_VERB_SKIP, span);
    if (o.rc == CPUU_OK)
        o.rc = call(&run, selected ? f->update : f->skip, &o.error);
    o.fatal = run.broken || o.rc == CPUU_E_STOP || (o.rc < 0 && !begun && o.rc != CPUU_E_FAILED);
    if (o.rc == CPUU_OK) {
        cpuu_reading_patch(s, &run);
        end_span(w, span, CPUU_SPAN_OK);
        cpuu_report_feature_end(w->report, selected ? state_of(&run) : CPUU_FEATURE_SKIPPED, NULL);
    }
    cpuu_run_end(&run);
    if (o.rc < 0)
        fail_feature(s, f, span, savepoint, &o);
    return o;
}

static cpuu_rc run_check(cpuu_reading *s, const cpuu_feature *f, cpuu_error *err)
{
    if (!f->check)
        return CPUU_OK;
    cpuu_run run = run_begin(s, f, CPUU_VERB_CHECK, 0);
    cpuu_rc rc = call(&run, f->check, err);
    cpuu_run_end(&run);
    return rc;
}

/* ---- all features ---------------------------------------------------------------------------- */

/* A17: what must not fail is asked first, before anything has been changed. */
static cpuu_rc check_critical(cpuu_reading *s, const bool *selected, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; i < cpuu_plugins_count(s->w->plugins) && rc == CPUU_OK; i++) {
        const cpuu_feature *f = cpuu_plugins_feature(s->w->plugins, i, NULL, NULL);
        if (!selected[i] || !cpuu_feature_is_critical(s->w->settings, f->name))
            continue;
        rc = run_check(s, f, err);
        if (rc < 0) {
            cpuu_report_feature_begin(s->w->report, f->name);
            cpuu_report_feature_end(s->w->report, CPUU_FEATURE_FAILED, err->text);
            cpuu_wrap(err, "critical feature, nothing was changed");
        }
    }
    return rc;
}

/* check() of a feature that is not critical comes when its turn does. */
static outcome run_in_turn(cpuu_reading *s, const cpuu_feature *f, bool selected)
{
    outcome o = {.error = CPUU_ERROR_INIT};
    if (selected && !cpuu_feature_is_critical(s->w->settings, f->name)) {
        o.rc = run_check(s, f, &o.error);
        if (o.rc < 0) {
            o.fatal = o.rc == CPUU_E_STOP;
            cpuu_report_feature_begin(s->w->report, f->name);
            cpuu_report_feature_end(s->w->report, CPUU_FEATURE_FAILED, o.error.text);
            cpuu_logf(s->w->log, CPUU_LV_ERROR, "%s", o.error.text);
            return o;
        }
    }
    return run_feature(s, f, selected);
}

static void report_skipped(cpuu_work *w, const cpuu_feature *f)
{
    cpuu_report_feature_begin(w->report, f->name);
    cpuu_report_feature_end(w->report, CPUU_FEATURE_SKIPPED, NULL);
}

static cpuu_rc run_all(cpuu_reading *s, const bool *selected, cpuu_error *err)
{
    cpuu_work *w = s->w;
    for (size_t i = 0; i < cpuu_plugins_count(w->plugins); i++) {
        const cpuu_feature *f = cpuu_plugins_feature(w->plugins, i, NULL, NULL);
        if (!selected[i] && !f->skip) {
            report_skipped(w, f);
            continue;
        }
        outcome o = run_in_turn(s, f, selected[i]);
        const bool critical = selected[i] && cpuu_feature_is_critical(w->settings, f->name);
        if (o.rc < 0 && (critical || o.fatal))
            return cpuu_fail(err, o.rc, "%s", o.error.text);
    }
    return CPUU_OK;
}

cpuu_rc cpuu_features_update(cpuu_work *w, cpuu_error *err)
{
    cpuu_reading s = {.w = w};
    const size_t count = cpuu_plugins_count(w->plugins), savepoint = w->edits ? w->edits->count : 0;
    bool *selected = cpuu_calloc(count, sizeof(*selected));
    if (!selected)
        return cpuu_nomem(err);
    w->restore_failed = false;
    cpuu_plugins_select(w->plugins, w->settings, selected);
    cpuu_rc rc = cpuu_reading_prefetch(&s, selected, err);
    if (rc == CPUU_OK)
        rc = check_critical(&s, selected, err);
    if (rc == CPUU_OK) {
        rc = run_all(&s, selected, err);
        cpuu_error undo = CPUU_ERROR_INIT;
        if (w->edits && rc < 0)
            cpuu_edits_truncate(w->edits, savepoint);
        if (rc < 0 && w->journal && !w->restore_failed &&
            cpuu_features_rollback(w, 0, false, &undo) < 0) {
            w->restore_failed = true;
            cpuu_logf(w->log, CPUU_LV_ERROR, "%s", undo.text);
        }
    }
    cpuu_reading_free(&s);
    cpuu_free(selected);
    return rc;
}

cpuu_rc cpuu_features_undo_verbs(cpuu_work *w, cpuu_error *err)
{
    cpuu_reading s = {.w = w};
    cpuu_rc rc = CPUU_OK;
    for (size_t i = cpuu_plugins_count(w->plugins); i-- > 0 && rc == CPUU_OK;) {
        const cpuu_feature *f = cpuu_plugins_feature(w->plugins, i, NULL, NULL);
        if (!f->undo)
            continue;
        cpuu_run run = run_begin(&s, f, CPUU_VERB_UNDO, 0);
        rc = call(&run, f->undo, err);
        cpuu_run_end(&run);
    }
    cpuu_reading_free(&s);
    return rc;
}

cpuu_rc cpuu_features_cleanup(cpuu_work *w, cpuu_error *err)
{
    cpuu_reading s = {.w = w};
    cpuu_rc first = CPUU_OK;
    for (size_t i = 0; i < cpuu_plugins_count(w->plugins); i++) {
        const cpuu_feature *f = cpuu_plugins_feature(w->plugins, i, NULL, NULL);
        cpuu_error why = CPUU_ERROR_INIT;
        if (!f->cleanup)
            continue;
        cpuu_run run = run_begin(&s, f, CPUU_VERB_CLEANUP, 0);
        if (call(&run, f->cleanup, &why) < 0 && first == CPUU_OK)
            first = cpuu_fail(err, why.rc, "%s", why.text);
        cpuu_run_end(&run);
    }
    cpuu_reading_free(&s);
    return first;
}
