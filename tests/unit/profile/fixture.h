/* Registries out of .reg text, and helpers every test of profiles needs. */
#ifndef CPUU_TESTS_PROFILE_FIXTURE_H
#define CPUU_TESTS_PROFILE_FIXTURE_H

#include "../../data/profilegen.h"

#include "profile/profile.h"

#include <check.h>

#define OK(call) ck_assert_msg((call) == CPUU_OK, "%s: %s", #call, err.text)

#define POP_X64      "profiles/reg/plaso_outlook2010_x64_pop.reg"
#define POP_X86      "profiles/reg/notatin_outlook2010_x86.redacted.reg"
#define EXCHANGE_X64 "profiles/reg/exchange_16.0_x64.synthetic.reg"
#define EXCHANGE_X86 "profiles/reg/exchange_16.0_x86.synthetic.reg"

/* Fails the n-th allocation of the code under test from now (0 = none). */
void fail_allocation(unsigned long n);
/* True when that allocation has been asked for. */
bool allocation_failed(void);

cpuu_reg *reg_from_file(const char *path);
void reg_add_file(cpuu_reg *reg, const char *path);
void reg_add_text(cpuu_reg *reg, const char *text);
void reg_add_generated(cpuu_reg *reg, const gen_profile *g);
/* Everything below `key` as text; the caller frees it. */
char *reg_dump(cpuu_reg *reg, const char *key);
/* The profile of that name in the newest root. */
cpuu_profile *open_profile(cpuu_reg *reg, const char *name);
/* One value as hex in a static buffer, "" when missing. */
const char *hex_of(cpuu_reg *reg, const char *key, const char *name);
/* A text property of a section (UTF-8) in a static buffer, "(none)" when missing. */
const char *text_of(cpuu_profile *p, const char *section, uint32_t tag);

Suite *mv_suite(void);
Suite *model_suite(void);
Suite *switch_suite(void);
Suite *edit_suite(void);
Suite *hive_suite(void);

#endif
