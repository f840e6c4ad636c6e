/*
 * Reading and staging properties, classification, removing a provider, marker, copy, user folders:
 * on profiles of the generator in tests/data, both widths, Outlook 15.0 and 16.0. Expected bytes
 * are those of the layout rules (reference 2), written out.
 */
#include "fixture.h"

#include "base/text.h"
#include "report/report.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD "Windows Registry Editor Version 5.00\n"

static const struct variant {
    unsigned width;
    const char *version;
} variants[] = {{8, "16.0"}, {4, "16.0"}, {8, "15.0"}, {4, "15.0"}};
#define N_VARIANTS 4

typedef struct world {
    gen_profile g;
    cpuu_reg *reg;  /* the registry */
    cpuu_reg *view; /* with the edits */
    cpuu_edits edits;
    cpuu_profile *p;
    char section[33];
} world;

static void start(world *w, const gen_profile *g)
{
    cpuu_error err = CPUU_ERROR_INIT;
    w->g = *g;
    w->reg = reg_from_file(NULL);
    reg_add_generated(w->reg, g);
    cpuu_edits_init(&w->edits);
    OK(cpuu_reg_open_overlay(w->reg, &w->edits, &w->view, &err));
    w->p = open_profile(w->view, g->profile);
}

static void start_variant(world *w, int i)
{
    gen_profile g;
    gen_example(&g);
    g.width = variants[i].width;
    g.version = variants[i].version;
    start(w, &g);
}

static void finish(world *w)
{
    cpuu_profile_free(w->p);
    cpuu_reg_close(w->view);
    cpuu_edits_free(&w->edits);
    cpuu_reg_close(w->reg);
}

static const char *section(world *w, const char *label)
{
    uint8_t uid[16];
    gen_uid(&w->g, label, uid);
    cpuu_hex(w->section, uid, 16);
    return w->section;
}

static char *section_key(world *w, const char *label)
{
    return cpuu_reg_join(w->p->key, section(w, label));
}

static const char *hex_in(world *w, const char *label, const char *name)
{
    char *key = section_key(w, label);
    const char *hex = hex_of(w->view, key, name);
    cpuu_free(key);
    return hex;
}

static size_t findings(cpuu_profile *p)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_findings f;
    OK(cpuu_profile_check(p, &f, &err));
    size_t n = f.count;
    for (size_t i = 0; i < n; i++)
        printf("finding: %s: %s\n", f.items[i].section, f.items[i].text);
    cpuu_findings_free(&f);
    return n;
}

/* ---- model ----------------------------------------------------------------------------------- */

START_TEST(a_generated_profile_is_read)
{
    world w;
    start_variant(&w, _i);
    ck_assert_str_eq(w.p->outlook_version, variants[_i].version);
    ck_assert_uint_eq(w.p->mv_width, variants[_i].width);
    ck_assert(w.p->is_default);
    ck_assert_uint_eq(w.p->n_services, 3);
    ck_assert_str_eq(w.p->services[1].name, "MSEMS");
    ck_assert_uint_eq(w.p->services[1].n_providers, 6); /* store, 2 boxes, public, GAL, transport */
    ck_assert_uint_eq(w.p->n_accounts, 1);
    const cpuu_account *a = &w.p->accounts[0];
    ck_assert_str_eq(a->subkey, "00000002");
    ck_assert_str_eq(a->smtp, "anna.alder@source.example");
    ck_assert_str_eq(a->legacy_dn, w.g.dn);
    ck_assert_str_eq(a->display_name, "Anna Alder");
    ck_assert_str_eq(a->store_section, section(&w, "store"));
    ck_assert_str_eq(a->emsmdb_section, section(&w, "emsmdb"));
    ck_assert(a->cached);
    ck_assert(!a->has_disagreement);
    ck_assert_uint_eq(findings(w.p), 0);
    finish(&w);
}
END_TEST

START_TEST(sources_that_disagree_are_noticed)
{
    world w;
    start_variant(&w, 0);
    char *key = section_key(&w, "emsmdb");
    char *text =
        cpuu_asprintf(HEAD "[HKEY_CURRENT_USER\\%s]\n\"001e6603\"=\"/o=Other/cn=x\"\n", key);
    reg_add_text(w.reg, text);
    cpuu_profile *p = open_profile(w.reg, "Outlook");
    ck_assert(p->accounts[0].has_disagreement);
    ck_assert_str_eq(p->accounts[0].legacy_dn, "/o=Other/cn=x");
    cpuu_profile_free(p);
    cpuu_free(text);
    cpuu_free(key);
    finish(&w);
}
END_TEST

/* The sections of a second Exchange account, hung into all lists the way Outlook does. */
static void append_uid(world *w, cpuu_edits *e, const char *key, const char *name,
                       const char *label)
{
    uint8_t list[512];
    const char *old = hex_of(w->reg, key, name);
    size_t n = strlen(old) / 2;
    ck_assert(cpuu_unhex(list, old, n));
    gen_uid(&w->g, label, list + n);
    ck_assert_int_eq(
        cpuu_edits_set(e, key, name, CPUU_REG_BINARY, list, (uint32_t)n + 16, CPUU_MARK_NONE, NULL),
        CPUU_OK);
}

static void set_wide(cpuu_edits *e, const char *key, const char *name, const char *text)
{
    cpuu_buf b;
    cpuu_buf_init(&b, 1024);
    ck_assert(cpuu_buf_utf16(&b, text, true));
    ck_assert_int_eq(cpuu_edits_set(e, key, name, CPUU_REG_BINARY, b.data, (uint32_t)b.size,
                                    CPUU_MARK_NONE, NULL),
                     CPUU_OK);
    cpuu_buf_free(&b);
}

static void add_second_account(world *w, const char *subkey)
{
    static const uint8_t primary_store[16] = {0x54, 0x94, 0xa1, 0xc0, 0x29, 0x7f, 0x10, 0x1b,
                                              0xa5, 0x87, 0x08, 0x00, 0x2b, 0x2a, 0x25, 0x17};
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_edits e;
    cpuu_edits_init(&e);
    char *master = cpuu_reg_join(w->p->key, CPUU_SECTION_MASTER);
    char *service = section_key(w, "service 2"), *store = section_key(w, "store 2");
    char *emsmdb = section_key(w, "emsmdb 2");
    char *account = cpuu_asprintf("%s\\" CPUU_SECTION_ACCOUNTS "\\%s", w->p->key, subkey);
    char *const keys[] = {service, store, emsmdb, account};
    for (size_t i = 0; i < 4; i++)
        OK(cpuu_edits_create_key(&e, keys[i], CPUU_MARK_NONE, NULL));
    append_uid(w, &e, master, "01023d0e", "service 2");
    append_uid(w, &e, master, "01023d00", "store 2");
    append_uid(w, &e, service, "01023d00", "store 2");
    append_uid(w, &e, service, "01023d15", "emsmdb 2");
    append_uid(w, &e, store, "01023d0c", "service 2");
    append_uid(w, &e, store, "01023d15", "emsmdb 2");
    append_uid(w, &e, account, "Service UID", "service 2");
    OK(cpuu_edits_set(&e, store, "01023414", CPUU_REG_BINARY, primary_store, 16, CPUU_MARK_NONE,
                      NULL));
    set_wide(&e, service, "001f3d09", "MSEMS");
    set_wide(&e, emsmdb, "001f6641", "SMTP:anna@other.example");
    OK(cpuu_edits_set_sz(&e, account, "Service Name", "MSEMS", CPUU_MARK_NONE, NULL));
    OK(cpuu_reg_apply(w->reg, &e, &err));
    cpuu_edits_free(&e);
    for (size_t i = 0; i < 4; i++)
        cpuu_free(keys[i]);
    cpuu_free(master);
}

