#include "render.h"

#include <cpuu/formats/ewsid.h>
#include <cpuu/formats/lists.h>
#include <cpuu/formats/mv.h>
#include <cpuu/formats/profileblob.h>

#include <check.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef bool (*rewrite_fn)(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                           cpuu_fmt_error *err);
static rewrite_fn hostile_fn;

static void rewrite_identically(cpuu_blob in)
{
    cpuu_buf out;
    cpuu_fmt_error err;
    swap s = {0, 0, 0};
    bool replaced = false;
    cpuu_buf_init(&out, 65536);
    if (hostile_fn(in, swap_link, &s, &out, &replaced, &err))
        same_bytes(in, &out, "input");
    else
        ck_assert_msg(err.offset <= in.size && err.field && err.what, "%u", err.offset);
    ck_assert(!replaced);
    cpuu_buf_free(&out);
}

static void check_hostile(cpuu_blob in, rewrite_fn fn)
{
    hostile_fn = fn;
    rewrite_identically(in);
    hostile_variants(in, rewrite_identically);
}

/* ---- entry lists ------------------------------------------------------------------------------
 */

static void check_entry_list(const sample *s)
{
    text t;
    cpuu_entry_list list;
    cpuu_blob eid;
    uint32_t pad;
    text_init(&t);
    ck_assert(cpuu_entry_list_open(s->bytes, &list, NULL));
    text_line(&t, "Entry List");
    text_line(&t, "EntryCount = 0x%08X", list.n);
    text_line(&t, "Pad = 0x%08X", list.pad);
    for (uint32_t i = 0; cpuu_entry_list_next(&list, &eid, &pad); i++) {
        text_line(&t, "EntryId[%u]", i);
        text_line(&t, "EntryLength = 0x%08X", eid.size);
        text_line(&t, "EntryLengthPad = 0x%08X", pad);
        render_eid(&t, eid);
    }
    sample_compare(s, text_get(&t));
    text_free(&t);
    check_hostile(s->bytes, cpuu_entry_list_rewrite);
}

START_TEST(entry_list_sample)
{
    int n = samples_each("ENTRYLIST", check_entry_list);
    ck_assert(n == -1 || n == 1);
}
END_TEST

static const uint8_t id_a[] = {0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 'a'};
static const uint8_t id_b[] = {0, 0, 0, 0, 1, 2, 3, 4, 5, 6,   7,
                               8, 9, 1, 2, 3, 4, 5, 6, 7, 'b', 'b'};
static const cpuu_blob two_ids[] = {{id_a, sizeof(id_a)}, {id_b, sizeof(id_b)}};

/* What `mode` of swap_link makes of the size of a link. */
static uint32_t swapped(uint32_t size, int mode)
{
    return mode < 0 ? 1 : mode > 0 ? size + 300 : size;
}

START_TEST(entry_list_is_laid_out_again)
{
    static const uint32_t pads[] = {0x11111111, 0x22222222};
    cpuu_buf in;
    cpuu_buf_init(&in, 4096);
    ck_assert(cpuu_entry_list_write(&in, 7, two_ids, pads, 2));
    for (int mode = -1; mode <= 1; mode++) {
        swap s = {mode, 0, 0};
        cpuu_buf out;
        cpuu_entry_list list;
        cpuu_blob eid;
        uint32_t pad;
        cpuu_buf_init(&out, 4096);
        ck_assert(cpuu_entry_list_rewrite(blob_of(&in), swap_link, &s, &out, NULL, NULL));
        ck_assert_uint_eq(s.asked, 2);
        ck_assert(cpuu_entry_list_open(blob_of(&out), &list, NULL));
        for (int i = 0; i < 2; i++) {
            ck_assert(cpuu_entry_list_next(&list, &eid, &pad));
            ck_assert_uint_eq(eid.size, swapped(two_ids[i].size, mode));
            ck_assert_uint_eq(pad, pads[i]);
        }
        ck_assert(!cpuu_entry_list_next(&list, &eid, &pad));
        ck_assert_uint_eq(list.rest.size, 0);
        cpuu_buf_free(&out);
    }
    check_hostile(blob_of(&in), cpuu_entry_list_rewrite);
    cpuu_buf_free(&in);
}
END_TEST

static bool flat_rewrite(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                         cpuu_fmt_error *err)
{
    cpuu_reader r;
    cpuu_reader_init(&r, in.data, in.size);
    bool ok = cpuu_flat_list_rewrite(&r, cb, user, out, replaced);
    if (ok && cpuu_reader_left(&r)) {
        cpuu_buf_add(out, r.data + r.pos, cpuu_reader_left(&r));
        return true;
    }
    *err = r.error;
    return ok;
}

