/* Send/receive groups; see cpuu/formats/srs.h. */
#include "internal.h"

#include <cpuu/formats/entryid.h>
#include <cpuu/formats/srs.h>

/* ---- compound file, [MS-CFB] ------------------------------------------------------------------
 */

#define DIFAT        0x4cu /* in the header: numbers of the FAT sectors */
#define HEADER_DIFAT 109u
#define MINI_SECTOR  64u
#define MINI_CUTOFF  4096u /* streams of fewer bytes are in the mini stream */
#define ENTRY_SIZE   128u
#define END_OF_CHAIN 0xfffffffeu
#define MAX_REGULAR  0xfffffffau

static void expect(cpuu_reader *r, uint32_t value, const char *field)
{
    cpuu_reader before = *r;
    if (cpuu_read_u32(r, field) != value && !r->failed) {
        *r = before;
        cpuu_reader_fail(r, field, "has an unknown value");
    }
}

static bool fail(cpuu_fmt_error *err, uint32_t offset, const char *field, const char *what)
{
    if (err)
        *err = (cpuu_fmt_error){offset, field, what};
    return false;
}

/* Offset of a sector in the file; sector 0 follows the header, which fills a whole sector. */
static bool sector_at(const cpuu_cfb *c, uint32_t sector, uint32_t *at, cpuu_fmt_error *err)
{
    if (sector >= c->n_sectors)
        return fail(err, 0, "sector number", "is outside the file");
    *at = (sector + 1) * c->sector;
    return true;
}

/* The header names the first 109 parts of the FAT, which is enough for CPUU_CFB_LIMIT. 2.3 */
static bool fat_next(const cpuu_cfb *c, uint32_t sector, uint32_t *next, cpuu_fmt_error *err)
{
    uint32_t per = c->sector / 4, part = sector / per, at;
    if (part >= c->fat_sectors || part >= HEADER_DIFAT)
        return fail(err, 0x2c, "FAT", "does not reach that far");
    if (!sector_at(c, cpuu_le32(c->file.data + DIFAT + 4 * part), &at, err))
        return false;
    *next = cpuu_le32(c->file.data + at + 4 * (sector % per));
    return true;
}

/* Offset in the file of byte `pos` of the chain that starts at `sector`. A chain that runs in a
 * circle cannot be longer than what is asked for, so this ends. */
static bool chain_at(const cpuu_cfb *c, uint32_t sector, uint32_t pos, uint32_t *at,
                     cpuu_fmt_error *err)
{
    if (pos / c->sector >= c->n_sectors)
        return fail(err, 0, "sector chain", "is longer than the file");
    for (uint32_t i = pos / c->sector; i; i--)
        if (!fat_next(c, sector, &sector, err))
            return false;
    if (sector > MAX_REGULAR)
        return fail(err, 0, "sector chain", "ends too early");
    if (!sector_at(c, sector, at, err))
        return false;
    *at += pos % c->sector;
    return true;
}

static bool mini_next(const cpuu_cfb *c, uint32_t mini, uint32_t *next, cpuu_fmt_error *err)
{
    uint32_t at;
    if (mini >= c->mini_size / MINI_SECTOR)
        return fail(err, 0, "mini sector number", "is outside the mini stream");
    if (!chain_at(c, c->mini_fat, 4 * mini, &at, err))
        return false;
    *next = cpuu_le32(c->file.data + at);
    return true;
}

/* One piece of a stream: `next` steps through its sectors. */
typedef struct piece {
    bool mini;
    uint32_t unit;   /* bytes per sector */
    uint32_t sector; /* current one */
    uint32_t at;     /* its offset in the file */
} piece;

static bool piece_locate(const cpuu_cfb *c, piece *p, cpuu_fmt_error *err)
{
    if (p->sector > MAX_REGULAR)
        return fail(err, 0, "sector chain", "ends too early");
    if (!p->mini)
        return sector_at(c, p->sector, &p->at, err);
    if (p->sector >= c->mini_size / MINI_SECTOR)
        return fail(err, 0, "mini sector number", "is outside the mini stream");
    return chain_at(c, c->mini_start, p->sector * MINI_SECTOR, &p->at, err);
}

