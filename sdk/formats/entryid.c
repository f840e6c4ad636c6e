/*
 * EntryIDs; see cpuu/formats/entryid.h. Each kind has one reader and one writer, in this order:
 * objects of a store, stores, people, EntryIDs around EntryIDs.
 */
#include "internal.h"

#include <cpuu/formats/entryid.h>

/* [MS-OXCDATA] 2.2.4.1, 2.2.4.3, 2.2.5.1 to 2.2.5.3; [MS-OXOCNTC] 2.2.2.2.4.1.1 */
const uint8_t cpuu_uid_public[16] = {0x1a, 0x44, 0x73, 0x90, 0xaa, 0x66, 0x11, 0xcd,
                                     0x9b, 0xc8, 0x00, 0xaa, 0x00, 0x2f, 0xc4, 0x5a};
const uint8_t cpuu_uid_store[16] = {0x38, 0xa1, 0xbb, 0x10, 0x05, 0xe5, 0x10, 0x1a,
                                    0xa1, 0xbb, 0x08, 0x00, 0x2b, 0x2a, 0x56, 0xc2};
const uint8_t cpuu_uid_ab[16] = {0xdc, 0xa7, 0x40, 0xc8, 0xc0, 0x42, 0x10, 0x1a,
                                 0xb4, 0xb9, 0x08, 0x00, 0x2b, 0x2f, 0xe1, 0x82};
const uint8_t cpuu_uid_oneoff[16] = {0x81, 0x2b, 0x1f, 0xa4, 0xbe, 0xa3, 0x10, 0x19,
                                     0x9d, 0x6e, 0x00, 0xdd, 0x01, 0x0f, 0x54, 0x02};
const uint8_t cpuu_uid_contab[16] = {0xfe, 0x42, 0xaa, 0x0a, 0x18, 0xc7, 0x1a, 0x10,
                                     0xe8, 0x85, 0x0b, 0x65, 0x1c, 0x24, 0x00, 0x00};
const uint8_t cpuu_uid_wrapped[16] = {0xc0, 0x91, 0xad, 0xd3, 0x51, 0x9d, 0xcf, 0x11,
                                      0xa4, 0xa9, 0x00, 0xaa, 0x00, 0x47, 0xfa, 0xa4};
const uint8_t cpuu_uid_wrapped_private[16] = {0x1b, 0x55, 0xfa, 0x20, 0xaa, 0x66, 0x11, 0xcd,
                                              0x9b, 0xc8, 0x00, 0xaa, 0x00, 0x2f, 0xc4, 0x5a};
const uint8_t cpuu_uid_wrapped_public[16] = {0x1c, 0x83, 0x02, 0x10, 0xaa, 0x66, 0x11, 0xcd,
                                             0x9b, 0xc8, 0x00, 0xaa, 0x00, 0x2f, 0xc4, 0x5a};

#define EPHEMERAL_FLAG 0x87 /* [MS-OXNSPI] 2.2.9.2 */

#define DLL_SIZE 14u /* field of an Exchange store */
static const cpuu_blob dll_exchange = {(const uint8_t *)"EMSMDB.DLL", 10};
static const cpuu_blob dll_pst = {(const uint8_t *)"mspst.dll", 9};

/* Blocks after the DN of a store; layout observed, no specification has them. */
#define BLOCK2_MAGIC   0xf32135d8u
#define BLOCK2_VERSION 1u
#define BLOCK2_TEXT    20u /* bytes before the first text */
#define BLOCK3_MAGIC   0xf43246e9u
#define BLOCK3_VERSION 2u
#define BLOCK3_TEXT    16u
#define BLOCK_END      2u /* zero bytes at the end */

#define CONTAB_VERSION 3u /* [MS-OXCDATA] 2.2.5.3 and 2.2.5.4; 1 to 3: Outlook MAPI reference */
#define CONTAB_ROOT    1u
#define CONTAB_FOLDER  3u
#define CONTAB_CONTACT 4u
#define CONTAB_LIST    5u

#define NESTING_MAX 4

/* ---- small helpers --------------------------------------------------------------------------- */

