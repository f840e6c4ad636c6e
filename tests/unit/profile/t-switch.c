/*
 * The switch, the image and the restore on the synthetic Exchange profiles of both widths. Expected
 * values are those of the reference (4.1, 4.3, 6, 11.2), written out; that nothing else changes is
 * checked by comparing two exports line by line.
 */
#include "fixture.h"

#include "base/text.h"

#include "../oracle.h"

#include <cpuu/formats/entryid.h>

#include <stdlib.h>
#include <string.h>

#define SOURCE_SMTP "anna.alder@source.example"
#define TARGET_SMTP "anna@target.example"
#define TARGET_DN   "/o=Target/ou=Exchange Administrative Group/cn=Recipients/cn=anna-t"
#define NEW_OST     "C:\\Users\\anna\\AppData\\Local\\Microsoft\\Outlook\\anna@target.example.ost"
#define OFFICE      "Software\\Microsoft\\Office\\16.0\\Outlook"

static const uint8_t target_uid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

typedef struct world {
    cpuu_reg *reg;
    cpuu_profile *p;
    char *dn;
    cpuu_buf store, inbox;
    cpuu_identity source, target;
    cpuu_switch_options options;
    cpuu_edits edits;
} world;

/* file: a sample, or NULL for a generated profile with a second account. */
static bool open_world(world *w, const char *test, const char *file)
{
    gen_profile g;
    gen_example(&g);
    g.second_account = 1;
    g.width = 4;
    if (file && !oracle_path(test, file))
        return false;
    memset(w, 0, sizeof(*w));
    w->reg = reg_from_file(NULL);
    if (file && oracle_path(test, POP_X64))
        reg_add_file(w->reg, oracle_path(test, POP_X64));
    if (file)
        reg_add_file(w->reg, oracle_path(test, file));
    else
        reg_add_generated(w->reg, &g);
    reg_add_text(w->reg, "Windows Registry Editor Version 5.00\n"
                         "[HKEY_CURRENT_USER\\" OFFICE "\\Perf\\RoamingStreamsCache\\"
                         "00112233445566778899AABBCCDDEEFF]\n\"MsgEID\"=hex:00,01\n");
    w->p = open_profile(w->reg, "Outlook");
    cpuu_buf_init(&w->store, 4096);
    cpuu_buf_init(&w->inbox, 4096);
    cpuu_gid gid = {{0xaa}, {0, 0, 0, 0, 1, 2}};
    ck_assert(cpuu_eid_build_store(&w->store, "guid@target.example", TARGET_DN, TARGET_SMTP, 0x0c));
    ck_assert(cpuu_eid_build_folder(&w->inbox, target_uid, &gid));
    w->dn = cpuu_strdup(w->p->accounts[0].legacy_dn);
    w->source =
        (cpuu_identity){.smtp = SOURCE_SMTP, .legacy_dn = w->dn, .display_name = "Anna Alder"};
    w->target = (cpuu_identity){.smtp = TARGET_SMTP,
                                .legacy_dn = TARGET_DN,
                                .display_name = "Anna Alder",
                                .store_uid = target_uid,
                                .store_entryid = {w->store.data, (uint32_t)w->store.size},
                                .inbox_entryid = {w->inbox.data, (uint32_t)w->inbox.size}};
    w->options = (cpuu_switch_options){.disable_scp = true, .ost_path = NEW_OST};
    cpuu_edits_init(&w->edits);
    return true;
}

static void close_world(world *w)
{
    cpuu_edits_free(&w->edits);
    cpuu_free(w->dn);
    cpuu_buf_free(&w->store);
    cpuu_buf_free(&w->inbox);
    cpuu_profile_free(w->p);
    cpuu_reg_close(w->reg);
}

static cpuu_rc stage(world *w, cpuu_error *err)
{
    return cpuu_profile_switch(w->p, &w->p->accounts[0], &w->source, &w->target, &w->options,
                               &w->edits, err);
}

static void reopen(world *w)
{
    cpuu_profile_free(w->p);
    w->p = open_profile(w->reg, "Outlook");
}

static size_t count_findings(cpuu_profile *p, FILE *out)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_findings f;
    OK(cpuu_profile_check(p, &f, &err));
    size_t n = f.count;
    for (size_t i = 0; i < n; i++)
        if (out)
            fprintf(out, "finding: %s: %s\n", f.items[i].section, f.items[i].text);
    cpuu_findings_free(&f);
    return n;
}

