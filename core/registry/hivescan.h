/*
 * Inside registry/: walking the cells of a hive that nobody has vouched for. See hivescan.c.
 */
#ifndef CPUU_REGISTRY_HIVESCAN_H
#define CPUU_REGISTRY_HIVESCAN_H

#include "registry/hive.h"

#include <string.h>

#define CPUU_SCAN_BASE 4096u       /* the base block before the bins */
#define CPUU_SCAN_HEAD 32u         /* of a bin */
#define CPUU_SCAN_NONE 0xffffffffu /* an offset that leads nowhere */

/* What begins at an offset. */
typedef enum cpuu_cell_state {
    CPUU_CELL_NONE = 0, /* no cell, or a free one */
    CPUU_CELL_IN_USE,   /* and nobody refers to it, as far as is known */
    CPUU_CELL_TAKEN,    /* and has its one owner */
    CPUU_CELL_SHARED    /* a security descriptor of one or more keys */
} cpuu_cell_state;

typedef struct cpuu_scan {
    const uint8_t *bins;
    uint32_t size; /* bytes of bins */
    uint32_t minor;
    uint8_t *states; /* of cpuu_hive_cells */
    cpuu_error *err;
} cpuu_scan;

/* A number for each security descriptor, 0 at first. There are few: memory is for the pages that
 * hold one. */
typedef struct cpuu_tally {
    uint32_t **pages;
    size_t n_pages;
} cpuu_tally;

/* False: out of memory. `free` is owed in any case. */
bool cpuu_tally_init(cpuu_tally *t, uint32_t size);
void cpuu_tally_free(cpuu_tally *t);
/* The number of the cell; NULL: out of memory. */
uint32_t *cpuu_tally_of(cpuu_tally *t, uint32_t at);

static inline cpuu_cell_state cpuu_cell_state_of(const uint8_t *states, uint32_t at)
{
    return (cpuu_cell_state)(states[at / 32] >> at / 8 % 4 * 2 & 3);
}

static inline void cpuu_cell_set(uint8_t *states, uint32_t at, cpuu_cell_state state)
{
    unsigned shift = at / 8 % 4 * 2;
    states[at / 32] = (uint8_t)((states[at / 32] & ~(3u << shift)) | (unsigned)state << shift);
}

static inline bool cpuu_cell_is(const uint8_t *cell, const char *signature)
{
    return memcmp(cell + 4, signature, 2) == 0;
}

cpuu_rc cpuu_scan_bad(cpuu_scan *s, uint32_t at, const char *what);
/* The size of the cell `at` in a bin that ends at `end`; 0 when it is impossible. */
uint32_t cpuu_scan_cell_size(const uint8_t *bins, uint32_t at, uint32_t end, bool *used);
/* A cell in use with at least `min` bytes, its size field included; NULL when there is none. */
const uint8_t *cpuu_scan_look(cpuu_scan *s, uint32_t at, uint32_t min, uint32_t *size);
/* The same for a cell that has one owner, who takes it. */
const uint8_t *cpuu_scan_take(cpuu_scan *s, uint32_t at, uint32_t min, uint32_t *size);
/* Takes the cell of a key. */
const uint8_t *cpuu_scan_take_key(cpuu_scan *s, uint32_t at, unsigned depth);
/* Takes the list of values of a key, the values and their data. */
cpuu_rc cpuu_scan_values(cpuu_scan *s, const uint8_t *nk);
/* Whether next and previous of a descriptor are descriptors. */
cpuu_rc cpuu_scan_ring(cpuu_scan *s, uint32_t at, const uint8_t *sk);

/* An entry of a list of keys: the offset of a key, and a hash in some. */
typedef cpuu_rc cpuu_scan_kid(cpuu_scan *s, const uint8_t *list, const uint8_t *entry,
                              unsigned depth, void *with);
/* Takes the lists of a key and calls `kid` for each key below. */
cpuu_rc cpuu_scan_below(cpuu_scan *s, uint32_t at, unsigned depth, cpuu_scan_kid *kid, void *with);

#endif
