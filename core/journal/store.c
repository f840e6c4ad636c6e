#include "config.h" /* F_OFD_SETLK */

#include "journal/store.h"

#include "base/fault.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <stdlib.h>
#include <unistd.h>

/* A byte that SQLite, which locks 512 bytes from 0x40000000, never asks for. */
#define LOCK_BYTE 0x3fffff00

/* ---- the folder and the file ----------------------------------------------------------------- */

/* What the user can do about a place in which nothing can be kept. */
static const char *advice(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
        return "; make room there, or choose another state folder with --state";
    case EACCES:
    case EPERM:
    case EROFS:
    case ENOTDIR:
    case EEXIST:
        return "; choose with --state a folder in which you, and nobody else, can write";
    default:
        return "";
    }
}

static cpuu_rc fail_place(int errnum, const char *what, const char *path, cpuu_error *err)
{
    cpuu_error why = CPUU_ERROR_INIT;
    cpuu_fail_errno(&why, errnum, "cannot %s '%s'", what, path);
    cpuu_fail(err, why.rc, "%s%s", why.text, advice(errnum));
    if (err)
        err->detail = why.detail;
    return why.rc;
}

static cpuu_rc check_dir(const char *dir, cpuu_error *err)
{
    struct stat st;
    if (lstat(dir, &st) != 0)
        return cpuu_fail_errno(err, errno, "cannot examine the state folder '%s'", dir);
    if (!S_ISDIR(st.st_mode))
        return cpuu_fail(err, CPUU_E_ACCESS,
                         "the state folder '%s' is not a folder; choose another with --state", dir);
    if (st.st_uid != geteuid())
        return cpuu_fail(
            err, CPUU_E_ACCESS,
            "the state folder '%s' belongs to another user; choose another with --state", dir);
    if (st.st_mode & 022)
        return cpuu_fail(
            err, CPUU_E_ACCESS,
            "others can write to the state folder '%s'; take that right away (chmod go-w)", dir);
    return CPUU_OK;
}

cpuu_rc cpuu_store_dir(const char *state_dir, bool create, char **out, cpuu_error *err)
{
    cpuu_error why = CPUU_ERROR_INIT;
    if (create && cpuu_mkdirs(state_dir, 0700, &why) < 0)
        return cpuu_fail(err, why.rc, "the state folder cannot be made: %s%s", why.text,
                         advice((int)why.detail));
    char *real = realpath(state_dir, NULL);
    if (!real)
        return fail_place(errno, "open the state folder", state_dir, err);
    char *dir = cpuu_strdup(real);
    free(real);
    if (!dir)
        return cpuu_nomem(err);
    cpuu_rc rc = check_dir(dir, err);
    if (rc < 0)
        cpuu_free(dir);
    else
        *out = dir;
    return rc;
}

static cpuu_rc check_file(const struct stat *st, const char *path, cpuu_error *err)
{
    if (!S_ISREG(st->st_mode) || st->st_nlink > 1)
        return cpuu_fail(err, CPUU_E_ACCESS, "'%s' is not a plain file with one name", path);
    if (st->st_uid != geteuid() || (st->st_mode & 077))
        return cpuu_fail(err, CPUU_E_ACCESS,
                         "journal '%s' belongs to or is open to others; it is not trusted", path);
    return CPUU_OK;
}

static int open_file(const char *path, bool create, bool *created)
{
    const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    int fd = open(path, flags);
    *created = false;
    if (fd >= 0 || errno != ENOENT || !create)
        return fd;
    fd = open(path, flags | O_CREAT | O_EXCL, 0600);
    if (fd < 0 && errno == EEXIST)
        return open(path, flags);
    *created = fd >= 0;
    if (fd >= 0 && fchmod(fd, 0600) != 0) { /* whatever the umask was */
        close(fd);
        return -1;
    }
    return fd;
}

/* The lock belongs to the open file: it ends with the process that holds it, however that ends. */
static cpuu_rc take_lock(int fd, const char *path, cpuu_error *err)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCK_BYTE, .l_len = 1};
    if (fcntl(fd, F_OFD_SETLK, &l) == 0)
        return CPUU_OK;
    if (errno == EAGAIN || errno == EACCES)
        return cpuu_fail(err, CPUU_E_BUSY,
                         "journal '%s' is in use: another run works on this profile; wait for it",
                         path);
    return cpuu_fail_errno(err, errno, "cannot lock journal '%s'", path);
}

/* The owner before us may have removed the file between our open and our lock. */
static bool still_there(int fd, const char *path)
{
    struct stat mine, now;
    return fstat(fd, &mine) == 0 && lstat(path, &now) == 0 && mine.st_ino == now.st_ino &&
           mine.st_dev == now.st_dev;
}

