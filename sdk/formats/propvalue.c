/* Property values between wire and cpuu_value; see cpuu/formats/propvalue.h for the promises. */
#include <cpuu/formats/propvalue.h>

#include <string.h>

#define MAX_DEPTH 32u /* nesting of restrictions; Outlook's own stay below ten */

static bool is_multiple(uint32_t type)
{
    return (type & CPUU_PT_MULTIPLE) != 0;
}

uint32_t cpuu_prop_fixed_size(uint32_t type)
{
    switch (type & ~CPUU_PT_MULTIPLE) {
    case CPUU_PT_BOOL:
        return is_multiple(type) ? 0 : 1;
    case CPUU_PT_INT16:
        return 2;
    case CPUU_PT_INT32:
    case CPUU_PT_FLOAT32:
        return 4;
    case CPUU_PT_ERROR:
        return is_multiple(type) ? 0 : 4;
    case CPUU_PT_FLOAT64:
    case CPUU_PT_CURRENCY:
    case CPUU_PT_FLOATINGTIME:
    case CPUU_PT_INT64:
    case CPUU_PT_TIME:
        return 8;
    case CPUU_PT_GUID:
        return 16;
    default:
        return 0;
    }
}

bool cpuu_prop_known_type(uint32_t type)
{
    if (cpuu_prop_fixed_size(type))
        return true;
    switch (type) {
    case CPUU_PT_STRING8:
    case CPUU_PT_STRING:
    case CPUU_PT_BINARY:
    case CPUU_PT_SERVERID:
    case CPUU_PT_RESTRICTION:
    case CPUU_PT_RULEACTION:
    case CPUU_PT_MULTIPLE | CPUU_PT_STRING8:
    case CPUU_PT_MULTIPLE | CPUU_PT_STRING:
    case CPUU_PT_MULTIPLE | CPUU_PT_BINARY:
        return true;
    default:
        return false;
    }
}

/* ---- Windows-1252 ---------------------------------------------------------------------------- */

/* 0x80..0x9f; the five unassigned ones map to the control of the same number, as Windows does. */
static const uint16_t cp1252_high[32] = {
    0x20ac, 0x0081, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
    0x2039, 0x0152, 0x008d, 0x017d, 0x008f, 0x0090, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
    0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x009d, 0x017e, 0x0178};

static void utf8_from_cp1252(cpuu_buf *out, const uint8_t *p, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint16_t u = p[i] >= 0x80 && p[i] < 0xa0 ? cp1252_high[p[i] - 0x80] : p[i];
        uint8_t le[2] = {(uint8_t)u, (uint8_t)(u >> 8)};
        cpuu_buf_utf8_from_utf16(out, le, 2);
    }
}

/* One UTF-16 unit as a byte of the code page, or -1. */
static int cp1252_from_unit(uint16_t u)
{
    if (u < 0x80 || (u >= 0xa0 && u < 0x100))
        return u;
    for (int i = 0; i < 32; i++)
        if (cp1252_high[i] == u)
            return 0x80 + i;
    return -1;
}

static void cp1252_from_utf8(cpuu_buf *out, const char *text, uint32_t n)
{
    cpuu_buf wide;
    cpuu_buf_init(&wide, (size_t)n * 2 + 2);
    cpuu_buf_utf16_n(&wide, text, n, false);
    out->failed = out->failed || wide.failed;
    for (size_t i = 0; i + 1 < wide.size && !out->failed; i += 2) {
        int byte = cp1252_from_unit(cpuu_le16(wide.data + i));
        if (byte < 0)
            out->failed = true;
        else
            cpuu_buf_u8(out, (uint8_t)byte);
    }
    cpuu_buf_free(&wide);
}

/* ---- structures that end where they end ------------------------------------------------------ */

static uint32_t read_count(cpuu_reader *r, cpuu_wire wire, const char *field)
{
    return wire == CPUU_WIRE_ROP ? cpuu_read_u16(r, field) : cpuu_read_u32(r, field);
}

static bool skip_restriction(cpuu_reader *r, cpuu_wire wire, unsigned depth);

