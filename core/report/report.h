/*
 * What a run tells people and other programs: log file, terminal, CSV of profile codes, JSON
 * report, exit mask. Only this folder turns errors into codes.
 */
#ifndef CPUU_REPORT_REPORT_H
#define CPUU_REPORT_REPORT_H

#include "base/log.h"
#include "settings/settings.h"

/* Profile status codes of the guide (CSV). */
typedef enum cpuu_status {
    CPUU_PROFILE_WAS_NOT_PROCESSED = 0,
    CPUU_PROFILE_IS_BACKUP = 1,
    CPUU_PROFILE_ALREADY_UPDATED = 2,
    CPUU_PROFILE_BACKUP_NOT_FOUND = 3,
    CPUU_PROFILE_NOT_RESOLVED = 4,
    CPUU_PROFILE_NOT_EXCHANGE_SERVICE = 5,
    CPUU_PROFILE_IS_OFFLINE = 6,
    CPUU_PROFILE_HAS_NO_SERVER = 7,
    CPUU_PROFILE_UNEXPECTED_SERVICES = 8,
    CPUU_PROFILE_FAILED_TO_CREATE_BACKUP = 9,
    CPUU_PROFILE_MODIFYING_OK = 10,
    CPUU_PROFILE_MODIFYING_FAILED = 11,
    CPUU_PROFILE_RESTORE_OK = 12,
    CPUU_PROFILE_RESTORE_FAILED = 13,
    CPUU_PROFILE_CLEANUP_OK = 14,
    CPUU_PROFILE_CLEANUP_FAILED = 15,
    CPUU_PROFILE_CLEANUP_CANCELED = 16,
    CPUU_PROFILE_IS_UNABLE_OPEN_DEFSTORE = 17,
    CPUU_PROFILE_IS_UNABLE_OPEN_MAILBOX_STORE = 18,
    CPUU_PROFILE_HAS_UNSUPPORTED_AUTHENTICATION = 19,
    CPUU_PROFILE_HAS_CFG_UI_LOCK = 20,
    CPUU_PROFILE_IS_OFFLINE_AND_RC = 21,
    CPUU_PROFILE_NOT_FREESPACE_FOR_BACKUPOST = 22,
    CPUU_PROFILE_MORE_THAN_ONE_ACCOUNT = 23,
    CPUU_PROFILE_NO_ACCOUNT_ALLOWED = 24
} cpuu_status;
/* "PROFILE_MODIFYING_OK", ... */
const char *cpuu_status_name(cpuu_status s);
/* The guide's description of a code, in our words, one line. */
const char *cpuu_status_text(cpuu_status s);

/* Bits of the exit mask of the guide; 0 = cannot start, nothing to do. */
#define CPUU_EXIT_SUCCESS              1
#define CPUU_EXIT_NO_SWITCH_MSG        2
#define CPUU_EXIT_SWITCH_ERR           4
#define CPUU_EXIT_USER_ABORT           8
#define CPUU_EXIT_GLOBAL_ERR           16
#define CPUU_EXIT_CRASH                32
#define CPUU_EXIT_FAILED_TO_WRITE_LOG  64
#define CPUU_EXIT_FAILED_TO_CREATE_TMP 128
#define CPUU_EXIT_FAILED_TO_COPY_LOG   256
#define CPUU_EXIT_INVALID_SWITCH_MSG   512

typedef struct cpuu_report cpuu_report;

/*
 * Opens the log (variables #h #d #t and %env% expanded), writes the notes of the settings to it and
 * starts the JSON report. The log sink is usable from here on. Modes that only list write no log. A
 * log that cannot be written is no failure of this function: it is said on the terminal and in the
 * exit mask (64, 128). s is borrowed until cpuu_report_close().
 * Terminal: errors and warnings on stderr, the rest on stdout (on stderr when stdout is the JSON
 * report); with `quiet` or `silent` errors only. Traces appear there with `verbose`.
 */
cpuu_rc cpuu_report_open(const cpuu_settings *s, cpuu_report **out, cpuu_error *err);
cpuu_log *cpuu_report_log(cpuu_report *r);
/* The run could not start, or broke off: logs why. CPUU_E_USAGE leaves the mask alone, CPUU_E_STOP
 * adds USER_ABORT, anything else GLOBAL_ERR. */
