/*
 * The meaning of recorded answers. Ids, GUIDs and handles of the two servers differ: the first time
 * one is seen in an answer its counterpart is learnt, from then on it must be the same one.
 */
#include "tests/lab/recordings.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Known differences: here the lab follows the documents or has less, see the recordings' README. */
typedef struct allowance {
    unsigned exchange;
    uint16_t property; /* 0: not about a property */
    const char *reason;
} allowance;
static const allowance allowed[] = {
    {23, 0x65E0, "source keys exist for public folders too"},
    {24, 0x36E4, "no free/busy message in the lab's mailbox"},
    {35, 0x0FFB, "store EntryID is documented"},
    {35, 0x35E0, "documented"},
    {35, 0x35E6, "documented"},
    {35, 0x35E7, "documented"},
    {35, 0x6630, "documented"},
    {35, 0x0FF8, "mapping signature is the store's own replica GUID"},
    {43, 0x0E07, "message flags beyond associated and read"},
    {49, 0x0E20, "attachment size includes the server's own overhead"},
    {40, 0x300B, "search keys are made by the server"},
    {66, 0x6682, "the recorded server keeps a rule's name when it is modified"},
};

void differ(replayer *t, const char *fmt, ...)
{
    va_list ap;
    if (t->why[0])
        return;
    va_start(ap, fmt);
    vsnprintf(t->why, sizeof(t->why), fmt, ap);
    va_end(ap);
}

bool is_allowed(replayer *t, uint32_t tag)
{
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
        if (allowed[i].exchange == t->number && allowed[i].property == TAG_ID(tag)) {
            t->notes++;
            return true;
        }
    return false;
}

/* ---- counterparts ---------------------------------------------------------------------------- */

bool same(replayer *t, char kind, const uint8_t *rec, const uint8_t *own, uint8_t size)
{
    char store = kind == 'f' || kind == 'r' || kind == 'm' || kind == 'n' ? t->s->store : 0;
    for (size_t i = 0; i < t->n_pairs; i++) {
        const pair *p = &t->pairs[i];
        if (p->kind != kind || p->store != store)
            continue;
        bool r = memcmp(p->rec, rec, size) == 0, o = memcmp(p->own, own, size) == 0;
        if (r || o)
            return r && o;
    }
    if (t->n_pairs == MAX_PAIRS)
        return false;
    pair *p = &t->pairs[t->n_pairs++];
    *p = (pair){.kind = kind, .store = store, .size = size};
    memcpy(p->rec, rec, size);
    memcpy(p->own, own, size);
    return true;
}

bool same_id_hex(replayer *t, char kind, const char *hex, uint64_t own)
{
    uint8_t rec[8], le[8];
    if (!hex || strlen(hex) != 16 || !cpuu_unhex(rec, hex, 8))
        return false;
    for (int i = 0; i < 8; i++)
        le[i] = (uint8_t)(own >> (8 * i));
    static const uint8_t zero[8] = {0};
    if (memcmp(rec, zero, 8) == 0)
        return own == 0;
    return same(t, kind, rec, le, 8);
}

/* Six counter bytes after a GUID, as in EntryIDs and long-term ids. */
static void translate_counter(const replayer *t, uint8_t *p)
{
    for (size_t i = 0; i < t->n_pairs; i++)
        if (t->pairs[i].kind == 'f' && t->pairs[i].store == t->s->store &&
            memcmp(t->pairs[i].rec + 2, p, 6) == 0) {
            memcpy(p, t->pairs[i].own + 2, 6);
            return;
        }
}

/* Replaces the recording's numbers in a request by the lab's. Small patterns only after their tag.
 */
void translate(replayer *t, uint8_t *p, size_t n)
{
    for (size_t at = 0; at < n; at++) {
        uint32_t tag = at >= 4 ? cpuu_le32(p + at - 4) : 0;
        char want = tag == 0x66740014 ? 'r' : tag == 0x66710014 ? 'm' : 'f';
        for (size_t i = 0; i < t->n_pairs; i++) {
            const pair *q = &t->pairs[i];
            bool id = q->kind == want && q->store == t->s->store;
            bool guid = q->kind == 'g' && want == 'f';
            if ((!id && !guid) || at + q->size > n || memcmp(p + at, q->rec, q->size) != 0)
                continue;
            memcpy(p + at, q->own, q->size);
            at += (size_t)q->size - 1;
            if (guid && at + 6 < n)
                translate_counter(t, p + at + 1);
            break;
        }
    }
}

/* Counter of an EntryID or long-term id: translated through the id with the server's replica id. */
static bool same_counter(replayer *t, const uint8_t *rec, const uint8_t *own)
{
    for (size_t i = 0; i < t->n_pairs; i++) {
        const pair *p = &t->pairs[i];
        if (p->kind != 'f' || memcmp(p->rec + 2, rec, 6) != 0)
            continue;
        if (p->store == t->s->store)
            return memcmp(p->own + 2, own, 6) == 0;
    }
    return true; /* not seen as an id yet */
}

static bool same_binary(replayer *t, const uint8_t *rec, size_t n, const uint8_t *own, size_t own_n)
{
    if (n == own_n && memcmp(rec, own, n) == 0)
        return true;
    if (n != own_n)
        return false;
    if (n == 22)
        return same(t, 'g', rec, own, 16) && same_counter(t, rec + 16, own + 16);
    if (n == 24)
        return same(t, 'g', rec, own, 16) && same_counter(t, rec + 16, own + 16);
    if ((n != 46 && n != 70) || memcmp(rec + 20, own + 20, 2) != 0)
        return false;
    if (!same(t, 'g', rec + 4, own + 4, 16) || !same(t, 'g', rec + 22, own + 22, 16) ||
        !same_counter(t, rec + 38, own + 38))
        return false;
    return n == 46 || same_counter(t, rec + 62, own + 62);
}

/* ---- values ---------------------------------------------------------------------------------- */