/* Moves past one value; used inside restrictions, whose values are carried as they are. */
static void skip_value(cpuu_reader *r, cpuu_wire wire, uint32_t type, unsigned depth)
{
    uint32_t fixed = cpuu_prop_fixed_size(type);
    uint32_t ignored;

    if (is_multiple(type)) {
        uint32_t n = cpuu_read_u32(r, "COUNT");
        for (uint32_t i = 0; i < n && !r->failed; i++)
            skip_value(r, wire, type & ~CPUU_PT_MULTIPLE, depth);
    } else if (fixed) {
        cpuu_read_skip(r, fixed, "PropertyValue");
    } else if (type == CPUU_PT_STRING) {
        cpuu_read_sz16(r, &ignored, "PropertyValue");
    } else if (type == CPUU_PT_STRING8) {
        cpuu_read_sz8(r, &ignored, "PropertyValue");
    } else if (type == CPUU_PT_BINARY || type == CPUU_PT_SERVERID) {
        cpuu_read_skip(r, read_count(r, wire, "COUNT"), "PropertyValue");
    } else if (type == CPUU_PT_RESTRICTION) {
        skip_restriction(r, wire, depth + 1);
    } else if (type == CPUU_PT_RULEACTION) {
        cpuu_prop_skip_actions(r, wire);
    } else {
        cpuu_reader_fail(r, "PropertyType", "has no value this codec knows");
    }
}

static void skip_tagged(cpuu_reader *r, cpuu_wire wire, unsigned depth)
{
    uint32_t tag = cpuu_read_u32(r, "PropertyTag");
    skip_value(r, wire, CPUU_TAG_TYPE(tag), depth);
}

/* RestrictType values and layouts: [MS-OXCDATA] 2.12.1 to 2.12.12 */
static bool skip_restriction(cpuu_reader *r, cpuu_wire wire, unsigned depth)
{
    if (depth > MAX_DEPTH)
        return cpuu_reader_fail(r, "Restriction", "is nested too deeply");
    uint8_t type = cpuu_read_u8(r, "RestrictType");
    switch (type) {
    case 0x00:   /* And */
    case 0x01: { /* Or */
        uint32_t n = read_count(r, wire, "RestrictCount");
        for (uint32_t i = 0; i < n && !r->failed; i++)
            skip_restriction(r, wire, depth + 1);
        break;
    }
    case 0x02:
        skip_restriction(r, wire, depth + 1);
        break; /* Not */
    case 0x03: /* Content: FuzzyLevelLow, FuzzyLevelHigh, PropertyTag */
        cpuu_read_skip(r, 8, "ContentRestriction");
        skip_tagged(r, wire, depth);
        break;
    case 0x04: /* Property: RelOp, PropTag */
        cpuu_read_skip(r, 5, "PropertyRestriction");
        skip_tagged(r, wire, depth);
        break;
    case 0x05: /* CompareProperties: RelOp, two tags */
    case 0x06: /* Bitmask: BitmapRelOp, tag, mask */
    case 0x07: /* Size: RelOp, tag, size */
        cpuu_read_skip(r, 9, "Restriction");
        break;
    case 0x08:
        cpuu_read_skip(r, 4, "ExistRestriction");
        break;
    case 0x09: /* SubObject */
    case 0x0b: /* Count */
        cpuu_read_skip(r, 4, "Restriction");
        skip_restriction(r, wire, depth + 1);
        break;
    case 0x0a: { /* Comment */
        uint8_t n = cpuu_read_u8(r, "TaggedValuesCount");
        for (uint8_t i = 0; i < n && !r->failed; i++)
            skip_tagged(r, wire, depth);
        if (cpuu_read_u8(r, "RestrictionPresent"))
            skip_restriction(r, wire, depth + 1);
        break;
    }
    case 0xff:
        break; /* "no restriction": not in the specification, observed */
    default:
        cpuu_reader_fail(r, "RestrictType", "is not one of the known ones");
        break;
    }
    return !r->failed;
}

bool cpuu_prop_skip_restriction(cpuu_reader *r, cpuu_wire wire)
{
    return skip_restriction(r, wire, 0);
}

