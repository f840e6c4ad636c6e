/* Edits, the memory backend, the overlay and .reg text. Expected values are written out by hand. */
#include "base/fault.h"
#include "registry/registry.h"

#include "../oracle.h"

#include <check.h>
#include <string.h>

/* Fault points of this program: the n-th allocation from now fails (0 = none). */
static unsigned long fail_alloc;

void cpuu_fault_step(const char *what)
{
    (void)what;
}

bool cpuu_fault_fail(const char *what)
{
    return strcmp(what, "alloc") == 0 && fail_alloc && --fail_alloc == 0;
}

static void *failing_realloc(void *p, size_t n)
{
    return cpuu_realloc(p, n);
}

#define OK(call) ck_assert_msg((call) == CPUU_OK, "%s: %s", #call, err.text)

static cpuu_reg *memory_with(const char *text)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_reg *reg;
    cpuu_edits e;
    cpuu_edits_init(&e);
    OK(cpuu_reg_open_memory(&reg, &err));
    OK(cpuu_reg_parse_text(text, strlen(text), &e, &err));
    OK(cpuu_reg_apply(reg, &e, &err));
    cpuu_edits_free(&e);
    return reg;
}

/* The whole registry as text; the caller frees it. */
static char *dump(cpuu_reg *reg)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_buf b;
    cpuu_buf_init(&b, 1 << 24);
    OK(cpuu_reg_export_text(reg, "", &b, &err));
    char *s = strndup((char *)b.data, b.size);
    cpuu_buf_free(&b);
    return s;
}

#define HEAD "Windows Registry Editor Version 5.00\r\n"

START_TEST(names_ignore_case_and_keep_it)
{
    cpuu_reg *reg = memory_with(HEAD "[HKEY_CURRENT_USER\\Software\\Bär]\n\"Über\"=dword:1\n"
                                     "[hkcu\\SOFTWARE\\BÄR]\n\"üBER\"=dword:2\n");
    char *s = dump(reg);
    ck_assert_str_eq(s, HEAD "\r\n[HKEY_CURRENT_USER]\r\n\r\n[HKEY_CURRENT_USER\\Software]\r\n"
                        "\r\n[HKEY_CURRENT_USER\\Software\\Bär]\r\n\"Über\"=dword:00000002\r\n");
    free(s);
    cpuu_reg_close(reg);
}
END_TEST

START_TEST(all_kinds_of_data_are_read)
{
    static const char text[] =
        HEAD ";comment\n\n[HKEY_USERS\\S-1-5-21-1\\k]  \n@=\"d\"\n\"a\\\\b\\\"\"=\"x\\\\y\"\n"
        "\"dw\"=dword:89abcdef ; c\n\"bin\"=hex:01,\\\n  ab,\\\r\n\tFF\n\"none\"=hex(0):\n"
        "\"q\"=hex(b):01,02,03,04,05,06,07,08\n\"multi\"=hex(7):41,00,00,00,00,00\n"
        "\"lines\"=\"1\r\n2\"\n\"odd\"=hex(ffff0001):7\n";
    cpuu_reg *reg = memory_with(text);
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_reg_values v;
    OK(cpuu_reg_values_of(reg, "\\K\\", &v, &err));
    ck_assert_uint_eq(v.count, 9);
    static const struct {
        const char *name;
        uint32_t type, size;
        const char *data;
    } want[] = {{"", 1, 4, "d\0\0\0"},
                {"a\\b\"", 1, 8, "x\0\\\0y\0\0\0"},
                {"dw", 4, 4, "\xef\xcd\xab\x89"},
                {"bin", 3, 3, "\x01\xab\xff"},
                {"none", 0, 0, ""},
                {"q", 11, 8, "\1\2\3\4\5\6\7\x08"},
                {"multi", 7, 6, "A\0\0\0\0\0"},
                {"lines", 1, 10, "1\0\r\0\n\0" "2\0\0\0"},
                {"odd", 0xffff0001, 1, "\x07"}};
    for (size_t i = 0; i < 9; i++) {
        ck_assert_str_eq(v.items[i].name, want[i].name);
        ck_assert_uint_eq(v.items[i].type, want[i].type);
        ck_assert_uint_eq(v.items[i].size, want[i].size);
        ck_assert_int_eq(memcmp(v.items[i].data, want[i].data, want[i].size), 0);
    }
    cpuu_reg_values_free(&v);
    char *s;
    OK(cpuu_reg_get_text(reg, "k", "A\\B\"", &s, &err));
    ck_assert_str_eq(s, "x\\y");
    cpuu_free(s);
    ck_assert_int_eq(cpuu_reg_get_text(reg, "k", "dw", &s, &err), CPUU_E_FORMAT);
    ck_assert_int_eq(cpuu_reg_get_text(reg, "k", "nix", &s, &err), CPUU_E_NOTFOUND);
    ck_assert_int_eq(cpuu_reg_get_text(reg, "nix", "dw", &s, &err), CPUU_E_NOTFOUND);
    cpuu_reg_close(reg);
}
END_TEST

