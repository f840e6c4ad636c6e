/*
 * Larger values of the content file, written without the product's codecs.
 *
 * Personal lists: liststream: and membermsg:, [MS-OXOCNTC] 2.2.2.2.4. AutoComplete lists: nick:ROWS, then ROWS times nickrow: or one nickfill:, then
 * nickend. Layout: Outlook MAPI reference, "Autocomplete stream"; properties of a row and their order
 * as in a list written by Outlook.
 */
#include "tests/lab/content.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_tag(cpuu_buf *b, uint32_t tag, uint64_t value)
{
    cpuu_buf_u32(b, tag);
    cpuu_buf_u32(b, 0xBAADF00D); /* reserved: memory of the writer */
    cpuu_buf_u64(b, value);
}

static void put_text(cpuu_buf *b, uint32_t tag, const char *text)
{
    put_tag(b, tag, 0x0013F9C8);
    size_t at = b->size;
    cpuu_buf_u32(b, 0);
    cpuu_buf_utf16(b, text, true);
    cpuu_buf_put_u32(b, at, (uint32_t)(b->size - at - 4));
}

static void put_binary(cpuu_buf *b, uint32_t tag, const cpuu_buf *value)
{
    put_tag(b, tag, 0x02166F54);
    cpuu_buf_u32(b, (uint32_t)value->size);
    cpuu_buf_add(b, value->data, value->size);
}

typedef struct entry {
    const char *key, *shown, *type, *address, *smtp;
    uint32_t weight, display_type;
} entry;

static bool put_row(content *c, cpuu_buf *b, const entry *e)
{
    char oneoff[1024];
    cpuu_buf eid, search;
    bool ok = true, ex = strcmp(e->type, "EX") == 0;
    cpuu_buf_init(&eid, 65536);
    cpuu_buf_init(&search, 65536);
    snprintf(oneoff, sizeof(oneoff), "%s|%s|%s", e->shown, e->type, e->address);
    if (ex)
        lab_put_ab_eid(&eid, e->address, e->display_type);
    else
        ok = content_one_off(c, &eid, oneoff);
    lab_put_search_key(&search, e->type, e->address);
    cpuu_buf_u32(b, 14u + (*e->smtp != 0));
    put_text(b, 0x6001001F, e->key);
    put_tag(b, 0x0C150003, 1);
    if (*e->smtp)
        put_text(b, 0x39FE001F, e->smtp);
    put_tag(b, 0x39000003, 0x6F5C00000000u | e->display_type);
    put_binary(b, 0x300B0102, &search);
    put_binary(b, 0x0FF90102, &eid);
    put_binary(b, 0x0FFF0102, &eid);
    put_text(b, 0x3003001F, e->address);
    put_text(b, 0x3002001F, e->type);
    put_text(b, 0x3001001F, e->shown);
    put_text(b, 0x5FF6001F, e->shown);
    put_binary(b, 0x5FF70102, &eid);
    put_tag(b, 0x6002000B, 0x1D0000);
    put_text(b, 0x6003001F, e->shown);
    put_tag(b, 0x60040003, 0x7FFF000000000000u | e->weight);
    cpuu_buf_free(&eid);
    cpuu_buf_free(&search);
    return ok;
}

/* A person by name, "/o=..." as it is, or an SMTP address. */
static bool resolve(content *c, const content_line *l, const char *who, entry *e)
{
    if (strcmp(e->type, "EX") != 0 || *who == '/') {
        e->address = who;
        return true;
    }
    lab_user *u = content_user(c, l, who);
    if (!u)
        return false;
    e->address = u->dn;
    e->display_type = u->kind == LAB_LIST ? 1 : 0;
    return true;
}

/* "key|weight|shown|type|who|smtp", the last one may be missing */
static bool add_row(content *c, const content_line *l, cpuu_buf *b, const char *text)
{
    char key[256], shown[256], type[32], who[512], smtp[256] = "";
    entry e = {key, shown, type, who, smtp, 0, 0};
    if (sscanf(text, "%255[^|]|%u|%255[^|]|%31[^|]|%511[^|]|%255[^\n]", key, &e.weight, shown, type,
               who, smtp) < 5)
        return content_fail(c, "nickrow: needs key|weight|shown|type|who");
    return resolve(c, l, who, &e) && put_row(c, b, &e);
}

