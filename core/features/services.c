/*
 * The host table: what a plugin may ask for while one of its verbs runs. Everything it asks is
 * checked against what it declared. Errors of services are remembered, so that a plugin that gives
 * up without saying why still leaves a message.
 */
#include "features/private.h"

#include "base/text.h"

#include <cpuu/formats/bytes.h>
#include <cpuu/formats/propvalue.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool time_is_over(const cpuu_run *run)
{
    const cpuu_guard *guard = run->w->settings ? run->w->settings->guard : NULL;
    return guard && *guard->late;
}

cpuu_rc cpuu_run_problem(cpuu_run *run, const cpuu_error *err)
{
    snprintf(run->last_problem, sizeof(run->last_problem), "%.590s", err->text);
    /* what is driven asks the user, too */
    run->stop = run->stop || (err->rc == CPUU_E_STOP && !time_is_over(run));
    /* Codes of the host itself have no meaning to a plugin. */
    if (err->rc == CPUU_E_AUTH)
        return CPUU_E_ACCESS;
    if (err->rc == CPUU_E_NETWORK || err->rc == CPUU_E_BUSY)
        return CPUU_E_IO;
    return err->rc <= CPUU_E_USAGE ? CPUU_E_FAILED : err->rc;
}

bool cpuu_run_is_over(cpuu_run *run)
{
    if (run->over)
        cpuu_logf(run->w->log, CPUU_LV_WARNING,
                  "Feature %s has a bug: it called a service after its verb had returned",
                  run->f->name);
    return run->over;
}

cpuu_rc cpuu_run_beat(cpuu_run *run)
{
    if (cpuu_run_is_over(run))
        return CPUU_E_UNDECLARED;
    if (time_is_over(run))
        return CPUU_E_STOP;
    if (!run->stop && run->w->beat && run->w->beat(run->w->beat_user) < 0)
        run->stop = true;
    return run->stop ? CPUU_E_STOP : CPUU_OK;
}

void cpuu_run_end(cpuu_run *run)
{
    while (run->rows)
        cpuu_service_rows_close(run->rows);
    cpuu_free(run->queue);
    cpuu_arena_free(&run->arena);
    cpuu_arena_free(&run->values);
    *run = (cpuu_run){.over = true, .w = run->w, .f = run->f};
}

/* ---- words ----------------------------------------------------------------------------------- */

static void CPUU_CALL service_log(cpuu_run *run, int32_t level, const char *text)
{
    const cpuu_level lv = level == CPUU_LOG_ERROR     ? CPUU_LV_ERROR
                          : level == CPUU_LOG_WARNING ? CPUU_LV_WARNING
                          : level == CPUU_LOG_INFO    ? CPUU_LV_INFO
                                                      : CPUU_LV_TRACE;
    if (cpuu_run_is_over(run))
        return;
    cpuu_logf(run->w->log, lv, "%s: %s", run->f->name, text ? text : "");
}

static cpuu_rc CPUU_CALL service_fail(cpuu_run *run, cpuu_rc rc, const char *what,
                                      const char *where)
{
    if (cpuu_run_is_over(run) || run->fails++ > 0)
        return rc; /* the first reason is the cause */
    run->fail_rc = rc;
    snprintf(run->fail_text, sizeof(run->fail_text), "cannot %.200s%s%.150s%s%.200s",
             what ? what : "go on", where ? ": " : "", where ? where : "",
             run->last_problem[0] ? ": " : "", run->last_problem);
    return rc;
}

static cpuu_rc CPUU_CALL service_beat(cpuu_run *run, uint32_t done, uint32_t total)
{
    const cpuu_rc rc = cpuu_run_beat(run);
    if (rc == CPUU_OK)
        cpuu_report_progress(run->w->report, run->f->title, done, total);
    return rc;
}

/* Facts about the run, then the keys of CPUU.ini that concern features, then the feature's own
 * section. */
static const char *CPUU_CALL service_option(cpuu_run *run, const char *key)
{
    const cpuu_work *w = run->w;
    const cpuu_settings *s = w->settings;
    const struct {
        const char *key, *value;
    } facts[] = {
        {"profile.name", w->profile ? w->profile->name : NULL},
        {"outlook.version", w->profile ? w->profile->outlook_version : NULL},
        {"source.smtp", w->source_smtp},
        {"source.dn", w->source_dn},
        {"target.smtp", w->target_smtp},
        {"target.dn", w->target_dn},
        {"ost.recreated", w->ost_recreated ? "1" : NULL},
        {"Remove", cpuu_feature_is_removed(s, run->f->name) ? "1" : NULL},
        {"RemoveJunkEmailMessages", s->remove_junk ? "1" : NULL},
    };
    if (!key || cpuu_run_is_over(run))
        return NULL;
    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        if (cpuu_caseeq(facts[i].key, key))
            return facts[i].value;
    }
    return cpuu_settings_feature_option(s, run->f->name, key);
}

/* ---- links ----------------------------------------------------------------------------------- */

static void count_links(cpuu_run *run, const cpuu_link *links, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        run->translated += links[i].outcome != CPUU_ALREADY;
}

/* Only a verb that is about to write at the target may leave a new name there. */
static bool may_make_names(const cpuu_run *run)
{
    return run->verb == CPUU_VERB_UPDATE && (run->needs & CPUU_NEED_TARGET_WRITE) &&
           !run->w->dry_run;
}

