#include "net/patience.h"

#include "base/clock.h"
#include "net/http_private.h"

#include <poll.h>
#include <stdlib.h>

#define NAP_MS 200 /* short, so that a stop is seen */

bool cpuu_patience(unsigned *pauses, uint32_t retry_after_s, uint32_t *ms)
{
    if (++*pauses > CPUU_MAX_PAUSES)
        return false;
    if (retry_after_s > CPUU_MAX_PAUSE_MS / 1000u)
        *ms = CPUU_MAX_PAUSE_MS;
    else
        *ms = retry_after_s ? retry_after_s * 1000u : 250u << *pauses;
    return true;
}

uint32_t cpuu_http_retry_after(const cpuu_http_request *req)
{
    char text[64], *end;
    if (!cpuu_http_get_header(req, "Retry-After", 0, text, sizeof(text)))
        return 0;
    const unsigned long seconds = strtoul(text, &end, 10);
    if (*text >= '0' && *text <= '9' && !*end)
        return seconds < UINT32_MAX ? (uint32_t)seconds : UINT32_MAX;
    const int64_t left = (int64_t)curl_getdate(text, NULL) - cpuu_clock_now(); /* -1: no date */
    return left <= 0 ? 0 : left < UINT32_MAX ? (uint32_t)left : UINT32_MAX;
}

cpuu_rc cpuu_http_wait(cpuu_http *http, uint32_t ms, cpuu_error *err)
{
    const int64_t until = cpuu_clock_ms() + ms;
    int64_t left = ms;
    cpuu_rc rc = CPUU_OK;
    while (left > 0 && rc == CPUU_OK) {
        const uint32_t nap = left < NAP_MS ? (uint32_t)left : NAP_MS;
        const int64_t begun = cpuu_clock_ms();
        rc = cpuu_http_drive_for(http, nap, NULL, NULL, err); /* at once, when nothing is under way */
        if (rc == CPUU_OK && cpuu_clock_ms() - begun < nap)
            poll(NULL, 0, (int)(nap - (cpuu_clock_ms() - begun)));
        if (rc == CPUU_OK && http->beat && http->beat(http->beat_user) < 0)
            rc = cpuu_fail(err, CPUU_E_STOP, "stopped");
        left = until - cpuu_clock_ms();
    }
    return rc;
}
