/*
 * The switch: a pure function from a profile and two identities to edits (reference 11). Sections
 * are edited in place and keep their UIDs; a value that is not there is only added where Outlook
 * needs it; what cannot be understood is not overwritten but fails the switch as a whole.
 */
#include "profile/section.h"

#include "base/text.h"

#include <cpuu/formats/entryid.h>

#include <stdlib.h>
#include <string.h>

typedef struct job {
    cpuu_profile *p;
    const cpuu_account *account;
    const cpuu_identity *source;
    const cpuu_identity *target;
    const cpuu_switch_options *options;
    cpuu_edits *edits;
    cpuu_arena arena;
    cpuu_blob old_store; /* store EntryID of the source in the profile; may be empty */
    bool renamed;        /* the user has chosen the name of the store */
    cpuu_error *err;
} job;

/* ---- one property ---------------------------------------------------------------------------- */

static cpuu_rc set_property(job *j, const char *section, uint32_t tag, const void *data, size_t n,
                            cpuu_mark mark, const char *title)
{
    cpuu_value v = {tag, (uint32_t)n, data};
    return cpuu_profile_set(j->p, j->edits, section, &v, mark, title, j->err);
}

static cpuu_rc set_text(job *j, const char *section, uint32_t tag, const char *text, cpuu_mark mark,
                        const char *title)
{
    return set_property(j, section, tag, text, strlen(text), mark, title);
}

static cpuu_rc unset_value(job *j, const char *key, const cpuu_reg_value *v, cpuu_mark mark,
                           const char *title)
{
    return cpuu_edits_unset(j->edits, key, v->name, mark, title) < 0 ? cpuu_nomem(j->err) : CPUU_OK;
}

static char *joined(job *j, const char *a, const char *b, const char *c)
{
    char *s = cpuu_asprintf("%s%s%s", a, b, c);
    char *kept = s ? cpuu_arena_strdup(&j->arena, s) : NULL;
    cpuu_free(s);
    return kept;
}

static const char *find_nocase(const char *text, const char *part)
{
    size_t n = part ? strlen(part) : 0;
    for (; n && *text; text++)
        if (cpuu_ncasecmp(text, part, n) == 0)
            return text;
    return NULL;
}

/* `old` with the first mention of `from` replaced by `to`; NULL in *out when there is none. */
static cpuu_rc replaced(job *j, const char *old, const char *from, const char *to, char **out)
{
    *out = NULL;
    const char *at = find_nocase(old, from);
    if (!at || !to)
        return CPUU_OK;
    char *head = cpuu_strndup(old, (size_t)(at - old));
    if (head)
        *out = joined(j, head, to, at + strlen(from));
    cpuu_free(head);
    return *out ? CPUU_OK : cpuu_nomem(j->err);
}

static const char *source_smtp(const job *j)
{
    return j->source->smtp ? j->source->smtp : j->account->smtp;
}

/* What a name that Outlook made from the source mailbox becomes: "anna@source.example",
 * "Mailbox - Anna Alder". Any other name was the old default or unknown, so the address is taken,
 * which is Outlook's own default. */
static cpuu_rc new_name(job *j, const char *old, const char **out)
{
    char *name;
    cpuu_rc rc = replaced(j, old, source_smtp(j), j->target->smtp, &name);
    const char *display =
        j->target->display_name && *j->target->display_name ? j->target->display_name : NULL;
    if (rc >= 0 && !name)
        rc = replaced(j, old, j->source->display_name, display ? display : j->target->smtp, &name);
    *out = name ? name : j->target->smtp;
    return rc;
}

/* ---- the values of an Exchange section: reference 4.1 and 11.2 ------------------------------- */

typedef enum action {
    DELETE = 1,
    SET_SMTP,     /* user@domain */
    SET_SMTP_URI, /* SMTP:user@domain */
    SET_NAME,     /* display name */
    SET_OST,
    SET_STORE_UID /* the target's, else deleted */
} action;

typedef struct rule {
    uint16_t id;
    action what;
    cpuu_mark mark;
    const char *title;
} rule;

