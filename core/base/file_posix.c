/* Files on POSIX systems; see file.h. */
#include "base/file.h"

#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

char *cpuu_path_join(const char *folder, const char *name)
{
    size_t n = strlen(folder);
    return cpuu_asprintf(n && folder[n - 1] == '/' ? "%s%s" : "%s/%s", folder, name);
}

const char *cpuu_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *cpuu_path_dir(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return cpuu_strdup(".");
    return cpuu_strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* Opens the folder of path; every later step is relative to it, so that nobody can swap it. */
static int open_dir_of(const char *path, cpuu_error *err)
{
    char *dir = cpuu_path_dir(path);
    if (!dir) {
        cpuu_nomem(err);
        return -1;
    }
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        cpuu_fail_errno(err, errno, "cannot open folder '%s'", dir);
    cpuu_free(dir);
    return fd;
}

static cpuu_rc check_plain(const struct stat *st, const char *path, cpuu_error *err)
{
    if (!S_ISREG(st->st_mode))
        return cpuu_fail(err, CPUU_E_UNSUPPORTED, "'%s' is not a regular file", path);
    if (st->st_nlink > 1)
        return cpuu_fail(err, CPUU_E_UNSUPPORTED,
                         "'%s' has several hard links; replacing it would leave the others behind",
                         path);
    return CPUU_OK;
}

cpuu_rc cpuu_file_read_fd(int fd, const char *path, cpuu_buf *out, cpuu_error *err)
{
    uint8_t block[65536];
    for (;;) {
        ssize_t n = read(fd, block, sizeof(block));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return cpuu_fail_errno(err, errno, "cannot read '%s'", path);
        if (n == 0)
            return CPUU_OK;
        if (!cpuu_buf_add(out, block, (size_t)n)) {
            if (out->size + (size_t)n > out->max)
                return cpuu_fail(err, CPUU_E_TOOBIG, "'%s' is larger than %zu bytes", path,
                                 out->max);
            return cpuu_nomem(err);
        }
    }
}

static cpuu_rc open_regular(const char *path, int *out, struct stat *st, cpuu_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ELOOP)
        return cpuu_fail(err, CPUU_E_UNSUPPORTED, "'%s' is a symbolic link; name the file itself",
                         path);
    if (fd < 0)
        return cpuu_fail_errno(err, errno, "cannot open '%s'", path);
    cpuu_rc rc = CPUU_OK;
    if (fstat(fd, st) != 0)
        rc = cpuu_fail_errno(err, errno, "cannot examine '%s'", path);
    else if (!S_ISREG(st->st_mode))
        rc = cpuu_fail(err, CPUU_E_UNSUPPORTED, "'%s' is not a regular file", path);
    if (rc == CPUU_OK)
        *out = fd;
    else
        close(fd);
    return rc;
}

cpuu_rc cpuu_file_open(const char *path, int *fd, struct stat *st, cpuu_error *err)
{
    cpuu_rc rc = open_regular(path, fd, st, err);
    if (rc != CPUU_OK)
        return rc;
    rc = check_plain(st, path, err);
    if (rc != CPUU_OK)
        close(*fd);
    return rc;
}

cpuu_rc cpuu_file_read(const char *path, cpuu_buf *out, struct stat *st, cpuu_error *err)
{
    struct stat local;
    int fd;
    cpuu_rc rc = open_regular(path, &fd, st ? st : &local, err);
    if (rc != CPUU_OK)
        return rc;
    rc = cpuu_file_read_fd(fd, path, out, err);
    close(fd);
    return rc;
}

static cpuu_rc flush(int fd, const char *path, const char *step, cpuu_error *err)
{
    cpuu_fault_step(step);
    if (cpuu_fault_fail("flush")) {
        errno = EIO;
        return cpuu_fail_errno(err, errno, "cannot flush '%s' to disk", path);
    }
    if (fsync(fd) != 0)
        return cpuu_fail_errno(err, errno, "cannot flush '%s' to disk", path);
    return CPUU_OK;
}

