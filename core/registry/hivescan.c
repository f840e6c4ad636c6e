/*
 * The structure of a hive, walked once before libhivex gets it: every cell that a key, a list or a
 * value refers to is a cell, is in use, is large enough, and belongs to nobody else. libhivex ends
 * the process (assert) when it frees a cell of which that is not true.
 *
 * The same walk verifies what libhivex made of a hive. On it each cell that no edit concerns is
 * compared with the same place in the old hive. By induction from the root that shows that nothing
 * else differs: a key in the same place with the same bytes has its values and the keys below it in
 * the same places, too. Only keys that were edited are read and compared by value.
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
    /* Only when a change is verified: */
    const uint8_t *old; /* bins of the hive before, NULL otherwise */
    uint32_t old_size;
    bool frozen;     /* what is taken now must be as it was ... */
    bool thawed;     /* ... and was not, */
    uint32_t where;  /* here */
} scan;

/* The keys below a changed key, met in the order of the new hive. */
typedef struct lineup {
    const cpuu_key *parent;
    bool *seen;            /* per key below */
    size_t old, fresh;     /* indices most likely met next: of a key that was there, of a new one */
    const cpuu_key *last;  /* met before */
    uint32_t rank;         /* of the last one that was there */
    uint32_t at, security; /* of the parent */
} lineup;

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

static bool as_before(const scan *s, uint32_t at, uint32_t size)
{
    return at < s->old_size && size <= s->old_size - at &&
           memcmp(s->bins + at, s->old + at, size) == 0;
}

/* The same for a cell that has one owner, who takes it. */
static const uint8_t *take(scan *s, uint32_t at, uint32_t min, uint32_t *size)
{
    const uint8_t *cell = look(s, at, min, size);
    if (!cell || s->state[at / 8] == CELL_TAKEN)
        return NULL;
    if (s->frozen && !as_before(s, at, *size)) {
        s->thawed = true;
        s->where = at;
        return NULL;
    }
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

static cpuu_rc unlike(scan *s, const cpuu_key *key, const char *what)
{
    return cpuu_fail(s->err, CPUU_E_FAILED, "key '%s' is not what was asked for: %s", key->name,
                     what);
}

/* A key that was there has not moved; a new one is known by its name. */
static bool is_kid(scan *s, uint32_t at, const lineup *up, size_t i)
{
    const cpuu_key *kid = up->parent->kids[i];
    if (kid->cell)
        return kid->cell == at;
    uint32_t size, length = (uint32_t)strlen(kid->name);
    const uint8_t *nk = look(s, at, 80 + length, &size);
    return nk && cpuu_le16(nk + 76) == length && memcmp(nk + 80, kid->name, length) == 0;
}

/* The index of the key below up->parent that the cell is; n_kids when none. */
static size_t recognise(scan *s, uint32_t at, const lineup *up)
{
    size_t n = up->parent->n_kids, i = 0;
    if (up->old < n && is_kid(s, at, up, up->old))
        return up->old;
    if (up->fresh < n && is_kid(s, at, up, up->fresh))
        return up->fresh;
    while (i < n && !is_kid(s, at, up, i))
        i++;
    return i;
}

/* Windows searches a list by upper-case names. What was there keeps its order, whatever that is. */
static bool in_order(const lineup *up, const cpuu_key *kid)
{
    if (kid->cell && kid->rank <= up->rank)
        return false;
    return !up->last || (up->last->cell && kid->cell) ||
           cpuu_hive_order(up->last->name, kid->name) < 0;
}

/* "lh": hash * 37 + upper-case character; "lf": the first four characters. New names are ASCII. */
static bool good_hash(const uint8_t *list, const uint8_t *entry, const char *name)
{
    uint32_t hash = 0;
    char hint[4] = {0};
    if (is(list, "lh")) {
        for (; *name; name++)
            hash = hash * 37 + (uint32_t)(*name >= 'a' && *name <= 'z' ? *name - 32 : *name);
        return cpuu_le32(entry + 4) == hash;
    }
    memcpy(hint, name, strlen(name) < 4 ? strlen(name) : 4);
    return !is(list, "lf") || memcmp(entry + 4, hint, 4) == 0;
}

static cpuu_rc scan_key(scan *s, uint32_t at, unsigned depth, const cpuu_key *to,
                        const lineup *up);

/* A key below a changed one, entry of a list. */
static cpuu_rc scan_kid(scan *s, const uint8_t *list, const uint8_t *entry, unsigned depth,
                        lineup *up)
{
    uint32_t at = cpuu_le32(entry);
    size_t i = recognise(s, at, up);
    if (i == up->parent->n_kids || up->seen[i])
        return unlike(s, up->parent, "it has another key below");
    const cpuu_key *kid = up->parent->kids[i];
    if (!in_order(up, kid) || (!kid->cell && !good_hash(list, entry, kid->name)))
        return unlike(s, kid, "Windows would not look for it where it is");
    up->seen[i] = true;
    *(kid->cell ? &up->old : &up->fresh) = i + 1;
    up->rank = kid->cell ? kid->rank : up->rank;
    up->last = kid;
    s->frozen = !kid->changed;
    cpuu_rc rc = scan_key(s, at, depth, kid->changed ? kid : NULL, up);
    s->frozen = false;
    return rc;
}

/* A list of keys, or, at the top only, a list of lists. Adds the number of keys to *total. `up` is
 * NULL where all keys are alike. */
static cpuu_rc scan_list(scan *s, uint32_t at, unsigned depth, bool top, lineup *up,
                         uint32_t *total)
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
        const uint8_t *entry = list + 8 + step * i;
        if (lists)
            rc = scan_list(s, cpuu_le32(entry), depth, false, up, total);
        else
            rc = up ? scan_kid(s, list, entry, depth, up)
                    : scan_key(s, cpuu_le32(entry), depth, NULL, NULL);
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
    if (s->users[at / 8] > 1)
        return CPUU_OK;
    if (s->old && !(as_before(s, at, 8) && as_before(s, at + 20, size - 20)))
        return bad(s, at, "a security descriptor was changed");
    for (unsigned i = 8; i <= 12; i += 4) { /* next and previous of the ring */
        const uint8_t *other = look(s, cpuu_le32(sk + i), 24, &n);
        if (!other || !is(other, "sk"))
            return bad(s, at, "a broken chain of security descriptors");
    }
    return CPUU_OK;
}

