/*
 * Order and guards: check() of critical features, then each feature in its span. Nothing a plugin
 * returns is believed before it has been looked at; what a failed feature has done is taken back
 * before the next one runs.
 */
#include "features/private.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

/* ---- one verb -------------------------------------------------------------------------------- */

/* NULL when out of memory. */
static cpuu_run *run_begin(cpuu_reading *s, const cpuu_feature *f, cpuu_verb_kind verb)
{
    cpuu_run *run = cpuu_arena_alloc(&s->arena, sizeof(*run));
    if (!run)
        return NULL;
    *run = (cpuu_run){.s = s, .w = s->w, .f = f, .verb = verb, .needs = f->needs};
    if (verb == CPUU_VERB_SKIP)
        run->needs &= CPUU_SKIP_NEEDS;
    return run;
}

static cpuu_rc run_call(cpuu_run *run, cpuu_verb verb)
{
    const cpuu_settings *s = run->w->settings;
    const cpuu_guard *guard = s && s->feature_wait ? s->guard : NULL;
    if (guard)
        guard->begin(run->f->name, s->feature_wait);
    const cpuu_rc rc = verb(&CPUU_HOST_TABLE, run);
    if (guard) {
        run->late = *guard->late;
        guard->end();
    }
    run->over = true;
    return rc;
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
    if (run->late)
        return cpuu_fail(err, CPUU_E_FAILED, "feature %s was not done after %u seconds (FeatureWait)",
                         run->f->name, run->w->settings->feature_wait);
    if (run->stop && run->s->given_up.rc < 0)
        return cpuu_fail(err, CPUU_E_STOP,
                         "feature %s was not finished, because the update of the profile was given "
                         "up", run->f->name);
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
    if (rc < 0 && !run->fails && rc == run->lookup_rc)
        return cpuu_fail(err, rc, "feature %s cannot look its links up: %s", run->f->name,
                         run->last_problem);
    if (rc < 0 && !run->fails)
        return plugin_bug(run, "it failed without saying why", rc, err);
    if (rc < 0)
        return cpuu_fail(err, rc, "feature %s %s", run->f->name, run->fail_text);
    if (run->bug)
        return plugin_bug(run, run->bug, CPUU_E_UNDECLARED, err);
    return CPUU_OK;
}

/* Calls update() or skip() and makes what it queued ready to be written. */
static cpuu_rc call(cpuu_run *run, cpuu_verb verb, cpuu_error *err)
{
    if (run->w->profile)
        cpuu_reg_rest(run->w->profile->reg); /* most do not read it, and need the memory */
    cpuu_rc rc = judge(run, run_call(run, verb), err);
    if (run->w->translate)
        cpuu_translate_forget(run->w->translate);
    if (rc < 0)
        return rc;
    if (run->lost)
        rc = cpuu_nomem(err);
    else if (run->rc < 0) /* a flush, and the feature did not mind */
        rc = cpuu_fail(err, run->rc, "%s", run->why.text);
    else
        rc = cpuu_run_prepare(run, err);
    cpuu_reading_release(run->s, run);
    cpuu_mem_trim(); /* of a plugin's own memory, too; the write needs as much again */
    if (rc < 0)
        return cpuu_wrap(err, "feature %s", run->f->name);
    if (run->translated && !run->n_decided)
        cpuu_logf(run->w->log, CPUU_LV_WARNING,
                  "Feature %s has a bug: it translated %u links and reported none", run->f->name,
                  run->translated);
    return CPUU_OK;
}

/* A verb that changes nothing. */
static cpuu_rc run_verb(cpuu_reading *s, const cpuu_feature *f, cpuu_verb_kind kind, cpuu_verb verb,
                        cpuu_error *err)
{
    cpuu_run *run = run_begin(s, f, kind);
    if (!run)
        return cpuu_nomem(err);
    cpuu_rc rc = judge(run, run_call(run, verb), err);
    cpuu_run_end(run);
    return rc;
}

/* A feature that does not even start. */
static void refuse(cpuu_reading *s, const cpuu_feature *f, const cpuu_error *why)
{
    cpuu_report_feature_begin(s->w->report, f->name);
    cpuu_report_feature_end(s->w->report, CPUU_FEATURE_FAILED, why->text);
    cpuu_logf(s->w->log, CPUU_LV_ERROR, "%s", why->text);
}

