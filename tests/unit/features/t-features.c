/*
 * The runner, the services and the replay on everything but mailboxes: real plugin, real journal,
 * real profile model over a registry in memory, real files. What is reported is recorded here.
 * (Mailboxes are tested with the rehearsal server: there is no stand-in for one.)
 */
#include "base/fault.h"
#include "base/file.h"
#include "features/features.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- fault points ---------------------------------------------------------------------------- */

static int steps_left = -1, fails_left = -1;
static const char *fail_kind;

void cpuu_fault_step(const char *what)
{
    (void)what;
    if (steps_left >= 0 && steps_left-- == 0)
        _exit(99);
}

bool cpuu_fault_fail(const char *what)
{
    return fail_kind && strcmp(what, fail_kind) == 0 && fails_left >= 0 && fails_left-- == 0;
}

/* ---- what is reported ------------------------------------------------------------------------ */

static char reported[8192];

static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *fmt, ...)
{
    const size_t n = strlen(reported);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(reported + n, sizeof(reported) - n, fmt, ap);
    va_end(ap);
}

static const char *or_dash(const char *s)
{
    return s ? s : "-";
}

void cpuu_report_feature_begin(cpuu_report *r, const char *feature)
{
    (void)r;
    note("[%s", feature);
}

void cpuu_report_feature_end(cpuu_report *r, cpuu_feature_state state, const char *message)
{
    static const char *const words[] = {"?", "ok", "nothing", "partly", "failed", "skipped"};
    (void)r;
    note(" %s%s%s]", words[state], message ? ": " : "", message ? message : "");
}

void cpuu_report_link(cpuu_report *r, uint32_t outcome, uint32_t reason, const char *title,
                      const char *before, const char *after)
{
    (void)r;
    (void)outcome;
    (void)reason;
    note("<%s %s %s>", title, or_dash(before), or_dash(after));
}

void cpuu_report_change(cpuu_report *r, const char *where, const char *name, const char *before,
                        const char *after, char mark)
{
    (void)r;
    (void)where;
    (void)mark;
    note("{%s: %s -> %s}", name, or_dash(before), or_dash(after));
}

void cpuu_report_conflict(cpuu_report *r, const char *where, const char *what)
{
    (void)r;
    note("!%s: %s!", where, what);
}

void cpuu_report_progress(cpuu_report *r, const char *what, uint32_t done, uint32_t total)
{
    (void)r;
    (void)what;
    (void)done;
    (void)total;
}

/* ---- fixture --------------------------------------------------------------------------------- */

static char dir[64], plugin_dir[96], state_dir[96], roaming[96];
static cpuu_plugins *plugins;
static cpuu_reg *base, *view;
static cpuu_edits edits;
static cpuu_profile_roots roots;
static cpuu_profile *profile;
static cpuu_settings settings;
static cpuu_work work;
static int beats_left;
static char *selected_words[4], *critical_words[4];
static const uint8_t UID[16] = {5};
static const cpuu_journal_key KEY = {"Root", "Test", UID, ""};

static const char REG[] =
    "REGEDIT4\n\n"
    "[HKEY_CURRENT_USER\\Software\\Microsoft\\Office\\16.0\\Outlook\\Profiles\\Test]\n\n"
    "[HKEY_CURRENT_USER\\Software\\Microsoft\\Office\\16.0\\Outlook\\Profiles\\Test"
    "\\9207f3e0a3b11019908b08002b2a56c2]\n\n"
    "[HKEY_CURRENT_USER\\Software\\Microsoft\\Office\\16.0\\Outlook\\Profiles\\Test"
    "\\0a0d020000000000c000000000000046]\n"
    "\"001f3001\"=hex:6f,00,6c,00,64,00,00,00\n";

static void put(const char *name, const char *content)
{
    char path[160];
    snprintf(path, sizeof(path), "%s/%s", roaming, name);
    ck_assert_int_eq(cpuu_file_write(path, content, strlen(content), 0600, NULL), CPUU_OK);
}

