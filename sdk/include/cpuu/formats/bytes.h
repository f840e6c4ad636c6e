/*
 * Bounds-checked reading and growing buffers: what every codec in this library is written with.
 *
 * A reader cannot run past the end of its input: the first field that does not fit makes it fail,
 * every later read gives zero, and the caller asks once, at the end, whether all went well. A buffer
 * cannot grow past its maximum: the first write that does not fit makes it fail, later ones do
 * nothing. So a codec needs no length check at each field.
 */
#ifndef CPUU_FORMATS_BYTES_H
#define CPUU_FORMATS_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where and why a codec stopped. `field` and `what` are constant strings, never NULL after failure. */
typedef struct cpuu_fmt_error {
    uint32_t offset;   /* byte offset in the input of the outermost decode call */
    const char *field; /* name of the field, as the specification has it */
    const char *what;  /* "runs past the end", "unknown version", ... */
} cpuu_fmt_error;

typedef struct cpuu_reader {
    const uint8_t *data; /* borrowed */
    uint32_t size;       /* bytes */
    uint32_t pos;        /* bytes consumed, <= size */
    uint32_t base;       /* offset of data[0] in the outermost input, for error messages */
    bool failed;
    cpuu_fmt_error error; /* valid when failed */
} cpuu_reader;

void cpuu_reader_init(cpuu_reader *r, const void *data, size_t size);
/* A reader over the next n bytes of r, which r skips. Fails r (and the result) when n do not fit. */
cpuu_reader cpuu_reader_sub(cpuu_reader *r, uint32_t n, const char *field);
/* Marks the reader failed at its current position; the first failure is kept. Returns false. */
bool cpuu_reader_fail(cpuu_reader *r, const char *field, const char *what);
/* Takes over the failure of a sub-reader. Returns true when neither has failed. */
bool cpuu_reader_join(cpuu_reader *r, const cpuu_reader *sub);
static inline uint32_t cpuu_reader_left(const cpuu_reader *r)
{
    return r->failed ? 0 : r->size - r->pos;
}
/* Little-endian integers; 0 after failure. */
uint8_t cpuu_read_u8(cpuu_reader *r, const char *field);
uint16_t cpuu_read_u16(cpuu_reader *r, const char *field);
uint32_t cpuu_read_u32(cpuu_reader *r, const char *field);
uint64_t cpuu_read_u64(cpuu_reader *r, const char *field);
/* Borrowed pointer to n bytes, or NULL after failure. n = 0 gives a non-NULL pointer. */
const uint8_t *cpuu_read_bytes(cpuu_reader *r, uint32_t n, const char *field);
/* Text up to and including its NUL (8-bit, or UTF-16LE): borrowed pointer, size without the NUL in
 * bytes. NULL when there is no NUL before the end. */
const uint8_t *cpuu_read_sz8(cpuu_reader *r, uint32_t *size, const char *field);
const uint8_t *cpuu_read_sz16(cpuu_reader *r, uint32_t *size, const char *field);
void cpuu_read_skip(cpuu_reader *r, uint32_t n, const char *field);

typedef struct cpuu_buf {
    uint8_t *data; /* owned; NULL while empty */
    size_t size;   /* bytes in use */
    size_t cap;
    size_t max;    /* never grows past this many bytes */
    bool failed;   /* out of memory, or past max */
} cpuu_buf;

void cpuu_buf_init(cpuu_buf *b, size_t max);
void cpuu_buf_free(cpuu_buf *b);
/* Empties it, keeps the memory and the maximum. */
void cpuu_buf_reset(cpuu_buf *b);
bool cpuu_buf_add(cpuu_buf *b, const void *data, size_t n);
bool cpuu_buf_fill(cpuu_buf *b, uint8_t byte, size_t n);
bool cpuu_buf_u8(cpuu_buf *b, uint8_t v);
bool cpuu_buf_u16(cpuu_buf *b, uint16_t v);
bool cpuu_buf_u32(cpuu_buf *b, uint32_t v);
bool cpuu_buf_u64(cpuu_buf *b, uint64_t v);
/* Text and its NUL, as it is. */
bool cpuu_buf_sz(cpuu_buf *b, const char *text);
/* Overwrites bytes that are already there; fails the buffer when pos + n > size. */
bool cpuu_buf_put(cpuu_buf *b, size_t pos, const void *data, size_t n);
bool cpuu_buf_put_u16(cpuu_buf *b, size_t pos, uint16_t v);
bool cpuu_buf_put_u32(cpuu_buf *b, size_t pos, uint32_t v);
/* UTF-8 text as UTF-16LE, with a 2-byte NUL when `nul`. Invalid UTF-8 fails the buffer. */
bool cpuu_buf_utf16(cpuu_buf *b, const char *utf8, bool nul);
/* The same for n bytes of UTF-8 that need not end in a NUL. */
bool cpuu_buf_utf16_n(cpuu_buf *b, const char *utf8, size_t n, bool nul);

/* UTF-16LE (n bytes, n even; a lone surrogate becomes U+FFFD) appended as UTF-8, without NUL. */
bool cpuu_buf_utf8_from_utf16(cpuu_buf *b, const uint8_t *utf16, uint32_t n);
/* True when n bytes are well-formed UTF-8 without NUL. */
bool cpuu_utf8_valid(const char *text, size_t n);

static inline uint16_t cpuu_le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | (p[1] << 8));
}
static inline uint32_t cpuu_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | ((uint32_t)p[1] << 8) | ((uint32_t)p[2] << 16) | ((uint32_t)p[3] << 24);
}
static inline uint64_t cpuu_le64(const uint8_t *p)
{
    return (uint64_t)cpuu_le32(p) | ((uint64_t)cpuu_le32(p + 4) << 32);
}

/*
 * Memory of this library comes from these two; a program may replace them before the first call.
 * realloc(NULL, n) allocates; a NULL result means out of memory and is reported, never fatal.
 */
extern void *(*cpuu_fmt_realloc)(void *p, size_t n);
extern void (*cpuu_fmt_free)(void *p);

#ifdef __cplusplus
}
#endif
#endif
