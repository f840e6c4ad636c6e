/* The navigation pane file; see cpuu/formats/navxml.h. */
#include "internal.h"

#include <cpuu/formats/entryid.h>
#include <cpuu/formats/navxml.h>

#define SPANS 3u /* one per cpuu_nav_what */

/* An open element, and what its children without children of their own said. */
typedef struct frame {
    cpuu_blob name;
    uint32_t at;      /* of its start tag */
    uint32_t text_at; /* where its content begins */
    bool plain;       /* nothing but text in it so far */
    cpuu_nav_item span[SPANS];
    uint32_t n_spans;
    cpuu_blob ltype, storeid, clsid, label;
} frame;

typedef struct walk {
    cpuu_reader r;
    cpuu_nav_cb cb;                /* may be NULL */
    cpuu_nav_shortcut_cb shortcut; /* may be NULL */
    void *user;
    cpuu_buf id; /* scratch */
    uint32_t depth;
    uint32_t inside; /* shortcuts that are open */
    bool had_root;
    frame stack[CPUU_NAV_DEPTH];
} walk;

static bool is(cpuu_blob b, const char *text)
{
    return b.size == strlen(text) && memcmp(b.data, text, b.size) == 0;
}

/* ---- items ----------------------------------------------------------------------------------- */

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* False when memory ran out; text that is not hexadecimal leaves `out` empty. */
static bool unhex(cpuu_blob hex, cpuu_buf *out)
{
    cpuu_buf_reset(out);
    for (uint32_t i = 0; hex.size % 2 == 0 && i < hex.size; i += 2) {
        int high = hex_digit(hex.data[i]), low = hex_digit(hex.data[i + 1]);
        if (high < 0 || low < 0) {
            cpuu_buf_reset(out);
            break;
        }
        cpuu_buf_u8(out, (uint8_t)(high << 4 | low));
    }
    return !out->failed;
}

/* Class of a link to the web, whose "EntryID" is an address: 000006F0-... (observed). */
static bool is_web_link(cpuu_blob clsid)
{
    static const char web[] = "86F0060000000000C000000000000046";
    return cpuu_blob_equal_nocase(clsid, (cpuu_blob){(const uint8_t *)web, sizeof(web) - 1});
}

static uint32_t link_kind(const cpuu_nav_item *item)
{
    cpuu_eid e;
    bool decodes = cpuu_eid_decode(item->id, &e, NULL);
    if (item->what == CPUU_NAV_EID && is_web_link(item->clsid))
        return 0;
    if (item->what == CPUU_NAV_RECORD_KEY && (!decodes || e.kind == CPUU_EID_UNKNOWN))
        return item->id.size == 16 ? CPUU_LINK_RECORD_KEY : 0;
    return decodes ? CPUU_LINK_EID : 0;
}

/* Shows what was collected. All of it lies before whatever will be collected later. */
static void flush(walk *x, frame *f)
{
    for (uint32_t i = 0; i < f->n_spans && !x->r.failed; i++) {
        cpuu_nav_item *item = &f->span[i];
        item->ltype = f->ltype;
        item->storeid = f->storeid;
        item->clsid = f->clsid;
        item->name = f->label;
        if (!unhex(item->hex, &x->id)) {
            cpuu_reader_fail(&x->r, "memory", "ran out");
            return;
        }
        item->id = (cpuu_blob){x->id.data, (uint32_t)x->id.size};
        item->kind = link_kind(item);
        if (x->cb && !x->cb(x->user, item))
            cpuu_reader_fail(&x->r, "walk", "stopped");
    }
    f->n_spans = 0;
}

static void collect_span(walk *x, frame *parent, cpuu_nav_what what, uint32_t at, cpuu_blob text)
{
    for (uint32_t i = 0; i < parent->n_spans; i++)
        if (parent->span[i].what == what) {
            flush(x, parent);
            break;
        }
    cpuu_nav_item *item = &parent->span[parent->n_spans++];
    memset(item, 0, sizeof(*item));
    item->what = what;
    item->offset = at;
    item->hex = text;
}

