#include "profilegen.h"

#include <stdlib.h>
#include <string.h>

/* ---- bytes ----------------------------------------------------------------------------------- */

typedef struct bytes {
    uint8_t data[8192];
    size_t n;
} bytes;

static void add(bytes *b, const void *data, size_t n)
{
    if (n > sizeof(b->data) - b->n)
        abort();
    memcpy(b->data + b->n, data, n);
    b->n += n;
}

static void zeros(bytes *b, size_t n)
{
    static const uint8_t zero[64];
    add(b, zero, n);
}

static void u32(bytes *b, uint32_t v)
{
    uint8_t le[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    add(b, le, 4);
}

static void field(bytes *b, unsigned width, size_t v)
{
    u32(b, (uint32_t)v);
    zeros(b, width - 4);
}

/* Next character of valid UTF-8. */
static uint32_t character(const uint8_t **s)
{
    uint32_t c = *(*s)++;
    int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
    c &= more ? 0x3fu >> more : 0x7fu;
    for (; more > 0 && (**s & 0xc0) == 0x80; more--)
        c = c << 6 | (*(*s)++ & 0x3fu);
    return c;
}

static void unit(bytes *b, uint32_t v)
{
    uint8_t two[2] = {(uint8_t)v, (uint8_t)(v >> 8)};
    add(b, two, 2);
}

static void utf16(bytes *b, const char *text)
{
    const uint8_t *s = (const uint8_t *)text;
    while (*s) {
        uint32_t c = character(&s);
        if (c >= 0x10000) {
            unit(b, 0xd800 + ((c - 0x10000) >> 10));
            unit(b, 0xdc00 + (c & 0x3ff));
        } else {
            unit(b, c);
        }
    }
    zeros(b, 2);
}

static void hex(bytes *b, const char *digits)
{
    for (; *digits; digits += 2) {
        char two[3] = {digits[0], digits[1], 0};
        uint8_t v = (uint8_t)strtoul(two, NULL, 16);
        add(b, &v, 1);
    }
}

void gen_uid(const gen_profile *g, const char *label, uint8_t uid[16])
{
    uint64_t h[2] = {0xcbf29ce484222325u, 0x84222325cbf29ce4u}; /* FNV-1a, two bases */
    for (int k = 0; k < 2; k++) {
        for (const char *s = g->profile; *s; s++)
            h[k] = (h[k] ^ (uint8_t)*s) * 0x100000001b3u;
        for (const char *s = label; *s; s++)
            h[k] = (h[k] ^ (uint8_t)*s) * 0x100000001b3u;
        h[k] ^= h[k] >> 29;
    }
    memcpy(uid, h, 16);
}

/* ---- .reg text ------------------------------------------------------------------------------- */

typedef struct gen {
    const gen_profile *g;
    FILE *out;
} gen;

static void key(gen *x, const char *below)
{
    fprintf(x->out, "\r\n[HKEY_CURRENT_USER\\Software\\Microsoft\\Office\\%s\\Outlook%s%s]\r\n",
            x->g->version, *below ? "\\" : "", below);
}

static void profile_key(gen *x, const char *section)
{
    char path[512];
    snprintf(path, sizeof(path), "Profiles\\%s%s%s", x->g->profile, *section ? "\\" : "", section);
    key(x, path);
}

static void uid_key(gen *x, const char *label)
{
    uint8_t uid[16];
    char name[33];
    gen_uid(x->g, label, uid);
    for (int i = 0; i < 16; i++)
        snprintf(name + 2 * i, 3, "%02x", uid[i]);
    profile_key(x, name);
}

static void raw(gen *x, const char *name, const void *data, size_t n)
{
    fprintf(x->out, "\"%s\"=hex:", name);
    for (size_t i = 0; i < n; i++)
        fprintf(x->out, "%s%02x", i ? "," : "", ((const uint8_t *)data)[i]);
    fputs("\r\n", x->out);
}

static void sz(gen *x, const char *name, const char *text)
{
    fprintf(x->out, "\"%s\"=\"", name);
    for (; *text; text++)
        fprintf(x->out, "%s%c", *text == '\\' || *text == '"' ? "\\" : "", *text);
    fputs("\"\r\n", x->out);
}

static void dword(gen *x, const char *name, uint32_t v)
{
    fprintf(x->out, "\"%s\"=dword:%08x\r\n", name, v);
}

static void wide(gen *x, const char *name, const char *text)
{
    bytes b = {.n = 0};
    utf16(&b, text);
    raw(x, name, b.data, b.n);
}

static void number(gen *x, const char *name, uint32_t v)
{
    bytes b = {.n = 0};
    u32(&b, v);
    raw(x, name, b.data, b.n);
}

static void boolean(gen *x, const char *name, int v)
{
    uint8_t two[2] = {(uint8_t)v, 0};
    raw(x, name, two, 2);
}

static void uids(gen *x, const char *name, const char *const *labels, size_t n)
{
    bytes b = {.n = 0};
    for (size_t i = 0; i < n; i++) {
        uint8_t uid[16];
        gen_uid(x->g, labels[i], uid);
        add(&b, uid, 16);
    }
    if (n)
        raw(x, name, b.data, b.n);
}

static void uid_value(gen *x, const char *name, const char *label)
{
    uids(x, name, &label, 1);
}

/* ---- multi-valued ---------------------------------------------------------------------------- */

static void multi_binary(gen *x, const char *name, const bytes *items, size_t n)
{
    bytes b = {.n = 0};
    size_t at = 4 + n * 2 * x->g->width;
    u32(&b, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        field(&b, x->g->width, items[i].n);
        field(&b, x->g->width, at);
        at += (items[i].n + 3) / 4 * 4;
    }
    for (size_t i = 0; i < n; i++) {
        add(&b, items[i].data, items[i].n);
        zeros(&b, (4 - items[i].n % 4) % 4);
    }
    raw(x, name, b.data, b.n);
}

static void multi_text(gen *x, const char *name, int is_wide, const char *const *items, size_t n)
{
    bytes b = {.n = 0};
    size_t at = 4 + n * x->g->width;
    bytes texts = {.n = 0};
    u32(&b, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        field(&b, x->g->width, at + texts.n);
        if (is_wide)
            utf16(&texts, items[i]);
        else
            add(&texts, items[i], strlen(items[i]) + 1);
    }
    add(&b, texts.data, texts.n);
    raw(x, name, b.data, b.n);
}

/* ---- EntryIDs -------------------------------------------------------------------------------- */

/* [MS-OXCDATA] 2.2.4.3 with the block Outlook 2013 and later append (observed). */
static void store_eid(bytes *b, int is_public, const char *server, const char *dn, const char *smtp,
                      uint32_t type)
{
    u32(b, 0);
    hex(b, "38a1bb1005e5101aa1bb08002b2a56c2");
    zeros(b, 2);
    add(b, "EMSMDB.DLL", 11);
    zeros(b, (4 - b->n % 4) % 4);
    u32(b, 0);
    hex(b, is_public ? "1c830210aa6611cd9bc800aa002fc45a" : "1b55fa20aa6611cd9bc800aa002fc45a");
    u32(b, type);
    add(b, server, strlen(server) + 1);
    add(b, dn, strlen(dn) + 1);
    hex(b, "e94632f4");
    u32(b, (uint32_t)(16 + 2 * strlen(smtp) + 2 + 2));
    u32(b, 2);
    u32(b, 0x10);
    utf16(b, smtp);
    zeros(b, 2);
}

static void pst_eid(bytes *b, const char *path)
{
    u32(b, 0);
    hex(b, "38a1bb1005e5101aa1bb08002b2a56c2");
    zeros(b, 2);
    add(b, "mspst.dll", 10);
    zeros(b, (4 - b->n % 4) % 4);
    u32(b, 0);
    hex(b, "4e495441f9bfb80100aa0037d96e0000");
    zeros(b, 2);
    utf16(b, path);
}

static void ab_eid(bytes *b, uint32_t type, const char *dn)
{
    u32(b, 0);
    hex(b, "dca740c8c042101ab4b908002b2fe182");
    u32(b, 1);
    u32(b, type);
    add(b, dn, strlen(dn) + 1);
}

static void own_store(const gen *x, bytes *b)
{
    b->n = 0;
    store_eid(b, 0, x->g->server, x->g->dn, x->g->smtp, 0x0c);
}

/* EntryIDs of a folder and of its store; a PST's folder has 24 bytes (observed). */
static void where_it_is(const gen *x, const gen_folder *m, bytes *folder, bytes *store)
{
    uint8_t record[16];
    folder->n = store->n = 0;
    if (m->pst) {
        gen_uid(x->g, "pst record", record);
        u32(folder, 0);
        add(folder, record, 16);
        u32(folder, 0x8082);
        pst_eid(store, m->pst);
    } else {
        add(folder, m->eid, sizeof(m->eid));
        if (m->store)
            hex(store, m->store);
        else if (m->dn)
            store_eid(store, 0, m->smtp, m->dn, m->smtp, 0x08);
        else
            own_store(x, store);
    }
}

/* A contact folder in the address book: observed. */
static void contab_eid(const gen *x, bytes *b, const gen_folder *f)
{
    bytes folder, store;
    uint8_t uid[16];
    u32(b, 0);
    hex(b, "fe42aa0a18c71a10e8850b651c240000");
    u32(b, 3);
    u32(b, 3);
    gen_uid(x->g, "contab uid", uid);
    add(b, uid, 16);
    where_it_is(x, f, &folder, &store);
    add(b, folder.data, folder.n);
}

/* ---- sections -------------------------------------------------------------------------------- */

#define INSTALL_MSEMS  "{6485D26A-C2AC-11D1-AD3E-10A0C911C9C0}"
#define INSTALL_CONTAB "{6485D266-C2AC-11D1-AD3E-10A0C911C9C0}"
#define INSTALL_PST    "{6485D262-C2AC-11D1-AD3E-10A0C911C9C0}"

static size_t stores(const gen *x, const char *labels[GEN_MAX + 3], int with_pst)
{
    static const char *const boxes[GEN_MAX] = {"box0",  "box1",  "box2",  "box3", "box4",  "box5",
                                               "box6",  "box7",  "box8",  "box9", "box10", "box11",
                                               "box12", "box13", "box14", "box15"};
    size_t n = 0;
    labels[n++] = "store";
    for (size_t i = 0; i < x->g->n_boxes; i++)
        labels[n++] = boxes[i];
    if (x->g->public_store)
        labels[n++] = "public";
    if (with_pst && x->g->pst)
        labels[n++] = "pst store";
    return n;
}

static void master(gen *x)
{
    const char *list[GEN_MAX + 3];
    const char *services[] = {"contab", "service", "pst"};
    const char *books[] = {"gal", "contab book"};
    const char *transport = "transport";
    bytes items[2 * GEN_MAX + 1], pab = {.n = 0};
    memset(items, 0, sizeof(items));
    profile_key(x, "9207f3e0a3b11019908b08002b2a56c2");
    uids(x, "01023d00", list, stores(x, list, 1));
    uids(x, "01023d01", books, 2);
    uids(x, "01023d02", &transport, 1);
    uids(x, "01023d0e", services, x->g->pst ? 3 : 2);
    ab_eid(&items[0], 0x100, "/");
    for (size_t i = 0; i < x->g->n_contacts; i++)
        contab_eid(x, &items[i + 1], &x->g->contacts[i]);
    for (size_t i = 0; i < x->g->n_books; i++)
        hex(&items[x->g->n_contacts + i + 1], x->g->books[i]);
    multi_binary(x, "11023d05", items, x->g->n_contacts + x->g->n_books + 1);
    raw(x, "01023d06", items[0].data, items[0].n);
    if (x->g->pab) {
        hex(&pab, x->g->pab);
        raw(x, "01023d07", pab.data, pab.n);
    }
    number(x, "00033d1b", 0);
}

static void service(gen *x, const char *label, const char *name, const char *display,
                    const char *dll, const char *entry, const char *install, uint32_t flags)
{
    uid_key(x, label);
    wide(x, "001f3d09", name);
    wide(x, "001f3001", display);
    wide(x, "001f3d0a", dll);
    wide(x, "001f3d0b", entry);
    multi_text(x, "101e3d0f", 0, &dll, 1);
    wide(x, "001f3d13", install);
    number(x, "00033009", flags);
}

static void provider(gen *x, const char *label, const char *of, const char *name,
                     const char *display, const char *dll, const char *install, uint32_t type,
                     uint32_t flags)
{
    uid_key(x, label);
    wide(x, "001f300a", dll);
    wide(x, "001f3d13", install);
    number(x, "00033e03", type);
    number(x, "00033009", flags);
    wide(x, "001f3001", display);
    wide(x, "001f3006", name);
    uid_value(x, "01023d0c", of);
    wide(x, "001f3d09",
         strcmp(of, "service") == 0 ? "MSEMS"
         : strcmp(of, "pst") == 0   ? "MSUPST MS"
                                    : "CONTAB");
    if (strcmp(of, "service") == 0)
        uid_value(x, "01023d15", "emsmdb");
}

static void smtp_uri(gen *x, const char *name, const char *smtp)
{
    char text[512];
    snprintf(text, sizeof(text), "SMTP:%s", smtp);
    wide(x, name, text);
}

static void emsmdb(gen *x)
{
    const gen_profile *g = x->g;
    const char *list[GEN_MAX + 3];
    char path[512];
    uid_key(x, "emsmdb");
    number(x, "00036600", 0x501);
    number(x, "00036601", g->online ? 0x1004 : 0x1184);
    if (!g->online) {
        snprintf(path, sizeof(path), "%s\\AppData\\Local\\Microsoft\\Outlook\\%s.ost", g->user,
                 g->smtp);
        wide(x, "001f6610", path);
    }
    sz(x, "001e6602", g->server);
    sz(x, "001e6603", g->dn);
    wide(x, "001f6607", g->smtp);
    wide(x, "001f6620", g->smtp);
    wide(x, "001f663d", g->smtp);
    smtp_uri(x, "001f6641", g->smtp);
    wide(x, "001f3001", g->smtp);
    number(x, "00036649", 12);
    wide(x, "001f664a", "https://autodiscover.source.example/autodiscover/autodiscover.xml");
    wide(x, "001f6652", "https://mail.source.example/mapi/emsmdb/?MailboxId=1");
    wide(x, "001f6654", "https://mail.source.example/mapi/nspi/?MailboxId=1");
    uid_value(x, "01023d1a", "abp user");
    size_t n = 0;
    size_t all = stores(x, list, 0);
    for (size_t i = 0; i < all; i++)
        if (strncmp(list[i], "box", 3) == 0)
            list[n++] = list[i];
    uids(x, "01023d00", list, n);
    raw(x, "01020ff8", g->guid, 16);
}

static void mailbox_store(gen *x, const char *label, const char *smtp, const char *dn,
                          const char *display, const char *named, const uint8_t guid[16], int own)
{
    bytes b = {.n = 0}, kind = {.n = 0};
    provider(x, label, "service", "Microsoft Exchange", named ? named : display, "EMSMDB.DLL",
             INSTALL_MSEMS, 0x21, own ? 0x1006 : 0x40);
    hex(&kind, own ? "5494a1c0297f101ba58708002b2a2517" : "9eb4770074e411ce8c5e00aa004254e2");
    raw(x, "01023414", kind.data, 16);
    number(x, "00036609", 0x0c);
    number(x, "0003660a", own ? 1 : 2);
    sz(x, "001e660b", dn);
    sz(x, "001e660c", x->g->server);
    smtp_uri(x, "001f6641", smtp);
    store_eid(&b, 0, x->g->server, dn, smtp, own ? 0x0c : 0x08);
    raw(x, "01020fff", b.data, b.n);
    raw(x, "01020ff9", guid, 16);
    number(x, "00036688", named ? 1 : 0);
}

static void public_store(gen *x)
{
    bytes b = {.n = 0}, kind = {.n = 0};
    char name[512];
    snprintf(name, sizeof(name), "Public Folders - %s", x->g->smtp);
    provider(x, "public", "service", "Microsoft Exchange", name, "EMSMDB.DLL", INSTALL_MSEMS, 0x21,
             0x40);
    hex(&kind, "78b2fa70aff711cd9bc800aa002fc45a");
    raw(x, "01023414", kind.data, 16);
    number(x, "00036609", 6);
    number(x, "0003660a", 3);
    store_eid(&b, 1, x->g->server, x->g->dn, x->g->smtp, 6);
    raw(x, "01020fff", b.data, b.n);
    if (x->g->favorites_name)
        wide(x, "001f660f", x->g->favorites_name);
    if (x->g->all_public_name)
        wide(x, "001f6616", x->g->all_public_name);
}

static void exchange(gen *x)
{
    const gen_profile *g = x->g;
    const char *list[GEN_MAX + 3];
    const char *one;
    bytes kind = {.n = 0};
    service(x, "service", "MSEMS", "Microsoft Exchange", "EMSMDB.DLL", "EMSCfg", INSTALL_MSEMS, 0);
    uids(x, "01023d00", list, stores(x, list, 0));
    uids(x, "01023d01", (one = "gal", &one), 1);
    uids(x, "01023d02", (one = "transport", &one), 1);
    uid_value(x, "01023d15", "emsmdb");
    emsmdb(x);
    mailbox_store(x, "store", g->smtp, g->dn, g->smtp, g->named, g->guid, 1);
    stores(x, list, 0);
    for (size_t i = 0; i < g->n_boxes; i++)
        mailbox_store(x, list[1 + i], g->boxes[i].smtp, g->boxes[i].dn, g->boxes[i].name,
                      g->boxes[i].named, g->boxes[i].guid, 0);
    if (g->public_store)
        public_store(x);
    provider(x, "gal", "service", "Microsoft Exchange", "Microsoft Exchange", "EMSABP.DLL",
             INSTALL_MSEMS, 0x23, 0);
    provider(x, "transport", "service", "Microsoft Exchange", "Microsoft Exchange", "EMSMDB.DLL",
             INSTALL_MSEMS, 0x22, 0);
    hex(&kind, "a90640e0d69311cdaf9500aa004a35c3");
    raw(x, "01023414", kind.data, 16);
}

/* The parallel arrays of the Outlook Address Book. */
static void contab(gen *x)
{
    const gen_profile *g = x->g;
    const char *names[GEN_MAX], *store_names[GEN_MAX];
    bytes eids[GEN_MAX], store_ids[GEN_MAX], flags = {.n = 0}, support = {.n = 0};
    const char *one = "contab book";
    memset(eids, 0, sizeof(eids));
    service(x, "contab", "CONTAB", "Outlook Address Book", "contab.dll", "ServiceEntry",
            INSTALL_CONTAB, 0x22);
    uids(x, "01023d01", &one, 1);
    provider(x, "contab book", "contab", "Outlook Address Book", "Outlook Address Book",
             "contab.dll", INSTALL_CONTAB, 0x23, 0);
    uid_value(x, "01026601", "contab uid");
    for (size_t i = 0; i < g->n_contacts; i++) {
        names[i] = g->contacts[i].name;
        store_names[i] = g->contacts[i].pst     ? "Archive"
                         : g->contacts[i].store ? "Public Folders"
                         : g->contacts[i].smtp  ? g->contacts[i].smtp
                                                : g->smtp;
        where_it_is(x, &g->contacts[i], &eids[i], &store_ids[i]);
        u32(&flags, 1);
        u32(&support, 0x8004010f);
    }
    if (g->n_contacts == 0)
        return;
    multi_binary(x, "11026620", eids, g->n_contacts);
    multi_binary(x, "11026626", store_ids, g->n_contacts);
    multi_text(x, "101f6627", 1, store_names, g->n_contacts);
    multi_text(x, "101f6628", 1, names, g->n_contacts);
    multi_text(x, "101f6629", 1, names, g->n_contacts);
    multi_text(x, "101e6622", 0, store_names, g->n_contacts);
    multi_text(x, "101e6623", 0, names, g->n_contacts);
    multi_text(x, "101e6624", 0, names, g->n_contacts);
    raw(x, "10036621", support.data, support.n);
    raw(x, "10036625", flags.data, flags.n);
}

static void pst(gen *x)
{
    bytes b = {.n = 0}, kind = {.n = 0};
    const char *one = "pst store", *name = x->g->pst_name ? x->g->pst_name : "Archive";
    uint8_t record[16];
    service(x, "pst", "MSUPST MS", name, "mspst.dll", "PSTServiceEntry", INSTALL_PST, 0x20);
    uids(x, "01023d00", &one, 1);
    provider(x, "pst store", "pst", "Outlook Data File", name, "mspst.dll", INSTALL_PST, 0x21, 0);
    hex(&kind, "4e495441f9bfb80100aa0037d96e0000");
    raw(x, "01023414", kind.data, 16);
    wide(x, "001f6700", x->g->pst);
    number(x, "00036702", 0x10000000);
    pst_eid(&b, x->g->pst);
    raw(x, "01020fff", b.data, b.n);
    gen_uid(x->g, "pst record", record);
    raw(x, "01020ff9", record, 16);
}

/* A folder reference of the move-to list, as an image of memory, stale pointers included: observed.
 */
static void folder_reference(const gen *x, bytes *b, const gen_folder *m)
{
    bytes folder, store;
    if (m->empty)
        return;
    where_it_is(x, m, &folder, &store);
    hex(b, "80010101");
    zeros(b, x->g->width - 4);
    field(b, x->g->width, folder.n);
    field(b, x->g->width, m->fresh ? 0 : 0x0028d2f8);
    field(b, x->g->width, store.n);
    field(b, x->g->width, m->fresh ? 0 : 0x0028d310);
    add(b, folder.data, folder.n);
    add(b, store.data, store.n);
}

/* Stores and windows Outlook remembers: observed. */
static void remembered(gen *x)
{
    const gen_profile *g = x->g;
    bytes list[3 + GEN_MAX], ref = {.n = 0}, window = {.n = 0};
    gen_folder inbox = {.name = "", .fresh = g->windows == 2};
    memcpy(inbox.eid, g->inbox, sizeof(inbox.eid));
    memset(list, 0, sizeof(list));
    own_store(x, &list[0]);
    add(&list[1], g->inbox, sizeof(g->inbox));
    pst_eid(&list[2], "C:\\old.pst");
    for (size_t i = 0; i < g->n_remembered; i++)
        hex(&list[3 + i], g->remembered[i]);
    multi_binary(x, "1102039b", list, 3 + g->n_remembered);
    multi_binary(x, "1102044e", list, 1);
    multi_binary(x, "1102032f", &list[2], 1);
    multi_binary(x, "11020458", list, 1);
    folder_reference(x, &ref, &inbox);
    u32(&window, 3);
    u32(&window, 2);
    u32(&window, 0);
    u32(&window, (uint32_t)ref.n);
    add(&window, ref.data, ref.n);
    u32(&window, (uint32_t)list[0].n);
    add(&window, list[0].data, list[0].n);
    u32(&window, 44); /* WINDOWPLACEMENT */
    zeros(&window, 40);
    multi_binary(x, "11020434", &window, 1);
}

static void outlook_section(gen *x)
{
    const gen_profile *g = x->g;
    bytes moves[10], folder, store;
    const char *names[10];
    memset(moves, 0, sizeof(moves));
    profile_key(x, "0a0d020000000000c000000000000046");
    number(x, "0003036f", 1614326);
    number(x, "00030398", 2);
    uid_value(x, "01023d15", "emsmdb");
    for (size_t i = 0; i < 10; i++) {
        names[i] = i < g->n_moves && !g->moves[i].empty ? g->moves[i].name : "";
        if (i < g->n_moves)
            folder_reference(x, &moves[i], &g->moves[i]);
    }
    multi_text(x, "101f031e", 1, names, 10);
    number(x, "0003031f", g->n_moves ? (uint32_t)g->n_moves - 1 : 0);
    multi_binary(x, "1102022a", moves, 10);
    number(x, "0003022b", g->n_moves ? (uint32_t)g->n_moves - 1 : 0);
    if (g->n_moves) {
        where_it_is(x, &g->moves[0], &folder, &store);
        raw(x, "01020408", folder.data, folder.n);
        raw(x, "01020409", store.data, store.n);
    }
    if (g->windows)
        remembered(x);
    if (g->n_others) {
        multi_text(x, "101f0390", 1, g->others, g->n_others);
        multi_text(x, "101e0384", 0, g->others, g->n_others);
    }
}

static void small_sections(gen *x)
{
    uint8_t uid[16];
    profile_key(x, "13dbb0c8aa05101a9bb000aa002fc45a");
    profile_key(x, "8503020000000000c000000000000046");
    uid_value(x, "0102300b", "instance");
    profile_key(x, "3517490d76624c419a828607e2a54604");
    wide(x, "001f6000", x->g->profile);
    profile_key(x, "f86ed2903a4a11cfb57e524153480001");
    gen_uid(x->g, "rules machine", uid);
    raw(x, "00486002", uid, 16);
    uid_key(x, "settings 1");
    wide(x, "001f3001", "AcctSettings0001");
    uid_key(x, "settings 2");
    wide(x, "001f3001", "AcctSettings0002");
    number(x, "0003041b", 6);
    wide(x, "001f0418", "friend@elsewhere.example;");
    wide(x, "001f0419", "");
    wide(x, "001f041a", "spam@elsewhere.example;");
    boolean(x, "000b0489", 1);
}

/* ---- account manager ------------------------------------------------------------------------- */

/* REG_SZ since 16.0, REG_BINARY UTF-16 before. */
static void account_text(gen *x, const char *name, const char *text)
{
    if (strcmp(x->g->version, "16.0") == 0)
        sz(x, name, text);
    else
        wide(x, name, text);
}

static void account(gen *x, const char *id, const char *clsid, const char *name, uint32_t mini)
{
    char path[64];
    snprintf(path, sizeof(path), "9375CFF0413111d3B88A00104B2A6676\\%s", id);
    profile_key(x, path);
    sz(x, "clsid", clsid);
    dword(x, "Mini UID", mini);
    account_text(x, "Account Name", name);
}

static void delivery(gen *x)
{
    bytes b;
    own_store(x, &b);
    raw(x, "Delivery Store EntryID", b.data, b.n);
    raw(x, "Delivery Folder EntryID", x->g->inbox, sizeof(x->g->inbox));
}

#define MAPI_ACCOUNT "{ED475414-B0D6-11D2-8C3B-00104B2A6676}"
#define POP_ACCOUNT  "{ED475411-B0D6-11D2-8C3B-00104B2A6676}"

static void accounts(gen *x)
{
    const gen_profile *g = x->g;
    bytes mail = {.n = 0}, book = {.n = 0}, store = {.n = 0}, id = {.n = 0}, ver = {.n = 0};
    u32(&mail, 2);
    if (g->second_account)
        u32(&mail, 4);
    u32(&book, 1);
    u32(&store, 2);
    if (g->pst)
        u32(&store, 3);
    profile_key(x, "9375CFF0413111d3B88A00104B2A6676");
    raw(x, "{ED475418-B0D6-11D2-8C3B-00104B2A6676}", mail.data, mail.n);
    raw(x, "{ED475419-B0D6-11D2-8C3B-00104B2A6676}", book.data, book.n);
    raw(x, "{ED475420-B0D6-11D2-8C3B-00104B2A6676}", store.data, store.n);
    dword(x, "NextAccountID", 5);
    u32(&ver, 7);
    zeros(&ver, 4);
    raw(x, "LastChangeVer", ver.data, 8);
    if (strcmp(g->version, "16.0") == 0)
        dword(x, "Version", 2);
    account(x, "00000001", MAPI_ACCOUNT, "Outlook Address Book", 0x1001);
    account_text(x, "Service Name", "CONTAB");
    uid_value(x, "Service UID", "contab");
    dword(x, "MAPI Provider", 2);
    uid_value(x, "Preferences UID", "settings 1");
    account(x, "00000002", MAPI_ACCOUNT, g->smtp, 0x1002);
    account_text(x, "Service Name", "MSEMS");
    uid_value(x, "Service UID", "service");
    account_text(x, "Email", g->smtp);
    account_text(x, "Display Name", g->name);
    ab_eid(&id, 0, g->dn);
    raw(x, "Identity Eid", id.data, id.n);
    uid_value(x, "XP Provider UID", "transport");
    delivery(x);
    account_text(x, "New Signature", "Standard");
    uid_value(x, "Preferences UID", "settings 2");
    if (g->pst) {
        account(x, "00000003", MAPI_ACCOUNT, "Archive", 0x1003);
        account_text(x, "Service Name", "MSUPST MS");
        uid_value(x, "Service UID", "pst");
        dword(x, "MAPI Provider", 4);
    }
    if (g->second_account) {
        account(x, "00000004", POP_ACCOUNT, "private", 0x1004);
        account_text(x, "Email", "private@elsewhere.example");
        delivery(x);
    }
}

/* ---- all of it ------------------------------------------------------------------------------- */

void gen_write(const gen_profile *g, FILE *out)
{
    gen x = {g, out};
    fputs("Windows Registry Editor Version 5.00\r\n", out);
    fputs("\r\n[HKEY_CURRENT_USER\\Software\\Microsoft\\Windows\\CurrentVersion\\Explorer\\"
          "User Shell Folders]\r\n",
          out);
    fputs("\"AppData\"=hex(2):", out);
    bytes b = {.n = 0};
    utf16(&b, "%USERPROFILE%\\AppData\\Roaming");
    for (size_t i = 0; i < b.n; i++)
        fprintf(out, "%s%02x", i ? "," : "", b.data[i]);
    fputs("\r\n\"Local AppData\"=hex(2):", out);
    b.n = 0;
    utf16(&b, "%USERPROFILE%\\AppData\\Local");
    for (size_t i = 0; i < b.n; i++)
        fprintf(out, "%s%02x", i ? "," : "", b.data[i]);
    fputs("\r\n", out);
    key(&x, "");
    sz(&x, "DefaultProfile", g->profile);
    key(&x, "Perf\\RoamingStreamsCache\\0123456789ABCDEF0123456789ABCDEF");
    dword(&x, "WriterId", 1);
    key(&x, "Profiles");
    profile_key(&x, "");
    outlook_section(&x);
    small_sections(&x);
    master(&x);
    exchange(&x);
    contab(&x);
    if (g->pst)
        pst(&x);
    accounts(&x);
}

static void folder_eid(uint8_t eid[46], const uint8_t guid[16], uint8_t number)
{
    memset(eid, 0, 46);
    memcpy(eid + 4, guid, 16);
    eid[20] = 1; /* [MS-OXCDATA] 2.2.4.1: private folder */
    memset(eid + 22, 0xda, 16);
    eid[43] = number;
}

static void folder(gen_folder *f, const char *name, const uint8_t guid[16], uint8_t number)
{
    f->name = name;
    folder_eid(f->eid, guid, number);
}

void gen_example(gen_profile *g)
{
    static const char org[] = "/o=SourceOrg/ou=Exchange Administrative Group "
                              "(FYDIBOHF23SPDLT)/cn=Recipients/cn=anna";
    memset(g, 0, sizeof(*g));
    *g = (gen_profile){.width = 8,
                       .version = "16.0",
                       .profile = "Outlook",
                       .user = "C:\\Users\\anna",
                       .smtp = "anna.alder@source.example",
                       .dn = org,
                       .name = "Anna Alder",
                       .server = "mail.source.example",
                       .public_store = 1,
                       .pst = "C:\\Users\\anna\\Documents\\Archive.pst"};
    gen_uid(g, "mailbox", g->guid);
    gen_folder inbox;
    folder(&inbox, "Inbox", g->guid, 1);
    memcpy(g->inbox, inbox.eid, sizeof(inbox.eid));
    g->n_boxes = 2;
    g->boxes[0] = (gen_box){.smtp = "ben.birch@source.example",
                            .name = "Ben Birch",
                            .dn = "/o=SourceOrg/cn=Recipients/cn=ben"};
    g->boxes[1] = (gen_box){.smtp = "helpdesk@source.example",
                            .name = "Help Desk",
                            .dn = "/o=SourceOrg/cn=Recipients/cn=helpdesk"};
    gen_uid(g, "ben", g->boxes[0].guid);
    gen_uid(g, "helpdesk", g->boxes[1].guid);
    g->n_contacts = 2;
    folder(&g->contacts[0], "Contacts", g->guid, 2);
    folder(&g->contacts[1], "Suppliers", g->guid, 3);
    g->n_moves = 2;
    g->moves[0].name = "Projects";
    folder_eid(g->moves[0].eid, g->guid, 4);
    g->moves[1].name = "Done";
    folder_eid(g->moves[1].eid, g->guid, 5);
    g->n_others = 1;
    g->others[0] = "Ben Birch";
}
