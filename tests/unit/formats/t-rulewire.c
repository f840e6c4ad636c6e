/*
 * Standard rules as they went to and from an independent server ($CPUU_ORACLES/mapihttp): every
 * condition and every list of actions that the transcript's own decoder shows as a tree is
 * found in the bytes, decodes to the same tree, and is written back byte for byte.
 */
#include "samples.h"

#include <cpuu/formats/entryid.h>
#include <cpuu/formats/ruleaction.h>

#include <check.h>
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../oracle.h"

/* ---- trees as the transcript has them ------------------------------------------------------- */

static json_t *hex(const void *data, uint32_t n)
{
    static char text_buf[65536];
    ck_assert_uint_lt(n, sizeof(text_buf) / 2);
    for (uint32_t i = 0; i < n; i++)
        snprintf(text_buf + 2 * i, 3, "%02x", ((const uint8_t *)data)[i]);
    text_buf[2 * n] = 0;
    return json_string(text_buf);
}

static json_t *tag_text(uint32_t tag)
{
    return json_sprintf("0x%08X", tag);
}

static json_t *utf16(const uint8_t *data, uint32_t n)
{
    cpuu_buf b;
    cpuu_buf_init(&b, 65536);
    cpuu_buf_utf8_from_utf16(&b, data, n);
    json_t *j = json_stringn((const char *)b.data, b.size);
    cpuu_buf_free(&b);
    return j;
}

static json_t *texts(cpuu_blob array)
{
    cpuu_reader r;
    uint32_t size;
    json_t *list = json_array();
    cpuu_reader_init(&r, array.data, array.size);
    uint32_t n = cpuu_read_u32(&r, "count");
    for (uint32_t i = 0; i < n && !r.failed; i++) {
        const uint8_t *p = cpuu_read_sz16(&r, &size, "text");
        json_array_append_new(list, utf16(p, size));
    }
    return list;
}

static json_t *prop_tree(const cpuu_rawprop *p)
{
    json_t *value;
    switch (CPUU_TAG_TYPE(p->tag)) {
    case CPUU_PT_INT32:
        value = json_integer((int32_t)cpuu_le32(p->value.data));
        break;
    case CPUU_PT_STRING:
        value = utf16(p->value.data, p->value.size);
        break;
    case CPUU_PT_MULTIPLE | CPUU_PT_STRING:
        value = texts(p->value);
        break;
    default:
        value = hex(p->value.data, p->value.size);
        break;
    }
    return json_pack("{s:o,s:o}", "tag", tag_text(p->tag), "value", value);
}

static json_t *row_tree(cpuu_blob values, uint32_t n)
{
    cpuu_reader r;
    cpuu_rawprop p;
    json_t *list = json_array();
    cpuu_reader_init(&r, values.data, values.size);
    for (uint32_t i = 0; i < n && cpuu_rawprop_read(&r, CPUU_FORM_RULE, &p); i++)
        json_array_append_new(list, prop_tree(&p));
    return list;
}

/* Nodes come parents first; open[d] takes the children of the node at depth d-1. */
typedef struct builder {
    json_t *open[CPUU_RES_DEPTH + 2];
    cpuu_buf out;
} builder;

static void attach(builder *b, uint32_t depth, json_t *node)
{
    if (json_is_array(b->open[depth]))
        json_array_append_new(b->open[depth], node);
    else
        json_object_update_new(b->open[depth], node);
}

