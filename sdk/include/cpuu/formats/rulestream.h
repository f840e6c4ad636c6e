/*
 * Outlook's own form of a rule: PidTagRwRulesStream of the rules organizer message, exported rules
 * files, and the data of OP_DEFER_ACTION.
 *
 * Microsoft has not documented it. Layout: published observations of an open-source project,
 * checked here byte by byte on one OP_DEFER sample; no sample of the outer form has been available.
 * Outlook 2002 and later; the 8-bit streams before that are refused.
 *
 * An element says nothing about its length, so a rule with an element kind that is not known cannot
 * be taken apart behind it: such a rule is one opaque field, carried through whole.
 */
#ifndef CPUU_FORMATS_RULESTREAM_H
#define CPUU_FORMATS_RULESTREAM_H

#include <cpuu/formats/rawprop.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum cpuu_xr_form {
    CPUU_XR_STREAM = 1, /* PidTagRwRulesStream */
    CPUU_XR_DEFER       /* ActionData of OP_DEFER_ACTION */
} cpuu_xr_form;

typedef enum cpuu_xr_what {
    CPUU_XR_RULE = 1, /* a rule begins; no value */
    CPUU_XR_ELEMENT,  /* an element begins; value: its 4 bytes of kind */
    CPUU_XR_NUMBER,   /* 1 to 4 bytes, little-endian */
    CPUU_XR_TIME,     /* 8 bytes: days since 1899-12-30, IEEE double */
    CPUU_XR_GUID,
    CPUU_XR_TEXT,  /* UTF-16LE without NUL; size and offset include the length field */
    CPUU_XR_TEXT8, /* 8-bit, as above */
    CPUU_XR_EID,   /* an EntryID */
    CPUU_XR_TAG,   /* property tag of the store the rule was made in */
    CPUU_XR_INDEX, /* 16-byte index entry of a property array; tag is set */
    CPUU_XR_VALUE, /* its value, text without NUL, size with it; tag is set */
    CPUU_XR_BYTES, /* fixed bytes */
    CPUU_XR_OPAQUE /* the rest of a rule that could not be taken apart; `field` is what could not be
                      read, `kind` the element it was in */
} cpuu_xr_what;

typedef struct cpuu_xr_item {
    cpuu_xr_what what;
    const char *field; /* constant, never NULL */
    uint32_t offset;   /* in the input */
    uint32_t size;     /* bytes in the input */
    uint32_t rule;     /* 0, 1, ... */
    uint32_t element;  /* number of the element in its rule; UINT32_MAX in headers */
    uint32_t kind;     /* of the element, 0x64 ... */
    uint32_t tag;      /* INDEX, VALUE */
    cpuu_blob value;
} cpuu_xr_item;

/* Called for each item in order; false stops the walk. */
typedef bool (*cpuu_xr_cb)(void *user, const cpuu_xr_item *item);

/* Walks the stream; cb NULL only checks it. *opaque (may be NULL): how many rules could not be
 * taken apart. False: stopped (then err->what is "stopped") or damaged. */
bool cpuu_xr_walk(cpuu_blob in, cpuu_xr_form form, cpuu_xr_cb cb, void *user, uint32_t *opaque,
                  cpuu_fmt_error *err);

/*
 * Copies the stream with links replaced and every size and offset re-laid. Asked for, in order:
 * EntryIDs, values of property arrays (cpuu_rawprop_link), named property tags of form conditions.
 * Texts are not links: account, folder and template names stay. Opaque rules are copied.
 */
bool cpuu_xr_rewrite(cpuu_blob in, cpuu_xr_form form, cpuu_link_cb cb, void *user, cpuu_buf *out,
                     bool *replaced, uint32_t *opaque, cpuu_fmt_error *err);

/* Constant English name of an element kind ("from", "move", ...), or NULL when it is not known. */
const char *cpuu_xr_kind_name(uint32_t kind);

/* True when the data of an OP_DEFER_ACTION looks like this format (other clients write others). */
bool cpuu_xr_is_defer(cpuu_blob in);

#ifdef __cplusplus
}
#endif
#endif
