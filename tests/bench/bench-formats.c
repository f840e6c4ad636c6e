/*
 * Throughput of the codecs: decoding and rewriting of an AutoComplete stream of 5,000 rows and of a
 * rule stream of 1 MB, both made here. Prints a table; nothing is asserted, so this is no test.
 * CPUU_BENCH_SECONDS (default 1) is how long each line is measured.
 */
#include <cpuu/formats/entryid.h>
#include <cpuu/formats/nickname.h>
#include <cpuu/formats/rulestream.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROWS       5000u
#define RULE_BYTES (1u << 20)
#define MAX_BYTES  (1u << 28)

#define OLD_DN "/o=Source/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Recipients/cn=a%06u"
#define NEW_DN                                                                                     \
    "/o=Target/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Recipients/cn=target"

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench-formats: %s failed\n", what);
    exit(EXIT_FAILURE);
}

/* ---- inputs ---------------------------------------------------------------------------------- */

static void add_prop(cpuu_buf *out, uint32_t tag, const void *data, size_t n)
{
    cpuu_nick_prop p;
    memset(&p, 0, sizeof(p));
    p.tag = tag;
    p.value = (cpuu_blob){data, (uint32_t)n};
    p.nul = CPUU_TAG_TYPE(tag) == CPUU_PT_STRING;
    check(cpuu_nick_prop_write(out, &p), "building a property");
}

static void add_text(cpuu_buf *out, uint32_t tag, const char *text)
{
    cpuu_buf b;
    cpuu_buf_init(&b, 4096);
    check(cpuu_buf_utf16(&b, text, false), "building a text");
    add_prop(out, tag, b.data, b.size);
    cpuu_buf_free(&b);
}

/* The properties and their number are those of a row as Outlook 2010 writes it. */
static void add_row(cpuu_buf *out, unsigned i)
{
    static const uint8_t number[4] = {1, 0, 0, 0};
    static const uint32_t longs[] = {0x0c150003, 0x3a710003, 0x39000003, 0x0ffe0003, 0x5fff0003,
                                     0x5fde0003, 0x5ffd0003, 0x5fdf0003, 0x60040003};
    char dn[200], name[40];
    cpuu_buf eid, key;
    snprintf(dn, sizeof(dn), OLD_DN, i);
    snprintf(name, sizeof(name), "Person number %u", i);
    cpuu_buf_init(&eid, 4096);
    cpuu_buf_init(&key, 4096);
    check(cpuu_eid_build_ab(&eid, dn, CPUU_AB_USER) && cpuu_search_key_build(&key, "EX", dn),
          "building a row");
    cpuu_buf_u32(out, 19);
    add_text(out, CPUU_NICK_KEY, name);
    for (size_t k = 0; k < sizeof(longs) / sizeof(longs[0]); k++)
        add_prop(out, longs[k], number, 4);
    add_prop(out, 0x300b0102, key.data, key.size);
    add_prop(out, 0x0ff90102, eid.data, eid.size);
    add_prop(out, 0x0fff0102, eid.data, eid.size);
    add_prop(out, 0x5ff70102, eid.data, eid.size);
    add_text(out, 0x3003001f, dn);
    add_text(out, 0x3002001f, "EX");
    add_text(out, 0x3001001f, name);
    add_text(out, 0x5ff6001f, name);
    add_text(out, CPUU_NICK_DROPDOWN, name);
    cpuu_buf_free(&eid);
    cpuu_buf_free(&key);
}

static void make_nicknames(cpuu_buf *out)
{
    cpuu_nick_stream head;
    memset(&head, 0, sizeof(head));
    head.major = 12;
    head.n_rows = ROWS;
    cpuu_buf_init(out, MAX_BYTES);
    check(cpuu_nick_begin(out, &head), "building a stream");
    for (unsigned i = 0; i < ROWS; i++)
        add_row(out, i);
    check(cpuu_nick_end(out, &head), "building a stream");
}

