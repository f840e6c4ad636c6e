/* Puts the settings together: defaults, command line, CPUU.ini; then checks what belongs together.
 */
#include "settings/load.h"

#include "base/file.h"
#include "base/text.h"

#include <string.h>
#include <unistd.h>

cpuu_rc cpuu_settings_note(cpuu_settings *s, cpuu_level level, cpuu_error *err, const char *fmt,
                           ...)
{
    if (s->n_notes >= CPUU_MAX_NOTES)
        return CPUU_OK;
    if (!s->notes) {
        s->notes = cpuu_arena_alloc(&s->arena, (CPUU_MAX_NOTES + 1) * sizeof(*s->notes));
        if (!s->notes)
            return cpuu_nomem(err);
    }
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (s->n_notes + 1 == CPUU_MAX_NOTES)
        snprintf(text, sizeof(text), "further remarks about the settings are left out");
    char *copy = cpuu_arena_strdup(&s->arena, text);
    if (!copy)
        return cpuu_nomem(err);
    s->notes[s->n_notes++] = (cpuu_setting_note){level, copy};
    return CPUU_OK;
}

static cpuu_rc set_fallbacks(cpuu_settings *s, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; rc == CPUU_OK && i < cpuu_settings_count; i++) {
        const cpuu_setting *row = &cpuu_settings_table[i];
        cpuu_place place = {NULL, 0, row->name};
        if (row->fallback && s->origins[i].kind == CPUU_FROM_DEFAULT)
            rc = cpuu_settings_set(s, row, row->fallback, &place, false, err);
    }
    return rc;
}

/* ---- finding CPUU.ini ------------------------------------------------------------------------ */

static cpuu_rc apply_file(cpuu_settings *s, const char *path, const cpuu_buf *data, cpuu_error *err)
{
    cpuu_ini ini;
    cpuu_rc rc = cpuu_ini_parse(data->data, data->size, path, cpuu_inifile_classify, &ini, err);
    if (rc != CPUU_OK)
        return rc;
    rc = cpuu_settings_note(s, CPUU_LV_INFO, err, "settings are read from '%s'", path);
    if (rc == CPUU_OK)
        rc = cpuu_inifile_apply(s, &ini, path, err);
    cpuu_ini_free(&ini);
    return rc;
}

/*
 * Reads one candidate. A file that was not named but found in the current folder must not be one
 * that somebody else has put there: it decides where credentials go.
 */
static cpuu_rc read_file(cpuu_settings *s, const char *path, bool found_by_chance, cpuu_error *err)
{
    cpuu_buf data;
    struct stat st;
    cpuu_buf_init(&data, CPUU_INI_MAX_FILE);
    cpuu_rc rc = cpuu_file_read(path, &data, &st, err);
    if (rc == CPUU_OK && found_by_chance &&
        ((st.st_uid != geteuid() && st.st_uid != 0) || (st.st_mode & S_IWOTH)))
        rc = cpuu_fail(err, CPUU_E_USAGE,
                       "'%s' can be changed by other users; name it with -INI if you trust it",
                       path);
    if (rc == CPUU_OK) {
        s->ini_file = cpuu_arena_strdup(&s->arena, path);
        rc = s->ini_file ? apply_file(s, s->ini_file, &data, err) : cpuu_nomem(err);
    }
    if (data.data)
        explicit_bzero(data.data, data.size);
    cpuu_buf_free(&data);
    return rc;
}

/* Beside the program, then in the current folder (ruling A42). */
static cpuu_rc find_file(cpuu_settings *s, cpuu_error *err)
{
    char *folder = cpuu_program_folder();
    char *beside = folder ? cpuu_path_join(folder, "CPUU.ini") : NULL;
    cpuu_rc rc = CPUU_E_NOTFOUND;
    if (beside)
        rc = read_file(s, beside, false, err);
    if (rc == CPUU_E_NOTFOUND)
        rc = read_file(s, "CPUU.ini", true, err);
    if (rc == CPUU_E_NOTFOUND)
        rc = cpuu_settings_note(s, CPUU_LV_INFO, err,
                                "no CPUU.ini beside the program or in the current folder; defaults "
                                "hold");
    cpuu_free(beside);
    cpuu_free(folder);
    return rc;
}

