#include "laws.h"

#include <cpuu/formats/entryid.h>
#include <cpuu/formats/srs.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../oracle.h"

static uint8_t file_bytes[16384];

static bool load(const char *name, cpuu_blob *out)
{
    char relative[256];
    snprintf(relative, sizeof(relative), "profiles/srs/%s", name);
    const char *path = oracle_path("t-srs", relative);
    if (!path)
        return false;
    FILE *f = fopen(path, "rb");
    ck_assert_ptr_nonnull(f);
    out->data = file_bytes;
    out->size = (uint32_t)fread(file_bytes, 1, sizeof(file_bytes), f);
    fclose(f);
    return true;
}

/* Facts of each file, read off a hex dump by hand. */
static const struct {
    const char *name;
    uint32_t size, stream_size, collection_size, save_counter, accounts, folders;
    uint32_t minutes_online, minutes_offline;
    int schedule_online;
    uint8_t store[4]; /* first bytes of the mailbox GUID in the folders; none without folders */
} files[] = {
    {"insoo223_outlook2003_default_exchange.srs",
     4096,
     1485,
     216,
     0x13,
     1,
     9,
     5,
     5,
     0,
     {0x7d, 0x35, 0x9a, 0x84}},
    {"stevedep_outlook2016_56ba707.srs",
     4608,
     2005,
     236,
     0x301,
     6,
     10,
     0x1e,
     0x1e,
     1,
     {0x2f, 0xa7, 0xb8, 0x1a}},
    {"insoo223_outlook2013_Outlook~1_3431b0f.srs", 2560, 0, 0, 0, 0, 0, 0, 0, 0, {0}},
};

static void check_folder(const cpuu_srs_folder *f, const uint8_t store[4])
{
    cpuu_eid e;
    ck_assert_uint_eq(f->eid.size, CPUU_FOLDER_EID_SIZE);
    ck_assert(cpuu_blob_equal(f->eid, f->eid2));
    ck_assert(cpuu_eid_decode(f->eid, &e, NULL));
    ck_assert_int_eq(e.kind, CPUU_EID_FOLDER);
    ck_assert(memcmp(e.provider, store, 4) == 0);
}

static void check_group(cpuu_blob stream, size_t i)
{
    cpuu_srs_group g;
    cpuu_srs_account a;
    cpuu_srs_folder f;
    cpuu_fmt_error err = {0, "", ""};
    unsigned accounts = 0, folders = 0;
    ck_assert_msg(cpuu_srs_group_open(stream, &g, &err), "%s %s", err.field, err.what);
    ck_assert_uint_eq(g.save_counter, files[i].save_counter);
    ck_assert_uint_eq(g.minutes_online, files[i].minutes_online);
    ck_assert_uint_eq(g.minutes_offline, files[i].minutes_offline);
    ck_assert_uint_eq(cpuu_le32(g.guid), 0x8300bc40);
    ck_assert_uint_eq(g.name.size, 2 * 43); /* "GUID|{...}" */
    while (cpuu_srs_account_next(&g, &a)) {
        accounts++;
        ck_assert(a.is_store == (a.id > 0));
        if (a.is_store)
            ck_assert_uint_eq(a.flags & ~1u, 0x4006);
        while (cpuu_srs_folder_next(&a, &f)) {
            check_folder(&f, files[i].store);
            folders++;
        }
    }
    ck_assert_uint_eq(accounts, files[i].accounts);
    ck_assert_uint_eq(folders, files[i].folders);
}

static void check_collection(cpuu_blob stream, const cpuu_cfb_entry *group)
{
    cpuu_srs_collection c;
    cpuu_srs_listed g;
    ck_assert(cpuu_srs_collection_open(stream, &c, NULL));
    ck_assert_uint_eq(c.n, 1);
    ck_assert(cpuu_srs_collection_next(&c, &g));
    ck_assert(cpuu_blob_equal(g.stream, group->name));
    ck_assert_uint_eq(cpuu_le32(g.guid), 0x8300bc40);
    ck_assert(!cpuu_srs_collection_next(&c, &g));
}

START_TEST(streams_of_real_files)
{
    for (size_t i = 0; i < 2; i++) {
        cpuu_blob in;
        cpuu_cfb c;
        cpuu_cfb_entry root, coll, group;
        cpuu_buf b;
        if (!load(files[i].name, &in))
            return;
        ck_assert_uint_eq(in.size, files[i].size);
        ck_assert(cpuu_cfb_open(in, &c, NULL));
        ck_assert(cpuu_cfb_entry_at(&c, 0, &root, NULL) && root.type == CPUU_CFB_ROOT);
        ck_assert(cpuu_cfb_entry_at(&c, 1, &coll, NULL) && cpuu_srs_is_collection(&coll));
        ck_assert(cpuu_cfb_entry_at(&c, 2, &group, NULL) && group.type == CPUU_CFB_STREAM);
        ck_assert(!cpuu_srs_is_collection(&group));
        ck_assert_uint_eq(coll.size, files[i].collection_size);
        ck_assert_uint_eq(group.size, files[i].stream_size);
        cpuu_buf_init(&b, 1u << 16);
        ck_assert(cpuu_cfb_read(&c, &group, &b, NULL));
        ck_assert_uint_eq(b.size, files[i].stream_size);
        check_group(blob_of(&b), i);
        cpuu_buf_reset(&b);
        ck_assert(cpuu_cfb_read(&c, &coll, &b, NULL));
        check_collection(blob_of(&b), &group);
        cpuu_buf_free(&b);
    }
}
END_TEST

