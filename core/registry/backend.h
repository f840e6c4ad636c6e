/*
 * Inside registry/: what a backend provides, and the key tree that the memory and hive backends
 * keep. A tree is changed by cpuu_tree_changed only, so that edits mean the same everywhere.
 */
#ifndef CPUU_REGISTRY_BACKEND_H
#define CPUU_REGISTRY_BACKEND_H

#include "registry/registry.h"

/* Limits of the registry itself: Microsoft Learn, "Registry element size limits". */
#define CPUU_REG_MAX_KEY_NAME   255u   /* UTF-16 code units of one component */
#define CPUU_REG_MAX_VALUE_NAME 16383u /* UTF-16 code units */
#define CPUU_REG_MAX_DEPTH      512u   /* levels below the root */

typedef struct cpuu_reg_ops {
    cpuu_rc (*keys)(cpuu_reg *reg, const char *key, cpuu_reg_names *out, cpuu_error *err);
    cpuu_rc (*values)(cpuu_reg *reg, const char *key, cpuu_reg_values *out, cpuu_error *err);
    cpuu_rc (*check)(cpuu_reg *reg, const cpuu_edits *edits, cpuu_error *err);
    cpuu_rc (*apply)(cpuu_reg *reg, const cpuu_edits *edits, cpuu_error *err);
    const char *(*hive_path)(const cpuu_reg *reg); /* NULL = not a hive */
    void (*rest)(cpuu_reg *reg);                   /* NULL = needs none */
    void (*close)(cpuu_reg *reg);                  /* frees reg, too */
} cpuu_reg_ops;

struct cpuu_reg { /* first member of every backend's own structure */
    const cpuu_reg_ops *ops;
    const char *location; /* borrowed from the backend */
};

/* Appends copies. CPUU_OK or CPUU_E_NOMEM. */
cpuu_rc cpuu_reg_names_add(cpuu_reg_names *list, size_t *cap, const char *name);
cpuu_rc cpuu_reg_values_add(cpuu_reg_values *list, size_t *cap, const cpuu_reg_value *v);

/* ---- paths ----------------------------------------------------------------------------------- */

/* The next component at *path, which is moved behind it; false at the end. Skips empty ones. */
bool cpuu_reg_part(const char **path, const char **part, size_t *size);
/* When `path` names `key` or something below it: the rest ("" for the key itself); else NULL. */
const char *cpuu_reg_below(const char *key, const char *path);
/* True when edits to `a` and `b` concern the same key. */
bool cpuu_reg_same_key(const char *a, const char *b);

/* ---- a tree of keys -------------------------------------------------------------------------- */

typedef struct cpuu_key {
    char *name;
    cpuu_reg_value *values;
    size_t n_values, cap_values;
    struct cpuu_key **kids;
    size_t n_kids, cap_kids;
    unsigned shared; /* owners beside the first */
    uint32_t cell;   /* where a hive keeps it; 0: a hive does not know it yet */
    uint32_t rank;   /* its number among the keys of its parent there, from 1 */
    bool odd; /* holds what only the file can express: its values must not be rewritten */
    bool borrowed; /* the data of the values belong to somebody who lives longer */
    bool stub;     /* only its name, its cell and its rank are known; never changed */
    bool changed;  /* by edits, here or below; the tree it comes from has another of this name */
    bool values_changed; /* of such a key: its values were edited */
} cpuu_key;

cpuu_key *cpuu_key_new(const char *name, size_t size); /* NULL: out of memory */
/* Ends one ownership; the last frees. */
void cpuu_key_free(cpuu_key *key);
/* NULL when there is none. */
cpuu_key *cpuu_key_find(const cpuu_key *root, const char *path);
cpuu_key *cpuu_key_child(const cpuu_key *key, const char *name, size_t size);
/* Takes over `kid` on success. */
bool cpuu_key_add(cpuu_key *key, cpuu_key *kid);
/* Appends, without looking for one of the same name; copies. */
bool cpuu_key_add_value(cpuu_key *key, const char *name, uint32_t type, const void *data,
                        uint32_t size);
/* Index of the value of that name, n_values when there is none. */
size_t cpuu_key_value(const cpuu_key *key, const char *name);

/* The tree with the edits applied; the caller frees it. It shares the keys that no edit concerns
 * with root, and is freed before what the values of root borrow from. */
cpuu_rc cpuu_tree_changed(const cpuu_key *root, const cpuu_edits *edits, cpuu_key **out,
                          cpuu_error *err);
cpuu_rc cpuu_tree_keys(const cpuu_key *root, const char *path, cpuu_reg_names *out,
                       cpuu_error *err);
cpuu_rc cpuu_tree_values(const cpuu_key *root, const char *path, cpuu_reg_values *out,
                         cpuu_error *err);

#endif
