/* Spans and records: what a feature is about to change, before it changes. */
#include "journal/private.h"

#include "base/fault.h"

#include <string.h>

#define HAS_BEFORE 1
#define HAS_AFTER  2

/* ---- spans ----------------------------------------------------------------------------------- */

static cpuu_rc number(cpuu_journal *j, int64_t *out, cpuu_error *err, const char *sql,
                      const char *text, int64_t value)
{
    sqlite3_stmt *q = NULL;
    bool row = false;
    cpuu_rc rc = text ? cpuu_store_query(&j->store, &q, err, sql, "ti", text, value)
                      : cpuu_store_query(&j->store, &q, err, sql, "");
    if (rc == CPUU_OK)
        rc = cpuu_store_step(&j->store, q, &row, err);
    if (rc == CPUU_OK)
        *out = row ? sqlite3_column_int64(q, 0) : 0;
    cpuu_store_done(&j->store, q);
    return rc;
}

cpuu_rc cpuu_journal_load_spans(cpuu_journal *j, cpuu_error *err)
{
    return number(j, &j->first_span, err, "SELECT coalesce(max(id),0)+1 FROM spans", NULL, 0);
}

cpuu_rc cpuu_journal_begin_span(cpuu_journal *j, const char *feature, int64_t *span,
                                cpuu_error *err)
{
    cpuu_rc rc = cpuu_store_write(&j->store, err, "INSERT INTO spans (feature,how) VALUES (?,0)",
                                  "t", feature);
    if (rc == CPUU_OK)
        *span = sqlite3_last_insert_rowid(j->store.db);
    return rc;
}

cpuu_rc cpuu_journal_span_deaths(cpuu_journal *j, const char *feature, unsigned *out,
                                 cpuu_error *err)
{
    int64_t n = 0;
    cpuu_rc rc = number(j, &n, err, "SELECT count(*) FROM spans WHERE feature=? AND id<? AND how=0",
                        feature, j->first_span);
    if (rc == CPUU_OK)
        *out = (unsigned)n;
    return rc;
}

cpuu_rc cpuu_journal_has_deaths(cpuu_journal *j, bool *out, cpuu_error *err)
{
    int64_t n = 0;
    cpuu_rc rc = number(j, &n, err, "SELECT count(*) FROM spans WHERE how=0", NULL, 0);
    if (rc == CPUU_OK)
        *out = n > 0;
    return rc;
}

cpuu_rc cpuu_journal_end_span(cpuu_journal *j, int64_t span, cpuu_span_end how, cpuu_error *err)
{
    return cpuu_store_write(&j->store, err, "UPDATE spans SET how=? WHERE id=?", "ii", (int64_t)how,
                            span);
}

/* ---- records --------------------------------------------------------------------------------- */

/* Over all that never changes after add. */
static int64_t record_sum(const cpuu_record *r)
{
    const int64_t numbers[] = {r->span, (int64_t)r->kind, (int64_t)r->what,
                               (r->has_before ? HAS_BEFORE : 0) | (r->has_after ? HAS_AFTER : 0)};
    uint64_t sum = CPUU_STORE_SUM0;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        for (unsigned shift = 0; shift < 64; shift += 8) {
            uint8_t byte = (uint8_t)((uint64_t)numbers[i] >> shift);
            sum = cpuu_store_sum(sum, &byte, 1);
        }
    }
    sum = cpuu_store_sum(sum, r->folder.data, r->folder.size);
    sum = cpuu_store_sum(sum, r->path, r->path ? strlen(r->path) : 0);
    sum = cpuu_store_sum(sum, r->before.data, r->before.size);
    sum = cpuu_store_sum(sum, r->after.data, r->after.size);
    return (int64_t)sum;
}

cpuu_rc cpuu_journal_add(cpuu_journal *j, cpuu_record *r, cpuu_error *err)
{
    cpuu_fault_step("journal.add");
    int64_t flags = (r->has_before ? HAS_BEFORE : 0) | (r->has_after ? HAS_AFTER : 0);
    cpuu_rc rc = cpuu_store_write(
        &j->store, err,
        "INSERT INTO records (span,kind,status,what,folder,id,path,title,before,after,flags,sum)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
        "iiiibbttbbii", r->span, (int64_t)r->kind, (int64_t)r->status, (int64_t)r->what,
        r->folder.data, (size_t)r->folder.size, r->id.data, (size_t)r->id.size, r->path, r->title,
        r->before.data, (size_t)r->before.size, r->after.data, (size_t)r->after.size, flags,
        record_sum(r));
    if (rc == CPUU_OK)
        r->seq = sqlite3_last_insert_rowid(j->store.db);
    return rc;
}

cpuu_rc cpuu_journal_mark(cpuu_journal *j, int64_t seq, cpuu_record_status status,
                          const cpuu_blob *id, cpuu_error *err)
{
    if (!id)
        return cpuu_store_write(&j->store, err, "UPDATE records SET status=? WHERE seq=?", "ii",
                                (int64_t)status, seq);
    return cpuu_store_write(&j->store, err, "UPDATE records SET status=?, id=? WHERE seq=?", "ibi",
                            (int64_t)status, id->data, (size_t)id->size, seq);
}

