/*
 * What opening a hive and committing a verified change to it cost beside a plain copy of the same
 * file with fsync. The ratio of commit to copy is to stay under two.
 * usage: bench-hive FOLDER [MEGABYTES...]
 */
#include "base/clock.h"
#include "base/file.h"
#include "registry/registry.h"

#include "tests/lab/emptyhive.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 15
#define KEYS_PER_MB 660u /* of ten values with 100 bytes each */
#define KEYS_PER_GROUP 50u

typedef struct results {
    double open[ROUNDS], commit[ROUNDS], copy[ROUNDS];
} results;

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

static void key_name(char out[64], unsigned i)
{
    snprintf(out, 64, "Software\\Bench\\Group%04u\\Key%06u", i / KEYS_PER_GROUP, i);
}

static void add_keys(cpuu_edits *edits, unsigned first, unsigned n)
{
    uint8_t data[100] = {7};
    char key[64], name[16];
    for (unsigned i = first; i < first + n; i++) {
        key_name(key, i);
        cpuu_edits_create_key(edits, key, CPUU_MARK_NONE, NULL);
        for (unsigned k = 0; k < 10; k++) {
            snprintf(name, sizeof(name), "value%u", k);
            cpuu_edits_set(edits, key, name, CPUU_REG_BINARY, data, sizeof(data), CPUU_MARK_NONE,
                           NULL);
        }
    }
}

static void make_hive(const char *path, unsigned megabytes)
{
    cpuu_error err = CPUU_ERROR_INIT;
    uint8_t empty[EMPTY_HIVE_SIZE];
    cpuu_reg *reg;
    empty_hive(empty, 5);
    unlink(path);
    must(cpuu_file_write(path, empty, sizeof(empty), 0600, &err) == CPUU_OK, err.text);
    must(cpuu_reg_open_hive(path, NULL, &reg, &err) == CPUU_OK, err.text);
    cpuu_edits edits;
    cpuu_edits_init(&edits);
    add_keys(&edits, 0, megabytes * KEYS_PER_MB);
    must(cpuu_reg_apply(reg, &edits, &err) == CPUU_OK, err.text);
    cpuu_edits_free(&edits);
    cpuu_reg_close(reg);
}

/* A hundred values of a hundred keys, in every group. */
static void commit_once(const char *path, unsigned megabytes, unsigned round, double *open_ms,
                        double *commit_ms)
{
    cpuu_error err = CPUU_ERROR_INIT;
    unsigned keys = megabytes * KEYS_PER_MB;
    cpuu_reg *reg;
    cpuu_edits edits;
    double start = now_ms();
    must(cpuu_reg_open_hive(path, NULL, &reg, &err) == CPUU_OK, err.text);
    *open_ms = now_ms() - start;
    cpuu_edits_init(&edits);
    for (unsigned k = 0; k < 100; k++) {
        char key[64];
        key_name(key, k * (keys / 100));
        cpuu_edits_set(&edits, key, "value3", CPUU_REG_BINARY, &round, sizeof(round),
                       CPUU_MARK_NONE, NULL);
    }
    start = now_ms();
    must(cpuu_reg_apply(reg, &edits, &err) == CPUU_OK, err.text);
    *commit_ms = now_ms() - start;
    cpuu_reg_close(reg);
    cpuu_edits_free(&edits);
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

static double median(double *list)
{
    qsort(list, ROUNDS, sizeof(*list), by_value);
    return list[ROUNDS / 2];
}

/* Each commit in a process of its own, as in a run, for its peak memory in KiB. */
static long in_child(const char *path, unsigned megabytes, unsigned round, double ms[2])
{
    struct rusage usage;
    int status, ends[2];
    must(pipe(ends) == 0, "cannot make a pipe");
    pid_t pid = fork();
    must(pid >= 0, "cannot fork");
    if (pid == 0) {
        if (round == 0)
            make_hive(path, megabytes);
        else
            commit_once(path, megabytes, round, &ms[0], &ms[1]);
        must(write(ends[1], ms, 2 * sizeof(*ms)) > 0, "cannot write");
        _exit(0);
    }
    must(read(ends[0], ms, 2 * sizeof(*ms)) == 2 * sizeof(*ms), "a child failed");
    must(wait4(pid, &status, 0, &usage) == pid && status == 0, "a child failed");
    close(ends[0]);
    close(ends[1]);
    return usage.ru_maxrss;
}

static void measure(const char *path, const char *copy, unsigned megabytes)
{
    results r;
    struct stat st;
    long peak = 0;
    double ms[2] = {0};
    in_child(path, megabytes, 0, ms);
    for (unsigned i = 0; i < ROUNDS; i++) {
        r.copy[i] = copy_once(path, copy);
        peak = in_child(path, megabytes, i + 1, ms);
        r.open[i] = ms[0];
        r.commit[i] = ms[1];
    }
    must(stat(path, &st) == 0, "cannot stat");
    double commit = median(r.commit), plain = median(r.copy);
    printf("%-10lld %10.2f %10.2f %14.2f %8.2f %10.1f\n", (long long)st.st_size / 1024,
           median(r.open), commit, plain, commit / plain, (double)peak / 1024);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const unsigned usual[] = {1, 4, 8, 16, 64};
    char path[4096], copy[4096];
    must(argc >= 2, "usage: bench-hive FOLDER [MEGABYTES...]");
    snprintf(path, sizeof(path), "%s/bench.dat", argv[1]);
    snprintf(copy, sizeof(copy), "%s/bench.copy", argv[1]);
    printf("\n%-10s %10s %10s %14s %8s %10s   (medians of %d)\n", "hive/KiB", "open/ms",
           "commit/ms", "copy+fsync/ms", "ratio", "peak/MiB", ROUNDS);
    fflush(stdout);
    for (int i = 0; i < (argc > 2 ? argc - 2 : 5); i++)
        measure(path, copy, argc > 2 ? (unsigned)atoi(argv[i + 2]) : usual[i]);
    unlink(path);
    unlink(copy);
    return 0;
}