static const char *const files[] = {EXCHANGE_X64, EXCHANGE_X86};
static const unsigned widths[] = {8, 4};

START_TEST(the_account_is_found)
{
    world w;
    if (!open_world(&w, "the_account_is_found", files[_i]))
        return;
    ck_assert_uint_eq(w.p->n_accounts, 1);
    const cpuu_account *a = &w.p->accounts[0];
    ck_assert_str_eq(a->subkey, "00000002");
    ck_assert_str_eq(a->smtp, SOURCE_SMTP);
    ck_assert(cpuu_ncasecmp(a->legacy_dn, "/o=SourceOrg/ou=Exchange", 24) == 0);
    ck_assert(a->cached);
    ck_assert_uint_eq(a->config_flags, 0x1184);
    ck_assert_ptr_nonnull(a->ost_path);
    ck_assert(!a->has_disagreement);
    ck_assert_uint_eq(w.p->mv_width, widths[_i]);
    ck_assert_uint_eq(count_findings(w.p, stdout), 0);
    cpuu_profile_rules rules = {.process_offline = true};
    const cpuu_account *chosen;
    const char *reason;
    ck_assert_int_eq(cpuu_profile_classify(w.p, &rules, &chosen, &reason), 0);
    ck_assert_ptr_eq(chosen, a);
    ck_assert_str_eq(reason, "");
    rules.process_offline = false;
    ck_assert_int_eq(cpuu_profile_classify(w.p, &rules, &chosen, &reason), 6);
    ck_assert_ptr_null(chosen);
    close_world(&w);
}
END_TEST

START_TEST(the_switch_sets_what_the_reference_says)
{
    world w;
    cpuu_error err = CPUU_ERROR_INIT;
    if (!open_world(&w, "the_switch_sets", files[_i]))
        return;
    OK(stage(&w, &err));
    for (size_t i = 0; i < w.edits.count; i++) {
        ck_assert_ptr_nonnull(w.edits.items[i].title);
        ck_assert_int_ne(w.edits.items[i].mark, CPUU_MARK_NONE);
    }
    OK(cpuu_reg_apply(w.reg, &w.edits, &err));
    reopen(&w);
    const cpuu_account *a = &w.p->accounts[0];
    ck_assert_str_eq(a->smtp, TARGET_SMTP);
    ck_assert_str_eq(a->legacy_dn, TARGET_DN);
    ck_assert_str_eq(a->ost_path, NEW_OST);
    ck_assert(!a->has_disagreement);
    ck_assert_uint_eq(a->config_flags, 0x1184);
    ck_assert_str_eq(text_of(w.p, a->emsmdb_section, 0x6641001f), "SMTP:" TARGET_SMTP);
    ck_assert_str_eq(text_of(w.p, a->emsmdb_section, 0x663d001f), TARGET_SMTP);
    ck_assert_str_eq(text_of(w.p, a->emsmdb_section, 0x6620001f), TARGET_SMTP);
    ck_assert_str_eq(text_of(w.p, a->emsmdb_section, 0x664a001f), "(none)");
    ck_assert_str_eq(text_of(w.p, a->emsmdb_section, 0x6652001f), "(none)");
    ck_assert_str_eq(text_of(w.p, a->store_section, 0x6641001f), "SMTP:" TARGET_SMTP);
    ck_assert_str_eq(text_of(w.p, a->store_section, 0x3001001f), TARGET_SMTP);
    ck_assert_str_eq(text_of(w.p, a->store_section, 0x660b001e), "(none)");
    char *key = cpuu_asprintf(OFFICE "\\Profiles\\Outlook\\%s", a->store_section);
    char want[4096];
    cpuu_hex(want, w.store.data, w.store.size);
    ck_assert_str_eq(hex_of(w.reg, key, "01020fff"), want);
    cpuu_hex(want, target_uid, 16);
    ck_assert_str_eq(hex_of(w.reg, key, "01020ff9"), want);
    cpuu_free(key);
#define MANAGER OFFICE "\\Profiles\\Outlook\\" CPUU_SECTION_ACCOUNTS
    cpuu_hex(want, w.store.data, w.store.size);
    ck_assert_str_eq(hex_of(w.reg, MANAGER "\\00000002", "Delivery Store EntryID"), want);
    cpuu_hex(want, w.inbox.data, w.inbox.size);
    ck_assert_str_eq(hex_of(w.reg, MANAGER "\\00000002", "Delivery Folder EntryID"), want);
    ck_assert_str_eq(hex_of(w.reg, MANAGER, "LastChangeVer"), "0600000000000000");
    char *text = NULL;
    OK(cpuu_reg_get_text(w.reg, MANAGER "\\00000002", "Account Name", &text, &err));
    ck_assert_str_eq(text, TARGET_SMTP);
    cpuu_free(text);
    OK(cpuu_reg_get_text(w.reg, MANAGER "\\00000002", "New Signature", &text, &err));
    ck_assert_str_eq(text, "Standard");
    cpuu_free(text);
    ck_assert_str_eq(hex_of(w.reg, OFFICE "\\AutoDiscover", "ExcludeScpLookup"), "01000000");
    ck_assert(!cpuu_reg_has_key(w.reg, OFFICE "\\Perf\\RoamingStreamsCache\\"
                                              "00112233445566778899AABBCCDDEEFF"));
    ck_assert_uint_eq(count_findings(w.p, stdout), 0);
    close_world(&w);
}
END_TEST

