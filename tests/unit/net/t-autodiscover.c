/*
 * Autodiscover: recorded answers, answers in the shapes the documents describe, and whole look-ups
 * over TLS against a server with a certificate of its own authority.
 */
#include "bench.h"
#include "base/clock.h"
#include "base/mem.h"
#include "net/autodiscover.h"
#include "net/patience.h"
#include "net/srv.h"
#include "../oracle.h"

#include <check.h>
#include <jansson.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OUTER_NS "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
#define INNER_NS "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
#define ANSWER(user, account)                                                                      \
    "<Autodiscover xmlns='" OUTER_NS "'><Response xmlns='" INNER_NS "'><User>" user                \
    "</User><Account>" account "</Account></Response></Autodiscover>"
#define DN "<LegacyDN>/o=Org/cn=a</LegacyDN>"
#define SETTINGS "<Action>settings</Action>"
#define RELATIVE                                                                                   \
    "<Protocol Type='mapiHttp'><MailStore><ExternalUrl>/mapi/emsmdb/?MailboxId=x</ExternalUrl>"    \
    "</MailStore></Protocol>"

static cpuu_rc parse(const char *xml, cpuu_autodiscover_answer *a, cpuu_error *err)
{
    size_t n = strlen(xml);
    char *copy = malloc(n ? n : 1);
    memcpy(copy, xml, n);
    cpuu_rc rc = cpuu_autodiscover_parse(copy, n, a, err);
    free(copy);
    return rc;
}

/* ---- parsing --------------------------------------------------------------------------------- */

static char *recorded(const char *name)
{
    char relative[128];
    snprintf(relative, sizeof(relative), "mapihttp/%s.json", name);
    const char *path = oracle_path("recorded_answers", relative);
    if (!path)
        return NULL;
    json_t *j = json_load_file(path, 0, NULL);
    ck_assert_ptr_nonnull(j);
    char *text = strdup(json_string_value(json_object_get(j, "response")));
    json_decref(j);
    return text;
}

START_TEST(recorded_answers_are_read)
{
    /* Expected values: read off the recordings' XML by eye. */
    cpuu_autodiscover_answer a;
    cpuu_error err = CPUU_ERROR_INIT;
    char *xml = recorded("001-ad-self");
    if (!xml)
        return;
    ck_assert_int_eq(parse(xml, &a, &err), CPUU_OK);
    free(xml);
    const cpuu_autodiscover_result *r = &a.result;
    ck_assert_int_eq(a.kind, CPUU_AD_SETTINGS);
    ck_assert_str_eq(r->smtp, "alice@source.test");
    ck_assert_str_eq(r->display_name, "Alice Adams");
    ck_assert_str_eq(r->legacy_dn, "/o=SourceOrg/ou=Exchange Administrative Group "
                                   "(FYDIBOHF23SPDLT)/cn=Recipients/cn=0100000001000000-alice");
    ck_assert_str_eq(r->emsmdb_url, "https://localhost:18443/mapi/emsmdb/?MailboxId="
                                    "616c6963-6540-736f-7572-636501000000@source.test");
    ck_assert_str_eq(r->nspi_url, "https://localhost:18443/mapi/nspi/?MailboxId="
                                  "616c6963-6540-736f-7572-636501000000@source.test");
    ck_assert_str_eq(r->server, "616c6963-6540-736f-7572-636501000000@source.test");
    ck_assert_str_eq(r->ews_url, "https://localhost:18443/EWS/Exchange.asmx");
    ck_assert(!r->microsoft_online);
    ck_assert_uint_eq(r->n_alternatives, 0);
    cpuu_autodiscover_answer_free(&a);

    xml = recorded("002-ad-other-user");
    ck_assert_int_eq(parse(xml, &a, &err), CPUU_OK);
    free(xml);
    ck_assert_ptr_nonnull(strstr(a.result.legacy_dn, "/cn=Recipients/cn="));
    ck_assert_ptr_null(strstr(a.result.legacy_dn, "alice"));
    cpuu_autodiscover_answer_free(&a);

    xml = recorded("003-ad-unknown");
    ck_assert_int_eq(parse(xml, &a, &err), CPUU_OK);
    free(xml);
    ck_assert_int_eq(a.kind, CPUU_AD_ERROR);
    ck_assert_uint_eq(a.error_code, 404);
    ck_assert_str_eq(a.error_text, "Not Found");
    cpuu_autodiscover_answer_free(&a);
}
END_TEST

