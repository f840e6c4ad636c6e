/* Objects as a client sees them: stored properties, and the ones a server computes. */
#include "tests/lab/lab.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

typedef void (*put_fn)(cpuu_buf *b, const lab_view *v);

static bool take(const lab_view *v, uint32_t tag, cpuu_buf *b, lab_val *out)
{
    *out = lab_val_bytes(v->arena, tag, b->data, b->size);
    cpuu_buf_free(b);
    return true;
}

static bool bytes_of(const lab_view *v, uint32_t tag, put_fn put, lab_val *out)
{
    cpuu_buf b;
    cpuu_buf_init(&b, 1u << 20);
    put(&b, v);
    return take(v, tag, &b, out);
}

static bool number(const lab_view *v, uint32_t tag, uint64_t n, lab_val *out)
{
    *out = lab_val_u64(v->arena, tag, n);
    return true;
}

static bool text(const lab_view *v, uint16_t id, const char *utf8, lab_val *out)
{
    *out = lab_val_text(v->arena, id, utf8);
    return true;
}

static void put_folder(cpuu_buf *b, const lab_view *v)
{
    lab_put_folder_eid(b, v->folder);
}

static void put_parent(cpuu_buf *b, const lab_view *v)
{
    lab_put_folder_eid(b, v->folder->parent ? v->folder->parent : v->folder);
}

static void put_message(cpuu_buf *b, const lab_view *v)
{
    lab_put_message_eid(b, v->message);
}

static void put_store(cpuu_buf *b, const lab_view *v)
{
    lab_put_store_eid(b, v->store);
}

static void put_source_key(cpuu_buf *b, const lab_view *v)
{
    lab_put_id22(b, v->store, v->message ? v->message->counter : v->folder->counter);
}

static void put_parent_source_key(cpuu_buf *b, const lab_view *v)
{
    const lab_folder *f = v->message ? v->folder : v->folder->parent;
    if (f)
        lab_put_id22(b, v->store, f->counter);
}

static void put_change_key(cpuu_buf *b, const lab_view *v)
{
    lab_put_id22(b, v->store, v->message ? v->message->change : v->folder->change);
}

static void put_predecessors(cpuu_buf *b, const lab_view *v)
{
    cpuu_buf_u8(b, 22);
    put_change_key(b, v);
}

/* ---- folders --------------------------------------------------------------------------------- */

static uint32_t count_messages(const lab_folder *f, bool fai, bool unread)
{
    uint32_t n = 0;
    for (size_t i = 0; i < f->n_messages; i++) {
        const lab_message *m = f->messages[i];
        const lab_prop *flags = lab_props_find(&m->content.props, 0x0E070003);
        bool read = flags && flags->size == 4 && (flags->data[0] & 1);
        n += !m->deleted && m->fai == fai && !(unread && read);
    }
    return n;
}

static bool has_children(const lab_folder *f)
{
    for (size_t i = 0; i < f->store->n_folders; i++)
        if (f->store->folders[i]->parent == f && !f->store->folders[i]->deleted)
            return true;
    return false;
}

/* Role of the folder whose EntryID is kept on Inbox and root; mailbox formats reference 3.2. */
static const char *role_of_tag(uint16_t id)
{
    switch (id) {
    case 0x36D0:
        return "calendar";
    case 0x36D1:
        return "contacts";
    case 0x36D2:
        return "journal";
    case 0x36D3:
        return "notes";
    case 0x36D4:
        return "tasks";
    case 0x36D5:
        return "reminders";
    case 0x36D7:
        return "drafts";
    default:
        return NULL;
    }
}

static bool many_eids(const lab_view *v, uint32_t tag, const lab_folder *const *list, uint32_t n,
                      lab_val *out)
{
    cpuu_buf b;
    cpuu_buf_init(&b, 1u << 16);
    cpuu_buf_u32(&b, n);
    for (uint32_t i = 0; i < n; i++) {
        cpuu_buf_u16(&b, list[i] ? 46 : 0);
        if (list[i])
            lab_put_folder_eid(&b, list[i]);
    }
    return take(v, tag, &b, out);
}

