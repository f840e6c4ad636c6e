/* HTTP over real sockets: connections, authentication, limits, TLS, the guide's words. */
#include "bench.h"
#include "base/clock.h"
#include "base/mem.h"
#include "net/http.h"
#include "../../lab/replay.h"
#include "../oracle.h"

#include <check.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OK_RESPONSE "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define BASIC_401 "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"x, NTLM\"\r\n" \
                  "Content-Length: 0\r\n\r\n"
#define NTLM_401 "HTTP/1.1 401 No\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n"

typedef struct net {
    replay *server;
    cpuu_http *http;
    memory_log log;
    char url[64];
} net;

static void open_net(net *n, bool insecure)
{
    cpuu_http_options o = {.allow_insecure_http = insecure};
    cpuu_error err = CPUU_ERROR_INIT;
    memory_log_init(&n->log);
    n->server = replay_start();
    ck_assert_ptr_nonnull(n->server);
    ck_assert_int_eq(cpuu_http_new(&o, &n->log.log, &n->http, &err), CPUU_OK);
    snprintf(n->url, sizeof(n->url), "http://127.0.0.1:%u/x", replay_port(n->server));
}

static void close_net(net *n)
{
    cpuu_http_free(n->http);
    replay_stop(n->server);
}

static cpuu_rc post(net *n, const cpuu_credentials *c, cpuu_http_request *req)
{
    cpuu_error err = CPUU_ERROR_INIT;
    memset(req, 0, sizeof(*req));
    req->method = "POST";
    req->url = n->url;
    req->body = "body";
    req->body_size = 4;
    req->credentials = c;
    cpuu_rc rc = cpuu_http_perform(n->http, req, &err);
    ck_assert_int_eq(rc, req->rc);
    ck_assert_int_eq(rc < 0 ? err.rc : CPUU_OK, rc);
    return rc;
}

/* Posts, expects that HTTP status, frees. */
static void expect(net *n, const cpuu_credentials *c, uint32_t status)
{
    cpuu_http_request req;
    ck_assert_int_eq(post(n, c, &req), CPUU_OK);
    ck_assert_uint_eq(req.status, status);
    cpuu_http_request_clear(&req);
}

static cpuu_credentials alice = {(char *)"alice", (char *)"secret"};
static cpuu_credentials bob = {(char *)"bob", (char *)"secret"};

START_TEST(a_connection_is_used_again)
{
    net n;
    open_net(&n, false);
    for (int i = 0; i < 3; i++)
        replay_add_text(n.server, OK_RESPONSE, 0);
    for (int i = 0; i < 3; i++)
        expect(&n, NULL, 200);
    ck_assert_uint_eq(replay_connections(n.server), 1);
    uint64_t requests, sent, received;
    cpuu_http_totals(n.http, &requests, &sent, &received);
    ck_assert_uint_eq(requests, 3);
    ck_assert_uint_eq(received, 3 * (sizeof(OK_RESPONSE) - 1));
    ck_assert_uint_gt(sent, 3 * 4);
    ck_assert_ptr_null(strstr(replay_request(n.server, 0), "Expect"));
    ck_assert_ptr_null(strstr(replay_request(n.server, 0), "Authorization"));
    close_net(&n);
}
END_TEST

START_TEST(a_scheme_is_learnt_once_and_then_sent_at_once)
{
    net n;
    char v[64];
    open_net(&n, true);
    replay_add_text(n.server, BASIC_401, 0);
    for (int i = 0; i < 2; i++)
        replay_add_text(n.server, OK_RESPONSE, 0);
    expect(&n, &alice, 200);
    expect(&n, &alice, 200);
    ck_assert_uint_eq(replay_requests(n.server), 3);
    ck_assert_uint_eq(replay_connections(n.server), 1);
    ck_assert(!replay_header(n.server, 0, "Authorization", v, sizeof(v)));
    for (unsigned i = 1; i < 3; i++) {
        ck_assert(replay_header(n.server, i, "Authorization", v, sizeof(v)));
        ck_assert_str_eq(v, "Basic YWxpY2U6c2VjcmV0"); /* base64 of alice:secret */
        size_t size;
        ck_assert_int_eq(memcmp(replay_body(n.server, i, &size), "body", 4), 0);
        ck_assert_uint_eq(size, 4);
    }
    replay_add_text(n.server, BASIC_401, 0); /* the password was changed meanwhile */
    expect(&n, &alice, 401);
    ck_assert_uint_eq(replay_requests(n.server), 4);
    close_net(&n);
}
END_TEST

