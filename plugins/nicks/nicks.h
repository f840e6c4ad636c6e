/*
 * One AutoComplete list in memory: which rows hold a person's identity, what becomes of them, and the
 * list written again. No service of the host is used here.
 *
 *     open -> links -> (the host translates them) -> settle -> compare -> write
 */
#ifndef CPUU_PLUGINS_NICKS_H
#define CPUU_PLUGINS_NICKS_H

#include "common/kit.h"

#include <cpuu/formats/nickname.h>

#define NICK_MAX      (64u << 20) /* bytes of a list */
#define NICK_MAX_ROWS 100000u     /* Outlook keeps 1,000 unless told otherwise */

typedef struct nick_row {
    cpuu_nick_row at;
    uint32_t first_link, n_links; /* none: the row names nobody in the address book */
    uint32_t decides;             /* index of the link that speaks for the row */
    bool rewrite;
    bool add; /* nick_list_compare(): the other list lacks this row */
} nick_row;

typedef struct nick_list {
    cpuu_blob in; /* borrowed */
    cpuu_nick_stream stream;
    nick_row *rows; /* stream.n_rows of them */
    kit_pool texts; /* what links borrow from */
    bool changed;   /* some row is to be rewritten */
    uint32_t n_add;
} nick_list;

/* CPUU_OK; CPUU_E_FORMAT with *err; CPUU_E_NOMEM. Free with nick_list_free. */
cpuu_rc nick_list_open(cpuu_blob in, nick_list *out, cpuu_fmt_error *err);
void nick_list_free(nick_list *l);
/* Adds the links of all rows that name somebody in the address book; out of memory: links->failed. */
void nick_list_links(nick_list *l, kit_links *links);
/* All identities of a row change, or none does. */
void nick_list_settle(nick_list *l, const kit_links *links);
/* Marks the rows of `from` that `into` has neither by name nor by (translated) address. False: out of
 * memory. */
bool nick_list_compare(nick_list *from, const nick_list *into, const kit_links *links);
/* Appends the list with its links replaced and the rows of `more` (may be NULL) that were marked, each
 * before the first row of less weight. Everything else is copied byte for byte. False: out failed. */
bool nick_list_write(const nick_list *l, const nick_list *more, const kit_links *links,
                     cpuu_buf *out);
/* What the list shows for the row, as UTF-8 cut to fit. False: out of memory. */
bool nick_row_title(const nick_row *row, char *out, size_t out_size);

#endif
