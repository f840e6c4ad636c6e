/* Private to features/: what loader, services, runner and replay share. */
#ifndef CPUU_FEATURES_PRIVATE_H
#define CPUU_FEATURES_PRIVATE_H

#include "features/features.h"
#include "features/proplist.h"

#include <cpuu/validate.h>

#include <stddef.h>

/* ---- structures of plugins of other minors --------------------------------------------------- */

/* Sizes in interface 1.0; a plugin's structures may be larger, never smaller. */
#define CPUU_END_OF(type, member) (offsetof(type, member) + sizeof(((type *)0)->member))
#define CPUU_QUERY_MIN            CPUU_END_OF(cpuu_query, store)
#define CPUU_CHANGE_MIN           CPUU_END_OF(cpuu_change, title)
#define CPUU_ROW_MIN              CPUU_END_OF(cpuu_row, values)
#define CPUU_RESULT_MIN           CPUU_END_OF(cpuu_result, id)
#define CPUU_LINK_MIN             CPUU_END_OF(cpuu_link, out_text)
#define CPUU_DECISION_MIN         CPUU_END_OF(cpuu_decision, after)

/* What skip() of a feature that was not selected may touch (R1). */
#define CPUU_SKIP_NEEDS                                                                            \
    (CPUU_NEED_PROFILE | CPUU_NEED_PROFILE_WRITE | CPUU_NEED_FILES | CPUU_NEED_FILES_WRITE)

/* ---- loader ---------------------------------------------------------------------------------- */

cpuu_rc cpuu_plugin_validate(const cpuu_plugin *p, const char *path, cpuu_error *err);
bool cpuu_feature_is_critical(const cpuu_settings *s, const char *name);
bool cpuu_feature_is_removed(const cpuu_settings *s, const char *name);

/* ---- reading --------------------------------------------------------------------------------- */

#define CPUU_MAX_QUERY_BYTES (64u << 20) /* of one answer; more needs CPUU_STREAM */

/* One query on one mailbox, and its answer. Columns are tags of that mailbox; 0 = a named property
 * the mailbox does not know, always absent. */
typedef struct cpuu_fetch {
    const cpuu_feature *feature;
    cpuu_query q;      /* deep copy; named tags as the feature wrote them */
    uint32_t *columns; /* q.n_tags of them */
    uint32_t *asked;   /* the columns without zeros; one tag when only ids are wanted */
    uint32_t n_asked;
    cpuu_mailbox *box;
    bool is_target; /* the user's own target mailbox: changes apply to it */
    bool done, stale;
    bool shared; /* several features have declared it */
    cpuu_rc rc;
    char problem[256];
    cpuu_mail_row *rows; /* values: one per column */
    size_t count, cap;
    cpuu_arena arena;
    struct cpuu_fetch *next;
} cpuu_fetch;

/* Ids of a feature's named properties in one mailbox. */
typedef struct cpuu_names {
    const cpuu_feature *feature;
    cpuu_mailbox *box;
    uint16_t *ids;
    struct cpuu_names *next;
} cpuu_names;

/* What a dry run would have written. */
typedef struct cpuu_overlay {
    char *key; /* path of a file, or "note:<feature>:<key>" */
    uint8_t *data;
    uint32_t size;
    bool present;
    struct cpuu_overlay *next;
} cpuu_overlay;

/* All features of one profile. */
typedef struct cpuu_reading {
    cpuu_work *w;
    const bool *selected; /* features that will run; NULL = nothing is declared */
    cpuu_fetch *declared; /* answers to declared reads, shared by all features that ask the same */
    bool fetched;         /* they are there */
    cpuu_names *names;
    cpuu_overlay *overlays;
    uint32_t placeholders; /* ids given out in a dry run */
    cpuu_arena arena;
    cpuu_run **pending; /* features that have run and whose changes wait to be written together */
    size_t n_pending, cap_pending;
    struct cpuu_retry *again; /* features that are tried once more, in their order */
    size_t n_again, cap_again;
    cpuu_error given_up; /* why nothing more may be done in this profile; rc CPUU_OK = go on */
} cpuu_reading;

/* ---- one verb -------------------------------------------------------------------------------- */

typedef enum cpuu_verb_kind {
    CPUU_VERB_CHECK = 1,
    CPUU_VERB_UPDATE,
    CPUU_VERB_SKIP,
    CPUU_VERB_UNDO,
    CPUU_VERB_CLEANUP
} cpuu_verb_kind;

struct cpuu_rows {
    cpuu_run *run;
    cpuu_fetch *fetch; /* owned when `own` */
    bool own;
    cpuu_fetch *page; /* CPUU_STREAM: the rows around the current one */
    size_t page_start;
    uint32_t page_size; /* rows of the next page */
    cpuu_arena arena; /* values with the feature's own tags */
    struct cpuu_rows *next, **link;
};