uint32_t json_tag(const json_t *v)
{
    return (uint32_t)strtoul(json_string_value(v), NULL, 16);
}

uint32_t json_u32(const json_t *v)
{
    return json_is_string(v) ? (uint32_t)strtoul(json_string_value(v), NULL, 0)
                             : (uint32_t)json_integer_value(v);
}

uint32_t field(const json_t *o, const char *key)
{
    return json_u32(json_object_get(o, key));
}

static bool same_hex(replayer *t, const char *hex, const uint8_t *own, size_t n)
{
    size_t len = strlen(hex) / 2;
    uint8_t *rec = calloc(1, len + 1);
    bool ok = rec && cpuu_unhex(rec, hex, len) && same_binary(t, rec, len, own, n);
    free(rec);
    return ok;
}

static bool same_action(replayer *t, const json_t *a, cpuu_reader *r)
{
    static const char *const names[] = {"",          "move",  "copy",   "reply",
                                        "oof_reply", "defer", "bounce", "forward",
                                        "delegate",  "tag",   "delete", "mark_as_read"};
    cpuu_reader one = cpuu_reader_sub(r, cpuu_read_u16(r, "length"), "action");
    uint8_t type = cpuu_read_u8(&one, "type");
    const char *want = json_string_value(json_object_get(a, "action"));
    if (type >= 12 || strcmp(names[type], want) != 0)
        return false;
    cpuu_read_skip(&one, 8, "flavor, flags");
    const char *folder = json_string_value(json_object_get(a, "folder"));
    if (folder && strlen(folder) == 42) {
        cpuu_read_u8(&one, "in store");
        cpuu_read_skip(&one, cpuu_read_u16(&one, "size"), "store");
        cpuu_read_u16(&one, "size");
        cpuu_read_u8(&one, "ours");
        char id[17];
        snprintf(id, sizeof(id), "%.16s", folder + 2);
        if (!same_id_hex(t, 'f', id, cpuu_read_u64(&one, "id")))
            return false;
    }
    const json_t *people = json_object_get(a, "recipients");
    if (people && cpuu_read_u16(&one, "count") != json_array_size(people))
        return false;
    return !one.failed;
}

static bool same_actions(replayer *t, const json_t *list, const lab_val *v)
{
    cpuu_reader r;
    cpuu_reader_init(&r, v->data, v->size);
    if (cpuu_read_u16(&r, "count") != json_array_size(list))
        return false;
    size_t i;
    json_t *a;
    json_array_foreach(list, i, a) if (!same_action(t, a, &r)) return false;
    return !r.failed && !cpuu_reader_left(&r);
}

static bool same_restriction(const json_t *j, const lab_val *v)
{
    static const char *const names[] = {"and",     "or",   "not",   "content", "prop",    "compare",
                                        "bitmask", "size", "exist", "sub",     "comment", "count"};
    return v->size && v->data[0] < 12 && json_object_get(j, names[v->data[0]]);
}

static bool same_multi(replayer *t, const json_t *list, const lab_val *v)
{
    cpuu_reader r;
    cpuu_arena a = {0};
    cpuu_reader_init(&r, v->data, v->size);
    bool ok = cpuu_read_u32(&r, "count") == json_array_size(list);
    size_t i;
    json_t *e;
    json_array_foreach(list, i, e)
    {
        lab_val one;
        ok = ok && lab_value_read(&r, v->tag & ~0x1000u, &one);
        if (!ok)
            break;
        char *text = lab_value_text(&a, &one);
        if (text)
            ok = strcmp(text, json_string_value(e)) == 0;
        else if (json_is_string(e))
            ok = same_hex(t, json_string_value(e), one.data, one.size);
        else
            ok = one.size == 4 && cpuu_le32(one.data) == json_u32(e);
    }
    cpuu_arena_free(&a);
    return ok;
}

static bool same_i8(replayer *t, const json_t *e, const lab_val *v, uint16_t id)
{
    char kind = id == 0x6674 ? 'r' : id == 0x6671 ? 'm' : 'f';
    uint64_t own = cpuu_le64(v->data);
    if (json_is_string(e))
        return same_id_hex(t, kind, json_string_value(e), own);
    if (id != 0x6671)
        return own == (uint64_t)json_integer_value(e);
    uint8_t rec[8];
    for (int i = 0; i < 8; i++)
        rec[i] = (uint8_t)((uint64_t)json_integer_value(e) >> (8 * i));
    return same(t, 'm', rec, v->data, 8);
}

static bool same_text(const json_t *e, const lab_val *v)
{
    cpuu_arena a = {0};
    char *text = lab_value_text(&a, v);
    bool ok = text && json_is_string(e) && cpuu_caseeq(text, json_string_value(e));
    cpuu_arena_free(&a);
    return ok;
}

bool same_value(replayer *t, const json_t *prop, const lab_val *v)
{
    const json_t *e = json_object_get(prop, "value");
    char guid[39];
    switch (TAG_TYPE(v->tag)) {
    case PT_UNICODE:
    case PT_STRING8:
        return same_text(e, v);
    case PT_BINARY:
        return json_is_string(e) && same_hex(t, json_string_value(e), v->data, v->size);
    case PT_BOOLEAN:
        return v->data[0] == json_is_true(e);
    case PT_LONG:
        return cpuu_le32(v->data) == json_u32(e);
    case PT_I8:
        return same_i8(t, e, v, TAG_ID(v->tag));
    case PT_CLSID:
        cpuu_guid_text(guid, v->data);
        guid[37] = 0;
        return json_is_string(e) && cpuu_caseeq(guid + 1, json_string_value(e));
    case PT_SYSTIME:
        return json_is_string(e); /* times differ */
    case PT_RESTRICTION:
        return same_restriction(e, v);
    case PT_ACTIONS:
        return same_actions(t, e, v);
    default:
        return (TAG_TYPE(v->tag) & PT_MV) && json_is_array(e) && same_multi(t, e, v);
    }
}