static bool add_node(void *user, const cpuu_res_node *n)
{
    builder *b = user;
    json_t *inner = json_object(), *node = NULL;
    cpuu_res_write(&b->out, CPUU_FORM_RULE, n);
    switch (n->type) {
    case CPUU_RES_AND:
    case CPUU_RES_OR:
        json_decref(inner);
        inner = json_array();
        node = json_pack("{s:O}", n->type == CPUU_RES_AND ? "and" : "or", inner);
        b->open[n->depth + 1] = inner;
        break;
    case CPUU_RES_NOT:
        node = json_pack("{s:O}", "not", inner);
        b->open[n->depth + 1] = inner;
        break;
    case CPUU_RES_CONTENT:
        node = json_pack("{s:{s:o,s:o,s:o}}", "content", "fuzzy", tag_text(n->op), "tag",
                         tag_text(n->tag), "value", prop_tree(&n->value));
        break;
    case CPUU_RES_PROPERTY:
        node = json_pack("{s:{s:i,s:o,s:o}}", "prop", "relop", (int)n->op, "tag", tag_text(n->tag),
                         "value", prop_tree(&n->value));
        break;
    case CPUU_RES_SIZE:
        node = json_pack("{s:{s:i,s:o,s:i}}", "size", "relop", (int)n->op, "tag", tag_text(n->tag),
                         "size", (int)n->number);
        break;
    case CPUU_RES_COMMENT:
        node = json_pack("{s:{s:o,s:O}}", "comment", "values", row_tree(n->values, n->n_values),
                         "restriction", inner);
        b->open[n->depth + 1] = inner;
        break;
    default:
        json_decref(inner);
        return false;
    }
    json_decref(inner);
    attach(b, n->depth, node);
    return true;
}

/* NULL when there is no restriction at these bytes; else the tree, and the bytes it takes. */
static json_t *condition_tree(cpuu_reader *r)
{
    builder b;
    uint32_t start = r->pos;
    memset(&b, 0, sizeof(b));
    b.open[0] = json_object();
    cpuu_buf_init(&b.out, 65536);
    bool ok = cpuu_res_walk(r, CPUU_FORM_RULE, add_node, &b);
    if (ok)
        same_bytes((cpuu_blob){r->data + start, r->pos - start}, &b.out, "condition");
    cpuu_buf_free(&b.out);
    if (ok)
        return b.open[0];
    json_decref(b.open[0]);
    return NULL;
}

static const char *const action_names[] = {NULL,        "move",  "copy",   "reply",
                                           "oof_reply", "defer", "bounce", "forward",
                                           "delegate",  "tag",   "delete", "mark_as_read"};

static bool add_recipients(json_t *j, const cpuu_rule_action *a)
{
    cpuu_rule_recipients list;
    cpuu_rule_recipient one;
    json_t *people = json_array();
    json_object_set_new(j, "recipients", people);
    if (!cpuu_rule_recipients_open(a, CPUU_FORM_RULE, &list, NULL))
        return false;
    json_object_set_new(j, "count_size", json_integer(list.narrow ? 2 : 4));
    while (cpuu_rule_recipient_next(&list, &one))
        json_array_append_new(people, json_pack("{s:i,s:o}", "reserved", one.reserved, "props",
                                                row_tree(one.values, one.n)));
    return true;
}

static bool add_data(json_t *j, const cpuu_rule_action *a)
{
    cpuu_rule_move m;
    cpuu_reader r;
    cpuu_rawprop p;
    switch (a->type) {
    case CPUU_OP_MOVE:
    case CPUU_OP_COPY:
        if (!cpuu_rule_move_decode(a, CPUU_FORM_RULE, &m, NULL))
            return false;
        json_object_set_new(j, "in_store", json_integer(m.ours));
        json_object_set_new(j, "store", hex(m.store.data, m.store.size));
        json_object_set_new(j, "folder", hex(m.folder.data, m.folder.size));
        return m.rest.size == 0;
    case CPUU_OP_FORWARD:
    case CPUU_OP_DELEGATE:
        return add_recipients(j, a);
    case CPUU_OP_TAG:
        cpuu_reader_init(&r, a->data.data, a->data.size);
        if (!cpuu_rawprop_read(&r, CPUU_FORM_RULE, &p) || cpuu_reader_left(&r))
            return false;
        json_object_set_new(j, "prop", prop_tree(&p));
        return true;
    default:
        json_object_set_new(j, "data", hex(a->data.data, a->data.size));
        return true;
    }
}

