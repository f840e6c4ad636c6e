/* Properties, restrictions, conditions and actions in all encodings; the first byte chooses. */
#include "formats.h"

#include <cpuu/formats/ruleaction.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static cpuu_form form;

static bool row(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                cpuu_fmt_error *err)
{
    cpuu_reader r;
    cpuu_rewriter w = {cb, user, NULL, NULL, false};
    cpuu_reader_init(&r, in.data, in.size);
    while (cpuu_reader_left(&r) && !r.failed && !out->failed)
        cpuu_rawprop_rewrite_row(&r, form, 1, &w, out);
    *err = r.error;
    if (replaced)
        *replaced = w.replaced;
    return !r.failed && !out->failed;
}

static bool restriction(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                        cpuu_fmt_error *err)
{
    return cpuu_restriction_rewrite(in, form, cb, user, out, replaced, err);
}

static bool condition(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                      cpuu_fmt_error *err)
{
    return cpuu_rule_condition_rewrite(in, form, cb, user, out, replaced, err);
}

static bool actions(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                    cpuu_fmt_error *err)
{
    return cpuu_rule_actions_rewrite(in, form, cb, user, out, replaced, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const codec codecs[] = {row, restriction, condition, actions};
    if (size == 0 || size > 1u << 20)
        return 0;
    form = (cpuu_form)(CPUU_FORM_RULE + data[0] % 3);
    codec chosen = codecs[data[0] / 3 % 4];
    if (chosen == actions && form == CPUU_FORM_SEARCH)
        form = CPUU_FORM_EXTENDED;
    check_codec((cpuu_blob){data + 1, (uint32_t)size - 1}, chosen);
    return 0;
}