bool cpuu_prop_skip_actions(cpuu_reader *r, cpuu_wire wire)
{
    uint32_t n = read_count(r, wire, "NoOfActions");
    for (uint32_t i = 0; i < n && !r->failed; i++)
        cpuu_read_skip(r, read_count(r, wire, "ActionLength"), "ActionBlock");
    return !r->failed;
}

/* ---- decoding -------------------------------------------------------------------------------- */

static bool takes_has_value(uint32_t type)
{
    return is_multiple(type) || type == CPUU_PT_STRING || type == CPUU_PT_STRING8 ||
           type == CPUU_PT_BINARY;
}

static void decode_multiple(cpuu_reader *r, cpuu_wire wire, uint32_t type, cpuu_buf *bytes);

/* The bytes of one value after any HasValue byte. */
static void decode_plain(cpuu_reader *r, cpuu_wire wire, uint32_t type, cpuu_buf *bytes)
{
    uint32_t size = cpuu_prop_fixed_size(type);
    const uint8_t *p = NULL;

    if (is_multiple(type)) {
        decode_multiple(r, wire, type, bytes);
        return;
    }
    if (size) {
        p = cpuu_read_bytes(r, size, "PropertyValue");
    } else if (type == CPUU_PT_STRING) {
        p = cpuu_read_sz16(r, &size, "PropertyValue");
        if (p)
            cpuu_buf_utf8_from_utf16(bytes, p, size);
        return;
    } else if (type == CPUU_PT_STRING8) {
        p = cpuu_read_sz8(r, &size, "PropertyValue");
        if (p)
            utf8_from_cp1252(bytes, p, size);
        return;
    } else if (type == CPUU_PT_BINARY || type == CPUU_PT_SERVERID) {
        size = read_count(r, wire, "COUNT");
        p = cpuu_read_bytes(r, size, "PropertyValue");
    } else {
        uint32_t start = r->pos;
        skip_value(r, wire, type, 0);
        p = r->failed ? NULL : r->data + start;
        size = r->pos - start;
    }
    if (p)
        cpuu_buf_add(bytes, p, size);
}

static void decode_multiple(cpuu_reader *r, cpuu_wire wire, uint32_t type, cpuu_buf *bytes)
{
    uint32_t element = type & ~CPUU_PT_MULTIPLE;
    uint32_t n = cpuu_read_u32(r, "COUNT");

    if (!cpuu_prop_known_type(type) || n > cpuu_reader_left(r)) {
        cpuu_reader_fail(r, "COUNT", "is more than the input can hold");
        return;
    }
    cpuu_buf_u32(bytes, n);
    for (uint32_t i = 0; i < n && !r->failed && !bytes->failed; i++) {
        size_t at = bytes->size;
        cpuu_buf_u32(bytes, 0);
        if (wire != CPUU_WIRE_BOOK || !takes_has_value(element) || cpuu_read_u8(r, "HasValue"))
            decode_plain(r, wire, element, bytes);
        if (!bytes->failed)
            cpuu_buf_put_u32(bytes, at, (uint32_t)(bytes->size - at - 4));
    }
}

static bool finish_cell(cpuu_reader *r, cpuu_buf *bytes, uint32_t tag, uint32_t at, cpuu_cell *cell)
{
    if (bytes->failed)
        cpuu_reader_fail(r, "PropertyValue", "does not fit into the memory allowed for it");
    if (r->failed)
        return false;
    cell->tag = tag;
    cell->offset = at;
    cell->size = (uint32_t)bytes->size - at;
    return true;
}

static bool error_cell(cpuu_reader *r, cpuu_buf *bytes, uint32_t tag, uint32_t code,
                       cpuu_cell *cell)
{
    uint32_t at = (uint32_t)bytes->size;
    cpuu_buf_u32(bytes, code);
    return finish_cell(r, bytes, CPUU_TAG(CPUU_TAG_ID(tag), CPUU_PT_ERROR), at, cell);
}

