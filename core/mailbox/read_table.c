/*
 * READ of tables, page by page or in ranges, and of what a table cuts off.
 */
#include "mailbox/read.h"

#include "base/text.h"

#include <string.h>

#define ROW_GUESS     24u /* bytes of a variable column, until rows were seen */
#define ROWS_TO_TRUST 8u  /* after so many the others are taken to be alike */
#define MAX_ROWS      0x7fff
#define AGAIN_BYTES   1500u /* expected size of a value that was cut */
#define MAX_RESTARTS  20u   /* of a table that cannot be entered in the middle */

/* ---- tables ---------------------------------------------------------------------------------- */

static bool held_here(const cpuu_work *w, const cpuu_lane *lane)
{
    return w->held_lane == lane && w->held_generation == lane->generation;
}

static uint32_t guess_row(const cpuu_work *w)
{
    uint32_t bytes = 1;
    for (uint32_t i = 0; i < w->n_columns; i++) {
        uint32_t fixed = cpuu_prop_fixed_size(CPUU_TAG_TYPE(w->columns[i]));
        bytes += fixed ? fixed : ROW_GUESS;
    }
    if (w->row_bytes && w->pos >= ROWS_TO_TRUST)
        return w->row_bytes + w->row_bytes / 4;
    return w->row_bytes > bytes / 2 ? w->row_bytes : bytes;
}

bool cpuu_read_is_tree(const cpuu_work *w)
{
    return w->op->what == CPUU_FOLDERS && (w->op->flags & CPUU_DEEP);
}

uint64_t cpuu_read_bytes_left(const cpuu_work *w)
{
    uint32_t rows = w->total > w->pos ? w->total - w->pos : 1;
    return (uint64_t)rows * guess_row(w);
}

static uint8_t table_rop(const cpuu_work *w, uint8_t *flags)
{
    const cpuu_mail_op *op = w->op;
    *flags = CPUU_TABLE_UNICODE | CPUU_TABLE_NO_NOTIFICATIONS;
    switch (op->what) {
    case CPUU_HIDDEN:
        *flags |= CPUU_TABLE_ASSOCIATED;
        return CPUU_ROP_GET_CONTENTS_TABLE;
    case CPUU_ITEMS:
        return CPUU_ROP_GET_CONTENTS_TABLE;
    case CPUU_RULES:
        *flags = CPUU_TABLE_UNICODE;
        return CPUU_ROP_GET_RULES_TABLE;
    case CPUU_PERMISSIONS:
        *flags = cpuu_work_is_calendar(w) ? CPUU_TABLE_FREEBUSY : 0;
        return CPUU_ROP_GET_PERMISSIONS_TABLE;
    default:
        *flags |= op->flags & CPUU_DEEP ? CPUU_TABLE_DEPTH : 0;
        return CPUU_ROP_GET_HIERARCHY_TABLE;
    }
}

/* A table that is read beside the opening, on a context of its own, may come before the answer that
 * tells what replica numbers stand for: it asks about its folder's. */
static void ask_replica(cpuu_unit *u, const cpuu_lane *lane, cpuu_batch *b)
{
    const cpuu_mailbox *box = u->box;
    if (box->known || box->plain || lane->logged_on || cpuu_ids_guid(&box->ids, u->work->fid))
        return;
    cpuu_rop_long_term_id_from_id(&b->body, 0, u->work->fid);
    cpuu_batch_step(b, u, CPUU_ROP_LONG_TERM_ID_FROM_ID, 0, WHAT_REPLICA, NULL, 0);
    b->expected += 30;
}

static uint8_t table_open(cpuu_unit *u, cpuu_batch *b)
{
    cpuu_work *w = u->work;
    uint8_t flags, rop = table_rop(w, &flags);
    uint8_t folder = cpuu_batch_open_folder(b, u, w->fid, WHAT_OPEN);
    uint8_t table = cpuu_batch_slot(b, CPUU_NO_HANDLE);
    cpuu_rop_get_table(&b->body, rop, folder, table, flags);
    cpuu_batch_step(b, u, rop, table, WHAT_TABLE, NULL, 0);
    cpuu_rop_set_columns(&b->body, table, w->columns, w->n_columns);
    cpuu_batch_step(b, u, CPUU_ROP_SET_COLUMNS, table, WHAT_OPEN, NULL, 0);
    if (w->op->filter && cpuu_read_is_message(w) && !w->own_filter) {
        cpuu_rop_restrict_class(&b->body, table, w->op->filter);
        cpuu_batch_step(b, u, CPUU_ROP_RESTRICT, table, WHAT_OPEN, NULL, 0);
    }
    if (w->pos) { /* the context that had it open is gone */
        cpuu_rop_seek_row(&b->body, table, 0, (int32_t)w->pos, false);
        cpuu_batch_step(b, u, CPUU_ROP_SEEK_ROW, table, WHAT_OPEN, NULL, 0);
    }
    b->expected += 60;
    return table;
}

