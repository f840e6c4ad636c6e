#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

START_TEST(error_context_is_added_in_front)
{
    cpuu_error err = CPUU_ERROR_INIT;
    ck_assert_int_eq(cpuu_fail(&err, CPUU_E_FORMAT, "bad\nbyte %d", 7), CPUU_E_FORMAT);
    ck_assert_int_eq(cpuu_wrap(&err, "reading '%s'", "x"), CPUU_E_FORMAT);
    ck_assert_str_eq(err.text, "reading 'x': bad byte 7");
}
END_TEST

START_TEST(a_long_message_is_cut_between_characters)
{
    cpuu_error err = CPUU_ERROR_INIT;
    char big[4000];
    for (size_t i = 0; i + 2 < sizeof(big); i += 2)
        memcpy(big + i, "\xc3\xa9", 3);
    cpuu_fail(&err, CPUU_E_FAILED, "%s", big);
    ck_assert(cpuu_utf8_valid(err.text, strlen(err.text)));
    cpuu_fail(&err, CPUU_E_FAILED, "x%s", big);
    ck_assert(cpuu_utf8_valid(err.text, strlen(err.text)));
}
END_TEST

START_TEST(a_reader_never_passes_its_end)
{
    static const uint8_t data[] = {1, 2, 3, 4, 5};
    cpuu_reader r;
    cpuu_reader_init(&r, data, sizeof(data));
    ck_assert_uint_eq(cpuu_read_u32(&r, "a"), 0x04030201);
    ck_assert_uint_eq(cpuu_read_u16(&r, "b"), 0);
    ck_assert(r.failed);
    ck_assert_uint_eq(r.error.offset, 4);
    ck_assert_str_eq(r.error.field, "b");
    ck_assert_uint_eq(cpuu_read_u8(&r, "c"), 0);
    ck_assert_uint_eq(cpuu_reader_left(&r), 0);
}
END_TEST

START_TEST(a_sub_reader_reports_offsets_of_the_whole)
{
    static const uint8_t data[] = {9, 9, 1, 2, 3};
    cpuu_reader r;
    cpuu_reader_init(&r, data, sizeof(data));
    cpuu_read_skip(&r, 2, "head");
    cpuu_reader sub = cpuu_reader_sub(&r, 3, "body");
    cpuu_read_u16(&sub, "x");
    cpuu_read_u32(&sub, "y");
    ck_assert(!cpuu_reader_join(&r, &sub));
    ck_assert_uint_eq(r.error.offset, 4);
    ck_assert_str_eq(r.error.field, "y");
}
END_TEST

START_TEST(a_buffer_stops_at_its_maximum)
{
    cpuu_buf b;
    cpuu_buf_init(&b, 6);
    ck_assert(cpuu_buf_u32(&b, 1));
    ck_assert(!cpuu_buf_u32(&b, 2));
    ck_assert(b.failed);
    ck_assert_uint_eq(b.size, 4);
    cpuu_buf_free(&b);
}
END_TEST

START_TEST(utf16_round_trip)
{
    static const char text[] = "Büro \xf0\x9f\x93\xa7 Юг";
    cpuu_buf wide, back;
    cpuu_buf_init(&wide, 1000);
    cpuu_buf_init(&back, 1000);
    ck_assert(cpuu_buf_utf16(&wide, text, false));
    ck_assert(cpuu_buf_utf8_from_utf16(&back, wide.data, (uint32_t)wide.size));
    ck_assert_uint_eq(back.size, strlen(text));
    ck_assert_int_eq(memcmp(back.data, text, back.size), 0);
    ck_assert(!cpuu_buf_utf16(&wide, "\xc3", false));
    cpuu_buf_free(&wide);
    cpuu_buf_free(&back);
}
END_TEST

START_TEST(guid_text_has_the_first_groups_swapped)
{
    /* MAPIUID of the address-book provider, as registry and GUID text. */
    uint8_t guid[16], back[16];
    char text[39];
    ck_assert(cpuu_unhex(guid, "dca740c8c042101ab4b908002b2fe182", 16));
    cpuu_guid_text(text, guid);
    ck_assert_str_eq(text, "{c840a7dc-42c0-1a10-b4b9-08002b2fe182}");
    ck_assert(cpuu_guid_parse(back, text));
    ck_assert_int_eq(memcmp(guid, back, 16), 0);
    ck_assert(!cpuu_guid_parse(back, "{c840a7dc-42c0-1a10-b4b9-08002b2fe18}"));
}
END_TEST