/* One column of a row: flagged or not, typed or not. */
static void check_column(replayer *t, cpuu_reader *r, const json_t *prop, uint32_t tag,
                         bool flagged)
{
    if (TAG_TYPE(tag) == PT_UNSPECIFIED)
        tag |= cpuu_read_u16(r, "type");
    uint8_t flag = flagged ? cpuu_read_u8(r, "flag") : 0;
    bool want_error = strcmp(json_string_value(json_object_get(prop, "type")), "error") == 0;
    lab_val v = {tag, NULL, 0};
    uint32_t code = 0;
    if (flag == 0x0A)
        code = cpuu_read_u32(r, "error");
    else
        lab_value_read(r, tag, &v);
    if (r->failed || is_allowed(t, tag))
        return;
    if (want_error != (flag == 0x0A))
        differ(t, "%08X: %s", tag, want_error ? "a value, not an error" : "an error, not a value");
    else if (want_error) {
        if (code != field(json_object_get(prop, "value"), "error"))
            differ(t, "%08X: error %08X", tag, code);
    } else if (!same_value(t, prop, &v)) {
        char *text = json_dumps(prop, JSON_COMPACT);
        char own[65] = "";
        cpuu_hex(own, v.data, v.size < 32 ? v.size : 32);
        differ(t, "%08X: %.200s is %s (%zu bytes)", tag, text, own, v.size);
        free(text);
    }
}

static void check_row(replayer *t, cpuu_reader *r, const json_t *row, const uint32_t *tags,
                      size_t n)
{
    bool flagged = cpuu_read_u8(r, "row flag") != 0;
    if (json_array_size(row) != n)
        differ(t, "row of %zu columns, %zu expected", n, json_array_size(row));
    for (size_t i = 0; i < n && !r->failed && !t->why[0]; i++)
        check_column(t, r, json_array_get(row, i), tags[i], flagged);
}

/* ---- responses: one function per ROP with fields of its own ---------------------------------- */

typedef struct answer {
    replayer *t;
    cpuu_reader *r;
    const json_t *rop;     /* expected */
    const json_t *request; /* all ROPs of the request */
    const uint32_t *own_handles;
    size_t request_index; /* of the ROP this answers */
} answer;

static void expect(answer *a, const char *key, uint64_t own)
{
    if (field(a->rop, key) != own)
        differ(a->t, "%s: %llu", key, (unsigned long long)own);
}

static void expect_id(answer *a, const char *key, uint64_t own)
{
    if (!same_id_hex(a->t, 'f', json_string_value(json_object_get(a->rop, key)), own))
        differ(a->t, "%s: %016llx", key, (unsigned long long)own);
}

static void check_logon(answer *a)
{
    static const char *const names[2][13] = {
        {"Root", "DeferredAction", "SpoolerQueue", "IPMSubtree", "Inbox", "Outbox", "SentItems",
         "DeletedItems", "CommonViews", "Schedule", "Search", "Views", "Shortcuts"},
        {"Root", "IPMSubtree", "NonIPMSubtree", "EFormsRegistry", "FreeBusy", "OfflineAddressBook",
         "LocalEForms", "LocalFreeBusy", "LocalOAB", "NNTPArticle", "Empty", "Empty2", "Empty3"}};
    bool private = json_object_get(a->rop, "mailbox_guid") != NULL;
    expect(a, "logon_flags", cpuu_read_u8(a->r, "LogonFlags"));
    const json_t *ids = json_object_get(a->rop, "folder_ids");
    for (int i = 0; i < 13; i++) {
        uint64_t own = cpuu_read_u64(a->r, "FolderIds");
        const char *name = names[private ? 0 : 1][i];
        if (!same_id_hex(a->t, 'f', json_string_value(json_object_get(ids, name)), own))
            differ(a->t, "folder id %s", name);
    }
    if (private) {
        uint8_t rec[16];
        expect(a, "response_flags", cpuu_read_u8(a->r, "ResponseFlags"));
        const uint8_t *guid = cpuu_read_bytes(a->r, 16, "MailboxGuid");
        cpuu_guid_parse(rec, json_string_value(json_object_get(a->rop, "mailbox_guid")));
        if (guid && !same(a->t, 'g', rec, guid, 16))
            differ(a->t, "mailbox GUID");
    }
    cpuu_read_skip(a->r, 18 + (private ? 8 + 8 + 4 : 16), "replica, times");
}

static void check_rows(answer *a)
{
    const json_t *rows = json_object_get(a->rop, "rows");
    const json_t *q = json_array_get(a->request, a->request_index);
    uint32_t handle = a->own_handles[field(q, "in")];
    uint8_t origin = cpuu_read_u8(a->r, "Origin");
    uint16_t n = cpuu_read_u16(a->r, "RowCount");
    size_t base = 0;
    if (a->t->all_rows) {
        rows = a->t->all_rows;
        base = a->t->next_row;
        a->t->next_row += n;
        if (origin != (a->t->next_row == json_array_size(rows) ? 2 : 1))
            differ(a->t, "origin: %u", origin);
    } else {
        expect(a, "origin", origin);
        expect(a, "row_count", n);
    }
    for (size_t c = a->t->s->n_columns; c > 0; c--) {
        if (a->t->s->columns[c - 1].handle != handle)
            continue;
        for (uint16_t i = 0; i < n && !a->r->failed && !a->t->why[0]; i++)
            check_row(a->t, a->r, json_array_get(rows, base + i), a->t->s->columns[c - 1].tags,
                      a->t->s->columns[c - 1].n);
        return;
    }
    if (n)
        differ(a->t, "rows of a table without columns");
}

static void check_specific(answer *a)
{
    const json_t *tags = json_object_get(json_array_get(a->request, a->request_index), "tags");
    uint32_t list[64];
    size_t n = json_array_size(tags);
    for (size_t i = 0; i < n && i < 64; i++)
        list[i] = json_tag(json_array_get(tags, i));
    check_row(a->t, a->r, json_object_get(a->rop, "props"), list, n < 64 ? n : 64);
}

