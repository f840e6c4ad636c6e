/*
 * A profile as a graph of services, providers and Exchange accounts (reference 3.2, 4, 5, 6).
 * Reading is lenient: what is damaged is left out here and named by cpuu_profile_check(), so that a
 * damaged profile can still be looked at, backed up and restored.
 */
#include "profile/section.h"

#include "base/text.h"

#include <cpuu/formats/entryid.h>
#include <cpuu/formats/mv.h>

#include <stdlib.h>
#include <string.h>

/* ---- services -------------------------------------------------------------------------------- */

static bool has_provider(const cpuu_service *s, const char *section)
{
    for (size_t i = 0; i < s->n_providers; i++)
        if (cpuu_caseeq(s->providers[i], section))
            return true;
    return false;
}

static cpuu_rc add_providers(cpuu_profile *p, cpuu_service *s, const cpuu_section *section,
                             cpuu_error *err)
{
    static const uint32_t lists[] = {PR_STORE_PROVIDERS, PR_AB_PROVIDERS, PR_TRANSPORT_PROVIDERS};
    size_t room = 0;
    for (size_t i = 0; i < 3; i++)
        room += cpuu_uids_count(cpuu_section_find(section, lists[i]));
    s->providers = cpuu_arena_alloc(&p->arena, (room + 1) * sizeof(char *));
    if (!s->providers)
        return cpuu_nomem(err);
    for (size_t i = 0; i < 3; i++) {
        const cpuu_reg_value *v = cpuu_section_find(section, lists[i]);
        for (size_t k = 0; k < cpuu_uids_count(v); k++) {
            char *name = cpuu_uid_text(&p->arena, v->data + 16 * k);
            if (!name)
                return cpuu_nomem(err);
            if (!has_provider(s, name))
                s->providers[s->n_providers++] = name;
        }
    }
    return CPUU_OK;
}

static cpuu_rc read_service(cpuu_profile *p, const uint8_t uid[16], cpuu_service *s,
                            cpuu_error *err)
{
    s->section = cpuu_uid_text(&p->arena, uid);
    if (!s->section)
        return cpuu_nomem(err);
    cpuu_section section;
    cpuu_rc rc = cpuu_section_open(p, s->section, &section, err);
    if (rc < 0)
        return rc;
    s->missing = !section.exists;
    rc = cpuu_section_text(&section, PR_SERVICE_NAME, &p->arena, &s->name, err);
    if (rc >= 0)
        rc = cpuu_section_text(&section, PR_DISPLAY_NAME, &p->arena, &s->display_name, err);
    if (rc >= 0)
        rc = add_providers(p, s, &section, err);
    if (rc >= 0 && !s->name)
        s->name = cpuu_arena_strdup(&p->arena, "");
    if (rc >= 0 && !s->name)
        rc = cpuu_nomem(err);
    cpuu_section_close(&section);
    return rc;
}

static const cpuu_service *find_service(const cpuu_profile *p, const char *section)
{
    for (size_t i = 0; section && i < p->n_services; i++)
        if (cpuu_caseeq(p->services[i].section, section))
            return &p->services[i];
    return NULL;
}

static cpuu_rc read_services(cpuu_profile *p, cpuu_error *err)
{
    cpuu_section master;
    cpuu_rc rc = cpuu_section_open(p, CPUU_SECTION_MASTER, &master, err);
    if (rc < 0)
        return rc;
    const cpuu_reg_value *v = cpuu_section_find(&master, PR_SERVICES);
    size_t n = cpuu_uids_count(v);
    p->services = cpuu_arena_alloc(&p->arena, (n + 1) * sizeof(*p->services));
    if (!p->services)
        rc = cpuu_nomem(err);
    for (size_t i = 0; i < n && rc >= 0; i++) {
        char name[33];
        cpuu_hex(name, v->data + 16 * i, 16);
        if (find_service(p, name))
            continue;
        rc = read_service(p, v->data + 16 * i, &p->services[p->n_services], err);
        if (rc >= 0)
            p->n_services++;
    }
    cpuu_section_close(&master);
    return rc;
}

