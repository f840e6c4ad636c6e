/* A profile under another name: the backup copy beside it, or a temporary one (R6, R7). */
#include "profile/section.h"

#include "base/text.h"

#include <string.h>

#define MAX_DEPTH 16

typedef struct copier {
    cpuu_profile *p;
    cpuu_edits *edits;
    const uint8_t *new_uid;
    const char *title;
    cpuu_error *err;
} copier;

static bool is_profile_uid(const copier *c, const char *from, const cpuu_reg_value *v)
{
    size_t n = strlen(c->p->key);
    uint32_t tag;
    return c->new_uid && v->size == 16 && strlen(from) > n + 1 &&
           cpuu_caseeq(from + n + 1, CPUU_SECTION_INSTANCE) && cpuu_tag_parse(v->name, &tag) &&
           tag == PR_PROFILE_UID;
}

static cpuu_rc copy_values(copier *c, const char *from, const char *to)
{
    cpuu_reg_values v;
    cpuu_rc rc = cpuu_reg_values_of(c->p->reg, from, &v, c->err);
    if (rc < 0)
        return rc;
    if (cpuu_edits_create_key(c->edits, to, CPUU_MARK_NONE, c->title) < 0)
        rc = cpuu_nomem(c->err);
    for (size_t i = 0; i < v.count && rc >= 0; i++) {
        const cpuu_reg_value *x = &v.items[i];
        const void *data = is_profile_uid(c, from, x) ? c->new_uid : x->data;
        if (cpuu_edits_set(c->edits, to, x->name, x->type, data, x->size, CPUU_MARK_NONE,
                           c->title) < 0)
            rc = cpuu_nomem(c->err);
    }
    cpuu_reg_values_free(&v);
    return rc;
}

static cpuu_rc copy_key(copier *c, const char *from, const char *to, int depth)
{
    cpuu_reg_names names = {0};
    if (depth > MAX_DEPTH)
        return cpuu_fail(c->err, CPUU_E_TOOBIG, "key '%s' is nested too deeply", from);
    cpuu_rc rc = copy_values(c, from, to);
    if (rc >= 0)
        rc = cpuu_reg_keys(c->p->reg, from, &names, c->err);
    for (size_t i = 0; i < names.count && rc >= 0; i++) {
        char *sub_from = cpuu_reg_join(from, names.items[i]);
        char *sub_to = cpuu_reg_join(to, names.items[i]);
        rc = sub_from && sub_to ? copy_key(c, sub_from, sub_to, depth + 1) : cpuu_nomem(c->err);
        cpuu_free(sub_to);
        cpuu_free(sub_from);
    }
    cpuu_reg_names_free(&names);
    return rc;
}

/* An offline hive cannot take a key name that is not ASCII (reference 14). */
static bool is_name(const char *name)
{
    for (const char *c = name; *c; c++)
        if (*c < ' ' || *c > '~' || *c == '\\')
            return false;
    return *name != 0;
}

cpuu_rc cpuu_profile_copy(cpuu_profile *p, const char *new_name, const uint8_t new_uid[16],
                          cpuu_edits *edits, cpuu_error *err)
{
    copier c = {.p = p,
                .edits = edits,
                .new_uid = new_uid,
                .err = err,
                .title = new_uid ? "temporary profile" : "backup copy of the profile"};
    size_t before = edits->count;
    char *to = NULL;
    bool exists = false;
    cpuu_rc rc = CPUU_OK;
    if (!is_name(new_name))
        rc = cpuu_fail(err, CPUU_E_FORMAT, "the name is not plain ASCII");
    else if (!(to = cpuu_reg_join(p->root, new_name)))
        rc = cpuu_nomem(err);
    else
        rc = cpuu_key_exists(p->reg, to, &exists, err);
    if (rc >= 0 && exists)
        rc = cpuu_fail(err, CPUU_E_EXISTS, "there is such a profile already");
    if (rc >= 0)
        rc = copy_key(&c, p->key, to, 0);
    cpuu_free(to);
    if (rc < 0) {
        cpuu_edits_truncate(edits, before);
        return cpuu_wrap(err, "copying profile '%s' to '%s'", p->name, new_name);
    }
    return CPUU_OK;
}
