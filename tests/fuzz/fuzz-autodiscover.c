/* An Autodiscover answer, and (first byte 'D') a DNS answer, from anywhere. */
#include "net/autodiscover.h"
#include "net/srv.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cpuu_autodiscover_answer a;
    cpuu_error err = CPUU_ERROR_INIT;
    char host[256];
    uint16_t port;
    if (size && data[0] == 'D') {
        if (cpuu_srv_parse(data + 1, size - 1, host, sizeof(host), &port) && !*host)
            abort();
        return 0;
    }
    if (cpuu_autodiscover_parse(data, size, &a, &err) < 0)
        return 0;
    if (a.kind == CPUU_AD_SETTINGS && !a.result.legacy_dn)
        abort(); /* promised by the header */
    if ((a.kind == CPUU_AD_REDIRECT_ADDR || a.kind == CPUU_AD_REDIRECT_URL) && !a.redirect)
        abort();
    cpuu_autodiscover_answer_free(&a);
    return 0;
}
