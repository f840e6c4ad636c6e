/*
 * Inside registry/: a hive as bytes in memory. Nothing here touches the disk: libhivex only ever
 * sees anonymous memory files, so nobody can swap a file under it.
 *
 * Layout of the base block and the bins: the public description of the regf format by M. Suhanov
 * ("Windows registry file format specification", GitHub msuhanov/regf), checked against real hives.
 * Rules for editing: reference "Outlook profile registry", section 14.
 */
#ifndef CPUU_REGISTRY_HIVE_H
#define CPUU_REGISTRY_HIVE_H

#include "registry/backend.h"

#define CPUU_HIVE_MAX_SIZE ((size_t)512 << 20)

typedef struct cpuu_hive_head {
    uint32_t minor;     /* regf 1.x */
    uint32_t bins_size; /* bytes of bins behind the base block */
} cpuu_hive_head;

/* Base block and chain of bins. CPUU_E_FORMAT, CPUU_E_UNSUPPORTED, or CPUU_E_DIRTY when changes are
 * still in the log files. */
cpuu_rc cpuu_hive_check_head(const uint8_t *image, size_t size, cpuu_hive_head *out,
                             cpuu_error *err);
/* Every cell that is reached from the root; the head was checked. */
cpuu_rc cpuu_hive_scan(const uint8_t *image, const cpuu_hive_head *head, cpuu_error *err);
/* The three together: head, structure, then every key and value. */
cpuu_rc cpuu_hive_read(const uint8_t *image, size_t size, cpuu_hive_head *head, cpuu_key **root,
                       cpuu_error *err);
/* Every key and value of a hive that was scanned. */
cpuu_rc cpuu_hive_load(const uint8_t *image, size_t size, cpuu_key **out, cpuu_error *err);
/* Whether cpuu_hive_change can make `to` out of `from` safely. */
cpuu_rc cpuu_hive_check_change(const cpuu_hive_head *head, const cpuu_key *from, const cpuu_key *to,
                               cpuu_error *err);
/* The image of `from` (its tree) changed into `to`, appended to out. Not yet verified: load it and
 * compare. */
cpuu_rc cpuu_hive_change(const uint8_t *image, size_t size, const cpuu_key *from,
                         const cpuu_key *to, cpuu_buf *out, cpuu_error *err);
/* Compares every key and value. On a difference *where names the key (borrowed from a). */
bool cpuu_hive_equal(const cpuu_key *a, const cpuu_key *b, const char **where);
/* Whether the keys that `now` has and `before` had not are where Windows looks for them. libhivex
 * promises no order, so it is verified. */
cpuu_rc cpuu_hive_check_order(const cpuu_key *before, const cpuu_key *now, cpuu_error *err);

#endif
