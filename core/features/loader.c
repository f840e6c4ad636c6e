/*
 * Loading plugins; the one user of libltdl. Every plugin of the folder is opened with immediate
 * binding, asked for its constant data, and checked as far as data can be; then all features are
 * put in the order of their dependencies. Plugins stay loaded until the process ends.
 */
#include "features/private.h"

#include "base/file.h"
#include "base/text.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <ltdl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUFFIX ".so"

typedef struct loaded {
    const cpuu_feature *feature;
    const cpuu_plugin *plugin;
    const char *file; /* in the arena */
} loaded;

struct cpuu_plugins {
    loaded *items; /* in dependency order */
    const char **names;
    size_t count, cap;
    cpuu_arena arena;
    cpuu_log *log;
};

/* ---- libltdl --------------------------------------------------------------------------------- */

/* libltdl's own loader binds lazily: a missing function would be found in the middle of an update,
 * and end the process. It is replaced by this one. */
static lt_module open_now(lt_user_data data, const char *file, lt_dladvise advise)
{
    (void)data;
    (void)advise;
    return file ? dlopen(file, RTLD_NOW | RTLD_LOCAL) : NULL;
}

static int keep_open(lt_user_data data, lt_module module)
{
    (void)data;
    (void)module;
    return 0;
}

static void *find_symbol(lt_user_data data, lt_module module, const char *name)
{
    (void)data;
    return dlsym(module, name);
}

static const lt_dlvtable NOW = {
    .name = "cpuu_now",
    .module_open = open_now,
    .module_close = keep_open,
    .find_sym = find_symbol,
    .priority = LT_DLLOADER_PREPEND,
};

static cpuu_rc start_libltdl(cpuu_error *err)
{
    if (lt_dlinit() != 0)
        return cpuu_fail(err, CPUU_E_FAILED, "cannot start the plugin loader: %s", lt_dlerror());
    if (lt_dlloader_find(NOW.name))
        return CPUU_OK;
    free(lt_dlloader_remove("lt_dlopen")); /* or it would be tried, lazily, after ours refused */
    if (lt_dlloader_add(&NOW) != 0)
        return cpuu_fail(err, CPUU_E_FAILED, "cannot start the plugin loader: %s", lt_dlerror());
    return CPUU_OK;
}

/* libltdl says "file not found" whatever went wrong; the system knows better. */
static cpuu_rc open_failed(const char *path, cpuu_error *err)
{
    void *again = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const char *why = again ? lt_dlerror() : dlerror();
    return cpuu_fail(err, CPUU_E_FAILED, "cannot load plugin '%s': %s", path,
                     why ? why : "no reason");
}

static cpuu_rc query(const char *path, const cpuu_plugin **out, cpuu_error *err)
{
    lt_dlhandle handle = lt_dlopen(path);
    if (!handle)
        return open_failed(path, err);
    lt_dlmakeresident(handle);
    cpuu_plugin_query_fn ask = NULL;
    void *symbol = lt_dlsym(handle, "cpuu_plugin_query");
    if (!symbol)
        return cpuu_fail(
            err, CPUU_E_FORMAT,
            "'%s' is not a plugin: it has no function cpuu_plugin_query; take it out of "
            "the folder",
            path);
    memcpy(&ask, &symbol, sizeof(ask)); /* ISO C has no cast from object to function pointer */
    const cpuu_plugin *p = ask(CPUU_ABI_VERSION);
    if (!p)
        return cpuu_fail(err, CPUU_E_UNSUPPORTED,
                         "plugin '%s' refuses to work with plugin interface %u.%u of this program",
                         path, CPUU_ABI_MAJOR(CPUU_ABI_VERSION), CPUU_ABI_VERSION & 0xffffu);
    *out = p;
    return CPUU_OK;
}

/* ---- what a plugin says about itself --------------------------------------------------------- */

