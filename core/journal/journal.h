/*
 * The journal: what makes undo, rollback and recovery possible. One SQLite database per (state
 * folder, registry root, profile UID, hive); mode 0600, it contains mail data.
 *
 * Rules it keeps (tests/torture checks them by killing the program at every step):
 *   1. state changes are flushed before the caller acts on them:
 *        none -> ACTIVE -> COMMITTED -> UNDOING -> none;  COMMITTED -> CLEANING -> none
 *   2. an old value is here, flushed, before the place it came from is overwritten; one flush may
 *      cover a batch (cpuu_journal_flush)
 *   3. replay is idempotent and compares first; what somebody else changed stays
 *   4. losing any unflushed tail still gives back the start state
 * Ownership is a lock held on the database file, not a pid. The journal does no mailbox, file or
 * registry I/O itself: replay hands each record to the caller.
 */
#ifndef CPUU_JOURNAL_JOURNAL_H
#define CPUU_JOURNAL_JOURNAL_H

#include "base/log.h"
#include "base/mem.h"

#include <cpuu/formats/bytes.h>

typedef enum cpuu_journal_state {
    CPUU_J_NONE = 0,
    CPUU_J_ACTIVE,
    CPUU_J_COMMITTED,
    CPUU_J_UNDOING,
    CPUU_J_CLEANING
} cpuu_journal_state;

typedef struct cpuu_journal cpuu_journal;

/* Who a journal belongs to; the file name is a hash of these (root and profile without regard to
 * case). */
typedef struct cpuu_journal_key {
    const char *root;           /* "Software\Microsoft\Office\16.0\Outlook" ... */
    const char *profile;        /* name at the time of the update */
    const uint8_t *profile_uid; /* 16 bytes (PR_SEARCH_KEY of the profile instance section) */
    const char *hive;           /* canonical path of the hive, "" for the live registry */
} cpuu_journal_key;

/* Opens the journal of a profile and takes its lock. `create`: make one when there is none.
 * CPUU_E_NOTFOUND, CPUU_E_BUSY (another process owns it), CPUU_E_FORMAT (damaged: kept as it is).
 */
cpuu_rc cpuu_journal_open(const char *state_dir, const cpuu_journal_key *key, bool create,
                          cpuu_log *log, cpuu_journal **out, cpuu_error *err);
void cpuu_journal_close(cpuu_journal *j);
/* Removes the database and its side files, and closes it in any case. */
cpuu_rc cpuu_journal_destroy(cpuu_journal *j, cpuu_error *err);
/* The same after recovery has taken an interrupted update back, but the features the program was killed
 * in stay on record (cpuu_journal_span_deaths): with any, a journal in state NONE is left. */
cpuu_rc cpuu_journal_reset(cpuu_journal *j, cpuu_error *err);

/* All journals of a state folder, for recovery and -UndoAll; called for each, without its lock, in
 * the order of their file names. One that cannot be read is reported like the others: rc and
 * problem say why, and only `file` is set besides. A missing folder holds no journals. */
typedef struct cpuu_journal_summary {
    cpuu_rc rc;
    const char *problem;
    const char *file;
    const char *id; /* GUID text */
    const char *root, *profile, *hive;
    uint8_t profile_uid[16];
    cpuu_journal_state state;
    int64_t created; /* seconds since 1970 */
} cpuu_journal_summary;
cpuu_rc cpuu_journal_list(const char *state_dir,
                          cpuu_rc (*each)(void *user, const cpuu_journal_summary *s), void *user,
                          cpuu_error *err);

const char *cpuu_journal_id(const cpuu_journal *j); /* GUID text, also the marker in the registry */
cpuu_journal_state cpuu_journal_get_state(const cpuu_journal *j);
/* Flushed when it returns. Fault point "journal.state". A step that the order above does not have
 * is refused; the state it has already is success. */
cpuu_rc cpuu_journal_set_state(cpuu_journal *j, cpuu_journal_state state, cpuu_error *err);

/* Named blobs: the profile image ("image"), the target identity, notes of features
 * ("note:<f>:<k>"), what an undo discarded. get: *out is the caller's (cpuu_buf, initialised). */
cpuu_rc cpuu_journal_put(cpuu_journal *j, const char *name, const void *data, size_t size,
                         cpuu_error *err);
cpuu_rc cpuu_journal_get(cpuu_journal *j, const char *name, cpuu_buf *out, cpuu_error *err);

