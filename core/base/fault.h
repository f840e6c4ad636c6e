/*
 * Fault points. Every write, flush, rename, request and allocation of the host passes one of these.
 * The program is linked with fault_none.c, where they do nothing; the torture twin of the program is
 * linked with tests/torture/fault_env.c, which can kill the process at the N-th step or make the
 * N-th operation fail. No other code knows the difference.
 */
#ifndef CPUU_BASE_FAULT_H
#define CPUU_BASE_FAULT_H

#include <stdbool.h>

/* A step after which the world looks different ("journal.flush", "hive.rename", "mailbox.save").
 * The twin may end the process here, before the step is taken. */
void cpuu_fault_step(const char *what);
/* True when the operation must fail instead of being tried: "alloc", "write", "flush", "request";
 * "answer": of a request that was carried out, the answer is lost. */
bool cpuu_fault_fail(const char *what);

#endif
