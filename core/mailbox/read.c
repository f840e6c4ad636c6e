/*
 * READ: tables, single objects, and what a table cuts off. Promises: values are whole (what may
 * have been cut at 510 bytes is read again from the object, what does not fit in an answer by
 * stream); a table is read to its end, never taken for shorter because a page was; rows come in
 * table order.
 */
#include "mailbox/pool.h"

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
#define TAG_BELOW     CPUU_TAG(0x360a, CPUU_PT_BOOL)   /* PidTagSubfolders */
#define TABLE_CUT     510u /* bytes; strings 255 characters ([MS-OXCTABL] R121-R122) */
#define STRING_CUT    255u
#define MAX_VALUE     (64u << 20)
#define STREAM_CHUNK  0x7000u
#define STREAM_LEAST  0x1000u
#define ROW_GUESS     24u /* bytes of a variable column, until rows were seen */
#define ROWS_TO_TRUST 8u  /* after so many the others are taken to be alike */
#define VALUE_GUESS   96u /* the same when objects are read one by one */
#define MAX_ROWS      0x7fff
#define AGAIN_BYTES   1500u /* expected size of a value that was cut */
#define PAYLOAD       0x8008u
#define MAX_RESTARTS  20u   /* of a table that cannot be entered in the middle */
#define ALL_BYTES     3000u /* and of an object's properties together */

/* All columns of a rules or permissions table, for n_tags 0: [MS-OXORULE] 2.2.1.3.1,
 * [MS-OXCPERM] 2.2.4 */
static const uint32_t rule_tags[] = {0x66740014, 0x66760003, 0x66770003, 0x66780003, 0x66830003,
                                     0x6681001f, 0x6682001f, 0x66840102, 0x667900fd, 0x668000fe};
static const uint32_t permission_tags[] = {0x66710014, 0x6672001f, 0x66730003, 0x0fff0102};
/* Properties of a message that GetPropertiesList was seen to leave out: PidTagSubject,
 * PidTagSubjectPrefix, PidTagNormalizedSubject */
static const uint32_t unlisted_tags[] = {0x0037001f, 0x003d001f, 0x0e1d001f};

static bool is_message(const cpuu_work *w)
{
    return w->op->what == CPUU_ITEMS || w->op->what == CPUU_HIDDEN;
}

static bool is_short_table(const cpuu_work *w)
{
    return w->op->what == CPUU_RULES || w->op->what == CPUU_PERMISSIONS;
}

static cpuu_arena *arena(cpuu_work *w)
{
    return w->op->on_row ? &w->page : &w->op->rows.arena;
}

static void *row_alloc(cpuu_work *w, size_t n)
{
    void *p = cpuu_arena_alloc(arena(w), n ? n : 1);
    if (!p)
        cpuu_work_nomem(w);
    return p;
}

static const uint32_t *row_tags(const cpuu_work *w, const cpuu_read_row *row, uint32_t *n)
{
    *n = row->tags ? row->n_tags : w->n_columns - w->n_id_columns;
    return row->tags ? row->tags : w->columns + w->n_id_columns;
}

static cpuu_read_row *row_add(cpuu_work *w)
{
    if (!cpuu_grow(&w->rows, &w->rows_cap, w->n_rows, sizeof(*w->rows))) {
        cpuu_work_nomem(w);
        return NULL;
    }
    cpuu_read_row *row = &w->rows[w->n_rows++];
    memset(row, 0, sizeof(*row));
    return row;
}

static void set_value(cpuu_work *w, cpuu_value *v, uint32_t tag, const uint8_t *data, uint32_t size)
{
    uint8_t *copy = row_alloc(w, size);
    if (!copy)
        return;
    if (size)
        memcpy(copy, data, size);
    v->tag = tag;
    v->data = copy;
    v->size = size;
}

static void set_error_value(cpuu_work *w, cpuu_value *v, uint32_t tag, uint32_t code)
{
    uint8_t le[4] = {(uint8_t)code, (uint8_t)(code >> 8), (uint8_t)(code >> 16),
                     (uint8_t)(code >> 24)};
    set_value(w, v, CPUU_TAG(CPUU_TAG_ID(tag), CPUU_PT_ERROR), le, 4);
}

