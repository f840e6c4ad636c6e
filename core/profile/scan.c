/*
 * Left-over mentions of the source mailbox in any value of a profile (reference 11.3): catches
 * sections nobody has described yet. Reports, changes nothing.
 */
#include "profile/section.h"

#include "base/text.h"

#include <ctype.h>
#include <string.h>

#define MAX_DEPTH 16

typedef struct needle {
    const char *what;
    cpuu_buf text; /* 8-bit (UTF-8) form, or the 16 bytes of a UID */
    cpuu_buf wide; /* UTF-16LE form; empty for a UID */
    bool is_text;
} needle;

typedef struct scanner {
    cpuu_profile *p;
    needle needles[3];
    size_t n_needles;
    cpuu_leftovers *out;
    size_t cap;
    cpuu_error *err;
} scanner;

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/* A character that would make a longer address or name of the match. */
static bool extends(uint8_t c)
{
    return isalnum(c) || c == '.' || c == '_' || c == '-' || c == '+' || c >= 0x80;
}

/* step is the size of a character: 1, or 2 for UTF-16LE. */
static bool stands_alone(const uint8_t *hay, size_t size, size_t at, size_t n, size_t step)
{
    size_t end = at + n;
    bool high = step == 2;
    bool before = at >= step && extends(hay[at - step]) && (!high || hay[at - 1] == 0);
    bool after = end + step <= size && extends(hay[end]) && (!high || hay[end + 1] == 0);
    return !before && !after;
}

static bool mentions(const uint8_t *hay, size_t size, const cpuu_buf *part, bool is_text,
                     size_t step)
{
    if (part->size == 0)
        return false;
    for (size_t at = 0; part->size <= size && at <= size - part->size; at++) {
        size_t i = 0;
        while (i < part->size && (is_text ? lower(hay[at + i]) == lower(part->data[i])
                                          : hay[at + i] == part->data[i]))
            i++;
        if (i == part->size && (!is_text || stands_alone(hay, size, at, i, step)))
            return true;
    }
    return false;
}

static cpuu_rc report(scanner *s, const char *path, const char *value, const char *what)
{
    cpuu_leftovers *l = s->out;
    if (!cpuu_grow(&l->items, &s->cap, l->count, sizeof(*l->items)))
        return cpuu_nomem(s->err);
    cpuu_leftover *item = &l->items[l->count];
    item->key = cpuu_arena_strdup(&l->arena, path);
    item->value = cpuu_arena_strdup(&l->arena, value);
    item->what = cpuu_arena_strdup(&l->arena, what);
    if (!item->key || !item->value || !item->what)
        return cpuu_nomem(s->err);
    l->count++;
    return CPUU_OK;
}

static cpuu_rc scan_value(scanner *s, const char *path, const cpuu_reg_value *v)
{
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; i < s->n_needles && rc >= 0; i++) {
        const needle *n = &s->needles[i];
        if (mentions(v->data, v->size, &n->text, n->is_text, 1) ||
            mentions(v->data, v->size, &n->wide, n->is_text, 2))
            rc = report(s, path, v->name, n->what);
    }
    return rc;
}

static cpuu_rc scan_key(scanner *s, const char *path, int depth)
{
    cpuu_section here;
    cpuu_reg_names names = {0};
    if (depth > MAX_DEPTH)
        return CPUU_OK;
    cpuu_rc rc = cpuu_section_open(s->p, path, &here, s->err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < here.v.count && rc >= 0; i++)
        rc = scan_value(s, path, &here.v.items[i]);
    if (rc >= 0 && here.exists)
        rc = cpuu_reg_keys(s->p->reg, here.key, &names, s->err);
    for (size_t i = 0; i < names.count && rc >= 0; i++) {
        char *sub = cpuu_reg_join(path, names.items[i]);
        rc = sub ? scan_key(s, sub, depth + 1) : cpuu_nomem(s->err);
        cpuu_free(sub);
    }
    cpuu_reg_names_free(&names);
    cpuu_section_close(&here);
    return rc;
}

static void look_for(scanner *s, const char *what, const void *data, size_t n, bool is_text)
{
    needle *x = &s->needles[s->n_needles];
    x->what = what;
    x->is_text = is_text;
    cpuu_buf_init(&x->text, n);
    cpuu_buf_init(&x->wide, 2 * n);
    if (!data || n == 0)
        return;
    cpuu_buf_add(&x->text, data, n);
    if (is_text)
        cpuu_buf_utf16(&x->wide, data, false);
    s->n_needles++;
}

cpuu_rc cpuu_profile_scan(cpuu_profile *p, const cpuu_identity *source, cpuu_leftovers *out,
                          cpuu_error *err)
{
    cpuu_leftovers found = {0};
    scanner s = {.p = p, .out = &found, .err = err};
    look_for(&s, "SMTP address", source->smtp, source->smtp ? strlen(source->smtp) : 0, true);
    look_for(&s, "legacyExchangeDN", source->legacy_dn,
             source->legacy_dn ? strlen(source->legacy_dn) : 0, true);
    look_for(&s, "store UID", source->store_uid, source->store_uid ? 16 : 0, false);
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; i < s.n_needles && rc >= 0; i++)
        if (s.needles[i].text.failed || s.needles[i].wide.failed)
            rc = cpuu_nomem(err);
    if (rc >= 0)
        rc = scan_key(&s, "", 0);
    for (size_t i = 0; i < s.n_needles; i++) {
        cpuu_buf_free(&s.needles[i].text);
        cpuu_buf_free(&s.needles[i].wide);
    }
    if (rc < 0) {
        cpuu_leftovers_free(&found);
        return cpuu_wrap(err, "looking for left-overs in profile '%s'", p->name);
    }
    *out = found;
    return CPUU_OK;
}

void cpuu_leftovers_free(cpuu_leftovers *l)
{
    cpuu_free(l->items);
    cpuu_arena_free(&l->arena);
    memset(l, 0, sizeof(*l));
}