static void set_primary(world *w, const char *label)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_edits e;
    uint8_t uid[16];
    cpuu_edits_init(&e);
    char *key = cpuu_reg_join(w->p->key, CPUU_SECTION_OUTLOOK);
    gen_uid(&w->g, label, uid);
    OK(cpuu_edits_set(&e, key, "01023d15", CPUU_REG_BINARY, uid, 16, CPUU_MARK_NONE, NULL));
    OK(cpuu_reg_apply(w->reg, &e, &err));
    cpuu_free(key);
    cpuu_edits_free(&e);
}

static void check_order(world *w, const char *first, const char *second)
{
    cpuu_profile *p = open_profile(w->reg, "Outlook");
    ck_assert_uint_eq(p->n_accounts, 2);
    ck_assert_str_eq(p->accounts[0].smtp, first);
    ck_assert_str_eq(p->accounts[1].smtp, second);
    cpuu_profile_free(p);
}

/* The primary account is the one the Outlook section points to, not the lowest id. */
START_TEST(the_primary_account_comes_first)
{
    world w;
    cpuu_error err = CPUU_ERROR_INIT;
    start_variant(&w, 0);
    add_second_account(&w, "00000005");
    check_order(&w, w.g.smtp, "anna@other.example");
    set_primary(&w, "emsmdb 2");
    check_order(&w, "anna@other.example", w.g.smtp);
    set_primary(&w, "no such section");
    check_order(&w, w.g.smtp, "anna@other.example"); /* the lowest id */

    set_primary(&w, "emsmdb"); /* the switch leaves the other account alone */
    cpuu_profile *p = open_profile(w.reg, "Outlook");
    ck_assert_uint_eq(findings(p), 0);
    ck_assert_uint_eq(p->n_services, 4);
    cpuu_arena arena = {0};
    char **names;
    size_t n;
    OK(cpuu_profile_sections(p, &p->accounts[0], CPUU_ROLE_PROVIDERS, "MSEMS", &arena, &names, &n,
                             &err));
    ck_assert_uint_eq(n, 6); /* and not the store of the other account */
    OK(cpuu_profile_sections(p, &p->accounts[1], CPUU_ROLE_PROVIDERS, "MSEMS", &arena, &names, &n,
                             &err));
    ck_assert_uint_eq(n, 1);
    ck_assert_str_eq(names[0], section(&w, "store 2"));
    cpuu_arena_free(&arena);
    cpuu_identity source = {.smtp = w.g.smtp, .legacy_dn = w.g.dn};
    cpuu_identity target = {.smtp = "anna@target.example", .legacy_dn = "/o=T/cn=anna"};
    cpuu_switch_options o = {.disable_scp = true};
    OK(cpuu_profile_switch(p, &p->accounts[0], &source, &target, &o, &w.edits, &err));
    for (size_t i = 0; i < w.edits.count; i++) {
        const char *key = w.edits.items[i].key;
        ck_assert_ptr_null(strstr(key, section(&w, "emsmdb 2")));
        ck_assert_ptr_null(strstr(key, section(&w, "store 2")));
        ck_assert_ptr_null(strstr(key, "00000005"));
    }
    OK(cpuu_reg_apply(w.reg, &w.edits, &err));
    cpuu_edits_truncate(&w.edits, 0);
    check_order(&w, "anna@target.example", "anna@other.example");
    cpuu_profile_free(p);
    finish(&w);
}
END_TEST

/* ---- classification -------------------------------------------------------------------------- */

static int classify(cpuu_profile *p, const char *const *domains, bool offline)
{
    const cpuu_account *a;
    const char *reason;
    cpuu_profile_rules rules = {.domains = domains, .process_offline = offline};
    int code = cpuu_profile_classify(p, &rules, &a, &reason);
    ck_assert((code == 0) == (a != NULL));
    return code;
}

START_TEST(classification_follows_the_guide)
{
    static const char *const source[] = {"x.example", "SOURCE.example", NULL};
    static const char *const other[] = {"other.example", NULL};
    static const char *const none[] = {NULL};
    world w;
    start_variant(&w, 0);
    ck_assert_int_eq(classify(w.p, NULL, true), 0);
    ck_assert_int_eq(classify(w.p, none, true), 0);
    ck_assert_int_eq(classify(w.p, source, true), 0);
    ck_assert_int_eq(classify(w.p, other, true), CPUU_PROFILE_NO_ACCOUNT_ALLOWED);
    ck_assert_int_eq(classify(w.p, NULL, false), CPUU_PROFILE_IS_OFFLINE);
    cpuu_account *real = w.p->accounts, two[2] = {real[0], real[0]};
    w.p->accounts = two; /* several Exchange accounts: only the first one counts */
    w.p->n_accounts = 2;
    two[1].smtp = (char *)"anna@other.example";
    ck_assert_int_eq(classify(w.p, NULL, true), CPUU_PROFILE_MORE_THAN_ONE_ACCOUNT);
    ck_assert_int_eq(classify(w.p, other, true), CPUU_PROFILE_NO_ACCOUNT_ALLOWED);
    ck_assert_int_eq(classify(w.p, source, true), 0);
    w.p->n_accounts = 1;
    two[0].smtp = two[0].legacy_dn = NULL;
    ck_assert_int_eq(classify(w.p, NULL, true), CPUU_PROFILE_NOT_EXCHANGE_SERVICE);
    two[0] = real[0];
    two[0].store_section = NULL;
    ck_assert_int_eq(classify(w.p, NULL, true), CPUU_PROFILE_NOT_RESOLVED);
    w.p->accounts = real;
    char *name = w.p->services[2].name;
    w.p->services[2].name = (char *)"FOO";
    ck_assert_int_eq(classify(w.p, NULL, true), CPUU_PROFILE_UNEXPECTED_SERVICES);
    static const char *const foo[] = {"foo", NULL};
    cpuu_profile_rules rules = {.allowed_services = foo, .process_offline = true};
    const cpuu_account *a;
    const char *reason;
    ck_assert_int_eq(cpuu_profile_classify(w.p, &rules, &a, &reason), 0);
    w.p->services[2].name = name;
    w.p->is_backup = true;
    ck_assert_int_eq(classify(w.p, NULL, true), CPUU_PROFILE_IS_BACKUP);
    finish(&w);
}
END_TEST

