/*
 * The JSON report, described in cpuu-json(5). The one user of jansson. Links and changes, of which there
 * can be a hundred thousand, wait in a temporary file; everything else is kept in memory.
 */
#include "config.h"

#include "report/private.h"

#include "base/clock.h"
#include "base/file.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct cpuu_json {
    json_t *root;
    json_t *profiles;
    json_t *messages;
    json_t *profile; /* the current one; borrowed from profiles */
    json_t *feature; /* the current one; borrowed from the profile */
    json_t *totals;
    FILE *spool;      /* elements of long arrays, one in a line; without a name, made when needed */
    long spool_size;
    bool failed;      /* out of memory, or of disk, at some point */
};

/* ---- helpers --------------------------------------------------------------------------------- */

static void *allocate(size_t n)
{
    return cpuu_realloc(NULL, n);
}

/* Text is UTF-8 by contract; what is not has its bytes above 0x7f replaced. */
static json_t *string(const char *text)
{
    if (!text)
        return json_null();
    size_t n = strlen(text);
    if (cpuu_utf8_valid(text, n))
        return json_stringn(text, n);
    char *copy = cpuu_strndup(text, n);
    for (char *p = copy; p && *p; p++) {
        if (*p & 0x80)
            *p = '?';
    }
    json_t *value = copy ? json_string(copy) : NULL;
    cpuu_free(copy);
    return value;
}

/* Steals value, also on failure, which is remembered. Object and value may be NULL: that is one. */
static void put(cpuu_json *j, json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0)
        j->failed = true;
}

static void put_text(cpuu_json *j, json_t *object, const char *key, const char *text)
{
    put(j, object, key, string(text));
}

/* Appends a new object to an array; borrowed, NULL on failure. */
static json_t *append(cpuu_json *j, json_t *array)
{
    json_t *object = json_object();
    if (json_array_append_new(array, object) == 0)
        return object;
    j->failed = true;
    return NULL;
}

/* The array of that name, made when missing; borrowed. */
static json_t *array_in(cpuu_json *j, json_t *object, const char *key)
{
    if (!object) {
        j->failed = true;
        return NULL;
    }
    if (!json_object_get(object, key))
        put(j, object, key, json_array());
    return json_object_get(object, key);
}

/* Extends the last piece of a spooled array, or begins one: the array holds start and end of each. */
static void add_piece(cpuu_json *j, json_t *array, long start, long end)
{
    const size_t n = json_array_size(array);
    json_t *last = n ? json_array_get(array, n - 1) : NULL;
    if (last && json_integer_value(last) == start) {
        if (json_integer_set(last, end) != 0)
            j->failed = true;
    } else if (json_array_append_new(array, json_integer(start)) != 0 ||
               json_array_append_new(array, json_integer(end)) != 0) {
        j->failed = true;
    }
}

/* Steals the element. */
static void append_spooled(cpuu_json *j, json_t *array, json_t *element)
{
    char *text = j->failed ? NULL : json_dumps(element, 0);
    json_decref(element);
    if (text && !j->spool)
        j->spool = tmpfile();
    if (!text || !j->spool || fputs(text, j->spool) < 0 || fputc('\n', j->spool) < 0) {
        j->failed = true;
    } else {
        const long end = j->spool_size + (long)strlen(text) + 1;
        add_piece(j, array, j->spool_size, end);
        j->spool_size = end;
    }
    cpuu_free(text);
}

static void count(cpuu_json *j, const char *group, const char *word)
{
    json_t *object = json_object_get(j->totals, group);
    if (!object) {
        put(j, j->totals, group, json_object());
        object = json_object_get(j->totals, group);
    }
    json_int_t n = json_integer_value(json_object_get(object, word));
    put(j, object, word, json_integer(n + 1));
}

static void put_status(cpuu_json *j, json_t *object, const char *key, cpuu_status status)
{
    json_t *pair = json_object();
    put(j, pair, "code", json_integer((json_int_t)status));
    put_text(j, pair, "name", cpuu_status_name(status));
    put(j, object, key, pair);
}

/* ---- the run --------------------------------------------------------------------------------- */

