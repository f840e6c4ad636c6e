/*
 * The image of a profile: everything undo needs to bring the registry back exactly (reference 12).
 *
 *   "CPUUIMG\n" | u32 version 1 | u32 CRC-32 of the rest | u32 size of the rest
 *   sz profile key | sz key of DefaultProfile | sz Outlook version
 *   u8 DefaultProfile present | if so: sz name, u32 type, u32 size, bytes
 *   u32 number of trees | per tree: sz key, u8 present, u32 number of keys
 *     per key: sz path below the tree's ("" first), u32 number of values
 *       per value: sz name, u32 type, u32 size, bytes
 *
 * sz is UTF-8 with a NUL. The first tree is the profile; the others are the allow-listed keys
 * outside it (R11), and a present = 0 tree is removed by the restore. Order: values are written
 * back in their order, a key that had to be created again comes last among its siblings (a hive
 * sorts them anyway).
 */
#include "profile/section.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC     "CPUUIMG\n"
#define VERSION   1u
#define HEAD_SIZE 20u
#define MAX_IMAGE (64u << 20)
#define MAX_DEPTH 16
#define MAX_TREES 8u

static const char *const outside[] = {"AutoDiscover", "Perf\\RoamingStreamsCache"};

/* CRC-32 of IEEE 802.3. */
static uint32_t crc32(const uint8_t *p, size_t n)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
    return ~crc;
}

/* ---- writing --------------------------------------------------------------------------------- */

typedef struct writer {
    cpuu_reg *reg;
    cpuu_buf *out;
    uint32_t n_keys;
    cpuu_error *err;
} writer;

static void write_value(cpuu_buf *out, const cpuu_reg_value *v)
{
    cpuu_buf_sz(out, v->name);
    cpuu_buf_u32(out, v->type);
    cpuu_buf_u32(out, v->size);
    cpuu_buf_add(out, v->data, v->size);
}

static cpuu_rc write_key(writer *w, const char *key, const char *path, int depth);

static cpuu_rc write_subkeys(writer *w, const char *key, const char *path, int depth)
{
    cpuu_reg_names names;
    cpuu_rc rc = cpuu_reg_keys(w->reg, key, &names, w->err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < names.count && rc >= 0; i++) {
        char *sub = cpuu_reg_join(key, names.items[i]);
        char *sub_path = cpuu_reg_join(path, names.items[i]);
        rc = sub && sub_path ? write_key(w, sub, sub_path, depth + 1) : cpuu_nomem(w->err);
        cpuu_free(sub_path);
        cpuu_free(sub);
    }
    cpuu_reg_names_free(&names);
    return rc;
}

static cpuu_rc write_key(writer *w, const char *key, const char *path, int depth)
{
    cpuu_reg_values v;
    if (depth > MAX_DEPTH)
        return cpuu_fail(w->err, CPUU_E_TOOBIG, "key '%s' is nested too deeply", key);
    cpuu_rc rc = cpuu_reg_values_of(w->reg, key, &v, w->err);
    if (rc < 0)
        return rc;
    cpuu_buf_sz(w->out, path);
    cpuu_buf_u32(w->out, (uint32_t)v.count);
    for (size_t i = 0; i < v.count; i++)
        write_value(w->out, &v.items[i]);
    w->n_keys++;
    cpuu_reg_values_free(&v);
    return write_subkeys(w, key, path, depth);
}

static cpuu_rc write_tree(writer *w, const char *key)
{
    bool present;
    cpuu_rc rc = cpuu_key_exists(w->reg, key, &present, w->err);
    if (rc < 0)
        return rc;
    cpuu_buf_sz(w->out, key);
    cpuu_buf_u8(w->out, present);
    size_t at = w->out->size;
    cpuu_buf_u32(w->out, 0);
    w->n_keys = 0;
    if (present)
        rc = write_key(w, key, "", 0);
    if (rc >= 0)
        cpuu_buf_put_u32(w->out, at, w->n_keys);
    return rc;
}

static cpuu_rc write_default(writer *w, const char *key)
{
    cpuu_reg_values v = {0};
    cpuu_error why = CPUU_ERROR_INIT;
    cpuu_rc rc = cpuu_reg_get(w->reg, key, "DefaultProfile", &v, &why);
    if (rc < 0 && rc != CPUU_E_NOTFOUND)
        return cpuu_pass(w->err, &why);
    cpuu_buf_u8(w->out, rc >= 0);
    if (rc >= 0)
        write_value(w->out, &v.items[0]);
    cpuu_reg_values_free(&v);
    return CPUU_OK;
}

