#include "formats.h"

#include <cpuu/formats/entryid.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool rewrite(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                    cpuu_fmt_error *err)
{
    (void)err;
    return cpuu_eid_rewrite(in, cb, user, out, replaced);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cpuu_blob in = {data, (uint32_t)size}, dn;
    cpuu_eid eid;
    cpuu_fmt_error err = {0, NULL, NULL};
    cpuu_buf out, smtp;
    uint8_t key[CPUU_SOURCE_KEY_SIZE];
    if (size == 0 || size > 1u << 20)
        return 0;
    cpuu_buf_init(&out, size);
    cpuu_buf_init(&smtp, 2 * size);
    if (cpuu_eid_decode(in, &eid, &err)) {
        MUST(cpuu_eid_encode(&eid, &out));
        fuzz_same(in, &out);
        MUST(cpuu_eid_same(in, in));
        cpuu_eid_same_store(in, in);
        cpuu_eid_source_key(&eid, key);
        cpuu_eid_store_dn(&eid, &dn);
        cpuu_eid_store_smtp(&eid, &smtp);
    } else {
        MUST(err.offset <= size && err.field && err.what);
    }
    cpuu_buf_free(&out);
    cpuu_buf_free(&smtp);
    check_codec(in, rewrite);
    return 0;
}
