/*
 * Offline hives: what is refused, what is written, and what is left behind when something fails.
 * Hives that were written are read back by programs that know nothing of this code or of libhivex:
 * reglookup and regfexport (SKIP lines where they are not installed).
 */
#include "hivekit.h"

#include <hivex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sys/xattr.h>

/* ---- writing --------------------------------------------------------------------------------- */

START_TEST(edits_are_written_and_read_back)
{
    cpuu_error err = CPUU_ERROR_INIT;
    for (unsigned minor = 3; minor <= 5; minor++) {
        make_hive(minor, SOME);
        OK(edit_text(CHANGE, &err));
        char *s = dump();
        ck_assert_str_eq(s, CHANGED);
        free(s);
    }
    ck_assert_uint_eq(files_in_dir(), 1);
}
END_TEST

START_TEST(the_object_goes_on_with_the_new_file)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_reg *reg;
    cpuu_edits e;
    make_hive(5, SOME);
    OK(cpuu_reg_open_hive(path, NULL, &reg, &err));
    ck_assert_str_eq(cpuu_reg_hive_path(reg), path);
    for (uint32_t i = 0; i < 5; i++) {
        cpuu_edits_init(&e);
        cpuu_edits_set(&e, "software\\a", "d", CPUU_REG_DWORD, &i, 4, CPUU_MARK_NONE, NULL);
        OK(cpuu_reg_apply(reg, &e, &err));
        cpuu_edits_free(&e);
        ck_assert_int_eq(open_only(&err), CPUU_E_BUSY);
    }
    /* The same again changes nothing and writes nothing. */
    cpuu_buf before = slurp(path);
    fault.fail = "write";
    fault.fail_at = 1;
    edits_of(&e, HEAD "[HKEY_CURRENT_USER\\Software\\A]\n\"D\"=dword:4\n\"none\"=-\n");
    OK(cpuu_reg_apply(reg, &e, &err));
    cpuu_edits_free(&e);
    cpuu_buf after = slurp(path);
    ck_assert(same_bytes(&before, &after));
    cpuu_buf_free(&before);
    cpuu_buf_free(&after);
    /* After a failure the object can only be closed. */
    edits_of(&e, HEAD "[HKEY_CURRENT_USER\\Software\\A]\n\"D\"=dword:5\n");
    ck_assert_int_eq(cpuu_reg_apply(reg, &e, &err), CPUU_E_IO);
    ck_assert_int_eq(cpuu_reg_apply(reg, &e, &err), CPUU_E_FAILED);
    cpuu_edits_free(&e);
    cpuu_reg_close(reg);
    OK(open_only(&err));
}
END_TEST

/* New keys come last in the edited tree and where they belong in the file. */
START_TEST(a_second_change_goes_by_the_order_of_the_file)
{
    static const char *const changes[] = {
        HEAD "[HKEY_CURRENT_USER\\Software\\0]\n\"v\"=\"new\"\n",
        HEAD "[HKEY_CURRENT_USER\\Software\\b\\c]\n\"x\"=hex:04\n"
             "[HKEY_CURRENT_USER\\Software\\0\\k]\n[-HKEY_CURRENT_USER\\Software\\a]\n"};
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_reg *reg;
    make_hive(5, SOME);
    OK(cpuu_reg_open_hive(path, NULL, &reg, &err));
    for (size_t i = 0; i < 2; i++) {
        cpuu_edits e;
        edits_of(&e, changes[i]);
        OK(cpuu_reg_apply(reg, &e, &err));
        cpuu_edits_free(&e);
    }
    cpuu_reg_close(reg);
    char *s = dump();
    ck_assert_str_eq(s, HEAD "\r\n[HKEY_CURRENT_USER]\r\n\r\n[HKEY_CURRENT_USER\\Software]\r\n"
                        "\r\n[HKEY_CURRENT_USER\\Software\\0]\r\n\"v\"=\"new\"\r\n"
                        "\r\n[HKEY_CURRENT_USER\\Software\\0\\k]\r\n"
                        "\r\n[HKEY_CURRENT_USER\\Software\\b]\r\n"
                        "\r\n[HKEY_CURRENT_USER\\Software\\b\\c]\r\n\"x\"=hex:04\r\n"
                        "\"Ünicode\"=hex(0):\r\n");
    free(s);
}
END_TEST

START_TEST(a_replaced_hive_keeps_who_owns_it)
{
    cpuu_error err = CPUU_ERROR_INIT;
    struct stat st;
    make_hive(5, SOME);
    bool root = geteuid() == 0;
    if (root)
        ck_assert_int_eq(chown(path, 1234, 4321), 0);
    ck_assert_int_eq(chmod(path, 0640), 0);
    bool attr = setxattr(path, "user.cpuu-test", "kept", 4, 0) == 0;
    if (!attr)
        printf("SKIP: a_replaced_hive_keeps_who_owns_it: no extended attributes in /tmp\n");
    OK(edit_text(CHANGE, &err));
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0640);
    ck_assert(!root || (st.st_uid == 1234 && st.st_gid == 4321));
    char value[8];
    ck_assert(!attr || (getxattr(path, "user.cpuu-test", value, 8) == 4 &&
                        memcmp(value, "kept", 4) == 0));
}
END_TEST

/* What libhivex writes to is not yet as read-only as what it replaces. */
START_TEST(a_hive_that_its_owner_may_only_read_is_replaced)
{
    cpuu_error err = CPUU_ERROR_INIT;
    struct stat st;
    make_hive(5, SOME);
    bool root = geteuid() == 0;
    if (root)
        ck_assert(chown(dir, 65534, getegid()) == 0 && chown(path, 65534, getegid()) == 0);
    ck_assert_int_eq(chmod(path, 0400), 0);
    if (root)
        ck_assert(seteuid(65534) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0);
    cpuu_rc rc = edit_text(CHANGE, &err);
    if (root)
        ck_assert_int_eq(seteuid(0), 0);
    ck_assert_msg(rc == CPUU_OK, "%s", err.text);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0400);
    char *s = dump();
    ck_assert_str_eq(s, CHANGED);
    free(s);
}
END_TEST

/* The access list that the folder gives to new files would let somebody else in. */
START_TEST(a_replaced_hive_inherits_no_rights)
{
    static const uint8_t list[] = { /* linux/posix_acl_xattr.h: version, then tag, rights, id */
        2, 0, 0, 0, 1, 0, 7, 0, 0xff, 0xff, 0xff, 0xff, 2, 0, 7, 0, 0xd2, 4, 0, 0, /* user 1234 */
        4, 0, 5, 0, 0xff, 0xff, 0xff, 0xff, 0x10, 0, 7, 0, 0xff, 0xff, 0xff, 0xff,
        0x20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};
    cpuu_error err = CPUU_ERROR_INIT;
    struct stat st;
    char value[200], other[128];
    make_hive(5, SOME);
    ck_assert_int_eq(chmod(path, 0600), 0);
    if (setxattr(dir, "system.posix_acl_default", list, sizeof(list), 0) != 0) {
        printf("SKIP: a_replaced_hive_inherits_no_rights: no access lists in /tmp\n");
        return;
    }
    snprintf(other, sizeof(other), "%s/other", dir);
    spit(other, "x", 1);
    ck_assert_int_gt(getxattr(other, "system.posix_acl_access", value, sizeof(value)), 0);
    OK(edit_text(CHANGE, &err));
    ck_assert_int_lt(getxattr(path, "system.posix_acl_access", value, sizeof(value)), 0);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0600);
}
END_TEST

/* ---- independent readers --------------------------------------------------------------------- */

/* Sorted lines of a command's output about `file`, into `out`. False when it is not installed. */
static bool run(const char *test, const char *command, const char *file, const char *out)
{
    char line[400];
    snprintf(line, sizeof(line), "command -v %.*s >/dev/null", (int)strcspn(command, " "), command);
    if (system(line) != 0) {
        printf("SKIP: %s: %.*s is not installed\n", test, (int)strcspn(command, " "), command);
        return false;
    }
    snprintf(line, sizeof(line), "%s '%s' 2>/dev/null | LC_ALL=C sort >'%s/%s'", command, file,
             dir, out);
    ck_assert_int_eq(system(line), 0);
    return true;
}

/* The lines that only the first or only the second file has, as comm writes them. */
static char *differences(void)
{
    char line[200];
    snprintf(line, sizeof(line), "LC_ALL=C comm -3 '%s/before' '%s/after'", dir, dir);
    FILE *p = popen(line, "r");
    char *s = calloc(1, 100000);
    ck_assert_uint_lt(fread(s, 1, 99999, p), 99999);
    ck_assert_int_eq(pclose(p), 0);
    return s;
}

/* A value is changed, one added, one removed, a key added, a key removed in a real hive. reglookup
 * shows every key with its security, every value, and nothing else may differ. */
