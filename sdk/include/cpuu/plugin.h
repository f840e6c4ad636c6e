/*
 * cpuu/plugin.h - the whole interface between the host and a feature plugin.
 *
 * A plugin reads sets, decides, and queues changes; it never writes. The host merges what a feature
 * has queued, records every old value in its journal, and applies the changes once update() has
 * returned. Undo, rollback of a failed feature, crash recovery and the dry run therefore need no
 * code in a plugin, and a plugin cannot tell a dry run from a real one. The usual course is
 *
 *     read() -> rows() -> translate() -> change() -> decide() -> return CPUU_OK
 *
 * Rules that hold everywhere in this file:
 *   - C99 and C++, clean with -pedantic. Fixed-width integers, UTF-8 text, blobs, opaque handles.
 *     Integers inside blobs and values are little-endian.
 *   - A struct whose first member is `size` only grows at its end: set it to sizeof the struct. In
 *     an array of such structs the `size` of the first element is the stride. cpuu_blob, cpuu_value
 *     and cpuu_name are frozen.
 *   - What you pass in is copied before the call returns. What you are given belongs to the host
 *     and lives until the verb returns, unless a shorter life is stated. Only rows are closed.
 *   - Services are called from the thread the verb runs on. No exception and no longjmp may leave a
 *     verb. Plugins make no system calls for registry, files, sockets, processes or time.
 */
#ifndef CPUU_PLUGIN_H
#define CPUU_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A foreign major version is refused. A new minor only appends; ask for it with CPUU_HAS. */
#define CPUU_ABI_MAKE(major, minor) (((uint32_t)(major) << 16) | (uint32_t)(minor))
#define CPUU_ABI_VERSION            CPUU_ABI_MAKE(1, 0)
#define CPUU_ABI_MAJOR(v)           ((uint32_t)(v) >> 16)
#define CPUU_HAS(p, type, member)                                                                  \
    ((p)->size >= offsetof(type, member) + sizeof(((type *)0)->member))

#if defined(_WIN32)
#define CPUU_EXPORT __declspec(dllexport)
#define CPUU_CALL   __cdecl
#elif defined(__GNUC__)
#define CPUU_EXPORT __attribute__((visibility("default")))
#define CPUU_CALL
#else
#define CPUU_EXPORT
#define CPUU_CALL
#endif

/* ---- results --------------------------------------------------------------------------------- */

/* Negative means failed. "Nothing to do" is not a result: it follows from decide(). */
typedef int32_t cpuu_rc;
#define CPUU_OK            0
#define CPUU_END           1    /* rows(): past the last row */
#define CPUU_E_FAILED      (-1)
#define CPUU_E_NOMEM       (-2)
#define CPUU_E_IO          (-3)  /* network or disk, after the host's own retries */
#define CPUU_E_ACCESS      (-4)  /* no right to that mailbox, folder or file */
#define CPUU_E_NOTFOUND    (-5)
#define CPUU_E_FORMAT      (-6)  /* stored data is not what its format says */
#define CPUU_E_STOP        (-7)  /* the host asked to stop: return this at once */
#define CPUU_E_CONFLICT    (-8)  /* somebody changed the object after it was read */
#define CPUU_E_UNDECLARED  (-9)  /* outside `needs`, `links` or `names`: a bug in the plugin */
#define CPUU_E_TOOBIG      (-10) /* over a limit of the host: ask for less or use CPUU_STREAM */
#define CPUU_E_UNSUPPORTED (-11)

/* ---- values ---------------------------------------------------------------------------------- */

typedef struct cpuu_run cpuu_run;   /* one verb of one feature on one profile */
typedef struct cpuu_rows cpuu_rows; /* the answer to one query */

typedef struct cpuu_blob { /* frozen; size in bytes; data may be NULL when size is 0 */
    const uint8_t *data;
    uint32_t size;
} cpuu_blob;

/*
 * One MAPI property ([MS-OXCDATA] 2.9 and 2.11); tag = id << 16 | type. The data, by type:
 *   fixed size       little-endian in the MAPI width; PtypBoolean is 1 byte
 *   PtypString, PtypString8   UTF-8 without NUL
 *   PtypBinary       the bytes
 *   multi-valued     u32 count, then for each element u32 size and its bytes (as above)
 *   PtypRestriction, PtypRuleAction   wire bytes ([MS-OXCDATA] 2.12, [MS-OXORULE] 2.2.5)
 * An absent or unreadable value has type PtypErrorCode (0x000A) and 4 bytes of MAPI error code.
 * Values are whole: what a table cuts off the host reads again. For a profile section the host
 * does the registry encoding, the descriptor width of multi-valued properties included.
 */
