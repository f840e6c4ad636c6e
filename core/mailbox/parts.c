/*
 * A message written in several requests. Nothing of it is there before its Save, the last of them, was
 * sent: what is lost or refused before that is begun anew.
 *
 * A request has room for one payload of 32 KB. A server that says so at Connect takes more of a
 * stream at once: further payloads with one RopWriteStreamExtended each, which it joins with the one
 * that ends the first payload ([MS-OXCRPC] 3.1.4.2.1.2.1). Where it then does not, the message is
 * begun anew without.
 */
#include "mailbox/write.h"

#include <string.h>

#define STREAM_FROM 0x2000u /* values from this size on by stream */
#define PART_ROOM   0x6c00u /* bytes of one part */
#define MAX_MORE    7u      /* payloads packed behind the first: 8 are less than 0x40000 bytes */
#define MAX_ANEW    3u      /* how often a message is begun */

/* A message written in several requests: what has been done so far, and what the request under way
 * adds to it. Nothing is visible before Save, so losing it all is harmless. */
struct cpuu_parts {
    uint32_t message, stream; /* handles */
    uint8_t message_slot, stream_slot;
    uint32_t value, next_value; /* index into set */
    uint32_t at, next_at;       /* bytes of that value */
    bool stream_open, next_stream_open;
    bool small, next_small; /* the small values are set */
    bool last;
    uint32_t packed; /* bytes of the packed write under way; 0 = it is none */
    bool refused;    /* the server has not written them all */
    unsigned begun;  /* how often it was begun anew */
    const cpuu_lane *lane;
    uint32_t generation;
    cpuu_buf text; /* UTF-16 of the string value being written */
};

static bool by_stream(const cpuu_value *v)
{
    uint32_t type = CPUU_TAG_TYPE(v->tag);
    return v->size >= STREAM_FROM && (type == CPUU_PT_BINARY || type == CPUU_PT_STRING) &&
           !cpuu_write_is_computed(v->tag);
}

/* The bytes a stream of that value consists of. */
static bool stream_bytes(struct cpuu_parts *p, const cpuu_value *v, const uint8_t **data,
                         uint32_t *size)
{
    *data = v->data;
    *size = v->size;
    if (CPUU_TAG_TYPE(v->tag) == CPUU_PT_BINARY)
        return true;
    cpuu_buf_reset(&p->text);
    p->text.max = (size_t)v->size * 2 + 2;
    if (!cpuu_buf_utf16_n(&p->text, (const char *)v->data, v->size, false))
        return false;
    *data = p->text.data;
    *size = (uint32_t)p->text.size;
    return true;
}

static uint32_t room_left(const cpuu_batch *b)
{
    size_t used = b->body.size + 4u * b->n_slots;
    return used < PART_ROOM ? (uint32_t)(PART_ROOM - used) : 0;
}

/* All values that are not streamed, as many SetProperties as that takes: they fit, or they do not.
 */
