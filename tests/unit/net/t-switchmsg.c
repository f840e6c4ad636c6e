/* The Switch Message's XML against decision D5. */
#include "bench.h"
#include "base/mem.h"
#include "net/switchmsg.h"

#include <cpuu/formats/bytes.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DN   "<TargetMailboxDN>/o=Org/cn=a</TargetMailboxDN>"
#define SMTP "<TargetSmtpAddress>a@b.test</TargetSmtpAddress>"
#define O365 "<TargetOffice365>true</TargetOffice365>"
#define WRAP(inside) \
    "<SwitchMessage xmlns=\"urn:cpuu:switch:1\" version=\"1\">" inside "</SwitchMessage>"

static cpuu_rc parse(const char *xml, cpuu_switch_message *m, cpuu_error *err)
{
    /* A copy of exactly that size, so that reading past the end is found. */
    size_t n = strlen(xml);
    char *copy = malloc(n ? n : 1);
    memcpy(copy, xml, n);
    cpuu_rc rc = cpuu_switch_parse(copy, n, m, err);
    free(copy);
    return rc;
}

START_TEST(the_documented_form_is_read)
{
    cpuu_switch_message m;
    cpuu_error err = CPUU_ERROR_INIT;
    ck_assert_int_eq(parse(WRAP(DN SMTP O365), &m, &err), CPUU_OK);
    ck_assert_str_eq(m.target_dn, "/o=Org/cn=a");
    ck_assert_str_eq(m.target_smtp, "a@b.test");
    ck_assert(m.office365);
    /* Any order, blanks, a declaration, a prefix, character references: the same to XML. */
    ck_assert_int_eq(parse("<?xml version=\"1.0\"?>\n<s:SwitchMessage version='1' "
                           "xmlns:s='urn:cpuu:switch:1'>\n <s:TargetOffice365> 0 "
                           "</s:TargetOffice365><!-- x -->\n<s:TargetSmtpAddress>a&amp;b@c"
                           "</s:TargetSmtpAddress><s:TargetMailboxDN>\n/O=\xc3\x96&#x28;"
                           "</s:TargetMailboxDN></s:SwitchMessage>", &m, &err), CPUU_OK);
    ck_assert_str_eq(m.target_dn, "/O=\xc3\x96(");
    ck_assert_str_eq(m.target_smtp, "a&b@c");
    ck_assert(!m.office365);
}
END_TEST