static cpuu_rc lock_file(const char *path, bool create, int *out, cpuu_error *err)
{
    for (int attempt = 0; attempt < 5; attempt++) {
        struct stat st;
        bool created;
        int fd = open_file(path, create, &created);
        if (fd < 0)
            return fail_place(errno, "open journal", path, err);
        cpuu_rc rc = fstat(fd, &st) == 0 ? check_file(&st, path, err)
                                         : cpuu_fail_errno(err, errno, "cannot examine '%s'", path);
        if (rc == CPUU_OK)
            rc = take_lock(fd, path, err);
        if (rc == CPUU_OK && created)
            rc = cpuu_file_sync_dir(path, err);
        if (rc == CPUU_OK && still_there(fd, path)) {
            *out = fd;
            return CPUU_OK;
        }
        close(fd);
        if (rc < 0)
            return rc;
    }
    return cpuu_fail(err, CPUU_E_BUSY, "journal '%s' keeps being replaced by another run", path);
}

/* ---- SQLite ---------------------------------------------------------------------------------- */

static cpuu_rc code_of(int sqlite_rc)
{
    switch (sqlite_rc & 0xff) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
    case SQLITE_FORMAT:
        return CPUU_E_FORMAT;
    case SQLITE_NOMEM:
        return CPUU_E_NOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return CPUU_E_BUSY;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
        return CPUU_E_ACCESS;
    case SQLITE_TOOBIG:
        return CPUU_E_TOOBIG;
    default:
        return CPUU_E_IO;
    }
}

static cpuu_rc fail(cpuu_store *s, int sqlite_rc, cpuu_error *err)
{
    cpuu_rc rc = code_of(sqlite_rc);
    if (rc == CPUU_E_FORMAT)
        return cpuu_fail(err, rc, "journal '%s' is damaged and was kept as it is (%s)", s->path,
                         sqlite3_errstr(sqlite_rc));
    return cpuu_fail(err, rc, "journal '%s': %s%s", s->path, sqlite3_errstr(sqlite_rc),
                     advice((sqlite_rc & 0xff) == SQLITE_FULL       ? ENOSPC
                            : (sqlite_rc & 0xff) == SQLITE_READONLY ? EROFS
                            : rc == CPUU_E_ACCESS                   ? EACCES
                                                                    : 0));
}

