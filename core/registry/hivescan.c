/*
 * The structure of a hive, walked once before libhivex gets it: every cell that a key, a list or a
 * value refers to is a cell, is in use, is large enough, and belongs to nobody else. libhivex ends
 * the process (assert) when it frees a cell of which that is not true.
 *
 * Offsets are those of the public description of regf by M. Suhanov, from the start of the cell,
 * its 4 bytes of size included.
 */
#include "registry/hive.h"

#include <string.h>

#define BASE_BLOCK 4096u
#define BIN_HEAD   32u
#define NONE       0xffffffffu
#define SEGMENT    16344u /* largest value in one cell in regf 1.4 and later */

typedef enum cell_state { NO_CELL = 0, CELL_IN_USE, CELL_TAKEN } cell_state;

typedef struct scan {
    const uint8_t *bins;
    uint32_t size;
    uint32_t minor;
    uint8_t *state;  /* cell_state per 8 bytes: cells in use begin there */
    uint32_t *users; /* the same, for security descriptors: keys that refer to it */
    cpuu_error *err;
} scan;

static cpuu_rc bad(scan *s, uint32_t at, const char *what)
{
    return cpuu_fail(s->err, CPUU_E_FORMAT, "the hive is damaged: %s at offset 0x%x", what,
                     at + BASE_BLOCK);
}

/* Marks where the cells in use begin; cells fill a bin without a gap. */
static cpuu_rc mark_cells(scan *s)
{
    for (uint32_t bin = 0; bin < s->size;) {
        uint32_t end = bin + cpuu_le32(s->bins + bin + 8);
        uint32_t at = bin + BIN_HEAD;
        while (at < end) {
            uint32_t raw = cpuu_le32(s->bins + at);
            bool used = raw & 0x80000000u;
            uint32_t size = used ? 0u - raw : raw;
            if (size < 8 || size % 8 || size > end - at)
                return bad(s, at, "a cell of impossible size");
            if (used)
                s->state[at / 8] = CELL_IN_USE;
            at += size;
        }
        bin = end;
    }
    return CPUU_OK;
}

/* A cell in use with at least `min` bytes, its size field included. */
static const uint8_t *look(scan *s, uint32_t at, uint32_t min, uint32_t *size)
{
    if (at >= s->size || at % 8 || s->state[at / 8] == NO_CELL)
        return NULL;
    *size = 0u - cpuu_le32(s->bins + at);
    return *size >= min ? s->bins + at : NULL;
}

/* The same for a cell that has one owner, who takes it. */
static const uint8_t *take(scan *s, uint32_t at, uint32_t min, uint32_t *size)
{
    const uint8_t *cell = look(s, at, min, size);
    if (!cell || s->state[at / 8] == CELL_TAKEN)
        return NULL;
    s->state[at / 8] = CELL_TAKEN;
    return cell;
}