START_TEST(reglookup_sees_just_the_edits_in_real_hives)
{
    static const char test[] = "reglookup_sees_just_the_edits_in_real_hives";
    cpuu_error err = CPUU_ERROR_INIT;
    if (!real_hive(test, _i) || !run(test, "reglookup -s", path, "before"))
        return;
    OK(edit_text(HEAD "[HKEY_CURRENT_USER\\Console]\n\"CursorSize\"=dword:1234\n\"new\"=\"text\"\n"
                      "\"QuickEdit\"=-\n[HKEY_CURRENT_USER\\Console\\CPUU]\n\"b\"=hex:00,ff\n"
                      "[-HKEY_CURRENT_USER\\Environment]\n", &err));
    run(test, "reglookup -s", path, "after");
    char *s = differences();
    ck_assert_ptr_nonnull(strstr(s, "\t/Console/CursorSize,DWORD,0x00001234,"));
    ck_assert_ptr_nonnull(strstr(s, "\n/Console/CursorSize,DWORD,0x00000019,"));
    ck_assert_ptr_nonnull(strstr(s, "\t/Console/new,SZ,text,"));
    ck_assert_ptr_nonnull(strstr(s, "/Console/QuickEdit,DWORD,"));
    ck_assert_ptr_nonnull(strstr(s, "\t/Console/CPUU,KEY,,"));
    ck_assert_ptr_nonnull(strstr(s, "\t/Console/CPUU/b,BINARY,%00%FF,"));
    ck_assert_ptr_nonnull(strstr(s, "\n/Environment,KEY,,"));
    unsigned console = 0, environment = 0, lines = 0;
    for (char *p = s; *p; p = strchr(p, '\n') + 1) {
        lines++;
        console += strncmp(p + (*p == '\t'), "/Console/", 9) == 0;
        environment += strncmp(p, "/Environment", 12) == 0;
    }
    ck_assert_msg(console == 6 && environment >= 3 && lines == console + environment, "%s", s);
    free(s);
}
END_TEST

START_TEST(regfexport_reads_what_was_written)
{
    static const char test[] = "regfexport_reads_what_was_written";
    cpuu_error err = CPUU_ERROR_INIT;
    for (unsigned minor = 3; minor <= 5; minor += 2) {
        make_hive(minor, SOME);
        if (!run(test, "regfexport", path, "before"))
            return;
        OK(edit_text(CHANGE, &err));
        run(test, "regfexport", path, "after");
        char *s = differences();
        ck_assert_ptr_nonnull(strstr(s, "\tData: two\n"));
        ck_assert_ptr_nonnull(strstr(s, "\tKey path: ROOT\\Software\\n\\m\n"));
        ck_assert_ptr_nonnull(strstr(s, "(REG_MULTI_SZ)\n"));
        ck_assert_ptr_nonnull(strstr(s, "Key path: ROOT\\Software\\b\\c\n"));
        ck_assert_ptr_null(strstr(s, "default"));
        ck_assert_ptr_null(strcasestr(s, "corrupt"));
        ck_assert_ptr_null(strcasestr(s, "unable"));
        free(s);
    }
}
END_TEST

/* Keys and values of the hive as this code and as reglookup count them. False: not installed. */
static bool ck_counts(const char *test, unsigned long at_least)
{
    unsigned long keys = 0, values = 0, our_keys = 0, our_values = 0;
    char file[128], *line = NULL;
    size_t cap = 0;
    if (!run(test, "reglookup", path, "counts"))
        return false;
    snprintf(file, sizeof(file), "%s/counts", dir);
    FILE *f = fopen(file, "r");
    while (getline(&line, &cap, f) > 0) {
        keys += line[0] == '/' && strstr(line, ",KEY,,");
        values += line[0] == '/' && !strstr(line, ",KEY,,");
    }
    fclose(f);
    unlink(file);
    free(line);
    char *s = dump();
    for (char *p = s; p && *p; p = strstr(p, "\r\n"), p = p ? p + 2 : p) {
        our_keys += *p == '[';
        our_values += *p == '"' || *p == '@';
    }
    free(s);
    ck_assert_uint_eq(our_keys, keys);
    ck_assert_uint_eq(our_values, values);
    ck_assert_uint_ge(keys + values, at_least);
    return true;
}

START_TEST(real_hives_are_read_whole)
{
    static const char test[] = "real_hives_are_read_whole";
    if (real_hive(test, _i))
        ck_counts(test, 6000);
}
END_TEST

/* Name, type and data of every value below the key as libhivex reads them. Counts the values. */
static void ck_as_hivex(const cpuu_key *key, hive_h *h, hive_node_h node, unsigned *count)
{
    hive_value_h *values = hivex_node_values(h, node);
    hive_node_h *kids = hivex_node_children(h, node);
    char *name = hivex_node_name(h, node);
    ck_assert(values && kids && name);
    ck_assert_str_eq(key->name, name);
    free(name);
    for (size_t i = 0; i < key->n_values; i++) {
        const cpuu_reg_value *v = &key->values[i];
        hive_type type;
        size_t size;
        name = hivex_value_key(h, values[i]);
        char *data = hivex_value_value(h, values[i], &type, &size);
        ck_assert_str_eq(v->name, name);
        ck_assert(v->type == type && v->size == size && memcmp(v->data, data, size) == 0);
        free(name);
        free(data);
    }
    ck_assert_uint_eq(values[key->n_values], 0);
    for (size_t i = 0; i < key->n_kids; i++)
        ck_as_hivex(key->kids[i], h, kids[i], count);
    ck_assert_uint_eq(kids[key->n_kids], 0);
    *count += (unsigned)key->n_values;
    free(values);
    free(kids);
}

START_TEST(real_hives_are_read_as_libhivex_reads_them)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_hive_image image;
    cpuu_hive_head head;
    cpuu_hive_cells cells;
    cpuu_edits e;
    cpuu_key *root;
    unsigned count = 0;
    if (!real_hive("real_hives_are_read_as_libhivex_reads_them", _i))
        return;
    int fd = open(path, O_RDONLY);
    cpuu_hive_image_init(&image);
    OK(cpuu_hive_image_read(&image, fd, &err));
    close(fd);
    OK(cpuu_hive_check(&image, &head, &cells, &err));
    cpuu_edits_init(&e);
    OK(cpuu_edits_delete_key(&e, "", CPUU_MARK_NONE, NULL)); /* what is deleted is read in full */
    OK(cpuu_hive_load(image.data, &head, &e, &root, &err));
    cpuu_edits_free(&e);
    hive_h *h = hivex_open(path, 0);
    ck_as_hivex(root, h, hivex_root(h), &count);
    ck_assert_uint_gt(count, 3000);
    hivex_close(h);
    cpuu_key_free(root);
    cpuu_hive_cells_free(&cells);
    cpuu_hive_image_free(&image);
}
END_TEST

/* Names beyond ASCII, in both of the forms a hive has for them. */
START_TEST(names_are_read_as_libhivex_reads_them)
{
    static const char *const names[] = {"\xc3\xbc", "\xd0\xae\xd0\xb3", "\xf0\x9f\x93\x85",
                                        "\xe2\x82\xac", "plain", ""};
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_reg_values values;
    cpuu_reg *reg;
    make_hive(5, SOME);
    hive_h *h = hivex_open(path, HIVEX_OPEN_WRITE);
    hive_node_h node = hivex_node_add_child(h, hivex_root(h), "names");
    hive_set_value list[6];
    for (size_t i = 0; i < 6; i++)
        list[i] = (hive_set_value){(char *)names[i], 3, 1, (char *)"x"};
    ck_assert_int_eq(hivex_node_set_values(h, node, 6, list, 0), 0);
    ck_assert_int_eq(hivex_commit(h, NULL, 0), 0);
    hivex_close(h);
    OK(cpuu_reg_open_hive(path, NULL, &reg, &err));
    OK(cpuu_reg_values_of(reg, "names", &values, &err));
    ck_assert_uint_eq(values.count, 6);
    for (size_t i = 0; i < 6; i++)
        ck_assert_str_eq(values.items[i].name, names[i]);
    cpuu_reg_values_free(&values);
    cpuu_reg_close(reg);
}
END_TEST

/* ---- what is refused ------------------------------------------------------------------------- */

/* Refused with rc, by check() already, and not a byte of the file changes. */
static void refused(const char *text, cpuu_rc rc)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_reg *reg;
    cpuu_edits e;
    cpuu_buf before = slurp(path);
    edits_of(&e, text);
    OK(cpuu_reg_open_hive(path, NULL, &reg, &err));
    ck_assert_msg(cpuu_reg_check(reg, &e, &err) == rc, "%s", err.text);
    ck_assert_msg(cpuu_reg_apply(reg, &e, &err) == rc, "%s", err.text);
    cpuu_reg_close(reg);
    cpuu_buf after = slurp(path);
    ck_assert(same_bytes(&before, &after));
    cpuu_buf_free(&before);
    cpuu_buf_free(&after);
    cpuu_edits_free(&e);
    ck_assert_uint_eq(files_in_dir(), 1);
}

