/*
 * The lab by the documents: what it refuses, its limits, its faults, its dumps. The client here is
 * a few lines of its own; expected codes come from [MS-OXCMAPIHTTP] 2.2.3.3.3, [MS-OXCROPS],
 * [MS-OXCSTOR] 3.2.5.1.3 and [MS-OXCRPC] 3.1.4.2.
 */
#include "config.h"

#include "tests/lab/lab.h"
#include "tests/lab/labctl.h"

#include <check.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static labctl *lab_process;
static char cookie[500];
static char dn[400];
static uint16_t port;
static uint32_t handles[300];
static const char *login = "YWxpY2U6YWxpY2U="; /* alice:alice */

static void start(bool http)
{
    char err[600] = "";
    lab_process = labctl_start(CPUU_SRCDIR "/tests/lab/small.conf", http, err, sizeof(err));
    ck_assert_msg(lab_process, "%s", err);
    port = labctl_port(lab_process, "source");
    cookie[0] = 0;
    login = "YWxpY2U6YWxpY2U=";
}

static void start_http(void)
{
    start(true);
}

static void stop(void)
{
    labctl_stop(lab_process);
    lab_process = NULL;
}

/* ---- a client -------------------------------------------------------------------------------- */

/* Sends a request; X-ResponseCode, -1 without one, -2 when the connection was closed. */
static int send_request(const char *type, const char *extra, const cpuu_buf *b, labctl_reply *r)
{
    char headers[1200], value[200];
    snprintf(headers, sizeof(headers),
             "Content-Type: application/mapi-http\r\nAuthorization: Basic %s\r\n"
             "X-ClientInfo: {A}:1\r\n%s%s%s%s%s%s%s",
             login, *type ? "X-RequestType: " : "", type, *type ? "\r\n" : "",
             extra ? extra : "X-RequestId: {A}:1\r\n", *cookie ? "Cookie: " : "", cookie,
             *cookie ? "\r\n" : "");
    ck_assert(labctl_http(port, "POST", "/mapi/emsmdb/?MailboxId=x@y", headers,
                          b ? (const void *)b->data : "", b ? b->size : 0, r));
    char all[500] = "";
    for (unsigned i = 0; i < 2 && labctl_header(r, "Set-Cookie", i, value, sizeof(value)); i++) {
        value[strcspn(value, ";")] = 0;
        strcat(strcat(all, i ? "; " : ""), value);
    }
    if (*all)
        snprintf(cookie, sizeof(cookie), "%s", all);
    if (!r->status)
        return -2;
    return labctl_header(r, "X-ResponseCode", 0, value, sizeof(value)) ? atoi(value) : -1;
}

static int code_of(const char *type, const char *extra, const cpuu_buf *b)
{
    labctl_reply r;
    int code = send_request(type, extra, b, &r);
    labctl_reply_free(&r);
    return code;
}

static const uint8_t *body_of(const labctl_reply *r, size_t *size)
{
    const char *p = r->size ? strstr((const char *)r->body, "\r\n\r\n") : NULL;
    ck_assert(p);
    *size = r->size - (size_t)((const uint8_t *)p + 4 - r->body);
    return (const uint8_t *)p + 4;
}

static uint32_t do_connect(const char *as)
{
    cpuu_buf b;
    labctl_reply r;
    size_t n;
    cpuu_buf_init(&b, 4096);
    cpuu_buf_sz(&b, as);
    cpuu_buf_fill(&b, 0, 20);
    ck_assert_int_eq(send_request("Connect", NULL, &b, &r), 0);
    uint32_t rc = cpuu_le32(body_of(&r, &n) + 4);
    labctl_reply_free(&r);
    cpuu_buf_free(&b);
    return rc;
}

