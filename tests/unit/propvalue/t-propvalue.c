#include <cpuu/formats/propvalue.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* A SetProperties value list worked out by hand from [MS-OXCDATA] 2.11.1 and 2.11.4. */
static const uint8_t list[] = {
    0x1f, 0x00, 0x37, 0x00, 0xe4, 0x00, 0x20, 0x00, 0xac, 0x20, 0x00, 0x00, /* String "ä €" */
    0x03, 0x00, 0x06, 0x7c, 0x02, 0x00, 0x00, 0x00,                         /* Integer32 2 */
    0x02, 0x01, 0x08, 0x7c, 0x03, 0x00, 0x01, 0x00, 0xff,                   /* Binary */
    0x02, 0x11, 0xd8, 0x36, 0x02, 0x00, 0x00, 0x00, 0x01, 0x00, 0xaa, 0x00, 0x00, /* MV Binary */
    0x1f, 0x10, 0x00, 0x3a, 0x01, 0x00, 0x00, 0x00, 0x78, 0x00, 0x00, 0x00, /* MV String "x" */
    0x0b, 0x00, 0x72, 0x66, 0x01,                                           /* Boolean */
    0x1e, 0x00, 0x73, 0x66, 0x80, 0xe9, 0x00,                               /* String8 "€é" */
    0xfd, 0x00, 0x79, 0x66, 0x00, 0x02, 0x00, 0x08, 0x03, 0x00, 0x01, 0x00, /* And(Exist, Not(..))
                                                                             */
    0x02, 0x03, 0x01, 0x00, 0x01, 0x00, 0x1f, 0x00, 0x37, 0x00, 0x1f, 0x00, 0x37, 0x00, 0x79,
    0x00, 0x00, 0x00, 0xfe, 0x00, 0x80, 0x66, 0x01, 0x00, 0x02, 0x00, 0x0a, 0x0b, /* RuleAction */
};

typedef struct expected {
    uint32_t tag;
    uint32_t size;
    const char *data;
} expected;

static const expected meaning[] = {
    {0x0037001f, 6, "\xc3\xa4 \xe2\x82\xac"},
    {0x7c060003, 4, "\2\0\0\0"},
    {0x7c080102, 3, "\1\0\xff"},
    {0x36d81102, 13, "\2\0\0\0\1\0\0\0\xaa\0\0\0\0"},
    {0x3a00101f, 9, "\1\0\0\0\1\0\0\0x"},
    {0x6672000b, 1, "\1"},
    {0x6673001e, 5, "\xe2\x82\xac\xc3\xa9"},
    {0x667900fd, 26, "\0\2\0\x8\3\0\1\0\2\3\1\0\1\0\x1f\0\x37\0\x1f\0\x37\0y\0\0\0"},
    {0x668000fe, 6, "\1\0\2\0\xa\xb"},
};

START_TEST(tagged_values_mean_what_the_specification_says)
{
    cpuu_reader r;
    cpuu_buf bytes;
    cpuu_reader_init(&r, list, sizeof(list));
    cpuu_buf_init(&bytes, 4096);
    for (size_t i = 0; i < sizeof(meaning) / sizeof(meaning[0]); i++) {
        cpuu_cell cell;
        ck_assert(cpuu_prop_decode_tagged(&r, CPUU_WIRE_ROP, &bytes, &cell));
        cpuu_value v = cpuu_cell_value(&cell, &bytes);
        ck_assert_uint_eq(v.tag, meaning[i].tag);
        ck_assert_uint_eq(v.size, meaning[i].size);
        ck_assert_mem_eq(v.data, meaning[i].data, v.size);
    }
    ck_assert_uint_eq(cpuu_reader_left(&r), 0);
    cpuu_buf_free(&bytes);
}
END_TEST

START_TEST(encoding_gives_the_same_bytes)
{
    cpuu_buf out;
    cpuu_buf_init(&out, 4096);
    for (size_t i = 0; i < sizeof(meaning) / sizeof(meaning[0]); i++) {
        cpuu_value v = {meaning[i].tag, meaning[i].size, (const uint8_t *)meaning[i].data};
        ck_assert(cpuu_prop_encode_tagged(&out, CPUU_WIRE_ROP, &v));
    }
    ck_assert_uint_eq(out.size, sizeof(list));
    ck_assert_mem_eq(out.data, list, sizeof(list));
    cpuu_buf_free(&out);
}
END_TEST

