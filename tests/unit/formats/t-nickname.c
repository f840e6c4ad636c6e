#include "laws.h"
#include "render.h"

#include <cpuu/formats/nickname.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../oracle.h"

/* ---- independent data -------------------------------------------------------------------------
 */

static void render_oneoff(text *t, cpuu_blob in)
{
    cpuu_eid e;
    ck_assert(cpuu_eid_decode(in, &e, NULL));
    ck_assert_int_eq(e.kind, CPUU_EID_ONEOFF);
    ck_assert_uint_eq(e.u.oneoff.bits, 0x9001);
    text_line(t, "Entry ID");
    text_line(t, "abFlags = 0x%08X", cpuu_le32(e.flags));
    text_guid(t, "Provider GUID", e.provider);
    text_line(t, "MAPI One Off Recipient Entry ID");
    text_line(t, "dwBitmask: 0x%04X%04X = MAPI_UNICODE | MAPI_SEND_NO_RICH_INFO | OOP_DONT_LOOKUP",
              e.u.oneoff.bits, e.u.oneoff.version);
    text_sz16(t, "szDisplayName", e.u.oneoff.name);
    text_sz16(t, "szAddressType", e.u.oneoff.address_type);
    text_sz16(t, "szEmailAddress", e.u.oneoff.address);
}

static void render_nick_prop(text *t, const cpuu_nick_prop *p)
{
    cpuu_rawprop raw = {p->tag, p->value, p->nul};
    uint32_t type = CPUU_TAG_TYPE(p->tag), id = CPUU_TAG_ID(p->tag);
    ck_assert(p->nul == (type == CPUU_PT_STRING));
    render_prop(t, &raw);
    if (id == 0x0fff || id == 0x5ff7)
        render_oneoff(t, p->value);
}

static void check_sample(const sample *s)
{
    cpuu_nick_stream st;
    cpuu_nick_row row;
    cpuu_nick_prop p;
    cpuu_fmt_error err;
    text t;
    text_init(&t);
    ck_assert_msg(cpuu_nick_open(s->bytes, &st, &err), "%s %s", err.field, err.what);
    text_line(&t, "Nickname Cache");
    text_line(&t, "Metadata1");
    text_hex(&t, st.metadata, 4);
    text_line(&t, "Major Version = %u", st.major);
    text_line(&t, "Minor Version = %u", st.minor);
    text_line(&t, "Row Count = %u", st.n_rows);
    while (cpuu_nick_next(&st, &row)) {
        text_line(&t, "Row %u", row.index);
        text_line(&t, "cValues = 0x%08X", row.n);
        for (uint32_t i = 0; cpuu_nick_prop_next(&row, &p); i++) {
            text_line(&t, "Property[%u]", i);
            render_nick_prop(&t, &p);
        }
    }
    text_line(&t, "Metadata 2");
    text_hex(&t, st.metadata2, 8);
    ck_assert_uint_eq(st.rest.size, 0);
    sample_compare(s, text_get(&t));
    text_free(&t);
    laws_identity(s->bytes, cpuu_nick_rewrite);
    laws_relayout(s->bytes, cpuu_nick_rewrite);
}

START_TEST(sample_of_outlook)
{
    int n = samples_each("NICKNAMECACHE", check_sample);
    ck_assert(n == -1 || n == 1);
}
END_TEST

/* "offset size row R: ... / row R tag=T value": where another reader found every property. */
START_TEST(offsets_of_every_property)
{
    sample s;
    if (!sample_load("open/NICKNAMECACHE-2.bin", &s))
        return;
    const char *path =
        oracle_path("t-nickname", "mapi-blobs/worked/autocomplete-NICKNAMECACHE-2.decoded.tsv");
    ck_assert_ptr_nonnull(path);
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    char line[4096];
    cpuu_nick_stream st;
    cpuu_nick_row row = {0};
    cpuu_nick_prop p;
    unsigned props = 0, rows = 0;
    ck_assert(cpuu_nick_open(s.bytes, &st, NULL));
    while (fgets(line, sizeof(line), f)) {
        unsigned offset, size, r, tag;
        char value[3000] = "", rest[3000];
        if (sscanf(line, "%x\t%u\trow %u: %[^\t]", &offset, &size, &r, rest) == 4) {
            ck_assert(cpuu_nick_next(&st, &row));
            ck_assert_uint_eq(row.offset, offset);
            rows++;
        } else if (sscanf(line, "%x\t%u\trow %u tag=%x\t%[^\t\n]", &offset, &size, &r, &tag,
                          value) >= 4) {
            ck_assert(cpuu_nick_prop_next(&row, &p));
            ck_assert_uint_eq(p.offset, offset);
            ck_assert_uint_eq(p.size, size);
            ck_assert_uint_eq(p.tag, tag);
            if (CPUU_TAG_TYPE(tag) == CPUU_PT_BINARY)
                for (uint32_t i = 0; i < p.value.size; i++) {
                    char hex[3];
                    snprintf(hex, sizeof(hex), "%02x", p.value.data[i]);
                    ck_assert(memcmp(hex, value + 2 * (size_t)i, 2) == 0);
                }
            props++;
        }
    }
    fclose(f);
    ck_assert_uint_eq(rows, 2);
    ck_assert_uint_eq(props, 46);
    sample_free(&s);
}
END_TEST

