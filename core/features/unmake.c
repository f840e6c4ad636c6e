/*
 * Folders that were created go when nothing is left in them. What is in all of them is asked in one
 * set; then those go that hold no other, and so on outwards, one set for each level. A folder was
 * created before those in it: the inner ones are of this portion or of an earlier one, and those
 * that are left from an earlier one stay.
 */
#include "features/replay.h"

#include <stdlib.h>
#include <string.h>

typedef struct inside { /* one of the folders to go, and the others by id */
    cpuu_object *folder;
    cpuu_object *const *all;
    size_t n;
} inside;

static int by_id(const void *x, const void *y)
{
    const cpuu_object *a = *(cpuu_object *const *)x, *b = *(cpuu_object *const *)y;
    if (a->id.size != b->id.size)
        return a->id.size < b->id.size ? -1 : 1;
    return a->id.size ? memcmp(a->id.data, b->id.data, a->id.size) : 0;
}

static cpuu_rc show_item(void *user, const cpuu_mail_row *row)
{
    const inside *in = user;
    (void)row;
    in->folder->kept = true;
    return CPUU_E_CONFLICT; /* enough is known */
}

static cpuu_rc show_folder(void *user, const cpuu_mail_row *row)
{
    const inside *in = user;
    cpuu_object key = {.id = row->id}, *const pkey = &key;
    cpuu_object *const *child = bsearch(&pkey, in->all, in->n, sizeof(*in->all), by_id);
    if (!child)
        return show_item(user, row);
    (*child)->parent = in->folder;
    return CPUU_OK;
}

static void take_inside(cpuu_portion *p, void *owner, cpuu_mail_op *op)
{
    const inside *in = owner;
    if (op->rc == CPUU_OK || op->rc == CPUU_E_NOTFOUND || in->folder->kept)
        return;
    in->folder->failed = true;
    cpuu_replay_refused(p->r, in->folder->title, &op->error);
}

static cpuu_rc look_inside(cpuu_portion *p, inside *in, cpuu_error *err)
{
    static const uint32_t whats[] = {CPUU_ITEMS, CPUU_HIDDEN, CPUU_FOLDERS};
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; i < sizeof(whats) / sizeof(whats[0]) && rc == CPUU_OK; i++) {
        cpuu_mail_op op = {.verb = CPUU_MAIL_READ,
                           .what = whats[i],
                           .folder = in->folder->id,
                           .tags = cpuu_any_tag(whats[i]),
                           .n_tags = 1,
                           .on_row = whats[i] == CPUU_FOLDERS ? show_folder : show_item,
                           .user = in};
        rc = cpuu_portion_ask(p, &op, take_inside, in, err);
    }
    return rc;
}

/* Inner folders come first, as they were created later. */
static unsigned measure(inside *ins, size_t n)
{
    unsigned top = 0;
    for (size_t i = 0; i < n; i++) {
        const cpuu_object *o = ins[i].folder;
        if (o->parent && o->parent->height <= o->height)
            o->parent->height = o->height + 1;
        top = o->height > top ? o->height : top;
    }
    return top;
}

static cpuu_rc delete_level(cpuu_portion *p, inside *ins, size_t n, unsigned level, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; i < n && rc == CPUU_OK; i++) {
        cpuu_object *o = ins[i].folder;
        if (o->height != level)
            continue;
        cpuu_mail_op op = {
            .verb = CPUU_MAIL_DELETE, .what = CPUU_FOLDERS, .folder = o->folder, .id = o->id};
        if (o->kept)
            cpuu_object_conflict(p, o,
                                 "the folder was created by the update, but something is in "
                                 "it now");
        else if (!o->failed)
            rc = cpuu_portion_ask(p, &op, cpuu_portion_take_write, o, err);
    }
    if (rc == CPUU_OK)
        rc = cpuu_portion_run(p, err);
    for (size_t i = 0; i < n && rc == CPUU_OK; i++) { /* one that is left is in another */
        const cpuu_object *o = ins[i].folder;
        if (o->height == level && o->parent && (!o->settled || o->conflict))
            o->parent->kept = true;
    }
    return rc;
}

static cpuu_rc unmake(cpuu_portion *p, inside *ins, cpuu_object **all, size_t n, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; i < n && rc == CPUU_OK; i++) {
        all[i] = ins[i].folder;
        ins[i].all = all;
        ins[i].n = n;
        rc = look_inside(p, &ins[i], err);
    }
    qsort(all, n, sizeof(*all), by_id);
    if (rc == CPUU_OK)
        rc = cpuu_portion_run(p, err);
    const unsigned top = measure(ins, n);
    for (unsigned level = 0; level <= top && rc == CPUU_OK; level++)
        rc = delete_level(p, ins, n, level, err);
    return rc;
}

cpuu_rc cpuu_unmake_folders(cpuu_portion *p, cpuu_error *err)
{
    size_t n = 0;
    inside *ins = cpuu_calloc(p->n_objects, sizeof(*ins));
    cpuu_object **all = cpuu_calloc(p->n_objects, sizeof(*all));
    for (cpuu_object *o = p->objects; o && ins; o = o->next) {
        if (o->what == CPUU_FOLDERS && o->act == CPUU_ACT_DELETE)
            ins[n++].folder = o;
    }
    cpuu_rc rc = !ins || !all ? cpuu_nomem(err) : n ? unmake(p, ins, all, n, err) : CPUU_OK;
    cpuu_free(ins);
    cpuu_free(all);
    return rc;
}
