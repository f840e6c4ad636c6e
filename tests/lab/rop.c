/* Execute: extended buffers, handle table, dispatch ([MS-OXCRPC] 2.2.2, [MS-OXCROPS] 2.2.1, 3.2.5).
 */
#include "tests/lab/rop.h"

#include <string.h>

/* ---- objects of a context -------------------------------------------------------------------- */

static void free_object(lab_object *o)
{
    lab_content_free(&o->content);
    lab_props_free(&o->props);
    cpuu_free(o->table.rows);
    cpuu_free(o->table.columns);
    cpuu_free(o->table.restriction);
    cpuu_free(o->stream);
    cpuu_free(o);
}

static lab_object *find_handle(const lab_context *ctx, uint32_t handle)
{
    for (size_t i = 0; i < ctx->n_objects; i++)
        if (ctx->objects[i]->handle == handle)
            return ctx->objects[i];
    return NULL;
}

void rop_release(lab_context *ctx, uint32_t handle)
{
    lab_object *o = find_handle(ctx, handle);
    if (!o)
        return;
    if (o->kind == LAB_OBJ_STREAM) /* what was written is not lost, [MS-OXCPRPT] 3.2.5.x */
        rop_stream_store(o);
    for (size_t i = 0; i < ctx->n_objects;) {
        lab_object *c = ctx->objects[i];
        bool child = c->parent == o || c->table.message == o ||
                     (o->kind == LAB_OBJ_LOGON && c != o && c->logon_id == o->logon_id);
        if (child) {
            rop_release(ctx, c->handle);
            i = 0;
        } else {
            i++;
        }
    }
    for (size_t i = 0; i < ctx->n_objects; i++) {
        if (ctx->objects[i] != o)
            continue;
        ctx->objects[i] = ctx->objects[--ctx->n_objects];
        break;
    }
    free_object(o);
}

void lab_context_clear(lab_context *ctx)
{
    for (size_t i = 0; i < ctx->n_objects; i++)
        free_object(ctx->objects[i]);
    cpuu_free(ctx->objects);
    ctx->objects = NULL;
    ctx->n_objects = ctx->objects_cap = 0;
}

void rop_head(lab_rop *x, uint8_t index, uint32_t rc)
{
    cpuu_buf_u8(x->out, x->id);
    cpuu_buf_u8(x->out, index);
    cpuu_buf_u32(x->out, rc);
}

lab_object *rop_object(lab_rop *x, uint8_t index, unsigned kinds)
{
    uint32_t handle = index < x->n_handles ? x->handles[index] : LAB_NO_HANDLE;
    lab_object *o = handle == LAB_NO_HANDLE ? NULL : find_handle(x->ctx, handle);
    if (o && o->logon_id != x->logon_id)
        o = NULL;
    if (o && (kinds & KIND(o->kind)) && x->id != x->org->unsupported)
        return o;
    rop_head(x, index, o ? EC_NOT_SUPPORTED : EC_NULL_OBJECT);
    return NULL;
}

lab_object *rop_object_to(lab_rop *x, uint8_t index, unsigned kinds, uint8_t out)
{
    lab_object *o = rop_object(x, index, kinds);
    if (!o) {
        x->out->data[x->out->size - 5] = out; /* the index in the answer just written */
        x->handles[out] = LAB_NO_HANDLE;
    }
    return o;
}

void rop_check_index(lab_rop *x, uint8_t index)
{
    if (index >= x->n_handles)
        cpuu_reader_fail(&x->in, "OutputHandleIndex", "outside the handle table");
}

static size_t count_open(const lab_context *ctx, unsigned kinds)
{
    size_t n = 0;
    for (size_t i = 0; i < ctx->n_objects; i++)
        n += (kinds & KIND(ctx->objects[i]->kind)) != 0;
    return n;
}

static size_t count_acl_views(const lab_context *ctx)
{
    size_t n = 0;
    for (size_t i = 0; i < ctx->n_objects; i++)
        n += ctx->objects[i]->kind == LAB_OBJ_TABLE &&
             (ctx->objects[i]->table.rows_of == LAB_OBJ_RULE ||
              ctx->objects[i]->table.rows_of == LAB_OBJ_MEMBER);
    return n;
}

