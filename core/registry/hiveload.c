/*
 * Keys and values out of a hive that was scanned: every cell is there, large enough and has one
 * owner, so nothing is checked again here and the cost is bounded by the size of the hive. What is
 * read is read where it is: nobody needs a tree of the whole hive.
 *
 * Offsets as in hivescan.c. Names are Latin-1 ("compressed", flag 0x20 of a key, 1 of a value) or
 * UTF-16LE.
 */
#include "registry/hive.h"

#include "base/text.h"

#include <string.h>

#define BASE_BLOCK 4096u
#define SEGMENT    16344u

typedef struct loader {
    const uint8_t *bins;
    uint32_t minor;
} loader;

static loader loader_of(const uint8_t *image, const cpuu_hive_head *head)
{
    return (loader){image + BASE_BLOCK, head->minor};
}

/* ---- names ----------------------------------------------------------------------------------- */

static bool is_plain(const uint8_t *p, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (p[i] == 0 || p[i] >= 0x80)
            return false;
    }
    return true;
}

static char *put_utf8(char *out, uint32_t u)
{
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0}; /* by length */
    unsigned n = u < 0x80 ? 1 : u < 0x800 ? 2 : u < 0x10000 ? 3 : 4;
    for (unsigned i = n; i-- > 1; u >>= 6)
        out[i] = (char)(0x80 | (u & 0x3f));
    out[0] = (char)(lead[n] | u);
    return out + n;
}

/* A character of UTF-16 at *p, which is moved behind it; 0 when there is none. */
static uint32_t next_wide(const uint8_t **p, const uint8_t *end)
{
    uint32_t u = cpuu_le16(*p);
    *p += 2;
    if (u < 0xd800 || u >= 0xe000)
        return u;
    if (u >= 0xdc00 || end - *p < 2)
        return 0;
    uint32_t low = cpuu_le16(*p);
    if (low < 0xdc00 || low >= 0xe000)
        return 0;
    *p += 2;
    return 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00);
}

/* What UTF-8 text without NUL cannot express becomes U+FFFD, and *odd is set. */
static char *name_of(const uint8_t *p, uint32_t n, bool latin1, bool *odd)
{
    if (latin1 && is_plain(p, n))
        return cpuu_strndup((const char *)p, n);
    char *name = cpuu_calloc(3, (size_t)n + 1), *out = name;
    const uint8_t *end = p + n;
    while (name && end - p >= (latin1 ? 1 : 2)) {
        uint32_t u = latin1 ? *p++ : next_wide(&p, end);
        *odd |= u == 0;
        out = put_utf8(out, u ? u : 0xfffd);
    }
    *odd |= p != end;
    return name;
}

/* ---- values ---------------------------------------------------------------------------------- */

static uint32_t cell_room(const uint8_t *cell)
{
    return 0u - cpuu_le32(cell) - 4;
}

bool cpuu_hive_in_segments(const uint8_t *bins, uint32_t minor, const uint8_t *vk)
{
    uint32_t bytes = cpuu_le32(vk + 8);
    return minor >= 4 && bytes > SEGMENT && !(bytes & 0x80000000u) &&
           cell_room(bins + cpuu_le32(vk + 12)) < bytes;
}

static uint8_t *join_segments(const loader *l, const uint8_t *vk)
{
    uint32_t bytes = cpuu_le32(vk + 8);
    const uint8_t *db = l->bins + cpuu_le32(vk + 12), *list = l->bins + cpuu_le32(db + 8) + 4;
    uint8_t *data = cpuu_calloc(1, bytes), *out = data;
    for (; data && bytes; list += 4) {
        uint32_t part = bytes < SEGMENT ? bytes : SEGMENT;
        memcpy(out, l->bins + cpuu_le32(list) + 4, part);
        out += part;
        bytes -= part;
    }
    return data;
}

/* The data of a value: in the hive, or a copy when the key does not borrow. */
static uint8_t *data_of(const loader *l, const uint8_t *vk, bool borrow)
{
    uint32_t bytes = cpuu_le32(vk + 8);
    if (cpuu_hive_in_segments(l->bins, l->minor, vk))
        return join_segments(l, vk);
    bool resident = bytes == 0 || (bytes & 0x80000000u);
    const uint8_t *data = resident ? vk + 12 : l->bins + cpuu_le32(vk + 12) + 4;
    return borrow ? (uint8_t *)data : cpuu_memdup(data, bytes & 0x7fffffffu);
}

