/*
 * CPUU.ini: sections [Parameters], [Admin notification] and [Feature.<name>]. Of a repeated key the
 * first one counts, as with GetPrivateProfileString, and a warning names both lines. What nobody
 * knows is a warning with the nearest name; a value that cannot be understood is an error.
 */
#include "settings/load.h"

#include "base/text.h"

#include <string.h>

typedef struct reader {
    cpuu_settings *s;
    const cpuu_ini *ini;
    const char *file;
    cpuu_error *err;
} reader;

/* CPUU_IN_* of a section, 0 when it is not one of ours. */
static unsigned section_of(const char *name)
{
    if (cpuu_caseeq(name, CPUU_SECTION_PARAMETERS))
        return CPUU_IN_PARAMETERS;
    /* The guide's key table calls it [Notification], its example [Admin notification] (A22). */
    if (cpuu_caseeq(name, CPUU_SECTION_NOTIFICATION) || cpuu_caseeq(name, "Notification"))
        return CPUU_IN_NOTIFICATION;
    return 0;
}

static bool is_feature_section(const char *name)
{
    size_t n = strlen(CPUU_SECTION_FEATURE);
    return cpuu_ncasecmp(name, CPUU_SECTION_FEATURE, n) == 0 && name[n];
}

cpuu_ini_key cpuu_inifile_classify(const char *section, const char *key)
{
    unsigned where = section_of(section);
    const cpuu_setting *row = where ? cpuu_settings_find(key, where) : NULL;
    if (row && row == CPUU_ROW(notify_body))
        return CPUU_INI_PARAGRAPH;
    /* One word that is nearly a key is a misspelt key rather than prose. */
    bool typo = where && !strchr(key, ' ') && cpuu_settings_nearest(key, where);
    return row || typo ? CPUU_INI_KNOWN : CPUU_INI_UNKNOWN;
}

static cpuu_rc warn_unknown(reader *r, const cpuu_ini_entry *e, unsigned where)
{
    if (r->s->n_notes >= CPUU_MAX_NOTES)
        return CPUU_OK;
    const char *near = cpuu_settings_nearest(e->key, where);
    char first[64];
    snprintf(first, sizeof(first), "%.*s", (int)strcspn(e->key, " \t:"), e->key);
    const cpuu_setting *row = cpuu_settings_find(first, where);
    if (row && strlen(first) < strlen(e->key))
        return cpuu_settings_note(r->s, CPUU_LV_WARNING, r->err,
                                  "%s:%u: '%.80s' is ignored: write '%s=' and the value", r->file,
                                  e->line, e->key, row->name);
    return cpuu_settings_note(r->s, CPUU_LV_WARNING, r->err, "%s:%u: unknown key '%.80s'%s%s%s",
                              r->file, e->line, e->key, near ? "; did you mean '" : "",
                              near ? near : "", near ? "'?" : "");
}

/* The value of a key that stands alone, or ends with "=". NULL = leave the default. */
static cpuu_rc missing_value(reader *r, const cpuu_ini_entry *e, const cpuu_setting *row,
                             const char **value)
{
    bool boolean = row->type == CPUU_T_BOOL || row->type == CPUU_T_SECRET;
    bool bare = !e->value;
    *value = NULL;
    if (boolean && (bare || row == CPUU_ROW(create_reg_for_ost)))
        *value = "1";
    if (row == CPUU_ROW(create_reg_for_ost)) /* ruling A8 */
        return cpuu_settings_note(r->s, CPUU_LV_WARNING, r->err,
                                  "%s:%u: %s has no value; the file will be created", r->file,
                                  e->line, row->name);
    if (*value || (!bare && !boolean && row->type != CPUU_T_NUMBER))
        return CPUU_OK; /* an empty list or text is an ordinary way to say "none" */
    return cpuu_settings_note(r->s, CPUU_LV_WARNING, r->err,
                              "%s:%u: %s has no value; the default stays", r->file, e->line,
                              row->name);
}

static cpuu_rc set_value(reader *r, const cpuu_ini_entry *e, const cpuu_setting *row)
{
    cpuu_origin *origin = &r->s->origins[cpuu_settings_index(row)];
    cpuu_place place = {r->file, e->line, row->name};
    const char *value = row->type == CPUU_T_SERVICES ? e->raw : e->value;
    cpuu_rc rc = CPUU_OK;
    if (!value || !*value)
        rc = missing_value(r, e, row, &value);
    if (rc != CPUU_OK || origin->kind == CPUU_FROM_LINE) /* the command line wins */
        return rc;
    if (value)
        rc = cpuu_settings_set(r->s, row, value, &place, false, r->err);
    if (rc != CPUU_OK)
        return rc;
    origin->kind = CPUU_FROM_INI;
    origin->line = e->line;
    return CPUU_OK;
}

