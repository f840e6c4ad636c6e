/*
 * Tagged property values as they are stored inside rules, restrictions and search folders:
 * borrowed, nothing converted, so that what is not changed is written back byte for byte. (For
 * values in the form of cpuu/plugin.h see propvalue.h.)
 *
 * No allocation. Sources: [MS-OXCDATA] 2.11.1, 2.11.4; the search-folder form ([MS-OXOSRCH]
 * 2.2.1.2.8 says where it is used): observed.
 */
#ifndef CPUU_FORMATS_RAWPROP_H
#define CPUU_FORMATS_RAWPROP_H

#include <cpuu/formats/links.h>
#include <cpuu/formats/propvalue.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum cpuu_form {
    CPUU_FORM_RULE = 1, /* standard rule: binaries have 16-bit sizes, texts end with NUL */
    CPUU_FORM_EXTENDED, /* extended rule: the same with 32-bit sizes */
    CPUU_FORM_SEARCH    /* search folder: texts and binaries have 16-bit sizes, the size of a text
                           counts its NUL; PtypBoolean has 2 bytes */
} cpuu_form;

typedef struct cpuu_rawprop {
    uint32_t tag;
    cpuu_blob value; /* fixed size: the bytes; binary: the bytes; text: without NUL (UTF-16LE or
                        8-bit); multi-valued: all that is stored after the tag */
    bool nul;        /* text: a NUL follows the value (only CPUU_FORM_SEARCH knows texts without) */
} cpuu_rawprop;

/* A value whose tag is known, and a tag with its value. False: the reader has failed. */
bool cpuu_rawprop_read_value(cpuu_reader *r, cpuu_form form, uint32_t tag, cpuu_rawprop *out);
bool cpuu_rawprop_read(cpuu_reader *r, cpuu_form form, cpuu_rawprop *out);
/* Appends tag and value. A value too long for the form's size field fails the buffer. */
bool cpuu_rawprop_write(cpuu_buf *out, cpuu_form form, const cpuu_rawprop *p);

/*
 * The kind of link a property holds, CPUU_LINK_*, or 0. Decided by the property and, for e-mail
 * addresses and search keys, by what the value looks like: "/o=..." is a DN, "x@y" an SMTP address,
 * "EX:..." and "SMTP:..." are search keys; a fragment of an address is no link.
 */
uint32_t cpuu_rawprop_link(uint32_t tag, cpuu_blob value);

/* Whose ids >= 0x8000 are explained by names in the same blob and so need no translation. */
typedef bool (*cpuu_named_here)(const void *context, uint16_t id);

typedef struct cpuu_rewriter {
    cpuu_link_cb cb;
    void *user;
    cpuu_named_here named_here; /* may be NULL */
    const void *context;
    bool replaced; /* set when something was replaced */
} cpuu_rewriter;

/* Asks for one tag: CPUU_LINK_NAMED_TAG when its id is >= 0x8000 and not named here. An answer that
 * is not 4 bytes of the same type fails `out`. The tag is returned, not appended. */
uint32_t cpuu_rewrite_tag(cpuu_rewriter *w, uint32_t tag, cpuu_buf *out);
/* Appends tag and value with links replaced. EntryIDs inside EntryIDs are asked for as in
 * cpuu_eid_rewrite(). */
bool cpuu_rewrite_rawprop(cpuu_rewriter *w, cpuu_form form, const cpuu_rawprop *p, cpuu_buf *out);
/* Appends the bytes of one value (text, binary) that holds a link of this kind, without sizes. */
bool cpuu_rewrite_value(cpuu_rewriter *w, uint32_t kind, uint32_t type, cpuu_blob value,
                        cpuu_buf *out);

/* A row of n properties one after the other, as in the address list of a search folder. */
bool cpuu_rawprop_rewrite_row(cpuu_reader *r, cpuu_form form, uint32_t n, cpuu_rewriter *w,
                              cpuu_buf *out);

#ifdef __cplusplus
}
#endif
#endif
