/*
 * Hives as bytes; the one user of libhivex. What libhivex does not check or gets wrong is
 * checked or refused here: dirty hives, values that need "db" cells, key names outside ASCII,
 * the order of keys. After a call that changes a hive has failed, the hive in memory is damaged: it
 * is dropped.
 */
#include <config.h>

#include "registry/hive.h"

#include "base/file.h"
#include "base/text.h"

#include <errno.h>
#include <hivex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BASE_BLOCK 4096u
#define BIN_UNIT   4096u
/* One cell holds so much; regf 1.4 and later split larger values into segments ("db"), which
 * libhivex reads but does not write. */
#define MAX_CELL_VALUE 16344u
/* libhivex refuses to allocate more (measured). */
#define MAX_HIVEX_VALUE 999996u
/* Sizes of the smallest key and value cells: bound the number of objects by the file size. */
#define MIN_KEY_CELL   80u
#define MIN_VALUE_CELL 24u

/* ---- base block and bins --------------------------------------------------------------------- */

static uint32_t checksum(const uint8_t *image)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < 508; i += 4)
        sum ^= cpuu_le32(image + i);
    return sum == 0 ? 1 : sum == 0xffffffffu ? 0xfffffffeu : sum;
}

static cpuu_rc damaged(cpuu_error *err, const char *what)
{
    return cpuu_fail(err, CPUU_E_FORMAT, "the hive is damaged: %s", what);
}

static cpuu_rc check_bins(const uint8_t *image, uint32_t bins_size, cpuu_error *err)
{
    for (uint32_t at = 0; at < bins_size;) {
        const uint8_t *bin = image + BASE_BLOCK + at;
        uint32_t size = cpuu_le32(bin + 8);
        if (memcmp(bin, "hbin", 4) != 0 || cpuu_le32(bin + 4) != at)
            return damaged(err, "a bin does not begin where the one before ends");
        if (size == 0 || size % BIN_UNIT || size > bins_size - at)
            return damaged(err, "a bin has an impossible size");
        at += size;
    }
    return CPUU_OK;
}

cpuu_rc cpuu_hive_check_head(const uint8_t *image, size_t size, cpuu_hive_head *out,
                             cpuu_error *err)
{
    if (size < BASE_BLOCK || memcmp(image, "regf", 4) != 0)
        return cpuu_fail(err, CPUU_E_FORMAT, "this is not a registry hive (no regf base block)");
    if (checksum(image) != cpuu_le32(image + 508))
        return damaged(err, "the checksum of its base block is wrong");
    uint32_t major = cpuu_le32(image + 20), minor = cpuu_le32(image + 24);
    if (major != 1 || minor < 3 || minor > 5)
        return cpuu_fail(err, CPUU_E_UNSUPPORTED, "hives of regf version %u.%u are not supported",
                         major, minor);
    if (cpuu_le32(image + 28) != 0 || cpuu_le32(image + 32) != 1)
        return cpuu_fail(err, CPUU_E_UNSUPPORTED, "this is a log or an unknown kind of hive file");
    if (cpuu_le32(image + 4) != cpuu_le32(image + 8))
        return cpuu_fail(err, CPUU_E_DIRTY,
                         "the hive is dirty: changes are still in its log files (sequence numbers "
                         "%u and %u differ). Let the user log on to Windows and off again, then "
                         "retry", cpuu_le32(image + 4), cpuu_le32(image + 8));
    uint32_t bins_size = cpuu_le32(image + 40);
    if (bins_size == 0 || bins_size % BIN_UNIT || bins_size > size - BASE_BLOCK)
        return damaged(err, "it is shorter than its base block says");
    uint32_t root = cpuu_le32(image + 36);
    if (root > bins_size - MIN_KEY_CELL || root % 8)
        return damaged(err, "its root key lies outside");
    cpuu_rc rc = check_bins(image, bins_size, err);
    if (rc == CPUU_OK)
        *out = (cpuu_hive_head){minor, bins_size};
    return rc;
}

/* ---- libhivex on anonymous memory ------------------------------------------------------------ */

