/*
 * Members of a personal distribution list: PidLidDistributionListMembers, ...OneOffMembers,
 * ...Checksum, and ...Stream, which replaces the three when a list is large.
 *
 * The two arrays are taken in the list form of cpuu/plugin.h for multi-valued properties: u32
 * count, then for each element u32 size and its bytes. Nothing is allocated. Source:
 * [MS-OXOCNTC] 2.2.2.2 and 3.1.5.11; no sample written by Outlook has been available.
 */
#ifndef CPUU_FORMATS_DISTLIST_H
#define CPUU_FORMATS_DISTLIST_H

#include <cpuu/formats/links.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CPUU_DL_LIMIT                                                                              \
    15000u /* each array must stay below this many bytes, [MS-OXOCNTC] 2.2.2.2.1 */

/* ---- the arrays ------------------------------------------------------------------------------ */

/* Checksum over the members: start with 0 and feed them in order. CRC-32 of the reflected
 * polynomial 0xEDB88320 without the usual complements, [MS-OXOCNTC] 3.1.5.11. */
uint32_t cpuu_dl_checksum_add(uint32_t sum, const void *data, size_t size);
/* The same over a whole array; false when it is malformed. */
bool cpuu_dl_checksum(cpuu_blob members, uint32_t *sum, cpuu_fmt_error *err);
/* Bytes of the elements alone, what CPUU_DL_LIMIT is about. */
bool cpuu_dl_bytes(cpuu_blob list, size_t *bytes, cpuu_fmt_error *err);

/*
 * Copies members and one-off members (which may be empty when the property is absent) with links
 * replaced, and computes the new checksum. Asked for, member by member: the EntryID inside the
 * member when it is wrapped, or the one-off that it is; then the one-off that stands for it.
 * Members of both arrays belong together by position, so different counts are an error, and so is
 * an answer that makes an array reach CPUU_DL_LIMIT (err->what says so; write a stream then).
 */
bool cpuu_dl_rewrite(cpuu_blob members, cpuu_blob oneoffs, cpuu_link_cb cb, void *user,
                     cpuu_buf *members_out, cpuu_buf *oneoffs_out, uint32_t *checksum,
                     bool *replaced, cpuu_fmt_error *err);

/* ---- PidLidDistributionListStream, [MS-OXOCNTC] 2.2.2.2.4 --------------------------------------
 */

#define CPUU_DL_STREAM_ALWAYS 1u /* flags: use the stream whatever the size */

typedef struct cpuu_dl_stream {
    uint16_t version; /* 1 */
    uint16_t reserved;
    uint32_t build;
    uint32_t flags;
    uint32_t n;    /* members */
    uint32_t left; /* members still to be read */
    cpuu_reader members;
    uint32_t end[2]; /* terminators: 0, 0 */
    cpuu_blob rest;  /* normally empty */
} cpuu_dl_stream;

typedef struct cpuu_dl_member {
    uint32_t offset; /* in the input */
    cpuu_blob eid;   /* wrapped EntryID, or one-off */
    cpuu_blob oneoff;
    cpuu_blob extra; /* normally empty */
} cpuu_dl_member;

/* Checks the whole stream, the three totals of its head included. */
bool cpuu_dl_stream_open(cpuu_blob in, cpuu_dl_stream *out, cpuu_fmt_error *err);
/* False at the end. */
bool cpuu_dl_stream_next(cpuu_dl_stream *stream, cpuu_dl_member *out);
/* Writing: begin, members, end; `begin` returns where the head is. Totals are counted. */
size_t cpuu_dl_stream_begin(cpuu_buf *out, const cpuu_dl_stream *stream);
bool cpuu_dl_member_write(cpuu_buf *out, size_t head, const cpuu_dl_member *member);
bool cpuu_dl_stream_end(cpuu_buf *out, const cpuu_dl_stream *stream);
/* As cpuu_dl_rewrite(), without limit and checksum. */
bool cpuu_dl_stream_rewrite(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out,
                            bool *replaced, cpuu_fmt_error *err);

#ifdef __cplusplus
}
#endif
#endif