static json_t *actions_tree(cpuu_reader *r)
{
    cpuu_rule_actions list;
    cpuu_rule_action a;
    cpuu_blob rest = {r->data + r->pos, r->size - r->pos};
    json_t *all = json_array();
    bool ok = cpuu_rule_actions_open(rest, CPUU_FORM_RULE, &list, NULL) && list.n && list.n < 100;
    while (ok && list.n && (ok = cpuu_rule_action_next(&list, &a))) {
        if (a.type == 0 || a.type > CPUU_OP_MARK_READ)
            ok = false;
        json_t *j = json_object();
        json_array_append_new(all, j);
        if (!ok)
            break;
        json_object_set_new(j, "action", json_string(action_names[a.type]));
        json_object_set_new(j, "flavor", json_integer(a.flavor));
        json_object_set_new(j, "flags", json_integer(a.flags));
        ok = add_data(j, &a);
    }
    r->pos += ok ? list.rest.pos : 0;
    if (ok)
        return all;
    json_decref(all);
    return NULL;
}

/* ---- finding them in the bytes -------------------------------------------------------------- */

typedef struct search {
    cpuu_reader r; /* what is left of the bytes */
    unsigned conditions, actions;
} search;

static bool keep(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    (void)user;
    (void)kind;
    (void)in;
    (void)out;
    return false;
}

static void rewrite_both_ways(cpuu_blob in, bool is_condition)
{
    for (int mode = -1; mode <= 1; mode++) {
        swap s = {mode, 0, 0};
        cpuu_buf out, again;
        cpuu_fmt_error err;
        cpuu_buf_init(&out, 65536);
        cpuu_buf_init(&again, 65536);
        bool (*fn)(cpuu_blob, cpuu_form, cpuu_link_cb, void *, cpuu_buf *, bool *,
                   cpuu_fmt_error *) =
            is_condition ? cpuu_restriction_rewrite : cpuu_rule_actions_rewrite;
        ck_assert(fn(in, CPUU_FORM_RULE, swap_link, &s, &out, NULL, &err));
        if (mode == 0)
            same_bytes(in, &out, "rule");
        ck_assert(fn(blob_of(&out), CPUU_FORM_RULE, keep, NULL, &again, NULL, &err));
        same_bytes(blob_of(&out), &again, "rewritten rule");
        cpuu_buf_free(&out);
        cpuu_buf_free(&again);
    }
}

/* Moves on to the first place that decodes to this tree. */
static void find(search *s, const json_t *expected, bool is_condition)
{
    while (s->r.pos < s->r.size) {
        cpuu_reader here = s->r;
        json_t *tree = is_condition ? condition_tree(&here) : actions_tree(&here);
        bool equal = tree && json_equal(tree, expected);
        json_decref(tree);
        if (equal) {
            rewrite_both_ways((cpuu_blob){s->r.data + s->r.pos, here.pos - s->r.pos}, is_condition);
            s->r = here;
            s->conditions += is_condition;
            s->actions += !is_condition;
            return;
        }
        s->r.pos++;
    }
    char *shown = json_dumps(expected, JSON_COMPACT);
    ck_abort_msg("not found: %s", shown);
}

static void each(search *s, const json_t *j)
{
    const char *key, *type = json_string_value(json_object_get(j, "type"));
    json_t *member;
    size_t i;
    if (type && (strcmp(type, "restriction") == 0 || strcmp(type, "actions") == 0)) {
        find(s, json_object_get(j, "value"), *type == 'r');
        return;
    }
    json_object_foreach((json_t *)j, key, member) each(s, member);
    json_array_foreach(j, i, member) each(s, member);
}

static bool one_side(const char *name, const char *side, search *total)
{
    char path[128];
    sample bytes, doc;
    search s = {.conditions = 0};
    snprintf(path, sizeof(path), "../mapihttp/%s.%s.bin", name, side);
    if (!sample_load(path, &bytes))
        return false;
    snprintf(path, sizeof(path), "../mapihttp/%s.json", name);
    ck_assert(sample_load(path, &doc));
    json_t *j = json_loadb((const char *)doc.bytes.data, doc.bytes.size, 0, NULL);
    ck_assert_ptr_nonnull(j);
    cpuu_reader_init(&s.r, bytes.bytes.data, bytes.bytes.size);
    each(&s, json_object_get(j, side));
    total->conditions += s.conditions;
    total->actions += s.actions;
    json_decref(j);
    sample_free(&bytes);
    sample_free(&doc);
    return true;
}

