/*
 * An offline hive as a registry. The file is locked and read once, when it is opened. apply() writes
 * the new hive to a temporary file beside the old one, reads it back, verifies every edited key and
 * every byte that no edit concerns, compares the old file with what was opened, flushes the new one,
 * looks whether it is still what was verified, and renames.
 *
 * What remains: somebody who ignores the lock and writes to the old file in the instant between the
 * last look and the rename loses that write. Windows is not such a somebody: the hive is offline.
 */
#include <config.h>

#include "registry/hive.h"

#include "base/fault.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#define WORTH_A_REST ((size_t)1 << 20)

typedef struct hivefile {
    cpuu_reg reg;
    char *path;
    cpuu_log *log; /* borrowed, may be NULL */
    int fd;        /* the hive, locked; -1 = none */
    struct stat st;
    cpuu_hive_image image; /* what the file holds */
    cpuu_hive_image found; /* the file, when it is dirty: the image is that and its log files */
    cpuu_hive_variant now; /* the file, when it was written since and the image is still the old one */
    cpuu_hive_head head;
    cpuu_hive_cells cells;
    bool broken;    /* an apply() failed: the state of the file must be looked at again */
    bool resting;   /* image and cells are given back; the file can be read again */
    uint64_t key[2], digest; /* of a resting image */
} hivefile;

/* ---- opening --------------------------------------------------------------------------------- */

/* One process at a time, readers included: a reader may become a writer. */
static cpuu_rc lock(int fd, const char *path, cpuu_error *err)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return CPUU_OK;
    if (errno == EWOULDBLOCK)
        return cpuu_fail(err, CPUU_E_BUSY, "'%s' is in use by another process", path);
    return cpuu_fail_errno(err, errno, "cannot lock '%s'", path);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static cpuu_rc changed_meanwhile(const hivefile *f, cpuu_error *err)
{
    return cpuu_fail(err, CPUU_E_BUSY, "'%s' was changed by somebody else meanwhile", f->path);
}

/* The path must still lead to what was locked: the process that held the lock before may have
 * replaced the file. */
static cpuu_rc check_path(const hivefile *f, int dir, cpuu_error *err)
{
    struct stat now;
    const char *name = dir == AT_FDCWD ? f->path : cpuu_path_base(f->path);
    if (fstatat(dir, name, &now, AT_SYMLINK_NOFOLLOW) != 0)
        return cpuu_fail_errno(err, errno, "cannot examine '%s'", f->path);
    if (!same_file(&f->st, &now) || now.st_nlink != 1 || !S_ISREG(now.st_mode))
        return changed_meanwhile(f, err);
    return CPUU_OK;
}

static cpuu_rc read_hive(hivefile *f, cpuu_error *err)
{
    cpuu_rc rc = cpuu_file_open(f->path, &f->fd, &f->st, err);
    if (rc == CPUU_OK)
        rc = lock(f->fd, f->path, err);
    if (rc == CPUU_OK)
        rc = check_path(f, AT_FDCWD, err);
    if (rc == CPUU_OK)
        rc = cpuu_hive_image_read(&f->image, f->fd, err);
    if (rc == CPUU_OK)
        rc = cpuu_hive_recover(f->path, &f->image, &f->found, f->log, err);
    if (rc == CPUU_OK)
        rc = cpuu_hive_check(&f->image, &f->head, &f->cells, err);
    /* What the system says about a file names it already. */
    return rc == CPUU_OK || (err && strstr(err->text, f->path)) ? rc
                                                                 : cpuu_wrap(err, "'%s'", f->path);
}

static void close_hive(cpuu_reg *reg)
{
    hivefile *f = (hivefile *)reg;
    if (f->fd >= 0)
        close(f->fd); /* and unlocks */
    cpuu_hive_cells_free(&f->cells);
    cpuu_hive_variant_free(&f->now);
    cpuu_hive_image_free(&f->image);
    cpuu_hive_image_free(&f->found);
    cpuu_free(f->path);
    cpuu_free(f);
}

/* ---- resting --------------------------------------------------------------------------------- */

