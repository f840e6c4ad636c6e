/* Loading the content file: sections, statements, in passes so that references may point ahead. */
#include "tests/lab/content.h"

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool content_fail(content *c, const char *fmt, ...)
{
    char text[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    snprintf(c->err, c->err_size, "%s:%u: %s", c->path, c->number, text);
    return false;
}

/* ---- references ------------------------------------------------------------------------------ */

/* Takes "org/" off the front when it names one. */
static lab_org *take_org(content *c, const content_line *l, const char **ref)
{
    const char *slash = strchr(*ref, '/');
    char name[100];
    if (slash && (size_t)(slash - *ref) < sizeof(name)) {
        snprintf(name, sizeof(name), "%.*s", (int)(slash - *ref), *ref);
        lab_org *o = lab_find_org(c->lab, name);
        if (o) {
            *ref = slash + 1;
            return o;
        }
    }
    return l->org;
}

lab_user *content_user(content *c, const content_line *l, const char *ref)
{
    const char *name = ref;
    lab_org *o = take_org(c, l, &name);
    lab_user *u = lab_find_user(o, name);
    if (!u)
        content_fail(c, "no user '%s' in [org %s]", name, o->name);
    return u;
}

static lab_store *named_store(content *c, const content_line *l, const char *who)
{
    const char *name = who;
    lab_org *o = take_org(c, l, &name);
    if (strcmp(name, "public") == 0)
        return o->public_store;
    lab_user *u = lab_find_user(o, name);
    return u ? u->store : NULL;
}

lab_folder *content_folder(content *c, const content_line *l, const char *ref)
{
    const char *colon = strchr(ref, ':'), *path = ref;
    lab_store *s = l->store;
    char who[200];
    if (colon && (size_t)(colon - ref) < sizeof(who)) {
        snprintf(who, sizeof(who), "%.*s", (int)(colon - ref), ref);
        lab_store *other = named_store(c, l, who);
        if (other) {
            s = other;
            path = colon + 1;
        }
    }
    lab_folder *f = s ? lab_folder_by_path(s, path) : NULL;
    if (!f)
        content_fail(c, "no folder '%s'", ref);
    return f;
}

/* ---- splitting lines ------------------------------------------------------------------------- */

static char *take_word(const char **p)
{
    cpuu_buf b;
    cpuu_buf_init(&b, 1u << 20);
    bool quoted = **p == '"';
    if (quoted)
        (*p)++;
    while (**p && (quoted ? **p != '"' : !strchr(" \t", **p))) {
        char ch = *(*p)++;
        if (quoted && ch == '\\' && (**p == '"' || **p == '\\'))
            ch = *(*p)++;
        else if (quoted && ch == '\\' && **p == 'n') {
            (*p)++;
            ch = '\n';
        }
        cpuu_buf_u8(&b, (uint8_t)ch);
    }
    if (quoted && **p)
        (*p)++;
    char *word = lab_calloc(1, b.size + 1);
    if (b.size)
        memcpy(word, b.data, b.size);
    cpuu_buf_free(&b);
    return word;
}

static void split(content_line *l, const char *p)
{
    l->words = lab_calloc(strlen(p) / 2 + 2, sizeof(*l->words));
    while (*p && l->n_words < CONTENT_MAX_WORDS) {
        while (*p && strchr(" \t", *p))
            p++;
        if (!*p || *p == '#')
            break;
        l->words[l->n_words++] = take_word(&p);
    }
}

/* ---- settings of organisations and users ----------------------------------------------------- */

static void replace(char **at, const char *value)
{
    cpuu_free(*at);
    *at = lab_strdup(value);
}

static bool yes(const char *value)
{
    return cpuu_caseeq(value, "yes") || cpuu_caseeq(value, "1") || cpuu_caseeq(value, "true");
}

static bool org_setting(content *c, lab_org *o, const char *key, const char *value)
{
    if (strcmp(key, "o") == 0)
        replace(&o->o, value);
    else if (strcmp(key, "domain") == 0)
        replace(&o->domain, value);
    else if (strcmp(key, "host") == 0)
        replace(&o->host, value);
    else if (strcmp(key, "independent") == 0)
        o->independent = yes(value);
    else if (strcmp(key, "odd") == 0)
        o->odd = yes(value);
    else if (strcmp(key, "mapihttp") == 0)
        o->mapihttp = yes(value);
    else if (strcmp(key, "legacy-too") == 0)
        o->legacy_too = yes(value);
    else if (strcmp(key, "max-messages") == 0)
        o->max_messages = (uint32_t)atoi(value);
    else if (strcmp(key, "max-contexts") == 0)
        o->max_contexts = (uint32_t)atoi(value);
    else if (strcmp(key, "delay") == 0)
        o->delay_ms = (uint32_t)atoi(value);
    else if (strcmp(key, "admin-flag") == 0)
        o->admin_flag = strcmp(value, "required") == 0  ? LAB_ADMIN_REQUIRED
                        : strcmp(value, "refused") == 0 ? LAB_ADMIN_REFUSED
                                                        : LAB_ADMIN_ANY;
    else
        return content_fail(c, "unknown organisation setting '%s'", key);
    return true;
}

static void append(char ***list, size_t *cap, size_t *count, const char *value)
{
    lab_grow(list, cap, *count, sizeof(**list));
    (*list)[(*count)++] = lab_strdup(value);
}

static bool user_setting(content *c, lab_user *u, const char *key, const char *value)
{
    if (strcmp(key, "smtp") == 0)
        replace(&u->smtp, value);
    else if (strcmp(key, "dn") == 0)
        replace(&u->dn, value);
    else if (strcmp(key, "display") == 0)
        replace(&u->display, value);
    else if (strcmp(key, "password") == 0)
        replace(&u->password, value);
    else if (strcmp(key, "autodiscover") == 0)
        replace(&u->autodiscover, value);
    else if (strcmp(key, "proxy") == 0)
        append(&u->proxies, &u->proxies_cap, &u->n_proxies, value);
    else if (strcmp(key, "grant") == 0)
        append(&u->grants, &u->grants_cap, &u->n_grants, value);
    else if (strcmp(key, "alternative") == 0)
        append(&u->alternatives, &u->alternatives_cap, &u->n_alternatives, value);
    else if (strcmp(key, "kind") == 0)
        u->kind = strcmp(value, "list") == 0     ? LAB_LIST
                  : strcmp(value, "remote") == 0 ? LAB_REMOTE
                  : strcmp(value, "room") == 0   ? LAB_ROOM
                                                 : LAB_MAILBOX;
    else
        return content_fail(c, "unknown user setting '%s'", key);
    return true;
}

static bool setting(content *c, content_line *l, char *text)
{
    char *equals = strchr(text, '='), *end;
    if (!equals)
        return content_fail(c, "expected 'key = value'");
    char *value = equals + 1 + strspn(equals + 1, " \t");
    for (end = equals; end > text && strchr(" \t", end[-1]); end--)
        ;
    *end = 0;
    return l->user ? user_setting(c, l->user, text, value) : org_setting(c, l->org, text, value);
}

/* ---- sections -------------------------------------------------------------------------------- */

static bool section_of(content *c, content_line *now, const char *kind, const char *name)
{
    const char *who = name;
    *now = (content_line){0};
    if (strcmp(kind, "org") == 0) {
        now->org = lab_find_org(c->lab, name);
        if (!now->org && c->lab->n_orgs >= LAB_MAX_ORGS)
            return content_fail(c, "more than %d organisations", LAB_MAX_ORGS);
        if (!now->org)
            now->org = lab_add_org(c->lab, name);
        return true;
    }
    if (strcmp(kind, "public") == 0) {
        now->org = lab_find_org(c->lab, name);
        if (!now->org)
            return content_fail(c, "no [org %s] yet", name);
        if (!now->org->public_store)
            now->org->public_store = lab_store_new(now->org, NULL);
        now->store = now->org->public_store;
        return true;
    }
    now->org = take_org(c, now, &who);
    if (!now->org)
        return content_fail(c, "expected [%s org/user]", kind);
    now->user = lab_find_user(now->org, who);
    if (strcmp(kind, "user") == 0) {
        if (!now->user)
            now->user = lab_add_user(now->org, who, LAB_MAILBOX);
        return true;
    }
    if (strcmp(kind, "mailbox") != 0 || !now->user)
        return content_fail(c, now->user ? "unknown section [%s]" : "no such user in [%s ...]",
                            kind);
    if (!now->user->store)
        now->user->store = lab_store_new(now->org, now->user);
    now->store = now->user->store;
    return true;
}

/* Users without a [mailbox] section of kind mailbox or room have an empty one. */
static void complete_stores(content *c)
{
    for (size_t i = 0; i < c->lab->n_orgs; i++)
        for (size_t k = 0; k < c->lab->orgs[i]->n_users; k++) {
            lab_user *u = c->lab->orgs[i]->users[k];
            if (!u->store && (u->kind == LAB_MAILBOX || u->kind == LAB_ROOM))
                u->store = lab_store_new(u->org, u);
        }
}

static bool read_line(content *c, content_line *now, char *text)
{
    size_t n = strlen(text);
    while (n && strchr(" \t\r", text[n - 1]))
        text[--n] = 0;
    text += strspn(text, " \t");
    if (!*text || *text == '#')
        return true;
    if (*text == '[') {
        char kind[40], name[300];
        if (sscanf(text, "[%39[^] ] %299[^]]]", kind, name) != 2)
            return content_fail(c, "a section is [kind name]");
        return section_of(c, now, kind, name);
    }
    if (!now->org)
        return content_fail(c, "statement outside a section");
    if (!now->store)
        return setting(c, now, text);
    LAB_GROW(c->lines, c->lines_cap, c->n_lines);
    content_line *l = &c->lines[c->n_lines++];
    *l = (content_line){
        .number = c->number, .org = now->org, .user = now->user, .store = now->store};
    split(l, text);
    return true;
}

/* ---- statements ------------------------------------------------------------------------------ */

static bool need(content *c, const content_line *l, size_t words)
{
    return l->n_words >= words || content_fail(c, "'%s' needs more words", l->words[0]);
}

/* Creates the last component of the path; the ones before it must exist. */
static bool make_folder(content *c, const content_line *l, uint32_t type)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s", l->words[1]);
    char *cut = NULL;
    for (char *p = path; *p; p++)
        if (*p == '/' && (p == path || p[-1] != '\\'))
            cut = p;
    char name[512];
    size_t n = 0;
    for (const char *p = cut ? cut + 1 : path; *p && n + 1 < sizeof(name); p++)
        if (!(p[0] == '\\' && p[1] == '/'))
            name[n++] = *p;
    name[n] = 0;
    lab_folder *parent = l->store->ipm;
    if (cut) {
        *(cut == path ? cut + 1 : cut) = 0;
        parent = lab_folder_by_path(l->store, path);
    }
    if (!parent)
        return content_fail(c, "no parent folder for '%s'", l->words[1]);
    if (lab_folder_child(parent, name))
        return content_fail(c, "folder '%s' is there already", l->words[1]);
    const char *klass = l->n_words > 2 ? l->words[2] : "IPF.Note"; /* "-": none */
    lab_folder *f = lab_folder_new(parent, name, strcmp(klass, "-") ? klass : NULL, type);
    for (size_t i = 0; i < parent->n_members; i++) {
        const lab_member *m = &parent->members[i];
        lab_member *own = lab_member_new(f, m->dn, m->name, m->rights);
        if (!m->dn)
            own->id = m->id;
    }
    return true;
}