START_TEST(rules_of_a_transcript)
{
    static const char *const names[] = {"064-rules-table", "065-modify-rules-add",
                                        "066-modify-rules-modify-remove",
                                        "067-modify-rules-4-byte-counts"};
    search total = {.conditions = 0};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (!one_side(names[i], "request", &total) || !one_side(names[i], "response", &total))
            return;
    printf("standard rules: %u conditions and %u lists of actions of an independent server\n",
           total.conditions, total.actions);
    ck_assert_uint_eq(total.conditions, 14);
    ck_assert_uint_eq(total.actions, 26);
}
END_TEST

/* ---- EntryIDs of the same transcripts -----------------------------------------------------------
 */

static unsigned by_kind[CPUU_EID_EPHEMERAL + 1];

/* A value that begins like an EntryID of 20 bytes or more. */
static bool unhex(const char *text_value, cpuu_buf *out)
{
    size_t n = strlen(text_value);
    cpuu_buf_reset(out);
    if (n < 42 || n % 2 || strncmp(text_value, "00000000", 8) != 0 ||
        strspn(text_value, "0123456789abcdef") != n)
        return false;
    for (size_t i = 0; i < n; i += 2) {
        unsigned v;
        ck_assert_int_eq(sscanf(text_value + i, "%2x", &v), 1);
        cpuu_buf_u8(out, (uint8_t)v);
    }
    return true;
}

static void check_eids(const json_t *j)
{
    const char *key;
    json_t *member;
    size_t i;
    cpuu_buf bin, out;
    cpuu_eid eid;
    cpuu_buf_init(&bin, 65536);
    cpuu_buf_init(&out, 65536);
    if (json_is_string(j) && unhex(json_string_value(j), &bin)) {
        ck_assert_msg(cpuu_eid_decode(blob_of(&bin), &eid, NULL), "%s", json_string_value(j));
        ck_assert(cpuu_eid_encode(&eid, &out));
        same_bytes(blob_of(&bin), &out, "EntryID");
        by_kind[eid.kind]++;
    }
    cpuu_buf_free(&bin);
    cpuu_buf_free(&out);
    json_object_foreach((json_t *)j, key, member) check_eids(member);
    json_array_foreach(j, i, member) check_eids(member);
}

START_TEST(entry_ids_of_a_transcript)
{
    const char *dir = oracle_path("transcript", "mapihttp");
    DIR *d = dir ? opendir(dir) : NULL;
    unsigned total = 0;
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        const char *dot = strrchr(e->d_name, '.');
        char path[4500];
        if (!dot || strcmp(dot, ".json") != 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        json_t *j = json_load_file(path, 0, NULL);
        ck_assert_msg(j != NULL, "%s", path);
        check_eids(j);
        json_decref(j);
    }
    closedir(d);
    for (int k = 0; k <= CPUU_EID_EPHEMERAL; k++) {
        if (by_kind[k])
            printf("  %s: %u\n", cpuu_eid_kind_name((cpuu_eid_kind)k), by_kind[k]);
        total += by_kind[k];
    }
    printf("EntryIDs of an independent server: %u, byte for byte\n", total);
    ck_assert_uint_eq(by_kind[CPUU_EID_UNKNOWN], 1); /* a long-term id, 063 */
    ck_assert_uint_eq(total, 92);
    ck_assert_uint_gt(by_kind[CPUU_EID_FOLDER], 0);
    ck_assert_uint_gt(by_kind[CPUU_EID_AB], 0);
    ck_assert_uint_gt(by_kind[CPUU_EID_ONEOFF], 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rules on the wire");
    TCase *c = tcase_create("transcript");
    tcase_set_timeout(c, 120);
    tcase_add_test(c, rules_of_a_transcript);
    tcase_add_test(c, entry_ids_of_a_transcript);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
