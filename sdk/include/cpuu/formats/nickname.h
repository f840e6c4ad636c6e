/*
 * Outlook's list of names it offers while an address is typed: the stream of the
 * IPM.Configuration.Autocomplete message (Outlook 2010 and later) and the .nk2 file before that,
 * which have the same layout.
 *
 * Decoding borrows and allocates nothing; the stream is checked once when it is opened, so reading
 * rows cannot fail afterwards. Work and output are linear in the input. Whatever is no link - both
 * metadata fields, versions, order and weight of rows, unknown properties, extra information - is
 * carried through byte for byte.
 *
 * Source: Outlook MAPI reference, "Autocomplete stream".
 */
#ifndef CPUU_FORMATS_NICKNAME_H
#define CPUU_FORMATS_NICKNAME_H

#include <cpuu/formats/rawprop.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CPUU_NICK_KEY      0x6001001fu /* what is typed; first property of a row */
#define CPUU_NICK_DROPDOWN 0x6003001fu /* what is shown */
#define CPUU_NICK_WEIGHT   0x60040003u /* rows are sorted by it, highest first */

typedef struct cpuu_nick_stream {
    uint8_t metadata[4];
    uint32_t major, minor;
    uint32_t n_rows;
    uint32_t left;    /* rows still to be read */
    cpuu_reader rows; /* the rows not read yet */
    cpuu_blob extra;  /* extra information */
    uint8_t metadata2[8];
    cpuu_blob rest; /* after the second metadata; normally empty */
} cpuu_nick_stream;

typedef struct cpuu_nick_row {
    uint32_t index;    /* 0, 1, ... */
    uint32_t offset;   /* in the input */
    uint32_t size;     /* bytes in the input */
    uint32_t n;        /* properties */
    cpuu_reader props; /* the properties not read yet */
} cpuu_nick_row;

typedef struct cpuu_nick_prop {
    uint32_t tag;
    uint32_t offset;   /* in the input */
    uint32_t size;     /* bytes in the input, tag included */
    uint8_t fixed[12]; /* reserved word and value union; stale memory for types that have a value
                          of their own */
    cpuu_blob value;   /* fixed-size types: their bytes in the union; text: without NUL; binary and
                          GUID: the bytes; multi-valued: all that is stored after the union */
    bool nul;          /* text: a NUL follows (always, in all that was seen) */
} cpuu_nick_prop;

bool cpuu_nick_open(cpuu_blob in, cpuu_nick_stream *out, cpuu_fmt_error *err);
/* False at the end. */
bool cpuu_nick_next(cpuu_nick_stream *stream, cpuu_nick_row *out);
bool cpuu_nick_prop_next(cpuu_nick_row *row, cpuu_nick_prop *out);

/* Writing: begin, then for each row its number of properties (cpuu_buf_u32) and the properties,
 * then the end. For fixed-size types `value` goes into the union, zero-filled; `fixed` supplies the
 * reserved word and, for other types, the union. Only metadata, versions, n_rows, extra, metadata2
 * and rest of `stream` are read. */
bool cpuu_nick_begin(cpuu_buf *out, const cpuu_nick_stream *stream);
bool cpuu_nick_prop_write(cpuu_buf *out, const cpuu_nick_prop *prop);
bool cpuu_nick_end(cpuu_buf *out, const cpuu_nick_stream *stream);

/*
 * Copies the stream with links replaced. Asked for, row by row: the e-mail address first, then in
 * stored order every other property that cpuu_rawprop_link() knows, but for display names, which
 * stay. A record key that is an EntryID is asked for as one. When the new e-mail address is of
 * another kind than the old one (DN or SMTP) the address type follows it.
 */
bool cpuu_nick_rewrite(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                       cpuu_fmt_error *err);

#ifdef __cplusplus
}
#endif
#endif
