/* Values and property bags of the lab: reading, writing, comparing, restrictions. */
#include "tests/lab/lab.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *lab_check(void *p)
{
    if (!p) {
        fprintf(stderr, "cpuu-lab: out of memory\n");
        abort();
    }
    return p;
}

void *lab_calloc(size_t n, size_t size)
{
    return lab_check(cpuu_calloc(n ? n : 1, size));
}

char *lab_strdup(const char *s)
{
    return s ? lab_check(cpuu_strdup(s)) : NULL;
}

void *lab_dup(const void *p, size_t n)
{
    return lab_check(cpuu_memdup(p, n));
}

void *lab_arena(cpuu_arena *a, size_t n)
{
    return lab_check(cpuu_arena_alloc(a, n ? n : 1));
}

void lab_grow(void *array, size_t *cap, size_t count, size_t elem)
{
    if (!cpuu_grow(array, cap, count, elem))
        lab_check(NULL);
}

/* ---- bags ------------------------------------------------------------------------------------ */

const lab_prop *lab_props_find(const lab_props *p, uint32_t tag)
{
    for (size_t i = 0; i < p->count; i++)
        if (TAG_ID(p->items[i].tag) == TAG_ID(tag))
            return &p->items[i];
    return NULL;
}

void lab_props_set(lab_props *p, uint32_t tag, const void *data, size_t size)
{
    lab_prop *at = (lab_prop *)lab_props_find(p, tag);
    uint8_t *copy = lab_dup(data ? data : "", size);
    if (!at) {
        LAB_GROW(p->items, p->cap, p->count);
        at = &p->items[p->count++];
        at->data = NULL;
    }
    cpuu_free(at->data);
    at->tag = tag;
    at->data = copy;
    at->size = size;
}

void lab_props_set_text(lab_props *p, uint16_t id, const char *utf8)
{
    cpuu_buf b;
    cpuu_buf_init(&b, 1u << 24);
    if (!cpuu_buf_utf16(&b, utf8, false))
        lab_check(NULL);
    lab_props_set(p, TAG(id, PT_UNICODE), b.data, b.size);
    cpuu_buf_free(&b);
}

