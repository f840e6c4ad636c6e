/* Update of one profile; the steps are those of the design, in order. */
#include "engine/job.h"

#include "base/fault.h"
#include "base/text.h"

#include <string.h>

/* ---- is there anything to do? ---------------------------------------------------------------- */

/* The profile carries our marker: decided from the hive alone. Nothing is written (R4). */
static void report_already(cpuu_job *job, const cpuu_marker *marker)
{
    const cpuu_account *a = job->profile->n_accounts ? &job->profile->accounts[0] : NULL;
    job->status = CPUU_PROFILE_ALREADY_UPDATED;
    if (!a || (a->smtp && !cpuu_caseeq(a->smtp, marker->target_smtp)))
        cpuu_logf(job->e->log, CPUU_LV_WARNING,
                  "Profile '%s' was updated to '%s' but now opens '%s'. It is left as it is; to start "
                  "over, roll it back first.", job->name, marker->target_smtp,
                  a && a->smtp ? a->smtp : "no Exchange mailbox");
}

cpuu_rc cpuu_classify(cpuu_job *job, const cpuu_account **account, cpuu_error *err)
{
    const cpuu_settings *s = job->e->settings;
    cpuu_profile_rules rules = {
        .allowed_services = (const char *const *)s->allow_services.items,
        .allow_all_services = s->allow_all_services,
        .domains = (const char *const *)s->processed_domains.items,
        .process_offline = s->process_offline != 0,
    };
    const char *reason = "";
    int code = cpuu_profile_classify(job->profile, &rules, account, &reason);
    if (code == 0)
        return CPUU_OK;
    job->status = (cpuu_status)code;
    return cpuu_fail(err, CPUU_E_UNSUPPORTED, "%s", reason);
}

/* A committed journal without the marker: somebody brought the old profile back by other means. */
static cpuu_rc refuse_old_journal(cpuu_job *job, cpuu_error *err)
{
    if (!job->journal)
        return CPUU_OK;
    cpuu_fail(err, CPUU_E_CONFLICT,
              "an earlier update of this profile is on record, but the profile is not switched any "
              "more; run with -Undo to take the rest of it back, or with -Cleanup to forget it");
    return cpuu_job_fail(job, CPUU_PROFILE_MODIFYING_FAILED, CPUU_EXIT_SWITCH_ERR, err);
}

/* ---- who moves where ------------------------------------------------------------------------- */

static cpuu_rc resolve_from_mapping(cpuu_job *job, const cpuu_account *account, cpuu_error *err)
{
    const cpuu_mapping *m = job->e->mapping;
    const cpuu_mapping_row *row = cpuu_mapping_find(m, NULL, account->legacy_dn);
    const cpuu_mapping_row *other = cpuu_mapping_find(m, account->smtp, NULL);
    if (row && other && row != other) {
        cpuu_fail(err, CPUU_E_CONFLICT, "lines %u and %u of the mapping file are both about '%s': one "
                  "by its address, the other by its DN; leave one of them", other->line, row->line,
                  account->smtp);
        return cpuu_job_fail(job, CPUU_PROFILE_NOT_RESOLVED, CPUU_EXIT_SWITCH_ERR, err);
    }
    row = row ? row : other;
    if (!row || !row->migrated) {
        job->exit_bits |= CPUU_EXIT_NO_SWITCH_MSG;
        return cpuu_fail(err, CPUU_E_NOTFOUND, "the mapping file does not say that '%s' has moved",
                         account->smtp ? account->smtp : account->legacy_dn);
    }
    if (!job->source_smtp)
        job->source_smtp = row->source_smtp;
    if (!job->source_dn)
        job->source_dn = row->source_dn;
    job->target_smtp = row->target_smtp;
    job->target_dn = row->target_dn;
    job->target_name = row->display_name;
    return CPUU_OK;
}

