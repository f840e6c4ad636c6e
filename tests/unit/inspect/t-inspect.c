#include "inspect/inspect.h"
#include "inspect/types.h"

#include <cpuu/formats/ewsid.h>
#include <cpuu/formats/mv.h>
#include <cpuu/formats/profileblob.h>

#include <check.h>
#include <dirent.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../oracle.h"

/* ---- helpers --------------------------------------------------------------------------------- */

typedef struct result {
    char *text;
    size_t size;
    int status;
} result;

static result run(const inspect_options *o)
{
    result r = {NULL, 0, 0};
    FILE *out = open_memstream(&r.text, &r.size);
    ck_assert_ptr_nonnull(out);
    r.status = o->file ? inspect_blob(o, out) : inspect_profile(o, out);
    fclose(out);
    return r;
}

static json_t *run_json(const inspect_options *o, int status)
{
    inspect_options with = *o;
    json_error_t err;
    with.json = true;
    result r = run(&with);
    ck_assert_msg(r.status == status, "%s: status %d", o->file ? o->file : "profile", r.status);
    json_t *j = json_loadb(r.text, r.size, JSON_REJECT_DUPLICATES, &err);
    ck_assert_msg(j != NULL, "%s: %s at line %d: %s", o->file ? o->file : "profile", err.text,
                  err.line, r.text);
    free(r.text);
    return j;
}

static const char *text_of(const json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));
    return s ? s : "";
}

/* The first node of that name anywhere below, NULL when there is none. */
static const json_t *find(const json_t *nodes, const char *name)
{
    size_t i;
    json_t *node;
    json_array_foreach(nodes, i, node)
    {
        if (strcmp(text_of(node, "name"), name) == 0)
            return node;
        const json_t *below = find(json_object_get(node, "children"), name);
        if (below)
            return below;
    }
    return NULL;
}

static char *temporary(const void *data, size_t n)
{
    static char path[64];
    strcpy(path, "/tmp/t-inspect-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, data, n), (ssize_t)n);
    close(fd);
    return path;
}

static char *read_text(const char *path)
{
    char *text = calloc(1, 1u << 20);
    FILE *f = fopen(path, "rb");
    ck_assert(f && text);
    ck_assert_uint_gt(fread(text, 1, (1u << 20) - 1, f), 0);
    fclose(f);
    return text;
}

/* ---- blobs ----------------------------------------------------------------------------------- */

/* A sound file: the type is guessed, the tree and the links are JSON, the bytes come back. */
static void check_sound(const char *path, const char *type, bool guessed)
{
    inspect_options o = {.file = path, .type = guessed ? NULL : type};
    json_t *j = run_json(&o, INSPECT_FINE);
    ck_assert_str_eq(text_of(j, "format"), "cpuu-inspect-blob");
    ck_assert_msg(strcmp(text_of(j, "type"), type) == 0, "%s is no %s", path, text_of(j, "type"));
    ck_assert_uint_gt(json_array_size(json_object_get(j, "tree")), 0);
    json_decref(j);
    o.links = true;
    j = run_json(&o, INSPECT_FINE);
    ck_assert(json_is_array(json_object_get(j, "links")));
    json_decref(j);
    o.links = false;
    o.verify = true;
    j = run_json(&o, INSPECT_FINE);
    ck_assert_msg(json_is_true(json_object_get(j, "equal")), "%s", path);
    json_decref(j);
    result r = run(&o);
    ck_assert_msg(r.status == INSPECT_FINE && strstr(r.text, ": equal\n"), "%s", r.text);
    free(r.text);
}

START_TEST(own_samples)
{
    static const struct {
        const char *file, *type;
    } files[] = {{"nickname/two-rows", "nickname"},
                 {"nickname/types", "nickname"},
                 {"searchfolder/folders", "searchfolder"},
                 {"searchfolder/restriction", "searchfolder"},
                 {"searchfolder/addresses", "searchfolder"},
                 {"searchfolder/filter", "searchfolder"},
                 {"dlstream/two", "dlstream"},
                 {"navxml/pane.xml", "navxml"},
                 {"srs/one-group", "srs"}};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char path[4096];
        snprintf(path, sizeof(path), CPUU_SRCDIR "/tests/fuzz/corpus/%s", files[i].file);
        check_sound(path, files[i].type, true);
    }
}
END_TEST

