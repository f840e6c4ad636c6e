/* Rule actions; see cpuu/formats/ruleaction.h. */
#include "internal.h"

#include <cpuu/formats/entryid.h>
#include <cpuu/formats/ruleaction.h>
#include <cpuu/formats/rulestream.h>

static uint32_t read_len(cpuu_reader *r, cpuu_form form, const char *field)
{
    return form == CPUU_FORM_EXTENDED ? cpuu_read_u32(r, field) : cpuu_read_u16(r, field);
}

static bool write_len(cpuu_buf *out, cpuu_form form, size_t n)
{
    if (form == CPUU_FORM_EXTENDED)
        return cpuu_buf_u32(out, (uint32_t)n);
    if (n > UINT16_MAX)
        out->failed = true;
    return cpuu_buf_u16(out, (uint16_t)n);
}

/* ---- the list -------------------------------------------------------------------------------- */

bool cpuu_rule_actions_open(cpuu_blob in, cpuu_form form, cpuu_rule_actions *out,
                            cpuu_fmt_error *err)
{
    cpuu_rule_actions a;
    memset(&a, 0, sizeof(a));
    a.form = form;
    cpuu_reader_init(&a.rest, in.data, in.size);
    if (form == CPUU_FORM_EXTENDED && cpuu_npi_read(&a.rest, &a.names)) {
        a.version = cpuu_read_u32(&a.rest, "RuleVersion");
        if (a.version != 1)
            cpuu_reader_fail(&a.rest, "RuleVersion", "is not 1");
    }
    a.n = read_len(&a.rest, form, "NoOfActions");
    if (!fmt_done(&a.rest, err))
        return false;
    *out = a;
    return true;
}

bool cpuu_rule_action_next(cpuu_rule_actions *a, cpuu_rule_action *out)
{
    if (a->n == 0) {
        if (cpuu_reader_left(&a->rest))
            cpuu_reader_fail(&a->rest, "ActionBlocks", "are followed by more bytes");
        return false;
    }
    cpuu_rule_action action;
    cpuu_reader block =
        cpuu_reader_sub(&a->rest, read_len(&a->rest, a->form, "ActionLength"), "ActionBlock");
    action.type = cpuu_read_u8(&block, "ActionType");
    action.flavor = cpuu_read_u32(&block, "ActionFlavor");
    action.flags = cpuu_read_u32(&block, "ActionFlags");
    action.data_at = block.base + block.pos;
    action.data = fmt_blob_left(&block, "ActionData");
    if (!cpuu_reader_join(&a->rest, &block))
        return false;
    a->n--;
    *out = action;
    return true;
}

bool cpuu_rule_actions_begin(cpuu_buf *out, cpuu_form form, const cpuu_npi *names, uint32_t version,
                             uint32_t n)
{
    static const cpuu_npi none;
    if (form == CPUU_FORM_EXTENDED) {
        cpuu_npi_write(out, names ? names : &none);
        cpuu_buf_u32(out, version);
    }
    return write_len(out, form, n);
}

bool cpuu_rule_action_write(cpuu_buf *out, cpuu_form form, const cpuu_rule_action *a)
{
    write_len(out, form, (size_t)a->data.size + 9);
    cpuu_buf_u8(out, (uint8_t)a->type);
    cpuu_buf_u32(out, a->flavor);
    cpuu_buf_u32(out, a->flags);
    return fmt_add(out, a->data);
}

/* ---- the data of one action -------------------------------------------------------------------
 */

static cpuu_reader data_reader(const cpuu_rule_action *a)
{
    cpuu_reader r;
    cpuu_reader_init(&r, a->data.data, a->data.size);
    r.base = a->data_at;
    return r;
}

