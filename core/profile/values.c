/*
 * Properties of profile sections in MAPI terms: the registry encoding (reference 2.2, 2.3) is
 * hidden here, registry type and descriptor width of what is replaced are kept, and what cannot be
 * understood is neither handed out nor overwritten.
 */
#include "profile/section.h"

#include "base/text.h"

#include <cpuu/formats/mv.h>

#include <string.h>

#define MAX_VALUE           (16u << 20)
#define MAPI_E_CORRUPT_DATA 0x8004011bu
#define PT_BOOLEAN          0x000bu

/*
 * 8-bit text. The code page is the user's ANSI code page, which the profile does not name; Windows
 * code page 1252 is assumed (inferred). Its five holes map to the control characters of the same
 * number, as Windows does it, so every byte string survives reading and writing whatever its real
 * code page is. A character it does not have becomes '?', as Windows does it in 8-bit copies.
 */
static const uint16_t cp1252[32] = {0x20ac, 0x0081, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021,
                                    0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0x008d, 0x017d, 0x008f,
                                    0x0090, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
                                    0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x009d, 0x017e, 0x0178};

static void utf8_from_8bit(cpuu_buf *out, const uint8_t *p, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint16_t cp = p[i] >= 0x80 && p[i] < 0xa0 ? cp1252[p[i] - 0x80] : p[i];
        uint8_t utf16[2] = {(uint8_t)cp, (uint8_t)(cp >> 8)};
        cpuu_buf_utf8_from_utf16(out, utf16, 2);
    }
}

static uint8_t byte_of(uint16_t cp)
{
    if (cp < 0x80 || (cp >= 0xa0 && cp < 0x100))
        return (uint8_t)cp;
    for (unsigned i = 0; i < 32; i++)
        if (cp1252[i] == cp)
            return (uint8_t)(0x80 + i);
    return '?';
}

/* Appends n bytes of UTF-8 as UTF-16 or, for PT_STRING8 lists, as 8-bit text; both without NUL. */
static bool text_from_utf8(cpuu_buf *out, bool wide, const uint8_t *utf8, uint32_t n)
{
    if (!cpuu_utf8_valid((const char *)utf8, n))
        return false;
    char *z = cpuu_strndup((const char *)utf8, n);
    cpuu_buf w;
    cpuu_buf_init(&w, MAX_VALUE);
    if (!z || !cpuu_buf_utf16(wide ? out : &w, z, false))
        out->failed = true;
    for (size_t i = 0; i + 1 < w.size; i += 2) {
        uint16_t u = cpuu_le16(w.data + i);
        if (u < 0xdc00 || u > 0xdfff) /* one '?' for a surrogate pair */
            cpuu_buf_u8(out, byte_of(u));
    }
    cpuu_buf_free(&w);
    cpuu_free(z);
    return !out->failed;
}

/* ---- stored -> value ------------------------------------------------------------------------- */

static uint32_t fixed_size(uint32_t type)
{
    switch (type) {
    case 0x0002:     /* PtypInteger16; not observed in profiles, inferred */
    case PT_BOOLEAN: /* observed: 2 bytes */
        return 2;
    case PT_LONG:
    case 0x0004: /* PtypFloating32 */
        return 4;
    case 0x0005: /* PtypFloating64, PtypCurrency, PtypFloatingTime, PtypInteger64, PtypTime */
    case 0x0006:
    case 0x0007:
    case 0x0014:
    case 0x0040:
        return 8;
    case 0x0048: /* PtypGuid */
        return 16;
    default:
        return 0;
    }
}

static bool fixed_decode(uint32_t type, const cpuu_reg_value *v, cpuu_buf *out)
{
    bool right_type = v->type == CPUU_REG_BINARY || (type == PT_LONG && v->type == CPUU_REG_DWORD);
    if (!right_type || v->size != fixed_size(type))
        return false;
    if (type != PT_BOOLEAN)
        return cpuu_buf_add(out, v->data, v->size);
    uint16_t b = cpuu_le16(v->data);
    return b <= 1 && cpuu_buf_u8(out, (uint8_t)b);
}

/* PT_UNICODE is REG_BINARY with its NUL, PT_STRING8 is REG_SZ, whose NUL may be missing and whose
 * length may even be odd (reference 2.2). */
