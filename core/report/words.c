/* Every code that leaves the program, with its name and its meaning; see report.h. */
#include "report/report.h"

#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- status of a profile ----------------------------------------------------------------------
 */

typedef struct status_row { /* names: the guide's CPUU Return Codes; texts: ours */
    const char *name;
    const char *text;
    unsigned exit;
} status_row;

static const status_row statuses[] = {
    {"PROFILE_WAS_NOT_PROCESSED", "The profile was not processed.", 0},
    {"PROFILE_IS_BACKUP", "The profile is the backup copy of another one.", 0},
    {"PROFILE_ALREADY_UPDATED", "The profile has been updated before.", 0},
    {"PROFILE_BACKUP_NOT_FOUND", "There is no backup to go back to.", 0},
    {"PROFILE_NOT_RESOLVED", "The profile, or its account, cannot be found; it is left alone.",
     CPUU_EXIT_SWITCH_ERR},
    {"PROFILE_NOT_EXCHANGE_SERVICE",
     "The Exchange service has no server name or no mailbox; the profile is left alone.", 0},
    {"PROFILE_IS_OFFLINE",
     "The profile works offline and ProcessOfflineProfiles is not set; it is left alone.", 0},
    {"PROFILE_HAS_NO_SERVER", "The profile has no Exchange service.", 0},
    {"PROFILE_UNEXPECTED_SERVICES",
     "The profile has services that AllowAdditionalServices does not name; it is left alone.", 0},
    {"PROFILE_FAILED_TO_CREATE_BACKUP", "The backup copy cannot be made.", CPUU_EXIT_SWITCH_ERR},
    {"PROFILE_MODIFYING_OK", "The profile was updated.", CPUU_EXIT_SUCCESS},
    {"PROFILE_MODIFYING_FAILED", "The profile cannot be updated; it is as it was.",
     CPUU_EXIT_SWITCH_ERR},
    {"PROFILE_RESTORE_OK", "The profile was rolled back.", CPUU_EXIT_SUCCESS},
    {"PROFILE_RESTORE_FAILED", "The profile cannot be rolled back.", CPUU_EXIT_SWITCH_ERR},
    {"PROFILE_CLEANUP_OK", "What was kept for a rollback was deleted.", CPUU_EXIT_SUCCESS},
    {"PROFILE_CLEANUP_FAILED", "What was kept for a rollback cannot be deleted.",
     CPUU_EXIT_GLOBAL_ERR},
    {"PROFILE_CLEANUP_CANCELED", "The user stopped the cleanup.", CPUU_EXIT_USER_ABORT},
    {"PROFILE_IS_UNABLE_OPEN_DEFSTORE", "The default message store cannot be opened.",
     CPUU_EXIT_SWITCH_ERR},
    {"PROFILE_IS_UNABLE_OPEN_MAILBOX_STORE", "The mailbox cannot be opened.", CPUU_EXIT_SWITCH_ERR},
    {"PROFILE_HAS_UNSUPPORTED_AUTHENTICATION",
     "The profile uses a kind of authentication that is not supported.", CPUU_EXIT_SWITCH_ERR},
    {"PROFILE_HAS_CFG_UI_LOCK", "The profile is open in a properties dialog.",
     CPUU_EXIT_SWITCH_ERR},
    {"PROFILE_IS_OFFLINE_AND_RC", "An unexpected error occurred.", CPUU_EXIT_SWITCH_ERR},
    {"PROFILE_NOT_FREESPACE_FOR_BACKUPOST", "There is no room for the copy of the OST file.",
     CPUU_EXIT_SWITCH_ERR},
    {"PROFILE_MORE_THAN_ONE_ACCOUNT_IS_ALLOWED_TO_SWITCH",
     "The profile has several Exchange accounts; ProcessedDomainsFQDNs must say which may be "
     "switched.",
     CPUU_EXIT_SWITCH_ERR},
    {"PROFILE_NO_ACCOUNT_IS_ALLOWED_TO_SWITCH",
     "ProcessedDomainsFQDNs does not allow the primary account to be switched.", 0},
};

static const status_row *status_row_of(cpuu_status s)
{
    static const status_row none = {"PROFILE_UNKNOWN", "Unknown status.", 0};
    return (unsigned)s < COUNT(statuses) ? &statuses[s] : &none;
}

const char *cpuu_status_name(cpuu_status s)
{
    return status_row_of(s)->name;
}