START_TEST(nk2_file)
{
    const char *path = oracle_path("t-nickname", "profiles/nk2/plaso_Outlook.NK2");
    if (!path)
        return;
    FILE *f = fopen(path, "rb");
    static uint8_t bytes[8192];
    ck_assert_ptr_nonnull(f);
    size_t n = fread(bytes, 1, sizeof(bytes), f);
    fclose(f);
    ck_assert_uint_eq(n, 5933);
    cpuu_blob in = {bytes, (uint32_t)n};
    cpuu_nick_stream st;
    cpuu_nick_row row;
    cpuu_nick_prop p;
    uint32_t last = UINT32_MAX, rows = 0, eids = 0;
    ck_assert(cpuu_nick_open(in, &st, NULL));
    ck_assert_uint_eq(st.n_rows, 5);
    while (cpuu_nick_next(&st, &row)) {
        uint32_t weight = 0;
        for (uint32_t i = 0; cpuu_nick_prop_next(&row, &p); i++) {
            cpuu_eid e;
            ck_assert(i || p.tag == CPUU_NICK_KEY);
            if (p.tag == CPUU_NICK_WEIGHT)
                weight = cpuu_le32(p.value.data);
            if (CPUU_TAG_ID(p.tag) == 0x0fff) {
                ck_assert(cpuu_eid_decode(p.value, &e, NULL) && e.kind == CPUU_EID_ONEOFF);
                eids++;
            }
        }
        ck_assert_uint_ge(weight, 1);
        ck_assert_uint_le(weight, last); /* sorted by weight */
        last = weight;
        rows++;
    }
    ck_assert_uint_eq(rows, 5);
    ck_assert_uint_eq(eids, 5);
    ck_assert_uint_eq(st.extra.size, 0);
    laws_identity(in, cpuu_nick_rewrite);
    /* per row EntryID, recipient EntryID, search key, e-mail; three rows have a record key */
    ck_assert_uint_eq(laws_relayout(in, cpuu_nick_rewrite), 23);
}
END_TEST

/* ---- rewriting to something meant --------------------------------------------------------------
 */

static const cpuu_nick_stream head = {
    {0x0d, 0xf0, 0xad, 0xba}, 12,       7, 1, 0, {0}, {(const uint8_t *)"extra", 5},
    {1, 2, 3, 4, 5, 6, 7, 8}, {NULL, 0}};

static void add_prop(cpuu_buf *out, uint32_t tag, const void *data, uint32_t n)
{
    cpuu_nick_prop p;
    memset(&p, 0, sizeof(p));
    p.tag = tag;
    memset(p.fixed, 0xab, sizeof(p.fixed));
    p.value = (cpuu_blob){data, n};
    p.nul = CPUU_TAG_TYPE(tag) == CPUU_PT_STRING || CPUU_TAG_TYPE(tag) == CPUU_PT_STRING8;
    ck_assert(cpuu_nick_prop_write(out, &p));
}

static void add_text(cpuu_buf *out, uint32_t tag, const char *utf8)
{
    cpuu_buf b;
    cpuu_buf_init(&b, 4096);
    ck_assert(cpuu_buf_utf16(&b, utf8, false));
    add_prop(out, tag, b.data, (uint32_t)b.size);
    cpuu_buf_free(&b);
}

#define OLD_DN "/o=Old/ou=First/cn=Recipients/cn=jane"
#define NEW_DN "/o=New Organisation/ou=Second/cn=Recipients/cn=jane.smith"