void lab_props_set_u32(lab_props *p, uint32_t tag, uint32_t v)
{
    uint8_t le[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    lab_props_set(p, tag, le, TAG_TYPE(tag) == PT_BOOLEAN ? 1 : 4);
}

void lab_props_remove(lab_props *p, uint16_t id)
{
    for (size_t i = 0; i < p->count; i++) {
        if (TAG_ID(p->items[i].tag) != id)
            continue;
        cpuu_free(p->items[i].data);
        memmove(&p->items[i], &p->items[i + 1], (p->count - i - 1) * sizeof(*p->items));
        p->count--;
        return;
    }
}

void lab_props_copy(lab_props *to, const lab_props *from)
{
    for (size_t i = 0; i < from->count; i++)
        lab_props_set(to, from->items[i].tag, from->items[i].data, from->items[i].size);
}

void lab_props_free(lab_props *p)
{
    for (size_t i = 0; i < p->count; i++)
        cpuu_free(p->items[i].data);
    cpuu_free(p->items);
    memset(p, 0, sizeof(*p));
}

/* ---- types ([MS-OXCDATA] 2.11.1) ------------------------------------------------------------- */

uint32_t lab_fixed_size(uint16_t type)
{
    switch (type) {
    case PT_BOOLEAN:
        return 1;
    case PT_I2:
        return 2;
    case PT_LONG:
    case PT_R4:
    case PT_ERROR:
        return 4;
    case PT_DOUBLE:
    case PT_CURRENCY:
    case PT_APPTIME:
    case PT_I8:
    case PT_SYSTIME:
        return 8;
    case PT_CLSID:
        return 16;
    default:
        return 0;
    }
}

static bool is_text(uint16_t type)
{
    return type == PT_STRING8 || type == PT_UNICODE;
}

bool lab_known_type(uint16_t type)
{
    uint16_t base = type & 0x0FFF;
    if (type & PT_MV)
        return (lab_fixed_size(base) && base != PT_BOOLEAN && base != PT_ERROR) || is_text(base) ||
               base == PT_BINARY;
    return lab_fixed_size(type) || is_text(type) || type == PT_BINARY || type == PT_SVREID ||
           type == PT_RESTRICTION || type == PT_ACTIONS;
}

static bool read_single(cpuu_reader *r, uint16_t type, lab_val *out)
{
    uint32_t size = lab_fixed_size(type);
    if (size)
        out->data = cpuu_read_bytes(r, size, "PropertyValue");
    else if (type == PT_STRING8)
        out->data = cpuu_read_sz8(r, &size, "PtypString8");
    else if (type == PT_UNICODE)
        out->data = cpuu_read_sz16(r, &size, "PtypString");
    else {
        size = cpuu_read_u16(r, "Count");
        out->data = cpuu_read_bytes(r, size, "PtypBinary");
    }
    out->size = size;
    return !r->failed;
}

bool lab_value_read(cpuu_reader *r, uint32_t tag, lab_val *out)
{
    uint16_t type = TAG_TYPE(tag);
    out->tag = tag;
    if (!lab_known_type(type))
        return cpuu_reader_fail(r, "PropertyType", "unknown type");
    uint32_t start = r->pos;
    if (type == PT_RESTRICTION) {
        lab_restriction(r, NULL, NULL, NULL, 0);
    } else if (type == PT_ACTIONS) {
        lab_actions_valid(r);
    } else if (type & PT_MV) {
        uint32_t n = cpuu_read_u32(r, "MultiValueCount");
        lab_val skip;
        for (uint32_t i = 0; i < n && !r->failed; i++)
            read_single(r, type & 0x0FFF, &skip);
    } else {
        return read_single(r, type, out);
    }
    if (r->failed)
        return false;
    out->data = r->data + start;
    out->size = r->pos - start;
    return true;
}

bool lab_tagged_read(cpuu_reader *r, lab_val *out)
{
    uint32_t tag = cpuu_read_u32(r, "PropertyTag");
    return !r->failed && lab_value_read(r, tag, out);
}

void lab_value_write(cpuu_buf *b, const lab_val *v)
{
    uint16_t type = TAG_TYPE(v->tag);
    if (type == PT_BINARY || type == PT_SVREID)
        cpuu_buf_u16(b, (uint16_t)v->size);
    cpuu_buf_add(b, v->data, v->size);
    if (type == PT_STRING8)
        cpuu_buf_u8(b, 0);
    if (type == PT_UNICODE)
        cpuu_buf_u16(b, 0);
}

size_t lab_value_wire_size(const lab_val *v)
{
    uint16_t type = TAG_TYPE(v->tag);
    size_t extra = type == PT_BINARY || type == PT_SVREID || type == PT_UNICODE ? 2 : 0;
    return v->size + extra + (type == PT_STRING8 ? 1 : 0);
}

static uint64_t as_u64(const lab_val *v)
{
    uint64_t n = 0;
    for (size_t i = v->size; i > 0; i--)
        n = (n << 8) | v->data[i - 1];
    if (TAG_TYPE(v->tag) == PT_LONG)
        return (uint64_t)(int64_t)(int32_t)n;
    if (TAG_TYPE(v->tag) == PT_I2)
        return (uint64_t)(int64_t)(int16_t)n;
    return n;
}

static uint16_t fold16(const uint8_t *p, size_t n, size_t i)
{
    if (i + 1 >= n)
        return 0;
    uint16_t c = cpuu_le16(p + i);
    return c >= 'A' && c <= 'Z' ? (uint16_t)(c + 32) : c;
}

static int compare_text16(const lab_val *a, const lab_val *b)
{
    size_t n = a->size < b->size ? a->size : b->size;
    for (size_t i = 0; i + 1 < n; i += 2) {
        int d = (int)fold16(a->data, n, i) - (int)fold16(b->data, n, i);
        if (d)
            return d;
    }
    return a->size == b->size ? 0 : a->size < b->size ? -1 : 1;
}

int lab_value_compare(const lab_val *a, const lab_val *b)
{
    uint16_t type = TAG_TYPE(a->tag);
    if (type == PT_UNICODE)
        return compare_text16(a, b);
    if (lab_fixed_size(type) && type != PT_CLSID && a->size == b->size) {
        if (type == PT_DOUBLE || type == PT_R4)
            return memcmp(a->data, b->data, a->size);
        int64_t x = (int64_t)as_u64(a), y = (int64_t)as_u64(b);
        return x < y ? -1 : x > y;
    }
    size_t n = a->size < b->size ? a->size : b->size;
    int d = !n                   ? 0
            : type == PT_STRING8 ? cpuu_ncasecmp((const char *)a->data, (const char *)b->data, n)
                                 : memcmp(a->data, b->data, n);
    return d ? d : a->size == b->size ? 0 : a->size < b->size ? -1 : 1;
}

/* ---- text ------------------------------------------------------------------------------------ */

lab_val lab_val_bytes(cpuu_arena *a, uint32_t tag, const void *p, size_t n)
{
    uint8_t *copy = lab_arena(a, n);
    if (n)
        memcpy(copy, p, n);
    return (lab_val){tag, copy, n};
}

lab_val lab_val_u64(cpuu_arena *a, uint32_t tag, uint64_t v)
{
    uint8_t le[8];
    for (int i = 0; i < 8; i++)
        le[i] = (uint8_t)(v >> (8 * i));
    return lab_val_bytes(a, tag, le, lab_fixed_size(TAG_TYPE(tag)));
}

lab_val lab_val_u32(cpuu_arena *a, uint32_t tag, uint32_t v)
{
    return lab_val_u64(a, tag, v);
}

lab_val lab_val_text(cpuu_arena *a, uint16_t id, const char *utf8)
{
    cpuu_buf b;
    cpuu_buf_init(&b, 1u << 24);
    cpuu_buf_utf16(&b, utf8, false);
    lab_val v = lab_val_bytes(a, TAG(id, PT_UNICODE), b.data, b.size);
    cpuu_buf_free(&b);
    return v;
}

char *lab_value_text(cpuu_arena *a, const lab_val *v)
{
    cpuu_buf b;
    if (TAG_TYPE(v->tag) != PT_UNICODE && TAG_TYPE(v->tag) != PT_STRING8)
        return NULL;
    cpuu_buf_init(&b, 1u << 24);
    for (size_t i = 0; TAG_TYPE(v->tag) == PT_STRING8 && i < v->size; i++) {
        if (v->data[i] >= 0x80) /* Latin-1 */
            cpuu_buf_u8(&b, (uint8_t)(0xC0 | (v->data[i] >> 6)));
        cpuu_buf_u8(&b, v->data[i] >= 0x80 ? (uint8_t)(0x80 | (v->data[i] & 0x3F)) : v->data[i]);
    }
    if (TAG_TYPE(v->tag) == PT_UNICODE)
        cpuu_buf_utf8_from_utf16(&b, v->data, (uint32_t)v->size);
    char *text = lab_arena(a, b.size + 1);
    if (b.size)
        memcpy(text, b.data, b.size);
    cpuu_buf_free(&b);
    return text;
}

/* Latin-1 both ways: enough for a code page 1252 client; what does not fit becomes '?'. */
static void convert_string(cpuu_buf *b, const lab_val *in, bool wide)
{
    if (wide) {
        for (size_t i = 0; i < in->size; i++)
            cpuu_buf_u16(b, in->data[i]);
        return;
    }
    for (size_t i = 0; i + 1 < in->size; i += 2) {
        uint16_t c = cpuu_le16(in->data + i);
        cpuu_buf_u8(b, c < 256 ? (uint8_t)c : '?');
    }
}

bool lab_value_convert(cpuu_arena *a, const lab_val *v, uint16_t type, lab_val *out)
{
    uint16_t have = TAG_TYPE(v->tag);
    if (type == have || type == PT_UNSPECIFIED) {
        *out = *v;
        return true;
    }
    if ((type & PT_MV) != (have & PT_MV) || !is_text(type & 0x0FFF) || !is_text(have & 0x0FFF))
        return false;
    bool wide = (type & 0x0FFF) == PT_UNICODE;
    cpuu_buf b;
    cpuu_buf_init(&b, 1u << 24);
    if (type & PT_MV) {
        cpuu_reader r;
        cpuu_reader_init(&r, v->data, v->size);
        uint32_t n = cpuu_read_u32(&r, "count");
        cpuu_buf_u32(&b, n);
        lab_val one = {0, NULL, 0};
        for (uint32_t i = 0; i < n && read_single(&r, have & 0x0FFF, &one); i++) {
            convert_string(&b, &one, wide);
            cpuu_buf_add(&b, "\0", wide ? 2 : 1);
        }
    } else {
        convert_string(&b, v, wide);
    }
    *out = lab_val_bytes(a, TAG(TAG_ID(v->tag), type), b.data, b.size);
    cpuu_buf_free(&b);
    return true;
}

/* ---- restrictions ([MS-OXCDATA] 2.12) -------------------------------------------------------- */

bool lab_relop(uint8_t relop, const lab_val *have, const lab_val *want)
{
    int d = lab_value_compare(have, want);
    switch (relop) {
    case 0:
        return d < 0;
    case 1:
        return d <= 0;
    case 2:
        return d > 0;
    case 3:
        return d >= 0;
    case 4:
        return d == 0;
    case 5:
        return d != 0;
    default:
        return false;
    }
}

bool lab_content(uint32_t fuzzy, const lab_val *have, const lab_val *want)
{
    if (TAG_TYPE(have->tag) != TAG_TYPE(want->tag) || want->size > have->size)
        return false;
    lab_val part = *have;
    part.size = want->size;
    uint32_t level = fuzzy & 0xFFFF;
    if (level == 0)
        return have->size == want->size && lab_value_compare(have, want) == 0;
    if (level == 2)
        return lab_value_compare(&part, want) == 0;
    size_t step = TAG_TYPE(have->tag) == PT_UNICODE ? 2 : 1;
    for (size_t at = 0; at + want->size <= have->size; at += step) {
        part.data = have->data + at;
        if (lab_value_compare(&part, want) == 0)
            return true;
    }
    return false;
}

static bool restrict_many(cpuu_reader *r, bool all, lab_getter get, void *obj, bool *match,
                          unsigned depth)
{
    uint16_t n = cpuu_read_u16(r, "RestrictCount");
    bool result = all;
    for (uint16_t i = 0; i < n && !r->failed; i++) {
        bool one = false;
        lab_restriction(r, get, obj, &one, depth + 1);
        result = all ? result && one : result || one;
    }
    if (match)
        *match = result;
    return !r->failed;
}

static bool restrict_value(cpuu_reader *r, bool content, lab_getter get, void *obj, bool *match)
{
    uint32_t how = content ? cpuu_read_u32(r, "FuzzyLevel") : cpuu_read_u8(r, "RelOp");
    uint32_t tag = cpuu_read_u32(r, "PropTag");
    lab_val want, have;
    if (!lab_tagged_read(r, &want) || !get)
        return !r->failed;
    *match = get(obj, tag, &have) && TAG_TYPE(have.tag) == TAG_TYPE(want.tag) &&
             (content ? lab_content(how, &have, &want) : lab_relop((uint8_t)how, &have, &want));
    return true;
}

static bool restrict_number(cpuu_reader *r, bool bitmask, lab_getter get, void *obj, bool *match)
{
    uint8_t op = cpuu_read_u8(r, "RelOp");
    uint32_t tag = cpuu_read_u32(r, "PropTag");
    uint32_t number = cpuu_read_u32(r, "Mask or Size");
    lab_val have;
    if (r->failed || !get)
        return !r->failed;
    *match = false;
    if (!get(obj, tag, &have))
        return true;
    if (bitmask) {
        *match = ((as_u64(&have) & number) != 0) == (op == 1);
        return true;
    }
    uint8_t size[8], limit[8];
    size_t wire = lab_value_wire_size(&have);
    for (int i = 0; i < 8; i++) {
        size[i] = (uint8_t)((uint64_t)wire >> (8 * i));
        limit[i] = (uint8_t)((uint64_t)number >> (8 * i));
    }
    lab_val a = {PT_I8, size, 8}, b = {PT_I8, limit, 8};
    *match = lab_relop(op, &a, &b);
    return true;
}

static bool restrict_comment(cpuu_reader *r, lab_getter get, void *obj, bool *match, unsigned depth)
{
    uint8_t n = cpuu_read_u8(r, "TaggedValuesCount");
    lab_val skip;
    for (uint8_t i = 0; i < n && !r->failed; i++)
        lab_tagged_read(r, &skip);
    bool one = true;
    if (cpuu_read_u8(r, "RestrictionPresent"))
        lab_restriction(r, get, obj, &one, depth + 1);
    if (match)
        *match = one;
    return !r->failed;
}

bool lab_restriction(cpuu_reader *r, lab_getter get, void *obj, bool *match, unsigned depth)
{
    if (depth > 64)
        return cpuu_reader_fail(r, "RestrictType", "nested too deeply");
    uint8_t type = cpuu_read_u8(r, "RestrictType");
    bool one = false;
    lab_val have, other;
    switch (r->failed ? 0xFF : type) {
    case 0x00:
    case 0x01:
        return restrict_many(r, type == 0, get, obj, match, depth);
    case 0x02:
        lab_restriction(r, get, obj, &one, depth + 1);
        one = !one;
        break;
    case 0x03:
    case 0x04:
        restrict_value(r, type == 0x03, get, obj, &one);
        break;
    case 0x05: {
        uint8_t op = cpuu_read_u8(r, "RelOp");
        uint32_t a = cpuu_read_u32(r, "PropTag1"), b = cpuu_read_u32(r, "PropTag2");
        one = !r->failed && get && get(obj, a, &have) && get(obj, b, &other) &&
              TAG_TYPE(have.tag) == TAG_TYPE(other.tag) && lab_relop(op, &have, &other);
        break;
    }
    case 0x06:
    case 0x07:
        restrict_number(r, type == 0x06, get, obj, &one);
        break;
    case 0x08: {
        uint32_t tag = cpuu_read_u32(r, "PropTag");
        one = !r->failed && get && get(obj, tag, &have);
        break;
    }
    case 0x09: /* on recipients or attachments: only the layout is understood */
        cpuu_read_u32(r, "Subobject");
        lab_restriction(r, NULL, NULL, NULL, depth + 1);
        break;
    case 0x0A:
        return restrict_comment(r, get, obj, match, depth);
    case 0x0B:
        cpuu_read_u32(r, "Count");
        lab_restriction(r, get, obj, &one, depth + 1);
        break;
    default:
        return cpuu_reader_fail(r, "RestrictType", "unknown restriction");
    }
    if (match)
        *match = one;
    return !r->failed;
}

/* ---- rule actions ([MS-OXORULE] 2.2.5) ------------------------------------------------------- */

/* FORWARD and DELEGATE: RecipientCount, then per recipient Reserved, PropertyCount, values. In
 * standard rules the counts are 16 bit (observed; 32 bit is refused by the recorded server too). */
static void forward_valid(cpuu_reader *r)
{
    uint16_t n = cpuu_read_u16(r, "RecipientCount");
    for (uint16_t i = 0; i < n && !r->failed; i++) {
        cpuu_read_u8(r, "Reserved");
        uint16_t props = cpuu_read_u16(r, "NoOfProperties");
        lab_val skip;
        for (uint16_t k = 0; k < props && !r->failed; k++)
            lab_tagged_read(r, &skip);
    }
    if (!r->failed && cpuu_reader_left(r))
        cpuu_reader_fail(r, "ActionLength", "does not match the action");
}

bool lab_actions_valid(cpuu_reader *r)
{
    uint16_t n = cpuu_read_u16(r, "NoOfActions");
    for (uint16_t i = 0; i < n && !r->failed; i++) {
        uint16_t length = cpuu_read_u16(r, "ActionLength");
        cpuu_reader action = cpuu_reader_sub(r, length, "ActionBlock");
        uint8_t type = cpuu_read_u8(&action, "ActionType");
        cpuu_read_u32(&action, "ActionFlavor");
        cpuu_read_u32(&action, "ActionFlags");
        if (!action.failed && (type == 0x07 || type == 0x08))
            forward_valid(&action);
        cpuu_reader_join(r, &action);
    }
    return !r->failed;
}