lab_object *rop_open(lab_rop *x, uint8_t index, lab_obj_kind kind, const lab_object *from)
{
    if (kind == LAB_OBJ_MESSAGE && count_open(x->ctx, KIND(kind)) >= x->org->max_messages)
        return NULL;
    if (kind == LAB_OBJ_TABLE && count_acl_views(x->ctx) >= 50)
        return NULL;
    lab_object *o = lab_calloc(1, sizeof(*o));
    o->kind = kind;
    o->handle = x->ctx->next_handle++;
    o->logon_id = x->logon_id;
    if (from) {
        o->store = from->store;
        o->folder = from->folder;
        o->message = from->message;
    }
    LAB_GROW(x->ctx->objects, x->ctx->objects_cap, x->ctx->n_objects);
    x->ctx->objects[x->ctx->n_objects++] = o;
    x->handles[index] = o->handle;
    return o;
}

lab_view rop_view(lab_rop *x, lab_object *o)
{
    lab_view v = {.kind = o->kind,
                  .store = o->store,
                  .folder = o->folder,
                  .user = x->user,
                  .arena = &x->arena};
    if (o->kind == LAB_OBJ_MESSAGE) {
        v.message = o->message;
        v.content = &o->content;
    }
    return v;
}

size_t rop_left(const lab_rop *x)
{
    return x->out->size < x->room ? x->room - x->out->size : 0;
}

/* ---- dispatch -------------------------------------------------------------------------------- */

static void rop_release_request(lab_rop *x)
{
    uint8_t index = cpuu_read_u8(&x->in, "InputHandleIndex");
    if (x->dry || x->in.failed || index >= x->n_handles)
        return;
    rop_release(x->ctx, x->handles[index]); /* the slot keeps the dead number (observed) */
}

typedef struct rop_row_of_table {
    uint8_t id;
    rop_fn run;
} rop_entry;

static const rop_entry rops[] = {
    {0x01, rop_release_request},
    {0x02, rop_open_folder},
    {0x03, rop_open_message},
    {0x04, rop_get_table},
    {0x05, rop_get_table},
    {0x06, rop_create_message},
    {0x07, rop_get_specific},
    {0x08, rop_get_all},
    {0x09, rop_get_list},
    {0x0A, rop_set_properties},
    {0x0B, rop_delete_properties},
    {0x0C, rop_save_message},
    {0x0D, rop_remove_recipients},
    {0x0E, rop_modify_recipients},
    {0x0F, rop_read_recipients},
    {0x12, rop_set_columns},
    {0x13, rop_sort},
    {0x14, rop_restrict},
    {0x15, rop_query_rows},
    {0x16, rop_table_status},
    {0x17, rop_query_position},
    {0x18, rop_seek_row},
    {0x1C, rop_create_folder},
    {0x1D, rop_delete_folder},
    {0x1E, rop_delete_messages},
    {0x21, rop_get_table},
    {0x22, rop_open_attachment},
    {0x23, rop_create_attachment},
    {0x24, rop_delete_attachment},
    {0x25, rop_save_attachment},
    {0x27, rop_receive_folder},
    {0x2B, rop_open_stream},
    {0x2C, rop_read_stream},
    {0x2D, rop_write_stream},
    {0x2E, rop_seek_stream},
    {0x2F, rop_set_stream_size},
    {0x30, rop_search_set},
    {0x31, rop_search_get},
    {0x3E, rop_get_table},
    {0x3F, rop_get_table},
    {0x40, rop_modify_permissions},
    {0x41, rop_modify_rules},
    {0x43, rop_long_term_id},
    {0x44, rop_id_from_long_term},
    {0x55, rop_names_from_ids},
    {0x56, rop_ids_from_names},
    {0x58, rop_empty_folder},
    {0x5D, rop_commit_stream},
    {0x5E, rop_stream_size},
    {0x79, rop_set_properties},
    {0x7A, rop_delete_properties},
    {0x81, rop_reset_table},
    {0x91, rop_delete_messages},
    {0xA3, rop_write_stream_extended},
    {0xFE, rop_logon},
};

