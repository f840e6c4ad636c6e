#include "render.h"

#include <cpuu/formats/ruleaction.h>
#include <cpuu/formats/rulestream.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- properties ------------------------------------------------------------------------------ */

static void check_properties(const sample *s)
{
    cpuu_reader r;
    cpuu_rawprop p;
    cpuu_buf out;
    text t;
    text_init(&t);
    cpuu_buf_init(&out, 65536);
    cpuu_reader_init(&r, s->bytes.data, s->bytes.size);
    for (int i = 0; cpuu_reader_left(&r) && cpuu_rawprop_read(&r, CPUU_FORM_SEARCH, &p); i++) {
        text_line(&t, "Property[%d]", i);
        render_prop(&t, &p);
        if (p.tag == 0x0fff0102)
            render_eid(&t, p.value);
        cpuu_rawprop_write(&out, CPUU_FORM_SEARCH, &p);
    }
    if (strcmp(s->name, "PROPERTIES-6") == 0) {
        /* One character was added by hand to the third property: what follows is not readable, and
         * the other program goes on with a type 0x006f that does not exist. */
        ck_assert(r.failed);
        ck_assert_uint_eq(r.error.offset, 0x80);
        ck_assert_str_eq(r.error.field, "PropertyType");
        ck_assert_uint_eq(out.size, 0x80);
        ck_assert_mem_eq(out.data, s->bytes.data, out.size);
        strstr(s->expected, "Property[3]")[0] = 0;
    } else {
        ck_assert(!r.failed);
        same_bytes(s->bytes, &out, s->name);
    }
    sample_compare(s, text_get(&t));
    text_free(&t);
    cpuu_buf_free(&out);
}

START_TEST(property_streams)
{
    int n = samples_each("PROPERTIES", check_properties);
    ck_assert(n == -1 || n == 4);
}
END_TEST

/* ---- restrictions ---------------------------------------------------------------------------- */

typedef struct writer {
    cpuu_buf out;
    cpuu_form form;
} writer;

static bool write_node(void *user, const cpuu_res_node *n)
{
    writer *w = user;
    return cpuu_res_write(&w->out, w->form, n);
}

static void check_encoding(cpuu_blob in, cpuu_form form, const char *name)
{
    writer w = {.form = form};
    cpuu_reader r;
    cpuu_buf_init(&w.out, 65536);
    cpuu_reader_init(&r, in.data, in.size);
    ck_assert(cpuu_res_walk(&r, form, write_node, &w));
    ck_assert_uint_eq(cpuu_reader_left(&r), 0);
    same_bytes(in, &w.out, name);
    cpuu_buf_free(&w.out);
}

static cpuu_form hostile_form;

static void rewrite_restriction(cpuu_blob in)
{
    cpuu_buf out;
    cpuu_fmt_error err;
    swap s = {0, 0, 0};
    cpuu_buf_init(&out, 65536);
    if (cpuu_restriction_rewrite(in, hostile_form, swap_link, &s, &out, NULL, &err))
        same_bytes(in, &out, "restriction");
    else
        ck_assert_uint_le(err.offset, in.size);
    cpuu_buf_free(&out);
}

static void check_restriction(const sample *s)
{
    text t;
    cpuu_reader r;
    text_init(&t);
    cpuu_reader_init(&r, s->bytes.data, s->bytes.size);
    ck_assert(render_restriction(&t, &r, CPUU_FORM_SEARCH));
    ck_assert_uint_eq(cpuu_reader_left(&r), 0);
    sample_compare(s, text_get(&t));
    text_free(&t);
    check_encoding(s->bytes, CPUU_FORM_SEARCH, s->name);
    hostile_form = CPUU_FORM_SEARCH;
    hostile_variants(s->bytes, rewrite_restriction);
}

START_TEST(restrictions_of_search_folders)
{
    int n = samples_each("RESTRICTION", check_restriction);
    ck_assert(n == -1 || n == 2);
}
END_TEST

static void rewrite_condition(cpuu_blob in)
{
    cpuu_buf out;
    cpuu_fmt_error err;
    swap s = {0, 0, 0};
    cpuu_buf_init(&out, 65536);
    if (cpuu_rule_condition_rewrite(in, hostile_form, swap_link, &s, &out, NULL, &err))
        same_bytes(in, &out, "condition");
    else
        ck_assert_uint_le(err.offset, in.size);
    cpuu_buf_free(&out);
}

static void check_condition(const sample *s, const char *title, cpuu_form form)
{
    text t;
    cpuu_reader r;
    cpuu_npi npi;
    text_init(&t);
    text_line(&t, "%s", title);
    cpuu_reader_init(&r, s->bytes.data, s->bytes.size);
    ck_assert(cpuu_npi_read(&r, &npi));
    render_npi(&t, &npi);
    ck_assert(render_restriction(&t, &r, form));
    ck_assert_uint_eq(cpuu_reader_left(&r), 0);
    sample_compare(s, text_get(&t));
    text_free(&t);
    check_encoding((cpuu_blob){s->bytes.data + 2, s->bytes.size - 2}, form, s->name);
    hostile_form = form;
    rewrite_condition(s->bytes);
    hostile_variants(s->bytes, rewrite_condition);
}

/* Number 1 is the same file as EXTENDEDRULECONDITION-1, that is, it has 32-bit counts. */
static void check_rule_condition(const sample *s)
{
    bool wide = strcmp(s->name, "RULECONDITION-1") == 0;
    check_condition(s, "Rule Condition", wide ? CPUU_FORM_EXTENDED : CPUU_FORM_RULE);
}

static void check_extended_condition(const sample *s)
{
    check_condition(s, "Extended Rule Condition", CPUU_FORM_EXTENDED);
}

START_TEST(conditions_of_rules)
{
    int n = samples_each("RULECONDITION", check_rule_condition);
    ck_assert(n == -1 || n == 2);
    n = samples_each("EXTENDEDRULECONDITION", check_extended_condition);
    ck_assert(n == -1 || n == 2);
}
END_TEST

/* ---- actions --------------------------------------------------------------------------------- */

