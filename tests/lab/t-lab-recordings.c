/*
 * The lab against exchanges recorded with an independent server: every recorded request is sent, in
 * the order of its session, and the meaning of the answer is compared with what the recording says.
 * The lab runs as "independent" (its switch for that server's known differences from the
 * documents). People and folders come from recordings.conf; messages and rules are uploaded first,
 * from the recorded values. Steps that were not recorded but must have happened are made in
 * prepare().
 */
#include "tests/lab/recordings.h"
#include "tests/unit/oracle.h"

#include "base/text.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_RECORDED 88

static const char dn_prefix[] =
    "/o=SourceOrg/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Recipients/cn=";

/* ---- HTTP ------------------------------------------------------------------------------------ */

static void base64(const char *in, char *out)
{
    static const char d[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = strlen(in);
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)(uint8_t)in[i] << 16 |
                     (i + 1 < n ? (uint32_t)(uint8_t)in[i + 1] << 8 : 0) |
                     (i + 2 < n ? (uint32_t)(uint8_t)in[i + 2] : 0);
        *out++ = d[v >> 18];
        *out++ = d[(v >> 12) & 63];
        *out++ = i + 1 < n ? d[(v >> 6) & 63] : '=';
        *out++ = i + 2 < n ? d[v & 63] : '=';
    }
    *out = 0;
}

static void take_cookies(session *s, const labctl_reply *r)
{
    char value[200], all[400] = "";
    for (unsigned i = 0; labctl_header(r, "Set-Cookie", i, value, sizeof(value)); i++) {
        value[strcspn(value, ";")] = 0;
        size_t n = strlen(all);
        snprintf(all + n, sizeof(all) - n, "%s%s", i ? "; " : "", value);
    }
    if (*all)
        snprintf(s->cookie, sizeof(s->cookie), "%s", all);
}

/* without: a header that is left out; NULL = none. */
static bool post(replayer *t, const char *path, const char *type, const char *without,
                 const void *body, size_t size, labctl_reply *r)
{
    char plain[100], auth[200], headers[1500];
    snprintf(plain, sizeof(plain), "%s:%s", t->s->login, t->s->login);
    base64(plain, auth);
    int n =
        snprintf(headers, sizeof(headers),
                 "Content-Type: application/mapi-http\r\nX-RequestType: %s\r\n"
                 "X-ClientInfo: {A}:1\r\nAuthorization: Basic %s\r\nX-MapiHttpCapability: 2\r\n",
                 type, auth);
    if (!without || strcmp(without, "X-RequestId"))
        n += snprintf(headers + n, sizeof(headers) - (size_t)n, "X-RequestId: {B}:1\r\n");
    if (t->s->cookie[0])
        snprintf(headers + n, sizeof(headers) - (size_t)n, "Cookie: %s\r\n", t->s->cookie);
    if (!labctl_http(t->port, "POST", path, headers, body, size, r))
        return false;
    take_cookies(t->s, r);
    return true;
}

static const uint8_t *after_meta(const labctl_reply *r, size_t *size)
{
    const char *p = r->size ? strstr((char *)r->body, "DONE\r\n") : NULL;
    p = p ? strstr(p, "\r\n\r\n") : NULL;
    *size = p ? r->size - (size_t)((const uint8_t *)p + 4 - r->body) : 0;
    return p ? (const uint8_t *)p + 4 : NULL;
}

static const char *endpoint(const session *s)
{
    return s->nspi ? "/mapi/nspi/?MailboxId=a@b" : "/mapi/emsmdb/?MailboxId=a@b";
}

/* ---- steps that were not recorded ------------------------------------------------------------ */

static void put_dn(cpuu_buf *b, const char *who)
{
    cpuu_buf_add(b, dn_prefix, strlen(dn_prefix));
    cpuu_buf_sz(b, who);
}

static const char *cn_of(const char *login)
{
    return strcmp(login, "bob") == 0        ? "0100000002000000-bob"
           : strcmp(login, "svcadmin") == 0 ? "0100000006000000-svcadmin"
                                            : "0100000001000000-alice";
}

static bool connect_session(replayer *t)
{
    labctl_reply r;
    cpuu_buf b;
    cpuu_buf_init(&b, 4096);
    if (t->s->nspi) {
        cpuu_buf_fill(&b, 0, 9);
    } else {
        put_dn(&b, cn_of(t->s->login));
        cpuu_buf_fill(&b, 0, 20);
    }
    bool ok = post(t, endpoint(t->s), t->s->nspi ? "Bind" : "Connect", NULL, b.data, b.size, &r) &&
              t->s->cookie[0];
    labctl_reply_free(&r);
    cpuu_buf_free(&b);
    t->s->open = ok;
    return ok;
}

