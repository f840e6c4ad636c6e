#include "render.h"

#include <cpuu/formats/entryid.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- laws, for one EntryID ------------------------------------------------------------------- */

static void parse_only(cpuu_blob in)
{
    cpuu_eid e;
    cpuu_fmt_error err;
    cpuu_buf out;
    cpuu_buf_init(&out, 4096);
    if (cpuu_eid_decode(in, &e, &err)) {
        ck_assert(cpuu_eid_encode(&e, &out));
        ck_assert_uint_eq(out.size, in.size);
        ck_assert_mem_eq(out.data, in.data, in.size);
    } else {
        ck_assert_uint_le(err.offset, in.size);
        ck_assert_ptr_nonnull(err.field);
        ck_assert_ptr_nonnull(err.what);
    }
    cpuu_buf_free(&out);
}

static void check_rewrite(cpuu_blob in, int mode)
{
    cpuu_buf out;
    cpuu_eid before, after;
    swap s = {mode, 0, 0};
    bool replaced = false;
    cpuu_buf_init(&out, 4096);
    ck_assert(cpuu_eid_rewrite(in, swap_link, &s, &out, &replaced));
    ck_assert_uint_eq(s.asked, 1);
    ck_assert_uint_eq(s.kinds, CPUU_LINK_EID);
    ck_assert(replaced == (mode != 0));
    ck_assert(cpuu_eid_decode(in, &before, NULL));
    cpuu_blob old, now;
    if (mode == 0) {
        ck_assert_uint_eq(out.size, in.size);
        ck_assert_mem_eq(out.data, in.data, in.size);
    } else if (cpuu_eid_inner(&before, &old)) {
        ck_assert(cpuu_eid_decode(blob_of(&out), &after, NULL));
        ck_assert_int_eq(after.kind, before.kind);
        ck_assert(cpuu_eid_inner(&after, &now));
        ck_assert_uint_eq(now.size, mode < 0 ? 1 : old.size + 300);
        ck_assert_uint_eq(out.size, in.size - old.size + now.size);
    } else {
        ck_assert_uint_eq(out.size, mode < 0 ? 1 : in.size + 300);
    }
    cpuu_buf_free(&out);
}

static void check_laws(cpuu_blob in)
{
    parse_only(in);
    for (int mode = -1; mode <= 1; mode++)
        check_rewrite(in, mode);
    hostile_variants(in, parse_only);
}

static void check_sample(const sample *s)
{
    text t;
    if (s->bytes.size < 20) { /* ENTRYID-39: three bytes, by intention */
        cpuu_eid e;
        cpuu_fmt_error err;
        ck_assert(!cpuu_eid_decode(s->bytes, &e, &err));
        ck_assert_str_eq(err.field, "Flags");
        ck_assert_uint_eq(err.offset, 0);
        return;
    }
    text_init(&t);
    render_eid(&t, s->bytes);
    sample_compare(s, text_get(&t));
    text_free(&t);
    check_laws(s->bytes);
}

START_TEST(samples_decode_to_what_an_independent_program_found)
{
    int n = samples_each("ENTRYID", check_sample);
    ck_assert(n == -1 || n == 21);
}
END_TEST

static void worked_store(const sample *s)
{
    cpuu_eid e;
    cpuu_blob dn;
    cpuu_buf out, smtp;
    cpuu_buf_init(&out, 4096);
    cpuu_buf_init(&smtp, 4096);
    ck_assert(cpuu_eid_decode(s->bytes, &e, NULL));
    ck_assert_int_eq(e.kind, CPUU_EID_STORE);
    ck_assert_uint_eq(e.u.store.block, 3);
    ck_assert(e.u.store.block_laid);
    ck_assert_int_eq(e.u.store.block_size_error, 0);
    ck_assert(cpuu_eid_is_mailbox(&e));
    ck_assert(cpuu_eid_store_dn(&e, &dn));
    ck_assert(cpuu_eid_store_smtp(&e, &smtp));
    cpuu_buf_u8(&smtp, 0);
    char *text_dn = strndup((const char *)dn.data, dn.size);
    char *server = strndup((const char *)e.u.store.server.data, e.u.store.server.size);
    ck_assert(cpuu_eid_build_store(&out, server, text_dn, (const char *)smtp.data, 0x0c));
    ck_assert_uint_eq(out.size, s->bytes.size);
    ck_assert_mem_eq(out.data, s->bytes.data, out.size);
    ck_assert_str_eq((const char *)smtp.data, server);
    free(text_dn);
    free(server);
    cpuu_buf_free(&out);
    cpuu_buf_free(&smtp);
    check_laws(s->bytes);
}

