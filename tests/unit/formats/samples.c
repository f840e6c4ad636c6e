#include "samples.h"

#include <check.h>
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../oracle.h"

static bool read_file(const char *path, cpuu_buf *out)
{
    FILE *f = fopen(path, "rb");
    char chunk[4096];
    size_t n;
    if (!f)
        return false;
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
        cpuu_buf_add(out, chunk, n);
    fclose(f);
    return !out->failed;
}

/* Lines that only say in other words what other lines say. */
static bool repeats(const char *line)
{
    static const char *const heads[] = {
        "Name: ", "Other Matches: ", "AltPropString = ", "Smart View", "Flags: "};
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
        if (strncmp(line, heads[i], strlen(heads[i])) == 0)
            return true;
    return false;
}

/* "Key = 0x0001 = name", "Key = name = 0x0001", "Key = 0x0001 (name)" -> "Key = 0x0001";
 * "Key = {GUID} = name" -> "Key = {GUID}". */
static void cut_symbols(char *line)
{
    char *value = strstr(line, " = ");
    char *last = value ? value + 3 : NULL;
    if (!value)
        return;
    if (strncmp(line, "FuzzyLevel", 10) == 0 || strncmp(line, "relop", 5) == 0)
        for (char *p; (p = strstr(last, " = ")) != NULL;)
            last = p + 3;
    size_t n = strlen(last);
    if (strncmp(last, "0x", 2) == 0)
        n = 2 + strspn(last + 2, "0123456789ABCDEFabcdef");
    else if (*last == '{')
        n = strcspn(last, "}") + 1;
    memmove(value + 3, last, n);
    value[3 + n] = 0;
}

static void add_line(cpuu_buf *out, char *line)
{
    line += strspn(line, "\t| ");
    if (repeats(line))
        return;
    cut_symbols(line);
    size_t n = strlen(line);
    while (n && (line[n - 1] == ' ' || line[n - 1] == '\r'))
        line[--n] = 0;
    if (n == 0)
        return;
    cpuu_buf_add(out, line, n);
    cpuu_buf_u8(out, '\n');
}

