/*
 * The structure of a hive, walked once before libhivex gets it: every cell that a key, a list or a
 * value refers to is a cell, is in use, is large enough, and belongs to nobody else. libhivex ends
 * the process (assert) when it frees a cell of which that is not true. What was found out about
 * each cell is kept for hiveverify.c.
 *
 * Offsets are those of the public description of regf by M. Suhanov, from the start of the cell,
 * its 4 bytes of size included.
 */
#include "registry/hivescan.h"

#define SEGMENT 16344u /* largest value in one cell in regf 1.4 and later */

cpuu_rc cpuu_scan_bad(cpuu_scan *s, uint32_t at, const char *what)
{
    return cpuu_fail(s->err, CPUU_E_FORMAT, "the hive is damaged: %s at offset 0x%x", what,
                     at + CPUU_SCAN_BASE);
}

/* ---- descriptors ------------------------------------------------------------------------------ */

bool cpuu_tally_init(cpuu_tally *t, uint32_t size)
{
    t->n_pages = size / CPUU_HIVE_PAGE;
    t->pages = cpuu_calloc(t->n_pages, sizeof(*t->pages));
    return t->pages;
}

void cpuu_tally_free(cpuu_tally *t)
{
    for (size_t i = 0; t->pages && i < t->n_pages; i++)
        cpuu_free(t->pages[i]);
    cpuu_free(t->pages);
}

uint32_t *cpuu_tally_of(cpuu_tally *t, uint32_t at)
{
    uint32_t **page = &t->pages[at / CPUU_HIVE_PAGE];
    if (!*page)
        *page = cpuu_calloc(CPUU_HIVE_PAGE / 8, sizeof(**page));
    return *page ? *page + at % CPUU_HIVE_PAGE / 8 : NULL;
}

/* ---- cells ----------------------------------------------------------------------------------- */

uint32_t cpuu_scan_cell_size(const uint8_t *bins, uint32_t at, uint32_t end, bool *used)
{
    uint32_t raw = cpuu_le32(bins + at);
    *used = raw & 0x80000000u;
    uint32_t size = *used ? 0u - raw : raw;
    return size < 8 || size % 8 || size > end - at ? 0 : size;
}

/* Marks where the cells in use begin; cells fill a bin without a gap. */
static cpuu_rc mark_cells(cpuu_scan *s)
{
    for (uint32_t bin = 0; bin < s->size;) {
        uint32_t end = bin + cpuu_le32(s->bins + bin + 8);
        uint32_t at = bin + CPUU_SCAN_HEAD;
        while (at < end) {
            bool used;
            uint32_t size = cpuu_scan_cell_size(s->bins, at, end, &used);
            if (size == 0)
                return cpuu_scan_bad(s, at, "a cell of impossible size");
            if (used)
                cpuu_cell_set(s->states, at, CPUU_CELL_IN_USE);
            at += size;
        }
        bin = end;
    }
    return CPUU_OK;
}

const uint8_t *cpuu_scan_look(cpuu_scan *s, uint32_t at, uint32_t min, uint32_t *size)
{
    if (at >= s->size || at % 8 || cpuu_cell_state_of(s->states, at) == CPUU_CELL_NONE)
        return NULL;
    *size = 0u - cpuu_le32(s->bins + at);
    return *size >= min ? s->bins + at : NULL;
}