/* A hybrid Exchange puts a Bearer challenge first that names every issuer it trusts. */
START_TEST(a_long_challenge_hides_no_other)
{
    net n;
    char long_401[4000];
    open_net(&n, true);
    int size = snprintf(long_401, sizeof(long_401),
                        "HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer client_id=\"x\", trusted_issuers=\"");
    for (int i = 0; i < 40; i++)
        size += snprintf(long_401 + size, sizeof(long_401) - (size_t)size,
                         "00000001-0000-0000-c000-0000000000%02d@*,", i);
    snprintf(long_401 + size, sizeof(long_401) - (size_t)size,
             "\", token_types=\"Basic\"\r\nWWW-Authenticate: basic realm=\"x\"\r\n"
             "Content-Length: 0\r\n\r\n");
    replay_add_text(n.server, long_401, 0);
    replay_add_text(n.server, OK_RESPONSE, 0);
    expect(&n, &alice, 200);
    close_net(&n);
}
END_TEST

START_TEST(the_recorded_401_is_answered)
{
    const char *path = oracle_path("the_recorded_401_is_answered",
                                   "mapihttp/004-ad-no-credentials.response.http");
    if (!path)
        return;
    net n;
    open_net(&n, true);
    ck_assert(replay_add_file(n.server, NULL, path));
    replay_add_text(n.server, OK_RESPONSE, 0);
    expect(&n, &alice, 200);
    close_net(&n);
}
END_TEST

START_TEST(a_ticket_is_not_replaced_by_a_password_nor_the_other_way_round)
{
    net n;
    open_net(&n, true);
    cpuu_credentials ticket = {NULL, NULL};
    replay_add_text(n.server, BASIC_401, 0);
    expect(&n, &ticket, 401);
    ck_assert_uint_eq(replay_requests(n.server), 1);
    ck_assert_ptr_nonnull(strstr(n.log.text, "the ticket of the logged-in user"));
    replay_add_text(n.server, "HTTP/1.1 401 No\r\nWWW-Authenticate: Negotiate\r\n"
                              "Content-Length: 0\r\n\r\n", 0);
    expect(&n, &bob, 401);
    ck_assert_uint_eq(replay_requests(n.server), 2);
    close_net(&n);
}
END_TEST

START_TEST(ntlm_is_preferred_to_basic)
{
    net n;
    char v[256];
    open_net(&n, true);
    replay_add_text(n.server, "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"x\"\r\n"
                              "WWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n", 0);
    replay_add_text(n.server, BASIC_401, 0);
    expect(&n, &alice, 401);
    ck_assert(replay_header(n.server, 1, "Authorization", v, sizeof(v)));
    ck_assert_int_eq(strncmp(v, "NTLM ", 5), 0);
    close_net(&n);
}
END_TEST

START_TEST(credentials_do_not_go_over_plain_http)
{
    net n;
    cpuu_http_request req;
    open_net(&n, false);
    ck_assert_int_eq(post(&n, &alice, &req), CPUU_E_AUTH);
    ck_assert_ptr_nonnull(strstr(req.error.text, "AllowInsecureHTTP"));
    ck_assert_ptr_null(strstr(req.error.text, "secret"));
    ck_assert_uint_eq(replay_connections(n.server), 0);
    cpuu_http_request_clear(&req);
    close_net(&n);
}
END_TEST

START_TEST(users_never_share_a_connection)
{
    net n;
    open_net(&n, true);
    for (int i = 0; i < 2; i++) {
        replay_add_text(n.server, BASIC_401, 0);
        replay_add_text(n.server, OK_RESPONSE, 0);
    }
    for (int i = 0; i < 3; i++)
        replay_add_text(n.server, OK_RESPONSE, 0);
    expect(&n, &alice, 200);
    expect(&n, &bob, 200);
    expect(&n, &alice, 200);
    expect(&n, &bob, 200);
    expect(&n, NULL, 200);
    static const unsigned connection[] = {0, 0, 1, 1, 0, 1, 2};
    for (unsigned i = 0; i < 7; i++)
        ck_assert_uint_eq(replay_request_connection(n.server, i), connection[i]);
    close_net(&n);
}
END_TEST

