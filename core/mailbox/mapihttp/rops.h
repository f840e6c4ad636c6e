/*
 * Remote operations ([MS-OXCROPS]): each request as bytes appended to a buffer, each response as a
 * struct. Pure: no I/O, no state between calls. LogonId is always 0: one mailbox per context.
 *
 * Folder and message ids are the eight wire bytes read as a little-endian integer (ids.h).
 * `in` and `out` are indexes into the server object handle table of the same request.
 */
#ifndef CPUU_MAPIHTTP_ROPS_H
#define CPUU_MAPIHTTP_ROPS_H

#include "base/mem.h"

#include <cpuu/formats/propvalue.h>

/* RopId, [MS-OXCROPS] 2.2.2 */
enum {
    CPUU_ROP_RELEASE = 0x01,
    CPUU_ROP_OPEN_FOLDER = 0x02,
    CPUU_ROP_OPEN_MESSAGE = 0x03,
    CPUU_ROP_GET_HIERARCHY_TABLE = 0x04,
    CPUU_ROP_GET_CONTENTS_TABLE = 0x05,
    CPUU_ROP_CREATE_MESSAGE = 0x06,
    CPUU_ROP_GET_PROPERTIES_SPECIFIC = 0x07,
    CPUU_ROP_GET_PROPERTIES_ALL = 0x08,
    CPUU_ROP_GET_PROPERTIES_LIST = 0x09,
    CPUU_ROP_SET_PROPERTIES = 0x0a,
    CPUU_ROP_DELETE_PROPERTIES = 0x0b,
    CPUU_ROP_SAVE_CHANGES_MESSAGE = 0x0c,
    CPUU_ROP_MODIFY_RECIPIENTS = 0x0e,
    CPUU_ROP_READ_RECIPIENTS = 0x0f,
    CPUU_ROP_SET_COLUMNS = 0x12,
    CPUU_ROP_SORT_TABLE = 0x13,
    CPUU_ROP_RESTRICT = 0x14,
    CPUU_ROP_QUERY_ROWS = 0x15,
    CPUU_ROP_QUERY_POSITION = 0x17,
    CPUU_ROP_SEEK_ROW = 0x18,
    CPUU_ROP_CREATE_FOLDER = 0x1c,
    CPUU_ROP_DELETE_FOLDER = 0x1d,
    CPUU_ROP_DELETE_MESSAGES = 0x1e,
    CPUU_ROP_GET_ATTACHMENT_TABLE = 0x21,
    CPUU_ROP_OPEN_ATTACHMENT = 0x22,
    CPUU_ROP_CREATE_ATTACHMENT = 0x23,
    CPUU_ROP_SAVE_CHANGES_ATTACHMENT = 0x25,
    CPUU_ROP_GET_RECEIVE_FOLDER = 0x27,
    CPUU_ROP_NOTIFY = 0x2a,
    CPUU_ROP_OPEN_STREAM = 0x2b,
    CPUU_ROP_READ_STREAM = 0x2c,
    CPUU_ROP_WRITE_STREAM = 0x2d,
    CPUU_ROP_WRITE_STREAM_EXTENDED = 0xa3,
    CPUU_ROP_SEEK_STREAM = 0x2e,
    CPUU_ROP_SET_STREAM_SIZE = 0x2f,
    CPUU_ROP_SET_SEARCH_CRITERIA = 0x30,
    CPUU_ROP_GET_SEARCH_CRITERIA = 0x31,
    CPUU_ROP_GET_PERMISSIONS_TABLE = 0x3e,
    CPUU_ROP_GET_RULES_TABLE = 0x3f,
    CPUU_ROP_MODIFY_PERMISSIONS = 0x40,
    CPUU_ROP_MODIFY_RULES = 0x41,
    CPUU_ROP_LONG_TERM_ID_FROM_ID = 0x43,
    CPUU_ROP_ID_FROM_LONG_TERM_ID = 0x44,
    CPUU_ROP_GET_NAMES_FROM_IDS = 0x55,
    CPUU_ROP_GET_IDS_FROM_NAMES = 0x56,
    CPUU_ROP_COMMIT_STREAM = 0x5d,
    CPUU_ROP_GET_STREAM_SIZE = 0x5e,
    CPUU_ROP_PENDING = 0x6e,
    CPUU_ROP_HARD_DELETE_MESSAGES = 0x91,
    CPUU_ROP_BACKOFF = 0xf9,
    CPUU_ROP_LOGON = 0xfe,
    CPUU_ROP_BUFFER_TOO_SMALL = 0xff
};

