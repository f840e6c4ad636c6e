#include "base/text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <wctype.h>

static int lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

int cpuu_ncasecmp(const char *a, const char *b, size_t n)
{
    for (; n; a++, b++, n--) {
        int d = lower((unsigned char)*a) - lower((unsigned char)*b);
        if (d || !*a)
            return d;
    }
    return 0;
}

int cpuu_casecmp(const char *a, const char *b)
{
    return cpuu_ncasecmp(a, b, (size_t)-1);
}

bool cpuu_caseeq(const char *a, const char *b)
{
    return a && b ? cpuu_casecmp(a, b) == 0 : a == b;
}

bool cpuu_ends_with_nocase(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && cpuu_casecmp(s + n - m, suffix) == 0;
}

/* One code point; invalid bytes count as themselves so that comparison stays total. */
static uint32_t next_folded(const unsigned char **p, const unsigned char *end)
{
    uint32_t c = *(*p)++;
    unsigned more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
    if (more)
        c &= 0x3fu >> more;
    for (; more && *p < end && (**p & 0xc0) == 0x80; more--)
        c = (c << 6) | (*(*p)++ & 0x3fu);
    if (c < 0x80)
        return (uint32_t)lower((unsigned char)c);
    if ((c >= 0xc0 && c <= 0xde && c != 0xd7) || (c >= 0x391 && c <= 0x3a9) ||
        (c >= 0x410 && c <= 0x42f))
        return c + 0x20;
    if (c >= 0x400 && c <= 0x40f)
        return c + 0x50;
    if ((c >= 0x100 && c <= 0x137) || (c >= 0x14a && c <= 0x177) || (c >= 0x460 && c <= 0x481) ||
        (c >= 0x48a && c <= 0x4bf) || (c >= 0x4d0 && c <= 0x52f) || (c >= 0x1e00 && c <= 0x1eff))
        return c | 1;
    if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e))
        return (c & 1) ? c + 1 : c;
    return c;
}

bool cpuu_name_neq(const char *a, size_t n, const char *b, size_t m)
{
    const unsigned char *p = (const unsigned char *)a, *p_end = p + n;
    const unsigned char *q = (const unsigned char *)b, *q_end = q + m;
    if (n == m && memcmp(a, b, n) == 0)
        return true;
    if (n && m && p_end[-1] < 0x80 && q_end[-1] < 0x80 && lower(p_end[-1]) != lower(q_end[-1]))
        return false; /* names with a number are told apart by the end of it */
    while (p < p_end && q < q_end) {
        if (*p == *q && *p < 0x80) { /* most often */
            p++;
            q++;
        } else if (next_folded(&p, p_end) != next_folded(&q, q_end)) {
            return false;
        }
    }
    return p == p_end && q == q_end;
}

int cpuu_name_cmp(const char *a, const char *b)
{
    const unsigned char *p = (const unsigned char *)a, *p_end = p + strlen(a);
    const unsigned char *q = (const unsigned char *)b, *q_end = q + strlen(b);
    while (p < p_end && q < q_end) {
        const uint32_t c = next_folded(&p, p_end), d = next_folded(&q, q_end);
        if (c != d)
            return c < d ? -1 : 1;
    }
    return (p < p_end) - (q < q_end);
}

bool cpuu_name_eq(const char *a, const char *b)
{
    return cpuu_name_neq(a, strlen(a), b, strlen(b));
}

void cpuu_hex(char *out, const uint8_t *data, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
    out[2 * n] = 0;
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)lower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool cpuu_unhex(uint8_t *out, const char *hex, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int hi = nibble(hex[2 * i]);
        int lo = hi < 0 ? -1 : nibble(hex[2 * i + 1]);
        if (lo < 0)
            return false;
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    return true;
}

/* Position in storage order of the n-th byte as printed. */
static const uint8_t guid_order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

void cpuu_guid_text(char out[39], const uint8_t guid[16])
{
    char *p = out;
    *p++ = '{';
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *p++ = '-';
        char two[3];
        cpuu_hex(two, &guid[guid_order[i]], 1);
        *p++ = two[0];
        *p++ = two[1];
    }
    *p++ = '}';
    *p = 0;
}

bool cpuu_guid_parse(uint8_t guid[16], const char *text)
{
    uint8_t out[16];
    bool brace = *text == '{';
    text += brace;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            if (*text++ != '-')
                return false;
        }
        if (!cpuu_unhex(&out[guid_order[i]], text, 1))
            return false;
        text += 2;
    }
    if (brace && *text++ != '}')
        return false;
    if (*text)
        return false;
    memcpy(guid, out, 16);
    return true;
}

bool cpuu_guid_random(uint8_t guid[16])
{
    if (getrandom(guid, 16, 0) != 16)
        return false;
    guid[7] = (uint8_t)((guid[7] & 0x0f) | 0x40);
    guid[8] = (uint8_t)((guid[8] & 0x3f) | 0x80);
    return true;
}

unsigned cpuu_edit_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    unsigned row[64];
    if (n >= 64 || m >= 64)
        return 64;
    for (size_t j = 0; j <= m; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            unsigned change = diagonal + (lower((unsigned char)a[i - 1]) !=
                                          lower((unsigned char)b[j - 1]));
            diagonal = row[j];
            unsigned best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            row[j] = change < best ? change : best;
        }
    }
    return row[m];
}

const char *cpuu_smtp_domain(const char *smtp)
{
    const char *at = smtp ? strrchr(smtp, '@') : NULL;
    return at && at != smtp && at[1] ? at + 1 : NULL;
}

bool cpuu_is_plain(const char *s)
{
    for (; *s; s++) {
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return false;
    }
    return true;
}

bool cpuu_is_smtp(const char *s)
{
    const char *at = strchr(s, '@');
    return at && at != s && at[1] && !strchr(at + 1, '@') && !strpbrk(s, " <>\"") &&
           cpuu_is_plain(s);
}

bool cpuu_is_legacy_dn(const char *s)
{
    return cpuu_ncasecmp(s, "/o=", 3) == 0 && cpuu_is_plain(s);
}
