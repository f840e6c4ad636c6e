/*
 * EntryIDs of every kind a profile holds, and the smaller identifiers cut from them.
 *
 * Decoding borrows: every blob in a result points into the input. Encoding a decoded EntryID gives
 * the same bytes again; what a kind does not define is carried in `rest`. No function here
 * allocates except through the cpuu_buf it writes to, which grows by no more than what it writes.
 * Functions that take a cpuu_fmt_error accept NULL.
 *
 * Sources: [MS-OXCDATA] 2.2 (folder, message, store, address book, one-off, contact address,
 * personal list), [MS-OXOCNTC] 2.2.2.2.4.1.1 (wrapped), [MS-OXNSPI] 2.2.9.2 (ephemeral), contact
 * address-book container: Outlook MAPI reference, contab_entryid; store blocks 2 and 3 and the
 * unopened store: observed.
 */
#ifndef CPUU_FORMATS_ENTRYID_H
#define CPUU_FORMATS_ENTRYID_H

#include <cpuu/formats/links.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CPUU_FOLDER_EID_SIZE    46u
#define CPUU_MESSAGE_EID_SIZE   70u
#define CPUU_SOURCE_KEY_SIZE    22u
#define CPUU_SERVER_EID_SIZE    21u
#define CPUU_LONG_TERM_ID_SIZE  24u
#define CPUU_EPHEMERAL_EID_SIZE 32u

/* Provider UIDs, in storage order. */
extern const uint8_t cpuu_uid_public[16];          /* pbLongTermNonPrivateGuid: public folders */
extern const uint8_t cpuu_uid_store[16];           /* muidStoreWrap */
extern const uint8_t cpuu_uid_ab[16];              /* muidEMSAB: users, lists, containers */
extern const uint8_t cpuu_uid_oneoff[16];          /* MAPI_ONE_OFF_UID */
extern const uint8_t cpuu_uid_contab[16];          /* contact address book */
extern const uint8_t cpuu_uid_wrapped[16];         /* WAB_GUID: member of a personal list */
extern const uint8_t cpuu_uid_wrapped_private[16]; /* wrapped UID of a mailbox store */
extern const uint8_t cpuu_uid_wrapped_public[16];  /* wrapped UID of the public store */

typedef enum cpuu_eid_kind {
    CPUU_EID_UNKNOWN = 0,    /* another provider's: only flags, provider and rest */
    CPUU_EID_FOLDER,         /* u.folder, private */
    CPUU_EID_FOLDER_PUBLIC,  /* u.folder; the type says public, the provider normally too */
    CPUU_EID_MESSAGE,        /* u.message, private */
    CPUU_EID_MESSAGE_PUBLIC, /* u.message */
    CPUU_EID_STORE,          /* u.store: Exchange store, block 1, 2 or 3 */
    CPUU_EID_STORE_UNOPENED, /* u.store: only wrapped_uid */
    CPUU_EID_STORE_PST,      /* u.store: only dll; the file is in rest and stays opaque */
    CPUU_EID_STORE_OTHER,    /* u.store: only dll; another provider's store */
    CPUU_EID_AB,             /* u.ab */
    CPUU_EID_ONEOFF,         /* u.oneoff */
    CPUU_EID_CONTACT,        /* u.contact: address of a contact; inner is a message */
    CPUU_EID_PERSONAL_LIST,  /* u.contact; inner is a message */
    CPUU_EID_CONTAB,         /* u.contab: address-book container; inner is a folder */
    CPUU_EID_WRAPPED,        /* u.wrapped */
    CPUU_EID_EPHEMERAL       /* u.ephemeral: valid in one session only, never in stored data */
} cpuu_eid_kind;

/* [MS-OXCDATA] 2.2.4.1 and 2.2.4.2: the values of the type field. */
#define CPUU_EID_TYPE_FOLDER                0x0001u
#define CPUU_EID_TYPE_FOLDER_PUBLIC         0x0003u
#define CPUU_EID_TYPE_FOLDER_PUBLIC_MAPPED  0x0005u
#define CPUU_EID_TYPE_MESSAGE               0x0007u
#define CPUU_EID_TYPE_MESSAGE_PUBLIC        0x0009u
#define CPUU_EID_TYPE_MESSAGE_PUBLIC_MAPPED 0x000bu

/* A long-term id without its pad: replica (database) GUID and global counter. */
typedef struct cpuu_gid {
    uint8_t replica[16];
    uint8_t counter[6]; /* big-endian; compared as bytes */
} cpuu_gid;

#define CPUU_STORE_PUBLIC         0x02u /* bits of wrapped_type, [MS-OXCDATA] 2.2.4.3 */
#define CPUU_STORE_HOME_LOGON     0x04u
#define CPUU_STORE_TAKE_OWNERSHIP 0x08u

