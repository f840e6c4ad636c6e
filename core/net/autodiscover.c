/*
 * Finding a mailbox's endpoints; see autodiscover.h.
 *
 * Order without a configured URL, as documented for applications ("Autodiscover for Exchange"):
 * https://<domain>/..., https://autodiscover.<domain>/..., the unauthenticated redirect of
 * http://autodiscover.<domain>/..., and the DNS SRV record. Active Directory's service connection
 * points, which come first there, are not asked: they need LDAP, and the tool's own recipe switches
 * them off for Outlook too.
 *
 * Credentials and redirects: only to hosts that the administrator named (R8), always https. The
 * endpoints in the answer of such a host are trusted as that host is.
 */
#include "net/autodiscover.h"

#include "base/mem.h"
#include "base/text.h"
#include "net/patience.h"
#include "net/srv.h"

#include <stdio.h>
#include <string.h>

#define MAX_HOPS 10
#define PATH     "/autodiscover/autodiscover.xml"

typedef struct lookup {
    cpuu_http *http;
    const cpuu_autodiscover_query *query;
    cpuu_log *log;
    char *smtp;            /* the address asked for now */
    char *seen[MAX_HOPS];  /* addresses and URLs that redirects led to */
    unsigned hops;
    char *last_url;        /* for the closing line of the log */
    bool unauthorized;     /* a 401 came */
    cpuu_error refused;    /* the first CPUU_E_AUTH: it says more than what comes after it */
    char *busy_url;        /* the first that asked to come back later */
    uint32_t retry_after_s;
    unsigned pauses;
    cpuu_autodiscover_answer answer;
    cpuu_error *err;       /* of the latest attempt; never NULL */
} lookup;

/* ---- where to --------------------------------------------------------------------------------- */

/* The domain itself or a host below it: whole labels only. */
static bool host_in_domain(const char *host, const char *domain)
{
    size_t h = strlen(host), d = strlen(domain);
    if (d == 0 || d > h || cpuu_casecmp(host + h - d, domain) != 0)
        return false;
    return h == d || host[h - d - 1] == '.';
}

static bool host_allowed(const cpuu_autodiscover_query *q, const char *host)
{
    cpuu_url configured;
    if (q->url && cpuu_url_split(q->url, &configured) && cpuu_caseeq(configured.host, host))
        return true;
    for (size_t i = 0; q->allowed_domains && q->allowed_domains[i]; i++) {
        if (host_in_domain(host, q->allowed_domains[i]))
            return true;
    }
    return false;
}

static cpuu_rc check_host(const lookup *l, const char *url)
{
    cpuu_url p;
    if (!cpuu_url_split(url, &p))
        return cpuu_fail(l->err, CPUU_E_FORMAT, "'%s' is not a URL", url);
    if (!host_allowed(l->query, p.host))
        return cpuu_fail(l->err, CPUU_E_AUTH,
                         "credentials for '%s' are not sent to the host %s: it is not among the "
                         "domains that are configured for the %s; add its domain to %s if it is "
                         "right",
                         l->smtp, p.host, l->query->side,
                         strcmp(l->query->side, "target") == 0 ? "TargetDomains"
                                                               : "ProcessedDomainsFQDNs");
    return CPUU_OK;
}

/* https, or in the lab http. */
static bool is_secure(const lookup *l, const cpuu_url *url)
{
    return url->https || cpuu_http_allows_insecure(l->http);
}

/* Counts a redirect; CPUU_E_FORMAT when it leads in a circle or too far. */
static cpuu_rc hop(lookup *l, const char *to)
{
    for (unsigned i = 0; i < l->hops; i++) {
        if (cpuu_casecmp(l->seen[i], to) == 0)
            return cpuu_fail(l->err, CPUU_E_FORMAT, "Autodiscover redirects in a circle to '%s'",
                             to);
    }
    if (l->hops == MAX_HOPS)
        return cpuu_fail(l->err, CPUU_E_FORMAT, "Autodiscover redirects more than %d times",
                         MAX_HOPS);
    l->seen[l->hops] = cpuu_strdup(to);
    if (!l->seen[l->hops])
        return cpuu_nomem(l->err);
    l->hops++;
    return CPUU_OK;
}

