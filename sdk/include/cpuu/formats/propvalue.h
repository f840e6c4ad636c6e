/*
 * Property values on the wire ([MS-OXCDATA] 2.11) and in the form of cpuu/plugin.h: one codec for
 * the ROP buffers, the extended rules with their wide counts and the address book, for client and
 * server alike.
 *
 * Decoding appends the value's bytes to a buffer and notes where they are (cpuu_cell), because the
 * buffer may move while it grows. PtypString8 is Windows-1252 on the wire (the code page that goes
 * with Connect and STAT) and UTF-8 here; text that has no such form does not encode. A lone UTF-16
 * surrogate becomes U+FFFD.
 */
#ifndef CPUU_FORMATS_PROPVALUE_H
#define CPUU_FORMATS_PROPVALUE_H

#include <cpuu/formats/bytes.h>
#include <cpuu/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Property types, [MS-OXCDATA] 2.11.1 */
#define CPUU_PT_UNSPECIFIED  0x0000u
#define CPUU_PT_INT16        0x0002u
#define CPUU_PT_INT32        0x0003u
#define CPUU_PT_FLOAT32      0x0004u
#define CPUU_PT_FLOAT64      0x0005u
#define CPUU_PT_CURRENCY     0x0006u
#define CPUU_PT_FLOATINGTIME 0x0007u
#define CPUU_PT_ERROR        0x000Au
#define CPUU_PT_BOOL         0x000Bu
#define CPUU_PT_OBJECT       0x000Du
#define CPUU_PT_INT64        0x0014u
#define CPUU_PT_STRING8      0x001Eu
#define CPUU_PT_STRING       0x001Fu
#define CPUU_PT_TIME         0x0040u
#define CPUU_PT_GUID         0x0048u
#define CPUU_PT_SERVERID     0x00FBu
#define CPUU_PT_RESTRICTION  0x00FDu
#define CPUU_PT_RULEACTION   0x00FEu
#define CPUU_PT_BINARY       0x0102u
#define CPUU_PT_MULTIPLE     0x1000u /* bit */

#define CPUU_TAG(id, type) (((uint32_t)(id) << 16) | (uint32_t)(type))
#define CPUU_TAG_TYPE(tag) ((uint32_t)(tag)&0xffffu)
#define CPUU_TAG_ID(tag)   ((uint32_t)(tag) >> 16)

#define CPUU_MAPI_NOT_FOUND 0x8004010Fu /* [MS-OXCDATA] 2.4 */
#define CPUU_MAPI_NO_MEMORY 0x8007000Eu /* value too large for where it was asked */

typedef enum cpuu_wire {
    CPUU_WIRE_ROP = 1, /* 16-bit counts of bytes and of restrictions ([MS-OXCDATA] 2.11.1.1) */
    CPUU_WIRE_WIDE,    /* the same with 32-bit counts: extended rules, [MS-OXORULE] 2.2.4 */
    CPUU_WIRE_BOOK     /* AddressBookPropertyValue, [MS-OXCMAPIHTTP] 2.2.1.1: 32-bit, HasValue */
} cpuu_wire;

/* Where a decoded value lies in its buffer. The tag has the type the value really has: an absent or
 * failed one has CPUU_PT_ERROR and four bytes of error code. */
typedef struct cpuu_cell {
    uint32_t tag;
    uint32_t offset;
    uint32_t size;
} cpuu_cell;

static inline cpuu_value cpuu_cell_value(const cpuu_cell *cell, const cpuu_buf *bytes)
{
    cpuu_value v = {cell->tag, cell->size, bytes->data ? bytes->data + cell->offset : NULL};
    return v;
}

/* Bytes of a type of fixed size, for a multi-valued type of one element; 0 when it varies. */
uint32_t cpuu_prop_fixed_size(uint32_t type);
/* True when the codec knows the type (PtypObject and PtypUnspecified have no value). */
bool cpuu_prop_known_type(uint32_t type);
/* True when the value has the shape its type demands (sizes, counts, UTF-8, a restriction that
 * ends where the value ends). */
bool cpuu_prop_valid(const cpuu_value *v);

/* One PropertyValue of that tag; with PtypUnspecified a TypedPropertyValue. False: see the reader's
 * error, or bytes->failed when the buffer is full or memory is out. */
bool cpuu_prop_decode(cpuu_reader *r, cpuu_wire wire, uint32_t tag, cpuu_buf *bytes,
                      cpuu_cell *cell);
/* TaggedPropertyValue, [MS-OXCDATA] 2.11.4 */
bool cpuu_prop_decode_tagged(cpuu_reader *r, cpuu_wire wire, cpuu_buf *bytes, cpuu_cell *cell);
/* PropertyRow, standard or flagged, [MS-OXCDATA] 2.8: n columns, n cells. */
bool cpuu_prop_decode_row(cpuu_reader *r, cpuu_wire wire, const uint32_t *columns, uint32_t n,
                          cpuu_buf *bytes, cpuu_cell *cells);

/* The value alone; a value of the wrong shape fails the buffer. */
bool cpuu_prop_encode(cpuu_buf *out, cpuu_wire wire, const cpuu_value *v);
bool cpuu_prop_encode_tagged(cpuu_buf *out, cpuu_wire wire, const cpuu_value *v);
/* A standard row when every value is there, else a flagged one (0x0A and the error code; code 0
 * stands for "not present"). The values answer the columns in their order. */
bool cpuu_prop_encode_row(cpuu_buf *out, cpuu_wire wire, const uint32_t *columns,
                          const cpuu_value *values, uint32_t n);

/* Moves past one restriction ([MS-OXCDATA] 2.12), which says its length only by its structure. */
bool cpuu_prop_skip_restriction(cpuu_reader *r, cpuu_wire wire);
/* The same for RuleAction ([MS-OXORULE] 2.2.5): a count, then actions with their lengths. */
bool cpuu_prop_skip_actions(cpuu_reader *r, cpuu_wire wire);

#ifdef __cplusplus
}
#endif
#endif
