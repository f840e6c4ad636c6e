/*
 * CREATE, UPDATE and DELETE: each one chain of ROPs that is judged by itself, packed with others.
 * Promises: never ForceSave; one rule, one member, one message per ROP, so that every result is
 * known; problem lists are looked at; a message whose properties were refused at creation is
 * removed again; a folder that is not empty is not deleted.
 */
#include "mailbox/write.h"

#include <string.h>

#define CHAIN_MAX     0x6000u /* a message up to this size goes in one request */
#define DELETE_HARD   0x10u   /* DELETE_HARD_DELETE; neither DEL_MESSAGES nor DEL_FOLDERS */
#define EC_COMPUTED   0x8004011Au /* the server computes the value itself: nothing is lost */
#define TAG_RULE_ID   CPUU_TAG(0x6674, CPUU_PT_INT64)
#define TAG_MEMBER_ID CPUU_TAG(0x6671, CPUU_PT_INT64)
#define TAG_RIGHTS    CPUU_TAG(0x6673, CPUU_PT_INT32)
#define TAG_NAME      CPUU_TAG(0x3001, CPUU_PT_STRING)
#define TAG_COMMENT   CPUU_TAG(0x3004, CPUU_PT_STRING)
#define TAG_SUBJECT   CPUU_TAG(0x0037, CPUU_PT_STRING)
#define NORMALIZED    0x0e1du /* PidTagNormalizedSubject: follows from the subject */
#define TAG_TYPE      CPUU_TAG(0x3601, CPUU_PT_INT32)

static bool is_message(const cpuu_work *w)
{
    return w->op->what == CPUU_ITEMS || w->op->what == CPUU_HIDDEN;
}

/* Properties the server computes: sent along they would be refused, so they are left out. */
bool cpuu_write_is_computed(uint32_t tag)
{
    static const uint16_t ids[] = {
        0x0e02, 0x0e03, 0x0e04, 0x0e08, 0x0e09, 0x0e1b, 0x0e1d, 0x0e23, 0x0ff4, 0x0ff6, 0x0ff7,
        0x0ff8, 0x0ff9, 0x0ffa, 0x0ffb, 0x0ffe, 0x0fff, 0x3007, 0x3008, 0x300b, 0x3602, 0x3603,
        0x360a, 0x360e, 0x360f, 0x65e0, 0x65e1, 0x65e2, 0x65e3, 0x664a, 0x6670, 0x6707, 0x6708,
        0x6709, 0x6748, 0x6749, 0x674a, 0x674d, 0x674e, 0x67a4, 0x67aa};
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        if (ids[i] == CPUU_TAG_ID(tag))
            return true;
    return false;
}

cpuu_rc cpuu_write_check(cpuu_mail_op *op)
{
    for (uint32_t i = 0; i < op->n_set; i++)
        if (!cpuu_prop_valid(&op->set[i]) || !CPUU_FOUND(&op->set[i]))
            return cpuu_fail(&op->error, CPUU_E_FORMAT,
                             "property 0x%08X has a value that its type does not allow",
                             op->set[i].tag);
    return CPUU_OK;
}

static const cpuu_value *find(const cpuu_mail_op *op, uint32_t tag)
{
    for (uint32_t i = 0; i < op->n_set; i++)
        if (op->set[i].tag == tag)
            return &op->set[i];
    return NULL;
}

/* ---- answers common to all writes --------------------------------------------------------------
 */

static void refused(cpuu_work *w, const cpuu_rop_answer *a)
{
    for (size_t i = 0; i < a->n_problems; i++) {
        const cpuu_rop_problem *p = &a->problems[i];
        if (cpuu_write_is_computed(p->tag) || p->code == CPUU_MAPI_NOT_FOUND ||
            p->code == EC_COMPUTED)
            continue;
        w->problems = true;
        if (!cpuu_work_failed(w))
            w->op->rc =
                cpuu_mapi_fail(&w->op->error, p->code, "%s: property 0x%08X was not accepted",
                               cpuu_work_where(w), p->tag);
    }
}

