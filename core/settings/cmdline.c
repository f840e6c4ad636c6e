/*
 * The command line. Switches of the guide begin with one dash and are followed by their values;
 * additions begin with two and also take "--name=value". Both are found with either number of
 * dashes and in any case. A value that begins with a dash must follow "--".
 */
#include "settings/load.h"

#include "base/text.h"

#include <cpuu/formats/bytes.h>

#include <string.h>

#define ANY (CPUU_ON_LINE | CPUU_LONG)

typedef struct line {
    cpuu_settings *s;
    int argc;
    char *const *argv;
    int at;                      /* next argument */
    bool literal;                /* "--" has been seen */
    const cpuu_setting *mode_by; /* the switch that chose the mode */
    cpuu_error *err;
} line;

/* "-Profiles" or "--dry-run", as help shows it. */
static const char *shown(const cpuu_setting *row, char out[64])
{
    if (row->where & CPUU_ON_LINE)
        snprintf(out, 64, "-%s", row->name);
    else
        snprintf(out, 64, "--%s", row->long_name ? row->long_name : row->name);
    return out;
}

static cpuu_rc unknown_switch(line *l, const char *arg, const char *name)
{
    if (cpuu_caseeq(name, "Password") || cpuu_caseeq(name, "PasswordTrg"))
        return cpuu_fail(
            l->err, CPUU_E_USAGE,
            "-%s is not accepted: every user of this computer can see the command line; "
            "use CredentialsFile or AskCredentials in CPUU.ini",
            name);
    if (cpuu_settings_find(name, CPUU_IN_PARAMETERS))
        return cpuu_fail(l->err, CPUU_E_USAGE,
                         "'%s' is a key of CPUU.ini, not a switch; write it below [Parameters]",
                         arg);
    const char *near = cpuu_settings_nearest(name, ANY);
    char text[64] = "";
    if (near)
        shown(cpuu_settings_find(near, ANY), text);
    return cpuu_fail(l->err, CPUU_E_USAGE, "unknown switch '%.80s'%s%s%s", arg,
                     near ? "; did you mean '" : "; --help lists them", text, near ? "'?" : "");
}

/* These explain and end; they go with every other switch. */
static bool only_informs(cpuu_mode mode)
{
    return mode == CPUU_MODE_HELP || mode == CPUU_MODE_VERSION || mode == CPUU_MODE_SHOW_CONFIG;
}

/* One mode only (ruling A12): selectors of the same mode may be combined. */
static cpuu_rc choose_mode(line *l, const cpuu_setting *row)
{
    char a[64], b[64];
    if (l->mode_by && only_informs(l->mode_by->mode))
        return CPUU_OK;
    if (l->mode_by && !only_informs(row->mode) && l->mode_by->mode != row->mode)
        return cpuu_fail(l->err, CPUU_E_USAGE, "%s and %s cannot be used together",
                         shown(l->mode_by, a), shown(row, b));
    l->mode_by = row;
    l->s->mode = row->mode;
    return CPUU_OK;
}

static bool takes_list(const cpuu_setting *row)
{
    return (row->where & CPUU_ON_LINE) &&
           (row->type == CPUU_T_ITEM || row->type == CPUU_T_FEATURES);
}

/* The next argument when it is a value; NULL otherwise. "--" makes all that follow values. */
static const char *next_value(line *l)
{
    if (!l->literal && l->at < l->argc && strcmp(l->argv[l->at], "--") == 0) {
        l->literal = true;
        l->at++;
    }
    if (l->at >= l->argc || (!l->literal && l->argv[l->at][0] == '-' && l->argv[l->at][1]))
        return NULL;
    return l->argv[l->at++];
}