START_TEST(worked_examples_are_built_again_byte_for_byte)
{
    sample s;
    if (sample_load("worked/store-eid-v3.bin", &s)) {
        worked_store(&s);
        sample_free(&s);
    }
    if (sample_load("worked/folder-eid.bin", &s)) {
        cpuu_eid e;
        cpuu_buf out;
        uint8_t key[CPUU_SOURCE_KEY_SIZE];
        cpuu_buf_init(&out, 64);
        ck_assert(cpuu_eid_decode(s.bytes, &e, NULL));
        ck_assert(cpuu_eid_source_key(&e, key));
        ck_assert_mem_eq(key, s.bytes.data + 0x16, sizeof(key));
        ck_assert(cpuu_source_key_folder((cpuu_blob){key, sizeof(key)}, e.provider, &out));
        ck_assert_uint_eq(out.size, 46);
        ck_assert_mem_eq(out.data, s.bytes.data, out.size);
        cpuu_buf_free(&out);
        check_laws(s.bytes);
        sample_free(&s);
    }
}
END_TEST

/* ---- hand-made from [MS-OXCDATA] 2.2.5 and the observed forms
 * ---------------------------------------- */

#define EX_UID                                                                                     \
    0xdc, 0xa7, 0x40, 0xc8, 0xc0, 0x42, 0x10, 0x1a, 0xb4, 0xb9, 0x08, 0x00, 0x2b, 0x2f, 0xe1, 0x82
#define ONE_UID                                                                                    \
    0x81, 0x2b, 0x1f, 0xa4, 0xbe, 0xa3, 0x10, 0x19, 0x9d, 0x6e, 0x00, 0xdd, 0x01, 0x0f, 0x54, 0x02
#define TAB_UID                                                                                    \
    0xfe, 0x42, 0xaa, 0x0a, 0x18, 0xc7, 0x1a, 0x10, 0xe8, 0x85, 0x0b, 0x65, 0x1c, 0x24, 0x00, 0x00
#define STO_UID                                                                                    \
    0x38, 0xa1, 0xbb, 0x10, 0x05, 0xe5, 0x10, 0x1a, 0xa1, 0xbb, 0x08, 0x00, 0x2b, 0x2a, 0x56, 0xc2
#define FLAGS 0, 0, 0, 0

static const uint8_t oneoff[] = {FLAGS, ONE_UID, 0,   0, 0x01, 0x90, 'B', 0, 0, 0,
                                 'S',   0,       'M', 0, 'T',  0,    'P', 0, 0, 0,
                                 'a',   0,       '@', 0, 'b',  0,    0,   0};
static const uint8_t oneoff_ansi[] = {FLAGS, ONE_UID, 0,   0, 0x01, 0x00, 'B', 0, 'S',
                                      'M',   'T',     'P', 0, 'a',  '@',  'b', 0};
static const uint8_t ab[] = {FLAGS, EX_UID, 1, 0, 0, 0, 0, 0, 0, 0, '/', 'o', '=', 'x', 0};
static const uint8_t list[] = {FLAGS, TAB_UID, 3, 0, 0, 0, 5,   0,   0,   0, 0xff, 0,
                               0,     0,       3, 0, 0, 0, 'm', 's', 'g', 0, 0};
static const uint8_t unopened[] = {FLAGS, STO_UID, 0,    1,    0x1b, 0x55, 0xfa, 0x20, 0xaa, 0x66,
                                   0x11,  0xcd,    0x9b, 0xc8, 0x00, 0xaa, 0x00, 0x2f, 0xc4, 0x5a};
