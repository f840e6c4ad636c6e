#include "laws.h"

#include <cpuu/formats/distlist.h>
#include <cpuu/formats/entryid.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- checksum ---------------------------------------------------------------------------------
 */

/* The algorithm as [MS-OXOCNTC] 3.1.5.11 describes it, bit by bit. */
static uint32_t slow(uint32_t crc, const uint8_t *p, size_t n)
{
    while (n--) {
        crc ^= *p++;
        for (int i = 0; i < 8; i++)
            crc = crc & 1 ? (crc >> 1) ^ 0xedb88320u : crc >> 1;
    }
    return crc;
}

START_TEST(checksum_by_the_specification)
{
    uint8_t all[256];
    for (int i = 0; i < 256; i++)
        all[i] = (uint8_t)(i * 7 + 3);
    ck_assert_uint_eq(cpuu_dl_checksum_add(0, "123456789", 9), 0x2dfd2d88);
    for (size_t n = 0; n <= sizeof(all); n++)
        ck_assert_uint_eq(cpuu_dl_checksum_add(0, all, n), slow(0, all, n));
    ck_assert_uint_eq(cpuu_dl_checksum_add(cpuu_dl_checksum_add(0, all, 100), all + 100, 156),
                      slow(0, all, 256));
}
END_TEST

static void add_element(cpuu_buf *list, cpuu_blob b)
{
    if (list->size == 0)
        cpuu_buf_u32(list, 0);
    cpuu_buf_put_u32(list, 0, cpuu_le32(list->data) + 1);
    cpuu_buf_u32(list, b.size);
    cpuu_buf_add(list, b.data, b.size);
}

/* Values worked out from real EntryIDs by somebody else. */
START_TEST(checksum_worked_examples)
{
    sample a, b;
    cpuu_buf list;
    uint32_t sum = 1;
    ck_assert(cpuu_dl_checksum((cpuu_blob){NULL, 0}, &sum, NULL));
    ck_assert_uint_eq(sum, 0);
    if (!sample_load("open/ENTRYID-29.bin", &a) || !sample_load("open/ENTRYID-27.bin", &b))
        return;
    cpuu_buf_init(&list, 4096);
    add_element(&list, a.bytes);
    ck_assert(cpuu_dl_checksum(blob_of(&list), &sum, NULL));
    ck_assert_uint_eq(sum, 0x92b1aecb);
    add_element(&list, b.bytes);
    ck_assert(cpuu_dl_checksum(blob_of(&list), &sum, NULL));
    ck_assert_uint_eq(sum, 0x005cd4d2);
    size_t bytes;
    ck_assert(cpuu_dl_bytes(blob_of(&list), &bytes, NULL));
    ck_assert_uint_eq(bytes, a.bytes.size + b.bytes.size);
    cpuu_buf_free(&list);
    sample_free(&a);
    sample_free(&b);
}
END_TEST

/* ---- arrays -----------------------------------------------------------------------------------
 */

#define DN     "/o=Old/cn=jane"
#define NEW_DN "/o=New and longer/cn=jane"

/* A user of the address list as a member, and somebody with an address only. */
static void build(cpuu_buf *members, cpuu_buf *oneoffs)
{
    cpuu_buf eid, wrapped;
    cpuu_buf_init(&eid, 4096);
    cpuu_buf_init(&wrapped, 4096);
    cpuu_buf_init(members, 1u << 20);
    cpuu_buf_init(oneoffs, 1u << 20);
    ck_assert(cpuu_eid_build_ab(&eid, DN, CPUU_AB_USER));
    cpuu_buf_u32(&wrapped, 0);
    cpuu_buf_add(&wrapped, cpuu_uid_wrapped, 16);
    cpuu_buf_u8(&wrapped, 0xb5);
    cpuu_buf_add(&wrapped, eid.data, eid.size);
    add_element(members, blob_of(&wrapped));
    cpuu_buf_reset(&eid);
    ck_assert(cpuu_eid_build_oneoff(&eid, "Jane", "EX", DN, 1));
    add_element(oneoffs, blob_of(&eid));
    cpuu_buf_reset(&eid);
    ck_assert(cpuu_eid_build_oneoff(&eid, "John", "SMTP", "john@example.org", 1));
    add_element(members, blob_of(&eid));
    add_element(oneoffs, blob_of(&eid));
    cpuu_buf_free(&eid);
    cpuu_buf_free(&wrapped);
}

static unsigned long padding; /* makes the new DN so much longer */

static bool move_jane(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    cpuu_eid e;
    unsigned *asked = user;
    char dn[20000];
    ++*asked;
    ck_assert_uint_eq(kind, CPUU_LINK_EID);
    ck_assert(cpuu_eid_decode(in, &e, NULL));
    snprintf(dn, sizeof(dn), "%s", NEW_DN);
    memset(dn + strlen(NEW_DN), 'x', padding);
    dn[strlen(NEW_DN) + padding] = 0;
    if (e.kind == CPUU_EID_AB)
        return cpuu_eid_build_ab(out, dn, e.u.ab.type);
    ck_assert_int_eq(e.kind, CPUU_EID_ONEOFF);
    if (e.u.oneoff.address_type.size == 4) /* EX */
        return cpuu_eid_build_oneoff(out, "Jane", "EX", dn, e.u.oneoff.bits);
    return false;
}

