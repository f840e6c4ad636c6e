/* Trees as lines or JSON; see print.h. */
#include "config.h"

#include "inspect/print.h"

#include "base/text.h"

#include <stdarg.h>
#include <string.h>

#define MAX_VALUE 4096u
#define MAX_HEX   64u
#define MAX_TEXT  (1u << 20)

/* ---- text ------------------------------------------------------------------------------------ */

/* Bytes of one well-formed character at `text`, 0 when there is none. */
static size_t character(const char *text, size_t n)
{
    for (size_t k = 1; k <= 4 && k <= n; k++)
        if (cpuu_utf8_valid(text, k))
            return k;
    return 0;
}

/* True for what must not reach a terminal: C0, DEL and C1 controls, and the characters that change
 * the direction of text. */
static bool is_control(const char *c, size_t n)
{
    const uint8_t *u = (const uint8_t *)c;
    return (n == 1 && (u[0] < 0x20 || u[0] == 0x7f)) || (n == 2 && u[0] == 0xc2 && u[1] < 0xa0) ||
           (n == 3 && u[0] == 0xe2 &&
            ((u[1] == 0x80 && u[2] >= 0xa8 && u[2] <= 0xae) ||
             (u[1] == 0x81 && u[2] >= 0xa6 && u[2] <= 0xa9)));
}

void print_plain(FILE *f, const char *text, size_t n)
{
    while (n) {
        size_t k = character(text, n);
        size_t used = k ? k : 1;
        if (k && !is_control(text, k))
            fwrite(text, 1, k, f);
        else
            for (size_t i = 0; i < used; i++)
                fprintf(f, "\\x%02x", (uint8_t)text[i]);
        text += used;
        n -= used;
    }
}

