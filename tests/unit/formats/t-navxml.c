#include "laws.h"

#include <cpuu/formats/entryid.h>
#include <cpuu/formats/navxml.h>

#include <check.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../oracle.h"

/* ---- what libxml2 finds ------------------------------------------------------------------------
 */

/* "element|ltype|storeid|clsid|name|hex", one line per identifier that is not empty. */
static void oracle_line(text *t, xmlNodePtr node)
{
    static const char *const beside[] = {"ltype", "storeid", "clsid", "name"};
    xmlChar *hex = xmlNodeGetContent(node);
    if (hex && *hex) {
        text_add(t, (const char *)node->name);
        for (size_t i = 0; i < 4; i++) {
            text_add(t, "|");
            for (xmlNodePtr s = node->parent->children; s; s = s->next)
                if (s->type == XML_ELEMENT_NODE && strcmp((const char *)s->name, beside[i]) == 0) {
                    xmlChar *v = xmlNodeGetContent(s);
                    text_add(t, (const char *)v);
                    xmlFree(v);
                }
        }
        text_add(t, "|");
        text_add(t, (const char *)hex);
        text_add(t, "\n");
    }
    xmlFree(hex);
}

static void oracle_walk(text *t, xmlNodePtr node)
{
    for (; node; node = node->next) {
        if (node->type != XML_ELEMENT_NODE)
            continue;
        const char *name = (const char *)node->name;
        if (strcmp(name, "eid") == 0 || strcmp(name, "eidstore") == 0 ||
            strcmp(name, "reckey") == 0)
            oracle_line(t, node);
        oracle_walk(t, node->children);
    }
}

