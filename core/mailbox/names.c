/* NAME_IDS and ID_NAMES: named properties of one mailbox, in portions that fit a request. */
#include "mailbox/pool.h"

#include <string.h>

#define NAMES_PER_ROP 80u /* a name takes at most 17 + 1 + 255 bytes, usually under 60 */
#define IDS_PER_ROP   200u

static void names_fill(cpuu_unit *u, cpuu_lane *lane, cpuu_batch *b)
{
    (void)lane;
    const cpuu_mail_op *op = u->work->op;
    uint32_t n = (uint32_t)(u->index - u->row);
    if (op->verb == CPUU_MAIL_NAME_IDS) {
        cpuu_rop_get_ids_from_names(&b->body, 0, op->create_names, op->names + u->row, n);
        cpuu_batch_step(b, u, CPUU_ROP_GET_IDS_FROM_NAMES, 0, 0, NULL, 0);
    } else {
        cpuu_rop_get_names_from_ids(&b->body, 0, op->name_ids + u->row, n);
        cpuu_batch_step(b, u, CPUU_ROP_GET_NAMES_FROM_IDS, 0, 0, NULL, 0);
    }
    b->expected += u->expected;
}

static void take_names(cpuu_unit *u, const cpuu_rop_answer *a)
{
    cpuu_mail_op *op = u->work->op;
    for (size_t i = 0; i < a->n_names; i++) {
        cpuu_name *out = &op->names_out[u->row + i];
        *out = a->names[i];
        if (!out->string)
            continue;
        out->string = cpuu_arena_strdup(&op->rows.arena, a->names[i].string);
        if (!out->string)
            cpuu_work_nomem(u->work);
    }
}

static void names_answer(cpuu_unit *u, cpuu_lane *lane, const cpuu_step *step,
                         const cpuu_rop_answer *a)
{
    (void)lane;
    (void)step;
    cpuu_mail_op *op = u->work->op;
    size_t n = u->index - u->row;
    bool to_ids = op->verb == CPUU_MAIL_NAME_IDS;
    if (a->code && a->code != 0x00040380)
        cpuu_work_fail_code(u->work, a->code, "asking for named properties");
    else if ((to_ids ? a->n_ids : a->n_names) != n)
        cpuu_work_fail(u->work, CPUU_E_FORMAT, "the server answers another number of names");
    else if (!to_ids)
        take_names(u, a);
    for (size_t i = 0; to_ids && i < n && !cpuu_work_failed(u->work); i++)
        op->name_ids[u->row + i] = (uint16_t)a->ids[i];
}

static void names_finish(cpuu_unit *u, cpuu_lane *lane, const cpuu_rop_reply *reply)
{
    (void)lane;
    (void)reply;
    cpuu_unit_done(u);
}

/* Looking names up repeats safely, and so does creating them: a name has one id. */
static const cpuu_unit_class names_class = {
    .name = "names", .fill = names_fill, .answer = names_answer, .finish = names_finish};

void cpuu_names_start(cpuu_work *w)
{
    const cpuu_mail_op *op = w->op;
    uint32_t step = op->verb == CPUU_MAIL_NAME_IDS ? NAMES_PER_ROP : IDS_PER_ROP;
    for (uint32_t i = 0; i < op->n_names; i += step) {
        cpuu_unit *u = cpuu_unit_new(w->box, w, &names_class);
        if (!u)
            return;
        u->row = i;
        u->index = op->n_names - i < step ? op->n_names : i + step;
        uint32_t n = (uint32_t)(u->index - u->row);
        u->expected = op->verb == CPUU_MAIL_NAME_IDS ? 10 + 2 * n : 10 + 60 * n;
        cpuu_unit_queue(u);
    }
}
