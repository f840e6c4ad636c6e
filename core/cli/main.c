/* cpuu: settings, report, engine. Wiring only; also installed as ClientProfileUpdatingUtility. */
#include "config.h"

#include "cli/guard.h"
#include "engine/engine.h"
#include "report/report.h"
#include "settings/settings.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

/* The first signal asks for an orderly end; a second one ends the program at once, and the next run
 * recovers. */
static void catch_signals(void)
{
    struct sigaction sa;
    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = on_signal;
    sa.sa_flags = (int)SA_RESETHAND;
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int run(cpuu_settings *s)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_report *r;
    if (cpuu_report_open(s, &r, &err) != CPUU_OK) {
        fprintf(stderr, "cpuu: %s\n", err.text);
        return cpuu_exit_status(CPUU_EXIT_GLOBAL_ERR, s->posix_exit, false);
    }
    catch_signals();
    s->stop = &stop;
    s->guard = cpuu_guard_start(cpuu_report_log_fd(r),
                                cpuu_exit_status(CPUU_EXIT_CRASH, s->posix_exit, false));
    if (cpuu_engine_run(s, r, &err) < 0)
        cpuu_report_abort(r, &err);
    return cpuu_report_close(r);
}

int main(int argc, char **argv)
{
    cpuu_settings s;
    cpuu_error err = CPUU_ERROR_INIT;
    int status = 0;
    umask(umask(0) | S_IWGRP | S_IRWXO); /* logs and journals hold personal data */
    if (cpuu_settings_load(argc, argv, &s, &err) != CPUU_OK) {
        fprintf(stderr, "cpuu: %s\n", err.text);
        return cpuu_exit_status(0, s.posix_exit, false); /* cannot start */
    }
    switch (s.mode) {
    case CPUU_MODE_HELP:
        cpuu_settings_print_help(stdout);
        break;
    case CPUU_MODE_VERSION:
        puts("cpuu " PACKAGE_VERSION);
        break;
    case CPUU_MODE_SHOW_CONFIG:
        cpuu_settings_print_config(&s, stdout);
        break;
    default:
        status = run(&s);
    }
    cpuu_settings_free(&s);
    return status;
}
