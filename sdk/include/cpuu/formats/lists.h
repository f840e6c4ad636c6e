/*
 * Small containers of identifiers in the mailbox: entry lists, PidTagAdditionalRenEntryIdsEx, flags
 * of folders, swapped to-do data, deleted sub-folders of public-folder favourites. Decoding borrows
 * and allocates nothing; each rewrite function asks for the links in the order they are stored.
 */
#ifndef CPUU_FORMATS_LISTS_H
#define CPUU_FORMATS_LISTS_H

#include <cpuu/formats/links.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- entry list, [MS-OXOSRCH] 2.2.1.2.8: FolderList2 of a search-folder definition
 * --------------- */

typedef struct cpuu_entry_list {
    uint32_t n;   /* entries still to be read */
    uint32_t pad; /* stale memory; carried through */
    cpuu_reader heads;
    cpuu_reader ids;
    cpuu_blob rest; /* after the last EntryID; normally empty */
} cpuu_entry_list;

bool cpuu_entry_list_open(cpuu_blob in, cpuu_entry_list *out, cpuu_fmt_error *err);
/* False at the end. An opened list has been checked, so there is no other failure. */
bool cpuu_entry_list_next(cpuu_entry_list *list, cpuu_blob *eid, uint32_t *pad);
/* Appends a list; pads (may be NULL, meaning zeros) has n of them. */
bool cpuu_entry_list_write(cpuu_buf *out, uint32_t pad, const cpuu_blob *eids, const uint32_t *pads,
                           uint32_t n);
bool cpuu_entry_list_rewrite(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out,
                             bool *replaced, cpuu_fmt_error *err);

/* ---- FLATENTRYLIST (MAPI): counted EntryIDs, each padded to a multiple of 4
 * ---------------------- */

typedef struct cpuu_flat_list {
    uint32_t n;  /* entries still to be read */
    bool padded; /* the last entry is padded too */
    cpuu_reader entries;
} cpuu_flat_list;

/* Reads one list; the reader stands behind it afterwards. */
bool cpuu_flat_list_read(cpuu_reader *r, cpuu_flat_list *out);
bool cpuu_flat_list_next(cpuu_flat_list *list, cpuu_blob *eid);
bool cpuu_flat_list_write(cpuu_buf *out, const cpuu_blob *eids, uint32_t n, bool padded);
/* Copies one list from the reader. Pad bytes are written as zeros when anything was replaced. */
bool cpuu_flat_list_rewrite(cpuu_reader *r, cpuu_link_cb cb, void *user, cpuu_buf *out,
                            bool *replaced);

/* ---- PidTagAdditionalRenEntryIdsEx, [MS-OXOSFLD] 2.2.5
 * -------------------------------------------- */

#define CPUU_REN_RSS          0x8001u
#define CPUU_REN_TRACKED_MAIL 0x8002u
#define CPUU_REN_TODO_SEARCH  0x8004u
#define CPUU_REN_CONVERSATION 0x8006u
#define CPUU_REN_SUGGESTED    0x8008u /* suggested contacts */
#define CPUU_REN_CONTACTS     0x8009u /* contacts search */
#define CPUU_REN_IM_LISTS     0x800au
#define CPUU_REN_IM_CONTACTS  0x800bu

typedef struct cpuu_ren_block {
    uint16_t id; /* CPUU_REN_*; 0 ends the array */
    cpuu_reader elements;
} cpuu_ren_block;
typedef struct cpuu_ren_element {
    uint16_t id; /* 1 EntryID, 2 header, 0 end */
    cpuu_blob data;
} cpuu_ren_element;

/* The next block, the end mark included; false at the end of the input, after the end mark, or when
 * the reader failed. A damaged block spoils only its own elements. */
bool cpuu_ren_next(cpuu_reader *r, cpuu_ren_block *out);
bool cpuu_ren_element_next(cpuu_ren_block *block, cpuu_ren_element *out);
bool cpuu_ren_block_write(cpuu_buf *out, uint16_t id, const cpuu_ren_element *elements, uint32_t n);
/* The EntryID of a special folder; false when it is not there. */
bool cpuu_ren_find(cpuu_blob in, uint16_t id, cpuu_blob *eid);
bool cpuu_ren_rewrite(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                      cpuu_fmt_error *err);

/* ---- PidTagExtendedFolderFlags, [MS-OXOSRCH] 2.2.4 and 3.1.4.1.2
 * ------------------------------------------ */

#define CPUU_EFP_FLAGS        1u /* 4 bytes */
#define CPUU_EFP_SEARCH_ID    2u /* 16 bytes: PidTagSearchFolderId of the definition */
#define CPUU_EFP_SEARCH_TAG   3u /* 4 bytes: PidTagSearchFolderTag of the definition */
#define CPUU_EFP_TODO_VERSION 5u

typedef struct cpuu_efp {
    uint8_t id;
    cpuu_blob data;
} cpuu_efp;
/* The next sub-property; false at the end or when the reader failed. */
bool cpuu_efp_next(cpuu_reader *r, cpuu_efp *out);
bool cpuu_efp_write(cpuu_buf *out, const cpuu_efp *p);
bool cpuu_efp_find(cpuu_blob in, uint8_t id, cpuu_blob *data);

/* ---- PidTagSwappedToDoData, [MS-OXOFLAG]; no links, its store is PidTagSwappedToDoStore
 * ------------ */

#define CPUU_TODO_TEXT 512u
typedef struct cpuu_swapped_todo {
    uint32_t version; /* 1 */
    uint32_t flags;   /* which of the others count */
    uint32_t item;
    uint8_t flag_to[CPUU_TODO_TEXT]; /* UTF-16LE, filled up with zeros */
    uint32_t start, due, reminder;   /* minutes since 1601-01-01 */
    uint32_t reminder_set;
} cpuu_swapped_todo;
bool cpuu_swapped_todo_decode(cpuu_blob in, cpuu_swapped_todo *out, cpuu_fmt_error *err);
bool cpuu_swapped_todo_encode(cpuu_buf *out, const cpuu_swapped_todo *t);

/* ---- PR_FAV_DEL_SUBS (observed): 28-byte entries, source key, 2 zero bytes, number 2
 * ---------------- */

#define CPUU_FAV_ENTRY_SIZE 28u
/* Asks for CPUU_LINK_SOURCE_KEY; an answer that is not 22 bytes fails `out`. */
bool cpuu_fav_keys_rewrite(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                           cpuu_fmt_error *err);

#ifdef __cplusplus
}
#endif
#endif