/* Makes the image what was written; without the memory for that, the object can only be closed. */
static void catch_up(hivefile *f)
{
    if (f->now.data && cpuu_hive_image_update(&f->image, &f->now, NULL) != CPUU_OK)
        cpuu_hive_image_free(&f->image);
    cpuu_hive_variant_free(&f->now);
}

/* What was recovered from log files is nowhere else. */
static void hive_rest(cpuu_reg *reg)
{
    hivefile *f = (hivefile *)reg;
    catch_up(f);
    if (f->image.size < WORTH_A_REST || f->found.data || f->broken ||
        getrandom(f->key, sizeof(f->key), 0) != sizeof(f->key))
        return;
    f->digest = cpuu_hive_digest(f->image.data, f->image.size, f->key);
    f->resting = true;
    cpuu_hive_image_free(&f->image);
    cpuu_hive_cells_free(&f->cells);
}

/* The same hive again: nothing in it is trusted because it was sound before. */
static cpuu_rc read_again(hivefile *f, cpuu_error *err)
{
    cpuu_hive_head head;
    cpuu_rc rc = check_path(f, AT_FDCWD, err);
    cpuu_mem_trim();
    if (rc == CPUU_OK)
        rc = cpuu_hive_image_read(&f->image, f->fd, err);
    if (rc == CPUU_OK && cpuu_hive_digest(f->image.data, f->image.size, f->key) != f->digest)
        rc = changed_meanwhile(f, err);
    if (rc == CPUU_OK)
        rc = cpuu_hive_check(&f->image, &head, &f->cells, err);
    if (rc != CPUU_OK)
        cpuu_hive_image_free(&f->image);
    return rc;
}

/* After a failure nothing is written any more: the caller may have taken a key for missing. */
static cpuu_rc wake(hivefile *f, cpuu_error *err)
{
    if (f->resting && !f->broken) {
        cpuu_rc rc = read_again(f, err);
        f->broken = rc != CPUU_OK;
        if (rc != CPUU_OK)
            return cpuu_wrap(err, "reading '%s' again", f->path);
        f->resting = false;
    }
    catch_up(f);
    return CPUU_OK;
}

/* ---- applying -------------------------------------------------------------------------------- */

/* The old and the new tree, as far as edits concern them. */
typedef struct change {
    cpuu_key *from, *to;
} change;

static void end_change(change *c)
{
    cpuu_key_free(c->to); /* it shares keys with the other */
    cpuu_key_free(c->from);
    *c = (change){0};
}

static cpuu_rc usable(const hivefile *f, cpuu_error *err)
{
    if (f->image.data && !f->broken)
        return CPUU_OK;
    return cpuu_fail(err, CPUU_E_FAILED, "'%s' must be opened again after a failure", f->path);
}

/* end_change is owed on success. */
static cpuu_rc plan(hivefile *f, const cpuu_edits *edits, change *out, cpuu_error *err)
{
    change c = {0};
    cpuu_rc rc = wake(f, err);
    if (rc == CPUU_OK)
        rc = usable(f, err);
    if (rc == CPUU_OK)
        rc = cpuu_hive_load(f->image.data, &f->head, edits, &c.from, err);
    if (rc == CPUU_OK)
        rc = cpuu_tree_changed(c.from, edits, &c.to, err);
    if (rc == CPUU_OK) {
        cpuu_hive_settle(c.from, c.to);
        rc = cpuu_hive_check_change(&f->head, c.from, c.to, err);
    }
    if (rc == CPUU_OK)
        *out = c;
    else
        end_change(&c);
    return rc;
}

/* Writes to the file, which nobody else can open yet. */
static cpuu_rc write_changed(const hivefile *f, const change *c, const cpuu_replace *r,
                             cpuu_error *err)
{
    cpuu_fault_step(r->points->write);
    if (cpuu_fault_fail("write"))
        return cpuu_fail_errno(err, ENOSPC, "cannot write '%s'", f->path);
    cpuu_rc rc = cpuu_hive_change(&f->image, &f->cells, c->from, c->to, r->fd, err);
    if (rc == CPUU_OK || rc == CPUU_E_NOMEM)
        return rc;
    return cpuu_wrap(err, "changing '%s', which was left as it is", f->path);
}

