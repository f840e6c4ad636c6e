/* Small things all codecs of this library need; not installed. */
#ifndef CPUU_FORMATS_INTERNAL_H
#define CPUU_FORMATS_INTERNAL_H

#include <cpuu/formats/bytes.h>
#include <cpuu/plugin.h>

#include <string.h>

/* The next n bytes as a borrowed blob; empty after failure. */
static inline cpuu_blob fmt_blob(cpuu_reader *r, uint32_t n, const char *field)
{
    const uint8_t *p = cpuu_read_bytes(r, n, field);
    return (cpuu_blob){p, p ? n : 0};
}

static inline cpuu_blob fmt_blob_left(cpuu_reader *r, const char *field)
{
    return fmt_blob(r, cpuu_reader_left(r), field);
}

static inline cpuu_blob fmt_blob_sz8(cpuu_reader *r, const char *field)
{
    cpuu_blob b = {NULL, 0};
    b.data = cpuu_read_sz8(r, &b.size, field);
    return b;
}

static inline cpuu_blob fmt_blob_sz16(cpuu_reader *r, const char *field)
{
    cpuu_blob b = {NULL, 0};
    b.data = cpuu_read_sz16(r, &b.size, field);
    return b;
}

static inline void fmt_copy(cpuu_reader *r, void *to, uint32_t n, const char *field)
{
    const uint8_t *p = cpuu_read_bytes(r, n, field);
    if (p)
        memcpy(to, p, n);
}

static inline bool fmt_add(cpuu_buf *out, cpuu_blob b)
{
    return cpuu_buf_add(out, b.data, b.size);
}

/* Ends a decode: hands the reader's failure to the caller. Returns true when there was none. */
static inline bool fmt_done(const cpuu_reader *r, cpuu_fmt_error *err)
{
    if (r->failed && err)
        *err = r->error;
    return !r->failed;
}

/* Reports a failed output buffer the way input errors are reported. Returns true if it is fine. */
static inline bool fmt_wrote(const cpuu_buf *out, cpuu_fmt_error *err)
{
    if (out->failed && err)
        *err = (cpuu_fmt_error){0, "output", "is over its limit, or memory ran out"};
    return !out->failed;
}

#endif
