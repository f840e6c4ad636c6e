/*
 * Rules and permissions have no id to be opened by: whoever wants one reads the table of its folder,
 * and such a table cannot be entered in the middle. So all who ask the same of rows of one table in
 * one set share one reading of it. Promises: everybody gets what he would have got alone; 500
 * questions cost what one costs.
 */
#include "mailbox/pool.h"

#include <string.h>

struct cpuu_table {
    cpuu_mail_op op; /* the question, of all rows; what it points to is the first asker's */
    size_t first;
    size_t n_askers;
};

static bool can_share(const cpuu_mail_op *op)
{
    return op->verb == CPUU_MAIL_READ && op->rc >= 0 && op->n_ids && !op->on_row &&
           (op->what == CPUU_RULES || op->what == CPUU_PERMISSIONS);
}

static bool same_blob(cpuu_blob a, cpuu_blob b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static bool same_question(const cpuu_mail_op *a, const cpuu_mail_op *b)
{
    return a->box == b->box && a->what == b->what && a->role == b->role && a->flags == b->flags &&
           a->n_tags == b->n_tags && same_blob(a->folder, b->folder) &&
           (a->n_tags == 0 || memcmp(a->tags, b->tags, a->n_tags * sizeof(*a->tags)) == 0);
}

static cpuu_table *table_for(const cpuu_tables *all, const cpuu_mail_op *op)
{
    for (size_t i = 0; i < all->count && can_share(op); i++)
        if (same_question(&all->items[i].op, op))
            return &all->items[i];
    return NULL;
}

/* Where a set writes, the order of its operations counts. */
bool cpuu_tables_find(cpuu_tables *all, const cpuu_mail_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ops[i].verb != CPUU_MAIL_READ)
            return true;
    for (size_t i = 0; i < n; i++) {
        cpuu_table *t = table_for(all, &ops[i]);
        if (t)
            t->n_askers++;
        if (t || !can_share(&ops[i]))
            continue;
        if (!cpuu_grow(&all->items, &all->cap, all->count, sizeof(*all->items)))
            return false;
        t = &all->items[all->count++];
        *t = (cpuu_table){.op = ops[i], .first = i, .n_askers = 1};
        t->op.ids = NULL;
        t->op.n_ids = 0;
    }
    return true;
}

cpuu_mail_op *cpuu_tables_op(const cpuu_tables *all, cpuu_mail_op *op, size_t index)
{
    cpuu_table *t = table_for(all, op);
    if (!t || t->n_askers < 2)
        return op;
    return t->first == index ? &t->op : NULL;
}

/* ---- handing out ----------------------------------------------------------------------------- */

static const uint8_t NOT_FOUND[4] = {0x0f, 0x01, 0x04, 0x80}; /* MAPI_E_NOT_FOUND, little-endian */

/* A row that is not there has one value per tag all the same. */
static bool copy_row(cpuu_mail_op *op, const cpuu_mail_row *from, cpuu_mail_row *to)
{
    const uint32_t n = from ? from->n_values : op->n_tags;
    cpuu_value *values = cpuu_arena_alloc(&op->rows.arena, (n + 1) * sizeof(*values));
    if (!values)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        const cpuu_value absent = {from ? 0 : CPUU_TAG(CPUU_TAG_ID(op->tags[i]), CPUU_PT_ERROR),
                                   sizeof(NOT_FOUND), NOT_FOUND};
        values[i] = from ? from->values[i] : absent;
        values[i].data = cpuu_arena_dup(&op->rows.arena, values[i].data, values[i].size);
        if (!values[i].data)
            return false;
    }
    to->rc = from ? from->rc : CPUU_E_NOTFOUND;
    to->values = values;
    to->n_values = n;
    return true;
}

static bool answer(cpuu_mail_op *op, const cpuu_mail_rows *table)
{
    op->rows.items = cpuu_calloc(op->n_ids, sizeof(*op->rows.items));
    if (!op->rows.items)
        return false;
    for (uint32_t k = 0; k < op->n_ids; k++) {
        cpuu_mail_row *to = &op->rows.items[op->rows.count++];
        const cpuu_mail_row *from = NULL;
        for (size_t i = 0; i < table->count && !from; i++)
            if (same_blob(table->items[i].id, op->ids[k]))
                from = &table->items[i];
        to->id = op->ids[k];
        if (!copy_row(op, from, to))
            return false;
    }
    return true;
}

void cpuu_tables_answer(const cpuu_tables *all, cpuu_mail_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const cpuu_table *t = table_for(all, &ops[i]);
        if (!t || t->n_askers < 2)
            continue;
        ops[i].rc = t->op.rc;
        ops[i].error = t->op.error;
        ops[i].unanswered = t->op.unanswered;
        if (t->op.rc >= 0 && !answer(&ops[i], &t->op.rows)) {
            cpuu_mail_op_clear(&ops[i]);
            ops[i].rc = cpuu_nomem(&ops[i].error);
        }
    }
}

void cpuu_tables_free(cpuu_tables *all)
{
    for (size_t i = 0; i < all->count; i++)
        cpuu_mail_op_clear(&all->items[i].op);
    cpuu_free(all->items);
}