/* ---- who an account belongs to: reference 5, in its reading order ---------------------------- */

/* Takes the first candidate and notices when a later one names somebody else. */
static void candidate(char **slot, char *text, bool *disagree)
{
    if (!text || !*text)
        return;
    if (!*slot)
        *slot = text;
    else if (!cpuu_name_eq(*slot, text))
        *disagree = true;
}

static char *without_prefix(char *smtp)
{
    return smtp && cpuu_ncasecmp(smtp, "SMTP:", 5) == 0 ? smtp + 5 : smtp;
}

static cpuu_rc smtp_of(const cpuu_section *s, uint32_t id, cpuu_profile *p, cpuu_account *a,
                       cpuu_error *err)
{
    char *text;
    cpuu_rc rc = cpuu_section_text(s, id, &p->arena, &text, err);
    if (rc < 0)
        return rc;
    text = without_prefix(text);
    if (text && strchr(text, '@'))
        candidate(&a->smtp, text, &a->has_disagreement);
    return CPUU_OK;
}

static cpuu_rc dn_of(const cpuu_section *s, uint32_t id, cpuu_profile *p, cpuu_account *a,
                     cpuu_error *err)
{
    char *text;
    cpuu_rc rc = cpuu_section_text(s, id, &p->arena, &text, err);
    if (rc >= 0 && text && *text == '/')
        candidate(&a->legacy_dn, text, &a->has_disagreement);
    return rc;
}

static char *blob_text(cpuu_profile *p, cpuu_blob b)
{
    char *s = cpuu_arena_alloc(&p->arena, (size_t)b.size + 1);
    if (s && b.size)
        memcpy(s, b.data, b.size);
    return s;
}

/* Mailbox DN and SMTP address inside a wrapped store EntryID or an address-book EntryID. */
static cpuu_rc eid_of(const cpuu_reg_value *v, cpuu_profile *p, cpuu_account *a, cpuu_error *err)
{
    cpuu_eid eid;
    cpuu_blob dn = {NULL, 0};
    if (!v || v->type != CPUU_REG_BINARY ||
        !cpuu_eid_decode((cpuu_blob){v->data, v->size}, &eid, NULL))
        return CPUU_OK;
    if (eid.kind == CPUU_EID_AB)
        dn = eid.u.ab.dn;
    else if (!cpuu_eid_is_mailbox(&eid) || !cpuu_eid_store_dn(&eid, &dn))
        return CPUU_OK;
    char *text = blob_text(p, dn);
    if (!text)
        return cpuu_nomem(err);
    candidate(&a->legacy_dn, text, &a->has_disagreement);
    cpuu_buf b;
    cpuu_buf_init(&b, 4096);
    cpuu_rc rc = CPUU_OK;
    if (eid.kind != CPUU_EID_AB && cpuu_eid_store_smtp(&eid, &b)) {
        text = blob_text(p, (cpuu_blob){b.data, (uint32_t)b.size});
        if (text)
            candidate(&a->smtp, text, &a->has_disagreement);
        else
            rc = cpuu_nomem(err);
    }
    if (b.failed)
        rc = cpuu_nomem(err);
    cpuu_buf_free(&b);
    return rc;
}

static cpuu_rc account_value(const cpuu_section *s, const char *name, cpuu_profile *p, char **out,
                             cpuu_error *err)
{
    return cpuu_value_text(cpuu_reg_find(&s->v, name), &p->arena, out, err);
}

static cpuu_rc account_smtp(const cpuu_section *s, const char *name, cpuu_profile *p,
                            cpuu_account *a, cpuu_error *err)
{
    char *text;
    cpuu_rc rc = account_value(s, name, p, &text, err);
    if (rc >= 0 && text && strchr(text, '@'))
        candidate(&a->smtp, text, &a->has_disagreement);
    return rc;
}