static bool is_edited(const cpuu_edits *edits, const char *key)
{
    size_t n = strlen(key);
    for (size_t i = 0; i < edits->count; i++) {
        const char *k = edits->items[i].key;
        if (cpuu_ncasecmp(k, key, n) == 0 && (k[n] == 0 || k[n] == '\\'))
            return true;
    }
    return false;
}

static cpuu_rc write_outside(writer *w, const char *default_key, const cpuu_edits *edits,
                             uint32_t *n_trees)
{
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]) && rc >= 0; i++) {
        char *key = cpuu_reg_join(default_key, outside[i]);
        if (!key)
            return cpuu_nomem(w->err);
        if (!edits || is_edited(edits, key)) {
            rc = write_tree(w, key);
            ++*n_trees;
        }
        cpuu_free(key);
    }
    return rc;
}

cpuu_rc cpuu_profile_image(cpuu_profile *p, const cpuu_edits *edits, cpuu_buf *out,
                           cpuu_error *err)
{
    writer w = {.reg = p->reg, .out = out, .err = err};
    bool office = *p->outlook_version;
    size_t start = out->size;
    cpuu_buf_add(out, MAGIC, 8);
    cpuu_buf_u32(out, VERSION);
    cpuu_buf_fill(out, 0, 8);
    cpuu_buf_sz(out, p->key);
    cpuu_buf_sz(out, p->default_key);
    cpuu_buf_sz(out, p->outlook_version);
    cpuu_rc rc = write_default(&w, p->default_key);
    size_t at = out->size;
    uint32_t n_trees = 1;
    cpuu_buf_u32(out, 0);
    if (rc >= 0)
        rc = write_tree(&w, p->key);
    if (rc >= 0 && office)
        rc = write_outside(&w, p->default_key, edits, &n_trees);
    if (rc >= 0)
        cpuu_buf_put_u32(out, at, n_trees);
    if (rc >= 0 && (out->failed || out->size - start > MAX_IMAGE))
        rc = cpuu_fail(err, out->failed ? CPUU_E_NOMEM : CPUU_E_TOOBIG,
                       "its image does not fit into memory");
    if (rc < 0)
        return cpuu_wrap(err, "backing up profile '%s'", p->name);
    size_t body = out->size - start - HEAD_SIZE;
    cpuu_buf_put_u32(out, start + 12, crc32(out->data + start + HEAD_SIZE, body));
    cpuu_buf_put_u32(out, start + 16, (uint32_t)body);
    return CPUU_OK;
}

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct image_key {
    const char *path;
    cpuu_reg_value *values;
    uint32_t n_values;
} image_key;

typedef struct image_tree {
    const char *key;
    bool present;
    image_key *keys;
    uint32_t n_keys;
} image_tree;

typedef struct image { /* texts and data borrowed from the blob */
    const char *profile_key;
    const char *default_key;
    const char *version;
    bool has_default;
    cpuu_reg_value default_value;
    image_tree trees[MAX_TREES];
    uint32_t n_trees;
    cpuu_arena arena;
} image;

static const char *read_text(cpuu_reader *r, const char *field)
{
    uint32_t n;
    const uint8_t *p = cpuu_read_sz8(r, &n, field);
    if (p && !cpuu_utf8_valid((const char *)p, n))
        cpuu_reader_fail(r, field, "is not UTF-8");
    return r->failed ? "" : (const char *)p;
}

static void read_value(cpuu_reader *r, cpuu_reg_value *v)
{
    v->name = (char *)read_text(r, "value name");
    v->type = cpuu_read_u32(r, "value type");
    v->size = cpuu_read_u32(r, "value size");
    v->data = (uint8_t *)cpuu_read_bytes(r, v->size, "value data");
}

/* n records of at least `least` bytes each must fit into what is left. */
static void *read_array(cpuu_reader *r, image *im, uint32_t n, uint32_t least, size_t size,
                        bool *nomem)
{
    if (n > cpuu_reader_left(r) / least) {
        cpuu_reader_fail(r, "count", "is larger than the image");
        return NULL;
    }
    void *p = cpuu_arena_alloc(&im->arena, ((size_t)n + 1) * size);
    if (!p) {
        *nomem = true;
        cpuu_reader_fail(r, "image", "does not fit into memory");
    }
    return p;
}

