/* Logon, folders, rules, permissions, ids and names. */
#include "tests/lab/rop.h"

#include "base/clock.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define RIGHT_READ      0x001u
#define RIGHT_CREATE    0x002u
#define RIGHT_EDIT_OWN  0x008u
#define RIGHT_DELETE    0x050u
#define RIGHT_SUBFOLDER 0x080u
#define RIGHT_OWNER     0x100u
#define RIGHT_VISIBLE   0x400u

/* ---- RopLogon ([MS-OXCSTOR] 2.2.1.1, 3.2.5.1) ------------------------------------------------ */

static void put_logon_time(cpuu_buf *b)
{
    time_t now = (time_t)cpuu_clock_now();
    struct tm tm;
    gmtime_r(&now, &tm);
    cpuu_buf_u8(b, (uint8_t)tm.tm_sec);
    cpuu_buf_u8(b, (uint8_t)tm.tm_min);
    cpuu_buf_u8(b, (uint8_t)tm.tm_hour);
    cpuu_buf_u8(b, (uint8_t)tm.tm_wday);
    cpuu_buf_u8(b, (uint8_t)tm.tm_mday);
    cpuu_buf_u8(b, (uint8_t)(tm.tm_mon + 1));
    cpuu_buf_u16(b, (uint16_t)(tm.tm_year + 1900));
}

static void put_logon(lab_rop *x, const lab_store *s, uint8_t flags, bool owner)
{
    for (int i = 0; i < LAB_ROLES; i++)
        cpuu_buf_u64(x->out, s->roles[i] ? lab_id(s, s->roles[i]->counter) : 0);
    if (!s->owner) {
        cpuu_buf_u16(x->out, s->repl_id);
        cpuu_buf_add(x->out, s->repl_guid, 16);
        cpuu_buf_fill(x->out, 0, 16);
        return;
    }
    (void)flags;
    bool self = s->owner == x->user;
    cpuu_buf_u8(x->out, (uint8_t)(0x01 | (owner ? 0x02 : 0) | (self ? 0x04 : 0)));
    cpuu_buf_add(x->out, s->mailbox_guid, 16);
    cpuu_buf_u16(x->out, s->repl_id);
    cpuu_buf_add(x->out, s->repl_guid, 16);
    put_logon_time(x->out);
    cpuu_buf_u64(x->out, lab_now(x->org->lab));
    cpuu_buf_u32(x->out, 0);
}

static bool any_rights(const lab_store *s, const lab_user *who)
{
    for (size_t i = 0; i < s->n_folders; i++)
        if (lab_rights(s->folders[i], who))
            return true;
    return false;
}

static uint32_t private_logon(lab_rop *x, uint32_t open_flags, const char *dn, lab_store **out)
{
    lab_user *u = lab_user_by_dn(x->org, dn);
    if (!u || !u->store)
        return EC_UNKNOWN_USER;
    if (!(open_flags & 0x01000000)) /* USE_PER_MDB_REPLID_MAPPING */
        return EC_INVALID_PARAM;
    bool admin = open_flags & 0x1;
    if (u != x->user) {
        if (admin && (x->org->admin_flag == LAB_ADMIN_REFUSED || !lab_full_access(x->user, u)))
            return EC_LOGIN_PERM;
        if (!admin && x->org->admin_flag == LAB_ADMIN_REQUIRED)
            return EC_PROFILE;
        if (!x->org->independent && !lab_full_access(x->user, u) && !any_rights(u->store, x->user))
            return EC_ACCESS_DENIED;
    }
    *out = u->store;
    return EC_SUCCESS;
}

/* An organisation of many servers, where the URL's MailboxId decides which one it is: the ServerName
 * of a Logon to another mailbox ([MS-OXCROPS] 2.2.3.1.4). False: it is the right one. */
