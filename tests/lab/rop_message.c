/* Messages: open, create, save, properties, recipients, attachments ([MS-OXCMSG], [MS-OXCPRPT]). */
#include "tests/lab/rop.h"

#include <string.h>

static const unsigned has_props =
    KIND(LAB_OBJ_LOGON) | KIND(LAB_OBJ_FOLDER) | KIND(LAB_OBJ_MESSAGE) | KIND(LAB_OBJ_ATTACHMENT);

/* ---- open, create, save ---------------------------------------------------------------------- */

/* TypedString, [MS-OXCDATA] 2.11.7 */
static void put_typed_string(cpuu_buf *b, const lab_prop *p)
{
    if (!p || TAG_TYPE(p->tag) != PT_UNICODE) {
        cpuu_buf_u8(b, 0x01);
        return;
    }
    cpuu_buf_u8(b, p->size ? 0x04 : 0x01);
    if (!p->size)
        return;
    cpuu_buf_add(b, p->data, p->size);
    cpuu_buf_u16(b, 0);
}

static bool has_named(const lab_props *p)
{
    for (size_t i = 0; i < p->count; i++)
        if (TAG_ID(p->items[i].tag) >= 0x8000)
            return true;
    return false;
}

static void put_recipient(cpuu_buf *b, const lab_recipient *r)
{
    cpuu_buf_u8(b, r->type);
    cpuu_buf_u16(b, 1252);
    cpuu_buf_u16(b, 0);
    cpuu_buf_u16(b, r->size);
    cpuu_buf_add(b, r->row, r->size);
}

static void put_opened(lab_rop *x, const lab_content_of *c)
{
    cpuu_buf_u8(x->out, has_named(&c->props));
    put_typed_string(x->out, lab_props_find(&c->props, 0x003D0000));
    put_typed_string(x->out, lab_props_find(&c->props, 0x0E1D0000));
    cpuu_buf_u16(x->out, (uint16_t)c->n_recipients);
    cpuu_buf_u16(x->out, c->n_recipient_tags);
    for (uint16_t i = 0; i < c->n_recipient_tags; i++)
        cpuu_buf_u32(x->out, c->recipient_tags[i]);
    size_t at = x->out->size;
    uint8_t rows = 0;
    cpuu_buf_u8(x->out, 0);
    for (size_t i = 0; i < c->n_recipients && rows < 255; i++) {
        if (rop_left(x) < c->recipients[i].size + 64u)
            break; /* the rest is for RopReadRecipients */
        put_recipient(x->out, &c->recipients[i]);
        rows++;
    }
    cpuu_buf_put(x->out, at, &rows, 1);
}

void rop_open_message(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint8_t index = cpuu_read_u8(&x->in, "OutputHandleIndex");
    cpuu_read_u16(&x->in, "CodePageId");
    uint64_t fid = cpuu_read_u64(&x->in, "FolderId");
    uint8_t mode = cpuu_read_u8(&x->in, "OpenModeFlags");
    uint64_t mid = cpuu_read_u64(&x->in, "MessageId");
    rop_check_index(x, index);
    if (x->dry || x->in.failed)
        return;
    lab_object *from = rop_object_to(x, in, KIND(LAB_OBJ_LOGON) | KIND(LAB_OBJ_FOLDER), index);
    if (!from)
        return;
    lab_store *store = from->store;
    lab_folder *f = lab_folder_by_id(store, fid);
    lab_message *m = f ? lab_message_by_id(f, mid) : NULL;
    uint32_t rights = f ? lab_rights(f, x->user) : 0, rc = EC_SUCCESS;
    if (!m || !(rights & 0x101))
        rc = EC_NOT_FOUND;
    else if ((mode & 0x03) == 0x01 && !(rights & 0x128))
        rc = EC_ACCESS_DENIED;
    lab_object *o = rc == EC_SUCCESS ? rop_open(x, index, LAB_OBJ_MESSAGE, NULL) : NULL;
    if (!o) {
        x->handles[index] = LAB_NO_HANDLE;
        rop_head(x, index, rc == EC_SUCCESS ? EC_TOO_MANY_OBJECTS : rc);
        return;
    }
    o->store = store;
    o->folder = f;
    o->message = m;
    o->version = m->version;
    o->writable = (mode & 0x03) != 0 && (rights & 0x128);
    lab_content_copy(&o->content, &m->content);
    rop_head(x, index, EC_SUCCESS);
    put_opened(x, &o->content);
}

