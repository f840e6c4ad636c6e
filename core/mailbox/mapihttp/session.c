/* A MAPI/HTTP session context; see session.h for the promises. */
#include "mailbox/mapihttp/session.h"

#include "base/mem.h"
#include "base/text.h"
#include "net/patience.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The form is documented as "Outlook/15.xx.xxxx.xxxx" ([MS-OXCMAPIHTTP] R162). Observed: one server
 * chains no payloads for Outlook/15.x and 16.0 below build 10000, so a later build is named. Who we
 * are is said by User-Agent. */
#define CLIENT_APPLICATION "Outlook/16.0.10000.1000"

#define NO_COMPRESSION 0x1u /* [MS-OXCRPC] 3.1.4.2, pulFlags */
#define NO_XOR_MAGIC   0x2u
#define CHAIN          0x4u

#define MAX_PAYLOAD     (0x8000u - 8u) /* 32 KB together with RPC_HEADER_EXT ([MS-OXCRPC] R1628) */
#define DEFAULT_ROP_OUT 0x10008u
#define MAX_ROP_OUT     0x40000u       /* [MS-OXCRPC] R666 */
#define MAX_ROP_IN      0x40000u       /* [MS-OXCRPC] R1373 */
#define MAX_RESPONSE    ((size_t)4 << 20)
#define MAX_PLAIN       ((size_t)96 << 16) /* as many payloads of 64 KB */
#define MAX_COOKIES     32
#define MAX_REDIRECTS   3

#define CODE_PAGE 1252u  /* for PtypString8, which we never ask for */
#define LCID      0x409u /* sorting and texts of the server; results do not depend on it */

#define EC_BUFFER_TOO_SMALL 0x47du
#define UNBIND_SUCCESS      1u /* [MS-OXNSPI] 2.2.1.2, ErrorCode of Unbind */

typedef struct cookie {
    char *name, *value;
} cookie;

struct cpuu_session {
    cpuu_http *http;
    cpuu_log *log;
    cpuu_session_kind kind;
    char *url, *user_dn, *name;
    const cpuu_credentials *credentials;
    cpuu_session_info info;
    bool connected;
    cpuu_call *call; /* under way; NULL = none */
    char request_guid[39], client_info[56];
    uint32_t counter;
    unsigned redirects; /* followed so far */
    cookie cookies[MAX_COOKIES];
    size_t n_cookies;
    /* what the request under way borrows */
    char request_id[56];
    char *cookie_line;
    cpuu_http_header headers[8];
};

/* ---- life ------------------------------------------------------------------------------------ */

static bool is_zero(const uint8_t *p, size_t n)
{
    while (n && p[n - 1] == 0)
        n--;
    return n == 0;
}

static bool name_session(cpuu_session *s, const cpuu_session_options *o)
{
    uint8_t guid[16];
    char text[39];
    if (!cpuu_guid_random(guid))
        return false;
    cpuu_guid_text(s->request_guid, guid);
    if (!is_zero(o->client_guid, 16))
        memcpy(guid, o->client_guid, 16);
    else if (!cpuu_guid_random(guid))
        return false;
    cpuu_guid_text(text, guid);
    snprintf(s->client_info, sizeof(s->client_info), "%s:%u", text, o->number);
    return true;
}

cpuu_rc cpuu_session_new(cpuu_http *http, const cpuu_session_options *options, cpuu_log *log,
                         cpuu_session **out, cpuu_error *err)
{
    cpuu_session *s = cpuu_calloc(1, sizeof(*s));
    if (!s)
        return cpuu_nomem(err);
    s->http = http;
    s->log = log;
    s->kind = options->kind;
    s->credentials = options->credentials;
    s->url = cpuu_strdup(options->url);
    s->name = cpuu_strdup(options->name ? options->name : options->url);
    s->user_dn = cpuu_strdup(options->user_dn ? options->user_dn : "");
    cpuu_rc rc = CPUU_OK;
    if (!s->url || !s->name || !s->user_dn)
        rc = cpuu_nomem(err);
    else if (!name_session(s, options))
        rc = cpuu_fail(err, CPUU_E_FAILED, "the system gives no random numbers");
    if (rc < 0) {
        cpuu_session_free(s);
        return rc;
    }
    *out = s;
    return CPUU_OK;
}