#define D CPUU_MARK_DOCUMENTED
#define C CPUU_MARK_CODED
#define I CPUU_MARK_INFERRED

static const rule exchange_rules[] = {
    {0x6641, SET_SMTP_URI, D, "SMTP address of the account"},
    {0x663d, SET_SMTP, D, "e-mail address of the account"},
    {0x6620, SET_SMTP, D, "name of the account"},
    {0x6607, SET_SMTP, D, "mailbox name as typed by the user"},
    {0x3001, SET_NAME, D, "display name of the account"},
    {0x6610, SET_OST, D, "offline file (OST) of the account"},
    {0x0ff8, SET_STORE_UID, I, "mapping signature"},
    {0x6602, DELETE, C, "home server"},
    {0x6603, DELETE, C, "legacyExchangeDN of the mailbox"},
    {0x6608, DELETE, C, "server name as typed by the user"},
    {0x6612, DELETE, C, "distinguished name of the home server"},
    {0x6613, DELETE, I, "addresses of the home server"},
    {0x6614, DELETE, I, "distinguished name of the server"},
    {0x6611, DELETE, I, "offline information"},
    {0x661b, DELETE, I, "server version"},
    {0x663b, DELETE, I, "full server version"},
    {0x6622, DELETE, C, "HTTP proxy server"},
    {0x6623, DELETE, C, "HTTP proxy flags"},
    {0x6624, DELETE, I, "HTTP proxy setting"},
    {0x6625, DELETE, C, "HTTP proxy principal"},
    {0x6626, DELETE, I, "HTTP proxy setting"},
    {0x6627, DELETE, C, "HTTP proxy authentication"},
    {0x662a, DELETE, I, "host name of the home server"},
    {0x662b, DELETE, I, "host name of the server"},
    {0x664a, DELETE, D, "last known good Autodiscover address"},
    {0x6652, DELETE, I, "mailbox address, internal"},
    {0x6653, DELETE, I, "mailbox address, external"},
    {0x6654, DELETE, I, "address book address, internal"},
    {0x6655, DELETE, I, "address book address, external"},
    {0x667b, DELETE, I, "offline address book name"},
    {0x667c, DELETE, I, "offline address book id"},
    {0x667d, DELETE, I, "offline address book sequence"},
    {0x6686, DELETE, I, "time stamp of the addresses"},
    {0x6687, DELETE, I, "cached addresses"},
    {0x67f0, DELETE, D, "stored credentials"},
};

static const rule store_rules[] = {
    {0x6641, SET_SMTP_URI, D, "SMTP address of the mailbox store"},
    {0x3001, SET_NAME, D, "display name of the mailbox store"},
    {0x0ff9, SET_STORE_UID, I, "record key of the mailbox store"},
    {0x660b, DELETE, I, "legacyExchangeDN of the mailbox"},
    {0x660c, DELETE, I, "server of the mailbox store"},
    {0x662b, DELETE, I, "host name of the server"},
    {0x6614, DELETE, I, "distinguished name of the server"},
    {0x67f0, DELETE, D, "stored credentials"},
};

/* The public store of the source organisation; Outlook asks Autodiscover for the new one. */
static const rule public_rules[] = {
    {0x0fff, DELETE, I, "EntryID of the public store"},
    {0x0ff9, DELETE, I, "record key of the public store"},
    {0x660b, DELETE, I, "mailbox of the public store"},
    {0x660c, DELETE, I, "server of the public store"},
    {0x662b, DELETE, I, "host name of the server"},
    {0x6614, DELETE, I, "distinguished name of the server"},
    {0x67f0, DELETE, D, "stored credentials"},
};

#undef D
#undef C
#undef I

/* Property id of a value name, secure ones ("S" and 8 digits) included. */
static bool id_of(const char *name, uint32_t *tag)
{
    return cpuu_tag_parse(name, tag) ||
           ((name[0] == 'S' || name[0] == 's') && cpuu_tag_parse(name + 1, tag));
}

