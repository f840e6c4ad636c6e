/*
 * The MAPI/HTTP session against recorded responses of an independent server, over real sockets, and
 * against responses composed here from the specification. Expected values of recordings are those of
 * the recordings' own decoded meaning (.json), never of this code.
 */
#include "mailbox/mapihttp/session.h"
#include "base/fault.h"
#include "base/mem.h"
#include "../../lab/replay.h"
#include "../oracle.h"

#include <check.h>
#include <dirent.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static unsigned fail_request; /* the n-th request from now does not start; 0 = none */
static unsigned fail_alloc;   /* the n-th allocation from now fails; 0 = none */

void cpuu_fault_step(const char *what)
{
    (void)what;
}

bool cpuu_fault_fail(const char *what)
{
    unsigned *n = strcmp(what, "alloc") == 0 ? &fail_alloc
                  : strcmp(what, "request") == 0 ? &fail_request : NULL;
    return n && *n && --*n == 0;
}

static void *failing_realloc(void *p, size_t n)
{
    return fail_alloc && --fail_alloc == 0 ? NULL : realloc(p, n);
}

#define DN "/o=Org/ou=Unit/cn=Recipients/cn=user"

typedef struct bench {
    replay *server;
    cpuu_http *http;
    cpuu_session *session;
    cpuu_call call;
    unsigned done;
    cpuu_credentials credentials;
} bench;

static void count_done(cpuu_call *call)
{
    ((bench *)call->user)->done++;
}

static void open_bench(bench *b, cpuu_session_kind kind)
{
    static const cpuu_http_options options = {.allow_insecure_http = true};
    char url[128];
    cpuu_error err = CPUU_ERROR_INIT;
    memset(b, 0, sizeof(*b));
    b->server = replay_start();
    ck_assert_ptr_nonnull(b->server);
    ck_assert_int_eq(cpuu_http_new(&options, NULL, &b->http, &err), CPUU_OK);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/mapi/emsmdb/?MailboxId=x@y",
             replay_port(b->server));
    cpuu_session_options o = {.kind = kind, .url = url, .user_dn = DN, .name = "mailbox x@y"};
    ck_assert_int_eq(cpuu_session_new(b->http, &o, NULL, &b->session, &err), CPUU_OK);
    b->call.on_done = count_done;
    b->call.user = b;
}

static void close_bench(bench *b)
{
    cpuu_call_clear(&b->call);
    cpuu_session_free(b->session);
    cpuu_http_free(b->http);
    replay_stop(b->server);
}

static void drive(bench *b)
{
    cpuu_error err = CPUU_ERROR_INIT;
    unsigned before = b->done;
    ck_assert_int_eq(cpuu_http_drive(b->http, &err), CPUU_OK);
    ck_assert_uint_eq(b->done, before + 1);
    ck_assert(!cpuu_session_busy(b->session));
    if (b->call.rc < 0)
        ck_assert_int_eq(b->call.error.rc, b->call.rc);
}

static void connect_session(bench *b)
{
    cpuu_session_connect(b->session, &b->call);
    drive(b);
}

static void execute(bench *b, const void *body, size_t size)
{
    b->call.body = body;
    b->call.body_size = size;
    cpuu_session_execute(b->session, &b->call);
    drive(b);
}

/* Adds a response put together here: headers of a good response, meta-tags, then body. */
static void add_frame(replay *r, const char *type, const char *cookie, const char *extra,
                      const void *body, size_t size)
{
    char head[512];
    uint8_t all[4096];
    size_t n = (size_t)snprintf((char *)all, sizeof(all), "PROCESSING\r\nPENDING\r\nDONE\r\n%s\r\n",
                                extra);
    ck_assert_uint_le(n + size, sizeof(all));
    if (size)
        memcpy(all + n, body, size);
    snprintf(head, sizeof(head),
             "HTTP/1.1 200 OK\r\nContent-Type: application/mapi-http\r\nX-RequestType: %s\r\n"
             "X-ResponseCode: 0\r\n%s%s%s",
             type, cookie ? "Set-Cookie: " : "", cookie ? cookie : "", cookie ? "\r\n" : "");
    replay_add_http(r, type, head, all, n + size);
}

/* [MS-OXCMAPIHTTP] 2.2.4.1.2 */
static const uint8_t connected_body[] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0x60, 0xea, 0, 0, 6, 0, 0, 0, 0x10, 0x27, 0, 0, /* ... RetryDelay */
    '/', 'o', '=', 'O', 0, 'J', 0, 0xf6, 0, 0, 0, 0, 0, 0, 0,
};

static void add_connected(replay *r, const char *cookie)
{
    add_frame(r, "Connect", cookie, "", connected_body, sizeof(connected_body));
}

static const uint8_t payload[] = {4, 0, 1, 2, 0xff, 0xff, 0xff, 0xff}; /* RopSize, 2 bytes, handle */

/* [MS-OXCMAPIHTTP] 2.2.4.2.2 around `size` bytes of ROP buffer */
static void add_executed(replay *r, const char *cookie, const char *extra, const void *rops,
                         size_t size)
{
    uint8_t body[512] = {0};
    body[12] = (uint8_t)size;
    memcpy(body + 16, rops, size);
    add_frame(r, "Execute", cookie, extra, body, 16 + size + 4);
}

