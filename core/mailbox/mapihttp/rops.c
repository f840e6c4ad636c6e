/* Requests and responses of remote operations; see rops.h for the promises. Layouts are those of
 * [MS-OXCROPS] 2.2; where servers were seen to differ, both forms are read and the place says so.
 */
#include "mailbox/mapihttp/rops.h"

#include <string.h>

#define ANSWER_MAX (8u << 20) /* decoded values of one response payload (32 KB on the wire) */

/* ---- requests -------------------------------------------------------------------------------- */

static void head(cpuu_buf *b, uint8_t rop, uint8_t in)
{
    cpuu_buf_u8(b, rop);
    cpuu_buf_u8(b, 0); /* LogonId */
    cpuu_buf_u8(b, in);
}

static void add_tags(cpuu_buf *b, const uint32_t *tags, uint32_t n)
{
    if (n > 0xffff)
        b->failed = true;
    cpuu_buf_u16(b, (uint16_t)n);
    for (uint32_t i = 0; i < n; i++)
        cpuu_buf_u32(b, tags[i]);
}

/* A 16-bit size that is known when what follows has been written. */
static size_t size_begin(cpuu_buf *b)
{
    size_t at = b->size;
    cpuu_buf_u16(b, 0);
    return at;
}

static void size_end(cpuu_buf *b, size_t at)
{
    if (b->failed)
        return;
    size_t n = b->size - at - 2;
    if (n > 0xffff)
        b->failed = true;
    else
        cpuu_buf_put_u16(b, at, (uint16_t)n);
}

static void add_values(cpuu_buf *b, const cpuu_value *values, uint32_t n)
{
    if (n > 0xffff)
        b->failed = true;
    cpuu_buf_u16(b, (uint16_t)n);
    for (uint32_t i = 0; i < n && !b->failed; i++)
        cpuu_prop_encode_tagged(b, CPUU_WIRE_ROP, &values[i]);
}

void cpuu_rop_logon(cpuu_buf *b, uint8_t out, uint8_t logon_flags, uint32_t open_flags,
                    const char *essdn)
{
    head(b, CPUU_ROP_LOGON, out);
    cpuu_buf_u8(b, logon_flags);
    cpuu_buf_u32(b, open_flags);
    cpuu_buf_u32(b, 0); /* StoreState */
    size_t size = *essdn ? strlen(essdn) + 1 : 0;
    if (size > 0xffff)
        b->failed = true;
    cpuu_buf_u16(b, (uint16_t)size);
    cpuu_buf_add(b, essdn, size);
}

void cpuu_rop_release(cpuu_buf *b, uint8_t in)
{
    head(b, CPUU_ROP_RELEASE, in);
}

void cpuu_rop_open_folder(cpuu_buf *b, uint8_t in, uint8_t out, uint64_t fid)
{
    head(b, CPUU_ROP_OPEN_FOLDER, in);
    cpuu_buf_u8(b, out);
    cpuu_buf_u64(b, fid);
    cpuu_buf_u8(b, 0); /* OpenModeFlags: not soft-deleted ones */
}

void cpuu_rop_open_message(cpuu_buf *b, uint8_t in, uint8_t out, uint64_t fid, uint64_t mid,
                           uint8_t mode)
{
    head(b, CPUU_ROP_OPEN_MESSAGE, in);
    cpuu_buf_u8(b, out);
    cpuu_buf_u16(b, 0x0fff); /* CodePageId: that of the logon */
    cpuu_buf_u64(b, fid);
    cpuu_buf_u8(b, mode);
    cpuu_buf_u64(b, mid);
}

void cpuu_rop_create_message(cpuu_buf *b, uint8_t in, uint8_t out, uint64_t fid, bool associated)
{
    head(b, CPUU_ROP_CREATE_MESSAGE, in);
    cpuu_buf_u8(b, out);
    cpuu_buf_u16(b, 0x0fff);
    cpuu_buf_u64(b, fid);
    cpuu_buf_u8(b, associated);
}

void cpuu_rop_save_message(cpuu_buf *b, uint8_t response, uint8_t in)
{
    head(b, CPUU_ROP_SAVE_CHANGES_MESSAGE, response);
    cpuu_buf_u8(b, in);
    cpuu_buf_u8(b, 0x02); /* KeepOpenReadWrite, [MS-OXCMSG] 2.2.3.3.1 */
}

void cpuu_rop_get_table(cpuu_buf *b, uint8_t rop, uint8_t in, uint8_t out, uint8_t flags)
{
    head(b, rop, in);
    cpuu_buf_u8(b, out);
    cpuu_buf_u8(b, flags);
}

void cpuu_rop_set_columns(cpuu_buf *b, uint8_t in, const uint32_t *tags, uint32_t n)
{
    head(b, CPUU_ROP_SET_COLUMNS, in);
    cpuu_buf_u8(b, 0); /* synchronous */
    add_tags(b, tags, n);
}