static uint32_t error_of(const cpuu_value *v)
{
    return CPUU_FOUND(v) || v->size != 4 ? 0 : cpuu_le32(v->data);
}

static bool too_big(const cpuu_value *v)
{
    return error_of(v) == CPUU_MAPI_NO_MEMORY;
}

static cpuu_unit *queue_unit(cpuu_work *w, const cpuu_unit_class *cls, size_t row,
                             uint32_t expected)
{
    cpuu_unit *u = cpuu_unit_new(w->box, w, cls);
    if (!u)
        return NULL;
    u->row = row;
    u->expected = expected;
    cpuu_unit_queue(u);
    return u;
}

/* ---- one object ------------------------------------------------------------------------------ */

/* Opens the row's object; slot 0, the logon, is the store. */
static uint8_t open_object(cpuu_unit *u, cpuu_batch *b, uint16_t what)
{
    const cpuu_read_row *row = &u->work->rows[u->row];
    if (u->work->op->what == CPUU_STORE)
        return 0;
    if (is_message(u->work))
        return cpuu_batch_open_message(b, u, row->fid, row->mid, CPUU_MODE_READ, what);
    return cpuu_batch_open_folder(b, u, row->fid, what);
}

static void close_object(cpuu_batch *b, uint8_t slot)
{
    if (slot)
        cpuu_rop_release(&b->body, slot);
}

static void row_code(cpuu_read_row *row, uint32_t code)
{
    if (row->rc == CPUU_OK)
        row->rc = cpuu_mapi_rc(code) < 0 ? cpuu_mapi_rc(code) : CPUU_E_FAILED;
}

static void finish_only(cpuu_unit *u, cpuu_lane *lane, const cpuu_rop_reply *reply)
{
    (void)lane;
    (void)reply;
    cpuu_unit_done(u);
}

/* An object that cannot be had is a row that says so, not the end of the operation. */
static void object_fail(cpuu_unit *u, const cpuu_error *err, bool maybe_done)
{
    (void)maybe_done;
    if (err->rc == CPUU_E_TOOBIG && u->row < u->work->n_rows)
        u->work->rows[u->row].rc = CPUU_E_TOOBIG;
    else
        cpuu_work_fail_err(u->work, err);
}

/* ---- a value by stream ----------------------------------------------------------------------- */

enum { WHAT_OPEN = 1, WHAT_STREAM, WHAT_READ, WHAT_PROPS, WHAT_LIST, WHAT_TABLE, WHAT_ROWS,
       WHAT_REPLICA };

/* What a request may ask for, answers of others beside it: a server was seen that refuses a ReadStream
 * whose bytes do not all fit, as [MS-OXCROPS] 3.1.5.1.2 has it of any ROP. */
static uint16_t stream_count(const cpuu_lane *lane, const cpuu_batch *b)
{
    const uint32_t taken = b->expected + 4 * b->n_slots + 512;
    uint32_t count = taken < PAYLOAD ? PAYLOAD - taken : 0;
    count = count > STREAM_CHUNK ? STREAM_CHUNK : count < STREAM_LEAST ? STREAM_LEAST : count;
    return (uint16_t)(count >> (lane->shrink < 4 ? lane->shrink : 4));
}

