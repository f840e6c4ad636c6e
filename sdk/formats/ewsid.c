/* Ids of Exchange Web Services; see cpuu/formats/ewsid.h. */
#include "internal.h"

#include <cpuu/formats/entryid.h>
#include <cpuu/formats/ewsid.h>

#include <stdio.h>

#define RUN_MAX 257u /* two bytes written out and a count of 255 */

/* ---- base64 ---------------------------------------------------------------------------------- */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool cpuu_base64_encode(cpuu_buf *text, const void *data, size_t n)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t left = n - i < 3 ? (uint32_t)(n - i) : 3;
        uint32_t v = (uint32_t)p[i] << 16;
        v |= left > 1 ? (uint32_t)p[i + 1] << 8 : 0;
        v |= left > 2 ? p[i + 2] : 0;
        char c[4] = {alphabet[v >> 18], alphabet[(v >> 12) & 63], alphabet[(v >> 6) & 63],
                     alphabet[v & 63]};
        if (left < 3)
            c[3] = '=';
        if (left < 2)
            c[2] = '=';
        cpuu_buf_add(text, c, 4);
    }
    return !text->failed;
}

static int base64_value(char c)
{
    const char *p = c ? strchr(alphabet, c) : NULL;
    if (p)
        return (int)(p - alphabet);
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

bool cpuu_base64_decode(cpuu_buf *bytes, const char *text, size_t n)
{
    uint32_t v = 0, bits = 0;
    while (n && text[n - 1] == '=')
        n--;
    for (size_t i = 0; i < n; i++) {
        int d = base64_value(text[i]);
        if (d < 0)
            return false;
        v = (v << 6) | (uint32_t)d;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            cpuu_buf_u8(bytes, (uint8_t)(v >> bits));
        }
    }
    return n % 4 != 1 && !bytes->failed;
}

void cpuu_ewsid_guid_text(const uint8_t g[16], char text[37])
{
    snprintf(text, 37, "%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x", cpuu_le32(g),
             cpuu_le16(g + 4), cpuu_le16(g + 6), g[8], g[9], g[10], g[11], g[12], g[13], g[14],
             g[15]);
}

/* ---- run lengths: a byte that repeats is written twice and then how often more
 * -------------------- */

static bool expand(const uint8_t *p, size_t n, cpuu_buf *out)
{
    for (size_t i = 0; i < n; i++) {
        cpuu_buf_u8(out, p[i]);
        if (i + 1 == n || p[i + 1] != p[i])
            continue;
        if (i + 2 == n)
            return false;
        cpuu_buf_fill(out, p[i], (size_t)p[i + 2] + 1);
        i += 2;
    }
    return !out->failed;
}

static void compress(const uint8_t *p, size_t n, cpuu_buf *out)
{
    for (size_t i = 0, run; i < n; i += run) {
        for (run = 1; run < RUN_MAX && i + run < n && p[i + run] == p[i]; run++)
            ;
        cpuu_buf_u8(out, p[i]);
        if (run > 1) {
            cpuu_buf_u8(out, p[i]);
            cpuu_buf_u8(out, (uint8_t)(run - 2));
        }
    }
}

/* ---- the id ---------------------------------------------------------------------------------- */

static bool has_moniker(uint8_t type)
{
    return type == CPUU_EWSID_SMTP || type == CPUU_EWSID_MAILBOX || type == CPUU_EWSID_CONVERSATION;
}

static cpuu_blob read_counted(cpuu_reader *r, const char *field)
{
    return fmt_blob(r, cpuu_read_u16(r, field), field);
}

static void read_id(cpuu_reader *r, cpuu_ewsid *id)
{
    id->layout = CPUU_EWSID_EXCHANGE;
    id->type = cpuu_read_u8(r, "IdStorageType");
    if (id->type > CPUU_EWSID_DIRECTORY)
        cpuu_reader_fail(r, "IdStorageType", "is not known");
    if (has_moniker(id->type))
        id->moniker = read_counted(r, "Moniker");
    if (has_moniker(id->type) || id->type == CPUU_EWSID_PUBLIC_ITEM)
        id->processing = cpuu_read_u8(r, "IdProcessingInstruction");
    id->store_id = read_counted(r, "StoreId");
    if (id->type == CPUU_EWSID_PUBLIC_ITEM)
        id->folder_id = read_counted(r, "FolderId");
    id->rest = fmt_blob_left(r, "AttachmentIds");
}

static bool is_bare(const cpuu_buf *b)
{
    cpuu_eid eid;
    if (b->size != CPUU_FOLDER_EID_SIZE + 1 && b->size != CPUU_MESSAGE_EID_SIZE + 1)
        return false;
    if (cpuu_le32(b->data) != 0)
        return false;
    return cpuu_eid_decode((cpuu_blob){b->data, (uint32_t)b->size - 1}, &eid, NULL) &&
           eid.kind != CPUU_EID_UNKNOWN;
}