void rop_create_message(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint8_t index = cpuu_read_u8(&x->in, "OutputHandleIndex");
    cpuu_read_u16(&x->in, "CodePageId");
    uint64_t fid = cpuu_read_u64(&x->in, "FolderId");
    bool fai = cpuu_read_u8(&x->in, "AssociatedFlag");
    rop_check_index(x, index);
    if (x->dry || x->in.failed)
        return;
    lab_object *from = rop_object_to(x, in, KIND(LAB_OBJ_LOGON) | KIND(LAB_OBJ_FOLDER), index);
    if (!from)
        return;
    lab_store *store = from->store;
    lab_folder *f = lab_folder_by_id(store, fid);
    uint32_t rc = EC_SUCCESS;
    x->handles[index] = LAB_NO_HANDLE;
    if (f && (!(lab_rights(f, x->user) & 0x02) || (fai && !(lab_rights(f, x->user) & 0x100))))
        rc = EC_ACCESS_DENIED;
    else if (!f)
        rc = EC_NOT_FOUND;
    lab_object *o = rc == EC_SUCCESS ? rop_open(x, index, LAB_OBJ_MESSAGE, NULL) : NULL;
    if (!o) {
        rop_head(x, index, rc == EC_SUCCESS ? EC_TOO_MANY_OBJECTS : rc);
        return;
    }
    o->store = store;
    o->folder = f;
    o->writable = o->fresh = true;
    /* It exists for others only after the first save; until then it is marked deleted. */
    o->message = lab_message_new(f, fai);
    o->message->deleted = true;
    rop_head(x, index, EC_SUCCESS);
    cpuu_buf_u8(x->out, x->org->independent);
    if (x->org->independent)
        cpuu_buf_u64(x->out, lab_id(store, o->message->counter));
}

static void save(lab_object *o)
{
    lab_message *m = o->message;
    if (o->fresh && !lab_props_find(&o->content.props, 0x001A0000))
        lab_props_set_text(&o->content.props, 0x001A, "IPM.Note");
    lab_content_copy(&m->content, &o->content);
    m->deleted = o->fresh ? false : m->deleted;
    m->version++;
    m->modified = lab_now(o->store->org->lab);
    m->change = ++o->store->org->lab->change;
    o->version = m->version;
    o->fresh = o->dirty = false;
    lab_folder_touch(o->folder);
}

void rop_save_message(lab_rop *x)
{
    uint8_t reply = cpuu_read_u8(&x->in, "ResponseHandleIndex");
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint8_t flags = cpuu_read_u8(&x->in, "SaveFlags");
    if (x->dry || x->in.failed)
        return;
    lab_object *o = rop_object(x, in, KIND(LAB_OBJ_MESSAGE));
    if (!o) {
        x->out->data[x->out->size - 5] = reply;
        return;
    }
    uint32_t rc = EC_SUCCESS;
    if (!o->writable || o->folder->deleted)
        rc = EC_ACCESS_DENIED;
    else if (!o->fresh && o->message->deleted)
        rc = EC_OBJECT_DELETED;
    else if (o->version != o->message->version && !(flags & 0x04))
        rc = EC_OBJECT_CHANGED;
    if (rc == EC_SUCCESS)
        save(o);
    rop_head(x, reply, rc);
    if (rc != EC_SUCCESS)
        return;
    cpuu_buf_u8(x->out, in);
    cpuu_buf_u64(x->out, lab_id(o->store, o->message->counter));
    if (!(flags & 0x03)) /* neither KeepOpenReadOnly nor KeepOpenReadWrite */
        o->writable = false;
}