/* Seeds of the other codecs' fuzz targets, whose first byte only chooses the codec there. */
START_TEST(seeds_of_other_codecs)
{
    static const struct {
        const char *file, *type;
    } seeds[] = {{"rules/actions0", "ruleactions"},
                 {"rules/actions1", "extruleactions"},
                 {"rules/condition0", "rulecondition"},
                 {"rules/condition1", "extrulecondition"},
                 {"rules/restriction0", "rulecondition"},
                 {"rules/restriction2", "restriction"},
                 {"rules/row2", "properties"},
                 {"rulestream/bare", "deferaction"},
                 {"rulestream/defer", "deferaction"},
                 {"rulestream/stream", "rulestream"},
                 {"rulestream/unknown", "deferaction"},
                 {"lists/entries", "entrylist"},
                 {"lists/flags", "folderflags"},
                 {"lists/flat", "flatentrylist"},
                 {"lists/keys", "favkeys"},
                 {"lists/ref", "folderref"},
                 {"lists/ref8", "folderref"},
                 {"lists/ren", "renentryids"},
                 {"lists/todo", "swappedtodo"},
                 {"lists/window", "windowstate"}};
    for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
        char path[4096];
        uint8_t bytes[8192];
        snprintf(path, sizeof(path), CPUU_SRCDIR "/tests/fuzz/corpus/%s", seeds[i].file);
        FILE *f = fopen(path, "rb");
        ck_assert_msg(f != NULL, "%s", path);
        size_t n = fread(bytes, 1, sizeof(bytes), f);
        fclose(f);
        ck_assert_uint_gt(n, 1);
        strcpy(path, temporary(bytes + 1, n - 1));
        check_sound(path, seeds[i].type, false);
        unlink(path);
    }
}
END_TEST

/* Every kind of EntryID, by its name in the tree. */
START_TEST(kinds_of_entryids)
{
    static const struct {
        const char *file, *kind;
    } seeds[] = {{"ab", "address book"}, {"contab", "contact container"},
                 {"folder", "folder"},   {"message", "message"},
                 {"oneoff", "one-off"},  {"oneoffa", "one-off"},
                 {"pst", "PST store"},   {"store1", "store"},
                 {"store2", "store"},    {"store3", "store"}};
    for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
        char path[4096], start[64];
        snprintf(path, sizeof(path), CPUU_SRCDIR "/tests/fuzz/corpus/entryid/%s", seeds[i].file);
        inspect_options o = {.file = path, .type = "wlink-eid"};
        json_t *j = run_json(&o, INSPECT_FINE);
        snprintf(start, sizeof(start), "%s, ", seeds[i].kind);
        const char *value = text_of(find(json_object_get(j, "tree"), "EntryID"), "value");
        ck_assert_msg(strncmp(value, start, strlen(start)) == 0, "%s: %s", path, value);
        json_decref(j);
        o.verify = true;
        j = run_json(&o, INSPECT_FINE);
        json_decref(j);
    }
}
END_TEST

/* What the samples are, which of them are damaged (README of the oracles), and whether the type is
 * found out. */
static const struct {
    const char *family, *type;
    bool guessed;
    unsigned sound;
    const char *damaged;
} families[] = {
    {"ENTRYID-", "entryid", false, 20, "ENTRYID-39 "},
    {"ENTRYLIST-", "entrylist", true, 1, ""},
    {"FLATENTRYLIST-", "flatentrylist", false, 0, "FLATENTRYLIST-2 FLATENTRYLIST-3 "},
    {"RESTRICTION-", "restriction", true, 2, ""},
    {"RULECONDITION-1.", "extrulecondition", true, 1, ""},
    {"RULECONDITION-2.", "rulecondition", true, 1, ""},
    {"EXTENDEDRULECONDITION-", "extrulecondition", true, 2, ""},
    {"EXTENDEDRULEACTION-", "extruleactions", true, 2, ""},
    {"NICKNAMECACHE-", "nickname", true, 1, ""},
    {"SEARCHFOLDERDEFINITION-", "searchfolder", true, 4, ""},
    {"ADDITIONALRENENTRYIDSEX-", "renentryids", false, 2, "ADDITIONALRENENTRYIDSEX-2 "},
    {"SWAPPEDTODO-", "swappedtodo", true, 1, ""},
    {"EXTENDEDFOLDERFLAGS-", "folderflags", false, 1, ""},
    {"PROPERTIES-", "properties", false, 3, "PROPERTIES-6 "},
};