static bool text_decode(uint32_t type, const cpuu_reg_value *v, cpuu_buf *out)
{
    bool sz = v->type == CPUU_REG_SZ || v->type == CPUU_REG_EXPAND_SZ;
    uint32_t n = v->size;
    if (!sz && (type == PT_STRING8 || v->type != CPUU_REG_BINARY || n % 2 || n < 2))
        return false;
    n -= n % 2;
    bool nul = n >= 2 && v->data[n - 2] == 0 && v->data[n - 1] == 0;
    if (!sz && !nul)
        return false;
    n -= nul ? 2 : 0;
    for (uint32_t i = 0; i < n; i += 2)
        if (v->data[i] == 0 && v->data[i + 1] == 0)
            return false;
    return cpuu_buf_utf8_from_utf16(out, v->data, n);
}

/* The list of the codec, with its texts turned into UTF-8. */
static bool list_to_value(uint32_t type, const cpuu_buf *list, cpuu_buf *out)
{
    if (type != CPUU_MV_UNICODE && type != CPUU_MV_STRING8)
        return cpuu_buf_add(out, list->data, list->size);
    cpuu_reader r;
    cpuu_reader_init(&r, list->data, list->size);
    uint32_t n = cpuu_read_u32(&r, "count");
    cpuu_buf_u32(out, n);
    for (uint32_t i = 0; i < n && !out->failed; i++) {
        uint32_t size = cpuu_read_u32(&r, "size");
        const uint8_t *p = cpuu_read_bytes(&r, size, "text");
        size_t at = out->size;
        cpuu_buf_u32(out, 0);
        if (type == CPUU_MV_UNICODE)
            cpuu_buf_utf8_from_utf16(out, p, p ? size : 0);
        else
            utf8_from_8bit(out, p, p ? size : 0);
        cpuu_buf_put_u32(out, at, (uint32_t)(out->size - at - 4));
    }
    return !r.failed && !out->failed;
}

static bool multi_decode(uint32_t type, const cpuu_reg_value *v, cpuu_buf *out)
{
    if (v->type != CPUU_REG_BINARY)
        return false;
    cpuu_buf list;
    cpuu_buf_init(&list, MAX_VALUE);
    bool ok = cpuu_mv_decode(type, v->data, v->size, &list, NULL, NULL);
    out->failed = out->failed || list.failed;
    ok = ok && list_to_value(type, &list, out);
    cpuu_buf_free(&list);
    return ok;
}

/* False with out->failed: memory; false without: not what the type says. */
static bool decode(uint32_t type, const cpuu_reg_value *v, cpuu_buf *out)
{
    if (type == PT_BINARY)
        return v->type == CPUU_REG_BINARY && cpuu_buf_add(out, v->data, v->size);
    if (type == PT_UNICODE || type == PT_STRING8)
        return text_decode(type, v, out);
    if (type & 0x1000)
        return multi_decode(type, v, out);
    return fixed_size(type) && fixed_decode(type, v, out);
}

static cpuu_rc decode_into(const cpuu_reg_value *v, uint32_t tag, cpuu_arena *arena,
                           cpuu_value *out, cpuu_error *err)
{
    cpuu_buf b;
    cpuu_buf_init(&b, MAX_VALUE);
    cpuu_rc rc = CPUU_OK;
    if (!decode(tag & 0xffff, v, &b)) {
        rc = b.failed ? cpuu_nomem(err)
                      : cpuu_fail(err, CPUU_E_FORMAT,
                                  "value '%s' does not hold what its type says (registry type %u, "
                                  "%u bytes); it is left alone",
                                  v->name, (unsigned)v->type, (unsigned)v->size);
    } else {
        uint8_t *data = cpuu_arena_dup(arena, b.data, b.size);
        if (data)
            *out = (cpuu_value){tag, (uint32_t)b.size, data};
        else
            rc = cpuu_nomem(err);
    }
    cpuu_buf_free(&b);
    return rc;
}

cpuu_rc cpuu_profile_get(cpuu_profile *p, const char *section, uint32_t tag, cpuu_arena *arena,
                         cpuu_value *out, cpuu_error *err)
{
    cpuu_section s;
    cpuu_rc rc = cpuu_section_open(p, section, &s, err);
    if (rc < 0)
        return rc;
    const cpuu_reg_value *v = cpuu_section_find(&s, tag);
    if (!v)
        rc = cpuu_fail(err, CPUU_E_NOTFOUND, "profile '%s', section %s: no property %08x", p->name,
                       section, (unsigned)tag);
    else if ((rc = decode_into(v, tag, arena, out, err)) < 0)
        rc = cpuu_wrap(err, "profile '%s', section %s", p->name, section);
    cpuu_section_close(&s);
    return rc;
}

