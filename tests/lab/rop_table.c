/* Tables: hierarchy, contents, rules, permissions, attachments ([MS-OXCTABL]). */
#include "tests/lab/rop.h"

#include <stdlib.h>
#include <string.h>

#define FLAG_ASSOCIATED 0x02
#define FLAG_DEPTH      0x04

/* ---- rows ------------------------------------------------------------------------------------ */

static void add_row(lab_table *t, void *row)
{
    LAB_GROW(t->rows, t->rows_cap, t->n_rows);
    t->rows[t->n_rows++] = row;
}

static void add_children(lab_rop *x, lab_table *t, lab_folder *f)
{
    for (size_t i = 0; i < f->store->n_folders; i++) {
        lab_folder *c = f->store->folders[i];
        if (c->parent != f || c->deleted || !(lab_rights(c, x->user) & 0x500))
            continue;
        add_row(t, c);
        if ((t->flags & FLAG_DEPTH) && !x->org->lax)
            add_children(x, t, c);
    }
}

lab_view rop_row_view(lab_rop *x, lab_object *o, size_t row)
{
    lab_table *t = &o->table;
    lab_view v = {.kind = t->rows_of,
                  .store = o->store,
                  .folder = o->folder,
                  .user = x->user,
                  .arena = &x->arena};
    switch (t->rows_of) {
    case LAB_OBJ_FOLDER:
        v.folder = t->rows[row];
        break;
    case LAB_OBJ_MESSAGE:
        v.message = t->rows[row];
        v.content = &v.message->content;
        break;
    case LAB_OBJ_ATTACHMENT:
        v.attachment = t->rows[row];
        break;
    default: { /* rules and members move in memory: rows hold their index */
        size_t i = (size_t)(uintptr_t)t->rows[row];
        if (t->rows_of == LAB_OBJ_RULE)
            v.rule = &o->folder->rules[i];
        else
            v.member = &o->folder->members[i];
    }
    }
    return v;
}

/* Members sorted as the recorded server shows them: named ones, then default, then anonymous. */
static void add_members(lab_table *t, const lab_folder *f)
{
    for (size_t i = 0; i < f->n_members; i++)
        if (f->members[i].dn)
            add_row(t, (void *)(uintptr_t)i);
    for (int id = 0; id >= -1; id--)
        for (size_t i = 0; i < f->n_members; i++)
            if (!f->members[i].dn && f->members[i].id == id)
                add_row(t, (void *)(uintptr_t)i);
}

static void collect_rows(lab_rop *x, lab_object *o)
{
    lab_table *t = &o->table;
    lab_folder *f = o->folder;
    t->n_rows = 0;
    switch (t->rows_of) {
    case LAB_OBJ_FOLDER:
        add_children(x, t, f);
        break;
    case LAB_OBJ_MESSAGE:
        for (size_t i = 0; i < f->n_messages; i++)
            if (!f->messages[i]->deleted && f->messages[i]->fai == t->associated)
                add_row(t, f->messages[i]);
        break;
    case LAB_OBJ_RULE:
        for (size_t i = 0; i < f->n_rules; i++)
            add_row(t, (void *)(uintptr_t)i);
        break;
    case LAB_OBJ_MEMBER:
        add_members(t, f);
        break;
    default:
        for (size_t i = 0; i < t->message->content.n_attachments; i++)
            add_row(t, &t->message->content.attachments[i]);
    }
    t->version = f->version;
}

static bool row_getter(void *obj, uint32_t tag, lab_val *out)
{
    return lab_get(obj, tag, out);
}

static void apply_restriction(lab_rop *x, lab_object *o)
{
    lab_table *t = &o->table;
    size_t kept = 0;
    for (size_t i = 0; t->restriction && i < t->n_rows; i++) {
        lab_view v = rop_row_view(x, o, i);
        cpuu_reader r;
        bool match = false;
        cpuu_reader_init(&r, t->restriction, t->restriction_size);
        if (lab_restriction(&r, row_getter, &v, &match, 0) && match)
            t->rows[kept++] = t->rows[i];
    }
    if (t->restriction)
        t->n_rows = kept;
}