static void stream_fill(cpuu_unit *u, cpuu_lane *lane, cpuu_batch *b)
{
    const cpuu_read_row *row = &u->work->rows[u->row];
    uint32_t n;
    uint32_t tag = row_tags(u->work, row, &n)[u->index];
    uint8_t object = open_object(u, b, WHAT_OPEN);
    uint8_t stream = cpuu_batch_slot(b, CPUU_NO_HANDLE);
    cpuu_rop_open_stream(&b->body, object, stream, tag, CPUU_MODE_READ);
    cpuu_batch_step(b, u, CPUU_ROP_OPEN_STREAM, stream, WHAT_STREAM, NULL, 0);
    if (u->at) {
        cpuu_rop_seek_stream(&b->body, stream, 0, u->at);
        cpuu_batch_step(b, u, CPUU_ROP_SEEK_STREAM, stream, WHAT_OPEN, NULL, 0);
    }
    /* A chain goes on past the end of a part: only its size stops it. */
    if (u->end && u->end - u->at + 3u * PAYLOAD < CPUU_CHAIN_ROP_OUT)
        b->chain_out = (uint32_t)(u->end - u->at) + 3u * PAYLOAD;
    const uint16_t count = stream_count(lane, b);
    cpuu_rop_read_stream(&b->body, stream, count, 0);
    cpuu_batch_step(b, u, CPUU_ROP_READ_STREAM, stream, WHAT_READ, NULL, 0);
    b->expected += count;
}

static void stream_answer(cpuu_unit *u, cpuu_lane *lane, const cpuu_step *step,
                          const cpuu_rop_answer *a)
{
    (void)lane;
    cpuu_work *w = u->work;
    cpuu_read_row *row = &w->rows[u->row];
    if (a->code) {
        row_code(row, a->code);
        return;
    }
    if (step->what == WHAT_STREAM && !row->stream) {
        if (a->size > MAX_VALUE) {
            row->rc = CPUU_E_TOOBIG;
            return;
        }
        row->stream_size = u->end = a->size;
        row->stream_parts = 1;
        row->stream = row_alloc(w, (size_t)a->size);
    } else if (step->what == WHAT_STREAM && a->size != row->stream_size) {
        row->rc = CPUU_E_CONFLICT; /* somebody has changed it meanwhile */
    } else if (step->what == WHAT_READ && row->stream) {
        uint64_t room = u->end - u->at;
        uint32_t n = a->data_size < room ? a->data_size : (uint32_t)room;
        if (n)
            memcpy(row->stream + u->at, a->data, n);
        u->at += n;
        u->tries = n ? 0 : u->tries;
    }
}

static void stream_value(cpuu_work *w, cpuu_read_row *row, size_t index)
{
    uint32_t n;
    uint32_t tag = row_tags(w, row, &n)[index];
    cpuu_value *v = &row->values[index];
    uint32_t size = (uint32_t)row->stream_size;
    if (CPUU_TAG_TYPE(tag) == CPUU_PT_BINARY) {
        v->tag = tag;
        v->data = row->stream;
        v->size = size;
        return;
    }
    cpuu_buf text; /* PtypString is UTF-16 in a stream, with or without its NUL */
    cpuu_buf_init(&text, MAX_VALUE * 2u);
    while (size >= 2 && row->stream[size - 1] == 0 && row->stream[size - 2] == 0)
        size -= 2;
    if (!cpuu_buf_utf8_from_utf16(&text, row->stream, size))
        cpuu_work_nomem(w);
    else
        set_value(w, v, tag, text.data, (uint32_t)text.size);
    cpuu_buf_free(&text);
}

static const cpuu_unit_class stream_class;

/* The next value of the row that has to be streamed; 0-based, n_values when there is none. */
static uint32_t next_stream(const cpuu_work *w, const cpuu_read_row *row)
{
    uint32_t n, i;
    const uint32_t *tags = row_tags(w, row, &n);
    for (i = 0; i < row->n_values; i++) {
        uint32_t type = CPUU_TAG_TYPE(tags[i]);
        if (too_big(&row->values[i]) && (type == CPUU_PT_BINARY || type == CPUU_PT_STRING))
            break;
    }
    return i;
}

static void queue_stream(cpuu_work *w, size_t index)
{
    cpuu_read_row *row = &w->rows[index];
    uint32_t i = next_stream(w, row);
    row->stream = NULL;
    row->stream_size = 0;
    row->split = false;
    if (i == row->n_values || row->rc < 0) {
        for (uint32_t k = 0; k < row->n_values && row->rc == CPUU_OK; k++)
            if (too_big(&row->values[k]))
                row->rc = CPUU_E_TOOBIG; /* of a type that has no stream */
        return;
    }
    cpuu_unit *u = queue_unit(w, &stream_class, index, STREAM_CHUNK);
    if (u)
        u->index = i;
}