cpuu_rc cpuu_plugin_validate(const cpuu_plugin *p, const char *path, cpuu_error *err)
{
    const char *feature = NULL;
    const char *problem = cpuu_validate_plugin(p, &feature);
    if (!problem)
        return CPUU_OK;
    if (p->size >= CPUU_END_OF(cpuu_plugin, abi) &&
        CPUU_ABI_MAJOR(p->abi) != CPUU_ABI_MAJOR(CPUU_ABI_VERSION))
        return cpuu_fail(
            err, CPUU_E_UNSUPPORTED,
            "plugin '%s' was built for plugin interface %u.%u, this program has %u.%u; get "
            "the plugin for this version",
            path, CPUU_ABI_MAJOR(p->abi), p->abi & 0xffffu, CPUU_ABI_MAJOR(CPUU_ABI_VERSION),
            CPUU_ABI_VERSION & 0xffffu);
    return cpuu_fail(err, CPUU_E_FORMAT, "plugin '%s'%s%s: %s", path, feature ? ", feature " : "",
                     feature ? feature : "", problem);
}

/* ---- the folder ------------------------------------------------------------------------------ */

static cpuu_rc check_owner(const char *path, bool folder, cpuu_error *err)
{
    struct stat st;
    if ((folder ? stat(path, &st) : lstat(path, &st)) != 0)
        return cpuu_fail_errno(err, errno, "cannot open plugin%s '%s'", folder ? " folder" : "",
                               path);
    if (folder ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode))
        return cpuu_fail(err, CPUU_E_ACCESS, "'%s' is not a %s", path,
                         folder ? "folder" : "regular file");
    if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & 022))
        return cpuu_fail(
            err, CPUU_E_ACCESS,
            "'%s' belongs to another user or can be written to by others, so that code from "
            "it is not run; correct its owner and mode (chmod go-w)",
            path);
    return CPUU_OK;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static cpuu_rc list_files(cpuu_plugins *p, const char *dir, char ***out, size_t *n, cpuu_error *err)
{
    DIR *d = opendir(dir);
    if (!d)
        return cpuu_fail_errno(err, errno, "cannot list plugin folder '%s'", dir);
    char **files = NULL;
    size_t count = 0, cap = 0;
    cpuu_rc rc = CPUU_OK;
    for (struct dirent *e; rc == CPUU_OK && (e = readdir(d));) {
        if (e->d_name[0] == '.' || !cpuu_ends_with_nocase(e->d_name, SUFFIX))
            continue;
        char *path = cpuu_path_join(dir, e->d_name);
        if (!path || !cpuu_grow(&files, &cap, count, sizeof(*files)) ||
            !(files[count] = cpuu_arena_strdup(&p->arena, path)))
            rc = cpuu_nomem(err);
        else
            count++;
        cpuu_free(path);
    }
    closedir(d);
    if (rc == CPUU_OK && count)
        qsort(files, count, sizeof(*files), by_text);
    if (rc < 0) {
        cpuu_free(files);
        return rc;
    }
    *out = files;
    *n = count;
    return CPUU_OK;
}

static cpuu_rc add_features(cpuu_plugins *p, const cpuu_plugin *plugin, const char *path,
                            cpuu_error *err)
{
    for (size_t i = 0; plugin->features[i]; i++) {
        const cpuu_feature *f = plugin->features[i];
        for (size_t k = 0; k < p->count; k++) {
            if (cpuu_caseeq(p->items[k].feature->name, f->name))
                return cpuu_fail(err, CPUU_E_EXISTS, "feature %s is in two plugins, '%s' and '%s'",
                                 f->name, p->items[k].file, path);
        }
        if (!cpuu_grow(&p->items, &p->cap, p->count, sizeof(*p->items)))
            return cpuu_nomem(err);
        p->items[p->count++] = (loaded){f, plugin, path};
    }
    return CPUU_OK;
}

