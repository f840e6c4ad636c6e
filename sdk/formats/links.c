/* Asking for links; see cpuu/formats/links.h. */
#include "internal.h"

#include <cpuu/formats/links.h>

/* True when `out` was appended to as the answer; otherwise it is as before, unless it failed. */
static bool asked(cpuu_link_cb cb, void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    size_t before = out->size;
    if (in.size == 0 || out->failed)
        return false;
    if (cb(user, kind, in, out))
        return !out->failed;
    if (!out->failed)
        out->size = before;
    return false;
}

bool cpuu_link_ask(cpuu_link_cb cb, void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out,
                   bool *replaced)
{
    if (!asked(cb, user, kind, in, out))
        return fmt_add(out, in);
    if (replaced)
        *replaced = true;
    return true;
}

bool cpuu_link_ask_utf16(cpuu_link_cb cb, void *user, uint32_t kind, cpuu_blob utf16, cpuu_buf *out,
                         bool *replaced)
{
    cpuu_buf utf8, answer;
    cpuu_buf_init(&utf8, (size_t)utf16.size * 3 / 2 + 3);
    cpuu_buf_init(&answer, out->max);
    cpuu_buf_utf8_from_utf16(&utf8, utf16.data, utf16.size);
    bool yes = asked(cb, user, kind, (cpuu_blob){utf8.data, (uint32_t)utf8.size}, &answer);
    if (utf8.failed || answer.failed) {
        out->failed = true;
    } else if (yes) {
        cpuu_buf_u8(&answer, 0);
        if (answer.failed || !cpuu_buf_utf16(out, (const char *)answer.data, false))
            out->failed = true;
        else if (replaced)
            *replaced = true;
    } else {
        fmt_add(out, utf16);
    }
    cpuu_buf_free(&utf8);
    cpuu_buf_free(&answer);
    return !out->failed;
}
