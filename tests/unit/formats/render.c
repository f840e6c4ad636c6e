/* Renders decoded structures the way the independent program writes them; see samples.h. */
#include "render.h"

#include <check.h>
#include <string.h>

/* ---- EntryIDs -------------------------------------------------------------------------------- */

static void render_gid(text *t, const char *db, const char *counter, const char *pad_name,
                       const cpuu_gid *id, const uint8_t pad[2])
{
    text_guid(t, db, id->replica);
    text_line(t, "%s", counter);
    text_hex(t, id->counter, 6);
    text_line(t, "%s", pad_name);
    text_hex(t, pad, 2);
}

static void render_store(text *t, const cpuu_eid_store *s, bool exchange)
{
    text_line(t, "MAPI Message Store Entry ID");
    text_line(t, "Version = 0x%02X", s->version);
    text_line(t, "Flag = 0x%02X", s->flag);
    text_sz8(t, "DLLFileName", s->dll);
    if (!exchange)
        return;
    text_line(t, "Wrapped Flags = 0x%08X", s->wrapped_flags);
    text_guid(t, "WrappedProviderUID", s->wrapped_uid);
    text_line(t, "WrappedType = 0x%08X", s->wrapped_type);
    text_sz8(t, "ServerShortname", s->server);
    if (s->has_dn)
        text_sz8(t, "MailboxDN", s->dn);
    if (s->block == 2) {
        uint32_t size = 20 + s->server_dn.size + 1 + 2 + (uint32_t)s->block_size_error;
        ck_assert(!s->has_fqdn);
        text_line(t, "MAPI Message Store Entry ID V2");
        text_line(t, "Magic = 0xF32135D8");
        text_line(t, "Size = 0x%08X", size);
        text_line(t, "Version = 0x00000001");
        text_line(t, "OffsetDN = 0x00000014");
        text_line(t, "OffsetFQDN = 0x00000000");
        text_sz8(t, "DN", s->server_dn);
        text_line(t, "Reserved Bytes");
        text_line(t, "cb: 2 lpb: 0000");
    }
}

static void render_body(text *t, const cpuu_eid *e)
{
    switch (e->kind) {
    case CPUU_EID_FOLDER:
    case CPUU_EID_FOLDER_PUBLIC:
        text_line(t, "Exchange Folder Entry ID");
        text_line(t, "Folder Type = 0x%04X", e->u.folder.type);
        render_gid(t, "Database GUID", "GlobalCounter", "Pad", &e->u.folder.id, e->u.folder.pad);
        break;
    case CPUU_EID_MESSAGE:
    case CPUU_EID_MESSAGE_PUBLIC:
        text_line(t, "Exchange Message Entry ID");
        text_line(t, "Message Type = 0x%04X", e->u.message.type);
        render_gid(t, "Folder Database GUID", "Folder GlobalCounter", "Pad1", &e->u.message.folder,
                   e->u.message.pad1);
        render_gid(t, "Message Database GUID", "Message GlobalCounter", "Pad2", &e->u.message.id,
                   e->u.message.pad2);
        break;
    case CPUU_EID_STORE:
    case CPUU_EID_STORE_PST:
    case CPUU_EID_STORE_OTHER:
        render_store(t, &e->u.store, e->kind == CPUU_EID_STORE);
        break;
    case CPUU_EID_AB:
        text_line(t, "Exchange Address Entry ID");
        text_line(t, "Version = 0x%08X", e->u.ab.version);
        text_line(t, "Type = 0x%08X", e->u.ab.type);
        text_sz8(t, "X500DN", e->u.ab.dn);
        break;
    case CPUU_EID_CONTACT:
        text_line(t, "Contact Address Book / PDL Entry ID");
        text_line(t, "Version = 0x%08X", e->u.contact.version);
        text_line(t, "Type = 0x%08X", e->u.contact.type);
        text_line(t, "Index = 0x%08X", e->u.contact.index);
        text_line(t, "EntryIDCount = 0x%08X", e->u.contact.inner.size);
        render_eid(t, e->u.contact.inner);
        break;
    case CPUU_EID_CONTAB:
        text_line(t, "Contact Address Book / PDL Entry ID");
        text_line(t, "Version = 0x%08X", e->u.contab.version);
        text_line(t, "Type = 0x%08X", e->u.contab.type);
        text_guid(t, "muidID", e->u.contab.uid);
        render_eid(t, e->u.contab.inner);
        break;
    case CPUU_EID_WRAPPED:
        text_line(t, "Wrapped Entry ID");
        text_line(t, "Wrapped Entry Type = 0x%02X", e->u.wrapped.type);
        render_eid(t, e->u.wrapped.inner);
        break;
    default:
        break;
    }
}

void render_eid(text *t, cpuu_blob in)
{
    cpuu_eid e;
    cpuu_fmt_error err;
    text_line(t, "Entry ID");
    ck_assert_msg(cpuu_eid_decode(in, &e, &err), "%s at %u %s", err.field, err.offset, err.what);
    text_line(t, "abFlags = 0x%08X", cpuu_le32(e.flags));
    text_guid(t, "Provider GUID", e.provider);
    render_body(t, &e);
    if (e.rest.size) {
        text_line(t, "Unparsed data size = 0x%08X", e.rest.size);
        text_hex(t, e.rest.data, e.rest.size);
    }
}

