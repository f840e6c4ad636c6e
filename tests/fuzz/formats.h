/* What every codec promises, checked on any input: an error that says where, or the same bytes back
 * when nothing is replaced, and a result that decodes again when links become longer. */
#ifndef CPUU_FUZZ_FORMATS_H
#define CPUU_FUZZ_FORMATS_H

#include <cpuu/formats/links.h>

#include <stdlib.h>
#include <string.h>

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

typedef bool (*codec)(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                      cpuu_fmt_error *err);

static inline bool keep_link(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    (void)user;
    MUST(kind && !(kind & (kind - 1)) && in.size);
    cpuu_buf_u8(out, 0xff);
    return false;
}

static inline bool grow_link(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    (void)user;
    cpuu_buf_add(out, in.data, in.size);
    if (!(kind & (CPUU_LINK_NAMED_TAG | CPUU_LINK_FID | CPUU_LINK_SOURCE_KEY)))
        cpuu_buf_add(out, "grown", 5);
    return true;
}

static inline cpuu_blob fuzz_blob(const cpuu_buf *b)
{
    return (cpuu_blob){b->data, (uint32_t)b->size};
}

static inline void fuzz_same(cpuu_blob a, const cpuu_buf *b)
{
    MUST(a.size == b->size && (a.size == 0 || memcmp(a.data, b->data, a.size) == 0));
}

static inline void check_grown(cpuu_blob in, codec rewrite)
{
    cpuu_buf grown, again;
    cpuu_fmt_error err;
    cpuu_buf_init(&grown, 16u * in.size + 65536);
    cpuu_buf_init(&again, 16u * in.size + 65536);
    if (rewrite(in, grow_link, NULL, &grown, NULL, &err)) {
        MUST(rewrite(fuzz_blob(&grown), keep_link, NULL, &again, NULL, &err));
        fuzz_same(fuzz_blob(&grown), &again);
    } else {
        MUST(grown.failed); /* too large for a size field: the only excuse */
    }
    cpuu_buf_free(&grown);
    cpuu_buf_free(&again);
}

static inline void check_codec(cpuu_blob in, codec rewrite)
{
    cpuu_buf out;
    cpuu_fmt_error err = {0, NULL, NULL};
    bool replaced = false;
    cpuu_buf_init(&out, (size_t)in.size + 65536);
    if (rewrite(in, keep_link, NULL, &out, &replaced, &err)) {
        MUST(!replaced);
        fuzz_same(in, &out);
        check_grown(in, rewrite);
    } else {
        MUST(err.offset <= in.size && err.field && err.what);
        MUST(!out.failed);
    }
    cpuu_buf_free(&out);
}

#endif
