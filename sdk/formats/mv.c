/* Multi-valued properties of profile sections; see cpuu/formats/mv.h for layout and promises. */
#include <cpuu/formats/mv.h>

#include <string.h>

static bool known(uint32_t type)
{
    return type == CPUU_MV_LONG || type == CPUU_MV_STRING8 || type == CPUU_MV_UNICODE ||
           type == CPUU_MV_BINARY;
}

/* Bytes of one descriptor: {length, offset} for a binary, {offset} for a text. */
static unsigned record_size(uint32_t type, unsigned width)
{
    return type == CPUU_MV_BINARY ? 2 * width : width;
}

static bool give_error(const cpuu_reader *r, cpuu_fmt_error *error)
{
    if (r->failed && error)
        *error = r->error;
    return !r->failed;
}

unsigned cpuu_mv_width(uint32_t type, const void *data, size_t size)
{
    const uint8_t *p = data;
    if (!known(type) || type == CPUU_MV_LONG || size < 8)
        return 0;
    uint64_t n = cpuu_le32(p);
    if (n == 0)
        return 0;
    bool binary = type == CPUU_MV_BINARY;
    size_t at = binary ? 8 : 4; /* first offset field, 32-bit; of a 64-bit binary: 0, the upper
                                   half of its length */
    if (size >= at + 4 && cpuu_le32(p + at) == 4 + n * record_size(type, 4))
        return 4;
    at = binary ? 12 : 4;
    if (size >= at + 8 && cpuu_le64(p + at) == 4 + n * record_size(type, 8))
        return 8;
    return 0;
}

/* ---- decode ---------------------------------------------------------------------------------- */

static uint32_t read_field(cpuu_reader *r, unsigned width, const char *field)
{
    uint64_t v = width == 8 ? cpuu_read_u64(r, field) : cpuu_read_u32(r, field);
    if (v > UINT32_MAX)
        cpuu_reader_fail(r, field, "is larger than the value");
    return (uint32_t)v;
}

static void add_element(cpuu_buf *list, const uint8_t *data, uint32_t size)
{
    cpuu_buf_u32(list, size);
    cpuu_buf_add(list, data, size);
}

static void decode_long(cpuu_reader *r, cpuu_buf *list)
{
    if (r->size % 4)
        cpuu_reader_fail(r, "PtypMultipleInteger32", "is not a whole number of integers");
    cpuu_buf_u32(list, r->size / 4);
    while (cpuu_reader_left(r) && !list->failed)
        add_element(list, cpuu_read_bytes(r, 4, "integer"), 4);
}

static void decode_binary(cpuu_reader *r, uint32_t length, cpuu_buf *list)
{
    const uint8_t *p = cpuu_read_bytes(r, length, "element");
    if (p)
        add_element(list, p, length);
    while (!r->failed && r->pos % 4)
        if (cpuu_read_u8(r, "padding"))
            cpuu_reader_fail(r, "padding", "is not zero");
}

static void decode_text(cpuu_reader *r, uint32_t type, cpuu_buf *list)
{
    uint32_t size;
    const uint8_t *p = type == CPUU_MV_UNICODE ? cpuu_read_sz16(r, &size, "element")
                                               : cpuu_read_sz8(r, &size, "element");
    if (p)
        add_element(list, p, size);
}

/* The descriptors in `index` must name the elements of `r` in order and without a gap. */
static void decode_elements(cpuu_reader *r, uint32_t type, unsigned width, uint32_t n,
                            cpuu_reader *index, cpuu_buf *list)
{
    for (uint32_t i = 0; i < n && !r->failed && !list->failed; i++) {
        uint32_t length = type == CPUU_MV_BINARY ? read_field(index, width, "length") : 0;
        uint32_t offset = read_field(index, width, "offset");
        if (!index->failed && offset != r->pos)
            cpuu_reader_fail(index, "offset", "does not follow the element before it");
        if (!cpuu_reader_join(r, index))
            return;
        if (type == CPUU_MV_BINARY)
            decode_binary(r, length, list);
        else
            decode_text(r, type, list);
    }
}

