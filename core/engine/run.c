/* A run: hives, the profiles of each, the mode on every selected one. */
#include "engine/hives.h"
#include "engine/job.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

/* ---- selection ------------------------------------------------------------------------------- */

bool cpuu_is_selected(const cpuu_settings *s, const cpuu_profile_root *root, const char *name)
{
    if (cpuu_profile_name_is_temporary(name))
        return false;
    if (s->undo_all || (s->profiles.count == 0 && !s->default_profile))
        return true;
    const char *chosen = s->default_profile ? cpuu_profile_root_default(root) : NULL;
    if (chosen && cpuu_name_eq(name, chosen))
        return true;
    for (size_t i = 0; i < s->profiles.count; i++) {
        if (cpuu_name_eq(name, s->profiles.items[i]))
            return true;
    }
    return false;
}

static bool exists(const cpuu_profile_root *root, const char *name)
{
    for (size_t i = 0; root && i < root->names.count; i++) {
        if (cpuu_name_eq(root->names.items[i], name))
            return true;
    }
    return false;
}

/* A name asked for that no profile has: a row of its own, so that a typing error is seen. */
static void report_missing(cpuu_engine *e, const char *hive, const char *name)
{
    cpuu_logf(e->log, CPUU_LV_ERROR, "Profile '%s' does not exist in '%s'.", name, hive);
    cpuu_report_profile_begin(e->report, hive, name, CPUU_PROFILE_WAS_NOT_PROCESSED);
    cpuu_report_profile_end(e->report, CPUU_PROFILE_NOT_RESOLVED, "no such profile");
    cpuu_report_add_exit(e->report, CPUU_EXIT_SWITCH_ERR);
}

/* `root` NULL: the hive has no profile. */
static void check_selection(cpuu_engine *e, const char *hive, const cpuu_profile_root *root)
{
    const cpuu_settings *s = e->settings;
    for (size_t i = 0; i < s->profiles.count; i++) {
        if (!exists(root, s->profiles.items[i]))
            report_missing(e, hive, s->profiles.items[i]);
    }
    const char *chosen = s->default_profile && root ? cpuu_profile_root_default(root) : NULL;
    if (chosen && !exists(root, chosen))
        report_missing(e, hive, chosen);
    else if (s->default_profile && root && !chosen)
        cpuu_logf(e->log, CPUU_LV_WARNING, "'%s' says of none of its profiles that it is the default "
                  "one; name it with -%s.", hive,
                  s->mode == CPUU_MODE_UNDO ? "Undo" : "Profiles");
}

static bool is_stopped(const cpuu_engine *e)
{
    return e->stop && *e->stop;
}

/* True when no further profile is to be started. A cleanup that was stopped says so of each (the
 * guide's code 16). */
static bool must_end(const cpuu_engine *e)
{
    return e->fatal || (is_stopped(e) && e->settings->mode != CPUU_MODE_CLEANUP);
}

/* ---- one profile ----------------------------------------------------------------------------- */

static cpuu_rc run_mode(cpuu_job *job, cpuu_error *err)
{
    if (job->profile->is_backup) {
        job->status = CPUU_PROFILE_IS_BACKUP;
        return CPUU_OK;
    }
    switch (job->e->settings->mode) {
    case CPUU_MODE_UNDO:
        return cpuu_undo_profile(job, err);
    case CPUU_MODE_CLEANUP:
        return cpuu_cleanup_profile(job, err);
    default:
        return cpuu_update_profile(job, err);
    }
}

/* Failures are errors; "not migrated yet" and the like are not. */
static cpuu_level level_of(const cpuu_job *job)
{
    const unsigned bad = CPUU_EXIT_SWITCH_ERR | CPUU_EXIT_GLOBAL_ERR;
    return (job->exit_bits | cpuu_status_exit(job->status)) & bad ? CPUU_LV_ERROR : CPUU_LV_WARNING;
}

/* Writing the hive has failed, perhaps after it was in place: the same rules as after a crash decide
 * from what is there now. */
static void look_again(cpuu_engine *e, const char *hive, const cpuu_profile_root *root,
                       const char *name, cpuu_status *status)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_reg *reg = NULL;
    cpuu_job job = {0};
    cpuu_marker marker;
    cpuu_rc rc = cpuu_reg_open_hive(hive, e->log, &reg, &err);
    if (rc == CPUU_OK)
        rc = cpuu_job_open(e, reg, root, name, &job, &err);
    if (rc == CPUU_OK)
        rc = cpuu_recover_profile(&job, &err);
    if (rc == CPUU_OK && cpuu_job_marker(&job, &marker))
        *status = CPUU_PROFILE_MODIFYING_OK;
    if (rc != CPUU_OK) {
        *status = CPUU_PROFILE_RESTORE_FAILED;
        cpuu_logf(e->log, CPUU_LV_ERROR, "Profile '%s': cannot roll back yet: %s. The next start "
                  "continues; nothing else is written until then.", name, err.text);
    }
    cpuu_job_close(&job);
    cpuu_reg_close(reg);
}

