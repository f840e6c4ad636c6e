/* The INI dialect of ruling A18. Expected values are written out from the ruling, not computed. */
#include "fixture.h"

#include "settings/ini.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static cpuu_ini ini;
static cpuu_error err;

static cpuu_rc parse(const void *data, size_t size)
{
    memset(&err, 0, sizeof(err));
    return cpuu_ini_parse(data, size, "x.ini", NULL, &ini, &err);
}

static cpuu_rc parse_text(const char *text)
{
    return parse(text, strlen(text));
}

static void expect(size_t index, const char *section, const char *key, const char *value,
                   unsigned line)
{
    ck_assert_uint_lt(index, ini.count);
    const cpuu_ini_entry *e = &ini.items[index];
    ck_assert_str_eq(e->section, section);
    ck_assert_pstr_eq(e->key, key);
    ck_assert_pstr_eq(e->value, value);
    ck_assert_uint_eq(e->line, line);
}

START_TEST(keys_values_and_bare_keys)
{
    ck_assert_int_eq(parse_text("; comment\r\n\r\n[Parameters]\r\n  Features = Rules  CONTAB \r\n"
                                "Silent\r\n\tSkip=\r\nText=a ; b # c\r\n#x=1"),
                     CPUU_OK);
    ck_assert_uint_eq(ini.count, 6);
    expect(0, "Parameters", NULL, NULL, 3);
    expect(1, "Parameters", "Features", "Rules  CONTAB", 4);
    expect(2, "Parameters", "Silent", NULL, 5);
    expect(3, "Parameters", "Skip", "", 6);
    expect(4, "Parameters", "Text", "a ; b # c", 7); /* ";" further on is text */
    expect(5, "Parameters", "#x", "1", 8);           /* only ";" begins a comment */
    cpuu_ini_free(&ini);
}
END_TEST

START_TEST(indented_lines_are_not_continuations)
{
    ck_assert_int_eq(parse_text("[p]\nA=1\n   B=2\n"), CPUU_OK);
    expect(2, "p", "B", "2", 3);
    cpuu_ini_free(&ini);
}
END_TEST

START_TEST(one_pair_of_quotes_is_taken_off)
{
    ck_assert_int_eq(
        parse_text("[p]\nA=\" x \"\nB='y'\nC=\"\"z\"\"\nD=\"a\" \"b\"\nE=\"\nF=\"\"\n"), CPUU_OK);
    expect(1, "p", "A", " x ", 2);
    expect(2, "p", "B", "y", 3);
    expect(3, "p", "C", "\"\"z\"\"", 4);
    expect(4, "p", "D", "\"a\" \"b\"", 5);
    expect(5, "p", "E", "\"", 6);
    expect(6, "p", "F", "", 7);
    ck_assert_str_eq(ini.items[1].raw, "\" x \"");
    cpuu_ini_free(&ini);
}
END_TEST

START_TEST(a_colon_does_not_separate)
{
    ck_assert_int_eq(parse_text("[p]\nA: 1\nhttp://x = y\nB=c:d\nC\n"), CPUU_OK);
    expect(1, "p", "A: 1", NULL, 2);
    expect(2, "p", "http://x", "y", 3);
    expect(3, "p", "B", "c:d", 4);
    expect(4, "p", "C", NULL, 5);
    cpuu_ini_free(&ini);
}
END_TEST

START_TEST(list_sections_keep_lines_whole)
{
    ck_assert_int_eq(parse_text("[Mailboxes]\n/o=Org/ou=Group (X)/cn=Recipients/cn=Room-1\n"
                                "[MAILBOXESSMTP]\nroom:1@source.domain\n;no\n\"q\"\n"
                                "[TargetMailboxesSMTP]\na@b\n[Other]\n/o=x\n"),
                     CPUU_OK);
    expect(1, "Mailboxes", "", "/o=Org/ou=Group (X)/cn=Recipients/cn=Room-1", 2);
    expect(3, "MAILBOXESSMTP", "", "room:1@source.domain", 4);
    expect(4, "MAILBOXESSMTP", "", "q", 6);
    expect(6, "TargetMailboxesSMTP", "", "a@b", 8);
    expect(8, "Other", "/o", "x", 10);
    cpuu_ini_free(&ini);
}
END_TEST

/* "Grüße €" in every encoding; the bytes are written out from the code tables. */
START_TEST(all_encodings_give_the_same)
{
    static const char utf8[] = "[p]\r\nA=Gr\xc3\xbc\xc3\x9f"
                               "e \xe2\x82\xac\r\n";
    static const char bom[] = "\xef\xbb\xbf[p]\r\nA=Gr\xc3\xbc\xc3\x9f"
                              "e \xe2\x82\xac\r\n";
    static const char ansi[] = "[p]\r\nA=Gr\xfc\xdf"
                               "e \x80\r\n";
    static const char utf16[] = "\xff\xfe[\0p\0]\0\r\0\n\0A\0=\0G\0r\0\xfc\0\xdf\0e\0 \0\xac\x20"
                                "\r\0\n"; /* the last 0 is the literal's own end */
    const struct {
        const char *data;
        size_t size;
    } files[] = {{utf8, sizeof(utf8) - 1},
                 {bom, sizeof(bom) - 1},
                 {ansi, sizeof(ansi) - 1},
                 {utf16, sizeof(utf16)},
                 {utf16 + 2, sizeof(utf16) - 2}}; /* without a byte order mark */
    for (size_t i = 0; i < 5; i++) {
        ck_assert_int_eq(parse(files[i].data, files[i].size), CPUU_OK);
        ck_assert_uint_eq(ini.count, 2);
        expect(1, "p", "A",
               "Gr\xc3\xbc\xc3\x9f"
               "e \xe2\x82\xac",
               2);
        cpuu_ini_free(&ini);
    }
}
END_TEST

