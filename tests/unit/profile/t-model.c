/*
 * Discovery and the model. The facts expected of the Outlook 2010 profile are those of the
 * reference's description of that sample (POP + PST + CONTAB + OMSAB, 64-bit), read from its .reg
 * text by eye.
 */
#include "fixture.h"

#include "report/report.h"

#include "../oracle.h"

#include <string.h>

START_TEST(outlook_2010_profile_is_reported_as_it_is)
{
    const char *path = oracle_path("outlook_2010_profile", POP_X64);
    if (!path)
        return;
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_reg *reg = reg_from_file(path);
    cpuu_profile_roots roots;
    OK(cpuu_profile_discover(reg, &roots, &err));
    ck_assert_uint_eq(roots.count, 1);
    ck_assert_str_eq(roots.items[0].outlook_version, "");
    ck_assert_str_eq(roots.items[0].default_profile, "Outlook");
    cpuu_profile_roots_free(&roots);

    cpuu_profile *p = open_profile(reg, "Outlook");
    ck_assert(p->is_default);
    ck_assert(p->has_uid);
    ck_assert_uint_eq(p->uid[0], 0x4f);
    ck_assert_uint_eq(p->uid[15], 0xd2);
    ck_assert_uint_eq(p->mv_width, 8);
    ck_assert_uint_eq(p->n_accounts, 0);
    ck_assert_uint_eq(p->n_services, 3);
    ck_assert_str_eq(p->services[0].name, "CONTAB");
    ck_assert_str_eq(p->services[0].providers[0], "a4a706acf2199341bddd109f85b3e607");
    ck_assert_str_eq(p->services[1].name, "OMSAB");
    ck_assert_str_eq(p->services[1].providers[0], "cb0feb848861b8448f2af93be8a188c3");
    ck_assert_str_eq(p->services[2].name, "MSUPST MS");
    ck_assert_str_eq(p->services[2].providers[0], "93f9ea29aea81047b2e824b6a8583e48");
    for (size_t i = 0; i < 3; i++)
        ck_assert_uint_eq(p->services[i].n_providers, 1);

    cpuu_findings f;
    OK(cpuu_profile_check(p, &f, &err));
    for (size_t i = 0; i < f.count; i++)
        ck_abort_msg("%s: %s", f.items[i].section, f.items[i].text);
    cpuu_findings_free(&f);

    const cpuu_account *account;
    const char *reason;
    cpuu_profile_rules rules = {.allow_all_services = true, .process_offline = true};
    ck_assert_int_eq(cpuu_profile_classify(p, &rules, &account, &reason),
                     CPUU_PROFILE_HAS_NO_SERVER);
    ck_assert_ptr_null(account);
    cpuu_profile_free(p);
    cpuu_reg_close(reg);
}
END_TEST

START_TEST(outlook_2010_32_bit_profile_is_consistent)
{
    const char *path = oracle_path("outlook_2010_32_bit_profile", POP_X86);
    if (!path)
        return;
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_reg *reg = reg_from_file(path);
    cpuu_profile_roots roots;
    OK(cpuu_profile_discover(reg, &roots, &err));
    ck_assert_uint_eq(roots.count, 1);
    cpuu_profile *p;
    OK(cpuu_profile_open(reg, &roots.items[0], roots.items[0].names.items[0], &p, &err));
    ck_assert_uint_eq(p->mv_width, 4);
    ck_assert_uint_eq(p->n_accounts, 0);
    cpuu_findings f;
    OK(cpuu_profile_check(p, &f, &err));
    for (size_t i = 0; i < f.count; i++)
        printf("%d %s: %s\n", f.items[i].fatal, f.items[i].section, f.items[i].text);
    ck_assert_uint_eq(f.count, 0);
    cpuu_findings_free(&f);
    cpuu_profile_free(p);
    cpuu_profile_roots_free(&roots);
    cpuu_reg_close(reg);
}
END_TEST

Suite *model_suite(void)
{
    Suite *s = suite_create("model");
    TCase *t = tcase_create("samples");
    tcase_add_test(t, outlook_2010_profile_is_reported_as_it_is);
    tcase_add_test(t, outlook_2010_32_bit_profile_is_consistent);
    suite_add_tcase(s, t);
    return s;
}
