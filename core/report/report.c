/* The report of a run: one sink for messages, and the events of profiles, features and links. */
#include "config.h"

#include "report/private.h"

#include "base/clock.h"
#include "base/fault.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_TEXT (16u << 20) /* bytes of CSV and of summary */

struct cpuu_report {
    cpuu_log log; /* first: the sink is the report */
    const cpuu_settings *settings;
    char host[256];
    cpuu_log_place place;
    int fd; /* log file; -1 = none */
    cpuu_terminal terminal;
    cpuu_json *json; /* NULL when not asked for */
    cpuu_buf csv;
    cpuu_buf summary;
    cpuu_buf features, idle; /* of the current profile: lines; names that had nothing to do */
    unsigned mask;
    bool aborted;    /* the run itself could not start or broke off */
    bool lists_only; /* a mode that shows something and writes nothing */
    /* the current profile */
    char *profile, *hive, *feature;
    cpuu_status previous;
    uint32_t links[5]; /* of the current feature, by outcome */
    /* totals */
    uint32_t profiles, would_be_done, ended[32], all_links[5], changes, inferred, conflicts;
};

/* ---- messages -------------------------------------------------------------------------------- */

/* A log that cannot be written any more is given up, said once, and shown in the exit mask. */
static void give_up_log(cpuu_report *r, int errnum)
{
    char text[512];
    close(r->fd);
    r->fd = -1;
    r->mask |= CPUU_EXIT_FAILED_TO_WRITE_LOG;
    snprintf(text, sizeof(text), "the log cannot be written any more: %s", strerror(errnum));
    cpuu_terminal_message(&r->terminal, CPUU_LV_ERROR, text);
}

static void write_log(cpuu_report *r, const char *line, size_t n)
{
    while (r->fd >= 0 && n) {
        ssize_t done = -1;
        if (cpuu_fault_fail("write"))
            errno = ENOSPC;
        else
            done = write(r->fd, line, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0) {
            give_up_log(r, errno);
            return;
        }
        line += done;
        n -= (size_t)done;
    }
}

/* "2026-01-31 10:20:30.123 4711 [Warning] text" (ruling A27). */
static void log_line(cpuu_report *r, cpuu_level level, const char *text)
{
    char stamp[24], fixed[2048];
    cpuu_clock_stamp(stamp);
    char *line =
        cpuu_asprintf("%s %ld [%s] %s\n", stamp, (long)getpid(), cpuu_level_word(level), text);
    if (!line) { /* out of memory: a cut line is better than none */
        snprintf(fixed, sizeof(fixed) - 1, "%s %ld [%s] %s", stamp, (long)getpid(),
                 cpuu_level_word(level), text);
        memcpy(fixed + strlen(fixed), "\n", 2);
    }
    const char *whole = line ? line : fixed;
    write_log(r, whole, strlen(whole));
    cpuu_free(line);
}

static void sink(cpuu_log *log, cpuu_level level, const char *text)
{
    cpuu_report *r = (cpuu_report *)log;
    log_line(r, level, text);
    cpuu_json_message(r->json, level, text);
    cpuu_terminal_message(&r->terminal, level, text);
}

cpuu_log *cpuu_report_log(cpuu_report *r)
{
    return &r->log;
}

/* ---- opening --------------------------------------------------------------------------------- */

static void report_error(cpuu_report *r, cpuu_level level, const cpuu_error *err)
{
    cpuu_logf(&r->log, level, "%s", err->text);
}

/* Where the log goes; when the local folder cannot be had, directly to the remote one. */
static cpuu_rc open_log(cpuu_report *r, cpuu_error *err)
{
    cpuu_error why = CPUU_ERROR_INIT;
    cpuu_rc rc = cpuu_log_place_choose(r->settings, r->host, &r->place, err);
    if (rc != CPUU_OK)
        return rc;
    r->mask |= r->place.exit;
    if (r->place.exit & CPUU_EXIT_FAILED_TO_CREATE_TMP)
        cpuu_logf(&r->log, CPUU_LV_WARNING,
                  "the folder CPUULogs cannot be made in the TEMP folder; "
                  "the log is written to its place directly");
    if (r->place.unreachable && !r->place.local_log)
        cpuu_fail(&why, CPUU_E_UNSUPPORTED,
                  "'%s' is a path of Windows; give the mounted folder instead", r->place.log);
    else
        r->fd = cpuu_log_open(r->place.local_log ? r->place.local_log : r->place.log, &why);
    if (r->fd >= 0)
        return CPUU_OK;
    r->mask |= CPUU_EXIT_FAILED_TO_WRITE_LOG;
    report_error(r, CPUU_LV_ERROR, &why);
    return CPUU_OK;
}