void cpuu_rop_restrict(cpuu_buf *b, uint8_t in, const uint8_t *restriction, uint32_t size)
{
    head(b, CPUU_ROP_RESTRICT, in);
    cpuu_buf_u8(b, 0);
    size_t at = size_begin(b);
    cpuu_buf_add(b, restriction, size);
    size_end(b, at);
}

void cpuu_rop_restrict_class(cpuu_buf *b, uint8_t in, const char *prefix)
{
    static const uint32_t message_class = CPUU_TAG(0x001a, CPUU_PT_STRING);
    cpuu_value v = {message_class, (uint32_t)strlen(prefix), (const uint8_t *)prefix};

    head(b, CPUU_ROP_RESTRICT, in);
    cpuu_buf_u8(b, 0);
    size_t at = size_begin(b);
    cpuu_buf_u8(b, 0x03);    /* RES_CONTENT, [MS-OXCDATA] 2.12.4 */
    cpuu_buf_u16(b, 0x0002); /* FuzzyLevelLow: FL_PREFIX */
    cpuu_buf_u16(b, 0x0001); /* FuzzyLevelHigh: FL_IGNORECASE */
    cpuu_buf_u32(b, message_class);
    cpuu_prop_encode_tagged(b, CPUU_WIRE_ROP, &v);
    size_end(b, at);
}

void cpuu_rop_sort_table(cpuu_buf *b, uint8_t in, const uint32_t (*pairs)[2], uint16_t n)
{
    head(b, CPUU_ROP_SORT_TABLE, in);
    cpuu_buf_u8(b, 0);
    cpuu_buf_u16(b, n);
    cpuu_buf_u16(b, 0); /* categories */
    cpuu_buf_u16(b, 0);
    for (uint16_t i = 0; i < n; i++) {
        cpuu_buf_u32(b, pairs[i][0]);
        cpuu_buf_u8(b, (uint8_t)pairs[i][1]);
    }
}

void cpuu_rop_query_rows(cpuu_buf *b, uint8_t in, uint16_t count, bool packed)
{
    head(b, CPUU_ROP_QUERY_ROWS, in);
    cpuu_buf_u8(b, packed ? 0x02 : 0x00); /* QueryRowsFlags, [MS-OXCTABL] 2.2.2.5.1.1 */
    cpuu_buf_u8(b, 1);                    /* ForwardRead */
    cpuu_buf_u16(b, count);
}

void cpuu_rop_query_position(cpuu_buf *b, uint8_t in)
{
    head(b, CPUU_ROP_QUERY_POSITION, in);
}

void cpuu_rop_seek_row(cpuu_buf *b, uint8_t in, uint8_t origin, int32_t rows, bool want_moved)
{
    head(b, CPUU_ROP_SEEK_ROW, in);
    cpuu_buf_u8(b, origin);
    cpuu_buf_u32(b, (uint32_t)rows);
    cpuu_buf_u8(b, want_moved);
}

void cpuu_rop_get_properties(cpuu_buf *b, uint8_t in, const uint32_t *tags, uint32_t n)
{
    head(b, CPUU_ROP_GET_PROPERTIES_SPECIFIC, in);
    cpuu_buf_u16(b, 0); /* PropertySizeLimit: none but the buffer */
    cpuu_buf_u16(b, 1); /* WantUnicode */
    add_tags(b, tags, n);
}

void cpuu_rop_get_properties_list(cpuu_buf *b, uint8_t in)
{
    head(b, CPUU_ROP_GET_PROPERTIES_LIST, in);
}

void cpuu_rop_set_properties(cpuu_buf *b, uint8_t in, const cpuu_value *values, uint32_t n)
{
    head(b, CPUU_ROP_SET_PROPERTIES, in);
    size_t at = size_begin(b);
    add_values(b, values, n);
    size_end(b, at);
}

void cpuu_rop_delete_properties(cpuu_buf *b, uint8_t in, const uint32_t *tags, uint32_t n)
{
    head(b, CPUU_ROP_DELETE_PROPERTIES, in);
    add_tags(b, tags, n);
}

void cpuu_rop_create_folder(cpuu_buf *b, uint8_t in, uint8_t out, uint8_t type, const char *name,
                            const char *comment)
{
    head(b, CPUU_ROP_CREATE_FOLDER, in);
    cpuu_buf_u8(b, out);
    cpuu_buf_u8(b, type);
    cpuu_buf_u8(b, 1); /* UseUnicodeStrings */
    cpuu_buf_u8(b, 0); /* OpenExisting */
    cpuu_buf_u8(b, 0);
    cpuu_buf_utf16(b, name, true);
    cpuu_buf_utf16(b, comment, true);
}