static bool special_folders(const lab_view *v, uint32_t tag, lab_val *out)
{
    const lab_folder *f = v->folder;
    if (!f->store->owner || !f->role || (strcmp(f->role, "inbox") && strcmp(f->role, "root")))
        return false;
    const char *role = role_of_tag(TAG_ID(tag));
    if (role) {
        lab_view other = *v;
        other.folder = lab_folder_by_role(v->store, role);
        if (!other.folder || !bytes_of(&other, TAG(TAG_ID(tag), PT_BINARY), put_folder, out))
            return false;
        if (f->store->org->odd && strcmp(f->role, "root") == 0) /* came along from another mailbox */
            ((uint8_t *)(uintptr_t)out->data)[4] ^= 0xFF;
        return true;
    }
    if (TAG_ID(tag) == 0x36D8) {
        static const char *const roles[] = {"conflicts", "syncissues", "localfailures",
                                            "serverfailures", "junkemail"};
        const lab_folder *list[5];
        for (int i = 0; i < 5; i++)
            list[i] = lab_folder_by_role(v->store, roles[i]);
        return many_eids(v, 0x36D81102, list, 5, out);
    }
    if (TAG_ID(tag) == 0x36E4 && !lab_props_find(&f->props, 0x36E41102)) {
        const lab_folder *list[4] = {NULL, NULL, NULL,
                                     lab_folder_by_role(v->store, "freebusydata")};
        return many_eids(v, 0x36E41102, list, 4, out);
    }
    return false;
}

static uint32_t access_of(uint32_t rights)
{
    /* PidTagAccess, [MS-OXCPRPT] 2.2.1.1: modify 1, read 2, delete 4, create hierarchy 8,
     * create contents 10h, create associated contents 20h */
    return (rights & 0x28 ? 1u : 0) | (rights & 0x01 ? 2u : 0) | (rights & 0x50 ? 4u : 0) |
           (rights & 0x80 ? 8u : 0) | (rights & 0x02 ? 0x10u : 0) | (rights & 0x100 ? 0x20u : 0);
}

static bool folder_get(const lab_view *v, uint32_t tag, lab_val *out)
{
    const lab_folder *f = v->folder;
    const lab_folder *up = f->parent ? f->parent : f;
    switch (TAG_ID(tag)) {
    case 0x6748:
        return number(v, 0x67480014, lab_id(v->store, f->counter), out);
    case 0x6749:
        return number(v, 0x67490014, lab_id(v->store, up->counter), out);
    case 0x0FFF:
    case 0x0FF9:
        return bytes_of(v, TAG(TAG_ID(tag), PT_BINARY), put_folder, out);
    case 0x0E09:
        return bytes_of(v, 0x0E090102, put_parent, out);
    case 0x65E0:
        return bytes_of(v, 0x65E00102, put_source_key, out);
    case 0x65E1:
        return bytes_of(v, 0x65E10102, put_parent_source_key, out);
    case 0x65E2:
        return bytes_of(v, 0x65E20102, put_change_key, out);
    case 0x65E3:
        return bytes_of(v, 0x65E30102, put_predecessors, out);
    case 0x0FFE:
        return number(v, 0x0FFE0003, 3, out);
    case 0x0FF4:
        return number(v, 0x0FF40003, access_of(lab_rights(f, v->user)), out);
    case 0x6639:
        return number(v, 0x66390003, lab_rights(f, v->user), out);
    case 0x3007:
        return number(v, 0x30070040, f->created, out);
    case 0x3008:
        return number(v, 0x30080040, f->modified, out);
    case 0x3601:
        return number(v, 0x36010003, f->type, out);
    case 0x3602:
        return number(v, 0x36020003, count_messages(f, false, false), out);
    case 0x3603:
        return number(v, 0x36030003, count_messages(f, false, true), out);
    case 0x3617:
        return number(v, 0x36170003, count_messages(f, true, false), out);
    case 0x360A:
        return number(v, 0x360A000B, has_children(f), out);
    case 0x663A:
        return number(v, 0x663A000B, f->n_rules != 0, out);
    case 0x6638:
        return number(v, 0x66380003, f->version, out);
    default:
        return special_folders(v, tag, out);
    }
}

/* ---- messages -------------------------------------------------------------------------------- */

static const lab_prop *stored(const lab_view *v, uint16_t id)
{
    return lab_props_find(&v->content->props, TAG(id, 0));
}

