/* Address-book bodies; see nspi.h for the promises. */
#include "mailbox/mapihttp/nspi.h"

#include <string.h>

#define PRESENT   0xff
#define BYTES_MAX (16u << 20)

/* ---- requests -------------------------------------------------------------------------------- */

static void add_stat(cpuu_buf *b, const cpuu_nspi_stat *s)
{
    cpuu_buf_u8(b, PRESENT);
    cpuu_buf_u32(b, s->sort_type);
    cpuu_buf_u32(b, s->container);
    cpuu_buf_u32(b, s->current_rec);
    cpuu_buf_u32(b, (uint32_t)s->delta);
    cpuu_buf_u32(b, s->num_pos);
    cpuu_buf_u32(b, s->total_recs);
    cpuu_buf_u32(b, s->codepage);
    cpuu_buf_u32(b, s->template_locale);
    cpuu_buf_u32(b, s->sort_locale);
}

static void add_tags(cpuu_buf *b, const uint32_t *tags, uint32_t n)
{
    cpuu_buf_u8(b, PRESENT);
    cpuu_buf_u32(b, n);
    for (uint32_t i = 0; i < n; i++)
        cpuu_buf_u32(b, tags[i]);
}

static void no_aux(cpuu_buf *b)
{
    cpuu_buf_u32(b, 0);
}

void cpuu_nspi_bind(cpuu_buf *b, const cpuu_nspi_stat *stat)
{
    cpuu_buf_u32(b, 0); /* Flags: not anonymous */
    add_stat(b, stat);
    no_aux(b);
}

void cpuu_nspi_unbind(cpuu_buf *b)
{
    cpuu_buf_u32(b, 0);
    no_aux(b);
}

void cpuu_nspi_resolve_names(cpuu_buf *b, const cpuu_nspi_stat *stat, const uint32_t *tags,
                             uint32_t n_tags, const char *const *names, uint32_t n_names)
{
    cpuu_buf_u32(b, 0);
    add_stat(b, stat);
    add_tags(b, tags, n_tags);
    cpuu_buf_u8(b, PRESENT);
    cpuu_buf_u32(b, n_names);
    for (uint32_t i = 0; i < n_names; i++)
        cpuu_buf_utf16(b, names[i], true);
    no_aux(b);
}

void cpuu_nspi_dn_to_mid(cpuu_buf *b, const char *const *dns, uint32_t n)
{
    cpuu_buf_u32(b, 0);
    cpuu_buf_u8(b, PRESENT);
    cpuu_buf_u32(b, n);
    for (uint32_t i = 0; i < n; i++)
        cpuu_buf_sz(b, dns[i]);
    no_aux(b);
}

void cpuu_nspi_query_rows(cpuu_buf *b, const cpuu_nspi_stat *stat, const uint32_t *mids,
                          uint32_t n_mids, uint32_t row_count, const uint32_t *tags,
                          uint32_t n_tags)
{
    cpuu_buf_u32(b, 0);
    add_stat(b, stat);
    cpuu_buf_u32(b, n_mids);
    for (uint32_t i = 0; i < n_mids; i++)
        cpuu_buf_u32(b, mids[i]);
    cpuu_buf_u32(b, row_count);
    add_tags(b, tags, n_tags);
    no_aux(b);
}

void cpuu_nspi_get_props(cpuu_buf *b, const cpuu_nspi_stat *stat, const uint32_t *tags,
                         uint32_t n_tags)
{
    cpuu_buf_u32(b, 0);
    add_stat(b, stat);
    add_tags(b, tags, n_tags);
    no_aux(b);
}

void cpuu_nspi_get_matches(cpuu_buf *b, const cpuu_nspi_stat *stat, const cpuu_value *any,
                           uint32_t n_any, uint32_t row_count, const uint32_t *tags,
                           uint32_t n_tags)
{
    cpuu_buf_u32(b, 0);
    add_stat(b, stat);
    cpuu_buf_u8(b, 0);  /* no MinimalIds */
    cpuu_buf_u32(b, 0); /* InterfaceOptionFlags */
    cpuu_buf_u8(b, PRESENT);
    cpuu_buf_u8(b, 0x01); /* RES_OR, 32-bit count */
    cpuu_buf_u32(b, n_any);
    for (uint32_t i = 0; i < n_any; i++) {
        cpuu_buf_u8(b, 0x04); /* RES_PROPERTY */
        cpuu_buf_u8(b, 0x04); /* RELOP_EQ */
        cpuu_buf_u32(b, any[i].tag);
        cpuu_buf_u8(b, PRESENT); /* observed: the value is optional here */
        cpuu_prop_encode_tagged(b, CPUU_WIRE_BOOK, &any[i]);
    }
    cpuu_buf_u8(b, 0); /* no PropertyName */
    cpuu_buf_u32(b, row_count);
    add_tags(b, tags, n_tags);
    no_aux(b);
}

/* ---- responses ------------------------------------------------------------------------------- */

void cpuu_nspi_answer_init(cpuu_nspi_answer *a)
{
    memset(a, 0, sizeof(*a));
    cpuu_buf_init(&a->bytes, BYTES_MAX);
}

void cpuu_nspi_answer_free(cpuu_nspi_answer *a)
{
    cpuu_free(a->mids);
    cpuu_free(a->columns);
    cpuu_free(a->cells);
    cpuu_buf_free(&a->bytes);
    cpuu_nspi_answer_init(a);
}