START_TEST(key_names_outside_ascii_are_left_alone)
{
    cpuu_error err = CPUU_ERROR_INIT;
    make_hive(5, SOME);
    refused(HEAD "[HKEY_CURRENT_USER\\Software\\Büro]\n", CPUU_E_UNSUPPORTED);
    refused(HEAD "[HKEY_CURRENT_USER\\Юг\\x]\n", CPUU_E_UNSUPPORTED);
    hive_h *h = hivex_open(path, HIVEX_OPEN_WRITE);
    hive_node_h soft = hivex_node_get_child(h, hivex_root(h), "Software");
    ck_assert_uint_ne(hivex_node_add_child(h, hivex_node_add_child(h, soft, "up"), "Büro"), 0);
    ck_assert_int_eq(hivex_commit(h, NULL, 0), 0);
    hivex_close(h);
    refused(HEAD "[-HKEY_CURRENT_USER\\Software\\UP\\BÜRO]\n", CPUU_E_UNSUPPORTED);
    refused(HEAD "[-HKEY_CURRENT_USER\\Software\\up]\n", CPUU_E_UNSUPPORTED);
    refused(HEAD "[-HKEY_CURRENT_USER\\Software\\up\\büro]\n"
                 "[HKEY_CURRENT_USER\\Software\\up\\BÜRO]\n", CPUU_E_UNSUPPORTED);
    OK(edit_text(HEAD "[HKEY_CURRENT_USER\\Software\\up\\büro]\n\"ü\"=\"ä\"\n", &err));
    char *s = dump();
    ck_assert_ptr_nonnull(strstr(s, "\\up\\Büro]\r\n\"ü\"=\"ä\"\r\n"));
    free(s);
}
END_TEST

static void big_edit(cpuu_edits *e, const char *name, uint32_t size)
{
    uint8_t *data = calloc(1, size);
    memset(data, 0x5a, size);
    cpuu_edits_init(e);
    ck_assert_int_eq(cpuu_edits_set(e, "Software\\a", name, CPUU_REG_BINARY, data, size,
                                    CPUU_MARK_NONE, NULL), CPUU_OK);
    free(data);
}

START_TEST(values_that_need_segments_are_left_alone)
{
    static const struct {
        unsigned minor;
        uint32_t size;
        cpuu_rc rc;
    } cases[] = {{5, 16344, CPUU_OK}, {5, 16345, CPUU_E_UNSUPPORTED},
                 {4, 16345, CPUU_E_UNSUPPORTED}, {3, 16345, CPUU_OK},
                 {3, 999996, CPUU_OK}, {3, 999997, CPUU_E_UNSUPPORTED}};
    cpuu_error err = CPUU_ERROR_INIT;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        cpuu_edits e;
        make_hive(cases[i].minor, SOME);
        big_edit(&e, "big", cases[i].size);
        cpuu_rc rc = edit(&e, &err);
        ck_assert_msg(rc == cases[i].rc, "%zu: %d %s", i, rc, err.text);
        cpuu_edits_free(&e);
    }
    /* A key that holds such a value is not touched, its neighbours are. */
    cpuu_edits e;
    make_hive(3, SOME);
    big_edit(&e, "big", 20000);
    OK(edit(&e, &err));
    cpuu_edits_free(&e);
    set_minor(5);
    refused(HEAD "[HKEY_CURRENT_USER\\Software\\a]\n\"v\"=\"x\"\n", CPUU_E_UNSUPPORTED);
    refused(HEAD "[HKEY_CURRENT_USER\\Software\\a]\n\"big\"=-\n", CPUU_E_UNSUPPORTED);
    OK(edit_text(HEAD "[HKEY_CURRENT_USER\\Software\\a\\sub]\n"
                      "[HKEY_CURRENT_USER\\Software\\b]\n\"v\"=\"x\"\n", &err));
}
END_TEST

/* Size 0 without the bit for "in place": the value is not set, and its offset means nothing (regf
 * description, "Key value"). libhivex would free a cell there. */
START_TEST(a_value_that_is_not_set_is_read_and_left_alone)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_reg *reg;
    cpuu_reg_values values;
    make_hive(5, HEAD "[HKEY_CURRENT_USER\\a]\n\"unset\"=hex:01,02,03,04,05,06,07,08\n\"w\"=\"x\"\n"
                      "[HKEY_CURRENT_USER\\b]\n");
    cpuu_buf b = slurp(path);
    uint8_t *name = memmem(b.data, b.size, "unset", 5);
    ck_assert_ptr_nonnull(name);
    put32(name - 16, 0);
    put32(name - 12, 0xffffffffu);
    spit(path, b.data, b.size);
    cpuu_buf_free(&b);
    OK(cpuu_reg_open_hive(path, NULL, &reg, &err));
    OK(cpuu_reg_values_of(reg, "a", &values, &err));
    ck_assert_uint_eq(values.count, 2);
    ck_assert_uint_eq(values.items[0].size, 0);
    cpuu_reg_values_free(&values);
    cpuu_reg_close(reg);
    refused(HEAD "[HKEY_CURRENT_USER\\a]\n\"w\"=\"y\"\n", CPUU_E_UNSUPPORTED);
    refused(HEAD "[-HKEY_CURRENT_USER\\a]\n", CPUU_E_UNSUPPORTED);
    OK(edit_text(HEAD "[HKEY_CURRENT_USER\\b]\n\"w\"=\"y\"\n", &err));
}
END_TEST

START_TEST(the_newest_version_is_taken_without_layers)
{
    cpuu_error err = CPUU_ERROR_INIT;
    make_hive(5, SOME);
    set_minor(6);
    OK(edit_text(HEAD "[HKEY_CURRENT_USER\\Software\\b]\n\"v\"=\"x\"\n", &err));
    cpuu_buf b = slurp(path);
    b.data[144] |= 2;
    hive_checksum(b.data);
    spit(path, b.data, b.size);
    cpuu_buf_free(&b);
    ck_assert_int_eq(open_only(&err), CPUU_E_UNSUPPORTED);
}
END_TEST

/* 8 n * n / 2 bytes of lists are left behind: 2^29 at n = 11585. */
START_TEST(too_many_keys_at_once_are_refused)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_hive_head head = {5, 4096};
    cpuu_key *from = cpuu_key_new("", 0), *to = cpuu_key_new("", 0);
    char name[16];
    for (unsigned i = 0; i < 11600; i++) {
        if (i == 11500)
            OK(cpuu_hive_check_change(&head, from, to, &err));
        snprintf(name, sizeof(name), "%u", i);
        ck_assert(cpuu_key_add(to, cpuu_key_new(name, strlen(name))));
    }
    ck_assert_int_eq(cpuu_hive_check_change(&head, from, to, &err), CPUU_E_TOOBIG);
    cpuu_key_free(from);
    cpuu_key_free(to);
}
END_TEST

/* By upper case: "_" comes behind the letters, as Windows has it. */
START_TEST(keys_are_put_where_windows_looks_for_them)
{
    static const char *const order[] = {"0", "AA", "ab", "a_", "b_c", "_", "{x}"};
    cpuu_error err = CPUU_ERROR_INIT;
    make_hive(5, HEAD "[HKEY_CURRENT_USER\\p\\ab]\n");
    OK(edit_text(HEAD "[HKEY_CURRENT_USER\\p\\a_]\n[HKEY_CURRENT_USER\\p\\AA]\n"
                      "[HKEY_CURRENT_USER\\p\\b_c]\n[HKEY_CURRENT_USER\\p\\_]\n"
                      "[HKEY_CURRENT_USER\\p\\0]\n[HKEY_CURRENT_USER\\p\\{x}]\n", &err));
    hive_h *h = hivex_open(path, 0);
    hive_node_h *kids = hivex_node_children(h, hivex_node_get_child(h, hivex_root(h), "p"));
    for (size_t i = 0; i < 7; i++) {
        char *name = hivex_node_name(h, kids[i]);
        ck_assert_str_eq(name, order[i]);
        free(name);
    }
    free(kids);
    hivex_close(h);
}
END_TEST

/* ---- verifying what libhivex made ------------------------------------------------------------ */

/* A hive, its change, and what libhivex makes of it, to be spoilt. */
typedef struct bench {
    cpuu_hive_image before, file; /* the second is what libhivex wrote to */
    cpuu_hive_variant now;
    cpuu_hive_head head;
    cpuu_hive_cells cells;
    cpuu_key *root, *to;
} bench;