static void put_execute(cpuu_buf *b, const cpuu_buf *rops, uint32_t n)
{
    uint32_t size = (uint32_t)(2 + rops->size + 4 * n);
    cpuu_buf_init(b, 1u << 20);
    cpuu_buf_u32(b, 3);
    cpuu_buf_u32(b, size + 8);
    cpuu_buf_u16(b, 0);
    cpuu_buf_u16(b, 4);
    cpuu_buf_u16(b, (uint16_t)size);
    cpuu_buf_u16(b, (uint16_t)size);
    cpuu_buf_u16(b, (uint16_t)(2 + rops->size));
    cpuu_buf_add(b, rops->data, rops->size);
    for (uint32_t i = 0; i < n; i++)
        cpuu_buf_u32(b, handles[i]);
    cpuu_buf_u32(b, 0x40000);
    cpuu_buf_u32(b, 0);
}

/* ErrorCode of the call; the answers go to out, the handles back to `handles`. */
static uint32_t run(cpuu_buf *rops, uint32_t n, cpuu_buf *out)
{
    cpuu_buf b;
    labctl_reply r;
    size_t size;
    put_execute(&b, rops, n);
    ck_assert_int_eq(send_request("Execute", NULL, &b, &r), 0);
    const uint8_t *p = body_of(&r, &size);
    uint32_t rc = cpuu_le32(p + 4);
    cpuu_buf_reset(out);
    if (rc == 0) {
        uint16_t length = cpuu_le16(p + 24);
        cpuu_buf_add(out, p + 26, length - 2u);
        for (uint32_t i = 0; i < n; i++)
            handles[i] = cpuu_le32(p + 24 + length + 4 * i);
    }
    labctl_reply_free(&r);
    cpuu_buf_free(&b);
    cpuu_buf_reset(rops);
    return rc;
}

static void put_logon(cpuu_buf *b, const char *essdn, uint32_t flags)
{
    cpuu_buf_add(b, "\xFE\0\0\x01", 4);
    cpuu_buf_u32(b, flags);
    cpuu_buf_u32(b, 0);
    cpuu_buf_u16(b, (uint16_t)(strlen(essdn) + 1));
    cpuu_buf_sz(b, essdn);
}

static uint32_t logon_code(const char *essdn, uint32_t flags)
{
    cpuu_buf b, out;
    cpuu_buf_init(&b, 65536);
    cpuu_buf_init(&out, 65536);
    handles[0] = 0xFFFFFFFF;
    put_logon(&b, essdn, flags);
    ck_assert_uint_eq(run(&b, 1, &out), 0);
    uint32_t rc = cpuu_le32(out.data + 2);
    cpuu_buf_free(&b);
    cpuu_buf_free(&out);
    return rc;
}

static const char *dn_of(const char *org, const char *who)
{
    snprintf(dn, sizeof(dn), "/o=%s/cn=Recipients/cn=%s", org, who);
    return dn;
}

/* Connects and logs on; the ids of Inbox and Common Views. */
static void open_mailbox(const char *org, uint64_t *inbox, uint64_t *common_views)
{
    cpuu_buf b, out;
    port = labctl_port(lab_process, org);
    cookie[0] = 0;
    ck_assert_uint_eq(do_connect(dn_of(org, "alice")), 0);
    cpuu_buf_init(&b, 65536);
    cpuu_buf_init(&out, 65536);
    handles[0] = 0xFFFFFFFF;
    put_logon(&b, dn, 0x01000004);
    ck_assert_uint_eq(run(&b, 1, &out), 0);
    ck_assert_uint_eq(cpuu_le32(out.data + 2), 0);
    *inbox = cpuu_le64(out.data + 7 + 8 * 4);
    *common_views = cpuu_le64(out.data + 7 + 8 * 8);
    cpuu_buf_free(&b);
    cpuu_buf_free(&out);
}

static void put_create(cpuu_buf *b, uint64_t folder, uint8_t slot)
{
    cpuu_buf_add(b, "\x06\0\0", 3);
    cpuu_buf_u8(b, slot);
    cpuu_buf_u16(b, 0x0FFF);
    cpuu_buf_u64(b, folder);
    cpuu_buf_u8(b, 1);
}