static void render_action(text *t, const cpuu_rule_action *a)
{
    cpuu_rule_move m;
    cpuu_rawprop p;
    cpuu_reader r;
    static const char *const names[] = {
        [CPUU_OP_MOVE] = "OP_MOVE", [CPUU_OP_DEFER] = "OP_DEFER_ACTION", [CPUU_OP_TAG] = "OP_TAG"};
    text_line(t, "ActionLength: 0x%08X", a->data.size + 9);
    text_line(t, "ActionType: %s = %u", names[a->type], a->type);
    text_line(t, "ActionFlavor: 0x%08X", a->flavor);
    text_line(t, "ActionFlags: 0x%08X", a->flags);
    switch (a->type) {
    case CPUU_OP_MOVE:
        ck_assert(cpuu_rule_move_decode(a, CPUU_FORM_EXTENDED, &m, NULL));
        text_line(t, "ActionDataMove");
        text_line(t, "StoreEIDSize: 0x%08X", m.store.size);
        text_line(t, "StoreEIDBytes");
        text_hex(t, m.store.data, m.store.size);
        text_line(t, "FolderEIDSize: 0x%08X", m.folder.size);
        text_line(t, "FolderEID");
        render_eid(t, m.folder);
        break;
    case CPUU_OP_TAG:
        text_line(t, "ActionDataTag");
        text_line(t, "TaggedPropertyValue");
        text_line(t, "Property[0]");
        cpuu_reader_init(&r, a->data.data, a->data.size);
        ck_assert(cpuu_rawprop_read(&r, CPUU_FORM_EXTENDED, &p));
        ck_assert_uint_eq(cpuu_reader_left(&r), 0);
        render_prop(t, &p);
        break;
    case CPUU_OP_DEFER:
        text_line(t, "ActionDataDefer");
        text_line(t, "deferBytes");
        text_hex(t, a->data.data, a->data.size);
        break;
    default:
        ck_abort();
    }
}

static void rewrite_actions(cpuu_blob in)
{
    cpuu_buf out;
    cpuu_fmt_error err;
    swap s = {0, 0, 0};
    cpuu_buf_init(&out, 65536);
    if (cpuu_rule_actions_rewrite(in, hostile_form, swap_link, &s, &out, NULL, &err))
        same_bytes(in, &out, "actions");
    else
        ck_assert_msg(err.offset <= in.size, "%u > %u", err.offset, in.size);
    cpuu_buf_free(&out);
}

static void check_actions(const sample *s)
{
    text t;
    cpuu_rule_actions list;
    cpuu_rule_action a;
    cpuu_buf out;
    text_init(&t);
    cpuu_buf_init(&out, 65536);
    text_line(&t, "Extended Rule Action");
    ck_assert(cpuu_rule_actions_open(s->bytes, CPUU_FORM_EXTENDED, &list, NULL));
    render_npi(&t, &list.names);
    text_line(&t, "RuleVersion: 0x%08X", list.version);
    text_line(&t, "NoOfActions: 0x%08X", list.n);
    cpuu_rule_actions_begin(&out, CPUU_FORM_EXTENDED, &list.names, list.version, list.n);
    for (uint32_t i = 0; cpuu_rule_action_next(&list, &a); i++) {
        text_line(&t, "ActionBlocks[%u]", i);
        render_action(&t, &a);
        cpuu_rule_action_write(&out, CPUU_FORM_EXTENDED, &a);
    }
    ck_assert(!list.rest.failed);
    sample_compare(s, text_get(&t));
    same_bytes(s->bytes, &out, s->name);
    text_free(&t);
    cpuu_buf_free(&out);
    hostile_form = CPUU_FORM_EXTENDED;
    rewrite_actions(s->bytes);
    hostile_variants(s->bytes, rewrite_actions);
}

START_TEST(actions_of_extended_rules)
{
    int n = samples_each("EXTENDEDRULEACTION", check_actions);
    ck_assert(n == -1 || n == 2);
}
END_TEST

/* ---- hand-made from [MS-OXORULE] and [MS-OXCDATA]
 * ------------------------------------------------- */

/* What was asked, as text: one letter per link and its bytes. */
typedef struct asked {
    text t;
    const char *replace; /* NULL keeps all */
} asked;

static bool record(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    asked *a = user;
    text_line(&a->t, "%x", kind);
    text_hex(&a->t, in.data, in.size);
    if (a->replace && kind != CPUU_LINK_NAMED_TAG)
        cpuu_buf_add(out, a->replace, strlen(a->replace));
    if (a->replace && kind == CPUU_LINK_NAMED_TAG)
        cpuu_buf_add(out, "\x1f\x10\x34\x92", 4);
    return a->replace != NULL;
}

/* OR of one person: COMMENT{number, EntryID, name, display type} around PROPERTY = search key. */
static const uint8_t person[] = {
    0x01, 0x01, 0x00,                               /* OR, 1 */
    0x0a, 0x04,                                     /* COMMENT, 4 values */
    0x03, 0x00, 0x00, 0x60, 0x01, 0x00, 0x00, 0x00, /* 0x60000003 = 1 */
    0x02, 0x01, 0x01, 0x00, 0x16, 0x00,             /* 0x00010102, 22 bytes */
    0,    0,    0,    0,    9,    9,    9,    9,    9,    9,    9,    9,
    9,    9,    9,    9,    9,    9,    9,    9,    'i',  'd',  0x1f, 0x00,
    0x01, 0x00, 'B',  0,    'o',  0,    'b',  0,    0,    0, /* 0x0001001F "Bob" */
    0x03, 0x00, 0x00, 0x39, 0x00, 0x00, 0x00, 0x00,          /* 0x39000003 = 0 */
    0x01,                                                    /* a restriction follows */
    0x04, 0x04, 0x02, 0x01, 0x1d, 0x0c, 0x02, 0x01, 0x1d, 0x0c, 0x07, 0x00,
    'E',  'X',  ':',  '/',  'O',  '=',  0,
};
static const uint8_t person_new[] = {
    0x01, 0x01, 0x00, 0x0a, 0x04, 0x03, 0x00, 0x00, 0x60, 0x01, 0x00, 0x00, 0x00, 0x02, 0x01,
    0x01, 0x00, 0x03, 0x00, 'n',  'e',  'w',  0x1f, 0x00, 0x01, 0x00, 'n',  0,    'e',  0,
    'w',  0,    0,    0,    0x03, 0x00, 0x00, 0x39, 0x00, 0x00, 0x00, 0x00, 0x01, 0x04, 0x04,
    0x02, 0x01, 0x1d, 0x0c, 0x02, 0x01, 0x1d, 0x0c, 0x03, 0x00, 'n',  'e',  'w',
};

START_TEST(a_person_in_a_condition_is_three_links)
{
    asked a = {.replace = "new"};
    cpuu_buf out;
    bool replaced = false;
    text_init(&a.t);
    cpuu_buf_init(&out, 4096);
    ck_assert(cpuu_restriction_rewrite((cpuu_blob){person, sizeof(person)}, CPUU_FORM_RULE, record,
                                       &a, &out, &replaced, NULL));
    ck_assert(replaced);
    ck_assert_str_eq(text_get(&a.t), "1\ncb: 22 lpb: 00000000090909090909090909090909090909096964\n"
                                     "100\ncb: 3 lpb: 426F62\n8\ncb: 7 lpb: 45583A2F4F3D00\n");
    same_bytes((cpuu_blob){person_new, sizeof(person_new)}, &out, "person");
    text_free(&a.t);
    cpuu_buf_free(&out);
    hostile_form = CPUU_FORM_RULE;
    hostile_variants((cpuu_blob){person, sizeof(person)}, rewrite_restriction);
    check_encoding((cpuu_blob){person, sizeof(person)}, CPUU_FORM_RULE, "person");
}
END_TEST