static const uint8_t good_rops[] = {0, 0, 4, 0, 6, 0, 6, 0, 2, 0, 7, 0, 0, 0};

/* ---- recordings ------------------------------------------------------------------------------ */

static bool ends_with(const char *s, const char *end)
{
    return strlen(s) >= strlen(end) && strcmp(s + strlen(s) - strlen(end), end) == 0;
}

static uint32_t hex_of(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    if (json_is_integer(v))
        return (uint32_t)json_integer_value(v);
    return v ? (uint32_t)strtoul(json_string_value(v), NULL, 16) : 0;
}

static void check_handles(const cpuu_call *c, const json_t *response)
{
    const json_t *handles = json_object_get(response, "handles");
    const cpuu_rop_reply *last = &c->replies[c->n_replies - 1];
    ck_assert_uint_eq(last->n_handles, json_array_size(handles));
    for (size_t i = 0; i < json_array_size(handles); i++)
        ck_assert_uint_eq(cpuu_le32(last->handles + 4 * i),
                          strtoul(json_string_value(json_array_get(handles, i)), NULL, 16));
}

static void check_recording(bench *b, const json_t *j, const char *type)
{
    const cpuu_call *c = &b->call;
    const json_t *response = json_object_get(j, "response");
    uint32_t code = (uint32_t)json_integer_value(json_object_get(j, "x_response_code"));
    ck_assert_uint_eq(c->response_code, code);
    if (code) {
        ck_assert_int_eq(c->end, CPUU_CALL_CONTEXT_LOST);
        ck_assert_int_eq(c->rc, CPUU_E_IO);
        ck_assert(!cpuu_session_connected(b->session));
        return;
    }
    ck_assert_int_eq(c->end, CPUU_CALL_ANSWERED);
    uint32_t error = hex_of(response, "error_code");
    ck_assert_uint_eq(c->error_code, error);
    bool good = error == 0 || error == 0x40380 || strcmp(type, "Unbind") == 0;
    ck_assert_int_eq(c->rc >= 0, good);
    if (strcmp(type, "Execute") == 0 && good) {
        ck_assert_uint_eq(c->n_replies, json_array_size(json_object_get(response, "header_flags")));
        check_handles(c, response);
    }
}

static void submit_type(bench *b, const char *type)
{
    static const uint8_t rops[] = {2, 0};
    b->call.body = rops;
    b->call.body_size = sizeof(rops);
    if (strcmp(type, "Connect") == 0 || strcmp(type, "Bind") == 0)
        cpuu_session_connect(b->session, &b->call);
    else if (strcmp(type, "Disconnect") == 0 || strcmp(type, "Unbind") == 0)
        cpuu_session_disconnect(b->session, &b->call);
    else if (strcmp(type, "Execute") == 0)
        cpuu_session_execute(b->session, &b->call);
    else
        cpuu_session_request(b->session, type, &b->call);
}

static bool replay_recording(const char *folder, const char *file)
{
    char path[4500];
    bench b;
    snprintf(path, sizeof(path), "%s/%s", folder, file);
    json_t *j = json_load_file(path, 0, NULL);
    ck_assert_ptr_nonnull(j);
    const char *type = json_string_value(json_object_get(j, "request_type"));
    bool emsmdb = strstr(json_string_value(json_object_get(j, "path")), "emsmdb") != NULL;
    bool nspi = strstr(json_string_value(json_object_get(j, "path")), "nspi") != NULL;
    bool ours = (emsmdb || nspi) && strcmp(type, "PING") != 0 && strcmp(type, "Frobnicate") != 0;
    if (ours) {
        open_bench(&b, emsmdb ? CPUU_SESSION_MAILBOX : CPUU_SESSION_DIRECTORY);
        if (strcmp(type, "Connect") != 0 && strcmp(type, "Bind") != 0) {
            char first[4500];
            snprintf(first, sizeof(first), "%s/%s", folder,
                     emsmdb ? "005-connect.response.http" : "077-nspi-bind.response.http");
            ck_assert(replay_add_file(b.server, emsmdb ? "Connect" : "Bind", first));
            connect_session(&b);
            ck_assert_int_eq(b.call.rc, CPUU_OK);
        }
        strcpy(path + strlen(path) - 5, ".response.http");
        ck_assert(replay_add_file(b.server, type, path));
        submit_type(&b, type);
        drive(&b);
        check_recording(&b, j, type);
        close_bench(&b);
    }
    json_decref(j);
    return ours;
}

START_TEST(every_recording_means_what_was_decoded_from_it)
{
    const char *folder = oracle_path("every_recording_means_what_was_decoded_from_it", "mapihttp");
    if (!folder)
        return;
    char copy[4096];
    unsigned n = 0;
    snprintf(copy, sizeof(copy), "%s", folder);
    DIR *d = opendir(copy);
    ck_assert_ptr_nonnull(d);
    for (struct dirent *e; (e = readdir(d));) {
        if (ends_with(e->d_name, ".json"))
            n += replay_recording(copy, e->d_name);
    }
    closedir(d);
    printf("t-session: %u recorded exchanges replayed\n", n);
    ck_assert_uint_ge(n, 80);
}
END_TEST