static void log_start(cpuu_report *r)
{
    const cpuu_settings *s = r->settings;
    if (!r->lists_only)
        log_line(r, CPUU_LV_INFO, "cpuu " PACKAGE_VERSION " starts");
    for (size_t i = 0; i < s->n_notes; i++) {
        if (!r->lists_only ||
            s->notes[i].level < CPUU_LV_INFO) /* a list is not mixed with remarks */
            cpuu_logf(&r->log, s->notes[i].level, "%s", s->notes[i].text);
    }
}

cpuu_rc cpuu_report_open(const cpuu_settings *s, cpuu_report **out, cpuu_error *err)
{
    cpuu_report *r = cpuu_calloc(1, sizeof(*r));
    if (!r)
        return cpuu_nomem(err);
    r->log.write = sink;
    r->settings = s;
    r->fd = -1;
    r->lists_only =
        s->mode != CPUU_MODE_UPDATE && s->mode != CPUU_MODE_UNDO && s->mode != CPUU_MODE_CLEANUP;
    cpuu_buf_init(&r->csv, MAX_TEXT);
    cpuu_buf_init(&r->summary, MAX_TEXT);
    cpuu_buf_init(&r->features, MAX_TEXT);
    cpuu_buf_init(&r->idle, MAX_TEXT);
    cpuu_terminal_init(&r->terminal, s);
    if (gethostname(r->host, sizeof(r->host) - 1) != 0)
        snprintf(r->host, sizeof(r->host), "localhost");
    cpuu_rc rc = r->lists_only ? CPUU_OK : open_log(r, err);
    if (rc == CPUU_OK && s->json_file) {
        r->json = cpuu_json_new(s, r->host);
        rc = r->json ? CPUU_OK : cpuu_nomem(err);
    }
    if (rc != CPUU_OK) {
        if (r->fd >= 0)
            close(r->fd);
        cpuu_log_place_free(&r->place);
        cpuu_free(r);
        return rc;
    }
    log_start(r);
    *out = r;
    return CPUU_OK;
}

/* ---- events ---------------------------------------------------------------------------------- */

static void add_text(cpuu_buf *b, const char *text)
{
    cpuu_buf_add(b, text, strlen(text));
}

__attribute__((format(printf, 2, 3))) static void add_line(cpuu_buf *b, const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    add_text(b, line);
}
#define summarise(r, ...) add_line(&(r)->summary, __VA_ARGS__)

/* Without memory for a name the report is not what it should be, and the exit mask says so. */
static void replace(cpuu_report *r, char **slot, const char *text)
{
    cpuu_free(*slot);
    *slot = cpuu_strdup(text);
    if (text && !*slot)
        r->mask |= CPUU_EXIT_FAILED_TO_WRITE_LOG;
}

void cpuu_report_profile_begin(cpuu_report *r, const char *hive, const char *profile,
                               cpuu_status previous)
{
    replace(r, &r->hive, hive);
    replace(r, &r->profile, profile);
    r->previous = previous;
    cpuu_buf_reset(&r->features);
    cpuu_buf_reset(&r->idle);
    cpuu_json_profile_begin(r->json, hive, profile, previous);
    cpuu_logf(&r->log, CPUU_LV_TRACE, "profile '%s'%s%s", profile, hive ? " of " : "",
              hive ? hive : "");
}

void cpuu_report_fact(cpuu_report *r, const char *name, const char *value)
{
    cpuu_json_fact(r->json, name, value);
    cpuu_logf(&r->log, CPUU_LV_TRACE, "%s: %s", name, value ? value : "(none)");
}

/* Ruling A6: tab-separated, numbers, no header; what would break a line is escaped. */
static void csv_line(cpuu_report *r, const char *profile, cpuu_status status)
{
    char codes[32];
    for (const char *p = profile; *p; p++) {
        if (*p == '\t')
            add_text(&r->csv, "\\t");
        else if (*p == '\r')
            add_text(&r->csv, "\\r");
        else if (*p == '\n')
            add_text(&r->csv, "\\n");
        else
            cpuu_buf_u8(&r->csv, (uint8_t)*p);
    }
    snprintf(codes, sizeof(codes), "\t%d\t%d\n", (int)status, (int)r->previous);
    add_text(&r->csv, codes);
}

