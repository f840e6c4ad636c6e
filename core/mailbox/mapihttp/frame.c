/*
 * The two framings inside a MAPI/HTTP response: meta-tag lines and additional headers
 * ([MS-OXCMAPIHTTP] 2.2.2.2 and 2.2.7), and the extended buffers of an Execute response
 * ([MS-OXCRPC] 2.2.2.1, RPC_HEADER_EXT; 3.1.4.2.1.2.2, several payloads).
 */
#include "mailbox/mapihttp/session.h"

#include "base/mem.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define MAX_REPLIES 96 /* [MS-OXCRPC] 3.1.4.2.1.2.2 R969 */
#define XOR_BYTE    0xa5

#define RHE_COMPRESSED 0x0001u
#define RHE_XOR_MAGIC  0x0002u
#define RHE_LAST       0x0004u

#define AUX_VERSION_1           0x01 /* [MS-OXCRPC] 2.2.2.2 */
#define AUX_SERVER_CAPABILITIES 0x46

/* The next line without its CRLF (a bare LF is tolerated); false at the end of the input. */
static bool next_line(const char **p, const char *end, const char **line, size_t *size)
{
    const char *eol = memchr(*p, '\n', (size_t)(end - *p));
    if (!eol)
        return false;
    *line = *p;
    *size = (size_t)(eol - *p);
    if (*size && (*line)[*size - 1] == '\r')
        --*size;
    *p = eol + 1;
    return true;
}

/* Blanks at the end and the case do not make another tag of it. */
static bool is(const char *line, size_t size, const char *word)
{
    while (size && (line[size - 1] == ' ' || line[size - 1] == '\t'))
        size--;
    return size == strlen(word) && cpuu_ncasecmp(line, word, size) == 0;
}

/* Decimal digits with blanks around them; false on anything else or past 32 bits. */
static bool number(const char *p, const char *end, uint32_t *out)
{
    uint64_t v = 0;
    while (p < end && *p == ' ')
        p++;
    if (p == end)
        return false;
    for (; p < end && *p >= '0' && *p <= '9'; p++) {
        v = v * 10 + (uint64_t)(*p - '0');
        if (v > UINT32_MAX)
            return false;
    }
    while (p < end && *p == ' ')
        p++;
    *out = (uint32_t)v;
    return p == end;
}

static cpuu_rc additional_header(const char *line, size_t size, cpuu_mapi_frame *f,
                                 cpuu_error *err)
{
    static const char name[] = "X-ResponseCode:";
    const size_t n = sizeof(name) - 1;
    if (size < n || cpuu_ncasecmp(line, name, n) != 0)
        return CPUU_OK;
    if (!number(line + n, line + size, &f->response_code))
        return cpuu_fail(err, CPUU_E_FORMAT, "the server sent an X-ResponseCode that is no number");
    f->has_response_code = true;
    return CPUU_OK;
}

cpuu_rc cpuu_mapi_frame_parse(const void *body, size_t size, cpuu_mapi_frame *out,
                              cpuu_error *err)
{
    const char *p = body ? body : "", *end = p + size, *line;
    size_t n;
    cpuu_mapi_frame f = {0};
    while (!f.done) {
        if (!next_line(&p, end, &line, &n))
            return cpuu_fail(err, CPUU_E_FORMAT, "the response ends before its DONE line");
        if (is(line, n, "PROCESSING"))
            f.processing++;
        else if (is(line, n, "PENDING"))
            f.pending++;
        else if (is(line, n, "DONE"))
            f.done = true;
        else
            return cpuu_fail(err, CPUU_E_FORMAT, "the response does not begin with a meta-tag");
    }
    for (;;) {
        if (!next_line(&p, end, &line, &n))
            return cpuu_fail(err, CPUU_E_FORMAT, "the response ends within its headers");
        if (n == 0)
            break;
        cpuu_rc rc = additional_header(line, n, &f, err);
        if (rc < 0)
            return rc;
    }
    f.data = (const uint8_t *)p;
    f.size = (size_t)(end - p);
    *out = f;
    return CPUU_OK;
}

/* ---- extended buffers ------------------------------------------------------------------------ */

/* Bytes that the payloads which are not plain take when they are. */
static size_t clear_room(cpuu_reader r)
{
    size_t room = 0;
    uint16_t flags = 0;
    for (unsigned i = 0; i < MAX_REPLIES && !(flags & RHE_LAST) && !r.failed; i++) {
        cpuu_read_u16(&r, "Version");
        flags = cpuu_read_u16(&r, "Flags");
        uint16_t size = cpuu_read_u16(&r, "Size"), actual = cpuu_read_u16(&r, "SizeActual");
        cpuu_read_skip(&r, size, "Payload");
        room += flags & RHE_COMPRESSED ? actual : flags & RHE_XOR_MAGIC ? size : 0u;
    }
    return room;
}

/* A payload as it was before compression and, after that, obfuscation ([MS-OXCRPC] 3.1.4.1.1.1);
 * *size becomes that of the result, which is put at plain[*used]. NULL: it cannot be undone. */
static const uint8_t *clear_payload(const uint8_t *payload, uint16_t flags, uint16_t *size,
                                    uint16_t actual, const cpuu_buf *plain, size_t *used)
{
    uint8_t *out = plain->data ? plain->data + *used : NULL;
    uint8_t mask = flags & RHE_XOR_MAGIC ? XOR_BYTE : 0;
    if (!out)
        return NULL;
    if (!(flags & RHE_COMPRESSED)) {
        for (uint32_t i = 0; i < *size; i++)
            out[i] = payload[i] ^ mask;
    } else if (cpuu_direct2_decode(payload, *size, mask, out, actual)) {
        *size = actual;
    } else {
        return NULL;
    }
    *used += *size;
    return out;
}

