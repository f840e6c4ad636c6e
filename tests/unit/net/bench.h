/* What the network tests share: a log that remembers, fault points, a certificate authority. */
#ifndef CPUU_TESTS_NET_BENCH_H
#define CPUU_TESTS_NET_BENCH_H

#include "base/log.h"

#include <stdbool.h>
#include <stdlib.h>

typedef struct memory_log {
    cpuu_log log;
    char text[65536]; /* "[Level] line\n" each */
} memory_log;
void memory_log_init(memory_log *l);

/* The n-th from now fails; 0 = none. */
extern unsigned fail_alloc, fail_request;
void *failing_realloc(void *p, size_t n);

/* A folder with ca.pem, good.pem and good.key (for 127.0.0.1, localhost and *.source.test), made with
 * the openssl program; NULL (and a SKIP line) without it. The folder is removed by drop_ca(). */
const char *make_ca(const char *test);
void drop_ca(void);
/* Content of a file in it, NUL-terminated; the caller's. */
char *ca_file(const char *name);

#endif
