/*
 * Lanes: sends each batch over one, hands the answers out, and decides what is repeated. Promises: a
 * write that may have happened is never repeated; every operation gets its result.
 */
#include "mailbox/pool.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/text.h"
#include "net/patience.h"

#include <poll.h>
#include <string.h>

#define MAX_TRIES    3u
#define MAX_FAILURES 3u /* connections lost in a row before a lane is given up */
#define MAX_LEAKED   100u /* the server's default limit is 250 open messages */

/* ---- answers --------------------------------------------------------------------------------- */

static void requeue(cpuu_lane *lane, size_t from)
{
    for (size_t i = lane->batch.n_units; i > from; i--)
        cpuu_queue_front(lane->box, lane->batch.units[i - 1]);
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

/* It tells what it wrote from what stays. Whoever does not let us in will not do so the next time. */
static bool begins_anew(cpuu_unit *u, cpuu_lane *lane, cpuu_rc why)
{
    const bool useless = why == CPUU_E_STOP || why == CPUU_E_NOMEM || why == CPUU_E_AUTH ||
                         why == CPUU_E_ACCESS;
    if (!u->cls->again || useless || !u->cls->again(u, lane))
        return false;
    if (lane->pinned == u)
        lane->pinned = NULL;
    cpuu_queue_front(lane->box, u);
    return true;
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
            lane->shrink = CPUU_MAX_SHRINK;
        if (!hopeless && !lost && u->tries < MAX_TRIES) {
            cpuu_queue_front(lane->box, u);
            continue;
        }
        if (begins_anew(u, lane, err->rc))
            continue;
        cpuu_error e = *err;
        if (lost)
            e.rc = e.rc == CPUU_E_STOP || e.rc == CPUU_E_NOMEM ? e.rc : CPUU_E_IO;
        if (lane->pinned == u)
            lane->pinned = NULL;
        cpuu_unit_fail(u, &e, lost);
    }
    b->n_units = 0;
}

static void lane_wait(cpuu_lane *lane, uint32_t ms)
{
    lane->wait_until = cpuu_clock_ms() + (ms < CPUU_MAX_PAUSE_MS ? ms : CPUU_MAX_PAUSE_MS);
    lane->state = CPUU_LANE_WAITING;
}

/* The server asked to come back later. False: it has asked often enough. */
static bool lane_pause(cpuu_lane *lane, uint32_t retry_after_s)
{
    uint32_t ms;
    if (!cpuu_patience(&lane->pauses, retry_after_s, &ms))
        return false;
    cpuu_logf(lane->box->mail->log, CPUU_LV_TRACEW, "%s: the server is busy, trying again in %u ms",
              lane->box->name, ms);
    lane_wait(lane, ms);
    return true;
}

/* The answers did not fit, or the request was refused as a whole: smaller ones from now on. */
static void batch_refused(cpuu_lane *lane, const cpuu_call *call)
{
    cpuu_batch *b = &lane->batch;
    bool alone = b->n_units <= 1 && lane->shrink >= CPUU_MAX_SHRINK;
    lane->leaked += b->n_slots;
    if (b->writes || alone || call->rc == CPUU_E_ACCESS) {
        batch_failed(lane, &call->error, call->maybe_done, true);
        return;
    }
    lane->shrink = b->n_units <= 1                 ? CPUU_MAX_SHRINK
                   : lane->shrink + 1 < CPUU_MAX_SHRINK ? lane->shrink + 1
                                                   : CPUU_MAX_SHRINK;
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
    if (changed && begins_anew(u, lane, CPUU_OK))
        return;
    u->tries += !progress;
    if (!changed && u->tries < MAX_TRIES * 2) {
        cpuu_queue_front(lane->box, u);
        return;
    }
    cpuu_fail(&err, changed ? CPUU_E_IO : CPUU_E_TOOBIG,
              changed ? "%s: the server stopped in the middle of a change"
                      : "%s: the server does not answer a part of a request",
              lane->box->name);
    cpuu_unit_fail(u, &err, changed);
}

/* Units with all their answers go on; those without go back to the queue, in their order. The server
 * stopped at the first of them: the others have not had a try. */