/* ---- requests -------------------------------------------------------------------------------- */

START_TEST(requests_are_those_of_the_specification)
{
    bench b;
    char v[256], id[256];
    size_t n;
    open_bench(&b, CPUU_SESSION_MAILBOX);
    add_connected(b.server, "sid=1; path=/mapi; secure");
    add_executed(b.server, "seq=b", "", good_rops, sizeof(good_rops));
    add_executed(b.server, "sid=2", "", good_rops, sizeof(good_rops));
    add_frame(b.server, "Disconnect", NULL, "", "\0\0\0\0\0\0\0\0\0\0\0", 12);
    connect_session(&b);
    ck_assert_int_eq(b.call.rc, CPUU_OK);
    ck_assert_str_eq(cpuu_session_get_info(b.session)->dn_prefix, "/o=O");
    ck_assert_str_eq(cpuu_session_get_info(b.session)->display_name, "J\xc3\xb6");
    ck_assert_uint_eq(cpuu_session_get_info(b.session)->retry_delay_ms, 10000);
    execute(&b, payload, sizeof(payload));
    ck_assert_int_eq(b.call.rc, CPUU_OK);
    ck_assert_uint_eq(b.call.n_replies, 1);
    ck_assert_uint_eq(b.call.replies[0].rops_size, 0);
    ck_assert_uint_eq(cpuu_le32(b.call.replies[0].handles), 7);
    execute(&b, payload, sizeof(payload));
    cpuu_session_disconnect(b.session, &b.call);
    drive(&b);
    ck_assert_int_eq(b.call.rc, CPUU_OK);

    const uint8_t *body = replay_body(b.server, 0, &n);
    ck_assert_uint_eq(n, sizeof(DN) + 20);
    ck_assert_str_eq((const char *)body, DN);
    ck_assert(!replay_header(b.server, 0, "Cookie", v, sizeof(v)));
    ck_assert(replay_header(b.server, 1, "Cookie", v, sizeof(v)));
    ck_assert_str_eq(v, "sid=1");
    ck_assert(replay_header(b.server, 2, "Cookie", v, sizeof(v)));
    ck_assert_str_eq(v, "sid=1; seq=b");
    ck_assert(replay_header(b.server, 3, "Cookie", v, sizeof(v)));
    ck_assert_str_eq(v, "sid=2; seq=b");
    ck_assert(replay_header(b.server, 1, "Content-Type", v, sizeof(v)));
    ck_assert_str_eq(v, "application/mapi-http");
    ck_assert(replay_header(b.server, 0, "X-RequestId", id, sizeof(id)));
    ck_assert_str_eq(id + 38, ":1");
    ck_assert(replay_header(b.server, 1, "X-RequestId", v, sizeof(v)));
    ck_assert_int_eq(memcmp(id, v, 39), 0);
    ck_assert_str_eq(v + 38, ":2");
    ck_assert(replay_header(b.server, 1, "X-ClientInfo", v, sizeof(v)));
    ck_assert(replay_header(b.server, 1, "X-ClientApplication", v, sizeof(v)));
    body = replay_body(b.server, 1, &n); /* [MS-OXCMAPIHTTP] 2.2.4.2.1, [MS-OXCRPC] 2.2.2.1 */
    static const uint8_t expected[] = {3, 0, 0, 0, 16, 0, 0, 0, 0, 0, 4, 0, 8, 0, 8, 0,
                                       4, 0, 1, 2, 0xff, 0xff, 0xff, 0xff,
                                       8, 0, 1, 0, 0, 0, 0, 0};
    ck_assert_uint_eq(n, sizeof(expected));
    ck_assert_int_eq(memcmp(body, expected, n), 0);
    ck_assert_uint_eq(replay_connections(b.server), 1);
    close_bench(&b);
}
END_TEST

/* ---- trouble --------------------------------------------------------------------------------- */

START_TEST(a_lost_answer_is_never_sent_again)
{
    bench b;
    open_bench(&b, CPUU_SESSION_MAILBOX);
    add_connected(b.server, "sid=1");
    replay_add(b.server, "Execute", "", 0, REPLAY_CLOSE);
    connect_session(&b);
    execute(&b, payload, sizeof(payload));
    ck_assert_int_eq(b.call.end, CPUU_CALL_NO_ANSWER);
    ck_assert_int_eq(b.call.rc, CPUU_E_NETWORK);
    ck_assert(b.call.maybe_done);
    ck_assert(!cpuu_session_connected(b.session));
    ck_assert_uint_eq(replay_requests(b.server), 2);
    /* The next context passes the cookies of the lost one ([MS-OXCMAPIHTTP] R1207). */
    char v[64];
    add_connected(b.server, "sid=2");
    connect_session(&b);
    ck_assert_int_eq(b.call.rc, CPUU_OK);
    ck_assert(replay_header(b.server, 2, "Cookie", v, sizeof(v)));
    ck_assert_str_eq(v, "sid=1");
    close_bench(&b);
}
END_TEST

