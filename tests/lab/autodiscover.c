/* POX Autodiscover ([MS-OXDSCLI]): settings in the old and the new Protocol shape, redirects,
 * errors. */
#include "tests/lab/http.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_OUTER "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
#define NS_INNER "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"

static void put(cpuu_buf *b, const char *text)
{
    cpuu_buf_add(b, text, strlen(text));
}

static void put_escaped(cpuu_buf *b, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&':
            put(b, "&amp;");
            break;
        case '<':
            put(b, "&lt;");
            break;
        case '>':
            put(b, "&gt;");
            break;
        default:
            cpuu_buf_u8(b, (uint8_t)*text);
        }
    }
}

static void element(cpuu_buf *b, const char *name, const char *text)
{
    put(b, "<");
    put(b, name);
    put(b, ">");
    put_escaped(b, text);
    put(b, "</");
    put(b, name);
    put(b, ">");
}

static void format_element(cpuu_buf *b, const char *name, const char *a, const char *c,
                           const char *d)
{
    char text[1024];
    snprintf(text, sizeof(text), "%s%s%s", a, c, d);
    element(b, name, text);
}

/* ---- the request: one element is wanted; a real parser is the client's, not the lab's -------- */

static bool take_element(const char *xml, const char *name, char *out, size_t size)
{
    const char *p = strstr(xml, name);
    while (p && (p == xml || (p[-1] != '<' && p[-1] != ':')))
        p = strstr(p + 1, name);
    p = p ? strchr(p, '>') : NULL;
    const char *end = p ? strchr(p, '<') : NULL;
    if (!end)
        return false;
    p++;
    while (p < end && strchr(" \t\r\n", *p))
        p++;
    while (end > p && strchr(" \t\r\n", end[-1]))
        end--;
    size_t n = 0;
    while (p < end && n + 1 < size) {
        bool amp = strncmp(p, "&amp;", 5) == 0;
        out[n++] = *p;
        p += amp ? 5 : 1;
    }
    out[n] = 0;
    return true;
}

/* ---- answers --------------------------------------------------------------------------------- */

static void begin(lab_response *r)
{
    r->status = 200;
    lab_response_header(r, "Content-Type", "text/xml");
    put(&r->body,
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><Autodiscover xmlns=\"" NS_OUTER "\">");
}

static void put_error(lab_response *r, int code, const char *message)
{
    char text[16];
    snprintf(text, sizeof(text), "%d", code);
    begin(r);
    put(&r->body, "<Response><Error Time=\"12:00:00.0000000\" Id=\"2477272013\">");
    element(&r->body, "ErrorCode", text);
    element(&r->body, "Message", message);
    put(&r->body, "<DebugData /></Error></Response></Autodiscover>");
}

static void put_redirect(lab_response *r, const char *action, const char *name, const char *value)
{
    begin(r);
    put(&r->body, "<Response xmlns=\"" NS_INNER "\"><Account>");
    element(&r->body, "Action", action);
    element(&r->body, name, value);
    put(&r->body, "</Account></Response></Autodiscover>");
}

static void put_server(cpuu_buf *b, const lab_user *u, const char *url)
{
    char guid[39], server[400], dn[700];
    cpuu_guid_text(guid, u->store ? u->store->mailbox_guid : u->guid);
    snprintf(server, sizeof(server), "%.36s@%s", guid + 1, u->org->domain);
    snprintf(dn, sizeof(dn),
             "/o=%s/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Configuration/"
             "cn=Servers/cn=%s",
             u->org->o, server);
    put(b, "<Protocol><Type>EXCH</Type>");
    element(b, "Server", server);
    element(b, "ServerDN", dn);
    element(b, "ServerVersion", "73C0834F");
    format_element(b, "MdbDN", dn, "/cn=Microsoft Private MDB", "");
    format_element(b, "ASUrl", url, "/EWS/Exchange.asmx", "");
    format_element(b, "EwsUrl", url, "/EWS/Exchange.asmx", "");
    format_element(b, "OABUrl", url, "/OAB/", "");
    element(b, "AuthPackage", "Anonymous");
    put(b, "</Protocol><Protocol><Type>EXPR</Type>");
    element(b, "Server", u->org->host ? u->org->host : "localhost");
    format_element(b, "EwsUrl", url, "/EWS/Exchange.asmx", "");
    put(b, "<SSL>On</SSL><AuthPackage>Basic</AuthPackage></Protocol>");
}

