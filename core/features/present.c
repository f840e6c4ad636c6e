/*
 * What is there now of the objects of a portion. One by one an answer brings 32 KB; from the table of
 * a folder it brings eight times as much. So where many objects of one folder are concerned it is
 * listed once (places.c), and the rows they are in are read, in ranges, side by side.
 *
 * A table may cut or leave out what an object has. It is believed where it shows, byte for byte, all
 * that the journal says was written last, or all that was there before; everything else is asked of
 * the object itself, before anybody decides anything.
 */
#include "features/replay.h"

#include <stdlib.h>

#define ANSWER_BYTES 28000u  /* of objects in one answer */
#define RANGE_BYTES  190000u /* of rows in one answer: 256 KB, and it comes in pieces of 32 KB */
#define OPEN_BYTES   100u    /* of an answer, for each object */
#define LANES        4u
#define TABLE_FROM   (LANES * ANSWER_BYTES) /* what costs more than one trip; a listing costs one */
#define GAP          8u   /* so many rows are read in vain rather than a new range begun */

/* Objects of one folder that may be read from its table. */
typedef struct group {
    cpuu_object **objects;
    size_t n;
    uint32_t *tags; /* columns, sorted */
    uint32_t n_tags;
    uint64_t bytes; /* of what they probably hold */
    const cpuu_places *places; /* NULL = the folder was not listed yet */
    struct spot *spots;        /* where they are, by row */
    size_t n_spots;
    bool fresh; /* just found there */
} group;

typedef struct spot {
    uint32_t row;
    cpuu_object *object;
} spot;

typedef struct groups {
    group *items;
    size_t n;
} groups;

/* ---- one object ------------------------------------------------------------------------------ */

const uint32_t *cpuu_any_tag(uint32_t what)
{
    /* PidTagRuleId, PidTagMemberId, PidTagDisplayName, PidTagMessageClass */
    static const uint32_t rule = 0x66740014u, member = 0x66710014u, name = 0x3001001Fu,
                          class = 0x001A001Fu;
    return what == CPUU_RULES         ? &rule
           : what == CPUU_PERMISSIONS ? &member
           : what == CPUU_FOLDERS     ? &name
                                      : &class;
}

static bool is_text(uint32_t tag)
{
    return (tag & 0xefffu) == 0x001Fu || (tag & 0xefffu) == 0x001Eu;
}

/* What the values last written take in an answer; text is UTF-16 there. One that does not fit comes
 * by stream. */
static uint32_t bytes_of(const cpuu_object *o)
{
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < o->n_tags; i++) {
        const cpuu_prop *v = cpuu_chain_last(o, o->tags[i]);
        const uint32_t size = v && v->data.size < ANSWER_BYTES ? v->data.size : 4u;
        bytes += 3u + (is_text(o->tags[i]) ? 2u * size : size);
    }
    return bytes;
}

/* Rows stay with the object: the portion frees them. */
static void take_object(cpuu_portion *p, void *owner, cpuu_mail_op *op)
{
    cpuu_object *o = owner;
    cpuu_rc rc = op->rc;
    if (rc == CPUU_OK && op->rows.count)
        rc = op->rows.items[0].rc;
    if (rc < 0 && rc != CPUU_E_NOTFOUND && p->problem.rc == CPUU_OK)
        cpuu_fail(&p->problem, rc, "cannot read '%s' to take it back%s%s", o->title,
                  op->error.text[0] ? ": " : "", op->error.text);
    o->rows = op->rows;
    op->rows = (cpuu_mail_rows){0};
    if (rc >= 0 && o->rows.count)
        o->now = &o->rows.items[0];
}

static cpuu_rc ask_object(cpuu_portion *p, cpuu_object *o, cpuu_error *err)
{
    cpuu_mail_op op = {.verb = CPUU_MAIL_READ,
                       .what = o->what,
                       .folder = o->folder,
                       .tags = o->n_tags ? o->tags : cpuu_any_tag(o->what),
                       .n_tags = o->n_tags ? o->n_tags : 1};
    if (o->what != CPUU_STORE) {
        op.ids = &o->id;
        op.n_ids = 1;
        op.row_bytes = bytes_of(o);
    }
    o->asked = true;
    return cpuu_portion_ask(p, &op, take_object, o, err);
}