static cpuu_rc decode_any(const cpuu_reg_value *v, uint32_t tag, cpuu_arena *arena, cpuu_value *out,
                          cpuu_error *err)
{
    static const uint8_t corrupt[4] = {MAPI_E_CORRUPT_DATA & 0xff, MAPI_E_CORRUPT_DATA >> 8 & 0xff,
                                       MAPI_E_CORRUPT_DATA >> 16 & 0xff, MAPI_E_CORRUPT_DATA >> 24};
    cpuu_error why = CPUU_ERROR_INIT;
    cpuu_rc rc = decode_into(v, tag, arena, out, &why);
    if (rc == CPUU_E_FORMAT) {
        *out = (cpuu_value){TAG(tag >> 16, PT_ERROR), 4, corrupt};
        return CPUU_OK;
    }
    return rc < 0 ? cpuu_pass(err, &why) : CPUU_OK;
}

cpuu_rc cpuu_profile_get_all(cpuu_profile *p, const char *section, cpuu_arena *arena,
                             cpuu_value **out, uint32_t *n, cpuu_error *err)
{
    cpuu_section s;
    cpuu_rc rc = cpuu_section_open(p, section, &s, err);
    if (rc < 0)
        return rc;
    uint32_t count = 0;
    cpuu_value *values = cpuu_arena_alloc(arena, (s.v.count + 1) * sizeof(*values));
    if (!s.exists)
        rc = cpuu_fail(err, CPUU_E_NOTFOUND, "profile '%s' has no section %s", p->name, section);
    else if (!values)
        rc = cpuu_nomem(err);
    for (size_t i = 0; i < s.v.count && rc >= 0; i++) {
        uint32_t tag;
        if (cpuu_tag_parse(s.v.items[i].name, &tag))
            rc = decode_any(&s.v.items[i], tag, arena, &values[count++], err);
    }
    cpuu_section_close(&s);
    if (rc >= 0) {
        *out = values;
        *n = count;
    }
    return rc;
}

/* ---- value -> stored ------------------------------------------------------------------------- */

static bool value_to_list(const cpuu_value *v, cpuu_buf *list)
{
    uint32_t type = v->tag & 0xffff;
    if (type != CPUU_MV_UNICODE && type != CPUU_MV_STRING8)
        return cpuu_buf_add(list, v->data, v->size);
    cpuu_reader r;
    cpuu_reader_init(&r, v->data, v->size);
    uint32_t n = cpuu_read_u32(&r, "count");
    cpuu_buf_u32(list, n);
    for (uint32_t i = 0; i < n && !r.failed; i++) {
        uint32_t size = cpuu_read_u32(&r, "size");
        const uint8_t *p = cpuu_read_bytes(&r, size, "text");
        size_t at = list->size;
        cpuu_buf_u32(list, 0);
        if (!p || !text_from_utf8(list, type == CPUU_MV_UNICODE, p, size))
            return false;
        cpuu_buf_put_u32(list, at, (uint32_t)(list->size - at - 4));
    }
    cpuu_buf_add(list, r.data + r.pos, cpuu_reader_left(&r)); /* the codec refuses a tail */
    return !r.failed && !list->failed;
}

static bool multi_encode(const cpuu_value *v, unsigned width, cpuu_buf *out)
{
    cpuu_buf list;
    cpuu_buf_init(&list, MAX_VALUE);
    bool ok = value_to_list(v, &list) &&
              cpuu_mv_encode(v->tag & 0xffff, width, list.data, list.size, out, NULL);
    out->failed = out->failed || list.failed;
    cpuu_buf_free(&list);
    return ok;
}

static bool encode(const cpuu_value *v, unsigned width, cpuu_buf *out)
{
    uint32_t type = v->tag & 0xffff;
    if (type == PT_BINARY)
        return cpuu_buf_add(out, v->data, v->size);
    if (type == PT_UNICODE || type == PT_STRING8)
        return text_from_utf8(out, true, v->data, v->size) && cpuu_buf_u16(out, 0);
    if (type & 0x1000)
        return multi_encode(v, width, out);
    if (type == PT_BOOLEAN)
        return v->size == 1 && v->data[0] <= 1 && cpuu_buf_u16(out, v->data[0]);
    return fixed_size(type) && v->size == fixed_size(type) && cpuu_buf_add(out, v->data, v->size);
}