/* RopSize counts itself ([MS-OXCROPS] 2.2.1); what follows the ROPs is the handle table. */
static bool split_payload(cpuu_reader *r, const uint8_t *payload, uint32_t size,
                          cpuu_rop_reply *out)
{
    if (size < 2)
        return cpuu_reader_fail(r, "RopSize", "is missing");
    uint32_t rops = cpuu_le16(payload);
    if (rops < 2 || rops > size)
        return cpuu_reader_fail(r, "RopSize", "is larger than the payload");
    if ((size - rops) % 4 != 0)
        return cpuu_reader_fail(r, "ServerObjectHandleTable", "is not a multiple of 4 bytes");
    out->rops = payload + 2;
    out->rops_size = rops - 2;
    out->handles = payload + rops;
    out->n_handles = (size - rops) / 4;
    return true;
}

static cpuu_rc one_buffer(cpuu_reader *r, const cpuu_buf *plain, size_t *used,
                          cpuu_rop_reply *out, bool *last)
{
    uint16_t version = cpuu_read_u16(r, "Version");
    uint16_t flags = cpuu_read_u16(r, "Flags");
    uint16_t size = cpuu_read_u16(r, "Size");
    uint16_t actual = cpuu_read_u16(r, "SizeActual");
    const uint8_t *payload = cpuu_read_bytes(r, size, "Payload");
    if (!r->failed && version != 0)
        cpuu_reader_fail(r, "Version", "is not 0");
    if (r->failed)
        return CPUU_E_FORMAT;
    if (flags & (RHE_COMPRESSED | RHE_XOR_MAGIC))
        payload = clear_payload(payload, flags, &size, actual, plain, used);
    if (!payload) {
        cpuu_reader_fail(r, "Payload", "cannot be decompressed");
        return CPUU_E_FORMAT;
    }
    *last = flags & RHE_LAST;
    return split_payload(r, payload, size, out) ? CPUU_OK : CPUU_E_FORMAT;
}

cpuu_rc cpuu_rop_buffer_parse(const void *data, size_t size, cpuu_buf *plain,
                              cpuu_rop_reply **replies, size_t *n, cpuu_error *err)
{
    cpuu_reader r;
    cpuu_rop_reply *list = NULL;
    size_t count = 0, cap = 0, used = 0;
    bool last = false;
    cpuu_rc rc = CPUU_OK;
    cpuu_buf_reset(plain);
    cpuu_reader_init(&r, data, size);
    if (!cpuu_buf_fill(plain, 0, clear_room(r))) /* at once: replies point into it */
        rc = cpuu_nomem(err);
    while (!last && rc >= 0) {
        if (count == MAX_REPLIES)
            rc = cpuu_fail(err, CPUU_E_FORMAT, "more than %d payloads in a response", MAX_REPLIES);
        else if (!cpuu_grow(&list, &cap, count, sizeof(*list)))
            rc = cpuu_nomem(err);
        else
            rc = one_buffer(&r, plain, &used, &list[count++], &last);
    }
    if (rc >= 0) {
        *replies = list;
        *n = count;
        return CPUU_OK;
    }
    cpuu_free(list);
    if (r.failed)
        cpuu_fail(err, rc, "ROP buffer of a response, byte %u: %s %s", r.error.offset,
                  r.error.field, r.error.what);
    return rc;
}

/* ---- other extended buffers ------------------------------------------------------------------ */

void cpuu_rop_buffer_add(cpuu_buf *b, const void *payload, size_t size, bool last)
{
    cpuu_buf_u16(b, 0); /* RPC_HEADER_EXT: Version, Flags, Size, SizeActual */
    cpuu_buf_u16(b, last ? RHE_LAST : 0);
    cpuu_buf_u16(b, (uint16_t)size);
    cpuu_buf_u16(b, (uint16_t)size);
    cpuu_buf_add(b, payload, size);
}

/* Blocks of AUX_HEADER and what belongs to it ([MS-OXCRPC] 2.2.2.2). */
static uint32_t find_capabilities(const uint8_t *data, size_t size)
{
    cpuu_reader r;
    uint32_t found = 0;
    cpuu_reader_init(&r, data, size);
    while (cpuu_reader_left(&r) && !r.failed) {
        uint16_t block = cpuu_read_u16(&r, "Size");
        uint8_t version = cpuu_read_u8(&r, "Version"), type = cpuu_read_u8(&r, "Type");
        const uint8_t *body = block < 4 ? NULL : cpuu_read_bytes(&r, block - 4u, "block");
        if (!body)
            break;
        if (version == AUX_VERSION_1 && type == AUX_SERVER_CAPABILITIES && block >= 8)
            found = cpuu_le32(body);
    }
    return found;
}

uint32_t cpuu_aux_capabilities(const void *data, size_t size)
{
    cpuu_reader r;
    cpuu_buf plain;
    size_t used = 0;
    uint32_t found = 0;
    cpuu_reader_init(&r, data, size);
    uint16_t version = cpuu_read_u16(&r, "Version"), flags = cpuu_read_u16(&r, "Flags");
    uint16_t length = cpuu_read_u16(&r, "Size"), actual = cpuu_read_u16(&r, "SizeActual");
    const uint8_t *payload = cpuu_read_bytes(&r, length, "Payload");
    if (!payload || version != 0)
        return 0;
    cpuu_buf_init(&plain, 0x10000);
    if ((flags & (RHE_COMPRESSED | RHE_XOR_MAGIC)) &&
        cpuu_buf_fill(&plain, 0, flags & RHE_COMPRESSED ? actual : length))
        payload = clear_payload(payload, flags, &length, actual, &plain, &used);
    if (payload && !plain.failed)
        found = find_capabilities(payload, length);
    cpuu_buf_free(&plain);
    return found;
}
