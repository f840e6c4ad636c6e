/*
 * The lab for tests: starts cpuu-lab as a child process on free ports, waits until it is ready,
 * talks to its control endpoint, stops it. The child also ends when this process does.
 *
 * The program is $CPUU_LAB, else the one of the build tree (CPUU_LAB_PROGRAM).
 */
#ifndef CPUU_TESTS_LABCTL_H
#define CPUU_TESTS_LABCTL_H

#include <cpuu/formats/bytes.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct labctl labctl;

/* content: path of a content file. http: plain HTTP. NULL on failure, with a message in err. */
labctl *labctl_start(const char *content, bool http, char *err, size_t err_size);
/* The same with further arguments for cpuu-lab; NULL-terminated. */
labctl *labctl_start_args(const char *content, bool http, const char *const *args, char *err,
                          size_t err_size);
/* Ends it and removes its folder; exit status of the lab, -1 when it was killed. NULL is fine. */
int labctl_stop(labctl *l);
/* True while the process runs (false after a "die" fault). */
bool labctl_running(labctl *l);

uint16_t labctl_port(const labctl *l, const char *org);   /* 0 = no such organisation */
const char *labctl_url(const labctl *l, const char *org); /* "https://localhost:N"; borrowed */
const char *labctl_ca(const labctl *l);                   /* path of ca.pem; NULL with http */
const char *labctl_dir(const labctl *l);                  /* its temporary folder */

/* Answer of the control endpoint ("/lab/dump?org=source", "/lab/stats"), owned by the caller
 * (free); NULL when it is not 200. */
char *labctl_get(labctl *l, const char *path);
/* POST /lab/fault, e.g. {"org":"source","action":"close-after","type":"Execute","at":2} */
bool labctl_fault(labctl *l, const char *json);
/* Dump of one organisation (NULL: all), owned by the caller (free). */
char *labctl_dump(labctl *l, const char *org);

typedef struct labctl_reply { /* free with labctl_reply_free */
    int status;               /* 0: the connection was closed without an answer */
    char *headers;            /* lines, "" when none */
    uint8_t *body;
    size_t size;
} labctl_reply;
/* One request over plain HTTP to a port of 127.0.0.1; headers are complete lines ending in \r\n. */
bool labctl_http(uint16_t port, const char *method, const char *path, const char *headers,
                 const void *body, size_t size, labctl_reply *out);
void labctl_reply_free(labctl_reply *r);
/* Value of a header in a reply; false when absent. nth: which of several. */
bool labctl_header(const labctl_reply *r, const char *name, unsigned nth, char *out, size_t size);

#endif
