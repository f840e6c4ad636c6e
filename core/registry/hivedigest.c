/* Under a random key nobody can make other bytes of the same digest, and by chance one of 2^64
 * changes has it. */
#include "registry/hive.h"

#include <sodium/crypto_shorthash_siphash24.h>

uint64_t cpuu_hive_digest(const uint8_t *data, size_t size, const uint64_t key[2])
{
    uint8_t k[crypto_shorthash_siphash24_KEYBYTES], out[crypto_shorthash_siphash24_BYTES];
    for (unsigned i = 0; i < sizeof(k); i++)
        k[i] = (uint8_t)(key[i / 8] >> 8 * (i % 8));
    crypto_shorthash_siphash24(out, data, size, k);
    return cpuu_le64(out);
}