static bool piece_first(const cpuu_cfb *c, const cpuu_cfb_entry *e, piece *p, cpuu_fmt_error *err)
{
    p->mini = e->size < MINI_CUTOFF && e->type != CPUU_CFB_ROOT;
    p->unit = p->mini ? MINI_SECTOR : c->sector;
    p->sector = e->start;
    p->at = 0;
    return piece_locate(c, p, err);
}

static bool piece_next(const cpuu_cfb *c, piece *p, cpuu_fmt_error *err)
{
    return (p->mini ? mini_next(c, p->sector, &p->sector, err)
                    : fat_next(c, p->sector, &p->sector, err)) &&
           piece_locate(c, p, err);
}

static void read_header(cpuu_reader *r, cpuu_cfb *c)
{
    static const uint8_t magic[8] = {0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1};
    const uint8_t *p = cpuu_read_bytes(r, sizeof(magic), "header signature");
    if (p && memcmp(p, magic, sizeof(magic)) != 0) {
        r->pos = 0;
        cpuu_reader_fail(r, "header signature", "is not that of a compound file");
    }
    cpuu_read_skip(r, 18, "class and minor version");
    uint16_t major = cpuu_read_u16(r, "major version");
    uint16_t order = cpuu_read_u16(r, "byte order");
    uint16_t shift = cpuu_read_u16(r, "sector shift");
    uint16_t mini_shift = cpuu_read_u16(r, "mini sector shift");
    if (!r->failed && !((major == 3 && shift == 9) || (major == 4 && shift == 12)))
        cpuu_reader_fail(r, "sector shift", "does not fit the version");
    if (!r->failed && (order != 0xfffe || mini_shift != 6))
        cpuu_reader_fail(r, "mini sector shift", "is not 6");
    cpuu_read_skip(r, 10, "number of directory sectors");
    c->sector = r->failed ? 512 : 1u << shift;
    c->fat_sectors = cpuu_read_u32(r, "number of FAT sectors");
    c->directory = cpuu_read_u32(r, "first directory sector");
    cpuu_read_skip(r, 4, "transaction signature");
    expect(r, MINI_CUTOFF, "mini stream cutoff");
    c->mini_fat = cpuu_read_u32(r, "first mini FAT sector");
    cpuu_read_skip(r, 512 - 64, "DIFAT");
}

bool cpuu_cfb_open(cpuu_blob in, cpuu_cfb *out, cpuu_fmt_error *err)
{
    cpuu_reader r;
    cpuu_cfb c;
    cpuu_cfb_entry root;
    memset(&c, 0, sizeof(c));
    if (in.size > CPUU_CFB_LIMIT)
        return fail(err, 0, "file", "is larger than 1 MiB");
    cpuu_reader_init(&r, in.data, in.size);
    c.file = in;
    read_header(&r, &c);
    if (!fmt_done(&r, err))
        return false;
    /* The last sector may be cut off in files that were copied badly: it then counts as missing. */
    c.n_sectors = in.size / c.sector ? in.size / c.sector - 1 : 0;
    if (c.n_sectors == 0)
        return fail(err, c.sector, "directory", "is missing");
    if (!cpuu_cfb_entry_at(&c, 0, &root, err))
        return false;
    if (root.type != CPUU_CFB_ROOT)
        return fail(err, 0, "root entry", "is not the first of the directory");
    c.mini_start = root.start;
    c.mini_size = root.size;
    *out = c;
    return true;
}

bool cpuu_cfb_entry_at(const cpuu_cfb *c, uint32_t index, cpuu_cfb_entry *out, cpuu_fmt_error *err)
{
    uint32_t per = c->sector / ENTRY_SIZE, sector = c->directory, at;
    if (err)
        memset(err, 0, sizeof(*err));
    if (index / per >= c->n_sectors)
        return false;
    for (uint32_t i = index / per; i; i--) {
        if (!fat_next(c, sector, &sector, err))
            return false;
        if (sector == END_OF_CHAIN)
            return false;
    }
    if (!sector_at(c, sector, &at, err))
        return false;
    const uint8_t *p = c->file.data + at + index % per * ENTRY_SIZE;
    uint16_t name = cpuu_le16(p + 64);
    if (name > 64 || name % 2 || (p[66] && name < 2))
        return fail(err, (uint32_t)(p - c->file.data) + 64, "directory entry name length",
                    "is not possible");
    out->name = (cpuu_blob){p, name ? name - 2u : 0};
    out->type = p[66];
    out->start = cpuu_le32(p + 116);
    out->size = cpuu_le32(p + 120);
    return true;
}