START_TEST(empty_and_damaged_profiles_are_not_resolved)
{
    cpuu_reg *reg = reg_from_file(NULL);
    reg_add_text(reg, HEAD "[HKEY_CURRENT_USER\\Software\\Microsoft\\Office\\16.0\\Outlook\\"
                           "Profiles\\Empty]\n");
    cpuu_profile *p = open_profile(reg, "Empty");
    ck_assert(p->is_default);
    ck_assert_int_eq(classify(p, NULL, true), CPUU_PROFILE_NOT_RESOLVED);
    cpuu_profile_free(p);
    reg_add_text(reg, HEAD "[HKEY_CURRENT_USER\\Software\\Microsoft\\Office\\16.0\\Outlook\\"
                           "Profiles\\Empty\\" CPUU_SECTION_MASTER "]\n"
                           "\"01023d0e\"=hex:01,02,03,04,05,06,07,08,09,0a,0b,0c,0d,0e,0f,10\n");
    p = open_profile(reg, "Empty");
    ck_assert_int_eq(classify(p, NULL, true), CPUU_PROFILE_NOT_RESOLVED);
    ck_assert_uint_eq(findings(p), 1);
    cpuu_profile_free(p);
    cpuu_reg_close(reg);
}
END_TEST

START_TEST(an_endless_list_is_no_list)
{
    world w;
    cpuu_error err = CPUU_ERROR_INIT;
    start_variant(&w, 0);
    uint8_t *list = cpuu_calloc(60000, 16);
    for (uint32_t i = 0; i < 60000; i++)
        memcpy(list + 16 * i, &i, 4);
    char *key = cpuu_reg_join(w.p->key, CPUU_SECTION_MASTER);
    OK(cpuu_edits_set(&w.edits, key, "01023d0e", CPUU_REG_BINARY, list, 960000, CPUU_MARK_NONE,
                      ""));
    cpuu_profile *p = open_profile(w.view, "Outlook");
    ck_assert_int_eq(classify(p, NULL, true), CPUU_PROFILE_NOT_RESOLVED);
    ck_assert_uint_gt(findings(p), 0);
    cpuu_profile_free(p);
    cpuu_free(key);
    cpuu_free(list);
    finish(&w);
}
END_TEST

/* ---- discovery ------------------------------------------------------------------------------- */

START_TEST(the_newest_root_with_a_profile_comes_first)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_reg *reg = reg_from_file(NULL);
    cpuu_profile_roots r;
    OK(cpuu_profile_discover(reg, &r, &err));
    ck_assert_uint_eq(r.count, 0);
    reg_add_text(reg,
                 HEAD "[HKEY_CURRENT_USER\\Software\\Microsoft\\Office\\16.0\\Outlook\\Profiles\\"
                      "CPUU_{01020304-0506-0708-090a-0b0c0d0e0f10}]\n"
                      "[HKEY_CURRENT_USER\\Software\\Microsoft\\Office\\15.0\\Outlook]\n"
                      "\"DefaultProfile\"=\"B\303\274ro\"\n"
                      "[HKEY_CURRENT_USER\\Software\\Microsoft\\Office\\15.0\\Outlook\\Profiles\\"
                      "B\303\274ro]\n"
                      "[HKEY_CURRENT_USER\\Software\\Microsoft\\Office\\15.0\\Outlook\\Profiles\\"
                      "CPUU_Backup_1]\n"
                      "[HKEY_CURRENT_USER\\Software\\Microsoft\\Windows NT\\CurrentVersion\\"
                      "Windows Messaging Subsystem\\Profiles\\Old]\n");
    OK(cpuu_profile_discover(reg, &r, &err));
    ck_assert_uint_eq(r.count, 2); /* 16.0 holds only a temporary profile */
    ck_assert_str_eq(r.items[0].outlook_version, "15.0");
    ck_assert_str_eq(r.items[0].default_profile, "B\303\274ro");
    ck_assert_uint_eq(r.items[0].names.count, 2);
    ck_assert_str_eq(r.items[1].outlook_version, "");
    ck_assert_ptr_null(r.items[1].default_profile);
    cpuu_profile *p;
    OK(cpuu_profile_open(reg, &r.items[1], "Old", &p, &err));
    ck_assert(p->is_default); /* the only one */
    cpuu_profile_free(p);
    OK(cpuu_profile_open(reg, &r.items[0], "CPUU_Backup_1", &p, &err));
    ck_assert(p->is_backup);
    ck_assert(!p->is_default);
    cpuu_profile_free(p);
    ck_assert_int_eq(cpuu_profile_open(reg, &r.items[0], "None", &p, &err), CPUU_E_NOTFOUND);
    cpuu_profile_roots_free(&r);
    cpuu_reg_close(reg);
}
END_TEST

/* ---- values ---------------------------------------------------------------------------------- */

static void check_get(world *w, const char *label, uint32_t tag, const char *hex)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_arena arena = {0};
    cpuu_value v;
    char have[4096];
    OK(cpuu_profile_get(w->p, section(w, label), tag, &arena, &v, &err));
    ck_assert_uint_eq(v.tag, tag);
    cpuu_hex(have, v.data, v.size);
    ck_assert_str_eq(have, hex);
    cpuu_arena_free(&arena);
}

static cpuu_rc put(world *w, const char *label, uint32_t tag, const char *hex, cpuu_error *err)
{
    uint8_t data[512];
    size_t n = strlen(hex) / 2;
    ck_assert(cpuu_unhex(data, hex, n));
    cpuu_value v = {tag, (uint32_t)n, data};
    return cpuu_profile_set(w->p, &w->edits, section(w, label), &v, CPUU_MARK_OBSERVED, "test",
                            err);
}

START_TEST(values_are_read_in_mapi_terms)
{
    world w;
    start_variant(&w, _i);
    check_get(&w, "settings 2", 0x0489000b, "01"); /* boolean: 2 bytes stored, 1 byte given */
    check_get(&w, "settings 2", 0x041b0003, "06000000");
    check_get(&w, "settings 2", 0x0419001f, ""); /* an empty text */
    check_get(&w, "store", 0x660c001e, "6d61696c2e736f757263652e6578616d706c65");
    check_get(&w, "contab", 0x3d0f101e, "010000000a000000636f6e7461622e646c6c");
    check_get(&w, "contab book", 0x6628101f,
              "0200000008000000436f6e746163747309000000537570706c69657273");
    check_get(&w, "contab book", 0x66211003, "02000000040000000f010480040000000f010480");
    finish(&w);
}
END_TEST

