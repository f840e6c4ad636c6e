/*
 * The marker: what commits an update (D4). One key per journal below Software\CPUU, written in the
 * same registry commit as the switch, so that it is there exactly when the switch is.
 */
#include "profile/section.h"

#include "base/text.h"

#include <string.h>

static cpuu_rc read_text(const cpuu_section *s, const char *name, cpuu_arena *arena, char **out,
                         cpuu_error *err)
{
    cpuu_rc rc = cpuu_value_text(cpuu_reg_find(&s->v, name), arena, out, err);
    if (rc >= 0 && !*out) {
        *out = cpuu_arena_strdup(arena, "");
        rc = *out ? CPUU_OK : cpuu_nomem(err);
    }
    return rc;
}

/* *match: the marker in this key is that of the profile. */
static cpuu_rc read_one(cpuu_reg *reg, const char *id, const char *profile_key, cpuu_arena *arena,
                        cpuu_marker *out, bool *match, cpuu_error *err)
{
    char *key = cpuu_reg_join(CPUU_MARKER_KEY, id);
    if (!key)
        return cpuu_nomem(err);
    cpuu_section s;
    cpuu_marker m = {0};
    cpuu_rc rc = cpuu_section_open_key(reg, key, &s, err);
    cpuu_free(key);
    if (rc < 0)
        return rc;
    rc = read_text(&s, "Profile", arena, &m.profile_key, err);
    *match = rc >= 0 && cpuu_name_eq(m.profile_key, profile_key);
    if (*match && !(m.journal_id = cpuu_arena_strdup(arena, id)))
        rc = cpuu_nomem(err);
    if (*match && rc >= 0)
        rc = read_text(&s, "TargetDN", arena, &m.target_dn, err);
    if (*match && rc >= 0)
        rc = read_text(&s, "TargetSmtpAddress", arena, &m.target_smtp, err);
    cpuu_section_close(&s);
    if (rc >= 0 && *match)
        *out = m;
    return rc;
}

static cpuu_rc marker_names(cpuu_reg *reg, cpuu_reg_names *names, cpuu_error *err)
{
    cpuu_error why = CPUU_ERROR_INIT;
    memset(names, 0, sizeof(*names));
    cpuu_rc rc = cpuu_reg_keys(reg, CPUU_MARKER_KEY, names, &why);
    return rc >= 0 || rc == CPUU_E_NOTFOUND ? CPUU_OK : cpuu_pass(err, &why);
}

cpuu_rc cpuu_marker_read(cpuu_reg *reg, const char *profile_key, cpuu_arena *arena,
                         cpuu_marker *out, cpuu_error *err)
{
    cpuu_reg_names names;
    bool match = false;
    cpuu_rc rc = marker_names(reg, &names, err);
    for (size_t i = 0; i < names.count && rc >= 0 && !match; i++)
        rc = read_one(reg, names.items[i], profile_key, arena, out, &match, err);
    cpuu_reg_names_free(&names);
    if (rc >= 0 && !match)
        rc = cpuu_fail(err, CPUU_E_NOTFOUND, "'%s' was not updated by this program", profile_key);
    return rc;
}

cpuu_rc cpuu_marker_write(cpuu_edits *edits, const cpuu_marker *marker, cpuu_error *err)
{
    const char *const values[][2] = {{"Profile", marker->profile_key},
                                     {"TargetDN", marker->target_dn},
                                     {"TargetSmtpAddress", marker->target_smtp}};
    static const char title[] = "marker of the update";
    size_t before = edits->count;
    char *key = cpuu_reg_join(CPUU_MARKER_KEY, marker->journal_id);
    cpuu_rc rc = key ? cpuu_edits_create_key(edits, key, CPUU_MARK_NONE, title) : CPUU_E_NOMEM;
    for (size_t i = 0; i < 3 && rc >= 0; i++)
        rc = cpuu_edits_set_sz(edits, key, values[i][0], values[i][1] ? values[i][1] : "",
                               CPUU_MARK_NONE, title);
    cpuu_free(key);
    if (rc < 0) {
        cpuu_edits_truncate(edits, before);
        return cpuu_nomem(err);
    }
    return CPUU_OK;
}

static cpuu_rc delete_key(cpuu_edits *edits, const char *key, cpuu_error *err)
{
    if (cpuu_edits_delete_key(edits, key, CPUU_MARK_NONE, "marker of the update") < 0)
        return cpuu_nomem(err);
    return CPUU_OK;
}

/* Also the parent key when nothing else is in it: the registry must be as before the update. */
cpuu_rc cpuu_marker_remove(cpuu_reg *reg, cpuu_edits *edits, const char *profile_key,
                           cpuu_error *err)
{
    cpuu_reg_names names;
    cpuu_arena arena = {0};
    cpuu_section parent = {0};
    size_t before = edits->count, matches = 0;
    cpuu_rc rc = marker_names(reg, &names, err);
    for (size_t i = 0; i < names.count && rc >= 0; i++) {
        cpuu_marker m;
        bool match = false;
        rc = read_one(reg, names.items[i], profile_key, &arena, &m, &match, err);
        if (rc < 0 || !match)
            continue;
        char *key = cpuu_reg_join(CPUU_MARKER_KEY, names.items[i]);
        rc = key ? delete_key(edits, key, err) : cpuu_nomem(err);
        cpuu_free(key);
        matches++;
    }
    if (rc >= 0 && matches == names.count && matches) {
        rc = cpuu_section_open_key(reg, CPUU_MARKER_KEY, &parent, err);
        if (rc >= 0 && parent.v.count == 0)
            rc = delete_key(edits, CPUU_MARKER_KEY, err);
        cpuu_section_close(&parent);
    }
    cpuu_arena_free(&arena);
    cpuu_reg_names_free(&names);
    if (rc < 0)
        cpuu_edits_truncate(edits, before);
    return rc;
}