/* Keys of edits, one per line: what the switch may touch. */
static bool may_change(const world *w, const char *key)
{
    const cpuu_account *a = &w->p->accounts[0];
    static const char *const outside[] = {OFFICE "\\AutoDiscover",
                                          OFFICE "\\Perf\\RoamingStreamsCache\\"
                                                 "00112233445566778899AABBCCDDEEFF",
                                          MANAGER, MANAGER "\\00000002"};
    for (size_t i = 0; i < 4; i++)
        if (strcmp(key, outside[i]) == 0)
            return true;
    const char *section = strrchr(key, '\\') + 1;
    cpuu_arena arena = {0};
    cpuu_value v;
    bool public_store = cpuu_profile_get(w->p, section, 0x34140102, &arena, &v, NULL) == CPUU_OK &&
                        v.size == 16 && v.data[0] == 0x78;
    cpuu_arena_free(&arena);
    return public_store || strcmp(section, a->emsmdb_section) == 0 ||
           strcmp(section, a->store_section) == 0;
}

/* Lines of `text` that belong to none of the keys in the edits. */
static char *without_edited(const char *text, const cpuu_edits *edits)
{
    char *out = calloc(1, strlen(text) + 1), *to = out;
    bool skip = false;
    for (const char *line = text; *line;) {
        const char *end = strchr(line, '\n');
        size_t n = end ? (size_t)(end - line) + 1 : strlen(line);
        if (*line == '[') {
            skip = false;
            for (size_t i = 0; i < edits->count && !skip; i++) {
                char head[1024];
                snprintf(head, sizeof(head), "[HKEY_CURRENT_USER\\%s]", edits->items[i].key);
                skip = strncmp(line, head, strlen(head)) == 0;
            }
        }
        if (!skip) {
            memcpy(to, line, n);
            to += n;
        }
        line += n;
    }
    return out;
}

START_TEST(nothing_else_changes_and_the_image_brings_all_back)
{
    world w;
    cpuu_error err = CPUU_ERROR_INIT;
    if (!open_world(&w, "nothing_else_changes", files[_i]))
        return;
    char *before = reg_dump(w.reg, "");
    cpuu_buf image;
    cpuu_buf_init(&image, 1 << 24);
    OK(cpuu_profile_image(w.p, NULL, &image, &err));
    OK(stage(&w, &err));
    for (size_t i = 0; i < w.edits.count; i++)
        ck_assert_msg(may_change(&w, w.edits.items[i].key), "%s", w.edits.items[i].key);
    OK(cpuu_reg_apply(w.reg, &w.edits, &err));
    char *after = reg_dump(w.reg, "");
    char *rest_before = without_edited(before, &w.edits);
    char *rest_after = without_edited(after, &w.edits);
    ck_assert_str_eq(rest_before, rest_after);
    ck_assert_uint_gt(strlen(rest_before), 40000);

    bool equal = true;
    char *difference = NULL;
    OK(cpuu_profile_compare(w.reg, image.data, image.size, &equal, &difference, &err));
    ck_assert(!equal);
    ck_assert_ptr_nonnull(difference);
    cpuu_free(difference);

    cpuu_edits back;
    cpuu_edits_init(&back);
    OK(cpuu_profile_restore(w.reg, image.data, image.size, &back, &err));
    for (size_t i = 0; i < back.count; i++)
        ck_assert_int_eq(back.items[i].mark, CPUU_MARK_NONE);
    OK(cpuu_reg_apply(w.reg, &back, &err));
    cpuu_edits_free(&back);
    char *restored = reg_dump(w.reg, "");
    ck_assert_str_eq(restored, before);
    OK(cpuu_profile_compare(w.reg, image.data, image.size, &equal, &difference, &err));
    ck_assert(equal);
    ck_assert_ptr_null(difference);
    free(before);
    free(after);
    free(rest_before);
    free(rest_after);
    free(restored);
    cpuu_buf_free(&image);
    close_world(&w);
}
END_TEST

