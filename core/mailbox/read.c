/*
 * READ: tables, single objects, and what a table cuts off. Promises: values are whole (what may
 * have been cut at 510 bytes is read again from the object, what does not fit in an answer by
 * stream); a table is read to its end, never taken for shorter because a page was; rows come in
 * table order.
 */
#include "mailbox/read.h"

#include "base/text.h"

#include <string.h>

#define TAG_FOLDER_ID CPUU_TAG(0x6748, CPUU_PT_INT64) /* PidTagFolderId */
#define TAG_MID       CPUU_TAG(0x674a, CPUU_PT_INT64) /* PidTagMid */
#define TAG_RULE_ID   CPUU_TAG(0x6674, CPUU_PT_INT64)
#define TAG_MEMBER_ID CPUU_TAG(0x6671, CPUU_PT_INT64)
#define TAG_CLASS     CPUU_TAG(0x001a, CPUU_PT_STRING) /* PidTagMessageClass */
#define TAG_ENTRYID   CPUU_TAG(0x0fff, CPUU_PT_BINARY)
#define TAG_PARENT_ID CPUU_TAG(0x6749, CPUU_PT_INT64)  /* PidTagParentFolderId */
#define TAG_PARENT    CPUU_TAG(0x0e09, CPUU_PT_BINARY) /* PidTagParentEntryId */

/* All columns of a rules or permissions table, for n_tags 0: [MS-OXORULE] 2.2.1.3.1,
 * [MS-OXCPERM] 2.2.4 */
static const uint32_t rule_tags[] = {0x66740014, 0x66760003, 0x66770003, 0x66780003, 0x66830003,
                                     0x6681001f, 0x6682001f, 0x66840102, 0x667900fd, 0x668000fe};
static const uint32_t permission_tags[] = {0x66710014, 0x6672001f, 0x66730003, 0x0fff0102};
bool cpuu_read_is_message(const cpuu_work *w)
{
    return w->op->what == CPUU_ITEMS || w->op->what == CPUU_HIDDEN;
}

bool cpuu_read_is_short_table(const cpuu_work *w)
{
    return w->op->what == CPUU_RULES || w->op->what == CPUU_PERMISSIONS;
}

cpuu_arena *cpuu_read_arena(cpuu_work *w)
{
    return w->op->on_row ? &w->page : &w->op->rows.arena;
}

void *cpuu_read_alloc(cpuu_work *w, size_t n)
{
    void *p = cpuu_arena_alloc(cpuu_read_arena(w), n ? n : 1);
    if (!p)
        cpuu_work_nomem(w);
    return p;
}

const uint32_t *cpuu_read_row_tags(const cpuu_work *w, const cpuu_read_row *row, uint32_t *n)
{
    *n = row->tags ? row->n_tags : w->n_columns - w->n_id_columns;
    return row->tags ? row->tags : w->columns + w->n_id_columns;
}

cpuu_read_row *cpuu_read_row_add(cpuu_work *w)
{
    if (!cpuu_grow(&w->rows, &w->rows_cap, w->n_rows, sizeof(*w->rows))) {
        cpuu_work_nomem(w);
        return NULL;
    }
    cpuu_read_row *row = &w->rows[w->n_rows++];
    memset(row, 0, sizeof(*row));
    return row;
}

void cpuu_read_set_value(cpuu_work *w, cpuu_value *v, uint32_t tag, const uint8_t *data,
                         uint32_t size)
{
    uint8_t *copy = cpuu_read_alloc(w, size);
    if (!copy)
        return;
    if (size)
        memcpy(copy, data, size);
    v->tag = tag;
    v->data = copy;
    v->size = size;
}

void cpuu_read_set_error(cpuu_work *w, cpuu_value *v, uint32_t tag, uint32_t code)
{
    uint8_t le[4] = {(uint8_t)code, (uint8_t)(code >> 8), (uint8_t)(code >> 16),
                     (uint8_t)(code >> 24)};
    cpuu_read_set_value(w, v, CPUU_TAG(CPUU_TAG_ID(tag), CPUU_PT_ERROR), le, 4);
}

static uint32_t error_of(const cpuu_value *v)
{
    return CPUU_FOUND(v) || v->size != 4 ? 0 : cpuu_le32(v->data);
}

bool cpuu_read_too_big(const cpuu_value *v)
{
    return error_of(v) == CPUU_MAPI_NO_MEMORY;
}

