/*
 * Multi-valued registry values. The expected bytes are those of the samples (Outlook 2010, both
 * widths) and of the layout rules, written out by hand.
 */
#include "fixture.h"

#include "base/text.h"

#include "../oracle.h"

#include <cpuu/formats/mv.h>

#include <string.h>

static size_t from_hex(uint8_t *out, const char *hex)
{
    size_t n = 0;
    for (const char *p = hex; *p; p++) {
        if (*p == ' ')
            continue;
        char two[3] = {p[0], p[1], 0};
        ck_assert(cpuu_unhex(out + n++, two, 1));
        p++;
    }
    return n;
}

static const struct {
    uint32_t type;
    unsigned width;
    const char *stored;
    const char *list;
} good[] = {
    /* {"Contacts","Suggested Contacts"}: observed */
    {CPUU_MV_UNICODE, 4,
     "02000000 0c000000 1e000000 43006f006e00740061006300740073000000"
     "530075006700670065007300740065006400200043006f006e00740061006300740073000000",
     "02000000 10000000 43006f006e0074006100630074007300"
     "24000000 53007500670067006500730074006500640020004300 6f006e0074006100630074007300"},
    {CPUU_MV_UNICODE, 8,
     "02000000 1400000000000000 2600000000000000 43006f006e00740061006300740073000000"
     "530075006700670065007300740065006400200043006f006e00740061006300740073000000",
     "02000000 10000000 43006f006e0074006100630074007300"
     "24000000 53007500670067006500730074006500640020004300 6f006e0074006100630074007300"},
    /* support files of CONTAB: observed, 64-bit */
    {CPUU_MV_STRING8, 8, "01000000 0c00000000000000 636f6e7461622e646c6c00",
     "01000000 0a000000 636f6e7461622e646c6c"},
    {CPUU_MV_STRING8, 4, "01000000 08000000 6100", "01000000 01000000 61"},
    /* padding after every element, the last one included; an empty element has the offset of the
     * current end */
    {CPUU_MV_BINARY, 4,
     "03000000 05000000 1c000000 00000000 24000000 01000000 24000000"
     "0102030405000000 ff000000",
     "03000000 05000000 0102030405 00000000 01000000 ff"},
    {CPUU_MV_BINARY, 8,
     "02000000 0000000000000000 2400000000000000 0200000000000000 2400000000000000 aabb0000",
     "02000000 00000000 02000000 aabb"},
    /* 32-bit, although the element looks like the 64-bit offset */
    {CPUU_MV_BINARY, 4, "01000000 08000000 0c000000 1400000000000000",
     "01000000 08000000 1400000000000000"},
    {CPUU_MV_LONG, 0, "0f010480 0f010480", "02000000 04000000 0f010480 04000000 0f010480"},
    {CPUU_MV_LONG, 0, "", "00000000"},
    {CPUU_MV_BINARY, 0, "00000000", "00000000"},
};

START_TEST(known_values_decode_and_encode)
{
    uint8_t stored[256], list[256];
    size_t n_stored = from_hex(stored, good[_i].stored), n_list = from_hex(list, good[_i].list);
    cpuu_buf b;
    unsigned width = 99;
    cpuu_buf_init(&b, 4096);
    ck_assert_uint_eq(cpuu_mv_width(good[_i].type, stored, n_stored), good[_i].width);
    ck_assert(cpuu_mv_decode(good[_i].type, stored, n_stored, &b, &width, NULL));
    ck_assert_uint_eq(width, good[_i].width);
    ck_assert_uint_eq(b.size, n_list);
    ck_assert_mem_eq(b.data, list, n_list);
    cpuu_buf_reset(&b);
    ck_assert(cpuu_mv_encode(good[_i].type, width ? width : 4, list, n_list, &b, NULL));
    ck_assert_uint_eq(b.size, n_stored);
    if (n_stored)
        ck_assert_mem_eq(b.data, stored, n_stored);
    cpuu_buf_free(&b);
}
END_TEST

static const struct {
    uint32_t type;
    const char *stored;
    const char *field;
} bad[] = {
    {CPUU_MV_LONG, "010203", "PtypMultipleInteger32"},
    {CPUU_MV_BINARY, "", "count"},
    {CPUU_MV_BINARY, "00000000 00", "value"},
    {CPUU_MV_STRING8, "01000000 09000000 6100", "first offset"},
    {CPUU_MV_STRING8, "01000000 08000000 61", "element"},                /* no NUL */
    {CPUU_MV_STRING8, "01000000 08000000 6100 00", "value"},             /* a tail */
    {CPUU_MV_UNICODE, "01000000 08000000 6100", "element"},              /* no NUL */
    {CPUU_MV_STRING8, "02000000 0c000000 0d000000 6100 6200", "offset"}, /* overlapping */
    {CPUU_MV_BINARY, "01000000 01000000 0c000000 ff000100", "padding"},
    {CPUU_MV_BINARY, "01000000 01000000 0c000000 ff", "padding"}, /* truncated */
    {CPUU_MV_BINARY, "01000000 ffffffff 0c000000 ff000000", "element"},
    {CPUU_MV_BINARY, "01000000 0100000001000000 1400000000000000 ff000000", "length"},
    {CPUU_MV_BINARY, "ffffff1f 00000000 fcffffff", "count"},
    {0x1040, "0000000000000000", "property type"},
};

