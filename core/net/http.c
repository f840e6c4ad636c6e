/*
 * HTTP over libcurl's multi interface; see http.h for the promises.
 *
 * Connections belong to a pool per credential (a curl share handle with its own connection cache and
 * TLS sessions), because an NTLM or Negotiate connection is authenticated as a whole: a connection
 * of one user must never be found by a request of another. One multi handle still drives them all.
 *
 * A request is handed to the server at most once. libcurl by itself repeats a request when a reused
 * connection ends without an answer, even a POST that was sent completely; the read position of the
 * body and the two callbacks `before_request` and `rewind_body` take that from it.
 */
#include "net/http.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"

#include <config.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_CONNECT_MS 30000u
#define DEFAULT_REQUEST_MS 120000u
#define DEFAULT_RESPONSE   ((size_t)1 << 20)
#define MAX_HEADERS        ((size_t)64 << 10)
#define MAX_CONNECTIONS    256L /* kept open; libcurl's default shrinks with the running requests */
#define POLL_MS            100  /* how often the beat is asked while nothing happens */

/* The authentication a server is known to take. */
typedef struct host {
    struct host *next;
    char *origin; /* "https://name:port" */
    unsigned long scheme; /* CURLAUTH_*; 0 = not known yet */
    bool asked;           /* by cpuu_http_learn(): once is enough */
} host;

typedef struct pool {
    struct pool *next;
    char *user, *password; /* both NULL in the pool of the logged-in user */
    bool anonymous;
    CURLSH *share;
    host *hosts;
} pool;

typedef struct cpuu_http_transfer {
    struct cpuu_http_transfer *prev, *next;
    cpuu_http *http;
    cpuu_http_request *req;
    pool *pool;
    host *host;
    CURL *easy; /* NULL = could not be started; ends with the code it already has */
    struct curl_slist *headers;
    char *origin, *place; /* "https://name:port", "name:port" */
    bool secure;
    unsigned long scheme; /* what this attempt authenticates with; 0 = nothing */
    size_t body_pos;      /* bytes of the body libcurl has taken */
    bool challenged;      /* a 401 or 407 came after the body was sent: it may be sent again */
    bool repeated;        /* libcurl tried to send it again without that */
    bool asked_anew;      /* with the scheme that a 401 offered: that happens once */
    bool too_big;
    char text[CURL_ERROR_SIZE];
} transfer;

struct cpuu_http {
    CURLM *multi;
    cpuu_log *log;
    char *ca_file, *proxy, *user_agent;
    struct curl_slist *connect_to;
    bool allow_insecure;
    uint32_t connect_ms, request_ms;
    unsigned long usable; /* CURLAUTH_* that this libcurl can do */
    bool ticket_only;     /* Negotiate ignores a given user and password */
    pool *pools;
    transfer *active;
    cpuu_http_request *failed; /* those there was no memory for */
    bool driving, stopping;
    cpuu_rc (*beat)(void *user);
    void *beat_user;
    uint64_t requests, sent, received;
};

/* ---- life of the client ---------------------------------------------------------------------- */

static void free_host(host *h)
{
    cpuu_free(h->origin);
    cpuu_free(h);
}

static void free_pool(pool *p)
{
    while (p->hosts) {
        host *h = p->hosts;
        p->hosts = h->next;
        free_host(h);
    }
    if (p->share)
        curl_share_cleanup(p->share);
    cpuu_free(p->user);
    cpuu_free_secret(p->password);
    cpuu_free(p);
}

/* GSS-API takes the ticket of the logged-in user and ignores a user and password that are given
 * (libcurl lib/vauth/spnego_gssapi.c); SSPI takes them. */