START_TEST(left_overs_are_found)
{
    world w;
    cpuu_error err = CPUU_ERROR_INIT;
    if (!open_world(&w, "left_overs", files[_i]))
        return;
    cpuu_leftovers l;
    OK(cpuu_profile_scan(w.p, &w.source, &l, &err));
    size_t before = l.count;
    cpuu_leftovers_free(&l);
    OK(stage(&w, &err));
    OK(cpuu_reg_apply(w.reg, &w.edits, &err));
    OK(cpuu_profile_scan(w.p, &w.source, &l, &err));
    ck_assert_uint_lt(l.count, before);
    const cpuu_account *a = &w.p->accounts[0];
    for (size_t i = 0; i < l.count; i++) { /* only what belongs to features */
        printf("left over: %s %s: %s\n", l.items[i].key, l.items[i].value, l.items[i].what);
        ck_assert_str_ne(l.items[i].key, a->emsmdb_section);
        ck_assert_str_ne(l.items[i].key, a->store_section);
        ck_assert_ptr_null(strstr(l.items[i].key, "00000002"));
    }
    cpuu_leftovers_free(&l);
    close_world(&w);
}
END_TEST

/* ---- hostile --------------------------------------------------------------------------------- */

static uint32_t garble(uint8_t *data, uint32_t size, unsigned how)
{
    if (how == 0)
        return size / 2;
    if (how == 1)
        return 0;
    for (uint32_t i = 0; i < size; i++)
        data[i] = how == 2 ? 0xff : (uint8_t)(i * 37 + 11);
    return size;
}

/* Opens, classifies, checks and switches; whatever happens must leave the edits sound. */
static void use_profile(world *w, unsigned *refused)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_profile *p = open_profile(w->reg, "Outlook");
    size_t before = count_findings(p, NULL);
    cpuu_leftovers l;
    OK(cpuu_profile_scan(p, &w->source, &l, &err));
    cpuu_leftovers_free(&l);
    cpuu_profile_rules rules = {.allow_all_services = true, .process_offline = true};
    const cpuu_account *a = NULL;
    const char *reason = NULL;
    int code = cpuu_profile_classify(p, &rules, &a, &reason);
    ck_assert_ptr_nonnull(reason);
    ck_assert((code == 0) == (a != NULL));
    if (a) {
        cpuu_edits e;
        cpuu_edits_init(&e);
        cpuu_rc rc = cpuu_profile_switch(p, a, &w->source, &w->target, &w->options, &e, &err);
        if (rc < 0) {
            ck_assert_uint_eq(e.count, 0);
            ck_assert_int_eq(rc, CPUU_E_FORMAT);
            ck_assert(strlen(err.text) > 20);
            *refused += 1;
        } else {
            ck_assert_uint_gt(e.count, 10);
            cpuu_reg *view;
            OK(cpuu_reg_open_overlay(w->reg, &e, &view, &err));
            cpuu_profile *after = open_profile(view, "Outlook");
            ck_assert_uint_le(count_findings(after, NULL), before);
            cpuu_profile_free(after);
            cpuu_reg_close(view);
        }
        cpuu_edits_free(&e);
    }
    cpuu_profile_free(p);
}

