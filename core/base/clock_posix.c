#include "base/clock.h"

#include <stdio.h>
#include <time.h>

int64_t cpuu_clock_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t cpuu_clock_now(void)
{
    return (int64_t)time(NULL);
}

static struct tm local_now(long *ms)
{
    struct timespec ts;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &ts);
    localtime_r(&ts.tv_sec, &tm);
    if (ms)
        *ms = ts.tv_nsec / 1000000;
    return tm;
}

void cpuu_clock_date(char out[9])
{
    struct tm tm = local_now(NULL);
    strftime(out, 9, "%Y%m%d", &tm);
}

void cpuu_clock_time(char out[7])
{
    struct tm tm = local_now(NULL);
    strftime(out, 7, "%H%M%S", &tm);
}

void cpuu_clock_stamp(char out[24])
{
    long ms;
    struct tm tm = local_now(&ms);
    size_t n = strftime(out, 24, "%Y-%m-%d %H:%M:%S", &tm);
    snprintf(out + n, 24 - n, ".%03u", (unsigned)(ms % 1000));
}

void cpuu_clock_iso(char out[21], int64_t when)
{
    time_t t = (time_t)when;
    struct tm tm;
    gmtime_r(&t, &tm);
    strftime(out, 21, "%Y-%m-%dT%H:%M:%SZ", &tm);
}