/* A person as a rule keeps one: an index of 16 bytes per property, then the values. */
static void add_person(cpuu_buf *out, unsigned i)
{
    char dn[200];
    cpuu_buf eid, values;
    snprintf(dn, sizeof(dn), OLD_DN, i);
    cpuu_buf_init(&eid, 4096);
    cpuu_buf_init(&values, 4096);
    check(cpuu_eid_build_ab(&eid, dn, CPUU_AB_USER), "building a person");
    cpuu_buf_utf16(&values, dn, true);
    cpuu_buf_u32(out, 0);
    cpuu_buf_u32(out, 2);
    cpuu_buf_u32(out, (uint32_t)(32 + values.size + eid.size));
    cpuu_buf_u32(out, 0x3003001f);
    cpuu_buf_u32(out, 0);
    cpuu_buf_u32(out, 32); /* offset */
    cpuu_buf_u32(out, 0);
    cpuu_buf_u32(out, 0x0fff0102);
    cpuu_buf_u32(out, 0);
    cpuu_buf_u32(out, (uint32_t)eid.size);
    cpuu_buf_u32(out, (uint32_t)(32 + values.size));
    cpuu_buf_add(out, values.data, values.size);
    cpuu_buf_add(out, eid.data, eid.size);
    cpuu_buf_free(&eid);
    cpuu_buf_free(&values);
}

static void add_words(cpuu_buf *out, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        cpuu_buf_u32(out, 1);
}

static void add_eid(cpuu_buf *out)
{
    static const uint8_t folder[CPUU_FOLDER_EID_SIZE] = {0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7,
                                                         8, 9, 1, 2, 3, 4, 5, 6, 7, 1};
    cpuu_buf_u32(out, sizeof(folder));
    cpuu_buf_add(out, folder, sizeof(folder));
}

/* "From any of three people: move to a folder"; 203 and 300 are the kinds of these elements. */
static void add_rule(cpuu_buf *out, unsigned i)
{
    static const uint8_t magic[4] = {0x40, 0x42, 0x0f, 0};
    cpuu_buf_add(out, magic, sizeof(magic));
    cpuu_buf_u8(out, 4);
    cpuu_buf_utf16(out, "rule", false);
    add_words(out, 5);
    size_t size_at = out->size;
    cpuu_buf_u32(out, 0);
    cpuu_buf_u16(out, 2);
    cpuu_buf_u16(out, 0x8001);
    cpuu_buf_u32(out, 203);
    add_words(out, 2);
    cpuu_buf_u32(out, 3);
    for (unsigned k = 0; k < 3; k++)
        add_person(out, 3 * i + k);
    add_words(out, 2);
    cpuu_buf_u16(out, 0x8001);
    cpuu_buf_u32(out, 300);
    add_words(out, 2);
    add_eid(out);
    add_eid(out);
    cpuu_buf_u8(out, 5);
    cpuu_buf_utf16(out, "Inbox", false);
    add_words(out, 1);
    cpuu_buf_put_u32(out, size_at, (uint32_t)(out->size - size_at - 4));
}

static void make_rules(cpuu_buf *out)
{
    static const uint8_t magic[8] = {0x40, 0x42, 0x0f, 0, 0, 0, 0x14, 0x06};
    unsigned n = 0;
    cpuu_buf_init(out, MAX_BYTES);
    cpuu_buf_add(out, magic, sizeof(magic));
    add_words(out, 9);
    size_t count_at = out->size;
    cpuu_buf_u16(out, 0);
    for (; out->size < RULE_BYTES && !out->failed; n++)
        add_rule(out, n);
    cpuu_buf_put_u16(out, count_at, (uint16_t)n);
    cpuu_buf_fill(out, 0, 20); /* no template folder, zero, time stamp, zero */
    check(!out->failed, "building a rule stream");
}

