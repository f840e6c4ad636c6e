/* Edit lists: what is to be done to a registry, in order. Every string is the list's own copy. */
#include "registry/registry.h"

#include <string.h>

void cpuu_edits_init(cpuu_edits *e)
{
    memset(e, 0, sizeof(*e));
}

static void clear(cpuu_edit *edit)
{
    cpuu_free(edit->key);
    cpuu_free(edit->name);
    cpuu_free(edit->data);
    cpuu_free(edit->title);
}

void cpuu_edits_truncate(cpuu_edits *e, size_t count)
{
    while (e->count > count)
        clear(&e->items[--e->count]);
}

void cpuu_edits_free(cpuu_edits *e)
{
    cpuu_edits_truncate(e, 0);
    cpuu_free(e->items);
    cpuu_edits_init(e);
}

/* Copies what the borrowed edit points to. */
static cpuu_rc append(cpuu_edits *e, const cpuu_edit *from)
{
    if (!cpuu_grow(&e->items, &e->cap, e->count, sizeof(*e->items)))
        return CPUU_E_NOMEM;
    cpuu_edit copy = *from;
    copy.key = cpuu_strdup(from->key);
    copy.name = cpuu_strdup(from->name);
    copy.title = cpuu_strdup(from->title);
    copy.data = from->kind == CPUU_EDIT_SET ? cpuu_memdup(from->data, from->size) : NULL;
    if (!copy.key || (from->name && !copy.name) || (from->title && !copy.title) ||
        (from->kind == CPUU_EDIT_SET && !copy.data)) {
        clear(&copy);
        return CPUU_E_NOMEM;
    }
    e->items[e->count++] = copy;
    return CPUU_OK;
}

cpuu_rc cpuu_edits_create_key(cpuu_edits *e, const char *key, cpuu_mark mark, const char *title)
{
    return append(e, &(cpuu_edit){.kind = CPUU_EDIT_CREATE_KEY, .key = (char *)key, .mark = mark,
                                  .title = (char *)title});
}

cpuu_rc cpuu_edits_delete_key(cpuu_edits *e, const char *key, cpuu_mark mark, const char *title)
{
    return append(e, &(cpuu_edit){.kind = CPUU_EDIT_DELETE_KEY, .key = (char *)key, .mark = mark,
                                  .title = (char *)title});
}

cpuu_rc cpuu_edits_set(cpuu_edits *e, const char *key, const char *name, uint32_t type,
                       const void *data, uint32_t size, cpuu_mark mark, const char *title)
{
    return append(e, &(cpuu_edit){.kind = CPUU_EDIT_SET, .key = (char *)key, .name = (char *)name,
                                  .type = type, .data = (uint8_t *)data, .size = size,
                                  .mark = mark, .title = (char *)title});
}

cpuu_rc cpuu_edits_set_sz(cpuu_edits *e, const char *key, const char *name, const char *utf8,
                          cpuu_mark mark, const char *title)
{
    cpuu_buf wide;
    if (!cpuu_utf8_valid(utf8, strlen(utf8)))
        return CPUU_E_FORMAT;
    cpuu_buf_init(&wide, UINT32_MAX);
    cpuu_rc rc = CPUU_E_NOMEM;
    if (cpuu_buf_utf16(&wide, utf8, true))
        rc = cpuu_edits_set(e, key, name, CPUU_REG_SZ, wide.data, (uint32_t)wide.size, mark, title);
    cpuu_buf_free(&wide);
    return rc;
}

cpuu_rc cpuu_edits_unset(cpuu_edits *e, const char *key, const char *name, cpuu_mark mark,
                         const char *title)
{
    return append(e, &(cpuu_edit){.kind = CPUU_EDIT_UNSET, .key = (char *)key,
                                  .name = (char *)name, .mark = mark, .title = (char *)title});
}