static cpuu_rc resolve_from_switch(cpuu_job *job, cpuu_error *err)
{
    cpuu_switch_message m;
    cpuu_rc found = CPUU_OK;
    cpuu_rc rc = cpuu_switch_read(job->e->log, job->c.mail, &job->c.source, 1, &found, &m);
    if (rc != CPUU_OK) {
        cpuu_fail(err, rc, "cannot read the Switch Message");
        return cpuu_job_fail(job, CPUU_PROFILE_MODIFYING_FAILED, CPUU_EXIT_SWITCH_ERR, err);
    }
    if (found == CPUU_E_NOTFOUND) { /* not migrated yet: the usual case early in a project */
        job->exit_bits |= CPUU_EXIT_NO_SWITCH_MSG;
        return cpuu_fail(err, found, "the mailbox has no Switch Message, so it has not been switched");
    }
    if (found != CPUU_OK) {
        cpuu_fail(err, found, "the Switch Message of the mailbox cannot be used");
        return cpuu_job_fail(job, CPUU_PROFILE_MODIFYING_FAILED,
                             found == CPUU_E_FORMAT ? CPUU_EXIT_INVALID_SWITCH_MSG
                                                    : CPUU_EXIT_SWITCH_ERR, err);
    }
    job->target_dn = cpuu_arena_strdup(&job->arena, m.target_dn);
    job->target_smtp = cpuu_arena_strdup(&job->arena, m.target_smtp);
    return job->target_dn && job->target_smtp ? CPUU_OK : cpuu_nomem(err);
}

static bool needs_network(const cpuu_job *job)
{
    const uint32_t mailbox = CPUU_NEED_SOURCE | CPUU_NEED_TARGET | CPUU_NEED_TARGET_WRITE |
                             CPUU_NEED_OTHERS | CPUU_NEED_PUBLIC;
    return !job->e->mapping || (job->e->needs & mailbox) || !job->target_smtp || !job->target_dn;
}

static cpuu_rc open_translate(cpuu_job *job, cpuu_error *err)
{
    cpuu_translate_options o = {
        .mail = job->c.mail,
        .source = job->c.source,
        .target = job->c.target,
        .target_directory = job->c.directory,
        .source_directory = job->c.source_directory,
        .source_endpoint = job->c.source ? &job->c.source_endpoint : NULL,
        .target_endpoint = job->c.target ? &job->c.target_endpoint : NULL,
        .mapping = job->e->mapping,
        .source_dn = job->source_dn,
        .source_smtp = job->source_smtp,
        .target_dn = job->target_dn,
        .target_smtp = job->target_smtp,
        .max_other_mailboxes = job->e->settings->max_other_mailboxes,
        .read_switch = cpuu_switch_read,
        .user = job->e->log,
        .switch_read = &cpuu_switch_op,
    };
    return cpuu_translate_new(&o, job->e->log, &job->translate, err);
}

static bool same_mailbox(const cpuu_connection *c)
{
    return !c->source || !c->target ||
           memcmp(cpuu_mailbox_get_info(c->source)->mailbox_guid,
                  cpuu_mailbox_get_info(c->target)->mailbox_guid, 16) == 0;
}

/* A profile that is "moved" to where it is would count as updated, and the real move be missed. Two
 * organisations may use the same names (guide, same SMTP addresses); then the mailboxes tell. */
static cpuu_rc check_moved(cpuu_job *job, cpuu_error *err)
{
    if (!job->source_dn || !cpuu_caseeq(job->source_smtp, job->target_smtp) ||
        !cpuu_caseeq(job->source_dn, job->target_dn) || !same_mailbox(&job->c))
        return CPUU_OK;
    cpuu_fail(err, CPUU_E_CONFLICT, "'%s' would be moved to itself; correct %s", job->target_smtp,
              job->e->mapping ? "the mapping file" : "the Switch Message of the mailbox");
    return cpuu_job_fail(job, CPUU_PROFILE_MODIFYING_FAILED, CPUU_EXIT_SWITCH_ERR, err);
}

