/*
 * What was deleted comes back as a new object. As for every creation the journal knows before it is
 * tried what was in the folder, so that a second replay finds what a first one, killed, has
 * created.
 *
 *   "listing:<seq>"  id list of a folder, made for the object of this record and its neighbours
 *   "restore:<seq>"  name of the listing that was made before an object was created anew
 */
#include "features/replay.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Properties that a store gives out itself: ids, keys, times, sizes, counts ([MS-OXCMSG] 2.2.1,
 * [MS-OXCFXICS] 2.2.1.2, [MS-OXPROPS]); asking to set them makes a server refuse the item. */
static bool given_by_store(uint32_t what, uint32_t tag)
{
    static const uint16_t ids[] = {0x0FFF, 0x0FF4, 0x0FF6, 0x0FF7, 0x0FF9, 0x0FFA, 0x0FFB, 0x0FFE,
                                   0x0E02, 0x0E03, 0x0E04, 0x0E05, 0x0E08, 0x0E09, 0x0E12, 0x0E13,
                                   0x0E1B, 0x0E1D, 0x0E23, 0x3007, 0x3008, 0x300B, 0x3FF8, 0x3FF9,
                                   0x3FFA, 0x3FFB, 0x65E0, 0x65E1, 0x65E2, 0x65E3, 0x6671, 0x6672,
                                   0x6674, 0x6748, 0x674A, 0x674B, 0x674D, 0x674E, 0x67A4};
    const uint16_t id = (uint16_t)(tag >> 16);
    if (what == CPUU_HIDDEN &&
        id == 0x0E07) /* PidTagMessageFlags: read or not means nothing there */
        return true;
    if ((tag & 0xffffu) == 0x000Du) /* PtypObject has no value */
        return true;
    if (id == 0x0FFF && what == CPUU_PERMISSIONS)
        return false; /* whose permission it is */
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        if (ids[i] == id)
            return true;
    }
    return false;
}

cpuu_rc cpuu_recreate_values(cpuu_portion *p, cpuu_object *o, cpuu_error *err)
{
    const cpuu_step *s = o->newest;
    o->set = cpuu_arena_alloc(&p->arena, (s->n_before + 1) * sizeof(*o->set));
    if (!o->set)
        return cpuu_nomem(err);
    for (uint32_t i = 0; i < s->n_before; i++) {
        const cpuu_prop *first = cpuu_chain_first(o, s->before[i].tag);
        if (first->present && !given_by_store(o->what, first->tag))
            o->set[o->n_set++] = (cpuu_value){first->tag, first->data.size, first->data.data};
    }
    o->act = o->n_set ? CPUU_ACT_CREATE : CPUU_ACT_NONE;
    return CPUU_OK;
}

/* ---- the second time ------------------------------------------------------------------------- */

static cpuu_rc get(cpuu_portion *p, const char *name, cpuu_blob *out, cpuu_error *err)
{
    cpuu_buf b;
    cpuu_buf_init(&b, CPUU_PROPLIST_MAX);
    cpuu_rc rc = cpuu_journal_get(p->r->w->journal, name, &b, err);
    if (rc == CPUU_OK) {
        *out = (cpuu_blob){cpuu_arena_dup(&p->arena, b.data, b.size), (uint32_t)b.size};
        if (!out->data)
            rc = cpuu_nomem(err);
    }
    cpuu_buf_free(&b);
    return rc;
}

/* The listing that an earlier replay has made for the object; CPUU_E_NOTFOUND when there is none.
 */
static cpuu_rc earlier_listing(cpuu_portion *p, const cpuu_object *o, cpuu_sought *out,
                               cpuu_error *err)
{
    char key[48], name[48];
    cpuu_blob text, list;
    cpuu_blob *ids;
    snprintf(key, sizeof(key), "restore:%" PRId64, o->newest->seq);
    cpuu_rc rc = get(p, key, &text, err);
    if (rc < 0)
        return rc;
    snprintf(name, sizeof(name), "%.*s", (int)text.size, (const char *)text.data);
    rc = get(p, name, &list, err);
    if (rc == CPUU_OK)
        rc = cpuu_idlist_decode(list, &p->arena, &ids, &out->n_ids, err);
    if (rc == CPUU_OK)
        out->ids = ids;
    return rc == CPUU_E_NOTFOUND ? CPUU_E_FORMAT : rc; /* both were written together */
}

static cpuu_rc describe(cpuu_portion *p, const cpuu_object *o, cpuu_sought *out, cpuu_error *err)
{
    cpuu_prop *props = cpuu_arena_alloc(&p->arena, o->n_set * sizeof(*props));
    if (!props)
        return cpuu_nomem(err);
    for (uint32_t i = 0; i < o->n_set; i++)
        props[i] = cpuu_prop_of(o->set[i].tag, &o->set[i]);
    out->props = props;
    out->n_props = o->n_set;
    return CPUU_OK;
}

/* ---- the first time -------------------------------------------------------------------------- */

/* Objects of one folder, and what is in it. */
typedef struct contents {
    cpuu_portion *p;
    cpuu_object **objects;
    size_t n_objects;
    cpuu_blob *ids;
    size_t n, cap;
} contents;

