/*
 * The mailbox objects of one portion. What is there now decides: a value of the chain is replaced
 * by the oldest one, anything else was put there by somebody else and stays. So replay may be
 * killed and started again at any point. Everything is read in one set and written in one set.
 */
#include "features/replay.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- a portion and its sets ------------------------------------------------------------------ */

void cpuu_portion_begin(cpuu_portion *p, cpuu_replay *r)
{
    *p = (cpuu_portion){.r = r};
    p->tail = &p->objects;
}

static void drop_set(cpuu_portion *p)
{
    for (size_t i = 0; i < p->n_ops; i++)
        cpuu_mail_op_clear(&p->ops[i]);
    p->n_ops = 0;
}

void cpuu_portion_free(cpuu_portion *p)
{
    for (cpuu_object *o = p->objects; o; o = o->next) {
        cpuu_mail_op rows = {.rows = o->rows};
        cpuu_mail_op_clear(&rows);
    }
    drop_set(p);
    cpuu_free(p->ops);
    cpuu_free(p->takers);
    cpuu_arena_free(&p->arena);
}

cpuu_rc cpuu_portion_ask(cpuu_portion *p, const cpuu_mail_op *op, cpuu_answer *answer, void *owner,
                         cpuu_error *err)
{
    if (!cpuu_grow(&p->ops, &p->cap_ops, p->n_ops, sizeof(*p->ops)) ||
        !cpuu_grow(&p->takers, &p->cap_takers, p->n_ops, sizeof(*p->takers)))
        return cpuu_nomem(err);
    p->ops[p->n_ops] = *op;
    p->ops[p->n_ops].box = p->r->w->target;
    p->takers[p->n_ops++] = (struct cpuu_taker){answer, owner};
    return CPUU_OK;
}

cpuu_rc cpuu_portion_run(cpuu_portion *p, cpuu_error *err)
{
    cpuu_rc rc = p->n_ops ? cpuu_mail_run(p->r->w->mail, p->ops, p->n_ops, err) : CPUU_OK;
    for (size_t i = 0; i < p->n_ops && rc == CPUU_OK; i++)
        p->takers[i].answer(p, p->takers[i].owner, &p->ops[i]);
    drop_set(p);
    if (rc == CPUU_OK && p->problem.rc < 0)
        rc = cpuu_fail(err, p->problem.rc, "%s", p->problem.text);
    return rc;
}

/* ---- what becomes of an object --------------------------------------------------------------- */

void cpuu_object_conflict(cpuu_portion *p, cpuu_object *o, const char *what)
{
    o->conflict = true;
    cpuu_report_conflict(p->r->w->report, o->title, what);
    cpuu_logf(p->r->w->log, CPUU_LV_WARNING, "'%s' stays as it is: %s", o->title, what);
}

/* Only a note: without it the next replay finds the object in its old state. */
void cpuu_replay_settle(cpuu_replay *r, int64_t seq)
{
    cpuu_error err = CPUU_ERROR_INIT;
    if (r->unmarked || cpuu_journal_mark(r->w->journal, seq, CPUU_RECORD_UNDONE, NULL, &err) == 0)
        return;
    r->unmarked = true;
    cpuu_logf(r->w->log, CPUU_LV_WARNING, "%s", err.text);
}

void cpuu_object_settle(cpuu_portion *p, cpuu_object *o)
{
    for (const cpuu_step *s = o->newest; s && !o->conflict; s = s->older)
        cpuu_replay_settle(p->r, s->seq);
    o->settled = true;
}

void cpuu_replay_refused(cpuu_replay *r, const char *title, const cpuu_error *why)
{
    if (r->refused.rc == CPUU_OK)
        cpuu_fail(&r->refused, why->rc, "cannot take back '%s': %s", title, why->text);
    cpuu_logf(r->w->log, CPUU_LV_ERROR, "cannot take back '%s': %s", title, why->text);
}

/* ---- deciding -------------------------------------------------------------------------------- */

cpuu_prop cpuu_value_now(const cpuu_mail_row *row, uint32_t tag, uint32_t at)
{
    for (uint32_t i = 0; i < row->n_values; i++) {
        const cpuu_value *v = &row->values[(at + i) % row->n_values];
        if (v->tag >> 16 == tag >> 16)
            return cpuu_prop_of(tag, v);
    }
    return (cpuu_prop){.tag = tag};
}

static void decide_created(cpuu_portion *p, cpuu_object *o)
{
    char what[96];
    /* What was found by its contents has not been changed. */
    for (uint32_t i = 0; o->now && i < o->n_tags; i++) {
        const cpuu_prop now = cpuu_value_now(o->now, o->tags[i], i);
        if (!cpuu_chain_knows(o, &now)) {
            snprintf(what, sizeof(what),
                     "created by the update, but property 0x%08" PRIX32 " was changed since",
                     now.tag);
            cpuu_object_conflict(p, o, what);
            return;
        }
    }
    o->act = o->now || o->as_written || o->found ? CPUU_ACT_DELETE : CPUU_ACT_NONE;
}