bool cpuu_rule_move_decode(const cpuu_rule_action *a, cpuu_form form, cpuu_rule_move *out,
                           cpuu_fmt_error *err)
{
    cpuu_reader r = data_reader(a);
    cpuu_rule_move m;
    memset(&m, 0, sizeof(m));
    if (form == CPUU_FORM_RULE)
        m.ours = cpuu_read_u8(&r, "FolderInThisStore");
    m.store = fmt_blob(&r, read_len(&r, form, "StoreEIDSize"), "StoreEID");
    m.folder = fmt_blob(&r, read_len(&r, form, "FolderEIDSize"), "FolderEID");
    m.rest = fmt_blob_left(&r, "rest");
    if (!fmt_done(&r, err))
        return false;
    *out = m;
    return true;
}

bool cpuu_rule_move_encode(cpuu_buf *out, cpuu_form form, const cpuu_rule_move *m)
{
    if (form == CPUU_FORM_RULE)
        cpuu_buf_u8(out, m->ours);
    write_len(out, form, m->store.size);
    fmt_add(out, m->store);
    write_len(out, form, m->folder.size);
    fmt_add(out, m->folder);
    return fmt_add(out, m->rest);
}

bool cpuu_rule_reply_decode(const cpuu_rule_action *a, cpuu_form form, cpuu_rule_reply *out,
                            cpuu_fmt_error *err)
{
    cpuu_reader r = data_reader(a);
    cpuu_rule_reply y;
    memset(&y, 0, sizeof(y));
    if (form == CPUU_FORM_RULE) {
        fmt_copy(&r, y.fid, sizeof(y.fid), "ReplyTemplateFID");
        fmt_copy(&r, y.mid, sizeof(y.mid), "ReplyTemplateMID");
    } else {
        y.message = fmt_blob(&r, cpuu_read_u32(&r, "MessageEIDSize"), "ReplyTemplateMessageEID");
    }
    fmt_copy(&r, y.guid, sizeof(y.guid), "ReplyTemplateGUID");
    y.rest = fmt_blob_left(&r, "rest");
    if (!fmt_done(&r, err))
        return false;
    *out = y;
    return true;
}

bool cpuu_rule_reply_encode(cpuu_buf *out, cpuu_form form, const cpuu_rule_reply *y)
{
    if (form == CPUU_FORM_RULE) {
        cpuu_buf_add(out, y->fid, sizeof(y->fid));
        cpuu_buf_add(out, y->mid, sizeof(y->mid));
    } else {
        cpuu_buf_u32(out, y->message.size);
        fmt_add(out, y->message);
    }
    cpuu_buf_add(out, y->guid, sizeof(y->guid));
    return fmt_add(out, y->rest);
}

/* ---- recipients ------------------------------------------------------------------------------ */

static uint32_t read_recipient_count(cpuu_rule_recipients *l, const char *field)
{
    return l->narrow ? cpuu_read_u16(&l->rest, field) : cpuu_read_u32(&l->rest, field);
}

static bool write_recipient_count(cpuu_buf *out, bool narrow, uint32_t n)
{
    return narrow ? cpuu_buf_u16(out, (uint16_t)n) : cpuu_buf_u32(out, n);
}

bool cpuu_rule_recipient_next(cpuu_rule_recipients *l, cpuu_rule_recipient *out)
{
    cpuu_rule_recipient c;
    cpuu_rawprop p;
    if (l->n == 0)
        return false;
    c.reserved = cpuu_read_u8(&l->rest, "Reserved");
    c.n = read_recipient_count(l, "NoOfProperties");
    uint32_t start = l->rest.pos;
    for (uint32_t i = 0; i < c.n && cpuu_rawprop_read(&l->rest, l->form, &p); i++)
        ;
    if (l->rest.failed)
        return false;
    c.values = (cpuu_blob){l->rest.data + start, l->rest.pos - start};
    c.values_at = l->rest.base + start;
    l->n--;
    *out = c;
    return true;
}

