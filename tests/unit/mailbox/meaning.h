/* What the recordings' JSON says, as bytes: an independent reading of the same exchanges. */
#ifndef CPUU_TESTS_MEANING_H
#define CPUU_TESTS_MEANING_H

#include <cpuu/formats/propvalue.h>

#include <jansson.h>

/* First hexadecimal number of "0x67480014 PidTagFolderId", "0x00000000 Success", ... */
uint32_t meaning_hex(const json_t *text);
/* Hex string in wire order as bytes / as the integer those bytes are, little-endian. */
void meaning_bytes(const json_t *hex, cpuu_buf *out);
uint64_t meaning_id(const json_t *hex);
/* A value of that tag in the form of cpuu_value. */
void meaning_value(uint32_t tag, const json_t *value, cpuu_buf *out);
void meaning_restriction(const json_t *tree, cpuu_buf *out);
/* Array of {tag, value} -> values whose data live in *bytes. Returns their number. */
uint32_t meaning_values(const json_t *props, cpuu_value *out, uint32_t max, cpuu_buf *bytes);
uint32_t meaning_tags(const json_t *tags, uint32_t *out, uint32_t max);
void meaning_guid(const json_t *text, uint8_t out[16]);

#endif