/* What the features did stands below the profile's line; those that had nothing to do share one. */
static void summarise_features(cpuu_report *r)
{
    cpuu_buf_add(&r->summary, r->features.data, r->features.size);
    if (r->idle.size)
        summarise(r, "    %-18s %.*s\n", "nothing to do", (int)r->idle.size,
                  (const char *)r->idle.data);
    r->summary.failed |= r->features.failed || r->idle.failed;
}

void cpuu_report_profile_end(cpuu_report *r, cpuu_status status, const char *message)
{
    const char *profile = r->profile ? r->profile : "?";
    /* A dry run leaves a profile unprocessed that it could have processed. */
    bool would = r->settings->dry_run && status == CPUU_PROFILE_WAS_NOT_PROCESSED && !message;
    csv_line(r, profile, status);
    cpuu_json_profile_end(r->json, status, message);
    /* Why a profile failed has been said where it happened; here its code is noted. */
    cpuu_logf(&r->log, CPUU_LV_TRACE, "profile '%s': %s (%d)", profile, cpuu_status_name(status),
              (int)status);
    if (status == CPUU_PROFILE_IS_BACKUP && r->settings->profiles.count == 0)
        return; /* no profile of the user's, and nobody has asked for it */
    summarise(r, "Profile '%s': %s\n", profile,
              would ? "This was a dry run, nothing was written." : cpuu_status_text(status));
    summarise_features(r);
    r->mask |= cpuu_status_exit(status);
    r->profiles++;
    r->would_be_done += would;
    r->ended[(unsigned)status < 32 ? status : 31]++;
}

void cpuu_report_feature_begin(cpuu_report *r, const char *feature)
{
    replace(r, &r->feature, feature);
    memset(r->links, 0, sizeof(r->links));
    cpuu_json_feature_begin(r->json, feature);
    cpuu_logf(&r->log, CPUU_LV_TRACE, "feature %s", feature);
}

/* One more name for the line of those that had nothing to do; it is broken where a terminal ends. */
static void add_idle(cpuu_report *r, const char *feature)
{
    size_t column = 23 + r->idle.size;
    for (size_t i = r->idle.size; i-- > 0;) {
        if (r->idle.data[i] == '\n') {
            column = r->idle.size - i - 1;
            break;
        }
    }
    const bool full = column + strlen(feature) + 3 > 80;
    add_line(&r->idle, "%s%*s%s", !r->idle.size ? "" : full ? ",\n" : ", ",
             r->idle.size && full ? 23 : 0, "", feature);
}

void cpuu_report_feature_end(cpuu_report *r, cpuu_feature_state state, const char *message)
{
    const char *feature = r->feature ? r->feature : "?";
    bool has = message && *message;
    cpuu_json_feature_end(r->json, state, message);
    /* Why it failed has been said where it happened. */
    cpuu_logf(&r->log, CPUU_LV_TRACE, "feature %s: %s%s%s", feature, cpuu_feature_state_word(state), has ? ": " : "",
              has ? message : "");
    if (state == CPUU_FEATURE_NOTHING)
        add_idle(r, feature);
    else if (state != CPUU_FEATURE_SKIPPED)
        add_line(&r->features, "    %-18s %s; links rewritten %u, kept %u, dropped %u%s%s\n",
                 feature, cpuu_feature_state_word(state), r->links[CPUU_REWRITTEN],
                 r->links[CPUU_KEPT], r->links[CPUU_DROPPED], has ? ": " : "",
                 has ? message : "");
    replace(r, &r->feature, NULL);
}

void cpuu_report_link(cpuu_report *r, uint32_t outcome, uint32_t reason, const char *title,
                      const char *before, const char *after)
{
    bool stays = outcome == CPUU_KEPT || outcome == CPUU_DROPPED;
    const char *target = after && before && strcmp(after, before) == 0 ? NULL : after;
    r->links[outcome < 5 ? outcome : 0]++;
    r->all_links[outcome < 5 ? outcome : 0]++;
    cpuu_json_link(r->json, outcome, reason, title, before, after);
    cpuu_logf(&r->log, stays || r->settings->dry_run ? CPUU_LV_INFO : CPUU_LV_TRACE,
              "%s: '%s' %s: %s%s%s%s%s",
              r->feature ? r->feature : "link", title ? title : "", cpuu_outcome_word(outcome),
              cpuu_reason_text(reason), before ? "; " : "", before ? before : "",
              target ? " -> " : "", target ? target : "");
}

