/*
 * What an Outlook profile is, on top of any registry. Pure: reads a cpuu_reg (often the overlay
 * view of staged edits), writes edit lists, never touches a file or a clock. Facts: reference
 * "Outlook profile registry"; its section numbers are cited in the code.
 */
#ifndef CPUU_PROFILE_PROFILE_H
#define CPUU_PROFILE_PROFILE_H

#include "registry/registry.h"

/* ---- discovery ------------------------------------------------------------------------------- */

typedef struct cpuu_profile_root {
    char *key;             /* key that holds the profiles, "...\Outlook\Profiles" */
    char *default_key;     /* key of the DefaultProfile value */
    char *outlook_version; /* "16.0", "15.0", or "" for Windows Messaging Subsystem */
    char *default_profile; /* NULL when not set */
    cpuu_reg_names names;  /* profile names */
} cpuu_profile_root;

typedef struct cpuu_profile_roots { /* every root that holds at least one profile, newest first */
    cpuu_profile_root items[4];
    size_t count;
} cpuu_profile_roots;

/* items[0] is the root to process (architecture 4.2); the others are only reported. count 0 is
 * success: there are no profiles. */
cpuu_rc cpuu_profile_discover(cpuu_reg *reg, cpuu_profile_roots *out, cpuu_error *err);
void cpuu_profile_roots_free(cpuu_profile_roots *roots);

#define CPUU_BACKUP_PREFIX    "CPUU_Backup_" /* <guid>: the copy beside a switched profile */
#define CPUU_TEMPORARY_PREFIX "CPUU_"        /* {GUID}: left by -LeaveTemporaryProfile */
/* DefaultProfile, whether such a profile exists or not; else the only profile there is (inferred; our
 * backup copies do not count). NULL: none. */
const char *cpuu_profile_root_default(const cpuu_profile_root *root);
bool cpuu_profile_name_is_backup(const char *name);
bool cpuu_profile_name_is_temporary(const char *name);

/* ---- one profile ----------------------------------------------------------------------------- */

typedef struct cpuu_account { /* an Exchange account of the profile */
    char *subkey;             /* of the account manager key, "00000002"; NULL when only a service */
    uint32_t id;
    char *service_section; /* 32 hex digits */
    char *emsmdb_section;
    char *store_section; /* primary store provider; NULL when not found */
    char *smtp;          /* section 5 reading order; NULL when unknown */
    char *legacy_dn;     /* NULL when unknown */
    char *display_name;
    char *ost_path;        /* NULL = online */
    uint32_t config_flags; /* 0x6601 */
    uint32_t auth_package; /* 0x6619; 0 = not set */
    bool cached;
    bool has_disagreement; /* the sources of section 5 name different mailboxes */
} cpuu_account;

typedef struct cpuu_service {
    char *section; /* 32 hex digits */
    char *name;    /* MSEMS, MSUPST MS, CONTAB, ... */
    char *display_name;
    char **providers; /* sections of its stores, address books and transports, in that order */
    size_t n_providers;
    bool missing; /* listed, but there is no such section; name is then "" */
} cpuu_service;

typedef struct cpuu_profile {
    cpuu_reg *reg; /* borrowed */
    char *name;
    char *key;  /* full key of the profile */
    char *root; /* cpuu_profile_root.key */
    char *default_key;
    char *outlook_version;
    uint8_t uid[16]; /* 0102300b of the profile instance section; zero when missing */
    bool has_uid;
    bool is_default;
    bool is_backup;    /* made by us: code 1 */
    bool is_temporary; /* CPUU_{GUID}: skipped by discovery */
    unsigned mv_width; /* 4 or 8; 0 when no multi-valued value tells */
    cpuu_service *services;
    size_t n_services;
    cpuu_account *accounts; /* Exchange accounts, primary (first added) first */
    size_t n_accounts;
    cpuu_arena arena; /* owns all of the above */
} cpuu_profile;

cpuu_rc cpuu_profile_open(cpuu_reg *reg, const cpuu_profile_root *root, const char *name,
                          cpuu_profile **out, cpuu_error *err);
void cpuu_profile_free(cpuu_profile *p);

/* Values of a section in MAPI terms. section: 32 hex digits or one of these. */
#define CPUU_SECTION_MASTER   "9207f3e0a3b11019908b08002b2a56c2"
#define CPUU_SECTION_ACCOUNTS "9375CFF0413111d3B88A00104B2A6676"
#define CPUU_SECTION_OUTLOOK  "0a0d020000000000c000000000000046"
#define CPUU_SECTION_SEND_RECEIVE "3517490d76624c419a828607e2a54604"
#define CPUU_SECTION_EXCHANGE "13dbb0c8aa05101a9bb000aa002fc45a"
#define CPUU_SECTION_INSTANCE "8503020000000000c000000000000046"
#define CPUU_SECTION_RULES    "f86ed2903a4a11cfb57e524153480001"
#define CPUU_SECTION_SENDRECV "3517490d76624c419a828607e2a54604"

