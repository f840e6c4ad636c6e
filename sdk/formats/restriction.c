/* Restrictions; see cpuu/formats/restriction.h. */
#include "internal.h"

#include <cpuu/formats/restriction.h>

/* ---- widths of the three encodings ------------------------------------------------------------
 */

static uint32_t read_op(cpuu_reader *r, cpuu_form form, const char *field)
{
    return form == CPUU_FORM_SEARCH ? cpuu_read_u32(r, field) : cpuu_read_u8(r, field);
}

static bool write_op(cpuu_buf *out, cpuu_form form, uint32_t v)
{
    return form == CPUU_FORM_SEARCH ? cpuu_buf_u32(out, v) : cpuu_buf_u8(out, (uint8_t)v);
}

static uint32_t read_count(cpuu_reader *r, cpuu_form form)
{
    return form == CPUU_FORM_RULE ? cpuu_read_u16(r, "RestrictCount")
                                  : cpuu_read_u32(r, "RestrictCount");
}

static bool write_count(cpuu_buf *out, cpuu_form form, uint32_t n)
{
    if (form == CPUU_FORM_RULE && n > UINT16_MAX)
        out->failed = true;
    return form == CPUU_FORM_RULE ? cpuu_buf_u16(out, (uint16_t)n) : cpuu_buf_u32(out, n);
}

/* ---- one node -------------------------------------------------------------------------------- */

static void read_values(cpuu_reader *r, cpuu_form form, cpuu_res_node *n)
{
    cpuu_rawprop p;
    n->n_values = read_op(r, form, "TaggedValuesCount");
    uint32_t start = r->pos;
    n->values_at = r->base + start;
    for (uint32_t i = 0; i < n->n_values && cpuu_rawprop_read(r, form, &p); i++)
        ;
    n->values = (cpuu_blob){r->data + start, r->pos - start};
    n->op = cpuu_read_u8(r, "RestrictionPresent");
    n->n_children = n->op ? 1 : 0;
}

static void read_node(cpuu_reader *r, cpuu_form form, cpuu_res_node *n)
{
    n->type = read_op(r, form, "RestrictType");
    switch (n->type) {
    case CPUU_RES_AND:
    case CPUU_RES_OR:
        n->n_children = read_count(r, form);
        break;
    case CPUU_RES_NOT:
        n->n_children = 1;
        break;
    case CPUU_RES_CONTENT:
    case CPUU_RES_PROPERTY:
        n->op = n->type == CPUU_RES_CONTENT ? cpuu_read_u32(r, "FuzzyLevel")
                                            : read_op(r, form, "RelOp");
        n->tag = cpuu_read_u32(r, "PropTag");
        cpuu_rawprop_read(r, form, &n->value);
        break;
    case CPUU_RES_COMPARE:
        n->op = read_op(r, form, "RelOp");
        n->tag = cpuu_read_u32(r, "PropTag1");
        n->tag2 = cpuu_read_u32(r, "PropTag2");
        break;
    case CPUU_RES_BITMASK:
    case CPUU_RES_SIZE:
        n->op = read_op(r, form, "RelOp");
        n->tag = cpuu_read_u32(r, "PropTag");
        n->number = cpuu_read_u32(r, n->type == CPUU_RES_SIZE ? "Size" : "Mask");
        break;
    case CPUU_RES_EXIST:
        n->tag = cpuu_read_u32(r, "PropTag");
        break;
    case CPUU_RES_SUB:
        n->tag = cpuu_read_u32(r, "Subobject");
        n->n_children = 1;
        break;
    case CPUU_RES_COMMENT:
    case CPUU_RES_ANNOTATION:
        read_values(r, form, n);
        break;
    case CPUU_RES_COUNT:
        n->number = cpuu_read_u32(r, "Count");
        n->n_children = 1;
        break;
    default:
        cpuu_reader_fail(r, "RestrictType", "is not a known restriction type");
    }
}