void cpuu_report_change(cpuu_report *r, const char *where, const char *name, const char *before,
                        const char *after, char mark)
{
    bool sourced = mark && strchr("DCOI", mark); /* facts about profiles have a source, our own data none */
    r->changes++;
    r->inferred += mark == 'I';
    cpuu_json_change(r->json, where, name, before, after, mark);
    cpuu_logf(&r->log, r->settings->dry_run ? CPUU_LV_INFO : CPUU_LV_TRACE,
              "%s %s%s%s: %s -> %s%s%s%s", r->settings->dry_run ? "would change" : "changed", where,
              name ? ", " : "", name ? name : "", before ? before : "(nothing)",
              after ? after : "(nothing)", sourced ? " (" : "", sourced ? cpuu_mark_word(mark) : "",
              sourced ? ")" : "");
}

void cpuu_report_conflict(cpuu_report *r, const char *where, const char *what)
{
    r->conflicts++;
    cpuu_json_conflict(r->json, where, what);
    cpuu_logf(&r->log, CPUU_LV_WARNING, "%s was changed by somebody else since and stays: %s",
              where, what);
}

void cpuu_report_progress(cpuu_report *r, const char *what, uint32_t done, uint32_t total)
{
    cpuu_terminal_progress(&r->terminal, what, done, total);
}

int cpuu_report_log_fd(const cpuu_report *r)
{
    return r->fd;
}

void cpuu_report_add_exit(cpuu_report *r, unsigned bits)
{
    r->mask |= bits;
}

void cpuu_report_abort(cpuu_report *r, const cpuu_error *err)
{
    report_error(r, CPUU_LV_ERROR, err);
    r->aborted = true;
    if (err->rc == CPUU_E_STOP)
        r->mask |= CPUU_EXIT_USER_ABORT;
    else if (err->rc != CPUU_E_USAGE)
        r->mask |= CPUU_EXIT_GLOBAL_ERR;
}

/* ---- closing --------------------------------------------------------------------------------- */

static void fail_log(cpuu_report *r, unsigned bit, const cpuu_error *err)
{
    r->mask |= bit;
    report_error(r, CPUU_LV_ERROR, err);
}

static void write_csv(cpuu_report *r)
{
    cpuu_error err = CPUU_ERROR_INIT;
    const char *path = r->place.local_csv ? r->place.local_csv : r->place.csv;
    if (!path || (r->place.unreachable && !r->place.local_csv))
        return;
    cpuu_rc rc = r->csv.failed
                     ? cpuu_fail(&err, CPUU_E_NOMEM, "the CSV file is not complete")
                     : cpuu_log_replace(path, r->csv.data ? (const void *)r->csv.data : "",
                                        r->csv.size, &err);
    if (rc != CPUU_OK)
        fail_log(r, CPUU_EXIT_FAILED_TO_WRITE_LOG, &err);
}

/* Moves log and CSV to a remote folder; what cannot be moved stays in CPUULogs. The log is moved
 * last and without further messages: a failure can only be told to the terminal. */
static void move_logs(cpuu_report *r)
{
    cpuu_error err = CPUU_ERROR_INIT;
    if (!r->place.local_log)
        return;
    cpuu_rc rc =
        r->place.unreachable
            ? cpuu_fail(&err, CPUU_E_UNSUPPORTED,
                        "'%s' is a path of Windows; give the mounted folder instead", r->place.log)
            : cpuu_log_move(r->place.local_csv, r->place.csv, false, &err);
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
    if (rc == CPUU_OK)
        rc = cpuu_log_move(r->place.local_log, r->place.log, true, &err);
    if (rc == CPUU_OK)
        return;
    cpuu_wrap(&err, "the log stays in '%s'", r->place.local_log);
    fail_log(r, CPUU_EXIT_FAILED_TO_COPY_LOG, &err);
}

static uint32_t ended(const cpuu_report *r, cpuu_status a, cpuu_status b)
{
    return r->ended[a] + r->ended[b];
}