/* Everything written so far is durable when this returns. Fault point "journal.flush". After a
 * failed write or flush all unflushed writes are gone and every later write fails: take back what
 * was done. */
cpuu_rc cpuu_journal_flush(cpuu_journal *j, cpuu_error *err);

/* ---- records --------------------------------------------------------------------------------- */

typedef enum cpuu_record_kind {
    CPUU_RECORD_CREATE = 1, /* a mailbox object is about to be created */
    CPUU_RECORD_UPDATE,
    CPUU_RECORD_DELETE,
    CPUU_RECORD_FILE /* a local file is about to be replaced, created or deleted */
} cpuu_record_kind;

/* What happened to a record, so far as is known. */
typedef enum cpuu_record_status {
    CPUU_RECORD_PLANNED = 1, /* journalled, not yet sent */
    CPUU_RECORD_SENT,        /* sent, answer unknown */
    CPUU_RECORD_DONE,
    CPUU_RECORD_FAILED, /* the server refused: nothing changed */
    CPUU_RECORD_UNDONE
} cpuu_record_status;

typedef struct cpuu_record {
    int64_t seq; /* given by the journal, grows */
    int64_t span;
    cpuu_record_kind kind;
    cpuu_record_status status;
    uint32_t what;     /* CPUU_ITEMS, CPUU_HIDDEN, ... ; FILE: 0 */
    cpuu_blob folder;  /* EntryID of the folder it lives in */
    cpuu_blob id;      /* EntryID, rule id, member id; CREATE: empty until known */
    const char *path;  /* FILE: path; else NULL */
    const char *title; /* for messages */
    /* Encoded property lists (see services): before = what was there, after = what we wrote.
     * CREATE: before = the ids that were in the folder. FILE: contents; absent = size 0 and
     * has_before false. */
    cpuu_blob before, after;
    bool has_before, has_after;
} cpuu_record;

/* A span is the work of one feature. Begin is part of the next flush. */
cpuu_rc cpuu_journal_begin_span(cpuu_journal *j, const char *feature, int64_t *span,
                                cpuu_error *err);
/* How often a span of this feature was begun and flushed by an earlier owner of the journal and
 * never ended (killed workers). Taking its records back does not end it, so that recovery keeps the
 * count. */
cpuu_rc cpuu_journal_span_deaths(cpuu_journal *j, const char *feature, unsigned *out,
                                 cpuu_error *err);
typedef enum cpuu_span_end { CPUU_SPAN_OK = 1, CPUU_SPAN_FAILED } cpuu_span_end;
cpuu_rc cpuu_journal_end_span(cpuu_journal *j, int64_t span, cpuu_span_end how, cpuu_error *err);

/* Appends; rec->seq is set. Fault point "journal.add". */
cpuu_rc cpuu_journal_add(cpuu_journal *j, cpuu_record *rec, cpuu_error *err);
/* New status, and the id of a created object when it has become known (id may be NULL). */
cpuu_rc cpuu_journal_mark(cpuu_journal *j, int64_t seq, cpuu_record_status status,
                          const cpuu_blob *id, cpuu_error *err);
/* Calls back for every record of a span (0 = all spans), newest first or oldest first. The record
 * lives for the call. The callback may mark records. */
cpuu_rc cpuu_journal_each(cpuu_journal *j, int64_t span, bool newest_first,
                          cpuu_rc (*each)(void *user, const cpuu_record *rec), void *user,
                          cpuu_error *err);

/* Which records to look at. What is zero does not matter. Looking by id or path is as fast in a
 * long journal as in a short one; else records are looked through from `below` on downwards. */
typedef struct cpuu_journal_filter {
    int64_t span;
    int64_t below; /* only those with a lower seq */
    bool open;     /* only those that are neither FAILED nor UNDONE */
    cpuu_record_kind kind;
    uint32_t what;
    cpuu_blob id;
    cpuu_blob folder; /* with id */
    const char *path; /* instead of id */
} cpuu_journal_filter;
/* Calls back for the newest of them, as above. *seq is its number, 0 when there is none. */
cpuu_rc cpuu_journal_find(cpuu_journal *j, const cpuu_journal_filter *filter,
                          cpuu_rc (*use)(void *user, const cpuu_record *rec), void *user,
                          int64_t *seq, cpuu_error *err);

#endif
