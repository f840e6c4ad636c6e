/* Personal distribution lists; see cpuu/formats/distlist.h. */
#include "internal.h"

#include <cpuu/formats/distlist.h>
#include <cpuu/formats/entryid.h>

/* ---- arrays ---------------------------------------------------------------------------------- */

/* Four bits at a time: 16 constants instead of a table of 256 that somebody has to fill. */
uint32_t cpuu_dl_checksum_add(uint32_t sum, const void *data, size_t size)
{
    static const uint32_t nibble[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
                                        0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
                                        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    const uint8_t *p = data;
    for (size_t i = 0; i < size; i++) {
        sum = (sum >> 4) ^ nibble[(sum ^ p[i]) & 15];
        sum = (sum >> 4) ^ nibble[(sum ^ (uint32_t)(p[i] >> 4)) & 15];
    }
    return sum;
}

/* Opens an array whose elements are known to fit; an absent one has no elements. */
static bool array_open(cpuu_blob list, cpuu_reader *r, uint32_t *n, cpuu_fmt_error *err)
{
    cpuu_reader_init(r, list.data, list.size);
    *n = list.size ? cpuu_read_u32(r, "count") : 0;
    cpuu_reader check = *r;
    if (*n > cpuu_reader_left(&check) / 4)
        cpuu_reader_fail(&check, "count", "runs past the end");
    for (uint32_t i = 0; i < *n && !check.failed; i++)
        cpuu_read_skip(&check, cpuu_read_u32(&check, "element size"), "element");
    if (cpuu_reader_left(&check))
        cpuu_reader_fail(&check, "element", "is followed by more bytes");
    return fmt_done(&check, err);
}

static cpuu_blob array_next(cpuu_reader *r)
{
    return fmt_blob(r, cpuu_read_u32(r, "element size"), "element");
}

bool cpuu_dl_checksum(cpuu_blob members, uint32_t *sum, cpuu_fmt_error *err)
{
    cpuu_reader r;
    uint32_t n, crc = 0;
    if (!array_open(members, &r, &n, err))
        return false;
    while (n--) {
        cpuu_blob m = array_next(&r);
        crc = cpuu_dl_checksum_add(crc, m.data, m.size);
    }
    *sum = crc;
    return true;
}

bool cpuu_dl_bytes(cpuu_blob list, size_t *bytes, cpuu_fmt_error *err)
{
    cpuu_reader r;
    uint32_t n;
    if (!array_open(list, &r, &n, err))
        return false;
    *bytes = list.size ? list.size - 4 - 4 * (size_t)n : 0;
    return true;
}

/* An EntryID with its size in front; an empty one stays empty. */
static void rewrite_eid(cpuu_blob eid, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced)
{
    size_t at = out->size;
    cpuu_buf_u32(out, 0);
    if (eid.size)
        cpuu_eid_rewrite(eid, cb, user, out, replaced);
    cpuu_buf_put_u32(out, at, (uint32_t)(out->size - at - 4));
}

/* Only a change can break the limit: a list that was too long before is none of our business. */
static bool within_limit(const cpuu_buf *out, size_t start, uint32_t n, const char *field,
                         cpuu_fmt_error *err)
{
    if (!fmt_wrote(out, err))
        return false;
    if (n == 0 || out->size - start - 4 - 4 * (size_t)n < CPUU_DL_LIMIT)
        return true;
    if (err)
        *err = (cpuu_fmt_error){0, field, "would reach the limit of 15000 bytes"};
    return false;
}

bool cpuu_dl_rewrite(cpuu_blob members, cpuu_blob oneoffs, cpuu_link_cb cb, void *user,
                     cpuu_buf *members_out, cpuu_buf *oneoffs_out, uint32_t *checksum,
                     bool *replaced, cpuu_fmt_error *err)
{
    cpuu_reader m, o;
    uint32_t n, n_oneoffs;
    size_t start = members_out->size, oneoffs_start = oneoffs_out->size;
    bool changed = false;
    if (!array_open(members, &m, &n, err) || !array_open(oneoffs, &o, &n_oneoffs, err))
        return false;
    if (n != n_oneoffs && oneoffs.size) {
        if (err)
            *err = (cpuu_fmt_error){0, "OneOffMembers", "does not have one element per member"};
        return false;
    }
    if (members.size)
        cpuu_buf_u32(members_out, n);
    if (oneoffs.size)
        cpuu_buf_u32(oneoffs_out, n);
    for (uint32_t i = 0; i < n && !members_out->failed && !oneoffs_out->failed; i++) {
        rewrite_eid(array_next(&m), cb, user, members_out, &changed);
        if (oneoffs.size)
            rewrite_eid(array_next(&o), cb, user, oneoffs_out, &changed);
    }
    if (!fmt_wrote(members_out, err) || !fmt_wrote(oneoffs_out, err))
        return false;
    if (changed && (!within_limit(members_out, start, n, "Members", err) ||
                    !within_limit(oneoffs_out, oneoffs_start, n_oneoffs, "OneOffMembers", err)))
        return false;
    if (changed && replaced)
        *replaced = true;
    const uint8_t *p = members_out->data ? members_out->data + start : NULL;
    return cpuu_dl_checksum((cpuu_blob){p, (uint32_t)(members_out->size - start)}, checksum, err);
}

/* ---- stream ---------------------------------------------------------------------------------- */

#define TOTAL_EIDS    16u /* offsets of the totals in the head */
#define TOTAL_ONEOFFS 20u
#define TOTAL_EXTRA   24u

static bool read_member(cpuu_reader *r, cpuu_dl_member *out)
{
    cpuu_dl_member m;
    m.offset = r->base + r->pos;
    m.eid = fmt_blob(r, cpuu_read_u32(r, "EntryIdSize"), "EntryId");
    m.oneoff = fmt_blob(r, cpuu_read_u32(r, "OneOffEntryIdSize"), "OneOffEntryId");
    m.extra = fmt_blob(r, cpuu_read_u32(r, "ExtraSize"), "Extra");
    if (r->failed)
        return false;
    *out = m;
    return true;
}

static void check_total(cpuu_reader *r, uint32_t at, uint32_t stored, uint64_t real,
                        const char *field)
{
    if (r->failed || stored == real)
        return;
    r->pos = at;
    cpuu_reader_fail(r, field, "does not match the members");
}

bool cpuu_dl_stream_open(cpuu_blob in, cpuu_dl_stream *out, cpuu_fmt_error *err)
{
    cpuu_reader r;
    cpuu_dl_stream s;
    cpuu_dl_member m;
    uint64_t eids = 0, oneoffs = 0, extra = 0;
    memset(&s, 0, sizeof(s));
    cpuu_reader_init(&r, in.data, in.size);
    s.version = cpuu_read_u16(&r, "StreamVersion");
    if (!r.failed && s.version != 1) {
        r.pos = 0;
        cpuu_reader_fail(&r, "StreamVersion", "is not 1");
    }
    s.reserved = cpuu_read_u16(&r, "Reserved");
    s.build = cpuu_read_u32(&r, "BuildVersion");
    s.flags = cpuu_read_u32(&r, "DistListStreamFlags");
    s.n = s.left = cpuu_read_u32(&r, "CountOfEntries");
    uint32_t total_eids = cpuu_read_u32(&r, "TotalEntryIdSize");
    uint32_t total_oneoffs = cpuu_read_u32(&r, "TotalOneOffEntryIdSize");
    uint32_t total_extra = cpuu_read_u32(&r, "TotalExtraSize");
    if (s.n > cpuu_reader_left(&r) / 12)
        cpuu_reader_fail(&r, "CountOfEntries", "runs past the end");
    s.members = r;
    for (uint32_t i = 0; i < s.n && read_member(&r, &m); i++) {
        eids += m.eid.size;
        oneoffs += m.oneoff.size;
        extra += m.extra.size;
    }
    s.members.size = r.pos;
    s.end[0] = cpuu_read_u32(&r, "Terminator1");
    s.end[1] = cpuu_read_u32(&r, "Terminator2");
    s.rest = fmt_blob_left(&r, "rest");
    check_total(&r, TOTAL_EIDS, total_eids, eids, "TotalEntryIdSize");
    check_total(&r, TOTAL_ONEOFFS, total_oneoffs, oneoffs, "TotalOneOffEntryIdSize");
    check_total(&r, TOTAL_EXTRA, total_extra, extra, "TotalExtraSize");
    if (!fmt_done(&r, err))
        return false;
    *out = s;
    return true;
}

bool cpuu_dl_stream_next(cpuu_dl_stream *s, cpuu_dl_member *out)
{
    if (s->left == 0)
        return false;
    s->left--;
    return read_member(&s->members, out);
}

size_t cpuu_dl_stream_begin(cpuu_buf *out, const cpuu_dl_stream *s)
{
    size_t head = out->size;
    cpuu_buf_u16(out, s->version);
    cpuu_buf_u16(out, s->reserved);
    cpuu_buf_u32(out, s->build);
    cpuu_buf_u32(out, s->flags);
    cpuu_buf_u32(out, s->n);
    cpuu_buf_fill(out, 0, 12);
    return head;
}

static void add_total(cpuu_buf *out, size_t at, size_t n)
{
    if (!out->failed)
        cpuu_buf_put_u32(out, at, cpuu_le32(out->data + at) + (uint32_t)n);
}

/* Counts what was just written: sizes in front of three fields, from `start` on. */
static bool count_member(cpuu_buf *out, size_t head, size_t start)
{
    static const uint32_t totals[] = {TOTAL_EIDS, TOTAL_ONEOFFS, TOTAL_EXTRA};
    for (size_t i = 0; i < 3 && !out->failed; i++) {
        uint32_t n = cpuu_le32(out->data + start);
        add_total(out, head + totals[i], n);
        start += 4 + (size_t)n;
    }
    return !out->failed;
}

static void add_sized(cpuu_buf *out, cpuu_blob b)
{
    cpuu_buf_u32(out, b.size);
    fmt_add(out, b);
}

bool cpuu_dl_member_write(cpuu_buf *out, size_t head, const cpuu_dl_member *m)
{
    size_t start = out->size;
    add_sized(out, m->eid);
    add_sized(out, m->oneoff);
    add_sized(out, m->extra);
    return count_member(out, head, start);
}

bool cpuu_dl_stream_end(cpuu_buf *out, const cpuu_dl_stream *s)
{
    cpuu_buf_u32(out, s->end[0]);
    cpuu_buf_u32(out, s->end[1]);
    return fmt_add(out, s->rest);
}

bool cpuu_dl_stream_rewrite(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out,
                            bool *replaced, cpuu_fmt_error *err)
{
    cpuu_dl_stream s;
    cpuu_dl_member m;
    if (!cpuu_dl_stream_open(in, &s, err))
        return false;
    size_t head = cpuu_dl_stream_begin(out, &s);
    while (!out->failed && cpuu_dl_stream_next(&s, &m)) {
        size_t start = out->size;
        rewrite_eid(m.eid, cb, user, out, replaced);
        rewrite_eid(m.oneoff, cb, user, out, replaced);
        add_sized(out, m.extra);
        count_member(out, head, start);
    }
    cpuu_dl_stream_end(out, &s);
    return fmt_wrote(out, err);
}