/* After the first answer the rest is read side by side, in pieces as large as that. */
static void split_stream(cpuu_unit *u)
{
    cpuu_work *w = u->work;
    cpuu_read_row *row = &w->rows[u->row];
    const uint64_t piece = u->at > STREAM_CHUNK ? u->at : STREAM_CHUNK;
    if (row->split || w->box->max_lanes == 1)
        return;
    row->split = true;
    u->end = u->at + piece < row->stream_size ? u->at + piece : row->stream_size;
    for (uint64_t at = u->end; at < row->stream_size; at += piece) {
        cpuu_unit *more = queue_unit(w, &stream_class, u->row, STREAM_CHUNK);
        if (!more)
            return;
        more->index = u->index;
        more->at = at;
        more->end = at + piece < row->stream_size ? at + piece : row->stream_size;
        row->stream_parts++;
    }
}

static void stream_finish(cpuu_unit *u, cpuu_lane *lane, const cpuu_rop_reply *reply)
{
    cpuu_work *w = u->work;
    cpuu_read_row *row = &w->rows[u->row];
    for (size_t i = 0; i < lane->batch.n_steps; i++) {
        const cpuu_step *s = &lane->batch.steps[i];
        if (s->unit == u && (s->rop == CPUU_ROP_OPEN_STREAM || s->rop == CPUU_ROP_OPEN_MESSAGE ||
                             s->rop == CPUU_ROP_OPEN_FOLDER))
            cpuu_lane_release_later(lane, cpuu_reply_handle(reply, s->slot));
    }
    if (row->rc == CPUU_OK && row->stream && u->at < u->end) {
        if (++u->tries > 2)
            row->rc = CPUU_E_FORMAT; /* it ends before its size */
        else {
            split_stream(u);
            cpuu_unit_queue(u);
            return;
        }
    }
    if (row->rc == CPUU_OK && row->stream && --row->stream_parts == 0) {
        stream_value(w, row, u->index);
        queue_stream(w, u->row);
    }
    cpuu_unit_done(u);
}

static const cpuu_unit_class stream_class = {.name = "stream",
                                             .tail = true,
                                             .fill = stream_fill,
                                             .answer = stream_answer,
                                             .finish = stream_finish,
                                             .fail = object_fail};

/* ---- properties of an object ----------------------------------------------------------------- */

/* Which values: row->again when set, else all. */
static void props_fill(cpuu_unit *u, cpuu_lane *lane, cpuu_batch *b)
{
    (void)lane;
    const cpuu_read_row *row = &u->work->rows[u->row];
    uint32_t n;
    const uint32_t *tags = row_tags(u->work, row, &n);
    if (row->again) {
        tags = row->again_tags;
        n = row->n_again;
    }
    uint8_t object = open_object(u, b, WHAT_OPEN);
    cpuu_rop_get_properties(&b->body, object, tags, n);
    cpuu_batch_step(b, u, CPUU_ROP_GET_PROPERTIES_SPECIFIC, object, WHAT_PROPS, tags, n);
    close_object(b, object);
    /* Objects of one kind are alike: once some were seen they tell more than the columns do. Who
     * asks about many asks about each by itself. */
    const cpuu_mailbox *box = u->box;
    const uint32_t alike = box->seen_tags == n ? box->seen_bytes : 0;
    const uint32_t seen = u->work->object_bytes ? u->work->object_bytes : alike;
    if (u->work->op->row_bytes)
        b->expected += u->expected;
    else if (seen && !row->again)
        b->expected += seen + seen / 4;
    else
        b->expected += seen > u->expected ? seen : u->expected;
}

