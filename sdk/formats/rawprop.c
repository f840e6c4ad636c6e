/* Stored property values; see cpuu/formats/rawprop.h. */
#include "internal.h"

#include <cpuu/formats/entryid.h>
#include <cpuu/formats/rawprop.h>

/* ---- reading --------------------------------------------------------------------------------- */

static uint32_t fixed_size(cpuu_form form, uint32_t type)
{
    if (type == CPUU_PT_BOOL)
        return form == CPUU_FORM_SEARCH ? 2 : 1;
    return type & CPUU_PT_MULTIPLE ? 0 : cpuu_prop_fixed_size(type);
}

static uint32_t read_size(cpuu_reader *r, bool wide)
{
    return wide ? cpuu_read_u32(r, "ValueSize") : cpuu_read_u16(r, "ValueSize");
}

static void read_text(cpuu_reader *r, cpuu_form form, bool utf16, cpuu_rawprop *p)
{
    uint32_t nul = utf16 ? 2 : 1;
    if (form != CPUU_FORM_SEARCH) {
        p->value = utf16 ? fmt_blob_sz16(r, "PropertyValue") : fmt_blob_sz8(r, "PropertyValue");
        p->nul = true;
        return;
    }
    p->value = fmt_blob(r, read_size(r, false), "PropertyValue");
    uint32_t n = p->value.size;
    p->nul = n >= nul && p->value.data[n - 1] == 0 && p->value.data[n - nul] == 0;
    if (p->nul)
        p->value.size -= nul;
}

/* Multi-valued: moves past it. Counts are 32-bit, but for PtypMultipleBinary of a search folder,
 * where 16-bit counts of 32-bit sizes were observed. Other arrays have not been seen there. */
static void skip_array(cpuu_reader *r, cpuu_form form, uint32_t type)
{
    bool wide = form == CPUU_FORM_EXTENDED;
    bool search_binary = form == CPUU_FORM_SEARCH && type == CPUU_PT_BINARY;
    uint32_t fixed = fixed_size(form, type), size;
    if (form == CPUU_FORM_SEARCH && fixed) {
        cpuu_reader_fail(r, "PropertyType", "has no known layout in a search folder");
        return;
    }
    uint32_t n = search_binary ? cpuu_read_u16(r, "ValueCount") : cpuu_read_u32(r, "ValueCount");
    if (fixed && n > cpuu_reader_left(r) / fixed)
        cpuu_reader_fail(r, "ValueCount", "runs past the end");
    for (uint32_t i = 0; i < n && !r->failed; i++) {
        if (fixed)
            cpuu_read_skip(r, fixed, "PropertyValue");
        else if (type == CPUU_PT_STRING)
            cpuu_read_sz16(r, &size, "PropertyValue");
        else if (type == CPUU_PT_STRING8)
            cpuu_read_sz8(r, &size, "PropertyValue");
        else
            cpuu_read_skip(r, read_size(r, wide || search_binary), "PropertyValue");
    }
}

bool cpuu_rawprop_read_value(cpuu_reader *r, cpuu_form form, uint32_t tag, cpuu_rawprop *out)
{
    uint32_t type = CPUU_TAG_TYPE(tag), element = type & ~CPUU_PT_MULTIPLE;
    uint32_t start = r->pos;
    cpuu_rawprop p = {tag, {NULL, 0}, false};
    bool known = fixed_size(form, element) || element == CPUU_PT_STRING ||
                 element == CPUU_PT_STRING8 || element == CPUU_PT_BINARY;
    if (!known)
        cpuu_reader_fail(r, "PropertyType", "is not a known property type");
    else if (type & CPUU_PT_MULTIPLE)
        skip_array(r, form, element);
    else if (type == CPUU_PT_STRING || type == CPUU_PT_STRING8)
        read_text(r, form, type == CPUU_PT_STRING, &p);
    else if (type == CPUU_PT_BINARY)
        p.value = fmt_blob(r, read_size(r, form == CPUU_FORM_EXTENDED), "PropertyValue");
    else
        p.value = fmt_blob(r, fixed_size(form, type), "PropertyValue");
    if (r->failed)
        return false;
    if (type & CPUU_PT_MULTIPLE)
        p.value = (cpuu_blob){r->data + start, r->pos - start};
    *out = p;
    return true;
}

