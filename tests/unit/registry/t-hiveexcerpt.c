/*
 * Excerpts of hives: libhivex makes of a part what it makes of the whole hive, the part stays small,
 * and what cannot be put back is refused.
 */
#include "hivekit.h"

#include "registry/hiveexcerpt.h"

#include <hivex.h>

/* ---- the part and the whole ------------------------------------------------------------------ */

static void write_values(hive_h *h, hive_node_h key, const hive_set_value *list, size_t n)
{
    ck_assert_int_eq(hivex_node_set_values(h, key, n, list, 0), 0);
}

/* The values of "Console" as an edit leaves them: one changed, one gone, one new. */
static void change_console(hive_h *h, hive_node_h console)
{
    static char number[] = "\x34\x12\0", text[] = "t\0e\0x\0t\0\0";
    hive_value_h *values = hivex_node_values(h, console);
    hive_set_value list[100];
    size_t n = 0;
    for (size_t i = 0; values[i]; i++) {
        ck_assert_uint_lt(n, 98);
        list[n].key = hivex_value_key(h, values[i]);
        list[n].value = hivex_value_value(h, values[i], &list[n].t, &list[n].len);
        if (strcmp(list[n].key, "CursorSize") == 0)
            memcpy(list[n].value, number, 4);
        if (strcmp(list[n].key, "QuickEdit") != 0) {
            n++;
            continue;
        }
        free(list[n].key);
        free(list[n].value);
    }
    free(values);
    list[n] = (hive_set_value){(char *)"new", hive_t_string, 10, text};
    write_values(h, console, list, n + 1);
    for (size_t i = 0; i < n; i++) {
        free(list[i].key);
        free(list[i].value);
    }
}

static void change_whole(const char *file)
{
    static char bytes[] = "\0\xff";
    hive_h *h = hivex_open(file, HIVEX_OPEN_WRITE);
    ck_assert_ptr_nonnull(h);
    hive_node_h root = hivex_root(h), console = hivex_node_get_child(h, root, "Console");
    ck_assert_int_eq(hivex_node_delete_child(h, hivex_node_get_child(h, root, "Environment")), 0);
    change_console(h, console);
    hive_node_h fresh = hivex_node_add_child(h, console, "CPUU");
    write_values(h, fresh, &(hive_set_value){(char *)"b", hive_t_binary, 2, bytes}, 1);
    ck_assert_int_eq(hivex_commit(h, NULL, 0), 0);
    hivex_close(h);
}

/* Every byte but those in free cells. */
static void ck_same_hives(const cpuu_buf *a, const cpuu_buf *b)
{
    unsigned used = 0, empty = 0;
    size_t end = 4096u + cpuu_le32(a->data + 40);
    ck_assert_uint_eq(a->size, b->size);
    ck_assert_mem_eq(a->data, b->data, 4096);
    ck_assert_mem_eq(a->data + end, b->data + end, a->size - end);
    for (size_t bin = 4096, next; bin < end; bin = next) {
        next = bin + cpuu_le32(a->data + bin + 8);
        ck_assert_mem_eq(a->data + bin, b->data + bin, 32);
        for (size_t at = bin + 32, size; at < next; at += size) {
            int32_t raw = (int32_t)cpuu_le32(a->data + at);
            size = (size_t)(raw < 0 ? -raw : raw);
            ck_assert_mem_eq(a->data + at, b->data + at, raw < 0 ? size : 4);
            *(raw < 0 ? &used : &empty) += 1;
        }
    }
    ck_assert(used > 1000 && empty > 10);
}