static cpuu_rc memory_file(const void *data, size_t size, int *out, cpuu_error *err)
{
    int fd = memfd_create("hive", MFD_CLOEXEC);
    if (fd < 0)
        return cpuu_fail_errno(err, errno, "cannot get memory for a copy of the hive");
    for (const uint8_t *p = data; size;) {
        ssize_t n = write(fd, p, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            cpuu_rc rc = cpuu_fail_errno(err, errno, "cannot get memory for a copy of the hive");
            close(fd);
            return rc;
        }
        p += n;
        size -= (size_t)n;
    }
    *out = fd;
    return CPUU_OK;
}

static void fd_path(char out[40], int fd)
{
    snprintf(out, 40, "/proc/self/fd/%d", fd);
}

/* libhivex on a private copy of the image. */
static cpuu_rc open_image(const uint8_t *image, size_t size, int flags, hive_h **out,
                          cpuu_error *err)
{
    char path[40];
    int fd;
    cpuu_rc rc = memory_file(image, size, &fd, err);
    if (rc != CPUU_OK)
        return rc;
    fd_path(path, fd);
    hive_h *h = hivex_open(path, flags);
    int e = errno;
    close(fd);
    if (h) {
        *out = h;
        return CPUU_OK;
    }
    if (e == ENOENT)
        return cpuu_fail(err, CPUU_E_UNSUPPORTED, "cannot open a hive: /proc is not mounted");
    if (e == ENOTSUP || e == EINVAL)
        return damaged(err, "libhivex cannot read its structure");
    return cpuu_fail_errno(err, e, "libhivex cannot open the hive");
}

/* ---- loading --------------------------------------------------------------------------------- */

/* What may still be read before the hive must be a trap: cells used often, keys in a circle. */
typedef struct loader {
    hive_h *h;
    size_t keys, values, names, data; /* objects and bytes left */
    unsigned depth;
    cpuu_error *err;
} loader;

static bool spend(size_t *left, size_t n)
{
    if (n > *left)
        return false;
    *left -= n;
    return true;
}

static cpuu_rc hivex_failed(loader *l, const char *what, const char *name)
{
    int e = errno;
    if (e == ENOMEM)
        return cpuu_nomem(l->err);
    if (e == ERANGE)
        return cpuu_fail(l->err, CPUU_E_UNSUPPORTED, "%s '%s' is larger than libhivex can handle",
                         what, name);
    return cpuu_fail(l->err, CPUU_E_FORMAT, "the hive is damaged: %s '%s' cannot be read (%s)",
                     what, name, strerror(e));
}

static cpuu_rc too_much(loader *l, const char *name)
{
    return cpuu_fail(l->err, CPUU_E_FORMAT,
                     "the hive is damaged: below key '%s' is more than the file can hold", name);
}

static cpuu_rc load_value(loader *l, hive_value_h value, cpuu_key *key)
{
    hive_type type;
    size_t size, length;
    char *name = hivex_value_key(l->h, value);
    if (!name)
        return hivex_failed(l, "the name of a value of key", key->name);
    cpuu_rc rc = CPUU_OK;
    length = hivex_value_key_len(l->h, value);
    char *data = hivex_value_value(l->h, value, &type, &size);
    if (!data)
        rc = hivex_failed(l, "value", name);
    else if (!spend(&l->values, 1) || !spend(&l->names, strlen(name)) || !spend(&l->data, size))
        rc = too_much(l, key->name);
    else if (!cpuu_key_add_value(key, name, type, data, (uint32_t)size))
        rc = cpuu_nomem(l->err);
    else if (strlen(name) != length) /* a NUL inside */
        key->odd = true;
    free(data);
    free(name);
    return rc;
}

static cpuu_rc load_values(loader *l, hive_node_h node, cpuu_key *key)
{
    hive_value_h *list = hivex_node_values(l->h, node);
    if (!list)
        return hivex_failed(l, "the list of values of key", key->name);
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; rc == CPUU_OK && list[i]; i++)
        rc = load_value(l, list[i], key);
    free(list);
    return rc;
}

static cpuu_rc load_key(loader *l, hive_node_h node, cpuu_key **out);

static cpuu_rc load_kids(loader *l, hive_node_h node, cpuu_key *key)
{
    hive_node_h *list = hivex_node_children(l->h, node);
    if (!list)
        return hivex_failed(l, "the list of keys below", key->name);
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; rc == CPUU_OK && list[i]; i++) {
        cpuu_key *kid;
        rc = load_key(l, list[i], &kid);
        if (rc == CPUU_OK && !cpuu_key_add(key, kid)) {
            cpuu_key_free(kid);
            rc = cpuu_nomem(l->err);
        }
    }
    free(list);
    return rc;
}