const uint8_t *cpuu_scan_take(cpuu_scan *s, uint32_t at, uint32_t min, uint32_t *size)
{
    const uint8_t *cell = cpuu_scan_look(s, at, min, size);
    if (!cell || cpuu_cell_state_of(s->states, at) != CPUU_CELL_IN_USE)
        return NULL;
    cpuu_cell_set(s->states, at, CPUU_CELL_TAKEN);
    return cell;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* "db": a list of segments, each but the last of 16344 bytes. */
static cpuu_rc scan_segments(cpuu_scan *s, uint32_t at, const uint8_t *db, uint32_t bytes)
{
    uint32_t size, count = cpuu_le16(db + 6);
    if (count != (bytes + SEGMENT - 1) / SEGMENT)
        return cpuu_scan_bad(s, at, "a large value with a wrong number of segments");
    const uint8_t *list = cpuu_scan_take(s, cpuu_le32(db + 8), 4 + 4 * count, &size);
    for (uint32_t i = 0; list && i < count; i++) {
        uint32_t part = bytes < SEGMENT ? bytes : SEGMENT;
        if (!cpuu_scan_take(s, cpuu_le32(list + 4 + 4 * i), 4 + part, &size))
            list = NULL;
        bytes -= part;
    }
    return list ? CPUU_OK : cpuu_scan_bad(s, at, "a large value without all of its segments");
}

static cpuu_rc scan_data(cpuu_scan *s, uint32_t at, uint32_t bytes)
{
    uint32_t size;
    const uint8_t *cell = cpuu_scan_take(s, at, 8, &size);
    if (!cell)
        return cpuu_scan_bad(s, at, "data of a value that are not there");
    if (size - 4 >= bytes)
        return CPUU_OK;
    if (s->minor >= 4 && bytes > SEGMENT && size >= 12 && cpuu_cell_is(cell, "db"))
        return scan_segments(s, at, cell, bytes);
    return cpuu_scan_bad(s, at, "data of a value that are too short");
}

static cpuu_rc scan_value(cpuu_scan *s, uint32_t at)
{
    uint32_t size;
    const uint8_t *vk = cpuu_scan_take(s, at, 24, &size);
    if (!vk || !cpuu_cell_is(vk, "vk") || cpuu_le16(vk + 6) > size - 24)
        return cpuu_scan_bad(s, at, "no value where one should be");
    uint32_t bytes = cpuu_le32(vk + 8);
    if (bytes & 0x80000000u) /* up to four bytes are kept in place of the offset */
        return (bytes & 0x7fffffffu) <= 4 ? CPUU_OK
                                          : cpuu_scan_bad(s, at, "a value of impossible size");
    return bytes ? scan_data(s, cpuu_le32(vk + 12), bytes) : CPUU_OK; /* the offset means nothing */
}

cpuu_rc cpuu_scan_values(cpuu_scan *s, const uint8_t *nk)
{
    uint32_t size, count = cpuu_le32(nk + 40), at = cpuu_le32(nk + 44);
    if (count == 0)
        return CPUU_OK;
    const uint8_t *list = count < s->size / 4 ? cpuu_scan_take(s, at, 4 + 4 * count, &size) : NULL;
    if (!list)
        return cpuu_scan_bad(s, at, "no list of values where one should be");
    cpuu_rc rc = CPUU_OK;
    for (uint32_t i = 0; rc == CPUU_OK && i < count; i++)
        rc = scan_value(s, cpuu_le32(list + 4 + 4 * i));
    return rc;
}

/* ---- keys ------------------------------------------------------------------------------------ */

const uint8_t *cpuu_scan_take_key(cpuu_scan *s, uint32_t at, unsigned depth)
{
    uint32_t size;
    const uint8_t *nk = cpuu_scan_take(s, at, 80, &size);
    if (!nk || !cpuu_cell_is(nk, "nk") || cpuu_le16(nk + 76) > size - 80) {
        cpuu_scan_bad(s, at, "no key where one should be");
        return NULL;
    }
    if (depth > CPUU_REG_MAX_DEPTH) {
        cpuu_scan_bad(s, at, "keys nested too deep");
        return NULL;
    }
    return nk;
}

/* A list of keys, or, at the top only, a list of lists. Adds the number of keys to *total. */
static cpuu_rc scan_list(cpuu_scan *s, uint32_t at, unsigned depth, bool top, cpuu_scan_kid *kid,
                         void *with, uint32_t *total)
{
    uint32_t size;
    const uint8_t *list = cpuu_scan_take(s, at, 8, &size);
    if (!list)
        return cpuu_scan_bad(s, at, "no list of keys where one should be");
    bool lists = cpuu_cell_is(list, "ri");
    bool hashed = cpuu_cell_is(list, "lf") || cpuu_cell_is(list, "lh");
    uint32_t step = hashed ? 8 : 4, count = cpuu_le16(list + 6);
    if (!(hashed || cpuu_cell_is(list, "li") || (lists && top)) || count > (size - 8) / step)
        return cpuu_scan_bad(s, at, "a list of keys of unknown form");
    cpuu_rc rc = CPUU_OK;
    for (uint32_t i = 0; rc == CPUU_OK && i < count; i++) {
        const uint8_t *entry = list + 8 + step * i;
        rc = lists ? scan_list(s, cpuu_le32(entry), depth, false, kid, with, total)
                   : kid(s, list, entry, depth, with);
    }
    *total += lists ? 0 : count;
    return rc;
}

cpuu_rc cpuu_scan_below(cpuu_scan *s, uint32_t at, unsigned depth, cpuu_scan_kid *kid, void *with)
{
    const uint8_t *nk = s->bins + at;
    uint32_t total = 0;
    cpuu_rc rc = CPUU_OK;
    if (cpuu_le32(nk + 24))
        rc = scan_list(s, cpuu_le32(nk + 32), depth + 1, true, kid, with, &total);
    if (rc == CPUU_OK && total != cpuu_le32(nk + 24))
        rc = cpuu_scan_bad(s, at, "a key with a wrong number of keys below");
    return rc;
}

cpuu_rc cpuu_scan_ring(cpuu_scan *s, uint32_t at, const uint8_t *sk)
{
    uint32_t size;
    for (unsigned i = 8; i <= 12; i += 4) {
        const uint8_t *other = cpuu_scan_look(s, cpuu_le32(sk + i), 24, &size);
        if (!other || !cpuu_cell_is(other, "sk"))
            return cpuu_scan_bad(s, at, "a broken chain of security descriptors");
    }
    return CPUU_OK;
}

/* `users` has the number of keys that refer to a descriptor. */
static cpuu_rc scan_security(cpuu_scan *s, uint32_t at, cpuu_tally *users)
{
    uint32_t size;
    const uint8_t *sk = cpuu_scan_look(s, at, 24, &size);
    if (!sk || !cpuu_cell_is(sk, "sk") || cpuu_le32(sk + 20) > size - 24 ||
        cpuu_cell_state_of(s->states, at) == CPUU_CELL_TAKEN)
        return cpuu_scan_bad(s, at, "no security descriptor where one should be");
    uint32_t *n = cpuu_tally_of(users, at);
    if (!n)
        return cpuu_nomem(s->err);
    if (++*n > cpuu_le32(sk + 16)) /* it would be freed while in use */
        return cpuu_scan_bad(s, at, "a security descriptor with a wrong number of users");
    if (*n > 1)
        return CPUU_OK;
    cpuu_cell_set(s->states, at, CPUU_CELL_SHARED);
    return cpuu_scan_ring(s, at, sk);
}

static cpuu_scan_kid scan_kid;

static cpuu_rc scan_key(cpuu_scan *s, uint32_t at, unsigned depth, cpuu_tally *users)
{
    uint32_t size;
    const uint8_t *nk = cpuu_scan_take_key(s, at, depth);
    if (!nk)
        return CPUU_E_FORMAT;
    cpuu_rc rc = scan_security(s, cpuu_le32(nk + 48), users);
    uint32_t class_at = cpuu_le32(nk + 52);
    if (rc == CPUU_OK && class_at != CPUU_SCAN_NONE &&
        !cpuu_scan_take(s, class_at, 4u + cpuu_le16(nk + 78), &size))
        rc = cpuu_scan_bad(s, at, "a key whose class is not there");
    if (rc == CPUU_OK)
        rc = cpuu_scan_values(s, nk);
    return rc == CPUU_OK ? cpuu_scan_below(s, at, depth, scan_kid, users) : rc;
}

static cpuu_rc scan_kid(cpuu_scan *s, const uint8_t *list, const uint8_t *entry, unsigned depth,
                        void *with)
{
    (void)list;
    return scan_key(s, cpuu_le32(entry), depth, with);
}

/* ---- a hive ---------------------------------------------------------------------------------- */

void cpuu_hive_cells_free(cpuu_hive_cells *cells)
{
    cpuu_free(cells->states);
    *cells = (cpuu_hive_cells){0};
}

cpuu_rc cpuu_hive_scan(const uint8_t *image, const cpuu_hive_head *head, cpuu_hive_cells *out,
                       cpuu_error *err)
{
    cpuu_hive_cells cells = {cpuu_calloc(head->bins_size / 32, 1), head->bins_size};
    cpuu_tally users;
    bool room = cpuu_tally_init(&users, head->bins_size);
    cpuu_scan s = {image + CPUU_SCAN_BASE, head->bins_size, head->minor, cells.states, err};
    cpuu_rc rc = cells.states && room ? mark_cells(&s) : cpuu_nomem(err);
    if (rc == CPUU_OK)
        rc = scan_key(&s, cpuu_le32(image + 36), 0, &users);
    cpuu_tally_free(&users);
    if (rc == CPUU_OK)
        *out = cells;
    else
        cpuu_hive_cells_free(&cells);
    return rc;
}