static bool on_another_server(lab_rop *x, const lab_store *store, uint8_t index, uint8_t flags)
{
    char guid[39], name[255];
    if (!x->org->odd || !x->ctx->mailbox[0] || !store->owner)
        return false;
    cpuu_guid_text(guid, store->mailbox_guid);
    guid[37] = 0;
    if (cpuu_ncasecmp(x->ctx->mailbox, guid + 1, 36) == 0)
        return false;
    int n = snprintf(name, sizeof(name),
                     "/o=%s/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Configuration/"
                     "cn=Servers/cn=%s@%s", x->org->o, guid + 1, x->org->domain);
    rop_head(x, index, 0x478);
    cpuu_buf_u8(x->out, flags & 0x07);
    cpuu_buf_u8(x->out, (uint8_t)(n + 1));
    cpuu_buf_add(x->out, name, (size_t)n + 1);
    x->handles[index] = LAB_NO_HANDLE;
    return true;
}

void rop_logon(lab_rop *x)
{
    uint8_t index = cpuu_read_u8(&x->in, "OutputHandleIndex");
    uint8_t flags = cpuu_read_u8(&x->in, "LogonFlags");
    uint32_t open_flags = cpuu_read_u32(&x->in, "OpenFlags");
    cpuu_read_u32(&x->in, "StoreState");
    uint16_t size = cpuu_read_u16(&x->in, "EssdnSize");
    const uint8_t *dn = cpuu_read_bytes(&x->in, size, "Essdn");
    rop_check_index(x, index);
    if (x->dry || x->in.failed)
        return;
    char name[1024] = "";
    if (size && size < sizeof(name))
        memcpy(name, dn, size);
    name[sizeof(name) - 1] = 0;
    lab_store *store = NULL;
    uint32_t rc = EC_LOGIN_PERM;
    if (flags & 0x01)
        rc = private_logon(x, open_flags, name, &store);
    else if (open_flags & 0x02) {
        store = x->org->public_store;
        rc = store ? EC_SUCCESS : EC_LOGIN_PERM;
    }
    if (rc != EC_SUCCESS) {
        x->handles[index] = LAB_NO_HANDLE;
        rop_head(x, index, rc);
        return;
    }
    if (on_another_server(x, store, index, flags))
        return;
    lab_object *o = rop_open(x, index, LAB_OBJ_LOGON, NULL);
    o->store = store;
    o->owner = store->owner && lab_full_access(x->user, store->owner);
    rop_head(x, index, EC_SUCCESS);
    cpuu_buf_u8(x->out, flags & 0x07);
    put_logon(x, store, flags, o->owner);
}

/* ---- folders ([MS-OXCFOLD]) ------------------------------------------------------------------ */

static bool may_see(lab_rop *x, const lab_folder *f)
{
    if (lab_rights(f, x->user) & (RIGHT_VISIBLE | RIGHT_OWNER | RIGHT_READ))
        return true;
    /* The way to a visible folder: root and visible tree open for everybody (observed). */
    return f == f->store->root || f == f->store->ipm;
}

static lab_folder *find_folder(lab_rop *x, lab_object *from, uint64_t id)
{
    lab_folder *f = lab_folder_by_id(from->store, id);
    return f && may_see(x, f) ? f : NULL;
}

void rop_open_folder(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint8_t index = cpuu_read_u8(&x->in, "OutputHandleIndex");
    uint64_t id = cpuu_read_u64(&x->in, "FolderId");
    cpuu_read_u8(&x->in, "OpenModeFlags");
    rop_check_index(x, index);
    if (x->dry || x->in.failed)
        return;
    lab_object *from = rop_object_to(
        x, in, KIND(LAB_OBJ_LOGON) | KIND(LAB_OBJ_FOLDER) | KIND(LAB_OBJ_MESSAGE), index);
    if (!from)
        return;
    lab_folder *f = find_folder(x, from, id);
    if (!f) {
        x->handles[index] = LAB_NO_HANDLE;
        rop_head(x, index, EC_NOT_FOUND);
        return;
    }
    lab_store *store = from->store;
    lab_object *o = rop_open(x, index, LAB_OBJ_FOLDER, NULL);
    o->store = store;
    o->folder = f;
    rop_head(x, index, EC_SUCCESS);
    cpuu_buf_u8(x->out, f->n_rules != 0);
    cpuu_buf_u8(x->out, 0);
}

