/* Sections by what they are for, and taking a provider out of the profile (reference 3.2). */
#include "profile/section.h"

#include "base/text.h"

#include <string.h>

typedef struct names {
    char **items;
    size_t count;
    size_t cap;
} names;

static cpuu_rc add_name(names *list, const char *name, cpuu_arena *arena, cpuu_error *err)
{
    if (!name)
        return CPUU_OK;
    char *copy = cpuu_arena_strdup(arena, name);
    if (!copy || !cpuu_grow(&list->items, &list->cap, list->count, sizeof(char *)))
        return cpuu_nomem(err);
    list->items[list->count++] = copy;
    return CPUU_OK;
}

/* Other Exchange accounts of the profile are never touched (the guide: the others are ignored). */
static bool is_foreign(const cpuu_service *s, const cpuu_account *account)
{
    return account && cpuu_caseeq(s->name, CPUU_EXCHANGE_SERVICE) &&
           !cpuu_caseeq(s->section, account->service_section);
}

static cpuu_rc add_services(const cpuu_profile *p, const cpuu_account *account, bool providers,
                            const char *filter, names *list, cpuu_arena *arena, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; i < p->n_services && rc >= 0; i++) {
        const cpuu_service *s = &p->services[i];
        if (s->missing || (filter && !cpuu_caseeq(s->name, filter)) || is_foreign(s, account))
            continue;
        if (!providers)
            rc = add_name(list, s->section, arena, err);
        for (size_t k = 0; providers && k < s->n_providers && rc >= 0; k++)
            rc = add_name(list, s->providers[k], arena, err);
    }
    return rc;
}

/* The model is of the time the profile was opened; sections deleted since by staged edits go. */
static cpuu_rc drop_deleted(cpuu_profile *p, names *list, cpuu_error *err)
{
    size_t kept = 0;
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; i < list->count && rc >= 0; i++) {
        bool exists = false;
        rc = cpuu_section_exists(p, list->items[i], &exists, err);
        if (exists)
            list->items[kept++] = list->items[i];
    }
    list->count = kept;
    return rc;
}

cpuu_rc cpuu_profile_sections(cpuu_profile *p, const cpuu_account *account, uint32_t role,
                              const char *filter, cpuu_arena *arena, char ***out, size_t *n,
                              cpuu_error *err)
{
    names list = {0};
    cpuu_rc rc = CPUU_OK;
    switch (role) {
    case CPUU_ROLE_MASTER:
        rc = add_name(&list, CPUU_SECTION_MASTER, arena, err);
        break;
    case CPUU_ROLE_OUTLOOK:
        rc = add_name(&list, CPUU_SECTION_OUTLOOK, arena, err);
        break;
    case CPUU_ROLE_SEND_RECEIVE:
        rc = add_name(&list, CPUU_SECTION_SEND_RECEIVE, arena, err);
        break;
    case CPUU_ROLE_ACCOUNT:
        rc = add_name(&list, account ? account->emsmdb_section : NULL, arena, err);
        break;
    case CPUU_ROLE_SERVICES:
    case CPUU_ROLE_PROVIDERS:
        rc = add_services(p, account, role == CPUU_ROLE_PROVIDERS, filter, &list, arena, err);
        break;
    default:
        rc = cpuu_fail(err, CPUU_E_UNSUPPORTED, "a profile has no sections of role %u",
                       (unsigned)role);
    }
    if (rc >= 0)
        rc = drop_deleted(p, &list, err);
    if (rc >= 0) {
        char **copy = cpuu_arena_dup(arena, list.items, list.count * sizeof(char *));
        if (copy) {
            *out = copy;
            *n = list.count;
        } else {
            rc = cpuu_nomem(err);
        }
    }
    cpuu_free(list.items);
    return rc;
}

/* ---- removing a provider --------------------------------------------------------------------- */

/* A list without one UID; an empty list is removed as a value (inferred: so it is for lists that
 * were never filled). */