START_TEST(independent_samples)
{
    const char *found = oracle_path("t-inspect", "mapi-blobs/open");
    unsigned total = 0;
    if (!found)
        return;
    char dir[4096];
    snprintf(dir, sizeof(dir), "%s", found);
    for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
        DIR *d = opendir(dir);
        unsigned sound = 0;
        ck_assert_ptr_nonnull(d);
        for (struct dirent *e; (e = readdir(d)) != NULL;) {
            char path[4500], name[300];
            size_t n = strlen(families[f].family);
            const char *dot = strchr(e->d_name, '.');
            if (strncmp(e->d_name, families[f].family, n) != 0 || !dot || strcmp(dot, ".bin") != 0)
                continue;
            snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
            snprintf(name, sizeof(name), "%.*s ", (int)(dot - e->d_name), e->d_name);
            if (strstr(families[f].damaged, name)) {
                inspect_options o = {.file = path, .type = families[f].type};
                json_t *j = run_json(&o, INSPECT_UNUSABLE);
                ck_assert(json_is_object(json_object_get(j, "error")));
                json_decref(j);
            } else {
                check_sound(path, families[f].type, families[f].guessed);
                sound++;
            }
        }
        closedir(d);
        ck_assert_msg(sound == families[f].sound, "%s %u", families[f].family, sound);
        total += sound;
    }
    printf("t-inspect: %u independent samples\n", total);
}
END_TEST

START_TEST(independent_files)
{
    static const struct {
        const char *file, *type;
    } files[] = {{"mapi-blobs/worked/xr-rule-stream.bin", "deferaction"},
                 {"mapi-blobs/worked/store-eid-v3.bin", "entryid"},
                 {"mapi-blobs/worked/folder-eid.bin", "entryid"},
                 {"mapi-blobs/worked/pf-favorite-source-key.bin", "sourcekey"},
                 {"profiles/nk2/plaso_Outlook.NK2", "nickname"},
                 {"profiles/navxml/stevedep_Outlook2016.redacted.xml", "navxml"},
                 {"profiles/srs/stevedep_outlook2016_56ba707.srs", "srs"},
                 {"profiles/srs/insoo223_outlook2003_default_exchange.srs", "srs"},
                 {"profiles/srs/insoo223_outlook2013_Outlook~1_3431b0f.srs", "srs"}};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        const char *path = oracle_path("t-inspect", files[i].file);
        char copy[4096];
        if (!path)
            return;
        snprintf(copy, sizeof(copy), "%s", path);
        check_sound(copy, files[i].type, true);
    }
}
END_TEST

static const char dn_eid_hex[] = "00000000dca740c8c042101ab4b908002b2fe182 01000000,00000000,\\\n"
                                 " 2f 6f 3d 41 00\n";
static const char dn_eid_base64[] = "AAAAANynQMjAQhAatLkIACsv4YIBAAAAAAAAAC9vPUEA\n";

START_TEST(hexadecimal_and_base64)
{
    const char *texts[] = {dn_eid_hex, dn_eid_base64};
    for (int i = 0; i < 2; i++) {
        inspect_options o = {.file = temporary(texts[i], strlen(texts[i]))};
        json_t *j = run_json(&o, INSPECT_FINE);
        ck_assert_str_eq(text_of(j, "type"), "entryid");
        ck_assert_int_eq(json_integer_value(json_object_get(j, "size")), 33);
        const json_t *dn = find(json_object_get(j, "tree"), "DN");
        ck_assert_str_eq(text_of(dn, "value"), "/o=A");
        ck_assert_int_eq(json_integer_value(json_object_get(dn, "offset")), 28);
        json_decref(j);
        unlink(o.file);
    }
}
END_TEST

/* Small values by hand: layouts of [MS-OXCDATA], [MS-OXORULE], [MS-OXITEMID] and of profile values.
 */