static const char *deed(uint16_t what)
{
    switch (what) {
    case WHAT_OPEN:
        return "opening what is to be changed";
    case WHAT_MAKE:
        return "creating an object";
    case WHAT_SET:
        return "setting properties";
    case WHAT_UNSET:
        return "removing properties";
    case WHAT_SAVE:
        return "saving a message";
    case WHAT_REMOVE:
        return "deleting an object";
    case WHAT_STREAM:
        return "writing a large value";
    default:
        return "changing a rule or permission";
    }
}

void cpuu_write_answer(cpuu_unit *u, cpuu_lane *lane, const cpuu_step *step,
                       const cpuu_rop_answer *a)
{
    (void)lane;
    cpuu_work *w = u->work;
    if (step->what == WHAT_SAVE && a->code == 0) {
        w->saved = true;
        w->made_id = a->id;
    } else if (a->rop == CPUU_ROP_CREATE_FOLDER && a->code == 0) {
        w->saved = true;
        w->made_id = a->id;
    }
    if (a->code && a->code != 0x00040380)
        cpuu_work_fail_code(w, a->code, deed(step->what));
    else if (step->what == WHAT_SET || step->what == WHAT_UNSET)
        refused(w, a);
    else if (step->what == WHAT_REMOVE && a->flag && is_message(w))
        w->partial = true; /* the server does not say whether it was gone or may not go */
    else if (step->what == WHAT_REMOVE && a->flag)
        cpuu_work_fail(w, CPUU_E_CONFLICT, "the folder is not empty and was not deleted");
}

/* ---- a message that was not deleted: is it there at all? ----------------------------------------
 */

static void look_fill(cpuu_unit *u, cpuu_lane *lane, cpuu_batch *b)
{
    (void)lane;
    const cpuu_work *w = u->work;
    uint8_t slot = cpuu_batch_open_message(b, u, w->fid, w->mid, CPUU_MODE_READ, WHAT_OPEN);
    cpuu_rop_release(&b->body, slot);
}

static void look_answer(cpuu_unit *u, cpuu_lane *lane, const cpuu_step *step,
                        const cpuu_rop_answer *a)
{
    (void)lane;
    (void)step;
    if (a->code)
        cpuu_work_fail_code(u->work, a->code, deed(WHAT_REMOVE));
    else
        cpuu_work_fail(u->work, CPUU_E_CONFLICT, "the server did not delete the message");
}

static void look_finish(cpuu_unit *u, cpuu_lane *lane, const cpuu_rop_reply *reply)
{
    (void)lane;
    (void)reply;
    cpuu_unit_done(u);
}

static const cpuu_unit_class look_class = {
    .name = "look", .fill = look_fill, .answer = look_answer, .finish = look_finish};

/* ---- taking back what was created in part ------------------------------------------------------
 */

static void undo_fill(cpuu_unit *u, cpuu_lane *lane, cpuu_batch *b)
{
    (void)lane;
    cpuu_work *w = u->work;
    uint8_t folder = cpuu_batch_open_folder(b, u, w->fid, WHAT_OPEN);
    if (is_message(w)) {
        cpuu_rop_hard_delete_messages(&b->body, folder, &w->made_id, 1);
        cpuu_batch_step(b, u, CPUU_ROP_HARD_DELETE_MESSAGES, folder, WHAT_REMOVE, NULL, 0);
    } else {
        cpuu_rop_delete_folder(&b->body, folder, DELETE_HARD, w->made_id);
        cpuu_batch_step(b, u, CPUU_ROP_DELETE_FOLDER, folder, WHAT_REMOVE, NULL, 0);
    }
    cpuu_rop_release(&b->body, folder);
    b->expected += 20;
}

static void undo_answer(cpuu_unit *u, cpuu_lane *lane, const cpuu_step *step,
                        const cpuu_rop_answer *a)
{
    (void)lane;
    if (step->what == WHAT_REMOVE && a->code == 0 && !a->flag)
        u->work->saved = false;
}

static void undo_finish(cpuu_unit *u, cpuu_lane *lane, const cpuu_rop_reply *reply)
{
    (void)lane;
    (void)reply;
    cpuu_unit_done(u);
}

static void undo_fail(cpuu_unit *u, const cpuu_error *err, bool maybe_done)
{
    (void)u;
    (void)err;
    (void)maybe_done; /* the work has failed already; `saved` says that something is there */
}

