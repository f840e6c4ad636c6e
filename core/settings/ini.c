/* See ini.h. The file is decoded to UTF-8 once, cut into logical lines, and inih splits those. */
#include "settings/ini.h"

#include "base/text.h"

#include <cpuu/formats/bytes.h>

#include <ini.h>
#include <string.h>

/* A logical line may be a paragraph of several physical ones; the same limit holds for it. */
#define MAX_INIH_LINE (CPUU_INI_MAX_LINE + 16)

typedef struct source {
    const char *name; /* of the file, for messages */
    const char *text; /* UTF-8 */
    size_t size, pos;
    unsigned line;  /* number of the physical line read last */
    unsigned start; /* where the logical line starts */
    const char *section;
    cpuu_ini_classify classify;
    cpuu_ini *out;
    size_t used;   /* of out->text */
    char *pending; /* logical line not yet handed over completely */
    size_t pending_pos;
    char *inih_buffer; /* inih's own line buffer; wiped at the end */
    size_t inih_size;
    char line_buffer[CPUU_INI_MAX_LINE + 4];
    cpuu_error *err;
    cpuu_rc rc;
} source;

/* ---- decoding -------------------------------------------------------------------------------- */

/* windows-1252, 0x80-0x9f; the five unassigned bytes stand for themselves (WHATWG Encoding). */
static const uint16_t windows_1252[32] = {
    0x20ac, 0x0081, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
    0x2039, 0x0152, 0x008d, 0x017d, 0x008f, 0x0090, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
    0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x009d, 0x017e, 0x0178};