static bool load_value(const loader *l, const uint8_t *vk, cpuu_key *key)
{
    cpuu_reg_value *v = &key->values[key->n_values];
    v->name = name_of(vk + 24, cpuu_le16(vk + 6), vk[20] & 1, &key->odd);
    key->odd |= cpuu_le32(vk + 8) == 0; /* libhivex would look for the data of such a value */
    v->type = cpuu_le32(vk + 16);
    v->size = cpuu_le32(vk + 8) & 0x7fffffffu;
    v->data = data_of(l, vk, key->borrowed);
    key->n_values++; /* what there is of it is freed with the key */
    return v->name && v->data;
}

static bool load_values(const loader *l, const uint8_t *nk, cpuu_key *key)
{
    uint32_t count = cpuu_le32(nk + 40);
    if (count == 0)
        return true;
    const uint8_t *list = l->bins + cpuu_le32(nk + 44) + 4;
    key->borrowed = true;
    for (uint32_t i = 0; i < count; i++)
        key->borrowed &= !cpuu_hive_in_segments(l->bins, l->minor,
                                                l->bins + cpuu_le32(list + 4 * i));
    key->values = cpuu_calloc(count, sizeof(*key->values));
    if (!key->values)
        return false;
    key->cap_values = count;
    bool done = true;
    for (uint32_t i = 0; done && i < count; i++)
        done = load_value(l, l->bins + cpuu_le32(list + 4 * i), key);
    return done;
}

/* ---- keys ------------------------------------------------------------------------------------ */

void cpuu_kids_init(cpuu_kids *kids, const uint8_t *bins, uint32_t at)
{
    *kids = (cpuu_kids){.bins = bins};
    if (cpuu_le32(bins + at + 24) == 0)
        return;
    kids->list = bins + cpuu_le32(bins + at + 32);
    if (kids->list[4] == 'r') {
        kids->lists = kids->list;
        kids->list = NULL;
    }
}

/* The next list that has keys, or NULL. */
static const uint8_t *next_list(cpuu_kids *kids)
{
    while (kids->lists && kids->n_list < cpuu_le16(kids->lists + 6)) {
        const uint8_t *list = kids->bins + cpuu_le32(kids->lists + 8 + 4 * kids->n_list++);
        if (cpuu_le16(list + 6))
            return list;
    }
    return NULL;
}

bool cpuu_kids_next(cpuu_kids *kids, uint32_t *at)
{
    if (!kids->list || kids->n >= cpuu_le16(kids->list + 6)) {
        kids->list = next_list(kids);
        kids->n = 0;
    }
    if (!kids->list)
        return false;
    uint32_t step = kids->list[5] == 'i' ? 4 : 8;
    *at = cpuu_le32(kids->list + 8 + step * kids->n++);
    return true;
}

static char *key_name(const uint8_t *nk)
{
    bool odd = false; /* of a key it does not matter: U+FFFD keeps its name from being changed */
    return name_of(nk + 80, cpuu_le16(nk + 76), nk[6] & 0x20, &odd);
}

/* A key of which only the name is known; NULL: out of memory. */
static cpuu_key *load_stub(const loader *l, uint32_t at)
{
    char *name = key_name(l->bins + at);
    cpuu_key *key = name ? cpuu_calloc(1, sizeof(*key)) : NULL;
    if (!key) {
        cpuu_free(name);
        return NULL;
    }
    key->name = name;
    key->cell = at;
    key->stub = true;
    return key;
}

static bool load_kids(const loader *l, cpuu_key *key)
{
    uint32_t at, count = cpuu_le32(l->bins + key->cell + 24);
    cpuu_kids kids;
    cpuu_kids_init(&kids, l->bins, key->cell);
    key->kids = cpuu_calloc(count, sizeof(cpuu_key *));
    key->cap_kids = key->kids ? count : 0;
    bool done = key->kids;
    while (done && cpuu_kids_next(&kids, &at)) {
        cpuu_key *kid = load_stub(l, at);
        done = kid;
        if (kid)
            key->kids[key->n_kids++] = kid;
        if (kid)
            kid->rank = (uint32_t)key->n_kids;
    }
    return done;
}

/* Values and the names of the keys below, unless they are there; those in full, too, when `deep`.
 * After a failure the key is only good to be freed. */
static bool fill(const loader *l, cpuu_key *key, bool deep)
{
    bool done = !key->stub || (load_values(l, l->bins + key->cell, key) && load_kids(l, key));
    key->stub = false;
    for (size_t i = 0; done && deep && i < key->n_kids; i++)
        done = fill(l, key->kids[i], true);
    return done;
}