static const char *mode_word(cpuu_mode mode)
{
    switch (mode) {
    case CPUU_MODE_UPDATE:
        return "update";
    case CPUU_MODE_UNDO:
        return "undo";
    case CPUU_MODE_CLEANUP:
        return "cleanup";
    case CPUU_MODE_LIST_PROFILES:
        return "list-profiles";
    case CPUU_MODE_LIST_FEATURES:
        return "list-features";
    default:
        return "other";
    }
}

static void put_run(cpuu_json *j, const cpuu_settings *s, const char *host)
{
    char started[21];
    cpuu_clock_iso(started, cpuu_clock_now());
    json_t *run = json_object();
    put_text(j, run, "version", PACKAGE_VERSION);
    put_text(j, run, "mode", mode_word(s->mode));
    put(j, run, "dry_run", json_boolean(s->dry_run));
    put_text(j, run, "host", host);
    put(j, run, "pid", json_integer((json_int_t)getpid()));
    put_text(j, run, "started", started);
    put_text(j, run, "ini", s->ini_file);
    put(j, j->root, "run", run);
}

cpuu_json *cpuu_json_new(const cpuu_settings *s, const char *host)
{
    json_set_alloc_funcs(allocate, cpuu_free);
    cpuu_json *j = cpuu_calloc(1, sizeof(*j));
    if (!j)
        return NULL;
    j->root = json_object();
    put_text(j, j->root, "format", "cpuu-report");
    put(j, j->root, "format_version", json_integer(1));
    put_run(j, s, host);
    j->profiles = array_in(j, j->root, "profiles");
    j->messages = array_in(j, j->root, "messages");
    put(j, j->root, "totals", json_object());
    j->totals = json_object_get(j->root, "totals");
    if (j->failed) {
        cpuu_json_free(j);
        return NULL;
    }
    return j;
}

void cpuu_json_free(cpuu_json *j)
{
    if (!j)
        return;
    json_decref(j->root);
    if (j->spool)
        fclose(j->spool);
    cpuu_free(j);
}

void cpuu_json_message(cpuu_json *j, cpuu_level level, const char *text)
{
    if (!j || level > CPUU_LV_WARNING)
        return;
    json_t *m = append(j, j->messages);
    put_text(j, m, "level", level == CPUU_LV_ERROR ? "error" : "warning");
    put_text(j, m, "text", text);
}

/* ---- profiles and features ------------------------------------------------------------------- */

void cpuu_json_profile_begin(cpuu_json *j, const char *hive, const char *name, cpuu_status previous)
{
    if (!j)
        return;
    j->profile = append(j, j->profiles);
    j->feature = NULL;
    put_text(j, j->profile, "hive", hive);
    put_text(j, j->profile, "name", name);
    put_status(j, j->profile, "previous", previous);
    put(j, j->profile, "facts", json_object());
    array_in(j, j->profile, "features");
    array_in(j, j->profile, "changes");
    array_in(j, j->profile, "conflicts");
}

void cpuu_json_profile_end(cpuu_json *j, cpuu_status status, const char *message)
{
    if (!j)
        return;
    put_status(j, j->profile, "status", status);
    put_text(j, j->profile, "message", message);
    count(j, "profiles", cpuu_status_name(status));
    j->profile = NULL;
    j->feature = NULL;
}

void cpuu_json_fact(cpuu_json *j, const char *name, const char *value)
{
    if (!j)
        return;
    json_t *owner = j->profile ? j->profile : json_object_get(j->root, "run");
    if (!json_object_get(owner, "facts"))
        put(j, owner, "facts", json_object());
    put_text(j, json_object_get(owner, "facts"), name, value);
}

void cpuu_json_feature_begin(cpuu_json *j, const char *name)
{
    if (!j)
        return;
    j->feature = append(j, array_in(j, j->profile, "features"));
    put_text(j, j->feature, "name", name);
    array_in(j, j->feature, "links");
}

