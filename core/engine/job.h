/*
 * What the files of engine/ share: the run, and the job, which is one profile being processed.
 * Private to engine/.
 */
#ifndef CPUU_ENGINE_JOB_H
#define CPUU_ENGINE_JOB_H

#include "engine/engine.h"
#include "features/features.h"
#include "net/autodiscover.h"
#include "net/switchmsg.h"

#include "base/file.h"

#include <stdio.h>

typedef struct cpuu_engine { /* a run */
    cpuu_settings *settings;
    cpuu_report *report;
    cpuu_log *log;
    const volatile sig_atomic_t *stop;
    cpuu_plugins *plugins;    /* NULL until a profile needs them */
    uint32_t needs, links;    /* CPUU_NEED_*, CPUU_LINK_* of the selected features */
    bool fatal;               /* the run cannot go on: fatal_error says why */
    cpuu_error fatal_error;
    cpuu_mapping *mapping;    /* NULL = none */
    cpuu_http *http;          /* NULL until the first request */
    cpuu_mail *leaving;       /* of the profile before, on its way out; NULL = none */
    bool source_credentials, target_credentials; /* already asked for */
    bool target_asked_again; /* because the target refused the first ones */
    char *source_account_dn, *target_account_dn; /* of the authenticated accounts, when not the
                                                  * mailbox owners; in arena */
    cpuu_arena arena;
} cpuu_engine;

typedef struct cpuu_connection { /* to the mailboxes of one profile */
    cpuu_mail *mail;
    cpuu_autodiscover_result source_ad, target_ad;
    cpuu_endpoint source_endpoint, target_endpoint;
    cpuu_mailbox *source, *target; /* owned by mail */
    cpuu_directory *directory;     /* of the target; NULL = none */
    cpuu_directory *source_directory; /* NULL = not opened in advance */
    struct cpuu_guess *guesses;    /* colleagues, see ahead.c; in the job's arena */
    size_t n_guesses;
} cpuu_connection;

typedef struct cpuu_ost { /* the source's offline file, when a Recreate message speaks of it */
    bool recreated;   /* the target mailbox was made for it */
    bool keep;        /* and it shall be used */
    const char *path; /* as in the profile */
    const char *key;  /* of the section that names it */
} cpuu_ost;

typedef struct cpuu_job { /* one profile */
    cpuu_engine *e;
    cpuu_reg *reg;            /* the hive; borrowed */
    const cpuu_profile_root *root;
    const char *name;
    cpuu_edits edits;         /* staged */
    cpuu_reg *view;           /* reg with the staged edits */
    cpuu_profile *profile;    /* over view */
    cpuu_journal *journal;
    cpuu_connection c;
    cpuu_translate *translate;
    char *roaming_dir, *local_dir;
    /* who moves where; in arena, or borrowed from mapping */
    const char *source_smtp, *source_dn, *target_smtp, *target_dn, *target_name;
    cpuu_ost ost;             /* strings in arena */
    cpuu_status previous;
    bool look_again;          /* writing the hive failed: only a new look can tell what is in it */
    cpuu_status status;       /* what the CSV will say */
    unsigned exit_bits;
    cpuu_arena arena;
} cpuu_job;

/* Says on a terminal what is waited for now. */
void cpuu_job_step(cpuu_job *job, const char *what);

/* ---- job.c ----------------------------------------------------------------------------------- */

cpuu_rc cpuu_job_open(cpuu_engine *e, cpuu_reg *reg, const cpuu_profile_root *root,
                      const char *name, cpuu_job *job, cpuu_error *err);
void cpuu_job_close(cpuu_job *job);
/* Re-reads the model after edits were staged that change the structure of the profile. */
cpuu_rc cpuu_job_reload(cpuu_job *job, cpuu_error *err);
/* Sets status and exit bits of a failure, keeping what a more precise place has said. Returns
 * err->rc. */
cpuu_rc cpuu_job_fail(cpuu_job *job, cpuu_status status, unsigned bits, cpuu_error *err);
cpuu_rc cpuu_job_open_journal(cpuu_job *job, bool create, cpuu_error *err);
/* Removes the journal; it is closed even when that fails. */
cpuu_rc cpuu_job_end_journal(cpuu_job *job, cpuu_error *err);
/* What features and replay work on. */
cpuu_work cpuu_job_work(cpuu_job *job, const cpuu_account *account);
/* CPUU_E_STOP once the user has asked to stop. */
cpuu_rc cpuu_job_beat(void *job);
cpuu_rc cpuu_job_keep_identity(cpuu_job *job, cpuu_error *err); /* into the journal */
cpuu_rc cpuu_job_load_identity(cpuu_job *job, cpuu_error *err); /* and back */

