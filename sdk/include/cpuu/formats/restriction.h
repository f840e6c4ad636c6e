/*
 * Restrictions in the three encodings they are stored in ([MS-OXCDATA] 2.12; in search folders,
 * [MS-OXOSRCH] 2.2.1.2.8, with widths that were observed), as a walk over their nodes: parents before
 * children, nothing allocated, values borrowed. Writing the nodes one after the other, in the
 * encoding they were read in, gives the restriction again.
 */
#ifndef CPUU_FORMATS_RESTRICTION_H
#define CPUU_FORMATS_RESTRICTION_H

#include <cpuu/formats/rawprop.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CPUU_RES_AND        0x00u
#define CPUU_RES_OR         0x01u
#define CPUU_RES_NOT        0x02u
#define CPUU_RES_CONTENT    0x03u
#define CPUU_RES_PROPERTY   0x04u
#define CPUU_RES_COMPARE    0x05u
#define CPUU_RES_BITMASK    0x06u
#define CPUU_RES_SIZE       0x07u
#define CPUU_RES_EXIST      0x08u
#define CPUU_RES_SUB        0x09u
#define CPUU_RES_COMMENT    0x0au
#define CPUU_RES_COUNT      0x0bu
#define CPUU_RES_ANNOTATION 0x0cu

#define CPUU_RES_DEPTH 64u /* levels; deeper ones are refused */

typedef struct cpuu_res_node {
    uint32_t depth;  /* 0 for the outermost */
    uint32_t type;   /* CPUU_RES_* */
    uint32_t op;     /* relational operator; CONTENT: fuzzy level; BITMASK: 0 zero, 1 not zero;
                        COMMENT, ANNOTATION: the byte that says whether a child follows */
    uint32_t tag;    /* CONTENT, PROPERTY, BITMASK, SIZE, EXIST; SUB: subobject; COMPARE: first */
    uint32_t tag2;   /* COMPARE */
    uint32_t number; /* BITMASK: mask; SIZE: bytes; COUNT: count */
    uint32_t n_children; /* they follow directly */
    cpuu_rawprop value;  /* CONTENT, PROPERTY; its tag may differ from `tag` */
    uint32_t n_values;   /* COMMENT, ANNOTATION */
    cpuu_blob values;    /* the n_values in the encoding read; see cpuu_rawprop_read() */
    uint32_t values_at;  /* offset of `values` in the outermost input */
} cpuu_res_node;

/* Called for each node; false stops the walk, which then returns false without error. */
typedef bool (*cpuu_res_cb)(void *user, const cpuu_res_node *node);

/* Walks one restriction; the reader stands behind it afterwards. False: stopped, or r->failed. */
bool cpuu_res_walk(cpuu_reader *r, cpuu_form form, cpuu_res_cb cb, void *user);
/* Appends one node, without its children, in the encoding it was read in. */
bool cpuu_res_write(cpuu_buf *out, cpuu_form form, const cpuu_res_node *node);
/* Copies one restriction with links and named property tags replaced. */
bool cpuu_res_rewrite(cpuu_reader *r, cpuu_form form, cpuu_rewriter *w, cpuu_buf *out);
/* The same for a blob that holds one restriction and nothing else. */
bool cpuu_restriction_rewrite(cpuu_blob in, cpuu_form form, cpuu_link_cb cb, void *user,
                              cpuu_buf *out, bool *replaced, cpuu_fmt_error *err);

/*
 * NamedPropertyInformation, [MS-OXORULE] 2.2.4.2: what the ids >= 0x8000 of an extended rule mean.
 * It is always copied as it is.
 */
typedef struct cpuu_npi {
    uint16_t n;
    cpuu_blob ids;     /* n times 2 bytes */
    cpuu_blob names;   /* PropertyName structures */
    uint32_t names_at; /* offset of `names` in the outermost input */
} cpuu_npi;

typedef struct cpuu_npi_name {
    uint16_t id;
    uint8_t kind; /* 0 number, 1 text, 0xff neither */
    uint8_t guid[16];
    uint32_t number;
    cpuu_blob text; /* UTF-16LE as stored, normally with its NUL */
} cpuu_npi_name;

bool cpuu_npi_read(cpuu_reader *r, cpuu_npi *out);
bool cpuu_npi_write(cpuu_buf *out, const cpuu_npi *npi);
/* Name number `index`, 0 .. n-1. False: there is none. */
bool cpuu_npi_name_at(const cpuu_npi *npi, uint32_t index, cpuu_npi_name *out);
/* cpuu_named_here for a cpuu_npi. */
bool cpuu_npi_has(const void *npi, uint16_t id);

/*
 * PidTagExtendedRuleMessageCondition, [MS-OXORULE] 2.2.4.1.10: NamedPropertyInformation and a
 * restriction, normally CPUU_FORM_EXTENDED.
 */
bool cpuu_rule_condition_walk(cpuu_blob in, cpuu_form form, cpuu_npi *npi, cpuu_res_cb cb,
                              void *user, cpuu_fmt_error *err);
bool cpuu_rule_condition_rewrite(cpuu_blob in, cpuu_form form, cpuu_link_cb cb, void *user,
                                 cpuu_buf *out, bool *replaced, cpuu_fmt_error *err);

#ifdef __cplusplus
}
#endif
#endif
