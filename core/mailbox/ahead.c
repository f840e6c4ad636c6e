/*
 * Reading ahead: answers to questions that nobody has asked yet; see cpuu_mail_ahead(). Each is a
 * work of its own on the mailbox it belongs to. Promises: an answer is given once, to exactly the
 * same question, and never when it failed, was too large or is older than a write.
 */
#include "mailbox/pool.h"

#include "base/text.h"

#include <string.h>

struct cpuu_ahead {
    cpuu_ahead *next;
    cpuu_mail_op op; /* rows are collected; what it points to is in arena, but names */
    cpuu_work work;
    cpuu_work *follower; /* waits for the answer */
    cpuu_rc (*show)(void *user, const cpuu_mail_row *row);
    void *user;
    bool begun, used;
    cpuu_arena arena;
};

/* What a logon is enough for. */
static bool can_begin_early(const cpuu_mailbox *box, const cpuu_mail_op *op)
{
    uint64_t fid;
    return op->verb == CPUU_MAIL_NAME_IDS ||
           (op->what != CPUU_FOLDER && op->what != CPUU_STORE &&
            cpuu_box_logon_fid(box, op->role, &fid));
}

static bool copy_op(cpuu_ahead *a, const cpuu_mail_op *op)
{
    const uint32_t *tags = cpuu_arena_dup(&a->arena, op->tags, op->n_tags * sizeof(*op->tags));
    const char *filter = op->filter ? cpuu_arena_strdup(&a->arena, op->filter) : NULL;
    uint16_t *ids = cpuu_arena_alloc(&a->arena, (op->n_names + 1) * sizeof(*ids));
    a->op = (cpuu_mail_op){.verb = op->verb, .what = op->what, .role = op->role,
                           .flags = op->flags, .filter = filter, .tags = tags,
                           .n_tags = op->n_tags, .names = op->names, .n_names = op->n_names,
                           .name_ids = ids};
    a->show = op->on_row;
    a->user = op->user;
    return tags && ids && (!op->filter || filter);
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_question(const cpuu_mail_op *a, const cpuu_mail_op *b)
{
    if (a->verb != b->verb)
        return false;
    if (a->verb == CPUU_MAIL_NAME_IDS)
        return a->names == b->names && a->n_names == b->n_names && !b->create_names;
    return b->n_ids == 0 && a->what == b->what && a->role == b->role && a->flags == b->flags &&
           a->n_tags == b->n_tags && same_text(a->filter, b->filter) &&
           (a->n_tags == 0 || memcmp(a->tags, b->tags, a->n_tags * sizeof(*a->tags)) == 0);
}

static bool is_suitable(const cpuu_mailbox *box, const cpuu_mail_op *op)
{
    if (op->verb != CPUU_MAIL_NAME_IDS &&
        (op->verb != CPUU_MAIL_READ || op->role == CPUU_ROLE_NONE || op->n_ids))
        return false;
    for (const cpuu_ahead *a = box->ahead; a; a = a->next)
        if (same_question(&a->op, op))
            return false;
    return !op->create_names;
}

void cpuu_ahead_add(cpuu_mailbox *box, const cpuu_mail_op *ops, size_t n)
{
    cpuu_ahead **at = &box->ahead;
    while (*at)
        at = &(*at)->next;
    for (size_t i = 0; i < n; i++) {
        if (!is_suitable(box, &ops[i]))
            continue;
        cpuu_ahead *a = cpuu_calloc(1, sizeof(*a));
        if (!a)
            return;
        if (!copy_op(a, &ops[i])) {
            cpuu_arena_free(&a->arena);
            cpuu_free(a);
            return;
        }
        a->op.box = box;
        *at = a;
        at = &a->next;
    }
}

void cpuu_ahead_begin(cpuu_mailbox *box)
{
    for (cpuu_ahead *a = box->ahead; a; a = a->next) {
        if (a->begun || !(box->known || can_begin_early(box, &a->op)))
            continue;
        a->begun = true;
        cpuu_work_begin(&a->work, &a->op, a);
    }
}

/* The answer becomes that of the work. */
static void give(cpuu_ahead *a, cpuu_work *w)
{
    cpuu_mail_op *op = w->op;
    if (op->verb == CPUU_MAIL_NAME_IDS && op->n_names)
        memcpy(op->name_ids, a->op.name_ids, op->n_names * sizeof(*op->name_ids));
    if (!op->on_row) {
        op->rows = a->op.rows;
        memset(&a->op.rows, 0, sizeof(a->op.rows));
    }
    for (size_t i = 0; op->on_row && i < a->op.rows.count; i++) {
        cpuu_rc rc = op->on_row(op->user, &a->op.rows.items[i]);
        if (rc < 0) {
            cpuu_work_fail(w, rc, "reading was stopped");
            break;
        }
    }
    cpuu_mail_op_clear(&a->op);
    cpuu_work_end(w);
}

bool cpuu_ahead_take(cpuu_work *w)
{
    for (cpuu_ahead *a = w->box->ahead; a; a = a->next) {
        if (!a->begun || a->used || !same_question(&a->op, w->op))
            continue;
        a->used = true;
        if (a->work.done && a->op.rc < 0)
            return false;
        if (a->work.done)
            give(a, w);
        else
            a->follower = w;
        return true;
    }
    return false;
}

void cpuu_ahead_show(cpuu_ahead *a, const cpuu_mail_row *row)
{
    if (a->show && a->show(a->user, row) < 0)
        a->show = NULL;
}

void cpuu_ahead_ended(cpuu_ahead *a)
{
    cpuu_work *w = a->follower;
    a->follower = NULL;
    for (size_t i = 0; a->op.rc == CPUU_OK && i < a->op.rows.count; i++)
        cpuu_ahead_show(a, &a->op.rows.items[i]);
    if (!w)
        return;
    if (a->op.rc < 0)
        cpuu_work_advance(w); /* as if nothing had been read */
    else
        give(a, w);
}

void cpuu_ahead_forget(cpuu_mailbox *box)
{
    for (cpuu_ahead *a = box->ahead; a; a = a->next) {
        a->used = true;
        if (a->work.done)
            cpuu_mail_op_clear(&a->op);
    }
}

void cpuu_ahead_free(cpuu_mailbox *box)
{
    while (box->ahead) {
        cpuu_ahead *a = box->ahead;
        box->ahead = a->next;
        cpuu_work_free(&a->work);
        cpuu_mail_op_clear(&a->op);
        cpuu_arena_free(&a->arena);
        cpuu_free(a);
    }
}