/* An element with nothing but text has ended. */
static void leaf(walk *x, frame *parent, cpuu_blob name, uint32_t at, cpuu_blob text)
{
    if (text.size == 0)
        return;
    if (is(name, "eidstore"))
        collect_span(x, parent, CPUU_NAV_STORE, at, text);
    else if (is(name, "eid"))
        collect_span(x, parent, CPUU_NAV_EID, at, text);
    else if (is(name, "reckey"))
        collect_span(x, parent, CPUU_NAV_RECORD_KEY, at, text);
    else if (is(name, "ltype"))
        parent->ltype = text;
    else if (is(name, "storeid"))
        parent->storeid = text;
    else if (is(name, "clsid"))
        parent->clsid = text;
    else if (is(name, "name"))
        parent->label = text;
}

/* ---- tags ------------------------------------------------------------------------------------ */

static bool starts(const cpuu_reader *r, const char *text)
{
    size_t n = strlen(text);
    return cpuu_reader_left(r) >= n && memcmp(r->data + r->pos, text, n) == 0;
}

/* Steps behind the next `text`. */
static void skip_to(cpuu_reader *r, const char *text, const char *field)
{
    while (!starts(r, text))
        if (cpuu_reader_left(r) == 0) {
            cpuu_reader_fail(r, field, "has no end");
            return;
        } else {
            r->pos++;
        }
    r->pos += (uint32_t)strlen(text);
}

static bool name_ends(uint8_t c)
{
    return c == '>' || c == '/' || c == '=' || c <= ' ' || c == '<' || c == '&';
}

static cpuu_blob tag_name(cpuu_reader *r)
{
    uint32_t start = r->pos;
    while (cpuu_reader_left(r) && !name_ends(r->data[r->pos]))
        r->pos++;
    if (r->pos == start)
        cpuu_reader_fail(r, "tag", "has no name");
    return (cpuu_blob){r->data + start, r->pos - start};
}

/* Steps behind the ">" of a tag, over quoted attribute values. Returns true for "/>". */
static bool tag_end(cpuu_reader *r)
{
    uint8_t quote = 0, before = 0;
    while (cpuu_reader_left(r)) {
        uint8_t c = r->data[r->pos++];
        if (quote) {
            quote = c == quote ? 0 : quote;
        } else if (c == '"' || c == '\'') {
            quote = c;
        } else if (c == '<') {
            break;
        } else if (c == '>') {
            return before == '/';
        }
        before = c;
    }
    cpuu_reader_fail(r, "tag", "has no end");
    return false;
}

static void start_tag(walk *x)
{
    uint32_t at = x->r.pos;
    x->r.pos++;
    cpuu_blob name = tag_name(&x->r);
    bool empty = tag_end(&x->r);
    if (x->r.failed)
        return;
    if (x->depth == 0 && x->had_root) {
        x->r.pos = at;
        cpuu_reader_fail(&x->r, "document", "has more than one root element");
        return;
    }
    x->had_root = true;
    if (x->depth) { /* the parent is no leaf, so what lies before it is complete */
        x->stack[x->depth - 1].plain = false;
        if (x->depth > 1 && !empty)
            flush(x, &x->stack[x->depth - 2]);
    }
    if (empty)
        return;
    if (x->depth == CPUU_NAV_DEPTH) {
        cpuu_reader_fail(&x->r, "element", "is nested too deeply");
        return;
    }
    frame *f = &x->stack[x->depth++];
    memset(f, 0, sizeof(*f));
    f->name = name;
    f->at = at;
    f->text_at = x->r.pos;
    f->plain = true;
    x->inside += is(name, "wdLnk");
}

static void end_tag(walk *x)
{
    uint32_t at = x->r.pos;
    x->r.pos += 2;
    cpuu_blob name = tag_name(&x->r);
    tag_end(&x->r);
    if (x->r.failed)
        return;
    frame *f = x->depth ? &x->stack[x->depth - 1] : NULL;
    if (!f || !cpuu_blob_equal(f->name, name)) {
        x->r.pos = at;
        cpuu_reader_fail(&x->r, "end tag", "does not match the start tag");
        return;
    }
    flush(x, f);
    x->depth--;
    if (is(name, "wdLnk") && --x->inside == 0 && x->shortcut && !x->r.failed &&
        !x->shortcut(x->user, f->at, x->r.pos))
        cpuu_reader_fail(&x->r, "walk", "stopped");
    if (f->plain && x->depth)
        leaf(x, f - 1, name, f->text_at, (cpuu_blob){x->r.data + f->text_at, at - f->text_at});
}

