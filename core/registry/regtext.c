/*
 * .reg text, in and out.
 *
 * There is no specification of the format: the rules are those of Microsoft support article 310516
 * ("How to add, modify, or delete registry subkeys and values by using a .reg file") and of what
 * regedit and hivexregedit write. Where these leave room, the stricter reading is an error with its
 * line rather than a guess: a wrong guess would end up in somebody's profile.
 */
#include "registry/backend.h"

#include "base/text.h"

#include <string.h>

typedef struct parser {
    const char *p, *end; /* UTF-8, NUL-terminated, no NUL inside */
    unsigned line;
    bool ansi; /* REGEDIT4: data of string types is 8-bit */
    char *key; /* current key, owned; NULL before the first and after a deleted one */
    char *sid; /* first HKEY_USERS\<sid> seen, owned */
    cpuu_edits *edits;
    cpuu_error *err;
} parser;

static cpuu_rc bad(parser *t, const char *what)
{
    return cpuu_fail(t->err, CPUU_E_FORMAT, ".reg text, line %u: %s", t->line, what);
}

/* ---- characters ------------------------------------------------------------------------------ */

static void skip_blanks(parser *t)
{
    while (*t->p == ' ' || *t->p == '\t')
        t->p++;
}

static bool at_line_end(const parser *t)
{
    return t->p == t->end || *t->p == '\n' || *t->p == '\r';
}

static void next_line(parser *t)
{
    if (*t->p == '\r')
        t->p++;
    if (*t->p == '\n')
        t->p++;
    t->line++;
}

/* Nothing but blanks and a comment may follow. */
static cpuu_rc end_line(parser *t)
{
    skip_blanks(t);
    if (!at_line_end(t) && *t->p != ';')
        return bad(t, "unexpected text at the end of the line");
    while (!at_line_end(t))
        t->p++;
    next_line(t);
    return CPUU_OK;
}

static bool take(parser *t, const char *word)
{
    size_t n = strlen(word);
    if (cpuu_ncasecmp(t->p, word, n) != 0)
        return false;
    t->p += n;
    return true;
}