static bool is(const uint8_t *cell, const char *signature)
{
    return memcmp(cell + 4, signature, 2) == 0;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* "db": a list of segments, each but the last of 16344 bytes. */
static cpuu_rc scan_segments(scan *s, uint32_t at, const uint8_t *db, uint32_t bytes)
{
    uint32_t size, count = cpuu_le16(db + 6);
    if (count != (bytes + SEGMENT - 1) / SEGMENT)
        return bad(s, at, "a large value with a wrong number of segments");
    const uint8_t *list = take(s, cpuu_le32(db + 8), 4 + 4 * count, &size);
    for (uint32_t i = 0; list && i < count; i++) {
        uint32_t part = bytes < SEGMENT ? bytes : SEGMENT;
        if (!take(s, cpuu_le32(list + 4 + 4 * i), 4 + part, &size))
            list = NULL;
        bytes -= part;
    }
    return list ? CPUU_OK : bad(s, at, "a large value without all of its segments");
}

static cpuu_rc scan_data(scan *s, uint32_t at, uint32_t bytes)
{
    uint32_t size;
    const uint8_t *cell = take(s, at, 8, &size);
    if (!cell)
        return bad(s, at, "data of a value that are not there");
    if (size - 4 >= bytes)
        return CPUU_OK;
    if (s->minor >= 4 && bytes > SEGMENT && size >= 12 && is(cell, "db"))
        return scan_segments(s, at, cell, bytes);
    return bad(s, at, "data of a value that are too short");
}

static cpuu_rc scan_value(scan *s, uint32_t at)
{
    uint32_t size;
    const uint8_t *vk = take(s, at, 24, &size);
    if (!vk || !is(vk, "vk") || cpuu_le16(vk + 6) > size - 24)
        return bad(s, at, "no value where one should be");
    uint32_t bytes = cpuu_le32(vk + 8);
    if (bytes & 0x80000000u) /* up to four bytes are kept in place of the offset */
        return (bytes & 0x7fffffffu) <= 4 ? CPUU_OK : bad(s, at, "a value of impossible size");
    return scan_data(s, cpuu_le32(vk + 12), bytes);
}

static cpuu_rc scan_values(scan *s, const uint8_t *nk)
{
    uint32_t size, count = cpuu_le32(nk + 40), at = cpuu_le32(nk + 44);
    if (count == 0)
        return CPUU_OK;
    const uint8_t *list = count < s->size / 4 ? take(s, at, 4 + 4 * count, &size) : NULL;
    if (!list)
        return bad(s, at, "no list of values where one should be");
    cpuu_rc rc = CPUU_OK;
    for (uint32_t i = 0; rc == CPUU_OK && i < count; i++)
        rc = scan_value(s, cpuu_le32(list + 4 + 4 * i));
    return rc;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static cpuu_rc scan_key(scan *s, uint32_t at, unsigned depth);

/* A list of keys, or, at the top only, a list of lists. Adds the number of keys to *total. */
static cpuu_rc scan_list(scan *s, uint32_t at, unsigned depth, bool top, uint32_t *total)
{
    uint32_t size;
    const uint8_t *list = take(s, at, 8, &size);
    if (!list)
        return bad(s, at, "no list of keys where one should be");
    bool lists = is(list, "ri"), hashed = is(list, "lf") || is(list, "lh");
    uint32_t step = hashed ? 8 : 4, count = cpuu_le16(list + 6);
    if (!(hashed || is(list, "li") || (lists && top)) || count > (size - 8) / step)
        return bad(s, at, "a list of keys of unknown form");
    cpuu_rc rc = CPUU_OK;
    for (uint32_t i = 0; rc == CPUU_OK && i < count; i++) {
        uint32_t entry = cpuu_le32(list + 8 + step * i);
        rc = lists ? scan_list(s, entry, depth, false, total) : scan_key(s, entry, depth);
    }
    *total += lists ? 0 : count;
    return rc;
}

static cpuu_rc scan_security(scan *s, uint32_t at)
{
    uint32_t size, n;
    const uint8_t *sk = look(s, at, 24, &size); /* shared by many keys */
    if (!sk || !is(sk, "sk") || cpuu_le32(sk + 20) > size - 24)
        return bad(s, at, "no security descriptor where one should be");
    if (++s->users[at / 8] > cpuu_le32(sk + 16)) /* it would be freed while in use */
        return bad(s, at, "a security descriptor with a wrong number of users");
    for (unsigned i = 8; i <= 12; i += 4) { /* next and previous of the ring */
        const uint8_t *other = look(s, cpuu_le32(sk + i), 24, &n);
        if (!other || !is(other, "sk"))
            return bad(s, at, "a broken chain of security descriptors");
    }
    return CPUU_OK;
}

static cpuu_rc scan_key(scan *s, uint32_t at, unsigned depth)
{
    uint32_t size, class_size, total = 0;
    const uint8_t *nk = take(s, at, 80, &size);
    if (!nk || !is(nk, "nk") || cpuu_le16(nk + 76) > size - 80)
        return bad(s, at, "no key where one should be");
    if (depth > CPUU_REG_MAX_DEPTH)
        return bad(s, at, "keys nested too deep");
    cpuu_rc rc = scan_security(s, cpuu_le32(nk + 48));
    uint32_t class_at = cpuu_le32(nk + 52);
    if (rc == CPUU_OK && class_at != NONE &&
        !take(s, class_at, 4u + cpuu_le16(nk + 78), &class_size))
        rc = bad(s, at, "a key whose class is not there");
    if (rc == CPUU_OK)
        rc = scan_values(s, nk);
    if (rc == CPUU_OK && cpuu_le32(nk + 24))
        rc = scan_list(s, cpuu_le32(nk + 32), depth + 1, true, &total);
    if (rc == CPUU_OK && total != cpuu_le32(nk + 24))
        rc = bad(s, at, "a key with a wrong number of keys below");
    return rc;
}

cpuu_rc cpuu_hive_scan(const uint8_t *image, const cpuu_hive_head *head, cpuu_error *err)
{
    scan s = {.bins = image + BASE_BLOCK, .size = head->bins_size, .minor = head->minor,
              .err = err};
    s.state = cpuu_calloc(head->bins_size / 8, sizeof(*s.state));
    s.users = cpuu_calloc(head->bins_size / 8, sizeof(*s.users));
    cpuu_rc rc = s.state && s.users ? mark_cells(&s) : cpuu_nomem(err);
    if (rc == CPUU_OK)
        rc = scan_key(&s, cpuu_le32(image + 36), 0);
    cpuu_free(s.state);
    cpuu_free(s.users);
    return rc;
}