START_TEST(all_documented_shapes_are_read)
{
    cpuu_autodiscover_answer a;
    cpuu_error err = CPUU_ERROR_INIT;
    const cpuu_autodiscover_result *r = &a.result;
    ck_assert_int_eq(
        parse(ANSWER(DN, SETTINGS "<MicrosoftOnline>True</MicrosoftOnline>"
                         "<Protocol><Type>EXCH</Type><Server>s</Server><EwsUrl>in</EwsUrl>"
                         "</Protocol><Protocol><Type>EXPR</Type><Server>x</Server>"
                         "<ASUrl> out </ASUrl></Protocol>"
                         "<Protocol Type='mapiHttp'><MailStore><InternalUrl>i</InternalUrl>"
                         "</MailStore><AddressBook><InternalUrl>i</InternalUrl><ExternalUrl>e"
                         "</ExternalUrl></AddressBook></Protocol>"
                         "<AlternativeMailbox><Type>Delegate</Type><DisplayName>D</DisplayName>"
                         "<SmtpAddress>d@x</SmtpAddress></AlternativeMailbox>"
                         "<AlternativeMailbox><Type>Archive</Type><LegacyDN>/o=1</LegacyDN>"
                         "</AlternativeMailbox>"), &a, &err), CPUU_OK);
    ck_assert(r->microsoft_online);
    ck_assert_str_eq(r->server, "s");
    ck_assert_str_eq(r->ews_url, "out");
    ck_assert_str_eq(r->emsmdb_url, "i");
    ck_assert_str_eq(r->nspi_url, "e");
    ck_assert_uint_eq(r->n_alternatives, 2);
    ck_assert_str_eq(r->alternatives[0].smtp, "d@x");
    ck_assert_ptr_null(r->alternatives[0].legacy_dn);
    ck_assert_str_eq(r->alternatives[1].legacy_dn, "/o=1");
    cpuu_autodiscover_answer_free(&a);
    ck_assert_int_eq(
        parse(ANSWER(DN, SETTINGS "<Protocol Type='exch'><Server>s</Server><EwsUrl>w</EwsUrl>"
                         "</Protocol><Protocol><Type>MAPIHTTP</Type><MailStore><ExternalUrl>m"
                         "</ExternalUrl></MailStore><AddressBook><InternalUrl>n</InternalUrl>"
                         "</AddressBook></Protocol><Protocol><Server>none</Server></Protocol>"),
              &a, &err), CPUU_OK);
    ck_assert_str_eq(r->server, "s");
    ck_assert_str_eq(r->ews_url, "w");
    ck_assert_str_eq(r->emsmdb_url, "m");
    ck_assert_str_eq(r->nspi_url, "n");
    cpuu_autodiscover_answer_free(&a);
    ck_assert_int_eq(parse(ANSWER("", "<Action>redirectAddr</Action><RedirectAddr>b@c"
                                      "</RedirectAddr>"), &a, &err), CPUU_OK);
    ck_assert_int_eq(a.kind, CPUU_AD_REDIRECT_ADDR);
    ck_assert_str_eq(a.redirect, "b@c");
    cpuu_autodiscover_answer_free(&a);
    ck_assert_int_eq(parse(ANSWER("", "<Action>redirectUrl</Action><RedirectUrl>https://x/y"
                                      "</RedirectUrl>"), &a, &err), CPUU_OK);
    ck_assert_int_eq(a.kind, CPUU_AD_REDIRECT_URL);
    cpuu_autodiscover_answer_free(&a);
    ck_assert_int_eq(parse("<Autodiscover xmlns='https://schemas.microsoft.com/exchange/"
                           "autodiscover/responseschema/2006'><Response><Error Time='1'><ErrorCode>"
                           "600</ErrorCode><Message>Invalid</Message></Error></Response>"
                           "</Autodiscover>", &a, &err), CPUU_OK);
    ck_assert_uint_eq(a.error_code, 600);
    cpuu_autodiscover_answer_free(&a);
}
END_TEST

