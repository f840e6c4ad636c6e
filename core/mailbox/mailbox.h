/*
 * Mailboxes and address books, in sets. The caller describes many operations on many mailboxes; one
 * call runs them all, packed into as few requests as the transport allows and over all sessions at
 * once (one thread, several contexts per mailbox), and returns when every one has its own result.
 *
 * Values are cpuu_value as in cpuu/plugin.h (text is UTF-8, multi-valued as counted elements). Ids
 * are EntryIDs, permanent and valid across sessions; FIDs, MIDs and handles never leave this layer.
 * Tags >= 0x8000 are ids of the one mailbox named in the operation (see CPUU_MAIL_NAME_IDS).
 *
 * This layer knows nothing of journals, features or profiles. It never uses ForceSave.
 */
#ifndef CPUU_MAILBOX_MAILBOX_H
#define CPUU_MAILBOX_MAILBOX_H

#include "base/mem.h"
#include "net/http.h"

typedef struct cpuu_mail cpuu_mail;           /* the pool of all sessions of a run */
typedef struct cpuu_mailbox cpuu_mailbox;     /* one opened mailbox (or public store) */
typedef struct cpuu_directory cpuu_directory; /* the address book of one organisation */

/* How one organisation is reached, and as whom. Borrowed by everything opened with it. */
typedef struct cpuu_endpoint {
    const char *emsmdb_url;
    const char *nspi_url;   /* may be NULL: then no directory */
    const char *account_dn; /* legacyExchangeDN of the authenticated account itself */
    const cpuu_credentials *credentials;
} cpuu_endpoint;

typedef struct cpuu_mail_options {
    uint32_t contexts_per_mailbox; /* 1..4; 0 = 4 */
    uint32_t batch_bytes;          /* request payload target; 0 = 28 KB, at most 0x7F00 */
} cpuu_mail_options;

cpuu_rc cpuu_mail_new(cpuu_http *http, const cpuu_mail_options *options, cpuu_log *log,
                      cpuu_mail **out, cpuu_error *err);
/* Takes leave of the servers: drops what nobody waits for and sends the Disconnects, whose answers
 * come or not while something else is driven. Nothing else may be done with it but to free it;
 * endpoints may go, credentials may not. */
void cpuu_mail_leave(cpuu_mail *mail);
/* Leaves, if that was not done, waits a moment (50 ms) for the answers that have not come, and
 * frees everything opened through it. */
void cpuu_mail_free(cpuu_mail *mail);

/* ---- opening --------------------------------------------------------------------------------- */

typedef struct cpuu_mail_open {
    /* in */
    const cpuu_endpoint *endpoint;
    const char *mailbox_dn; /* legacyExchangeDN; NULL = the public folder store */
    const char *smtp;       /* for the store EntryID, routing and messages; may be NULL */
    bool writable;          /* refused here when false: any CREATE, UPDATE or DELETE */
    uint32_t contexts;      /* to open it with, 0 = one: more when long tables are read ahead */
    /* What will probably be asked of it, see cpuu_mail_ahead(); `box` is not looked at. Borrowed
     * for the call, all but names and what `user` points to. */
    const struct cpuu_mail_op *ahead;
    size_t n_ahead;
    /* out */
    cpuu_rc rc;             /* CPUU_E_ACCESS: no owner right (see info.owner) */
    cpuu_error error;
    cpuu_mailbox *box;      /* owned by the pool; NULL when rc < 0 */
} cpuu_mail_open;

/* Opens n mailboxes at once; each has its own rc. Reads the special folders and checks the right to
 * open Inbox and Common Views in the same trip. */
cpuu_rc cpuu_mail_open_all(cpuu_mail *mail, cpuu_mail_open *opens, size_t n, cpuu_error *err);

/*
 * Reading ahead, so that what is probably asked for next costs no round trip of its own. Hints decide
 * nothing: whoever wants a mailbox or its rows asks for them as always, and gets what is there when
 * the question is the same, else the server is asked. An answer is given once; what failed is asked
 * anew; after a write to the mailbox nothing read before it is given.
 *
 * Ahead of time are: a mailbox begun here, which the next cpuu_mail_open_all() with the same endpoint,
 * DN and rights takes over; and the READs (of a role's folder, without ids) and NAME_IDS named by
 * `ahead` of an opening. They join the request that reads the special folders where the logon already
 * tells their folder, and the same operation takes their answer over. Their on_row, if set, is shown
 * the rows when they have come (a look only; it must not run operations, it may call
 * cpuu_mail_ahead()): those of a long table as they come, when they may lack their id and the end of
 * a long value, and all of them once more in the end. More of them may be named for a mailbox that
 * is open or was begun here.
 *
 * Everything here goes on in the background while something else is driven; nobody waits for it.
 */
