/* The body of a MAPI/HTTP response: meta-tags and headers, then an Execute response's ROP buffer. */
#include "base/mem.h"
#include "mailbox/mapihttp/session.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint32_t sum;

/* Touches every byte a reply points to, so that a sanitizer sees one that is not there. */
static void touch(const cpuu_rop_reply *r)
{
    for (uint32_t i = 0; i < r->rops_size; i++)
        sum += r->rops[i];
    for (uint32_t i = 0; i < r->n_handles; i++)
        sum += cpuu_le32(r->handles + (size_t)4 * i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cpuu_mapi_frame frame;
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_rop_reply *replies;
    cpuu_buf plain;
    size_t n;
    const uint8_t *rops = data;
    if (cpuu_mapi_frame_parse(data, size, &frame, &err) >= 0) {
        if (frame.data + frame.size != data + size)
            abort();
        rops = frame.data;
    }
    size_t left = (size_t)(data + size - rops);
    size_t skip = rops != data && left > 16 ? 16 : 0; /* StatusCode ... RopBufferSize */
    cpuu_buf_init(&plain, (size_t)1 << 20);
    if (cpuu_rop_buffer_parse(rops + skip, left - skip, &plain, &replies, &n, &err) >= 0) {
        if (n == 0 || n > 96)
            abort();
        for (size_t i = 0; i < n; i++)
            touch(&replies[i]);
        cpuu_free(replies);
    }
    cpuu_buf_free(&plain);
    (void)cpuu_aux_capabilities(data, size);
    return 0;
}
