/* The laws every rewriting codec keeps, tested the same way for all of them. */
#ifndef CPUU_TESTS_LAWS_H
#define CPUU_TESTS_LAWS_H

#include "samples.h"

#include <cpuu/formats/links.h>

typedef bool (*rewrite_fn)(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                           cpuu_fmt_error *err);

/* Identity gives the same bytes; every damaged variant gives an error or the same bytes; an output
 * that is too small and every failing allocation is an error, without a leak. */
void laws_identity(cpuu_blob in, rewrite_fn fn);
/* Longer and shorter answers give something that the codec takes again, with the same links.
 * Returns how many links were asked for. */
unsigned laws_relayout(cpuu_blob in, rewrite_fn fn);

/* Lets the n-th allocation from now on fail (0 = none); a guard around each case. */
void fail_allocation(unsigned n);

#endif
