/*
 * Whether a new hive is the old one with the edits that were asked for and nothing else.
 *
 * The old hive was scanned: each of its cells has one owner. Cells that edits do not concern must
 * be as they were, byte by byte, and bins without a changed byte are not even parsed. By induction
 * from the root that shows that nothing else differs: a key in the same place with the same bytes
 * has its values and the keys below it in the same places, too. Only keys that were edited are read
 * and compared by value, and what they own must be nobody else's.
 *
 * Offsets as in hivescan.c.
 */
#include "registry/hivescan.h"

typedef struct verifier {
    cpuu_scan s;        /* the new hive */
    const uint8_t *old; /* the bins before */
    uint32_t old_size;
    const cpuu_hive_variant *now;
    cpuu_tally users;   /* keys gained, modulo 2^32, of a security descriptor */
    uint32_t *touched;  /* descriptors that gained or lost keys or have other bytes */
    size_t n_touched, cap_touched;
    bool freed;         /* a descriptor is gone */
} verifier;

/* The keys below a changed key, met in the order of the new hive. */
typedef struct lineup {
    verifier *v;
    const cpuu_key *parent;
    bool *seen;            /* per key below */
    size_t old, fresh;     /* indices most likely met next: of a key that was there, of a new one */
    const cpuu_key *last;  /* met before */
    uint32_t rank;         /* of the last one that was there */
    uint32_t at, security; /* of the parent */
} lineup;

static cpuu_rc unlike(verifier *v, const cpuu_key *key, const char *what)
{
    return cpuu_fail(v->s.err, CPUU_E_FAILED, "key '%s' is not what was asked for: %s", key->name,
                     what);
}

static cpuu_rc thawed(verifier *v, uint32_t at)
{
    return cpuu_fail(v->s.err, CPUU_E_FAILED,
                     "what no edit concerns was changed, at offset 0x%x", at + CPUU_SCAN_BASE);
}

static bool as_before(const verifier *v, uint32_t at, uint32_t size)
{
    return at < v->old_size && size <= v->old_size - at &&
           memcmp(v->s.bins + at, v->old + at, size) == 0;
}

static cpuu_rc touch(verifier *v, uint32_t sk, uint32_t gained)
{
    uint32_t *users = cpuu_tally_of(&v->users, sk);
    if (!users || !cpuu_grow(&v->touched, &v->cap_touched, v->n_touched, sizeof(*v->touched)))
        return cpuu_nomem(v->s.err);
    v->touched[v->n_touched++] = sk;
    *users += gained;
    return CPUU_OK;
}

/* ---- what edits concern ---------------------------------------------------------------------- */

static void release(verifier *v, uint32_t at)
{
    cpuu_cell_set(v->s.states, at, CPUU_CELL_IN_USE);
}

static void release_data(verifier *v, const uint8_t *vk)
{
    uint32_t bytes = cpuu_le32(vk + 8), at = cpuu_le32(vk + 12);
    if (bytes & 0x80000000u)
        return;
    if (cpuu_hive_in_segments(v->old, v->s.minor, vk)) {
        const uint8_t *db = v->old + at, *list = v->old + cpuu_le32(db + 8) + 4;
        for (uint32_t i = 0; i < cpuu_le16(db + 6); i++)
            release(v, cpuu_le32(list + 4 * i));
        release(v, cpuu_le32(db + 8));
    }
    release(v, at);
}

static void release_values(verifier *v, const uint8_t *nk)
{
    uint32_t count = cpuu_le32(nk + 40), at = cpuu_le32(nk + 44);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t vk = cpuu_le32(v->old + at + 4 + 4 * i);
        release_data(v, v->old + vk);
        release(v, vk);
    }
    if (count)
        release(v, at);
}

static void release_lists(verifier *v, const uint8_t *nk)
{
    uint32_t at = cpuu_le32(nk + 32);
    if (cpuu_le32(nk + 24) == 0)
        return;
    const uint8_t *list = v->old + at;
    for (uint32_t i = 0; cpuu_cell_is(list, "ri") && i < cpuu_le16(list + 6); i++)
        release(v, cpuu_le32(list + 8 + 4 * i));
    release(v, at);
}

/* The key of `to` that lives on in the cell, or NULL; *hint is where it most likely is. */
static const cpuu_key *heir(const cpuu_key *to, uint32_t cell, size_t *hint)
{
    for (size_t n = 0; to && n < to->n_kids; n++) {
        size_t i = (*hint + n) % to->n_kids;
        if (to->kids[i]->cell != cell)
            continue;
        *hint = i + 1;
        return to->kids[i];
    }
    return NULL;
}

/* Lets go of the cells that the change from the old key to `to` may do away with: all of them and
 * those of the keys below when it is NULL. */
