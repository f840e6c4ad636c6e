/* The one place that reads clocks. */
#ifndef CPUU_BASE_CLOCK_H
#define CPUU_BASE_CLOCK_H

#include <stdint.h>

int64_t cpuu_clock_ms(void);  /* monotonic, milliseconds */
int64_t cpuu_clock_now(void); /* seconds since 1970, UTC */
/* Local time as YYYYMMDD / HHMMSS (file names) and "YYYY-MM-DD HH:MM:SS.mmm" (log lines). */
void cpuu_clock_date(char out[9]);
void cpuu_clock_time(char out[7]);
void cpuu_clock_stamp(char out[24]);
/* "YYYY-MM-DDTHH:MM:SSZ" */
void cpuu_clock_iso(char out[21], int64_t when);

#endif