/* What edits do not concern in the cell of a changed key: all but the time, the numbers and places
 * of values and keys below, and the longest names among them. A new key has no class, and inherits
 * the descriptor of its parent. */
static cpuu_rc check_fixed(scan *s, uint32_t at, const uint8_t *nk, const cpuu_key *to,
                           const lineup *up)
{
    uint32_t name = 4u + cpuu_le16(nk + 76);
    if (to->cell && (to->cell != at || !as_before(s, at, 8) || !as_before(s, at + 16, 8) ||
                     !as_before(s, at + 48, 8) || !as_before(s, at + 76, name)))
        return unlike(s, to, "more than its values and the keys below were changed");
    if (!to->cell && (cpuu_le16(nk + 6) != 0x20 || cpuu_le32(nk + 20) != up->at ||
                      cpuu_le32(nk + 48) != up->security || cpuu_le32(nk + 52) != NONE))
        return unlike(s, to, "it is not what a new key should be");
    return CPUU_OK;
}

/* Name and values of a changed key whose cells are known to be sound. */
static cpuu_rc check_contents(scan *s, uint32_t at, const cpuu_key *to)
{
    cpuu_key *now;
    cpuu_hive_head head = {s->minor, s->size};
    cpuu_rc rc = cpuu_hive_load_one(s->bins - BASE_BLOCK, &head, at, &now, s->err);
    if (rc != CPUU_OK)
        return rc;
    if (strcmp(now->name, to->name) != 0)
        rc = unlike(s, to, "it has another name");
    else if (!cpuu_hive_same_values(now, to))
        rc = unlike(s, to, "its values differ");
    cpuu_key_free(now);
    return rc;
}

static cpuu_rc scan_below(scan *s, uint32_t at, unsigned depth, lineup *up)
{
    const uint8_t *nk = s->bins + at;
    uint32_t total = 0;
    cpuu_rc rc = CPUU_OK;
    if (cpuu_le32(nk + 24))
        rc = scan_list(s, cpuu_le32(nk + 32), depth + 1, true, up, &total);
    if (rc == CPUU_OK && total != cpuu_le32(nk + 24))
        rc = bad(s, at, "a key with a wrong number of keys below");
    if (rc == CPUU_OK && up && total != up->parent->n_kids)
        rc = unlike(s, up->parent, "it has another number of keys below");
    return rc;
}

