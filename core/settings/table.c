/* See table.h. Sources: the guide's CPUU Parameters and Notification Format; rulings A1-A48. */
#include "settings/table.h"

#include "base/text.h"

#include <string.h>

#define AT(member) offsetof(cpuu_settings, member)
#define LINE       CPUU_ON_LINE
#define ADDED      CPUU_LONG
#define PAR        CPUU_IN_PARAMETERS
#define NEWPAR     (CPUU_IN_PARAMETERS | CPUU_ADDED)
#define NOTE       CPUU_IN_NOTIFICATION

/* Rows are in the order in which help and manual pages show them. */
const cpuu_setting cpuu_settings_table[] = {
    /* ---- switches of the guide --------------------------------------------------------------- */
    {.name = "Profiles", .where = LINE, .type = CPUU_T_ITEM, .offset = AT(profiles),
     .mode = CPUU_MODE_UPDATE, .arg = "NAME...",
     .help = "Update these profiles only. Without a selector all profiles are updated."},
    {.name = "DefaultProfile", .where = LINE, .type = CPUU_T_FLAG, .offset = AT(default_profile),
     .mode = CPUU_MODE_UPDATE, .help = "Update the default profile."},
    {.name = "Undo", .where = LINE, .type = CPUU_T_ITEM, .offset = AT(profiles),
     .mode = CPUU_MODE_UNDO, .arg = "NAME...", .help = "Roll these profiles back."},
    {.name = "UndoDefaultProfile", .where = LINE, .type = CPUU_T_FLAG,
     .offset = AT(default_profile), .mode = CPUU_MODE_UNDO, .help = "Roll the default profile back."},
    {.name = "UndoAll", .where = LINE, .type = CPUU_T_FLAG, .offset = AT(undo_all),
     .mode = CPUU_MODE_UNDO, .help = "Roll every updated profile back."},
    {.name = "Cleanup", .where = LINE, .type = CPUU_T_MODE, .mode = CPUU_MODE_CLEANUP,
     .help = "Delete backup profiles and journals. Afterwards nothing can be rolled back."},
    {.name = "INI", .where = LINE, .type = CPUU_T_TEXT, .offset = AT(ini_file), .arg = "FILE",
     .help = "The configuration file. Default: CPUU.ini beside the program, else in the current "
             "folder."},
    {.name = "Log", .where = LINE, .type = CPUU_T_TEXT, .offset = AT(log_file), .arg = "FILE",
     .fallback = "CPUU.log",
     .help = "The log file. #h, #d and #t stand for the name of this computer, the date and the "
             "time, %NAME% for an environment variable. The CSV file is put beside it. When it lies "
             "on a network file system the log is written to CPUULogs in the TEMP folder and moved "
             "at the end."},
    {.name = "LogWriteDirectly", .where = LINE, .type = CPUU_T_FLAG,
     .offset = AT(log_write_directly), .help = "Write the log to a network file system directly."},
    {.name = "MoveDumpsToRemote", .where = LINE, .type = CPUU_T_FLAG, .effect = CPUU_LATER,
     .offset = AT(move_dumps_to_remote), .help = "Move crash dumps to the folder of the log too."},
    {.name = "MaxLocalDumps", .where = LINE, .type = CPUU_T_NUMBER, .effect = CPUU_LATER,
     .offset = AT(max_local_dumps), .max = 1000, .fallback = "10", .arg = "N",
     .help = "How many crash dumps are kept in CPUULogs."},
    {.name = "LeaveTemporaryProfile", .where = LINE, .type = CPUU_T_FLAG,
     .offset = AT(leave_temporary_profile),
     .help = "Keep a copy of the switched profile, called CPUU_{GUID}, for troubleshooting."},
    {.name = "DoNotModifyExcludeSCPLookup", .aliases = "ExcludeScpLookupNever", .where = LINE,
     .type = CPUU_T_FLAG, .offset = AT(do_not_modify_exclude_scp),
     .help = "Leave Autodiscover's SCP look-up as it is; by default it is switched off. Has no "
             "effect when Autodiscover URLs are configured."},
    {.name = "NameTrgStoreAsSrc", .where = LINE, .type = CPUU_T_FLAG,
     .offset = AT(name_target_as_source),
     .help = "Give the target store the display name that the source store had."},
    {.name = "SkipAutodiscoverChecking", .where = LINE, .type = CPUU_T_FLAG,
     .offset = AT(skip_autodiscover_checking),
     .help = "Do not check that the Autodiscover answers come from the source and the target side."},
    {.name = "DisableLogonThroughOutlook", .where = LINE, .type = CPUU_T_FLAG, .effect = CPUU_NEVER,
     .offset = AT(no_outlook_logon),
     .help = "Accepted for compatibility; Outlook is never started."},
    {.name = "?", .long_name = "help", .aliases = "h", .where = LINE | CPUU_LONG,
     .type = CPUU_T_MODE, .mode = CPUU_MODE_HELP, .help = "Show this help."},

    /* ---- additions on the command line ------------------------------------------------------- */
    {.name = "hive", .where = ADDED, .type = CPUU_T_ITEM, .offset = AT(hives), .arg = "FILE",
     .help = "A user's NTUSER.DAT to work on. May be repeated."},
    {.name = "hives", .where = ADDED, .type = CPUU_T_ITEM, .offset = AT(hive_dirs), .arg = "DIR",
     .help = "Work on every NTUSER.DAT below this folder. May be repeated."},
    {.name = "state", .where = ADDED, .type = CPUU_T_TEXT, .offset = AT(state_dir), .arg = "DIR",
     .help = "Folder of the journals. Default: /var/lib/cpuu for root, else cpuu in the user's state "
             "folder."},
    {.name = "plugins", .where = ADDED, .type = CPUU_T_TEXT, .offset = AT(plugin_dir), .arg = "DIR",
     .help = "Folder of the feature plugins."},
    {.name = "dry-run", .where = ADDED, .type = CPUU_T_FLAG, .offset = AT(dry_run),
     .help = "Change nothing; show what would be changed, old and new value."},
    {.name = "profile-only", .where = ADDED, .type = CPUU_T_FLAG, .offset = AT(profile_only),
     .needs = CPUU_MODE_UNDO,
     .help = "Roll back the profile even though the mailbox cannot be reached; what was changed in "
             "the mailbox stays."},
    {.name = "json", .where = ADDED, .type = CPUU_T_TEXT, .offset = AT(json_file), .arg = "FILE",
     .help = "Write a report for programs: every profile, feature and link. \"-\" is standard "
             "output. See cpuu-json(5)."},
    {.name = "list-profiles", .where = ADDED, .type = CPUU_T_MODE, .mode = CPUU_MODE_LIST_PROFILES,
     .help = "List the profiles that are found and what would become of them."},
    {.name = "list-features", .where = ADDED, .type = CPUU_T_MODE, .mode = CPUU_MODE_LIST_FEATURES,
     .help = "List the features that the plugins offer."},
    {.name = "show-config", .where = ADDED, .type = CPUU_T_MODE, .mode = CPUU_MODE_SHOW_CONFIG,
     .help = "Show every setting, its value and where it comes from."},
    {.name = "verbose", .where = ADDED, .type = CPUU_T_FLAG, .offset = AT(verbose),
     .help = "Show on the terminal what otherwise only the log holds."},
    {.name = "quiet", .where = ADDED, .type = CPUU_T_FLAG, .offset = AT(quiet),
     .help = "Show only errors."},
    {.name = "version", .where = ADDED, .type = CPUU_T_MODE, .mode = CPUU_MODE_VERSION,
     .help = "Show the version."},
    {.name = "ExitStyle", .long_name = "exit-style", .where = CPUU_LONG | NEWPAR,
     .type = CPUU_T_SWITCH, .offset = AT(posix_exit), .choices = "guide posix", .fallback = "guide",
     .arg = "STYLE",
     .help = "\"guide\": the exit status is the bit mask of the guide. \"posix\": 0 done, 1 partly, "
             "2 cannot start, 3 nothing to do, 4 failed, 5 stopped by the user."},

    /* ---- [Parameters]: features -------------------------------------------------------------- */
    {.name = "Features", .where = PAR, .type = CPUU_T_FEATURES, .offset = AT(features),
     .arg = "NAME...",
     .help = "Update only these features. Empty or All: every feature. Not together with Skip."},
    {.name = "Skip", .where = PAR, .type = CPUU_T_FEATURES, .offset = AT(skip), .arg = "NAME...",
     .help = "Leave these features out. All: only the profile itself is switched."},
    {.name = "Critical", .where = PAR | LINE, .type = CPUU_T_FEATURES, .offset = AT(critical),
     .arg = "NAME...",
     .help = "Leave a profile as it was when one of these features fails."},
    {.name = "Remove", .where = PAR, .type = CPUU_T_REMOVE, .effect = CPUU_LATER,
     .offset = AT(remove), .arg = "Nicks",
     .help = "Nicks: delete the AutoComplete list. To leave the list alone use Skip=Nicks."},
    {.name = "RemoveJunkEmailMessages", .where = PAR, .type = CPUU_T_BOOL, .effect = CPUU_LATER,
     .offset = AT(remove_junk), .fallback = "0", .arg = "0|1",
     .help = "Remove the junk e-mail settings of the updated profile."},

    /* ---- [Parameters]: profiles -------------------------------------------------------------- */
    {.name = "AllowAdditionalServices", .where = PAR, .type = CPUU_T_SERVICES,
     .offset = AT(allow_services), .arg = "SERVICE...",
     .help = "Also accept profiles with these services. Always accepted: MSEMS, MSPST AB, MSPST MS, "
             "MSUPST MS, CONTAB, EMABLT, INTERSTOR, IMAIL. All: any service. A name of two words is "
             "put in double quotes."},
    {.name = "ProcessedDomainsFQDNs", .aliases = "AutodiscoverDomainsFQDNs", .where = PAR,
     .type = CPUU_T_DOMAINS, .offset = AT(processed_domains), .arg = "DOMAIN...",
     .help = "Switch an account only when its address is in one of these domains; needed for "
             "profiles with several Exchange accounts. Blanks are the only separator."},
    {.name = "ProcessOfflineProfiles", .where = PAR, .type = CPUU_T_BOOL,
     .offset = AT(process_offline), .fallback = "0", .arg = "0|1",
     .help = "Update profiles that work offline too."},
    {.name = "KeepOST", .where = PAR, .type = CPUU_T_BOOL, .effect = CPUU_LATER,
     .offset = AT(keep_ost), .fallback = "0", .arg = "0|1",
     .help = "Go on using the OST file when the mailbox was moved in a Remote Users Collection."},
    {.name = "BackupOST", .where = PAR, .type = CPUU_T_BOOL, .effect = CPUU_LATER,
     .offset = AT(backup_ost), .fallback = "0", .arg = "0|1",
     .help = "Copy the OST file first, under the same condition."},
    {.name = "CreateRegFileForOSTRecovery", .where = PAR, .type = CPUU_T_BOOL,
     .effect = CPUU_LATER, .offset = AT(create_reg_for_ost), .fallback = "1", .arg = "0|1",
     .help = "Write a .reg file with which a lost link to an OST file can be restored. The guide "
             "describes the opposite of what the name says; the name is followed here."},
    {.name = "UseTargetOST", .where = PAR, .type = CPUU_T_BOOL, .effect = CPUU_LATER,
     .offset = AT(use_target_ost), .fallback = "0", .arg = "0|1",
     .help = "Rollback only: keep the OST file of the target mailbox."},
    {.name = "BackupCopy", .where = NEWPAR, .type = CPUU_T_SWITCH,
     .offset = AT(backup_copy_in_journal_only), .choices = "profile journal", .fallback = "profile",
     .arg = "profile|journal",
     .help = "Where the copy of the old profile is kept: also beside the profile, or in the journal "
             "only."},

    /* ---- [Parameters]: credentials ----------------------------------------------------------- */
    {.name = "Admin", .where = PAR, .type = CPUU_T_TEXT, .offset = AT(source.user),
     .arg = "DOMAIN\\user", .help = "Account for the source mailboxes; used for the target too when "
                                    "AdminTrg is not given."},
    {.name = "Password", .where = PAR, .type = CPUU_T_SECRET, .offset = AT(encrypted_password),
     .effect = CPUU_LATER, .arg = "ENCRYPTED",
     .help = "Encrypted password of Admin. Such values cannot be read yet: use CredentialsFile or "
             "AskCredentials."},
    {.name = "AdminTrg", .where = PAR, .type = CPUU_T_TEXT, .offset = AT(target.user),
     .arg = "DOMAIN\\user", .help = "Account for the target mailboxes; user@domain for Office 365."},
    {.name = "PasswordTrg", .where = PAR, .type = CPUU_T_SECRET,
     .offset = AT(encrypted_password_target), .effect = CPUU_LATER, .arg = "ENCRYPTED",
     .help = "Encrypted password of AdminTrg; the same holds as for Password."},
    {.name = "AskCredentials", .where = PAR, .type = CPUU_T_BOOL, .offset = AT(ask_credentials),
     .fallback = "0", .arg = "0|1",
     .help = "Ask for the source account on the terminal, and for the target account when the first "
             "one is refused there."},
    {.name = "AskSourceCredentialsOnly", .where = PAR, .type = CPUU_T_BOOL,
     .offset = AT(ask_source_only), .fallback = "0", .arg = "0|1",
     .help = "Use the source account for the (linked) target mailbox; never ask twice."},
    {.name = "CredentialsFile", .where = NEWPAR, .type = CPUU_T_TEXT,
     .offset = AT(credentials_file), .arg = "FILE",
     .help = "INI file with the sections [Source] and [Target], each with User= and Password=. "
             "Refused unless it belongs to the user who runs the program and nobody else can read "
             "it."},
    {.name = "TargetDomains", .where = NEWPAR, .type = CPUU_T_DOMAINS, .offset = AT(target_domains),
     .arg = "DOMAIN...",
     .help = "Domains that target credentials may be sent to. A Switch Message alone is not trusted "
             "to name them."},
    {.name = "AllowInsecureHTTP", .where = NEWPAR, .type = CPUU_T_BOOL,
     .offset = AT(allow_insecure_http), .fallback = "0", .arg = "0|1",
     .help = "Send credentials over http without encryption. For a test laboratory only."},
    {.name = "AuthorityURL", .where = PAR, .type = CPUU_T_URL, .effect = CPUU_LATER,
     .offset = AT(authority_url), .fallback = "https://login.microsoftonline.com/common",
     .arg = "URL", .help = "Where an access token is obtained."},
    {.name = "ResourceURL", .where = PAR, .type = CPUU_T_URL, .effect = CPUU_LATER,
     .offset = AT(resource_url), .fallback = "https://outlook.office365.com", .arg = "URL",
     .help = "What the access token is for."},

    /* ---- [Parameters]: network --------------------------------------------------------------- */
    {.name = "AutodiscoverSourceURL", .where = PAR, .type = CPUU_T_URL,
     .offset = AT(autodiscover_source_url), .arg = "URL",
     .help = "Autodiscover service of the source; replaces the look-up."},
    {.name = "AutodiscoverTargetURL", .where = PAR, .type = CPUU_T_URL,
     .offset = AT(autodiscover_target_url), .arg = "URL",
     .help = "Autodiscover service of the target; replaces the look-up."},
    {.name = "UseLocalAutodiscoverXMLs", .where = PAR, .type = CPUU_T_BOOL, .effect = CPUU_LATER,
     .offset = AT(use_local_xml), .fallback = "0", .arg = "0|1",
     .help = "Point Outlook to local Autodiscover files; for equal domains on both sides."},
    {.name = "AutodiscoverSrcFile", .where = PAR, .type = CPUU_T_TEXT, .effect = CPUU_LATER,
     .offset = AT(autodiscover_source_file), .arg = "FILE",
     .help = "Local Autodiscover file of the source (key of version 5.6)."},
    {.name = "AutodiscoverTrgFile", .where = PAR, .type = CPUU_T_TEXT, .effect = CPUU_LATER,
     .offset = AT(autodiscover_target_file), .arg = "FILE",
     .help = "Local Autodiscover file of the target (key of version 5.6)."},
    {.name = "CAFile", .where = NEWPAR, .type = CPUU_T_TEXT, .offset = AT(ca_file), .arg = "FILE",
     .help = "Certificates of the authorities that are trusted, in PEM form, instead of the "
             "system's."},
    {.name = "ConnectTo", .where = NEWPAR, .type = CPUU_T_WORDS, .offset = AT(connect_to),
     .arg = "HOST:PORT:HOST:PORT...",
     .help = "Connect to the second host and port when the first is asked for (the syntax of curl's "
             "connect-to); for tests before a DNS cut-over."},
    {.name = "MappingFile", .where = NEWPAR, .type = CPUU_T_TEXT, .offset = AT(mapping_file),
     .arg = "FILE",
     .help = "CSV file that says who moved where. Replaces the Switch Message and the directory "
             "look-up; who is not in it has not moved."},
    {.name = "CustomAttribute", .where = NEWPAR, .type = CPUU_T_TEXT,
     .offset = AT(custom_attribute), .arg = "NAME",
     .help = "Attribute of the target directory that holds the source identity of a person."},
    {.name = "MaxOtherMailboxes", .where = NEWPAR, .type = CPUU_T_NUMBER,
     .offset = AT(max_other_mailboxes), .max = 1000, .fallback = "50", .arg = "N",
     .help = "How many mailboxes of other people are opened at most to learn whether they have "
             "moved."},

    /* ---- [Parameters]: supervision ----------------------------------------------------------- */
    {.name = "Silent", .where = PAR, .type = CPUU_T_BOOL, .offset = AT(silent), .fallback = "0",
     .arg = "0|1", .help = "Show nothing but errors and questions for credentials."},
    {.name = "WatchDog", .where = PAR, .type = CPUU_T_BOOL, .effect = CPUU_LATER,
     .offset = AT(watchdog), .fallback = "1", .arg = "0|1",
     .help = "Supervise the run and restart it when it hangs."},
    {.name = "StopProcesses", .where = PAR, .type = CPUU_T_WORDS, .effect = CPUU_LATER,
     .offset = AT(stop_processes),
     .fallback = "Communicator.exe Outlook.exe Rim.Desktop.exe Desktopmanager.exe "
                 "GoogleCalendarSync.exe",
     .arg = "NAME...", .help = "Programs that are stopped first. +NAME adds to the default list."},
    {.name = "Attempt", .where = PAR, .type = CPUU_T_NUMBER, .effect = CPUU_LATER,
     .offset = AT(attempts), .max = 100, .fallback = "3", .arg = "N",
     .help = "How often a run that hangs is restarted."},
    {.name = "OpenStoreWait", .where = PAR, .type = CPUU_T_NUMBER, .effect = CPUU_LATER,
     .offset = AT(open_store_wait), .max = 604800, .fallback = "300", .arg = "SECONDS",
     .help = "Longest time for opening a mailbox; 0 = no limit. The default is ours."},
    {.name = "FeatureWait", .where = PAR, .type = CPUU_T_NUMBER, .effect = CPUU_LATER,
     .offset = AT(feature_wait), .max = 604800, .fallback = "900", .arg = "SECONDS",
     .help = "Longest time for one feature; 0 = no limit. The default is ours."},
    {.name = "GlobalWait", .where = PAR, .type = CPUU_T_NUMBER, .effect = CPUU_LATER,
     .offset = AT(global_wait), .max = 604800, .fallback = "7200", .arg = "SECONDS",
     .help = "Longest time for a run; 0 = no limit. The default is ours."},

    /* ---- [Admin notification] ---------------------------------------------------------------- */
    {.name = "SMTPAddress", .where = NOTE, .type = CPUU_T_ADDRESSES, .effect = CPUU_LATER,
     .offset = AT(notify_to), .arg = "ADDRESS...", .help = "Who is notified."},
    {.name = "Priority", .where = NOTE, .type = CPUU_T_CHOICE, .effect = CPUU_LATER,
     .offset = AT(notify_priority), .choices = "low normal high", .fallback = "normal",
     .arg = "low|normal|high", .help = "Priority of the message."},
    {.name = "Attach log", .where = NOTE, .type = CPUU_T_CHOICE, .effect = CPUU_LATER,
     .offset = AT(notify_attach), .choices = "none all statistics summary",
     .fallback = "statistics", .arg = "none|all|statistics",
     .help = "What is attached: nothing, the whole log, or a summary of it."},
    {.name = "Notification", .where = NOTE, .type = CPUU_T_CHOICE, .effect = CPUU_LATER,
     .offset = AT(notify_when), .choices = "success fail all", .fallback = "fail",
     .arg = "success|fail|all", .help = "After which outcomes a message is sent."},
    {.name = "Profile", .where = NOTE, .type = CPUU_T_CHOICE, .effect = CPUU_LATER,
     .offset = AT(notify_profile), .choices = "default current", .fallback = "default",
     .arg = "default|current",
     .help = "default: one message at the end, from the default profile. current: one after each "
             "profile."},
    {.name = "Subject", .where = NOTE, .type = CPUU_T_TEXT, .effect = CPUU_LATER,
     .offset = AT(notify_subject), .fallback = "%R: Profile %P on computer %H", .arg = "TEXT",
     .help = "Subject. %R: outcome, %P profile, %H computer, %U user, %T time, %D date, %% a "
             "percent sign."},
    {.name = "Body", .where = NOTE, .type = CPUU_T_TEXT, .effect = CPUU_LATER,
     .offset = AT(notify_body),
     .fallback = "The mail client profile %P for user %U on computer %H has been processed by "
                 "Client Profile Updating Utility (CPUU), and was %R. The profile was processed at "
                 "%T, %D. See the CPUU log file for details.",
     .arg = "TEXT", .help = "Text; the same letters. It may span lines, which are joined by a "
                            "blank."},
};
const size_t cpuu_settings_count = sizeof(cpuu_settings_table) / sizeof(cpuu_settings_table[0]);