static uint32_t range_left(const cpuu_work *w)
{
    const uint32_t end = w->op->first_row + (w->op->n_rows ? w->op->n_rows : w->op->n_ids);
    return w->pos < end ? end - w->pos : 0;
}

/* A chain repeats QueryRows with its count, past the end of the range: only its size stops it. */
static uint32_t range_bytes(const cpuu_work *w)
{
    const bool seen = w->box->range_columns == w->n_columns;
    const uint64_t row = w->op->row_bytes ? w->op->row_bytes
                         : seen           ? w->box->range_row
                                          : guess_row(w);
    const uint64_t bytes = row * range_left(w) + 2u * PAYLOAD;
    return bytes < CPUU_CHAIN_ROP_OUT ? (uint32_t)bytes : CPUU_CHAIN_ROP_OUT;
}

static void table_fill(cpuu_unit *u, cpuu_lane *lane, cpuu_batch *b)
{
    cpuu_work *w = u->work;
    bool held = held_here(w, lane);
    /* SeekRow is not for these tables ([MS-OXCTABL] 2.2.2.8): from the beginning again. */
    if (!held && cpuu_read_is_short_table(w)) {
        if (w->pos && ++w->restarts > MAX_RESTARTS)
            cpuu_work_fail(w, CPUU_E_TOOBIG, "a table was lost %u times before its end",
                           w->restarts);
        w->pos = 0;
        w->n_rows = 0;
        w->scanned = 0;
    }
    ask_replica(u, lane, b);
    uint8_t table = held ? cpuu_batch_slot(b, w->held_table) : table_open(u, b);
    uint32_t room = w->row_bytes ? b->share : b->fresh_share;
    uint32_t count = room ? room / guess_row(w) : MAX_ROWS;
    count = count < 2 ? 2 : count > MAX_ROWS ? MAX_ROWS : count;
    if (w->is_range) {
        count = count < range_left(w) ? count : range_left(w);
        b->chain_out = range_bytes(w);
    }
    if (lane->shrink >= 5)
        count = 1;
    cpuu_rop_query_rows(&b->body, table, (uint16_t)count, !b->share && w->box->packed);
    cpuu_batch_step(b, u, CPUU_ROP_QUERY_ROWS, table, WHAT_ROWS, w->columns, w->n_columns);
    uint64_t left = w->row_bytes ? cpuu_read_bytes_left(w) : CPUU_FRESH_BYTES;
    b->expected += left < room ? (uint32_t)left : room;
}

/* A value in a table may be shorter than it is, from this size on. */
static bool may_be_cut(const cpuu_value *v)
{
    uint32_t type = CPUU_TAG_TYPE(v->tag);
    switch (type) {
    case CPUU_PT_STRING:
    case CPUU_PT_STRING8:
        return v->size >= CPUU_TABLE_CUT_TEXT;
    case CPUU_PT_BINARY:
        return v->size >= CPUU_TABLE_CUT_BINARY;
    case CPUU_PT_ERROR:
        return cpuu_read_too_big(v);
    default:
        return (type & CPUU_PT_MULTIPLE) && v->size >= CPUU_TABLE_CUT_TEXT;
    }
}

static void note_cut(cpuu_work *w, cpuu_read_row *row, size_t index)
{
    uint32_t n = 0, k = 0, all;
    const uint32_t *tags = cpuu_read_row_tags(w, row, &all);
    for (uint32_t i = 0; i < row->n_values; i++)
        n += may_be_cut(&row->values[i]);
    if (n == 0)
        return;
    /* There is no object to read it from; a rule's texts are short. */
    if (cpuu_read_is_short_table(w)) {
        for (uint32_t i = 0; i < row->n_values; i++)
            if (may_be_cut(&row->values[i]) && row->values[i].size == CPUU_TABLE_CUT_BINARY)
                row->rc = CPUU_E_TOOBIG;
        return;
    }
    row->again = cpuu_read_alloc(w, n * sizeof(*row->again));
    row->again_tags = cpuu_read_alloc(w, n * sizeof(*row->again_tags));
    if (!row->again || !row->again_tags)
        return;
    for (uint32_t i = 0; i < row->n_values; i++)
        if (may_be_cut(&row->values[i])) {
            row->again[k] = i;
            row->again_tags[k++] = tags[i];
        }
    row->n_again = n;
    cpuu_read_props(w, index, 40 + n * AGAIN_BYTES);
}

