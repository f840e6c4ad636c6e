/*
 * Private to features/: what the parts of replay share.
 *   replay.c   which records, in which portions
 *   chain.c    the records of one object, and what they say
 *   restore.c  the objects of one portion: what is there is compared, and written back
 *   present.c  what is there, from tables or object by object
 *   places.c   where in its folder's table an object is
 *   seek.c     items whose id was never learnt are found by what is in them
 *   recreate.c what was deleted comes back, once
 *   unmake.c   folders that were created go, when they are empty
 *   unwrite.c  files
 */
#ifndef CPUU_FEATURES_REPLAY_H
#define CPUU_FEATURES_REPLAY_H

#include "features/private.h"

/* Most objects in memory at a time, and bytes of their records. One object can have more. */
#define CPUU_PORTION_OBJECTS 2048u
#define CPUU_PORTION_BYTES   (4u << 20)

typedef struct cpuu_places cpuu_places;

typedef struct cpuu_replay {
    cpuu_work *w;
    int64_t span;       /* 0 = all */
    cpuu_error refused; /* the first object that could not be taken back; the others go on */
    bool unmarked;      /* the journal cannot be written */
    bool store_met;     /* the one object without an id of its own */
    cpuu_places *places; /* of the folders that were listed */
} cpuu_replay;

/* One record, decoded. */
typedef struct cpuu_step {
    int64_t seq;
    cpuu_record_kind kind;
    cpuu_blob folder;
    cpuu_prop *before, *after;
    uint32_t n_before, n_after;
    struct cpuu_step *older; /* of the same object */
} cpuu_step;

typedef enum cpuu_act {
    CPUU_ACT_NONE = 0,
    CPUU_ACT_UPDATE,
    CPUU_ACT_DELETE,
    CPUU_ACT_CREATE
} cpuu_act;

/* A mailbox object and its chain: all its open records. */
typedef struct cpuu_object {
    uint32_t what;
    const char *title;
    cpuu_step *newest, *oldest;
    cpuu_blob folder; /* where it lives */
    cpuu_blob id;     /* what to act on: found, when it was never learnt */
    bool id_unknown;  /* one record, a creation whose answer never came */
    cpuu_blob *ids;   /* then: what was in the folder before */
    uint32_t n_ids;
    uint32_t *tags; /* every tag the chain has written */
    uint32_t n_tags;
    bool in_table, asked; /* present.c: to be read from its folder's table; by itself */
    /* It is there, and every one of these tags has what was written last; what it had before. */
    bool as_written, as_before;
    cpuu_mail_rows rows;
    const cpuu_mail_row *now; /* else; NULL = it is not there */
    bool found;               /* by seek.c */
    cpuu_act act;
    cpuu_value *set;
    uint32_t n_set, n_unset;
    uint32_t *unset;
    bool conflict; /* its records stay open, so that every replay tells */
    bool settled;
    struct cpuu_object *parent; /* unmake.c: a folder that goes, too */
    unsigned height;            /* levels of folders in it that go */
    bool kept, failed;          /* something is in it; nobody knows what is */
    struct cpuu_object *next;
} cpuu_object;

typedef struct cpuu_portion cpuu_portion;
/* Takes the answer of an operation, whose rows it may keep by clearing them. */
typedef void cpuu_answer(cpuu_portion *p, void *owner, cpuu_mail_op *op);

struct cpuu_portion {
    cpuu_replay *r;
    cpuu_arena arena;
    cpuu_object *objects, **tail; /* newest first */
    size_t n_objects;
    cpuu_blob ids_raw; /* of the last creation with an unknown id: most share one listing */
    cpuu_blob *ids;
    uint32_t n_ids;
    cpuu_mail_op *ops; /* the set being made */
    struct cpuu_taker {
        cpuu_answer *answer;
        void *owner;
    } * takers;
    size_t n_ops, cap_ops, cap_takers;
    cpuu_error problem; /* why nothing of this portion may be written */
};

/* restore.c */
void cpuu_portion_begin(cpuu_portion *p, cpuu_replay *r);
void cpuu_portion_free(cpuu_portion *p);
cpuu_rc cpuu_portion_restore(cpuu_portion *p, cpuu_error *err);
/* Adds an operation on the target mailbox to the set; runs the set, which is then empty. */
cpuu_rc cpuu_portion_ask(cpuu_portion *p, const cpuu_mail_op *op, cpuu_answer *answer, void *owner,
                         cpuu_error *err);
