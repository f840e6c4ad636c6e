/* Log, CSV, JSON, exit codes. Codes and names are written down from the guide's tables. */
#include "base/fault.h"
#include "report/private.h"

#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <pty.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned long fail_at, allocations, fail_write_at, writes;
static bool fail_writes;
static char folder[64];
static cpuu_settings settings;
static cpuu_error err;

void cpuu_fault_step(const char *what)
{
    (void)what;
}

bool cpuu_fault_fail(const char *what)
{
    if (strcmp(what, "alloc") == 0)
        return ++allocations == fail_at;
    if (strcmp(what, "write") != 0 && strcmp(what, "flush") != 0)
        return false;
    return ++writes == fail_write_at || fail_writes;
}

static void setup(void)
{
    cpuu_fmt_realloc = cpuu_realloc;
    cpuu_fmt_free = cpuu_free;
    snprintf(folder, sizeof(folder), "/tmp/cpuu-t-report-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    ck_assert_int_eq(setenv("TMPDIR", folder, 1), 0);
    memset(&settings, 0, sizeof(settings));
    settings.mode = CPUU_MODE_UPDATE;
    settings.quiet = true;
    fail_at = allocations = fail_write_at = writes = 0;
    fail_writes = false;
}

static void teardown(void)
{
    char command[200];
    ck_assert_int_eq(chdir("/"), 0);
    snprintf(command, sizeof(command), "chmod -R u+w '%s' && rm -rf '%s'", folder, folder);
    ck_assert_int_eq(system(command), 0);
}

/* A whole file as a string, owned by the caller; NULL when there is none. */
static char *slurp(const char *path)
{
    FILE *f = fopen(path, "rb");
    char *text = f ? calloc(1, 1 << 20) : NULL;
    if (f) {
        size_t n = fread(text, 1, (1 << 20) - 1, f);
        text[n] = 0;
        fclose(f);
    }
    return text;
}

static void file_is(const char *path, const char *expected)
{
    char *text = slurp(path);
    ck_assert_ptr_nonnull(text);
    ck_assert_str_eq(text, expected);
    free(text);
}

static void file_has(const char *path, const char *part)
{
    char *text = slurp(path);
    ck_assert_ptr_nonnull(text);
    ck_assert_msg(strstr(text, part), "'%s' is not in:\n%s", part, text);
    free(text);
}

/* ---- tables ---------------------------------------------------------------------------------- */

START_TEST(status_codes_of_the_guide)
{
    static const char *const names[] = {"PROFILE_WAS_NOT_PROCESSED",
                                        "PROFILE_IS_BACKUP",
                                        "PROFILE_ALREADY_UPDATED",
                                        "PROFILE_BACKUP_NOT_FOUND",
                                        "PROFILE_NOT_RESOLVED",
                                        "PROFILE_NOT_EXCHANGE_SERVICE",
                                        "PROFILE_IS_OFFLINE",
                                        "PROFILE_HAS_NO_SERVER",
                                        "PROFILE_UNEXPECTED_SERVICES",
                                        "PROFILE_FAILED_TO_CREATE_BACKUP",
                                        "PROFILE_MODIFYING_OK",
                                        "PROFILE_MODIFYING_FAILED",
                                        "PROFILE_RESTORE_OK",
                                        "PROFILE_RESTORE_FAILED",
                                        "PROFILE_CLEANUP_OK",
                                        "PROFILE_CLEANUP_FAILED",
                                        "PROFILE_CLEANUP_CANCELED",
                                        "PROFILE_IS_UNABLE_OPEN_DEFSTORE",
                                        "PROFILE_IS_UNABLE_OPEN_MAILBOX_STORE",
                                        "PROFILE_HAS_UNSUPPORTED_AUTHENTICATION",
                                        "PROFILE_HAS_CFG_UI_LOCK",
                                        "PROFILE_IS_OFFLINE_AND_RC",
                                        "PROFILE_NOT_FREESPACE_FOR_BACKUPOST",
                                        "PROFILE_MORE_THAN_ONE_ACCOUNT_IS_ALLOWED_TO_SWITCH",
                                        "PROFILE_NO_ACCOUNT_IS_ALLOWED_TO_SWITCH"};
    for (unsigned i = 0; i < 25; i++) {
        ck_assert_str_eq(cpuu_status_name((cpuu_status)i), names[i]);
        ck_assert_uint_gt(strlen(cpuu_status_text((cpuu_status)i)), 10);
    }
    ck_assert_str_eq(cpuu_status_name((cpuu_status)25), "PROFILE_UNKNOWN");
}
END_TEST

START_TEST(exit_status_in_both_styles)
{
    const struct {
        unsigned mask;
        bool nothing;
        int guide, posix;
    } rows[] = {{0, true, 0, 3},      {0, false, 0, 2},     {1, false, 1, 0},    {2, false, 2, 3},
                {3, false, 3, 1},     {5, false, 5, 1},     {4, false, 4, 4},    {8, false, 8, 5},
                {12, false, 12, 5},   {16, false, 16, 4},   {32, false, 32, 4},  {64, true, 64, 3},
                {128, false, 128, 4}, {256, true, 64, 3},   {257, false, 65, 1}, {512, false, 2, 4},
                {513, false, 3, 1},   {1023, false, 255, 1}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_int_eq(cpuu_exit_status(rows[i].mask, false, rows[i].nothing), rows[i].guide);
        ck_assert_int_eq(cpuu_exit_status(rows[i].mask, true, rows[i].nothing), rows[i].posix);
    }
    char words[400];
    cpuu_exit_words(0, words, sizeof(words));
    ck_assert_str_eq(words, "CPUU_CANNOT_START");
    cpuu_exit_words(1023, words, sizeof(words));
    ck_assert_str_eq(words, "CPUU_SUCCESS CPUU_NO_SWITCH_MSG CPUU_SWITCH_ERR CPUU_USER_ABORT "
                            "CPUU_GLOBAL_ERR CPUU_CRASH CPUU_FAILED_TO_WRITE_LOG "
                            "CPUU_FAILED_TO_CREATE_TMP_DIR "
                            "CPUU_FAILED_TO_COPY_LOCALLOG_TO_REMOTE_SHARE CPUU_INVALID_SWITCH_MSG");
}
END_TEST

START_TEST(words_for_links_and_marks)
{
    ck_assert_str_eq(cpuu_outcome_word(CPUU_REWRITTEN), "rewritten");
    ck_assert_str_eq(cpuu_outcome_word(CPUU_KEPT), "kept");
    ck_assert_str_eq(cpuu_outcome_word(CPUU_DROPPED), "dropped");
    ck_assert_str_eq(cpuu_outcome_word(CPUU_ALREADY), "already");
    ck_assert_str_eq(cpuu_outcome_word(77), "unknown");
    ck_assert_str_eq(cpuu_reason_word(CPUU_WHY_OWN), "own");
    ck_assert_str_eq(cpuu_reason_word(CPUU_WHY_NO_ACCESS), "no-access");
    ck_assert_str_eq(cpuu_reason_word(CPUU_WHY_EXCLUDED), "excluded");
    ck_assert_str_eq(cpuu_reason_word(CPUU_WHY_PUBLIC), "public");
    ck_assert_str_eq(cpuu_reason_word(CPUU_WHY_AT_TARGET), "at-target");
    ck_assert_str_eq(cpuu_reason_word(13), "unknown-reason");
    ck_assert_str_eq(cpuu_feature_state_word(CPUU_FEATURE_PARTLY), "partly");
    ck_assert_str_eq(cpuu_mark_word('I'), "inferred");
    ck_assert_str_eq(cpuu_mark_word('D'), "documented");
}
END_TEST

/* ---- names ----------------------------------------------------------------------------------- */

static void expands(const char *pattern, const char *expected)
{
    char *name = cpuu_report_expand_name(pattern, "PC1", "20260131", "235959");
    ck_assert_ptr_nonnull(name);
    ck_assert_str_eq(name, expected);
    cpuu_free(name);
}

START_TEST(variables_in_file_names)
{
    setenv("CPUU_T", "value", 1);
    setenv("USERNAME", "jo", 1);
    expands("CPUU_#h_#d_#t.log", "CPUU_PC1_20260131_235959.log");
    expands("#H#D#T", "PC120260131235959");
    expands("%cpuu_t%/%CPUU_T%", "value/value");
    expands("%username%_CPUU.log", "jo_CPUU.log");
    expands("%ComputerName%", "PC1");
    expands("100%", "100%");
    expands("%%", "%%");
    expands("%no such%x#y#", "%no such%x#y#");
    expands("a%CPUU_T", "a%CPUU_T");
}
END_TEST

/* ---- a run ----------------------------------------------------------------------------------- */

static cpuu_report *open_report(void)
{
    cpuu_report *r = NULL;
    ck_assert_int_eq(cpuu_report_open(&settings, &r, &err), CPUU_OK);
    return r;
}

/* One profile with everything that can happen to it. */
static void play(cpuu_report *r)
{
    cpuu_report_profile_begin(r, "/u/NTUSER.DAT", "Out\tlook", CPUU_PROFILE_WAS_NOT_PROCESSED);
    cpuu_report_fact(r, "source.smtp", "a@src");
    cpuu_report_feature_begin(r, "Calendar");
    cpuu_report_link(r, CPUU_REWRITTEN, CPUU_WHY_OWN, "Mine", "x", "y");
    cpuu_report_link(r, CPUU_KEPT, CPUU_WHY_NOT_MIGRATED, "Bob\xc3\xbc", "b", NULL);
    cpuu_report_change(r, "Navigation", "Bob", "1", NULL, 'I');
    cpuu_report_feature_end(r, CPUU_FEATURE_PARTLY, NULL);
    cpuu_report_feature_begin(r, "Tasks");
    cpuu_report_feature_end(r, CPUU_FEATURE_NOTHING, NULL);
    cpuu_report_feature_begin(r, "Notes");
    cpuu_report_link(r, CPUU_ALREADY, CPUU_WHY_AT_TARGET, "There", "z", "z");
    cpuu_report_feature_end(r, CPUU_FEATURE_NOTHING, NULL);
    cpuu_report_feature_begin(r, "Rules");
    cpuu_report_feature_end(r, CPUU_FEATURE_SKIPPED, NULL);
    cpuu_report_conflict(r, "folder", "item");
    cpuu_report_profile_end(r, CPUU_PROFILE_MODIFYING_OK, NULL);
    cpuu_report_profile_begin(r, NULL, "Second", CPUU_PROFILE_ALREADY_UPDATED);
    cpuu_report_profile_end(r, CPUU_PROFILE_MODIFYING_FAILED, "bad \xff byte");
}

START_TEST(log_lines_have_time_pid_and_level)
{
    static cpuu_setting_note notes[] = {{CPUU_LV_WARNING, (char *)"CPUU.ini:1: something"}};
    settings.log_file = (char *)"run.log";
    settings.notes = notes;
    settings.n_notes = 1;
    cpuu_report *r = open_report();
    cpuu_logf(cpuu_report_log(r), CPUU_LV_TRACEW, "tried\n%s", "twice");
    ck_assert_int_eq(cpuu_report_close(r), 0);
    char *text = slurp("run.log"), pattern[200];
    regex_t re;
    ck_assert_ptr_nonnull(text);
    snprintf(pattern, sizeof(pattern),
             "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}\\.[0-9]{3} %ld \\[TraceW\\] tried twice$",
             (long)getpid());
    ck_assert_int_eq(regcomp(&re, pattern, REG_EXTENDED | REG_NEWLINE), 0);
    ck_assert_int_eq(regexec(&re, text, 0, NULL, 0), 0);
    regfree(&re);
    ck_assert_ptr_nonnull(strstr(text, "[Warning] CPUU.ini:1: something\n"));
    ck_assert_ptr_nonnull(strstr(text, "exit mask 0 (CPUU_CANNOT_START: nothing to do)\n"));
    free(text);
    file_is("run.csv", "");
    struct stat st;
    ck_assert_int_eq(stat("run.log", &st), 0);
    ck_assert_int_eq(st.st_mode & 077, 0);
}
END_TEST

START_TEST(csv_has_name_status_previous)
{
    cpuu_report *r = open_report();
    play(r);
    cpuu_report_add_exit(r, CPUU_EXIT_NO_SWITCH_MSG);
    ck_assert_int_eq(cpuu_report_close(r), 1 | 2 | 4);
    file_is("CPUU.csv", "Out\\tlook\t10\t0\nSecond\t11\t2\n");
    file_has("CPUU.log", "[Info] Calendar: 'Bob\xc3\xbc' kept: its owner has not moved; b\n");
    file_has("CPUU.log", "2 profiles: 1 updated, 1 failed, 0 left alone.");
    file_has("CPUU.log", "Links: 1 rewritten, 1 stay at the source, 0 dropped.");
}
END_TEST

START_TEST(dry_run_says_what_would_be)
{
    settings.dry_run = true;
    cpuu_report *r = open_report();
    cpuu_report_profile_begin(r, "/u/NTUSER.DAT", "One", CPUU_PROFILE_WAS_NOT_PROCESSED);
    cpuu_report_profile_end(r, CPUU_PROFILE_WAS_NOT_PROCESSED, NULL);
    cpuu_report_profile_begin(r, "/u/NTUSER.DAT", "Two", CPUU_PROFILE_WAS_NOT_PROCESSED);
    cpuu_report_profile_end(r, CPUU_PROFILE_WAS_NOT_PROCESSED, "trouble");
    cpuu_report_add_exit(r, CPUU_EXIT_SUCCESS);
    ck_assert_int_eq(cpuu_report_close(r), CPUU_EXIT_SUCCESS);
    file_is("CPUU.csv", "One\t0\t0\nTwo\t0\t0\n");
    file_has("CPUU.log", "Profile 'One': This was a dry run, nothing was written.");
    file_has("CPUU.log", "Profile 'Two': The profile was not processed.");
    file_has("CPUU.log", "2 profiles: 1 would be updated, 0 failed, 1 left alone.");
}
END_TEST

START_TEST(own_backup_is_no_news)
{
    cpuu_report *r = open_report();
    cpuu_report_profile_begin(r, "/u/NTUSER.DAT", "Copy", CPUU_PROFILE_IS_BACKUP);
    cpuu_report_profile_end(r, CPUU_PROFILE_IS_BACKUP, NULL);
    cpuu_report_profile_begin(r, "/u/NTUSER.DAT", "One", CPUU_PROFILE_WAS_NOT_PROCESSED);
    cpuu_report_profile_end(r, CPUU_PROFILE_MODIFYING_OK, NULL);
    ck_assert_int_eq(cpuu_report_close(r), CPUU_EXIT_SUCCESS);
    file_is("CPUU.csv", "Copy\t1\t1\nOne\t10\t0\n");
    file_has("CPUU.log", "1 profile: 1 updated, 0 failed, 0 left alone.");
}
END_TEST

static const char *text_at(json_t *o, const char *a, const char *b)
{
    json_t *v = json_object_get(o, a);
    return json_string_value(b ? json_object_get(v, b) : v);
}

START_TEST(json_says_the_same)
{
    settings.json_file = (char *)"r.json";
    settings.posix_exit = true;
    cpuu_report *r = open_report();
    play(r);
    ck_assert_int_eq(cpuu_report_close(r), 1);
    json_error_t je;
    json_t *j = json_load_file("r.json", 0, &je);
    ck_assert_ptr_nonnull(j);
    ck_assert_str_eq(text_at(j, "format", NULL), "cpuu-report");
    ck_assert_str_eq(text_at(j, "run", "mode"), "update");
    ck_assert_str_eq(text_at(j, "run", "log"), "CPUU.log");
    json_t *p = json_array_get(json_object_get(j, "profiles"), 0);
    ck_assert_str_eq(text_at(p, "name", NULL), "Out\tlook");
    ck_assert_str_eq(text_at(p, "status", "name"), "PROFILE_MODIFYING_OK");
    ck_assert_str_eq(text_at(p, "facts", "source.smtp"), "a@src");
    json_t *f = json_array_get(json_object_get(p, "features"), 0);
    ck_assert_str_eq(text_at(f, "state", NULL), "partly");
    json_t *links = json_object_get(f, "links"), *link = json_array_get(links, 1);
    ck_assert_uint_eq(json_array_size(links), 2);
    ck_assert_str_eq(text_at(link, "outcome", NULL), "kept");
    ck_assert_str_eq(text_at(link, "reason", NULL), "not-migrated");
    ck_assert(json_is_null(json_object_get(link, "after")));
    json_t *change = json_array_get(json_object_get(p, "changes"), 0);
    ck_assert_str_eq(text_at(change, "mark", NULL), "inferred");
    ck_assert_str_eq(text_at(change, "feature", NULL), "Calendar");
    ck_assert_uint_eq(json_array_size(json_object_get(p, "conflicts")), 1);
    p = json_array_get(json_object_get(j, "profiles"), 1);
    ck_assert_str_eq(text_at(p, "message", NULL), "bad ? byte");
    ck_assert(json_is_null(json_object_get(p, "hive")));
    json_t *e = json_object_get(j, "exit");
    ck_assert_int_eq(json_integer_value(json_object_get(e, "mask")), 5);
    ck_assert_int_eq(json_integer_value(json_object_get(e, "status")), 1);
    ck_assert_str_eq(text_at(e, "style", NULL), "posix");
    json_decref(j);
}
END_TEST

/* ---- logs that cannot be written --------------------------------------------------------------
 */

START_TEST(a_log_in_a_missing_folder_is_bit_64)
{
    settings.log_file = (char *)"missing/x.log";
    cpuu_report *r = open_report();
    ck_assert_int_eq(cpuu_report_close(r), 64);
}
END_TEST

START_TEST(a_log_behind_a_link_is_not_written)
{
    ck_assert_int_eq(symlink("victim", "CPUU.log"), 0);
    cpuu_report *r = open_report();
    ck_assert_int_eq(cpuu_report_close(r), 64);
    ck_assert_int_ne(access("victim", F_OK), 0);
}
END_TEST

START_TEST(a_disk_that_fills_up_is_bit_64)
{
    cpuu_report *r = open_report();
    fail_writes = true;
    cpuu_logf(cpuu_report_log(r), CPUU_LV_INFO, "x");
    fail_writes = false;
    ck_assert_int_eq(cpuu_report_close(r), 64);
}
END_TEST

START_TEST(a_device_takes_the_log_and_has_no_csv)
{
    settings.log_file = (char *)"/dev/null";
    cpuu_report *r = open_report();
    play(r);
    ck_assert_int_eq(cpuu_report_close(r), 5);
    ck_assert_int_ne(access("/dev/null.csv", F_OK), 0);
}
END_TEST

START_TEST(a_share_that_cannot_be_reached_leaves_the_log_here)
{
    settings.log_file = (char *)"\\\\Server\\Share\\jo_CPUU.log";
    cpuu_report *r = open_report();
    play(r);
    ck_assert_int_eq(cpuu_report_close(r), 1 | 4 | 64); /* 256 is folded into 64 */
    file_has("CPUULogs/jo_CPUU.log", "[Info] cpuu ");
    file_has("CPUULogs/jo_CPUU.csv", "Second\t11\t2\n");
}
END_TEST

START_TEST(a_local_folder_that_others_can_write_is_not_used)
{
    ck_assert_int_eq(mkdir("CPUULogs", 0777), 0);
    ck_assert_int_eq(chmod("CPUULogs", 0777), 0);
    settings.log_file = (char *)"\\\\Server\\Share\\x.log";
    cpuu_report *r = open_report();
    ck_assert_int_eq(cpuu_report_close(r), 128 | 64);
    ck_assert_int_ne(access("CPUULogs/x.log", F_OK), 0);
}
END_TEST

START_TEST(moving_a_log)
{
    char *big = malloc(200000);
    memset(big, 'x', 200000);
    FILE *f = fopen("local", "w");
    fwrite(big, 1, 200000, f);
    fclose(f);
    f = fopen("remote", "w");
    fputs("old\n", f);
    fclose(f);
    ck_assert_int_eq(cpuu_log_move("local", "remote", true, &err), CPUU_OK);
    ck_assert_int_ne(access("local", F_OK), 0);
    struct stat st;
    ck_assert_int_eq(stat("remote", &st), 0);
    ck_assert_int_eq(st.st_size, 200004);
    file_has("remote", "old\nxxx");
    f = fopen("local", "w");
    fputs("new", f);
    fclose(f);
    ck_assert_int_eq(cpuu_log_move("local", "remote", false, &err), CPUU_OK);
    file_is("remote", "new");
    f = fopen("local", "w");
    fputs("kept", f);
    fclose(f);
    ck_assert_int_lt(cpuu_log_move("local", "missing/remote", false, &err), 0);
    file_is("local", "kept");
    fail_writes = true;
    ck_assert_int_lt(cpuu_log_move("local", "remote", false, &err), 0);
    fail_writes = false;
    file_is("local", "kept");
    free(big);
}
END_TEST

START_TEST(a_file_with_a_second_name_is_not_touched)
{
    FILE *f = fopen("victim", "w");
    fputs("precious", f);
    fclose(f);
    f = fopen("local", "w");
    fputs("log", f);
    fclose(f);
    ck_assert_int_eq(link("victim", "remote"), 0);
    ck_assert_int_lt(cpuu_log_move("local", "remote", false, &err), 0);
    ck_assert_int_lt(cpuu_log_move("local", "remote", true, &err), 0);
    ck_assert_int_eq(cpuu_log_open("remote", &err), -1);
    file_is("victim", "precious");
}
END_TEST

/* A share that users may only write to: as another user than root, whom modes do not stop. */
static int log_into_a_drop_box(void)
{
    if (geteuid() == 0 && setuid(65534) != 0)
        return 1;
    cpuu_report *r = NULL;
    settings.log_file = (char *)"box/x.log";
    if (cpuu_report_open(&settings, &r, &err) != CPUU_OK)
        return 2;
    play(r);
    return cpuu_report_close(r);
}

START_TEST(a_folder_that_can_only_be_written_to)
{
    int status;
    ck_assert_int_eq(chmod(".", 0755), 0);
    ck_assert_int_eq(mkdir("box", 0777), 0);
    ck_assert_int_eq(chmod("box", 0333), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(log_into_a_drop_box());
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 5);
    ck_assert_int_eq(chmod("box", 0700), 0);
    file_is("box/x.csv", "Out\\tlook\t10\t0\nSecond\t11\t2\n");
}
END_TEST

/* What a terminal shows while a run goes on and at its end. */
static void on_a_terminal(char *shown, size_t size, bool quiet)
{
    int master, status;
    size_t n = 0;
    pid_t pid = forkpty(&master, NULL, NULL, NULL);
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        settings.quiet = quiet;
        cpuu_report *r = open_report();
        cpuu_report_progress(r, "hives", 1, 3);
        cpuu_report_progress(r, "hives", 2, 3); /* too soon */
        play(r);
        _exit(cpuu_report_close(r));
    }
    for (ssize_t got; n + 1 < size && (got = read(master, shown + n, size - n - 1)) > 0;)
        n += (size_t)got;
    shown[n] = 0;
    close(master);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
}