static cpuu_rc open_database(cpuu_store *s, cpuu_error *err)
{
    static const char setup[] = "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;"
                                "PRAGMA temp_store=MEMORY; PRAGMA secure_delete=ON;"
                                "PRAGMA journal_mode=DELETE; PRAGMA synchronous=EXTRA;";
    int rc = sqlite3_open_v2(
        s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(s->db, 5000); /* somebody may be listing */
    if (rc == SQLITE_OK)
        rc = sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(s->db, setup, NULL, NULL, NULL);
    return rc == SQLITE_OK ? CPUU_OK : fail(s, rc, err);
}

static void close_database(cpuu_store *s)
{
    while (s->n_kept)
        sqlite3_finalize(s->kept[--s->n_kept].q);
    sqlite3_close(s->db);
    s->db = NULL;
}

static void release(cpuu_store *s)
{
    close_database(s); /* before the descriptor: closing it drops every POSIX lock of the file */
    if (s->fd >= 0)
        close(s->fd);
    cpuu_free(s->dir);
    cpuu_free(s->path);
    memset(s, 0, sizeof(*s));
    s->fd = -1;
}

cpuu_rc cpuu_store_open(char *dir, const char *name, bool create, cpuu_store *out, cpuu_error *err)
{
    cpuu_store s = {.dir = dir, .path = cpuu_path_join(dir, name), .fd = -1};
    cpuu_rc rc = s.path ? lock_file(s.path, create, &s.fd, err) : cpuu_nomem(err);
    if (rc == CPUU_OK)
        rc = open_database(&s, err);
    if (rc < 0)
        release(&s);
    else
        *out = s;
    return rc;
}

cpuu_rc cpuu_store_peek(const char *dir, const char *name, cpuu_store *out, cpuu_error *err)
{
    struct stat st;
    cpuu_store s = {.dir = cpuu_strdup(dir), .path = cpuu_path_join(dir, name), .fd = -1};
    cpuu_rc rc = s.path && s.dir ? CPUU_OK : cpuu_nomem(err);
    if (rc == CPUU_OK)
        rc = lstat(s.path, &st) == 0 ? check_file(&st, s.path, err)
                                     : cpuu_fail_errno(err, errno, "cannot examine '%s'", s.path);
    if (rc == CPUU_OK)
        rc = open_database(&s, err);
    if (rc < 0)
        release(&s);
    else
        *out = s;
    return rc;
}

void cpuu_store_close(cpuu_store *s)
{
    if (s->db && !sqlite3_get_autocommit(s->db))
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    release(s);
}

cpuu_rc cpuu_store_unlink(cpuu_store *s, cpuu_error *err)
{
    if (!sqlite3_get_autocommit(s->db))
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    close_database(s);
    cpuu_fault_step("journal.destroy");
    /* Of a killed owner, and with nothing in it: one that mattered was played back when we opened. */
    char *side = cpuu_asprintf("%s-journal", s->path);
    cpuu_rc rc = side ? CPUU_OK : cpuu_nomem(err);
    if (rc == CPUU_OK && unlink(side) != 0 && errno != ENOENT)
        rc = cpuu_fail_errno(err, errno, "cannot remove '%s'", side);
    cpuu_free(side);
    if (rc == CPUU_OK && unlink(s->path) != 0)
        rc = cpuu_fail_errno(err, errno, "cannot remove journal '%s'", s->path);
    if (rc == CPUU_OK)
        rc = cpuu_file_sync_dir(s->path, err);
    release(s);
    return rc;
}

/* ---- statements ------------------------------------------------------------------------------ */

/* keep: SQLITE_TRANSIENT, or SQLITE_STATIC for what outlives the statement and may be large. */
static int bind(sqlite3_stmt *q, sqlite3_destructor_type keep, const char *format, va_list ap)
{
    int rc = SQLITE_OK;
    for (int i = 1; *format && rc == SQLITE_OK; i++, format++) {
        if (*format == 'i') {
            rc = sqlite3_bind_int64(q, i, va_arg(ap, int64_t));
        } else if (*format == 't') {
            rc = sqlite3_bind_text(q, i, va_arg(ap, const char *), -1, keep);
        } else {
            const void *data = va_arg(ap, const void *);
            size_t size = va_arg(ap, size_t);
            rc = sqlite3_bind_blob64(q, i, data, size, keep);
        }
    }
    return rc;
}

/* One that is in use (its row is being looked at by somebody who asks the same) is made again. */
static int prepare(cpuu_store *s, const char *sql, sqlite3_stmt **out)
{
    size_t i = 0;
    while (i < s->n_kept && s->kept[i].sql != sql)
        i++;
    if (i < s->n_kept && !s->kept[i].busy) {
        s->kept[i].busy = true;
        *out = s->kept[i].q;
        return SQLITE_OK;
    }
    int rc = sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
    if (rc == SQLITE_OK && i == s->n_kept && i < CPUU_STORE_STATEMENTS)
        s->kept[s->n_kept++] = (cpuu_statement){sql, *out, true};
    return rc;
}

void cpuu_store_done(cpuu_store *s, sqlite3_stmt *q)
{
    for (size_t i = 0; i < s->n_kept; i++) {
        if (s->kept[i].q != q)
            continue;
        sqlite3_reset(q);
        sqlite3_clear_bindings(q);
        s->kept[i].busy = false;
        return;
    }
    sqlite3_finalize(q);
}

static cpuu_rc vquery(cpuu_store *s, sqlite3_stmt **out, cpuu_error *err, const char *sql,
                      sqlite3_destructor_type keep, const char *format, va_list ap)
{
    sqlite3_stmt *q = NULL;
    int rc = prepare(s, sql, &q);
    if (rc == SQLITE_OK)
        rc = bind(q, keep, format, ap);
    if (rc != SQLITE_OK) {
        cpuu_store_done(s, q);
        return fail(s, rc, err);
    }
    *out = q;
    return CPUU_OK;
}

cpuu_rc cpuu_store_query(cpuu_store *s, sqlite3_stmt **out, cpuu_error *err, const char *sql,
                         const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    cpuu_rc rc = vquery(s, out, err, sql, SQLITE_TRANSIENT, format, ap);
    va_end(ap);
    return rc;
}

cpuu_rc cpuu_store_step(cpuu_store *s, sqlite3_stmt *q, bool *row, cpuu_error *err)
{
    int rc = sqlite3_step(q);
    *row = rc == SQLITE_ROW;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? CPUU_OK : fail(s, rc, err);
}

/* SQLite may have taken back the whole transaction with the failed statement. What was written and
 * not flushed is gone then, so nothing that relied on it may go on: the journal stops here. */
static cpuu_rc lose(cpuu_store *s, cpuu_rc rc)
{
    if (!sqlite3_get_autocommit(s->db))
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    s->lost = true;
    return rc;
}

static cpuu_rc begin(cpuu_store *s, cpuu_error *err)
{
    if (s->lost)
        return cpuu_fail(err, CPUU_E_IO, "journal '%s' could not be written earlier", s->path);
    if (!sqlite3_get_autocommit(s->db))
        return CPUU_OK;
    int rc = sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    return rc == SQLITE_OK ? CPUU_OK : fail(s, rc, err);
}

cpuu_rc cpuu_store_write(cpuu_store *s, cpuu_error *err, const char *sql, const char *format, ...)
{
    sqlite3_stmt *q = NULL;
    bool row;
    va_list ap;
    cpuu_rc rc = begin(s, err);
    if (rc < 0)
        return rc;
    if (cpuu_fault_fail("write"))
        return lose(s, cpuu_fail(err, CPUU_E_IO, "journal '%s': no space", s->path));
    va_start(ap, format);
    rc = vquery(s, &q, err, sql, SQLITE_STATIC, format, ap);
    va_end(ap);
    if (rc == CPUU_OK)
        rc = cpuu_store_step(s, q, &row, err);
    cpuu_store_done(s, q);
    return rc < 0 ? lose(s, rc) : rc;
}

cpuu_rc cpuu_store_commit(cpuu_store *s, const char *step, cpuu_error *err)
{
    if (s->lost)
        return cpuu_fail(err, CPUU_E_IO, "journal '%s' could not be written earlier", s->path);
    if (sqlite3_get_autocommit(s->db))
        return CPUU_OK;
    cpuu_fault_step(step);
    if (cpuu_fault_fail("flush"))
        return lose(s, cpuu_fail(err, CPUU_E_IO, "cannot flush journal '%s'", s->path));
    int rc = sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
    return rc == SQLITE_OK ? CPUU_OK : lose(s, fail(s, rc, err));
}

/* ---- checking -------------------------------------------------------------------------------- */

static cpuu_rc pragma(cpuu_store *s, const char *sql, int64_t *number, bool *ok, cpuu_error *err)
{
    sqlite3_stmt *q = NULL;
    bool row = false;
    cpuu_rc rc = cpuu_store_query(s, &q, err, sql, "");
    if (rc == CPUU_OK)
        rc = cpuu_store_step(s, q, &row, err);
    if (rc == CPUU_OK && row) {
        const char *text = (const char *)sqlite3_column_text(q, 0);
        *ok = text && strcmp(text, "ok") == 0;
        *number = sqlite3_column_int64(q, 0);
    }
    cpuu_store_done(s, q);
    return rc;
}

cpuu_rc cpuu_store_check(cpuu_store *s, bool *empty, cpuu_error *err)
{
    int64_t app = 0, version = 0, pages = 0, unused = 0;
    bool ok = false;
    cpuu_rc rc = pragma(s, "PRAGMA page_count", &pages, &ok, err);
    if (rc < 0)
        return rc;
    /* That read has also taken back a transaction that was killed. SQLite counts no pages in a file
     * cut very short, too; only one of no bytes was never set up. */
    struct stat st;
    if (lstat(s->path, &st) != 0)
        return cpuu_fail_errno(err, errno, "cannot examine journal '%s'", s->path);
    *empty = st.st_size == 0;
    if (*empty)
        return CPUU_OK;
    if (pages == 0)
        return fail(s, SQLITE_CORRUPT, err);
    if ((rc = pragma(s, "PRAGMA application_id", &app, &ok, err)) < 0 ||
        (rc = pragma(s, "PRAGMA user_version", &version, &ok, err)) < 0)
        return rc;
    if (app != CPUU_JOURNAL_APP)
        return cpuu_fail(err, CPUU_E_FORMAT, "'%s' is not a journal of this program", s->path);
    if (version != CPUU_JOURNAL_SCHEMA)
        return cpuu_fail(
            err, CPUU_E_UNSUPPORTED,
            "journal '%s' has format %lld, this version reads %d; use the version that "
            "wrote it",
            s->path, (long long)version, CPUU_JOURNAL_SCHEMA);
    rc = pragma(s, "PRAGMA quick_check(1)", &unused, &ok, err);
    if (rc == CPUU_OK && !ok)
        rc =
            cpuu_fail(err, CPUU_E_FORMAT, "journal '%s' is damaged and was kept as it is", s->path);
    return rc;
}

uint64_t cpuu_store_sum(uint64_t sum, const void *data, size_t size)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < 8; i++) /* the length, so that neighbours cannot run together */
        sum = (sum ^ (uint8_t)((uint64_t)size >> (8 * i))) * 0x100000001b3ull;
    for (size_t i = 0; i < size; i++)
        sum = (sum ^ p[i]) * 0x100000001b3ull;
    return sum;
}