/* Which tags a server has is its own; what both have must mean the same. */
static void check_all(answer *a)
{
    uint16_t n = cpuu_read_u16(a->r, "PropertyValueCount");
    unsigned common = 0;
    for (uint16_t i = 0; i < n && !a->r->failed; i++) {
        lab_val v;
        size_t k;
        json_t *p;
        lab_tagged_read(a->r, &v);
        json_array_foreach(json_object_get(a->rop, "props"), k, p) common +=
            TAG_ID(json_tag(json_object_get(p, "tag"))) == TAG_ID(v.tag);
    }
    if (common < 10)
        differ(a->t, "only %u properties in common", common);
}

static void check_list(answer *a)
{
    uint16_t n = cpuu_read_u16(a->r, "PropertyTagCount");
    unsigned common = 0;
    for (uint16_t i = 0; i < n && !a->r->failed; i++) {
        uint32_t tag = cpuu_read_u32(a->r, "tag");
        size_t k;
        json_t *p;
        json_array_foreach(json_object_get(a->rop, "tags"), k, p) common += json_tag(p) == tag;
    }
    if (common < 8)
        differ(a->t, "only %u tags in common", common);
}

static void check_problems(answer *a)
{
    const json_t *list = json_object_get(a->rop, "problems");
    uint16_t n = cpuu_read_u16(a->r, "PropertyProblemCount");
    if (n != json_array_size(list))
        differ(a->t, "%u problems", n);
    for (uint16_t i = 0; i < n && !a->t->why[0]; i++) {
        const json_t *p = json_array_get(list, i);
        uint16_t index = cpuu_read_u16(a->r, "Index");
        uint32_t tag = cpuu_read_u32(a->r, "PropertyTag"), code = cpuu_read_u32(a->r, "ErrorCode");
        if (index != field(p, "index") || tag != json_tag(json_object_get(p, "tag")) ||
            code != field(p, "error"))
            differ(a->t, "problem %u: %08X %08X", index, tag, code);
    }
}

static void check_typed_string(answer *a, const char *key)
{
    uint8_t type = cpuu_read_u8(a->r, "StringType");
    uint32_t size = 0;
    const uint8_t *p = type == 4   ? cpuu_read_sz16(a->r, &size, key)
                       : type >= 2 ? cpuu_read_sz8(a->r, &size, key)
                                   : NULL;
    lab_val v = {type == 4 ? PT_UNICODE : PT_STRING8, p, size};
    if (!same_text(json_object_get(a->rop, key), &v))
        differ(a->t, "%s", key);
}

static void check_recipient_row(answer *a, const json_t *want)
{
    if (cpuu_read_u8(a->r, "RecipientType") != field(want, "type"))
        differ(a->t, "recipient type");
    cpuu_read_skip(a->r, 4, "CodePageId, Reserved");
    cpuu_reader row = cpuu_reader_sub(a->r, cpuu_read_u16(a->r, "size"), "RecipientRow");
    const char *raw = json_string_value(json_object_get(want, "raw"));
    if (raw && !same_hex(a->t, raw, row.data, row.size))
        differ(a->t, "recipient row");
    if (!raw && cpuu_read_u16(&row, "RecipientFlags") != field(want, "flags"))
        differ(a->t, "recipient flags");
}

static void check_opened(answer *a)
{
    const json_t *people = json_object_get(a->rop, "recipients");
    expect(a, "has_named", cpuu_read_u8(a->r, "HasNamedProperties"));
    check_typed_string(a, "subject_prefix");
    check_typed_string(a, "normalized_subject");
    expect(a, "recipient_count", cpuu_read_u16(a->r, "RecipientCount"));
    uint16_t columns = cpuu_read_u16(a->r, "ColumnCount");
    if (columns != json_array_size(json_object_get(a->rop, "recipient_columns")))
        differ(a->t, "%u recipient columns", columns);
    cpuu_read_skip(a->r, 4u * columns, "RecipientColumns");
    uint8_t n = cpuu_read_u8(a->r, "RowCount");
    for (uint8_t i = 0; i < n && i < json_array_size(people); i++)
        check_recipient_row(a, json_array_get(people, i));
}

static void check_read_recipients(answer *a)
{
    const json_t *rows = json_object_get(a->rop, "rows");
    uint8_t n = cpuu_read_u8(a->r, "RowCount");
    if (n != json_array_size(rows))
        differ(a->t, "%u recipients", n);
    for (uint8_t i = 0; i < n && i < json_array_size(rows); i++) {
        if (cpuu_read_u32(a->r, "RowId") != field(json_array_get(rows, i), "row_id"))
            differ(a->t, "row id");
        check_recipient_row(a, json_array_get(rows, i));
    }
}

static void check_stream_data(answer *a)
{
    if (json_object_get(a->rop, "note"))
        return; /* a failed read: nothing follows */
    uint16_t n = cpuu_read_u16(a->r, "DataSize");
    const uint8_t *p = cpuu_read_bytes(a->r, n, "Data");
    const char *hex = json_string_value(json_object_get(a->rop, "data"));
    size_t shown = hex ? strspn(hex, "0123456789abcdef") / 2 : 0;
    uint8_t want[64];
    /* a full buffer: how much that is differs by the servers' own overhead */
    if (n > 32700 && n < 32768 && field(a->rop, "size") > 32700)
        a->t->notes++;
    else
        expect(a, "size", n);
    if (p && shown <= sizeof(want) && shown <= n && cpuu_unhex(want, hex, shown) &&
        memcmp(want, p, shown) != 0)
        differ(a->t, "stream data");
}

