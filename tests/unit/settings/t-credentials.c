/* Credentials: the file must be private, and the terminal is asked without echo and never waited
 * for. */
#include "fixture.h"

#include <check.h>
#include <fcntl.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static cpuu_settings s;
static cpuu_error err;

static void load_with_file(const char *credentials, unsigned mode)
{
    char text[600];
    write_file("cred", credentials, strlen(credentials), mode);
    snprintf(text, sizeof(text), "[Parameters]\nCredentialsFile=%s\n", in_folder("cred"));
    ck_assert_int_eq(load_text(text, NULL, &s, &err), CPUU_OK);
}

START_TEST(a_private_file_gives_both_sides)
{
    load_with_file("[Source]\nUser=D\\u\nPassword=\" p=;w \"\n[target]\nuser=t@x\npassword=tp\n",
                   0600);
    ck_assert_ptr_null(s.source.user); /* not read before it is needed */
    ck_assert_int_eq(cpuu_settings_credentials(&s, true, &err), CPUU_OK);
    ck_assert_str_eq(s.source.user, "D\\u");
    ck_assert_str_eq(s.source.password, " p=;w ");
    ck_assert_str_eq(s.target.user, "t@x");
    ck_assert_str_eq(s.target.password, "tp");
    cpuu_settings_free(&s);
}
END_TEST

START_TEST(the_source_is_used_for_the_target_too)
{
    load_with_file("[Source]\nUser=u\nPassword=p\n", 0400);
    ck_assert_int_eq(cpuu_settings_credentials(&s, true, &err), CPUU_OK);
    ck_assert_str_eq(s.target.user, "u");
    ck_assert_str_eq(s.target.password, "p");
    ck_assert_ptr_ne(s.target.password, s.source.password);
    cpuu_settings_free(&s);
}
END_TEST

static void refused(const char *text, unsigned mode, const char *message)
{
    load_with_file(text, mode);
    ck_assert_int_lt(cpuu_settings_credentials(&s, true, &err), 0);
    ck_assert_msg(strstr(err.text, message), "'%s' does not contain '%s'", err.text, message);
    ck_assert_msg(!strstr(err.text, "hunter2"), "%s", err.text);
    cpuu_settings_free(&s);
}

START_TEST(a_file_that_is_not_private_or_not_right)
{
    static const char good[] = "[Source]\nUser=u\nPassword=hunter2\n";
    refused(good, 0640, "other users have access to it (mode 640)");
    refused(good, 0604, "other users have access");
    refused("[Source]\nUser=u\n", 0600, "has no Password for [Source]");
    refused("[Source]\nPassword=hunter2\n", 0600, "has no User for [Source]");
    refused("[Sorce]\nPassword=hunter2\n", 0600, "cred:1: only the sections");
    refused("[Source]\nUser=u\nhunter2=1\n", 0600, "cred:3: only User= and Password=");
    refused("[Source]\nUser=u\nPassword=\n", 0600, "cred:3: the value is missing");
    refused("User=u\nPassword=hunter2\n", 0600, "cred:1: only the sections");
}
END_TEST

START_TEST(a_link_or_another_owner)
{
    load_with_file("[Source]\nUser=u\nPassword=p\n", 0600);
    ck_assert_int_eq(rename(in_folder("cred"), "real"), 0);
    ck_assert_int_eq(symlink("real", in_folder("cred")), 0);
    ck_assert_int_lt(cpuu_settings_credentials(&s, false, &err), 0);
    ck_assert_ptr_nonnull(strstr(err.text, "symbolic link"));
    cpuu_settings_free(&s);
    if (geteuid() != 0)
        return;
    ck_assert_int_eq(unlink(in_folder("cred")), 0);
    load_with_file("[Source]\nUser=u\nPassword=p\n", 0600);
    ck_assert_int_eq(chown(in_folder("cred"), 12345, 12345), 0);
    ck_assert_int_lt(cpuu_settings_credentials(&s, false, &err), 0);
    ck_assert_ptr_nonnull(strstr(err.text, "belongs to another user"));
    cpuu_settings_free(&s);
}
END_TEST

START_TEST(nothing_configured_means_the_ticket_of_the_user)
{
    ck_assert_int_eq(load_text("", NULL, &s, &err), CPUU_OK);
    ck_assert_int_eq(cpuu_settings_credentials(&s, true, &err), CPUU_OK);
    ck_assert_ptr_null(s.source.user);
    ck_assert_ptr_null(s.target.user);
    ck_assert_int_eq(cpuu_settings_ask_target(&s, &err), CPUU_E_AUTH);
    cpuu_settings_free(&s);
}
END_TEST

/* ---- terminal -------------------------------------------------------------------------------- */

/* What a child does on its terminal; its exit status is the answer. */
typedef int (*child_fn)(void);

/* Runs `fn` in a process whose controlling terminal is a new pty, types `keys` once each question
 * (text that ends with ": ") has been shown, and returns what the terminal showed. */
