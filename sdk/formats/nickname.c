/* The autocomplete stream; see cpuu/formats/nickname.h. */
#include "internal.h"

#include <cpuu/formats/entryid.h>
#include <cpuu/formats/nickname.h>

#define MIN_ROW  4u /* bytes */
#define MIN_PROP 16u

#define ID_RECORD_KEY   0x0ff9u
#define ID_ADDRESS_TYPE 0x3002u
#define ID_EMAIL        0x3003u

/* ---- reading --------------------------------------------------------------------------------- */

/* Types whose value is in the union. Currency and floating time are inferred from the structure in
 * memory that the union comes from (SPropValue); the others are documented. */
static uint32_t union_size(uint32_t type)
{
    switch (type) {
    case CPUU_PT_INT16:
    case CPUU_PT_BOOL:
        return 2;
    case CPUU_PT_INT32:
    case CPUU_PT_FLOAT32:
    case CPUU_PT_ERROR:
        return 4;
    case CPUU_PT_FLOAT64:
    case CPUU_PT_CURRENCY:
    case CPUU_PT_FLOATINGTIME:
    case CPUU_PT_INT64:
    case CPUU_PT_TIME:
        return 8;
    default:
        return 0;
    }
}

static bool is_text(uint32_t type)
{
    return type == CPUU_PT_STRING || type == CPUU_PT_STRING8;
}

static bool is_sized(uint32_t type)
{
    return is_text(type) || type == CPUU_PT_BINARY;
}

static uint32_t nul_size(uint32_t type)
{
    return type == CPUU_PT_STRING ? 2 : type == CPUU_PT_STRING8 ? 1 : 0;
}

/* Count, then elements: sized ones with their size, GUIDs and numbers packed. */
static cpuu_blob read_array(cpuu_reader *r, uint32_t type)
{
    uint32_t start = r->pos, n = cpuu_read_u32(r, "count");
    uint32_t fixed = type == CPUU_PT_GUID ? 16 : union_size(type);
    if (fixed && n > cpuu_reader_left(r) / fixed)
        cpuu_reader_fail(r, "count", "runs past the end");
    else if (fixed)
        cpuu_read_skip(r, n * fixed, "values");
    else
        for (uint32_t i = 0; i < n && !r->failed; i++)
            cpuu_read_skip(r, cpuu_read_u32(r, "value size"), "value");
    return r->failed ? (cpuu_blob){NULL, 0} : (cpuu_blob){r->data + start, r->pos - start};
}

static void read_sized(cpuu_reader *r, uint32_t type, cpuu_nick_prop *p)
{
    uint32_t nul = nul_size(type);
    p->value = fmt_blob(r, cpuu_read_u32(r, "value size"), "value");
    if (nul == 0 || p->value.size < nul)
        return;
    const uint8_t *end = p->value.data + p->value.size;
    p->nul = end[-1] == 0 && end[-(int)nul] == 0;
    if (p->nul)
        p->value.size -= nul;
}

static bool read_prop(cpuu_reader *r, cpuu_nick_prop *out)
{
    cpuu_nick_prop p;
    uint32_t start = r->pos;
    memset(&p, 0, sizeof(p));
    p.tag = cpuu_read_u32(r, "property tag");
    uint32_t at = r->pos, type = CPUU_TAG_TYPE(p.tag), element = type & ~CPUU_PT_MULTIPLE;
    fmt_copy(r, p.fixed, sizeof(p.fixed), "value union");
    bool known = union_size(element) || is_sized(element) || element == CPUU_PT_GUID;
    if (r->failed)
        return false;
    if (!known) {
        r->pos = start;
        return cpuu_reader_fail(r, "property tag", "has a type whose size is not known");
    }
    if (type & CPUU_PT_MULTIPLE)
        p.value = read_array(r, element);
    else if (type == CPUU_PT_GUID)
        p.value = fmt_blob(r, 16, "value");
    else if (is_sized(type))
        read_sized(r, type, &p);
    else
        p.value = (cpuu_blob){r->data + at + 4, union_size(type)};
    p.offset = r->base + start;
    p.size = r->pos - start;
    if (r->failed)
        return false;
    *out = p;
    return true;
}

