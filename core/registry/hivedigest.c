/*
 * SipHash-2-4: J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF" (2012), 2.2 and
 * 2.4. Under a random key nobody can make other bytes of the same digest, and by chance one of
 * 2^64 changes has it.
 */
#include "registry/hive.h"

typedef struct sip {
    uint64_t v[4];
} sip;

static uint64_t turn(uint64_t n, unsigned bits)
{
    return n << bits | n >> (64 - bits);
}

static inline void rounds(sip *s, unsigned n)
{
    uint64_t a = s->v[0], b = s->v[1], c = s->v[2], d = s->v[3];
    while (n--) {
        a += b;
        c += d;
        b = turn(b, 13) ^ a;
        d = turn(d, 16) ^ c;
        a = turn(a, 32);
        c += b;
        a += d;
        b = turn(b, 17) ^ c;
        d = turn(d, 21) ^ a;
        c = turn(c, 32);
    }
    *s = (sip){{a, b, c, d}};
}

static inline void add_word(sip *s, uint64_t word)
{
    s->v[3] ^= word;
    rounds(s, 2);
    s->v[0] ^= word;
}

uint64_t cpuu_hive_digest(const uint8_t *data, size_t size, const uint64_t key[2])
{
    sip s = {{key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
              key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573)}};
    size_t at = 0;
    for (; size - at >= 8; at += 8)
        add_word(&s, cpuu_le64(data + at));
    uint64_t last = (uint64_t)size << 56;
    for (unsigned i = 0; at + i < size; i++)
        last |= (uint64_t)data[at + i] << 8 * i;
    add_word(&s, last);
    s.v[2] ^= 0xff;
    rounds(&s, 4);
    return s.v[0] ^ s.v[1] ^ s.v[2] ^ s.v[3];
}