/* "" or components separated by single backslashes. */
static bool is_path(const char *path)
{
    size_t n = strlen(path);
    return n == 0 || (path[0] != '\\' && path[n - 1] != '\\' && !strstr(path, "\\\\"));
}

static void read_key(cpuu_reader *r, image *im, image_key *k, bool first, bool *nomem)
{
    k->path = read_text(r, "path");
    if (!is_path(k->path) || (*k->path == 0) != first)
        cpuu_reader_fail(r, "path", "is not one");
    uint32_t n = cpuu_read_u32(r, "number of values");
    k->values = read_array(r, im, n, 9, sizeof(*k->values), nomem);
    for (; k->values && !r->failed && k->n_values < n; k->n_values++)
        read_value(r, &k->values[k->n_values]);
}

static void read_tree(cpuu_reader *r, image *im, image_tree *t, bool *nomem)
{
    t->key = read_text(r, "key");
    t->present = cpuu_read_u8(r, "present") != 0;
    uint32_t n = cpuu_read_u32(r, "number of keys");
    if (t->present != (n != 0))
        cpuu_reader_fail(r, "number of keys", "does not suit the tree");
    t->keys = read_array(r, im, n, 5, sizeof(*t->keys), nomem);
    for (; t->keys && !r->failed && t->n_keys < n; t->n_keys++)
        read_key(r, im, &t->keys[t->n_keys], t->n_keys == 0, nomem);
}

static void read_body(cpuu_reader *r, image *im, bool *nomem)
{
    im->profile_key = read_text(r, "profile key");
    im->default_key = read_text(r, "key of DefaultProfile");
    im->version = read_text(r, "Outlook version");
    im->has_default = cpuu_read_u8(r, "DefaultProfile") != 0;
    if (im->has_default)
        read_value(r, &im->default_value);
    uint32_t n = cpuu_read_u32(r, "number of trees");
    if (n == 0 || n > MAX_TREES)
        cpuu_reader_fail(r, "number of trees", "is out of range");
    for (; !r->failed && im->n_trees < n; im->n_trees++)
        read_tree(r, im, &im->trees[im->n_trees], nomem);
    if (cpuu_reader_left(r))
        cpuu_reader_fail(r, "image", "has bytes after its end");
}

/* The restore may write to the profile and to the allow-listed keys only, whatever the image says.
 */
static bool keys_are_allowed(const image *im)
{
    bool ok = cpuu_profile_is_place(im->version, im->default_key, im->profile_key) &&
              cpuu_caseeq(im->trees[0].key, im->profile_key) && im->trees[0].present &&
              (!im->has_default || cpuu_caseeq(im->default_value.name, "DefaultProfile"));
    for (uint32_t i = 1; i < im->n_trees && ok; i++) {
        const char *key = im->trees[i].key;
        size_t n = strlen(im->default_key);
        ok = false;
        for (size_t k = 0; k < sizeof(outside) / sizeof(outside[0]); k++)
            ok = ok || (*im->version && cpuu_ncasecmp(key, im->default_key, n) == 0 &&
                        key[n] == '\\' && cpuu_caseeq(key + n + 1, outside[k]));
    }
    return ok;
}

static cpuu_rc read_image(const void *data, size_t size, image *im, cpuu_error *err)
{
    cpuu_reader r;
    bool nomem = false;
    memset(im, 0, sizeof(*im));
    cpuu_reader_init(&r, data, size);
    const uint8_t *magic = cpuu_read_bytes(&r, 8, "magic");
    if (!magic || memcmp(magic, MAGIC, 8) != 0)
        return cpuu_fail(err, CPUU_E_FORMAT, "it is not a profile image");
    uint32_t version = cpuu_read_u32(&r, "version");
    if (!r.failed && version != VERSION)
        return cpuu_fail(err, CPUU_E_UNSUPPORTED,
                         "its version is %u; this program reads version %u", (unsigned)version,
                         VERSION);
    uint32_t crc = cpuu_read_u32(&r, "checksum");
    uint32_t body = cpuu_read_u32(&r, "size");
    if (r.failed || body != cpuu_reader_left(&r) || crc32(r.data + r.pos, body) != crc)
        return cpuu_fail(err, CPUU_E_FORMAT, "its checksum or size is wrong: it is damaged");
    read_body(&r, im, &nomem);
    if (!r.failed && keys_are_allowed(im))
        return CPUU_OK;
    cpuu_arena_free(&im->arena);
    if (nomem)
        return cpuu_nomem(err);
    return r.failed ? cpuu_fail(err, CPUU_E_FORMAT, "it is damaged: %s %s (byte %u)", r.error.field,
                                r.error.what, (unsigned)r.error.offset)
                    : cpuu_fail(err, CPUU_E_FORMAT, "it names keys a profile image cannot hold");
}

