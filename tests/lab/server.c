/*
 * The HTTP front end (libmicrohttpd): one listener per organisation and one for control, on the
 * loopback address only. A thread per connection; one lock around the state. A delay is slept
 * outside the lock, so that connections wait side by side as on a real line.
 */
#include "tests/lab/http.h"

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BODY_MAX (8u << 20)

typedef struct listener {
    struct lab_server *server;
    lab_org *org; /* NULL: control */
    struct MHD_Daemon *daemon;
    uint16_t port;
} listener;

struct lab_server {
    lab *lab;
    listener listeners[LAB_MAX_ORGS + 1];
    size_t n_listeners;
    char *cert, *key, *ca_path;
};

/* ---- authentication: Basic only -------------------------------------------------------------- */

static int base64_digit(char c)
{
    const char *digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *p = c ? strchr(digits, c) : NULL;
    return p ? (int)(p - digits) : -1;
}

static void base64_text(const char *in, char *out, size_t size)
{
    uint32_t bits = 0, have = 0;
    size_t n = 0;
    for (; base64_digit(*in) >= 0 && n + 1 < size; in++) {
        bits = (bits << 6) | (uint32_t)base64_digit(*in);
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[n++] = (char)(bits >> have);
        }
    }
    out[n] = 0;
}

static lab_user *authenticate(const lab_org *o, const char *header)
{
    char text[1024];
    if (!header || cpuu_ncasecmp(header, "Basic ", 6) != 0)
        return NULL;
    base64_text(header + 6, text, sizeof(text));
    char *password = strchr(text, ':');
    if (!password)
        return NULL;
    *password++ = 0;
    char *login = strchr(text, '\\') ? strchr(text, '\\') + 1 : text;
    lab_user *u = lab_find_user(o, login);
    return u && u->kind != LAB_LIST && strcmp(u->password, password) == 0 ? u : NULL;
}

/* ---- faults ---------------------------------------------------------------------------------- */

/* The action that applies to this request, or "". Call with the lock held. */
static const char *due_fault(lab_org *o, const char *type)
{
    lab_fault *f = &o->fault;
    if (!*f->action || (*f->type && !cpuu_caseeq(f->type, type)))
        return "";
    f->seen++;
    return f->seen >= f->at && f->seen < f->at + f->count ? f->action : "";
}

/* Actions taken instead of serving the request; true when one was. */
static bool fault_before(lab *l, const char *action, lab_response *r)
{
    if (strcmp(action, "503") == 0)
        r->status = 503;
    else if (strcmp(action, "fail") == 0)
        r->status = 500;
    else if (strcmp(action, "401") == 0)
        r->status = 401;
    else if (strcmp(action, "close") == 0)
        r->status = 0;
    else if (strcmp(action, "die") == 0) {
        r->status = 0;
        l->die = true;
    } else if (strcmp(action, "garbage") == 0) {
        r->status = 200;
        lab_response_header(r, "Content-Type", "application/mapi-http");
        lab_response_header(r, "X-ResponseCode", "0");
        for (int i = 0; i < 64; i++)
            cpuu_buf_u8(&r->body, (uint8_t)(i * 37 + 11));
    } else {
        return false;
    }
    return true;
}

static void fault_after(lab *l, const char *action, lab_response *r)
{
    if (strcmp(action, "close-after") == 0)
        r->status = 0;
    if (strcmp(action, "fail-after") == 0)
        r->status = 500;
    if (strcmp(action, "truncate") == 0) {
        r->body.size /= 2;
        r->chunked = false;
    }
    if (strcmp(action, "die-after") == 0) {
        r->status = 0;
        l->die = true;
    }
}

/* ---- an organisation's requests -------------------------------------------------------------- */