/* A name in a request: Unicode or 8-bit, as UTF-8. */
static char *read_name(lab_rop *x, bool wide, const char *field)
{
    uint32_t size = 0;
    const uint8_t *p =
        wide ? cpuu_read_sz16(&x->in, &size, field) : cpuu_read_sz8(&x->in, &size, field);
    lab_val v = {TAG(0, wide ? PT_UNICODE : PT_STRING8), p, size};
    return p ? lab_value_text(&x->arena, &v) : NULL;
}

static void put_created(lab_rop *x, uint8_t index, lab_folder *f, bool existing)
{
    rop_head(x, index, EC_SUCCESS);
    cpuu_buf_u64(x->out, lab_id(f->store, f->counter));
    cpuu_buf_u8(x->out, existing);
    if (existing) {
        cpuu_buf_u8(x->out, f->n_rules != 0);
        cpuu_buf_u8(x->out, 0); /* IsGhosted */
    }
}

static void inherit_members(lab_folder *f)
{
    const lab_folder *from = f->parent;
    for (size_t i = 0; i < from->n_members; i++) {
        const lab_member *m = &from->members[i];
        lab_member *own = lab_member_new(f, m->dn, m->name, m->rights);
        if (!m->dn)
            own->id = m->id;
    }
}

void rop_create_folder(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint8_t index = cpuu_read_u8(&x->in, "OutputHandleIndex");
    uint8_t type = cpuu_read_u8(&x->in, "FolderType");
    bool wide = cpuu_read_u8(&x->in, "UseUnicodeStrings");
    bool open_existing = cpuu_read_u8(&x->in, "OpenExisting");
    cpuu_read_u8(&x->in, "Reserved");
    char *name = read_name(x, wide, "DisplayName");
    char *comment = read_name(x, wide, "Comment");
    rop_check_index(x, index);
    if (x->dry || x->in.failed)
        return;
    lab_object *from = rop_object_to(x, in, KIND(LAB_OBJ_FOLDER), index);
    if (!from)
        return;
    x->handles[index] = LAB_NO_HANDLE;
    lab_folder *parent = from->folder, *f = NULL;
    uint32_t rc = EC_SUCCESS;
    if (!(lab_rights(parent, x->user) & RIGHT_SUBFOLDER))
        rc = EC_ACCESS_DENIED;
    else if ((type != 1 && type != 2) || !*name || parent->type == 2)
        rc = EC_INVALID_PARAM;
    else if ((f = lab_folder_child(parent, name)) && !open_existing)
        rc = EC_COLLIDING_NAMES;
    if (rc != EC_SUCCESS) {
        rop_head(x, index, rc);
        return;
    }
    bool existing = f != NULL;
    if (!f) {
        f = lab_folder_new(parent, name, NULL, type);
        inherit_members(f);
        lab_props_set_text(&f->props, 0x3004, comment);
        rop_notify_child(x, f);
    }
    lab_object *o = rop_open(x, index, LAB_OBJ_FOLDER, NULL);
    o->store = f->store;
    o->folder = f;
    put_created(x, index, f, existing);
}

static bool live_messages(const lab_folder *f)
{
    for (size_t i = 0; i < f->n_messages; i++)
        if (!f->messages[i]->deleted)
            return true;
    return false;
}

static bool live_folders(const lab_folder *f)
{
    for (size_t i = 0; i < f->store->n_folders; i++)
        if (f->store->folders[i]->parent == f && !f->store->folders[i]->deleted)
            return true;
    return false;
}

