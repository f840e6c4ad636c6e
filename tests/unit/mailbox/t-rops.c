/*
 * The ROP and address-book codecs against every recorded exchange: responses decoded here must mean
 * what the recording's JSON says, and requests built here from that JSON must be the recorded
 * bytes.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#include "meaning.h"

#include "mailbox/mapihttp/ids.h"
#include "mailbox/mapihttp/nspi.h"
#include "mailbox/mapihttp/rops.h"
#include "base/text.h"
#include "mailbox/mapihttp/session.h"
#include "tests/unit/oracle.h"

#include <check.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_COLUMNS 64

typedef struct recording {
    char base[4096];
    json_t *json;
    cpuu_buf request, response;
} recording;

/* Columns of tables that outlive an exchange: (session, handle) -> tags. */
static struct table {
    char session[16];
    uint32_t handle;
    uint32_t tags[MAX_COLUMNS], n;
} tables[64];
static size_t n_tables;
static unsigned answers_compared, values_compared, requests_compared, requests_skipped;

static void load(const char *path, cpuu_buf *out)
{
    cpuu_buf_init(out, 4u << 20);
    FILE *f = fopen(path, "rb");
    if (!f)
        return;
    uint8_t chunk[8192];
    size_t n;
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
        cpuu_buf_add(out, chunk, n);
    fclose(f);
}

static void recording_open(recording *rec, const char *json_path)
{
    char path[4200];
    memset(rec, 0, sizeof(*rec));
    snprintf(rec->base, sizeof(rec->base), "%.*s", (int)(strlen(json_path) - 5), json_path);
    rec->json = json_load_file(json_path, 0, NULL);
    ck_assert_msg(rec->json != NULL, "%s", json_path);
    snprintf(path, sizeof(path), "%s.request.bin", rec->base);
    load(path, &rec->request);
    snprintf(path, sizeof(path), "%s.response.bin", rec->base);
    load(path, &rec->response);
}

static void recording_close(recording *rec)
{
    json_decref(rec->json);
    cpuu_buf_free(&rec->request);
    cpuu_buf_free(&rec->response);
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static long long int_of(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_true(v) ? 1 : json_is_string(v) ? meaning_hex(v) : json_integer_value(v);
}

/* ---- responses ------------------------------------------------------------------------------- */

static void same_value(const char *where, const json_t *want, const cpuu_cell *cell,
                       const cpuu_buf *bytes)
{
    cpuu_buf expected;
    cpuu_buf_init(&expected, 1 << 20);
    uint32_t tag = meaning_hex(json_object_get(want, "tag"));
    ck_assert_msg(tag == cell->tag, "%s: tag 0x%08x, not 0x%08x", where, cell->tag, tag);
    meaning_value(tag, json_object_get(want, "value"), &expected);
    cpuu_value v = cpuu_cell_value(cell, bytes);
    if (CPUU_TAG_TYPE(tag) == CPUU_PT_TIME) { /* the JSON has microseconds, the wire 100 ns */
        ck_assert_uint_eq(cpuu_le64(v.data) / 10, cpuu_le64(expected.data) / 10);
    } else {
        ck_assert_msg(v.size == expected.size, "%s: 0x%08x: %u bytes, not %zu", where, tag, v.size,
                      expected.size);
        ck_assert_msg(v.size == 0 || memcmp(v.data, expected.data, v.size) == 0, "%s: 0x%08x",
                      where, tag);
    }
    values_compared++;
    cpuu_buf_free(&expected);
}

static void same_logon(const json_t *want, const cpuu_rop_logon_answer *got)
{
    uint8_t guid[16];
    const json_t *ids = json_object_get(want, "folder_ids"), *id;
    const char *name;
    size_t i = 0;
    json_object_foreach((json_t *)ids, name, id)
    {
        ck_assert_uint_eq(got->folder_ids[i], meaning_id(id));
        i++;
    }
    ck_assert_uint_eq(i, 13);
    ck_assert_int_eq(got->is_private, meaning_hex(json_object_get(want, "logon_flags")) & 1);
    if (got->is_private) {
        ck_assert_uint_eq(got->response_flags,
                          meaning_hex(json_object_get(want, "response_flags")));
        meaning_guid(json_object_get(want, "mailbox_guid"), guid);
        ck_assert_mem_eq(got->mailbox_guid, guid, 16);
    }
    meaning_guid(json_object_get(want, "repl_guid"), guid);
    ck_assert_mem_eq(got->replguid, guid, 16);
    ck_assert_uint_eq(got->replid, (uint16_t)int_of(want, "repl_id"));
}

static void same_names(const json_t *want, const cpuu_rop_answer *a)
{
    ck_assert_uint_eq(a->n_names, json_array_size(want));
    for (size_t i = 0; i < a->n_names; i++) {
        const json_t *n = json_array_get(want, i);
        uint8_t guid[16];
        if (json_is_null(n)) {
            ck_assert_uint_eq(a->name_at[i], UINT32_MAX - 1);
            continue;
        }
        meaning_guid(json_object_get(n, "guid"), guid);
        ck_assert_mem_eq(a->names[i].guid, guid, 16);
        if (json_object_get(n, "name"))
            ck_assert_str_eq(a->names[i].string, text_of(n, "name"));
        else
            ck_assert_uint_eq(a->names[i].id, meaning_hex(json_object_get(n, "lid")));
    }
}

static void same_search(const json_t *want, const cpuu_rop_answer *a)
{
    cpuu_buf wire;
    cpuu_buf_init(&wire, 65536);
    const json_t *fids = json_object_get(want, "fids");
    if (json_is_object(json_object_get(want, "restriction")))
        meaning_restriction(json_object_get(want, "restriction"), &wire);
    ck_assert_uint_eq(a->data_size, wire.size);
    ck_assert(wire.size == 0 || memcmp(a->data, wire.data, wire.size) == 0);
    ck_assert_uint_eq(a->n_ids, json_array_size(fids));
    for (size_t i = 0; i < a->n_ids; i++)
        ck_assert_uint_eq(a->ids[i], meaning_id(json_array_get(fids, i)));
    ck_assert_uint_eq(a->search_flags, meaning_hex(json_object_get(want, "search_flags")));
    cpuu_buf_free(&wire);
}

static void same_data(const json_t *want, const cpuu_rop_answer *a)
{
    cpuu_buf begin; /* the JSON shows the beginning only */
    cpuu_buf_init(&begin, 65536);
    meaning_bytes(json_object_get(want, "data"), &begin);
    ck_assert_uint_eq(a->data_size, (uint32_t)int_of(want, "size"));
    ck_assert(begin.size <= a->data_size &&
              memcmp(begin.data ? begin.data : (uint8_t *)"", a->data, begin.size) == 0);
    cpuu_buf_free(&begin);
}

static void same_rows(const char *where, const json_t *rows, const cpuu_rop_answer *a,
                      uint32_t columns)
{
    ck_assert_uint_eq(a->count, json_array_size(rows));
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        ck_assert_uint_eq(json_array_size(row), columns);
        for (uint32_t k = 0; k < columns; k++)
            same_value(where, json_array_get(row, k), &a->cells[i * columns + k], &a->bytes);
    }
}