static cpuu_rc without_uid(const cpuu_section *s, uint32_t tag, const uint8_t uid[16],
                           cpuu_edits *edits, cpuu_error *err)
{
    static const char title[] = "list of providers";
    const cpuu_reg_value *v = cpuu_section_find(s, tag);
    if (!cpuu_uids_has(v, uid))
        return CPUU_OK;
    if (v->size % 16)
        return cpuu_fail(err, CPUU_E_FORMAT,
                         "value '%s' of '%s' is not a list of UIDs; it is left "
                         "alone",
                         v->name, s->key);
    cpuu_buf b;
    cpuu_buf_init(&b, v->size);
    for (uint32_t i = 0; i < v->size; i += 16)
        if (memcmp(v->data + i, uid, 16) != 0)
            cpuu_buf_add(&b, v->data + i, 16);
    cpuu_rc rc = CPUU_OK;
    if (b.failed)
        rc = CPUU_E_NOMEM;
    else if (b.size == 0)
        rc = cpuu_edits_unset(edits, s->key, v->name, CPUU_MARK_INFERRED, title);
    else
        rc = cpuu_edits_set(edits, s->key, v->name, v->type, b.data, (uint32_t)b.size,
                            CPUU_MARK_OBSERVED, title);
    cpuu_buf_free(&b);
    return rc < 0 ? cpuu_nomem(err) : CPUU_OK;
}

static cpuu_rc take_out_of(cpuu_profile *p, const char *section, const uint8_t uid[16],
                           cpuu_edits *edits, cpuu_error *err)
{
    static const uint32_t lists[] = {PR_STORE_PROVIDERS, PR_AB_PROVIDERS, PR_TRANSPORT_PROVIDERS,
                                     PR_AB_SEARCH_PATH_UPDATE};
    cpuu_section s;
    cpuu_rc rc = cpuu_section_open(p, section, &s, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]) && rc >= 0; i++)
        rc = without_uid(&s, lists[i], uid, edits, err);
    cpuu_section_close(&s);
    return rc;
}

/* Only additional mailboxes: without any other provider an account, or Outlook, would not start. */
static cpuu_rc check_removable(cpuu_profile *p, const char *section, cpuu_error *err)
{
    cpuu_section s;
    cpuu_rc rc = cpuu_section_open(p, section, &s, err);
    if (rc < 0)
        return rc;
    if (!s.exists)
        rc = cpuu_fail(err, CPUU_E_NOTFOUND, "there is no such section");
    else if (!cpuu_section_is(&s, PR_MDB_PROVIDER, cpuu_mdb_delegate))
        rc = cpuu_fail(err, CPUU_E_UNSUPPORTED, "it is not an additional mailbox");
    cpuu_section_close(&s);
    return rc;
}

cpuu_rc cpuu_profile_remove_provider(cpuu_profile *p, cpuu_edits *edits, const char *section,
                                     cpuu_error *err)
{
    uint8_t uid[16];
    size_t before = edits->count;
    cpuu_reg_names all = {0};
    char *key = NULL;
    cpuu_rc rc = CPUU_OK;
    if (strlen(section) != 32 || !cpuu_unhex(uid, section, 16))
        rc = cpuu_fail(err, CPUU_E_FORMAT, "the name is not a UID");
    if (rc >= 0)
        rc = check_removable(p, section, err);
    if (rc >= 0)
        rc = cpuu_reg_keys(p->reg, p->key, &all, err);
    for (size_t i = 0; i < all.count && rc >= 0; i++)
        if (!cpuu_caseeq(all.items[i], section))
            rc = take_out_of(p, all.items[i], uid, edits, err);
    if (rc >= 0) {
        key = cpuu_section_key(p, section);
        if (!key || cpuu_edits_delete_key(edits, key, CPUU_MARK_OBSERVED, "provider") < 0)
            rc = cpuu_nomem(err);
    }
    cpuu_free(key);
    cpuu_reg_names_free(&all);
    if (rc < 0) {
        cpuu_edits_truncate(edits, before);
        return cpuu_wrap(err, "profile '%s': removing provider %s", p->name, section);
    }
    return CPUU_OK;
}