void cpuu_mail_ahead(cpuu_mail *mail, const cpuu_mail_open *opens, size_t n);

/* What goes on in the background takes its next step, as far as that needs no waiting: for who works on
 * something else for a while. NULL is allowed. */
void cpuu_mail_turn(cpuu_mail *mail);

/* So many mailboxes of this endpoint will probably be opened, it is not known yet whose: connects
 * their contexts in the background. */
void cpuu_mail_spare(cpuu_mail *mail, const cpuu_endpoint *endpoint, size_t n);

/* About so many bytes of changes will soon come: connects as many contexts as it takes to send them
 * side by side, in the background. */
void cpuu_mailbox_will_write(cpuu_mailbox *box, size_t bytes);

typedef struct cpuu_mailbox_info {
    uint8_t mailbox_guid[16];  /* provider UID of its private EntryIDs */
    cpuu_blob store_entryid;   /* v3 form built from mailbox DN and SMTP address */
    const char *mailbox_dn;
    const char *smtp;
    bool is_public;
    bool owner;                /* RopLogon ResponseFlags 0x02, or proven by opening folders */
} cpuu_mailbox_info;
#define CPUU_FID_EID_SIZE 46u /* bytes of a folder EntryID */
/* A value of that size in a table may be shorter than it is ([MS-OXCTABL] R121-R122): bytes of a binary
 * value, characters of a text. Rows that are read here have whole values all the same. */
#define CPUU_TABLE_CUT_BINARY 510u
#define CPUU_TABLE_CUT_TEXT   255u
const cpuu_mailbox_info *cpuu_mailbox_get_info(const cpuu_mailbox *box);
/* EntryID of a special folder (CPUU_ROLE_*); false when the mailbox has none. Borrowed. */
bool cpuu_mailbox_role(const cpuu_mailbox *box, uint32_t role, cpuu_blob *eid);
/* Rules name folders by the 8-byte id of a logon ([MS-OXORULE] 2.2.5.1.2.1.1). Both ways, without a
 * request: from the replica numbers seen so far, which after reading all folders are all there are.
 * False: not an id of this mailbox, as far as is known. */
bool cpuu_mailbox_folder_of_fid(const cpuu_mailbox *box, const uint8_t fid[8],
                                uint8_t eid[CPUU_FID_EID_SIZE]);
bool cpuu_mailbox_fid_of_folder(const cpuu_mailbox *box, cpuu_blob eid, uint8_t fid[8]);

/* The directory of an organisation; opened lazily by the first lookup. Owned by the pool. */
cpuu_rc cpuu_mail_directory(cpuu_mail *mail, const cpuu_endpoint *endpoint, cpuu_directory **out,
                            cpuu_error *err);
/* Somebody will probably be looked up: binds it in the background. */
void cpuu_directory_ahead(cpuu_directory *directory);

/* ---- operations ------------------------------------------------------------------------------ */

typedef struct cpuu_mail_row {
    cpuu_rc rc;               /* negative: this row could not be read completely */
    cpuu_blob id;
    const cpuu_value *values; /* as asked for; with n_tags 0: all properties the object has */
    uint32_t n_values;
} cpuu_mail_row;

typedef struct cpuu_mail_rows {
    cpuu_mail_row *items;
    size_t count;
    cpuu_arena arena;
} cpuu_mail_rows;

/* An address-book entry, or the absence of one. Strings live in the operation's rows.arena. */
typedef struct cpuu_person {
    bool found;
    bool ambiguous;
    const char *dn;           /* legacyExchangeDN */
    const char *smtp;         /* primary; may be NULL */
    const char *display_name; /* may be NULL */
    uint32_t display_type;    /* 0 user, 1 list, 6 remote ... */
    uint32_t display_type_ex; /* PidTagDisplayTypeEx; 0 = not given */
    bool is_local_mailbox;    /* a mailbox (or list) of this organisation, not a remote object */
} cpuu_person;