/* ---- properties ------------------------------------------------------------------------------ */

static void render_value(text *t, const cpuu_rawprop *p)
{
    uint32_t v = p->value.size == 4 ? cpuu_le32(p->value.data) : 0;
    switch (CPUU_TAG_TYPE(p->tag)) {
    case CPUU_PT_INT32:
        text_line(t, "PropString = %d", (int)v);
        break;
    case CPUU_PT_BOOL:
        text_line(t, "PropString = %s", p->value.data[0] ? "True" : "False");
        break;
    case CPUU_PT_ERROR:
        ck_assert_uint_eq(v, 0x8004010f);
        text_line(t, "PropString = Err: 0x8004010F=MAPI_E_NOT_FOUND");
        break;
    case CPUU_PT_STRING:
        text_sz16(t, "PropString", p->value);
        break;
    case CPUU_PT_BINARY:
        text_add(t, "PropString = ");
        text_hex(t, p->value.data, p->value.size);
        break;
    default:
        ck_abort_msg("tag %08x", p->tag);
    }
}

void render_prop(text *t, const cpuu_rawprop *p)
{
    text_line(t, "PropTag = 0x%08X", p->tag);
    render_value(t, p);
}

/* ---- restrictions ---------------------------------------------------------------------------- */

typedef struct tree {
    text *t;
    uint32_t left[CPUU_RES_DEPTH + 2]; /* children still to come, per level */
    uint32_t next[CPUU_RES_DEPTH + 2]; /* number of the next child */
    bool single[CPUU_RES_DEPTH + 2];
} tree;

static bool render_node(void *user, const cpuu_res_node *n)
{
    static const char *const names[] = {
        "resAnd",          "resOr",      "resNot",  "resContent", "resProperty",
        "resCompareProps", "resBitMask", "resSize", "resExist",   "resSub"};
    tree *x = user;
    text *t = x->t;
    if (n->depth && x->single[n->depth])
        text_line(t, "lpRes");
    else if (n->depth)
        text_line(t, "lpRes[0x%08X]", x->next[n->depth]++);
    text_line(t, "rt = 0x%X", n->type);
    ck_assert_uint_lt(n->type, sizeof(names) / sizeof(names[0]));
    text_line(t, "%s", names[n->type]);
    switch (n->type) {
    case CPUU_RES_AND:
    case CPUU_RES_OR:
        text_line(t, "cRes = 0x%08X", n->n_children);
        break;
    case CPUU_RES_CONTENT:
        text_line(t, "FuzzyLevel = 0x%08X", n->op);
        text_line(t, "PropTag = 0x%08X", n->tag);
        text_line(t, "lpProp");
        render_prop(t, &n->value);
        break;
    case CPUU_RES_PROPERTY:
        text_line(t, "relop = 0x%08X", n->op);
        text_line(t, "PropTag = 0x%08X", n->tag);
        text_line(t, "lpProp");
        render_prop(t, &n->value);
        break;
    case CPUU_RES_BITMASK:
        text_line(t, "relMBR = 0x%08X", n->op);
        text_line(t, "ulMask = 0x%08X", n->number);
        text_line(t, "PropTag = 0x%08X", n->tag);
        break;
    case CPUU_RES_EXIST:
        text_line(t, "PropTag = 0x%08X", n->tag);
        break;
    case CPUU_RES_SUB:
        text_line(t, "SubObject = 0x%08X", n->tag);
        break;
    default:
        break;
    }
    x->next[n->depth + 1] = 0;
    x->single[n->depth + 1] = n->type == CPUU_RES_NOT || n->type == CPUU_RES_SUB;
    return true;
}

bool render_restriction(text *t, cpuu_reader *r, cpuu_form form)
{
    tree x;
    memset(&x, 0, sizeof(x));
    x.t = t;
    text_line(t, "Restriction");
    return cpuu_res_walk(r, form, render_node, &x);
}

void render_npi(text *t, const cpuu_npi *npi)
{
    cpuu_npi_name name;
    text_line(t, "NamedPropertyInformation");
    text_line(t, "Number of named props = 0x%04X", npi->n);
    if (npi->n)
        text_line(t, "Named prop size = 0x%08X", npi->names.size);
    for (uint32_t i = 0; i < npi->n; i++) {
        ck_assert(cpuu_npi_name_at(npi, i, &name));
        text_line(t, "Named Prop 0x%04X", i);
        text_line(t, "PropID = 0x%04X", name.id);
        text_line(t, "Kind = 0x%02X", name.kind);
        text_guid(t, "Guid", name.guid);
        ck_assert_uint_eq(name.kind, 1);
        text_line(t, "NameSize = 0x%02X", name.text.size);
        name.text.size -= 2; /* its NUL */
        text_sz16(t, "Name", name.text);
    }
}