static void check_search(answer *a)
{
    const json_t *ids = json_object_get(a->rop, "fids"),
                 *tree = json_object_get(a->rop, "restriction");
    uint16_t size = cpuu_read_u16(a->r, "RestrictionDataSize");
    lab_val v = {PT_RESTRICTION, cpuu_read_bytes(a->r, size, "RestrictionData"), size};
    expect(a, "restriction_size", size);
    if (size && !same_restriction(tree, &v))
        differ(a->t, "restriction");
    expect(a, "logon_id", cpuu_read_u8(a->r, "LogonId"));
    uint16_t n = cpuu_read_u16(a->r, "FolderIdCount");
    if (n != json_array_size(ids))
        differ(a->t, "%u folders in scope", n);
    for (uint16_t i = 0; i < n; i++)
        if (!same_id_hex(a->t, 'f', json_string_value(json_array_get(ids, i)),
                         cpuu_read_u64(a->r, "id")))
            differ(a->t, "scope folder %u", i);
    /* the documented bits only, [MS-OXCFOLD] 2.2.1.5.2 */
    if ((cpuu_read_u32(a->r, "SearchFlags") & 0x7) != (field(a->rop, "search_flags") & 0x7))
        differ(a->t, "search flags");
}

static void check_names(answer *a)
{
    const json_t *names = json_object_get(a->rop, "names");
    uint16_t n = cpuu_read_u16(a->r, "count");
    if (n != json_array_size(names))
        differ(a->t, "%u names", n);
    for (uint16_t i = 0; i < n && !a->r->failed; i++) {
        const json_t *want = json_array_get(names, i);
        uint8_t kind = cpuu_read_u8(a->r, "Kind");
        cpuu_read_skip(a->r, 16, "GUID");
        const json_t *text = json_object_get(want, "name");
        if (kind == 0 && cpuu_read_u32(a->r, "LID") != field(want, "lid"))
            differ(a->t, "name %u: LID", i);
        if (kind == 1) {
            uint8_t size = cpuu_read_u8(a->r, "NameSize");
            lab_val v = {PT_UNICODE, cpuu_read_bytes(a->r, size, "Name"), size - 2u};
            if (!text || !same_text(text, &v))
                differ(a->t, "name %u", i);
        }
        if ((kind == 0xFF) != json_is_null(want))
            differ(a->t, "name %u: kind %u", i, kind);
    }
}

static void check_ids(answer *a)
{
    const json_t *ids = json_object_get(a->rop, "ids");
    uint16_t n = cpuu_read_u16(a->r, "count");
    for (uint16_t i = 0; i < n && i < json_array_size(ids); i++) {
        uint32_t rec = json_u32(json_array_get(ids, i));
        uint16_t own = cpuu_read_u16(a->r, "id");
        uint8_t r[2] = {(uint8_t)rec, (uint8_t)(rec >> 8)},
                o[2] = {(uint8_t)own, (uint8_t)(own >> 8)};
        if (own < 0x8000 || !same(a->t, 'n', r, o, 2))
            differ(a->t, "property id %u: %04X", i, own);
    }
    if (n != json_array_size(ids))
        differ(a->t, "%u ids", n);
}

static void check_long_term(answer *a)
{
    const char *hex = json_string_value(json_object_get(a->rop, "long_term_id"));
    const uint8_t *p = cpuu_read_bytes(a->r, 24, "LongTermId");
    if (p && !same_hex(a->t, hex, p, 24))
        differ(a->t, "long-term id");
}

static void check_saved(answer *a)
{
    expect(a, "input_handle_index", cpuu_read_u8(a->r, "InputHandleIndex"));
    expect_id(a, "mid", cpuu_read_u64(a->r, "MessageId"));
}

static void check_new_message(answer *a)
{
    expect(a, "has_mid", cpuu_read_u8(a->r, "HasMessageId"));
    expect_id(a, "mid", cpuu_read_u64(a->r, "MessageId"));
}

static void check_new_folder(answer *a)
{
    expect_id(a, "fid", cpuu_read_u64(a->r, "FolderId"));
    expect(a, "existing", cpuu_read_u8(a->r, "IsExistingFolder"));
}

static void check_open_folder(answer *a)
{
    expect(a, "has_rules", cpuu_read_u8(a->r, "HasRules"));
    expect(a, "is_ghosted", cpuu_read_u8(a->r, "IsGhosted"));
}

static void check_seek(answer *a)
{
    expect(a, "sought_less", cpuu_read_u8(a->r, "HasSoughtLess"));
    int32_t n = (int32_t)cpuu_read_u32(a->r, "RowsSought");
    if (n != (int32_t)json_integer_value(json_object_get(a->rop, "rows_sought")))
        differ(a->t, "rows sought: %d", n);
}

static void check_position(answer *a)
{
    expect(a, "position", cpuu_read_u32(a->r, "Numerator"));
    expect(a, "total", cpuu_read_u32(a->r, "Denominator"));
}

static void check_id(answer *a)
{
    expect_id(a, "id", cpuu_read_u64(a->r, "ObjectId"));
}

#define ONE_FIELD(name, key, read)                                                                 \
    static void name(answer *a)                                                                    \
    {                                                                                              \
        expect(a, key, read(a->r, key));                                                           \
    }
ONE_FIELD(check_partial, "partial", cpuu_read_u8)
ONE_FIELD(check_status, "table_status", cpuu_read_u8)
ONE_FIELD(check_row_count, "row_count", cpuu_read_u32)
ONE_FIELD(check_stream_size, "stream_size", cpuu_read_u32)
ONE_FIELD(check_attachment, "attachment", cpuu_read_u32)
ONE_FIELD(check_stream_position, "position", cpuu_read_u64)

static void check_written(answer *a)
{
    if (!json_object_get(a->rop, "note"))
        expect(a, "written", cpuu_read_u16(a->r, "WrittenSize"));
}

typedef struct rop_kind {
    const char *name;
    uint8_t id;
    void (*fields)(answer *a); /* after a successful ReturnValue; NULL = none */
    bool always;               /* also after a failure */
} rop_kind;

