/* Outlook's rule stream; the first byte chooses the outer form. */
#include "formats.h"

#include <cpuu/formats/rulestream.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static cpuu_xr_form form;

static bool rewrite(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                    cpuu_fmt_error *err)
{
    return cpuu_xr_rewrite(in, form, cb, user, out, replaced, NULL, err);
}

static bool item(void *user, const cpuu_xr_item *i)
{
    const cpuu_blob *in = user;
    MUST(i->field && i->offset <= in->size && i->size <= in->size - i->offset);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 1u << 20)
        return 0;
    cpuu_blob in = {data + 1, (uint32_t)size - 1};
    cpuu_fmt_error err;
    form = data[0] & 1 ? CPUU_XR_STREAM : CPUU_XR_DEFER;
    cpuu_xr_is_defer(in);
    cpuu_xr_walk(in, form, item, &in, NULL, &err);
    check_codec(in, rewrite);
    return 0;
}
