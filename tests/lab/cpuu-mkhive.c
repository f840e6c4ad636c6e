/*
 * Makes an offline NTUSER.DAT from .reg text, for the demo and the tests:
 *     cpuu-mkhive [-m MINOR] HIVE [FILE.reg]...
 * HIVE must not exist. MINOR is that of regf 1.x: 3 (Windows XP to 7) or 5 (default).
 */
#include "base/file.h"
#include "registry/registry.h"

#include "emptyhive.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static cpuu_rc create(const char *path, unsigned minor, cpuu_error *err)
{
    uint8_t hive[EMPTY_HIVE_SIZE];
    if (access(path, F_OK) == 0)
        return cpuu_fail(err, CPUU_E_EXISTS, "'%s' exists", path);
    empty_hive(hive, minor);
    return cpuu_file_write(path, hive, sizeof(hive), 0600, err);
}

static cpuu_rc import(cpuu_edits *edits, const char *path, cpuu_error *err)
{
    cpuu_buf text;
    cpuu_buf_init(&text, 64 << 20);
    cpuu_rc rc = cpuu_file_read(path, &text, NULL, err);
    if (rc == CPUU_OK && cpuu_reg_parse_text(text.data, text.size, edits, err) != CPUU_OK)
        rc = cpuu_wrap(err, "'%s'", path);
    cpuu_buf_free(&text);
    return rc;
}

static cpuu_rc make(const char *path, unsigned minor, char **files, int n, cpuu_error *err)
{
    cpuu_edits edits;
    cpuu_reg *reg = NULL;
    cpuu_edits_init(&edits);
    cpuu_rc rc = CPUU_OK;
    for (int i = 0; rc == CPUU_OK && i < n; i++)
        rc = import(&edits, files[i], err);
    if (rc == CPUU_OK)
        rc = create(path, minor, err);
    if (rc == CPUU_OK)
        rc = cpuu_reg_open_hive(path, NULL, &reg, err);
    if (rc == CPUU_OK)
        rc = cpuu_reg_apply(reg, &edits, err);
    cpuu_reg_close(reg);
    cpuu_edits_free(&edits);
    return rc;
}

int main(int argc, char **argv)
{
    unsigned minor = 5;
    for (int c; (c = getopt(argc, argv, "m:")) != -1;) {
        minor = c == 'm' ? (unsigned)strtoul(optarg, NULL, 10) : 0;
        if (minor < 3 || minor > 5)
            optind = argc;
    }
    if (optind >= argc) {
        fputs("usage: cpuu-mkhive [-m 3|4|5] HIVE [FILE.reg]...\n", stderr);
        return 2;
    }
    cpuu_error err = CPUU_ERROR_INIT;
    if (make(argv[optind], minor, argv + optind + 1, argc - optind - 1, &err) == CPUU_OK)
        return 0;
    fprintf(stderr, "cpuu-mkhive: %s\n", err.text);
    return 1;
}