/* ---- restoring ------------------------------------------------------------------------------- */

typedef struct restorer {
    cpuu_reg *reg;
    cpuu_edits *edits;
    bool ignore_order;
    cpuu_error *err;
} restorer;

static cpuu_rc staged(restorer *x, cpuu_rc rc)
{
    return rc < 0 ? cpuu_nomem(x->err) : CPUU_OK;
}

static cpuu_rc put(restorer *x, const char *key, const cpuu_reg_value *v)
{
    return staged(
        x, cpuu_edits_set(x->edits, key, v->name, v->type, v->data, v->size, CPUU_MARK_NONE, NULL));
}

static bool same_content(const cpuu_reg_value *a, const cpuu_reg_value *b)
{
    return strcmp(a->name, b->name) == 0 && a->type == b->type && a->size == b->size &&
           (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

/* The same names, in the same case and (unless ignored) the same order. */
static bool same_names(const restorer *x, const cpuu_reg_values *now, const image_key *k)
{
    if (now->count != k->n_values)
        return false;
    for (size_t i = 0; i < now->count; i++) {
        const cpuu_reg_value *v =
            x->ignore_order ? cpuu_reg_find(now, k->values[i].name) : &now->items[i];
        if (!v || strcmp(v->name, k->values[i].name) != 0)
            return false;
    }
    return true;
}

static cpuu_rc restore_changed(restorer *x, const char *key, const cpuu_reg_values *now,
                               const image_key *k)
{
    cpuu_rc rc = CPUU_OK;
    for (uint32_t i = 0; i < k->n_values && rc >= 0; i++) {
        const cpuu_reg_value *v = cpuu_reg_find(now, k->values[i].name);
        if (!v || !same_content(v, &k->values[i]))
            rc = put(x, key, &k->values[i]);
    }
    return rc;
}

/* Names were added, removed or moved: the whole list is written anew, so that its order is right.
 */
static cpuu_rc restore_all(restorer *x, const char *key, const cpuu_reg_values *now,
                           const image_key *k)
{
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; i < now->count && rc >= 0; i++)
        rc = staged(x, cpuu_edits_unset(x->edits, key, now->items[i].name, CPUU_MARK_NONE, NULL));
    for (uint32_t i = 0; i < k->n_values && rc >= 0; i++)
        rc = put(x, key, &k->values[i]);
    return rc;
}

static bool has_direct_child(const image_tree *t, const char *path, const char *name)
{
    size_t n = strlen(path);
    for (uint32_t i = 0; i < t->n_keys; i++) {
        const char *p = t->keys[i].path;
        if (n && (cpuu_ncasecmp(p, path, n) != 0 || p[n] != '\\'))
            continue;
        if (*p && cpuu_name_eq(p + (n ? n + 1 : 0), name))
            return true;
    }
    return false;
}

static cpuu_rc drop_subkeys(restorer *x, const image_tree *t, const image_key *k, const char *key)
{
    cpuu_reg_names names;
    cpuu_rc rc = cpuu_reg_keys(x->reg, key, &names, x->err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < names.count && rc >= 0; i++) {
        if (has_direct_child(t, k->path, names.items[i]))
            continue;
        char *sub = cpuu_reg_join(key, names.items[i]);
        rc = sub ? staged(x, cpuu_edits_delete_key(x->edits, sub, CPUU_MARK_NONE, NULL))
                 : cpuu_nomem(x->err);
        cpuu_free(sub);
    }
    cpuu_reg_names_free(&names);
    return rc;
}

static cpuu_rc restore_key(restorer *x, const image_tree *t, const image_key *k)
{
    char *key = cpuu_reg_join(t->key, k->path);
    if (!key)
        return cpuu_nomem(x->err);
    cpuu_section now;
    cpuu_rc rc = cpuu_section_open_key(x->reg, key, &now, x->err);
    if (rc < 0) {
        cpuu_free(key);
        return rc;
    }
    if (!now.exists)
        rc = staged(x, cpuu_edits_create_key(x->edits, key, CPUU_MARK_NONE, NULL));
    if (rc >= 0)
        rc = same_names(x, &now.v, k) ? restore_changed(x, key, &now.v, k)
                                      : restore_all(x, key, &now.v, k);
    if (rc >= 0 && now.exists)
        rc = drop_subkeys(x, t, k, key);
    cpuu_section_close(&now);
    cpuu_free(key);
    return rc;
}

static cpuu_rc restore_tree(restorer *x, const image_tree *t)
{
    bool exists;
    cpuu_rc rc = cpuu_key_exists(x->reg, t->key, &exists, x->err);
    if (rc >= 0 && !t->present && exists)
        return staged(x, cpuu_edits_delete_key(x->edits, t->key, CPUU_MARK_NONE, NULL));
    for (uint32_t i = 0; i < t->n_keys && rc >= 0; i++)
        rc = restore_key(x, t, &t->keys[i]);
    return rc;
}

static cpuu_rc restore_default(restorer *x, const image *im)
{
    cpuu_reg_values now = {0};
    cpuu_error why = CPUU_ERROR_INIT;
    cpuu_rc rc = cpuu_reg_get(x->reg, im->default_key, "DefaultProfile", &now, &why);
    if (rc < 0 && rc != CPUU_E_NOTFOUND)
        return cpuu_pass(x->err, &why);
    bool has = rc >= 0;
    rc = CPUU_OK;
    if (im->has_default && !(has && same_content(&now.items[0], &im->default_value)))
        rc = put(x, im->default_key, &im->default_value);
    else if (!im->has_default && has)
        rc = staged(x, cpuu_edits_unset(x->edits, im->default_key, now.items[0].name,
                                        CPUU_MARK_NONE, NULL));
    cpuu_reg_values_free(&now);
    return rc;
}

static cpuu_rc restore_image(restorer *x, const image *im)
{
    bool exists;
    cpuu_rc rc = cpuu_key_exists(x->reg, im->profile_key, &exists, x->err);
    if (rc >= 0 && !exists)
        return cpuu_fail(x->err, CPUU_E_NOTFOUND,
                         "the profile '%s' no longer exists in %s; its key is never created",
                         im->profile_key, cpuu_reg_location(x->reg));
    for (uint32_t i = 0; i < im->n_trees && rc >= 0; i++)
        rc = restore_tree(x, &im->trees[i]);
    return rc < 0 ? rc : restore_default(x, im);
}

cpuu_rc cpuu_profile_restore(cpuu_reg *reg, const void *data, size_t size, cpuu_edits *edits,
                             cpuu_error *err)
{
    restorer x = {.reg = reg, .edits = edits, .err = err};
    size_t before = edits->count;
    image im;
    cpuu_rc rc = read_image(data, size, &im, err);
    if (rc >= 0) {
        rc = restore_image(&x, &im);
        cpuu_arena_free(&im.arena);
    }
    if (rc < 0) {
        cpuu_edits_truncate(edits, before);
        return cpuu_wrap(err, "restoring a profile from its image");
    }
    return CPUU_OK;
}

/* ---- comparing ------------------------------------------------------------------------------- */

static char *describe(const cpuu_edit *e)
{
    static const char *const what[] = {"", "is missing", "was added", "differs", "was added"};
    return e->name ? cpuu_asprintf("value '%s' of '%s' %s", e->name, e->key, what[e->kind])
                   : cpuu_asprintf("key '%s' %s", e->key, what[e->kind]);
}

cpuu_rc cpuu_profile_compare(cpuu_reg *reg, const void *data, size_t size, bool *equal,
                             char **difference, cpuu_error *err)
{
    cpuu_edits edits;
    cpuu_edits_init(&edits);
    restorer x = {.reg = reg, .edits = &edits, .ignore_order = true, .err = err};
    image im;
    char *text = NULL;
    bool exists = true;
    cpuu_rc rc = read_image(data, size, &im, err);
    if (rc >= 0) {
        rc = cpuu_key_exists(reg, im.profile_key, &exists, err);
        if (rc >= 0 && exists)
            rc = restore_image(&x, &im);
        else if (rc >= 0)
            text = cpuu_asprintf("key '%s' is missing", im.profile_key);
        cpuu_arena_free(&im.arena);
    }
    if (rc >= 0 && edits.count)
        text = describe(&edits.items[0]);
    if (rc >= 0 && (!exists || edits.count) && !text)
        rc = cpuu_nomem(err);
    if (rc >= 0) {
        *equal = exists && edits.count == 0;
        *difference = text;
    }
    cpuu_edits_free(&edits);
    return rc < 0 ? cpuu_wrap(err, "comparing a profile with its image") : CPUU_OK;
}
