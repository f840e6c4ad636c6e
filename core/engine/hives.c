#include "engine/hives.h"

#include "base/file.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 16

static cpuu_rc add(cpuu_hives *h, const char *path, cpuu_error *err)
{
    if (!cpuu_grow(&h->paths, &h->cap, h->count, sizeof(*h->paths)))
        return cpuu_nomem(err);
    char *copy = cpuu_arena_strdup(&h->arena, path);
    if (!copy)
        return cpuu_nomem(err);
    h->paths[h->count++] = copy;
    return CPUU_OK;
}

static cpuu_rc walk(cpuu_hives *h, const char *folder, unsigned depth, cpuu_log *log,
                    cpuu_error *err);

static cpuu_rc visit(cpuu_hives *h, const char *folder, const char *name, unsigned depth,
                     cpuu_log *log, cpuu_error *err)
{
    struct stat st;
    cpuu_rc rc = CPUU_OK;
    char *path = cpuu_path_join(folder, name);
    if (!path)
        return cpuu_nomem(err);
    if (lstat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode) && depth < MAX_DEPTH)
            rc = walk(h, path, depth + 1, log, err);
        else if (S_ISREG(st.st_mode) && cpuu_caseeq(name, "NTUSER.DAT"))
            rc = add(h, path, err);
    }
    cpuu_free(path);
    return rc;
}

static cpuu_rc walk(cpuu_hives *h, const char *folder, unsigned depth, cpuu_log *log,
                    cpuu_error *err)
{
    DIR *d = opendir(folder);
    if (!d) {
        /* One that was named is as wrong as a hive that is not there; one below it is passed over. */
        h->unreadable += depth == 0;
        cpuu_logf(log, depth == 0 ? CPUU_LV_ERROR : CPUU_LV_WARNING,
                  "Cannot look for hives in '%s': %s", folder, strerror(errno));
        return CPUU_OK;
    }
    cpuu_rc rc = CPUU_OK;
    for (struct dirent *e; rc == CPUU_OK && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            rc = visit(h, folder, e->d_name, depth, log, err);
    }
    closedir(d);
    return rc;
}

static int by_path(const void *a, const void *b)
{
    const char *const *p = a, *const *q = b;
    return strcmp(*p, *q);
}

cpuu_rc cpuu_hives_find(const cpuu_settings *s, cpuu_log *log, cpuu_hives *out, cpuu_error *err)
{
    memset(out, 0, sizeof(*out));
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; rc == CPUU_OK && i < s->hives.count; i++)
        rc = add(out, s->hives.items[i], err);
    for (size_t i = 0; rc == CPUU_OK && i < s->hive_dirs.count; i++)
        rc = walk(out, s->hive_dirs.items[i], 0, log, err);
    if (rc != CPUU_OK) {
        cpuu_hives_free(out);
        return rc;
    }
    if (out->count)
        qsort(out->paths, out->count, sizeof(*out->paths), by_path);
    size_t kept = 0;
    for (size_t i = 0; i < out->count; i++) {
        if (i == 0 || strcmp(out->paths[i], out->paths[kept - 1]) != 0)
            out->paths[kept++] = out->paths[i];
    }
    out->count = kept;
    return CPUU_OK;
}

void cpuu_hives_free(cpuu_hives *h)
{
    cpuu_free(h->paths);
    cpuu_arena_free(&h->arena);
    memset(h, 0, sizeof(*h));
}