/* ---- one request ----------------------------------------------------------------------------- */

static char *build_request(const char *smtp)
{
    char *escaped = cpuu_calloc(strlen(smtp) + 1, 5), *p = escaped;
    if (!escaped)
        return NULL;
    for (; *smtp; smtp++) {
        if (*smtp == '&')
            p = stpcpy(p, "&amp;");
        else if (*smtp == '<')
            p = stpcpy(p, "&lt;");
        else
            *p++ = *smtp;
    }
    *p = 0;
    char *body = cpuu_asprintf(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><Autodiscover xmlns=\"http://schemas.microsoft"
        ".com/exchange/autodiscover/outlook/requestschema/2006\"><Request><EMailAddress>%s"
        "</EMailAddress><AcceptableResponseSchema>http://schemas.microsoft.com/exchange/"
        "autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema></Request>"
        "</Autodiscover>",
        escaped);
    cpuu_free(escaped);
    return body;
}

/* The guide's line for an attempt that failed (guide lines 870-882). */
static void trace(const lookup *l, const char *url, const char *why)
{
    cpuu_logf(l->log, CPUU_LV_TRACEW,
              "Failed to get Autodiscover response for email '%s'. Autodiscover URL: '%s'. %s",
              l->smtp, url, why);
}

/* Who was refused: whoever reads it must know which credentials to correct. */
static const char *caller(const lookup *l)
{
    const cpuu_credentials *c = l->query->credentials;
    return c && c->user ? c->user : "the logged-in user (no User is set for this side)";
}

static bool is_busy(const cpuu_http_request *req)
{
    return req->rc >= 0 && (req->status == 429 || req->status == 503);
}

static cpuu_rc fail_request(lookup *l, const char *url, const cpuu_http_request *req)
{
    char words[512];
    cpuu_rc rc = req->rc < 0            ? req->rc
                 : req->status == 401 ? CPUU_E_AUTH
                 : is_busy(req)       ? CPUU_E_BUSY
                                      : CPUU_E_NETWORK;
    cpuu_http_describe(req, words, sizeof(words));
    trace(l, url, words);
    l->unauthorized |= req->rc >= 0 && req->status == 401;
    if (req->rc < 0)
        *l->err = req->error;
    else
        cpuu_fail(l->err, rc, "Autodiscover for '%s' at %s%s%s: %s", l->smtp, url,
                  rc == CPUU_E_AUTH ? " as " : "", rc == CPUU_E_AUTH ? caller(l) : "", words);
    l->err->detail = req->status;
    return rc;
}

static cpuu_rc read_answer(lookup *l, const char *url, const cpuu_http_request *req)
{
    cpuu_rc rc = cpuu_autodiscover_parse(req->response.data, req->response.size, &l->answer,
                                         l->err);
    if (rc < 0)
        trace(l, url, l->err->text);
    return rc;
}

static bool is_redirect(uint32_t status)
{
    return status == 301 || status == 302 || status == 307 || status == 308;
}

/* A redirect of HTTP is followed to https and to ...autodiscover.xml only. */
static cpuu_rc take_location(lookup *l, const char *url, const cpuu_http_request *req)
{
    char to[2048];
    cpuu_url p;
    l->answer.kind = CPUU_AD_REDIRECT_URL;
    if (!cpuu_http_get_header(req, "Location", 0, to, sizeof(to)) || !cpuu_url_split(to, &p) ||
        !is_secure(l, &p) || !cpuu_ends_with_nocase(p.path, "/autodiscover.xml")) {
        trace(l, url, "It redirects to what is not an https Autodiscover URL.");
        return cpuu_fail(l->err, CPUU_E_NETWORK,
                         "%s redirects to what is not an https Autodiscover URL", url);
    }
    l->answer.redirect = cpuu_strdup(to);
    return l->answer.redirect ? CPUU_OK : cpuu_nomem(l->err);
}

