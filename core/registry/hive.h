/*
 * Inside registry/: a hive as bytes in memory. libhivex makes the changes, in an excerpt of the hive
 * that is a memory file, so nobody can swap a file under it. What it made is checked, put into a
 * copy of the hive, read from there again and verified by code of our own.
 *
 * Layout of the base block and the bins: the public description of the regf format by M. Suhanov
 * ("Windows registry file format specification", GitHub msuhanov/regf), checked against real hives.
 * Rules for editing: reference "Outlook profile registry", section 14.
 */
#ifndef CPUU_REGISTRY_HIVE_H
#define CPUU_REGISTRY_HIVE_H

#include "registry/backend.h"

#define CPUU_HIVE_MAX_SIZE ((size_t)512 << 20)

typedef struct cpuu_hive_head {
    uint32_t minor;     /* regf 1.x */
    uint32_t bins_size; /* bytes of bins behind the base block */
} cpuu_hive_head;

/* ---- bytes ----------------------------------------------------------------------------------- */

typedef struct cpuu_hive_image {
    const uint8_t *data; /* mapped; NULL when size is 0 */
    size_t size;
    int fd;              /* the anonymous memory file; -1 = none */
} cpuu_hive_image;

/* Init, then create and map, or read; free is owed after init, whatever happened since. */
void cpuu_hive_image_init(cpuu_hive_image *image);
void cpuu_hive_image_free(cpuu_hive_image *image);
/* An empty memory file for somebody to write to ... */
cpuu_rc cpuu_hive_image_create(cpuu_hive_image *image, cpuu_error *err);
/* ... and the view of what was written. CPUU_E_TOOBIG past CPUU_HIVE_MAX_SIZE. */
cpuu_rc cpuu_hive_image_map(cpuu_hive_image *image, cpuu_error *err);
/* The whole file, wherever its position is. */
cpuu_rc cpuu_hive_image_read(cpuu_hive_image *image, int fd, cpuu_error *err);
/* Whether the file, read now, has the same bytes. */
cpuu_rc cpuu_hive_image_compare(const cpuu_hive_image *image, int fd, bool *same, cpuu_error *err);

/* Writes all the bytes at that place of a file. False: it cannot, for the reason in errno. */
bool cpuu_hive_put(int fd, const uint8_t *p, size_t size, size_t at);

/* SipHash-2-4 of the bytes; the key is two words of 64 bits, the lower one first. */
uint64_t cpuu_hive_digest(const uint8_t *data, size_t size, const uint64_t key[2]);

/* Adds to a dirty hive what its log files, which lie beside it, still hold, and makes it clean: in
 * memory, nothing is written. *found, initialised, gets the dirty one, and stays as it is when the
 * hive is clean. CPUU_E_DIRTY when that is not possible. */
cpuu_rc cpuu_hive_recover(const char *path, cpuu_hive_image *image, cpuu_hive_image *found,
                          cpuu_log *log, cpuu_error *err);

#define CPUU_HIVE_PAGE 4096u

/* A file beside an image: it shares the pages that are alike. Zeroed to begin with. */
typedef struct cpuu_hive_variant {
    uint8_t *data; /* mapped, private: whatever becomes of the file, this stays */
    size_t size;
    uint8_t *changed; /* a bit per page */
} cpuu_hive_variant;

/* Reads the file and compares it with the image, which must live longer. CPUU_E_TOOBIG past
 * CPUU_HIVE_MAX_SIZE. */
cpuu_rc cpuu_hive_variant_read(cpuu_hive_variant *v, const cpuu_hive_image *image, int fd,
                               cpuu_error *err);
void cpuu_hive_variant_free(cpuu_hive_variant *v);
/* Whether the file, read now, still has the same bytes; only in the pages that differ from the
 * image unless `all` are asked for. */
cpuu_rc cpuu_hive_variant_compare(const cpuu_hive_variant *v, const cpuu_hive_image *image, int fd,
                                  bool all, bool *same, cpuu_error *err);
/* Whether the page at this offset of the file differs; those behind the ends do. */
bool cpuu_hive_variant_changed(const cpuu_hive_variant *v, size_t at);
/* Makes the image what the variant is. After a failure the image is only good to be freed. */
cpuu_rc cpuu_hive_image_update(cpuu_hive_image *image, const cpuu_hive_variant *v,
                               cpuu_error *err);

/* ---- keys and values ------------------------------------------------------------------------- */

/* What is known of the cells of a hive that was scanned; zeroed when nothing is. */
typedef struct cpuu_hive_cells {
    uint8_t *states; /* two bits per 8 bytes of bins: what begins there */
    uint32_t size;   /* bytes of bins */
} cpuu_hive_cells;

void cpuu_hive_cells_free(cpuu_hive_cells *cells);

/* The base block. CPUU_E_FORMAT, CPUU_E_UNSUPPORTED, or CPUU_E_DIRTY when changes are still in the
 * log files. */