static void add_row(cpuu_buf *out, bool type_first)
{
    static const uint8_t weight[4] = {0x10, 0, 0, 0}, guid[16] = {1}, longs[12] = {2, 0, 0, 0, 9},
                         texts[] = {1, 0, 0, 0, 2, 0, 0, 0, 'a', 0};
    static const char key[] = "EX:/O=OLD/OU=FIRST/CN=RECIPIENTS/CN=JANE";
    cpuu_buf eid;
    cpuu_buf_init(&eid, 4096);
    ck_assert(cpuu_eid_build_ab(&eid, OLD_DN, CPUU_AB_USER));
    cpuu_buf_u32(out, type_first ? 13 : 12);
    add_text(out, CPUU_NICK_KEY, "Jane");
    if (type_first)
        add_text(out, 0x3002001f, "EX");
    add_prop(out, 0x0fff0102, eid.data, (uint32_t)eid.size);
    add_prop(out, 0x0ff90102, eid.data, (uint32_t)eid.size);
    add_prop(out, 0x300b0102, key, sizeof(key));
    add_text(out, 0x3003001f, OLD_DN);
    add_text(out, 0x3001001f, "Jane Smith");
    add_prop(out, 0x3002001e, "EX", 2);
    add_prop(out, 0x66000048, guid, 16);
    add_prop(out, 0x66011003, longs, 12);
    add_prop(out, 0x6602101e, texts, sizeof(texts));
    add_text(out, CPUU_NICK_DROPDOWN, "Jane <jane>");
    add_prop(out, CPUU_NICK_WEIGHT, weight, 4);
    cpuu_buf_free(&eid);
}

static void build(cpuu_buf *out, uint32_t rows)
{
    cpuu_nick_stream h = head;
    cpuu_buf_init(out, 1u << 26);
    h.n_rows = rows;
    ck_assert(cpuu_nick_begin(out, &h));
    for (uint32_t i = 0; i < rows; i++)
        add_row(out, i % 2 == 0);
    ck_assert(cpuu_nick_end(out, &h));
}

/* Moves Jane to another organisation; to_smtp: her address becomes an SMTP one. */
static bool move_jane(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    const char *smtp = user;
    cpuu_eid e;
    switch (kind) {
    case CPUU_LINK_EID:
        ck_assert(cpuu_eid_decode(in, &e, NULL) && e.kind == CPUU_EID_AB);
        return cpuu_eid_build_ab(out, NEW_DN, CPUU_AB_USER);
    case CPUU_LINK_SEARCH_KEY:
        return smtp ? cpuu_search_key_build(out, "SMTP", smtp)
                    : cpuu_search_key_build(out, "EX", NEW_DN);
    case CPUU_LINK_EX_DN:
        ck_assert(in.size == strlen(OLD_DN) && memcmp(in.data, OLD_DN, in.size) == 0);
        return cpuu_buf_add(out, smtp ? smtp : NEW_DN, strlen(smtp ? smtp : NEW_DN));
    }
    ck_abort_msg("kind %x", kind);
    return false;
}

static void expect_text(const cpuu_nick_prop *p, const char *utf8)
{
    cpuu_buf b;
    cpuu_buf_init(&b, 4096);
    if (CPUU_TAG_TYPE(p->tag) == CPUU_PT_STRING)
        cpuu_buf_utf16(&b, utf8, false);
    else
        cpuu_buf_add(&b, utf8, strlen(utf8));
    same_bytes(p->value, &b, utf8);
    cpuu_buf_free(&b);
}

static void check_moved(const cpuu_buf *out, const char *smtp, uint32_t rows)
{
    cpuu_nick_stream st;
    cpuu_nick_row row;
    cpuu_nick_prop p;
    cpuu_eid e;
    unsigned types = 0;
    ck_assert(cpuu_nick_open(blob_of(out), &st, NULL));
    ck_assert(memcmp(st.metadata, head.metadata, 4) == 0 && st.major == 12 && st.minor == 7);
    ck_assert(memcmp(st.metadata2, head.metadata2, 8) == 0 && st.n_rows == rows);
    ck_assert(st.extra.size == 5 && memcmp(st.extra.data, "extra", 5) == 0);
    while (cpuu_nick_next(&st, &row))
        while (cpuu_nick_prop_next(&row, &p)) {
            ck_assert(CPUU_TAG_TYPE(p.tag) == CPUU_PT_INT32 || p.fixed[11] == 0xab);
            switch (CPUU_TAG_ID(p.tag)) {
            case 0x0fff:
            case 0x0ff9:
                ck_assert(cpuu_eid_decode(p.value, &e, NULL) && e.kind == CPUU_EID_AB);
                ck_assert(memcmp(e.u.ab.dn.data, NEW_DN, sizeof(NEW_DN)) == 0);
                break;
            case 0x3002:
                expect_text(&p, smtp ? "SMTP" : "EX");
                types++;
                break;
            case 0x3003:
                expect_text(&p, smtp ? smtp : NEW_DN);
                break;
            case 0x3001:
                expect_text(&p, "Jane Smith");
                break;
            case 0x6001:
                expect_text(&p, "Jane");
                break;
            case 0x6003:
                expect_text(&p, "Jane <jane>");
                break;
            case 0x6004:
                ck_assert_uint_eq(cpuu_le32(p.value.data), 0x10);
                break;
            }
        }
    ck_assert_uint_eq(types, rows + (rows + 1) / 2);
}

