/*
 * The mapping file (D6): CSV as in RFC 4180, UTF-8, with a header line. Rows are found by source
 * address or source DN through two sorted indexes, so that 20,000 seats cost nothing to look up.
 */
#include "translate/mapping.h"

#include "base/text.h"

#include <cpuu/formats/bytes.h>

#include <stdlib.h>
#include <string.h>

enum column { SOURCE_SMTP, SOURCE_DN, TARGET_SMTP, TARGET_DN, DISPLAY_NAME, OFFICE365, MIGRATED };
static const char *const column_names[] = {"source_smtp",  "source_dn", "target_smtp", "target_dn",
                                           "display_name", "office365", "migrated"};
#define N_COLUMNS  (sizeof(column_names) / sizeof(*column_names))
#define MAX_FIELDS 16
#define MAX_FIELD  65536 /* bytes */

struct cpuu_mapping {
    cpuu_mapping_row *rows;
    size_t count, cap;
    const cpuu_mapping_row **by_smtp, **by_dn; /* sorted; only rows that have the key */
    size_t n_smtp, n_dn;
    cpuu_arena arena;
};

typedef struct parser {
    const char *name; /* of the file, for messages */
    const char *p, *end;
    unsigned line;
    cpuu_mapping *m;
    char *fields[MAX_FIELDS];
    size_t n_fields;
    int columns[MAX_FIELDS]; /* which column each field is */
    size_t n_columns;
    cpuu_error *err;
} parser;

/* Bytes up to the next separator outside quotes. */
static size_t plain_length(const char *p, const char *end)
{
    const char *q = p;
    while (q < end && *q != ',' && *q != '\r' && *q != '\n')
        q++;
    return (size_t)(q - p);
}

/* Bytes up to the quote that closes the one at p; doubled quotes are part of the text. */
static size_t quoted_length(const char *p, const char *end)
{
    const char *q = p + 1;
    for (; q < end; q++) {
        if (*q != '"')
            continue;
        if (q + 1 == end || q[1] != '"')
            break;
        q++;
    }
    return (size_t)(q - p);
}

/* Reads one field into the arena; leaves p at the separator. */
static cpuu_rc read_field(parser *ps, char **out)
{
    bool quoted = ps->p < ps->end && *ps->p == '"';
    size_t length = quoted ? quoted_length(ps->p, ps->end) : plain_length(ps->p, ps->end);
    size_t room = length < MAX_FIELD ? length : MAX_FIELD;
    char *text = cpuu_arena_alloc(&ps->m->arena, room + 1);
    if (!text)
        return cpuu_nomem(ps->err);
    size_t n = 0;
    unsigned start = ps->line;
    ps->p += quoted;
    for (;; ps->p++) {
        bool at_end = ps->p == ps->end;
        if (at_end && quoted)
            return cpuu_fail(ps->err, CPUU_E_FORMAT, "%s:%u: a quote is not closed", ps->name,
                             start);
        if (quoted && *ps->p == '"') {
            if (ps->p + 1 == ps->end || ps->p[1] != '"') {
                ps->p++;
                break;
            }
            ps->p++;
        } else if (!quoted && (at_end || strchr(",\r\n", *ps->p))) {
            break;
        }
        if (n == room)
            return cpuu_fail(ps->err, CPUU_E_TOOBIG, "%s:%u: a field is longer than 64 KiB",
                             ps->name, ps->line);
        ps->line += *ps->p == '\n';
        text[n++] = *ps->p;
    }
    text[n] = 0;
    *out = text;
    return CPUU_OK;
}

/* Reads one record; *more is false at the end of the file. */
static cpuu_rc read_record(parser *ps, bool *more)
{
    ps->n_fields = 0;
    *more = ps->p < ps->end;
    while (*more) {
        if (ps->n_fields == MAX_FIELDS)
            return cpuu_fail(ps->err, CPUU_E_FORMAT, "%s:%u: too many columns", ps->name, ps->line);
        cpuu_rc rc = read_field(ps, &ps->fields[ps->n_fields]);
        if (rc != CPUU_OK)
            return rc;
        ps->n_fields++;
        if (ps->p < ps->end && *ps->p == ',') {
            ps->p++;
            continue;
        }
        if (ps->p < ps->end && *ps->p == '\r')
            ps->p++;
        if (ps->p < ps->end && *ps->p != '\n')
            return cpuu_fail(ps->err, CPUU_E_FORMAT, "%s:%u: text follows a closing quote",
                             ps->name, ps->line);
        ps->p += ps->p < ps->end;
        return CPUU_OK;
    }
    return CPUU_OK;
}