/* An offline file opens with one mailbox only: the old path never stays (reference 8.4). */
static cpuu_rc set_ost(job *j, const cpuu_section *s, const char *section, uint32_t tag,
                       const rule *r)
{
    if (j->options->ost_path)
        return set_text(j, section, tag, j->options->ost_path, r->mark, r->title);
    return unset_value(j, s->key, cpuu_section_find(s, tag), CPUU_MARK_INFERRED, r->title);
}

static cpuu_rc set_name(job *j, const cpuu_section *s, const char *section, uint32_t tag,
                        const rule *r)
{
    char *old;
    const char *name;
    if (j->options->name_target_as_source)
        return CPUU_OK;
    cpuu_rc rc = cpuu_value_text(cpuu_section_find(s, tag), &j->arena, &old, j->err);
    /* One section says that the user has chosen a name; the other may still have Outlook's own. */
    if (rc >= 0 && j->renamed && !(old && cpuu_caseeq(old, source_smtp(j))))
        return CPUU_OK;
    if (rc >= 0)
        rc = new_name(j, old ? old : "", &name);
    return rc < 0 ? rc : set_text(j, section, tag, name, r->mark, r->title);
}

static cpuu_rc set_by_rule(job *j, const cpuu_section *s, const char *section, uint32_t tag,
                           const rule *r)
{
    char *uri;
    switch (r->what) {
    case SET_SMTP:
        return set_text(j, section, tag, j->target->smtp, r->mark, r->title);
    case SET_SMTP_URI:
        uri = joined(j, "SMTP:", j->target->smtp, "");
        return uri ? set_text(j, section, tag, uri, r->mark, r->title) : cpuu_nomem(j->err);
    case SET_NAME:
        return set_name(j, s, section, tag, r);
    case SET_OST:
        return set_ost(j, s, section, tag, r);
    default:
        return CPUU_OK;
    }
}

static cpuu_rc apply_rule(job *j, const cpuu_section *s, const char *section,
                          const cpuu_reg_value *v, uint32_t tag, const rule *r)
{
    uint32_t type = tag & 0xffff;
    if (r->what == DELETE || (r->what == SET_STORE_UID && !j->target->store_uid))
        return unset_value(j, s->key, v, r->mark, r->title);
    if (r->what == SET_STORE_UID)
        return type == PT_BINARY
                   ? set_property(j, section, tag, j->target->store_uid, 16, r->mark, r->title)
                   : CPUU_OK;
    if (type != PT_UNICODE && type != PT_STRING8)
        return CPUU_OK; /* not a form anybody knows; the scan for left-overs will tell */
    return set_by_rule(j, s, section, tag, r);
}

static cpuu_rc apply_rules(job *j, const char *section, const rule *rules, size_t n)
{
    cpuu_section s;
    cpuu_rc rc = cpuu_section_open(j->p, section, &s, j->err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < s.v.count && rc >= 0; i++) {
        uint32_t tag;
        if (!id_of(s.v.items[i].name, &tag))
            continue;
        for (size_t k = 0; k < n && rc >= 0; k++)
            if (rules[k].id == tag >> 16)
                rc = apply_rule(j, &s, section, &s.v.items[i], tag, &rules[k]);
    }
    cpuu_section_close(&s);
    return rc;
}

#define RULES(table) table, sizeof(table) / sizeof((table)[0])

/* The minimum a current Outlook needs, there or not: 001f6641 (documented, reference 4.1). */
static cpuu_rc require_smtp(job *j, const char *section, const char *title)
{
    char *uri = joined(j, "SMTP:", j->target->smtp, "");
    return uri ? set_text(j, section, TAG(PR_PROFILE_USER_SMTP, PT_UNICODE), uri,
                          CPUU_MARK_DOCUMENTED, title)
               : cpuu_nomem(j->err);
}

static cpuu_rc switch_emsmdb(job *j)
{
    const char *section = j->account->emsmdb_section;
    cpuu_rc rc = apply_rules(j, section, RULES(exchange_rules));
    if (rc >= 0)
        rc = require_smtp(j, section, "SMTP address of the account");
    return rc;
}

/* Up to Outlook 2007 the settings were in the global Exchange section; later it is empty. The
 * section of the Exchange address book is treated alike (both inferred). */