static void props_answer(cpuu_unit *u, cpuu_lane *lane, const cpuu_step *step,
                         const cpuu_rop_answer *a)
{
    (void)lane;
    cpuu_work *w = u->work;
    cpuu_read_row *row = &w->rows[u->row];
    if (a->rop != CPUU_ROP_GET_PROPERTIES_SPECIFIC || a->n_cells != step->n_columns) {
        if (a->code)
            row_code(row, a->code);
        return;
    }
    uint32_t bytes = (uint32_t)a->bytes.size + 100;
    w->object_bytes = w->object_bytes ? (w->object_bytes * 3 + bytes) / 4 : bytes;
    u->box->seen_bytes = u->box->seen_tags == step->n_columns
                             ? (u->box->seen_bytes * 3 + bytes) / 4 : bytes;
    u->box->seen_tags = step->n_columns;
    for (uint32_t i = 0; i < step->n_columns; i++) {
        uint32_t at = row->again ? row->again[i] : i;
        cpuu_value v = cpuu_cell_value(&a->cells[i], &a->bytes);
        set_value(w, &row->values[at], v.tag, v.data, v.size);
    }
}

static void props_finish(cpuu_unit *u, cpuu_lane *lane, const cpuu_rop_reply *reply)
{
    (void)lane;
    (void)reply;
    u->work->rows[u->row].again = NULL;
    if (u->work->rows[u->row].rc == CPUU_OK)
        queue_stream(u->work, u->row);
    cpuu_unit_done(u);
}

/* Even alone the answer did not fit: every value of variable size by stream. */
static void props_fail(cpuu_unit *u, const cpuu_error *err, bool maybe_done)
{
    cpuu_work *w = u->work;
    cpuu_read_row *row = &w->rows[u->row];
    uint32_t n;
    const uint32_t *tags = row_tags(w, row, &n);
    if (err->rc != CPUU_E_TOOBIG || row->n_values == 0) {
        object_fail(u, err, maybe_done);
        return;
    }
    for (uint32_t i = 0; i < row->n_values; i++)
        if (!row->values[i].data && !cpuu_prop_fixed_size(CPUU_TAG_TYPE(tags[i])))
            set_error_value(w, &row->values[i], tags[i], CPUU_MAPI_NO_MEMORY);
    row->again = NULL;
    queue_stream(w, u->row);
}

static const cpuu_unit_class props_class = {.name = "properties",
                                            .fill = props_fill,
                                            .answer = props_answer,
                                            .finish = props_finish,
                                            .fail = props_fail};

static bool make_values(cpuu_work *w, cpuu_read_row *row, uint32_t n)
{
    row->values = row_alloc(w, n * sizeof(*row->values));
    row->n_values = row->values ? n : 0;
    return row->values != NULL;
}

static void queue_props(cpuu_work *w, size_t index)
{
    cpuu_read_row *row = &w->rows[index];
    uint32_t n, expected = 40;
    const uint32_t *tags = row_tags(w, row, &n);
    if (!make_values(w, row, n))
        return;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t fixed = cpuu_prop_fixed_size(CPUU_TAG_TYPE(tags[i]));
        expected += 1 + (fixed ? fixed : VALUE_GUESS);
    }
    if (row->tags && expected < ALL_BYTES)
        expected = ALL_BYTES;
    if (w->op->row_bytes)
        expected = w->op->row_bytes + 40;
    queue_unit(w, &props_class, index, expected);
}

/* ---- which properties an object has ---------------------------------------------------------- */

static void list_fill(cpuu_unit *u, cpuu_lane *lane, cpuu_batch *b)
{
    (void)lane;
    uint8_t object = open_object(u, b, WHAT_OPEN);
    cpuu_rop_get_properties_list(&b->body, object);
    cpuu_batch_step(b, u, CPUU_ROP_GET_PROPERTIES_LIST, object, WHAT_LIST, NULL, 0);
    close_object(b, object);
    b->expected += u->expected;
}

static bool has_id(const uint32_t *tags, uint32_t n, uint32_t tag)
{
    for (uint32_t i = 0; i < n; i++)
        if (CPUU_TAG_ID(tags[i]) == CPUU_TAG_ID(tag))
            return true;
    return false;
}

