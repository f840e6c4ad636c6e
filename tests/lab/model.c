/* The state of the lab: organisations, users, stores, folders, messages, and their ids. */
#include "tests/lab/lab.h"

#include "base/clock.h"
#include "base/text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- deterministic numbers ------------------------------------------------------------------- */

/* The same content file gives the same GUIDs, two organisations never do (FNV-1a, spread). */
static uint64_t hash_text(const char *a, const char *b, const char *c, uint64_t seed)
{
    uint64_t h = 0xcbf29ce484222325u ^ seed;
    const char *parts[3] = {a, b, c};
    for (int i = 0; i < 3; i++) {
        for (const char *p = parts[i]; *p; p++)
            h = (h ^ (uint8_t)*p) * 0x100000001b3u;
        h = (h ^ 0x1f) * 0x100000001b3u;
    }
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9u;
    return h ^ (h >> 32);
}

static void make_guid(uint8_t guid[16], const char *a, const char *b, const char *c)
{
    uint64_t h[2] = {hash_text(a, b, c, 1), hash_text(a, b, c, 2)};
    for (int i = 0; i < 16; i++)
        guid[i] = (uint8_t)(h[i / 8] >> (8 * (i % 8)));
    guid[7] = (uint8_t)((guid[7] & 0x0F) | 0x40);
    guid[8] = (uint8_t)((guid[8] & 0x3F) | 0x80);
}

uint64_t lab_now(lab *l)
{
    uint64_t now = ((uint64_t)cpuu_clock_now() + 11644473600u) * 10000000u;
    l->clock = now > l->clock ? now : l->clock + 1;
    return l->clock;
}

/* ---- the lab, organisations, users ----------------------------------------------------------- */

lab *lab_new(void)
{
    lab *l = lab_calloc(1, sizeof(*l));
    pthread_mutex_init(&l->lock, NULL);
    if (!cpuu_guid_random(l->secret))
        make_guid(l->secret, "secret", "", "");
    return l;
}

lab_org *lab_add_org(lab *l, const char *name)
{
    lab_org *o = lab_calloc(1, sizeof(*o));
    o->lab = l;
    o->name = lab_strdup(name);
    o->o = lab_strdup(name);
    char domain[300];
    snprintf(domain, sizeof(domain), "%s.test", name);
    o->domain = lab_strdup(domain);
    o->mapihttp = true;
    o->max_messages = 250; /* Exchange's default; reference "exchange protocols" 5.2 */
    o->max_contexts = 100;
    l->orgs[l->n_orgs++] = o;
    return o;
}

lab_org *lab_find_org(const lab *l, const char *name)
{
    for (size_t i = 0; i < l->n_orgs; i++)
        if (cpuu_caseeq(l->orgs[i]->name, name))
            return l->orgs[i];
    return NULL;
}

lab_user *lab_add_user(lab_org *o, const char *name, lab_kind kind)
{
    lab_user *u = lab_calloc(1, sizeof(*u));
    char text[700];
    u->org = o;
    u->kind = kind;
    u->name = lab_strdup(name);
    u->display = lab_strdup(name);
    u->password = lab_strdup(name);
    snprintf(text, sizeof(text), "%s@%s", name, o->domain);
    u->smtp = lab_strdup(text);
    make_guid(u->guid, o->name, name, "object");
    snprintf(text, sizeof(text),
             "/o=%s/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Recipients/"
             "cn=%02x%02x%02x%02x-%s",
             o->o, u->guid[0], u->guid[1], u->guid[2], u->guid[3], name);
    u->dn = lab_strdup(text);
    /* Numbers below 10h are reserved, [MS-OXNSPI] 2.2.1.8. */
    u->mid = (uint32_t)(0x10 + 7 * (o->n_users + 1) + (hash_text(o->name, "", "", 3) & 0xFF0));
    LAB_GROW(o->users, o->users_cap, o->n_users);
    o->users[o->n_users++] = u;
    return u;
}

lab_user *lab_user_by_dn(const lab_org *o, const char *dn)
{
    for (size_t i = 0; i < o->n_users; i++)
        if (cpuu_caseeq(o->users[i]->dn, dn))
            return o->users[i];
    return NULL;
}

static bool has_proxy(const lab_user *u, const char *address)
{
    if (cpuu_caseeq(u->smtp, address))
        return true;
    for (size_t i = 0; i < u->n_proxies; i++) {
        const char *colon = strchr(u->proxies[i], ':');
        if (colon && cpuu_caseeq(colon + 1, address))
            return true;
    }
    return false;
}