static const uint8_t other_store[] = {FLAGS, STO_UID, 0, 0, 'x', '.', 'd', 'l', 'l', 0, 1, 2, 3};
static const uint8_t ephemeral[] = {0x87, 0, 0, 0, EX_UID, 1,    0, 0, 0,
                                    6,    0, 0, 0, 0x10,   0x20, 0, 0};

static void check_kind(const uint8_t *data, size_t n, cpuu_eid_kind kind, cpuu_eid *out)
{
    cpuu_blob in = {data, (uint32_t)n};
    ck_assert(cpuu_eid_decode(in, out, NULL));
    ck_assert_msg(out->kind == kind, "%s, not %s", cpuu_eid_kind_name(out->kind),
                  cpuu_eid_kind_name(kind));
    parse_only(in);
    hostile_variants(in, parse_only);
}

static void text_is(cpuu_blob b, const char *expected, size_t n)
{
    ck_assert_uint_eq(b.size, n);
    ck_assert_mem_eq(b.data, expected, n);
}

START_TEST(kinds_without_a_sample)
{
    cpuu_eid e;
    check_kind(oneoff, sizeof(oneoff), CPUU_EID_ONEOFF, &e);
    ck_assert_uint_eq(e.u.oneoff.bits, 0x9001);
    text_is(e.u.oneoff.name, "B\0", 2);
    text_is(e.u.oneoff.address_type, "S\0M\0T\0P\0", 8);
    text_is(e.u.oneoff.address, "a\0@\0b\0", 6);
    check_kind(oneoff_ansi, sizeof(oneoff_ansi), CPUU_EID_ONEOFF, &e);
    text_is(e.u.oneoff.address_type, "SMTP", 4);
    text_is(e.u.oneoff.address, "a@b", 3);
    check_kind(ab, sizeof(ab), CPUU_EID_AB, &e);
    text_is(e.u.ab.dn, "/o=x", 4);
    check_kind(list, sizeof(list), CPUU_EID_PERSONAL_LIST, &e);
    ck_assert_uint_eq(e.u.contact.index, 255);
    text_is(e.u.contact.inner, "msg", 3);
    text_is(e.rest, "\0", 2);
    check_kind(unopened, sizeof(unopened), CPUU_EID_STORE_UNOPENED, &e);
    ck_assert_mem_eq(e.u.store.wrapped_uid, cpuu_uid_wrapped_private, 16);
    check_kind(other_store, sizeof(other_store), CPUU_EID_STORE_OTHER, &e);
    text_is(e.u.store.dll, "x.dll", 5);
    text_is(e.rest, "\1\2\3", 3);
    check_kind(ephemeral, sizeof(ephemeral), CPUU_EID_EPHEMERAL, &e);
    ck_assert_uint_eq(e.u.ephemeral.type, 6);
    ck_assert_uint_eq(e.u.ephemeral.mid, 0x2010);
}
END_TEST