START_TEST(a_request_that_did_not_start_is_sent_once_more)
{
    bench b;
    char a[128], v[128];
    open_bench(&b, CPUU_SESSION_MAILBOX);
    add_connected(b.server, "sid=1");
    add_executed(b.server, NULL, "", good_rops, sizeof(good_rops));
    connect_session(&b);
    fail_request = 1;
    execute(&b, payload, sizeof(payload));
    ck_assert_int_eq(b.call.rc, CPUU_OK);
    ck_assert_uint_eq(replay_requests(b.server), 2);
    ck_assert(replay_header(b.server, 0, "X-RequestId", a, sizeof(a)));
    ck_assert(replay_header(b.server, 1, "X-RequestId", v, sizeof(v)));
    ck_assert_str_eq(v + 38, ":2");
    close_bench(&b);
    /* Nobody listens there any more: two attempts, and it is certain that nothing was done. */
    static const cpuu_http_options options = {.allow_insecure_http = true};
    cpuu_error err = CPUU_ERROR_INIT;
    replay *gone = replay_start();
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", replay_port(gone));
    replay_stop(gone);
    memset(&b, 0, sizeof(b));
    ck_assert_int_eq(cpuu_http_new(&options, NULL, &b.http, &err), CPUU_OK);
    cpuu_session_options o = {.kind = CPUU_SESSION_MAILBOX, .url = url, .user_dn = DN};
    ck_assert_int_eq(cpuu_session_new(b.http, &o, NULL, &b.session, &err), CPUU_OK);
    b.call.on_done = count_done;
    b.call.user = &b;
    connect_session(&b);
    ck_assert_int_eq(b.call.rc, CPUU_E_NETWORK);
    ck_assert(!b.call.maybe_done);
    ck_assert_ptr_nonnull(strstr(b.call.error.text, "0x00002efd"));
    cpuu_call_clear(&b.call);
    cpuu_session_free(b.session);
    cpuu_http_free(b.http);
}
END_TEST

static void add_code(replay *r, const char *type, const char *code)
{
    char head[256];
    snprintf(head, sizeof(head),
             "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX-ResponseCode: %s\r\n", code);
    replay_add_http(r, type, head, "why", 3);
}

START_TEST(any_response_code_loses_the_context)
{
    static const struct {
        const char *code;
        bool maybe;
    } cases[] = {{"1", true}, {"6", false}, {"7", false}, {"10", false}, {"13", false},
                 {"15", false}, {"17", true}, {"18", false}, {"77", true}};
    bench b;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        open_bench(&b, CPUU_SESSION_MAILBOX);
        add_connected(b.server, "sid=1");
        add_code(b.server, "Execute", cases[i].code);
        connect_session(&b);
        execute(&b, payload, sizeof(payload));
        ck_assert_int_eq(b.call.end, CPUU_CALL_CONTEXT_LOST);
        ck_assert_int_eq(b.call.maybe_done, cases[i].maybe);
        ck_assert(!cpuu_session_connected(b.session));
        close_bench(&b);
    }
    /* The code of the additional headers wins, and it comes after the request was taken up. */
    open_bench(&b, CPUU_SESSION_MAILBOX);
    add_connected(b.server, "sid=1");
    add_executed(b.server, NULL, "X-ElapsedTime: 1\r\nx-responsecode: 10\r\n", good_rops, 14);
    connect_session(&b);
    execute(&b, payload, sizeof(payload));
    ck_assert_int_eq(b.call.end, CPUU_CALL_CONTEXT_LOST);
    ck_assert_uint_eq(b.call.response_code, 10);
    ck_assert(b.call.maybe_done);
    close_bench(&b);
}
END_TEST

START_TEST(old_cookies_that_are_refused_are_dropped)
{
    bench b;
    char v[64];
    open_bench(&b, CPUU_SESSION_MAILBOX);
    add_connected(b.server, "sid=1");
    add_code(b.server, "Execute", "10");
    add_code(b.server, "Connect", "10");
    add_connected(b.server, "sid=2");
    connect_session(&b);
    execute(&b, payload, sizeof(payload));
    connect_session(&b);
    ck_assert_int_eq(b.call.rc, CPUU_OK);
    ck_assert(cpuu_session_connected(b.session));
    ck_assert_uint_eq(replay_requests(b.server), 4);
    ck_assert(!replay_header(b.server, 3, "Cookie", v, sizeof(v)));
    close_bench(&b);
}
END_TEST

static void expect_failure(const char *response, cpuu_rc rc, bool maybe, bool connected)
{
    bench b;
    open_bench(&b, CPUU_SESSION_MAILBOX);
    add_connected(b.server, "sid=1");
    replay_add(b.server, "Execute", response, strlen(response), 0);
    connect_session(&b);
    execute(&b, payload, sizeof(payload));
    ck_assert_int_eq(b.call.end, CPUU_CALL_NO_ANSWER);
    ck_assert_int_eq(b.call.rc, rc);
    ck_assert_int_eq(b.call.maybe_done, maybe);
    ck_assert_int_eq(cpuu_session_connected(b.session), connected);
    if (rc == CPUU_E_BUSY)
        ck_assert_uint_eq(b.call.retry_after_s, 30);
    close_bench(&b);
}