/* AND of everything that has no sample: COMPARE, BITMASK, SIZE, COUNT, EXIST, SUB. */
static const uint8_t kinds[] = {
    0x00, 0x05, 0x00, 0x05, 0x02, 0x1f, 0x00, 0x37, 0x00, 0x1f, 0x00,
    0x00, 0x80,                                                       /* COMPARE, named */
    0x06, 0x01, 0x03, 0x00, 0x07, 0x0e, 0x10, 0x00, 0x00, 0x00,       /* BITMASK */
    0x07, 0x03, 0x1f, 0x00, 0x37, 0x00, 0x20, 0x00, 0x00, 0x00,       /* SIZE */
    0x0b, 0x05, 0x00, 0x00, 0x00, 0x08, 0x1f, 0x00, 0x37, 0x00,       /* COUNT of EXIST */
    0x09, 0x0d, 0x00, 0x12, 0x0e, 0x02, 0x08, 0x1f, 0x10, 0x00, 0x90, /* SUB NOT EXIST named */
};

typedef struct seen {
    uint32_t n;
    cpuu_res_node nodes[16];
} seen;

static bool keep_node(void *user, const cpuu_res_node *n)
{
    seen *s = user;
    ck_assert_uint_lt(s->n, 16);
    s->nodes[s->n++] = *n;
    return true;
}

START_TEST(every_kind_of_node)
{
    seen s = {0};
    cpuu_reader r;
    cpuu_reader_init(&r, kinds, sizeof(kinds));
    ck_assert(cpuu_res_walk(&r, CPUU_FORM_RULE, keep_node, &s));
    ck_assert_uint_eq(s.n, 9);
    ck_assert_uint_eq(s.nodes[0].n_children, 5);
    ck_assert_uint_eq(s.nodes[1].op, 2);
    ck_assert_uint_eq(s.nodes[1].tag, 0x0037001f);
    ck_assert_uint_eq(s.nodes[1].tag2, 0x8000001f);
    ck_assert_uint_eq(s.nodes[2].number, 0x10);
    ck_assert_uint_eq(s.nodes[2].op, 1);
    ck_assert_uint_eq(s.nodes[3].number, 0x20);
    ck_assert_uint_eq(s.nodes[4].number, 5);
    ck_assert_uint_eq(s.nodes[5].depth, 2);
    ck_assert_uint_eq(s.nodes[6].tag, 0x0e12000d);
    ck_assert_uint_eq(s.nodes[8].depth, 3);
    ck_assert_uint_eq(s.nodes[8].tag, 0x9000101f);
    check_encoding((cpuu_blob){kinds, sizeof(kinds)}, CPUU_FORM_RULE, "kinds");
    hostile_form = CPUU_FORM_RULE;
    hostile_variants((cpuu_blob){kinds, sizeof(kinds)}, rewrite_restriction);
}
END_TEST

static bool stop_walk(void *user, const cpuu_res_node *n)
{
    (void)user;
    return n->type != CPUU_RES_EXIST;
}

/* One name {GUID, 0x8501} for id 0x9000, and a condition that uses it and an id that has no name.
 */
static const uint8_t named[] = {
    0x01, 0x00, 0x00, 0x90, 0x15, 0x00, 0x00, 0x00, 0x00, 1,    2,    3,    4,
    5,    6,    7,    8,    9,    10,   11,   12,   13,   14,   15,   16,   0x01,
    0x85, 0x00, 0x00, 0x05, 0x02, 0x1f, 0x00, 0x00, 0x90, 0x1f, 0x00, 0x01, 0x90,
};

START_TEST(names_in_a_condition_need_no_translation)
{
    cpuu_npi npi;
    cpuu_npi_name name;
    cpuu_fmt_error err;
    seen s = {0};
    asked a = {.replace = NULL};
    cpuu_buf out;
    cpuu_blob in = {named, sizeof(named)};
    cpuu_buf_init(&out, 256);
    text_init(&a.t);
    ck_assert(cpuu_rule_condition_walk(in, CPUU_FORM_EXTENDED, &npi, keep_node, &s, &err));
    ck_assert_uint_eq(s.n, 1);
    ck_assert(cpuu_npi_name_at(&npi, 0, &name));
    ck_assert_uint_eq(name.id, 0x9000);
    ck_assert_uint_eq(name.number, 0x8501);
    ck_assert_uint_eq(name.guid[15], 16);
    ck_assert(!cpuu_npi_name_at(&npi, 1, &name));
    ck_assert(cpuu_rule_condition_rewrite(in, CPUU_FORM_EXTENDED, record, &a, &out, NULL, &err));
    ck_assert_str_eq(text_get(&a.t), "80\ncb: 4 lpb: 1F000190\n");
    hostile_form = CPUU_FORM_EXTENDED;
    hostile_variants(in, rewrite_condition);
    static const uint8_t plain[] = {0x00, 0x00, 0x08, 0x1f, 0x00, 0x37, 0x00, 0x00};
    ck_assert(!cpuu_rule_condition_walk((cpuu_blob){plain, 7}, CPUU_FORM_EXTENDED, &npi, stop_walk,
                                        NULL, &err));
    ck_assert(!cpuu_rule_condition_walk((cpuu_blob){plain, 8}, CPUU_FORM_EXTENDED, &npi, keep_node,
                                        &s, &err));
    ck_assert_str_eq(err.what, "is followed by more bytes");
    ck_assert_uint_eq(err.offset, 7);
    text_free(&a.t);
    cpuu_buf_free(&out);
}
END_TEST