typedef struct cpuu_value { /* frozen */
    uint32_t tag;
    uint32_t size; /* bytes */
    const uint8_t *data;
} cpuu_value;
#define CPUU_FOUND(v) (((v)->tag & 0xffffu) != 0x000au)

/* A named property. Its id differs from store to store, so a tag holds the index into `names`. */
typedef struct cpuu_name { /* frozen */
    uint8_t guid[16];      /* property set, in storage order */
    uint32_t id;           /* used when string is NULL */
    const char *string;
} cpuu_name;
#define CPUU_NAMED(index, type) (((0x8000u + (uint32_t)(index)) << 16) | (uint32_t)(type))

/* ---- reading sets ---------------------------------------------------------------------------- */

#define CPUU_SOURCE  1u /* read-only: no service can change the source mailbox */
#define CPUU_TARGET  2u
#define CPUU_PROFILE 3u /* the profile as staged so far, not yet committed */

/* What a row stands for, and the id it carries. */
#define CPUU_ITEMS       1u /* message EntryID */
#define CPUU_HIDDEN      2u /* EntryID of an associated (hidden) message */
#define CPUU_FOLDERS     3u /* EntryID of a child folder */
#define CPUU_FOLDER      4u /* the folder itself: exactly one row */
#define CPUU_RULES       5u /* 8-byte PidTagRuleId */
#define CPUU_PERMISSIONS 6u /* 8-byte PidTagMemberId */
#define CPUU_STORE       7u /* the mailbox itself: exactly one row */
#define CPUU_SECTIONS    8u /* 16-byte profile section UID; side CPUU_PROFILE */

/* Where in a mailbox ... */
#define CPUU_ROLE_NONE         0u /* take `folder` */
#define CPUU_ROLE_ROOT         1u
#define CPUU_ROLE_IPM_SUBTREE  2u
#define CPUU_ROLE_INBOX        3u
#define CPUU_ROLE_OUTBOX       4u
#define CPUU_ROLE_SENT         5u
#define CPUU_ROLE_DELETED      6u
#define CPUU_ROLE_DRAFTS       7u
#define CPUU_ROLE_CALENDAR     8u
#define CPUU_ROLE_CONTACTS     9u
#define CPUU_ROLE_TASKS        10u
#define CPUU_ROLE_NOTES        11u
#define CPUU_ROLE_JOURNAL      12u
#define CPUU_ROLE_JUNK         13u
#define CPUU_ROLE_COMMON_VIEWS 14u
#define CPUU_ROLE_FINDER       15u
#define CPUU_ROLE_SHORTCUTS    16u
#define CPUU_ROLE_FREEBUSY     17u
#define CPUU_ROLE_PUBLIC       18u /* root of the public folder tree */
/* ... and in a profile. */
#define CPUU_ROLE_MASTER       64u /* the MAPI profile section */
#define CPUU_ROLE_OUTLOOK      65u /* the Outlook global section */
#define CPUU_ROLE_ACCOUNT      66u /* EMSMDB section of the account being switched */
#define CPUU_ROLE_SERVICES     67u /* services whose name equals `filter` */
#define CPUU_ROLE_PROVIDERS    68u /* providers of the services named `filter` */
#define CPUU_ROLE_SEND_RECEIVE 69u /* send/receive settings */

#define CPUU_DEEP   1u /* FOLDERS: the whole subtree */
#define CPUU_STREAM 2u /* any number of rows in bounded memory: in order, one row lives at a time */