bool cpuu_res_write(cpuu_buf *out, cpuu_form form, const cpuu_res_node *n)
{
    write_op(out, form, n->type);
    switch (n->type) {
    case CPUU_RES_AND:
    case CPUU_RES_OR:
        return write_count(out, form, n->n_children);
    case CPUU_RES_CONTENT:
        cpuu_buf_u32(out, n->op);
        cpuu_buf_u32(out, n->tag);
        return cpuu_rawprop_write(out, form, &n->value);
    case CPUU_RES_PROPERTY:
        write_op(out, form, n->op);
        cpuu_buf_u32(out, n->tag);
        return cpuu_rawprop_write(out, form, &n->value);
    case CPUU_RES_COMPARE:
        write_op(out, form, n->op);
        cpuu_buf_u32(out, n->tag);
        return cpuu_buf_u32(out, n->tag2);
    case CPUU_RES_BITMASK:
    case CPUU_RES_SIZE:
        write_op(out, form, n->op);
        cpuu_buf_u32(out, n->tag);
        return cpuu_buf_u32(out, n->number);
    case CPUU_RES_EXIST:
    case CPUU_RES_SUB:
        return cpuu_buf_u32(out, n->tag);
    case CPUU_RES_COMMENT:
    case CPUU_RES_ANNOTATION:
        write_op(out, form, n->n_values);
        fmt_add(out, n->values);
        return cpuu_buf_u8(out, (uint8_t)n->op);
    case CPUU_RES_COUNT:
        return cpuu_buf_u32(out, n->number);
    default:
        return !out->failed;
    }
}

/* ---- the walk -------------------------------------------------------------------------------- */

bool cpuu_res_walk(cpuu_reader *r, cpuu_form form, cpuu_res_cb cb, void *user)
{
    uint32_t pending[CPUU_RES_DEPTH + 1]; /* children still to come, per level */
    uint32_t depth = 0;
    pending[0] = 1;
    for (;;) {
        while (pending[depth] == 0) {
            if (depth == 0)
                return true;
            depth--;
        }
        pending[depth]--;
        cpuu_res_node node;
        memset(&node, 0, sizeof(node));
        node.depth = depth;
        read_node(r, form, &node);
        if (node.n_children && depth == CPUU_RES_DEPTH)
            cpuu_reader_fail(r, "RestrictType", "is nested too deeply");
        if (r->failed || !cb(user, &node))
            return false;
        if (node.n_children)
            pending[++depth] = node.n_children;
    }
}

/* ---- links ----------------------------------------------------------------------------------- */

typedef struct rewrite {
    cpuu_rewriter *w;
    cpuu_form form;
    cpuu_buf *out;
} rewrite;

/* Writes the node's value through the rewriter, in its place behind the fixed fields. */
static void rewrite_value(rewrite *x, const cpuu_res_node *n)
{
    if (n->type == CPUU_RES_CONTENT)
        cpuu_buf_u32(x->out, n->op);
    else
        write_op(x->out, x->form, n->op);
    cpuu_buf_u32(x->out, n->tag);
    cpuu_rewrite_rawprop(x->w, x->form, &n->value, x->out);
}

static void rewrite_values(rewrite *x, const cpuu_res_node *n)
{
    cpuu_reader r;
    cpuu_reader_init(&r, n->values.data, n->values.size);
    write_op(x->out, x->form, n->n_values);
    cpuu_rawprop_rewrite_row(&r, x->form, n->n_values, x->w, x->out);
    cpuu_buf_u8(x->out, (uint8_t)n->op);
}

static bool rewrite_node(void *user, const cpuu_res_node *node)
{
    rewrite *x = user;
    cpuu_res_node n = *node;
    n.tag = cpuu_rewrite_tag(x->w, n.tag, x->out);
    n.tag2 = cpuu_rewrite_tag(x->w, n.tag2, x->out);
    if (n.type == CPUU_RES_CONTENT || n.type == CPUU_RES_PROPERTY) {
        write_op(x->out, x->form, n.type);
        rewrite_value(x, &n);
    } else if (n.type == CPUU_RES_COMMENT || n.type == CPUU_RES_ANNOTATION) {
        write_op(x->out, x->form, n.type);
        rewrite_values(x, &n);
    } else {
        cpuu_res_write(x->out, x->form, &n);
    }
    return !x->out->failed;
}

bool cpuu_res_rewrite(cpuu_reader *r, cpuu_form form, cpuu_rewriter *w, cpuu_buf *out)
{
    rewrite x = {w, form, out};
    return cpuu_res_walk(r, form, rewrite_node, &x);
}

/* What both blobs end with: nothing may be left over, and the error goes to the caller. */
static bool finish(cpuu_reader *r, const cpuu_buf *out, cpuu_fmt_error *err)
{
    if (cpuu_reader_left(r) && !(out && out->failed))
        cpuu_reader_fail(r, "Restriction", "is followed by more bytes");
    return fmt_done(r, err) && (!out || fmt_wrote(out, err));
}

