/*
 * The chain of an object: all its open records, from the state before to the last thing written.
 * One object is looked up by its id, so that a portion holds whole chains however far apart their
 * records are.
 */
#include "features/replay.h"

#include <stdlib.h>
#include <string.h>

/* ---- reading --------------------------------------------------------------------------------- */

bool cpuu_id_is_of_folder(uint32_t what)
{
    return what == CPUU_RULES || what == CPUU_PERMISSIONS;
}

int cpuu_object_by_folder(const cpuu_object *a, const cpuu_object *b)
{
    if (a->what != b->what)
        return a->what < b->what ? -1 : 1;
    if (a->folder.size != b->folder.size)
        return a->folder.size < b->folder.size ? -1 : 1;
    return a->folder.size ? memcmp(a->folder.data, b->folder.data, a->folder.size) : 0;
}

static bool keep(cpuu_arena *a, cpuu_blob *b)
{
    b->data = cpuu_arena_dup(a, b->data, b->size);
    return b->data != NULL;
}

static cpuu_rc decode(const cpuu_record *r, cpuu_arena *arena, cpuu_step *s, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    if (r->kind != CPUU_RECORD_CREATE)
        rc = cpuu_proplist_decode(r->before, arena, &s->before, &s->n_before, err);
    if (rc == CPUU_OK && r->has_after)
        rc = cpuu_proplist_decode(r->after, arena, &s->after, &s->n_after, err);
    return rc;
}

cpuu_rc cpuu_chain_check(const cpuu_record *r, cpuu_error *err)
{
    cpuu_arena arena = {0};
    cpuu_step s = {0};
    cpuu_blob *ids;
    uint32_t n;
    cpuu_rc rc = decode(r, &arena, &s, err);
    if (rc == CPUU_OK && r->kind == CPUU_RECORD_CREATE)
        rc = cpuu_idlist_decode(r->before, &arena, &ids, &n, err);
    cpuu_arena_free(&arena);
    return rc;
}

/* Creations that were flushed together have the same list of what was in their folder before. */
static cpuu_rc keep_ids(cpuu_portion *p, const cpuu_record *r, cpuu_object *o, cpuu_error *err)
{
    if (!p->ids || !cpuu_blob_same(p->ids_raw, r->before)) {
        p->ids_raw = r->before;
        if (!keep(&p->arena, &p->ids_raw))
            return cpuu_nomem(err);
        cpuu_rc rc = cpuu_idlist_decode(p->ids_raw, &p->arena, &p->ids, &p->n_ids, err);
        if (rc < 0)
            return rc;
    }
    o->ids = p->ids;
    o->n_ids = p->n_ids;
    return CPUU_OK;
}

typedef struct load {
    cpuu_portion *p;
    cpuu_object *o;
    cpuu_error *err;
} load;

static cpuu_rc add_step(void *user, const cpuu_record *r)
{
    const load *l = user;
    cpuu_object *o = l->o;
    cpuu_arena *arena = &l->p->arena;
    cpuu_step *s = cpuu_arena_alloc(arena, sizeof(*s));
    cpuu_record copy = *r; /* its lists in the arena, for what is decoded points into them */
    if (!s || !keep(arena, &copy.folder) || !keep(arena, &copy.after) ||
        (r->kind != CPUU_RECORD_CREATE && !keep(arena, &copy.before)))
        return cpuu_nomem(l->err);
    s->seq = r->seq;
    s->kind = r->kind;
    s->folder = copy.folder;
    if (o->oldest)
        o->oldest->older = s;
    else
        o->newest = s;
    o->oldest = s;
    if (!o->folder.size) /* an update of a folder does not say where it lives, its creation does */
        o->folder = s->folder;
    return decode(&copy, arena, s, l->err);
}

/* The records below those that are here. */
static cpuu_rc add_older(cpuu_portion *p, cpuu_object *o, cpuu_journal_filter *f, cpuu_error *err)
{
    load l = {p, o, err};
    int64_t seq = o->newest ? o->newest->seq : INT64_MAX;
    cpuu_rc rc = CPUU_OK;
    while (seq && rc == CPUU_OK) {
        f->below = seq;
        rc = cpuu_journal_find(p->r->w->journal, f, add_step, &l, &seq, err);
    }
    return rc;
}

static bool has_chain(const cpuu_record *r)
{
    return r->id.size || r->what == CPUU_STORE;
}