static void put_subject(cpuu_buf *b, uint8_t slot, const char *text)
{
    cpuu_buf_add(b, "\x0A\0", 2);
    cpuu_buf_u8(b, slot);
    size_t at = b->size;
    cpuu_buf_u16(b, 0);
    cpuu_buf_u16(b, 1);
    cpuu_buf_u32(b, 0x0037001F);
    cpuu_buf_utf16(b, text, true);
    cpuu_buf_put_u16(b, at, (uint16_t)(b->size - at - 2));
}

static void put_save(cpuu_buf *b, uint8_t slot)
{
    cpuu_buf_add(b, "\x0C\0\0", 3);
    cpuu_buf_u8(b, slot);
    cpuu_buf_u8(b, 0x02);
}

static void put_release(cpuu_buf *b, uint8_t slot)
{
    cpuu_buf_add(b, "\x01\0", 2);
    cpuu_buf_u8(b, slot);
}

static void put_open(cpuu_buf *b, uint64_t folder, uint64_t mid, uint8_t slot)
{
    cpuu_buf_add(b, "\x03\0\0", 3);
    cpuu_buf_u8(b, slot);
    cpuu_buf_u16(b, 0x0FFF);
    cpuu_buf_u64(b, folder);
    cpuu_buf_u8(b, 1);
    cpuu_buf_u64(b, mid);
}

/* Creates and saves an associated message; its id. */
static uint64_t make_message(uint64_t folder, const char *subject)
{
    cpuu_buf b, out;
    cpuu_buf_init(&b, 65536);
    cpuu_buf_init(&out, 65536);
    handles[1] = 0xFFFFFFFF;
    put_create(&b, folder, 1);
    put_subject(&b, 1, subject);
    put_save(&b, 1);
    put_release(&b, 1);
    ck_assert_uint_eq(run(&b, 2, &out), 0);
    ck_assert_uint_eq(cpuu_le32(out.data + out.size - 13), 0);
    uint64_t mid = cpuu_le64(out.data + out.size - 8);
    cpuu_buf_free(&b);
    cpuu_buf_free(&out);
    return mid;
}

/* ---- transport ------------------------------------------------------------------------------- */

START_TEST(transport_codes_are_the_documented_ones)
{
    char good[500];
    ck_assert_uint_eq(do_connect(dn_of("source", "alice")), 0);
    snprintf(good, sizeof(good), "%s", cookie);
    ck_assert_int_eq(code_of("", NULL, NULL), 7);
    ck_assert_int_eq(code_of("Execute", "", NULL), 7);
    ck_assert_int_eq(code_of("Frobnicate", NULL, NULL), 5);
    ck_assert_int_eq(code_of("Execute", NULL, NULL), 12);
    cookie[0] = 0;
    ck_assert_int_eq(code_of("Execute", NULL, NULL), 13);
    snprintf(cookie, sizeof(cookie), "MapiContext=xyz; MapiSequence=1");
    ck_assert_int_eq(code_of("Execute", NULL, NULL), 6);
    snprintf(cookie, sizeof(cookie), "MapiContext=0123456789abcdef; MapiSequence=1");
    ck_assert_int_eq(code_of("Execute", NULL, NULL), 10);
    snprintf(cookie, sizeof(cookie), "%s", good);
    ck_assert_uint_eq(logon_code(dn, 0x01000004), 0);
    snprintf(cookie, sizeof(cookie), "%s", good);
    ck_assert_int_eq(code_of("Execute", NULL, NULL), 15);
}
END_TEST

START_TEST(a_context_belongs_to_its_user)
{
    ck_assert_uint_eq(do_connect(dn_of("source", "alice")), 0);
    login = "Ym9iOmJvYg=="; /* bob:bob */
    ck_assert_int_eq(code_of("PING", NULL, NULL), 10);
}
END_TEST