static bool folders_wait(const cpuu_reading *s)
{
    for (size_t i = 0; i < s->n_pending; i++) {
        const cpuu_run *r = s->pending[i];
        for (size_t k = r->n_applied; k < r->n_queue; k++) {
            if (r->queue[k].c.what == CPUU_FOLDERS)
                return true;
        }
    }
    return false;
}

static cpuu_rc CPUU_CALL service_translate(cpuu_run *run, cpuu_link *links, uint32_t n)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_rc rc = cpuu_run_beat(run);
    if (rc < 0 || n == 0)
        return rc;
    const size_t stride = links[0].size;
    if (stride < CPUU_LINK_MIN) {
        run->bug = "a link has the wrong size";
        return CPUU_E_UNDECLARED;
    }
    if (!run->w->translate) {
        cpuu_fail(&err, CPUU_E_UNSUPPORTED, "links cannot be translated in this run");
        return cpuu_run_problem(run, &err);
    }
    cpuu_link *copy = cpuu_calloc(n, sizeof(*copy));
    if (!copy)
        return CPUU_E_NOMEM;
    for (uint32_t i = 0; i < n && rc == CPUU_OK; i++) {
        memcpy(&copy[i], (char *)links + stride * i,
               stride < sizeof(*copy) ? stride : sizeof(*copy));
        copy[i].size = sizeof(*copy);
        if (!copy[i].kind || (copy[i].kind & (copy[i].kind - 1)) ||
            !(copy[i].kind & run->f->links)) {
            run->bug = "it translates a kind of link that `links` does not declare";
            rc = cpuu_fail(&err, CPUU_E_UNDECLARED, "%s", run->bug);
        }
    }
    if (rc == CPUU_OK && folders_wait(run->s)) /* links may lead to them */
        rc = cpuu_batch_before(run);
    if (rc == CPUU_OK)
        rc = cpuu_translate_links(run->w->translate, copy, n, may_make_names(run), &err);
    for (uint32_t i = 0; i < n && rc == CPUU_OK; i++) {
        const uint32_t size = ((cpuu_link *)((char *)links + stride * i))->size;
        copy[i].size = size;
        memcpy((char *)links + stride * i, &copy[i],
               stride < sizeof(*copy) ? stride : sizeof(*copy));
    }
    if (rc == CPUU_OK)
        count_links(run, copy, n);
    cpuu_free(copy);
    if (rc < 0) {
        run->lookup_rc = rc = err.rc ? cpuu_run_problem(run, &err) : rc;
        return rc;
    }
    return cpuu_run_beat(run);
}

static bool keep_text(cpuu_run *run, const char *from, const char **to)
{
    *to = from ? cpuu_arena_strdup(&run->arena, from) : NULL;
    return !from || *to;
}

/* The report knows one feature at a time, and features take turns: a decision waits until the
 * report of its feature begins. */
static void keep_decision(cpuu_run *run, const cpuu_decision *d)
{
    cpuu_decided *k = cpuu_arena_alloc(&run->arena, sizeof(*k));
    if (!k || !keep_text(run, d->title ? d->title : "", &k->title) ||
        !keep_text(run, d->before, &k->before) || !keep_text(run, d->after, &k->after)) {
        run->lost = true;
        return;
    }
    k->outcome = d->outcome;
    k->reason = d->reason;
    if (!run->decided_tail)
        run->decided_tail = &run->decided;
    *run->decided_tail = k;
    run->decided_tail = &k->next;
}

void cpuu_run_report(cpuu_run *run)
{
    if (run->reported)
        return;
    run->reported = true;
    cpuu_report_feature_begin(run->w->report, run->f->name);
    for (const cpuu_decided *k = run->decided; k; k = k->next)
        cpuu_report_link(run->w->report, k->outcome, k->reason, k->title, k->before, k->after);
}

static void CPUU_CALL service_decide(cpuu_run *run, const cpuu_decision *d)
{
    cpuu_decision copy = {0};
    if (cpuu_run_is_over(run))
        return;
    if (!d || d->size < CPUU_DECISION_MIN || d->outcome < CPUU_REWRITTEN ||
        d->outcome > CPUU_ALREADY) {
        run->bug = "it reports a decision that has no outcome";
        return;
    }
    memcpy(&copy, d, d->size < sizeof(copy) ? d->size : sizeof(copy));
    run->n_decided++;
    run->n_rewritten += copy.outcome == CPUU_REWRITTEN;
    run->n_kept += copy.outcome == CPUU_KEPT;
    run->n_dropped += copy.outcome == CPUU_DROPPED;
    const bool in_turn = run->verb == CPUU_VERB_UPDATE || run->verb == CPUU_VERB_SKIP;
    if (in_turn && !run->reported)
        keep_decision(run, &copy);
    else
        cpuu_report_link(run->w->report, copy.outcome, copy.reason, copy.title ? copy.title : "",
                         copy.before, copy.after);
}

const cpuu_host CPUU_HOST_TABLE = {
    .size = sizeof(cpuu_host),
    .abi = CPUU_ABI_VERSION,
    .log = service_log,
    .fail = service_fail,
    .beat = service_beat,
    .option = service_option,
    .read = cpuu_service_read,
    .rows = cpuu_service_rows,
    .rows_close = cpuu_service_rows_close,
    .translate = service_translate,
    .change = cpuu_service_change,
    .flush = cpuu_service_flush,
    .result = cpuu_service_result,
    .decide = service_decide,
    .file_read = cpuu_service_file_read,
    .file_write = cpuu_service_file_write,
    .note_put = cpuu_service_note_put,
    .note_get = cpuu_service_note_get,
};
