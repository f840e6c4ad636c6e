/*
 * HTTP over libcurl's multi interface; see http.h for the promises.
 *
 * Connections belong to a pool per credential (a curl share handle with its own connection cache
 * and TLS sessions), because an NTLM or Negotiate connection is authenticated as a whole: a
 * connection of one user must never be found by a request of another. One multi handle still
 * drives them all.
 */
#include "net/http_private.h"

#include "base/clock.h"
#include "base/mem.h"

#include <config.h>
#include <string.h>

#define DEFAULT_CONNECT_MS 30000u
#define DEFAULT_REQUEST_MS 120000u
#define DEFAULT_RESPONSE   ((size_t)1 << 20)
#define MAX_HEADERS        ((size_t)64 << 10)
#define MAX_CONNECTIONS    256L /* kept open; libcurl's default shrinks with what runs */
#define POLL_MS            100  /* how often the beat is asked while nothing happens */

/* ---- life of the client ---------------------------------------------------------------------- */

static bool copy_options(cpuu_http *http, const cpuu_http_options *o)
{
    http->ca_file = cpuu_strdup(o->ca_file);
    http->proxy = cpuu_strdup(o->proxy);
    http->user_agent = cpuu_strdup(o->user_agent ? o->user_agent : PACKAGE_NAME "/" PACKAGE_VERSION);
    http->allow_insecure = o->allow_insecure_http;
    http->connect_ms = o->connect_timeout_ms ? o->connect_timeout_ms : DEFAULT_CONNECT_MS;
    http->request_ms = o->request_timeout_ms ? o->request_timeout_ms : DEFAULT_REQUEST_MS;
    for (size_t i = 0; o->connect_to && o->connect_to[i]; i++) {
        struct curl_slist *longer = curl_slist_append(http->connect_to, o->connect_to[i]);
        if (!longer)
            return false;
        http->connect_to = longer;
    }
    return http->user_agent && (!o->ca_file || http->ca_file) && (!o->proxy || http->proxy);
}

cpuu_rc cpuu_http_new(const cpuu_http_options *options, cpuu_log *log, cpuu_http **out,
                      cpuu_error *err)
{
    static const cpuu_http_options none = {0};
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return cpuu_fail(err, CPUU_E_FAILED, "cannot initialise libcurl");
    cpuu_http *http = cpuu_calloc(1, sizeof(*http));
    if (!http) {
        curl_global_cleanup();
        return cpuu_nomem(err);
    }
    http->log = log;
    http->multi = curl_multi_init();
    cpuu_http_probe_schemes(http);
    if (!http->multi || !copy_options(http, options ? options : &none)) {
        cpuu_http_free(http);
        return cpuu_nomem(err);
    }
    curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, MAX_CONNECTIONS);
    *out = http;
    return CPUU_OK;
}

static void free_learning(cpuu_http_request *req);

void cpuu_http_free(cpuu_http *http)
{
    if (!http)
        return;
    while (http->active) {
        cpuu_http_request *req = http->active->req;
        cpuu_transfer_free(http->active);
        if (req->only_learns)
            free_learning(req);
    }
    for (cpuu_http_request *req = http->failed, *next; req; req = next) {
        next = req->next_failed;
        if (req->only_learns)
            free_learning(req);
    }
    while (http->pools) {
        cpuu_http_pool *p = http->pools;
        http->pools = p->next;
        cpuu_http_free_pool(p);
    }
    if (http->multi)
        curl_multi_cleanup(http->multi);
    curl_slist_free_all(http->connect_to);
    cpuu_free(http->ca_file);
    cpuu_free(http->proxy);
    cpuu_free(http->user_agent);
    cpuu_free(http);
    curl_global_cleanup();
}

void cpuu_http_on_beat(cpuu_http *http, cpuu_rc (*beat)(void *user), void *user)
{
    http->beat = beat;
    http->beat_user = user;
}