START_TEST(a_lone_carriage_return_ends_a_line)
{
    ck_assert_int_eq(parse_text("[p]\rA=1\rB=2"), CPUU_OK);
    expect(2, "p", "B", "2", 3);
    cpuu_ini_free(&ini);
}
END_TEST

static void refused(const char *data, size_t size, const char *message)
{
    ck_assert_int_eq(parse(data, size), CPUU_E_USAGE);
    ck_assert_msg(strstr(err.text, message), "'%s' does not contain '%s'", err.text, message);
    ck_assert_uint_eq(ini.count, 0);
    ck_assert_ptr_null(ini.items);
}

START_TEST(bad_files_are_refused_with_the_line)
{
    refused("[p]\nA=1\0\n", 9, "x.ini:2: the line holds a NUL");
    refused("[p]\n\n[q\n", 8, "x.ini:3: section header without");
    refused("\xfe\xff\0[", 4, "x.ini:1: the file is big-endian");
    refused("\xff\xfe[", 3, "odd number");
    refused("\xef\xbb\xbf[p]\nA=\xff\n", 11, "marked as UTF-8");
    refused("\0[\0p\0]", 6, "x.ini:1: the file is big-endian");
    refused("[\0p\0]\0\n", 7, "odd number");
    refused("[\0p\0]\0\n\0A\0=\0\0\0", 14, "x.ini:2: the line holds a NUL");
    refused("\0\0", 2, "x.ini:1: the line holds a NUL");
}
END_TEST

START_TEST(long_lines_up_to_64_kib_are_read)
{
    size_t size = 70000;
    char *text = malloc(size + 10);
    ck_assert_ptr_nonnull(text);
    memcpy(text, "[p]\nA=", 6);
    memset(text + 6, 'x', size);
    memcpy(text + 4 + 65536, "\nB=2\n", 5); /* line 2 has exactly 65536 bytes */
    ck_assert_int_eq(parse(text, 4 + 65536 + 5), CPUU_OK);
    ck_assert_uint_eq(ini.count, 3);
    ck_assert_uint_eq(strlen(ini.items[1].value), 65534);
    expect(2, "p", "B", "2", 3);
    cpuu_ini_free(&ini);
    text[4 + 65536] = 'x';
    text[4 + 65537] = '\n';
    refused(text, 4 + 65536 + 5, "x.ini:2: the line is longer than 64 KiB");
    free(text);
}
END_TEST

static cpuu_ini_key paragraph(const char *section, const char *key)
{
    (void)section;
    return strcmp(key, "Body") == 0  ? CPUU_INI_PARAGRAPH
           : strcmp(key, "End") == 0 ? CPUU_INI_KNOWN
                                     : CPUU_INI_UNKNOWN;
}

START_TEST(a_paragraph_is_joined)
{
    static const char text[] = "[n]\nBody=one\n  two=2; three\nfour: 4\nEnd=1\nBody=a\n\nb=1\n";
    ck_assert_int_eq(cpuu_ini_parse(text, sizeof(text) - 1, "x.ini", paragraph, &ini, &err),
                     CPUU_OK);
    expect(1, "n", "Body", "one two=2; three four: 4", 2);
    expect(2, "n", "End", "1", 5);
    expect(3, "n", "Body", "a", 6);
    expect(4, "n", "b", "1", 8);
    cpuu_ini_free(&ini);
}
END_TEST

START_TEST(every_failing_allocation_is_an_error)
{
    static const char text[] = "[p]\nA=1\nB=two\n[q]\nC\nBody=x\ny\n";
    bool done = false;
    for (unsigned long n = 1; !done && n < 200; n++) {
        allocations = 0;
        fail_at = n;
        cpuu_rc rc = cpuu_ini_parse(text, sizeof(text) - 1, "x.ini", paragraph, &ini, &err);
        fail_at = 0;
        ck_assert(rc == CPUU_OK || rc == CPUU_E_NOMEM);
        done = rc == CPUU_OK;
        if (done)
            cpuu_ini_free(&ini);
    }
    ck_assert(done);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ini");
    TCase *t = tcase_create("ini");
    tcase_add_test(t, keys_values_and_bare_keys);
    tcase_add_test(t, indented_lines_are_not_continuations);
    tcase_add_test(t, one_pair_of_quotes_is_taken_off);
    tcase_add_test(t, a_colon_does_not_separate);
    tcase_add_test(t, list_sections_keep_lines_whole);
    tcase_add_test(t, all_encodings_give_the_same);
    tcase_add_test(t, a_lone_carriage_return_ends_a_line);
    tcase_add_test(t, bad_files_are_refused_with_the_line);
    tcase_add_test(t, long_lines_up_to_64_kib_are_read);
    tcase_add_test(t, a_paragraph_is_joined);
    tcase_add_test(t, every_failing_allocation_is_an_error);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