static cpuu_rc copy_xattr(int from, int to, const char *name, const char *path, cpuu_error *err)
{
    char value[65536]; /* XATTR_SIZE_MAX */
    ssize_t size = fgetxattr(from, name, value, sizeof(value));
    if (size < 0 || fsetxattr(to, name, value, (size_t)size, 0) != 0)
        return cpuu_fail_errno(err, errno,
                               "cannot keep extended attribute '%s' of '%s', which may hold its "
                               "access rights", name, path);
    return CPUU_OK;
}

/* The folder may give new files an access list that the old file has not got. */
static cpuu_rc drop_inherited(int from, int to, const char *path, cpuu_error *err)
{
    static const char acl[] = "system.posix_acl_access";
    if (fgetxattr(from, acl, NULL, 0) >= 0 || errno != ENODATA || fgetxattr(to, acl, NULL, 0) < 0)
        return CPUU_OK;
    if (fremovexattr(to, acl) != 0)
        return cpuu_fail_errno(err, errno, "cannot keep the access rights of '%s'", path);
    return CPUU_OK;
}

/* Copies every extended attribute. Windows permissions and the hidden/system bits of a mounted disk
 * are attributes that the drivers answer for but do not list: ntfs-3g (system.ntfs_acl,
 * system.ntfs_attrib), ntfs3 (system.ntfs_security, system.ntfs_attrib), cifs (system.cifs_acl). */
static cpuu_rc copy_xattrs(int from, int to, const char *path, cpuu_error *err)
{
    static const char *const unlisted[] = {"system.ntfs_acl", "system.ntfs_security",
                                           "system.ntfs_attrib", "system.cifs_acl"};
    char names[65536]; /* XATTR_LIST_MAX */
    ssize_t n = flistxattr(from, names, sizeof(names));
    if (n < 0 && (errno == ENOTSUP || errno == ENOSYS))
        n = 0;
    if (n < 0)
        return cpuu_fail_errno(err, errno, "cannot list the extended attributes of '%s'", path);
    cpuu_rc rc = CPUU_OK;
    for (char *name = names; rc == CPUU_OK && name < names + n; name += strlen(name) + 1)
        rc = copy_xattr(from, to, name, path, err);
    for (size_t i = 0; rc == CPUU_OK && i < sizeof(unlisted) / sizeof(*unlisted); i++) {
        if (fgetxattr(from, unlisted[i], NULL, 0) > 0)
            rc = copy_xattr(from, to, unlisted[i], path, err);
    }
    return rc == CPUU_OK ? drop_inherited(from, to, path, err) : rc;
}

/* Owner first: a change of owner may take attributes and mode bits away. What is right already is
 * left alone, because not every file system can change it. */
static cpuu_rc copy_identity(int old, const struct stat *st, int fd, const char *path,
                             cpuu_error *err)
{
    struct stat now;
    if (fstat(fd, &now) != 0)
        return cpuu_fail_errno(err, errno, "cannot examine the new '%s'", path);
    if ((now.st_uid != st->st_uid || now.st_gid != st->st_gid) &&
        fchown(fd, st->st_uid, st->st_gid) != 0)
        return cpuu_fail_errno(err, errno, "cannot keep the owner of '%s'", path);
    cpuu_rc rc = copy_xattrs(old, fd, path, err);
    if (rc != CPUU_OK)
        return rc;
    if (fstat(fd, &now) != 0)
        return cpuu_fail_errno(err, errno, "cannot examine the new '%s'", path);
    if ((now.st_mode & 07777) != (st->st_mode & 07777) && fchmod(fd, st->st_mode & 07777) != 0)
        return cpuu_fail_errno(err, errno, "cannot keep the mode of '%s'", path);
    return CPUU_OK;
}

/* A file that root makes in a user's folder is the user's, who could not open it otherwise. */
static cpuu_rc follow_folder(int dir, int fd, const char *path, cpuu_error *err)
{
    struct stat st;
    if (geteuid() != 0)
        return CPUU_OK;
    if (fstat(dir, &st) != 0)
        return cpuu_fail_errno(err, errno, "cannot examine the folder of '%s'", path);
    if (st.st_uid != 0 && fchown(fd, st.st_uid, st.st_gid) != 0)
        return cpuu_fail_errno(err, errno, "cannot give '%s' to the owner of its folder", path);
    return CPUU_OK;
}