void rop_delete_folder(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint8_t flags = cpuu_read_u8(&x->in, "DeleteFolderFlags");
    uint64_t id = cpuu_read_u64(&x->in, "FolderId");
    if (x->dry || x->in.failed)
        return;
    lab_object *from = rop_object(x, in, KIND(LAB_OBJ_FOLDER));
    if (!from) {
        cpuu_buf_u8(x->out, 1);
        return;
    }
    lab_folder *f = lab_folder_by_id(from->store, id);
    uint32_t rc = EC_SUCCESS;
    bool partial = false;
    if (!f || f->parent != from->folder)
        rc = EC_NOT_FOUND;
    else if (f->role || !(lab_rights(f, x->user) & RIGHT_OWNER))
        rc = EC_ACCESS_DENIED;
    else if ((live_messages(f) && !(flags & 0x01)) || (live_folders(f) && !(flags & 0x04)))
        partial = true;
    else
        lab_folder_delete(f);
    rop_head(x, in, rc);
    cpuu_buf_u8(x->out, partial);
}

void rop_empty_folder(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    cpuu_read_u8(&x->in, "WantAsynchronous");
    bool associated = cpuu_read_u8(&x->in, "WantDeleteAssociated");
    if (x->dry || x->in.failed)
        return;
    lab_object *from = rop_object(x, in, KIND(LAB_OBJ_FOLDER));
    if (!from) {
        cpuu_buf_u8(x->out, 1);
        return;
    }
    lab_folder *f = from->folder;
    bool allowed = lab_rights(f, x->user) & RIGHT_OWNER;
    for (size_t i = 0; allowed && i < f->n_messages; i++)
        if (!f->messages[i]->deleted && (associated || !f->messages[i]->fai))
            lab_message_delete(f->messages[i]);
    for (size_t i = 0; allowed && i < f->store->n_folders; i++)
        if (f->store->folders[i]->parent == f && !f->store->folders[i]->deleted)
            lab_folder_delete(f->store->folders[i]);
    rop_head(x, in, allowed ? EC_SUCCESS : EC_ACCESS_DENIED);
    cpuu_buf_u8(x->out, !allowed);
}

/* RopDeleteMessages and RopHardDeleteMessages: deletes at once; only PartialCompletion tells that
 * some were not deleted ([MS-OXCFOLD] R2991). Something gone already is no failure (observed). */
void rop_delete_messages(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    cpuu_read_u8(&x->in, "WantAsynchronous");
    cpuu_read_u8(&x->in, "NotifyNonRead");
    uint16_t n = cpuu_read_u16(&x->in, "MessageIdCount");
    cpuu_reader ids = cpuu_reader_sub(&x->in, 8u * n, "MessageIds");
    if (x->dry || x->in.failed)
        return;
    lab_object *from = rop_object(x, in, KIND(LAB_OBJ_FOLDER));
    if (!from) {
        cpuu_buf_u8(x->out, 1);
        return;
    }
    bool partial = false;
    bool allowed = lab_rights(from->folder, x->user) & RIGHT_DELETE;
    for (uint16_t i = 0; i < n; i++) {
        lab_message *m = lab_message_by_id(from->folder, cpuu_read_u64(&ids, "MessageId"));
        if (m && allowed)
            lab_message_delete(m);
        else if (m)
            partial = true;
    }
    rop_head(x, in, EC_SUCCESS);
    cpuu_buf_u8(x->out, partial);
}

/* ---- search folders -------------------------------------------------------------------------- */

void rop_search_set(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint16_t size = cpuu_read_u16(&x->in, "RestrictionDataSize");
    cpuu_reader restriction = cpuu_reader_sub(&x->in, size, "RestrictionData");
    uint16_t n = cpuu_read_u16(&x->in, "FolderIdCount");
    cpuu_reader ids = cpuu_reader_sub(&x->in, 8u * n, "FolderIds");
    uint32_t flags = cpuu_read_u32(&x->in, "SearchFlags");
    if (size &&
        (!lab_restriction(&restriction, NULL, NULL, NULL, 0) || cpuu_reader_left(&restriction)))
        cpuu_reader_fail(&x->in, "RestrictionData", "not a restriction");
    if (x->dry || x->in.failed)
        return;
    lab_object *from = rop_object(x, in, KIND(LAB_OBJ_FOLDER));
    if (!from)
        return;
    lab_folder *f = from->folder;
    uint32_t rc = f->type != 2                              ? EC_NOT_SEARCH_FOLDER
                  : !(lab_rights(f, x->user) & RIGHT_OWNER) ? EC_ACCESS_DENIED
                                                            : EC_SUCCESS;
    if (rc == EC_SUCCESS) {
        if (size) {
            cpuu_free(f->criteria);
            f->criteria = lab_dup(restriction.data, size);
            f->criteria_size = size;
        }
        if (n) {
            cpuu_free(f->scope);
            f->scope = lab_calloc(n, sizeof(*f->scope));
            for (uint16_t i = 0; i < n; i++)
                f->scope[i] = cpuu_read_u64(&ids, "FolderId");
            f->n_scope = n;
        }
        f->search_flags = flags;
        lab_folder_touch(f);
    }
    rop_head(x, in, rc);
}

