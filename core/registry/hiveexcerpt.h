/*
 * Inside registry/: the part of a hive that a change concerns, as a small hive of its own. libhivex
 * changes that one, where it would copy all of a large one. See hiveexcerpt.c.
 */
#ifndef CPUU_REGISTRY_HIVEEXCERPT_H
#define CPUU_REGISTRY_HIVEEXCERPT_H

#include "registry/hivescan.h"

typedef struct cpuu_excerpt {
    const cpuu_hive_image *from;  /* borrowed: the hive */
    const cpuu_hive_cells *cells; /* borrowed: what is known of it */
    cpuu_hive_image file;         /* the excerpt: a file in memory to be changed, not mapped */
    uint32_t size;                /* bytes of its bins before the change */
    struct cpuu_excerpt_cell *copies; /* in the order of the excerpt */
    size_t n_copies, cap_copies;
} cpuu_excerpt;

/* Copies the keys of the tree (of cpuu_hive_load) and what is theirs; of those whose names alone are
 * known, the names. `free` is owed, whatever is returned. */
cpuu_rc cpuu_excerpt_take(cpuu_excerpt *x, const cpuu_hive_image *from,
                          const cpuu_hive_cells *cells, const cpuu_key *tree, cpuu_error *err);
/* Checks the changed excerpt and makes the same changes to a file that holds the hive. */
cpuu_rc cpuu_excerpt_give_back(cpuu_excerpt *x, int fd, cpuu_error *err);
void cpuu_excerpt_free(cpuu_excerpt *x);

#endif