/* update() or skip() of one feature in its span. */
static void run_feature(cpuu_reading *s, const cpuu_feature *f, bool selected, bool again)
{
    cpuu_error err = CPUU_ERROR_INIT;
    const bool critical = selected && cpuu_feature_is_critical(s->w->settings, f->name);
    cpuu_run *run = run_begin(s, f, selected ? CPUU_VERB_UPDATE : CPUU_VERB_SKIP);
    if (!run) {
        cpuu_nomem(&err);
        refuse(s, f, &err);
        if (critical)
            cpuu_reading_give_up(s, &err);
        return;
    }
    run->selected = selected;
    run->critical = critical;
    run->again = again;
    cpuu_rc rc = cpuu_span_begin(run, &err);
    if (rc == CPUU_OK && selected && !critical && f->check) /* else it was asked before */
        rc = run_verb(s, f, CPUU_VERB_CHECK, f->check, &err);
    if (rc == CPUU_OK)
        rc = call(run, selected ? f->update : f->skip, &err);
    cpuu_batch_add(run, rc < 0 ? &err : NULL);
}

/* ---- all features ---------------------------------------------------------------------------- */

/* A17: what must not fail is asked first, before anything has been changed. */
static cpuu_rc check_critical(cpuu_reading *s, const bool *selected, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; i < cpuu_plugins_count(s->w->plugins) && rc == CPUU_OK; i++) {
        const cpuu_feature *f = cpuu_plugins_feature(s->w->plugins, i, NULL, NULL);
        if (!selected[i] || !f->check || !cpuu_feature_is_critical(s->w->settings, f->name))
            continue;
        rc = run_verb(s, f, CPUU_VERB_CHECK, f->check, err);
        if (rc < 0) {
            cpuu_report_feature_begin(s->w->report, f->name);
            cpuu_report_feature_end(s->w->report, CPUU_FEATURE_FAILED, err->text);
            cpuu_wrap(err, "critical feature, nothing was changed");
        }
    }
    return rc;
}

/* Whether a feature that must run earlier has run, but is not written yet. */
static bool waits_for(const cpuu_reading *s, const cpuu_feature *f)
{
    for (size_t i = 0; f->after && f->after[i]; i++) {
        for (size_t k = 0; k < s->n_pending; k++) {
            if (cpuu_caseeq(s->pending[k]->f->name, f->after[i]))
                return true;
        }
    }
    return false;
}

static void try_again(cpuu_reading *s)
{
    cpuu_retry next;
    while (cpuu_batch_again(s, &next))
        run_feature(s, next.f, next.selected, true);
}

static void report_skipped(cpuu_work *w, const cpuu_feature *f)
{
    cpuu_report_feature_begin(w->report, f->name);
    cpuu_report_feature_end(w->report, CPUU_FEATURE_SKIPPED, NULL);
}

static cpuu_rc run_all(cpuu_reading *s, const bool *selected, cpuu_error *err)
{
    cpuu_work *w = s->w;
    for (size_t i = 0; i < cpuu_plugins_count(w->plugins) && s->given_up.rc == CPUU_OK; i++) {
        const cpuu_feature *f = cpuu_plugins_feature(w->plugins, i, NULL, NULL);
        if (!selected[i] && !f->skip) {
            report_skipped(w, f);
            continue;
        }
        cpuu_mail_turn(w->mail);
        if (waits_for(s, f))
            cpuu_batch_apply(s);
        try_again(s); /* before the next one, which may name it in `after` */
        if (s->given_up.rc != CPUU_OK)
            break;
        cpuu_report_progress(w->report, f->title, (uint32_t)i + 1,
                             (uint32_t)cpuu_plugins_count(w->plugins));
        run_feature(s, f, selected[i], false);
    }
    if (s->given_up.rc == CPUU_OK)
        cpuu_batch_apply(s);
    try_again(s);
    cpuu_batch_end(s);
    return s->given_up.rc < 0 ? cpuu_fail(err, s->given_up.rc, "%s", s->given_up.text) : CPUU_OK;
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
    cpuu_rc rc = cpuu_reading_declare(&s, selected, err);
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
        if (f->undo)
            rc = run_verb(&s, f, CPUU_VERB_UNDO, f->undo, err);
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
        if (f->cleanup && run_verb(&s, f, CPUU_VERB_CLEANUP, f->cleanup, &why) < 0 &&
            first == CPUU_OK)
            first = cpuu_fail(err, why.rc, "%s", why.text);
    }
    cpuu_reading_free(&s);
    return first;
}