void rop_search_get(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    cpuu_read_u8(&x->in, "UseUnicode");
    bool restriction = cpuu_read_u8(&x->in, "IncludeRestriction");
    bool folders = cpuu_read_u8(&x->in, "IncludeFolders");
    if (x->dry || x->in.failed)
        return;
    lab_object *from = rop_object(x, in, KIND(LAB_OBJ_FOLDER));
    if (!from)
        return;
    const lab_folder *f = from->folder;
    if (f->type != 2) {
        rop_head(x, in, EC_NOT_SEARCH_FOLDER);
        return;
    }
    rop_head(x, in, EC_SUCCESS);
    uint16_t size = restriction ? f->criteria_size : 0, n = folders ? f->n_scope : 0;
    cpuu_buf_u16(x->out, size);
    cpuu_buf_add(x->out, f->criteria, size);
    cpuu_buf_u8(x->out, x->logon_id);
    cpuu_buf_u16(x->out, n);
    for (uint16_t i = 0; i < n; i++)
        cpuu_buf_u64(x->out, f->scope[i]);
    /* Running and recursive as asked; [MS-OXCFOLD] 2.2.1.5.2 */
    uint32_t flags = f->criteria_size ? 0x1u | ((f->search_flags & 0x4) ? 0x4u : 0) : 0;
    cpuu_buf_u32(x->out, flags);
}

/* ---- permissions ([MS-OXCPERM]) and rules ([MS-OXORULE]) ------------------------------------- */

typedef struct row_change {
    uint8_t how; /* 1 add, 2 modify, 4 remove */
    lab_val values[64];
    uint16_t n;
} row_change;

static bool read_change(cpuu_reader *r, row_change *c)
{
    c->how = cpuu_read_u8(r, "DataFlags");
    c->n = cpuu_read_u16(r, "PropertyValueCount");
    for (uint16_t i = 0; i < c->n && !r->failed; i++) {
        lab_val v;
        if (lab_tagged_read(r, &v) && i < 64)
            c->values[i] = v;
    }
    if (c->n > 64)
        cpuu_reader_fail(r, "PropertyValueCount", "more than the lab takes");
    return !r->failed;
}

static const lab_val *change_value(const row_change *c, uint16_t id)
{
    for (uint16_t i = 0; i < c->n; i++)
        if (TAG_ID(c->values[i].tag) == id)
            return &c->values[i];
    return NULL;
}

static uint64_t value_u64(const lab_val *v)
{
    return v && v->size == 8 ? cpuu_le64(v->data) : 0;
}

static lab_member *find_member(lab_folder *f, int64_t id)
{
    for (size_t i = 0; i < f->n_members; i++)
        if (f->members[i].id == id)
            return &f->members[i];
    return NULL;
}

static void remove_member(lab_folder *f, lab_member *m)
{
    size_t i = (size_t)(m - f->members);
    cpuu_free(m->dn);
    cpuu_free(m->name);
    memmove(m, m + 1, (f->n_members - i - 1) * sizeof(*m));
    f->n_members--;
}

/* The DN inside an address-book EntryID, or NULL. */
static const char *eid_dn(const lab_val *v)
{
    if (!v || v->size < 30 || v->data[v->size - 1] != 0)
        return NULL;
    return (const char *)v->data + 28;
}