static void put_mapihttp(cpuu_buf *b, const lab_user *u, const char *url)
{
    char guid[39], id[400];
    cpuu_guid_text(guid, u->store ? u->store->mailbox_guid : u->guid);
    snprintf(id, sizeof(id), "?MailboxId=%.36s@%s", guid + 1, u->org->domain);
    put(b, "<Protocol Type=\"mapiHttp\" Version=\"1\"><MailStore>");
    format_element(b, "InternalUrl", url, "/mapi/emsmdb/", id);
    format_element(b, "ExternalUrl", url, "/mapi/emsmdb/", id);
    put(b, "</MailStore><AddressBook>");
    format_element(b, "InternalUrl", url, "/mapi/nspi/", id);
    format_element(b, "ExternalUrl", url, "/mapi/nspi/", id);
    put(b, "</AddressBook></Protocol>");
}

static void put_alternatives(cpuu_buf *b, const lab_user *u)
{
    for (size_t i = 0; i < u->n_alternatives; i++) {
        const lab_user *other = lab_find_user(u->org, u->alternatives[i]);
        if (!other)
            continue;
        put(b, "<AlternativeMailbox><Type>Delegate</Type>");
        element(b, "DisplayName", other->display);
        element(b, "LegacyDN", other->dn);
        element(b, "SmtpAddress", other->smtp);
        put(b, "</AlternativeMailbox>");
    }
}

void lab_org_url(const lab_org *o, char *out, size_t size)
{
    if (o->host)
        snprintf(out, size, "%s://%s", o->lab->http ? "http" : "https", o->host);
    else
        snprintf(out, size, "%s://localhost:%u", o->lab->http ? "http" : "https", o->port);
}

/* The same with prefixes, another order, a DN in capitals, no Action, and external addresses that
 * nobody can reach from here. */
static void put_odd_settings(lab_response *r, const lab_user *u)
{
    char url[300], guid[39], id[400], upper[1024];
    cpuu_buf *b = &r->body;
    size_t n = 0;
    lab_org_url(u->org, url, sizeof(url));
    cpuu_guid_text(guid, u->store->mailbox_guid);
    snprintf(id, sizeof(id), "?mailboxid=%.36s@%s</a:InternalUrl>", guid + 1, u->org->domain);
    for (; u->dn[n] && n + 1 < sizeof(upper); n++)
        upper[n] = (char)(u->dn[n] >= 'a' && u->dn[n] <= 'z' ? u->dn[n] - 32 : u->dn[n]);
    upper[n] = 0;
    r->status = 200;
    lab_response_header(r, "Content-Type", "application/xml");
    put(b, "\xef\xbb\xbf<?xml version=\"1.0\"?><o:Autodiscover xmlns:o=\"" NS_OUTER "\" xmlns:a=\"" NS_INNER
           "\"><!-- x --><a:Response a:new=\"1\"><a:Account><a:Protocol Type=\"MapiHttp\">"
           "<a:AddressBook><a:ExternalUrl>https://localhost:1/mapi/nspi/</a:ExternalUrl>"
           "<a:InternalUrl>");
    put(b, url);
    put(b, "/mapi/nspi/");
    put(b, id);
    put(b, "</a:AddressBook><a:MailStore><a:ExternalUrl>https://localhost:1/mapi/emsmdb/"
           "</a:ExternalUrl><a:InternalUrl>\n   ");
    put(b, url);
    put(b, "/mapi/emsmdb/");
    put(b, id);
    put(b, "</a:MailStore></a:Protocol></a:Account><a:User><a:LegacyDN>");
    put(b, upper);
    put(b, "</a:LegacyDN></a:User></a:Response></o:Autodiscover>\r\n\r\n");
}