static cpuu_rc release_key(verifier *v, uint32_t at, const cpuu_key *to)
{
    const uint8_t *nk = v->old + at;
    cpuu_kids kids;
    size_t hint = 0;
    uint32_t kid;
    cpuu_rc rc = CPUU_OK;
    release(v, at);
    if (!to && cpuu_le32(nk + 52) != CPUU_SCAN_NONE)
        release(v, cpuu_le32(nk + 52));
    if (!to)
        rc = touch(v, cpuu_le32(nk + 48), 0u - 1u);
    if (!to || to->values_changed)
        release_values(v, nk);
    release_lists(v, nk);
    cpuu_kids_init(&kids, v->old, at);
    while (rc == CPUU_OK && cpuu_kids_next(&kids, &kid)) {
        const cpuu_key *next = heir(to, kid, &hint);
        if (!next || next->changed)
            rc = release_key(v, kid, next);
    }
    return rc;
}

/* ---- what they do not ------------------------------------------------------------------------ */

static cpuu_rc compare_descriptor(verifier *v, uint32_t at, uint32_t size)
{
    if (!as_before(v, at, 4)) {
        cpuu_cell_set(v->s.states, at, CPUU_CELL_NONE);
        v->freed = true;
        return touch(v, at, 0);
    }
    if (!as_before(v, at, 8) || !as_before(v, at + 20, size - 20))
        return thawed(v, at);
    return as_before(v, at + 8, 12) ? CPUU_OK : touch(v, at, 0);
}

/* Forgets the other cells of a bin of the old hive. Counts those that are still there. */
static cpuu_rc compare_cells(verifier *v, uint32_t bin, uint32_t end, size_t *kept)
{
    bool used;
    cpuu_rc rc = CPUU_OK;
    for (uint32_t at = bin + CPUU_SCAN_HEAD, size; rc == CPUU_OK && at < end; at += size) {
        size = cpuu_scan_cell_size(v->old, at, end, &used);
        cpuu_cell_state state = cpuu_cell_state_of(v->s.states, at);
        if (state == CPUU_CELL_TAKEN)
            rc = as_before(v, at, size) ? CPUU_OK : thawed(v, at);
        else if (state == CPUU_CELL_SHARED)
            rc = compare_descriptor(v, at, size);
        else
            cpuu_cell_set(v->s.states, at, CPUU_CELL_NONE);
        *kept += cpuu_cell_state_of(v->s.states, at) != CPUU_CELL_NONE;
    }
    return rc;
}

/* Marks the cells of a bin of the new hive. *kept is what it must have of the old one. */
static cpuu_rc mark_cells(verifier *v, uint32_t bin, uint32_t end, size_t kept)
{
    bool used;
    for (uint32_t at = bin + CPUU_SCAN_HEAD, size; at < end; at += size) {
        size = cpuu_scan_cell_size(v->s.bins, at, end, &used);
        if (size == 0)
            return cpuu_scan_bad(&v->s, at, "a cell of impossible size");
        if (cpuu_cell_state_of(v->s.states, at) != CPUU_CELL_NONE)
            kept--;
        else if (used)
            cpuu_cell_set(v->s.states, at, CPUU_CELL_IN_USE);
    }
    return kept == 0 ? CPUU_OK : thawed(v, bin);
}

/* The page of a file begins where that of its bins does. */
static bool any_changed(const verifier *v, uint32_t from, uint32_t to)
{
    for (size_t at = from; at < to; at += CPUU_HIVE_PAGE) {
        if (cpuu_hive_variant_changed(v->now, at + CPUU_SCAN_BASE))
            return true;
    }
    return false;
}

static cpuu_rc compare_bins(verifier *v)
{
    cpuu_rc rc = CPUU_OK;
    for (uint32_t bin = 0, end; rc == CPUU_OK && bin < v->s.size; bin = end) {
        bool old = bin < v->old_size;
        size_t kept = 0;
        end = bin + cpuu_le32((old ? v->old : v->s.bins) + bin + 8);
        if (old && !any_changed(v, bin, end))
            continue;
        if (old && !as_before(v, bin, CPUU_SCAN_HEAD))
            return thawed(v, bin);
        if (old)
            rc = compare_cells(v, bin, end, &kept);
        if (rc == CPUU_OK)
            rc = mark_cells(v, bin, end, kept);
    }
    return rc;
}

