/*
 * A server that plays a script: it reads whole HTTP requests, keeps them for inspection, and answers
 * each with the next step's bytes, as they are. For tests of the client over real sockets, against
 * recorded responses and against servers that misbehave. Connections run in threads; the steps are
 * shared by all and used in order.
 */
#ifndef CPUU_LAB_REPLAY_H
#define CPUU_LAB_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct replay replay;

#define REPLAY_CLOSE 1u /* close the connection after the answer (or instead of one, when empty) */
#define REPLAY_HANG  2u /* answer, then say nothing more until replay_stop() */

/* Listens on 127.0.0.1 at a free port; NULL when that is not possible. */
replay *replay_start(void);
void replay_stop(replay *r);
unsigned replay_port(const replay *r);
/* Adds a step; the bytes are copied. A `type` that is not NULL must be the X-RequestType of the
 * request that gets it, else the answer is status 599. */
void replay_add(replay *r, const char *type, const void *response, size_t size, unsigned flags);
void replay_add_text(replay *r, const char *response, unsigned flags);
/* A status line, the headers (each with CRLF), Content-Length and the body. */
void replay_add_http(replay *r, const char *type, const char *status_and_headers, const void *body,
                     size_t size);
/* The bytes of a file; false when it cannot be read. */
bool replay_add_file(replay *r, const char *type, const char *path);

unsigned replay_requests(replay *r);    /* complete requests so far */
unsigned replay_connections(replay *r); /* accepted so far */
/* Head and body of the n-th request as it came, NUL-terminated; valid until replay_stop(). */
const char *replay_request(replay *r, unsigned n);
/* Number of the connection it came over, from 0. */
unsigned replay_request_connection(replay *r, unsigned n);
/* Value of a header of the n-th request into out; false when it has none. */
bool replay_header(replay *r, unsigned n, const char *name, char *out, size_t out_size);
/* Body of the n-th request. */
const uint8_t *replay_body(replay *r, unsigned n, size_t *size);

#endif