static cpuu_rc switch_global(job *j)
{
    cpuu_rc rc = CPUU_OK;
    if (!cpuu_caseeq(j->account->emsmdb_section, CPUU_SECTION_EXCHANGE))
        rc = apply_rules(j, CPUU_SECTION_EXCHANGE, RULES(exchange_rules));
    if (rc >= 0)
        rc = apply_rules(j, CPUU_SECTION_EMSAB, RULES(exchange_rules));
    return rc;
}

/* ---- stores ---------------------------------------------------------------------------------- */

static cpuu_rc switch_store_entryid(job *j, const cpuu_section *s)
{
    static const char title[] = "EntryID of the mailbox store";
    const cpuu_reg_value *v = cpuu_section_find(s, PR_ENTRYID);
    if (!v)
        return CPUU_OK;
    if (j->target->store_entryid.size == 0)
        return unset_value(j, s->key, v, CPUU_MARK_INFERRED, title);
    return set_property(j, j->account->store_section, PR_ENTRYID, j->target->store_entryid.data,
                        j->target->store_entryid.size, CPUU_MARK_INFERRED, title);
}

static cpuu_rc switch_store(job *j)
{
    const char *section = j->account->store_section;
    cpuu_section s;
    cpuu_rc rc = cpuu_section_open(j->p, section, &s, j->err);
    if (rc < 0)
        return rc;
    const cpuu_reg_value *v = cpuu_section_find(&s, PR_ENTRYID);
    if (v) {
        j->old_store.data = cpuu_arena_dup(&j->arena, v->data, v->size);
        j->old_store.size = v->size;
        if (!j->old_store.data)
            rc = cpuu_nomem(j->err);
    }
    if (rc >= 0)
        rc = apply_rules(j, section, RULES(store_rules));
    if (rc >= 0)
        rc = require_smtp(j, section, "SMTP address of the mailbox store");
    if (rc >= 0)
        rc = switch_store_entryid(j, &s);
    cpuu_section_close(&s);
    return rc;
}

/* Name and address of the public store mention the source's user or belong to its organisation. */
static cpuu_rc switch_public_texts(job *j, const char *section, const cpuu_section *s)
{
    static const uint32_t types[] = {PT_UNICODE, PT_STRING8};
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; i < 2 && rc >= 0; i++) {
        char *old, *text;
        uint32_t tag = TAG(PR_DISPLAY_NAME, types[i]);
        rc = cpuu_value_text(cpuu_section_find(s, tag), &j->arena, &old, j->err);
        if (rc >= 0 && old && !j->options->name_target_as_source) {
            rc = replaced(j, old, source_smtp(j), j->target->smtp, &text);
            if (rc >= 0 && text)
                rc =
                    set_text(j, section, tag, text, CPUU_MARK_INFERRED, "name of the public store");
        }
        const cpuu_reg_value *v = cpuu_section_find(s, TAG(PR_PROFILE_USER_SMTP, types[i]));
        if (rc >= 0 && v)
            rc = unset_value(j, s->key, v, CPUU_MARK_INFERRED, "SMTP address of the public store");
    }
    return rc;
}

static const cpuu_service *service_of(const job *j)
{
    for (size_t i = 0; i < j->p->n_services; i++)
        if (cpuu_caseeq(j->p->services[i].section, j->account->service_section))
            return &j->p->services[i];
    return NULL;
}

static cpuu_rc switch_public(job *j)
{
    const cpuu_service *service = service_of(j);
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; service && i < service->n_providers && rc >= 0; i++) {
        cpuu_section s;
        rc = cpuu_section_open(j->p, service->providers[i], &s, j->err);
        if (rc < 0)
            return rc;
        if (cpuu_section_is(&s, PR_MDB_PROVIDER, cpuu_mdb_public)) {
            rc = apply_rules(j, service->providers[i], RULES(public_rules));
            if (rc >= 0)
                rc = switch_public_texts(j, service->providers[i], &s);
        }
        cpuu_section_close(&s);
    }
    return rc;
}