/* Opens with one width of counts; true when all recipients can be read and nothing is left. */
static bool try_recipients(const cpuu_rule_action *a, cpuu_form form, bool narrow,
                           cpuu_rule_recipients *list, cpuu_fmt_error *err)
{
    cpuu_rule_recipient c;
    memset(list, 0, sizeof(*list));
    list->form = form;
    list->narrow = narrow;
    list->rest = data_reader(a);
    list->n = read_recipient_count(list, "RecipientCount");
    cpuu_rule_recipients probe = *list;
    while (cpuu_rule_recipient_next(&probe, &c))
        ;
    if (cpuu_reader_left(&probe.rest))
        cpuu_reader_fail(&probe.rest, "RecipientBlocks", "are followed by more bytes");
    return fmt_done(&probe.rest, err);
}

bool cpuu_rule_recipients_open(const cpuu_rule_action *a, cpuu_form form, cpuu_rule_recipients *out,
                               cpuu_fmt_error *err)
{
    cpuu_rule_recipients list;
    bool narrow = form == CPUU_FORM_RULE && try_recipients(a, form, true, &list, NULL);
    if (!narrow && !try_recipients(a, form, false, &list, err))
        return false;
    *out = list;
    return true;
}

/* ---- links ----------------------------------------------------------------------------------- */

typedef struct rewrite {
    cpuu_rewriter w;
    cpuu_form form;
    cpuu_buf data; /* ActionData being made */
    cpuu_fmt_error error;
    bool damaged;
} rewrite;

static void rewrite_server_eid(rewrite *x, cpuu_blob folder, cpuu_buf *out)
{
    cpuu_server_eid eid;
    cpuu_buf fid;
    if (!cpuu_server_eid_decode(folder, &eid, NULL) || eid.ours != 1) {
        fmt_add(out, folder);
        return;
    }
    cpuu_buf_init(&fid, 64);
    if (cpuu_link_ask(x->w.cb, x->w.user, CPUU_LINK_FID, (cpuu_blob){eid.fid, sizeof(eid.fid)},
                      &fid, &x->w.replaced) &&
        fid.size == sizeof(eid.fid)) {
        memcpy(eid.fid, fid.data, sizeof(eid.fid));
        cpuu_server_eid_encode(&eid, out);
    } else {
        out->failed = true;
    }
    cpuu_buf_free(&fid);
}

static bool rewrite_move(rewrite *x, const cpuu_rule_action *a)
{
    cpuu_rule_move m;
    cpuu_buf store, folder;
    cpuu_eid eid;
    if (!cpuu_rule_move_decode(a, x->form, &m, &x->error))
        return false;
    cpuu_buf_init(&store, x->data.max);
    cpuu_buf_init(&folder, x->data.max);
    if (cpuu_eid_decode(m.store, &eid, NULL) && eid.kind != CPUU_EID_UNKNOWN)
        cpuu_eid_rewrite(m.store, x->w.cb, x->w.user, &store, &x->w.replaced);
    else
        fmt_add(&store, m.store);
    if (m.ours)
        rewrite_server_eid(x, m.folder, &folder);
    else
        cpuu_eid_rewrite(m.folder, x->w.cb, x->w.user, &folder, &x->w.replaced);
    if (store.failed || folder.failed)
        x->data.failed = true;
    m.store = (cpuu_blob){store.data, (uint32_t)store.size};
    m.folder = (cpuu_blob){folder.data, (uint32_t)folder.size};
    cpuu_rule_move_encode(&x->data, x->form, &m);
    cpuu_buf_free(&store);
    cpuu_buf_free(&folder);
    return true;
}

static bool rewrite_reply(rewrite *x, const cpuu_rule_action *a)
{
    cpuu_rule_reply y;
    cpuu_buf message;
    if (!cpuu_rule_reply_decode(a, x->form, &y, &x->error))
        return false;
    if (x->form == CPUU_FORM_RULE) {
        fmt_add(&x->data, a->data);
        return true;
    }
    cpuu_buf_init(&message, x->data.max);
    if (!cpuu_eid_rewrite(y.message, x->w.cb, x->w.user, &message, &x->w.replaced))
        x->data.failed = true;
    y.message = (cpuu_blob){message.data, (uint32_t)message.size};
    cpuu_rule_reply_encode(&x->data, x->form, &y);
    cpuu_buf_free(&message);
    return true;
}