static cpuu_rc resolve(cpuu_job *job, const cpuu_account *account, cpuu_error *err)
{
    /* Copies: the model is read anew after the switch has been staged. */
    job->source_smtp = account->smtp ? cpuu_arena_strdup(&job->arena, account->smtp) : NULL;
    job->source_dn = account->legacy_dn ? cpuu_arena_strdup(&job->arena, account->legacy_dn) : NULL;
    if ((account->smtp && !job->source_smtp) || (account->legacy_dn && !job->source_dn))
        return cpuu_nomem(err);
    cpuu_rc rc = job->e->mapping ? resolve_from_mapping(job, account, err) : CPUU_OK;
    if (rc != CPUU_OK)
        return rc;
    if (!job->source_smtp) {
        cpuu_fail(err, CPUU_E_NOTFOUND, "the profile does not say which address its mailbox has");
        return cpuu_job_fail(job, CPUU_PROFILE_NOT_EXCHANGE_SERVICE, CPUU_EXIT_SWITCH_ERR, err);
    }
    if (needs_network(job)) {
        rc = cpuu_connect_source(job, account, err);
        if (rc == CPUU_OK && !job->e->mapping)
            rc = resolve_from_switch(job, err);
        if (rc == CPUU_OK)
            rc = cpuu_connect_target(job, true, err);
    } else {
        cpuu_logf(job->e->log, CPUU_LV_INFO, "Profile '%s': everything is known from the mapping file; "
                  "the target mailbox is not contacted.", job->name);
    }
    if (rc == CPUU_OK)
        rc = check_moved(job, err);
    return rc == CPUU_OK ? open_translate(job, err) : rc;
}

static void report_identities(cpuu_job *job)
{
    cpuu_report *r = job->e->report;
    cpuu_report_fact(r, "source.smtp", job->source_smtp);
    cpuu_report_fact(r, "source.dn", job->source_dn);
    cpuu_report_fact(r, "target.smtp", job->target_smtp);
    cpuu_report_fact(r, "target.dn", job->target_dn);
    cpuu_logf(job->e->log, CPUU_LV_INFO, "Profile '%s': from '%s' to '%s'.", job->name,
              job->source_smtp, job->target_smtp);
}

static bool opens(const cpuu_profile *p, const cpuu_job *job)
{
    for (size_t i = 0; i < p->n_accounts; i++) {
        const cpuu_account *a = &p->accounts[i];
        if (a->smtp ? cpuu_caseeq(a->smtp, job->source_smtp)
                    : a->legacy_dn && job->source_dn && cpuu_caseeq(a->legacy_dn, job->source_dn))
            return true;
    }
    return false;
}

/* The guide warns of it: Outlook may configure such a profile anew, half updated, when it is opened. */
static void warn_of_others(const cpuu_job *job)
{
    const cpuu_reg_names *names = &job->root->names;
    for (size_t i = 0; i < names->count; i++) {
        cpuu_error why = CPUU_ERROR_INIT;
        cpuu_profile *p = NULL;
        const char *name = names->items[i];
        if (cpuu_profile_name_is_backup(name) || cpuu_is_selected(job->e->settings, job->root, name) ||
            cpuu_profile_open(job->reg, job->root, name, &p, &why) != CPUU_OK)
            continue;
        if (opens(p, job))
            cpuu_logf(job->e->log, CPUU_LV_WARNING, "Profile '%s' opens the same mailbox '%s' and is "
                      "not updated in this run; Outlook may reconfigure it when it is opened. Update "
                      "it, too.", name, job->source_smtp);
        cpuu_profile_free(p);
    }
}

/* ---- changing -------------------------------------------------------------------------------- */

/* The switch is rehearsed before anything is written anywhere: a profile that cannot be switched must
 * not cost a mailbox change. Its edits stay staged: the backup must know what they touch. */
static cpuu_rc rehearse(cpuu_job *job, const cpuu_account *account, cpuu_error *err)
{
    cpuu_identity source = {.smtp = job->source_smtp, .legacy_dn = job->source_dn};
    cpuu_identity target = {.smtp = job->target_smtp, .legacy_dn = job->target_dn,
                            .display_name = job->target_name};
    cpuu_switch_options o = {.disable_scp = !cpuu_settings_keep_scp(job->e->settings)};
    cpuu_rc rc = cpuu_profile_switch(job->profile, account, &source, &target, &o, &job->edits, err);
    return rc == CPUU_OK ? cpuu_reg_check(job->reg, &job->edits, err) : rc;
}

