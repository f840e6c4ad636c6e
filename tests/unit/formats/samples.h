/*
 * Independent samples ($CPUU_ORACLES/mapi-blobs): bytes, and what another program made of them.
 *
 * A test renders its own decoding in that program's vocabulary ("FolderType = 0x0001") and compares
 * line by line. Only what is not a decoded field is taken off first: indentation, and the symbolic
 * name after a number ("= eitLTPrivateFolder").
 */
#ifndef CPUU_TESTS_SAMPLES_H
#define CPUU_TESTS_SAMPLES_H

#include <cpuu/formats/bytes.h>
#include <cpuu/plugin.h>

typedef struct sample {
    char name[64];
    cpuu_blob bytes;
    char *expected; /* lines, normalised; each ends with '\n' */
} sample;

typedef void (*sample_fn)(const sample *s);

/* Runs fn over open/<prefix>-<number>; returns how many there were, -1 when oracles are absent. */
int samples_each(const char *prefix, sample_fn fn);
/* One file of mapi-blobs ("worked/x.bin"); false when absent. Free with sample_free(). */
bool sample_load(const char *relative, sample *out);
void sample_free(sample *s);
/* The line after which both differ is printed; the test fails. */
void sample_compare(const sample *s, const char *rendered);

static inline cpuu_blob blob_of(const cpuu_buf *b)
{
    return (cpuu_blob){b->data, (uint32_t)b->size};
}
/* Fails the test when they differ. */
void same_bytes(cpuu_blob a, const cpuu_buf *b, const char *name);

/* Rendering: a growing text. */
typedef struct text {
    cpuu_buf buf;
} text;
void text_init(text *t);
const char *text_get(text *t);
void text_free(text *t);
void text_line(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Without a newline and as it is. */
void text_add(text *t, const char *s);
/* "cb: N lpb: HEX" */
void text_hex(text *t, const void *data, size_t n);
/* "<key> = {GUID}" */
void text_guid(text *t, const char *key, const uint8_t guid[16]);
/* "<key> = <text>", 8-bit bytes as they are or UTF-16LE as UTF-8 */
void text_sz8(text *t, const char *key, cpuu_blob b);
void text_sz16(text *t, const char *key, cpuu_blob b);

/* Every link function is called over these: keep all, or replace by something shorter or longer. */
typedef struct swap {
    int mode; /* 0 keep, -1 shorter, 1 longer, 2 fail */
    unsigned asked;
    uint32_t kinds; /* union of the kinds asked for */
} swap;
bool swap_link(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out);

/* Runs `parse` over every prefix and with every byte changed, in exactly sized memory, so that the
 * address sanitizer sees any read outside. */
void hostile_variants(cpuu_blob good, void (*parse)(cpuu_blob in));

#endif