/* Shapes no schema has, which can mean one thing only. */
START_TEST(what_else_servers_write_is_understood)
{
    cpuu_autodiscover_answer a;
    cpuu_error err = CPUU_ERROR_INIT;
    ck_assert_int_eq(
        parse("\r\n \xef\xbb\xbf<?xml version='1.0' encoding='utf-8'?>"
              "<a:Autodiscover xmlns:a='http://schemas.microsoft.com/exchange/autodiscover/"
              "responseschema/2006' xmlns:b='http://schemas.microsoft.com/exchange/autodiscover/"
              "outlook/responseschema/2006a' xmlns:xsi='x'><b:Response><b:Account><b:Unknown/>"
              "<b:Protocol Type='MapiHttp'><b:AddressBook><b:ExternalUrl>/mapi/nspi/"
              "</b:ExternalUrl></b:AddressBook><b:MailStore><b:InternalUrl>i</b:InternalUrl>"
              "<b:ExternalUrl><![CDATA[ e ]]></b:ExternalUrl></b:MailStore></b:Protocol>"
              "</b:Account><b:User><b:LegacyDN>\n/O=ORG/CN=X\n</b:LegacyDN></b:User>"
              "</b:Response></a:Autodiscover>\n\n", &a, &err), CPUU_OK);
    ck_assert_int_eq(a.kind, CPUU_AD_SETTINGS);
    ck_assert_str_eq(a.result.legacy_dn, "/O=ORG/CN=X");
    ck_assert_str_eq(a.result.emsmdb_url, "e");
    ck_assert_str_eq(a.result.emsmdb_url2, "i");
    ck_assert_ptr_null(a.result.nspi_url2);
    cpuu_autodiscover_answer_free(&a);
    ck_assert_int_eq(parse(ANSWER("", "<RedirectAddr>b@c</RedirectAddr>"), &a, &err), CPUU_OK);
    ck_assert_int_eq(a.kind, CPUU_AD_REDIRECT_ADDR);
    cpuu_autodiscover_answer_free(&a);
    ck_assert_int_eq(parse(ANSWER("", "<Action>redirectUrl</Action><RedirectAddr/><RedirectURL>"
                                      "https://x/y</RedirectURL>"), &a, &err), CPUU_OK);
    ck_assert_int_eq(a.kind, CPUU_AD_REDIRECT_URL);
    ck_assert_str_eq(a.redirect, "https://x/y");
    cpuu_autodiscover_answer_free(&a);
    ck_assert_int_eq(parse(ANSWER("", "<Error><ErrorCode>501</ErrorCode></Error>"), &a, &err),
                     CPUU_OK);
    ck_assert_int_eq(a.kind, CPUU_AD_ERROR);
    ck_assert_uint_eq(a.error_code, 501);
    cpuu_autodiscover_answer_free(&a);
}
END_TEST

START_TEST(anything_else_is_refused)
{
    static const char *const cases[] = {
        "", "<html/>", "<Autodiscover/>", "<Autodiscover xmlns='" OUTER_NS "'/>",
        "<Autodiscover xmlns='http://evil.test/x'><Response/></Autodiscover>",
        ANSWER(DN, ""), ANSWER(DN, "<Action>dance</Action>"), ANSWER("", SETTINGS),
        ANSWER("<LegacyDN>x</LegacyDN>", SETTINGS), ANSWER("", "<Action>redirectAddr</Action>"),
        "<!DOCTYPE a [<!ENTITY b 'c'>]>" ANSWER(DN, SETTINGS),
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cpuu_autodiscover_answer a;
        cpuu_error err = CPUU_ERROR_INIT;
        ck_assert_msg(parse(cases[i], &a, &err) == CPUU_E_FORMAT, "%s", cases[i]);
        ck_assert_int_eq(err.rc, CPUU_E_FORMAT);
    }
}
END_TEST

/* ---- whole look-ups -------------------------------------------------------------------------- */

/* One answer of the server: to which Host and method, once or more. */
typedef struct route {
    const char *host, *method;
    unsigned status;
    const char *location, *body;
    bool authenticated; /* 401 without credentials */
    unsigned hits;
    char seen[2048]; /* the last request's body */
} route;

typedef struct world {
    struct MHD_Daemon *tls, *plain;
    route *routes;
    unsigned busy; /* so many times the first of them asks to come back later, ... */
    const char *retry_after; /* ... after so long */
    cpuu_http *http;
    memory_log log;
    char connect[2][64];
    unsigned with_password; /* requests that carried credentials */
    unsigned strangers;     /* requests to a host without a route */
    char anchor[64], capability[8];
    cpuu_autodiscover_result result;
    cpuu_error err;
} world;

static route *find_route(world *w, struct MHD_Connection *c, const char *method)
{
    const char *host = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Host");
    for (route *r = w->routes; r->host; r++) {
        size_t n = strlen(r->host);
        if (host && strncmp(host, r->host, n) == 0 && (host[n] == 0 || host[n] == ':') &&
            strcmp(method, r->method) == 0)
            return r;
    }
    return NULL;
}