static cpuu_rc note_id(void *user, const cpuu_mail_row *row)
{
    contents *c = user;
    const void *copy = cpuu_arena_dup(&c->p->arena, row->id.data, row->id.size);
    if (!copy || !cpuu_grow(&c->ids, &c->cap, c->n, sizeof(*c->ids)))
        return cpuu_nomem(&c->p->problem);
    c->ids[c->n++] = (cpuu_blob){copy, row->id.size};
    return CPUU_OK;
}

static cpuu_rc remember(const contents *c, cpuu_error *err)
{
    char name[48], key[48];
    cpuu_buf b;
    cpuu_journal *j = c->p->r->w->journal;
    snprintf(name, sizeof(name), "listing:%" PRId64, c->objects[0]->newest->seq);
    cpuu_buf_init(&b, CPUU_PROPLIST_MAX);
    cpuu_rc rc = cpuu_idlist_encode(c->ids, (uint32_t)c->n, &b, err);
    if (rc == CPUU_OK)
        rc = cpuu_journal_put(j, name, b.data, b.size, err);
    for (size_t i = 0; i < c->n_objects && rc == CPUU_OK; i++) {
        snprintf(key, sizeof(key), "restore:%" PRId64, c->objects[i]->newest->seq);
        rc = cpuu_journal_put(j, key, name, strlen(name), err);
    }
    cpuu_buf_free(&b);
    return rc;
}

static void take_contents(cpuu_portion *p, void *owner, cpuu_mail_op *op)
{
    const contents *c = owner;
    if (p->problem.rc == CPUU_OK && op->rc < 0)
        cpuu_fail(&p->problem, op->rc, "cannot look where '%s' was, to bring it back: %s",
                  c->objects[0]->title, op->error.text);
    if (p->problem.rc == CPUU_OK)
        remember(c, &p->problem);
}

static int by_folder(const void *a, const void *b)
{
    return cpuu_object_by_folder(*(cpuu_object *const *)a, *(cpuu_object *const *)b);
}

/* One listing for each folder; as many of them as objects at most. */
static cpuu_rc list_folders(cpuu_portion *p, cpuu_object **objects, size_t n, contents *folders,
                            cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    if (n)
        qsort(objects, n, sizeof(*objects), by_folder);
    for (size_t i = 0, end; i < n && rc == CPUU_OK; i = end, folders++) {
        for (end = i + 1; end < n && by_folder(&objects[i], &objects[end]) == 0;)
            end++;
        *folders = (contents){.p = p, .objects = &objects[i], .n_objects = end - i};
        cpuu_mail_op op = {.verb = CPUU_MAIL_READ,
                           .what = objects[i]->what,
                           .folder = objects[i]->folder,
                           .tags = cpuu_any_tag(objects[i]->what),
                           .n_tags = 1,
                           .on_row = note_id,
                           .user = folders};
        rc = cpuu_portion_ask(p, &op, take_contents, folders, err);
    }
    return rc;
}

/* ---- both ------------------------------------------------------------------------------------ */

typedef struct anew {   /* objects to be created */
    cpuu_sought *again; /* tried before */
    cpuu_object **fresh;
    contents *folders; /* of the fresh ones */
    size_t n_again, n_fresh;
} anew;

static cpuu_rc sort_out(cpuu_portion *p, anew *a, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    for (cpuu_object *o = p->objects; o && rc == CPUU_OK; o = o->next) {
        cpuu_error why = CPUU_ERROR_INIT;
        cpuu_sought *s = &a->again[a->n_again];
        if (o->act != CPUU_ACT_CREATE)
            continue;
        s->object = o;
        rc = earlier_listing(p, o, s, &why);
        if (rc == CPUU_E_NOTFOUND) {
            a->fresh[a->n_fresh++] = o;
            rc = CPUU_OK;
        } else if (rc < 0) {
            cpuu_fail(err, rc, "%s", why.text);
        } else {
            rc = describe(p, o, s, err);
            a->n_again++;
        }
    }
    return rc;
}

static cpuu_rc prepare(cpuu_portion *p, anew *a, cpuu_error *err)
{
    cpuu_rc rc = sort_out(p, a, err);
    if (rc == CPUU_OK)
        rc = cpuu_seek(p, a->again, a->n_again, err);
    if (rc == CPUU_OK)
        rc = list_folders(p, a->fresh, a->n_fresh, a->folders, err);
    if (rc == CPUU_OK)
        rc = cpuu_portion_run(p, err);
    if (rc == CPUU_OK && a->n_fresh)
        rc = cpuu_journal_flush(p->r->w->journal, err);
    for (size_t i = 0; i < a->n_again && rc == CPUU_OK; i++) {
        if (a->again[i].object->found)
            a->again[i].object->act = CPUU_ACT_NONE;
    }
    return rc;
}

cpuu_rc cpuu_recreate_prepare(cpuu_portion *p, cpuu_error *err)
{
    anew a = {.again = cpuu_calloc(p->n_objects, sizeof(*a.again)),
              .fresh = cpuu_calloc(p->n_objects, sizeof(*a.fresh)),
              .folders = cpuu_calloc(p->n_objects, sizeof(*a.folders))};
    const bool ready = a.again && a.fresh && a.folders;
    cpuu_rc rc = ready ? prepare(p, &a, err) : cpuu_nomem(err);
    for (size_t i = 0; i < p->n_objects && a.folders; i++)
        cpuu_free(a.folders[i].ids);
    cpuu_free(a.folders);
    cpuu_free(a.fresh);
    cpuu_free(a.again);
    return rc;
}
