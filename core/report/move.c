/* Opening logs in folders that others may write to, and moving them: copy, flush, compare, delete.
 */
#include "report/private.h"

#include "base/fault.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Nothing is written to, or cut off from, a file that may also be known by another name. */
static int open_plain(const char *path, int flags, cpuu_error *err)
{
    struct stat st;
    int fd = open(path, flags | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    if (fd < 0) {
        cpuu_fail_errno(err, errno, "cannot open log file '%s'", path);
        return -1;
    }
    if (fstat(fd, &st) == 0 && (S_ISCHR(st.st_mode) || (S_ISREG(st.st_mode) && st.st_nlink == 1)))
        return fd;
    close(fd);
    cpuu_fail(err, CPUU_E_UNSUPPORTED, "log file '%s' is not a plain file with one name", path);
    return -1;
}

int cpuu_log_open(const char *path, cpuu_error *err)
{
    return open_plain(path, O_WRONLY | O_APPEND, err);
}

static cpuu_rc write_block(int fd, const char *path, const uint8_t *data, size_t size,
                           cpuu_error *err)
{
    while (size) {
        ssize_t n = -1;
        if (cpuu_fault_fail("write"))
            errno = ENOSPC;
        else
            n = write(fd, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return cpuu_fail_errno(err, errno, "cannot write '%s'", path);
        data += n;
        size -= (size_t)n;
    }
    return CPUU_OK;
}

cpuu_rc cpuu_log_replace(const char *path, const void *data, size_t size, cpuu_error *err)
{
    cpuu_rc rc = cpuu_file_write(path, data, size, 0600, err);
    if (rc != CPUU_E_ACCESS)
        return rc;
    int fd = open_plain(path, O_WRONLY, err);
    if (fd < 0)
        return CPUU_E_ACCESS;
    rc = ftruncate(fd, 0) != 0 ? cpuu_fail_errno(err, errno, "cannot write '%s'", path)
                               : write_block(fd, path, data, size, err);
    if (close(fd) != 0 && rc == CPUU_OK)
        rc = cpuu_fail_errno(err, errno, "cannot write '%s'", path);
    return rc;
}

/* Copies all of `from` to the current end of `to`; *copied counts bytes. */
static cpuu_rc copy(int from, int to, const char *path, off_t *copied, cpuu_error *err)
{
    uint8_t block[65536];
    *copied = 0;
    for (;;) {
        ssize_t n = read(from, block, sizeof(block));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return cpuu_fail_errno(err, errno, "cannot read the local copy of '%s'", path);
        if (n == 0)
            return CPUU_OK;
        cpuu_rc rc = write_block(to, path, block, (size_t)n, err);
        if (rc != CPUU_OK)
            return rc;
        *copied += n;
    }
}

/* Whether `to` holds the same bytes from `start` on. */
static bool same(int from, int to, off_t start, off_t size)
{
    uint8_t a[65536], b[65536];
    for (off_t at = 0; at < size;) {
        size_t want = size - at < (off_t)sizeof(a) ? (size_t)(size - at) : sizeof(a);
        ssize_t n = pread(from, a, want, at), m = pread(to, b, want, start + at);
        if (n != (ssize_t)want || m != n || memcmp(a, b, want) != 0)
            return false;
        at += n;
    }
    return true;
}

static cpuu_rc copy_and_check(int from, int to, bool append, bool readable, const char *path,
                              cpuu_error *err)
{
    struct stat st;
    off_t copied;
    if ((!append && ftruncate(to, 0) != 0) || fstat(to, &st) != 0)
        return cpuu_fail_errno(err, errno, "cannot write '%s'", path);
    off_t start = st.st_size;
    cpuu_rc rc = copy(from, to, path, &copied, err);
    if (rc != CPUU_OK)
        return rc;
    errno = EIO;
    if (cpuu_fault_fail("flush") || fsync(to) != 0 || fstat(to, &st) != 0)
        return cpuu_fail_errno(err, errno, "cannot flush '%s'", path);
    if (st.st_size != start + copied || (readable && !same(from, to, start, copied)))
        return cpuu_fail(err, CPUU_E_IO, "the copy of the log in '%s' differs", path);
    return CPUU_OK;
}

/* Users may have the right to write to a share and not to read from it. */
static int open_remote(const char *path, bool append, bool *readable, cpuu_error *err)
{
    int flags = append ? O_APPEND : 0;
    int fd = open_plain(path, O_RDWR | flags, err);
    *readable = fd >= 0;
    return fd >= 0 ? fd : open_plain(path, O_WRONLY | flags, err);
}

cpuu_rc cpuu_log_move(const char *local, const char *remote, bool append, cpuu_error *err)
{
    bool readable;
    int from = open(local, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (from < 0)
        return cpuu_fail_errno(err, errno, "cannot open '%s'", local);
    int to = open_remote(remote, append, &readable, err);
    cpuu_rc rc = to < 0 ? CPUU_E_IO : copy_and_check(from, to, append, readable, remote, err);
    close(from);
    if (to >= 0 && close(to) != 0 && rc == CPUU_OK)
        rc = cpuu_fail_errno(err, errno, "cannot write '%s'", remote);
    if (rc == CPUU_OK)
        unlink(local);
    return rc;
}