static uint32_t add_member(lab_rop *x, lab_folder *f, const row_change *c, uint32_t rights)
{
    const char *dn = eid_dn(change_value(c, 0x0FFF));
    lab_user *u = dn ? lab_user_by_dn(x->org, dn) : NULL;
    if (!u)
        return dn ? EC_NOT_FOUND : EC_INVALID_PARAM;
    for (size_t i = 0; i < f->n_members; i++)
        if (f->members[i].dn && cpuu_caseeq(f->members[i].dn, u->dn)) {
            f->members[i].rights = rights;
            return EC_SUCCESS;
        }
    lab_member_new(f, u->dn, u->display, rights);
    return EC_SUCCESS;
}

static uint32_t change_member(lab_rop *x, lab_folder *f, const row_change *c)
{
    const lab_val *rights = change_value(c, 0x6673);
    uint32_t r = rights && rights->size == 4 ? cpuu_le32(rights->data) : 0;
    if (c->how == 1)
        return rights ? add_member(x, f, c, r) : EC_INVALID_PARAM;
    const lab_val *id = change_value(c, 0x6671);
    lab_member *m = id ? find_member(f, (int64_t)value_u64(id)) : NULL;
    if (!m)
        return EC_INVALID_PARAM;
    if (c->how == 4 && !m->dn)
        return EC_INVALID_PARAM; /* default and anonymous stay */
    if (c->how == 4)
        remove_member(f, m);
    else if (c->how == 2 && rights)
        m->rights = r;
    else
        return EC_INVALID_PARAM;
    return EC_SUCCESS;
}

void rop_modify_permissions(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint8_t flags = cpuu_read_u8(&x->in, "ModifyFlags");
    uint16_t n = cpuu_read_u16(&x->in, "ModifyCount");
    row_change *c = lab_arena(&x->arena, sizeof(*c));
    cpuu_reader rows = x->in;
    for (uint16_t i = 0; i < n && !x->in.failed; i++)
        read_change(&x->in, c);
    if (x->dry || x->in.failed)
        return;
    lab_object *from = rop_object(x, in, KIND(LAB_OBJ_FOLDER));
    if (!from)
        return;
    lab_folder *f = from->folder;
    uint32_t rc = lab_rights(f, x->user) & RIGHT_OWNER ? EC_SUCCESS : EC_ACCESS_DENIED;
    for (size_t i = f->n_members; rc == EC_SUCCESS && (flags & 0x01) && i > 0; i--)
        if (f->members[i - 1].dn)
            remove_member(f, &f->members[i - 1]);
    for (uint16_t i = 0; i < n && rc == EC_SUCCESS; i++) {
        read_change(&rows, c);
        rc = change_member(x, f, c);
    }
    lab_folder_touch(f);
    rop_head(x, in, rc);
}

static void set_rule(lab_rule *rule, const row_change *c)
{
    for (uint16_t i = 0; i < c->n; i++)
        if (TAG_ID(c->values[i].tag) != 0x6674)
            lab_props_set(&rule->props, c->values[i].tag, c->values[i].data, c->values[i].size);
}

static bool only_rule_properties(const row_change *c)
{
    for (uint16_t i = 0; i < c->n; i++)
        if (TAG_ID(c->values[i].tag) < 0x6674 || TAG_ID(c->values[i].tag) > 0x6684)
            return false; /* [MS-OXORULE] R39 */
    return c->n > 0;
}

static uint32_t change_rule(lab_folder *f, const row_change *c)
{
    if (!only_rule_properties(c))
        return EC_INVALID_PARAM;
    const lab_val *id = change_value(c, 0x6674);
    if (c->how == 1) {
        if (id || !change_value(c, 0x6679) || !change_value(c, 0x6680) || !change_value(c, 0x6681))
            return EC_INVALID_PARAM; /* the server makes the id; R53 */
        set_rule(lab_rule_new(f), c);
        return EC_SUCCESS;
    }
    for (size_t i = 0; id && i < f->n_rules; i++) {
        if (f->rules[i].id != value_u64(id))
            continue;
        if (c->how == 4)
            lab_rule_delete(f, i);
        else
            set_rule(&f->rules[i], c);
        return EC_SUCCESS;
    }
    return id ? EC_NOT_FOUND : EC_INVALID_PARAM;
}