typedef struct cpuu_eid_store {
    uint8_t version;    /* 0 */
    uint8_t flag;       /* 0; 1 = unopened */
    cpuu_blob dll;      /* 8-bit text without NUL; EMSMDB.DLL in an Exchange store */
    uint8_t dll_pad[3]; /* Exchange store: what fills its 14 bytes, normally zero */
    uint32_t wrapped_flags;
    uint8_t wrapped_uid[16];  /* cpuu_uid_wrapped_private or cpuu_uid_wrapped_public */
    uint32_t wrapped_type;    /* CPUU_STORE_* bits; 0x0c own mailbox, 0x08 others, 0x06 public */
    cpuu_blob server;         /* 8-bit text: server name, or <mailbox guid>@<domain> */
    bool has_dn;              /* a public store may have no mailbox DN at all */
    cpuu_blob dn;             /* 8-bit text: legacyExchangeDN of the mailbox */
    uint8_t block;            /* 1 = ends after the DN, 2 or 3 = a block follows */
    bool block_laid;          /* the block has the usual layout; otherwise it is kept in rest and
                                 the fields below are views into rest */
    int32_t block_size_error; /* stored minus real block size: 0 unless edited by hand */
    cpuu_blob server_dn;      /* block 2, 8-bit text */
    bool has_fqdn;            /* block 2 */
    cpuu_blob server_fqdn;    /* block 2, UTF-16LE without NUL */
    cpuu_blob smtp;           /* block 3, UTF-16LE without NUL */
} cpuu_eid_store;

#define CPUU_AB_USER         0u /* [MS-OXCDATA] 2.2.5.2 */
#define CPUU_AB_LIST         1u
#define CPUU_AB_FORUM        2u
#define CPUU_AB_AGENT        3u
#define CPUU_AB_PRIVATE_LIST 5u
#define CPUU_AB_REMOTE_USER  6u
#define CPUU_AB_CONTAINER    0x100u

#define CPUU_ONEOFF_UNICODE 0x8000u /* [MS-OXCDATA] 2.2.5.1 */
#define CPUU_ONEOFF_NO_RICH 0x0001u

typedef struct cpuu_eid {
    cpuu_eid_kind kind;
    uint8_t flags[4];
    uint8_t provider[16]; /* of a private folder or message: the mailbox GUID */
    union {
        struct {
            uint16_t type;
            cpuu_gid id;
            uint8_t pad[2];
        } folder;
        struct {
            uint16_t type;
            cpuu_gid folder;
            uint8_t pad1[2];
            cpuu_gid id;
            uint8_t pad2[2];
        } message;
        cpuu_eid_store store;
        struct {
            uint32_t version; /* 1 */
            uint32_t type;    /* CPUU_AB_* */
            cpuu_blob dn;     /* 8-bit text without NUL */
        } ab;
        struct {
            uint16_t version; /* 0 */
            uint16_t bits;    /* CPUU_ONEOFF_* and others */
            cpuu_blob name;   /* without NUL: UTF-16LE with CPUU_ONEOFF_UNICODE, else 8-bit */
            cpuu_blob address_type;
            cpuu_blob address;
        } oneoff;
        struct {
            uint32_t version; /* 3 */
            uint32_t type;    /* 4 contact address, 5 personal list */
            uint32_t index;   /* 0-2 e-mail, 3-5 fax; 255 personal list */
            cpuu_blob inner;  /* message EntryID */
        } contact;
        struct {
            uint32_t version; /* 3 */
            uint32_t type;    /* 1 root, 2 sub-root, 3 container */
            uint8_t uid[16];
            cpuu_blob inner; /* folder EntryID; to the end */
        } contab;
        struct {
            uint8_t type;    /* low nibble: 0 one-off, 3 contact, 4 list, 5 user, 6 GAL list */
            cpuu_blob inner; /* to the end */
        } wrapped;
        struct {
            uint32_t version;
            uint32_t type;
            uint32_t mid; /* minimal entry id of one session */
        } ephemeral;
    } u;
    cpuu_blob rest; /* bytes after what the kind defines; carried through */
} cpuu_eid;

/*
 * Decodes one EntryID, which is all of `in`. An unknown provider is no error; fewer than 20 bytes
 * are, and so is a known kind whose fields run past the end. *out is not touched on failure.
 */
bool cpuu_eid_decode(cpuu_blob in, cpuu_eid *out, cpuu_fmt_error *err);
/* The same over what is left in `r`, for an EntryID inside something else: offsets stay right. */
bool cpuu_eid_read(cpuu_reader *r, cpuu_eid *out);
/* Appends the EntryID. Returns false when the buffer failed. */
bool cpuu_eid_encode(const cpuu_eid *eid, cpuu_buf *out);
/* Constant English name of a kind: "folder", "store", ... */
const char *cpuu_eid_kind_name(cpuu_eid_kind kind);
/* The EntryID inside a contact address, personal list, container or wrapped EntryID; false if none.
 */
bool cpuu_eid_inner(const cpuu_eid *eid, cpuu_blob *inner);