static bool subject(const lab_view *v, lab_val *out)
{
    const lab_prop *prefix = stored(v, 0x003D), *normal = stored(v, 0x0E1D);
    cpuu_buf b;
    if (!prefix && !normal)
        return false;
    cpuu_buf_init(&b, 1u << 20);
    if (prefix)
        cpuu_buf_add(&b, prefix->data, prefix->size);
    if (normal)
        cpuu_buf_add(&b, normal->data, normal->size);
    return take(v, 0x0037001F, &b, out);
}

static bool search_key(const lab_view *v, lab_val *out)
{
    uint8_t key[16];
    const lab_message *m = v->message;
    memcpy(key, v->store->repl_guid, 16);
    for (int i = 0; i < 8; i++)
        key[i] ^= (uint8_t)((m->counter * 0x9E3779B97F4A7C15u) >> (8 * i));
    *out = lab_val_bytes(v->arena, 0x300B0102, key, 16);
    return true;
}

static uint32_t message_size(const lab_content_of *c)
{
    size_t n = 64;
    for (size_t i = 0; i < c->props.count; i++)
        n += c->props.items[i].size + 8;
    return (uint32_t)n;
}

static uint32_t message_flags(const lab_view *v)
{
    const lab_prop *p = stored(v, 0x0E07);
    uint32_t flags = p && p->size == 4 ? cpuu_le32(p->data) : 0x01; /* mfRead */
    return (flags & ~0x50u) | (v->message->fai ? 0x40u : 0) |
           (v->content->n_attachments ? 0x10u : 0);
}

static bool message_get(const lab_view *v, uint32_t tag, lab_val *out)
{
    const lab_message *m = v->message;
    switch (TAG_ID(tag)) {
    case 0x674A:
        return number(v, 0x674A0014, lab_id(v->store, m->counter), out);
    case 0x6748:
        return number(v, 0x67480014, lab_id(v->store, v->folder->counter), out);
    case 0x0FFF:
    case 0x0FF9:
    case 0x0FF6:
        return bytes_of(v, TAG(TAG_ID(tag), PT_BINARY), put_message, out);
    case 0x0E09:
        return bytes_of(v, 0x0E090102, put_folder, out);
    case 0x0FFB:
        return bytes_of(v, 0x0FFB0102, put_store, out);
    case 0x65E0:
        return bytes_of(v, 0x65E00102, put_source_key, out);
    case 0x65E1:
        return bytes_of(v, 0x65E10102, put_parent_source_key, out);
    case 0x65E2:
        return bytes_of(v, 0x65E20102, put_change_key, out);
    case 0x65E3:
        return bytes_of(v, 0x65E30102, put_predecessors, out);
    case 0x300B:
        return !stored(v, 0x300B) && search_key(v, out);
    case 0x3007:
        return number(v, 0x30070040, m->created, out);
    case 0x3008:
        return number(v, 0x30080040, m->modified, out);
    case 0x0FFE:
        return number(v, 0x0FFE0003, 5, out);
    case 0x0FF4:
        return number(v, 0x0FF40003, access_of(lab_rights(v->folder, v->user)) & 7, out);
    case 0x0E07:
        return number(v, 0x0E070003, message_flags(v), out);
    case 0x0E08:
        return number(v, 0x0E080003, message_size(v->content), out);
    case 0x0E1B:
        return number(v, 0x0E1B000B, v->content->n_attachments != 0, out);
    case 0x67AA:
        return number(v, 0x67AA000B, m->fai, out);
    case 0x0037:
        return subject(v, out);
    case 0x003D:
        return !stored(v, 0x003D) && stored(v, 0x0E1D) && text(v, 0x003D, "", out);
    default:
        return false;
    }
}

/* ---- the others ------------------------------------------------------------------------------ */

static void put_owner(cpuu_buf *b, const lab_view *v)
{
    lab_put_ab_eid(b, v->store->owner->dn, 0);
}

static bool role_eid(const lab_view *v, uint32_t tag, const char *role, lab_val *out)
{
    lab_view other = *v;
    other.folder = lab_folder_by_role(v->store, role);
    return other.folder && bytes_of(&other, TAG(TAG_ID(tag), PT_BINARY), put_folder, out);
}