#define EID_A "00000000dca740c8c042101ab4b908002b2fe18201000000000000002f6f3d4100" /* 33 bytes */
static const struct {
    const char *hex, *type, *node, *value;
    bool guessed;
} small[] = {
    {"000102030405060708090a0b0c0d0e0f 000000000123", "sourcekey", "counter", "000000000123", true},
    {"01 0100000000000123 0100000000000456 00000000", "servereid", "FID", "0100000000000123", true},
    {"534d54503a4a40452e4f524700", "searchkey", "address", "J@E.ORG", true},
    {"01000000 21000000 0c000000" EID_A "000000", "mv", "DN", "/o=A", true},
    {"01000000 2100000000000000 1400000000000000" EID_A "000000", "mv", "DN", "/o=A", true},
    {"01000000 08000000 61000000", "mv", "element", "a", false},
    {"01000000 28000000 21000000" EID_A "000000", "flatentrylist", "DN", "/o=A", false},
    {"01000000 21000000" EID_A, "dlmembers", "checksum", NULL, true},
    {"000102030405060708090a0b0c0d0e0f 0000000001230000 02000000", "favkeys", "source key",
     "000102030405060708090a0b0c0d0e0f000000000123", false},
    {"0104 07000000 0210 00112233445566778899aabbccddeeff 0304 08000000", "folderflags", "flags",
     "07000000", false},
};

START_TEST(small_values)
{
    for (size_t i = 0; i < sizeof(small) / sizeof(small[0]); i++) {
        char path[64];
        strcpy(path, temporary(small[i].hex, strlen(small[i].hex)));
        check_sound(path, small[i].type, small[i].guessed);
        inspect_options o = {.file = path, .type = small[i].type};
        json_t *j = run_json(&o, INSPECT_FINE);
        const json_t *node = find(json_object_get(j, "tree"), small[i].node);
        ck_assert_msg(node != NULL, "%zu", i);
        if (small[i].value)
            ck_assert_str_eq(text_of(node, "value"), small[i].value);
        json_decref(j);
        unlink(path);
    }
}
END_TEST

/* An id as the codec's own test has it from a real server is not at hand here: build one. */
START_TEST(ews_id)
{
    static const uint8_t guid[16] = {1, 2, 3};
    static const uint8_t folder[46] = {0, 0, 0, 0, 1, 2, 3};
    cpuu_buf text;
    cpuu_buf_init(&text, 4096);
    ck_assert(cpuu_ewsid_build(&text, guid, (cpuu_blob){folder, sizeof(folder)}));
    cpuu_buf_u8(&text, '\n');
    char path[64];
    strcpy(path, temporary(text.data, text.size));
    check_sound(path, "ewsid", false);
    inspect_options o = {.file = path, .type = "ewsid"};
    json_t *j = run_json(&o, INSPECT_FINE);
    ck_assert_str_eq(text_of(find(json_object_get(j, "tree"), "moniker"), "value"),
                     "00030201-0000-0000-0000-000000000000");
    ck_assert_ptr_nonnull(find(json_object_get(j, "tree"), "object"));
    json_decref(j);
    unlink(path);
    cpuu_buf_free(&text);
}
END_TEST

/* Values of a registry: move-to-folder references and the windows of the last session. */
START_TEST(structures_of_a_profile)
{
    const char *found = oracle_path("t-inspect", "profiles/reg/exchange_16.0_x64.synthetic.reg");
    static const struct {
        const char *value, *type;
    } values[] = {{"\"1102022a\"=hex:", "folderref"}, {"\"11020434\"=hex:", "windowstate"}};
    if (!found)
        return;
    char *text = read_text(found);
    for (size_t i = 0; i < 2; i++) {
        char *at = strstr(text, values[i].value);
        if (!at)
            continue;
        at += strlen(values[i].value);
        char *end = at;
        while (*end && !(end[0] == '\n' && end[-1] != '\\' && end[-2] != '\\'))
            end++;
        cpuu_buf bytes, list;
        cpuu_blob first;
        cpuu_buf_init(&bytes, 1u << 20);
        cpuu_buf_init(&list, 1u << 20);
        cpuu_buf_add(&bytes, at, (size_t)(end - at));
        inspect_decode_text(&bytes);
        char path[64];
        strcpy(path, temporary(bytes.data, bytes.size));
        check_sound(path, "mv", true);
        unlink(path);
        ck_assert(cpuu_mv_decode(CPUU_MV_BINARY, bytes.data, bytes.size, &list, NULL, NULL));
        ck_assert(cpuu_list_at((cpuu_blob){list.data, (uint32_t)list.size}, 0, &first));
        strcpy(path, temporary(first.data, first.size));
        check_sound(path, values[i].type, false);
        unlink(path);
        cpuu_buf_free(&bytes);
        cpuu_buf_free(&list);
    }
    free(text);
}
END_TEST