static char *normalise(char *lines)
{
    cpuu_buf out;
    char *save = NULL;
    cpuu_buf_init(&out, 1u << 24);
    for (char *line = strtok_r(lines, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        add_line(&out, line);
    cpuu_buf_u8(&out, 0);
    ck_assert(!out.failed);
    return (char *)out.data;
}

static void load(const char *bin, sample *out)
{
    cpuu_buf bytes, expected;
    char path[4200];
    cpuu_buf_init(&bytes, 1u << 24);
    cpuu_buf_init(&expected, 1u << 24);
    ck_assert_msg(read_file(bin, &bytes), "%s", bin);
    memset(out, 0, sizeof(*out));
    const char *base = strrchr(bin, '/') + 1;
    snprintf(out->name, sizeof(out->name), "%.*s", (int)strcspn(base, "."), base);
    out->bytes = (cpuu_blob){bytes.data, (uint32_t)bytes.size};
    snprintf(path, sizeof(path), "%.*s.expected.txt", (int)(strlen(bin) - 4), bin);
    if (read_file(path, &expected)) {
        cpuu_buf_u8(&expected, 0);
        out->expected = normalise((char *)expected.data);
    }
    cpuu_buf_free(&expected);
}

bool sample_load(const char *relative, sample *out)
{
    char path[256];
    snprintf(path, sizeof(path), "mapi-blobs/%s", relative);
    const char *found = oracle_path(relative, path);
    if (!found)
        return false;
    load(found, out);
    return true;
}

void sample_free(sample *s)
{
    cpuu_fmt_free((void *)s->bytes.data);
    cpuu_fmt_free(s->expected);
}

int samples_each(const char *prefix, sample_fn fn)
{
    const char *dir = oracle_path(prefix, "mapi-blobs/open");
    if (!dir)
        return -1;
    DIR *d = opendir(dir);
    ck_assert_ptr_nonnull(d);
    int n = 0;
    size_t len = strlen(prefix);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        const char *dot = strrchr(e->d_name, '.');
        if (strncmp(e->d_name, prefix, len) != 0 || e->d_name[len] != '-' || !dot ||
            strcmp(dot, ".bin") != 0)
            continue;
        char path[4500];
        sample s;
        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        load(path, &s);
        fn(&s);
        sample_free(&s);
        n++;
    }
    closedir(d);
    printf("%s: %d independent samples\n", prefix, n);
    return n;
}

void sample_compare(const sample *s, const char *rendered)
{
    const char *a = s->expected, *b = rendered;
    int line = 1;
    ck_assert_ptr_nonnull(a);
    while (*a || *b) {
        size_t n = strcspn(a, "\n"), m = strcspn(b, "\n");
        ck_assert_msg(n == m && memcmp(a, b, n) == 0,
                      "%s, field line %d:\nexpected %.*s\n got     %.*s", s->name, line, (int)n, a,
                      (int)m, b);
        a += n + (a[n] != 0);
        b += m + (b[m] != 0);
        line++;
    }
}

void same_bytes(cpuu_blob a, const cpuu_buf *b, const char *name)
{
    ck_assert_msg(a.size == b->size && (a.size == 0 || memcmp(a.data, b->data, a.size) == 0),
                  "%s changed", name);
}

void text_init(text *t)
{
    cpuu_buf_init(&t->buf, 1u << 24);
}

const char *text_get(text *t)
{
    cpuu_buf_u8(&t->buf, 0);
    ck_assert(!t->buf.failed);
    t->buf.size--;
    return (const char *)t->buf.data;
}

void text_add(text *t, const char *s)
{
    cpuu_buf_add(&t->buf, s, strlen(s));
}

void text_free(text *t)
{
    cpuu_buf_free(&t->buf);
}

void text_line(text *t, const char *format, ...)
{
    va_list args;
    static char line[65536];
    va_start(args, format);
    int n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    ck_assert(n >= 0 && (size_t)n < sizeof(line));
    add_line(&t->buf, line);
}

void text_hex(text *t, const void *data, size_t n)
{
    cpuu_buf_add(&t->buf, "cb: ", 4);
    char number[32];
    cpuu_buf_add(&t->buf, number, (size_t)snprintf(number, sizeof(number), "%zu lpb: ", n));
    if (n == 0)
        t->buf.size--;
    for (size_t i = 0; i < n; i++)
        cpuu_buf_add(&t->buf, number,
                     (size_t)snprintf(number, sizeof(number), "%02X", ((const uint8_t *)data)[i]));
    cpuu_buf_u8(&t->buf, '\n');
}

void text_guid(text *t, const char *key, const uint8_t g[16])
{
    text_line(t, "%s = {%08X-%04X-%04X-%02X%02X-%02X%02X%02X%02X%02X%02X}", key, cpuu_le32(g),
              cpuu_le16(g + 4), cpuu_le16(g + 6), g[8], g[9], g[10], g[11], g[12], g[13], g[14],
              g[15]);
}

static void keyed(text *t, const char *key, const cpuu_buf *utf8)
{
    text_line(t, "%s = %.*s", key, (int)utf8->size, utf8->size ? (const char *)utf8->data : "");
}

/* Bytes over 0x7f were shown as Latin-1. */
void text_sz8(text *t, const char *key, cpuu_blob b)
{
    cpuu_buf utf8;
    cpuu_buf_init(&utf8, 1u << 20);
    for (uint32_t i = 0; i < b.size; i++) {
        uint8_t unit[2] = {b.data[i], 0};
        cpuu_buf_utf8_from_utf16(&utf8, unit, 2);
    }
    keyed(t, key, &utf8);
    cpuu_buf_free(&utf8);
}

void text_sz16(text *t, const char *key, cpuu_blob b)
{
    cpuu_buf utf8;
    cpuu_buf_init(&utf8, 1u << 20);
    cpuu_buf_utf8_from_utf16(&utf8, b.data, b.size);
    keyed(t, key, &utf8);
    cpuu_buf_free(&utf8);
}

/* Identifiers of a fixed size can only be changed in place. */
static bool swap_fixed(const swap *s, cpuu_blob in, cpuu_buf *out)
{
    size_t at = out->size;
    cpuu_buf_add(out, in.data, in.size);
    if (s->mode != 0 && s->mode != 2)
        out->data[at + (in.size == 4 ? 2 : 0)] ^= 1;
    return s->mode != 0;
}

bool swap_link(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    swap *s = user;
    s->asked++;
    s->kinds |= kind;
    ck_assert_uint_gt(in.size, 0);
    ck_assert_msg(kind && (kind & (kind - 1)) == 0, "kind %x", kind);
    if (s->mode == 2)
        out->failed = true;
    if (kind == CPUU_LINK_NAMED_TAG || kind == CPUU_LINK_FID)
        return swap_fixed(s, in, out);
    if (s->mode <= 0)
        cpuu_buf_add(out, "x", 1); /* ignored when the link is kept */
    if (s->mode == 1) {
        cpuu_buf_add(out, in.data, in.size);
        cpuu_buf_fill(out, 'y', 300);
    }
    return s->mode != 0;
}

static void try_exact(const uint8_t *data, uint32_t n, void (*parse)(cpuu_blob in))
{
    uint8_t *copy = malloc(n ? n : 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, data, n);
    parse((cpuu_blob){copy, n});
    free(copy);
}

void hostile_variants(cpuu_blob good, void (*parse)(cpuu_blob in))
{
    uint8_t *copy = malloc(good.size);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, good.data, good.size);
    uint32_t step = good.size > 2000 ? good.size / 1000 : 1;
    for (uint32_t n = 0; n < good.size; n += step)
        try_exact(good.data, n, parse);
    for (uint32_t i = 0; i < good.size; i += step) {
        static const uint8_t bad[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
        for (size_t b = 0; b < sizeof(bad); b++) {
            copy[i] = bad[b];
            try_exact(copy, good.size, parse);
        }
        copy[i] = good.data[i];
    }
    free(copy);
}
