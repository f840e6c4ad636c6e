/* Where the files of the profile's user are on this machine (reference 9). */
#include "profile/section.h"

#include "base/file.h"
#include "base/text.h"

#include <string.h>
#include <sys/stat.h>

#define SHELL_FOLDERS "Software\\Microsoft\\Windows\\CurrentVersion\\Explorer\\User Shell Folders"
#define USERPROFILE   "%USERPROFILE%"

static const struct {
    uint32_t dir;
    const char *value; /* of User Shell Folders */
    const char *usual; /* where it is when the value is not there */
} folders[] = {{CPUU_DIR_ROAMING, "AppData", USERPROFILE "\\AppData\\Roaming"},
               {CPUU_DIR_LOCAL, "Local AppData", USERPROFILE "\\AppData\\Local"}};

/* The value, or the usual place when there is none. Owned by the caller. */
static cpuu_rc read_folder(cpuu_reg *reg, size_t which, char **out, cpuu_error *err)
{
    cpuu_error why = CPUU_ERROR_INIT;
    cpuu_rc rc = cpuu_reg_get_text(reg, SHELL_FOLDERS, folders[which].value, out, &why);
    if (rc == CPUU_E_NOTFOUND) {
        *out = cpuu_strdup(folders[which].usual);
        return *out ? CPUU_OK : cpuu_nomem(err);
    }
    return rc < 0 ? cpuu_pass(err, &why) : CPUU_OK;
}

/* The part below the user's own folder, or NULL: %USERPROFILE% is the only base known here. */
static const char *below_user(const char *folder)
{
    size_t n = strlen(USERPROFILE);
    if (cpuu_ncasecmp(folder, USERPROFILE, n) != 0 || (folder[n] != '\\' && folder[n] != '/'))
        return NULL;
    const char *rest = folder + n + 1;
    return strchr(rest, '%') || strstr(rest, "..") ? NULL : rest;
}

static cpuu_rc find(const char *base, const char *rest, char **out, cpuu_error *err)
{
    char *relative = cpuu_asprintf("%s\\Microsoft\\Outlook", rest);
    char *path = NULL;
    struct stat st;
    if (!relative)
        return cpuu_nomem(err);
    cpuu_rc rc = cpuu_path_nocase(base, relative, &path, err);
    cpuu_free(relative);
    if (rc >= 0 && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)))
        rc = cpuu_fail(err, CPUU_E_NOTFOUND, "'%s' is not a folder", path);
    if (rc < 0) {
        cpuu_free(path);
        return rc;
    }
    *out = path;
    return CPUU_OK;
}

cpuu_rc cpuu_profile_user_dir_in(cpuu_reg *reg, const char *home, uint32_t dir, char **out,
                                 cpuu_error *err)
{
    size_t which = dir == CPUU_DIR_ROAMING ? 0 : 1;
    char *folder;
    if (dir != CPUU_DIR_ROAMING && dir != CPUU_DIR_LOCAL)
        return cpuu_fail(err, CPUU_E_UNSUPPORTED, "there is no user folder %u", (unsigned)dir);
    cpuu_rc rc = read_folder(reg, which, &folder, err);
    if (rc < 0)
        return rc;
    const char *rest = below_user(folder);
    rc = rest ? find(home, rest, out, err)
              : cpuu_fail(err, CPUU_E_NOTFOUND,
                          "'%s' is '%s', which is outside the user's folder '%s'",
                          folders[which].value, folder, home);
    cpuu_free(folder);
    return rc;
}

cpuu_rc cpuu_profile_user_dir(cpuu_reg *reg, uint32_t dir, char **out, cpuu_error *err)
{
    const char *hive = cpuu_reg_hive_path(reg);
    if (!hive)
        return cpuu_fail(err, CPUU_E_NOTFOUND, "the registry belongs to no folder of this machine");
    char *home = cpuu_path_dir(hive);
    if (!home)
        return cpuu_nomem(err);
    cpuu_rc rc = cpuu_profile_user_dir_in(reg, home, dir, out, err);
    cpuu_free(home);
    return rc;
}
