/* The body of a profile image, its header made right, restored into a registry with a profile. What
 * is staged lies below the keys an image may hold, and a second restore has nothing to do. */
#include "profile/profile.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OUTLOOK "Software\\Microsoft\\Office\\16.0\\Outlook"

static void header(cpuu_buf *b, const uint8_t *body, size_t size)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < size; i++) {
        crc ^= body[i];
        for (int k = 0; k < 8; k++)
            crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1)));
    }
    cpuu_buf_add(b, "CPUUIMG\n", 8);
    cpuu_buf_u32(b, 1);
    cpuu_buf_u32(b, ~crc);
    cpuu_buf_u32(b, (uint32_t)size);
    cpuu_buf_add(b, body, size);
}

static cpuu_reg *world(void)
{
    cpuu_reg *reg = NULL;
    cpuu_edits e;
    cpuu_edits_init(&e);
    if (cpuu_reg_open_memory(&reg, NULL) < 0 ||
        cpuu_edits_create_key(&e, OUTLOOK "\\Profiles\\Outlook\\Old", CPUU_MARK_NONE, NULL) < 0 ||
        cpuu_edits_set_sz(&e, OUTLOOK "\\Profiles\\Outlook", "x", "y", CPUU_MARK_NONE, NULL) < 0 ||
        cpuu_reg_apply(reg, &e, NULL) < 0)
        abort();
    cpuu_edits_free(&e);
    return reg;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cpuu_reg *reg = world();
    cpuu_buf b;
    cpuu_edits e;
    cpuu_buf_init(&b, 1 << 24);
    cpuu_edits_init(&e);
    header(&b, data, size);
    cpuu_rc rc = cpuu_profile_restore(reg, b.data, b.size, &e, NULL);
    if (rc < 0 && e.count)
        abort();
    for (size_t i = 0; i < e.count; i++)
        if (cpuu_ncasecmp(e.items[i].key, OUTLOOK, strlen(OUTLOOK)) != 0)
            abort();
    if (rc >= 0 && cpuu_reg_apply(reg, &e, NULL) >= 0) {
        bool equal;
        char *difference;
        if (cpuu_profile_compare(reg, b.data, b.size, &equal, &difference, NULL) >= 0)
            cpuu_free(difference);
    }
    cpuu_edits_free(&e);
    cpuu_buf_free(&b);
    cpuu_reg_close(reg);
    return 0;
}
