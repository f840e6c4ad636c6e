/*
 * User names and passwords: from a file that nobody else can read, or from the terminal. Never a
 * hang: without a terminal, or in the background, the answer is an error at once. What was typed is
 * wiped from every buffer of ours.
 */
#include "settings/load.h"

#include "base/file.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define MAX_ANSWER 1024 /* bytes */

/* ---- credentials file ------------------------------------------------------------------------ */

static cpuu_rc check_private(const char *path, const struct stat *st, cpuu_error *err)
{
    if (st->st_uid != geteuid())
        return cpuu_fail(err, CPUU_E_AUTH,
                         "credentials file '%s' is refused: it belongs to another user", path);
    if (st->st_mode & (S_IRWXG | S_IRWXO))
        return cpuu_fail(err, CPUU_E_AUTH,
                         "credentials file '%s' is refused: other users have access to it (mode "
                         "%03o); run chmod 600 on it",
                         path, (unsigned)(st->st_mode & 0777));
    return CPUU_OK;
}

/* The password is not the arena's: it must be wiped. */
static cpuu_rc keep_secret(char **member, const char *value, cpuu_error *err)
{
    char *copy = cpuu_strdup(value);
    if (!copy)
        return cpuu_nomem(err);
    cpuu_free_secret(*member);
    *member = copy;
    return CPUU_OK;
}

static cpuu_rc take_entry(cpuu_settings *s, const char *path, const cpuu_ini_entry *e,
                          cpuu_error *err)
{
    bool source = cpuu_caseeq(e->section, "Source"), target = cpuu_caseeq(e->section, "Target");
    cpuu_credentials *side = source ? &s->source : &s->target;
    if (!source && !target)
        return cpuu_fail(err, CPUU_E_AUTH,
                         "%s:%u: only the sections [Source] and [Target] may be "
                         "used here",
                         path, e->line);
    if (!e->key)
        return CPUU_OK;
    if (!e->value || !*e->value)
        return cpuu_fail(err, CPUU_E_AUTH, "%s:%u: the value is missing", path, e->line);
    if (cpuu_caseeq(e->key, "Password"))
        return keep_secret(&side->password, e->value, err);
    if (!cpuu_caseeq(e->key, "User")) /* not shown: it may be a password on the wrong line */
        return cpuu_fail(err, CPUU_E_AUTH, "%s:%u: only User= and Password= may be used here", path,
                         e->line);
    side->user = cpuu_arena_strdup(&s->arena, e->value);
    return side->user ? CPUU_OK : cpuu_nomem(err);
}

static cpuu_rc check_side(const cpuu_credentials *side, const char *path, const char *name,
                          cpuu_error *err)
{
    if (!side->user == !side->password)
        return CPUU_OK;
    return cpuu_fail(err, CPUU_E_AUTH, "credentials file '%s' has no %s for [%s]", path,
                     side->user ? "Password" : "User", name);
}

static cpuu_rc parse_file(cpuu_settings *s, const char *path, const cpuu_buf *data, cpuu_error *err)
{
    cpuu_ini ini;
    cpuu_rc rc = cpuu_ini_parse(data->data, data->size, path, NULL, &ini, err);
    if (rc != CPUU_OK)
        return rc;
    for (size_t i = 0; rc == CPUU_OK && i < ini.count; i++)
        rc = take_entry(s, path, &ini.items[i], err);
    cpuu_ini_free(&ini);
    return rc;
}

static cpuu_rc read_credentials_file(cpuu_settings *s, cpuu_error *err)
{
    const char *path = s->credentials_file;
    cpuu_buf data;
    struct stat st;
    cpuu_buf_init(&data, 65536);
    if (!cpuu_buf_fill(&data, 0, 65536)) /* at once: growing would leave copies behind */
        return cpuu_nomem(err);
    cpuu_buf_reset(&data);
    cpuu_rc rc = cpuu_file_read(path, &data, &st, err);
    if (rc == CPUU_OK)
        rc = check_private(path, &st, err);
    if (rc == CPUU_OK)
        rc = parse_file(s, path, &data, err);
    explicit_bzero(data.data, data.size);
    cpuu_buf_free(&data);
    if (rc == CPUU_OK)
        rc = check_side(&s->source, path, "Source", err);
    if (rc == CPUU_OK)
        rc = s->target.password ? check_side(&s->target, path, "Target", err) : CPUU_OK;
    return rc;
}

/* ---- terminal -------------------------------------------------------------------------------- */

typedef struct terminal {
    int fd;
    struct termios saved;
    const volatile sig_atomic_t *stop;
} terminal;

static cpuu_rc open_terminal(terminal *t, const cpuu_settings *s, cpuu_error *err)
{
    t->stop = s->stop;
    t->fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    /* A process in the background would be stopped by the terminal, which looks like a hang. */
    bool usable = t->fd >= 0 && tcgetattr(t->fd, &t->saved) == 0 && tcgetpgrp(t->fd) == getpgrp();
    if (!usable) {
        if (t->fd >= 0)
            close(t->fd);
        return cpuu_fail(
            err, CPUU_E_AUTH,
            "credentials are needed and there is no terminal to ask on; put them into a "
            "file and name it with CredentialsFile in CPUU.ini");
    }
    struct termios raw = t->saved;
    raw.c_lflag &= ~(tcflag_t)(ECHO | ICANON | ISIG | IEXTEN);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(t->fd, TCSAFLUSH, &raw);
    return CPUU_OK;
}