/* Arrays are passed over and carried through; what has no known layout is refused. */
START_TEST(multi_valued_properties)
{
    static const uint8_t numbers[] = {0x03, 0x10, 0x01, 0x80, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0};
    static const uint8_t texts[] = {0x1e, 0x10, 0x01, 0x80, 2, 0, 0, 0, 'a', 0, 'b', 'c', 0};
    static const uint8_t binary[] = {0x02, 0x11, 0x01, 0x80, 1, 0, 0, 0, 2, 0, 'x', 'y'};
    static const uint8_t search[] = {0x02, 0x11, 0x01, 0x80, 1, 0, 2, 0, 0, 0, 'x', 'y'};
    static const uint8_t huge[] = {0x03, 0x10, 0x01, 0x80, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0};
    static const struct {
        const uint8_t *data;
        uint32_t size;
        cpuu_form form;
        const char *error;
    } cases[] = {
        {numbers, sizeof(numbers), CPUU_FORM_RULE, NULL},
        {numbers, sizeof(numbers), CPUU_FORM_SEARCH, "PropertyType"},
        {texts, sizeof(texts), CPUU_FORM_EXTENDED, NULL},
        {binary, sizeof(binary), CPUU_FORM_RULE, NULL},
        {binary, sizeof(binary), CPUU_FORM_EXTENDED, "ValueSize"},
        {search, sizeof(search), CPUU_FORM_SEARCH, NULL},
        {huge, sizeof(huge), CPUU_FORM_RULE, "ValueCount"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cpuu_reader r;
        cpuu_rawprop p;
        cpuu_buf out;
        cpuu_buf_init(&out, 64);
        cpuu_reader_init(&r, cases[i].data, cases[i].size);
        bool ok = cpuu_rawprop_read(&r, cases[i].form, &p) && cpuu_reader_left(&r) == 0;
        ck_assert_msg(ok == !cases[i].error, "case %zu", i);
        if (ok) {
            ck_assert(cpuu_rawprop_write(&out, cases[i].form, &p));
            same_bytes((cpuu_blob){cases[i].data, cases[i].size}, &out, "array");
        } else if (cases[i].form != CPUU_FORM_EXTENDED) {
            ck_assert_str_eq(r.error.field, cases[i].error);
        }
        cpuu_buf_free(&out);
    }
}
END_TEST

START_TEST(named_properties_are_asked_for_with_their_type)
{
    static const uint8_t exist[] = {0x08, 0x1f, 0x10, 0x00, 0x90};
    static const uint8_t moved[] = {0x08, 0x1f, 0x10, 0x34, 0x92};
    static const uint8_t other[] = {0x08, 0x1f, 0x00, 0x00, 0x90}; /* answer has another type */
    asked a = {.replace = "new"};
    cpuu_buf out;
    cpuu_fmt_error err;
    text_init(&a.t);
    cpuu_buf_init(&out, 64);
    ck_assert(cpuu_restriction_rewrite((cpuu_blob){exist, sizeof(exist)}, CPUU_FORM_RULE, record,
                                       &a, &out, NULL, NULL));
    same_bytes((cpuu_blob){moved, sizeof(moved)}, &out, "named tag");
    cpuu_buf_reset(&out);
    ck_assert(!cpuu_restriction_rewrite((cpuu_blob){other, sizeof(other)}, CPUU_FORM_RULE, record,
                                        &a, &out, NULL, &err));
    ck_assert_str_eq(err.field, "output");
    text_free(&a.t);
    cpuu_buf_free(&out);
}
END_TEST

START_TEST(nesting_has_a_limit)
{
    uint8_t deep[CPUU_RES_DEPTH + 6];
    cpuu_fmt_error err;
    swap s = {0, 0, 0};
    cpuu_buf out;
    cpuu_buf_init(&out, 4096);
    memset(deep, CPUU_RES_NOT, sizeof(deep));
    static const uint8_t exist[] = {0x08, 0x1f, 0x00, 0x37, 0x00};
    memcpy(deep + CPUU_RES_DEPTH, exist, 5);
    ck_assert(cpuu_restriction_rewrite((cpuu_blob){deep, CPUU_RES_DEPTH + 5}, CPUU_FORM_RULE,
                                       swap_link, &s, &out, NULL, &err));
    memcpy(deep + CPUU_RES_DEPTH + 1, exist, 5);
    deep[CPUU_RES_DEPTH] = CPUU_RES_NOT;
    ck_assert(!cpuu_restriction_rewrite((cpuu_blob){deep, CPUU_RES_DEPTH + 6}, CPUU_FORM_RULE,
                                        swap_link, &s, &out, NULL, &err));
    ck_assert_str_eq(err.what, "is nested too deeply");
    cpuu_buf_free(&out);
}
END_TEST

START_TEST(what_counts_as_a_link)
{
    static const struct {
        uint32_t tag;
        const char *value;
        uint32_t size, kind;
    } cases[] = {
        {0x0c1d0102, "EX:/O=ORG/CN=BOB", 17, CPUU_LINK_SEARCH_KEY},
        {0x300b0102, "smtp:a@b", 8, CPUU_LINK_SEARCH_KEY},
        {0x0c1d0102, "test01@test1.COM", 16, CPUU_LINK_SMTP},
        {0x0c1d0102, "/o=Org/cn=Bob", 13, CPUU_LINK_EX_DN},
        {0x0c1d0102, "@test1.COM", 10, 0}, /* part of an address */
        {0x0c1d0102, "test01@", 7, 0},
        {0x0c1d0102, "FAX:123", 7, 0},
        {0x0c1d0102, "EX:", 3, 0},
        {0x3003001e, "/o=x", 4, CPUU_LINK_EX_DN},
        {0x3003001e, "a@b.c", 5, CPUU_LINK_SMTP},
        {0x3003001e, "X", 1, 0},
        {0x3001001e, "Bob", 3, CPUU_LINK_NAME},
        {0x3001001e, "", 0, 0},
        {0x0fff0102, "0123", 4, CPUU_LINK_EID},
        {0x0ff90102, "0123", 4, CPUU_LINK_RECORD_KEY},
        {0x3d010102, "0123456789abcdef", 16, 0},
        {0x0037001e, "a@b.c", 5, 0}, /* a subject */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cpuu_blob value = {(const uint8_t *)cases[i].value, cases[i].size};
        ck_assert_msg(cpuu_rawprop_link(cases[i].tag, value) == cases[i].kind, "%08x %s",
                      cases[i].tag, cases[i].value);
    }
}
END_TEST

/* Standard actions: MOVE within the store, MOVE to another store, FORWARD, TAG, REPLY, DELETE. */
static const uint8_t standard[] = {
    0x06, 0x00, 0x26, 0x00, 0x01, 0,    0,    0,    0,    0,   0,   0,   0, /* MOVE, 38 bytes */
    0x01, 0x03, 0x00, 'a',  'n',  'y',                                      /* this store */
    0x15, 0x00, 0x01, 1,    0,    0,    0,    0,    0,    1,   2,   0,   0,    0,    0,
    0,    0,    0,    0,    0,    0,    0,    0,                  /* ServerEid */
    0x17, 0x00, 0x02, 0,    0,    0,    0,    0,    0,    0,   0, /* COPY, 23 bytes */
    0x00, 0x04, 0x00, 's',  't',  'o',  'r',  0x05, 0x00, 'f', 'o', 'l', 'd',  'r',  0x24,
    0x00, 0x07, 3,    0,    0,    0,    0,    0,    0,    0, /* FORWARD, 36 bytes */
    0x01, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00,    /* 1 recipient, 2 properties */
    0x1f, 0x00, 0x03, 0x30, 'a',  0,    '@',  0,    'b',  0,   0,   0,   0x1e, 0x00, 0x02,
    0x30, 'E',  0,    0x11, 0x00, 0x09, 0,    0,    0,    0,   0,   0,   0,    0,    0x03,
    0x00, 0x7e, 0x83, 1,    0,    0,    0,                        /* TAG */
    0x29, 0x00, 0x03, 0,    0,    0,    0,    0,    0,    0,   0, /* REPLY, 41 bytes */
    1,    0,    0,    0,    0,    0,    1,    2,    1,    0,   0,   0,   0,    0,    1,
    3,    7,    7,    7,    7,    7,    7,    7,    7,    7,   7,   7,   7,    7,    7,
    7,    7,    0x09, 0x00, 0x0a, 0,    0,    0,    0,    0,   0,   0,   0, /* DELETE */
};

START_TEST(standard_actions)
{
    asked a = {.replace = NULL};
    cpuu_buf out;
    cpuu_blob in = {standard, sizeof(standard)};
    text_init(&a.t);
    cpuu_buf_init(&out, 65536);
    ck_assert(cpuu_rule_actions_rewrite(in, CPUU_FORM_RULE, record, &a, &out, NULL, NULL));
    same_bytes(in, &out, "standard actions");
    /* "stor" and "foldr" are no EntryIDs: the store is passed over, the folder is asked for. */
    ck_assert_str_eq(text_get(&a.t), "40\ncb: 8 lpb: 0100000000000102\n"
                                     "1\ncb: 5 lpb: 666F6C6472\n"
                                     "4\ncb: 3 lpb: 614062\n"
                                     "80\ncb: 4 lpb: 03007E83\n");
    text_free(&a.t);
    cpuu_buf_free(&out);
    hostile_form = CPUU_FORM_RULE;
    hostile_variants(in, rewrite_actions);
}
END_TEST

START_TEST(standard_actions_grow_and_shrink)
{
    for (int mode = -1; mode <= 1; mode += 2) {
        swap s = {mode, 0, 0};
        cpuu_buf out;
        cpuu_rule_actions list;
        cpuu_rule_action a;
        cpuu_rule_move m;
        cpuu_rule_recipients people;
        cpuu_rule_recipient one;
        cpuu_rawprop p;
        cpuu_reader r;
        cpuu_buf_init(&out, 65536);
        ck_assert(cpuu_rule_actions_rewrite((cpuu_blob){standard, sizeof(standard)}, CPUU_FORM_RULE,
                                            swap_link, &s, &out, NULL, NULL));
        ck_assert(cpuu_rule_actions_open(blob_of(&out), CPUU_FORM_RULE, &list, NULL));
        ck_assert_uint_eq(list.n, 6);
        ck_assert(cpuu_rule_action_next(&list, &a));
        ck_assert(cpuu_rule_move_decode(&a, CPUU_FORM_RULE, &m, NULL));
        ck_assert_uint_eq(m.folder.size, 21);
        ck_assert_uint_eq(m.folder.data[1], 0);
        ck_assert(cpuu_rule_action_next(&list, &a));
        ck_assert(cpuu_rule_move_decode(&a, CPUU_FORM_RULE, &m, NULL));
        ck_assert_uint_eq(m.folder.size, mode < 0 ? 1 : 305);
        ck_assert_uint_eq(m.store.size, 4);
        ck_assert(cpuu_rule_action_next(&list, &a));
        ck_assert(cpuu_rule_recipients_open(&a, CPUU_FORM_RULE, &people, NULL));
        ck_assert(cpuu_rule_recipient_next(&people, &one));
        cpuu_reader_init(&r, one.values.data, one.values.size);
        ck_assert(cpuu_rawprop_read(&r, CPUU_FORM_RULE, &p));
        ck_assert_uint_eq(p.value.size, mode < 0 ? 2 : 606);
        ck_assert(cpuu_rawprop_read(&r, CPUU_FORM_RULE, &p));
        ck_assert_mem_eq(p.value.data, "E", 1);
        for (int i = 0; i < 3; i++) {
            cpuu_rule_reply reply;
            cpuu_buf data;
            ck_assert(cpuu_rule_action_next(&list, &a));
            if (a.type != CPUU_OP_REPLY)
                continue;
            cpuu_buf_init(&data, 64);
            ck_assert(cpuu_rule_reply_decode(&a, CPUU_FORM_RULE, &reply, NULL));
            ck_assert_uint_eq(reply.mid[7], 3);
            ck_assert_uint_eq(reply.guid[15], 7);
            ck_assert(cpuu_rule_reply_encode(&data, CPUU_FORM_RULE, &reply));
            same_bytes(a.data, &data, "reply");
            cpuu_buf_free(&data);
        }
        ck_assert(!cpuu_rule_action_next(&list, &a));
        ck_assert(!list.rest.failed);
        cpuu_buf_free(&out);
    }
}
END_TEST

START_TEST(recipients_with_16_bit_counts)
{
    static const uint8_t narrow[] = {0x01, 0x00, 0x00, 0x01, 0x00, 0x1e, 0x00, 0x02, 0x30, 'E', 0};
    cpuu_rule_action a = {CPUU_OP_FORWARD, 0, 0, {narrow, sizeof(narrow)}, 0};
    cpuu_rule_recipients list;
    cpuu_rule_recipient one;
    ck_assert(cpuu_rule_recipients_open(&a, CPUU_FORM_RULE, &list, NULL));
    ck_assert(list.narrow);
    ck_assert(cpuu_rule_recipient_next(&list, &one));
    ck_assert_uint_eq(one.values.size, 6);
    ck_assert(!cpuu_rule_recipients_open(&a, CPUU_FORM_EXTENDED, &list, NULL));
}
END_TEST

static bool grow_huge(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    (void)user;
    (void)in;
    return kind == CPUU_LINK_EID && cpuu_buf_fill(out, 'z', 70000);
}

START_TEST(what_does_not_fit_in_16_bits_is_refused)
{
    cpuu_buf out;
    cpuu_fmt_error err;
    cpuu_buf_init(&out, 1u << 20);
    ck_assert(!cpuu_rule_actions_rewrite((cpuu_blob){standard, sizeof(standard)}, CPUU_FORM_RULE,
                                         grow_huge, NULL, &out, NULL, &err));
    ck_assert_str_eq(err.field, "output");
    cpuu_buf_free(&out);
}
END_TEST

/* ---- the Outlook rule stream -------------------------------------------------------------------
 */

typedef struct listing {
    text t;
    uint32_t opaque_items;
} listing;

static void list_value(text *t, const cpuu_xr_item *i)
{
    uint32_t v = 0;
    for (uint32_t k = i->value.size < 4 ? i->value.size : 4; k-- > 0;)
        v = (v << 8) | i->value.data[k];
    bool utf16 = i->what == CPUU_XR_TEXT ||
                 (i->what == CPUU_XR_VALUE && CPUU_TAG_TYPE(i->tag) == CPUU_PT_STRING);
    if (i->what == CPUU_XR_NUMBER)
        text_line(t, "value = 0x%x", v);
    else if (i->what == CPUU_XR_ELEMENT)
        text_line(t, "kind: 0x%x (%u)", v, v);
    else if (i->what == CPUU_XR_TAG)
        text_line(t, "value = 0x%08x", v);
    else if (i->what == CPUU_XR_INDEX)
        text_line(t, "index: tag=0x%08x 0x%x 0x%x", i->tag, cpuu_le32(i->value.data + 8),
                  cpuu_le32(i->value.data + 12));
    else if (utf16)
        text_sz16(t, "text", i->value);
    else if (i->what == CPUU_XR_TEXT8)
        text_sz8(t, "text", i->value);
    else
        text_hex(t, i->value.data, i->value.size);
}

static bool list_item(void *user, const cpuu_xr_item *i)
{
    listing *l = user;
    if (i->what == CPUU_XR_OPAQUE)
        l->opaque_items++;
    if (i->what == CPUU_XR_RULE)
        return true;
    text_line(&l->t, "@0x%04x %u", i->offset, i->size);
    list_value(&l->t, i);
    return true;
}

/* One line of the decoded table, in the words of list_value(). */
static void list_expected(text *t, char *line)
{
    char *save = NULL, *offset = strtok_r(line, "\t", &save);
    char *size = strtok_r(NULL, "\t", &save), *field = strtok_r(NULL, "\t", &save);
    char *value = field + strlen(field) + 1; /* may be empty, which strtok does not see */
    char *end = strchr(value, '\t');
    if (end)
        *end = 0;
    text_line(t, "@%s %s", offset, size);
    static const char *const texts[] = {
        "rule name",   "class name",    "account name",   "account id string", "string",
        "action text", "categories",    "forms",          "field name",        "string value",
        "form name",   "message class", "container name", "folder name"};
    bool is_text = false;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        is_text = is_text || strcmp(field, texts[i]) == 0;
    if (strncmp(field, "propval 0x", 10) == 0 && strncmp(field + 14, "001f", 4) == 0)
        is_text = true;
    if (strncmp(field, "element ", 8) == 0 && strstr(field, " kind"))
        text_line(t, "kind: %s", value);
    else if (strncmp(field, "propval index ", 14) == 0)
        text_line(t, "index: %s %s", field + 14, value);
    else if (is_text)
        text_line(t, "text = %s", value);
    else if (strncmp(value, "0x", 2) == 0)
        text_line(t, "value = %s", value);
    else if (*value == 0)
        text_line(t, "text = ");
    else {
        char head[32];
        snprintf(head, sizeof(head), "cb: %zu lpb: ", strlen(value) / 2);
        text_add(t, head);
        for (char *p = value; *p; p++) {
            char c[2] = {(char)(*p >= 'a' && *p <= 'f' ? *p - 32 : *p), 0};
            text_add(t, c);
        }
        text_add(t, "\n");
    }
}

static char *read_all(const sample *s)
{
    char *copy = malloc((size_t)s->bytes.size + 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, s->bytes.data, s->bytes.size);
    copy[s->bytes.size] = 0;
    return copy;
}

static cpuu_xr_form hostile_xr;

static void rewrite_stream(cpuu_blob in)
{
    cpuu_buf out;
    cpuu_fmt_error err;
    swap s = {0, 0, 0};
    cpuu_buf_init(&out, 65536);
    if (cpuu_xr_rewrite(in, hostile_xr, swap_link, &s, &out, NULL, NULL, &err))
        same_bytes(in, &out, "stream");
    else
        ck_assert_msg(err.offset <= in.size, "%u > %u", err.offset, in.size);
    cpuu_buf_free(&out);
}

/* The outer form has no sample: magic, nine words, two rules (one of them a reference to the class
 * named in the other, one with an element that does not exist), and the end. */
static void add_rule(cpuu_buf *b, bool first, const uint8_t *body, size_t n, uint16_t elements)
{
    static const uint8_t head[] = {0x00, 0x00, 0x14, 0x06, 0x02, 'R', 0, '1', 0, 1, 0, 0, 0, 0, 0,
                                   0,    0,    1,    0,    0,    0,   0, 0,   0, 0, 1, 0, 0, 0};
    cpuu_buf_add(b, head, sizeof(head));
    cpuu_buf_u32(b, (uint32_t)(n + (first ? 20 : 4)));
    cpuu_buf_u16(b, elements);
    if (first)
        cpuu_buf_add(b,
                     "\xff\xff\x00\x00\x0c\x00"
                     "CRuleElement",
                     18);
    else
        cpuu_buf_u16(b, 0x8001);
    cpuu_buf_add(b, body, n);
}

/* received; move to a 6-byte folder id in a 5-byte store id named "F"; sent to one person. */
static const uint8_t move_body[] = {
    0x90, 0x01, 0,    0,    1,    0,    0,   0,   0,    0,    0,    0,    1,    0,    0,
    0,    0x01, 0x80, 0x2c, 0x01, 0,    0,   1,   0,    0,    0,    0,    0,    0,    0,
    6,    0,    0,    0,    'f',  'o',  'l', 'd', 'e',  'r',  5,    0,    0,    0,    's',
    't',  'o',  'r',  'e',  1,    'F',  0,   0,   0,    0,    0,    0x01, 0x80, 0x2e, 0x01,
    0,    0,    1,    0,    0,    0,    0,   0,   0,    0,    1,    0,    0,    0, /* one recipient
                                                                                    */
    0,    0,    0,    0,    3,    0,    0,   0,   0x3d, 0,    0,    0, /* 3 properties, 61 bytes */
    0x1f, 0x00, 0x03, 0x30, 0,    0,    0,   0,   0x30, 0,    0,    0,    0,    0,    0,
    0,    0x03, 0x00, 0x15, 0x0c, 0,    0,   0,   0,    0x01, 0,    0,    0,    0,    0,
    0,    0,    0x02, 0x01, 0x0b, 0x30, 0,   0,   0,    0,    0x05, 0,    0,    0,    0x38,
    0,    0,    0,    'a',  0,    '@',  0,   'b', 0,    0,    0,    'E',  'X',  ':',  'a',
    0,    0,    0,    0,    0,    0,    0,   0,   0,
};
static const uint8_t unknown_body[] = {0x99, 0x09, 0, 0, 'w', 'h', 'o', 'k', 'n', 'o', 'w', 's'};

static void make_stream(cpuu_buf *b)
{
    static const uint32_t words[9] = {0, 0, 0, 0, 0, 0, 1, 1, 0};
    cpuu_buf_init(b, 65536);
    cpuu_buf_add(b, "\x00\x00\x14\x00\x00\x00\x14\x06", 8);
    for (int i = 0; i < 9; i++)
        cpuu_buf_u32(b, words[i]);
    cpuu_buf_u16(b, 3);
    add_rule(b, true, move_body, sizeof(move_body), 3);
    add_rule(b, false, unknown_body, sizeof(unknown_body), 1);
    add_rule(b, false, move_body, sizeof(move_body), 3);
    cpuu_buf_u32(b, 2);
    cpuu_buf_utf16(b, "C:", false);
    cpuu_buf_u32(b, 0);
    cpuu_buf_u64(b, 0x40e5394d00000000u);
    cpuu_buf_u32(b, 0);
    ck_assert(!b->failed);
}

/* Counts items and remembers the links of the stream above. */
typedef struct survey {
    unsigned rules, elements, opaque, values, eids;
    uint32_t sizes[32], n;
} survey;

static bool survey_item(void *user, const cpuu_xr_item *i)
{
    survey *s = user;
    s->rules += i->what == CPUU_XR_RULE;
    s->elements += i->what == CPUU_XR_ELEMENT;
    s->opaque += i->what == CPUU_XR_OPAQUE;
    if (i->what == CPUU_XR_ELEMENT)
        ck_assert(cpuu_xr_kind_name(cpuu_le32(i->value.data)) != NULL);
    s->values += i->what == CPUU_XR_VALUE;
    s->eids += i->what == CPUU_XR_EID;
    if (i->what == CPUU_XR_VALUE || i->what == CPUU_XR_EID)
        s->sizes[s->n++ % 32] = i->value.size;
    if (i->what == CPUU_XR_OPAQUE)
        ck_assert(i->kind == 0x999 && !cpuu_xr_kind_name(i->kind));
    return true;
}

START_TEST(outer_stream_is_laid_out_again)
{
    static const uint32_t shorter[4] = {1, 1, 2, 1}, same[4] = {6, 5, 6, 5};
    static const uint32_t longer[4] = {306, 305, 606, 305};
    static const uint32_t *const expected[3] = {shorter, same, longer};
    cpuu_buf in;
    make_stream(&in);
    for (int mode = -1; mode <= 1; mode++) {
        swap s = {mode, 0, 0};
        survey now = {0};
        uint32_t opaque = 0;
        cpuu_buf out;
        cpuu_fmt_error err;
        cpuu_buf_init(&out, 65536);
        ck_assert(cpuu_xr_rewrite(blob_of(&in), CPUU_XR_STREAM, swap_link, &s, &out, NULL, &opaque,
                                  &err));
        ck_assert_uint_eq(opaque, 1);
        ck_assert_uint_eq(s.asked, 8);
        if (mode == 0)
            same_bytes(blob_of(&in), &out, "stream");
        ck_assert_msg(cpuu_xr_walk(blob_of(&out), CPUU_XR_STREAM, survey_item, &now, &opaque, &err),
                      "%s %s", err.field, err.what);
        ck_assert_uint_eq(now.rules, 3);
        ck_assert_uint_eq(now.elements, 6);
        ck_assert_uint_eq(now.opaque, 1);
        ck_assert_uint_eq(now.n, 8);
        for (uint32_t i = 0; i < 8; i++)
            ck_assert_uint_eq(now.sizes[i], expected[mode + 1][i % 4]);
        cpuu_buf_free(&out);
    }
    hostile_xr = CPUU_XR_STREAM;
    hostile_variants(blob_of(&in), rewrite_stream);
    cpuu_buf_free(&in);
}
END_TEST

static bool stop_at_once(void *user, const cpuu_xr_item *i)
{
    (void)i;
    ++*(int *)user;
    return false;
}

START_TEST(stream_errors_say_where)
{
    cpuu_buf in, out;
    cpuu_fmt_error err;
    int calls = 0;
    swap fail = {2, 0, 0};
    make_stream(&in);
    cpuu_buf_init(&out, 65536);
    ck_assert(!cpuu_xr_walk(blob_of(&in), CPUU_XR_STREAM, stop_at_once, &calls, NULL, &err));
    ck_assert_str_eq(err.what, "stopped");
    ck_assert_int_eq(calls, 1);
    ck_assert(
        !cpuu_xr_rewrite(blob_of(&in), CPUU_XR_STREAM, swap_link, &fail, &out, NULL, NULL, &err));
    ck_assert_str_eq(err.field, "output");
    in.data[2] = 0x15;
    ck_assert(!cpuu_xr_walk(blob_of(&in), CPUU_XR_STREAM, NULL, NULL, NULL, &err));
    ck_assert_str_eq(err.field, "stream magic");
    in.data[2] = 0x14;
    in.data[46] = 0x15; /* magic of the first rule */
    ck_assert(!cpuu_xr_walk(blob_of(&in), CPUU_XR_STREAM, NULL, NULL, NULL, &err));
    ck_assert_str_eq(err.field, "rule magic");
    ck_assert_uint_eq(err.offset, 46);
    cpuu_buf_free(&in);
    cpuu_buf_free(&out);
}
END_TEST

/* All items of a stream, in order; values borrow from it. */
typedef struct items {
    uint32_t n;
    cpuu_xr_item all[512];
} items;

static bool keep_item(void *user, const cpuu_xr_item *i)
{
    items *list = user;
    ck_assert_uint_lt(list->n, 512);
    list->all[list->n++] = *i;
    return true;
}

/* What swap_link makes of a text or of bytes. */
static void expect_swapped(cpuu_blob old, cpuu_blob new, bool utf16, int mode)
{
    uint32_t step = utf16 ? 2 : 1, same = mode < 0 ? 0 : old.size;
    ck_assert_uint_eq(new.size, mode < 0 ? step : old.size + 300 * step);
    ck_assert_mem_eq(new.data, old.data, same);
    for (uint32_t i = same; i < new.size; i += step) {
        ck_assert_uint_eq(new.data[i], mode < 0 ? 'x' : 'y');
        ck_assert(step == 1 || new.data[i + 1] == 0);
    }
}

static void expect_swapped_eid(cpuu_blob old, cpuu_blob new, int mode)
{
    cpuu_eid a, b;
    cpuu_blob x, y;
    if (cpuu_eid_decode(old, &a, NULL) && cpuu_eid_inner(&a, &x)) {
        ck_assert(cpuu_eid_decode(new, &b, NULL) && cpuu_eid_inner(&b, &y));
        ck_assert_int_eq(a.kind, b.kind);
        expect_swapped_eid(x, y, mode);
    } else {
        expect_swapped(old, new, false, mode);
    }
}

static bool is_size(const cpuu_xr_item *i)
{
    static const char *const sizes[] = {"EntryID size", "byte count", "length of the rest",
                                        "propval array: bytes in block", "propval index"};
    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++)
        if (strcmp(i->field, sizes[k]) == 0)
            return true;
    return false;
}