/* ---- what belongs together ------------------------------------------------------------------- */

static const cpuu_origin *origin_of(const cpuu_settings *s, const cpuu_setting *row)
{
    return &s->origins[cpuu_settings_index(row)];
}

static bool given(const cpuu_settings *s, const cpuu_setting *row)
{
    return origin_of(s, row)->kind != CPUU_FROM_DEFAULT;
}

/* Ruling A1. An empty list is the same as none. */
static cpuu_rc check_features_or_skip(cpuu_settings *s, cpuu_error *err)
{
    const cpuu_setting *features = CPUU_ROW(features), *skip = CPUU_ROW(skip);
    bool some = s->features.count || origin_of(s, features)->all;
    if (!some || !(s->skip.count || s->skip_all))
        return CPUU_OK;
    return cpuu_fail(err, CPUU_E_USAGE,
                     "%s:%u: Features cannot be used together with Skip (line %u)", s->ini_file,
                     origin_of(s, features)->line, origin_of(s, skip)->line);
}

static cpuu_rc check_password(cpuu_settings *s, const cpuu_setting *user, bool has_user,
                              const cpuu_setting *password, cpuu_error *err)
{
    if (!given(s, password))
        return CPUU_OK;
    char where[300];
    cpuu_origin_text(s, password, where, sizeof(where));
    if (!has_user)
        return cpuu_fail(err, CPUU_E_USAGE, "%s: %s can be used only together with %s", where,
                         password->name, user->name);
    return cpuu_settings_note(s, CPUU_LV_WARNING, err,
                              "%s: encrypted %s values cannot be read yet; put the password into a "
                              "CredentialsFile, or set AskCredentials=1",
                              where, password->name);
}

static cpuu_rc check_credentials(cpuu_settings *s, cpuu_error *err)
{
    cpuu_rc rc =
        check_password(s, CPUU_ROW(source.user), s->source.user, CPUU_ROW(encrypted_password), err);
    if (rc == CPUU_OK)
        rc = check_password(s, CPUU_ROW(target.user), s->target.user,
                            CPUU_ROW(encrypted_password_target), err);
    if (rc == CPUU_OK && s->silent && s->ask_credentials) /* ruling A45 */
        rc = cpuu_settings_note(s, CPUU_LV_WARNING, err,
                                "Silent=1 and AskCredentials=1: the question for credentials will "
                                "appear nevertheless");
    if (rc == CPUU_OK && s->ask_source_only && !s->ask_credentials)
        rc = cpuu_settings_note(s, CPUU_LV_WARNING, err,
                                "AskSourceCredentialsOnly has no effect without AskCredentials=1");
    if (rc == CPUU_OK && s->allow_insecure_http)
        rc = cpuu_settings_note(s, CPUU_LV_WARNING, err,
                                "AllowInsecureHTTP=1: CREDENTIALS MAY BE SENT WITHOUT ENCRYPTION; "
                                "never use this outside of a test laboratory");
    return rc;
}

bool cpuu_settings_keep_scp(const cpuu_settings *s)
{
    return s->do_not_modify_exclude_scp &&
           !(s->autodiscover_source_url && s->autodiscover_target_url);
}

/* Ruling A39: without effect where URLs are configured, and said so. */
static cpuu_rc check_scp(cpuu_settings *s, cpuu_error *err)
{
    if (!s->do_not_modify_exclude_scp || cpuu_settings_keep_scp(s))
        return CPUU_OK;
    return cpuu_settings_note(
        s, CPUU_LV_INFO, err,
        "-DoNotModifyExcludeSCPLookup has no effect: both Autodiscover URLs are "
        "configured");
}