static const rop_kind kinds[] = {
    {"Logon", 0xFE, check_logon, false},
    {"OpenFolder", 0x02, check_open_folder, false},
    {"OpenMessage", 0x03, check_opened, false},
    {"GetHierarchyTable", 0x04, check_row_count, false},
    {"GetContentsTable", 0x05, check_row_count, false},
    {"CreateMessage", 0x06, check_new_message, false},
    {"GetPropertiesSpecific", 0x07, check_specific, false},
    {"GetPropertiesAll", 0x08, check_all, false},
    {"GetPropertiesList", 0x09, check_list, false},
    {"SetProperties", 0x0A, check_problems, false},
    {"DeleteProperties", 0x0B, check_problems, false},
    {"SaveChangesMessage", 0x0C, check_saved, false},
    {"ModifyRecipients", 0x0E, NULL, false},
    {"ReadRecipients", 0x0F, check_read_recipients, false},
    {"SetColumns", 0x12, check_status, false},
    {"SortTable", 0x13, check_status, false},
    {"Restrict", 0x14, check_status, false},
    {"QueryRows", 0x15, check_rows, false},
    {"QueryPosition", 0x17, check_position, false},
    {"SeekRow", 0x18, check_seek, false},
    {"CreateFolder", 0x1C, check_new_folder, false},
    {"DeleteFolder", 0x1D, check_partial, true},
    {"GetAttachmentTable", 0x21, NULL, false},
    {"OpenAttachment", 0x22, NULL, false},
    {"CreateAttachment", 0x23, check_attachment, false},
    {"SaveChangesAttachment", 0x25, NULL, false},
    {"OpenStream", 0x2B, check_stream_size, false},
    {"ReadStream", 0x2C, check_stream_data, true},
    {"WriteStream", 0x2D, check_written, true},
    {"SeekStream", 0x2E, check_stream_position, false},
    {"SetStreamSize", 0x2F, NULL, false},
    {"SetSearchCriteria", 0x30, NULL, false},
    {"GetSearchCriteria", 0x31, check_search, false},
    {"GetPermissionsTable", 0x3E, NULL, false},
    {"GetRulesTable", 0x3F, NULL, false},
    {"ModifyPermissions", 0x40, NULL, false},
    {"ModifyRules", 0x41, NULL, false},
    {"LongTermIdFromId", 0x43, check_long_term, false},
    {"IdFromLongTermId", 0x44, check_id, false},
    {"GetNamesFromPropertyIds", 0x55, check_names, false},
    {"GetPropertyIdsFromNames", 0x56, check_ids, false},
    {"CommitStream", 0x5D, NULL, false},
    {"GetStreamSize", 0x5E, check_stream_size, false},
    {"HardDeleteMessages", 0x91, check_partial, true},
};

/* ---- an Execute ------------------------------------------------------------------------------ */

static uint32_t own_handle(const session *s, uint32_t rec)
{
    for (size_t i = s->n_handles; i > 0; i--)
        if (s->handles[i - 1].rec == rec)
            return s->handles[i - 1].own;
    return rec;
}