/* Of those that were not asked yet; `all`: even when their folder's table is still to be read. */
static cpuu_rc ask_rest(cpuu_portion *p, bool all, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    for (cpuu_object *o = p->objects; o && rc == CPUU_OK; o = o->next) {
        if (!o->id_unknown && !o->asked && !o->as_written && !o->as_before && (all || !o->in_table))
            rc = ask_object(p, o, err);
    }
    return rc;
}

/* ---- which objects ---------------------------------------------------------------------------- */

/* Whether a table can show all that was written. */
static bool suits_table(const cpuu_object *o)
{
    if ((o->what != CPUU_ITEMS && o->what != CPUU_HIDDEN) || o->id_unknown ||
        cpuu_chain_deleted(o) || !o->n_tags || !o->folder.size)
        return false;
    for (uint32_t i = 0; i < o->n_tags; i++) {
        const cpuu_prop *v = cpuu_chain_last(o, o->tags[i]);
        const bool binary = (o->tags[i] & 0xffffu) == 0x0102u;
        const uint32_t cut = binary ? CPUU_TABLE_CUT_BINARY : CPUU_TABLE_CUT_TEXT;
        if (!v || !v->present || v->data.size >= cut)
            return false;
    }
    return true;
}

static int by_folder(const void *a, const void *b)
{
    return cpuu_object_by_folder(*(cpuu_object *const *)a, *(cpuu_object *const *)b);
}

static bool has_columns(const group *g, const cpuu_object *o)
{
    for (uint32_t i = 0; i < o->n_tags; i++) {
        if (!bsearch(&o->tags[i], g->tags, g->n_tags, sizeof(*g->tags), cpuu_by_tag))
            return false;
    }
    return true;
}

/* Columns are what every 16th object has, at least; whoever has others is left out. */
static cpuu_rc choose_columns(cpuu_portion *p, group *g, cpuu_error *err)
{
    size_t n = 0, left = 0;
    for (size_t i = 0; i < g->n; i++)
        n += g->objects[i]->n_tags;
    uint32_t *tags = cpuu_arena_alloc(&p->arena, n * sizeof(*tags));
    if (!tags)
        return cpuu_nomem(err);
    n = 0;
    for (size_t i = 0; i < g->n; i++) {
        for (uint32_t k = 0; k < g->objects[i]->n_tags; k++)
            tags[n++] = g->objects[i]->tags[k];
    }
    qsort(tags, n, sizeof(*tags), cpuu_by_tag);
    g->tags = tags;
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && tags[end] == tags[i];)
            end++;
        if ((end - i) * 16 >= g->n)
            tags[g->n_tags++] = tags[i];
    }
    for (size_t i = 0; i < g->n; i++) {
        if (has_columns(g, g->objects[i]))
            g->objects[left++] = g->objects[i];
    }
    g->n = left;
    return CPUU_OK;
}

static void measure(group *g)
{
    g->bytes = 0;
    for (size_t i = 0; i < g->n; i++)
        g->bytes += OPEN_BYTES + bytes_of(g->objects[i]);
}

static cpuu_rc add_group(cpuu_portion *p, groups *all, cpuu_object **objects, size_t n,
                         cpuu_error *err)
{
    group *g = &all->items[all->n];
    *g = (group){.objects = objects, .n = n, .places = cpuu_places_of(p->r, objects[0])};
    const uint64_t from = g->places ? ANSWER_BYTES : TABLE_FROM;
    measure(g);
    if (g->bytes <= from)
        return CPUU_OK;
    cpuu_rc rc = choose_columns(p, g, err);
    measure(g);
    if (rc < 0 || g->bytes <= from)
        return rc;
    all->n++;
    for (size_t i = 0; i < g->n; i++)
        g->objects[i]->in_table = true;
    return CPUU_OK;
}

static cpuu_rc choose(cpuu_portion *p, groups *all, cpuu_error *err)
{
    cpuu_object **objects = cpuu_arena_alloc(&p->arena, p->n_objects * sizeof(*objects));
    all->items = cpuu_arena_alloc(&p->arena, p->n_objects * sizeof(*all->items));
    if (!objects || !all->items)
        return cpuu_nomem(err);
    size_t n = 0;
    for (cpuu_object *o = p->objects; o; o = o->next) {
        if (suits_table(o))
            objects[n++] = o;
    }
    if (n)
        qsort(objects, n, sizeof(*objects), by_folder);
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0, end; i < n && rc == CPUU_OK; i = end) {
        for (end = i + 1; end < n && by_folder(&objects[i], &objects[end]) == 0;)
            end++;
        rc = add_group(p, all, &objects[i], end - i, err);
    }
    return rc;
}