static bool rename_folder(content *c, const content_line *l)
{
    lab_folder *f = need(c, l, 3) ? content_folder(c, l, l->words[1]) : NULL;
    if (f)
        lab_props_set_text(&f->props, 0x3001, l->words[2]);
    return f != NULL;
}

static bool make_item(content *c, content_line *l, bool fai)
{
    lab_folder *f = content_folder(c, l, l->words[1]);
    if (!f)
        return false;
    l->message = lab_message_new(f, fai);
    l->message->version = 1;
    if (l->n_words >= 4 && strcmp(l->words[2], "as") == 0) {
        LAB_GROW(c->labels, c->labels_cap, c->n_labels);
        c->labels[c->n_labels++] = (content_label){l->words[3], l->message};
    }
    return true;
}

/* The Switch Message, decision D5. */
static bool make_switch(content *c, content_line *l)
{
    lab_user *to = content_user(c, l, l->words[1]);
    lab_folder *inbox = lab_folder_by_role(l->store, "inbox");
    if (!to || !inbox)
        return to && content_fail(c, "a Switch Message goes into a mailbox");
    bool o365 = l->n_words > 2 && strcmp(l->words[2], "o365") == 0;
    char *xml = cpuu_asprintf(
        "<SwitchMessage xmlns=\"urn:cpuu:switch:1\" version=\"1\"><TargetMailboxDN>%s"
        "</TargetMailboxDN><TargetSmtpAddress>%s</TargetSmtpAddress><TargetOffice365>%s"
        "</TargetOffice365></SwitchMessage>",
        to->dn, to->smtp, o365 ? "true" : "false");
    lab_message *m = lab_message_new(inbox, true);
    m->version = 1;
    lab_props *bag = &m->content.props;
    lab_props_set_text(bag, 0x001A, "IPM.Configuration.CPUU.Switch");
    lab_props_set_text(bag, 0x0E1D, "IPM.Configuration.CPUU.Switch");
    lab_props_set_text(bag, 0x003D, "");
    lab_props_set_u32(bag, 0x7C060003, 2);
    lab_props_set(bag, 0x7C080102, xml, strlen(xml));
    cpuu_free(xml);
    return true;
}

