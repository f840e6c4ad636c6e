/* .reg text: whatever is read can be applied or is refused, and export and import give the same. */
#include "registry/registry.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Text to registry; NULL when it is refused. */
static cpuu_reg *load(const void *text, size_t size)
{
    cpuu_reg *reg = NULL;
    cpuu_edits e;
    cpuu_edits_init(&e);
    cpuu_rc rc = cpuu_reg_open_memory(&reg, NULL);
    if (rc == CPUU_OK)
        rc = cpuu_reg_parse_text(text, size, &e, NULL);
    if (rc != CPUU_OK && e.count)
        abort();
    if (rc == CPUU_OK)
        rc = cpuu_reg_apply(reg, &e, NULL);
    cpuu_edits_free(&e);
    if (rc == CPUU_OK)
        return reg;
    cpuu_reg_close(reg);
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cpuu_reg *reg = load(data, size);
    if (!reg)
        return 0;
    cpuu_buf first, second;
    cpuu_buf_init(&first, 1 << 26);
    cpuu_buf_init(&second, 1 << 26);
    if (cpuu_reg_export_text(reg, "", &first, NULL) != CPUU_OK)
        abort();
    cpuu_reg_close(reg);
    reg = load(first.data, first.size);
    if (!reg || cpuu_reg_export_text(reg, "", &second, NULL) != CPUU_OK ||
        first.size != second.size || memcmp(first.data, second.data, first.size) != 0)
        abort();
    cpuu_reg_close(reg);
    cpuu_buf_free(&first);
    cpuu_buf_free(&second);
    return 0;
}