cpuu_rc cpuu_portion_run(cpuu_portion *p, cpuu_error *err);
void cpuu_portion_take_write(cpuu_portion *p, void *object, cpuu_mail_op *op);
void cpuu_object_conflict(cpuu_portion *p, cpuu_object *o, const char *what);
void cpuu_object_settle(cpuu_portion *p, cpuu_object *o);
void cpuu_replay_refused(cpuu_replay *r, const char *title, const cpuu_error *why);
void cpuu_replay_settle(cpuu_replay *r, int64_t seq);
/* What a row says about a property that was asked for with `tag`, probably as column `at`. */
cpuu_prop cpuu_value_now(const cpuu_mail_row *row, uint32_t tag, uint32_t at);

/* present.c: fills in what is there of the objects of a portion: by id, or found by seek.c. */
cpuu_rc cpuu_portion_look(cpuu_portion *p, cpuu_error *err);
/* One column that every row of this kind has, to learn only what is there. */
const uint32_t *cpuu_any_tag(uint32_t what);

/* places.c */
/* Of the object's folder; NULL when it was not listed yet, which cpuu_places_ask() adds to the set. */
cpuu_places *cpuu_places_of(const cpuu_replay *r, const cpuu_object *o);
cpuu_rc cpuu_places_ask(cpuu_portion *p, const cpuu_object *o, cpuu_error *err);
/* The row an item was in when its folder was listed. */
bool cpuu_places_find(const cpuu_places *l, cpuu_blob id, uint32_t *row);
void cpuu_places_free(cpuu_replay *r);

/* chain.c */
/* Ids of rules and members are those of one folder: another one may have the same. */
bool cpuu_id_is_of_folder(uint32_t what);
/* An order that brings objects of one kind and folder together. */
int cpuu_object_by_folder(const cpuu_object *a, const cpuu_object *b);
/* The object of an open record, with its whole chain; *out NULL when the record is not its newest,
 * unless `any` record will do. */
cpuu_rc cpuu_chain_load(cpuu_portion *p, const cpuu_record *r, bool any, cpuu_object **out,
                        cpuu_error *err);
/* Whether the lists of a record are whole. */
cpuu_rc cpuu_chain_check(const cpuu_record *r, cpuu_error *err);
bool cpuu_chain_created(const cpuu_object *o);
bool cpuu_chain_deleted(const cpuu_object *o);
int cpuu_by_tag(const void *a, const void *b); /* an order of tags */
cpuu_rc cpuu_chain_list_tags(cpuu_portion *p, cpuu_object *o, cpuu_error *err);
/* Whether the chain ever gave the property this value. */
bool cpuu_chain_knows(const cpuu_object *o, const cpuu_prop *now);
/* What was last written; NULL when nothing was. */
const cpuu_prop *cpuu_chain_last(const cpuu_object *o, uint32_t tag);
/* The state before the first change; NULL when the chain does not tell. */
const cpuu_prop *cpuu_chain_first(const cpuu_object *o, uint32_t tag);

/* seek.c */
typedef struct cpuu_sought {
    cpuu_object *object;    /* when it is found: `found`, and its id */
    const cpuu_prop *props; /* what it looks like, by tag */
    uint32_t n_props;
    const cpuu_blob *ids; /* of others that were in the folder before */
    uint32_t n_ids;
    uint64_t sum; /* seek.c's own */
} cpuu_sought;
/* Asks for the contents of the folders of n items, newest first, each folder once. `items` lives
 * until the set has run. An item that is known to the journal by its id is nobody's. */
cpuu_rc cpuu_seek(cpuu_portion *p, cpuu_sought *items, size_t n, cpuu_error *err);

/* recreate.c: of the objects that are to be created, those that an earlier replay has brought back
 * are left; for the others the journal, flushed, knows what is in their folders now. */
cpuu_rc cpuu_recreate_prepare(cpuu_portion *p, cpuu_error *err);
/* Values of an object that are written when it is made anew. */
cpuu_rc cpuu_recreate_values(cpuu_portion *p, cpuu_object *o, cpuu_error *err);

/* unmake.c: deletes the created folders of a portion in which nothing is left. */
cpuu_rc cpuu_unmake_folders(cpuu_portion *p, cpuu_error *err);

/* unwrite.c: the file of an open record, when that is its newest. */
cpuu_rc cpuu_unwrite(cpuu_replay *r, const cpuu_record *head, cpuu_error *err);

#endif