static void probe_schemes(cpuu_http *http)
{
    const curl_version_info_data *v = curl_version_info(CURLVERSION_NOW);
    http->usable = CURLAUTH_BASIC;
    if (v->features & CURL_VERSION_NTLM)
        http->usable |= CURLAUTH_NTLM;
    if (v->features & CURL_VERSION_SPNEGO)
        http->usable |= CURLAUTH_NEGOTIATE;
    http->ticket_only = !(v->features & CURL_VERSION_SSPI);
}

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
    probe_schemes(http);
    if (!http->multi || !copy_options(http, options ? options : &none)) {
        cpuu_http_free(http);
        return cpuu_nomem(err);
    }
    curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, MAX_CONNECTIONS);
    *out = http;
    return CPUU_OK;
}

static void free_transfer(transfer *t);
static void free_learning(cpuu_http_request *req);

void cpuu_http_free(cpuu_http *http)
{
    if (!http)
        return;
    while (http->active) {
        cpuu_http_request *req = http->active->req;
        free_transfer(http->active);
        if (req->only_learns)
            free_learning(req);
    }
    for (cpuu_http_request *req = http->failed, *next; req; req = next) {
        next = req->next_failed;
        if (req->only_learns)
            free_learning(req);
    }
    while (http->pools) {
        pool *p = http->pools;
        http->pools = p->next;
        free_pool(p);
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

/* ---- pools and hosts ------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool pool_is_for(const pool *p, const cpuu_credentials *c)
{
    if (!c || p->anonymous)
        return !c && p->anonymous;
    return same_text(p->user, c->user) && same_text(p->password, c->password);
}

static pool *get_pool(cpuu_http *http, const cpuu_credentials *c)
{
    for (pool *p = http->pools; p; p = p->next) {
        if (pool_is_for(p, c))
            return p;
    }
    pool *p = cpuu_calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->anonymous = !c;
    p->user = c ? cpuu_strdup(c->user) : NULL;
    p->password = c ? cpuu_strdup(c->password) : NULL;
    p->share = curl_share_init();
    if (!p->share || (c && ((c->user && !p->user) || (c->password && !p->password)))) {
        free_pool(p);
        return NULL;
    }
    curl_share_setopt(p->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT);
    curl_share_setopt(p->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    p->next = http->pools;
    http->pools = p;
    return p;
}

static host *get_host(pool *p, const char *origin)
{
    for (host *h = p->hosts; h; h = h->next) {
        if (strcmp(h->origin, origin) == 0)
            return h;
    }
    host *h = cpuu_calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    h->origin = cpuu_strdup(origin);
    if (!h->origin) {
        cpuu_free(h);
        return NULL;
    }
    h->next = p->hosts;
    p->hosts = h;
    return h;
}

/* ---- choosing an authentication scheme ------------------------------------------------------- */

static unsigned long scheme_named(const char *challenge, size_t size)
{
    static const struct {
        const char *name;
        unsigned long bit;
    } names[] = {{"Negotiate", CURLAUTH_NEGOTIATE}, {"NTLM", CURLAUTH_NTLM},
                 {"Basic", CURLAUTH_BASIC}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t n = strlen(names[i].name);
        if (size >= n && cpuu_ncasecmp(challenge, names[i].name, n) == 0 &&
            (size == n || challenge[n] == ' ' || challenge[n] == ','))
            return names[i].bit;
    }
    return 0;
}

/* Every place in a WWW-Authenticate value where a scheme can begin: the start, and after a comma
 * outside quotes (RFC 9110 11.6.1 allows several challenges in one field). */
static unsigned long schemes_in(const char *value, size_t size)
{
    unsigned long found = scheme_named(value, size);
    bool quoted = false;
    for (size_t i = 0; i < size; i++) {
        if (value[i] == '"')
            quoted = !quoted;
        if (quoted || value[i] != ',')
            continue;
        size_t k = i + 1;
        while (k < size && (value[k] == ' ' || value[k] == '\t'))
            k++;
        found |= scheme_named(value + k, size - k);
    }
    return found;
}

/* A challenge has any length: the Bearer one of a hybrid organisation names all its issuers. */
static unsigned long offered_schemes(const cpuu_http_request *req)
{
    const char *value;
    size_t size;
    unsigned long found = 0;
    for (unsigned i = 0; (value = cpuu_http_find_header(req, "WWW-Authenticate", i, &size)); i++)
        found |= schemes_in(value, size);
    return found;
}

/* The strongest scheme that both sides can do; 0 = none. A given password is never replaced by the
 * ticket of whoever is logged in, and without a password only the ticket is left. */
static unsigned long choose_scheme(const cpuu_http *http, const pool *p, unsigned long offered)
{
    unsigned long can = offered & http->usable;
    if (!p->user)
        return can & CURLAUTH_NEGOTIATE;
    if ((can & CURLAUTH_NEGOTIATE) && !http->ticket_only)
        return CURLAUTH_NEGOTIATE;
    if (can & CURLAUTH_NTLM)
        return CURLAUTH_NTLM;
    return can & CURLAUTH_BASIC;
}

/* ---- callbacks of libcurl -------------------------------------------------------------------- */

static size_t take_body(char *out, size_t size, size_t n, void *user)
{
    transfer *t = user;
    size_t room = size * n, left = t->req->body_size - t->body_pos;
    size_t now = left < room ? left : room;
    if (now)
        memcpy(out, (const uint8_t *)t->req->body + t->body_pos, now);
    t->body_pos += now;
    return now;
}

static int rewind_body(void *user, curl_off_t offset, int origin)
{
    transfer *t = user;
    if (offset != 0 || origin != SEEK_SET || !t->challenged) {
        t->repeated = true;
        return CURL_SEEKFUNC_FAIL;
    }
    t->body_pos = 0;
    return CURL_SEEKFUNC_OK;
}

/* Runs each time libcurl is about to send a request on a connection. */
static int before_request(void *user, char *ip, char *local, int port, int local_port)
{
    transfer *t = user;
    (void)ip, (void)local, (void)port, (void)local_port;
    if (t->body_pos && !t->challenged) {
        t->repeated = true;
        return CURL_PREREQFUNC_ABORT;
    }
    t->challenged = false;
    return CURL_PREREQFUNC_OK;
}

static size_t take_response(char *data, size_t size, size_t n, void *user)
{
    transfer *t = user;
    if (cpuu_buf_add(&t->req->response, data, size * n))
        return size * n;
    t->too_big = size * n > t->req->response.max - t->req->response.size;
    return size * n + 1; /* anything else than the number of bytes ends the transfer */
}

static size_t take_header(char *data, size_t size, size_t n, void *user)
{
    transfer *t = user;
    size_t bytes = size * n;
    if (bytes >= 5 && memcmp(data, "HTTP/", 5) == 0) {
        char line[32];
        unsigned status = 0;
        snprintf(line, sizeof(line), "%.*s", (int)(bytes < 31 ? bytes : 31), data);
        if (sscanf(line, "HTTP/%*s %3u", &status) == 1)
            t->challenged = status == 401 || status == 407;
        cpuu_buf_reset(&t->req->response_headers);
        cpuu_buf_reset(&t->req->response);
    }
    if (cpuu_buf_add(&t->req->response_headers, data, bytes))
        return bytes;
    t->too_big = bytes > t->req->response_headers.max - t->req->response_headers.size;
    return bytes + 1;
}

bool cpuu_http_allows_insecure(const cpuu_http *http)
{
    return http->allow_insecure;
}

/* ---- starting a request ---------------------------------------------------------------------- */

static cpuu_rc parse_url(transfer *t)
{
    cpuu_http_request *req = t->req;
    cpuu_url url;
    if (!cpuu_url_split(req->url, &url)) {
        req->curl_code = CURLE_URL_MALFORMAT;
        return cpuu_fail(&req->error, CPUU_E_NETWORK, "'%s' is not an http or https URL",
                         req->url);
    }
    t->secure = url.https;
    t->place = cpuu_asprintf("%s:%u", url.host, url.port);
    t->origin = cpuu_asprintf("%s://%s:%u", url.https ? "https" : "http", url.host, url.port);
    return t->origin && t->place ? CPUU_OK : cpuu_nomem(&req->error);
}

static bool add_header(transfer *t, const char *name, const char *value)
{
    if (strpbrk(name, "\r\n:") || strpbrk(value, "\r\n"))
        return false;
    /* "Name;" is libcurl's way to send a header without a value. */
    char *line = *value ? cpuu_asprintf("%s: %s", name, value) : cpuu_asprintf("%s;", name);
    struct curl_slist *longer = line ? curl_slist_append(t->headers, line) : NULL;
    cpuu_free(line);
    if (longer)
        t->headers = longer;
    return longer != NULL;
}

static cpuu_rc build_headers(transfer *t)
{
    cpuu_http_request *req = t->req;
    for (size_t i = 0; i < req->n_headers; i++) {
        if (!add_header(t, req->headers[i].name, req->headers[i].value))
            return cpuu_fail(&req->error, CPUU_E_NOMEM, "cannot build header %s",
                             req->headers[i].name);
    }
    /* "Expect:" without a value takes the header away; it would cost a round trip. */
    struct curl_slist *longer = curl_slist_append(t->headers, "Expect:");
    if (!longer)
        return cpuu_nomem(&req->error);
    t->headers = longer;
    return CPUU_OK;
}

static void set_method(CURL *e, transfer *t)
{
    const cpuu_http_request *req = t->req;
    if (strcmp(req->method, "GET") == 0) {
        curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
        return;
    }
    curl_easy_setopt(e, CURLOPT_POST, 1L);
    curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body_size);
    curl_easy_setopt(e, CURLOPT_READFUNCTION, take_body);
    curl_easy_setopt(e, CURLOPT_READDATA, t);
    curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, rewind_body);
    curl_easy_setopt(e, CURLOPT_SEEKDATA, t);
    curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, before_request);
    curl_easy_setopt(e, CURLOPT_PREREQDATA, t);
    if (strcmp(req->method, "POST") != 0)
        curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, req->method);
}

