/*
 * A registry as it would be after a list of edits. Nothing is stored: each question asks the base
 * about one key and replays the edits that concern it, so it always sees the list as it is now.
 */
#include "registry/backend.h"

#include "base/text.h"

#include <string.h>

typedef struct overlay {
    cpuu_reg reg;
    cpuu_reg *base;          /* borrowed */
    const cpuu_edits *edits; /* borrowed */
} overlay;

static cpuu_rc no_key(const char *key, cpuu_error *err)
{
    return cpuu_fail(err, CPUU_E_NOTFOUND, "there is no key '%s'", key);
}

/* What the base says, a missing key being an empty one. */
static cpuu_rc base_result(cpuu_rc rc, bool *exists, cpuu_error *err)
{
    *exists = rc == CPUU_OK;
    if (rc != CPUU_E_NOTFOUND)
        return rc;
    if (err)
        *err = (cpuu_error)CPUU_ERROR_INIT;
    return CPUU_OK;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static size_t find_name(const cpuu_reg_names *list, const char *name, size_t size)
{
    size_t i = 0;
    while (i < list->count && !cpuu_name_neq(list->items[i], strlen(list->items[i]), name, size))
        i++;
    return i;
}

/* The edit creates `key` itself, or something below it: then `rest` names that. */
static cpuu_rc see_create(cpuu_reg_names *out, size_t *cap, const char *rest)
{
    const char *part;
    size_t n;
    if (!cpuu_reg_part(&rest, &part, &n) || find_name(out, part, n) < out->count)
        return CPUU_OK;
    char *name = cpuu_strndup(part, n);
    cpuu_rc rc = name ? cpuu_reg_names_add(out, cap, name) : CPUU_E_NOMEM;
    cpuu_free(name);
    return rc;
}

static void see_delete(cpuu_reg_names *out, const char *rest)
{
    const char *part, *deeper;
    size_t n, m;
    if (!cpuu_reg_part(&rest, &part, &n) || cpuu_reg_part(&rest, &deeper, &m))
        return;
    size_t i = find_name(out, part, n);
    if (i == out->count)
        return;
    out->count--;
    memmove(&out->items[i], &out->items[i + 1], (out->count - i) * sizeof(*out->items));
}

/* Deleting `deleted` takes `key` with it; the root is never deleted. */
static bool takes_away(const char *deleted, const char *key)
{
    return deleted[strspn(deleted, "\\")] && cpuu_reg_below(deleted, key);
}

static cpuu_rc over_keys(cpuu_reg *reg, const char *key, cpuu_reg_names *out, cpuu_error *err)
{
    overlay *o = (overlay *)reg;
    bool exists;
    cpuu_rc rc = base_result(cpuu_reg_keys(o->base, key, out, err), &exists, err);
    size_t cap = out->count;
    for (size_t i = 0; rc == CPUU_OK && i < o->edits->count; i++) {
        const cpuu_edit *e = &o->edits->items[i];
        const char *rest = cpuu_reg_below(key, e->key);
        if (e->kind == CPUU_EDIT_CREATE_KEY && rest) {
            exists = true;
            if (see_create(out, &cap, rest) != CPUU_OK)
                return cpuu_nomem(err);
        } else if (e->kind == CPUU_EDIT_DELETE_KEY && takes_away(e->key, key)) {
            exists = false;
            out->count = 0;
        } else if (e->kind == CPUU_EDIT_DELETE_KEY && rest) {
            see_delete(out, rest);
        }
    }
    if (rc == CPUU_OK && !exists)
        rc = no_key(key, err);
    return rc;
}

/* ---- values ---------------------------------------------------------------------------------- */

static cpuu_rc see_set(cpuu_reg_values *out, size_t *cap, const cpuu_edit *e)
{
    cpuu_reg_value *old = (cpuu_reg_value *)cpuu_reg_find(out, e->name);
    if (!old)
        return cpuu_reg_values_add(out, cap,
                                   &(cpuu_reg_value){e->name, e->type, e->data, e->size});
    uint8_t *data = cpuu_arena_dup(&out->arena, e->data, e->size);
    if (!data)
        return CPUU_E_NOMEM;
    *old = (cpuu_reg_value){old->name, e->type, data, e->size};
    return CPUU_OK;
}

static void see_unset(cpuu_reg_values *out, const cpuu_edit *e)
{
    cpuu_reg_value *old = (cpuu_reg_value *)cpuu_reg_find(out, e->name);
    if (!old)
        return;
    size_t i = (size_t)(old - out->items);
    out->count--;
    memmove(old, old + 1, (out->count - i) * sizeof(*old));
}

static cpuu_rc over_values(cpuu_reg *reg, const char *key, cpuu_reg_values *out, cpuu_error *err)
{
    overlay *o = (overlay *)reg;
    bool exists;
    cpuu_rc rc = base_result(cpuu_reg_values_of(o->base, key, out, err), &exists, err);
    size_t cap = out->count;
    for (size_t i = 0; rc == CPUU_OK && i < o->edits->count; i++) {
        const cpuu_edit *e = &o->edits->items[i];
        if (e->kind == CPUU_EDIT_CREATE_KEY) {
            exists = exists || cpuu_reg_below(key, e->key);
        } else if (e->kind == CPUU_EDIT_DELETE_KEY && takes_away(e->key, key)) {
            exists = false;
            out->count = 0;
        } else if (exists && e->kind == CPUU_EDIT_SET && cpuu_reg_same_key(key, e->key)) {
            if (see_set(out, &cap, e) != CPUU_OK)
                return cpuu_nomem(err);
        } else if (e->kind == CPUU_EDIT_UNSET && cpuu_reg_same_key(key, e->key)) {
            see_unset(out, e);
        }
    }
    if (rc == CPUU_OK && !exists)
        rc = no_key(key, err);
    return rc;
}

/* ---- the rest -------------------------------------------------------------------------------- */

static cpuu_rc over_refuse(cpuu_reg *reg, const cpuu_edits *edits, cpuu_error *err)
{
    (void)reg;
    (void)edits;
    return cpuu_fail(err, CPUU_E_UNSUPPORTED, "a view of staged changes cannot be changed itself");
}

static const char *over_hive_path(const cpuu_reg *reg)
{
    return cpuu_reg_hive_path(((const overlay *)reg)->base);
}

static void over_close(cpuu_reg *reg)
{
    cpuu_free(reg);
}

static void over_rest(cpuu_reg *reg)
{
    cpuu_reg_rest(((overlay *)reg)->base);
}

static const cpuu_reg_ops ops = {over_keys, over_values, over_refuse, over_refuse,
                                 over_hive_path, over_rest, over_close};

cpuu_rc cpuu_reg_open_overlay(cpuu_reg *base, const cpuu_edits *edits, cpuu_reg **out,
                              cpuu_error *err)
{
    overlay *o = cpuu_calloc(1, sizeof(*o));
    if (!o)
        return cpuu_nomem(err);
    o->reg.ops = &ops;
    o->reg.location = base->location;
    o->base = base;
    o->edits = edits;
    *out = &o->reg;
    return CPUU_OK;
}
