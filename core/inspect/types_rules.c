/* Trees of rules, restrictions and property streams. */
#include "config.h"

#include "inspect/types.h"

#include <cpuu/formats/restriction.h>
#include <cpuu/formats/ruleaction.h>
#include <cpuu/formats/rulestream.h>

#include <string.h>

static bool ended(const cpuu_reader *r, cpuu_fmt_error *err)
{
    if (r->failed)
        *err = r->error;
    return !r->failed;
}

/* ---- restrictions ---------------------------------------------------------------------------- */

static const char *const res_names[] = {"AND",     "OR",      "NOT",       "CONTENT", "PROPERTY",
                                        "COMPARE", "BITMASK", "SIZE",      "EXIST",   "SUBOBJECT",
                                        "COMMENT", "COUNT",   "ANNOTATION"};

typedef struct res_tree {
    printer *p;
    uint32_t open; /* nodes whose children are being shown */
} res_tree;

static bool res_node(void *user, const cpuu_res_node *n)
{
    res_tree *t = user;
    const char *name = n->type < 13 ? res_names[n->type] : "unknown";
    for (; t->open > n->depth; t->open--)
        print_close(t->p);
    switch (n->type) {
    case CPUU_RES_AND:
    case CPUU_RES_OR:
        print_open(t->p, NO_OFFSET, name, "%u parts", n->n_children);
        break;
    case CPUU_RES_CONTENT:
    case CPUU_RES_PROPERTY:
        print_open(t->p, NO_OFFSET, name, "%08x, %s 0x%x", n->tag,
                   n->type == CPUU_RES_CONTENT ? "fuzzy level" : "operator", n->op);
        print_prop(t->p, print_offset(t->p, n->value.value), n->value.tag, n->value.value);
        break;
    case CPUU_RES_BITMASK:
        print_open(t->p, NO_OFFSET, name, "%08x & 0x%x %s 0", n->tag, n->number,
                   n->op ? "!=" : "==");
        break;
    case CPUU_RES_COMPARE:
        print_open(t->p, NO_OFFSET, name, "%08x, %08x, operator 0x%x", n->tag, n->tag2, n->op);
        break;
    case CPUU_RES_SIZE:
        print_open(t->p, NO_OFFSET, name, "%08x, operator 0x%x, %u bytes", n->tag, n->op,
                   n->number);
        break;
    case CPUU_RES_COMMENT:
    case CPUU_RES_ANNOTATION:
        print_open(t->p, n->values_at, name, "%u values", n->n_values);
        break;
    default:
        print_open(t->p, NO_OFFSET, name, "%08x", n->tag);
    }
    t->open++;
    return true;
}

static void res_end(res_tree *t)
{
    for (; t->open; t->open--)
        print_close(t->p);
}

static bool restriction(printer *p, cpuu_blob in, cpuu_form form, cpuu_fmt_error *err)
{
    res_tree t = {p, 0};
    cpuu_reader r;
    cpuu_reader_init(&r, in.data, in.size);
    cpuu_res_walk(&r, form, res_node, &t);
    res_end(&t);
    if (cpuu_reader_left(&r))
        cpuu_reader_fail(&r, "restriction", "is followed by more bytes");
    return ended(&r, err);
}

bool print_restriction(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    return restriction(p, in, CPUU_FORM_SEARCH, err);
}

static void print_names(printer *p, const cpuu_npi *npi)
{
    cpuu_npi_name name;
    if (npi->n == 0)
        return;
    print_open(p, npi->names_at, "named properties", "%u", npi->n);
    for (uint32_t i = 0; i < npi->n && cpuu_npi_name_at(npi, i, &name); i++) {
        char id[8];
        snprintf(id, sizeof(id), "%04x", name.id);
        print_open(p, NO_OFFSET, id, NULL);
        print_guid(p, NO_OFFSET, "set", name.guid);
        if (name.kind == 1)
            print_text16(p, "name", name.text);
        else
            print_leaf(p, NO_OFFSET, "number", "0x%x", name.number);
        print_close(p);
    }
    print_close(p);
}

