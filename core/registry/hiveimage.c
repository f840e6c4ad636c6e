/*
 * A hive as bytes: an anonymous memory file, mapped. Nobody can swap it, and what a change makes of
 * it is kept as the pages that differ.
 */
#include <config.h>

#include "registry/hive.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
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

static cpuu_rc check_size(off_t size, cpuu_error *err)
{
    if ((size_t)size <= CPUU_HIVE_MAX_SIZE)
        return CPUU_OK;
    return cpuu_fail(err, CPUU_E_TOOBIG, "the hive has %lld bytes, and more than %zu are not "
                     "supported", (long long)size, CPUU_HIVE_MAX_SIZE);
}

cpuu_rc cpuu_hive_image_map(cpuu_hive_image *image, cpuu_error *err)
{
    off_t size = lseek(image->fd, 0, SEEK_END);
    if (size < 0)
        return no_memory(err);
    cpuu_rc rc = check_size(size, err);
    if (rc != CPUU_OK || size == 0) /* nothing cannot be mapped, and is no hive */
        return rc;
    void *p = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, image->fd, 0);
    if (p == MAP_FAILED)
        return no_memory(err);
    image->data = p;
    image->size = (size_t)size;
    return CPUU_OK;
}

bool cpuu_hive_put(int fd, const uint8_t *p, size_t size, size_t at)
{
    while (size) {
        ssize_t n = pwrite(fd, p, size, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        p += n;
        at += (size_t)n;
        size -= (size_t)n;
    }
    return true;
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
        if (!cpuu_hive_put(image->fd, block, (size_t)n, size))
            return no_memory(err);
        size += (size_t)n;
    }
    return rc == CPUU_OK ? cpuu_hive_image_map(image, err) : rc;
}