bool cpuu_mv_decode(uint32_t type, const void *data, size_t size, cpuu_buf *list, unsigned *width,
                    cpuu_fmt_error *error)
{
    cpuu_reader r;
    cpuu_reader_init(&r, data, size);
    unsigned w = cpuu_mv_width(type, data, size);
    if (!known(type)) {
        cpuu_reader_fail(&r, "property type", "has no known stored layout");
    } else if (type == CPUU_MV_LONG) {
        decode_long(&r, list);
    } else {
        uint32_t n = cpuu_read_u32(&r, "count");
        unsigned record = record_size(type, w);
        if (n && !w)
            cpuu_reader_fail(&r, "first offset", "fits neither 32-bit nor 64-bit Outlook");
        else if (n && n > cpuu_reader_left(&r) / record)
            cpuu_reader_fail(&r, "count", "is larger than the value");
        cpuu_buf_u32(list, n);
        cpuu_reader index = cpuu_reader_sub(&r, r.failed ? 0 : n * record, "index");
        decode_elements(&r, type, w, n, &index, list);
        if (cpuu_reader_left(&r))
            cpuu_reader_fail(&r, "value", "has bytes after the last element");
    }
    if (width)
        *width = w;
    return give_error(&r, error) && !list->failed;
}

/* ---- encode ---------------------------------------------------------------------------------- */

static bool has_nul(uint32_t type, const uint8_t *p, uint32_t size)
{
    if (type == CPUU_MV_STRING8)
        return size && memchr(p, 0, size);
    for (uint32_t i = 0; i + 1 < size; i += 2)
        if (p[i] == 0 && p[i + 1] == 0)
            return true;
    return false;
}

static const uint8_t *read_element(cpuu_reader *r, uint32_t type, uint32_t *size)
{
    *size = cpuu_read_u32(r, "element size");
    const uint8_t *p = cpuu_read_bytes(r, *size, "element");
    if (!p)
        return NULL;
    if (type == CPUU_MV_LONG && *size != 4)
        cpuu_reader_fail(r, "element", "is not a 32-bit integer");
    if (type == CPUU_MV_UNICODE && *size % 2)
        cpuu_reader_fail(r, "element", "has an odd number of bytes");
    if ((type == CPUU_MV_UNICODE || type == CPUU_MV_STRING8) && has_nul(type, p, *size))
        cpuu_reader_fail(r, "element", "contains a NUL");
    return r->failed ? NULL : p;
}

static void put_field(cpuu_buf *out, size_t at, unsigned width, size_t v)
{
    cpuu_buf_put_u32(out, at, (uint32_t)v);
    if (width == 8)
        cpuu_buf_put_u32(out, at + 4, 0);
}

/* Appends one element and, unless the type has none, fills in its descriptor at `index`. */
static void write_element(cpuu_buf *out, size_t start, size_t index, uint32_t type, unsigned width,
                          const uint8_t *p, uint32_t size)
{
    size_t offset = out->size - start;
    if (offset > UINT32_MAX - size)
        out->failed = true;
    if (type == CPUU_MV_BINARY) {
        put_field(out, index, width, size);
        put_field(out, index + width, width, offset);
    } else if (type != CPUU_MV_LONG) {
        put_field(out, index, width, offset);
    }
    cpuu_buf_add(out, p, size);
    if (type == CPUU_MV_BINARY)
        cpuu_buf_fill(out, 0, (4 - size % 4) % 4);
    else if (type != CPUU_MV_LONG)
        cpuu_buf_fill(out, 0, type == CPUU_MV_UNICODE ? 2 : 1);
}

bool cpuu_mv_encode(uint32_t type, unsigned width, const void *list, size_t size, cpuu_buf *out,
                    cpuu_fmt_error *error)
{
    cpuu_reader r;
    cpuu_reader_init(&r, list, size);
    size_t start = out->size;
    if (!known(type))
        cpuu_reader_fail(&r, "property type", "has no known stored layout");
    if (type != CPUU_MV_LONG && width != 4 && width != 8)
        cpuu_reader_fail(&r, "descriptor width", "is neither 4 nor 8");
    uint32_t n = cpuu_read_u32(&r, "count");
    if (n > cpuu_reader_left(&r) / 4)
        cpuu_reader_fail(&r, "count", "is larger than the list");
    unsigned record = type == CPUU_MV_LONG ? 0 : record_size(type, width);
    if (!r.failed && type != CPUU_MV_LONG) {
        cpuu_buf_u32(out, n);
        cpuu_buf_fill(out, 0, (size_t)n * record);
    }
    for (uint32_t i = 0; i < n && !r.failed && !out->failed; i++) {
        uint32_t len;
        const uint8_t *p = read_element(&r, type, &len);
        if (p)
            write_element(out, start, start + 4 + (size_t)i * record, type, width, p, len);
    }
    if (cpuu_reader_left(&r))
        cpuu_reader_fail(&r, "list", "has bytes after the last element");
    return give_error(&r, error) && !out->failed;
}