/* A queued change. Several changes of one object are merged into the first: only that one has
 * `merged` == its own index. */
typedef struct cpuu_queued {
    cpuu_change c; /* deep copy; tags as the feature wrote them */
    uint32_t merged;
    bool applied;
    bool forgotten; /* applied; values and before-image were given back */
    cpuu_rc rc;
    cpuu_blob result;  /* CREATE: new id */
    cpuu_blob folder;  /* EntryID of the folder it lives in; empty for STORE and SECTIONS */
    cpuu_prop *before; /* UPDATE, DELETE: tags of the store */
    uint32_t n_before;
    cpuu_prop *seen; /* what the feature knew of the object when it queued this */
    uint32_t n_seen;
    cpuu_blob *ids_before; /* CREATE */
    uint32_t n_ids_before;
    cpuu_value *set; /* tags of the store */
    uint32_t *unset;
    int64_t seq;
} cpuu_queued;

/* A decision that is reported when its feature's turn to be reported comes. */
typedef struct cpuu_decided {
    uint32_t outcome, reason;
    const char *title, *before, *after;
    struct cpuu_decided *next;
} cpuu_decided;

/* A file that a feature has written, for its report. */
typedef struct cpuu_written_file {
    const char *path;
    char before[40], after[40]; /* sizes, as text */
    bool had, has;
    struct cpuu_written_file *next;
} cpuu_written_file;

struct cpuu_run { /* its memory is the reading's: a plugin may have kept the pointer */
    bool over;    /* the verb has returned: nobody may ask for anything any more */
    cpuu_reading *s;
    cpuu_work *w;
    const cpuu_feature *f;
    cpuu_verb_kind verb;
    uint32_t needs; /* what this verb may do: of the feature's needs */
    int64_t span;
    cpuu_arena arena; /* lives until the verb returns */
    cpuu_arena values; /* of queued changes: given back after a flush when there are many */
    cpuu_rows *rows;
    cpuu_queued *queue;
    size_t n_queue, cap_queue, n_applied;
    cpuu_overlay *files; /* contents given out by file_read */
    bool stop;           /* the host asked to stop */
    bool late;           /* its time was over before its verb returned */
    unsigned fails;      /* calls of fail() */
    cpuu_rc lookup_rc;   /* of a translate() that failed: last_problem says why */
    cpuu_rc fail_rc;
    char fail_text[600];
    char last_problem[600]; /* of the last service that failed */
    unsigned translated;    /* links that were not CPUU_ALREADY */
    unsigned n_rewritten, n_kept, n_dropped, n_decided;
    unsigned n_changes, n_excused; /* made, and failed with CPUU_MAY_FAIL */
    bool broken;                   /* the journal cannot be written: no feature may go on */
    const char *bug;               /* what the plugin did wrong; NULL */
    cpuu_rc rc;                    /* of writing what it queued */
    cpuu_error why;
    bool critical, selected;
    bool alone;  /* it has flushed or written a file: it does not wait for others */
    bool wrote;  /* something was sent to the mailbox */
    bool expected; /* others may have seen what it is going to write */
    bool staged; /* edits from `savepoint` on are its own */
    size_t savepoint;
    cpuu_decided *decided, **decided_tail; /* not reported yet */
    bool reported, lost; /* its report has begun; a decision could not be kept */
    size_t n_told;       /* of the queue: changes that are in the report, or will not be */
    cpuu_written_file *written; /* not in the report yet */
    bool unanswered;     /* a whole request failed, not one of its changes: see `again` */
    bool again;          /* it is tried once more, by itself */
};

/* A feature that has been taken back and is to be tried once more. */
typedef struct cpuu_retry {
    const cpuu_feature *f;
    bool selected;
} cpuu_retry;

extern const cpuu_host CPUU_HOST_TABLE;

void cpuu_reading_free(cpuu_reading *s);
void cpuu_run_end(cpuu_run *run); /* frees what it holds; closes rows left open */
/* CPUU_E_STOP when the user wants to stop; refuses a plugin that asks after its verb has returned. */
cpuu_rc cpuu_run_beat(cpuu_run *run);
/* The verb of this run has returned, and still its plugin asks: that is said, and must be refused. */
bool cpuu_run_is_over(cpuu_run *run);
/* Remembers why a service failed, for a plugin that does not say; returns err->rc. */
cpuu_rc cpuu_run_problem(cpuu_run *run, const cpuu_error *err);

/* reads.c */
/* Notes what the features that will run have declared; fetched when one of them reads a mailbox.
 * `selected` lives as long as the reading. */
