/*
 * Contexts that are connected before it is known to which mailbox: Connect names the caller alone
 * ([MS-OXCMAPIHTTP] 2.2.4.1.1), so it need not wait for the answer that tells whose mailbox is next. A
 * mailbox whose first lane has no context takes one over, also when it is still being connected. One
 * that cannot be connected is no error: the lane connects by itself, and learns why.
 */
#include "mailbox/pool.h"

#include <string.h>

struct cpuu_spare {
    cpuu_spare *next;
    const cpuu_endpoint *endpoint;
    const char *url;       /* the endpoint's when it was begun */
    cpuu_session *session; /* NULL: taken, or it could not be connected */
    cpuu_call call;
    cpuu_lane *lane; /* waits for it */
};

static void hand_over(cpuu_spare *s, cpuu_lane *lane)
{
    lane->session = s->session;
    lane->at_move = lane->box->moves;
    lane->as_owner = false;
    s->session = NULL;
}

static void connected(cpuu_call *call)
{
    cpuu_spare *s = call->user;
    cpuu_lane *lane = s->lane;
    bool ok = call->rc >= 0;
    s->lane = NULL;
    cpuu_call_clear(call);
    if (lane && ok)
        hand_over(s, lane);
    if (!ok) {
        cpuu_session_free(s->session);
        s->session = NULL;
    }
    if (lane)
        cpuu_lane_given(lane);
}

static bool begin(cpuu_mail *mail, cpuu_spare *s)
{
    const cpuu_session_options o = cpuu_mail_session(mail, s->endpoint, s->url, "mailbox");
    if (cpuu_session_new(mail->http, &o, mail->log, &s->session, NULL) != CPUU_OK)
        return false;
    s->call.on_done = connected;
    s->call.user = s;
    cpuu_session_connect(s->session, &s->call);
    return true;
}

void cpuu_mail_spare(cpuu_mail *mail, const cpuu_endpoint *endpoint, size_t n)
{
    for (size_t i = 0; i < n && mail->fatal == CPUU_OK; i++) {
        cpuu_spare *s = cpuu_calloc(1, sizeof(*s));
        if (!s)
            return;
        s->endpoint = endpoint;
        s->url = endpoint->emsmdb_url;
        if (!begin(mail, s)) {
            cpuu_free(s);
            return;
        }
        s->next = mail->spares;
        mail->spares = s;
    }
}

bool cpuu_spare_take(cpuu_lane *lane)
{
    const cpuu_mailbox *box = lane->box;
    if (lane->session || lane != box->lanes || box->url || box->as_owner)
        return false;
    for (cpuu_spare *s = box->mail->spares; s; s = s->next) {
        if (!s->session || s->lane || s->endpoint != box->endpoint ||
            s->url != box->endpoint->emsmdb_url)
            continue;
        if (cpuu_session_busy(s->session)) {
            s->lane = lane;
            lane->state = CPUU_LANE_CONNECTING;
        } else {
            hand_over(s, lane);
            lane->state = CPUU_LANE_READY;
        }
        return true;
    }
    return false;
}

cpuu_spare *cpuu_spare_next(const cpuu_spare *s)
{
    return s->next;
}

cpuu_call *cpuu_spare_call(cpuu_spare *s)
{
    return &s->call;
}

static void left(cpuu_call *call)
{
    cpuu_call_clear(call);
}

void cpuu_spare_leave(cpuu_spare *s)
{
    if (!s->session || !cpuu_session_connected(s->session) || cpuu_session_busy(s->session))
        return;
    memset(&s->call, 0, sizeof(s->call));
    s->call.on_done = left;
    cpuu_session_disconnect(s->session, &s->call);
}

void cpuu_spares_free(cpuu_mail *mail)
{
    while (mail->spares) {
        cpuu_spare *s = mail->spares;
        mail->spares = s->next;
        cpuu_session_free(s->session);
        cpuu_call_clear(&s->call);
        cpuu_free(s);
    }
}
