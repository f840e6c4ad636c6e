#include "samples.h"

#include <cpuu/formats/entryid.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cpuu_blob blob_of(const cpuu_buf *b)
{
    return (cpuu_blob){b->data, (uint32_t)b->size};
}

/* ---- the independent program's vocabulary ---------------------------------------------------- */

static void render(text *t, cpuu_blob in);

static void render_gid(text *t, const char *db, const char *counter, const char *pad_name,
                       const cpuu_gid *id, const uint8_t pad[2])
{
    text_guid(t, db, id->replica);
    text_line(t, "%s", counter);
    text_hex(t, id->counter, 6);
    text_line(t, "%s", pad_name);
    text_hex(t, pad, 2);
}

static void render_store(text *t, const cpuu_eid_store *s, bool exchange)
{
    text_line(t, "MAPI Message Store Entry ID");
    text_line(t, "Version = 0x%02X", s->version);
    text_line(t, "Flag = 0x%02X", s->flag);
    text_sz8(t, "DLLFileName", s->dll);
    if (!exchange)
        return;
    text_line(t, "Wrapped Flags = 0x%08X", s->wrapped_flags);
    text_guid(t, "WrappedProviderUID", s->wrapped_uid);
    text_line(t, "WrappedType = 0x%08X", s->wrapped_type);
    text_sz8(t, "ServerShortname", s->server);
    if (s->has_dn)
        text_sz8(t, "MailboxDN", s->dn);
    if (s->block == 2) {
        uint32_t size = 20 + s->server_dn.size + 1 + 2 + (uint32_t)s->block_size_error;
        ck_assert(!s->has_fqdn);
        text_line(t, "MAPI Message Store Entry ID V2");
        text_line(t, "Magic = 0xF32135D8");
        text_line(t, "Size = 0x%08X", size);
        text_line(t, "Version = 0x00000001");
        text_line(t, "OffsetDN = 0x00000014");
        text_line(t, "OffsetFQDN = 0x00000000");
        text_sz8(t, "DN", s->server_dn);
        text_line(t, "Reserved Bytes");
        text_line(t, "cb: 2 lpb: 0000");
    }
}

static void render_body(text *t, const cpuu_eid *e)
{
    switch (e->kind) {
    case CPUU_EID_FOLDER:
    case CPUU_EID_FOLDER_PUBLIC:
        text_line(t, "Exchange Folder Entry ID");
        text_line(t, "Folder Type = 0x%04X", e->u.folder.type);
        render_gid(t, "Database GUID", "GlobalCounter", "Pad", &e->u.folder.id, e->u.folder.pad);
        break;
    case CPUU_EID_MESSAGE:
    case CPUU_EID_MESSAGE_PUBLIC:
        text_line(t, "Exchange Message Entry ID");
        text_line(t, "Message Type = 0x%04X", e->u.message.type);
        render_gid(t, "Folder Database GUID", "Folder GlobalCounter", "Pad1", &e->u.message.folder,
                   e->u.message.pad1);
        render_gid(t, "Message Database GUID", "Message GlobalCounter", "Pad2", &e->u.message.id,
                   e->u.message.pad2);
        break;
    case CPUU_EID_STORE:
    case CPUU_EID_STORE_PST:
    case CPUU_EID_STORE_OTHER:
        render_store(t, &e->u.store, e->kind == CPUU_EID_STORE);
        break;
    case CPUU_EID_AB:
        text_line(t, "Exchange Address Entry ID");
        text_line(t, "Version = 0x%08X", e->u.ab.version);
        text_line(t, "Type = 0x%08X", e->u.ab.type);
        text_sz8(t, "X500DN", e->u.ab.dn);
        break;
    case CPUU_EID_CONTAB:
        text_line(t, "Contact Address Book / PDL Entry ID");
        text_line(t, "Version = 0x%08X", e->u.contab.version);
        text_line(t, "Type = 0x%08X", e->u.contab.type);
        text_guid(t, "muidID", e->u.contab.uid);
        render(t, e->u.contab.inner);
        break;
    case CPUU_EID_WRAPPED:
        text_line(t, "Wrapped Entry ID");
        text_line(t, "Wrapped Entry Type = 0x%02X", e->u.wrapped.type);
        render(t, e->u.wrapped.inner);
        break;
    default:
        break;
    }
}

static void render(text *t, cpuu_blob in)
{
    cpuu_eid e;
    cpuu_fmt_error err;
    text_line(t, "Entry ID");
    ck_assert_msg(cpuu_eid_decode(in, &e, &err), "%s at %u %s", err.field, err.offset, err.what);
    text_line(t, "abFlags = 0x%08X", cpuu_le32(e.flags));
    text_guid(t, "Provider GUID", e.provider);
    render_body(t, &e);
    if (e.rest.size) {
        text_line(t, "Unparsed data size = 0x%08X", e.rest.size);
        text_hex(t, e.rest.data, e.rest.size);
    }
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
    render(&t, s->bytes);
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