void print_json_string(FILE *f, const char *text, size_t n)
{
    putc('"', f);
    while (n) {
        size_t k = character(text, n);
        uint8_t c = (uint8_t)*text;
        if (k == 0)
            fprintf(f, "\\ufffd");
        else if (k == 1 && (c < 0x20 || c == 0x7f))
            fprintf(f, "\\u%04x", c);
        else if (c == '"' || c == '\\')
            fprintf(f, "\\%c", c);
        else
            fwrite(text, 1, k, f);
        text += k ? k : 1;
        n -= k ? k : 1;
    }
    putc('"', f);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static void node(printer *p, uint32_t offset, const char *name, const char *value, size_t n)
{
    if (!p->json) {
        if (offset == NO_OFFSET)
            fprintf(p->f, "          %*s", (int)(2 * p->depth), "");
        else
            fprintf(p->f, "%08x  %*s", offset, (int)(2 * p->depth), "");
        print_plain(p->f, name, strlen(name));
        if (value) {
            fputs(": ", p->f);
            print_plain(p->f, value, n);
        }
        putc('\n', p->f);
        return;
    }
    fputs(p->comma ? ",\n{\"name\":" : "\n{\"name\":", p->f);
    print_json_string(p->f, name, strlen(name));
    if (offset != NO_OFFSET)
        fprintf(p->f, ",\"offset\":%u", offset);
    if (value) {
        fputs(",\"value\":", p->f);
        print_json_string(p->f, value, n);
    }
}

static void leaf(printer *p, uint32_t offset, const char *name, const char *value, size_t n)
{
    node(p, offset, name, value, n);
    if (p->json)
        putc('}', p->f);
    p->comma = true;
}

void print_open(printer *p, uint32_t offset, const char *name, const char *format, ...)
{
    char value[MAX_VALUE];
    va_list args;
    if (format) {
        va_start(args, format);
        vsnprintf(value, sizeof(value), format, args);
        va_end(args);
    }
    node(p, offset, name, format ? value : NULL, format ? strlen(value) : 0);
    if (p->json)
        fputs(",\"children\":[", p->f);
    p->comma = false;
    p->depth++;
}

void print_leaf(printer *p, uint32_t offset, const char *name, const char *format, ...)
{
    char value[MAX_VALUE];
    va_list args;
    if (format) {
        va_start(args, format);
        vsnprintf(value, sizeof(value), format, args);
        va_end(args);
    }
    leaf(p, offset, name, format ? value : NULL, format ? strlen(value) : 0);
}

void print_close(printer *p)
{
    p->depth--;
    if (p->json)
        fputs("]}", p->f);
    p->comma = true;
}

uint32_t print_offset(const printer *p, cpuu_blob b)
{
    uintptr_t start = (uintptr_t)p->origin.data, at = (uintptr_t)b.data;
    if (!b.data || at < start || at > start + p->origin.size)
        return NO_OFFSET;
    return (uint32_t)(at - start);
}

/* ---- values ---------------------------------------------------------------------------------- */

void print_hex(printer *p, const char *name, cpuu_blob b)
{
    cpuu_buf hex;
    uint32_t n = p->json || b.size <= MAX_HEX ? b.size : MAX_HEX;
    char more[40] = "";
    cpuu_buf_init(&hex, 2 * (size_t)n + sizeof(more));
    for (uint32_t i = 0; i < n; i++) {
        char two[3];
        cpuu_hex(two, b.data + i, 1);
        cpuu_buf_add(&hex, two, 2);
    }
    if (n < b.size)
        snprintf(more, sizeof(more), "... (%u bytes)", b.size);
    cpuu_buf_add(&hex, more, strlen(more));
    leaf(p, print_offset(p, b), name, hex.data ? (const char *)hex.data : "", hex.size);
    cpuu_buf_free(&hex);
}

/* 8-bit text in an unknown code page is shown as Latin-1. */
static void add_text8(cpuu_buf *out, cpuu_blob b)
{
    for (uint32_t i = 0; i < b.size; i++) {
        uint8_t unit[2] = {b.data[i], 0};
        cpuu_buf_utf8_from_utf16(out, unit, 2);
    }
}

static void text(printer *p, const char *name, cpuu_blob b, bool wide)
{
    cpuu_buf utf8;
    cpuu_buf_init(&utf8, MAX_TEXT);
    if (wide)
        cpuu_buf_utf8_from_utf16(&utf8, b.data, b.size & ~1u);
    else
        add_text8(&utf8, b);
    if (utf8.failed)
        print_hex(p, name, b);
    else
        leaf(p, print_offset(p, b), name, utf8.data ? (const char *)utf8.data : "", utf8.size);
    cpuu_buf_free(&utf8);
}

void print_text8(printer *p, const char *name, cpuu_blob b)
{
    text(p, name, b, false);
}

void print_text16(printer *p, const char *name, cpuu_blob b)
{
    text(p, name, b, true);
}

void print_guid(printer *p, uint32_t offset, const char *name, const uint8_t guid[16])
{
    char out[39];
    cpuu_guid_text(out, guid);
    print_leaf(p, offset, name, "%s", out);
}

/* ---- EntryIDs -------------------------------------------------------------------------------- */

static void add(cpuu_buf *out, const char *s)
{
    cpuu_buf_add(out, s, strlen(s));
}

static void add_text16(cpuu_buf *out, cpuu_blob b)
{
    cpuu_buf_utf8_from_utf16(out, b.data, b.size & ~1u);
}

static void describe_store(const cpuu_eid *e, cpuu_buf *out)
{
    if (e->kind == CPUU_EID_STORE) {
        add(out, cpuu_eid_is_mailbox(e) ? " of mailbox " : ", public: ");
        add_text8(out, e->u.store.has_dn ? e->u.store.dn : e->u.store.server);
        if (e->u.store.smtp.size) {
            add(out, ", ");
            add_text16(out, e->u.store.smtp);
        }
    } else if (e->kind == CPUU_EID_STORE_PST || e->kind == CPUU_EID_STORE_OTHER) {
        add(out, " ");
        add_text8(out, e->u.store.dll);
    }
}

void describe_eid(const cpuu_eid *e, cpuu_buf *out)
{
    cpuu_eid inner;
    cpuu_blob b;
    char guid[39];
    add(out, cpuu_eid_kind_name(e->kind));
    describe_store(e, out);
    if (e->kind == CPUU_EID_AB) {
        add(out, " ");
        add_text8(out, e->u.ab.dn);
    } else if (e->kind == CPUU_EID_ONEOFF) {
        add(out, " ");
        if (e->u.oneoff.bits & CPUU_ONEOFF_UNICODE)
            add_text16(out, e->u.oneoff.address);
        else
            add_text8(out, e->u.oneoff.address);
    } else if (e->kind == CPUU_EID_FOLDER || e->kind == CPUU_EID_MESSAGE) {
        cpuu_guid_text(guid, e->provider);
        add(out, " in store ");
        add(out, guid);
    } else if (cpuu_eid_inner(e, &b) && cpuu_eid_decode(b, &inner, NULL) && inner.kind != e->kind) {
        add(out, ", ");
        describe_eid(&inner, out);
    }
}

static void gid(printer *p, uint32_t offset, const char *name, const cpuu_gid *id)
{
    char guid[39], counter[13];
    cpuu_guid_text(guid, id->replica);
    cpuu_hex(counter, id->counter, 6);
    print_leaf(p, offset, name, "%s-%s", guid, counter);
}

static void store(printer *p, uint32_t at, const cpuu_eid_store *s, bool exchange)
{
    print_text8(p, "DLL", s->dll);
    if (!exchange)
        return;
    print_guid(p, at == NO_OFFSET ? at : at + 0x28, "wrapped provider", s->wrapped_uid);
    print_leaf(p, at == NO_OFFSET ? at : at + 0x38, "wrapped type", "0x%02x%s%s%s", s->wrapped_type,
               s->wrapped_type & CPUU_STORE_PUBLIC ? " public" : "",
               s->wrapped_type & CPUU_STORE_HOME_LOGON ? " home-logon" : "",
               s->wrapped_type & CPUU_STORE_TAKE_OWNERSHIP ? " take-ownership" : "");
    print_text8(p, "server", s->server);
    if (s->has_dn)
        print_text8(p, "mailbox DN", s->dn);
    print_leaf(p, NO_OFFSET, "block", "%u", s->block);
    if (s->block_size_error)
        print_leaf(p, NO_OFFSET, "block size error", "%d", s->block_size_error);
    if (s->block == 2)
        print_text8(p, "server DN", s->server_dn);
    if (s->has_fqdn)
        print_text16(p, "server name", s->server_fqdn);
    if (s->block == 3)
        print_text16(p, "SMTP address", s->smtp);
}

static void oneoff(printer *p, const cpuu_eid *e)
{
    void (*show)(printer *, const char *, cpuu_blob) =
        e->u.oneoff.bits & CPUU_ONEOFF_UNICODE ? print_text16 : print_text8;
    print_leaf(p, NO_OFFSET, "bits", "0x%04x", e->u.oneoff.bits);
    show(p, "display name", e->u.oneoff.name);
    show(p, "address type", e->u.oneoff.address_type);
    show(p, "address", e->u.oneoff.address);
}

static void eid_body(printer *p, uint32_t at, const cpuu_eid *e)
{
    bool known = at != NO_OFFSET;
    cpuu_blob inner;
    switch (e->kind) {
    case CPUU_EID_FOLDER:
    case CPUU_EID_FOLDER_PUBLIC:
        gid(p, known ? at + 0x16 : at, "folder", &e->u.folder.id);
        break;
    case CPUU_EID_MESSAGE:
    case CPUU_EID_MESSAGE_PUBLIC:
        gid(p, known ? at + 0x16 : at, "folder", &e->u.message.folder);
        gid(p, known ? at + 0x2e : at, "message", &e->u.message.id);
        break;
    case CPUU_EID_STORE:
    case CPUU_EID_STORE_PST:
    case CPUU_EID_STORE_OTHER:
        store(p, at, &e->u.store, e->kind == CPUU_EID_STORE);
        break;
    case CPUU_EID_STORE_UNOPENED:
        print_guid(p, NO_OFFSET, "wrapped provider", e->u.store.wrapped_uid);
        break;
    case CPUU_EID_AB:
        print_leaf(p, known ? at + 0x18 : at, "display type", "0x%x", e->u.ab.type);
        print_text8(p, "DN", e->u.ab.dn);
        break;
    case CPUU_EID_ONEOFF:
        oneoff(p, e);
        break;
    case CPUU_EID_CONTACT:
    case CPUU_EID_PERSONAL_LIST:
        print_leaf(p, known ? at + 0x1c : at, "index", "%u", e->u.contact.index);
        break;
    case CPUU_EID_CONTAB:
        print_leaf(p, known ? at + 0x18 : at, "type", "%u", e->u.contab.type);
        print_guid(p, known ? at + 0x1c : at, "UID", e->u.contab.uid);
        break;
    case CPUU_EID_WRAPPED:
        print_leaf(p, known ? at + 0x14 : at, "type", "0x%02x", e->u.wrapped.type);
        break;
    case CPUU_EID_EPHEMERAL:
        print_leaf(p, known ? at + 0x1c : at, "id", "0x%x", e->u.ephemeral.mid);
        break;
    case CPUU_EID_UNKNOWN:
        break;
    }
    if (p->depth < 16 && cpuu_eid_inner(e, &inner))
        print_eid(p, "inside", inner);
}

void print_eid(printer *p, const char *name, cpuu_blob b)
{
    cpuu_eid e;
    if (!cpuu_eid_decode(b, &e, NULL)) {
        print_hex(p, name, b);
        return;
    }
    uint32_t at = print_offset(p, b);
    print_open(p, at, name, "%s, %u bytes", cpuu_eid_kind_name(e.kind), b.size);
    if (cpuu_le32(e.flags))
        print_leaf(p, at, "flags", "%08x", cpuu_le32(e.flags));
    print_guid(p, at == NO_OFFSET ? at : at + 4, "provider", e.provider);
    eid_body(p, at, &e);
    if (e.rest.size)
        print_hex(p, "rest", e.rest);
    print_close(p);
}

/* ---- properties ------------------------------------------------------------------------------ */

/* [MS-OXPROPS] names; ids of profile sections and of the AutoComplete stream as their headers and
 * documentation have them. */
static const struct {
    uint16_t id;
    const char *name;
} names[] = {
    {0x0037, "subject"},
    {0x003f, "received by"},
    {0x0c15, "recipient type"},
    {0x0c1f, "sender address"},
    {0x0ff8, "mapping signature"},
    {0x0ff9, "record key"},
    {0x0ffe, "object type"},
    {0x0fff, "EntryID"},
    {0x1000, "body"},
    {0x1035, "message id"},
    {0x3001, "display name"},
    {0x3002, "address type"},
    {0x3003, "e-mail address"},
    {0x3006, "provider display"},
    {0x3009, "resource flags"},
    {0x300a, "provider DLL"},
    {0x300b, "search key"},
    {0x3414, "store kind"},
    {0x3900, "display type"},
    {0x39fe, "SMTP address"},
    {0x3a00, "account"},
    {0x3d00, "store providers"},
    {0x3d01, "address-book providers"},
    {0x3d02, "transport providers"},
    {0x3d05, "address-book search path"},
    {0x3d06, "default address list"},
    {0x3d07, "default personal address book"},
    {0x3d09, "service name"},
    {0x3d0a, "service DLL"},
    {0x3d0b, "service entry point"},
    {0x3d0c, "service UID"},
    {0x3d0e, "services"},
    {0x3d0f, "service support files"},
    {0x3d13, "service install id"},
    {0x3d15, "EMSMDB section UID"},
    {0x3e03, "resource type"},
    {0x5ff6, "recipient name"},
    {0x5ff7, "recipient EntryID"},
    {0x5ffd, "recipient flags"},
    {0x5fff, "recipient status"},
    {0x6001, "nickname"},
    {0x6003, "drop-down name"},
    {0x6004, "nickname weight"},
    {0x6600, "profile version"},
    {0x6601, "configuration flags"},
    {0x6602, "home server"},
    {0x6603, "user DN"},
    {0x6607, "unresolved name"},
    {0x6608, "unresolved server"},
    {0x6609, "open flags"},
    {0x660a, "store type"},
    {0x660b, "mailbox DN"},
    {0x660c, "server"},
    {0x6610, "OST path"},
    {0x6612, "home server DN"},
    {0x6614, "server DN"},
    {0x6620, "account name"},
    {0x6622, "RPC proxy"},
    {0x662a, "home server name"},
    {0x662b, "server name"},
    {0x663d, "user e-mail"},
    {0x6641, "user SMTP address"},
    {0x6649, "months kept offline"},
    {0x664a, "last good Autodiscover URL"},
    {0x6652, "MAPI/HTTP store, internal"},
    {0x6653, "MAPI/HTTP store, external"},
    {0x6654, "MAPI/HTTP address book, internal"},
    {0x6655, "MAPI/HTTP address book, external"},
    {0x6700, "PST path"},
};

const char *property_name(uint32_t tag)
{
    /* Ids from 0x6600 on mean other things in other sections; those lists have no names here. */
    if (CPUU_TAG_ID(tag) >= 0x6600 && (tag & CPUU_PT_MULTIPLE))
        return NULL;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].id == CPUU_TAG_ID(tag))
            return names[i].name;
    return NULL;
}