static bool rewrite_recipients(rewrite *x, const cpuu_rule_action *a)
{
    cpuu_rule_recipients list;
    cpuu_rule_recipient c;
    if (!cpuu_rule_recipients_open(a, x->form, &list, &x->error))
        return false;
    write_recipient_count(&x->data, list.narrow, list.n);
    while (cpuu_rule_recipient_next(&list, &c) && !x->data.failed) {
        cpuu_reader r;
        cpuu_reader_init(&r, c.values.data, c.values.size);
        cpuu_buf_u8(&x->data, c.reserved);
        write_recipient_count(&x->data, list.narrow, c.n);
        cpuu_rawprop_rewrite_row(&r, x->form, c.n, &x->w, &x->data);
    }
    return true;
}

static bool rewrite_tag(rewrite *x, const cpuu_rule_action *a)
{
    cpuu_reader r = data_reader(a);
    if (cpuu_rawprop_rewrite_row(&r, x->form, 1, &x->w, &x->data))
        fmt_add(&x->data, fmt_blob_left(&r, "rest"));
    return fmt_done(&r, &x->error);
}

static bool rewrite_defer(rewrite *x, const cpuu_rule_action *a)
{
    if (!cpuu_xr_is_defer(a->data)) {
        fmt_add(&x->data, a->data);
        return true;
    }
    if (cpuu_xr_rewrite(a->data, CPUU_XR_DEFER, x->w.cb, x->w.user, &x->data, &x->w.replaced, NULL,
                        &x->error) ||
        x->data.failed)
        return true;
    x->error.offset += a->data_at;
    return false;
}

static bool rewrite_action(rewrite *x, const cpuu_rule_action *a)
{
    switch (a->type) {
    case CPUU_OP_MOVE:
    case CPUU_OP_COPY:
        return rewrite_move(x, a);
    case CPUU_OP_REPLY:
    case CPUU_OP_OOF_REPLY:
        return rewrite_reply(x, a);
    case CPUU_OP_FORWARD:
    case CPUU_OP_DELEGATE:
        return rewrite_recipients(x, a);
    case CPUU_OP_TAG:
        return rewrite_tag(x, a);
    case CPUU_OP_DEFER:
        return rewrite_defer(x, a);
    default:
        fmt_add(&x->data, a->data);
        return true;
    }
}

static void rewrite_actions(rewrite *x, cpuu_rule_actions *list, cpuu_buf *out)
{
    cpuu_rule_action a;
    cpuu_rule_actions_begin(out, x->form, &list->names, list->version, list->n);
    while (!x->damaged && !out->failed && cpuu_rule_action_next(list, &a)) {
        cpuu_buf_reset(&x->data);
        x->damaged = !rewrite_action(x, &a);
        if (x->data.failed)
            out->failed = true;
        a.data = (cpuu_blob){x->data.data, (uint32_t)x->data.size};
        cpuu_rule_action_write(out, x->form, &a);
    }
}

bool cpuu_rule_actions_rewrite(cpuu_blob in, cpuu_form form, cpuu_link_cb cb, void *user,
                               cpuu_buf *out, bool *replaced, cpuu_fmt_error *err)
{
    cpuu_rule_actions list;
    rewrite x;
    if (!cpuu_rule_actions_open(in, form, &list, err))
        return false;
    memset(&x, 0, sizeof(x));
    x.w = (cpuu_rewriter){cb, user, cpuu_npi_has, &list.names, false};
    x.form = form;
    cpuu_buf_init(&x.data, out->max);
    rewrite_actions(&x, &list, out);
    cpuu_buf_free(&x.data);
    if (x.damaged && !out->failed) {
        if (err)
            *err = x.error;
        return false;
    }
    if (!fmt_wrote(out, err) || !fmt_done(&list.rest, err))
        return false;
    if (replaced && x.w.replaced)
        *replaced = true;
    return true;
}
