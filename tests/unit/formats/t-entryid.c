#include "render.h"

#include <cpuu/formats/entryid.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cpuu_blob blob_of(const cpuu_buf *b)
{
    return (cpuu_blob){b->data, (uint32_t)b->size};
}

/* ---- laws, for one EntryID ------------------------------------------------------------------- */

static void parse_only(cpuu_blob in)
{
    cpuu_eid e;
    cpuu_fmt_error err;
    cpuu_buf out;
    cpuu_buf_init(&out, 4096);
    if (cpuu_eid_decode(in, &e, &err)) {
        ck_assert(cpuu_eid_encode(&e, &out));
        ck_assert_uint_eq(out.size, in.size);
        ck_assert_mem_eq(out.data, in.data, in.size);
    } else {
        ck_assert_uint_le(err.offset, in.size);
        ck_assert_ptr_nonnull(err.field);
        ck_assert_ptr_nonnull(err.what);
    }
    cpuu_buf_free(&out);
}

static void check_rewrite(cpuu_blob in, int mode)
{
    cpuu_buf out;
    cpuu_eid before, after;
    swap s = {mode, 0, 0};
    bool replaced = false;
    cpuu_buf_init(&out, 4096);
    ck_assert(cpuu_eid_rewrite(in, swap_link, &s, &out, &replaced));
    ck_assert_uint_eq(s.asked, 1);
    ck_assert_uint_eq(s.kinds, CPUU_LINK_EID);
    ck_assert(replaced == (mode != 0));
    ck_assert(cpuu_eid_decode(in, &before, NULL));
    cpuu_blob old, now;
    if (mode == 0) {
        ck_assert_uint_eq(out.size, in.size);
        ck_assert_mem_eq(out.data, in.data, in.size);
    } else if (cpuu_eid_inner(&before, &old)) {
        ck_assert(cpuu_eid_decode(blob_of(&out), &after, NULL));
        ck_assert_int_eq(after.kind, before.kind);
        ck_assert(cpuu_eid_inner(&after, &now));
        ck_assert_uint_eq(now.size, mode < 0 ? 1 : old.size + 300);
        ck_assert_uint_eq(out.size, in.size - old.size + now.size);
    } else {
        ck_assert_uint_eq(out.size, mode < 0 ? 1 : in.size + 300);
    }
    cpuu_buf_free(&out);
}

static void check_laws(cpuu_blob in)
{
    parse_only(in);
    for (int mode = -1; mode <= 1; mode++)
        check_rewrite(in, mode);
    hostile_variants(in, parse_only);
}

static void check_sample(const sample *s)
{
    text t;
    if (s->bytes.size < 20) { /* ENTRYID-39: three bytes, by intention */
        cpuu_eid e;
        cpuu_fmt_error err;
        ck_assert(!cpuu_eid_decode(s->bytes, &e, &err));
        ck_assert_str_eq(err.field, "Flags");
        ck_assert_uint_eq(err.offset, 0);
        return;
    }
    text_init(&t);
    render_eid(&t, s->bytes);
    sample_compare(s, text_get(&t));
    text_free(&t);
    check_laws(s->bytes);
}

START_TEST(samples_decode_to_what_an_independent_program_found)
{
    int n = samples_each("ENTRYID", check_sample);
    ck_assert(n == -1 || n == 21);
}
END_TEST

static void worked_store(const sample *s)
{
    cpuu_eid e;
    cpuu_blob dn;
    cpuu_buf out, smtp;
    cpuu_buf_init(&out, 4096);
    cpuu_buf_init(&smtp, 4096);
    ck_assert(cpuu_eid_decode(s->bytes, &e, NULL));
    ck_assert_int_eq(e.kind, CPUU_EID_STORE);
    ck_assert_uint_eq(e.u.store.block, 3);
    ck_assert(e.u.store.block_laid);
    ck_assert_int_eq(e.u.store.block_size_error, 0);
    ck_assert(cpuu_eid_is_mailbox(&e));
    ck_assert(cpuu_eid_store_dn(&e, &dn));
    ck_assert(cpuu_eid_store_smtp(&e, &smtp));
    cpuu_buf_u8(&smtp, 0);
    char *text_dn = strndup((const char *)dn.data, dn.size);
    char *server = strndup((const char *)e.u.store.server.data, e.u.store.server.size);
    ck_assert(cpuu_eid_build_store(&out, server, text_dn, (const char *)smtp.data, 0x0c));
    ck_assert_uint_eq(out.size, s->bytes.size);
    ck_assert_mem_eq(out.data, s->bytes.data, out.size);
    ck_assert_str_eq((const char *)smtp.data, server);
    free(text_dn);
    free(server);
    cpuu_buf_free(&out);
    cpuu_buf_free(&smtp);
    check_laws(s->bytes);
}

START_TEST(worked_examples_are_built_again_byte_for_byte)
{
    sample s;
    if (sample_load("worked/store-eid-v3.bin", &s)) {
        worked_store(&s);
        sample_free(&s);
    }
    if (sample_load("worked/folder-eid.bin", &s)) {
        cpuu_eid e;
        cpuu_buf out;
        uint8_t key[CPUU_SOURCE_KEY_SIZE];
        cpuu_buf_init(&out, 64);
        ck_assert(cpuu_eid_decode(s.bytes, &e, NULL));
        ck_assert(cpuu_eid_source_key(&e, key));
        ck_assert_mem_eq(key, s.bytes.data + 0x16, sizeof(key));
        ck_assert(cpuu_source_key_folder((cpuu_blob){key, sizeof(key)}, e.provider, &out));
        ck_assert_uint_eq(out.size, 46);
        ck_assert_mem_eq(out.data, s.bytes.data, out.size);
        cpuu_buf_free(&out);
        check_laws(s.bytes);
        sample_free(&s);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("entryid");
    TCase *oracle = tcase_create("independent samples");
    tcase_set_timeout(oracle, 120);
    tcase_add_test(oracle, samples_decode_to_what_an_independent_program_found);
    tcase_add_test(oracle, worked_examples_are_built_again_byte_for_byte);
    suite_add_tcase(suite, oracle);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