static void same_problems(const json_t *problems, const cpuu_rop_answer *a)
{
    ck_assert_uint_eq(a->n_problems, json_array_size(problems));
    for (size_t i = 0; i < a->n_problems; i++) {
        const json_t *p = json_array_get(problems, i);
        ck_assert_uint_eq(a->problems[i].index, (uint16_t)int_of(p, "index"));
        ck_assert_uint_eq(a->problems[i].tag, meaning_hex(json_object_get(p, "tag")));
        ck_assert_uint_eq(a->problems[i].code, meaning_hex(json_object_get(p, "error")));
    }
}

/* Numbers that carry the same name in all answers; absent ones are not compared. */
static void same_numbers(const json_t *want, const cpuu_rop_answer *a)
{
    const json_t *v;
    if ((v = json_object_get(want, "mid")) && json_is_string(v))
        ck_assert_uint_eq(a->id, meaning_id(v));
    if ((v = json_object_get(want, "fid")))
        ck_assert_uint_eq(a->id, meaning_id(v));
    if ((v = json_object_get(want, "id")))
        ck_assert_uint_eq(a->id, meaning_id(v));
    if (json_object_get(want, "row_count"))
        ck_assert_uint_eq(a->count, (uint32_t)int_of(want, "row_count"));
    if (json_object_get(want, "origin"))
        ck_assert_uint_eq(a->origin, (uint8_t)int_of(want, "origin"));
    if (json_object_get(want, "stream_size"))
        ck_assert_uint_eq(a->size, (uint64_t)int_of(want, "stream_size"));
    if (json_object_get(want, "written"))
        ck_assert_uint_eq(a->size, (uint64_t)int_of(want, "written"));
    if (json_object_get(want, "partial"))
        ck_assert_int_eq(a->flag, int_of(want, "partial") != 0);
    if (json_object_get(want, "existing"))
        ck_assert_int_eq(a->flag, int_of(want, "existing") != 0);
    if (json_object_get(want, "has_rules"))
        ck_assert_int_eq(a->flag, int_of(want, "has_rules") != 0);
    if (json_object_get(want, "recipient_count"))
        ck_assert_uint_eq(a->count, (uint32_t)int_of(want, "recipient_count"));
    if (json_object_get(want, "rows_sought"))
        ck_assert_int_eq((int32_t)a->position, int_of(want, "rows_sought"));
    if (json_object_get(want, "total")) {
        ck_assert_uint_eq(a->position, (uint32_t)int_of(want, "position"));
        ck_assert_uint_eq(a->size, (uint64_t)int_of(want, "total"));
    } else if (json_object_get(want, "position")) {
        ck_assert_uint_eq(a->size, (uint64_t)int_of(want, "position"));
    }
    if ((v = json_object_get(want, "long_term_id"))) {
        cpuu_buf b;
        cpuu_buf_init(&b, 24);
        meaning_bytes(v, &b);
        ck_assert_mem_eq(a->long_term_id, b.data, 24);
        cpuu_buf_free(&b);
    }
}

