/* Bounds-checked readers and bounded buffers; see cpuu/formats/bytes.h for the promises. */
#include <cpuu/formats/bytes.h>

#include <stdlib.h>
#include <string.h>

void *(*cpuu_fmt_realloc)(void *p, size_t n) = realloc;
void (*cpuu_fmt_free)(void *p) = free;

/* ---- reader ---------------------------------------------------------------------------------- */

void cpuu_reader_init(cpuu_reader *r, const void *data, size_t size)
{
    memset(r, 0, sizeof(*r));
    r->data = data ? data : (const uint8_t *)"";
    r->size = size > UINT32_MAX ? UINT32_MAX : (uint32_t)size;
    if (size > UINT32_MAX)
        cpuu_reader_fail(r, "input", "is larger than 4 GiB");
}

bool cpuu_reader_fail(cpuu_reader *r, const char *field, const char *what)
{
    if (!r->failed) {
        r->failed = true;
        r->error.offset = r->base + r->pos;
        r->error.field = field;
        r->error.what = what;
    }
    return false;
}

static const uint8_t *take(cpuu_reader *r, uint32_t n, const char *field)
{
    if (r->failed)
        return NULL;
    if (n > r->size - r->pos) {
        cpuu_reader_fail(r, field, "runs past the end");
        return NULL;
    }
    const uint8_t *p = r->data + r->pos;
    r->pos += n;
    return p;
}

cpuu_reader cpuu_reader_sub(cpuu_reader *r, uint32_t n, const char *field)
{
    cpuu_reader sub;
    uint32_t base = r->base + r->pos;
    const uint8_t *p = take(r, n, field);
    cpuu_reader_init(&sub, p, p ? n : 0);
    sub.base = base;
    if (!p) {
        sub.failed = true;
        sub.error = r->error;
    }
    return sub;
}

bool cpuu_reader_join(cpuu_reader *r, const cpuu_reader *sub)
{
    if (sub->failed && !r->failed) {
        r->failed = true;
        r->error = sub->error;
    }
    return !r->failed;
}

uint8_t cpuu_read_u8(cpuu_reader *r, const char *field)
{
    const uint8_t *p = take(r, 1, field);
    return p ? *p : 0;
}

uint16_t cpuu_read_u16(cpuu_reader *r, const char *field)
{
    const uint8_t *p = take(r, 2, field);
    return p ? cpuu_le16(p) : 0;
}

uint32_t cpuu_read_u32(cpuu_reader *r, const char *field)
{
    const uint8_t *p = take(r, 4, field);
    return p ? cpuu_le32(p) : 0;
}

uint64_t cpuu_read_u64(cpuu_reader *r, const char *field)
{
    const uint8_t *p = take(r, 8, field);
    return p ? cpuu_le64(p) : 0;
}

const uint8_t *cpuu_read_bytes(cpuu_reader *r, uint32_t n, const char *field)
{
    return take(r, n, field);
}

const uint8_t *cpuu_read_sz8(cpuu_reader *r, uint32_t *size, const char *field)
{
    *size = 0;
    if (r->failed)
        return NULL;
    const uint8_t *p = r->data + r->pos;
    const uint8_t *end = memchr(p, 0, r->size - r->pos);
    if (!end) {
        cpuu_reader_fail(r, field, "has no terminating NUL");
        return NULL;
    }
    *size = (uint32_t)(end - p);
    r->pos += *size + 1;
    return p;
}

const uint8_t *cpuu_read_sz16(cpuu_reader *r, uint32_t *size, const char *field)
{
    *size = 0;
    if (r->failed)
        return NULL;
    const uint8_t *p = r->data + r->pos;
    uint32_t left = r->size - r->pos;
    for (uint32_t i = 0; left - i >= 2; i += 2) {
        if (p[i] == 0 && p[i + 1] == 0) {
            *size = i;
            r->pos += i + 2;
            return p;
        }
    }
    cpuu_reader_fail(r, field, "has no terminating NUL");
    return NULL;
}

void cpuu_read_skip(cpuu_reader *r, uint32_t n, const char *field)
{
    take(r, n, field);
}

/* ---- buffer ---------------------------------------------------------------------------------- */

void cpuu_buf_init(cpuu_buf *b, size_t max)
{
    memset(b, 0, sizeof(*b));
    b->max = max;
}

void cpuu_buf_free(cpuu_buf *b)
{
    cpuu_fmt_free(b->data);
    cpuu_buf_init(b, b->max);
}

void cpuu_buf_reset(cpuu_buf *b)
{
    b->size = 0;
    b->failed = false;
}

#define LARGE (1u << 20) /* bytes */

static bool reserve(cpuu_buf *b, size_t n)
{
    if (b->failed || n > b->max - b->size) {
        b->failed = true;
        return false;
    }
    size_t need = b->size + n;
    if (need <= b->cap)
        return true;
    size_t cap = b->cap < 64 ? 64 : b->cap;
    while (cap < need)
        cap = cap >= LARGE ? need + need / 4 : cap * 2;
    if (cap > b->max)
        cap = b->max;
    uint8_t *p = cpuu_fmt_realloc(b->data, cap);
    if (!p) {
        b->failed = true;
        return false;
    }
    b->data = p;
    b->cap = cap;
    return true;
}

bool cpuu_buf_add(cpuu_buf *b, const void *data, size_t n)
{
    if (!reserve(b, n))
        return false;
    if (n) {
        memcpy(b->data + b->size, data, n);
        b->size += n;
    }
    return true;
}