START_TEST(a_request_is_sent_at_most_once)
{
    net n;
    cpuu_http_request req;
    open_net(&n, false);
    replay_add_text(n.server, OK_RESPONSE, 0);
    replay_add_text(n.server, "", REPLAY_CLOSE); /* a used connection ends without an answer */
    replay_add_text(n.server, OK_RESPONSE, 0);
    expect(&n, NULL, 200);
    ck_assert_int_eq(post(&n, NULL, &req), CPUU_E_NETWORK);
    ck_assert(req.sent);
    ck_assert_ptr_nonnull(strstr(req.error.text, "0x00002efe"));
    cpuu_http_request_clear(&req);
    ck_assert_uint_eq(replay_requests(n.server), 2);
    expect(&n, NULL, 200);
    ck_assert_uint_eq(replay_requests(n.server), 3);
    close_net(&n);
}
END_TEST

START_TEST(an_idle_connection_that_was_closed_does_no_harm)
{
    net n;
    open_net(&n, false);
    replay_add_text(n.server, OK_RESPONSE, REPLAY_CLOSE);
    replay_add_text(n.server, OK_RESPONSE, 0);
    expect(&n, NULL, 200);
    struct timespec wait = {0, 50000000};
    nanosleep(&wait, NULL);
    expect(&n, NULL, 200);
    ck_assert_uint_eq(replay_requests(n.server), 2);
    close_net(&n);
}
END_TEST

START_TEST(a_response_has_its_limits)
{
    net n;
    cpuu_http_request req = {0};
    cpuu_error err = CPUU_ERROR_INIT;
    open_net(&n, false);
    replay_add_text(n.server, "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world", 0);
    replay_add_text(n.server, "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world", 0);
    replay_add_text(n.server, "HTTP/1.1 302 Off\r\nLocation: http://127.0.0.1:1/\r\n"
                              "X-A: 1\r\nx-a:  2 \r\nContent-Length: 0\r\n\r\n", 0);
    req.method = "GET";
    req.url = n.url;
    req.max_response = 10;
    ck_assert_int_eq(cpuu_http_perform(n.http, &req, &err), CPUU_E_TOOBIG);
    req.max_response = 11;
    ck_assert_int_eq(cpuu_http_perform(n.http, &req, &err), CPUU_OK);
    ck_assert_uint_eq(req.response.size, 11);
    ck_assert_int_eq(cpuu_http_perform(n.http, &req, &err), CPUU_OK); /* never followed */
    ck_assert_uint_eq(req.status, 302);
    ck_assert_uint_eq(replay_requests(n.server), 3);
    char v[8];
    ck_assert(cpuu_http_get_header(&req, "X-A", 1, v, sizeof(v)));
    ck_assert_str_eq(v, "2");
    ck_assert(!cpuu_http_get_header(&req, "X-A", 2, v, sizeof(v)));
    ck_assert(!cpuu_http_get_header(&req, "Location", 0, v, sizeof(v)));
    cpuu_http_request_clear(&req);
    close_net(&n);
}
END_TEST

static void expect_words(uint32_t curl_code, uint32_t status, const char *words)
{
    char text[512];
    cpuu_http_request req = {.curl_code = curl_code, .status = status};
    cpuu_http_describe(&req, text, sizeof(text));
    ck_assert_str_eq(text, words);
}

START_TEST(failures_have_the_words_of_the_guide)
{
    /* Guide lines 874, 880 and 882, word for word; numbers of libcurl from curl/curl.h. */
    expect_words(6, 0, "WinHTTP result: 0x00002ee7, Description: The server name or address could "
                       "not be resolved");
    expect_words(7, 0, "WinHTTP result: 0x00002efd, Description: A connection with the server "
                       "could not be established");
    expect_words(0, 401, "Custom result: 0xc01000cf, Description: HTTP status code 401 "
                         "(Unauthorized) received. This response indicates that authorization has "
                         "been refused for the account used to access destination, or specified "
                         "credentials are invalid.");
    expect_words(60, 0, "WinHTTP result: 0x00002f8f, Description: A security error occurred");
    expect_words(28, 0, "WinHTTP result: 0x00002ee2, Description: The operation timed out");
}
END_TEST

