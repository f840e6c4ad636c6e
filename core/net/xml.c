/* Careful XML reading; see xml.h. */
#include "net/xml.h"

#include "base/mem.h"

#include <cpuu/formats/bytes.h>
#include <libxml/parser.h>
#include <limits.h>
#include <string.h>

/* Called for "<!DOCTYPE": nothing we read has one, and entities begin there. */
static void refuse_doctype(void *ctx, const xmlChar *name, const xmlChar *external,
                           const xmlChar *system)
{
    (void)name, (void)external, (void)system;
    xmlStopParser(ctx);
}

static cpuu_rc describe(const xmlParserCtxt *ctxt, const char *what, cpuu_error *err)
{
    const xmlError *e = &ctxt->lastError;
    if (e->code == XML_ERR_NO_MEMORY)
        return cpuu_nomem(err);
    if (e->message)
        return cpuu_fail(err, CPUU_E_FORMAT, "%s is not well-formed XML: line %d: %s", what,
                         e->line, e->message);
    return cpuu_fail(err, CPUU_E_FORMAT, "%s has a document type, which is not allowed", what);
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

cpuu_rc cpuu_xml_parse(const void *xml, size_t size, size_t max, const char *what, xmlDoc **out,
                       cpuu_error *err)
{
    if (size > max || size > INT_MAX)
        return cpuu_fail(err, CPUU_E_FORMAT, "%s is larger than %zu bytes", what, max);
    const uint8_t *p = xml;
    while (size && is_blank(*p)) /* an empty line before the XML declaration is no XML */
        p++, size--;
    if (size == 0)
        return cpuu_fail(err, CPUU_E_FORMAT, "%s is empty", what);
    xmlParserCtxt *ctxt = xmlNewParserCtxt();
    if (!ctxt)
        return cpuu_nomem(err);
    ctxt->sax->internalSubset = refuse_doctype;
    /* Without XML_PARSE_HUGE libxml2 bounds depth and node size; without NOENT, DTDLOAD and
     * XINCLUDE it reads nothing else. */
    xmlDoc *doc = xmlCtxtReadMemory(ctxt, (const char *)p, (int)size, NULL, NULL,
                                    XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
                                        XML_PARSE_NOCDATA);
    cpuu_rc rc = CPUU_OK;
    if (doc && ctxt->wellFormed && !doc->intSubset && xmlDocGetRootElement(doc)) {
        *out = doc;
    } else {
        rc = describe(ctxt, what, err);
        xmlFreeDoc(doc);
    }
    xmlFreeParserCtxt(ctxt);
    return rc;
}

xmlNode *cpuu_xml_child(const xmlNode *parent, const char *name, const xmlNode *after)
{
    xmlNode *n = after ? after->next : parent ? parent->children : NULL;
    while (n && (n->type != XML_ELEMENT_NODE || strcmp((const char *)n->name, name) != 0))
        n = n->next;
    return n;
}

static cpuu_rc trimmed(const cpuu_buf *b, char **out, cpuu_error *err)
{
    size_t from = 0, to = b->size;
    while (from < to && is_blank(b->data[from]))
        from++;
    while (to > from && is_blank(b->data[to - 1]))
        to--;
    *out = NULL;
    if (from == to)
        return CPUU_OK;
    *out = cpuu_strndup((const char *)b->data + from, to - from);
    return *out ? CPUU_OK : cpuu_nomem(err);
}

static cpuu_rc text_of(const xmlNode *first, char **out, cpuu_error *err)
{
    cpuu_buf b;
    cpuu_buf_init(&b, (size_t)1 << 20);
    for (const xmlNode *n = first; n; n = n->next) {
        if ((n->type == XML_TEXT_NODE || n->type == XML_CDATA_SECTION_NODE) && n->content)
            cpuu_buf_add(&b, n->content, strlen((const char *)n->content));
    }
    cpuu_rc rc = b.failed ? cpuu_nomem(err) : trimmed(&b, out, err);
    cpuu_buf_free(&b);
    return rc;
}

cpuu_rc cpuu_xml_text(const xmlNode *element, char **out, cpuu_error *err)
{
    return text_of(element ? element->children : NULL, out, err);
}

cpuu_rc cpuu_xml_child_text(const xmlNode *parent, const char *name, char **out, cpuu_error *err)
{
    return cpuu_xml_text(cpuu_xml_child(parent, name, NULL), out, err);
}

cpuu_rc cpuu_xml_attribute(const xmlNode *element, const char *name, char **out, cpuu_error *err)
{
    const xmlAttr *a = element->properties;
    while (a && (a->ns || strcmp((const char *)a->name, name) != 0))
        a = a->next;
    return text_of(a ? a->children : NULL, out, err);
}