void cpuu_http_totals(const cpuu_http *http, uint64_t *requests, uint64_t *sent,
                      uint64_t *received)
{
    *requests = http->requests;
    *sent = http->sent;
    *received = http->received;
}
/* ---- submitting ------------------------------------------------------------------------------ */

static void init_result(cpuu_http_request *req)
{
    cpuu_http_request_clear(req);
    cpuu_buf_init(&req->response, req->max_response ? req->max_response : DEFAULT_RESPONSE);
    cpuu_buf_init(&req->response_headers, MAX_HEADERS);
    req->rc = CPUU_OK;
    req->curl_code = 0;
    req->status = 0;
    req->sent = false;
    memset(&req->error, 0, sizeof(req->error));
}

void cpuu_http_submit_failed(cpuu_http *http, cpuu_http_request *req, const cpuu_error *why)
{
    init_result(req);
    req->rc = why->rc;
    req->error = *why;
    req->next_failed = http->failed;
    http->failed = req;
}

void cpuu_http_submit(cpuu_http *http, cpuu_http_request *req)
{
    init_result(req);
    cpuu_transfer *t = cpuu_calloc(1, sizeof(*t));
    if (!t) {
        cpuu_error nomem;
        cpuu_nomem(&nomem);
        cpuu_http_submit_failed(http, req, &nomem);
        return;
    }
    t->http = http;
    t->req = req;
    t->next = http->active;
    if (t->next)
        t->next->prev = t;
    http->active = t;
    req->transfer = t;
    req->rc = cpuu_transfer_begin(t);
}

/* ---- delivering ---------------------------------------------------------------------------- */

/* A request without the owner that others have. */
static void free_learning(cpuu_http_request *req)
{
    cpuu_http_request_clear(req);
    cpuu_free((char *)(uintptr_t)req->url);
    cpuu_free(req);
}

static void end_request(cpuu_http_request *req)
{
    if (req->only_learns)
        free_learning(req);
    else
        req->on_done(req);
}

static void deliver(cpuu_transfer *t)
{
    cpuu_http_request *req = t->req;
    cpuu_transfer_free(t);
    end_request(req);
}

static bool deliver_unstarted(cpuu_http *http)
{
    bool any = false;
    cpuu_http_request *failed = http->failed;
    http->failed = NULL; /* those that on_done adds wait for the next turn */
    while (failed) {
        cpuu_http_request *req = failed;
        failed = req->next_failed;
        any = true;
        end_request(req);
    }
    for (cpuu_transfer *t = http->active; t;) {
        if (t->easy) {
            t = t->next;
            continue;
        }
        deliver(t);
        any = true;
        t = http->active; /* on_done may have changed the list */
    }
    return any;
}

static bool deliver_finished(cpuu_http *http)
{
    bool any = false;
    int left;
    CURLMsg *m;
    while ((m = curl_multi_info_read(http->multi, &left))) {
        cpuu_transfer *t;
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
        if (cpuu_transfer_finish(t, m->data.result))
            deliver(t);
        any = true;
    }
    return any;
}

/* Ends everything under way; what on_done submits meanwhile ends the same way. */
static void abort_all(cpuu_http *http)
{
    http->stopping = true;
    while (http->active) {
        cpuu_transfer *t = http->active;
        if (t->easy)
            cpuu_transfer_stop(t, "stopped");
        deliver(t);
    }
    while (http->failed || http->active)
        deliver_unstarted(http);
    http->stopping = false;
}

static cpuu_rc turn(cpuu_http *http, bool *any, cpuu_error *err)
{
    int running;
    *any = deliver_unstarted(http);
    if (curl_multi_perform(http->multi, &running) != CURLM_OK)
        return cpuu_fail(err, CPUU_E_FAILED, "libcurl cannot go on with the requests");
    if (deliver_finished(http))
        *any = true;
    if (http->beat && http->beat(http->beat_user) < 0)
        return cpuu_fail(err, CPUU_E_STOP, "stopped");
    return CPUU_OK;
}