START_TEST(anything_else_is_refused_with_its_field)
{
    uint8_t stored[256];
    size_t n = from_hex(stored, bad[_i].stored);
    cpuu_fmt_error e = {0, "", ""};
    cpuu_buf b;
    cpuu_buf_init(&b, 4096);
    ck_assert(!cpuu_mv_decode(bad[_i].type, stored, n, &b, NULL, &e));
    ck_assert_str_eq(e.field, bad[_i].field);
    ck_assert(!b.failed);
    cpuu_buf_free(&b);
}
END_TEST

START_TEST(a_list_that_does_not_suit_its_type_is_refused)
{
    static const struct {
        uint32_t type;
        unsigned width;
        const char *list;
    } lists[] = {
        {CPUU_MV_LONG, 4, "01000000 02000000 0102"},
        {CPUU_MV_UNICODE, 4, "01000000 03000000 410042"},
        {CPUU_MV_UNICODE, 4, "01000000 04000000 41000000"},
        {CPUU_MV_STRING8, 8, "01000000 02000000 4100"},
        {CPUU_MV_BINARY, 5, "01000000 01000000 41"},
        {CPUU_MV_BINARY, 4, "02000000 01000000 41"},
        {CPUU_MV_BINARY, 4, "01000000 01000000 41 42"},
        {CPUU_MV_BINARY, 4, "ffffffff"},
    };
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        uint8_t list[64];
        size_t n = from_hex(list, lists[i].list);
        cpuu_fmt_error e;
        cpuu_buf b;
        cpuu_buf_init(&b, 4096);
        ck_assert_msg(!cpuu_mv_encode(lists[i].type, lists[i].width, list, n, &b, &e), "%zu", i);
        cpuu_buf_free(&b);
    }
}
END_TEST

/* ---- every value of the samples -------------------------------------------------------------- */

typedef struct tally {
    unsigned width4, width8, none;
} tally;

static bool is_multi(const char *name, uint32_t *type)
{
    uint8_t t[2];
    if (strlen(name) != 8 || name[0] != '1' ||
        !cpuu_unhex(t, (char[]){name[0], name[1], name[2], name[3], 0}, 2))
        return false;
    *type = (uint32_t)t[0] << 8 | t[1];
    return true;
}

static void check_value(const cpuu_reg_value *v, tally *t)
{
    uint32_t type;
    unsigned width;
    cpuu_buf list, again;
    cpuu_fmt_error e = {0, "", ""};
    if (!is_multi(v->name, &type))
        return;
    cpuu_buf_init(&list, 1 << 20);
    cpuu_buf_init(&again, 1 << 20);
    ck_assert_msg(cpuu_mv_decode(type, v->data, v->size, &list, &width, &e), "%s: %s %s at %u",
                  v->name, e.field, e.what, (unsigned)e.offset);
    ck_assert(cpuu_mv_encode(type, width ? width : 4, list.data, list.size, &again, NULL));
    ck_assert_uint_eq(again.size, v->size);
    ck_assert_mem_eq(again.data, v->data, v->size);
    if (type != CPUU_MV_LONG)
        *(width == 4 ? &t->width4 : width == 8 ? &t->width8 : &t->none) += 1;
    cpuu_buf_free(&list);
    cpuu_buf_free(&again);
}

static void check_key(cpuu_reg *reg, const char *key, tally *t)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_reg_values v;
    cpuu_reg_names names;
    OK(cpuu_reg_values_of(reg, key, &v, &err));
    for (size_t i = 0; i < v.count; i++)
        check_value(&v.items[i], t);
    cpuu_reg_values_free(&v);
    OK(cpuu_reg_keys(reg, key, &names, &err));
    for (size_t i = 0; i < names.count; i++) {
        char *sub = cpuu_reg_join(key, names.items[i]);
        check_key(reg, sub, t);
        cpuu_free(sub);
    }
    cpuu_reg_names_free(&names);
}

static const struct {
    const char *file;
    unsigned width; /* the only one that may occur */
} samples[] = {{POP_X64, 8}, {POP_X86, 4}, {EXCHANGE_X64, 8}, {EXCHANGE_X86, 4}};

START_TEST(every_value_of_a_sample_encodes_to_its_own_bytes)
{
    const char *path = oracle_path("every_value_of_a_sample", samples[_i].file);
    if (!path)
        return;
    cpuu_reg *reg = reg_from_file(path);
    tally t = {0};
    check_key(reg, "", &t);
    printf("%s: %u of width 4, %u of width 8, %u empty\n", samples[_i].file, t.width4, t.width8,
           t.none);
    ck_assert_uint_gt(samples[_i].width == 4 ? t.width4 : t.width8, 8);
    ck_assert_uint_eq(samples[_i].width == 4 ? t.width8 : t.width4, 0);
    cpuu_reg_close(reg);
}
END_TEST

Suite *mv_suite(void)
{
    Suite *s = suite_create("mv");
    TCase *t = tcase_create("mv");
    tcase_add_loop_test(t, known_values_decode_and_encode, 0, sizeof(good) / sizeof(good[0]));
    tcase_add_loop_test(t, anything_else_is_refused_with_its_field, 0,
                        sizeof(bad) / sizeof(bad[0]));
    tcase_add_test(t, a_list_that_does_not_suit_its_type_is_refused);
    tcase_add_loop_test(t, every_value_of_a_sample_encodes_to_its_own_bytes, 0,
                        sizeof(samples) / sizeof(samples[0]));
    suite_add_tcase(s, t);
    return s;
}