START_TEST(every_truncation_is_refused)
{
    for (size_t n = 0; n < sizeof(list); n++) {
        uint8_t *copy = malloc(n + 1); /* exact size, so that the sanitizer sees an overrun */
        cpuu_reader r;
        cpuu_buf bytes;
        memcpy(copy, list, n);
        uint8_t *exact = realloc(copy, n ? n : 1);
        cpuu_reader_init(&r, exact, n);
        cpuu_buf_init(&bytes, 4096);
        size_t good = 0;
        cpuu_cell cell;
        while (cpuu_reader_left(&r) && cpuu_prop_decode_tagged(&r, CPUU_WIRE_ROP, &bytes, &cell))
            good++;
        ck_assert_uint_lt(good, sizeof(meaning) / sizeof(meaning[0]));
        cpuu_buf_free(&bytes);
        free(exact);
    }
}
END_TEST

START_TEST(a_flagged_row_says_what_is_missing)
{
    static const uint32_t columns[] = {0x00370000, 0x0e070003, 0x3001001f, 0x10000102};
    static const uint8_t row[] = {0x01, /* flagged */
                                  0x1f, 0x00, 0x00, 'a',  0,
                                  0,    0, /* FlaggedPropertyValueWithType, String */
                                  0x00, 0x2a, 0,    0,    0,     /* value */
                                  0x01,                          /* not present */
                                  0x0a, 0x0e, 0x00, 0x07, 0x80}; /* NotEnoughMemory */
    cpuu_reader r;
    cpuu_buf bytes, out;
    cpuu_cell c[4];
    cpuu_reader_init(&r, row, sizeof(row));
    cpuu_buf_init(&bytes, 4096);
    ck_assert(cpuu_prop_decode_row(&r, CPUU_WIRE_ROP, columns, 4, &bytes, c));
    ck_assert_uint_eq(r.pos, sizeof(row));
    ck_assert_uint_eq(c[0].tag, 0x0037001f);
    ck_assert_uint_eq(c[1].tag, 0x0e070003);
    ck_assert_uint_eq(c[2].tag, 0x3001000a);
    ck_assert_uint_eq(cpuu_le32(bytes.data + c[2].offset), 0x8004010f);
    ck_assert_uint_eq(cpuu_le32(bytes.data + c[3].offset), 0x8007000e);

    cpuu_value v[4];
    uint8_t none[4] = {0};
    for (int i = 0; i < 4; i++)
        v[i] = cpuu_cell_value(&c[i], &bytes);
    v[2].data = none; /* code 0: "not present" */
    cpuu_buf_init(&out, 4096);
    ck_assert(cpuu_prop_encode_row(&out, CPUU_WIRE_ROP, columns, v, 4));
    ck_assert_uint_eq(out.size, sizeof(row));
    ck_assert_mem_eq(out.data, row, sizeof(row));
    cpuu_buf_free(&out);
    cpuu_buf_free(&bytes);
}
END_TEST

START_TEST(address_book_values_carry_has_value)
{
    /* [MS-OXCMAPIHTTP] 2.2.1.1: MV String of two, the second without a value; then an absent one */
    static const uint8_t wire[] = {0x1f, 0x10, 0x0f, 0x80, 0xff, 2,    0,    0,    0,    0xff,
                                   'a',  0,    0,    0,    0x00, 0x02, 0x01, 0xff, 0x0f, 0x00};
    cpuu_reader r;
    cpuu_buf bytes;
    cpuu_cell c;
    cpuu_reader_init(&r, wire, sizeof(wire));
    cpuu_buf_init(&bytes, 4096);
    ck_assert(cpuu_prop_decode_tagged(&r, CPUU_WIRE_BOOK, &bytes, &c));
    ck_assert_uint_eq(c.size, 13);
    ck_assert_mem_eq(bytes.data + c.offset, "\2\0\0\0\1\0\0\0a\0\0\0\0", 13);
    ck_assert(cpuu_prop_decode_tagged(&r, CPUU_WIRE_BOOK, &bytes, &c));
    ck_assert_uint_eq(c.tag, 0x0fff000a);
    ck_assert_uint_eq(cpuu_le32(bytes.data + c.offset), 0x8004010f);
    ck_assert_uint_eq(cpuu_reader_left(&r), 0);
    cpuu_buf_free(&bytes);
}
END_TEST