static CURLcode set_limits(CURL *e, const cpuu_http *http, const transfer *t)
{
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)http->connect_ms);
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)((http->request_ms + 999) / 1000));
    curl_easy_setopt(e, CURLOPT_CONNECT_TO, http->connect_to);
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2); /* at least */
#if LIBCURL_VERSION_NUM >= 0x075700
    if (t->req->only_learns) /* nobody waits for a name server on its account */
        curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
#endif
    CURLcode c = curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, t->secure ? "https" : "http");
    if (c == CURLE_OK)
        c = curl_easy_setopt(e, CURLOPT_USERAGENT, http->user_agent);
    if (c == CURLE_OK && http->ca_file)
        c = curl_easy_setopt(e, CURLOPT_CAINFO, http->ca_file);
    if (c == CURLE_OK && http->proxy)
        c = curl_easy_setopt(e, CURLOPT_PROXY, http->proxy);
    return c;
}

/* A single scheme makes libcurl authenticate at once, without a first request in vain. Empty user
 * and password stand for the ticket (CURLOPT_HTTPAUTH, CURLAUTH_NEGOTIATE). */
static CURLcode set_credentials(CURL *e, const transfer *t)
{
    if (!t->scheme)
        return CURLE_OK;
    curl_easy_setopt(e, CURLOPT_HTTPAUTH, t->scheme);
    CURLcode c = curl_easy_setopt(e, CURLOPT_USERNAME, t->pool->user ? t->pool->user : "");
    if (c == CURLE_OK)
        c = curl_easy_setopt(e, CURLOPT_PASSWORD, t->pool->password ? t->pool->password : "");
    return c;
}

