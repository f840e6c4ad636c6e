#include "laws.h"
#include "render.h"

#include <cpuu/formats/searchfolder.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- independent samples ----------------------------------------------------------------------
 */

static void render_length(text *t, const char *name, cpuu_blob b, bool wide)
{
    char key[64];
    snprintf(key, sizeof(key), "%s Length", name);
    text_line(t, "%s = 0x%02X", key, wide ? 0xff : b.size / 2);
    if (wide)
        text_line(t, "%s Extended = 0x%04X", key, b.size / 2);
    if (b.size == 0)
        return;
    cpuu_buf utf8;
    cpuu_buf_init(&utf8, 4096);
    cpuu_buf_utf8_from_utf16(&utf8, b.data, b.size);
    text_line(t, "%s", name);
    text_line(t, "%.*s", (int)utf8.size, (const char *)utf8.data);
    cpuu_buf_free(&utf8);
}

static void render_skip(text *t, int n, cpuu_blob b)
{
    text_line(t, "SkipLen%d = 0x%08X", n, b.size);
    if (b.size) {
        text_line(t, "SkipBytes%d", n);
        text_hex(t, b.data, b.size);
    }
}

static void render_folders(text *t, cpuu_blob in)
{
    cpuu_entry_list list;
    cpuu_blob eid;
    uint32_t pad;
    text_line(t, "Folder List 2 Length = 0x%08X", in.size);
    text_line(t, "Folder List2");
    text_line(t, "Entry List");
    ck_assert(cpuu_entry_list_open(in, &list, NULL));
    text_line(t, "EntryCount = 0x%08X", list.n);
    text_line(t, "Pad = 0x%08X", list.pad);
    for (uint32_t i = 0; cpuu_entry_list_next(&list, &eid, &pad); i++) {
        text_line(t, "EntryId[%u]", i);
        text_line(t, "EntryLength = 0x%08X", eid.size);
        text_line(t, "EntryLengthPad = 0x%08X", pad);
        render_eid(t, eid);
    }
}

static bool search_restriction(text *t, cpuu_blob b)
{
    cpuu_reader r;
    cpuu_reader_init(&r, b.data, b.size);
    return render_restriction(t, &r, CPUU_FORM_SEARCH);
}

static void check_sample(const sample *s)
{
    cpuu_search_folder sf;
    cpuu_fmt_error err;
    cpuu_buf out;
    text t;
    ck_assert_msg(cpuu_search_folder_decode(s->bytes, &sf, &err), "%s %s", err.field, err.what);
    text_init(&t);
    text_line(&t, "Search Folder Definition");
    text_line(&t, "Version = 0x%08X", sf.version);
    text_line(&t, "Flags = 0x%08X", sf.flags);
    text_line(&t, "Numeric Search = 0x%08X", sf.number);
    render_length(&t, "Text Search", sf.text, sf.text_wide);
    render_skip(&t, 1, sf.skip1);
    text_line(&t, "Deep Search = 0x%08X", sf.deep);
    render_length(&t, "Folder List 1", sf.folder_names, sf.names_wide);
    render_folders(&t, sf.folders);
    render_skip(&t, 2, sf.skip2);
    if (sf.flags & CPUU_SF_RESTRICTION)
        ck_assert(search_restriction(&t, sf.restriction));
    if (sf.flags & CPUU_SF_FILTER) {
        text_line(&t, "AdvancedSearchLen = 0x%08X", sf.filter.size);
        text_line(&t, "AdvancedSearchBytes");
        text_hex(&t, sf.filter.data, sf.filter.size);
    }
    ck_assert(sf.has_skip3);
    render_skip(&t, 3, sf.skip3);
    ck_assert_uint_eq(sf.rest.size, 0);
    sample_compare(s, text_get(&t));
    text_free(&t);
    cpuu_buf_init(&out, s->bytes.size);
    ck_assert(cpuu_search_folder_encode(&out, &sf));
    same_bytes(s->bytes, &out, s->name);
    cpuu_buf_free(&out);
    laws_identity(s->bytes, cpuu_search_folder_rewrite);
}

START_TEST(samples_of_outlook)
{
    int n = samples_each("SEARCHFOLDERDEFINITION", check_sample);
    ck_assert(n == -1 || n == 4);
}
END_TEST

/* The definition printed in [MS-OXOSRCH] 4.1, as far as it was available: cut off, so an error. */
START_TEST(cut_off_sample)
{
    sample s;
    cpuu_search_folder sf;
    cpuu_fmt_error err;
    if (!sample_load("worked/oxosrch-4.1-PARTIAL-prefix.bin", &s))
        return;
    ck_assert(!cpuu_search_folder_decode(s.bytes, &sf, &err));
    ck_assert_str_eq(err.what, "runs past the end");
    ck_assert_uint_gt(err.offset, 240); /* everything before the cut is understood */
    sample_free(&s);
}
END_TEST

