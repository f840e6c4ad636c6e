/*
 * Everything an administrator can say: CPUU.ini, credentials file and command line, parsed, typed
 * and validated into one struct from one table. --help, the manual pages and --show-config come
 * from the same table. inih lives here and nowhere else.
 */
#ifndef CPUU_SETTINGS_SETTINGS_H
#define CPUU_SETTINGS_SETTINGS_H

#include "base/log.h"
#include "base/mem.h"
#include "net/http.h"

#include <signal.h>
#include <stdio.h>

typedef enum cpuu_mode {
    CPUU_MODE_UPDATE = 1,
    CPUU_MODE_UNDO,
    CPUU_MODE_CLEANUP,
    CPUU_MODE_LIST_PROFILES,
    CPUU_MODE_LIST_FEATURES,
    CPUU_MODE_SHOW_CONFIG,
    CPUU_MODE_HELP,
    CPUU_MODE_VERSION
} cpuu_mode;

typedef struct cpuu_words { /* a list of words; NULL-terminated */
    char **items;
    size_t count;
    size_t cap; /* private to settings/ */
} cpuu_words;

/* One warning or note found while reading settings, to be logged once there is a log. */
typedef struct cpuu_setting_note {
    cpuu_level level;
    char *text; /* "CPUU.ini:12: unknown key 'Featuers'; did you mean 'Features'?" */
} cpuu_setting_note;

/* Watches the time of one verb of a plugin at once. When it is over `late` becomes 1, which the host
 * tells the plugin at the next opportunity; whoever does not take one ends the program soon after. */
typedef struct cpuu_guard {
    void (*begin)(const char *feature, uint32_t seconds);
    void (*end)(void); /* late is 0 again */
    const volatile sig_atomic_t *late;
} cpuu_guard;

typedef struct cpuu_settings {
    /* mode and selection */
    cpuu_mode mode;
    cpuu_words profiles;  /* -Profiles or -Undo names; empty = see below */
    bool default_profile; /* -DefaultProfile, -UndoDefaultProfile */
    bool undo_all;        /* -UndoAll */
    bool dry_run;
    bool profile_only; /* --profile-only */
    bool leave_temporary_profile;
    bool name_target_as_source;
    bool do_not_modify_exclude_scp;
    bool skip_autodiscover_checking;
    bool posix_exit; /* --exit-style=posix or ExitStyle=posix */
    bool verbose, quiet;
    bool no_outlook_logon; /* -DisableLogonThroughOutlook: accepted, Outlook is never started */

    /* where */
    cpuu_words hives;     /* --hive, repeated */
    cpuu_words hive_dirs; /* --hives */
    char *state_dir;      /* --state; default: /var/lib/cpuu as root, else XDG state dir; NULL
                             when there is no home folder either */
    char *plugin_dir;     /* --plugins; default: installed, or the build tree */
    char *ini_file;       /* the file used; NULL = none found */
    char *log_file;       /* -Log, before variables are expanded */
    char *json_file;
    bool log_write_directly, move_dumps_to_remote;
    uint32_t max_local_dumps;

    /* features */
    cpuu_words features; /* empty = all */
    cpuu_words skip;
    bool skip_all;
    cpuu_words critical;
    cpuu_words remove; /* "Nicks" */
    bool remove_junk;

    /* profiles and services */
    cpuu_words allow_services;
    bool allow_all_services;
    cpuu_words processed_domains;
    bool process_offline;
    bool keep_ost, backup_ost, use_target_ost;
    bool create_reg_for_ost;
    bool backup_copy_in_journal_only; /* BackupCopy=journal */

    /* network */
    char *autodiscover_source_url, *autodiscover_target_url;
    char *autodiscover_source_file, *autodiscover_target_file; /* keys of version 5.6 */
    bool use_local_xml;
    char *ca_file;
    cpuu_words connect_to;
    cpuu_words target_domains;
    char *mapping_file;
    bool allow_insecure_http;
    char *custom_attribute;
    uint32_t max_other_mailboxes; /* 50 */
    char *authority_url, *resource_url;

    /* credentials; a side is absent when user is NULL */
    cpuu_credentials source, target;
    bool ask_credentials, ask_source_only;
    char *credentials_file;
    bool encrypted_password, encrypted_password_target; /* Password=, PasswordTrg= were given */

    /* watchdog */
    bool watchdog;
    uint32_t attempts;                                   /* 3 */
    uint32_t open_store_wait, feature_wait, global_wait; /* seconds, 0 = unlimited */
    cpuu_words stop_processes;
    bool silent;

    /* notification */
    cpuu_words notify_to;
    char *notify_priority, *notify_attach, *notify_when, *notify_profile, *notify_subject,
        *notify_body;

    cpuu_setting_note *notes; /* bounded: a file full of mistakes is not listed to its end */
    size_t n_notes;
    struct cpuu_origin *origins;         /* where each value came from; private to settings/ */
    struct cpuu_feature_option *options; /* keys of [Feature.<name>] sections */
    size_t n_options;
    /* Set by cli/: becomes nonzero when the user asked to stop (SIGINT, SIGTERM). May be NULL. */
    const volatile sig_atomic_t *stop;
    const cpuu_guard *guard; /* set by cli/; NULL = nobody watches the time */
    cpuu_arena arena; /* owns all strings except the passwords */
} cpuu_settings;