void rop_modify_rules(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint8_t flags = cpuu_read_u8(&x->in, "ModifyRulesFlags");
    uint16_t n = cpuu_read_u16(&x->in, "RulesCount");
    row_change *c = lab_arena(&x->arena, sizeof(*c));
    cpuu_reader rows = x->in;
    for (uint16_t i = 0; i < n && !x->in.failed; i++)
        read_change(&x->in, c);
    if (x->dry || x->in.failed)
        return;
    lab_object *from = rop_object(x, in, KIND(LAB_OBJ_FOLDER));
    if (!from)
        return;
    lab_folder *f = from->folder;
    uint32_t rc = lab_rights(f, x->user) & RIGHT_OWNER ? EC_SUCCESS : EC_ACCESS_DENIED;
    while (rc == EC_SUCCESS && (flags & 0x01) && f->n_rules)
        lab_rule_delete(f, f->n_rules - 1);
    for (uint16_t i = 0; i < n && rc == EC_SUCCESS; i++) {
        read_change(&rows, c);
        rc = (flags & 0x01) && c->how != 1 ? EC_INVALID_PARAM : change_rule(f, c);
    }
    lab_folder_touch(f);
    rop_head(x, in, rc);
}

/* ---- ids and names --------------------------------------------------------------------------- */

void rop_long_term_id(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint64_t id = cpuu_read_u64(&x->in, "ObjectId");
    if (x->dry || x->in.failed)
        return;
    lab_object *o = rop_object(x, in, KIND(LAB_OBJ_LOGON));
    if (!o)
        return;
    bool known = (id & 0xFFFF) == o->store->repl_id;
    if (!known && !x->org->independent) {
        rop_head(x, in, EC_NOT_FOUND);
        return;
    }
    rop_head(x, in, EC_SUCCESS);
    cpuu_buf_fill(x->out, 0, 24);
    uint8_t *at = x->out->data + x->out->size - 24;
    if (known)
        memcpy(at, o->store->repl_guid, 16);
    for (int i = 0; i < 6; i++)
        at[16 + i] = (uint8_t)(id >> (16 + 8 * i));
}

void rop_id_from_long_term(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    const uint8_t *p = cpuu_read_bytes(&x->in, 24, "LongTermId");
    if (x->dry || x->in.failed)
        return;
    lab_object *o = rop_object(x, in, KIND(LAB_OBJ_LOGON));
    if (!o)
        return;
    if (memcmp(p, o->store->repl_guid, 16) != 0) {
        rop_head(x, in, EC_NOT_FOUND);
        return;
    }
    rop_head(x, in, EC_SUCCESS);
    cpuu_buf_u16(x->out, o->store->repl_id);
    cpuu_buf_add(x->out, p + 16, 6);
}

static const unsigned any_object =
    KIND(LAB_OBJ_LOGON) | KIND(LAB_OBJ_FOLDER) | KIND(LAB_OBJ_MESSAGE) | KIND(LAB_OBJ_ATTACHMENT);
static const uint8_t ps_mapi[16] = {0x28, 0x03, 0x02, 0x00, 0, 0, 0, 0,
                                    0xC0, 0,    0,    0,    0, 0, 0, 0x46};

