/* Opening, states, named blobs and the list. The order of states is architecture 5.1. */
#include "journal/private.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char SCHEMA[] =
    "CREATE TABLE owner (id TEXT NOT NULL, root TEXT NOT NULL, profile TEXT NOT NULL,"
    " uid BLOB NOT NULL, hive TEXT NOT NULL, state INTEGER NOT NULL, created INTEGER NOT NULL);"
    "CREATE TABLE blobs (name TEXT PRIMARY KEY, data BLOB NOT NULL, sum INTEGER NOT NULL);"
    "CREATE TABLE spans (id INTEGER PRIMARY KEY, feature TEXT NOT NULL, how INTEGER NOT NULL);"
    "CREATE TABLE records (seq INTEGER PRIMARY KEY, span INTEGER NOT NULL, kind INTEGER NOT NULL,"
    " status INTEGER NOT NULL, what INTEGER NOT NULL, folder BLOB, id BLOB, path TEXT, title TEXT,"
    " before BLOB, after BLOB, flags INTEGER NOT NULL, sum INTEGER NOT NULL);"
    "CREATE INDEX records_id ON records (id) WHERE id IS NOT NULL;"
    "CREATE INDEX records_path ON records (path) WHERE path IS NOT NULL;"
    "PRAGMA application_id=1668314485; PRAGMA user_version=1;";
_Static_assert(CPUU_JOURNAL_APP == 1668314485 && CPUU_JOURNAL_SCHEMA == 1, "as in SCHEMA");

/* ---- opening --------------------------------------------------------------------------------- */

/* ASCII letters in lower case: the registry compares names so. */
static uint64_t sum_name(uint64_t sum, const char *name)
{
    for (const char *p = name; *p; p++) {
        char c = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
        sum = cpuu_store_sum(sum, &c, 1);
    }
    return cpuu_store_sum(sum, "", 0);
}

static void file_name(const cpuu_journal_key *key, char out[40])
{
    uint8_t bytes[16];
    for (int half = 0; half < 2; half++) {
        uint8_t salt = (uint8_t)half;
        uint64_t sum = cpuu_store_sum(CPUU_STORE_SUM0, &salt, 1);
        sum = sum_name(sum, key->root);
        sum = sum_name(sum, key->profile);
        sum = cpuu_store_sum(sum, key->profile_uid, 16);
        sum = cpuu_store_sum(sum, key->hive, strlen(key->hive));
        for (int i = 0; i < 8; i++)
            bytes[half * 8 + i] = (uint8_t)(sum >> (56 - 8 * i));
    }
    cpuu_hex(out, bytes, sizeof(bytes));
    strcpy(out + 32, CPUU_JOURNAL_SUFFIX);
}