/* ---- run.c ----------------------------------------------------------------------------------- */

/* Loads plugins and mapping file, once, when a profile turns out to need work: a run that finds all
 * profiles updated touches neither. Failure ends the run, as settings that cannot be right. */
cpuu_rc cpuu_engine_prepare(cpuu_engine *e, cpuu_error *err);

/* ---- connect.c ------------------------------------------------------------------------------- */

/* Source mailbox of an account, read-only. Sets status on failure. */
cpuu_rc cpuu_connect_source(cpuu_job *job, const cpuu_account *account, cpuu_error *err);
/* Target mailbox of job->target_*, writable; checks the right to write. update: the features will
 * read it, as opposed to what an undo does. */
cpuu_rc cpuu_connect_target(cpuu_job *job, bool update, cpuu_error *err);
void cpuu_connection_close(cpuu_engine *e, cpuu_connection *c);

/* ---- ahead.c --------------------------------------------------------------------------------- */

/* Adds to an opening of the user's own mailbox what the update will ask of it. */
cpuu_rc cpuu_ahead_own(cpuu_job *job, bool target, cpuu_mail_open *open, cpuu_error *err);
/* The target's endpoint is known now: goes on with the colleagues who have moved. */
void cpuu_ahead_target(cpuu_job *job);

/* ---- switch.c -------------------------------------------------------------------------------- */

/* Switch Messages of n opened mailboxes: rcs[i] CPUU_OK, CPUU_E_NOTFOUND (none), CPUU_E_FORMAT
 * (several, or damaged), or why the Inbox could not be read. */
cpuu_rc cpuu_switch_read(void *user, cpuu_mail *mail, cpuu_mailbox **boxes, size_t n, cpuu_rc *rcs,
                         cpuu_switch_message *out);
/* What it reads of a mailbox; and what a row of that looks like, for who only guesses. */
extern const cpuu_mail_op cpuu_switch_op;
bool cpuu_switch_guess(const cpuu_mail_row *row, cpuu_switch_message *out);
/* Appends the switch, the backup copy and the marker to the staged edits; checks the invariants. */
cpuu_rc cpuu_stage_switch(cpuu_job *job, const cpuu_account *account, cpuu_error *err);

/* ---- ost.c ----------------------------------------------------------------------------------- */

/* Settles job->ost; the source mailbox is open. CPUU_PROFILE_IS_OFFLINE_AND_RC when a Recreate message
 * cannot be understood. */
cpuu_rc cpuu_ost_look(cpuu_job *job, const cpuu_account *account, cpuu_error *err);
/* BackupOST; the journal is active. Sets the status on failure. */
cpuu_rc cpuu_ost_backup(cpuu_job *job, cpuu_error *err);
/* CreateRegFileForOSTRecovery. */
cpuu_rc cpuu_ost_write_reg(cpuu_job *job, cpuu_error *err);
/* Deletes the copy: the update did not happen, or its backup is cleaned up. */
void cpuu_ost_discard(cpuu_job *job);
/* Says where the copy is, which outlives an undo: Outlook may have changed the file since. */
void cpuu_ost_mention(cpuu_job *job);

/* ---- the modes ------------------------------------------------------------------------------- */

/* Each sets job->status; a negative result carries the message for a person. */
/* Whether this run is about the profile: -Profiles, -DefaultProfile, ..., or no selector at all. */
bool cpuu_is_selected(const cpuu_settings *s, const cpuu_profile_root *root, const char *name);
cpuu_rc cpuu_update_profile(cpuu_job *job, cpuu_error *err);
/* Whether settings and profile allow an update, and of which account; no mailbox is asked. */
cpuu_rc cpuu_classify(cpuu_job *job, const cpuu_account **account, cpuu_error *err);
cpuu_rc cpuu_undo_profile(cpuu_job *job, cpuu_error *err);
cpuu_rc cpuu_cleanup_profile(cpuu_job *job, cpuu_error *err);
/* Brings what an earlier run left to an end. job->journal is open afterwards when one exists. */
cpuu_rc cpuu_recover_profile(cpuu_job *job, cpuu_error *err);
/* The second half of undo, also used by recovery: the journal is in state UNDOING. */
cpuu_rc cpuu_finish_undo(cpuu_job *job, bool profile_only, cpuu_error *err);
cpuu_rc cpuu_finish_cleanup(cpuu_job *job, cpuu_error *err);
/* True when the profile carries our marker; *marker in job->arena. */
bool cpuu_job_marker(cpuu_job *job, cpuu_marker *marker);

#endif
