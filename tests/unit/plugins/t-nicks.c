/* The pure half of plugins/nicks on lists written by Outlook, and on lists made here. */
#include "nicks/nicks.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "../oracle.h"

#define STREAM "mapi-blobs/open/NICKNAMECACHE-2.bin"
#define NK2    "profiles/nk2/plaso_Outlook.NK2"

static uint8_t *load(const char *relative, uint32_t *size)
{
    static uint8_t bytes[2][65536];
    static int turn;
    const char *path = oracle_path("t-nicks", relative);
    if (!path)
        return NULL;
    FILE *f = fopen(path, "rb");
    ck_assert_ptr_nonnull(f);
    turn = !turn;
    *size = (uint32_t)fread(bytes[turn], 1, sizeof(bytes[turn]), f);
    fclose(f);
    ck_assert_uint_lt(*size, sizeof(bytes[turn]));
    return bytes[turn];
}

static nick_list opened(cpuu_blob in)
{
    nick_list l;
    cpuu_fmt_error err;
    ck_assert_int_eq(nick_list_open(in, &l, &err), CPUU_OK);
    return l;
}

/* Gives every link that outcome; REWRITTEN ones get `dn`, in the form of their kind. */
static void answer(kit_links *links, uint32_t outcome, const char *dn, cpuu_buf bufs[])
{
    for (uint32_t i = 0; i < links->count; i++) {
        cpuu_link *k = &links->items[i];
        k->outcome = outcome;
        k->out = k->in;
        if (outcome != CPUU_REWRITTEN)
            continue;
        cpuu_buf_init(&bufs[i], 4096);
        if (k->kind == CPUU_LINK_EID)
            cpuu_eid_build_ab(&bufs[i], dn, CPUU_AB_USER);
        else if (k->kind == CPUU_LINK_SEARCH_KEY)
            cpuu_search_key_build(&bufs[i], "EX", dn);
        else
            cpuu_buf_add(&bufs[i], k->kind == CPUU_LINK_SMTP ? "a@b" : dn,
                         k->kind == CPUU_LINK_SMTP ? 3 : strlen(dn));
        k->out = (cpuu_blob){bufs[i].data, (uint32_t)bufs[i].size};
    }
}

static void check_same(cpuu_blob in)
{
    nick_list l = opened(in);
    kit_links links = {0};
    cpuu_buf out;
    cpuu_buf_init(&out, NICK_MAX);
    nick_list_links(&l, &links);
    answer(&links, CPUU_KEPT, "", NULL);
    nick_list_settle(&l, &links);
    ck_assert(!l.changed);
    ck_assert(nick_list_compare(&l, &l, &links));
    ck_assert_uint_eq(l.n_add, 0);
    ck_assert(nick_list_write(&l, &l, &links, &out));
    ck_assert_uint_eq(out.size, in.size);
    ck_assert_int_eq(memcmp(out.data, in.data, in.size), 0);
    cpuu_buf_free(&out);
    kit_links_free(&links);
    nick_list_free(&l);
}

START_TEST(lists_of_outlook_come_back_byte_for_byte)
{
    const char *const files[] = {STREAM, NK2};
    for (int i = 0; i < 2; i++) {
        uint32_t size;
        uint8_t *bytes = load(files[i], &size);
        if (bytes)
            check_same((cpuu_blob){bytes, size});
    }
}
END_TEST

/* All 5 + 2 rows, by weight, and nothing twice. */
START_TEST(two_lists_of_outlook_merge_by_weight)
{
    uint32_t sizes[2];
    uint8_t *a = load(STREAM, &sizes[0]), *b = load(NK2, &sizes[1]);
    if (!a || !b)
        return;
    nick_list into = opened((cpuu_blob){a, sizes[0]}), from = opened((cpuu_blob){b, sizes[1]});
    kit_links links = {0};
    cpuu_buf out;
    cpuu_buf_init(&out, NICK_MAX);
    nick_list_links(&from, &links);
    nick_list_links(&into, &links);
    answer(&links, CPUU_KEPT, "", NULL);
    ck_assert(nick_list_compare(&from, &into, &links));
    ck_assert_uint_eq(from.n_add, 5);
    ck_assert(nick_list_write(&into, &from, &links, &out));
    ck_assert_uint_eq(out.size, sizes[0] + sizes[1] - 4 * 4 - 4 - 8 - from.stream.extra.size);
    nick_list both = opened((cpuu_blob){out.data, (uint32_t)out.size});
    ck_assert_uint_eq(both.stream.n_rows, 7);
    uint32_t last = UINT32_MAX;
    for (uint32_t i = 0; i < 7; i++) {
        cpuu_nick_row row = both.rows[i].at;
        cpuu_nick_prop p;
        while (cpuu_nick_prop_next(&row, &p)) {
            if (p.tag != CPUU_NICK_WEIGHT)
                continue;
            ck_assert_uint_le(cpuu_le32(p.value.data), last);
            last = cpuu_le32(p.value.data);
        }
    }
    cpuu_buf_free(&out);
    kit_links_free(&links);
    nick_list_free(&both);
    nick_list_free(&into);
    nick_list_free(&from);
}
END_TEST

/* ---- one row of a person in the address book ------------------------------------------------------ */

static void put(cpuu_buf *b, uint32_t tag, const void *data, size_t n)
{
    cpuu_buf_u32(b, tag);
    cpuu_buf_u32(b, 0x11223344);
    cpuu_buf_u64(b, 0x5566778899AABBCC);
    cpuu_buf_u32(b, (uint32_t)n);
    cpuu_buf_add(b, data, n);
}