bool cpuu_blob_equal(cpuu_blob a, cpuu_blob b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static uint8_t upper(uint8_t c)
{
    return c >= 'a' && c <= 'z' ? (uint8_t)(c - ('a' - 'A')) : c;
}

bool cpuu_blob_equal_nocase(cpuu_blob a, cpuu_blob b)
{
    if (a.size != b.size)
        return false;
    for (uint32_t i = 0; i < a.size; i++)
        if (upper(a.data[i]) != upper(b.data[i]))
            return false;
    return true;
}

/* The same for UTF-16LE, where only whole units are letters. */
static bool equal_nocase16(cpuu_blob a, cpuu_blob b)
{
    if (a.size != b.size)
        return false;
    for (uint32_t i = 0; i + 1 < a.size; i += 2) {
        bool ascii = a.data[i + 1] == 0 && b.data[i + 1] == 0;
        if (ascii ? upper(a.data[i]) != upper(b.data[i]) : memcmp(a.data + i, b.data + i, 2) != 0)
            return false;
    }
    return true;
}

static bool uid_is(const uint8_t a[16], const uint8_t b[16])
{
    return memcmp(a, b, 16) == 0;
}

static bool add_sz(cpuu_buf *out, cpuu_blob text)
{
    return fmt_add(out, text) && cpuu_buf_u8(out, 0);
}

static bool add_sz16(cpuu_buf *out, cpuu_blob text)
{
    return fmt_add(out, text) && cpuu_buf_u16(out, 0);
}

/* ---- folders and messages, [MS-OXCDATA] 2.2.4.1 and 2.2.4.2
 * -------------------------------------- */

static void read_gid(cpuu_reader *r, cpuu_gid *id, uint8_t pad[2])
{
    fmt_copy(r, id->replica, sizeof(id->replica), "DatabaseGuid");
    fmt_copy(r, id->counter, sizeof(id->counter), "GlobalCounter");
    fmt_copy(r, pad, 2, "Pad");
}

static void write_gid(cpuu_buf *out, const cpuu_gid *id, const uint8_t pad[2])
{
    cpuu_buf_add(out, id->replica, sizeof(id->replica));
    cpuu_buf_add(out, id->counter, sizeof(id->counter));
    cpuu_buf_add(out, pad, 2);
}

static void read_folder(cpuu_reader *r, cpuu_eid *eid)
{
    eid->u.folder.type = cpuu_read_u16(r, "FolderType");
    read_gid(r, &eid->u.folder.id, eid->u.folder.pad);
}

static void write_folder(cpuu_buf *out, const cpuu_eid *eid)
{
    cpuu_buf_u16(out, eid->u.folder.type);
    write_gid(out, &eid->u.folder.id, eid->u.folder.pad);
}

static void read_message(cpuu_reader *r, cpuu_eid *eid)
{
    eid->u.message.type = cpuu_read_u16(r, "MessageType");
    read_gid(r, &eid->u.message.folder, eid->u.message.pad1);
    read_gid(r, &eid->u.message.id, eid->u.message.pad2);
}

static void write_message(cpuu_buf *out, const cpuu_eid *eid)
{
    cpuu_buf_u16(out, eid->u.message.type);
    write_gid(out, &eid->u.message.folder, eid->u.message.pad1);
    write_gid(out, &eid->u.message.id, eid->u.message.pad2);
}

/* ---- stores, [MS-OXCDATA] 2.2.4.3 ------------------------------------------------------------ */

/* A text of a block at an offset from its magic; empty when there is none. */
static cpuu_blob block_text(cpuu_blob block, uint32_t offset, bool wide)
{
    cpuu_reader r;
    if (offset == 0 || offset >= block.size)
        return (cpuu_blob){NULL, 0};
    cpuu_reader_init(&r, block.data + offset, block.size - offset);
    return wide ? fmt_blob_sz16(&r, "text") : fmt_blob_sz8(&r, "text");
}

/* Views into a block that is not laid out as usual: found by their offsets, when those make sense.
 */
static void look_into_block(cpuu_eid_store *s, cpuu_blob block)
{
    uint32_t head = s->block == 2 ? BLOCK2_TEXT : BLOCK3_TEXT;
    if (block.size < head)
        return;
    if (s->block == 3) {
        s->smtp = block_text(block, cpuu_le32(block.data + 12), true);
        return;
    }
    s->server_dn = block_text(block, cpuu_le32(block.data + 12), false);
    s->server_fqdn = block_text(block, cpuu_le32(block.data + 16), true);
    s->has_fqdn = s->server_fqdn.data != NULL;
}

/* Reads what is after the magic in the usual layout; true when it is that. */
static bool read_block_body(cpuu_reader *r, cpuu_eid_store *s)
{
    uint32_t start = r->pos - 4;
    uint32_t size = cpuu_read_u32(r, "Size");
    uint32_t version = cpuu_read_u32(r, "Version");
    bool laid;
    if (s->block == 2) {
        uint32_t dn = cpuu_read_u32(r, "OffsetDN");
        uint32_t fqdn = cpuu_read_u32(r, "OffsetFQDN");
        s->server_dn = fmt_blob_sz8(r, "ServerDN");
        s->has_fqdn = fqdn != 0;
        laid = version == BLOCK2_VERSION && dn == BLOCK2_TEXT &&
               (fqdn == 0 || fqdn == BLOCK2_TEXT + s->server_dn.size + 1);
        if (laid && fqdn != 0)
            s->server_fqdn = fmt_blob_sz16(r, "ServerFQDN");
    } else {
        laid = cpuu_read_u32(r, "OffsetSmtp") == BLOCK3_TEXT && version == BLOCK3_VERSION;
        s->smtp = fmt_blob_sz16(r, "SmtpAddress");
    }
    laid = laid && cpuu_read_u16(r, "Reserved") == 0;
    s->block_size_error = (int32_t)(size - (r->pos - start));
    return laid;
}

static void read_block(cpuu_reader *r, cpuu_eid_store *s)
{
    if (cpuu_reader_left(r) < 4)
        return;
    uint32_t magic = cpuu_le32(r->data + r->pos);
    if (magic != BLOCK2_MAGIC && magic != BLOCK3_MAGIC)
        return;
    s->block = magic == BLOCK2_MAGIC ? 2 : 3;
    cpuu_eid_store laid = *s;
    cpuu_reader body = *r;
    body.pos += 4;
    laid.block_laid = read_block_body(&body, &laid) && !body.failed;
    if (laid.block_laid) {
        *s = laid;
        *r = body;
    } else {
        look_into_block(s, (cpuu_blob){r->data + r->pos, r->size - r->pos});
    }
}

static void read_exchange_store(cpuu_reader *r, cpuu_eid_store *s)
{
    fmt_copy(r, s->dll_pad, sizeof(s->dll_pad), "DLLFileName");
    s->wrapped_flags = cpuu_read_u32(r, "WrappedFlags");
    fmt_copy(r, s->wrapped_uid, sizeof(s->wrapped_uid), "WrappedProviderUID");
    s->wrapped_type = cpuu_read_u32(r, "WrappedType");
    s->server = fmt_blob_sz8(r, "ServerShortname");
    s->block = 1;
    uint32_t left = cpuu_reader_left(r);
    uint32_t magic = left >= 4 ? cpuu_le32(r->data + r->pos) : 0;
    if (uid_is(s->wrapped_uid, cpuu_uid_wrapped_public) &&
        (left == 0 || magic == BLOCK2_MAGIC || magic == BLOCK3_MAGIC)) {
        s->has_dn = false;
    } else {
        s->has_dn = true;
        s->dn = fmt_blob_sz8(r, "MailboxDN");
    }
    read_block(r, s);
}

static void read_store(cpuu_reader *r, cpuu_eid *eid)
{
    cpuu_eid_store *s = &eid->u.store;
    s->version = cpuu_read_u8(r, "Version");
    s->flag = cpuu_read_u8(r, "Flag");
    if (s->flag == 1) {
        eid->kind = CPUU_EID_STORE_UNOPENED;
        fmt_copy(r, s->wrapped_uid, sizeof(s->wrapped_uid), "WrappedProviderUID");
        return;
    }
    s->dll = fmt_blob_sz8(r, "DLLFileName");
    if (cpuu_blob_equal_nocase(s->dll, dll_exchange))
        read_exchange_store(r, s);
    else
        eid->kind =
            cpuu_blob_equal_nocase(s->dll, dll_pst) ? CPUU_EID_STORE_PST : CPUU_EID_STORE_OTHER;
}

static void write_block(cpuu_buf *out, const cpuu_eid_store *s)
{
    size_t start = out->size;
    if (s->block == 2) {
        cpuu_buf_u32(out, BLOCK2_MAGIC);
        cpuu_buf_u32(out, 0);
        cpuu_buf_u32(out, BLOCK2_VERSION);
        cpuu_buf_u32(out, BLOCK2_TEXT);
        cpuu_buf_u32(out, s->has_fqdn ? BLOCK2_TEXT + s->server_dn.size + 1 : 0);
        add_sz(out, s->server_dn);
        if (s->has_fqdn)
            add_sz16(out, s->server_fqdn);
    } else {
        cpuu_buf_u32(out, BLOCK3_MAGIC);
        cpuu_buf_u32(out, 0);
        cpuu_buf_u32(out, BLOCK3_VERSION);
        cpuu_buf_u32(out, BLOCK3_TEXT);
        add_sz16(out, s->smtp);
    }
    cpuu_buf_fill(out, 0, BLOCK_END);
    uint32_t size = (uint32_t)(out->size - start) + (uint32_t)s->block_size_error;
    cpuu_buf_put_u32(out, start + 4, size);
}

static void write_store(cpuu_buf *out, const cpuu_eid *eid)
{
    const cpuu_eid_store *s = &eid->u.store;
    cpuu_buf_u8(out, s->version);
    cpuu_buf_u8(out, s->flag);
    if (eid->kind == CPUU_EID_STORE_UNOPENED) {
        cpuu_buf_add(out, s->wrapped_uid, sizeof(s->wrapped_uid));
        return;
    }
    add_sz(out, s->dll);
    if (eid->kind != CPUU_EID_STORE)
        return;
    cpuu_buf_add(out, s->dll_pad, sizeof(s->dll_pad));
    cpuu_buf_u32(out, s->wrapped_flags);
    cpuu_buf_add(out, s->wrapped_uid, sizeof(s->wrapped_uid));
    cpuu_buf_u32(out, s->wrapped_type);
    add_sz(out, s->server);
    if (s->has_dn)
        add_sz(out, s->dn);
    if (s->block_laid)
        write_block(out, s);
}

/* ---- people, [MS-OXCDATA] 2.2.5.1 and 2.2.5.2, [MS-OXNSPI] 2.2.9.2
 * ---------------------------------- */

static void read_ab(cpuu_reader *r, cpuu_eid *eid)
{
    eid->u.ab.version = cpuu_read_u32(r, "Version");
    eid->u.ab.type = cpuu_read_u32(r, "Type");
    eid->u.ab.dn = fmt_blob_sz8(r, "X500DN");
}

static void write_ab(cpuu_buf *out, const cpuu_eid *eid)
{
    cpuu_buf_u32(out, eid->u.ab.version);
    cpuu_buf_u32(out, eid->u.ab.type);
    add_sz(out, eid->u.ab.dn);
}

static void read_oneoff(cpuu_reader *r, cpuu_eid *eid)
{
    eid->u.oneoff.version = cpuu_read_u16(r, "Version");
    eid->u.oneoff.bits = cpuu_read_u16(r, "Flags");
    bool wide = eid->u.oneoff.bits & CPUU_ONEOFF_UNICODE;
    cpuu_blob (*text)(cpuu_reader *, const char *) = wide ? fmt_blob_sz16 : fmt_blob_sz8;
    eid->u.oneoff.name = text(r, "DisplayName");
    eid->u.oneoff.address_type = text(r, "AddressType");
    eid->u.oneoff.address = text(r, "EmailAddress");
}

static void write_oneoff(cpuu_buf *out, const cpuu_eid *eid)
{
    cpuu_buf_u16(out, eid->u.oneoff.version);
    cpuu_buf_u16(out, eid->u.oneoff.bits);
    bool (*add)(cpuu_buf *, cpuu_blob) =
        eid->u.oneoff.bits & CPUU_ONEOFF_UNICODE ? add_sz16 : add_sz;
    add(out, eid->u.oneoff.name);
    add(out, eid->u.oneoff.address_type);
    add(out, eid->u.oneoff.address);
}

static void read_ephemeral(cpuu_reader *r, cpuu_eid *eid)
{
    eid->u.ephemeral.version = cpuu_read_u32(r, "R4");
    eid->u.ephemeral.type = cpuu_read_u32(r, "DisplayType");
    eid->u.ephemeral.mid = cpuu_read_u32(r, "MId");
}

static void write_ephemeral(cpuu_buf *out, const cpuu_eid *eid)
{
    cpuu_buf_u32(out, eid->u.ephemeral.version);
    cpuu_buf_u32(out, eid->u.ephemeral.type);
    cpuu_buf_u32(out, eid->u.ephemeral.mid);
}

/* ---- around another EntryID, [MS-OXCDATA] 2.2.5.3 and 2.2.5.4, [MS-OXOCNTC] 2.2.2.2.4.1.1
 * ------------- */

static void read_contact(cpuu_reader *r, cpuu_eid *eid)
{
    eid->u.contact.version = cpuu_read_u32(r, "Version");
    eid->u.contact.type = cpuu_read_u32(r, "Type");
    eid->u.contact.index = cpuu_read_u32(r, "Index");
    eid->u.contact.inner = fmt_blob(r, cpuu_read_u32(r, "EntryIdCount"), "EntryIdBytes");
}

static void write_contact(cpuu_buf *out, const cpuu_eid *eid)
{
    cpuu_buf_u32(out, eid->u.contact.version);
    cpuu_buf_u32(out, eid->u.contact.type);
    cpuu_buf_u32(out, eid->u.contact.index);
    cpuu_buf_u32(out, eid->u.contact.inner.size);
    fmt_add(out, eid->u.contact.inner);
}

static void read_contab(cpuu_reader *r, cpuu_eid *eid)
{
    eid->u.contab.version = cpuu_read_u32(r, "Version");
    eid->u.contab.type = cpuu_read_u32(r, "Type");
    fmt_copy(r, eid->u.contab.uid, sizeof(eid->u.contab.uid), "muidID");
    eid->u.contab.inner = fmt_blob_left(r, "EntryID");
}

static void write_contab(cpuu_buf *out, const cpuu_eid *eid)
{
    cpuu_buf_u32(out, eid->u.contab.version);
    cpuu_buf_u32(out, eid->u.contab.type);
    cpuu_buf_add(out, eid->u.contab.uid, sizeof(eid->u.contab.uid));
    fmt_add(out, eid->u.contab.inner);
}

static void read_wrapped(cpuu_reader *r, cpuu_eid *eid)
{
    eid->u.wrapped.type = cpuu_read_u8(r, "Type");
    eid->u.wrapped.inner = fmt_blob_left(r, "EmbeddedEntryID");
}

static void write_wrapped(cpuu_buf *out, const cpuu_eid *eid)
{
    cpuu_buf_u8(out, eid->u.wrapped.type);
    fmt_add(out, eid->u.wrapped.inner);
}

/* ---- all kinds ------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*read)(cpuu_reader *r, cpuu_eid *eid);
    void (*write)(cpuu_buf *out, const cpuu_eid *eid);
} kinds[] = {
    [CPUU_EID_UNKNOWN] = {"unknown", NULL, NULL},
    [CPUU_EID_FOLDER] = {"folder", read_folder, write_folder},
    [CPUU_EID_FOLDER_PUBLIC] = {"public folder", read_folder, write_folder},
    [CPUU_EID_MESSAGE] = {"message", read_message, write_message},
    [CPUU_EID_MESSAGE_PUBLIC] = {"public message", read_message, write_message},
    [CPUU_EID_STORE] = {"store", read_store, write_store},
    [CPUU_EID_STORE_UNOPENED] = {"unopened store", NULL, write_store},
    [CPUU_EID_STORE_PST] = {"PST store", NULL, write_store},
    [CPUU_EID_STORE_OTHER] = {"other store", NULL, write_store},
    [CPUU_EID_AB] = {"address book", read_ab, write_ab},
    [CPUU_EID_ONEOFF] = {"one-off", read_oneoff, write_oneoff},
    [CPUU_EID_CONTACT] = {"contact address", read_contact, write_contact},
    [CPUU_EID_PERSONAL_LIST] = {"personal list", read_contact, write_contact},
    [CPUU_EID_CONTAB] = {"contact container", read_contab, write_contab},
    [CPUU_EID_WRAPPED] = {"wrapped", read_wrapped, write_wrapped},
    [CPUU_EID_EPHEMERAL] = {"ephemeral", read_ephemeral, write_ephemeral},
};

const char *cpuu_eid_kind_name(cpuu_eid_kind kind)
{
    return (size_t)kind < sizeof(kinds) / sizeof(kinds[0]) ? kinds[kind].name : "unknown";
}

static cpuu_eid_kind contab_kind(const uint8_t *body, uint32_t size)
{
    uint32_t type = size >= 8 && cpuu_le32(body) == CONTAB_VERSION ? cpuu_le32(body + 4) : 0;
    if (type == CONTAB_CONTACT)
        return CPUU_EID_CONTACT;
    if (type == CONTAB_LIST)
        return CPUU_EID_PERSONAL_LIST;
    return type >= CONTAB_ROOT && type <= CONTAB_FOLDER ? CPUU_EID_CONTAB : CPUU_EID_UNKNOWN;
}

/* Objects of a mailbox have no UID of their own, so only the exact size makes them one. */
static cpuu_eid_kind object_kind(bool is_public, uint16_t type, uint32_t size)
{
    bool folder = size == CPUU_FOLDER_EID_SIZE, message = size == CPUU_MESSAGE_EID_SIZE;
    switch (type) {
    case CPUU_EID_TYPE_FOLDER:
        return folder && !is_public ? CPUU_EID_FOLDER : CPUU_EID_UNKNOWN;
    case CPUU_EID_TYPE_MESSAGE:
        return message && !is_public ? CPUU_EID_MESSAGE : CPUU_EID_UNKNOWN;
    case CPUU_EID_TYPE_FOLDER_PUBLIC:
    case CPUU_EID_TYPE_FOLDER_PUBLIC_MAPPED:
        return folder || is_public ? CPUU_EID_FOLDER_PUBLIC : CPUU_EID_UNKNOWN;
    case CPUU_EID_TYPE_MESSAGE_PUBLIC:
    case CPUU_EID_TYPE_MESSAGE_PUBLIC_MAPPED:
        return message || is_public ? CPUU_EID_MESSAGE_PUBLIC : CPUU_EID_UNKNOWN;
    default:
        return CPUU_EID_UNKNOWN;
    }
}

/* body: what is after flags and provider. */
static cpuu_eid_kind kind_of(const cpuu_eid *eid, const uint8_t *body, uint32_t size)
{
    static const struct {
        const uint8_t *uid;
        cpuu_eid_kind kind;
    } by_uid[] = {{cpuu_uid_store, CPUU_EID_STORE},
                  {cpuu_uid_ab, CPUU_EID_AB},
                  {cpuu_uid_oneoff, CPUU_EID_ONEOFF},
                  {cpuu_uid_wrapped, CPUU_EID_WRAPPED}};
    if (eid->flags[0] == EPHEMERAL_FLAG)
        return CPUU_EID_EPHEMERAL;
    for (size_t i = 0; i < sizeof(by_uid) / sizeof(by_uid[0]); i++)
        if (uid_is(eid->provider, by_uid[i].uid))
            return by_uid[i].kind;
    if (uid_is(eid->provider, cpuu_uid_contab))
        return contab_kind(body, size);
    return object_kind(uid_is(eid->provider, cpuu_uid_public), size >= 2 ? cpuu_le16(body) : 0,
                       size + 20);
}

bool cpuu_eid_read(cpuu_reader *r, cpuu_eid *out)
{
    cpuu_eid eid;
    memset(&eid, 0, sizeof(eid));
    fmt_copy(r, eid.flags, sizeof(eid.flags), "Flags");
    fmt_copy(r, eid.provider, sizeof(eid.provider), "ProviderUID");
    if (r->failed)
        return false;
    eid.kind = kind_of(&eid, r->data + r->pos, r->size - r->pos);
    if (kinds[eid.kind].read)
        kinds[eid.kind].read(r, &eid);
    eid.rest = fmt_blob_left(r, "rest");
    if (r->failed)
        return false;
    *out = eid;
    return true;
}

bool cpuu_eid_decode(cpuu_blob in, cpuu_eid *out, cpuu_fmt_error *err)
{
    cpuu_reader r;
    cpuu_reader_init(&r, in.data, in.size);
    cpuu_eid_read(&r, out);
    return fmt_done(&r, err);
}

bool cpuu_eid_encode(const cpuu_eid *eid, cpuu_buf *out)
{
    cpuu_buf_add(out, eid->flags, sizeof(eid->flags));
    cpuu_buf_add(out, eid->provider, sizeof(eid->provider));
    if (kinds[eid->kind].write)
        kinds[eid->kind].write(out, eid);
    return fmt_add(out, eid->rest);
}

/* ---- links ----------------------------------------------------------------------------------- */

static cpuu_blob *inner_of(cpuu_eid *eid)
{
    switch (eid->kind) {
    case CPUU_EID_CONTACT:
    case CPUU_EID_PERSONAL_LIST:
        return &eid->u.contact.inner;
    case CPUU_EID_CONTAB:
        return &eid->u.contab.inner;
    case CPUU_EID_WRAPPED:
        return &eid->u.wrapped.inner;
    default:
        return NULL;
    }
}

bool cpuu_eid_inner(const cpuu_eid *eid, cpuu_blob *inner)
{
    cpuu_eid copy = *eid;
    const cpuu_blob *found = inner_of(&copy);
    if (!found || found->size == 0)
        return false;
    *inner = *found;
    return true;
}

static bool rewrite(cpuu_blob in, unsigned depth, cpuu_link_cb cb, void *user, cpuu_buf *out,
                    bool *replaced)
{
    cpuu_eid eid;
    cpuu_blob *inner = cpuu_eid_decode(in, &eid, NULL) ? inner_of(&eid) : NULL;
    if (!inner || inner->size == 0 || depth == NESTING_MAX)
        return cpuu_link_ask(cb, user, CPUU_LINK_EID, in, out, replaced);
    cpuu_buf nested;
    bool changed = false;
    cpuu_buf_init(&nested, out->max);
    if (!rewrite(*inner, depth + 1, cb, user, &nested, &changed)) {
        out->failed = true;
    } else if (changed) {
        *inner = (cpuu_blob){nested.data, (uint32_t)nested.size};
        cpuu_eid_encode(&eid, out);
        if (replaced)
            *replaced = true;
    } else {
        fmt_add(out, in);
    }
    cpuu_buf_free(&nested);
    return !out->failed;
}

bool cpuu_eid_rewrite(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced)
{
    return rewrite(in, 0, cb, user, out, replaced);
}

/* ---- builders -------------------------------------------------------------------------------- */

static cpuu_eid new_eid(cpuu_eid_kind kind, const uint8_t provider[16])
{
    cpuu_eid eid;
    memset(&eid, 0, sizeof(eid));
    eid.kind = kind;
    memcpy(eid.provider, provider, 16);
    return eid;
}

static cpuu_blob text_blob(const char *text)
{
    return (cpuu_blob){(const uint8_t *)text, text ? (uint32_t)strlen(text) : 0};
}

bool cpuu_eid_build_folder(cpuu_buf *out, const uint8_t provider[16], const cpuu_gid *id)
{
    bool is_public = uid_is(provider, cpuu_uid_public);
    cpuu_eid eid = new_eid(is_public ? CPUU_EID_FOLDER_PUBLIC : CPUU_EID_FOLDER, provider);
    eid.u.folder.type = is_public ? CPUU_EID_TYPE_FOLDER_PUBLIC : CPUU_EID_TYPE_FOLDER;
    eid.u.folder.id = *id;
    return cpuu_eid_encode(&eid, out);
}

bool cpuu_eid_build_message(cpuu_buf *out, const uint8_t provider[16], const cpuu_gid *folder,
                            const cpuu_gid *id)
{
    bool is_public = uid_is(provider, cpuu_uid_public);
    cpuu_eid eid = new_eid(is_public ? CPUU_EID_MESSAGE_PUBLIC : CPUU_EID_MESSAGE, provider);
    eid.u.message.type = is_public ? CPUU_EID_TYPE_MESSAGE_PUBLIC : CPUU_EID_TYPE_MESSAGE;
    eid.u.message.folder = *folder;
    eid.u.message.id = *id;
    return cpuu_eid_encode(&eid, out);
}

bool cpuu_eid_build_store(cpuu_buf *out, const char *server, const char *dn, const char *smtp,
                          uint32_t wrapped_type)
{
    bool is_public = wrapped_type & CPUU_STORE_PUBLIC;
    cpuu_eid eid = new_eid(CPUU_EID_STORE, cpuu_uid_store);
    cpuu_eid_store *s = &eid.u.store;
    cpuu_buf smtp16;
    cpuu_buf_init(&smtp16, out->max);
    s->dll = dll_exchange;
    memcpy(s->wrapped_uid, is_public ? cpuu_uid_wrapped_public : cpuu_uid_wrapped_private, 16);
    s->wrapped_type = wrapped_type;
    s->server = text_blob(server);
    s->has_dn = dn || !is_public;
    s->dn = text_blob(dn);
    s->block = smtp ? 3 : 1;
    s->block_laid = smtp != NULL;
    if (smtp && !cpuu_buf_utf16(&smtp16, smtp, false))
        out->failed = true;
    s->smtp = (cpuu_blob){smtp16.data, (uint32_t)smtp16.size};
    cpuu_eid_encode(&eid, out);
    cpuu_buf_free(&smtp16);
    return !out->failed;
}

bool cpuu_eid_build_ab(cpuu_buf *out, const char *dn, uint32_t type)
{
    cpuu_eid eid = new_eid(CPUU_EID_AB, cpuu_uid_ab);
    eid.u.ab.version = 1;
    eid.u.ab.type = type;
    eid.u.ab.dn = text_blob(dn);
    return cpuu_eid_encode(&eid, out);
}

bool cpuu_eid_build_oneoff(cpuu_buf *out, const char *name, const char *address_type,
                           const char *address, uint16_t bits)
{
    cpuu_eid eid = new_eid(CPUU_EID_UNKNOWN, cpuu_uid_oneoff);
    cpuu_eid_encode(&eid, out);
    cpuu_buf_u16(out, 0);
    cpuu_buf_u16(out, (uint16_t)(bits | CPUU_ONEOFF_UNICODE));
    cpuu_buf_utf16(out, name, true);
    cpuu_buf_utf16(out, address_type, true);
    return cpuu_buf_utf16(out, address, true);
}

/* ---- comparison and parts -------------------------------------------------------------------- */

static bool same_exchange_store(const cpuu_eid_store *a, const cpuu_eid_store *b)
{
    if (!uid_is(a->wrapped_uid, b->wrapped_uid))
        return false;
    if (a->dn.size && b->dn.size)
        return cpuu_blob_equal_nocase(a->dn, b->dn);
    if (a->smtp.size && b->smtp.size)
        return equal_nocase16(a->smtp, b->smtp);
    return uid_is(a->wrapped_uid, cpuu_uid_wrapped_public) && a->server.size &&
           cpuu_blob_equal_nocase(a->server, b->server);
}

static bool is_store(cpuu_eid_kind kind)
{
    return kind >= CPUU_EID_STORE && kind <= CPUU_EID_STORE_OTHER;
}

bool cpuu_eid_same_store(cpuu_blob a, cpuu_blob b)
{
    cpuu_eid x, y;
    if (!cpuu_eid_decode(a, &x, NULL) || !cpuu_eid_decode(b, &y, NULL) || x.kind != y.kind ||
        !is_store(x.kind))
        return false;
    if (cpuu_blob_equal(a, b))
        return true;
    return x.kind == CPUU_EID_STORE && same_exchange_store(&x.u.store, &y.u.store);
}

bool cpuu_eid_same(cpuu_blob a, cpuu_blob b)
{
    cpuu_eid x, y;
    if (cpuu_blob_equal(a, b))
        return true;
    if (!cpuu_eid_decode(a, &x, NULL) || !cpuu_eid_decode(b, &y, NULL) || x.kind != y.kind)
        return false;
    if (x.kind == CPUU_EID_AB)
        return cpuu_blob_equal_nocase(x.u.ab.dn, y.u.ab.dn);
    return is_store(x.kind) && cpuu_eid_same_store(a, b);
}

bool cpuu_eid_is_mailbox(const cpuu_eid *eid)
{
    return eid->kind == CPUU_EID_STORE &&
           uid_is(eid->u.store.wrapped_uid, cpuu_uid_wrapped_private);
}

bool cpuu_eid_store_dn(const cpuu_eid *eid, cpuu_blob *dn)
{
    if (eid->kind != CPUU_EID_STORE || eid->u.store.dn.size == 0)
        return false;
    *dn = eid->u.store.dn;
    return true;
}

bool cpuu_eid_store_smtp(const cpuu_eid *eid, cpuu_buf *out)
{
    if (eid->kind != CPUU_EID_STORE || eid->u.store.smtp.size == 0)
        return false;
    return cpuu_buf_utf8_from_utf16(out, eid->u.store.smtp.data, eid->u.store.smtp.size);
}

bool cpuu_eid_source_key(const cpuu_eid *eid, uint8_t key[CPUU_SOURCE_KEY_SIZE])
{
    const cpuu_gid *id;
    if (eid->kind == CPUU_EID_FOLDER || eid->kind == CPUU_EID_FOLDER_PUBLIC)
        id = &eid->u.folder.id;
    else if (eid->kind == CPUU_EID_MESSAGE || eid->kind == CPUU_EID_MESSAGE_PUBLIC)
        id = &eid->u.message.id;
    else
        return false;
    memcpy(key, id->replica, 16);
    memcpy(key + 16, id->counter, 6);
    return true;
}

bool cpuu_source_key_decode(cpuu_blob key, cpuu_gid *out)
{
    if (key.size != CPUU_SOURCE_KEY_SIZE)
        return false;
    memcpy(out->replica, key.data, 16);
    memcpy(out->counter, key.data + 16, 6);
    return true;
}

bool cpuu_source_key_folder(cpuu_blob key, const uint8_t provider[16], cpuu_buf *out)
{
    cpuu_gid id;
    return cpuu_source_key_decode(key, &id) && cpuu_eid_build_folder(out, provider, &id);
}

void cpuu_gid_long_term_id(const cpuu_gid *id, uint8_t ltid[CPUU_LONG_TERM_ID_SIZE])
{
    memcpy(ltid, id->replica, 16);
    memcpy(ltid + 16, id->counter, 6);
    memset(ltid + 22, 0, 2);
}

bool cpuu_long_term_id_decode(cpuu_blob ltid, cpuu_gid *out)
{
    if (ltid.size != CPUU_LONG_TERM_ID_SIZE)
        return false;
    return cpuu_source_key_decode((cpuu_blob){ltid.data, CPUU_SOURCE_KEY_SIZE}, out);
}

bool cpuu_server_eid_decode(cpuu_blob in, cpuu_server_eid *out, cpuu_fmt_error *err)
{
    cpuu_reader r;
    cpuu_server_eid eid;
    memset(&eid, 0, sizeof(eid));
    cpuu_reader_init(&r, in.data, in.size);
    eid.ours = cpuu_read_u8(&r, "Ours");
    fmt_copy(&r, eid.fid, sizeof(eid.fid), "FolderId");
    fmt_copy(&r, eid.mid, sizeof(eid.mid), "MessageId");
    eid.instance = cpuu_read_u32(&r, "Instance");
    if (cpuu_reader_left(&r))
        cpuu_reader_fail(&r, "ServerEid", "is longer than 21 bytes");
    if (!fmt_done(&r, err))
        return false;
    *out = eid;
    return true;
}

bool cpuu_server_eid_encode(const cpuu_server_eid *eid, cpuu_buf *out)
{
    cpuu_buf_u8(out, eid->ours);
    cpuu_buf_add(out, eid->fid, sizeof(eid->fid));
    cpuu_buf_add(out, eid->mid, sizeof(eid->mid));
    return cpuu_buf_u32(out, eid->instance);
}

static void add_upper(cpuu_buf *out, const char *text)
{
    for (; *text; text++)
        cpuu_buf_u8(out, upper((uint8_t)*text));
}

bool cpuu_search_key_build(cpuu_buf *out, const char *address_type, const char *address)
{
    add_upper(out, address_type);
    cpuu_buf_u8(out, ':');
    add_upper(out, address);
    return cpuu_buf_u8(out, 0);
}

bool cpuu_search_key_parse(cpuu_blob key, cpuu_blob *type, cpuu_blob *address)
{
    const uint8_t *colon = key.size ? memchr(key.data, ':', key.size) : NULL;
    if (!colon)
        return false;
    uint32_t n = (uint32_t)(colon - key.data);
    uint32_t tail = key.size - n - 1;
    if (tail && colon[tail] == 0)
        tail--;
    *type = (cpuu_blob){key.data, n};
    *address = (cpuu_blob){colon + 1, tail};
    return true;
}