/* Less than asked for only at the end of the file. */
static ssize_t read_block(int fd, uint8_t *block, size_t size, size_t at)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = pread(fd, block + done, size - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

/* Calls `look` for each block of the file, whole pages but the last, while it says true. *same is
 * whether it always did and the file has `size` bytes. */
static cpuu_rc each_block(int fd, size_t size,
                          bool (*look)(void *with, size_t at, const uint8_t *p, size_t n),
                          void *with, bool *same, cpuu_error *err)
{
    uint8_t block[32 * CPUU_HIVE_PAGE];
    size_t at = 0;
    for (;;) {
        ssize_t n = read_block(fd, block, sizeof(block), at);
        if (n < 0)
            return cpuu_fail_errno(err, errno, "cannot read the hive again");
        *same = (size_t)n <= size - at && look(with, at, block, (size_t)n);
        at += (size_t)n;
        if (!*same || (size_t)n < sizeof(block))
            break;
    }
    *same = *same && at == size;
    return CPUU_OK;
}

static bool same_at(const cpuu_hive_image *image, size_t at, const uint8_t *p, size_t n)
{
    return at + n <= image->size && memcmp(image->data + at, p, n) == 0;
}

static bool same_block(void *with, size_t at, const uint8_t *p, size_t n)
{
    return same_at(with, at, p, n);
}

cpuu_rc cpuu_hive_image_compare(const cpuu_hive_image *image, int fd, bool *same, cpuu_error *err)
{
    return each_block(fd, image->size, same_block, (void *)image, same, err);
}

/* ---- variants -------------------------------------------------------------------------------- */

void cpuu_hive_variant_free(cpuu_hive_variant *v)
{
    if (v->data)
        munmap(v->data, v->size);
    cpuu_free(v->changed);
    *v = (cpuu_hive_variant){0};
}

bool cpuu_hive_variant_changed(const cpuu_hive_variant *v, size_t at)
{
    size_t page = at / CPUU_HIVE_PAGE;
    return at >= v->size || v->changed[page / 8] >> page % 8 & 1;
}

/* Room for the file: the pages of the image as far as it goes, memory of its own behind. */
static cpuu_rc map_variant(cpuu_hive_variant *v, const cpuu_hive_image *image, size_t size,
                           cpuu_error *err)
{
    const int rw = PROT_READ | PROT_WRITE;
    v->changed = cpuu_calloc(size / CPUU_HIVE_PAGE / 8 + 1, 1);
    if (!v->changed)
        return cpuu_nomem(err);
    void *p = mmap(NULL, size, rw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return no_memory(err);
    v->data = p;
    v->size = size;
    size_t shared = size < image->size ? size : image->size;
    if (mmap(p, shared, rw, MAP_PRIVATE | MAP_FIXED, image->fd, 0) == MAP_FAILED)
        return no_memory(err);
    return CPUU_OK;
}

/* What the callbacks of each_block get. */
typedef struct pair {
    cpuu_hive_variant *v;
    const cpuu_hive_image *image;
} pair;

static bool take_pages(void *with, size_t at, const uint8_t *p, size_t n)
{
    const pair *a = with;
    if (same_at(a->image, at, p, n))
        return true;
    for (size_t part; n; at += part, p += part, n -= part) {
        size_t page = at / CPUU_HIVE_PAGE;
        part = n < CPUU_HIVE_PAGE ? n : CPUU_HIVE_PAGE;
        if (same_at(a->image, at, p, part))
            continue;
        a->v->changed[page / 8] |= (uint8_t)(1u << page % 8);
        memcpy(a->v->data + at, p, part);
    }
    return true;
}

/* Pages that are shared are looked at in the image, so that they need not be mapped twice. */
static bool same_pages(void *with, size_t at, const uint8_t *p, size_t n)
{
    const pair *a = with;
    for (size_t part; n; at += part, p += part, n -= part) {
        part = n < CPUU_HIVE_PAGE ? n : CPUU_HIVE_PAGE;
        bool own = cpuu_hive_variant_changed(a->v, at);
        if (memcmp((own ? a->v->data : a->image->data) + at, p, part) != 0)
            return false;
    }
    return true;
}

cpuu_rc cpuu_hive_variant_read(cpuu_hive_variant *v, const cpuu_hive_image *image, int fd,
                               cpuu_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return cpuu_fail_errno(err, errno, "cannot examine the changed hive");
    cpuu_rc rc = check_size(st.st_size, err);
    if (rc == CPUU_OK && st.st_size == 0)
        rc = cpuu_fail(err, CPUU_E_IO, "the changed hive is empty");
    cpuu_hive_variant fresh = {0};
    if (rc == CPUU_OK)
        rc = map_variant(&fresh, image, (size_t)st.st_size, err);
    bool whole = true;
    if (rc == CPUU_OK)
        rc = each_block(fd, fresh.size, take_pages, &(pair){&fresh, image}, &whole, err);
    if (rc == CPUU_OK && !whole)
        rc = cpuu_fail(err, CPUU_E_IO, "the changed hive has another size now");
    if (rc == CPUU_OK)
        *v = fresh;
    else
        cpuu_hive_variant_free(&fresh);
    return rc;
}

/* The end of the pages from `at` on that differ. */
static size_t changed_end(const cpuu_hive_variant *v, size_t at)
{
    while (at < v->size && cpuu_hive_variant_changed(v, at))
        at += CPUU_HIVE_PAGE;
    return at < v->size ? at : v->size;
}

static cpuu_rc compare_changed(const cpuu_hive_variant *v, int fd, bool *same, cpuu_error *err)
{
    uint8_t block[32 * CPUU_HIVE_PAGE];
    *same = true;
    for (size_t at = 0; *same && at < v->size;) {
        size_t part = changed_end(v, at) - at;
        part = part < sizeof(block) ? part : sizeof(block);
        ssize_t n = part ? read_block(fd, block, part, at) : 0;
        if (n < 0)
            return cpuu_fail_errno(err, errno, "cannot read the hive again");
        *same = (size_t)n == part && memcmp(block, v->data + at, part) == 0;
        at += part ? part : CPUU_HIVE_PAGE;
    }
    return CPUU_OK;
}

cpuu_rc cpuu_hive_variant_compare(const cpuu_hive_variant *v, const cpuu_hive_image *image, int fd,
                                  bool all, bool *same, cpuu_error *err)
{
    pair with = {(cpuu_hive_variant *)v, image};
    return all ? each_block(fd, v->size, same_pages, &with, same, err)
               : compare_changed(v, fd, same, err);
}

cpuu_rc cpuu_hive_image_update(cpuu_hive_image *image, const cpuu_hive_variant *v, cpuu_error *err)
{
    if (ftruncate(image->fd, (off_t)v->size) != 0)
        return no_memory(err);
    for (size_t at = 0, end; at < v->size; at = end + CPUU_HIVE_PAGE) {
        end = changed_end(v, at);
        if (!cpuu_hive_put(image->fd, v->data + at, end - at, at))
            return no_memory(err);
    }
    if (v->size == image->size)
        return CPUU_OK;
    void *p = mremap((void *)image->data, image->size, v->size, MREMAP_MAYMOVE);
    if (p == MAP_FAILED)
        return no_memory(err);
    image->data = p;
    image->size = v->size;
    return CPUU_OK;
}