START_TEST(names_compare_without_case)
{
    ck_assert(cpuu_name_eq("BÜRO Łódź ЮГ", "büro łódŹ юг"));
    ck_assert(!cpuu_name_eq("Büro", "Buro"));
    ck_assert_uint_eq(cpuu_edit_distance("Favourites", "favorites"), 1);
}
END_TEST

START_TEST(a_file_is_replaced_whole_or_not_at_all)
{
    char dir[] = "/tmp/cpuu-t-base-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(dir));
    char *path = cpuu_path_join(dir, "f");
    char *link = cpuu_path_join(dir, "link");
    cpuu_error err = CPUU_ERROR_INIT;
    ck_assert_int_eq(cpuu_file_write(path, "one", 3, 0600, &err), CPUU_OK);
    ck_assert_int_eq(chmod(path, 0640), 0);
    ck_assert_int_eq(cpuu_file_write(path, "second", 6, 0600, &err), CPUU_OK);
    struct stat st;
    cpuu_buf b;
    cpuu_buf_init(&b, 100);
    ck_assert_int_eq(cpuu_file_read(path, &b, &st, &err), CPUU_OK);
    ck_assert_uint_eq(b.size, 6);
    ck_assert_int_eq(st.st_mode & 0777, 0640);
    ck_assert_int_eq(symlink(path, link), 0);
    ck_assert_int_eq(cpuu_file_write(link, "x", 1, 0600, &err), CPUU_E_UNSUPPORTED);
    ck_assert_int_eq(cpuu_file_read(link, &b, NULL, &err), CPUU_E_UNSUPPORTED);
    b.max = 5;
    b.size = 0;
    ck_assert_int_eq(cpuu_file_read(path, &b, NULL, &err), CPUU_E_TOOBIG);
    char *found;
    ck_assert_int_eq(cpuu_path_nocase(dir, "\\F", &found, &err), CPUU_OK);
    ck_assert_str_eq(found, path);
    cpuu_free(found);
    ck_assert_int_eq(cpuu_path_nocase(dir, "..\\f", &found, &err), CPUU_E_UNSUPPORTED);
    unlink(link);
    unlink(path);
    rmdir(dir);
    cpuu_buf_free(&b);
    cpuu_free(path);
    cpuu_free(link);
}
END_TEST

START_TEST(what_the_administrator_creates_is_the_users)
{
    char dir[] = "/tmp/cpuu-t-base-XXXXXX";
    cpuu_error err = CPUU_ERROR_INIT;
    struct stat st;
    if (geteuid() != 0) {
        puts("SKIP what_the_administrator_creates_is_the_users: only root can give files away");
        return;
    }
    ck_assert_ptr_nonnull(mkdtemp(dir));
    char *path = cpuu_path_join(dir, "f");
    ck_assert_int_eq(chown(dir, 12345, 23456), 0);
    ck_assert_msg(cpuu_file_write(path, "one", 3, 0600, &err) == CPUU_OK, "%s", err.text);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_uid, 12345);
    ck_assert_uint_eq(st.st_gid, 23456);
    ck_assert_int_eq(st.st_mode & 07777, 0600);
    ck_assert_int_eq(chown(path, 34567, 23456), 0); /* one that is there keeps its owner */
    ck_assert_int_eq(cpuu_file_write(path, "two", 3, 0600, &err), CPUU_OK);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_uid, 34567);
    unlink(path);
    rmdir(dir);
    cpuu_free(path);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base");
    TCase *t = tcase_create("base");
    tcase_add_test(t, error_context_is_added_in_front);
    tcase_add_test(t, a_long_message_is_cut_between_characters);
    tcase_add_test(t, a_reader_never_passes_its_end);
    tcase_add_test(t, a_sub_reader_reports_offsets_of_the_whole);
    tcase_add_test(t, a_buffer_stops_at_its_maximum);
    tcase_add_test(t, utf16_round_trip);
    tcase_add_test(t, guid_text_has_the_first_groups_swapped);
    tcase_add_test(t, names_compare_without_case);
    tcase_add_test(t, a_file_is_replaced_whole_or_not_at_all);
    tcase_add_test(t, what_the_administrator_creates_is_the_users);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