/* ---- order ----------------------------------------------------------------------------------- */

static bool known(const cpuu_plugins *p, const char *name)
{
    for (size_t i = 0; i < p->count; i++) {
        if (cpuu_caseeq(p->items[i].feature->name, name))
            return true;
    }
    return false;
}

/* Whether everything that items[at] waits for stands before position `placed`. A feature that is
 * not installed is not waited for. */
static bool ready(const cpuu_plugins *p, size_t at, size_t placed)
{
    const char *const *after = p->items[at].feature->after;
    for (size_t i = 0; after && after[i]; i++) {
        bool found = !known(p, after[i]);
        for (size_t k = 0; k < placed && !found; k++)
            found = cpuu_caseeq(p->items[k].feature->name, after[i]);
        if (!found)
            return false;
    }
    return true;
}

/* By what it declares. */
static bool reads_mailbox(const cpuu_feature *f)
{
    for (uint32_t i = 0; i < f->n_reads; i++) {
        if (cpuu_validate_query_at(f->reads, i).side != CPUU_PROFILE)
            return true;
    }
    return false;
}

/* The first one that is ready; of these, one that reads no mailbox, because the others' answers
 * come meanwhile. p->count: none. */
static size_t next_ready(const cpuu_plugins *p, size_t placed)
{
    size_t first = p->count;
    for (size_t at = placed; at < p->count; at++) {
        if (!ready(p, at, placed))
            continue;
        if (!reads_mailbox(p->items[at].feature))
            return at;
        first = first < p->count ? first : at;
    }
    return first;
}

/* Moves features to their places one by one: stable, whatever the order. */
static cpuu_rc sort_features(cpuu_plugins *p, cpuu_error *err)
{
    for (size_t placed = 0; placed < p->count; placed++) {
        const size_t at = next_ready(p, placed);
        if (at == p->count)
            return cpuu_fail(
                err, CPUU_E_FORMAT,
                "feature %s ('%s') and others wait for each other: their `after` lists form "
                "a circle",
                p->items[placed].feature->name, p->items[placed].file);
        loaded next = p->items[at];
        memmove(&p->items[placed + 1], &p->items[placed], (at - placed) * sizeof(next));
        p->items[placed] = next;
    }
    return CPUU_OK;
}

static cpuu_rc name_features(cpuu_plugins *p, cpuu_error *err)
{
    p->names = cpuu_calloc(p->count + 1, sizeof(*p->names));
    if (!p->names)
        return cpuu_nomem(err);
    for (size_t i = 0; i < p->count; i++)
        p->names[i] = p->items[i].feature->name;
    return CPUU_OK;
}

/* ---- the interface --------------------------------------------------------------------------- */

static cpuu_rc load_all(cpuu_plugins *p, const char *dir, cpuu_error *err)
{
    char **files = NULL;
    size_t n = 0;
    cpuu_rc rc = check_owner(dir, true, err);
    if (rc == CPUU_OK)
        rc = start_libltdl(err);
    if (rc == CPUU_OK)
        rc = list_files(p, dir, &files, &n, err);
    for (size_t i = 0; rc == CPUU_OK && i < n; i++) {
        const cpuu_plugin *plugin = NULL;
        rc = check_owner(files[i], false, err);
        if (rc == CPUU_OK)
            rc = query(files[i], &plugin, err);
        if (rc == CPUU_OK)
            rc = cpuu_plugin_validate(plugin, files[i], err);
        if (rc == CPUU_OK)
            rc = add_features(p, plugin, files[i], err);
        if (rc == CPUU_OK)
            cpuu_logf(p->log, CPUU_LV_TRACE, "Loaded plugin '%s', version %s by %s", files[i],
                      plugin->version, plugin->vendor);
    }
    cpuu_free(files);
    return rc;
}