START_TEST(older_and_rootless_text_is_read)
{
    cpuu_reg *reg = memory_with("REGEDIT4\n[HKEY_CURRENT_USER\\k]\n\"e\"=hex(2):25,41,00\n");
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_reg_values v;
    OK(cpuu_reg_get(reg, "k", "E", &v, &err));
    ck_assert_uint_eq(v.items[0].size, 6);
    ck_assert_int_eq(memcmp(v.items[0].data, "%\0A\0\0\0", 6), 0);
    cpuu_reg_values_free(&v);
    cpuu_reg_close(reg);
    reg = memory_with("[\\Software\\x]\n\"a\"=hex(1):41,00,00,00\n");
    ck_assert(cpuu_reg_has_key(reg, "software\\X"));
    cpuu_reg_close(reg);
}
END_TEST

START_TEST(deletions_are_read)
{
    cpuu_reg *reg = memory_with(HEAD "[HKEY_CURRENT_USER\\a\\b\\c]\n\"v\"=dword:1\n\"w\"=dword:2\n"
                                     "[-HKEY_CURRENT_USER\\nothing]\n[HKEY_CURRENT_USER\\a]\n"
                                     "[HKEY_CURRENT_USER\\A\\B\\C]\n\"V\"=-\n\"nothing\"=-\n"
                                     "[HKEY_CURRENT_USER\\a\\d\\e]\n[-HKEY_CURRENT_USER\\a\\d]\n");
    char *s = dump(reg);
    ck_assert_str_eq(s, HEAD "\r\n[HKEY_CURRENT_USER]\r\n\r\n[HKEY_CURRENT_USER\\a]\r\n"
                        "\r\n[HKEY_CURRENT_USER\\a\\b]\r\n\r\n[HKEY_CURRENT_USER\\a\\b\\c]\r\n"
                        "\"w\"=dword:00000002\r\n");
    free(s);
    cpuu_reg_close(reg);
}
END_TEST