/*
 * Reads the command line and the INI file it names (or finds beside the program, else in the
 * current folder). argv is not kept. CPUU_E_USAGE: the message names file and line, or the switch;
 * nothing has been touched. After failure *out is empty but for posix_exit, as far as it was
 * understood; it need not be freed.
 */
cpuu_rc cpuu_settings_load(int argc, char *const *argv, cpuu_settings *out, cpuu_error *err);
/*
 * Checks Features, Skip and Critical against the features that exist; called once plugins are
 * loaded. known_features: NULL-terminated. A feature of the guide that is not among them is a note
 * when it is in Features or Skip, and an error when it is in Critical (every profile would have to
 * be left alone). Any other name is an error that lists near matches. Names take the spelling of
 * the list.
 */
cpuu_rc cpuu_settings_check_features(cpuu_settings *s, const char *const *known_features,
                                     cpuu_error *err);
/* Makes an error about what a key of [Parameters] names a refusal of the setting: CPUU_E_USAGE, with
 * file, line and key in front of the message. Returns err->rc. */
cpuu_rc cpuu_settings_refuse(const cpuu_settings *s, const char *key, cpuu_error *err);
/* -DoNotModifyExcludeSCPLookup, which has no effect where both Autodiscover URLs are configured. */
bool cpuu_settings_keep_scp(const cpuu_settings *s);
void cpuu_settings_free(cpuu_settings *s);

/*
 * Fills in credentials that are missing: from the credentials file, else by a prompt on the
 * terminal where the settings say who logs on (AskCredentials, Admin, AdminTrg). Nothing configured
 * leaves the side absent: the ticket of the logged-in user. Without a terminal CPUU_E_AUTH at once,
 * never a hang. target_too: the target side will be used as well; with AskCredentials its prompt is
 * left out until the caller asks for it with cpuu_settings_ask_target (the guide: only when the
 * source credentials do not allow a logon there), and the source credentials are copied.
 */
cpuu_rc cpuu_settings_credentials(cpuu_settings *s, bool target_too, cpuu_error *err);
/* Prompts for target credentials after the first ones were refused there. CPUU_E_AUTH when the
 * settings do not allow a prompt (no AskCredentials, AskSourceCredentialsOnly) or there is no
 * terminal. */
cpuu_rc cpuu_settings_ask_target(cpuu_settings *s, cpuu_error *err);

/* Texts generated from the table, to a stream. */
void cpuu_settings_print_help(FILE *out);
void cpuu_settings_print_config(const cpuu_settings *s, FILE *out);
/* The sections of cpuu(1) or cpuu.ini(5) that list switches or keys, in man markup, and the
 * template of CPUU.ini; used by the build. */
void cpuu_settings_print_man(bool ini_page, FILE *out);
void cpuu_settings_print_template(FILE *out);
/* A completion script for bash. */
void cpuu_settings_print_completion(FILE *out);

/* Value of an INI key of a third-party feature, "[Feature.<name>]" section; NULL when absent. */
const char *cpuu_settings_feature_option(const cpuu_settings *s, const char *feature,
                                         const char *key);
/* Says that a setting was given but changes nothing, and similar; the text is copied. */
cpuu_rc cpuu_settings_note(cpuu_settings *s, cpuu_level level, cpuu_error *err, const char *fmt,
                           ...) __attribute__((format(printf, 4, 5)));

#endif