/* Everything but links, sizes and offsets is as before; every link is what was asked for. */
static unsigned compare_items(const items *before, const items *after, int mode)
{
    unsigned links = 0;
    ck_assert_uint_eq(before->n, after->n);
    for (uint32_t k = 0; k < before->n; k++) {
        const cpuu_xr_item *x = &before->all[k], *y = &after->all[k];
        uint32_t kind = x->what == CPUU_XR_VALUE ? cpuu_rawprop_link(x->tag, x->value)
                        : x->what == CPUU_XR_EID ? CPUU_LINK_EID
                                                 : 0;
        ck_assert(x->what == y->what && x->kind == y->kind && strcmp(x->field, y->field) == 0);
        links += kind != 0 || x->what == CPUU_XR_TAG;
        if (x->what == CPUU_XR_TAG)
            ck_assert_uint_eq(y->tag, x->tag ^ 0x10000);
        else if (kind == CPUU_LINK_EID)
            expect_swapped_eid(x->value, y->value, mode);
        else if (kind)
            expect_swapped(x->value, y->value, CPUU_TAG_TYPE(x->tag) == CPUU_PT_STRING, mode);
        else if (!is_size(x)) {
            ck_assert_uint_eq(x->value.size, y->value.size);
            if (x->value.size)
                ck_assert_mem_eq(x->value.data, y->value.data, x->value.size);
        }
    }
    return links;
}