static void *room(void *p, size_t *cap, size_t n, size_t elem_size, bool *nomem)
{
    if (n <= *cap)
        return p;
    void *grown = cpuu_realloc(p, n * elem_size);
    if (!grown) {
        *nomem = true;
        return p;
    }
    *cap = n;
    return grown;
}

static void read_stat(cpuu_reader *r, cpuu_nspi_stat *s)
{
    if (!cpuu_read_u8(r, "HasState"))
        return;
    s->sort_type = cpuu_read_u32(r, "SortType");
    s->container = cpuu_read_u32(r, "ContainerID");
    s->current_rec = cpuu_read_u32(r, "CurrentRec");
    s->delta = (int32_t)cpuu_read_u32(r, "Delta");
    s->num_pos = cpuu_read_u32(r, "NumPos");
    s->total_recs = cpuu_read_u32(r, "TotalRecs");
    s->codepage = cpuu_read_u32(r, "CodePage");
    s->template_locale = cpuu_read_u32(r, "TemplateLocale");
    s->sort_locale = cpuu_read_u32(r, "SortLocale");
}

static size_t read_u32s(cpuu_reader *r, uint32_t **out, size_t *cap, const char *field, bool *nomem)
{
    uint32_t n = cpuu_read_u32(r, field);
    if (n > cpuu_reader_left(r) / 4)
        cpuu_reader_fail(r, field, "is more than the input can hold");
    if (r->failed)
        return 0;
    *out = room(*out, cap, n, sizeof(**out), nomem);
    if (*nomem)
        return 0;
    for (uint32_t i = 0; i < n; i++)
        (*out)[i] = cpuu_read_u32(r, field);
    return n;
}

static void read_mids(cpuu_reader *r, cpuu_nspi_answer *a, bool *nomem)
{
    if (cpuu_read_u8(r, "HasMinimalIds"))
        a->n_mids = read_u32s(r, &a->mids, &a->mids_cap, "MinimalIds", nomem);
}

static void read_rows(cpuu_reader *r, cpuu_nspi_answer *a, bool *nomem)
{
    if (!cpuu_read_u8(r, "HasColumnsAndRows"))
        return;
    a->n_columns = read_u32s(r, &a->columns, &a->columns_cap, "Columns", nomem);
    uint32_t n = cpuu_read_u32(r, "RowCount");
    if (n && (a->n_columns == 0 || n > cpuu_reader_left(r) / (a->n_columns + 1)))
        cpuu_reader_fail(r, "RowCount", "is more than the input can hold");
    if (r->failed || *nomem)
        return;
    a->cells = room(a->cells, &a->cells_cap, n * a->n_columns, sizeof(*a->cells), nomem);
    if (*nomem)
        return;
    for (uint32_t i = 0; i < n && !r->failed; i++)
        cpuu_prop_decode_row(r, CPUU_WIRE_BOOK, a->columns, (uint32_t)a->n_columns, &a->bytes,
                             a->cells + i * a->n_columns);
    a->n_rows = n;
}

/* AddressBookPropertyValueList, [MS-OXCMAPIHTTP] 2.2.1.3 */
static void read_values(cpuu_reader *r, cpuu_nspi_answer *a, bool *nomem)
{
    cpuu_read_u32(r, "CodePage");
    if (!cpuu_read_u8(r, "HasPropertyValues"))
        return;
    uint32_t n = cpuu_read_u32(r, "PropertyValueCount");
    if (n > cpuu_reader_left(r) / 5)
        cpuu_reader_fail(r, "PropertyValueCount", "is more than the input can hold");
    if (r->failed)
        return;
    a->cells = room(a->cells, &a->cells_cap, n, sizeof(*a->cells), nomem);
    if (*nomem)
        return;
    for (uint32_t i = 0; i < n && !r->failed; i++)
        cpuu_prop_decode_tagged(r, CPUU_WIRE_BOOK, &a->bytes, &a->cells[i]);
    a->n_columns = n;
    a->n_rows = 1;
}

bool cpuu_nspi_decode(cpuu_reader *r, const char *type, cpuu_nspi_answer *a, bool *nomem)
{
    *nomem = false;
    a->n_mids = a->n_columns = a->n_rows = 0;
    cpuu_buf_reset(&a->bytes);
    if (strcmp(type, "Bind") == 0) {
        const uint8_t *guid = cpuu_read_bytes(r, 16, "ServerGuid");
        if (guid)
            memcpy(a->server_guid, guid, 16);
    } else if (strcmp(type, "ResolveNames") == 0) {
        cpuu_read_u32(r, "CodePage");
        read_mids(r, a, nomem);
        read_rows(r, a, nomem);
    } else if (strcmp(type, "DNToMId") == 0) {
        read_mids(r, a, nomem);
    } else if (strcmp(type, "QueryRows") == 0) {
        read_stat(r, &a->stat);
        read_rows(r, a, nomem);
    } else if (strcmp(type, "GetProps") == 0) {
        read_values(r, a, nomem);
    } else if (strcmp(type, "GetMatches") == 0) {
        read_stat(r, &a->stat);
        read_mids(r, a, nomem);
        read_rows(r, a, nomem);
    } else if (strcmp(type, "Unbind") != 0) {
        cpuu_reader_fail(r, "X-RequestType", "is not one this client sends");
    }
    uint32_t aux = cpuu_read_u32(r, "AuxiliaryBufferSize");
    cpuu_read_skip(r, aux, "AuxiliaryBuffer");
    if (a->bytes.failed)
        *nomem = true;
    return !r->failed && !*nomem;
}