START_TEST(links_say_what_they_are)
{
    inspect_options o = {.file = CPUU_SRCDIR "/tests/fuzz/corpus/nickname/two-rows", .links = true};
    json_t *j = run_json(&o, INSPECT_FINE);
    json_t *links = json_object_get(j, "links");
    /* per row: address, EntryID, record key, search key */
    ck_assert_uint_eq(json_array_size(links), 8);
    ck_assert_str_eq(text_of(json_array_get(links, 0), "kind"), "dn");
    ck_assert_str_eq(text_of(json_array_get(links, 0), "text"), "/o=A/cn=jane");
    ck_assert_str_eq(text_of(json_array_get(links, 1), "text"), "address book /o=A/cn=jane");
    ck_assert_str_eq(text_of(json_array_get(links, 3), "text"), "EX:/O=A/CN=JANE");
    json_decref(j);
    result r = run(&o);
    ck_assert_ptr_nonnull(strstr(r.text, "smtp          13  j@example.org\n"));
    free(r.text);
}
END_TEST

/* Escape sequences, characters that turn text around, and bytes that are no text. */
START_TEST(nothing_for_the_terminal)
{
    static const char evil[] = "\0\0\0\0\xdc\xa7\x40\xc8\xc0\x42\x10\x1a\xb4\xb9\x08\0\x2b\x2f\xe1"
                               "\x82\1\0\0\0\0\0\0\0/o=\x1b]0;x\x07\x9b\xff\"\\\n";
    inspect_options o = {.file = temporary(evil, sizeof(evil))};
    result r = run(&o);
    ck_assert_int_eq(r.status, INSPECT_FINE);
    ck_assert_ptr_null(memchr(r.text, 0x1b, r.size));
    ck_assert_ptr_null(memchr(r.text, 0x07, r.size));
    ck_assert_ptr_null(strstr(r.text, "\xc2\x9b"));
    ck_assert_ptr_nonnull(strstr(r.text, "/o=\\x1b]0;x\\x07"));
    free(r.text);
    json_t *j = run_json(&o, INSPECT_FINE);
    ck_assert_str_eq(text_of(find(json_object_get(j, "tree"), "DN"), "value"),
                     "/o=\x1b]0;x\x07\xc2\x9b\xc3\xbf\"\\\n");
    json_decref(j);
    unlink(o.file);
}
END_TEST

START_TEST(unusable_input)
{
    static const struct {
        const char *bytes, *type;
        size_t n;
    } bad[] = {{"", NULL, 0},     {"", "entryid", 0},   {"\1\2\3", NULL, 3}, {"\1\2\3", "srs", 3},
               {"\1", "none", 1}, {"<w>", "navxml", 3}, {"\1\2\3", "mv", 3}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        inspect_options o = {.file = temporary(bad[i].bytes, bad[i].n), .type = bad[i].type};
        for (int mode = 0; mode < 3; mode++) {
            o.links = mode == 1;
            o.verify = mode == 2;
            result r = run(&o);
            ck_assert_msg(r.status == INSPECT_UNUSABLE, "%zu", i);
            free(r.text);
        }
        unlink(o.file);
    }
    inspect_options o = {.file = "/nonexistent/file"};
    result r = run(&o);
    ck_assert_int_eq(r.status, INSPECT_UNUSABLE);
    free(r.text);
}
END_TEST

/* A file of holes, so nothing is written for it. */
START_TEST(too_large)
{
    char path[] = "/tmp/t-inspect-XXXXXX";
    int fd = mkstemp(path);
    ck_assert(fd >= 0 && ftruncate(fd, (off_t)INSPECT_LIMIT + 1) == 0);
    close(fd);
    inspect_options o = {.file = path};
    result r = run(&o);
    ck_assert_int_eq(r.status, INSPECT_UNUSABLE);
    ck_assert_uint_eq(r.size, 0);
    free(r.text);
    unlink(path);
}
END_TEST