static cpuu_rc read_identity(cpuu_profile *p, cpuu_account *a, const cpuu_section *emsmdb,
                             const cpuu_section *store, const cpuu_section *account,
                             cpuu_error *err)
{
    cpuu_rc rc = smtp_of(emsmdb, PR_PROFILE_USER_SMTP, p, a, err);
    if (rc >= 0)
        rc = smtp_of(emsmdb, PR_PROFILE_USER_EMAIL, p, a, err);
    if (rc >= 0)
        rc = account_smtp(account, "Account Name", p, a, err);
    if (rc >= 0)
        rc = account_smtp(account, "Email", p, a, err);
    if (rc >= 0)
        rc = smtp_of(store, PR_PROFILE_USER_SMTP, p, a, err);
    if (rc >= 0)
        rc = dn_of(emsmdb, PR_PROFILE_USER, p, a, err);
    if (rc >= 0)
        rc = dn_of(store, PR_PROFILE_MAILBOX, p, a, err);
    if (rc >= 0)
        rc = eid_of(cpuu_section_find(store, PR_ENTRYID), p, a, err);
    if (rc >= 0)
        rc = eid_of(cpuu_reg_find(&account->v, "Delivery Store EntryID"), p, a, err);
    if (rc >= 0)
        rc = eid_of(cpuu_reg_find(&account->v, "Identity Eid"), p, a, err);
    if (rc >= 0)
        rc = account_value(account, "Display Name", p, &a->display_name, err);
    if (rc >= 0 && !a->display_name)
        rc = cpuu_section_text(emsmdb, PR_DISPLAY_NAME, &p->arena, &a->display_name, err);
    return rc;
}

/* ---- accounts -------------------------------------------------------------------------------- */

/* The section a UID property names, when there is such a section and *slot has none yet. */
static cpuu_rc take_uid(cpuu_profile *p, const cpuu_section *s, uint32_t tag, char **slot,
                        cpuu_error *err)
{
    uint8_t uid[16];
    bool exists;
    if (*slot || !cpuu_section_uid(s, tag, uid))
        return CPUU_OK;
    char *name = cpuu_uid_text(&p->arena, uid);
    cpuu_rc rc = name ? cpuu_section_exists(p, name, &exists, err) : cpuu_nomem(err);
    if (rc >= 0 && exists)
        *slot = name;
    return rc;
}

/* The EMSMDB section and the primary store among the providers of the account's service. */
static cpuu_rc look_at_providers(cpuu_profile *p, const cpuu_service *service, cpuu_account *a,
                                 cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; i < service->n_providers && rc >= 0; i++) {
        cpuu_section s;
        rc = cpuu_section_open(p, service->providers[i], &s, err);
        if (rc < 0)
            return rc;
        rc = take_uid(p, &s, PR_EMSMDB_SECTION_UID, &a->emsmdb_section, err);
        if (!a->store_section && cpuu_section_is(&s, PR_MDB_PROVIDER, cpuu_mdb_primary))
            a->store_section = service->providers[i];
        cpuu_section_close(&s);
    }
    return rc;
}

/* Reference 4: service, else any of its providers, else (only one Exchange service, so no doubt)
 * the Outlook section; up to Outlook 2007 the Exchange global section when it has values. */