static void small_values(cpuu_unit *u, cpuu_batch *b, uint8_t slot)
{
    cpuu_work *w = u->work;
    uint32_t n, k = 0;
    const cpuu_value *all = cpuu_write_sendable(w, NULL, 0, &n);
    cpuu_value *small = all ? cpuu_arena_alloc(&w->scratch, (n + 1u) * sizeof(*small)) : NULL;
    if (!small) {
        b->full = true;
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        if (!by_stream(&all[i]))
            small[k++] = all[i];
    cpuu_write_set_some(u, b, slot, small, k);
}

/* One piece of the value under way. False: the request is full. */
static bool stream_piece(cpuu_unit *u, cpuu_batch *b, struct cpuu_parts *p)
{
    const cpuu_value *v = &u->work->op->set[p->next_value];
    const uint8_t *data;
    uint32_t size, room = room_left(b);
    if (room < 256 || !stream_bytes(p, v, &data, &size)) {
        b->full = b->full || room >= 256;
        return false;
    }
    if (!p->next_stream_open) {
        p->stream_slot = cpuu_batch_slot(b, CPUU_NO_HANDLE);
        cpuu_rop_open_stream(&b->body, p->message_slot, p->stream_slot, v->tag, CPUU_MODE_CREATE);
        cpuu_batch_step(b, u, CPUU_ROP_OPEN_STREAM, p->stream_slot, WHAT_STREAM, NULL, 0);
        cpuu_rop_set_stream_size(&b->body, p->stream_slot, size);
        cpuu_batch_step(b, u, CPUU_ROP_SET_STREAM_SIZE, p->stream_slot, WHAT_STREAM, NULL, 0);
        p->next_stream_open = true;
        room = room_left(b);
    }
    if (u->tries) { /* of the request before nobody knows how much of it was written */
        cpuu_rop_seek_stream(&b->body, p->stream_slot, 0, p->next_at);
        cpuu_batch_step(b, u, CPUU_ROP_SEEK_STREAM, p->stream_slot, WHAT_STREAM, NULL, 0);
    }
    uint32_t n = size - p->next_at, fits = room > 64 ? room - 64 : 0;
    n = n < fits ? n : fits;
    cpuu_rop_write_stream(&b->body, p->stream_slot, data + p->next_at, (uint16_t)n);
    cpuu_batch_step(b, u, CPUU_ROP_WRITE_STREAM, p->stream_slot, WHAT_STREAM, NULL, 0);
    p->next_at += n;
    if (p->next_at < size)
        return false;
    cpuu_rop_commit_stream(&b->body, p->stream_slot);
    cpuu_batch_step(b, u, CPUU_ROP_COMMIT_STREAM, p->stream_slot, WHAT_STREAM, NULL, 0);
    cpuu_rop_release(&b->body, p->stream_slot);
    p->next_stream_open = false;
    p->next_at = 0;
    p->next_value++;
    return true;
}

/* One payload for the rest of the request: all slots, and one ROP that writes the next n bytes. */
static void pack_one(cpuu_batch *b, const struct cpuu_parts *p, const uint8_t *data, uint32_t n,
                     bool last)
{
    cpuu_buf one;
    cpuu_buf_init(&one, CPUU_MAX_PAYLOAD);
    cpuu_buf_u16(&one, 0);
    cpuu_rop_write_stream_extended(&one, p->stream_slot, data, (uint16_t)n);
    cpuu_buf_put_u16(&one, 0, (uint16_t)one.size);
    for (uint32_t i = 0; i < b->n_slots; i++)
        cpuu_buf_u32(&one, b->handles[i]);
    b->more.failed = b->more.failed || one.failed;
    cpuu_rop_buffer_add(&b->more, one.data, one.size, last);
    cpuu_buf_free(&one);
}

/* As much of the value under way as one request takes; the end of it is left for the request that
 * saves. Only of a stream that is open already, so that every payload can name its handle. */
static bool pack_pieces(cpuu_unit *u, cpuu_lane *lane, cpuu_batch *b, struct cpuu_parts *p)
{
    const uint8_t *data;
    uint32_t size, room = room_left(b);
    const bool can = cpuu_session_get_info(lane->session)->packs_streams;
    if (!can || u->box->no_packed_streams || !p->next_stream_open || u->tries || room < 256 ||
        !stream_bytes(p, &u->work->op->set[p->next_value], &data, &size))
        return false;
    const uint32_t each = CPUU_MAX_PAYLOAD - 2 - 6 - 4 * b->n_slots;
    uint32_t first = room - 64, left = size - p->next_at;
    if (left <= PART_ROOM)
        return false;
    first = first < left - 1 ? first : left - 1;
    cpuu_rop_write_stream_extended(&b->body, p->stream_slot, data + p->next_at, (uint16_t)first);
    cpuu_batch_step(b, u, CPUU_ROP_WRITE_STREAM_EXTENDED, p->stream_slot, WHAT_STREAM, NULL, 0);
    uint32_t at = p->next_at + first;
    for (unsigned i = 0; i < MAX_MORE && at + 1 < size; i++) {
        const uint32_t n = size - 1 - at < each ? size - 1 - at : each;
        pack_one(b, p, data + at, n, i + 1 == MAX_MORE || at + n + 1 == size);
        at += n;
    }
    p->packed = at - p->next_at;
    p->next_at = at;
    return true;
}

static void from_the_beginning(struct cpuu_parts *p)
{
    p->message = p->stream = CPUU_NO_HANDLE;
    p->value = p->at = 0;
    p->stream_open = p->small = false;
}

/* Where the last answered request left it; from the beginning when the context was lost. */
static void parts_resume(struct cpuu_parts *p, const cpuu_lane *lane)
{
    if (p->message != CPUU_NO_HANDLE && (p->lane != lane || p->generation != lane->generation))
        from_the_beginning(p);
    p->next_value = p->value;
    p->next_at = p->at;
    p->next_stream_open = p->stream_open;
    p->next_small = p->small;
    p->last = p->refused = false;
    p->packed = 0;
}

/* Takes leave of the message as far as it was written. */
static void forget(struct cpuu_parts *p, cpuu_lane *lane)
{
    if (p->lane == lane && p->generation == lane->generation) {
        cpuu_lane_release_later(lane, p->stream);
        cpuu_lane_release_later(lane, p->message);
    }
    from_the_beginning(p);
}

static bool parts_again(cpuu_unit *u, cpuu_lane *lane)
{
    struct cpuu_parts *p = u->work->parts;
    if (p->last || ++p->begun >= MAX_ANEW || cpuu_work_failed(u->work))
        return false;
    u->box->no_packed_streams = u->box->no_packed_streams || p->packed;
    forget(p, lane);
    return true;
}

static void parts_fill(cpuu_unit *u, cpuu_lane *lane, cpuu_batch *b)
{
    struct cpuu_parts *p = u->work->parts;
    const cpuu_mail_op *op = u->work->op;
    parts_resume(p, lane);
    p->message_slot =
        p->message == CPUU_NO_HANDLE ? cpuu_write_begin_message(u, b)
                                     : cpuu_batch_slot(b, p->message);
    if (p->next_stream_open)
        p->stream_slot = cpuu_batch_slot(b, p->stream);
    if (!p->next_small) {
        small_values(u, b, p->message_slot);
        p->next_small = true;
    }
    if (pack_pieces(u, lane, b, p))
        return;
    for (;;) {
        while (p->next_value < op->n_set && !by_stream(&op->set[p->next_value]))
            p->next_value++;
        if (p->next_value == op->n_set || !stream_piece(u, b, p))
            break;
    }
    if (p->next_value < op->n_set || room_left(b) < 64 + 4 * op->n_unset)
        return;
    cpuu_write_end_message(u, b, p->message_slot);
    p->last = true;
}

/* A packed write that was not carried out is no failure: it goes on without packing. */
static void parts_answer(cpuu_unit *u, cpuu_lane *lane, const cpuu_step *step,
                         const cpuu_rop_answer *a)
{
    struct cpuu_parts *p = u->work->parts;
    if (step->rop == CPUU_ROP_WRITE_STREAM_EXTENDED)
        p->refused = a->code || a->size != p->packed;
    else
        cpuu_write_answer(u, lane, step, a);
}

static void parts_finish(cpuu_unit *u, cpuu_lane *lane, const cpuu_rop_reply *reply)
{
    cpuu_work *w = u->work;
    struct cpuu_parts *p = w->parts;
    if (p->refused && parts_again(u, lane)) {
        lane->pinned = NULL;
        cpuu_unit_queue(u);
        return;
    }
    if (p->refused)
        cpuu_work_fail(w, CPUU_E_IO, "a large value was not written");
    u->tries = 0;
    if (!p->last)
        p->message = cpuu_reply_handle(reply, p->message_slot);
    p->stream = p->next_stream_open ? cpuu_reply_handle(reply, p->stream_slot) : CPUU_NO_HANDLE;
    p->lane = lane;
    p->generation = lane->generation;
    if (p->last || cpuu_work_failed(w)) {
        lane->pinned = NULL;
        if (!p->last) { /* not saved: closing it leaves nothing behind */
            cpuu_lane_release_later(lane, p->stream);
            cpuu_lane_release_later(lane, p->message);
        }
        cpuu_write_finish(u, lane, reply);
        return;
    }
    p->value = p->next_value;
    p->at = p->next_at;
    p->stream_open = p->next_stream_open;
    p->small = p->next_small;
    lane->pinned = u;
    cpuu_unit_queue(u);
}

/* Nothing of a message is there before its Save was sent. */
static void parts_fail(cpuu_unit *u, const cpuu_error *err, bool maybe_done)
{
    cpuu_work_fail_err(u->work, err);
    u->work->op->maybe_done = maybe_done && u->work->parts->last;
}

static const cpuu_unit_class parts_class = {.name = "large message",
                                            .writes = true,
                                            .alone = true,
                                            .fill = parts_fill,
                                            .answer = parts_answer,
                                            .finish = parts_finish,
                                            .again = parts_again,
                                            .fail = parts_fail};

const cpuu_unit_class *cpuu_parts_class(cpuu_work *w)
{
    w->parts = cpuu_arena_alloc(&w->scratch, sizeof(*w->parts));
    if (!w->parts) {
        cpuu_work_nomem(w);
        return NULL;
    }
    w->parts->message = w->parts->stream = CPUU_NO_HANDLE;
    cpuu_buf_init(&w->parts->text, 0);
    return &parts_class;
}

void cpuu_parts_free(cpuu_work *w)
{
    if (w->parts)
        cpuu_buf_free(&w->parts->text);
}