/* Contents of a file, "(none)" when it is missing. */
static const char *get(const char *name)
{
    static char content[64];
    char path[160];
    snprintf(path, sizeof(path), "%s/%s", roaming, name);
    FILE *f = fopen(path, "r");
    if (!f)
        return "(none)";
    content[fread(content, 1, sizeof(content) - 1, f)] = 0;
    fclose(f);
    return content;
}

static cpuu_rc beat(void *user)
{
    (void)user;
    return beats_left > 0 && --beats_left == 0 ? CPUU_E_STOP : CPUU_OK;
}

static void set_up(void)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_edits first;
    char command[800];
    steps_left = fails_left = -1;
    fail_kind = NULL;
    reported[0] = 0;
    beats_left = 0;
    strcpy(dir, "/tmp/t-features-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(plugin_dir, sizeof(plugin_dir), "%s/plugins", dir);
    snprintf(state_dir, sizeof(state_dir), "%s/state", dir);
    snprintf(roaming, sizeof(roaming), "%s/roaming", dir);
    snprintf(command, sizeof(command),
             "mkdir -m 755 '%s' '%s' && cp .libs/mock-behave.so '%s/' && chmod 755 '%s'/*.so",
             plugin_dir, roaming, plugin_dir, plugin_dir);
    ck_assert_int_eq(system(command), 0);
    ck_assert_msg(cpuu_plugins_load(plugin_dir, NULL, &plugins, &err) == CPUU_OK, "%s", err.text);

    cpuu_edits_init(&first);
    cpuu_edits_init(&edits);
    ck_assert_msg(cpuu_reg_parse_text(REG, strlen(REG), &first, &err) == CPUU_OK, "%s", err.text);
    ck_assert_int_eq(cpuu_reg_open_memory(&base, &err), CPUU_OK);
    ck_assert_int_eq(cpuu_reg_apply(base, &first, &err), CPUU_OK);
    cpuu_edits_free(&first);
    ck_assert_int_eq(cpuu_reg_open_overlay(base, &edits, &view, &err), CPUU_OK);
    ck_assert_int_eq(cpuu_profile_discover(view, &roots, &err), CPUU_OK);
    ck_assert_uint_eq(roots.count, 1);
    ck_assert_msg(cpuu_profile_open(view, &roots.items[0], "Test", &profile, &err) == CPUU_OK, "%s",
                  err.text);

    memset(&settings, 0, sizeof(settings));
    settings.features.items = selected_words;
    settings.critical.items = critical_words;
    work = (cpuu_work){.settings = &settings,
                       .plugins = plugins,
                       .profile = profile,
                       .edits = &edits,
                       .roaming_dir = roaming,
                       .beat = beat,
                       .source_smtp = "bob@source.test"};
    put("a.txt", "old a");
    put("b.txt", "old b");
}

static void tear_down(void)
{
    char command[128];
    cpuu_journal_close(work.journal);
    cpuu_profile_free(profile);
    cpuu_profile_roots_free(&roots);
    cpuu_reg_close(view);
    cpuu_reg_close(base);
    cpuu_edits_free(&edits);
    cpuu_plugins_free(plugins);
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    ck_assert_int_eq(system(command), 0);
}

static void choose(const char *a, const char *b)
{
    selected_words[0] = (char *)a;
    selected_words[1] = (char *)b;
    settings.features.count = b ? 2 : 1;
}

static void critical(const char *name)
{
    critical_words[0] = (char *)name;
    settings.critical.count = 1;
}

static void open_journal(void)
{
    cpuu_error err = CPUU_ERROR_INIT;
    ck_assert_msg(cpuu_journal_open(state_dir, &KEY, true, NULL, &work.journal, &err) == CPUU_OK,
                  "%s", err.text);
    ck_assert_int_eq(cpuu_journal_set_state(work.journal, CPUU_J_ACTIVE, &err), CPUU_OK);
}