static int compare_rows(lab_rop *x, lab_object *o, size_t a, size_t b)
{
    lab_view va = rop_row_view(x, o, a), vb = rop_row_view(x, o, b);
    for (uint16_t i = 0; i < o->table.n_sort; i++) {
        lab_val x1, x2;
        bool h1 = lab_get(&va, o->table.sort[i].tag, &x1);
        bool h2 = lab_get(&vb, o->table.sort[i].tag, &x2);
        int d = h1 && h2 ? lab_value_compare(&x1, &x2) : (int)h1 - (int)h2;
        if (d)
            return o->table.sort[i].order == 1 ? -d : d;
    }
    return 0;
}

/* Insertion sort: stable, and tables of a lab are short. */
static void apply_sort(lab_rop *x, lab_object *o)
{
    lab_table *t = &o->table;
    for (size_t i = 1; t->n_sort && i < t->n_rows; i++)
        for (size_t k = i; k > 0 && compare_rows(x, o, k - 1, k) > 0; k--) {
            void *row = t->rows[k];
            t->rows[k] = t->rows[k - 1];
            t->rows[k - 1] = row;
        }
}

static void rebuild(lab_rop *x, lab_object *o)
{
    collect_rows(x, o);
    apply_restriction(x, o);
    apply_sort(x, o);
    if (o->table.pos > o->table.n_rows)
        o->table.pos = o->table.n_rows;
}

/* A table shows what is there now, except while it is being read: rows must not move then. */
static void refresh(lab_rop *x, lab_object *o)
{
    bool index_rows = o->table.rows_of == LAB_OBJ_RULE || o->table.rows_of == LAB_OBJ_MEMBER ||
                      o->table.rows_of == LAB_OBJ_ATTACHMENT;
    if (o->table.version != o->folder->version || index_rows)
        rebuild(x, o);
}

/* ---- opening --------------------------------------------------------------------------------- */

static lab_obj_kind rows_of(uint8_t rop)
{
    switch (rop) {
    case 0x04:
        return LAB_OBJ_FOLDER;
    case 0x05:
        return LAB_OBJ_MESSAGE;
    case 0x3E:
        return LAB_OBJ_MEMBER;
    case 0x3F:
        return LAB_OBJ_RULE;
    default:
        return LAB_OBJ_ATTACHMENT;
    }
}

static uint32_t table_rights(uint8_t rop)
{
    switch (rop) {
    case 0x05:
        return 0x101; /* read any, or owner */
    case 0x3F:
        return 0x100;
    default:
        return 0x500;
    }
}

void rop_get_table(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint8_t index = cpuu_read_u8(&x->in, "OutputHandleIndex");
    uint8_t flags = cpuu_read_u8(&x->in, "TableFlags");
    rop_check_index(x, index);
    if (x->dry || x->in.failed)
        return;
    lab_obj_kind from_kind = x->id == 0x21 ? LAB_OBJ_MESSAGE : LAB_OBJ_FOLDER;
    lab_object *from = rop_object_to(x, in, KIND(from_kind), index);
    if (!from)
        return;
    x->handles[index] = LAB_NO_HANDLE;
    bool way = from->folder == from->store->root || from->folder == from->store->ipm;
    if (!(lab_rights(from->folder, x->user) & table_rights(x->id)) && !(way && x->id == 0x04)) {
        rop_head(x, index, EC_ACCESS_DENIED);
        return;
    }
    lab_object *o = rop_open(x, index, LAB_OBJ_TABLE, from);
    if (!o) {
        rop_head(x, index, EC_TOO_MANY_OBJECTS);
        return;
    }
    o->table.rows_of = rows_of(x->id);
    o->table.flags = flags;
    o->table.associated = flags & FLAG_ASSOCIATED;
    o->table.message = x->id == 0x21 ? from : NULL;
    rebuild(x, o);
    rop_head(x, index, EC_SUCCESS);
    if (x->id == 0x04 || x->id == 0x05)
        cpuu_buf_u32(x->out, (uint32_t)o->table.n_rows);
}

/* ---- settings -------------------------------------------------------------------------------- */