cpuu_unit *cpuu_read_queue(cpuu_work *w, const cpuu_unit_class *cls, size_t row, uint32_t expected)
{
    cpuu_unit *u = cpuu_unit_new(w->box, w, cls);
    if (!u)
        return NULL;
    u->row = row;
    u->expected = expected;
    cpuu_unit_queue(u);
    return u;
}

/* ---- EntryIDs of rows ------------------------------------------------------------------------ */

/* Asks which GUID a replica number stands for. */
static void replica_fill(cpuu_unit *u, cpuu_lane *lane, cpuu_batch *b)
{
    (void)lane;
    const cpuu_read_row *row = &u->work->rows[u->row];
    cpuu_rop_long_term_id_from_id(&b->body, 0, u->index ? row->mid : row->fid);
    cpuu_batch_step(b, u, CPUU_ROP_LONG_TERM_ID_FROM_ID, 0, 0, NULL, 0);
    b->expected += 30;
}

static void replica_answer(cpuu_unit *u, cpuu_lane *lane, const cpuu_step *step,
                           const cpuu_rop_answer *a)
{
    (void)lane;
    (void)step;
    cpuu_read_row *row = &u->work->rows[u->row];
    uint64_t id = u->index ? row->mid : row->fid;
    if (a->code && !cpuu_box_own_replica(u->box, id))
        cpuu_read_row_code(row, a->code);
    else if (a->code)
        return;
    else if (!cpuu_ids_learn(&u->box->ids, (uint16_t)id, a->long_term_id))
        row->rc = CPUU_E_NOTFOUND;
}

static void replica_fail(cpuu_unit *u, const cpuu_error *err, bool maybe_done)
{
    const cpuu_read_row *row = &u->work->rows[u->row];
    if (!cpuu_other_way_may_help(err->rc) ||
        !cpuu_box_own_replica(u->box, u->index ? row->mid : row->fid))
        cpuu_read_object_fail(u, err, maybe_done);
}

static const cpuu_unit_class replica_class = {.name = "replica",
                                              .fill = replica_fill,
                                              .answer = replica_answer,
                                              .finish = cpuu_read_finish_only,
                                              .fail = replica_fail};

static bool queue_replica(cpuu_work *w, size_t row, size_t index)
{
    uint64_t id = index ? w->rows[row].mid : w->rows[row].fid;
    if (cpuu_ids_guid(&w->box->ids, id))
        return false;
    for (const cpuu_unit *u = w->box->head; u; u = u->next)
        if (u->cls == &replica_class && u->work == w) {
            uint64_t other = u->index ? w->rows[u->row].mid : w->rows[u->row].fid;
            if ((uint16_t)other == (uint16_t)id)
                return true;
        }
    cpuu_unit *u = cpuu_read_queue(w, &replica_class, row, 30);
    if (u)
        u->index = index;
    return true;
}

/* False while a replica number of some row is being asked. */
static bool row_ids(cpuu_work *w)
{
    bool waiting = false;
    if (cpuu_read_is_short_table(w) || w->op->what == CPUU_STORE)
        return true;
    for (size_t i = 0; i < w->n_rows; i++) {
        cpuu_read_row *row = &w->rows[i];
        if (row->id.size || row->rc < 0)
            continue;
        if (queue_replica(w, i, 0) || (row->mid && queue_replica(w, i, 1))) {
            waiting = true;
            continue;
        }
        uint32_t size = cpuu_read_is_message(w) ? CPUU_MESSAGE_EID_SIZE : CPUU_FOLDER_EID_SIZE;
        uint8_t *eid = cpuu_read_alloc(w, size);
        if (!eid)
            return true;
        bool ok = cpuu_read_is_message(w)
                      ? cpuu_ids_message_eid(&w->box->ids, row->fid, row->mid, eid)
                      : cpuu_ids_folder_eid(&w->box->ids, row->fid, eid);
        row->id.data = eid;
        row->id.size = ok ? size : 0;
    }
    return !waiting;
}

/* ---- delivery -------------------------------------------------------------------------------- */

/* PidTagEntryId asked for and not given by the server: the one built here. */
static void fill_entryid(cpuu_read_row *row, uint32_t i, uint32_t tag)
{
    if (tag != TAG_ENTRYID || CPUU_FOUND(&row->values[i]) || !row->id.size)
        return;
    row->values[i].tag = TAG_ENTRYID;
    row->values[i].data = row->id.data;
    row->values[i].size = row->id.size;
}

