/*
 * From queued units to requests and back: packs units into batches, sends each batch over a lane,
 * hands the answers out, and decides what is repeated. Promises: at most 0x7F00 bytes and 250 slots
 * per request; writes and unbounded reads never share one; a write that may have happened is never
 * repeated; units with the same key keep their order.
 */
#include "mailbox/pool.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/text.h"

#include <poll.h>
#include <string.h>

#define MAX_TRIES    3u
#define MAX_FAILURES 3u /* connections lost in a row before a lane is given up */
#define MAX_PAUSES   6u
#define MAX_PAUSE_MS 20000
#define MAX_SHRINK   6u
#define MAX_LEAKED   100u  /* the server's default limit is 250 open messages */
#define MAX_RELEASES 100u  /* per request */
#define TAIL_RESERVE 2048u /* room in the request kept for the chain that goes last */
#define TAIL_ANSWER  8000u /* and in the answer */
#define MIN_SHARE    1500u /* what a table may bring at least, in bytes of answer */

static void lane_go(cpuu_lane *lane);

/* ---- queue ----------------------------------------------------------------------------------- */

cpuu_unit *cpuu_unit_new(cpuu_mailbox *box, cpuu_work *work, const cpuu_unit_class *cls)
{
    cpuu_unit *u = cpuu_calloc(1, sizeof(*u));
    if (!u) {
        if (work)
            cpuu_work_nomem(work);
        return NULL;
    }
    u->cls = cls;
    u->box = box;
    u->work = work;
    if (work)
        work->pending++;
    return u;
}

static void queue_tail(cpuu_mailbox *box, cpuu_unit *u)
{
    u->next = NULL;
    if (box->tail)
        box->tail->next = u;
    else
        box->head = u;
    box->tail = u;
}

/* Reads that continue an operation come before writes that were asked for after it. */
void cpuu_unit_queue(cpuu_unit *u)
{
    cpuu_mailbox *box = u->box;
    cpuu_unit **at = &box->head;
    bool no_writes = !box->tail || !box->tail->cls->writes;
    if (u->cls->writes || no_writes || !u->work || !u->work->ready) {
        queue_tail(box, u);
        return;
    }
    while (*at && !(*at)->cls->writes)
        at = &(*at)->next;
    u->next = *at;
    *at = u;
    if (!u->next)
        box->tail = u;
}

static void queue_front(cpuu_mailbox *box, cpuu_unit *u)
{
    u->next = box->head;
    box->head = u;
    if (!box->tail)
        box->tail = u;
}

static void unqueue(cpuu_mailbox *box, cpuu_unit *u)
{
    cpuu_unit **at = &box->head, *before = NULL;
    while (*at != u) {
        before = *at;
        at = &(*at)->next;
    }
    *at = u->next;
    if (box->tail == u)
        box->tail = before;
    u->next = NULL;
}

static void unit_fail(cpuu_unit *u, const cpuu_error *err, bool maybe_done)
{
    if (u->cls->fail)
        u->cls->fail(u, err, maybe_done);
    else if (u->work) {
        cpuu_work_fail_err(u->work, err);
        u->work->op->maybe_done = u->work->op->maybe_done || (maybe_done && u->cls->writes);
    }
    cpuu_unit_done(u);
}

void cpuu_box_drop(cpuu_mailbox *box, const cpuu_error *err)
{
    while (box->head) {
        cpuu_unit *u = box->head;
        unqueue(box, u);
        unit_fail(u, err, false);
    }
}

/* ---- batch ----------------------------------------------------------------------------------- */

static void batch_reset(cpuu_batch *b)
{
    cpuu_buf_reset(&b->body);
    b->body.max = 0x20000;
    b->n_slots = 0;
    b->n_steps = 0;
    b->n_units = 0;
    b->expected = 0;
    b->share = b->fresh_share = 0;
    b->writes = b->chain = b->full = false;
}

uint8_t cpuu_batch_slot(cpuu_batch *b, uint32_t handle)
{
    if (b->n_slots >= CPUU_MAX_SLOTS) {
        b->full = true;
        return 0;
    }
    b->handles[b->n_slots] = handle;
    return (uint8_t)b->n_slots++;
}

void cpuu_batch_step(cpuu_batch *b, cpuu_unit *u, uint8_t rop, uint8_t slot, uint16_t what,
                     const uint32_t *columns, uint32_t n_columns)
{
    if (!cpuu_grow(&b->steps, &b->steps_cap, b->n_steps, sizeof(*b->steps))) {
        b->full = true;
        return;
    }
    cpuu_step s = {u, rop, slot, what, columns, n_columns};
    b->steps[b->n_steps++] = s;
    if (u)
        u->left++;
}

uint8_t cpuu_batch_open_folder(cpuu_batch *b, cpuu_unit *u, uint64_t fid, uint16_t what)
{
    uint8_t slot = cpuu_batch_slot(b, CPUU_NO_HANDLE);
    cpuu_rop_open_folder(&b->body, 0, slot, fid);
    cpuu_batch_step(b, u, CPUU_ROP_OPEN_FOLDER, slot, what, NULL, 0);
    b->expected += 16;
    return slot;
}