/* Gives the new file the identity of the old one, if there is one. */
static cpuu_rc take_over(int dir, const char *name, int fd, const char *path, cpuu_error *err)
{
    int old = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (old < 0 && errno == ENOENT)
        return follow_folder(dir, fd, path, err);
    if (old < 0 && errno == ELOOP)
        return cpuu_fail(err, CPUU_E_UNSUPPORTED, "'%s' is a symbolic link; name the file itself",
                         path);
    if (old < 0)
        return cpuu_fail_errno(err, errno, "cannot open '%s'", path);
    struct stat st;
    cpuu_rc rc = CPUU_OK;
    if (fstat(old, &st) != 0)
        rc = cpuu_fail_errno(err, errno, "cannot examine '%s'", path);
    if (rc == CPUU_OK)
        rc = check_plain(&st, path, err);
    if (rc == CPUU_OK)
        rc = copy_identity(old, &st, fd, path, err);
    close(old);
    return rc;
}

/* ---- replacing a file ------------------------------------------------------------------------ */

static cpuu_rc temp_name(cpuu_replace *r, bool locked, cpuu_error *err)
{
    uint8_t random[16];
    char hex[33];
    if (locked) {
        int n = snprintf(r->temp, sizeof(r->temp), ".cpuu-%s.new", cpuu_path_base(r->path));
        return n < (int)sizeof(r->temp)
                   ? CPUU_OK
                   : cpuu_fail(err, CPUU_E_UNSUPPORTED, "the name of '%s' is too long", r->path);
    }
    if (!cpuu_guid_random(random))
        return cpuu_fail(err, CPUU_E_FAILED, "the system gives no random numbers");
    cpuu_hex(hex, random, sizeof(random));
    snprintf(r->temp, sizeof(r->temp), ".cpuu-%s", hex);
    return CPUU_OK;
}