static cpuu_rc set_up(cpuu_journal *j, const cpuu_journal_key *key, cpuu_error *err)
{
    uint8_t guid[16];
    if (!cpuu_guid_random(guid))
        return cpuu_fail(err, CPUU_E_FAILED, "the system gives no random numbers");
    cpuu_guid_text(j->id, guid);
    int rc = sqlite3_exec(j->store.db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(j->store.db, SCHEMA, NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        return cpuu_fail(err, CPUU_E_IO, "cannot set up journal '%s': %s", j->store.path,
                         sqlite3_errstr(rc));
    cpuu_rc r = cpuu_store_write(&j->store, err, "INSERT INTO owner VALUES (?,?,?,?,?,?,?)",
                                 "tttbtii", j->id, key->root, key->profile, key->profile_uid,
                                 (size_t)16, key->hive, (int64_t)CPUU_J_NONE, cpuu_clock_now());
    return r < 0 ? r : cpuu_store_commit(&j->store, "journal.create", err);
}

/* Reads the owner row into arena strings. */
static cpuu_rc load_owner(cpuu_store *s, cpuu_arena *arena, cpuu_journal_summary *out,
                          cpuu_error *err)
{
    sqlite3_stmt *q = NULL;
    bool row = false;
    cpuu_rc rc = cpuu_store_query(s, &q, err,
                                  "SELECT id,root,profile,hive,uid,state,created FROM owner", "");
    if (rc == CPUU_OK)
        rc = cpuu_store_step(s, q, &row, err);
    const char *text[4] = {0};
    for (int i = 0; rc == CPUU_OK && row && i < 4; i++) {
        const char *column = (const char *)sqlite3_column_text(q, i);
        text[i] = cpuu_arena_strdup(arena, column ? column : "");
        if (!text[i])
            rc = cpuu_nomem(err);
    }
    if (rc == CPUU_OK && (!row || sqlite3_column_bytes(q, 4) != 16))
        rc = cpuu_fail(err, CPUU_E_FORMAT, "journal '%s' does not say whose it is", s->path);
    if (rc == CPUU_OK) {
        int64_t state = sqlite3_column_int64(q, 5);
        out->id = text[0], out->root = text[1], out->profile = text[2], out->hive = text[3];
        memcpy(out->profile_uid, sqlite3_column_blob(q, 4), 16);
        out->state = (cpuu_journal_state)state;
        out->created = sqlite3_column_int64(q, 6);
        if (state < CPUU_J_NONE || state > CPUU_J_CLEANING || strlen(out->id) != 38)
            rc = cpuu_fail(err, CPUU_E_FORMAT, "journal '%s' has an unknown state", s->path);
    }
    cpuu_store_done(s, q);
    return rc;
}

static cpuu_rc load(cpuu_journal *j, const cpuu_journal_key *key, cpuu_error *err)
{
    cpuu_arena arena = {0};
    cpuu_journal_summary s = {0};
    cpuu_rc rc = load_owner(&j->store, &arena, &s, err);
    if (rc == CPUU_OK &&
        (!cpuu_caseeq(s.root, key->root) || !cpuu_caseeq(s.profile, key->profile) ||
         strcmp(s.hive, key->hive) != 0 || memcmp(s.profile_uid, key->profile_uid, 16) != 0))
        rc = cpuu_fail(err, CPUU_E_FORMAT, "journal '%s' belongs to another profile ('%s')",
                       j->store.path, s.profile);
    if (rc == CPUU_OK) {
        memcpy(j->id, s.id, sizeof(j->id));
        j->state = s.state;
    }
    cpuu_arena_free(&arena);
    return rc;
}

cpuu_rc cpuu_journal_open(const char *state_dir, const cpuu_journal_key *key, bool create,
                          cpuu_log *log, cpuu_journal **out, cpuu_error *err)
{
    char name[40], *dir = NULL;
    bool empty = false;
    cpuu_rc rc = cpuu_store_dir(state_dir, create, &dir, err);
    if (rc < 0)
        return rc;
    cpuu_journal *j = cpuu_calloc(1, sizeof(*j));
    if (!j) {
        cpuu_free(dir);
        return cpuu_nomem(err);
    }
    file_name(key, name);
    j->log = log;
    rc = cpuu_store_open(dir, name, create, &j->store, err);
    if (rc < 0) {
        cpuu_free(j);
        return rc;
    }
    rc = cpuu_store_check(&j->store, &empty, err);
    if (rc == CPUU_OK && empty && !create) { /* its owner was killed before the first write */
        cpuu_fail(err, CPUU_E_NOTFOUND, "journal '%s' was never begun", j->store.path);
        cpuu_store_unlink(&j->store, NULL);
        cpuu_free(j);
        return CPUU_E_NOTFOUND;
    }
    if (rc == CPUU_OK)
        rc = empty ? set_up(j, key, err) : load(j, key, err);
    if (rc == CPUU_OK)
        rc = cpuu_journal_load_spans(j, err);
    if (rc < 0)
        cpuu_journal_close(j);
    else
        *out = j;
    return rc;
}

void cpuu_journal_close(cpuu_journal *j)
{
    if (!j)
        return;
    cpuu_store_close(&j->store);
    cpuu_free(j);
}

cpuu_rc cpuu_journal_destroy(cpuu_journal *j, cpuu_error *err)
{
    cpuu_rc rc = cpuu_store_unlink(&j->store, err);
    cpuu_free(j);
    return rc;
}

cpuu_rc cpuu_journal_reset(cpuu_journal *j, cpuu_error *err)
{
    static const char *const clear[] = {"DELETE FROM records", "DELETE FROM blobs",
                                        "DELETE FROM spans WHERE how<>0",
                                        "UPDATE owner SET state=0"};
    bool any = false;
    cpuu_rc rc = cpuu_journal_has_deaths(j, &any, err);
    if (rc == CPUU_OK && !any)
        return cpuu_journal_destroy(j, err);
    for (size_t i = 0; i < sizeof(clear) / sizeof(clear[0]) && rc == CPUU_OK; i++)
        rc = cpuu_store_write(&j->store, err, clear[i], "");
    if (rc == CPUU_OK)
        rc = cpuu_store_commit(&j->store, "journal.state", err);
    cpuu_journal_close(j);
    return rc;
}

/* ---- states and blobs ------------------------------------------------------------------------ */

const char *cpuu_journal_id(const cpuu_journal *j)
{
    return j->id;
}

cpuu_journal_state cpuu_journal_get_state(const cpuu_journal *j)
{
    return j->state;
}

static bool may_follow(cpuu_journal_state from, cpuu_journal_state to)
{
    switch (to) {
    case CPUU_J_ACTIVE:
        return from == CPUU_J_NONE;
    case CPUU_J_COMMITTED:
        return from == CPUU_J_ACTIVE;
    case CPUU_J_UNDOING:
    case CPUU_J_CLEANING:
        return from == CPUU_J_COMMITTED;
    default:
        return false;
    }
}

cpuu_rc cpuu_journal_set_state(cpuu_journal *j, cpuu_journal_state state, cpuu_error *err)
{
    if (state == j->state)
        return CPUU_OK;
    if (!may_follow(j->state, state))
        return cpuu_fail(err, CPUU_E_FAILED, "journal '%s' cannot go from state %d to %d",
                         j->store.path, (int)j->state, (int)state);
    cpuu_rc rc = cpuu_store_write(&j->store, err, "UPDATE owner SET state=?", "i", (int64_t)state);
    if (rc == CPUU_OK)
        rc = cpuu_store_commit(&j->store, "journal.state", err);
    if (rc == CPUU_OK)
        j->state = state;
    return rc;
}

cpuu_rc cpuu_journal_flush(cpuu_journal *j, cpuu_error *err)
{
    return cpuu_store_commit(&j->store, "journal.flush", err);
}

cpuu_rc cpuu_journal_put(cpuu_journal *j, const char *name, const void *data, size_t size,
                         cpuu_error *err)
{
    uint64_t sum = cpuu_store_sum(CPUU_STORE_SUM0, data, size);
    return cpuu_store_write(&j->store, err, "INSERT OR REPLACE INTO blobs VALUES (?,?,?)", "tbi",
                            name, data ? data : "", size, (int64_t)sum);
}

cpuu_rc cpuu_journal_get(cpuu_journal *j, const char *name, cpuu_buf *out, cpuu_error *err)
{
    sqlite3_stmt *q = NULL;
    bool row = false;
    cpuu_rc rc =
        cpuu_store_query(&j->store, &q, err, "SELECT data,sum FROM blobs WHERE name=?", "t", name);
    if (rc == CPUU_OK)
        rc = cpuu_store_step(&j->store, q, &row, err);
    if (rc == CPUU_OK && !row)
        rc = cpuu_fail(err, CPUU_E_NOTFOUND, "journal '%s' holds no '%s'", j->store.path, name);
    if (rc == CPUU_OK) {
        const void *data = sqlite3_column_blob(q, 0);
        size_t size = (size_t)sqlite3_column_bytes(q, 0);
        if ((int64_t)cpuu_store_sum(CPUU_STORE_SUM0, data, size) != sqlite3_column_int64(q, 1))
            rc =
                cpuu_fail(err, CPUU_E_FORMAT, "journal '%s': '%s' is damaged; it was kept as it is",
                          j->store.path, name);
        else if (size && !cpuu_buf_add(out, data, size))
            rc = out->size + size > out->max
                     ? cpuu_fail(err, CPUU_E_TOOBIG, "'%s' in journal '%s' is larger than expected",
                                 name, j->store.path)
                     : cpuu_nomem(err);
    }
    cpuu_store_done(&j->store, q);
    return rc;
}

/* ---- the list -------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_journal_name(const char *name)
{
    return strspn(name, "0123456789abcdef") == 32 && strcmp(name + 32, CPUU_JOURNAL_SUFFIX) == 0;
}

static cpuu_rc collect(const char *dir, cpuu_arena *arena, char ***out, size_t *n, cpuu_error *err)
{
    DIR *d = opendir(dir);
    if (!d)
        return cpuu_fail_errno(err, errno, "cannot list the state folder '%s'", dir);
    char **names = NULL;
    size_t count = 0, cap = 0;
    cpuu_rc rc = CPUU_OK;
    for (struct dirent *e; rc == CPUU_OK && (e = readdir(d));) {
        if (!is_journal_name(e->d_name))
            continue;
        if (!cpuu_grow(&names, &cap, count, sizeof(*names)) ||
            !(names[count] = cpuu_arena_strdup(arena, e->d_name)))
            rc = cpuu_nomem(err);
        else
            count++;
    }
    closedir(d);
    if (rc < 0) {
        cpuu_free(names);
        return rc;
    }
    if (count)
        qsort(names, count, sizeof(*names), by_name);
    *out = names;
    *n = count;
    return CPUU_OK;
}

static cpuu_rc list_one(const char *dir, const char *name,
                        cpuu_rc (*each)(void *user, const cpuu_journal_summary *s), void *user)
{
    cpuu_store store = {.fd = -1};
    cpuu_arena arena = {0};
    cpuu_journal_summary s = {0};
    cpuu_error err = CPUU_ERROR_INIT;
    bool empty = false;
    cpuu_rc rc = cpuu_store_peek(dir, name, &store, &err);
    if (rc == CPUU_OK)
        rc = cpuu_store_check(&store, &empty, &err);
    if (rc == CPUU_OK && !empty)
        rc = load_owner(&store, &arena, &s, &err);
    cpuu_store_close(&store);
    s.file = name;
    s.rc = rc;
    s.problem = rc < 0 ? err.text : NULL;
    cpuu_rc answer = CPUU_OK;
    if (!empty && rc != CPUU_E_NOTFOUND) /* removed by its owner since the folder was read */
        answer = each(user, &s);
    cpuu_arena_free(&arena);
    return answer;
}

cpuu_rc cpuu_journal_list(const char *state_dir,
                          cpuu_rc (*each)(void *user, const cpuu_journal_summary *s), void *user,
                          cpuu_error *err)
{
    char *dir = NULL, **names = NULL;
    size_t n = 0;
    cpuu_arena arena = {0};
    cpuu_rc rc = cpuu_store_dir(state_dir, false, &dir, err);
    if (rc == CPUU_E_NOTFOUND)
        return CPUU_OK;
    if (rc == CPUU_OK)
        rc = collect(dir, &arena, &names, &n, err);
    for (size_t i = 0; rc == CPUU_OK && i < n; i++) {
        rc = list_one(dir, names[i], each, user);
        if (rc < 0)
            cpuu_fail(err, rc, "listing stopped at journal '%s'", names[i]);
    }
    cpuu_free(names);
    cpuu_arena_free(&arena);
    cpuu_free(dir);
    return rc;
}