static cpuu_rc start(transfer *t)
{
    cpuu_http *http = t->http;
    CURL *e = t->easy = curl_easy_init();
    if (!e)
        return cpuu_nomem(&t->req->error);
    t->body_pos = 0;
    t->challenged = t->repeated = t->too_big = false;
    t->scheme = t->host->scheme;
    cpuu_buf_reset(&t->req->response);
    cpuu_buf_reset(&t->req->response_headers);
    curl_easy_setopt(e, CURLOPT_PRIVATE, t);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->text);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_response);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(e, CURLOPT_SHARE, t->pool->share);
    set_method(e, t);
    if (curl_easy_setopt(e, CURLOPT_URL, t->req->url) != CURLE_OK ||
        set_limits(e, http, t) != CURLE_OK || set_credentials(e, t) != CURLE_OK ||
        curl_multi_add_handle(http->multi, e) != CURLM_OK) {
        curl_easy_cleanup(e);
        t->easy = NULL;
        return cpuu_nomem(&t->req->error);
    }
    return CPUU_OK;
}

static cpuu_rc prepare(transfer *t)
{
    cpuu_http *http = t->http;
    cpuu_http_request *req = t->req;
    if (http->stopping)
        return cpuu_fail(&req->error, CPUU_E_STOP, "stopped");
    cpuu_rc rc = parse_url(t);
    if (rc < 0)
        return rc;
    if (req->credentials && !t->secure && !http->allow_insecure)
        return cpuu_fail(&req->error, CPUU_E_AUTH,
                         "credentials are not sent to %s: only over https, unless "
                         "AllowInsecureHTTP is set",
                         t->origin);
    t->pool = get_pool(http, req->credentials);
    t->host = t->pool ? get_host(t->pool, t->origin) : NULL;
    if (!t->host)
        return cpuu_nomem(&req->error);
    if (req->only_learns && (t->host->scheme || t->host->asked))
        return cpuu_fail(&req->error, CPUU_E_STOP, "there is nothing to learn");
    t->host->asked |= req->only_learns;
    if (cpuu_fault_fail("request")) {
        req->curl_code = CURLE_COULDNT_CONNECT;
        return cpuu_fail(&req->error, CPUU_E_NETWORK, "cannot connect to %s", t->place);
    }
    rc = build_headers(t);
    if (rc < 0)
        return rc;
    cpuu_fault_step("http.request");
    return start(t);
}

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
    transfer *t = cpuu_calloc(1, sizeof(*t));
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
    req->rc = prepare(t);
}