static enum MHD_Result reply(const world *w, struct MHD_Connection *c, unsigned status,
                             const route *r)
{
    const char *body = r && r->body && status == r->status ? r->body : "";
    struct MHD_Response *m = MHD_create_response_from_buffer(
        strlen(body), (void *)(uintptr_t)body, MHD_RESPMEM_PERSISTENT);
    if (status == 401)
        MHD_add_response_header(m, "WWW-Authenticate", "Basic realm=\"x\"");
    if (status == 503 && w->retry_after)
        MHD_add_response_header(m, "Retry-After", w->retry_after);
    if (r && r->location && status == r->status)
        MHD_add_response_header(m, "Location", r->location);
    enum MHD_Result ok = MHD_queue_response(c, status, m);
    MHD_destroy_response(m);
    return ok;
}

static void note(world *w, struct MHD_Connection *c)
{
    const char *v = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "X-AnchorMailbox");
    snprintf(w->anchor, sizeof(w->anchor), "%s", v ? v : "");
    v = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "X-MapiHttpCapability");
    snprintf(w->capability, sizeof(w->capability), "%s", v ? v : "");
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **state)
{
    world *w = cls;
    (void)url, (void)version;
    route *r = find_route(w, c, method);
    if (!*state) {
        *state = w;
        if (r)
            r->seen[0] = 0;
        return MHD_YES;
    }
    if (*size) {
        if (r)
            strncat(r->seen, data, *size < 1000 ? *size : 1000);
        *size = 0;
        return MHD_YES;
    }
    bool password = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Authorization") != NULL;
    w->with_password += password;
    if (!r) {
        w->strangers++;
        return reply(w, c, 404, NULL);
    }
    if (r->authenticated && !password)
        return reply(w, c, 401, r);
    note(w, c);
    r->hits++;
    return reply(w, c, r == w->routes && r->hits <= w->busy ? 503 : r->status, r);
}

static struct MHD_Daemon *start(world *w, unsigned flags)
{
    struct MHD_Daemon *d;
    if (flags) {
        char *key = ca_file("good.key"), *cert = ca_file("good.pem");
        d = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | flags, 0, NULL, NULL, handle, w,
                             MHD_OPTION_HTTPS_MEM_KEY, key, MHD_OPTION_HTTPS_MEM_CERT, cert,
                             MHD_OPTION_END);
        free(key);
        free(cert);
    } else {
        d = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, handle, w,
                             MHD_OPTION_END);
    }
    ck_assert_ptr_nonnull(d);
    return d;
}

static unsigned port_of(struct MHD_Daemon *d)
{
    return MHD_get_daemon_info(d, MHD_DAEMON_INFO_BIND_PORT)->port;
}

/* Every name on port 443 leads to the TLS server, on port 80 to the plain one. */
static bool open_world(world *w, const char *test, route *routes)
{
    char ca[128];
    const char *folder = make_ca(test);
    if (!folder)
        return false;
    memset(w, 0, sizeof(*w));
    w->routes = routes;
    w->tls = start(w, MHD_USE_TLS);
    w->plain = start(w, 0);
    memory_log_init(&w->log);
    snprintf(w->connect[0], sizeof(w->connect[0]), ":443:127.0.0.1:%u", port_of(w->tls));
    snprintf(w->connect[1], sizeof(w->connect[1]), ":80:127.0.0.1:%u", port_of(w->plain));
    snprintf(ca, sizeof(ca), "%s/ca.pem", folder);
    const char *const connect[] = {w->connect[0], w->connect[1], NULL};
    cpuu_http_options o = {.ca_file = ca, .connect_to = connect};
    ck_assert_int_eq(cpuu_http_new(&o, &w->log.log, &w->http, &w->err), CPUU_OK);
    return true;
}

static void close_world(world *w)
{
    cpuu_autodiscover_result_free(&w->result);
    cpuu_http_free(w->http);
    MHD_stop_daemon(w->tls);
    MHD_stop_daemon(w->plain);
    drop_ca();
}

static cpuu_credentials alice = {(char *)"alice", (char *)"secret"};
static const char *const source_only[] = {"source.test", NULL};

static cpuu_rc look_up(world *w, const char *smtp, const char *url)
{
    cpuu_autodiscover_query q = {.smtp = smtp, .url = url, .credentials = &alice,
                                 .allowed_domains = source_only, .side = "source"};
    return cpuu_autodiscover(w->http, &q, &w->log.log, &w->result, &w->err);
}

