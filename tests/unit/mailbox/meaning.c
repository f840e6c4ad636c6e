#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#include "meaning.h"

#include "base/text.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint32_t meaning_hex(const json_t *text)
{
    if (json_is_integer(text))
        return (uint32_t)json_integer_value(text);
    return (uint32_t)strtoul(json_string_value(text), NULL, 16);
}

void meaning_bytes(const json_t *hex, cpuu_buf *out)
{
    const char *s = json_string_value(hex);
    for (size_t i = 0; s[i] && s[i + 1] && s[i] != '.'; i += 2) {
        uint8_t byte;
        char pair[3] = {s[i], s[i + 1], 0};
        ck_assert(cpuu_unhex(&byte, pair, 1));
        cpuu_buf_u8(out, byte);
    }
}

uint64_t meaning_id(const json_t *hex)
{
    cpuu_buf b;
    cpuu_buf_init(&b, 8);
    meaning_bytes(hex, &b);
    ck_assert_uint_eq(b.size, 8);
    uint64_t id = cpuu_le64(b.data);
    cpuu_buf_free(&b);
    return id;
}

void meaning_guid(const json_t *text, uint8_t out[16])
{
    ck_assert(cpuu_guid_parse(out, json_string_value(text)));
}

/* "2026-11-22T14:29:08.152764Z" -> 100 ns units since 1601, in the microseconds given */
static uint64_t filetime(const char *text)
{
    struct tm tm;
    memset(&tm, 0, sizeof(tm));
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    ck_assert_ptr_nonnull(rest);
    uint64_t us = *rest == '.' ? strtoull(rest + 1, NULL, 10) : 0;
    return ((uint64_t)timegm(&tm) + 11644473600u) * 10000000u + us * 10;
}

static void scalar(uint32_t type, const json_t *v, cpuu_buf *out)
{
    uint8_t guid[16];
    double d;
    uint64_t u;
    const json_t *code = json_object_get(v, "error");
    if (code) {
        cpuu_buf_u32(out, meaning_hex(code));
        return;
    }
    switch (type) {
    case CPUU_PT_STRING:
    case CPUU_PT_STRING8:
        cpuu_buf_add(out, json_string_value(v), strlen(json_string_value(v)));
        break;
    case CPUU_PT_BINARY:
        meaning_bytes(v, out);
        break;
    case CPUU_PT_INT16:
        cpuu_buf_u16(out, (uint16_t)json_integer_value(v));
        break;
    case CPUU_PT_INT32:
        cpuu_buf_u32(out, (uint32_t)json_integer_value(v));
        break;
    case CPUU_PT_BOOL:
        cpuu_buf_u8(out, json_is_true(v));
        break;
    case CPUU_PT_INT64:
        cpuu_buf_u64(out, json_is_string(v) ? meaning_id(v) : (uint64_t)json_integer_value(v));
        break;
    case CPUU_PT_FLOAT64:
        d = json_number_value(v);
        memcpy(&u, &d, sizeof(u));
        cpuu_buf_u64(out, u);
        break;
    case CPUU_PT_TIME:
        cpuu_buf_u64(out, filetime(json_string_value(v)));
        break;
    case CPUU_PT_GUID:
        meaning_guid(v, guid);
        cpuu_buf_add(out, guid, 16);
        break;
    default:
        ck_abort_msg("no meaning for type 0x%04x", type);
    }
}

static void tagged(const json_t *entry, cpuu_buf *out)
{
    cpuu_buf data;
    cpuu_buf_init(&data, 1 << 20);
    uint32_t tag = meaning_hex(json_object_get(entry, "tag"));
    meaning_value(tag, json_object_get(entry, "value"), &data);
    cpuu_value v = {tag, (uint32_t)data.size, data.data ? data.data : (const uint8_t *)""};
    ck_assert(cpuu_prop_encode_tagged(out, CPUU_WIRE_ROP, &v));
    cpuu_buf_free(&data);
}

static void list(const json_t *trees, uint8_t type, cpuu_buf *out)
{
    cpuu_buf_u8(out, type);
    cpuu_buf_u16(out, (uint16_t)json_array_size(trees));
    for (size_t i = 0; i < json_array_size(trees); i++)
        meaning_restriction(json_array_get(trees, i), out);
}

/* [MS-OXCDATA] 2.12, the kinds the recordings hold */
void meaning_restriction(const json_t *tree, cpuu_buf *out)
{
    const json_t *n;
    if ((n = json_object_get(tree, "and"))) {
        list(n, 0, out);
    } else if ((n = json_object_get(tree, "or"))) {
        list(n, 1, out);
    } else if ((n = json_object_get(tree, "not"))) {
        cpuu_buf_u8(out, 2);
        meaning_restriction(n, out);
    } else if ((n = json_object_get(tree, "content"))) {
        cpuu_buf_u8(out, 3);
        cpuu_buf_u32(out, meaning_hex(json_object_get(n, "fuzzy")));
        cpuu_buf_u32(out, meaning_hex(json_object_get(n, "tag")));
        tagged(json_object_get(n, "value"), out);
    } else if ((n = json_object_get(tree, "prop"))) {
        cpuu_buf_u8(out, 4);
        cpuu_buf_u8(out, (uint8_t)json_integer_value(json_object_get(n, "relop")));
        cpuu_buf_u32(out, meaning_hex(json_object_get(n, "tag")));
        tagged(json_object_get(n, "value"), out);
    } else if ((n = json_object_get(tree, "bitmask"))) {
        cpuu_buf_u8(out, 6);
        cpuu_buf_u8(out, (uint8_t)json_integer_value(json_object_get(n, "op")));
        cpuu_buf_u32(out, meaning_hex(json_object_get(n, "tag")));
        cpuu_buf_u32(out, meaning_hex(json_object_get(n, "mask")));
    } else if ((n = json_object_get(tree, "size"))) {
        cpuu_buf_u8(out, 7);
        cpuu_buf_u8(out, (uint8_t)json_integer_value(json_object_get(n, "relop")));
        cpuu_buf_u32(out, meaning_hex(json_object_get(n, "tag")));
        cpuu_buf_u32(out, (uint32_t)json_integer_value(json_object_get(n, "size")));
    } else if ((n = json_object_get(tree, "exist"))) {
        cpuu_buf_u8(out, 8);
        cpuu_buf_u32(out, meaning_hex(n));
    } else if ((n = json_object_get(tree, "comment"))) {
        const json_t *values = json_object_get(n, "values");
        const json_t *inner = json_object_get(n, "restriction");
        cpuu_buf_u8(out, 10);
        cpuu_buf_u8(out, (uint8_t)json_array_size(values));
        for (size_t i = 0; i < json_array_size(values); i++)
            tagged(json_array_get(values, i), out);
        cpuu_buf_u8(out, json_is_object(inner));
        if (json_is_object(inner))
            meaning_restriction(inner, out);
    } else {
        ck_abort_msg("no meaning for this restriction");
    }
}