static void put_text(cpuu_buf *b, uint32_t tag, const char *text)
{
    cpuu_buf v;
    cpuu_buf_init(&v, 4096);
    cpuu_buf_utf16(&v, text, true);
    put(b, tag, v.data, v.size);
    cpuu_buf_free(&v);
}

static void make_list(cpuu_buf *b, const char *dn, const char *smtp)
{
    cpuu_buf eid, key;
    cpuu_buf_init(b, 65536);
    cpuu_buf_init(&eid, 4096);
    cpuu_buf_init(&key, 4096);
    cpuu_eid_build_ab(&eid, dn, CPUU_AB_USER);
    cpuu_search_key_build(&key, "EX", dn);
    cpuu_buf_u32(b, 0xBAADF00D);
    cpuu_buf_u32(b, 12);
    cpuu_buf_u32(b, 1);
    cpuu_buf_u32(b, 1);
    cpuu_buf_u32(b, 8);
    put_text(b, CPUU_NICK_KEY, "bob");
    put_text(b, 0x3003001F, dn);
    put_text(b, 0x3002001F, "EX");
    put_text(b, 0x39FE001F, smtp);
    put(b, 0x0FFF0102, eid.data, eid.size);
    put(b, 0x0FF90102, eid.data, eid.size);
    put(b, 0x5FF70102, eid.data, eid.size);
    put(b, 0x300B0102, key.data, key.size);
    cpuu_buf_u32(b, 3);
    cpuu_buf_add(b, "abc", 3);
    cpuu_buf_u64(b, 42);
    cpuu_buf_free(&eid);
    cpuu_buf_free(&key);
}

/* What a list with another person in it, made from scratch, looks like: every form of the identity. */
START_TEST(all_forms_of_an_identity_change_together)
{
    cpuu_buf in, want, out, bufs[16];
    kit_links links = {0};
    make_list(&in, "/o=S/cn=bob", "bob@source.test");
    make_list(&want, "/o=Target/ou=Longer/cn=bob", "a@b");
    nick_list l = opened((cpuu_blob){in.data, (uint32_t)in.size});
    nick_list_links(&l, &links);
    ck_assert_uint_eq(links.count, 6);
    for (uint32_t i = 0; i < 6; i++)
        ck_assert_str_eq(links.items[i].smtp, "bob@source.test");
    answer(&links, CPUU_REWRITTEN, "/o=Target/ou=Longer/cn=bob", bufs);
    nick_list_settle(&l, &links);
    ck_assert(l.changed);
    cpuu_buf_init(&out, NICK_MAX);
    ck_assert(nick_list_write(&l, NULL, &links, &out));
    ck_assert_uint_eq(out.size, want.size);
    ck_assert_int_eq(memcmp(out.data, want.data, want.size), 0);

    links.items[3].outcome = CPUU_KEPT; /* one form has no place: the row stays as it is */
    l.changed = false;
    nick_list_settle(&l, &links);
    ck_assert(!l.changed);
    cpuu_buf_reset(&out);
    ck_assert(nick_list_write(&l, NULL, &links, &out));
    ck_assert(out.size == in.size && memcmp(out.data, in.data, in.size) == 0);
    for (uint32_t i = 0; i < 6; i++)
        cpuu_buf_free(&bufs[i]);
    cpuu_buf_free(&in);
    cpuu_buf_free(&want);
    cpuu_buf_free(&out);
    kit_links_free(&links);
    nick_list_free(&l);
}
END_TEST

START_TEST(cut_lists_are_refused)
{
    cpuu_buf in;
    nick_list l;
    cpuu_fmt_error err;
    make_list(&in, "/o=S/cn=bob", "bob@source.test");
    for (uint32_t n = 0; n < in.size; n++) {
        uint8_t *copy = malloc(n ? n : 1);
        memcpy(copy, in.data, n);
        ck_assert_int_eq(nick_list_open((cpuu_blob){copy, n}, &l, &err), CPUU_E_FORMAT);
        free(copy);
    }
    cpuu_buf_free(&in);
}
END_TEST

static long allowed;
static void *limited(void *p, size_t n)
{
    return allowed-- > 0 ? realloc(p, n) : NULL;
}

START_TEST(out_of_memory_is_told_and_leaks_nothing)
{
    cpuu_buf in;
    cpuu_fmt_error err;
    make_list(&in, "/o=S/cn=bob", "bob@source.test");
    void *(*real)(void *, size_t) = cpuu_fmt_realloc;
    bool done = false;
    for (long limit = 0; limit < 100 && !done; limit++) {
        nick_list l = {0};
        kit_links links = {0};
        allowed = limit;
        cpuu_fmt_realloc = limited;
        cpuu_rc rc = nick_list_open((cpuu_blob){in.data, (uint32_t)in.size}, &l, &err);
        if (rc == CPUU_OK) {
            nick_list_links(&l, &links);
            done = !links.failed && nick_list_compare(&l, &l, &links);
        } else {
            ck_assert_int_eq(rc, CPUU_E_NOMEM);
        }
        cpuu_fmt_realloc = real;
        kit_links_free(&links);
        nick_list_free(&l);
    }
    ck_assert(done);
    cpuu_buf_free(&in);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("nicks");
    TCase *c = tcase_create("list");
    tcase_add_test(c, lists_of_outlook_come_back_byte_for_byte);
    tcase_add_test(c, two_lists_of_outlook_merge_by_weight);
    tcase_add_test(c, all_forms_of_an_identity_change_together);
    tcase_add_test(c, cut_lists_are_refused);
    tcase_add_test(c, out_of_memory_is_told_and_leaks_nothing);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
