#include "laws.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static unsigned countdown;

static void *failing_realloc(void *p, size_t n)
{
    if (countdown && --countdown == 0)
        return NULL;
    return realloc(p, n);
}

void fail_allocation(unsigned n)
{
    countdown = n;
    cpuu_fmt_realloc = n ? failing_realloc : realloc;
}

static rewrite_fn current;

static void damaged(cpuu_blob in)
{
    cpuu_buf out;
    cpuu_fmt_error err = {0, NULL, NULL};
    swap s = {0, 0, 0};
    bool replaced = false;
    cpuu_buf_init(&out, 1u << 20);
    if (current(in, swap_link, &s, &out, &replaced, &err))
        same_bytes(in, &out, "damaged input");
    else
        ck_assert_msg(err.offset <= in.size + 16 && err.field && err.what, "%u", err.offset);
    ck_assert(!replaced);
    cpuu_buf_free(&out);
    cpuu_buf_init(&out, 1u << 20);
    s.mode = 1;
    current(in, swap_link, &s, &out, NULL, NULL);
    cpuu_buf_free(&out);
}

static void too_small(cpuu_blob in)
{
    uint32_t step = in.size / 40 + 1;
    for (uint32_t max = 0; max < in.size; max += step) {
        cpuu_buf out;
        cpuu_fmt_error err = {0, NULL, NULL};
        swap s = {0, 0, 0};
        cpuu_buf_init(&out, max);
        ck_assert(!current(in, swap_link, &s, &out, NULL, &err));
        ck_assert_str_eq(err.field, "output");
        cpuu_buf_free(&out);
    }
}

/* Replaces every link by itself, and survives when that fails. */
static bool copy_link(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    (void)user;
    (void)kind;
    return cpuu_buf_add(out, in.data, in.size);
}

static void no_memory(cpuu_blob in)
{
    for (unsigned n = 1; n < 10000; n++) {
        cpuu_buf out;
        cpuu_fmt_error err = {0, NULL, NULL};
        cpuu_buf_init(&out, 1u << 20);
        fail_allocation(n);
        bool ok = current(in, copy_link, NULL, &out, NULL, &err);
        bool failed = countdown == 0;
        fail_allocation(0);
        cpuu_buf_free(&out);
        if (!failed)
            return;
        ck_assert_msg(!ok, "allocation %u", n);
        ck_assert_ptr_nonnull(err.field);
    }
    ck_abort_msg("no end of allocations");
}

void laws_identity(cpuu_blob in, rewrite_fn fn)
{
    cpuu_buf out;
    swap s = {0, 0, 0};
    bool replaced = false;
    current = fn;
    cpuu_buf_init(&out, in.size);
    ck_assert(fn(in, swap_link, &s, &out, &replaced, NULL));
    same_bytes(in, &out, "input");
    ck_assert(!replaced);
    cpuu_buf_free(&out);
    hostile_variants(in, damaged);
    too_small(in);
    no_memory(in);
}

unsigned laws_relayout(cpuu_blob in, rewrite_fn fn)
{
    unsigned asked = 0;
    for (int mode = -1; mode <= 1; mode += 2) {
        cpuu_buf out, again;
        swap s = {mode, 0, 0}, t = {0, 0, 0};
        bool replaced = false;
        cpuu_fmt_error err = {0, "", ""};
        cpuu_buf_init(&out, 1u << 24);
        cpuu_buf_init(&again, 1u << 24);
        ck_assert_msg(fn(in, swap_link, &s, &out, &replaced, &err), "%s %s", err.field, err.what);
        ck_assert(replaced == (s.asked != 0));
        ck_assert_msg(fn(blob_of(&out), swap_link, &t, &again, NULL, &err), "%s %s", err.field,
                      err.what);
        same_bytes(blob_of(&out), &again, "rewritten input");
        /* "x" is no address any more, so only the longer answers are links again; nor is a record
         * key of another size */
        if (mode == 1 && !(s.kinds & CPUU_LINK_RECORD_KEY))
            ck_assert_uint_eq(s.asked, t.asked);
        asked = s.asked;
        cpuu_buf_free(&out);
        cpuu_buf_free(&again);
    }
    swap s = {2, 0, 0};
    cpuu_buf out;
    cpuu_buf_init(&out, 1u << 20);
    ck_assert(asked == 0 || !fn(in, swap_link, &s, &out, NULL, NULL));
    cpuu_buf_free(&out);
    return asked;
}
