/* Which profiles there are. Roots: reference 1 (Office keys observed and coded in public tools). */
#include "profile/section.h"

#include "base/text.h"

#include <string.h>

static const struct {
    const char *version;
    const char *default_key;
    const char *key;
} places[] = {
    /* newest Outlook first */
    {"16.0", "Software\\Microsoft\\Office\\16.0\\Outlook",
     "Software\\Microsoft\\Office\\16.0\\Outlook\\Profiles"},
    {"15.0", "Software\\Microsoft\\Office\\15.0\\Outlook",
     "Software\\Microsoft\\Office\\15.0\\Outlook\\Profiles"},
    /* up to Outlook 2010; DefaultProfile lies on the Profiles key itself */
    {"", "Software\\Microsoft\\Windows NT\\CurrentVersion\\Windows Messaging Subsystem\\Profiles",
     "Software\\Microsoft\\Windows NT\\CurrentVersion\\Windows Messaging Subsystem\\Profiles"},
};

bool cpuu_profile_name_is_temporary(const char *name)
{
    uint8_t guid[16];
    return cpuu_ncasecmp(name, CPUU_TEMPORARY_PREFIX, strlen(CPUU_TEMPORARY_PREFIX)) == 0 &&
           name[strlen(CPUU_TEMPORARY_PREFIX)] == '{' &&
           cpuu_guid_parse(guid, name + strlen(CPUU_TEMPORARY_PREFIX));
}

bool cpuu_profile_name_is_backup(const char *name)
{
    return cpuu_ncasecmp(name, CPUU_BACKUP_PREFIX, strlen(CPUU_BACKUP_PREFIX)) == 0;
}

static void root_free(cpuu_profile_root *r)
{
    cpuu_reg_names_free(&r->names);
    cpuu_free(r->key);
    cpuu_free(r->default_key);
    cpuu_free(r->outlook_version);
    cpuu_free(r->default_profile);
}

static void drop_temporary(cpuu_reg_names *names)
{
    size_t kept = 0;
    for (size_t i = 0; i < names->count; i++)
        if (!cpuu_profile_name_is_temporary(names->items[i]))
            names->items[kept++] = names->items[i];
    names->count = kept;
}

static cpuu_rc read_default(cpuu_reg *reg, cpuu_profile_root *r, cpuu_error *err)
{
    cpuu_error why = CPUU_ERROR_INIT;
    cpuu_rc rc =
        cpuu_reg_get_text(reg, r->default_key, "DefaultProfile", &r->default_profile, &why);
    if (rc >= 0 || rc == CPUU_E_NOTFOUND || rc == CPUU_E_FORMAT)
        return CPUU_OK;
    return cpuu_pass(err, &why);
}

/* *found false: no profile there. */
static cpuu_rc read_root(cpuu_reg *reg, size_t place, cpuu_profile_root *out, bool *found,
                         cpuu_error *err)
{
    cpuu_profile_root r = {0};
    cpuu_error why = CPUU_ERROR_INIT;
    *found = false;
    cpuu_rc rc = cpuu_reg_keys(reg, places[place].key, &r.names, &why);
    if (rc < 0)
        return rc == CPUU_E_NOTFOUND ? CPUU_OK : cpuu_pass(err, &why);
    drop_temporary(&r.names);
    if (r.names.count == 0)
        goto done;
    r.key = cpuu_strdup(places[place].key);
    r.default_key = cpuu_strdup(places[place].default_key);
    r.outlook_version = cpuu_strdup(places[place].version);
    if (!r.key || !r.default_key || !r.outlook_version)
        rc = cpuu_nomem(err);
    if (rc >= 0)
        rc = read_default(reg, &r, err);
    if (rc >= 0) {
        *found = true;
        *out = r;
        return CPUU_OK;
    }
done:
    root_free(&r);
    return rc;
}

cpuu_rc cpuu_profile_discover(cpuu_reg *reg, cpuu_profile_roots *out, cpuu_error *err)
{
    cpuu_profile_roots roots = {0};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        bool found;
        cpuu_rc rc = read_root(reg, i, &roots.items[roots.count], &found, err);
        if (rc < 0) {
            cpuu_profile_roots_free(&roots);
            return cpuu_wrap(err, "looking for Outlook profiles in %s", cpuu_reg_location(reg));
        }
        roots.count += found;
    }
    *out = roots;
    return CPUU_OK;
}

void cpuu_profile_roots_free(cpuu_profile_roots *roots)
{
    for (size_t i = 0; i < roots->count; i++)
        root_free(&roots->items[i]);
    memset(roots, 0, sizeof(*roots));
}

const char *cpuu_profile_root_default(const cpuu_profile_root *root)
{
    const char *only = NULL;
    size_t n = 0;
    for (size_t i = 0; i < root->names.count; i++) {
        if (!cpuu_profile_name_is_backup(root->names.items[i])) {
            only = root->names.items[i];
            n++;
        }
    }
    if (root->default_profile && *root->default_profile)
        return root->default_profile;
    return n == 1 ? only : NULL;
}

bool cpuu_profile_is_place(const char *version, const char *default_key, const char *profile_key)
{
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        size_t n = strlen(places[i].key);
        if (cpuu_caseeq(version, places[i].version) &&
            cpuu_caseeq(default_key, places[i].default_key) &&
            cpuu_ncasecmp(profile_key, places[i].key, n) == 0 && profile_key[n] == '\\' &&
            profile_key[n + 1] && !strchr(profile_key + n + 1, '\\'))
            return true;
    }
    return false;
}
