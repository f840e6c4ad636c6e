/* What is taken and not changed is the same again; what is changed is taken again. */
#include <cpuu/formats/distlist.h>

#include "rewriting.h"

/* The first two bytes say where the members end and the one-offs begin. */
static bool arrays(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                   cpuu_fmt_error *err)
{
    cpuu_buf oneoffs;
    uint32_t sum;
    if (in.size < 2)
        return false;
    uint32_t n = cpuu_le16(in.data);
    if (n > in.size - 2)
        return false;
    cpuu_blob members = {in.data + 2, n}, rest = {in.data + 2 + n, in.size - 2 - n};
    cpuu_buf_init(&oneoffs, out->max);
    cpuu_buf_add(out, in.data, 2);
    bool ok = cpuu_dl_rewrite(members, rest, cb, user, out, &oneoffs, &sum, replaced, err);
    if (ok && out->size - 2 <= UINT16_MAX)
        cpuu_buf_put_u16(out, 0, (uint16_t)(out->size - 2));
    if (ok)
        cpuu_buf_add(out, oneoffs.data, oneoffs.size);
    cpuu_buf_free(&oneoffs);
    return ok && !out->failed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_rewriting(data, size, arrays);
    return 0;
}