static bool fail_text(cpuu_fmt_error *err, const char *what)
{
    if (err)
        *err = (cpuu_fmt_error){0, "Id", what};
    return false;
}

/* Leaves in `bytes` what follows the compression byte, expanded. */
static bool unpack(cpuu_buf *bytes, uint8_t *compression, cpuu_fmt_error *err)
{
    uint8_t packed[CPUU_EWSID_BYTES_MAX];
    size_t n = bytes->size;
    if (n == 0 || n > sizeof(packed))
        return fail_text(err, n ? "is too long" : "is empty");
    memcpy(packed, bytes->data, n);
    *compression = packed[0];
    cpuu_buf_reset(bytes);
    if (*compression > 1)
        return fail_text(err, "has an unknown compression");
    if (*compression == 0)
        cpuu_buf_add(bytes, packed + 1, n - 1);
    else if (!expand(packed + 1, n - 1, bytes))
        return fail_text(err, "is not validly compressed");
    return !bytes->failed || fail_text(err, "is too long");
}

bool cpuu_ewsid_decode(const char *text, cpuu_buf *bytes, cpuu_ewsid *out, cpuu_fmt_error *err)
{
    cpuu_ewsid id;
    cpuu_reader r;
    size_t n = strlen(text);
    memset(&id, 0, sizeof(id));
    cpuu_buf_reset(bytes);
    if (n > CPUU_EWSID_MAX)
        return fail_text(err, "is longer than 512 characters");
    if (!cpuu_base64_decode(bytes, text, n))
        return fail_text(err, "is not base64");
    if (is_bare(bytes)) {
        id.layout = CPUU_EWSID_BARE;
        id.store_id = (cpuu_blob){bytes->data, (uint32_t)bytes->size - 1};
        id.type = bytes->data[bytes->size - 1];
        *out = id;
        return true;
    }
    if (!unpack(bytes, &id.compression, err))
        return false;
    cpuu_reader_init(&r, bytes->data, bytes->size);
    read_id(&r, &id);
    if (!fmt_done(&r, err))
        return false;
    *out = id;
    return true;
}

static void write_counted(cpuu_buf *out, cpuu_blob b)
{
    if (b.size > UINT16_MAX)
        out->failed = true;
    cpuu_buf_u16(out, (uint16_t)b.size);
    fmt_add(out, b);
}

static void write_id(cpuu_buf *out, const cpuu_ewsid *id)
{
    if (id->layout == CPUU_EWSID_BARE) {
        fmt_add(out, id->store_id);
        cpuu_buf_u8(out, id->type);
        return;
    }
    cpuu_buf_u8(out, 0);
    cpuu_buf_u8(out, id->type);
    if (has_moniker(id->type))
        write_counted(out, id->moniker);
    if (has_moniker(id->type) || id->type == CPUU_EWSID_PUBLIC_ITEM)
        cpuu_buf_u8(out, id->processing);
    write_counted(out, id->store_id);
    if (id->type == CPUU_EWSID_PUBLIC_ITEM)
        write_counted(out, id->folder_id);
    fmt_add(out, id->rest);
}

bool cpuu_ewsid_encode(const cpuu_ewsid *id, cpuu_buf *text)
{
    cpuu_buf plain, packed;
    cpuu_buf_init(&plain, CPUU_EWSID_BYTES_MAX);
    cpuu_buf_init(&packed, 2 * CPUU_EWSID_BYTES_MAX);
    write_id(&plain, id);
    bool try = !plain.failed && id->layout == CPUU_EWSID_EXCHANGE;
    if (try) {
        cpuu_buf_u8(&packed, 1);
        compress(plain.data + 1, plain.size - 1, &packed);
    }
    const cpuu_buf *shorter = try && !packed.failed && packed.size < plain.size ? &packed : &plain;
    if (plain.failed)
        text->failed = true;
    else
        cpuu_base64_encode(text, shorter->data, shorter->size);
    cpuu_buf_free(&plain);
    cpuu_buf_free(&packed);
    return !text->failed;
}

bool cpuu_ewsid_build(cpuu_buf *text, const uint8_t mailbox_guid[16], cpuu_blob entry_id)
{
    char guid[37];
    cpuu_ewsid id;
    memset(&id, 0, sizeof(id));
    cpuu_ewsid_guid_text(mailbox_guid, guid);
    id.layout = CPUU_EWSID_EXCHANGE;
    id.type = CPUU_EWSID_MAILBOX;
    id.moniker = (cpuu_blob){(const uint8_t *)guid, 36};
    id.store_id = entry_id;
    return cpuu_ewsid_encode(&id, text);
}