/* Every type over every seed of every corpus: JSON that can be read, whatever the bytes are. */
START_TEST(wrong_types)
{
    static const char *const files[] = {"nickname/types", "searchfolder/filter", "dlstream/two",
                                        "dlarrays/both",  "navxml/pane.xml",     "srs/one-group"};
    for (size_t t = 0; t < n_blob_types; t++)
        for (size_t f = 0; f < sizeof(files) / sizeof(files[0]); f++) {
            char path[4096];
            snprintf(path, sizeof(path), CPUU_SRCDIR "/tests/fuzz/corpus/%s", files[f]);
            for (int mode = 0; mode < 3; mode++) {
                inspect_options o = {.file = path,
                                     .type = blob_types[t].name,
                                     .json = true,
                                     .links = mode == 1,
                                     .verify = mode == 2};
                result r = run(&o);
                json_t *j = json_loadb(r.text, r.size, 0, NULL);
                ck_assert_msg(j != NULL, "%s %s %d: %s", o.type, path, mode, r.text);
                ck_assert(json_object_get(j, "error") ? r.status == INSPECT_UNUSABLE
                                                      : r.status <= INSPECT_FINDINGS);
                json_decref(j);
                free(r.text);
            }
        }
}
END_TEST

/* ---- profiles ---------------------------------------------------------------------------------
 */

#define FULL CPUU_SRCDIR "/tests/fuzz/corpus/profile/full.reg"

START_TEST(draw_a_synthetic_profile)
{
    const char *path = oracle_path("t-inspect", "profiles/reg/exchange_16.0_x64.synthetic.reg");
    if (!path)
        return;
    inspect_options o = {.reg = path};
    json_t *j = run_json(&o, INSPECT_FINE);
    const json_t *tree = json_object_get(j, "tree");
    const json_t *account = find(tree, "primary Exchange account");
    const json_t *box = find(tree, "additional mailbox");
    ck_assert_str_eq(text_of(account, "value"), "anna.alder@source.example");
    ck_assert_str_eq(text_of(find(json_object_get(account, "children"), "cached mode"), "value"),
                     "yes");
    ck_assert_ptr_nonnull(box);
    const json_t *eid = find(json_object_get(box, "children"), "store EntryID");
    ck_assert_str_eq(text_of(find(json_object_get(eid, "children"), "SMTP address"), "value"),
                     "helpdesk@source.example");
    ck_assert_ptr_nonnull(find(tree, "public folders"));
    ck_assert_ptr_nonnull(find(tree, "contact folder"));
    json_decref(j);
    o.check = true;
    j = run_json(&o, INSPECT_FINE);
    ck_assert_uint_eq(json_array_size(json_object_get(j, "tree")), 0);
    json_decref(j);
    o.check = false;
    o.graph = true;
    result r = run(&o);
    ck_assert_int_eq(r.status, INSPECT_FINE);
    ck_assert(strncmp(r.text, "digraph profile {\n", 18) == 0);
    ck_assert_ptr_nonnull(strstr(r.text, "[label=\"EMSMDB section\"];"));
    free(r.text);
    o.graph = false;
    o.profile = "No such profile";
    r = run(&o);
    ck_assert_int_eq(r.status, INSPECT_UNUSABLE);
    free(r.text);
}
END_TEST

/* A hive and what another program exported from it are the same profile. */
START_TEST(hive_and_export_are_equal)
{
    const char *path = oracle_path("t-inspect", "profiles/hives/plaso_NTUSER-WIN7.DAT");
    if (!path)
        return;
    static uint8_t bytes[2u << 20];
    FILE *f = fopen(path, "rb");
    ck_assert_ptr_nonnull(f);
    size_t n = fread(bytes, 1, sizeof(bytes), f);
    fclose(f);
    char hive[64], reg[4096];
    strcpy(hive, temporary(bytes, n));
    snprintf(reg, sizeof(reg), "%s",
             oracle_path("t-inspect", "profiles/reg/plaso_outlook2010_x64_pop.reg"));
    inspect_options o = {.diff = {hive, reg}};
    json_t *j = run_json(&o, INSPECT_FINE);
    ck_assert_int_eq(json_integer_value(json_object_get(j, "differences")), 0);
    json_decref(j);
    /* and it was only looked at */
    static uint8_t after[2u << 20];
    f = fopen(hive, "rb");
    ck_assert(fread(after, 1, sizeof(after), f) == n && memcmp(bytes, after, n) == 0);
    fclose(f);
    unlink(hive);
}
END_TEST

