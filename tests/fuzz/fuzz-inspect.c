/* Trees, links and verification of every type over any bytes; the first byte chooses the type. */
#include "inspect/types.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool keep(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    (void)user;
    (void)kind;
    (void)in;
    (void)out;
    return false;
}

static FILE *nowhere(void)
{
    static FILE *f;
    if (!f && !(f = fopen("/dev/null", "w")))
        abort();
    return f;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 1u << 20)
        return 0;
    const blob_type *t = &blob_types[data[0] % n_blob_types];
    cpuu_blob in = {data + 1, (uint32_t)size - 1};
    cpuu_fmt_error err = {0, NULL, NULL};
    cpuu_buf out;
    for (int json = 0; json < 2; json++) {
        printer p = {nowhere(), json != 0, in, 0, false};
        if (!t->print(&p, in, &err) && (!err.field || !err.what))
            abort();
        if (p.depth)
            abort();
    }
    cpuu_buf_init(&out, 1u << 22);
    t->rewrite(in, keep, NULL, &out, NULL, &err);
    cpuu_buf_free(&out);
    type_guess(in);
    return 0;
}
