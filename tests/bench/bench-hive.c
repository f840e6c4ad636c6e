/*
 * What an atomic, verified hive commit costs beside a plain copy of the same file with fsync: the ratio is
 * to stay under two for hives of real size. usage: bench-hive FOLDER
 */
#include "base/clock.h"
#include "base/file.h"
#include "registry/registry.h"

#include "tests/lab/emptyhive.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 15

static double now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench-hive: %s\n", what);
    exit(1);
}

/* A hive with n keys of ten values each. */
static void make_hive(const char *path, unsigned n)
{
    cpuu_error err = CPUU_ERROR_INIT;
    uint8_t empty[EMPTY_HIVE_SIZE], data[100] = {7};
    cpuu_reg *reg;
    cpuu_edits edits;
    empty_hive(empty, 5);
    unlink(path);
    must(cpuu_file_write(path, empty, sizeof(empty), 0600, &err) == CPUU_OK, err.text);
    must(cpuu_reg_open_hive(path, NULL, &reg, &err) == CPUU_OK, err.text);
    cpuu_edits_init(&edits);
    for (unsigned i = 0; i < n; i++) {
        char key[64], name[16];
        snprintf(key, sizeof(key), "Software\\Bench\\Key%05u", i);
        cpuu_edits_create_key(&edits, key, CPUU_MARK_NONE, NULL);
        for (unsigned k = 0; k < 10; k++) {
            snprintf(name, sizeof(name), "value%u", k);
            cpuu_edits_set(&edits, key, name, CPUU_REG_BINARY, data, sizeof(data), CPUU_MARK_NONE, NULL);
        }
    }
    must(cpuu_reg_apply(reg, &edits, &err) == CPUU_OK, err.text);
    cpuu_reg_close(reg);
    cpuu_edits_free(&edits);
}

static double commit_once(const char *path, unsigned round)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_reg *reg;
    cpuu_edits edits;
    must(cpuu_reg_open_hive(path, NULL, &reg, &err) == CPUU_OK, err.text);
    cpuu_edits_init(&edits);
    for (unsigned k = 0; k < 100; k++) {
        char key[64];
        snprintf(key, sizeof(key), "Software\\Bench\\Key%05u", k);
        cpuu_edits_set(&edits, key, "value3", CPUU_REG_BINARY, &round, sizeof(round), CPUU_MARK_NONE, NULL);
    }
    double start = now_ms();
    must(cpuu_reg_apply(reg, &edits, &err) == CPUU_OK, err.text);
    double took = now_ms() - start;
    cpuu_reg_close(reg);
    cpuu_edits_free(&edits);
    return took;
}

static double copy_once(const char *path, const char *copy)
{
    static uint8_t block[1 << 20];
    double start = now_ms();
    int from = open(path, O_RDONLY), to = open(copy, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    must(from >= 0 && to >= 0, "cannot open");
    for (ssize_t n; (n = read(from, block, sizeof(block))) > 0;)
        must(write(to, block, (size_t)n) == n, "cannot write");
    must(fsync(to) == 0, "cannot flush");
    close(from);
    close(to);
    return now_ms() - start;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    char path[4096], copy[4096];
    static const unsigned sizes[] = {500, 5000, 25000};
    must(argc == 2, "usage: bench-hive FOLDER");
    snprintf(path, sizeof(path), "%s/bench.dat", argv[1]);
    snprintf(copy, sizeof(copy), "%s/bench.copy", argv[1]);
    printf("\n%-12s %12s %14s %8s   (medians of %d)\n", "hive/KiB", "commit/ms", "copy+fsync/ms", "ratio", ROUNDS);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        double commits[ROUNDS], copies[ROUNDS];
        struct stat st;
        make_hive(path, sizes[i]);
        for (unsigned r = 0; r < ROUNDS; r++) {
            commits[r] = commit_once(path, r);
            copies[r] = copy_once(path, copy);
        }
        qsort(commits, ROUNDS, sizeof(*commits), by_value);
        qsort(copies, ROUNDS, sizeof(*copies), by_value);
        must(stat(path, &st) == 0, "cannot stat");
        printf("%-12lld %12.2f %14.2f %8.2f\n", (long long)st.st_size / 1024, commits[ROUNDS / 2],
               copies[ROUNDS / 2], commits[ROUNDS / 2] / copies[ROUNDS / 2]);
    }
    unlink(path);
    unlink(copy);
    return 0;
}