START_TEST(libhivex_makes_of_a_part_what_it_makes_of_the_whole)
{
    cpuu_error err = CPUU_ERROR_INIT;
    char other[128];
    if (!real_hive("libhivex_makes_of_a_part_what_it_makes_of_the_whole", _i))
        return;
    cpuu_buf before = slurp(path);
    snprintf(other, sizeof(other), "%s/other", dir);
    spit(other, before.data, before.size);
    OK(edit_text(HEAD "[HKEY_CURRENT_USER\\Console]\n\"CursorSize\"=dword:1234\n\"new\"=\"text\"\n"
                      "\"QuickEdit\"=-\n[HKEY_CURRENT_USER\\Console\\CPUU]\n\"b\"=hex:00,ff\n"
                      "[-HKEY_CURRENT_USER\\Environment]\n", &err));
    change_whole(other);
    cpuu_buf now = slurp(path), whole = slurp(other);
    ck_assert(!same_bytes(&now, &before));
    ck_same_hives(&now, &whole);
    cpuu_buf_free(&before);
    cpuu_buf_free(&now);
    cpuu_buf_free(&whole);
}
END_TEST

/* ---- an excerpt ------------------------------------------------------------------------------ */

/* The hive and the excerpt that a change of Software\a takes. */
typedef struct bench {
    cpuu_hive_image image;
    cpuu_hive_head head;
    cpuu_hive_cells cells;
    cpuu_key *tree;
    cpuu_excerpt x;
} bench;

static void open_bench(bench *b)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_edits e;
    int fd = open(path, O_RDONLY);
    *b = (bench){0};
    cpuu_hive_image_init(&b->image);
    OK(cpuu_hive_image_read(&b->image, fd, &err));
    close(fd);
    OK(cpuu_hive_check(&b->image, &b->head, &b->cells, &err));
    edits_of(&e, HEAD "[HKEY_CURRENT_USER\\Software\\a]\n\"v\"=\"two\"\n");
    OK(cpuu_hive_load(b->image.data, &b->head, &e, &b->tree, &err));
    cpuu_edits_free(&e);
    OK(cpuu_excerpt_take(&b->x, &b->image, &b->cells, b->tree, &err));
}

static void close_bench(bench *b)
{
    cpuu_excerpt_free(&b->x);
    cpuu_key_free(b->tree);
    cpuu_hive_cells_free(&b->cells);
    cpuu_hive_image_free(&b->image);
}

/* Two thousand keys beside the one that is edited: of each other group the name is taken. */
START_TEST(an_excerpt_is_small)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_edits e;
    bench b;
    make_hive(5, SOME);
    cpuu_edits_init(&e);
    for (unsigned i = 0; i < 2000; i++) {
        char key[64];
        snprintf(key, sizeof(key), "Software\\Group%02u\\Key%04u", i / 50, i);
        cpuu_edits_create_key(&e, key, CPUU_MARK_NONE, NULL);
        cpuu_edits_set_sz(&e, key, "value", "some text of some length", CPUU_MARK_NONE, NULL);
    }
    OK(edit(&e, &err));
    cpuu_edits_free(&e);
    open_bench(&b);
    ck_assert_uint_gt(b.head.bins_size, 300000);
    ck_assert_uint_eq(b.x.size, 8192);
    close_bench(&b);
}
END_TEST

/* Nothing was changed: nothing but the sequence numbers of libhivex would be written. */
START_TEST(an_excerpt_goes_back_as_it_came)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_hive_image file;
    bool same;
    bench b;
    make_hive(5, SOME);
    open_bench(&b);
    cpuu_hive_image_init(&file);
    OK(cpuu_hive_image_create(&file, &err));
    ck_assert(cpuu_hive_put(file.fd, b.image.data, b.image.size, 0));
    OK(cpuu_excerpt_give_back(&b.x, file.fd, &err));
    OK(cpuu_hive_image_compare(&b.image, file.fd, &same, &err));
    ck_assert(same);
    cpuu_hive_image_free(&file);
    close_bench(&b);
}
END_TEST