void cpuu_json_feature_end(cpuu_json *j, cpuu_feature_state state, const char *message)
{
    if (!j)
        return;
    put_text(j, j->feature, "state", cpuu_feature_state_word(state));
    put_text(j, j->feature, "message", message);
    count(j, "features", cpuu_feature_state_word(state));
    j->feature = NULL;
}

void cpuu_json_link(cpuu_json *j, uint32_t outcome, uint32_t reason, const char *title,
                    const char *before, const char *after)
{
    if (!j)
        return;
    json_t *link = json_object();
    put_text(j, link, "title", title);
    put_text(j, link, "outcome", cpuu_outcome_word(outcome));
    put_text(j, link, "reason", cpuu_reason_word(reason));
    put_text(j, link, "before", before);
    put_text(j, link, "after", after);
    append_spooled(j, array_in(j, j->feature ? j->feature : j->profile, "links"), link);
    count(j, "links", cpuu_outcome_word(outcome));
}

void cpuu_json_change(cpuu_json *j, const char *where, const char *name, const char *before,
                      const char *after, char mark)
{
    if (!j)
        return;
    json_t *change = json_object();
    put_text(j, change, "feature", json_string_value(json_object_get(j->feature, "name")));
    put_text(j, change, "where", where);
    put_text(j, change, "name", name);
    put_text(j, change, "before", before);
    put_text(j, change, "after", after);
    put_text(j, change, "mark", cpuu_mark_word(mark));
    append_spooled(j, array_in(j, j->profile, "changes"), change);
    count(j, "changes", cpuu_mark_word(mark));
}

void cpuu_json_conflict(cpuu_json *j, const char *where, const char *what)
{
    if (!j)
        return;
    json_t *conflict = append(j, array_in(j, j->profile, "conflicts"));
    put_text(j, conflict, "where", where);
    put_text(j, conflict, "what", what);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void put_end(cpuu_json *j, const cpuu_json_end *end)
{
    char finished[21], words[400];
    cpuu_clock_iso(finished, cpuu_clock_now());
    cpuu_exit_words(end->mask, words, sizeof(words));
    json_t *run = json_object_get(j->root, "run");
    put_text(j, run, "finished", finished);
    put_text(j, run, "log", end->log);
    put_text(j, run, "csv", end->csv);
    json_t *exit = json_object();
    put(j, exit, "mask", json_integer((json_int_t)end->mask));
    put(j, exit, "words", json_array());
    for (char *p = words; *p;) {
        size_t n = strcspn(p, " ");
        if (json_array_append_new(json_object_get(exit, "words"), json_stringn(p, n)) != 0)
            j->failed = true;
        p += n + strspn(p + n, " ");
    }
    put(j, exit, "status", json_integer(end->status));
    put_text(j, exit, "style", end->posix_style ? "posix" : "guide");
    put(j, j->root, "exit", exit);
}

#define OUT_BYTES 65536u

typedef struct output {
    cpuu_json *j;
    cpuu_replace *file; /* NULL = standard output */
    char bytes[OUT_BYTES];
    size_t n;
    cpuu_rc rc;
    cpuu_error *err;
} output;

static void out_flush(output *o)
{
    if (o->rc == CPUU_OK && o->file)
        o->rc = cpuu_replace_write(o->file, o->bytes, o->n, o->err);
    else if (o->rc == CPUU_OK && fwrite(o->bytes, 1, o->n, stdout) != o->n)
        o->rc = cpuu_fail(o->err, CPUU_E_IO,
                          "the JSON report cannot be written to standard output");
    o->n = 0;
}

static void out_char(output *o, int c)
{
    if (o->n == OUT_BYTES)
        out_flush(o);
    o->bytes[o->n++] = (char)c;
}

static void out_text(output *o, const char *text)
{
    while (*text)
        out_char(o, *text++);
}

static void out_line(output *o, unsigned depth)
{
    out_char(o, '\n');
    for (unsigned i = 0; i < 2 * depth; i++)
        out_char(o, ' ');
}

static void out_scalar(output *o, const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY);
    if (text)
        out_text(o, text);
    else if (o->rc == CPUU_OK)
        o->rc = cpuu_nomem(o->err);
    cpuu_free(text);
}

