/*
 * Inside of core/mailbox: how operations become requests.
 *
 *   cpuu_mail_op -> work (its state) -> units (one chain of ROPs each) -> batch (one Execute) ->
 * lane
 *
 * A unit is self-contained: it opens what it needs and judges its own answers, so it can be packed
 * with any others and repeated on any lane. What must live longer than a request (an open table, a
 * message that is written in several parts) is tied to its lane and to that lane's generation,
 * which changes whenever the server context is lost. A lane is one session context of one mailbox.
 */
#ifndef CPUU_MAILBOX_POOL_H
#define CPUU_MAILBOX_POOL_H

#include "mailbox/mailbox.h"
#include "mailbox/mapihttp/ids.h"
#include "mailbox/mapihttp/rops.h"
#include "mailbox/mapihttp/session.h"

#define CPUU_MAX_LANES     4u
#define CPUU_MAX_SLOTS     250u    /* handle indexes are one byte */
#define CPUU_MAX_PAYLOAD   0x7f00u /* RopSize, ROPs and handle table of one request */
#define CPUU_SHARE_BYTES   28000u  /* expected answers of one request; one payload holds 32 KB */
#define CPUU_CHAIN_ROP_OUT 0x40000u
#define CPUU_MAX_SHRINK    6u /* how often the expected size of answers is halved */
#define CPUU_FRESH_BYTES   800u    /* what a table brings whose size is not known, usually */
#define CPUU_ROLES         19u
#define CPUU_NO_HANDLE     0xffffffffu
#define CPUU_AHEAD_BYTES   ((size_t)16 << 20) /* of one answer that nobody may want */

typedef struct cpuu_unit cpuu_unit;
typedef struct cpuu_lane cpuu_lane;
typedef struct cpuu_work cpuu_work;
typedef struct cpuu_batch cpuu_batch;
typedef struct cpuu_ahead cpuu_ahead;
typedef struct cpuu_spare cpuu_spare;

/* One request ROP that gets an answer. */
typedef struct cpuu_step {
    cpuu_unit *unit; /* NULL: the lane's own Logon */
    uint8_t rop;
    uint8_t slot;            /* where an opened object's handle will be found */
    uint16_t what;           /* for the unit */
    const uint32_t *columns; /* borrowed; for QueryRows and GetPropertiesSpecific */
    uint32_t n_columns;
} cpuu_step;

struct cpuu_batch {
    cpuu_buf body; /* u16 RopSize, ROPs; the handle table is added when it is sent */
    cpuu_buf more; /* payloads packed behind it, complete; usually none */
    uint32_t handles[CPUU_MAX_SLOTS];
    uint32_t n_slots;
    cpuu_step *steps;
    size_t n_steps, steps_cap;
    cpuu_unit **units;
    size_t n_units, units_cap;
    uint32_t expected; /* bytes of answers */
    uint32_t share;    /* while filling: what one table may take; 0 = the rest, chained */
    uint32_t fresh_share; /* the same, of a table that was not seen yet */
    uint32_t chain_out; /* bytes all payloads of a chain may take */
    bool writes, chain;
    bool full; /* out of slots, or memory */
};

typedef struct cpuu_unit_class {
    const char *name; /* "table", "save", ...: for messages */
    bool writes;      /* never mixed with reads; not repeated when it may have happened */
    bool tail;        /* unbounded answer: last in its batch, one of a kind */
    bool paged;       /* a table: takes a share of a batch, or the rest of it as its tail */
    bool alone;       /* fills a batch of its own */
    void (*fill)(cpuu_unit *u, cpuu_lane *lane, cpuu_batch *b);
    void (*answer)(cpuu_unit *u, cpuu_lane *lane, const cpuu_step *step, const cpuu_rop_answer *a);
    /* All answers are in; handles: the server's table. Queues what comes next. */
    void (*finish)(cpuu_unit *u, cpuu_lane *lane, const cpuu_rop_reply *reply);
    /* Its request was refused, or what became of it is not known. True: nothing has happened that
     * stays, and it begins anew. Default: what writes does so only when it was not sent. */
    bool (*again)(cpuu_unit *u, cpuu_lane *lane);
    /* It cannot be carried out. Default: the work fails. */
    void (*fail)(cpuu_unit *u, const cpuu_error *err, bool maybe_done);
} cpuu_unit_class;