typedef enum cpuu_mail_verb {
    CPUU_MAIL_READ = 1,
    CPUU_MAIL_CREATE,
    CPUU_MAIL_UPDATE,
    CPUU_MAIL_DELETE,
    CPUU_MAIL_NAME_IDS, /* named properties -> ids of this mailbox */
    CPUU_MAIL_ID_NAMES, /* and back */
    CPUU_MAIL_LOOKUP    /* people in a directory */
} cpuu_mail_verb;

typedef struct cpuu_mail_op {
    cpuu_mail_verb verb;
    cpuu_mailbox *box;        /* all but LOOKUP */

    /* READ: the rows of `what` in a folder; CREATE: where. As in cpuu_query. */
    uint32_t what;            /* CPUU_ITEMS ... CPUU_STORE */
    uint32_t role;
    cpuu_blob folder;         /* when role is CPUU_ROLE_NONE */
    uint32_t flags;           /* CPUU_DEEP */
    const char *filter;       /* message class prefix; NULL = all */
    const uint32_t *tags;     /* READ: what to read; n_tags 0 = every property */
    uint32_t n_tags;
    /* READ of single objects: ids instead of a folder's contents (n_ids > 0). The rows come in this
     * order; a missing object is a row with rc CPUU_E_NOTFOUND. For RULES and PERMISSIONS the
     * folder is still needed. */
    const cpuu_blob *ids;
    uint32_t n_ids;
    uint32_t row_bytes; /* of values of one object, expected; 0 = nobody knows */
    /* READ of many messages of one folder, seen to follow one another in its table (of `filter`),
     * from row `first_row`, in n_rows rows (0 = as many as there are ids): with n_tags > 0 they are
     * read from there while they are found there, which costs a fraction of the requests. */
    bool in_table;
    uint32_t first_row, n_rows;
    /* READ of a table of which much is expected: it has requests to itself, so that several such
     * tables are read side by side. */
    bool long_table;
    /* READ: called for each row instead of collecting it (bounded memory); may be NULL. The row
     * lives for the call. A negative return stops this operation with that code. */
    cpuu_rc (*on_row)(void *user, const cpuu_mail_row *row);
    void *user;

    /* CREATE, UPDATE, DELETE: one object */
    cpuu_blob id;             /* UPDATE, DELETE */
    const cpuu_value *set;
    uint32_t n_set;
    const uint32_t *unset;
    uint32_t n_unset;

    /* NAME_IDS: names in, ids out (0 = unknown there; created only with create_names) */
    const cpuu_name *names;
    uint32_t n_names;
    bool create_names;
    uint16_t *name_ids;       /* NAME_IDS out, ID_NAMES in; n_names of them, caller's array */
    cpuu_name *names_out;     /* ID_NAMES out, caller's array; strings in rows.arena */

    /* LOOKUP: by legacyExchangeDN ("/o=..."), SMTP address or display name, whichever each key looks
     * like */
    cpuu_directory *directory;
    const char *const *keys;
    uint32_t n_keys;
    cpuu_person *people;      /* out, caller's array of n_keys */

    /* out */
    cpuu_rc rc;
    cpuu_error error;
    cpuu_mail_rows rows;      /* READ; free with cpuu_mail_op_clear() */
    cpuu_blob created;        /* CREATE: EntryID (rule: empty), in rows.arena */
    bool maybe_done;          /* a write whose answer was lost: it may have happened */
    bool unanswered;          /* rc is that of a whole request: the server has said nothing about
                               * this operation */
} cpuu_mail_op;

/*
 * Runs n operations as one set. Operations on one object are carried out in array order; apart from
 * that the order is free, and writes are never mixed with unbounded reads in one request.
 * Returns CPUU_OK when every operation has its result, CPUU_E_STOP or CPUU_E_NOMEM otherwise.
 * Lost contexts are re-established and idempotent operations repeated; a write whose answer was lost
 * is never repeated: it gets CPUU_E_IO and maybe_done.
 */
cpuu_rc cpuu_mail_run(cpuu_mail *mail, cpuu_mail_op *ops, size_t n, cpuu_error *err);
void cpuu_mail_op_clear(cpuu_mail_op *op);

#endif