/* Moves past one row; counts that cannot be true fail at once. */
static uint32_t skip_row(cpuu_reader *r)
{
    cpuu_nick_prop p;
    uint32_t n = cpuu_read_u32(r, "property count");
    if (n > cpuu_reader_left(r) / MIN_PROP)
        cpuu_reader_fail(r, "property count", "runs past the end");
    for (uint32_t i = 0; i < n && read_prop(r, &p); i++)
        ;
    return n;
}

bool cpuu_nick_open(cpuu_blob in, cpuu_nick_stream *out, cpuu_fmt_error *err)
{
    cpuu_reader r;
    cpuu_nick_stream s;
    memset(&s, 0, sizeof(s));
    cpuu_reader_init(&r, in.data, in.size);
    fmt_copy(&r, s.metadata, sizeof(s.metadata), "metadata");
    s.major = cpuu_read_u32(&r, "major version");
    s.minor = cpuu_read_u32(&r, "minor version");
    s.n_rows = s.left = cpuu_read_u32(&r, "row count");
    if (s.n_rows > cpuu_reader_left(&r) / MIN_ROW)
        cpuu_reader_fail(&r, "row count", "runs past the end");
    s.rows = r;
    for (uint32_t i = 0; i < s.n_rows && !r.failed; i++)
        skip_row(&r);
    s.rows.size = r.pos;
    s.extra = fmt_blob(&r, cpuu_read_u32(&r, "extra info size"), "extra info");
    fmt_copy(&r, s.metadata2, sizeof(s.metadata2), "metadata");
    s.rest = fmt_blob_left(&r, "rest");
    if (!fmt_done(&r, err))
        return false;
    *out = s;
    return true;
}

bool cpuu_nick_next(cpuu_nick_stream *s, cpuu_nick_row *out)
{
    if (s->left == 0 || s->rows.failed)
        return false;
    uint32_t start = s->rows.pos;
    cpuu_reader inner = s->rows;
    cpuu_read_skip(&inner, 4, "property count");
    out->index = s->n_rows - s->left--;
    out->offset = s->rows.base + start;
    out->n = skip_row(&s->rows);
    out->size = s->rows.pos - start;
    inner.size = s->rows.pos;
    out->props = inner;
    return !s->rows.failed;
}

bool cpuu_nick_prop_next(cpuu_nick_row *row, cpuu_nick_prop *out)
{
    return cpuu_reader_left(&row->props) && read_prop(&row->props, out);
}

/* ---- writing --------------------------------------------------------------------------------- */

bool cpuu_nick_begin(cpuu_buf *out, const cpuu_nick_stream *s)
{
    cpuu_buf_add(out, s->metadata, sizeof(s->metadata));
    cpuu_buf_u32(out, s->major);
    cpuu_buf_u32(out, s->minor);
    return cpuu_buf_u32(out, s->n_rows);
}

bool cpuu_nick_prop_write(cpuu_buf *out, const cpuu_nick_prop *p)
{
    uint32_t type = CPUU_TAG_TYPE(p->tag);
    uint32_t in_union = union_size(type), nul = p->nul ? nul_size(type) : 0;
    if (in_union && p->value.size != in_union)
        out->failed = true;
    cpuu_buf_u32(out, p->tag);
    cpuu_buf_add(out, p->fixed, sizeof(p->fixed));
    if (in_union)
        return cpuu_buf_put(out, out->size - 8, p->value.data, p->value.size);
    if (is_sized(type))
        cpuu_buf_u32(out, p->value.size + nul);
    fmt_add(out, p->value);
    return cpuu_buf_fill(out, 0, nul);
}

bool cpuu_nick_end(cpuu_buf *out, const cpuu_nick_stream *s)
{
    cpuu_buf_u32(out, s->extra.size);
    fmt_add(out, s->extra);
    cpuu_buf_add(out, s->metadata2, sizeof(s->metadata2));
    return fmt_add(out, s->rest);
}

/* ---- rewriting ------------------------------------------------------------------------------- */