static cpuu_rc read_header(parser *ps)
{
    bool more;
    cpuu_rc rc = read_record(ps, &more);
    if (rc != CPUU_OK)
        return rc;
    for (size_t i = 0; i < ps->n_fields; i++) {
        int found = -1;
        for (size_t c = 0; c < N_COLUMNS; c++) {
            if (cpuu_caseeq(ps->fields[i], column_names[c]))
                found = (int)c;
        }
        if (found < 0)
            return cpuu_fail(ps->err, CPUU_E_FORMAT,
                             "%s:1: unknown column '%s'; the columns are source_smtp, source_dn, "
                             "target_smtp, target_dn, display_name, office365 and migrated",
                             ps->name, ps->fields[i]);
        for (size_t k = 0; k < i; k++) {
            if (ps->columns[k] == found)
                return cpuu_fail(ps->err, CPUU_E_FORMAT, "%s:1: column '%s' appears twice",
                                 ps->name, ps->fields[i]);
        }
        ps->columns[i] = found;
    }
    ps->n_columns = ps->n_fields;
    if (ps->n_columns == 0)
        return cpuu_fail(ps->err, CPUU_E_FORMAT, "%s: the file has no header line", ps->name);
    return CPUU_OK;
}

static cpuu_rc read_flag(parser *ps, unsigned line, const char *text, const char *column,
                         int if_empty, int *out)
{
    static const char *const yes[] = {"1", "yes", "true", "on"}, *const no[] = {"0", "no", "false",
                                                                                "off"};
    *out = if_empty;
    if (!*text)
        return CPUU_OK;
    for (size_t i = 0; i < 4; i++) {
        if (cpuu_caseeq(text, yes[i]) || cpuu_caseeq(text, no[i])) {
            *out = cpuu_caseeq(text, yes[i]);
            return CPUU_OK;
        }
    }
    return cpuu_fail(ps->err, CPUU_E_FORMAT, "%s:%u: column %s holds '%s', expected 1 or 0",
                     ps->name, line, column, text);
}

/* What a profile would get must look like what it is. */
static cpuu_rc check_columns(const parser *ps, unsigned line, const char *const text[N_COLUMNS])
{
    static const struct {
        enum column column;
        bool (*is_good)(const char *);
        const char *kind;
    } kinds[] = {{SOURCE_SMTP, cpuu_is_smtp, "an address (x@y)"},
                 {TARGET_SMTP, cpuu_is_smtp, "an address (x@y)"},
                 {SOURCE_DN, cpuu_is_legacy_dn, "a legacyExchangeDN (/o=...)"},
                 {TARGET_DN, cpuu_is_legacy_dn, "a legacyExchangeDN (/o=...)"},
                 {DISPLAY_NAME, cpuu_is_plain, "one line of text"}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        const char *value = text[kinds[i].column];
        if (*value && !kinds[i].is_good(value))
            return cpuu_fail(ps->err, CPUU_E_FORMAT, "%s:%u: column %s holds '%.80s', which is not %s",
                             ps->name, line, column_names[kinds[i].column], value, kinds[i].kind);
    }
    return CPUU_OK;
}

static cpuu_rc take_row(parser *ps, unsigned line)
{
    cpuu_mapping *m = ps->m;
    const char *text[N_COLUMNS] = {"", "", "", "", "", "", ""};
    for (size_t i = 0; i < ps->n_fields; i++)
        text[ps->columns[i]] = ps->fields[i];
    if (!cpuu_grow(&m->rows, &m->cap, m->count, sizeof(*m->rows)))
        return cpuu_nomem(ps->err);
    cpuu_mapping_row *row = &m->rows[m->count];
    memset(row, 0, sizeof(*row));
    row->line = line;
    row->source_smtp = *text[SOURCE_SMTP] ? text[SOURCE_SMTP] : NULL;
    row->source_dn = *text[SOURCE_DN] ? text[SOURCE_DN] : NULL;
    row->target_smtp = *text[TARGET_SMTP] ? text[TARGET_SMTP] : NULL;
    row->target_dn = *text[TARGET_DN] ? text[TARGET_DN] : NULL;
    row->display_name = *text[DISPLAY_NAME] ? text[DISPLAY_NAME] : NULL;
    if (!row->source_smtp && !row->source_dn)
        return cpuu_fail(ps->err, CPUU_E_FORMAT,
                         "%s:%u: neither source_smtp nor source_dn is given", ps->name, line);
    cpuu_rc rc = check_columns(ps, line, text);
    if (rc == CPUU_OK)
        rc = read_flag(ps, line, text[OFFICE365], "office365", -1, &row->office365);
    if (rc == CPUU_OK) /* a row without the word names somebody who has moved if it says where to */
        rc = read_flag(ps, line, text[MIGRATED], "migrated", row->target_smtp || row->target_dn,
                       &row->migrated);
    if (rc == CPUU_OK && row->migrated && !row->target_smtp && !row->target_dn)
        rc = cpuu_fail(ps->err, CPUU_E_FORMAT,
                       "%s:%u: the row says migrated but names neither target_smtp nor target_dn",
                       ps->name, line);
    if (rc == CPUU_OK)
        m->count++;
    return rc;
}