static bool named_condition(printer *p, cpuu_blob in, cpuu_form form, cpuu_fmt_error *err)
{
    cpuu_npi npi;
    res_tree t = {p, 0};
    cpuu_reader r;
    cpuu_reader_init(&r, in.data, in.size);
    if (cpuu_npi_read(&r, &npi))
        print_names(p, &npi);
    cpuu_res_walk(&r, form, res_node, &t);
    res_end(&t);
    return ended(&r, err);
}

bool print_ext_condition(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    return named_condition(p, in, CPUU_FORM_EXTENDED, err);
}

static bool ignore_node(void *user, const cpuu_res_node *node)
{
    (void)user;
    (void)node;
    return true;
}

/* The condition of a rule is a restriction; some programs keep the names of its properties before
 * it, as in extended rules. */
static bool is_plain(cpuu_blob in)
{
    cpuu_reader r;
    cpuu_reader_init(&r, in.data, in.size);
    return cpuu_res_walk(&r, CPUU_FORM_RULE, ignore_node, NULL) && cpuu_reader_left(&r) == 0;
}

bool print_rule_condition(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    return is_plain(in) ? restriction(p, in, CPUU_FORM_RULE, err)
                        : named_condition(p, in, CPUU_FORM_RULE, err);
}

bool rewrite_restriction(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                         cpuu_fmt_error *err)
{
    return cpuu_restriction_rewrite(in, CPUU_FORM_SEARCH, cb, user, out, replaced, err);
}

bool rewrite_rule_condition(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out,
                            bool *replaced, cpuu_fmt_error *err)
{
    return is_plain(in)
               ? cpuu_restriction_rewrite(in, CPUU_FORM_RULE, cb, user, out, replaced, err)
               : cpuu_rule_condition_rewrite(in, CPUU_FORM_RULE, cb, user, out, replaced, err);
}

bool rewrite_ext_condition(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                           cpuu_fmt_error *err)
{
    return cpuu_rule_condition_rewrite(in, CPUU_FORM_EXTENDED, cb, user, out, replaced, err);
}

/* ---- property streams --------------------------------------------------------------------------
 */

static void property_row(printer *p, cpuu_reader *r, cpuu_form form, uint32_t n)
{
    cpuu_rawprop prop;
    for (uint32_t i = 0; i < n && cpuu_reader_left(r); i++) {
        uint32_t at = r->base + r->pos;
        if (!cpuu_rawprop_read(r, form, &prop))
            return;
        print_prop(p, at, prop.tag, prop.value);
    }
}

bool print_properties(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    cpuu_reader r;
    cpuu_reader_init(&r, in.data, in.size);
    property_row(p, &r, CPUU_FORM_SEARCH, UINT32_MAX);
    return ended(&r, err);
}

bool rewrite_properties(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                        cpuu_fmt_error *err)
{
    cpuu_reader r;
    cpuu_rewriter w = {cb, user, NULL, NULL, false};
    cpuu_reader_init(&r, in.data, in.size);
    while (cpuu_reader_left(&r) && !out->failed)
        cpuu_rawprop_rewrite_row(&r, CPUU_FORM_SEARCH, 1, &w, out);
    if (out->failed && !r.failed)
        cpuu_reader_fail(&r, "output", "is over its limit, or memory ran out");
    if (w.replaced && replaced)
        *replaced = true;
    if (r.failed && err)
        *err = r.error;
    return !r.failed;
}

/* ---- actions --------------------------------------------------------------------------------- */

static const char *const op_names[] = {"",          "MOVE",  "COPY",   "REPLY",
                                       "OOF_REPLY", "DEFER", "BOUNCE", "FORWARD",
                                       "DELEGATE",  "TAG",   "DELETE", "MARK_READ"};

