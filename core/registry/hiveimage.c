/*
 * A hive as bytes: an anonymous memory file, mapped. libhivex wants a file to open, and it gets
 * this one, so that there is one copy of the hive and nobody can swap it.
 */
#include <config.h>

#include "registry/hive.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void cpuu_hive_image_init(cpuu_hive_image *image)
{
    *image = (cpuu_hive_image){.fd = -1};
}

void cpuu_hive_image_free(cpuu_hive_image *image)
{
    if (image->data)
        munmap((void *)image->data, image->size);
    if (image->fd >= 0)
        close(image->fd);
    cpuu_hive_image_init(image);
}

static cpuu_rc no_memory(cpuu_error *err)
{
    return cpuu_fail_errno(err, errno, "cannot get memory for a copy of the hive");
}

cpuu_rc cpuu_hive_image_create(cpuu_hive_image *image, cpuu_error *err)
{
    image->fd = memfd_create("hive", MFD_CLOEXEC);
    return image->fd >= 0 ? CPUU_OK : no_memory(err);
}

cpuu_rc cpuu_hive_image_map(cpuu_hive_image *image, cpuu_error *err)
{
    off_t size = lseek(image->fd, 0, SEEK_END);
    if (size < 0)
        return no_memory(err);
    if ((size_t)size > CPUU_HIVE_MAX_SIZE)
        return cpuu_fail(err, CPUU_E_TOOBIG, "the hive has %lld bytes, and more than %zu are not "
                         "supported", (long long)size, CPUU_HIVE_MAX_SIZE);
    if (size == 0) /* cannot be mapped, and is no hive */
        return CPUU_OK;
    void *p = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, image->fd, 0);
    if (p == MAP_FAILED)
        return no_memory(err);
    image->data = p;
    image->size = (size_t)size;
    return CPUU_OK;
}

static cpuu_rc append(int fd, const uint8_t *p, size_t size, cpuu_error *err)
{
    while (size) {
        ssize_t n = write(fd, p, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return no_memory(err);
        p += n;
        size -= (size_t)n;
    }
    return CPUU_OK;
}

cpuu_rc cpuu_hive_image_read(cpuu_hive_image *image, int fd, cpuu_error *err)
{
    uint8_t block[65536];
    size_t size = 0;
    cpuu_rc rc = cpuu_hive_image_create(image, err);
    while (rc == CPUU_OK && size <= CPUU_HIVE_MAX_SIZE) {
        ssize_t n = pread(fd, block, sizeof(block), (off_t)size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return cpuu_fail_errno(err, errno, "cannot read the hive");
        if (n == 0)
            break;
        rc = append(image->fd, block, (size_t)n, err);
        size += (size_t)n;
    }
    return rc == CPUU_OK ? cpuu_hive_image_map(image, err) : rc;
}

cpuu_rc cpuu_hive_image_compare(const cpuu_hive_image *image, int fd, bool *same, cpuu_error *err)
{
    uint8_t block[65536];
    size_t at = 0;
    for (;;) {
        ssize_t n = pread(fd, block, sizeof(block), (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return cpuu_fail_errno(err, errno, "cannot read it again");
        *same = n == 0 ? at == image->size
                       : (size_t)n <= image->size - at &&
                             memcmp(block, image->data + at, (size_t)n) == 0;
        if (n == 0 || !*same)
            return CPUU_OK;
        at += (size_t)n;
    }
}