/* Runs ROPs over handles; the lab's answer ROPs go to out, the handles back to handles. */
static bool execute(replayer *t, const cpuu_buf *rops, uint32_t *handles, uint16_t n, cpuu_buf *out)
{
    cpuu_buf b;
    labctl_reply r;
    uint16_t size = (uint16_t)(2 + rops->size + 4u * n);
    cpuu_buf_init(&b, 1u << 20);
    cpuu_buf_u32(&b, 3);
    cpuu_buf_u32(&b, size + 8u);
    cpuu_buf_u16(&b, 0);
    cpuu_buf_u16(&b, 4);
    cpuu_buf_u16(&b, size);
    cpuu_buf_u16(&b, size);
    cpuu_buf_u16(&b, (uint16_t)(2 + rops->size));
    cpuu_buf_add(&b, rops->data, rops->size);
    for (uint16_t i = 0; i < n; i++)
        cpuu_buf_u32(&b, handles[i]);
    cpuu_buf_u32(&b, 0x40000);
    cpuu_buf_u32(&b, 0);
    bool ok = post(t, endpoint(t->s), "Execute", NULL, b.data, b.size, &r);
    size_t got = 0;
    const uint8_t *p = ok ? after_meta(&r, &got) : NULL;
    ok = p && got > 26 && cpuu_le32(p + 4) == 0;
    if (ok) {
        uint16_t rop_size = cpuu_le16(p + 24);
        cpuu_buf_reset(out);
        cpuu_buf_add(out, p + 26, rop_size - 2u);
        for (uint16_t i = 0; i < n; i++)
            handles[i] = cpuu_le32(p + 24 + rop_size + 4u * i);
    }
    labctl_reply_free(&r);
    cpuu_buf_free(&b);
    return ok;
}

static void learn_handle(session *s, uint32_t rec, uint32_t own)
{
    s->handles[s->n_handles].rec = rec;
    s->handles[s->n_handles++].own = own;
}

static json_t *load(const replayer *t, const char *name)
{
    char path[4400];
    snprintf(path, sizeof(path), "%s/%s.json", t->dir, name);
    return json_load_file(path, 0, NULL);
}

/* The replica GUID in the recorded ids of this mailbox is the one of 063. */
static bool learn_replica(replayer *t, const uint8_t *own)
{
    uint8_t rec[16];
    json_t *j = load(t, "063-long-term-ids");
    const json_t *rop = json_array_get(json_object_get(json_object_get(j, "response"), "rops"), 0);
    char hex[33];
    snprintf(hex, sizeof(hex), "%.32s", json_string_value(json_object_get(rop, "long_term_id")));
    bool ok = cpuu_unhex(rec, hex, 16) && same(t, 'g', rec, own, 16);
    json_decref(j);
    return ok;
}

/* Logs on to a mailbox; the recording's handle 0 is the logon in every session. Learns the ids of
 * the special folders from the recorded numbers, which are the same in all mailboxes. */
static bool logon(replayer *t, const char *cn)
{
    static const uint8_t rec_low[13] = {1, 2, 3, 9, 13, 12, 10, 11, 7, 8, 5, 6, 4};
    cpuu_buf b, out;
    uint32_t handle = 0xFFFFFFFF;
    cpuu_buf_init(&b, 4096);
    cpuu_buf_init(&out, 65536);
    cpuu_buf_add(&b, "\xFE\0\0\x01", 4);
    cpuu_buf_u32(&b, 0x01000004);
    cpuu_buf_u32(&b, 0);
    cpuu_buf_u16(&b, (uint16_t)(strlen(dn_prefix) + strlen(cn) + 1));
    put_dn(&b, cn);
    bool ok = execute(t, &b, &handle, 1, &out) && out.size > 111 && cpuu_le32(out.data + 2) == 0;
    for (int i = 0; ok && i < 13; i++) {
        uint8_t rec[8] = {1, 0, 0, 0, 0, 0, 0, rec_low[i]};
        ok = same(t, 'f', rec, out.data + 7 + 8 * i, 8);
    }
    if (ok && t->s->store == 'a')
        ok = learn_replica(t, out.data + 130);
    if (ok)
        learn_handle(t->s, 0, handle);
    cpuu_buf_free(&b);
    cpuu_buf_free(&out);
    return ok;
}

/* The lab's id for a recorded one (hex), 0 = not known. */
static uint64_t own_id(const replayer *t, const char *hex)
{
    uint8_t rec[8];
    if (!hex || strlen(hex) != 16 || !cpuu_unhex(rec, hex, 8))
        return 0;
    for (size_t i = 0; i < t->n_pairs; i++)
        if (t->pairs[i].kind == 'f' && t->pairs[i].store == t->s->store &&
            memcmp(t->pairs[i].rec, rec, 8) == 0)
            return cpuu_le64(t->pairs[i].own);
    return 0;
}

/* Folder ids by walking the tree: the recorded pages 026-028 and the lab's own deep table are in
 * the same order. */