/* What is done to the file from now on shows in its times. */
static cpuu_rc check_original(const hivefile *f, const cpuu_replace *r, cpuu_error *err)
{
    bool same;
    cpuu_rc rc = check_path(f, r->dir, err);
    if (rc == CPUU_OK)
        rc = cpuu_hive_image_compare(f->found.data ? &f->found : &f->image, f->fd, &same, err);
    if (rc == CPUU_OK && !same)
        rc = changed_meanwhile(f, err);
    return rc;
}

/* What the new file holds. */
static cpuu_rc check_written(const hivefile *f, const change *c, const cpuu_replace *r,
                             cpuu_hive_variant *now, cpuu_hive_cells *cells, cpuu_error *err)
{
    cpuu_rc rc = cpuu_hive_variant_read(now, &f->image, r->fd, err);
    if (rc == CPUU_OK)
        rc = cpuu_hive_verify(&f->image, &f->cells, now, c->to, cells, err);
    if (rc == CPUU_OK || rc == CPUU_E_NOMEM)
        return rc;
    return cpuu_wrap(err, "checking the new hive for '%s', which was left as it is", f->path);
}

/* Flushes it and looks whether it holds the same: the pages that are not of the old hive, and all
 * of them when the times of the file changed, as they do when somebody writes to it (or when a
 * file system of the network sets them at the flush). */
static cpuu_rc flush_and_check(const hivefile *f, cpuu_replace *r, const cpuu_hive_variant *now,
                               cpuu_error *err)
{
    struct stat before, after;
    bool same;
    if (fstat(r->fd, &before) != 0)
        return cpuu_fail_errno(err, errno, "cannot examine the new '%s'", f->path);
    cpuu_rc rc = cpuu_replace_flush(r, err);
    if (rc != CPUU_OK)
        return rc;
    if (fstat(r->fd, &after) != 0)
        return cpuu_fail_errno(err, errno, "cannot examine the new '%s'", f->path);
    bool all = !same_file(&before, &after);
    rc = cpuu_hive_variant_compare(now, &f->image, r->fd, all, &same, err);
    if (rc == CPUU_OK && !same)
        rc = cpuu_fail(err, CPUU_E_IO, "the disk did not keep what was written for '%s'", f->path);
    return rc;
}

/* The object now stands for the new file. Takes over what is known of it. */
static void adopt(hivefile *f, int fd, const struct stat *st, cpuu_hive_variant *now,
                  cpuu_hive_cells *cells)
{
    close(f->fd);
    f->fd = fd;
    f->st = *st;
    cpuu_hive_cells_free(&f->cells);
    f->cells = *cells;
    *cells = (cpuu_hive_cells){0};
    f->head.bins_size = f->cells.size;
    cpuu_hive_image_free(&f->found);
    f->now = *now;
    *now = (cpuu_hive_variant){0};
}

/* Everything up to the rename. The checks before the flush are made while the disk writes. The
 * change is not needed any more then and is ended. */
static cpuu_rc make_hive(const hivefile *f, change *c, cpuu_replace *r,
                         cpuu_hive_variant *now, cpuu_hive_cells *cells, cpuu_error *err)
{
    cpuu_rc rc = lock(r->fd, f->path, err);
    if (rc == CPUU_OK)
        rc = write_changed(f, c, r, err);
    if (rc == CPUU_OK) {
        cpuu_fault_step("hive.image");
        rc = check_written(f, c, r, now, cells, err);
    }
    if (rc == CPUU_OK)
        rc = check_original(f, r, err);
    if (rc == CPUU_OK)
        rc = cpuu_replace_inherit(r, err);
    end_change(c);
    if (rc == CPUU_OK)
        rc = flush_and_check(f, r, now, err);
    return rc == CPUU_OK ? check_path(f, r->dir, err) : rc;
}