void cpuu_rop_delete_folder(cpuu_buf *b, uint8_t in, uint8_t flags, uint64_t fid)
{
    head(b, CPUU_ROP_DELETE_FOLDER, in);
    cpuu_buf_u8(b, flags);
    cpuu_buf_u64(b, fid);
}

void cpuu_rop_hard_delete_messages(cpuu_buf *b, uint8_t in, const uint64_t *mids, uint16_t n)
{
    head(b, CPUU_ROP_HARD_DELETE_MESSAGES, in);
    cpuu_buf_u8(b, 0); /* synchronous */
    cpuu_buf_u8(b, 0); /* NotifyNonRead */
    cpuu_buf_u16(b, n);
    for (uint16_t i = 0; i < n; i++)
        cpuu_buf_u64(b, mids[i]);
}

void cpuu_rop_open_stream(cpuu_buf *b, uint8_t in, uint8_t out, uint32_t tag, uint8_t mode)
{
    head(b, CPUU_ROP_OPEN_STREAM, in);
    cpuu_buf_u8(b, out);
    cpuu_buf_u32(b, tag);
    cpuu_buf_u8(b, mode);
}

void cpuu_rop_read_stream(cpuu_buf *b, uint8_t in, uint16_t count, uint32_t max)
{
    head(b, CPUU_ROP_READ_STREAM, in);
    cpuu_buf_u16(b, count);
    if (count == 0xbabe)
        cpuu_buf_u32(b, max);
}

void cpuu_rop_write_stream(cpuu_buf *b, uint8_t in, const uint8_t *data, uint16_t n)
{
    head(b, CPUU_ROP_WRITE_STREAM, in);
    cpuu_buf_u16(b, n);
    cpuu_buf_add(b, data, n);
}

/* [MS-OXCROPS] 2.2.9.4.1 */
void cpuu_rop_write_stream_extended(cpuu_buf *b, uint8_t in, const uint8_t *data, uint16_t n)
{
    head(b, CPUU_ROP_WRITE_STREAM_EXTENDED, in);
    cpuu_buf_u16(b, n);
    cpuu_buf_add(b, data, n);
}

void cpuu_rop_seek_stream(cpuu_buf *b, uint8_t in, uint8_t origin, uint64_t offset)
{
    head(b, CPUU_ROP_SEEK_STREAM, in);
    cpuu_buf_u8(b, origin);
    cpuu_buf_u64(b, offset);
}

void cpuu_rop_set_stream_size(cpuu_buf *b, uint8_t in, uint64_t size)
{
    head(b, CPUU_ROP_SET_STREAM_SIZE, in);
    cpuu_buf_u64(b, size);
}

void cpuu_rop_commit_stream(cpuu_buf *b, uint8_t in)
{
    head(b, CPUU_ROP_COMMIT_STREAM, in);
}

void cpuu_rop_get_stream_size(cpuu_buf *b, uint8_t in)
{
    head(b, CPUU_ROP_GET_STREAM_SIZE, in);
}

void cpuu_rop_set_search_criteria(cpuu_buf *b, uint8_t in, const uint8_t *restriction,
                                  uint16_t size, const uint64_t *fids, uint16_t n, uint32_t flags)
{
    head(b, CPUU_ROP_SET_SEARCH_CRITERIA, in);
    cpuu_buf_u16(b, size);
    cpuu_buf_add(b, restriction, size);
    cpuu_buf_u16(b, n);
    for (uint16_t i = 0; i < n; i++)
        cpuu_buf_u64(b, fids[i]);
    cpuu_buf_u32(b, flags);
}

void cpuu_rop_get_search_criteria(cpuu_buf *b, uint8_t in)
{
    head(b, CPUU_ROP_GET_SEARCH_CRITERIA, in);
    cpuu_buf_u8(b, 1); /* UseUnicode */
    cpuu_buf_u8(b, 1); /* IncludeRestriction */
    cpuu_buf_u8(b, 1); /* IncludeFolders */
}

void cpuu_rop_modify_table(cpuu_buf *b, uint8_t rop, uint8_t in, uint8_t flags, uint8_t row,
                           const cpuu_value *values, uint32_t n)
{
    head(b, rop, in);
    cpuu_buf_u8(b, flags);
    cpuu_buf_u16(b, 1);
    cpuu_buf_u8(b, row);
    add_values(b, values, n);
}

void cpuu_rop_long_term_id_from_id(cpuu_buf *b, uint8_t in, uint64_t id)
{
    head(b, CPUU_ROP_LONG_TERM_ID_FROM_ID, in);
    cpuu_buf_u64(b, id);
}

void cpuu_rop_id_from_long_term_id(cpuu_buf *b, uint8_t in, const uint8_t long_term_id[24])
{
    head(b, CPUU_ROP_ID_FROM_LONG_TERM_ID, in);
    cpuu_buf_add(b, long_term_id, 24);
}