void print_prop(printer *p, uint32_t offset, uint32_t tag, cpuu_blob value)
{
    char name[80];
    const char *known = property_name(tag);
    uint32_t type = CPUU_TAG_TYPE(tag);
    cpuu_eid e;
    snprintf(name, sizeof(name), "%08x%s%s", tag, known ? " " : "", known ? known : "");
    if (type == CPUU_PT_STRING)
        print_text16(p, name, value);
    else if (type == CPUU_PT_STRING8)
        print_text8(p, name, value);
    else if (type == CPUU_PT_BINARY && cpuu_eid_decode(value, &e, NULL) &&
             e.kind != CPUU_EID_UNKNOWN)
        print_eid(p, name, value);
    else if (type == CPUU_PT_BINARY && cpuu_rawprop_link(tag, value) == CPUU_LINK_SEARCH_KEY)
        print_text8(p, name,
                    (cpuu_blob){value.data, value.size - (value.data[value.size - 1] == 0)});
    else if (type == CPUU_PT_ERROR && value.size == 4)
        print_leaf(p, offset, name, "error 0x%08x", cpuu_le32(value.data));
    else if (value.size == 4 && type != CPUU_PT_BINARY)
        print_leaf(p, offset, name, "%d (0x%x)", (int32_t)cpuu_le32(value.data),
                   cpuu_le32(value.data));
    else if (value.size && value.size <= 2 && type != CPUU_PT_BINARY)
        print_leaf(p, offset, name, "%u",
                   value.data[0] | (value.size == 2 ? value.data[1] << 8 : 0));
    else
        print_hex(p, name, value);
}
