/* What all backends share: dispatch, lists, paths. */
#include "registry/backend.h"

#include "base/text.h"

#include <string.h>

/* ---- paths ----------------------------------------------------------------------------------- */

bool cpuu_reg_part(const char **path, const char **part, size_t *size)
{
    *path += strspn(*path, "\\");
    *part = *path;
    *size = strcspn(*path, "\\");
    *path += *size;
    return *size != 0;
}

const char *cpuu_reg_below(const char *key, const char *path)
{
    const char *a, *b;
    size_t n, m;
    while (cpuu_reg_part(&key, &a, &n)) {
        if (!cpuu_reg_part(&path, &b, &m) || !cpuu_name_neq(a, n, b, m))
            return NULL;
    }
    return path + strspn(path, "\\");
}

bool cpuu_reg_same_key(const char *a, const char *b)
{
    const char *rest = cpuu_reg_below(a, b);
    return rest && !*rest;
}

char *cpuu_reg_join(const char *key, const char *name)
{
    return cpuu_asprintf("%s%s%s", key, *key && *name ? "\\" : "", name);
}

/* ---- lists ----------------------------------------------------------------------------------- */

/* Room for one more element in an array that lives in an arena. */
static void *arena_grow(cpuu_arena *a, void *items, size_t *cap, size_t count, size_t elem)
{
    if (count < *cap)
        return items;
    size_t want = *cap ? *cap * 2 : 16;
    void *bigger = cpuu_arena_alloc(a, want * elem);
    if (!bigger)
        return NULL;
    if (count)
        memcpy(bigger, items, count * elem);
    *cap = want;
    return bigger;
}

cpuu_rc cpuu_reg_names_add(cpuu_reg_names *list, size_t *cap, const char *name)
{
    char **items = arena_grow(&list->arena, list->items, cap, list->count, sizeof(*items));
    if (!items)
        return CPUU_E_NOMEM;
    list->items = items;
    char *copy = cpuu_arena_strdup(&list->arena, name);
    if (!copy)
        return CPUU_E_NOMEM;
    items[list->count++] = copy;
    return CPUU_OK;
}

cpuu_rc cpuu_reg_values_add(cpuu_reg_values *list, size_t *cap, const cpuu_reg_value *v)
{
    cpuu_reg_value *items = arena_grow(&list->arena, list->items, cap, list->count, sizeof(*items));
    if (!items)
        return CPUU_E_NOMEM;
    list->items = items;
    cpuu_reg_value copy = *v;
    copy.name = cpuu_arena_strdup(&list->arena, v->name);
    copy.data = cpuu_arena_dup(&list->arena, v->data, v->size);
    if (!copy.name || !copy.data)
        return CPUU_E_NOMEM;
    items[list->count++] = copy;
    return CPUU_OK;
}

void cpuu_reg_values_free(cpuu_reg_values *v)
{
    cpuu_arena_free(&v->arena);
    memset(v, 0, sizeof(*v));
}

void cpuu_reg_names_free(cpuu_reg_names *n)
{
    cpuu_arena_free(&n->arena);
    memset(n, 0, sizeof(*n));
}

const cpuu_reg_value *cpuu_reg_find(const cpuu_reg_values *v, const char *name)
{
    for (size_t i = 0; i < v->count; i++) {
        if (cpuu_name_eq(v->items[i].name, name))
            return &v->items[i];
    }
    return NULL;
}

/* ---- dispatch -------------------------------------------------------------------------------- */

void cpuu_reg_close(cpuu_reg *reg)
{
    if (reg)
        reg->ops->close(reg);
}

const char *cpuu_reg_location(const cpuu_reg *reg)
{
    return reg->location;
}

const char *cpuu_reg_hive_path(const cpuu_reg *reg)
{
    return reg->ops->hive_path ? reg->ops->hive_path(reg) : NULL;
}

cpuu_rc cpuu_reg_keys(cpuu_reg *reg, const char *key, cpuu_reg_names *out, cpuu_error *err)
{
    memset(out, 0, sizeof(*out));
    cpuu_rc rc = reg->ops->keys(reg, key, out, err);
    if (rc != CPUU_OK)
        cpuu_reg_names_free(out);
    return rc;
}

cpuu_rc cpuu_reg_values_of(cpuu_reg *reg, const char *key, cpuu_reg_values *out, cpuu_error *err)
{
    memset(out, 0, sizeof(*out));
    cpuu_rc rc = reg->ops->values(reg, key, out, err);
    if (rc != CPUU_OK)
        cpuu_reg_values_free(out);
    return rc;
}

cpuu_rc cpuu_reg_get(cpuu_reg *reg, const char *key, const char *name, cpuu_reg_values *out,
                     cpuu_error *err)
{
    cpuu_rc rc = cpuu_reg_values_of(reg, key, out, err);
    if (rc != CPUU_OK)
        return rc;
    const cpuu_reg_value *found = cpuu_reg_find(out, name);
    if (!found) {
        cpuu_reg_values_free(out);
        return cpuu_fail(err, CPUU_E_NOTFOUND, "%s: key '%s' has no value '%s'", reg->location,
                         key, name);
    }
    out->items[0] = *found;
    out->count = 1;
    return CPUU_OK;
}

cpuu_rc cpuu_reg_get_text(cpuu_reg *reg, const char *key, const char *name, char **out,
                          cpuu_error *err)
{
    cpuu_reg_values one;
    cpuu_rc rc = cpuu_reg_get(reg, key, name, &one, err);
    if (rc != CPUU_OK)
        return rc;
    const cpuu_reg_value *v = one.items;
    uint32_t size = 0; /* up to the first NUL: what readers of a REG_SZ see */
    while (v->size - size >= 2 && (v->data[size] || v->data[size + 1]))
        size += 2;
    cpuu_buf text;
    cpuu_buf_init(&text, (size_t)v->size * 2 + 1);
    if ((v->type != CPUU_REG_SZ && v->type != CPUU_REG_EXPAND_SZ) || v->size % 2)
        rc = cpuu_fail(err, CPUU_E_FORMAT, "%s: value '%s' of key '%s' is not a string",
                       reg->location, name, key);
    else if (!cpuu_buf_utf8_from_utf16(&text, v->data, size))
        rc = cpuu_nomem(err);
    else if (!(*out = cpuu_strndup(text.data ? (const char *)text.data : "", text.size)))
        rc = cpuu_nomem(err);
    cpuu_buf_free(&text);
    cpuu_reg_values_free(&one);
    return rc;
}

bool cpuu_reg_has_key(cpuu_reg *reg, const char *key)
{
    cpuu_reg_names names;
    if (cpuu_reg_keys(reg, key, &names, NULL) != CPUU_OK)
        return false;
    cpuu_reg_names_free(&names);
    return true;
}

cpuu_rc cpuu_reg_apply(cpuu_reg *reg, const cpuu_edits *edits, cpuu_error *err)
{
    return edits->count ? reg->ops->apply(reg, edits, err) : CPUU_OK;
}

cpuu_rc cpuu_reg_check(cpuu_reg *reg, const cpuu_edits *edits, cpuu_error *err)
{
    return edits->count ? reg->ops->check(reg, edits, err) : CPUU_OK;
}

void cpuu_reg_rest(cpuu_reg *reg)
{
    if (reg->ops->rest)
        reg->ops->rest(reg);
}