static cpuu_prop value_of(const cpuu_object *o, uint32_t i)
{
    return o->as_written  ? *cpuu_chain_last(o, o->tags[i])
           : o->as_before ? *cpuu_chain_first(o, o->tags[i])
                          : cpuu_value_now(o->now, o->tags[i], i);
}

static cpuu_rc decide_updated(cpuu_portion *p, cpuu_object *o, cpuu_error *err)
{
    char what[96];
    o->set = cpuu_arena_alloc(&p->arena, (o->n_tags + 1) * sizeof(*o->set));
    o->unset = cpuu_arena_alloc(&p->arena, (o->n_tags + 1) * sizeof(*o->unset));
    if (!o->set || !o->unset)
        return cpuu_nomem(err);
    for (uint32_t i = 0; i < o->n_tags; i++) {
        const cpuu_prop now = value_of(o, i);
        const cpuu_prop *first = cpuu_chain_first(o, o->tags[i]);
        if (!first || cpuu_prop_same(first, &now))
            continue;
        if (!cpuu_chain_knows(o, &now)) {
            snprintf(what, sizeof(what), "property 0x%08" PRIX32 " was changed since the update",
                     now.tag);
            cpuu_object_conflict(p, o, what);
        } else if (first->present) {
            o->set[o->n_set++] = (cpuu_value){first->tag, first->data.size, first->data.data};
        } else {
            o->unset[o->n_unset++] = first->tag;
        }
    }
    o->act = o->n_set || o->n_unset ? CPUU_ACT_UPDATE : CPUU_ACT_NONE;
    return CPUU_OK;
}

static cpuu_rc decide(cpuu_portion *p, cpuu_object *o, cpuu_error *err)
{
    if (cpuu_chain_created(o)) {
        decide_created(p, o);
        return CPUU_OK;
    }
    if (o->now || o->as_written || o->as_before)
        return decide_updated(p, o, err);
    if (cpuu_chain_deleted(o))
        return cpuu_recreate_values(p, o, err);
    cpuu_object_conflict(p, o, "it was deleted since the update");
    return CPUU_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

void cpuu_portion_take_write(cpuu_portion *p, void *owner, cpuu_mail_op *op)
{
    cpuu_object *o = owner;
    const bool gone = op->rc == CPUU_E_NOTFOUND;
    if (op->rc == CPUU_E_CONFLICT)
        cpuu_object_conflict(p, o, "it was changed while it was being taken back");
    else if (gone && op->verb != CPUU_MAIL_DELETE)
        cpuu_object_conflict(p, o, "it was deleted while it was being taken back");
    if (op->rc >= 0 || gone || op->rc == CPUU_E_CONFLICT)
        cpuu_object_settle(p, o);
    else
        cpuu_replay_refused(p->r, o->title, &op->error);
}

static cpuu_rc write_one(cpuu_portion *p, cpuu_object *o, cpuu_error *err)
{
    cpuu_mail_op op = {.what = o->what,
                       .folder = o->folder,
                       .set = o->set,
                       .n_set = o->n_set,
                       .unset = o->unset,
                       .n_unset = o->n_unset};
    op.verb = o->act == CPUU_ACT_UPDATE   ? CPUU_MAIL_UPDATE
              : o->act == CPUU_ACT_CREATE ? CPUU_MAIL_CREATE
                                          : CPUU_MAIL_DELETE;
    if (o->act != CPUU_ACT_CREATE)
        op.id = o->id;
    return cpuu_portion_ask(p, &op, cpuu_portion_take_write, o, err);
}

static bool is_folder_to_delete(const cpuu_object *o)
{
    return o->what == CPUU_FOLDERS && o->act == CPUU_ACT_DELETE;
}

static cpuu_rc write_all(cpuu_portion *p, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    for (cpuu_object *o = p->objects; o && rc == CPUU_OK; o = o->next) {
        if (o->act == CPUU_ACT_NONE)
            cpuu_object_settle(p, o);
        else if (!is_folder_to_delete(o))
            rc = write_one(p, o, err);
    }
    if (rc == CPUU_OK)
        rc = cpuu_portion_run(p, err);
    return rc == CPUU_OK ? cpuu_unmake_folders(p, err) : rc;
}

/* Roughly, before it is known what is there. */
static size_t bytes_to_write(const cpuu_portion *p)
{
    size_t bytes = 0;
    for (const cpuu_object *o = p->objects; o; o = o->next) {
        bytes += 40;
        for (uint32_t i = 0; i < o->oldest->n_before; i++)
            bytes += o->oldest->before[i].data.size + sizeof(o->oldest->before[i].tag);
    }
    return bytes;
}

cpuu_rc cpuu_portion_restore(cpuu_portion *p, cpuu_error *err)
{
    cpuu_mailbox_will_write(p->r->w->target, bytes_to_write(p));
    cpuu_rc rc = cpuu_portion_look(p, err);
    for (cpuu_object *o = p->objects; o && rc == CPUU_OK; o = o->next)
        rc = decide(p, o, err);
    if (rc == CPUU_OK)
        rc = cpuu_recreate_prepare(p, err);
    return rc == CPUU_OK ? write_all(p, err) : rc;
}