static void same_answer(const char *where, const json_t *want, const cpuu_rop_answer *a,
                        uint32_t columns)
{
    const char *rop = text_of(want, "rop");
    answers_compared++;
    if (strcmp(rop, "Notify") == 0) {
        ck_assert_uint_eq(a->rop, CPUU_ROP_NOTIFY);
        return;
    }
    ck_assert_msg(a->index == int_of(want, "index"), "%s: %s index", where, rop);
    ck_assert_msg(a->code == meaning_hex(json_object_get(want, "return")), "%s: %s code", where,
                  rop);
    if (a->code)
        return;
    same_numbers(want, a);
    if (a->rop == CPUU_ROP_LOGON)
        same_logon(want, &a->logon);
    else if (a->rop == CPUU_ROP_QUERY_ROWS)
        same_rows(where, json_object_get(want, "rows"), a, columns);
    else if (a->rop == CPUU_ROP_GET_NAMES_FROM_IDS)
        same_names(json_object_get(want, "names"), a);
    else if (a->rop == CPUU_ROP_GET_SEARCH_CRITERIA)
        same_search(want, a);
    else if (a->rop == CPUU_ROP_READ_STREAM)
        same_data(want, a);
    else if (a->rop == CPUU_ROP_SET_PROPERTIES || a->rop == CPUU_ROP_DELETE_PROPERTIES)
        same_problems(json_object_get(want, "problems"), a);
    const json_t *props = json_object_get(want, "props");
    if (props)
        ck_assert_uint_eq(a->count, json_array_size(props));
    for (size_t i = 0; props && i < json_array_size(props); i++)
        same_value(where, json_array_get(props, i), &a->cells[i], &a->bytes);
    const json_t *numbers = a->rop == CPUU_ROP_GET_PROPERTIES_LIST  ? json_object_get(want, "tags")
                            : a->rop == CPUU_ROP_GET_IDS_FROM_NAMES ? json_object_get(want, "ids")
                                                                    : NULL;
    for (size_t i = 0; numbers && i < json_array_size(numbers); i++)
        ck_assert_uint_eq(a->ids[i], meaning_hex(json_array_get(numbers, i)));
}

static struct table *table_of(const char *session, uint32_t handle)
{
    for (size_t i = n_tables; i > 0; i--)
        if (tables[i - 1].handle == handle && strcmp(tables[i - 1].session, session) == 0)
            return &tables[i - 1];
    return NULL;
}

/* The k-th request ROP that gets a response. */
static const json_t *nth_request(const json_t *rops, size_t k)
{
    for (size_t i = 0; i < json_array_size(rops); i++) {
        const json_t *rop = json_array_get(rops, i);
        if (strcmp(text_of(rop, "rop"), "Release") == 0)
            continue;
        if (k-- == 0)
            return rop;
    }
    return NULL;
}

/* The columns that tell how the answer to `request` is to be read. */
static uint32_t columns_for(const json_t *exchange, const json_t *request, uint32_t *out)
{
    const json_t *req = json_object_get(exchange, "request"), *rops = json_object_get(req, "rops");
    const char *rop = text_of(request, "rop");
    if (strcmp(rop, "GetPropertiesSpecific") == 0)
        return meaning_tags(json_object_get(request, "tags"), out, MAX_COLUMNS);
    if (strcmp(rop, "QueryRows") != 0)
        return 0;
    const json_t *set = NULL;
    for (size_t i = 0; i < json_array_size(rops); i++) {
        const json_t *r = json_array_get(rops, i);
        if (strcmp(text_of(r, "rop"), "SetColumns") == 0 &&
            int_of(r, "in") == int_of(request, "in"))
            set = r;
        if (r == request)
            break;
    }
    if (set)
        return meaning_tags(json_object_get(set, "tags"), out, MAX_COLUMNS);
    size_t slot = (size_t)int_of(request, "in");
    uint32_t handle = meaning_hex(json_array_get(json_object_get(req, "handles"), slot));
    const struct table *t = table_of(text_of(exchange, "session"), handle);
    if (!t)
        return 0;
    memcpy(out, t->tags, t->n * sizeof(*out));
    return t->n;
}

/* Remembers the columns of tables that stay open. */
static void remember_tables(const json_t *exchange)
{
    const json_t *rops = json_object_get(json_object_get(exchange, "request"), "rops");
    const json_t *handles = json_object_get(json_object_get(exchange, "response"), "handles");
    for (size_t i = 0; i < json_array_size(rops); i++) {
        const json_t *r = json_array_get(rops, i);
        if (strcmp(text_of(r, "rop"), "SetColumns") != 0 || n_tables == 64)
            continue;
        struct table *t = &tables[n_tables++];
        snprintf(t->session, sizeof(t->session), "%s", text_of(exchange, "session"));
        t->handle = meaning_hex(json_array_get(handles, (size_t)int_of(r, "in")));
        t->n = meaning_tags(json_object_get(r, "tags"), t->tags, MAX_COLUMNS);
    }
}

static void check_execute(const recording *rec)
{
    const json_t *response = json_object_get(rec->json, "response");
    const json_t *want = json_object_get(response, "rops");
    const json_t *rops = json_object_get(json_object_get(rec->json, "request"), "rops");
    cpuu_buf plain;
    cpuu_rop_reply *replies;
    size_t n, k = 0;
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_buf_init(&plain, 1 << 20);
    ck_assert_uint_ge(rec->response.size, 16);
    ck_assert_int_eq(cpuu_rop_buffer_parse(rec->response.data + 16,
                                           cpuu_le32(rec->response.data + 12), &plain, &replies, &n,
                                           &err),
                     CPUU_OK);
    cpuu_rop_answer a;
    cpuu_rop_answer_init(&a);
    for (size_t p = 0; p < n; p++) {
        cpuu_reader r;
        cpuu_reader_init(&r, replies[p].rops, replies[p].rops_size);
        while (cpuu_reader_left(&r)) {
            uint32_t columns[MAX_COLUMNS];
            const json_t *request = nth_request(rops, k);
            if (!request) /* chained: the last ROP again */
                request = json_array_get(rops, json_array_size(rops) - 1);
            uint32_t n_columns = columns_for(rec->json, request, columns);
            bool nomem;
            ck_assert_msg(cpuu_rop_decode(&r, columns, n_columns, &a, &nomem), "%s: %s at %u: %s",
                          rec->base, r.error.field, r.error.offset, r.error.what);
            ck_assert_msg(k < json_array_size(want), "%s: more answers than recorded", rec->base);
            same_answer(rec->base, json_array_get(want, k), &a, n_columns);
            k++;
        }
    }
    ck_assert_msg(k == json_array_size(want), "%s: %zu answers, not %zu", rec->base, k,
                  json_array_size(want));
    cpuu_rop_answer_free(&a);
    cpuu_free(replies);
    cpuu_buf_free(&plain);
}