/* ---- the account manager: reference 6 -------------------------------------------------------- */

static cpuu_rc set_account_bytes(job *j, const cpuu_section *s, const cpuu_reg_value *v,
                                 const void *data, size_t n, cpuu_mark mark, const char *title)
{
    if (n == v->size && memcmp(data, v->data, n) == 0)
        return CPUU_OK;
    if (cpuu_edits_set(j->edits, s->key, v->name, v->type, data, (uint32_t)n, mark, title) < 0)
        return cpuu_nomem(j->err);
    return CPUU_OK;
}

/* Texts are REG_SZ from 16.0 on and REG_BINARY UTF-16 before; both hold the same bytes. */
static cpuu_rc set_account_text(job *j, const cpuu_section *s, const cpuu_reg_value *v,
                                const char *text, cpuu_mark mark, const char *title)
{
    cpuu_buf b;
    cpuu_buf_init(&b, 65536);
    cpuu_rc rc = CPUU_OK;
    if (!cpuu_buf_utf16(&b, text, true))
        rc = cpuu_nomem(j->err); /* check_job() has seen that it is UTF-8 */
    else
        rc = set_account_bytes(j, s, v, b.data, b.size, mark, title);
    cpuu_buf_free(&b);
    return rc;
}

/* Replaces an address; a text without "@" in "Account Name" was chosen by the user and stays. */
static cpuu_rc switch_account_address(job *j, const cpuu_section *s, const char *name,
                                      cpuu_mark mark, const char *title)
{
    const cpuu_reg_value *v = cpuu_reg_find(&s->v, name);
    char *old;
    cpuu_rc rc = cpuu_value_text(v, &j->arena, &old, j->err);
    if (rc < 0 || !v)
        return rc;
    if (!old)
        return cpuu_fail(j->err, CPUU_E_FORMAT, "account: '%s' is not text; it is left alone",
                         name);
    if (!strchr(old, '@'))
        return CPUU_OK;
    return set_account_text(j, s, v, j->target->smtp, mark, title);
}

static cpuu_rc switch_account_name(job *j, const cpuu_section *s)
{
    const cpuu_reg_value *v = cpuu_reg_find(&s->v, "Display Name");
    char *old;
    cpuu_rc rc = cpuu_value_text(v, &j->arena, &old, j->err);
    if (rc < 0 || !old)
        return rc;
    const char *name = j->target->display_name;
    if (find_nocase(old, source_smtp(j)))
        name = j->target->smtp;
    if (!name || !*name)
        return CPUU_OK;
    return set_account_text(j, s, v, name, CPUU_MARK_INFERRED, "display name of the account");
}

static cpuu_rc switch_identity_eid(job *j, const cpuu_section *s)
{
    static const char title[] = "address book entry of the user";
    const cpuu_reg_value *v = cpuu_reg_find(&s->v, "Identity Eid");
    cpuu_eid eid;
    if (!v)
        return CPUU_OK;
    if (!j->target->legacy_dn)
        return unset_value(j, s->key, v, CPUU_MARK_INFERRED, title);
    if (v->type != CPUU_REG_BINARY || !cpuu_eid_decode((cpuu_blob){v->data, v->size}, &eid, NULL) ||
        eid.kind != CPUU_EID_AB)
        return cpuu_fail(
            j->err, CPUU_E_FORMAT,
            "account: 'Identity Eid' is not an address book EntryID; it is left alone");
    eid.u.ab.dn =
        (cpuu_blob){(const uint8_t *)j->target->legacy_dn, (uint32_t)strlen(j->target->legacy_dn)};
    cpuu_buf b;
    cpuu_buf_init(&b, 65536);
    cpuu_rc rc = CPUU_OK;
    if (!cpuu_eid_encode(&eid, &b))
        rc = cpuu_nomem(j->err);
    else
        rc = set_account_bytes(j, s, v, b.data, b.size, CPUU_MARK_CODED, title);
    cpuu_buf_free(&b);
    return rc;
}

