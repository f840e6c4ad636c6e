/*
 * The Switch Message's XML (decision D5):
 *   <SwitchMessage xmlns="urn:cpuu:switch:1" version="1"><TargetMailboxDN>/o=...</TargetMailboxDN>
 *   <TargetSmtpAddress>x@y</TargetSmtpAddress><TargetOffice365>false</TargetOffice365>
 *   </SwitchMessage>
 * Whoever can write to the mailbox can write one, so everything that is not exactly this is refused.
 */
#include "net/switchmsg.h"

#include "base/mem.h"
#include "base/text.h"
#include "net/xml.h"

#include <cpuu/formats/bytes.h>
#include <stdio.h>
#include <string.h>

#define NAMESPACE "urn:cpuu:switch:1"
#define MAX_XML   ((size_t)16 << 10)

static bool in_namespace(const xmlNode *n)
{
    return n->ns && strcmp((const char *)n->ns->href, NAMESPACE) == 0;
}

/* what: of the message, for errors */
static cpuu_rc check_root(const xmlNode *root, const char *element, const char *what,
                          cpuu_error *err)
{
    char *version = NULL;
    if (strcmp((const char *)root->name, element) != 0 || !in_namespace(root))
        return cpuu_fail(err, CPUU_E_FORMAT, "%s: unknown element %s (or not in the "
                         "namespace " NAMESPACE ")", what, (const char *)root->name);
    cpuu_rc rc = cpuu_xml_attribute(root, "version", &version, err);
    if (rc < 0)
        return rc;
    if (!version)
        rc = cpuu_fail(err, CPUU_E_FORMAT, "%s: the version is missing", what);
    else if (strcmp(version, "1") != 0)
        rc = cpuu_fail(err, CPUU_E_FORMAT, "%s: unknown version '%s'", what, version);
    cpuu_free(version);
    return rc;
}

static cpuu_rc take_dn(const char *text, cpuu_switch_message *m, cpuu_error *err)
{
    if (!cpuu_is_legacy_dn(text) || strlen(text) >= sizeof(m->target_dn))
        return cpuu_fail(err, CPUU_E_FORMAT, "Switch Message: TargetMailboxDN is not a "
                         "legacyExchangeDN (/o=...)");
    snprintf(m->target_dn, sizeof(m->target_dn), "%s", text);
    return CPUU_OK;
}

static cpuu_rc take_smtp(const char *text, cpuu_switch_message *m, cpuu_error *err)
{
    if (!cpuu_is_smtp(text) || strlen(text) >= sizeof(m->target_smtp))
        return cpuu_fail(err, CPUU_E_FORMAT,
                         "Switch Message: TargetSmtpAddress is not an address (x@y)");
    snprintf(m->target_smtp, sizeof(m->target_smtp), "%s", text);
    return CPUU_OK;
}

/* The lexical forms of xs:boolean. */
static cpuu_rc take_office365(const char *text, cpuu_switch_message *m, cpuu_error *err)
{
    if (strcmp(text, "true") == 0 || strcmp(text, "1") == 0)
        m->office365 = true;
    else if (strcmp(text, "false") == 0 || strcmp(text, "0") == 0)
        m->office365 = false;
    else
        return cpuu_fail(err, CPUU_E_FORMAT, "Switch Message: TargetOffice365 is neither true "
                         "nor false");
    return CPUU_OK;
}

static const struct field {
    const char *name;
    cpuu_rc (*take)(const char *text, cpuu_switch_message *m, cpuu_error *err);
} fields[] = {
    {"TargetMailboxDN", take_dn},
    {"TargetSmtpAddress", take_smtp},
    {"TargetOffice365", take_office365},
};
#define N_FIELDS (sizeof(fields) / sizeof(fields[0]))

static cpuu_rc take_field(const xmlNode *n, unsigned *seen, cpuu_switch_message *m,
                          cpuu_error *err)
{
    size_t i = 0;
    char *text = NULL;
    while (i < N_FIELDS && strcmp((const char *)n->name, fields[i].name) != 0)
        i++;
    if (i == N_FIELDS || !in_namespace(n))
        return cpuu_fail(err, CPUU_E_FORMAT, "Switch Message: unknown element %s",
                         (const char *)n->name);
    if (*seen & (1u << i))
        return cpuu_fail(err, CPUU_E_FORMAT, "Switch Message: %s is there twice", fields[i].name);
    *seen |= 1u << i;
    if (xmlFirstElementChild((xmlNode *)(uintptr_t)n))
        return cpuu_fail(err, CPUU_E_FORMAT, "Switch Message: %s holds an element",
                         fields[i].name);
    cpuu_rc rc = cpuu_xml_text(n, &text, err);
    if (rc >= 0)
        rc = text ? fields[i].take(text, m, err)
                  : cpuu_fail(err, CPUU_E_FORMAT, "Switch Message: %s is empty", fields[i].name);
    cpuu_free(text);
    return rc;
}