static cpuu_rc take_value(line *l, const cpuu_setting *row, const char *value)
{
    char name[64];
    cpuu_place place = {NULL, 0, shown(row, name)};
    if (!cpuu_utf8_valid(value, strlen(value)))
        return cpuu_fail(l->err, CPUU_E_USAGE, "%s: the value is not UTF-8 text", name);
    if (!*value)
        return cpuu_fail(l->err, CPUU_E_USAGE, "%s: the value is empty", name);
    return cpuu_settings_set(l->s, row, value, &place, takes_list(row), l->err);
}

static cpuu_rc take_values(line *l, const cpuu_setting *row, const char *attached)
{
    char name[64];
    const char *value = attached ? attached : next_value(l);
    if (!value)
        return cpuu_fail(l->err, CPUU_E_USAGE, "%s needs %s: %s", shown(row, name),
                         takes_list(row) ? "at least one value" : "a value", row->arg);
    cpuu_rc rc = take_value(l, row, value);
    while (rc == CPUU_OK && takes_list(row) && (value = next_value(l)))
        rc = take_value(l, row, value);
    return rc;
}

static bool takes_value(const cpuu_setting *row)
{
    return row->type != CPUU_T_FLAG && row->type != CPUU_T_MODE;
}

static cpuu_rc take_switch(line *l, const char *arg)
{
    const char *name = arg + 1 + (arg[1] == '-');
    const char *equals = strchr(name, '=');
    char word[64];
    snprintf(word, sizeof(word), "%.*s", (int)(equals ? equals - name : 63), name);
    const cpuu_setting *row = cpuu_settings_find(word, ANY);
    if (!row)
        return unknown_switch(l, arg, word);
    if (equals && !takes_value(row))
        return cpuu_fail(l->err, CPUU_E_USAGE, "'%.80s': this switch takes no value", arg);
    cpuu_origin *origin = &l->s->origins[cpuu_settings_index(row)];
    bool single = takes_value(row) && row->type != CPUU_T_ITEM && !takes_list(row);
    if (origin->kind == CPUU_FROM_LINE && single)
        return cpuu_fail(l->err, CPUU_E_USAGE, "%s is given twice", shown(row, word));
    cpuu_rc rc = row->mode ? choose_mode(l, row) : CPUU_OK;
    if (rc == CPUU_OK && takes_value(row))
        rc = take_values(l, row, equals ? equals + 1 : NULL);
    else if (rc == CPUU_OK && row->type == CPUU_T_FLAG)
        *(bool *)((char *)l->s + row->offset) = true;
    if (rc == CPUU_OK)
        origin->kind = CPUU_FROM_LINE;
    return rc;
}

/* A switch that makes sense in one mode only, in another one. */
static cpuu_rc check_needs(line *l)
{
    for (size_t i = 0; i < cpuu_settings_count; i++) {
        const cpuu_setting *row = &cpuu_settings_table[i];
        char name[64];
        if (row->needs && row->needs != l->s->mode && l->s->origins[i].kind == CPUU_FROM_LINE)
            return cpuu_fail(l->err, CPUU_E_USAGE, "%s can only be used when rolling back",
                             shown(row, name));
    }
    return CPUU_OK;
}

cpuu_rc cpuu_cmdline_read(cpuu_settings *s, int argc, char *const *argv, cpuu_error *err)
{
    line l = {.s = s, .argc = argc, .argv = argv, .at = 1, .err = err};
    s->mode = CPUU_MODE_UPDATE;
    while (l.at < argc) {
        const char *arg = argv[l.at++];
        if (l.literal || arg[0] != '-' || !arg[1] || strcmp(arg, "--") == 0) {
            if (cpuu_caseeq(arg, "/?"))
                arg = "-?"; /* what a Windows administrator types */
            else
                return cpuu_fail(err, CPUU_E_USAGE,
                                 "'%.80s' does not belong to a switch; --help lists them", arg);
        }
        cpuu_rc rc = take_switch(&l, arg);
        if (rc != CPUU_OK)
            return rc;
    }
    return only_informs(s->mode) ? CPUU_OK : check_needs(&l);
}