static bool is_empty_list(const cpuu_value *v)
{
    return (v->tag & 0x1000) && v->size == 4 && cpuu_le32(v->data) == 0;
}

/* Width for writing: that of the old value, else the profile's. */
static unsigned width_for(const cpuu_profile *p, uint32_t type, const cpuu_reg_value *old)
{
    unsigned w = old ? cpuu_mv_width(type, old->data, old->size) : 0;
    return w ? w : p->mv_width;
}

/* What is there must be understood before it is replaced. */
static cpuu_rc check_old(const cpuu_reg_value *old, uint32_t tag, cpuu_error *err)
{
    if (!old)
        return CPUU_OK;
    cpuu_arena scratch = {0};
    cpuu_value v;
    cpuu_rc rc = decode_into(old, tag, &scratch, &v, err);
    cpuu_arena_free(&scratch);
    return rc;
}

static cpuu_rc stage(cpuu_profile *p, cpuu_edits *edits, const cpuu_section *s,
                     const cpuu_value *value, cpuu_mark mark, const char *title, cpuu_error *err)
{
    uint32_t type = value->tag & 0xffff;
    const cpuu_reg_value *old = cpuu_section_find(s, value->tag);
    cpuu_rc rc = check_old(old, value->tag, err);
    if (rc < 0)
        return rc;
    char name[9];
    cpuu_tag_name(name, value->tag);
    if (is_empty_list(value)) {
        rc = old ? cpuu_edits_unset(edits, s->key, old->name, mark, title) : CPUU_OK;
        return rc < 0 ? cpuu_nomem(err) : CPUU_OK;
    }
    unsigned width = width_for(p, type, old);
    if ((type & 0x1000) && type != CPUU_MV_LONG && !width)
        return cpuu_fail(err, CPUU_E_UNSUPPORTED,
                         "property %08x is multi-valued and nothing in the profile tells whether "
                         "32-bit or 64-bit Outlook uses it",
                         (unsigned)value->tag);
    cpuu_buf b;
    cpuu_buf_init(&b, MAX_VALUE);
    uint32_t reg_type = old ? old->type : type == PT_STRING8 ? CPUU_REG_SZ : CPUU_REG_BINARY;
    if (!encode(value, width, &b))
        rc = b.failed ? cpuu_nomem(err)
                      : cpuu_fail(err, CPUU_E_FORMAT, "the new value of property %08x is malformed",
                                  (unsigned)value->tag);
    else if (!old || old->size != b.size || memcmp(old->data, b.data, b.size) != 0)
        if (cpuu_edits_set(edits, s->key, old ? old->name : name, reg_type, b.data,
                           (uint32_t)b.size, mark, title) < 0)
            rc = cpuu_nomem(err);
    cpuu_buf_free(&b);
    return rc;
}

cpuu_rc cpuu_profile_set(cpuu_profile *p, cpuu_edits *edits, const char *section,
                         const cpuu_value *value, cpuu_mark mark, const char *title,
                         cpuu_error *err)
{
    cpuu_section s;
    cpuu_rc rc = cpuu_section_open(p, section, &s, err);
    if (rc < 0)
        return rc;
    if (s.exists)
        rc = stage(p, edits, &s, value, mark, title, err);
    else
        rc = cpuu_fail(err, CPUU_E_NOTFOUND, "there is no such section");
    cpuu_section_close(&s);
    return rc < 0 ? cpuu_wrap(err, "profile '%s', section %s", p->name, section) : CPUU_OK;
}

cpuu_rc cpuu_profile_unset(cpuu_profile *p, cpuu_edits *edits, const char *section, uint32_t tag,
                           cpuu_mark mark, const char *title, cpuu_error *err)
{
    cpuu_section s;
    cpuu_rc rc = cpuu_section_open(p, section, &s, err);
    if (rc < 0)
        return rc;
    const cpuu_reg_value *old = cpuu_section_find(&s, tag);
    if (old && cpuu_edits_unset(edits, s.key, old->name, mark, title) < 0)
        rc = cpuu_nomem(err);
    cpuu_section_close(&s);
    return rc;
}
