/*
 * What cpuu-inspect shows: a tree of named nodes, written as it is found, as indented lines or as
 * JSON. Nothing is kept, so memory does not depend on how large the tree is. Text of the input
 * never reaches a terminal as control characters.
 */
#ifndef CPUU_INSPECT_PRINT_H
#define CPUU_INSPECT_PRINT_H

#include <cpuu/formats/entryid.h>
#include <cpuu/formats/rawprop.h>

#include <stdio.h>

#define NO_OFFSET UINT32_MAX

typedef struct printer {
    FILE *f;
    bool json;
    cpuu_blob origin; /* offsets of blobs are counted from here */
    unsigned depth;
    bool comma; /* JSON: something is before the next node */
} printer;

/* A node with children, until print_close(); and one without. `format` is its value, NULL for none.
 */
void print_open(printer *p, uint32_t offset, const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void print_leaf(printer *p, uint32_t offset, const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void print_close(printer *p);

/* Offset of a blob that was cut from the origin, else NO_OFFSET. */
uint32_t print_offset(const printer *p, cpuu_blob b);

/* Leaves whose value is in a blob. Hexadecimal values are cut after 64 bytes except in JSON. */
void print_hex(printer *p, const char *name, cpuu_blob b);
void print_text8(printer *p, const char *name, cpuu_blob b);
void print_text16(printer *p, const char *name, cpuu_blob b);
void print_guid(printer *p, uint32_t offset, const char *name, const uint8_t guid[16]);
/* An EntryID with everything in it; one that cannot be decoded as hexadecimal digits. */
void print_eid(printer *p, const char *name, cpuu_blob b);
/* A stored property value. */
void print_prop(printer *p, uint32_t offset, uint32_t tag, cpuu_blob value);

/* One line of UTF-8 about an EntryID: "store of /o=..., x@y". Appends to out. */
void describe_eid(const cpuu_eid *e, cpuu_buf *out);
/* Name of a property, NULL when it is not among the ones of interest here. */
const char *property_name(uint32_t tag);

/* Text as a JSON string with its quotes; `n` bytes that need not be UTF-8. */
void print_json_string(FILE *f, const char *text, size_t n);
/* Text for a terminal. */
void print_plain(FILE *f, const char *text, size_t n);

#endif