static cpuu_rc check_descriptors(verifier *v)
{
    for (size_t i = 0; i < v->n_touched; i++) {
        uint32_t at = v->touched[i], *gained = cpuu_tally_of(&v->users, at);
        if (!gained)
            return cpuu_nomem(v->s.err);
        uint32_t users = cpuu_le32(v->old + at + 16) + *gained;
        bool gone = cpuu_cell_state_of(v->s.states, at) != CPUU_CELL_SHARED;
        if (gone ? users != 0 : cpuu_le32(v->s.bins + at + 16) != users)
            return cpuu_scan_bad(&v->s, at, "a security descriptor with a wrong number of users");
        if (!gone && !v->freed && !as_before(v, at + 8, 8))
            return thawed(v, at);
    }
    return CPUU_OK;
}

/* ---- changed keys ---------------------------------------------------------------------------- */

/* A key that was there has not moved; a new one is known by its name. */
static bool is_kid(verifier *v, uint32_t at, const lineup *up, size_t i)
{
    const cpuu_key *kid = up->parent->kids[i];
    if (kid->cell)
        return kid->cell == at;
    uint32_t size, length = (uint32_t)strlen(kid->name);
    const uint8_t *nk = cpuu_scan_look(&v->s, at, 80 + length, &size);
    return nk && cpuu_le16(nk + 76) == length && memcmp(nk + 80, kid->name, length) == 0;
}

/* The index of the key below up->parent that the cell is; n_kids when none. */
static size_t recognise(verifier *v, uint32_t at, const lineup *up)
{
    size_t n = up->parent->n_kids, i = 0;
    if (up->old < n && is_kid(v, at, up, up->old))
        return up->old;
    if (up->fresh < n && is_kid(v, at, up, up->fresh))
        return up->fresh;
    while (i < n && !is_kid(v, at, up, i))
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
    if (cpuu_cell_is(list, "lh")) {
        for (; *name; name++)
            hash = hash * 37 + (uint32_t)(*name >= 'a' && *name <= 'z' ? *name - 32 : *name);
        return cpuu_le32(entry + 4) == hash;
    }
    memcpy(hint, name, strlen(name) < 4 ? strlen(name) : 4);
    return !cpuu_cell_is(list, "lf") || memcmp(entry + 4, hint, 4) == 0;
}

/* What edits do not concern in the cell of a changed key: all but the time, the numbers and places
 * of edited values and keys below, and the longest names among them. A new key has no class, and
 * inherits the descriptor of its parent. */
static cpuu_rc check_fixed(verifier *v, uint32_t at, const cpuu_key *to, const lineup *up)
{
    const uint8_t *nk = v->s.bins + at;
    uint32_t name = 4u + cpuu_le16(nk + 76);
    if (to->cell && (to->cell != at || !as_before(v, at, 8) || !as_before(v, at + 16, 8) ||
                     !as_before(v, at + 48, 8) || !as_before(v, at + 76, name) ||
                     !(to->values_changed || as_before(v, at + 40, 8))))
        return unlike(v, to, "more than its values and the keys below were changed");
    if (!to->cell && (cpuu_le16(nk + 6) != 0x20 || cpuu_le32(nk + 20) != up->at ||
                      cpuu_le32(nk + 48) != up->security ||
                      cpuu_le32(nk + 52) != CPUU_SCAN_NONE))
        return unlike(v, to, "it is not what a new key should be");
    return to->cell ? CPUU_OK : touch(v, up->security, 1);
}

/* Name and values of a changed key whose cells are known to be sound. */
static cpuu_rc check_contents(verifier *v, uint32_t at, const cpuu_key *to)
{
    cpuu_key *now;
    cpuu_hive_head head = {v->s.minor, v->s.size};
    cpuu_rc rc = cpuu_hive_load_one(v->s.bins - CPUU_SCAN_BASE, &head, at, &now, v->s.err);
    if (rc != CPUU_OK)
        return rc;
    if (strcmp(now->name, to->name) != 0)
        rc = unlike(v, to, "it has another name");
    else if (!cpuu_hive_same_values(now, to))
        rc = unlike(v, to, "its values differ");
    cpuu_key_free(now);
    return rc;
}

static cpuu_scan_kid verify_kid;

static cpuu_rc verify_key(verifier *v, uint32_t at, unsigned depth, const cpuu_key *to,
                          const lineup *up)
{
    const uint8_t *nk = cpuu_scan_take_key(&v->s, at, depth);
    if (!nk)
        return CPUU_E_FORMAT;
    cpuu_rc rc = check_fixed(v, at, to, up);
    if (rc == CPUU_OK && (!to->cell || to->values_changed))
        rc = cpuu_scan_values(&v->s, nk);
    if (rc == CPUU_OK)
        rc = check_contents(v, at, to);
    if (rc != CPUU_OK)
        return rc;
    lineup below = {.v = v, .parent = to, .at = at, .security = cpuu_le32(nk + 48)};
    below.seen = cpuu_calloc(to->n_kids, sizeof(*below.seen));
    rc = below.seen ? cpuu_scan_below(&v->s, at, depth, verify_kid, &below)
                    : cpuu_nomem(v->s.err);
    if (rc == CPUU_OK && cpuu_le32(nk + 24) != to->n_kids)
        rc = unlike(v, to, "it has another number of keys below");
    cpuu_free(below.seen);
    return rc;
}