static void add_bmp(cpuu_buf *b, uint32_t c)
{
    if (c < 0x80) {
        cpuu_buf_u8(b, (uint8_t)c);
    } else if (c < 0x800) {
        cpuu_buf_u8(b, (uint8_t)(0xc0 | c >> 6));
        cpuu_buf_u8(b, (uint8_t)(0x80 | (c & 0x3f)));
    } else {
        cpuu_buf_u8(b, (uint8_t)(0xe0 | c >> 12));
        cpuu_buf_u8(b, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
        cpuu_buf_u8(b, (uint8_t)(0x80 | (c & 0x3f)));
    }
}

static void decode_1252(cpuu_buf *b, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        add_bmp(b, p[i] >= 0x80 && p[i] < 0xa0 ? windows_1252[p[i] - 0x80] : p[i]);
}

/* Valid UTF-8 apart from NUL, which is reported later with its line. */
static bool is_utf8(const char *p, size_t n)
{
    while (n) {
        const char *nul = memchr(p, 0, n);
        size_t part = nul ? (size_t)(nul - p) : n;
        if (!cpuu_utf8_valid(p, part))
            return false;
        if (!nul)
            return true;
        p += part + 1;
        n -= part + 1;
    }
    return true;
}

/* Byte 0 or 1 is NUL: no 8-bit text begins so, but UTF-16 without a byte order mark does. */
static bool is_utf16(const uint8_t *p, size_t n, bool big_endian)
{
    return n >= 2 && ((p[0] == (big_endian ? 0xfe : 0xff) && p[1] == (big_endian ? 0xff : 0xfe)) ||
                      (!p[0] == big_endian && !p[1] == !big_endian));
}

static cpuu_rc decode(const uint8_t *p, size_t n, const char *name, cpuu_buf *text, cpuu_error *err)
{
    if (is_utf16(p, n, true))
        return cpuu_fail(err, CPUU_E_USAGE,
                         "%s:1: the file is big-endian UTF-16; save it as UTF-8 or as \"Unicode\"",
                         name);
    /* Room for the longest result, so that no copy of a password is left behind by growing. */
    if (!cpuu_buf_fill(text, 0, n * 3 + 1))
        return cpuu_nomem(err);
    cpuu_buf_reset(text);
    if (is_utf16(p, n, false)) {
        size_t mark = p[1] ? 2 : 0;
        if (n % 2)
            return cpuu_fail(err, CPUU_E_USAGE, "%s: UTF-16 file with an odd number of bytes",
                             name);
        cpuu_buf_utf8_from_utf16(text, p + mark, (uint32_t)(n - mark));
    } else if (n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) {
        if (!is_utf8((const char *)p + 3, n - 3))
            return cpuu_fail(err, CPUU_E_USAGE, "%s: the file is marked as UTF-8 but is not", name);
        cpuu_buf_add(text, p + 3, n - 3);
    } else if (is_utf8((const char *)p, n)) {
        cpuu_buf_add(text, p, n);
    } else {
        decode_1252(text, p, n);
    }
    return text->failed ? cpuu_nomem(err) : CPUU_OK;
}

/* ---- physical lines -------------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\v' || c == '\f';
}

static bool stop(source *s, const char *what)
{
    if (s->rc == CPUU_OK)
        s->rc = cpuu_fail(s->err, CPUU_E_USAGE, "%s:%u: %s", s->name, s->line, what);
    return false;
}

/* The next line, blanks trimmed at both ends; false at the end of the file or on an error. */
static bool next_line(source *s, const char **line, size_t *size)
{
    if (s->rc != CPUU_OK || s->pos >= s->size)
        return false;
    const char *p = s->text + s->pos;
    size_t left = s->size - s->pos, n = 0;
    while (n < left && p[n] != '\n' && p[n] != '\r')
        n++;
    s->pos += n;
    if (s->pos < s->size)
        s->pos += p[n] == '\r' && n + 1 < left && p[n + 1] == '\n' ? 2 : 1;
    s->line++;
    if (memchr(p, 0, n))
        return stop(s, "the line holds a NUL character; save the file as UTF-8 or as \"Unicode\"");
    if (n > CPUU_INI_MAX_LINE)
        return stop(s, "the line is longer than 64 KiB");
    while (n && is_blank(*p)) {
        p++;
        n--;
    }
    while (n && is_blank(p[n - 1]))
        n--;
    *line = p;
    *size = n;
    return true;
}

/* ---- logical lines --------------------------------------------------------------------------- */

static bool is_list(const char *section)
{
    return cpuu_ncasecmp(section, "Mailboxes", 9) == 0 ||
           cpuu_ncasecmp(section, "TargetMailboxes", 15) == 0;
}

/* What the text before "=" is to the caller. */
static cpuu_ini_key classify(const source *s, const char *line, size_t size)
{
    const char *equals = memchr(line, '=', size);
    char key[64];
    size_t n = equals ? (size_t)(equals - line) : 0;
    while (n && is_blank(line[n - 1]))
        n--;
    if (!s->classify || n == 0 || n >= sizeof(key))
        return CPUU_INI_UNKNOWN;
    memcpy(key, line, n);
    key[n] = 0;
    return s->classify(s->section, key);
}

/* Appends the lines that continue a paragraph to line_buffer. */
static bool continue_paragraph(source *s, size_t used)
{
    for (;;) {
        size_t pos = s->pos, n;
        unsigned number = s->line;
        const char *line;
        if (!next_line(s, &line, &n))
            return s->rc == CPUU_OK;
        if (n == 0 || *line == ';' || *line == '[' || classify(s, line, n) != CPUU_INI_UNKNOWN) {
            s->pos = pos; /* not ours: to be read again */
            s->line = number;
            return true;
        }
        if (used + 1 + n > CPUU_INI_MAX_LINE)
            return stop(s, "the value that continues here is longer than 64 KiB");
        s->line_buffer[used++] = ' ';
        memcpy(s->line_buffer + used, line, n);
        used += n;
        memcpy(s->line_buffer + used, "\n", 2);
    }
}

static cpuu_rc add_entry(source *s, const char *key, const char *value);

static bool start_section(source *s, const char *line, size_t size)
{
    const char *end = memchr(line, ']', size);
    if (!end)
        return stop(s, "section header without ']'");
    line++;
    while (line < end && is_blank(*line))
        line++;
    while (end > line && is_blank(end[-1]))
        end--;
    char *name = cpuu_arena_alloc(&s->out->names, (size_t)(end - line) + 1);
    if (!name) {
        s->rc = cpuu_nomem(s->err);
        return false;
    }
    memcpy(name, line, (size_t)(end - line));
    s->section = name;
    s->rc = add_entry(s, NULL, NULL);
    return s->rc == CPUU_OK;
}

/* A line in which ":" comes before "=" must not be split at the colon, as inih would do. */
static bool add_colon_line(source *s)
{
    char *equals = strchr(s->line_buffer, '=');
    char *end = s->line_buffer + strlen(s->line_buffer) - 1;
    char *value = NULL;
    *end = 0;
    if (equals) {
        value = equals + 1;
        while (is_blank(*value))
            value++;
        while (equals > s->line_buffer && is_blank(equals[-1]))
            equals--;
        *equals = 0;
    }
    s->rc = add_entry(s, s->line_buffer, value);
    return s->rc == CPUU_OK;
}

/* Prepares the next line that inih is to see in line_buffer, with a newline at its end. */
static bool next_logical(source *s)
{
    const char *line;
    size_t n;
    while (next_line(s, &line, &n)) {
        s->start = s->line;
        if (n == 0 || *line == ';')
            continue;
        if (*line == '[' && !start_section(s, line, n))
            return false;
        bool list = *line != '[' && is_list(s->section);
        memcpy(s->line_buffer, "=", 1); /* a nameless key: the line is kept whole */
        memcpy(s->line_buffer + list, line, n);
        memcpy(s->line_buffer + list + n, "\n", 2);
        if (*line == '[' || list)
            return true;
        if (classify(s, line, n) == CPUU_INI_PARAGRAPH && !continue_paragraph(s, n))
            return false;
        if (s->line_buffer[strcspn(s->line_buffer, "=:")] != ':')
            return true;
        if (!add_colon_line(s))
            return false;
    }
    return false;
}

/* inih's reader: like fgets(). */
static char *read_for_inih(char *out, int room, void *user)
{
    source *s = user;
    s->inih_buffer = out;
    s->inih_size = (size_t)room;
    if (!s->pending) {
        if (!next_logical(s)) {
            explicit_bzero(out, (size_t)room);
            return NULL;
        }
        s->pending = s->line_buffer;
    }
    size_t n = strlen(s->pending);
    if (n > (size_t)room - 1)
        n = (size_t)room - 1;
    memcpy(out, s->pending, n);
    out[n] = 0;
    s->pending = s->pending[n] ? s->pending + n : NULL;
    return out;
}

/* ---- entries --------------------------------------------------------------------------------- */

/* The text area has room for every line of the file twice: for value and raw. */
static char *keep(source *s, const char *text, size_t n)
{
    char *p = s->out->text + s->used;
    memcpy(p, text, n);
    p[n] = 0;
    s->used += n + 1;
    return p;
}

/* One pair of quotes, as GetPrivateProfileString takes it off. */
static char *unquoted(source *s, const char *raw)
{
    size_t n = strlen(raw);
    bool quoted = n >= 2 && (*raw == '"' || *raw == '\'') && raw[n - 1] == *raw &&
                  !memchr(raw + 1, *raw, n - 2);
    return quoted ? keep(s, raw + 1, n - 2) : keep(s, raw, n);
}

static cpuu_rc add_entry(source *s, const char *key, const char *value)
{
    cpuu_ini *ini = s->out;
    if (!cpuu_grow(&ini->items, &ini->cap, ini->count, sizeof(*ini->items)))
        return cpuu_nomem(s->err);
    cpuu_ini_entry *e = &ini->items[ini->count++];
    e->section = s->section;
    e->line = s->start;
    e->key = key ? keep(s, key, strlen(key)) : NULL;
    e->raw = value ? keep(s, value, strlen(value)) : NULL;
    e->value = value ? unquoted(s, value) : NULL;
    return CPUU_OK;
}

static int on_entry(void *user, const char *section, const char *key, const char *value)
{
    source *s = user;
    (void)section; /* cut at 49 bytes by inih; ours is whole */
    if (s->rc == CPUU_OK)
        s->rc = add_entry(s, key, value);
    return 1;
}

/* The library keeps its options in variables (Debian builds it so; configure checks for them). */
static int run_inih(source *s)
{
    ini_use_stack = false;
    ini_initial_alloc = MAX_INIH_LINE;
    ini_max_line = MAX_INIH_LINE;
    ini_allow_realloc = true;
    ini_allow_multiline = false;
    ini_allow_inline_comments = false;
    ini_allow_no_value = true;
    ini_allow_bom = false;
    ini_stop_on_first_error = false;
    ini_start_comment_prefixes = ";";
    return ini_parse_stream(read_for_inih, s, on_entry, s);
}

static cpuu_rc parse_text(source *s, const cpuu_buf *text)
{
    cpuu_ini *ini = s->out;
    s->text = (const char *)text->data;
    s->size = text->size;
    s->section = "";
    /* A line of n bytes gives at most a key, a raw value and a value: under 2n + 3 bytes; a line
     * that is one byte long and its end give 2n + 3 <= 3 (n + 1). */
    ini->text_size = text->size * 3 + 16;
    ini->text = cpuu_calloc(1, ini->text_size);
    if (!ini->text)
        return cpuu_nomem(s->err);
    int result = run_inih(s);
    if (s->rc == CPUU_OK && result == -2)
        s->rc = cpuu_nomem(s->err);
    else if (s->rc == CPUU_OK && result != 0)
        s->rc = cpuu_fail(s->err, CPUU_E_USAGE, "%s: cannot be read as an INI file", s->name);
    return s->rc;
}

cpuu_rc cpuu_ini_parse(const void *data, size_t size, const char *name,
                       cpuu_ini_classify classifier, cpuu_ini *out, cpuu_error *err)
{
    memset(out, 0, sizeof(*out));
    if (size > CPUU_INI_MAX_FILE)
        return cpuu_fail(err, CPUU_E_USAGE, "%s: larger than 4 MiB", name);
    source *s = cpuu_calloc(1, sizeof(*s));
    if (!s)
        return cpuu_nomem(err);
    s->name = name;
    s->classify = classifier;
    s->out = out;
    s->err = err;
    cpuu_buf text;
    cpuu_buf_init(&text, size * 3 + 1);
    cpuu_rc rc = decode(data, size, name, &text, err);
    if (rc == CPUU_OK)
        rc = parse_text(s, &text);
    if (rc != CPUU_OK)
        cpuu_ini_free(out);
    if (text.data)
        explicit_bzero(text.data, text.size);
    cpuu_buf_free(&text);
    explicit_bzero(s, sizeof(*s));
    cpuu_free(s);
    return rc;
}

void cpuu_ini_free(cpuu_ini *ini)
{
    if (ini->text)
        explicit_bzero(ini->text, ini->text_size);
    cpuu_free(ini->text);
    cpuu_free(ini->items);
    cpuu_arena_free(&ini->names);
    memset(ini, 0, sizeof(*ini));
}