static bool store_get(const lab_view *v, uint32_t tag, lab_val *out)
{
    if (TAG_ID(tag) == 0x0FF8) {
        *out = lab_val_bytes(v->arena, 0x0FF80102, v->store->repl_guid, 16);
        return true;
    }
    if (TAG_ID(tag) == 0x0FFE)
        return number(v, 0x0FFE0003, 1, out);
    if (!v->store->owner)
        return TAG_ID(tag) == 0x0FFB && bytes_of(v, 0x0FFB0102, put_store, out);
    switch (TAG_ID(tag)) {
    case 0x661B:
        return bytes_of(v, 0x661B0102, put_owner, out);
    case 0x661C:
    case 0x3001:
        return text(v, TAG_ID(tag), v->store->owner->display, out);
    case 0x0FFB:
    case 0x0FFF:
        return bytes_of(v, TAG(TAG_ID(tag), PT_BINARY), put_store, out);
    case 0x35E0:
        return role_eid(v, tag, "ipmsubtree", out);
    case 0x35E2:
        return role_eid(v, tag, "outbox", out);
    case 0x35E3:
        return role_eid(v, tag, "deleteditems", out);
    case 0x35E4:
        return role_eid(v, tag, "sentitems", out);
    case 0x35E5:
        return role_eid(v, tag, "views", out);
    case 0x35E6:
        return role_eid(v, tag, "commonviews", out);
    case 0x35E7:
        return role_eid(v, tag, "finder", out);
    case 0x6630:
        return role_eid(v, tag, "shortcuts", out);
    default:
        return false;
    }
}

static bool member_get(const lab_view *v, uint32_t tag, lab_val *out)
{
    const lab_member *m = v->member;
    switch (TAG_ID(tag)) {
    case 0x6671:
        return number(v, 0x66710014, (uint64_t)m->id, out);
    case 0x6672:
        return text(v, 0x6672, m->name, out);
    case 0x6673:
        return number(v, 0x66730003, m->rights, out);
    case 0x0FFF: {
        cpuu_buf b;
        cpuu_buf_init(&b, 65536);
        if (m->dn)
            lab_put_ab_eid(&b, m->dn, 0);
        return take(v, 0x0FFF0102, &b, out);
    }
    default:
        return false;
    }
}

static bool attachment_get(const lab_view *v, uint32_t tag, lab_val *out)
{
    if (TAG_ID(tag) == 0x0E21)
        return number(v, 0x0E210003, v->attachment->number, out);
    if (TAG_ID(tag) == 0x0FFE)
        return number(v, 0x0FFE0003, 7, out);
    if (TAG_ID(tag) != 0x0E20)
        return false;
    size_t n = 0;
    for (size_t i = 0; i < v->attachment->props.count; i++)
        n += v->attachment->props.items[i].size;
    return number(v, 0x0E200003, n, out);
}

static const lab_props *bag_of(const lab_view *v)
{
    switch (v->kind) {
    case LAB_OBJ_LOGON:
        return &v->store->props;
    case LAB_OBJ_FOLDER:
        return &v->folder->props;
    case LAB_OBJ_MESSAGE:
        return &v->content->props;
    case LAB_OBJ_ATTACHMENT:
        return &v->attachment->props;
    case LAB_OBJ_RULE:
        return &v->rule->props;
    default:
        return NULL;
    }
}

static bool computed(const lab_view *v, uint32_t tag, lab_val *out)
{
    switch (v->kind) {
    case LAB_OBJ_LOGON:
        return store_get(v, tag, out);
    case LAB_OBJ_FOLDER:
        return folder_get(v, tag, out);
    case LAB_OBJ_MESSAGE:
        return message_get(v, tag, out);
    case LAB_OBJ_ATTACHMENT:
        return attachment_get(v, tag, out);
    case LAB_OBJ_MEMBER:
        return member_get(v, tag, out);
    case LAB_OBJ_RULE:
        return TAG_ID(tag) == 0x6674 && number(v, 0x66740014, v->rule->id, out);
    default:
        return false;
    }
}

