/*
 * Local files and private notes. A file is journalled whole, flushed, then replaced atomically, at
 * the moment the feature writes it. In a dry run both stay in memory, visible to later reads.
 */
#include "features/private.h"

#include "base/file.h"

#include <cpuu/formats/bytes.h>

#include <stdio.h>
#include <string.h>

#define MAX_FILE (64u << 20)
#define MAX_NOTE (64u << 10)

static cpuu_rc failed(cpuu_run *run, cpuu_rc rc, const char *what, const char *name)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_fail(&err, rc, "%s: '%s'", what, name ? name : "");
    return cpuu_run_problem(run, &err);
}

static cpuu_rc bug(cpuu_run *run, const char *what)
{
    run->bug = what;
    return failed(run, CPUU_E_UNDECLARED, what, run->f->name);
}

/* ---- what a dry run has written -------------------------------------------------------------- */

static cpuu_overlay *find(cpuu_overlay *list, const char *key)
{
    while (list && strcmp(list->key, key) != 0)
        list = list->next;
    return list;
}

static cpuu_rc remember(cpuu_reading *s, const char *key, const cpuu_blob *data, cpuu_error *err)
{
    uint8_t *copy = cpuu_memdup(data ? data->data : NULL, data ? data->size : 0);
    cpuu_overlay *o = find(s->overlays, key);
    if (!o && copy && (o = cpuu_calloc(1, sizeof(*o)))) {
        o->key = cpuu_strdup(key);
        if (!o->key) {
            cpuu_free(o);
            o = NULL;
        } else {
            o->next = s->overlays;
            s->overlays = o;
        }
    }
    if (!o || !copy) {
        cpuu_free(copy);
        return cpuu_nomem(err);
    }
    cpuu_free(o->data);
    o->data = copy;
    o->size = data ? data->size : 0;
    o->present = data != NULL;
    return CPUU_OK;
}

static cpuu_rc give(cpuu_run *run, const void *data, size_t size, cpuu_blob *out)
{
    uint8_t *copy = cpuu_arena_dup(&run->arena, data, size);
    if (!copy)
        return CPUU_E_NOMEM;
    *out = (cpuu_blob){copy, (uint32_t)size};
    return CPUU_OK;
}

/* ---- files ----------------------------------------------------------------------------------- */

static bool name_ok(const char *name)
{
    const size_t n = name ? strnlen(name, 256) : 0;
    return n > 0 && n < 256 && !strpbrk(name, "/\\:*?\"<>|") && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0 && cpuu_utf8_valid(name, n);
}

/* Path of a file of the user, found without regard to case. A missing file still has a path. */
static cpuu_rc locate(cpuu_run *run, uint32_t dir, const char *name, char **path, cpuu_error *err)
{
    const char *folder = dir == CPUU_DIR_ROAMING ? run->w->roaming_dir
                         : dir == CPUU_DIR_LOCAL ? run->w->local_dir
                                                 : NULL;
    if (!name_ok(name) || (dir != CPUU_DIR_ROAMING && dir != CPUU_DIR_LOCAL))
        return cpuu_fail(err, CPUU_E_UNSUPPORTED, "'%s' is not the plain name of a file",
                         name ? name : "");
    if (!folder)
        return cpuu_fail(err, CPUU_E_NOTFOUND, "the folder of '%s' cannot be reached", name);
    *path = NULL;
    cpuu_rc rc = cpuu_path_nocase(folder, name, path, err);
    return rc == CPUU_E_NOTFOUND && *path ? CPUU_OK : rc;
}