static int with_terminal(child_fn fn, const char *const *keys, char *shown, size_t size)
{
    int master, status;
    size_t n = 0, asked = 0;
    pid_t pid = forkpty(&master, NULL, NULL, NULL);
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(fn());
    for (ssize_t got; n + 1 < size && (got = read(master, shown + n, size - n - 1)) > 0;) {
        n += (size_t)got;
        shown[n] = 0;
        if (keys[asked] && n >= 2 && strcmp(shown + n - 2, ": ") == 0) {
            ck_assert_int_eq(write(master, keys[asked], strlen(keys[asked])),
                             (ssize_t)strlen(keys[asked]));
            asked++;
        }
    }
    shown[n] = 0;
    close(master);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int ask_both(void)
{
    if (load_text("[Parameters]\nAskCredentials\n", NULL, &s, &err) != CPUU_OK)
        return 1;
    if (cpuu_settings_credentials(&s, true, &err) != CPUU_OK)
        return err.rc == CPUU_E_STOP ? 2 : 3;
    bool good = strcmp(s.source.user, "D\\J\xc3\xb6") == 0 &&
                strcmp(s.source.password, "geheim") == 0 &&
                strcmp(s.target.password, "geheim") == 0;
    cpuu_settings_free(&s);
    return good ? 0 : 4;
}

START_TEST(the_terminal_is_asked_without_echo)
{
    static const char *const keys[] = {"D\\Jx\x7f\xc3\xb6\r", "geheinx\x7f\x7fm\r", NULL};
    char shown[2000];
    ck_assert_int_eq(with_terminal(ask_both, keys, shown, sizeof(shown)), 0);
    ck_assert_ptr_nonnull(strstr(shown, "User for the source mailboxes: D\\J"));
    ck_assert_ptr_nonnull(strstr(shown, "Password of D\\J"));
    ck_assert_ptr_null(strstr(shown, "gehei"));
}
END_TEST

START_TEST(control_c_stops)
{
    static const char *const keys[] = {"u\r", "abc\x03", NULL};
    char shown[2000];
    ck_assert_int_eq(with_terminal(ask_both, keys, shown, sizeof(shown)), 2);
}
END_TEST

static int ask_for_admin(void)
{
    if (load_text("[Parameters]\nAdmin=adm\nPassword=FF\nAskCredentials=1\n", NULL, &s, &err) !=
            CPUU_OK ||
        cpuu_settings_credentials(&s, true, &err) != CPUU_OK)
        return 1;
    if (strcmp(s.source.user, "adm") != 0 || strcmp(s.source.password, "one") != 0)
        return 2;
    if (cpuu_settings_ask_target(&s, &err) != CPUU_OK)
        return 3;
    bool good = strcmp(s.target.user, "t") == 0 && strcmp(s.target.password, "two") == 0;
    cpuu_settings_free(&s);
    return good ? 0 : 4;
}

START_TEST(a_known_user_is_not_asked_for_and_the_target_only_later)
{
    static const char *const keys[] = {"one\n", "t\n", "two\n", NULL};
    char shown[2000];
    ck_assert_int_eq(with_terminal(ask_for_admin, keys, shown, sizeof(shown)), 0);
    ck_assert_ptr_nonnull(strstr(shown, "Password of adm: "));
    ck_assert_ptr_nonnull(strstr(shown, "User for the target mailboxes: "));
}
END_TEST

START_TEST(without_a_terminal_it_fails_at_once)
{
    int status;
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        alarm(20); /* a hang would end here, by a signal */
        setsid();  /* a new session has no terminal */
        bool good = load_text("[Parameters]\nAskCredentials=1\n", NULL, &s, &err) == CPUU_OK &&
                    cpuu_settings_credentials(&s, false, &err) == CPUU_E_AUTH &&
                    strstr(err.text, "there is no terminal") && strstr(err.text, "CredentialsFile");
        cpuu_settings_free(&s);
        _exit(good ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

START_TEST(every_failing_allocation_is_an_error)
{
    bool done = false;
    for (unsigned long n = 1; !done && n < 500; n++) {
        load_with_file("[Source]\nUser=u\nPassword=p\n", 0600);
        allocations = 0;
        fail_at = n;
        cpuu_rc rc = cpuu_settings_credentials(&s, true, &err);
        fail_at = 0;
        ck_assert(rc == CPUU_OK || rc == CPUU_E_NOMEM);
        done = rc == CPUU_OK;
        cpuu_settings_free(&s);
    }
    ck_assert(done);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("credentials");
    TCase *t = tcase_create("credentials");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, folder_make, folder_remove);
    tcase_add_test(t, a_private_file_gives_both_sides);
    tcase_add_test(t, the_source_is_used_for_the_target_too);
    tcase_add_test(t, a_file_that_is_not_private_or_not_right);
    tcase_add_test(t, a_link_or_another_owner);
    tcase_add_test(t, nothing_configured_means_the_ticket_of_the_user);
    tcase_add_test(t, the_terminal_is_asked_without_echo);
    tcase_add_test(t, control_c_stops);
    tcase_add_test(t, a_known_user_is_not_asked_for_and_the_target_only_later);
    tcase_add_test(t, without_a_terminal_it_fails_at_once);
    tcase_add_test(t, every_failing_allocation_is_an_error);
    suite_add_tcase(suite, t);
    SRunner *r = srunner_create(suite);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
