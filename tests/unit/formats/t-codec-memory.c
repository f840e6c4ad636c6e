/*
 * The n-th allocation fails, for every n, in every codec that writes: the call says so, and nothing
 * is lost or freed twice (the sanitizer watches). Inputs are the fuzzing corpus of this tree.
 */
#include "samples.h"

#include <cpuu/formats/entryid.h>
#include <cpuu/formats/ewsid.h>
#include <cpuu/formats/lists.h>
#include <cpuu/formats/profileblob.h>
#include <cpuu/formats/ruleaction.h>
#include <cpuu/formats/rulestream.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned long countdown; /* allocations that still succeed */
static unsigned long made;

static void *failing_realloc(void *p, size_t n)
{
    made++;
    if (countdown == 0)
        return NULL;
    countdown--;
    return realloc(p, n);
}

typedef bool (*codec)(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                      cpuu_fmt_error *err);

static bool eid(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                cpuu_fmt_error *err)
{
    *err = (cpuu_fmt_error){0, "output", ""};
    return cpuu_eid_rewrite(in, cb, user, out, replaced);
}

static bool standard_actions(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out,
                             bool *replaced, cpuu_fmt_error *err)
{
    return cpuu_rule_actions_rewrite(in, CPUU_FORM_RULE, cb, user, out, replaced, err);
}

static bool extended_actions(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out,
                             bool *replaced, cpuu_fmt_error *err)
{
    return cpuu_rule_actions_rewrite(in, CPUU_FORM_EXTENDED, cb, user, out, replaced, err);
}

static bool condition(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                      cpuu_fmt_error *err)
{
    return cpuu_rule_condition_rewrite(in, CPUU_FORM_EXTENDED, cb, user, out, replaced, err);
}

static bool search(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                   cpuu_fmt_error *err)
{
    return cpuu_restriction_rewrite(in, CPUU_FORM_SEARCH, cb, user, out, replaced, err);
}

static bool stream(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                   cpuu_fmt_error *err)
{
    return cpuu_xr_rewrite(in, CPUU_XR_STREAM, cb, user, out, replaced, NULL, err);
}

static bool flat(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                 cpuu_fmt_error *err)
{
    cpuu_reader r;
    *err = (cpuu_fmt_error){0, "output", ""};
    cpuu_reader_init(&r, in.data, in.size);
    return cpuu_flat_list_rewrite(&r, cb, user, out, replaced);
}

static bool refs(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                 cpuu_fmt_error *err)
{
    return cpuu_list_rewrite(in, cpuu_folder_ref_rewrite, cb, user, out, replaced, err);
}

static bool ews(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                cpuu_fmt_error *err)
{
    char id_text[600];
    cpuu_buf bytes;
    cpuu_ewsid id;
    (void)cb;
    (void)user;
    (void)replaced;
    cpuu_buf_init(&bytes, CPUU_EWSID_BYTES_MAX);
    snprintf(id_text, sizeof(id_text), "%.*s", (int)in.size, (const char *)in.data);
    bool ok = cpuu_ewsid_decode(id_text, &bytes, &id, err) && cpuu_ewsid_encode(&id, out);
    cpuu_buf_free(&bytes);
    *err = (cpuu_fmt_error){0, "output", ""};
    return ok;
}

/* skip: bytes of the corpus file that only choose the codec. */
static const struct {
    const char *file;
    uint32_t skip;
    codec rewrite;
} cases[] = {
    {"entryid/nested", 0, eid},
    {"entryid/store3", 0, eid},
    {"ewsid/packed", 0, ews},
    {"ewsid/mailbox", 0, ews},
    {"lists/entries", 1, cpuu_entry_list_rewrite},
    {"lists/flat", 1, flat},
    {"lists/ren", 1, cpuu_ren_rewrite},
    {"lists/keys", 1, cpuu_fav_keys_rewrite},
    {"lists/ref", 1, cpuu_folder_ref_rewrite},
    {"lists/window", 1, cpuu_window_state_rewrite},
    {"lists/refs", 1, refs},
    {"rules/actions0", 1, standard_actions},
    {"rules/actions1", 1, extended_actions},
    {"rules/condition1", 1, condition},
    {"rules/restriction2", 1, search},
    {"rulestream/stream", 1, stream},
};

static bool grow(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    (void)user;
    cpuu_buf_add(out, in.data, in.size);
    if (!(kind & (CPUU_LINK_NAMED_TAG | CPUU_LINK_FID | CPUU_LINK_SOURCE_KEY)))
        cpuu_buf_add(out, "grown", 5);
    return true;
}

/* One run with `allowed` allocations; true when it succeeded. */
static bool once(size_t i, cpuu_blob in, unsigned long allowed)
{
    cpuu_buf out;
    cpuu_fmt_error err;
    bool replaced = false;
    cpuu_buf_init(&out, 65536);
    countdown = allowed;
    made = 0;
    bool ok = cases[i].rewrite(in, grow, NULL, &out, &replaced, &err);
    unsigned long used = made;
    if (!ok)
        ck_assert_msg(strcmp(err.field, "output") == 0, "%s: %s %s", cases[i].file, err.field,
                      err.what);
    ck_assert_msg(ok == (used <= allowed), "%s: %lu of %lu", cases[i].file, allowed, used);
    cpuu_buf_free(&out);
    return ok;
}

START_TEST(every_allocation_may_fail)
{
    char path[4096];
    static uint8_t data[65536];
    snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", CPUU_SRCDIR, cases[_i].file);
    FILE *f = fopen(path, "rb");
    ck_assert_msg(f != NULL, "%s", path);
    size_t n = fread(data, 1, sizeof(data), f);
    fclose(f);
    cpuu_blob in = {data + cases[_i].skip, (uint32_t)n - cases[_i].skip};
    unsigned long allowed = 0;
    cpuu_fmt_realloc = failing_realloc;
    while (!once((size_t)_i, in, allowed))
        allowed++;
    cpuu_fmt_realloc = realloc;
    ck_assert_uint_gt(allowed, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codec memory");
    TCase *c = tcase_create("allocation");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, every_allocation_may_fail, 0, (int)(sizeof(cases) / sizeof(cases[0])));
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