lab_user *lab_user_by_proxy(const lab_org *o, const char *address)
{
    for (size_t i = 0; i < o->n_users; i++)
        if (has_proxy(o->users[i], address))
            return o->users[i];
    return NULL;
}

lab_user *lab_find_user(const lab_org *o, const char *name)
{
    for (size_t i = 0; i < o->n_users; i++)
        if (cpuu_caseeq(o->users[i]->name, name))
            return o->users[i];
    lab_user *u = lab_user_by_dn(o, name);
    return u ? u : lab_user_by_proxy(o, name);
}

bool lab_full_access(const lab_user *who, const lab_user *mailbox)
{
    if (who == mailbox)
        return true;
    for (size_t i = 0; mailbox && i < mailbox->n_grants; i++)
        if (lab_find_user(mailbox->org, mailbox->grants[i]) == who)
            return true;
    return false;
}

/* ---- stores ---------------------------------------------------------------------------------- */

typedef struct role_row {
    const char *role, *name, *parent, *klass;
    int slot;
    uint32_t type;
} role_row;

static const role_row private_roles[] = {
    {"root", "", NULL, "", 0, 0},
    {"deferredaction", "Deferred Action", "root", "", 1, 1},
    {"spooler", "Spooler Queue", "root", "", 2, 1},
    {"ipmsubtree", "Top of Information Store", "root", "", 3, 1},
    {"sentitems", "Sent Items", "ipmsubtree", "IPF.Note", 6, 1},
    {"deleteditems", "Deleted Items", "ipmsubtree", "IPF.Note", 7, 1},
    {"outbox", "Outbox", "ipmsubtree", "IPF.Note", 5, 1},
    {"inbox", "Inbox", "ipmsubtree", "IPF.Note", 4, 1},
    {"drafts", "Drafts", "ipmsubtree", "IPF.Note", -1, 1},
    {"calendar", "Calendar", "ipmsubtree", "IPF.Appointment", -1, 1},
    {"journal", "Journal", "ipmsubtree", "IPF.Journal", -1, 1},
    {"notes", "Notes", "ipmsubtree", "IPF.StickyNote", -1, 1},
    {"tasks", "Tasks", "ipmsubtree", "IPF.Task", -1, 1},
    {"contacts", "Contacts", "ipmsubtree", "IPF.Contact", -1, 1},
    {"junkemail", "Junk Email", "ipmsubtree", "IPF.Note", -1, 1},
    {"syncissues", "Sync Issues", "ipmsubtree", "IPF.Note", -1, 1},
    {"conflicts", "Conflicts", "syncissues", "IPF.Note", -1, 1},
    {"localfailures", "Local Failures", "syncissues", "IPF.Note", -1, 1},
    {"serverfailures", "Server Failures", "syncissues", "IPF.Note", -1, 1},
    {"commonviews", "Common Views", "root", "", 8, 1},
    {"schedule", "Schedule", "root", "", 9, 1},
    {"finder", "Finder", "root", "", 10, 1},
    {"views", "Views", "root", "", 11, 1},
    {"shortcuts", "Shortcuts", "root", "", 12, 1},
    {"reminders", "Reminders", "root", "Outlook.Reminder", -1, 2},
    {"freebusydata", "Freebusy Data", "root", "", -1, 1},
    {NULL, NULL, NULL, NULL, 0, 0},
};

static const role_row public_roles[] = {
    {"root", "", NULL, "", 0, 0},
    {"ipmsubtree", "IPM_SUBTREE", "root", "", 1, 1},
    {"nonipmsubtree", "NON_IPM_SUBTREE", "root", "", 2, 1},
    {"eforms", "EFORMS REGISTRY", "nonipmsubtree", "", 3, 1},
    {NULL, NULL, NULL, NULL, 0, 0},
};

static lab_folder *add_folder(lab_store *s, lab_folder *parent, const char *name, const char *klass,
                              uint32_t type)
{
    lab_folder *f = lab_calloc(1, sizeof(*f));
    f->store = s;
    f->parent = parent;
    f->counter = s->next_counter++;
    f->type = type;
    f->created = f->modified = lab_now(s->org->lab);
    f->change = ++s->org->lab->change;
    f->next_member = 4;
    f->next_rule = 1;
    lab_props_set_text(&f->props, 0x3001, name);
    lab_props_set_text(&f->props, 0x3004, "");
    if (klass && *klass)
        lab_props_set_text(&f->props, 0x3613, klass);
    LAB_GROW(s->folders, s->folders_cap, s->n_folders);
    s->folders[s->n_folders++] = f;
    if (parent)
        lab_folder_touch(parent);
    return f;
}