/* ---- ranges ----------------------------------------------------------------------------------- */

typedef struct range {
    const group *g;
    const spot *spots;
    size_t n;
} range;

static int by_row(const void *x, const void *y)
{
    const spot *a = x, *b = y;
    return a->row < b->row ? -1 : a->row > b->row;
}

/* With its id; rows of others may be longer. */
static uint32_t row_bytes(const group *g)
{
    return ((uint32_t)(g->bytes / g->n) - OPEN_BYTES + 9u) * 5 / 4;
}

typedef const cpuu_prop *state_of(const cpuu_object *o, uint32_t tag);

static bool shows(const group *g, const cpuu_object *o, const cpuu_mail_row *row, state_of *state)
{
    for (uint32_t i = 0; i < o->n_tags; i++) {
        const uint32_t *tag = bsearch(&o->tags[i], g->tags, g->n_tags, sizeof(*g->tags), cpuu_by_tag);
        const size_t at = (size_t)(tag - g->tags);
        const cpuu_prop *wanted = state(o, o->tags[i]);
        if (at >= row->n_values || !wanted || !wanted->present)
            return false;
        const cpuu_prop now = cpuu_prop_of(o->tags[i], &row->values[at]);
        if (!cpuu_prop_same(&now, wanted))
            return false;
    }
    return true;
}

static void take_range(cpuu_portion *p, void *owner, cpuu_mail_op *op)
{
    const range *r = owner;
    (void)p;
    for (size_t i = 0; op->rc >= 0 && i < r->n && i < op->rows.count; i++) {
        const cpuu_mail_row *row = &op->rows.items[i];
        cpuu_object *o = r->spots[i].object;
        o->as_written = row->rc >= 0 && shows(r->g, o, row, cpuu_chain_last);
        o->as_before = row->rc >= 0 && !o->as_written && !cpuu_chain_created(o) &&
                       shows(r->g, o, row, cpuu_chain_first);
    }
}

static cpuu_rc ask_range(cpuu_portion *p, const group *g, const spot *spots, size_t n,
                         cpuu_error *err)
{
    range *r = cpuu_arena_alloc(&p->arena, sizeof(*r));
    cpuu_blob *ids = cpuu_arena_alloc(&p->arena, n * sizeof(*ids));
    if (!r || !ids)
        return cpuu_nomem(err);
    for (size_t i = 0; i < n; i++)
        ids[i] = spots[i].object->id;
    *r = (range){g, spots, n};
    cpuu_mail_op op = {.verb = CPUU_MAIL_READ,
                       .what = g->objects[0]->what,
                       .folder = g->objects[0]->folder,
                       .tags = g->tags,
                       .n_tags = g->n_tags,
                       .ids = ids,
                       .n_ids = (uint32_t)n,
                       .in_table = true,
                       .first_row = spots[0].row,
                       .n_rows = spots[n - 1].row - spots[0].row + 1,
                       .row_bytes = row_bytes(g)};
    return cpuu_portion_ask(p, &op, take_range, r, err);
}

/* End of the run of objects that are close to one another, from spot i on. */
static size_t run_end(const group *g, size_t i)
{
    for (i++; i < g->n_spots && g->spots[i].row - g->spots[i - 1].row <= GAP;)
        i++;
    return i;
}

/* Finds the rows of a group whose folder was listed; who is in none is asked himself. Adds the bytes
 * of all of them. */
static cpuu_rc locate(cpuu_portion *p, group *g, uint64_t *bytes, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    g->spots = cpuu_arena_alloc(&p->arena, g->n * sizeof(*g->spots));
    if (!g->spots)
        return cpuu_nomem(err);
    for (size_t i = 0; i < g->n && rc == CPUU_OK; i++) {
        spot *s = &g->spots[g->n_spots];
        s->object = g->objects[i];
        if (cpuu_places_find(g->places, s->object->id, &s->row))
            g->n_spots++;
        else
            rc = ask_object(p, s->object, err);
    }
    if (g->n_spots)
        qsort(g->spots, g->n_spots, sizeof(*g->spots), by_row);
    for (size_t i = 0, end; i < g->n_spots; i = end) {
        end = run_end(g, i);
        *bytes += (uint64_t)(g->spots[end - 1].row - g->spots[i].row + 1) * row_bytes(g);
    }
    return rc;
}

