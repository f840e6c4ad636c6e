/* Small containers of the mailbox and of the profile; the first byte chooses. */
#include "formats.h"

#include <cpuu/formats/lists.h>
#include <cpuu/formats/profileblob.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool flat(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                 cpuu_fmt_error *err)
{
    cpuu_reader r;
    cpuu_reader_init(&r, in.data, in.size);
    bool ok = cpuu_flat_list_rewrite(&r, cb, user, out, replaced);
    *err = r.error;
    if (ok && cpuu_reader_left(&r))
        cpuu_buf_add(out, r.data + r.pos, cpuu_reader_left(&r));
    return ok && !out->failed;
}

static bool eids(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                 cpuu_fmt_error *err)
{
    return cpuu_list_rewrite(in, cpuu_eid_element, cb, user, out, replaced, err);
}

static bool refs(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                 cpuu_fmt_error *err)
{
    return cpuu_list_rewrite(in, cpuu_folder_ref_rewrite, cb, user, out, replaced, err);
}

static bool flags(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                  cpuu_fmt_error *err)
{
    cpuu_reader r;
    cpuu_efp p;
    (void)cb;
    (void)user;
    (void)replaced;
    cpuu_reader_init(&r, in.data, in.size);
    while (cpuu_efp_next(&r, &p))
        cpuu_efp_write(out, &p);
    *err = r.error;
    return !r.failed;
}

static bool todo(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                 cpuu_fmt_error *err)
{
    cpuu_swapped_todo t;
    (void)cb;
    (void)user;
    (void)replaced;
    return cpuu_swapped_todo_decode(in, &t, err) && cpuu_swapped_todo_encode(out, &t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const codec codecs[] = {cpuu_entry_list_rewrite,
                                   flat,
                                   cpuu_ren_rewrite,
                                   cpuu_fav_keys_rewrite,
                                   flags,
                                   todo,
                                   cpuu_folder_ref_rewrite,
                                   cpuu_window_state_rewrite,
                                   eids,
                                   refs};
    if (size == 0 || size > 1u << 20)
        return 0;
    check_codec((cpuu_blob){data + 1, (uint32_t)size - 1},
                codecs[data[0] % (sizeof(codecs) / sizeof(codecs[0]))]);
    return 0;
}