/* RopLogon, [MS-OXCSTOR] 2.2.1.1.1 */
#define CPUU_LOGON_PRIVATE       0x01u
#define CPUU_OPEN_ADMIN          0x00000001u /* USE_ADMIN_PRIVILEGE */
#define CPUU_OPEN_PUBLIC         0x00000002u
#define CPUU_OPEN_HOME           0x00000004u
#define CPUU_OPEN_PER_MDB_REPLID 0x01000000u
/* TableFlags, [MS-OXCFOLD] 2.2.1.13.1 and 2.2.1.14.1 */
#define CPUU_TABLE_ASSOCIATED       0x02u
#define CPUU_TABLE_DEPTH            0x04u
#define CPUU_TABLE_NO_NOTIFICATIONS 0x10u
#define CPUU_TABLE_UNICODE          0x40u
#define CPUU_TABLE_FREEBUSY         0x02u /* GetPermissionsTable, ModifyPermissions: [MS-OXCPERM] */
/* RuleDataFlags and PermissionDataFlags, [MS-OXORULE] 2.2.1.3, [MS-OXCPERM] 2.2.2 */
#define CPUU_ROW_ADD    0x01u
#define CPUU_ROW_MODIFY 0x02u
#define CPUU_ROW_REMOVE 0x04u
/* OpenModeFlags, [MS-OXCMSG] 2.2.3.1.1, [MS-OXCPRPT] 2.2.14.1 */
#define CPUU_MODE_READ   0x00u
#define CPUU_MODE_WRITE  0x01u
#define CPUU_MODE_CREATE 0x02u /* streams: empties what is there */

/* ---- requests -------------------------------------------------------------------------------- */
/* Each appends one ROP. A failed buffer (full, or a value that cannot be sent) stays failed. */

void cpuu_rop_logon(cpuu_buf *b, uint8_t out, uint8_t logon_flags, uint32_t open_flags,
                    const char *essdn); /* essdn "" = the public store: no name is sent */
void cpuu_rop_release(cpuu_buf *b, uint8_t in);
void cpuu_rop_open_folder(cpuu_buf *b, uint8_t in, uint8_t out, uint64_t fid);
void cpuu_rop_open_message(cpuu_buf *b, uint8_t in, uint8_t out, uint64_t fid, uint64_t mid,
                           uint8_t mode);
void cpuu_rop_create_message(cpuu_buf *b, uint8_t in, uint8_t out, uint64_t fid, bool associated);
/* KeepOpenReadWrite; never ForceSave. The answer carries `response`, an index that is left alone.
 */
void cpuu_rop_save_message(cpuu_buf *b, uint8_t response, uint8_t in);
/* The open-a-table ROPs: rop is GET_HIERARCHY_TABLE, GET_CONTENTS_TABLE, GET_RULES_TABLE,
 * GET_PERMISSIONS_TABLE. */