static bool parse_rights(const char *text, uint32_t *rights)
{
    static const struct {
        const char *name;
        uint32_t rights;
    } names[] = {
        {"owner", 0x7FB}, {"editor", 0x47B}, {"author", 0x41B}, {"reviewer", 0x401}, {"none", 0}};
    char *end;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i].name, text) == 0) {
            *rights = names[i].rights;
            return true;
        }
    *rights = (uint32_t)strtoul(text, &end, 0);
    return *text && !*end;
}

static bool permission(content *c, const content_line *l)
{
    lab_folder *f = need(c, l, 4) ? content_folder(c, l, l->words[1]) : NULL;
    uint32_t rights;
    if (!f)
        return false;
    if (!parse_rights(l->words[3], &rights))
        return content_fail(c, "'%s' is no right", l->words[3]);
    for (size_t i = 0; i < f->n_members; i++)
        if (!f->members[i].dn && cpuu_caseeq(f->members[i].name, l->words[2])) {
            f->members[i].rights = rights;
            return true;
        }
    lab_user *u = content_user(c, l, l->words[2]);
    if (u)
        lab_member_new(f, u->dn, u->display, rights);
    return u != NULL;
}

static bool attachment(content *c, const content_line *l, lab_message *m)
{
    if (!m)
        return content_fail(c, "attachment before an item");
    lab_content_of *k = &m->content;
    LAB_GROW(k->attachments, k->attachments_cap, k->n_attachments);
    lab_attachment *a = &k->attachments[k->n_attachments++];
    *a = (lab_attachment){k->next_attachment++, {0}};
    lab_props_set_u32(&a->props, 0x37050003, 1);
    lab_props_set_text(&a->props, 0x3707, l->words[1]);
    const char *text = l->n_words > 2 ? l->words[2] : "";
    lab_props_set(&a->props, 0x37010102, text, strlen(text));
    return true;
}

