/*
 * The rehearsal server against any input. The first byte chooses: 'r' the ROPs of an Execute in a
 * session that is logged on, 'n' a request of the address book, anything else a content file.
 */
#include "tests/lab/http.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static lab_org *small_org(lab *l)
{
    lab_org *o = lab_add_org(l, "o");
    for (char name[2] = "a"; name[0] < 'c'; name[0]++) {
        lab_user *u = lab_add_user(o, name, LAB_MAILBOX);
        u->store = lab_store_new(o, u);
    }
    lab_message *m = lab_message_new(lab_folder_by_role(o->users[0]->store, "inbox"), true);
    lab_props_set_text(&m->content.props, 0x001A, "IPM.Note");
    return o;
}

static void execute(lab_context *c, const uint8_t *rops, size_t n, cpuu_buf *out)
{
    cpuu_buf b;
    uint16_t size = (uint16_t)(2 + n + 4 * 8);
    cpuu_buf_init(&b, 1u << 17);
    cpuu_buf_u16(&b, 0);
    cpuu_buf_u16(&b, 4);
    cpuu_buf_u16(&b, size);
    cpuu_buf_u16(&b, size);
    cpuu_buf_u16(&b, (uint16_t)(2 + n));
    cpuu_buf_add(&b, rops, n);
    for (uint32_t i = 0; i < 8; i++)
        cpuu_buf_u32(&b, i);
    lab_execute(c, 7, b.data, (uint32_t)b.size, 0x40000, out);
    cpuu_buf_free(&b);
}

static void fuzz_rops(lab_org *o, const uint8_t *data, size_t size)
{
    lab_context c = {.user = o->users[0], .org = o};
    cpuu_buf b, out;
    const char *dn = o->users[0]->dn;
    if (size > 30000)
        return;
    cpuu_buf_init(&b, 4096);
    cpuu_buf_init(&out, 1u << 22);
    cpuu_buf_add(&b, "\xFE\0\0\x01", 4);
    cpuu_buf_u32(&b, 0x01000004);
    cpuu_buf_u32(&b, 0);
    cpuu_buf_u16(&b, (uint16_t)(strlen(dn) + 1));
    cpuu_buf_sz(&b, dn);
    execute(&c, b.data, b.size, &out);
    execute(&c, data, size, &out);
    execute(&c, data, size, &out);
    lab_context_clear(&c);
    cpuu_buf_free(&b);
    cpuu_buf_free(&out);
}

static void fuzz_nspi(lab_org *o, const uint8_t *data, size_t size)
{
    static const char *const types[] = {"DNToMId", "ResolveNames", "QueryRows", "GetProps",
                                        "GetMatches"};
    lab_context c = {.user = o->users[0], .org = o, .nspi = true};
    for (size_t i = 0; i < 5; i++) {
        cpuu_buf out;
        cpuu_buf_init(&out, 1u << 22);
        lab_nspi(&c, types[i], data, size, &out);
        cpuu_buf_free(&out);
    }
}

static void fuzz_content(lab *l, const uint8_t *data, size_t size)
{
    char err[700];
    char *text = lab_calloc(1, size + 1);
    memcpy(text, data, size);
    lab_load_text(l, "input", text, err, sizeof(err));
    cpuu_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lab *l = lab_new();
    if (size && data[0] == 'r')
        fuzz_rops(small_org(l), data + 1, size - 1);
    else if (size && data[0] == 'n')
        fuzz_nspi(small_org(l), data + 1, size - 1);
    else
        fuzz_content(l, data, size);
    lab_free(l);
    return 0;
}