void cpuu_rop_get_table(cpuu_buf *b, uint8_t rop, uint8_t in, uint8_t out, uint8_t flags);
void cpuu_rop_set_columns(cpuu_buf *b, uint8_t in, const uint32_t *tags, uint32_t n);
/* Class prefix: RES_CONTENT FL_PREFIX|FL_IGNORECASE on PidTagMessageClass. */
void cpuu_rop_restrict_class(cpuu_buf *b, uint8_t in, const char *prefix);
void cpuu_rop_restrict(cpuu_buf *b, uint8_t in, const uint8_t *restriction, uint32_t size);
/* pairs: n x {tag, order} with 0 ascending, 1 descending */
void cpuu_rop_sort_table(cpuu_buf *b, uint8_t in, const uint32_t (*pairs)[2], uint16_t n);
/* packed: QueryRowsFlags EnablePackedBuffers, for the last ROP of a chained request */
void cpuu_rop_query_rows(cpuu_buf *b, uint8_t in, uint16_t count, bool packed);
void cpuu_rop_query_position(cpuu_buf *b, uint8_t in);
/* origin: 0 beginning, 1 current, 2 end ([MS-OXCTABL] 2.2.2.8.1) */
void cpuu_rop_seek_row(cpuu_buf *b, uint8_t in, uint8_t origin, int32_t rows, bool want_moved);
void cpuu_rop_get_properties(cpuu_buf *b, uint8_t in, const uint32_t *tags, uint32_t n);
void cpuu_rop_get_properties_list(cpuu_buf *b, uint8_t in);
void cpuu_rop_set_properties(cpuu_buf *b, uint8_t in, const cpuu_value *values, uint32_t n);
void cpuu_rop_delete_properties(cpuu_buf *b, uint8_t in, const uint32_t *tags, uint32_t n);
/* type: 1 generic, 2 search folder ([MS-OXCFOLD] 2.2.1.2.1) */
void cpuu_rop_create_folder(cpuu_buf *b, uint8_t in, uint8_t out, uint8_t type, const char *name,
                            const char *comment);
void cpuu_rop_delete_folder(cpuu_buf *b, uint8_t in, uint8_t flags, uint64_t fid);
void cpuu_rop_hard_delete_messages(cpuu_buf *b, uint8_t in, const uint64_t *mids, uint16_t n);
void cpuu_rop_open_stream(cpuu_buf *b, uint8_t in, uint8_t out, uint32_t tag, uint8_t mode);
/* count 0xBABE: as many as fit, at most max */
void cpuu_rop_read_stream(cpuu_buf *b, uint8_t in, uint16_t count, uint32_t max);
void cpuu_rop_write_stream(cpuu_buf *b, uint8_t in, const uint8_t *data, uint16_t n);
/* The last ROP of a request, or the only one of a payload that is packed behind it. */
void cpuu_rop_write_stream_extended(cpuu_buf *b, uint8_t in, const uint8_t *data, uint16_t n);
void cpuu_rop_seek_stream(cpuu_buf *b, uint8_t in, uint8_t origin, uint64_t offset);
void cpuu_rop_set_stream_size(cpuu_buf *b, uint8_t in, uint64_t size);
void cpuu_rop_commit_stream(cpuu_buf *b, uint8_t in);
void cpuu_rop_get_stream_size(cpuu_buf *b, uint8_t in);
void cpuu_rop_set_search_criteria(cpuu_buf *b, uint8_t in, const uint8_t *restriction,
                                  uint16_t size, const uint64_t *fids, uint16_t n, uint32_t flags);
void cpuu_rop_get_search_criteria(cpuu_buf *b, uint8_t in);
/* One row per ROP, because the answer is one code for the whole ROP. rop is MODIFY_RULES or
 * MODIFY_PERMISSIONS; `row` is CPUU_ROW_*. */
void cpuu_rop_modify_table(cpuu_buf *b, uint8_t rop, uint8_t in, uint8_t flags, uint8_t row,
                           const cpuu_value *values, uint32_t n);
void cpuu_rop_long_term_id_from_id(cpuu_buf *b, uint8_t in, uint64_t id);
void cpuu_rop_id_from_long_term_id(cpuu_buf *b, uint8_t in, const uint8_t long_term_id[24]);
void cpuu_rop_get_ids_from_names(cpuu_buf *b, uint8_t in, bool create, const cpuu_name *names,
                                 uint32_t n);