static cpuu_rc find_emsmdb(cpuu_profile *p, const cpuu_service *service, cpuu_account *a,
                           bool only_one, cpuu_error *err)
{
    cpuu_section s;
    cpuu_rc rc = cpuu_section_open(p, service->section, &s, err);
    if (rc < 0)
        return rc;
    rc = take_uid(p, &s, PR_EMSMDB_SECTION_UID, &a->emsmdb_section, err);
    cpuu_section_close(&s);
    if (rc >= 0)
        rc = look_at_providers(p, service, a, err);
    if (rc < 0 || !only_one || a->emsmdb_section)
        return rc;
    rc = cpuu_section_open(p, CPUU_SECTION_OUTLOOK, &s, err);
    if (rc < 0)
        return rc;
    rc = take_uid(p, &s, PR_EMSMDB_SECTION_UID, &a->emsmdb_section, err);
    cpuu_section_close(&s);
    if (rc < 0 || a->emsmdb_section)
        return rc;
    rc = cpuu_section_open(p, CPUU_SECTION_EXCHANGE, &s, err);
    if (rc < 0)
        return rc;
    if (s.v.count) {
        a->emsmdb_section = cpuu_arena_strdup(&p->arena, CPUU_SECTION_EXCHANGE);
        if (!a->emsmdb_section)
            rc = cpuu_nomem(err);
    }
    cpuu_section_close(&s);
    return rc;
}

static cpuu_rc fill_account(cpuu_profile *p, cpuu_account *a, const cpuu_section *account,
                            cpuu_error *err)
{
    cpuu_section emsmdb = {0}, store = {0};
    cpuu_rc rc = CPUU_OK;
    if (a->emsmdb_section)
        rc = cpuu_section_open(p, a->emsmdb_section, &emsmdb, err);
    if (rc >= 0 && a->store_section)
        rc = cpuu_section_open(p, a->store_section, &store, err);
    if (rc >= 0)
        rc = read_identity(p, a, &emsmdb, &store, account, err);
    if (rc >= 0)
        rc = cpuu_section_text(&emsmdb, PR_PROFILE_OST_PATH, &p->arena, &a->ost_path, err);
    a->config_flags = cpuu_section_u32(&emsmdb, PR_PROFILE_CONFIG_FLAGS, 0);
    a->auth_package = cpuu_section_u32(&emsmdb, PR_PROFILE_AUTH_PACKAGE, 0);
    a->cached = (a->config_flags & 0x180) == 0x180; /* reference 4.2, documented */
    cpuu_section_close(&store);
    cpuu_section_close(&emsmdb);
    return rc;
}

static size_t count_exchange(const cpuu_profile *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n_services; i++)
        n += cpuu_caseeq(p->services[i].name, CPUU_EXCHANGE_SERVICE);
    return n;
}

static bool has_account(const cpuu_profile *p, const char *service_section)
{
    for (size_t i = 0; i < p->n_accounts; i++)
        if (cpuu_caseeq(p->accounts[i].service_section, service_section))
            return true;
    return false;
}

/* `account` is the subkey of the account manager, or an empty section when there is none. */
static cpuu_rc add_account(cpuu_profile *p, const cpuu_service *service, const char *subkey,
                           const cpuu_section *account, cpuu_error *err)
{
    cpuu_account *a = &p->accounts[p->n_accounts];
    memset(a, 0, sizeof(*a));
    a->service_section = service->section;
    a->id = UINT32_MAX;
    if (subkey) {
        a->subkey = cpuu_arena_strdup(&p->arena, subkey);
        if (!a->subkey)
            return cpuu_nomem(err);
        a->id = (uint32_t)strtoul(subkey, NULL, 16);
    }
    cpuu_rc rc = find_emsmdb(p, service, a, count_exchange(p) == 1, err);
    if (rc >= 0)
        rc = fill_account(p, a, account, err);
    if (rc >= 0)
        p->n_accounts++;
    return rc;
}