struct cpuu_unit {
    const cpuu_unit_class *cls;
    cpuu_mailbox *box;
    cpuu_work *work; /* NULL: opening of the mailbox */
    cpuu_unit *next;
    size_t row, index; /* which row, which value of it; or a range */
    uint64_t at, end;  /* which bytes of a streamed value; end 0 = its size is not known yet */
    uint32_t expected; /* bytes of answer, estimated when it was made */
    uint32_t cost;     /* bytes of request, roughly */
    uint64_t key;      /* writes with the same key keep their order; 0 = free */
    unsigned tries;
    unsigned left; /* answers still to come */
    bool hit;      /* an answer came */
};

typedef enum cpuu_lane_state {
    CPUU_LANE_NEW = 0,
    CPUU_LANE_CONNECTING,
    CPUU_LANE_READY,
    CPUU_LANE_BUSY,
    CPUU_LANE_LEAVING, /* Disconnect under way, will connect again or stay away */
    CPUU_LANE_WAITING, /* the server asked for a pause: until wait_until */
    CPUU_LANE_DEAD
} cpuu_lane_state;

struct cpuu_lane {
    cpuu_mailbox *box;
    cpuu_session *session;
    cpuu_call call;
    cpuu_batch batch;
    cpuu_lane_state state;
    unsigned at_move; /* box->moves when its session was made, ... */
    bool as_owner;    /* ... and box->as_owner */
    bool logged_on;
    uint32_t logon_handle;
    uint32_t generation; /* counts contexts; handles of an older one are worthless */
    uint32_t *releases;  /* handles to release at the head of the next request */
    size_t n_releases, releases_cap;
    unsigned leaked;   /* handles the server may still hold that we have lost */
    unsigned shrink;   /* how often the expected size was halved */
    unsigned failures; /* in a row */
    unsigned pauses;
    int64_t wait_until; /* cpuu_clock_ms() */
    cpuu_unit *pinned;  /* a unit in several parts has this lane to itself */
};

struct cpuu_mailbox {
    cpuu_mail *mail;
    cpuu_mailbox *next;
    const cpuu_endpoint *endpoint;
    cpuu_mailbox_info info;
    char *dn, *smtp, *name;
    char *url;       /* of another server the Logon named; NULL = that of the endpoint */
    unsigned moves;  /* how often one did */
    bool moved;      /* just now: the session has to be opened there */
    cpuu_buf store_eid;
    bool writable, admin, admin_tried, known; /* known: the logon's ids and roles are here */
    bool plain;      /* LongTermIdFromId is not asked: the server did not read a request with it */
    bool as_owner;   /* Connect names the mailbox's owner, whose DN the account's was not taken for */
    bool inbox_ok, views_ok;
    bool packed; /* QueryRows of chained requests: see read_table.c */
    bool no_packed_streams; /* the server says it takes them, but does not */
    unsigned packing_tries;
    uint32_t range_row, range_columns; /* bytes of a row seen last in a range; of that many columns */
    uint32_t seen_tags, seen_bytes; /* objects read singly: values of the last, bytes of most */
    cpuu_ids ids;
    uint64_t folder_ids[13];
    uint16_t replid; /* of the logon, and what it stands for */
    uint8_t replguid[16];
    uint8_t role_eid[CPUU_ROLES][CPUU_FOLDER_EID_SIZE];
    bool has_role[CPUU_ROLES];
    cpuu_lane lanes[CPUU_MAX_LANES];
    uint32_t first_lanes, max_lanes; /* opened with so many; later at most */
    cpuu_unit *head, *tail; /* queue */
    cpuu_rc rc;             /* of opening */
    cpuu_error error;
    bool answering;         /* answers are being handed out: nothing is sent meanwhile */
    bool claimed;           /* somebody asked for it; else it was opened ahead of time */
    cpuu_ahead *ahead;
};

