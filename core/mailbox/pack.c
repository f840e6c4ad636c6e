/*
 * From queued units to the next request of a lane: which units go into it, in what order, and how the
 * room in the answer is divided among tables. Promises: at most 0x7F00 bytes and 250 slots per
 * request; writes and unbounded reads never share one; units with the same key keep their order.
 */
#include "mailbox/pool.h"

#include <string.h>

#define MAX_RELEASES 100u /* per request */
#define TAIL_RESERVE 2048u /* room in the request kept for the chain that goes last */
#define TAIL_ANSWER  8000u /* and in the answer */
#define MIN_SHARE    1500u /* what a table may bring at least, in bytes of answer */

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

void cpuu_queue_front(cpuu_mailbox *box, cpuu_unit *u)
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

/* It fails with the request that it was in, or without ever being in one. */
void cpuu_unit_fail(cpuu_unit *u, const cpuu_error *err, bool maybe_done)
{
    if (u->work && err->rc != CPUU_E_TOOBIG)
        u->work->op->unanswered = true;
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
        cpuu_unit_fail(u, err, false);
    }
}

/* ---- batch ----------------------------------------------------------------------------------- */

static void batch_reset(cpuu_batch *b)
{
    cpuu_buf_reset(&b->body);
    cpuu_buf_reset(&b->more);
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

/* Writes are of a known size, and on a slow link there are as many trips as requests. */
static size_t request_limit(const cpuu_lane *lane)
{
    uint32_t target = lane->box->mail->options.batch_bytes;
    return target ? target : lane->batch.writes ? CPUU_MAX_PAYLOAD : 28u * 1024u;
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
    bool fits = !b->full && !b->body.failed && !b->more.failed &&
                payload_size(b) <= (first ? CPUU_MAX_PAYLOAD : limit) &&
                (first || b->expected <= answers);
    if (fits) {
        unqueue(lane->box, u);
        b->units[b->n_units++] = u;
        return true;
    }
    b->body.size = body;
    b->body.failed = b->more.failed = b->full = false;
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

/* Ranges of one table, and long tables, are read side by side, each in a request of its own. */
bool cpuu_unit_only_as_tail(const cpuu_unit *u)
{
    return u->cls->tail || (u->cls->paged && (u->work->is_range || u->work->op->long_table));
}

static bool is_known(const cpuu_unit *u)
{
    return u->work->row_bytes != 0;
}

/* A table that divides the answer of this lane's request with others. */
static bool is_shared(const cpuu_unit *u, const cpuu_lane *lane)
{
    return u->cls->paged && !cpuu_unit_only_as_tail(u) && eligible(u, lane);
}

/* Of several tables nobody knows the length of, the one that another lane, which has nothing to do,
 * will read: a whole tree of folders, which is long more often than others, and of several the one of
 * all. NULL: none. */
static const cpuu_unit *leave_to_another(const cpuu_lane *lane)
{
    const cpuu_unit *tree = NULL;
    bool idle = false, others = false;
    for (const cpuu_lane *l = lane + 1; l < lane->box->lanes + lane->box->max_lanes; l++)
        idle |= l->state == CPUU_LANE_READY; /* its turn comes after this one's */
    for (const cpuu_unit *u = lane->box->head; idle && u && !u->cls->writes; u = u->next) {
        if (!is_shared(u, lane))
            continue;
        bool is_tree = !is_known(u) && cpuu_read_is_tree(u->work);
        others |= tree || !is_tree;
        if (is_tree && (!tree || u->work->op->role == CPUU_ROLE_ROOT))
            tree = u;
    }
    return others ? tree : NULL;
}

/* What goes last and takes all the room that is left: a stream, or the table with most to come. */
static cpuu_unit *choose_tail(const cpuu_lane *lane, const cpuu_unit *left_out)
{
    cpuu_unit *best = NULL;
    uint64_t most = 0;
    for (cpuu_unit *u = lane->box->head; u && !u->cls->writes; u = u->next) {
        if (u == left_out || !eligible(u, lane) || u->cls->alone)
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

/* What a table that was read before may take of the room there is for all of them: those that need
 * less than an even part leave the rest of it to the others. */
static uint32_t even_share(const cpuu_lane *lane, const cpuu_unit *tail, uint32_t room)
{
    uint32_t share = 0;
    for (unsigned round = 0; round < 4; round++) {
        uint64_t taken = 0;
        uint32_t n = 0;
        for (const cpuu_unit *u = lane->box->head; u && !u->cls->writes; u = u->next) {
            if (u == tail || !is_shared(u, lane) || !is_known(u))
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
static void share_out(cpuu_lane *lane, const cpuu_unit *tail, const cpuu_unit *left_out,
                      uint32_t room)
{
    uint32_t n = 0, fresh = 0;
    for (const cpuu_unit *u = lane->box->head; u && !u->cls->writes; u = u->next) {
        if (u == tail || u == left_out || !is_shared(u, lane))
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
    const cpuu_unit *left_out = leave_to_another(lane);
    cpuu_unit *tail = choose_tail(lane, left_out), *next;
    uint32_t answers = share_limit(lane);
    uint32_t mine =
        tail ? answers - (answers > TAIL_ANSWER * 2 ? TAIL_ANSWER : answers / 2) : answers;
    size_t limit = request_limit(lane) - (tail ? TAIL_RESERVE : 0);

    share_out(lane, tail, left_out, mine);
    for (cpuu_unit *u = lane->box->head; u; u = next) {
        next = u->next;
        if (u->cls->writes || u == tail || u == left_out || cpuu_unit_only_as_tail(u) ||
            u->cls->alone || !eligible(u, lane))
            continue;
        if (!batch_take(lane, u, limit, mine))
            break;
        if (lane->shrink >= CPUU_MAX_SHRINK)
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
    for (cpuu_unit *u = lane->box->head; u; u = next) {
        next = u->next;
        if (!u->cls->writes || u->cls->alone || !eligible(u, lane))
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
bool cpuu_batch_build(cpuu_lane *lane)
{
    cpuu_batch *b = &lane->batch;
    cpuu_unit *first = first_eligible(lane);
    bool logon_only = !lane->logged_on && !lane->box->folder_ids[0];

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
    cpuu_unit_fail(first, &err, false);
    return cpuu_batch_build(lane);
}