static bool run_one(lab_rop *x)
{
    x->id = cpuu_read_u8(&x->in, "RopId");
    x->logon_id = cpuu_read_u8(&x->in, "LogonId");
    for (size_t i = 0; i < sizeof(rops) / sizeof(rops[0]) && !x->in.failed; i++) {
        if (rops[i].id != x->id || x->id == x->org->unknown)
            continue;
        rops[i].run(x);
        return !x->in.failed;
    }
    return cpuu_reader_fail(&x->in, "RopId", "unknown ROP");
}

/* RopBufferTooSmall ([MS-OXCROPS] 2.2.15.1): the part of the request that was not executed. False
 * when not even that fits: then the call fails. */
static bool buffer_too_small(lab_rop *x, size_t response_start, uint32_t request_start)
{
    x->out->size = response_start;
    uint32_t rest = x->in.size - request_start;
    if (x->org->independent || rop_left(x) < 3u + rest)
        return false;
    cpuu_buf_u8(x->out, 0xFF);
    cpuu_buf_u16(x->out, (uint16_t)LAB_PAYLOAD_MAX);
    cpuu_buf_add(x->out, x->in.data + request_start, rest);
    return true;
}

static uint32_t run_all(lab_rop *x)
{
    while (cpuu_reader_left(&x->in)) {
        uint32_t request_start = x->in.pos;
        size_t response_start = x->out->size;
        x->too_small = x->packed = false;
        if (x->org->stopping && x->in.data[request_start] == x->org->unknown) {
            cpuu_buf_u8(x->out, x->org->unknown);
            cpuu_buf_u8(x->out, x->in.size - request_start > 2 ? x->in.data[request_start + 2] : 0);
            cpuu_buf_u32(x->out, EC_NOT_SUPPORTED);
            return EC_SUCCESS;
        }
        /* A ROP starts only when a small answer is sure to fit, so that no write is lost. */
        if (rop_left(x) >= 64 || x->in.data[x->in.pos] == 0x01)
            run_one(x);
        else
            x->too_small = true;
        x->org->stats.rops++;
        cpuu_arena_free(&x->arena);
        if (x->too_small || x->out->size > x->room)
            return buffer_too_small(x, response_start, request_start) ? EC_SUCCESS
                                                                      : EC_BUFFER_TOO_SMALL;
    }
    return EC_SUCCESS;
}

/* ---- RopNotify for table rows ([MS-OXCNOTIF] 2.2.1.4.1): only row-added of hierarchy tables ----
 */

void rop_notify_child(lab_rop *x, lab_folder *child)
{
    for (size_t i = 0; i < x->ctx->n_objects; i++) {
        lab_object *t = x->ctx->objects[i];
        if (t->kind != LAB_OBJ_TABLE || t->table.rows_of != LAB_OBJ_FOLDER ||
            (t->table.flags & 0x10) || t->folder != child->parent || !t->table.n_columns ||
            x->n_notify >= 8)
            continue;
        x->notify[x->n_notify] = t->handle;
        x->notify_row[x->n_notify++] = child;
    }
}

