/*
 * How every codec hands out what it holds: links to objects, one by one, with the chance to replace
 * each. One function therefore serves to list links (record `in`, return false) and to rewrite
 * them; over the same input it asks in the same order each time.
 */
#ifndef CPUU_FORMATS_LINKS_H
#define CPUU_FORMATS_LINKS_H

#include <cpuu/formats/bytes.h>
#include <cpuu/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Asked for one link: `kind` is one CPUU_LINK_* bit of cpuu/plugin.h, `in` the identifier in the
 * form that file states for the kind (text kinds: UTF-8 without NUL; search keys: their NUL
 * included when they have one), valid during the call. Never asked for an empty identifier.
 * Replace it: append the new identifier, in the same form, to `out` and return true. Keep it:
 * return false; what was appended is ignored. Stop the rewriting: set out->failed.
 */
typedef bool (*cpuu_link_cb)(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out);

/*
 * Asks and appends the answer, or `in` itself when it is kept, to `out`. Returns false when `out`
 * failed. `replaced` may be NULL; it is set to true when replaced and left alone otherwise.
 */
bool cpuu_link_ask(cpuu_link_cb cb, void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out,
                   bool *replaced);
/* The same for text that is stored as UTF-16LE: asked for as UTF-8, answered in UTF-16LE. */
bool cpuu_link_ask_utf16(cpuu_link_cb cb, void *user, uint32_t kind, cpuu_blob utf16, cpuu_buf *out,
                         bool *replaced);

#ifdef __cplusplus
}
#endif
#endif