static cpuu_rc load_key(loader *l, hive_node_h node, cpuu_key **out)
{
    char *name = hivex_node_name(l->h, node);
    if (!name)
        return hivex_failed(l, "a key", "without a readable name");
    cpuu_key *key = cpuu_key_new(name, strlen(name));
    cpuu_rc rc = CPUU_OK;
    if (!key)
        rc = cpuu_nomem(l->err);
    else if (l->depth == CPUU_REG_MAX_DEPTH || !spend(&l->keys, 1) ||
             !spend(&l->names, strlen(name)))
        rc = too_much(l, name);
    free(name);
    l->depth++;
    if (rc == CPUU_OK)
        rc = load_values(l, node, key);
    if (rc == CPUU_OK)
        rc = load_kids(l, node, key);
    l->depth--;
    if (rc == CPUU_OK)
        *out = key;
    else
        cpuu_key_free(key);
    return rc;
}

cpuu_rc cpuu_hive_load(const uint8_t *image, size_t size, cpuu_key **out, cpuu_error *err)
{
    /* Names grow by half at most when UTF-16 becomes UTF-8, and by two from Latin-1. */
    loader l = {.keys = size / MIN_KEY_CELL, .values = size / MIN_VALUE_CELL, .names = size * 2,
                .data = size, .err = err};
    cpuu_rc rc = open_image(image, size, 0, &l.h, err);
    if (rc != CPUU_OK)
        return rc;
    hive_node_h root = hivex_root(l.h);
    rc = root ? load_key(&l, root, out) : hivex_failed(&l, "the root", "key");
    hivex_close(l.h);
    return rc;
}

cpuu_rc cpuu_hive_read(const uint8_t *image, size_t size, cpuu_hive_head *head, cpuu_key **root,
                       cpuu_error *err)
{
    cpuu_rc rc = cpuu_hive_check_head(image, size, head, err);
    if (rc == CPUU_OK)
        rc = cpuu_hive_scan(image, head, err);
    return rc == CPUU_OK ? cpuu_hive_load(image, size, root, err) : rc;
}

/* ---- comparing ------------------------------------------------------------------------------- */

static bool same_value(const cpuu_reg_value *a, const cpuu_reg_value *b)
{
    return a->type == b->type && a->size == b->size && memcmp(a->data, b->data, a->size) == 0 &&
           strcmp(a->name, b->name) == 0;
}

static bool same_values(const cpuu_key *a, const cpuu_key *b)
{
    if (a->n_values != b->n_values)
        return false;
    for (size_t i = 0; i < a->n_values; i++) {
        if (!same_value(&a->values[i], &b->values[i]))
            return false;
    }
    return true;
}

/* Index of the key of exactly this name, most often `hint`; n_kids when there is none. */
static size_t find_twin(const cpuu_key *in, size_t hint, const char *name)
{
    if (hint < in->n_kids && strcmp(in->kids[hint]->name, name) == 0)
        return hint;
    size_t i = 0;
    while (i < in->n_kids && strcmp(in->kids[i]->name, name) != 0)
        i++;
    return i;
}

static const cpuu_key *twin(const cpuu_key *in, size_t hint, const char *name)
{
    size_t i = find_twin(in, hint, name);
    return i < in->n_kids ? in->kids[i] : NULL;
}

bool cpuu_hive_equal(const cpuu_key *a, const cpuu_key *b, const char **where)
{
    *where = a->name;
    if (!same_values(a, b) || a->n_kids != b->n_kids)
        return false;
    for (size_t i = 0; i < a->n_kids; i++) {
        const cpuu_key *other = twin(b, i, a->kids[i]->name);
        if (!other)
            *where = a->kids[i]->name;
        if (!other || !cpuu_hive_equal(a->kids[i], other, where))
            return false;
    }
    return true;
}

/* Order of keys in Windows: by upper-case code units. New names are ASCII, so bytes will do. */
static int upper_order(const char *a, const char *b)
{
    for (;; a++, b++) {
        int p = (unsigned char)*a, q = (unsigned char)*b;
        p -= p >= 'a' && p <= 'z' ? 32 : 0;
        q -= q >= 'a' && q <= 'z' ? 32 : 0;
        if (p != q || !p)
            return p - q;
    }
}