static void notify(lab_rop *x)
{
    for (size_t i = 0; i < x->n_notify; i++) {
        lab_object *t = find_handle(x->ctx, x->notify[i]);
        lab_folder *f = x->notify_row[i];
        if (!t) /* released since */
            continue;
        lab_view v = {.kind = LAB_OBJ_FOLDER,
                      .store = f->store,
                      .folder = f,
                      .user = x->user,
                      .arena = &x->arena};
        cpuu_buf row;
        cpuu_buf_init(&row, 0x8000);
        rop_row(&row, &v, t->table.columns, t->table.n_columns, true, 0);
        if (rop_left(x) >= row.size + 32) {
            cpuu_buf_u8(x->out, 0x2A);
            cpuu_buf_u32(x->out, t->handle);
            cpuu_buf_u8(x->out, t->logon_id);
            cpuu_buf_u16(x->out, 0x0100);
            cpuu_buf_u16(x->out, 0x0003); /* TableRowAdded */
            cpuu_buf_u64(x->out, lab_id(f->store, f->counter));
            cpuu_buf_u64(x->out, 0); /* insert after: nothing */
            cpuu_buf_u16(x->out, (uint16_t)row.size);
            cpuu_buf_add(x->out, row.data, row.size);
        }
        cpuu_buf_free(&row);
        cpuu_arena_free(&x->arena);
    }
    x->n_notify = 0;
}

/* ---- extended buffers ------------------------------------------------------------------------ */

/* One RPC_HEADER_EXT payload, un-obfuscated into a copy. Compression is refused: a client that did
 * not ask for it does not use it. */
static uint8_t *take_payload(cpuu_reader *r, uint32_t *out_size, bool *last)
{
    uint16_t version = cpuu_read_u16(r, "Version");
    uint16_t flags = cpuu_read_u16(r, "Flags");
    uint16_t length = cpuu_read_u16(r, "Size");
    uint16_t actual = cpuu_read_u16(r, "SizeActual");
    const uint8_t *data = cpuu_read_bytes(r, length, "Payload");
    if (!data || version != 0 || (flags & 1) || length != actual || length < 2 ||
        length > LAB_PAYLOAD_MAX)
        return NULL;
    uint8_t *copy = lab_dup(data, length);
    for (uint32_t i = 0; (flags & 2) && i < length; i++)
        copy[i] ^= 0xA5;
    *out_size = length;
    *last = flags & 4;
    return copy;
}

/* A payload behind the first: one RopWriteStreamExtended and nothing else. Its data. */
static bool take_packed(lab_rop *x, const uint8_t *payload, uint32_t size)
{
    cpuu_reader r;
    uint16_t rop_size = cpuu_le16(payload);
    if (rop_size < 2 || rop_size > size || (size - rop_size) % 4)
        return false;
    cpuu_reader_init(&r, payload + 2, rop_size - 2u);
    uint8_t id = cpuu_read_u8(&r, "RopId");
    cpuu_read_u8(&r, "LogonId");
    uint32_t index = cpuu_read_u8(&r, "InputHandleIndex");
    uint16_t n = cpuu_read_u16(&r, "DataSize");
    const uint8_t *data = cpuu_read_bytes(&r, n, "Data");
    if (!data || id != 0xA3 || cpuu_reader_left(&r) || 4 * index + 4 > size - rop_size)
        return false;
    x->more_handle = cpuu_le32(payload + rop_size + 4 * index);
    return cpuu_buf_add(&x->more, data, n);
}

/* What is packed behind the first payload ([MS-OXCRPC] 3.1.4.2.1.1.1, 3.1.4.2.1.2.1). */
static bool take_more(lab_rop *x, cpuu_reader *r)
{
    bool last = false;
    while (!last) {
        uint32_t size = 0;
        uint8_t *payload = take_payload(r, &size, &last);
        bool ok = payload && take_packed(x, payload, size);
        cpuu_free(payload);
        if (!ok)
            return false;
    }
    x->n_more = (uint32_t)x->more.size;
    return true;
}

/* Splits a payload into ROPs and handles. */
static bool take_handles(lab_rop *x, const uint8_t *payload, uint32_t size)
{
    uint16_t rop_size = cpuu_le16(payload);
    if (rop_size < 2 || rop_size > size || (size - rop_size) % 4)
        return false;
    x->n_handles = (size - rop_size) / 4;
    if (x->n_handles > 255)
        return false;
    for (uint32_t i = 0; i < x->n_handles; i++)
        x->handles[i] = cpuu_le32(payload + rop_size + 4 * i);
    cpuu_reader_init(&x->in, payload + 2, rop_size - 2u);
    return true;
}