lab_folder *lab_folder_new(lab_folder *parent, const char *name, const char *klass, uint32_t type)
{
    return add_folder(parent->store, parent, name, klass, type);
}

static void default_rights(lab_folder *f, bool public)
{
    lab_member_new(f, NULL, "Default", public ? 0x401 : 0)->id = 0;
    lab_member_new(f, NULL, "Anonymous", 0)->id = -1;
}

lab_store *lab_store_new(lab_org *o, lab_user *owner)
{
    lab_store *s = lab_calloc(1, sizeof(*s));
    const char *who = owner ? owner->name : "(public)";
    s->org = o;
    s->owner = owner;
    make_guid(s->mailbox_guid, o->name, who, "mailbox");
    make_guid(s->repl_guid, o->name, who, "replica");
    s->repl_id = (uint16_t)(5 + (hash_text(o->name, who, "replid", 4) & 0x3FF));
    s->next_counter = 0x100 + (hash_text(o->name, who, "counter", 5) & 0xFFFF);
    s->next_name = (uint16_t)(0x8000 + (hash_text(o->name, who, "names", 6) & 0x3FF));
    for (const role_row *r = owner ? private_roles : public_roles; r->role; r++) {
        lab_folder *parent = r->parent ? lab_folder_by_role(s, r->parent) : NULL;
        lab_folder *f = add_folder(s, parent, r->name, r->klass, r->type);
        f->role = r->role;
        f->built_in = true;
        if (r->slot >= 0)
            s->roles[r->slot] = f;
        default_rights(f, !owner);
    }
    s->root = s->folders[0];
    s->ipm = lab_folder_by_role(s, "ipmsubtree");
    return s;
}

lab_folder *lab_folder_by_role(const lab_store *s, const char *role)
{
    for (size_t i = 0; i < s->n_folders; i++)
        if (s->folders[i]->role && cpuu_caseeq(s->folders[i]->role, role))
            return s->folders[i];
    return NULL;
}

char *lab_folder_name(const lab_folder *f)
{
    cpuu_arena a = {0};
    const lab_prop *p = lab_props_find(&f->props, 0x30010000);
    lab_val v = {p ? p->tag : 0x3001001F, p ? p->data : NULL, p ? p->size : 0};
    char *name = lab_strdup(lab_value_text(&a, &v));
    cpuu_arena_free(&a);
    return name;
}

lab_folder *lab_folder_child(const lab_folder *f, const char *name)
{
    for (size_t i = 0; i < f->store->n_folders; i++) {
        lab_folder *c = f->store->folders[i];
        if (c->parent != f || c->deleted)
            continue;
        char *have = lab_folder_name(c);
        bool same = cpuu_name_eq(have, name);
        cpuu_free(have);
        if (same)
            return c;
    }
    return NULL;
}

/* Takes one component off *path; "\/" stands for a slash inside a name. */
static bool next_component(const char **path, char *out, size_t size)
{
    size_t n = 0;
    const char *p = *path;
    while (*p && *p != '/' && n + 1 < size) {
        if (p[0] == '\\' && p[1] == '/')
            p++;
        out[n++] = *p++;
    }
    out[n] = 0;
    *path = *p == '/' ? p + 1 : p;
    return n > 0;
}

lab_folder *lab_folder_by_path(const lab_store *s, const char *path)
{
    char part[512];
    lab_folder *f = s->ipm;
    if (*path == '/') {
        f = s->root;
        path++;
    } else if (*path == '@') {
        path++;
        if (!next_component(&path, part, sizeof(part)))
            return NULL;
        f = lab_folder_by_role(s, part);
    }
    while (f && next_component(&path, part, sizeof(part)))
        f = lab_folder_child(f, part);
    return f;
}

void lab_folder_touch(lab_folder *f)
{
    f->version++;
    f->modified = lab_now(f->store->org->lab);
    f->change = ++f->store->org->lab->change;
}

void lab_folder_delete(lab_folder *f)
{
    for (size_t i = 0; i < f->store->n_folders; i++)
        if (f->store->folders[i]->parent == f && !f->store->folders[i]->deleted)
            lab_folder_delete(f->store->folders[i]);
    f->deleted = true;
    if (f->parent)
        lab_folder_touch(f->parent);
}