START_TEST(a_wrong_password_is_401)
{
    labctl_reply r;
    login = "YWxpY2U6d3Jvbmc="; /* alice:wrong */
    send_request("Connect", NULL, NULL, &r);
    ck_assert_int_eq(r.status, 401);
    labctl_reply_free(&r);
}
END_TEST

START_TEST(connect_wants_the_users_own_dn)
{
    ck_assert_uint_eq(do_connect(dn_of("source", "bob")), EC_ACCESS_DENIED);
    ck_assert_uint_eq(do_connect("/o=source/cn=nobody"), EC_UNKNOWN_USER);
    ck_assert_uint_eq(do_connect(""), EC_ACCESS_DENIED);
}
END_TEST

START_TEST(logon_follows_the_documents)
{
    ck_assert_uint_eq(do_connect(dn_of("source", "alice")), 0);
    ck_assert_uint_eq(logon_code(dn, 0x00000004), EC_INVALID_PARAM);
    ck_assert_uint_eq(logon_code("/o=source/cn=nobody", 0x01000004), EC_UNKNOWN_USER);
    ck_assert_uint_eq(logon_code(dn_of("source", "bob"), 0x01000004), EC_ACCESS_DENIED);
    ck_assert_uint_eq(logon_code(dn_of("source", "carol"), 0x01000004), 0); /* full access */
    ck_assert_uint_eq(logon_code(dn_of("source", "bob"), 0x01000005), EC_LOGIN_PERM);
}
END_TEST

START_TEST(an_organisation_may_want_the_admin_flag)
{
    port = labctl_port(lab_process, "target");
    ck_assert_uint_eq(do_connect(dn_of("target", "alice")), 0);
    ck_assert_uint_eq(logon_code(dn, 0x01000004), 0); /* not for one's own mailbox */
    ck_assert_uint_eq(logon_code(dn_of("target", "bob"), 0x01000004), EC_PROFILE);
    ck_assert_uint_eq(logon_code(dn_of("target", "bob"), 0x01000005), 0);
}
END_TEST

