/* Names of features in Features, Skip and Critical, against the features that exist. */
#include "settings/table.h"

#include "base/text.h"

#include <string.h>

typedef struct checked_list {
    cpuu_words *words;
    const cpuu_setting *row;
    bool critical;
} checked_list;

static const char *lookup(const char *const *names, const char *name)
{
    for (; names && *names; names++) {
        if (cpuu_caseeq(*names, name))
            return *names;
    }
    return NULL;
}

/* Adds to `out` the names of a list that are near to a misspelt one, once each. */
static void add_near(const char *const *names, const char *name, const char *const *not_in,
                     char *out, size_t size)
{
    unsigned limit = strlen(name) < 5 ? 1 : 3;
    for (; *names; names++) {
        size_t n = strlen(out);
        bool prefix = strlen(name) >= 3 && cpuu_ncasecmp(*names, name, strlen(name)) == 0;
        if (!prefix && cpuu_edit_distance(*names, name) > limit)
            continue;
        if (not_in && lookup(not_in, *names))
            continue;
        snprintf(out + n, size - n, "%s%s", n ? ", " : "", *names);
    }
}

static cpuu_rc unknown_feature(const char *where, const char *word, const char *const *known,
                               cpuu_error *err)
{
    char near[300] = "";
    add_near(known, word, NULL, near, sizeof(near));
    add_near(cpuu_guide_features, word, known, near, sizeof(near));
    return cpuu_fail(err, CPUU_E_USAGE, "%s: there is no feature '%.40s'%s%s%s", where, word,
                     *near ? "; did you mean " : "; --list-features shows them all", near,
                     *near ? "?" : "");
}

/* A word that names no loaded feature. *keep: whether it stays in the list. */
static cpuu_rc check_absent(cpuu_settings *s, const checked_list *list, const char *where,
                            const char *word, const char *const *known, bool *keep, cpuu_error *err)
{
    *keep = false;
    if (list->critical && cpuu_caseeq(word, "Activities")) /* ruling A7: its meaning is unknown */
        return cpuu_settings_note(s, CPUU_LV_INFO, err, "%s: Activities is not applicable here",
                                  where);
    const char *name = lookup(cpuu_guide_features, word);
    if (!name)
        return unknown_feature(where, word, known, err);
    if (list->critical)
        return cpuu_fail(err, CPUU_E_USAGE,
                         "%s: the feature %s is not available yet, so no profile could be updated; "
                         "remove it from the list or install its plugin",
                         where, name);
    *keep = list->row == CPUU_ROW(features); /* an empty list would mean all features */
    return cpuu_settings_note(s, list->row == CPUU_ROW(skip) ? CPUU_LV_INFO : CPUU_LV_WARNING, err,
                              "%s: the feature %s is not available yet; naming it has no effect",
                              where, name);
}

static cpuu_rc check_list(cpuu_settings *s, const checked_list *list, const char *const *known,
                          cpuu_error *err)
{
    char origin[300], where[340];
    cpuu_origin_text(s, list->row, origin, sizeof(origin));
    snprintf(where, sizeof(where), "%s: %s", origin, list->row->name);
    size_t kept = 0;
    cpuu_words *words = list->words;
    for (size_t i = 0; i < words->count; i++) {
        char *word = words->items[i];
        if (cpuu_caseeq(word, "AutoNameCheck")) /* ruling A66 */
            word = cpuu_arena_strdup(&s->arena, "Nicks");
        if (!word)
            return cpuu_nomem(err);
        const char *name = lookup(known, word);
        bool keep = true;
        cpuu_rc rc = CPUU_OK;
        if (name)
            memcpy(word, name, strlen(name)); /* the same letters, spelled as the plugin does */
        else
            rc = check_absent(s, list, where, word, known, &keep, err);
        if (rc != CPUU_OK)
            return rc;
        if (keep)
            words->items[kept++] = word;
    }
    words->count = kept;
    if (words->items)
        words->items[kept] = NULL;
    return CPUU_OK;
}

static bool is_selected(const cpuu_settings *s, const char *name)
{
    if (s->skip_all || lookup((const char *const *)s->skip.items, name))
        return false;
    return !s->features.count || lookup((const char *const *)s->features.items, name) ||
           lookup((const char *const *)s->remove.items, name);
}

/* What is left out cannot fail: a profile is switched without it, which nobody may have meant. */
static cpuu_rc check_critical(cpuu_settings *s, cpuu_error *err)
{
    char where[300];
    cpuu_rc rc = CPUU_OK;
    cpuu_origin_text(s, CPUU_ROW(critical), where, sizeof(where));
    for (size_t i = 0; rc == CPUU_OK && i < s->critical.count; i++) {
        if (!is_selected(s, s->critical.items[i]))
            rc = cpuu_settings_note(s, CPUU_LV_WARNING, err,
                                    "%s: Critical: %s is left out by %s, so it is not required", where,
                                    s->critical.items[i], s->features.count ? "Features" : "Skip");
    }
    return rc;
}

cpuu_rc cpuu_settings_check_features(cpuu_settings *s, const char *const *known, cpuu_error *err)
{
    const checked_list lists[] = {{&s->features, CPUU_ROW(features), false},
                                  {&s->skip, CPUU_ROW(skip), false},
                                  {&s->critical, CPUU_ROW(critical), true}};
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; rc == CPUU_OK && i < sizeof(lists) / sizeof(lists[0]); i++)
        rc = check_list(s, &lists[i], known, err);
    return rc == CPUU_OK ? check_critical(s, err) : rc;
}
