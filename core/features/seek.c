/*
 * An item whose id is not known is ours when it was not in its folder before and is what we meant
 * to create. Each folder is listed once for all that is sought in it, and a row is kept for nobody:
 * memory is bounded by what is sought, not by what the folder holds.
 *
 * Sought items are sorted by folder, then by the properties they have (most first: a row that fits
 * a precise description is not given to a vague one), then by a checksum of the values, in which a
 * row is looked up.
 */
#include "features/replay.h"

#include <stdlib.h>
#include <string.h>

/* Items of one folder whose descriptions have the same properties. */
typedef struct shape {
    cpuu_sought *items;
    size_t n;
    uint32_t *columns; /* where in a row its properties are */
} shape;

typedef struct listing {
    cpuu_portion *p;
    shape *shapes;
    size_t n_shapes;
} listing;

/* ---- order ----------------------------------------------------------------------------------- */

static int by_size(size_t a, size_t b)
{
    return a < b ? -1 : a > b;
}

static int by_shape(const cpuu_sought *a, const cpuu_sought *b)
{
    int c = cpuu_object_by_folder(a->object, b->object);
    if (c == 0)
        c = by_size(b->n_props, a->n_props);
    for (uint32_t i = 0; i < a->n_props && c == 0; i++)
        c = by_size(a->props[i].tag, b->props[i].tag);
    return c;
}

/* Of equal ones the newest first: the listing before it knew the older ones. */
static int by_place(const void *x, const void *y)
{
    const cpuu_sought *a = x, *b = y;
    const int c = by_shape(a, b);
    if (c || a->sum != b->sum)
        return c ? c : a->sum < b->sum ? -1 : 1;
    return a->object->newest->seq > b->object->newest->seq ? -1 : 1;
}

/* FNV-1a, 64 bits; equal sums are compared byte by byte. */
static uint64_t add_value(uint64_t sum, const cpuu_prop *v)
{
    const uint32_t size = v->present ? v->data.size : UINT32_MAX;
    for (unsigned shift = 0; shift < 32; shift += 8)
        sum = (sum ^ (uint8_t)(size >> shift)) * 0x100000001b3ull;
    for (uint32_t i = 0; v->present && i < size; i++)
        sum = (sum ^ v->data.data[i]) * 0x100000001b3ull;
    return sum;
}
#define SUM0 0xcbf29ce484222325ull

/* ---- a row ----------------------------------------------------------------------------------- */

static uint64_t row_sum(const shape *s, const cpuu_mail_row *row)
{
    uint64_t sum = SUM0;
    for (uint32_t i = 0; i < s->items->n_props; i++) {
        const cpuu_prop now = cpuu_value_now(row, s->items->props[i].tag, s->columns[i]);
        sum = add_value(sum, &now);
    }
    return sum;
}

static bool looks_like(const shape *s, const cpuu_sought *item, const cpuu_mail_row *row)
{
    for (uint32_t i = 0; i < item->n_props; i++) {
        const cpuu_prop now = cpuu_value_now(row, item->props[i].tag, s->columns[i]);
        if (!cpuu_prop_same(&now, &item->props[i]))
            return false;
    }
    return true;
}