START_TEST(what_cannot_be_sent_says_so)
{
    net n;
    cpuu_http_request req;
    open_net(&n, false);
    replay_stop(n.server);
    ck_assert_int_eq(post(&n, NULL, &req), CPUU_E_NETWORK);
    ck_assert_uint_eq(req.curl_code, 7);
    ck_assert(!req.sent);
    cpuu_http_request_clear(&req);
    n.server = replay_start();
    static const char *const bad[] = {"", "ftp://127.0.0.1/", "http://u:p@127.0.0.1/", "file:///x"};
    for (size_t i = 0; i < 4; i++) {
        snprintf(n.url, sizeof(n.url), "%s", bad[i]);
        ck_assert_int_eq(post(&n, NULL, &req), CPUU_E_NETWORK);
        ck_assert_uint_eq(req.curl_code, 3);
        cpuu_http_request_clear(&req);
    }
    fail_request = 1;
    snprintf(n.url, sizeof(n.url), "http://127.0.0.1:%u/", replay_port(n.server));
    ck_assert_int_eq(post(&n, NULL, &req), CPUU_E_NETWORK);
    ck_assert_uint_eq(replay_connections(n.server), 0);
    cpuu_http_request_clear(&req);
    close_net(&n);
}
END_TEST

static cpuu_rc stop_after_some(void *user)
{
    int *left = user;
    return --*left < 0 ? CPUU_E_STOP : CPUU_OK;
}

static void count_end(cpuu_http_request *req)
{
    ++*(unsigned *)req->user;
}

START_TEST(the_beat_stops_everything)
{
    net n;
    cpuu_http_request req[3] = {0};
    cpuu_error err = CPUU_ERROR_INIT;
    unsigned ends = 0;
    int left = 3;
    open_net(&n, false);
    for (int i = 0; i < 3; i++)
        replay_add_text(n.server, "", REPLAY_HANG);
    cpuu_http_on_beat(n.http, stop_after_some, &left);
    for (int i = 0; i < 3; i++) {
        req[i] = (cpuu_http_request){.method = "GET", .url = n.url, .on_done = count_end,
                                     .user = &ends};
        cpuu_http_submit(n.http, &req[i]);
    }
    ck_assert_uint_eq(ends, 0);
    ck_assert_int_eq(cpuu_http_drive(n.http, &err), CPUU_E_STOP);
    ck_assert_uint_eq(ends, 3);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(req[i].rc, CPUU_E_STOP);
        cpuu_http_request_clear(&req[i]);
    }
    close_net(&n);
}
END_TEST

START_TEST(what_was_learnt_in_the_background_is_used_at_once)
{
    net n;
    char v[64];
    cpuu_error err = CPUU_ERROR_INIT;
    open_net(&n, true);
    replay_add_text(n.server, BASIC_401, 0);
    replay_add_text(n.server, OK_RESPONSE, 0);
    cpuu_http_learn(n.http, n.url, &alice);
    ck_assert_int_eq(cpuu_http_drive(n.http, &err), CPUU_OK);
    ck_assert_uint_eq(replay_requests(n.server), 1);
    ck_assert(!replay_header(n.server, 0, "Authorization", v, sizeof(v)));
    expect(&n, &alice, 200);
    ck_assert_uint_eq(replay_requests(n.server), 2);
    ck_assert(replay_header(n.server, 1, "Authorization", v, sizeof(v)));
    ck_assert_str_eq(v, "Basic YWxpY2U6c2VjcmV0");
    close_net(&n);
}
END_TEST

START_TEST(a_host_is_asked_once_and_never_with_a_password)
{
    net n;
    char v[64];
    cpuu_error err = CPUU_ERROR_INIT;
    open_net(&n, true);
    replay_add_text(n.server, OK_RESPONSE, 0); /* no 401: nothing is learnt */
    for (int i = 0; i < 3; i++)
        cpuu_http_learn(n.http, n.url, &alice);
    ck_assert_int_eq(cpuu_http_drive(n.http, &err), CPUU_OK);
    ck_assert_uint_eq(replay_requests(n.server), 1);
    replay_add_text(n.server, BASIC_401, 0);
    replay_add_text(n.server, OK_RESPONSE, 0);
    expect(&n, &bob, 200);
    cpuu_http_learn(n.http, n.url, &bob); /* known */
    ck_assert_int_eq(cpuu_http_drive(n.http, &err), CPUU_OK);
    ck_assert_uint_eq(replay_requests(n.server), 3);
    ck_assert(!replay_header(n.server, 0, "Authorization", v, sizeof(v)));
    close_net(&n);
}
END_TEST

