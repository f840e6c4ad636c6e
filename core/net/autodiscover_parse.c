/*
 * What one POX Autodiscover response says ([MS-OXDSCLI] 2.2.4). Pure.
 *
 * A Protocol element comes in two shapes: with a child <Type> (EXCH, EXPR, WEB, EXHTTP), and as
 * <Protocol Type="mapiHttp"> with MailStore and AddressBook; the type is taken from either place, in
 * any case. The namespaces are http:// in life and
 * https:// in many published examples; both are taken.
 */
#include "net/autodiscover.h"

#include "base/mem.h"
#include "base/text.h"
#include "net/xml.h"

#include <stdlib.h>
#include <string.h>

#define MAX_XML ((size_t)1 << 20)

static void free_alternative(struct cpuu_alternative_mailbox *a)
{
    cpuu_free(a->type);
    cpuu_free(a->smtp);
    cpuu_free(a->legacy_dn);
    cpuu_free(a->display_name);
}

void cpuu_autodiscover_result_free(cpuu_autodiscover_result *r)
{
    cpuu_free(r->smtp);
    cpuu_free(r->display_name);
    cpuu_free(r->legacy_dn);
    cpuu_free(r->emsmdb_url);
    cpuu_free(r->nspi_url);
    cpuu_free(r->emsmdb_url2);
    cpuu_free(r->nspi_url2);
    cpuu_free(r->server);
    cpuu_free(r->ews_url);
    cpuu_free(r->url);
    for (size_t i = 0; i < r->n_alternatives; i++)
        free_alternative(&r->alternatives[i]);
    cpuu_free(r->alternatives);
    memset(r, 0, sizeof(*r));
}

void cpuu_autodiscover_answer_free(cpuu_autodiscover_answer *a)
{
    cpuu_free(a->redirect);
    cpuu_free(a->error_text);
    cpuu_autodiscover_result_free(&a->result);
    memset(a, 0, sizeof(*a));
}

/* The namespace ends in one of these, after "http" or "https". */
static bool in_namespace(const xmlNode *n, const char *path)
{
    const char *href = n->ns ? (const char *)n->ns->href : "";
    if (strncmp(href, "https://", 8) == 0)
        href += 8;
    else if (strncmp(href, "http://", 7) == 0)
        href += 7;
    else
        return false;
    return strcmp(href, path) == 0;
}

#define OUTER "schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
#define INNER "schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"

/* <Response> of the outer schema carries an error, of the inner one an answer. */
static xmlNode *find_response(const xmlDoc *doc)
{
    const xmlNode *root = xmlDocGetRootElement((xmlDoc *)(uintptr_t)doc);
    if (strcmp((const char *)root->name, "Autodiscover") != 0 ||
        !(in_namespace(root, OUTER) || in_namespace(root, INNER)))
        return NULL;
    xmlNode *response = cpuu_xml_child(root, "Response", NULL);
    if (response && (in_namespace(response, OUTER) || in_namespace(response, INNER)))
        return response;
    return NULL;
}

/* ---- protocols ------------------------------------------------------------------------------- */

/* ExternalUrl, else InternalUrl: the tool runs wherever the user's computer is. Where both are given
 * and differ, the second one is for who cannot reach the first. */
static cpuu_rc take_urls(const xmlNode *protocol, const char *name, char **url, char **second,
                         cpuu_error *err)
{
    const xmlNode *n = cpuu_xml_child(protocol, name, NULL);
    char *internal = NULL;
    if (!n || *url)
        return CPUU_OK;
    cpuu_rc rc = cpuu_xml_child_text(n, "ExternalUrl", url, err);
    if (rc >= 0)
        rc = cpuu_xml_child_text(n, "InternalUrl", &internal, err);
    if (!*url)
        *url = internal;
    else if (internal && strcmp(internal, *url) != 0)
        *second = internal;
    else
        cpuu_free(internal);
    return rc;
}

/* EwsUrl, else ASUrl, of the protocol with the best rank so far. */
static cpuu_rc take_ews(const xmlNode *protocol, int rank, int *best, char **url, cpuu_error *err)
{
    char *text = NULL;
    if (rank <= *best)
        return CPUU_OK;
    cpuu_rc rc = cpuu_xml_child_text(protocol, "EwsUrl", &text, err);
    if (rc >= 0 && !text)
        rc = cpuu_xml_child_text(protocol, "ASUrl", &text, err);
    if (rc < 0 || !text)
        return rc;
    cpuu_free(*url);
    *url = text;
    *best = rank;
    return CPUU_OK;
}