/* One subkey of the account manager; only Exchange accounts of a listed service are kept. */
static cpuu_rc read_account(cpuu_profile *p, const char *manager, const char *subkey,
                            cpuu_error *err)
{
    uint8_t id[4];
    if (strlen(subkey) != 8 || !cpuu_unhex(id, subkey, 4))
        return CPUU_OK;
    char *key = cpuu_reg_join(manager, subkey);
    if (!key)
        return cpuu_nomem(err);
    cpuu_section s;
    cpuu_rc rc = cpuu_section_open_key(p->reg, key, &s, err);
    cpuu_free(key);
    if (rc < 0)
        return rc;
    char *name;
    rc = account_value(&s, "Service Name", p, &name, err);
    const cpuu_reg_value *uid = cpuu_reg_find(&s.v, "Service UID");
    if (rc >= 0 && cpuu_caseeq(name, CPUU_EXCHANGE_SERVICE) && cpuu_uids_count(uid) == 1) {
        char section[33];
        cpuu_hex(section, uid->data, 16);
        const cpuu_service *service = find_service(p, section);
        if (service && !service->missing && !has_account(p, section))
            rc = add_account(p, service, subkey, &s, err);
    }
    cpuu_section_close(&s);
    return rc;
}

static cpuu_rc read_account_manager(cpuu_profile *p, cpuu_error *err)
{
    char *manager = cpuu_section_key(p, CPUU_SECTION_ACCOUNTS);
    if (!manager)
        return cpuu_nomem(err);
    cpuu_reg_names names = {0};
    cpuu_error why = CPUU_ERROR_INIT;
    cpuu_rc rc = cpuu_reg_keys(p->reg, manager, &names, &why);
    if (rc == CPUU_E_NOTFOUND)
        rc = CPUU_OK;
    else if (rc < 0)
        cpuu_pass(err, &why);
    for (size_t i = 0; i < names.count && rc >= 0; i++)
        rc = read_account(p, manager, names.items[i], err);
    cpuu_reg_names_free(&names);
    cpuu_free(manager);
    return rc;
}

/* Primary is the account the Outlook section points to (documented), else the lowest id (inferred):
 * reference 6. It goes first, the others follow by id. */
static cpuu_rc order_accounts(cpuu_profile *p, cpuu_error *err)
{
    cpuu_section outlook;
    char *primary = NULL;
    cpuu_rc rc = cpuu_section_open(p, CPUU_SECTION_OUTLOOK, &outlook, err);
    if (rc < 0)
        return rc;
    rc = take_uid(p, &outlook, PR_EMSMDB_SECTION_UID, &primary, err);
    cpuu_section_close(&outlook);
    for (size_t i = 1; i < p->n_accounts; i++) {
        cpuu_account a = p->accounts[i];
        size_t k = i;
        for (; k > 0; k--) {
            const cpuu_account *b = &p->accounts[k - 1];
            bool a_first = primary && cpuu_caseeq(a.emsmdb_section, primary);
            bool b_first = primary && cpuu_caseeq(b->emsmdb_section, primary);
            if (b_first || (!a_first && b->id <= a.id))
                break;
            p->accounts[k] = *b;
        }
        p->accounts[k] = a;
    }
    return rc;
}

static cpuu_rc read_accounts(cpuu_profile *p, cpuu_error *err)
{
    size_t room = count_exchange(p);
    p->accounts = cpuu_arena_alloc(&p->arena, (room + 1) * sizeof(*p->accounts));
    if (!p->accounts)
        return cpuu_nomem(err);
    cpuu_rc rc = read_account_manager(p, err);
    for (size_t i = 0; i < p->n_services && rc >= 0; i++) {
        static const cpuu_section none;
        const cpuu_service *s = &p->services[i];
        if (cpuu_caseeq(s->name, CPUU_EXCHANGE_SERVICE) && !has_account(p, s->section))
            rc = add_account(p, s, NULL, &none, err);
    }
    return rc < 0 ? rc : order_accounts(p, err);
}

/* ---- the profile ----------------------------------------------------------------------------- */

static unsigned width_in(const cpuu_section *s)
{
    for (size_t i = 0; i < s->v.count; i++) {
        uint32_t tag;
        const cpuu_reg_value *v = &s->v.items[i];
        if (v->type != CPUU_REG_BINARY || !cpuu_tag_parse(v->name, &tag))
            continue;
        unsigned w = cpuu_mv_width(tag & 0xffff, v->data, v->size);
        if (w)
            return w;
    }
    return 0;
}