static cpuu_blob element(const cpuu_buf *list, uint32_t index)
{
    cpuu_reader r;
    cpuu_blob b = {NULL, 0};
    cpuu_reader_init(&r, list->data, list->size);
    ck_assert_uint_gt(cpuu_read_u32(&r, "n"), index);
    for (uint32_t i = 0; i <= index; i++) {
        b.size = cpuu_read_u32(&r, "size");
        b.data = cpuu_read_bytes(&r, b.size, "bytes");
        ck_assert_ptr_nonnull(b.data);
    }
    return b;
}

START_TEST(a_member_moves)
{
    cpuu_buf members, oneoffs, m, o;
    uint32_t sum = 0;
    unsigned asked = 0;
    bool replaced = false;
    cpuu_eid e, inner;
    build(&members, &oneoffs);
    cpuu_buf_init(&m, 1u << 20);
    cpuu_buf_init(&o, 1u << 20);
    padding = 0;
    ck_assert(cpuu_dl_rewrite(blob_of(&members), blob_of(&oneoffs), move_jane, &asked, &m, &o, &sum,
                              &replaced, NULL));
    ck_assert_uint_eq(asked, 4);
    ck_assert(replaced);
    cpuu_blob first = element(&m, 0), second = element(&m, 1);
    ck_assert(cpuu_eid_decode(first, &e, NULL) && e.kind == CPUU_EID_WRAPPED);
    ck_assert_uint_eq(e.u.wrapped.type, 0xb5);
    ck_assert(cpuu_eid_decode(e.u.wrapped.inner, &inner, NULL) && inner.kind == CPUU_EID_AB);
    ck_assert(memcmp(inner.u.ab.dn.data, NEW_DN, sizeof(NEW_DN)) == 0);
    ck_assert(cpuu_blob_equal(second, element(&members, 1)));
    ck_assert(cpuu_blob_equal(second, element(&o, 1)));
    ck_assert(cpuu_eid_decode(element(&o, 0), &e, NULL) && e.kind == CPUU_EID_ONEOFF);
    ck_assert_uint_eq(e.u.oneoff.address.size, 2 * strlen(NEW_DN));
    ck_assert_uint_eq(sum, slow(slow(0, first.data, first.size), second.data, second.size));
    cpuu_buf_free(&m);
    cpuu_buf_free(&o);
    cpuu_buf_free(&members);
    cpuu_buf_free(&oneoffs);
}
END_TEST

START_TEST(limit_and_counts)
{
    cpuu_buf members, oneoffs, m, o;
    uint32_t sum = 0x1234;
    unsigned asked = 0;
    cpuu_fmt_error err;
    build(&members, &oneoffs);
    for (int half = 0; half < 2; half++) { /* the one-off has two bytes per character */
        cpuu_buf_init(&m, 1u << 20);
        cpuu_buf_init(&o, 1u << 20);
        padding = half ? 7500 : 15000;
        ck_assert(!cpuu_dl_rewrite(blob_of(&members), blob_of(&oneoffs), move_jane, &asked, &m, &o,
                                   &sum, NULL, &err));
        ck_assert_str_eq(err.field, half ? "OneOffMembers" : "Members");
        ck_assert_uint_eq(sum, 0x1234);
        cpuu_buf_free(&m);
        cpuu_buf_free(&o);
    }
    /* no one-offs at all is fine, another number of them is not */
    cpuu_buf_init(&m, 1u << 20);
    cpuu_buf_init(&o, 1u << 20);
    padding = 0;
    ck_assert(cpuu_dl_rewrite(blob_of(&members), (cpuu_blob){NULL, 0}, move_jane, &asked, &m, &o,
                              &sum, NULL, NULL));
    ck_assert_uint_eq(o.size, 0);
    add_element(&oneoffs, (cpuu_blob){(const uint8_t *)"x", 1});
    ck_assert(!cpuu_dl_rewrite(blob_of(&members), blob_of(&oneoffs), move_jane, &asked, &m, &o,
                               &sum, NULL, &err));
    ck_assert_str_eq(err.field, "OneOffMembers");
    cpuu_buf_free(&m);
    cpuu_buf_free(&o);
    cpuu_buf_free(&members);
    cpuu_buf_free(&oneoffs);
}
END_TEST

/* Members alone, and members that are their own one-offs, in the shape the laws want. */
static bool both(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                 cpuu_fmt_error *err)
{
    cpuu_buf o;
    uint32_t sum;
    cpuu_buf_init(&o, out->max);
    bool ok = cpuu_dl_rewrite(in, in, cb, user, out, &o, &sum, replaced, err);
    if (ok)
        ck_assert(o.size == out->size);
    cpuu_buf_free(&o);
    return ok;
}

