/* What a person sees: errors and warnings on stderr, the rest on stdout, progress on a terminal. */
#include "report/private.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PROGRESS_EVERY_MS 250

void cpuu_terminal_init(cpuu_terminal *t, const cpuu_settings *s)
{
    memset(t, 0, sizeof(*t));
    t->quiet = s->quiet || s->silent;
    t->verbose = s->verbose;
    t->json_on_stdout = s->json_file && strcmp(s->json_file, "-") == 0;
    t->shows_progress = !t->quiet && isatty(STDERR_FILENO);
    t->last_progress = -PROGRESS_EVERY_MS;
}

static void clear_progress(cpuu_terminal *t)
{
    if (t->progress_shown)
        fputs("\r\033[K", stderr);
    t->progress_shown = false;
}

static FILE *stream_for(const cpuu_terminal *t, cpuu_level level)
{
    return level == CPUU_LV_INFO && !t->json_on_stdout ? stdout : stderr;
}

void cpuu_terminal_message(cpuu_terminal *t, cpuu_level level, const char *text)
{
    static const char *const prefixes[] = {"", "error: ", "warning: ", "", "", ""};
    if ((t->quiet && level != CPUU_LV_ERROR) || (level > CPUU_LV_INFO && !t->verbose))
        return;
    clear_progress(t);
    FILE *out = stream_for(t, level);
    fprintf(out, "%s%s\n", prefixes[level], text);
    fflush(out);
}

void cpuu_terminal_progress(cpuu_terminal *t, const char *what, uint32_t done, uint32_t total)
{
    int64_t now = cpuu_clock_ms();
    const bool begins = !done && !total; /* a step that may take long: few, so each is shown */
    if (!t->shows_progress || (!begins && now - t->last_progress < PROGRESS_EVERY_MS))
        return;
    t->last_progress = begins ? t->last_progress : now;
    if (begins)
        fprintf(stderr, "\r\033[K%.72s ...", what);
    else if (total)
        fprintf(stderr, "\r\033[K%.60s %u/%u", what, done, total);
    else
        fprintf(stderr, "\r\033[K%.60s %u", what, done);
    fflush(stderr);
    t->progress_shown = true;
}

void cpuu_terminal_text(cpuu_terminal *t, const char *text)
{
    clear_progress(t);
    if (t->quiet)
        return;
    FILE *out = stream_for(t, CPUU_LV_INFO);
    fputs(text, out);
    fflush(out);
}

void cpuu_terminal_last_line(cpuu_terminal *t, const char *text)
{
    clear_progress(t);
    fprintf(stderr, "%s\n", text);
}