cpuu_rc cpuu_hive_check_base(const uint8_t *image, size_t size, cpuu_hive_head *out,
                             cpuu_error *err);
/* The chain of bins between two offsets, the first of which is known to begin a bin. */
cpuu_rc cpuu_hive_check_bins(const uint8_t *image, uint32_t from, uint32_t to, cpuu_error *err);
/* Every cell that is reached from the root; base and bins were checked. */
cpuu_rc cpuu_hive_scan(const uint8_t *image, const cpuu_hive_head *head, cpuu_hive_cells *out,
                       cpuu_error *err);
/* All of them. Whatever libhivex looks at when it opens a hive is looked at, too. */
cpuu_rc cpuu_hive_check(const cpuu_hive_image *image, cpuu_hive_head *head, cpuu_hive_cells *cells,
                        cpuu_error *err);

/* All that follows is for a hive that was checked. */

/* The keys below the one in the cell `at`, in stored order. */
typedef struct cpuu_kids {
    const uint8_t *bins, *lists, *list;
    uint32_t n_list, n; /* met so far */
} cpuu_kids;
void cpuu_kids_init(cpuu_kids *kids, const uint8_t *bins, uint32_t at);
bool cpuu_kids_next(cpuu_kids *kids, uint32_t *at);
bool cpuu_hive_in_segments(const uint8_t *bins, uint32_t minor, const uint8_t *vk);

/* The cell of a key. CPUU_E_NOTFOUND or CPUU_E_NOMEM. */
cpuu_rc cpuu_hive_find_key(const uint8_t *image, const char *path, uint32_t *at, cpuu_error *err);
/* The names of the keys below the key in a cell, and its values. CPUU_OK or CPUU_E_NOMEM. */
cpuu_rc cpuu_hive_names(const uint8_t *image, uint32_t at, cpuu_reg_names *out, cpuu_error *err);
cpuu_rc cpuu_hive_values(const uint8_t *image, const cpuu_hive_head *head, uint32_t at,
                         cpuu_reg_values *out, cpuu_error *err);
/* The part of a hive that edits concern, as a tree that borrows from the image: the keys on their
 * way with their values, in full what they delete; of the others the names. */
cpuu_rc cpuu_hive_load(const uint8_t *image, const cpuu_hive_head *head, const cpuu_edits *edits,
                       cpuu_key **out, cpuu_error *err);
/* The key in the cell `at` with its values, without those below. */
cpuu_rc cpuu_hive_load_one(const uint8_t *image, const cpuu_hive_head *head, uint32_t at,
                           cpuu_key **out, cpuu_error *err);
/* Compares every key and value. */
bool cpuu_hive_equal(const cpuu_key *a, const cpuu_key *b);
/* The index of the key of exactly this name, most often `hint` or soon behind; n_kids when there is
 * none. */
size_t cpuu_hive_find(const cpuu_key *in, size_t hint, const char *name);
bool cpuu_hive_same_values(const cpuu_key *a, const cpuu_key *b);
/* The order of keys in Windows, by upper-case code units: <0, 0, >0. Exact when one is ASCII. */
int cpuu_hive_order(const char *a, const char *b);

/* ---- changing -------------------------------------------------------------------------------- */

/* Tells keys of `to` that were deleted and created again in which cell they live on: the one of the
 * same name in `from`. Owed before the calls below. */
void cpuu_hive_settle(const cpuu_key *from, cpuu_key *to);
/* Whether cpuu_hive_change can make `to` out of `from` safely. */
cpuu_rc cpuu_hive_check_change(const cpuu_hive_head *head, const cpuu_key *from, const cpuu_key *to,
                               cpuu_error *err);
/* Writes the hive, whose tree is `from` as far as the change concerns it, changed into `to` to an
 * empty file. It is neither verified nor flushed. */
cpuu_rc cpuu_hive_change(const cpuu_hive_image *image, const cpuu_hive_cells *cells,
                         const cpuu_key *from, const cpuu_key *to, int fd, cpuu_error *err);
/*
 * Whether `now` is the hive `before` changed into the tree `to` (of cpuu_tree_changed) and nothing
 * else: its structure is sound; every cell of a key that `to` shares with the old tree is where it
 * was, byte by byte; every other key has the values and the keys below that it should have; what is
 * not a matter of edits (name, flags, parent, security, class) is as it was, or as it is made for a
 * new key; new keys are where Windows looks for them. CPUU_E_FAILED or CPUU_E_FORMAT. `cells` is
 * what is known of the old hive; on success *out is the same for the new one.
 */
cpuu_rc cpuu_hive_verify(const cpuu_hive_image *before, const cpuu_hive_cells *cells,
                         const cpuu_hive_variant *now, const cpuu_key *to, cpuu_hive_cells *out,
                         cpuu_error *err);

#endif