static cpuu_rc read_message(const xmlNode *root, cpuu_switch_message *out, cpuu_error *err)
{
    cpuu_switch_message m = {0};
    unsigned seen = 0;
    cpuu_rc rc = check_root(root, "SwitchMessage", "Switch Message", err);
    for (const xmlNode *n = root->children; n && rc >= 0; n = n->next) {
        if (n->type == XML_ELEMENT_NODE)
            rc = take_field(n, &seen, &m, err);
        else if (n->type == XML_TEXT_NODE && !xmlIsBlankNode(n))
            rc = cpuu_fail(err, CPUU_E_FORMAT, "Switch Message: text between the elements");
    }
    for (size_t i = 0; i < N_FIELDS && rc >= 0; i++) {
        if (!(seen & (1u << i)))
            rc = cpuu_fail(err, CPUU_E_FORMAT, "Switch Message: %s is missing", fields[i].name);
    }
    if (rc >= 0)
        *out = m;
    return rc;
}

cpuu_rc cpuu_switch_parse(const void *xml, size_t size, cpuu_switch_message *out, cpuu_error *err)
{
    xmlDoc *doc;
    cpuu_rc rc = cpuu_xml_parse(xml, size, MAX_XML, "the Switch Message", &doc, err);
    if (rc < 0)
        return rc;
    rc = read_message(xmlDocGetRootElement(doc), out, err);
    xmlFreeDoc(doc);
    return rc;
}

cpuu_rc cpuu_recreate_parse(const void *xml, size_t size, cpuu_error *err)
{
    xmlDoc *doc;
    cpuu_rc rc = cpuu_xml_parse(xml, size, MAX_XML, "the Recreate message", &doc, err);
    if (rc < 0)
        return rc;
    const xmlNode *root = xmlDocGetRootElement(doc);
    rc = check_root(root, "RecreateMessage", "Recreate message", err);
    for (const xmlNode *n = root->children; n && rc >= 0; n = n->next) {
        if (n->type == XML_ELEMENT_NODE || (n->type == XML_TEXT_NODE && !xmlIsBlankNode(n)))
            rc = cpuu_fail(err, CPUU_E_FORMAT, "Recreate message: it must be empty");
    }
    xmlFreeDoc(doc);
    return rc;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void add(cpuu_buf *b, const char *text)
{
    cpuu_buf_add(b, text, strlen(text));
}

static void add_escaped(cpuu_buf *b, const char *text)
{
    for (; *text; text++) {
        if (*text == '&')
            add(b, "&amp;");
        else if (*text == '<')
            add(b, "&lt;");
        else if (*text == '>')
            add(b, "&gt;");
        else
            cpuu_buf_u8(b, (uint8_t)*text);
    }
}

/* What is written must be readable: the same checks as in reading. */
static cpuu_rc check_message(const cpuu_switch_message *m, cpuu_error *err)
{
    cpuu_switch_message copy;
    if (!cpuu_utf8_valid(m->target_dn, strlen(m->target_dn)) ||
        !cpuu_utf8_valid(m->target_smtp, strlen(m->target_smtp)))
        return cpuu_fail(err, CPUU_E_FORMAT, "Switch Message: not UTF-8");
    cpuu_rc rc = take_dn(m->target_dn, &copy, err);
    return rc < 0 ? rc : take_smtp(m->target_smtp, &copy, err);
}

cpuu_rc cpuu_switch_format(const cpuu_switch_message *m, char *out, size_t out_size,
                           cpuu_error *err)
{
    cpuu_buf b;
    cpuu_rc rc = check_message(m, err);
    if (rc < 0)
        return rc;
    cpuu_buf_init(&b, MAX_XML);
    add(&b, "<SwitchMessage xmlns=\"" NAMESPACE "\" version=\"1\"><TargetMailboxDN>");
    add_escaped(&b, m->target_dn);
    add(&b, "</TargetMailboxDN><TargetSmtpAddress>");
    add_escaped(&b, m->target_smtp);
    add(&b, "</TargetSmtpAddress><TargetOffice365>");
    add(&b, m->office365 ? "true" : "false");
    add(&b, "</TargetOffice365></SwitchMessage>");
    if (b.failed)
        rc = cpuu_nomem(err);
    else if (b.size >= out_size)
        rc = cpuu_fail(err, CPUU_E_TOOBIG, "Switch Message: no room for %zu bytes", b.size);
    if (rc >= 0) {
        memcpy(out, b.data, b.size);
        out[b.size] = 0;
    }
    cpuu_buf_free(&b);
    return rc;
}