/* 8-bit text is asked for as Unicode: the server converts ([MS-OXCPRPT] 2.2.2.1). */
static uint32_t as_unicode(uint32_t tag)
{
    uint32_t type = CPUU_TAG_TYPE(tag);
    if ((type & ~CPUU_PT_MULTIPLE) != CPUU_PT_STRING8)
        return tag;
    return CPUU_TAG(CPUU_TAG_ID(tag), (type & CPUU_PT_MULTIPLE) | CPUU_PT_STRING);
}

static void list_answer(cpuu_unit *u, cpuu_lane *lane, const cpuu_step *step,
                        const cpuu_rop_answer *a)
{
    (void)lane;
    (void)step;
    cpuu_work *w = u->work;
    cpuu_read_row *row = &w->rows[u->row];
    if (a->code)
        row_code(row, a->code);
    if (a->rop != CPUU_ROP_GET_PROPERTIES_LIST || a->code)
        return;
    size_t extra = is_message(w) ? sizeof(unlisted_tags) / sizeof(unlisted_tags[0]) : 0;
    row->tags = row_alloc(w, (a->n_ids + extra) * sizeof(*row->tags));
    if (!row->tags)
        return;
    for (size_t i = 0; i < a->n_ids; i++) {
        uint32_t tag = as_unicode((uint32_t)a->ids[i]);
        if (cpuu_prop_known_type(CPUU_TAG_TYPE(tag)) && !has_id(row->tags, row->n_tags, tag))
            row->tags[row->n_tags++] = tag;
    }
    for (size_t i = 0; i < extra; i++)
        if (!has_id(row->tags, row->n_tags, unlisted_tags[i]))
            row->tags[row->n_tags++] = unlisted_tags[i];
}

static void list_finish(cpuu_unit *u, cpuu_lane *lane, const cpuu_rop_reply *reply)
{
    (void)lane;
    (void)reply;
    const cpuu_read_row *row = &u->work->rows[u->row];
    if (row->rc == CPUU_OK && row->tags)
        queue_props(u->work, u->row);
    cpuu_unit_done(u);
}

static const cpuu_unit_class list_class = {.name = "property list",
                                           .fill = list_fill,
                                           .answer = list_answer,
                                           .finish = list_finish,
                                           .fail = object_fail};

static void queue_object(cpuu_work *w, size_t index)
{
    if (w->op->n_tags == 0)
        queue_unit(w, &list_class, index, 400);
    else
        queue_props(w, index);
}

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
    if (w->op->filter && is_message(w) && !w->own_filter) {
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
    if (!held && is_short_table(w)) {
        if (w->pos && ++w->restarts > MAX_RESTARTS)
            cpuu_work_fail(w, CPUU_E_TOOBIG, "a table was lost %u times before its end", w->restarts);
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
        return v->size >= STRING_CUT;
    case CPUU_PT_BINARY:
        return v->size >= TABLE_CUT;
    case CPUU_PT_ERROR:
        return too_big(v);
    default:
        return (type & CPUU_PT_MULTIPLE) && v->size >= STRING_CUT;
    }
}

static void note_cut(cpuu_work *w, cpuu_read_row *row, size_t index)
{
    uint32_t n = 0, k = 0, all;
    const uint32_t *tags = row_tags(w, row, &all);
    for (uint32_t i = 0; i < row->n_values; i++)
        n += may_be_cut(&row->values[i]);
    if (n == 0)
        return;
    if (is_short_table(w)) { /* there is no object to read it from; a rule's texts are short */
        for (uint32_t i = 0; i < row->n_values; i++)
            if (may_be_cut(&row->values[i]) && row->values[i].size == TABLE_CUT)
                row->rc = CPUU_E_TOOBIG;
        return;
    }
    row->again = row_alloc(w, n * sizeof(*row->again));
    row->again_tags = row_alloc(w, n * sizeof(*row->again_tags));
    if (!row->again || !row->again_tags)
        return;
    for (uint32_t i = 0; i < row->n_values; i++)
        if (may_be_cut(&row->values[i])) {
            row->again[k] = i;
            row->again_tags[k++] = tags[i];
        }
    row->n_again = n;
    queue_unit(w, &props_class, index, 40 + n * AGAIN_BYTES);
}