/* A string in quotes, which may run over several lines: regedit writes line ends as they are. */
static cpuu_rc quoted(parser *t, cpuu_buf *out)
{
    unsigned first = t->line;
    for (t->p++; t->p < t->end && *t->p != '"'; t->p++) {
        if (*t->p == '\n')
            t->line++;
        if (*t->p == '\\') {
            t->p++;
            if (*t->p != '\\' && *t->p != '"')
                return bad(t, "a backslash in a string must be followed by a backslash or a quote");
        }
        if (!cpuu_buf_u8(out, (uint8_t)*t->p))
            return cpuu_nomem(t->err);
    }
    if (t->p == t->end) {
        t->line = first;
        return bad(t, "the string that begins here has no end");
    }
    t->p++;
    return CPUU_OK;
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* All of a file must be about one user. */
static cpuu_rc check_sid(parser *t, const char *sid, size_t n)
{
    if (t->sid && (strlen(t->sid) != n || cpuu_ncasecmp(t->sid, sid, n) != 0))
        return bad(t, "keys of two different users in one file");
    if (!t->sid && !(t->sid = cpuu_strndup(sid, n)))
        return cpuu_nomem(t->err);
    return CPUU_OK;
}

/* Moves *key behind the name of the root. hivexregedit --export writes no root: "[\Software]". */
static cpuu_rc strip_root(parser *t, const char **key)
{
    static const char users[] = "HKEY_USERS\\";
    static const char *const names[] = {"HKEY_CURRENT_USER", "HKCU"};
    const char *part;
    size_t n;
    if (**key == '\\')
        return CPUU_OK;
    for (size_t i = 0; i < 2; i++) {
        n = strlen(names[i]);
        if (cpuu_ncasecmp(*key, names[i], n) == 0 && ((*key)[n] == 0 || (*key)[n] == '\\')) {
            *key += n;
            return CPUU_OK;
        }
    }
    if (cpuu_ncasecmp(*key, users, sizeof(users) - 1) != 0)
        return bad(t, "only keys below HKEY_CURRENT_USER or HKEY_USERS\\<sid> can be used");
    *key += sizeof(users) - 1;
    if (!cpuu_reg_part(key, &part, &n))
        return bad(t, "HKEY_USERS without the name of a user");
    return check_sid(t, part, n);
}

static cpuu_rc key_line(parser *t)
{
    const char *start = ++t->p, *close = NULL;
    bool remove = *start == '-';
    start += remove;
    for (; !at_line_end(t); t->p++) {
        if (*t->p == ']') /* a name may hold brackets: the last one counts */
            close = t->p;
    }
    if (!close)
        return bad(t, "a key needs a closing bracket");
    t->p = close + 1;
    char *copy = cpuu_strndup(start, (size_t)(close - start));
    if (!copy)
        return cpuu_nomem(t->err);
    const char *key = copy;
    cpuu_rc rc = strip_root(t, &key);
    key += strspn(key, "\\");
    cpuu_free(t->key);
    t->key = NULL;
    if (rc == CPUU_OK && remove && !*key)
        rc = bad(t, "the root cannot be deleted");
    else if (rc == CPUU_OK && remove)
        rc = cpuu_edits_delete_key(t->edits, key, CPUU_MARK_NONE, NULL);
    else if (rc == CPUU_OK)
        rc = cpuu_edits_create_key(t->edits, key, CPUU_MARK_NONE, NULL);
    if (rc == CPUU_OK && !remove && !(t->key = cpuu_strdup(key)))
        rc = CPUU_E_NOMEM;
    cpuu_free(copy);
    if (rc == CPUU_E_NOMEM)
        return cpuu_nomem(t->err);
    return rc == CPUU_OK ? end_line(t) : rc;
}

/* ---- data ------------------------------------------------------------------------------------ */

static int digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* One to `max` hex digits. */
static cpuu_rc number(parser *t, unsigned max, uint32_t *out)
{
    uint32_t v = 0;
    unsigned n = 0;
    for (int d; (d = digit(*t->p)) >= 0; t->p++, n++) {
        if (n == max)
            return bad(t, "a hexadecimal number is too long");
        v = v << 4 | (uint32_t)d;
    }
    if (n == 0)
        return bad(t, "a hexadecimal number is expected");
    *out = v;
    return CPUU_OK;
}

/* "\" at the end of a line: the data go on in the next one. */
static void skip_continuations(parser *t)
{
    for (;;) {
        skip_blanks(t);
        if (*t->p != '\\')
            return;
        const char *backslash = t->p++;
        skip_blanks(t);
        if (!at_line_end(t) || t->p == t->end) {
            t->p = backslash;
            return;
        }
        next_line(t);
    }
}

/* A comma promises another byte: text that was cut short is an error. */
static cpuu_rc hex_bytes(parser *t, cpuu_buf *out)
{
    skip_continuations(t);
    if (at_line_end(t) || *t->p == ';')
        return CPUU_OK;
    do {
        uint32_t byte = 0;
        skip_continuations(t);
        cpuu_rc rc = number(t, 2, &byte);
        if (rc != CPUU_OK)
            return rc;
        if (!cpuu_buf_u8(out, (uint8_t)byte))
            return cpuu_nomem(t->err);
        skip_blanks(t);
    } while (take(t, ","));
    return CPUU_OK;
}

/* REGEDIT4 keeps strings in the code page of the machine that wrote the file (inferred from Wine,
 * programs/regedit/import.c). Which one is not recorded, so only ASCII can be taken. */
static cpuu_rc widen(parser *t, cpuu_buf *data)
{
    cpuu_buf wide;
    cpuu_buf_init(&wide, data->max * 2);
    for (size_t i = 0; i < data->size; i++) {
        if (data->data[i] >= 0x80) {
            cpuu_buf_free(&wide);
            return bad(t, "a REGEDIT4 string with characters outside ASCII; export the key again "
                          "as version 5.00");
        }
        cpuu_buf_u16(&wide, data->data[i]);
    }
    if (wide.failed) {
        cpuu_buf_free(&wide);
        return cpuu_nomem(t->err);
    }
    cpuu_buf_free(data);
    *data = wide;
    return CPUU_OK;
}

static cpuu_rc hex_data(parser *t, uint32_t *type, cpuu_buf *data)
{
    *type = CPUU_REG_BINARY;
    if (take(t, "(")) {
        cpuu_rc rc = number(t, 8, type);
        if (rc != CPUU_OK)
            return rc;
        if (!take(t, ")"))
            return bad(t, "hex(n: a closing parenthesis is missing");
    }
    if (!take(t, ":"))
        return bad(t, "a colon must follow hex");
    cpuu_rc rc = hex_bytes(t, data);
    bool text = *type == CPUU_REG_SZ || *type == CPUU_REG_EXPAND_SZ || *type == CPUU_REG_MULTI_SZ;
    return rc == CPUU_OK && t->ansi && text ? widen(t, data) : rc;
}

static cpuu_rc string_data(parser *t, cpuu_buf *data)
{
    cpuu_buf text;
    cpuu_buf_init(&text, data->max);
    cpuu_rc rc = quoted(t, &text);
    if (rc == CPUU_OK && (!cpuu_buf_u8(&text, 0) ||
                          !cpuu_buf_utf16(data, (const char *)text.data, true)))
        rc = cpuu_nomem(t->err);
    cpuu_buf_free(&text);
    return rc;
}

/* What follows "name"=. `remove` for a lone minus. */
static cpuu_rc value_data(parser *t, uint32_t *type, cpuu_buf *data, bool *remove)
{
    uint32_t n;
    if (*t->p == '"') {
        *type = CPUU_REG_SZ;
        return string_data(t, data);
    }
    if (take(t, "dword:")) {
        *type = CPUU_REG_DWORD;
        skip_blanks(t);
        cpuu_rc rc = number(t, 8, &n);
        return rc != CPUU_OK || cpuu_buf_u32(data, n) ? rc : cpuu_nomem(t->err);
    }
    if (take(t, "hex"))
        return hex_data(t, type, data);
    *remove = take(t, "-");
    return *remove ? CPUU_OK : bad(t, "unknown kind of data");
}

static cpuu_rc value_line(parser *t)
{
    cpuu_buf name, data;
    uint32_t type = CPUU_REG_NONE;
    bool remove = false;
    if (!t->key)
        return bad(t, "a value without a key");
    size_t limit = ((size_t)(t->end - t->p) + 2) * 4;
    cpuu_buf_init(&name, limit);
    cpuu_buf_init(&data, limit < UINT32_MAX ? limit : UINT32_MAX);
    cpuu_rc rc = take(t, "@") ? CPUU_OK : quoted(t, &name);
    if (rc == CPUU_OK && !cpuu_buf_u8(&name, 0))
        rc = cpuu_nomem(t->err);
    skip_blanks(t);
    if (rc == CPUU_OK && !take(t, "="))
        rc = bad(t, "an equals sign must follow the name of a value");
    skip_blanks(t);
    if (rc == CPUU_OK)
        rc = value_data(t, &type, &data, &remove);
    if (rc == CPUU_OK)
        rc = end_line(t);
    if (rc == CPUU_OK) {
        rc = remove ? cpuu_edits_unset(t->edits, t->key, (char *)name.data, CPUU_MARK_NONE, NULL)
                    : cpuu_edits_set(t->edits, t->key, (char *)name.data, type, data.data,
                                     (uint32_t)data.size, CPUU_MARK_NONE, NULL);
        if (rc == CPUU_E_NOMEM)
            cpuu_nomem(t->err);
    }
    cpuu_buf_free(&name);
    cpuu_buf_free(&data);
    return rc;
}

/* ---- the file -------------------------------------------------------------------------------- */

static cpuu_rc header_line(parser *t)
{
    t->ansi = take(t, "REGEDIT4");
    if (!t->ansi && !take(t, "Windows Registry Editor Version 5.00"))
        return bad(t, "'Windows Registry Editor Version 5.00' or 'REGEDIT4' is expected");
    return end_line(t);
}

/* Sections written by hivexregedit --export may come without the header line. */
static cpuu_rc parse_lines(parser *t)
{
    while (t->p < t->end && (at_line_end(t) || *t->p == ' '))
        *t->p == ' ' ? (void)t->p++ : next_line(t);
    cpuu_rc rc = *t->p == '[' && t->p[1] == '\\' ? CPUU_OK : header_line(t);
    while (rc == CPUU_OK && t->p < t->end) {
        skip_blanks(t);
        if (*t->p == '[')
            rc = key_line(t);
        else if (*t->p == '"' || *t->p == '@')
            rc = value_line(t);
        else
            rc = end_line(t);
    }
    return rc;
}

/* Any of the encodings as UTF-8 with a NUL. */
static cpuu_rc to_utf8(const uint8_t *p, size_t size, cpuu_buf *out, cpuu_error *err)
{
    bool wide = size >= 2 && p[0] == 0xff && p[1] == 0xfe;
    if (size >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) {
        p += 3;
        size -= 3;
    }
    if (size > UINT32_MAX / 4)
        return cpuu_fail(err, CPUU_E_TOOBIG, ".reg text of more than 1 GiB");
    if (wide && size % 2)
        return cpuu_fail(err, CPUU_E_FORMAT, ".reg text in UTF-16 has an odd number of bytes");
    bool done = wide ? cpuu_buf_utf8_from_utf16(out, p + 2, (uint32_t)size - 2)
                     : cpuu_buf_add(out, p, size);
    if (!done || !cpuu_buf_u8(out, 0))
        return cpuu_nomem(err);
    if (!cpuu_utf8_valid((const char *)out->data, out->size - 1))
        return cpuu_fail(err, CPUU_E_FORMAT, ".reg text is neither UTF-16LE with a byte order mark "
                                             "nor UTF-8");
    return CPUU_OK;
}

cpuu_rc cpuu_reg_parse_text(const void *text, size_t size, cpuu_edits *out, cpuu_error *err)
{
    cpuu_buf utf8;
    size_t before = out->count;
    cpuu_buf_init(&utf8, size * 2 + 1);
    cpuu_rc rc = to_utf8(text, size, &utf8, err);
    if (rc == CPUU_OK) {
        const char *p = (const char *)utf8.data;
        parser t = {p, p + utf8.size - 1, 1, false, NULL, NULL, out, err};
        rc = parse_lines(&t);
        cpuu_free(t.key);
        cpuu_free(t.sid);
    }
    if (rc != CPUU_OK)
        cpuu_edits_truncate(out, before);
    cpuu_buf_free(&utf8);
    return rc;
}

/* ---- export ---------------------------------------------------------------------------------- */

static void put(cpuu_buf *out, const char *text)
{
    cpuu_buf_add(out, text, strlen(text));
}

static void put_quoted(cpuu_buf *out, const char *text, size_t n)
{
    put(out, "\"");
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '"' || text[i] == '\\')
            put(out, "\\");
        cpuu_buf_u8(out, (uint8_t)text[i]);
    }
    put(out, "\"");
}