/* ---- messages, rules, members ---------------------------------------------------------------- */

lab_message *lab_message_new(lab_folder *f, bool fai)
{
    lab_message *m = lab_calloc(1, sizeof(*m));
    m->folder = f;
    m->fai = fai;
    m->counter = f->store->next_counter++;
    m->created = m->modified = lab_now(f->store->org->lab);
    m->change = ++f->store->org->lab->change;
    LAB_GROW(f->messages, f->messages_cap, f->n_messages);
    f->messages[f->n_messages++] = m;
    lab_folder_touch(f);
    return m;
}

void lab_message_delete(lab_message *m)
{
    m->deleted = true;
    lab_folder_touch(m->folder);
}

void lab_content_free(lab_content_of *c)
{
    lab_props_free(&c->props);
    for (size_t i = 0; i < c->n_attachments; i++)
        lab_props_free(&c->attachments[i].props);
    for (size_t i = 0; i < c->n_recipients; i++)
        cpuu_free(c->recipients[i].row);
    cpuu_free(c->attachments);
    cpuu_free(c->recipients);
    cpuu_free(c->recipient_tags);
    memset(c, 0, sizeof(*c));
}

void lab_content_copy(lab_content_of *to, const lab_content_of *from)
{
    lab_content_free(to);
    lab_props_copy(&to->props, &from->props);
    for (size_t i = 0; i < from->n_attachments; i++) {
        LAB_GROW(to->attachments, to->attachments_cap, to->n_attachments);
        lab_attachment *a = &to->attachments[to->n_attachments++];
        *a = (lab_attachment){from->attachments[i].number, {0}};
        lab_props_copy(&a->props, &from->attachments[i].props);
    }
    to->next_attachment = from->next_attachment;
    for (size_t i = 0; i < from->n_recipients; i++) {
        LAB_GROW(to->recipients, to->recipients_cap, to->n_recipients);
        lab_recipient *r = &to->recipients[to->n_recipients++];
        *r = from->recipients[i];
        r->row = lab_dup(from->recipients[i].row, r->size);
    }
    to->n_recipient_tags = from->n_recipient_tags;
    to->recipient_tags = lab_dup(from->recipient_tags ? (const void *)from->recipient_tags : "",
                                 from->n_recipient_tags * sizeof(uint32_t));
}

lab_rule *lab_rule_new(lab_folder *f)
{
    LAB_GROW(f->rules, f->rules_cap, f->n_rules);
    lab_rule *r = &f->rules[f->n_rules++];
    *r = (lab_rule){lab_id(f->store, f->next_rule++), {0}};
    lab_folder_touch(f);
    return r;
}

void lab_rule_delete(lab_folder *f, size_t i)
{
    lab_props_free(&f->rules[i].props);
    memmove(&f->rules[i], &f->rules[i + 1], (f->n_rules - i - 1) * sizeof(*f->rules));
    f->n_rules--;
    lab_folder_touch(f);
}

lab_member *lab_member_new(lab_folder *f, const char *dn, const char *name, uint32_t rights)
{
    LAB_GROW(f->members, f->members_cap, f->n_members);
    lab_member *m = &f->members[f->n_members++];
    *m = (lab_member){f->next_member, dn ? lab_strdup(dn) : NULL, lab_strdup(name), rights};
    if (dn)
        f->next_member++;
    return m;
}

uint32_t lab_rights(const lab_folder *f, const lab_user *who)
{
    const uint32_t all = 0x7FB; /* every right of [MS-OXCPERM] 2.2.7 but free/busy */
    if (f->store->owner && lab_full_access(who, f->store->owner))
        return all;
    uint32_t rights = 0;
    for (size_t i = 0; i < f->n_members; i++) {
        const lab_member *m = &f->members[i];
        if (m->dn && cpuu_caseeq(m->dn, who->dn))
            return m->rights;
        if (!m->dn && m->id == 0)
            rights = m->rights;
    }
    return rights;
}

/* ---- named properties ------------------------------------------------------------------------ */

static bool same_name(const lab_name *a, const lab_name *b)
{
    if (a->kind != b->kind || memcmp(a->guid, b->guid, 16) != 0)
        return false;
    return a->kind == 0 ? a->lid == b->lid : strcmp(a->name, b->name) == 0;
}