START_TEST(a_delay_is_waited_each_way)
{
    struct timespec a, b;
    ck_assert(labctl_fault(lab_process, "{\"org\":\"source\",\"delay_ms\":60}"));
    clock_gettime(CLOCK_MONOTONIC, &a);
    ck_assert_uint_eq(do_connect(dn_of("source", "alice")), 0);
    clock_gettime(CLOCK_MONOTONIC, &b);
    ck_assert_int_ge((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000, 119);
}
END_TEST

/* ---- limits ---------------------------------------------------------------------------------- */

static uint32_t run_padded(size_t payload, uint32_t n)
{
    cpuu_buf b, out;
    cpuu_buf_init(&b, 1u << 20);
    cpuu_buf_init(&out, 65536);
    while (2 + b.size + 3 + 4 * n <= payload) /* releases of nothing: no answer */
        put_release(&b, 1);
    if (payload && 2 + b.size + 4 * n != payload) {
        cpuu_buf_free(&b);
        cpuu_buf_free(&out);
        ck_abort_msg("payload %zu cannot be made", payload);
    }
    uint32_t rc = run(&b, n, &out);
    cpuu_buf_free(&b);
    cpuu_buf_free(&out);
    return rc;
}

START_TEST(a_payload_has_32_kilobytes_and_255_handles)
{
    uint64_t inbox, views;
    open_mailbox("source", &inbox, &views);
    for (int i = 1; i < 300; i++)
        handles[i] = 0xFFFFFFFF;
    ck_assert_uint_eq(run_padded(2 + 3 * 10906 + 48, 12), 0); /* 32768 bytes */
    ck_assert_uint_eq(run_padded(2 + 3 * 10908 + 48, 12), EC_RPC_FORMAT);
    ck_assert_uint_eq(run_padded(2 + 3 + 4 * 255, 255), 0);
    ck_assert_uint_eq(run_padded(2 + 3 + 4 * 256, 256), EC_RPC_FORMAT);
}
END_TEST

START_TEST(at_most_250_messages_are_open)
{
    uint64_t inbox, views;
    cpuu_buf b, out;
    open_mailbox("source", &inbox, &views);
    uint64_t mid = make_message(views, "x");
    cpuu_buf_init(&b, 65536);
    cpuu_buf_init(&out, 1u << 16);
    unsigned opened = 0;
    for (int turn = 0; turn < 2; turn++) {
        for (uint8_t i = 1; i <= 130; i++)
            put_open(&b, views, mid, i);
        for (int i = 1; i <= 130; i++)
            handles[i] = 0xFFFFFFFF;
        ck_assert_uint_eq(run(&b, 131, &out), 0);
        for (int i = 1; i <= 130; i++)
            opened += handles[i] != 0xFFFFFFFF;
    }
    ck_assert_uint_eq(opened, 250);
    cpuu_buf_free(&b);
    cpuu_buf_free(&out);
}
END_TEST

/* Six reads of 20,000 bytes each: one fits. */
static uint32_t read_too_much(cpuu_buf *out, size_t *request_rest)
{
    uint64_t inbox, views;
    cpuu_buf b;
    open_mailbox("source", &inbox, &views);
    uint64_t mid = make_message(views, "big");
    cpuu_buf_init(&b, 1u << 17);
    handles[1] = 0xFFFFFFFF;
    put_open(&b, views, mid, 1);
    cpuu_buf_add(&b, "\x0A\0\x01", 3);
    cpuu_buf_u16(&b, 20000 + 2 + 6);
    cpuu_buf_u16(&b, 1);
    cpuu_buf_u32(&b, 0x7C090102);
    cpuu_buf_u16(&b, 20000);
    cpuu_buf_fill(&b, 0x41, 20000);
    ck_assert_uint_eq(run(&b, 2, out), 0);
    size_t one = 0;
    for (int i = 0; i < 6; i++) {
        cpuu_buf_add(&b, "\x07\0\x01\0\0\x01\0\x01\0\x02\x01\x09\x7C", 13);
        one = one ? one : b.size;
    }
    *request_rest = 5 * one;
    uint32_t rc = run(&b, 2, out);
    cpuu_buf_free(&b);
    return rc;
}

START_TEST(an_answer_that_does_not_fit_is_buffer_too_small)
{
    cpuu_buf out;
    size_t rest;
    cpuu_buf_init(&out, 1u << 17);
    ck_assert_uint_eq(read_too_much(&out, &rest), 0);
    ck_assert_uint_eq(out.data[0], 0x07);
    size_t first = 6 + 1 + 2 + 20000;
    ck_assert_uint_eq(out.size, first + 3 + rest);
    ck_assert_uint_eq(out.data[first], 0xFF);
    ck_assert_uint_eq(out.data[first + 3], 0x07); /* the part that was not executed */
    cpuu_buf_free(&out);
}
END_TEST

START_TEST(the_independent_server_fails_the_whole_execute_instead)
{
    cpuu_buf out;
    size_t rest;
    cpuu_buf_init(&out, 1u << 17);
    ck_assert(labctl_fault(lab_process, "{\"independent\":true}"));
    ck_assert_uint_eq(read_too_much(&out, &rest), EC_BUFFER_TOO_SMALL);
    cpuu_buf_free(&out);
}
END_TEST

/* ---- messages -------------------------------------------------------------------------------- */

START_TEST(a_second_save_is_a_conflict)
{
    uint64_t inbox, views;
    cpuu_buf b, out;
    open_mailbox("source", &inbox, &views);
    uint64_t mid = make_message(views, "shared");
    cpuu_buf_init(&b, 65536);
    cpuu_buf_init(&out, 65536);
    handles[1] = handles[2] = 0xFFFFFFFF;
    put_open(&b, views, mid, 1);
    put_open(&b, views, mid, 2);
    put_subject(&b, 1, "first");
    put_subject(&b, 2, "second");
    ck_assert_uint_eq(run(&b, 3, &out), 0);
    put_save(&b, 1);
    put_save(&b, 2);
    ck_assert_uint_eq(run(&b, 3, &out), 0);
    ck_assert_uint_eq(cpuu_le32(out.data + 2), 0);
    ck_assert_uint_eq(cpuu_le32(out.data + 15 + 2), EC_OBJECT_CHANGED);
    char *dump = labctl_dump(lab_process, "source");
    ck_assert(strstr(dump, "\"0E1D001F\": \"first\"") && !strstr(dump, "\"second\""));
    free(dump);
    cpuu_buf_free(&b);
    cpuu_buf_free(&out);
}
END_TEST

START_TEST(a_search_key_cannot_be_set)
{
    uint64_t inbox, views;
    cpuu_buf b, out;
    open_mailbox("source", &inbox, &views);
    cpuu_buf_init(&b, 65536);
    cpuu_buf_init(&out, 65536);
    handles[1] = 0xFFFFFFFF;
    put_create(&b, views, 1);
    cpuu_buf_add(&b, "\x0A\0\x01\x0A\0\x01\0\x02\x01\x0B\x30\x02\0\x41\x42", 15);
    ck_assert_uint_eq(run(&b, 2, &out), 0);
    /* CreateMessage without an id: 7 bytes; then head, one problem: index 0, tag, code */
    ck_assert_uint_eq(out.size, 7 + 6 + 2 + 10);
    ck_assert_uint_eq(cpuu_le16(out.data + 13), 1);
    ck_assert_uint_eq(cpuu_le32(out.data + 17), 0x300B0102);
    cpuu_buf_free(&b);
    cpuu_buf_free(&out);
}
END_TEST

static uint16_t name_id(const char *org)
{
    uint64_t inbox, views;
    cpuu_buf b, out;
    open_mailbox(org, &inbox, &views);
    cpuu_buf_init(&b, 65536);
    cpuu_buf_init(&out, 65536);
    cpuu_buf_add(&b, "\x56\0\0\x02\x01\0\0", 7);
    cpuu_buf_add(&b, "\x04\x20\x06\0\0\0\0\0\xC0\0\0\0\0\0\0\x46\x85\x80\0\0", 20);
    ck_assert_uint_eq(run(&b, 1, &out), 0);
    ck_assert_uint_eq(cpuu_le32(out.data + 2), 0);
    uint16_t id = cpuu_le16(out.data + 8);
    cpuu_buf_free(&b);
    cpuu_buf_free(&out);
    return id;
}

START_TEST(ids_of_the_two_organisations_differ)
{
    uint64_t inbox[2], views[2];
    open_mailbox("source", &inbox[0], &views[0]);
    open_mailbox("target", &inbox[1], &views[1]);
    ck_assert(inbox[0] != inbox[1] && views[0] != views[1]);
    uint16_t a = name_id("source"), b = name_id("target");
    ck_assert_uint_ge(a, 0x8000);
    ck_assert_uint_ge(b, 0x8000);
    ck_assert_uint_ne(a, b);
}
END_TEST

/* ---- dumps and faults ------------------------------------------------------------------------ */

START_TEST(equal_states_have_equal_dumps)
{
    uint64_t inbox, views;
    cpuu_buf b, out;
    open_mailbox("source", &inbox, &views);
    char *before = labctl_dump(lab_process, "source");
    uint64_t mid = make_message(views, "passing by");
    char *with = labctl_dump(lab_process, "source");
    ck_assert_str_ne(before, with);
    cpuu_buf_init(&b, 65536);
    cpuu_buf_init(&out, 65536);
    handles[1] = 0xFFFFFFFF;
    cpuu_buf_add(&b, "\x02\0\0\x01", 4);
    cpuu_buf_u64(&b, views);
    cpuu_buf_u8(&b, 0);
    cpuu_buf_add(&b, "\x91\0\x01\0\0\x01\0", 7);
    cpuu_buf_u64(&b, mid);
    ck_assert_uint_eq(run(&b, 2, &out), 0);
    char *after = labctl_dump(lab_process, "source");
    ck_assert_str_eq(before, after);
    free(before);
    free(with);
    free(after);
    cpuu_buf_free(&b);
    cpuu_buf_free(&out);
}
END_TEST

static void put_whole_message(cpuu_buf *b, uint64_t folder, const char *subject)
{
    handles[1] = 0xFFFFFFFF;
    put_create(b, folder, 1);
    put_subject(b, 1, subject);
    put_save(b, 1);
}

START_TEST(close_after_has_done_it_and_close_has_not)
{
    static const char *const actions[] = {"close", "close-after",  "too-small",
                                          "503",   "lose-context", "garbage"};
    for (size_t i = 0; i < 6; i++) {
        uint64_t inbox, views;
        cpuu_buf rops, b;
        char json[120], subject[60], quoted[80];
        labctl_reply r;
        open_mailbox("source", &inbox, &views);
        snprintf(json, sizeof(json), "{\"org\":\"source\",\"action\":\"%s\",\"type\":\"Execute\"}",
                 actions[i]);
        ck_assert(labctl_fault(lab_process, json));
        cpuu_buf_init(&rops, 65536);
        snprintf(subject, sizeof(subject), "with %s", actions[i]);
        put_whole_message(&rops, views, subject);
        put_execute(&b, &rops, 2);
        int code = send_request("Execute", NULL, &b, &r);
        int want = i < 2 ? -2 : i == 3 ? -1 : i == 4 ? 10 : 0;
        ck_assert_int_eq(code, want);
        labctl_reply_free(&r);
        char *dump = labctl_dump(lab_process, "source");
        snprintf(quoted, sizeof(quoted), "\"%s\"", subject);
        ck_assert_int_eq(strstr(dump, quoted) != NULL, i == 1 || i == 2);
        free(dump);
        cpuu_buf_free(&rops);
        cpuu_buf_free(&b);
    }
}
END_TEST

START_TEST(a_fault_waits_for_its_request)
{
    ck_assert_uint_eq(do_connect(dn_of("source", "alice")), 0);
    ck_assert(
        labctl_fault(lab_process, "{\"action\":\"503\",\"at\":3,\"count\":2,\"type\":\"PING\"}"));
    const int want[] = {0, 0, -1, -1, 0};
    for (size_t i = 0; i < 5; i++)
        ck_assert_int_eq(code_of("PING", NULL, NULL), want[i]);
    ck_assert(!labctl_fault(lab_process, "{\"action\":\"explode\"}"));
}
END_TEST

START_TEST(it_can_die)
{
    ck_assert_uint_eq(do_connect(dn_of("source", "alice")), 0);
    ck_assert(labctl_fault(lab_process, "{\"action\":\"die\",\"type\":\"PING\"}"));
    ck_assert_int_eq(code_of("PING", NULL, NULL), -2);
    ck_assert_int_eq(labctl_stop(lab_process), 3);
    lab_process = NULL;
}
END_TEST

START_TEST(https_with_its_own_ca)
{
    start(false);
    char url[200];
    snprintf(url, sizeof(url), "%s/autodiscover/autodiscover.xml",
             labctl_url(lab_process, "target"));
    for (int trusted = 0; trusted < 2; trusted++) {
        long status = 0;
        CURL *c = curl_easy_init();
        curl_easy_setopt(c, CURLOPT_URL, url);
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, "x");
        if (trusted)
            curl_easy_setopt(c, CURLOPT_CAINFO, labctl_ca(lab_process));
        CURLcode rc = curl_easy_perform(c);
        curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
        ck_assert_int_eq(rc, trusted ? CURLE_OK : CURLE_PEER_FAILED_VERIFICATION);
        ck_assert_int_eq(status, trusted ? 401 : 0);
        curl_easy_cleanup(c);
    }
    stop();
}
END_TEST