/* Sets a delivery EntryID to the target's, or removes it when that is not known. */
static cpuu_rc set_delivery(job *j, const cpuu_section *s, const char *name, cpuu_blob to,
                            const char *title)
{
    const cpuu_reg_value *v = cpuu_reg_find(&s->v, name);
    if (!v)
        return CPUU_OK;
    if (to.size == 0)
        return unset_value(j, s->key, v, CPUU_MARK_INFERRED, title);
    return set_account_bytes(j, s, v, to.data, to.size, CPUU_MARK_CODED, title);
}

static bool is_dn(cpuu_blob dn, const char *text)
{
    return text && strlen(text) == dn.size &&
           cpuu_ncasecmp(text, (const char *)dn.data, dn.size) == 0;
}

static bool is_source_store(const job *j, cpuu_blob store, const cpuu_eid *eid)
{
    cpuu_blob dn;
    if (!cpuu_eid_is_mailbox(eid))
        return false;
    if (j->old_store.size && cpuu_eid_same_store(store, j->old_store))
        return true;
    if (j->source->store_entryid.size && cpuu_eid_same_store(store, j->source->store_entryid))
        return true;
    return cpuu_eid_store_dn(eid, &dn) &&
           (is_dn(dn, j->source->legacy_dn) || is_dn(dn, j->account->legacy_dn));
}

/* An account delivers into the source mailbox: the switched one as a rule, others by choice. One
 * that delivers into a PST keeps doing so. */
static cpuu_rc switch_delivery(job *j, const cpuu_section *s, bool own)
{
    const cpuu_reg_value *v = cpuu_reg_find(&s->v, "Delivery Store EntryID");
    cpuu_eid eid;
    if (!v)
        return CPUU_OK;
    cpuu_blob store = {v->data, v->size};
    if (v->type != CPUU_REG_BINARY || !cpuu_eid_decode(store, &eid, NULL))
        return own ? cpuu_fail(j->err, CPUU_E_FORMAT,
                               "account: 'Delivery Store EntryID' is not an "
                               "EntryID; it is left alone")
                   : CPUU_OK;
    if (own ? !cpuu_eid_is_mailbox(&eid) : !is_source_store(j, store, &eid))
        return CPUU_OK;
    if (!own && (j->target->store_entryid.size == 0 || j->target->inbox_entryid.size == 0))
        return CPUU_OK; /* half of it would be worse than nothing: reported as a left-over */
    cpuu_rc rc = set_delivery(j, s, "Delivery Store EntryID", j->target->store_entryid,
                              own ? "delivery store" : "delivery store of another account");
    if (rc >= 0)
        rc = set_delivery(j, s, "Delivery Folder EntryID", j->target->inbox_entryid,
                          own ? "delivery folder" : "delivery folder of another account (Inbox)");
    return rc;
}

static cpuu_rc switch_own_account(job *j, const cpuu_section *s)
{
    cpuu_rc rc = switch_account_address(j, s, "Account Name", CPUU_MARK_CODED, "account name");
    if (rc >= 0)
        rc = switch_account_address(j, s, "Email", CPUU_MARK_INFERRED, "e-mail of the account");
    if (rc >= 0)
        rc = switch_account_name(j, s);
    if (rc >= 0)
        rc = switch_identity_eid(j, s);
    return rc < 0 ? rc : switch_delivery(j, s, true);
}

static const char *const junk_values[] = {"0003041b", "001f0418", "001f0419", "001f041a",
                                          "001f041c"};

/* RemoveJunkEmailMessages: the lists of the account's preference section (reference 6). */
static cpuu_rc remove_junk(job *j, const cpuu_section *account)
{
    const cpuu_reg_value *uid = cpuu_reg_find(&account->v, "Preferences UID");
    if (!j->options->remove_junk || cpuu_uids_count(uid) != 1)
        return CPUU_OK;
    char name[33];
    cpuu_hex(name, uid->data, 16);
    cpuu_section s;
    cpuu_rc rc = cpuu_section_open(j->p, name, &s, j->err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < sizeof(junk_values) / sizeof(junk_values[0]) && rc >= 0; i++) {
        const cpuu_reg_value *v = cpuu_reg_find(&s.v, junk_values[i]);
        if (v)
            rc = unset_value(j, s.key, v, CPUU_MARK_DOCUMENTED, "junk e-mail setting");
    }
    cpuu_section_close(&s);
    return rc;
}