START_TEST(a_value_is_stored_in_the_width_and_type_it_has)
{
    world w;
    cpuu_error err = CPUU_ERROR_INIT;
    start_variant(&w, _i);
    bool wide = variants[_i].width == 8;
    OK(put(&w, "contab book", 0x6628101f, "020000000100000041020000004263", &err));
    ck_assert_str_eq(hex_in(&w, "contab book", "101f6628"),
                     wide ? "02000000140000000000000018000000000000004100000042006300"
                            "0000"
                          : "020000000c0000001000000041000000420063000000");
    OK(put(&w, "contab book", 0x6624101e, "010000000300000041c3bc", &err)); /* A, u umlaut */
    ck_assert_str_eq(hex_in(&w, "contab book", "101e6624"),
                     wide ? "010000000c0000000000000041fc00" : "010000000800000041fc00");
    OK(put(&w, "contab book", 0x66201102, "0100000005000000aabbccddee", &err));
    ck_assert_str_eq(hex_in(&w, "contab book", "11026620"),
                     wide ? "0100000005000000000000001400000000000000aabbccddee000000"
                          : "01000000050000000c000000aabbccddee000000");
    OK(put(&w, "contab book", 0x66251003, "02000000040000000100000004000000ff000000", &err));
    ck_assert_str_eq(hex_in(&w, "contab book", "10036625"), "01000000ff000000");
    /* a new multi-valued property takes the width of the profile */
    OK(put(&w, "settings 1", 0x7777101f, "010000000100000041", &err));
    ck_assert_str_eq(hex_in(&w, "settings 1", "101f7777"),
                     wide ? "010000000c0000000000000041000000" : "010000000800000041000000");
    OK(put(&w, "settings 2", 0x0489000b, "00", &err));
    ck_assert_str_eq(hex_in(&w, "settings 2", "000b0489"), "0000");
    OK(put(&w, "store", 0x660c001e, "c3a9", &err)); /* REG_SZ: UTF-16 with its NUL */
    ck_assert_str_eq(hex_in(&w, "store", "001e660c"), "e9000000");
    char *key = section_key(&w, "store");
    cpuu_reg_values v;
    OK(cpuu_reg_get(w.view, key, "001e660c", &v, &err));
    ck_assert_uint_eq(v.items[0].type, CPUU_REG_SZ);
    cpuu_reg_values_free(&v);
    cpuu_free(key);
    OK(cpuu_reg_apply(w.reg, &w.edits, &err));
    cpuu_edits_truncate(&w.edits, 0);
    cpuu_profile *p = open_profile(w.reg, "Outlook");
    ck_assert_uint_eq(findings(p), 0);
    cpuu_profile_free(p);
    finish(&w);
}
END_TEST

START_TEST(staging_touches_no_more_than_it_must)
{
    world w;
    cpuu_error err = CPUU_ERROR_INIT;
    start_variant(&w, 0);
    OK(put(&w, "settings 2", 0x041b0003, "06000000", &err)); /* as it is */
    ck_assert_uint_eq(w.edits.count, 0);
    OK(put(&w, "contab book", 0x6628101f, "00000000", &err)); /* an empty list is removed */
    ck_assert_uint_eq(w.edits.count, 1);
    ck_assert_int_eq(w.edits.items[0].kind, CPUU_EDIT_UNSET);
    OK(put(&w, "settings 1", 0x7777101f, "00000000", &err)); /* and not created */
    ck_assert_uint_eq(w.edits.count, 1);
    OK(cpuu_profile_unset(w.p, &w.edits, section(&w, "settings 1"), 0x77770003, CPUU_MARK_OBSERVED,
                          "t", &err)); /* removing what is not there */
    ck_assert_uint_eq(w.edits.count, 1);
    ck_assert_int_eq(put(&w, "no such section", 0x041b0003, "06000000", &err), CPUU_E_NOTFOUND);
    ck_assert_int_eq(put(&w, "settings 2", 0x041b0003, "0600", &err), CPUU_E_FORMAT);
    ck_assert_int_eq(put(&w, "settings 2", 0x0418001f, "ff", &err), CPUU_E_FORMAT);
    ck_assert_int_eq(put(&w, "contab book", 0x6628101f, "0200000001000000", &err), CPUU_E_FORMAT);
    ck_assert_uint_eq(w.edits.count, 1);
    finish(&w);
}
END_TEST

START_TEST(what_is_not_understood_is_not_overwritten)
{
    world w;
    cpuu_error err = CPUU_ERROR_INIT;
    start_variant(&w, 0);
    char *key = section_key(&w, "contab book");
    char *text = cpuu_asprintf(HEAD "[HKEY_CURRENT_USER\\%s]\n"
                                    "\"101f6628\"=hex:02,00,00,00,ff,ff,ff,ff\n"
                                    "\"001f3001\"=hex:41\n\"00033009\"=hex:01\n"
                                    "\"10401234\"=hex:01,02,03,04,05,06,07,08\n",
                               key);
    reg_add_text(w.reg, text);
    ck_assert_int_eq(put(&w, "contab book", 0x6628101f, "010000000100000041", &err), CPUU_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "101f6628"));
    ck_assert_int_eq(put(&w, "contab book", 0x3001001f, "41", &err), CPUU_E_FORMAT);
    ck_assert_int_eq(put(&w, "contab book", 0x30090003, "00000000", &err), CPUU_E_FORMAT);
    ck_assert_int_eq(put(&w, "contab book", 0x12341040, "00000000", &err), CPUU_E_FORMAT);
    ck_assert_uint_eq(w.edits.count, 0);

    cpuu_arena arena = {0};
    cpuu_value *all;
    uint32_t n, errors = 0;
    OK(cpuu_profile_get_all(w.p, section(&w, "contab book"), &arena, &all, &n, &err));
    for (uint32_t i = 0; i < n; i++)
        errors += (all[i].tag & 0xffff) == 0x000a;
    ck_assert_uint_eq(n, 20); /* 19 generated ones and 10401234 */
    ck_assert_uint_eq(errors, 4);
    cpuu_arena_free(&arena);
    cpuu_free(text);
    cpuu_free(key);
    finish(&w);
}
END_TEST

/* ---- sections and providers ------------------------------------------------------------------ */

static size_t count_sections(world *w, uint32_t role, const char *filter)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_arena arena = {0};
    char **names;
    size_t n;
    OK(cpuu_profile_sections(w->p, &w->p->accounts[0], role, filter, &arena, &names, &n, &err));
    for (size_t i = 0; i < n; i++)
        ck_assert_uint_eq(strlen(names[i]), 32);
    cpuu_arena_free(&arena);
    return n;
}

START_TEST(sections_are_found_by_role)
{
    world w;
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_arena arena = {0};
    char **names;
    size_t n;
    start_variant(&w, 0);
    ck_assert_uint_eq(count_sections(&w, CPUU_ROLE_MASTER, NULL), 1);
    ck_assert_uint_eq(count_sections(&w, CPUU_ROLE_OUTLOOK, NULL), 1);
    ck_assert_uint_eq(count_sections(&w, CPUU_ROLE_SERVICES, NULL), 3);
    ck_assert_uint_eq(count_sections(&w, CPUU_ROLE_SERVICES, "msems"), 1);
    ck_assert_uint_eq(count_sections(&w, CPUU_ROLE_PROVIDERS, "MSEMS"), 6);
    ck_assert_uint_eq(count_sections(&w, CPUU_ROLE_PROVIDERS, "CONTAB"), 1);
    ck_assert_uint_eq(count_sections(&w, CPUU_ROLE_PROVIDERS, "NONE"), 0);
    OK(cpuu_profile_sections(w.p, &w.p->accounts[0], CPUU_ROLE_ACCOUNT, NULL, &arena, &names, &n,
                             &err));
    ck_assert_uint_eq(n, 1);
    ck_assert_str_eq(names[0], section(&w, "emsmdb"));
    ck_assert_int_eq(cpuu_profile_sections(w.p, NULL, 3, NULL, &arena, &names, &n, &err),
                     CPUU_E_UNSUPPORTED);
    cpuu_arena_free(&arena);
    finish(&w);
}
END_TEST