static void put_settings(lab_response *r, const lab_user *u, bool capable)
{
    char url[300], guid[39];
    cpuu_buf *b = &r->body;
    lab_org_url(u->org, url, sizeof(url));
    cpuu_guid_text(guid, u->guid);
    guid[37] = 0;
    begin(r);
    put(b, "<Response xmlns=\"" NS_INNER "\"><User>");
    element(b, "DisplayName", u->display);
    element(b, "LegacyDN", u->dn);
    element(b, "AutoDiscoverSMTPAddress", u->smtp);
    element(b, "DeploymentId", guid + 1);
    put(b, "</User><Account><AccountType>email</AccountType><Action>settings</Action>"
           "<MicrosoftOnline>False</MicrosoftOnline><ConsumerMailbox>False</ConsumerMailbox>");
    bool mapi = capable && u->org->mapihttp;
    if (!mapi || u->org->legacy_too || u->org->independent)
        put_server(b, u, url);
    if (mapi)
        put_mapihttp(b, u, url);
    put(b, "<Protocol><Type>WEB</Type><Internal>");
    format_element(b, "OWAUrl", url, "/owa/", "");
    put(b, "</Internal></Protocol>");
    put_alternatives(b, u);
    if (u->org->public_store) {
        put(b, "<PublicFolderInformation>");
        format_element(b, "SmtpAddress", "public.folder.root@", u->org->domain, "");
        put(b, "</PublicFolderInformation>");
    }
    put(b, "</Account></Response></Autodiscover>");
}

/* A user's configured answer; true when it was given. */
static bool special(lab_response *r, const lab_user *u)
{
    char what[32] = "", value[400] = "";
    if (!u->autodiscover || sscanf(u->autodiscover, "%31s %399[^\n]", what, value) < 1)
        return false;
    if (strcmp(what, "redirect-addr") == 0)
        put_redirect(r, "redirectAddr", "RedirectAddr", value);
    else if (strcmp(what, "redirect-url") == 0)
        put_redirect(r, "redirectUrl", "RedirectUrl", value);
    else if (strcmp(what, "error") == 0)
        put_error(r, atoi(value), "as configured");
    else if (strcmp(what, "http") == 0)
        r->status = atoi(value);
    else if (strcmp(what, "location") == 0) {
        r->status = 302;
        lab_response_header(r, "Location", "%s", value);
    } else if (strcmp(what, "garbage") == 0) {
        r->status = 200;
        lab_response_header(r, "Content-Type", "text/html");
        put(&r->body, "<html><body>Sign in to continue");
    } else {
        return false;
    }
    return true;
}

void lab_autodiscover(const lab_request *q, lab_response *r)
{
    char *xml = lab_calloc(1, q->size + 1);
    char address[400], schema[400];
    memcpy(xml, q->body, q->size);
    q->org->stats.autodiscovers++;
    bool by_address = take_element(xml, "EMailAddress", address, sizeof(address));
    bool by_dn = !by_address && take_element(xml, "LegacyDN", address, sizeof(address));
    bool has_schema = take_element(xml, "AcceptableResponseSchema", schema, sizeof(schema));
    cpuu_free(xml);
    if ((!by_address && !by_dn) || !has_schema) {
        put_error(r, 600, "Invalid Request");
        return;
    }
    if (strcmp(schema, NS_INNER) != 0) {
        put_error(r, 601, "Provider is not available");
        return;
    }
    lab_user *u = by_dn ? lab_user_by_dn(q->org, address) : lab_user_by_proxy(q->org, address);
    if (!u) {
        put_error(r, q->org->independent ? 404 : 500, "The email address can't be found.");
        return;
    }
    if (special(r, u))
        return;
    if (!u->store) {
        put_error(r, 501, "No settings for this address.");
        return;
    }
    if (q->org->odd) {
        put_odd_settings(r, u);
        return;
    }
    const char *capability = q->header(q->from, "X-MapiHttpCapability");
    put_settings(r, u, capability && atoi(capability) >= 1);
}