static cpuu_rc update(cpuu_error *err)
{
    *err = (cpuu_error)CPUU_ERROR_INIT;
    return cpuu_features_update(&work, err);
}

/* The part of the report about one feature. */
static const char *about(const char *feature)
{
    static char part[1024];
    char start[64];
    snprintf(start, sizeof(start), "[%s", feature);
    const char *at = strstr(reported, start);
    if (!at)
        return "(not reported)";
    const char *end = strchr(at, ']');
    snprintf(part, sizeof(part), "%.*s", (int)(end ? end - at + 1 : 0), at);
    return part;
}

static void files_are_old(void)
{
    ck_assert_str_eq(get("a.txt"), "old a");
    ck_assert_str_eq(get("b.txt"), "old b");
    ck_assert_str_eq(get("c.txt"), "(none)");
}

static void files_are_new(void)
{
    ck_assert_str_eq(get("a.txt"), "two");
    ck_assert_str_eq(get("b.txt"), "(none)");
    ck_assert_str_eq(get("c.txt"), "one");
}

/* ---- guards ---------------------------------------------------------------------------------- */

START_TEST(every_wrong_way_to_end_is_named)
{
    static const struct {
        const char *feature, *words;
    } rows[] = {
        {"MockFails", "cannot open the drawer: desk"},
        {"MockMute", "without saying why; the last problem was: cannot open"},
        {"MockStrange", "unknown code 77"},
        {"MockLiar", "said that it failed, and returned success"},
        {"MockStops", "stopped without being asked"},
        {"MockUndeclared", "writes files, which `needs` does not declare"},
        {"MockSwallows", "reads a side that `needs` does not declare"},
    };
    cpuu_error err;
    open_journal();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        reported[0] = 0;
        choose(rows[i].feature, "MockProfile");
        ck_assert_int_eq(update(&err), CPUU_OK); /* not critical: the profile goes on */
        ck_assert_msg(strstr(about(rows[i].feature), "failed") &&
                          strstr(about(rows[i].feature), rows[i].words),
                      "%s", reported);
        ck_assert_msg(strstr(about("MockProfile"), i ? "nothing" : "ok"), "%s", reported);
    }
    ck_assert_str_eq(get("undeclared.txt"), "(none)");
}
END_TEST

START_TEST(a_feature_that_hangs_stops_when_asked)
{
    cpuu_error err;
    open_journal();
    choose("MockHangs", "MockFiles");
    beats_left = 20;
    ck_assert_int_eq(update(&err), CPUU_E_STOP);
    files_are_old(); /* what ran before it is taken back, too */
    ck_assert_uint_eq(edits.count, 0);
}
END_TEST

START_TEST(a_feature_that_kills_twice_is_not_started_again)
{
    cpuu_error err;
    int64_t span;
    for (int i = 0; i < 2; i++) {
        cpuu_journal *j = NULL;
        ck_assert_int_eq(cpuu_journal_open(state_dir, &KEY, true, NULL, &j, NULL), CPUU_OK);
        cpuu_journal_begin_span(j, "MockFiles", &span, NULL);
        ck_assert_int_eq(cpuu_journal_flush(j, NULL), CPUU_OK);
        cpuu_journal_close(j);
    }
    open_journal();
    choose("MockFiles", "MockProfile");
    ck_assert_int_eq(update(&err), CPUU_OK);
    ck_assert_msg(strstr(about("MockFiles"), "failed") && strstr(about("MockFiles"), "2 times"),
                  "%s", reported);
    ck_assert_msg(strstr(about("MockProfile"), "ok"), "%s", reported);
    files_are_old();
}
END_TEST

/* ---- files, profile, rollback ---------------------------------------------------------------- */

