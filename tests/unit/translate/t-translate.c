#include "translate/foldermap.h"
#include "translate/mapping.h"

#include <check.h>
#include <string.h>

static const char good[] =
    "\xef\xbb\xbfsource_smtp,source_dn,target_smtp,target_dn,display_name,office365,migrated\r\n"
    "Bob@old.test,/o=Old/cn=bob,bob@new.test,/o=New/cn=bob2,\"Brown, Bob \"\"B\"\"\",1,yes\r\n"
    "carol@old.test,,,,Carol,,0\n"
    "\n"
    ",/o=Old/cn=dan,dan@new.test,,Dan,,\n";

START_TEST(mapping_finds_people_by_either_identity)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_mapping *m = NULL;
    ck_assert_msg(cpuu_mapping_parse(good, sizeof(good) - 1, "map.csv", &m, &err) == CPUU_OK,
                  "%s", err.text);
    ck_assert_uint_eq(cpuu_mapping_count(m), 3);
    const cpuu_mapping_row *bob = cpuu_mapping_find(m, "BOB@OLD.TEST", NULL);
    ck_assert_ptr_nonnull(bob);
    ck_assert_str_eq(bob->display_name, "Brown, Bob \"B\"");
    ck_assert_int_eq(bob->migrated, 1);
    ck_assert_int_eq(bob->office365, 1);
    ck_assert_ptr_eq(cpuu_mapping_find(m, NULL, "/O=OLD/CN=BOB"), bob);
    const cpuu_mapping_row *carol = cpuu_mapping_find(m, "carol@old.test", "/o=Old/cn=nobody");
    ck_assert_ptr_nonnull(carol);
    ck_assert_int_eq(carol->migrated, 0);
    ck_assert_int_eq(carol->office365, -1);
    ck_assert_int_eq(cpuu_mapping_find(m, NULL, "/o=old/cn=dan")->migrated, 1);
    ck_assert_ptr_null(cpuu_mapping_find(m, "zoe@old.test", NULL));
    cpuu_mapping_free(m);
}
END_TEST

static const struct {
    const char *text, *message;
} bad[] = {
    {"", "map.csv: the file has no header line"},
    {"source_smtp,colour\n", "map.csv:1: unknown column 'colour'"},
    {"source_smtp,source_smtp\n", "map.csv:1: column 'source_smtp' appears twice"},
    {"source_smtp,target_smtp\na@b\n", "map.csv:2: 1 columns, the header has 2"},
    {"source_smtp,target_smtp\n\"a@b,c@d\n", "map.csv:2: a quote is not closed"},
    {"source_smtp,target_smtp\n\"a@b\"x,c@d\n", "map.csv:2: text follows a closing quote"},
    {"source_smtp,target_smtp\na@b,c@d\ne@f,\nA@B,z@z\n", "map.csv:4: line 2 is about the same"},
    {"source_smtp,migrated\na@b,1\n", "map.csv:2: the row says migrated but names neither"},
    {"source_smtp,migrated\na@b,maybe\n", "map.csv:2: column migrated holds 'maybe'"},
    {"target_smtp\na@b\n", "map.csv:2: neither source_smtp nor source_dn is given"},
    {"source_smtp,target_smtp\na@b,nobody\n", "map.csv:2: column target_smtp holds 'nobody', which is"},
    {"source_smtp,target_smtp\na@b,\"c@d \"\n", "map.csv:2: column target_smtp holds 'c@d '"},
    {"source_smtp,target_dn\na@b,cn=c\n", "map.csv:2: column target_dn holds 'cn=c', which is not a"},
    {"source_dn,target_smtp\nxx,c@d\n", "map.csv:2: column source_dn holds 'xx'"},
    {"source_smtp,target_smtp,display_name\na@b,c@d,\"C\nD\"\n", "map.csv:2: column display_name"},
    {"source_smtp\n\xff\n", "map.csv: the mapping file is not UTF-8 text"},
};

START_TEST(mapping_errors_name_the_line)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_mapping *m = NULL;
    ck_assert_int_ne(cpuu_mapping_parse(bad[_i].text, strlen(bad[_i].text), "map.csv", &m, &err),
                     CPUU_OK);
    ck_assert_ptr_null(m);
    ck_assert_msg(strncmp(err.text, bad[_i].message, strlen(bad[_i].message)) == 0, "%s", err.text);
}
END_TEST

/* ---- folder map ------------------------------------------------------------------------------ */

static void add(cpuu_folder_list *l, uint8_t id, uint8_t parent, const char *name,
                const char *klass, uint32_t role)
{
    cpuu_folder f = {.eid = {&id, 1}, .parent = {&parent, 1}, .name = name, .klass = klass,
                     .role = role};
    ck_assert_int_eq(cpuu_folder_list_add(l, &f), CPUU_OK);
}

static cpuu_folder_match match(const cpuu_folder_list *s, const cpuu_folder_list *t, uint8_t id,
                               uint8_t *out)
{
    const cpuu_folder *f = NULL;
    cpuu_folder_match m = cpuu_folder_map(s, t, (cpuu_blob){&id, 1}, &f);
    *out = m == CPUU_MATCH_FOUND ? f->eid.data[0] : 0;
    return m;
}

