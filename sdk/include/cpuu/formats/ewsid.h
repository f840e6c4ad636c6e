/*
 * The item and folder ids of Exchange Web Services ([MS-OXWSITEMID] 2.1): a base64 text around an
 * EntryID. Converting locally saves a round trip per object; ids that do not fit either layout are
 * refused, and only the server can convert them.
 */
#ifndef CPUU_FORMATS_EWSID_H
#define CPUU_FORMATS_EWSID_H

#include <cpuu/formats/bytes.h>
#include <cpuu/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CPUU_EWSID_MAX       512u /* characters */
#define CPUU_EWSID_BYTES_MAX 384u

typedef enum cpuu_ewsid_layout {
    CPUU_EWSID_EXCHANGE = 1, /* [MS-OXWSITEMID] */
    CPUU_EWSID_BARE          /* the EntryID and one type byte, as an independent server sends it
                                (observed); only folders (47 bytes) and messages (71) */
} cpuu_ewsid_layout;

#define CPUU_EWSID_SMTP         0u /* moniker is an SMTP address */
#define CPUU_EWSID_PUBLIC       1u /* public folder */
#define CPUU_EWSID_PUBLIC_ITEM  2u
#define CPUU_EWSID_MAILBOX      3u /* moniker is the mailbox GUID as text */
#define CPUU_EWSID_CONVERSATION 4u
#define CPUU_EWSID_DIRECTORY    5u

typedef struct cpuu_ewsid {
    cpuu_ewsid_layout layout;
    uint8_t compression; /* as found: 0 none, 1 run lengths */
    uint8_t type;        /* CPUU_EWSID_*; BARE: the type byte */
    uint8_t processing;  /* 0 normal, 1 recurrence, 2 series */
    cpuu_blob moniker;   /* UTF-8; types SMTP, MAILBOX and CONVERSATION */
    cpuu_blob store_id;  /* EntryID of the object (DIRECTORY: of another kind) */
    cpuu_blob folder_id; /* PUBLIC_ITEM: EntryID of its folder */
    cpuu_blob rest;      /* attachment ids */
} cpuu_ewsid;

/* The id borrows from `bytes`, which is emptied first and needs a maximum of at least
 * CPUU_EWSID_BYTES_MAX. Accepts the URL-safe alphabet too. */
bool cpuu_ewsid_decode(const char *text, cpuu_buf *bytes, cpuu_ewsid *out, cpuu_fmt_error *err);
/* Appends the id as text, without NUL; compressed when that is shorter, as the server does it. */
bool cpuu_ewsid_encode(const cpuu_ewsid *id, cpuu_buf *text);
/* The id of an object of a mailbox; guid in storage order. */
bool cpuu_ewsid_build(cpuu_buf *text, const uint8_t mailbox_guid[16], cpuu_blob entry_id);

/* Base64 (RFC 4648 section 4), with padding. Decoding also accepts section 5. */
bool cpuu_base64_encode(cpuu_buf *text, const void *data, size_t n);
bool cpuu_base64_decode(cpuu_buf *bytes, const char *text, size_t n);
/* 36 characters, lower case, and NUL. */
void cpuu_ewsid_guid_text(const uint8_t guid[16], char text[37]);

#ifdef __cplusplus
}
#endif
#endif