/* UTF-16 that a quoted string can carry: one NUL, at the end, no control character or lone
 * surrogate. */
static bool plain_string(const cpuu_reg_value *v)
{
    if (v->type != CPUU_REG_SZ || v->size < 2 || v->size % 2 || cpuu_le16(v->data + v->size - 2))
        return false;
    for (uint32_t i = 0; i + 2 < v->size; i += 2) {
        uint16_t c = cpuu_le16(v->data + i);
        if (c < 0x20 || (c >= 0xdc00 && c <= 0xdfff))
            return false;
        if (c < 0xd800 || c > 0xdbff)
            continue;
        i += 2;
        c = cpuu_le16(v->data + i); /* at worst the NUL at the end */
        if (c < 0xdc00 || c > 0xdfff)
            return false;
    }
    return true;
}

static void put_hex(cpuu_buf *out, const cpuu_reg_value *v)
{
    char head[24] = "hex:";
    if (v->type != CPUU_REG_BINARY) {
        char *text = cpuu_asprintf("hex(%x):", (unsigned)v->type);
        if (!text) {
            out->failed = true;
            return;
        }
        memcpy(head, text, strlen(text) + 1);
        cpuu_free(text);
    }
    put(out, head);
    for (uint32_t i = 0; i < v->size; i++) {
        char two[3];
        cpuu_hex(two, v->data + i, 1);
        put(out, i == 0 ? "" : i % 25 ? "," : ",\\\r\n  ");
        put(out, two);
    }
}