/* PropertyName, [MS-OXCDATA] 2.6.1: a name's size is in bytes and counts its NUL */
static void add_name(cpuu_buf *b, const cpuu_name *name)
{
    cpuu_buf_u8(b, name->string ? 1 : 0);
    cpuu_buf_add(b, name->guid, 16);
    if (!name->string) {
        cpuu_buf_u32(b, name->id);
        return;
    }
    size_t at = b->size;
    cpuu_buf_u8(b, 0);
    cpuu_buf_utf16(b, name->string, true);
    if (b->failed)
        return;
    size_t n = b->size - at - 1;
    uint8_t size = (uint8_t)n;
    if (n > 0xff)
        b->failed = true;
    else
        cpuu_buf_put(b, at, &size, 1);
}

void cpuu_rop_get_ids_from_names(cpuu_buf *b, uint8_t in, bool create, const cpuu_name *names,
                                 uint32_t n)
{
    head(b, CPUU_ROP_GET_IDS_FROM_NAMES, in);
    cpuu_buf_u8(b, create ? 0x02 : 0x00);
    if (n > 0xffff)
        b->failed = true;
    cpuu_buf_u16(b, (uint16_t)n);
    for (uint32_t i = 0; i < n; i++)
        add_name(b, &names[i]);
}

void cpuu_rop_get_names_from_ids(cpuu_buf *b, uint8_t in, const uint16_t *ids, uint32_t n)
{
    head(b, CPUU_ROP_GET_NAMES_FROM_IDS, in);
    if (n > 0xffff)
        b->failed = true;
    cpuu_buf_u16(b, (uint16_t)n);
    for (uint32_t i = 0; i < n; i++)
        cpuu_buf_u16(b, ids[i]);
}

/* ---- responses ------------------------------------------------------------------------------- */

void cpuu_rop_answer_init(cpuu_rop_answer *a)
{
    memset(a, 0, sizeof(*a));
    cpuu_buf_init(&a->bytes, ANSWER_MAX);
}

void cpuu_rop_answer_free(cpuu_rop_answer *a)
{
    cpuu_buf_free(&a->bytes);
    cpuu_free(a->cells);
    cpuu_free(a->problems);
    cpuu_free(a->ids);
    cpuu_free(a->names);
    cpuu_free(a->name_at);
    cpuu_rop_answer_init(a);
}

/* Forgets the last answer, keeps the memory. */
static void answer_reset(cpuu_rop_answer *a)
{
    cpuu_rop_answer keep = *a;
    memset(a, 0, sizeof(*a));
    a->bytes = keep.bytes;
    cpuu_buf_reset(&a->bytes);
    a->cells = keep.cells;
    a->cells_cap = keep.cells_cap;
    a->problems = keep.problems;
    a->problems_cap = keep.problems_cap;
    a->ids = keep.ids;
    a->ids_cap = keep.ids_cap;
    a->names = keep.names;
    a->names_cap = keep.names_cap;
    a->name_at = keep.name_at;
    a->name_at_cap = keep.name_at_cap;
}

/* Room for n elements in all; n was checked against the input. */
static bool room(void *array, size_t *cap, size_t n, size_t elem_size, bool *nomem)
{
    void **p = array;
    if (n <= *cap)
        return true;
    void *grown = cpuu_realloc(*p, n * elem_size);
    if (!grown) {
        *nomem = true;
        return false;
    }
    *p = grown;
    *cap = n;
    return true;
}

static void read_guid(cpuu_reader *r, uint8_t out[16], const char *field)
{
    const uint8_t *p = cpuu_read_bytes(r, 16, field);
    if (p)
        memcpy(out, p, 16);
}

static void read_server_name(cpuu_reader *r, cpuu_rop_logon_answer *logon)
{
    uint8_t n = cpuu_read_u8(r, "ServerNameSize");
    const uint8_t *p = cpuu_read_bytes(r, n, "ServerName");
    if (!p)
        return;
    memcpy(logon->server, p, n); /* at most 255 bytes */
    logon->server[n] = 0;
}

/* [MS-OXCROPS] 2.2.3.1.2 to 2.2.3.1.4 */
static void decode_logon(cpuu_reader *r, cpuu_rop_answer *a)
{
    cpuu_rop_logon_answer *l = &a->logon;
    if (a->code == 0x478) { /* WrongServer */
        cpuu_read_u8(r, "LogonFlags");
        read_server_name(r, l);
        return;
    }
    if (a->code)
        return;
    l->is_private = (cpuu_read_u8(r, "LogonFlags") & CPUU_LOGON_PRIVATE) != 0;
    for (int i = 0; i < 13; i++)
        l->folder_ids[i] = cpuu_read_u64(r, "FolderIds");
    if (l->is_private) {
        l->response_flags = cpuu_read_u8(r, "ResponseFlags");
        read_guid(r, l->mailbox_guid, "MailboxGuid");
    }
    l->replid = cpuu_read_u16(r, "ReplId");
    read_guid(r, l->replguid, "ReplGuid");
    if (l->is_private)
        cpuu_read_skip(r, 8 + 8 + 4, "LogonTime, GwartTime, StoreState");
    else
        cpuu_read_skip(r, 16, "PerUserGuid");
}