static void copy_cells(cpuu_work *w, cpuu_read_row *row, const cpuu_rop_answer *a,
                       const cpuu_cell *cells)
{
    for (uint32_t i = 0; i < row->n_values && !cpuu_work_failed(w); i++) {
        cpuu_value v = cpuu_cell_value(&cells[w->n_id_columns + i], &a->bytes);
        set_value(w, &row->values[i], v.tag, v.data, v.size);
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
    if (row && make_values(w, row, w->n_columns - w->n_id_columns))
        copy_cells(w, row, a, cells);
}

static void add_row(cpuu_work *w, const cpuu_rop_answer *a, size_t first)
{
    const cpuu_cell *cells = a->cells + first;
    cpuu_value id = cpuu_cell_value(&cells[0], &a->bytes);
    uint64_t number = id.size == 8 ? cpuu_le64(id.data) : 0;
    cpuu_read_row *row = cpuu_tree_knows(w, number) ? NULL : row_add(w);
    if (!row || !make_values(w, row, w->n_columns - w->n_id_columns))
        return;
    if (id.size != 8)
        row->rc = CPUU_E_FORMAT;
    if (is_short_table(w)) {
        cpuu_value copy;
        set_value(w, &copy, id.tag, id.data, id.size);
        row->id.data = copy.data;
        row->id.size = copy.size;
    } else if (is_message(w)) {
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

static void queue_page(cpuu_work *w);

/* Who only looks at rows need not wait for those of the next page, nor for what was cut. */
static void show_rows(const cpuu_work *w)
{
    for (size_t i = w->scanned; w->ahead && i < w->n_rows && !cpuu_work_failed(w); i++) {
        const cpuu_read_row *row = &w->rows[i];
        const cpuu_mail_row seen = {.rc = row->rc, .values = row->values, .n_values = row->n_values};
        cpuu_ahead_show(w->ahead, &seen);
    }
}

/* What the new rows still need: their property lists, or the values that were cut. */
static void scan_rows(cpuu_work *w)
{
    if (w->is_range && !w->end)
        return;
    for (; w->scanned < w->n_rows && !cpuu_work_failed(w); w->scanned++) {
        if ((w->op->n_tags == 0 && !is_short_table(w)) || !w->rows[w->scanned].values)
            queue_object(w, w->scanned);
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

static bool make_columns(cpuu_work *w);

static void begin_unfiltered(cpuu_work *w)
{
    w->unfiltered = false;
    w->own_filter = true;
    if (make_columns(w))
        queue_page(w);
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
    if (!w->end && !cpuu_work_failed(w) && (w->is_range || !w->op->on_row) && !is_short_table(w))
        queue_page(w); /* rows are collected anyway: no need to wait for their values */
    cpuu_unit_done(u);
}

/* A request may also be refused as a whole for the restriction in it. */
static void table_fail(cpuu_unit *u, const cpuu_error *err, bool maybe_done)
{
    cpuu_work *w = u->work;
    (void)maybe_done;
    if (w->op->filter && is_message(w) && !w->own_filter && !w->is_range && !w->pos &&
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
        row_code(row, a->code);
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
        object_fail(u, err, maybe_done);
}

static const cpuu_unit_class replica_class = {.name = "replica",
                                              .fill = replica_fill,
                                              .answer = replica_answer,
                                              .finish = finish_only,
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
    cpuu_unit *u = queue_unit(w, &replica_class, row, 30);
    if (u)
        u->index = index;
    return true;
}

/* False while a replica number of some row is being asked. */
static bool row_ids(cpuu_work *w)
{
    bool waiting = false;
    if (is_short_table(w) || w->op->what == CPUU_STORE)
        return true;
    for (size_t i = 0; i < w->n_rows; i++) {
        cpuu_read_row *row = &w->rows[i];
        if (row->id.size || row->rc < 0)
            continue;
        if (queue_replica(w, i, 0) || (row->mid && queue_replica(w, i, 1))) {
            waiting = true;
            continue;
        }
        uint32_t size = is_message(w) ? CPUU_MESSAGE_EID_SIZE : CPUU_FOLDER_EID_SIZE;
        uint8_t *eid = row_alloc(w, size);
        if (!eid)
            return true;
        bool ok = is_message(w) ? cpuu_ids_message_eid(&w->box->ids, row->fid, row->mid, eid)
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

/* PidTagParentEntryId of a folder in a table: the documents give it to folders, one server does not. */
static void fill_parent(cpuu_work *w, cpuu_read_row *row, uint32_t i, uint32_t tag)
{
    if (tag != TAG_PARENT || CPUU_FOUND(&row->values[i]) || w->op->what != CPUU_FOLDERS || !row->mid)
        return;
    uint8_t *eid = row_alloc(w, CPUU_FOLDER_EID_SIZE);
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
    const uint32_t *tags = row_tags(w, row, &n);
    if (row->tags) {
        for (uint32_t i = 0; i < row->n_values; i++)
            if (row->values[i].data && error_of(&row->values[i]) != CPUU_MAPI_NOT_FOUND)
                row->values[kept++] = row->values[i];
        row->n_values = kept;
        return;
    }
    if (row->n_values == 0 && n && w->op->n_tags && !make_values(w, row, n))
        return;
    for (uint32_t i = 0; i < row->n_values; i++) {
        if (!row->values[i].data)
            set_error_value(w, &row->values[i], tags[i], CPUU_MAPI_NOT_FOUND);
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

static void queue_page(cpuu_work *w)
{
    queue_unit(w, &table_class, 0, 0);
}

void cpuu_read_next(cpuu_work *w)
{
    bool chosen = is_short_table(w) && w->op->n_ids;
    if (is_short_table(w) && !w->end) { /* in one piece: it cannot be entered in the middle */
        queue_page(w);
        return;
    }
    if (!cpuu_work_failed(w) && cpuu_tree_more(w)) {
        queue_page(w);
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
        queue_page(w);
    else
        w->end = true;
}

/* ---- beginning ------------------------------------------------------------------------------- */

static bool make_columns(cpuu_work *w)
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
    if (!w->op->in_table || !w->op->n_tags || !is_message(w) || w->n_rows < 2)
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
        cpuu_read_row *row = row_add(w);
        if (!row)
            return;
        row->id = op->ids[i];
        if (cpuu_ids_from_eid(&w->box->ids, op->ids[i], &row->fid, is_message(w) ? &row->mid : NULL,
                              ltid) != CPUU_ID_OK)
            row->rc = CPUU_E_NOTFOUND;
    }
    w->is_range = can_be_range(w);
    if (w->is_range) {
        w->fid = w->rows[0].fid;
        w->pos = op->first_row;
        queue_page(w);
    }
    for (size_t i = 0; i < w->n_rows && !w->is_range; i++)
        if (w->rows[i].rc == CPUU_OK)
            queue_object(w, i);
}

static void start_single(cpuu_work *w)
{
    cpuu_blob eid = w->box->info.store_entryid;
    cpuu_read_row *row = row_add(w);
    if (!row)
        return;
    row->fid = w->fid;
    if (w->op->what == CPUU_FOLDER)
        cpuu_work_folder(w, &eid);
    row->id = eid;
    queue_object(w, 0);
}

void cpuu_read_start(cpuu_work *w)
{
    const cpuu_mail_op *op = w->op;
    if (op->what < CPUU_ITEMS || op->what > CPUU_STORE) {
        cpuu_work_fail(w, CPUU_E_UNSUPPORTED, "a mailbox has no such rows (%u)", op->what);
        return;
    }
    if (!make_columns(w))
        return;
    if (op->n_ids && !is_short_table(w)) {
        start_ids(w);
    } else if (op->what == CPUU_FOLDER || op->what == CPUU_STORE) {
        start_single(w);
    } else {
        w->is_table = true;
        queue_page(w);
    }
}

void cpuu_read_free(cpuu_work *w)
{
    cpuu_free(w->rows);
}