static cpuu_rc note_busy(lookup *l, const char *url, const cpuu_http_request *req, cpuu_rc rc)
{
    if (!is_busy(req) || l->busy_url)
        return rc;
    l->retry_after_s = cpuu_http_retry_after(req);
    l->busy_url = cpuu_strdup(url);
    return l->busy_url ? rc : cpuu_nomem(l->err);
}

static cpuu_rc post(lookup *l, const char *url)
{
    const cpuu_http_header headers[] = {{"Content-Type", "text/xml; charset=utf-8"},
                                        {"X-MapiHttpCapability", "2"},
                                        {"X-AnchorMailbox", l->smtp}};
    char *body = build_request(l->smtp);
    if (!body)
        return cpuu_nomem(l->err);
    cpuu_http_request req = {.method = "POST",
                             .url = url,
                             .headers = headers,
                             .n_headers = sizeof(headers) / sizeof(headers[0]),
                             .body = body,
                             .body_size = strlen(body),
                             .credentials = l->query->credentials};
    cpuu_rc rc = cpuu_http_perform(l->http, &req, l->err);
    if (rc < 0 && req.rc >= 0)
        trace(l, url, l->err->text);
    else if (rc < 0 || (req.status != 200 && !is_redirect(req.status)))
        rc = note_busy(l, url, &req, fail_request(l, url, &req));
    else if (req.status == 200)
        rc = read_answer(l, url, &req);
    else
        rc = take_location(l, url, &req);
    cpuu_http_request_clear(&req);
    cpuu_free(body);
    return rc;
}

/* The unauthenticated question where to ask: a 302 in plain http, followed to an allowed host. */
static cpuu_rc get_redirect(lookup *l, const char *url)
{
    cpuu_http_request req = {.method = "GET", .url = url};
    cpuu_rc rc = cpuu_http_perform(l->http, &req, l->err);
    if (rc < 0 && req.rc >= 0)
        trace(l, url, l->err->text);
    else if (rc < 0 || !is_redirect(req.status))
        rc = fail_request(l, url, &req);
    else
        rc = take_location(l, url, &req);
    cpuu_http_request_clear(&req);
    return rc;
}

/* ---- following an answer --------------------------------------------------------------------- */

static cpuu_rc ask(lookup *l, const char *url)
{
    cpuu_rc rc = check_host(l, url);
    char *copy = cpuu_strdup(url);
    if (!copy)
        return cpuu_nomem(l->err);
    cpuu_free(l->last_url);
    l->last_url = copy;
    if (rc < 0) {
        trace(l, url, l->err->text);
        return rc;
    }
    cpuu_autodiscover_answer_free(&l->answer);
    return post(l, url);
}

/* Follows redirectUrl and Location from the answer that is there; ends with one that is neither. */
static cpuu_rc follow_urls(lookup *l)
{
    cpuu_rc rc = CPUU_OK;
    while (rc >= 0 && l->answer.kind == CPUU_AD_REDIRECT_URL) {
        cpuu_url p;
        char *to = l->answer.redirect;
        l->answer.redirect = NULL;
        if (!cpuu_url_split(to, &p) || !is_secure(l, &p))
            rc = cpuu_fail(l->err, CPUU_E_FORMAT, "Autodiscover redirects to '%s', which is not "
                           "an https URL", to);
        else
            rc = hop(l, to);
        if (rc >= 0)
            rc = ask(l, to);
        cpuu_free(to);
    }
    return rc;
}

static cpuu_rc answer_error(const lookup *l)
{
    uint32_t code = l->answer.error_code;
    /* 500 and 501 are documented ([MS-OXDSCLI] ErrorCode); 404 was observed for an address that an
     * independent server does not know. */
    cpuu_rc rc = code == 500 || code == 501 || code == 404 ? CPUU_E_NOTFOUND : CPUU_E_FAILED;
    rc = cpuu_fail(l->err, rc, "Autodiscover at %s says about '%s': error %u%s%s", l->last_url,
                   l->smtp, code, l->answer.error_text ? ": " : "",
                   l->answer.error_text ? l->answer.error_text : "");
    l->err->detail = code;
    trace(l, l->last_url, l->err->text);
    return rc;
}