bool lab_get(const lab_view *v, uint32_t tag, lab_val *out)
{
    lab_val have;
    const lab_props *bag = bag_of(v);
    const lab_prop *p = bag ? lab_props_find(bag, tag) : NULL;
    if (!computed(v, tag, &have)) {
        if (!p)
            return false;
        have = (lab_val){p->tag, p->data, p->size};
    }
    /* PidTagEntryId asked as a server id and the like: only the type that is there. */
    return lab_value_convert(v->arena, &have, TAG_TYPE(tag), out);
}

static const uint32_t folder_tags[] = {
    0x67480014, 0x67490014, 0x0FFF0102, 0x0FF90102, 0x0E090102, 0x65E00102, 0x65E10102, 0x65E20102,
    0x65E30102, 0x0FFE0003, 0x0FF40003, 0x66390003, 0x30070040, 0x30080040, 0x36010003, 0x36020003,
    0x36030003, 0x36170003, 0x360A000B, 0x663A000B, 0x66380003, 0x36D00102, 0x36D10102, 0x36D20102,
    0x36D30102, 0x36D40102, 0x36D50102, 0x36D70102, 0x36D81102, 0x36E41102, 0};
static const uint32_t message_tags[] = {
    0x674A0014, 0x67480014, 0x0FFF0102, 0x0FF90102, 0x0FF60102, 0x0E090102, 0x0FFB0102, 0x65E00102,
    0x65E10102, 0x65E20102, 0x65E30102, 0x300B0102, 0x30070040, 0x30080040, 0x0FFE0003, 0x0FF40003,
    0x0E070003, 0x0E080003, 0x0E1B000B, 0x67AA000B, 0x0037001F, 0x003D001F, 0};
static const uint32_t store_tags[] = {
    0x0FF80102, 0x0FFE0003, 0x661B0102, 0x661C001F, 0x3001001F, 0x0FFB0102, 0x0FFF0102, 0x35E00102,
    0x35E20102, 0x35E30102, 0x35E40102, 0x35E50102, 0x35E60102, 0x35E70102, 0x66300102, 0};
static const uint32_t attachment_tags[] = {0x0E210003, 0x0E200003, 0x0FFE0003, 0};
static const uint32_t none[] = {0};

static const uint32_t *computed_tags(const lab_view *v)
{
    switch (v->kind) {
    case LAB_OBJ_LOGON:
        return store_tags;
    case LAB_OBJ_FOLDER:
        return folder_tags;
    case LAB_OBJ_MESSAGE:
        return message_tags;
    case LAB_OBJ_ATTACHMENT:
        return attachment_tags;
    default:
        return none;
    }
}

uint32_t *lab_get_list(const lab_view *v, size_t *count)
{
    const lab_props *bag = bag_of(v);
    uint32_t *tags = lab_arena(v->arena, (64 + (bag ? bag->count : 0)) * sizeof(uint32_t));
    size_t n = 0;
    lab_val skip;
    for (const uint32_t *t = computed_tags(v); *t; t++)
        if (computed(v, *t, &skip))
            tags[n++] = *t;
    size_t n_computed = n;
    for (size_t i = 0; bag && i < bag->count; i++) {
        bool twice = false;
        for (size_t k = 0; k < n_computed; k++)
            twice |= TAG_ID(tags[k]) == TAG_ID(bag->items[i].tag);
        if (!twice)
            tags[n++] = bag->items[i].tag;
    }
    *count = n;
    return tags;
}

bool lab_read_only(const lab_view *v, uint32_t tag)
{
    switch (TAG_ID(tag)) {
    case 0x0037: /* set through prefix and normalised subject, but writable */
    case 0x003D:
        return false;
    case 0x0E07:
        return v->kind != LAB_OBJ_MESSAGE; /* until the first save, see set_problem() */
    case 0x300B:                           /* [MS-OXCMSG] 2.2.1.9 (R1724) */
    case 0x0FF8:
        return true;
    default:
        break;
    }
    if (v->kind == LAB_OBJ_LOGON)
        return true;
    if (v->kind == LAB_OBJ_FOLDER &&
        (role_of_tag(TAG_ID(tag)) || TAG_ID(tag) == 0x36D8 || TAG_ID(tag) == 0x36E4))
        return false;
    for (const uint32_t *t = computed_tags(v); *t; t++)
        if (TAG_ID(*t) == TAG_ID(tag))
            return true;
    return false;
}