/* Both samples are damaged: the counts do not fit. */
static void check_flat_list(const sample *s)
{
    cpuu_reader r;
    cpuu_flat_list list;
    cpuu_reader_init(&r, s->bytes.data, s->bytes.size);
    ck_assert(!cpuu_flat_list_read(&r, &list));
    ck_assert_str_eq(r.error.field, "cbEntries");
    ck_assert_str_eq(r.error.what, "runs past the end");
    ck_assert_uint_eq(r.error.offset, 8);
    if (strcmp(s->name, "FLATENTRYLIST-2") != 0)
        return;
    /* Its first entry is sound, and three bytes longer than what is in it. */
    text t;
    text_init(&t);
    render_eid(&t, (cpuu_blob){s->bytes.data + 12, 0x6d});
    char *from = strstr(s->expected, "Entry ID\n"), *to = strstr(s->expected, "Padding\n");
    ck_assert(from && to);
    *to = 0;
    sample part = *s;
    part.expected = from;
    sample_compare(&part, text_get(&t));
    text_free(&t);
    hostile_fn = flat_rewrite;
    hostile_variants(s->bytes, rewrite_identically);
}

START_TEST(flat_entry_list_samples)
{
    int n = samples_each("FLATENTRYLIST", check_flat_list);
    ck_assert(n == -1 || n == 2);
}
END_TEST

START_TEST(flat_entry_list_is_laid_out_again)
{
    static const uint8_t expected[] = {2, 0, 0, 0, 54, 0, 0, 0, 21, 0, 0, 0};
    for (int padded = 0; padded <= 1; padded++) {
        cpuu_buf in;
        cpuu_buf_init(&in, 4096);
        ck_assert(cpuu_flat_list_write(&in, two_ids, 2, padded));
        ck_assert_uint_eq(in.size, 8u + 4 + 24 + 4 + 22 + (padded ? 2 : 0));
        ck_assert_uint_eq(in.data[4], expected[4] + (padded ? 2 : 0));
        ck_assert_mem_eq(in.data + 8, expected + 8, 4);
        for (int mode = -1; mode <= 1; mode++) {
            swap s = {mode, 0, 0};
            cpuu_buf out;
            cpuu_flat_list list;
            cpuu_blob eid;
            cpuu_reader r;
            cpuu_fmt_error err;
            cpuu_buf_init(&out, 4096);
            ck_assert(flat_rewrite(blob_of(&in), swap_link, &s, &out, NULL, &err));
            cpuu_reader_init(&r, out.data, out.size);
            ck_assert(cpuu_flat_list_read(&r, &list));
            ck_assert_uint_eq(cpuu_reader_left(&r), 0);
            for (int i = 0; i < 2; i++) {
                ck_assert(cpuu_flat_list_next(&list, &eid));
                ck_assert_uint_eq(eid.size, swapped(two_ids[i].size, mode));
            }
            ck_assert(!cpuu_flat_list_next(&list, &eid));
            cpuu_buf_free(&out);
        }
        check_hostile(blob_of(&in), flat_rewrite);
        cpuu_buf_free(&in);
    }
}
END_TEST

/* ---- PidTagAdditionalRenEntryIdsEx -------------------------------------------------------------
 */

static void render_block(text *t, cpuu_ren_block *block, uint32_t i)
{
    cpuu_ren_element e;
    cpuu_blob all = {block->elements.data, block->elements.size};
    text_line(t, "Persist Element %u", i);
    text_line(t, "PersistID = 0x%04X", block->id);
    text_line(t, "DataElementsSize = 0x%04X", block->elements.size);
    for (uint32_t k = 0; cpuu_ren_element_next(block, &e); k++) {
        text_line(t, "DataElement[%u]", k);
        text_line(t, "ElementID = 0x%04X", e.id);
        text_line(t, "ElementDataSize = 0x%04X", e.data.size);
        if (e.data.size) {
            text_line(t, "ElementData");
            text_hex(t, e.data.data, e.data.size);
        }
    }
    if (block->elements.failed) {
        text_line(t, "Unparsed data size = 0x%08X", all.size);
        text_hex(t, all.data, all.size);
    }
}

