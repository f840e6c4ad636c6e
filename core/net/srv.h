/* DNS SRV records (RFC 2782), through the system's resolver. srv_posix.c. */
#ifndef CPUU_NET_SRV_H
#define CPUU_NET_SRV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Host and port of the record with the lowest priority and, among those, the highest weight; false
 * when there is none, or only "." (not offered). */
bool cpuu_srv_lookup(const char *name, char *host, size_t host_size, uint16_t *port);
/* The same from a DNS response as it came; pure, for tests and fuzzing. */
bool cpuu_srv_parse(const uint8_t *answer, size_t size, char *host, size_t host_size,
                    uint16_t *port);

#endif