typedef struct row_rewrite {
    cpuu_rewriter w;
    cpuu_buf email;       /* new e-mail address, as stored */
    uint32_t email_at;    /* offset of the property it is for; 0 = none */
    const char *new_type; /* NULL: the address type stays */
    cpuu_buf value;       /* scratch */
} row_rewrite;

static uint32_t link_of(const cpuu_nick_prop *p)
{
    uint32_t kind = cpuu_rawprop_link(p->tag, p->value);
    cpuu_eid e;
    if (kind == CPUU_LINK_RECORD_KEY && CPUU_TAG_ID(p->tag) == ID_RECORD_KEY &&
        cpuu_eid_decode(p->value, &e, NULL) && e.kind != CPUU_EID_UNKNOWN)
        return CPUU_LINK_EID;
    return kind == CPUU_LINK_NAME ? 0 : kind;
}

static bool is_email(const cpuu_nick_prop *p)
{
    return CPUU_TAG_ID(p->tag) == ID_EMAIL && is_text(CPUU_TAG_TYPE(p->tag)) && link_of(p);
}

/* The e-mail address decides about the address type, which may be stored before it. */
static void ask_email(row_rewrite *x, cpuu_nick_row row)
{
    cpuu_nick_prop p;
    x->email_at = 0;
    x->new_type = NULL;
    cpuu_buf_reset(&x->email);
    while (!x->email_at && cpuu_nick_prop_next(&row, &p)) {
        if (!is_email(&p))
            continue;
        x->email_at = p.offset;
        cpuu_rewrite_value(&x->w, link_of(&p), CPUU_TAG_TYPE(p.tag), p.value, &x->email);
        uint32_t kind =
            cpuu_rawprop_link(p.tag, (cpuu_blob){x->email.data, (uint32_t)x->email.size});
        if (kind && kind != link_of(&p))
            x->new_type = kind == CPUU_LINK_EX_DN ? "EX" : "SMTP";
    }
}

static void rewrite_prop(row_rewrite *x, const cpuu_nick_prop *p, cpuu_buf *out)
{
    uint32_t type = CPUU_TAG_TYPE(p->tag), kind = link_of(p);
    cpuu_nick_prop now = *p;
    bool new_type = x->new_type && CPUU_TAG_ID(p->tag) == ID_ADDRESS_TYPE && is_text(type);
    cpuu_buf_reset(&x->value);
    if (new_type && type == CPUU_PT_STRING)
        cpuu_buf_utf16(&x->value, x->new_type, false);
    else if (new_type)
        cpuu_buf_add(&x->value, x->new_type, strlen(x->new_type));
    else if (x->email_at == p->offset)
        cpuu_buf_add(&x->value, x->email.data, x->email.size);
    else if (kind)
        cpuu_rewrite_value(&x->w, kind, type, p->value, &x->value);
    if (new_type || kind)
        now.value = (cpuu_blob){x->value.data, (uint32_t)x->value.size};
    if (x->value.failed || x->email.failed)
        out->failed = true;
    cpuu_nick_prop_write(out, &now);
}

bool cpuu_nick_rewrite(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                       cpuu_fmt_error *err)
{
    cpuu_nick_stream s;
    cpuu_nick_row row;
    cpuu_nick_prop p;
    row_rewrite x;
    if (!cpuu_nick_open(in, &s, err))
        return false;
    memset(&x, 0, sizeof(x));
    x.w.cb = cb;
    x.w.user = user;
    cpuu_buf_init(&x.email, out->max);
    cpuu_buf_init(&x.value, out->max);
    cpuu_nick_begin(out, &s);
    while (!out->failed && cpuu_nick_next(&s, &row)) {
        ask_email(&x, row);
        cpuu_buf_u32(out, row.n);
        while (!out->failed && cpuu_nick_prop_next(&row, &p))
            rewrite_prop(&x, &p, out);
    }
    cpuu_nick_end(out, &s);
    cpuu_buf_free(&x.email);
    cpuu_buf_free(&x.value);
    if (x.w.replaced && replaced && !out->failed)
        *replaced = true;
    return fmt_wrote(out, err);
}