static cpuu_rc begin_journal(cpuu_job *job, cpuu_error *err)
{
    cpuu_buf image;
    cpuu_profile *before = NULL;
    cpuu_buf_init(&image, 64u << 20);
    cpuu_rc rc = cpuu_profile_open(job->reg, job->root, job->name, &before, err);
    if (rc == CPUU_OK)
        rc = cpuu_profile_image(before, &job->edits, &image, err);
    cpuu_profile_free(before);
    if (rc == CPUU_OK)
        rc = cpuu_job_open_journal(job, true, err);
    if (rc == CPUU_OK)
        rc = cpuu_journal_put(job->journal, "image", image.data, image.size, err);
    if (rc == CPUU_OK)
        rc = cpuu_job_keep_identity(job, err);
    if (rc == CPUU_OK)
        rc = cpuu_journal_set_state(job->journal, CPUU_J_ACTIVE, err);
    cpuu_buf_free(&image);
    if (rc != CPUU_OK) {
        cpuu_wrap(err, "cannot back the profile up");
        return cpuu_job_fail(job, CPUU_PROFILE_FAILED_TO_CREATE_BACKUP, CPUU_EXIT_SWITCH_ERR, err);
    }
    cpuu_report_fact(job->e->report, "journal", cpuu_journal_id(job->journal));
    return CPUU_OK;
}

/* Takes back what features have done; the error that led here is kept. */
static void roll_back(cpuu_job *job)
{
    cpuu_error why = CPUU_ERROR_INIT;
    cpuu_edits_truncate(&job->edits, 0);
    if (!job->journal)
        return;
    cpuu_work w = cpuu_job_work(job, NULL);
    cpuu_rc rc = cpuu_features_rollback(&w, 0, false, &why);
    if (rc == CPUU_OK) {
        cpuu_ost_discard(job);
        rc = cpuu_job_end_journal(job, &why);
    }
    if (rc == CPUU_OK)
        return;
    cpuu_logf(job->e->log, CPUU_LV_ERROR, "Profile '%s': cannot roll back yet: %s. The next start "
              "continues; nothing else is written until then.", job->name, why.text);
    job->status = CPUU_PROFILE_RESTORE_FAILED;
}

/* A feature could not be taken back: nothing more is written, the journal is kept for the next
 * start. */
static cpuu_rc leave_torn(cpuu_job *job, cpuu_error *err)
{
    cpuu_edits_truncate(&job->edits, 0);
    cpuu_wrap(err, "cannot roll back yet, the next start continues");
    return cpuu_job_fail(job, CPUU_PROFILE_RESTORE_FAILED, CPUU_EXIT_SWITCH_ERR, err);
}

static cpuu_rc commit(cpuu_job *job, cpuu_error *err)
{
    /* What undo must know about the commit (the backup copy's name) is durable before it happens. */
    cpuu_rc rc = cpuu_journal_flush(job->journal, err);
    if (rc != CPUU_OK)
        return rc;
    cpuu_job_step(job, "writing");
    cpuu_fault_step("engine.commit");
    rc = cpuu_reg_apply(job->reg, &job->edits, err);
    if (rc != CPUU_OK) {
        job->look_again = true;
        return cpuu_wrap(err, "cannot write the profile");
    }
    /* From here on the profile is switched: a failure to note it is made good by the next start. */
    cpuu_error why = CPUU_ERROR_INIT;
    if (cpuu_journal_set_state(job->journal, CPUU_J_COMMITTED, &why) < 0)
        cpuu_logf(job->e->log, CPUU_LV_WARNING, "Profile '%s' is switched, but the journal could not "
                  "be closed: %s. The next start does it.", job->name, why.text);
    return CPUU_OK;
}