START_TEST(laws_of_the_arrays)
{
    cpuu_buf members, oneoffs;
    size_t n;
    cpuu_fmt_error err;
    build(&members, &oneoffs);
    laws_identity(blob_of(&members), both);
    ck_assert_uint_eq(laws_relayout(blob_of(&members), both), 4);
    cpuu_buf_u8(&members, 0);
    ck_assert(!cpuu_dl_bytes(blob_of(&members), &n, &err));
    ck_assert_str_eq(err.what, "is followed by more bytes");
    cpuu_buf_put_u32(&members, 0, 0x40000000);
    ck_assert(!cpuu_dl_bytes(blob_of(&members), &n, &err));
    ck_assert_str_eq(err.field, "count");
    cpuu_buf_free(&members);
    cpuu_buf_free(&oneoffs);
}
END_TEST

/* ---- stream -----------------------------------------------------------------------------------
 */

/* Bytes by hand from [MS-OXOCNTC] 2.2.2.2.4; EntryIDs of a provider nobody knows. */
static const uint8_t stream[] = {
    1,  0, 0xaa, 0xbb, 0x10, 0x20, 0x30, 0x40, 1,  0,   0,   0,               /* version .. flags */
    2,  0, 0,    0,    42,   0,    0,    0,    23, 0,   0,   0,   3, 0, 0, 0, /* count, totals */
    21, 0, 0,    0,    0,    0,    0,    0,    9,  9,   9,   9,   9, 9, 9, 9,  9, 9, 9, 9,
    9,  9, 9,    9,    'a',  22,   0,    0,    0,  0,   0,   0,   0, 9, 9, 9,  9, 9, 9, 9,
    9,  9, 9,    9,    9,    9,    9,    9,    9,  'b', 'b', 0,   0, 0, 0, 21, 0, 0, 0, 0,
    0,  0, 0,    9,    9,    9,    9,    9,    9,  9,   9,   9,   9, 9, 9, 9,  9, 9, 9, 'c',
    1,  0, 0,    0,    'd',  3,    0,    0,    0,  'e', 'f', 'g', 0, 0, 0, 0,  0, 0, 0, 0};

START_TEST(stream_by_the_specification)
{
    cpuu_dl_stream s;
    cpuu_dl_member m;
    cpuu_buf out;
    cpuu_blob in = {stream, sizeof(stream)};
    cpuu_fmt_error err = {0, "", ""};
    ck_assert_msg(cpuu_dl_stream_open(in, &s, &err), "%s %s", err.field, err.what);
    ck_assert(s.version == 1 && s.reserved == 0xbbaa && s.build == 0x40302010 &&
              s.flags == CPUU_DL_STREAM_ALWAYS && s.n == 2);
    cpuu_buf_init(&out, 4096);
    cpuu_buf_u8(&out, 0xee); /* not at the start of the buffer */
    size_t head = cpuu_dl_stream_begin(&out, &s);
    ck_assert_uint_eq(head, 1);
    for (int i = 0; i < 2; i++) {
        ck_assert(cpuu_dl_stream_next(&s, &m));
        ck_assert_uint_eq(m.eid.data[20], i ? 'c' : 'a');
        ck_assert_uint_eq(m.oneoff.size, i ? 1 : 22);
        ck_assert_uint_eq(m.extra.size, i ? 3 : 0);
        ck_assert_uint_eq(m.offset, i ? 83 : 28);
        ck_assert(cpuu_dl_member_write(&out, head, &m));
    }
    ck_assert(!cpuu_dl_stream_next(&s, &m));
    ck_assert(cpuu_dl_stream_end(&out, &s));
    ck_assert(out.size == sizeof(stream) + 1 && memcmp(out.data + 1, stream, sizeof(stream)) == 0);
    cpuu_buf_free(&out);
    laws_identity(in, cpuu_dl_stream_rewrite);
    ck_assert_uint_eq(laws_relayout(in, cpuu_dl_stream_rewrite), 4);
}
END_TEST

START_TEST(stream_that_is_refused)
{
    static const struct {
        uint32_t at;
        const char *field;
    } bad[] = {{0, "StreamVersion"},           {12, "CountOfEntries"}, {16, "TotalEntryIdSize"},
               {20, "TotalOneOffEntryIdSize"}, {24, "TotalExtraSize"}, {28, "EntryId"}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t copy[sizeof(stream)];
        cpuu_dl_stream s;
        cpuu_fmt_error err;
        memcpy(copy, stream, sizeof(copy));
        copy[bad[i].at] = 0xf0;
        ck_assert(!cpuu_dl_stream_open((cpuu_blob){copy, sizeof(copy)}, &s, &err));
        ck_assert_str_eq(err.field, bad[i].field);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("distlist");
    TCase *c = tcase_create("distlist");
    tcase_set_timeout(c, 120);
    tcase_add_test(c, checksum_by_the_specification);
    tcase_add_test(c, checksum_worked_examples);
    tcase_add_test(c, a_member_moves);
    tcase_add_test(c, limit_and_counts);
    tcase_add_test(c, laws_of_the_arrays);
    tcase_add_test(c, stream_by_the_specification);
    tcase_add_test(c, stream_that_is_refused);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