START_TEST(bad_text_is_refused_with_its_line)
{
    static const struct {
        const char *text, *line;
    } bad[] = {{"", "line 1:"},
               {"hello", "line 1:"},
               {HEAD "x", "line 2:"},
               {HEAD "[HKEY_CURRENT_USER\\a", "line 2:"},
               {HEAD "[HKEY_LOCAL_MACHINE\\a]", "line 2:"},
               {HEAD "[HKEY_CURRENT_USERS\\a]", "line 2:"},
               {HEAD "[Software\\a]", "line 2:"},
               {HEAD "[-HKEY_CURRENT_USER]", "line 2:"},
               {HEAD "[HKEY_USERS]", "line 2:"},
               {HEAD "[HKEY_USERS\\]", "line 2:"},
               {HEAD "[HKEY_USERS\\S-1\\a]\n[HKEY_USERS\\S-2\\a]", "line 3:"},
               {HEAD "\"a\"=dword:1", "line 2:"},
               {HEAD "[-HKEY_CURRENT_USER\\a]\n\"a\"=dword:1", "line 3:"},
               {HEAD "[HKEY_CURRENT_USER\\a]\n\"a\"=dword:123456789", "line 3:"},
               {HEAD "[HKEY_CURRENT_USER\\a]\n\"a\"=dword:", "line 3:"},
               {HEAD "[HKEY_CURRENT_USER\\a]\n\"a\"=dword:1 2", "line 3:"},
               {HEAD "[HKEY_CURRENT_USER\\a]\n\"a\"=hex:1,2,", "line 3:"},
               {HEAD "[HKEY_CURRENT_USER\\a]\n\"a\"=hex:1,\\", "line 3:"},
               {HEAD "[HKEY_CURRENT_USER\\a]\n\"a\"=hex:\\", "line 3:"},
               {HEAD "[HKEY_CURRENT_USER\\a]\n\"a\"=hex:1,\\\n,2", "line 4:"},
               {HEAD "[HKEY_CURRENT_USER\\a]\n\"a\"=hex:123", "line 3:"},
               {HEAD "[HKEY_CURRENT_USER\\a]\n\"a\"=hex(:12", "line 3:"},
               {HEAD "[HKEY_CURRENT_USER\\a]\n\"a\"=hex(1:12", "line 3:"},
               {HEAD "[HKEY_CURRENT_USER\\a]\n\"a\"=\"x\\y\"", "line 3:"},
               {HEAD "[HKEY_CURRENT_USER\\a]\n\"a\"=\"x\n\n", "line 3:"},
               {HEAD "[HKEY_CURRENT_USER\\a]\n\"a\"=x", "line 3:"},
               {HEAD "[HKEY_CURRENT_USER\\a]\n\"a\"", "line 3:"},
               {"REGEDIT4\n[HKEY_CURRENT_USER\\a]\n\"a\"=hex(1):e4,00", "line 3:"},
               {HEAD "[HKEY_CURRENT_USER\\\xff]", "neither"},
               {"\xff\xfe" "a", "odd"}};
    cpuu_edits e;
    cpuu_edits_init(&e);
    ck_assert_int_eq(cpuu_edits_create_key(&e, "before", CPUU_MARK_NONE, NULL), CPUU_OK);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        cpuu_error err = CPUU_ERROR_INIT;
        cpuu_rc rc = cpuu_reg_parse_text(bad[i].text, strlen(bad[i].text), &e, &err);
        ck_assert_msg(rc == CPUU_E_FORMAT, "%zu: rc %d", i, rc);
        ck_assert_msg(strstr(err.text, bad[i].line) != NULL, "%zu: %s", i, err.text);
        ck_assert_uint_eq(e.count, 1);
    }
    cpuu_edits_free(&e);
}
END_TEST

static void read_oracle(const char *path, cpuu_buf *b)
{
    FILE *f = fopen(path, "rb");
    ck_assert_ptr_nonnull(f);
    cpuu_buf_init(b, 1 << 24);
    char block[65536];
    for (size_t n; (n = fread(block, 1, sizeof(block), f)) > 0;)
        ck_assert(cpuu_buf_add(b, block, n));
    fclose(f);
}

/* Keys and values were counted in the files by a script: lines that begin with "[" and '"'. */
START_TEST(files_of_other_programs_are_read)
{
    static const struct {
        const char *file;
        size_t keys, values;
    } files[] = {{"profiles/reg/exchange_16.0_x64.synthetic.reg", 25, 171},
                 {"profiles/reg/exchange_16.0_x86.synthetic.reg", 25, 171},
                 {"profiles/reg/notatin_outlook2010_x86.redacted.reg", 50, 151},
                 {"profiles/reg/plaso_outlook2010_x64_pop.reg", 28, 150}};
    for (size_t i = 0; i < 4; i++) {
        const char *path = oracle_path("files_of_other_programs_are_read", files[i].file);
        if (!path)
            return;
        cpuu_error err = CPUU_ERROR_INIT;
        cpuu_edits e, again;
        cpuu_buf b, out;
        cpuu_edits_init(&e);
        cpuu_edits_init(&again);
        cpuu_buf_init(&out, 1 << 24);
        read_oracle(path, &b);
        OK(cpuu_reg_parse_text(b.data, b.size, &e, &err));
        size_t keys = 0;
        for (size_t k = 0; k < e.count; k++)
            keys += e.items[k].kind == CPUU_EDIT_CREATE_KEY;
        ck_assert_msg(keys == files[i].keys && e.count - keys == files[i].values, "%s: %zu %zu",
                      files[i].file, keys, e.count - keys);
        /* Export and import give the same registry. */
        cpuu_reg *reg, *second;
        OK(cpuu_reg_open_memory(&reg, &err));
        OK(cpuu_reg_apply(reg, &e, &err));
        OK(cpuu_reg_export_text(reg, "Software", &out, &err));
        OK(cpuu_reg_parse_text(out.data, out.size, &again, &err));
        OK(cpuu_reg_open_memory(&second, &err));
        OK(cpuu_reg_apply(second, &again, &err));
        char *s = dump(reg), *t = dump(second);
        ck_assert_str_eq(s, t);
        free(s);
        free(t);
        cpuu_reg_close(reg);
        cpuu_reg_close(second);
        cpuu_edits_free(&e);
        cpuu_edits_free(&again);
        cpuu_buf_free(&b);
        cpuu_buf_free(&out);
    }
}
END_TEST

