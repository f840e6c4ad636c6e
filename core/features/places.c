/*
 * Where the items of a folder are in its table, learnt by listing it once for a whole replay. Only a
 * hint: whoever reads a row looks whose it is. Two numbers are kept of a row, and of no more rows
 * than ROWS_MAX: memory is bounded, whatever a folder holds.
 */
#include "features/replay.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_MAX (1u << 18)

typedef struct place {
    uint64_t sum; /* of the id */
    uint32_t row;
} place;

struct cpuu_places {
    uint32_t what;
    cpuu_blob folder;
    place *items; /* by sum */
    size_t n, cap;
    uint32_t rows;
    bool listed;
    cpuu_places *next;
    uint8_t bytes[]; /* of the folder's id */
};

/* FNV-1a, 64 bits */
static uint64_t sum_of(cpuu_blob id)
{
    uint64_t sum = 0xcbf29ce484222325ull;
    for (uint32_t i = 0; i < id.size; i++)
        sum = (sum ^ id.data[i]) * 0x100000001b3ull;
    return sum;
}

static int by_sum(const void *x, const void *y)
{
    const place *a = x, *b = y;
    return a->sum < b->sum ? -1 : a->sum > b->sum;
}

static cpuu_rc note_row(void *user, const cpuu_mail_row *row)
{
    cpuu_places *l = user;
    if (l->n < ROWS_MAX && cpuu_grow(&l->items, &l->cap, l->n, sizeof(*l->items)))
        l->items[l->n++] = (place){sum_of(row->id), l->rows};
    l->rows++;
    return CPUU_OK;
}

/* A folder that could not be listed has no places: its items say why when they are asked. */
static void take_listing(cpuu_portion *p, void *owner, cpuu_mail_op *op)
{
    cpuu_places *l = owner;
    (void)p;
    l->listed = true;
    if (op->rc < 0)
        l->n = 0;
    if (l->n)
        qsort(l->items, l->n, sizeof(*l->items), by_sum);
}

cpuu_places *cpuu_places_of(const cpuu_replay *r, const cpuu_object *o)
{
    cpuu_places *l = r->places;
    while (l && (!l->listed || l->what != o->what || !cpuu_blob_same(l->folder, o->folder)))
        l = l->next;
    return l;
}

cpuu_rc cpuu_places_ask(cpuu_portion *p, const cpuu_object *o, cpuu_error *err)
{
    static const uint32_t flags = 0x0E070003u; /* PidTagMessageFlags: short, and every row has it */
    cpuu_places *l = cpuu_calloc(1, sizeof(*l) + o->folder.size);
    if (!l)
        return cpuu_nomem(err);
    memcpy(l->bytes, o->folder.data, o->folder.size);
    l->what = o->what;
    l->folder = (cpuu_blob){l->bytes, o->folder.size};
    l->next = p->r->places;
    p->r->places = l;
    cpuu_mail_op op = {.verb = CPUU_MAIL_READ,
                       .what = l->what,
                       .folder = l->folder,
                       .tags = &flags,
                       .n_tags = 1,
                       .long_table = true,
                       .on_row = note_row,
                       .user = l};
    return cpuu_portion_ask(p, &op, take_listing, l, err);
}

bool cpuu_places_find(const cpuu_places *l, cpuu_blob id, uint32_t *row)
{
    const place key = {.sum = sum_of(id)};
    const place *found = l->n ? bsearch(&key, l->items, l->n, sizeof(*l->items), by_sum) : NULL;
    if (found)
        *row = found->row;
    return found != NULL;
}

void cpuu_places_free(cpuu_replay *r)
{
    while (r->places) {
        cpuu_places *l = r->places;
        r->places = l->next;
        cpuu_free(l->items);
        cpuu_free(l);
    }
}
