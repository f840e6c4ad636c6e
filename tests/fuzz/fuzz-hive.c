/* Hives: refused, or read within bounds; an edit that succeeds gives exactly what was asked for. */
#include "registry/hive.h"

#include "../lab/emptyhive.h"

#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is known of the cells of a new hive is what a scan finds. */
static void compare_cells(const cpuu_hive_variant *now, const cpuu_hive_cells *cells)
{
    cpuu_hive_head head;
    cpuu_hive_cells scanned;
    if (cpuu_hive_check_base(now->data, now->size, &head, NULL) != CPUU_OK ||
        cpuu_hive_check_bins(now->data, 0, head.bins_size, NULL) != CPUU_OK ||
        cpuu_hive_scan(now->data, &head, &scanned, NULL) != CPUU_OK ||
        scanned.size != cells->size ||
        memcmp(scanned.states, cells->states, cells->size / 32) != 0)
        abort();
    cpuu_hive_cells_free(&scanned);
}

/* The root and all below: what is deleted is read in full. */
static cpuu_key *whole_tree(const uint8_t *image)
{
    cpuu_key *root = NULL;
    cpuu_hive_head head = {cpuu_le32(image + 24), cpuu_le32(image + 40)};
    cpuu_edits e;
    cpuu_edits_init(&e);
    cpuu_edits_delete_key(&e, "", CPUU_MARK_NONE, NULL);
    if (cpuu_hive_load(image, &head, &e, &root, NULL) != CPUU_OK)
        abort();
    cpuu_edits_free(&e);
    return root;
}

static void make_edits(cpuu_edits *e)
{
    cpuu_edits_init(e);
    cpuu_edits_create_key(e, "Software\\fuzz\\key", CPUU_MARK_NONE, NULL);
    cpuu_edits_set_sz(e, "Software", "value", "text", CPUU_MARK_NONE, NULL);
    cpuu_edits_delete_key(e, "Software\\a", CPUU_MARK_NONE, NULL);
}

/* With the tree of what edits concern, or of everything: the result is the same. */
static void change(const cpuu_hive_image *image, const cpuu_hive_head *head,
                   const cpuu_hive_cells *cells, bool whole)
{
    cpuu_edits e;
    cpuu_key *from = NULL, *to = NULL, *now;
    cpuu_hive_cells after = {0};
    cpuu_hive_image out;
    cpuu_hive_variant variant = {0};
    make_edits(&e);
    cpuu_hive_image_init(&out);
    if (whole)
        from = whole_tree(image->data);
    cpuu_rc rc = whole ? CPUU_OK : cpuu_hive_load(image->data, head, &e, &from, NULL);
    if (rc == CPUU_OK)
        rc = cpuu_tree_changed(from, &e, &to, NULL);
    if (rc == CPUU_OK)
        cpuu_hive_settle(from, to);
    if (rc == CPUU_OK)
        rc = cpuu_hive_check_change(head, from, to, NULL);
    if (rc == CPUU_OK)
        rc = cpuu_hive_image_create(&out, NULL);
    if (rc == CPUU_OK)
        rc = cpuu_hive_change(image, cells, from, to, out.fd, NULL);
    if (rc == CPUU_OK)
        rc = cpuu_hive_variant_read(&variant, image, out.fd, NULL);
    if (rc == CPUU_OK)
        rc = cpuu_hive_verify(image, cells, &variant, to, &after, NULL);
    if (rc == CPUU_OK) {
        compare_cells(&variant, &after);
        now = whole_tree(variant.data);
        if (whole && !cpuu_hive_equal(now, to))
            abort();
        cpuu_key_free(now);
    }
    cpuu_hive_cells_free(&after);
    cpuu_key_free(to);
    cpuu_key_free(from);
    cpuu_hive_variant_free(&variant);
    cpuu_hive_image_free(&out);
    cpuu_edits_free(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cpuu_hive_head head;
    cpuu_hive_image image;
    cpuu_hive_cells cells;
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
        cpuu_hive_check(&image, &head, &cells, NULL) == CPUU_OK) {
        change(&image, &head, &cells, false);
        change(&image, &head, &cells, true);
        cpuu_hive_cells_free(&cells);
    }
    cpuu_hive_image_free(&image);
    return 0;
}