/* Services first: every service section has its list of support files (reference 2.3). */
static cpuu_rc find_width(cpuu_profile *p, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    cpuu_section s;
    for (size_t i = 0; i < p->n_services && !p->mv_width; i++) {
        rc = cpuu_section_open(p, p->services[i].section, &s, err);
        if (rc < 0)
            return rc;
        p->mv_width = width_in(&s);
        cpuu_section_close(&s);
    }
    cpuu_reg_names names = {0};
    if (!p->mv_width)
        rc = cpuu_reg_keys(p->reg, p->key, &names, err);
    for (size_t i = 0; i < names.count && rc >= 0 && !p->mv_width; i++) {
        rc = cpuu_section_open(p, names.items[i], &s, err);
        if (rc < 0)
            break;
        p->mv_width = width_in(&s);
        cpuu_section_close(&s);
    }
    cpuu_reg_names_free(&names);
    return rc;
}

static cpuu_rc read_uid(cpuu_profile *p, cpuu_error *err)
{
    cpuu_section s;
    cpuu_rc rc = cpuu_section_open(p, CPUU_SECTION_INSTANCE, &s, err);
    if (rc < 0)
        return rc;
    p->has_uid = cpuu_section_uid(&s, PR_PROFILE_UID, p->uid);
    cpuu_section_close(&s);
    return CPUU_OK;
}

static cpuu_rc copy_names(cpuu_profile *p, const cpuu_profile_root *root, const char *name,
                          cpuu_error *err)
{
    char *key = cpuu_reg_join(root->key, name);
    if (!key)
        return cpuu_nomem(err);
    p->key = cpuu_arena_strdup(&p->arena, key);
    cpuu_free(key);
    p->name = cpuu_arena_strdup(&p->arena, name);
    p->root = cpuu_arena_strdup(&p->arena, root->key);
    p->default_key = cpuu_arena_strdup(&p->arena, root->default_key);
    p->outlook_version = cpuu_arena_strdup(&p->arena, root->outlook_version);
    if (!p->key || !p->name || !p->root || !p->default_key || !p->outlook_version)
        return cpuu_nomem(err);
    const char *chosen = cpuu_profile_root_default(root);
    p->is_default = chosen && cpuu_name_eq(chosen, name);
    p->is_backup = cpuu_profile_name_is_backup(name);
    p->is_temporary = cpuu_profile_name_is_temporary(name);
    return CPUU_OK;
}

static cpuu_rc read_profile(cpuu_profile *p, cpuu_error *err)
{
    bool exists;
    cpuu_rc rc = cpuu_key_exists(p->reg, p->key, &exists, err);
    if (rc >= 0 && !exists)
        return cpuu_fail(err, CPUU_E_NOTFOUND, "there is no such profile in %s",
                         cpuu_reg_location(p->reg));
    if (rc >= 0)
        rc = read_uid(p, err);
    if (rc >= 0)
        rc = read_services(p, err);
    if (rc >= 0)
        rc = find_width(p, err);
    if (rc >= 0)
        rc = read_accounts(p, err);
    return rc;
}

cpuu_rc cpuu_profile_open(cpuu_reg *reg, const cpuu_profile_root *root, const char *name,
                          cpuu_profile **out, cpuu_error *err)
{
    cpuu_profile *p = cpuu_calloc(1, sizeof(*p));
    if (!p)
        return cpuu_nomem(err);
    p->reg = reg;
    cpuu_rc rc = copy_names(p, root, name, err);
    if (rc >= 0)
        rc = read_profile(p, err);
    if (rc < 0) {
        cpuu_profile_free(p);
        return cpuu_wrap(err, "reading profile '%s'", name);
    }
    *out = p;
    return CPUU_OK;
}

void cpuu_profile_free(cpuu_profile *p)
{
    if (!p)
        return;
    cpuu_arena_free(&p->arena);
    cpuu_free(p);
}
