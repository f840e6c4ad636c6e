/*
 * HTTP, the one user of libcurl. One thread: requests are submitted, and a loop (curl_multi) drives
 * all of them; each calls on_done when it ends, and on_done may submit more.
 *
 * Rules: TLS is verified always (CA file optional). Redirects are never followed here; the caller
 * sees 3xx and decides. Credentials go only over https, or over http when AllowInsecureHTTP is set
 * (lab only), and only to the host of the request's URL; which hosts may have them is the caller's
 * business (R8). Connections are never shared between different credentials.
 *
 * Authentication: Negotiate, NTLM or Basic, the strongest that the server's 401 offers and libcurl
 * can do; learnt once per host and credential, then sent at once, and learnt anew where a 401 says
 * that it does not hold. Negotiate through GSS-API means the ticket of the logged-in user, so it is
 * used only when no user name is given.
 *
 * A request is given to a server at most once, whatever happens to the connection; `sent` tells
 * whether it may have arrived.
 */
#ifndef CPUU_NET_HTTP_H
#define CPUU_NET_HTTP_H

#include "base/error.h"
#include "base/log.h"

#include <cpuu/formats/bytes.h>

typedef struct cpuu_credentials {
    char *user;     /* "DOMAIN\user" or "user@domain"; NULL = the ticket of the logged-in user */
    char *password; /* wiped when freed */
} cpuu_credentials;

typedef struct cpuu_http_options {
    const char *ca_file;        /* NULL = the system's */
    const char *const *connect_to; /* curl's CONNECT_TO lines, NULL-terminated; may be NULL */
    const char *proxy;          /* NULL = environment */
    bool allow_insecure_http;   /* lab only */
    uint32_t connect_timeout_ms;/* 0 = 30000 */
    uint32_t request_timeout_ms;/* 0 = 120000; time without progress */
    const char *user_agent;     /* NULL = "cpuu/<version>" */
} cpuu_http_options;

typedef struct cpuu_http cpuu_http;

typedef struct cpuu_http_header {
    const char *name;
    const char *value;
} cpuu_http_header;

typedef struct cpuu_http_request { /* zero it before the first use */
    /* in; borrowed until on_done has returned */
    const char *method; /* "POST", "GET" */
    const char *url;
    const cpuu_http_header *headers;
    size_t n_headers;
    const void *body;
    size_t body_size;
    const cpuu_credentials *credentials; /* NULL = send none */
    size_t max_response; /* bytes; 0 = 1 MiB */
    void (*on_done)(struct cpuu_http_request *req);
    void *user;

    /* out; owned by the request until cpuu_http_request_clear() */
    cpuu_rc rc;              /* CPUU_OK when an HTTP response came, whatever its status */
    uint32_t curl_code;      /* CURLcode when rc != CPUU_OK */
    uint32_t status;         /* HTTP status */
    bool sent;               /* the server may have received the whole request */
    cpuu_buf response;       /* body, de-chunked */
    cpuu_buf response_headers; /* raw header lines of the last response */
    cpuu_error error;        /* when rc != CPUU_OK: "cannot connect to host:port (WinHTTP ...)" */

    struct cpuu_http_transfer *transfer; /* private */
    struct cpuu_http_request *next_failed;
    bool only_learns; /* private: owned by the client, see cpuu_http_learn() */
} cpuu_http_request;

cpuu_rc cpuu_http_new(const cpuu_http_options *options, cpuu_log *log, cpuu_http **out,
                      cpuu_error *err);
/* Requests still under way are dropped without on_done. */
void cpuu_http_free(cpuu_http *http);
/* Asked between events; a negative return (CPUU_E_STOP) aborts everything under way. */
void cpuu_http_on_beat(cpuu_http *http, cpuu_rc (*beat)(void *user), void *user);

/* Starts a request. on_done is called exactly once, from cpuu_http_drive(), also when it could not
 * be started; what the request held of an earlier use is freed. */
void cpuu_http_submit(cpuu_http *http, cpuu_http_request *req);
/* The same for a request that cannot even be put together: it ends with `why`. */
void cpuu_http_submit_failed(cpuu_http *http, cpuu_http_request *req, const cpuu_error *why);
/* Runs until nothing is under way. CPUU_OK, or CPUU_E_STOP when the beat said so: then everything
 * under way has ended with CPUU_E_STOP. Not from within on_done. */
cpuu_rc cpuu_http_drive(cpuu_http *http, cpuu_error *err);
/* The same, but only until enough() says so: asked after each turn. The rest goes on with the next
 * call. */
cpuu_rc cpuu_http_drive_until(cpuu_http *http, bool (*enough)(void *user), void *user,
                              cpuu_error *err);
/* The same, but no longer than that many milliseconds; 0 = what can be done without waiting. */
cpuu_rc cpuu_http_drive_for(cpuu_http *http, uint32_t ms, bool (*enough)(void *user), void *user,
                            cpuu_error *err);
/* Ends a request that is under way, with CPUU_E_STOP; calls on_done. Nothing happens to one that is
 * not. Not from within on_done. */
void cpuu_http_cancel(cpuu_http *http, cpuu_http_request *req);
/* From cpuu_http_submit() until on_done. */
bool cpuu_http_is_under_way(const cpuu_http *http, const cpuu_http_request *req);
/* Finds out, in the background, how the host of the URL wants to be authenticated to, so that the
 * first real request with these credentials can do it at once. Nobody's name or password is sent. A
 * host is asked once, and not when it is known already; nobody waits for the answer. */
void cpuu_http_learn(cpuu_http *http, const char *url, const cpuu_credentials *credentials);
/* Submits one request and waits for it; others under way go on meanwhile. */
cpuu_rc cpuu_http_perform(cpuu_http *http, cpuu_http_request *req, cpuu_error *err);
void cpuu_http_request_clear(cpuu_http_request *req);
/* A failed request that may go better over a new connection; a name that cannot be resolved, a
 * certificate that is refused or a time-out will not. */
bool cpuu_http_worth_repeating(const cpuu_http_request *req);
/* Value of the n-th header of that name (0 = first), without blanks around it: *size bytes inside
 * response_headers, however many there are; NULL when there are not so many headers. */
const char *cpuu_http_find_header(const cpuu_http_request *req, const char *name, unsigned n,
                                  size_t *size);
/* The same into a caller's buffer; false also when it does not fit. */
bool cpuu_http_get_header(const cpuu_http_request *req, const char *name, unsigned n, char *out,
                          size_t out_size);
/* Totals since creation, for the benchmark and the report. */
void cpuu_http_totals(const cpuu_http *http, uint64_t *requests, uint64_t *sent,
                      uint64_t *received);

bool cpuu_http_allows_insecure(const cpuu_http *http);

typedef struct cpuu_url {
    char host[256]; /* lower case */
    char path[1024];
    uint16_t port;
    bool https;
} cpuu_url;
/* The parts of an absolute http or https URL; false when it is none, or names a user. */
bool cpuu_url_split(const char *url, cpuu_url *out);

/* The guide's words for a failed request: "WinHTTP result: 0x00002ee7, Description: The server name
 * or address could not be resolved" and so on; status 401 gives the "Custom result" form. */
void cpuu_http_describe(const cpuu_http_request *req, char *out, size_t out_size);

#endif