static void check_ren(const sample *s)
{
    text t;
    cpuu_reader r, count;
    cpuu_ren_block block;
    cpuu_fmt_error err;
    cpuu_buf out;
    swap keep = {0, 0, 0};
    uint32_t n = 0;
    text_init(&t);
    cpuu_buf_init(&out, 4096);
    cpuu_reader_init(&count, s->bytes.data, s->bytes.size);
    while (cpuu_ren_next(&count, &block))
        n++;
    text_line(&t, "Additional Ren Entry IDs");
    text_line(&t, "PersistDataCount = %u", n);
    cpuu_reader_init(&r, s->bytes.data, s->bytes.size);
    for (uint32_t i = 0; cpuu_ren_next(&r, &block); i++)
        render_block(&t, &block, i);
    ck_assert(!r.failed);
    sample_compare(s, text_get(&t));
    text_free(&t);
    if (strcmp(s->name, "ADDITIONALRENENTRYIDSEX-2") == 0) {
        ck_assert(!cpuu_ren_rewrite(s->bytes, swap_link, &keep, &out, NULL, &err));
        ck_assert_str_eq(err.field, "ElementData");
        ck_assert_uint_eq(err.offset, 8);
    }
    cpuu_buf_free(&out);
    check_hostile(s->bytes, cpuu_ren_rewrite);
}

START_TEST(special_folders_samples)
{
    int n = samples_each("ADDITIONALRENENTRYIDSEX", check_ren);
    ck_assert(n == -1 || n == 3);
}
END_TEST

START_TEST(special_folders_are_found_and_laid_out_again)
{
    cpuu_ren_element elements[] = {{1, two_ids[0]}, {2, {id_b, 4}}, {0, {NULL, 0}}};
    cpuu_buf in;
    cpuu_buf_init(&in, 4096);
    ck_assert(cpuu_ren_block_write(&in, 0x1234, elements + 1, 1)); /* an unknown block */
    ck_assert(cpuu_ren_block_write(&in, CPUU_REN_RSS, elements, 3));
    ck_assert(cpuu_ren_block_write(&in, 0, NULL, 0));
    for (int mode = -1; mode <= 1; mode++) {
        swap s = {mode, 0, 0};
        cpuu_blob eid;
        cpuu_buf out;
        cpuu_buf_init(&out, 4096);
        ck_assert(cpuu_ren_rewrite(blob_of(&in), swap_link, &s, &out, NULL, NULL));
        ck_assert_uint_eq(s.asked, 1);
        ck_assert(cpuu_ren_find(blob_of(&out), CPUU_REN_RSS, &eid));
        ck_assert_uint_eq(eid.size, swapped(sizeof(id_a), mode));
        ck_assert_uint_eq(out.size, in.size - sizeof(id_a) + eid.size);
        ck_assert(!cpuu_ren_find(blob_of(&out), CPUU_REN_CONTACTS, &eid));
        ck_assert(!cpuu_ren_find(blob_of(&out), 0x1234, &eid));
        cpuu_buf_free(&out);
    }
    check_hostile(blob_of(&in), cpuu_ren_rewrite);
    cpuu_buf_free(&in);
}
END_TEST

/* ---- folder flags, to-do data, favourites
 * -------------------------------------------------------- */

