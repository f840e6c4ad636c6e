/* Shared by the files of report/ only. */
#ifndef CPUU_REPORT_PRIVATE_H
#define CPUU_REPORT_PRIVATE_H

#include "report/report.h"

#include <cpuu/formats/bytes.h>

/* ---- name.c: where the log goes ----------------------------------------------------------------
 */

typedef struct cpuu_log_place {
    char *log;       /* final path */
    char *csv;       /* beside it; NULL when the log is a device */
    char *local_log; /* written first and moved at the end; NULL = written directly */
    char *local_csv;
    unsigned exit;    /* bits of what went wrong while choosing */
    bool unreachable; /* a path of Windows (\\server\share) that this system cannot open */
} cpuu_log_place;

/* CPUU_E_NOMEM only; the strings are owned by the caller. */
cpuu_rc cpuu_log_place_choose(const cpuu_settings *s, const char *host, cpuu_log_place *out,
                              cpuu_error *err);
void cpuu_log_place_free(cpuu_log_place *p);
/* True when a folder lies on a network file system. */
bool cpuu_is_remote(const char *folder);

/* ---- move.c ------------------------------------------------------------------------------------
 */

/* Opens a log for appending: a regular file with one name, or a character device. -1 on failure. */
int cpuu_log_open(const char *path, cpuu_error *err);
/* Creates or replaces a small file: atomically, or, in a folder that may be written to but not
 * read, in place. */
cpuu_rc cpuu_log_replace(const char *path, const void *data, size_t size, cpuu_error *err);
/* Copies a file to its place (at the end of what is there, or instead of it), flushes, compares and
 * then deletes the local one. On failure the local file stays. */
cpuu_rc cpuu_log_move(const char *local, const char *remote, bool append, cpuu_error *err);

/* ---- json.c: the one user of jansson -----------------------------------------------------------
 */

typedef struct cpuu_json cpuu_json;

typedef struct cpuu_json_end { /* what is known at the end of a run */
    unsigned mask;
    int status;
    bool posix_style;
    const char *log, *csv; /* may be NULL */
} cpuu_json_end;

/* NULL when out of memory. What fails later is remembered, and cpuu_json_write() then refuses. */
cpuu_json *cpuu_json_new(const cpuu_settings *s, const char *host);
void cpuu_json_free(cpuu_json *j);
/* All of these accept j == NULL, and do nothing. Strings are copied; NULL becomes null. */
void cpuu_json_message(cpuu_json *j, cpuu_level level, const char *text);
void cpuu_json_profile_begin(cpuu_json *j, const char *hive, const char *name,
                             cpuu_status previous);
void cpuu_json_profile_end(cpuu_json *j, cpuu_status status, const char *message);
void cpuu_json_fact(cpuu_json *j, const char *name, const char *value);
void cpuu_json_feature_begin(cpuu_json *j, const char *name);
void cpuu_json_feature_end(cpuu_json *j, cpuu_feature_state state, const char *message);
void cpuu_json_link(cpuu_json *j, uint32_t outcome, uint32_t reason, const char *title,
                    const char *before, const char *after);
void cpuu_json_change(cpuu_json *j, const char *where, const char *name, const char *before,
                      const char *after, char mark);
void cpuu_json_conflict(cpuu_json *j, const char *where, const char *what);
/* Writes the file, or standard output for "-". */
cpuu_rc cpuu_json_write(cpuu_json *j, const char *path, const cpuu_json_end *end, cpuu_error *err);

/* ---- terminal.c --------------------------------------------------------------------------------
 */

typedef struct cpuu_terminal {
    bool quiet; /* errors only */
    bool verbose;
    bool json_on_stdout; /* then nothing else may go there */
    bool shows_progress; /* stderr is a terminal */
    bool progress_shown;
    int64_t last_progress; /* ms */
} cpuu_terminal;

void cpuu_terminal_init(cpuu_terminal *t, const cpuu_settings *s);
void cpuu_terminal_message(cpuu_terminal *t, cpuu_level level, const char *text);
void cpuu_terminal_progress(cpuu_terminal *t, const char *what, uint32_t done, uint32_t total);
/* A block of text for a person; may be empty. */
void cpuu_terminal_text(cpuu_terminal *t, const char *text);
void cpuu_terminal_last_line(cpuu_terminal *t, const char *text);

#endif