START_TEST(a_configured_url_is_the_only_one_asked)
{
    route routes[] = {{"mail.target.test", "POST", 200, NULL, ANSWER(DN, SETTINGS RELATIVE), true, 0, ""},
                      {0}};
    world w;
    if (!open_world(&w, "a_configured_url_is_the_only_one_asked", routes))
        return;
    ck_assert_int_eq(look_up(&w, "a&b@source.test", "https://mail.target.test/autodiscover.xml"),
                     CPUU_OK);
    ck_assert_str_eq(w.result.legacy_dn, "/o=Org/cn=a");
    ck_assert_str_eq(w.result.smtp, "a&b@source.test");
    ck_assert_str_eq(w.result.url, "https://mail.target.test/autodiscover.xml");
    ck_assert_str_eq(w.result.emsmdb_url, "https://mail.target.test:443/mapi/emsmdb/?MailboxId=x");
    ck_assert_ptr_nonnull(strstr(routes[0].seen, "<EMailAddress>a&amp;b@source.test</EMailAddress>"));
    ck_assert_str_eq(w.anchor, "a&b@source.test");
    ck_assert_str_eq(w.capability, "2");
    ck_assert_uint_eq(w.strangers, 0);
    ck_assert_str_eq(w.log.text, "");
    close_world(&w);
}
END_TEST

#define URL "https://mail.target.test/autodiscover.xml"

START_TEST(a_busy_server_is_waited_for)
{
    route routes[] = {{"mail.target.test", "POST", 200, NULL, ANSWER(DN, SETTINGS), true, 0, ""},
                      {0}};
    world w;
    if (!open_world(&w, "a_busy_server_is_waited_for", routes))
        return;
    w.busy = 2;
    w.retry_after = "1";
    const int64_t begun = cpuu_clock_ms();
    ck_assert_int_eq(look_up(&w, "a@source.test", URL), CPUU_OK);
    ck_assert_int_ge(cpuu_clock_ms() - begun, 2000);
    ck_assert_uint_eq(routes[0].hits, 3);
    ck_assert_str_eq(w.result.url, URL);
    ck_assert_ptr_nonnull(strstr(w.log.text, "[TraceW] Autodiscover at " URL
                                             " is busy, trying again in 1000 ms\n"));
    ck_assert_ptr_null(strstr(w.log.text, "[Error]"));
    close_world(&w);
}
END_TEST

static cpuu_rc stop_soon(void *user)
{
    unsigned *beats = user;
    return ++*beats > 20 ? CPUU_E_STOP : CPUU_OK;
}

START_TEST(waiting_can_be_stopped)
{
    route routes[] = {{"mail.target.test", "POST", 200, NULL, ANSWER(DN, SETTINGS), false, 0, ""},
                      {0}};
    world w;
    unsigned beats = 0;
    if (!open_world(&w, "waiting_can_be_stopped", routes))
        return;
    w.busy = 99;
    w.retry_after = "20";
    cpuu_http_on_beat(w.http, stop_soon, &beats);
    const int64_t begun = cpuu_clock_ms();
    ck_assert_int_eq(look_up(&w, "a@source.test", URL), CPUU_E_STOP);
    ck_assert_int_lt(cpuu_clock_ms() - begun, 15000);
    ck_assert_uint_le(routes[0].hits, 1);
    close_world(&w);
}
END_TEST

/* Somebody's web server on the domain itself: whoever comes next is not kept waiting. */
START_TEST(a_busy_guess_is_passed_over)
{
    route routes[] = {{"source.test", "POST", 200, NULL, "", false, 0, ""},
                      {"autodiscover.source.test", "POST", 200, NULL, ANSWER(DN, SETTINGS), true, 0, ""},
                      {0}};
    world w;
    if (!open_world(&w, "a_busy_guess_is_passed_over", routes))
        return;
    w.busy = 99;
    w.retry_after = "20";
    const int64_t begun = cpuu_clock_ms();
    ck_assert_int_eq(look_up(&w, "a@source.test", NULL), CPUU_OK);
    ck_assert_int_lt(cpuu_clock_ms() - begun, 15000);
    ck_assert_uint_eq(routes[0].hits, 1);
    ck_assert_uint_eq(routes[1].hits, 1);
    close_world(&w);
}
END_TEST