START_TEST(laws_of_real_files)
{
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        cpuu_blob in;
        if (!load(files[i].name, &in))
            return;
        laws_identity(in, cpuu_srs_rewrite);
    }
}
END_TEST

/* Same size, recognisable. */
static bool move_folder(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    unsigned *asked = user;
    size_t at = out->size;
    ck_assert_uint_eq(kind, CPUU_LINK_EID);
    ck_assert_uint_eq(in.size, 46);
    ++*asked;
    cpuu_buf_add(out, in.data, in.size);
    memset(out->data + at + 4, 0x5a, 16);
    return true;
}

/* Searches the raw file instead of walking it: every mailbox GUID in it must have become the new
 * one where its 16 bytes lie in one sector, and nothing else may differ. */
START_TEST(folders_move)
{
    for (size_t i = 0; i < 2; i++) {
        cpuu_blob in;
        cpuu_buf out;
        unsigned asked = 0, differ = 0;
        bool replaced = false;
        if (!load(files[i].name, &in))
            return;
        cpuu_buf_init(&out, in.size);
        ck_assert(cpuu_srs_rewrite(in, move_folder, &asked, &out, &replaced, NULL));
        ck_assert_uint_eq(asked, files[i].folders);
        ck_assert(replaced && out.size == in.size);
        for (uint32_t k = 0; k < in.size; k++) {
            if (out.data[k] == in.data[k])
                continue;
            ck_assert_uint_eq(out.data[k], 0x5a);
            differ++;
        }
        /* no byte of the GUIDs is 0x5a in the first file, one is in the second */
        ck_assert_uint_eq(differ, files[i].folders * 2 * (i ? 15 : 16));
        cpuu_buf_free(&out);
    }
}
END_TEST

static bool one_byte_more(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    (void)user;
    (void)kind;
    cpuu_buf_add(out, in.data, in.size);
    return cpuu_buf_u8(out, 0);
}

START_TEST(size_must_not_change)
{
    cpuu_blob in;
    cpuu_buf out;
    cpuu_fmt_error err;
    if (!load(files[0].name, &in))
        return;
    cpuu_buf_init(&out, in.size);
    ck_assert(!cpuu_srs_rewrite(in, one_byte_more, NULL, &out, NULL, &err));
    ck_assert_str_eq(err.field, "folder EntryID");
    ck_assert_str_eq(err.what, "was replaced by one of another size");
    cpuu_buf_free(&out);
}
END_TEST

/* ---- compound files made here, [MS-CFB] --------------------------------------------------------
 */

#define SECTORS 260u /* more than one FAT sector */

static void put(uint8_t *file, uint32_t at, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        file[at + i] = (uint8_t)(v >> 8 * i);
}

static void put_entry(uint8_t *e, const char *name, uint8_t type, uint32_t start, uint32_t size)
{
    uint32_t n = (uint32_t)strlen(name);
    for (uint32_t i = 0; i < n; i++)
        e[2 * i] = (uint8_t)name[i];
    e[64] = (uint8_t)(2 * n + 2);
    e[66] = type;
    put(e, 116, start);
    put(e, 120, size);
}

/* FAT in sectors 0-2, directory 3, a large stream from 4 to 250 with its sectors in reverse. */
static void make_large(uint8_t *file, uint32_t shift)
{
    static const uint8_t magic[8] = {0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1};
    uint32_t s = 1u << shift, per = s / 4;
    memset(file, 0, (SECTORS + 1) * s);
    memcpy(file, magic, 8);
    file[24] = 0x3e;
    file[26] = shift == 9 ? 3 : 4;
    file[28] = 0xfe;
    file[29] = 0xff;
    file[30] = (uint8_t)shift;
    file[32] = 6;
    put(file, 0x2c, 3);
    put(file, 0x30, 3);
    put(file, 0x38, 4096);
    put(file, 0x3c, 0xfffffffe);
    put(file, 0x44, 0xfffffffe);
    memset(file + 0x4c, 0xff, 436);
    for (uint32_t i = 0; i < 3; i++)
        put(file, 0x4c + 4 * i, i);
    memset(file + s, 0xff, 3 * s);
    for (uint32_t i = 0; i < SECTORS; i++) {
        uint32_t next = i < 3 ? 0xfffffffd : i == 3 || i == 4 || i > 250 ? 0xfffffffe : i - 1;
        put(file, s + i / per * s + 4 * (i % per), next);
        if (i > 3)
            memset(file + (i + 1) * s, (int)i, s);
    }
    put_entry(file + 4 * s, "Root Entry", 5, 0xfffffffe, 0);
    put_entry(file + 4 * s + 128, "large", 2, 250, 247 * s - 5);
}

