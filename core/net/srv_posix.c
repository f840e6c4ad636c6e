/* DNS SRV with the C library's resolver. */
#include "net/srv.h"

#include <arpa/nameser.h>
#include <limits.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdio.h>
#include <string.h>

typedef struct record {
    char host[NS_MAXDNAME];
    unsigned priority, weight, port;
} record;

/* RFC 2782: priority, weight and port of two bytes each (big-endian), then the target's name. */
static bool read_record(ns_msg *msg, int i, record *out)
{
    ns_rr rr;
    if (ns_parserr(msg, ns_s_an, i, &rr) != 0 || ns_rr_type(rr) != ns_t_srv ||
        ns_rr_rdlen(rr) < 7)
        return false;
    const uint8_t *d = ns_rr_rdata(rr);
    out->priority = ns_get16(d);
    out->weight = ns_get16(d + 2);
    out->port = ns_get16(d + 4);
    return dn_expand(ns_msg_base(*msg), ns_msg_end(*msg), d + 6, out->host,
                     sizeof(out->host)) > 0;
}

static bool is_host_name(const char *host)
{
    return *host && host[strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789.-")] == 0;
}

bool cpuu_srv_parse(const uint8_t *answer, size_t size, char *host, size_t host_size,
                    uint16_t *port)
{
    ns_msg msg;
    record best = {.priority = UINT_MAX}, r;
    if (size > NS_MAXMSG || ns_initparse(answer, (int)size, &msg) != 0)
        return false;
    for (int i = 0; i < ns_msg_count(msg, ns_s_an); i++) {
        if (read_record(&msg, i, &r) &&
            (r.priority < best.priority ||
             (r.priority == best.priority && r.weight > best.weight)))
            best = r;
    }
    if (!is_host_name(best.host) || strlen(best.host) >= host_size)
        return false;
    snprintf(host, host_size, "%s", best.host);
    *port = (uint16_t)best.port;
    return true;
}

bool cpuu_srv_lookup(const char *name, char *host, size_t host_size, uint16_t *port)
{
    uint8_t answer[4096];
    struct __res_state state = {0};
    if (res_ninit(&state) != 0)
        return false;
    state.retrans = 3; /* seconds; two attempts, so that a silent resolver does not hold up a run */
    state.retry = 2;
    int n = res_nquery(&state, name, ns_c_in, ns_t_srv, answer, sizeof(answer));
    res_nclose(&state);
    return n > 0 && (size_t)n <= sizeof(answer) &&
           cpuu_srv_parse(answer, (size_t)n, host, host_size, port);
}