struct cpuu_mail {
    cpuu_http *http;
    cpuu_log *log;
    cpuu_mail_options options;
    cpuu_mailbox *boxes;
    cpuu_directory *directories;
    cpuu_spare *spares;
    cpuu_rop_answer answer;  /* one at a time: everything runs on one thread */
    uint8_t client_guid[16]; /* X-ClientInfo: one for all contexts, each with its number */
    uint32_t contexts;
    bool left;         /* cpuu_mail_leave() was called */
    size_t works_left; /* operations of cpuu_mail_run() without a result */
    cpuu_rc fatal; /* CPUU_E_NOMEM or CPUU_E_STOP: everything ends */
};

/* One object of a READ. */
typedef struct cpuu_read_row {
    uint64_t fid, mid; /* of a folder in a table: mid is its parent's FID */
    cpuu_blob id;
    cpuu_rc rc;
    cpuu_value *values;
    uint32_t n_values;
    uint32_t *tags; /* all-properties mode: what the object has; else work->tags */
    uint32_t n_tags;
    uint32_t *again; /* indexes of values to read from the object itself */
    uint32_t n_again;
    uint32_t *again_tags;
    uint8_t *stream; /* a value being read in parts, ... */
    uint64_t stream_size;
    uint32_t stream_parts; /* ... so many of which are still to come */
    bool split;            /* beginning with its second request */
    bool leaf;             /* a folder that says it has no subfolders */
} cpuu_read_row;

struct cpuu_work {
    cpuu_mail_op *op;
    cpuu_mailbox *box;
    size_t pending; /* units queued or under way */
    bool ready;     /* ids are resolved, units were made */
    bool done;
    uint64_t fid, mid;
    unsigned resolves;
    cpuu_arena scratch; /* lives as long as the work */
    cpuu_ahead *ahead;  /* nobody waits for it; NULL = somebody does */

    /* READ */
    cpuu_arena page;   /* values of the rows of a page, when rows are not collected */
    uint32_t *columns; /* of the table: id columns, then tags */
    uint32_t n_columns, n_id_columns;
    cpuu_read_row *rows;
    size_t n_rows, rows_cap;
    size_t scanned; /* rows whose values were looked at */
    size_t items_cap;
    uint32_t pos;       /* rows of the table read so far */
    uint32_t total;     /* rows the server said there are; 0 = unknown */
    uint32_t row_bytes; /* average seen on the wire */
    uint32_t object_bytes; /* average answer seen for the properties of one object */
    bool is_table, end;
    bool unfiltered; /* the server cannot restrict by class: the rows just read are of no use */
    size_t walked;    /* tree.c: rows whose own tables were read, or need not be */
    uint64_t top_fid; /* and the folder that was asked about */
    bool own_filter; /* all rows are read, with their class, and chosen here */
    bool is_range;      /* rows of a table, for objects whose ids are known */
    size_t range_next;  /* the one that probably comes next */
    unsigned restarts;  /* of the table, from its first row */
    cpuu_lane *held_lane;
    uint32_t held_generation, held_table, held_folder;

    /* writes */
    uint64_t made_id;
    bool saved, problems, partial;
    struct cpuu_parts *parts; /* a message written in several requests */
};

/* ---- pack.c ---------------------------------------------------------------------------------- */

cpuu_unit *cpuu_unit_new(cpuu_mailbox *box, cpuu_work *work, const cpuu_unit_class *cls);
void cpuu_unit_queue(cpuu_unit *u); /* at the end */
void cpuu_queue_front(cpuu_mailbox *box, cpuu_unit *u);
void cpuu_unit_fail(cpuu_unit *u, const cpuu_error *err, bool maybe_done);
/* Fails everything a box has queued. */
void cpuu_box_drop(cpuu_mailbox *box, const cpuu_error *err);
bool cpuu_unit_only_as_tail(const cpuu_unit *u);
/* Fills the lane's batch from the queue. False: there is nothing to send. */
bool cpuu_batch_build(cpuu_lane *lane);
void cpuu_lane_release_later(cpuu_lane *lane, uint32_t handle);

