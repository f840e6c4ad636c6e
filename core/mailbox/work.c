/* The state of one operation: its errors, the ids it names, and when it is over. */
#include "mailbox/pool.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *cpuu_work_where(const cpuu_work *w)
{
    return w->box->name;
}

bool cpuu_work_failed(const cpuu_work *w)
{
    return w->op->rc < 0;
}

bool cpuu_other_way_may_help(cpuu_rc rc)
{
    return rc != CPUU_E_AUTH && rc != CPUU_E_ACCESS && rc != CPUU_E_BUSY && rc != CPUU_E_STOP &&
           rc != CPUU_E_NOMEM;
}

void cpuu_work_fail(cpuu_work *w, cpuu_rc rc, const char *fmt, ...)
{
    if (cpuu_work_failed(w))
        return;
    char text[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    w->op->rc = cpuu_fail(&w->op->error, rc, "%s: %s", cpuu_work_where(w), text);
}

void cpuu_work_fail_code(cpuu_work *w, uint32_t code, const char *what)
{
    if (!cpuu_work_failed(w))
        w->op->rc = cpuu_mapi_fail(&w->op->error, code, "%s: %s", cpuu_work_where(w), what);
}

void cpuu_work_fail_err(cpuu_work *w, const cpuu_error *err)
{
    if (cpuu_work_failed(w))
        return;
    w->op->error = *err;
    w->op->rc = err->rc < 0 ? err->rc : CPUU_E_FAILED;
}

void cpuu_work_nomem(cpuu_work *w)
{
    if (!cpuu_work_failed(w))
        w->op->rc = cpuu_nomem(&w->op->error);
    w->box->mail->fatal = CPUU_E_NOMEM;
}

void cpuu_work_end(cpuu_work *w)
{
    if (w->done)
        return;
    w->done = true;
    if (w->ahead) {
        cpuu_ahead_ended(w->ahead);
        return;
    }
    w->box->mail->works_left--;
    if (w->op->verb == CPUU_MAIL_CREATE || w->op->verb == CPUU_MAIL_UPDATE ||
        w->op->verb == CPUU_MAIL_DELETE)
        cpuu_write_end(w);
}

static void work_start(cpuu_work *w)
{
    w->ready = true;
    switch (w->op->verb) {
    case CPUU_MAIL_READ:
        cpuu_read_start(w);
        break;
    case CPUU_MAIL_NAME_IDS:
    case CPUU_MAIL_ID_NAMES:
        cpuu_names_start(w);
        break;
    default:
        cpuu_write_start(w);
        break;
    }
}

/* Nothing of it is under way: the next units are made, or it is over. */
void cpuu_work_advance(cpuu_work *w)
{
    if (w->pending || w->done)
        return;
    w->pending = 1; /* held while units are made */
    if (!cpuu_work_failed(w) && !w->ready && cpuu_work_resolve(w))
        work_start(w);
    if (!cpuu_work_failed(w) && w->ready && w->pending == 1 && w->op->verb == CPUU_MAIL_READ)
        cpuu_read_next(w);
    if (--w->pending == 0)
        cpuu_work_end(w);
}

void cpuu_unit_done(cpuu_unit *u)
{
    cpuu_work *w = u->work;
    cpuu_free(u);
    if (!w)
        return;
    w->pending--;
    cpuu_work_advance(w);
}

/* ---- ids ------------------------------------------------------------------------------------- */

/* Asks which replica number stands for a GUID. */
static void resolve_fill(cpuu_unit *u, cpuu_lane *lane, cpuu_batch *b)
{
    (void)lane;
    cpuu_rop_id_from_long_term_id(&b->body, 0, (const uint8_t *)(u + 1));
    cpuu_batch_step(b, u, CPUU_ROP_ID_FROM_LONG_TERM_ID, 0, 0, NULL, 0);
    b->expected += 16;
}

static void resolve_answer(cpuu_unit *u, cpuu_lane *lane, const cpuu_step *step,
                           const cpuu_rop_answer *a)
{
    (void)lane;
    (void)step;
    const uint8_t *ltid = (const uint8_t *)(u + 1);
    if (a->code)
        cpuu_work_fail_code(u->work, a->code, "the object an id names cannot be found");
    else if (!cpuu_ids_learn(&u->box->ids, (uint16_t)a->id, ltid))
        cpuu_work_fail(u->work, CPUU_E_NOTFOUND, "no object has that id");
}

static void resolve_finish(cpuu_unit *u, cpuu_lane *lane, const cpuu_rop_reply *reply)
{
    (void)lane;
    (void)reply;
    cpuu_unit_done(u);
}

static const cpuu_unit_class resolve_class = {
    .name = "resolve", .fill = resolve_fill, .answer = resolve_answer, .finish = resolve_finish};

static void queue_resolve(cpuu_work *w, const uint8_t ltid[24])
{
    for (cpuu_unit *u = w->box->head; u; u = u->next)
        if (u->cls == &resolve_class && u->work == w && memcmp(u + 1, ltid, 16) == 0)
            return;
    cpuu_unit *u = cpuu_calloc(1, sizeof(*u) + 24);
    if (!u) {
        cpuu_work_nomem(w);
        return;
    }
    u->cls = &resolve_class;
    u->box = w->box;
    u->work = w;
    u->expected = 16;
    memcpy(u + 1, ltid, 24);
    w->pending++;
    cpuu_unit_queue(u);
}

cpuu_rc cpuu_work_folder(const cpuu_work *w, cpuu_blob *eid)
{
    const cpuu_mail_op *op = w->op;
    if (op->role == CPUU_ROLE_NONE) {
        *eid = op->folder;
        return eid->size ? CPUU_OK : CPUU_E_NOTFOUND;
    }
    return cpuu_mailbox_role(w->box, op->role, eid) ? CPUU_OK : CPUU_E_NOTFOUND;
}

bool cpuu_work_is_calendar(const cpuu_work *w)
{
    cpuu_blob eid, calendar;
    return cpuu_work_folder(w, &eid) == CPUU_OK &&
           cpuu_mailbox_role(w->box, CPUU_ROLE_CALENDAR, &calendar) && eid.size == calendar.size &&
           memcmp(eid.data, calendar.data, eid.size) == 0;
}

/* True when the id could be turned into a short one, or never will be. */
static bool resolve_one(cpuu_work *w, cpuu_blob eid, bool message, uint64_t *fid, uint64_t *mid,
                        cpuu_id_result *how)
{
    uint8_t ltid[24];
    *how = cpuu_ids_from_eid(&w->box->ids, eid, fid, message ? mid : NULL, ltid);
    if (*how != CPUU_ID_UNKNOWN_GUID)
        return true;
    queue_resolve(w, ltid);
    return false;
}

static bool is_message(uint32_t what)
{
    return what == CPUU_ITEMS || what == CPUU_HIDDEN;
}

static bool needs_folder(const cpuu_mail_op *op)
{
    switch (op->verb) {
    case CPUU_MAIL_NAME_IDS:
    case CPUU_MAIL_ID_NAMES:
        return false;
    case CPUU_MAIL_READ:
        return op->what != CPUU_STORE &&
               (op->n_ids == 0 || op->what == CPUU_RULES || op->what == CPUU_PERMISSIONS);
    case CPUU_MAIL_CREATE:
        return op->what != CPUU_STORE;
    case CPUU_MAIL_UPDATE:
        return op->what == CPUU_RULES || op->what == CPUU_PERMISSIONS ||
               (op->what == CPUU_FOLDER && op->id.size == 0);
    default:
        return op->what == CPUU_RULES || op->what == CPUU_PERMISSIONS || op->what == CPUU_FOLDERS;
    }
}

static bool resolve_folder(cpuu_work *w)
{
    cpuu_blob eid;
    cpuu_id_result how;
    if (!needs_folder(w->op))
        return true;
    if (!w->box->known && cpuu_box_logon_fid(w->box, w->op->role, &w->fid))
        return true;
    if (cpuu_work_folder(w, &eid) != CPUU_OK) {
        cpuu_work_fail(w, CPUU_E_NOTFOUND, "the mailbox has no such folder (role %u)", w->op->role);
        return true;
    }
    if (!resolve_one(w, eid, false, &w->fid, NULL, &how))
        return false;
    if (how != CPUU_ID_OK)
        cpuu_work_fail(w, CPUU_E_NOTFOUND,
                       how == CPUU_ID_FOREIGN ? "the folder belongs to another mailbox"
                                              : "that is no EntryID of a folder");
    return true;
}

static bool resolve_target(cpuu_work *w)
{
    const cpuu_mail_op *op = w->op;
    uint64_t *fid = is_message(op->what) || op->what == CPUU_FOLDER ? &w->fid : &w->mid;
    cpuu_id_result how;
    bool wanted = (op->verb == CPUU_MAIL_UPDATE || op->verb == CPUU_MAIL_DELETE) &&
                  (is_message(op->what) || op->what == CPUU_FOLDERS ||
                   (op->what == CPUU_FOLDER && op->id.size));
    if (!wanted)
        return true;
    if (!resolve_one(w, op->id, is_message(op->what), fid, &w->mid, &how))
        return false;
    if (how != CPUU_ID_OK)
        cpuu_work_fail(w, CPUU_E_NOTFOUND,
                       how == CPUU_ID_FOREIGN ? "the object belongs to another mailbox"
                                              : "that is no EntryID of such an object");
    return true;
}

/* Only makes the server number known; read.c turns the ids into rows. */
static bool resolve_ids(cpuu_work *w)
{
    const cpuu_mail_op *op = w->op;
    bool all = true;
    if (op->verb != CPUU_MAIL_READ || op->what == CPUU_RULES || op->what == CPUU_PERMISSIONS)
        return true;
    for (uint32_t i = 0; i < op->n_ids; i++) {
        uint64_t fid, mid;
        cpuu_id_result how;
        all = resolve_one(w, op->ids[i], is_message(op->what), &fid, &mid, &how) && all;
    }
    return all;
}

bool cpuu_work_resolve(cpuu_work *w)
{
    if (++w->resolves > 8) {
        cpuu_work_fail(w, CPUU_E_NOTFOUND, "an id cannot be resolved");
        return false;
    }
    bool folder = resolve_folder(w);
    bool target = resolve_target(w);
    bool ids = resolve_ids(w);
    return folder && target && ids && !cpuu_work_failed(w);
}

/* ---- running --------------------------------------------------------------------------------- */

static bool is_write(const cpuu_mail_op *op)
{
    return op->verb == CPUU_MAIL_CREATE || op->verb == CPUU_MAIL_UPDATE ||
           op->verb == CPUU_MAIL_DELETE || (op->verb == CPUU_MAIL_NAME_IDS && op->create_names);
}

static cpuu_rc check_op(const cpuu_mail_op *op, cpuu_error *err)
{
    if (op->verb < CPUU_MAIL_READ || op->verb > CPUU_MAIL_LOOKUP)
        return cpuu_fail(err, CPUU_E_UNSUPPORTED, "no such mailbox operation (%d)", (int)op->verb);
    if (op->verb == CPUU_MAIL_LOOKUP)
        return op->directory ? CPUU_OK
                             : cpuu_fail(err, CPUU_E_NOTFOUND,
                                         "there is no address book to look people up in");
    if (!op->box)
        return cpuu_fail(err, CPUU_E_NOTFOUND, "the mailbox was not opened");
    if (is_write(op) && !op->box->writable)
        return cpuu_fail(err, CPUU_E_ACCESS, "%s was opened read-only: nothing is changed in it",
                         op->box->name);
    return CPUU_OK;
}

void cpuu_work_begin(cpuu_work *w, cpuu_mail_op *op, cpuu_ahead *ahead)
{
    w->op = op;
    w->box = op->box;
    w->ahead = ahead;
    if (!ahead)
        w->box->mail->works_left++;
    if (ahead || !cpuu_ahead_take(w))
        cpuu_work_advance(w);
}

static void op_reset(cpuu_mail_op *op)
{
    op->rc = CPUU_OK;
    memset(&op->error, 0, sizeof(op->error));
    memset(&op->rows, 0, sizeof(op->rows));
    memset(&op->created, 0, sizeof(op->created));
    op->maybe_done = op->unanswered = false;
}

static void revive(cpuu_mail *mail)
{
    for (cpuu_mailbox *box = mail->boxes; box; box = box->next)
        for (uint32_t i = 0; i < box->max_lanes && box->known; i++) {
            cpuu_lane *lane = &box->lanes[i];
            lane->failures = lane->pauses = lane->shrink = 0;
            if (lane->state == CPUU_LANE_DEAD)
                lane->state = CPUU_LANE_NEW;
        }
}

/* All look-ups in one directory share its requests. */
static cpuu_rc start_lookups(cpuu_mail_op *ops, size_t n, cpuu_error *err)
{
    cpuu_mail_op **mine = cpuu_calloc(n, sizeof(*mine));
    if (!mine)
        return cpuu_nomem(err);
    for (size_t i = 0; i < n; i++) {
        size_t count = 0;
        if (ops[i].verb != CPUU_MAIL_LOOKUP || ops[i].rc < 0)
            continue;
        bool seen = false;
        for (size_t k = 0; k < n; k++) {
            if (ops[k].verb != CPUU_MAIL_LOOKUP || ops[k].directory != ops[i].directory ||
                ops[k].rc < 0)
                continue;
            seen = seen || k < i;
            mine[count++] = &ops[k];
        }
        if (!seen)
            cpuu_directory_start(ops[i].directory, mine, count);
    }
    cpuu_free(mine);
    return CPUU_OK;
}

void cpuu_work_free(cpuu_work *w)
{
    cpuu_read_free(w);
    cpuu_arena_free(&w->page);
    cpuu_arena_free(&w->scratch);
}

cpuu_rc cpuu_mail_run(cpuu_mail *mail, cpuu_mail_op *ops, size_t n, cpuu_error *err)
{
    cpuu_work *works = cpuu_calloc(n ? n : 1, sizeof(*works));
    cpuu_tables tables = {0};
    cpuu_rc rc;
    for (size_t i = 0; i < n; i++) {
        op_reset(&ops[i]);
        if (ops[i].box && is_write(&ops[i]))
            cpuu_ahead_forget(ops[i].box);
        ops[i].rc = works ? check_op(&ops[i], &ops[i].error) : cpuu_nomem(&ops[i].error);
        if (ops[i].rc == CPUU_OK &&
            (ops[i].verb == CPUU_MAIL_CREATE || ops[i].verb == CPUU_MAIL_UPDATE))
            ops[i].rc = cpuu_write_check(&ops[i]);
    }
    if (!works)
        return cpuu_nomem(err);
    mail->fatal = CPUU_OK;
    mail->works_left = 0;
    revive(mail);
    rc = cpuu_tables_find(&tables, ops, n) ? start_lookups(ops, n, err) : cpuu_nomem(err);
    for (size_t i = 0; i < n && rc == CPUU_OK; i++) {
        cpuu_mail_op *op = cpuu_tables_op(&tables, &ops[i], i);
        if (op && op->rc >= 0 && op->verb != CPUU_MAIL_LOOKUP)
            cpuu_work_begin(&works[i], op, NULL);
    }
    if (rc == CPUU_OK)
        rc = cpuu_mail_drive(mail, err);
    cpuu_tables_answer(&tables, ops, n);
    for (size_t i = 0; i < n; i++)
        if (works[i].op)
            cpuu_work_free(&works[i]);
    cpuu_tables_free(&tables);
    cpuu_free(works);
    return rc;
}

void cpuu_mail_op_clear(cpuu_mail_op *op)
{
    cpuu_free(op->rows.items);
    cpuu_arena_free(&op->rows.arena);
    memset(&op->rows, 0, sizeof(op->rows));
    memset(&op->created, 0, sizeof(op->created));
}