static bool learn_folders(replayer *t)
{
    static const char *const pages[] = {"026-hierarchy-deep-page-1", "027-hierarchy-deep-page-2"};
    cpuu_buf b, out;
    uint32_t handles[3] = {0, 0xFFFFFFFF, 0xFFFFFFFF};
    size_t n = 0;
    handles[0] = t->s->handles[0].own;
    cpuu_buf_init(&b, 4096);
    cpuu_buf_init(&out, 65536);
    cpuu_buf_add(&b, "\x02\0\0\x01", 4);
    cpuu_buf_u64(&b, own_id(t, "0100000000000009"));
    cpuu_buf_add(&b, "\0\x04\0\x01\x02\x54\x12\0\x02\0\x01\0\x14\0\x48\x67\x15\0\x02\0\x01\xFF\0",
                 23);
    bool ok = execute(t, &b, handles, 3, &out);
    cpuu_reader r;
    cpuu_reader_init(&r, out.data, out.size);
    cpuu_read_skip(&r, 8 + 10 + 7 + 7, "OpenFolder ... QueryRows");
    uint16_t rows = cpuu_read_u16(&r, "RowCount");
    for (size_t p = 0; ok && p < 2; p++) {
        json_t *j = load(t, pages[p]);
        const json_t *rops = json_object_get(json_object_get(j, "response"), "rops");
        const json_t *list =
            json_object_get(json_array_get(rops, json_array_size(rops) - 1), "rows");
        for (size_t i = 0; ok && i < json_array_size(list); i++, n++) {
            const json_t *id = json_object_get(json_array_get(json_array_get(list, i), 0), "value");
            cpuu_read_u8(&r, "flag");
            ok = n < rows && same_id_hex(t, 'f', json_string_value(id), cpuu_read_u64(&r, "id"));
        }
        json_decref(j);
    }
    ok = ok && !r.failed && n == rows;
    cpuu_buf_free(&b);
    cpuu_buf_free(&out);
    return ok;
}

/* Creates a message with values; learns its id. The values are tagged property values. */
static bool upload(replayer *t, const char *folder, bool fai, const char *mid,
                   const cpuu_buf *values, uint16_t count)
{
    cpuu_buf b, out;
    uint32_t handles[2] = {t->s->handles[0].own, 0xFFFFFFFF};
    cpuu_buf_init(&b, 1u << 17);
    cpuu_buf_init(&out, 65536);
    cpuu_buf_add(&b, "\x06\0\0\x01\xFF\x0F", 6);
    cpuu_buf_u64(&b, own_id(t, folder));
    cpuu_buf_u8(&b, fai);
    cpuu_buf_add(&b, "\x0A\0\x01", 3);
    cpuu_buf_u16(&b, (uint16_t)(values->size + 2));
    cpuu_buf_u16(&b, count);
    cpuu_buf_add(&b, values->data, values->size);
    cpuu_buf_add(&b, "\x0C\0\0\x01\x02\x01\0\x01", 8); /* save, release */
    bool ok = execute(t, &b, handles, 2, &out) && out.size >= 38 &&
              cpuu_le32(out.data + out.size - 13) == 0 &&
              same_id_hex(t, 'f', mid, cpuu_le64(out.data + out.size - 8));
    cpuu_buf_free(&b);
    cpuu_buf_free(&out);
    return ok;
}

static void put_text_value(cpuu_buf *b, uint32_t tag, const char *text)
{
    cpuu_buf_u32(b, tag);
    cpuu_buf_utf16(b, text, true);
}

/* A value out of a recording as a tagged property value; false for kinds not uploaded. */
static bool put_json_value(replayer *t, cpuu_buf *b, const json_t *prop)
{
    uint32_t tag = json_tag(json_object_get(prop, "tag"));
    const json_t *v = json_object_get(prop, "value");
    const char *type = json_string_value(json_object_get(prop, "type"));
    static const uint16_t own[] = {0x674A, 0x0FFF, 0x0E1D, 0x300B, 0x003D};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (TAG_ID(tag) == own[i])
            return false;
    if (strcmp(type, "string") == 0) {
        put_text_value(b, tag, json_string_value(v));
        return true;
    }
    if (strcmp(type, "long") == 0) {
        cpuu_buf_u32(b, tag);
        cpuu_buf_u32(b, json_u32(v));
        return true;
    }
    if (strcmp(type, "binary") != 0)
        return false;
    size_t n = strlen(json_string_value(v)) / 2, at = b->size;
    uint8_t *p = calloc(1, n + 1);
    cpuu_unhex(p, json_string_value(v), n);
    cpuu_buf_u32(b, tag);
    cpuu_buf_u16(b, (uint16_t)n);
    cpuu_buf_add(b, p, n);
    free(p);
    translate(t, b->data + at + 6, n);
    return true;
}

typedef struct found { /* what recordings say about one message */
    char mid[17];
    json_t *props[60];
    size_t n;
} found;