uint8_t cpuu_batch_open_message(cpuu_batch *b, cpuu_unit *u, uint64_t fid, uint64_t mid,
                                uint8_t mode, uint16_t what)
{
    uint8_t slot = cpuu_batch_slot(b, CPUU_NO_HANDLE);
    cpuu_rop_open_message(&b->body, 0, slot, fid, mid, mode);
    cpuu_batch_step(b, u, CPUU_ROP_OPEN_MESSAGE, slot, what, NULL, 0);
    b->expected += 100; /* subject and the first recipients come along */
    return slot;
}

uint32_t cpuu_reply_handle(const cpuu_rop_reply *reply, uint8_t slot)
{
    return reply && slot < reply->n_handles ? cpuu_le32(reply->handles + 4u * slot)
                                            : CPUU_NO_HANDLE;
}

static size_t payload_size(const cpuu_batch *b)
{
    return b->body.size + 4u * b->n_slots;
}

static uint32_t share_limit(const cpuu_lane *lane)
{
    return CPUU_SHARE_BYTES >> lane->shrink;
}

static size_t request_limit(const cpuu_lane *lane)
{
    uint32_t target = lane->box->mail->options.batch_bytes;
    return target ? target : 28u * 1024u;
}

/* Adds one unit, or leaves the batch as it was. */
static bool batch_take(cpuu_lane *lane, cpuu_unit *u, size_t limit, uint32_t answers)
{
    cpuu_batch *b = &lane->batch;
    size_t body = b->body.size, steps = b->n_steps;
    uint32_t slots = b->n_slots, expected = b->expected;
    bool first = b->n_units == 0;

    u->left = 0;
    u->hit = false;
    if (!cpuu_grow(&b->units, &b->units_cap, b->n_units, sizeof(*b->units)))
        b->full = true;
    else
        u->cls->fill(u, lane, b);
    bool fits = !b->full && !b->body.failed &&
                payload_size(b) <= (first ? CPUU_MAX_PAYLOAD : limit) &&
                (first || b->expected <= answers);
    if (fits) {
        unqueue(lane->box, u);
        b->units[b->n_units++] = u;
        return true;
    }
    b->body.size = body;
    b->body.failed = b->full = false;
    b->n_steps = steps;
    b->n_slots = slots;
    b->expected = expected;
    return false;
}

static bool key_busy(const cpuu_mailbox *box, const cpuu_lane *except, uint64_t key)
{
    for (uint32_t i = 0; key && i < box->max_lanes; i++) {
        const cpuu_lane *l = &box->lanes[i];
        if (l == except || l->state != CPUU_LANE_BUSY)
            continue;
        for (size_t k = 0; k < l->batch.n_units; k++)
            if (l->batch.units[k]->key == key)
                return true;
    }
    return false;
}

static bool other_kind_busy(const cpuu_mailbox *box, bool writes)
{
    for (uint32_t i = 0; i < box->max_lanes; i++) {
        const cpuu_lane *l = &box->lanes[i];
        if (l->state == CPUU_LANE_BUSY && l->batch.n_units && l->batch.writes != writes)
            return true;
    }
    return false;
}

/* A table that is open on a lane is continued there while that lane's context lives. */
static bool tied_elsewhere(const cpuu_unit *u, const cpuu_lane *lane)
{
    const cpuu_lane *held = u->work ? u->work->held_lane : NULL;
    return held && held != lane && held->generation == u->work->held_generation &&
           held->state != CPUU_LANE_DEAD;
}

static bool eligible(const cpuu_unit *u, const cpuu_lane *lane)
{
    if (lane->pinned)
        return u == lane->pinned;
    for (uint32_t i = 0; i < lane->box->max_lanes; i++)
        if (lane->box->lanes[i].pinned == u)
            return false;
    return !tied_elsewhere(u, lane) && !key_busy(lane->box, lane, u->key);
}

/* Ranges of one table are read side by side, each in a request of its own. */
static bool only_as_tail(const cpuu_unit *u)
{
    return u->cls->tail || (u->cls->paged && u->work->is_range);
}

/* What goes last and takes all the room that is left: a stream, or the table with most to come. */
static cpuu_unit *choose_tail(const cpuu_lane *lane)
{
    cpuu_unit *best = NULL;
    uint64_t most = 0;
    for (cpuu_unit *u = lane->box->head; u && !u->cls->writes; u = u->next) {
        if (!eligible(u, lane) || u->cls->alone)
            continue;
        if (u->cls->tail)
            return u;
        uint64_t left = u->cls->paged ? cpuu_read_bytes_left(u->work) : 0;
        if (left > most) {
            best = u;
            most = left;
        }
    }
    return best;
}

static bool is_known(const cpuu_unit *u)
{
    return u->work->row_bytes != 0;
}

