/* cpuu-inspect profile --diff: two profiles, value by value. */
#include "config.h"

#include "inspect/profile.h"

#include "base/text.h"

#include <string.h>

#define MAX_DEPTH 32

typedef struct side { /* one key of one profile */
    cpuu_reg_values values;
    cpuu_reg_names keys;
    bool exists;
} side;

typedef struct diff {
    printer t;
    cpuu_profile *p[2];
    size_t n;  /* differences */
    bool open; /* the node of the current key */
    const char *where;
    cpuu_error err;
} diff;

static cpuu_rc load(diff *d, int which, const char *relative, side *out)
{
    cpuu_reg *reg = d->p[which]->reg;
    memset(out, 0, sizeof(*out));
    char *key = cpuu_reg_join(d->p[which]->key, relative);
    if (!key)
        return cpuu_nomem(&d->err);
    cpuu_rc rc = CPUU_OK;
    if (cpuu_reg_has_key(reg, key)) {
        out->exists = true;
        rc = cpuu_reg_values_of(reg, key, &out->values, &d->err);
        if (rc >= 0)
            rc = cpuu_reg_keys(reg, key, &out->keys, &d->err);
    }
    cpuu_free(key);
    return rc;
}

static void unload(side *s)
{
    cpuu_reg_values_free(&s->values);
    cpuu_reg_names_free(&s->keys);
}

static void open_key(diff *d)
{
    if (!d->open)
        print_open(&d->t, NO_OFFSET, *d->where ? d->where : "profile", NULL);
    d->open = true;
}

static void show_value(diff *d, const char *what, const cpuu_reg_value *v)
{
    cpuu_buf text;
    cpuu_buf_init(&text, 1u << 20);
    describe_value(v, &text);
    print_leaf(&d->t, NO_OFFSET, what, "%.*s, type %u, %u bytes", (int)text.size,
               text.size ? (const char *)text.data : "", v->type, v->size);
    cpuu_buf_free(&text);
}

static void difference(diff *d, const cpuu_reg_value *a, const cpuu_reg_value *b)
{
    const char *name = a ? a->name : b->name;
    uint8_t bytes[4];
    const char *known = NULL;
    if (strlen(name) == 8 && cpuu_unhex(bytes, name, 4))
        known = property_name((uint32_t)bytes[2] << 24 | (uint32_t)bytes[3] << 16 |
                              (uint32_t)bytes[0] << 8 | bytes[1]);
    open_key(d);
    print_open(&d->t, NO_OFFSET, *name ? name : "(default)", "%s%s%s",
               a && b ? "changed"
               : a    ? "only in the first"
                      : "only in the second",
               known ? ", " : "", known ? known : "");
    if (a)
        show_value(d, "first", a);
    if (b)
        show_value(d, "second", b);
    print_close(&d->t);
    d->n++;
}

static bool same(const cpuu_reg_value *a, const cpuu_reg_value *b)
{
    return a->type == b->type && a->size == b->size &&
           (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

static void compare_values(diff *d, const side *a, const side *b)
{
    for (size_t i = 0; i < a->values.count; i++) {
        const cpuu_reg_value *v = &a->values.items[i];
        const cpuu_reg_value *w = cpuu_reg_find(&b->values, v->name);
        if (!w || !same(v, w))
            difference(d, v, w);
    }
    for (size_t i = 0; i < b->values.count; i++)
        if (!cpuu_reg_find(&a->values, b->values.items[i].name))
            difference(d, NULL, &b->values.items[i]);
}

static cpuu_rc compare_key(diff *d, const char *relative, int depth);

static bool has(const cpuu_reg_names *n, const char *name)
{
    for (size_t i = 0; i < n->count; i++)
        if (cpuu_name_eq(n->items[i], name))
            return true;
    return false;
}

static cpuu_rc compare_child(diff *d, const char *relative, const char *name, int depth)
{
    char *key = cpuu_reg_join(relative, name);
    cpuu_rc rc = key ? compare_key(d, key, depth + 1) : cpuu_nomem(&d->err);
    cpuu_free(key);
    return rc;
}

static cpuu_rc compare_key(diff *d, const char *relative, int depth)
{
    side a, b;
    if (depth > MAX_DEPTH)
        return cpuu_fail(&d->err, CPUU_E_FORMAT, "the keys of the profile are nested too deeply");
    cpuu_rc rc = load(d, 0, relative, &a);
    cpuu_rc rc_b = load(d, 1, relative, &b);
    rc = rc < 0 ? rc : rc_b;
    d->where = relative;
    if (rc >= 0 && a.exists != b.exists) {
        open_key(d);
        print_leaf(&d->t, NO_OFFSET, "section", "only in the %s", a.exists ? "first" : "second");
        d->n++;
    }
    if (rc >= 0)
        compare_values(d, &a, &b);
    if (d->open)
        print_close(&d->t);
    d->open = false;
    for (size_t i = 0; rc >= 0 && i < a.keys.count; i++)
        rc = compare_child(d, relative, a.keys.items[i], depth);
    for (size_t i = 0; rc >= 0 && i < b.keys.count; i++)
        if (!has(&a.keys, b.keys.items[i]))
            rc = compare_child(d, relative, b.keys.items[i], depth);
    unload(&a);
    unload(&b);
    return rc;
}

int inspect_diff(const inspect_options *o, cpuu_profile *a, cpuu_profile *b, FILE *out)
{
    diff d = {.t = {out, o->json, {NULL, 0}, 0, false}, .p = {a, b}, .err = CPUU_ERROR_INIT};
    if (o->json)
        fputs("{\"format\":\"cpuu-inspect-diff\",\"format_version\":1,\n\"tree\":[", out);
    cpuu_rc rc = compare_key(&d, "", 0);
    if (o->json)
        fprintf(out, "],\n\"differences\":%zu}\n", d.n);
    else if (rc >= 0)
        fprintf(out, "%zu difference%s\n", d.n, d.n == 1 ? "" : "s");
    if (rc < 0) {
        fprintf(stderr, "cpuu-inspect: %s\n", d.err.text);
        return INSPECT_UNUSABLE;
    }
    return d.n ? INSPECT_FINDINGS : INSPECT_FINE;
}