/* PidTagParentEntryId of a folder in a table: the documents give it to folders, one server does not
 * have it. */
static void fill_parent(cpuu_work *w, cpuu_read_row *row, uint32_t i, uint32_t tag)
{
    if (tag != TAG_PARENT || CPUU_FOUND(&row->values[i]) || w->op->what != CPUU_FOLDERS ||
        !row->mid)
        return;
    uint8_t *eid = cpuu_read_alloc(w, CPUU_FOLDER_EID_SIZE);
    if (!eid || !cpuu_ids_folder_eid(&w->box->ids, row->mid, eid))
        return;
    row->values[i].tag = TAG_PARENT;
    row->values[i].data = eid;
    row->values[i].size = CPUU_FOLDER_EID_SIZE;
}

/* All-properties mode: only what the object has. Else one value per tag, whatever happened. */
static void settle_row(cpuu_work *w, cpuu_read_row *row)
{
    uint32_t n, kept = 0;
    const uint32_t *tags = cpuu_read_row_tags(w, row, &n);
    if (row->tags) {
        for (uint32_t i = 0; i < row->n_values; i++)
            if (row->values[i].data && error_of(&row->values[i]) != CPUU_MAPI_NOT_FOUND)
                row->values[kept++] = row->values[i];
        row->n_values = kept;
        return;
    }
    if (row->n_values == 0 && n && w->op->n_tags && !cpuu_read_make_values(w, row, n))
        return;
    for (uint32_t i = 0; i < row->n_values; i++) {
        if (!row->values[i].data)
            cpuu_read_set_error(w, &row->values[i], tags[i], CPUU_MAPI_NOT_FOUND);
        if (row->rc == CPUU_OK && w->op->what != CPUU_STORE)
            fill_entryid(row, i, tags[i]);
        if (row->rc == CPUU_OK)
            fill_parent(w, row, i, tags[i]);
    }
}

static bool deliver(cpuu_work *w, const cpuu_read_row *from)
{
    cpuu_mail_op *op = w->op;
    cpuu_mail_row row = {from->rc, from->id, from->values, from->n_values};
    if (op->on_row) {
        cpuu_rc rc = op->on_row(op->user, &row);
        if (rc < 0)
            cpuu_work_fail(w, rc, "reading was stopped");
        return rc >= 0;
    }
    if (!cpuu_grow(&op->rows.items, &w->items_cap, op->rows.count, sizeof(row))) {
        cpuu_work_nomem(w);
        return false;
    }
    op->rows.items[op->rows.count++] = row;
    return true;
}