bool cpuu_cfb_read(const cpuu_cfb *c, const cpuu_cfb_entry *e, cpuu_buf *out, cpuu_fmt_error *err)
{
    piece p;
    uint32_t left = e->size;
    if (left > c->file.size)
        return fail(err, 0, "stream size", "is larger than the file");
    if (left && !piece_first(c, e, &p, err))
        return false;
    while (left) {
        uint32_t n = left < p.unit ? left : p.unit;
        cpuu_buf_add(out, c->file.data + p.at, n);
        left -= n;
        if (left && !piece_next(c, &p, err))
            return false;
    }
    return fmt_wrote(out, err);
}

bool cpuu_cfb_patch(const cpuu_cfb *c, const cpuu_cfb_entry *e, uint32_t pos, const void *data,
                    uint32_t n, uint8_t *copy, cpuu_fmt_error *err)
{
    piece p;
    const uint8_t *from = data;
    if (pos > e->size || n > e->size - pos)
        return fail(err, 0, "stream", "is shorter than what is written");
    if (n && !piece_first(c, e, &p, err))
        return false;
    while (n) {
        if (pos < p.unit) {
            uint32_t part = p.unit - pos < n ? p.unit - pos : n;
            memcpy(copy + p.at + pos, from, part);
            from += part;
            n -= part;
            pos += part;
        }
        pos -= p.unit;
        if (n && !piece_next(c, &p, err))
            return false;
    }
    return true;
}

/* ---- streams --------------------------------------------------------------------------------- */

/* {CF776F70-BEF2-11D3-A9C8-00104B2A619F} in storage order */
static const uint8_t store_handler[16] = {0x70, 0x6f, 0x77, 0xcf, 0xf2, 0xbe, 0xd3, 0x11,
                                          0xa9, 0xc8, 0x00, 0x10, 0x4b, 0x2a, 0x61, 0x9f};
#define FOLDER_INNER 82u

/* Count of characters, NUL included, and the characters. */
static cpuu_blob read_name(cpuu_reader *r, const char *field)
{
    uint32_t n = cpuu_read_u32(r, field);
    if (n > cpuu_reader_left(r) / 2)
        cpuu_reader_fail(r, field, "runs past the end");
    cpuu_blob b = fmt_blob(r, r->failed ? 0 : 2 * n, field);
    if (b.size >= 2 && b.data[b.size - 1] == 0 && b.data[b.size - 2] == 0)
        b.size -= 2;
    return b;
}

static bool read_listed(cpuu_reader *r, cpuu_srs_listed *out)
{
    fmt_copy(r, out->guid, 16, "group GUID");
    out->name = read_name(r, "group name");
    out->stream = read_name(r, "stream name");
    return !r->failed;
}

bool cpuu_srs_collection_open(cpuu_blob in, cpuu_srs_collection *out, cpuu_fmt_error *err)
{
    cpuu_reader r;
    cpuu_srs_collection c;
    cpuu_srs_listed g;
    cpuu_reader_init(&r, in.data, in.size);
    expect(&r, 1, "version");
    c.n = cpuu_read_u32(&r, "group count");
    c.groups = r;
    for (uint32_t i = 0; i < c.n && read_listed(&r, &g); i++)
        ;
    if (!fmt_done(&r, err))
        return false;
    *out = c;
    return true;
}

bool cpuu_srs_collection_next(cpuu_srs_collection *c, cpuu_srs_listed *out)
{
    if (c->n == 0)
        return false;
    c->n--;
    return read_listed(&c->groups, out);
}