static void sized(const json_t *hex, cpuu_buf *out)
{
    size_t at = out->size;
    cpuu_buf_u16(out, 0);
    meaning_bytes(hex, out);
    cpuu_buf_put_u16(out, at, (uint16_t)(out->size - at - 2));
}

static void recipients(const json_t *all, cpuu_buf *out)
{
    cpuu_buf_u16(out, (uint16_t)json_array_size(all));
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *one = json_array_get(all, i), *props = json_object_get(one, "props");
        cpuu_buf_u8(out, (uint8_t)json_integer_value(json_object_get(one, "reserved")));
        cpuu_buf_u16(out, (uint16_t)json_array_size(props));
        for (size_t k = 0; k < json_array_size(props); k++)
            tagged(json_array_get(props, k), out);
    }
}

/* [MS-OXORULE] 2.2.5.1, with the 16-bit recipient counts that were measured */
static void action(const json_t *a, cpuu_buf *out)
{
    static const char *const words[] = {"",          "move",  "copy",   "reply",
                                        "oof_reply", "defer", "bounce", "forward",
                                        "delegate",  "tag",   "delete", "mark_as_read"};
    const char *word = json_string_value(json_object_get(a, "action"));
    uint8_t type = 1;
    while (type < 12 && strcmp(words[type], word) != 0)
        type++;
    ck_assert_uint_lt(type, 12);
    size_t at = out->size;
    cpuu_buf_u16(out, 0);
    cpuu_buf_u8(out, type);
    cpuu_buf_u32(out, meaning_hex(json_object_get(a, "flavor")));
    cpuu_buf_u32(out, meaning_hex(json_object_get(a, "flags")));
    if (type == 1 || type == 2) {
        cpuu_buf_u8(out, (uint8_t)json_integer_value(json_object_get(a, "in_store")));
        sized(json_object_get(a, "store"), out);
        sized(json_object_get(a, "folder"), out);
    } else if (type == 7 || type == 8) {
        recipients(json_object_get(a, "recipients"), out);
    } else if (type == 9) {
        tagged(json_object_get(a, "prop"), out);
    } else {
        meaning_bytes(json_object_get(a, "data"), out);
    }
    cpuu_buf_put_u16(out, at, (uint16_t)(out->size - at - 2));
}

void meaning_value(uint32_t tag, const json_t *value, cpuu_buf *out)
{
    uint32_t type = CPUU_TAG_TYPE(tag);
    if (type == CPUU_PT_RESTRICTION) {
        meaning_restriction(value, out);
    } else if (type == CPUU_PT_RULEACTION) {
        cpuu_buf_u16(out, (uint16_t)json_array_size(value));
        for (size_t i = 0; i < json_array_size(value); i++)
            action(json_array_get(value, i), out);
    } else if (type & CPUU_PT_MULTIPLE) {
        cpuu_buf_u32(out, (uint32_t)json_array_size(value));
        for (size_t i = 0; i < json_array_size(value); i++) {
            size_t at = out->size;
            cpuu_buf_u32(out, 0);
            scalar(type & ~CPUU_PT_MULTIPLE, json_array_get(value, i), out);
            cpuu_buf_put_u32(out, at, (uint32_t)(out->size - at - 4));
        }
    } else {
        scalar(type, value, out);
    }
}

uint32_t meaning_values(const json_t *props, cpuu_value *out, uint32_t max, cpuu_buf *bytes)
{
    uint32_t n = (uint32_t)json_array_size(props);
    size_t at[64];
    ck_assert_uint_le(n, max < 64 ? max : 64);
    for (uint32_t i = 0; i < n; i++) {
        const json_t *p = json_array_get(props, i);
        at[i] = bytes->size;
        out[i].tag = meaning_hex(json_object_get(p, "tag"));
        meaning_value(out[i].tag, json_object_get(p, "value"), bytes);
        out[i].size = (uint32_t)(bytes->size - at[i]);
    }
    for (uint32_t i = 0; i < n; i++)
        out[i].data = bytes->data + at[i];
    ck_assert(!bytes->failed);
    return n;
}

uint32_t meaning_tags(const json_t *tags, uint32_t *out, uint32_t max)
{
    uint32_t n = (uint32_t)json_array_size(tags);
    ck_assert_uint_le(n, max);
    for (uint32_t i = 0; i < n; i++)
        out[i] = meaning_hex(json_array_get(tags, i));
    return n;
}