START_TEST(patience_has_an_end)
{
    static const uint32_t asked[] = {0, 1, 20, 21, 3600, 4294968, UINT32_MAX};
    static const uint32_t first[] = {500, 1000, 20000, 20000, 20000, 20000, 20000};
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        unsigned pauses = 0, n = 0;
        uint32_t ms = 0, all = 0;
        while (cpuu_patience(&pauses, asked[i], &ms)) {
            if (n++ == 0)
                ck_assert_uint_eq(ms, first[i]);
            ck_assert_uint_le(ms, 20000);
            all += ms;
        }
        ck_assert_uint_eq(n, 6);
        ck_assert_uint_le(all, 120000);
        ck_assert(!cpuu_patience(&pauses, asked[i], &ms));
    }
}
END_TEST

static uint32_t asked_for(const char *value)
{
    char line[128];
    cpuu_http_request req = {0};
    cpuu_buf_init(&req.response_headers, 1024);
    snprintf(line, sizeof(line), "HTTP/1.1 503 x\r\nRetry-After: %s\r\n\r\n", value);
    cpuu_buf_add(&req.response_headers, line, strlen(line));
    const uint32_t seconds = cpuu_http_retry_after(&req);
    cpuu_buf_free(&req.response_headers);
    return seconds;
}

/* [RFC 9110] 10.2.3, 5.6.7 */
START_TEST(a_time_to_come_back_is_seconds_or_a_date)
{
    char date[64];
    time_t when = time(NULL) + 300;
    struct tm tm;
    ck_assert_uint_eq(asked_for("120"), 120);
    ck_assert_uint_eq(asked_for("0"), 0);
    ck_assert_uint_eq(asked_for("99999999999999999999"), UINT32_MAX);
    ck_assert_uint_eq(asked_for("-5"), 0);
    ck_assert_uint_eq(asked_for("soon"), 0);
    ck_assert_uint_eq(asked_for("Fri, 31 Dec 1999 23:59:59 GMT"), 0);
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&when, &tm));
    ck_assert_uint_ge(asked_for(date), 200);
    ck_assert_uint_le(asked_for(date), 300);
}
END_TEST

START_TEST(the_order_without_a_url)
{
    route routes[] = {
        {"source.test", "POST", 404, NULL, NULL, false, 0, ""},
        {"autodiscover.source.test", "POST", 200, NULL, "<html/>", false, 0, ""},
        {"autodiscover.source.test", "GET", 302, "https://mail.source.test/Autodiscover/"
         "Autodiscover.xml", NULL, false, 0, ""},
        {"mail.source.test", "POST", 200, NULL, ANSWER(DN, SETTINGS), true, 0, ""}, {0}};
    world w;
    if (!open_world(&w, "the_order_without_a_url", routes))
        return;
    ck_assert_int_eq(look_up(&w, "a@source.test", NULL), CPUU_OK);
    ck_assert_str_eq(w.result.url, "https://mail.source.test/Autodiscover/Autodiscover.xml");
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(routes[i].hits, 1);
    ck_assert_uint_eq(w.with_password, 1); /* only to who asked for it, and never in plain http */
    ck_assert_ptr_nonnull(strstr(w.log.text,
        "[TraceW] Failed to get Autodiscover response for email 'a@source.test'. Autodiscover URL: "
        "'https://source.test/autodiscover/autodiscover.xml'. HTTP status code 404 received.\n"));
    ck_assert_ptr_null(strstr(w.log.text, "[Error]"));
    close_world(&w);
}
END_TEST

