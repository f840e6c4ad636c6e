/*
 * READ, object by object: the properties of one, and by stream what does not fit in an answer.
 */
#include "mailbox/read.h"

#include <string.h>

#define MAX_VALUE    (64u << 20)
#define STREAM_CHUNK 0x7000u
#define STREAM_LEAST 0x1000u
#define VALUE_GUESS  96u   /* bytes of a variable property */
#define ALL_BYTES    3000u /* of all properties of an object together */

/* Properties of a message that GetPropertiesList was seen to leave out: PidTagSubject,
 * PidTagSubjectPrefix, PidTagNormalizedSubject */
static const uint32_t unlisted_tags[] = {0x0037001f, 0x003d001f, 0x0e1d001f};

/* ---- one object ------------------------------------------------------------------------------ */

/* Opens the row's object; slot 0, the logon, is the store. */
static uint8_t open_object(cpuu_unit *u, cpuu_batch *b, uint16_t what)
{
    const cpuu_read_row *row = &u->work->rows[u->row];
    if (u->work->op->what == CPUU_STORE)
        return 0;
    if (cpuu_read_is_message(u->work))
        return cpuu_batch_open_message(b, u, row->fid, row->mid, CPUU_MODE_READ, what);
    return cpuu_batch_open_folder(b, u, row->fid, what);
}

static void close_object(cpuu_batch *b, uint8_t slot)
{
    if (slot)
        cpuu_rop_release(&b->body, slot);
}

void cpuu_read_row_code(cpuu_read_row *row, uint32_t code)
{
    if (row->rc == CPUU_OK)
        row->rc = cpuu_mapi_rc(code) < 0 ? cpuu_mapi_rc(code) : CPUU_E_FAILED;
}

void cpuu_read_finish_only(cpuu_unit *u, cpuu_lane *lane, const cpuu_rop_reply *reply)
{
    (void)lane;
    (void)reply;
    cpuu_unit_done(u);
}

/* An object that cannot be had is a row that says so, not the end of the operation. */
void cpuu_read_object_fail(cpuu_unit *u, const cpuu_error *err, bool maybe_done)
{
    (void)maybe_done;
    if (err->rc == CPUU_E_TOOBIG && u->row < u->work->n_rows)
        u->work->rows[u->row].rc = CPUU_E_TOOBIG;
    else
        cpuu_work_fail_err(u->work, err);
}

/* ---- a value by stream ----------------------------------------------------------------------- */

/* What a request may ask for, answers of others beside it: a server was seen that refuses a
 * ReadStream whose bytes do not all fit, as [MS-OXCROPS] 3.1.5.1.2 has it of any ROP. */
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
    uint32_t tag = cpuu_read_row_tags(u->work, row, &n)[u->index];
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
        cpuu_read_row_code(row, a->code);
        return;
    }
    if (step->what == WHAT_STREAM && !row->stream) {
        if (a->size > MAX_VALUE) {
            row->rc = CPUU_E_TOOBIG;
            return;
        }
        row->stream_size = u->end = a->size;
        row->stream_parts = 1;
        row->stream = cpuu_read_alloc(w, (size_t)a->size);
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
    uint32_t tag = cpuu_read_row_tags(w, row, &n)[index];
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
        cpuu_read_set_value(w, v, tag, text.data, (uint32_t)text.size);
    cpuu_buf_free(&text);
}

static const cpuu_unit_class stream_class;

/* The next value of the row that has to be streamed; 0-based, n_values when there is none. */
static uint32_t next_stream(const cpuu_work *w, const cpuu_read_row *row)
{
    uint32_t n, i;
    const uint32_t *tags = cpuu_read_row_tags(w, row, &n);
    for (i = 0; i < row->n_values; i++) {
        uint32_t type = CPUU_TAG_TYPE(tags[i]);
        if (cpuu_read_too_big(&row->values[i]) &&
            (type == CPUU_PT_BINARY || type == CPUU_PT_STRING))
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
            if (cpuu_read_too_big(&row->values[k]))
                row->rc = CPUU_E_TOOBIG; /* of a type that has no stream */
        return;
    }
    cpuu_unit *u = cpuu_read_queue(w, &stream_class, index, STREAM_CHUNK);
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
        cpuu_unit *more = cpuu_read_queue(w, &stream_class, u->row, STREAM_CHUNK);
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
                                             .fail = cpuu_read_object_fail};

