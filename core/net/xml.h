/*
 * Reading small XML documents from hostile places with libxml2: no network, no document type, no
 * entities of their own, bounded size and depth. Private to net/.
 */
#ifndef CPUU_NET_XML_H
#define CPUU_NET_XML_H

#include "base/error.h"

#include <libxml/tree.h>
#include <stdbool.h>

/* *out is the caller's (xmlFreeDoc). CPUU_E_FORMAT says `what` and the line. */
cpuu_rc cpuu_xml_parse(const void *xml, size_t size, size_t max, const char *what, xmlDoc **out,
                       cpuu_error *err);
/* The first, and after `after` the next, child element of that local name; NULL = none. */
xmlNode *cpuu_xml_child(const xmlNode *parent, const char *name, const xmlNode *after);
/* The element's text without blanks around it, owned by the caller; *out is NULL when it is empty or
 * the element is NULL. Text of elements inside does not count. */
cpuu_rc cpuu_xml_text(const xmlNode *element, char **out, cpuu_error *err);
cpuu_rc cpuu_xml_child_text(const xmlNode *parent, const char *name, char **out, cpuu_error *err);
/* Attribute without namespace: the same for its value. */
cpuu_rc cpuu_xml_attribute(const xmlNode *element, const char *name, char **out, cpuu_error *err);

#endif