START_TEST(a_removed_provider_leaves_every_list)
{
    world w;
    cpuu_error err = CPUU_ERROR_INIT;
    start_variant(&w, _i);
    OK(cpuu_profile_remove_provider(w.p, &w.edits, section(&w, "box0"), &err));
    ck_assert_uint_eq(count_sections(&w, CPUU_ROLE_PROVIDERS, "MSEMS"), 5);
    cpuu_profile *p = open_profile(w.view, "Outlook");
    ck_assert_uint_eq(findings(p), 0);
    ck_assert_uint_eq(p->services[1].n_providers, 5);
    cpuu_profile_free(p);
    OK(cpuu_profile_remove_provider(w.p, &w.edits, section(&w, "box1"), &err));
    ck_assert_str_eq(hex_in(&w, "emsmdb", "01023d00"), ""); /* both were all of its list */
    p = open_profile(w.view, "Outlook");
    ck_assert_uint_eq(findings(p), 0);
    ck_assert_uint_eq(p->services[1].n_providers, 4);
    cpuu_profile_free(p);
    size_t before = w.edits.count;
    ck_assert_int_eq(cpuu_profile_remove_provider(w.p, &w.edits, section(&w, "store"), &err),
                     CPUU_E_UNSUPPORTED);
    ck_assert_int_eq(cpuu_profile_remove_provider(w.p, &w.edits, section(&w, "service"), &err),
                     CPUU_E_UNSUPPORTED);
    ck_assert_int_eq(cpuu_profile_remove_provider(w.p, &w.edits, section(&w, "box0"), &err),
                     CPUU_E_NOTFOUND);
    ck_assert_int_eq(cpuu_profile_remove_provider(w.p, &w.edits, "xyz", &err), CPUU_E_FORMAT);
    ck_assert_uint_eq(w.edits.count, before);
    finish(&w);
}
END_TEST

START_TEST(a_half_removed_provider_is_a_fatal_finding)
{
    world w;
    start_variant(&w, 0);
    cpuu_error err = CPUU_ERROR_INIT;
    char *key = section_key(&w, "box1");
    OK(cpuu_edits_delete_key(&w.edits, key, CPUU_MARK_NONE, NULL));
    ck_assert_uint_eq(findings(w.p), 3); /* master, service and EMSMDB list */
    cpuu_free(key);
    finish(&w);
}
END_TEST

/* ---- switch details -------------------------------------------------------------------------- */

static cpuu_rc switch_to(world *w, const cpuu_switch_options *o, cpuu_error *err)
{
    static const uint8_t inbox[46] = {0, 0, 0, 0, 7};
    cpuu_identity source = {.smtp = w->g.smtp, .legacy_dn = w->g.dn, .display_name = w->g.name};
    cpuu_identity target = {.smtp = "anna@target.example",
                            .legacy_dn = "/o=T/cn=anna",
                            .display_name = "Anna A.",
                            .store_uid = inbox,
                            .store_entryid = {inbox, 46},
                            .inbox_entryid = {inbox, 46}};
    return cpuu_profile_switch(w->p, &w->p->accounts[0], &source, &target, o, &w->edits, err);
}

static const char *account_hex(world *w, const char *id, const char *name)
{
    char *key = cpuu_asprintf("%s\\" CPUU_SECTION_ACCOUNTS "\\%s", w->p->key, id);
    const char *hex = hex_of(w->view, key, name);
    cpuu_free(key);
    return hex;
}

static uint32_t account_type(world *w, const char *id, const char *name)
{
    cpuu_error err = CPUU_ERROR_INIT;
    char *key = cpuu_asprintf("%s\\" CPUU_SECTION_ACCOUNTS "\\%s", w->p->key, id);
    cpuu_reg_values v;
    OK(cpuu_reg_get(w->view, key, name, &v, &err));
    uint32_t type = v.items[0].type;
    cpuu_reg_values_free(&v);
    cpuu_free(key);
    return type;
}

START_TEST(account_texts_keep_their_registry_type)
{
    world w;
    cpuu_error err = CPUU_ERROR_INIT;
    start_variant(&w, _i);
    uint32_t type = strcmp(variants[_i].version, "16.0") == 0 ? CPUU_REG_SZ : CPUU_REG_BINARY;
    ck_assert_uint_eq(account_type(&w, "00000002", "Account Name"), type);
    OK(switch_to(&w, &(cpuu_switch_options){0}, &err));
    ck_assert_uint_eq(account_type(&w, "00000002", "Account Name"), type);
    ck_assert_uint_eq(account_type(&w, "00000002", "Display Name"), type);
    ck_assert_str_eq(account_hex(&w, "00000002", "Display Name"),
                     "41006e006e006100200041002e000000");
    ck_assert_str_eq(account_hex(&w, "00000002", "Identity Eid"),
                     "00000000dca740c8c042101ab4b908002b2fe1820100000000000000"
                     "2f6f3d542f636e3d616e6e6100");
    finish(&w);
}
END_TEST

START_TEST(switching_twice_is_switching_once)
{
    world w;
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_switch_options o = {.disable_scp = true, .remove_junk = true, .ost_path = "D:\\x.ost"};
    start_variant(&w, _i);
    OK(switch_to(&w, &o, &err));
    ck_assert_uint_gt(w.edits.count, 20);
    OK(cpuu_reg_apply(w.reg, &w.edits, &err));
    cpuu_edits_truncate(&w.edits, 0);
    OK(switch_to(&w, &o, &err));
    for (size_t i = 0; i < w.edits.count; i++)
        ck_abort_msg("%s: %s", w.edits.items[i].key, w.edits.items[i].name);
    finish(&w);
}
END_TEST