/* The data of a value are in a cell that was never copied. */
START_TEST(what_has_no_place_in_the_hive_is_not_put_back)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_hive_image file;
    bench b;
    uint8_t bins[8192], entry[8];
    make_hive(5, SOME);
    open_bench(&b);
    ck_assert_int_eq(pread(b.x.file.fd, bins, b.x.size, 4096), b.x.size);
    uint32_t vk = 0;
    while (vk < b.x.size && (memcmp(bins + vk + 4, "vk", 2) != 0 || cpuu_le32(bins + vk + 8) < 5 ||
                             cpuu_le32(bins + vk + 8) & 0x80000000u))
        vk += 8;
    ck_assert_uint_lt(vk, b.x.size);
    put32(entry, 3);
    put32(entry + 4, vk - cpuu_le32(bins + vk)); /* the cell between this copy and the next */
    ck_assert_uint_eq(cpuu_le32(bins + cpuu_le32(entry + 4)), 0xfffffff8);
    ck_assert_int_eq(pwrite(b.x.file.fd, entry, 8, 4096 + vk + 8), 8);
    cpuu_hive_image_init(&file);
    OK(cpuu_hive_image_create(&file, &err));
    ck_assert_int_eq(cpuu_excerpt_give_back(&b.x, file.fd, &err), CPUU_E_FAILED);
    ck_assert_int_eq(lseek(file.fd, 0, SEEK_END), 0);
    cpuu_hive_image_free(&file);
    close_bench(&b);
}
END_TEST

/* ---- security descriptors -------------------------------------------------------------------- */

static uint32_t cell_of(const cpuu_buf *hive, const char *key)
{
    cpuu_error err = CPUU_ERROR_INIT;
    uint32_t at = 0;
    OK(cpuu_hive_find_key(hive->data, key, &at, &err));
    return at;
}

/* A descriptor that no key has, between the one of the keys and itself: the data of a value whose
 * key forgets it. Returns where it is in the file. */
static size_t add_descriptor(cpuu_buf *hive)
{
    make_hive(5, SOME "[HKEY_CURRENT_USER\\Software\\k]\n\"s\"=hex:73,6b,00,00,00,00,00,00,"
                      "00,00,00,00,01,00,00,00,08,00,00,00,01,02,03,04,05,06,07,08\n");
    *hive = slurp(path);
    uint8_t *bins = hive->data + 4096, *k = bins + cell_of(hive, "software\\k");
    uint32_t used = cpuu_le32(bins + cell_of(hive, "software") + 48);
    uint32_t fresh = cpuu_le32(bins + cpuu_le32(bins + cpuu_le32(k + 44) + 4) + 12);
    ck_assert_mem_eq(bins + fresh + 4, "sk", 2);
    for (unsigned i = 8; i <= 12; i += 4) {
        put32(bins + used + i, fresh);
        put32(bins + fresh + i, used);
    }
    put32(k + 40, 0);
    put32(k + 44, 0xffffffff);
    spit(path, hive->data, hive->size);
    return 4096u + fresh;
}

START_TEST(a_descriptor_that_no_key_has_stays)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_buf hive;
    size_t at = add_descriptor(&hive);
    OK(edit_text(CHANGE, &err));
    cpuu_buf now = slurp(path);
    ck_assert_mem_eq(now.data + at, hive.data + at, 32);
    cpuu_buf_free(&now);
    put32(hive.data + at + 12, 32); /* the root key, which is no descriptor */
    spit(path, hive.data, hive.size);
    ck_assert_int_eq(edit_text(CHANGE, &err), CPUU_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "chain of security descriptors"));
    now = slurp(path);
    ck_assert(same_bytes(&now, &hive));
    ck_assert_uint_eq(files_in_dir(), 1);
    cpuu_buf_free(&now);
    cpuu_buf_free(&hive);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("hiveexcerpt");
    TCase *t = tcase_create("hiveexcerpt");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, libhivex_makes_of_a_part_what_it_makes_of_the_whole, 0, 2);
    tcase_add_test(t, an_excerpt_is_small);
    tcase_add_test(t, an_excerpt_goes_back_as_it_came);
    tcase_add_test(t, what_has_no_place_in_the_hive_is_not_put_back);
    tcase_add_test(t, a_descriptor_that_no_key_has_stays);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