START_TEST(anything_else_is_refused_by_name)
{
    static const struct {
        const char *xml, *says;
    } cases[] = {
        {"", "empty"},
        {"<SwitchMessage", "well-formed"},
        {WRAP(SMTP O365), "TargetMailboxDN is missing"},
        {WRAP(DN O365), "TargetSmtpAddress is missing"},
        {WRAP(DN SMTP), "TargetOffice365 is missing"},
        {WRAP(DN DN SMTP O365), "TargetMailboxDN is there twice"},
        {WRAP(DN SMTP O365 SMTP), "TargetSmtpAddress is there twice"},
        {WRAP(DN SMTP O365 "<Extra/>"), "unknown element Extra"},
        {WRAP(DN SMTP O365 "<x:Extra xmlns:x='urn:x'/>"), "unknown element Extra"},
        {WRAP("<TargetMailboxDN xmlns='urn:x'>/o=x</TargetMailboxDN>" SMTP O365),
         "unknown element TargetMailboxDN"},
        {WRAP(DN SMTP O365 "text"), "text between"},
        {WRAP("<TargetMailboxDN>o=Org</TargetMailboxDN>" SMTP O365), "not a legacyExchangeDN"},
        {WRAP("<TargetMailboxDN/>" SMTP O365), "TargetMailboxDN is empty"},
        {WRAP("<TargetMailboxDN><b>/o=x</b></TargetMailboxDN>" SMTP O365), "holds an element"},
        {WRAP("<TargetMailboxDN>/o=x&#10;y</TargetMailboxDN>" SMTP O365), "legacyExchangeDN"},
        {WRAP(DN "<TargetSmtpAddress>ab.test</TargetSmtpAddress>" O365), "not an address"},
        {WRAP(DN "<TargetSmtpAddress>a@</TargetSmtpAddress>" O365), "not an address"},
        {WRAP(DN "<TargetSmtpAddress>@b</TargetSmtpAddress>" O365), "not an address"},
        {WRAP(DN "<TargetSmtpAddress>a@b@c</TargetSmtpAddress>" O365), "not an address"},
        {WRAP(DN "<TargetSmtpAddress>a b@c</TargetSmtpAddress>" O365), "not an address"},
        {WRAP(DN SMTP "<TargetOffice365>yes</TargetOffice365>"), "neither true nor false"},
        {"<SwitchMessage xmlns=\"urn:cpuu:switch:1\" version=\"2\"/>", "unknown version '2'"},
        {"<SwitchMessage xmlns=\"urn:cpuu:switch:1\"/>", "version is missing"},
        {"<SwitchMessage version=\"1\"/>", "namespace"},
        {"<RecreateMessage xmlns=\"urn:cpuu:switch:1\" version=\"1\"/>",
         "unknown element RecreateMessage"},
        {"<!DOCTYPE a [<!ENTITY b \"/o=x\">]><SwitchMessage xmlns=\"urn:cpuu:switch:1\" "
         "version=\"1\"><TargetMailboxDN>&b;</TargetMailboxDN>" SMTP O365 "</SwitchMessage>",
         "document type"},
        {"<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><SwitchMessage/>", "document type"},
        {WRAP("<TargetMailboxDN>&b;</TargetMailboxDN>" SMTP O365), "well-formed"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cpuu_switch_message m = {.target_dn = "untouched"};
        cpuu_error err = CPUU_ERROR_INIT;
        ck_assert_msg(parse(cases[i].xml, &m, &err) == CPUU_E_FORMAT, "%s", cases[i].xml);
        ck_assert_msg(strstr(err.text, cases[i].says) != NULL, "%s: %s", cases[i].xml, err.text);
        ck_assert_str_eq(m.target_dn, "untouched");
    }
}
END_TEST

START_TEST(lengths_are_bounded)
{
    static char xml[40000];
    cpuu_switch_message m;
    cpuu_error err = CPUU_ERROR_INIT;
    for (size_t n = 1000; n < 1100; n++) {
        snprintf(xml, sizeof(xml), WRAP("<TargetMailboxDN>/o=%0*d</TargetMailboxDN>" SMTP O365),
                 (int)n, 0);
        ck_assert_int_eq(parse(xml, &m, &err) == CPUU_OK, n + 3 < sizeof(m.target_dn));
    }
    memset(xml, ' ', sizeof(xml) - 1);
    ck_assert_int_eq(parse(xml, &m, &err), CPUU_E_FORMAT);
}
END_TEST

START_TEST(what_is_written_is_what_is_documented)
{
    cpuu_switch_message m = {"/o=A & B/cn=<x>", "x@y", false}, back;
    char xml[2048];
    cpuu_error err = CPUU_ERROR_INIT;
    ck_assert_int_eq(cpuu_switch_format(&m, xml, sizeof(xml), &err), CPUU_OK);
    ck_assert_str_eq(xml, "<SwitchMessage xmlns=\"urn:cpuu:switch:1\" version=\"1\">"
                          "<TargetMailboxDN>/o=A &amp; B/cn=&lt;x&gt;</TargetMailboxDN>"
                          "<TargetSmtpAddress>x@y</TargetSmtpAddress>"
                          "<TargetOffice365>false</TargetOffice365></SwitchMessage>");
    ck_assert_int_eq(parse(xml, &back, &err), CPUU_OK);
    ck_assert_str_eq(back.target_dn, m.target_dn);
    ck_assert_int_eq(cpuu_switch_format(&m, xml, 100, &err), CPUU_E_TOOBIG);
    m.target_smtp[0] = 0;
    ck_assert_int_eq(cpuu_switch_format(&m, xml, sizeof(xml), &err), CPUU_E_FORMAT);
    snprintf(m.target_dn, sizeof(m.target_dn), "/o=\xff");
    ck_assert_int_eq(cpuu_switch_format(&m, xml, sizeof(xml), &err), CPUU_E_FORMAT);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
    unsigned at = 1;
    cpuu_rc rc = CPUU_E_NOMEM;
    cpuu_fmt_realloc = failing_realloc;
    for (; rc == CPUU_E_NOMEM && at < 100; at++) {
        cpuu_switch_message m;
        cpuu_error err = CPUU_ERROR_INIT;
        fail_alloc = at;
        rc = parse(WRAP(DN SMTP O365), &m, &err);
        fail_alloc = 0;
    }
    cpuu_fmt_realloc = realloc;
    ck_assert_int_eq(rc, CPUU_OK);
    ck_assert_uint_gt(at, 4);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("switchmsg");
    TCase *t = tcase_create("switchmsg");
    tcase_add_test(t, the_documented_form_is_read);
    tcase_add_test(t, anything_else_is_refused_by_name);
    tcase_add_test(t, lengths_are_bounded);
    tcase_add_test(t, what_is_written_is_what_is_documented);
    tcase_add_test(t, every_allocation_may_fail);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