cpuu_rc CPUU_CALL cpuu_service_file_read(cpuu_run *run, uint32_t dir, const char *name,
                                         cpuu_blob *out)
{
    cpuu_error err = CPUU_ERROR_INIT;
    char *path = NULL;
    cpuu_rc rc = cpuu_run_beat(run);
    if (rc < 0)
        return rc;
    if (!(run->needs & CPUU_NEED_FILES))
        return bug(run, "it reads files, which `needs` does not declare");
    rc = locate(run, dir, name, &path, &err);
    if (rc == CPUU_E_UNSUPPORTED && name && *name)
        err.rc = CPUU_E_NOTFOUND; /* a profile may be called "a/b"; no file of Outlook can */
    if (rc < 0)
        return cpuu_run_problem(run, &err);
    const cpuu_overlay *o = find(run->s->overlays, path);
    cpuu_buf data;
    cpuu_buf_init(&data, MAX_FILE);
    if (o)
        rc = o->present ? give(run, o->data, o->size, out)
                        : cpuu_fail(&err, CPUU_E_NOTFOUND, "'%s' does not exist", path);
    else if ((rc = cpuu_file_read(path, &data, NULL, &err)) == CPUU_OK)
        rc = give(run, data.data, data.size, out);
    cpuu_buf_free(&data);
    cpuu_free(path);
    return rc < 0 && err.rc ? cpuu_run_problem(run, &err) : rc;
}

static cpuu_rc keep_file(cpuu_run *run, const char *path, bool had, size_t before,
                         const cpuu_blob *after, cpuu_error *err)
{
    cpuu_written_file *w = cpuu_arena_alloc(&run->arena, sizeof(*w));
    const char *copy = w ? cpuu_arena_strdup(&run->arena, path) : NULL;
    if (!copy)
        return cpuu_nomem(err);
    *w = (cpuu_written_file){.path = copy, .had = had, .has = after != NULL, .next = run->written};
    snprintf(w->before, sizeof(w->before), "%zu bytes", before);
    snprintf(w->after, sizeof(w->after), "%u bytes", after ? after->size : 0);
    run->written = w;
    run->n_changes++;
    return CPUU_OK;
}

void cpuu_run_tell_files(cpuu_run *run)
{
    for (const cpuu_written_file *w = run->written; w; w = w->next)
        cpuu_report_change(run->w->report, w->path, "(file)", w->had ? w->before : NULL,
                           w->has ? w->after : NULL, ' ');
    run->written = NULL;
}

/* Old contents into the journal, flushed; then the file; then what became of it. */
static cpuu_rc write_file(cpuu_run *run, const char *path, bool had, const cpuu_buf *before,
                          const cpuu_blob *after, cpuu_error *err)
{
    cpuu_journal *j = run->w->journal;
    cpuu_record rec = {.span = run->span,
                       .kind = CPUU_RECORD_FILE,
                       .status = CPUU_RECORD_SENT,
                       .path = path,
                       .title = cpuu_path_base(path),
                       .before = {before->data, (uint32_t)before->size},
                       .has_before = had,
                       .has_after = after != NULL};
    if (after)
        rec.after = *after;
    cpuu_rc rc = j ? cpuu_journal_add(j, &rec, err)
                   : cpuu_fail(err, CPUU_E_FAILED, "there is no journal to write to");
    if (rc == CPUU_OK)
        rc = cpuu_journal_flush(j, err);
    if (rc < 0) {
        run->broken = true;
        return rc;
    }
    rc = after ? cpuu_file_write(path, after->data, after->size, 0600, err)
               : cpuu_file_delete(path, err);
    if (rc < 0)
        return rc; /* the record stays "sent": replay looks at the file */
    rc = cpuu_journal_mark(j, rec.seq, CPUU_RECORD_DONE, NULL, err);
    run->broken = run->broken || rc < 0;
    return rc;
}

static cpuu_rc replace(cpuu_run *run, const char *path, const cpuu_blob *data, cpuu_error *err)
{
    cpuu_buf before;
    cpuu_buf_init(&before, MAX_FILE);
    const cpuu_overlay *o = find(run->s->overlays, path);
    cpuu_rc rc = CPUU_OK;
    bool had;
    if (o) {
        had = o->present;
        cpuu_buf_add(&before, o->data, o->size);
    } else {
        rc = cpuu_file_read(path, &before, NULL, err);
        had = rc == CPUU_OK;
    }
    const size_t size = before.size;
    if (rc == CPUU_OK || rc == CPUU_E_NOTFOUND) {
        const bool same = had == (data != NULL) &&
                          (!had || (size == data->size &&
                                    (size == 0 || memcmp(before.data, data->data, size) == 0)));
        if (same)
            rc = CPUU_OK;
        else
            rc = run->w->dry_run ? remember(run->s, path, data, err)
                                 : write_file(run, path, had, &before, data, err);
        if (rc == CPUU_OK && !same)
            rc = keep_file(run, path, had, size, data, err);
    }
    cpuu_buf_free(&before);
    return rc;
}

