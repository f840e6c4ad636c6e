#include "base/log.h"

#include "base/mem.h"

#include <stdio.h>

void cpuu_logf(cpuu_log *log, cpuu_level level, const char *fmt, ...)
{
    if (!log)
        return;
    char fixed[1024];
    char *line = fixed, *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(fixed, sizeof(fixed), fmt, ap);
    va_end(ap);
    if (n >= (int)sizeof(fixed)) { /* out of memory: a cut line is better than none */
        va_start(ap, fmt);
        text = cpuu_vasprintf(fmt, ap);
        va_end(ap);
        line = text ? text : fixed;
    }
    for (char *p = line; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    }
    log->write(log, level, line);
    cpuu_free(text);
}

const char *cpuu_level_word(cpuu_level level)
{
    static const char *const words[] = {"", "Error", "Warning", "Info", "TraceW", "Trace"};
    return words[level];
}