static bool in_place(const cpuu_key *parent, size_t i)
{
    const char *name = parent->kids[i]->name;
    return (i == 0 || upper_order(parent->kids[i - 1]->name, name) < 0) &&
           (i + 1 == parent->n_kids || upper_order(name, parent->kids[i + 1]->name) < 0);
}

cpuu_rc cpuu_hive_check_order(const cpuu_key *before, const cpuu_key *now, cpuu_error *err)
{
    static const cpuu_key nothing;
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; rc == CPUU_OK && i < now->n_kids; i++) {
        const cpuu_key *old = twin(before, i, now->kids[i]->name);
        if (!old && !in_place(now, i))
            return cpuu_fail(err, CPUU_E_FAILED, "libhivex put key '%s' where Windows would not "
                             "look for it", now->kids[i]->name);
        rc = cpuu_hive_check_order(old ? old : &nothing, now->kids[i], err);
    }
    return rc;
}

/* ---- what may be changed --------------------------------------------------------------------- */

static bool is_ascii(const char *s)
{
    while (*s && !(*s & 0x80))
        s++;
    return !*s;
}

/* libhivex hashes the UTF-8 form of a name, Windows the upper-case UTF-16 form: Windows would not
 * find such a key. */
static cpuu_rc check_name(const cpuu_key *key, cpuu_error *err)
{
    if (!is_ascii(key->name))
        return cpuu_fail(err, CPUU_E_UNSUPPORTED,
                         "key '%s' has characters outside ASCII in its name: such a key cannot be "
                         "created, deleted or renamed in an offline hive; rename the profile in "
                         "Windows first", key->name);
    return CPUU_OK;
}

static cpuu_rc check_deleted(const cpuu_key *key, cpuu_error *err)
{
    cpuu_rc rc = check_name(key, err);
    for (size_t i = 0; rc == CPUU_OK && i < key->n_kids; i++)
        rc = check_deleted(key->kids[i], err);
    return rc;
}

static cpuu_rc check_values(const cpuu_hive_head *head, const cpuu_key *key, cpuu_error *err)
{
    uint32_t limit = head->minor >= 4 ? MAX_CELL_VALUE : MAX_HIVEX_VALUE;
    if (key->odd)
        return cpuu_fail(err, CPUU_E_UNSUPPORTED, "key '%s' holds a value with a NUL in its name "
                         "and cannot be changed", key->name);
    for (size_t i = 0; i < key->n_values; i++) {
        if (key->values[i].size > limit)
            return cpuu_fail(err, CPUU_E_UNSUPPORTED,
                             "key '%s' cannot be changed in an offline hive: its value '%s' has %u "
                             "bytes, and at most %u can be written", key->name,
                             key->values[i].name, key->values[i].size, limit);
    }
    return CPUU_OK;
}

/* `from` is NULL for a new key. */
static cpuu_rc check_key(const cpuu_hive_head *head, const cpuu_key *from, const cpuu_key *to,
                         cpuu_error *err)
{
    static const cpuu_key nothing;
    const cpuu_key *old = from ? from : &nothing;
    cpuu_rc rc = from ? CPUU_OK : check_name(to, err);
    if (rc == CPUU_OK && !same_values(old, to)) {
        rc = check_values(head, old, err);
        if (rc == CPUU_OK)
            rc = check_values(head, to, err);
    }
    for (size_t i = 0; rc == CPUU_OK && i < old->n_kids; i++) {
        if (!twin(to, i, old->kids[i]->name))
            rc = check_deleted(old->kids[i], err);
    }
    for (size_t i = 0; rc == CPUU_OK && i < to->n_kids; i++) {
        const cpuu_key *before = twin(old, i, to->kids[i]->name);
        rc = check_key(head, before, to->kids[i], err);
    }
    return rc;
}

cpuu_rc cpuu_hive_check_change(const cpuu_hive_head *head, const cpuu_key *from, const cpuu_key *to,
                               cpuu_error *err)
{
    return check_key(head, from, to, err);
}

/* ---- changing -------------------------------------------------------------------------------- */

static cpuu_rc change_failed(const char *what, const char *name, cpuu_error *err)
{
    int e = errno;
    if (e == ENOTSUP)
        return cpuu_fail(err, CPUU_E_UNSUPPORTED, "libhivex cannot %s '%s': the hive keeps it in a "
                         "form it does not write", what, name);
    return cpuu_fail_errno(err, e, "libhivex cannot %s '%s'", what, name);
}

