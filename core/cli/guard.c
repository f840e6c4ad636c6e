/*
 * FeatureWait. Whoever takes longer is asked to stop; whoever does not even notice that, because he
 * computes without end, cannot be left alone in the process: it ends as if it had been killed, and
 * the next start takes back what was not finished. A signal handler has no argument, so its state is
 * of the process.
 */
#include "cli/guard.h"

#include "base/clock.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GRACE 5u /* seconds between asking and ending */

static volatile sig_atomic_t late;
static char words[400], last_line[64];
static int log_fd, status;

static void say(int fd, const char *text)
{
    ssize_t ignored = fd >= 0 ? write(fd, text, strlen(text)) : 0;
    (void)ignored;
}

static void on_alarm(int number)
{
    (void)number;
    if (!late) {
        late = 1;
        alarm(GRACE);
        return;
    }
    say(log_fd, words);
    say(STDERR_FILENO, "\n");
    say(STDERR_FILENO, words);
    say(STDERR_FILENO, last_line);
    _exit(status);
}

static void begin(const char *feature, uint32_t seconds)
{
    char stamp[24];
    cpuu_clock_stamp(stamp);
    snprintf(words, sizeof(words),
             "%s %ld [Error] Feature %.32s, begun at this time, has not come back after %u seconds "
             "(FeatureWait): the program ends; its next start takes back what was not finished\n",
             stamp, (long)getpid(), feature, seconds);
    late = 0;
    alarm(seconds);
}

static void end(void)
{
    alarm(0);
    late = 0;
}

const cpuu_guard *cpuu_guard_start(int fd, int exit_status)
{
    static const cpuu_guard guard = {begin, end, &late};
    struct sigaction sa;
    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = on_alarm;
    sa.sa_flags = SA_RESTART;
    log_fd = fd;
    status = exit_status;
    snprintf(last_line, sizeof(last_line), "cpuu: exit mask 32 (CPUU_CRASH)\n");
    sigaction(SIGALRM, &sa, NULL);
    return &guard;
}