static void skip_ghost_servers(cpuu_reader *r)
{
    uint32_t ignored;
    if (!cpuu_read_u8(r, "IsGhosted"))
        return;
    uint16_t n = cpuu_read_u16(r, "ServerCount");
    cpuu_read_u16(r, "CheapServerCount");
    for (uint16_t i = 0; i < n && !r->failed; i++)
        cpuu_read_sz8(r, &ignored, "Servers");
}

/* TypedString, [MS-OXCDATA] 2.11.7 */
static void skip_typed_string(cpuu_reader *r)
{
    uint32_t ignored;
    switch (cpuu_read_u8(r, "StringType")) {
    case 0x00:
    case 0x01:
        return;
    case 0x02:
    case 0x03:
        cpuu_read_sz8(r, &ignored, "String");
        return;
    case 0x04:
        cpuu_read_sz16(r, &ignored, "String");
        return;
    default:
        cpuu_reader_fail(r, "StringType", "is not 0 to 4");
    }
}

/* OpenRecipientRow and ReadRecipientRow, [MS-OXCROPS] 2.2.6.1.2.1 and 2.2.6.6.2.1 */
static void skip_recipients(cpuu_reader *r, uint8_t n, bool with_row_id)
{
    for (uint8_t i = 0; i < n && !r->failed; i++) {
        cpuu_read_skip(r, with_row_id ? 9 : 5, "RecipientRow");
        cpuu_read_skip(r, cpuu_read_u16(r, "RecipientRowSize"), "RecipientRow");
    }
}

static void decode_open_message(cpuu_reader *r, cpuu_rop_answer *a)
{
    a->flag = cpuu_read_u8(r, "HasNamedProperties") != 0;
    skip_typed_string(r); /* SubjectPrefix */
    skip_typed_string(r); /* NormalizedSubject */
    a->count = cpuu_read_u16(r, "RecipientCount");
    cpuu_read_skip(r, cpuu_read_u16(r, "ColumnCount") * 4u, "RecipientColumns");
    skip_recipients(r, cpuu_read_u8(r, "RowCount"), false);
}

static void decode_create_folder(cpuu_reader *r, cpuu_rop_answer *a)
{
    a->id = cpuu_read_u64(r, "FolderId");
    a->flag = cpuu_read_u8(r, "IsExistingFolder") != 0;
    if (a->flag) {
        cpuu_read_u8(r, "HasRules");
        skip_ghost_servers(r);
    }
}

static void decode_rows(cpuu_reader *r, const uint32_t *columns, uint32_t n_columns,
                        cpuu_rop_answer *a, bool *nomem)
{
    a->origin = cpuu_read_u8(r, "Origin");
    a->count = cpuu_read_u16(r, "RowCount");
    if (a->count && (n_columns == 0 || a->count > cpuu_reader_left(r) / (n_columns + 1u))) {
        cpuu_reader_fail(r, "RowCount", "is more than the input can hold");
        return;
    }
    if (!room(&a->cells, &a->cells_cap, (size_t)a->count * n_columns, sizeof(*a->cells), nomem))
        return;
    for (uint32_t i = 0; i < a->count && !r->failed; i++)
        cpuu_prop_decode_row(r, CPUU_WIRE_ROP, columns, n_columns, &a->bytes,
                             a->cells + (size_t)i * n_columns);
    a->n_cells = (size_t)a->count * n_columns;
}

static void decode_properties(cpuu_reader *r, const uint32_t *columns, uint32_t n_columns,
                              cpuu_rop_answer *a, bool *nomem)
{
    if (!room(&a->cells, &a->cells_cap, n_columns, sizeof(*a->cells), nomem))
        return;
    cpuu_prop_decode_row(r, CPUU_WIRE_ROP, columns, n_columns, &a->bytes, a->cells);
    a->count = n_columns;
    a->n_cells = n_columns;
}

static void decode_all_properties(cpuu_reader *r, cpuu_rop_answer *a, bool *nomem)
{
    a->count = cpuu_read_u16(r, "PropertyValueCount");
    if (a->count > cpuu_reader_left(r) / 5) /* a tag and at least one byte of value */
        cpuu_reader_fail(r, "PropertyValueCount", "is more than the input can hold");
    if (r->failed || !room(&a->cells, &a->cells_cap, a->count, sizeof(*a->cells), nomem))
        return;
    for (uint32_t i = 0; i < a->count && !r->failed; i++)
        cpuu_prop_decode_tagged(r, CPUU_WIRE_ROP, &a->bytes, &a->cells[i]);
    a->n_cells = a->count;
}

