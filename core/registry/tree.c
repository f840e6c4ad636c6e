/*
 * A tree of keys, and what edits do to it. A changed tree has copies of the keys on the way to each
 * edit and shares all others with the tree it was made from, so that a change costs what it
 * touches. Recursion is bounded by CPUU_REG_MAX_DEPTH.
 */
#include "registry/backend.h"

#include "base/text.h"

#include <string.h>

cpuu_key *cpuu_key_new(const char *name, size_t size)
{
    cpuu_key *key = cpuu_calloc(1, sizeof(*key));
    if (key && !(key->name = cpuu_strndup(name, size))) {
        cpuu_free(key);
        return NULL;
    }
    return key;
}

static void clear_value(const cpuu_key *key, cpuu_reg_value *v)
{
    cpuu_free(v->name);
    if (!key->borrowed)
        cpuu_free(v->data);
}

void cpuu_key_free(cpuu_key *key)
{
    if (!key)
        return;
    if (key->shared) {
        key->shared--;
        return;
    }
    for (size_t i = 0; i < key->n_kids; i++)
        cpuu_key_free(key->kids[i]);
    for (size_t i = 0; i < key->n_values; i++)
        clear_value(key, &key->values[i]);
    cpuu_free(key->kids);
    cpuu_free(key->values);
    cpuu_free(key->name);
    cpuu_free(key);
}

bool cpuu_key_add(cpuu_key *key, cpuu_key *kid)
{
    if (!cpuu_grow(&key->kids, &key->cap_kids, key->n_kids, sizeof(*key->kids)))
        return false;
    key->kids[key->n_kids++] = kid;
    return true;
}

static bool fill_value(cpuu_reg_value *v, const char *name, uint32_t type, const void *data,
                       uint32_t size)
{
    *v = (cpuu_reg_value){cpuu_strdup(name), type, cpuu_memdup(data, size), size};
    if (v->name && v->data)
        return true;
    cpuu_free(v->name);
    cpuu_free(v->data);
    return false;
}

bool cpuu_key_add_value(cpuu_key *key, const char *name, uint32_t type, const void *data,
                        uint32_t size)
{
    if (!cpuu_grow(&key->values, &key->cap_values, key->n_values, sizeof(*key->values)) ||
        !fill_value(&key->values[key->n_values], name, type, data, size))
        return false;
    key->n_values++;
    return true;
}

/* A copy of one key, with its own values; the keys below belong to both. */
static cpuu_key *copy_key(const cpuu_key *key)
{
    cpuu_key *copy = cpuu_key_new(key->name, strlen(key->name));
    if (!copy)
        return NULL;
    copy->odd = key->odd;
    copy->cell = key->cell;
    copy->rank = key->rank;
    copy->changed = true;
    for (size_t i = 0; i < key->n_values; i++) {
        const cpuu_reg_value *v = &key->values[i];
        if (!cpuu_key_add_value(copy, v->name, v->type, v->data, v->size))
            goto failed;
    }
    copy->kids = cpuu_memdup(key->kids, key->n_kids * sizeof(cpuu_key *));
    if (!copy->kids)
        goto failed;
    copy->n_kids = copy->cap_kids = key->n_kids;
    for (size_t i = 0; i < key->n_kids; i++)
        copy->kids[i]->shared++;
    return copy;
failed:
    cpuu_key_free(copy);
    return NULL;
}

/* Makes the key at *slot one that belongs to this tree alone. */
static cpuu_key *own(cpuu_key **slot)
{
    if (!(*slot)->shared)
        return *slot;
    cpuu_key *copy = copy_key(*slot);
    if (!copy)
        return NULL;
    (*slot)->shared--;
    return *slot = copy;
}

static size_t child_index(const cpuu_key *key, const char *name, size_t size)
{
    size_t i = 0;
    while (i < key->n_kids &&
           !cpuu_name_neq(key->kids[i]->name, strlen(key->kids[i]->name), name, size))
        i++;
    return i;
}

cpuu_key *cpuu_key_child(const cpuu_key *key, const char *name, size_t size)
{
    size_t i = child_index(key, name, size);
    return i < key->n_kids ? key->kids[i] : NULL;
}

