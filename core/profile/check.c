/*
 * The invariants of a profile (reference 3.2): every UID in a list has its section; every provider
 * is in the master list and in its service's list and points back. Outlook ends silently at start
 * when one is broken.
 */
#include "profile/section.h"

#include "base/text.h"

#include <cpuu/formats/mv.h>

#include <stdarg.h>
#include <string.h>

typedef struct checker {
    cpuu_profile *p;
    cpuu_findings *out;
    size_t cap;
    cpuu_error *err;
    cpuu_section master;
} checker;

static cpuu_rc found(checker *c, bool fatal, const char *section, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static cpuu_rc found(checker *c, bool fatal, const char *section, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = cpuu_vasprintf(fmt, ap);
    va_end(ap);
    cpuu_findings *f = c->out;
    cpuu_rc rc = CPUU_E_NOMEM;
    if (text && cpuu_grow(&f->items, &c->cap, f->count, sizeof(*f->items))) {
        cpuu_finding *item = &f->items[f->count];
        item->section = cpuu_arena_strdup(&f->arena, section);
        item->text = cpuu_arena_strdup(&f->arena, text);
        item->fatal = fatal;
        if (item->section && item->text) {
            f->count++;
            rc = CPUU_OK;
        }
    }
    cpuu_free(text);
    return rc < 0 ? cpuu_nomem(c->err) : CPUU_OK;
}

static cpuu_rc check_uid(checker *c, const char *section, const char *value, const uint8_t *uid)
{
    char name[33];
    cpuu_hex(name, uid, 16);
    bool exists;
    cpuu_rc rc = cpuu_section_exists(c->p, name, &exists, c->err);
    if (rc >= 0 && !exists)
        rc = found(c, true, section, "%s names section %s, which does not exist", value, name);
    return rc;
}

static cpuu_rc check_list(checker *c, const char *section, const cpuu_section *s, uint32_t tag)
{
    const cpuu_reg_value *v = cpuu_section_find(s, tag);
    cpuu_rc rc = CPUU_OK;
    if (v && (v->type != CPUU_REG_BINARY || v->size % 16 || v->size > 16 * CPUU_MAX_UIDS))
        rc = found(c, true, section, "%s is not a list of 16-byte UIDs", v->name);
    for (size_t i = 0; i < cpuu_uids_count(v) && rc >= 0; i++)
        rc = check_uid(c, section, v->name, v->data + 16 * i);
    return rc;
}

/* Every multi-valued property must have the width of the profile. */
static cpuu_rc check_widths(checker *c, const char *section, const cpuu_section *s)
{
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; i < s->v.count && rc >= 0; i++) {
        uint32_t tag;
        const cpuu_reg_value *v = &s->v.items[i];
        if (!cpuu_tag_parse(v->name, &tag))
            continue;
        uint32_t type = tag & 0xffff;
        if (type != CPUU_MV_STRING8 && type != CPUU_MV_UNICODE && type != CPUU_MV_BINARY)
            continue;
        unsigned w = cpuu_mv_width(type, v->data, v->size);
        bool empty = v->size == 4 && cpuu_le32(v->data) == 0;
        if (w == 0 && !empty)
            rc = found(c, false, section, "%s is not a multi-valued property of either width",
                       v->name);
        else if (w && w != c->p->mv_width)
            rc = found(c, false, section, "%s has width %u, the profile has %u", v->name, w,
                       c->p->mv_width);
    }
    return rc;
}

static bool listed_in(const cpuu_section *s, const uint8_t uid[16])
{
    return cpuu_uids_has(cpuu_section_find(s, PR_STORE_PROVIDERS), uid) ||
           cpuu_uids_has(cpuu_section_find(s, PR_AB_PROVIDERS), uid) ||
           cpuu_uids_has(cpuu_section_find(s, PR_TRANSPORT_PROVIDERS), uid);
}

/* A section with a back link is a provider. */
static cpuu_rc check_provider(checker *c, const char *name, const cpuu_section *s)
{
    uint8_t uid[16], service[16];
    if (!cpuu_section_uid(s, PR_SERVICE_UID, service) || strlen(name) != 32 ||
        !cpuu_unhex(uid, name, 16))
        return CPUU_OK;
    cpuu_rc rc = CPUU_OK;
    if (!listed_in(&c->master, uid))
        rc = found(c, true, name, "the provider is in no list of the profile");
    if (rc >= 0 && !cpuu_uids_has(cpuu_section_find(&c->master, PR_SERVICES), service))
        return found(c, true, name, "the provider points to a service that is not listed");
    char service_name[33];
    cpuu_hex(service_name, service, 16);
    cpuu_section owner;
    if (rc >= 0)
        rc = cpuu_section_open(c->p, service_name, &owner, c->err);
    if (rc < 0)
        return rc;
    if (!listed_in(&owner, uid))
        rc = found(c, true, name, "the provider is in no list of its service %s", service_name);
    cpuu_section_close(&owner);
    return rc;
}

