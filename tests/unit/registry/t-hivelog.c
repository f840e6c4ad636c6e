/*
 * Log files of hives. What they add to a real hive is known from another reading of it; the hash is
 * checked with published values; small logs are put together here from the description of the format.
 */
#include "base/file.h"
#include "registry/hive.h"
#include "registry/hivelog.h"

#include "../../lab/emptyhive.h"
#include "../oracle.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OK(call) ck_assert_msg((call) == CPUU_OK, "%s: %s", #call, err.text)
#define PAGE 4096u

static cpuu_error err;
static char dir[64], path[96];

static void setup(void)
{
    memset(&err, 0, sizeof(err));
    strcpy(dir, "/tmp/cpuu-t-hivelog-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/NTUSER.DAT", dir);
}

static void teardown(void)
{
    char line[200];
    snprintf(line, sizeof(line), "rm -rf '%s'", dir);
    ck_assert_int_eq(system(line), 0);
}

/* The C runtime library of .NET tests its Marvin32 with these: seed, bytes, hash. */
START_TEST(the_hash_is_marvin32)
{
    static const struct {
        const char *bytes;
        size_t size;
        uint64_t hash;
    } cases[] = {{"", 0, UINT64_C(0x30ed35c100cd3c7d)},
                 {"\xaf", 1, UINT64_C(0x48e73fc77d75ddc1)},
                 {"\xe7\x0f", 2, UINT64_C(0xb5f6e1fc485dbff8)},
                 {"\x37\xf4\x95", 3, UINT64_C(0xf0b07c789b8cf7e8)}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ck_assert(cpuu_marvin32((const uint8_t *)cases[i].bytes, cases[i].size,
                                UINT64_C(0x004fb61a001bdbcc)) == cases[i].hash);
}
END_TEST

/* ---- small logs ------------------------------------------------------------------------------ */

static void put64(uint8_t *p, uint64_t v)
{
    put32(p, (uint32_t)v);
    put32(p + 4, (uint32_t)(v >> 32));
}

/* A hive that is dirty: its sequence numbers are first and second. */
static void dirty_hive(uint8_t hive[EMPTY_HIVE_SIZE], uint32_t first, uint32_t second)
{
    empty_hive(hive, 5);
    put32(hive + 4, first);
    put32(hive + 8, second);
    hive_checksum(hive);
}

static void begin_log(cpuu_buf *log, const uint8_t *hive, uint32_t sequence)
{
    uint8_t head[512];
    memcpy(head, hive, 512);
    put32(head + 4, sequence);
    put32(head + 8, sequence);
    put32(head + 28, 6);
    hive_checksum(head);
    cpuu_buf_init(log, 1 << 20);
    cpuu_buf_add(log, head, 512);
}

/* One entry that fills a page of the bins with a byte, in bins of that size. */
static void add_entry(cpuu_buf *log, uint32_t sequence, uint32_t bins, uint32_t page, uint8_t byte)
{
    uint8_t e[PAGE + 512] = "HvLE";
    put32(e + 4, sizeof(e));
    put32(e + 12, sequence);
    put32(e + 16, bins);
    put32(e + 20, 1);
    put32(e + 40, page);
    put32(e + 44, PAGE);
    memset(e + 48, byte, PAGE);
    put64(e + 24, cpuu_marvin32(e + 40, sizeof(e) - 40, CPUU_HIVELOG_SEED));
    put64(e + 32, cpuu_marvin32(e, 32, CPUU_HIVELOG_SEED));
    cpuu_buf_add(log, e, sizeof(e));
}

typedef struct logs {
    uint8_t hive[EMPTY_HIVE_SIZE];
    cpuu_buf log[2], out;
    unsigned n;
} logs;

static void begin(logs *l, uint32_t first, uint32_t second)
{
    dirty_hive(l->hive, first, second);
    cpuu_buf_init(&l->log[0], 1 << 20);
    cpuu_buf_init(&l->log[1], 1 << 20);
    cpuu_buf_init(&l->out, 1 << 20);
}

static cpuu_rc replay(logs *l)
{
    return cpuu_hive_replay(l->hive, sizeof(l->hive), l->log, &l->out, &l->n, &err);
}

static void end(logs *l)
{
    cpuu_buf_free(&l->log[0]);
    cpuu_buf_free(&l->log[1]);
    cpuu_buf_free(&l->out);
}

START_TEST(entries_are_added_in_their_order_from_both_files)
{
    logs l;
    begin(&l, 8, 7);
    begin_log(&l.log[0], l.hive, 8); /* the newer one */
    add_entry(&l.log[0], 8, 2 * PAGE, PAGE, 0x22);
    add_entry(&l.log[0], 9, 2 * PAGE, 0, 0x33);
    begin_log(&l.log[1], l.hive, 6);
    add_entry(&l.log[1], 6, PAGE, 0, 0x66); /* in the hive already */
    add_entry(&l.log[1], 7, PAGE, 0, 0x11);
    OK(replay(&l));
    ck_assert_uint_eq(l.n, 3);
    ck_assert_uint_eq(l.out.size, 3 * PAGE);
    ck_assert_uint_eq(l.out.data[PAGE], 0x33);
    ck_assert_uint_eq(l.out.data[2 * PAGE], 0x22);
    ck_assert_uint_eq(cpuu_le32(l.out.data + 4), 10);
    ck_assert_uint_eq(cpuu_le32(l.out.data + 8), 10);
    ck_assert_uint_eq(cpuu_le32(l.out.data + 40), 2 * PAGE);
    ck_assert(!cpuu_hive_is_dirty(l.out.data, l.out.size));
    end(&l);
}
END_TEST

START_TEST(an_entry_that_was_not_written_completely_ends_the_log)
{
    for (unsigned what = 0; what < 5; what++) {
        logs l;
        begin(&l, 8, 7);
        begin_log(&l.log[0], l.hive, 7);
        add_entry(&l.log[0], 7, PAGE, 0, 0x11);
        size_t second = l.log[0].size;
        add_entry(&l.log[0], 8, PAGE, 0, 0x22);
        add_entry(&l.log[0], 9, PAGE, 0, 0x33);
        if (what == 0)
            l.log[0].data[second + 1000] ^= 1; /* a page */
        else if (what == 1)
            l.log[0].data[second + 8] ^= 1; /* the head */
        else if (what == 2)
            l.log[0].size = second + 600;
        else if (what == 3)
            put32(l.log[0].data + second + 4, 0x7ffffe00);
        else
            memset(l.log[0].data + second, 0, 512);
        OK(replay(&l));
        ck_assert_uint_eq(l.n, 1);
        ck_assert_uint_eq(l.out.data[PAGE], 0x11);
        ck_assert_uint_eq(cpuu_le32(l.out.data + 8), 8);
        end(&l);
    }
}
END_TEST

START_TEST(logs_that_do_not_belong_or_leave_a_gap_are_refused)
{
    for (unsigned what = 0; what < 6; what++) {
        logs l;
        begin(&l, 8, 7);
        begin_log(&l.log[0], l.hive, what == 0 ? 8 : 7);
        if (what == 1) { /* another hive's */
            l.log[0].data[60] ^= 1;
            hive_checksum(l.log[0].data);
        } else if (what == 2) {
            l.log[0].data[508] ^= 1;
        } else if (what == 3) { /* of the older format */
            put32(l.log[0].data + 28, 1);
            hive_checksum(l.log[0].data);
        }
        add_entry(&l.log[0], what == 0 ? 8 : 7, PAGE, what == 4 ? PAGE : 0, 0x11);
        if (what == 5)
            l.log[0].size = 0;
        ck_assert_int_eq(replay(&l), CPUU_E_DIRTY);
        ck_assert_ptr_nonnull(strstr(err.text, "8 and 7"));
        end(&l);
    }
}
END_TEST

/* "DIRT", a bit for every 512 bytes of two pages, the second of which is there. */
static void make_old_log(cpuu_buf *log, const uint8_t *hive, uint8_t second)
{
    uint8_t dirt[512] = "DIRT", page[PAGE];
    begin_log(log, hive, cpuu_le32(hive + 4));
    put32(log->data + 28, 1);
    put32(log->data + 40, 2 * PAGE);
    hive_checksum(log->data);
    dirt[5] = second;
    memset(page, 0x55, sizeof(page));
    cpuu_buf_add(log, dirt, sizeof(dirt));
    cpuu_buf_add(log, page, sizeof(page));
}

START_TEST(a_log_of_the_older_format_is_read)
{
    for (unsigned what = 0; what < 5; what++) {
        logs l;
        begin(&l, 8, 7);
        make_old_log(&l.log[1], l.hive, what == 1 ? 0x0f : 0xff);
        if (what == 2) { /* made at another time */
            l.log[1].data[12] ^= 1;
            hive_checksum(l.log[1].data);
        } else if (what == 3) {
            l.log[1].size -= 512;
        } else if (what == 4) {
            l.log[1].data[512] = 'X';
        }
        cpuu_rc rc = replay(&l);
        ck_assert_int_eq(rc, what ? CPUU_E_DIRTY : CPUU_OK);
        if (rc == CPUU_OK) {
            ck_assert_uint_eq(l.n, 1);
            ck_assert_uint_eq(l.out.size, 3 * PAGE);
            ck_assert_mem_eq(l.out.data + PAGE, l.hive + PAGE, PAGE);
            ck_assert_uint_eq(l.out.data[2 * PAGE], 0x55);
            ck_assert_uint_eq(l.out.data[3 * PAGE - 1], 0x55);
            ck_assert_uint_eq(cpuu_le32(l.out.data + 40), 2 * PAGE);
            ck_assert(!cpuu_hive_is_dirty(l.out.data, l.out.size));
            ck_assert_int_ne(memcmp(l.out.data + 12, l.hive + 12, 8), 0);
        }
        end(&l);
    }
}
END_TEST

/* ---- a real one ------------------------------------------------------------------------------ */

static bool unpack(const char *name, const char *to)
{
    char line[4500], file[200];
    snprintf(file, sizeof(file), "profiles/hives/regipy_transactions_%s.xz", name);
    const char *oracle = oracle_path("a_real_hive_is_recovered", file);
    if (!oracle)
        return false;
    snprintf(line, sizeof(line), "xz -dc '%s' >'%s/%s'", oracle, dir, to);
    return system(line) == 0;
}

static size_t lines(const char *command)
{
    char text[64] = "";
    FILE *p = popen(command, "r");
    ck_assert_ptr_nonnull(p);
    ck_assert_ptr_nonnull(fgets(text, sizeof(text), p));
    pclose(p);
    return strtoul(text, NULL, 10);
}

/* 23 entries, which add 1115 keys and values (reference "Outlook profile registry" 14). */
START_TEST(a_real_hive_is_recovered)
{
    cpuu_reg *reg;
    cpuu_edits edits;
    char line[600];
    if (!unpack("NTUSER.DAT", "NTUSER.DAT") || !unpack("ntuser.dat.log1", "ntuser.dat.log1") ||
        !unpack("ntuser.dat.log2", "ntuser.dat.log2"))
        return;
    snprintf(line, sizeof(line), "cp '%s' '%s/before'", path, dir);
    ck_assert_int_eq(system(line), 0);
    OK(cpuu_reg_open_hive(path, NULL, &reg, &err));
    const char *text = "Windows Registry Editor Version 5.00\r\n"
                       "\r\n[HKEY_CURRENT_USER\\Software\\cpuu]\r\n\"a\"=\"b\"\r\n";
    cpuu_edits_init(&edits);
    OK(cpuu_reg_parse_text(text, strlen(text), &edits, &err));
    snprintf(line, sizeof(line), "cmp -s '%s' '%s/before'", path, dir);
    ck_assert_int_eq(system(line), 0); /* looking writes nothing */
    OK(cpuu_reg_apply(reg, &edits, &err));
    cpuu_edits_free(&edits);
    cpuu_reg_close(reg);
    OK(cpuu_reg_open_hive(path, NULL, &reg, &err)); /* clean, the old logs beside it */
    cpuu_reg_close(reg);
    if (system("command -v reglookup >/dev/null") != 0)
        return;
    snprintf(line, sizeof(line),
             "cd '%s'; for f in NTUSER.DAT before; do reglookup $f 2>/dev/null | "
             "awk -F, '!/^.Software.cpuu/ {print $1, $2 == \"KEY\"}' | sort -u >$f.txt; done; "
             "comm -23 NTUSER.DAT.txt before.txt | wc -l", dir);
    size_t fresh = lines(line);
    ck_assert_msg(fresh >= 1112 && fresh <= 1118, "%zu", fresh); /* reglookup lists one twice */
}
END_TEST

START_TEST(a_hive_without_its_logs_is_refused)
{
    uint8_t hive[EMPTY_HIVE_SIZE];
    cpuu_reg *reg;
    dirty_hive(hive, 8, 7);
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(hive, 1, sizeof(hive), f), sizeof(hive));
    fclose(f);
    ck_assert_int_eq(cpuu_reg_open_hive(path, NULL, &reg, &err), CPUU_E_DIRTY);
    ck_assert_ptr_nonnull(strstr(err.text, ".LOG1"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("hivelog");
    TCase *t = tcase_create("hivelog");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, the_hash_is_marvin32);
    tcase_add_test(t, entries_are_added_in_their_order_from_both_files);
    tcase_add_test(t, an_entry_that_was_not_written_completely_ends_the_log);
    tcase_add_test(t, logs_that_do_not_belong_or_leave_a_gap_are_refused);
    tcase_add_test(t, a_log_of_the_older_format_is_read);
    tcase_add_test(t, a_real_hive_is_recovered);
    tcase_add_test(t, a_hive_without_its_logs_is_refused);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
