/*
 * Profiles in offline hives: the real Outlook 2010 profile against the text that an independent
 * tool exported from the same hive, and a whole update and undo of a generated profile in a hive
 * file.
 */
#include "fixture.h"

#include "../../data/profilegen.h"
#include "../../lab/emptyhive.h"
#include "../oracle.h"

#include "base/file.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MESSAGING "Software\\Microsoft\\Windows NT\\CurrentVersion\\Windows Messaging Subsystem"

static char folder[] = "/tmp/cpuu-t-profile-hive-XXXXXX";

static char *hive_file(const void *data, size_t size)
{
    cpuu_error err = CPUU_ERROR_INIT;
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    char *path = cpuu_path_join(folder, "NTUSER.DAT");
    OK(cpuu_file_write(path, data, size, 0600, &err));
    return path;
}

static void remove_hive(char *path)
{
    unlink(path);
    rmdir(folder);
    cpuu_free(path);
}

static cpuu_reg *open_hive(const char *path)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_reg *reg;
    OK(cpuu_reg_open_hive(path, NULL, &reg, &err));
    return reg;
}

static void apply(cpuu_reg **reg, const char *path, cpuu_edits *e)
{
    cpuu_error err = CPUU_ERROR_INIT;
    OK(cpuu_reg_check(*reg, e, &err));
    OK(cpuu_reg_apply(*reg, e, &err));
    cpuu_edits_free(e);
    cpuu_edits_init(e);
    cpuu_reg_close(*reg);
    *reg = open_hive(path);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines of a dump, each with its key in front, sorted: the two sources order them differently.
 */
static char *normal(char *dump)
{
    size_t n = 0, cap = 0;
    char **lines = NULL, *save = NULL, *head = dump;
    for (char *line = strtok_r(dump, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save)) {
        if (*line == '[')
            head = line;
        ck_assert(cpuu_grow(&lines, &cap, n, sizeof(*lines)));
        lines[n++] = cpuu_asprintf("%s %s", head, line);
    }
    qsort(lines, n, sizeof(*lines), by_text);
    cpuu_buf b;
    cpuu_buf_init(&b, 1 << 24);
    for (size_t i = 0; i < n; i++) {
        cpuu_buf_add(&b, lines[i], strlen(lines[i]));
        cpuu_buf_add(&b, "\n", 1);
        cpuu_free(lines[i]);
    }
    cpuu_free(lines);
    free(dump);
    char *text = strndup((char *)b.data, b.size);
    cpuu_buf_free(&b);
    return text;
}

START_TEST(the_real_hive_says_what_its_export_says)
{
    const char *path = oracle_path("the_real_hive", "profiles/hives/plaso_NTUSER-WIN7.DAT");
    if (!path)
        return;
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_buf b;
    cpuu_buf_init(&b, 1 << 24);
    OK(cpuu_file_read(path, &b, NULL, &err));
    char *copy = hive_file(b.data, b.size);
    cpuu_buf_free(&b);
    cpuu_reg *hive = open_hive(copy);
    cpuu_reg *text = reg_from_file(oracle_path("the_real_hive", POP_X64));
    char *a = normal(reg_dump(hive, MESSAGING)), *t = normal(reg_dump(text, MESSAGING));
    ck_assert_uint_gt(strlen(t), 20000);
    ck_assert_str_eq(a, t);
    free(a);
    free(t);
    cpuu_profile *p = open_profile(hive, "Outlook"), *q = open_profile(text, "Outlook");
    ck_assert_uint_eq(p->n_services, q->n_services);
    ck_assert_uint_eq(p->mv_width, 8);
    ck_assert_mem_eq(p->uid, q->uid, 16);
    cpuu_profile_free(p);
    cpuu_profile_free(q);
    cpuu_reg_close(text);
    cpuu_reg_close(hive);
    remove_hive(copy);
}
END_TEST

static void import(cpuu_edits *e, const gen_profile *g)
{
    cpuu_error err = CPUU_ERROR_INIT;
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    gen_write(g, f);
    fclose(f);
    OK(cpuu_reg_parse_text(text, size, e, &err));
    free(text);
}

/* regf 1.3 and 1.5, both widths. */
START_TEST(update_and_undo_in_a_hive_leave_no_trace)
{
    uint8_t empty[EMPTY_HIVE_SIZE];
    cpuu_error err = CPUU_ERROR_INIT;
    gen_profile g;
    cpuu_edits e;
    gen_example(&g);
    g.width = _i & 1 ? 4 : 8;
    empty_hive(empty, _i & 2 ? 3 : 5);
    char *path = hive_file(empty, sizeof(empty));
    cpuu_reg *reg = open_hive(path);
    cpuu_edits_init(&e);
    import(&e, &g);
    apply(&reg, path, &e);
    char *before = reg_dump(reg, "");
    ck_assert_uint_gt(strlen(before), 20000);

    cpuu_buf image;
    cpuu_buf_init(&image, 1 << 24);
    cpuu_profile *p = open_profile(reg, "Outlook");
    OK(cpuu_profile_image(p, NULL, &image, &err));
    cpuu_identity source = {.smtp = g.smtp, .legacy_dn = g.dn};
    cpuu_identity target = {.smtp = "anna@target.example", .legacy_dn = "/o=T/cn=anna"};
    cpuu_switch_options o = {.disable_scp = true};
    cpuu_marker m = {(char *)"id", p->key, (char *)target.legacy_dn, (char *)target.smtp};
    OK(cpuu_profile_switch(p, &p->accounts[0], &source, &target, &o, &e, &err));
    OK(cpuu_profile_copy(p, "CPUU_Backup_1", NULL, &e, &err));
    OK(cpuu_marker_write(&e, &m, &err));
    cpuu_profile_free(p);
    apply(&reg, path, &e);

    p = open_profile(reg, "Outlook");
    ck_assert_str_eq(p->accounts[0].smtp, "anna@target.example");
    cpuu_findings f;
    OK(cpuu_profile_check(p, &f, &err));
    ck_assert_uint_eq(f.count, 0);
    cpuu_findings_free(&f);
    char *backup = cpuu_reg_join(p->root, "CPUU_Backup_1");
    OK(cpuu_profile_restore(reg, image.data, image.size, &e, &err));
    OK(cpuu_marker_remove(reg, &e, p->key, &err));
    OK(cpuu_edits_delete_key(&e, backup, CPUU_MARK_NONE, NULL));
    cpuu_free(backup);
    cpuu_profile_free(p);
    apply(&reg, path, &e);
    char *after = reg_dump(reg, "");
    ck_assert_str_eq(after, before);
    free(before);
    free(after);
    cpuu_buf_free(&image);
    cpuu_edits_free(&e);
    cpuu_reg_close(reg);
    remove_hive(path);
}
END_TEST

/* The synthetic Exchange profiles put into the real hive, beside its own profile. */
START_TEST(a_switch_in_the_real_hive_leaves_the_rest_alone)
{
    const char *path =
        oracle_path("a_switch_in_the_real_hive", "profiles/hives/plaso_NTUSER-WIN7.DAT");
    if (!path)
        return;
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_buf b, image;
    cpuu_edits e;
    cpuu_edits_init(&e);
    cpuu_buf_init(&b, 1 << 24);
    cpuu_buf_init(&image, 1 << 24);
    OK(cpuu_file_read(path, &b, NULL, &err));
    char *copy = hive_file(b.data, b.size);
    cpuu_reg *reg = open_hive(copy);
    cpuu_buf_reset(&b);
    OK(cpuu_file_read(oracle_path("a_switch_in_the_real_hive", _i ? EXCHANGE_X86 : EXCHANGE_X64),
                      &b, NULL, &err));
    OK(cpuu_reg_parse_text(b.data, b.size, &e, &err));
    cpuu_buf_free(&b);
    apply(&reg, copy, &e);
    char *before = reg_dump(reg, "");
    ck_assert_uint_gt(strlen(before), 200000);
    char *other = reg_dump(reg, MESSAGING);

    cpuu_profile *p = open_profile(reg, "Outlook");
    ck_assert_str_eq(p->outlook_version, "16.0");
    OK(cpuu_profile_image(p, NULL, &image, &err));
    cpuu_identity source = {.smtp = p->accounts[0].smtp, .legacy_dn = p->accounts[0].legacy_dn};
    cpuu_identity target = {.smtp = "anna@target.example", .legacy_dn = "/o=T/cn=anna"};
    cpuu_switch_options o = {.disable_scp = true};
    OK(cpuu_profile_switch(p, &p->accounts[0], &source, &target, &o, &e, &err));
    cpuu_profile_free(p);
    apply(&reg, copy, &e);
    char *after = reg_dump(reg, MESSAGING);
    ck_assert_str_eq(after, other);
    free(after);
    OK(cpuu_profile_restore(reg, image.data, image.size, &e, &err));
    ck_assert_uint_gt(e.count, 10);
    apply(&reg, copy, &e);
    after = reg_dump(reg, "");
    ck_assert_str_eq(after, before);
    free(after);
    free(before);
    free(other);
    cpuu_buf_free(&image);
    cpuu_edits_free(&e);
    cpuu_reg_close(reg);
    remove_hive(copy);
}
END_TEST

Suite *hive_suite(void)
{
    Suite *s = suite_create("hive");
    TCase *t = tcase_create("hive");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, the_real_hive_says_what_its_export_says);
    tcase_add_loop_test(t, a_switch_in_the_real_hive_leaves_the_rest_alone, 0, 2);
    tcase_add_loop_test(t, update_and_undo_in_a_hive_leave_no_trace, 0, 4);
    suite_add_tcase(s, t);
    return s;
}
