/*
 * Parts of reading: fetch.c (one query and its answer), declared.c (answers that features share),
 * pages.c (streamed queries), seen.c (what was seen and what was changed); reads.c has the services.
 */
#ifndef CPUU_FEATURES_READS_H
#define CPUU_FEATURES_READS_H

#include "features/private.h"

/* ---- fetch.c --------------------------------------------------------------------------------- */

/* NULL: out of memory. The query is copied. */
cpuu_fetch *cpuu_fetch_new(const cpuu_feature *feature, const cpuu_query *q);
void cpuu_fetch_free(cpuu_fetch *f); /* NULL is allowed */
/* That is its answer; returns rc. */
cpuu_rc cpuu_fetch_failed(cpuu_fetch *f, cpuu_rc rc, const char *why);
/* Columns as its mailbox knows them. A failure of the query itself is its answer, not an error. */
cpuu_rc cpuu_fetch_columns(cpuu_reading *s, cpuu_fetch *f, cpuu_error *err);
cpuu_mail_op cpuu_fetch_op(cpuu_fetch *f); /* the operation that answers it, by add_row */
cpuu_rc cpuu_fetch_add_row(void *user, const cpuu_mail_row *from); /* user: cpuu_fetch */
/* Answers every fetch of the list that is not done, as one set. */
cpuu_rc cpuu_fetch_all(cpuu_reading *s, cpuu_fetch **list, size_t n, cpuu_error *err);
/* The one property every row of that kind has, asked for when a feature wants only ids. */
const uint32_t *cpuu_fetch_id_column(uint32_t what);
cpuu_value cpuu_fetch_absent(uint32_t tag);
/* Ids known so far; NULL when they were not asked for. */
cpuu_names *cpuu_names_find(cpuu_reading *s, const cpuu_feature *f, cpuu_mailbox *box);
/* Names of all features that will run, in both mailboxes, in one set. */
cpuu_rc cpuu_names_map(cpuu_reading *s, cpuu_error *err);

/* ---- declared.c ------------------------------------------------------------------------------ */

cpuu_fetch *cpuu_declared_find(cpuu_reading *s, const cpuu_feature *feature, const cpuu_query *q);
cpuu_rc cpuu_declared_fetch(cpuu_reading *s, cpuu_error *err);
void cpuu_declared_forget(cpuu_fetch *f); /* the server will be asked again */
bool cpuu_same_text(const char *a, const char *b);

/* ---- pages.c --------------------------------------------------------------------------------- */

/* The ids of a streamed query, from a declared read of the same folder when there is one. */
cpuu_rc cpuu_pages_ids(cpuu_reading *s, cpuu_fetch *f, const cpuu_query *q, cpuu_error *err);
/* The first pages of all streams of a set. What cannot be read stays empty: whoever asks for its
 * rows tries again, and learns why. */
cpuu_rc cpuu_pages_first(cpuu_rows *const *rows, uint32_t n, cpuu_error *err);
/* Where row `index` is; CPUU_END behind the last one. Rows of other pages are no longer valid. */
cpuu_rc cpuu_pages_row(cpuu_rows *r, uint32_t index, cpuu_fetch **f, size_t *at, cpuu_error *err);

/* ---- seen.c ---------------------------------------------------------------------------------- */

/* Whether the shared answer tells of what the change does. */
bool cpuu_seen_touches(const cpuu_fetch *f, const cpuu_queued *q);
/* What a waiting change will do to an item is known already, but for the id of a new one. */
bool cpuu_seen_foreseen(const cpuu_queued *q);

#endif