static bool same_id(cpuu_blob a, cpuu_blob b)
{
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

/* Rules or members asked for by id: in that order, absent ones as such. */
static void deliver_chosen(cpuu_work *w)
{
    for (uint32_t k = 0; k < w->op->n_ids; k++) {
        cpuu_read_row missing = {.rc = CPUU_E_NOTFOUND, .id = w->op->ids[k]};
        const cpuu_read_row *found = &missing;
        for (size_t i = 0; i < w->n_rows; i++)
            if (same_id(w->rows[i].id, w->op->ids[k]))
                found = &w->rows[i];
        if (found == &missing)
            settle_row(w, &missing);
        if (!deliver(w, found))
            return;
    }
}

void cpuu_read_next(cpuu_work *w)
{
    bool chosen = cpuu_read_is_short_table(w) && w->op->n_ids;
    if (cpuu_read_is_short_table(w) && !w->end) {
        cpuu_read_page(w); /* in one piece: it cannot be entered in the middle */
        return;
    }
    if (!cpuu_work_failed(w) && cpuu_tree_more(w)) {
        cpuu_read_page(w);
        return;
    }
    if (!row_ids(w) || cpuu_work_failed(w))
        return;
    for (size_t i = 0; i < w->n_rows; i++)
        settle_row(w, &w->rows[i]);
    if (chosen)
        deliver_chosen(w);
    for (size_t i = 0; i < w->n_rows && !chosen; i++)
        if (!deliver(w, &w->rows[i]))
            return;
    w->n_rows = 0;
    w->scanned = 0;
    cpuu_arena_free(&w->page);
    if (w->is_table && !w->end && !cpuu_work_failed(w))
        cpuu_read_page(w);
    else
        w->end = true;
}

/* ---- beginning ------------------------------------------------------------------------------- */

bool cpuu_read_columns(cpuu_work *w)
{
    const cpuu_mail_op *op = w->op;
    const uint32_t *tags = op->tags;
    uint32_t n = op->n_tags, first = 0;
    switch (op->what) {
    case CPUU_ITEMS:
    case CPUU_HIDDEN:
        first = TAG_MID;
        break;
    case CPUU_RULES:
        first = TAG_RULE_ID;
        break;
    case CPUU_PERMISSIONS:
        first = TAG_MEMBER_ID;
        break;
    default:
        first = TAG_FOLDER_ID;
        break;
    }
    if (n == 0 && op->what == CPUU_RULES) {
        tags = rule_tags;
        n = sizeof(rule_tags) / sizeof(rule_tags[0]);
    } else if (n == 0 && op->what == CPUU_PERMISSIONS) {
        tags = permission_tags;
        n = sizeof(permission_tags) / sizeof(permission_tags[0]);
    }
    w->n_id_columns = cpuu_read_is_tree(w) ? 3 : op->what == CPUU_FOLDERS || w->own_filter ? 2 : 1;
    w->columns = cpuu_arena_alloc(&w->scratch, (n + 3u) * sizeof(*w->columns));
    if (!w->columns) {
        cpuu_work_nomem(w);
        return false;
    }
    w->columns[0] = first;
    w->columns[1] = w->own_filter ? TAG_CLASS : TAG_PARENT_ID;
    w->columns[2] = TAG_BELOW;
    if (n)
        memcpy(w->columns + w->n_id_columns, tags, n * sizeof(*tags));
    w->n_columns = n + w->n_id_columns;
    return true;
}

/* Whether the ids are all of one folder, whose table then has their rows. */
static bool can_be_range(const cpuu_work *w)
{
    if (!w->op->in_table || !w->op->n_tags || !cpuu_read_is_message(w) || w->n_rows < 2)
        return false;
    for (size_t i = 0; i < w->n_rows; i++)
        if (w->rows[i].rc < 0 || w->rows[i].fid != w->rows[0].fid)
            return false;
    return true;
}

static void start_ids(cpuu_work *w)
{
    const cpuu_mail_op *op = w->op;
    uint8_t ltid[24];
    for (uint32_t i = 0; i < op->n_ids; i++) {
        cpuu_read_row *row = cpuu_read_row_add(w);
        if (!row)
            return;
        row->id = op->ids[i];
        if (cpuu_ids_from_eid(&w->box->ids, op->ids[i], &row->fid,
                              cpuu_read_is_message(w) ? &row->mid : NULL, ltid) != CPUU_ID_OK)
            row->rc = CPUU_E_NOTFOUND;
    }
    w->is_range = can_be_range(w);
    if (w->is_range) {
        w->fid = w->rows[0].fid;
        w->pos = op->first_row;
        cpuu_read_page(w);
    }
    for (size_t i = 0; i < w->n_rows && !w->is_range; i++)
        if (w->rows[i].rc == CPUU_OK)
            cpuu_read_object(w, i);
}

static void start_single(cpuu_work *w)
{
    cpuu_blob eid = w->box->info.store_entryid;
    cpuu_read_row *row = cpuu_read_row_add(w);
    if (!row)
        return;
    row->fid = w->fid;
    if (w->op->what == CPUU_FOLDER)
        cpuu_work_folder(w, &eid);
    row->id = eid;
    cpuu_read_object(w, 0);
}

void cpuu_read_start(cpuu_work *w)
{
    const cpuu_mail_op *op = w->op;
    if (op->what < CPUU_ITEMS || op->what > CPUU_STORE) {
        cpuu_work_fail(w, CPUU_E_UNSUPPORTED, "a mailbox has no such rows (%u)", op->what);
        return;
    }
    if (!cpuu_read_columns(w))
        return;
    if (op->n_ids && !cpuu_read_is_short_table(w)) {
        start_ids(w);
    } else if (op->what == CPUU_FOLDER || op->what == CPUU_STORE) {
        start_single(w);
    } else {
        w->is_table = true;
        cpuu_read_page(w);
    }
}

void cpuu_read_free(cpuu_work *w)
{
    cpuu_free(w->rows);
}