/* ---- reading properties ---------------------------------------------------------------------- */

static lab_view view_of(lab_rop *x, lab_object *o)
{
    lab_view v = rop_view(x, o);
    if (o->kind == LAB_OBJ_ATTACHMENT) {
        lab_attachment *a = lab_arena(&x->arena, sizeof(*a));
        *a = (lab_attachment){o->attachment, o->props};
        v.attachment = a;
    }
    return v;
}

static void cut_value(lab_val *v)
{
    uint16_t type = TAG_TYPE(v->tag);
    if ((type == PT_BINARY || type == PT_STRING8) && v->size > 510)
        v->size = 510;
    if (type == PT_UNICODE && v->size > 508)
        v->size = 508; /* 510 with its terminator (observed) */
}

typedef struct row_values {
    lab_val *v;
    uint32_t *error; /* 0: a value */
    uint16_t n;
} row_values;

static void error_value(row_values *r, uint16_t i, uint32_t code)
{
    r->error[i] = code;
    r->v[i].size = 0;
}

/* What would not fit becomes NotEnoughMemory ([MS-OXCPRPT] 3.2.5.1): above the client's limit, or
 * above what a response can hold; the largest values go first. */
static void limit_values(row_values *r, uint32_t limit)
{
    for (uint16_t i = 0; i < r->n; i++)
        if (!r->error[i] && limit && r->v[i].size > limit)
            error_value(r, i, EC_NO_MEMORY);
    for (;;) {
        size_t total = 0;
        uint16_t largest = 0;
        for (uint16_t i = 0; i < r->n; i++) {
            total += r->v[i].size + 6;
            if (r->v[i].size > r->v[largest].size)
                largest = i;
        }
        if (total <= 0x7000 || !r->n || !r->v[largest].size)
            return;
        error_value(r, largest, EC_NO_MEMORY);
    }
}

static row_values collect(const lab_view *v, const uint32_t *tags, uint16_t n, bool cut,
                          uint32_t limit)
{
    row_values r = {lab_arena(v->arena, n * sizeof(lab_val)),
                    lab_arena(v->arena, n * sizeof(uint32_t)), n};
    for (uint16_t i = 0; i < n; i++) {
        r.v[i].tag = tags[i];
        if (!lab_get(v, tags[i], &r.v[i]))
            error_value(&r, i, EC_NOT_FOUND);
        else if (cut)
            cut_value(&r.v[i]);
    }
    limit_values(&r, limit);
    return r;
}

void rop_row(cpuu_buf *b, const lab_view *v, const uint32_t *tags, uint16_t n, bool cut,
             uint32_t limit)
{
    row_values r = collect(v, tags, n, cut, limit);
    bool flagged = v->store && v->store->org->odd;
    for (uint16_t i = 0; i < n; i++)
        flagged |= r.error[i] != 0;
    cpuu_buf_u8(b, flagged);
    for (uint16_t i = 0; i < n; i++) {
        if (TAG_TYPE(tags[i]) == PT_UNSPECIFIED)
            cpuu_buf_u16(b, r.error[i] ? PT_ERROR : TAG_TYPE(r.v[i].tag));
        if (flagged)
            cpuu_buf_u8(b, r.error[i] ? 0x0A : 0x00);
        if (r.error[i])
            cpuu_buf_u32(b, r.error[i]);
        else
            lab_value_write(b, &r.v[i]);
    }
}

static uint32_t *read_tags(lab_rop *x, uint16_t n)
{
    uint32_t *tags = lab_arena(&x->arena, n * sizeof(uint32_t));
    for (uint16_t i = 0; i < n && !x->in.failed; i++)
        tags[i] = cpuu_read_u32(&x->in, "PropertyTag");
    return tags;
}