/* Pass 1 makes folders, pass 2 messages, pass 3 everything that may refer to them. */
static bool statement(content *c, content_line *l, unsigned pass, lab_message **message,
                      lab_props **bag)
{
    const char *what = l->words[0];
    if (strcmp(what, "folder") == 0 || strcmp(what, "search") == 0)
        return pass != 1 || (need(c, l, 2) && make_folder(c, l, *what == 's' ? 2 : 1));
    if (strcmp(what, "name") == 0)
        return pass != 1 || rename_folder(c, l);
    if (strcmp(what, "item") == 0 || strcmp(what, "fai") == 0) {
        if (pass == 2)
            return need(c, l, 2) && make_item(c, l, *what == 'f');
        *message = l->message;
        *bag = l->message ? &l->message->content.props : NULL;
        return true;
    }
    if (strcmp(what, "switch") == 0)
        return pass != 2 || (need(c, l, 2) && make_switch(c, l));
    if (pass != 3)
        return true;
    if (strcmp(what, "prop") == 0) {
        if (!*bag)
            return content_fail(c, "prop before an item or a rule");
        return need(c, l, 3) && content_prop(c, l, 1, *bag);
    }
    if (strcmp(what, "attachment") == 0)
        return need(c, l, 2) && attachment(c, l, *message);
    if (strcmp(what, "folderprop") == 0) {
        lab_folder *f = need(c, l, 4) ? content_folder(c, l, l->words[1]) : NULL;
        return f && content_prop(c, l, 2, &f->props);
    }
    if (strcmp(what, "permission") == 0)
        return permission(c, l);
    if (strcmp(what, "rule") == 0)
        return need(c, l, 3) && content_rule(c, l, bag);
    return content_fail(c, "unknown statement '%s'", what);
}