START_TEST(http_statuses_are_told_apart)
{
    expect_failure("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", CPUU_E_AUTH, false, true);
    expect_failure("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", CPUU_E_ACCESS, false, true);
    expect_failure("HTTP/1.1 302 Off\r\nLocation: http://other/\r\nContent-Length: 0\r\n\r\n",
                   CPUU_E_NETWORK, false, true);
    expect_failure("HTTP/1.1 503 Busy\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n", CPUU_E_BUSY,
                   false, true);
    expect_failure("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", CPUU_E_NETWORK, true, false);
    expect_failure("HTTP/1.1 400 What\r\nContent-Length: 0\r\n\r\n", CPUU_E_NETWORK, true, false);
    expect_failure("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", CPUU_E_FORMAT, true, false);
    expect_failure("HTTP/1.1 200 OK\r\nX-ResponseCode: 0\r\nContent-Length: 12\r\n\r\nPROCESSING\r\n",
                   CPUU_E_FORMAT, true, false);
    expect_failure("HTTP/1.1 200 OK\r\nX-ResponseCode: 0\r\nX-RequestType: Connect\r\n"
                   "Content-Length: 0\r\n\r\n",
                   CPUU_E_FORMAT, true, false);
}
END_TEST

START_TEST(payloads_are_read_however_they_are_packed)
{
    /* [MS-OXCRPC] 3.1.4.1.1.3: every byte of the payload XOR 0xA5; the second payload is plain. */
    static const uint8_t rops[] = {0, 0, 2, 0, 6, 0, 6, 0, 2 ^ 0xa5, 0xa5, 7 ^ 0xa5, 0xa5, 0xa5, 0xa5,
                                   0, 0, 4, 0, 3, 0, 3, 0, 3, 0, 0x55};
    /* [MS-XCA] 2.4: RopSize 2 and 40 bytes 0xff: three literals, then 39 bytes from one back. */
    static const uint8_t packed[] = {0,    0,    1,    0,    11,   0,    42,   0,    0xff, 0xff,
                                     0xff, 0x1f, 2,    0,    0xff, 7,    0,    0x0f, 0x0e, 0,
                                     0,    7,    0,    11,   0,    42,   0,    0x5a, 0x5a, 0x5a,
                                     0xba, 0xa7, 0xa5, 0x5a, 0xa2, 0xa5, 0xaa, 0xab};
    static const uint8_t damaged[] = {0, 0, 5, 0, 6, 0, 9, 0, 2, 0, 7, 0, 0, 0};
    static const uint8_t unending[] = {0, 0, 0, 0, 2, 0, 2, 0, 2, 0};
    bench b;
    open_bench(&b, CPUU_SESSION_MAILBOX);
    add_connected(b.server, "sid=1");
    add_executed(b.server, NULL, "", rops, sizeof(rops));
    connect_session(&b);
    execute(&b, payload, sizeof(payload));
    ck_assert_int_eq(b.call.rc, CPUU_OK);
    ck_assert_uint_eq(b.call.n_replies, 2);
    ck_assert_uint_eq(cpuu_le32(b.call.replies[0].handles), 7);
    ck_assert_uint_eq(b.call.replies[1].rops_size, 1);
    ck_assert_uint_eq(b.call.replies[1].rops[0], 0x55);
    add_executed(b.server, NULL, "", packed, sizeof(packed));
    execute(&b, payload, sizeof(payload));
    ck_assert_int_eq(b.call.rc, CPUU_OK);
    ck_assert_uint_eq(b.call.n_replies, 2);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_uint_eq(b.call.replies[i].rops_size, 0);
        ck_assert_uint_eq(b.call.replies[i].n_handles, 10);
        for (size_t k = 0; k < 40; k++)
            ck_assert_uint_eq(b.call.replies[i].handles[k], 0xff);
    }
    add_executed(b.server, NULL, "", damaged, sizeof(damaged));
    execute(&b, payload, sizeof(payload));
    ck_assert_int_eq(b.call.rc, CPUU_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(b.call.error.text, "decompressed"));
    ck_assert(b.call.maybe_done);
    add_connected(b.server, "sid=1");
    connect_session(&b);
    add_executed(b.server, NULL, "", unending, sizeof(unending));
    execute(&b, payload, sizeof(payload));
    ck_assert_int_eq(b.call.rc, CPUU_E_FORMAT);
    close_bench(&b);
}
END_TEST

