/*
 * Fault points that obey the environment. The torture twin of the program is linked with this file
 * where the product is linked with core/base/fault_none.c; nothing else differs.
 *
 *   CPUU_FAULT_KILL=N         SIGKILL at the N-th step (1 = the first)
 *   CPUU_FAULT_FAIL=WHAT:N    the N-th operation of that kind fails ("alloc", "write", "flush", "request",
 *                             "answer")
 *   CPUU_FAULT_FAIL=WHAT:N+   and every one after it
 *   CPUU_FAULT_COUNT=FILE     at exit, writes "steps N", "alloc N", ... to FILE
 *   CPUU_FAULT_TRACE=FILE     appends the name of every step to FILE before it is taken
 */
#include "base/fault.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_KINDS 12

static struct {
    bool ready;
    unsigned long kill_at, steps;
    char fail_what[32];
    unsigned long fail_at;
    bool fail_rest;
    const char *count_file;
    FILE *trace;
    struct {
        const char *what;
        unsigned long n;
    } kinds[MAX_KINDS];
} fault;

static void write_counts(void)
{
    FILE *f = fopen(fault.count_file, "w");
    if (!f)
        return;
    fprintf(f, "steps %lu\n", fault.steps);
    for (int i = 0; i < MAX_KINDS && fault.kinds[i].what; i++)
        fprintf(f, "%s %lu\n", fault.kinds[i].what, fault.kinds[i].n);
    fclose(f);
}

static void read_environment(void)
{
    fault.ready = true;
    const char *text = getenv("CPUU_FAULT_KILL");
    if (text)
        fault.kill_at = strtoul(text, NULL, 10);
    text = getenv("CPUU_FAULT_FAIL");
    const char *colon = text ? strchr(text, ':') : NULL;
    if (colon && (size_t)(colon - text) < sizeof(fault.fail_what)) {
        char *end;
        memcpy(fault.fail_what, text, (size_t)(colon - text));
        fault.fail_at = strtoul(colon + 1, &end, 10);
        fault.fail_rest = *end == '+';
    }
    fault.count_file = getenv("CPUU_FAULT_COUNT");
    if (fault.count_file)
        atexit(write_counts);
    text = getenv("CPUU_FAULT_TRACE");
    if (text)
        fault.trace = fopen(text, "ae");
}

void cpuu_fault_step(const char *what)
{
    if (!fault.ready)
        read_environment();
    if (fault.trace) {
        fprintf(fault.trace, "%s\n", what);
        fflush(fault.trace);
    }
    if (++fault.steps == fault.kill_at)
        kill(getpid(), SIGKILL);
}

bool cpuu_fault_fail(const char *what)
{
    if (!fault.ready)
        read_environment();
    int i = 0;
    while (i < MAX_KINDS - 1 && fault.kinds[i].what && strcmp(fault.kinds[i].what, what) != 0)
        i++;
    fault.kinds[i].what = what;
    unsigned long n = ++fault.kinds[i].n;
    return fault.fail_at && strcmp(fault.fail_what, what) == 0 &&
           (n == fault.fail_at || (fault.fail_rest && n > fault.fail_at));
}