START_TEST(options_of_the_switch)
{
    world w;
    cpuu_error err = CPUU_ERROR_INIT;
    start_variant(&w, 0);
    cpuu_switch_options o = {.name_target_as_source = true, .remove_junk = true};
    OK(switch_to(&w, &o, &err));
    ck_assert_str_eq(text_of(w.p, section(&w, "store"), 0x3001001f), w.g.smtp);
    ck_assert_str_eq(text_of(w.p, section(&w, "settings 2"), 0x0418001f), "(none)");
    ck_assert_str_eq(hex_in(&w, "settings 2", "0003041b"), "");
    ck_assert_str_eq(hex_in(&w, "settings 2", "000b0489"), "0100");
    ck_assert_str_eq(text_of(w.p, section(&w, "emsmdb"), 0x6610001f), "(none)"); /* no old OST */
    ck_assert(
        !cpuu_reg_has_key(w.view, "Software\\Microsoft\\Office\\16.0\\Outlook\\AutoDiscover"));
    cpuu_edits_truncate(&w.edits, 0);
    o = (cpuu_switch_options){.disable_scp = true, .ost_path = "D:\\x.ost"};
    OK(switch_to(&w, &o, &err));
    ck_assert_str_eq(text_of(w.p, section(&w, "store"), 0x3001001f), "anna@target.example");
    ck_assert_str_eq(text_of(w.p, section(&w, "public"), 0x3001001f),
                     "Public Folders - anna@target.example");
    ck_assert_str_eq(text_of(w.p, section(&w, "settings 2"), 0x0418001f),
                     "friend@elsewhere.example;");
    ck_assert_str_eq(text_of(w.p, section(&w, "emsmdb"), 0x6610001f), "D:\\x.ost");
    ck_assert_str_eq(text_of(w.p, section(&w, "box0"), 0x6641001f),
                     "SMTP:ben.birch@source.example");
    ck_assert_str_eq(hex_of(w.view, "Software\\Microsoft\\Office\\16.0\\Outlook\\AutoDiscover",
                            "ExcludeScpLookup"),
                     "01000000");
    finish(&w);
}
END_TEST

START_TEST(a_renamed_store_keeps_its_name)
{
    world w;
    cpuu_error err = CPUU_ERROR_INIT;
    start_variant(&w, 0);
    OK(put(&w, "store", 0x66880003, "01000000", &err));
    OK(put(&w, "store", 0x3001001f, "4d6179", &err));
    OK(switch_to(&w, &(cpuu_switch_options){0}, &err));
    ck_assert_str_eq(text_of(w.p, section(&w, "store"), 0x3001001f), "May");
    finish(&w);
}
END_TEST

/* Sections of older versions that hold the same values, and stored credentials. */
START_TEST(global_sections_and_credentials)
{
    static const char *const sections[] = {CPUU_SECTION_EXCHANGE,
                                           "dca740c8c042101ab4b908002b2fe182"};
    world w;
    cpuu_error err = CPUU_ERROR_INIT;
    start_variant(&w, 0);
    for (size_t i = 0; i < 2; i++) {
        char *text = cpuu_asprintf(HEAD "[HKEY_CURRENT_USER\\%s\\%s]\n\"001e6602\"=\"mail\"\n"
                                        "\"001f6641\"=hex:41,00,00,00\n\"00036601\"=hex:04,00,00,"
                                        "00\n\"S010267f0\"=hex:01,02\n\"00036789\"=hex:01\n",
                                   w.p->key, sections[i]);
        reg_add_text(w.reg, text);
        cpuu_free(text);
    }
    OK(switch_to(&w, &(cpuu_switch_options){0}, &err));
    for (size_t i = 0; i < 2; i++) {
        char *key = cpuu_reg_join(w.p->key, sections[i]);
        ck_assert_str_eq(text_of(w.p, sections[i], 0x6641001f), "SMTP:anna@target.example");
        ck_assert_str_eq(hex_of(w.view, key, "001e6602"), "");
        ck_assert_str_eq(hex_of(w.view, key, "S010267f0"), "");
        ck_assert_str_eq(hex_of(w.view, key, "00036601"), "04000000");
        ck_assert_str_eq(hex_of(w.view, key, "00036789"), "01");
        cpuu_free(key);
    }
    finish(&w);
}
END_TEST

START_TEST(an_account_that_delivers_into_the_mailbox_follows)
{
    world w;
    cpuu_error err = CPUU_ERROR_INIT;
    gen_profile g;
    gen_example(&g);
    g.second_account = 1;
    start(&w, &g);
    OK(switch_to(&w, &(cpuu_switch_options){0}, &err));
    char own[200];
    snprintf(own, sizeof(own), "%s", account_hex(&w, "00000002", "Delivery Store EntryID"));
    ck_assert_uint_eq(strlen(own), 92);
    ck_assert_str_eq(account_hex(&w, "00000004", "Delivery Store EntryID"), own);
    ck_assert_uint_eq(strlen(account_hex(&w, "00000004", "Delivery Folder EntryID")), 92);
    finish(&w);
}
END_TEST

/* ---- image ----------------------------------------------------------------------------------- */

START_TEST(a_restore_undoes_any_change_below_the_profile)
{
    world w;
    cpuu_error err = CPUU_ERROR_INIT;
    start_variant(&w, _i);
    char *key = cpuu_reg_join(w.p->key, "Odd");
    char *text = cpuu_asprintf(HEAD "[HKEY_CURRENT_USER\\%s]\n\"odd\"=hex(1):41,00,42\n"
                                    "\"none\"=hex(0):\n@=hex(7):01\n\"Big\"=hex(1b):00\n",
                               key);
    reg_add_text(w.reg, text);
    cpuu_free(text);
    char *before = reg_dump(w.reg, "");
    cpuu_buf image;
    cpuu_buf_init(&image, 1 << 24);
    OK(cpuu_profile_image(w.p, NULL, &image, &err));

    text =
        cpuu_asprintf(HEAD "[HKEY_CURRENT_USER\\%s]\n\"odd\"=\"x\"\n\"none\"=-\n\"new\"=dword:1\n"
                           "[HKEY_CURRENT_USER\\%s\\Sub\\Deeper]\n\"a\"=\"b\"\n"
                           "[HKEY_CURRENT_USER\\%s\\" CPUU_SECTION_ACCOUNTS "\\00000009]\n"
                           "\"clsid\"=\"x\"\n"
                           "[HKEY_CURRENT_USER\\Software\\Microsoft\\Office\\%s\\Outlook]\n"
                           "\"DefaultProfile\"=\"Else\"\n"
                           "[HKEY_CURRENT_USER\\Software\\Microsoft\\Office\\%s\\Outlook\\"
                           "AutoDiscover]\n\"ExcludeScpLookup\"=dword:1\n",
                      key, key, w.p->key, w.g.version, w.g.version);
    reg_add_text(w.reg, text);
    cpuu_free(text);
    cpuu_edits back;
    cpuu_edits_init(&back);
    OK(cpuu_profile_restore(w.reg, image.data, image.size, &back, &err));
    for (size_t i = 0; i < back.count; i++) /* the profile itself is never created or deleted */
        ck_assert(back.items[i].name || !cpuu_caseeq(back.items[i].key, w.p->key));
    OK(cpuu_reg_apply(w.reg, &back, &err));
    char *after = reg_dump(w.reg, "");
    ck_assert_str_eq(after, before);
    cpuu_edits_truncate(&back, 0);
    OK(cpuu_profile_restore(w.reg, image.data, image.size, &back, &err));
    ck_assert_uint_eq(back.count, 0); /* restoring twice is restoring once */

    OK(cpuu_edits_delete_key(&back, w.p->key, CPUU_MARK_NONE, NULL));
    OK(cpuu_reg_apply(w.reg, &back, &err));
    cpuu_edits_truncate(&back, 0);
    ck_assert_int_eq(cpuu_profile_restore(w.reg, image.data, image.size, &back, &err),
                     CPUU_E_NOTFOUND);
    bool equal = true;
    char *difference = NULL;
    OK(cpuu_profile_compare(w.reg, image.data, image.size, &equal, &difference, &err));
    ck_assert(!equal);
    cpuu_free(difference);
    free(before);
    free(after);
    cpuu_edits_free(&back);
    cpuu_buf_free(&image);
    cpuu_free(key);
    finish(&w);
}
END_TEST