void rop_get_specific(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint16_t limit = cpuu_read_u16(&x->in, "PropertySizeLimit");
    cpuu_read_u16(&x->in, "WantUnicode");
    uint16_t n = cpuu_read_u16(&x->in, "PropertyTagCount");
    uint32_t *tags = read_tags(x, n);
    if (x->dry || x->in.failed)
        return;
    lab_object *o = rop_object(x, in, has_props);
    if (!o)
        return;
    lab_view v = view_of(x, o);
    rop_head(x, in, EC_SUCCESS);
    rop_row(x->out, &v, tags, n, false, x->org->independent ? 0 : limit);
}

void rop_get_all(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint16_t limit = cpuu_read_u16(&x->in, "PropertySizeLimit");
    cpuu_read_u16(&x->in, "WantUnicode");
    if (x->dry || x->in.failed)
        return;
    lab_object *o = rop_object(x, in, has_props);
    if (!o)
        return;
    lab_view v = view_of(x, o);
    size_t n;
    uint32_t *tags = lab_get_list(&v, &n);
    row_values r = collect(&v, tags, (uint16_t)n, false, limit);
    rop_head(x, in, EC_SUCCESS);
    cpuu_buf_u16(x->out, r.n);
    for (uint16_t i = 0; i < r.n; i++) {
        cpuu_buf_u32(x->out, r.error[i] ? TAG(TAG_ID(tags[i]), PT_ERROR) : r.v[i].tag);
        if (r.error[i])
            cpuu_buf_u32(x->out, r.error[i]);
        else
            lab_value_write(x->out, &r.v[i]);
    }
}

void rop_get_list(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    if (x->dry || x->in.failed)
        return;
    lab_object *o = rop_object(x, in, has_props);
    if (!o)
        return;
    lab_view v = view_of(x, o);
    size_t n;
    uint32_t *tags = lab_get_list(&v, &n);
    rop_head(x, in, EC_SUCCESS);
    cpuu_buf_u16(x->out, (uint16_t)n);
    for (size_t i = 0; i < n; i++)
        cpuu_buf_u32(x->out, tags[i]);
}

/* ---- writing properties ---------------------------------------------------------------------- */

static lab_props *writable_bag(lab_rop *x, lab_object *o)
{
    switch (o->kind) {
    case LAB_OBJ_FOLDER:
        return lab_rights(o->folder, x->user) & 0x100 ? &o->folder->props : NULL;
    case LAB_OBJ_MESSAGE:
        return o->writable ? &o->content.props : NULL;
    case LAB_OBJ_ATTACHMENT:
        return o->writable ? &o->props : NULL;
    default:
        return NULL;
    }
}

/* Splits a subject: a prefix is at most three characters and a colon with a blank, [MS-OXCMSG]
 * 3.2.4.x (PidTagSubjectPrefix 2.2.1.9). */
static void set_subject(lab_props *bag, const lab_val *v)
{
    size_t prefix = 0;
    for (size_t i = 2; i + 3 < v->size && i <= 6 && !prefix; i += 2)
        if (cpuu_le16(v->data + i) == ':' && cpuu_le16(v->data + i + 2) == ' ')
            prefix = i + 4;
    lab_props_set(bag, 0x003D001F, v->data, prefix);
    lab_props_set(bag, 0x0E1D001F, v->data + prefix, v->size - prefix);
}

static void set_value(lab_object *o, lab_props *bag, const lab_val *v)
{
    if (o->kind == LAB_OBJ_MESSAGE && v->tag == 0x0037001F)
        set_subject(bag, v);
    else
        lab_props_set(bag, v->tag, v->data, v->size);
}

static uint32_t set_problem(const lab_view *view, lab_object *o, const lab_val *v)
{
    if (lab_read_only(view, v->tag))
        return EC_ACCESS_DENIED; /* observed; see the reference */
    if (o->kind == LAB_OBJ_MESSAGE && TAG_ID(v->tag) == 0x0E07 && !o->fresh)
        return EC_ACCESS_DENIED; /* only before the first save, [MS-OXCMSG] 2.2.1.6 */
    if (TAG_ID(v->tag) >= 0x8000 && !lab_name_of(o->store, TAG_ID(v->tag)))
        return EC_INVALID_PARAM; /* a number that names nothing here */
    return EC_SUCCESS;
}