/* n little-endian integers of `width` bytes into a->ids */
static void decode_ids(cpuu_reader *r, uint32_t n, uint32_t width, cpuu_rop_answer *a, bool *nomem)
{
    if (n > cpuu_reader_left(r) / width)
        cpuu_reader_fail(r, "count", "is more than the input can hold");
    if (r->failed || !room(&a->ids, &a->ids_cap, n, sizeof(*a->ids), nomem))
        return;
    for (uint32_t i = 0; i < n; i++)
        a->ids[i] = width == 2   ? cpuu_read_u16(r, "PropertyIds")
                    : width == 4 ? cpuu_read_u32(r, "PropertyTags")
                                 : cpuu_read_u64(r, "FolderIds");
    a->n_ids = n;
    a->count = n;
}

static void decode_problems(cpuu_reader *r, cpuu_rop_answer *a, bool *nomem)
{
    uint32_t n = cpuu_read_u16(r, "PropertyProblemCount");
    if (n > cpuu_reader_left(r) / 10)
        cpuu_reader_fail(r, "PropertyProblemCount", "is more than the input can hold");
    if (r->failed || !room(&a->problems, &a->problems_cap, n, sizeof(*a->problems), nomem))
        return;
    for (uint32_t i = 0; i < n; i++) {
        a->problems[i].index = cpuu_read_u16(r, "Index");
        a->problems[i].tag = cpuu_read_u32(r, "PropertyTag");
        a->problems[i].code = cpuu_read_u32(r, "ErrorCode");
    }
    a->n_problems = n;
}

/* A name of kind 0xFF ends after the kind in [MS-OXCPRPT] 3.2.5.9 and has a GUID, here zero, in
 * [MS-OXCDATA] 2.6.1. Sixteen zero bytes cannot begin another name: no property set is all zero. */
static void skip_no_guid(cpuu_reader *r)
{
    static const uint8_t zero[16];
    if (cpuu_reader_left(r) >= 16 && memcmp(r->data + r->pos, zero, 16) == 0)
        cpuu_read_skip(r, 16, "GUID");
}

static void decode_name(cpuu_reader *r, cpuu_rop_answer *a, size_t i)
{
    cpuu_name *name = &a->names[i];
    memset(name, 0, sizeof(*name));
    a->name_at[i] = UINT32_MAX;
    uint8_t kind = cpuu_read_u8(r, "Kind");
    if (kind == 0xff) {
        a->name_at[i] = UINT32_MAX - 1;
        skip_no_guid(r);
        return;
    }
    read_guid(r, name->guid, "GUID");
    if (kind == 0) {
        name->id = cpuu_read_u32(r, "LID");
        return;
    }
    if (kind != 1) {
        cpuu_reader_fail(r, "Kind", "is not 0, 1 or 255");
        return;
    }
    uint8_t size = cpuu_read_u8(r, "NameSize");
    const uint8_t *p = cpuu_read_bytes(r, size, "Name");
    if (!p)
        return;
    while (size >= 2 && p[size - 1] == 0 && p[size - 2] == 0)
        size = (uint8_t)(size - 2);
    a->name_at[i] = (uint32_t)a->bytes.size;
    cpuu_buf_utf8_from_utf16(&a->bytes, p, size);
    cpuu_buf_u8(&a->bytes, 0);
}

static void decode_names(cpuu_reader *r, cpuu_rop_answer *a, bool *nomem)
{
    uint32_t n = cpuu_read_u16(r, "PropertyNameCount");
    if (n > cpuu_reader_left(r))
        cpuu_reader_fail(r, "PropertyNameCount", "is more than the input can hold");
    if (r->failed || !room(&a->names, &a->names_cap, n, sizeof(*a->names), nomem) ||
        !room(&a->name_at, &a->name_at_cap, n, sizeof(*a->name_at), nomem))
        return;
    for (uint32_t i = 0; i < n && !r->failed; i++)
        decode_name(r, a, i);
    for (uint32_t i = 0; i < n && !r->failed && !a->bytes.failed; i++)
        if (a->name_at[i] < UINT32_MAX - 1)
            a->names[i].string = (const char *)a->bytes.data + a->name_at[i];
    a->n_names = n;
    a->count = n;
}

static void decode_search_criteria(cpuu_reader *r, cpuu_rop_answer *a, bool *nomem)
{
    a->data_size = cpuu_read_u16(r, "RestrictionDataSize");
    a->data = cpuu_read_bytes(r, a->data_size, "RestrictionData");
    cpuu_read_u8(r, "LogonId");
    decode_ids(r, cpuu_read_u16(r, "FolderIdCount"), 8, a, nomem);
    a->search_flags = cpuu_read_u32(r, "SearchFlags");
}