/* R7: the profile as it would be, under another name, to look at in the Mail control panel. */
static void leave_temporary(cpuu_job *job)
{
    cpuu_error why = CPUU_ERROR_INIT;
    uint8_t guid[16];
    char text[39], name[48];
    cpuu_edits edits;
    cpuu_edits_init(&edits);
    cpuu_rc rc = cpuu_guid_random(guid) ? CPUU_OK : CPUU_E_FAILED;
    cpuu_guid_text(text, guid);
    snprintf(name, sizeof(name), "CPUU_%s", text);
    if (rc == CPUU_OK)
        rc = cpuu_profile_copy(job->profile, name, guid, &edits, &why);
    if (rc == CPUU_OK)
        rc = cpuu_reg_apply(job->reg, &edits, &why);
    cpuu_logf(job->e->log, rc == CPUU_OK ? CPUU_LV_INFO : CPUU_LV_WARNING,
              rc == CPUU_OK ? "Temporary profile '%s' was left for inspection%s."
                            : "Temporary profile '%s' could not be written: %s", name, why.text);
    cpuu_edits_free(&edits);
}

static cpuu_rc change(cpuu_job *job, const cpuu_account *account, cpuu_error *err)
{
    bool dry = job->e->settings->dry_run;
    cpuu_rc rc = rehearse(job, account, err);
    cpuu_mail_turn(job->c.mail);
    if (rc == CPUU_OK && !dry)
        rc = begin_journal(job, err);
    cpuu_mail_turn(job->c.mail);
    cpuu_edits_truncate(&job->edits, 0);
    if (rc != CPUU_OK)
        return cpuu_job_fail(job, CPUU_PROFILE_MODIFYING_FAILED, CPUU_EXIT_SWITCH_ERR, err);
    cpuu_work w = cpuu_job_work(job, account);
    rc = dry ? CPUU_OK : cpuu_ost_backup(job, err);
    if (rc == CPUU_OK) {
        cpuu_job_step(job, "following its links");
        rc = cpuu_features_update(&w, err);
    }
    if (rc == CPUU_OK)
        rc = cpuu_stage_switch(job, account, err);
    if (rc == CPUU_OK && !dry)
        rc = cpuu_ost_write_reg(job, err);
    if (rc == CPUU_OK && cpuu_job_beat(job) != CPUU_OK)
        rc = cpuu_fail(err, CPUU_E_STOP, "stopped by the user");
    if (rc == CPUU_OK && !dry)
        rc = commit(job, err);
    if (rc != CPUU_OK && w.restore_failed)
        return leave_torn(job, err);
    if (rc != CPUU_OK) {
        cpuu_job_fail(job, CPUU_PROFILE_MODIFYING_FAILED, CPUU_EXIT_SWITCH_ERR, err);
        if (!job->look_again)
            roll_back(job);
        return err->rc;
    }
    job->status = dry ? CPUU_PROFILE_WAS_NOT_PROCESSED : CPUU_PROFILE_MODIFYING_OK;
    job->exit_bits |= CPUU_EXIT_SUCCESS;
    if (job->e->settings->leave_temporary_profile && !dry)
        leave_temporary(job);
    return CPUU_OK;
}

cpuu_rc cpuu_update_profile(cpuu_job *job, cpuu_error *err)
{
    cpuu_marker marker;
    const cpuu_account *account = NULL;
    cpuu_rc rc = cpuu_recover_profile(job, err);
    if (rc != CPUU_OK)
        return rc;
    if (cpuu_job_marker(job, &marker)) {
        report_already(job, &marker);
        return CPUU_OK;
    }
    rc = cpuu_engine_prepare(job->e, err);
    if (rc == CPUU_OK)
        rc = cpuu_classify(job, &account, err);
    if (rc == CPUU_OK)
        rc = refuse_old_journal(job, err);
    if (rc == CPUU_OK)
        rc = resolve(job, account, err);
    if (rc != CPUU_OK)
        return rc;
    report_identities(job);
    warn_of_others(job);
    rc = cpuu_ost_look(job, account, err);
    return rc == CPUU_OK ? change(job, account, err) : rc;
}