cpuu_key *cpuu_key_find(const cpuu_key *root, const char *path)
{
    cpuu_key *key = (cpuu_key *)root;
    const char *part;
    size_t n;
    while (key && cpuu_reg_part(&path, &part, &n))
        key = cpuu_key_child(key, part, n);
    return key;
}

size_t cpuu_key_value(const cpuu_key *key, const char *name)
{
    size_t i = 0;
    while (i < key->n_values && !cpuu_name_eq(key->values[i].name, name))
        i++;
    return i;
}

/* ---- edits ----------------------------------------------------------------------------------- */

/* UTF-16 code units of UTF-8 text that is known to be valid. */
static size_t utf16_length(const char *text, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        n += ((c & 0xc0) != 0x80) + (c >= 0xf0);
    }
    return n;
}

/* The key of that path, made this tree's own on the way. CPUU_E_NOTFOUND or CPUU_E_NOMEM. */
static cpuu_rc reach(cpuu_key *key, const char *path, cpuu_key **out)
{
    const char *part;
    size_t n;
    while (cpuu_reg_part(&path, &part, &n)) {
        size_t at = child_index(key, part, n);
        if (at == key->n_kids)
            return CPUU_E_NOTFOUND;
        key = own(&key->kids[at]);
        if (!key)
            return CPUU_E_NOMEM;
    }
    *out = key;
    return CPUU_OK;
}

static cpuu_rc create(cpuu_key *key, const char *path, cpuu_error *err)
{
    const char *whole = path, *part;
    size_t n, depth = 0;
    while (cpuu_reg_part(&path, &part, &n)) {
        if (!cpuu_utf8_valid(part, n) || utf16_length(part, n) > CPUU_REG_MAX_KEY_NAME ||
            ++depth > CPUU_REG_MAX_DEPTH)
            return cpuu_fail(err, CPUU_E_UNSUPPORTED, "'%s' cannot be the name of a key", whole);
        size_t at = child_index(key, part, n);
        cpuu_key *kid;
        if (at < key->n_kids) {
            kid = own(&key->kids[at]);
            if (!kid)
                return cpuu_nomem(err);
        } else {
            kid = cpuu_key_new(part, n);
            if (!kid || !cpuu_key_add(key, kid)) {
                cpuu_key_free(kid);
                return cpuu_nomem(err);
            }
            kid->changed = kid->values_changed = true;
        }
        key = kid;
    }
    return CPUU_OK;
}

static cpuu_rc delete(cpuu_key *key, const char *path, cpuu_error *err)
{
    const char *part;
    size_t n, at = 0;
    cpuu_key *parent = NULL;
    while (cpuu_reg_part(&path, &part, &n)) {
        key = parent ? own(&parent->kids[at]) : key;
        if (!key)
            return cpuu_nomem(err);
        parent = key;
        at = child_index(parent, part, n);
        if (at == parent->n_kids)
            return CPUU_OK;
    }
    if (!parent)
        return cpuu_fail(err, CPUU_E_UNSUPPORTED, "the root of a registry cannot be deleted");
    cpuu_key_free(parent->kids[at]);
    parent->n_kids--;
    memmove(&parent->kids[at], &parent->kids[at + 1],
            (parent->n_kids - at) * sizeof(*parent->kids));
    return CPUU_OK;
}

static cpuu_rc set(cpuu_key *root, const cpuu_edit *e, cpuu_error *err)
{
    cpuu_key *key;
    cpuu_rc rc = reach(root, e->key, &key);
    if (rc == CPUU_E_NOTFOUND)
        return cpuu_fail(err, rc, "cannot set value '%s': key '%s' does not exist", e->name,
                         e->key);
    if (rc != CPUU_OK)
        return cpuu_nomem(err);
    if (!cpuu_utf8_valid(e->name, strlen(e->name)) ||
        utf16_length(e->name, strlen(e->name)) > CPUU_REG_MAX_VALUE_NAME)
        return cpuu_fail(err, CPUU_E_UNSUPPORTED, "'%s' cannot be the name of a value of key '%s'",
                         e->name, e->key);
    key->values_changed = true;
    size_t i = cpuu_key_value(key, e->name);
    if (i == key->n_values)
        return cpuu_key_add_value(key, e->name, e->type, e->data, e->size) ? CPUU_OK
                                                                           : cpuu_nomem(err);
    /* A value that exists keeps the name it is stored with. */
    cpuu_reg_value fresh;
    if (!fill_value(&fresh, key->values[i].name, e->type, e->data, e->size))
        return cpuu_nomem(err);
    clear_value(key, &key->values[i]);
    key->values[i] = fresh;
    return CPUU_OK;
}