typedef struct seen {
    uint32_t kinds[16];
    uint32_t sizes[16];
    unsigned n;
    int grow; /* answer with so many bytes more; INT_MIN: keep */
} seen;

static bool record(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    seen *x = user;
    ck_assert_uint_lt(x->n, 16);
    x->kinds[x->n] = kind;
    x->sizes[x->n++] = in.size;
    if (x->grow < -100)
        return false;
    if (kind == CPUU_LINK_NAMED_TAG) {
        cpuu_buf_u16(out, cpuu_le16(in.data));
        return cpuu_buf_u16(out, 0x8123);
    }
    if (kind == CPUU_LINK_EID && x->n > 1) /* a person */
        return cpuu_eid_build_ab(out, x->grow < 0 ? "/o=N" : "/o=New/cn=a person with a long name",
                                 CPUU_AB_LIST);
    cpuu_buf_add(out, in.data, in.size);
    return cpuu_buf_fill(out, 0, (size_t)(x->grow > 0 ? x->grow : 0));
}

/* The filter stream of the sample: 4 EntryIDs of 115 bytes in two lists, 0xf8 bytes each. */
START_TEST(filter_stream)
{
    sample s;
    cpuu_search_folder sf;
    cpuu_filter_list list;
    if (!sample_load("open/SEARCHFOLDERDEFINITION-3.bin", &s))
        return;
    ck_assert(cpuu_search_folder_decode(s.bytes, &sf, NULL));
    ck_assert(cpuu_filter_list_find(sf.filter, 0, &list));
    ck_assert_uint_eq(sf.filter_at + list.offset, 0xa2);
    ck_assert_uint_eq(list.size, 0xf8 + 4);
    ck_assert_uint_eq(list.list.n, 2);
    ck_assert(cpuu_filter_list_find(sf.filter, list.offset + list.size, &list));
    ck_assert_uint_eq(sf.filter_at + list.offset, 0x1d3);
    ck_assert(!cpuu_filter_list_find(sf.filter, list.offset + list.size, &list));
    for (int grow = -1; grow <= 1; grow++) {
        seen x = {.grow = grow};
        cpuu_buf out;
        cpuu_search_folder now;
        cpuu_buf_init(&out, 1u << 16);
        ck_assert(cpuu_search_folder_rewrite(s.bytes, record, &x, &out, NULL, NULL));
        ck_assert_uint_eq(x.n, 5);
        ck_assert_uint_eq(x.sizes[0], 46);
        ck_assert_uint_eq(x.sizes[4], 115);
        ck_assert(cpuu_search_folder_decode(blob_of(&out), &now, NULL));
        ck_assert_uint_eq(cpuu_le32(now.filter.data), now.filter.size - 8);
        uint32_t at = 0, lists = 0;
        while (cpuu_filter_list_find(now.filter, at, &list)) {
            cpuu_blob eid;
            cpuu_eid e;
            ck_assert_uint_eq(list.list.n, 2);
            while (cpuu_flat_list_next(&list.list, &eid)) {
                ck_assert(cpuu_eid_decode(eid, &e, NULL) && e.kind == CPUU_EID_AB);
                ck_assert(memcmp(e.u.ab.dn.data, "/o=N", 4) == 0);
            }
            at = list.offset + list.size;
            lists++;
        }
        ck_assert_uint_eq(lists, 2);
        /* what follows the lists is untouched */
        ck_assert(memcmp(now.filter.data + now.filter.size - 100,
                         sf.filter.data + sf.filter.size - 100, 100) == 0);
        cpuu_buf_free(&out);
    }
    sample_free(&s);
}
END_TEST

START_TEST(filter_stream_with_an_unknown_head)
{
    sample s;
    cpuu_search_folder sf;
    cpuu_fmt_error err;
    if (!sample_load("open/SEARCHFOLDERDEFINITION-3.bin", &s))
        return;
    ck_assert(cpuu_search_folder_decode(s.bytes, &sf, NULL));
    ((uint8_t *)s.bytes.data)[sf.filter_at] ^= 1;
    seen x = {.grow = 1};
    cpuu_buf out;
    cpuu_buf_init(&out, 1u << 16);
    ck_assert(!cpuu_search_folder_rewrite(s.bytes, record, &x, &out, NULL, &err));
    ck_assert_str_eq(err.field, "AdvancedSearch");
    ck_assert_uint_eq(err.offset, sf.filter_at);
    cpuu_buf_free(&out);
    sample_free(&s);
}
END_TEST