/* All values of a key at once: libhivex never reuses the space of what it replaces. */
static cpuu_rc set_values(hive_h *h, hive_node_h node, const cpuu_key *key, cpuu_error *err)
{
    hive_set_value *list = cpuu_calloc(key->n_values, sizeof(*list));
    if (!list)
        return cpuu_nomem(err);
    for (size_t i = 0; i < key->n_values; i++) {
        const cpuu_reg_value *v = &key->values[i];
        list[i] = (hive_set_value){v->name, v->type, v->size, (char *)v->data};
    }
    int done = hivex_node_set_values(h, node, key->n_values, list, 0);
    cpuu_rc rc = done == 0 ? CPUU_OK : change_failed("write the values of key", key->name, err);
    cpuu_free(list);
    return rc;
}

static cpuu_rc delete_kids(hive_h *h, const hive_node_h *kids, const cpuu_key *from,
                           const cpuu_key *to, cpuu_error *err)
{
    for (size_t i = 0; i < from->n_kids; i++) {
        if (!twin(to, i, from->kids[i]->name) && hivex_node_delete_child(h, kids[i]) != 0)
            return change_failed("delete key", from->kids[i]->name, err);
    }
    return CPUU_OK;
}

static cpuu_rc change_key(hive_h *h, hive_node_h node, const cpuu_key *from, const cpuu_key *to,
                          cpuu_error *err);

static cpuu_rc change_kids(hive_h *h, hive_node_h node, const cpuu_key *from, const cpuu_key *to,
                           cpuu_error *err)
{
    static const cpuu_key nothing;
    /* A node is the offset of its cell, which stays where it is: the list is good until the end. */
    hive_node_h *kids = hivex_node_children(h, node);
    if (!kids)
        return change_failed("list the keys below", to->name, err);
    cpuu_rc rc = delete_kids(h, kids, from, to, err);
    for (size_t i = 0; rc == CPUU_OK && i < to->n_kids; i++) {
        const cpuu_key *kid = to->kids[i];
        size_t at = find_twin(from, i, kid->name);
        if (at < from->n_kids) {
            rc = change_key(h, kids[at], from->kids[at], kid, err);
            continue;
        }
        hive_node_h fresh = hivex_node_add_child(h, node, kid->name);
        rc = fresh ? change_key(h, fresh, &nothing, kid, err)
                   : change_failed("create key", kid->name, err);
    }
    free(kids);
    return rc;
}

static cpuu_rc change_key(hive_h *h, hive_node_h node, const cpuu_key *from, const cpuu_key *to,
                          cpuu_error *err)
{
    const char *where;
    if (cpuu_hive_equal(from, to, &where))
        return CPUU_OK;
    cpuu_rc rc = same_values(from, to) ? CPUU_OK : set_values(h, node, to, err);
    return rc == CPUU_OK ? change_kids(h, node, from, to, err) : rc;
}

static cpuu_rc commit(hive_h *h, cpuu_buf *out, cpuu_error *err)
{
    char path[40];
    int fd;
    cpuu_rc rc = memory_file(NULL, 0, &fd, err);
    if (rc != CPUU_OK)
        return rc;
    fd_path(path, fd);
    if (hivex_commit(h, path, 0) != 0)
        rc = cpuu_fail_errno(err, errno, "libhivex cannot write the changed hive");
    else if (lseek(fd, 0, SEEK_SET) != 0)
        rc = cpuu_fail_errno(err, errno, "cannot read the changed hive");
    else
        rc = cpuu_file_read_fd(fd, "the changed hive", out, err);
    close(fd);
    return rc;
}

cpuu_rc cpuu_hive_change(const uint8_t *image, size_t size, const cpuu_key *from,
                         const cpuu_key *to, cpuu_buf *out, cpuu_error *err)
{
    hive_h *h;
    cpuu_rc rc = open_image(image, size, HIVEX_OPEN_WRITE, &h, err);
    if (rc != CPUU_OK)
        return rc;
    hive_node_h root = hivex_root(h);
    rc = root ? change_key(h, root, from, to, err) : change_failed("find the root", "key", err);
    if (rc == CPUU_OK) /* never after a failed call */
        rc = commit(h, out, err);
    hivex_close(h);
    return rc;
}
