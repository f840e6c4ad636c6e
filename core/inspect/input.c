/* Reading what is to be looked at. Nothing is ever written. */
#include "config.h"

#include "inspect/inspect.h"

#include <cpuu/formats/ewsid.h>

#include <errno.h>
#include <string.h>

cpuu_rc inspect_read(const char *path, cpuu_buf *out, cpuu_error *err)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *f = standard ? stdin : fopen(path, "rb");
    char chunk[65536];
    size_t n;
    if (!f)
        return cpuu_fail_errno(err, errno, "cannot open '%s'", path);
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0 && cpuu_buf_add(out, chunk, n))
        ;
    int broken = ferror(f) ? errno : 0;
    if (!standard)
        fclose(f);
    if (broken)
        return cpuu_fail_errno(err, broken, "cannot read '%s'", path);
    if (out->failed)
        return cpuu_fail(err, CPUU_E_TOOBIG, "'%s' is larger than %u MiB, or memory ran out", path,
                         INSPECT_LIMIT >> 20);
    return CPUU_OK;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Digits with white space, commas or backslashes between bytes (as in .reg text), nothing else. */
static bool from_hex(const cpuu_buf *in, cpuu_buf *out)
{
    int high = -1;
    for (size_t i = 0; i < in->size; i++) {
        uint8_t c = in->data[i];
        int v = hex_digit(c);
        if (high < 0 && (is_space(c) || c == ',' || c == '\\'))
            continue;
        if (v < 0)
            return false;
        if (high < 0) {
            high = v;
        } else {
            cpuu_buf_u8(out, (uint8_t)(high << 4 | v));
            high = -1;
        }
    }
    return high < 0 && out->size && !out->failed;
}

/* Only with line breaks between: text with other white space is hardly base64. */
static bool from_base64(const cpuu_buf *in, cpuu_buf *out)
{
    cpuu_buf packed;
    cpuu_buf_init(&packed, in->size);
    for (size_t i = 0; i < in->size; i++)
        if (in->data[i] != '\n' && in->data[i] != '\r')
            cpuu_buf_u8(&packed, in->data[i]);
    bool ok = packed.size >= 16 && packed.size % 4 == 0 &&
              cpuu_base64_decode(out, (const char *)packed.data, packed.size);
    cpuu_buf_free(&packed);
    return ok && !out->failed;
}

void inspect_decode_text(cpuu_buf *b)
{
    cpuu_buf out;
    cpuu_buf_init(&out, b->size);
    if (!from_hex(b, &out)) {
        cpuu_buf_free(&out);
        cpuu_buf_init(&out, b->size);
        if (!from_base64(b, &out)) {
            cpuu_buf_free(&out);
            return;
        }
    }
    cpuu_buf_free(b);
    *b = out;
}