bool cpuu_rawprop_read(cpuu_reader *r, cpuu_form form, cpuu_rawprop *out)
{
    cpuu_reader before = *r;
    uint32_t tag = cpuu_read_u32(r, "PropertyTag");
    if (r->failed)
        return false;
    if (cpuu_rawprop_read_value(r, form, tag, out))
        return true;
    if (r->error.field && strcmp(r->error.field, "PropertyType") == 0)
        r->error.offset = before.base + before.pos;
    return false;
}

/* ---- writing --------------------------------------------------------------------------------- */

static bool write_size(cpuu_buf *out, bool wide, size_t n)
{
    if (!wide && n > UINT16_MAX)
        out->failed = true;
    return wide ? cpuu_buf_u32(out, (uint32_t)n) : cpuu_buf_u16(out, (uint16_t)n);
}

bool cpuu_rawprop_write(cpuu_buf *out, cpuu_form form, const cpuu_rawprop *p)
{
    uint32_t type = CPUU_TAG_TYPE(p->tag);
    bool text = type == CPUU_PT_STRING || type == CPUU_PT_STRING8;
    bool ends = text && (p->nul || form != CPUU_FORM_SEARCH);
    uint32_t nul = !ends ? 0 : type == CPUU_PT_STRING ? 2 : 1;
    cpuu_buf_u32(out, p->tag);
    if (type == CPUU_PT_BINARY)
        write_size(out, form == CPUU_FORM_EXTENDED, p->value.size);
    else if (text && form == CPUU_FORM_SEARCH)
        write_size(out, false, (size_t)p->value.size + nul);
    fmt_add(out, p->value);
    return cpuu_buf_fill(out, 0, nul);
}

/* ---- links ----------------------------------------------------------------------------------- */

/* Property ids that hold an identifier of a person or an object, [MS-OXPROPS]; 0x0001 is what
 * Outlook uses inside comments of its rule conditions (observed). */
static const struct {
    uint16_t id;
    uint16_t kind;
} linked[] = {
    {0x0001, CPUU_LINK_EID},        {0x003b, CPUU_LINK_SEARCH_KEY}, {0x003f, CPUU_LINK_EID},
    {0x0041, CPUU_LINK_EID},        {0x0043, CPUU_LINK_EID},        {0x004f, CPUU_LINK_EID},
    {0x0051, CPUU_LINK_SEARCH_KEY}, {0x0052, CPUU_LINK_SEARCH_KEY}, {0x0053, CPUU_LINK_SEARCH_KEY},
    {0x0e09, CPUU_LINK_EID},        {0x0c19, CPUU_LINK_EID},        {0x0c1d, CPUU_LINK_SEARCH_KEY},
    {0x0fff, CPUU_LINK_EID},        {0x0ff9, CPUU_LINK_RECORD_KEY}, {0x300b, CPUU_LINK_SEARCH_KEY},
    {0x5ff7, CPUU_LINK_EID},
};
static const struct {
    uint16_t id;
    uint16_t kind;
} linked_text[] = {
    {0x0001, CPUU_LINK_NAME}, {0x0065, CPUU_LINK_SMTP}, {0x0078, CPUU_LINK_SMTP},
    {0x0c1a, CPUU_LINK_NAME}, {0x0c1f, CPUU_LINK_SMTP}, {0x3001, CPUU_LINK_NAME},
    {0x3003, CPUU_LINK_SMTP}, {0x39fe, CPUU_LINK_SMTP},
};

/* What an address is, given step bytes per character; only its shape is looked at. */
static uint32_t address_kind(cpuu_blob text, uint32_t step)
{
    if (text.size > 3 * step && text.data[0] == '/' && (text.data[step] | 0x20) == 'o' &&
        text.data[2 * step] == '=')
        return CPUU_LINK_EX_DN;
    for (uint32_t i = step; i + step < text.size; i += step)
        if (text.data[i] == '@' && (step == 1 || text.data[i + 1] == 0))
            return CPUU_LINK_SMTP;
    return 0;
}

