/*
 * The smallest registry hive: a base block and one bin with a root key that holds nothing and a
 * security descriptor. Byte for byte from the public description of the regf format by M. Suhanov
 * ("Windows registry file format specification", GitHub msuhanov/regf); the descriptor from
 * [MS-DTYP] 2.4.6. Independent of the code under test.
 */
#ifndef CPUU_TESTS_EMPTYHIVE_H
#define CPUU_TESTS_EMPTYHIVE_H

#include <stdint.h>
#include <string.h>

#define EMPTY_HIVE_SIZE 8192u

static inline void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void put32(uint8_t *p, uint32_t v)
{
    put16(p, v & 0xffff);
    put16(p + 2, v >> 16);
}

/* The XOR of the first 508 bytes of the base block, with two values that do not occur. */
static inline void hive_checksum(uint8_t *hive)
{
    uint32_t sum = 0;
    for (unsigned i = 0; i < 508; i += 4)
        sum ^= (uint32_t)hive[i] | (uint32_t)hive[i + 1] << 8 | (uint32_t)hive[i + 2] << 16 |
               (uint32_t)hive[i + 3] << 24;
    put32(hive + 508, sum == 0 ? 1 : sum == 0xffffffffu ? 0xfffffffeu : sum);
}

/* A key cell of 88 bytes: 4 of size, 76 of fields, the name "ROOT", padding. */
static inline void put_root_key(uint8_t *cell, uint32_t security)
{
    put32(cell, (uint32_t)-88);
    memcpy(cell + 4, "nk", 2);
    put16(cell + 6, 0x2c);                /* root of a hive, not deletable, 8-bit name */
    put32(cell + 20, 0xffffffffu);        /* parent */
    put32(cell + 32, 0xffffffffu);        /* list of subkeys */
    put32(cell + 36, 0xffffffffu);        /* list of volatile subkeys */
    put32(cell + 44, 0xffffffffu);        /* list of values */
    put32(cell + 48, security);
    put32(cell + 52, 0xffffffffu);        /* class name */
    put16(cell + 76, 4);
    memcpy(cell + 80, "ROOT", 4);
}

/* A security cell of 104 bytes: everyone may do everything; nobody real is behind it. */
static inline void put_security(uint8_t *cell, uint32_t offset)
{
    static const uint8_t descriptor[] = {
        1, 0, 0x04, 0x80, 20, 0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0, 48, 0, 0, 0, /* with a DACL */
        1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0,                 /* S-1-5-32-544 */
        1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0,                                /* S-1-5-18 */
        2, 0, 28, 0, 1, 0, 0, 0,                                            /* ACL, one entry */
        0, 2, 20, 0, 0x3f, 0, 0x0f, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}; /* S-1-1-0, inherited */
    put32(cell, (uint32_t)-104);
    memcpy(cell + 4, "sk", 2);
    put32(cell + 8, offset);  /* next and previous: a ring of one */
    put32(cell + 12, offset);
    put32(cell + 16, 1);      /* users */
    put32(cell + 20, sizeof(descriptor));
    memcpy(cell + 24, descriptor, sizeof(descriptor));
}

/* regf 1.`minor`, sequence numbers equal. */
static inline void empty_hive(uint8_t hive[EMPTY_HIVE_SIZE], unsigned minor)
{
    memset(hive, 0, EMPTY_HIVE_SIZE);
    memcpy(hive, "regf", 4);
    put32(hive + 4, 1);
    put32(hive + 8, 1);
    put32(hive + 20, 1);
    put32(hive + 24, minor);
    put32(hive + 32, 1);
    put32(hive + 36, 32);   /* root key: the first cell */
    put32(hive + 40, 4096); /* size of the bins */
    put32(hive + 44, 1);
    hive_checksum(hive);

    uint8_t *bin = hive + 4096;
    memcpy(bin, "hbin", 4);
    put32(bin + 8, 4096);
    put_root_key(bin + 32, 120);
    put_security(bin + 120, 120);
    put32(bin + 224, 4096 - 224); /* a free cell up to the end */
}

#endif