static void route(const lab_request *q, const lab_twist *t, lab_response *r)
{
    if (cpuu_caseeq(q->path, "/autodiscover/autodiscover.xml") && strcmp(q->method, "POST") == 0)
        lab_autodiscover(q, r);
    else if (cpuu_ncasecmp(q->path, "/mapi/emsmdb", 12) == 0 ||
             cpuu_ncasecmp(q->path, "/mapi/nspi", 10) == 0)
        lab_mapihttp(q, t, r);
    else
        r->status = 404;
}

static void serve(lab_request *q, lab_response *r)
{
    lab_org *o = q->org;
    const char *type = q->header(q->from, "X-RequestType");
    o->stats.requests++;
    o->stats.bytes_in += q->size;
    const char *action = due_fault(o, type ? type : "Autodiscover");
    if (fault_before(o->lab, action, r))
        return;
    q->user = authenticate(o, q->header(q->from, "Authorization"));
    if (!q->user) {
        r->status = 401;
        return;
    }
    lab_twist t = {.lose_context = strcmp(action, "lose-context") == 0,
                   .too_small = strcmp(action, "too-small") == 0,
                   .pending = strcmp(action, "pending") == 0};
    const uint64_t before = o->lab->change;
    route(q, &t, r);
    if (o->lab->change != before && cpuu_caseeq(o->fault.type, "change"))
        action = due_fault(o, "change");
    fault_after(o->lab, action, r);
    o->stats.bytes_out += r->body.size;
}

static void wait_ms(uint32_t ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000L};
    if (ms)
        nanosleep(&t, NULL);
}

static void serve_slowly(lab_request *q, lab_response *r)
{
    lab *l = q->org->lab;
    pthread_mutex_lock(&l->lock);
    uint32_t delay = q->org->delay_ms;
    pthread_mutex_unlock(&l->lock);
    wait_ms(delay);
    pthread_mutex_lock(&l->lock);
    if (l->die)
        r->status = 0;
    else
        serve(q, r);
    pthread_mutex_unlock(&l->lock);
    wait_ms(delay);
}

/* ---- control --------------------------------------------------------------------------------- */

static void json_answer(lab_response *r, json_t *j)
{
    char *text = json_dumps(j, JSON_SORT_KEYS | JSON_INDENT(1));
    r->status = 200;
    lab_response_header(r, "Content-Type", "application/json");
    if (text)
        cpuu_buf_add(&r->body, text, strlen(text));
    free(text);
    json_decref(j);
}

static json_t *stats_json(const lab_org *o)
{
    const lab_stats *s = &o->stats;
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "requests", (json_int_t)s->requests,
                     "bytes_in", (json_int_t)s->bytes_in, "bytes_out", (json_int_t)s->bytes_out,
                     "executes", (json_int_t)s->executes, "rops", (json_int_t)s->rops, "connects",
                     (json_int_t)s->connects, "autodiscovers", (json_int_t)s->autodiscovers, "nspi",
                     (json_int_t)s->nspi, "contexts", (json_int_t)o->n_contexts);
}

static void control_stats(lab *l, bool reset, lab_response *r)
{
    json_t *j = json_object();
    for (size_t i = 0; i < l->n_orgs; i++) {
        json_object_set_new(j, l->orgs[i]->name, stats_json(l->orgs[i]));
        if (reset)
            memset(&l->orgs[i]->stats, 0, sizeof(l->orgs[i]->stats));
    }
    json_answer(r, j);
}

static bool known_action(const char *a)
{
    static const char *const known[] = {
        "",           "503",      "fail",    "401", "close",     "close-after",  "fail-after",
        "too-small",  "truncate", "garbage", "die", "die-after", "lose-context", "pending"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(known[i], a) == 0)
            return true;
    return false;
}