static cpuu_rc switch_account_key(job *j, const char *manager, const char *subkey)
{
    bool own = cpuu_caseeq(subkey, j->account->subkey);
    char *key = cpuu_reg_join(manager, subkey);
    if (!key)
        return cpuu_nomem(j->err);
    cpuu_section s;
    cpuu_rc rc = cpuu_section_open_key(j->p->reg, key, &s, j->err);
    cpuu_free(key);
    if (rc < 0)
        return rc;
    if (!own)
        rc = switch_delivery(j, &s, false);
    else if ((rc = switch_own_account(j, &s)) >= 0)
        rc = remove_junk(j, &s);
    cpuu_section_close(&s);
    return rc;
}

static cpuu_rc bump_change_counter(job *j, const char *manager)
{
    cpuu_section s;
    cpuu_rc rc = cpuu_section_open_key(j->p->reg, manager, &s, j->err);
    if (rc < 0)
        return rc;
    const cpuu_reg_value *v = cpuu_reg_find(&s.v, "LastChangeVer");
    if (v && v->type == CPUU_REG_BINARY && v->size == 8) {
        uint64_t n = cpuu_le64(v->data) + 1;
        uint8_t le[8];
        for (unsigned i = 0; i < 8; i++)
            le[i] = (uint8_t)(n >> (8 * i));
        rc = set_account_bytes(j, &s, v, le, 8, CPUU_MARK_INFERRED, "change counter of accounts");
    }
    cpuu_section_close(&s);
    return rc;
}

static cpuu_rc switch_accounts(job *j)
{
    char *manager = cpuu_section_key(j->p, CPUU_SECTION_ACCOUNTS);
    if (!manager)
        return cpuu_nomem(j->err);
    cpuu_reg_names names = {0};
    cpuu_error why = CPUU_ERROR_INIT;
    size_t before = j->edits->count;
    cpuu_rc rc = cpuu_reg_keys(j->p->reg, manager, &names, &why);
    if (rc == CPUU_E_NOTFOUND)
        rc = CPUU_OK;
    else if (rc < 0)
        cpuu_pass(j->err, &why);
    for (size_t i = 0; i < names.count && rc >= 0; i++)
        rc = switch_account_key(j, manager, names.items[i]);
    if (rc >= 0 && j->edits->count != before)
        rc = bump_change_counter(j, manager);
    cpuu_reg_names_free(&names);
    cpuu_free(manager);
    return rc;
}

/* ---- keys outside the profile (R11) ---------------------------------------------------------- */

static cpuu_rc exclude_scp(job *j)
{
    static const uint8_t one[4] = {1, 0, 0, 0};
    static const char title[] = "no Autodiscover lookup in the directory (SCP)";
    char *key = cpuu_reg_join(j->p->default_key, "AutoDiscover");
    if (!key)
        return cpuu_nomem(j->err);
    cpuu_section s;
    cpuu_rc rc = cpuu_section_open_key(j->p->reg, key, &s, j->err);
    cpuu_free(key);
    if (rc < 0)
        return rc;
    const cpuu_reg_value *v = cpuu_reg_find(&s.v, "ExcludeScpLookup");
    bool set = v && v->type == CPUU_REG_DWORD && v->size == 4 && cpuu_le32(v->data) == 1;
    cpuu_mark mark = CPUU_MARK_DOCUMENTED;
    if (!s.exists && cpuu_edits_create_key(j->edits, s.key, mark, title) < 0)
        rc = CPUU_E_NOMEM;
    if (rc >= 0 && !set)
        rc = cpuu_edits_set(j->edits, s.key, v ? v->name : "ExcludeScpLookup", CPUU_REG_DWORD, one,
                            4, mark, title);
    cpuu_section_close(&s);
    return rc < 0 ? cpuu_nomem(j->err) : CPUU_OK;
}