/* What a table that was read before may take of the room there is for all of them: those that need
 * less than an even part leave the rest of it to the others. */
static uint32_t even_share(const cpuu_lane *lane, const cpuu_unit *tail, uint32_t room)
{
    uint32_t share = 0;
    for (unsigned round = 0; round < 4; round++) {
        uint64_t taken = 0;
        uint32_t n = 0;
        for (const cpuu_unit *u = lane->box->head; u && !u->cls->writes; u = u->next) {
            if (u == tail || !u->cls->paged || only_as_tail(u) || !is_known(u) ||
                !eligible(u, lane))
                continue;
            if (cpuu_read_bytes_left(u->work) <= share)
                taken += cpuu_read_bytes_left(u->work);
            else
                n++;
        }
        uint32_t next = taken < room ? (uint32_t)(room - taken) / (n ? n : 1) : 0;
        if (next <= share)
            break;
        share = next;
    }
    return share;
}

/* Divides the room in an answer among the tables but the tail. Most tables are short: little is
 * kept for one that nothing is known about, but it may take more. */
static void share_out(cpuu_lane *lane, const cpuu_unit *tail, uint32_t room)
{
    uint32_t n = 0, fresh = 0;
    for (const cpuu_unit *u = lane->box->head; u && !u->cls->writes; u = u->next) {
        if (u == tail || !u->cls->paged || only_as_tail(u) || !eligible(u, lane))
            continue;
        n++;
        fresh += !is_known(u);
    }
    uint32_t part = room / (n ? n : 1);
    uint32_t kept = fresh * (part < CPUU_FRESH_BYTES ? part : CPUU_FRESH_BYTES);
    uint32_t known = even_share(lane, tail, room - kept);
    lane->batch.share = known > MIN_SHARE ? known : MIN_SHARE;
    lane->batch.fresh_share = part * 2 > MIN_SHARE ? part * 2 : MIN_SHARE;
}

static void pack_reads(cpuu_lane *lane)
{
    cpuu_batch *b = &lane->batch;
    cpuu_unit *tail = choose_tail(lane), *next;
    uint32_t answers = share_limit(lane);
    uint32_t mine =
        tail ? answers - (answers > TAIL_ANSWER * 2 ? TAIL_ANSWER : answers / 2) : answers;
    size_t limit = request_limit(lane) - (tail ? TAIL_RESERVE : 0);

    share_out(lane, tail, mine);
    for (cpuu_unit *u = lane->box->head; u && !u->cls->writes; u = next) {
        next = u->next;
        if (u == tail || only_as_tail(u) || u->cls->alone || !eligible(u, lane))
            continue;
        if (!batch_take(lane, u, limit, mine))
            break;
        if (lane->shrink >= MAX_SHRINK)
            return;
    }
    b->share = b->fresh_share = 0;
    b->chain_out = CPUU_CHAIN_ROP_OUT;
    if (!tail || (b->n_units && lane->shrink >= 2))
        return;
    b->chain = batch_take(lane, tail, CPUU_MAX_PAYLOAD, UINT32_MAX);
}

static void pack_writes(cpuu_lane *lane)
{
    cpuu_unit *next;
    lane->batch.writes = true;
    for (cpuu_unit *u = lane->box->head; u && u->cls->writes; u = next) {
        next = u->next;
        if (u->cls->alone || !eligible(u, lane))
            continue;
        if (!batch_take(lane, u, request_limit(lane), share_limit(lane)))
            break;
    }
}

static cpuu_unit *first_eligible(const cpuu_lane *lane)
{
    for (cpuu_unit *u = lane->box->head; u; u = u->next)
        if (eligible(u, lane))
            return u;
    return NULL;
}

/* Logon when there is none yet, and releases of what earlier requests left open. */
static void batch_begin(cpuu_lane *lane)
{
    cpuu_batch *b = &lane->batch;
    batch_reset(b);
    cpuu_buf_u16(&b->body, 0);
    uint8_t logon = cpuu_batch_slot(b, lane->logged_on ? lane->logon_handle : CPUU_NO_HANDLE);
    if (!lane->logged_on) {
        cpuu_box_logon_fill(lane->box, &b->body, logon);
        cpuu_batch_step(b, NULL, CPUU_ROP_LOGON, logon, 0, NULL, 0);
        b->expected += 200;
    }
    for (size_t n = 0; lane->n_releases && n < MAX_RELEASES; n++) {
        uint8_t slot = cpuu_batch_slot(b, lane->releases[--lane->n_releases]);
        cpuu_rop_release(&b->body, slot);
    }
}

void cpuu_lane_release_later(cpuu_lane *lane, uint32_t handle)
{
    if (handle == CPUU_NO_HANDLE)
        return;
    if (!cpuu_grow(&lane->releases, &lane->releases_cap, lane->n_releases, sizeof(*lane->releases)))
        lane->leaked++; /* it stays open until the context ends */
    else
        lane->releases[lane->n_releases++] = handle;
}