static void forget_cookies(cpuu_session *s)
{
    for (size_t i = 0; i < s->n_cookies; i++) {
        cpuu_free(s->cookies[i].name);
        cpuu_free_secret(s->cookies[i].value);
    }
    s->n_cookies = 0;
}

void cpuu_session_free(cpuu_session *s)
{
    if (!s)
        return;
    forget_cookies(s);
    cpuu_free_secret(s->cookie_line);
    cpuu_free(s->url);
    cpuu_free(s->name);
    cpuu_free(s->user_dn);
    cpuu_free(s);
}

bool cpuu_session_connected(const cpuu_session *s)
{
    return s->connected;
}

bool cpuu_session_busy(const cpuu_session *s)
{
    return s->call != NULL;
}

const cpuu_session_info *cpuu_session_get_info(const cpuu_session *s)
{
    return &s->info;
}

void cpuu_call_clear(cpuu_call *call)
{
    cpuu_http_request_clear(&call->http);
    cpuu_buf_free(&call->request);
    cpuu_buf_free(&call->plain);
    cpuu_free(call->replies);
    call->replies = NULL;
    call->n_replies = 0;
    call->reply = NULL;
    call->reply_size = 0;
}

/* ---- cookies --------------------------------------------------------------------------------- */

static cookie *find_cookie(cpuu_session *s, const char *name, size_t n)
{
    for (size_t i = 0; i < s->n_cookies; i++) {
        if (strlen(s->cookies[i].name) == n && memcmp(s->cookies[i].name, name, n) == 0)
            return &s->cookies[i];
    }
    return NULL;
}

