/*
 * One request with libcurl: its options, its callbacks, its result. A request is handed to the
 * server at most once. libcurl by itself repeats a request when a reused connection ends without an
 * answer, even a POST that was sent completely; the read position of the body and the two callbacks
 * `before_request` and `rewind_body` take that from it.
 */
#include "net/http_private.h"

#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

/* ---- callbacks of libcurl -------------------------------------------------------------------- */

static size_t take_body(char *out, size_t size, size_t n, void *user)
{
    cpuu_transfer *t = user;
    size_t room = size * n, left = t->req->body_size - t->body_pos;
    size_t now = left < room ? left : room;
    if (now)
        memcpy(out, (const uint8_t *)t->req->body + t->body_pos, now);
    t->body_pos += now;
    return now;
}

static int rewind_body(void *user, curl_off_t offset, int origin)
{
    cpuu_transfer *t = user;
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
    cpuu_transfer *t = user;
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
    cpuu_transfer *t = user;
    if (cpuu_buf_add(&t->req->response, data, size * n))
        return size * n;
    t->too_big = size * n > t->req->response.max - t->req->response.size;
    return size * n + 1; /* anything else than the number of bytes ends the transfer */
}

static size_t take_header(char *data, size_t size, size_t n, void *user)
{
    cpuu_transfer *t = user;
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

/* ---- starting a request ---------------------------------------------------------------------- */

static cpuu_rc parse_url(cpuu_transfer *t)
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

static bool add_header(cpuu_transfer *t, const char *name, const char *value)
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

static cpuu_rc build_headers(cpuu_transfer *t)
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

static void set_method(CURL *e, cpuu_transfer *t)
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

static CURLcode set_limits(CURL *e, const cpuu_http *http, const cpuu_transfer *t)
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
static CURLcode set_credentials(CURL *e, const cpuu_transfer *t)
{
    if (!t->scheme)
        return CURLE_OK;
    curl_easy_setopt(e, CURLOPT_HTTPAUTH, t->scheme);
    CURLcode c = curl_easy_setopt(e, CURLOPT_USERNAME, t->pool->user ? t->pool->user : "");
    if (c == CURLE_OK)
        c = curl_easy_setopt(e, CURLOPT_PASSWORD, t->pool->password ? t->pool->password : "");
    return c;
}

static cpuu_rc start(cpuu_transfer *t)
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

cpuu_rc cpuu_transfer_begin(cpuu_transfer *t)
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
    t->pool = cpuu_http_get_pool(http, req->credentials);
    t->host = t->pool ? cpuu_http_get_host(t->pool, t->origin) : NULL;
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

/* ---- ending a request ------------------------------------------------------------------------ */

void cpuu_transfer_free(cpuu_transfer *t)
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

static void count(cpuu_transfer *t)
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

static cpuu_rc rc_of(const cpuu_transfer *t, CURLcode code)
{
    if (t->too_big)
        return CPUU_E_TOOBIG;
    if (code == CURLE_OUT_OF_MEMORY || t->req->response.failed || t->req->response_headers.failed)
        return CPUU_E_NOMEM;
    return CPUU_E_NETWORK;
}

static void explain(cpuu_transfer *t, CURLcode code)
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
static bool authenticate(cpuu_transfer *t)
{
    if (t->req->status != 401 || !t->req->credentials)
        return false;
    unsigned long scheme = cpuu_http_choose_scheme(t->http, t->pool, t->req);
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

static const char *type_of(const cpuu_http_request *req)
{
    for (size_t i = 0; i < req->n_headers; i++) {
        if (cpuu_caseeq(req->headers[i].name, "X-RequestType"))
            return req->headers[i].value;
    }
    return "";
}

/* One line for each answer, for who has to find out where the time goes. */
static void trace(const cpuu_transfer *t, long status)
{
    const cpuu_http_request *req = t->req;
    curl_off_t us = 0;
    curl_easy_getinfo(t->easy, CURLINFO_TOTAL_TIME_T, &us);
    cpuu_logf(t->http->log, CPUU_LV_TRACE,
              "HTTP %s %s %s: %ld, %zu bytes sent, %zu received, %lld ms", req->method, req->url,
              type_of(req), status, req->body_size, req->response.size, (long long)us / 1000);
}

bool cpuu_transfer_finish(cpuu_transfer *t, CURLcode code)
{
    cpuu_http_request *req = t->req;
    long status = 0;
    count(t);
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    trace(t, status);
    req->status = (uint32_t)status;
    cpuu_fault_step("http.response");
    if (code == CURLE_OK && authenticate(t))
        return false;
    if (code == CURLE_OK && cpuu_fault_fail("answer"))
        code = CURLE_RECV_ERROR;
    if (code == CURLE_OK)
        return true;
    req->status = 0;
    explain(t, code);
    return true;
}

void cpuu_transfer_stop(cpuu_transfer *t, const char *why)
{
    cpuu_http_request *req = t->req;
    count(t);
    cpuu_logf(t->http->log, CPUU_LV_TRACE, "HTTP %s %s %s: %s, the answer is not waited for",
              req->method, req->url, type_of(req), req->sent ? "sent" : "not sent");
    req->rc = cpuu_fail(&req->error, CPUU_E_STOP, "%s", why);
}