void rop_set_columns(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    cpuu_read_u8(&x->in, "SetColumnsFlags");
    uint16_t n = cpuu_read_u16(&x->in, "PropertyTagCount");
    cpuu_reader tags = cpuu_reader_sub(&x->in, 4u * n, "PropertyTags");
    if (x->dry || x->in.failed)
        return;
    lab_object *o = rop_object(x, in, KIND(LAB_OBJ_TABLE));
    if (!o)
        return;
    if (!n) {
        rop_head(x, in, EC_INVALID_PARAM);
        return;
    }
    uint32_t *columns = lab_calloc(n, sizeof(*columns));
    for (uint16_t i = 0; i < n; i++) {
        columns[i] = cpuu_read_u32(&tags, "PropertyTag");
        if (TAG_TYPE(columns[i]) && !lab_known_type(TAG_TYPE(columns[i]) & 0xDFFF)) {
            cpuu_free(columns);
            rop_head(x, in, EC_INVALID_PARAM);
            return;
        }
    }
    cpuu_free(o->table.columns);
    o->table.columns = columns;
    o->table.n_columns = n;
    rop_head(x, in, EC_SUCCESS);
    cpuu_buf_u8(x->out, 0);
}

void rop_sort(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    cpuu_read_u8(&x->in, "SortTableFlags");
    uint16_t n = cpuu_read_u16(&x->in, "SortOrderCount");
    uint16_t categories = cpuu_read_u16(&x->in, "CategoryCount");
    cpuu_read_u16(&x->in, "ExpandedCount");
    cpuu_reader orders = cpuu_reader_sub(&x->in, 5u * n, "SortOrders");
    if (x->dry || x->in.failed)
        return;
    lab_object *o = rop_object(x, in, KIND(LAB_OBJ_TABLE));
    if (!o)
        return;
    lab_table *t = &o->table;
    if (t->rows_of != LAB_OBJ_MESSAGE || categories || n > 16) {
        rop_head(x, in, EC_NOT_SUPPORTED);
        return;
    }
    t->n_sort = n;
    for (uint16_t i = 0; i < n; i++) {
        t->sort[i].tag = cpuu_read_u32(&orders, "PropertyTag");
        t->sort[i].order = cpuu_read_u8(&orders, "Order");
    }
    t->pos = 0;
    rebuild(x, o);
    rop_head(x, in, EC_SUCCESS);
    cpuu_buf_u8(x->out, 0);
}

void rop_restrict(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    cpuu_read_u8(&x->in, "RestrictFlags");
    uint16_t size = cpuu_read_u16(&x->in, "RestrictionDataSize");
    cpuu_reader r = cpuu_reader_sub(&x->in, size, "RestrictionData");
    cpuu_reader check = r;
    if (size && !r.failed &&
        (!lab_restriction(&check, NULL, NULL, NULL, 0) || cpuu_reader_left(&check)))
        cpuu_reader_fail(&x->in, "RestrictionData", "not a restriction");
    if (x->dry || x->in.failed)
        return;
    lab_object *o = rop_object(x, in, KIND(LAB_OBJ_TABLE));
    if (!o)
        return;
    lab_table *t = &o->table;
    cpuu_free(t->restriction);
    t->restriction = size && !x->org->lax ? lab_dup(r.data, size) : NULL;
    t->restriction_size = size;
    t->pos = 0;
    rebuild(x, o);
    rop_head(x, in, EC_SUCCESS);
    cpuu_buf_u8(x->out, 0);
}

void rop_reset_table(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    if (x->dry || x->in.failed)
        return;
    lab_object *o = rop_object(x, in, KIND(LAB_OBJ_TABLE));
    if (!o)
        return;
    lab_table *t = &o->table;
    cpuu_free(t->columns);
    cpuu_free(t->restriction);
    t->columns = NULL;
    t->restriction = NULL;
    t->n_columns = t->n_sort = 0;
    t->pos = 0;
    rebuild(x, o);
    rop_head(x, in, EC_SUCCESS);
}

void rop_table_status(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    if (x->dry || x->in.failed)
        return;
    if (!rop_object(x, in, KIND(LAB_OBJ_TABLE)))
        return;
    rop_head(x, in, EC_SUCCESS);
    cpuu_buf_u8(x->out, 0);
}