static cpuu_rc scan_changed(scan *s, uint32_t at, unsigned depth, const cpuu_key *to,
                            const lineup *up)
{
    const uint8_t *nk = s->bins + at;
    lineup below = {.parent = to, .at = at, .security = cpuu_le32(nk + 48)};
    cpuu_rc rc = check_fixed(s, at, nk, to, up);
    if (rc == CPUU_OK)
        rc = check_contents(s, at, to);
    if (rc != CPUU_OK)
        return rc;
    below.seen = cpuu_calloc(to->n_kids, sizeof(*below.seen));
    rc = below.seen ? scan_below(s, at, depth, &below) : cpuu_nomem(s->err);
    cpuu_free(below.seen);
    return rc;
}

/* `to` is what a changed key should be, NULL for all others. */
static cpuu_rc scan_key(scan *s, uint32_t at, unsigned depth, const cpuu_key *to, const lineup *up)
{
    uint32_t size, class_at;
    const uint8_t *nk = take(s, at, 80, &size);
    if (!nk || !is(nk, "nk") || cpuu_le16(nk + 76) > size - 80)
        return bad(s, at, "no key where one should be");
    if (depth > CPUU_REG_MAX_DEPTH)
        return bad(s, at, "keys nested too deep");
    cpuu_rc rc = scan_security(s, cpuu_le32(nk + 48));
    bool frozen = s->frozen;
    s->frozen |= to != NULL;
    class_at = cpuu_le32(nk + 52);
    if (rc == CPUU_OK && class_at != NONE && !take(s, class_at, 4u + cpuu_le16(nk + 78), &size))
        rc = bad(s, at, "a key whose class is not there");
    s->frozen = frozen || (to && !to->values_changed);
    if (rc == CPUU_OK)
        rc = scan_values(s, nk);
    s->frozen = frozen;
    if (rc != CPUU_OK)
        return rc;
    return to ? scan_changed(s, at, depth, to, up) : scan_below(s, at, depth, NULL);
}

static cpuu_rc walk(scan *s, uint32_t root, const cpuu_key *to)
{
    s->state = cpuu_calloc(s->size / 8, sizeof(*s->state));
    s->users = cpuu_calloc(s->size / 8, sizeof(*s->users));
    cpuu_rc rc = s->state && s->users ? mark_cells(s) : cpuu_nomem(s->err);
    if (rc == CPUU_OK)
        rc = scan_key(s, root, 0, to, NULL);
    cpuu_free(s->state);
    cpuu_free(s->users);
    return rc;
}

cpuu_rc cpuu_hive_scan(const uint8_t *image, const cpuu_hive_head *head, cpuu_error *err)
{
    scan s = {.bins = image + BASE_BLOCK, .size = head->bins_size, .minor = head->minor,
              .err = err};
    return walk(&s, cpuu_le32(image + 36), NULL);
}

/* All of the base block but sequence numbers, time, size of the bins and checksum. */
static bool same_base(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, 4) == 0 && memcmp(a + 20, b + 20, 20) == 0 &&
           memcmp(a + 44, b + 44, 464) == 0 && memcmp(a + 512, b + 512, BASE_BLOCK - 512) == 0;
}

cpuu_rc cpuu_hive_verify(const cpuu_hive_image *before, const cpuu_hive_image *now,
                         const cpuu_key *to, cpuu_error *err)
{
    cpuu_hive_head head;
    cpuu_rc rc = cpuu_hive_check_head(now->data, now->size, &head, err);
    if (rc != CPUU_OK)
        return rc;
    if (!same_base(before->data, now->data))
        return cpuu_fail(err, CPUU_E_FAILED, "the base block was changed");
    scan s = {.bins = now->data + BASE_BLOCK, .size = head.bins_size, .minor = head.minor,
              .err = err, .old = before->data + BASE_BLOCK,
              .old_size = cpuu_le32(before->data + 40)};
    rc = walk(&s, cpuu_le32(now->data + 36), to);
    if (rc != CPUU_OK && s.thawed)
        return cpuu_fail(err, CPUU_E_FAILED, "what no edit concerns was changed, at offset 0x%x",
                         s.where + BASE_BLOCK);
    return rc;
}