/* What follows ReturnValue when it is not zero. [MS-OXCROPS] 2.2.9.2.2, 2.2.9.3.2 give ReadStream
 * and WriteStream a size of 0 and the deletes (2.2.4.3.2, 2.2.4.11.2) a PartialCompletion; a server
 * was seen that sends neither. 0 and 1 are no ids of a response, so what follows tells which. */
static void skip_failure_tail(cpuu_reader *r, uint8_t rop)
{
    uint32_t left = cpuu_reader_left(r);
    const uint8_t *next = r->data + r->pos;
    switch (rop) {
    case CPUU_ROP_READ_STREAM:
    case CPUU_ROP_WRITE_STREAM:
        if (left >= 2 && next[0] == 0 && next[1] == 0)
            cpuu_read_skip(r, 2, "size");
        break;
    case CPUU_ROP_WRITE_STREAM_EXTENDED:
        if (left >= 4 && cpuu_le32(next) == 0)
            cpuu_read_skip(r, 4, "WrittenSize");
        break;
    case CPUU_ROP_DELETE_FOLDER:
    case CPUU_ROP_DELETE_MESSAGES:
    case CPUU_ROP_HARD_DELETE_MESSAGES:
        if (left >= 1 && next[0] <= 1)
            cpuu_read_skip(r, 1, "PartialCompletion");
        break;
    default:
        break;
    }
}

/* The responses that are little more than a number. False when rop is none of them. */
static bool decode_small(cpuu_reader *r, cpuu_rop_answer *a)
{
    uint32_t ignored;
    switch (a->rop) {
    case CPUU_ROP_DELETE_FOLDER:
    case CPUU_ROP_DELETE_MESSAGES:
    case CPUU_ROP_HARD_DELETE_MESSAGES:
        a->flag = cpuu_read_u8(r, "PartialCompletion") != 0;
        return true;
    case CPUU_ROP_OPEN_FOLDER:
        a->flag = cpuu_read_u8(r, "HasRules") != 0;
        skip_ghost_servers(r);
        return true;
    case CPUU_ROP_GET_HIERARCHY_TABLE:
    case CPUU_ROP_GET_CONTENTS_TABLE:
        a->count = cpuu_read_u32(r, "RowCount");
        return true;
    case CPUU_ROP_CREATE_MESSAGE:
        a->flag = cpuu_read_u8(r, "HasMessageId") != 0;
        a->id = a->flag ? cpuu_read_u64(r, "MessageId") : 0;
        return true;
    case CPUU_ROP_SAVE_CHANGES_MESSAGE:
        cpuu_read_u8(r, "InputHandleIndex");
        a->id = cpuu_read_u64(r, "MessageId");
        return true;
    case CPUU_ROP_SET_COLUMNS:
    case CPUU_ROP_SORT_TABLE:
    case CPUU_ROP_RESTRICT:
        cpuu_read_u8(r, "TableStatus");
        return true;
    case CPUU_ROP_QUERY_POSITION:
        a->position = cpuu_read_u32(r, "Numerator");
        a->size = cpuu_read_u32(r, "Denominator");
        return true;
    case CPUU_ROP_SEEK_ROW:
        a->flag = cpuu_read_u8(r, "HasSoughtLess") != 0;
        a->position = cpuu_read_u32(r, "RowsSought");
        return true;
    case CPUU_ROP_OPEN_STREAM:
    case CPUU_ROP_GET_STREAM_SIZE:
        a->size = cpuu_read_u32(r, "StreamSize");
        return true;
    case CPUU_ROP_WRITE_STREAM:
        a->size = cpuu_read_u16(r, "WrittenSize");
        return true;
    case CPUU_ROP_WRITE_STREAM_EXTENDED:
        a->size = cpuu_read_u32(r, "WrittenSize");
        return true;
    case CPUU_ROP_SEEK_STREAM:
        a->size = cpuu_read_u64(r, "NewPosition");
        return true;
    case CPUU_ROP_READ_STREAM:
        a->data_size = cpuu_read_u16(r, "DataSize");
        a->data = cpuu_read_bytes(r, a->data_size, "Data");
        return true;
    case CPUU_ROP_GET_RECEIVE_FOLDER:
        a->id = cpuu_read_u64(r, "FolderId");
        cpuu_read_sz8(r, &ignored, "ExplicitMessageClass");
        return true;
    case CPUU_ROP_LONG_TERM_ID_FROM_ID: {
        const uint8_t *p = cpuu_read_bytes(r, 24, "LongTermId");
        if (p)
            memcpy(a->long_term_id, p, 24);
        return true;
    }
    case CPUU_ROP_ID_FROM_LONG_TERM_ID:
        a->id = cpuu_read_u64(r, "ObjectId");
        return true;
    case CPUU_ROP_CREATE_ATTACHMENT:
        a->count = cpuu_read_u32(r, "AttachmentID");
        return true;
    case CPUU_ROP_READ_RECIPIENTS:
        a->count = cpuu_read_u8(r, "RowCount");
        skip_recipients(r, (uint8_t)a->count, true);
        return true;
    case CPUU_ROP_SET_STREAM_SIZE:
    case CPUU_ROP_COMMIT_STREAM:
    case CPUU_ROP_SET_SEARCH_CRITERIA:
    case CPUU_ROP_GET_PERMISSIONS_TABLE:
    case CPUU_ROP_GET_RULES_TABLE:
    case CPUU_ROP_MODIFY_PERMISSIONS:
    case CPUU_ROP_MODIFY_RULES:
    case CPUU_ROP_MODIFY_RECIPIENTS:
    case CPUU_ROP_GET_ATTACHMENT_TABLE:
    case CPUU_ROP_OPEN_ATTACHMENT:
    case CPUU_ROP_SAVE_CHANGES_ATTACHMENT:
        return true;
    default:
        return false;
    }
}