static void run_profile(cpuu_engine *e, const char *hive, cpuu_reg *reg,
                        const cpuu_profile_root *root, const char *name)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_job job;
    cpuu_rc rc = cpuu_job_open(e, reg, root, name, &job, &err);
    cpuu_report_profile_begin(e->report, cpuu_reg_location(reg), name, job.previous);
    if (rc == CPUU_OK)
        rc = run_mode(&job, &err);
    if (rc < 0 && !e->fatal)
        cpuu_logf(e->log, level_of(&job), "Profile '%s': %s%s", name, err.text,
                  cpuu_ends_with_nocase(err.text, ".") ? "" : ".");
    cpuu_status status = job.status;
    unsigned bits = job.exit_bits;
    bool again = job.look_again;
    cpuu_job_close(&job);
    cpuu_reg_close(reg);
    if (again)
        look_again(e, hive, root, name, &status);
    cpuu_report_add_exit(e->report, bits);
    cpuu_report_profile_end(e->report, status, rc < 0 ? err.text : NULL);
}

/* ---- one hive -------------------------------------------------------------------------------- */

static void list_profile(cpuu_engine *e, cpuu_reg *reg, const cpuu_profile_root *root,
                         const char *name)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_job job;
    const cpuu_account *account = NULL;
    if (cpuu_job_open(e, reg, root, name, &job, &err) != CPUU_OK) {
        printf("  %s: cannot be read: %s\n", name, err.text);
        cpuu_job_close(&job);
        return;
    }
    const cpuu_profile *p = job.profile;
    printf("  %s%s%s\n", name, p->is_default ? " (default)" : "",
           job.previous == CPUU_PROFILE_ALREADY_UPDATED ? " (updated)"
           : p->is_backup                               ? " (backup copy)"
                                                        : "");
    for (size_t i = 0; i < p->n_accounts; i++)
        printf("    Exchange account %s%s%s\n", p->accounts[i].smtp ? p->accounts[i].smtp : "?",
               i == 0 ? ", primary" : "", p->accounts[i].cached ? ", cached" : "");
    for (size_t i = 0; i < p->n_services; i++)
        printf("    service %s (%s)\n", p->services[i].name ? p->services[i].name : "?",
               p->services[i].display_name ? p->services[i].display_name : "");
    if (job.previous == CPUU_PROFILE_WAS_NOT_PROCESSED && cpuu_classify(&job, &account, &err) < 0)
        printf("    an update leaves it alone: %s\n", err.text);
    else if (account)
        printf("    an update switches it when '%s' has moved\n",
               account->smtp ? account->smtp : account->legacy_dn ? account->legacy_dn : "its mailbox");
    cpuu_job_close(&job);
}

/* `first` is the hive, open and as it is now; taken over. Backup copies come before the others: what
 * is done to a profile may take its backup copy away, whatever their names are. */
static void each_profile(cpuu_engine *e, const char *hive, const cpuu_profile_root *root,
                         cpuu_reg *first)
{
    size_t n = root->names.count;
    for (size_t i = 0; i < 2 * n; i++) {
        cpuu_error err = CPUU_ERROR_INIT;
        cpuu_reg *reg = first;
        const char *name = root->names.items[i % n];
        if (cpuu_profile_name_is_backup(name) != (i < n) || !cpuu_is_selected(e->settings, root, name) ||
            must_end(e))
            continue;
        /* Each profile sees the hive as the one before has left it. */
        first = NULL;
        if (!reg && cpuu_reg_open_hive(hive, e->log, &reg, &err) != CPUU_OK) {
            cpuu_logf(e->log, CPUU_LV_ERROR, "%s", err.text);
            cpuu_report_add_exit(e->report, CPUU_EXIT_GLOBAL_ERR);
            return;
        }
        if (e->settings->mode == CPUU_MODE_LIST_PROFILES) {
            list_profile(e, reg, root, name);
            cpuu_reg_close(reg);
        } else {
            run_profile(e, hive, reg, root, name); /* closes it */
        }
    }
    cpuu_reg_close(first);
}

static void run_hive(cpuu_engine *e, const char *hive)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_reg *reg = NULL;
    cpuu_profile_roots roots = {0};
    cpuu_rc rc = cpuu_reg_open_hive(hive, e->log, &reg, &err);
    if (rc == CPUU_OK)
        rc = cpuu_profile_discover(reg, &roots, &err);
    if (rc != CPUU_OK) {
        cpuu_reg_close(reg);
        cpuu_logf(e->log, CPUU_LV_ERROR, "%s", err.text);
        cpuu_report_add_exit(e->report, CPUU_EXIT_GLOBAL_ERR);
        return;
    }
    for (size_t i = 1; i < roots.count; i++)
        cpuu_logf(e->log, CPUU_LV_INFO, "'%s' also holds %zu profile(s) of an older Outlook in %s; they "
                  "are not processed.", hive, roots.items[i].names.count, roots.items[i].key);
    if (roots.count == 0)
        cpuu_logf(e->log, CPUU_LV_INFO, "'%s' holds no Outlook profile.", hive);
    if (e->settings->mode == CPUU_MODE_LIST_PROFILES)
        printf("%s\n", hive);
    else
        check_selection(e, hive, roots.count ? &roots.items[0] : NULL);
    if (roots.count)
        each_profile(e, hive, &roots.items[0], reg);
    else
        cpuu_reg_close(reg);
    cpuu_profile_roots_free(&roots);
}

