/* What is taken and not changed is the same again; what is changed is taken again. */
#include <cpuu/formats/distlist.h>

#include "rewriting.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_rewriting(data, size, cpuu_dl_stream_rewrite);
    return 0;
}