static cpuu_blob column_blob(sqlite3_stmt *q, int i)
{
    const void *data = sqlite3_column_blob(q, i);
    return (cpuu_blob){data, (uint32_t)sqlite3_column_bytes(q, i)};
}

static void read_record(sqlite3_stmt *q, cpuu_record *r)
{
    int64_t flags = sqlite3_column_int64(q, 11);
    *r = (cpuu_record){
        .seq = sqlite3_column_int64(q, 0),
        .span = sqlite3_column_int64(q, 1),
        .kind = (cpuu_record_kind)sqlite3_column_int(q, 2),
        .status = (cpuu_record_status)sqlite3_column_int(q, 3),
        .what = (uint32_t)sqlite3_column_int64(q, 4),
        .folder = column_blob(q, 5),
        .id = column_blob(q, 6),
        .path = (const char *)sqlite3_column_text(q, 7),
        .title = (const char *)sqlite3_column_text(q, 8),
        .before = column_blob(q, 9),
        .after = column_blob(q, 10),
        .has_before = (flags & HAS_BEFORE) != 0,
        .has_after = (flags & HAS_AFTER) != 0,
    };
}

static bool plausible(const cpuu_record *r)
{
    return r->kind >= CPUU_RECORD_CREATE && r->kind <= CPUU_RECORD_FILE &&
           r->status >= CPUU_RECORD_PLANNED && r->status <= CPUU_RECORD_UNDONE;
}

/* One query per record, so that the callback may write without disturbing a running query. Closes
 * the query. */
static cpuu_rc use_record(cpuu_journal *j, sqlite3_stmt *q,
                          cpuu_rc (*use)(void *user, const cpuu_record *rec), void *user,
                          int64_t *seq, cpuu_error *err)
{
    cpuu_record r = {0};
    bool row = false;
    cpuu_rc rc = cpuu_store_step(&j->store, q, &row, err);
    if (rc == CPUU_OK && row) {
        read_record(q, &r);
        if (!plausible(&r) || record_sum(&r) != sqlite3_column_int64(q, 12))
            rc = cpuu_fail(err, CPUU_E_FORMAT,
                           "journal '%s': record %lld is damaged; the journal was kept as it is",
                           j->store.path, (long long)r.seq);
        else if (use)
            rc = use(user, &r);
    }
    cpuu_store_done(&j->store, q);
    if (rc == CPUU_OK)
        *seq = r.seq;
    return rc;
}

#define SELECT                                                                                     \
    "SELECT seq,span,kind,status,what,folder,id,path,title,before,after,flags,sum FROM records "

cpuu_rc cpuu_journal_each(cpuu_journal *j, int64_t span, bool newest_first,
                          cpuu_rc (*each)(void *user, const cpuu_record *rec), void *user,
                          cpuu_error *err)
{
    const char *sql =
        newest_first ? SELECT "WHERE seq<?1 AND (?2=0 OR span=?2) ORDER BY seq DESC LIMIT 1"
                     : SELECT "WHERE seq>?1 AND (?2=0 OR span=?2) ORDER BY seq LIMIT 1";
    int64_t at = newest_first ? INT64_MAX : 0;
    cpuu_rc rc = CPUU_OK;
    do {
        sqlite3_stmt *q = NULL;
        rc = cpuu_store_query(&j->store, &q, err, sql, "ii", at, span);
        if (rc == CPUU_OK)
            rc = use_record(j, q, each, user, &at, err);
    } while (rc == CPUU_OK && at);
    return rc;
}

#define MATCHING                                                                                   \
    SELECT "WHERE seq<?1 AND (?2=0 OR span=?2) AND (?3=0 OR status NOT IN (4,5))"                  \
           " AND (?4=0 OR kind=?4) AND (?5=0 OR what=?5) "
#define NEWEST "ORDER BY seq DESC LIMIT 1"
_Static_assert(CPUU_RECORD_FAILED == 4 && CPUU_RECORD_UNDONE == 5, "as in MATCHING");

cpuu_rc cpuu_journal_find(cpuu_journal *j, const cpuu_journal_filter *f,
                          cpuu_rc (*use)(void *user, const cpuu_record *rec), void *user,
                          int64_t *seq, cpuu_error *err)
{
    const char *sql = f->path                       ? MATCHING "AND path=?6 " NEWEST
                      : f->id.size && f->folder.size ? MATCHING "AND id=?6 AND folder=?7 " NEWEST
                      : f->id.size                   ? MATCHING "AND id=?6 " NEWEST
                                                     : MATCHING NEWEST;
    const char *format = f->path                       ? "iiiiit"
                         : f->id.size && f->folder.size ? "iiiiibb"
                         : f->id.size                   ? "iiiiib"
                                                        : "iiiii";
    const void *key = f->path ? (const void *)f->path : f->id.data;
    sqlite3_stmt *q = NULL;
    cpuu_rc rc = cpuu_store_query(&j->store, &q, err, sql, format,
                                  f->below ? f->below : INT64_MAX, f->span, (int64_t)f->open,
                                  (int64_t)f->kind, (int64_t)f->what, key, (size_t)f->id.size,
                                  f->folder.data, (size_t)f->folder.size);
    return rc < 0 ? rc : use_record(j, q, use, user, seq, err);
}