/* ---- ending a request ------------------------------------------------------------------------ */

static void free_transfer(transfer *t)
{
    cpuu_http *http = t->http;
    if (t->easy) {
        curl_multi_remove_handle(http->multi, t->easy);
        curl_easy_cleanup(t->easy);
    }
    if (t->prev)
        t->prev->next = t->next;
    else
        http->active = t->next;
    if (t->next)
        t->next->prev = t->prev;
    t->req->transfer = NULL;
    curl_slist_free_all(t->headers);
    cpuu_free(t->origin);
    cpuu_free(t->place);
    cpuu_free(t);
}

static void count(transfer *t)
{
    long head_up = 0, head_down = 0;
    curl_off_t up = 0, down = 0;
    curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &head_up);
    curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &up);
    curl_easy_getinfo(t->easy, CURLINFO_HEADER_SIZE, &head_down);
    curl_easy_getinfo(t->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
    t->http->requests++;
    t->http->sent += (uint64_t)head_up + (uint64_t)up;
    t->http->received += (uint64_t)head_down + (uint64_t)down;
    t->req->sent = head_up > 0 && t->body_pos == t->req->body_size;
}

static cpuu_rc rc_of(const transfer *t, CURLcode code)
{
    if (t->too_big)
        return CPUU_E_TOOBIG;
    if (code == CURLE_OUT_OF_MEMORY || t->req->response.failed || t->req->response_headers.failed)
        return CPUU_E_NOMEM;
    return CPUU_E_NETWORK;
}