/* A key below a changed one, entry of a list. */
static cpuu_rc verify_kid(cpuu_scan *s, const uint8_t *list, const uint8_t *entry, unsigned depth,
                          void *with)
{
    lineup *up = with;
    uint32_t at = cpuu_le32(entry);
    size_t i = recognise(up->v, at, up);
    if (i == up->parent->n_kids || up->seen[i])
        return unlike(up->v, up->parent, "it has another key below");
    const cpuu_key *kid = up->parent->kids[i];
    if (!in_order(up, kid) || (!kid->cell && !good_hash(list, entry, kid->name)))
        return unlike(up->v, kid, "Windows would not look for it where it is");
    up->seen[i] = true;
    *(kid->cell ? &up->old : &up->fresh) = i + 1;
    up->rank = kid->cell ? kid->rank : up->rank;
    up->last = kid;
    if (kid->changed)
        return verify_key(up->v, at, depth, kid, up);
    if (kid->cell != at || cpuu_cell_state_of(s->states, at) != CPUU_CELL_TAKEN)
        return thawed(up->v, at);
    return CPUU_OK;
}

/* ---- a hive ---------------------------------------------------------------------------------- */

/* All of the base block but sequence numbers, time, size of the bins and checksum. */
static bool same_base(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, 4) == 0 && memcmp(a + 20, b + 20, 20) == 0 &&
           memcmp(a + 44, b + 44, 464) == 0 &&
           memcmp(a + 512, b + 512, CPUU_SCAN_BASE - 512) == 0;
}

static cpuu_rc check_frame(verifier *v, const cpuu_hive_image *before, const cpuu_hive_head *head)
{
    if (!same_base(before->data, v->now->data))
        return cpuu_fail(v->s.err, CPUU_E_FAILED, "the base block was changed");
    if (head->bins_size < v->old_size)
        return cpuu_fail(v->s.err, CPUU_E_FAILED, "bins are missing");
    for (size_t at = CPUU_SCAN_BASE + (size_t)head->bins_size; at < before->size;
         at += CPUU_HIVE_PAGE) {
        if (cpuu_hive_variant_changed(v->now, at))
            return thawed(v, (uint32_t)(at - CPUU_SCAN_BASE));
    }
    return cpuu_hive_check_bins(v->now->data, v->old_size, head->bins_size, v->s.err);
}

static cpuu_rc verify(verifier *v, const cpuu_key *to)
{
    uint32_t root = cpuu_le32(v->now->data + 36);
    cpuu_rc rc = release_key(v, root, to);
    if (rc == CPUU_OK)
        rc = compare_bins(v);
    if (rc == CPUU_OK)
        rc = verify_key(v, root, 0, to, NULL);
    return rc == CPUU_OK ? check_descriptors(v) : rc;
}

cpuu_rc cpuu_hive_verify(const cpuu_hive_image *before, const cpuu_hive_cells *cells,
                         const cpuu_hive_variant *now, const cpuu_key *to, cpuu_hive_cells *out,
                         cpuu_error *err)
{
    cpuu_hive_head head;
    cpuu_rc rc = cpuu_hive_check_base(now->data, now->size, &head, err);
    if (rc != CPUU_OK)
        return rc;
    verifier v = {.s = {now->data + CPUU_SCAN_BASE, head.bins_size, head.minor, NULL, err},
                  .old = before->data + CPUU_SCAN_BASE, .old_size = cells->size, .now = now};
    rc = check_frame(&v, before, &head);
    if (rc != CPUU_OK)
        return rc;
    cpuu_hive_cells fresh = {cpuu_calloc(head.bins_size / 32, 1), head.bins_size};
    v.s.states = fresh.states;
    if (cpuu_tally_init(&v.users, cells->size) && fresh.states) {
        memcpy(fresh.states, cells->states, cells->size / 32);
        rc = verify(&v, to);
    } else {
        rc = cpuu_nomem(err);
    }
    if (rc == CPUU_OK && v.freed) { /* rare: does nothing lead to it any more? */
        cpuu_hive_cells_free(&fresh);
        rc = cpuu_hive_scan(now->data, &head, &fresh, err);
    }
    cpuu_tally_free(&v.users);
    cpuu_free(v.touched);
    if (rc == CPUU_OK)
        *out = fresh;
    else
        cpuu_hive_cells_free(&fresh);
    return rc;
}