static bool set_fault(lab_org *o, const json_t *j)
{
    const char *action = json_string_value(json_object_get(j, "action"));
    const char *type = json_string_value(json_object_get(j, "type"));
    const json_t *at = json_object_get(j, "at"), *count = json_object_get(j, "count");
    const json_t *delay = json_object_get(j, "delay_ms");
    const json_t *independent = json_object_get(j, "independent");
    const json_t *odd = json_object_get(j, "odd");
    const json_t *unsupported = json_object_get(j, "unsupported");
    const json_t *unknown = json_object_get(j, "unknown");
    const json_t *crashing = json_object_get(j, "crashing");
    const json_t *stopping = json_object_get(j, "stopping");
    const json_t *lax = json_object_get(j, "lax");
    const json_t *whole_reads = json_object_get(j, "whole_reads");
    const json_t *without = json_object_get(j, "without");
    if (action && !known_action(action))
        return false;
    if (delay)
        o->delay_ms = (uint32_t)json_integer_value(delay);
    if (independent)
        o->independent = json_is_true(independent);
    if (odd)
        o->odd = json_is_true(odd);
    if (unsupported)
        o->unsupported = (uint8_t)json_integer_value(unsupported);
    if (unknown)
        o->unknown = (uint8_t)json_integer_value(unknown);
    if (crashing)
        o->crashing = json_is_true(crashing);
    if (lax)
        o->lax = json_is_true(lax);
    if (stopping)
        o->stopping = json_is_true(stopping);
    if (whole_reads)
        o->whole_reads = json_is_true(whole_reads);
    if (without)
        o->without = (uint8_t)json_integer_value(without);
    if (!action)
        return true;
    o->fault = (lab_fault){.at = at ? (uint32_t)json_integer_value(at) : 1,
                           .count = count ? (uint32_t)json_integer_value(count) : 1};
    snprintf(o->fault.action, sizeof(o->fault.action), "%s", action);
    snprintf(o->fault.type, sizeof(o->fault.type), "%s", type ? type : "");
    return true;
}

static void control_fault(lab *l, const uint8_t *body, size_t size, lab_response *r)
{
    json_t *j = json_loadb((const char *)body, size, 0, NULL);
    const char *org = json_string_value(json_object_get(j, "org"));
    size_t done = 0;
    for (size_t i = 0; json_is_object(j) && i < l->n_orgs; i++)
        if (!org || cpuu_caseeq(org, l->orgs[i]->name))
            done += set_fault(l->orgs[i], j);
    json_decref(j);
    r->status = done ? 200 : 400;
}

static void control(listener *li, const char *path, const char *org, const lab_request *q,
                    bool reset, lab_response *r)
{
    lab *l = li->server->lab;
    pthread_mutex_lock(&l->lock);
    if (strcmp(path, "/lab/ready") == 0) {
        char *text = lab_server_ready(li->server);
        r->status = 200;
        cpuu_buf_add(&r->body, text, strlen(text));
        free(text);
    } else if (strcmp(path, "/lab/dump") == 0) {
        const lab_org *only = org ? lab_find_org(l, org) : NULL;
        char *text = lab_dump(l, only);
        r->status = text && !(org && !only) ? 200 : 404;
        if (r->status == 200)
            cpuu_buf_add(&r->body, text, strlen(text));
        free(text);
    } else if (strcmp(path, "/lab/ids") == 0) {
        char *text = lab_ids(l);
        r->status = text ? 200 : 500;
        if (text)
            cpuu_buf_add(&r->body, text, strlen(text));
        free(text);
    } else if (strcmp(path, "/lab/stats") == 0) {
        control_stats(l, reset, r);
    } else if (strcmp(path, "/lab/fault") == 0 && strcmp(q->method, "POST") == 0) {
        control_fault(l, q->body, q->size, r);
    } else {
        r->status = 404;
    }
    pthread_mutex_unlock(&l->lock);
}

/* ---- libmicrohttpd --------------------------------------------------------------------------- */

static const char *find_header(const void *from, const char *name)
{
    return MHD_lookup_connection_value((struct MHD_Connection *)from, MHD_HEADER_KIND, name);
}

typedef struct chunk_source {
    uint8_t *data;
    size_t size;
} chunk_source;