static void explain(transfer *t, CURLcode code)
{
    cpuu_http_request *req = t->req;
    char words[512];
    if (t->repeated)
        code = CURLE_GOT_NOTHING;
    req->curl_code = (uint32_t)code;
    req->rc = rc_of(t, code);
    if (req->rc == CPUU_E_TOOBIG) {
        cpuu_fail(&req->error, req->rc, "the response of %s is larger than %zu bytes", t->place,
                  req->response.max);
    } else if (req->rc == CPUU_E_NOMEM) {
        cpuu_nomem(&req->error);
    } else {
        cpuu_http_describe(req, words, sizeof(words));
        cpuu_fail(&req->error, req->rc, "request to %s failed: %s (%s)", t->place, words,
                  t->text[0] && !t->repeated ? t->text : curl_easy_strerror(code));
    }
}

/* After a 401 to an attempt without authentication, or with a scheme that was known and is not what
 * this URL of the host takes: the same request again, with the scheme that the server offers. False
 * when the 401 stands. */
static bool authenticate(transfer *t)
{
    if (t->req->status != 401 || !t->req->credentials)
        return false;
    unsigned long scheme = choose_scheme(t->http, t->pool, offered_schemes(t->req));
    if (t->scheme && (!scheme || scheme == t->scheme || t->asked_anew)) {
        t->host->scheme = 0; /* refused; ask again next time */
        return false;
    }
    t->asked_anew = true;
    t->host->scheme = scheme;
    if (t->req->only_learns)
        return false;
    if (!scheme) {
        cpuu_logf(t->http->log, CPUU_LV_WARNING,
                  "%s offers no way to authenticate that can be used with %s", t->place,
                  t->pool->user ? "a user name and password" : "the ticket of the logged-in user");
        return false;
    }
    curl_multi_remove_handle(t->http->multi, t->easy);
    curl_easy_cleanup(t->easy);
    t->easy = NULL;
    t->req->rc = start(t);
    return true;
}

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

static void deliver(transfer *t)
{
    cpuu_http_request *req = t->req;
    free_transfer(t);
    end_request(req);
}

static const char *type_of(const cpuu_http_request *req)
{
    for (size_t i = 0; i < req->n_headers; i++) {
        if (cpuu_caseeq(req->headers[i].name, "X-RequestType"))
            return req->headers[i].value;
    }
    return "";
}

/* One line for each answer, for who has to find out where the time goes. */
static void trace(const transfer *t, long status)
{
    const cpuu_http_request *req = t->req;
    curl_off_t us = 0;
    curl_easy_getinfo(t->easy, CURLINFO_TOTAL_TIME_T, &us);
    cpuu_logf(t->http->log, CPUU_LV_TRACE, "HTTP %s %s %s: %ld, %zu bytes sent, %zu received, %lld ms",
              req->method, req->url, type_of(req), status, req->body_size, req->response.size,
              (long long)us / 1000);
}

static void finish(transfer *t, CURLcode code)
{
    cpuu_http_request *req = t->req;
    long status = 0;
    count(t);
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    trace(t, status);
    req->status = (uint32_t)status;
    cpuu_fault_step("http.response");
    if (code == CURLE_OK && authenticate(t))
        return;
    if (code != CURLE_OK) {
        req->status = 0;
        explain(t, code);
    }
    deliver(t);
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
    for (transfer *t = http->active; t;) {
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
        transfer *t;
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
        finish(t, m->data.result);
        any = true;
    }
    return any;
}

/* Ends everything under way; what on_done submits meanwhile ends the same way. */
static void abort_all(cpuu_http *http)
{
    http->stopping = true;
    while (http->active) {
        transfer *t = http->active;
        if (t->easy) {
            count(t);
            t->req->rc = cpuu_fail(&t->req->error, CPUU_E_STOP, "stopped");
        }
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
    transfer *t = req->transfer;
    http->stopping = true; /* on_done cannot begin anew */
    if (t && t->easy) {
        count(t);
        cpuu_logf(http->log, CPUU_LV_TRACE, "HTTP %s %s %s: %s, the answer is not waited for",
                  req->method, req->url, type_of(req), req->sent ? "sent" : "not sent");
        req->rc = cpuu_fail(&req->error, CPUU_E_STOP, "not needed any more");
    }
    if (t)
        deliver(t);
    else if (take_failed(http, req))
        end_request(req);
    http->stopping = false;
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