static void learn_handles(replayer *t, const json_t *list, const uint32_t *own, size_t n)
{
    size_t count = json_array_size(list);
    if (n != count) {
        differ(t, "%zu handles", n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t rec = json_u32(json_array_get(list, i));
        session *s = t->s;
        if ((rec == 0xFFFFFFFF) != (own[i] == 0xFFFFFFFF)) {
            differ(t, "handle %zu is %08X", i, own[i]);
        } else if (own_handle(s, rec) != own[i] && s->n_handles < 400) {
            s->handles[s->n_handles].rec = rec;
            s->handles[s->n_handles++].own = own[i];
        }
    }
}

static void learn_columns(replayer *t, const json_t *rops, const uint32_t *own, size_t n)
{
    size_t i, k;
    json_t *q, *tag;
    json_array_foreach(rops, i, q)
    {
        session *s = t->s;
        if (strcmp(json_string_value(json_object_get(q, "rop")), "SetColumns") != 0 ||
            field(q, "in") >= n || s->n_columns >= 60)
            continue;
        s->columns[s->n_columns].handle = own[field(q, "in")];
        s->columns[s->n_columns].n = 0;
        json_array_foreach(json_object_get(q, "tags"), k, tag) s->columns[s->n_columns]
            .tags[s->columns[s->n_columns].n++] = json_tag(tag);
        s->n_columns++;
    }
}

static const rop_kind *kind_of(const char *name)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

static void check_notify(answer *a)
{
    if (cpuu_read_u8(a->r, "RopId") != 0x2A)
        differ(a->t, "RopNotify expected");
    uint32_t handle = cpuu_read_u32(a->r, "NotificationHandle");
    expect(a, "logon_id", cpuu_read_u8(a->r, "LogonId"));
    expect(a, "flags", cpuu_read_u16(a->r, "NotificationFlags"));
    if (cpuu_read_u16(a->r, "TableEventType") != 3)
        differ(a->t, "not TableRowAdded");
    expect_id(a, "row_fid", cpuu_read_u64(a->r, "TableRowFolderID"));
    expect_id(a, "after_fid", cpuu_read_u64(a->r, "InsertAfter"));
    expect(a, "row_size", cpuu_read_u16(a->r, "RowDataSize"));
    for (size_t c = a->t->s->n_columns; c > 0; c--)
        if (a->t->s->columns[c - 1].handle == handle) {
            check_row(a->t, a->r, json_object_get(a->rop, "row"), a->t->s->columns[c - 1].tags,
                      a->t->s->columns[c - 1].n);
            return;
        }
    differ(a->t, "notification for an unknown table");
}

static void check_rop(answer *a)
{
    const char *name = json_string_value(json_object_get(a->rop, "rop"));
    const rop_kind *k = kind_of(name);
    if (strcmp(name, "Notify") == 0) {
        check_notify(a);
        return;
    }
    if (!k) {
        differ(a->t, "the test does not know %s", name);
        return;
    }
    uint8_t id = cpuu_read_u8(a->r, "RopId");
    uint8_t index = cpuu_read_u8(a->r, "HandleIndex");
    uint32_t rc = cpuu_read_u32(a->r, "ReturnValue");
    if (id != k->id)
        differ(a->t, "ROP %02X", id);
    expect(a, "index", index);
    expect(a, "return", rc);
    if (!a->t->why[0] && k->fields && (rc == 0 || k->always))
        k->fields(a);
    if (a->r->failed)
        differ(a->t, "answer ends early at %s", a->r->error.field);
    if (a->t->why[0] && strncmp(a->t->why, name, strlen(name)) != 0) {
        char text[sizeof(a->t->why)];
        snprintf(text, sizeof(text), "%s", a->t->why);
        snprintf(a->t->why, sizeof(a->t->why), "%.40s: %.500s", name, text);
    }
}

/* Requests that have an answer, in order; the last one again when the server chains. */
static size_t next_request(const json_t *rops, size_t from)
{
    size_t n = json_array_size(rops);
    for (size_t i = from; i < n; i++)
        if (strcmp(json_string_value(json_object_get(json_array_get(rops, i), "rop")), "Release"))
            return i;
    return n ? n - 1 : 0;
}

static size_t check_payload(replayer *t, cpuu_reader *payload, const json_t *exchange, size_t *next,
                            size_t *request)
{
    const json_t *response = json_object_get(exchange, "response");
    const json_t *expected = json_object_get(response, "rops");
    const json_t *rops = json_object_get(json_object_get(exchange, "request"), "rops");
    uint32_t own[256];
    uint16_t rop_size = cpuu_read_u16(payload, "RopSize");
    cpuu_reader r = cpuu_reader_sub(payload, rop_size - 2u, "RopsList");
    size_t n = cpuu_reader_left(payload) / 4;
    for (size_t i = 0; i < n && i < 256; i++)
        own[i] = cpuu_read_u32(payload, "handle");
    learn_handles(t, json_object_get(response, "handles"), own, n);
    learn_columns(t, rops, own, n);
    while (cpuu_reader_left(&r) && !t->why[0]) {
        answer a = {t,    &r,  json_array_get(expected, *next),
                    rops, own, next_request(rops, *request)};
        if (!a.rop) {
            differ(t, "more answers than recorded");
            break;
        }
        check_rop(&a);
        *request = a.request_index + 1;
        (*next)++;
    }
    return n;
}

static void gather_rows(replayer *t, const json_t *rops)
{
    size_t i;
    json_t *rop;
    t->all_rows = json_array();
    t->next_row = 0;
    json_array_foreach(rops, i, rop) json_array_extend(t->all_rows, json_object_get(rop, "rows"));
}

void check_execute(replayer *t, const json_t *exchange, const uint8_t *body, size_t size)
{
    const json_t *response = json_object_get(exchange, "response");
    cpuu_reader r;
    cpuu_reader_init(&r, body, size);
    if (cpuu_read_u32(&r, "StatusCode") != field(response, "status_code"))
        differ(t, "StatusCode");
    uint32_t rc = cpuu_read_u32(&r, "ErrorCode");
    if (rc != field(response, "error_code"))
        differ(t, "ErrorCode %08X", rc);
    cpuu_read_u32(&r, "Flags");
    cpuu_reader buffer = cpuu_reader_sub(&r, cpuu_read_u32(&r, "RopBufferSize"), "RopBuffer");
    size_t next = 0, request = 0;
    if (t->number == 60)
        gather_rows(t, json_object_get(response, "rops"));
    while (cpuu_reader_left(&buffer) && !t->why[0]) {
        cpuu_read_u16(&buffer, "Version");
        cpuu_read_u16(&buffer, "Flags");
        uint16_t length = cpuu_read_u16(&buffer, "Size");
        cpuu_read_u16(&buffer, "SizeActual");
        cpuu_reader payload = cpuu_reader_sub(&buffer, length, "Payload");
        check_payload(t, &payload, exchange, &next, &request);
    }
    const json_t *expected = json_object_get(response, "rops");
    if (t->all_rows && t->next_row != json_array_size(t->all_rows))
        differ(t, "%zu rows", t->next_row);
    /* payloads without rows after the last one are the recorded server's own (README 7) */
    if (!t->all_rows && !t->why[0] && next < json_array_size(expected))
        differ(t, "%zu answers, %zu recorded", next, json_array_size(expected));
    json_decref(t->all_rows);
    t->all_rows = NULL;
}

/* ---- the address book ------------------------------------------------------------------------ */

static bool same_mid(replayer *t, uint32_t rec, uint32_t own)
{
    uint8_t r[4] = {(uint8_t)rec, (uint8_t)(rec >> 8), (uint8_t)(rec >> 16), (uint8_t)(rec >> 24)};
    uint8_t o[4] = {(uint8_t)own, (uint8_t)(own >> 8), (uint8_t)(own >> 16), (uint8_t)(own >> 24)};
    return rec <= 2 || own <= 2 ? rec == own : same(t, 'd', r, o, 4);
}

static void check_state(replayer *t, cpuu_reader *r, const json_t *state)
{
    static const char *const names[9] = {"sort_type", "container",       "current_rec",
                                         "delta",     "num_pos",         "total_recs",
                                         "codepage",  "template_locale", "sort_locale"};
    cpuu_read_u8(r, "HasState");
    for (int i = 0; i < 9; i++) {
        uint32_t own = cpuu_read_u32(r, names[i]), rec = field(state, names[i]);
        if (i == 2 ? !same_mid(t, rec, own) : own != rec)
            differ(t, "state %s: %u", names[i], own);
    }
}

static void check_mids(replayer *t, cpuu_reader *r, const json_t *mids)
{
    cpuu_read_u8(r, "HasMinimalIds");
    uint32_t n = cpuu_read_u32(r, "count");
    if (n != json_array_size(mids))
        differ(t, "%u MIds", n);
    for (uint32_t i = 0; i < n && !r->failed; i++)
        if (!same_mid(t, json_u32(json_array_get(mids, i)), cpuu_read_u32(r, "MId")))
            differ(t, "MId %u", i);
}

static void read_ab_single(cpuu_reader *r, uint16_t type, lab_val *v)
{
    uint32_t size = lab_fixed_size(type);
    if (!size && cpuu_read_u8(r, "HasValue") != 0xFF)
        cpuu_reader_fail(r, "HasValue", "not FF");
    if (size)
        v->data = cpuu_read_bytes(r, size, "value");
    else if (type == PT_UNICODE)
        v->data = cpuu_read_sz16(r, &size, "value");
    else if (type == PT_STRING8)
        v->data = cpuu_read_sz8(r, &size, "value");
    else {
        size = cpuu_read_u32(r, "size");
        v->data = cpuu_read_bytes(r, size, "value");
    }
    v->size = size;
}

static void check_ab_value(replayer *t, cpuu_reader *r, const json_t *prop, uint32_t tag)
{
    lab_val v = {tag, NULL, 0};
    if (!(TAG_TYPE(tag) & PT_MV)) {
        read_ab_single(r, TAG_TYPE(tag), &v);
        if (!r->failed && !same_value(t, prop, &v))
            differ(t, "value of %08X", tag);
        return;
    }
    const json_t *list = json_object_get(prop, "value");
    cpuu_read_u8(r, "HasValue");
    uint32_t n = cpuu_read_u32(r, "count");
    if (n != json_array_size(list))
        differ(t, "%u values of %08X", n, tag);
    for (uint32_t i = 0; i < n && !r->failed; i++) {
        v.tag = tag & ~0x1000u;
        read_ab_single(r, TAG_TYPE(v.tag), &v);
        if (!r->failed && !same_text(json_array_get(list, i), &v))
            differ(t, "value %u of %08X", i, tag);
    }
}

static void check_ab_row(replayer *t, cpuu_reader *r, const json_t *row, const json_t *columns)
{
    bool flagged = cpuu_read_u8(r, "Flags") != 0;
    for (size_t i = 0; i < json_array_size(columns) && !t->why[0] && !r->failed; i++) {
        const json_t *prop = json_array_get(row, i);
        uint32_t tag = json_tag(json_array_get(columns, i));
        bool error = strcmp(json_string_value(json_object_get(prop, "type")), "error") == 0;
        uint8_t flag = flagged ? cpuu_read_u8(r, "flag") : 0;
        if (error != (flag == 0x0A))
            differ(t, "%08X: value or error", tag);
        else if (error &&
                 cpuu_read_u32(r, "code") != field(json_object_get(prop, "value"), "error"))
            differ(t, "%08X: error code", tag);
        else if (!error)
            check_ab_value(t, r, prop, tag);
    }
}

static void check_ab_rows(replayer *t, cpuu_reader *r, const json_t *response)
{
    const json_t *columns = json_object_get(response, "columns");
    const json_t *rows = json_object_get(response, "rows");
    cpuu_read_u8(r, "HasColumnsAndRows");
    uint32_t n = cpuu_read_u32(r, "columns");
    for (uint32_t i = 0; i < n && !r->failed; i++)
        if (cpuu_read_u32(r, "tag") != json_tag(json_array_get(columns, i)))
            differ(t, "column %u", i);
    n = cpuu_read_u32(r, "RowCount");
    if (n != json_array_size(rows))
        differ(t, "%u rows", n);
    for (uint32_t i = 0; i < n && !t->why[0] && !r->failed; i++)
        check_ab_row(t, r, json_array_get(rows, i), columns);
}

static void check_ab_props(replayer *t, cpuu_reader *r, const json_t *response)
{
    const json_t *props = json_object_get(response, "props");
    if (cpuu_read_u32(r, "CodePage") != field(response, "codepage"))
        differ(t, "code page");
    cpuu_read_u8(r, "HasPropertyValues");
    uint32_t n = cpuu_read_u32(r, "count");
    if (n != json_array_size(props))
        differ(t, "%u properties", n);
    for (uint32_t i = 0; i < n && !t->why[0] && !r->failed; i++) {
        const json_t *p = json_array_get(props, i);
        uint32_t tag = cpuu_read_u32(r, "tag");
        if (tag != json_tag(json_object_get(p, "tag")))
            differ(t, "tag %08X", tag);
        else if (TAG_TYPE(tag) == PT_ERROR) {
            if (cpuu_read_u32(r, "code") != field(json_object_get(p, "value"), "error"))
                differ(t, "%08X: error code", tag);
        } else
            check_ab_value(t, r, p, tag);
    }
}

void check_nspi(replayer *t, const json_t *exchange, const uint8_t *body, size_t size)
{
    const json_t *response = json_object_get(exchange, "response");
    const char *type = json_string_value(json_object_get(exchange, "request_type"));
    cpuu_reader r;
    cpuu_reader_init(&r, body, size);
    cpuu_read_u32(&r, "StatusCode");
    uint32_t rc = cpuu_read_u32(&r, "ErrorCode");
    if (rc != field(response, "error_code"))
        differ(t, "ErrorCode %08X", rc);
    if (strcmp(type, "Bind") == 0)
        cpuu_read_skip(&r, 16, "ServerGuid");
    if (strcmp(type, "ResolveNames") == 0 &&
        cpuu_read_u32(&r, "CodePage") != field(response, "codepage"))
        differ(t, "code page");
    if (strcmp(type, "GetProps") == 0)
        check_ab_props(t, &r, response);
    if (json_is_object(json_object_get(response, "state")))
        check_state(t, &r, json_object_get(response, "state"));
    if (json_is_array(json_object_get(response, "mids")))
        check_mids(t, &r, json_object_get(response, "mids"));
    if (json_is_array(json_object_get(response, "rows")))
        check_ab_rows(t, &r, response);
    cpuu_read_skip(&r, cpuu_read_u32(&r, "AuxiliaryBufferSize"), "AuxiliaryBuffer");
    if (r.failed || cpuu_reader_left(&r))
        differ(t, "the answer's length");
}