/* Reads the new hive again, as it is. What is then known of its cells is what a scan would find. */
static cpuu_rc verify(bench *b, cpuu_error *err)
{
    cpuu_hive_cells cells, scanned;
    cpuu_hive_head head;
    bool same;
    cpuu_hive_variant_free(&b->now);
    OKP(cpuu_hive_variant_read(&b->now, &b->before, b->file.fd, err));
    for (int all = 0; all < 2; all++) {
        OKP(cpuu_hive_variant_compare(&b->now, &b->before, b->file.fd, all, &same, err));
        ck_assert(same);
    }
    cpuu_rc rc = cpuu_hive_verify(&b->before, &b->cells, &b->now, b->to, &cells, err);
    if (rc != CPUU_OK)
        return rc;
    OKP(cpuu_hive_check_base(b->now.data, b->now.size, &head, err));
    OKP(cpuu_hive_scan(b->now.data, &head, &scanned, err));
    ck_assert_uint_eq(cells.size, scanned.size);
    ck_assert_mem_eq(cells.states, scanned.states, cells.size / 32);
    cpuu_hive_cells_free(&cells);
    cpuu_hive_cells_free(&scanned);
    return rc;
}

static void open_bench(bench *b, const char *text)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_edits e;
    int fd = open(path, O_RDONLY);
    *b = (bench){0};
    cpuu_hive_image_init(&b->before);
    cpuu_hive_image_init(&b->file);
    OK(cpuu_hive_image_read(&b->before, fd, &err));
    close(fd);
    OK(cpuu_hive_check(&b->before, &b->head, &b->cells, &err));
    edits_of(&e, text);
    OK(cpuu_hive_load(b->before.data, &b->head, &e, &b->root, &err));
    OK(cpuu_tree_changed(b->root, &e, &b->to, &err));
    cpuu_edits_free(&e);
    cpuu_hive_settle(b->root, b->to);
    OK(cpuu_hive_check_change(&b->head, b->root, b->to, &err));
    OK(cpuu_hive_image_create(&b->file, &err));
    OK(cpuu_hive_change(&b->before, &b->cells, b->root, b->to, b->file.fd, &err));
    OK(verify(b, &err));
}

static void close_bench(bench *b)
{
    cpuu_key_free(b->to);
    cpuu_key_free(b->root);
    cpuu_hive_cells_free(&b->cells);
    cpuu_hive_variant_free(&b->now);
    cpuu_hive_image_free(&b->file);
    cpuu_hive_image_free(&b->before);
}

static void poke(const bench *b, size_t at, const void *bytes, size_t n)
{
    ck_assert_int_eq(pwrite(b->file.fd, bytes, n, (off_t)at), (ssize_t)n);
}

/* Keys and values of a hive as libhivex reads them, as text; NULL: it cannot. */
static char *hivex_dump(const char *file)
{
    char *out = NULL, *s;
    size_t size;
    hive_h *h = hivex_open(file, 0);
    if (!h)
        return NULL;
    FILE *f = open_memstream(&out, &size);
    hive_node_h queue[64] = {hivex_root(h)};
    bool good = true;
    for (unsigned i = 0, n = 1; good && i < n; i++) {
        hive_node_h *kids = hivex_node_children(h, queue[i]);
        hive_value_h *values = hivex_node_values(h, queue[i]);
        s = hivex_node_name(h, queue[i]);
        good = kids && values && s;
        fprintf(f, "[%s] %zx\n", s, good ? hivex_node_parent(h, queue[i]) : 0);
        free(s);
        for (unsigned k = 0; good && kids[k] && n < 64; k++)
            queue[n++] = kids[k];
        for (unsigned k = 0; good && values[k]; k++) {
            hive_type type;
            size_t bytes;
            char *name = hivex_value_key(h, values[k]);
            char *data = hivex_value_value(h, values[k], &type, &bytes);
            good = name && data;
            fprintf(f, "%s %u ", name, type);
            for (size_t j = 0; good && j < bytes; j++)
                fprintf(f, "%02x", (uint8_t)data[j]);
            free(data);
            free(name);
        }
        free(kids);
        free(values);
    }
    fclose(f);
    hivex_close(h);
    if (!good)
        free(out);
    return good ? out : NULL;
}

/* Verifies the new hive with one byte changed and the checksum of its base block made right. */
static cpuu_rc verify_spoilt(bench *b, size_t at, uint8_t bits, cpuu_error *err)
{
    uint8_t base[512], byte = b->now.data[at] ^ bits;
    poke(b, at, &byte, 1);
    ck_assert_int_eq(pread(b->file.fd, base, sizeof(base), 0), sizeof(base));
    if (at < 508)
        hive_checksum(base);
    poke(b, 0, base, sizeof(base));
    return verify(b, err);
}

/* Every bit of what libhivex made is flipped, one by one. What is not noticed does not matter: to
 * libhivex the hive reads as it should. */
START_TEST(a_flipped_bit_is_noticed_where_it_matters)
{
    cpuu_error err = CPUU_ERROR_INIT;
    char file[40];
    bench b;
    make_hive(5, SOME "[HKEY_CURRENT_USER\\Software\\rest\\below]\n\"r\"=\"kept as it is\"\n");
    open_bench(&b, CHANGE);
    snprintf(file, sizeof(file), "/proc/self/fd/%d", b.file.fd);
    char *right = hivex_dump(file);
    ck_assert_ptr_nonnull(right);
    unsigned noticed = 0;
    for (size_t i = 0; i < b.now.size * 8; i++) {
        if (b.now.data[i / 8] == 0 && i / 8 % 16) /* free space, most of it */
            continue;
        cpuu_rc rc = verify_spoilt(&b, i / 8, (uint8_t)(1u << i % 8), &err);
        char *s = rc == CPUU_OK ? hivex_dump(file) : NULL;
        ck_assert_msg(rc != CPUU_OK || (s && strcmp(s, right) == 0), "byte %zu: %s", i / 8, s);
        free(s);
        noticed += rc != CPUU_OK;
        verify_spoilt(&b, i / 8, (uint8_t)(1u << i % 8), &err);
    }
    ck_assert_uint_gt(noticed, 4000);
    free(right);
    OK(verify(&b, &err));
    close_bench(&b);
}
END_TEST

/* Offsets of the key in the new hive and of one of its fields: Suhanov's description. */
static size_t cell_of(const bench *b, const char *key)
{
    ck_assert_ptr_nonnull(cpuu_key_find(b->to, key));
    return 4096u + cpuu_key_find(b->to, key)->cell;
}

static void noticed(bench *b, size_t at, const char *what)
{
    cpuu_error err = CPUU_ERROR_INIT;
    ck_assert_msg(verify_spoilt(b, at, 1, &err) != CPUU_OK, "%s", what);
    OK(verify_spoilt(b, at, 1, &err));
}

/* What libhivex does not show: flags, security, class, the order and the hashes of keys. */
START_TEST(what_edits_do_not_concern_is_verified_too)
{
    cpuu_error err = CPUU_ERROR_INIT;
    bench b;
    make_hive(5, SOME);
    open_bench(&b, HEAD "[HKEY_CURRENT_USER\\Software\\A]\n\"V\"=\"two\"\n"
                        "[HKEY_CURRENT_USER\\Software\\aa]\n");
    cpuu_buf was = {0};
    cpuu_buf_init(&was, b.now.size);
    ck_assert(cpuu_buf_add(&was, b.now.data, b.now.size));
    const uint8_t *data = was.data;
    size_t edited = cell_of(&b, "software\\a"), other = cell_of(&b, "software\\b");
    size_t list = 4096u + cpuu_le32(data + cell_of(&b, "software") + 32);
    size_t security = 4096u + cpuu_le32(data + edited + 48);
    noticed(&b, edited + 6, "flags");
    noticed(&b, edited + 48, "descriptor");
    noticed(&b, edited + 52, "class");
    noticed(&b, edited + 80, "name");
    noticed(&b, other + 8, "time of another key");
    noticed(&b, security + 24, "bytes of the descriptor");
    noticed(&b, 48, "base block");
    /* a, aa, b: the new key in the middle */
    ck_assert_uint_eq(cpuu_le16(data + list + 6), 3);
    ck_assert_uint_eq(4096u + cpuu_le32(data + list + 8), edited);
    ck_assert_uint_eq(4096u + cpuu_le32(data + list + 24), other);
    size_t fresh = 4096u + cpuu_le32(data + list + 16);
    noticed(&b, list + 20, "hash of the new key");
    noticed(&b, fresh + 20, "parent of the new key");
    noticed(&b, fresh + 48, "descriptor of the new key");
    for (size_t i = 0; i < 2; i++) { /* two neighbours swapped */
        uint8_t two[16];
        memcpy(two, data + list + 8 + 8 * i, 16);
        poke(&b, list + 8 + 8 * i, two + 8, 8);
        poke(&b, list + 16 + 8 * i, two, 8);
        ck_assert_int_eq(verify(&b, &err), CPUU_E_FAILED);
        poke(&b, list + 8 + 8 * i, two, 16);
    }
    OK(verify(&b, &err));
    close_bench(&b);
    cpuu_buf_free(&was);
}
END_TEST