static void oracle(text *t, cpuu_blob xml)
{
    xmlDocPtr doc = xmlReadMemory((const char *)xml.data, (int)xml.size, "x.xml", NULL,
                                  XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    ck_assert_ptr_nonnull(doc);
    text_init(t);
    oracle_walk(t, xmlDocGetRootElement(doc));
    xmlFreeDoc(doc);
}

static void add_blob(text *t, cpuu_blob b)
{
    cpuu_buf_add(&t->buf, b.data, b.size);
}

static bool our_line(void *user, const cpuu_nav_item *item)
{
    static const char *const names[] = {"", "eidstore", "eid", "reckey"};
    text *t = user;
    cpuu_blob beside[] = {item->ltype, item->storeid, item->clsid, item->name, item->hex};
    text_add(t, names[item->what]);
    for (size_t i = 0; i < 5; i++) {
        text_add(t, "|");
        add_blob(t, beside[i]);
    }
    text_add(t, "\n");
    return true;
}

static void compare_with_oracle(cpuu_blob in)
{
    text ours, theirs;
    cpuu_fmt_error err = {0, "", ""};
    text_init(&ours);
    ck_assert_msg(cpuu_nav_walk(in, our_line, &ours, &err), "%s %s", err.field, err.what);
    oracle(&theirs, in);
    ck_assert_str_eq(text_get(&ours), text_get(&theirs));
    text_free(&ours);
    text_free(&theirs);
}

/* ---- a real file ------------------------------------------------------------------------------
 */

static bool load_sample(cpuu_buf *out)
{
    const char *path = oracle_path("t-navxml", "profiles/navxml/stevedep_Outlook2016.redacted.xml");
    if (!path)
        return false;
    FILE *f = fopen(path, "rb");
    static uint8_t bytes[16384];
    ck_assert_ptr_nonnull(f);
    size_t n = fread(bytes, 1, sizeof(bytes), f);
    fclose(f);
    ck_assert_uint_eq(n, 7542);
    cpuu_buf_init(out, n);
    return cpuu_buf_add(out, bytes, n);
}

typedef struct tally {
    unsigned pst, exchange, web, uids;
} tally;

static bool count(void *user, const cpuu_nav_item *item)
{
    tally *x = user;
    cpuu_eid e;
    ck_assert(item->id.size * 2 == item->hex.size);
    if (item->kind == CPUU_LINK_RECORD_KEY)
        x->uids++;
    else if (item->kind == 0)
        x->web++;
    else if (cpuu_eid_decode(item->id, &e, NULL) && e.kind == CPUU_EID_STORE_PST)
        x->pst++;
    else if (cpuu_eid_is_mailbox(&e))
        x->exchange++;
    return true;
}

START_TEST(real_file)
{
    cpuu_buf in;
    tally x = {0, 0, 0, 0};
    if (!load_sample(&in))
        return;
    compare_with_oracle(blob_of(&in));
    ck_assert(cpuu_nav_walk(blob_of(&in), count, &x, NULL));
    /* counted with grep: 11 stores, 2 of them Exchange; one shortcut to a store, one to the web */
    ck_assert_uint_eq(x.pst, 9);
    ck_assert_uint_eq(x.exchange, 3);
    ck_assert_uint_eq(x.web, 1);
    ck_assert_uint_eq(x.uids, 1);
    laws_identity(blob_of(&in), cpuu_nav_rewrite);
    ck_assert_uint_eq(laws_relayout(blob_of(&in), cpuu_nav_rewrite), 13);
    cpuu_buf_free(&in);
}
END_TEST

static bool move_mailbox(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    cpuu_eid e;
    (void)user;
    if (kind == CPUU_LINK_RECORD_KEY)
        return cpuu_buf_fill(out, 0xab, 16);
    if (!cpuu_eid_decode(in, &e, NULL) || !cpuu_eid_is_mailbox(&e))
        return false;
    return cpuu_eid_build_store(out, "new", "/o=n/cn=x", "x@example.net", 0x0c);
}

/* libxml2 must see the new file as the old one with exactly those texts changed, and all other
 * bytes must be the same. */
START_TEST(a_mailbox_moves)
{
    cpuu_buf in, out;
    text before, after;
    if (!load_sample(&in))
        return;
    cpuu_buf_init(&out, 1u << 20);
    ck_assert(cpuu_nav_rewrite(blob_of(&in), move_mailbox, NULL, &out, NULL, NULL));
    compare_with_oracle(blob_of(&out));
    oracle(&before, blob_of(&in));
    oracle(&after, blob_of(&out));
    const char *a = text_get(&before), *b = text_get(&after);
    unsigned changed = 0, lines = 0;
    while (*a && *b) {
        size_t n = strcspn(a, "\n"), m = strcspn(b, "\n");
        bool same = n == m && memcmp(a, b, n) == 0;
        if (!same && strncmp(a, "reckey", 6) == 0)
            ck_assert_ptr_nonnull(strstr(b, "ABABABABABABABABABABABABABABABAB\n"));
        changed += !same;
        lines++;
        a += n + 1;
        b += m + 1;
    }
    ck_assert(!*a && !*b);
    ck_assert_uint_eq(lines, 14);
    ck_assert_uint_eq(changed, 4);
    text_free(&before);
    text_free(&after);
    cpuu_buf_free(&in);
    cpuu_buf_free(&out);
}
END_TEST

/* ---- form -------------------------------------------------------------------------------------
 */

#define EID20 "00000000000102030405060708090a0B0c0D0e0f"
#define UID16 "00112233445566778899AABBCCDDEEFF"

static cpuu_blob xml(const char *s)
{
    return (cpuu_blob){(const uint8_t *)s, (uint32_t)strlen(s)};
}

START_TEST(unusual_but_sound)
{
    static const struct {
        const char *file;
        unsigned links;
    } good[] = {
        {"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- <eid>00</eid> --><wundbar/>\n", 0},
        {"<w><b><eid>" EID20 "</eid></b></w>", 1},
        {"<w a='<not a tag' b=\">\"><b><eid x = '/>'>" EID20 "</eid ></b></w>", 0},
        {"<w><b><eid>" EID20 "<!-- x --></eid><eid><![CDATA[" EID20 "]]></eid></b></w>", 0},
        {"<w><b><eid>zz</eid><eid>123</eid><eid>0011</eid><reckey>00112233</reckey></b></w>", 0},
        {"<w><b><reckey>" UID16 "</reckey><eid>" EID20 "</eid><eid>" EID20 "</eid></b></w>", 3},
        {"<w><b><eid>" EID20 "</eid><clsid>86f0060000000000C000000000000046</clsid></b></w>", 0},
        {"<w><b><eid>" EID20 "</eid><c><reckey>" UID16 "</reckey></c><eid>" EID20 "</eid></b></w>",
         3},
        {"<eid>" EID20 "</eid>", 0}, /* of nothing */
        {"<w>\xc3\xa4 &amp; <?p eid?><b><eid></eid><eid/></b></w>", 0},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        bool attr_lt = strstr(good[i].file, "<not") != NULL; /* not well-formed for libxml2 */
        if (attr_lt)
            continue;
        laws_identity(xml(good[i].file), cpuu_nav_rewrite);
        unsigned n = laws_relayout(xml(good[i].file), cpuu_nav_rewrite);
        ck_assert_msg(n == good[i].links, "%zu: %u", i, n);
    }
}
END_TEST

START_TEST(order_and_context)
{
    static const char file[] =
        "<w><b><ltype>normal</ltype><eid>" EID20 "</eid><name>A &amp; B</name></b>"
        "<b><eidstore>" EID20 "</eidstore><storeid>7</storeid></b>"
        "<b><reckey>" UID16 "</reckey><eid>" EID20 "</eid><name>C</name></b></w>";
    text t;
    text_init(&t);
    ck_assert(cpuu_nav_walk(xml(file), our_line, &t, NULL));
    ck_assert_str_eq(text_get(&t), "eid|normal|||A &amp; B|" EID20 "\n"
                                   "eidstore||7|||" EID20 "\n"
                                   "reckey||||C|" UID16 "\n"
                                   "eid||||C|" EID20 "\n");
    text_free(&t);
}
END_TEST

static bool stop(void *user, const cpuu_nav_item *item)
{
    (void)item;
    ++*(int *)user;
    return false;
}

START_TEST(what_is_refused)
{
    static const struct {
        const char *file, *field, *what;
        uint32_t offset;
    } bad[] = {
        {"", "document", "ends too early", 0},
        {"<w>", "document", "ends too early", 3},
        {"x<w/>", "text", "is outside the root element", 0},
        {"<w/><w/>", "document", "has more than one root element", 4},
        {"<w></v>", "end tag", "does not match the start tag", 3},
        {"</w>", "end tag", "does not match the start tag", 0},
        {"<w><!-- ", "comment", "has no end", 8},
        {"<w><![CDATA[ ", "CDATA section", "has no end", 13},
        {"<?x", "processing instruction", "has no end", 3},
        {"<!DOCTYPE w><w/>", "markup", "is not known in this file", 0},
        {"<![CDATA[x]]><w/>", "markup", "is not known in this file", 0},
        {"<w", "tag", "has no end", 2},
        {"<w a='", "tag", "has no end", 6},
        {"<w <v>", "tag", "has no end", 4},
        {"< >", "tag", "has no name", 1},
        {"\xff\xfe<", "text", "is outside the root element", 0},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cpuu_fmt_error err = {0, "", ""};
        int calls = 0;
        ck_assert_msg(!cpuu_nav_walk(xml(bad[i].file), stop, &calls, &err), "%zu", i);
        ck_assert_str_eq(err.field, bad[i].field);
        ck_assert_str_eq(err.what, bad[i].what);
        ck_assert_msg(err.offset == bad[i].offset, "%zu: %u", i, err.offset);
    }
    cpuu_fmt_error err;
    int calls = 0;
    ck_assert(!cpuu_nav_walk((cpuu_blob){(const uint8_t *)"<w>\0</w>", 8}, stop, &calls, &err));
    ck_assert_str_eq(err.what, "has a NUL in it");
    ck_assert(!cpuu_nav_walk(xml("<w><b><eid>" EID20 "</eid><reckey>00</reckey></b></w>"), stop,
                             &calls, &err));
    ck_assert_str_eq(err.what, "stopped");
    ck_assert_int_eq(calls, 1);
    char deep[4 * CPUU_NAV_DEPTH + 8] = "";
    for (unsigned i = 0; i <= CPUU_NAV_DEPTH; i++)
        strcat(deep, "<w>");
    ck_assert(!cpuu_nav_walk(xml(deep), stop, &calls, &err));
    ck_assert_str_eq(err.what, "is nested too deeply");
}
END_TEST

static bool note_shortcut(void *user, uint32_t begin, uint32_t end)
{
    char line[32];
    snprintf(line, sizeof(line), "%u-%u ", begin, end);
    strcat(user, line);
    return strlen(user) < 40;
}

START_TEST(where_shortcuts_are)
{
    char found[128] = "";
    cpuu_fmt_error err = {0, "", ""};
    ck_assert(cpuu_nav_shortcuts(xml("<w><wdLnk/><a><wdLnk>x</wdLnk >\n<wdLnk a='>'><wdLnk><b/></wdLnk>"
                                     "</wdLnk></a><!-- <wdLnk></wdLnk> --></w>"),
                                 note_shortcut, found, &err));
    ck_assert_str_eq(found, "14-31 32-72 "); /* counted by hand */
    char many[512] = "<w>";
    for (int i = 0; i < 20; i++)
        strcat(many, "<wdLnk></wdLnk>");
    found[0] = 0;
    ck_assert(!cpuu_nav_shortcuts(xml(strcat(many, "</w>")), note_shortcut, found, &err));
    ck_assert_str_eq(err.what, "stopped");
    ck_assert(!cpuu_nav_shortcuts(xml("<w><wdLnk>"), note_shortcut, found, &err));
    ck_assert_str_eq(err.what, "ends too early");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("navxml");
    TCase *c = tcase_create("navxml");
    tcase_set_timeout(c, 120);
    tcase_add_test(c, real_file);
    tcase_add_test(c, a_mailbox_moves);
    tcase_add_test(c, unusual_but_sound);
    tcase_add_test(c, order_and_context);
    tcase_add_test(c, what_is_refused);
    tcase_add_test(c, where_shortcuts_are);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    xmlCleanupParser();
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
