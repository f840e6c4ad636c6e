/* MAPI/HTTP: headers, cookies, session contexts ([MS-OXCMAPIHTTP] 2.2.3, 2.2.4, 3.2.5). */
#include "tests/lab/http.h"

#include "base/clock.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* X-ResponseCode, [MS-OXCMAPIHTTP] 2.2.3.3.3 */
enum {
    RC_OK = 0,
    RC_VERB = 2,
    RC_HEADER = 4,
    RC_TYPE = 5,
    RC_BAD_COOKIE = 6,
    RC_MISSING_HEADER = 7,
    RC_TOO_LARGE = 9,
    RC_NO_CONTEXT = 10,
    RC_BODY = 12,
    RC_MISSING_COOKIE = 13,
    RC_SEQUENCE = 15
};

void lab_response_header(lab_response *r, const char *name, const char *fmt, ...)
{
    if (r->n_headers >= sizeof(r->headers) / sizeof(r->headers[0]))
        return;
    lab_header *h = &r->headers[r->n_headers++];
    va_list ap;
    snprintf(h->name, sizeof(h->name), "%s", name);
    va_start(ap, fmt);
    vsnprintf(h->value, sizeof(h->value), fmt, ap);
    va_end(ap);
}

bool lab_cookie(const lab_request *q, const char *name, char *out, size_t size)
{
    const char *p = q->header(q->from, "Cookie");
    size_t n = strlen(name);
    while (p && *p) {
        while (*p == ' ' || *p == ';')
            p++;
        size_t len = strcspn(p, ";");
        if (len > n && strncmp(p, name, n) == 0 && p[n] == '=') {
            snprintf(out, size, "%.*s", (int)(len - n - 1), p + n + 1);
            return true;
        }
        p += len;
    }
    return false;
}

/* ---- contexts -------------------------------------------------------------------------------- */

static void drop_context(lab_org *o, lab_context *c)
{
    for (size_t i = 0; i < o->n_contexts; i++) {
        if (o->contexts[i] != c)
            continue;
        o->contexts[i] = o->contexts[--o->n_contexts];
        lab_context_clear(c);
        cpuu_free(c);
        return;
    }
}

void lab_contexts_free(lab_org *o)
{
    while (o->n_contexts)
        drop_context(o, o->contexts[0]);
    cpuu_free(o->contexts);
    o->contexts = NULL;
    o->contexts_cap = 0;
}

static lab_context *find_context(const lab_org *o, uint64_t sid)
{
    for (size_t i = 0; i < o->n_contexts; i++)
        if (o->contexts[i]->sid == sid)
            return o->contexts[i];
    return NULL;
}

/* The session number is spread with the lab's secret, so that one cannot be guessed from another.
 */
static uint64_t new_sid(lab *l)
{
    uint64_t h = cpuu_le64(l->secret) + ++l->cookies * 0x9E3779B97F4A7C15u;
    h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9u;
    h ^= h >> 27;
    return h ? h : 1;
}

static lab_context *new_context(const lab_request *q, bool nspi)
{
    size_t mine = 0;
    for (size_t i = 0; i < q->org->n_contexts; i++)
        mine += q->org->contexts[i]->user == q->user;
    if (mine >= q->org->max_contexts)
        return NULL;
    lab_context *c = lab_calloc(1, sizeof(*c));
    c->sid = new_sid(q->org->lab);
    c->sequence = new_sid(q->org->lab);
    c->user = q->user;
    c->org = q->org;
    c->nspi = nspi;
    snprintf(c->mailbox, sizeof(c->mailbox), "%s", q->query_mailbox ? q->query_mailbox : "");
    LAB_GROW(q->org->contexts, q->org->contexts_cap, q->org->n_contexts);
    q->org->contexts[q->org->n_contexts++] = c;
    return c;
}