static unsigned garble_key(world *w, const char *key, unsigned *refused)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_reg_values v;
    cpuu_reg_names names;
    unsigned n = 0;
    OK(cpuu_reg_values_of(w->reg, key, &v, &err));
    for (size_t i = 0; i < v.count; i++) {
        const cpuu_reg_value *x = &v.items[i];
        for (unsigned how = 0; how < 4; how++, n++) {
            cpuu_edits e;
            cpuu_edits_init(&e);
            uint8_t *data = cpuu_memdup(x->data, x->size);
            uint32_t size = garble(data, x->size, how);
            OK(cpuu_edits_set(&e, key, x->name, x->type, data, size, CPUU_MARK_NONE, NULL));
            OK(cpuu_reg_apply(w->reg, &e, &err));
            use_profile(w, refused);
            cpuu_edits_truncate(&e, 0);
            OK(cpuu_edits_set(&e, key, x->name, x->type, x->data, x->size, CPUU_MARK_NONE, NULL));
            OK(cpuu_reg_apply(w->reg, &e, &err));
            cpuu_edits_free(&e);
            cpuu_free(data);
        }
    }
    cpuu_reg_values_free(&v);
    OK(cpuu_reg_keys(w->reg, key, &names, &err));
    for (size_t i = 0; i < names.count; i++) {
        char *sub = cpuu_reg_join(key, names.items[i]);
        n += garble_key(w, sub, refused);
        cpuu_free(sub);
    }
    cpuu_reg_names_free(&names);
    return n;
}

START_TEST(any_garbled_value_is_an_error_or_harmless)
{
    world w;
    if (!open_world(&w, "any_garbled_value", _i ? EXCHANGE_X64 : NULL))
        return;
    unsigned refused = 0;
    unsigned n = garble_key(&w, OFFICE "\\Profiles\\Outlook", &refused);
    printf("%u garbled values, %u switches refused\n", n, refused);
    ck_assert_uint_gt(n, 500);
    ck_assert_uint_gt(refused, 20);
    close_world(&w);
}
END_TEST

START_TEST(every_failing_allocation_is_reported_and_leaks_nothing)
{
    world w;
    if (!open_world(&w, "every_failing_allocation", EXCHANGE_X86))
        return;
    unsigned long n = 1;
    for (bool done = false; !done; n++) {
        cpuu_error err = CPUU_ERROR_INIT;
        cpuu_profile_roots roots = {0};
        cpuu_profile *p = NULL;
        cpuu_edits e, back;
        cpuu_buf image;
        cpuu_findings f = {0};
        cpuu_leftovers l = {0};
        cpuu_edits_init(&e);
        cpuu_edits_init(&back);
        cpuu_buf_init(&image, 1 << 24);
        fail_allocation(n);
        cpuu_rc rc = cpuu_profile_discover(w.reg, &roots, &err);
        if (rc >= 0)
            rc = cpuu_profile_open(w.reg, &roots.items[0], "Outlook", &p, &err);
        if (rc >= 0)
            rc = cpuu_profile_check(p, &f, &err);
        if (rc >= 0)
            rc = cpuu_profile_image(p, NULL, &image, &err);
        if (rc >= 0)
            rc =
                cpuu_profile_switch(p, &p->accounts[0], &w.source, &w.target, &w.options, &e, &err);
        if (rc >= 0)
            rc = cpuu_profile_scan(p, &w.source, &l, &err);
        if (rc >= 0)
            rc = cpuu_profile_copy(p, "CPUU_Backup_1", NULL, &back, &err);
        if (rc >= 0)
            rc = cpuu_profile_restore(w.reg, image.data, image.size, &back, &err);
        done = !allocation_failed();
        fail_allocation(0);
        ck_assert_msg(rc == (done ? CPUU_OK : CPUU_E_NOMEM), "%lu: %d %s", n, rc, err.text);
        cpuu_leftovers_free(&l);
        cpuu_findings_free(&f);
        cpuu_buf_free(&image);
        cpuu_edits_free(&e);
        cpuu_edits_free(&back);
        cpuu_profile_free(p);
        cpuu_profile_roots_free(&roots);
    }
    printf("%lu allocations\n", n);
    ck_assert_uint_gt(n, 1000);
    close_world(&w);
}
END_TEST

Suite *switch_suite(void)
{
    Suite *s = suite_create("switch");
    TCase *t = tcase_create("switch");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, the_account_is_found, 0, 2);
    tcase_add_loop_test(t, the_switch_sets_what_the_reference_says, 0, 2);
    tcase_add_loop_test(t, nothing_else_changes_and_the_image_brings_all_back, 0, 2);
    tcase_add_loop_test(t, left_overs_are_found, 0, 2);
    tcase_add_loop_test(t, any_garbled_value_is_an_error_or_harmless, 0, 2);
    tcase_add_test(t, every_failing_allocation_is_reported_and_leaks_nothing);
    suite_add_tcase(s, t);
    return s;
}
