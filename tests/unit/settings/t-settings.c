/*
 * Settings from CPUU.ini and the command line. Names, defaults and effects are written down here
 * from the guide (CPUU Parameters, Notification Format) and the rulings, not taken from the table.
 */
#include "fixture.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static cpuu_settings s;
static cpuu_error err;

#define OK(call)                                                                                   \
    do {                                                                                           \
        cpuu_rc rc_ = (call);                                                                      \
        ck_assert_msg(rc_ == CPUU_OK, "%s: %s", #call, err.text);                                  \
    } while (0)

static void refused(cpuu_rc rc, const char *text)
{
    ck_assert_int_eq(rc, CPUU_E_USAGE);
    ck_assert_msg(strstr(err.text, text), "'%s' does not contain '%s'", err.text, text);
    ck_assert_ptr_null(s.origins);
}

static void refused_ini(const char *body, const char *text)
{
    char whole[2000];
    snprintf(whole, sizeof(whole), "[Parameters]\n%s", body);
    refused(load_text(whole, NULL, &s, &err), text);
}

static void accept(const char *body)
{
    char whole[2000];
    snprintf(whole, sizeof(whole), "[Parameters]\n%s", body);
    OK(load_text(whole, NULL, &s, &err));
}

static void words_are(const cpuu_words *w, const char *expected)
{
    char joined[1000] = "";
    for (size_t i = 0; i < w->count; i++) {
        strcat(joined, i ? "|" : "");
        strcat(joined, w->items[i]);
    }
    ck_assert_str_eq(joined, expected);
    if (w->count)
        ck_assert_ptr_null(w->items[w->count]);
}

/* ---- defaults -------------------------------------------------------------------------------- */

START_TEST(defaults_without_any_file)
{
    OK(load_arguments("", &s, &err));
    ck_assert_int_eq(s.mode, CPUU_MODE_UPDATE);
    ck_assert_ptr_null(s.ini_file);
    ck_assert(has_note(&s, CPUU_LV_INFO, "no CPUU.ini"));
    ck_assert_str_eq(s.log_file, "CPUU.log");
    ck_assert_uint_eq(s.max_local_dumps, 10);
    ck_assert_uint_eq(s.attempts, 3);
    ck_assert_uint_eq(s.max_other_mailboxes, 50);
    ck_assert(s.watchdog && s.create_reg_for_ost);
    ck_assert(!s.silent && !s.keep_ost && !s.process_offline && !s.ask_credentials);
    ck_assert(!s.posix_exit && !s.backup_copy_in_journal_only && !s.allow_insecure_http);
    ck_assert_str_eq(s.authority_url, "https://login.microsoftonline.com/common");
    ck_assert_str_eq(s.resource_url, "https://outlook.office365.com");
    words_are(&s.stop_processes, "Communicator.exe|Outlook.exe|Rim.Desktop.exe|Desktopmanager.exe|"
                                 "GoogleCalendarSync.exe");
    ck_assert_str_eq(s.notify_priority, "normal");
    ck_assert_str_eq(s.notify_when, "fail");
    ck_assert_str_eq(s.notify_attach, "statistics");
    ck_assert_str_eq(s.notify_profile, "default");
    ck_assert_str_eq(s.notify_subject, "%R: Profile %P on computer %H");
    ck_assert_ptr_nonnull(s.plugin_dir);
    ck_assert_uint_eq(s.features.count + s.skip.count + s.critical.count, 0);
    ck_assert_ptr_null(s.source.user);
    cpuu_settings_free(&s);
}
END_TEST

/* As another user than root, when the test may become one. */
static int defaults_of_a_user(void)
{
    if (geteuid() == 0 && setuid(65534) != 0)
        return 1;
    setenv("XDG_STATE_HOME", "/xdg", 1);
    setenv("HOME", "/home/jo", 1);
    if (chdir("/") != 0 || load_arguments("", &s, &err) != CPUU_OK ||
        strcmp(s.state_dir, "/xdg/cpuu") != 0)
        return 2;
    cpuu_settings_free(&s);
    setenv("XDG_STATE_HOME", "relative", 1); /* to be ignored, says the specification */
    if (load_arguments("", &s, &err) != CPUU_OK ||
        strcmp(s.state_dir, "/home/jo/.local/state/cpuu") != 0)
        return 3;
    cpuu_settings_free(&s);
    unsetenv("HOME");
    if (load_arguments("", &s, &err) != CPUU_OK || s.state_dir)
        return 4;
    cpuu_settings_free(&s);
    return 0;
}

START_TEST(where_the_state_is)
{
    int status;
    if (geteuid() == 0) {
        OK(load_arguments("", &s, &err));
        ck_assert_str_eq(s.state_dir, "/var/lib/cpuu");
        cpuu_settings_free(&s);
    }
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(defaults_of_a_user());
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

/* ---- every key ------------------------------------------------------------------------------- */

START_TEST(every_key_of_parameters)
{
    accept("Admin=DOMAIN\\User\nPassword=0123ABCD\nAdminTrg=user@example.org\nPasswordTrg=FF\n"
           "AskCredentials\nAskSourceCredentialsOnly=1\n"
           "AllowAdditionalServices=Svc1 MSPST AB \"Two Words\" MSUPST MS\n"
           "Skip=\nFeatures=Rules CONTAB\nCritical=Rules\nRemove=Nicks\n"
           "RemoveJunkEmailMessages=yes\nProcessOfflineProfiles=On\nKeepOST=true\nBackupOST=1\n"
           "CreateRegFileForOSTRecovery=0\nUseTargetOST=1\nSilent=1\nWatchDog=0\n"
           "StopProcesses=a.exe b.exe\nAttempt=5\nOpenStoreWait=0\nFeatureWait=11\nGlobalWait=12\n"
           "ProcessedDomainsFQDNs=a.example b.example\nUseLocalAutodiscoverXMLs=1\n"
           "AutodiscoverSourceURL=https://s.example/autodiscover/autodiscover.xml\n"
           "AutodiscoverTargetURL=HTTPS://t.example\nAuthorityURL=https://a.example/x\n"
           "ResourceURL=https://r.example\n");
    ck_assert_str_eq(s.source.user, "DOMAIN\\User");
    ck_assert_ptr_null(s.source.password);
    ck_assert_str_eq(s.target.user, "user@example.org");
    ck_assert(s.encrypted_password && s.encrypted_password_target);
    ck_assert(
        has_note(&s, CPUU_LV_WARNING, "CPUU.ini:3: encrypted Password values cannot be read"));
    ck_assert(has_note(&s, CPUU_LV_WARNING, "CPUU.ini:5: encrypted PasswordTrg values"));
    ck_assert(s.ask_credentials && s.ask_source_only);
    words_are(&s.allow_services, "Svc1|MSPST AB|Two Words|MSUPST MS");
    words_are(&s.features, "Rules|CONTAB");
    words_are(&s.critical, "Rules");
    words_are(&s.remove, "Nicks");
    ck_assert(s.remove_junk && s.process_offline && s.keep_ost && s.backup_ost);
    ck_assert(!s.create_reg_for_ost && s.use_target_ost && s.silent && !s.watchdog);
    words_are(&s.stop_processes, "a.exe|b.exe");
    ck_assert_uint_eq(s.attempts, 5);
    ck_assert_uint_eq(s.open_store_wait, 0);
    ck_assert_uint_eq(s.feature_wait, 11);
    ck_assert_uint_eq(s.global_wait, 12);
    words_are(&s.processed_domains, "a.example|b.example");
    ck_assert(s.use_local_xml);
    ck_assert_str_eq(s.autodiscover_source_url, "https://s.example/autodiscover/autodiscover.xml");
    ck_assert_str_eq(s.autodiscover_target_url, "HTTPS://t.example");
    ck_assert_str_eq(s.authority_url, "https://a.example/x");
    ck_assert_str_eq(s.resource_url, "https://r.example");
    ck_assert(has_note(&s, CPUU_LV_INFO, "CPUU.ini:18: UseTargetOST"));
    ck_assert(has_note(&s, CPUU_LV_WARNING, "Silent=1 and AskCredentials=1"));
    cpuu_settings_free(&s);
}
END_TEST

START_TEST(every_added_key)
{
    accept("CAFile=/ca.pem\nConnectTo=a:443:127.0.0.1:8443 b:443:127.0.0.1:8444\n"
           "MappingFile=map.csv\nTargetDomains=t.example\nCredentialsFile=/c\n"
           "AllowInsecureHTTP=1\nBackupCopy=journal\nMaxOtherMailboxes=7\n"
           "CustomAttribute=extensionAttribute14\nExitStyle=posix\n"
           "AutodiscoverDomainsFQDNs=old.example\nAutodiscoverSrcFile=a.xml\n"
           "AutodiscoverTrgFile=b.xml\n");
    ck_assert_str_eq(s.ca_file, "/ca.pem");
    words_are(&s.connect_to, "a:443:127.0.0.1:8443|b:443:127.0.0.1:8444");
    ck_assert_str_eq(s.mapping_file, "map.csv");
    words_are(&s.target_domains, "t.example");
    ck_assert_str_eq(s.credentials_file, "/c");
    ck_assert(s.allow_insecure_http && s.backup_copy_in_journal_only && s.posix_exit);
    ck_assert(has_note(&s, CPUU_LV_WARNING, "WITHOUT ENCRYPTION"));
    ck_assert_uint_eq(s.max_other_mailboxes, 7);
    ck_assert_str_eq(s.custom_attribute, "extensionAttribute14");
    words_are(&s.processed_domains, "old.example");
    ck_assert_str_eq(s.autodiscover_source_file, "a.xml");
    ck_assert_str_eq(s.autodiscover_target_file, "b.xml");
    cpuu_settings_free(&s);
}
END_TEST

/* The example of the guide's section on the notification format, as it is printed there. */
START_TEST(the_notification_example)
{
    OK(load_text(
        "[Admin notification]\n"
        "SMTPAddress=address1@domain.com address2@domain.com\n"
        "Priority=normal\nAttach log=statistics\nNotification=fail\nProfile=current\n"
        "Subject=%R: Profile %P on computer %H\n"
        "Body=The mail client profile %P for user %U on computer %H has been processed by\n"
        "Client Profile Updating Utility (CPUU), and was %R. The profile was processed at "
        "%T,\n%D. See the CPUU log file for details.\n",
        NULL, &s, &err));
    words_are(&s.notify_to, "address1@domain.com|address2@domain.com");
    ck_assert_str_eq(s.notify_profile, "current");
    ck_assert_str_eq(
        s.notify_body,
        "The mail client profile %P for user %U on computer %H has been processed by "
        "Client Profile Updating Utility (CPUU), and was %R. The profile was processed "
        "at %T, %D. See the CPUU log file for details.");
    ck_assert(has_note(&s, CPUU_LV_WARNING, "CPUU.ini:8: Body has no effect yet"));
    cpuu_settings_free(&s);
    /* that text is also the default of the wizard */
    OK(load_arguments("", &s, &err));
    ck_assert(strstr(s.notify_body, "processed by Client Profile") != NULL);
    cpuu_settings_free(&s);
}
END_TEST

START_TEST(notification_by_its_other_name_and_bad_values)
{
    OK(load_text("[notification]\npriority=HIGH\nattach LOG=summary\n", NULL, &s, &err));
    ck_assert(has_note(&s, CPUU_LV_WARNING, "CPUU.ini:1: [notification] is read as"));
    ck_assert_str_eq(s.notify_priority, "high");
    ck_assert_str_eq(s.notify_attach, "statistics");
    cpuu_settings_free(&s);
    refused(load_text("[Admin notification]\nPriority=urgent\n", NULL, &s, &err),
            "CPUU.ini:2: Priority: 'urgent' is not one of: low normal high");
    refused(load_text("[Admin notification]\nSMTPAddress=a@b; c@d\n", NULL, &s, &err),
            "CPUU.ini:2: SMTPAddress: 'a@b;' has a separator");
}
END_TEST

START_TEST(a_misspelt_key_after_the_body_is_not_part_of_it)
{
    OK(load_text("[Admin notification]\nBody=text\nSubjct=x\n", NULL, &s, &err));
    ck_assert_str_eq(s.notify_body, "text");
    ck_assert(has_note(&s, CPUU_LV_WARNING,
                       "CPUU.ini:3: unknown key 'Subjct'; did you mean "
                       "'Subject'?"));
    cpuu_settings_free(&s);
}
END_TEST

/* ---- rulings --------------------------------------------------------------------------------- */

START_TEST(booleans_have_many_spellings)
{
    static const char *const yes[] = {"1", "on", "Yes", "TRUE", "\"1\""};
    static const char *const no[] = {"0", "off", "No", "FALSE"};
    char text[100];
    for (size_t i = 0; i < 5; i++) {
        snprintf(text, sizeof(text), "KeepOST=%s\n", yes[i]);
        accept(text);
        ck_assert(s.keep_ost);
        cpuu_settings_free(&s);
    }
    for (size_t i = 0; i < 4; i++) {
        snprintf(text, sizeof(text), "WatchDog=%s\n", no[i]);
        accept(text);
        ck_assert(!s.watchdog);
        cpuu_settings_free(&s);
    }
    refused_ini("KeepOST=2\n", "CPUU.ini:2: KeepOST: '2' is neither 0 nor 1");
}
END_TEST

START_TEST(create_reg_file_without_a_value_creates_it)
{
    accept("CreateRegFileForOSTRecovery\n");
    ck_assert(s.create_reg_for_ost);
    ck_assert(has_note(&s, CPUU_LV_WARNING, "CreateRegFileForOSTRecovery has no value"));
    cpuu_settings_free(&s);
}
END_TEST

START_TEST(keys_without_a_value_keep_the_default)
{
    accept("Attempt\nWatchDog=\nFeatures=\nLogin\n");
    ck_assert_uint_eq(s.attempts, 3);
    ck_assert(s.watchdog);
    ck_assert(has_note(&s, CPUU_LV_WARNING, "CPUU.ini:2: Attempt has no value"));
    ck_assert(has_note(&s, CPUU_LV_WARNING, "CPUU.ini:3: WatchDog has no value"));
    ck_assert(!has_note(&s, CPUU_LV_WARNING, "CPUU.ini:4"));
    cpuu_settings_free(&s);
}
END_TEST

START_TEST(the_first_of_two_keys_counts)
{
    accept("Attempt=1\nattempt=2\nSkip=Nicks\n[PARAMETERS]\nATTEMPT=3\n");
    ck_assert_uint_eq(s.attempts, 1);
    ck_assert(has_note(&s, CPUU_LV_WARNING,
                       "CPUU.ini:3: Attempt is ignored, it is already set in "
                       "line 2"));
    ck_assert(has_note(&s, CPUU_LV_WARNING, "CPUU.ini:6: Attempt is ignored"));
    cpuu_settings_free(&s);
}
END_TEST

START_TEST(unknown_keys_and_sections_are_warnings)
{
    accept("Featuers=Rules\nzzzzzz=1\nRemove Nicks\nSilent: 1\n[Settings]\nSkip=All\n");
    ck_assert(has_note(&s, CPUU_LV_WARNING,
                       "CPUU.ini:2: unknown key 'Featuers'; did you mean "
                       "'Features'?"));
    ck_assert(has_note(&s, CPUU_LV_WARNING, "CPUU.ini:3: unknown key 'zzzzzz'"));
    ck_assert(
        has_note(&s, CPUU_LV_WARNING, "CPUU.ini:4: 'Remove Nicks' is ignored: write 'Remove='"));
    ck_assert(has_note(&s, CPUU_LV_WARNING, "CPUU.ini:5: 'Silent: 1' is ignored: write 'Silent='"));
    ck_assert(has_note(&s, CPUU_LV_WARNING, "CPUU.ini:6: section [Settings] is not known"));
    ck_assert_uint_eq(s.remove.count + s.features.count, 0);
    ck_assert(!s.silent && !s.skip_all);
    cpuu_settings_free(&s);
}
END_TEST

START_TEST(a_key_before_any_section_is_not_silently_lost)
{
    refused(load_text("Skip=All\n[Parameters]\n", NULL, &s, &err),
            "CPUU.ini:1: Skip stands before");
    OK(load_text("hello\n[Parameters]\n", NULL, &s, &err));
    ck_assert(has_note(&s, CPUU_LV_WARNING, "CPUU.ini:1: 'hello' is ignored"));
    cpuu_settings_free(&s);
}
END_TEST

START_TEST(features_and_skip_exclude_each_other)
{
    refused_ini("Features=Rules\n\nSkip=Nicks\n",
                "CPUU.ini:2: Features cannot be used together with Skip (line 4)");
    refused_ini("Skip=<All>\nFeatures=all\n", "CPUU.ini:3: Features cannot be used together with "
                                              "Skip (line 2)");
    accept("Features=\nSkip=Nicks\n");
    cpuu_settings_free(&s);
    accept("Features=Rules\nSkip=\n");
    cpuu_settings_free(&s);
}
END_TEST

START_TEST(the_word_all)
{
    accept("Skip=<all>\nAllowAdditionalServices=<All>\n");
    ck_assert(s.skip_all && s.allow_all_services);
    ck_assert_uint_eq(s.skip.count + s.allow_services.count, 0);
    cpuu_settings_free(&s);
    accept("Features=All\n");
    ck_assert_uint_eq(s.features.count, 0);
    cpuu_settings_free(&s);
    refused_ini("Skip=All Nicks\n", "CPUU.ini:2: Skip: 'All' cannot stand here");
    refused_ini("Critical=All\n", "CPUU.ini:2: Critical: 'All' cannot stand here");
}
END_TEST

START_TEST(a_dash_before_a_key_is_forgiven)
{
    accept("-Critical=Rules\n");
    words_are(&s.critical, "Rules");
    ck_assert(has_note(&s, CPUU_LV_WARNING, "CPUU.ini:2: write 'Critical' without the dash"));
    cpuu_settings_free(&s);
}
END_TEST

START_TEST(stop_processes_can_extend_the_default)
{
    accept("StopProcesses=+my.exe\n");
    ck_assert_uint_eq(s.stop_processes.count, 6);
    ck_assert_str_eq(s.stop_processes.items[0], "Communicator.exe");
    ck_assert_str_eq(s.stop_processes.items[5], "my.exe");
    cpuu_settings_free(&s);
}
END_TEST

START_TEST(bad_values_name_file_and_line)
{
    refused_ini("\nAttempt=x\n", "CPUU.ini:3: Attempt: 'x' is not a number from 0 to 100");
    refused_ini("Attempt=-1\n", "CPUU.ini:2: Attempt: '-1' is not a number");
    refused_ini("Attempt=101\n", "is not a number from 0 to 100");
    refused_ini("GlobalWait=99999999999999999999999999\n", "CPUU.ini:2: GlobalWait");
    refused_ini("AutodiscoverSourceURL=ftp://x\n",
                "CPUU.ini:2: AutodiscoverSourceURL: 'ftp://x' does "
                "not begin with https://");
    refused_ini("AutodiscoverSourceURL=https://\n", "is not a URL");
    refused_ini("AutodiscoverSourceURL=https://u:secret@h/\n", "may not hold a user name");
    ck_assert_ptr_null(strstr(err.text, "secret"));
    refused_ini("ProcessedDomainsFQDNs=a.b;c.d\n", "'a.b;c.d' has a separator");
    refused_ini("ProcessedDomainsFQDNs=a.b, c.d\n", "'a.b,' has a separator");
    refused_ini("ProcessedDomainsFQDNs=user@a.b\n", "'user@a.b' is not a domain name");
    refused_ini("Remove=Rules\n", "'Rules' cannot be removed; only Nicks can");
    refused_ini("AllowAdditionalServices=a \"b c\n", "begins with a quote that does not end");
    refused_ini("BackupCopy=none\n", "is not one of: profile journal");
    refused_ini("Password=xx\n", "CPUU.ini:2: Password can be used only together with Admin");
    refused_ini("PasswordTrg=xx\n", "can be used only together with AdminTrg");
    refused_ini("[x\n", "CPUU.ini:2: section header without");
}
END_TEST

START_TEST(a_file_that_cannot_be_read)
{
    refused(load_arguments("-INI /nonexistent/CPUU.ini", &s, &err),
            "cannot open '/nonexistent/CPUU.ini'");
    refused(load_arguments("-INI /tmp", &s, &err), "'/tmp' is not a regular file");
}
END_TEST

START_TEST(the_current_folder_is_searched_but_not_trusted_blindly)
{
    write_file("CPUU.ini", "[Parameters]\nAttempt=9\n", 23, 0644);
    OK(load_arguments("", &s, &err));
    ck_assert_str_eq(s.ini_file, "CPUU.ini");
    ck_assert_uint_eq(s.attempts, 9);
    ck_assert(has_note(&s, CPUU_LV_INFO, "settings are read from 'CPUU.ini'"));
    cpuu_settings_free(&s);
    ck_assert_int_eq(chmod(in_folder("CPUU.ini"), 0666), 0);
    refused(load_arguments("", &s, &err), "can be changed by other users");
}
END_TEST

START_TEST(options_of_third_party_features)
{
    OK(load_text("[Feature.Rules]\nLimit=5\nlimit=6\nFlag\n", NULL, &s, &err));
    ck_assert_str_eq(cpuu_settings_feature_option(&s, "rules", "LIMIT"), "5");
    ck_assert_str_eq(cpuu_settings_feature_option(&s, "Rules", "Flag"), "1");
    ck_assert_ptr_null(cpuu_settings_feature_option(&s, "Rules", "Other"));
    ck_assert(has_note(&s, CPUU_LV_WARNING, "CPUU.ini:3: limit is ignored"));
    cpuu_settings_free(&s);
}
END_TEST

START_TEST(a_hostile_file_is_bounded)
{
    size_t lines = 100000, size = 0;
    char *text = malloc(lines * 20);
    ck_assert_ptr_nonnull(text);
    size = (size_t)sprintf(text, "[Parameters]\n");
    for (size_t i = 0; i < lines; i++)
        size += (size_t)sprintf(text + size, i % 2 ? "Featuers=1\n" : "Silent=1\n");
    write_file("CPUU.ini", text, size, 0600);
    free(text);
    OK(load_arguments("", &s, &err));
    ck_assert_uint_le(s.n_notes, 200);
    ck_assert_uint_lt(s.arena.used, 1 << 20);
    cpuu_settings_free(&s);
}
END_TEST

/* ---- command line ---------------------------------------------------------------------------- */

START_TEST(every_switch)
{
    OK(load_text("",
                 "-Profiles A B -DefaultProfile -LeaveTemporaryProfile -Log x.log "
                 "-MoveDumpsToRemote -MaxLocalDumps 3 -LogWriteDirectly "
                 "-DoNotModifyExcludeSCPLookup -NameTrgStoreAsSrc -SkipAutodiscoverChecking "
                 "-DisableLogonThroughOutlook -Critical Rules CONTAB "
                 "--hive a/NTUSER.DAT --hive=b/NTUSER.DAT --hives /users --state /st "
                 "--plugins /pl --dry-run --json r.json --verbose --quiet --exit-style posix",
                 &s, &err));
    ck_assert_int_eq(s.mode, CPUU_MODE_UPDATE);
    words_are(&s.profiles, "A|B");
    ck_assert(s.default_profile && s.leave_temporary_profile && s.move_dumps_to_remote);
    ck_assert_str_eq(s.log_file, "x.log");
    ck_assert_uint_eq(s.max_local_dumps, 3);
    ck_assert(s.log_write_directly && s.do_not_modify_exclude_scp && s.name_target_as_source);
    ck_assert(s.skip_autodiscover_checking && s.no_outlook_logon);
    words_are(&s.critical, "Rules|CONTAB");
    words_are(&s.hives, "a/NTUSER.DAT|b/NTUSER.DAT");
    words_are(&s.hive_dirs, "/users");
    ck_assert_str_eq(s.state_dir, "/st");
    ck_assert_str_eq(s.plugin_dir, "/pl");
    ck_assert_str_eq(s.json_file, "r.json");
    ck_assert(s.dry_run && s.verbose && s.quiet && s.posix_exit);
    ck_assert(has_note(&s, CPUU_LV_WARNING, "command line: MoveDumpsToRemote has no effect yet"));
    ck_assert(has_note(&s, CPUU_LV_INFO, "DisableLogonThroughOutlook is accepted"));
    cpuu_settings_free(&s);
}
END_TEST

static void mode_is(const char *arguments, cpuu_mode mode)
{
    OK(load_text("", arguments, &s, &err));
    ck_assert_int_eq(s.mode, mode);
    cpuu_settings_free(&s);
}

START_TEST(modes)
{
    mode_is("-undo A", CPUU_MODE_UNDO);
    mode_is("-UNDOALL", CPUU_MODE_UNDO);
    mode_is("-UndoDefaultProfile -Undo A --profile-only", CPUU_MODE_UNDO);
    mode_is("-Cleanup", CPUU_MODE_CLEANUP);
    mode_is("-?", CPUU_MODE_HELP);
    mode_is("/?", CPUU_MODE_HELP);
    mode_is("--help", CPUU_MODE_HELP);
    mode_is("-Undo A --help", CPUU_MODE_HELP);
    mode_is("--version", CPUU_MODE_VERSION);
    mode_is("--list-profiles", CPUU_MODE_LIST_PROFILES);
    mode_is("--list-features", CPUU_MODE_LIST_FEATURES);
    mode_is("--show-config -Undo A", CPUU_MODE_SHOW_CONFIG);
    OK(load_text("", "-Undo A B", &s, &err));
    words_are(&s.profiles, "A|B");
    cpuu_settings_free(&s);
    OK(load_text("", "-ExcludeScpLookupNever", &s, &err));
    ck_assert(s.do_not_modify_exclude_scp);
    cpuu_settings_free(&s);
}
END_TEST

START_TEST(wrong_command_lines)
{
    refused(load_arguments("-Undo A -Cleanup", &s, &err),
            "-Undo and -Cleanup cannot be used together");
    refused(load_arguments("-Profiles A -UndoAll", &s, &err), "cannot be used together");
    refused(load_arguments("-Cleanup --list-profiles", &s, &err), "cannot be used together");
    refused(load_arguments("-Profiles", &s, &err), "-Profiles needs at least one value");
    refused(load_arguments("-Profiles -UndoAll", &s, &err), "-Profiles needs at least one value");
    refused(load_arguments("-Log", &s, &err), "-Log needs a value");
    refused(load_arguments("-Log a -Log b", &s, &err), "-Log is given twice");
    refused(load_arguments("-MaxLocalDumps x", &s, &err), "-MaxLocalDumps: 'x' is not a number");
    refused(load_arguments("stray", &s, &err), "'stray' does not belong to a switch");
    refused(load_arguments("-DefaultProfile x", &s, &err), "'x' does not belong to a switch");
    refused(load_arguments("--dry-run=1", &s, &err), "this switch takes no value");
    refused(load_arguments("-Profils A", &s, &err), "unknown switch '-Profils'; did you mean "
                                                    "'-Profiles'?");
    refused(load_arguments("--dryrun", &s, &err), "did you mean '--dry-run'?");
    refused(load_arguments("-zzzzzzzz", &s, &err), "unknown switch '-zzzzzzzz'");
    refused(load_arguments("-Features Rules", &s, &err), "is a key of CPUU.ini");
    refused(load_arguments("-Password secret", &s, &err), "-Password is not accepted");
    ck_assert_ptr_null(strstr(err.text, "secret"));
    refused(load_arguments("--profile-only", &s, &err), "--profile-only can only be used when");
    refused(load_arguments("--exit-style=windows", &s, &err), "is not one of: guide posix");
}
END_TEST

START_TEST(names_that_begin_with_a_dash)
{
    OK(load_arguments("-Profiles A -- -B --C", &s, &err));
    words_are(&s.profiles, "A|-B|--C");
    cpuu_settings_free(&s);
}
END_TEST

START_TEST(the_command_line_wins)
{
    OK(load_text("[Parameters]\nCritical=SRS\nExitStyle=guide\n",
                 "-Critical Rules --exit-style=posix", &s, &err));
    words_are(&s.critical, "Rules");
    ck_assert(s.posix_exit);
    cpuu_settings_free(&s);
}
END_TEST

START_TEST(the_exit_style_is_known_even_when_the_rest_is_wrong)
{
    refused(load_arguments("--bogus --exit-style=posix", &s, &err), "unknown switch");
    ck_assert(s.posix_exit);
    refused(load_text("[Parameters]\nExitStyle=posix\nAttempt=x\n", NULL, &s, &err), "Attempt");
    ck_assert(s.posix_exit);
    refused(load_arguments("--bogus", &s, &err), "unknown switch");
    ck_assert(!s.posix_exit);
}
END_TEST

/* ---- features -------------------------------------------------------------------------------- */

static const char *const known[] = {"AddBoxes", "CONTAB", "Calendar", NULL};

START_TEST(known_features_take_the_spelling_of_the_plugin)
{
    accept("Features=addboxes contab\nCritical=CALENDAR Activities\n");
    OK(cpuu_settings_check_features(&s, known, &err));
    words_are(&s.features, "AddBoxes|CONTAB");
    words_are(&s.critical, "Calendar");
    ck_assert(has_note(&s, CPUU_LV_INFO, "Activities is not applicable"));
    cpuu_settings_free(&s);
}
END_TEST

START_TEST(features_that_are_not_there)
{
    static const char *const with_nicks[] = {"Nicks", NULL};
    accept("Features=Rules CONTAB\n");
    OK(cpuu_settings_check_features(&s, known, &err));
    words_are(&s.features, "Rules|CONTAB");
    ck_assert(has_note(&s, CPUU_LV_WARNING,
                       "CPUU.ini:2: Features: the feature Rules is not available "
                       "yet"));
    cpuu_settings_free(&s);
    accept("Features=Rules\n"); /* the list must not become empty: that would mean all */
    OK(cpuu_settings_check_features(&s, known, &err));
    ck_assert_uint_eq(s.features.count, 1);
    cpuu_settings_free(&s);
    accept("Skip=AutoNameCheck\n");
    OK(cpuu_settings_check_features(&s, with_nicks, &err));
    words_are(&s.skip, "Nicks");
    cpuu_settings_free(&s);
}
END_TEST

static void check_refused(const char *text, const char *message)
{
    accept(text);
    ck_assert_int_eq(cpuu_settings_check_features(&s, known, &err), CPUU_E_USAGE);
    ck_assert_msg(strstr(err.text, message), "'%s' does not contain '%s'", err.text, message);
    cpuu_settings_free(&s);
}

START_TEST(unknown_features_are_errors)
{
    check_refused("\nSkip=Calender\n", "CPUU.ini:3: Skip: there is no feature 'Calender'; did you "
                                       "mean Calendar");
    check_refused("Features=Shared\n", "there is no feature 'Shared'; --list-features");
    check_refused("Features=Contact\n", "Contacts");
    check_refused("Critical=Rules\n",
                  "CPUU.ini:2: Critical: the feature Rules is not available yet");
    check_refused("Features=Activities\n", "there is no feature 'Activities'");
}
END_TEST

/* ---- texts ----------------------------------------------------------------------------------- */

static char *printed(void (*print)(FILE *))
{
    char *text;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    ck_assert_ptr_nonnull(f);
    print(f);
    fclose(f);
    return text;
}

/* Names as the guide prints them. */
START_TEST(help_and_template_name_everything)
{
    static const char *const switches[] = {"-Profiles",
                                           "-Undo ",
                                           "-UndoAll",
                                           "-DefaultProfile",
                                           "-LeaveTemporaryProfile",
                                           "-UndoDefaultProfile",
                                           "-Log ",
                                           "-MoveDumpsToRemote",
                                           "-MaxLocalDumps",
                                           "-LogWriteDirectly",
                                           "-Cleanup",
                                           "-INI ",
                                           "-DoNotModifyExcludeSCPLookup",
                                           "-NameTrgStoreAsSrc",
                                           "-SkipAutodiscoverChecking",
                                           "-?",
                                           "-DisableLogonThroughOutlook"};
    static const char *const keys[] = {"Admin",
                                       "Password",
                                       "AdminTrg",
                                       "PasswordTrg",
                                       "AskCredentials",
                                       "AskSourceCredentialsOnly",
                                       "AllowAdditionalServices",
                                       "Skip",
                                       "Features",
                                       "Critical",
                                       "Remove",
                                       "RemoveJunkEmailMessages",
                                       "ProcessOfflineProfiles",
                                       "KeepOST",
                                       "BackupOST",
                                       "CreateRegFileForOSTRecovery",
                                       "UseTargetOST",
                                       "Silent",
                                       "WatchDog",
                                       "StopProcesses",
                                       "Attempt",
                                       "OpenStoreWait",
                                       "FeatureWait",
                                       "GlobalWait",
                                       "ProcessedDomainsFQDNs",
                                       "UseLocalAutodiscoverXMLs",
                                       "AutodiscoverSourceURL",
                                       "AutodiscoverTargetURL",
                                       "AuthorityURL",
                                       "ResourceURL",
                                       "SMTPAddress",
                                       "Priority",
                                       "Attach log",
                                       "Notification",
                                       "Profile",
                                       "Subject",
                                       "Body"};
    char *help = printed(cpuu_settings_print_help), *tmpl = printed(cpuu_settings_print_template);
    char name[64];
    for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++) {
        snprintf(name, sizeof(name), "\n  %s", switches[i]);
        ck_assert_msg(strstr(help, name), "%s is not in --help", switches[i]);
    }
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        snprintf(name, sizeof(name), "\n  %s=", keys[i]);
        ck_assert_msg(strstr(help, name), "%s is not in --help", keys[i]);
        snprintf(name, sizeof(name), "\n;%s=", keys[i]);
        ck_assert_msg(strstr(tmpl, name), "%s is not in the template", keys[i]);
    }
    /* no line is wider than a terminal */
    for (char *p = help; *p; p += strcspn(p, "\n") + (p[strcspn(p, "\n")] == '\n'))
        ck_assert_uint_le(strcspn(p, "\n"), 90);
    free(help);
    free(tmpl);
}
END_TEST