static void remember(found *list, size_t *n, const char *mid, const json_t *row)
{
    size_t i, k;
    json_t *p;
    for (i = 0; i < *n && strcmp(list[i].mid, mid); i++)
        ;
    if (i == *n) {
        memset(&list[i], 0, sizeof(list[i]));
        snprintf(list[(*n)++].mid, 17, "%s", mid);
    }
    json_array_foreach(row, k, p)
    {
        bool twice = strcmp(json_string_value(json_object_get(p, "type")), "error") == 0;
        for (size_t q = 0; q < list[i].n; q++)
            twice |= json_tag(json_object_get(list[i].props[q], "tag")) ==
                     json_tag(json_object_get(p, "tag"));
        if (!twice && list[i].n < 60)
            list[i].props[list[i].n++] = json_incref(p);
    }
}

/* Messages of Common Views as 036-041 show them: rows with their id, and opened messages. */
static void scan_messages(const replayer *t, const char *name, found *list, size_t *n)
{
    json_t *j = load(t, name), *q, *rop;
    const json_t *requests = json_object_get(json_object_get(j, "request"), "rops");
    const json_t *rops = json_object_get(json_object_get(j, "response"), "rops");
    size_t i, k, answer = 0;
    const char *mid = NULL;
    json_array_foreach(rops, i, rop)
    {
        json_t *row;
        json_array_foreach(json_object_get(rop, "rows"), k, row)
        {
            const json_t *first = json_array_get(row, 0);
            if (json_tag(json_object_get(first, "tag")) == 0x674A0014)
                remember(list, n, json_string_value(json_object_get(first, "value")), row);
        }
    }
    json_array_foreach(requests, i, q)
    {
        const char *kind = json_string_value(json_object_get(q, "rop"));
        if (strcmp(kind, "OpenMessage") == 0)
            mid = json_string_value(json_object_get(q, "mid"));
        if (strcmp(kind, "GetPropertiesSpecific") == 0 && mid)
            remember(list, n, mid, json_object_get(json_array_get(rops, answer), "props"));
        answer += strcmp(kind, "Release") != 0;
    }
    json_decref(j);
}

static int by_mid(const void *a, const void *b)
{
    return strcmp(((const found *)a)->mid, ((const found *)b)->mid);
}

static bool upload_common_views(replayer *t)
{
    static const char *const sources[] = {"036-fai-table-restricted-sorted", "037-contents-page-1",
                                          "038-contents-page-2", "040-open-wlink",
                                          "041-open-8-messages"};
    found *list = calloc(64, sizeof(*list));
    size_t n = 0;
    bool ok = true;
    for (size_t i = 0; i < 5; i++)
        scan_messages(t, sources[i], list, &n);
    qsort(list, n, sizeof(*list), by_mid);
    for (size_t i = 0; i < n; i++) {
        cpuu_buf b;
        uint16_t count = 0;
        cpuu_buf_init(&b, 65536);
        for (size_t k = 0; k < list[i].n; k++) {
            count = (uint16_t)(count + put_json_value(t, &b, list[i].props[k]));
            json_decref(list[i].props[k]);
        }
        ok = ok && upload(t, "0100000000000007", true, list[i].mid, &b, count);
        cpuu_buf_free(&b);
    }
    free(list);
    return ok && n == 34;
}

/* The rules of 064, from the recorded bytes with the folder ids replaced. */
static bool upload_rules(replayer *t)
{
    char path[4400];
    uint8_t data[65536];
    snprintf(path, sizeof(path), "%s/064-rules-table.response.bin", t->dir);
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(data, 1, sizeof(data), f) : 0;
    if (f)
        fclose(f);
    json_t *j = load(t, "064-rules-table");
    const json_t *rops = json_object_get(json_object_get(j, "request"), "rops");
    const json_t *tags = json_object_get(json_array_get(rops, 2), "tags");
    cpuu_reader r;
    cpuu_buf b, out;
    cpuu_buf_init(&b, 1u << 16);
    cpuu_buf_init(&out, 65536);
    uint32_t handles[2] = {t->s->handles[0].own, 0xFFFFFFFF};
    cpuu_reader_init(&r, data, n);
    cpuu_read_skip(&r, 26 + 8 + 6 + 7 + 7, "headers, OpenFolder ... QueryRows");
    uint16_t rows = cpuu_read_u16(&r, "RowCount");
    cpuu_buf_add(&b, "\x02\0\0\x01", 4);
    cpuu_buf_u64(&b, own_id(t, "010000000000000d"));
    cpuu_buf_add(&b, "\0\x41\0\x01\0", 5);
    cpuu_buf_u16(&b, rows);
    for (uint16_t i = 0; i < rows && !r.failed; i++) {
        cpuu_read_u8(&r, "flag");
        cpuu_buf_u8(&b, 1);
        cpuu_buf_u16(&b, (uint16_t)(json_array_size(tags) - 1));
        for (size_t k = 0; k < json_array_size(tags); k++) {
            lab_val v;
            uint32_t tag = json_tag(json_array_get(tags, k));
            if (!lab_value_read(&r, tag, &v) || TAG_ID(tag) == 0x6674)
                continue;
            size_t at = b.size;
            cpuu_buf_u32(&b, tag);
            lab_value_write(&b, &v);
            if (TAG_TYPE(tag) == PT_ACTIONS)
                translate(t, b.data + at, b.size - at);
        }
    }
    bool ok = !r.failed && rows == 11 && execute(t, &b, handles, 2, &out) && out.size == 14 &&
              cpuu_le32(out.data + 10) == 0;
    for (uint8_t i = 1; ok && i <= rows + 2; i++) { /* 065 adds two more */
        /* rule ids are counted from 1 on both sides; the lab's have its own replica id in front */
        uint8_t rec[8] = {1, 0, 0, 0, 0, 0, 0, i}, own[8] = {0};
        memcpy(own, rec, 8);
        uint64_t inbox = own_id(t, "010000000000000d");
        own[0] = (uint8_t)inbox;
        own[1] = (uint8_t)(inbox >> 8);
        ok = same(t, 'r', rec, own, 8);
    }
    json_decref(j);
    cpuu_buf_free(&b);
    cpuu_buf_free(&out);
    return ok;
}