static void copy_cells(cpuu_work *w, cpuu_read_row *row, const cpuu_rop_answer *a,
                       const cpuu_cell *cells)
{
    for (uint32_t i = 0; i < row->n_values && !cpuu_work_failed(w); i++) {
        cpuu_value v = cpuu_cell_value(&cells[w->n_id_columns + i], &a->bytes);
        cpuu_read_set_value(w, &row->values[i], v.tag, v.data, v.size);
    }
}

/* The object this row is of, most likely the one after the last. NULL: none that was asked for. */
static cpuu_read_row *range_row(cpuu_work *w, uint64_t mid)
{
    for (size_t i = 0; i < w->n_rows; i++) {
        cpuu_read_row *row = &w->rows[(w->range_next + i) % w->n_rows];
        if (row->mid != mid)
            continue;
        w->range_next = (size_t)(row - w->rows) + 1;
        return row->values ? NULL : row;
    }
    return NULL;
}

static void add_range_row(cpuu_work *w, const cpuu_rop_answer *a, uint32_t index)
{
    const cpuu_cell *cells = a->cells + (size_t)index * w->n_columns;
    cpuu_value id = cpuu_cell_value(&cells[0], &a->bytes);
    cpuu_read_row *row = NULL;
    if (id.size == 8)
        row = range_row(w, cpuu_le64(id.data));
    if (row && cpuu_read_make_values(w, row, w->n_columns - w->n_id_columns))
        copy_cells(w, row, a, cells);
}

static void add_row(cpuu_work *w, const cpuu_rop_answer *a, size_t first)
{
    const cpuu_cell *cells = a->cells + first;
    cpuu_value id = cpuu_cell_value(&cells[0], &a->bytes);
    uint64_t number = id.size == 8 ? cpuu_le64(id.data) : 0;
    cpuu_read_row *row = cpuu_tree_knows(w, number) ? NULL : cpuu_read_row_add(w);
    if (!row || !cpuu_read_make_values(w, row, w->n_columns - w->n_id_columns))
        return;
    if (id.size != 8)
        row->rc = CPUU_E_FORMAT;
    if (cpuu_read_is_short_table(w)) {
        cpuu_value copy;
        cpuu_read_set_value(w, &copy, id.tag, id.data, id.size);
        row->id.data = copy.data;
        row->id.size = copy.size;
    } else if (cpuu_read_is_message(w)) {
        row->fid = w->fid;
        row->mid = number;
    } else {
        cpuu_value parent = cpuu_cell_value(&cells[1], &a->bytes);
        row->fid = number;
        row->mid = parent.size == 8 ? cpuu_le64(parent.data) : w->top_fid ? w->fid : 0;
        cpuu_value below = cpuu_cell_value(&cells[w->n_id_columns - 1], &a->bytes);
        row->leaf = below.tag == TAG_BELOW && below.size && !below.data[0];
    }
    copy_cells(w, row, a, cells);
}

/* The class begins with what was asked for, without regard to case, as in the restriction. */
static bool passes(const cpuu_work *w, const cpuu_rop_answer *a, size_t first)
{
    if (!w->own_filter)
        return true;
    cpuu_value class = cpuu_cell_value(&a->cells[first + 1], &a->bytes);
    size_t n = strlen(w->op->filter);
    return CPUU_FOUND(&class) && class.size >= n &&
           cpuu_ncasecmp((const char *)class.data, w->op->filter, n) == 0;
}

static void rows_answer(cpuu_unit *u, const cpuu_rop_answer *a)
{
    cpuu_work *w = u->work;
    for (uint32_t i = 0; i < a->count && !cpuu_work_failed(w); i++) {
        if (w->is_range)
            add_range_row(w, a, i);
        else if (passes(w, a, (size_t)i * w->n_columns))
            add_row(w, a, (size_t)i * w->n_columns);
    }
    w->pos += a->count;
    if (a->count)
        w->row_bytes = (uint32_t)(a->bytes.size / a->count) + w->n_columns;
    if (a->count && w->is_range) {
        w->box->range_row = w->row_bytes;
        w->box->range_columns = w->n_columns;
    }
    if (a->origin == 2 || a->count == 0 || (w->is_range && range_left(w) == 0))
        w->end = true;
}

static void table_answer(cpuu_unit *u, cpuu_lane *lane, const cpuu_step *step,
                         const cpuu_rop_answer *a)
{
    (void)lane;
    cpuu_work *w = u->work;
    if (step->what == WHAT_REPLICA) {
        if (a->code == 0)
            cpuu_ids_learn(&w->box->ids, (uint16_t)w->fid, a->long_term_id);
        return;
    }
    if (step->rop == CPUU_ROP_RESTRICT && a->code) /* however it says that it does not do that */
        w->unfiltered = true;
    else if (w->unfiltered && step->what == WHAT_ROWS)
        return;
    else if (a->code && w->top_fid && cpuu_mapi_rc(a->code) == CPUU_E_ACCESS)
        w->end = true; /* what is below is not for us */
    else if (a->code)
        cpuu_work_fail_code(w, a->code,
                            step->what == WHAT_OPEN ? "opening a folder" : "reading a table");
    else if (step->what == WHAT_TABLE)
        w->total = a->count;
    else if (step->what == WHAT_ROWS)
        rows_answer(u, a);
}

