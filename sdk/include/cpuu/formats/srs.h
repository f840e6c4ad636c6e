/*
 * Outlook's file of send/receive groups (.srs), and the little of the compound file format that is
 * needed to change it in place: no stream grows, shrinks or moves.
 *
 * Sources: compound file: [MS-CFB] 2.1 - 2.6. Content of the streams: not documented; observed in
 * files of Outlook 2003 to 2016. Memory: nothing is allocated but what is written to a cpuu_buf.
 */
#ifndef CPUU_FORMATS_SRS_H
#define CPUU_FORMATS_SRS_H

#include <cpuu/formats/links.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- compound file --------------------------------------------------------------------------- */

#define CPUU_CFB_LIMIT (1u << 20) /* larger files are refused; the ones of interest have some KB   \
                                   */

#define CPUU_CFB_STORAGE 1u
#define CPUU_CFB_STREAM  2u
#define CPUU_CFB_ROOT    5u

typedef struct cpuu_cfb {
    cpuu_blob file;
    uint32_t sector; /* bytes: 512 or 4096 */
    uint32_t n_sectors;
    uint32_t fat_sectors;
    uint32_t directory;  /* first sector */
    uint32_t mini_fat;   /* first sector */
    uint32_t mini_start; /* first sector of the mini stream */
    uint32_t mini_size;  /* bytes */
} cpuu_cfb;

typedef struct cpuu_cfb_entry {
    cpuu_blob name; /* UTF-16LE without NUL */
    uint8_t type;   /* CPUU_CFB_*; 0 = unused */
    uint32_t start; /* first sector or mini sector */
    uint32_t size;  /* bytes */
} cpuu_cfb_entry;

bool cpuu_cfb_open(cpuu_blob in, cpuu_cfb *out, cpuu_fmt_error *err);
/* Directory entry number `index`, 0 = root. False: there is none, or err->field says what broke;
 * err->field is NULL when the directory just ends. */
bool cpuu_cfb_entry_at(const cpuu_cfb *cfb, uint32_t index, cpuu_cfb_entry *out,
                       cpuu_fmt_error *err);
/* Appends the content of a stream. */
bool cpuu_cfb_read(const cpuu_cfb *cfb, const cpuu_cfb_entry *entry, cpuu_buf *out,
                   cpuu_fmt_error *err);
/* Overwrites n bytes of a stream, from `pos` on, in `copy`: file.size bytes that are a copy of the
 * file. On failure some of the bytes may have been written. */
bool cpuu_cfb_patch(const cpuu_cfb *cfb, const cpuu_cfb_entry *entry, uint32_t pos,
                    const void *data, uint32_t n, uint8_t *copy, cpuu_fmt_error *err);

/* ---- content of the streams -------------------------------------------------------------------
 */

typedef struct cpuu_srs_collection { /* stream "__CollDataStm" */
    uint32_t n;                      /* groups still to be read */
    cpuu_reader groups;
} cpuu_srs_collection;
typedef struct cpuu_srs_listed {
    uint8_t guid[16];
    cpuu_blob name;   /* UTF-16LE without NUL: "GUID|{...}" */
    cpuu_blob stream; /* UTF-16LE without NUL: name of the stream */
} cpuu_srs_listed;
bool cpuu_srs_collection_open(cpuu_blob in, cpuu_srs_collection *out, cpuu_fmt_error *err);
bool cpuu_srs_collection_next(cpuu_srs_collection *c, cpuu_srs_listed *out);

typedef struct cpuu_srs_group { /* one stream per group */
    cpuu_blob name;             /* UTF-16LE without NUL */
    uint8_t guid[16];
    uint8_t f9_online, schedule_online;
    uint32_t minutes_online;
    uint8_t f9_offline, schedule_offline;
    uint32_t minutes_offline;
    uint32_t save_counter;
    uint32_t n_accounts; /* still to be read */
    cpuu_reader accounts;
    cpuu_blob tail; /* stale bytes included */
} cpuu_srs_group;

typedef struct cpuu_srs_account {
    int32_t id;      /* > 0: subkey of the account manager; < 0: built-in module */
    uint32_t offset; /* in the stream */
    cpuu_blob data;
    bool is_store; /* the store handler; then the next fields are valid */
    uint32_t flags;
    uint32_t n_folders; /* still to be read */
    cpuu_reader folders;
} cpuu_srs_account;

typedef struct cpuu_srs_folder { /* every folder has its EntryID twice */
    uint32_t offset, offset2;    /* of both, in the stream */
    cpuu_blob eid, eid2;
} cpuu_srs_folder;

bool cpuu_srs_group_open(cpuu_blob in, cpuu_srs_group *out, cpuu_fmt_error *err);
bool cpuu_srs_account_next(cpuu_srs_group *group, cpuu_srs_account *out);
bool cpuu_srs_folder_next(cpuu_srs_account *account, cpuu_srs_folder *out);

/*
 * Copies a whole .srs file with the EntryIDs of its folders replaced; everything else stays where
 * and what it is. Asked for: each folder once (CPUU_LINK_EID), its second EntryID only when that is
 * a different one. An answer of another size than the EntryID it replaces is an error. Offsets of
 * errors count from the start of the stream when they are about its content.
 */
bool cpuu_srs_rewrite(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                      cpuu_fmt_error *err);

/* True for the stream that lists the groups. */
bool cpuu_srs_is_collection(const cpuu_cfb_entry *entry);

#ifdef __cplusplus
}
#endif
#endif