static bool run_statements(content *c)
{
    for (unsigned pass = 1; pass <= 3; pass++) {
        lab_message *message = NULL;
        lab_props *bag = NULL;
        lab_store *store = NULL;
        for (size_t i = 0; i < c->n_lines; i++) {
            content_line *l = &c->lines[i];
            c->number = l->number;
            if (l->store != store) {
                message = NULL;
                bag = NULL;
            }
            store = l->store;
            if (!statement(c, l, pass, &message, &bag))
                return false;
        }
    }
    return true;
}

static bool load_text(content *c, char *text)
{
    content_line now = {0};
    while (text) {
        char *end = strchr(text, '\n');
        if (end)
            *end = 0;
        c->number++;
        if (!cpuu_utf8_valid(text, strlen(text)))
            return content_fail(c, "not UTF-8");
        if (!read_line(c, &now, text))
            return false;
        text = end ? end + 1 : NULL;
    }
    complete_stores(c);
    return run_statements(c);
}

bool lab_load_text(lab *l, const char *name, char *text, char *err, size_t err_size)
{
    content c = {.lab = l, .path = name, .err = err, .err_size = err_size};
    bool ok = load_text(&c, text);
    if (ok && l->n_orgs == 0)
        ok = content_fail(&c, "no organisation");
    for (size_t i = 0; i < c.n_lines; i++) {
        for (size_t k = 0; k < c.lines[i].n_words; k++)
            cpuu_free(c.lines[i].words[k]);
        cpuu_free(c.lines[i].words);
    }
    cpuu_free(c.lines);
    cpuu_free(c.labels);
    return ok;
}

bool lab_load(lab *l, const char *path, char *err, size_t err_size)
{
    cpuu_error e = CPUU_ERROR_INIT;
    cpuu_buf b;
    cpuu_buf_init(&b, 64u << 20);
    bool ok = cpuu_file_read(path, &b, NULL, &e) >= 0 && cpuu_buf_u8(&b, 0);
    if (ok)
        ok = lab_load_text(l, path, (char *)b.data, err, err_size);
    else
        snprintf(err, err_size, "%s", e.text);
    cpuu_buf_free(&b);
    return ok;
}