void cpuu_read_page(cpuu_work *w);

/* Who only looks at rows need not wait for those of the next page, nor for what was cut. */
static void show_rows(const cpuu_work *w)
{
    for (size_t i = w->scanned; w->ahead && i < w->n_rows && !cpuu_work_failed(w); i++) {
        const cpuu_read_row *row = &w->rows[i];
        const cpuu_mail_row seen = {
            .rc = row->rc, .values = row->values, .n_values = row->n_values};
        cpuu_ahead_show(w->ahead, &seen);
    }
}

/* What the new rows still need: their property lists, or the values that were cut. */
static void scan_rows(cpuu_work *w)
{
    if (w->is_range && !w->end)
        return;
    for (; w->scanned < w->n_rows && !cpuu_work_failed(w); w->scanned++) {
        if ((w->op->n_tags == 0 && !cpuu_read_is_short_table(w)) || !w->rows[w->scanned].values)
            cpuu_read_object(w, w->scanned);
        else
            note_cut(w, &w->rows[w->scanned], w->scanned);
    }
}

/* Documented: rows go into several payloads with Chain and EnablePackedBuffers ([MS-OXCTABL] R892).
 * Measured elsewhere: with Chain, unless that flag is set. Whatever works is kept. */
static void learn_packing(cpuu_work *w, const cpuu_lane *lane)
{
    if (lane->batch.chain && !w->end && lane->call.n_replies == 1 && w->box->packing_tries < 2) {
        w->box->packing_tries++;
        w->box->packed = !w->box->packed;
    }
}

bool cpuu_read_columns(cpuu_work *w);

static void begin_unfiltered(cpuu_work *w)
{
    w->unfiltered = false;
    w->own_filter = true;
    if (cpuu_read_columns(w))
        cpuu_read_page(w);
}

static void table_finish(cpuu_unit *u, cpuu_lane *lane, const cpuu_rop_reply *reply)
{
    cpuu_work *w = u->work;
    learn_packing(w, lane);
    for (size_t i = 0; i < lane->batch.n_steps; i++) {
        const cpuu_step *s = &lane->batch.steps[i];
        if (s->unit != u)
            continue;
        if (s->rop == CPUU_ROP_OPEN_FOLDER)
            w->held_folder = cpuu_reply_handle(reply, s->slot);
        else if (s->what == WHAT_TABLE)
            w->held_table = cpuu_reply_handle(reply, s->slot);
    }
    w->held_lane = lane;
    w->held_generation = lane->generation;
    if (w->unfiltered && w->is_range) { /* whose rows are elsewhere then: object by object */
        w->unfiltered = false;
        w->end = true;
    }
    if (w->end || w->unfiltered || cpuu_work_failed(w)) {
        cpuu_lane_release_later(lane, w->held_table);
        cpuu_lane_release_later(lane, w->held_folder);
        w->held_lane = NULL;
    }
    if (w->unfiltered && !cpuu_work_failed(w)) {
        begin_unfiltered(w);
        cpuu_unit_done(u);
        return;
    }
    if (w->ahead && w->op->rows.arena.used > CPUU_AHEAD_BYTES)
        cpuu_work_fail(w, CPUU_E_TOOBIG, "too much to read ahead of time");
    if (!w->end)
        show_rows(w);
    scan_rows(w);
    if (!w->end && !cpuu_work_failed(w) && (w->is_range || !w->op->on_row) &&
        !cpuu_read_is_short_table(w))
        cpuu_read_page(w); /* rows are collected anyway: no need to wait for their values */
    cpuu_unit_done(u);
}

/* A request may also be refused as a whole for the restriction in it. */
static void table_fail(cpuu_unit *u, const cpuu_error *err, bool maybe_done)
{
    cpuu_work *w = u->work;
    (void)maybe_done;
    if (w->op->filter && cpuu_read_is_message(w) && !w->own_filter && !w->is_range && !w->pos &&
        cpuu_other_way_may_help(err->rc))
        begin_unfiltered(w);
    else
        cpuu_work_fail_err(w, err);
}

static const cpuu_unit_class table_class = {.name = "table",
                                            .paged = true,
                                            .fill = table_fill,
                                            .answer = table_answer,
                                            .finish = table_finish,
                                            .fail = table_fail};

void cpuu_read_page(cpuu_work *w)
{
    cpuu_read_queue(w, &table_class, 0, 0);
}
