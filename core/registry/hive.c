/*
 * Hives as bytes; the one user of libhivex. What libhivex does not check or gets wrong is
 * checked or refused here: dirty hives, values that need "db" cells, key names outside ASCII,
 * the order of keys. After a call that changes a hive has failed, the hive in memory is damaged: it
 * is dropped.
 */
#include <config.h>

#include "registry/hiveexcerpt.h"
#include "registry/hivelog.h"

#include <errno.h>
#include <fcntl.h>
#include <hivex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BASE_BLOCK 4096u
#define BIN_UNIT   4096u
/* One cell holds so much; regf 1.4 and later split larger values into segments ("db"), which
 * libhivex reads but does not write. */
#define MAX_CELL_VALUE 16344u
/* libhivex refuses to allocate more (measured). */
#define MAX_HIVEX_VALUE 999996u
#define MIN_KEY_CELL 80u

/* ---- base block and bins --------------------------------------------------------------------- */

static cpuu_rc damaged(cpuu_error *err, const char *what)
{
    return cpuu_fail(err, CPUU_E_FORMAT, "the hive is damaged: %s", what);
}

cpuu_rc cpuu_hive_check_bins(const uint8_t *image, uint32_t from, uint32_t to, cpuu_error *err)
{
    for (uint32_t at = from; at < to;) {
        const uint8_t *bin = image + BASE_BLOCK + at;
        uint32_t size = cpuu_le32(bin + 8);
        if (memcmp(bin, "hbin", 4) != 0 || cpuu_le32(bin + 4) != at)
            return damaged(err, "a bin does not begin where the one before ends");
        if (size == 0 || size % BIN_UNIT || size > to - at)
            return damaged(err, "a bin has an impossible size");
        at += size;
    }
    return CPUU_OK;
}

cpuu_rc cpuu_hive_check_base(const uint8_t *image, size_t size, cpuu_hive_head *out,
                             cpuu_error *err)
{
    if (size < BASE_BLOCK || memcmp(image, "regf", 4) != 0)
        return cpuu_fail(err, CPUU_E_FORMAT, "this is not a registry hive (no regf base block)");
    uint32_t sum = cpuu_hive_xor(image);
    if (cpuu_hive_checksum(sum) != cpuu_le32(image + 508))
        return damaged(err, "the checksum of its base block is wrong");
    if (cpuu_hive_checksum(sum) != sum)
        return cpuu_fail(err, CPUU_E_UNSUPPORTED, "libhivex cannot read a hive whose base block "
                         "has the checksum 0 or -1");
    uint32_t major = cpuu_le32(image + 20), minor = cpuu_le32(image + 24);
    if (major != 1 || minor < 3 || minor > 6)
        return cpuu_fail(err, CPUU_E_UNSUPPORTED, "hives of regf version %u.%u are not supported",
                         major, minor);
    if (minor == 6 && (cpuu_le32(image + 144) & 2)) /* observed in containers only */
        return cpuu_fail(err, CPUU_E_UNSUPPORTED, "hives with layered keys are not supported");
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
    *out = (cpuu_hive_head){minor, bins_size};
    return CPUU_OK;
}

cpuu_rc cpuu_hive_check(const cpuu_hive_image *image, cpuu_hive_head *head, cpuu_hive_cells *cells,
                        cpuu_error *err)
{
    cpuu_rc rc = cpuu_hive_check_base(image->data, image->size, head, err);
    if (rc == CPUU_OK)
        rc = cpuu_hive_check_bins(image->data, 0, head->bins_size, err);
    return rc == CPUU_OK ? cpuu_hive_scan(image->data, head, cells, err) : rc;
}

/* ---- libhivex -------------------------------------------------------------------------------- */

static void fd_path(char out[40], int fd)
{
    snprintf(out, 40, "/proc/self/fd/%d", fd);
}

