/*
 * A hive whose memory was given back is the same when it is needed again, or an error.
 */
#include "hivekit.h"

#include <sys/mman.h>

/* ---- the digest ------------------------------------------------------------------------------ */

/* Test values of the paper (appendix A) and of its reference code: key 00 01 ... 0f, input 00 01 ... */
START_TEST(the_digest_is_siphash)
{
    static const struct {
        size_t size;
        uint64_t digest;
    } known[] = {{0, UINT64_C(0x726fdb47dd0e0e31)},
                 {1, UINT64_C(0x74f839c593dc67fd)},
                 {8, UINT64_C(0x93f5f5799a932462)},
                 {15, UINT64_C(0xa129ca6149be45e5)}};
    static const uint64_t key[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    uint8_t data[16];
    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)i;
    for (size_t i = 0; i < 4; i++)
        ck_assert_uint_eq(cpuu_hive_digest(data, known[i].size, key), known[i].digest);
}
END_TEST

/* ---- resting --------------------------------------------------------------------------------- */

static bool in_memory(void)
{
    char line[300];
    bool found = false;
    FILE *f = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof(line), f))
        found |= strstr(line, "memfd:hive") != NULL;
    fclose(f);
    return found;
}

/* More than a mebibyte, which is worth a rest. */
static cpuu_reg *open_big(void)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_edits e;
    cpuu_reg *reg;
    uint8_t *data = cpuu_calloc(1, 800000);
    make_hive(3, SOME);
    cpuu_edits_init(&e);
    for (unsigned i = 0; i < 2; i++)
        OK(cpuu_edits_set(&e, "Software\\b\\c", i ? "one" : "two", CPUU_REG_BINARY, data, 800000,
                          CPUU_MARK_NONE, NULL));
    OK(edit(&e, &err));
    cpuu_edits_free(&e);
    cpuu_free(data);
    OK(cpuu_reg_open_hive(path, NULL, &reg, &err));
    ck_assert(in_memory());
    cpuu_reg_rest(reg);
    ck_assert(!in_memory());
    return reg;
}

static char *value_of(cpuu_reg *reg)
{
    char *text = NULL;
    if (cpuu_reg_get_text(reg, "Software\\a", "v", &text, NULL) != CPUU_OK)
        return NULL;
    return text;
}

START_TEST(a_hive_goes_on_after_a_rest)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_edits e;
    cpuu_reg *reg = open_big();
    char *text = value_of(reg);
    ck_assert_str_eq(text, "one");
    ck_assert(in_memory());
    cpuu_free(text);
    cpuu_reg_rest(reg);
    edits_of(&e, CHANGE);
    OK(cpuu_reg_check(reg, &e, &err));
    cpuu_reg_rest(reg);
    OK(cpuu_reg_apply(reg, &e, &err));
    cpuu_reg_rest(reg); /* of the hive that was written */
    cpuu_reg_rest(reg);
    ck_assert(!in_memory());
    text = value_of(reg);
    ck_assert_str_eq(text, "two");
    cpuu_free(text);
    cpuu_edits_free(&e);
    cpuu_reg_close(reg);
}
END_TEST

START_TEST(a_small_hive_does_not_rest)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_reg *reg;
    make_hive(5, SOME);
    OK(cpuu_reg_open_hive(path, NULL, &reg, &err));
    cpuu_reg_rest(reg);
    ck_assert(in_memory());
    cpuu_reg_close(reg);
}
END_TEST

/* ---- what is not the same -------------------------------------------------------------------- */

/* Nothing can be read, and nothing is written even when the file is the old one again. */
static void ck_over(cpuu_reg *reg, cpuu_rc why)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_reg_names names;
    cpuu_edits e;
    cpuu_rc rc = cpuu_reg_keys(reg, "Software", &names, &err);
    ck_assert_msg(rc == why, "%d %s", rc, err.text);
    ck_assert(!in_memory());
    ck_assert_int_eq(cpuu_reg_keys(reg, "Software", &names, &err), CPUU_E_FAILED);
    edits_of(&e, CHANGE);
    ck_assert_int_eq(cpuu_reg_apply(reg, &e, &err), CPUU_E_FAILED);
    cpuu_edits_free(&e);
    cpuu_reg_close(reg);
}

START_TEST(a_hive_changed_while_it_rests_is_noticed)
{
    cpuu_reg *reg = open_big();
    int fd = open(path, O_WRONLY);
    ck_assert_int_eq(pwrite(fd, "!", 1, 8000), 1);
    close(fd);
    ck_over(reg, CPUU_E_BUSY);
}
END_TEST

/* In a page that somebody has mapped: the times of the file stay as they are. */
START_TEST(a_hive_changed_behind_its_times_while_it_rests_is_noticed)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_reg *reg = open_big();
    cpuu_reg_close(reg);
    int fd = open(path, O_RDWR);
    uint8_t *p = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(p, MAP_FAILED);
    close(fd);
    p[8000] ^= 1;
    p[8000] ^= 1;
    OK(cpuu_reg_open_hive(path, NULL, &reg, &err));
    cpuu_reg_rest(reg);
    ck_assert(!in_memory());
    p[8000] ^= 1;
    ck_over(reg, CPUU_E_BUSY);
    munmap(p, 12288);
}
END_TEST

START_TEST(without_memory_a_resting_hive_is_an_error)
{
    for (unsigned long n = 1; n < 200; n++) {
        cpuu_error err = CPUU_ERROR_INIT;
        cpuu_reg_names names;
        cpuu_reg *reg = open_big();
        fault.fail = "alloc";
        fault.fail_at = n;
        cpuu_rc rc = cpuu_reg_keys(reg, "Software", &names, &err);
        bool reached = fault.fail_at == 0;
        fault.fail_at = 0;
        ck_assert_int_eq(rc, reached ? CPUU_E_NOMEM : CPUU_OK);
        if (rc == CPUU_OK)
            cpuu_reg_names_free(&names);
        cpuu_reg_close(reg);
        if (!reached)
            return;
    }
    ck_abort_msg("no end");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("hiverest");
    TCase *t = tcase_create("hiverest");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, the_digest_is_siphash);
    tcase_add_test(t, a_hive_goes_on_after_a_rest);
    tcase_add_test(t, a_small_hive_does_not_rest);
    tcase_add_test(t, a_hive_changed_while_it_rests_is_noticed);
    tcase_add_test(t, a_hive_changed_behind_its_times_while_it_rests_is_noticed);
    tcase_add_test(t, without_memory_a_resting_hive_is_an_error);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