START_TEST(the_terminal)
{
    char shown[8000];
    on_a_terminal(shown, sizeof(shown), false);
    ck_assert_ptr_nonnull(strstr(shown, "hives 1/3"));
    ck_assert_ptr_null(strstr(shown, "hives 2/3"));
    ck_assert_ptr_nonnull(strstr(shown, "warning: folder was changed by somebody else since"));
    ck_assert_ptr_nonnull(strstr(shown, "Profile 'Second': The profile cannot be updated"));
    ck_assert_ptr_nonnull(strstr(shown, "Profile 'Out\tlook': The profile was updated.\r\n"
                                        "    Calendar           partly; links rewritten 1, kept 1, "
                                        "dropped 0\r\n"
                                        "    nothing to do      Tasks, Notes\r\n"
                                        "Profile 'Second': The profile cannot be updated"));
    ck_assert_ptr_nonnull(strstr(shown, "cpuu: exit mask 5 (CPUU_SUCCESS CPUU_SWITCH_ERR)"));
    on_a_terminal(shown, sizeof(shown), true);
    ck_assert_str_eq(shown, "cpuu: exit mask 5 (CPUU_SUCCESS CPUU_SWITCH_ERR)\r\n");
}
END_TEST

START_TEST(local_folders_are_not_remote)
{
    ck_assert(!cpuu_is_remote("/proc"));
    ck_assert(!cpuu_is_remote("/nonexistent"));
}
END_TEST