/* For fill(): slots, steps and the buffer. The first slot is the logon. */
uint8_t cpuu_batch_slot(cpuu_batch *b, uint32_t handle);
void cpuu_batch_step(cpuu_batch *b, cpuu_unit *u, uint8_t rop, uint8_t slot, uint16_t what,
                     const uint32_t *columns, uint32_t n_columns);
uint8_t cpuu_batch_open_folder(cpuu_batch *b, cpuu_unit *u, uint64_t fid, uint16_t what);
uint8_t cpuu_batch_open_message(cpuu_batch *b, cpuu_unit *u, uint64_t fid, uint64_t mid,
                                uint8_t mode, uint16_t what);
uint32_t cpuu_reply_handle(const cpuu_rop_reply *reply, uint8_t slot);

/* ---- planner.c ------------------------------------------------------------------------------- */

/* A request of the pool's own is; others that share the HTTP client do not count. */
bool cpuu_mail_under_way(const cpuu_mail *mail);
/* Starts whatever can be started. */
void cpuu_box_schedule(cpuu_mailbox *box);
/* Until everything somebody waits for is there, or the pool is stopped. */
cpuu_rc cpuu_mail_drive(cpuu_mail *mail, cpuu_error *err);
void cpuu_box_free(cpuu_mailbox *box);

/* A context of this caller; counted. */
cpuu_session_options cpuu_mail_session(cpuu_mail *mail, const cpuu_endpoint *endpoint,
                                       const char *url, const char *name);
/* The lane was waiting for a context somebody else connects: it has it, or has none. */
void cpuu_lane_given(cpuu_lane *lane);

/* ---- spare.c ---------------------------------------------------------------------------------
 */

/* A context for the lane: READY with it, or CONNECTING until cpuu_lane_given(). False: there is none. */
bool cpuu_spare_take(cpuu_lane *lane);
cpuu_spare *cpuu_spare_next(const cpuu_spare *s);
cpuu_call *cpuu_spare_call(cpuu_spare *s);
void cpuu_spare_leave(cpuu_spare *s);
void cpuu_spares_free(cpuu_mail *mail);

/* ---- work.c ---------------------------------------------------------------------------------- */