typedef struct cpuu_query {
    uint32_t size;
    uint32_t side; /* CPUU_SOURCE, CPUU_TARGET or CPUU_PROFILE */
    uint32_t what; /* CPUU_ITEMS ... CPUU_SECTIONS */
    uint32_t role; /* CPUU_ROLE_* */
    uint32_t flags;
    uint32_t n_tags;
    const uint32_t *tags; /* property tags wanted, answered in this order */
    const char *filter;   /* prefix of the message class, or the service name; NULL = all */
    cpuu_blob folder;     /* EntryID, when role is CPUU_ROLE_NONE */
    /* Store EntryID of somebody else, his of either side (for CPUU_TARGET the host finds where he has
     * moved to); empty = the user's own mailbox. Read-only. Closed to the user: CPUU_E_ACCESS for
     * this query; nobody's, or not at that side: CPUU_E_NOTFOUND. */
    cpuu_blob store;
} cpuu_query;
#define CPUU_QUERY(side, what, role, filter, tags)                                                 \
    {                                                                                              \
        sizeof(cpuu_query), side, what, role, 0u, (uint32_t)(sizeof(tags) / sizeof((tags)[0])),    \
            tags, filter, {NULL, 0u}, {NULL, 0u}                                                   \
    }

typedef struct cpuu_row {
    uint32_t size;            /* set it before the call */
    cpuu_rc rc;               /* negative: this row could not be read */
    cpuu_blob id;
    const cpuu_value *values; /* n_tags of them, in the order asked for */
} cpuu_row;

/* ---- queueing changes ------------------------------------------------------------------------ */

#define CPUU_CREATE 1u
#define CPUU_UPDATE 2u
#define CPUU_DELETE 3u

#define CPUU_MAY_FAIL 1u /* this change may fail without failing the feature; it is reported */

/* Always to the target mailbox or, for CPUU_SECTIONS, to the staged profile. */
typedef struct cpuu_change {
    uint32_t size;
    uint32_t verb;  /* CPUU_CREATE, CPUU_UPDATE or CPUU_DELETE */
    uint32_t what;  /* ITEMS, HIDDEN, FOLDERS, RULES, PERMISSIONS, STORE or SECTIONS */
    uint32_t role;  /* folder it lives in; SECTIONS + CREATE: what to hang it under */
    uint32_t flags;
    cpuu_blob folder; /* when role is CPUU_ROLE_NONE */
    cpuu_blob id;     /* UPDATE, DELETE: from a row or a result; a deleted section leaves all lists */
    const cpuu_value *set;
    uint32_t n_set;
    uint32_t n_unset;
    const uint32_t *unset; /* tags to remove */
    const char *title;     /* what a person calls the object, for the dry run and the report */
} cpuu_change;

typedef struct cpuu_result {
    uint32_t size;
    cpuu_rc rc;
    cpuu_blob id; /* CREATE: the new id; in a dry run a placeholder that other changes may carry */
} cpuu_result;

/* ---- links ----------------------------------------------------------------------------------- */

#define CPUU_LINK_EID        0x0001u /* any EntryID: folder, message, store, user, one-off, ... */
#define CPUU_LINK_EX_DN      0x0002u /* legacyExchangeDN, UTF-8 */
#define CPUU_LINK_SMTP       0x0004u
#define CPUU_LINK_SEARCH_KEY 0x0008u /* "EX:..." or "SMTP:...", its NUL included */
#define CPUU_LINK_SOURCE_KEY 0x0010u /* 22 bytes */
#define CPUU_LINK_RECORD_KEY 0x0020u
#define CPUU_LINK_FID        0x0040u /* 8 bytes, replica id of the source logon */
#define CPUU_LINK_NAMED_TAG  0x0080u /* 4 bytes: tag >= 0x8000 of the source store, inside a blob */
#define CPUU_LINK_NAME       0x0100u /* display name of a person */

#define CPUU_REWRITTEN 1u
#define CPUU_KEPT      2u /* stays at the source */
#define CPUU_DROPPED   3u /* has no place at the target: leave it out, or disable what holds it */
#define CPUU_ALREADY   4u /* names a target object, or nothing that moves */

#define CPUU_WHY_OWN          1u /* the user's own mailbox */
#define CPUU_WHY_MIGRATED     2u /* the owner has moved */
#define CPUU_WHY_NOT_MIGRATED 3u
#define CPUU_WHY_UNKNOWN      4u /* what it is at the target is not known */
#define CPUU_WHY_MISSING      5u /* no such folder or item at the target */
#define CPUU_WHY_NO_ACCESS    6u /* the mailbox or public folders it leads into stayed closed */
#define CPUU_WHY_AMBIGUOUS    7u
#define CPUU_WHY_LOCAL        8u  /* PST or other local data: never touched */
#define CPUU_WHY_UNREADABLE   9u  /* damaged: carried through byte for byte */
#define CPUU_WHY_EXCLUDED     10u /* a kind that is not processed by rule */
#define CPUU_WHY_PUBLIC       11u /* public folders of both organisations */
#define CPUU_WHY_AT_TARGET    12u /* names what is at the target, or everywhere, already */

