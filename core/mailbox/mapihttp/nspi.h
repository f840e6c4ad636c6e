/*
 * Bodies of address-book requests and responses ([MS-OXCMAPIHTTP] 2.2.5, with STAT of [MS-OXNSPI]
 * 2.3.7). Pure: no I/O. Requests always end with an empty auxiliary buffer; responses are read from
 * behind their ErrorCode, as cpuu_call.reply gives them.
 */
#ifndef CPUU_MAPIHTTP_NSPI_H
#define CPUU_MAPIHTTP_NSPI_H

#include "base/mem.h"

#include <cpuu/formats/propvalue.h>

typedef struct cpuu_nspi_stat { /* [MS-OXNSPI] 2.3.7 */
    uint32_t sort_type;
    uint32_t container;
    uint32_t current_rec;
    int32_t delta;
    uint32_t num_pos;
    uint32_t total_recs;
    uint32_t codepage;
    uint32_t template_locale;
    uint32_t sort_locale;
} cpuu_nspi_stat;

/* Global address list, code page 1252, locale en-US. */
#define CPUU_NSPI_STAT_INIT                                                                        \
    {                                                                                              \
        0, 0, 0, 0, 0, 0, 1252, 0x409, 0x409                                                       \
    }

/* ResolveNames, [MS-OXNSPI] 2.2.8: what the server says of one name. Only RESOLVED is dependable;
 * a server was seen that answers AMBIGUOUS for a name it does not know. */
#define CPUU_NSPI_UNRESOLVED 0u
#define CPUU_NSPI_AMBIGUOUS  1u
#define CPUU_NSPI_RESOLVED   2u

void cpuu_nspi_bind(cpuu_buf *b, const cpuu_nspi_stat *stat);
void cpuu_nspi_unbind(cpuu_buf *b);
void cpuu_nspi_resolve_names(cpuu_buf *b, const cpuu_nspi_stat *stat, const uint32_t *tags,
                             uint32_t n_tags, const char *const *names, uint32_t n_names);
void cpuu_nspi_dn_to_mid(cpuu_buf *b, const char *const *dns, uint32_t n);
/* n_mids 0: from stat->current_rec on */
void cpuu_nspi_query_rows(cpuu_buf *b, const cpuu_nspi_stat *stat, const uint32_t *mids,
                          uint32_t n_mids, uint32_t row_count, const uint32_t *tags,
                          uint32_t n_tags);
void cpuu_nspi_get_props(cpuu_buf *b, const cpuu_nspi_stat *stat, const uint32_t *tags,
                         uint32_t n_tags);
/* Entries that have one of the n string values: RES_OR of RES_PROPERTY equal. */
void cpuu_nspi_get_matches(cpuu_buf *b, const cpuu_nspi_stat *stat, const cpuu_value *any,
                           uint32_t n_any, uint32_t row_count, const uint32_t *tags,
                           uint32_t n_tags);

/* What came back; members the request does not have stay empty. cpuu_nspi_answer_free(). */
typedef struct cpuu_nspi_answer {
    cpuu_nspi_stat stat;
    uint8_t server_guid[16]; /* Bind */
    uint32_t *mids;
    size_t n_mids, mids_cap;
    uint32_t *columns;
    size_t n_columns, columns_cap;
    size_t n_rows;
    cpuu_cell *cells; /* n_rows x n_columns; GetProps: one row of n_columns */
    size_t cells_cap;
    cpuu_buf bytes;
} cpuu_nspi_answer;

void cpuu_nspi_answer_init(cpuu_nspi_answer *a);
void cpuu_nspi_answer_free(cpuu_nspi_answer *a);
/* type: "Bind", "ResolveNames", "DNToMId", "QueryRows", "GetProps", "GetMatches", "Unbind". False:
 * the reader's error, or out of memory (*nomem). */
bool cpuu_nspi_decode(cpuu_reader *r, const char *type, cpuu_nspi_answer *a, bool *nomem);

#endif
