/*
 * How fast codecs read and rewrite: MB/s, and the cost per link. Inputs are made from the fuzzing
 * corpus by repetition, so nothing outside the tree is needed. Arguments are ignored.
 */
#include <cpuu/formats/entryid.h>
#include <cpuu/formats/ruleaction.h>
#include <cpuu/formats/rulestream.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool load(const char *name, cpuu_buf *out)
{
    char path[4096];
    uint8_t chunk[4096];
    size_t n;
    snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", CPUU_SRCDIR, name);
    FILE *f = fopen(path, "rb");
    if (!f)
        return false;
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
        cpuu_buf_add(out, chunk, n);
    fclose(f);
    return !out->failed;
}

static bool replace(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    ++*(unsigned long *)user;
    cpuu_buf_add(out, in.data, in.size);
    if (!(kind & (CPUU_LINK_NAMED_TAG | CPUU_LINK_FID)))
        cpuu_buf_add(out, "new", 3);
    return true;
}

static bool nothing(void *user, const cpuu_xr_item *item)
{
    *(uint32_t *)user += item->size;
    return true;
}

/* A stream of at least `least` bytes: the head of the OP_DEFER form, and one rule again and again.
 */
static void make_stream(cpuu_buf *stream, size_t least)
{
    cpuu_buf one;
    cpuu_buf_init(&one, 1u << 20);
    if (load("rulestream/defer", &one)) {
        cpuu_buf_u32(stream, 0);
        while (stream->size < least && !stream->failed)
            cpuu_buf_add(stream, one.data + 5, one.size - 5);
        cpuu_buf_put_u32(stream, 0, (uint32_t)stream->size - 4);
    }
    cpuu_buf_free(&one);
}

static void report(const char *what, double seconds, size_t bytes, unsigned long links)
{
    printf("%-28s %8.1f MB/s", what, (double)bytes / 1e6 / seconds);
    if (links)
        printf("  %8.0f ns per link (%lu links)", seconds * 1e9 / (double)links, links);
    printf("\n");
}

static bool bench_stream(void)
{
    enum { ROUNDS = 20 };
    cpuu_buf in, out;
    cpuu_fmt_error err;
    uint32_t sum = 0;
    unsigned long links = 0;
    cpuu_buf_init(&in, 4u << 20);
    cpuu_buf_init(&out, 16u << 20);
    make_stream(&in, 1u << 20);
    cpuu_blob blob = {in.data, (uint32_t)in.size};
    double start = now();
    bool ok = in.size != 0;
    for (int i = 0; i < ROUNDS && ok; i++)
        ok = cpuu_xr_walk(blob, CPUU_XR_DEFER, nothing, &sum, NULL, &err);
    report("rule stream 1 MB, read", now() - start, ROUNDS * in.size, 0);
    start = now();
    for (int i = 0; i < ROUNDS && ok; i++) {
        cpuu_buf_reset(&out);
        ok = cpuu_xr_rewrite(blob, CPUU_XR_DEFER, replace, &links, &out, NULL, NULL, &err);
    }
    report("rule stream 1 MB, rewrite", now() - start, ROUNDS * in.size, links);
    cpuu_buf_free(&in);
    cpuu_buf_free(&out);
    return ok;
}

static bool bench_eid(void)
{
    enum { ROUNDS = 200000 };
    cpuu_buf in, out;
    unsigned long links = 0;
    cpuu_buf_init(&in, 4096);
    cpuu_buf_init(&out, 4096);
    bool ok = load("entryid/nested", &in);
    double start = now();
    for (int i = 0; i < ROUNDS && ok; i++) {
        cpuu_buf_reset(&out);
        ok = cpuu_eid_rewrite((cpuu_blob){in.data, (uint32_t)in.size}, replace, &links, &out, NULL);
    }
    report("EntryID three deep, rewrite", now() - start, ROUNDS * in.size, links);
    cpuu_buf_free(&in);
    cpuu_buf_free(&out);
    return ok;
}

static bool bench_actions(void)
{
    enum { ROUNDS = 20000 };
    cpuu_buf in, out;
    cpuu_fmt_error err;
    unsigned long links = 0;
    cpuu_buf_init(&in, 65536);
    cpuu_buf_init(&out, 65536);
    bool ok = load("rules/actions0", &in);
    cpuu_blob blob = {in.data + 1, (uint32_t)in.size - 1};
    double start = now();
    for (int i = 0; i < ROUNDS && ok; i++) {
        cpuu_buf_reset(&out);
        ok = cpuu_rule_actions_rewrite(blob, CPUU_FORM_RULE, replace, &links, &out, NULL, &err);
    }
    report("rule actions, rewrite", now() - start, ROUNDS * in.size, links);
    cpuu_buf_free(&in);
    cpuu_buf_free(&out);
    return ok;
}

int main(void)
{
    bool ok = bench_stream() && bench_eid() && bench_actions();
    if (!ok)
        printf("FAIL: an input is missing or did not decode\n");
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