static void put_payload(lab_rop *x, const cpuu_buf *rops_out, bool last, cpuu_buf *out)
{
    uint16_t size = (uint16_t)(2 + rops_out->size + 4 * x->n_handles);
    cpuu_buf_u16(out, 0);
    cpuu_buf_u16(out, (uint16_t)((last ? 4 : 0) | (x->org->odd ? 2 : 0)));
    cpuu_buf_u16(out, size);
    cpuu_buf_u16(out, size);
    size_t start = out->size;
    cpuu_buf_u16(out, (uint16_t)(2 + rops_out->size));
    cpuu_buf_add(out, rops_out->data, rops_out->size);
    for (uint32_t i = 0; i < x->n_handles; i++)
        cpuu_buf_u32(out, x->handles[i]);
    for (size_t i = start; x->org->odd && i < out->size; i++)
        out->data[i] ^= 0xA5;
}

/* Repeats the last ROP into further payloads while the client's buffer has room ([MS-OXCRPC]
 * 3.1.4.2.1.2.x). start: where the last ROP's request begins. */
static void chain(lab_rop *x, uint32_t start, uint32_t max_out, cpuu_buf *rops_out, cpuu_buf *out)
{
    for (int n = 1; n < 96; n++) {
        bool more = x->packed && out->size + 2 * (LAB_PAYLOAD_MAX + 8) <= max_out;
        put_payload(x, rops_out, !more, out);
        if (!more)
            return;
        rops_out->size = 0;
        x->in.pos = start;
        x->packed = false;
        run_one(x);
        cpuu_arena_free(&x->arena);
    }
    put_payload(x, rops_out, true, out);
}

static uint32_t execute_payload(lab_rop *x, uint32_t flags, uint32_t max_out, cpuu_buf *out)
{
    cpuu_buf rops_out;
    cpuu_reader start = x->in;
    uint32_t last = 0;
    x->dry = true;
    while (cpuu_reader_left(&x->in)) {
        last = x->in.pos;
        if (x->org->stopping && x->in.data[last] == x->org->unknown)
            break;
        if (!run_one(x))
            return EC_RPC_FORMAT;
    }
    if (x->n_more && x->id != 0xA3) /* the last one */
        return EC_RPC_FORMAT;
    cpuu_buf_init(&rops_out, 1u << 20);
    x->in = start;
    x->dry = false;
    x->out = &rops_out;
    size_t payload = max_out - 8 < LAB_PAYLOAD_MAX ? max_out - 8 : LAB_PAYLOAD_MAX;
    x->room = payload > 2 + 4 * x->n_handles ? payload - 2 - 4 * x->n_handles : 0;
    uint32_t rc = run_all(x);
    if (rc == EC_SUCCESS) {
        notify(x);
        if (!(flags & 4))
            x->packed = false;
        chain(x, last, max_out, &rops_out, out);
    }
    cpuu_buf_free(&rops_out);
    return rc;
}

uint32_t lab_execute(lab_context *ctx, uint32_t flags, const uint8_t *in, uint32_t in_size,
                     uint32_t max_out, cpuu_buf *out)
{
    lab_rop x = {.ctx = ctx, .org = ctx->org, .user = ctx->user};
    cpuu_reader r;
    uint32_t size = 0;
    bool last = false;
    if (max_out < 8)
        return EC_NETWORK;
    if (in_size > 0x40000)
        return EC_BAD_STUB_DATA; /* [MS-OXCRPC] R1373 */
    cpuu_reader_init(&r, in, in_size);
    cpuu_buf_init(&x.more, 0x40000);
    uint8_t *payload = take_payload(&r, &size, &last);
    bool good = payload && (last || (!ctx->org->independent && take_more(&x, &r))) &&
                !cpuu_reader_left(&r) && take_handles(&x, payload, size);
    uint32_t rc = good ? execute_payload(&x, flags, max_out, out) : EC_RPC_FORMAT;
    cpuu_arena_free(&x.arena);
    cpuu_buf_free(&x.more);
    cpuu_free(payload);
    return rc;
}