static bool upload_big(replayer *t, const char *mid, const char *subject, uint32_t size)
{
    cpuu_buf values, b, out;
    uint32_t handles[3] = {t->s->handles[0].own, 0xFFFFFFFF, 0xFFFFFFFF};
    cpuu_buf_init(&values, 1u << 16);
    put_text_value(&values, 0x001A001F, "IPM.Configuration.Test");
    put_text_value(&values, 0x0037001F, subject);
    bool ok = upload(t, "0100000000450000", true, mid, &values, 2);
    cpuu_buf_init(&b, 1u << 17);
    cpuu_buf_init(&out, 65536);
    for (uint32_t done = 0; ok && done < size;) {
        uint32_t n = size - done < 24000 ? size - done : 24000;
        bool first = done == 0;
        if (first) {
            cpuu_buf_add(&b, "\x03\0\0\x01\xFF\x0F", 6);
            cpuu_buf_u64(&b, own_id(t, "0100000000450000"));
            cpuu_buf_u8(&b, 1);
            cpuu_buf_u64(&b, own_id(t, mid));
            cpuu_buf_add(&b, "\x2B\0\x01\x02\x02\x01\x09\x7C\x02", 9);
        }
        cpuu_buf_add(&b, "\x2D\0\x02", 3);
        cpuu_buf_u16(&b, (uint16_t)n);
        for (uint32_t i = 0; i < n; i++)
            cpuu_buf_u8(&b, (uint8_t)((done + i) * 7 + ((done + i) >> 8)));
        done += n;
        if (done == size)
            cpuu_buf_add(&b, "\x5D\0\x02\x0C\0\0\x01\x02\x01\0\x01", 11);
        ok = execute(t, &b, handles, 3, &out);
        cpuu_buf_reset(&b);
    }
    cpuu_buf_free(&values);
    cpuu_buf_free(&b);
    cpuu_buf_free(&out);
    return ok;
}

static session *find_session(replayer *t, const char *name)
{
    for (size_t i = 0; i < t->n_sessions; i++)
        if (strcmp(t->sessions[i].name, name) == 0)
            return &t->sessions[i];
    session *s = &t->sessions[t->n_sessions++];
    snprintf(s->name, sizeof(s->name), "%s", name);
    s->login = strcmp(name, "S25") == 0 ? "svcadmin" : strcmp(name, "S06") == 0 ? "bob" : "alice";
    s->store = strcmp(name, "S26") == 0                               ? 'p'
               : strcmp(name, "S23") == 0 || strcmp(name, "S25") == 0 ? 'b'
                                                                      : 'a';
    return s;
}

/* 047: this session has opened a message, and S04 saves it meanwhile. */
static bool prepare_conflict(replayer *t)
{
    session *own = t->s, *other = find_session(t, "S04");
    cpuu_buf b, out;
    uint32_t handles[2] = {0xFFFFFFFF, 0xFFFFFFFF};
    cpuu_buf_init(&b, 4096);
    cpuu_buf_init(&out, 65536);
    t->s = other;
    put_text_value(&b, 0x001A001F, "IPM.Configuration.Test");
    bool ok = upload(t, "0100000000450000", true, "0100000000450002", &b, 1);
    for (int turn = 0; ok && turn < 2; turn++) {
        t->s = turn ? other : own;
        handles[0] = t->s->handles[0].own;
        handles[1] = 0xFFFFFFFF;
        cpuu_buf_reset(&b);
        cpuu_buf_add(&b, "\x03\0\0\x01\xFF\x0F", 6);
        cpuu_buf_u64(&b, own_id(t, "0100000000450000"));
        cpuu_buf_u8(&b, 1);
        cpuu_buf_u64(&b, own_id(t, "0100000000450002"));
        if (turn)
            cpuu_buf_add(&b, "\x0C\0\0\x01\x02", 5);
        ok = execute(t, &b, handles, 2, &out);
        if (!turn)
            learn_handle(own, 1, handles[1]);
    }
    t->s = own;
    cpuu_buf_free(&b);
    cpuu_buf_free(&out);
    return ok;
}