static void put_name(lab_rop *x, const lab_store *s, uint16_t id)
{
    const lab_name *n = lab_name_of(s, id);
    if (id < 0x8000) { /* the fixed properties, [MS-OXCPRPT] 3.2.5.9 */
        cpuu_buf_u8(x->out, 0);
        cpuu_buf_add(x->out, ps_mapi, 16);
        cpuu_buf_u32(x->out, id);
        return;
    }
    cpuu_buf_u8(x->out, n ? n->kind : 0xFF);
    if (!n) { /* 16 zero bytes follow (observed; [MS-OXCDATA] 2.6.1 has a GUID) */
        cpuu_buf_fill(x->out, 0, 16);
        return;
    }
    cpuu_buf_add(x->out, n->guid, 16);
    if (n->kind == 0) {
        cpuu_buf_u32(x->out, n->lid);
        return;
    }
    size_t at = x->out->size;
    cpuu_buf_u8(x->out, 0);
    cpuu_buf_utf16(x->out, n->name, true);
    x->out->data[at] = (uint8_t)(x->out->size - at - 1);
}

void rop_names_from_ids(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint16_t n = cpuu_read_u16(&x->in, "PropertyIdCount");
    cpuu_reader ids = cpuu_reader_sub(&x->in, 2u * n, "PropertyIds");
    if (x->dry || x->in.failed)
        return;
    lab_object *o = rop_object(x, in, any_object);
    if (!o)
        return;
    rop_head(x, in, EC_SUCCESS);
    cpuu_buf_u16(x->out, n);
    for (uint16_t i = 0; i < n; i++)
        put_name(x, o->store, cpuu_read_u16(&ids, "PropertyId"));
}

static bool read_property_name(lab_rop *x, lab_name *n)
{
    memset(n, 0, sizeof(*n));
    n->kind = cpuu_read_u8(&x->in, "Kind");
    const uint8_t *guid = cpuu_read_bytes(&x->in, 16, "GUID");
    if (n->kind == 0) {
        n->lid = cpuu_read_u32(&x->in, "LID");
    } else if (n->kind == 1) {
        uint8_t size = cpuu_read_u8(&x->in, "NameSize");
        const uint8_t *p = cpuu_read_bytes(&x->in, size, "Name");
        lab_val v = {PT_UNICODE, p, size >= 2 ? size - 2u : 0};
        n->name = p ? lab_value_text(&x->arena, &v) : NULL;
    } else {
        cpuu_reader_fail(&x->in, "Kind", "unknown kind");
    }
    if (!x->in.failed)
        memcpy(n->guid, guid, 16);
    return !x->in.failed;
}

void rop_ids_from_names(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint8_t flags = cpuu_read_u8(&x->in, "Flags");
    uint16_t n = cpuu_read_u16(&x->in, "PropertyNameCount");
    lab_name name;
    cpuu_reader names = x->in;
    for (uint16_t i = 0; i < n && read_property_name(x, &name); i++)
        ;
    if (x->dry || x->in.failed)
        return;
    cpuu_reader after = x->in;
    lab_object *o = rop_object(x, in, any_object);
    if (!o)
        return;
    size_t at = x->out->size;
    uint32_t rc = EC_SUCCESS;
    rop_head(x, in, rc);
    cpuu_buf_u16(x->out, n);
    x->in = names;
    for (uint16_t i = 0; i < n; i++) {
        read_property_name(x, &name);
        bool fixed = name.kind == 0 && memcmp(name.guid, ps_mapi, 16) == 0;
        uint16_t id =
            fixed ? (uint16_t)name.lid : lab_name_id(o->store, &name, (flags & 0x02) != 0);
        if (!id && !x->org->independent)
            rc = EC_ERRORS_RETURNED;
        cpuu_buf_u16(x->out, id);
    }
    x->in = after;
    cpuu_buf_put_u32(x->out, at + 2, rc);
}

void rop_receive_folder(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint32_t size;
    cpuu_read_sz8(&x->in, &size, "MessageClass");
    if (x->dry || x->in.failed)
        return;
    lab_object *o = rop_object(x, in, KIND(LAB_OBJ_LOGON));
    if (!o)
        return;
    lab_folder *f = lab_folder_by_role(o->store, "inbox");
    rop_head(x, in, f ? EC_SUCCESS : EC_NOT_SUPPORTED);
    if (!f)
        return;
    cpuu_buf_u64(x->out, lab_id(o->store, f->counter));
    cpuu_buf_sz(x->out, "");
}