/* For writing: libhivex makes a copy of the file. */
static cpuu_rc open_file(int fd, hive_h **out, cpuu_error *err)
{
    char path[40];
    fd_path(path, fd);
    hive_h *h = hivex_open(path, HIVEX_OPEN_WRITE);
    int e = errno;
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

/* ---- comparing ------------------------------------------------------------------------------- */

static bool same_value(const cpuu_reg_value *a, const cpuu_reg_value *b)
{
    return a->type == b->type && a->size == b->size && memcmp(a->data, b->data, a->size) == 0 &&
           strcmp(a->name, b->name) == 0;
}

bool cpuu_hive_same_values(const cpuu_key *a, const cpuu_key *b)
{
    if (a->n_values != b->n_values)
        return false;
    for (size_t i = 0; a != b && i < a->n_values; i++) {
        if (!same_value(&a->values[i], &b->values[i]))
            return false;
    }
    return true;
}

size_t cpuu_hive_find(const cpuu_key *in, size_t hint, const char *name)
{
    for (size_t n = 0; n < in->n_kids; n++) {
        size_t i = hint + n < in->n_kids ? hint + n : (hint + n) % in->n_kids;
        if (strcmp(in->kids[i]->name, name) == 0)
            return i;
    }
    return in->n_kids;
}

/* The key of b that belongs to key i of a, or NULL. *at is its index, from one call to the next. */
static const cpuu_key *twin(const cpuu_key *a, size_t i, const cpuu_key *b, size_t *at)
{
    size_t hint = i ? *at + 1 : 0;
    if (hint < b->n_kids && b->kids[hint] == a->kids[i])
        *at = hint;
    else
        *at = cpuu_hive_find(b, hint, a->kids[i]->name);
    return *at < b->n_kids ? b->kids[*at] : NULL;
}

bool cpuu_hive_equal(const cpuu_key *a, const cpuu_key *b)
{
    size_t at = 0;
    if (a == b)
        return true;
    if (!cpuu_hive_same_values(a, b) || a->n_kids != b->n_kids)
        return false;
    for (size_t i = 0; i < a->n_kids; i++) {
        const cpuu_key *other = twin(a, i, b, &at);
        if (!other || !cpuu_hive_equal(a->kids[i], other))
            return false;
    }
    return true;
}

int cpuu_hive_order(const char *a, const char *b)
{
    for (;; a++, b++) {
        int p = (unsigned char)*a, q = (unsigned char)*b;
        p -= p >= 'a' && p <= 'z' ? 32 : 0;
        q -= q >= 'a' && q <= 'z' ? 32 : 0;
        if (p != q || !p)
            return p - q;
    }
}

void cpuu_hive_settle(const cpuu_key *from, cpuu_key *to)
{
    size_t at = 0;
    for (size_t i = 0; from != to && i < to->n_kids; i++) {
        cpuu_key *kid = to->kids[i];
        const cpuu_key *old = twin(to, i, from, &at);
        if (!old || old == kid)
            continue;
        kid->cell = old->cell;
        kid->rank = old->rank;
        cpuu_hive_settle(old, kid);
    }
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

/* Only what no edit named was not read: it can be met when two keys have one name. */
static cpuu_rc check_read(const cpuu_key *key, cpuu_error *err)
{
    if (key->stub)
        return cpuu_fail(err, CPUU_E_UNSUPPORTED, "there is more than one key '%s'", key->name);
    return CPUU_OK;
}

static cpuu_rc check_plain(const cpuu_key *key, cpuu_error *err)
{
    if (key->odd)
        return cpuu_fail(err, CPUU_E_UNSUPPORTED, "key '%s' holds a value with a NUL in its name, or "
                         "one that is not set, and cannot be changed", key->name);
    return CPUU_OK;
}

static cpuu_rc check_deleted(const cpuu_key *key, cpuu_error *err)
{
    cpuu_rc rc = check_read(key, err);
    if (rc == CPUU_OK)
        rc = check_name(key, err);
    if (rc == CPUU_OK)
        rc = check_plain(key, err);
    for (size_t i = 0; rc == CPUU_OK && i < key->n_kids; i++)
        rc = check_deleted(key->kids[i], err);
    return rc;
}

static cpuu_rc check_values(const cpuu_hive_head *head, const cpuu_key *key, cpuu_error *err)
{
    uint32_t limit = head->minor >= 4 ? MAX_CELL_VALUE : MAX_HIVEX_VALUE;
    cpuu_rc rc = check_plain(key, err);
    if (rc != CPUU_OK)
        return rc;
    for (size_t i = 0; i < key->n_values; i++) {
        if (key->values[i].size > limit)
            return cpuu_fail(err, CPUU_E_UNSUPPORTED,
                             "key '%s' cannot be changed in an offline hive: its value '%s' has %u "
                             "bytes, and at most %u can be written", key->name,
                             key->values[i].name, key->values[i].size, limit);
    }
    return CPUU_OK;
}

/* libhivex writes the list of keys anew, 8 bytes for each, with every key that it adds, and does
 * not use the room of the old one again. */
static cpuu_rc check_growth(const cpuu_key *key, size_t before, size_t fresh, cpuu_error *err)
{
    if ((uint64_t)fresh * (before + fresh / 2) * 8 <= CPUU_HIVE_MAX_SIZE)
        return CPUU_OK;
    return cpuu_fail(err, CPUU_E_TOOBIG, "%zu keys cannot be created below key '%s' at once", fresh,
                     key->name);
}

/* `from` is NULL for a new key. */
static cpuu_rc check_key(const cpuu_hive_head *head, const cpuu_key *from, const cpuu_key *to,
                         cpuu_error *err)
{
    static const cpuu_key nothing;
    const cpuu_key *old = from ? from : &nothing;
    size_t at = 0;
    if (from == to)
        return CPUU_OK;
    cpuu_rc rc = from ? check_read(from, err) : check_name(to, err);
    if (rc == CPUU_OK && !cpuu_hive_same_values(old, to)) {
        rc = check_values(head, old, err);
        if (rc == CPUU_OK)
            rc = check_values(head, to, err);
    }
    for (size_t i = 0; rc == CPUU_OK && i < old->n_kids; i++) {
        if (!twin(old, i, to, &at))
            rc = check_deleted(old->kids[i], err);
    }
    size_t fresh = 0;
    for (size_t i = 0; rc == CPUU_OK && i < to->n_kids; i++) {
        const cpuu_key *before = twin(to, i, old, &at);
        fresh += !before;
        rc = check_key(head, before, to->kids[i], err);
    }
    return rc == CPUU_OK ? check_growth(to, old->n_kids, fresh, err) : rc;
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
    size_t at = 0;
    for (size_t i = 0; i < from->n_kids; i++) {
        if (!twin(from, i, to, &at) && hivex_node_delete_child(h, kids[i]) != 0)
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
    size_t at = 0;
    cpuu_rc rc = delete_kids(h, kids, from, to, err);
    for (size_t i = 0; rc == CPUU_OK && i < to->n_kids; i++) {
        const cpuu_key *kid = to->kids[i], *old = twin(to, i, from, &at);
        if (old) {
            rc = change_key(h, kids[at], old, kid, err);
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
    if (cpuu_hive_equal(from, to))
        return CPUU_OK;
    cpuu_rc rc = cpuu_hive_same_values(from, to) ? CPUU_OK : set_values(h, node, to, err);
    return rc == CPUU_OK ? change_kids(h, node, from, to, err) : rc;
}

static cpuu_rc commit(hive_h *h, int fd, cpuu_error *err)
{
    char path[40];
    fd_path(path, fd);
    if (hivex_commit(h, path, 0) != 0)
        return cpuu_fail_errno(err, errno, "libhivex cannot write the changed hive");
    return CPUU_OK;
}

/* A file that holds the tree `from`. */
static cpuu_rc change_file(int fd, const cpuu_key *from, const cpuu_key *to, cpuu_error *err)
{
    hive_h *h = NULL;
    cpuu_rc rc = open_file(fd, &h, err);
    if (rc != CPUU_OK)
        return rc;
    hive_node_h root = hivex_root(h);
    rc = root ? change_key(h, root, from, to, err) : change_failed("find the root", "key", err);
    if (rc == CPUU_OK) /* never after a failed call */
        rc = commit(h, fd, err);
    hivex_close(h);
    return rc;
}

cpuu_rc cpuu_hive_change(const cpuu_hive_image *image, const cpuu_hive_cells *cells,
                         const cpuu_key *from, const cpuu_key *to, int fd, cpuu_error *err)
{
    cpuu_excerpt x;
    if (!cpuu_hive_put(fd, image->data, image->size, 0))
        return cpuu_fail_errno(err, errno, "cannot write the changed hive");
    cpuu_rc rc = cpuu_excerpt_take(&x, image, cells, from, err);
    if (rc == CPUU_OK)
        rc = change_file(x.file.fd, from, to, err);
    if (rc == CPUU_OK)
        rc = cpuu_excerpt_give_back(&x, fd, err);
    if (rc == CPUU_OK) /* a hint: the disk may begin */
        sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    cpuu_excerpt_free(&x);
    return rc;
}