START_TEST(a_damaged_image_is_refused)
{
    world w;
    cpuu_error err = CPUU_ERROR_INIT;
    start_variant(&w, 0);
    cpuu_buf image;
    cpuu_edits e;
    cpuu_buf_init(&image, 1 << 24);
    cpuu_edits_init(&e);
    OK(cpuu_profile_image(w.p, NULL, &image, &err));
    for (size_t i = 0; i < image.size; i += i < 64 ? 1 : 131) {
        image.data[i] ^= 0x20;
        cpuu_rc rc = cpuu_profile_restore(w.reg, image.data, image.size, &e, &err);
        ck_assert_msg(rc == CPUU_E_FORMAT || rc == CPUU_E_UNSUPPORTED, "%zu: %d", i, rc);
        image.data[i] ^= 0x20;
        ck_assert_int_eq(cpuu_profile_restore(w.reg, image.data, i, &e, &err), CPUU_E_FORMAT);
    }
    ck_assert_uint_eq(e.count, 0);
    OK(cpuu_profile_restore(w.reg, image.data, image.size, &e, &err));
    cpuu_edits_free(&e);
    cpuu_buf_free(&image);
    finish(&w);
}
END_TEST

/* ---- marker, copy, folders ------------------------------------------------------------------- */

START_TEST(a_marker_comes_and_goes_without_a_trace)
{
    world w;
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_arena arena = {0};
    cpuu_marker m;
    start_variant(&w, 0);
    char *before = reg_dump(w.reg, "");
    ck_assert_int_eq(cpuu_marker_read(w.reg, w.p->key, &arena, &m, &err), CPUU_E_NOTFOUND);
    cpuu_marker mine = {(char *)"id-1", w.p->key, (char *)"/o=T/cn=a", (char *)"a@t.example"};
    cpuu_marker other = {(char *)"id-2", (char *)"Software\\Else", (char *)"", (char *)""};
    OK(cpuu_marker_write(&w.edits, &mine, &err));
    OK(cpuu_marker_write(&w.edits, &other, &err));
    OK(cpuu_reg_apply(w.reg, &w.edits, &err));
    cpuu_edits_truncate(&w.edits, 0);
    OK(cpuu_marker_read(w.reg, w.p->key, &arena, &m, &err));
    ck_assert_str_eq(m.journal_id, "id-1");
    ck_assert_str_eq(m.target_dn, "/o=T/cn=a");
    ck_assert_str_eq(m.target_smtp, "a@t.example");
    OK(cpuu_marker_remove(w.reg, &w.edits, "SOFTWARE\\else", &err));
    OK(cpuu_reg_apply(w.reg, &w.edits, &err));
    cpuu_edits_truncate(&w.edits, 0);
    OK(cpuu_marker_read(w.reg, w.p->key, &arena, &m, &err));
    OK(cpuu_marker_remove(w.reg, &w.edits, w.p->key, &err));
    OK(cpuu_reg_apply(w.reg, &w.edits, &err));
    cpuu_edits_truncate(&w.edits, 0);
    char *after = reg_dump(w.reg, "");
    ck_assert_str_eq(after, before);
    free(after);
    free(before);
    cpuu_arena_free(&arena);
    finish(&w);
}
END_TEST

START_TEST(a_copy_is_the_same_but_for_its_uid)
{
    static const uint8_t uid[16] = {9, 8, 7};
    world w;
    cpuu_error err = CPUU_ERROR_INIT;
    start_variant(&w, 0);
    OK(cpuu_profile_copy(w.p, "CPUU_Backup_1", NULL, &w.edits, &err));
    cpuu_profile *p = open_profile(w.view, "CPUU_Backup_1");
    ck_assert(p->is_backup);
    ck_assert_uint_eq(findings(p), 0);
    char *original = reg_dump(w.view, w.p->key), *copy = reg_dump(w.view, p->key);
    for (char *s = copy; (s = strstr(s, "Profiles\\CPUU_Backup_1")); s++) {
        memmove(s + 16, s + 22, strlen(s + 22) + 1);
        memcpy(s, "Profiles\\Outlook", 16);
    }
    ck_assert_str_eq(copy, original);
    free(original);
    free(copy);
    cpuu_profile_free(p);
    OK(cpuu_profile_copy(w.p, "CPUU_Temp", uid, &w.edits, &err));
    p = open_profile(w.view, "CPUU_Temp");
    ck_assert_mem_eq(p->uid, uid, 16);
    ck_assert_mem_ne(p->uid, w.p->uid, 16);
    cpuu_profile_free(p);
    size_t before = w.edits.count;
    ck_assert_int_eq(cpuu_profile_copy(w.p, "CPUU_Backup_1", NULL, &w.edits, &err), CPUU_E_EXISTS);
    ck_assert_int_eq(cpuu_profile_copy(w.p, "B\303\274ro", NULL, &w.edits, &err), CPUU_E_FORMAT);
    ck_assert_int_eq(cpuu_profile_copy(w.p, "a\\b", NULL, &w.edits, &err), CPUU_E_FORMAT);
    ck_assert_uint_eq(w.edits.count, before);
    finish(&w);
}
END_TEST

START_TEST(user_folders_are_found_without_regard_to_case)
{
    char home[] = "/tmp/cpuu-t-profile-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(home));
    char *dir = NULL, *made[5];
    static const char *const parts[] = {"appdata", "appdata/ROAMING", "appdata/ROAMING/Microsoft",
                                        "appdata/ROAMING/Microsoft/outlook", "appdata/x"};
    for (size_t i = 0; i < 5; i++) {
        made[i] = cpuu_asprintf("%s/%s", home, parts[i]);
        ck_assert_int_eq(mkdir(made[i], 0700), 0);
    }
    cpuu_error err = CPUU_ERROR_INIT;
    world w;
    start_variant(&w, 0);
    OK(cpuu_profile_user_dir_in(w.reg, home, CPUU_DIR_ROAMING, &dir, &err));
    ck_assert_str_eq(dir, made[3]);
    cpuu_free(dir);
    ck_assert_int_eq(cpuu_profile_user_dir_in(w.reg, home, CPUU_DIR_LOCAL, &dir, &err),
                     CPUU_E_NOTFOUND);
    ck_assert_int_eq(cpuu_profile_user_dir(w.reg, CPUU_DIR_ROAMING, &dir, &err), CPUU_E_NOTFOUND);
    static const char *const elsewhere[] = {"D:\\\\Users\\\\anna\\\\AppData\\\\Roaming",
                                            "\\\\\\\\server\\\\share", "%USERPROFILE%\\\\..\\\\bob",
                                            "%USERPROFILE%\\\\%HOMEPATH%", "%USERPROFILE%"};
    for (size_t i = 0; i < 5; i++) {
        char *text = cpuu_asprintf(HEAD "[HKEY_CURRENT_USER\\Software\\Microsoft\\Windows\\"
                                        "CurrentVersion\\Explorer\\User Shell Folders]\n"
                                        "\"AppData\"=\"%s\"\n",
                                   elsewhere[i]);
        reg_add_text(w.reg, text);
        cpuu_free(text);
        ck_assert_int_eq(cpuu_profile_user_dir_in(w.reg, home, CPUU_DIR_ROAMING, &dir, &err),
                         CPUU_E_NOTFOUND);
    }
    for (size_t i = 5; i-- > 0;) {
        rmdir(made[i]);
        cpuu_free(made[i]);
    }
    rmdir(home);
    finish(&w);
}
END_TEST

