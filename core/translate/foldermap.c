#include "translate/foldermap.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Deeper nesting than any server allows; ends a walk through a damaged parent chain. */
#define MAX_DEPTH 128

static int blob_cmp(cpuu_blob a, cpuu_blob b)
{
    if (a.size != b.size)
        return a.size < b.size ? -1 : 1;
    return a.size ? memcmp(a.data, b.data, a.size) : 0;
}

static int folder_cmp(const void *a, const void *b)
{
    const cpuu_folder *p = a, *q = b;
    return blob_cmp(p->eid, q->eid);
}

static int place_cmp(const cpuu_folder *a, const cpuu_folder *b)
{
    int order = blob_cmp(a->parent, b->parent);
    return order ? order : cpuu_name_cmp(a->name, b->name);
}

static int by_place(const void *a, const void *b)
{
    return place_cmp(*(const cpuu_folder *const *)a, *(const cpuu_folder *const *)b);
}

static bool blob_dup(cpuu_arena *arena, cpuu_blob *b)
{
    b->data = cpuu_arena_dup(arena, b->data, b->size);
    return b->data != NULL;
}

cpuu_rc cpuu_folder_list_add(cpuu_folder_list *l, const cpuu_folder *folder)
{
    if (!cpuu_grow(&l->items, &l->cap, l->count, sizeof(*l->items)) ||
        !cpuu_grow(&l->places, &l->places_cap, l->count, sizeof(*l->places)))
        return CPUU_E_NOMEM;
    cpuu_folder f = *folder;
    f.name = cpuu_arena_strdup(&l->arena, folder->name ? folder->name : "");
    f.klass = cpuu_arena_strdup(&l->arena, folder->klass ? folder->klass : "");
    if (!f.name || !f.klass || !blob_dup(&l->arena, &f.eid) || !blob_dup(&l->arena, &f.parent))
        return CPUU_E_NOMEM;
    l->items[l->count++] = f;
    return CPUU_OK;
}

void cpuu_folder_list_sort(cpuu_folder_list *l)
{
    if (l->count)
        qsort(l->items, l->count, sizeof(*l->items), folder_cmp);
    for (size_t i = l->count; i-- > 0;) { /* of several with one role the first counts */
        l->places[i] = &l->items[i];
        if (l->items[i].role <= CPUU_ROLE_PUBLIC)
            l->roles[l->items[i].role] = &l->items[i];
    }
    if (l->count)
        qsort(l->places, l->count, sizeof(const cpuu_folder *), by_place);
}

void cpuu_folder_list_free(cpuu_folder_list *l)
{
    cpuu_free(l->items);
    cpuu_free(l->places);
    cpuu_arena_free(&l->arena);
    memset(l, 0, sizeof(*l));
}

const cpuu_folder *cpuu_folder_find(const cpuu_folder_list *l, cpuu_blob eid)
{
    cpuu_folder key = {.eid = eid};
    return l->count ? bsearch(&key, l->items, l->count, sizeof(*l->items), folder_cmp) : NULL;
}

const cpuu_folder *cpuu_folder_by_role(const cpuu_folder_list *l, uint32_t role)
{
    return role <= CPUU_ROLE_PUBLIC ? l->roles[role] : NULL;
}

/* Of the folders in one place, where the first one is or would be. */
static size_t first_in_place(const cpuu_folder_list *l, const cpuu_folder *place)
{
    size_t low = 0, high = l->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (place_cmp(l->places[middle], place) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The child of `parent` that is called like f. Of several, the one with the same class; more than
 * one of those cannot be told apart. A folder that has a role is only ever matched by its role. */
static cpuu_folder_match find_child(const cpuu_folder_list *target, const cpuu_folder *parent,
                                    const cpuu_folder *f, const cpuu_folder **out)
{
    const cpuu_folder place = {.parent = parent->eid, .name = f->name};
    const cpuu_folder *same_name = NULL, *same_class = NULL;
    unsigned n_name = 0, n_class = 0;
    for (size_t i = first_in_place(target, &place); i < target->count; i++) {
        const cpuu_folder *t = target->places[i];
        if (place_cmp(t, &place) != 0)
            break;
        if (t->role != CPUU_ROLE_NONE)
            continue;
        same_name = t;
        n_name++;
        if (cpuu_caseeq(t->klass, f->klass)) {
            same_class = t;
            n_class++;
        }
    }
    if (n_name == 0)
        return CPUU_MATCH_MISSING;
    if (n_name > 1 && n_class != 1)
        return CPUU_MATCH_AMBIGUOUS;
    *out = n_name > 1 ? same_class : same_name;
    return CPUU_MATCH_FOUND;
}

static cpuu_folder_match map(const cpuu_folder_list *source, const cpuu_folder_list *target,
                             const cpuu_folder *f, unsigned depth, const cpuu_folder **out)
{
    if (f->role != CPUU_ROLE_NONE) {
        *out = cpuu_folder_by_role(target, f->role);
        return *out ? CPUU_MATCH_FOUND : CPUU_MATCH_MISSING;
    }
    const cpuu_folder *parent = cpuu_folder_find(source, f->parent), *target_parent;
    if (!parent || parent == f || depth == MAX_DEPTH)
        return CPUU_MATCH_UNKNOWN;
    cpuu_folder_match m = map(source, target, parent, depth + 1, &target_parent);
    return m == CPUU_MATCH_FOUND ? find_child(target, target_parent, f, out) : m;
}

cpuu_folder_match cpuu_folder_map(const cpuu_folder_list *source, const cpuu_folder_list *target,
                                  cpuu_blob eid, const cpuu_folder **out)
{
    const cpuu_folder *f = cpuu_folder_find(source, eid);
    return f ? map(source, target, f, 0, out) : CPUU_MATCH_UNKNOWN;
}

bool cpuu_folder_path(const cpuu_folder_list *l, const cpuu_folder *f, char *out, size_t out_size)
{
    const cpuu_folder *chain[MAX_DEPTH];
    size_t n = 0;
    for (; f && n < MAX_DEPTH; f = cpuu_folder_find(l, f->parent)) {
        if (f->role == CPUU_ROLE_IPM_SUBTREE || f->role == CPUU_ROLE_ROOT ||
            f->role == CPUU_ROLE_PUBLIC)
            break;
        chain[n++] = f;
        if (blob_cmp(f->parent, f->eid) == 0)
            break;
    }
    size_t used = 0;
    if (out_size)
        out[0] = 0;
    while (n > 0) {
        int k = snprintf(out + used, out_size - used, "\\%s", chain[--n]->name);
        if (k < 0 || (size_t)k >= out_size - used)
            return false;
        used += (size_t)k;
    }
    return used > 0;
}