START_TEST(the_samples_of_the_compression_are_decoded)
{
    /* [MS-XCA] 3.1: "abc...z" as it is, and a hundred times "abc" */
    static const uint8_t plain[] = "\x3f\x00\x00\x00" "abcdefghijklmnopqrstuvwxyz";
    static const uint8_t hundred[] = {0xff, 0xff, 0xff, 0x1f, 'a', 'b', 'c',
                                      0x17, 0x00, 0x0f, 0xff, 0x26, 0x01};
    uint8_t out[300];
    ck_assert(cpuu_direct2_decode(plain, sizeof(plain) - 1, 0, out, 26));
    ck_assert_int_eq(memcmp(out, plain + 4, 26), 0);
    ck_assert(cpuu_direct2_decode(hundred, sizeof(hundred), 0, out, 300));
    for (size_t i = 0; i < 300; i++)
        ck_assert_uint_eq(out[i], 'a' + i % 3);
    for (size_t n = 0; n < sizeof(hundred); n++)
        ck_assert(!cpuu_direct2_decode(hundred, n, 0, out, 300));
    ck_assert(!cpuu_direct2_decode(hundred, sizeof(hundred), 0, out, 299));
    /* Two lengths share a byte: 7 + 2 + 3 = 12 from its low nibble, 7 + 1 + 3 = 11 from the high. */
    static const uint8_t shared[] = {0, 0, 0, 0x60, 'x', 7, 0, 0x12, 7, 0};
    ck_assert(cpuu_direct2_decode(shared, sizeof(shared), 0, out, 24));
    ck_assert_uint_eq(out[23], 'x');
    /* A match cannot begin before the output. */
    static const uint8_t before[] = {0, 0, 0, 0x40, 'x', 8, 0};
    ck_assert(!cpuu_direct2_decode(before, sizeof(before), 0, out, 4));
}
END_TEST

/* [MS-OXCRPC] 2.2.2.2, 2.2.2.2.19, 3.1.4.1.1.1.2 */
START_TEST(a_server_says_what_it_can)
{
    static const uint8_t mask = 0xa5;
    /* What recording 005 has: AUX_EXORGINFO, AUX_CLIENT_CONTROL, AUX_ENDPOINT_CAPABILITIES. */
    static const uint8_t none[] = {0,    0,    4, 0,    0x1c, 0, 0x1c, 0, 8,    0, 1, 0x17,
                                   3,    0,    0, 0,    0x0c, 0, 1,    0x0a, 0x0c, 0, 0, 0,
                                   0x84, 0x0c, 0x24, 0, 8,    0, 1,    0x48, 1,    0, 0, 0};
    static const uint8_t packs[] = {0, 0, 4, 0, 0x10, 0, 0x10, 0, 8, 0, 1, 0x17,
                                    3, 0, 0, 0, 8,    0, 1,    0x46, 0x0a, 0, 0, 0};
    uint8_t odd[sizeof(packs)];
    ck_assert_uint_eq(cpuu_aux_capabilities(none, sizeof(none)), 0);
    ck_assert_uint_eq(cpuu_aux_capabilities(packs, sizeof(packs)), 0x0a);
    for (size_t i = 0; i < sizeof(odd); i++)
        odd[i] = i < 8 ? packs[i] : packs[i] ^ mask;
    odd[2] |= 2; /* XorMagic */
    ck_assert_uint_eq(cpuu_aux_capabilities(odd, sizeof(odd)), 0x0a);
    for (size_t n = 0; n < sizeof(packs); n++)
        ck_assert_uint_eq(cpuu_aux_capabilities(packs, n), 0);
    memcpy(odd, packs, sizeof(packs));
    odd[18] = 2; /* another version is another block */
    ck_assert_uint_eq(cpuu_aux_capabilities(odd, sizeof(odd)), 0);
    odd[8] = 3; /* a block that is shorter than its header */
    ck_assert_uint_eq(cpuu_aux_capabilities(odd, sizeof(odd)), 0);
}
END_TEST

/* Frames as another server may put them together. */
START_TEST(a_frame_may_look_different)
{
    static const char body[] = "processing \r\nPROCESSING\nDone\r\nX-ResponseCode:0\r\n\r\n";
    uint8_t all[sizeof(body) + sizeof(connected_body)];
    char v[64];
    bench b;
    memcpy(all, body, sizeof(body) - 1);
    memcpy(all + sizeof(body) - 1, connected_body, sizeof(connected_body));
    open_bench(&b, CPUU_SESSION_MAILBOX);
    replay_add_http(b.server, "Connect",
                    "HTTP/1.1 200 OK\r\nset-cookie:  sid = 1 ; Path=/\r\nSet-Cookie: x=\"a=b\"\r\n"
                    "content-type: application/mapi-http; charset=utf-8\r\n",
                    all, sizeof(body) - 1 + sizeof(connected_body));
    add_executed(b.server, NULL, "", good_rops, sizeof(good_rops));
    connect_session(&b);
    ck_assert_int_eq(b.call.rc, CPUU_OK);
    execute(&b, payload, sizeof(payload));
    ck_assert_int_eq(b.call.rc, CPUU_OK);
    ck_assert(replay_header(b.server, 1, "Cookie", v, sizeof(v)));
    ck_assert_str_eq(v, "sid=1; x=\"a=b\"");
    close_bench(&b);
}
END_TEST

