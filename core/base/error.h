/*
 * Errors: a code and one line for a person. Results are cpuu_rc (see cpuu/plugin.h); a function that
 * can fail takes a cpuu_error as its last parameter and fills it exactly when it returns a negative
 * code. Each level may add context once, in front, with cpuu_wrap. A message says what was tried, on
 * what, and what the user can do; it never holds a password or a token.
 */
#ifndef CPUU_BASE_ERROR_H
#define CPUU_BASE_ERROR_H

#include <cpuu/plugin.h>

/* Codes of the host itself; a plugin never sees them. */
#define CPUU_E_USAGE   (-101) /* command line or settings */
#define CPUU_E_AUTH    (-102) /* credentials refused, or must not be sent there */
#define CPUU_E_NETWORK (-103) /* no connection, time-out, TLS */
#define CPUU_E_BUSY    (-104) /* locked by another process, or the server asked to come back later */
#define CPUU_E_DIRTY   (-105) /* a hive with unwritten log entries */
#define CPUU_E_EXISTS  (-106)

typedef struct cpuu_error {
    cpuu_rc rc;
    uint32_t detail; /* MAPI error, HTTP status or errno behind it; 0 = none */
    char text[1024]; /* UTF-8, one line, cut at a character boundary */
} cpuu_error;

#define CPUU_ERROR_INIT {CPUU_OK, 0, ""}

/* Sets code and message; returns rc. err may be NULL. Control characters become spaces. */
cpuu_rc cpuu_fail(cpuu_error *err, cpuu_rc rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with strerror(errnum) appended and kept as detail. */
cpuu_rc cpuu_fail_errno(cpuu_error *err, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts "context: " in front of the message err already has; returns err->rc. */
cpuu_rc cpuu_wrap(cpuu_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* CPUU_E_NOMEM with its usual message. */
cpuu_rc cpuu_nomem(cpuu_error *err);

#endif