cpuu_rc cpuu_reading_declare(cpuu_reading *s, const bool *selected, cpuu_error *err);
cpuu_rc CPUU_CALL cpuu_service_read(cpuu_run *run, const cpuu_query *queries, uint32_t n,
                                    cpuu_rows **out);
cpuu_rc CPUU_CALL cpuu_service_rows(cpuu_rows *rows, uint32_t index, cpuu_row *out);
void CPUU_CALL cpuu_service_rows_close(cpuu_rows *rows);
/* Ids of the feature's names in `box`, n_names of them; looked up once. NULL out of memory or on a
 * failed request. */
cpuu_rc cpuu_reading_names(cpuu_reading *s, const cpuu_feature *f, cpuu_mailbox *box, bool create,
                           const uint16_t **out, cpuu_error *err);
uint32_t cpuu_wire_tag(const uint16_t *ids, uint32_t tag);
/* Keeps what the feature last read of the object that it changes: the reads go on changing. */
cpuu_rc cpuu_run_remember(cpuu_run *run, cpuu_queued *q, cpuu_error *err);
/* Lets later features see in the shared answers what a waiting one will write, as far as that can
 * be told: updates and deletions of items. */
void cpuu_reading_expect(cpuu_reading *s, const cpuu_run *run);
/* Brings the shared answers up to date with what a feature has written, or marks them to be fetched
 * again. */
void cpuu_reading_release(cpuu_reading *s, const cpuu_run *run);
void cpuu_reading_patch(cpuu_reading *s, const cpuu_run *run);
void cpuu_reading_stale(cpuu_reading *s);

/* changes.c, writes.c */
cpuu_rc CPUU_CALL cpuu_service_change(cpuu_run *run, const cpuu_change *changes, uint32_t n,
                                      uint32_t *ticket);
cpuu_rc CPUU_CALL cpuu_service_flush(cpuu_run *run);
cpuu_rc CPUU_CALL cpuu_service_result(cpuu_run *run, uint32_t ticket, cpuu_result *out);
/* Whether sections of the profile (else: anything of the mailbox) are queued. */
bool cpuu_run_queues(const cpuu_run *run, bool sections);
/* Makes the queue ready to be written: merges changes of one object, finds names and folders, keeps
 * what the feature has seen. */
cpuu_rc cpuu_run_prepare(cpuu_run *run, cpuu_error *err);
/* Writes what n prepared runs have queued for the mailbox: one reading set, one flush of the
 * journal, one writing set. No two of the runs change the same object. Outcome in rc and why of
 * each. */
void cpuu_runs_write(cpuu_run *const *runs, size_t n);
/* The rest of it, one run after the other: stages the changes of the profile when all else went
 * well. */
void cpuu_run_finish(cpuu_run *run);
/* Reports what has been written and stays. */
void cpuu_run_tell(cpuu_run *run);
/* It failed because a whole request did, and may be tried once more when it has been taken back. */
bool cpuu_run_may_repeat(const cpuu_run *run);

/* services.c: begins the report of a feature and gives out the decisions kept so far. */
void cpuu_run_report(cpuu_run *run);

/* batch.c */
cpuu_rc cpuu_span_begin(cpuu_run *run, cpuu_error *err);
/* The feature has done its work, or has failed: `why` NULL or the reason. Takes the run. What it
 * leads to for the profile is s->given_up. */
void cpuu_batch_add(cpuu_run *run, const cpuu_error *why);
/* Writes what waits. */
void cpuu_batch_apply(cpuu_reading *s);
/* The same in the middle of a feature; CPUU_E_STOP when it must not go on. */
cpuu_rc cpuu_batch_before(cpuu_run *run);
/* The next feature that is to be tried once more; false when there is none. Not from within a
 * feature: what it holds of its reads would not outlive that. */
bool cpuu_batch_again(cpuu_reading *s, cpuu_retry *out);
/* After the last feature: writes what waits, or forgets it when the profile was given up. */
void cpuu_batch_end(cpuu_reading *s);
void cpuu_reading_give_up(cpuu_reading *s, const cpuu_error *why);

/* files.c */
cpuu_rc CPUU_CALL cpuu_service_file_read(cpuu_run *run, uint32_t dir, const char *name,
                                         cpuu_blob *out);
cpuu_rc CPUU_CALL cpuu_service_file_write(cpuu_run *run, uint32_t dir, const char *name,
                                          const cpuu_blob *data);
/* Reports the files that have been written. */
void cpuu_run_tell_files(cpuu_run *run);
cpuu_rc CPUU_CALL cpuu_service_note_put(cpuu_run *run, const char *key, cpuu_blob value);
cpuu_rc CPUU_CALL cpuu_service_note_get(cpuu_run *run, const char *key, cpuu_blob *out);

#endif