/* Hands the plugins out in order, or frees them; rc is how loading them went. */
static cpuu_rc finish(cpuu_plugins *p, cpuu_rc rc, cpuu_plugins **out, cpuu_error *err)
{
    if (rc == CPUU_OK)
        rc = sort_features(p, err);
    if (rc == CPUU_OK)
        rc = name_features(p, err);
    if (rc < 0)
        cpuu_plugins_free(p);
    else
        *out = p;
    return rc;
}

cpuu_rc cpuu_plugins_load(const char *dir, cpuu_log *log, cpuu_plugins **out, cpuu_error *err)
{
    if (dir[0] != '/')
        return cpuu_fail(err, CPUU_E_USAGE, "plugin folder '%s' must be an absolute path", dir);
    cpuu_plugins *p = cpuu_calloc(1, sizeof(*p));
    if (!p)
        return cpuu_nomem(err);
    p->log = log;
    return finish(p, load_all(p, dir, err), out, err);
}

cpuu_rc cpuu_plugins_from(const cpuu_plugin *const *plugins, cpuu_log *log, cpuu_plugins **out,
                          cpuu_error *err)
{
    cpuu_plugins *p = cpuu_calloc(1, sizeof(*p));
    if (!p)
        return cpuu_nomem(err);
    p->log = log;
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; rc == CPUU_OK && plugins[i]; i++) {
        rc = cpuu_plugin_validate(plugins[i], "built-in", err);
        if (rc == CPUU_OK)
            rc = add_features(p, plugins[i], "built-in", err);
    }
    return finish(p, rc, out, err);
}

void cpuu_plugins_free(cpuu_plugins *p)
{
    if (!p)
        return;
    cpuu_free(p->items);
    cpuu_free(p->names);
    cpuu_arena_free(&p->arena);
    cpuu_free(p);
}

const char *const *cpuu_plugins_names(const cpuu_plugins *p)
{
    return p->names;
}

size_t cpuu_plugins_count(const cpuu_plugins *p)
{
    return p->count;
}

const cpuu_feature *cpuu_plugins_feature(const cpuu_plugins *p, size_t index,
                                         const cpuu_plugin **plugin, const char **file)
{
    if (plugin)
        *plugin = p->items[index].plugin;
    if (file)
        *file = p->items[index].file;
    return p->items[index].feature;
}

static bool in_words(const cpuu_words *w, const char *name)
{
    for (size_t i = 0; i < w->count; i++) {
        if (cpuu_caseeq(w->items[i], name))
            return true;
    }
    return false;
}

bool cpuu_feature_is_critical(const cpuu_settings *s, const char *name)
{
    return in_words(&s->critical, name);
}

bool cpuu_feature_is_removed(const cpuu_settings *s, const char *name)
{
    return in_words(&s->remove, name);
}

/* Remove= asks for work of the feature, so that it runs whatever Features= says; Skip= wins (A16).
 */
void cpuu_plugins_select(const cpuu_plugins *p, const cpuu_settings *s, bool *selected)
{
    for (size_t i = 0; i < p->count; i++) {
        const char *name = p->names[i];
        bool listed = s->features.count == 0 || in_words(&s->features, name);
        bool skipped = s->skip_all || in_words(&s->skip, name);
        selected[i] = !skipped && (listed || in_words(&s->remove, name));
    }
}

uint32_t cpuu_plugins_links(const cpuu_plugins *p, const bool *selected)
{
    uint32_t links = 0;
    for (size_t i = 0; i < p->count; i++)
        links |= selected[i] ? p->items[i].feature->links : 0;
    return links;
}

uint32_t cpuu_plugins_needs(const cpuu_plugins *p, const bool *selected)
{
    uint32_t needs = 0;
    for (size_t i = 0; i < p->count; i++) {
        const cpuu_feature *f = p->items[i].feature;
        if (selected[i])
            needs |= f->needs;
        else if (f->skip)
            needs |= f->needs & CPUU_SKIP_NEEDS;
    }
    return needs;
}