static void finish_units(cpuu_lane *lane, const cpuu_call *call, bool short_answer)
{
    cpuu_batch *b = &lane->batch;
    size_t n = b->n_units, first = n;
    bool progress = false;
    for (size_t i = 0; i < n; i++) {
        cpuu_unit *u = b->units[i];
        if (u->left) {
            first = first < n ? first : i;
            continue;
        }
        progress = true;
        b->units[i] = NULL;
        u->cls->finish(u, lane, &call->replies[0]);
    }
    for (size_t i = n; i > 0; i--)
        if (b->units[i - 1])
            unit_again(lane, b->units[i - 1], progress || i - 1 != first);
    b->n_units = 0;
    if (short_answer) {
        lane->leaked += b->n_slots;
        if (!progress && lane->shrink < CPUU_MAX_SHRINK)
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
    if (box->known || lane->as_owner || !box->dn || call->end != CPUU_CALL_ANSWERED ||
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

void cpuu_lane_given(cpuu_lane *lane)
{
    lane->state = lane->session ? CPUU_LANE_READY : CPUU_LANE_NEW;
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
    lane->call.more = b->more.data;
    lane->call.more_size = b->more.size;
    lane->call.chain = b->chain;
    lane->call.max_rop_out = b->chain ? b->chain_out : 0;
    lane->call.on_done = call_done;
    lane->call.user = lane;
    if (b->writes)
        cpuu_fault_step("mailbox.write");
    lane->state = CPUU_LANE_BUSY;
    cpuu_session_execute(lane->session, &lane->call);
}

cpuu_session_options cpuu_mail_session(cpuu_mail *mail, const cpuu_endpoint *endpoint,
                                       const char *url, const char *name)
{
    cpuu_session_options o = {.kind = CPUU_SESSION_MAILBOX,
                              .url = url,
                              .user_dn = endpoint->account_dn,
                              .name = name,
                              .credentials = endpoint->credentials,
                              .number = ++mail->contexts};
    memcpy(o.client_guid, mail->client_guid, sizeof(o.client_guid));
    return o;
}

static bool lane_session(cpuu_lane *lane, cpuu_error *err)
{
    const cpuu_mailbox *box = lane->box;
    if (lane->session)
        return true;
    cpuu_session_options o = cpuu_mail_session(
        box->mail, box->endpoint, box->url ? box->url : box->endpoint->emsmdb_url, box->name);
    if (box->as_owner)
        o.user_dn = box->dn;
    lane->as_owner = box->as_owner;
    lane->at_move = box->moves;
    return cpuu_session_new(box->mail->http, &o, box->mail->log, &lane->session, err) == CPUU_OK;
}

static void lane_connect(cpuu_lane *lane)
{
    cpuu_error err = CPUU_ERROR_INIT;
    context_gone(lane);
    if (cpuu_spare_take(lane))
        return;
    if (!lane_session(lane, &err)) {
        lane_dead(lane, &err);
        return;
    }
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

/* The first Logon tells whether the mailbox is here and how it is opened: the other lanes wait for its
 * answer, unless nobody is left to get one. */
static bool must_wait_for_logon(const cpuu_lane *lane)
{
    if (lane->box->folder_ids[0])
        return false;
    for (const cpuu_lane *l = lane->box->lanes; l < lane; l++)
        if (l->state != CPUU_LANE_DEAD)
            return true;
    return false;
}

static void lane_go(cpuu_lane *lane)
{
    if (lane->state == CPUU_LANE_READY && !lane->logged_on && lane->at_move != lane->box->moves)
        lane_elsewhere(lane);
    if (lane->state == CPUU_LANE_WAITING && cpuu_clock_ms() >= lane->wait_until)
        lane->state = lane->session && cpuu_session_connected(lane->session) ? CPUU_LANE_READY
                                                                             : CPUU_LANE_NEW;
    bool needed = lane->box->head || (!lane->box->known && lane->box->rc == CPUU_OK);
    if (!needed || must_wait_for_logon(lane))
        return;
    if (lane->state == CPUU_LANE_NEW)
        lane_connect(lane);
    if (lane->state != CPUU_LANE_READY)
        return;
    if (lane->leaked > MAX_LEAKED && !lane->pinned)
        lane_leave(lane);
    else if (cpuu_batch_build(lane))
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
        if (cpuu_unit_only_as_tail(u) || u->cls->alone)
            n++;
        cost += u->cls->writes ? u->cost : 0;
        answers += u->cls->writes || u->cls->paged ? 0 : u->expected;
    }
    return n + (uint32_t)(cost / (20u * 1024u)) + (uint32_t)(answers / CPUU_SHARE_BYTES);
}

/* How many lanes there should be. A further context costs Connect and a Logon that rides with its
 * first batch: it pays from three requests on. */
static uint32_t lanes_wanted(const cpuu_mailbox *box, uint32_t live)
{
    if (!box->known)
        return box->rc == CPUU_OK && live ? box->first_lanes : live;
    uint32_t behind = backlog(box);
    uint32_t want = behind >= 3 ? 1 + behind / 2 : live;
    return want == 0 && box->head ? 1 : want; /* else the first lane was given up */
}

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
    uint32_t want = lanes_wanted(box, live);
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

void cpuu_mail_turn(cpuu_mail *mail)
{
    cpuu_error why = CPUU_ERROR_INIT;
    if (!mail || mail->fatal != CPUU_OK || cpuu_http_drive_for(mail->http, 0, NULL, NULL, &why) >= 0)
        return;
    drop_all(mail, &why); /* stopped: nothing is under way any more */
    mail->fatal = CPUU_OK;
}

static void lane_free(cpuu_lane *lane)
{
    cpuu_session_free(lane->session);
    cpuu_call_clear(&lane->call);
    cpuu_buf_free(&lane->batch.body);
    cpuu_buf_free(&lane->batch.more);
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