/* Reads one property into value form (see cpuu_value in cpuu/plugin.h): the descriptor width and
 * registry type are hidden. CPUU_E_NOTFOUND; CPUU_E_FORMAT when the bytes do not fit the type.
 * The value's data lives in `arena`. */
cpuu_rc cpuu_profile_get(cpuu_profile *p, const char *section, uint32_t tag, cpuu_arena *arena,
                         cpuu_value *out, cpuu_error *err);
/* All MAPI properties of a section. Values that cannot be decoded come as PtypErrorCode. */
cpuu_rc cpuu_profile_get_all(cpuu_profile *p, const char *section, cpuu_arena *arena,
                             cpuu_value **out, uint32_t *n, cpuu_error *err);
/* Stages edits. The registry type and the descriptor width of an existing value are kept; a new
 * multi-valued value takes the profile's width. CPUU_E_FORMAT: the value that is there cannot be
 * understood, so it is not overwritten. An empty multi-valued value deletes. */
cpuu_rc cpuu_profile_set(cpuu_profile *p, cpuu_edits *edits, const char *section,
                         const cpuu_value *value, cpuu_mark mark, const char *title,
                         cpuu_error *err);
cpuu_rc cpuu_profile_unset(cpuu_profile *p, cpuu_edits *edits, const char *section, uint32_t tag,
                           cpuu_mark mark, const char *title, cpuu_error *err);
/* Takes an additional mailbox (delegate store provider) out of every list (master, service, EMSMDB)
 * and deletes its section; CPUU_E_UNSUPPORTED for any other section. To remove several, or to read
 * what was set before, the profile must be open on the overlay of `edits`. */
cpuu_rc cpuu_profile_remove_provider(cpuu_profile *p, cpuu_edits *edits, const char *section,
                                     cpuu_error *err);
/* Sections by CPUU_ROLE_* of a query (OUTLOOK, MASTER, ACCOUNT, SERVICES, PROVIDERS). ACCOUNT is
 * that of `account` (none when NULL); services and providers of other Exchange accounts are left
 * out. Names in `arena`. */
cpuu_rc cpuu_profile_sections(cpuu_profile *p, const cpuu_account *account, uint32_t role,
                              const char *filter, cpuu_arena *arena, char ***out, size_t *n,
                              cpuu_error *err);

/* ---- classification -------------------------------------------------------------------------- */

typedef struct cpuu_profile_rules { /* settings that decide whether a profile may be processed */
    const char *const *allowed_services; /* AllowAdditionalServices; NULL-terminated */
    bool allow_all_services;
    const char *const *domains; /* ProcessedDomainsFQDNs; NULL-terminated; empty = all */
    bool process_offline;
} cpuu_profile_rules;

/* The guide's status for a profile that no mailbox was asked about: 0 (go on) or a
 * cpuu_status of report/report.h: 1, 4, 5, 6, 7, 8, 23 or 24.
 * `account` is the account to switch when 0. reason: one line for the log, in the arena of p; when
 * 0 it is empty, or a warning. An offline profile is one whose account has an OST path. */
int cpuu_profile_classify(cpuu_profile *p, const cpuu_profile_rules *rules,
                          const cpuu_account **account, const char **reason);

/* ---- invariants ------------------------------------------------------------------------------ */

typedef struct cpuu_finding {
    char *section;
    char *text;
    bool fatal; /* would harm Outlook: dangling UID, half-removed provider */
} cpuu_finding;
typedef struct cpuu_findings {
    cpuu_finding *items;
    size_t count;
    cpuu_arena arena;
} cpuu_findings;
/* Dangling UIDs, providers missing from a list, mixed descriptor widths. An update must not add a
 * finding that was not there before. */
cpuu_rc cpuu_profile_check(cpuu_profile *p, cpuu_findings *out, cpuu_error *err);
void cpuu_findings_free(cpuu_findings *f);

/* ---- the switch ------------------------------------------------------------------------------ */

typedef struct cpuu_identity { /* a mailbox, as a profile names it */
    const char *smtp;
    const char *legacy_dn;
    const char *display_name;
    const uint8_t *store_uid; /* 16 bytes: mailbox GUID = record key; NULL = unknown */
    cpuu_blob store_entryid;  /* wrapped v3; empty = unknown */
    cpuu_blob inbox_entryid;  /* empty = unknown */
    const char *ews_url;
} cpuu_identity;