static size_t first_of(const shape *s, uint64_t sum)
{
    size_t low = 0, high = s->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (s->items[middle].sum < sum)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Whether the journal knows the object by its id: then it is not one whose id was never learnt. */
static cpuu_rc is_known(cpuu_portion *p, const cpuu_object *o, cpuu_blob id, bool *out)
{
    cpuu_journal_filter f = {.what = o->what, .id = id};
    int64_t seq = 0;
    if (cpuu_id_is_of_folder(o->what))
        f.folder = o->folder;
    cpuu_rc rc =
        id.size ? cpuu_journal_find(p->r->w->journal, &f, NULL, NULL, &seq, &p->problem) : CPUU_OK;
    if (rc == CPUU_OK)
        *out = seq != 0;
    return rc;
}

static cpuu_rc take(cpuu_portion *p, cpuu_sought *item, cpuu_blob id)
{
    bool known = false;
    cpuu_rc rc = is_known(p, item->object, id, &known);
    if (rc < 0 || known)
        return rc;
    item->object->id = (cpuu_blob){cpuu_arena_dup(&p->arena, id.data, id.size), id.size};
    item->object->found = item->object->id.data != NULL;
    return item->object->found ? CPUU_OK : cpuu_nomem(&p->problem);
}

static cpuu_rc show_row(void *user, const cpuu_mail_row *row)
{
    listing *l = user;
    for (size_t k = 0; k < l->n_shapes && row->rc >= 0; k++) {
        const shape *s = &l->shapes[k];
        const uint64_t sum = row_sum(s, row);
        for (size_t i = first_of(s, sum); i < s->n && s->items[i].sum == sum; i++) {
            cpuu_sought *item = &s->items[i];
            if (!item->object->found && !cpuu_idlist_has(item->ids, item->n_ids, row->id) &&
                looks_like(s, item, row))
                return take(l->p, item, row->id);
        }
    }
    return CPUU_OK;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void take_end(cpuu_portion *p, void *owner, cpuu_mail_op *op)
{
    const listing *l = owner;
    if (op->rc < 0 && op->rc != CPUU_E_NOTFOUND && p->problem.rc == CPUU_OK)
        cpuu_fail(&p->problem, op->rc, "cannot look for '%s' to take it back: %s",
                  l->shapes->items->object->title, op->error.text);
}

/* The properties of all shapes, each once. */
static cpuu_rc list_columns(listing *l, cpuu_mail_op *op, cpuu_error *err)
{
    size_t n = 1;
    for (size_t k = 0; k < l->n_shapes; k++)
        n += l->shapes[k].items->n_props;
    uint32_t *tags = cpuu_arena_alloc(&l->p->arena, n * sizeof(*tags));
    if (!tags)
        return cpuu_nomem(err);
    n = 0;
    for (size_t k = 0; k < l->n_shapes; k++) {
        for (uint32_t i = 0; i < l->shapes[k].items->n_props; i++)
            tags[n++] = l->shapes[k].items->props[i].tag;
    }
    qsort(tags, n, sizeof(*tags), cpuu_by_tag);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || tags[i] != tags[op->n_tags - 1])
            tags[op->n_tags++] = tags[i];
    }
    op->tags = tags;
    for (size_t k = 0; k < l->n_shapes; k++) {
        shape *s = &l->shapes[k];
        s->columns = cpuu_arena_alloc(&l->p->arena, (s->items->n_props + 1) * sizeof(*s->columns));
        if (!s->columns)
            return cpuu_nomem(err);
        for (uint32_t i = 0; i < s->items->n_props; i++)
            s->columns[i] =
                (uint32_t)((const uint32_t *)bsearch(&s->items->props[i].tag, tags, op->n_tags,
                                                     sizeof(*tags), cpuu_by_tag) -
                           tags);
    }
    return CPUU_OK;
}

static cpuu_rc list_folder(cpuu_portion *p, cpuu_sought *items, size_t n, cpuu_error *err)
{
    listing *l = cpuu_arena_alloc(&p->arena, sizeof(*l));
    shape *shapes = cpuu_arena_alloc(&p->arena, n * sizeof(*shapes));
    if (!l || !shapes)
        return cpuu_nomem(err);
    *l = (listing){p, shapes, 0};
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || by_shape(&items[i - 1], &items[i]) != 0)
            shapes[l->n_shapes++].items = &items[i];
        shapes[l->n_shapes - 1].n++;
    }
    cpuu_mail_op op = {.verb = CPUU_MAIL_READ,
                       .what = items->object->what,
                       .folder = items->object->folder,
                       .on_row = show_row,
                       .user = l};
    cpuu_rc rc = list_columns(l, &op, err);
    if (rc == CPUU_OK && op.n_tags == 0) {
        op.tags = cpuu_any_tag(op.what);
        op.n_tags = 1;
    }
    return rc == CPUU_OK ? cpuu_portion_ask(p, &op, take_end, l, err) : rc;
}

cpuu_rc cpuu_seek(cpuu_portion *p, cpuu_sought *items, size_t n, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; i < n; i++) {
        items[i].sum = SUM0;
        for (uint32_t k = 0; k < items[i].n_props; k++)
            items[i].sum = add_value(items[i].sum, &items[i].props[k]);
    }
    if (n)
        qsort(items, n, sizeof(*items), by_place);
    for (size_t i = 0, end; i < n && rc == CPUU_OK; i = end) {
        for (end = i + 1;
             end < n && cpuu_object_by_folder(items[i].object, items[end].object) == 0;)
            end++;
        rc = list_folder(p, &items[i], end - i, err);
    }
    return rc;
}