START_TEST(keys_that_were_there_keep_their_order)
{
    cpuu_error err = CPUU_ERROR_INIT;
    uint8_t two[16];
    bench b;
    make_hive(5, SOME);
    open_bench(&b, HEAD "[HKEY_CURRENT_USER\\Software\\A]\n\"V\"=\"two\"\n");
    size_t list = 4096u + cpuu_le32(b.now.data + cell_of(&b, "software") + 32);
    memcpy(two, b.now.data + list + 8, 16); /* a, b */
    poke(&b, list + 8, two + 8, 8);
    poke(&b, list + 16, two, 8);
    ck_assert_int_eq(verify(&b, &err), CPUU_E_FAILED);
    close_bench(&b);
}
END_TEST

/* Key "a" gets a class of eight bytes: the data of a value whose key forgets it. */
static void make_hive_with_class(void)
{
    bench b;
    make_hive(5, SOME "[HKEY_CURRENT_USER\\Software\\k]\n\"c\"=hex:43,00,6c,00,61,00,73,00\n");
    open_bench(&b, CHANGE);
    cpuu_buf file = slurp(path);
    uint8_t *bins = file.data + 4096, *a = file.data + cell_of(&b, "software\\a");
    uint8_t *k = file.data + cell_of(&b, "software\\k");
    close_bench(&b);
    put32(a + 52, cpuu_le32(bins + cpuu_le32(bins + cpuu_le32(k + 44) + 4) + 12));
    put16(a + 78, 8);
    ck_assert_mem_eq(bins + cpuu_le32(a + 52) + 4, "C\0l\0a\0s\0", 8);
    put32(k + 40, 0);
    put32(k + 44, 0xffffffff);
    spit(path, file.data, file.size);
    cpuu_buf_free(&file);
}

START_TEST(a_class_is_kept)
{
    cpuu_error err = CPUU_ERROR_INIT;
    bench b;
    make_hive_with_class();
    open_bench(&b, CHANGE);
    noticed(&b, 4096u + cpuu_le32(b.now.data + cell_of(&b, "software\\a") + 52) + 4, "class");
    close_bench(&b);
    OK(edit_text(CHANGE, &err));
    OK(edit_text(HEAD "[-HKEY_CURRENT_USER\\Software\\a]\n[HKEY_CURRENT_USER\\Software\\a]\n"
                      "\"w\"=\"new\"\n", &err));
    OK(open_only(&err));
}
END_TEST

/* Key "a" gets a descriptor of its own: the data of a value whose key forgets it. */
static void make_hive_with_descriptors(void)
{
    bench b;
    make_hive(5, SOME "[HKEY_CURRENT_USER\\Software\\k]\n\"s\"=hex:73,6b,00,00,00,00,00,00,"
                      "00,00,00,00,01,00,00,00,08,00,00,00,01,02,03,04,05,06,07,08\n");
    open_bench(&b, CHANGE);
    cpuu_buf file = slurp(path);
    uint8_t *bins = file.data + 4096, *a = file.data + cell_of(&b, "software\\a");
    uint8_t *k = file.data + cell_of(&b, "software\\k");
    close_bench(&b);
    uint32_t old = cpuu_le32(a + 48);
    uint32_t fresh = cpuu_le32(bins + cpuu_le32(bins + cpuu_le32(k + 44) + 4) + 12);
    ck_assert_mem_eq(bins + fresh + 4, "sk", 2);
    put32(a + 48, fresh);
    put32(bins + old + 16, cpuu_le32(bins + old + 16) - 1);
    for (unsigned i = 8; i <= 12; i += 4) { /* a ring of two */
        put32(bins + old + i, fresh);
        put32(bins + fresh + i, old);
    }
    put32(k + 40, 0);
    put32(k + 44, 0xffffffff);
    spit(path, file.data, file.size);
    cpuu_buf_free(&file);
}

START_TEST(a_descriptor_goes_with_its_last_key)
{
    static const char delete[] = HEAD "[-HKEY_CURRENT_USER\\Software\\a]\n";
    cpuu_error err = CPUU_ERROR_INIT;
    bench b;
    make_hive_with_descriptors();
    open_bench(&b, delete);
    size_t old = 4096u + cpuu_le32(b.now.data + cell_of(&b, "software") + 48);
    uint32_t gone = cpuu_le32(b.before.data + old + 8), here = (uint32_t)old - 4096;
    ck_assert_uint_ne(gone, here);
    ck_assert_uint_eq(cpuu_le32(b.now.data + old + 8), here);
    ck_assert_int_eq((int32_t)cpuu_le32(b.now.data + 4096 + gone) > 0, 1); /* free */
    uint8_t dangling[4], right[4];
    put32(dangling, gone);
    put32(right, here);
    poke(&b, old + 8, dangling, 4);
    ck_assert_int_eq(verify(&b, &err), CPUU_E_FORMAT);
    poke(&b, old + 8, right, 4);
    noticed(&b, old + 16, "number of users");
    OK(verify(&b, &err));
    close_bench(&b);
    OK(edit_text(delete, &err));
    OK(edit_text(HEAD "[HKEY_CURRENT_USER\\Software\\a\\b]\n", &err));
}
END_TEST

/* No hive of Windows has that. What is done to one of the two must not hit the other. */
START_TEST(two_keys_of_one_name_are_left_alone)
{
    static const char *const edits[] = {
        HEAD "[-HKEY_CURRENT_USER\\p\\ab]\n",
        HEAD "[-HKEY_CURRENT_USER\\p\\ab]\n[-HKEY_CURRENT_USER\\p\\AB]\n",
        HEAD "[-HKEY_CURRENT_USER\\p\\ab]\n[HKEY_CURRENT_USER\\p\\ab]\n\"x\"=\"y\"\n"};
    cpuu_error err = CPUU_ERROR_INIT;
    make_hive(5, HEAD "[HKEY_CURRENT_USER\\p\\ab]\n\"v\"=\"1\"\n"
                      "[HKEY_CURRENT_USER\\p\\ac]\n\"w\"=\"2\"\n"
                      "[HKEY_CURRENT_USER\\p\\ac\\sub]\n");
    cpuu_buf b = slurp(path);
    uint8_t *p = memmem(b.data, b.size, "ac", 2);
    ck_assert_ptr_nonnull(p);
    p[1] = 'b';
    spit(path, b.data, b.size);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_ne(edit_text(edits[i], &err), CPUU_OK);
        cpuu_buf after = slurp(path);
        ck_assert(same_bytes(&b, &after));
        cpuu_buf_free(&after);
    }
    cpuu_buf_free(&b);
    OK(edit_text(HEAD "[HKEY_CURRENT_USER\\p\\ab]\n\"v\"=\"3\"\n", &err));
}
END_TEST

/* The tree that was asked for, with one thing more or less. */
START_TEST(another_result_than_asked_for_is_noticed)
{
    cpuu_error err = CPUU_ERROR_INIT;
    bench b;
    make_hive(5, SOME);
    open_bench(&b, CHANGE);
    cpuu_key *a = cpuu_key_find(b.to, "software\\a"), *m = cpuu_key_find(b.to, "software\\n\\m");
    cpuu_key *software = cpuu_key_find(b.to, "software");
    a->values[1].type ^= 1;
    ck_assert_int_eq(verify(&b, &err), CPUU_E_FAILED);
    a->values[1].type ^= 1;
    m->values[0].data[0] ^= 1;
    ck_assert_int_eq(verify(&b, &err), CPUU_E_FAILED);
    m->values[0].data[0] ^= 1;
    m->values[0].name[0] = 'Y';
    ck_assert_int_eq(verify(&b, &err), CPUU_E_FAILED);
    m->values[0].name[0] = 'y';
    m->n_values = 0;
    ck_assert_int_eq(verify(&b, &err), CPUU_E_FAILED);
    m->n_values = 1;
    software->n_kids--;
    ck_assert_int_eq(verify(&b, &err), CPUU_E_FAILED);
    software->n_kids++;
    ck_assert(cpuu_key_add(software, cpuu_key_new("more", 4)));
    ck_assert_int_eq(verify(&b, &err), CPUU_E_FAILED);
    cpuu_key_free(software->kids[--software->n_kids]);
    OK(verify(&b, &err));
    ck_assert(!cpuu_hive_equal(b.root, b.to));
    close_bench(&b);
}
END_TEST

/* Value "default" is never what the edits are about. */
static void spoil(int fd)
{
    static const uint8_t text[] = {'d', 0, 'e', 0, 'f', 0, 'a', 0};
    uint8_t hive[65536];
    ssize_t n = pread(fd, hive, sizeof(hive), 0);
    ck_assert_int_gt(n, 8192);
    uint8_t *p = hive + n - sizeof(text); /* the last: the others are in free cells */
    while (p > hive && memcmp(p, text, sizeof(text)) != 0)
        p--;
    ck_assert_ptr_ne(p, hive);
    ck_assert_int_eq(pwrite(fd, "D", 1, p - hive), 1);
}

static void spoil_file(void)
{
    char file[128];
    snprintf(file, sizeof(file), "%s/.cpuu-NTUSER.DAT.new", dir);
    int fd = open(file, O_RDWR);
    spoil(fd);
    close(fd);
}