/* Everything from the edited keys to the new file. */
static cpuu_rc write_hive(hivefile *f, change *c, cpuu_error *err)
{
    static const cpuu_replace_points points = {"hive.write", "hive.flush", "hive.rename",
                                               "hive.dirsync"};
    cpuu_replace r;
    struct stat st;
    cpuu_hive_variant now = {0};
    cpuu_hive_cells cells = {0};
    cpuu_rc rc = cpuu_replace_begin_locked(&r, f->path, &points, err);
    if (rc != CPUU_OK)
        return rc;
    int fd = fcntl(r.fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        rc = cpuu_fail_errno(err, errno, "cannot replace '%s'", f->path);
    if (rc == CPUU_OK)
        rc = make_hive(f, c, &r, &now, &cells, err);
    if (rc == CPUU_OK)
        rc = cpuu_replace_rename(&r, err);
    if (rc == CPUU_OK && fstat(fd, &st) != 0)
        rc = cpuu_fail_errno(err, errno, "cannot examine '%s'", f->path);
    cpuu_replace_end(&r);
    if (rc == CPUU_OK)
        adopt(f, fd, &st, &now, &cells);
    else if (fd >= 0)
        close(fd);
    cpuu_hive_variant_free(&now);
    cpuu_hive_cells_free(&cells);
    return rc;
}

static cpuu_rc hive_check(cpuu_reg *reg, const cpuu_edits *edits, cpuu_error *err)
{
    change c;
    cpuu_rc rc = plan((hivefile *)reg, edits, &c, err);
    if (rc == CPUU_OK)
        end_change(&c);
    return rc;
}

static cpuu_rc hive_apply(cpuu_reg *reg, const cpuu_edits *edits, cpuu_error *err)
{
    hivefile *f = (hivefile *)reg;
    change c;
    cpuu_rc rc = plan(f, edits, &c, err);
    f->broken = true;
    if (rc != CPUU_OK)
        return rc;
    bool nothing = cpuu_hive_equal(c.from, c.to);
    if (!nothing)
        rc = write_hive(f, &c, err);
    end_change(&c);
    if (rc == CPUU_OK && !nothing)
        cpuu_logf(f->log, CPUU_LV_TRACE, "Registry: %zu edits written to '%s' and verified",
                  edits->count, f->path);
    f->broken = rc != CPUU_OK;
    return rc;
}

/* ---- the backend ----------------------------------------------------------------------------- */

static cpuu_rc find_key(hivefile *f, const char *key, uint32_t *at, cpuu_error *err)
{
    cpuu_rc rc = wake(f, err);
    if (rc == CPUU_OK && !f->image.data)
        rc = usable(f, err);
    return rc == CPUU_OK ? cpuu_hive_find_key(f->image.data, key, at, err) : rc;
}

static cpuu_rc hive_keys(cpuu_reg *reg, const char *key, cpuu_reg_names *out, cpuu_error *err)
{
    hivefile *f = (hivefile *)reg;
    uint32_t at;
    cpuu_rc rc = find_key(f, key, &at, err);
    return rc == CPUU_OK ? cpuu_hive_names(f->image.data, at, out, err) : rc;
}

static cpuu_rc hive_values(cpuu_reg *reg, const char *key, cpuu_reg_values *out, cpuu_error *err)
{
    hivefile *f = (hivefile *)reg;
    uint32_t at;
    cpuu_rc rc = find_key(f, key, &at, err);
    return rc == CPUU_OK ? cpuu_hive_values(f->image.data, &f->head, at, out, err) : rc;
}

static const char *hive_path(const cpuu_reg *reg)
{
    return ((const hivefile *)reg)->path;
}

static const cpuu_reg_ops ops = {hive_keys, hive_values, hive_check,
                                 hive_apply, hive_path, hive_rest, close_hive};

cpuu_rc cpuu_reg_open_hive(const char *path, cpuu_log *log, cpuu_reg **out, cpuu_error *err)
{
    hivefile *f = cpuu_calloc(1, sizeof(*f));
    if (!f)
        return cpuu_nomem(err);
    f->fd = -1;
    f->log = log;
    f->reg.ops = &ops;
    cpuu_hive_image_init(&f->image);
    cpuu_hive_image_init(&f->found);
    f->path = cpuu_strdup(path);
    f->reg.location = f->path;
    cpuu_rc rc = f->path ? read_hive(f, err) : cpuu_nomem(err);
    if (rc == CPUU_OK)
        *out = &f->reg;
    else
        close_hive(&f->reg);
    return rc;
}