/* Fills the lane's batch from the queue. False: there is nothing to send. */
static bool batch_build(cpuu_lane *lane)
{
    cpuu_batch *b = &lane->batch;
    cpuu_unit *first = first_eligible(lane);
    bool logon_only = !lane->logged_on && !lane->box->known;

    if (!logon_only && (!first || other_kind_busy(lane->box, first->cls->writes)))
        return false;
    batch_begin(lane);
    if (logon_only)
        return !b->full && !b->body.failed;
    b->writes = first->cls->writes;
    if (first->cls->alone)
        batch_take(lane, first, CPUU_MAX_PAYLOAD, UINT32_MAX);
    else if (first->cls->writes)
        pack_writes(lane);
    else
        pack_reads(lane);
    if (b->n_units)
        return true;
    cpuu_error err = CPUU_ERROR_INIT; /* not even alone: too long for one request */
    cpuu_fail(&err, CPUU_E_TOOBIG, "%s: an object is too large for one request", lane->box->name);
    unqueue(lane->box, first);
    unit_fail(first, &err, false);
    return batch_build(lane);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void requeue(cpuu_lane *lane, size_t from)
{
    for (size_t i = lane->batch.n_units; i > from; i--)
        queue_front(lane->box, lane->batch.units[i - 1]);
    lane->batch.n_units = from;
}

/* Forgets everything that belonged to the server context. */
static void context_gone(cpuu_lane *lane)
{
    lane->logged_on = false;
    lane->generation++;
    lane->n_releases = 0;
    lane->leaked = 0;
}

static void lane_dead(cpuu_lane *lane, const cpuu_error *err)
{
    cpuu_mailbox *box = lane->box;
    lane->state = CPUU_LANE_DEAD;
    lane->pinned = NULL;
    for (uint32_t i = 0; i < box->max_lanes; i++)
        if (&box->lanes[i] != lane && box->lanes[i].state != CPUU_LANE_DEAD &&
            (i == 0 || box->lanes[i].state != CPUU_LANE_NEW))
            return;
    if (box->rc == CPUU_OK && !box->known) {
        box->rc = err->rc;
        box->error = *err;
    }
    cpuu_box_drop(box, err);
}

/* The batch's units that may be repeated go back to the queue; the others fail. Reads that failed
 * together have their last try alone: what a server cannot stand costs nobody else. */
static void batch_failed(cpuu_lane *lane, const cpuu_error *err, bool maybe_done, bool hopeless)
{
    cpuu_batch *b = &lane->batch;
    const bool together = !b->writes && b->n_units > 1;
    for (size_t i = b->n_units; i > 0; i--) {
        cpuu_unit *u = b->units[i - 1];
        bool lost = u->cls->writes && maybe_done;
        u->tries += !together || u->tries + 1 < MAX_TRIES;
        if (together && u->tries + 1 == MAX_TRIES)
            lane->shrink = MAX_SHRINK;
        if (!hopeless && !lost && u->tries < MAX_TRIES) {
            queue_front(lane->box, u);
            continue;
        }
        cpuu_error e = *err;
        if (lost)
            e.rc = e.rc == CPUU_E_STOP || e.rc == CPUU_E_NOMEM ? e.rc : CPUU_E_IO;
        if (lane->pinned == u)
            lane->pinned = NULL;
        unit_fail(u, &e, lost);
    }
    b->n_units = 0;
}

static void lane_wait(cpuu_lane *lane, uint32_t ms)
{
    lane->wait_until = cpuu_clock_ms() + (ms < MAX_PAUSE_MS ? ms : MAX_PAUSE_MS);
    lane->state = CPUU_LANE_WAITING;
}

/* The server asked to come back later. False: it has asked often enough. */
static bool lane_pause(cpuu_lane *lane, uint32_t retry_after_s)
{
    if (++lane->pauses > MAX_PAUSES)
        return false;
    uint32_t ms = retry_after_s ? retry_after_s * 1000u : 250u << lane->pauses;
    cpuu_logf(lane->box->mail->log, CPUU_LV_TRACEW, "%s: the server is busy, trying again in %u ms",
              lane->box->name, ms);
    lane_wait(lane, ms);
    return true;
}

/* The answers did not fit, or the request was refused as a whole: smaller ones from now on. */
static void batch_refused(cpuu_lane *lane, const cpuu_call *call)
{
    cpuu_batch *b = &lane->batch;
    bool alone = b->n_units <= 1 && lane->shrink >= MAX_SHRINK;
    lane->leaked += b->n_slots;
    if (b->writes || alone || call->rc == CPUU_E_ACCESS) {
        batch_failed(lane, &call->error, call->maybe_done, true);
        return;
    }
    lane->shrink = b->n_units <= 1                 ? MAX_SHRINK
                   : lane->shrink + 1 < MAX_SHRINK ? lane->shrink + 1
                                                   : MAX_SHRINK;
    requeue(lane, 0);
}

/* No answer, or the context is gone. */
static void batch_lost(cpuu_lane *lane, const cpuu_call *call)
{
    cpuu_error err = call->error;
    bool gone = !cpuu_session_connected(lane->session);
    bool hopeless = call->rc == CPUU_E_AUTH || call->rc == CPUU_E_ACCESS;
    if (gone) {
        context_gone(lane);
        lane->pinned = NULL; /* what it wrote in parts was not saved, and begins again */
    }
    if (call->rc == CPUU_E_STOP || call->rc == CPUU_E_NOMEM)
        lane->box->mail->fatal = call->rc;
    batch_failed(lane, &err, call->maybe_done, hopeless || lane->box->mail->fatal != CPUU_OK);
    lane->state = gone ? CPUU_LANE_NEW : CPUU_LANE_READY;
    if (lane->box->mail->fatal != CPUU_OK || hopeless || ++lane->failures > MAX_FAILURES)
        lane_dead(lane, &err);
    else if (call->rc == CPUU_E_BUSY && !lane_pause(lane, call->retry_after_s))
        lane_dead(lane, &err);
}

static void format_error(cpuu_lane *lane, const cpuu_reader *r, cpuu_error *err)
{
    cpuu_fail(err, CPUU_E_FORMAT, "%s: the server's response cannot be read: %s at byte %u %s",
              lane->box->name, r->error.field, r->error.offset, r->error.what);
}

/* One answer to the step it belongs to. False: the rest of the response is not for us. */
static bool hand_out(cpuu_lane *lane, size_t *at, const cpuu_rop_answer *a, cpuu_reader *r)
{
    cpuu_batch *b = &lane->batch;
    const cpuu_step *s = &b->steps[*at < b->n_steps ? *at : b->n_steps - 1];
    if (a->rop == CPUU_ROP_NOTIFY || a->rop == CPUU_ROP_PENDING)
        return true;
    if (a->rop != s->rop) {
        cpuu_reader_fail(r, "RopId", "is not the one that was asked");
        return false;
    }
    if (*at < b->n_steps)
        (*at)++;
    if (!s->unit)
        return true; /* Logon: looked at before */
    if (*at <= b->n_steps && s->unit->left)
        s->unit->left--;
    s->unit->hit = true;
    s->unit->cls->answer(s->unit, lane, s, a);
    return true;
}

typedef enum outcome {
    READ_ALL,
    READ_SHORT,
    READ_LOGON_AGAIN,
    READ_LOGON_FAILED,
    READ_BAD
} outcome;

static outcome logon_answer(cpuu_lane *lane, const cpuu_rop_reply *reply, const cpuu_rop_answer *a)
{
    bool again = false;
    if (!cpuu_box_logon_answer(lane->box, lane, a, &again))
        return again ? READ_LOGON_AGAIN : READ_LOGON_FAILED;
    lane->logged_on = true;
    lane->logon_handle = cpuu_reply_handle(reply, 0);
    return READ_ALL;
}

/* Decodes the payloads and hands the answers out. */
static outcome read_answers(cpuu_lane *lane, const cpuu_call *call, cpuu_error *err)
{
    cpuu_batch *b = &lane->batch;
    cpuu_rop_answer *a = &lane->box->mail->answer;
    size_t at = 0;
    bool nomem = false;
    for (size_t p = 0; p < call->n_replies; p++) {
        cpuu_reader r;
        cpuu_reader_init(&r, call->replies[p].rops, call->replies[p].rops_size);
        while (cpuu_reader_left(&r)) {
            const cpuu_step *s = &b->steps[at < b->n_steps ? at : b->n_steps - 1];
            if (!cpuu_rop_decode(&r, s->columns, s->n_columns, a, &nomem))
                break;
            if (a->rop == CPUU_ROP_BUFFER_TOO_SMALL || a->rop == CPUU_ROP_BACKOFF)
                return READ_SHORT;
            if (a->rop == CPUU_ROP_LOGON && at == 0 && !s->unit) {
                outcome o = logon_answer(lane, &call->replies[p], a);
                if (o != READ_ALL)
                    return o;
            }
            if (!hand_out(lane, &at, a, &r))
                break;
        }
        if (nomem) {
            lane->box->mail->fatal = cpuu_nomem(err);
            return READ_BAD;
        }
        if (r.failed) {
            format_error(lane, &r, err);
            return READ_BAD;
        }
    }
    return at < b->n_steps ? READ_SHORT : READ_ALL;
}

/* A unit without all its answers: again, unless it changes something or never gets anywhere. */
static void unit_again(cpuu_lane *lane, cpuu_unit *u, bool progress)
{
    cpuu_error err = CPUU_ERROR_INIT;
    bool changed = u->cls->writes && u->hit;
    u->tries += !progress;
    if (!changed && u->tries < MAX_TRIES * 2) {
        queue_front(lane->box, u);
        return;
    }
    cpuu_fail(&err, changed ? CPUU_E_IO : CPUU_E_TOOBIG,
              changed ? "%s: the server stopped in the middle of a change"
                      : "%s: the server does not answer a part of a request",
              lane->box->name);
    unit_fail(u, &err, changed);
}

/* Units with all their answers go on; those without go back to the queue, in their order. */
static void finish_units(cpuu_lane *lane, const cpuu_call *call, bool short_answer)
{
    cpuu_batch *b = &lane->batch;
    size_t n = b->n_units;
    bool progress = false;
    for (size_t i = 0; i < n; i++) {
        cpuu_unit *u = b->units[i];
        if (u->left)
            continue;
        progress = true;
        b->units[i] = NULL;
        u->cls->finish(u, lane, &call->replies[0]);
    }
    for (size_t i = n; i > 0; i--)
        if (b->units[i - 1])
            unit_again(lane, b->units[i - 1], progress);
    b->n_units = 0;
    if (short_answer) {
        lane->leaked += b->n_slots;
        if (!progress && lane->shrink < MAX_SHRINK)
            lane->shrink++;
    }
}

/* Who of them asked for what cannot be read shows when each asks alone. Where a table stands that was
 * open is not known any more. */
static void batch_unreadable(cpuu_lane *lane, const cpuu_error *err)
{
    cpuu_batch *b = &lane->batch;
    for (size_t i = 0; i < b->n_units; i++)
        b->units[i]->tries = MAX_TRIES - 1;
    lane->generation++;
    lane->leaked += b->n_slots;
    batch_failed(lane, err, true, lane->box->mail->fatal != CPUU_OK);
}

/* The mailbox is on another server: a session of its own there. */
static void lane_elsewhere(cpuu_lane *lane)
{
    lane->box->moved = false;
    cpuu_session_free(lane->session);
    lane->session = NULL;
    context_gone(lane);
    lane->state = CPUU_LANE_NEW;
}

static void batch_answered(cpuu_lane *lane, const cpuu_call *call)
{
    cpuu_error err = CPUU_ERROR_INIT;
    bool writes = lane->batch.writes;
    lane->state = CPUU_LANE_READY;
    lane->failures = 0;
    if (writes)
        cpuu_fault_step("mailbox.written");
    switch (read_answers(lane, call, &err)) {
    case READ_ALL:
        lane->pauses = 0;
        if (!writes && lane->batch.n_units)
            lane->shrink = 0; /* the sizes expected are now those that were seen */
        finish_units(lane, call, false);
        break;
    case READ_SHORT:
        if (lane->box->mail->answer.rop == CPUU_ROP_BACKOFF)
            lane_wait(lane, lane->box->mail->answer.duration);
        finish_units(lane, call, true);
        break;
    case READ_LOGON_AGAIN:
        requeue(lane, 0);
        if (lane->box->moved)
            lane_elsewhere(lane);
        break;
    case READ_LOGON_FAILED:
        requeue(lane, 0);
        lane_dead(lane, &lane->box->error);
        break;
    case READ_BAD:
        batch_unreadable(lane, &err);
        break;
    }
}

/* ---- lanes ----------------------------------------------------------------------------------- */

/* Servers disagree about whose DN Connect names, the account's or that of the mailbox's owner. The
 * second one is tried when the first is refused; what is reported is what was said of the first. */
static bool connect_as_owner(cpuu_lane *lane, const cpuu_call *call)
{
    cpuu_mailbox *box = lane->box;
    if (box->known || box->as_owner || !box->dn || call->end != CPUU_CALL_ANSWERED ||
        cpuu_caseeq(box->dn, box->endpoint->account_dn))
        return false;
    box->as_owner = true;
    box->error = call->error;
    cpuu_session_free(lane->session);
    lane->session = NULL;
    return true;
}

static void connected(cpuu_lane *lane, const cpuu_call *call)
{
    cpuu_mailbox *box = lane->box;
    if (call->rc >= 0) {
        lane->state = CPUU_LANE_READY;
        lane->failures = 0;
        box->error.rc = box->rc;
        return;
    }
    cpuu_error err = call->error;
    lane->state = CPUU_LANE_NEW;
    if (call->rc == CPUU_E_STOP || call->rc == CPUU_E_NOMEM)
        lane->box->mail->fatal = call->rc;
    else if (call->rc == CPUU_E_BUSY && lane_pause(lane, call->retry_after_s))
        return;
    else if (call->rc == CPUU_E_NETWORK && call->end != CPUU_CALL_ANSWERED &&
             ++lane->failures < MAX_FAILURES && lane->box->known)
        return;
    else if (connect_as_owner(lane, call))
        return;
    lane_dead(lane, box->as_owner && box->error.rc < 0 ? &box->error : &err);
}

static void call_done(cpuu_call *call)
{
    cpuu_lane *lane = call->user;
    lane->box->answering = true;
    switch (lane->state) {
    case CPUU_LANE_CONNECTING:
        connected(lane, call);
        break;
    case CPUU_LANE_LEAVING:
        context_gone(lane);
        lane->state = CPUU_LANE_NEW;
        break;
    case CPUU_LANE_BUSY:
        if (call->end == CPUU_CALL_ANSWERED && call->rc >= 0)
            batch_answered(lane, call);
        else if (call->end == CPUU_CALL_ANSWERED && call->rc != CPUU_E_BUSY) {
            lane->state = CPUU_LANE_READY;
            batch_refused(lane, call);
        } else {
            batch_lost(lane, call);
        }
        break;
    default:
        break;
    }
    cpuu_call_clear(call);
    lane->box->answering = false;
    if (lane->box->mail->fatal == CPUU_OK)
        cpuu_box_schedule(lane->box);
}

static void send_batch(cpuu_lane *lane)
{
    cpuu_batch *b = &lane->batch;
    cpuu_buf_put_u16(&b->body, 0, (uint16_t)b->body.size);
    for (uint32_t i = 0; i < b->n_slots; i++)
        cpuu_buf_u32(&b->body, b->handles[i]);
    memset(&lane->call, 0, sizeof(lane->call));
    lane->call.body = b->body.data;
    lane->call.body_size = b->body.size;
    lane->call.chain = b->chain;
    lane->call.max_rop_out = b->chain ? b->chain_out : 0;
    lane->call.on_done = call_done;
    lane->call.user = lane;
    if (b->writes)
        cpuu_fault_step("mailbox.write");
    lane->state = CPUU_LANE_BUSY;
    cpuu_session_execute(lane->session, &lane->call);
}

static bool lane_session(cpuu_lane *lane, cpuu_error *err)
{
    const cpuu_mailbox *box = lane->box;
    if (lane->session)
        return true;
    cpuu_session_options o = {.kind = CPUU_SESSION_MAILBOX,
                              .url = box->url ? box->url : box->endpoint->emsmdb_url,
                              .user_dn = box->as_owner ? box->dn : box->endpoint->account_dn,
                              .name = box->name,
                              .credentials = box->endpoint->credentials,
                              .number = ++box->mail->contexts};
    memcpy(o.client_guid, box->mail->client_guid, sizeof(o.client_guid));
    return cpuu_session_new(box->mail->http, &o, box->mail->log, &lane->session, err) == CPUU_OK;
}

static void lane_connect(cpuu_lane *lane)
{
    cpuu_error err = CPUU_ERROR_INIT;
    if (!lane_session(lane, &err)) {
        lane_dead(lane, &err);
        return;
    }
    context_gone(lane);
    memset(&lane->call, 0, sizeof(lane->call));
    lane->call.on_done = call_done;
    lane->call.user = lane;
    lane->state = CPUU_LANE_CONNECTING;
    cpuu_session_connect(lane->session, &lane->call);
}

static void lane_leave(cpuu_lane *lane)
{
    memset(&lane->call, 0, sizeof(lane->call));
    lane->call.on_done = call_done;
    lane->call.user = lane;
    lane->state = CPUU_LANE_LEAVING;
    cpuu_session_disconnect(lane->session, &lane->call);
}

static void lane_go(cpuu_lane *lane)
{
    if (lane->state == CPUU_LANE_WAITING && cpuu_clock_ms() >= lane->wait_until)
        lane->state = lane->session && cpuu_session_connected(lane->session) ? CPUU_LANE_READY
                                                                             : CPUU_LANE_NEW;
    bool needed = lane->box->head || (!lane->box->known && lane->box->rc == CPUU_OK);
    if (!needed)
        return;
    if (lane->state == CPUU_LANE_NEW)
        lane_connect(lane);
    else if (lane->state == CPUU_LANE_READY && lane->leaked > MAX_LEAKED && !lane->pinned)
        lane_leave(lane);
    else if (lane->state == CPUU_LANE_READY && batch_build(lane))
        send_batch(lane);
}

/* Requests that would follow one another if no further lane were opened. */
static uint32_t backlog(const cpuu_mailbox *box)
{
    uint64_t cost = 0, answers = 0, key = 0;
    uint32_t n = 0;
    for (const cpuu_unit *u = box->head; u; u = u->next) {
        if (u->key && u->key == key)
            continue;
        key = u->key;
        if (only_as_tail(u) || u->cls->alone)
            n++;
        cost += u->cls->writes ? u->cost : 0;
        answers += u->cls->writes || u->cls->paged ? 0 : u->expected;
    }
    return n + (uint32_t)(cost / (20u * 1024u)) + (uint32_t)(answers / CPUU_SHARE_BYTES);
}

/* A further context costs Connect and a Logon that rides with its first batch: it pays from three
 * requests on. */
void cpuu_box_schedule(cpuu_mailbox *box)
{
    uint32_t live = 0, first_new = box->max_lanes;
    if (box->answering)
        return;
    for (uint32_t i = 0; i < box->max_lanes; i++) {
        cpuu_lane *lane = &box->lanes[i];
        if (lane->state == CPUU_LANE_NEW && i > 0)
            first_new = first_new < i ? first_new : i;
        else
            lane_go(lane);
        live += lane->state != CPUU_LANE_NEW && lane->state != CPUU_LANE_DEAD;
    }
    uint32_t behind = box->known ? backlog(box) : 0;
    uint32_t want = behind >= 3 ? 1 + behind / 2 : live;
    if (want == 0 && box->head && box->known)
        want = 1; /* the first lane was given up */
    for (uint32_t i = first_new; i < box->max_lanes && live < want; i++) {
        if (box->lanes[i].state != CPUU_LANE_NEW)
            continue;
        lane_connect(&box->lanes[i]);
        live++;
    }
}

/* As for a backlog, but in good time: Connect goes on while something else is waited for. */
void cpuu_mailbox_will_write(cpuu_mailbox *box, size_t bytes)
{
    const size_t requests = bytes / (28u * 1024u) + 1;
    for (uint32_t i = 1; i < box->max_lanes && requests >= 3 && i < requests; i++) {
        if (box->known && box->lanes[i].state == CPUU_LANE_NEW)
            lane_connect(&box->lanes[i]);
    }
}

/* Milliseconds until a waiting lane may go on; -1: none waits. */
static int64_t next_wake(const cpuu_mail *mail)
{
    int64_t least = -1, now = cpuu_clock_ms();
    for (const cpuu_mailbox *box = mail->boxes; box; box = box->next)
        for (uint32_t i = 0; i < box->max_lanes; i++) {
            const cpuu_lane *l = &box->lanes[i];
            if (l->state != CPUU_LANE_WAITING || (!box->head && box->known))
                continue;
            int64_t left = l->wait_until > now ? l->wait_until - now : 0;
            least = least < 0 || left < least ? left : least;
        }
    return least;
}

static void drop_all(cpuu_mail *mail, const cpuu_error *err)
{
    for (cpuu_mailbox *box = mail->boxes; box; box = box->next)
        cpuu_box_drop(box, err);
    for (cpuu_directory *d = mail->directories; d; d = cpuu_directory_next(d))
        cpuu_directory_finish(d, err);
}

/* Everything somebody waits for is there: what is read ahead of time is not waited for. */
static bool have_all(const cpuu_mail *mail)
{
    if (mail->works_left)
        return false;
    for (const cpuu_mailbox *box = mail->boxes; box; box = box->next)
        if (box->claimed && !box->known && box->rc == CPUU_OK)
            return false;
    for (const cpuu_directory *d = mail->directories; d; d = cpuu_directory_next(d))
        if (!cpuu_directory_idle(d))
            return false;
    return true;
}

/* When all is to end, all of it has; else everything is there, or a lane's pause is over, which
 * does not wait for requests that have nothing to do with it. */
static bool have_enough(void *user)
{
    const cpuu_mail *mail = user;
    if (mail->fatal != CPUU_OK)
        return !cpuu_mail_under_way(mail);
    return have_all(mail) || next_wake(mail) == 0;
}

cpuu_rc cpuu_mail_drive(cpuu_mail *mail, cpuu_error *err)
{
    cpuu_error why = CPUU_ERROR_INIT;
    for (;;) {
        if (mail->fatal == CPUU_OK)
            for (cpuu_mailbox *box = mail->boxes; box; box = box->next)
                cpuu_box_schedule(box);
        cpuu_rc rc = cpuu_http_drive_until(mail->http, have_enough, mail, &why);
        if (rc < 0 && mail->fatal == CPUU_OK)
            mail->fatal = rc;
        if (mail->fatal != CPUU_OK)
            break;
        if (have_all(mail))
            return CPUU_OK;
        int64_t ms = next_wake(mail);
        if (ms < 0)
            break;
        poll(NULL, 0, (int)(ms < 500 ? ms : 500)); /* short naps, so that a stop is seen */
    }
    if (mail->fatal == CPUU_OK) {
        cpuu_fail(&why, CPUU_E_FAILED, "the mailbox layer has lost an operation");
        drop_all(mail, &why); /* normally there is nothing left */
        return CPUU_OK;
    }
    if (why.rc == CPUU_OK)
        cpuu_fail(&why, mail->fatal, mail->fatal == CPUU_E_STOP ? "stopped" : "out of memory");
    drop_all(mail, &why);
    cpuu_rc rc = mail->fatal;
    mail->fatal = CPUU_OK;
    if (err)
        *err = why;
    return rc;
}

static void lane_free(cpuu_lane *lane)
{
    cpuu_session_free(lane->session);
    cpuu_call_clear(&lane->call);
    cpuu_buf_free(&lane->batch.body);
    cpuu_free(lane->batch.steps);
    cpuu_free(lane->batch.units);
    cpuu_free(lane->releases);
}

void cpuu_box_free(cpuu_mailbox *box)
{
    for (uint32_t i = 0; i < CPUU_MAX_LANES; i++)
        lane_free(&box->lanes[i]);
    cpuu_ahead_free(box);
    cpuu_ids_free(&box->ids);
    cpuu_buf_free(&box->store_eid);
    cpuu_free(box->dn);
    cpuu_free(box->smtp);
    cpuu_free(box->name);
    cpuu_free(box->url);
    cpuu_free(box);
}