START_TEST(a_value_spoilt_on_the_way_is_noticed)
{
    static const char change[] = HEAD "[HKEY_CURRENT_USER\\Software\\b]\n\"v\"=\"two\"\n";
    cpuu_error err = CPUU_ERROR_INIT;
    make_hive(5, SOME);
    cpuu_buf before = slurp(path);
    for (unsigned i = 0; i < 4; i++) { /* a value of an edited key, and of another */
        fault.call_at = i < 2 ? "hive.image" : "hive.flush";
        fault.call = spoil_file;
        cpuu_rc rc = edit_text(i % 2 ? change : CHANGE, &err);
        fault.call_at = NULL;
        ck_assert_msg(rc == (i < 2 ? CPUU_E_FAILED : CPUU_E_IO), "%u: %d %s", i, rc, err.text);
        cpuu_buf after = slurp(path);
        ck_assert(same_bytes(&before, &after));
        ck_assert_uint_eq(files_in_dir(), 1);
        cpuu_buf_free(&after);
    }
    cpuu_buf_free(&before);
}
END_TEST

/* Deleted and created again in one list: the key lives on in its place, with what was asked for. */
START_TEST(a_key_may_be_deleted_and_created_again)
{
    cpuu_error err = CPUU_ERROR_INIT;
    make_hive(5, SOME);
    OK(edit_text(HEAD "[-HKEY_CURRENT_USER\\Software\\a]\n[HKEY_CURRENT_USER\\Software\\a]\n"
                      "\"w\"=\"new\"\n[HKEY_CURRENT_USER\\Software\\a\\sub]\n"
                      "[-HKEY_CURRENT_USER\\Software\\b]\n"
                      "[HKEY_CURRENT_USER\\Software\\B\\C]\n", &err));
    char *s = dump();
    ck_assert_str_eq(s, HEAD "\r\n[HKEY_CURRENT_USER]\r\n\r\n[HKEY_CURRENT_USER\\Software]\r\n"
                             "\r\n[HKEY_CURRENT_USER\\Software\\a]\r\n\"w\"=\"new\"\r\n"
                             "\r\n[HKEY_CURRENT_USER\\Software\\a\\sub]\r\n"
                             "\r\n[HKEY_CURRENT_USER\\Software\\B]\r\n"
                             "\r\n[HKEY_CURRENT_USER\\Software\\B\\C]\r\n");
    free(s);
}
END_TEST

START_TEST(a_dirty_hive_is_refused_unchanged)
{
    const char *oracle = oracle_path("a_dirty_hive_is_refused_unchanged",
                                     "profiles/hives/regipy_transactions_NTUSER.DAT.xz");
    cpuu_error err = CPUU_ERROR_INIT;
    make_hive(5, SOME);
    cpuu_buf b = slurp(path);
    put32(b.data + 8, cpuu_le32(b.data + 4) - 1);
    hive_checksum(b.data);
    spit(path, b.data, b.size);
    ck_assert_int_eq(open_only(&err), CPUU_E_DIRTY);
    cpuu_buf_free(&b);
    if (!oracle)
        return;
    char line[4500];
    snprintf(line, sizeof(line), "xz -dc '%s' >'%s'", oracle, path);
    ck_assert_int_eq(system(line), 0);
    b = slurp(path);
    ck_assert_int_eq(open_only(&err), CPUU_E_DIRTY);
    ck_assert_msg(strstr(err.text, "567 and 566") != NULL, "%s", err.text);
    cpuu_buf after = slurp(path);
    ck_assert(same_bytes(&b, &after));
    cpuu_buf_free(&b);
    cpuu_buf_free(&after);
}
END_TEST

START_TEST(a_damaged_base_block_is_refused)
{
    cpuu_error err = CPUU_ERROR_INIT;
    make_hive(5, SOME);
    cpuu_buf b = slurp(path);
    for (size_t i = 0; i < 512; i++) {
        b.data[i] ^= 0x10;
        spit(path, b.data, b.size);
        ck_assert_msg(open_only(&err) == CPUU_E_FORMAT, "byte %zu", i);
        b.data[i] ^= 0x10;
    }
    static const struct {
        unsigned at;
        uint32_t value;
        cpuu_rc rc;
    } bad[] = {{20, 2, CPUU_E_UNSUPPORTED}, {24, 2, CPUU_E_UNSUPPORTED},
               {24, 7, CPUU_E_UNSUPPORTED}, {28, 1, CPUU_E_UNSUPPORTED},
               {32, 0, CPUU_E_UNSUPPORTED}, {36, 0xfffffff8, CPUU_E_FORMAT},
               {36, 33, CPUU_E_FORMAT}, {40, 0, CPUU_E_FORMAT}, {40, 8192 * 8, CPUU_E_FORMAT},
               {40, 4097, CPUU_E_FORMAT}, {40, 0xfffff000, CPUU_E_FORMAT}, {4096, 0, CPUU_E_FORMAT},
               {4100, 4096, CPUU_E_FORMAT}, {4104, 0, CPUU_E_FORMAT}, {4104, 8192, CPUU_E_FORMAT},
               {4104, 0xfffff000, CPUU_E_FORMAT}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        uint32_t old = cpuu_le32(b.data + bad[i].at);
        put32(b.data + bad[i].at, bad[i].value);
        hive_checksum(b.data);
        spit(path, b.data, b.size);
        cpuu_rc rc = open_only(&err);
        ck_assert_msg(rc == bad[i].rc, "%zu: %d %s", i, rc, err.text);
        put32(b.data + bad[i].at, old);
    }
    cpuu_buf_free(&b);
}
END_TEST

START_TEST(a_truncated_hive_is_refused)
{
    cpuu_error err = CPUU_ERROR_INIT;
    make_hive(5, SOME);
    cpuu_buf b = slurp(path);
    ck_assert_uint_eq(b.size, 12288);
    for (size_t size = 0; size < b.size; size += size < 512 ? 1 : 97) {
        spit(path, b.data, size);
        ck_assert_msg(open_only(&err) == CPUU_E_FORMAT, "%zu bytes: %s", size, err.text);
    }
    cpuu_buf_free(&b);
}
END_TEST

/* Damage inside the bins: anything but a crash, and an edit is made whole or not at all. */
START_TEST(damage_anywhere_never_crashes)
{
    make_hive(3, SOME);
    cpuu_buf b = slurp(path);
    unsigned opened = 0, refusals = 0;
    for (size_t i = 4096; i < b.size; i += i < 4096 + 1600 ? 3 : 64) {
        cpuu_error err = CPUU_ERROR_INIT;
        b.data[i] ^= 0xff;
        spit(path, b.data, b.size);
        cpuu_rc rc = edit_text(CHANGE, &err);
        opened += rc == CPUU_OK;
        refusals += rc != CPUU_OK;
        if (rc != CPUU_OK) {
            cpuu_buf after = slurp(path);
            ck_assert(same_bytes(&b, &after));
            ck_assert_int_ne(err.text[0], 0);
            cpuu_buf_free(&after);
        }
        b.data[i] ^= 0xff;
    }
    ck_assert_uint_gt(opened, 10);
    ck_assert_uint_gt(refusals, 10);
    cpuu_buf_free(&b);
}
END_TEST

START_TEST(links_and_other_things_are_refused)
{
    cpuu_error err = CPUU_ERROR_INIT;
    char other[128];
    snprintf(other, sizeof(other), "%s/other", dir);
    make_hive(5, SOME);
    ck_assert_int_eq(link(path, other), 0);
    ck_assert_int_eq(open_only(&err), CPUU_E_UNSUPPORTED);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(symlink(other, path), 0);
    ck_assert_int_eq(open_only(&err), CPUU_E_UNSUPPORTED);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(open_only(&err), CPUU_E_UNSUPPORTED);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(open_only(&err), CPUU_E_NOTFOUND);
    spit(path, "MZ", 2);
    ck_assert_int_eq(open_only(&err), CPUU_E_FORMAT);
}
END_TEST

START_TEST(a_hive_in_use_is_refused)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_reg *reg;
    make_hive(5, SOME);
    OK(cpuu_reg_open_hive(path, NULL, &reg, &err));
    ck_assert_int_eq(open_only(&err), CPUU_E_BUSY);
    cpuu_reg_close(reg);
    OK(open_only(&err));
}
END_TEST

/* What somebody else does to the file while the new one is being written. */
static void change_one_byte(void)
{
    struct stat st;
    int fd = open(path, O_RDWR);
    ck_assert(fstat(fd, &st) == 0 && pwrite(fd, "!", 1, 8000) == 1);
    struct timespec times[2] = {st.st_atim, st.st_mtim};
    ck_assert_int_eq(futimens(fd, times), 0);
    close(fd);
}

static void append_one_byte(void)
{
    int fd = open(path, O_WRONLY | O_APPEND);
    ck_assert_int_eq(write(fd, "!", 1), 1);
    close(fd);
}