/* Freed with the client, whatever became of it. */
START_TEST(nobody_waits_for_what_is_to_be_learnt)
{
    net n;
    open_net(&n, true);
    replay_add_text(n.server, "", REPLAY_HANG);
    int64_t start = cpuu_clock_ms();
    cpuu_http_learn(n.http, n.url, &alice);
    cpuu_http_learn(n.http, "http://a.test\r\n/", &alice);
    cpuu_http_learn(n.http, "http://127.0.0.1:1/", &alice);
    while (replay_requests(n.server) == 0) {
        cpuu_http_request req = {.method = "GET", .url = "http://127.0.0.1:1/"};
        ck_assert_int_eq(cpuu_http_perform(n.http, &req, NULL), CPUU_E_NETWORK);
        cpuu_http_request_clear(&req);
    }
    for (unsigned at = 1; at < 6; at++) {
        fail_alloc = at;
        cpuu_http_learn(n.http, "http://127.0.0.1:1/", &bob);
    }
    fail_alloc = 0;
    close_net(&n);
    ck_assert_int_lt(cpuu_clock_ms() - start, 5000);
}
END_TEST

START_TEST(a_url_that_takes_another_scheme_than_its_host_is_asked_again)
{
    net n;
    char v[64];
    cpuu_error err = CPUU_ERROR_INIT;
    open_net(&n, true);
    replay_add_text(n.server, BASIC_401, 0);
    cpuu_http_learn(n.http, n.url, &alice);
    ck_assert_int_eq(cpuu_http_drive(n.http, &err), CPUU_OK);
    replay_add_text(n.server, NTLM_401, 0);  /* to Basic */
    replay_add_text(n.server, BASIC_401, 0); /* to NTLM: it does not know what it wants */
    expect(&n, &alice, 401);
    ck_assert_uint_eq(replay_requests(n.server), 3);
    ck_assert(replay_header(n.server, 1, "Authorization", v, sizeof(v)));
    ck_assert_int_eq(strncmp(v, "Basic ", 6), 0);
    ck_assert(replay_header(n.server, 2, "Authorization", v, sizeof(v)));
    ck_assert_int_eq(strncmp(v, "NTLM ", 5), 0);
    close_net(&n);
}
END_TEST

static bool has_arrived(void *user)
{
    return replay_requests(user) == 1;
}

START_TEST(a_request_is_cancelled_and_the_others_go_on)
{
    net n;
    cpuu_http_request req[2] = {0};
    cpuu_error err = CPUU_ERROR_INIT;
    unsigned ends = 0;
    open_net(&n, false);
    replay_add_text(n.server, "", REPLAY_HANG);
    for (int i = 0; i < 2; i++)
        req[i] = (cpuu_http_request){.method = "POST", .url = n.url, .body = "b", .body_size = 1,
                                     .on_done = count_end, .user = &ends};
    cpuu_http_submit(n.http, &req[0]);
    ck_assert(cpuu_http_is_under_way(n.http, &req[0]));
    ck_assert_int_eq(cpuu_http_drive_until(n.http, has_arrived, n.server, &err), CPUU_OK);
    ck_assert_uint_eq(ends, 0);
    cpuu_http_cancel(n.http, &req[0]);
    cpuu_http_cancel(n.http, &req[0]); /* nothing to cancel any more */
    ck_assert_uint_eq(ends, 1);
    ck_assert_int_eq(req[0].rc, CPUU_E_STOP);
    ck_assert(req[0].sent && !cpuu_http_is_under_way(n.http, &req[0]));
    fail_alloc = 1; /* not even begun */
    cpuu_http_submit(n.http, &req[0]);
    ck_assert(cpuu_http_is_under_way(n.http, &req[0]));
    cpuu_http_cancel(n.http, &req[0]);
    ck_assert_uint_eq(ends, 2);
    ck_assert_int_eq(req[0].rc, CPUU_E_NOMEM);
    replay_add_text(n.server, OK_RESPONSE, 0);
    cpuu_http_submit(n.http, &req[1]);
    ck_assert_int_eq(cpuu_http_drive(n.http, &err), CPUU_OK);
    ck_assert_int_eq(req[1].rc, CPUU_OK);
    ck_assert_uint_eq(ends, 3);
    for (int i = 0; i < 2; i++)
        cpuu_http_request_clear(&req[i]);
    close_net(&n);
}
END_TEST