/* ---- measuring ------------------------------------------------------------------------------- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static uint64_t n_links;

static bool keep(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    (void)user;
    (void)kind;
    (void)in;
    (void)out;
    n_links++;
    return false;
}

static bool replace(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    (void)user;
    n_links++;
    switch (kind) {
    case CPUU_LINK_EID:
        return cpuu_eid_build_ab(out, NEW_DN, CPUU_AB_USER);
    case CPUU_LINK_SEARCH_KEY:
        return cpuu_search_key_build(out, "EX", NEW_DN);
    case CPUU_LINK_EX_DN:
        return cpuu_buf_add(out, NEW_DN, sizeof(NEW_DN) - 1);
    default:
        (void)in;
        return false;
    }
}

static bool nick_decode(cpuu_blob in, cpuu_buf *out)
{
    cpuu_nick_stream s;
    cpuu_nick_row row;
    cpuu_nick_prop p;
    uint32_t sum = 0;
    (void)out;
    if (!cpuu_nick_open(in, &s, NULL))
        return false;
    while (cpuu_nick_next(&s, &row))
        while (cpuu_nick_prop_next(&row, &p))
            sum += p.value.size;
    return sum != 0;
}

static bool nick_keep(cpuu_blob in, cpuu_buf *out)
{
    return cpuu_nick_rewrite(in, keep, NULL, out, NULL, NULL) && out->size == in.size;
}

static bool nick_replace(cpuu_blob in, cpuu_buf *out)
{
    return cpuu_nick_rewrite(in, replace, NULL, out, NULL, NULL);
}

static bool rules_decode(cpuu_blob in, cpuu_buf *out)
{
    uint32_t opaque = 1;
    (void)out;
    return cpuu_xr_walk(in, CPUU_XR_STREAM, NULL, NULL, &opaque, NULL) && opaque == 0;
}

static bool rules_keep(cpuu_blob in, cpuu_buf *out)
{
    return cpuu_xr_rewrite(in, CPUU_XR_STREAM, keep, NULL, out, NULL, NULL, NULL) &&
           out->size == in.size;
}

static bool rules_replace(cpuu_blob in, cpuu_buf *out)
{
    return cpuu_xr_rewrite(in, CPUU_XR_STREAM, replace, NULL, out, NULL, NULL, NULL);
}

static void measure(const char *name, const cpuu_buf *in, bool (*run)(cpuu_blob, cpuu_buf *),
                    double seconds)
{
    cpuu_buf out;
    cpuu_blob blob = {in->data, (uint32_t)in->size};
    unsigned rounds = 0;
    cpuu_buf_init(&out, MAX_BYTES);
    n_links = 0;
    double start = now(), t;
    do {
        cpuu_buf_reset(&out);
        check(run(blob, &out), name);
        rounds++;
        t = now() - start;
    } while (t < seconds);
    printf("%-28s %9zu %9.1f ", name, in->size, (double)in->size * rounds / t / 1e6);
    if (n_links)
        printf("%9llu %9.0f\n", (unsigned long long)(n_links / rounds), t * 1e9 / (double)n_links);
    else
        printf("%9s %9s\n", "-", "-");
    cpuu_buf_free(&out);
}

int main(void)
{
    const char *env = getenv("CPUU_BENCH_SECONDS");
    double seconds = env ? strtod(env, NULL) : 1.0;
    cpuu_buf nicknames, rules;
    make_nicknames(&nicknames);
    make_rules(&rules);
    printf("%-28s %9s %9s %9s %9s\n", "", "bytes", "MB/s", "links", "ns/link");
    measure("AutoComplete, decode", &nicknames, nick_decode, seconds);
    measure("AutoComplete, keep links", &nicknames, nick_keep, seconds);
    measure("AutoComplete, replace links", &nicknames, nick_replace, seconds);
    measure("rule stream, decode", &rules, rules_decode, seconds);
    measure("rule stream, keep links", &rules, rules_keep, seconds);
    measure("rule stream, replace links", &rules, rules_replace, seconds);
    cpuu_buf_free(&nicknames);
    cpuu_buf_free(&rules);
    return EXIT_SUCCESS;
}
