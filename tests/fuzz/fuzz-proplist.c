/* Journal lists: whatever decodes must encode to the same bytes. */
#include "features/proplist.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(const cpuu_buf *b, const uint8_t *data, size_t size)
{
    if (b->failed || b->size != size || memcmp(b->data, data, size) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cpuu_arena arena = {0};
    cpuu_prop *props;
    cpuu_blob *ids;
    uint32_t n;
    cpuu_buf b;
    if (size > 1 << 20)
        return 0;
    const cpuu_blob in = {data, (uint32_t)size};
    cpuu_buf_init(&b, 1 << 21);
    if (cpuu_proplist_decode(in, &arena, &props, &n, NULL) == CPUU_OK) {
        if (cpuu_proplist_encode(props, n, &b, NULL) != CPUU_OK)
            abort();
        same(&b, data, size);
    }
    cpuu_buf_reset(&b);
    if (cpuu_idlist_decode(in, &arena, &ids, &n, NULL) == CPUU_OK) {
        if (cpuu_idlist_encode(ids, n, &b, NULL) != CPUU_OK)
            abort();
        same(&b, data, size);
    }
    cpuu_buf_free(&b);
    cpuu_arena_free(&arena);
    return 0;
}