START_TEST(silence_ends_a_request)
{
    cpuu_http_options o = {.request_timeout_ms = 1000};
    cpuu_error err = CPUU_ERROR_INIT;
    net n;
    cpuu_http_request req;
    open_net(&n, false);
    cpuu_http_free(n.http);
    ck_assert_int_eq(cpuu_http_new(&o, NULL, &n.http, &err), CPUU_OK);
    replay_add_text(n.server, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx", REPLAY_HANG);
    ck_assert_int_eq(post(&n, NULL, &req), CPUU_E_NETWORK);
    ck_assert_uint_eq(req.curl_code, 28);
    ck_assert(req.sent);
    cpuu_http_request_clear(&req);
    close_net(&n);
}
END_TEST

START_TEST(many_requests_run_at_once)
{
    enum { N = 20 };
    net n;
    cpuu_http_request req[N] = {0};
    cpuu_error err = CPUU_ERROR_INIT;
    unsigned ends = 0;
    open_net(&n, false);
    for (int i = 0; i < N; i++) {
        replay_add_text(n.server, OK_RESPONSE, 0);
        req[i] = (cpuu_http_request){.method = "POST", .url = n.url, .body = "b", .body_size = 1,
                                     .on_done = count_end, .user = &ends};
        cpuu_http_submit(n.http, &req[i]);
    }
    ck_assert_int_eq(cpuu_http_drive(n.http, &err), CPUU_OK);
    ck_assert_uint_eq(ends, N);
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(req[i].rc, CPUU_OK);
        cpuu_http_request_clear(&req[i]);
    }
    close_net(&n);
}
END_TEST

START_TEST(a_proxy_is_asked_but_not_told_the_password)
{
    net n;
    char proxy[64], v[64];
    cpuu_http_request req;
    cpuu_error err = CPUU_ERROR_INIT;
    open_net(&n, true);
    cpuu_http_free(n.http);
    snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%u", replay_port(n.server));
    cpuu_http_options o = {.proxy = proxy};
    ck_assert_int_eq(cpuu_http_new(&o, NULL, &n.http, &err), CPUU_OK);
    replay_add_text(n.server, "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"p\"\r\n"
                              "Content-Length: 0\r\n\r\n", 0);
    snprintf(n.url, sizeof(n.url), "https://mail.target.test/x");
    ck_assert_int_eq(post(&n, &alice, &req), CPUU_E_NETWORK);
    ck_assert(!req.sent);
    ck_assert_int_eq(strncmp(replay_request(n.server, 0), "CONNECT mail.target.test:443 ", 29), 0);
    ck_assert(!replay_header(n.server, 0, "Authorization", v, sizeof(v)));
    ck_assert(!replay_header(n.server, 0, "Proxy-Authorization", v, sizeof(v)));
    cpuu_http_request_clear(&req);
    close_net(&n);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
    unsigned at = 1;
    bool all_went_well = false;
    cpuu_fmt_realloc = failing_realloc;
    for (; !all_went_well && at < 200; at++) {
        net n;
        cpuu_http_request req;
        open_net(&n, true);
        replay_add_text(n.server, BASIC_401, 0);
        replay_add_text(n.server, OK_RESPONSE, 0);
        fail_alloc = at;
        cpuu_rc rc = post(&n, &alice, &req);
        all_went_well = fail_alloc > 0;
        fail_alloc = 0;
        ck_assert_int_eq(rc, all_went_well ? CPUU_OK : CPUU_E_NOMEM);
        cpuu_http_request_clear(&req);
        close_net(&n);
    }
    cpuu_fmt_realloc = realloc;
    ck_assert(all_went_well);
    ck_assert_uint_gt(at, 8);
}
END_TEST

/* ---- TLS ------------------------------------------------------------------------------------- */

static enum MHD_Result say_ok(void *cls, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **state)
{
    (void)url, (void)method, (void)version, (void)data;
    if (!*state) {
        *state = cls;
        return MHD_YES;
    }
    if (*size) {
        *size = 0;
        return MHD_YES;
    }
    ++*(unsigned *)cls;
    struct MHD_Response *r = MHD_create_response_from_buffer(2, (void *)(uintptr_t)"ok",
                                                             MHD_RESPMEM_PERSISTENT);
    enum MHD_Result ok = MHD_queue_response(c, 200, r);
    MHD_destroy_response(r);
    return ok;
}