START_TEST(a_cookie_of_any_length_is_kept)
{
    char head[6000], value[5001], v[5200];
    bench b;
    memset(value, 'c', sizeof(value) - 1);
    value[sizeof(value) - 1] = 0;
    snprintf(head, sizeof(head), "long=%s; path=/\r\nSet-Cookie: sid=1", value);
    open_bench(&b, CPUU_SESSION_MAILBOX);
    char all[6200], frame[] = "PROCESSING\r\nDONE\r\n\r\n";
    uint8_t body[sizeof(frame) + sizeof(connected_body)];
    memcpy(body, frame, sizeof(frame) - 1);
    memcpy(body + sizeof(frame) - 1, connected_body, sizeof(connected_body));
    snprintf(all, sizeof(all), "HTTP/1.1 200 OK\r\nX-ResponseCode: 0\r\nSet-Cookie: %s\r\n", head);
    replay_add_http(b.server, "Connect", all, body, sizeof(frame) - 1 + sizeof(connected_body));
    add_executed(b.server, NULL, "", good_rops, sizeof(good_rops));
    connect_session(&b);
    ck_assert_int_eq(b.call.rc, CPUU_OK);
    execute(&b, payload, sizeof(payload));
    ck_assert_int_eq(b.call.rc, CPUU_OK);
    ck_assert(replay_header(b.server, 1, "Cookie", v, sizeof(v)));
    ck_assert_uint_eq(strlen(v), 5 + 5000 + 7);
    ck_assert_str_eq(v + 5005, "; sid=1");
    close_bench(&b);
}
END_TEST

static void add_redirect(bench *b, const char *path)
{
    char response[256];
    snprintf(response, sizeof(response),
             "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%u%s\r\nContent-Length: 0\r\n\r\n",
             replay_port(b->server), path);
    replay_add(b->server, "Connect", response, strlen(response), 0);
}

/* [MS-OXCMAPIHTTP] 2.2.2.2 names 302 beside 200 and 401. */
START_TEST(an_opening_may_be_sent_to_another_server)
{
    bench b;
    open_bench(&b, CPUU_SESSION_MAILBOX);
    add_redirect(&b, "/MAPI/emsmdb/?MailboxId=z@y");
    add_connected(b.server, "sid=1");
    connect_session(&b);
    ck_assert_int_eq(b.call.rc, CPUU_OK);
    ck_assert_ptr_nonnull(strstr(replay_request(b.server, 1), "POST /MAPI/emsmdb/?MailboxId=z@y "));
    close_bench(&b);
    open_bench(&b, CPUU_SESSION_MAILBOX);
    add_redirect(&b, "/owa/auth/logon.aspx"); /* a login page gets nothing */
    connect_session(&b);
    ck_assert_int_eq(b.call.rc, CPUU_E_NETWORK);
    ck_assert_uint_eq(replay_requests(b.server), 1);
    close_bench(&b);
    open_bench(&b, CPUU_SESSION_MAILBOX);
    for (int i = 0; i < 4; i++)
        add_redirect(&b, "/mapi/emsmdb/");
    connect_session(&b);
    ck_assert_int_eq(b.call.rc, CPUU_E_NETWORK);
    ck_assert_uint_eq(replay_requests(b.server), 4);
    close_bench(&b);
}
END_TEST

START_TEST(a_payload_too_large_is_not_sent)
{
    static uint8_t big[0x8000];
    bench b;
    open_bench(&b, CPUU_SESSION_MAILBOX);
    add_connected(b.server, "sid=1");
    connect_session(&b);
    execute(&b, big, sizeof(big) - 7);
    ck_assert_int_eq(b.call.rc, CPUU_E_TOOBIG);
    ck_assert(cpuu_session_connected(b.session));
    ck_assert(!b.call.maybe_done);
    ck_assert_uint_eq(replay_requests(b.server), 1);
    close_bench(&b);
}
END_TEST

START_TEST(a_context_takes_one_call_at_a_time)
{
    bench b;
    cpuu_call second = {.on_done = count_done, .user = &b};
    open_bench(&b, CPUU_SESSION_MAILBOX);
    add_connected(b.server, "sid=1");
    cpuu_session_connect(b.session, &b.call);
    ck_assert(cpuu_session_busy(b.session));
    cpuu_session_execute(b.session, &second);
    cpuu_error err = CPUU_ERROR_INIT;
    ck_assert_int_eq(cpuu_http_drive(b.http, &err), CPUU_OK);
    ck_assert_uint_eq(b.done, 2);
    ck_assert_int_eq(second.rc, CPUU_E_FAILED);
    ck_assert_int_eq(b.call.rc, CPUU_OK);
    ck_assert(cpuu_session_connected(b.session));
    cpuu_call_clear(&second);
    close_bench(&b);
}
END_TEST

START_TEST(any_one_request_may_fail)
{
    for (unsigned n = 1; n <= 3; n++) {
        bench b;
        open_bench(&b, CPUU_SESSION_MAILBOX);
        add_connected(b.server, "sid=1");
        add_executed(b.server, "sid=2", "", good_rops, sizeof(good_rops));
        add_frame(b.server, "Disconnect", NULL, "", "\0\0\0\0\0\0\0\0\0\0\0", 12);
        fail_request = n;
        connect_session(&b);
        ck_assert_int_eq(b.call.rc, CPUU_OK);
        execute(&b, payload, sizeof(payload));
        ck_assert_int_eq(b.call.rc, CPUU_OK);
        cpuu_session_disconnect(b.session, &b.call);
        drive(&b);
        ck_assert_int_eq(b.call.rc, CPUU_OK);
        ck_assert_uint_eq(fail_request, 0);
        ck_assert_uint_eq(replay_requests(b.server), 3);
        close_bench(&b);
    }
}
END_TEST

