/* What the fuzz targets of rewriting codecs have in common. A finding ends the process. */
#ifndef CPUU_FUZZ_REWRITING_H
#define CPUU_FUZZ_REWRITING_H

#include <cpuu/formats/links.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef bool (*fuzz_rewrite)(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out,
                             bool *replaced, cpuu_fmt_error *err);

static bool fuzz_keep(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    (void)user;
    if (kind == 0 || (kind & (kind - 1)) || in.size == 0)
        abort();
    cpuu_buf_add(out, "ignored", 7);
    return false;
}

/* Grows what may grow. */
static bool fuzz_grow(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    (void)user;
    cpuu_buf_add(out, in.data, in.size);
    if (kind != CPUU_LINK_NAMED_TAG && kind != CPUU_LINK_FID && kind != CPUU_LINK_SOURCE_KEY)
        cpuu_buf_add(out, "zz", 2);
    return true;
}

static void fuzz_rewriting(const uint8_t *data, size_t size, fuzz_rewrite rewrite)
{
    cpuu_blob in = {data, (uint32_t)size};
    cpuu_fmt_error err = {0, NULL, NULL};
    bool replaced = false;
    cpuu_buf out, again;
    cpuu_buf_init(&out, 1u << 22);
    cpuu_buf_init(&again, 1u << 22);
    if (rewrite(in, fuzz_keep, NULL, &out, &replaced, &err)) {
        if (replaced || out.size != size || (size && memcmp(out.data, data, size) != 0))
            abort();
    }
    cpuu_buf_reset(&out);
    if (rewrite(in, fuzz_grow, NULL, &out, NULL, NULL)) {
        in = (cpuu_blob){out.data, (uint32_t)out.size};
        if (!rewrite(in, fuzz_keep, NULL, &again, NULL, NULL) || again.size != out.size ||
            (out.size && memcmp(again.data, out.data, out.size) != 0))
            abort();
    }
    cpuu_buf_free(&out);
    cpuu_buf_free(&again);
}

#endif