/* ---- requests -------------------------------------------------------------------------------- */

/* WriteStream data are cut short in the JSON: taken from the recorded bytes by where they begin. */
static const uint8_t *stream_data(const recording *rec, const json_t *rop)
{
    cpuu_buf begin;
    cpuu_buf_init(&begin, 4096);
    meaning_bytes(json_object_get(rop, "data"), &begin);
    const uint8_t *p = memmem(rec->request.data, rec->request.size, begin.data, begin.size);
    cpuu_buf_free(&begin);
    return p;
}

/* This client sends one row per ROP. Rows recorded together are its rows one behind the other. */
static void build_table_change(cpuu_buf *b, uint8_t id, uint8_t in, const json_t *rop)
{
    const json_t *rows = json_object_get(rop, "rows");
    size_t count_at = b->size + 4, n_rows = json_array_size(rows);
    for (size_t i = 0; i < n_rows; i++) {
        const json_t *row = json_array_get(rows, i);
        const char *what = text_of(row, "flags");
        uint8_t flag = strcmp(what, "add") == 0      ? CPUU_ROW_ADD
                       : strcmp(what, "modify") == 0 ? CPUU_ROW_MODIFY
                                                     : CPUU_ROW_REMOVE;
        cpuu_value v[MAX_COLUMNS];
        cpuu_buf bytes, one;
        cpuu_buf_init(&bytes, 1 << 17);
        cpuu_buf_init(&one, 1 << 17);
        uint32_t n = meaning_values(json_object_get(row, "props"), v, MAX_COLUMNS, &bytes);
        cpuu_rop_modify_table(&one, id, in, (uint8_t)int_of(rop, "flags"), flag, v, n);
        cpuu_buf_add(b, one.data + (i ? 6 : 0), one.size - (i ? 6 : 0));
        cpuu_buf_free(&one);
        cpuu_buf_free(&bytes);
    }
    cpuu_buf_put_u16(b, count_at, (uint16_t)n_rows);
}

static void build_names(cpuu_buf *b, uint8_t in, const json_t *rop)
{
    cpuu_name names[MAX_COLUMNS];
    const json_t *all = json_object_get(rop, "names");
    uint32_t n = (uint32_t)json_array_size(all);
    for (uint32_t i = 0; i < n; i++) {
        const json_t *one = json_array_get(all, i);
        meaning_guid(json_object_get(one, "guid"), names[i].guid);
        names[i].string = json_string_value(json_object_get(one, "name"));
        names[i].id = names[i].string ? 0 : meaning_hex(json_object_get(one, "lid"));
    }
    cpuu_rop_get_ids_from_names(b, in, int_of(rop, "flags") == 2, names, n);
}

static void build_long_term_id(cpuu_buf *b, uint8_t in, const json_t *rop)
{
    cpuu_buf ltid;
    cpuu_buf_init(&ltid, 24);
    meaning_bytes(json_object_get(rop, "long_term_id"), &ltid);
    cpuu_rop_id_from_long_term_id(b, in, ltid.data);
    cpuu_buf_free(&ltid);
}

static bool is(const char *rop, const char *name)
{
    return strcmp(rop, name) == 0;
}

