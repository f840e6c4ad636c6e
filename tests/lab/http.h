/* What the HTTP front end hands to the services of the lab, and gets back. */
#ifndef CPUU_LAB_HTTP_H
#define CPUU_LAB_HTTP_H

#include "tests/lab/rop.h"

typedef struct lab_request {
    lab_org *org;
    lab_user *user; /* authenticated; NULL only for the control endpoint */
    const char *method, *path, *query_mailbox; /* query_mailbox: ?MailboxId=, may be NULL */
    const uint8_t *body;
    size_t size;
    const char *(*header)(const void *from, const char *name); /* NULL when absent */
    const void *from;
} lab_request;

typedef struct lab_header {
    char name[40];
    char value[400];
} lab_header;

typedef struct lab_response {
    int status; /* 0: close the connection without an answer */
    lab_header headers[16];
    size_t n_headers;
    cpuu_buf body;
    bool chunked;
} lab_response;

void lab_response_header(lab_response *r, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Reads one cookie of the request; false when it is not there. */
bool lab_cookie(const lab_request *q, const char *name, char *out, size_t size);

void lab_autodiscover(const lab_request *q, lab_response *r);
/* MAPI/HTTP at /mapi/emsmdb/ and /mapi/nspi/. lose_context: answer as if the session were unknown;
 * too_small: fail an Execute with ErrorCode 47Dh after having run it. */
typedef struct lab_twist {
    bool lose_context, too_small, pending;
} lab_twist;
void lab_mapihttp(const lab_request *q, const lab_twist *t, lab_response *r);
/* One request of the address book; false: the body is malformed. out: after StatusCode. */
bool lab_nspi(lab_context *ctx, const char *type, const uint8_t *body, size_t size, cpuu_buf *out);
bool lab_nspi_type(const lab_org *o, const char *type);
void lab_org_url(const lab_org *o, char *out, size_t size); /* "https://host:port" */
void lab_contexts_free(lab_org *o);

/* ---- the running server ---------------------------------------------------------------------- */

typedef struct lab_server lab_server;
typedef struct lab_options {
    const char *content; /* file */
    const char *ca_dir;  /* ca.pem is written here; NULL: current folder. Unused with http */
    bool http;           /* plain HTTP */
    uint16_t ports[LAB_MAX_ORGS]; /* 0 = a free one */
    uint16_t control_port;
} lab_options;

/* Loads the content and listens on 127.0.0.1. NULL: message in err. */
lab_server *lab_server_start(const lab_options *o, char *err, size_t err_size);
void lab_server_stop(lab_server *s);
lab *lab_server_lab(lab_server *s);
/* One JSON line that says where it listens; caller frees with free(). */
char *lab_server_ready(const lab_server *s);

/* A CA and a server certificate for the names, as PEM; caller frees with free(). */
bool lab_make_certificates(const char *const *names, size_t n, char **ca, char **cert, char **key,
                           char *err, size_t err_size);

#endif
