/* One profile: its view, model, journal and identities. */
#include "engine/job.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

static char *user_dir(cpuu_job *job, uint32_t which)
{
    cpuu_error why = CPUU_ERROR_INIT;
    char *dir = NULL;
    cpuu_rc rc = cpuu_profile_user_dir(job->reg, which, &dir, &why);
    if (rc < 0)
        cpuu_logf(job->e->log, CPUU_LV_TRACE, "No %s folder for this user: %s",
                  which == CPUU_DIR_ROAMING ? "roaming" : "local", why.text);
    return dir;
}

cpuu_rc cpuu_job_open(cpuu_engine *e, cpuu_reg *reg, const cpuu_profile_root *root,
                      const char *name, cpuu_job *job, cpuu_error *err)
{
    memset(job, 0, sizeof(*job));
    job->e = e;
    job->reg = reg;
    job->root = root;
    job->name = name;
    cpuu_edits_init(&job->edits);
    cpuu_rc rc = cpuu_reg_open_overlay(reg, &job->edits, &job->view, err);
    if (rc == CPUU_OK)
        rc = cpuu_profile_open(job->view, root, name, &job->profile, err);
    if (rc != CPUU_OK)
        return cpuu_job_fail(job, CPUU_PROFILE_NOT_RESOLVED, CPUU_EXIT_SWITCH_ERR, err);
    cpuu_marker marker;
    job->previous = job->profile->is_backup         ? CPUU_PROFILE_IS_BACKUP
                    : cpuu_job_marker(job, &marker) ? CPUU_PROFILE_ALREADY_UPDATED
                                                    : CPUU_PROFILE_WAS_NOT_PROCESSED;
    job->roaming_dir = user_dir(job, CPUU_DIR_ROAMING);
    job->local_dir = user_dir(job, CPUU_DIR_LOCAL);
    return CPUU_OK;
}

void cpuu_job_close(cpuu_job *job)
{
    cpuu_translate_free(job->translate);
    cpuu_connection_close(job->e, &job->c);
    cpuu_journal_close(job->journal);
    cpuu_profile_free(job->profile);
    cpuu_reg_close(job->view);
    cpuu_edits_free(&job->edits);
    cpuu_free(job->roaming_dir);
    cpuu_free(job->local_dir);
    cpuu_arena_free(&job->arena);
    memset(job, 0, sizeof(*job));
}

cpuu_rc cpuu_job_reload(cpuu_job *job, cpuu_error *err)
{
    cpuu_profile *fresh;
    cpuu_rc rc = cpuu_profile_open(job->view, job->root, job->name, &fresh, err);
    if (rc != CPUU_OK)
        return rc;
    cpuu_profile_free(job->profile);
    job->profile = fresh;
    return CPUU_OK;
}

void cpuu_job_step(cpuu_job *job, const char *what)
{
    char line[128];
    snprintf(line, sizeof(line), "Profile '%.48s': %s", job->name, what);
    cpuu_report_progress(job->e->report, line, 0, 0);
}

cpuu_rc cpuu_job_fail(cpuu_job *job, cpuu_status status, unsigned bits, cpuu_error *err)
{
    if (job->status == CPUU_PROFILE_WAS_NOT_PROCESSED)
        job->status = status;
    job->exit_bits |= err->rc == CPUU_E_STOP ? CPUU_EXIT_USER_ABORT : bits;
    return err->rc;
}

bool cpuu_job_marker(cpuu_job *job, cpuu_marker *marker)
{
    return cpuu_marker_read(job->reg, job->profile->key, &job->arena, marker, NULL) == CPUU_OK;
}

cpuu_rc cpuu_job_open_journal(cpuu_job *job, bool create, cpuu_error *err)
{
    const char *hive = cpuu_reg_hive_path(job->reg);
    char *canonical = hive ? realpath(hive, NULL) : NULL;
    cpuu_journal_key key = {.root = job->root->key, .profile = job->name,
                            .profile_uid = job->profile->uid,
                            .hive = canonical ? canonical : hive ? hive : ""};
    cpuu_rc rc = cpuu_journal_open(job->e->settings->state_dir, &key, create, job->e->log,
                                   &job->journal, err);
    free(canonical);
    return rc;
}

cpuu_rc cpuu_job_end_journal(cpuu_job *job, cpuu_error *err)
{
    cpuu_rc rc = cpuu_journal_destroy(job->journal, err);
    job->journal = NULL;
    return rc;
}

cpuu_rc cpuu_job_beat(void *user)
{
    const cpuu_job *job = user;
    const cpuu_guard *guard = job->e->settings->guard;
    return (job->e->stop && *job->e->stop) || (guard && *guard->late) ? CPUU_E_STOP : CPUU_OK;
}

cpuu_work cpuu_job_work(cpuu_job *job, const cpuu_account *account)
{
    cpuu_work w = {
        .settings = job->e->settings,
        .report = job->e->report,
        .log = job->e->log,
        .plugins = job->e->plugins,
        .journal = job->journal,
        .mail = job->c.mail,
        .source = job->c.source,
        .target = job->c.target,
        .translate = job->translate,
        .profile = job->profile,
        .account = account,
        .edits = &job->edits,
        .roaming_dir = job->roaming_dir,
        .local_dir = job->local_dir,
        .source_smtp = job->source_smtp,
        .source_dn = job->source_dn,
        .target_smtp = job->target_smtp,
        .target_dn = job->target_dn,
        .beat = cpuu_job_beat,
        .beat_user = job,
        .dry_run = job->e->settings->dry_run,
        .ost_recreated = job->ost.recreated,
    };
    return w;
}

/* ---- identities in the journal: what undo needs to find the mailbox again --------------------- */

static const char *const identity_names[] = {"source.smtp", "source.dn", "target.smtp",
                                             "target.dn"};

static const char **identity_slot(cpuu_job *job, size_t i)
{
    const char **slots[] = {&job->source_smtp, &job->source_dn, &job->target_smtp, &job->target_dn};
    return slots[i];
}

cpuu_rc cpuu_job_keep_identity(cpuu_job *job, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; rc == CPUU_OK && i < 4; i++) {
        const char *text = *identity_slot(job, i);
        if (text)
            rc = cpuu_journal_put(job->journal, identity_names[i], text, strlen(text), err);
    }
    return rc;
}

cpuu_rc cpuu_job_load_identity(cpuu_job *job, cpuu_error *err)
{
    for (size_t i = 0; i < 4; i++) {
        cpuu_buf b;
        cpuu_buf_init(&b, 65536);
        cpuu_rc rc = cpuu_journal_get(job->journal, identity_names[i], &b, err);
        char *text = rc == CPUU_OK ? cpuu_arena_alloc(&job->arena, b.size + 1) : NULL;
        if (text && b.size)
            memcpy(text, b.data, b.size);
        cpuu_buf_free(&b);
        if (rc == CPUU_E_NOTFOUND)
            continue;
        if (rc != CPUU_OK)
            return rc;
        if (!text)
            return cpuu_nomem(err);
        *identity_slot(job, i) = text;
    }
    return CPUU_OK;
}