/* The lines of the pieces, with commas between them. */
static void out_spooled(output *o, const json_t *array, unsigned depth)
{
    bool between = false;
    for (size_t i = 0; i + 1 < json_array_size(array) && o->rc == CPUU_OK; i += 2) {
        const long start = (long)json_integer_value(json_array_get(array, i));
        const long end = (long)json_integer_value(json_array_get(array, i + 1));
        int c = 0;
        if (fseek(o->j->spool, start, SEEK_SET) != 0)
            c = EOF;
        for (long at = start; at < end && c != EOF; at++) {
            if (at == start || c == '\n') {
                if (between)
                    out_char(o, ',');
                out_line(o, depth + 1);
                between = true;
            }
            c = fgetc(o->j->spool);
            if (c != '\n' && c != EOF)
                out_char(o, c);
        }
        if (c == EOF && o->rc == CPUU_OK)
            o->rc = cpuu_fail(o->err, CPUU_E_IO, "the JSON report cannot be put together: "
                                                 "its temporary file cannot be read");
    }
}

static void out_value(output *o, json_t *value, unsigned depth);

static void out_array(output *o, json_t *array, unsigned depth)
{
    const size_t n = json_array_size(array);
    out_char(o, '[');
    if (json_is_integer(json_array_get(array, 0))) { /* only pieces are integers */
        out_spooled(o, array, depth);
    } else {
        for (size_t i = 0; i < n; i++) {
            if (i)
                out_char(o, ',');
            out_line(o, depth + 1);
            out_value(o, json_array_get(array, i), depth + 1);
        }
    }
    if (n)
        out_line(o, depth);
    out_char(o, ']');
}

static void out_object(output *o, json_t *object, unsigned depth)
{
    const char *key;
    json_t *value;
    bool between = false;
    out_char(o, '{');
    json_object_foreach(object, key, value)
    {
        json_t *name = json_string(key);
        if (between)
            out_char(o, ',');
        between = true;
        out_line(o, depth + 1);
        out_scalar(o, name);
        out_text(o, ": ");
        out_value(o, value, depth + 1);
        json_decref(name);
    }
    if (between)
        out_line(o, depth);
    out_char(o, '}');
}

static void out_value(output *o, json_t *value, unsigned depth)
{
    if (json_is_object(value))
        out_object(o, value, depth);
    else if (json_is_array(value))
        out_array(o, value, depth);
    else
        out_scalar(o, value);
}

/* Everything, to the file or to standard output. */
static cpuu_rc out_all(cpuu_json *j, cpuu_replace *file, cpuu_error *err)
{
    output *o = cpuu_calloc(1, sizeof(*o));
    if (!o)
        return cpuu_nomem(err);
    o->j = j;
    o->file = file;
    o->err = err;
    out_value(o, j->root, 0);
    if (!file)
        out_char(o, '\n');
    out_flush(o);
    cpuu_rc rc = o->rc;
    if (rc == CPUU_OK && !file && fflush(stdout) != 0)
        rc = cpuu_fail(err, CPUU_E_IO, "the JSON report cannot be written to standard output");
    cpuu_free(o);
    return rc;
}

cpuu_rc cpuu_json_write(cpuu_json *j, const char *path, const cpuu_json_end *end, cpuu_error *err)
{
    static const cpuu_replace_points points = {"file.write", "file.flush", "file.rename",
                                               "file.dirsync"};
    cpuu_replace file;
    put_end(j, end);
    if (j->failed || (j->spool && fflush(j->spool) != 0))
        return cpuu_fail(err, CPUU_E_NOMEM,
                         "the JSON report is not written: out of memory or of room for temporary files");
    if (strcmp(path, "-") == 0)
        return out_all(j, NULL, err);
    cpuu_rc rc = cpuu_replace_begin(&file, path, 0600, &points, err);
    if (rc != CPUU_OK)
        return rc;
    rc = out_all(j, &file, err);
    if (rc == CPUU_OK)
        rc = cpuu_replace_flush(&file, err);
    if (rc == CPUU_OK)
        rc = cpuu_replace_rename(&file, err);
    cpuu_replace_end(&file);
    return rc;
}