/* Ends the work with an error unless it has one already. */
void cpuu_work_fail(cpuu_work *w, cpuu_rc rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void cpuu_work_fail_code(cpuu_work *w, uint32_t code, const char *what);
void cpuu_work_fail_err(cpuu_work *w, const cpuu_error *err);
bool cpuu_work_failed(const cpuu_work *w);
/* What failed like that may succeed when it is asked for in another way. */
bool cpuu_other_way_may_help(cpuu_rc rc);
void cpuu_work_nomem(cpuu_work *w);
/* A unit of the work is through (freed here); with the last one the work goes on or ends. */
void cpuu_unit_done(cpuu_unit *u);
void cpuu_work_begin(cpuu_work *w, cpuu_mail_op *op, cpuu_ahead *ahead);
/* The work has nothing under way: it goes on or ends. */
void cpuu_work_advance(cpuu_work *w);
void cpuu_work_end(cpuu_work *w);
void cpuu_work_free(cpuu_work *w);
/* Resolves the ids the operation names; queues RESOLVE units and returns false while some are not
 * known. */
bool cpuu_work_resolve(cpuu_work *w);
cpuu_rc cpuu_work_folder(const cpuu_work *w, cpuu_blob *eid);
/* The default calendar, whose permissions include free/busy rights ([MS-OXCPERM] 2.2.1). */
bool cpuu_work_is_calendar(const cpuu_work *w);
const char *cpuu_work_where(const cpuu_work *w); /* "mailbox a@b" */

/* ---- read.c, write.c, names.c: first units of a resolved work; and its next step ----------------
 */

void cpuu_read_start(cpuu_work *w);
/* All units of a page are through: delivers its rows, queues the next page if there is one. */
void cpuu_read_next(cpuu_work *w);
void cpuu_read_free(cpuu_work *w);
/* What a table has still to bring; before its first rows were seen, one row. */
uint64_t cpuu_read_bytes_left(const cpuu_work *w);
bool cpuu_read_is_tree(const cpuu_work *w);
void cpuu_write_start(cpuu_work *w);
void cpuu_write_end(cpuu_work *w);
cpuu_rc cpuu_write_check(cpuu_mail_op *op);
void cpuu_names_start(cpuu_work *w);

/* ---- tree.c ------------------------------------------------------------------------------------
 */

/* A table of a tree has ended. True: w->fid is a folder whose own is to be read as well. */
bool cpuu_tree_more(cpuu_work *w);
/* Whether there is a row of that folder, while tables below are read. */
bool cpuu_tree_knows(cpuu_work *w, uint64_t fid);

/* ---- open.c ------------------------------------------------------------------------------------
 */

/* The Logon of a lane was answered. False: it failed for good (box->error). */
bool cpuu_box_logon_answer(cpuu_mailbox *box, cpuu_lane *lane, const cpuu_rop_answer *a,
                           bool *again);
/* Where LongTermIdFromId tells nothing, the logon has, for ids of the mailbox's own replica
 * ([MS-OXCSTOR] 2.2.1.1.3). False: the id is of another. */
bool cpuu_box_own_replica(cpuu_mailbox *box, uint64_t id);
void cpuu_box_logon_fill(const cpuu_mailbox *box, cpuu_buf *b, uint8_t slot);

/* FID of a folder that the logon itself tells; false for the others. */
bool cpuu_box_logon_fid(const cpuu_mailbox *box, uint32_t role, uint64_t *fid);

/* ---- tables.c ----------------------------------------------------------------------------------
 */

typedef struct cpuu_table cpuu_table;
typedef struct cpuu_tables { /* tables that several operations of a set ask about */
    cpuu_table *items;
    size_t count, cap;
} cpuu_tables;
/* False: out of memory. What it keeps points to what the operations point to. */
bool cpuu_tables_find(cpuu_tables *all, const cpuu_mail_op *ops, size_t n);
/* What to run for operation `index`: itself, the reading of its table, or nothing (NULL). */
cpuu_mail_op *cpuu_tables_op(const cpuu_tables *all, cpuu_mail_op *op, size_t index);
/* The tables were read: everybody's rows. */
void cpuu_tables_answer(const cpuu_tables *all, cpuu_mail_op *ops, size_t n);
void cpuu_tables_free(cpuu_tables *all);

/* ---- ahead.c -----------------------------------------------------------------------------------
 */

/* Best effort: what does not fit in memory is not read ahead. */
void cpuu_ahead_add(cpuu_mailbox *box, const cpuu_mail_op *ops, size_t n);
/* Begins what can begin: after the Logon, and again when the special folders are known. */
void cpuu_ahead_begin(cpuu_mailbox *box);
/* True when the operation's answer is there, or on its way: the work ends by itself. */
bool cpuu_ahead_take(cpuu_work *w);
/* A row has come that may not be complete yet. */
void cpuu_ahead_show(cpuu_ahead *a, const cpuu_mail_row *row);
void cpuu_ahead_ended(cpuu_ahead *a); /* its work has */
/* A write: what was read before it is true no longer. */
void cpuu_ahead_forget(cpuu_mailbox *box);
void cpuu_ahead_free(cpuu_mailbox *box);

/* ---- directory.c -------------------------------------------------------------------------------
 */

void cpuu_directory_start(cpuu_directory *d, cpuu_mail_op **ops, size_t n);
bool cpuu_directory_idle(const cpuu_directory *d);
void cpuu_directory_finish(cpuu_directory *d, const cpuu_error *err); /* fails what is left */
void cpuu_directory_leave(cpuu_directory *d);
bool cpuu_directory_under_way(const cpuu_directory *d); /* a request of it is */
void cpuu_directory_cancel(cpuu_directory *d);
void cpuu_directory_free(cpuu_directory *d);
cpuu_directory *cpuu_directory_next(const cpuu_directory *d);

#endif