START_TEST(files_are_written_and_taken_back)
{
    cpuu_error err;
    open_journal();
    choose("MockFiles", NULL);
    ck_assert_int_eq(update(&err), CPUU_OK);
    ck_assert_msg(strstr(about("MockFiles"), "ok"), "%s", reported);
    files_are_new();
    bool mailbox = true;
    ck_assert_int_eq(cpuu_features_has_mailbox_records(work.journal, &mailbox, NULL), CPUU_OK);
    ck_assert(!mailbox);
    for (int i = 0; i < 2; i++) { /* twice is once */
        ck_assert_int_eq(cpuu_features_rollback(&work, 0, false, &err), CPUU_OK);
        files_are_old();
    }
    ck_assert_ptr_null(strchr(reported, '!'));
}
END_TEST

START_TEST(update_twice_is_once)
{
    cpuu_error err;
    open_journal();
    choose("MockFiles", "MockProfile");
    ck_assert_int_eq(update(&err), CPUU_OK);
    const size_t n = edits.count;
    reported[0] = 0;
    ck_assert_int_eq(update(&err), CPUU_OK);
    files_are_new();
    ck_assert_uint_eq(edits.count, n);
    ck_assert_str_eq(about("MockProfile"), "[MockProfile nothing]");
    ck_assert_int_eq(cpuu_features_rollback(&work, 0, false, &err), CPUU_OK);
    files_are_old();
}
END_TEST

START_TEST(what_somebody_else_changed_stays)
{
    cpuu_error err;
    open_journal();
    choose("MockFiles", NULL);
    ck_assert_int_eq(update(&err), CPUU_OK);
    put("a.txt", "mine");
    put("b.txt", "mine too");
    ck_assert_int_eq(cpuu_features_rollback(&work, 0, false, &err), CPUU_OK);
    ck_assert_str_eq(get("a.txt"), "mine");
    ck_assert_str_eq(get("b.txt"), "mine too");
    ck_assert_str_eq(get("c.txt"), "(none)");
    ck_assert_msg(strstr(reported, "!a.txt: ") && strstr(reported, "!b.txt: "), "%s", reported);
    ck_assert_ptr_null(strstr(reported, "!c.txt: "));
}
END_TEST

START_TEST(a_failed_feature_leaves_nothing_and_the_next_one_runs)
{
    cpuu_error err;
    open_journal();
    choose("MockFilesFail", "MockProfile");
    ck_assert_int_eq(update(&err), CPUU_OK);
    files_are_old();
    ck_assert_uint_gt(edits.count, 0);
    ck_assert_msg(strstr(about("MockFilesFail"), "failed"), "%s", reported);
    ck_assert_msg(strstr(about("MockProfile"), "ok"), "%s", reported);
}
END_TEST

START_TEST(a_failed_feature_loses_only_its_own_edits)
{
    cpuu_error err;
    char *text = NULL;
    open_journal();
    choose("MockProfile", "MockProfileFail");
    ck_assert_int_eq(update(&err), CPUU_OK);
    ck_assert_msg(strstr(about("MockProfileFail"), "new name -> lost name"), "%s", reported);
    ck_assert_msg(strstr(about("MockProfileFail"), "failed"), "%s", reported);
    ck_assert_int_eq(cpuu_reg_get_text(view,
                                       "Software\\Microsoft\\Office\\16.0\\Outlook\\Profiles\\Test"
                                       "\\0a0d020000000000c000000000000046",
                                       "001f3001", &text, &err) == CPUU_OK ||
                         err.rc == CPUU_E_FORMAT,
                     1);
    cpuu_free(text);
    cpuu_arena arena = {0};
    cpuu_value v;
    ck_assert_int_eq(cpuu_profile_get(profile, CPUU_SECTION_OUTLOOK, 0x3001001Fu, &arena, &v, &err),
                     CPUU_OK);
    ck_assert_uint_eq(v.size, 8);
    ck_assert_mem_eq(v.data, "new name", 8);
    cpuu_arena_free(&arena);
}
END_TEST