static bool efp_copy(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
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

static void check_efp(const sample *s)
{
    text t;
    cpuu_reader r;
    cpuu_efp p;
    cpuu_blob flags;
    text_init(&t);
    text_line(&t, "Extended Flags");
    text_line(&t, "Number of flags = 1");
    cpuu_reader_init(&r, s->bytes.data, s->bytes.size);
    ck_assert(cpuu_efp_next(&r, &p));
    text_line(&t, "Flag[0]");
    text_line(&t, "Id = 0x%02X", p.id);
    text_line(&t, "Cb = 0x%02X", p.data.size);
    text_line(&t, "Extended Flags = 0x%08X", cpuu_le32(p.data.data));
    ck_assert(!cpuu_efp_next(&r, &p));
    ck_assert(!r.failed);
    sample_compare(s, text_get(&t));
    text_free(&t);
    ck_assert(cpuu_efp_find(s->bytes, CPUU_EFP_FLAGS, &flags));
    ck_assert(!cpuu_efp_find(s->bytes, CPUU_EFP_SEARCH_ID, &flags));
    check_hostile(s->bytes, efp_copy);
}

static bool todo_copy(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                      cpuu_fmt_error *err)
{
    cpuu_swapped_todo todo;
    (void)cb;
    (void)user;
    (void)replaced;
    return cpuu_swapped_todo_decode(in, &todo, err) && cpuu_swapped_todo_encode(out, &todo);
}

static void check_todo(const sample *s)
{
    text t;
    cpuu_swapped_todo todo;
    char flag_to[CPUU_TODO_TEXT / 2 + 1] = "";
    text_init(&t);
    ck_assert(cpuu_swapped_todo_decode(s->bytes, &todo, NULL));
    for (size_t i = 0; i + 1 < CPUU_TODO_TEXT / 2; i++) { /* the last one is the NUL */
        uint16_t c = cpuu_le16(todo.flag_to + 2 * i);
        flag_to[i] = c ? (char)c : '.';
    }
    text_line(&t, "Swapped ToDo Data");
    text_line(&t, "ulVersion = 0x%08X", todo.version);
    text_line(&t, "dwFlags = 0x%02X", todo.flags);
    text_line(&t, "dwToDoItem = 0x%08X", todo.item);
    text_line(&t, "wszFlagTo = %s", flag_to);
    text_line(&t, "rtmStartDate = 0x%08X", todo.start);
    text_line(&t, "rtmDueDate = 0x%08X", todo.due);
    text_line(&t, "rtmReminder = 0x%08X", todo.reminder);
    text_line(&t, "fReminderSet: %s", todo.reminder_set ? "true" : "false");
    sample_compare(s, text_get(&t));
    text_free(&t);
    check_hostile(s->bytes, todo_copy);
}

START_TEST(flags_and_todo_samples)
{
    int n = samples_each("EXTENDEDFOLDERFLAGS", check_efp);
    ck_assert(n == -1 || n == 1);
    n = samples_each("SWAPPEDTODO", check_todo);
    ck_assert(n == -1 || n == 1);
}
END_TEST

static bool new_key(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    ck_assert_uint_eq(kind, CPUU_LINK_SOURCE_KEY);
    ck_assert_uint_eq(in.size, 22);
    return cpuu_buf_fill(out, 0xee, (size_t) * (const int *)user);
}

START_TEST(favourite_keys)
{
    uint8_t in[56] = {0};
    cpuu_buf out;
    cpuu_fmt_error err;
    int right = 22, wrong = 21;
    for (int i = 0; i < 56; i++)
        in[i] = i % 28 < 22 ? (uint8_t)i : i % 28 == 24 ? 2 : 0;
    cpuu_buf_init(&out, 4096);
    ck_assert(cpuu_fav_keys_rewrite((cpuu_blob){in, 56}, new_key, &right, &out, NULL, NULL));
    ck_assert_uint_eq(out.size, 56);
    for (int i = 0; i < 56; i++)
        ck_assert_uint_eq(out.data[i], i % 28 < 22 ? 0xee : in[i]);
    ck_assert(!cpuu_fav_keys_rewrite((cpuu_blob){in, 56}, new_key, &wrong, &out, NULL, &err));
    ck_assert_str_eq(err.field, "output");
    cpuu_buf_reset(&out);
    ck_assert(!cpuu_fav_keys_rewrite((cpuu_blob){in, 55}, new_key, &right, &out, NULL, &err));
    ck_assert_str_eq(err.field, "Tail");
    ck_assert_uint_eq(err.offset, 50);
    cpuu_buf_free(&out);
    check_hostile((cpuu_blob){in, 56}, cpuu_fav_keys_rewrite);
}
END_TEST

/* ---- EWS ids ----------------------------------------------------------------------------------
 */

/* Printed in Microsoft's documentation of EWS (NewMailEvent) and Graph: a message and a compressed
 * folder of one mailbox, and a message and a folder of another in the URL-safe alphabet. */
static const struct {
    const char *text, *guid;
    uint32_t size;
    uint8_t compression;
} genuine[] = {
    {"AAMkADkzNjJjODUzLWZhMDMtNDVkMS05ZDdjLWVmMDlkYjQ1Zjc4MwBGAAAAAABSSWVKrmGUTJE+"
     "MVIvofglBwDZGACZQpSg"
     "SpyNkexYe2b7AAAAAAENAADZGACZQpSgSpyNkexYe2b7AAANGFYwAAA=",
     "9362c853-fa03-45d1-9d7c-ef09db45f783", 70, 0},
    {"AQMkADkzNjJjODUzLWZhMDMtNDVkMS05ZDdjLWVmMDlkYjQ1Zjc4MwAuAAADUkllSq5hlEyRPjFSL6H4JQEA2RgAmUKUo"
     "Eqc"
     "jZHsWHtm+wAAAgENAAAA",
     "9362c853-fa03-45d1-9d7c-ef09db45f783", 46, 1},
    {"AAMkAGVmMDEzMTM4LTZmYWUtNDdkNC1hMDZiLTU1OGY5OTZhYmY4OABGAAAAAAAiQ8W967B7TKBjgx9rVEURBwAiIsqMb"
     "Yjs"
     "T5e-T7KzowPTAAAAAAEMAAAiIsqMbYjsT5e-T7KzowPTAAAYbuK3AAA=",
     "ef013138-6fae-47d4-a06b-558f996abf88", 70, 0},
    {"AAMkAGVmMDEzMTM4LTZmYWUtNDdkNC1hMDZiLTU1OGY5OTZhYmY4OAAuAAAAAAAiQ8W967B7TKBjgx9rVEURAQAiIsqMb"
     "Yjs"
     "T5e-T7KzowPTAAAAAAENAAA=",
     "ef013138-6fae-47d4-a06b-558f996abf88", 46, 0},
};

static void check_genuine(const char *id_text, const char *guid, uint32_t size, uint8_t compression)
{
    cpuu_buf bytes, again;
    cpuu_ewsid id;
    cpuu_eid eid;
    char standard[600];
    cpuu_buf_init(&bytes, 1024);
    cpuu_buf_init(&again, 1024);
    ck_assert(cpuu_ewsid_decode(id_text, &bytes, &id, NULL));
    ck_assert_int_eq(id.layout, CPUU_EWSID_EXCHANGE);
    ck_assert_uint_eq(id.type, CPUU_EWSID_MAILBOX);
    ck_assert_uint_eq(id.compression, compression);
    ck_assert_uint_eq(id.processing, 0);
    ck_assert_uint_eq(id.moniker.size, 36);
    ck_assert_mem_eq(id.moniker.data, guid, 36);
    ck_assert_uint_eq(id.store_id.size, size);
    ck_assert_uint_eq(id.rest.size, 0);
    ck_assert(cpuu_eid_decode(id.store_id, &eid, NULL));
    ck_assert_int_eq(eid.kind, size == 46 ? CPUU_EID_FOLDER : CPUU_EID_MESSAGE);
    ck_assert(cpuu_ewsid_encode(&id, &again));
    snprintf(standard, sizeof(standard), "%s", id_text);
    for (char *p = standard; *p; p++)
        *p = (char)(*p == '-' ? '+' : *p == '_' ? '/' : *p);
    if (compression || size == 70) /* Exchange Online does not compress folder ids any more */
        same_bytes((cpuu_blob){(const uint8_t *)standard, (uint32_t)strlen(standard)}, &again,
                   id_text);
    cpuu_buf_free(&bytes);
    cpuu_buf_free(&again);
}

START_TEST(genuine_ews_ids)
{
    size_t n = sizeof(genuine) / sizeof(genuine[0]);
    for (size_t i = 0; i < n; i++)
        check_genuine(genuine[i].text, genuine[i].guid, genuine[i].size, genuine[i].compression);
    printf("EwsId: %zu genuine ids\n", n);
}
END_TEST

START_TEST(ews_ids_of_other_kinds)
{
    static const uint8_t guid[16] = {0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66,
                                     0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
    cpuu_gid gid = {{1}, {0, 0, 0, 0, 0, 9}};
    cpuu_buf eid, raw, bytes, again;
    cpuu_ewsid id;
    cpuu_buf_init(&eid, 128);
    cpuu_buf_init(&raw, 1024);
    cpuu_buf_init(&bytes, 1024);
    cpuu_buf_init(&again, 1024);
    ck_assert(cpuu_eid_build_folder(&eid, guid, &gid));
    ck_assert(cpuu_ewsid_build(&raw, guid, blob_of(&eid)));
    cpuu_buf_u8(&raw, 0);
    ck_assert(cpuu_ewsid_decode((const char *)raw.data, &bytes, &id, NULL));
    ck_assert_mem_eq(id.moniker.data, "00112233-4455-6677-8899-aabbccddeeff", 36);
    same_bytes(id.store_id, &eid, "entry id");
    /* the bare layout: EntryID and a type byte */
    cpuu_buf_u8(&eid, 1);
    cpuu_buf_reset(&raw);
    ck_assert(cpuu_base64_encode(&raw, eid.data, eid.size));
    cpuu_buf_u8(&raw, 0);
    ck_assert(cpuu_ewsid_decode((const char *)raw.data, &bytes, &id, NULL));
    ck_assert_int_eq(id.layout, CPUU_EWSID_BARE);
    ck_assert_uint_eq(id.type, 1);
    ck_assert_uint_eq(id.store_id.size, 46);
    ck_assert(cpuu_ewsid_encode(&id, &again));
    ck_assert_mem_eq(again.data, raw.data, raw.size - 1);
    /* an item of a public folder: processing, item, folder */
    static const uint8_t item[] = {0, 2, 1, 3, 0, 'a', 'b', 'c', 2, 0, 'd', 'e'};
    cpuu_buf_reset(&raw);
    ck_assert(cpuu_base64_encode(&raw, item, sizeof(item)));
    ck_assert_mem_eq(raw.data, "AAIBAwBhYmMCAGRl", 16);
    cpuu_buf_u8(&raw, 0);
    ck_assert(cpuu_ewsid_decode((const char *)raw.data, &bytes, &id, NULL));
    ck_assert_uint_eq(id.processing, 1);
    ck_assert_uint_eq(id.folder_id.size, 2);
    cpuu_buf_free(&eid);
    cpuu_buf_free(&raw);
    cpuu_buf_free(&bytes);
    cpuu_buf_free(&again);
}
END_TEST

START_TEST(bad_ews_ids)
{
    static const char *const bad[] = {"",     "A",    "AQ==", "Ag==",     "AAY=",    "****",
                                      "AAMk", "AQAA", "AAA=", "AQAAAAAA", "AAM/////"};
    cpuu_buf bytes;
    cpuu_ewsid id;
    cpuu_fmt_error err;
    char longer[600];
    cpuu_buf_init(&bytes, CPUU_EWSID_BYTES_MAX);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(!cpuu_ewsid_decode(bad[i], &bytes, &id, &err), "%s", bad[i]);
    memset(longer, 'A', sizeof(longer));
    longer[599] = 0;
    ck_assert(!cpuu_ewsid_decode(longer, &bytes, &id, &err));
    cpuu_buf_free(&bytes);
}
END_TEST

/* ---- profile ----------------------------------------------------------------------------------
 */

START_TEST(folder_references_in_both_widths)
{
    /* 32-bit: magic, sizes with stale pointers. */
    static const uint8_t narrow[] = {0x80, 1, 1, 1, 2, 0, 0, 0,   0xde, 0xad, 0xbe, 0xef, 3,
                                     0,    0, 0, 9, 9, 9, 9, 'f', 'o',  's',  't',  'o'};
    static const uint8_t wide[] = {0x80, 1, 1, 1, 7, 7, 7, 7, 2, 0, 0,   0,   8,   8,   8,
                                   8,    1, 2, 3, 4, 5, 6, 7, 8, 3, 0,   0,   0,   5,   5,
                                   5,    5, 1, 2, 3, 4, 5, 6, 7, 8, 'f', 'o', 's', 't', 'o'};
    static const cpuu_blob both[] = {{narrow, sizeof(narrow)}, {wide, sizeof(wide)}};
    for (int i = 0; i < 2; i++) {
        cpuu_folder_ref ref;
        cpuu_buf out;
        swap s = {1, 0, 0};
        cpuu_buf_init(&out, 4096);
        ck_assert(cpuu_folder_ref_decode(both[i], &ref, NULL));
        ck_assert_uint_eq(ref.width, i ? 8 : 4);
        ck_assert_uint_eq(ref.folder.size, 2);
        ck_assert_mem_eq(ref.folder.data, "fo", 2);
        ck_assert_mem_eq(ref.store.data, "sto", 3);
        ck_assert(cpuu_folder_ref_encode(&out, &ref));
        same_bytes(both[i], &out, "folder reference");
        cpuu_buf_reset(&out);
        ck_assert(cpuu_folder_ref_rewrite(both[i], swap_link, &s, &out, NULL, NULL));
        ck_assert(cpuu_folder_ref_decode(blob_of(&out), &ref, NULL));
        ck_assert_uint_eq(ref.width, i ? 8 : 4);
        ck_assert_uint_eq(ref.folder.size, 302);
        ck_assert_uint_eq(ref.store.size, 303);
        ck_assert_uint_eq(cpuu_le32(ref.head.data + (i ? 16 : 8)), 0);
        cpuu_buf_free(&out);
        check_hostile(both[i], cpuu_folder_ref_rewrite);
    }
    cpuu_fmt_error err;
    cpuu_folder_ref ref;
    ck_assert(!cpuu_folder_ref_decode((cpuu_blob){wide, 3}, &ref, &err));
    ck_assert(!cpuu_folder_ref_decode((cpuu_blob){wide, sizeof(wide) - 1}, &ref, &err));
    ck_assert_str_eq(err.what, "fits neither width");
}
END_TEST

START_TEST(parallel_lists)
{
    static const uint8_t list[] = {2, 0, 0, 0, 1, 0, 0, 0, 'a', 2, 0, 0, 0, 'b', 'c'};
    static const uint8_t without[] = {1, 0, 0, 0, 2, 0, 0, 0, 'b', 'c'};
    cpuu_blob in = {list, sizeof(list)}, element;
    cpuu_buf out;
    uint32_t n;
    cpuu_buf_init(&out, 4096);
    ck_assert(cpuu_list_count(in, &n, NULL));
    ck_assert_uint_eq(n, 2);
    ck_assert(cpuu_list_at(in, 1, &element));
    ck_assert_mem_eq(element.data, "bc", 2);
    ck_assert(!cpuu_list_at(in, 2, &element));
    ck_assert(cpuu_list_without(in, 0, &out, NULL));
    same_bytes((cpuu_blob){without, sizeof(without)}, &out, "list");
    cpuu_fmt_error err;
    ck_assert(!cpuu_list_count((cpuu_blob){list, 14}, &n, &err));
    ck_assert_uint_eq(err.offset, 13);
    ck_assert(!cpuu_list_at((cpuu_blob){list, 14}, 1, &element));
    cpuu_buf_free(&out);
}
END_TEST

/* Container in the address-book search path, with the 24-byte id of a local folder. */
START_TEST(search_path_element)
{
    static const uint8_t uid[16] = {0xaa};
    static const uint8_t head[28] = {0,    0,    0,    0,    0xfe, 0x42, 0xaa, 0x0a, 0x18, 0xc7,
                                     0x1a, 0x10, 0xe8, 0x85, 0x0b, 0x65, 0x1c, 0x24, 0,    0,
                                     3,    0,    0,    0,    3,    0,    0,    0};
    uint8_t folder[24] = {0};
    cpuu_buf b, out;
    swap s = {1, 0, 0};
    folder[23] = 7;
    cpuu_buf_init(&b, 256);
    cpuu_buf_init(&out, 1024);
    ck_assert(cpuu_eid_build_contab(&b, uid, (cpuu_blob){folder, 24}));
    ck_assert_uint_eq(b.size, 68);
    ck_assert_mem_eq(b.data, head, 28);
    ck_assert_mem_eq(b.data + 28, uid, 16);
    ck_assert_mem_eq(b.data + 44, folder, 24);
    ck_assert(cpuu_eid_rewrite(blob_of(&b), swap_link, &s, &out, NULL));
    ck_assert_uint_eq(out.size, 368);
    cpuu_buf_free(&b);
    cpuu_buf_free(&out);
}
END_TEST

START_TEST(account_values)
{
    static const uint8_t order[] = {3, 0, 0, 0, 1, 0, 0, 0};
    static const uint8_t name[] = {'B', 0, 0xf6, 0, 0, 0, 'x', 0};
    char key[9];
    uint32_t id;
    cpuu_buf b;
    cpuu_account_key(0x1f, key);
    ck_assert_str_eq(key, "0000001F");
    ck_assert(cpuu_account_id("0000001f", &id));
    ck_assert_uint_eq(id, 31);
    ck_assert(!cpuu_account_id("000001f", &id));
    ck_assert(!cpuu_account_id("0000001f0", &id));
    ck_assert(!cpuu_account_id("0000001g", &id));
    ck_assert_int_eq(cpuu_account_position((cpuu_blob){order, 8}, 1), 1);
    ck_assert_int_eq(cpuu_account_position((cpuu_blob){order, 8}, 2), -1);
    cpuu_buf_init(&b, 64);
    ck_assert(cpuu_account_text_decode((cpuu_blob){name, sizeof(name)}, &b));
    ck_assert_uint_eq(b.size, 3);
    ck_assert_mem_eq(b.data, "B\xc3\xb6", 3);
    cpuu_buf_reset(&b);
    ck_assert(cpuu_account_text_encode("B\xc3\xb6", &b));
    same_bytes((cpuu_blob){name, 6}, &b, "text");
    cpuu_buf_free(&b);
}
END_TEST

/* Values of a real profile (Outlook 2010, 64-bit), exported as text. */
static bool reg_value(const sample *reg, const char *name, cpuu_buf *out)
{
    char key[64];
    snprintf(key, sizeof(key), "\n\"%s\"=hex(3):", name);
    char *copy = malloc((size_t)reg->bytes.size + 1);
    memcpy(copy, reg->bytes.data, reg->bytes.size);
    copy[reg->bytes.size] = 0;
    char *p = strstr(copy, key);
    cpuu_buf_reset(out);
    if (p) {
        p += strlen(key);
        unsigned v;
        int used;
        while (sscanf(p, "%2x%n", &v, &used) == 1) {
            cpuu_buf_u8(out, (uint8_t)v);
            p += used;
            if (*p == ',')
                p++;
            while (*p == '\\' || isspace((unsigned char)*p))
                p++;
        }
    }
    free(copy);
    return out->size != 0;
}

static unsigned eids_checked;

static void check_list_value(const sample *reg, const char *name, cpuu_element_rewrite fn)
{
    cpuu_buf value, list, out, back;
    unsigned width;
    uint32_t n;
    swap s = {0, 0, 0};
    cpuu_fmt_error err;
    cpuu_buf_init(&value, 65536);
    cpuu_buf_init(&list, 65536);
    cpuu_buf_init(&out, 65536);
    cpuu_buf_init(&back, 65536);
    ck_assert_msg(reg_value(reg, name, &value), "%s", name);
    ck_assert(cpuu_mv_decode(CPUU_MV_BINARY, value.data, value.size, &list, &width, NULL));
    ck_assert_uint_eq(width, 8);
    ck_assert(cpuu_list_count(blob_of(&list), &n, NULL));
    ck_assert_msg(cpuu_list_rewrite(blob_of(&list), fn, swap_link, &s, &out, NULL, &err),
                  "%s: %s %s at %u", name, err.field, err.what, err.offset);
    same_bytes(blob_of(&list), &out, name);
    ck_assert_uint_gt(s.asked, 0);
    eids_checked += s.asked;
    cpuu_buf_reset(&out);
    s = (swap){1, 0, 0};
    ck_assert(cpuu_list_rewrite(blob_of(&list), fn, swap_link, &s, &out, NULL, &err));
    ck_assert(cpuu_mv_encode(CPUU_MV_BINARY, width, out.data, out.size, &back, NULL));
    cpuu_buf_free(&value);
    cpuu_buf_free(&list);
    cpuu_buf_free(&out);
    cpuu_buf_free(&back);
}

START_TEST(values_of_a_real_profile)
{
    sample reg;
    if (!sample_load("../profiles/reg/plaso_outlook2010_x64_pop.reg", &reg))
        return;
    eids_checked = 0;
    check_list_value(&reg, "1102022a", cpuu_folder_ref_rewrite);
    check_list_value(&reg, "11020434", cpuu_window_state_rewrite);
    check_list_value(&reg, "1102039b", cpuu_eid_element);
    check_list_value(&reg, "1102044e", cpuu_eid_element);
    check_list_value(&reg, "11023d05", cpuu_eid_element);
    check_list_value(&reg, "11026620", cpuu_eid_element);
    check_list_value(&reg, "11026626", cpuu_eid_element);
    printf("profile values: 7 of a real profile, %u EntryIDs in them\n", eids_checked);
    sample_free(&reg);
}
END_TEST

/* Store EntryIDs of a real navigation file (Exchange Online): every one decodes to block 3 with the
 * right size and is written back byte for byte. */
START_TEST(stores_of_a_real_navigation_file)
{
    sample xml;
    unsigned stores = 0, block3 = 0;
    if (!sample_load("../profiles/navxml/stevedep_Outlook2016.redacted.xml", &xml))
        return;
    cpuu_buf bin, out;
    cpuu_buf_init(&bin, 65536);
    cpuu_buf_init(&out, 65536);
    char *copy = strndup((const char *)xml.bytes.data, xml.bytes.size);
    for (char *p = copy; (p = strstr(p, "<eidstore>")) != NULL;) {
        unsigned v;
        cpuu_eid eid;
        cpuu_buf_reset(&bin);
        cpuu_buf_reset(&out);
        for (p += 10; sscanf(p, "%2X", &v) == 1; p += 2)
            cpuu_buf_u8(&bin, (uint8_t)v);
        ck_assert(cpuu_eid_decode(blob_of(&bin), &eid, NULL));
        ck_assert(eid.kind == CPUU_EID_STORE || eid.kind == CPUU_EID_STORE_PST);
        if (eid.kind == CPUU_EID_STORE && eid.u.store.block == 3) {
            ck_assert(eid.u.store.block_laid);
            ck_assert_int_eq(eid.u.store.block_size_error, 0);
            ck_assert_uint_eq(eid.rest.size, 0);
            block3++;
        }
        ck_assert(cpuu_eid_encode(&eid, &out));
        same_bytes(blob_of(&bin), &out, "store");
        stores++;
    }
    printf("navigation file: %u store EntryIDs, %u with block 3\n", stores, block3);
    ck_assert_uint_eq(stores, 11);
    ck_assert_uint_gt(block3, 0);
    free(copy);
    cpuu_buf_free(&bin);
    cpuu_buf_free(&out);
    sample_free(&xml);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lists");
    TCase *c = tcase_create("lists");
    tcase_set_timeout(c, 120);
    tcase_add_test(c, entry_list_sample);
    tcase_add_test(c, entry_list_is_laid_out_again);
    tcase_add_test(c, flat_entry_list_samples);
    tcase_add_test(c, flat_entry_list_is_laid_out_again);
    tcase_add_test(c, special_folders_samples);
    tcase_add_test(c, special_folders_are_found_and_laid_out_again);
    tcase_add_test(c, flags_and_todo_samples);
    tcase_add_test(c, favourite_keys);
    tcase_add_test(c, genuine_ews_ids);
    tcase_add_test(c, ews_ids_of_other_kinds);
    tcase_add_test(c, bad_ews_ids);
    tcase_add_test(c, folder_references_in_both_widths);
    tcase_add_test(c, parallel_lists);
    tcase_add_test(c, search_path_element);
    tcase_add_test(c, account_values);
    tcase_add_test(c, values_of_a_real_profile);
    tcase_add_test(c, stores_of_a_real_navigation_file);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