static const cpuu_unit_class undo_class = {.name = "take back",
                                           .writes = true,
                                           .fill = undo_fill,
                                           .answer = undo_answer,
                                           .finish = undo_finish,
                                           .fail = undo_fail};

/* The new object's id has a replica number that was not seen before. */
static void replica_fill(cpuu_unit *u, cpuu_lane *lane, cpuu_batch *b)
{
    (void)lane;
    cpuu_rop_long_term_id_from_id(&b->body, 0, u->work->made_id);
    cpuu_batch_step(b, u, CPUU_ROP_LONG_TERM_ID_FROM_ID, 0, 0, NULL, 0);
    b->expected += 30;
}

static void replica_answer(cpuu_unit *u, cpuu_lane *lane, const cpuu_step *step,
                           const cpuu_rop_answer *a)
{
    (void)lane;
    (void)step;
    if (a->code == 0)
        cpuu_ids_learn(&u->box->ids, (uint16_t)u->work->made_id, a->long_term_id);
}

static const cpuu_unit_class replica_class = {
    .name = "replica", .fill = replica_fill, .answer = replica_answer, .finish = undo_finish};

void cpuu_write_finish(cpuu_unit *u, cpuu_lane *lane, const cpuu_rop_reply *reply)
{
    (void)lane;
    (void)reply;
    cpuu_work *w = u->work;
    if (!cpuu_work_failed(w) && w->partial) {
        cpuu_unit *look = cpuu_unit_new(w->box, w, &look_class);
        if (look)
            cpuu_unit_queue(look);
    }
    if (!cpuu_work_failed(w) && w->made_id && !cpuu_ids_guid(&w->box->ids, w->made_id)) {
        cpuu_unit *ask = cpuu_unit_new(w->box, w, &replica_class);
        if (ask)
            cpuu_unit_queue(ask);
    }
    if (w->op->verb == CPUU_MAIL_CREATE && cpuu_work_failed(w) && w->saved && w->made_id) {
        cpuu_unit *undo = cpuu_unit_new(w->box, w, &undo_class);
        if (undo)
            cpuu_unit_queue(undo);
    }
    cpuu_unit_done(u);
}

/* ---- messages in one chain ---------------------------------------------------------------------
 */

/* The set without what the server computes and without `skip`; scratch memory. */
const cpuu_value *cpuu_write_sendable(cpuu_work *w, const uint32_t *skip, size_t n_skip,
                                      uint32_t *n)
{
    const cpuu_mail_op *op = w->op;
    cpuu_value *out = cpuu_arena_alloc(&w->scratch, (op->n_set + 1u) * sizeof(*out));
    *n = 0;
    if (!out) {
        cpuu_work_nomem(w);
        return NULL;
    }
    for (uint32_t i = 0; i < op->n_set; i++) {
        bool out_of = cpuu_write_is_computed(op->set[i].tag) &&
                      (CPUU_TAG_ID(op->set[i].tag) != NORMALIZED || find(op, TAG_SUBJECT));
        for (size_t k = 0; k < n_skip; k++)
            out_of = out_of || op->set[i].tag == skip[k];
        if (!out_of)
            out[(*n)++] = op->set[i];
    }
    return out;
}

uint8_t cpuu_write_begin_message(cpuu_unit *u, cpuu_batch *b)
{
    cpuu_work *w = u->work;
    if (w->op->verb == CPUU_MAIL_UPDATE)
        return cpuu_batch_open_message(b, u, w->fid, w->mid, CPUU_MODE_WRITE, WHAT_OPEN);
    uint8_t slot = cpuu_batch_slot(b, CPUU_NO_HANDLE);
    cpuu_rop_create_message(&b->body, 0, slot, w->fid, w->op->what == CPUU_HIDDEN);
    cpuu_batch_step(b, u, CPUU_ROP_CREATE_MESSAGE, slot, WHAT_MAKE, NULL, 0);
    b->expected += 20;
    return slot;
}