/* ---- reading --------------------------------------------------------------------------------- */

static uint16_t put_rows(lab_rop *x, lab_object *o, uint16_t count, bool forward)
{
    lab_table *t = &o->table;
    uint16_t n = 0;
    while (n < count && (forward ? t->pos < t->n_rows : t->pos > 0)) {
        size_t row = forward ? t->pos : t->pos - 1;
        lab_view v = rop_row_view(x, o, row);
        size_t before = x->out->size;
        rop_row(x->out, &v, t->columns, t->n_columns, true, 0);
        if (x->out->size > x->room) {
            x->out->size = before;
            break;
        }
        t->pos = forward ? t->pos + 1 : t->pos - 1;
        n++;
    }
    return n;
}

void rop_query_rows(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint8_t flags = cpuu_read_u8(&x->in, "QueryRowsFlags");
    uint8_t forward = cpuu_read_u8(&x->in, "ForwardRead");
    uint16_t count = cpuu_read_u16(&x->in, "RowCount");
    if (x->dry || x->in.failed)
        return;
    lab_object *o = rop_object(x, in, KIND(LAB_OBJ_TABLE));
    if (!o)
        return;
    lab_table *t = &o->table;
    if (!t->n_columns || forward > 1) {
        rop_head(x, in, t->n_columns ? EC_INVALID_PARAM : EC_NULL_OBJECT);
        return;
    }
    refresh(x, o);
    size_t at = x->out->size, pos = t->pos;
    rop_head(x, in, EC_SUCCESS);
    cpuu_buf_u8(x->out, 0);
    cpuu_buf_u16(x->out, 0);
    if (x->org->odd && count > 3)
        count = 3;
    uint16_t n = put_rows(x, o, count, forward);
    bool more = forward ? t->pos < t->n_rows : t->pos > 0;
    if (!n && more && count) { /* not one row fits: [MS-OXCTABL] R466, here as the ROP's result */
        x->out->size = at;
        x->too_small = at > 64;
        if (!x->too_small)
            rop_head(x, in, EC_BUFFER_TOO_SMALL);
        return;
    }
    uint8_t origin = t->pos == t->n_rows && forward ? 2 : t->pos == 0 ? 0 : 1;
    cpuu_buf_put(x->out, at + 6, &origin, 1);
    cpuu_buf_put_u16(x->out, at + 7, n);
    x->packed = more && n < count && (x->org->independent || (flags & 0x02));
    if (flags & 0x01)
        t->pos = pos;
}

void rop_query_position(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    if (x->dry || x->in.failed)
        return;
    lab_object *o = rop_object(x, in, KIND(LAB_OBJ_TABLE));
    if (!o)
        return;
    refresh(x, o);
    rop_head(x, in, EC_SUCCESS);
    cpuu_buf_u32(x->out, (uint32_t)o->table.pos);
    cpuu_buf_u32(x->out, (uint32_t)o->table.n_rows);
}

void rop_seek_row(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint8_t origin = cpuu_read_u8(&x->in, "Origin");
    int32_t rows = (int32_t)cpuu_read_u32(&x->in, "RowCount");
    cpuu_read_u8(&x->in, "WantRowMovedCount");
    if (x->dry || x->in.failed)
        return;
    lab_object *o = rop_object(x, in, KIND(LAB_OBJ_TABLE));
    if (!o)
        return;
    if (origin > 2) {
        rop_head(x, in, EC_INVALID_PARAM);
        return;
    }
    refresh(x, o);
    lab_table *t = &o->table;
    int64_t base = origin == 0 ? 0 : (int64_t)(origin == 1 ? t->pos : t->n_rows);
    int64_t to = base + rows;
    if (to < 0)
        to = 0;
    if (to > (int64_t)t->n_rows)
        to = (int64_t)t->n_rows;
    t->pos = (size_t)to;
    rop_head(x, in, EC_SUCCESS);
    cpuu_buf_u8(x->out, to - base != rows);
    cpuu_buf_u32(x->out, (uint32_t)(int32_t)(to - base));
}