/* The context the cookies name; *code tells why there is none. */
static lab_context *cookie_context(const lab_request *q, bool nspi, int *code)
{
    char sid[40], seq[40];
    char *end;
    *code = RC_MISSING_COOKIE;
    if (!lab_cookie(q, "MapiContext", sid, sizeof(sid)))
        return NULL;
    uint64_t id = strtoull(sid, &end, 16);
    *code = RC_BAD_COOKIE;
    if (strlen(sid) != 16 || *end)
        return NULL;
    *code = RC_NO_CONTEXT;
    lab_context *c = find_context(q->org, id);
    /* Another user's context is "not found" too, [MS-OXCMAPIHTTP] R1225. */
    if (!c || c->user != q->user || c->nspi != nspi)
        return NULL;
    *code = RC_MISSING_COOKIE;
    if (!lab_cookie(q, "MapiSequence", seq, sizeof(seq)))
        return NULL;
    *code = RC_SEQUENCE;
    if (strtoull(seq, &end, 16) != c->sequence || *end)
        return NULL;
    *code = RC_OK;
    return c;
}

/* A client that reconnects names the old context; it is destroyed first (3.2.5.6). */
static void drop_old_context(const lab_request *q)
{
    char sid[40];
    if (!lab_cookie(q, "MapiContext", sid, sizeof(sid)))
        return;
    lab_context *c = find_context(q->org, strtoull(sid, NULL, 16));
    if (c && c->user == q->user)
        drop_context(q->org, c);
}

/* ---- answers --------------------------------------------------------------------------------- */

static int own_code(int code, const char *missing)
{
    switch (code) { /* the independent server's enumeration, recordings README */
    case RC_MISSING_HEADER:
        return missing && cpuu_caseeq(missing, "X-RequestType") ? 1 : 3;
    case RC_NO_CONTEXT:
        return 2;
    case RC_BODY:
        return 5;
    case RC_MISSING_COOKIE:
    case RC_BAD_COOKIE:
        return 6;
    case RC_SEQUENCE:
        return 7;
    case RC_TYPE:
        return 8;
    default:
        return code;
    }
}

static void refuse(const lab_request *q, lab_response *r, int code, const char *what)
{
    cpuu_buf_reset(&r->body);
    r->n_headers = 0;
    r->status = 200;
    r->chunked = false;
    lab_response_header(r, "Content-Type", "text/html");
    lab_response_header(r, "X-ResponseCode", "%d",
                        q->org->independent ? own_code(code, what) : code);
    const char *id = q->header(q->from, "X-RequestId");
    if (id && !q->org->independent)
        lab_response_header(r, "X-RequestId", "%s", id);
    char text[300];
    snprintf(text, sizeof(text), "<html><body><p>Request refused: %s.</p></body></html>", what);
    cpuu_buf_add(&r->body, text, strlen(text));
}

/* A proxy in front of the server has cookies of its own, and one of them goes away again. */
static void put_odd_cookies(lab_response *r)
{
    lab_response_header(r, "set-cookie", "ClientId=\"a=b\"; expires=Fri, 01-Jan-2038 00:00:00 GMT; "
                                         "path=/; secure; HttpOnly");
    lab_response_header(r, "SET-COOKIE", "Route=; path=/mapi; Expires=Thu, 01-Jan-1970 00:00:00 GMT");
}

static void begin_answer(const lab_request *q, lab_response *r, bool pending)
{
    static const char *const echo[] = {"X-RequestType", "X-RequestId", "X-ClientInfo"};
    r->status = 200;
    r->chunked = true;
    lab_response_header(r, "Cache-Control", "private");
    lab_response_header(r, "Content-Type", "application/mapi-http");
    for (size_t i = 0; i < 3; i++)
        lab_response_header(r, echo[i], "%s", q->header(q->from, echo[i]));
    lab_response_header(r, "X-ResponseCode", "0");
    lab_response_header(r, "X-PendingPeriod", "30000");
    lab_response_header(r, "X-ExpirationInfo", "900000");
    lab_response_header(r, "X-ServerApplication", "Exchange/15.00.0847.4040");
    bool odd = q->org->odd;
    const char *meta = pending || odd ? "PROCESSING\r\nPENDING\r\nPENDING\r\nDONE\r\n"
                                      : "PROCESSING\r\nDONE\r\n";
    char extra[160], now[21];
    cpuu_clock_iso(now, cpuu_clock_now());
    snprintf(extra, sizeof(extra), "%sX-ElapsedTime: 1\r\nX-StartTime: %s\r\n\r\n",
             odd ? "x-responsecode: 0\r\n" : "", now);
    if (odd)
        put_odd_cookies(r);
    cpuu_buf_add(&r->body, meta, strlen(meta));
    cpuu_buf_add(&r->body, extra, strlen(extra));
}