const char *const cpuu_guide_features[] = {
    "AddBoxes", "CONTAB", "ContactMembers", "Delegates", "MoveToFolder", "Nicks",
    "OtherUsersFolders", "PublicFav", "Rules", "SRS", "SearchFolders", "Services", "Shortcuts",
    "UserNames", "Favorites", "Calendar", "Contacts", "Tasks", "Notes", "Journal", NULL};

/* True when `name` is one of the blank-separated words. */
static bool among(const char *words, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = words; p && *p;) {
        size_t len = strcspn(p, " ");
        if (len == n && cpuu_ncasecmp(p, name, n) == 0)
            return true;
        p += len + strspn(p + len, " ");
    }
    return false;
}

const cpuu_setting *cpuu_settings_find(const char *name, unsigned where)
{
    for (size_t i = 0; i < cpuu_settings_count; i++) {
        const cpuu_setting *row = &cpuu_settings_table[i];
        if (!(row->where & where))
            continue;
        if (cpuu_caseeq(row->name, name) || among(row->aliases, name))
            return row;
        if ((where & CPUU_LONG) && row->long_name && cpuu_caseeq(row->long_name, name))
            return row;
    }
    return NULL;
}

const char *cpuu_settings_nearest(const char *name, unsigned where)
{
    const char *best = NULL;
    unsigned limit = strlen(name) < 6 ? 1 : 3, distance = limit + 1;
    for (size_t i = 0; i < cpuu_settings_count; i++) {
        const cpuu_setting *row = &cpuu_settings_table[i];
        const char *shown = (where & CPUU_LONG) && row->long_name ? row->long_name : row->name;
        unsigned d = row->where & where ? cpuu_edit_distance(name, shown) : limit + 1;
        if (d < distance) {
            distance = d;
            best = shown;
        }
    }
    return best;
}

const cpuu_setting *cpuu_settings_row(size_t offset)
{
    for (size_t i = 0; i < cpuu_settings_count; i++) {
        const cpuu_setting *row = &cpuu_settings_table[i];
        if (row->offset == offset && row->type != CPUU_T_MODE)
            return row;
    }
    return NULL;
}
