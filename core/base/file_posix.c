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

static cpuu_rc read_all(int fd, const char *path, cpuu_buf *out, cpuu_error *err)
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

cpuu_rc cpuu_file_read(const char *path, cpuu_buf *out, struct stat *st, cpuu_error *err)
{
    struct stat local;
    if (!st)
        st = &local;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ELOOP)
        return cpuu_fail(err, CPUU_E_UNSUPPORTED, "'%s' is a symbolic link; name the file itself",
                         path);
    if (fd < 0)
        return cpuu_fail_errno(err, errno, "cannot open '%s'", path);
    cpuu_rc rc;
    if (fstat(fd, st) != 0)
        rc = cpuu_fail_errno(err, errno, "cannot examine '%s'", path);
    else if (!S_ISREG(st->st_mode))
        rc = cpuu_fail(err, CPUU_E_UNSUPPORTED, "'%s' is not a regular file", path);
    else
        rc = read_all(fd, path, out, err);
    close(fd);
    return rc;
}

static cpuu_rc write_all(int fd, const char *path, const uint8_t *data, size_t size,
                         cpuu_error *err)
{
    while (size) {
        cpuu_fault_step("file.write");
        if (cpuu_fault_fail("write")) {
            errno = ENOSPC;
            return cpuu_fail_errno(err, errno, "cannot write '%s'", path);
        }
        ssize_t n = write(fd, data, size > 1 << 20 ? 1 << 20 : size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return cpuu_fail_errno(err, errno, "cannot write '%s'", path);
        data += n;
        size -= (size_t)n;
    }
    return CPUU_OK;
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

/* Copies every extended attribute: NTFS permissions of a mounted Windows disk live there. */
static cpuu_rc copy_xattrs(int from, int to, const char *path, cpuu_error *err)
{
    char names[16384];
    ssize_t n = flistxattr(from, names, sizeof(names));
    if (n < 0 && (errno == ENOTSUP || errno == ENOSYS))
        return CPUU_OK;
    if (n < 0)
        return cpuu_fail_errno(err, errno, "cannot list the extended attributes of '%s'", path);
    for (char *name = names; name < names + n; name += strlen(name) + 1) {
        char value[65536];
        ssize_t size = fgetxattr(from, name, value, sizeof(value));
        if (size < 0 || fsetxattr(to, name, value, (size_t)size, 0) != 0)
            return cpuu_fail_errno(err, errno,
                                   "cannot keep extended attribute '%s' of '%s', which may hold its "
                                   "access rights", name, path);
    }
    return CPUU_OK;
}

/* Gives the new file the identity of the old one. */
static cpuu_rc take_over(int dir, const char *name, int fd, const char *path, cpuu_error *err)
{
    int old = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (old < 0 && errno == ENOENT)
        return CPUU_OK;
    if (old < 0 && errno == ELOOP)
        return cpuu_fail(err, CPUU_E_UNSUPPORTED, "'%s' is a symbolic link; name the file itself",
                         path);
    if (old < 0)
        return cpuu_fail_errno(err, errno, "cannot open '%s'", path);
    struct stat st;
    cpuu_rc rc = CPUU_OK;
    if (fstat(old, &st) != 0)
        rc = cpuu_fail_errno(err, errno, "cannot examine '%s'", path);
    else
        rc = check_plain(&st, path, err);
    if (rc == CPUU_OK && fchown(fd, st.st_uid, st.st_gid) != 0)
        rc = cpuu_fail_errno(err, errno, "cannot keep the owner of '%s'", path);
    if (rc == CPUU_OK && fchmod(fd, st.st_mode & 07777) != 0)
        rc = cpuu_fail_errno(err, errno, "cannot keep the mode of '%s'", path);
    if (rc == CPUU_OK)
        rc = copy_xattrs(old, fd, path, err);
    close(old);
    return rc;
}

static cpuu_rc rename_over(int dir, const char *temp, const char *name, const char *path,
                           cpuu_error *err)
{
    cpuu_fault_step("file.rename");
    if (cpuu_fault_fail("write")) {
        errno = EIO;
        return cpuu_fail_errno(err, errno, "cannot replace '%s'", path);
    }
    if (renameat(dir, temp, dir, name) != 0)
        return cpuu_fail_errno(err, errno, "cannot replace '%s'", path);
    return CPUU_OK;
}

cpuu_rc cpuu_file_write(const char *path, const void *data, size_t size, mode_t mode,
                        cpuu_error *err)
{
    const char *name = cpuu_path_base(path);
    uint8_t random[16];
    char temp[64] = ".cpuu-";
    if (!cpuu_guid_random(random))
        return cpuu_fail(err, CPUU_E_FAILED, "the system gives no random numbers");
    cpuu_hex(temp + strlen(temp), random, sizeof(random));

    int dir = open_dir_of(path, err);
    if (dir < 0)
        return err ? err->rc : CPUU_E_IO;
    int fd = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        cpuu_rc rc = cpuu_fail_errno(err, errno, "cannot create a temporary file beside '%s'", path);
        close(dir);
        return rc;
    }
    cpuu_rc rc = take_over(dir, name, fd, path, err);
    if (rc == CPUU_OK)
        rc = write_all(fd, path, data, size, err);
    if (rc == CPUU_OK)
        rc = flush(fd, path, "file.flush", err);
    if (close(fd) != 0 && rc == CPUU_OK)
        rc = cpuu_fail_errno(err, errno, "cannot write '%s'", path);
    if (rc == CPUU_OK)
        rc = rename_over(dir, temp, name, path, err);
    if (rc != CPUU_OK)
        unlinkat(dir, temp, 0);
    else
        rc = flush(dir, path, "file.dirsync", err);
    close(dir);
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

/* Name of the entry of `dir` that equals part[0..n) without regard to case; NULL when none. An
 * exact match wins. */
static char *find_nocase(const char *dir, const char *part)
{
    DIR *d = opendir(dir);
    if (!d)
        return NULL;
    char *found = NULL;
    for (struct dirent *e; (e = readdir(d));) {
        if (!cpuu_name_eq(e->d_name, part) || (found && strcmp(e->d_name, part) != 0))
            continue;
        cpuu_free(found);
        found = cpuu_strdup(e->d_name);
    }
    closedir(d);
    return found;
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
        char *name = part && !missing ? find_nocase(path, part) : NULL;
        missing = missing || !name;
        char *next = part ? cpuu_path_join(path, name ? name : part) : NULL;
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
