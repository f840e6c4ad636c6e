/*
 * The formats cpuu-inspect knows: one table, from which --type, --list-types, guessing, trees,
 * links, verification, the manual's list and the tests come.
 */
#ifndef CPUU_INSPECT_TYPES_H
#define CPUU_INSPECT_TYPES_H

#include "inspect/print.h"

typedef bool (*rewrite_fn)(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                           cpuu_fmt_error *err);

typedef struct blob_type {
    const char *name;
    const char *title;
    /* True when the blob could be of this type; NULL = never guessed. In the order of the table. */
    bool (*plausible)(cpuu_blob in);
    /* Prints the tree; false with *err filled when the blob is damaged. */
    bool (*print)(printer *p, cpuu_blob in, cpuu_fmt_error *err);
    rewrite_fn rewrite;
} blob_type;

extern const blob_type blob_types[];
extern const size_t n_blob_types;

const blob_type *type_find(const char *name);
/* The first type that takes all of the blob and gives the same bytes again; NULL when none does. */
const blob_type *type_guess(cpuu_blob in);

/* In types_rules.c */
bool print_restriction(printer *p, cpuu_blob in, cpuu_fmt_error *err);
bool print_rule_condition(printer *p, cpuu_blob in, cpuu_fmt_error *err);
bool print_ext_condition(printer *p, cpuu_blob in, cpuu_fmt_error *err);
bool print_rule_actions(printer *p, cpuu_blob in, cpuu_fmt_error *err);
bool print_ext_actions(printer *p, cpuu_blob in, cpuu_fmt_error *err);
bool print_rule_stream(printer *p, cpuu_blob in, cpuu_fmt_error *err);
bool print_defer(printer *p, cpuu_blob in, cpuu_fmt_error *err);
bool print_properties(printer *p, cpuu_blob in, cpuu_fmt_error *err);
bool rewrite_restriction(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                         cpuu_fmt_error *err);
bool rewrite_rule_condition(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out,
                            bool *replaced, cpuu_fmt_error *err);
bool rewrite_ext_condition(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                           cpuu_fmt_error *err);
bool rewrite_rule_actions(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                          cpuu_fmt_error *err);
bool rewrite_ext_actions(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                         cpuu_fmt_error *err);
bool rewrite_rule_stream(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                         cpuu_fmt_error *err);
bool rewrite_defer(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                   cpuu_fmt_error *err);
bool rewrite_properties(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                        cpuu_fmt_error *err);

#endif