static size_t span_until(const char *p, size_t n, char stop)
{
    const char *at = n ? memchr(p, stop, n) : NULL;
    return at ? (size_t)(at - p) : n;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* "name=value; attributes": the attributes do not matter within one URL. Blanks around name and
 * value do not belong to them (RFC 6265 5.2). */
static cpuu_rc keep_cookie(cpuu_session *s, const char *line, size_t size, cpuu_error *err)
{
    size_t end = span_until(line, size, ';'), name = span_until(line, end, '='), from = name + 1;
    while (name && is_blank(line[name - 1]))
        name--;
    if (name == 0 || from > end)
        return CPUU_OK;
    while (from < end && is_blank(line[from]))
        from++;
    while (end > from && is_blank(line[end - 1]))
        end--;
    cookie *c = find_cookie(s, line, name);
    char *value = cpuu_strndup(line + from, end - from);
    if (!value)
        return cpuu_nomem(err);
    if (c) {
        cpuu_free_secret(c->value);
        c->value = value;
        return CPUU_OK;
    }
    char *copy = s->n_cookies < MAX_COOKIES ? cpuu_strndup(line, name) : NULL;
    if (!copy) {
        cpuu_free_secret(value);
        if (s->n_cookies == MAX_COOKIES)
            return cpuu_fail(err, CPUU_E_FORMAT, "%s: too many cookies", s->name);
        return cpuu_nomem(err);
    }
    s->cookies[s->n_cookies++] = (cookie){copy, value};
    return CPUU_OK;
}

/* A cookie that a response does not repeat stays in force: the session context cookie is to be sent
 * as long as the context lives ([MS-OXCMAPIHTTP] R1149, R1160, R1167). */
static cpuu_rc keep_cookies(cpuu_session *s, const cpuu_http_request *req, cpuu_error *err)
{
    const char *line;
    size_t size;
    for (unsigned i = 0; (line = cpuu_http_find_header(req, "Set-Cookie", i, &size)); i++) {
        cpuu_rc rc = memchr(line, 0, size) ? CPUU_OK : keep_cookie(s, line, size, err);
        if (rc < 0)
            return rc;
    }
    return CPUU_OK;
}

static bool build_cookie_line(cpuu_session *s)
{
    cpuu_free_secret(s->cookie_line);
    s->cookie_line = cpuu_strdup("");
    for (size_t i = 0; i < s->n_cookies && s->cookie_line; i++) {
        char *longer = cpuu_asprintf("%s%s%s=%s", s->cookie_line, i ? "; " : "",
                                     s->cookies[i].name, s->cookies[i].value);
        cpuu_free_secret(s->cookie_line);
        s->cookie_line = longer;
    }
    return s->cookie_line != NULL;
}

/* ---- sending --------------------------------------------------------------------------------- */

static void answered(cpuu_http_request *req);

static size_t build_headers(cpuu_session *s, const char *type)
{
    size_t n = 0;
    snprintf(s->request_id, sizeof(s->request_id), "%s:%u", s->request_guid, ++s->counter);
    s->headers[n++] = (cpuu_http_header){"Content-Type", "application/mapi-http"};
    s->headers[n++] = (cpuu_http_header){"Accept", "application/mapi-http"};
    s->headers[n++] = (cpuu_http_header){"X-RequestType", type};
    s->headers[n++] = (cpuu_http_header){"X-RequestId", s->request_id};
    s->headers[n++] = (cpuu_http_header){"X-ClientInfo", s->client_info};
    s->headers[n++] = (cpuu_http_header){"X-ClientApplication", CLIENT_APPLICATION};
    if (*s->cookie_line)
        s->headers[n++] = (cpuu_http_header){"Cookie", s->cookie_line};
    return n;
}

static void send_call(cpuu_session *s, cpuu_call *call)
{
    cpuu_http_request *r = &call->http;
    r->method = "POST";
    r->url = s->url;
    r->headers = s->headers;
    r->n_headers = build_headers(s, call->type);
    r->body = call->request.data;
    r->body_size = call->request.size;
    r->credentials = s->credentials;
    r->max_response = MAX_RESPONSE;
    r->on_done = answered;
    r->user = call;
    cpuu_http_submit(s->http, r);
}

static void begin(cpuu_session *s, const char *type, cpuu_call *call)
{
    cpuu_call_clear(call);
    call->session = s;
    call->type = type;
    call->end = CPUU_CALL_NO_ANSWER;
    call->rc = CPUU_OK;
    call->maybe_done = false;
    call->response_code = call->status_code = call->error_code = call->retry_after_s = 0;
    call->resent = call->with_old_cookies = false;
    memset(&call->error, 0, sizeof(call->error));
    cpuu_buf_init(&call->request, MAX_RESPONSE);
    cpuu_buf_init(&call->plain, MAX_PLAIN);
    if (s->call)
        call->rc = cpuu_fail(&call->error, CPUU_E_FAILED, "%s: a request is under way", s->name);
}

static void submit(cpuu_session *s, cpuu_call *call)
{
    if (call->rc >= 0 && call->request.failed)
        call->rc = cpuu_nomem(&call->error);
    if (call->rc >= 0 && !build_cookie_line(s))
        call->rc = cpuu_nomem(&call->error);
    if (call->rc < 0) {
        call->http.on_done = answered;
        call->http.user = call;
        cpuu_http_submit_failed(s->http, &call->http, &call->error);
        return;
    }
    s->call = call;
    send_call(s, call);
}

static void need(cpuu_session *s, cpuu_call *call, cpuu_session_kind kind)
{
    if (call->rc < 0)
        return;
    if (s->kind != kind)
        call->rc = cpuu_fail(&call->error, CPUU_E_FAILED, "%s: %s is not for this endpoint",
                             s->name, call->type);
    else if (!s->connected)
        call->rc = cpuu_fail(&call->error, CPUU_E_FAILED, "%s: %s without a session context",
                             s->name, call->type);
}

/* The cookies of an earlier context are passed on, so that the server can clean up after it
 * ([MS-OXCMAPIHTTP] R1192-1195). */
void cpuu_session_connect(cpuu_session *s, cpuu_call *call)
{
    bool mailbox = s->kind == CPUU_SESSION_MAILBOX;
    begin(s, mailbox ? "Connect" : "Bind", call);
    if (call->rc >= 0) {
        s->connected = false;
        memset(&s->info, 0, sizeof(s->info));
        call->with_old_cookies = s->n_cookies > 0;
    }
    if (mailbox) { /* [MS-OXCMAPIHTTP] 2.2.4.1.1 */
        cpuu_buf_sz(&call->request, s->user_dn);
        cpuu_buf_u32(&call->request, 0); /* Flags: not as administrator */
        cpuu_buf_u32(&call->request, CODE_PAGE);
        cpuu_buf_u32(&call->request, LCID); /* LcidSort */
        cpuu_buf_u32(&call->request, LCID); /* LcidString */
        cpuu_buf_u32(&call->request, 0);    /* AuxiliaryBufferSize */
    } else {
        cpuu_buf_add(&call->request, call->body, call->body_size);
    }
    submit(s, call);
}

/* [MS-OXCMAPIHTTP] 2.2.4.2.1 */
static void build_execute(cpuu_call *call)
{
    cpuu_buf *b = &call->request;
    uint32_t out = call->max_rop_out ? call->max_rop_out : DEFAULT_ROP_OUT;
    cpuu_buf_u32(b, NO_COMPRESSION | NO_XOR_MAGIC | (call->chain ? CHAIN : 0));
    cpuu_buf_u32(b, (uint32_t)(call->body_size + 8 + call->more_size));
    cpuu_rop_buffer_add(b, call->body, call->body_size, call->more_size == 0);
    cpuu_buf_add(b, call->more, call->more_size);
    cpuu_buf_u32(b, out > MAX_ROP_OUT ? MAX_ROP_OUT : out);
    cpuu_buf_u32(b, 0); /* AuxiliaryBufferSize */
}

void cpuu_session_execute(cpuu_session *s, cpuu_call *call)
{
    begin(s, "Execute", call);
    need(s, call, CPUU_SESSION_MAILBOX);
    if (call->rc >= 0 && (call->body_size > MAX_PAYLOAD ||
                          call->body_size + 8 + call->more_size > MAX_ROP_IN))
        call->rc = cpuu_fail(&call->error, CPUU_E_TOOBIG, "%s: a request of %zu bytes", s->name,
                             call->body_size);
    else if (call->rc >= 0)
        build_execute(call);
    submit(s, call);
}

void cpuu_session_request(cpuu_session *s, const char *type, cpuu_call *call)
{
    begin(s, type, call);
    need(s, call, CPUU_SESSION_DIRECTORY);
    if (call->rc >= 0)
        cpuu_buf_add(&call->request, call->body, call->body_size);
    submit(s, call);
}

void cpuu_session_disconnect(cpuu_session *s, cpuu_call *call)
{
    bool mailbox = s->kind == CPUU_SESSION_MAILBOX;
    begin(s, mailbox ? "Disconnect" : "Unbind", call);
    need(s, call, s->kind);
    if (call->rc >= 0) {
        s->connected = false;
        if (!mailbox)
            cpuu_buf_u32(&call->request, 0); /* Reserved ([MS-OXCMAPIHTTP] 2.2.5.2.1) */
        cpuu_buf_u32(&call->request, 0);     /* AuxiliaryBufferSize */
    }
    submit(s, call);
}

/* ---- receiving ------------------------------------------------------------------------------- */

static bool is_type(const cpuu_call *call, const char *type)
{
    return strcmp(call->type, type) == 0;
}

static bool opens_context(const cpuu_call *call)
{
    return is_type(call, "Connect") || is_type(call, "Bind");
}

static void end_call(cpuu_session *s, cpuu_call *call)
{
    if (s->call == call)
        s->call = NULL;
    if (call->rc >= 0)
        call->maybe_done = false;
    call->on_done(call);
}

/* The whole request may have arrived and what became of it is not known. */
static void lose(cpuu_session *s, cpuu_call *call)
{
    s->connected = false;
    call->maybe_done = true;
}

/* Nothing can have been carried out unless the whole request was sent; then the same request goes
 * out once more, over a new connection and with the same cookies ([MS-OXCMAPIHTTP] R1205). */
static bool send_again(cpuu_session *s, cpuu_call *call)
{
    if (call->resent || call->http.sent || call->http.rc != CPUU_E_NETWORK ||
        !cpuu_http_worth_repeating(&call->http))
        return false;
    call->resent = true;
    s->counter--; /* as it is, the request id included */
    send_call(s, call);
    return true;
}

static void no_response(cpuu_session *s, cpuu_call *call)
{
    call->rc = call->http.rc;
    call->error = call->http.error;
    cpuu_wrap(&call->error, "%s: %s", s->name, call->type);
    if (call->http.sent)
        lose(s, call);
}

static void bad_status(cpuu_session *s, cpuu_call *call)
{
    char words[320];
    uint32_t status = call->http.status;
    cpuu_rc rc = status == 401                    ? CPUU_E_AUTH
                 : status == 403                  ? CPUU_E_ACCESS
                 : status == 429 || status == 503 ? CPUU_E_BUSY
                                                  : CPUU_E_NETWORK;
    cpuu_http_describe(&call->http, words, sizeof(words));
    call->rc = cpuu_fail(&call->error, rc, "%s: %s: %s", s->name, call->type, words);
    call->error.detail = status;
    call->retry_after_s = cpuu_http_retry_after(&call->http);
    /* A 5xx is "some exceptional condition" ([MS-OXCMAPIHTTP] R1304); only 503 says that the
     * request was not taken up. A 400 may be about one ROP of many: servers exist that carry out
     * what comes before it. */
    if (status == 400 || (status >= 500 && status != 503))
        lose(s, call);
}

static void unreadable(cpuu_session *s, cpuu_call *call)
{
    call->rc = call->error.rc;
    cpuu_wrap(&call->error, "%s: %s", s->name, call->type);
    lose(s, call);
}

/* X-ResponseCode of the response headers. Documented to be always there ([MS-OXCMAPIHTTP] 2.2.2.2);
 * where it is not, that of the additional headers must be. False: it is no number. */
static bool header_code(cpuu_call *call, bool *given)
{
    char text[32], *end;
    *given = cpuu_http_get_header(&call->http, "X-ResponseCode", 0, text, sizeof(text));
    if (!*given)
        return true;
    unsigned long v = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || v > UINT32_MAX) {
        cpuu_fail(&call->error, CPUU_E_FORMAT, "the server sent X-ResponseCode '%s'", text);
        return false;
    }
    call->response_code = (uint32_t)v;
    return true;
}