typedef struct cpuu_link {
    uint32_t size;
    uint32_t kind;    /* in: exactly one CPUU_LINK_* bit */
    cpuu_blob in;     /* in: identifier at the source; empty gives CPUU_ALREADY */
    uint32_t outcome; /* out */
    uint32_t reason;  /* out: CPUU_WHY_* */
    cpuu_blob out;    /* out: identifier at the target, or `in`; valid until the next translate() */
    /* in: SMTP address stored beside the identifier, the second way to find the person or owner;
     * NULL when there is none */
    const char *smtp;
    /* out: both identities as a person reads them, for decide(); never NULL; valid as `out` is */
    const char *in_text;
    const char *out_text;
} cpuu_link;

/* One line of the report: a link as a person sees it, however many identifiers it is made of. */
typedef struct cpuu_decision {
    uint32_t size;
    uint32_t outcome;
    uint32_t reason;
    const char *title;  /* "Calendar of Bob" */
    const char *before; /* readable identity at the source; may be NULL */
    const char *after;  /* readable identity at the target; may be NULL */
} cpuu_decision;

/* ---- services -------------------------------------------------------------------------------- */

#define CPUU_LOG_ERROR   1
#define CPUU_LOG_WARNING 2
#define CPUU_LOG_INFO    3
#define CPUU_LOG_TRACE   4

#define CPUU_DIR_ROAMING 1u /* %APPDATA%\Microsoft\Outlook of the user the profile belongs to */
#define CPUU_DIR_LOCAL   2u /* %LOCALAPPDATA%\Microsoft\Outlook of that user */

typedef struct cpuu_host {
    uint32_t size;
    uint32_t abi;

    /* One line of UTF-8 without a newline; never a secret. */
    void(CPUU_CALL *log)(cpuu_run *run, int32_t level, const char *text);

    /* Says why the verb is about to return `rc` (negative): once, on failure. Returns rc. */
    cpuu_rc(CPUU_CALL *fail)(cpuu_run *run, cpuu_rc rc, const char *what, const char *where);

    /* Sign of life: CPUU_OK, or CPUU_E_STOP. Other services do it themselves, so it is needed only
     * in computing that may take over a second. total 0 = unknown. */
    cpuu_rc(CPUU_CALL *beat)(cpuu_run *run, uint32_t done, uint32_t total);

    /* A setting of this feature from CPUU.ini, or one of the facts "profile.name",
     * "outlook.version", "source.smtp", "source.dn", "target.smtp", "target.dn",
     * "ost.recreated" ("1": the target mailbox was made for the source's offline file). NULL if
     * none. */
    const char *(CPUU_CALL *option)(cpuu_run *run, const char *key);

    /* Runs n queries as one set on both mailboxes at once; out has room for n. A failed query still
     * gives rows, whose first rows() returns the error. Reads show the state before this feature's
     * own changes. What another feature has created shows for certain only when that one is named
     * in `after`: features that do not depend on each other are written together. */
    cpuu_rc(CPUU_CALL *read)(cpuu_run *run, const cpuu_query *queries, uint32_t n, cpuu_rows **out);
    /* Row `index`: CPUU_OK, CPUU_END, or the error of the query. Valid until rows_close(). */
    cpuu_rc(CPUU_CALL *rows)(cpuu_rows *rows, uint32_t index, cpuu_row *out);
    /* NULL is allowed; the host closes what is left open. */
    void(CPUU_CALL *rows_close)(cpuu_rows *rows);

    /* Translates n links as one set. The outcome is the host's rule, the same for all features. */
    cpuu_rc(CPUU_CALL *translate)(cpuu_run *run, cpuu_link *links, uint32_t n);

    /* Queues n changes; *ticket (may be NULL) is the first one's, the others count up from it. */
    cpuu_rc(CPUU_CALL *change)(cpuu_run *run, const cpuu_change *changes, uint32_t n,
                               uint32_t *ticket);
    /* Applies the queue now. Only for who needs the id of something created, or a result: the host
     * flushes after update() anyway and drops the queue when update() failed. Costs a round trip.
     * Before anything is overwritten it is compared with the row that was read; a difference is
     * CPUU_E_CONFLICT. */
    cpuu_rc(CPUU_CALL *flush)(cpuu_run *run);
    /* The outcome of one change, after flush(). */
    cpuu_rc(CPUU_CALL *result)(cpuu_run *run, uint32_t ticket, cpuu_result *out);

    /* Reports one decision. A feature that translated links and reports none has a bug. */
    void(CPUU_CALL *decide)(cpuu_run *run, const cpuu_decision *decision);

    /* A whole file by name, without separators, at most 64 MiB. A write replaces it atomically,
     * NULL data deletes it; it is journalled, and visible to file_read() at once. Reading a name that
     * no file on Windows can have (a profile may have it) is CPUU_E_NOTFOUND. */
    cpuu_rc(CPUU_CALL *file_read)(cpuu_run *run, uint32_t dir, const char *name, cpuu_blob *out);
    cpuu_rc(CPUU_CALL *file_write)(cpuu_run *run, uint32_t dir, const char *name,
                                   const cpuu_blob *data);

    /* Private notes of this feature, kept with the journal until cleanup; at most 64 KiB each. */
    cpuu_rc(CPUU_CALL *note_put)(cpuu_run *run, const char *key, cpuu_blob value);
    cpuu_rc(CPUU_CALL *note_get)(cpuu_run *run, const char *key, cpuu_blob *out);
    /* Append below this line only, with CPUU_ABI_VERSION + 1. */
} cpuu_host;