START_TEST(differences_are_named)
{
    char *text = read_text(FULL);
    char *at = strstr(text, "\"00036601\"=");
    ck_assert_ptr_nonnull(at);
    char *digit = strchr(at, ':') + 1;
    *digit = *digit == '1' ? '2' : '1';
    char other[64];
    strcpy(other, temporary(text, strlen(text)));
    inspect_options o = {.diff = {FULL, other}};
    json_t *j = run_json(&o, INSPECT_FINDINGS);
    ck_assert_int_eq(json_integer_value(json_object_get(j, "differences")), 1);
    const json_t *value = find(json_object_get(j, "tree"), "00036601");
    ck_assert_str_eq(text_of(value, "value"), "changed, configuration flags");
    ck_assert_ptr_nonnull(find(json_object_get(value, "children"), "second"));
    json_decref(j);
    /* a key that is missing on either side */
    *at = 0; /* ends before the line of that value */
    FILE *f = fopen(other, "wb");
    fwrite(text, 1, strlen(text), f);
    fclose(f);
    for (int i = 0; i < 2; i++) {
        o.diff[i] = FULL;
        o.diff[!i] = other;
        result r = run(&o);
        ck_assert_int_eq(r.status, INSPECT_FINDINGS);
        ck_assert_ptr_nonnull(strstr(r.text, i ? "only in the second" : "only in the first"));
        free(r.text);
    }
    unlink(other);
    free(text);
}
END_TEST

START_TEST(findings_are_shown)
{
    /* a service that does not exist */
    char *text = read_text(FULL);
    char *at = strstr(text, "\"01023d0e\"=hex:");
    ck_assert_ptr_nonnull(at);
    at[15] = at[15] == 'a' ? 'b' : 'a';
    inspect_options o = {.reg = temporary(text, strlen(text)), .check = true};
    json_t *j = run_json(&o, INSPECT_FINDINGS);
    ck_assert_ptr_nonnull(find(json_object_get(j, "tree"), "error"));
    json_decref(j);
    o.check = false;
    j = run_json(&o, INSPECT_FINE);
    json_decref(j);
    unlink(o.reg);
    free(text);
}
END_TEST

START_TEST(unusable_registries)
{
    char path[64];
    strcpy(path, temporary("regf", 4));
    inspect_options all[] = {{.hive = path},
                             {.reg = path},
                             {.hive = "/nonexistent"},
                             {.reg = "/nonexistent"},
                             {.diff = {path, path}}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        result r = run(&all[i]);
        ck_assert_int_eq(r.status, INSPECT_UNUSABLE);
        free(r.text);
    }
    unlink(path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("inspect");
    TCase *c = tcase_create("inspect");
    tcase_set_timeout(c, 120);
    tcase_add_test(c, own_samples);
    tcase_add_test(c, seeds_of_other_codecs);
    tcase_add_test(c, kinds_of_entryids);
    tcase_add_test(c, independent_samples);
    tcase_add_test(c, independent_files);
    tcase_add_test(c, hexadecimal_and_base64);
    tcase_add_test(c, small_values);
    tcase_add_test(c, ews_id);
    tcase_add_test(c, structures_of_a_profile);
    tcase_add_test(c, links_say_what_they_are);
    tcase_add_test(c, nothing_for_the_terminal);
    tcase_add_test(c, unusable_input);
    tcase_add_test(c, too_large);
    tcase_add_test(c, wrong_types);
    tcase_add_test(c, draw_a_synthetic_profile);
    tcase_add_test(c, hive_and_export_are_equal);
    tcase_add_test(c, differences_are_named);
    tcase_add_test(c, findings_are_shown);
    tcase_add_test(c, unusable_registries);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