/* What the attempt that ended with rc leads to. */
static cpuu_rc follow(lookup *l, cpuu_rc rc)
{
    if (rc >= 0)
        rc = follow_urls(l);
    if (rc >= 0 && l->answer.kind == CPUU_AD_ERROR)
        rc = answer_error(l);
    if (rc == CPUU_E_AUTH && l->refused.rc == CPUU_OK)
        l->refused = *l->err;
    return rc;
}

static cpuu_rc ask_and_follow(lookup *l, const char *url)
{
    cpuu_rc rc = ask(l, url);
    return follow(l, rc);
}

/* The server that asked to come back later is asked again, when no other one has answered. */
static cpuu_rc ask_again(lookup *l, cpuu_rc rc)
{
    uint32_t ms;
    while (rc < 0 && l->busy_url && cpuu_patience(&l->pauses, l->retry_after_s, &ms)) {
        char *url = l->busy_url;
        l->busy_url = NULL;
        cpuu_logf(l->log, CPUU_LV_TRACEW, "Autodiscover at %s is busy, trying again in %u ms", url,
                  ms);
        rc = cpuu_http_wait(l->http, ms, l->err);
        if (rc == CPUU_OK)
            rc = ask_and_follow(l, url);
        cpuu_free(url);
    }
    if (rc == CPUU_E_BUSY)
        cpuu_wrap(l->err, "asked %u times, try again later", l->pauses);
    return rc;
}

/* ---- the order of candidates ----------------------------------------------------------------- */

static bool is_final(cpuu_rc rc)
{
    return rc >= 0 || rc == CPUU_E_NOTFOUND || rc == CPUU_E_STOP || rc == CPUU_E_NOMEM;
}

static cpuu_rc try_https(lookup *l, const char *prefix, const char *domain)
{
    char *url = cpuu_asprintf("https://%s%s" PATH, prefix, domain);
    if (!url)
        return cpuu_nomem(l->err);
    cpuu_rc rc = ask_and_follow(l, url);
    cpuu_free(url);
    return rc;
}

static cpuu_rc try_redirect(lookup *l, const char *domain)
{
    char *url = cpuu_asprintf("http://autodiscover.%s" PATH, domain);
    if (!url)
        return cpuu_nomem(l->err);
    cpuu_autodiscover_answer_free(&l->answer);
    cpuu_rc rc = get_redirect(l, url);
    cpuu_free(url);
    return follow(l, rc);
}

static cpuu_rc try_srv(lookup *l, const char *domain)
{
    char host[256];
    uint16_t port;
    char *name = cpuu_asprintf("_autodiscover._tcp.%s", domain);
    if (!name)
        return cpuu_nomem(l->err);
    bool found = cpuu_srv_lookup(name, host, sizeof(host), &port);
    cpuu_free(name);
    if (!found)
        return l->err->rc; /* what the attempt before said */
    char *url = cpuu_asprintf("https://%s:%u" PATH, host, port);
    if (!url)
        return cpuu_nomem(l->err);
    cpuu_rc rc = ask_and_follow(l, url);
    cpuu_free(url);
    return rc;
}

/* A domain that may become part of a host name, of two labels at least: "autodiscover." is never put
 * in front of a top-level domain. */
static bool usable_domain(const char *domain)
{
    const char *dot = strchr(domain, '.');
    return dot && dot != domain && dot[1] && strlen(domain) < 240 &&
           domain[strspn(domain, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "0123456789.-")] == 0;
}