/*
 * The request was not accepted. The numbers are documented ([MS-OXCMAPIHTTP] 2.2.3.3.3), but servers
 * exist that have their own, and after any of them one of those servers also refuses the context
 * (observed); so every number means: connect again. Only "unknown failure", "invalid response",
 * what is beyond the table, and a code that came after PROCESSING leave open what was done.
 */
static void refused(cpuu_session *s, cpuu_call *call, bool late)
{
    uint32_t code = call->response_code;
    s->connected = false;
    call->end = CPUU_CALL_CONTEXT_LOST;
    call->maybe_done = late || code == 1 || code == 17 || code > 18;
    call->rc = cpuu_fail(&call->error, CPUU_E_IO,
                         "%s: the server did not accept %s (X-ResponseCode %u); the session has "
                         "to be opened again",
                         s->name, call->type, code);
    call->error.detail = code;
}

/* A new context could not be opened with the cookies of an old one: once more without them. */
static bool connect_afresh(cpuu_session *s, cpuu_call *call)
{
    if (!opens_context(call) || !call->with_old_cookies)
        return false;
    call->with_old_cookies = false;
    forget_cookies(s);
    if (!build_cookie_line(s))
        return false;
    send_call(s, call);
    return true;
}

/* The server sends whoever opens a context to another one ([MS-OXCMAPIHTTP] 2.2.2.2 names 302).
 * Followed to the same path only, and never from https to http: what asks for a logon there is a
 * mailbox server, not a login page. */