/* Appends the ROP the JSON describes; false when it is one this client never sends. */
static bool build_rop(const recording *rec, const json_t *j, cpuu_buf *b, cpuu_buf *tmp)
{
    const char *rop = text_of(j, "rop");
    uint8_t in = (uint8_t)int_of(j, "in"), out = (uint8_t)int_of(j, "out");
    uint8_t flags = (uint8_t)int_of(j, "table_flags");
    uint32_t tags[MAX_COLUMNS], n = 0;
    cpuu_value v[MAX_COLUMNS];
    if (json_object_get(j, "tags") && !is(rop, "ModifyRecipients"))
        n = meaning_tags(json_object_get(j, "tags"), tags, MAX_COLUMNS);
    if (is(rop, "Logon"))
        cpuu_rop_logon(b, out, (uint8_t)int_of(j, "logon_flags"), (uint32_t)int_of(j, "open_flags"),
                       text_of(j, "essdn"));
    else if (is(rop, "Release"))
        cpuu_rop_release(b, in);
    else if (is(rop, "OpenFolder"))
        cpuu_rop_open_folder(b, in, out, meaning_id(json_object_get(j, "fid")));
    else if (is(rop, "OpenMessage"))
        cpuu_rop_open_message(b, in, out, meaning_id(json_object_get(j, "fid")),
                              meaning_id(json_object_get(j, "mid")),
                              (uint8_t)int_of(j, "open_mode"));
    else if (is(rop, "CreateMessage"))
        cpuu_rop_create_message(b, in, out, meaning_id(json_object_get(j, "fid")),
                                int_of(j, "associated"));
    else if (is(rop, "SaveChangesMessage") && int_of(j, "save_flags") == 2)
        cpuu_rop_save_message(b, (uint8_t)int_of(j, "response_handle_index"), in);
    else if (is(rop, "GetHierarchyTable"))
        cpuu_rop_get_table(b, CPUU_ROP_GET_HIERARCHY_TABLE, in, out, flags);
    else if (is(rop, "GetContentsTable"))
        cpuu_rop_get_table(b, CPUU_ROP_GET_CONTENTS_TABLE, in, out, flags);
    else if (is(rop, "GetRulesTable"))
        cpuu_rop_get_table(b, CPUU_ROP_GET_RULES_TABLE, in, out, flags);
    else if (is(rop, "GetPermissionsTable"))
        cpuu_rop_get_table(b, CPUU_ROP_GET_PERMISSIONS_TABLE, in, out, flags);
    else if (is(rop, "SetColumns"))
        cpuu_rop_set_columns(b, in, tags, n);
    else if (is(rop, "Restrict")) {
        meaning_restriction(json_object_get(j, "restriction"), tmp);
        cpuu_rop_restrict(b, in, tmp->data, (uint32_t)tmp->size);
    } else if (is(rop, "SortTable")) {
        const json_t *sort = json_object_get(j, "sort");
        uint32_t pairs[8][2];
        for (size_t i = 0; i < json_array_size(sort) && i < 8; i++) {
            pairs[i][0] = meaning_hex(json_object_get(json_array_get(sort, i), "tag"));
            pairs[i][1] = (uint32_t)int_of(json_array_get(sort, i), "order");
        }
        cpuu_rop_sort_table(b, in, (const uint32_t(*)[2])pairs, (uint16_t)json_array_size(sort));
    } else if (is(rop, "QueryRows") && int_of(j, "forward"))
        cpuu_rop_query_rows(b, in, (uint16_t)int_of(j, "count"), int_of(j, "flags") == 2);
    else if (is(rop, "QueryPosition"))
        cpuu_rop_query_position(b, in);
    else if (is(rop, "SeekRow"))
        cpuu_rop_seek_row(b, in, (uint8_t)int_of(j, "origin"), (int32_t)int_of(j, "rows"),
                          int_of(j, "want_count"));
    else if (is(rop, "GetPropertiesSpecific"))
        cpuu_rop_get_properties(b, in, tags, n);
    else if (is(rop, "GetPropertiesList"))
        cpuu_rop_get_properties_list(b, in);
    else if (is(rop, "SetProperties"))
        cpuu_rop_set_properties(b, in, v,
                                meaning_values(json_object_get(j, "props"), v, MAX_COLUMNS, tmp));
    else if (is(rop, "DeleteProperties"))
        cpuu_rop_delete_properties(b, in, tags, n);
    else if (is(rop, "CreateFolder"))
        cpuu_rop_create_folder(b, in, out, (uint8_t)int_of(j, "folder_type"), text_of(j, "name"),
                               text_of(j, "comment"));
    else if (is(rop, "DeleteFolder"))
        cpuu_rop_delete_folder(b, in, (uint8_t)int_of(j, "flags"),
                               meaning_id(json_object_get(j, "fid")));
    else if (is(rop, "HardDeleteMessages")) {
        uint64_t mids[16];
        const json_t *all = json_object_get(j, "mids");
        for (size_t i = 0; i < json_array_size(all) && i < 16; i++)
            mids[i] = meaning_id(json_array_get(all, i));
        cpuu_rop_hard_delete_messages(b, in, mids, (uint16_t)json_array_size(all));
    } else if (is(rop, "OpenStream"))
        cpuu_rop_open_stream(b, in, out, meaning_hex(json_object_get(j, "tag")),
                             (uint8_t)int_of(j, "open_mode"));
    else if (is(rop, "ReadStream"))
        cpuu_rop_read_stream(b, in, (uint16_t)int_of(j, "count"), (uint32_t)int_of(j, "max_count"));
    else if (is(rop, "WriteStream"))
        cpuu_rop_write_stream(b, in, stream_data(rec, j), (uint16_t)int_of(j, "size"));
    else if (is(rop, "SeekStream"))
        cpuu_rop_seek_stream(b, in, (uint8_t)int_of(j, "origin"), (uint64_t)int_of(j, "offset"));
    else if (is(rop, "SetStreamSize"))
        cpuu_rop_set_stream_size(b, in, (uint64_t)int_of(j, "size"));
    else if (is(rop, "GetStreamSize"))
        cpuu_rop_get_stream_size(b, in);
    else if (is(rop, "CommitStream"))
        cpuu_rop_commit_stream(b, in);
    else if (is(rop, "GetSearchCriteria"))
        cpuu_rop_get_search_criteria(b, in);
    else if (is(rop, "SetSearchCriteria")) {
        uint64_t fids[16];
        const json_t *all = json_object_get(j, "fids");
        for (size_t i = 0; i < json_array_size(all) && i < 16; i++)
            fids[i] = meaning_id(json_array_get(all, i));
        meaning_restriction(json_object_get(j, "restriction"), tmp);
        cpuu_rop_set_search_criteria(b, in, tmp->data, (uint16_t)tmp->size, fids,
                                     (uint16_t)json_array_size(all),
                                     meaning_hex(json_object_get(j, "search_flags")));
    } else if (is(rop, "ModifyRules"))
        build_table_change(b, CPUU_ROP_MODIFY_RULES, in, j);
    else if (is(rop, "ModifyPermissions"))
        build_table_change(b, CPUU_ROP_MODIFY_PERMISSIONS, in, j);
    else if (is(rop, "LongTermIdFromId"))
        cpuu_rop_long_term_id_from_id(b, in, meaning_id(json_object_get(j, "id")));
    else if (is(rop, "IdFromLongTermId"))
        build_long_term_id(b, in, j);
    else if (is(rop, "GetPropertyIdsFromNames"))
        build_names(b, in, j);
    else if (is(rop, "GetNamesFromPropertyIds")) {
        uint16_t ids[MAX_COLUMNS];
        const json_t *all = json_object_get(j, "ids");
        for (size_t i = 0; i < json_array_size(all); i++)
            ids[i] = (uint16_t)meaning_hex(json_array_get(all, i));
        cpuu_rop_get_names_from_ids(b, in, ids, (uint32_t)json_array_size(all));
    } else
        return false;
    return true;
}

