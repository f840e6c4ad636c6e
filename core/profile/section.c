#include "profile/section.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

const uint8_t cpuu_mdb_primary[16] = {0x54, 0x94, 0xa1, 0xc0, 0x29, 0x7f, 0x10, 0x1b,
                                      0xa5, 0x87, 0x08, 0x00, 0x2b, 0x2a, 0x25, 0x17};
const uint8_t cpuu_mdb_delegate[16] = {0x9e, 0xb4, 0x77, 0x00, 0x74, 0xe4, 0x11, 0xce,
                                       0x8c, 0x5e, 0x00, 0xaa, 0x00, 0x42, 0x54, 0xe2};
const uint8_t cpuu_mdb_public[16] = {0x78, 0xb2, 0xfa, 0x70, 0xaf, 0xf7, 0x11, 0xcd,
                                     0x9b, 0xc8, 0x00, 0xaa, 0x00, 0x2f, 0xc4, 0x5a};

cpuu_rc cpuu_pass(cpuu_error *err, const cpuu_error *why)
{
    if (err)
        *err = *why;
    return why->rc;
}

char *cpuu_section_key(const cpuu_profile *p, const char *name)
{
    return cpuu_reg_join(p->key, name);
}

cpuu_rc cpuu_section_open_key(cpuu_reg *reg, const char *key, cpuu_section *out, cpuu_error *err)
{
    cpuu_section s = {0};
    s.key = cpuu_strdup(key);
    if (!s.key)
        return cpuu_nomem(err);
    cpuu_error why = CPUU_ERROR_INIT;
    cpuu_rc rc = cpuu_reg_values_of(reg, key, &s.v, &why);
    if (rc < 0 && rc != CPUU_E_NOTFOUND) {
        cpuu_free(s.key);
        return cpuu_pass(err, &why);
    }
    s.exists = rc >= 0;
    *out = s;
    return CPUU_OK;
}

cpuu_rc cpuu_section_open(cpuu_profile *p, const char *name, cpuu_section *out, cpuu_error *err)
{
    char *key = cpuu_section_key(p, name);
    if (!key)
        return cpuu_nomem(err);
    cpuu_rc rc = cpuu_section_open_key(p->reg, key, out, err);
    cpuu_free(key);
    return rc;
}

cpuu_rc cpuu_key_exists(cpuu_reg *reg, const char *key, bool *exists, cpuu_error *err)
{
    cpuu_reg_names names;
    cpuu_error why = CPUU_ERROR_INIT;
    cpuu_rc rc = cpuu_reg_keys(reg, key, &names, &why);
    if (rc < 0 && rc != CPUU_E_NOTFOUND)
        return cpuu_pass(err, &why);
    *exists = rc >= 0;
    if (rc >= 0)
        cpuu_reg_names_free(&names);
    return CPUU_OK;
}

cpuu_rc cpuu_section_exists(cpuu_profile *p, const char *name, bool *exists, cpuu_error *err)
{
    char *key = cpuu_section_key(p, name);
    cpuu_rc rc = key ? cpuu_key_exists(p->reg, key, exists, err) : cpuu_nomem(err);
    cpuu_free(key);
    return rc;
}

void cpuu_section_close(cpuu_section *s)
{
    cpuu_reg_values_free(&s->v);
    cpuu_free(s->key);
    memset(s, 0, sizeof(*s));
}

void cpuu_tag_name(char out[9], uint32_t tag)
{
    snprintf(out, 9, "%04x%04x", (unsigned)(tag & 0xffff), (unsigned)(tag >> 16));
}

bool cpuu_tag_parse(const char *name, uint32_t *tag)
{
    uint8_t b[4];
    if (strlen(name) != 8 || !cpuu_unhex(b, name, 4))
        return false;
    *tag = TAG((uint32_t)b[2] << 8 | b[3], (uint32_t)b[0] << 8 | b[1]);
    return true;
}

const cpuu_reg_value *cpuu_section_find(const cpuu_section *s, uint32_t tag)
{
    char name[9];
    cpuu_tag_name(name, tag);
    return cpuu_reg_find(&s->v, name);
}

uint32_t cpuu_section_u32(const cpuu_section *s, uint32_t tag, uint32_t missing)
{
    const cpuu_reg_value *v = cpuu_section_find(s, tag);
    return v && v->size == 4 ? cpuu_le32(v->data) : missing;
}

bool cpuu_section_uid(const cpuu_section *s, uint32_t tag, uint8_t uid[16])
{
    const cpuu_reg_value *v = cpuu_section_find(s, tag);
    if (!v || v->type != CPUU_REG_BINARY || v->size != 16)
        return false;
    memcpy(uid, v->data, 16);
    return true;
}

bool cpuu_section_is(const cpuu_section *s, uint32_t tag, const uint8_t uid[16])
{
    uint8_t have[16];
    return cpuu_section_uid(s, tag, have) && memcmp(have, uid, 16) == 0;
}

static uint32_t text_length(const cpuu_reg_value *v)
{
    uint32_t n = 0;
    while (v->size - n >= 2 && (v->data[n] || v->data[n + 1]))
        n += 2;
    return n;
}

cpuu_rc cpuu_value_text(const cpuu_reg_value *v, cpuu_arena *arena, char **out, cpuu_error *err)
{
    char *text = NULL;
    bool sz = v && (v->type == CPUU_REG_SZ || v->type == CPUU_REG_EXPAND_SZ);
    if (v && (sz || (v->type == CPUU_REG_BINARY && v->size % 2 == 0))) {
        cpuu_buf b;
        cpuu_buf_init(&b, (size_t)v->size * 2 + 1);
        if (cpuu_buf_utf8_from_utf16(&b, v->data, text_length(v)) && cpuu_buf_u8(&b, 0))
            text = cpuu_arena_dup(arena, b.data, b.size);
        cpuu_buf_free(&b);
        if (!text)
            return cpuu_nomem(err);
    }
    *out = text;
    return CPUU_OK;
}

cpuu_rc cpuu_section_text(const cpuu_section *s, uint32_t id, cpuu_arena *arena, char **out,
                          cpuu_error *err)
{
    static const uint32_t types[] = {PT_UNICODE, PT_STRING8};
    char *text = NULL;
    for (size_t i = 0; i < 2 && !text; i++) {
        cpuu_rc rc = cpuu_value_text(cpuu_section_find(s, TAG(id, types[i])), arena, &text, err);
        if (rc < 0)
            return rc;
        if (text && !*text)
            text = NULL;
    }
    *out = text;
    return CPUU_OK;
}

size_t cpuu_uids_count(const cpuu_reg_value *v)
{
    bool is_list = v && v->type == CPUU_REG_BINARY && v->size <= 16 * CPUU_MAX_UIDS;
    return is_list ? v->size / 16 : 0;
}

bool cpuu_uids_has(const cpuu_reg_value *v, const uint8_t uid[16])
{
    for (size_t i = 0; i < cpuu_uids_count(v); i++)
        if (memcmp(v->data + 16 * i, uid, 16) == 0)
            return true;
    return false;
}

char *cpuu_uid_text(cpuu_arena *arena, const uint8_t uid[16])
{
    char *text = cpuu_arena_alloc(arena, 33);
    if (text)
        cpuu_hex(text, uid, 16);
    return text;
}
