/* Loading: what is refused, with which words, and in which order features come out. */
#include "features/features.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static void set_up(void)
{
    strcpy(dir, "/tmp/t-loader-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void tear_down(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    ck_assert_int_eq(system(command), 0);
}

/* Copies a mock of the build folder into the plugin folder. */
static void install(const char *mock)
{
    char command[512];
    snprintf(command, sizeof(command), "cp .libs/mock-%s.so '%s/' && chmod 755 '%s/mock-%s.so'",
             mock, dir, dir, mock);
    ck_assert_int_eq(system(command), 0);
}

static cpuu_plugins *load_ok(void)
{
    cpuu_plugins *p = NULL;
    cpuu_error err = CPUU_ERROR_INIT;
    ck_assert_msg(cpuu_plugins_load(dir, NULL, &p, &err) == CPUU_OK, "%s", err.text);
    return p;
}

static void refused(cpuu_rc rc, const char *words, const char *more)
{
    cpuu_plugins *p = NULL;
    cpuu_error err = CPUU_ERROR_INIT;
    ck_assert_int_eq(cpuu_plugins_load(dir, NULL, &p, &err), rc);
    ck_assert_ptr_null(p);
    ck_assert_msg(strstr(err.text, words) && strstr(err.text, more), "%s", err.text);
}

START_TEST(features_come_in_the_order_of_their_dependencies)
{
    install("good");
    install("future");
    cpuu_plugins *p = load_ok();
    const char *const *names = cpuu_plugins_names(p);
    ck_assert_uint_eq(cpuu_plugins_count(p), 3);
    ck_assert_str_eq(names[0], "MockFirst"); /* both read no mailbox, so they come first */
    ck_assert_str_eq(names[1], "MockLast");
    ck_assert_str_eq(names[2], "MockFuture");
    ck_assert_ptr_null(names[3]);
    const cpuu_plugin *plugin = NULL;
    const char *file = NULL;
    const cpuu_feature *f = cpuu_plugins_feature(p, 1, &plugin, &file);
    ck_assert_str_eq(f->title, "Mock last");
    ck_assert_str_eq(plugin->vendor, "mock");
    ck_assert_ptr_nonnull(strstr(file, "mock-good.so"));
    cpuu_plugins_free(p);
}
END_TEST

START_TEST(a_circle_is_an_error)
{
    install("circle");
    refused(CPUU_E_FORMAT, "circle", "MockEgg");
}
END_TEST

START_TEST(a_foreign_major_is_refused)
{
    install("foreign");
    refused(CPUU_E_UNSUPPORTED, "interface 2.0", "mock-foreign.so");
}
END_TEST

START_TEST(a_plugin_that_refuses_is_an_error)
{
    install("refuses");
    refused(CPUU_E_UNSUPPORTED, "refuses", "mock-refuses.so");
}
END_TEST

START_TEST(missing_fields_are_named)
{
    install("nulls");
    refused(CPUU_E_FORMAT, "title", "MockNulls");
}
END_TEST

START_TEST(a_missing_function_is_found_when_loading)
{
    install("unbound");
    refused(CPUU_E_FAILED, "cpuu_mock_function_that_nobody_has", "mock-unbound.so");
}
END_TEST

START_TEST(what_is_no_plugin_is_named)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/junk.so", dir);
    FILE *f = fopen(path, "w");
    fputs("hello", f);
    fclose(f);
    chmod(path, 0755);
    refused(CPUU_E_FAILED, "junk.so", "too short");
}
END_TEST

START_TEST(the_same_feature_twice_is_refused)
{
    char command[256];
    install("good");
    snprintf(command, sizeof(command), "cp -p '%s/mock-good.so' '%s/other.so'", dir, dir);
    ck_assert_int_eq(system(command), 0);
    refused(CPUU_E_EXISTS, "MockLast", "other.so");
}
END_TEST

START_TEST(code_that_others_can_write_is_not_run)
{
    char path[128];
    install("good");
    snprintf(path, sizeof(path), "%s/mock-good.so", dir);
    chmod(path, 0775);
    refused(CPUU_E_ACCESS, "mock-good.so", "chmod");
    chmod(path, 0755);
    chmod(dir, 0777);
    refused(CPUU_E_ACCESS, dir, "chmod");
    chmod(dir, 0755);
    cpuu_plugins_free(load_ok());
}
END_TEST

START_TEST(other_files_are_left_alone)
{
    char path[128];
    install("good");
    snprintf(path, sizeof(path), "%s/README.txt", dir);
    fclose(fopen(path, "w"));
    snprintf(path, sizeof(path), "%s/.hidden.so", dir);
    fclose(fopen(path, "w"));
    cpuu_plugins *p = load_ok();
    ck_assert_uint_eq(cpuu_plugins_count(p), 2);
    cpuu_plugins_free(p);
}
END_TEST

START_TEST(a_relative_folder_is_refused)
{
    cpuu_plugins *p = NULL;
    cpuu_error err = CPUU_ERROR_INIT;
    ck_assert_int_eq(cpuu_plugins_load("plugins", NULL, &p, &err), CPUU_E_USAGE);
}
END_TEST

/* Rows: Features=, Skip=, SkipAll, Remove=, and which of MockFirst, MockLast is selected. */
START_TEST(selection_follows_features_skip_and_remove)
{
    static const struct {
        const char *features, *skip;
        bool skip_all;
        const char *remove;
        bool first, last;
    } rows[] = {
        {NULL, NULL, false, NULL, true, true},
        {"mockFIRST", NULL, false, NULL, true, false},
        {NULL, "MockFirst", false, NULL, false, true},
        {NULL, NULL, true, NULL, false, false},
        {"MockFirst", NULL, false, "MockLast", true, true},
        {NULL, "MockLast", false, "MockLast", true, false},
    };
    install("good");
    cpuu_plugins *p = load_ok();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *words[3] = {(char *)rows[i].features, (char *)rows[i].skip, (char *)rows[i].remove};
        cpuu_settings s = {.skip_all = rows[i].skip_all,
                           .features = {&words[0], words[0] != NULL, 0},
                           .skip = {&words[1], words[1] != NULL, 0},
                           .remove = {&words[2], words[2] != NULL, 0}};
        bool selected[2];
        cpuu_plugins_select(p, &s, selected);
        ck_assert_msg(selected[0] == rows[i].first && selected[1] == rows[i].last, "row %zu", i);
    }
    cpuu_plugins_free(p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("loader");
    TCase *t = tcase_create("loader");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, features_come_in_the_order_of_their_dependencies);
    tcase_add_test(t, a_circle_is_an_error);
    tcase_add_test(t, a_foreign_major_is_refused);
    tcase_add_test(t, a_plugin_that_refuses_is_an_error);
    tcase_add_test(t, missing_fields_are_named);
    tcase_add_test(t, a_missing_function_is_found_when_loading);
    tcase_add_test(t, what_is_no_plugin_is_named);
    tcase_add_test(t, the_same_feature_twice_is_refused);
    tcase_add_test(t, code_that_others_can_write_is_not_run);
    tcase_add_test(t, other_files_are_left_alone);
    tcase_add_test(t, a_relative_folder_is_refused);
    tcase_add_test(t, selection_follows_features_skip_and_remove);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
