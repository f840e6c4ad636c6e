/*
 * What the journal keeps of an object: lists of properties and of ids, as versioned blobs.
 * Canonical: sorted, without duplicates, so that equal lists are equal bytes.
 *
 *   property list  'P', version 1, u32 count, count x { u32 tag, u8 present, u32 size, bytes }
 *   id list        'I', version 1, u32 count, count x { u32 size, bytes }
 *
 * Tags are those of the store the object lives in; an absent property keeps the tag it was asked
 * with.
 */
#ifndef CPUU_FEATURES_PROPLIST_H
#define CPUU_FEATURES_PROPLIST_H

#include "base/error.h"
#include "base/mem.h"

#include <cpuu/formats/bytes.h>

#define CPUU_PROPLIST_MAX (256u << 20) /* bytes of one list */

typedef struct cpuu_prop {
    uint32_t tag;
    bool present;
    cpuu_blob data; /* empty when absent */
} cpuu_prop;

/* Appends the list; the order of items is free. CPUU_E_FORMAT: a tag occurs twice. */
cpuu_rc cpuu_proplist_encode(const cpuu_prop *items, uint32_t n, cpuu_buf *out, cpuu_error *err);
/* Items live in `arena`, their data in `in`. CPUU_E_FORMAT for anything encode does not write. */
cpuu_rc cpuu_proplist_decode(cpuu_blob in, cpuu_arena *arena, cpuu_prop **out, uint32_t *n,
                             cpuu_error *err);
/* The same for ids; ids that occur twice are written once. */
cpuu_rc cpuu_idlist_encode(const cpuu_blob *ids, uint32_t n, cpuu_buf *out, cpuu_error *err);
cpuu_rc cpuu_idlist_decode(cpuu_blob in, cpuu_arena *arena, cpuu_blob **out, uint32_t *n,
                           cpuu_error *err);

/* A value as it was read for `tag`: a PtypErrorCode value is absent. */
cpuu_prop cpuu_prop_of(uint32_t tag, const cpuu_value *v);
/* Equal in presence, type and bytes. */
bool cpuu_prop_same(const cpuu_prop *a, const cpuu_prop *b);
/* The item with this tag in a decoded list; NULL when there is none. */
const cpuu_prop *cpuu_proplist_find(const cpuu_prop *items, uint32_t n, uint32_t tag);
bool cpuu_blob_same(cpuu_blob a, cpuu_blob b);
/* In a decoded list. */
bool cpuu_idlist_has(const cpuu_blob *ids, uint32_t n, cpuu_blob id);

#endif