/* The keys on the way to what the edit concerns, as far as there are; what it deletes in full. */
static bool fill_path(const loader *l, cpuu_key *root, const cpuu_edit *edit)
{
    const char *path = edit->key, *part;
    cpuu_key *key = root;
    size_t n;
    bool done = true;
    while (done && key && cpuu_reg_part(&path, &part, &n)) {
        key = cpuu_key_child(key, part, n);
        done = !key || fill(l, key, false);
    }
    return done && key && edit->kind == CPUU_EDIT_DELETE_KEY ? fill(l, key, true) : done;
}

cpuu_rc cpuu_hive_load(const uint8_t *image, const cpuu_hive_head *head, const cpuu_edits *edits,
                       cpuu_key **out, cpuu_error *err)
{
    loader l = loader_of(image, head);
    cpuu_key *root = load_stub(&l, cpuu_le32(image + 36));
    bool done = root && fill(&l, root, false);
    for (size_t i = 0; done && i < edits->count; i++)
        done = fill_path(&l, root, &edits->items[i]);
    if (done)
        *out = root;
    else
        cpuu_key_free(root);
    return done ? CPUU_OK : cpuu_nomem(err);
}

cpuu_rc cpuu_hive_load_one(const uint8_t *image, const cpuu_hive_head *head, uint32_t at,
                           cpuu_key **out, cpuu_error *err)
{
    loader l = loader_of(image, head);
    cpuu_key *key = load_stub(&l, at);
    bool done = key && load_values(&l, l.bins + at, key);
    if (done)
        *out = key;
    else
        cpuu_key_free(key);
    return done ? CPUU_OK : cpuu_nomem(err);
}

/* ---- looking things up ----------------------------------------------------------------------- */

static cpuu_rc has_name(const uint8_t *nk, const char *name, size_t n, bool *same, cpuu_error *err)
{
    uint32_t length = cpuu_le16(nk + 76);
    if (nk[6] & 0x20 && is_plain(nk + 80, length)) {
        *same = cpuu_name_neq((const char *)nk + 80, length, name, n);
        return CPUU_OK;
    }
    char *text = key_name(nk);
    if (!text)
        return cpuu_nomem(err);
    *same = cpuu_name_neq(text, strlen(text), name, n);
    cpuu_free(text);
    return CPUU_OK;
}

cpuu_rc cpuu_hive_find_key(const uint8_t *image, const char *path, uint32_t *out, cpuu_error *err)
{
    const uint8_t *bins = image + BASE_BLOCK;
    uint32_t at = cpuu_le32(image + 36), kid = 0;
    const char *rest = path, *part;
    size_t n;
    while (cpuu_reg_part(&rest, &part, &n)) {
        bool same = false;
        cpuu_rc rc = CPUU_OK;
        cpuu_kids kids;
        cpuu_kids_init(&kids, bins, at);
        while (rc == CPUU_OK && !same && cpuu_kids_next(&kids, &kid))
            rc = has_name(bins + kid, part, n, &same, err);
        if (rc == CPUU_OK && !same)
            rc = cpuu_fail(err, CPUU_E_NOTFOUND, "there is no key '%s'", path);
        if (rc != CPUU_OK)
            return rc;
        at = kid;
    }
    *out = at;
    return CPUU_OK;
}

cpuu_rc cpuu_hive_names(const uint8_t *image, uint32_t at, cpuu_reg_names *out, cpuu_error *err)
{
    const uint8_t *bins = image + BASE_BLOCK;
    size_t cap = 0;
    uint32_t kid;
    cpuu_kids kids;
    cpuu_rc rc = CPUU_OK;
    cpuu_kids_init(&kids, bins, at);
    while (rc == CPUU_OK && cpuu_kids_next(&kids, &kid)) {
        char *name = key_name(bins + kid);
        rc = name ? cpuu_reg_names_add(out, &cap, name) : CPUU_E_NOMEM;
        cpuu_free(name);
    }
    return rc == CPUU_OK ? rc : cpuu_nomem(err);
}

cpuu_rc cpuu_hive_values(const uint8_t *image, const cpuu_hive_head *head, uint32_t at,
                         cpuu_reg_values *out, cpuu_error *err)
{
    cpuu_key *key;
    size_t cap = 0;
    cpuu_rc rc = cpuu_hive_load_one(image, head, at, &key, err);
    if (rc != CPUU_OK)
        return rc;
    for (size_t i = 0; rc == CPUU_OK && i < key->n_values; i++)
        rc = cpuu_reg_values_add(out, &cap, &key->values[i]);
    cpuu_key_free(key);
    return rc == CPUU_OK ? rc : cpuu_nomem(err);
}
