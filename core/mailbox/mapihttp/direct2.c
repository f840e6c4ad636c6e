/*
 * DIRECT2 decoding of LZ77: how the payload of an extended buffer is compressed ([MS-OXCRPC]
 * 3.1.4.1.1.2.2; the same encoding is the plain LZ77 of [MS-XCA] 2.4). Promises: never reads past
 * the input, never writes past the output, and fails unless the output is filled exactly.
 */
#include "mailbox/mapihttp/session.h"

typedef struct decoder {
    const uint8_t *in;
    size_t size, at;
    uint8_t mask;    /* obfuscation: every byte of the input is XORed with it */
    size_t shared;   /* where the byte is whose high nibble is still to be used; 0 = nowhere */
    bool failed;
} decoder;

static uint32_t take(decoder *d, size_t n)
{
    uint32_t v = 0;
    if (n > d->size - d->at) {
        d->failed = true;
        return 0;
    }
    for (size_t i = 0; i < n; i++)
        v |= (uint32_t)(d->in[d->at++] ^ d->mask) << (8 * i);
    return v;
}

/* Two lengths share a byte: the first takes the low nibble, the second the high one. */
static uint32_t nibble(decoder *d)
{
    uint32_t byte;
    if (d->shared) {
        byte = (uint32_t)(d->in[d->shared] ^ d->mask);
        d->shared = 0;
        return byte >> 4;
    }
    d->shared = d->at; /* never 0: flags and metadata came before */
    return take(d, 1) & 0x0f;
}

/* Match length from the low three bits of the metadata and what extends them. */
static size_t match_length(decoder *d, uint32_t metadata)
{
    uint32_t length = metadata & 7;
    if (length == 7) {
        length += nibble(d);
        if (length == 7 + 15)
            length += take(d, 1);
        if (length == 7 + 15 + 255)
            length = take(d, 2);
    }
    return (size_t)length + 3;
}

bool cpuu_direct2_decode(const uint8_t *data, size_t size, uint8_t mask, uint8_t *out,
                         size_t out_size)
{
    decoder d = {.in = data, .size = size, .mask = mask};
    uint32_t flags = 0;
    size_t n = 0;
    for (unsigned bit = 0; n < out_size && !d.failed; bit = (bit + 1) % 32) {
        if (bit == 0)
            flags = take(&d, 4);
        if (!(flags & (0x80000000u >> bit))) {
            out[n++] = (uint8_t)take(&d, 1);
            continue;
        }
        uint32_t metadata = take(&d, 2);
        size_t back = (metadata >> 3) + 1, length = match_length(&d, metadata);
        if (d.failed || back > n || length > out_size - n)
            return false;
        for (; length; length--, n++)
            out[n] = out[n - back]; /* byte by byte: the match may overlap what it makes */
    }
    return !d.failed;
}