/*
 * Copies `in` to `out` with its links replaced. A kind that holds another EntryID is not asked for
 * itself, only what it holds is (to 4 levels); every other kind is asked for as CPUU_LINK_EID,
 * ephemeral and undecodable ones included. Sizes inside are re-laid. `in` may not overlap `out`.
 * Returns false when `out` failed. `replaced` as in cpuu_link_ask().
 */
bool cpuu_eid_rewrite(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced);

/* ---- builders: append to out, return false when it failed ---------------------------------------
 */

/* provider: mailbox GUID, or cpuu_uid_public, which also decides the type. */
bool cpuu_eid_build_folder(cpuu_buf *out, const uint8_t provider[16], const cpuu_gid *id);
bool cpuu_eid_build_message(cpuu_buf *out, const uint8_t provider[16], const cpuu_gid *folder,
                            const cpuu_gid *id);
/*
 * Store EntryID; texts are UTF-8 (the DN and server must be ASCII). Public when wrapped_type has
 * CPUU_STORE_PUBLIC. dn may be NULL for a public store. smtp NULL gives block 1, else block 3.
 */
bool cpuu_eid_build_store(cpuu_buf *out, const char *server, const char *dn, const char *smtp,
                          uint32_t wrapped_type);
bool cpuu_eid_build_ab(cpuu_buf *out, const char *dn, uint32_t type);
/* Unicode form. bits: CPUU_ONEOFF_UNICODE is added. */
bool cpuu_eid_build_oneoff(cpuu_buf *out, const char *name, const char *address_type,
                           const char *address, uint16_t bits);

/* ---- comparison and parts
 * ------------------------------------------------------------------------ */

/*
 * True when both are store EntryIDs of one store: the same bytes or, for Exchange stores, the same
 * wrapped UID, and then the mailbox DNs decide when both have one, else the SMTP addresses, else
 * (public stores only) the server names; all without regard to case.
 */
bool cpuu_eid_same_store(cpuu_blob a, cpuu_blob b);
/* True when equal: stores as above, address-book entries by DN without regard to case, else bytes.
 */
bool cpuu_eid_same(cpuu_blob a, cpuu_blob b);
/* True for the store EntryID of an Exchange mailbox (not public, PST or others). */
bool cpuu_eid_is_mailbox(const cpuu_eid *eid);
/* Owner's legacyExchangeDN of an Exchange store: borrowed 8-bit text; false if there is none. */
bool cpuu_eid_store_dn(const cpuu_eid *eid, cpuu_blob *dn);
/* Owner's SMTP address of a store with block 3, appended as UTF-8; false if there is none. */
bool cpuu_eid_store_smtp(const cpuu_eid *eid, cpuu_buf *out);

/* 22 bytes: replica GUID and counter of a folder or (the message's own) message EntryID. */
bool cpuu_eid_source_key(const cpuu_eid *eid, uint8_t key[CPUU_SOURCE_KEY_SIZE]);
/* Folder EntryID from a source key; provider as in cpuu_eid_build_folder(). */
bool cpuu_source_key_folder(cpuu_blob key, const uint8_t provider[16], cpuu_buf *out);
bool cpuu_source_key_decode(cpuu_blob key, cpuu_gid *out);

/* 24 bytes: replica GUID, counter, 2 bytes pad ([MS-OXCDATA] 2.2.1.3.1). */
void cpuu_gid_long_term_id(const cpuu_gid *id, uint8_t ltid[CPUU_LONG_TERM_ID_SIZE]);
bool cpuu_long_term_id_decode(cpuu_blob ltid, cpuu_gid *out);

/* [MS-OXORULE] 2.2.5.1.2.1.1. FID and MID: 8 bytes as stored, replica id first. */
typedef struct cpuu_server_eid {
    uint8_t ours; /* 1 = an object of this store */
    uint8_t fid[8];
    uint8_t mid[8];
    uint32_t instance;
} cpuu_server_eid;
bool cpuu_server_eid_decode(cpuu_blob in, cpuu_server_eid *out, cpuu_fmt_error *err);
bool cpuu_server_eid_encode(const cpuu_server_eid *eid, cpuu_buf *out);

/*
 * Search key of a person: TYPE ':' ADDRESS NUL, upper-cased (ASCII letters; what happens to others
 * is not documented, so they stay). Observed; [MS-OXPROPS] names the property only.
 */
bool cpuu_search_key_build(cpuu_buf *out, const char *address_type, const char *address);
/* Splits at the first ':'. type and address are borrowed, without the NUL. False without ':'. */
bool cpuu_search_key_parse(cpuu_blob key, cpuu_blob *type, cpuu_blob *address);

/* Equal without regard to the case of ASCII letters. */
bool cpuu_blob_equal_nocase(cpuu_blob a, cpuu_blob b);
bool cpuu_blob_equal(cpuu_blob a, cpuu_blob b);

#ifdef __cplusplus
}
#endif
#endif