START_TEST(contexts_run_side_by_side)
{
    /* Four contexts of one user: each has its own connection, ids and cookies. */
    enum { N = 4 };
    bench b[N];
    cpuu_error err = CPUU_ERROR_INIT;
    open_bench(&b[0], CPUU_SESSION_MAILBOX);
    for (int i = 0; i < 2 * N; i++)
        add_connected(b[0].server, i < N ? "sid=1" : "sid=2");
    char url[128], first[64], v[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", replay_port(b[0].server));
    for (int i = 1; i < N; i++) {
        cpuu_session_options o = {.kind = CPUU_SESSION_MAILBOX, .url = url, .user_dn = DN};
        memset(&b[i], 0, sizeof(b[i]));
        ck_assert_int_eq(cpuu_session_new(b[0].http, &o, NULL, &b[i].session, &err), CPUU_OK);
        b[i].call.on_done = count_done;
        b[i].call.user = &b[0];
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++)
            cpuu_session_connect(b[i].session, &b[i].call);
        ck_assert_int_eq(cpuu_http_drive(b[0].http, &err), CPUU_OK);
    }
    ck_assert_uint_eq(b[0].done, 2 * N);
    ck_assert_uint_le(replay_connections(b[0].server), N); /* used again in the second round */
    ck_assert(replay_header(b[0].server, 0, "X-RequestId", first, sizeof(first)));
    for (unsigned i = 1; i < N; i++) {
        ck_assert(replay_header(b[0].server, i, "X-RequestId", v, sizeof(v)));
        ck_assert_int_ne(memcmp(first, v, 38), 0);
    }
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(b[i].call.rc, CPUU_OK);
        cpuu_call_clear(&b[i].call);
        if (i)
            cpuu_session_free(b[i].session);
    }
    close_bench(&b[0]);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
    cpuu_fmt_realloc = failing_realloc;
    unsigned n = 1;
    for (bool all_went_well = false; !all_went_well && n < 400; n++) {
        bench b;
        open_bench(&b, CPUU_SESSION_MAILBOX);
        add_connected(b.server, "sid=1");
        add_executed(b.server, "sid=2", "", good_rops, sizeof(good_rops));
        fail_alloc = n;
        connect_session(&b);
        if (b.call.rc >= 0)
            execute(&b, payload, sizeof(payload));
        all_went_well = fail_alloc > 0;
        fail_alloc = 0;
        ck_assert_int_eq(b.call.rc, all_went_well ? CPUU_OK : CPUU_E_NOMEM);
        close_bench(&b);
    }
    cpuu_fmt_realloc = realloc;
    ck_assert_uint_gt(n, 10);
    ck_assert_uint_lt(n, 400);
}
END_TEST

START_TEST(error_codes_have_words)
{
    cpuu_error err = CPUU_ERROR_INIT;
    ck_assert_int_eq(cpuu_mapi_fail(&err, 0x80070005, "folder '%s'", "x"), CPUU_E_ACCESS);
    ck_assert_uint_eq(err.detail, 0x80070005);
    ck_assert_ptr_nonnull(strstr(err.text, "folder 'x': 0x80070005 ecAccessDenied"));
    ck_assert_int_eq(cpuu_mapi_fail(&err, 0x80041234, "x"), CPUU_E_FAILED);
    ck_assert_int_eq(cpuu_mapi_rc(0x80040109), CPUU_E_CONFLICT);
    ck_assert_int_eq(cpuu_mapi_rc(0x00040380), CPUU_OK);
    ck_assert_int_eq(cpuu_mapi_fail(&err, 0x00040380, "x"), CPUU_E_FAILED);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("session");
    TCase *t = tcase_create("session");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, every_recording_means_what_was_decoded_from_it);
    tcase_add_test(t, requests_are_those_of_the_specification);
    tcase_add_test(t, a_lost_answer_is_never_sent_again);
    tcase_add_test(t, a_request_that_did_not_start_is_sent_once_more);
    tcase_add_test(t, any_response_code_loses_the_context);
    tcase_add_test(t, old_cookies_that_are_refused_are_dropped);
    tcase_add_test(t, http_statuses_are_told_apart);
    tcase_add_test(t, payloads_are_read_however_they_are_packed);
    tcase_add_test(t, the_samples_of_the_compression_are_decoded);
    tcase_add_test(t, a_server_says_what_it_can);
    tcase_add_test(t, a_frame_may_look_different);
    tcase_add_test(t, a_cookie_of_any_length_is_kept);
    tcase_add_test(t, an_opening_may_be_sent_to_another_server);
    tcase_add_test(t, a_payload_too_large_is_not_sent);
    tcase_add_test(t, a_context_takes_one_call_at_a_time);
    tcase_add_test(t, any_one_request_may_fail);
    tcase_add_test(t, contexts_run_side_by_side);
    tcase_add_test(t, every_allocation_may_fail);
    tcase_add_test(t, error_codes_have_words);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