START_TEST(a_failed_critical_feature_takes_the_profile_back)
{
    cpuu_error err;
    open_journal();
    choose("MockFiles", "MockFails"); /* MockFiles comes first */
    critical("MockFails");
    ck_assert_int_eq(update(&err), CPUU_E_ACCESS);
    ck_assert_msg(strstr(err.text, "MockFails") && strstr(err.text, "drawer"), "%s", err.text);
    ck_assert_msg(strstr(about("MockFiles"), "ok"), "%s", reported);
    files_are_old();
    ck_assert_uint_eq(edits.count, 0);
    ck_assert(!work.restore_failed);
}
END_TEST

START_TEST(a_critical_check_comes_before_everything)
{
    cpuu_error err;
    open_journal();
    choose("MockFiles", "MockChecks");
    critical("MockChecks");
    ck_assert_int_eq(update(&err), CPUU_E_ACCESS);
    ck_assert_str_eq(about("MockFiles"), "(not reported)");
    ck_assert_ptr_nonnull(strstr(err.text, "nothing was changed"));

    reported[0] = 0;
    settings.critical.count = 0; /* then it fails alone, when its turn comes */
    ck_assert_int_eq(update(&err), CPUU_OK);
    ck_assert_msg(strstr(about("MockChecks"), "failed"), "%s", reported);
    files_are_new();
}
END_TEST

START_TEST(skip_acts_only_when_not_selected)
{
    cpuu_error err;
    open_journal();
    choose("MockSkips", NULL);
    ck_assert_int_eq(update(&err), CPUU_OK);
    ck_assert_str_eq(get("skip.txt"), "(none)");
    ck_assert_str_eq(about("MockSkips"), "[MockSkips nothing]");
    ck_assert_str_eq(about("MockFiles"), "[MockFiles skipped]");
    reported[0] = 0;
    choose("MockProfile", NULL);
    ck_assert_int_eq(update(&err), CPUU_OK);
    ck_assert_str_eq(get("skip.txt"), "skipped");
    ck_assert_msg(strstr(about("MockSkips"), "skipped"), "%s", reported);
    ck_assert_int_eq(cpuu_features_rollback(&work, 0, false, &err), CPUU_OK);
    ck_assert_str_eq(get("skip.txt"), "(none)");
}
END_TEST

START_TEST(a_dry_run_says_all_and_changes_nothing)
{
    cpuu_error err;
    work.dry_run = true; /* and no journal */
    choose("MockFiles", "MockProfile");
    ck_assert_int_eq(update(&err), CPUU_OK);
    files_are_old();
    ck_assert_msg(strstr(about("MockFiles"), "{(file): 5 bytes -> 3 bytes}"), "%s", reported);
    ck_assert_msg(strstr(about("MockFiles"), "{(file): 5 bytes -> -}"), "%s", reported);
    ck_assert_msg(strstr(about("MockFiles"), "{(file): - -> 3 bytes}"), "%s", reported);
    ck_assert_msg(strstr(about("MockProfile"), "{display name: old -> new name}"), "%s", reported);
    ck_assert_int_ne(access(state_dir, F_OK), 0);
}
END_TEST

START_TEST(notes_last_with_the_journal)
{
    cpuu_error err;
    cpuu_buf b;
    open_journal();
    choose("MockNotes", NULL);
    cpuu_buf_init(&b, 100);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(update(&err), CPUU_OK);
        cpuu_buf_reset(&b);
        ck_assert_int_eq(cpuu_journal_get(work.journal, "note:MockNotes:seen", &b, NULL), CPUU_OK);
        ck_assert_uint_eq(b.size, 5);
        ck_assert_mem_eq(b.data, i ? "again" : "first", 5);
    }
    cpuu_buf_free(&b);
}
END_TEST

/* ---- killed and starved ---------------------------------------------------------------------- */