START_TEST(a_person_moves)
{
    cpuu_buf in, out;
    char smtp[] = "jane@example.net";
    build(&in, 3);
    for (int to_smtp = 0; to_smtp < 2; to_smtp++) {
        bool replaced = false;
        cpuu_buf_init(&out, 1u << 20);
        ck_assert(cpuu_nick_rewrite(blob_of(&in), move_jane, to_smtp ? smtp : NULL, &out, &replaced,
                                    NULL));
        ck_assert(replaced);
        check_moved(&out, to_smtp ? smtp : NULL, 3);
        cpuu_buf_free(&out);
    }
    laws_identity(blob_of(&in), cpuu_nick_rewrite);
    ck_assert_uint_eq(laws_relayout(blob_of(&in), cpuu_nick_rewrite), 3 * 4);
    cpuu_buf_free(&in);
}
END_TEST

/* Properties may be there twice (a real .nk2 file has such rows): each is a link of its own. */
START_TEST(two_addresses_in_one_row)
{
    cpuu_nick_stream h = head;
    cpuu_buf in;
    cpuu_buf_init(&in, 1u << 16);
    ck_assert(cpuu_nick_begin(&in, &h));
    cpuu_buf_u32(&in, 3);
    add_text(&in, 0x3003001f, "first@example.org");
    add_text(&in, 0x3003001f, OLD_DN);
    add_text(&in, 0x3003001f, "third@example.org");
    ck_assert(cpuu_nick_end(&in, &h));
    laws_identity(blob_of(&in), cpuu_nick_rewrite);
    ck_assert_uint_eq(laws_relayout(blob_of(&in), cpuu_nick_rewrite), 3);
    cpuu_buf_free(&in);
}
END_TEST

static double seconds(uint32_t rows)
{
    cpuu_buf in, out;
    struct timespec a, b;
    build(&in, rows);
    cpuu_buf_init(&out, 1u << 26);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    ck_assert(cpuu_nick_rewrite(blob_of(&in), move_jane, NULL, &out, NULL, NULL));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    check_moved(&out, NULL, rows);
    cpuu_buf_free(&in);
    cpuu_buf_free(&out);
    return (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
}

/* Ten times the rows may take ten times as long, not a hundred times. */
START_TEST(five_thousand_rows)
{
    double small = seconds(500), large = seconds(5000);
    printf("t-nickname: 500 rows %.1f ms, 5000 rows %.1f ms\n", small * 1e3, large * 1e3);
    ck_assert_msg(large < 40 * small + 0.05, "%f %f", small, large);
}
END_TEST

/* ---- errors -----------------------------------------------------------------------------------
 */

START_TEST(what_is_refused)
{
    static const struct {
        uint32_t at; /* 32-bit word to overwrite */
        uint32_t word;
        uint32_t offset;
        const char *field;
    } bad[] = {
        {12, 0x7fffffff, 16, "row count"},
        {16, 0x7fffffff, 20, "property count"},
        {20, 0x6001000d, 20, "property tag"},
        {36, 0x7fffffff, 40, "value"},
    };
    cpuu_buf in;
    cpuu_nick_stream st;
    cpuu_fmt_error err;
    build(&in, 1);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint32_t old = cpuu_le32(in.data + bad[i].at);
        cpuu_buf_put_u32(&in, bad[i].at, bad[i].word);
        ck_assert(!cpuu_nick_open(blob_of(&in), &st, &err));
        ck_assert_str_eq(err.field, bad[i].field);
        ck_assert_uint_eq(err.offset, bad[i].offset);
        cpuu_buf_put_u32(&in, bad[i].at, old);
    }
    ck_assert(cpuu_nick_open(blob_of(&in), &st, &err));
    cpuu_buf_u8(&in, 0x55); /* bytes after the end are carried through */
    laws_identity(blob_of(&in), cpuu_nick_rewrite);
    cpuu_buf_free(&in);
    cpuu_nick_prop p;
    memset(&p, 0, sizeof(p));
    p.tag = CPUU_NICK_WEIGHT;
    p.value = (cpuu_blob){(const uint8_t *)"12", 2}; /* of the wrong size */
    cpuu_buf_init(&in, 100);
    ck_assert(!cpuu_nick_prop_write(&in, &p));
    cpuu_buf_free(&in);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("nickname");
    TCase *c = tcase_create("nickname");
    tcase_set_timeout(c, 120);
    tcase_add_test(c, sample_of_outlook);
    tcase_add_test(c, offsets_of_every_property);
    tcase_add_test(c, nk2_file);
    tcase_add_test(c, a_person_moves);
    tcase_add_test(c, two_addresses_in_one_row);
    tcase_add_test(c, five_thousand_rows);
    tcase_add_test(c, what_is_refused);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