static cpuu_rc look_up(lookup *l)
{
    const char *domain = cpuu_smtp_domain(l->smtp);
    cpuu_free(l->busy_url);
    l->busy_url = NULL;
    if (l->query->url) {
        cpuu_rc answer = ask_and_follow(l, l->query->url);
        return ask_again(l, answer);
    }
    if (!domain || !usable_domain(domain))
        return cpuu_fail(l->err, CPUU_E_FORMAT, "'%s' has no domain to look up", l->smtp);
    cpuu_rc rc = try_https(l, "", domain);
    if (!is_final(rc))
        rc = try_https(l, "autodiscover.", domain);
    if (!is_final(rc))
        rc = try_redirect(l, domain);
    if (!is_final(rc))
        rc = try_srv(l, domain);
    if (!is_final(rc))
        rc = ask_again(l, rc);
    if (!is_final(rc) && l->refused.rc < 0) {
        *l->err = l->refused;
        rc = l->refused.rc;
    }
    return rc;
}

/* redirectAddr: the same again with another address. */
static cpuu_rc look_up_addresses(lookup *l)
{
    cpuu_rc rc = hop(l, l->smtp);
    while (rc >= 0) {
        rc = look_up(l);
        if (rc < 0 || l->answer.kind == CPUU_AD_SETTINGS)
            break;
        if (!cpuu_smtp_domain(l->answer.redirect)) {
            rc = cpuu_fail(l->err, CPUU_E_FORMAT, "Autodiscover redirects to '%s', which is not "
                           "an address", l->answer.redirect);
            break;
        }
        cpuu_free(l->smtp);
        l->smtp = l->answer.redirect;
        l->answer.redirect = NULL;
        rc = hop(l, l->smtp);
    }
    return rc;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* "/mapi/...": a path on the server that answered. The schema wants a whole URL. */
static bool make_absolute(const lookup *l, char **url)
{
    cpuu_url base;
    if (!*url || **url != '/' || !cpuu_url_split(l->last_url, &base))
        return true;
    char *whole = cpuu_asprintf("%s://%s:%u%s", base.https ? "https" : "http", base.host, base.port,
                                *url);
    cpuu_free(*url);
    *url = whole;
    return whole != NULL;
}

static cpuu_rc complete(lookup *l, cpuu_autodiscover_result *out)
{
    cpuu_autodiscover_result *r = &l->answer.result;
    if (!make_absolute(l, &r->emsmdb_url) || !make_absolute(l, &r->emsmdb_url2) ||
        !make_absolute(l, &r->nspi_url) || !make_absolute(l, &r->nspi_url2))
        return cpuu_nomem(l->err);
    if (!r->smtp)
        r->smtp = cpuu_strdup(l->smtp);
    r->url = cpuu_strdup(l->last_url);
    if (!r->smtp || !r->url)
        return cpuu_nomem(l->err);
    *out = *r;
    memset(r, 0, sizeof(*r));
    return CPUU_OK;
}

/* The guide's closing lines. A refused account gets no [Warning] there. */
static void log_failure(const lookup *l)
{
    if (l->last_url && !l->unauthorized)
        cpuu_logf(l->log, CPUU_LV_WARNING,
                  "Cannot get an Autodiscover response for the user '%s' from the URL: '%s'.",
                  l->smtp ? l->smtp : l->query->smtp, l->last_url);
    cpuu_logf(l->log, CPUU_LV_ERROR,
              "Cannot get an Autodiscover response on %s. See logged errors to resolve the issue. "
              "Profile will not be processed.",
              l->query->side);
}

cpuu_rc cpuu_autodiscover(cpuu_http *http, const cpuu_autodiscover_query *query, cpuu_log *log,
                          cpuu_autodiscover_result *out, cpuu_error *err)
{
    cpuu_error own = CPUU_ERROR_INIT;
    lookup l = {.http = http, .query = query, .log = log, .err = err ? err : &own};
    l.smtp = cpuu_strdup(query->smtp);
    cpuu_rc rc = l.smtp ? look_up_addresses(&l) : cpuu_nomem(l.err);
    if (rc >= 0)
        rc = complete(&l, out);
    if (rc < 0)
        log_failure(&l);
    for (unsigned i = 0; i < l.hops; i++)
        cpuu_free(l.seen[i]);
    cpuu_autodiscover_answer_free(&l.answer);
    cpuu_free(l.smtp);
    cpuu_free(l.last_url);
    cpuu_free(l.busy_url);
    return rc;
}