static void replace_it(void)
{
    char other[128];
    snprintf(other, sizeof(other), "%s/other", dir);
    cpuu_buf b = slurp(path);
    spit(other, b.data, b.size);
    cpuu_buf_free(&b);
    ck_assert_int_eq(rename(other, path), 0);
}

static void link_it(void)
{
    char other[128];
    snprintf(other, sizeof(other), "%s/other", dir);
    unlink(other);
    ck_assert_int_eq(link(path, other), 0);
}

/* Writing to a page that is dirty already shows in no time of the file. */
static uint8_t *mapped;

static void change_mapped_byte(void)
{
    mapped[8000] = '!';
}

static void map_it(void)
{
    int fd = open(path, O_RDWR);
    mapped = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(mapped, MAP_FAILED);
    close(fd);
    mapped[8000] ^= 1;
    mapped[8000] ^= 1;
}

START_TEST(a_hive_changed_meanwhile_is_not_replaced)
{
    static void (*const changes[])(void) = {change_one_byte, append_one_byte, replace_it, link_it};
    for (size_t i = 0; i < 8; i++) {
        cpuu_error err = CPUU_ERROR_INIT;
        unlink(path); /* it may have another name */
        make_hive(5, SOME);
        fault.call_at = i < 4 ? "hive.flush" : "hive.image";
        fault.call = changes[i % 4];
        cpuu_rc rc = edit_text(CHANGE, &err);
        fault.call_at = NULL;
        ck_assert_msg(rc == CPUU_E_BUSY, "%zu: %d %s", i, rc, err.text);
        cpuu_buf b = slurp(path);
        ck_assert(changes[i % 4] != change_one_byte || b.data[8000] == '!');
        ck_assert_uint_eq(b.size, changes[i % 4] == append_one_byte ? 12289 : 12288);
        cpuu_buf_free(&b);
    }
}
END_TEST

START_TEST(a_hive_changed_behind_its_times_is_not_replaced)
{
    cpuu_error err = CPUU_ERROR_INIT;
    make_hive(5, SOME);
    map_it();
    fault.call_at = "hive.image";
    fault.call = change_mapped_byte;
    cpuu_rc rc = edit_text(CHANGE, &err);
    munmap(mapped, 12288);
    ck_assert_msg(rc == CPUU_E_BUSY, "%d %s", rc, err.text);
    cpuu_buf b = slurp(path);
    ck_assert_int_eq(b.data[8000], '!');
    cpuu_buf_free(&b);
}
END_TEST

START_TEST(a_folder_that_cannot_be_written_is_an_error)
{
    cpuu_error err = CPUU_ERROR_INIT;
    make_hive(5, SOME);
    cpuu_buf before = slurp(path);
    bool root = geteuid() == 0;
    ck_assert_int_eq(chmod(path, 0644), 0);
    ck_assert_int_eq(chmod(dir, 0555), 0);
    if (root)
        ck_assert_int_eq(seteuid(65534), 0);
    cpuu_rc rc = edit_text(CHANGE, &err);
    if (root)
        ck_assert_int_eq(seteuid(0), 0);
    ck_assert_int_eq(chmod(dir, 0755), 0);
    ck_assert_msg(rc == CPUU_E_ACCESS, "%d %s", rc, err.text);
    cpuu_buf after = slurp(path);
    ck_assert(same_bytes(&before, &after));
    cpuu_buf_free(&before);
    cpuu_buf_free(&after);
}
END_TEST

/* ---- failures at every step ------------------------------------------------------------------ */

/* A hive of more than two write blocks, the edits, and what they make of it. */
static void prepare_big(cpuu_buf *before, cpuu_buf *after, cpuu_edits *e)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_edits big;
    make_hive(3, SOME);
    for (unsigned i = 0; i < 3; i++) {
        big_edit(&big, i == 0 ? "one" : i == 1 ? "two" : "three", 800000);
        OK(edit(&big, &err));
        cpuu_edits_free(&big);
    }
    *before = slurp(path);
    edits_of(e, CHANGE);
    OK(edit(e, &err));
    *after = slurp(path);
}

START_TEST(every_failing_write_or_flush_leaves_the_old_or_the_new)
{
    static const char *const kinds[] = {"write", "flush"};
    cpuu_buf before, after;
    cpuu_edits e;
    prepare_big(&before, &after, &e);
    for (size_t k = 0; k < 2; k++) {
        unsigned long n = 1, changed = 0;
        for (;; n++) {
            cpuu_error err = CPUU_ERROR_INIT;
            spit(path, before.data, before.size);
            fault.fail = kinds[k];
            fault.fail_at = n;
            cpuu_rc rc = edit(&e, &err);
            bool reached = fault.fail_at == 0;
            fault.fail_at = 0;
            cpuu_buf now = slurp(path);
            ck_assert_int_eq(rc, reached ? CPUU_E_IO : CPUU_OK);
            ck_assert(same_bytes(&now, &after) || (reached && same_bytes(&now, &before)));
            changed += reached && same_bytes(&now, &after);
            ck_assert_uint_eq(files_in_dir(), 1);
            cpuu_buf_free(&now);
            if (!reached)
                break;
        }
        ck_assert_uint_ge(n - 1, 2); /* libhivex and the rename; the file and the folder */
        ck_assert_uint_eq(changed, k == 0 ? 0 : 1);
    }
    cpuu_buf_free(&before);
    cpuu_buf_free(&after);
    cpuu_edits_free(&e);
}
END_TEST

START_TEST(a_kill_at_every_step_leaves_the_old_or_the_new)
{
    cpuu_buf before, after;
    cpuu_edits e;
    prepare_big(&before, &after, &e);
    unsigned n = 1, old = 0;
    for (;; n++) {
        spit(path, before.data, before.size);
        pid_t pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
            cpuu_error err = CPUU_ERROR_INIT;
            fault.kill_at = n;
            _exit(edit(&e, &err) == CPUU_OK ? 0 : 1);
        }
        int status;
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert(WIFEXITED(status) && (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 0));
        cpuu_buf now = slurp(path);
        ck_assert(same_bytes(&now, &before) || same_bytes(&now, &after));
        old += same_bytes(&now, &before);
        cpuu_buf_free(&now);
        cpuu_error err = CPUU_ERROR_INIT;
        OK(open_only(&err)); /* no lock is left behind */
        if (WEXITSTATUS(status) == 0)
            break;
    }
    ck_assert_uint_eq(files_in_dir(), 1); /* what the killed ones left was removed */
    ck_assert_uint_eq(old, n - 2); /* all but the kill before the flush of the folder */
    ck_assert_uint_ge(n, 6);
    cpuu_buf_free(&before);
    cpuu_buf_free(&after);
    cpuu_edits_free(&e);
}
END_TEST

static rlim_t room;

/* From now on no file of this process can grow beyond `room`. */
static void limit_files(void)
{
    struct rlimit limit = {room, RLIM_INFINITY};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* The disk is full, or the process is killed, in the middle of what libhivex writes. */
START_TEST(a_write_that_ends_in_the_middle_leaves_the_old)
{
    cpuu_buf before, after;
    cpuu_edits e;
    prepare_big(&before, &after, &e);
    const rlim_t rooms[] = {0, 1, 4096, 1 << 20, after.size - 4096, after.size - 1, after.size};
    for (size_t i = 0; i < 14; i++) {
        bool killed = i % 2, enough = i >= 12;
        spit(path, before.data, before.size);
        room = rooms[i / 2];
        pid_t pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
            cpuu_error err = CPUU_ERROR_INIT;
            signal(SIGXFSZ, killed ? SIG_DFL : SIG_IGN);
            fault.call_at = "hive.write";
            fault.call = limit_files;
            cpuu_rc rc = edit(&e, &err);
            _exit(rc == CPUU_OK ? 0 : strstr(err.text, path) ? 1 : 2);
        }
        int status;
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        if (enough || !killed)
            ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == !enough);
        else
            ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ);
        cpuu_buf now = slurp(path);
        ck_assert(same_bytes(&now, enough ? &after : &before));
        ck_assert_uint_eq(files_in_dir(), killed && !enough ? 2 : 1); /* the next one removes it */
        cpuu_buf_free(&now);
    }
    ck_assert_uint_eq(files_in_dir(), 1);
    cpuu_buf_free(&before);
    cpuu_buf_free(&after);
    cpuu_edits_free(&e);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
    cpuu_edits e;
    cpuu_error err = CPUU_ERROR_INIT;
    make_hive(5, SOME);
    cpuu_buf before = slurp(path);
    edits_of(&e, CHANGE);
    OK(edit(&e, &err));
    cpuu_buf after = slurp(path);
    cpuu_fmt_realloc = cpuu_realloc;
    unsigned long n = 1;
    for (;; n++) {
        spit(path, before.data, before.size);
        err = (cpuu_error)CPUU_ERROR_INIT;
        fault.fail = "alloc";
        fault.fail_at = n;
        cpuu_rc rc = edit(&e, &err);
        bool reached = fault.fail_at == 0;
        fault.fail_at = 0;
        ck_assert_msg(rc == (reached ? CPUU_E_NOMEM : CPUU_OK), "allocation %lu: %d %s", n, rc,
                      err.text);
        cpuu_buf now = slurp(path);
        ck_assert(same_bytes(&now, reached ? &before : &after));
        ck_assert_uint_eq(files_in_dir(), 1);
        cpuu_buf_free(&now);
        if (!reached)
            break;
    }
    ck_assert_uint_gt(n, 100);
    cpuu_fmt_realloc = realloc;
    cpuu_buf_free(&before);
    cpuu_buf_free(&after);
    cpuu_edits_free(&e);
}
END_TEST

