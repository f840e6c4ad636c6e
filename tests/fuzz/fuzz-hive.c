/* Hives: refused, or read within bounds; an edit that succeeds gives exactly what was asked for. */
#include "registry/hive.h"

#include "../lab/emptyhive.h"

#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void change(const cpuu_hive_image *image, const cpuu_hive_head *head, const cpuu_key *root)
{
    cpuu_edits e;
    cpuu_key *to = NULL, *now = NULL;
    cpuu_hive_head after;
    cpuu_hive_image out;
    cpuu_edits_init(&e);
    cpuu_hive_image_init(&out);
    cpuu_edits_create_key(&e, "Software\\fuzz\\key", CPUU_MARK_NONE, NULL);
    cpuu_edits_set_sz(&e, "Software", "value", "text", CPUU_MARK_NONE, NULL);
    cpuu_edits_delete_key(&e, "Software\\a", CPUU_MARK_NONE, NULL);
    cpuu_rc rc = cpuu_tree_changed(root, &e, &to, NULL);
    if (rc == CPUU_OK)
        cpuu_hive_settle(root, to);
    if (rc == CPUU_OK)
        rc = cpuu_hive_check_change(head, root, to, NULL);
    if (rc == CPUU_OK)
        rc = cpuu_hive_change(image, root, to, &out, NULL);
    if (rc == CPUU_OK)
        rc = cpuu_hive_verify(image, &out, to, NULL);
    if (rc == CPUU_OK && (cpuu_hive_read(&out, &after, &now, NULL) != CPUU_OK ||
                          !cpuu_hive_equal(now, to)))
        abort();
    cpuu_key_free(now);
    cpuu_key_free(to);
    cpuu_hive_image_free(&out);
    cpuu_edits_free(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cpuu_hive_head head;
    cpuu_hive_image image;
    cpuu_key *root;
    uint8_t base[512];
    cpuu_hive_image_init(&image);
    if (cpuu_hive_image_create(&image, NULL) != CPUU_OK)
        return 0;
    bool whole = size >= sizeof(base);
    if (whole) { /* or nearly every change would end at the checksum */
        memcpy(base, data, sizeof(base));
        hive_checksum(base);
    }
    if (write(image.fd, data, size) == (ssize_t)size &&
        (!whole || pwrite(image.fd, base, sizeof(base), 0) == sizeof(base)) &&
        cpuu_hive_image_map(&image, NULL) == CPUU_OK &&
        cpuu_hive_read(&image, &head, &root, NULL) == CPUU_OK) {
        change(&image, &head, root);
        cpuu_key_free(root);
    }
    cpuu_hive_image_free(&image);
    return 0;
}
