/* Defaults that depend on the machine: where the program, its plugins and its state are. */
#include "settings/table.h"

#include "base/file.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *cpuu_program_folder(void)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (n <= 0 || path[0] != '/')
        return NULL;
    path[n] = 0;
    return cpuu_path_dir(path);
}

/* A folder that nobody else could have put a plugin into. */
static bool is_safe_folder(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && !(st.st_mode & (S_IWGRP | S_IWOTH)) &&
           (st.st_uid == 0 || st.st_uid == geteuid());
}

/* Where the build puts the plugins together for a program that runs from the build tree (see
 * core/cli/Makefile.inc), or NULL. libtool may have put the program into .libs. */
static char *build_tree_plugins(const char *program)
{
    if (strcmp(program, CPUU_BINDIR) == 0)
        return NULL;
    bool in_libs = strcmp(cpuu_path_base(program), ".libs") == 0;
    char *top = in_libs ? cpuu_path_dir(program) : cpuu_strdup(program);
    char *path = top ? cpuu_path_join(top, "plugins/run") : NULL;
    cpuu_free(top);
    if (path && is_safe_folder(path))
        return path;
    cpuu_free(path);
    return NULL;
}

static cpuu_rc default_plugins(cpuu_settings *s, cpuu_error *err)
{
    char *program = cpuu_program_folder();
    char *tree = program ? build_tree_plugins(program) : NULL;
    s->plugin_dir = cpuu_arena_strdup(&s->arena, tree ? tree : CPUU_PLUGINDIR);
    cpuu_free(tree);
    cpuu_free(program);
    return s->plugin_dir ? CPUU_OK : cpuu_nomem(err);
}

static const char *environment_path(const char *name)
{
    const char *value = getenv(name);
    return value && *value == '/' ? value : NULL;
}

/* XDG Base Directory Specification: $XDG_STATE_HOME, else ~/.local/state. */
static cpuu_rc default_state(cpuu_settings *s, cpuu_error *err)
{
    const char *xdg = environment_path("XDG_STATE_HOME"), *home = environment_path("HOME");
    char path[PATH_MAX];
    int n;
    if (geteuid() == 0)
        n = snprintf(path, sizeof(path), "/var/lib/cpuu");
    else if (xdg)
        n = snprintf(path, sizeof(path), "%s/cpuu", xdg);
    else if (home)
        n = snprintf(path, sizeof(path), "%s/.local/state/cpuu", home);
    else
        return CPUU_OK; /* no place to fall back to: who needs it must say --state */
    if (n < 0 || (size_t)n >= sizeof(path))
        return cpuu_fail(err, CPUU_E_USAGE,
                         "the path of the state folder is too long; use --state");
    s->state_dir = cpuu_arena_strdup(&s->arena, path);
    return s->state_dir ? CPUU_OK : cpuu_nomem(err);
}

cpuu_rc cpuu_settings_machine_defaults(cpuu_settings *s, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    if (!s->plugin_dir)
        rc = default_plugins(s, err);
    if (rc == CPUU_OK && !s->state_dir)
        rc = default_state(s, err);
    return rc;
}