START_TEST(redirects_lead_to_an_answer_but_not_in_circles)
{
    route routes[] = {
        {"a.source.test", "POST", 200, NULL, ANSWER("", "<Action>redirectUrl</Action><RedirectUrl>"
         "https://b.source.test/x</RedirectUrl>"), false, 0, ""},
        {"b.source.test", "POST", 200, NULL, ANSWER(DN, SETTINGS), false, 0, ""},
        {"c.source.test", "POST", 200, NULL, ANSWER("", "<Action>redirectUrl</Action><RedirectUrl>"
         "https://c.source.test/x</RedirectUrl>"), false, 0, ""},
        {"d.source.test", "POST", 200, NULL, ANSWER("", "<Action>redirectAddr</Action>"
         "<RedirectAddr>A@source.test</RedirectAddr>"), false, 0, ""},
        {"e.source.test", "POST", 302, "http://b.source.test/autodiscover.xml", NULL, false, 0, ""},
        {0}};
    world w;
    if (!open_world(&w, "redirects_lead_to_an_answer_but_not_in_circles", routes))
        return;
    ck_assert_int_eq(look_up(&w, "a@source.test", "https://a.source.test/x"), CPUU_OK);
    ck_assert_str_eq(w.result.url, "https://b.source.test/x");
    cpuu_autodiscover_result_free(&w.result);
    ck_assert_int_eq(look_up(&w, "a@source.test", "https://c.source.test/x"), CPUU_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(w.err.text, "circle"));
    ck_assert_uint_eq(routes[2].hits, 2);
    ck_assert_int_eq(look_up(&w, "a@source.test", "https://d.source.test/x"), CPUU_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(w.err.text, "circle"));
    ck_assert_uint_eq(routes[3].hits, 1);
    ck_assert_int_eq(look_up(&w, "a@source.test", "https://e.source.test/x"), CPUU_E_NETWORK);
    ck_assert_uint_eq(routes[1].hits, 1);
    close_world(&w);
}
END_TEST

START_TEST(credentials_stay_within_the_named_domains)
{
    route routes[] = {
        {"a.source.test", "POST", 200, NULL, ANSWER("", "<Action>redirectUrl</Action><RedirectUrl>"
         "https://x.evil.test/x</RedirectUrl>"), false, 0, ""},
        {"x.evil.test", "POST", 200, NULL, ANSWER(DN, SETTINGS), true, 0, ""},
        {"evilsource.test", "POST", 200, NULL, ANSWER(DN, SETTINGS), true, 0, ""}, {0}};
    world w;
    if (!open_world(&w, "credentials_stay_within_the_named_domains", routes))
        return;
    ck_assert_int_eq(look_up(&w, "a@source.test", "https://a.source.test/x"), CPUU_E_AUTH);
    ck_assert_ptr_nonnull(strstr(w.err.text, "x.evil.test"));
    ck_assert_ptr_nonnull(strstr(w.err.text, "Domains"));
    ck_assert_int_eq(look_up(&w, "a@evilsource.test", NULL), CPUU_E_AUTH);
    ck_assert_uint_eq(routes[1].hits + routes[2].hits, 0);
    ck_assert_uint_eq(w.with_password, 0);
    close_world(&w);
}
END_TEST

START_TEST(the_log_has_the_lines_of_the_guide)
{
    route routes[] = {
        {"a.source.test", "POST", 200, NULL, ANSWER(DN, SETTINGS), true, 0, ""},
        {"b.source.test", "POST", 401, NULL, NULL, false, 0, ""},
        {"c.source.test", "POST", 200, NULL, "<Autodiscover xmlns='" OUTER_NS "'><Response><Error>"
         "<ErrorCode>500</ErrorCode><Message>unknown</Message></Error></Response></Autodiscover>",
         false, 0, ""}, {0}};
    world w;
    if (!open_world(&w, "the_log_has_the_lines_of_the_guide", routes))
        return;
    ck_assert_int_eq(look_up(&w, "a@source.test", "https://b.source.test/x"), CPUU_E_AUTH);
    ck_assert_uint_eq(w.err.detail, 401);
    /* Guide line 880. */
    ck_assert_str_eq(w.log.text,
        "[TraceW] Failed to get Autodiscover response for email 'a@source.test'. Autodiscover URL: "
        "'https://b.source.test/x'. Custom result: 0xc01000cf, Description: HTTP status code 401 "
        "(Unauthorized) received. This response indicates that authorization has been refused for "
        "the account used to access destination, or specified credentials are invalid.\n"
        "[Error] Cannot get an Autodiscover response on source. See logged errors to resolve the "
        "issue. Profile will not be processed.\n");
    w.log.text[0] = 0;
    ck_assert_int_eq(look_up(&w, "a@source.test", "https://localhost:1/x"), CPUU_E_NETWORK);
    /* Guide line 882. */
    ck_assert_str_eq(w.log.text,
        "[TraceW] Failed to get Autodiscover response for email 'a@source.test'. Autodiscover URL: "
        "'https://localhost:1/x'. WinHTTP result: 0x00002efd, Description: A connection with the "
        "server could not be established\n"
        "[Warning] Cannot get an Autodiscover response for the user 'a@source.test' from the URL: "
        "'https://localhost:1/x'.\n"
        "[Error] Cannot get an Autodiscover response on source. See logged errors to resolve the "
        "issue. Profile will not be processed.\n");
    ck_assert_int_eq(look_up(&w, "a@source.test", "https://c.source.test/x"), CPUU_E_NOTFOUND);
    ck_assert_uint_eq(w.err.detail, 500);
    ck_assert_int_eq(look_up(&w, "nobody", NULL), CPUU_E_FORMAT);
    ck_assert_int_eq(look_up(&w, "a@test", NULL), CPUU_E_FORMAT);
    close_world(&w);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
    route routes[] = {
        {"a.source.test", "POST", 200, NULL, ANSWER("", "<Action>redirectUrl</Action><RedirectUrl>"
         "https://b.source.test/x</RedirectUrl>"), true, 0, ""},
        {"b.source.test", "POST", 200, NULL,
         ANSWER(DN, SETTINGS "<Protocol Type='mapiHttp'><MailStore><InternalUrl>i</InternalUrl>"
                "</MailStore></Protocol><AlternativeMailbox/>"), true, 0, ""}, {0}};
    world w;
    unsigned at = 1;
    bool all_went_well = false;
    if (!open_world(&w, "every_allocation_may_fail", routes))
        return;
    cpuu_fmt_realloc = failing_realloc;
    for (; !all_went_well && at < 300; at++) {
        memset(&w.err, 0, sizeof(w.err));
        w.log.text[0] = 0;
        fail_alloc = at;
        cpuu_rc rc = look_up(&w, "a@source.test", "https://a.source.test/x");
        all_went_well = fail_alloc > 0;
        fail_alloc = 0;
        ck_assert_int_eq(rc, all_went_well ? CPUU_OK : CPUU_E_NOMEM);
        if (rc >= 0)
            cpuu_autodiscover_result_free(&w.result);
    }
    cpuu_fmt_realloc = realloc;
    ck_assert(all_went_well);
    ck_assert_uint_gt(at, 20);
    close_world(&w);
}
END_TEST

