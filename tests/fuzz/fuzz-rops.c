/* ROP responses. Input: number of columns, the columns, then responses as they come from a server.
 */
#include "mailbox/mapihttp/rops.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(const cpuu_rop_answer *a)
{
    for (size_t i = 0; i < a->n_cells; i++)
        if (a->cells[i].offset > a->bytes.size ||
            a->cells[i].size > a->bytes.size - a->cells[i].offset)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t columns[16], n = 0;
    cpuu_reader r;
    cpuu_rop_answer a;
    bool nomem;
    cpuu_reader_init(&r, data, size);
    uint8_t want = cpuu_read_u8(&r, "n") % 17;
    while (n < want)
        columns[n++] = cpuu_read_u32(&r, "column");
    cpuu_rop_answer_init(&a);
    while (cpuu_reader_left(&r)) {
        uint32_t before = r.pos;
        if (!cpuu_rop_decode(&r, columns, n, &a, &nomem))
            break;
        if (r.pos <= before)
            abort(); /* no progress: a client would never end */
        inside(&a);
    }
    cpuu_rop_answer_free(&a);
    return 0;
}