/* ---- hives and memory agree ------------------------------------------------------------------ */

static uint32_t rnd(uint32_t *state, uint32_t below)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) % below;
}

static void random_edit(cpuu_edits *e, uint32_t *state)
{
    static const char *const keys[] = {"a", "A\\b", "a\\B\\c", "z", "m\\a\\k", "M\\b",
                                       "a\\b\\c\\g"};
    static const char *const names[] = {"", "v", "V", "w", "ü"};
    const char *key = keys[rnd(state, 7)], *name = names[rnd(state, 5)];
    uint8_t data[3000];
    memset(data, (int)rnd(state, 256), sizeof(data));
    uint32_t size = rnd(state, rnd(state, 3) ? 8 : sizeof(data));
    switch (rnd(state, 6)) {
    case 0:
        cpuu_edits_delete_key(e, key, CPUU_MARK_NONE, NULL);
        break;
    case 1:
        cpuu_edits_unset(e, key, name, CPUU_MARK_NONE, NULL);
        break;
    default:
        cpuu_edits_create_key(e, key, CPUU_MARK_NONE, NULL);
        cpuu_edits_set(e, key, name, rnd(state, 12), data, size, CPUU_MARK_NONE, NULL);
    }
}

/* Same keys and values, in whatever order. */
static void ck_same(cpuu_reg *a, cpuu_reg *b, const char *key)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_reg_names kids, other_kids;
    cpuu_reg_values values, other;
    OK(cpuu_reg_values_of(a, key, &values, &err));
    OK(cpuu_reg_values_of(b, key, &other, &err));
    ck_assert_uint_eq(values.count, other.count);
    for (size_t i = 0; i < values.count; i++) {
        const cpuu_reg_value *v = &values.items[i], *w = cpuu_reg_find(&other, v->name);
        ck_assert(w && w->type == v->type && w->size == v->size &&
                  memcmp(w->data, v->data, v->size) == 0);
    }
    cpuu_reg_values_free(&values);
    cpuu_reg_values_free(&other);
    OK(cpuu_reg_keys(a, key, &kids, &err));
    OK(cpuu_reg_keys(b, key, &other_kids, &err));
    ck_assert_uint_eq(kids.count, other_kids.count);
    for (size_t i = 0; i < kids.count; i++) {
        char *kid = cpuu_reg_join(key, kids.items[i]);
        ck_same(a, b, kid);
        cpuu_free(kid);
    }
    cpuu_reg_names_free(&kids);
    cpuu_reg_names_free(&other_kids);
}

START_TEST(random_edits_give_the_same_hive_as_memory)
{
    for (uint32_t seed = 1; seed <= 8; seed++) {
        uint32_t state = seed;
        cpuu_error err = CPUU_ERROR_INIT;
        cpuu_reg *memory, *hive;
        make_hive(seed % 2 ? 3 : 5, HEAD "[HKEY_CURRENT_USER]\n");
        OK(cpuu_reg_open_memory(&memory, &err));
        for (unsigned round = 0; round < 6; round++) {
            cpuu_edits e;
            cpuu_edits_init(&e);
            for (unsigned i = 0; i < 10; i++)
                random_edit(&e, &state);
            OK(cpuu_reg_apply(memory, &e, &err));
            OK(edit(&e, &err));
            cpuu_edits_free(&e);
            OK(cpuu_reg_open_hive(path, NULL, &hive, &err));
            ck_same(memory, hive, "");
            cpuu_reg_close(hive);
        }
        cpuu_reg_close(memory);
        ck_counts("random_edits_give_the_same_hive_as_memory", 1);
    }
}
END_TEST

/* Whole profiles of other people, as .reg text, into empty hives of both kinds. */
START_TEST(profiles_become_hives)
{
    static const char test[] = "profiles_become_hives";
    static const struct {
        const char *file;
        unsigned lines; /* keys and values, counted in the text */
    } files[] = {{"profiles/reg/exchange_16.0_x64.synthetic.reg", 25 + 171},
                 {"profiles/reg/exchange_16.0_x86.synthetic.reg", 25 + 171},
                 {"profiles/reg/notatin_outlook2010_x86.redacted.reg", 50 + 151},
                 {"profiles/reg/plaso_outlook2010_x64_pop.reg", 28 + 150}};
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_reg *memory, *hive;
    cpuu_edits e;
    const char *oracle = oracle_path(test, files[_i].file);
    if (!oracle)
        return;
    cpuu_buf text = slurp(oracle);
    cpuu_edits_init(&e);
    OK(cpuu_reg_parse_text(text.data, text.size, &e, &err));
    OK(cpuu_reg_open_memory(&memory, &err));
    OK(cpuu_reg_apply(memory, &e, &err));
    for (unsigned minor = 3; minor <= 5; minor += 2) {
        make_hive(minor, HEAD "[HKEY_CURRENT_USER]\n");
        OK(edit(&e, &err));
        OK(cpuu_reg_open_hive(path, NULL, &hive, &err));
        ck_same(memory, hive, "");
        cpuu_reg_close(hive);
        ck_counts(test, files[_i].lines);
    }
    cpuu_reg_close(memory);
    cpuu_edits_free(&e);
    cpuu_buf_free(&text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("hive");
    TCase *t = tcase_create("hive");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, edits_are_written_and_read_back);
    tcase_add_test(t, the_object_goes_on_with_the_new_file);
    tcase_add_test(t, a_second_change_goes_by_the_order_of_the_file);
    tcase_add_test(t, a_replaced_hive_keeps_who_owns_it);
    tcase_add_test(t, a_hive_that_its_owner_may_only_read_is_replaced);
    tcase_add_test(t, a_replaced_hive_inherits_no_rights);
    tcase_add_loop_test(t, reglookup_sees_just_the_edits_in_real_hives, 0, 2);
    tcase_add_test(t, regfexport_reads_what_was_written);
    tcase_add_loop_test(t, real_hives_are_read_whole, 0, 2);
    tcase_add_loop_test(t, real_hives_are_read_as_libhivex_reads_them, 0, 2);
    tcase_add_test(t, names_are_read_as_libhivex_reads_them);
    tcase_add_loop_test(t, profiles_become_hives, 0, 4);
    tcase_add_test(t, key_names_outside_ascii_are_left_alone);
    tcase_add_test(t, values_that_need_segments_are_left_alone);
    tcase_add_test(t, a_value_that_is_not_set_is_read_and_left_alone);
    tcase_add_test(t, the_newest_version_is_taken_without_layers);
    tcase_add_test(t, too_many_keys_at_once_are_refused);
    tcase_add_test(t, keys_are_put_where_windows_looks_for_them);
    tcase_add_test(t, a_flipped_bit_is_noticed_where_it_matters);
    tcase_add_test(t, what_edits_do_not_concern_is_verified_too);
    tcase_add_test(t, keys_that_were_there_keep_their_order);
    tcase_add_test(t, a_class_is_kept);
    tcase_add_test(t, a_descriptor_goes_with_its_last_key);
    tcase_add_test(t, two_keys_of_one_name_are_left_alone);
    tcase_add_test(t, another_result_than_asked_for_is_noticed);
    tcase_add_test(t, a_value_spoilt_on_the_way_is_noticed);
    tcase_add_test(t, a_key_may_be_deleted_and_created_again);
    tcase_add_test(t, a_dirty_hive_is_refused_unchanged);
    tcase_add_test(t, a_damaged_base_block_is_refused);
    tcase_add_test(t, a_truncated_hive_is_refused);
    tcase_add_test(t, damage_anywhere_never_crashes);
    tcase_add_test(t, links_and_other_things_are_refused);
    tcase_add_test(t, a_hive_in_use_is_refused);
    tcase_add_test(t, a_hive_changed_meanwhile_is_not_replaced);
    tcase_add_test(t, a_hive_changed_behind_its_times_is_not_replaced);
    tcase_add_test(t, a_folder_that_cannot_be_written_is_an_error);
    tcase_add_test(t, every_failing_write_or_flush_leaves_the_old_or_the_new);
    tcase_add_test(t, a_kill_at_every_step_leaves_the_old_or_the_new);
    tcase_add_test(t, a_write_that_ends_in_the_middle_leaves_the_old);
    tcase_add_test(t, every_allocation_may_fail);
    tcase_add_test(t, random_edits_give_the_same_hive_as_memory);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
