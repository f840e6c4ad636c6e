/* The mapping file (D6): who is who on both sides, as CSV. Pure. */
#ifndef CPUU_TRANSLATE_MAPPING_H
#define CPUU_TRANSLATE_MAPPING_H

#include "base/error.h"
#include "base/mem.h"

typedef struct cpuu_mapping_row {
    const char *source_smtp, *source_dn, *target_smtp, *target_dn, *display_name; /* NULL = empty */
    int office365; /* 1, 0, -1 = not said */
    int migrated;
    unsigned line;
} cpuu_mapping_row;

typedef struct cpuu_mapping cpuu_mapping;

/* Errors name the line: wrong header, wrong number of columns, an unclosed quote, two rows for one
 * source. Columns may come in any order, unknown columns are refused. */
cpuu_rc cpuu_mapping_parse(const void *text, size_t size, const char *name, cpuu_mapping **out,
                           cpuu_error *err);
void cpuu_mapping_free(cpuu_mapping *m);
/* By either identity, ignoring case; NULL when unknown. */
const cpuu_mapping_row *cpuu_mapping_find(const cpuu_mapping *m, const char *smtp, const char *dn);
size_t cpuu_mapping_count(const cpuu_mapping *m);

#endif