void cpuu_report_abort(cpuu_report *r, const cpuu_error *err);

/* One profile; hive may be NULL. All following calls are about it until profile_end. */
void cpuu_report_profile_begin(cpuu_report *r, const char *hive, const char *profile,
                               cpuu_status previous);
/* Facts for the JSON report and the summary: "source.smtp", "target.smtp", "journal", ... */
void cpuu_report_fact(cpuu_report *r, const char *name, const char *value);
/* Also sets the exit bits that follow from the status: SUCCESS for 10, 12, 14; SWITCH_ERR for what
 * should have been processed and was not (4, 9, 11, 13, 17-23); GLOBAL_ERR for 15; USER_ABORT for
 * 16; none for what is left alone on purpose (0-3, 5-8, 24). message may be NULL. */
void cpuu_report_profile_end(cpuu_report *r, cpuu_status status, const char *message);

/* Features of the current profile. */
typedef enum cpuu_feature_state {
    CPUU_FEATURE_OK = 1,
    CPUU_FEATURE_NOTHING, /* nothing to do */
    CPUU_FEATURE_PARTLY,  /* some links stay at the source */
    CPUU_FEATURE_FAILED,  /* rolled back */
    CPUU_FEATURE_SKIPPED
} cpuu_feature_state;
void cpuu_report_feature_begin(cpuu_report *r, const char *feature);
void cpuu_report_feature_end(cpuu_report *r, cpuu_feature_state state, const char *message);
/* One link; outcome and reason are CPUU_REWRITTEN ... and CPUU_WHY_* of cpuu/plugin.h. */
void cpuu_report_link(cpuu_report *r, uint32_t outcome, uint32_t reason, const char *title,
                      const char *before, const char *after);
/* One change that was (or, in a dry run, would be) made: old -> new, with the confidence mark. */
void cpuu_report_change(cpuu_report *r, const char *where, const char *name, const char *before,
                        const char *after, char mark);
/* What somebody else changed since, and therefore stays. */
void cpuu_report_conflict(cpuu_report *r, const char *where, const char *what);
/* Progress of long work; total 0 = unknown, done 0 as well = a step begins. Shown on a terminal only,
 * numbers at most a few times a second. */
void cpuu_report_progress(cpuu_report *r, const char *what, uint32_t done, uint32_t total);

/* The open log file, -1 = none; for last words. */
int cpuu_report_log_fd(const cpuu_report *r);

void cpuu_report_add_exit(cpuu_report *r, unsigned bits);
/* Writes CSV and JSON, moves logs to their remote place, prints the summary and, on POSIX, the full
 * mask on a last stderr line. Frees r. Returns the process's exit status (A4, A5). */
int cpuu_report_close(cpuu_report *r);

/*
 * The exit status of a process. Guide style: the mask, with 256 folded into 64 and 512 into 2
 * because a POSIX status has 8 bits. POSIX style: 0 done, 1 partly (or with problems), 2 cannot
 * start, 3 nothing to do (also: no Switch Message yet), 4 failed, 5 stopped by the user.
 */
int cpuu_exit_status(unsigned mask, bool posix_style, bool nothing_to_do);
/* Exit bits that follow from the status of one profile. */
unsigned cpuu_status_exit(cpuu_status s);
/* "CPUU_SUCCESS CPUU_NO_SWITCH_MSG"; "CPUU_CANNOT_START" for 0. */
void cpuu_exit_words(unsigned mask, char *out, size_t size);
/* #h #d #t (any case) and %NAME% of the environment; what is unknown stays as it is. "%username%"
 * and "%computername%" are known everywhere. Owned by the caller; NULL when out of memory. */
char *cpuu_report_expand_name(const char *pattern, const char *host, const char *date,
                              const char *time);

/* One word for programs and one text for people: CPUU_REWRITTEN ... and CPUU_WHY_* of
 * cpuu/plugin.h, cpuu_feature_state, a confidence mark. "unknown" for what is none of them. */
const char *cpuu_outcome_word(uint32_t outcome);
const char *cpuu_reason_word(uint32_t reason);
const char *cpuu_reason_text(uint32_t reason);
const char *cpuu_feature_state_word(cpuu_feature_state state);
const char *cpuu_mark_word(char mark);

#endif