static void put_cookies(lab_response *r, const lab_context *c)
{
    lab_response_header(r, "Set-Cookie", "MapiContext=%016" PRIx64 "; path=/mapi/; HttpOnly",
                        c->sid);
    lab_response_header(r, "Set-Cookie", "MapiSequence=%016" PRIx64 "; path=/mapi/; HttpOnly",
                        c->sequence);
}

/* ---- Connect --------------------------------------------------------------------------------- */

static bool owns_url(const lab_request *q, const lab_user *u)
{
    char guid[40];
    if (!u->store || !q->query_mailbox)
        return false;
    cpuu_guid_text(guid, u->store->mailbox_guid);
    return cpuu_ncasecmp(q->query_mailbox, guid + 1, 36) == 0;
}

static uint32_t connect_error(const lab_request *q, const char *dn)
{
    lab_user *u = *dn ? lab_user_by_dn(q->org, dn) : NULL;
    if (!*dn)
        return EC_ACCESS_DENIED;
    if (!u) /* the documented code and the independent server's (R600; B1) */
        return q->org->independent ? EC_NETWORK : EC_UNKNOWN_USER;
    if (q->org->owner_connects ? !owns_url(q, u) : u != q->user)
        return EC_ACCESS_DENIED;
    return u->store ? EC_SUCCESS : EC_UNKNOWN_USER;
}

/* AUX_SERVER_CAPABILITIES with PACKED_WRITE_STREAM_UPLOAD_BUFFERS, [MS-OXCRPC] 2.2.2.2.19; the
 * independent server has no such block (recording 005). */
static void put_capabilities(cpuu_buf *b, bool odd)
{
    static const uint8_t block[] = {8, 0, 1, 0x46, 2, 0, 0, 0};
    cpuu_buf_u32(b, 8 + sizeof(block));
    cpuu_buf_u16(b, 0);
    cpuu_buf_u16(b, odd ? 4 | 2 : 4);
    cpuu_buf_u16(b, sizeof(block));
    cpuu_buf_u16(b, sizeof(block));
    for (size_t i = 0; i < sizeof(block); i++)
        cpuu_buf_u8(b, block[i] ^ (odd ? 0xA5 : 0));
}

static void put_connected(cpuu_buf *b, uint32_t rc, const lab_user *u)
{
    cpuu_buf_u32(b, 0);
    cpuu_buf_u32(b, rc);
    cpuu_buf_u32(b, rc ? 0 : 60000);
    cpuu_buf_u32(b, rc ? 0 : 6);
    cpuu_buf_u32(b, rc ? 0 : 10000);
    cpuu_buf_sz(b, "");
    cpuu_buf_utf16(b, rc ? "" : u->display, true);
    if (rc || u->store->org->independent)
        cpuu_buf_u32(b, 0);
    else
        put_capabilities(b, u->store->org->odd);
}

static void connect_request(const lab_request *q, lab_response *r, const lab_twist *t)
{
    cpuu_reader in;
    uint32_t size = 0;
    char dn[1024];
    cpuu_reader_init(&in, q->body, q->size);
    const uint8_t *p = cpuu_read_sz8(&in, &size, "UserDn");
    uint32_t flags = cpuu_read_u32(&in, "Flags");
    cpuu_read_skip(&in, 12, "DefaultCodePage, LcidSort, LcidString");
    cpuu_read_skip(&in, cpuu_read_u32(&in, "AuxiliaryBufferSize"), "AuxiliaryBuffer");
    if (in.failed || cpuu_reader_left(&in) || size >= sizeof(dn)) {
        refuse(q, r, RC_BODY, "the request body is invalid");
        return;
    }
    snprintf(dn, sizeof(dn), "%.*s", (int)size, (const char *)p);
    drop_old_context(q);
    uint32_t rc = connect_error(q, dn);
    if (rc == EC_SUCCESS && (flags & 1))
        rc = EC_LOGIN_PERM; /* administrator behaviour, which nobody has here */
    lab_context *c = rc == EC_SUCCESS ? new_context(q, false) : NULL;
    if (rc == EC_SUCCESS && !c)
        rc = 0x80040111; /* too many sessions (observed) */
    begin_answer(q, r, t->pending);
    if (c)
        put_cookies(r, c);
    put_connected(&r->body, rc, q->user);
    q->org->stats.connects++;
}

