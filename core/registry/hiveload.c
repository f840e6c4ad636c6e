/*
 * Keys and values out of a hive that was scanned: every cell is there, large enough and has one
 * owner, so nothing is checked again here and the cost is bounded by the size of the hive.
 *
 * Offsets as in hivescan.c. Names are Latin-1 ("compressed", flag 0x20 of a key, 1 of a value) or
 * UTF-16LE.
 */
#include "registry/hive.h"

#include <string.h>

#define BASE_BLOCK 4096u
#define SEGMENT    16344u

typedef struct loader {
    const uint8_t *bins;
    bool segments; /* values may be kept in segments */
} loader;

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

static bool in_segments(const loader *l, const uint8_t *vk)
{
    uint32_t bytes = cpuu_le32(vk + 8);
    return l->segments && bytes > SEGMENT && !(bytes & 0x80000000u) &&
           cell_room(l->bins + cpuu_le32(vk + 12)) < bytes;
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
    if (in_segments(l, vk))
        return join_segments(l, vk);
    const uint8_t *data = bytes & 0x80000000u ? vk + 12 : l->bins + cpuu_le32(vk + 12) + 4;
    return borrow ? (uint8_t *)data : cpuu_memdup(data, bytes & 0x7fffffffu);
}

static bool load_value(const loader *l, const uint8_t *vk, cpuu_key *key)
{
    cpuu_reg_value *v = &key->values[key->n_values];
    v->name = name_of(vk + 24, cpuu_le16(vk + 6), vk[20] & 1, &key->odd);
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
        key->borrowed &= !in_segments(l, l->bins + cpuu_le32(list + 4 * i));
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

/* One key with its values, without those below; NULL: out of memory. */
static cpuu_key *load_one(const loader *l, uint32_t at)
{
    const uint8_t *nk = l->bins + at;
    bool odd = false; /* of a key it does not matter: U+FFFD keeps its name from being changed */
    char *name = name_of(nk + 80, cpuu_le16(nk + 76), nk[6] & 0x20, &odd);
    cpuu_key *key = name ? cpuu_calloc(1, sizeof(*key)) : NULL;
    if (!key) {
        cpuu_free(name);
        return NULL;
    }
    key->name = name;
    key->cell = at;
    if (load_values(l, nk, key))
        return key;
    cpuu_key_free(key);
    return NULL;
}

static cpuu_key *load_tree(const loader *l, uint32_t at);

/* Adds the keys of a list to parent, which has room for them. */
static bool load_list(const loader *l, uint32_t at, cpuu_key *parent)
{
    const uint8_t *list = l->bins + at;
    bool lists = list[4] == 'r', hashed = list[4] == 'l' && list[5] != 'i', done = true;
    uint32_t step = hashed ? 8 : 4, count = cpuu_le16(list + 6);
    for (uint32_t i = 0; done && i < count; i++) {
        uint32_t entry = cpuu_le32(list + 8 + step * i);
        cpuu_key *kid = lists ? NULL : load_tree(l, entry);
        if (kid) {
            parent->kids[parent->n_kids++] = kid;
            kid->rank = (uint32_t)parent->n_kids;
        }
        done = lists ? load_list(l, entry, parent) : kid != NULL;
    }
    return done;
}

static cpuu_key *load_tree(const loader *l, uint32_t at)
{
    const uint8_t *nk = l->bins + at;
    uint32_t count = cpuu_le32(nk + 24);
    cpuu_key *key = load_one(l, at);
    if (!key || count == 0)
        return key;
    key->kids = cpuu_calloc(count, sizeof(cpuu_key *));
    key->cap_kids = key->kids ? count : 0;
    if (key->kids && load_list(l, cpuu_le32(nk + 32), key))
        return key;
    cpuu_key_free(key);
    return NULL;
}

static loader loader_of(const uint8_t *image, const cpuu_hive_head *head)
{
    return (loader){image + BASE_BLOCK, head->minor >= 4};
}

cpuu_rc cpuu_hive_load(const uint8_t *image, const cpuu_hive_head *head, cpuu_key **out,
                       cpuu_error *err)
{
    loader l = loader_of(image, head);
    cpuu_key *root = load_tree(&l, cpuu_le32(image + 36));
    if (!root)
        return cpuu_nomem(err);
    *out = root;
    return CPUU_OK;
}

cpuu_rc cpuu_hive_load_one(const uint8_t *image, const cpuu_hive_head *head, uint32_t at,
                           cpuu_key **out, cpuu_error *err)
{
    loader l = loader_of(image, head);
    cpuu_key *key = load_one(&l, at);
    if (!key)
        return cpuu_nomem(err);
    *out = key;
    return CPUU_OK;
}