START_TEST(builders_make_the_specified_bytes)
{
    static const uint8_t mailbox[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    cpuu_gid id = {{0xaa}, {0, 0, 0, 0, 1, 2}}, folder = {{0xbb}, {0, 0, 0, 0, 0, 3}};
    cpuu_eid e;
    cpuu_buf b;
    cpuu_buf_init(&b, 4096);
    ck_assert(cpuu_eid_build_oneoff(&b, "B", "SMTP", "a@b", 0x1001));
    ck_assert_uint_eq(b.size, sizeof(oneoff));
    ck_assert_mem_eq(b.data, oneoff, b.size);
    cpuu_buf_reset(&b);
    ck_assert(cpuu_eid_build_ab(&b, "/o=x", CPUU_AB_USER));
    ck_assert_uint_eq(b.size, sizeof(ab));
    ck_assert_mem_eq(b.data, ab, b.size);
    cpuu_buf_reset(&b);
    ck_assert(cpuu_eid_build_message(&b, mailbox, &folder, &id));
    ck_assert_uint_eq(b.size, 70);
    ck_assert_mem_eq(b.data + 4, mailbox, 16);
    ck_assert_uint_eq(b.data[0x14], 7);
    ck_assert_uint_eq(b.data[0x16], 0xbb);
    ck_assert_uint_eq(b.data[0x2b], 3);
    ck_assert_uint_eq(b.data[0x2e], 0xaa);
    ck_assert_uint_eq(b.data[0x43], 2);
    cpuu_buf_reset(&b);
    ck_assert(cpuu_eid_build_folder(&b, cpuu_uid_public, &id));
    ck_assert(cpuu_eid_decode(blob_of(&b), &e, NULL));
    ck_assert_int_eq(e.kind, CPUU_EID_FOLDER_PUBLIC);
    ck_assert_uint_eq(e.u.folder.type, 3);
    cpuu_buf_reset(&b);
    ck_assert(cpuu_eid_build_store(&b, "SERVER", NULL, NULL, 0x06));
    ck_assert(cpuu_eid_decode(blob_of(&b), &e, NULL));
    ck_assert(!e.u.store.has_dn);
    ck_assert_uint_eq(e.u.store.block, 1);
    ck_assert(!cpuu_eid_is_mailbox(&e));
    ck_assert_uint_eq(b.size, 0x3c + 7);
    cpuu_buf_reset(&b);
    ck_assert(!cpuu_eid_build_oneoff(&b, "\xff", "SMTP", "a@b", 0)); /* not UTF-8 */
    cpuu_buf_free(&b);
}
END_TEST

/* Block 2 with both texts, and a block 3 that is not where it usually is. */
START_TEST(store_blocks)
{
    static const char block2[] =
        "\xd8\x35\x21\xf3\x2c\0\0\0\1\0\0\0\x14\0\0\0\x18\0\0\0/o=\0f\0q\0\0\0\0\0";
    cpuu_buf b, smtp;
    cpuu_eid e;
    cpuu_buf_init(&b, 4096);
    cpuu_buf_init(&smtp, 64);
    ck_assert(cpuu_eid_build_store(&b, "S", "/o=x", NULL, 0x0c));
    size_t v1 = b.size;
    cpuu_buf_add(&b, block2, sizeof(block2) - 1);
    ck_assert(cpuu_eid_decode(blob_of(&b), &e, NULL));
    ck_assert_uint_eq(e.u.store.block, 2);
    ck_assert(e.u.store.block_laid);
    text_is(e.u.store.server_dn, "/o=", 3);
    text_is(e.u.store.server_fqdn, "f\0q\0", 4);
    parse_only(blob_of(&b));
    hostile_variants(blob_of(&b), parse_only);
    b.size = v1;
    cpuu_buf_add(&b, "\xe9\x46\x32\xf4\x20\0\0\0\2\0\0\0\x14\0\0\0????a\0@\0b\0\0\0\0\0", 30);
    ck_assert(cpuu_eid_decode(blob_of(&b), &e, NULL));
    ck_assert(!e.u.store.block_laid);
    ck_assert_uint_eq(e.rest.size, 30);
    ck_assert(cpuu_eid_store_smtp(&e, &smtp));
    text_is(blob_of(&smtp), "a@b", 3);
    parse_only(blob_of(&b));
    hostile_variants(blob_of(&b), parse_only);
    cpuu_buf_free(&b);
    cpuu_buf_free(&smtp);
}
END_TEST

static bool same(const char *server1, const char *dn1, const char *smtp1, uint32_t type1,
                 const char *server2, const char *dn2, const char *smtp2, uint32_t type2)
{
    cpuu_buf a, b;
    cpuu_buf_init(&a, 4096);
    cpuu_buf_init(&b, 4096);
    ck_assert(cpuu_eid_build_store(&a, server1, dn1, smtp1, type1));
    ck_assert(cpuu_eid_build_store(&b, server2, dn2, smtp2, type2));
    bool result = cpuu_eid_same_store(blob_of(&a), blob_of(&b));
    ck_assert(result == cpuu_eid_same(blob_of(&b), blob_of(&a)));
    cpuu_buf_free(&a);
    cpuu_buf_free(&b);
    return result;
}

START_TEST(stores_are_compared_by_meaning)
{
    ck_assert(same("S1", "/o=x/cn=Bob", NULL, 12, "S2", "/O=X/CN=BOB", "b@x", 8));
    ck_assert(!same("S", "/o=x/cn=Bob", "b@x", 12, "S", "/o=y/cn=Bob", "b@x", 12));
    ck_assert(same("S", "", "Bob@x", 12, "T", "/o=x", "bob@X", 12));
    ck_assert(!same("S", "", "Bob@x", 12, "T", "", "bob@y", 12));
    ck_assert(
        !same("S", "", "\xe6\x84\x80@x", 12, "S", "", "\xe4\x84\x80@x", 12)); /* U+6100, U+4100 */
    ck_assert(!same("S", "", NULL, 12, "T", "", NULL, 12));                   /* cannot tell */
    ck_assert(same("S", "", NULL, 12, "S", "", NULL, 12));                    /* the same bytes */
    ck_assert(!same("S", "/o=x", NULL, 12, "S", "/o=x", NULL, 6)); /* private and public */
    ck_assert(same("Srv", NULL, NULL, 6, "SRV", NULL, NULL, 6));
    ck_assert(!same("Srv", NULL, NULL, 6, "other", NULL, NULL, 6));
    cpuu_blob u = {unopened, sizeof(unopened)}, o = {other_store, sizeof(other_store)};
    ck_assert(cpuu_eid_same_store(u, u));
    ck_assert(cpuu_eid_same_store(o, o));
    ck_assert(!cpuu_eid_same_store(o, u));
    ck_assert(!cpuu_eid_same_store((cpuu_blob){ab, sizeof(ab)}, (cpuu_blob){ab, sizeof(ab)}));
    uint8_t upper[sizeof(ab)];
    memcpy(upper, ab, sizeof(ab));
    upper[29] = 'O';
    ck_assert(cpuu_eid_same((cpuu_blob){ab, sizeof(ab)}, (cpuu_blob){upper, sizeof(upper)}));
    upper[31] = 'y';
    ck_assert(!cpuu_eid_same((cpuu_blob){ab, sizeof(ab)}, (cpuu_blob){upper, sizeof(upper)}));
}
END_TEST

START_TEST(smaller_identifiers)
{
    static const uint8_t server_eid[21] = {1, 1, 0, 0, 0, 0, 0, 1, 2, 3};
    cpuu_server_eid se;
    cpuu_buf b;
    cpuu_blob type, address;
    cpuu_gid id, again;
    uint8_t ltid[24];
    cpuu_fmt_error err;
    cpuu_buf_init(&b, 64);
    ck_assert(cpuu_server_eid_decode((cpuu_blob){server_eid, 21}, &se, NULL));
    ck_assert_uint_eq(se.fid[7], 2);
    ck_assert_uint_eq(se.mid[0], 3);
    ck_assert(cpuu_server_eid_encode(&se, &b));
    ck_assert_uint_eq(b.size, 21);
    ck_assert_mem_eq(b.data, server_eid, 21);
    ck_assert(!cpuu_server_eid_decode((cpuu_blob){server_eid, 20}, &se, &err));
    ck_assert_str_eq(err.field, "Instance");
    ck_assert_uint_eq(err.offset, 17);
    cpuu_buf_reset(&b);
    ck_assert(cpuu_search_key_build(&b, "ex",
                                    "/o=Org/cn=b\xc3\xb6"
                                    "b"));
    ck_assert_uint_eq(b.size, 18);
    ck_assert_mem_eq(b.data,
                     "EX:/O=ORG/CN=B\xc3\xb6"
                     "B",
                     18);
    ck_assert(cpuu_search_key_parse(blob_of(&b), &type, &address));
    text_is(type, "EX", 2);
    text_is(address,
            "/O=ORG/CN=B\xc3\xb6"
            "B",
            14);
    ck_assert(!cpuu_search_key_parse((cpuu_blob){server_eid, 21}, &type, &address));
    ck_assert(!cpuu_search_key_parse((cpuu_blob){NULL, 0}, &type, &address));
    for (int i = 0; i < 24; i++)
        ltid[i] = (uint8_t)(i < 22 ? i + 1 : 0);
    ck_assert(cpuu_long_term_id_decode((cpuu_blob){ltid, 24}, &id));
    ck_assert_uint_eq(id.counter[5], 22);
    uint8_t back[24];
    cpuu_gid_long_term_id(&id, back);
    ck_assert_mem_eq(back, ltid, 24);
    ck_assert(cpuu_source_key_decode((cpuu_blob){ltid, 22}, &again));
    ck_assert_mem_eq(&again, &id, sizeof(id));
    ck_assert(!cpuu_source_key_decode((cpuu_blob){ltid, 21}, &again));
    ck_assert(!cpuu_long_term_id_decode((cpuu_blob){ltid, 22}, &again));
    cpuu_buf_free(&b);
}
END_TEST

/* A list member around a contact address around a message: the callback sees the message only. */
START_TEST(nested_links_reach_the_innermost)
{
    for (int mode = -1; mode <= 1; mode++) {
        cpuu_eid wrapped = {.kind = CPUU_EID_WRAPPED}, e;
        cpuu_buf b, out;
        swap s = {mode, 0, 0};
        cpuu_blob inner, innermost;
        memcpy(wrapped.provider, cpuu_uid_wrapped, 16);
        wrapped.u.wrapped.type = 0xb4;
        wrapped.u.wrapped.inner = (cpuu_blob){list, sizeof(list)};
        cpuu_buf_init(&b, 4096);
        cpuu_buf_init(&out, 4096);
        ck_assert(cpuu_eid_encode(&wrapped, &b));
        ck_assert(cpuu_eid_rewrite(blob_of(&b), swap_link, &s, &out, NULL));
        ck_assert_uint_eq(s.asked, 1);
        ck_assert(cpuu_eid_decode(blob_of(&out), &e, NULL));
        ck_assert(cpuu_eid_inner(&e, &inner));
        ck_assert(cpuu_eid_decode(inner, &e, NULL));
        ck_assert_int_eq(e.kind, CPUU_EID_PERSONAL_LIST);
        ck_assert(cpuu_eid_inner(&e, &innermost));
        ck_assert_uint_eq(innermost.size, mode < 0 ? 1 : mode > 0 ? 303 : 3);
        text_is(e.rest, "\0", 2);
        cpuu_buf_free(&b);
        cpuu_buf_free(&out);
    }
}
END_TEST

START_TEST(a_failing_callback_fails_the_output)
{
    swap s = {2, 0, 0};
    cpuu_buf out;
    cpuu_buf_init(&out, 4096);
    ck_assert(!cpuu_eid_rewrite((cpuu_blob){list, sizeof(list)}, swap_link, &s, &out, NULL));
    ck_assert(out.failed);
    cpuu_buf_free(&out);
}
END_TEST

static bool upper_text(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    (void)user;
    ck_assert_uint_eq(kind, CPUU_LINK_SMTP);
    text_is(in, "\xc3\xa4@b", 4);
    return cpuu_buf_add(out, "\xc3\x84@B", 4);
}

START_TEST(utf16_links_are_asked_for_in_utf8)
{
    static const uint8_t in[] = {0xe4, 0, '@', 0, 'b', 0}, expected[] = {0xc4, 0, '@', 0, 'B', 0};
    cpuu_buf out;
    bool replaced = false;
    cpuu_buf_init(&out, 64);
    ck_assert(
        cpuu_link_ask_utf16(upper_text, NULL, CPUU_LINK_SMTP, (cpuu_blob){in, 6}, &out, &replaced));
    ck_assert(replaced);
    text_is(blob_of(&out), (const char *)expected, 6);
    cpuu_buf_free(&out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("entryid");
    TCase *oracle = tcase_create("independent samples");
    tcase_set_timeout(oracle, 120);
    tcase_add_test(oracle, samples_decode_to_what_an_independent_program_found);
    tcase_add_test(oracle, worked_examples_are_built_again_byte_for_byte);
    suite_add_tcase(suite, oracle);
    TCase *made = tcase_create("hand-made");
    tcase_add_test(made, kinds_without_a_sample);
    tcase_add_test(made, builders_make_the_specified_bytes);
    tcase_add_test(made, store_blocks);
    tcase_add_test(made, stores_are_compared_by_meaning);
    tcase_add_test(made, smaller_identifiers);
    tcase_add_test(made, nested_links_reach_the_innermost);
    tcase_add_test(made, a_failing_callback_fails_the_output);
    tcase_add_test(made, utf16_links_are_asked_for_in_utf8);
    suite_add_tcase(suite, made);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
