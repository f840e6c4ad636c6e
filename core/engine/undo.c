/* Undo, cleanup and recovery of one profile: the same last steps, entered from different places. */
#include "engine/job.h"

#include "base/fault.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

/* ---- opening what undo needs ----------------------------------------------------------------- */

static cpuu_rc connect_if_needed(cpuu_job *job, bool profile_only, cpuu_error *err)
{
    bool mailbox = false;
    cpuu_rc rc = cpuu_features_has_mailbox_records(job->journal, &mailbox, err);
    if (rc != CPUU_OK || !mailbox || profile_only)
        return rc;
    rc = cpuu_connect_target(job, false, err);
    if (rc != CPUU_OK)
        cpuu_wrap(err, "nothing was changed, because the target mailbox cannot be reached (with "
                  "--profile-only the profile alone is rolled back)");
    return rc;
}

/* ---- profiles made by an update ---------------------------------------------------------------- */

/* "" when there is none. */
static cpuu_rc backup_name(cpuu_job *job, cpuu_buf *out, cpuu_error *err)
{
    cpuu_rc rc = cpuu_journal_get(job->journal, "backup", out, err);
    if (rc != CPUU_OK && rc != CPUU_E_NOTFOUND)
        return rc;
    return cpuu_buf_u8(out, 0) ? CPUU_OK : cpuu_nomem(err);
}

/* Takes the backup copy and temporary profiles (-LeaveTemporaryProfile) away. */
static cpuu_rc remove_copies(cpuu_job *job, cpuu_error *err)
{
    cpuu_reg_names names = {0};
    cpuu_buf backup;
    cpuu_buf_init(&backup, 256);
    cpuu_rc rc = backup_name(job, &backup, err);
    if (rc == CPUU_OK)
        rc = cpuu_reg_keys(job->reg, job->root->key, &names, err);
    for (size_t i = 0; rc == CPUU_OK && i < names.count; i++) {
        const char *name = names.items[i];
        if (!cpuu_profile_name_is_temporary(name) && !cpuu_caseeq(name, (const char *)backup.data))
            continue;
        char *key = cpuu_reg_join(job->root->key, name);
        rc = key ? cpuu_edits_delete_key(&job->edits, key, CPUU_MARK_NONE, name) : cpuu_nomem(err);
        cpuu_free(key);
    }
    cpuu_reg_names_free(&names);
    cpuu_buf_free(&backup);
    return rc;
}

/* ---- undo ------------------------------------------------------------------------------------ */

/* Edits that bring the profile back, take its copies away and remove the marker. */
static cpuu_rc stage_restore(cpuu_job *job, cpuu_error *err)
{
    cpuu_buf image;
    cpuu_buf_init(&image, 64u << 20);
    cpuu_rc rc = cpuu_journal_get(job->journal, "image", &image, err);
    if (rc == CPUU_OK)
        rc = cpuu_profile_restore(job->reg, image.data, image.size, &job->edits, err);
    if (rc == CPUU_OK)
        rc = remove_copies(job, err);
    if (rc == CPUU_OK)
        rc = cpuu_marker_remove(job->reg, &job->edits, job->profile->key, err);
    cpuu_buf_free(&image);
    return rc;
}

/* What the image discards is kept until the journal is closed, in case somebody needs it back. */
static cpuu_rc keep_discarded(cpuu_job *job, cpuu_error *err)
{
    cpuu_buf now;
    cpuu_buf_init(&now, 64u << 20);
    cpuu_rc rc = cpuu_profile_image(job->profile, NULL, &now, err);
    if (rc == CPUU_OK)
        rc = cpuu_journal_put(job->journal, "discarded", now.data, now.size, err);
    if (rc == CPUU_OK)
        rc = cpuu_journal_flush(job->journal, err);
    cpuu_buf_free(&now);
    return rc;
}