/* u16 RopSize and ROPs must equal what was recorded behind the Execute header and RPC_HEADER_EXT.
 */
static void check_request(const recording *rec)
{
    const json_t *rops = json_object_get(json_object_get(rec->json, "request"), "rops");
    cpuu_buf b, tmp;
    bool ours = true;
    cpuu_buf_init(&b, 1 << 17);
    cpuu_buf_u16(&b, 0);
    for (size_t i = 0; i < json_array_size(rops) && ours; i++) {
        cpuu_buf_init(&tmp, 1 << 17);
        ours = build_rop(rec, json_array_get(rops, i), &b, &tmp);
        ck_assert_msg(!b.failed, "%s: %s", rec->base, text_of(json_array_get(rops, i), "rop"));
        cpuu_buf_free(&tmp);
    }
    if (ours) {
        const uint8_t *recorded = rec->request.data + 8 + 8;
        cpuu_buf_put_u16(&b, 0, (uint16_t)b.size);
        ck_assert_msg(cpuu_le16(recorded) == b.size, "%s: RopSize %zu, not %u", rec->base, b.size,
                      cpuu_le16(recorded));
        for (size_t i = 0; i < b.size; i++)
            ck_assert_msg(recorded[i] == b.data[i], "%s: byte %zu", rec->base, i);
        requests_compared++;
    } else {
        requests_skipped++;
    }
    cpuu_buf_free(&b);
}

/* ---- address book ---------------------------------------------------------------------------- */

static cpuu_nspi_stat stat_of(const json_t *o)
{
    const json_t *j = json_object_get(o, "state");
    cpuu_nspi_stat s = {(uint32_t)int_of(j, "sort_type"),   (uint32_t)int_of(j, "container"),
                        (uint32_t)int_of(j, "current_rec"), (int32_t)int_of(j, "delta"),
                        (uint32_t)int_of(j, "num_pos"),     (uint32_t)int_of(j, "total_recs"),
                        (uint32_t)int_of(j, "codepage"),    (uint32_t)int_of(j, "template_locale"),
                        (uint32_t)int_of(j, "sort_locale")};
    return s;
}

static uint32_t strings(const json_t *all, const char **out)
{
    for (size_t i = 0; i < json_array_size(all); i++)
        out[i] = json_string_value(json_array_get(all, i));
    return (uint32_t)json_array_size(all);
}

static uint32_t numbers(const json_t *all, uint32_t *out)
{
    for (size_t i = 0; i < json_array_size(all); i++)
        out[i] = (uint32_t)json_integer_value(json_array_get(all, i));
    return (uint32_t)json_array_size(all);
}

static void build_matches(const json_t *q, const cpuu_nspi_stat *stat, const uint32_t *tags,
                          uint32_t n, cpuu_buf *b)
{
    const json_t *any = json_object_get(json_object_get(q, "filter"), "or");
    cpuu_value v[8];
    uint32_t n_any = (uint32_t)json_array_size(any);
    for (uint32_t i = 0; i < n_any; i++) {
        const json_t *p = json_object_get(json_array_get(any, i), "prop");
        const char *s = text_of(json_object_get(p, "value"), "value");
        v[i].tag = meaning_hex(json_object_get(p, "tag"));
        v[i].data = (const uint8_t *)s;
        v[i].size = (uint32_t)strlen(s);
    }
    cpuu_nspi_get_matches(b, stat, v, n_any, (uint32_t)int_of(q, "row_count"), tags, n);
}

static bool build_nspi(const char *type, const json_t *q, cpuu_buf *b)
{
    uint32_t tags[MAX_COLUMNS], mids[64];
    const char *names[64];
    cpuu_nspi_stat stat = stat_of(q);
    const json_t *t =
        json_object_get(q, "tags") ? json_object_get(q, "tags") : json_object_get(q, "columns");
    uint32_t n = meaning_tags(t, tags, MAX_COLUMNS);
    uint32_t n_names = strings(json_object_get(q, "names"), names);
    if (is(type, "Bind"))
        cpuu_nspi_bind(b, &stat);
    else if (is(type, "Unbind"))
        cpuu_nspi_unbind(b);
    else if (is(type, "ResolveNames"))
        cpuu_nspi_resolve_names(b, &stat, tags, n, names, n_names);
    else if (is(type, "DNToMId"))
        cpuu_nspi_dn_to_mid(b, names, n_names);
    else if (is(type, "QueryRows"))
        cpuu_nspi_query_rows(b, &stat, mids, numbers(json_object_get(q, "explicit_table"), mids),
                             (uint32_t)int_of(q, "row_count"), tags, n);
    else if (is(type, "GetProps"))
        cpuu_nspi_get_props(b, &stat, tags, n);
    else if (is(type, "GetMatches"))
        build_matches(q, &stat, tags, n, b);
    else
        return false;
    return true;
}

