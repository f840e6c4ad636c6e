/*
 * Where messages go. base/ only knows the shape of a sink; the log file, the terminal and the report
 * are sinks made by report/. The level words are those of the guide ([Error], [Warning], ...).
 */
#ifndef CPUU_BASE_LOG_H
#define CPUU_BASE_LOG_H

#include "base/error.h"

typedef enum cpuu_level {
    CPUU_LV_ERROR = 1,  /* [Error]   */
    CPUU_LV_WARNING,    /* [Warning] */
    CPUU_LV_INFO,       /* [Info]    */
    CPUU_LV_TRACEW,     /* [TraceW]: a failed attempt that may still be made good */
    CPUU_LV_TRACE       /* [Trace]   */
} cpuu_level;

typedef struct cpuu_log {
    void (*write)(struct cpuu_log *log, cpuu_level level, const char *text); /* one line, no \n */
} cpuu_log;

/* NULL log is allowed and drops everything. Control characters in the result become spaces. */
void cpuu_logf(cpuu_log *log, cpuu_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
const char *cpuu_level_word(cpuu_level level); /* "Error", "Warning", "Info", "TraceW", "Trace" */

#endif