/* The responses that have no ReturnValue. False when rop is none of them. */
static bool decode_special(cpuu_reader *r, cpuu_rop_answer *a)
{
    switch (a->rop) {
    case CPUU_ROP_BUFFER_TOO_SMALL: /* [MS-OXCROPS] 2.2.15.1: SizeNeeded, RequestBuffers */
        cpuu_read_u16(r, "SizeNeeded");
        a->data_size = cpuu_reader_left(r);
        a->data = cpuu_read_bytes(r, a->data_size, "RequestBuffers");
        return true;
    case CPUU_ROP_BACKOFF: { /* [MS-OXCROPS] 2.2.15.2 */
        cpuu_read_u8(r, "LogonId");
        a->duration = cpuu_read_u32(r, "Duration");
        cpuu_read_skip(r, cpuu_read_u8(r, "BackoffRopCount") * 5u, "BackoffRopData");
        cpuu_read_skip(r, cpuu_read_u16(r, "AdditionalDataSize"), "AdditionalData");
        return true;
    }
    case CPUU_ROP_NOTIFY:
    case CPUU_ROP_PENDING:
        cpuu_read_skip(r, cpuu_reader_left(r), "notification");
        return true;
    default:
        return false;
    }
}

static void decode_success(cpuu_reader *r, const uint32_t *columns, uint32_t n_columns,
                           cpuu_rop_answer *a, bool *nomem)
{
    switch (a->rop) {
    case CPUU_ROP_OPEN_MESSAGE:
        decode_open_message(r, a);
        break;
    case CPUU_ROP_CREATE_FOLDER:
        decode_create_folder(r, a);
        break;
    case CPUU_ROP_QUERY_ROWS:
        decode_rows(r, columns, n_columns, a, nomem);
        break;
    case CPUU_ROP_GET_PROPERTIES_SPECIFIC:
        decode_properties(r, columns, n_columns, a, nomem);
        break;
    case CPUU_ROP_GET_PROPERTIES_ALL:
        decode_all_properties(r, a, nomem);
        break;
    case CPUU_ROP_GET_PROPERTIES_LIST:
        decode_ids(r, cpuu_read_u16(r, "PropertyTagCount"), 4, a, nomem);
        break;
    case CPUU_ROP_SET_PROPERTIES:
    case CPUU_ROP_DELETE_PROPERTIES:
        decode_problems(r, a, nomem);
        break;
    case CPUU_ROP_GET_IDS_FROM_NAMES:
        decode_ids(r, cpuu_read_u16(r, "PropertyIdCount"), 2, a, nomem);
        break;
    case CPUU_ROP_GET_NAMES_FROM_IDS:
        decode_names(r, a, nomem);
        break;
    case CPUU_ROP_GET_SEARCH_CRITERIA:
        decode_search_criteria(r, a, nomem);
        break;
    default:
        cpuu_reader_fail(r, "RopId", "is not one this client sends");
        break;
    }
}

/* GetPropertiesSpecific and its kin answer some values with a warning (ErrorsReturned). */
static bool is_success(uint32_t code)
{
    return code == 0 || code == 0x00040380;
}

bool cpuu_rop_decode(cpuu_reader *r, const uint32_t *columns, uint32_t n_columns,
                     cpuu_rop_answer *a, bool *nomem)
{
    answer_reset(a);
    *nomem = false;
    a->rop = cpuu_read_u8(r, "RopId");
    if (r->failed || decode_special(r, a))
        return !r->failed;
    a->index = cpuu_read_u8(r, "HandleIndex");
    a->code = cpuu_read_u32(r, "ReturnValue");
    if (a->rop == CPUU_ROP_LOGON)
        decode_logon(r, a);
    else if (!is_success(a->code))
        skip_failure_tail(r, a->rop);
    else if (!decode_small(r, a))
        decode_success(r, columns, n_columns, a, nomem);
    if (a->bytes.failed)
        *nomem = true;
    return !r->failed && !*nomem;
}