bool cpuu_prop_decode(cpuu_reader *r, cpuu_wire wire, uint32_t tag, cpuu_buf *bytes,
                      cpuu_cell *cell)
{
    uint32_t type = CPUU_TAG_TYPE(tag);
    if (type == CPUU_PT_UNSPECIFIED) {
        type = cpuu_read_u16(r, "PropertyType");
        tag = CPUU_TAG(CPUU_TAG_ID(tag), type);
    }
    if (!cpuu_prop_known_type(type))
        return cpuu_reader_fail(r, "PropertyType", "has no value this codec knows");
    if (wire == CPUU_WIRE_BOOK && takes_has_value(type) && !cpuu_read_u8(r, "HasValue"))
        return error_cell(r, bytes, tag, CPUU_MAPI_NOT_FOUND, cell);
    uint32_t at = (uint32_t)bytes->size;
    decode_plain(r, wire, type, bytes);
    return finish_cell(r, bytes, tag, at, cell);
}

bool cpuu_prop_decode_tagged(cpuu_reader *r, cpuu_wire wire, cpuu_buf *bytes, cpuu_cell *cell)
{
    uint32_t tag = cpuu_read_u32(r, "PropertyTag");
    if (CPUU_TAG_TYPE(tag) == CPUU_PT_UNSPECIFIED)
        return cpuu_reader_fail(r, "PropertyTag", "has no type");
    return cpuu_prop_decode(r, wire, tag, bytes, cell);
}

/* FlaggedPropertyValue and FlaggedPropertyValueWithType, [MS-OXCDATA] 2.11.5 and 2.11.6 */
static bool decode_flagged(cpuu_reader *r, cpuu_wire wire, uint32_t tag, cpuu_buf *bytes,
                           cpuu_cell *cell)
{
    if (CPUU_TAG_TYPE(tag) == CPUU_PT_UNSPECIFIED) {
        uint16_t type = cpuu_read_u16(r, "PropertyType");
        tag = CPUU_TAG(CPUU_TAG_ID(tag), type);
    }
    switch (cpuu_read_u8(r, "Flag")) {
    case 0x00:
        if (CPUU_TAG_TYPE(tag) == CPUU_PT_UNSPECIFIED)
            return cpuu_reader_fail(r, "PropertyType", "is missing");
        return cpuu_prop_decode(r, wire, tag, bytes, cell);
    case 0x01:
        return error_cell(r, bytes, tag, CPUU_MAPI_NOT_FOUND, cell);
    case 0x0a:
        return error_cell(r, bytes, tag, cpuu_read_u32(r, "error code"), cell);
    default:
        return cpuu_reader_fail(r, "Flag", "is not 0, 1 or 10");
    }
}

bool cpuu_prop_decode_row(cpuu_reader *r, cpuu_wire wire, const uint32_t *columns, uint32_t n,
                          cpuu_buf *bytes, cpuu_cell *cells)
{
    uint8_t flag = cpuu_read_u8(r, "row Flag");
    if (flag > 1)
        return cpuu_reader_fail(r, "row Flag", "is not 0 or 1");
    for (uint32_t i = 0; i < n && !r->failed; i++) {
        if (flag)
            decode_flagged(r, wire, columns[i], bytes, &cells[i]);
        else
            cpuu_prop_decode(r, wire, columns[i], bytes, &cells[i]);
    }
    return !r->failed;
}

/* ---- encoding -------------------------------------------------------------------------------- */

static bool valid_element(uint32_t type, const uint8_t *data, uint32_t size)
{
    uint32_t fixed = cpuu_prop_fixed_size(type);
    if (fixed)
        return size == fixed;
    if (type == CPUU_PT_STRING || type == CPUU_PT_STRING8)
        return cpuu_utf8_valid((const char *)data, size);
    if (type == CPUU_PT_RESTRICTION || type == CPUU_PT_RULEACTION) {
        cpuu_reader r;
        cpuu_reader_init(&r, data, size);
        skip_value(&r, CPUU_WIRE_ROP, type, 0);
        return !r.failed && r.pos == r.size;
    }
    return true;
}

