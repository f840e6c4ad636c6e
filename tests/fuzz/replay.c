/*
 * Runs a fuzz target as an ordinary test: every file of its corpus as it is, cut off at many
 * lengths, and with bytes changed, always in the same way. Arguments are files or folders; without
 * any, the corpus that belongs to the name of the program. CPUU_FUZZ_ROUNDS=n does n changes per
 * file instead of 200. Prints PASS or FAIL; a target reports a finding by ending the process.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long runs, rounds = 200;

/* An exact copy, so that a sanitizer sees a read past the end. */
static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        abort();
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    runs++;
}

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void vary(uint8_t *data, size_t size)
{
    uint32_t state = 1;
    for (unsigned long i = 0; size && i < rounds / 4; i++)
        run(data, next(&state) % size);
    for (unsigned long i = 0; size && i < rounds; i++) {
        uint8_t old[4];
        size_t at[4];
        unsigned n = 1 + next(&state) % 4;
        for (unsigned k = 0; k < n; k++) {
            at[k] = next(&state) % size;
            old[k] = data[at[k]];
            data[at[k]] = (uint8_t)(next(&state) % 3 ? next(&state) : old[k] ^ (1u << k));
        }
        run(data, size);
        while (n--)
            data[at[n]] = old[n];
    }
}

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    size_t size = 0, cap = 1 << 24;
    uint8_t *data = malloc(cap);
    if (f && data)
        size = fread(data, 1, cap, f);
    int failed = !f || !data || ferror(f);
    if (failed)
        printf("FAIL: cannot read %s\n", path);
    else {
        run(data, size);
        vary(data, size);
    }
    if (f)
        fclose(f);
    free(data);
    return failed;
}

static int replay(const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
        return replay_file(path);
    DIR *d = opendir(path);
    if (!d) {
        printf("FAIL: cannot open %s\n", path);
        return 1;
    }
    int failed = 0, files = 0;
    for (struct dirent *e; (e = readdir(d));) {
        char name[4096];
        if (e->d_name[0] == '.')
            continue;
        snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
        failed |= replay_file(name);
        files++;
    }
    closedir(d);
    if (!files)
        printf("FAIL: no file in %s\n", path);
    return failed || !files;
}

int main(int argc, char **argv)
{
    char corpus[4096];
    const char *env = getenv("CPUU_FUZZ_ROUNDS");
    const char *name = strstr(argv[0], "fuzz-"); /* libtool may put "lt-" in front */
    for (const char *p = name; p && (p = strstr(p + 1, "fuzz-"));)
        name = p;
    if (env)
        rounds = strtoul(env, NULL, 10);
    int failed = 0;
    for (int i = 1; i < argc; i++)
        failed |= replay(argv[i]);
    if (argc < 2) {
        snprintf(corpus, sizeof(corpus), "%s/tests/fuzz/corpus/%s", CPUU_SRCDIR,
                 name ? name + 5 : "");
        failed = replay(corpus);
    }
    printf("%s: %s, %lu runs\n", failed ? "FAIL" : "PASS", name ? name : argv[0], runs);
    return failed;
}