static cpuu_rc drive(cpuu_http *http, int64_t until, bool (*enough)(void *user), void *user,
                     cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    bool any = true;
    if (http->driving)
        return cpuu_fail(err, CPUU_E_FAILED, "requests are being driven already");
    http->driving = true;
    while (rc >= 0 && (http->active || http->failed) && !(enough && enough(user))) {
        int64_t left = until - cpuu_clock_ms();
        if (!any && left <= 0)
            break;
        if (!any)
            curl_multi_poll(http->multi, NULL, 0, left < POLL_MS ? (int)left : POLL_MS, NULL);
        rc = turn(http, &any, err);
    }
    int running;
    if (rc < 0)
        abort_all(http);
    else if (http->active) /* what has just begun is on its way while nobody drives */
        curl_multi_perform(http->multi, &running);
    http->driving = false;
    return rc;
}

cpuu_rc cpuu_http_drive_until(cpuu_http *http, bool (*enough)(void *user), void *user,
                              cpuu_error *err)
{
    return drive(http, INT64_MAX, enough, user, err);
}

cpuu_rc cpuu_http_drive_for(cpuu_http *http, uint32_t ms, bool (*enough)(void *user), void *user,
                            cpuu_error *err)
{
    return drive(http, cpuu_clock_ms() + ms, enough, user, err);
}

cpuu_rc cpuu_http_drive(cpuu_http *http, cpuu_error *err)
{
    return cpuu_http_drive_until(http, NULL, NULL, err);
}

/* Takes a request out of those there was no memory for; false when it is not among them. */
static bool take_failed(cpuu_http *http, const cpuu_http_request *req)
{
    for (cpuu_http_request **at = &http->failed; *at; at = &(*at)->next_failed) {
        if (*at == req) {
            *at = req->next_failed;
            return true;
        }
    }
    return false;
}

void cpuu_http_cancel(cpuu_http *http, cpuu_http_request *req)
{
    cpuu_transfer *t = req->transfer;
    http->stopping = true; /* on_done cannot begin anew */
    if (t && t->easy)
        cpuu_transfer_stop(t, "not needed any more");
    if (t)
        deliver(t);
    else if (take_failed(http, req))
        end_request(req);
    http->stopping = false;
}

bool cpuu_http_allows_insecure(const cpuu_http *http)
{
    return http->allow_insecure;
}

bool cpuu_http_is_under_way(const cpuu_http *http, const cpuu_http_request *req)
{
    if (req->transfer)
        return true;
    for (const cpuu_http_request *f = http->failed; f; f = f->next_failed) {
        if (f == req)
            return true;
    }
    return false;
}

void cpuu_http_learn(cpuu_http *http, const char *url, const cpuu_credentials *credentials)
{
    cpuu_http_request *req = cpuu_calloc(1, sizeof(*req));
    char *copy = cpuu_strdup(url);
    if (!req || !copy) {
        cpuu_free(req);
        cpuu_free(copy);
        return;
    }
    *req = (cpuu_http_request){.method = "GET", .url = copy, .credentials = credentials,
                               .only_learns = true};
    cpuu_http_submit(http, req);
}

static void note_done(cpuu_http_request *req)
{
    *(bool *)req->user = true;
}

static bool is_done(void *user)
{
    return *(const bool *)user;
}

cpuu_rc cpuu_http_perform(cpuu_http *http, cpuu_http_request *req, cpuu_error *err)
{
    void (*on_done)(cpuu_http_request *) = req->on_done;
    void *user = req->user;
    bool done = false;
    req->on_done = note_done;
    req->user = &done;
    cpuu_http_submit(http, req);
    cpuu_rc rc = cpuu_http_drive_until(http, is_done, &done, err);
    req->on_done = on_done;
    req->user = user;
    if (rc >= 0 && req->rc < 0) {
        rc = req->rc;
        if (err)
            *err = req->error;
    }
    return rc;
}

void cpuu_http_request_clear(cpuu_http_request *req)
{
    cpuu_buf_free(&req->response);
    cpuu_buf_free(&req->response_headers);
}