/* 059: a folder with ninety messages, as 060 shows them. */
static bool prepare_rows(replayer *t)
{
    cpuu_buf b, out;
    uint32_t handles[3] = {t->s->handles[0].own, 0xFFFFFFFF, 0xFFFFFFFF};
    cpuu_buf_init(&b, 1u << 16);
    cpuu_buf_init(&out, 65536);
    cpuu_buf_add(&b, "\x02\0\0\x01", 4);
    cpuu_buf_u64(&b, own_id(t, "0100000000450000"));
    cpuu_buf_add(&b, "\0\x1C\0\x01\x02\x01\x01\0\0", 9);
    cpuu_buf_utf16(&b, "rows", true);
    cpuu_buf_utf16(&b, "", true);
    /* more than the two answers: the table of 032 is still open and told of the new folder */
    bool ok = execute(t, &b, handles, 3, &out) && out.size >= 8 + 15 &&
              same_id_hex(t, 'f', "0100000000480000", cpuu_le64(out.data + 14));
    json_t *j = load(t, "060-chained-query-rows"), *rop, *row;
    size_t i, k;
    json_array_foreach(json_object_get(json_object_get(j, "response"), "rops"), i, rop)
        json_array_foreach(json_object_get(rop, "rows"), k, row)
    {
        cpuu_buf_reset(&b);
        put_text_value(&b, 0x0037001F,
                       json_string_value(json_object_get(json_array_get(row, 0), "value")));
        ok = ok &&
             upload(t, "0100000000480000", false,
                    json_string_value(json_object_get(json_array_get(row, 1), "value")), &b, 1);
    }
    json_decref(j);
    cpuu_buf_free(&b);
    cpuu_buf_free(&out);
    return ok;
}

static bool stale_sequence(replayer *t)
{
    char old[200];
    snprintf(old, sizeof(old), "%s", t->s->cookie);
    bool ok = logon(t, cn_of("alice"));
    snprintf(t->s->cookie, sizeof(t->s->cookie), "%s", old);
    return ok;
}

static bool own_mailbox_ready(replayer *t)
{
    return logon(t, cn_of("alice")) && learn_folders(t) && upload_common_views(t) &&
           upload_rules(t);
}

/* What must have happened before an exchange. */
static bool prepare(replayer *t, const json_t *x)
{
    static const unsigned connects_itself[] = {5, 6, 7, 8, 9, 77};
    t->s->nspi = strncmp(json_string_value(json_object_get(x, "path")), "/mapi/nspi", 10) == 0;
    bool ok = true;
    if (t->number < 5)
        return true;
    bool recorded = false;
    for (size_t i = 0; i < sizeof(connects_itself) / sizeof(connects_itself[0]); i++)
        recorded |= connects_itself[i] == t->number;
    if (!t->s->open && !recorded)
        ok = connect_session(t);
    switch (t->number) {
    case 9:
        snprintf(t->s->cookie, sizeof(t->s->cookie),
                 "MapiContext=0123456789abcdef; MapiSequence=1");
        return true;
    case 10:
        return ok && stale_sequence(t);
    case 24:
        return ok && own_mailbox_ready(t);
    case 47:
        return ok && logon(t, cn_of("alice")) && prepare_conflict(t);
    case 50:
        return ok && upload_big(t, "0100000000450004", "big", 70000);
    case 58:
        for (char c = '6'; ok && c <= 'b'; c = c == '9' ? 'a' : (char)(c + 1)) {
            char mid[17];
            snprintf(mid, sizeof(mid), "010000000045000%c", c);
            ok = upload_big(t, mid, "medium", 20000);
        }
        return ok;
    case 59:
        return ok && prepare_rows(t);
    case 71:
        return ok && logon(t, cn_of("alice"));
    default:
        t->s->open = t->s->open || recorded;
        return ok;
    }
}

/* ---- sending a recorded request -------------------------------------------------------------- */

static void translate_name_id(const replayer *t, uint8_t *p)
{
    for (size_t i = 0; i < t->n_pairs; i++)
        if (t->pairs[i].kind == 'n' && memcmp(t->pairs[i].rec, p, 2) == 0) {
            memcpy(p, t->pairs[i].own, 2);
            return;
        }
}