START_TEST(listing_writes_no_file)
{
    settings.mode = CPUU_MODE_LIST_PROFILES;
    cpuu_report *r = open_report();
    ck_assert_int_eq(cpuu_report_close(r), 0);
    ck_assert_int_ne(access("CPUU.log", F_OK), 0);
}
END_TEST

START_TEST(a_run_that_breaks_off)
{
    cpuu_report *r = open_report();
    cpuu_fail(&err, CPUU_E_USAGE, "no hive");
    cpuu_report_abort(r, &err);
    settings.posix_exit = true;
    ck_assert_int_eq(cpuu_report_close(r), 2);
    settings.posix_exit = false;
    r = open_report();
    cpuu_fail(&err, CPUU_E_IO, "broken");
    cpuu_report_abort(r, &err);
    ck_assert_int_eq(cpuu_report_close(r), 16);
    r = open_report();
    cpuu_fail(&err, CPUU_E_STOP, "stopped");
    cpuu_report_abort(r, &err);
    ck_assert_int_eq(cpuu_report_close(r), 8);
    file_has("CPUU.log", "[Error] no hive\n"); /* runs append to the same log */
    file_has("CPUU.log", "[Error] stopped\n");
}
END_TEST

/* Whatever fails for lack of memory, nothing is lost silently: the CSV is complete or bit 64 is
 * set, and so it is with the JSON report. */