static cpuu_rc is_newest(cpuu_replay *r, const cpuu_record *head, const cpuu_journal_filter *f,
                         bool *out, cpuu_error *err)
{
    int64_t newest = head->seq;
    cpuu_rc rc = CPUU_OK;
    if (head->what == CPUU_STORE) { /* it is met newest first, as everything is */
        *out = !r->store_met;
        r->store_met = true;
        return rc;
    }
    if (has_chain(head))
        rc = cpuu_journal_find(r->w->journal, f, NULL, NULL, &newest, err);
    if (rc == CPUU_OK)
        *out = newest == head->seq;
    return rc;
}

static cpuu_object *new_object(cpuu_portion *p, const cpuu_record *r)
{
    cpuu_object *o = cpuu_arena_alloc(&p->arena, sizeof(*o));
    if (!o)
        return NULL;
    o->what = r->what;
    o->title = cpuu_arena_strdup(&p->arena, r->title ? r->title : "");
    o->id = r->id;
    o->id_unknown = r->kind == CPUU_RECORD_CREATE && r->id.size == 0;
    return o->title && keep(&p->arena, &o->id) ? o : NULL;
}

cpuu_rc cpuu_chain_load(cpuu_portion *p, const cpuu_record *r, bool any, cpuu_object **out,
                        cpuu_error *err)
{
    cpuu_journal_filter f = {.span = p->r->span, .open = true, .what = r->what};
    bool newest = false;
    if (r->what != CPUU_STORE)
        f.id = r->id;
    if (cpuu_id_is_of_folder(r->what))
        f.folder = r->folder;
    *out = NULL;
    cpuu_rc rc = any ? CPUU_OK : is_newest(p->r, r, &f, &newest, err);
    if (rc < 0 || (!any && !newest))
        return rc;
    cpuu_object *o = new_object(p, r);
    load l = {p, o, err};
    if (!o)
        return cpuu_nomem(err);
    if (newest || !has_chain(r))
        rc = add_step(&l, r);
    if (rc == CPUU_OK && has_chain(r))
        rc = add_older(p, o, &f, err);
    if (rc == CPUU_OK && o->id_unknown)
        rc = keep_ids(p, r, o, err);
    if (rc == CPUU_OK)
        *out = o;
    return rc;
}

/* ---- what it says ---------------------------------------------------------------------------- */

bool cpuu_chain_created(const cpuu_object *o)
{
    return o->oldest->kind == CPUU_RECORD_CREATE;
}

bool cpuu_chain_deleted(const cpuu_object *o)
{
    return o->newest->kind == CPUU_RECORD_DELETE;
}

int cpuu_by_tag(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Of a deleted object all tags were written, but they matter only when it is gone. */
cpuu_rc cpuu_chain_list_tags(cpuu_portion *p, cpuu_object *o, cpuu_error *err)
{
    size_t most = 1, n = 0;
    for (const cpuu_step *s = o->newest; s; s = s->older)
        most += s->n_before + s->n_after;
    o->tags = cpuu_arena_alloc(&p->arena, most * sizeof(*o->tags));
    if (!o->tags)
        return cpuu_nomem(err);
    for (const cpuu_step *s = o->newest; s; s = s->older) {
        for (uint32_t i = 0; i < s->n_after; i++)
            o->tags[n++] = s->after[i].tag;
        for (uint32_t i = 0; s->kind == CPUU_RECORD_UPDATE && i < s->n_before; i++)
            o->tags[n++] = s->before[i].tag;
    }
    qsort(o->tags, n, sizeof(*o->tags), cpuu_by_tag);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || o->tags[i] != o->tags[o->n_tags - 1])
            o->tags[o->n_tags++] = o->tags[i];
    }
    return CPUU_OK;
}

bool cpuu_chain_knows(const cpuu_object *o, const cpuu_prop *now)
{
    for (const cpuu_step *s = o->newest; s; s = s->older) {
        const cpuu_prop *a = cpuu_proplist_find(s->after, s->n_after, now->tag);
        const cpuu_prop *b = cpuu_proplist_find(s->before, s->n_before, now->tag);
        if ((a && cpuu_prop_same(a, now)) || (b && cpuu_prop_same(b, now)))
            return true;
    }
    return false;
}

const cpuu_prop *cpuu_chain_last(const cpuu_object *o, uint32_t tag)
{
    const cpuu_prop *found = NULL;
    for (const cpuu_step *s = o->newest; s && !found; s = s->older)
        found = cpuu_proplist_find(s->after, s->n_after, tag);
    return found;
}

const cpuu_prop *cpuu_chain_first(const cpuu_object *o, uint32_t tag)
{
    const cpuu_prop *found = NULL;
    for (const cpuu_step *s = o->newest; s; s = s->older) {
        const cpuu_prop *b = cpuu_proplist_find(s->before, s->n_before, tag);
        if (b)
            found = b;
    }
    return found;
}
