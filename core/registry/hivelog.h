/*
 * What a hive's log files still hold. Windows writes a change to <hive>.LOG1 or .LOG2 first and to
 * the hive much later; a hive that was copied or whose computer was switched off in between is
 * "dirty", and only together with its log files is it what the user had. Pure: no I/O.
 *
 * Layout and order of recovery: the public description of the regf format by M. Suhanov, "Format of
 * transaction log files": the new format (Windows 8.1 and later; seen in a real hive) and the older
 * one (Windows XP to 8; from the description alone).
 */
#ifndef CPUU_REGISTRY_HIVELOG_H
#define CPUU_REGISTRY_HIVELOG_H

#include "base/error.h"

#include <cpuu/formats/bytes.h>

/* The XOR of what a base block's checksum is about, and how that is stored: two values do not
 * occur. */
uint32_t cpuu_hive_xor(const uint8_t *base_block);
uint32_t cpuu_hive_checksum(uint32_t xor);
/* Whether the sequence numbers of a sound base block differ. */
bool cpuu_hive_is_dirty(const uint8_t *hive, size_t size);

/*
 * The dirty hive with all that its two log files (an empty buffer: there is none) have to add, in
 * the initialised *out, clean. *entries tells how many of their entries that were (older format: 1). All or nothing:
 * CPUU_E_DIRTY, and a reason, when the logs do not go on exactly where the hive ends. The structure
 * of the result is not looked at.
 */
cpuu_rc cpuu_hive_replay(const uint8_t *hive, size_t size, const cpuu_buf logs[2], cpuu_buf *out,
                         unsigned *entries, cpuu_error *err);

/* Marvin32, as the log files use it, with its published seed as an argument. */
uint64_t cpuu_marvin32(const uint8_t *data, size_t size, uint64_t seed);
#define CPUU_HIVELOG_SEED UINT64_C(0x82ef4d887a4e55c5)

#endif