static bool read_folder(cpuu_reader *r, cpuu_srs_folder *out)
{
    cpuu_srs_folder f;
    f.eid = fmt_blob(r, cpuu_read_u32(r, "folder EntryID size"), "folder EntryID");
    f.offset = r->base + r->pos - f.eid.size;
    cpuu_reader inner = cpuu_reader_sub(r, cpuu_read_u32(r, "folder data size"), "folder data");
    cpuu_read_skip(&inner, 8, "folder data");
    f.eid2 = fmt_blob(&inner, cpuu_read_u32(&inner, "second EntryID size"), "second EntryID");
    f.offset2 = inner.base + inner.pos - f.eid2.size;
    cpuu_reader_join(r, &inner);
    cpuu_read_skip(r, 4, "folder end");
    if (r->failed)
        return false;
    *out = f;
    return true;
}

/* What is not the store handler's, or is in another layout, has no folders. */
static void read_store(cpuu_reader r, cpuu_srs_account *a)
{
    cpuu_srs_folder f;
    const uint8_t *handler = cpuu_read_bytes(&r, 16, "handler");
    if (!handler || memcmp(handler, store_handler, 16) != 0)
        return;
    cpuu_read_skip(&r, 20, "handler data");
    a->flags = cpuu_read_u32(&r, "flags");
    expect(&r, 0, "zero");
    a->n_folders = cpuu_read_u32(&r, "folder count");
    a->folders = r;
    for (uint32_t i = 0; i < a->n_folders && read_folder(&r, &f); i++)
        ;
    a->is_store = !r.failed;
    if (r.failed)
        a->n_folders = 0;
}

static bool read_account(cpuu_reader *r, cpuu_srs_account *out)
{
    cpuu_srs_account a;
    memset(&a, 0, sizeof(a));
    a.offset = r->base + r->pos;
    a.id = (int32_t)cpuu_read_u32(r, "account id");
    cpuu_reader data = cpuu_reader_sub(r, cpuu_read_u32(r, "account size"), "account data");
    if (r->failed)
        return false;
    a.data = (cpuu_blob){data.data, data.size};
    read_store(data, &a);
    *out = a;
    return true;
}

bool cpuu_srs_group_open(cpuu_blob in, cpuu_srs_group *out, cpuu_fmt_error *err)
{
    cpuu_reader r;
    cpuu_srs_group g;
    cpuu_srs_account a;
    memset(&g, 0, sizeof(g));
    cpuu_reader_init(&r, in.data, in.size);
    expect(&r, 1, "version");
    g.name = read_name(&r, "group name");
    fmt_copy(&r, g.guid, 16, "group GUID");
    g.f9_online = cpuu_read_u8(&r, "F9 online");
    cpuu_read_skip(&r, 1, "reserved");
    g.schedule_online = cpuu_read_u8(&r, "schedule online");
    g.minutes_online = cpuu_read_u32(&r, "minutes online");
    g.f9_offline = cpuu_read_u8(&r, "F9 offline");
    g.schedule_offline = cpuu_read_u8(&r, "schedule offline");
    g.minutes_offline = cpuu_read_u32(&r, "minutes offline");
    g.save_counter = cpuu_read_u32(&r, "save counter");
    expect(&r, 0, "zero");
    g.n_accounts = cpuu_read_u32(&r, "account count");
    g.accounts = r;
    for (uint32_t i = 0; i < g.n_accounts && read_account(&r, &a); i++)
        ;
    g.tail = fmt_blob_left(&r, "tail");
    if (!fmt_done(&r, err))
        return false;
    *out = g;
    return true;
}

bool cpuu_srs_account_next(cpuu_srs_group *g, cpuu_srs_account *out)
{
    if (g->n_accounts == 0)
        return false;
    g->n_accounts--;
    return read_account(&g->accounts, out);
}

bool cpuu_srs_folder_next(cpuu_srs_account *a, cpuu_srs_folder *out)
{
    if (a->n_folders == 0)
        return false;
    a->n_folders--;
    return read_folder(&a->folders, out);
}