/* ---- Execute and the small ones -------------------------------------------------------------- */

static void execute_request(const lab_request *q, lab_response *r, const lab_twist *t,
                            lab_context *c)
{
    cpuu_reader in;
    cpuu_reader_init(&in, q->body, q->size);
    uint32_t flags = cpuu_read_u32(&in, "Flags");
    uint32_t size = cpuu_read_u32(&in, "RopBufferSize");
    const uint8_t *rops = cpuu_read_bytes(&in, size, "RopBuffer");
    uint32_t max_out = cpuu_read_u32(&in, "MaxRopOut");
    cpuu_read_skip(&in, cpuu_read_u32(&in, "AuxiliaryBufferSize"), "AuxiliaryBuffer");
    if (in.failed || cpuu_reader_left(&in)) {
        refuse(q, r, RC_BODY, "the request body is invalid");
        return;
    }
    cpuu_buf out;
    cpuu_buf_init(&out, 1u << 22);
    if (max_out > 0x40000)
        max_out = 0x40000; /* [MS-OXCRPC] 3.1.4.2 */
    uint32_t rc = lab_execute(c, flags, rops, size, max_out, &out);
    if (rc == EC_RPC_FORMAT && q->org->crashing) {
        cpuu_buf_free(&out);
        r->status = 500;
        return;
    }
    if (t->too_small)
        rc = EC_BUFFER_TOO_SMALL;
    c->sequence = new_sid(q->org->lab);
    begin_answer(q, r, t->pending);
    put_cookies(r, c);
    cpuu_buf_u32(&r->body, 0);
    cpuu_buf_u32(&r->body, rc);
    cpuu_buf_u32(&r->body, 0);
    cpuu_buf_u32(&r->body, rc ? 0 : (uint32_t)out.size);
    if (!rc)
        cpuu_buf_add(&r->body, out.data, out.size);
    cpuu_buf_u32(&r->body, 0);
    cpuu_buf_free(&out);
    q->org->stats.executes++;
}

static void disconnect_request(const lab_request *q, lab_response *r, lab_context *c)
{
    begin_answer(q, r, false);
    put_cookies(r, c);
    cpuu_buf_u32(&r->body, 0);
    cpuu_buf_u32(&r->body, c->nspi ? 1 : 0); /* Unbind: UnbindSuccess */
    cpuu_buf_u32(&r->body, 0);
    drop_context(q->org, c);
}

static void wait_request(const lab_request *q, lab_response *r, lab_context *c)
{
    begin_answer(q, r, true);
    put_cookies(r, c);
    cpuu_buf_u32(&r->body, 0);
    cpuu_buf_u32(&r->body, 0);
    cpuu_buf_u32(&r->body, 0); /* EventPending */
    cpuu_buf_u32(&r->body, 0);
}

/* ---- the address book endpoint --------------------------------------------------------------- */

static void bind_request(const lab_request *q, lab_response *r)
{
    cpuu_reader in;
    cpuu_reader_init(&in, q->body, q->size);
    cpuu_read_u32(&in, "Flags");
    if (cpuu_read_u8(&in, "HasState"))
        cpuu_read_skip(&in, 36, "State");
    cpuu_read_skip(&in, cpuu_read_u32(&in, "AuxiliaryBufferSize"), "AuxiliaryBuffer");
    if (in.failed) {
        refuse(q, r, RC_BODY, "the request body is invalid");
        return;
    }
    drop_old_context(q);
    lab_context *c = new_context(q, true);
    begin_answer(q, r, false);
    if (c)
        put_cookies(r, c);
    cpuu_buf_u32(&r->body, 0);
    cpuu_buf_u32(&r->body, c ? 0 : 0x80040111);
    cpuu_buf_add(&r->body, q->org->users[0]->guid, 16);
    cpuu_buf_u32(&r->body, 0);
}