static ssize_t next_chunk(void *cls, uint64_t pos, char *buf, size_t max)
{
    const chunk_source *c = cls;
    if (pos >= c->size)
        return MHD_CONTENT_READER_END_OF_STREAM;
    size_t n = c->size - (size_t)pos;
    if (n > max)
        n = max;
    memcpy(buf, c->data + pos, n);
    return (ssize_t)n;
}

static void free_chunks(void *cls)
{
    chunk_source *c = cls;
    cpuu_free(c->data);
    cpuu_free(c);
}

static struct MHD_Response *make_response(lab_response *r)
{
    if (!r->chunked)
        return MHD_create_response_from_buffer(
            r->body.size, r->body.size ? r->body.data : (void *)"", MHD_RESPMEM_MUST_COPY);
    chunk_source *c = lab_calloc(1, sizeof(*c));
    c->data = lab_dup(r->body.data, r->body.size);
    c->size = r->body.size;
    return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16384, next_chunk, c, free_chunks);
}

static enum MHD_Result send_response(struct MHD_Connection *conn, lab_response *r)
{
    if (r->status == 0)
        return MHD_NO;
    struct MHD_Response *m = make_response(r);
    for (size_t i = 0; i < r->n_headers; i++)
        MHD_add_response_header(m, r->headers[i].name, r->headers[i].value);
    if (r->status == 401)
        MHD_add_response_header(m, "WWW-Authenticate", "Basic realm=\"lab\", charset=\"utf-8\"");
    enum MHD_Result rc = MHD_queue_response(conn, (unsigned)r->status, m);
    MHD_destroy_response(m);
    return rc;
}

static enum MHD_Result answer(listener *li, struct MHD_Connection *conn, const char *url,
                              const char *method, const cpuu_buf *body)
{
    lab_request q = {.org = li->org,
                     .method = method,
                     .path = url,
                     .body = body->data,
                     .size = body->size,
                     .header = find_header,
                     .from = conn};
    lab_response r = {.status = 404};
    cpuu_buf_init(&r.body, 64u << 20);
    if (!q.body)
        q.body = (const uint8_t *)"";
    q.query_mailbox = MHD_lookup_connection_value(conn, MHD_GET_ARGUMENT_KIND, "MailboxId");
    if (li->org)
        serve_slowly(&q, &r);
    else
        control(li, url, MHD_lookup_connection_value(conn, MHD_GET_ARGUMENT_KIND, "org"), &q,
                MHD_lookup_connection_value(conn, MHD_GET_ARGUMENT_KIND, "reset") != NULL, &r);
    enum MHD_Result rc = send_response(conn, &r);
    cpuu_buf_free(&r.body);
    return rc;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **state)
{
    (void)version;
    cpuu_buf *body = *state;
    if (!body) {
        body = lab_calloc(1, sizeof(*body));
        cpuu_buf_init(body, BODY_MAX);
        *state = body;
        return MHD_YES;
    }
    if (*size) {
        cpuu_buf_add(body, data, *size);
        *size = 0;
        return body->failed ? MHD_NO : MHD_YES;
    }
    return answer(cls, conn, url, method, body);
}

static void on_done(void *cls, struct MHD_Connection *conn, void **state,
                    enum MHD_RequestTerminationCode code)
{
    (void)cls;
    (void)conn;
    (void)code;
    if (*state) {
        cpuu_buf_free(*state);
        cpuu_free(*state);
    }
}

/* ---- start and stop -------------------------------------------------------------------------- */