START_TEST(folders_match_by_role_then_by_path)
{
    cpuu_folder_list s = {0}, t = {0};
    add(&s, 1, 1, "Top", "", CPUU_ROLE_IPM_SUBTREE);
    add(&s, 2, 1, "Posteingang", "IPF.Note", CPUU_ROLE_INBOX);
    add(&s, 3, 2, "Projekte", "IPF.Note", 0);
    add(&s, 4, 3, "Büro", "IPF.Note", 0);
    add(&s, 5, 1, "Team", "IPF.Contact", 0);
    add(&s, 6, 1, "Twin", "IPF.Note", 0);
    add(&s, 7, 3, "Gone", "IPF.Note", 0);
    add(&s, 9, 88, "Orphan", "", 0);
    add(&t, 101, 101, "Top of Information Store", "", CPUU_ROLE_IPM_SUBTREE);
    add(&t, 102, 101, "Inbox", "IPF.Note", CPUU_ROLE_INBOX);
    add(&t, 103, 102, "PROJEKTE", "IPF.Note", 0);
    add(&t, 104, 103, "BÜRO", "IPF.Note", 0);
    add(&t, 105, 101, "Team", "IPF.Note", 0);
    add(&t, 106, 101, "team", "IPF.Contact", 0);
    add(&t, 107, 101, "Twin", "IPF.Note", 0);
    add(&t, 108, 101, "Twin", "IPF.Note", 0);
    cpuu_folder_list_sort(&s);
    cpuu_folder_list_sort(&t);
    uint8_t id;
    ck_assert_int_eq(match(&s, &t, 2, &id), CPUU_MATCH_FOUND);
    ck_assert_uint_eq(id, 102);
    ck_assert_int_eq(match(&s, &t, 4, &id), CPUU_MATCH_FOUND);
    ck_assert_uint_eq(id, 104);
    ck_assert_int_eq(match(&s, &t, 5, &id), CPUU_MATCH_FOUND);
    ck_assert_uint_eq(id, 106);
    ck_assert_int_eq(match(&s, &t, 6, &id), CPUU_MATCH_AMBIGUOUS);
    ck_assert_int_eq(match(&s, &t, 7, &id), CPUU_MATCH_MISSING);
    ck_assert_int_eq(match(&s, &t, 9, &id), CPUU_MATCH_UNKNOWN);
    ck_assert_int_eq(match(&s, &t, 200, &id), CPUU_MATCH_UNKNOWN);
    char path[64];
    uint8_t four = 4;
    ck_assert(cpuu_folder_path(&s, cpuu_folder_find(&s, (cpuu_blob){&four, 1}), path, sizeof(path)));
    ck_assert_str_eq(path, "\\Posteingang\\Projekte\\Büro");
    cpuu_folder_list_free(&s);
    cpuu_folder_list_free(&t);
}
END_TEST

/* The place of a name that starts as another one does, and of one among many. */
START_TEST(a_folder_is_found_among_many_of_its_kind)
{
    cpuu_folder_list s = {0}, t = {0};
    uint8_t id;
    add(&s, 1, 1, "Top", "", CPUU_ROLE_IPM_SUBTREE);
    add(&t, 1, 1, "Top", "", CPUU_ROLE_IPM_SUBTREE);
    add(&t, 2, 1, "Inbox", "", CPUU_ROLE_INBOX);
    for (uint8_t i = 10; i < 250; i++) { /* the longer the name, the lower its number */
        char name[300];
        memset(name, i % 2 ? 'a' : 'A', sizeof(name));
        name[260 - i] = 0;
        add(&s, i, 1, name, "", 0);
        name[0] ^= 0x20;
        add(&t, i, 1, name, "", 0);
    }
    add(&s, 250, 1, "Inbox", "", 0); /* whose name at the target is that of a special folder */
    cpuu_folder_list_sort(&s);
    cpuu_folder_list_sort(&t);
    for (uint8_t i = 10; i < 250; i++) {
        ck_assert_int_eq(match(&s, &t, i, &id), CPUU_MATCH_FOUND);
        ck_assert_uint_eq(id, i);
    }
    ck_assert_int_eq(match(&s, &t, 250, &id), CPUU_MATCH_MISSING);
    cpuu_folder_list_free(&s);
    cpuu_folder_list_free(&t);
}
END_TEST

START_TEST(a_parent_cycle_ends)
{
    cpuu_folder_list s = {0}, t = {0};
    add(&s, 1, 2, "a", "", 0);
    add(&s, 2, 1, "b", "", 0);
    cpuu_folder_list_sort(&s);
    uint8_t id;
    char path[2048];
    ck_assert_int_eq(match(&s, &t, 1, &id), CPUU_MATCH_UNKNOWN);
    cpuu_folder_path(&s, &s.items[0], path, sizeof(path));
    cpuu_folder_list_free(&s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("translate");
    TCase *t = tcase_create("translate");
    tcase_add_test(t, mapping_finds_people_by_either_identity);
    tcase_add_loop_test(t, mapping_errors_name_the_line, 0, sizeof(bad) / sizeof(*bad));
    tcase_add_test(t, folders_match_by_role_then_by_path);
    tcase_add_test(t, a_folder_is_found_among_many_of_its_kind);
    tcase_add_test(t, a_parent_cycle_ends);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
