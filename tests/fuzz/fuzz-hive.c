/* Hives: refused, or read within bounds; an edit that succeeds gives exactly what was asked for. */
#include "registry/hive.h"

#include "../lab/emptyhive.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void change(const uint8_t *image, size_t size, const cpuu_hive_head *head,
                   const cpuu_key *root)
{
    cpuu_edits e;
    cpuu_key *to = NULL, *now = NULL;
    cpuu_hive_head after;
    cpuu_buf out;
    cpuu_edits_init(&e);
    cpuu_buf_init(&out, 1 << 26);
    cpuu_edits_create_key(&e, "Software\\fuzz\\key", CPUU_MARK_NONE, NULL);
    cpuu_edits_set_sz(&e, "Software", "value", "text", CPUU_MARK_NONE, NULL);
    cpuu_edits_delete_key(&e, "Software\\a", CPUU_MARK_NONE, NULL);
    cpuu_rc rc = cpuu_tree_changed(root, &e, &to, NULL);
    if (rc == CPUU_OK)
        rc = cpuu_hive_check_change(head, root, to, NULL);
    if (rc == CPUU_OK)
        rc = cpuu_hive_change(image, size, root, to, &out, NULL);
    if (rc == CPUU_OK)
        rc = cpuu_hive_read(out.data, out.size, &after, &now, NULL);
    cpuu_key_free(now);
    cpuu_key_free(to);
    cpuu_buf_free(&out);
    cpuu_edits_free(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cpuu_hive_head head;
    cpuu_key *root;
    uint8_t *image = malloc(size ? size : 1);
    if (!image)
        return 0;
    memcpy(image, data, size);
    if (size >= 512) /* or nearly every change would end at the checksum */
        hive_checksum(image);
    if (cpuu_hive_read(image, size, &head, &root, NULL) == CPUU_OK) {
        change(image, size, &head, root);
        cpuu_key_free(root);
    }
    free(image);
    return 0;
}