static cpuu_rc create_temp(cpuu_replace *r, const char *path, mode_t mode, bool locked,
                           const cpuu_replace_points *points, cpuu_error *err)
{
    *r = (cpuu_replace){.path = path, .points = points};
    cpuu_rc rc = temp_name(r, locked, err);
    if (rc != CPUU_OK)
        return rc;
    r->dir = open_dir_of(path, err);
    if (r->dir < 0)
        return err ? err->rc : CPUU_E_IO;
    if (locked)
        unlinkat(r->dir, r->temp, 0);
    r->fd = openat(r->dir, r->temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (r->fd < 0) {
        rc = cpuu_fail_errno(err, errno, "cannot create a temporary file beside '%s'", path);
        close(r->dir);
    }
    return rc;
}

cpuu_rc cpuu_replace_begin(cpuu_replace *r, const char *path, mode_t mode,
                           const cpuu_replace_points *points, cpuu_error *err)
{
    cpuu_rc rc = create_temp(r, path, mode, false, points, err);
    if (rc != CPUU_OK)
        return rc;
    rc = cpuu_replace_inherit(r, err);
    if (rc != CPUU_OK)
        cpuu_replace_end(r);
    return rc;
}

cpuu_rc cpuu_replace_begin_locked(cpuu_replace *r, const char *path,
                                  const cpuu_replace_points *points, cpuu_error *err)
{
    return create_temp(r, path, 0600, true, points, err);
}

cpuu_rc cpuu_replace_inherit(cpuu_replace *r, cpuu_error *err)
{
    return take_over(r->dir, cpuu_path_base(r->path), r->fd, r->path, err);
}

cpuu_rc cpuu_replace_write(cpuu_replace *r, const void *data, size_t size, cpuu_error *err)
{
    const uint8_t *p = data;
    while (size) {
        cpuu_fault_step(r->points->write);
        if (cpuu_fault_fail("write")) {
            errno = ENOSPC;
            return cpuu_fail_errno(err, errno, "cannot write '%s'", r->path);
        }
        ssize_t n = write(r->fd, p, size > 1 << 20 ? 1 << 20 : size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return cpuu_fail_errno(err, errno, "cannot write '%s'", r->path);
        p += n;
        size -= (size_t)n;
    }
    return CPUU_OK;
}

cpuu_rc cpuu_replace_flush(cpuu_replace *r, cpuu_error *err)
{
    return flush(r->fd, r->path, r->points->flush, err);
}

cpuu_rc cpuu_replace_rename(cpuu_replace *r, cpuu_error *err)
{
    cpuu_fault_step(r->points->rename);
    if (cpuu_fault_fail("write")) {
        errno = EIO;
        return cpuu_fail_errno(err, errno, "cannot replace '%s'", r->path);
    }
    if (renameat(r->dir, r->temp, r->dir, cpuu_path_base(r->path)) != 0)
        return cpuu_fail_errno(err, errno, "cannot replace '%s'", r->path);
    r->temp[0] = 0;
    return flush(r->dir, r->path, r->points->dirsync, err);
}

void cpuu_replace_end(cpuu_replace *r)
{
    if (r->temp[0])
        unlinkat(r->dir, r->temp, 0);
    close(r->fd);
    close(r->dir);
}

void cpuu_replace_sweep(const char *path)
{
    cpuu_replace r = {.path = path};
    int dir = temp_name(&r, true, NULL) == CPUU_OK ? open_dir_of(path, NULL) : -1;
    if (dir < 0)
        return;
    unlinkat(dir, r.temp, 0);
    close(dir);
}

cpuu_rc cpuu_file_write(const char *path, const void *data, size_t size, mode_t mode,
                        cpuu_error *err)
{
    static const cpuu_replace_points points = {"file.write", "file.flush", "file.rename",
                                               "file.dirsync"};
    cpuu_replace r;
    cpuu_rc rc = cpuu_replace_begin(&r, path, mode, &points, err);
    if (rc != CPUU_OK)
        return rc;
    rc = cpuu_replace_write(&r, data, size, err);
    if (rc == CPUU_OK)
        rc = cpuu_replace_flush(&r, err);
    if (rc == CPUU_OK)
        rc = cpuu_replace_rename(&r, err);
    cpuu_replace_end(&r);
    return rc;
}

/* ---- copying --------------------------------------------------------------------------------- */

#define COPY_CHUNK (1u << 20)

static cpuu_rc check_room(int dir, off_t need, const char *path, cpuu_error *err)
{
    struct statvfs fs;
    if (fstatvfs(dir, &fs) != 0)
        return cpuu_fail_errno(err, errno, "cannot ask for the room beside '%s'", path);
    if ((unsigned long long)fs.f_bavail * fs.f_frsize >= (unsigned long long)need)
        return CPUU_OK;
    return cpuu_fail(err, CPUU_E_TOOBIG, "'%s' needs %lld bytes and there is no room for them", path,
                     (long long)need);
}

static cpuu_rc copy_bytes(int from, cpuu_replace *r, uint8_t *chunk, const char *path,
                          cpuu_error *err)
{
    for (;;) {
        ssize_t n = read(from, chunk, COPY_CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return cpuu_fail_errno(err, errno, "cannot read '%s'", path);
        if (n == 0)
            return CPUU_OK;
        cpuu_rc rc = cpuu_replace_write(r, chunk, (size_t)n, err);
        if (rc != CPUU_OK) /* somebody else may have taken the room meanwhile */
            return check_room(r->dir, n, r->path, NULL) == CPUU_E_TOOBIG
                       ? cpuu_fail(err, CPUU_E_TOOBIG, "there is no room for '%s'", r->path)
                       : rc;
    }
}

cpuu_rc cpuu_file_copy(const char *from, const char *to, cpuu_error *err)
{
    static const cpuu_replace_points points = {"copy.write", "copy.flush", "copy.rename",
                                               "copy.dirsync"};
    struct stat st;
    cpuu_replace r;
    int fd;
    uint8_t *chunk = cpuu_calloc(1, COPY_CHUNK);
    if (!chunk)
        return cpuu_nomem(err);
    cpuu_rc rc = cpuu_file_open(from, &fd, &st, err);
    if (rc == CPUU_OK) {
        rc = cpuu_replace_begin(&r, to, 0600, &points, err);
        if (rc == CPUU_OK) {
            rc = check_room(r.dir, st.st_size, to, err);
            if (rc == CPUU_OK)
                rc = copy_bytes(fd, &r, chunk, from, err);
            if (rc == CPUU_OK)
                rc = cpuu_replace_flush(&r, err);
            if (rc == CPUU_OK)
                rc = cpuu_replace_rename(&r, err);
            cpuu_replace_end(&r);
        }
        close(fd);
    }
    cpuu_free(chunk);
    return rc;
}

cpuu_rc cpuu_file_delete(const char *path, cpuu_error *err)
{
    cpuu_fault_step("file.delete");
    if (unlink(path) != 0 && errno != ENOENT)
        return cpuu_fail_errno(err, errno, "cannot delete '%s'", path);
    return cpuu_file_sync_dir(path, err);
}

cpuu_rc cpuu_file_sync_dir(const char *path, cpuu_error *err)
{
    int dir = open_dir_of(path, err);
    if (dir < 0)
        return err ? err->rc : CPUU_E_IO;
    cpuu_rc rc = flush(dir, path, "file.dirsync", err);
    close(dir);
    return rc;
}

cpuu_rc cpuu_mkdirs(const char *path, mode_t mode, cpuu_error *err)
{
    char *copy = cpuu_strdup(path);
    if (!copy)
        return cpuu_nomem(err);
    cpuu_rc rc = CPUU_OK;
    for (char *p = copy + 1; rc == CPUU_OK; p++) {
        char c = *p;
        if (c != '/' && c != 0)
            continue;
        *p = 0;
        if (mkdir(copy, mode) != 0 && errno != EEXIST)
            rc = cpuu_fail_errno(err, errno, "cannot create folder '%s'", copy);
        *p = c;
        if (c == 0)
            break;
    }
    cpuu_free(copy);
    return rc;
}

/* Name of the entry of `dir` that equals `part` without regard to case; NULL when none. An exact
 * match wins. False when out of memory. */
static bool find_nocase(const char *dir, const char *part, char **out)
{
    char *found = NULL;
    bool ok = true;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && ok && (e = readdir(d));) {
        if (!cpuu_name_eq(e->d_name, part) || (found && strcmp(e->d_name, part) != 0))
            continue;
        cpuu_free(found);
        found = cpuu_strdup(e->d_name);
        ok = found != NULL;
    }
    if (d)
        closedir(d);
    *out = found;
    return ok;
}

cpuu_rc cpuu_path_nocase(const char *base, const char *relative, char **out, cpuu_error *err)
{
    char *path = cpuu_strdup(base);
    bool missing = false;
    while (path && *relative) {
        size_t n = strcspn(relative, "\\/");
        if (n == 0) {
            relative++;
            continue;
        }
        char *part = cpuu_strndup(relative, n);
        relative += n;
        if (part && (strcmp(part, "..") == 0 || strcmp(part, ".") == 0)) {
            cpuu_free(part);
            cpuu_free(path);
            return cpuu_fail(err, CPUU_E_UNSUPPORTED, "a path may not hold '.' or '..'");
        }
        char *name = NULL;
        bool ok = part && (missing || find_nocase(path, part, &name));
        missing = missing || !name;
        char *next = ok ? cpuu_path_join(path, name ? name : part) : NULL;
        cpuu_free(name);
        cpuu_free(part);
        cpuu_free(path);
        path = next;
    }
    if (!path)
        return cpuu_nomem(err);
    *out = path;
    if (missing)
        return cpuu_fail(err, CPUU_E_NOTFOUND, "'%s' does not exist", path);
    return CPUU_OK;
}

bool cpuu_is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}