static bool follow_redirect(cpuu_session *s, cpuu_call *call)
{
    char to[2048];
    cpuu_url old, new;
    uint32_t status = call->http.status;
    if (!opens_context(call) || s->redirects == MAX_REDIRECTS ||
        (status != 301 && status != 302 && status != 307 && status != 308) ||
        !cpuu_http_get_header(&call->http, "Location", 0, to, sizeof(to)) ||
        !cpuu_url_split(to, &new) || !cpuu_url_split(s->url, &old) ||
        cpuu_casecmp(old.path, new.path) != 0 || (old.https && !new.https))
        return false;
    char *url = cpuu_strdup(to);
    if (!url)
        return false;
    cpuu_free(s->url);
    s->url = url;
    s->redirects++;
    send_call(s, call);
    return true;
}

static void copy_text(char *out, size_t out_size, const uint8_t *text, size_t n)
{
    size_t size = n < out_size ? n : out_size - 1;
    if (size)
        memcpy(out, text, size);
    while (size && !cpuu_utf8_valid(out, size))
        size--;
    out[size] = 0;
}

/* [MS-OXCMAPIHTTP] 2.2.4.1.2, after ErrorCode */
static bool read_connect(cpuu_session *s, cpuu_reader *r, cpuu_error *err)
{
    uint32_t dn_size, name_size;
    cpuu_buf name;
    cpuu_read_u32(r, "PollsMax");
    s->info.retry_count = cpuu_read_u32(r, "RetryCount");
    s->info.retry_delay_ms = cpuu_read_u32(r, "RetryDelay");
    const uint8_t *dn = cpuu_read_sz8(r, &dn_size, "DnPrefix");
    const uint8_t *wide = cpuu_read_sz16(r, &name_size, "DisplayName");
    if (r->failed)
        return false;
    uint32_t aux_size = cpuu_read_u32(r, "AuxiliaryBufferSize");
    const uint8_t *aux = cpuu_read_bytes(r, aux_size, "AuxiliaryBuffer");
    if (aux && (cpuu_aux_capabilities(aux, aux_size) & CPUU_CAN_PACK_STREAMS))
        s->info.packs_streams = true;
    r->failed = false; /* nothing depends on it */
    cpuu_buf_init(&name, MAX_RESPONSE * 2); /* UTF-8 needs at most 3 bytes for 2 */
    if (!cpuu_buf_utf8_from_utf16(&name, wide, name_size)) {
        cpuu_buf_free(&name);
        cpuu_nomem(err);
        return false;
    }
    copy_text(s->info.dn_prefix, sizeof(s->info.dn_prefix), dn, dn_size);
    copy_text(s->info.display_name, sizeof(s->info.display_name), name.data, name.size);
    cpuu_buf_free(&name);
    return true;
}