static cpuu_rc apply_known(reader *r, const cpuu_ini_entry *e, unsigned where)
{
    bool dash = e->key[0] == '-'; /* the guide writes "-Critical" in prose (ruling A2) */
    const cpuu_setting *row = cpuu_settings_find(e->key + dash, where);
    if (!row)
        return warn_unknown(r, e, where);
    cpuu_rc rc = CPUU_OK;
    if (dash)
        rc = cpuu_settings_note(r->s, CPUU_LV_WARNING, r->err, "%s:%u: write '%s' without the dash",
                                r->file, e->line, row->name);
    if (rc != CPUU_OK)
        return rc;
    cpuu_origin *origin = &r->s->origins[cpuu_settings_index(row)];
    if (origin->seen)
        return cpuu_settings_note(r->s, CPUU_LV_WARNING, r->err,
                                  "%s:%u: %s is ignored, it is already set in line %u", r->file,
                                  e->line, row->name, origin->seen);
    origin->seen = e->line;
    return set_value(r, e, row);
}

static cpuu_rc apply_feature_option(reader *r, const cpuu_ini_entry *e)
{
    cpuu_settings *s = r->s;
    const char *feature = e->section + strlen(CPUU_SECTION_FEATURE);
    if (cpuu_settings_feature_option(s, feature, e->key))
        return cpuu_settings_note(s, CPUU_LV_WARNING, r->err,
                                  "%s:%u: %s is ignored, it is already set above", r->file, e->line,
                                  e->key);
    if (s->n_options == CPUU_MAX_OPTIONS)
        return cpuu_fail(r->err, CPUU_E_USAGE, "%s:%u: more than %d options of features", r->file,
                         e->line, CPUU_MAX_OPTIONS);
    struct cpuu_feature_option *o = &s->options[s->n_options];
    o->feature = cpuu_arena_strdup(&s->arena, feature);
    o->key = cpuu_arena_strdup(&s->arena, e->key);
    o->value = cpuu_arena_strdup(&s->arena, e->value ? e->value : "1");
    o->line = e->line;
    if (!o->feature || !o->key || !o->value)
        return cpuu_nomem(r->err);
    s->n_options++;
    return CPUU_OK;
}

/* Remarks about a section header. */
static cpuu_rc check_header(reader *r, const cpuu_ini_entry *e)
{
    unsigned where = section_of(e->section);
    if (where == CPUU_IN_NOTIFICATION && !cpuu_caseeq(e->section, CPUU_SECTION_NOTIFICATION))
        return cpuu_settings_note(r->s, CPUU_LV_WARNING, r->err,
                                  "%s:%u: [%s] is read as [%s]; please use that name", r->file,
                                  e->line, e->section, CPUU_SECTION_NOTIFICATION);
    if (where || is_feature_section(e->section))
        return CPUU_OK;
    return cpuu_settings_note(r->s, CPUU_LV_WARNING, r->err,
                              "%s:%u: section [%.80s] is not known and is ignored", r->file,
                              e->line, e->section);
}

/* A key before any section: a known one was surely meant, so it is not silently left out. */
static cpuu_rc check_stray(reader *r, const cpuu_ini_entry *e)
{
    const cpuu_setting *row = cpuu_settings_find(e->key, CPUU_IN_PARAMETERS);
    if (row)
        return cpuu_fail(r->err, CPUU_E_USAGE, "%s:%u: %s stands before the line [%s]", r->file,
                         e->line, row->name, CPUU_SECTION_PARAMETERS);
    return cpuu_settings_note(r->s, CPUU_LV_WARNING, r->err,
                              "%s:%u: '%.80s' is ignored: it stands outside of a section", r->file,
                              e->line, e->key);
}

cpuu_rc cpuu_inifile_apply(cpuu_settings *s, const cpuu_ini *ini, const char *file, cpuu_error *err)
{
    reader r = {s, ini, file, err};
    s->options = cpuu_arena_alloc(&s->arena, CPUU_MAX_OPTIONS * sizeof(*s->options));
    if (!s->options)
        return cpuu_nomem(err);
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; rc == CPUU_OK && i < ini->count; i++) {
        const cpuu_ini_entry *e = &ini->items[i];
        unsigned where = section_of(e->section);
        if (!e->key)
            rc = check_header(&r, e);
        else if (where)
            rc = apply_known(&r, e, where);
        else if (is_feature_section(e->section))
            rc = apply_feature_option(&r, e);
        else if (!*e->section)
            rc = check_stray(&r, e);
    }
    return rc;
}