bool cpuu_restriction_rewrite(cpuu_blob in, cpuu_form form, cpuu_link_cb cb, void *user,
                              cpuu_buf *out, bool *replaced, cpuu_fmt_error *err)
{
    cpuu_reader r;
    cpuu_rewriter w = {cb, user, NULL, NULL, false};
    cpuu_reader_init(&r, in.data, in.size);
    cpuu_res_rewrite(&r, form, &w, out);
    if (!finish(&r, out, err))
        return false;
    if (replaced && w.replaced)
        *replaced = true;
    return true;
}

/* ---- NamedPropertyInformation, [MS-OXORULE] 2.2.4.2; PropertyName, [MS-OXCDATA] 2.6.1
 * ---------------- */

static void read_name(cpuu_reader *r, cpuu_npi_name *name)
{
    name->kind = cpuu_read_u8(r, "Kind");
    fmt_copy(r, name->guid, sizeof(name->guid), "GUID");
    if (name->kind == 0)
        name->number = cpuu_read_u32(r, "LID");
    else if (name->kind == 1)
        name->text = fmt_blob(r, cpuu_read_u8(r, "NameSize"), "Name");
    else if (name->kind != 0xff)
        cpuu_reader_fail(r, "Kind", "is not a known kind of property name");
}

bool cpuu_npi_read(cpuu_reader *r, cpuu_npi *out)
{
    cpuu_npi npi;
    memset(&npi, 0, sizeof(npi));
    npi.n = cpuu_read_u16(r, "NoOfNamedProps");
    if (npi.n) {
        npi.ids = fmt_blob(r, 2u * npi.n, "PropIds");
        cpuu_reader names =
            cpuu_reader_sub(r, cpuu_read_u32(r, "NamedPropertiesSize"), "NamedProperties");
        npi.names = (cpuu_blob){names.data, names.size};
        npi.names_at = names.base;
        for (uint32_t i = 0; i < npi.n && !names.failed; i++) {
            cpuu_npi_name name;
            read_name(&names, &name);
        }
        if (cpuu_reader_left(&names))
            cpuu_reader_fail(&names, "NamedPropertiesSize", "is larger than the names in it");
        cpuu_reader_join(r, &names);
    }
    if (r->failed)
        return false;
    *out = npi;
    return true;
}

bool cpuu_npi_write(cpuu_buf *out, const cpuu_npi *npi)
{
    cpuu_buf_u16(out, npi->n);
    if (npi->n == 0)
        return !out->failed;
    fmt_add(out, npi->ids);
    cpuu_buf_u32(out, npi->names.size);
    return fmt_add(out, npi->names);
}

bool cpuu_npi_name_at(const cpuu_npi *npi, uint32_t index, cpuu_npi_name *out)
{
    cpuu_reader r;
    if (index >= npi->n)
        return false;
    cpuu_reader_init(&r, npi->names.data, npi->names.size);
    cpuu_npi_name name;
    for (uint32_t i = 0; i <= index; i++) {
        memset(&name, 0, sizeof(name));
        read_name(&r, &name);
    }
    if (r.failed)
        return false;
    name.id = cpuu_le16(npi->ids.data + 2 * index);
    *out = name;
    return true;
}

bool cpuu_npi_has(const void *context, uint16_t id)
{
    const cpuu_npi *npi = context;
    for (uint32_t i = 0; i < npi->n; i++)
        if (cpuu_le16(npi->ids.data + 2 * i) == id)
            return true;
    return false;
}

/* ---- condition of an extended rule, [MS-OXORULE] 2.2.4.1.10
 * ---------------------------------------- */

bool cpuu_rule_condition_walk(cpuu_blob in, cpuu_form form, cpuu_npi *npi, cpuu_res_cb cb,
                              void *user, cpuu_fmt_error *err)
{
    cpuu_reader r;
    cpuu_reader_init(&r, in.data, in.size);
    bool walked = cpuu_npi_read(&r, npi) && cpuu_res_walk(&r, form, cb, user);
    if (!walked && !r.failed)
        return false;
    return finish(&r, NULL, err);
}

bool cpuu_rule_condition_rewrite(cpuu_blob in, cpuu_form form, cpuu_link_cb cb, void *user,
                                 cpuu_buf *out, bool *replaced, cpuu_fmt_error *err)
{
    cpuu_reader r;
    cpuu_npi npi;
    cpuu_rewriter w = {cb, user, cpuu_npi_has, &npi, false};
    cpuu_reader_init(&r, in.data, in.size);
    if (cpuu_npi_read(&r, &npi) && cpuu_npi_write(out, &npi))
        cpuu_res_rewrite(&r, form, &w, out);
    if (!finish(&r, out, err))
        return false;
    if (replaced && w.replaced)
        *replaced = true;
    return true;
}