void cpuu_write_set_some(cpuu_unit *u, cpuu_batch *b, uint8_t slot, const cpuu_value *values,
                         uint32_t n)
{
    if (n == 0)
        return;
    cpuu_rop_set_properties(&b->body, slot, values, n);
    cpuu_batch_step(b, u, CPUU_ROP_SET_PROPERTIES, slot, WHAT_SET, NULL, 0);
    b->expected += 8 + n;
}

static void unset_some(cpuu_unit *u, cpuu_batch *b, uint8_t slot)
{
    const cpuu_mail_op *op = u->work->op;
    if (op->n_unset == 0)
        return;
    cpuu_rop_delete_properties(&b->body, slot, op->unset, op->n_unset);
    cpuu_batch_step(b, u, CPUU_ROP_DELETE_PROPERTIES, slot, WHAT_UNSET, NULL, 0);
    b->expected += 8;
}

void cpuu_write_end_message(cpuu_unit *u, cpuu_batch *b, uint8_t slot)
{
    unset_some(u, b, slot);
    cpuu_rop_save_message(&b->body, 0, slot);
    cpuu_batch_step(b, u, CPUU_ROP_SAVE_CHANGES_MESSAGE, slot, WHAT_SAVE, NULL, 0);
    cpuu_rop_release(&b->body, slot);
    b->expected += 16;
}

static void message_fill(cpuu_unit *u, cpuu_lane *lane, cpuu_batch *b)
{
    (void)lane;
    uint32_t n;
    const cpuu_value *values = cpuu_write_sendable(u->work, NULL, 0, &n);
    if (!values) {
        b->full = true;
        return;
    }
    uint8_t slot = cpuu_write_begin_message(u, b);
    cpuu_write_set_some(u, b, slot, values, n);
    cpuu_write_end_message(u, b, slot);
}

static const cpuu_unit_class message_class = {.name = "message",
                                              .writes = true,
                                              .fill = message_fill,
                                              .answer = cpuu_write_answer,
                                              .finish = cpuu_write_finish};

/* ---- folders and the store ---------------------------------------------------------------------
 */

static const char *text_of(cpuu_work *w, uint32_t tag)
{
    const cpuu_value *v = find(w->op, tag);
    char *s = cpuu_arena_alloc(&w->scratch, v ? v->size + 1u : 1u);
    if (!s)
        cpuu_work_nomem(w);
    else if (v && v->size)
        memcpy(s, v->data, v->size);
    return s;
}

static void folder_create(cpuu_unit *u, cpuu_batch *b)
{
    static const uint32_t in_rop[] = {TAG_NAME, TAG_COMMENT, TAG_TYPE};
    cpuu_work *w = u->work;
    const cpuu_value *type = find(w->op, TAG_TYPE);
    const char *name = text_of(w, TAG_NAME), *comment = text_of(w, TAG_COMMENT);
    uint32_t n;
    const cpuu_value *rest = cpuu_write_sendable(w, in_rop, 3, &n);
    if (!name || !comment || !rest) {
        b->full = true;
        return;
    }
    uint8_t parent = cpuu_batch_open_folder(b, u, w->fid, WHAT_OPEN);
    uint8_t child = cpuu_batch_slot(b, CPUU_NO_HANDLE);
    uint8_t kind = type && cpuu_le32(type->data) == 2 ? 2 : 1;
    cpuu_rop_create_folder(&b->body, parent, child, kind, name, comment);
    cpuu_batch_step(b, u, CPUU_ROP_CREATE_FOLDER, child, WHAT_MAKE, NULL, 0);
    cpuu_write_set_some(u, b, child, rest, n);
    cpuu_rop_release(&b->body, child);
    cpuu_rop_release(&b->body, parent);
    b->expected += 30;
}

static void folder_change(cpuu_unit *u, cpuu_batch *b)
{
    cpuu_work *w = u->work;
    static const uint32_t fixed[] = {TAG_TYPE};
    uint32_t n;
    const cpuu_value *values = cpuu_write_sendable(w, fixed, 1, &n);
    if (!values) {
        b->full = true;
        return;
    }
    bool store = w->op->what == CPUU_STORE;
    uint64_t fid = w->op->what == CPUU_FOLDERS ? w->mid : w->fid;
    uint8_t slot = store ? 0 : cpuu_batch_open_folder(b, u, fid, WHAT_OPEN);
    cpuu_write_set_some(u, b, slot, values, n);
    unset_some(u, b, slot);
    if (!store)
        cpuu_rop_release(&b->body, slot);
}