bool cpuu_srs_is_collection(const cpuu_cfb_entry *e)
{
    static const uint8_t name[] = "_\0_\0C\0o\0l\0l\0D\0a\0t\0a\0S\0t\0m";
    return e->type == CPUU_CFB_STREAM && e->name.size == sizeof(name) &&
           memcmp(e->name.data, name, sizeof(name)) == 0;
}

/* ---- rewriting ------------------------------------------------------------------------------- */

typedef struct srs_rewrite {
    const cpuu_cfb *cfb;
    const cpuu_cfb_entry *entry;
    cpuu_link_cb cb;
    void *user;
    uint8_t *copy; /* the file in the output */
    cpuu_buf new_eid;
    bool replaced;
    cpuu_fmt_error *err;
} srs_rewrite;

static bool ask(srs_rewrite *x, cpuu_blob eid, uint32_t offset)
{
    bool yes = false;
    cpuu_buf_reset(&x->new_eid);
    if (eid.size && !cpuu_eid_rewrite(eid, x->cb, x->user, &x->new_eid, &yes))
        return fmt_wrote(&x->new_eid, x->err);
    if (!yes)
        return true;
    if (x->new_eid.size != eid.size)
        return fail(x->err, offset, "folder EntryID", "was replaced by one of another size");
    x->replaced = true;
    return true;
}

static bool patch(srs_rewrite *x, uint32_t offset)
{
    return cpuu_cfb_patch(x->cfb, x->entry, offset, x->new_eid.data, (uint32_t)x->new_eid.size,
                          x->copy, x->err);
}

static bool rewrite_folder(srs_rewrite *x, const cpuu_srs_folder *f)
{
    if (!ask(x, f->eid, f->offset) || !patch(x, f->offset))
        return false;
    if (!cpuu_blob_equal(f->eid, f->eid2) && !ask(x, f->eid2, f->offset2))
        return false;
    return patch(x, f->offset2);
}

static bool rewrite_group(srs_rewrite *x, cpuu_blob stream)
{
    cpuu_srs_group g;
    cpuu_srs_account a;
    cpuu_srs_folder f;
    if (!cpuu_srs_group_open(stream, &g, x->err))
        return false;
    while (cpuu_srs_account_next(&g, &a))
        while (cpuu_srs_folder_next(&a, &f))
            if (!rewrite_folder(x, &f))
                return false;
    return true;
}

static bool rewrite_streams(srs_rewrite *x, cpuu_buf *scratch)
{
    cpuu_cfb_entry e;
    cpuu_fmt_error end = {0, NULL, NULL};
    uint32_t room = x->cfb->file.size; /* streams share no sectors, so all of them fit */
    for (uint32_t i = 1; cpuu_cfb_entry_at(x->cfb, i, &e, &end); i++) {
        if (e.type != CPUU_CFB_STREAM || cpuu_srs_is_collection(&e))
            continue;
        if (e.size > room)
            return fail(x->err, 0, "stream size", "is larger than the file");
        room -= e.size;
        cpuu_buf_reset(scratch);
        x->entry = &e;
        if (!cpuu_cfb_read(x->cfb, &e, scratch, x->err) ||
            !rewrite_group(x, (cpuu_blob){scratch->data, (uint32_t)scratch->size}))
            return false;
    }
    return end.field ? fail(x->err, end.offset, end.field, end.what) : true;
}

bool cpuu_srs_rewrite(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                      cpuu_fmt_error *err)
{
    cpuu_cfb cfb;
    srs_rewrite x;
    cpuu_buf scratch;
    size_t at = out->size;
    if (!cpuu_cfb_open(in, &cfb, err))
        return false;
    if (!fmt_add(out, in))
        return fmt_wrote(out, err);
    memset(&x, 0, sizeof(x));
    x.cfb = &cfb;
    x.cb = cb;
    x.user = user;
    x.copy = out->data + at;
    x.err = err;
    cpuu_buf_init(&x.new_eid, CPUU_CFB_LIMIT);
    cpuu_buf_init(&scratch, CPUU_CFB_LIMIT);
    bool ok = rewrite_streams(&x, &scratch);
    cpuu_buf_free(&x.new_eid);
    cpuu_buf_free(&scratch);
    if (ok && x.replaced && replaced)
        *replaced = true;
    return ok;
}