/* Kills the update at every fault point, then the replay at every one of its own. */
START_TEST(killed_anywhere_the_files_come_back)
{
    cpuu_error err;
    int points = 0, replays = 0;
    choose("MockFiles", NULL);
    for (bool done = false; !done; points++) {
        int status;
        pid_t pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
            steps_left = points;
            if (cpuu_journal_open(state_dir, &KEY, true, NULL, &work.journal, NULL) < 0 ||
                cpuu_journal_set_state(work.journal, CPUU_J_ACTIVE, NULL) < 0 ||
                cpuu_features_update(&work, &err) < 0)
                _exit(1);
            _exit(0);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 99));
        done = WEXITSTATUS(status) == 0;
        for (int k = points % 3; k >= 0; k++, replays++) {
            pid = fork();
            if (pid == 0) {
                steps_left = k;
                cpuu_rc rc = cpuu_journal_open(state_dir, &KEY, true, NULL, &work.journal, &err);
                if (rc == CPUU_OK)
                    rc = cpuu_features_rollback(&work, 0, false, &err);
                if (rc == CPUU_OK)
                    rc = cpuu_journal_destroy(work.journal, &err);
                _exit(rc < 0 ? 1 : strchr(reported, '!') ? 2 : 0);
            }
            ck_assert_int_eq(waitpid(pid, &status, 0), pid);
            ck_assert_msg(WIFEXITED(status) &&
                              (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 99),
                          "replay of point %d, step %d: %d", points, k, WEXITSTATUS(status));
            if (WEXITSTATUS(status) == 0)
                break;
        }
        files_are_old();
    }
    ck_assert_int_gt(points, 20);
    ck_assert_int_gt(replays, points);
}
END_TEST

/* Fails the n-th allocation, write or flush of an update: the files are all old or all new. */
START_TEST(whatever_fails_it_is_all_or_nothing)
{
    static const char *const kinds[] = {"alloc", "write", "flush"};
    cpuu_error err;
    choose("MockFiles", "MockProfile");
    for (int kind = 0; kind < 3; kind++) {
        bool reached = true;
        for (int n = 0; reached && n < 3000; n++) {
            cpuu_rc rc;
            cpuu_edits_truncate(&edits, 0);
            fail_kind = NULL;
            open_journal();
            reported[0] = 0;
            fail_kind = kinds[kind];
            fails_left = n;
            rc = update(&err);
            reached = fails_left < 0;
            fail_kind = NULL;
            const bool failed = rc < 0 || strstr(about("MockFiles"), "failed");
            if (work.restore_failed)
                ck_assert_int_eq(cpuu_features_rollback(&work, 0, false, &err), CPUU_OK);
            if (failed)
                files_are_old();
            else
                files_are_new();
            if (rc < 0)
                ck_assert_uint_eq(edits.count, 0);
            ck_assert_int_eq(cpuu_features_rollback(&work, 0, false, &err), CPUU_OK);
            files_are_old();
            ck_assert_int_eq(cpuu_journal_destroy(work.journal, &err), CPUU_OK);
            work.journal = NULL;
        }
        ck_assert(!reached);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("features");
    TCase *t = tcase_create("features");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, every_wrong_way_to_end_is_named);
    tcase_add_test(t, a_feature_that_hangs_stops_when_asked);
    tcase_add_test(t, a_feature_that_kills_twice_is_not_started_again);
    tcase_add_test(t, files_are_written_and_taken_back);
    tcase_add_test(t, update_twice_is_once);
    tcase_add_test(t, what_somebody_else_changed_stays);
    tcase_add_test(t, a_failed_feature_leaves_nothing_and_the_next_one_runs);
    tcase_add_test(t, a_failed_feature_loses_only_its_own_edits);
    tcase_add_test(t, a_failed_critical_feature_takes_the_profile_back);
    tcase_add_test(t, a_critical_check_comes_before_everything);
    tcase_add_test(t, skip_acts_only_when_not_selected);
    tcase_add_test(t, a_dry_run_says_all_and_changes_nothing);
    tcase_add_test(t, notes_last_with_the_journal);
    tcase_add_test(t, killed_anywhere_the_files_come_back);
    tcase_add_test(t, whatever_fails_it_is_all_or_nothing);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