static void get_over_tls(const char *url, const char *ca, cpuu_http_request *req)
{
    cpuu_http_options o = {.ca_file = ca};
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_http *http;
    ck_assert_int_eq(cpuu_http_new(&o, NULL, &http, &err), CPUU_OK);
    *req = (cpuu_http_request){.method = "GET", .url = url, .credentials = &alice};
    cpuu_http_perform(http, req, &err);
    cpuu_http_free(http);
}

START_TEST(only_a_verified_certificate_is_accepted)
{
    const char *folder = make_ca("only_a_verified_certificate_is_accepted");
    if (!folder)
        return;
    char *key = ca_file("good.key"), *cert = ca_file("good.pem"), ca[128], url[64];
    unsigned served = 0;
    struct MHD_Daemon *d = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_TLS, 0, NULL, NULL, say_ok, &served,
        MHD_OPTION_HTTPS_MEM_KEY, key, MHD_OPTION_HTTPS_MEM_CERT, cert, MHD_OPTION_END);
    ck_assert_ptr_nonnull(d);
    unsigned port = MHD_get_daemon_info(d, MHD_DAEMON_INFO_BIND_PORT)->port;
    cpuu_http_request req;
    snprintf(ca, sizeof(ca), "%s/ca.pem", folder);
    snprintf(url, sizeof(url), "https://localhost:%u/", port);
    get_over_tls(url, ca, &req);
    ck_assert_int_eq(req.rc, CPUU_OK);
    ck_assert_uint_eq(req.status, 200);
    ck_assert_uint_eq(served, 1);
    cpuu_http_request_clear(&req);
    get_over_tls(url, NULL, &req); /* a CA the system does not know */
    ck_assert_int_eq(req.rc, CPUU_E_NETWORK);
    ck_assert(!req.sent);
    ck_assert_ptr_nonnull(strstr(req.error.text, "0x00002f8f"));
    cpuu_http_request_clear(&req);
    snprintf(url, sizeof(url), "https://127.0.0.2:%u/", port); /* a name not in the certificate */
    get_over_tls(url, ca, &req);
    ck_assert_int_eq(req.rc, CPUU_E_NETWORK);
    ck_assert_ptr_nonnull(strstr(req.error.text, "0x00002f8f"));
    ck_assert_uint_eq(served, 1);
    cpuu_http_request_clear(&req);
    MHD_stop_daemon(d);
    free(key);
    free(cert);
    drop_ca();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("net");
    TCase *t = tcase_create("http");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_connection_is_used_again);
    tcase_add_test(t, a_scheme_is_learnt_once_and_then_sent_at_once);
    tcase_add_test(t, a_long_challenge_hides_no_other);
    tcase_add_test(t, the_recorded_401_is_answered);
    tcase_add_test(t, a_ticket_is_not_replaced_by_a_password_nor_the_other_way_round);
    tcase_add_test(t, ntlm_is_preferred_to_basic);
    tcase_add_test(t, credentials_do_not_go_over_plain_http);
    tcase_add_test(t, users_never_share_a_connection);
    tcase_add_test(t, a_request_is_sent_at_most_once);
    tcase_add_test(t, an_idle_connection_that_was_closed_does_no_harm);
    tcase_add_test(t, a_response_has_its_limits);
    tcase_add_test(t, failures_have_the_words_of_the_guide);
    tcase_add_test(t, what_cannot_be_sent_says_so);
    tcase_add_test(t, the_beat_stops_everything);
    tcase_add_test(t, silence_ends_a_request);
    tcase_add_test(t, what_was_learnt_in_the_background_is_used_at_once);
    tcase_add_test(t, a_host_is_asked_once_and_never_with_a_password);
    tcase_add_test(t, nobody_waits_for_what_is_to_be_learnt);
    tcase_add_test(t, a_url_that_takes_another_scheme_than_its_host_is_asked_again);
    tcase_add_test(t, a_request_is_cancelled_and_the_others_go_on);
    tcase_add_test(t, many_requests_run_at_once);
    tcase_add_test(t, a_proxy_is_asked_but_not_told_the_password);
    tcase_add_test(t, every_allocation_may_fail);
    tcase_add_test(t, only_a_verified_certificate_is_accepted);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