/* A rule action with the worked stream: action length, stream length and rule length all follow. */
static void grow_defer(const sample *s)
{
    if (strcmp(s->name, "EXTENDEDRULEACTION-2") != 0)
        return;
    for (int mode = -1; mode <= 1; mode += 2) {
        swap w = {mode, 0, 0};
        cpuu_buf out;
        static items before, after;
        cpuu_rule_actions list;
        cpuu_rule_action a;
        uint32_t opaque;
        before.n = after.n = 0;
        cpuu_buf_init(&out, 65536);
        ck_assert(cpuu_rule_actions_rewrite(s->bytes, CPUU_FORM_EXTENDED, swap_link, &w, &out, NULL,
                                            NULL));
        /* 2 people x (name, EntryID, search key, e-mail), container, folder, store, named tag */
        ck_assert_uint_eq(w.asked, 12);
        ck_assert(cpuu_rule_actions_open(blob_of(&out), CPUU_FORM_EXTENDED, &list, NULL));
        ck_assert(cpuu_rule_action_next(&list, &a));
        cpuu_rule_action none;
        ck_assert(!cpuu_rule_action_next(&list, &none));
        ck_assert(!list.rest.failed);
        ck_assert(cpuu_xr_walk(a.data, CPUU_XR_DEFER, keep_item, &after, &opaque, NULL));
        ck_assert_uint_eq(opaque, 0);
        cpuu_blob old = {s->bytes.data + 23, s->bytes.size - 23};
        ck_assert(cpuu_xr_walk(old, CPUU_XR_DEFER, keep_item, &before, &opaque, NULL));
        ck_assert_uint_eq(compare_items(&before, &after, mode), 12);
        cpuu_buf_free(&out);
    }
}

