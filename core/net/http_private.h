/*
 * What the parts of the HTTP client share: http.c (life, delivery, driving), http_auth.c (pools of
 * connections, hosts, authentication schemes), http_transfer.c (one request with libcurl).
 */
#ifndef CPUU_NET_HTTP_PRIVATE_H
#define CPUU_NET_HTTP_PRIVATE_H

#include "net/http.h"

#include <curl/curl.h>

/* The authentication a server is known to take. */
typedef struct cpuu_http_host {
    struct cpuu_http_host *next;
    char *origin; /* "https://name:port" */
    unsigned long scheme; /* CURLAUTH_*; 0 = not known yet */
    bool asked;           /* by cpuu_http_learn(): once is enough */
} cpuu_http_host;

typedef struct cpuu_http_pool {
    struct cpuu_http_pool *next;
    char *user, *password; /* both NULL in the pool of the logged-in user */
    bool anonymous;
    CURLSH *share;
    cpuu_http_host *hosts;
} cpuu_http_pool;

typedef struct cpuu_http_transfer {
    struct cpuu_http_transfer *prev, *next;
    cpuu_http *http;
    cpuu_http_request *req;
    cpuu_http_pool *pool;
    cpuu_http_host *host;
    CURL *easy; /* NULL = could not be started; ends with the code it already has */
    struct curl_slist *headers;
    char *origin, *place; /* "https://name:port", "name:port" */
    bool secure;
    unsigned long scheme; /* what this attempt authenticates with; 0 = nothing */
    size_t body_pos;      /* bytes of the body libcurl has taken */
    bool challenged;      /* a 401 or 407 came after the body was sent: it may be sent again */
    bool repeated;        /* libcurl tried to send it again without that */
    bool asked_anew;      /* with the scheme that a 401 offered: that happens once */
    bool too_big;
    char text[CURL_ERROR_SIZE];
} cpuu_transfer;

struct cpuu_http {
    CURLM *multi;
    cpuu_log *log;
    char *ca_file, *proxy, *user_agent;
    struct curl_slist *connect_to;
    bool allow_insecure;
    uint32_t connect_ms, request_ms;
    unsigned long usable; /* CURLAUTH_* that this libcurl can do */
    bool ticket_only;     /* Negotiate ignores a given user and password */
    cpuu_http_pool *pools;
    cpuu_transfer *active;
    cpuu_http_request *failed; /* those there was no memory for */
    bool driving, stopping;
    cpuu_rc (*beat)(void *user);
    void *beat_user;
    uint64_t requests, sent, received;
};

/* http_auth.c */
void cpuu_http_probe_schemes(cpuu_http *http);
/* The pool of these credentials, the entry of this origin in it; NULL when memory ends. */
cpuu_http_pool *cpuu_http_get_pool(cpuu_http *http, const cpuu_credentials *c);
cpuu_http_host *cpuu_http_get_host(cpuu_http_pool *p, const char *origin);
void cpuu_http_free_pool(cpuu_http_pool *p);
/* The strongest scheme (CURLAUTH_*) that the answer offers and both sides can do; 0 = none. */
unsigned long cpuu_http_choose_scheme(const cpuu_http *http, const cpuu_http_pool *p,
                                      const cpuu_http_request *req);

/* http_transfer.c; in `http->active` from cpuu_http_submit() to cpuu_transfer_free(). */
cpuu_rc cpuu_transfer_begin(cpuu_transfer *t);
/* Takes the result from libcurl. False when the same request goes out again, authenticated. */
bool cpuu_transfer_finish(cpuu_transfer *t, CURLcode code);
/* Ends what is under way, with CPUU_E_STOP and this text. */
void cpuu_transfer_stop(cpuu_transfer *t, const char *why);
void cpuu_transfer_free(cpuu_transfer *t);

#endif