static void delete_fill(cpuu_unit *u, cpuu_batch *b)
{
    cpuu_work *w = u->work;
    uint8_t folder = cpuu_batch_open_folder(b, u, w->fid, WHAT_OPEN);
    if (is_message(w)) {
        cpuu_rop_hard_delete_messages(&b->body, folder, &w->mid, 1);
        cpuu_batch_step(b, u, CPUU_ROP_HARD_DELETE_MESSAGES, folder, WHAT_REMOVE, NULL, 0);
    } else {
        cpuu_rop_delete_folder(&b->body, folder, DELETE_HARD, w->mid);
        cpuu_batch_step(b, u, CPUU_ROP_DELETE_FOLDER, folder, WHAT_REMOVE, NULL, 0);
    }
    cpuu_rop_release(&b->body, folder);
    b->expected += 20;
}

static void object_fill(cpuu_unit *u, cpuu_lane *lane, cpuu_batch *b)
{
    (void)lane;
    if (u->work->op->verb == CPUU_MAIL_DELETE)
        delete_fill(u, b);
    else if (u->work->op->verb == CPUU_MAIL_CREATE)
        folder_create(u, b);
    else
        folder_change(u, b);
}

static const cpuu_unit_class object_class = {.name = "object",
                                             .writes = true,
                                             .fill = object_fill,
                                             .answer = cpuu_write_answer,
                                             .finish = cpuu_write_finish};

/* ---- rules and permissions ---------------------------------------------------------------------
 */

/* The values of the row a ModifyRules or ModifyPermissions carries: the id first, then what may be
 * set. A member's name belongs to its EntryID and is not sent ([MS-OXCPERM] 2.2.2). */
static uint32_t row_values(cpuu_work *w, cpuu_value *out)
{
    const cpuu_mail_op *op = w->op;
    bool rules = op->what == CPUU_RULES;
    uint32_t id = rules ? TAG_RULE_ID : TAG_MEMBER_ID, n = 0;
    if (op->verb != CPUU_MAIL_CREATE) {
        out[n].tag = id;
        out[n].data = op->id.data;
        out[n++].size = op->id.size;
    }
    for (uint32_t i = 0; i < op->n_set && op->verb != CPUU_MAIL_DELETE; i++) {
        uint32_t tag = op->set[i].tag;
        bool allowed = rules ? tag != TAG_RULE_ID
                             : tag == TAG_RIGHTS || (tag == CPUU_TAG(0x0fff, CPUU_PT_BINARY) &&
                                                     op->verb == CPUU_MAIL_CREATE);
        if (allowed)
            out[n++] = op->set[i];
    }
    return n;
}

static void row_fill(cpuu_unit *u, cpuu_lane *lane, cpuu_batch *b)
{
    (void)lane;
    cpuu_work *w = u->work;
    const cpuu_mail_op *op = w->op;
    cpuu_value *values = cpuu_arena_alloc(&w->scratch, (op->n_set + 2u) * sizeof(*values));
    if (!values) {
        cpuu_work_nomem(w);
        b->full = true;
        return;
    }
    uint8_t rop = op->what == CPUU_RULES ? CPUU_ROP_MODIFY_RULES : CPUU_ROP_MODIFY_PERMISSIONS;
    uint8_t flags =
        op->what == CPUU_PERMISSIONS && cpuu_work_is_calendar(w) ? CPUU_TABLE_FREEBUSY : 0;
    uint8_t row = op->verb == CPUU_MAIL_CREATE   ? CPUU_ROW_ADD
                  : op->verb == CPUU_MAIL_UPDATE ? CPUU_ROW_MODIFY
                                                 : CPUU_ROW_REMOVE;
    uint8_t folder = cpuu_batch_open_folder(b, u, w->fid, WHAT_OPEN);
    cpuu_rop_modify_table(&b->body, rop, folder, flags, row, values, row_values(w, values));
    cpuu_batch_step(b, u, rop, folder, WHAT_MODIFY, NULL, 0);
    cpuu_rop_release(&b->body, folder);
    b->expected += 10;
}