static void move_action(printer *p, const cpuu_rule_action *a, cpuu_form form)
{
    cpuu_rule_move m;
    if (!cpuu_rule_move_decode(a, form, &m, NULL)) {
        print_hex(p, "data", a->data);
        return;
    }
    if (form == CPUU_FORM_RULE)
        print_leaf(p, NO_OFFSET, "in this store", "%s", m.ours ? "yes" : "no");
    if (!m.ours)
        print_eid(p, "store", m.store);
    if (m.ours)
        print_hex(p, "folder", m.folder);
    else
        print_eid(p, "folder", m.folder);
}

static void reply_action(printer *p, const cpuu_rule_action *a, cpuu_form form)
{
    cpuu_rule_reply reply;
    if (!cpuu_rule_reply_decode(a, form, &reply, NULL)) {
        print_hex(p, "data", a->data);
        return;
    }
    if (form == CPUU_FORM_EXTENDED) {
        print_eid(p, "template", reply.message);
    } else {
        print_hex(p, "FID", (cpuu_blob){reply.fid, 8});
        print_hex(p, "MID", (cpuu_blob){reply.mid, 8});
    }
    print_guid(p, NO_OFFSET, "template GUID", reply.guid);
}

static void forward_action(printer *p, const cpuu_rule_action *a, cpuu_form form)
{
    cpuu_rule_recipients list;
    cpuu_rule_recipient who;
    if (!cpuu_rule_recipients_open(a, form, &list, NULL)) {
        print_hex(p, "data", a->data);
        return;
    }
    while (cpuu_rule_recipient_next(&list, &who)) {
        cpuu_reader r;
        cpuu_reader_init(&r, who.values.data, who.values.size);
        r.base = who.values_at;
        print_open(p, who.values_at, "recipient", "%u properties", who.n);
        property_row(p, &r, form, who.n);
        print_close(p);
    }
}

static bool rule_stream(printer *p, cpuu_blob in, cpuu_xr_form form, cpuu_fmt_error *err);

static void action_data(printer *p, const cpuu_rule_action *a, cpuu_form form)
{
    cpuu_fmt_error ignored;
    cpuu_reader r;
    switch (a->type) {
    case CPUU_OP_MOVE:
    case CPUU_OP_COPY:
        move_action(p, a, form);
        break;
    case CPUU_OP_REPLY:
    case CPUU_OP_OOF_REPLY:
        reply_action(p, a, form);
        break;
    case CPUU_OP_FORWARD:
    case CPUU_OP_DELEGATE:
        forward_action(p, a, form);
        break;
    case CPUU_OP_TAG:
        cpuu_reader_init(&r, a->data.data, a->data.size);
        r.base = a->data_at;
        property_row(p, &r, form, 1);
        break;
    case CPUU_OP_DEFER:
        if (cpuu_xr_is_defer(a->data) && rule_stream(p, a->data, CPUU_XR_DEFER, &ignored))
            break;
        print_hex(p, "data", a->data);
        break;
    default:
        if (a->data.size)
            print_hex(p, "data", a->data);
    }
}

static bool actions(printer *p, cpuu_blob in, cpuu_form form, cpuu_fmt_error *err)
{
    cpuu_rule_actions list;
    cpuu_rule_action a;
    if (!cpuu_rule_actions_open(in, form, &list, err))
        return false;
    if (form == CPUU_FORM_EXTENDED) {
        print_names(p, &list.names);
        print_leaf(p, NO_OFFSET, "version", "%u", list.version);
    }
    while (cpuu_rule_action_next(&list, &a)) {
        const char *name = a.type < 12 && a.type ? op_names[a.type] : "unknown action";
        print_open(p, print_offset(p, a.data), name, "flavor 0x%x, flags 0x%x", a.flavor, a.flags);
        action_data(p, &a, form);
        print_close(p);
    }
    return ended(&list.rest, err);
}

bool print_rule_actions(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    return actions(p, in, CPUU_FORM_RULE, err);
}