static void translate_execute(replayer *t, uint8_t *p, size_t n)
{
    if (n < 26 || cpuu_le16(p + 16) < 2)
        return;
    uint16_t size = cpuu_le16(p + 12), rops = cpuu_le16(p + 16);
    if (16u + size > n || rops > size)
        return;
    translate(t, p + 18, rops - 2u);
    if (t->number == 62) /* property ids: RopId, LogonId, InputHandleIndex, count, ids */
        for (uint16_t i = 0; i < cpuu_le16(p + 21); i++)
            translate_name_id(t, p + 23 + 2 * i);
    for (uint8_t *h = p + 16 + rops; h + 4 <= p + 16 + size; h += 4)
        for (size_t i = t->s->n_handles; i > 0; i--)
            if (t->s->handles[i - 1].rec == cpuu_le32(h)) {
                uint32_t own = t->s->handles[i - 1].own;
                for (int k = 0; k < 4; k++)
                    h[k] = (uint8_t)(own >> (8 * k));
                break;
            }
}

static void translate_mid(const replayer *t, uint8_t *p)
{
    for (size_t i = 0; i < t->n_pairs; i++)
        if (t->pairs[i].kind == 'd' && memcmp(t->pairs[i].rec, p, 4) == 0) {
            memcpy(p, t->pairs[i].own, 4);
            return;
        }
}

static void translate_nspi(replayer *t, const char *type, uint8_t *p, size_t n)
{
    if (strcmp(type, "DNToMId") == 0 || strcmp(type, "Bind") == 0 || n < 45)
        return;
    translate_mid(t, p + 13); /* STAT.CurrentRec */
    uint32_t mids = strcmp(type, "QueryRows") == 0 ? cpuu_le32(p + 41) : 0;
    for (uint32_t i = 0; i < mids && 49 + 4 * i <= n; i++)
        translate_mid(t, p + 45 + 4 * i);
}

static uint8_t *read_request(const replayer *t, const char *name, size_t *size)
{
    char path[4400];
    snprintf(path, sizeof(path), "%s/%s.request.bin", t->dir, name);
    uint8_t *p = calloc(1, 1u << 17);
    FILE *f = fopen(path, "rb");
    *size = f ? fread(p, 1, 1u << 17, f) : 0;
    if (f)
        fclose(f);
    return p;
}

/* ---- the other answers ----------------------------------------------------------------------- */

static bool element(const char *xml, const char *name, char *out, size_t size)
{
    char tag[80];
    snprintf(tag, sizeof(tag), "<%s>", name);
    const char *p = xml ? strstr(xml, tag) : NULL;
    snprintf(out, size, "%.*s", p ? (int)strcspn(p + strlen(tag), "<") : 0,
             p ? p + strlen(tag) : "");
    return p != NULL;
}

static void check_autodiscover(replayer *t, const json_t *x, const labctl_reply *r)
{
    static const char *const names[] = {
        "AutoDiscoverSMTPAddress", "DisplayName", "LegacyDN", "AccountType", "Action", "ErrorCode",
        "MicrosoftOnline"};
    const char *want = json_string_value(json_object_get(x, "response"));
    if (r->status != 200)
        return;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char a[400], b[400];
        bool in_want = element(want, names[i], a, sizeof(a));
        bool in_own = element((char *)r->body, names[i], b, sizeof(b));
        if (in_want != in_own || strcmp(a, b) != 0)
            differ(t, "%s: '%s', recorded '%s'", names[i], b, a);
    }
    static const char *const shapes[] = {"<Protocol Type=\"mapiHttp\" Version=\"1\">",
                                         "<MailStore>",
                                         "<AddressBook>",
                                         "/mapi/emsmdb/?MailboxId=",
                                         "<Type>EXCH</Type>",
                                         "<Type>EXPR</Type>"};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        if (!strstr(want, shapes[i]) != !strstr((char *)r->body, shapes[i]))
            differ(t, "%s", shapes[i]);
}

static void check_connect(replayer *t, const json_t *x, const uint8_t *body, size_t size)
{
    const json_t *w = json_object_get(x, "response");
    cpuu_reader r;
    cpuu_reader_init(&r, body, size);
    uint32_t n;
    if (cpuu_read_u32(&r, "StatusCode") != field(w, "status_code") ||
        cpuu_read_u32(&r, "ErrorCode") != field(w, "error_code"))
        differ(t, "status or error code");
    cpuu_read_skip(&r, 12, "PollsMax, RetryCount, RetryDelay");
    cpuu_read_sz8(&r, &n, "DnPrefix");
    lab_val v = {PT_UNICODE, cpuu_read_sz16(&r, &n, "DisplayName"), 0};
    v.size = n;
    cpuu_arena a = {0};
    const char *name = r.failed ? NULL : lab_value_text(&a, &v);
    if (!name || strcmp(name, json_string_value(json_object_get(w, "display_name"))) != 0)
        differ(t, "display name");
    cpuu_arena_free(&a);
}