/* [MS-OXCMAPIHTTP] 2.2.4.2.2, after ErrorCode */
static bool read_execute(cpuu_call *call, cpuu_reader *r)
{
    cpuu_read_u32(r, "Flags");
    uint32_t size = cpuu_read_u32(r, "RopBufferSize");
    const uint8_t *rops = cpuu_read_bytes(r, size, "RopBuffer");
    return !r->failed && cpuu_rop_buffer_parse(rops, size, &call->plain, &call->replies,
                                               &call->n_replies, &call->error) >= 0;
}

static bool accepted(const cpuu_call *call)
{
    if (is_type(call, "Unbind"))
        return call->error_code == 0 || call->error_code == UNBIND_SUCCESS;
    return cpuu_mapi_rc(call->error_code) >= 0;
}

static void refuse_body(cpuu_session *s, cpuu_call *call, uint32_t code)
{
    call->rc = cpuu_mapi_fail(&call->error, code, "%s: %s failed", s->name, call->type);
    /* "The ROPs before the overflow were executed" is measured for 0x47D; for other codes nothing
     * is known, and a write that may have happened must not be repeated. */
    call->maybe_done = is_type(call, "Execute");
}

/* StatusCode and ErrorCode begin every response; a StatusCode other than 0 ends it but for the
 * auxiliary buffer ([MS-OXCMAPIHTTP] 2.2.4.1.3 and elsewhere). */