/* A folder's new name must be free among its siblings. */
static uint32_t rename_problem(lab_rop *x, lab_object *o, const lab_val *v)
{
    if (o->kind != LAB_OBJ_FOLDER || v->tag != 0x3001001F)
        return EC_SUCCESS;
    lab_folder *other = o->folder->parent
                            ? lab_folder_child(o->folder->parent, lab_value_text(&x->arena, v))
                            : NULL;
    return other && other != o->folder ? EC_COLLIDING_NAMES : EC_SUCCESS;
}

static void after_write(lab_object *o)
{
    o->dirty = true;
    if (o->kind == LAB_OBJ_FOLDER) {
        lab_folder_touch(o->folder);
        if (o->folder->parent)
            o->folder->parent->version++;
    }
}

void rop_set_properties(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint16_t size = cpuu_read_u16(&x->in, "PropertyValueSize");
    cpuu_reader r = cpuu_reader_sub(&x->in, size, "PropertyValues");
    uint16_t n = cpuu_read_u16(&r, "PropertyValueCount");
    cpuu_reader values = r;
    lab_val v;
    for (uint16_t i = 0; i < n && !r.failed; i++)
        lab_tagged_read(&r, &v);
    if (!r.failed && cpuu_reader_left(&r))
        cpuu_reader_fail(&r, "PropertyValueSize", "does not match the values");
    cpuu_reader_join(&x->in, &r);
    if (x->dry || x->in.failed)
        return;
    lab_object *o = rop_object(x, in, has_props);
    if (!o)
        return;
    lab_props *bag = writable_bag(x, o);
    rop_head(x, in, bag ? EC_SUCCESS : EC_ACCESS_DENIED);
    if (!bag)
        return;
    lab_view view = view_of(x, o);
    size_t at = x->out->size;
    uint16_t problems = 0;
    cpuu_buf_u16(x->out, 0);
    for (uint16_t i = 0; i < n; i++) {
        lab_tagged_read(&values, &v);
        uint32_t rc = set_problem(&view, o, &v);
        if (rc == EC_SUCCESS)
            rc = rename_problem(x, o, &v);
        if (rc == EC_SUCCESS) {
            set_value(o, bag, &v);
            continue;
        }
        problems++;
        cpuu_buf_u16(x->out, i);
        cpuu_buf_u32(x->out, v.tag);
        cpuu_buf_u32(x->out, rc);
    }
    cpuu_buf_put_u16(x->out, at, problems);
    after_write(o);
}

void rop_delete_properties(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint16_t n = cpuu_read_u16(&x->in, "PropertyTagCount");
    uint32_t *tags = read_tags(x, n);
    if (x->dry || x->in.failed)
        return;
    lab_object *o = rop_object(x, in, has_props);
    if (!o)
        return;
    lab_props *bag = writable_bag(x, o);
    rop_head(x, in, bag ? EC_SUCCESS : EC_ACCESS_DENIED);
    if (!bag)
        return;
    lab_view view = view_of(x, o);
    size_t at = x->out->size;
    uint16_t problems = 0;
    cpuu_buf_u16(x->out, 0);
    for (uint16_t i = 0; i < n; i++) {
        if (TAG_ID(tags[i]) == 0x0037 && o->kind == LAB_OBJ_MESSAGE) {
            lab_props_remove(bag, 0x003D);
            lab_props_remove(bag, 0x0E1D);
        } else if (!lab_read_only(&view, tags[i])) {
            lab_props_remove(bag, TAG_ID(tags[i]));
        } else {
            problems++;
            cpuu_buf_u16(x->out, i);
            cpuu_buf_u32(x->out, tags[i]);
            cpuu_buf_u32(x->out, EC_ACCESS_DENIED);
        }
    }
    cpuu_buf_put_u16(x->out, at, problems);
    after_write(o);
}