START_TEST(the_demo_content_loads)
{
    char err[600] = "";
    lab *l = lab_new();
    ck_assert_msg(lab_load(l, CPUU_SRCDIR "/tests/lab/demo.conf", err, sizeof(err)), "%s", err);
    char *dump = lab_dump(l, lab_find_org(l, "source"));
    ck_assert(strstr(dump, "urn:cpuu:switch:1") == NULL); /* binary: as hex */
    ck_assert(strstr(dump, "IPM.Configuration.CPUU.Switch"));
    free(dump);
    lab_free(l);
}
END_TEST

START_TEST(a_wrong_content_file_names_its_line)
{
    static const char *const wrong[] = {
        "[org a]\nnonsense = 1\n",
        "[org a]\n[user a/b]\n[mailbox a/b]\nfai @nowhere\n",
        "[org a]\n[user a/b]\n[mailbox a/b]\nfai @inbox\nprop 684C0102 eid:nobody:Inbox\n",
        "[org a]\n[user a/b]\n[mailbox a/b]\nprop Class x\n",
        "x = 1\n",
        "[org a]\n[user a/b]\n[mailbox a/b]\nfai @inbox\nprop Class\n"};
    static const char *const line[] = {":2:", ":4:", ":5:", ":4:", ":1:", ":5:"};
    for (size_t i = 0; i < 6; i++) {
        char path[] = "/tmp/cpuu-lab-conf-XXXXXX", err[600] = "";
        int fd = mkstemp(path);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq((int)write(fd, wrong[i], strlen(wrong[i])), (int)strlen(wrong[i]));
        close(fd);
        lab *l = lab_new();
        ck_assert(!lab_load(l, path, err, sizeof(err)));
        ck_assert_msg(strstr(err, line[i]), "%s", err);
        lab_free(l);
        unlink(path);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("lab");
    TCase *c = tcase_create("http");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, start_http, stop);
    tcase_add_test(c, transport_codes_are_the_documented_ones);
    tcase_add_test(c, a_context_belongs_to_its_user);
    tcase_add_test(c, a_wrong_password_is_401);
    tcase_add_test(c, connect_wants_the_users_own_dn);
    tcase_add_test(c, logon_follows_the_documents);
    tcase_add_test(c, an_organisation_may_want_the_admin_flag);
    tcase_add_test(c, a_delay_is_waited_each_way);
    tcase_add_test(c, a_payload_has_32_kilobytes_and_255_handles);
    tcase_add_test(c, at_most_250_messages_are_open);
    tcase_add_test(c, an_answer_that_does_not_fit_is_buffer_too_small);
    tcase_add_test(c, the_independent_server_fails_the_whole_execute_instead);
    tcase_add_test(c, a_second_save_is_a_conflict);
    tcase_add_test(c, a_search_key_cannot_be_set);
    tcase_add_test(c, ids_of_the_two_organisations_differ);
    tcase_add_test(c, equal_states_have_equal_dumps);
    tcase_add_test(c, close_after_has_done_it_and_close_has_not);
    tcase_add_test(c, a_fault_waits_for_its_request);
    tcase_add_test(c, it_can_die);
    suite_add_tcase(s, c);
    TCase *d = tcase_create("other");
    tcase_set_timeout(d, 60);
    tcase_add_test(d, https_with_its_own_ca);
    tcase_add_test(d, the_demo_content_loads);
    tcase_add_test(d, a_wrong_content_file_names_its_line);
    suite_add_tcase(s, d);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
