/*
 * A folder with a hive in it, edits of it as text, and the fault points of registry/: for the tests
 * of offline hives, one program each.
 */
#ifndef CPUU_TESTS_HIVEKIT_H
#define CPUU_TESTS_HIVEKIT_H

#include "base/fault.h"
#include "base/file.h"
#include "registry/hive.h"

#include "../../lab/emptyhive.h"
#include "../oracle.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#define OK(call) ck_assert_msg((call) == CPUU_OK, "%s: %s", #call, err.text)
#define OKP(call) ck_assert_msg((call) == CPUU_OK, "%s: %s", #call, err->text)
#define HEAD "Windows Registry Editor Version 5.00\r\n"

/* ---- fault points ---------------------------------------------------------------------------- */

static struct {
    const char *fail; /* kind of operation that fails ... */
    unsigned long fail_at; /* ... the n-th time from now; 0 = never */
    unsigned long kill_at; /* the process ends at the n-th step */
    const char *call_at;   /* step that calls `call` */
    void (*call)(void);
} fault;

void cpuu_fault_step(const char *what)
{
    if (strncmp(what, "hive.", 5) == 0 && fault.kill_at && --fault.kill_at == 0)
        _exit(77);
    if (fault.call_at && strcmp(fault.call_at, what) == 0)
        fault.call();
}

bool cpuu_fault_fail(const char *what)
{
    return fault.fail_at && strcmp(what, fault.fail) == 0 && --fault.fail_at == 0;
}

/* ---- a folder with a hive -------------------------------------------------------------------- */

static char dir[64], path[96];

static inline void setup(void)
{
    memset(&fault, 0, sizeof(fault));
    strcpy(dir, "/tmp/cpuu-t-hive-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/NTUSER.DAT", dir);
}

static inline void teardown(void)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] != '.' || strlen(e->d_name) > 2)
            unlinkat(dirfd(d), e->d_name, 0);
    }
    closedir(d);
    rmdir(dir);
}

static inline unsigned files_in_dir(void)
{
    unsigned n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.' || strlen(e->d_name) > 2;
    closedir(d);
    return n;
}

static inline cpuu_buf slurp(const char *file)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_buf b;
    cpuu_buf_init(&b, 64 << 20);
    OK(cpuu_file_read(file, &b, NULL, &err));
    return b;
}

static inline void spit(const char *file, const void *data, size_t size)
{
    FILE *f = fopen(file, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(data, 1, size, f), size);
    ck_assert_int_eq(fclose(f), 0);
}

static inline bool same_bytes(const cpuu_buf *a, const cpuu_buf *b)
{
    return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

static inline void edits_of(cpuu_edits *e, const char *text)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_edits_init(e);
    OK(cpuu_reg_parse_text(text, strlen(text), e, &err));
}

/* Opens, checks, applies, closes. */
static inline cpuu_rc edit(const cpuu_edits *e, cpuu_error *err)
{
    cpuu_reg *reg;
    cpuu_rc rc = cpuu_reg_open_hive(path, NULL, &reg, err);
    if (rc != CPUU_OK)
        return rc;
    rc = cpuu_reg_check(reg, e, err);
    if (rc == CPUU_OK)
        rc = cpuu_reg_apply(reg, e, err);
    cpuu_reg_close(reg);
    return rc;
}

static inline cpuu_rc edit_text(const char *text, cpuu_error *err)
{
    cpuu_edits e;
    edits_of(&e, text);
    cpuu_rc rc = edit(&e, err);
    cpuu_edits_free(&e);
    return rc;
}

static inline void make_hive(unsigned minor, const char *text)
{
    uint8_t hive[EMPTY_HIVE_SIZE];
    cpuu_error err = CPUU_ERROR_INIT;
    empty_hive(hive, minor);
    spit(path, hive, sizeof(hive));
    OK(edit_text(text, &err));
}

static inline void set_minor(unsigned minor)
{
    cpuu_buf b = slurp(path);
    put32(b.data + 24, minor);
    hive_checksum(b.data);
    spit(path, b.data, b.size);
    cpuu_buf_free(&b);
}

static inline cpuu_rc open_only(cpuu_error *err)
{
    cpuu_reg *reg;
    cpuu_rc rc = cpuu_reg_open_hive(path, NULL, &reg, err);
    if (rc == CPUU_OK)
        cpuu_reg_close(reg);
    return rc;
}

static inline char *dump(void)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_reg *reg;
    cpuu_buf b;
    cpuu_buf_init(&b, 64 << 20);
    OK(cpuu_reg_open_hive(path, NULL, &reg, &err));
    OK(cpuu_reg_export_text(reg, "", &b, &err));
    cpuu_reg_close(reg);
    char *s = strndup((char *)b.data, b.size);
    cpuu_buf_free(&b);
    return s;
}

#define SOME HEAD "[HKEY_CURRENT_USER\\Software\\a]\n@=\"default\"\n\"v\"=\"one\"\n" \
                  "\"d\"=dword:7\n[HKEY_CURRENT_USER\\Software\\b\\c]\n\"x\"=hex:01,02,03\n" \
                  "\"Ünicode\"=hex(0):\n"
#define CHANGE HEAD "[HKEY_CURRENT_USER\\Software\\A]\n\"V\"=\"two\"\n\"d\"=-\n" \
                    "[-HKEY_CURRENT_USER\\Software\\b]\n[HKEY_CURRENT_USER\\Software\\n\\m]\n" \
                    "\"y\"=hex(7):41,00,00,00,00,00\n"
#define CHANGED HEAD "\r\n[HKEY_CURRENT_USER]\r\n\r\n[HKEY_CURRENT_USER\\Software]\r\n" \
                     "\r\n[HKEY_CURRENT_USER\\Software\\a]\r\n@=\"default\"\r\n\"v\"=\"two\"\r\n" \
                     "\r\n[HKEY_CURRENT_USER\\Software\\n]\r\n" \
                     "\r\n[HKEY_CURRENT_USER\\Software\\n\\m]\r\n" \
                     "\"y\"=hex(7):41,00,00,00,00,00\r\n"

/* The real hives: regf 1.3 (Windows 7), and regf 1.5 (Windows 10), which is dirty and declared
 * clean here, for the test only. False when there is no such data. */
static inline bool real_hive(const char *test, int i)
{
    static const char *const files[] = {"profiles/hives/plaso_NTUSER-WIN7.DAT",
                                        "profiles/hives/regipy_transactions_NTUSER.DAT.xz"};
    char line[4500];
    const char *oracle = oracle_path(test, files[i]);
    if (!oracle)
        return false;
    snprintf(line, sizeof(line), "%s '%s' >'%s'", i == 0 ? "cat" : "xz -dc", oracle, path);
    ck_assert_int_eq(system(line), 0);
    cpuu_buf b = slurp(path);
    put32(b.data + 8, cpuu_le32(b.data + 4));
    hive_checksum(b.data);
    spit(path, b.data, b.size);
    cpuu_buf_free(&b);
    return true;
}

#endif