static uint32_t search_key_kind(cpuu_blob key)
{
    cpuu_blob type, address;
    static const cpuu_blob ex = {(const uint8_t *)"EX", 2}, smtp = {(const uint8_t *)"SMTP", 4};
    if (cpuu_search_key_parse(key, &type, &address) && address.size &&
        (cpuu_blob_equal_nocase(type, ex) || cpuu_blob_equal_nocase(type, smtp)))
        return CPUU_LINK_SEARCH_KEY;
    return address_kind(key, 1);
}

static uint32_t binary_link(uint32_t id, cpuu_blob value)
{
    for (size_t i = 0; i < sizeof(linked) / sizeof(linked[0]); i++)
        if (linked[i].id == id)
            return linked[i].kind == CPUU_LINK_SEARCH_KEY ? search_key_kind(value) : linked[i].kind;
    return 0;
}

uint32_t cpuu_rawprop_link(uint32_t tag, cpuu_blob value)
{
    uint32_t id = CPUU_TAG_ID(tag), type = CPUU_TAG_TYPE(tag);
    if (value.size == 0)
        return 0;
    if (type == CPUU_PT_BINARY)
        return binary_link(id, value);
    if (type != CPUU_PT_STRING && type != CPUU_PT_STRING8)
        return 0;
    for (size_t i = 0; i < sizeof(linked_text) / sizeof(linked_text[0]); i++)
        if (linked_text[i].id == id)
            return linked_text[i].kind == CPUU_LINK_NAME
                       ? CPUU_LINK_NAME
                       : address_kind(value, type == CPUU_PT_STRING ? 2 : 1);
    return 0;
}

uint32_t cpuu_rewrite_tag(cpuu_rewriter *w, uint32_t tag, cpuu_buf *out)
{
    uint8_t le[4] = {(uint8_t)tag, (uint8_t)(tag >> 8), (uint8_t)(tag >> 16), (uint8_t)(tag >> 24)};
    uint16_t id = (uint16_t)CPUU_TAG_ID(tag);
    if (id < 0x8000 || id == 0xffff || (w->named_here && w->named_here(w->context, id)))
        return tag;
    cpuu_buf answer;
    cpuu_buf_init(&answer, 64);
    bool ok = cpuu_link_ask(w->cb, w->user, CPUU_LINK_NAMED_TAG, (cpuu_blob){le, 4}, &answer,
                            &w->replaced) &&
              answer.size == 4 && cpuu_le16(answer.data) == CPUU_TAG_TYPE(tag);
    if (ok)
        tag = cpuu_le32(answer.data);
    else
        out->failed = true;
    cpuu_buf_free(&answer);
    return tag;
}

bool cpuu_rewrite_value(cpuu_rewriter *w, uint32_t kind, uint32_t type, cpuu_blob value,
                        cpuu_buf *out)
{
    if (kind == 0)
        return fmt_add(out, value);
    if (kind == CPUU_LINK_EID)
        return cpuu_eid_rewrite(value, w->cb, w->user, out, &w->replaced);
    if (type == CPUU_PT_STRING)
        return cpuu_link_ask_utf16(w->cb, w->user, kind, value, out, &w->replaced);
    return cpuu_link_ask(w->cb, w->user, kind, value, out, &w->replaced);
}

bool cpuu_rewrite_rawprop(cpuu_rewriter *w, cpuu_form form, const cpuu_rawprop *p, cpuu_buf *out)
{
    cpuu_rawprop now = *p;
    cpuu_buf value;
    uint32_t kind = cpuu_rawprop_link(p->tag, p->value);
    cpuu_buf_init(&value, out->max);
    now.tag = cpuu_rewrite_tag(w, p->tag, out);
    if (kind) {
        if (!cpuu_rewrite_value(w, kind, CPUU_TAG_TYPE(p->tag), p->value, &value))
            out->failed = true;
        now.value = (cpuu_blob){value.data, (uint32_t)value.size};
    }
    cpuu_rawprop_write(out, form, &now);
    cpuu_buf_free(&value);
    return !out->failed;
}

bool cpuu_rawprop_rewrite_row(cpuu_reader *r, cpuu_form form, uint32_t n, cpuu_rewriter *w,
                              cpuu_buf *out)
{
    cpuu_rawprop p;
    for (uint32_t i = 0; i < n; i++)
        if (!cpuu_rawprop_read(r, form, &p) || !cpuu_rewrite_rawprop(w, form, &p, out))
            return false;
    return true;
}