/* ---- memory ---------------------------------------------------------------------------------- */

/* Everything that stages edits one by one, in a row. */
static cpuu_rc stage_all(world *w, const char *home, cpuu_error *err)
{
    cpuu_arena arena = {0};
    cpuu_marker mine = {(char *)"id", w->p->key, (char *)"", (char *)"a@t.example"}, m;
    cpuu_value one = {0x6628101f, 9, (const uint8_t *)"\1\0\0\0\1\0\0\0A"}, *all;
    cpuu_value eight = {0x6624101e, 9, (const uint8_t *)"\1\0\0\0\1\0\0\0A"};
    char **names, *dir = NULL, book[33], box[33];
    size_t n;
    uint32_t n32;
    strcpy(book, section(w, "contab book"));
    strcpy(box, section(w, "box0"));
    cpuu_rc rc = cpuu_profile_get_all(w->p, book, &arena, &all, &n32, err);
    if (rc >= 0)
        rc = cpuu_profile_set(w->p, &w->edits, book, &one, CPUU_MARK_OBSERVED, "t", err);
    if (rc >= 0)
        rc = cpuu_profile_set(w->p, &w->edits, book, &eight, CPUU_MARK_OBSERVED, "t", err);
    if (rc >= 0)
        rc = cpuu_profile_unset(w->p, &w->edits, book, 0x66211003, CPUU_MARK_OBSERVED, "t", err);
    if (rc >= 0)
        rc = cpuu_profile_sections(w->p, &w->p->accounts[0], CPUU_ROLE_PROVIDERS, "MSEMS", &arena,
                                   &names, &n, err);
    if (rc >= 0)
        rc = cpuu_profile_remove_provider(w->p, &w->edits, box, err);
    if (rc >= 0)
        rc = cpuu_marker_write(&w->edits, &mine, err);
    if (rc >= 0)
        rc = cpuu_marker_read(w->view, w->p->key, &arena, &m, err);
    if (rc >= 0)
        rc = cpuu_marker_remove(w->view, &w->edits, w->p->key, err);
    if (rc >= 0)
        rc = cpuu_profile_user_dir_in(w->reg, home, CPUU_DIR_ROAMING, &dir, err);
    cpuu_free(dir);
    cpuu_arena_free(&arena);
    return rc;
}

START_TEST(staging_survives_every_failing_allocation)
{
    char home[] = "/tmp/cpuu-t-profile-XXXXXX", path[128];
    static const char *const parts[] = {"", "/AppData", "/AppData/Roaming",
                                        "/AppData/Roaming/Microsoft",
                                        "/AppData/Roaming/Microsoft/Outlook"};
    ck_assert_ptr_nonnull(mkdtemp(home));
    for (size_t i = 1; i < 5; i++) {
        snprintf(path, sizeof(path), "%s%s", home, parts[i]);
        ck_assert_int_eq(mkdir(path, 0700), 0);
    }
    world w;
    start_variant(&w, 1);
    unsigned long n = 1;
    for (bool done = false; !done; n++) {
        cpuu_error err = CPUU_ERROR_INIT;
        fail_allocation(n);
        cpuu_rc rc = stage_all(&w, home, &err);
        done = !allocation_failed();
        fail_allocation(0);
        ck_assert_msg(rc == (done ? CPUU_OK : CPUU_E_NOMEM), "%lu: %d %s", n, rc, err.text);
        cpuu_edits_truncate(&w.edits, 0);
    }
    printf("%lu allocations of staging\n", n);
    ck_assert_uint_gt(n, 200);
    finish(&w);
    for (size_t i = 5; i-- > 0;) {
        snprintf(path, sizeof(path), "%s%s", home, parts[i]);
        rmdir(path);
    }
}
END_TEST

Suite *edit_suite(void)
{
    Suite *s = suite_create("edit");
    TCase *t = tcase_create("edit");
    tcase_add_loop_test(t, a_generated_profile_is_read, 0, N_VARIANTS);
    tcase_add_test(t, sources_that_disagree_are_noticed);
    tcase_add_test(t, the_primary_account_comes_first);
    tcase_add_test(t, staging_survives_every_failing_allocation);
    tcase_add_test(t, classification_follows_the_guide);
    tcase_add_test(t, empty_and_damaged_profiles_are_not_resolved);
    tcase_add_test(t, an_endless_list_is_no_list);
    tcase_add_test(t, the_newest_root_with_a_profile_comes_first);
    tcase_add_loop_test(t, values_are_read_in_mapi_terms, 0, N_VARIANTS);
    tcase_add_loop_test(t, a_value_is_stored_in_the_width_and_type_it_has, 0, N_VARIANTS);
    tcase_add_test(t, staging_touches_no_more_than_it_must);
    tcase_add_test(t, what_is_not_understood_is_not_overwritten);
    tcase_add_test(t, sections_are_found_by_role);
    tcase_add_loop_test(t, a_removed_provider_leaves_every_list, 0, N_VARIANTS);
    tcase_add_test(t, a_half_removed_provider_is_a_fatal_finding);
    tcase_add_loop_test(t, account_texts_keep_their_registry_type, 0, N_VARIANTS);
    tcase_add_test(t, options_of_the_switch);
    tcase_add_loop_test(t, switching_twice_is_switching_once, 0, N_VARIANTS);
    tcase_add_test(t, a_renamed_store_keeps_its_name);
    tcase_add_test(t, global_sections_and_credentials);
    tcase_add_test(t, an_account_that_delivers_into_the_mailbox_follows);
    tcase_add_loop_test(t, a_restore_undoes_any_change_below_the_profile, 0, N_VARIANTS);
    tcase_add_test(t, a_damaged_image_is_refused);
    tcase_add_test(t, a_marker_comes_and_goes_without_a_trace);
    tcase_add_test(t, a_copy_is_the_same_but_for_its_uid);
    tcase_add_test(t, user_folders_are_found_without_regard_to_case);
    suite_add_tcase(s, t);
    return s;
}
