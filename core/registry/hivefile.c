/*
 * An offline hive as a registry. The file is locked and read once, when it is opened; apply() makes
 * the new hive in memory, writes it to a temporary file beside the old one, verifies every value
 * and every byte that no edit concerns, reads the file back and compares it with what was verified,
 * makes sure that the old file is still the one that was opened, and renames.
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
#include <unistd.h>

typedef struct hivefile {
    cpuu_reg reg;
    char *path;
    cpuu_log *log; /* borrowed, may be NULL */
    int fd;        /* the hive, locked; -1 = none */
    struct stat st;
    cpuu_hive_image image; /* what the file holds */
    cpuu_hive_head head;
    cpuu_key *root; /* the same as keys and values; NULL: not asked for since the last apply() */
    bool recovered; /* the image is not the file, but what file and log files together mean */
    bool broken;    /* an apply() failed: the state of the file must be looked at again */
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
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
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
        return cpuu_fail(err, CPUU_E_BUSY, "'%s' was changed by somebody else meanwhile", f->path);
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
        rc = cpuu_hive_recover(f->path, &f->image, &f->recovered, f->log, err);
    if (rc == CPUU_OK)
        rc = cpuu_hive_read(&f->image, &f->head, &f->root, err);
    return rc == CPUU_OK ? rc : cpuu_wrap(err, "'%s'", f->path);
}

static void close_hive(cpuu_reg *reg)
{
    hivefile *f = (hivefile *)reg;
    if (f->fd >= 0)
        close(f->fd); /* and unlocks */
    cpuu_key_free(f->root);
    cpuu_hive_image_free(&f->image);
    cpuu_free(f->path);
    cpuu_free(f);
}

/* ---- applying -------------------------------------------------------------------------------- */

/* The file is read again from the disk's point of view. */
static cpuu_rc check_written(const cpuu_replace *r, const cpuu_hive_image *image, cpuu_error *err)
{
    bool same;
    cpuu_rc rc = cpuu_hive_image_compare(image, r->fd, &same, err);
    if (rc == CPUU_OK && !same)
        rc = cpuu_fail(err, CPUU_E_IO, "the disk did not keep what was written");
    return rc;
}

static cpuu_rc check_original(const hivefile *f, int dir, cpuu_error *err)
{
    bool same = true;
    cpuu_rc rc = check_path(f, dir, err);
    if (rc == CPUU_OK && !f->recovered)
        rc = cpuu_hive_image_compare(&f->image, f->fd, &same, err);
    if (rc == CPUU_OK && !same)
        rc = cpuu_fail(err, CPUU_E_BUSY, "'%s' was changed by somebody else meanwhile", f->path);
    return rc;
}

/* The object now stands for the new file. Takes over the image. */
static void adopt(hivefile *f, int fd, const struct stat *st, cpuu_hive_image *image)
{
    close(f->fd);
    f->fd = fd;
    f->st = *st;
    cpuu_key_free(f->root);
    f->root = NULL;
    cpuu_hive_image_free(&f->image);
    f->image = *image;
    cpuu_hive_image_init(image);
    f->head.bins_size = cpuu_le32(f->image.data + 40);
    f->recovered = false;
}