START_TEST(deferred_action_is_laid_out_again)
{
    samples_each("EXTENDEDRULEACTION", grow_defer);
}
END_TEST

START_TEST(worked_stream_agrees_field_by_field)
{
    sample bin, table;
    listing l = {.opaque_items = 0};
    text expected;
    uint32_t opaque = 1, lines = 0;
    if (!sample_load("worked/xr-rule-stream.bin", &bin))
        return;
    ck_assert(sample_load("worked/xr-rule-stream.decoded.tsv", &table));
    text_init(&l.t);
    text_init(&expected);
    ck_assert(cpuu_xr_is_defer(bin.bytes));
    ck_assert(cpuu_xr_walk(bin.bytes, CPUU_XR_DEFER, list_item, &l, &opaque, NULL));
    ck_assert_uint_eq(opaque, 0);
    char *copy = read_all(&table), *save = NULL;
    strtok_r(copy, "\n", &save); /* head line */
    for (char *line; (line = strtok_r(NULL, "\n", &save)) != NULL; lines++)
        list_expected(&expected, line);
    free(copy);
    sample_free(&table);
    table.expected = strdup(text_get(&expected));
    snprintf(table.name, sizeof(table.name), "xr-rule-stream");
    sample_compare(&table, text_get(&l.t));
    printf("xr-rule-stream: %u fields agree\n", lines);
    ck_assert_uint_eq(lines, 235);
    free(table.expected);
    text_free(&l.t);
    text_free(&expected);
    hostile_xr = CPUU_XR_DEFER;
    rewrite_stream(bin.bytes);
    hostile_variants(bin.bytes, rewrite_stream);
    sample_free(&bin);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rules");
    TCase *oracle = tcase_create("independent samples");
    tcase_set_timeout(oracle, 120);
    tcase_add_test(oracle, property_streams);
    tcase_add_test(oracle, restrictions_of_search_folders);
    tcase_add_test(oracle, conditions_of_rules);
    tcase_add_test(oracle, actions_of_extended_rules);
    tcase_add_test(oracle, deferred_action_is_laid_out_again);
    tcase_add_test(oracle, worked_stream_agrees_field_by_field);
    suite_add_tcase(suite, oracle);
    TCase *made = tcase_create("hand-made");
    tcase_add_test(made, a_person_in_a_condition_is_three_links);
    tcase_add_test(made, every_kind_of_node);
    tcase_add_test(made, names_in_a_condition_need_no_translation);
    tcase_add_test(made, multi_valued_properties);
    tcase_add_test(made, named_properties_are_asked_for_with_their_type);
    tcase_add_test(made, nesting_has_a_limit);
    tcase_add_test(made, what_counts_as_a_link);
    tcase_add_test(made, standard_actions);
    tcase_add_test(made, standard_actions_grow_and_shrink);
    tcase_add_test(made, recipients_with_16_bit_counts);
    tcase_add_test(made, outer_stream_is_laid_out_again);
    tcase_add_test(made, stream_errors_say_where);
    tcase_add_test(made, what_does_not_fit_in_16_bits_is_refused);
    suite_add_tcase(suite, made);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