bool cpuu_prop_valid(const cpuu_value *v)
{
    uint32_t type = CPUU_TAG_TYPE(v->tag);
    if (!cpuu_prop_known_type(type) || (!v->data && v->size))
        return false;
    if (!is_multiple(type))
        return valid_element(type, v->data, v->size);
    cpuu_reader r;
    cpuu_reader_init(&r, v->data, v->size);
    uint32_t n = cpuu_read_u32(&r, "count");
    for (uint32_t i = 0; i < n && !r.failed; i++) {
        uint32_t size = cpuu_read_u32(&r, "size");
        const uint8_t *p = cpuu_read_bytes(&r, size, "element");
        if (!p || !valid_element(type & ~CPUU_PT_MULTIPLE, p, size))
            return false;
    }
    return !r.failed && r.pos == r.size;
}

static void encode_element(cpuu_buf *out, cpuu_wire wire, uint32_t type, const uint8_t *data,
                           uint32_t size)
{
    if (wire == CPUU_WIRE_BOOK && takes_has_value(type))
        cpuu_buf_u8(out, 0xff);
    if (type == CPUU_PT_STRING) {
        cpuu_buf_utf16_n(out, (const char *)data, size, true);
        return;
    }
    if (type == CPUU_PT_STRING8) {
        cp1252_from_utf8(out, (const char *)data, size);
        cpuu_buf_u8(out, 0);
        return;
    }
    if (type == CPUU_PT_BINARY || type == CPUU_PT_SERVERID) {
        if (wire == CPUU_WIRE_ROP && size > 0xffff)
            out->failed = true;
        else if (wire == CPUU_WIRE_ROP)
            cpuu_buf_u16(out, (uint16_t)size);
        else
            cpuu_buf_u32(out, size);
    }
    cpuu_buf_add(out, data, size);
}

bool cpuu_prop_encode(cpuu_buf *out, cpuu_wire wire, const cpuu_value *v)
{
    uint32_t type = CPUU_TAG_TYPE(v->tag);
    if (!cpuu_prop_valid(v)) {
        out->failed = true;
        return false;
    }
    if (!is_multiple(type)) {
        encode_element(out, wire, type, v->data, v->size);
        return !out->failed;
    }
    if (wire == CPUU_WIRE_BOOK)
        cpuu_buf_u8(out, 0xff);
    cpuu_reader r;
    cpuu_reader_init(&r, v->data, v->size);
    uint32_t n = cpuu_read_u32(&r, "count");
    cpuu_buf_u32(out, n);
    for (uint32_t i = 0; i < n && !out->failed; i++) {
        uint32_t size = cpuu_read_u32(&r, "size");
        const uint8_t *p = cpuu_read_bytes(&r, size, "element");
        encode_element(out, wire, type & ~CPUU_PT_MULTIPLE, p, size);
    }
    return !out->failed;
}

bool cpuu_prop_encode_tagged(cpuu_buf *out, cpuu_wire wire, const cpuu_value *v)
{
    cpuu_buf_u32(out, v->tag);
    return cpuu_prop_encode(out, wire, v);
}

static void encode_flagged(cpuu_buf *out, cpuu_wire wire, const cpuu_value *v)
{
    if (CPUU_FOUND(v)) {
        cpuu_buf_u8(out, 0);
        cpuu_prop_encode(out, wire, v);
        return;
    }
    uint32_t code = v->size == 4 ? cpuu_le32(v->data) : 0;
    cpuu_buf_u8(out, code ? 0x0a : 0x01);
    if (code)
        cpuu_buf_u32(out, code);
}

bool cpuu_prop_encode_row(cpuu_buf *out, cpuu_wire wire, const uint32_t *columns,
                          const cpuu_value *values, uint32_t n)
{
    bool flagged = false;
    for (uint32_t i = 0; i < n; i++)
        flagged = flagged || !CPUU_FOUND(&values[i]);
    cpuu_buf_u8(out, flagged);
    for (uint32_t i = 0; i < n && !out->failed; i++) {
        uint32_t want = CPUU_TAG_TYPE(columns[i]), type = CPUU_TAG_TYPE(values[i].tag);
        if (want == CPUU_PT_UNSPECIFIED)
            cpuu_buf_u16(out, (uint16_t)type);
        else if (want != type && type != CPUU_PT_ERROR)
            out->failed = true;
        if (flagged)
            encode_flagged(out, wire, &values[i]);
        else
            cpuu_prop_encode(out, wire, &values[i]);
    }
    return !out->failed;
}