uint16_t lab_name_id(lab_store *s, const lab_name *n, bool create)
{
    for (size_t i = 0; i < s->n_names; i++)
        if (same_name(&s->names[i], n))
            return s->names[i].id;
    if (!create || s->next_name >= 0xFFFE)
        return 0;
    LAB_GROW(s->names, s->names_cap, s->n_names);
    lab_name *own = &s->names[s->n_names++];
    *own = *n;
    own->name = lab_strdup(n->name);
    own->id = s->next_name;
    s->next_name = (uint16_t)(s->next_name + 3);
    return own->id;
}

const lab_name *lab_name_of(const lab_store *s, uint16_t id)
{
    for (size_t i = 0; i < s->n_names; i++)
        if (s->names[i].id == id)
            return &s->names[i];
    return NULL;
}

/* ---- ids ------------------------------------------------------------------------------------- */

uint64_t lab_id(const lab_store *s, uint64_t counter)
{
    uint64_t id = s->repl_id;
    for (int i = 0; i < 6; i++)
        id |= ((counter >> (8 * (5 - i))) & 0xFF) << (16 + 8 * i);
    return id;
}

uint64_t lab_counter(uint64_t id)
{
    uint64_t counter = 0;
    for (int i = 0; i < 6; i++)
        counter = (counter << 8) | ((id >> (16 + 8 * i)) & 0xFF);
    return counter;
}

lab_folder *lab_folder_by_id(const lab_store *s, uint64_t id)
{
    for (size_t i = 0; i < s->n_folders; i++)
        if (!s->folders[i]->deleted && lab_id(s, s->folders[i]->counter) == id)
            return s->folders[i];
    return NULL;
}

lab_message *lab_message_by_id(const lab_folder *f, uint64_t id)
{
    for (size_t i = 0; i < f->n_messages; i++)
        if (!f->messages[i]->deleted && lab_id(f->store, f->messages[i]->counter) == id)
            return f->messages[i];
    return NULL;
}

static void put_counter(cpuu_buf *b, uint64_t counter)
{
    for (int i = 5; i >= 0; i--)
        cpuu_buf_u8(b, (uint8_t)(counter >> (8 * i)));
}

void lab_put_id22(cpuu_buf *b, const lab_store *s, uint64_t counter)
{
    cpuu_buf_add(b, s->repl_guid, 16);
    put_counter(b, counter);
}

/* Flags and provider UID: the mailbox GUID, or the constant of public stores. */
static void put_provider(cpuu_buf *b, const lab_store *s)
{
    static const uint8_t public_provider[16] = {0x1A, 0x44, 0x73, 0x90, 0xAA, 0x66, 0x11, 0xCD,
                                                0x9B, 0xC8, 0x00, 0xAA, 0x00, 0x2F, 0xC4, 0x5A};
    cpuu_buf_u32(b, 0);
    cpuu_buf_add(b, s->owner ? s->mailbox_guid : public_provider, 16);
}

void lab_put_folder_eid(cpuu_buf *b, const lab_folder *f)
{
    put_provider(b, f->store);
    cpuu_buf_u16(b, f->store->owner ? 1 : 3);
    lab_put_id22(b, f->store, f->counter);
    cpuu_buf_u16(b, 0);
}

void lab_put_message_eid(cpuu_buf *b, const lab_message *m)
{
    const lab_store *s = m->folder->store;
    put_provider(b, s);
    cpuu_buf_u16(b, s->owner ? 7 : 9);
    lab_put_id22(b, s, m->folder->counter);
    cpuu_buf_u16(b, 0);
    lab_put_id22(b, s, m->counter);
    cpuu_buf_u16(b, 0);
}