static cpuu_rc verify_restored(cpuu_job *job, cpuu_error *err)
{
    cpuu_buf image;
    char *difference = NULL;
    bool equal = false;
    cpuu_buf_init(&image, 64u << 20);
    cpuu_rc rc = cpuu_journal_get(job->journal, "image", &image, err);
    if (rc == CPUU_OK)
        rc = cpuu_profile_compare(job->view, image.data, image.size, &equal, &difference, err);
    if (rc == CPUU_OK && !equal)
        rc = cpuu_fail(err, CPUU_E_FAILED, "the restored profile would differ from its backup: %s; "
                       "nothing was written", difference);
    cpuu_free(difference);
    cpuu_buf_free(&image);
    return rc;
}

/* The journal brings everything back; what a plugin says about it must not stand in the way. */
static cpuu_rc run_undo_verbs(cpuu_job *job, cpuu_work *w, cpuu_error *err)
{
    cpuu_error why = CPUU_ERROR_INIT;
    cpuu_rc rc = cpuu_features_undo_verbs(w, &why);
    if (rc == CPUU_E_STOP)
        return cpuu_fail(err, rc, "%s", why.text);
    if (rc < 0)
        cpuu_logf(job->e->log, CPUU_LV_WARNING, "Profile '%s': %s. It is restored all the same.",
                  job->name, why.text);
    return CPUU_OK;
}

cpuu_rc cpuu_finish_undo(cpuu_job *job, bool profile_only, cpuu_error *err)
{
    cpuu_work w = cpuu_job_work(job, NULL);
    cpuu_rc rc = profile_only ? CPUU_OK : run_undo_verbs(job, &w, err);
    cpuu_job_step(job, "rolling back");
    if (rc == CPUU_OK)
        rc = cpuu_features_rollback(&w, 0, profile_only, err);
    if (rc == CPUU_OK)
        rc = stage_restore(job, err);
    if (rc == CPUU_OK)
        rc = verify_restored(job, err);
    if (rc == CPUU_OK)
        rc = keep_discarded(job, err);
    if (rc == CPUU_OK) {
        cpuu_fault_step("engine.commit");
        rc = cpuu_reg_apply(job->reg, &job->edits, err);
    }
    if (rc == CPUU_OK) {
        cpuu_ost_mention(job);
        rc = cpuu_job_end_journal(job, err);
    }
    return rc;
}

static void preview_undo(cpuu_job *job)
{
    cpuu_logf(job->e->log, CPUU_LV_INFO, "Profile '%s' would be rolled back from '%s' to '%s'.",
              job->name, job->target_smtp, job->source_smtp);
    for (size_t i = 0; i < job->edits.count; i++) {
        const cpuu_edit *e = &job->edits.items[i];
        cpuu_report_change(job->e->report, e->key, e->name ? e->name : "(key)", NULL,
                           e->kind == CPUU_EDIT_SET ? "(as before the update)" : "(removed)", 0);
    }
}

cpuu_rc cpuu_undo_profile(cpuu_job *job, cpuu_error *err)
{
    bool profile_only = job->e->settings->profile_only;
    cpuu_rc rc = cpuu_recover_profile(job, err);
    if (rc != CPUU_OK)
        return rc;
    if (!job->journal && job->status == CPUU_PROFILE_RESTORE_OK) { /* recovery has just done it */
        job->exit_bits |= CPUU_EXIT_SUCCESS;
        return CPUU_OK;
    }
    if (!job->journal) {
        job->status = CPUU_PROFILE_BACKUP_NOT_FOUND;
        return cpuu_fail(err, CPUU_E_NOTFOUND, "there is no backup of this profile to restore");
    }
    rc = cpuu_engine_prepare(job->e, err);
    if (rc == CPUU_OK)
        rc = cpuu_job_load_identity(job, err);
    if (rc == CPUU_OK && job->e->settings->dry_run) {
        rc = stage_restore(job, err);
        if (rc == CPUU_OK)
            preview_undo(job);
        job->exit_bits |= rc == CPUU_OK ? CPUU_EXIT_SUCCESS : 0;
        return rc;
    }
    if (rc == CPUU_OK)
        rc = connect_if_needed(job, profile_only, err);
    if (rc == CPUU_OK)
        rc = cpuu_journal_set_state(job->journal, CPUU_J_UNDOING, err);
    if (rc == CPUU_OK)
        rc = cpuu_finish_undo(job, profile_only, err);
    if (rc != CPUU_OK) {
        job->status = CPUU_PROFILE_RESTORE_FAILED;
        return cpuu_job_fail(job, job->status, CPUU_EXIT_SWITCH_ERR, err);
    }
    job->status = CPUU_PROFILE_RESTORE_OK;
    job->exit_bits |= CPUU_EXIT_SUCCESS;
    return CPUU_OK;
}