static cpuu_rc check_back_links(checker *c, const cpuu_service *s)
{
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; i < s->n_providers && rc >= 0; i++) {
        cpuu_section provider;
        uint8_t uid[16];
        rc = cpuu_section_open(c->p, s->providers[i], &provider, c->err);
        if (rc < 0)
            return rc;
        char back[33] = "";
        if (cpuu_section_uid(&provider, PR_SERVICE_UID, uid))
            cpuu_hex(back, uid, 16);
        if (provider.exists && !cpuu_caseeq(back, s->section))
            rc = found(c, true, s->providers[i], "the provider does not point back to service %s",
                       s->section);
        cpuu_section_close(&provider);
    }
    return rc;
}

static cpuu_rc check_section(checker *c, const char *name)
{
    static const uint32_t lists[] = {PR_SERVICES, PR_STORE_PROVIDERS, PR_AB_PROVIDERS,
                                     PR_TRANSPORT_PROVIDERS, PR_EMSMDB_SECTION_UID};
    cpuu_section s;
    cpuu_rc rc = cpuu_section_open(c->p, name, &s, c->err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]) && rc >= 0; i++)
        rc = check_list(c, name, &s, lists[i]);
    if (rc >= 0)
        rc = check_provider(c, name, &s);
    if (rc >= 0)
        rc = check_widths(c, name, &s);
    cpuu_section_close(&s);
    return rc;
}

static cpuu_rc check_account(checker *c, const char *manager, const char *subkey)
{
    static const char *const links[] = {"Service UID", "Preferences UID", "XP Provider UID"};
    char *key = cpuu_reg_join(manager, subkey);
    if (!key)
        return cpuu_nomem(c->err);
    cpuu_section s;
    cpuu_rc rc = cpuu_section_open_key(c->p->reg, key, &s, c->err);
    cpuu_free(key);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < 3 && rc >= 0; i++) {
        const cpuu_reg_value *v = cpuu_reg_find(&s.v, links[i]);
        if (v && (v->type != CPUU_REG_BINARY || v->size != 16))
            rc = found(c, true, subkey, "account: '%s' is not a UID", links[i]);
        else if (v)
            rc = check_uid(c, subkey, links[i], v->data);
    }
    cpuu_section_close(&s);
    return rc;
}

static cpuu_rc check_accounts(checker *c)
{
    char *manager = cpuu_section_key(c->p, CPUU_SECTION_ACCOUNTS);
    if (!manager)
        return cpuu_nomem(c->err);
    cpuu_reg_names names = {0};
    cpuu_error why = CPUU_ERROR_INIT;
    cpuu_rc rc = cpuu_reg_keys(c->p->reg, manager, &names, &why);
    if (rc == CPUU_E_NOTFOUND)
        rc = CPUU_OK;
    else if (rc < 0)
        cpuu_pass(c->err, &why);
    for (size_t i = 0; i < names.count && rc >= 0; i++)
        rc = check_account(c, manager, names.items[i]);
    cpuu_reg_names_free(&names);
    cpuu_free(manager);
    return rc;
}

static cpuu_rc check_all(checker *c)
{
    cpuu_reg_names names = {0};
    cpuu_rc rc = cpuu_reg_keys(c->p->reg, c->p->key, &names, c->err);
    for (size_t i = 0; i < names.count && rc >= 0; i++)
        if (!cpuu_caseeq(names.items[i], CPUU_SECTION_ACCOUNTS))
            rc = check_section(c, names.items[i]);
    cpuu_reg_names_free(&names);
    for (size_t i = 0; i < c->p->n_services && rc >= 0; i++)
        rc = check_back_links(c, &c->p->services[i]);
    return rc < 0 ? rc : check_accounts(c);
}

cpuu_rc cpuu_profile_check(cpuu_profile *p, cpuu_findings *out, cpuu_error *err)
{
    cpuu_findings f = {0};
    checker c = {.p = p, .out = &f, .err = err};
    cpuu_rc rc = cpuu_section_open(p, CPUU_SECTION_MASTER, &c.master, err);
    if (rc >= 0) {
        rc = check_all(&c);
        cpuu_section_close(&c.master);
    }
    if (rc < 0) {
        cpuu_findings_free(&f);
        return cpuu_wrap(err, "checking profile '%s'", p->name);
    }
    *out = f;
    return CPUU_OK;
}

void cpuu_findings_free(cpuu_findings *f)
{
    cpuu_free(f->items);
    cpuu_arena_free(&f->arena);
    memset(f, 0, sizeof(*f));
}
