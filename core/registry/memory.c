/* A registry in memory. apply() works on a copy that replaces the tree when all edits succeeded. */
#include "registry/backend.h"

typedef struct memory {
    cpuu_reg reg;
    cpuu_key *root;
} memory;

static cpuu_rc mem_keys(cpuu_reg *reg, const char *key, cpuu_reg_names *out, cpuu_error *err)
{
    return cpuu_tree_keys(((memory *)reg)->root, key, out, err);
}

static cpuu_rc mem_values(cpuu_reg *reg, const char *key, cpuu_reg_values *out, cpuu_error *err)
{
    return cpuu_tree_values(((memory *)reg)->root, key, out, err);
}

static cpuu_rc mem_check(cpuu_reg *reg, const cpuu_edits *edits, cpuu_error *err)
{
    cpuu_key *changed;
    cpuu_rc rc = cpuu_tree_changed(((memory *)reg)->root, edits, &changed, err);
    if (rc == CPUU_OK)
        cpuu_key_free(changed);
    return rc;
}

static cpuu_rc mem_apply(cpuu_reg *reg, const cpuu_edits *edits, cpuu_error *err)
{
    memory *m = (memory *)reg;
    cpuu_key *changed;
    cpuu_rc rc = cpuu_tree_changed(m->root, edits, &changed, err);
    if (rc != CPUU_OK)
        return rc;
    cpuu_key_free(m->root);
    m->root = changed;
    return CPUU_OK;
}

static void mem_close(cpuu_reg *reg)
{
    cpuu_key_free(((memory *)reg)->root);
    cpuu_free(reg);
}

static const cpuu_reg_ops ops = {mem_keys, mem_values, mem_check, mem_apply, NULL, NULL, mem_close};

cpuu_rc cpuu_reg_open_memory(cpuu_reg **out, cpuu_error *err)
{
    memory *m = cpuu_calloc(1, sizeof(*m));
    if (!m || !(m->root = cpuu_key_new("", 0))) {
        cpuu_free(m);
        return cpuu_nomem(err);
    }
    m->reg.ops = &ops;
    m->reg.location = "memory";
    *out = &m->reg;
    return CPUU_OK;
}