static void close_terminal(terminal *t)
{
    tcsetattr(t->fd, TCSAFLUSH, &t->saved);
    close(t->fd);
}

static void show(const terminal *t, const char *text)
{
    size_t n = strlen(text);
    while (n) {
        ssize_t done = write(t->fd, text, n);
        if (done <= 0 && errno != EINTR)
            return; /* the terminal is gone; the next read says so */
        if (done > 0) {
            text += done;
            n -= (size_t)done;
        }
    }
}

/* One byte, or -1 when the user or the terminal ended it. */
static int read_byte(const terminal *t)
{
    for (;;) {
        unsigned char c;
        ssize_t n = read(t->fd, &c, 1);
        if (n == 1)
            return c;
        if (n == 0 || errno != EINTR || (t->stop && *t->stop))
            return -1;
    }
}

static size_t erase_character(const terminal *t, const char *text, size_t n, bool echo)
{
    while (n > 1 && (text[n - 1] & 0xc0) == 0x80)
        n--;
    if (echo && n)
        show(t, "\b \b");
    return n ? n - 1 : 0;
}

/* Reads a line; control-C and control-D give up. */
static cpuu_rc ask(const terminal *t, const char *question, bool echo, char answer[MAX_ANSWER],
                   cpuu_error *err)
{
    size_t n = 0;
    show(t, question);
    for (;;) {
        int c = read_byte(t);
        if (c < 0 || c == 3 || c == 4) {
            show(t, "\r\n");
            return cpuu_fail(err, CPUU_E_STOP, "stopped at the question for credentials");
        }
        if (c == '\r' || c == '\n')
            break;
        if (c == 0x7f || c == '\b') {
            n = erase_character(t, answer, n, echo);
        } else if (c >= 0x20 && n + 1 < MAX_ANSWER) {
            answer[n++] = (char)c;
            if (echo)
                show(t, (const char[]){(char)c, 0});
        }
    }
    answer[n] = 0;
    show(t, "\r\n");
    if (n == 0)
        return cpuu_fail(err, CPUU_E_AUTH, "no answer to the question for credentials");
    return CPUU_OK;
}

static cpuu_rc ask_user(cpuu_settings *s, const terminal *t, const char *name,
                        cpuu_credentials *side, cpuu_error *err)
{
    char question[80], answer[MAX_ANSWER];
    snprintf(question, sizeof(question), "User for the %s mailboxes: ", name);
    cpuu_rc rc = ask(t, question, true, answer, err);
    if (rc != CPUU_OK)
        return rc;
    side->user = cpuu_arena_strdup(&s->arena, answer);
    return side->user ? CPUU_OK : cpuu_nomem(err);
}

static cpuu_rc ask_password(const terminal *t, cpuu_credentials *side, cpuu_error *err)
{
    char question[400], answer[MAX_ANSWER];
    snprintf(question, sizeof(question), "Password of %.300s: ", side->user);
    cpuu_rc rc = ask(t, question, false, answer, err);
    if (rc == CPUU_OK)
        rc = keep_secret(&side->password, answer, err);
    explicit_bzero(answer, sizeof(answer));
    return rc;
}

/* Asks for what is missing. The user name that the settings give is not asked for again. */
static cpuu_rc prompt(cpuu_settings *s, const char *name, cpuu_credentials *side, cpuu_error *err)
{
    terminal t;
    cpuu_rc rc = open_terminal(&t, s, err);
    if (rc != CPUU_OK)
        return rc;
    if (!side->user)
        rc = ask_user(s, &t, name, side, err);
    if (rc == CPUU_OK)
        rc = ask_password(&t, side, err);
    close_terminal(&t);
    return rc;
}

/* ---- public ---------------------------------------------------------------------------------- */

static cpuu_rc copy_source(cpuu_settings *s, cpuu_error *err)
{
    cpuu_rc rc =
        s->source.password ? keep_secret(&s->target.password, s->source.password, err) : CPUU_OK;
    if (rc == CPUU_OK)
        s->target.user = s->source.user;
    return rc;
}

cpuu_rc cpuu_settings_credentials(cpuu_settings *s, bool target_too, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    if (s->credentials_file && !s->source.password && !s->target.password)
        rc = read_credentials_file(s, err);
    if (rc == CPUU_OK && !s->source.password && (s->source.user || s->ask_credentials))
        rc = prompt(s, "source", &s->source, err);
    if (rc != CPUU_OK || !target_too || s->target.password)
        return rc;
    if (s->target.user)
        return prompt(s, "target", &s->target, err);
    return s->source.user ? copy_source(s, err) : CPUU_OK;
}

cpuu_rc cpuu_settings_ask_target(cpuu_settings *s, cpuu_error *err)
{
    if (!s->ask_credentials || s->ask_source_only)
        return cpuu_fail(
            err, CPUU_E_AUTH,
            "the target refuses these credentials and the settings do not allow to ask "
            "for others (AskCredentials, AskSourceCredentialsOnly)");
    cpuu_credentials fresh = {NULL, NULL};
    cpuu_rc rc = prompt(s, "target", &fresh, err);
    if (rc != CPUU_OK) {
        cpuu_free_secret(fresh.password);
        return rc;
    }
    cpuu_free_secret(s->target.password);
    s->target = fresh;
    return CPUU_OK;
}