static void nspi_request(const lab_request *q, lab_response *r, const char *type, lab_context *c)
{
    cpuu_buf out;
    cpuu_buf_init(&out, 1u << 22);
    if (!lab_nspi(c, type, q->body, q->size, &out)) {
        refuse(q, r, RC_BODY, "the request body is invalid");
    } else {
        c->sequence = new_sid(q->org->lab);
        begin_answer(q, r, false);
        put_cookies(r, c);
        cpuu_buf_u32(&r->body, 0);
        cpuu_buf_add(&r->body, out.data, out.size);
        q->org->stats.nspi++;
    }
    cpuu_buf_free(&out);
}

/* ---- entry ----------------------------------------------------------------------------------- */

static const char *missing_header(const lab_request *q)
{
    static const char *const required[] = {"X-RequestType", "X-RequestId", "X-ClientInfo",
                                           "Content-Type"};
    for (size_t i = 0; i < 4; i++) {
        const char *v = q->header(q->from, required[i]);
        if (!v || !*v)
            return required[i];
    }
    return NULL;
}

static bool known_type(const lab_org *o, const char *type, bool nspi)
{
    static const char *const mailbox[] = {"Connect", "Execute", "Disconnect", "NotificationWait"};
    if (cpuu_caseeq(type, "PING"))
        return true;
    if (nspi)
        return cpuu_caseeq(type, "Bind") || cpuu_caseeq(type, "Unbind") ||
               lab_nspi_type(o, type);
    for (size_t i = 0; i < 4; i++)
        if (cpuu_caseeq(type, mailbox[i]))
            return true;
    return false;
}

static int precheck(const lab_request *q, bool nspi, const char **what)
{
    if (strcmp(q->method, "POST") != 0) {
        *what = "the verb is not POST";
        return RC_VERB;
    }
    const char *missing = missing_header(q);
    if (missing) {
        *what = missing;
        return RC_MISSING_HEADER;
    }
    if (cpuu_ncasecmp(q->header(q->from, "Content-Type"), "application/mapi-http", 21) != 0) {
        *what = "Content-Type";
        return RC_HEADER;
    }
    if (!known_type(q->org, q->header(q->from, "X-RequestType"), nspi)) {
        *what = "unknown X-RequestType";
        return RC_TYPE;
    }
    *what = "too large";
    return q->size > 0x100000 ? RC_TOO_LARGE : RC_OK;
}

static void run_in_context(const lab_request *q, const lab_twist *t, lab_response *r,
                           const char *type, lab_context *c)
{
    if (cpuu_caseeq(type, "PING")) {
        begin_answer(q, r, false);
        put_cookies(r, c);
    } else if (cpuu_caseeq(type, "Execute")) {
        execute_request(q, r, t, c);
    } else if (cpuu_caseeq(type, "Disconnect") || cpuu_caseeq(type, "Unbind")) {
        disconnect_request(q, r, c);
    } else if (cpuu_caseeq(type, "NotificationWait")) {
        wait_request(q, r, c);
    } else {
        nspi_request(q, r, type, c);
    }
}

/* The independent server's refusals use up the sequence cookie (recordings README 2). */
static void use_up_sequence(const lab_request *q, bool nspi)
{
    int code;
    lab_context *c = q->org->independent ? cookie_context(q, nspi, &code) : NULL;
    if (c)
        c->sequence = new_sid(q->org->lab);
}

void lab_mapihttp(const lab_request *q, const lab_twist *t, lab_response *r)
{
    bool nspi = cpuu_ncasecmp(q->path, "/mapi/nspi", 10) == 0;
    const char *what = NULL;
    if (q->org->independent && !q->query_mailbox) {
        r->status = 404;
        return;
    }
    int code = precheck(q, nspi, &what);
    if (code != RC_OK) {
        use_up_sequence(q, nspi);
        refuse(q, r, code, what);
        return;
    }
    const char *type = q->header(q->from, "X-RequestType");
    if (!nspi && cpuu_caseeq(type, "Connect")) {
        connect_request(q, r, t);
        return;
    }
    if (nspi && cpuu_caseeq(type, "Bind")) {
        bind_request(q, r);
        return;
    }
    lab_context *c = cookie_context(q, nspi, &code);
    if (c && t->lose_context) {
        drop_context(q->org, c);
        c = NULL;
        code = RC_NO_CONTEXT;
    }
    if (!c) {
        refuse(q, r, code, "no usable session context");
        return;
    }
    run_in_context(q, t, r, type, c);
}