static cpuu_rc take_old_shape(const xmlNode *protocol, const char *type, int *best_ews,
                              cpuu_autodiscover_result *r, cpuu_error *err)
{
    static const char *const types[] = {"EXCH", "EXHTTP", "EXPR"}; /* inside to outside */
    int rank = 0;
    for (int i = 0; i < 3; i++) {
        if (cpuu_caseeq(type, types[i]))
            rank = i + 1;
    }
    cpuu_rc rc = take_ews(protocol, rank, best_ews, &r->ews_url, err);
    if (rc >= 0 && rank == 1 && !r->server)
        rc = cpuu_xml_child_text(protocol, "Server", &r->server, err);
    return rc;
}

static cpuu_rc take_protocols(const xmlNode *account, cpuu_autodiscover_result *r,
                              cpuu_error *err)
{
    int best_ews = 0;
    cpuu_rc rc = CPUU_OK;
    const xmlNode *p = NULL;
    while (rc >= 0 && (p = cpuu_xml_child(account, "Protocol", p))) {
        char *type = NULL;
        rc = cpuu_xml_attribute(p, "Type", &type, err);
        if (rc >= 0 && !type)
            rc = cpuu_xml_child_text(p, "Type", &type, err);
        if (rc >= 0 && type && cpuu_caseeq(type, "mapiHttp")) {
            rc = take_urls(p, "MailStore", &r->emsmdb_url, &r->emsmdb_url2, err);
            if (rc >= 0)
                rc = take_urls(p, "AddressBook", &r->nspi_url, &r->nspi_url2, err);
        } else if (rc >= 0 && type) {
            rc = take_old_shape(p, type, &best_ews, r, err);
        }
        cpuu_free(type);
    }
    return rc;
}

/* ---- the rest -------------------------------------------------------------------------------- */

static cpuu_rc take_alternative(const xmlNode *n, struct cpuu_alternative_mailbox *a,
                                cpuu_error *err)
{
    cpuu_rc rc = cpuu_xml_child_text(n, "Type", &a->type, err);
    if (rc >= 0)
        rc = cpuu_xml_child_text(n, "SmtpAddress", &a->smtp, err);
    if (rc >= 0)
        rc = cpuu_xml_child_text(n, "LegacyDN", &a->legacy_dn, err);
    if (rc >= 0)
        rc = cpuu_xml_child_text(n, "DisplayName", &a->display_name, err);
    return rc;
}

static cpuu_rc take_alternatives(const xmlNode *account, cpuu_autodiscover_result *r,
                                 cpuu_error *err)
{
    size_t cap = 0;
    cpuu_rc rc = CPUU_OK;
    const xmlNode *n = NULL;
    while (rc >= 0 && (n = cpuu_xml_child(account, "AlternativeMailbox", n))) {
        if (!cpuu_grow(&r->alternatives, &cap, r->n_alternatives, sizeof(*r->alternatives)))
            return cpuu_nomem(err);
        struct cpuu_alternative_mailbox *a = &r->alternatives[r->n_alternatives++];
        memset(a, 0, sizeof(*a));
        rc = take_alternative(n, a, err);
    }
    return rc;
}

static cpuu_rc take_settings(const xmlNode *response, const xmlNode *account,
                             cpuu_autodiscover_result *r, cpuu_error *err)
{
    const xmlNode *user = cpuu_xml_child(response, "User", NULL);
    char *online = NULL;
    cpuu_rc rc = cpuu_xml_child_text(user, "LegacyDN", &r->legacy_dn, err);
    if (rc >= 0 && (!r->legacy_dn || cpuu_ncasecmp(r->legacy_dn, "/o=", 3) != 0))
        rc = cpuu_fail(err, CPUU_E_FORMAT, "the Autodiscover response has no LegacyDN");
    if (rc >= 0)
        rc = cpuu_xml_child_text(user, "AutoDiscoverSMTPAddress", &r->smtp, err);
    if (rc >= 0)
        rc = cpuu_xml_child_text(user, "DisplayName", &r->display_name, err);
    if (rc >= 0)
        rc = cpuu_xml_child_text(account, "MicrosoftOnline", &online, err);
    if (rc >= 0) {
        r->microsoft_online = online && cpuu_caseeq(online, "true");
        cpuu_free(online);
        rc = take_protocols(account, r, err);
    }
    return rc < 0 ? rc : take_alternatives(account, r, err);
}