void cpuu_rop_get_names_from_ids(cpuu_buf *b, uint8_t in, const uint16_t *ids, uint32_t n);

/* ---- responses ------------------------------------------------------------------------------- */

typedef struct cpuu_rop_logon_answer {
    bool is_private;
    uint64_t folder_ids[13]; /* [MS-OXCSTOR] 2.2.1.1.3 */
    uint8_t response_flags;  /* private: 0x01 reserved, 0x02 owner right, 0x04 send as, 0x10 OOF */
    uint8_t mailbox_guid[16];
    uint16_t replid;
    uint8_t replguid[16];
    char server[256]; /* code 0x478: the server to go to, as a DN or a name */
} cpuu_rop_logon_answer;

typedef struct cpuu_rop_problem { /* [MS-OXCDATA] 2.7 */
    uint16_t index;
    uint32_t tag;
    uint32_t code;
} cpuu_rop_problem;

/* One response. Which members are set depends on rop, and on code being 0. Borrowed pointers point
 * into the reply; cells point into bytes. */
typedef struct cpuu_rop_answer {
    uint8_t rop;
    uint8_t index;     /* the handle index it carries */
    uint32_t code;     /* ReturnValue */
    uint64_t id;       /* CreateMessage (0 = not told), SaveChangesMessage, CreateFolder,
                        * GetReceiveFolder, IdFromLongTermId */
    bool flag;         /* PartialCompletion, IsExistingFolder, HasRules, HasNamedProperties */
    uint32_t count;    /* rows of a table, values, names, recipients */
    uint64_t size;     /* StreamSize, WrittenSize, NewPosition, Denominator of QueryPosition */
    uint32_t position; /* QueryPosition Numerator, RowsSought */
    uint8_t origin;    /* QueryRows: 0 beginning, 1 current, 2 end */
    uint8_t long_term_id[24]; /* LongTermIdFromId */
    const uint8_t *data;      /* ReadStream, restriction of GetSearchCriteria; BufferTooSmall: the
                               * requests that were not carried out */
    uint32_t data_size;
    uint32_t search_flags;
    uint32_t duration; /* Backoff: ms */
    cpuu_rop_logon_answer logon;

    /* grown as needed, kept from one decode to the next; cpuu_rop_answer_free() */
    cpuu_buf bytes;
    cpuu_cell *cells; /* QueryRows: count rows of n_columns; properties: count */
    size_t n_cells, cells_cap;
    cpuu_rop_problem *problems;
    size_t n_problems, problems_cap;
    uint64_t *ids; /* folder ids of GetSearchCriteria; property ids; tags of
                    * GetPropertiesList */
    size_t n_ids, ids_cap;
    cpuu_name *names; /* GetNamesFromPropertyIds; strings in bytes: see name_at */
    size_t n_names, names_cap;
    uint32_t *name_at; /* offset of the UTF-8 text in bytes; UINT32_MAX = numeric;
                        * UINT32_MAX - 1 = the id has no name */
    size_t name_at_cap;
} cpuu_rop_answer;

void cpuu_rop_answer_init(cpuu_rop_answer *a);
void cpuu_rop_answer_free(cpuu_rop_answer *a);

/*
 * The next response. columns: those of the table for QueryRows, the tags asked for
 * GetPropertiesSpecific; ignored otherwise. After NOTIFY and PENDING, which only follow the last
 * response ([MS-OXCNOTIF] 3.1.4.3.2, inferred) and BUFFER_TOO_SMALL the reader is at its end.
 * False: out of memory (*nomem) or the reader's error; a response is never read past its end.
 */
bool cpuu_rop_decode(cpuu_reader *r, const uint32_t *columns, uint32_t n_columns,
                     cpuu_rop_answer *a, bool *nomem);

#endif
