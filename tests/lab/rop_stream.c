/* Streams over one property ([MS-OXCPRPT] 2.2.14-2.2.22). */
#include "tests/lab/rop.h"

#include <string.h>

#define STREAM_MAX (64u << 20)

static lab_props *stream_bag(lab_object *parent)
{
    switch (parent->kind) {
    case LAB_OBJ_FOLDER:
        return &parent->folder->props;
    case LAB_OBJ_MESSAGE:
        return &parent->content.props;
    default:
        return &parent->props;
    }
}

static bool may_write(lab_rop *x, const lab_object *o)
{
    return o->kind == LAB_OBJ_FOLDER ? (lab_rights(o->folder, x->user) & 0x100) != 0 : o->writable;
}

void rop_stream_store(lab_object *s)
{
    if (!s->writable || !s->dirty)
        return;
    lab_props_set(stream_bag(s->parent), s->stream_tag, s->stream, s->stream_size);
    s->dirty = false;
    s->parent->dirty = true;
    if (s->parent->kind == LAB_OBJ_FOLDER)
        lab_folder_touch(s->parent->folder);
}

static void open_stream(lab_rop *x, uint8_t index, lab_object *o, uint32_t tag, uint8_t mode)
{
    lab_view v = rop_view(x, o);
    lab_attachment a = {o->attachment, o->props};
    lab_val have = {tag, NULL, 0};
    v.attachment = &a;
    uint32_t rc = EC_SUCCESS;
    bool found = lab_get(&v, tag, &have);
    if (TAG_TYPE(tag) != PT_BINARY && TAG_TYPE(tag) != PT_UNICODE && TAG_TYPE(tag) != PT_STRING8)
        rc = EC_NOT_SUPPORTED;
    else if (mode == 0 || mode == 1)
        rc = found ? EC_SUCCESS : EC_NOT_FOUND;
    if (rc == EC_SUCCESS && mode && (!may_write(x, o) || lab_read_only(&v, tag)))
        rc = EC_ACCESS_DENIED;
    x->handles[index] = LAB_NO_HANDLE;
    rop_head(x, index, rc);
    if (rc != EC_SUCCESS)
        return;
    lab_object *s = rop_open(x, index, LAB_OBJ_STREAM, o);
    s->parent = o;
    s->stream_tag = tag;
    s->writable = mode != 0;
    s->dirty = mode == 2;
    if (mode != 2 && found) {
        s->stream = lab_dup(have.data, have.size);
        s->stream_size = have.size;
    }
    cpuu_buf_u32(x->out, (uint32_t)s->stream_size);
}

void rop_open_stream(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint8_t index = cpuu_read_u8(&x->in, "OutputHandleIndex");
    uint32_t tag = cpuu_read_u32(&x->in, "PropertyTag");
    uint8_t mode = cpuu_read_u8(&x->in, "OpenModeFlags");
    rop_check_index(x, index);
    if (x->dry || x->in.failed)
        return;
    lab_object *o = rop_object_to(
        x, in, KIND(LAB_OBJ_FOLDER) | KIND(LAB_OBJ_MESSAGE) | KIND(LAB_OBJ_ATTACHMENT), index);
    if (o)
        open_stream(x, index, o, tag, mode);
}

void rop_read_stream(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint32_t count = cpuu_read_u16(&x->in, "ByteCount");
    if (count == 0xBABE)
        count = cpuu_read_u32(&x->in, "MaximumByteCount");
    if (x->dry || x->in.failed)
        return;
    lab_object *s = rop_object(x, in, KIND(LAB_OBJ_STREAM));
    if (!s) {
        if (!x->org->independent)
            cpuu_buf_u16(x->out, 0); /* DataSize, [MS-OXCROPS] 2.2.9.2.2 */
        return;
    }
    size_t n = s->stream_pos < s->stream_size ? s->stream_size - s->stream_pos : 0;
    size_t room = rop_left(x) > 8 ? rop_left(x) - 8 : 0;
    if (n > count)
        n = count;
    if (n > 1500 && x->org->odd)
        n = 1500;
    if (n > room) {
        n = room;
        if (room < 1024 || x->org->whole_reads) { /* better a fresh buffer than crumbs */
            x->too_small = true;
            return;
        }
    }
    rop_head(x, in, EC_SUCCESS);
    cpuu_buf_u16(x->out, (uint16_t)n);
    cpuu_buf_add(x->out, s->stream + s->stream_pos, n);
    s->stream_pos += n;
    x->packed = s->stream_pos < s->stream_size;
}