void lab_put_store_eid(cpuu_buf *b, const lab_store *s)
{
    static const uint8_t provider[16] = {0x38, 0xA1, 0xBB, 0x10, 0x05, 0xE5, 0x10, 0x1A,
                                         0xA1, 0xBB, 0x08, 0x00, 0x2B, 0x2A, 0x56, 0xC2};
    static const uint8_t wrapped[2][16] = {{0x1B, 0x55, 0xFA, 0x20, 0xAA, 0x66, 0x11, 0xCD, 0x9B,
                                            0xC8, 0x00, 0xAA, 0x00, 0x2F, 0xC4, 0x5A},
                                           {0x1C, 0x83, 0x02, 0x10, 0xAA, 0x66, 0x11, 0xCD, 0x9B,
                                            0xC8, 0x00, 0xAA, 0x00, 0x2F, 0xC4, 0x5A}};
    char guid[39], server[400];
    cpuu_guid_text(guid, s->mailbox_guid);
    snprintf(server, sizeof(server), "%.36s@%s", guid + 1, s->org->domain);
    cpuu_buf_u32(b, 0);
    cpuu_buf_add(b, provider, 16);
    cpuu_buf_u16(b, 0);
    cpuu_buf_add(b, "EMSMDB.DLL\0\0\0\0", 14);
    cpuu_buf_u32(b, 0);
    cpuu_buf_add(b, wrapped[s->owner ? 0 : 1], 16);
    cpuu_buf_u32(b, s->owner ? 0x0C : 0x06);
    cpuu_buf_sz(b, server);
    if (!s->owner)
        return;
    cpuu_buf_sz(b, s->owner->dn);
    size_t magic = b->size;
    cpuu_buf_u32(b, 0xF43246E9);
    cpuu_buf_u32(b, 0);
    cpuu_buf_u32(b, 2);
    cpuu_buf_u32(b, 0x10);
    cpuu_buf_utf16(b, s->owner->smtp, true);
    cpuu_buf_u16(b, 0);
    cpuu_buf_put_u32(b, magic + 4, (uint32_t)(b->size - magic));
}

void lab_put_ab_eid(cpuu_buf *b, const char *dn, uint32_t type)
{
    static const uint8_t provider[16] = {0xDC, 0xA7, 0x40, 0xC8, 0xC0, 0x42, 0x10, 0x1A,
                                         0xB4, 0xB9, 0x08, 0x00, 0x2B, 0x2F, 0xE1, 0x82};
    cpuu_buf_u32(b, 0);
    cpuu_buf_add(b, provider, 16);
    cpuu_buf_u32(b, 1);
    cpuu_buf_u32(b, type);
    cpuu_buf_sz(b, dn);
}

void lab_put_search_key(cpuu_buf *b, const char *type, const char *address)
{
    cpuu_buf_add(b, type, strlen(type));
    cpuu_buf_u8(b, ':');
    for (const char *p = address; *p; p++)
        cpuu_buf_u8(b, (uint8_t)toupper((unsigned char)*p));
    cpuu_buf_u8(b, 0);
}

uint32_t lab_display_type(const lab_user *u)
{
    return u->kind == LAB_LIST ? 1 : u->kind == LAB_REMOTE ? 6 : 0;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void free_folder(lab_folder *f)
{
    for (size_t i = 0; i < f->n_messages; i++) {
        lab_content_free(&f->messages[i]->content);
        cpuu_free(f->messages[i]);
    }
    for (size_t i = 0; i < f->n_rules; i++)
        lab_props_free(&f->rules[i].props);
    for (size_t i = 0; i < f->n_members; i++) {
        cpuu_free(f->members[i].dn);
        cpuu_free(f->members[i].name);
    }
    lab_props_free(&f->props);
    cpuu_free(f->messages);
    cpuu_free(f->rules);
    cpuu_free(f->members);
    cpuu_free(f->criteria);
    cpuu_free(f->scope);
    cpuu_free(f);
}

static void free_store(lab_store *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_folders; i++)
        free_folder(s->folders[i]);
    for (size_t i = 0; i < s->n_names; i++)
        cpuu_free(s->names[i].name);
    lab_props_free(&s->props);
    cpuu_free(s->folders);
    cpuu_free(s->names);
    cpuu_free(s);
}

static void free_strings(char **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        cpuu_free(list[i]);
    cpuu_free(list);
}

static void free_user(lab_user *u)
{
    free_store(u->store);
    free_strings(u->proxies, u->n_proxies);
    free_strings(u->grants, u->n_grants);
    free_strings(u->alternatives, u->n_alternatives);
    cpuu_free(u->name);
    cpuu_free(u->smtp);
    cpuu_free(u->dn);
    cpuu_free(u->display);
    cpuu_free(u->password);
    cpuu_free(u->autodiscover);
    cpuu_free(u);
}

void lab_free(lab *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < l->n_orgs; i++) {
        lab_org *o = l->orgs[i];
        for (size_t k = 0; k < o->n_users; k++)
            free_user(o->users[k]);
        free_store(o->public_store);
        cpuu_free(o->users);
        cpuu_free(o->name);
        cpuu_free(o->o);
        cpuu_free(o->domain);
        cpuu_free(o->host);
        cpuu_free(o);
    }
    pthread_mutex_destroy(&l->lock);
    cpuu_free(l);
}