static cpuu_rc read_rows(parser *ps)
{
    for (;;) {
        bool more;
        unsigned line = ++ps->line;
        cpuu_rc rc = read_record(ps, &more);
        if (rc != CPUU_OK || !more)
            return rc;
        if (ps->n_fields == 1 && !*ps->fields[0])
            continue;
        if (ps->n_fields != ps->n_columns)
            return cpuu_fail(ps->err, CPUU_E_FORMAT, "%s:%u: %zu columns, the header has %zu",
                             ps->name, line, ps->n_fields, ps->n_columns);
        rc = take_row(ps, line);
        if (rc != CPUU_OK)
            return rc;
    }
}

static int by_smtp(const void *a, const void *b)
{
    const cpuu_mapping_row *const *p = a, *const *q = b;
    return cpuu_casecmp((*p)->source_smtp, (*q)->source_smtp);
}

static int by_dn(const void *a, const void *b)
{
    const cpuu_mapping_row *const *p = a, *const *q = b;
    return cpuu_casecmp((*p)->source_dn, (*q)->source_dn);
}

/* Sorts one index and refuses two rows for one source: which of them holds could only be guessed. */
static cpuu_rc sort_index(parser *ps, const cpuu_mapping_row **index, size_t n,
                          int (*cmp)(const void *, const void *))
{
    if (n)
        qsort(index, n, sizeof(*index), cmp);
    for (size_t i = 1; i < n; i++) {
        if (cmp(&index[i - 1], &index[i]) != 0)
            continue;
        unsigned a = index[i - 1]->line, b = index[i]->line;
        return cpuu_fail(ps->err, CPUU_E_FORMAT, "%s:%u: line %u is about the same source",
                         ps->name, a > b ? a : b, a > b ? b : a);
    }
    return CPUU_OK;
}

static cpuu_rc build_indexes(parser *ps)
{
    cpuu_mapping *m = ps->m;
    m->by_smtp = cpuu_arena_alloc(&m->arena, (m->count + 1) * sizeof(*m->by_smtp));
    m->by_dn = cpuu_arena_alloc(&m->arena, (m->count + 1) * sizeof(*m->by_dn));
    if (!m->by_smtp || !m->by_dn)
        return cpuu_nomem(ps->err);
    for (size_t i = 0; i < m->count; i++) {
        if (m->rows[i].source_smtp)
            m->by_smtp[m->n_smtp++] = &m->rows[i];
        if (m->rows[i].source_dn)
            m->by_dn[m->n_dn++] = &m->rows[i];
    }
    cpuu_rc rc = sort_index(ps, m->by_smtp, m->n_smtp, by_smtp);
    return rc == CPUU_OK ? sort_index(ps, m->by_dn, m->n_dn, by_dn) : rc;
}

cpuu_rc cpuu_mapping_parse(const void *text, size_t size, const char *name, cpuu_mapping **out,
                           cpuu_error *err)
{
    const char *p = text;
    if (size >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) {
        p += 3;
        size -= 3;
    }
    if (!cpuu_utf8_valid(p, size))
        return cpuu_fail(err, CPUU_E_FORMAT, "%s: the mapping file is not UTF-8 text", name);
    cpuu_mapping *m = cpuu_calloc(1, sizeof(*m));
    if (!m)
        return cpuu_nomem(err);
    parser ps = {.name = name, .p = p, .end = p + size, .line = 1, .m = m, .err = err};
    cpuu_rc rc = read_header(&ps);
    if (rc == CPUU_OK)
        rc = read_rows(&ps);
    if (rc == CPUU_OK)
        rc = build_indexes(&ps);
    if (rc != CPUU_OK)
        cpuu_mapping_free(m);
    else
        *out = m;
    return rc;
}

void cpuu_mapping_free(cpuu_mapping *m)
{
    if (!m)
        return;
    cpuu_free(m->rows);
    cpuu_arena_free(&m->arena);
    cpuu_free(m);
}

static const cpuu_mapping_row *look_up(const cpuu_mapping_row **index, size_t n,
                                       const cpuu_mapping_row *key,
                                       int (*cmp)(const void *, const void *))
{
    const cpuu_mapping_row **hit = n ? bsearch(&key, index, n, sizeof(*index), cmp) : NULL;
    return hit ? *hit : NULL;
}

const cpuu_mapping_row *cpuu_mapping_find(const cpuu_mapping *m, const char *smtp, const char *dn)
{
    cpuu_mapping_row key = {.source_smtp = smtp, .source_dn = dn};
    const cpuu_mapping_row *row = NULL;
    if (m && dn)
        row = look_up(m->by_dn, m->n_dn, &key, by_dn);
    if (m && !row && smtp)
        row = look_up(m->by_smtp, m->n_smtp, &key, by_smtp);
    return row;
}

size_t cpuu_mapping_count(const cpuu_mapping *m)
{
    return m->count;
}
