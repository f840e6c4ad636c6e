/* Address-book responses. Input: which request it answers, then the body behind its ErrorCode. */
#include "mailbox/mapihttp/nspi.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {"Bind",     "ResolveNames", "DNToMId", "QueryRows",
                                        "GetProps", "GetMatches",   "Unbind",  "Other"};
    cpuu_reader r;
    cpuu_nspi_answer a;
    bool nomem;
    cpuu_reader_init(&r, data, size);
    const char *type = types[cpuu_read_u8(&r, "type") % 8];
    cpuu_nspi_answer_init(&a);
    if (cpuu_nspi_decode(&r, type, &a, &nomem))
        for (size_t i = 0; i < a.n_rows * a.n_columns; i++)
            if (a.cells[i].offset > a.bytes.size ||
                a.cells[i].size > a.bytes.size - a.cells[i].offset)
                abort();
    cpuu_nspi_answer_free(&a);
    return 0;
}