static cpuu_rc take_error(const xmlNode *error, cpuu_autodiscover_answer *a, cpuu_error *err)
{
    char *code = NULL;
    cpuu_rc rc = cpuu_xml_child_text(error, "ErrorCode", &code, err);
    if (rc < 0)
        return rc;
    a->kind = CPUU_AD_ERROR;
    a->error_code = code ? (uint32_t)strtoul(code, NULL, 10) : 0;
    cpuu_free(code);
    return cpuu_xml_child_text(error, "Message", &a->error_text, err);
}

/* RedirectUrl in the schema is RedirectURL in one of its published descriptions. */
static const char *const redirect_names[] = {"RedirectAddr", "RedirectUrl", "RedirectURL"};
#define N_REDIRECTS (sizeof(redirect_names) / sizeof(redirect_names[0]))

static cpuu_rc take_redirect(const xmlNode *account, const char *action,
                             cpuu_autodiscover_kind kind, cpuu_autodiscover_answer *a,
                             cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; i < N_REDIRECTS && rc >= 0 && !a->redirect; i++) {
        if (cpuu_caseeq(redirect_names[i], action))
            rc = cpuu_xml_child_text(account, redirect_names[i], &a->redirect, err);
    }
    a->kind = kind;
    if (rc >= 0 && !a->redirect)
        rc = cpuu_fail(err, CPUU_E_FORMAT, "the Autodiscover response has no %s", action);
    return rc;
}

/* Action; where it is missing, what the rest of the account can only mean. NULL: neither. */
static cpuu_rc take_action(const xmlNode *account, char **action, cpuu_error *err)
{
    cpuu_rc rc = cpuu_xml_child_text(account, "Action", action, err);
    if (rc < 0 || *action)
        return rc;
    const char *meant = cpuu_xml_child(account, "Protocol", NULL) ? "settings" : NULL;
    for (size_t i = 0; i < N_REDIRECTS && !meant; i++) {
        if (cpuu_xml_child(account, redirect_names[i], NULL))
            meant = redirect_names[i];
    }
    *action = cpuu_strdup(meant);
    return meant && !*action ? cpuu_nomem(err) : CPUU_OK;
}

static cpuu_rc take_response(const xmlNode *response, cpuu_autodiscover_answer *a,
                             cpuu_error *err)
{
    const xmlNode *error = cpuu_xml_child(response, "Error", NULL);
    const xmlNode *account = cpuu_xml_child(response, "Account", NULL);
    char *action = NULL;
    if (!error)
        error = cpuu_xml_child(account, "Error", NULL);
    if (error)
        return take_error(error, a, err);
    cpuu_rc rc = take_action(account, &action, err);
    if (rc < 0)
        return rc;
    if (action && cpuu_caseeq(action, "redirectAddr"))
        rc = take_redirect(account, "RedirectAddr", CPUU_AD_REDIRECT_ADDR, a, err);
    else if (action && cpuu_caseeq(action, "redirectUrl"))
        rc = take_redirect(account, "RedirectUrl", CPUU_AD_REDIRECT_URL, a, err);
    else if (action && cpuu_caseeq(action, "settings"))
        rc = take_settings(response, account, &a->result, err);
    else
        rc = cpuu_fail(err, CPUU_E_FORMAT, "the Autodiscover response has %s%s",
                       action ? "the unknown Action " : "no Action", action ? action : "");
    cpuu_free(action);
    return rc;
}

cpuu_rc cpuu_autodiscover_parse(const void *xml, size_t size, cpuu_autodiscover_answer *out,
                                cpuu_error *err)
{
    xmlDoc *doc;
    cpuu_autodiscover_answer a = {.kind = CPUU_AD_SETTINGS};
    cpuu_rc rc = cpuu_xml_parse(xml, size, MAX_XML, "the Autodiscover response", &doc, err);
    if (rc < 0)
        return rc;
    const xmlNode *response = find_response(doc);
    if (response)
        rc = take_response(response, &a, err);
    else
        rc = cpuu_fail(err, CPUU_E_FORMAT, "the answer is not an Autodiscover response");
    xmlFreeDoc(doc);
    if (rc < 0)
        cpuu_autodiscover_answer_free(&a);
    else
        *out = a;
    return rc;
}