/* Whether a range takes at most half the requests that its objects would. */
static bool range_pays(const group *g, const spot *spots, size_t n)
{
    const uint64_t rows = spots[n - 1].row - spots[0].row + 1, objects = n * (g->bytes / g->n);
    return rows * row_bytes(g) / RANGE_BYTES + 1 <= objects / ANSWER_BYTES / 2;
}

/* A run of rows, in parts of about so many bytes; or the objects in it. */
static cpuu_rc ask_run(cpuu_portion *p, const group *g, const spot *spots, size_t n, uint64_t part,
                       cpuu_error *err)
{
    const uint64_t rows = part / row_bytes(g) + 1;
    const bool pays = range_pays(g, spots, n);
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; i < n && !pays && rc == CPUU_OK; i++)
        rc = ask_object(p, spots[i].object, err);
    for (size_t i = 0, end; i < n && pays && rc == CPUU_OK; i = end) {
        for (end = i + 1; end < n && spots[end].row - spots[i].row < rows;)
            end++;
        rc = ask_range(p, g, &spots[i], end - i, err);
    }
    return rc;
}

/* Of the folders whose places are known by now. All together they are spread over the contexts. */
static cpuu_rc ask_ranges(cpuu_portion *p, groups *all, cpuu_error *err)
{
    uint64_t bytes = 0;
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; i < all->n && rc == CPUU_OK; i++) {
        group *g = &all->items[i];
        g->fresh = !g->spots && (g->places = cpuu_places_of(p->r, g->objects[0]));
        if (g->fresh)
            rc = locate(p, g, &bytes, err);
    }
    bytes = bytes / LANES + 1;
    bytes = bytes < ANSWER_BYTES ? ANSWER_BYTES : bytes > RANGE_BYTES ? RANGE_BYTES : bytes;
    for (size_t i = 0; i < all->n; i++) {
        const group *g = &all->items[i];
        for (size_t k = 0, end; k < g->n_spots && g->fresh && rc == CPUU_OK; k = end) {
            end = run_end(g, k);
            rc = ask_run(p, g, &g->spots[k], end - k, bytes, err);
        }
    }
    return rc;
}

static cpuu_rc ask_places(cpuu_portion *p, groups *all, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; i < all->n && rc == CPUU_OK; i++) {
        if (!all->items[i].places)
            rc = cpuu_places_ask(p, all->items[i].objects[0], err);
    }
    return rc;
}

/* ---- all of them ------------------------------------------------------------------------------ */

static cpuu_rc ask_unknown(cpuu_portion *p, cpuu_sought *unknown, cpuu_error *err)
{
    size_t n = 0;
    for (cpuu_object *o = p->objects; o; o = o->next) {
        if (o->id_unknown)
            unknown[n++] = (cpuu_sought){.object = o,
                                         .props = o->oldest->after,
                                         .n_props = o->oldest->n_after,
                                         .ids = o->ids,
                                         .n_ids = o->n_ids};
    }
    return cpuu_seek(p, unknown, n, err);
}

static cpuu_rc read_all(cpuu_portion *p, cpuu_sought *unknown, cpuu_error *err)
{
    groups all = {0};
    cpuu_rc rc = choose(p, &all, err);
    if (rc == CPUU_OK)
        rc = ask_places(p, &all, err);
    if (rc == CPUU_OK)
        rc = ask_rest(p, false, err);
    if (rc == CPUU_OK)
        rc = ask_unknown(p, unknown, err);
    if (rc == CPUU_OK)
        rc = ask_ranges(p, &all, err);
    if (rc == CPUU_OK)
        rc = cpuu_portion_run(p, err);
    if (rc == CPUU_OK)
        rc = ask_ranges(p, &all, err);
    if (rc == CPUU_OK)
        rc = cpuu_portion_run(p, err);
    if (rc == CPUU_OK)
        rc = ask_rest(p, true, err);
    return rc == CPUU_OK ? cpuu_portion_run(p, err) : rc;
}

cpuu_rc cpuu_portion_look(cpuu_portion *p, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    for (cpuu_object *o = p->objects; o && rc == CPUU_OK; o = o->next)
        rc = cpuu_chain_list_tags(p, o, err);
    cpuu_sought *unknown = cpuu_calloc(p->n_objects, sizeof(*unknown));
    if (rc == CPUU_OK)
        rc = unknown ? read_all(p, unknown, err) : cpuu_nomem(err);
    cpuu_free(unknown);
    return rc;
}