static void read_body(cpuu_session *s, cpuu_call *call, const cpuu_mapi_frame *frame)
{
    cpuu_reader r;
    bool ok = true;
    cpuu_reader_init(&r, frame->data, frame->size);
    call->status_code = cpuu_read_u32(&r, "StatusCode");
    if (!r.failed && call->status_code == 0)
        call->error_code = cpuu_read_u32(&r, "ErrorCode");
    if (!r.failed && (call->status_code || !accepted(call))) {
        call->end = CPUU_CALL_ANSWERED;
        if (call->status_code)
            s->connected = false;
        refuse_body(s, call, call->status_code ? call->status_code : call->error_code);
        return;
    }
    if (!r.failed) {
        call->reply = r.data + r.pos;
        call->reply_size = cpuu_reader_left(&r);
        if (is_type(call, "Connect"))
            ok = read_connect(s, &r, &call->error);
        else if (is_type(call, "Execute"))
            ok = read_execute(call, &r);
    }
    if (r.failed)
        cpuu_fail(&call->error, CPUU_E_FORMAT, "response body, byte %u: %s %s", r.error.offset,
                  r.error.field, r.error.what);
    if (r.failed || !ok) {
        unreadable(s, call);
        return;
    }
    call->end = CPUU_CALL_ANSWERED;
    call->rc = CPUU_OK;
}

static void note_server(cpuu_session *s, const cpuu_http_request *req)
{
    char text[16];
    cpuu_http_get_header(req, "X-ServerApplication", 0, s->info.server, sizeof(s->info.server));
    if (cpuu_http_get_header(req, "X-ExpirationInfo", 0, text, sizeof(text)))
        s->info.expires_ms = (uint32_t)strtoul(text, NULL, 10);
}

static bool echoes_type(cpuu_call *call)
{
    char type[64];
    if (!cpuu_http_get_header(&call->http, "X-RequestType", 0, type, sizeof(type)) ||
        cpuu_caseeq(type, call->type))
        return true;
    cpuu_fail(&call->error, CPUU_E_FORMAT, "the server answered another request (%s)", type);
    return false;
}

/* The frame of a response that was not refused in its first headers. */
static bool read_frame(cpuu_session *s, cpuu_call *call, bool given, cpuu_mapi_frame *frame)
{
    cpuu_rc rc = cpuu_mapi_frame_parse(call->http.response.data, call->http.response.size, frame,
                                       &call->error);
    if (!given && (rc < 0 || !frame->has_response_code))
        rc = cpuu_fail(&call->error, CPUU_E_FORMAT,
                       "the answer is not one of MAPI/HTTP (no X-ResponseCode); check the URL");
    if (rc >= 0)
        rc = keep_cookies(s, &call->http, &call->error);
    return rc >= 0;
}

/* A response with HTTP status 200. True when the call is to be sent again. */
static bool read_response(cpuu_session *s, cpuu_call *call)
{
    cpuu_mapi_frame frame = {0};
    bool late = false, given;
    if (!header_code(call, &given) || (call->response_code == 0 && !echoes_type(call))) {
        unreadable(s, call);
        return false;
    }
    if (call->response_code == 0) {
        if (!read_frame(s, call, given, &frame)) {
            unreadable(s, call);
            return false;
        }
        if (frame.has_response_code)
            call->response_code = frame.response_code;
        late = true;
    }
    if (call->response_code) {
        if (connect_afresh(s, call))
            return true;
        refused(s, call, late);
        return false;
    }
    note_server(s, &call->http);
    read_body(s, call, &frame);
    return false;
}

static void answered(cpuu_http_request *req)
{
    cpuu_call *call = req->user;
    cpuu_session *s = call->session;
    if (req->rc < 0) {
        if (s->call == call && send_again(s, call))
            return;
        if (call->rc >= 0)
            no_response(s, call);
    } else if (req->status != 200) {
        if (follow_redirect(s, call))
            return;
        bad_status(s, call);
    } else if (read_response(s, call)) {
        return;
    }
    if (opens_context(call))
        s->connected = call->rc >= 0;
    if (!s->connected && (is_type(call, "Disconnect") || is_type(call, "Unbind")))
        forget_cookies(s);
    end_call(s, call);
}
