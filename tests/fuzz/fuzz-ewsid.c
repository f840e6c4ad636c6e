/* Ids of Exchange Web Services: what decodes, encodes to an id that means the same. */
#include "formats.h"

#include <cpuu/formats/ewsid.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same_blob(cpuu_blob a, cpuu_blob b)
{
    MUST(a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0));
}

static void encode_again(const cpuu_ewsid *id, cpuu_buf *text, cpuu_buf *bytes)
{
    cpuu_ewsid again;
    cpuu_fmt_error err;
    if (!cpuu_ewsid_encode(id, text) || text->size > CPUU_EWSID_MAX)
        return;
    cpuu_buf_u8(text, 0);
    MUST(cpuu_ewsid_decode((const char *)text->data, bytes, &again, &err));
    MUST(again.layout == id->layout && again.type == id->type);
    MUST(again.processing == id->processing);
    same_blob(again.moniker, id->moniker);
    same_blob(again.store_id, id->store_id);
    same_blob(again.folder_id, id->folder_id);
    same_blob(again.rest, id->rest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[1024];
    cpuu_buf bytes, again, out;
    cpuu_ewsid id;
    cpuu_fmt_error err = {0, NULL, NULL};
    if (size >= sizeof(text))
        return 0;
    if (size)
        memcpy(text, data, size);
    text[size] = 0;
    cpuu_buf_init(&bytes, CPUU_EWSID_BYTES_MAX);
    cpuu_buf_init(&again, CPUU_EWSID_BYTES_MAX);
    cpuu_buf_init(&out, 4096);
    if (cpuu_ewsid_decode(text, &bytes, &id, &err))
        encode_again(&id, &out, &again);
    else
        MUST(err.field && err.what);
    cpuu_buf_free(&bytes);
    cpuu_buf_free(&again);
    cpuu_buf_free(&out);
    return 0;
}