/* ---- properties of an object ----------------------------------------------------------------- */

/* Which values: row->again when set, else all. */
static void props_fill(cpuu_unit *u, cpuu_lane *lane, cpuu_batch *b)
{
    (void)lane;
    const cpuu_read_row *row = &u->work->rows[u->row];
    uint32_t n;
    const uint32_t *tags = cpuu_read_row_tags(u->work, row, &n);
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
            cpuu_read_row_code(row, a->code);
        return;
    }
    uint32_t bytes = (uint32_t)a->bytes.size + 100;
    w->object_bytes = w->object_bytes ? (w->object_bytes * 3 + bytes) / 4 : bytes;
    u->box->seen_bytes =
        u->box->seen_tags == step->n_columns ? (u->box->seen_bytes * 3 + bytes) / 4 : bytes;
    u->box->seen_tags = step->n_columns;
    for (uint32_t i = 0; i < step->n_columns; i++) {
        uint32_t at = row->again ? row->again[i] : i;
        cpuu_value v = cpuu_cell_value(&a->cells[i], &a->bytes);
        cpuu_read_set_value(w, &row->values[at], v.tag, v.data, v.size);
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
    const uint32_t *tags = cpuu_read_row_tags(w, row, &n);
    if (err->rc != CPUU_E_TOOBIG || row->n_values == 0) {
        cpuu_read_object_fail(u, err, maybe_done);
        return;
    }
    for (uint32_t i = 0; i < row->n_values; i++)
        if (!row->values[i].data && !cpuu_prop_fixed_size(CPUU_TAG_TYPE(tags[i])))
            cpuu_read_set_error(w, &row->values[i], tags[i], CPUU_MAPI_NO_MEMORY);
    row->again = NULL;
    queue_stream(w, u->row);
}

static const cpuu_unit_class props_class = {.name = "properties",
                                            .fill = props_fill,
                                            .answer = props_answer,
                                            .finish = props_finish,
                                            .fail = props_fail};

bool cpuu_read_make_values(cpuu_work *w, cpuu_read_row *row, uint32_t n)
{
    row->values = cpuu_read_alloc(w, n * sizeof(*row->values));
    row->n_values = row->values ? n : 0;
    return row->values != NULL;
}

void cpuu_read_props(cpuu_work *w, size_t index, uint32_t expected)
{
    cpuu_read_queue(w, &props_class, index, expected);
}

static void queue_props(cpuu_work *w, size_t index)
{
    cpuu_read_row *row = &w->rows[index];
    uint32_t n, expected = 40;
    const uint32_t *tags = cpuu_read_row_tags(w, row, &n);
    if (!cpuu_read_make_values(w, row, n))
        return;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t fixed = cpuu_prop_fixed_size(CPUU_TAG_TYPE(tags[i]));
        expected += 1 + (fixed ? fixed : VALUE_GUESS);
    }
    if (row->tags && expected < ALL_BYTES)
        expected = ALL_BYTES;
    if (w->op->row_bytes)
        expected = w->op->row_bytes + 40;
    cpuu_read_props(w, index, expected);
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
        cpuu_read_row_code(row, a->code);
    if (a->rop != CPUU_ROP_GET_PROPERTIES_LIST || a->code)
        return;
    size_t extra = cpuu_read_is_message(w) ? sizeof(unlisted_tags) / sizeof(unlisted_tags[0]) : 0;
    row->tags = cpuu_read_alloc(w, (a->n_ids + extra) * sizeof(*row->tags));
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
                                           .fail = cpuu_read_object_fail};

void cpuu_read_object(cpuu_work *w, size_t index)
{
    if (w->op->n_tags == 0)
        cpuu_read_queue(w, &list_class, index, 400);
    else
        queue_props(w, index);
}