/* ---- the run --------------------------------------------------------------------------------- */

static void list_features(const cpuu_engine *e)
{
    for (size_t i = 0; i < cpuu_plugins_count(e->plugins); i++) {
        const cpuu_plugin *plugin;
        const cpuu_feature *f = cpuu_plugins_feature(e->plugins, i, &plugin, NULL);
        if (strcmp(plugin->vendor, "cpuu") == 0)
            printf("%-20s %s\n", f->name, f->title);
        else /* whose it is concerns whoever asks for support */
            printf("%-20s %-40s %s %s\n", f->name, f->title, plugin->vendor, plugin->version);
    }
}

static cpuu_rc load_mapping(cpuu_engine *e, cpuu_error *err)
{
    const char *path = e->settings->mapping_file;
    cpuu_buf text;
    if (!path)
        return CPUU_OK;
    cpuu_buf_init(&text, 256u << 20);
    cpuu_rc rc = cpuu_file_read(path, &text, NULL, err);
    if (rc == CPUU_OK)
        rc = cpuu_mapping_parse(text.data ? (const char *)text.data : "", text.size, path,
                                &e->mapping, err);
    cpuu_buf_free(&text);
    return rc == CPUU_OK || rc == CPUU_E_NOMEM
               ? rc
               : cpuu_settings_refuse(e->settings, "MappingFile", err);
}

static cpuu_rc select_features(cpuu_engine *e, cpuu_error *err)
{
    cpuu_rc rc = cpuu_plugins_load(e->settings->plugin_dir, e->log, &e->plugins, err);
    size_t told = e->settings->n_notes;
    if (rc == CPUU_OK)
        rc = cpuu_settings_check_features(e->settings, cpuu_plugins_names(e->plugins), err);
    for (size_t i = told; i < e->settings->n_notes; i++)
        cpuu_logf(e->log, e->settings->notes[i].level, "%s", e->settings->notes[i].text);
    if (rc != CPUU_OK)
        return rc;
    size_t n = cpuu_plugins_count(e->plugins);
    bool *selected = cpuu_calloc(n, sizeof(*selected));
    if (!selected)
        return cpuu_nomem(err);
    cpuu_plugins_select(e->plugins, e->settings, selected);
    e->needs = cpuu_plugins_needs(e->plugins, selected);
    e->links = cpuu_plugins_links(e->plugins, selected);
    cpuu_free(selected);
    return CPUU_OK;
}

cpuu_rc cpuu_engine_prepare(cpuu_engine *e, cpuu_error *err)
{
    if (e->plugins)
        return CPUU_OK;
    cpuu_rc rc = select_features(e, err);
    if (rc == CPUU_OK)
        rc = load_mapping(e, err);
    if (rc != CPUU_OK) {
        e->fatal = true;
        e->fatal_error = *err;
    }
    return rc;
}

static cpuu_rc run_hives(cpuu_engine *e, cpuu_error *err)
{
    cpuu_hives hives;
    cpuu_rc rc = cpuu_hives_find(e->settings, e->log, &hives, err);
    if (rc != CPUU_OK)
        return rc;
    if (hives.unreadable)
        cpuu_report_add_exit(e->report, CPUU_EXIT_GLOBAL_ERR);
    else if (hives.count == 0)
        rc = cpuu_fail(err, CPUU_E_USAGE, "there is no registry to work on: name a hive with --hive "
                       "FILE, or a folder of user profiles with --hives DIR");
    for (size_t i = 0; rc == CPUU_OK && i < hives.count && !e->fatal && !is_stopped(e); i++) {
        if (hives.count > 1)
            cpuu_report_progress(e->report, "hives", (uint32_t)i, (uint32_t)hives.count);
        run_hive(e, hives.paths[i]);
    }
    if (is_stopped(e))
        cpuu_report_add_exit(e->report, CPUU_EXIT_USER_ABORT);
    cpuu_hives_free(&hives);
    return rc;
}

cpuu_rc cpuu_engine_run(cpuu_settings *s, cpuu_report *r, cpuu_error *err)
{
    cpuu_engine e = {.settings = s, .report = r, .log = cpuu_report_log(r), .stop = s->stop};
    cpuu_rc rc;
    if (s->mode == CPUU_MODE_LIST_FEATURES) {
        rc = cpuu_engine_prepare(&e, err);
        if (rc == CPUU_OK)
            list_features(&e);
    } else {
        rc = run_hives(&e, err);
    }
    if (e.fatal) {
        *err = e.fatal_error;
        rc = err->rc;
    }
    cpuu_mail_free(e.leaving);
    cpuu_http_free(e.http);
    cpuu_mapping_free(e.mapping);
    cpuu_plugins_free(e.plugins);
    cpuu_arena_free(&e.arena);
    return rc;
}
