/*
 * What our own plugins share: values of a row, multi-valued values, a growing set of links. Built on
 * the plugin interface and the codecs alone, as a third party's code would be.
 */
#ifndef CPUU_PLUGINS_KIT_H
#define CPUU_PLUGINS_KIT_H

#include <cpuu/formats/entryid.h>
#include <cpuu/plugin.h>

#include <stdbool.h>

/* ---- the plugin ------------------------------------------------------------------------------ */

/* What every plugin of this folder ends with: its one exported function, over a NULL-terminated list of
 * features of the same file. */
#define KIT_PLUGIN(features)                                                                       \
    static const cpuu_plugin kit_plugin = {                                                        \
        sizeof(kit_plugin), CPUU_ABI_VERSION, "0.1.0", "cpuu", "MIT", features};                   \
    const cpuu_plugin *CPUU_CALL cpuu_plugin_query(uint32_t host_abi)                              \
    {                                                                                              \
        return CPUU_ABI_MAJOR(host_abi) == CPUU_ABI_MAJOR(CPUU_ABI_VERSION) ? &kit_plugin : NULL;  \
    }

/* ---- values ---------------------------------------------------------------------------------- */

/* A 32-bit integer, or `fallback` when it is absent or not four bytes. */
uint32_t kit_u32(const cpuu_value *v, uint32_t fallback);
/* The bytes of a value, empty when it is absent. */
cpuu_blob kit_blob(const cpuu_value *v);
/* Text as a C string in `out` (always terminated, cut to fit); "" when absent. Returns out. */
const char *kit_text(const cpuu_value *v, char *out, size_t out_size);
/* The address in a PR_PROFILE_USER_SMTP_EMAIL_ADDRESS, "SMTP:user@domain", without its prefix; else as
 * kit_text. */
const char *kit_address(const cpuu_value *v, char *out, size_t out_size);
/* A text value. */
cpuu_value kit_text_value(uint32_t tag, const char *text);
cpuu_value kit_blob_value(uint32_t tag, cpuu_blob b);

/* ---- multi-valued values: u32 count, then u32 size and bytes of each ---------------------------- */

typedef struct kit_list {
    cpuu_blob *items; /* borrow from the value they were split from, or from what replaced them */
    uint32_t count;
    bool present;
} kit_list;
/* CPUU_OK (absent gives an empty list), CPUU_E_FORMAT, CPUU_E_NOMEM. Free with kit_list_free. */
cpuu_rc kit_list_split(const cpuu_value *v, kit_list *out);
void kit_list_free(kit_list *l);
void kit_list_remove(kit_list *l, uint32_t index);
/* Joins the list again, appended to `buf`, which the value borrows from. */
cpuu_value kit_list_join(const kit_list *l, uint32_t tag, cpuu_buf *buf);

/* ---- links ----------------------------------------------------------------------------------- */

typedef struct kit_links {
    cpuu_link *items;
    uint32_t count, cap;
    bool failed; /* out of memory */
} kit_links;
/* Adds a link; returns its index. An empty identifier is added too: indexes stay predictable. */
uint32_t kit_links_add(kit_links *l, uint32_t kind, cpuu_blob in, const char *smtp);
void kit_links_free(kit_links *l);
/*
 * Links first .. first + n - 1 are one identity in several forms, to be changed together or not at all:
 * *rewrite is false when one of them stays. SMTP addresses follow, they do not decide. Returns the
 * index of the link that does.
 */
uint32_t kit_settle(const kit_links *l, uint32_t first, uint32_t n, bool *rewrite);

/* Room for one more element of an array; false, and the array unchanged, when out of memory. */
bool kit_grow(void *array, uint32_t *cap, uint32_t count, size_t element);

/* ---- memory that is given back at once ---------------------------------------------------------- */

typedef struct kit_pool {
    struct kit_chunk *chunks;
    size_t used; /* bytes of all chunks */
    bool failed; /* out of memory */
} kit_pool;
/* Copies with a NUL behind them; empty blobs stay empty. */
cpuu_blob kit_pool_copy(kit_pool *p, cpuu_blob b);
/* UTF-16LE as UTF-8. */
cpuu_blob kit_pool_utf16(kit_pool *p, cpuu_blob utf16);
/* Zeroed memory for a structure; NULL when out of memory. */
void *kit_pool_take(kit_pool *p, size_t size);
void kit_pool_free(kit_pool *p);

/* ---- sections --------------------------------------------------------------------------------- */

typedef cpuu_rc (*kit_section)(const cpuu_host *host, cpuu_run *run, const cpuu_row *row);
/* Runs a query and hands each of its rows to `act`, until one fails. No row is success, a row that
 * cannot be read is a failure. */
cpuu_rc kit_each_section(const cpuu_host *host, cpuu_run *run, const cpuu_query *query,
                         kit_section act);

/* Takes away those of n properties that the section has; row->values are theirs. */
cpuu_rc kit_clear(const cpuu_host *host, cpuu_run *run, const cpuu_row *row, const uint32_t *tags,
                  uint32_t n, const char *title);

/* ---- failing and deciding --------------------------------------------------------------------- */

cpuu_rc kit_nomem(const cpuu_host *host, cpuu_run *run);
/* The services of these names; when one fails, it is said, as the interface demands. */
cpuu_rc kit_read(const cpuu_host *host, cpuu_run *run, const cpuu_query *queries, uint32_t n,
                 cpuu_rows **out);
cpuu_rc kit_translate(const cpuu_host *host, cpuu_run *run, cpuu_link *links, uint32_t n);
cpuu_rc kit_change(const cpuu_host *host, cpuu_run *run, const cpuu_change *changes, uint32_t n,
                   uint32_t *ticket);
/* Which of two links says why a folder stays: itself or, where nobody knows whose it is, its store,
 * which names the owner. */
const cpuu_link *kit_why(const cpuu_link *folder, const cpuu_link *store);
/* One decision from a translated link. */
void kit_decide(const cpuu_host *host, cpuu_run *run, const cpuu_link *l, const char *title);
void kit_decide_as(const cpuu_host *host, cpuu_run *run, uint32_t outcome, uint32_t reason,
                   const char *title, const char *before, const char *after);

#endif