/* ---- recipients: rows are kept as they come ([MS-OXCMSG] 2.2.3.5) ---------------------------- */

static void drop_recipient(lab_content_of *c, uint32_t row_id)
{
    for (size_t i = 0; i < c->n_recipients; i++) {
        if (c->recipients[i].row_id != row_id)
            continue;
        cpuu_free(c->recipients[i].row);
        memmove(&c->recipients[i], &c->recipients[i + 1],
                (c->n_recipients - i - 1) * sizeof(*c->recipients));
        c->n_recipients--;
        return;
    }
}

void rop_modify_recipients(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint16_t n_tags = cpuu_read_u16(&x->in, "ColumnCount");
    uint32_t *tags = read_tags(x, n_tags);
    uint16_t n = cpuu_read_u16(&x->in, "RowCount");
    cpuu_reader rows = x->in;
    for (uint16_t i = 0; i < n && !x->in.failed; i++) {
        cpuu_read_skip(&x->in, 5, "RowId, RecipientType");
        cpuu_read_skip(&x->in, cpuu_read_u16(&x->in, "RecipientRowSize"), "RecipientRow");
    }
    if (x->dry || x->in.failed)
        return;
    lab_object *o = rop_object(x, in, KIND(LAB_OBJ_MESSAGE));
    if (!o)
        return;
    lab_content_of *c = &o->content;
    for (uint16_t i = 0; o->writable && i < n; i++) {
        lab_recipient r = {.row_id = cpuu_read_u32(&rows, "RowId"),
                           .type = cpuu_read_u8(&rows, "RecipientType")};
        r.size = cpuu_read_u16(&rows, "RecipientRowSize");
        const uint8_t *row = cpuu_read_bytes(&rows, r.size, "RecipientRow");
        drop_recipient(c, r.row_id);
        if (!r.size)
            continue;
        r.row = lab_dup(row, r.size);
        LAB_GROW(c->recipients, c->recipients_cap, c->n_recipients);
        c->recipients[c->n_recipients++] = r;
    }
    if (o->writable && n_tags) {
        cpuu_free(c->recipient_tags);
        c->recipient_tags = lab_dup(tags, n_tags * sizeof(*tags));
        c->n_recipient_tags = n_tags;
    }
    o->dirty = true;
    rop_head(x, in, o->writable ? EC_SUCCESS : EC_ACCESS_DENIED);
}

void rop_remove_recipients(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    cpuu_read_u32(&x->in, "Reserved");
    if (x->dry || x->in.failed)
        return;
    lab_object *o = rop_object(x, in, KIND(LAB_OBJ_MESSAGE));
    if (!o)
        return;
    while (o->writable && o->content.n_recipients)
        drop_recipient(&o->content, o->content.recipients[0].row_id);
    rop_head(x, in, o->writable ? EC_SUCCESS : EC_ACCESS_DENIED);
}

void rop_read_recipients(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint32_t first = cpuu_read_u32(&x->in, "RowId");
    cpuu_read_u16(&x->in, "Reserved");
    if (x->dry || x->in.failed)
        return;
    lab_object *o = rop_object(x, in, KIND(LAB_OBJ_MESSAGE));
    if (!o)
        return;
    size_t at = x->out->size;
    uint8_t n = 0;
    rop_head(x, in, EC_SUCCESS);
    cpuu_buf_u8(x->out, 0);
    for (size_t i = 0; i < o->content.n_recipients && n < 255; i++) {
        const lab_recipient *r = &o->content.recipients[i];
        if (r->row_id < first || rop_left(x) < r->size + 64u)
            continue;
        cpuu_buf_u32(x->out, r->row_id);
        put_recipient(x->out, r);
        n++;
    }
    if (n)
        cpuu_buf_put(x->out, at + 6, &n, 1);
    else {
        x->out->size = at;
        rop_head(x, in, EC_NOT_FOUND);
    }
}

/* ---- attachments ----------------------------------------------------------------------------- */