static void same_nspi(const recording *rec, const json_t *want, const cpuu_nspi_answer *a)
{
    const json_t *mids = json_object_get(want, "mids"), *rows = json_object_get(want, "rows");
    const json_t *props = json_object_get(want, "props");
    uint8_t guid[16];
    if (json_object_get(want, "server_guid")) {
        meaning_guid(json_object_get(want, "server_guid"), guid);
        ck_assert_mem_eq(a->server_guid, guid, 16);
    }
    if (json_object_get(want, "state")) {
        cpuu_nspi_stat s = stat_of(want);
        ck_assert_mem_eq(&a->stat, &s, sizeof(s));
    }
    ck_assert_uint_eq(a->n_mids, json_array_size(mids));
    for (size_t i = 0; i < a->n_mids; i++)
        ck_assert_uint_eq(a->mids[i], (uint32_t)json_integer_value(json_array_get(mids, i)));
    for (size_t i = 0; props && i < json_array_size(props); i++)
        same_value(rec->base, json_array_get(props, i), &a->cells[i], &a->bytes);
    if (rows)
        ck_assert_uint_eq(a->n_rows, json_array_size(rows));
    for (size_t i = 0; rows && i < a->n_rows; i++)
        for (size_t k = 0; k < a->n_columns; k++)
            same_value(rec->base, json_array_get(json_array_get(rows, i), k),
                       &a->cells[i * a->n_columns + k], &a->bytes);
    answers_compared++;
}