START_TEST(values_of_the_wrong_shape_do_not_encode)
{
    static const cpuu_value bad[] = {
        {0x00370003, 3, (const uint8_t *)"abc"},          /* Integer32 of three bytes */
        {0x0037001f, 2, (const uint8_t *)"\xc3\x28"},     /* not UTF-8 */
        {0x0037001f, 3, (const uint8_t *)"a\0b"},         /* NUL inside */
        {0x0037001e, 3, (const uint8_t *)"\xe2\x98\x83"}, /* no such character in the code page */
        {0x36d81102, 6, (const uint8_t *)"\1\0\0\0\0\0"}, /* element cut off */
        {0x667900fd, 3, (const uint8_t *)"\0\1\0"},       /* And of one that is not there */
        {0x667900fd, 7, (const uint8_t *)"\x8\3\0\1\0\0\0"}, /* bytes behind the restriction */
        {0x0037000d, 0, NULL},                               /* Object */
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cpuu_buf out;
        cpuu_buf_init(&out, 4096);
        ck_assert_msg(!cpuu_prop_encode(&out, CPUU_WIRE_ROP, &bad[i]), "value %zu", i);
        cpuu_buf_free(&out);
    }
}
END_TEST

START_TEST(binaries_over_64_kib_need_the_wide_form)
{
    uint8_t *big = calloc(1, 70000);
    cpuu_value v = {0x7c080102, 70000, big};
    cpuu_buf out;
    cpuu_buf_init(&out, 100000);
    ck_assert(!cpuu_prop_encode(&out, CPUU_WIRE_ROP, &v));
    cpuu_buf_reset(&out);
    ck_assert(cpuu_prop_encode(&out, CPUU_WIRE_WIDE, &v));
    ck_assert_uint_eq(out.size, 70004);
    cpuu_buf_free(&out);
    free(big);
}
END_TEST

START_TEST(deep_nesting_and_false_counts_are_refused)
{
    uint8_t nots[1000];
    memset(nots, 0x02, sizeof(nots));
    cpuu_reader r;
    cpuu_reader_init(&r, nots, sizeof(nots));
    ck_assert(!cpuu_prop_skip_restriction(&r, CPUU_WIRE_ROP));

    static const uint8_t many[] = {0x03, 0x10, 0x01, 0x00, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4};
    cpuu_buf bytes;
    cpuu_cell c;
    cpuu_buf_init(&bytes, 1 << 20);
    cpuu_reader_init(&r, many, sizeof(many));
    ck_assert(!cpuu_prop_decode_tagged(&r, CPUU_WIRE_ROP, &bytes, &c));
    cpuu_buf_free(&bytes);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("propvalue");
    TCase *t = tcase_create("propvalue");
    suite_add_tcase(s, t);
    tcase_add_test(t, tagged_values_mean_what_the_specification_says);
    tcase_add_test(t, encoding_gives_the_same_bytes);
    tcase_add_test(t, every_truncation_is_refused);
    tcase_add_test(t, a_flagged_row_says_what_is_missing);
    tcase_add_test(t, address_book_values_carry_has_value);
    tcase_add_test(t, values_of_the_wrong_shape_do_not_encode);
    tcase_add_test(t, binaries_over_64_kib_need_the_wide_form);
    tcase_add_test(t, deep_nesting_and_false_counts_are_refused);
    SRunner *run = srunner_create(s);
    srunner_run_all(run, CK_NORMAL);
    int failed = srunner_ntests_failed(run);
    srunner_free(run);
    return failed ? 1 : 0;
}