bool print_ext_actions(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    return actions(p, in, CPUU_FORM_EXTENDED, err);
}

bool rewrite_rule_actions(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                          cpuu_fmt_error *err)
{
    return cpuu_rule_actions_rewrite(in, CPUU_FORM_RULE, cb, user, out, replaced, err);
}

bool rewrite_ext_actions(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                         cpuu_fmt_error *err)
{
    return cpuu_rule_actions_rewrite(in, CPUU_FORM_EXTENDED, cb, user, out, replaced, err);
}

/* ---- Outlook's rule stream ---------------------------------------------------------------------
 */

typedef struct xr_tree {
    printer *p;
    uint32_t base;
    bool rule, element; /* open nodes */
} xr_tree;

static void xr_close(xr_tree *t, bool rule_too)
{
    if (t->element)
        print_close(t->p);
    t->element = false;
    if (rule_too && t->rule)
        print_close(t->p);
    if (rule_too)
        t->rule = false;
}

static void xr_value(xr_tree *t, const cpuu_xr_item *i, uint32_t at)
{
    uint32_t v = 0;
    switch (i->what) {
    case CPUU_XR_NUMBER:
        for (uint32_t k = i->value.size; k-- > 0;)
            v = v << 8 | i->value.data[k];
        print_leaf(t->p, at, i->field, "%u (0x%x)", v, v);
        break;
    case CPUU_XR_TEXT:
        print_text16(t->p, i->field, i->value);
        break;
    case CPUU_XR_TEXT8:
        print_text8(t->p, i->field, i->value);
        break;
    case CPUU_XR_EID:
        print_eid(t->p, i->field, i->value);
        break;
    case CPUU_XR_VALUE:
        print_prop(t->p, at, i->tag, i->value);
        break;
    case CPUU_XR_TAG:
        print_leaf(t->p, at, i->field, "%08x", i->tag);
        break;
    default:
        print_hex(t->p, i->field, i->value);
    }
}

static bool xr_item(void *user, const cpuu_xr_item *i)
{
    xr_tree *t = user;
    uint32_t at = t->base == NO_OFFSET ? NO_OFFSET : t->base + i->offset;
    const char *kind = cpuu_xr_kind_name(i->kind);
    if (i->what == CPUU_XR_RULE) {
        xr_close(t, true);
        print_open(t->p, at, "rule", "%u", i->rule);
        t->rule = true;
    } else if (i->what == CPUU_XR_ELEMENT) {
        xr_close(t, false);
        print_open(t->p, at, "element", "%u %s", i->kind, kind ? kind : "unknown");
        t->element = true;
    } else if (i->what != CPUU_XR_INDEX) {
        if (i->element == UINT32_MAX)
            xr_close(t, false);
        xr_value(t, i, at);
    }
    return true;
}

static bool rule_stream(printer *p, cpuu_blob in, cpuu_xr_form form, cpuu_fmt_error *err)
{
    xr_tree t = {p, print_offset(p, in), false, false};
    uint32_t opaque = 0;
    bool ok = cpuu_xr_walk(in, form, xr_item, &t, &opaque, err);
    xr_close(&t, true);
    if (opaque)
        print_leaf(p, NO_OFFSET, "rules not taken apart", "%u", opaque);
    return ok;
}

bool print_rule_stream(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    return rule_stream(p, in, CPUU_XR_STREAM, err);
}

bool print_defer(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    return rule_stream(p, in, CPUU_XR_DEFER, err);
}

bool rewrite_rule_stream(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                         cpuu_fmt_error *err)
{
    uint32_t opaque;
    return cpuu_xr_rewrite(in, CPUU_XR_STREAM, cb, user, out, replaced, &opaque, err);
}

bool rewrite_defer(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                   cpuu_fmt_error *err)
{
    uint32_t opaque;
    return cpuu_xr_rewrite(in, CPUU_XR_DEFER, cb, user, out, replaced, &opaque, err);
}
