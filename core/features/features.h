/*
 * Features: loading plugins, serving them, guarding every call into them.
 *   loader.c    the one user of libltdl
 *   services.c  the host table (cpuu_host); reads.c answers queries; changes.c, images.c and
 *               writes.c are the only place where mailbox, profile and journal meet: queue ->
 *               before-image -> journal flush -> write; files.c does the same for files
 *   runner.c    order, check of critical features, verbs
 *   batch.c     spans and ends of features; writes what independent features changed together
 *   replay.c    takes journal records back (undo, rollback, recovery); replay.h names its parts
 */
#ifndef CPUU_FEATURES_FEATURES_H
#define CPUU_FEATURES_FEATURES_H

#include "journal/journal.h"
#include "mailbox/mailbox.h"
#include "profile/profile.h"
#include "report/report.h"
#include "settings/settings.h"
#include "translate/translate.h"

/* ---- loading --------------------------------------------------------------------------------- */

typedef struct cpuu_plugins cpuu_plugins;

/* Loads every plugin of an absolute folder with immediate binding. A plugin that cannot be loaded
 * is an error that says which file and why; the folder must not be writable by others. */
cpuu_rc cpuu_plugins_load(const char *dir, cpuu_log *log, cpuu_plugins **out, cpuu_error *err);
/* The same checks and order for plugins that are linked in (NULL-terminated; static builds, tests).
 */
cpuu_rc cpuu_plugins_from(const cpuu_plugin *const *plugins, cpuu_log *log, cpuu_plugins **out,
                          cpuu_error *err);
void cpuu_plugins_free(cpuu_plugins *p);
/* Names of all features in dependency order, NULL-terminated; borrowed. */
const char *const *cpuu_plugins_names(const cpuu_plugins *p);
size_t cpuu_plugins_count(const cpuu_plugins *p);
const cpuu_feature *cpuu_plugins_feature(const cpuu_plugins *p, size_t index,
                                         const cpuu_plugin **plugin, const char **file);

/* Which of the features run, by Features/Skip; array of cpuu_plugins_count() flags. */
void cpuu_plugins_select(const cpuu_plugins *p, const cpuu_settings *s, bool *selected);
/* CPUU_NEED_* of the features that will run (or whose skip() will). */
uint32_t cpuu_plugins_needs(const cpuu_plugins *p, const bool *selected);
/* CPUU_LINK_* kinds that the features that will run translate. */
uint32_t cpuu_plugins_links(const cpuu_plugins *p, const bool *selected);

/* ---- what features work on ------------------------------------------------------------------- */

typedef struct cpuu_work { /* one profile being processed; everything borrowed from the engine */
    const cpuu_settings *settings;
    cpuu_report *report;
    cpuu_log *log;
    cpuu_plugins *plugins;
    cpuu_journal *journal; /* NULL in a dry run */
    cpuu_mail *mail;       /* NULL without network */
    cpuu_mailbox *source, *target;
    cpuu_translate *translate;
    cpuu_profile *profile; /* model over the overlay view: sees staged edits */
    const cpuu_account *account;
    cpuu_edits *edits;             /* staged profile edits; committed by the engine */
    char *roaming_dir, *local_dir; /* NULL when unreachable */
    const char *source_smtp, *source_dn, *target_smtp, *target_dn;
    cpuu_rc (*beat)(void *user); /* CPUU_E_STOP to stop */
    void *beat_user;
    bool dry_run;
    bool ost_recreated; /* the target mailbox was made for the source's offline file */
    /* out: taking changes back failed. Nothing more may be written to this profile, the journal
     * must be kept, the status is PROFILE_RESTORE_FAILED. */
    bool restore_failed;
} cpuu_work;

/* What the features that will run are certain to read of the user's own mailbox on one side
 * (CPUU_SOURCE, CPUU_TARGET), as operations without `box`, for cpuu_mail_open.ahead. Array in
 * `arena`; what it points to lives as long as the plugins. */
cpuu_rc cpuu_features_ahead(const cpuu_plugins *p, const cpuu_settings *s, uint32_t side,
                            cpuu_arena *arena, cpuu_mail_op **out, size_t *n, cpuu_error *err);

/* Runs check() of critical features, then update() or skip() of all in order, each in its span.
 * Returns CPUU_OK, or the error of the critical feature that failed: then nothing is left of any
 * (mailbox and files rolled back, edits truncated to where they were). */
cpuu_rc cpuu_features_update(cpuu_work *w, cpuu_error *err);

/* Takes back the records of a span (0 = all), newest first, comparing per property with what was
 * written; conflicts are reported and stay, and every replay tells them again. Idempotent; memory
 * is bounded, what is done is durable portion by portion. One object that cannot be taken back does
 * not keep the others from it, but fails the whole. Uses the network only when a record needs it:
 * mailbox records with w->target == NULL give CPUU_E_NETWORK before anything is changed. */
cpuu_rc cpuu_features_rollback(cpuu_work *w, int64_t span, bool skip_mailbox, cpuu_error *err);
/* True when the journal has mailbox records that are not undone. */
cpuu_rc cpuu_features_has_mailbox_records(cpuu_journal *j, bool *out, cpuu_error *err);
/* undo() of every feature that has one (few do), last feature first; before the records are taken
 * back, when the user asked for an undo. */
cpuu_rc cpuu_features_undo_verbs(cpuu_work *w, cpuu_error *err);
/* cleanup() of every feature that has one. */
cpuu_rc cpuu_features_cleanup(cpuu_work *w, cpuu_error *err);

#endif