const char *cpuu_status_text(cpuu_status s)
{
    return status_row_of(s)->text;
}

unsigned cpuu_status_exit(cpuu_status s)
{
    return status_row_of(s)->exit;
}

/* ---- links, features, marks -------------------------------------------------------------------
 */

static const char *const outcomes[] = {"unknown", "rewritten", "kept", "dropped", "already"};

static const struct {
    const char *word, *text;
} reasons[] = {
    {"unknown-reason", "no reason is known"},
    {"own", "it is in the user's own mailbox"},
    {"migrated", "its owner has moved"},
    {"not-migrated", "its owner has not moved"},
    {"unknown", "what it is at the target is not known"},
    {"missing", "there is no such folder or item at the target"},
    {"no-access", "what it leads into cannot be opened"},
    {"ambiguous", "several fit"},
    {"local", "it is local data"},
    {"unreadable", "it is damaged and is carried along as it is"},
    {"excluded", "its kind is not processed"},
    {"public", "it is in the public folders"},
    {"at-target", "it names what the target has"},
};

static const char *const states[] = {"unknown", "ok", "nothing", "partly", "failed", "skipped"};

const char *cpuu_outcome_word(uint32_t outcome)
{
    return outcomes[outcome < COUNT(outcomes) ? outcome : 0];
}

const char *cpuu_reason_word(uint32_t reason)
{
    return reasons[reason < COUNT(reasons) ? reason : 0].word;
}

const char *cpuu_reason_text(uint32_t reason)
{
    return reasons[reason < COUNT(reasons) ? reason : 0].text;
}

const char *cpuu_feature_state_word(cpuu_feature_state state)
{
    return states[(unsigned)state < COUNT(states) ? state : 0];
}

/* The letters of cpuu_mark in registry.h. */
const char *cpuu_mark_word(char mark)
{
    switch (mark) {
    case 'D':
        return "documented";
    case 'C':
        return "coded";
    case 'O':
        return "observed";
    case 'I':
        return "inferred";
    default:
        return "own";
    }
}

/* ---- exit -------------------------------------------------------------------------------------
 */

void cpuu_exit_words(unsigned mask, char *out, size_t size)
{
    static const char *const words[] = {"CPUU_SUCCESS",
                                        "CPUU_NO_SWITCH_MSG",
                                        "CPUU_SWITCH_ERR",
                                        "CPUU_USER_ABORT",
                                        "CPUU_GLOBAL_ERR",
                                        "CPUU_CRASH",
                                        "CPUU_FAILED_TO_WRITE_LOG",
                                        "CPUU_FAILED_TO_CREATE_TMP_DIR",
                                        "CPUU_FAILED_TO_COPY_LOCALLOG_TO_REMOTE_SHARE",
                                        "CPUU_INVALID_SWITCH_MSG"};
    size_t n = 0;
    snprintf(out, size, "%s", mask ? "" : "CPUU_CANNOT_START");
    for (unsigned i = 0; i < COUNT(words); i++) {
        if (mask & (1u << i) && n < size)
            n += (size_t)snprintf(out + n, size - n, "%s%s", n ? " " : "", words[i]);
    }
}

int cpuu_exit_status(unsigned mask, bool posix_style, bool nothing_to_do)
{
    if (!posix_style) {
        if (mask & CPUU_EXIT_FAILED_TO_COPY_LOG)
            mask |= CPUU_EXIT_FAILED_TO_WRITE_LOG;
        if (mask & CPUU_EXIT_INVALID_SWITCH_MSG)
            mask |= CPUU_EXIT_NO_SWITCH_MSG;
        return (int)(mask & 0xff);
    }
    const unsigned log_only = CPUU_EXIT_FAILED_TO_WRITE_LOG | CPUU_EXIT_FAILED_TO_CREATE_TMP |
                              CPUU_EXIT_FAILED_TO_COPY_LOG;
    if (mask == CPUU_EXIT_SUCCESS)
        return 0;
    if (mask & CPUU_EXIT_SUCCESS)
        return 1;
    if (mask & CPUU_EXIT_USER_ABORT)
        return 5;
    if ((mask & ~log_only) == CPUU_EXIT_NO_SWITCH_MSG)
        return 3;
    if (mask & ~log_only)
        return 4;
    if (mask)
        return nothing_to_do ? 3 : 4;
    return nothing_to_do ? 3 : 2;
}
