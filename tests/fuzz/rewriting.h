/* As check_codec(), for codecs that may also refuse a longer answer for another reason than its
 * size: a limit of the format, or bytes that cannot move. */
#ifndef CPUU_FUZZ_REWRITING_H
#define CPUU_FUZZ_REWRITING_H

#include "formats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_rewriting(const uint8_t *data, size_t size, codec rewrite)
{
    cpuu_blob in = {data, (uint32_t)size};
    cpuu_fmt_error err = {0, NULL, NULL};
    bool replaced = false;
    cpuu_buf out, again;
    cpuu_buf_init(&out, 1u << 22);
    cpuu_buf_init(&again, 1u << 22);
    if (rewrite(in, keep_link, NULL, &out, &replaced, &err)) {
        MUST(!replaced);
        fuzz_same(in, &out);
    }
    cpuu_buf_reset(&out);
    if (rewrite(in, grow_link, NULL, &out, NULL, NULL)) {
        MUST(rewrite(fuzz_blob(&out), keep_link, NULL, &again, NULL, NULL));
        fuzz_same(fuzz_blob(&out), &again);
    }
    cpuu_buf_free(&out);
    cpuu_buf_free(&again);
}

#endif