static void markup(walk *x)
{
    if (starts(&x->r, "</")) {
        end_tag(x);
        return;
    }
    bool question = starts(&x->r, "<?"), comment = starts(&x->r, "<!--");
    bool cdata = starts(&x->r, "<![CDATA[");
    if (x->depth && (question || comment || cdata))
        x->stack[x->depth - 1].plain = false;
    if (question)
        skip_to(&x->r, "?>", "processing instruction");
    else if (comment)
        skip_to(&x->r, "-->", "comment");
    else if (cdata && x->depth)
        skip_to(&x->r, "]]>", "CDATA section");
    else if (starts(&x->r, "<!"))
        cpuu_reader_fail(&x->r, "markup", "is not known in this file");
    else
        start_tag(x);
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Text up to the next tag; outside the root only white space is allowed. */
static void character(walk *x)
{
    uint8_t c = x->r.data[x->r.pos];
    if (c == 0 || (x->depth == 0 && !is_space(c)))
        cpuu_reader_fail(&x->r, "text", c ? "is outside the root element" : "has a NUL in it");
    else
        x->r.pos++;
}

static bool run(cpuu_blob in, cpuu_nav_cb cb, cpuu_nav_shortcut_cb shortcut, void *user,
                cpuu_fmt_error *err)
{
    walk x;
    memset(&x, 0, sizeof(x));
    cpuu_reader_init(&x.r, in.data, in.size);
    cpuu_buf_init(&x.id, in.size);
    x.cb = cb;
    x.shortcut = shortcut;
    x.user = user;
    if (starts(&x.r, "\xef\xbb\xbf"))
        x.r.pos = 3;
    while (cpuu_reader_left(&x.r)) {
        if (x.r.data[x.r.pos] == '<')
            markup(&x);
        else
            character(&x);
    }
    if (x.depth || !x.had_root)
        cpuu_reader_fail(&x.r, "document", "ends too early");
    cpuu_buf_free(&x.id);
    return fmt_done(&x.r, err);
}

bool cpuu_nav_walk(cpuu_blob in, cpuu_nav_cb cb, void *user, cpuu_fmt_error *err)
{
    return run(in, cb, NULL, user, err);
}

bool cpuu_nav_shortcuts(cpuu_blob in, cpuu_nav_shortcut_cb cb, void *user, cpuu_fmt_error *err)
{
    return run(in, NULL, cb, user, err);
}

/* ---- rewriting ------------------------------------------------------------------------------- */

typedef struct nav_rewrite {
    cpuu_blob in;
    cpuu_link_cb cb;
    void *user;
    cpuu_buf *out;
    cpuu_buf id;   /* scratch */
    uint32_t done; /* bytes of the input copied */
    bool replaced;
} nav_rewrite;

static void add_hex(cpuu_buf *out, const cpuu_buf *id)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < id->size; i++) {
        cpuu_buf_u8(out, (uint8_t)digits[id->data[i] >> 4]);
        cpuu_buf_u8(out, (uint8_t)digits[id->data[i] & 15]);
    }
}

static bool rewrite_item(void *user, const cpuu_nav_item *item)
{
    nav_rewrite *x = user;
    bool yes = false;
    if (item->kind == 0)
        return true;
    cpuu_buf_reset(&x->id);
    bool ok = item->kind == CPUU_LINK_EID
                  ? cpuu_eid_rewrite(item->id, x->cb, x->user, &x->id, &yes)
                  : cpuu_link_ask(x->cb, x->user, item->kind, item->id, &x->id, &yes);
    if (!ok)
        x->out->failed = true;
    if (!ok || !yes)
        return ok;
    cpuu_buf_add(x->out, x->in.data + x->done, item->offset - x->done);
    add_hex(x->out, &x->id);
    x->done = item->offset + item->hex.size;
    x->replaced = true;
    return !x->out->failed;
}

bool cpuu_nav_rewrite(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                      cpuu_fmt_error *err)
{
    nav_rewrite x;
    memset(&x, 0, sizeof(x));
    x.in = in;
    x.cb = cb;
    x.user = user;
    x.out = out;
    cpuu_buf_init(&x.id, out->max);
    bool ok = cpuu_nav_walk(in, rewrite_item, &x, err);
    cpuu_buf_free(&x.id);
    if (!ok)
        return out->failed ? fmt_wrote(out, err) : false;
    cpuu_buf_add(out, in.data ? in.data + x.done : NULL, in.size - x.done);
    if (!fmt_wrote(out, err))
        return false;
    if (x.replaced && replaced)
        *replaced = true;
    return true;
}
