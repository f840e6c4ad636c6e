/*
 * How long a server is waited for that asks to come back later (HTTP 429, 503): a few times, each
 * pause as long as it asks for, but no longer than a person would wait who looks at the screen.
 */
#ifndef CPUU_NET_PATIENCE_H
#define CPUU_NET_PATIENCE_H

#include "net/http.h"

#define CPUU_MAX_PAUSES   6u
#define CPUU_MAX_PAUSE_MS 20000u

/* Counts a pause; its length is what the server has asked for (0 = nothing), else twice that of the
 * one before. False: it has asked often enough. */
bool cpuu_patience(unsigned *pauses, uint32_t retry_after_s, uint32_t *ms);
/* Retry-After of a response in seconds, given as such or as a date ([RFC 9110] 10.2.3); 0 = none. */
uint32_t cpuu_http_retry_after(const cpuu_http_request *req);
/* Waits; what is under way goes on meanwhile. CPUU_E_STOP when the beat says so. Not from within
 * on_done. */
cpuu_rc cpuu_http_wait(cpuu_http *http, uint32_t ms, cpuu_error *err);

#endif