START_TEST(every_failing_allocation_is_survived)
{
    bool done = false;
    settings.json_file = (char *)"r.json";
    for (unsigned long n = 1; !done && n < 3000; n++) {
        cpuu_report *r = NULL;
        unlink("r.json");
        unlink("CPUU.csv");
        unlink("CPUU.log");
        allocations = 0;
        fail_at = n;
        cpuu_rc rc = cpuu_report_open(&settings, &r, &err);
        if (rc != CPUU_OK) {
            ck_assert_int_eq(rc, CPUU_E_NOMEM);
            continue;
        }
        play(r);
        int status = cpuu_report_close(r);
        done = allocations < n;
        fail_at = 0;
        ck_assert_int_eq(status & ~64, 5);
        if (!(status & 64)) {
            file_is("CPUU.csv", "Out\\tlook\t10\t0\nSecond\t11\t2\n");
            file_has("r.json", "\"status\": 5");
        }
    }
    ck_assert(done);
}
END_TEST

/* Log, CSV or JSON: whichever write or flush fails, the exit mask shows it. */
START_TEST(every_failing_write_is_bit_64)
{
    settings.json_file = (char *)"r.json";
    unsigned long n = 1;
    for (;; n++) {
        writes = 0;
        fail_write_at = n;
        cpuu_report *r = open_report();
        play(r);
        int status = cpuu_report_close(r);
        if (writes < n)
            break;
        ck_assert_int_eq(status, 5 | 64);
    }
    ck_assert_uint_gt(n, 10);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("report");
    TCase *t = tcase_create("report");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, status_codes_of_the_guide);
    tcase_add_test(t, exit_status_in_both_styles);
    tcase_add_test(t, words_for_links_and_marks);
    tcase_add_test(t, variables_in_file_names);
    tcase_add_test(t, log_lines_have_time_pid_and_level);
    tcase_add_test(t, csv_has_name_status_previous);
    tcase_add_test(t, dry_run_says_what_would_be);
    tcase_add_test(t, own_backup_is_no_news);
    tcase_add_test(t, json_says_the_same);
    tcase_add_test(t, a_log_in_a_missing_folder_is_bit_64);
    tcase_add_test(t, a_log_behind_a_link_is_not_written);
    tcase_add_test(t, a_disk_that_fills_up_is_bit_64);
    tcase_add_test(t, a_device_takes_the_log_and_has_no_csv);
    tcase_add_test(t, a_share_that_cannot_be_reached_leaves_the_log_here);
    tcase_add_test(t, a_local_folder_that_others_can_write_is_not_used);
    tcase_add_test(t, moving_a_log);
    tcase_add_test(t, a_file_with_a_second_name_is_not_touched);
    tcase_add_test(t, a_folder_that_can_only_be_written_to);
    tcase_add_test(t, the_terminal);
    tcase_add_test(t, local_folders_are_not_remote);
    tcase_add_test(t, listing_writes_no_file);
    tcase_add_test(t, a_run_that_breaks_off);
    tcase_add_test(t, every_failing_allocation_is_survived);
    tcase_add_test(t, every_failing_write_is_bit_64);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