static bool resize(lab_object *s, size_t size)
{
    if (size > STREAM_MAX)
        return false;
    if (size > s->stream_size) {
        uint8_t *p = lab_calloc(1, size);
        if (s->stream_size)
            memcpy(p, s->stream, s->stream_size);
        cpuu_free(s->stream);
        s->stream = p;
    }
    s->stream_size = size;
    s->dirty = true;
    return true;
}

static uint32_t write_bytes(lab_object *s, const uint8_t *data, uint32_t n)
{
    if (!s->writable)
        return EC_ACCESS_DENIED;
    if (s->stream_pos + n > s->stream_size && !resize(s, s->stream_pos + n))
        return EC_TOO_BIG;
    if (n)
        memcpy(s->stream + s->stream_pos, data, n);
    s->stream_pos += n;
    s->dirty = true;
    return EC_SUCCESS;
}

void rop_write_stream(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint16_t n = cpuu_read_u16(&x->in, "DataSize");
    const uint8_t *data = cpuu_read_bytes(&x->in, n, "Data");
    if (x->dry || x->in.failed)
        return;
    lab_object *s = rop_object(x, in, KIND(LAB_OBJ_STREAM));
    if (!s) {
        if (!x->org->independent)
            cpuu_buf_u16(x->out, 0);
        return;
    }
    uint32_t rc = write_bytes(s, data, n);
    rop_head(x, in, rc);
    cpuu_buf_u16(x->out, rc == EC_SUCCESS ? n : 0);
}

/* With what is packed behind the request: one write, one answer ([MS-OXCRPC] R1649009-1649011). */
void rop_write_stream_extended(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint16_t n = cpuu_read_u16(&x->in, "DataSize");
    const uint8_t *data = cpuu_read_bytes(&x->in, n, "Data");
    const uint32_t more = cpuu_reader_left(&x->in) ? 0 : x->n_more;
    if (x->dry || x->in.failed)
        return;
    lab_object *s = rop_object(x, in, KIND(LAB_OBJ_STREAM));
    if (!s) {
        cpuu_buf_u32(x->out, 0);
        return;
    }
    uint32_t rc = more && x->more_handle != s->handle ? EC_INVALID_PARAM : write_bytes(s, data, n);
    if (rc == EC_SUCCESS && more)
        rc = write_bytes(s, x->more.data, more);
    rop_head(x, in, rc);
    cpuu_buf_u32(x->out, rc == EC_SUCCESS ? n + more : 0);
}

void rop_seek_stream(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint8_t origin = cpuu_read_u8(&x->in, "Origin");
    int64_t offset = (int64_t)cpuu_read_u64(&x->in, "Offset");
    if (x->dry || x->in.failed)
        return;
    lab_object *s = rop_object(x, in, KIND(LAB_OBJ_STREAM));
    if (!s)
        return;
    int64_t base = origin == 0 ? 0 : (int64_t)(origin == 1 ? s->stream_pos : s->stream_size);
    if (origin > 2 || offset > (int64_t)STREAM_MAX || offset < -(int64_t)STREAM_MAX ||
        base + offset < 0) {
        rop_head(x, in, EC_INVALID_PARAM);
        return;
    }
    s->stream_pos = (size_t)(base + offset);
    rop_head(x, in, EC_SUCCESS);
    cpuu_buf_u64(x->out, s->stream_pos);
}

void rop_set_stream_size(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint64_t size = cpuu_read_u64(&x->in, "StreamSize");
    if (x->dry || x->in.failed)
        return;
    lab_object *s = rop_object(x, in, KIND(LAB_OBJ_STREAM));
    if (!s)
        return;
    uint32_t rc = !s->writable ? EC_ACCESS_DENIED : size > STREAM_MAX ? EC_TOO_BIG : EC_SUCCESS;
    if (rc == EC_SUCCESS)
        resize(s, (size_t)size);
    rop_head(x, in, rc);
}

void rop_commit_stream(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    if (x->dry || x->in.failed)
        return;
    lab_object *s = rop_object(x, in, KIND(LAB_OBJ_STREAM));
    if (!s)
        return;
    rop_stream_store(s);
    rop_head(x, in, s->writable ? EC_SUCCESS : EC_ACCESS_DENIED);
}

void rop_stream_size(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    if (x->dry || x->in.failed)
        return;
    lab_object *s = rop_object(x, in, KIND(LAB_OBJ_STREAM));
    if (!s)
        return;
    rop_head(x, in, EC_SUCCESS);
    cpuu_buf_u32(x->out, (uint32_t)s->stream_size);
}
