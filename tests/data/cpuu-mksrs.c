/*
 * Writes a synthetic file of send/receive groups (.srs) to standard output: one group, "All
 * Accounts", with account number 2, whose folders are the arguments, EntryIDs in hex; then a
 * built-in module.
 *
 * A compound file ([MS-CFB]) of version 3: sector 0 FAT, 1 directory, 2 mini FAT, from 3 on the
 * mini stream with both streams. Their layout: observed, as the reference lists it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR     512u
#define MINI       64u
#define MAX_STREAM 4095u /* larger ones are not in the mini stream, [MS-CFB] 2.2 */
#define FREE       0xffffffffu
#define END        0xfffffffeu

typedef struct bytes {
    uint8_t data[2 * 4096 + 8 * SECTOR];
    size_t n;
} bytes;

static void add(bytes *b, const void *data, size_t n)
{
    if (n > sizeof(b->data) - b->n)
        abort();
    memcpy(b->data + b->n, data, n);
    b->n += n;
}

static void number(bytes *b, uint32_t v, int size)
{
    uint8_t le[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    add(b, le, (size_t)size);
}

static void hex(bytes *b, const char *digits)
{
    size_t n = strlen(digits);
    if (n % 2 || strspn(digits, "0123456789abcdefABCDEF") != n) {
        fprintf(stderr, "cpuu-mksrs: not hex: '%s'\n", digits);
        exit(2);
    }
    for (; *digits; digits += 2) {
        char two[3] = {digits[0], digits[1], 0};
        number(b, (uint32_t)strtoul(two, NULL, 16), 1);
    }
}

static void fill(bytes *b, uint8_t v, size_t n)
{
    while (n--)
        add(b, &v, 1);
}

static void text(bytes *b, const char *s)
{
    for (; *s; s++)
        number(b, (uint8_t)*s, 2);
    number(b, 0, 2);
}

static void counted_text(bytes *b, const char *s)
{
    number(b, (uint32_t)strlen(s) + 1, 4);
    text(b, s);
}

/* {8300BC40-7170-4328-A63D-8CD77F8CDB22}, in storage order */
static const char all_accounts[] = "40bc008370712843a63d8cd77f8cdb22";

static void collection(bytes *b)
{
    number(b, 1, 4);
    number(b, 1, 4);
    hex(b, all_accounts);
    counted_text(b, "GUID|{8300BC40-7170-4328-A63D-8CD77F8CDB22}");
    counted_text(b, "All Accounts");
    number(b, 7, 4); /* how often it was saved */
    number(b, 0, 4);
    number(b, 16, 4);
    fill(b, 0x5a, 16);
    number(b, 8, 4);
    hex(b, "0102030405060708");
    number(b, 4, 4);
    number(b, 1614326, 4);
    number(b, 0, 4);
}

static void folder(bytes *b, const char *eid)
{
    uint32_t n = (uint32_t)strlen(eid) / 2;
    static const uint32_t after[] = {9, 0, 8, 0, 50, 0};
    number(b, n, 4);
    hex(b, eid);
    number(b, 12 + n + 24, 4);
    number(b, 1, 4);
    number(b, 1, 4);
    number(b, n, 4);
    hex(b, eid);
    for (size_t i = 0; i < 6; i++)
        number(b, after[i], 4);
    number(b, 0, 4);
}

static void account(bytes *b, char **eids, int n)
{
    bytes a = {.n = 0};
    hex(&a, "706f77cff2bed311a9c800104b2a619f");
    for (int i = 0; i < 4; i++)
        number(&a, 1, 4);
    number(&a, 2, 4); /* account */
    number(&a, 0x4006, 4);
    number(&a, 0, 4);
    number(&a, (uint32_t)n, 4);
    for (int i = 0; i < n; i++)
        folder(&a, eids[i]);
    fill(&a, 0, 20);
    number(b, 2, 4);
    number(b, (uint32_t)a.n, 4);
    add(b, a.data, a.n);
    number(b, (uint32_t)-13, 4); /* a built-in module */
    number(b, 68, 4);
    hex(b, "1216fac5e0f7b64a866cbb5ff2f3b379");
    fill(b, 0x33, 52);
}

static void group(bytes *b, char **eids, int n)
{
    number(b, 1, 4);
    counted_text(b, "GUID|{8300BC40-7170-4328-A63D-8CD77F8CDB22}");
    hex(b, all_accounts);
    number(b, 1, 1);
    number(b, 0, 1);
    number(b, 1, 1);
    number(b, 30, 4);
    number(b, 1, 1);
    number(b, 0, 1);
    number(b, 30, 4);
    number(b, 7, 4);
    number(b, 0, 4);
    number(b, 2, 4);
    account(b, eids, n);
    number(b, 4, 4);
    number(b, 0, 4);
    number(b, 0, 4);
}

/* [MS-CFB] 2.6.1 */
static void entry(bytes *b, const char *name, int type, uint32_t left, uint32_t child,
                  uint32_t start, uint32_t size)
{
    size_t at = b->n;
    text(b, name);
    fill(b, 0, at + 64 - b->n);
    number(b, (uint32_t)(2 * strlen(name) + 2), 2);
    number(b, (uint32_t)type, 1);
    number(b, 1, 1); /* black */
    number(b, left, 4);
    number(b, FREE, 4);
    number(b, child, 4);
    fill(b, 0, 16 + 4 + 16);
    number(b, start, 4);
    number(b, size, 4);
    number(b, 0, 4);
}

static uint32_t chain(bytes *b, uint32_t from, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        number(b, i + 1 < n ? from + i + 1 : END, 4);
    return from + n;
}

static uint32_t minis(const bytes *b)
{
    return (uint32_t)((b->n + MINI - 1) / MINI);
}

/* [MS-CFB] 2.2 */
static void header(bytes *b)
{
    hex(b, "d0cf11e0a1b11ae1");
    fill(b, 0, 16);
    number(b, 0x3e, 2);
    number(b, 3, 2);
    number(b, 0xfffe, 2);
    number(b, 9, 2);
    number(b, 6, 2);
    fill(b, 0, 6);
    number(b, 0, 4);
    number(b, 1, 4); /* FAT sectors */
    number(b, 1, 4); /* directory */
    number(b, 0, 4);
    number(b, 4096, 4);
    number(b, 2, 4); /* mini FAT */
    number(b, 1, 4);
    number(b, END, 4);
    number(b, 0, 4);
    number(b, 0, 4); /* the FAT's sector */
    fill(b, 0xff, SECTOR - b->n);
}

static void pad(bytes *b, uint32_t to, uint8_t v)
{
    fill(b, v, (to - b->n % to) % to);
}

int main(int argc, char **argv)
{
    static bytes coll, grp, out;
    collection(&coll);
    group(&grp, argv + 1, argc - 1);
    if (grp.n > MAX_STREAM)
        return 2;
    uint32_t n_coll = minis(&coll), n_grp = minis(&grp), n_mini = n_coll + n_grp;
    uint32_t n_sectors = (n_mini * MINI + SECTOR - 1) / SECTOR;
    header(&out);
    number(&out, 0xfffffffdu, 4); /* a FAT sector */
    number(&out, END, 4);
    number(&out, END, 4);
    chain(&out, 3, n_sectors);
    pad(&out, SECTOR, 0xff);
    entry(&out, "Root Entry", 5, FREE, 1, 3, n_mini * MINI);
    entry(&out, "__CollDataStm", 2, 2, FREE, 0, (uint32_t)coll.n);
    entry(&out, "All Accounts", 2, FREE, FREE, n_coll, (uint32_t)grp.n);
    entry(&out, "", 0, FREE, FREE, 0, 0);
    chain(&out, 0, n_coll);
    chain(&out, n_coll, n_grp);
    pad(&out, SECTOR, 0xff);
    add(&out, coll.data, coll.n);
    pad(&out, MINI, 0);
    add(&out, grp.data, grp.n);
    pad(&out, SECTOR, 0);
    return fwrite(out.data, 1, out.n, stdout) != out.n || fflush(stdout) != 0;
}