START_TEST(a_dns_answer_gives_the_best_server)
{
    /* RFC 1035 and RFC 2782 by hand: one question "a.b" SRV, three answers for it (name by pointer):
     * priority 5 "x.y" port 1; priority 1 weight 1 "p.q" port 443; priority 1 weight 9 "r.s" 8443. */
    static const uint8_t answer[] = {
        0, 1, 0x81, 0x80, 0, 1, 0, 3, 0, 0, 0, 0, 1, 'a', 1, 'b', 0, 0, 33, 0, 1,
        0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 9, 0, 11, 0, 5, 0, 0, 0, 1, 1, 'x', 1, 'y', 0,
        0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 9, 0, 11, 0, 1, 0, 1, 1, 0xbb, 1, 'p', 1, 'q', 0,
        0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 9, 0, 11, 0, 1, 0, 9, 0x20, 0xfb, 1, 'r', 1, 's', 0,
    };
    char host[64];
    uint16_t port;
    ck_assert(cpuu_srv_parse(answer, sizeof(answer), host, sizeof(host), &port));
    ck_assert_str_eq(host, "r.s");
    ck_assert_uint_eq(port, 8443);
    for (size_t n = 0; n < sizeof(answer); n++) { /* cut short: no crash, no answer beyond it */
        uint8_t *copy = malloc(n ? n : 1);
        memcpy(copy, answer, n);
        cpuu_srv_parse(copy, n, host, sizeof(host), &port);
        free(copy);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("autodiscover");
    TCase *t = tcase_create("autodiscover");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, recorded_answers_are_read);
    tcase_add_test(t, all_documented_shapes_are_read);
    tcase_add_test(t, what_else_servers_write_is_understood);
    tcase_add_test(t, anything_else_is_refused);
    tcase_add_test(t, a_configured_url_is_the_only_one_asked);
    tcase_add_test(t, a_busy_server_is_waited_for);
    tcase_add_test(t, waiting_can_be_stopped);
    tcase_add_test(t, a_busy_guess_is_passed_over);
    tcase_add_test(t, patience_has_an_end);
    tcase_add_test(t, a_time_to_come_back_is_seconds_or_a_date);
    tcase_add_test(t, the_order_without_a_url);
    tcase_add_test(t, redirects_lead_to_an_answer_but_not_in_circles);
    tcase_add_test(t, credentials_stay_within_the_named_domains);
    tcase_add_test(t, the_log_has_the_lines_of_the_guide);
    tcase_add_test(t, every_allocation_may_fail);
    tcase_add_test(t, a_dns_answer_gives_the_best_server);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