START_TEST(named_tag_of_a_sample)
{
    sample s;
    if (!sample_load("open/SEARCHFOLDERDEFINITION-4.bin", &s))
        return;
    seen x = {.grow = 0};
    cpuu_buf out;
    cpuu_search_folder sf;
    cpuu_buf_init(&out, 1u << 16);
    ck_assert(cpuu_search_folder_rewrite(s.bytes, record, &x, &out, NULL, NULL));
    ck_assert_uint_eq(x.n, 2);
    ck_assert_uint_eq(x.kinds[0], CPUU_LINK_EID);
    ck_assert_uint_eq(x.kinds[1], CPUU_LINK_NAMED_TAG);
    ck_assert(cpuu_search_folder_decode(blob_of(&out), &sf, NULL));
    ck_assert_uint_eq(cpuu_le32(sf.restriction.data + 4), 0x8123101f);
    cpuu_buf_free(&out);
    sample_free(&s);
}
END_TEST

/* ---- documented only: address list, skip blocks ------------------------------------------------
 */

static const uint8_t folder[46] = {0, 0, 0, 0, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 1};

/* Bytes by hand from [MS-OXOSRCH] 2.2.1.2.8. */
static void build(cpuu_buf *out, uint32_t flags)
{
    static const uint8_t address[] = {
        1,    0,   0,    0,                            /* AddressCount */
        3,    0,   0,    0,    0xde, 0xad, 0xbe, 0xef, /* properties, pad */
        0x1f, 0,   0x03, 0x30, 14,   0,    'j',  0,    '@',  0,    'o', 0,   '.', 0,   'e', 0,
        'u',  0,   0,    0,    0x02, 0x01, 0x0b, 0x30, 12,   0,    'S', 'M', 'T', 'P', ':', 'J',
        '@',  'O', '.',  'E',  'U',  0,    0x03, 0,    0xfe, 0x0f, 6,   0,   0,   0};
    static const uint8_t restriction[] = {4,    0, 0,    0, 4,    0, 0, 0, 0x03, 0,
                                          0x17, 0, 0x03, 0, 0x17, 0, 2, 0, 0,    0};
    cpuu_blob eid = {folder, sizeof(folder)};
    cpuu_buf_init(out, 1u << 16);
    cpuu_buf_u32(out, 0x1004);
    cpuu_buf_u32(out, flags);
    cpuu_buf_u32(out, 5);
    cpuu_buf_u8(out, 1);
    cpuu_buf_u16(out, 'x');
    cpuu_buf_u32(out, 3);
    cpuu_buf_add(out, "abc", 3);
    cpuu_buf_u32(out, 1);
    cpuu_buf_u8(out, 0);
    cpuu_buf_u32(out, 8 + 8 + sizeof(folder));
    cpuu_entry_list_write(out, 0x77777777, &eid, NULL, 1);
    if (flags & CPUU_SF_ADDRESSES)
        cpuu_buf_add(out, address, sizeof(address));
    cpuu_buf_u32(out, 2);
    cpuu_buf_add(out, "de", 2);
    if (flags & CPUU_SF_RESTRICTION)
        cpuu_buf_add(out, restriction, sizeof(restriction));
    if (flags & CPUU_SF_FILTER)
        cpuu_buf_add(out, "opaque filter stream", 20);
    cpuu_buf_u32(out, flags & CPUU_SF_FILTER ? 0 : 4);
    if (!(flags & CPUU_SF_FILTER))
        cpuu_buf_add(out, "last", 4);
}

START_TEST(every_part)
{
    for (uint32_t flags = 0; flags < 0x20; flags += 4) {
        cpuu_buf in, out;
        cpuu_search_folder sf;
        build(&in, flags | CPUU_SF_FOLDERS);
        ck_assert(cpuu_search_folder_decode(blob_of(&in), &sf, NULL));
        ck_assert(sf.skip1.size == 3 && sf.skip2.size == 2 && sf.text.size == 2);
        ck_assert_uint_eq(sf.n_addresses, flags & CPUU_SF_ADDRESSES ? 1 : 0);
        ck_assert_uint_eq(sf.restriction.size, flags & CPUU_SF_RESTRICTION ? 20 : 0);
        ck_assert_uint_eq(sf.filter.size, flags & CPUU_SF_FILTER ? 20 : 0);
        cpuu_buf_init(&out, 1u << 16);
        ck_assert(cpuu_search_folder_encode(&out, &sf));
        same_bytes(blob_of(&in), &out, "definition");
        cpuu_buf_free(&out);
        laws_identity(blob_of(&in), cpuu_search_folder_rewrite);
        ck_assert_uint_eq(laws_relayout(blob_of(&in), cpuu_search_folder_rewrite),
                          flags & CPUU_SF_ADDRESSES ? 3 : 1);
        cpuu_buf_free(&in);
    }
}
END_TEST