START_TEST(a_failing_edit_changes_nothing)
{
    cpuu_reg *reg = memory_with(HEAD "[HKEY_CURRENT_USER\\a]\n\"v\"=dword:1\n");
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_edits e;
    cpuu_edits_init(&e);
    char *before = dump(reg);
    cpuu_edits_set_sz(&e, "a", "v", "x", CPUU_MARK_NONE, "title");
    cpuu_edits_delete_key(&e, "a", CPUU_MARK_NONE, NULL);
    cpuu_edits_set_sz(&e, "a", "v", "x", CPUU_MARK_NONE, NULL);
    ck_assert_int_eq(cpuu_reg_check(reg, &e, &err), CPUU_E_NOTFOUND);
    ck_assert_int_eq(cpuu_reg_apply(reg, &e, &err), CPUU_E_NOTFOUND);
    cpuu_edits_truncate(&e, 0);
    cpuu_edits_delete_key(&e, "\\", CPUU_MARK_NONE, NULL);
    ck_assert_int_eq(cpuu_reg_apply(reg, &e, &err), CPUU_E_UNSUPPORTED);
    cpuu_edits_truncate(&e, 0);
    char name[300];
    memset(name, 'n', sizeof(name));
    name[256] = 0;
    cpuu_edits_create_key(&e, name, CPUU_MARK_NONE, NULL);
    ck_assert_int_eq(cpuu_reg_apply(reg, &e, &err), CPUU_E_UNSUPPORTED);
    char *after = dump(reg);
    ck_assert_str_eq(before, after);
    free(before);
    free(after);
    cpuu_edits_free(&e);
    cpuu_reg_close(reg);
}
END_TEST

/* A small random generator, so that a failure can be repeated. */
static uint32_t rnd(uint32_t *state, uint32_t below)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) % below;
}

static void random_edit(cpuu_edits *e, uint32_t *state)
{
    static const char *const keys[] = {"a", "A\\b", "a\\B\\c", "a\\d", "\\e", "e\\f\\",
                                       "a\\b\\c\\g"};
    static const char *const names[] = {"", "v", "V", "w"};
    const char *key = keys[rnd(state, 7)], *name = names[rnd(state, 4)];
    uint32_t data = rnd(state, 1000);
    switch (rnd(state, 5)) {
    case 0:
        cpuu_edits_delete_key(e, key, CPUU_MARK_NONE, NULL);
        break;
    case 1:
        cpuu_edits_unset(e, key, name, CPUU_MARK_NONE, NULL);
        break;
    default:
        cpuu_edits_create_key(e, key, CPUU_MARK_NONE, NULL);
        cpuu_edits_set(e, key, name, CPUU_REG_BINARY, &data, 4, CPUU_MARK_NONE, NULL);
    }
}

