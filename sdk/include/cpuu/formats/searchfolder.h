/*
 * PidTagSearchFolderDefinition: what a search folder looks for and where.
 *
 * Decoding borrows and allocates nothing. Source: [MS-OXOSRCH] 2.2.1.2.8. Layout of the restriction
 * (cpuu/formats/restriction.h, CPUU_FORM_SEARCH): checked on samples. The advanced filter stream is
 * not documented; that it holds FLATENTRYLISTs with the size of each in front, and its own size at
 * its start, was observed in one sample. The address list is documented only.
 */
#ifndef CPUU_FORMATS_SEARCHFOLDER_H
#define CPUU_FORMATS_SEARCHFOLDER_H

#include <cpuu/formats/lists.h>
#include <cpuu/formats/restriction.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CPUU_SF_NUMBER      0x0001u /* flags = PidTagSearchFolderStorageType */
#define CPUU_SF_TEXT        0x0002u
#define CPUU_SF_ADDRESSES   0x0004u
#define CPUU_SF_RESTRICTION 0x0008u
#define CPUU_SF_FILTER      0x0010u
#define CPUU_SF_FOLDER_NAME 0x0020u
#define CPUU_SF_FOLDERS     0x0040u

typedef struct cpuu_search_folder {
    uint32_t version; /* 0x1004 */
    uint32_t flags;   /* CPUU_SF_* and others */
    uint32_t number;
    cpuu_blob text; /* UTF-16LE without NUL */
    bool text_wide; /* its length is stored as 0xff and 16 bits, whatever it is */
    cpuu_blob skip1;
    uint32_t deep;          /* 1 = sub-folders too */
    cpuu_blob folder_names; /* UTF-16LE without NUL; only shown */
    bool names_wide;
    cpuu_blob folders;    /* an entry list, see cpuu_entry_list_open(); may be empty */
    uint32_t folders_at;  /* offset in the input; likewise below */
    uint32_t n_addresses; /* CPUU_SF_ADDRESSES */
    cpuu_blob addresses;  /* n rows: u32 count, u32 pad, properties (cpuu_rawprop_read()) */
    uint32_t addresses_at;
    cpuu_blob skip2;
    cpuu_blob restriction; /* CPUU_SF_RESTRICTION */
    uint32_t restriction_at;
    cpuu_blob filter; /* CPUU_SF_FILTER; it has no length of its own: all but the last four
                         bytes when those are zero, else all (then has_skip3 is false) */
    uint32_t filter_at;
    bool has_skip3;
    cpuu_blob skip3;
    cpuu_blob rest; /* normally empty */
} cpuu_search_folder;

bool cpuu_search_folder_decode(cpuu_blob in, cpuu_search_folder *out, cpuu_fmt_error *err);
/* Appends the definition. A text that does not fit its length field fails the buffer. */
bool cpuu_search_folder_encode(cpuu_buf *out, const cpuu_search_folder *sf);

/* One entry list in a filter stream. */
typedef struct cpuu_filter_list {
    uint32_t offset; /* of its size field, from the start of the filter stream */
    uint32_t size;   /* bytes, with the size field */
    cpuu_flat_list list;
} cpuu_filter_list;
/* The first list at or after `from`; false when there is none. A list is taken for one when its
 * sizes agree and every entry is an EntryID of an address book or a one-off. */
bool cpuu_filter_list_find(cpuu_blob filter, uint32_t from, cpuu_filter_list *out);

/*
 * Copies the definition with links replaced. Asked for, in order: the folders, properties of the
 * address rows, the restriction with its named property tags, the EntryIDs of the filter stream.
 * Replacing an EntryID of a filter stream by one of another size needs the stream's size field;
 * when it is not where it was observed the rewriting fails.
 */
bool cpuu_search_folder_rewrite(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out,
                                bool *replaced, cpuu_fmt_error *err);

#ifdef __cplusplus
}
#endif
#endif
