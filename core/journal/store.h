/*
 * Private to journal/: the file a journal lives in, its lock, and SQLite with one-line calls.
 *
 * DELETE mode, not WAL: between commits the journal is one ordinary file without shared memory, so
 * it works on network shares, can be copied for support, and a reader of the list needs nothing but
 * it. synchronous=EXTRA flushes the folder as well after the rollback file is unlinked, which in
 * this mode is what makes a commit last over a power failure.
 */
#ifndef CPUU_JOURNAL_STORE_H
#define CPUU_JOURNAL_STORE_H

#include "journal/journal.h"

#include <sqlite3.h>

#define CPUU_JOURNAL_SUFFIX ".cpuu"
#define CPUU_JOURNAL_APP    0x63707575 /* "cpuu", the application_id of the database */
#define CPUU_JOURNAL_SCHEMA 1

#define CPUU_STORE_STATEMENTS 32u /* more are not kept, which costs only time */

typedef struct cpuu_statement {
    const char *sql; /* the literal it was made from */
    sqlite3_stmt *q;
    bool busy;
} cpuu_statement;

typedef struct cpuu_store {
    char *dir; /* canonical */
    char *path;
    int fd; /* holds the lock; -1 without */
    sqlite3 *db;
    bool lost; /* a write failed and took unflushed ones with it: nothing more is written */
    cpuu_statement kept[CPUU_STORE_STATEMENTS]; /* for the next one who asks the same */
    size_t n_kept;
} cpuu_store;

/* Canonical path of the state folder; refuses one that others own or can write to. */
cpuu_rc cpuu_store_dir(const char *state_dir, bool create, char **out, cpuu_error *err);
/* Opens or creates the file dir/name with mode 0600 and takes its lock. dir is taken over. */
cpuu_rc cpuu_store_open(char *dir, const char *name, bool create, cpuu_store *out, cpuu_error *err);
/* For the list: no lock, nothing created. */
cpuu_rc cpuu_store_peek(const char *dir, const char *name, cpuu_store *out, cpuu_error *err);
/* Whole, ours, of a schema we know. *empty: created but never set up (the program was killed). */
cpuu_rc cpuu_store_check(cpuu_store *s, bool *empty, cpuu_error *err);
void cpuu_store_close(cpuu_store *s);                      /* unflushed writes are dropped */
cpuu_rc cpuu_store_unlink(cpuu_store *s, cpuu_error *err); /* closes, too */

/* sql: a literal. Arguments by format: i int64_t, t const char *, b const void * and size_t. NULL
 * binds NULL. *out is given back with cpuu_store_done(). */
cpuu_rc cpuu_store_query(cpuu_store *s, sqlite3_stmt **out, cpuu_error *err, const char *sql,
                         const char *format, ...);
void cpuu_store_done(cpuu_store *s, sqlite3_stmt *q); /* NULL is allowed */
/* *row false at the end. */
cpuu_rc cpuu_store_step(cpuu_store *s, sqlite3_stmt *q, bool *row, cpuu_error *err);
/* A write inside the open transaction, which is begun when there is none. */
cpuu_rc cpuu_store_write(cpuu_store *s, cpuu_error *err, const char *sql, const char *format, ...);
/* Commits and flushes; `step` is the fault point. */
cpuu_rc cpuu_store_commit(cpuu_store *s, const char *step, cpuu_error *err);

/* FNV-1a, 64 bits: finds damage inside a value, which SQLite does not look for. */
uint64_t cpuu_store_sum(uint64_t sum, const void *data, size_t size);
#define CPUU_STORE_SUM0 0xcbf29ce484222325ull

#endif