static void summarise_totals(cpuu_report *r)
{
    uint32_t failed = 0, done = r->would_be_done;
    for (unsigned i = 0; i < 32; i++) {
        unsigned bits = cpuu_status_exit((cpuu_status)i);
        done += bits == CPUU_EXIT_SUCCESS ? r->ended[i] : 0;
        failed += bits & ~(unsigned)CPUU_EXIT_SUCCESS ? r->ended[i] : 0;
    }
    if (r->profiles == 0 && !r->aborted)
        summarise(r, "No profile was processed.\n");
    if (r->profiles)
        summarise(r, "%u profile%s: %u %s%s, %u failed, %u left alone.\n", r->profiles,
                  r->profiles == 1 ? "" : "s", done, r->settings->dry_run ? "would be " : "",
                  r->settings->mode == CPUU_MODE_UNDO      ? "rolled back"
                  : r->settings->mode == CPUU_MODE_CLEANUP ? "cleaned up"
                                                           : "updated",
                  failed, r->profiles - done - failed);
    if (r->all_links[CPUU_REWRITTEN] + r->all_links[CPUU_KEPT] + r->all_links[CPUU_DROPPED])
        summarise(r, "Links: %u rewritten, %u stay at the source, %u dropped.\n",
                  r->all_links[CPUU_REWRITTEN], r->all_links[CPUU_KEPT],
                  r->all_links[CPUU_DROPPED]);
    if (r->changes)
        summarise(r, "%s: %u, %u of them inferred (a dry run marks each).\n",
                  r->settings->dry_run ? "Values that would be changed" : "Values changed",
                  r->changes, r->inferred);
    if (r->conflicts)
        summarise(r, "Changed by somebody else since, and left as it is: %u.\n", r->conflicts);
    if (r->fd >= 0 &&
        (ended(r, CPUU_PROFILE_MODIFYING_FAILED, CPUU_PROFILE_RESTORE_FAILED) || r->aborted))
        summarise(r, "The log '%s' says what went wrong and what can be done.\n",
                  r->place.log);
}

static void log_summary(cpuu_report *r)
{
    cpuu_buf_u8(&r->summary, 0);
    if (r->summary.failed)
        return;
    char *text = (char *)r->summary.data;
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        log_line(r, CPUU_LV_INFO, line);
        *end = '\n';
    }
    cpuu_terminal_text(&r->terminal, text);
}

static void write_json(cpuu_report *r, int status)
{
    cpuu_error err = CPUU_ERROR_INIT;
    const cpuu_json_end end = {r->mask, status, r->settings->posix_exit, r->place.log,
                               r->place.csv};
    if (r->json && cpuu_json_write(r->json, r->settings->json_file, &end, &err) != CPUU_OK)
        fail_log(r, CPUU_EXIT_FAILED_TO_WRITE_LOG, &err);
}

static int exit_status(const cpuu_report *r)
{
    if (r->lists_only && !r->mask && !r->aborted)
        return 0;
    return cpuu_exit_status(r->mask, r->settings->posix_exit, !r->aborted);
}

static void free_report(cpuu_report *r)
{
    if (r->fd >= 0)
        close(r->fd);
    cpuu_json_free(r->json);
    cpuu_log_place_free(&r->place);
    cpuu_buf_free(&r->csv);
    cpuu_buf_free(&r->summary);
    cpuu_buf_free(&r->features);
    cpuu_buf_free(&r->idle);
    cpuu_free(r->profile);
    cpuu_free(r->hive);
    cpuu_free(r->feature);
    cpuu_free(r);
}

static void mask_line(const cpuu_report *r, char out[512])
{
    char words[400];
    cpuu_exit_words(r->mask, words, sizeof(words));
    snprintf(out, 512, "cpuu: exit mask %u (%s%s)", r->mask, words,
             r->mask || r->aborted ? "" : ": nothing to do");
}

int cpuu_report_close(cpuu_report *r)
{
    char line[512];
    if (!r->lists_only) {
        summarise_totals(r);
        log_summary(r);
        write_csv(r);
        mask_line(r, line);
        log_line(r, CPUU_LV_INFO, line);
        move_logs(r);
    }
    write_json(r, exit_status(r));
    int status = exit_status(r);
    mask_line(r, line); /* moving and writing may have added to it */
    if (!r->lists_only)
        cpuu_terminal_last_line(&r->terminal, line);
    free_report(r);
    return status;
}
