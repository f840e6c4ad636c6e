/*
 * One Execute of the lab: decoding of the ROP buffer, the table of server objects of a session
 * context, the handlers. A handler reads its whole request first; `dry` is true in the first pass,
 * which only checks that the buffer can be parsed ([MS-OXCROPS] 3.2.5.1: else the call fails).
 */
#ifndef CPUU_LAB_ROP_H
#define CPUU_LAB_ROP_H

#include "tests/lab/lab.h"

#define LAB_PAYLOAD_MAX 0x8000u /* RopSize, ROPs and handle table; [MS-OXCRPC] 3.1.4.2 */
#define LAB_NO_HANDLE   0xFFFFFFFFu

typedef struct lab_table {
    lab_obj_kind rows_of; /* FOLDER, MESSAGE, RULE, MEMBER, ATTACHMENT */
    uint8_t flags;
    bool associated;
    uint32_t version;           /* of the folder when rows were made */
    struct lab_object *message; /* attachment table */
    void **rows;
    size_t n_rows, rows_cap;
    size_t pos;
    uint32_t *columns;
    uint16_t n_columns;
    uint8_t *restriction;
    uint16_t restriction_size;
    struct {
        uint32_t tag;
        uint8_t order;
    } sort[16];
    uint16_t n_sort;
} lab_table;

typedef struct lab_object {
    lab_obj_kind kind;
    uint32_t handle;
    uint8_t logon_id;
    lab_store *store;
    lab_folder *folder;
    lab_message *message;
    lab_content_of content; /* an opened message: what Save would store */
    uint32_t version;       /* of the message when opened */
    bool writable, fresh, dirty;
    uint32_t attachment;       /* number */
    struct lab_object *parent; /* of an attachment or stream */
    lab_props props;           /* of an opened attachment */
    lab_table table;
    uint32_t stream_tag;
    uint8_t *stream;
    size_t stream_size, stream_pos;
    bool owner; /* logon: full access */
} lab_object;

typedef struct lab_context { /* a session context */
    uint64_t sid;
    uint64_t sequence;
    lab_user *user;
    lab_org *org;
    bool nspi, busy, gone;
    char mailbox[100]; /* MailboxId of the URL; "" = none */
    lab_object **objects;
    size_t n_objects, objects_cap;
    uint32_t next_handle;
} lab_context;

void lab_context_clear(lab_context *c);

typedef struct lab_rop {
    lab_context *ctx;
    lab_org *org;
    lab_user *user;
    cpuu_reader in;
    cpuu_buf *out;
    bool dry;
    bool too_small; /* the response does not fit: undo it, answer RopBufferTooSmall */
    bool packed;    /* the last ROP may be repeated for a further buffer */
    uint8_t id, logon_id;
    uint32_t handles[255];
    uint32_t n_handles;
    size_t room;        /* bytes of ROPs that fit into the payload */
    cpuu_arena arena;   /* freed after each ROP */
    uint32_t notify[8]; /* handles of tables to report a new row for */
    void *notify_row[8];
    size_t n_notify;
    cpuu_buf more;        /* data of payloads packed behind the first, ... */
    uint32_t n_more;      /* ... their size, ... */
    uint32_t more_handle; /* ... and the stream they name */
} lab_rop;

/* Runs the ROPs of one Execute. Returns the ErrorCode of the call; the payload(s) with their
 * extended headers go to out. */
uint32_t lab_execute(lab_context *ctx, uint32_t flags, const uint8_t *in, uint32_t in_size,
                     uint32_t max_out, cpuu_buf *out);

/* ---- for handlers ---------------------------------------------------------------------------- */

/* RopId, handle index, ReturnValue. */
void rop_head(lab_rop *x, uint8_t index, uint32_t rc);
/* The object behind an index; NULL after a NullObject or NotSupported answer. */
lab_object *rop_object(lab_rop *x, uint8_t index, unsigned kinds);
/* The same for a ROP that opens something into slot `out`: a failure answers with that index and
 * leaves the slot without a handle. */
lab_object *rop_object_to(lab_rop *x, uint8_t index, unsigned kinds, uint8_t out);
#define KIND(k) (1u << (k))
/* An output index must exist in the handle table; else the request cannot be parsed. */
void rop_check_index(lab_rop *x, uint8_t index);
/* A new object in the slot; owned by the context. NULL when too many messages are open. */
lab_object *rop_open(lab_rop *x, uint8_t index, lab_obj_kind kind, const lab_object *from);
void rop_release(lab_context *ctx, uint32_t handle);
lab_view rop_view(lab_rop *x, lab_object *o);
size_t rop_left(const lab_rop *x); /* room for more response bytes */

typedef void (*rop_fn)(lab_rop *x);
void rop_logon(lab_rop *x);
void rop_open_folder(lab_rop *x);
void rop_create_folder(lab_rop *x);
void rop_delete_folder(lab_rop *x);
void rop_empty_folder(lab_rop *x);
void rop_delete_messages(lab_rop *x);
void rop_search_set(lab_rop *x);
void rop_search_get(lab_rop *x);
void rop_modify_permissions(lab_rop *x);
void rop_modify_rules(lab_rop *x);
void rop_long_term_id(lab_rop *x);
void rop_id_from_long_term(lab_rop *x);
void rop_names_from_ids(lab_rop *x);
void rop_ids_from_names(lab_rop *x);
void rop_receive_folder(lab_rop *x);
void rop_open_message(lab_rop *x);
void rop_create_message(lab_rop *x);
void rop_save_message(lab_rop *x);
void rop_get_specific(lab_rop *x);
void rop_get_all(lab_rop *x);
void rop_get_list(lab_rop *x);
void rop_set_properties(lab_rop *x);
void rop_delete_properties(lab_rop *x);
void rop_modify_recipients(lab_rop *x);
void rop_remove_recipients(lab_rop *x);
void rop_read_recipients(lab_rop *x);
void rop_create_attachment(lab_rop *x);
void rop_open_attachment(lab_rop *x);
void rop_save_attachment(lab_rop *x);
void rop_delete_attachment(lab_rop *x);
void rop_open_stream(lab_rop *x);
void rop_read_stream(lab_rop *x);
void rop_write_stream(lab_rop *x);
void rop_write_stream_extended(lab_rop *x);
void rop_seek_stream(lab_rop *x);
void rop_set_stream_size(lab_rop *x);
void rop_commit_stream(lab_rop *x);
void rop_stream_size(lab_rop *x);
void rop_get_table(lab_rop *x);
void rop_set_columns(lab_rop *x);
void rop_sort(lab_rop *x);
void rop_restrict(lab_rop *x);
void rop_query_rows(lab_rop *x);
void rop_query_position(lab_rop *x);
void rop_seek_row(lab_rop *x);
void rop_table_status(lab_rop *x);
void rop_reset_table(lab_rop *x);

/* A stream's bytes go back to the object it came from. */
void rop_stream_store(lab_object *stream);
/* One PropertyRow ([MS-OXCDATA] 2.8.1). cut: table rules, values end after 510 bytes. */
void rop_row(cpuu_buf *b, const lab_view *v, const uint32_t *tags, uint16_t n, bool cut,
             uint32_t limit);
lab_view rop_row_view(lab_rop *x, lab_object *table, size_t row);
void rop_notify_child(lab_rop *x, lab_folder *child);

#endif