/* The disk writes meanwhile. */
static cpuu_rc verify(const hivefile *f, const cpuu_replace *r, const cpuu_hive_image *image,
                      const cpuu_key *expected, cpuu_error *err)
{
    sync_file_range(r->fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* a hint: the flush is yet to come */
    cpuu_rc rc = cpuu_hive_verify(&f->image, image, expected, err);
    if (rc == CPUU_OK || rc == CPUU_E_NOMEM)
        return rc;
    return cpuu_wrap(err, "checking the new hive for '%s', which was left as it is", f->path);
}

/* Everything from the new image to the new file. On success *fd is the new file, locked. */
static cpuu_rc write_hive(hivefile *f, const cpuu_hive_image *image, const cpuu_key *expected,
                          int *fd, struct stat *st, cpuu_error *err)
{
    static const cpuu_replace_points points = {"hive.write", "hive.flush", "hive.rename",
                                               "hive.dirsync"};
    cpuu_replace r;
    cpuu_rc rc = cpuu_replace_begin(&r, f->path, 0600, true, &points, err);
    if (rc != CPUU_OK)
        return rc;
    int copy = fcntl(r.fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        rc = cpuu_fail_errno(err, errno, "cannot replace '%s'", f->path);
    if (rc == CPUU_OK)
        rc = lock(r.fd, f->path, err);
    if (rc == CPUU_OK)
        rc = cpuu_replace_write(&r, image->data, image->size, err);
    if (rc == CPUU_OK)
        rc = verify(f, &r, image, expected, err);
    if (rc == CPUU_OK)
        rc = cpuu_replace_flush(&r, err);
    if (rc == CPUU_OK)
        rc = check_written(&r, image, err);
    if (rc == CPUU_OK)
        rc = check_original(f, r.dir, err);
    if (rc == CPUU_OK)
        rc = cpuu_replace_rename(&r, err);
    if (rc == CPUU_OK && fstat(r.fd, st) != 0)
        rc = cpuu_fail_errno(err, errno, "cannot examine '%s'", f->path);
    cpuu_replace_end(&r);
    if (rc == CPUU_OK)
        *fd = copy;
    else if (copy >= 0)
        close(copy);
    return rc;
}

static cpuu_rc load(hivefile *f, cpuu_error *err)
{
    return f->root ? CPUU_OK : cpuu_hive_load(f->image.data, &f->head, &f->root, err);
}

static cpuu_rc changed_tree(hivefile *f, const cpuu_edits *edits, cpuu_key **out, cpuu_error *err)
{
    cpuu_key *changed;
    cpuu_rc rc = load(f, err);
    if (rc == CPUU_OK)
        rc = cpuu_tree_changed(f->root, edits, &changed, err);
    if (rc != CPUU_OK)
        return rc;
    cpuu_hive_settle(f->root, changed);
    rc = cpuu_hive_check_change(&f->head, f->root, changed, err);
    if (rc == CPUU_OK)
        *out = changed;
    else
        cpuu_key_free(changed);
    return rc;
}

static cpuu_rc hive_check(cpuu_reg *reg, const cpuu_edits *edits, cpuu_error *err)
{
    cpuu_key *changed;
    cpuu_rc rc = changed_tree((hivefile *)reg, edits, &changed, err);
    if (rc == CPUU_OK)
        cpuu_key_free(changed);
    return rc;
}

static cpuu_rc hive_apply(cpuu_reg *reg, const cpuu_edits *edits, cpuu_error *err)
{
    hivefile *f = (hivefile *)reg;
    cpuu_key *changed;
    cpuu_hive_image image;
    struct stat st;
    int fd;
    if (f->broken)
        return cpuu_fail(err, CPUU_E_FAILED, "'%s' must be opened again after a failure", f->path);
    f->broken = true;
    cpuu_rc rc = changed_tree(f, edits, &changed, err);
    if (rc != CPUU_OK)
        return rc;
    bool nothing = cpuu_hive_equal(f->root, changed);
    cpuu_hive_image_init(&image);
    if (!nothing)
        rc = cpuu_hive_change(&f->image, f->root, changed, &image, err);
    if (rc == CPUU_OK && !nothing) {
        cpuu_fault_step("hive.image");
        rc = write_hive(f, &image, changed, &fd, &st, err);
    }
    cpuu_key_free(changed);
    if (rc == CPUU_OK && !nothing) {
        adopt(f, fd, &st, &image);
        cpuu_logf(f->log, CPUU_LV_TRACE, "Registry: %zu edits written to '%s' and verified",
                  edits->count, f->path);
    }
    f->broken = rc != CPUU_OK;
    cpuu_hive_image_free(&image);
    return rc;
}

/* ---- the backend ----------------------------------------------------------------------------- */

static cpuu_rc hive_keys(cpuu_reg *reg, const char *key, cpuu_reg_names *out, cpuu_error *err)
{
    hivefile *f = (hivefile *)reg;
    cpuu_rc rc = load(f, err);
    return rc == CPUU_OK ? cpuu_tree_keys(f->root, key, out, err) : rc;
}

static cpuu_rc hive_values(cpuu_reg *reg, const char *key, cpuu_reg_values *out, cpuu_error *err)
{
    hivefile *f = (hivefile *)reg;
    cpuu_rc rc = load(f, err);
    return rc == CPUU_OK ? cpuu_tree_values(f->root, key, out, err) : rc;
}

static const char *hive_path(const cpuu_reg *reg)
{
    return ((const hivefile *)reg)->path;
}

static const cpuu_reg_ops ops = {hive_keys, hive_values, hive_check,
                                 hive_apply, hive_path, close_hive};

cpuu_rc cpuu_reg_open_hive(const char *path, cpuu_log *log, cpuu_reg **out, cpuu_error *err)
{
    hivefile *f = cpuu_calloc(1, sizeof(*f));
    if (!f)
        return cpuu_nomem(err);
    f->fd = -1;
    f->log = log;
    f->reg.ops = &ops;
    cpuu_hive_image_init(&f->image);
    f->path = cpuu_strdup(path);
    f->reg.location = f->path;
    cpuu_rc rc = f->path ? read_hive(f, err) : cpuu_nomem(err);
    if (rc == CPUU_OK)
        *out = &f->reg;
    else
        close_hive(&f->reg);
    return rc;
}