/* Names what was set and does nothing; the log shows it. */
static cpuu_rc note_without_effect(cpuu_settings *s, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; rc == CPUU_OK && i < cpuu_settings_count; i++) {
        const cpuu_setting *row = &cpuu_settings_table[i];
        if (row->effect == CPUU_NOW || !given(s, row) || row->type == CPUU_T_SECRET)
            continue;
        char where[300];
        cpuu_origin_text(s, row, where, sizeof(where));
        rc = cpuu_settings_note(s, row->effect == CPUU_LATER ? CPUU_LV_WARNING : CPUU_LV_INFO, err,
                                "%s: %s %s", where, row->name,
                                row->effect == CPUU_LATER ? "has no effect yet"
                                                          : "is accepted but has no meaning here");
    }
    return rc;
}

static cpuu_rc check_all(cpuu_settings *s, cpuu_error *err)
{
    cpuu_rc rc = check_features_or_skip(s, err);
    if (rc == CPUU_OK)
        rc = check_credentials(s, err);
    if (rc == CPUU_OK)
        rc = check_scp(s, err);
    if (rc == CPUU_OK)
        rc = note_without_effect(s, err);
    return rc;
}

/* ---- public ---------------------------------------------------------------------------------- */

static cpuu_rc load(cpuu_settings *s, int argc, char *const *argv, cpuu_error *err)
{
    s->origins = cpuu_arena_alloc(&s->arena, cpuu_settings_count * sizeof(*s->origins));
    if (!s->origins)
        return cpuu_nomem(err);
    cpuu_rc rc = set_fallbacks(s, err);
    if (rc == CPUU_OK)
        rc = cpuu_cmdline_read(s, argc, argv, err);
    if (rc != CPUU_OK || s->mode == CPUU_MODE_HELP || s->mode == CPUU_MODE_VERSION)
        return rc;
    rc = s->ini_file ? read_file(s, s->ini_file, false, err) : find_file(s, err);
    if (rc == CPUU_OK)
        rc = check_all(s, err);
    if (rc == CPUU_OK)
        rc = cpuu_settings_machine_defaults(s, err);
    return rc;
}

/* Says in which style an error is to be reported, even where the rest cannot be understood. */
static bool asks_for_posix(int argc, char *const *argv)
{
    bool found = false;
    for (int i = 1; i < argc; i++)
        found = found || cpuu_caseeq(argv[i], "--exit-style=posix");
    return found;
}

cpuu_rc cpuu_settings_load(int argc, char *const *argv, cpuu_settings *out, cpuu_error *err)
{
    memset(out, 0, sizeof(*out));
    cpuu_rc rc = load(out, argc, argv, err);
    if (rc == CPUU_OK)
        return CPUU_OK;
    bool posix = out->posix_exit || asks_for_posix(argc, argv);
    cpuu_settings_free(out);
    out->posix_exit = posix;
    /* Whatever it was, the run cannot start; only a lack of memory is not the administrator's. */
    if (rc != CPUU_E_NOMEM && err)
        err->rc = CPUU_E_USAGE;
    return rc == CPUU_E_NOMEM ? rc : CPUU_E_USAGE;
}

cpuu_rc cpuu_settings_refuse(const cpuu_settings *s, const char *key, cpuu_error *err)
{
    char where[300];
    const cpuu_setting *row = cpuu_settings_find(key, CPUU_IN_PARAMETERS);
    cpuu_origin_text(s, row, where, sizeof(where));
    err->rc = CPUU_E_USAGE;
    return cpuu_wrap(err, "%s: %s", where, row->name);
}

void cpuu_settings_free(cpuu_settings *s)
{
    cpuu_free_secret(s->source.password);
    cpuu_free_secret(s->target.password);
    cpuu_arena_free(&s->arena);
    memset(s, 0, sizeof(*s));
}

const char *cpuu_settings_feature_option(const cpuu_settings *s, const char *feature,
                                         const char *key)
{
    for (size_t i = 0; i < s->n_options; i++) {
        if (cpuu_caseeq(s->options[i].feature, feature) && cpuu_caseeq(s->options[i].key, key))
            return s->options[i].value;
    }
    return NULL;
}