bool cpuu_buf_fill(cpuu_buf *b, uint8_t byte, size_t n)
{
    if (!reserve(b, n))
        return false;
    if (n) {
        memset(b->data + b->size, byte, n);
        b->size += n;
    }
    return true;
}

bool cpuu_buf_u8(cpuu_buf *b, uint8_t v)
{
    return cpuu_buf_add(b, &v, 1);
}

bool cpuu_buf_u16(cpuu_buf *b, uint16_t v)
{
    uint8_t le[2] = {(uint8_t)v, (uint8_t)(v >> 8)};
    return cpuu_buf_add(b, le, sizeof(le));
}

bool cpuu_buf_u32(cpuu_buf *b, uint32_t v)
{
    uint8_t le[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    return cpuu_buf_add(b, le, sizeof(le));
}

bool cpuu_buf_u64(cpuu_buf *b, uint64_t v)
{
    return cpuu_buf_u32(b, (uint32_t)v) && cpuu_buf_u32(b, (uint32_t)(v >> 32));
}

bool cpuu_buf_sz(cpuu_buf *b, const char *text)
{
    return cpuu_buf_add(b, text, strlen(text) + 1);
}

bool cpuu_buf_put(cpuu_buf *b, size_t pos, const void *data, size_t n)
{
    if (b->failed || pos > b->size || n > b->size - pos) {
        b->failed = true;
        return false;
    }
    if (n)
        memcpy(b->data + pos, data, n);
    return true;
}

bool cpuu_buf_put_u16(cpuu_buf *b, size_t pos, uint16_t v)
{
    uint8_t le[2] = {(uint8_t)v, (uint8_t)(v >> 8)};
    return cpuu_buf_put(b, pos, le, sizeof(le));
}

bool cpuu_buf_put_u32(cpuu_buf *b, size_t pos, uint32_t v)
{
    uint8_t le[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    return cpuu_buf_put(b, pos, le, sizeof(le));
}

/* ---- text ------------------------------------------------------------------------------------ */

/* Decodes one code point of well-formed UTF-8; returns its length in bytes, or 0. */
static unsigned utf8_next(const uint8_t *p, size_t left, uint32_t *cp)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned n = p[0] < 0x80 ? 1 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
                 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : 0;
    if (n == 0 || n > left)
        return 0;
    uint32_t v = n == 1 ? p[0] : p[0] & (0x7fu >> n);
    for (unsigned i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        v = (v << 6) | (p[i] & 0x3fu);
    }
    if (v < least[n] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
        return 0;
    *cp = v;
    return n;
}

bool cpuu_utf8_valid(const char *text, size_t n)
{
    const uint8_t *p = (const uint8_t *)text;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        unsigned len = utf8_next(p + i, n - i, &cp);
        if (len == 0 || cp == 0)
            return false;
        i += len;
    }
    return true;
}

bool cpuu_buf_utf16(cpuu_buf *b, const char *utf8, bool nul)
{
    return cpuu_buf_utf16_n(b, utf8, strlen(utf8), nul);
}

bool cpuu_buf_utf16_n(cpuu_buf *b, const char *utf8, size_t n, bool nul)
{
    const uint8_t *p = (const uint8_t *)utf8;
    size_t left = n;
    while (left) {
        uint32_t cp;
        unsigned len = utf8_next(p, left, &cp);
        if (len == 0) {
            b->failed = true;
            return false;
        }
        if (cp >= 0x10000) {
            cpuu_buf_u16(b, (uint16_t)(0xd800 + ((cp - 0x10000) >> 10)));
            cpuu_buf_u16(b, (uint16_t)(0xdc00 + ((cp - 0x10000) & 0x3ff)));
        } else {
            cpuu_buf_u16(b, (uint16_t)cp);
        }
        p += len;
        left -= len;
    }
    return nul ? cpuu_buf_u16(b, 0) : !b->failed;
}

static void utf8_add(cpuu_buf *b, uint32_t cp)
{
    uint8_t out[4];
    size_t n = 0;
    if (cp < 0x80) {
        out[n++] = (uint8_t)cp;
    } else if (cp < 0x800) {
        out[n++] = (uint8_t)(0xc0 | (cp >> 6));
        out[n++] = (uint8_t)(0x80 | (cp & 0x3f));
    } else if (cp < 0x10000) {
        out[n++] = (uint8_t)(0xe0 | (cp >> 12));
        out[n++] = (uint8_t)(0x80 | ((cp >> 6) & 0x3f));
        out[n++] = (uint8_t)(0x80 | (cp & 0x3f));
    } else {
        out[n++] = (uint8_t)(0xf0 | (cp >> 18));
        out[n++] = (uint8_t)(0x80 | ((cp >> 12) & 0x3f));
        out[n++] = (uint8_t)(0x80 | ((cp >> 6) & 0x3f));
        out[n++] = (uint8_t)(0x80 | (cp & 0x3f));
    }
    cpuu_buf_add(b, out, n);
}

bool cpuu_buf_utf8_from_utf16(cpuu_buf *b, const uint8_t *utf16, uint32_t n)
{
    for (uint32_t i = 0; n - i >= 2; i += 2) {
        uint32_t u = cpuu_le16(utf16 + i);
        if (u >= 0xd800 && u < 0xdc00 && n - i >= 4) {
            uint32_t low = cpuu_le16(utf16 + i + 2);
            if (low >= 0xdc00 && low < 0xe000) {
                utf8_add(b, 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00));
                i += 2;
                continue;
            }
        }
        utf8_add(b, u >= 0xd800 && u < 0xe000 ? 0xfffd : u);
    }
    return !b->failed;
}