static lab_attachment *find_attachment(lab_content_of *c, uint32_t number)
{
    for (size_t i = 0; i < c->n_attachments; i++)
        if (c->attachments[i].number == number)
            return &c->attachments[i];
    return NULL;
}

static lab_object *new_attachment(lab_rop *x, uint8_t index, lab_object *message, uint32_t number)
{
    lab_object *o = rop_open(x, index, LAB_OBJ_ATTACHMENT, message);
    o->parent = message;
    o->attachment = number;
    o->writable = message->writable;
    return o;
}

void rop_create_attachment(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint8_t index = cpuu_read_u8(&x->in, "OutputHandleIndex");
    rop_check_index(x, index);
    if (x->dry || x->in.failed)
        return;
    lab_object *m = rop_object_to(x, in, KIND(LAB_OBJ_MESSAGE), index);
    if (!m)
        return;
    x->handles[index] = LAB_NO_HANDLE;
    if (!m->writable) {
        rop_head(x, index, EC_ACCESS_DENIED);
        return;
    }
    uint32_t number = m->content.next_attachment++;
    new_attachment(x, index, m, number);
    rop_head(x, index, EC_SUCCESS);
    cpuu_buf_u32(x->out, number);
}

void rop_open_attachment(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint8_t index = cpuu_read_u8(&x->in, "OutputHandleIndex");
    cpuu_read_u8(&x->in, "OpenAttachmentFlags");
    uint32_t number = cpuu_read_u32(&x->in, "AttachmentID");
    rop_check_index(x, index);
    if (x->dry || x->in.failed)
        return;
    lab_object *m = rop_object_to(x, in, KIND(LAB_OBJ_MESSAGE), index);
    if (!m)
        return;
    lab_attachment *a = find_attachment(&m->content, number);
    x->handles[index] = LAB_NO_HANDLE;
    rop_head(x, index, a ? EC_SUCCESS : EC_NOT_FOUND);
    if (a)
        lab_props_copy(&new_attachment(x, index, m, number)->props, &a->props);
}

void rop_save_attachment(lab_rop *x)
{
    uint8_t reply = cpuu_read_u8(&x->in, "ResponseHandleIndex");
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    cpuu_read_u8(&x->in, "SaveFlags");
    if (x->dry || x->in.failed)
        return;
    lab_object *o = rop_object(x, in, KIND(LAB_OBJ_ATTACHMENT));
    if (!o) {
        x->out->data[x->out->size - 5] = reply;
        return;
    }
    rop_head(x, reply, o->writable ? EC_SUCCESS : EC_ACCESS_DENIED);
    if (!o->writable)
        return;
    lab_content_of *c = &o->parent->content;
    lab_attachment *a = find_attachment(c, o->attachment);
    if (!a) {
        LAB_GROW(c->attachments, c->attachments_cap, c->n_attachments);
        a = &c->attachments[c->n_attachments++];
        *a = (lab_attachment){o->attachment, {0}};
    }
    lab_props_free(&a->props);
    lab_props_copy(&a->props, &o->props);
    o->parent->dirty = true;
}

void rop_delete_attachment(lab_rop *x)
{
    uint8_t in = cpuu_read_u8(&x->in, "InputHandleIndex");
    uint32_t number = cpuu_read_u32(&x->in, "AttachmentID");
    if (x->dry || x->in.failed)
        return;
    lab_object *m = rop_object(x, in, KIND(LAB_OBJ_MESSAGE));
    if (!m)
        return;
    lab_content_of *c = &m->content;
    lab_attachment *a = find_attachment(c, number);
    rop_head(x, in, !a ? EC_NOT_FOUND : m->writable ? EC_SUCCESS : EC_ACCESS_DENIED);
    if (!a || !m->writable)
        return;
    size_t i = (size_t)(a - c->attachments);
    lab_props_free(&a->props);
    memmove(a, a + 1, (c->n_attachments - i - 1) * sizeof(*a));
    c->n_attachments--;
}