static bool listen_on(lab_server *s, lab_org *org, uint16_t port, bool tls, char *err, size_t size)
{
    listener *li = &s->listeners[s->n_listeners];
    *li = (listener){.server = s, .org = org};
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION;
    struct MHD_OptionItem options[6] = {
        {MHD_OPTION_SOCK_ADDR, 0, &addr},
        {MHD_OPTION_CONNECTION_TIMEOUT, 300, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    if (tls) {
        flags |= MHD_USE_TLS;
        options[2] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, s->key};
        options[3] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, s->cert};
        options[4] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    }
    li->daemon =
        MHD_start_daemon(flags, port, NULL, NULL, on_request, li, MHD_OPTION_NOTIFY_COMPLETED,
                         on_done, NULL, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
    const union MHD_DaemonInfo *info =
        li->daemon ? MHD_get_daemon_info(li->daemon, MHD_DAEMON_INFO_BIND_PORT) : NULL;
    if (!info) {
        snprintf(err, size, "cannot listen on 127.0.0.1:%u", port);
        return false;
    }
    li->port = info->port;
    if (org)
        org->port = info->port;
    s->n_listeners++;
    return true;
}

static bool make_tls(lab_server *s, const char *dir, char *err, size_t size)
{
    const char *names[1 + 4 * LAB_MAX_ORGS] = {"localhost"};
    char text[4 * LAB_MAX_ORGS][320];
    size_t n = 1, k = 0;
    for (size_t i = 0; i < s->lab->n_orgs; i++) {
        const lab_org *o = s->lab->orgs[i];
        snprintf(text[k], sizeof(text[k]), "%s", o->domain);
        names[n++] = text[k++];
        snprintf(text[k], sizeof(text[k]), "autodiscover.%s", o->domain);
        names[n++] = text[k++];
        snprintf(text[k], sizeof(text[k]), "%s", o->host ? o->host : o->domain);
        names[n++] = text[k++];
    }
    char *ca = NULL;
    cpuu_error e = CPUU_ERROR_INIT;
    if (!lab_make_certificates(names, n, &ca, &s->cert, &s->key, err, size))
        return false;
    s->ca_path = cpuu_path_join(dir ? dir : ".", "ca.pem");
    bool ok = cpuu_file_write(s->ca_path, ca, strlen(ca), 0644, &e) >= 0;
    if (!ok)
        snprintf(err, size, "%s", e.text);
    cpuu_free(ca);
    return ok;
}

lab_server *lab_server_start(const lab_options *o, char *err, size_t err_size)
{
    lab_server *s = lab_calloc(1, sizeof(*s));
    s->lab = lab_new();
    s->lab->http = o->http;
    bool ok = lab_load(s->lab, o->content, err, err_size);
    if (ok && !o->http)
        ok = make_tls(s, o->ca_dir, err, err_size);
    for (size_t i = 0; ok && i < s->lab->n_orgs; i++)
        ok = listen_on(s, s->lab->orgs[i], o->ports[i], !o->http, err, err_size);
    if (ok)
        ok = listen_on(s, NULL, o->control_port, false, err, err_size);
    if (ok)
        return s;
    lab_server_stop(s);
    return NULL;
}

void lab_server_stop(lab_server *s)
{
    for (size_t i = 0; i < s->n_listeners; i++)
        MHD_stop_daemon(s->listeners[i].daemon);
    for (size_t i = 0; i < s->lab->n_orgs; i++)
        lab_contexts_free(s->lab->orgs[i]);
    lab_free(s->lab);
    cpuu_free(s->cert);
    cpuu_free(s->key);
    cpuu_free(s->ca_path);
    cpuu_free(s);
}

lab *lab_server_lab(lab_server *s)
{
    return s->lab;
}

char *lab_server_ready(const lab_server *s)
{
    json_t *j = json_object();
    for (size_t i = 0; i < s->n_listeners; i++) {
        const listener *li = &s->listeners[i];
        char key[200], url[300];
        snprintf(key, sizeof(key), "%s_port", li->org ? li->org->name : "control");
        json_object_set_new(j, key, json_integer(li->port));
        snprintf(url, sizeof(url), "%s://localhost:%u", li->org && !s->lab->http ? "https" : "http",
                 li->port);
        json_object_set_new(j, li->org ? li->org->name : "control", json_string(url));
    }
    if (s->ca_path)
        json_object_set_new(j, "ca", json_string(s->ca_path));
    char *text = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(j);
    return text;
}