cpuu_rc CPUU_CALL cpuu_service_file_write(cpuu_run *run, uint32_t dir, const char *name,
                                          const cpuu_blob *data)
{
    cpuu_error err = CPUU_ERROR_INIT;
    char *path = NULL;
    cpuu_rc rc = cpuu_run_beat(run);
    if (rc < 0)
        return rc;
    if (!(run->needs & CPUU_NEED_FILES_WRITE))
        return bug(run, "it writes files, which `needs` does not declare");
    if (run->verb != CPUU_VERB_UPDATE && run->verb != CPUU_VERB_SKIP)
        return bug(run, "only update() and skip() may change anything");
    if (data && data->size > MAX_FILE)
        return failed(run, CPUU_E_TOOBIG, "a file may have at most 64 MiB", name);
    /* Files are written at once, so that whoever writes one cannot wait for others. */
    rc = cpuu_batch_before(run);
    run->alone = true;
    if (rc == CPUU_OK)
        rc = locate(run, dir, name, &path, &err);
    if (rc == CPUU_OK)
        rc = replace(run, path, data, &err);
    cpuu_free(path);
    return rc < 0 && err.rc ? cpuu_run_problem(run, &err) : rc;
}

/* ---- notes ----------------------------------------------------------------------------------- */

static char *note_key(const cpuu_run *run, const char *key)
{
    return cpuu_asprintf("note:%s:%s", run->f->name, key);
}

cpuu_rc CPUU_CALL cpuu_service_note_put(cpuu_run *run, const char *key, cpuu_blob value)
{
    cpuu_error err = CPUU_ERROR_INIT;
    if (cpuu_run_is_over(run))
        return CPUU_E_UNDECLARED;
    if (!key || !*key || strlen(key) > 255 || value.size > MAX_NOTE)
        return failed(run, CPUU_E_TOOBIG,
                      "a note has a key of at most 255 bytes and at most 64 KiB", key);
    if (run->verb == CPUU_VERB_CHECK)
        return bug(run, "check() may not write notes");
    char *name = note_key(run, key);
    cpuu_rc rc = name ? CPUU_OK : cpuu_nomem(&err);
    if (rc == CPUU_OK && run->w->journal && !run->w->dry_run) {
        rc = cpuu_journal_put(run->w->journal, name, value.data, value.size, &err);
        run->broken = run->broken || rc < 0;
    } else if (rc == CPUU_OK) {
        rc = remember(run->s, name, &value, &err);
    }
    cpuu_free(name);
    return rc < 0 ? cpuu_run_problem(run, &err) : rc;
}

cpuu_rc CPUU_CALL cpuu_service_note_get(cpuu_run *run, const char *key, cpuu_blob *out)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_buf b;
    if (cpuu_run_is_over(run))
        return CPUU_E_UNDECLARED;
    char *name = key ? note_key(run, key) : NULL;
    if (!name)
        return CPUU_E_NOMEM;
    const cpuu_overlay *o = find(run->s->overlays, name);
    cpuu_buf_init(&b, MAX_NOTE);
    cpuu_rc rc = CPUU_E_NOTFOUND;
    if (o)
        rc = give(run, o->data, o->size, out);
    else if (run->w->journal)
        rc = cpuu_journal_get(run->w->journal, name, &b, &err);
    if (rc == CPUU_OK && !o)
        rc = give(run, b.data, b.size, out);
    cpuu_buf_free(&b);
    cpuu_free(name);
    return rc;
}