typedef struct cpuu_switch_options {
    bool name_target_as_source; /* -NameTrgStoreAsSrc: keep the store's display name */
    bool disable_scp; /* unless -DoNotModifyExcludeSCPLookup: AutoDiscover\ExcludeScpLookup = 1 */
    bool remove_junk; /* RemoveJunkEmailMessages: delete the account's junk settings */
    const char *ost_path; /* new OST path (a Windows path). NULL: an old path is removed and
                             Outlook makes its own, never the old file */
} cpuu_switch_options;

/*
 * The edits that make `account` of the profile open `target` instead of `source` (section 11),
 * appended to `edits`. Sections are edited in place; nothing else changes. Each edit carries its
 * confidence mark and a title. Allow-listed keys outside the profile (R11) are included. On failure
 * `edits` is as before; CPUU_E_FORMAT names a value that is not what it should be.
 */
cpuu_rc cpuu_profile_switch(cpuu_profile *p, const cpuu_account *account,
                            const cpuu_identity *source, const cpuu_identity *target,
                            const cpuu_switch_options *options, cpuu_edits *edits, cpuu_error *err);

/* Left-over mentions of the source (DN, SMTP, server, store UID; 8-bit and UTF-16, any case) in any
 * value of the profile. */
typedef struct cpuu_leftover {
    char *key;   /* relative to the profile */
    char *value; /* value name */
    char *what;  /* "SMTP address", "legacyExchangeDN", "store UID" */
} cpuu_leftover;
typedef struct cpuu_leftovers {
    cpuu_leftover *items;
    size_t count;
    cpuu_arena arena;
} cpuu_leftovers;
cpuu_rc cpuu_profile_scan(cpuu_profile *p, const cpuu_identity *source, cpuu_leftovers *out,
                          cpuu_error *err);
void cpuu_leftovers_free(cpuu_leftovers *l);

/* ---- marker, image, backup copy -------------------------------------------------------------- */

#define CPUU_MARKER_KEY "Software\\CPUU" /* <id>: journal, profile, target identity */

typedef struct cpuu_marker { /* strings owned by the caller's arena */
    char *journal_id;
    char *profile_key;
    char *target_dn;
    char *target_smtp;
} cpuu_marker;
/* CPUU_E_NOTFOUND when the profile carries none. */
cpuu_rc cpuu_marker_read(cpuu_reg *reg, const char *profile_key, cpuu_arena *arena,
                         cpuu_marker *out, cpuu_error *err);
cpuu_rc cpuu_marker_write(cpuu_edits *edits, const cpuu_marker *marker, cpuu_error *err);
cpuu_rc cpuu_marker_remove(cpuu_reg *reg, cpuu_edits *edits, const char *profile_key,
                           cpuu_error *err);

/*
 * The full image: every key and value of the profile (names, types, bytes, order), DefaultProfile,
 * and those of the allow-listed keys outside it (R11) that `edits` are about, NULL = all: other profiles
 * share them, and undo must not bring back what another profile's update has changed. A versioned,
 * checksummed blob.
 */
cpuu_rc cpuu_profile_image(cpuu_profile *p, const cpuu_edits *edits, cpuu_buf *out,
                           cpuu_error *err);
/* Edits that bring the registry back to the image exactly: section by section, in place, what is
 * not in the image goes (reference 12). The profile key itself is never deleted or created. */
cpuu_rc cpuu_profile_restore(cpuu_reg *reg, const void *image, size_t size, cpuu_edits *edits,
                             cpuu_error *err);
/* True when the registry equals the image, byte for byte, the order of values and keys apart; else
 * `difference` (owned by the caller, NULL when equal) names the first one. */
cpuu_rc cpuu_profile_compare(cpuu_reg *reg, const void *image, size_t size, bool *equal,
                             char **difference, cpuu_error *err);
/* Copies the profile under another (ASCII) name: CPUU_Backup_<guid>, or CPUU_{GUID} with a new
 * profile UID when new_uid is not NULL. */
cpuu_rc cpuu_profile_copy(cpuu_profile *p, const char *new_name, const uint8_t new_uid[16],
                          cpuu_edits *edits, cpuu_error *err);

/* Folder of the profile's user: CPUU_DIR_ROAMING or CPUU_DIR_LOCAL, as a path of this machine.
 * `User Shell Folders` is resolved against the folder of the hive (%USERPROFILE%). CPUU_E_NOTFOUND
 * when it lies elsewhere or does not exist. Owned by the caller. */
cpuu_rc cpuu_profile_user_dir(cpuu_reg *reg, uint32_t dir, char **out, cpuu_error *err);
/* The same for a registry that is no hive file: `home` is the folder that stands for %USERPROFILE%.
 */
cpuu_rc cpuu_profile_user_dir_in(cpuu_reg *reg, const char *home, uint32_t dir, char **out,
                                 cpuu_error *err);

#endif