static bool check_nspi(const recording *rec, const char *type)
{
    cpuu_buf b;
    cpuu_buf_init(&b, 1 << 17);
    if (!build_nspi(type, json_object_get(rec->json, "request"), &b)) {
        cpuu_buf_free(&b);
        return false;
    }
    ck_assert_msg(b.size == rec->request.size, "%s: request size", rec->base);
    ck_assert_msg(memcmp(b.data, rec->request.data, b.size) == 0, "%s: request", rec->base);
    requests_compared++;
    cpuu_buf_free(&b);
    if (int_of(rec->json, "x_response_code") || rec->response.size < 8)
        return true;
    cpuu_nspi_answer a;
    cpuu_reader r;
    bool nomem;
    cpuu_nspi_answer_init(&a);
    cpuu_reader_init(&r, rec->response.data + 8, rec->response.size - 8);
    ck_assert_msg(cpuu_nspi_decode(&r, type, &a, &nomem), "%s: %s at %u: %s", rec->base,
                  r.error.field, r.error.offset, r.error.what);
    ck_assert_uint_eq(cpuu_reader_left(&r), 0);
    same_nspi(rec, json_object_get(rec->json, "response"), &a);
    cpuu_nspi_answer_free(&a);
    return true;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static size_t for_each(const char *test, void (*fn)(const recording *rec, const char *type))
{
    const char *dir = oracle_path(test, "mapihttp");
    char pattern[4200];
    glob_t files;
    if (!dir)
        return 0;
    snprintf(pattern, sizeof(pattern), "%s/[0-9]*.json", dir);
    ck_assert_int_eq(glob(pattern, 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        recording rec;
        recording_open(&rec, files.gl_pathv[i]);
        fn(&rec, text_of(rec.json, "request_type"));
        recording_close(&rec);
    }
    size_t n = files.gl_pathc;
    globfree(&files);
    return n;
}

static void one_response(const recording *rec, const char *type)
{
    if (!is(type, "Execute") || int_of(rec->json, "x_response_code") ||
        meaning_hex(json_object_get(json_object_get(rec->json, "response"), "error_code")))
        return;
    check_execute(rec);
    remember_tables(rec->json);
}

START_TEST(every_recorded_response_means_what_the_recording_says)
{
    if (for_each("t-rops", one_response) == 0)
        return;
    printf("%u ROP answers with %u values compared\n", answers_compared, values_compared);
    ck_assert_uint_ge(answers_compared, 189); /* all that were recorded */
}
END_TEST

static void one_request(const recording *rec, const char *type)
{
    if (strstr(rec->base, "067-modify-rules-4-byte-counts")) /* a malformed request, on purpose */
        return;
    if (is(type, "Execute") && json_object_get(json_object_get(rec->json, "request"), "rops"))
        check_request(rec);
}

START_TEST(every_request_we_would_send_is_byte_for_byte_the_recorded_one)
{
    requests_compared = 0;
    if (for_each("t-rops", one_request) == 0)
        return;
    printf("%u Execute requests equal byte for byte, %u hold ROPs this client does not send\n",
           requests_compared, requests_skipped);
    ck_assert_uint_ge(requests_compared, 50);
}
END_TEST

static unsigned nspi_seen;
static void one_nspi(const recording *rec, const char *type)
{
    if (strstr(text_of(rec->json, "path"), "/nspi/") && check_nspi(rec, type))
        nspi_seen++;
}

START_TEST(every_address_book_exchange_is_read_and_built_alike)
{
    if (for_each("t-rops", one_nspi) == 0)
        return;
    printf("%u address-book exchanges compared\n", nspi_seen);
    ck_assert_uint_ge(nspi_seen, 10);
}
END_TEST

START_TEST(a_class_prefix_becomes_a_content_restriction)
{
    /* worked out by hand from [MS-OXCROPS] 2.2.5.3.1 and [MS-OXCDATA] 2.12.4 */
    static const uint8_t want[] = {0x14, 0x00, 0x05, 0x00, 0x13, 0x00, 0x03, 0x02, 0x00,
                                   0x01, 0x00, 0x1f, 0x00, 0x1a, 0x00, 0x1f, 0x00, 0x1a,
                                   0x00, 'I',  0x00, 'P',  0x00, 0x00, 0x00};
    cpuu_buf b;
    cpuu_buf_init(&b, 100);
    cpuu_rop_restrict_class(&b, 5, "IP");
    ck_assert_uint_eq(b.size, sizeof(want));
    ck_assert_mem_eq(b.data, want, sizeof(want));
    cpuu_buf_free(&b);
}
END_TEST

START_TEST(failed_stream_and_delete_answers_are_read_in_both_forms)
{
    /* with and without the size or PartialCompletion behind ReturnValue, then a CommitStream */
    static const uint8_t wire[] = {0x2c, 0,    0x02, 0x01, 0x04, 0x80, 0, 0,    0x2c, 1, 0x02,
                                   0x01, 0x04, 0x80, 0x91, 2,    0x05, 0, 0x07, 0x80, 1, 0x91,
                                   3,    0x05, 0,    0x07, 0x80, 0x5d, 4, 0,    0,    0, 0};
    cpuu_reader r;
    cpuu_rop_answer a;
    bool nomem;
    cpuu_reader_init(&r, wire, sizeof(wire));
    cpuu_rop_answer_init(&a);
    for (uint8_t i = 0; i < 5; i++) {
        ck_assert(cpuu_rop_decode(&r, NULL, 0, &a, &nomem));
        ck_assert_uint_eq(a.index, i);
    }
    ck_assert_uint_eq(cpuu_reader_left(&r), 0);
    cpuu_rop_answer_free(&a);
}
END_TEST

START_TEST(a_buffer_that_is_too_small_gives_the_requests_back)
{
    static const uint8_t wire[] = {0xff, 0x34, 0x12, 0x15, 0x00, 0x01};
    cpuu_reader r;
    cpuu_rop_answer a;
    bool nomem;
    cpuu_reader_init(&r, wire, sizeof(wire));
    cpuu_rop_answer_init(&a);
    ck_assert(cpuu_rop_decode(&r, NULL, 0, &a, &nomem));
    ck_assert_uint_eq(a.rop, CPUU_ROP_BUFFER_TOO_SMALL);
    ck_assert_uint_eq(a.data_size, 3);
    cpuu_rop_answer_free(&a);
}
END_TEST

START_TEST(ids_and_entry_ids_are_the_recorded_ones)
{
    /* 063: replica 1 is a5187b6f...; Inbox of 024 and message 1c of its 0x36E4 value */
    static const char *const guid = "01000000a5187b6fbcdcea1ed03c5657";
    static const char *const inbox = "0000000000ee6efad6ac5e42ae975e303a929317010001000000a5187b6f"
                                     "bcdcea1ed03c565700000000000d0000";
    static const char *const message =
        "0000000000ee6efad6ac5e42ae975e303a929317070001000000a5187b6fbcdcea1ed03c5657000000000018"
        "000001000000a5187b6fbcdcea1ed03c56570000001c00000000";
    uint8_t g[16], want[70], got[70], ltid[24];
    cpuu_ids ids;
    memset(&ids, 0, sizeof(ids));
    ck_assert(cpuu_unhex(g, guid, 16));
    ck_assert(cpuu_unhex(want, inbox, 46));
    memcpy(ids.provider, want + 4, 16);
    uint64_t fid, mid, inbox_fid = UINT64_C(0x0d00000000000001);
    cpuu_blob eid = {want, 46};
    ck_assert_int_eq(cpuu_ids_from_eid(&ids, eid, &fid, NULL, ltid), CPUU_ID_UNKNOWN_GUID);
    ck_assert_mem_eq(ltid, g, 16);
    ck_assert(!cpuu_ids_folder_eid(&ids, inbox_fid, got));
    ck_assert(cpuu_ids_learn(&ids, 1, g));
    ck_assert(cpuu_ids_folder_eid(&ids, inbox_fid, got));
    ck_assert_mem_eq(got, want, 46);
    ck_assert_int_eq(cpuu_ids_from_eid(&ids, eid, &fid, NULL, ltid), CPUU_ID_OK);
    ck_assert_uint_eq(fid, inbox_fid);
    ck_assert(cpuu_unhex(want, message, 70));
    eid.size = 70;
    ck_assert_int_eq(cpuu_ids_from_eid(&ids, eid, &fid, &mid, ltid), CPUU_ID_OK);
    ck_assert(cpuu_ids_message_eid(&ids, fid, mid, got));
    ck_assert_mem_eq(got, want, 70);
    want[4] ^= 1;
    ck_assert_int_eq(cpuu_ids_from_eid(&ids, eid, &fid, &mid, ltid), CPUU_ID_FOREIGN);
    memset(g, 0, sizeof(g));
    ck_assert(!cpuu_ids_learn(&ids, 9, g));
    cpuu_ids_free(&ids);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("rops");
    TCase *t = tcase_create("rops");
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    tcase_add_test(t, every_recorded_response_means_what_the_recording_says);
    tcase_add_test(t, every_request_we_would_send_is_byte_for_byte_the_recorded_one);
    tcase_add_test(t, every_address_book_exchange_is_read_and_built_alike);
    tcase_add_test(t, a_class_prefix_becomes_a_content_restriction);
    tcase_add_test(t, failed_stream_and_delete_answers_are_read_in_both_forms);
    tcase_add_test(t, a_buffer_that_is_too_small_gives_the_requests_back);
    tcase_add_test(t, ids_and_entry_ids_are_the_recorded_ones);
    SRunner *run = srunner_create(s);
    srunner_run_all(run, CK_NORMAL);
    int failed = srunner_ntests_failed(run);
    srunner_free(run);
    return failed ? 1 : 0;
}