/* The overlay and apply() are two implementations of what an edit means: they must agree. */
START_TEST(a_view_shows_what_apply_will_make)
{
    for (uint32_t seed = 1; seed <= 300; seed++) {
        uint32_t state = seed;
        cpuu_error err = CPUU_ERROR_INIT;
        cpuu_reg *reg = memory_with(HEAD "[HKEY_CURRENT_USER\\A\\B]\n\"v\"=dword:1\n\"x\"=dword:2\n"
                                         "[HKEY_CURRENT_USER\\z\\e]\n\"v\"=dword:1\n");
        cpuu_reg *view;
        cpuu_edits e;
        cpuu_edits_init(&e);
        OK(cpuu_reg_open_overlay(reg, &e, &view, &err));
        for (unsigned i = 0; i < 12; i++)
            random_edit(&e, &state);
        char *seen = dump(view);
        OK(cpuu_reg_apply(reg, &e, &err));
        ck_assert_int_eq(cpuu_reg_apply(view, &e, &err), CPUU_E_UNSUPPORTED);
        char *made = dump(reg);
        ck_assert_str_eq(seen, made);
        free(seen);
        free(made);
        cpuu_reg_close(view);
        cpuu_reg_close(reg);
        cpuu_edits_free(&e);
    }
}
END_TEST

static cpuu_rc everything(cpuu_error *err)
{
    static const char text[] = HEAD "[HKEY_USERS\\S-1\\a\\b]\n\"v\"=\"text\"\n\"x\"=hex(2):41,00\n"
                                    "[HKEY_USERS\\S-1\\c]\n\"v\"=dword:1\n";
    cpuu_reg *reg = NULL, *view = NULL;
    cpuu_edits e;
    cpuu_buf b;
    char *s = NULL;
    cpuu_edits_init(&e);
    cpuu_buf_init(&b, 10000);
    cpuu_rc rc = cpuu_reg_open_memory(&reg, err);
    if (rc == CPUU_OK)
        rc = cpuu_reg_parse_text(text, sizeof(text) - 1, &e, err);
    if (rc == CPUU_OK)
        rc = cpuu_reg_apply(reg, &e, err);
    if (rc == CPUU_OK)
        rc = cpuu_edits_set_sz(&e, "c", "n", "ü", CPUU_MARK_NONE, "title");
    if (rc == CPUU_OK)
        rc = cpuu_reg_open_overlay(reg, &e, &view, err);
    if (rc == CPUU_OK)
        rc = cpuu_reg_get_text(view, "c", "n", &s, err);
    if (rc == CPUU_OK)
        ck_assert_str_eq(s, "ü");
    if (rc == CPUU_OK)
        rc = cpuu_reg_export_text(view, "", &b, err);
    cpuu_free(s);
    cpuu_buf_free(&b);
    cpuu_reg_close(view);
    cpuu_reg_close(reg);
    cpuu_edits_free(&e);
    return rc;
}

START_TEST(every_allocation_may_fail)
{
    cpuu_fmt_realloc = failing_realloc;
    unsigned long n = 1;
    for (;; n++) {
        cpuu_error err = CPUU_ERROR_INIT;
        fail_alloc = n;
        cpuu_rc rc = everything(&err);
        bool reached = fail_alloc == 0;
        fail_alloc = 0;
        if (!reached) {
            OK(rc);
            break;
        }
        ck_assert_msg(rc == CPUU_E_NOMEM || rc == CPUU_E_TOOBIG, "allocation %lu: %d %s", n, rc,
                      err.text);
    }
    ck_assert_uint_gt(n, 50);
    cpuu_fmt_realloc = realloc;
}
END_TEST

int main(void)
{
    Suite *s = suite_create("registry");
    TCase *t = tcase_create("registry");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, names_ignore_case_and_keep_it);
    tcase_add_test(t, all_kinds_of_data_are_read);
    tcase_add_test(t, older_and_rootless_text_is_read);
    tcase_add_test(t, deletions_are_read);
    tcase_add_test(t, bad_text_is_refused_with_its_line);
    tcase_add_test(t, files_of_other_programs_are_read);
    tcase_add_test(t, a_failing_edit_changes_nothing);
    tcase_add_test(t, a_view_shows_what_apply_will_make);
    tcase_add_test(t, every_allocation_may_fail);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