START_TEST(the_template_changes_nothing)
{
    char *tmpl = printed(cpuu_settings_print_template);
    OK(load_text(tmpl, NULL, &s, &err));
    ck_assert_uint_eq(s.n_notes, 1); /* which file is read */
    cpuu_settings_free(&s);
    free(tmpl);
}
END_TEST

START_TEST(show_config_tells_value_and_origin)
{
    char *text;
    size_t size;
    OK(load_text("[Parameters]\nAttempt=4\nAdmin=d\\u\nPassword=SECRET\n", "-Log x", &s, &err));
    FILE *f = open_memstream(&text, &size);
    cpuu_settings_print_config(&s, f);
    fclose(f);
    ck_assert_ptr_nonnull(strstr(text, "\nLog = x   ; command line\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nWatchDog = 1   ; default"));
    ck_assert_ptr_nonnull(strstr(text, "\nAttempt = 4   ; /tmp/"));
    ck_assert_ptr_nonnull(strstr(text, "CPUU.ini:2, no effect yet\n"));
    ck_assert_ptr_null(strstr(text, "SECRET"));
    free(text);
    cpuu_settings_free(&s);
}
END_TEST

/* ---- memory ---------------------------------------------------------------------------------- */

START_TEST(every_failing_allocation_is_an_error)
{
    bool done = false;
    for (unsigned long n = 1; !done && n < 2000; n++) {
        allocations = 0;
        fail_at = n;
        cpuu_rc rc = load_text("[Parameters]\nFeatures=Rules CONTAB a b c d e f g h i j\nSilent\n"
                               "Featuers=1\nAdmin=x\nPassword=1\n[Feature.X]\nA=1\n"
                               "[Admin notification]\nBody=a\nb\n",
                               "-Profiles A B C D E F G H I J K --json x", &s, &err);
        fail_at = 0;
        ck_assert_msg(rc == CPUU_OK || rc == CPUU_E_NOMEM, "%ld: %d %s", (long)n, rc, err.text);
        done = rc == CPUU_OK;
        if (done)
            cpuu_settings_free(&s);
    }
    ck_assert(done);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("settings");
    TCase *t = tcase_create("settings");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, folder_make, folder_remove);
    tcase_add_test(t, defaults_without_any_file);
    tcase_add_test(t, where_the_state_is);
    tcase_add_test(t, every_key_of_parameters);
    tcase_add_test(t, every_added_key);
    tcase_add_test(t, the_notification_example);
    tcase_add_test(t, notification_by_its_other_name_and_bad_values);
    tcase_add_test(t, a_misspelt_key_after_the_body_is_not_part_of_it);
    tcase_add_test(t, booleans_have_many_spellings);
    tcase_add_test(t, create_reg_file_without_a_value_creates_it);
    tcase_add_test(t, keys_without_a_value_keep_the_default);
    tcase_add_test(t, the_first_of_two_keys_counts);
    tcase_add_test(t, unknown_keys_and_sections_are_warnings);
    tcase_add_test(t, a_key_before_any_section_is_not_silently_lost);
    tcase_add_test(t, features_and_skip_exclude_each_other);
    tcase_add_test(t, the_word_all);
    tcase_add_test(t, a_dash_before_a_key_is_forgiven);
    tcase_add_test(t, stop_processes_can_extend_the_default);
    tcase_add_test(t, bad_values_name_file_and_line);
    tcase_add_test(t, a_file_that_cannot_be_read);
    tcase_add_test(t, the_current_folder_is_searched_but_not_trusted_blindly);
    tcase_add_test(t, options_of_third_party_features);
    tcase_add_test(t, a_hostile_file_is_bounded);
    tcase_add_test(t, every_switch);
    tcase_add_test(t, modes);
    tcase_add_test(t, wrong_command_lines);
    tcase_add_test(t, names_that_begin_with_a_dash);
    tcase_add_test(t, the_command_line_wins);
    tcase_add_test(t, the_exit_style_is_known_even_when_the_rest_is_wrong);
    tcase_add_test(t, known_features_take_the_spelling_of_the_plugin);
    tcase_add_test(t, features_that_are_not_there);
    tcase_add_test(t, unknown_features_are_errors);
    tcase_add_test(t, help_and_template_name_everything);
    tcase_add_test(t, the_template_changes_nothing);
    tcase_add_test(t, show_config_tells_value_and_origin);
    tcase_add_test(t, every_failing_allocation_is_an_error);
    suite_add_tcase(suite, t);
    SRunner *r = srunner_create(suite);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