static const cpuu_unit_class row_class = {.name = "table row",
                                          .writes = true,
                                          .fill = row_fill,
                                          .answer = cpuu_write_answer,
                                          .finish = cpuu_write_finish};

/* ---- beginning and end -------------------------------------------------------------------------
 */

static const cpuu_unit_class *class_of(cpuu_work *w, uint64_t bytes)
{
    const cpuu_mail_op *op = w->op;
    bool known = op->what == CPUU_FOLDERS || op->what == CPUU_FOLDER || op->what == CPUU_STORE;
    if (op->what == CPUU_RULES || op->what == CPUU_PERMISSIONS)
        return &row_class;
    if (is_message(w) && op->verb != CPUU_MAIL_DELETE)
        return bytes <= CHAIN_MAX ? &message_class : cpuu_parts_class(w);
    if (is_message(w) || (known && op->verb == CPUU_MAIL_UPDATE) || op->what == CPUU_FOLDERS)
        return &object_class;
    cpuu_work_fail(w, CPUU_E_UNSUPPORTED, "that cannot be created or deleted in a mailbox");
    return NULL;
}

static bool complete(cpuu_work *w)
{
    const cpuu_mail_op *op = w->op;
    if ((op->what == CPUU_RULES || op->what == CPUU_PERMISSIONS) && op->verb != CPUU_MAIL_CREATE &&
        op->id.size != 8) {
        cpuu_work_fail(w, CPUU_E_FORMAT, "a rule or member id has eight bytes");
        return false;
    }
    if (op->what == CPUU_FOLDERS && op->verb == CPUU_MAIL_CREATE && !find(op, TAG_NAME)) {
        cpuu_work_fail(w, CPUU_E_FORMAT, "a new folder needs a name");
        return false;
    }
    return true;
}

/* Changes of one object, and all changes of one rules or permissions table, keep their order. */
static uint64_t key_of(const cpuu_work *w)
{
    const cpuu_mail_op *op = w->op;
    if (op->what == CPUU_STORE)
        return 1;
    if (op->what == CPUU_RULES || op->what == CPUU_PERMISSIONS)
        return w->fid;
    if (op->verb == CPUU_MAIL_CREATE)
        return 0;
    return op->what == CPUU_FOLDER ? w->fid : w->mid;
}

void cpuu_write_start(cpuu_work *w)
{
    const cpuu_mail_op *op = w->op;
    uint64_t bytes = 100 + 4ull * op->n_unset;
    if (!complete(w))
        return;
    for (uint32_t i = 0; i < op->n_set; i++) /* text doubles, and every value has a tag */
        bytes +=
            op->set[i].size * (CPUU_TAG_TYPE(op->set[i].tag) == CPUU_PT_STRING ? 2ull : 1ull) + 8;
    const cpuu_unit_class *cls = class_of(w, bytes);
    cpuu_unit *u = cls ? cpuu_unit_new(w->box, w, cls) : NULL;
    if (!u)
        return;
    u->cost = bytes < 0x7f00 ? (uint32_t)bytes : 0x7f00;
    u->key = key_of(w);
    cpuu_unit_queue(u);
}

/* The new EntryID, and whether something may be there although it failed. */
void cpuu_write_end(cpuu_work *w)
{
    cpuu_mail_op *op = w->op;
    cpuu_parts_free(w);
    if (cpuu_work_failed(w) && (w->saved || (w->problems && op->verb == CPUU_MAIL_UPDATE)))
        op->maybe_done = true;
    if (op->verb != CPUU_MAIL_CREATE || !w->saved || !w->made_id)
        return;
    uint32_t size = is_message(w) ? CPUU_MESSAGE_EID_SIZE : CPUU_FOLDER_EID_SIZE;
    uint8_t *eid = cpuu_arena_alloc(&op->rows.arena, size);
    if (!eid) {
        cpuu_work_nomem(w);
        return;
    }
    bool ok = is_message(w) ? cpuu_ids_message_eid(&w->box->ids, w->fid, w->made_id, eid)
                            : cpuu_ids_folder_eid(&w->box->ids, w->made_id, eid);
    op->created.data = eid;
    op->created.size = ok ? size : 0;
}