static void check_large(uint32_t shift)
{
    uint32_t s = 1u << shift, size = (SECTORS + 1) * s;
    uint8_t *file = calloc(1, size), *copy = calloc(1, size);
    cpuu_cfb c;
    cpuu_cfb_entry e;
    cpuu_buf b;
    cpuu_fmt_error err = {0, "", ""};
    make_large(file, shift);
    memcpy(copy, file, size);
    if (size > CPUU_CFB_LIMIT) { /* version 4 */
        ck_assert(!cpuu_cfb_open((cpuu_blob){file, size}, &c, &err));
        ck_assert_str_eq(err.what, "is larger than 1 MiB");
    } else {
        ck_assert_msg(cpuu_cfb_open((cpuu_blob){file, size}, &c, &err), "%s", err.field);
        ck_assert(cpuu_cfb_entry_at(&c, 1, &e, NULL));
        cpuu_buf_init(&b, size);
        ck_assert_msg(cpuu_cfb_read(&c, &e, &b, &err), "%s %s", err.field, err.what);
        ck_assert_uint_eq(b.size, 247 * s - 5);
        for (uint32_t i = 0; i < b.size; i++)
            ck_assert_uint_eq(b.data[i], 250 - i / s);
        ck_assert(cpuu_cfb_patch(&c, &e, s - 2, "abcd", 4, copy, NULL));
        ck_assert(memcmp(copy + 252 * s - 2, "ab", 2) == 0);
        ck_assert(memcmp(copy + 250 * s, "cd", 2) == 0);
        ck_assert(!cpuu_cfb_patch(&c, &e, 247 * s - 8, "abcd", 4, copy, &err));
        ck_assert(!cpuu_cfb_patch(&c, &e, UINT32_MAX, "abcd", 4, copy, &err));
        for (uint32_t i = 2; i < s / 128; i++)
            ck_assert(cpuu_cfb_entry_at(&c, i, &e, &err) && e.type == 0);
        ck_assert(!cpuu_cfb_entry_at(&c, s / 128, &e, &err));
        ck_assert_ptr_null(err.field);
        cpuu_buf_free(&b);
    }
    free(file);
    free(copy);
}

START_TEST(large_streams)
{
    check_large(9);
    check_large(12);
}
END_TEST

START_TEST(damaged_compound_files)
{
    static const struct {
        uint32_t at, value;
        const char *field;
    } bad[] = {
        {0, 0, "header signature"},
        {30, 0x0006000a, "sector shift"},
        {28, 0x0009feff, "mini sector shift"},
        {0x38, 64, "mini stream cutoff"},
        {0x30, 9999, "sector number"},
        {0x2c, 0, "FAT"},
        {0x4c, 9999, "sector number"},
        {512 * 4 + 64, 0x05000047, "directory entry name length"},
        {512 * 4 + 66, 2, "root entry"},
        {512 * 4 + 128 + 120, 0x100000, "stream size"},
        {512 * 4 + 128 + 116, 4, "sector chain"},
        {512 * 4 + 128 + 116, 0xfffffffe, "sector chain"},
        {512 * 4 + 128 + 120, 100, "mini sector number"},
    };
    static uint8_t file[(SECTORS + 1) * 512];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cpuu_buf out;
        cpuu_fmt_error err = {0, "", ""};
        unsigned asked = 0;
        make_large(file, 9);
        put(file, bad[i].at, bad[i].value);
        cpuu_buf_init(&out, 1u << 20);
        ck_assert_msg(!cpuu_srs_rewrite((cpuu_blob){file, sizeof(file)}, move_folder, &asked, &out,
                                        NULL, &err),
                      "%zu", i);
        ck_assert_msg(strcmp(err.field, bad[i].field) == 0, "%zu: %s %s", i, err.field, err.what);
        cpuu_buf_free(&out);
    }
}
END_TEST

/* ---- damaged streams ---------------------------------------------------------------------------
 */

START_TEST(damaged_streams)
{
    cpuu_srs_group g;
    cpuu_srs_collection c;
    cpuu_fmt_error err;
    static const uint8_t two[8] = {2}, names[12] = {1, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f};
    static const uint8_t groups[] = {1, 0, 0, 0, 1, 0, 0, 0, 9};
    ck_assert(!cpuu_srs_group_open((cpuu_blob){two, 8}, &g, &err));
    ck_assert_str_eq(err.field, "version");
    ck_assert_uint_eq(err.offset, 0);
    ck_assert(!cpuu_srs_group_open((cpuu_blob){names, 12}, &g, &err));
    ck_assert_str_eq(err.field, "group name");
    ck_assert(!cpuu_srs_collection_open((cpuu_blob){groups, 9}, &c, &err));
    ck_assert_str_eq(err.field, "group GUID");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("srs");
    TCase *c = tcase_create("srs");
    tcase_set_timeout(c, 120);
    tcase_add_test(c, streams_of_real_files);
    tcase_add_test(c, laws_of_real_files);
    tcase_add_test(c, folders_move);
    tcase_add_test(c, size_must_not_change);
    tcase_add_test(c, large_streams);
    tcase_add_test(c, damaged_compound_files);
    tcase_add_test(c, damaged_streams);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