static void check_reply(replayer *t, const json_t *x, const char *type, const labctl_reply *r)
{
    char code[20] = "";
    if (r->status != (int)json_integer_value(json_object_get(x, "http_status")))
        differ(t, "HTTP status %d", r->status);
    if (strcmp(type, "Autodiscover") == 0) {
        check_autodiscover(t, x, r);
        return;
    }
    labctl_header(r, "X-ResponseCode", 0, code, sizeof(code));
    const json_t *want = json_object_get(x, "x_response_code_documented");
    if (!t->documented || !want)
        want = json_object_get(x, "x_response_code");
    if (atoi(code) != (int)json_integer_value(want) || !*code)
        differ(t, "X-ResponseCode '%s'", code);
    if (!json_is_object(json_object_get(x, "response")) || t->why[0])
        return;
    size_t size;
    const uint8_t *body = after_meta(r, &size);
    if (!body)
        differ(t, "no body after the meta-tags");
    else if (strcmp(type, "Execute") == 0)
        check_execute(t, x, body, size);
    else if (strcmp(type, "Connect") == 0)
        check_connect(t, x, body, size);
    else if (t->s->nspi)
        check_nspi(t, x, body, size);
    else if (strcmp(type, "Disconnect") == 0 && (size < 8 || cpuu_le32(body + 4) != 0))
        differ(t, "Disconnect");
}

static void replay(replayer *t, const char *name)
{
    json_t *x = load(t, name);
    const char *type = json_string_value(json_object_get(x, "request_type"));
    labctl_reply r = {0};
    size_t size = 0;
    t->why[0] = 0;
    t->number = (unsigned)atoi(name);
    t->s = find_session(t, json_string_value(json_object_get(x, "session")));
    if (!prepare(t, x)) {
        differ(t, "the steps before it failed");
    } else {
        uint8_t *body = read_request(t, name, &size);
        bool ad = strcmp(type, "Autodiscover") == 0;
        if (strcmp(type, "Execute") == 0)
            translate_execute(t, body, size);
        else if (t->s->nspi)
            translate_nspi(t, type, body, size);
        bool anonymous = t->number == 4;
        bool sent = anonymous ? labctl_http(t->port, "POST", "/autodiscover/autodiscover.xml", "",
                                            body, size, &r)
                              : post(t, ad ? "/autodiscover/autodiscover.xml" : endpoint(t->s),
                                     type, t->number == 12 ? "X-RequestId" : NULL, body, size, &r);
        if (!sent)
            differ(t, "no answer");
        else
            check_reply(t, x, type, &r);
        free(body);
        labctl_reply_free(&r);
    }
    json_decref(x);
}

/* Exchanges 007-015 once more in new sessions, by the documents: the numbers of [MS-OXCMAPIHTTP]
 * 2.2.3.3.3 that the recordings note beside the server's own. */
static unsigned replay_documented(replayer *t)
{
    static const char *const names[] = {"007-connect-truncated-body",
                                        "008-execute-no-cookie",
                                        "009-execute-unknown-session",
                                        "010-execute-stale-sequence",
                                        "011-unknown-request-type",
                                        "012-missing-x-requestid",
                                        "013-ping",
                                        "014-disconnect",
                                        "015-execute-after-disconnect"};
    unsigned good = 0;
    memset(t->sessions, 0, sizeof(t->sessions));
    t->n_sessions = 0;
    t->documented = labctl_fault(t->lab, "{\"independent\":false}");
    for (size_t i = 0; i < 9; i++) {
        replay(t, names[i]);
        good += !t->why[0];
        if (t->why[0])
            printf("DIFFERS: %s by the documents: %s\n", names[i], t->why);
    }
    return good;
}

int main(void)
{
    char err[600] = "", name[256];
    const char *dir = oracle_path("t-lab-recordings", "mapihttp");
    if (!dir)
        return 0;
    static replayer t;
    t.dir = dir;
    t.lab = labctl_start(CPUU_SRCDIR "/tests/lab/recordings.conf", true, err, sizeof(err));
    if (!t.lab) {
        printf("FAIL: t-lab-recordings: %s\n", err);
        return 1;
    }
    t.port = labctl_port(t.lab, "source");
    struct dirent **entries;
    int n = scandir(dir, &entries, NULL, alphasort);
    unsigned total = 0, good = 0;
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "%s", entries[i]->d_name);
        char *dot = strstr(name, ".json");
        free(entries[i]);
        if (!dot || dot[5])
            continue;
        *dot = 0;
        total++;
        replay(&t, name);
        good += !t.why[0];
        printf("%s: %s%s%s\n", t.why[0] ? "DIFFERS" : "same", name, t.why[0] ? ": " : "", t.why);
    }
    free(entries);
    unsigned documented = replay_documented(&t);
    int rc = labctl_stop(t.lab);
    bool pass = good == N_RECORDED && total == N_RECORDED && documented == 9 && rc == 0;
    printf("%s: t-lab-recordings: %u of %u exchanges mean the same (%u values differ by rule), "
           "%u of 9 codes as documented\n",
           pass ? "PASS" : "FAIL", good, total, t.notes, documented);
    return pass ? 0 : 1;
}