static cpuu_rc put_value(cpuu_buf *out, const cpuu_reg_value *v, cpuu_error *err)
{
    if (*v->name)
        put_quoted(out, v->name, strlen(v->name));
    else
        put(out, "@");
    put(out, "=");
    if (plain_string(v)) {
        cpuu_buf text;
        cpuu_buf_init(&text, (size_t)v->size * 2);
        bool done = cpuu_buf_utf8_from_utf16(&text, v->data, v->size - 2);
        put_quoted(out, (const char *)text.data, text.size);
        cpuu_buf_free(&text);
        if (!done)
            return cpuu_nomem(err);
    } else if (v->type == CPUU_REG_DWORD && v->size == 4) {
        static const char digits[] = "0123456789abcdef";
        put(out, "dword:");
        for (int shift = 28; shift >= 0; shift -= 4)
            cpuu_buf_u8(out, (uint8_t)digits[cpuu_le32(v->data) >> shift & 15]);
    } else {
        put_hex(out, v);
    }
    put(out, "\r\n");
    return CPUU_OK;
}

static cpuu_rc put_values(cpuu_reg *reg, const char *key, cpuu_buf *out, cpuu_error *err)
{
    cpuu_reg_values values;
    cpuu_rc rc = cpuu_reg_values_of(reg, key, &values, err);
    if (rc != CPUU_OK)
        return rc;
    put(out, "\r\n[HKEY_CURRENT_USER");
    put(out, *key ? "\\" : "");
    put(out, key);
    put(out, "]\r\n");
    for (size_t i = 0; rc == CPUU_OK && i < values.count; i++)
        rc = put_value(out, &values.items[i], err);
    cpuu_reg_values_free(&values);
    if (rc == CPUU_OK && out->failed)
        rc = cpuu_fail(err, CPUU_E_TOOBIG, "the .reg text of key '%s' does not fit", key);
    return rc;
}

/* Depth is bounded by CPUU_REG_MAX_DEPTH, which every backend keeps. */
static cpuu_rc put_key(cpuu_reg *reg, const char *key, cpuu_buf *out, cpuu_error *err)
{
    cpuu_reg_names kids;
    cpuu_rc rc = put_values(reg, key, out, err);
    if (rc != CPUU_OK)
        return rc;
    rc = cpuu_reg_keys(reg, key, &kids, err);
    for (size_t i = 0; rc == CPUU_OK && i < kids.count; i++) {
        char *kid = cpuu_reg_join(key, kids.items[i]);
        rc = kid ? put_key(reg, kid, out, err) : cpuu_nomem(err);
        cpuu_free(kid);
    }
    cpuu_reg_names_free(&kids);
    return rc;
}

cpuu_rc cpuu_reg_export_text(cpuu_reg *reg, const char *key, cpuu_buf *out, cpuu_error *err)
{
    put(out, "Windows Registry Editor Version 5.00\r\n");
    return put_key(reg, key, out, err);
}