/* ---- what a plugin gives --------------------------------------------------------------------- */

#define CPUU_NEED_SOURCE        0x0001u
#define CPUU_NEED_TARGET        0x0002u
#define CPUU_NEED_TARGET_WRITE  0x0004u
#define CPUU_NEED_PROFILE       0x0008u
#define CPUU_NEED_PROFILE_WRITE 0x0010u
#define CPUU_NEED_FILES         0x0020u
#define CPUU_NEED_FILES_WRITE   0x0040u
#define CPUU_NEED_OTHERS        0x0080u /* opens mailboxes of other people */
#define CPUU_NEED_PUBLIC        0x0100u /* opens public folders */
#define CPUU_FOR_RESOURCES      0x1000u /* also works without a profile (SwitchResMB) */

typedef cpuu_rc(CPUU_CALL *cpuu_verb)(const cpuu_host *host, cpuu_run *run);

typedef struct cpuu_feature {
    uint32_t size;
    uint32_t needs; /* CPUU_NEED_* | CPUU_FOR_*: the host opens this, and allows nothing else */
    uint32_t links; /* CPUU_LINK_* kinds it passes to translate() */
    uint32_t n_reads;
    uint32_t n_names;
    const char *name;         /* word in Features=, Skip=, Critical=: [A-Za-z][A-Za-z0-9]{0,31} */
    const char *title;
    const char *const *after; /* features that must run earlier, NULL-terminated; may be NULL */
    const cpuu_query *reads;  /* known beforehand: fetched for all features at once */
    const cpuu_name *names;
    cpuu_verb check;   /* read-only: can this succeed? Critical features are asked first; or NULL */
    cpuu_verb update;
    cpuu_verb skip;    /* effect of not being selected, on profile and files only; NULL = none */
    cpuu_verb undo;    /* NULL, the normal case: the journal is enough */
    cpuu_verb cleanup; /* NULL, the normal case: nothing of its own is left behind */
    /* Append below this line only, with CPUU_ABI_VERSION + 1. */
} cpuu_feature;

typedef struct cpuu_plugin {
    uint32_t size;
    uint32_t abi; /* the CPUU_ABI_VERSION it was built with */
    const char *version;
    const char *vendor;
    const char *license;
    const cpuu_feature *const *features; /* NULL-terminated: a plugin may hold several features */
} cpuu_plugin;

/* The only exported symbol. It does no work: constant data, or NULL if host_abi does not suit. */
typedef const cpuu_plugin *(CPUU_CALL *cpuu_plugin_query_fn)(uint32_t host_abi);
CPUU_EXPORT const cpuu_plugin *CPUU_CALL cpuu_plugin_query(uint32_t host_abi);

#ifdef __cplusplus
}
#endif
#endif /* CPUU_PLUGIN_H */