START_TEST(address_rows)
{
    seen x = {.grow = 2};
    cpuu_buf in, out;
    cpuu_search_folder sf;
    build(&in, CPUU_SF_ADDRESSES | CPUU_SF_RESTRICTION);
    cpuu_buf_init(&out, 1u << 16);
    ck_assert(cpuu_search_folder_rewrite(blob_of(&in), record, &x, &out, NULL, NULL));
    ck_assert_uint_eq(x.n, 3);
    ck_assert_uint_eq(x.kinds[1], CPUU_LINK_SMTP);
    ck_assert_uint_eq(x.kinds[2], CPUU_LINK_SEARCH_KEY);
    ck_assert(cpuu_search_folder_decode(blob_of(&out), &sf, NULL));
    ck_assert_uint_eq(cpuu_le32(sf.addresses.data + 4), 0xefbeadde); /* the pad */
    ck_assert(sf.restriction.size == 20 && sf.skip3.size == 4);
    cpuu_buf_free(&in);
    cpuu_buf_free(&out);
}
END_TEST

START_TEST(what_is_refused)
{
    cpuu_buf in;
    cpuu_search_folder sf;
    cpuu_fmt_error err;
    build(&in, CPUU_SF_ADDRESSES);
    cpuu_buf_put_u32(&in, 0, 0x1005);
    ck_assert(!cpuu_search_folder_decode(blob_of(&in), &sf, &err));
    ck_assert_str_eq(err.field, "Version");
    ck_assert_uint_eq(err.offset, 0);
    cpuu_buf_put_u32(&in, 0, 0x1004);
    ck_assert(cpuu_search_folder_decode(blob_of(&in), &sf, &err));
    uint32_t count = sf.addresses_at - 4, list = sf.folders_at;
    cpuu_buf_put_u32(&in, count, 0x10000000);
    ck_assert(!cpuu_search_folder_decode(blob_of(&in), &sf, &err));
    ck_assert_str_eq(err.field, "AddressCount");
    cpuu_buf_put_u32(&in, count, 1);
    cpuu_buf_put_u32(&in, list, 99);
    ck_assert(!cpuu_search_folder_decode(blob_of(&in), &sf, &err));
    ck_assert_str_eq(err.field, "EntryCount");
    ck_assert_uint_eq(err.offset, list + 8);
    cpuu_buf_free(&in);
    /* a text that does not fit its length field */
    cpuu_search_folder big;
    static uint8_t chars[600];
    memset(&big, 0, sizeof(big));
    big.text = (cpuu_blob){chars, 510};
    cpuu_buf_init(&in, 4096);
    ck_assert(!cpuu_search_folder_encode(&in, &big));
    cpuu_buf_reset(&in);
    big.text_wide = true;
    ck_assert(cpuu_search_folder_encode(&in, &big));
    cpuu_buf_free(&in);
}
END_TEST

/* Without the zero length behind it, all that is left belongs to the filter stream. */
START_TEST(filter_stream_without_an_end)
{
    cpuu_buf in, out;
    cpuu_search_folder sf;
    build(&in, CPUU_SF_FILTER);
    cpuu_buf_put_u32(&in, in.size - 4, 0x01010101);
    ck_assert(cpuu_search_folder_decode(blob_of(&in), &sf, NULL));
    ck_assert(!sf.has_skip3);
    ck_assert_uint_eq(sf.filter.size, 24);
    cpuu_buf_init(&out, 4096);
    ck_assert(cpuu_search_folder_encode(&out, &sf));
    same_bytes(blob_of(&in), &out, "definition");
    cpuu_buf_free(&out);
    laws_identity(blob_of(&in), cpuu_search_folder_rewrite);
    cpuu_buf_free(&in);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("searchfolder");
    TCase *c = tcase_create("searchfolder");
    tcase_set_timeout(c, 120);
    tcase_add_test(c, samples_of_outlook);
    tcase_add_test(c, cut_off_sample);
    tcase_add_test(c, filter_stream);
    tcase_add_test(c, filter_stream_with_an_unknown_head);
    tcase_add_test(c, named_tag_of_a_sample);
    tcase_add_test(c, every_part);
    tcase_add_test(c, address_rows);
    tcase_add_test(c, what_is_refused);
    tcase_add_test(c, filter_stream_without_an_end);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
