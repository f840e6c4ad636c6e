/*
 * Outlook's navigation pane file, <profile>.xml: finds the identifiers in it and replaces them
 * where they stand. Everything else in the file, white space included, stays as it is.
 *
 * This is no XML parser for general use: it checks that tags nest, knows comments, CDATA and
 * processing instructions well enough to step over them, and refuses document types and UTF-16.
 * Layout of the file: observed (Outlook 2003 to 2016); nothing is documented.
 */
#ifndef CPUU_FORMATS_NAVXML_H
#define CPUU_FORMATS_NAVXML_H

#include <cpuu/formats/links.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CPUU_NAV_DEPTH 32u /* levels of elements; deeper ones are refused */

typedef enum cpuu_nav_what {
    CPUU_NAV_STORE = 1, /* <eidstore>: store EntryID */
    CPUU_NAV_EID,       /* <eid>: folder or store EntryID; of a web link: its address */
    CPUU_NAV_RECORD_KEY /* <reckey>: store UID, or EntryID of a folder; 4 bytes in a PST */
} cpuu_nav_what;

/* One identifier with the texts beside it, as they are in the file (entities not resolved). Those
 * are empty when absent. */
typedef struct cpuu_nav_item {
    cpuu_nav_what what;
    uint32_t offset; /* of the hexadecimal text in the file */
    cpuu_blob hex;   /* that text */
    cpuu_blob id;    /* decoded; empty when the text is not hexadecimal. Valid during the call */
    uint32_t kind;   /* CPUU_LINK_*, or 0: not a link that could be replaced */
    cpuu_blob ltype, storeid, clsid, name;
} cpuu_nav_item;

/* Called in the order of the file; false stops the walk, which then returns false with "stopped".
 */
typedef bool (*cpuu_nav_cb)(void *user, const cpuu_nav_item *item);

/* Memory: one decoded identifier. */
bool cpuu_nav_walk(cpuu_blob in, cpuu_nav_cb cb, void *user, cpuu_fmt_error *err);

/* Where each shortcut, <wdLnk>, begins and ends: offsets of its "<" and behind its last ">". Of one
 * inside another only the outer one is shown. False stops as above. */
typedef bool (*cpuu_nav_shortcut_cb)(void *user, uint32_t begin, uint32_t end);
bool cpuu_nav_shortcuts(cpuu_blob in, cpuu_nav_shortcut_cb cb, void *user, cpuu_fmt_error *err);

/* Copies the file with links replaced; new ones are written as upper-case hexadecimal digits. Asked
 * for in the order of the file: CPUU_LINK_EID, and CPUU_LINK_RECORD_KEY for a 16-byte record key.
 */
bool cpuu_nav_rewrite(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                      cpuu_fmt_error *err);

#ifdef __cplusplus
}
#endif
#endif