/* ---- cleanup --------------------------------------------------------------------------------- */

cpuu_rc cpuu_finish_cleanup(cpuu_job *job, cpuu_error *err)
{
    cpuu_work w = cpuu_job_work(job, NULL);
    cpuu_rc rc = cpuu_features_cleanup(&w, err);
    if (rc == CPUU_OK)
        rc = remove_copies(job, err); /* the marker stays: the profile is updated */
    if (rc == CPUU_OK)
        rc = cpuu_reg_apply(job->reg, &job->edits, err);
    if (rc == CPUU_OK) {
        cpuu_ost_discard(job);
        rc = cpuu_job_end_journal(job, err);
    }
    return rc;
}

cpuu_rc cpuu_cleanup_profile(cpuu_job *job, cpuu_error *err)
{
    if (cpuu_job_beat(job) != CPUU_OK) {
        cpuu_fail(err, CPUU_E_STOP, "stopped by the user; the next -Cleanup goes on");
        return cpuu_job_fail(job, CPUU_PROFILE_CLEANUP_CANCELED, CPUU_EXIT_USER_ABORT, err);
    }
    cpuu_rc rc = cpuu_recover_profile(job, err);
    if (rc != CPUU_OK || !job->journal)
        return rc; /* nothing to clean up: code 0 */
    if (job->e->settings->dry_run) {
        cpuu_logf(job->e->log, CPUU_LV_INFO, "Profile '%s': the backup would be deleted.", job->name);
        job->exit_bits |= CPUU_EXIT_SUCCESS;
        return CPUU_OK;
    }
    rc = cpuu_engine_prepare(job->e, err);
    if (rc == CPUU_OK)
        rc = cpuu_job_load_identity(job, err);
    if (rc == CPUU_OK)
        rc = cpuu_journal_set_state(job->journal, CPUU_J_CLEANING, err);
    if (rc == CPUU_OK)
        rc = cpuu_finish_cleanup(job, err);
    if (rc != CPUU_OK) {
        job->status = rc == CPUU_E_STOP ? CPUU_PROFILE_CLEANUP_CANCELED
                                        : CPUU_PROFILE_CLEANUP_FAILED;
        return cpuu_job_fail(job, job->status, CPUU_EXIT_GLOBAL_ERR, err);
    }
    job->status = CPUU_PROFILE_CLEANUP_OK;
    job->exit_bits |= CPUU_EXIT_SUCCESS;
    return CPUU_OK;
}

/* ---- recovery -------------------------------------------------------------------------------- */

/* An update that was cut short: with the marker in the registry it has happened, without it it has
 * not. */
static cpuu_rc recover_active(cpuu_job *job, cpuu_error *err)
{
    cpuu_marker marker;
    if (cpuu_job_marker(job, &marker) &&
        cpuu_caseeq(marker.journal_id, cpuu_journal_id(job->journal)))
        return cpuu_journal_set_state(job->journal, CPUU_J_COMMITTED, err);
    cpuu_rc rc = connect_if_needed(job, false, err);
    if (rc != CPUU_OK)
        return rc;
    cpuu_work w = cpuu_job_work(job, NULL);
    rc = cpuu_features_rollback(&w, 0, false, err);
    if (rc != CPUU_OK)
        return rc;
    cpuu_ost_discard(job);
    rc = cpuu_journal_reset(job->journal, err); /* who died is remembered */
    job->journal = NULL;
    return rc;
}

