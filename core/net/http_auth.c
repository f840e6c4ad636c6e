/* Who one is to which server: pools of connections, known hosts, authentication schemes. */
#include "net/http_private.h"

#include "base/mem.h"
#include "base/text.h"

#include <string.h>

/* ---- pools and hosts ------------------------------------------------------------------------- */

static void free_host(cpuu_http_host *h)
{
    cpuu_free(h->origin);
    cpuu_free(h);
}

void cpuu_http_free_pool(cpuu_http_pool *p)
{
    while (p->hosts) {
        cpuu_http_host *h = p->hosts;
        p->hosts = h->next;
        free_host(h);
    }
    if (p->share)
        curl_share_cleanup(p->share);
    cpuu_free(p->user);
    cpuu_free_secret(p->password);
    cpuu_free(p);
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool pool_is_for(const cpuu_http_pool *p, const cpuu_credentials *c)
{
    if (!c || p->anonymous)
        return !c && p->anonymous;
    return same_text(p->user, c->user) && same_text(p->password, c->password);
}

cpuu_http_pool *cpuu_http_get_pool(cpuu_http *http, const cpuu_credentials *c)
{
    for (cpuu_http_pool *p = http->pools; p; p = p->next) {
        if (pool_is_for(p, c))
            return p;
    }
    cpuu_http_pool *p = cpuu_calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->anonymous = !c;
    p->user = c ? cpuu_strdup(c->user) : NULL;
    p->password = c ? cpuu_strdup(c->password) : NULL;
    p->share = curl_share_init();
    if (!p->share || (c && ((c->user && !p->user) || (c->password && !p->password)))) {
        cpuu_http_free_pool(p);
        return NULL;
    }
    curl_share_setopt(p->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT);
    curl_share_setopt(p->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    p->next = http->pools;
    http->pools = p;
    return p;
}

cpuu_http_host *cpuu_http_get_host(cpuu_http_pool *p, const char *origin)
{
    for (cpuu_http_host *h = p->hosts; h; h = h->next) {
        if (strcmp(h->origin, origin) == 0)
            return h;
    }
    cpuu_http_host *h = cpuu_calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    h->origin = cpuu_strdup(origin);
    if (!h->origin) {
        cpuu_free(h);
        return NULL;
    }
    h->next = p->hosts;
    p->hosts = h;
    return h;
}
/* ---- choosing an authentication scheme ------------------------------------------------------- */

/* GSS-API takes the ticket of the logged-in user and ignores a user and password that are given
 * (libcurl lib/vauth/spnego_gssapi.c); SSPI takes them. */
void cpuu_http_probe_schemes(cpuu_http *http)
{
    const curl_version_info_data *v = curl_version_info(CURLVERSION_NOW);
    http->usable = CURLAUTH_BASIC;
    if (v->features & CURL_VERSION_NTLM)
        http->usable |= CURLAUTH_NTLM;
    if (v->features & CURL_VERSION_SPNEGO)
        http->usable |= CURLAUTH_NEGOTIATE;
    http->ticket_only = !(v->features & CURL_VERSION_SSPI);
}

static unsigned long scheme_named(const char *challenge, size_t size)
{
    static const struct {
        const char *name;
        unsigned long bit;
    } names[] = {{"Negotiate", CURLAUTH_NEGOTIATE}, {"NTLM", CURLAUTH_NTLM},
                 {"Basic", CURLAUTH_BASIC}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t n = strlen(names[i].name);
        if (size >= n && cpuu_ncasecmp(challenge, names[i].name, n) == 0 &&
            (size == n || challenge[n] == ' ' || challenge[n] == ','))
            return names[i].bit;
    }
    return 0;
}

/* Every place in a WWW-Authenticate value where a scheme can begin: the start, and after a comma
 * outside quotes (RFC 9110 11.6.1 allows several challenges in one field). */
static unsigned long schemes_in(const char *value, size_t size)
{
    unsigned long found = scheme_named(value, size);
    bool quoted = false;
    for (size_t i = 0; i < size; i++) {
        if (value[i] == '"')
            quoted = !quoted;
        if (quoted || value[i] != ',')
            continue;
        size_t k = i + 1;
        while (k < size && (value[k] == ' ' || value[k] == '\t'))
            k++;
        found |= scheme_named(value + k, size - k);
    }
    return found;
}

/* A challenge has any length: the Bearer one of a hybrid organisation names all its issuers. */
static unsigned long offered_schemes(const cpuu_http_request *req)
{
    const char *value;
    size_t size;
    unsigned long found = 0;
    for (unsigned i = 0; (value = cpuu_http_find_header(req, "WWW-Authenticate", i, &size)); i++)
        found |= schemes_in(value, size);
    return found;
}

/* A given password is never replaced by the ticket of whoever is logged in, and without a password
 * only the ticket is left. */
unsigned long cpuu_http_choose_scheme(const cpuu_http *http, const cpuu_http_pool *p,
                                      const cpuu_http_request *req)
{
    unsigned long can = offered_schemes(req) & http->usable;
    if (!p->user)
        return can & CURLAUTH_NEGOTIATE;
    if ((can & CURLAUTH_NEGOTIATE) && !http->ticket_only)
        return CURLAUTH_NEGOTIATE;
    if (can & CURLAUTH_NTLM)
        return CURLAUTH_NTLM;
    return can & CURLAUTH_BASIC;
}