/* Remembered EntryIDs of settings messages of the source mailbox; Outlook makes them anew. */
static cpuu_rc forget_streams(job *j)
{
    char *key = cpuu_reg_join(j->p->default_key, "Perf\\RoamingStreamsCache");
    if (!key)
        return cpuu_nomem(j->err);
    cpuu_reg_names names = {0};
    cpuu_error why = CPUU_ERROR_INIT;
    cpuu_rc rc = cpuu_reg_keys(j->p->reg, key, &names, &why);
    if (rc == CPUU_E_NOTFOUND)
        rc = CPUU_OK;
    else if (rc < 0)
        cpuu_pass(j->err, &why);
    for (size_t i = 0; i < names.count && rc >= 0; i++) {
        char *sub = cpuu_reg_join(key, names.items[i]);
        if (!sub || cpuu_edits_delete_key(j->edits, sub, CPUU_MARK_OBSERVED,
                                          "cache of roaming settings") < 0)
            rc = cpuu_nomem(j->err);
        cpuu_free(sub);
    }
    cpuu_reg_names_free(&names);
    cpuu_free(key);
    return rc;
}

static cpuu_rc switch_outside(job *j)
{
    if (!*j->p->outlook_version)
        return CPUU_OK; /* which Office a Windows Messaging profile belongs to is not known */
    cpuu_rc rc = j->options->disable_scp ? exclude_scp(j) : CPUU_OK;
    return rc < 0 ? rc : forget_streams(j);
}

/* PR_PROFILE_DISPLAYNAME_SET is documented without its section: either may hold it. */
static cpuu_rc see_renamed(job *j)
{
    const char *const sections[] = {j->account->emsmdb_section, j->account->store_section};
    for (size_t i = 0; i < 2; i++) {
        cpuu_section s;
        cpuu_rc rc = cpuu_section_open(j->p, sections[i], &s, j->err);
        if (rc < 0)
            return rc;
        j->renamed = j->renamed || cpuu_section_u32(&s, PR_DISPLAYNAME_SET, 0) == 1;
        cpuu_section_close(&s);
    }
    return CPUU_OK;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static cpuu_rc check_job(const job *j)
{
    const char *smtp = j->target->smtp;
    const char *name = j->target->display_name;
    if (!smtp || !cpuu_smtp_domain(smtp) || !cpuu_utf8_valid(smtp, strlen(smtp)))
        return cpuu_fail(j->err, CPUU_E_FORMAT, "the target has no valid SMTP address");
    if (name && !cpuu_utf8_valid(name, strlen(name)))
        return cpuu_fail(j->err, CPUU_E_FORMAT, "the target's display name is not UTF-8");
    if (!j->account->emsmdb_section || !j->account->store_section)
        return cpuu_fail(j->err, CPUU_E_FORMAT, "the Exchange account is incomplete");
    return CPUU_OK;
}

cpuu_rc cpuu_profile_switch(cpuu_profile *p, const cpuu_account *account,
                            const cpuu_identity *source, const cpuu_identity *target,
                            const cpuu_switch_options *options, cpuu_edits *edits, cpuu_error *err)
{
    job j = {.p = p,
             .account = account,
             .source = source,
             .target = target,
             .options = options,
             .edits = edits,
             .err = err};
    size_t before = edits->count;
    cpuu_rc rc = check_job(&j);
    if (rc >= 0)
        rc = see_renamed(&j);
    if (rc >= 0)
        rc = switch_emsmdb(&j);
    if (rc >= 0)
        rc = switch_global(&j);
    if (rc >= 0)
        rc = switch_store(&j);
    if (rc >= 0)
        rc = switch_public(&j);
    if (rc >= 0)
        rc = switch_accounts(&j);
    if (rc >= 0)
        rc = switch_outside(&j);
    cpuu_arena_free(&j.arena);
    if (rc < 0) {
        cpuu_edits_truncate(edits, before);
        return cpuu_wrap(err, "switching profile '%s' to '%s'", p->name,
                         target->smtp ? target->smtp : "");
    }
    return CPUU_OK;
}