static cpuu_rc unset(cpuu_key *root, const cpuu_edit *e, cpuu_error *err)
{
    cpuu_key *key;
    cpuu_rc rc = reach(root, e->key, &key);
    if (rc != CPUU_OK)
        return rc == CPUU_E_NOTFOUND ? CPUU_OK : cpuu_nomem(err);
    size_t i = cpuu_key_value(key, e->name);
    if (i == key->n_values)
        return CPUU_OK;
    key->values_changed = true;
    clear_value(key, &key->values[i]);
    key->n_values--;
    memmove(&key->values[i], &key->values[i + 1], (key->n_values - i) * sizeof(*key->values));
    return CPUU_OK;
}

/* Stops at the first error. */
static cpuu_rc apply(cpuu_key *root, const cpuu_edits *edits, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; rc == CPUU_OK && i < edits->count; i++) {
        const cpuu_edit *e = &edits->items[i];
        switch (e->kind) {
        case CPUU_EDIT_CREATE_KEY:
            rc = create(root, e->key, err);
            break;
        case CPUU_EDIT_DELETE_KEY:
            rc = delete(root, e->key, err);
            break;
        case CPUU_EDIT_SET:
            rc = set(root, e, err);
            break;
        case CPUU_EDIT_UNSET:
            rc = unset(root, e, err);
            break;
        default:
            rc = cpuu_fail(err, CPUU_E_FAILED, "unknown kind of registry edit: %d", (int)e->kind);
        }
    }
    return rc;
}

cpuu_rc cpuu_tree_changed(const cpuu_key *root, const cpuu_edits *edits, cpuu_key **out,
                          cpuu_error *err)
{
    cpuu_key *copy = copy_key(root);
    if (!copy)
        return cpuu_nomem(err);
    cpuu_rc rc = apply(copy, edits, err);
    if (rc == CPUU_OK)
        *out = copy;
    else
        cpuu_key_free(copy);
    return rc;
}

/* ---- reading --------------------------------------------------------------------------------- */

static cpuu_rc lookup(const cpuu_key *root, const char *path, const cpuu_key **out, cpuu_error *err)
{
    *out = cpuu_key_find(root, path);
    return *out ? CPUU_OK : cpuu_fail(err, CPUU_E_NOTFOUND, "there is no key '%s'", path);
}

cpuu_rc cpuu_tree_keys(const cpuu_key *root, const char *path, cpuu_reg_names *out, cpuu_error *err)
{
    const cpuu_key *key;
    size_t cap = 0;
    cpuu_rc rc = lookup(root, path, &key, err);
    if (rc != CPUU_OK)
        return rc;
    for (size_t i = 0; i < key->n_kids; i++) {
        if (cpuu_reg_names_add(out, &cap, key->kids[i]->name) != CPUU_OK)
            return cpuu_nomem(err);
    }
    return CPUU_OK;
}

cpuu_rc cpuu_tree_values(const cpuu_key *root, const char *path, cpuu_reg_values *out,
                         cpuu_error *err)
{
    const cpuu_key *key;
    size_t cap = 0;
    cpuu_rc rc = lookup(root, path, &key, err);
    if (rc != CPUU_OK)
        return rc;
    for (size_t i = 0; i < key->n_values; i++) {
        if (cpuu_reg_values_add(out, &cap, &key->values[i]) != CPUU_OK)
            return cpuu_nomem(err);
    }
    return CPUU_OK;
}