/* "n|user": every third row is that user, the others are SMTP addresses */
static bool add_fill(content *c, const content_line *l, cpuu_buf *b, const char *text)
{
    char who[256];
    unsigned n;
    if (sscanf(text, "%u|%255[^\n]", &n, who) != 2)
        return content_fail(c, "nickfill: needs n|user");
    for (unsigned i = 0; i < n; i++) {
        char key[64], smtp[64];
        snprintf(key, sizeof(key), "fill %05u", i);
        snprintf(smtp, sizeof(smtp), "fill%05u@elsewhere.test", i);
        entry e = {key, key, i % 3 ? "SMTP" : "EX", smtp, "", 1000000 - i, 0};
        if (!resolve(c, l, i % 3 ? smtp : who, &e) || !put_row(c, b, &e))
            return false;
    }
    return true;
}

bool content_nick(content *c, const content_line *l, cpuu_buf *b, const char *what, const char *text)
{
    if (strcmp(what, "nickrow") == 0)
        return add_row(c, l, b, text);
    if (strcmp(what, "nickfill") == 0)
        return add_fill(c, l, b, text);
    if (strcmp(what, "nickend") == 0) {
        static const uint8_t extra[5] = {'e', 'x', 't', 'r', 'a'};
        cpuu_buf_u32(b, sizeof(extra));
        cpuu_buf_add(b, extra, sizeof(extra));
        return cpuu_buf_u64(b, 0x01CB0A09CE6D9E60u);
    }
    cpuu_buf_u32(b, 0xBAADF00D);
    cpuu_buf_u32(b, 12);
    cpuu_buf_u32(b, 1);
    return cpuu_buf_u32(b, (uint32_t)strtoul(text, NULL, 0));
}

/* ---- personal lists -------------------------------------------------------------------------- */

bool content_member_message(content *c, cpuu_buf *b, const char *label)
{
    static const uint8_t head[21] = {0,    0,    0,    0,    0xC0, 0x91, 0xAD, 0xD3, 0x51, 0x9D, 0xCF,
                                     0x11, 0xA4, 0xA9, 0x00, 0xAA, 0x00, 0x47, 0xFA, 0xA4, 0xC3};
    cpuu_buf_add(b, head, sizeof(head));
    return content_message(c, b, label, false);
}

static void add_sized(cpuu_buf *b, const cpuu_buf *part)
{
    cpuu_buf_u32(b, (uint32_t)part->size);
    cpuu_buf_add(b, part->data, part->size);
}

static bool list_member(content *c, const content_line *l, char *text, cpuu_buf *out, size_t sums[2])
{
    char *oneoff = strchr(text, '=');
    cpuu_buf eid, stand_in;
    if (!oneoff)
        return content_fail(c, "liststream: needs user=display|type|address");
    *oneoff++ = 0;
    lab_user *u = content_user(c, l, text);
    cpuu_buf_init(&eid, 65536);
    cpuu_buf_init(&stand_in, 65536);
    bool ok = u && content_one_off(c, &stand_in, oneoff);
    if (ok) {
        content_member(&eid, u);
        add_sized(out, &eid);
        add_sized(out, &stand_in);
        cpuu_buf_u32(out, 0);
        sums[0] += eid.size;
        sums[1] += stand_in.size;
    }
    cpuu_buf_free(&eid);
    cpuu_buf_free(&stand_in);
    return ok;
}

bool content_list_stream(content *c, const content_line *l, cpuu_buf *b, const char *text)
{
    char *copy = lab_strdup(text), *rest = copy;
    cpuu_buf members;
    size_t sums[2] = {0, 0};
    uint32_t n = 0;
    bool ok = true;
    cpuu_buf_init(&members, 4u << 20);
    for (char *one; ok && (one = strsep(&rest, ";")); n++)
        ok = list_member(c, l, one, &members, sums);
    cpuu_buf_u16(b, 1);
    cpuu_buf_u16(b, 0);
    cpuu_buf_u32(b, 0x00050000); /* build */
    cpuu_buf_u32(b, 1);
    cpuu_buf_u32(b, n);
    cpuu_buf_u32(b, (uint32_t)sums[0]);
    cpuu_buf_u32(b, (uint32_t)sums[1]);
    cpuu_buf_u32(b, 0);
    cpuu_buf_add(b, members.data, members.size);
    cpuu_buf_u64(b, 0);
    cpuu_buf_free(&members);
    cpuu_free(copy);
    return ok;
}