static cpuu_rc recover_undoing(cpuu_job *job, cpuu_error *err)
{
    bool profile_only = job->e->settings->profile_only;
    cpuu_rc rc = connect_if_needed(job, profile_only, err);
    if (rc == CPUU_OK)
        rc = cpuu_finish_undo(job, profile_only, err);
    if (rc == CPUU_OK)
        job->status = CPUU_PROFILE_RESTORE_OK;
    return rc;
}

/* After edits were committed the staged ones are history, and the model is of yesterday. What comes
 * next finds its identities and opens its mailboxes itself. */
static cpuu_rc start_afresh(cpuu_job *job, cpuu_error *err)
{
    cpuu_edits_truncate(&job->edits, 0);
    job->source_smtp = job->source_dn = job->target_smtp = job->target_dn = job->target_name = NULL;
    cpuu_connection_close(job->e, &job->c);
    return cpuu_job_reload(job, err);
}

/* Without its journal nothing can be done with a profile. One that is damaged may be the only way
 * back; any other reason has changed nothing yet. */
static cpuu_rc fail_without_journal(cpuu_job *job, cpuu_error *err)
{
    cpuu_wrap(err, "cannot open the journal of the profile");
    if (job->e->settings->mode == CPUU_MODE_CLEANUP)
        return cpuu_job_fail(job, CPUU_PROFILE_CLEANUP_FAILED, CPUU_EXIT_GLOBAL_ERR, err);
    bool undo = job->e->settings->mode == CPUU_MODE_UNDO || err->rc == CPUU_E_FORMAT;
    return cpuu_job_fail(job, undo ? CPUU_PROFILE_RESTORE_FAILED : CPUU_PROFILE_FAILED_TO_CREATE_BACKUP,
                         CPUU_EXIT_SWITCH_ERR, err);
}

cpuu_rc cpuu_recover_profile(cpuu_job *job, cpuu_error *err)
{
    cpuu_rc rc = cpuu_job_open_journal(job, false, err);
    if (rc == CPUU_E_NOTFOUND)
        return CPUU_OK;
    if (rc != CPUU_OK)
        return fail_without_journal(job, err);
    cpuu_journal_state state = cpuu_journal_get_state(job->journal);
    if (state == CPUU_J_COMMITTED)
        return CPUU_OK;
    if (state == CPUU_J_NONE) { /* nothing was begun: at most a note of who died */
        if (job->e->settings->dry_run)
            cpuu_journal_close(job->journal);
        else
            rc = cpuu_journal_reset(job->journal, err);
        job->journal = NULL;
        return rc == CPUU_OK ? rc : cpuu_job_fail(job, CPUU_PROFILE_RESTORE_FAILED,
                                                  CPUU_EXIT_SWITCH_ERR, err);
    }
    if (job->e->settings->dry_run)
        rc = cpuu_fail(err, CPUU_E_BUSY, "an earlier run was interrupted and has to be brought to an "
                       "end first; run without --dry-run");
    if (rc == CPUU_OK)
        rc = cpuu_engine_prepare(job->e, err);
    if (rc == CPUU_OK)
        rc = cpuu_job_load_identity(job, err);
    if (rc == CPUU_OK) {
        cpuu_logf(job->e->log, CPUU_LV_WARNING, "Profile '%s': an earlier run was interrupted; "
                  "bringing it to an end first.", job->name);
        if (cpuu_reg_hive_path(job->reg))
            cpuu_replace_sweep(cpuu_reg_hive_path(job->reg));
        rc = state == CPUU_J_UNDOING    ? recover_undoing(job, err)
             : state == CPUU_J_CLEANING ? cpuu_finish_cleanup(job, err)
                                        : recover_active(job, err);
    }
    if (rc == CPUU_OK)
        rc = start_afresh(job, err);
    if (rc != CPUU_OK) {
        cpuu_wrap(err, "cannot finish what an earlier run began");
        return cpuu_job_fail(job, CPUU_PROFILE_RESTORE_FAILED, CPUU_EXIT_SWITCH_ERR, err);
    }
    return CPUU_OK;
}
