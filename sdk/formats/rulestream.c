/*
 * Outlook's rule stream; see cpuu/formats/rulestream.h.
 *
 * One walk serves reading and rewriting: every field is read by one of the few functions below,
 * which shows it to the caller (if there is one) and copies it to the output (if there is one).
 * What an element consists of is in a table.
 */
#include "internal.h"

#include <cpuu/formats/rulestream.h>

#define SEPARATOR 0x8001u /* also the back-reference to the class named before */
#define NEW_CLASS 0xffffu

typedef struct walk {
    cpuu_reader r;
    cpuu_xr_cb cb; /* or NULL */
    void *user;
    cpuu_rewriter *w; /* or NULL, as out */
    cpuu_buf *out;
    cpuu_xr_item item; /* rule, element, kind, tag are kept here */
    uint32_t opaque;
} walk;

/* ---- fields ---------------------------------------------------------------------------------- */

/* Shows what was read since `start`. */
static void show(walk *x, cpuu_xr_what what, const char *field, uint32_t start, cpuu_blob value)
{
    if (x->r.failed || !x->cb)
        return;
    cpuu_xr_item item = x->item;
    item.what = what;
    item.field = field;
    item.offset = x->r.base + start;
    item.size = x->r.pos - start;
    item.value = value;
    if (!x->cb(x->user, &item))
        cpuu_reader_fail(&x->r, "walk", "stopped");
}

/* Copies what was read since `start` as it is. */
static void copy(walk *x, uint32_t start)
{
    if (!x->r.failed && x->out)
        cpuu_buf_add(x->out, x->r.data + start, x->r.pos - start);
}

/* Sets a size in the output that was not known when it was copied. */
static void set_size(walk *x, size_t at, size_t n)
{
    if (!x->r.failed && x->out)
        cpuu_buf_put_u32(x->out, at, (uint32_t)n);
}

/* Bytes in the output so far. */
static size_t written(const walk *x)
{
    return x->out ? x->out->size : 0;
}

static cpuu_blob bytes(walk *x, cpuu_xr_what what, uint32_t n, const char *field)
{
    uint32_t start = x->r.pos;
    cpuu_blob value = fmt_blob(&x->r, n, field);
    copy(x, start);
    show(x, what, field, start, value);
    return value;
}

static uint32_t number(walk *x, uint32_t n, const char *field)
{
    cpuu_blob value = bytes(x, CPUU_XR_NUMBER, n, field);
    uint32_t v = 0;
    for (uint32_t i = value.size; i-- > 0;)
        v = (v << 8) | value.data[i];
    return v;
}

/* One length byte, 0xff before a 16-bit length; characters. */
static void text(walk *x, bool wide, const char *field)
{
    uint32_t start = x->r.pos;
    uint32_t n = cpuu_read_u8(&x->r, field);
    if (n == 0xff)
        n = cpuu_read_u16(&x->r, field);
    cpuu_blob value = fmt_blob(&x->r, wide ? 2 * n : n, field);
    copy(x, start);
    show(x, wide ? CPUU_XR_TEXT : CPUU_XR_TEXT8, field, start, value);
}

static void entry_id(walk *x)
{
    size_t size_at = written(x);
    uint32_t n = number(x, 4, "EntryID size");
    uint32_t start = x->r.pos;
    cpuu_blob value = fmt_blob(&x->r, n, "EntryID");
    show(x, CPUU_XR_EID, "EntryID", start, value);
    if (x->r.failed || !x->out)
        return;
    size_t before = x->out->size;
    cpuu_rewrite_value(x->w, value.size ? CPUU_LINK_EID : 0, CPUU_PT_BINARY, value, x->out);
    set_size(x, size_at, written(x) - before);
}

static void named_tag(walk *x)
{
    uint32_t start = x->r.pos;
    cpuu_blob value = fmt_blob(&x->r, 4, "property tag");
    if (x->r.failed)
        return;
    x->item.tag = cpuu_le32(value.data);
    show(x, CPUU_XR_TAG, "property tag", start, value);
    if (x->out)
        cpuu_buf_u32(x->out, cpuu_rewrite_tag(x->w, x->item.tag, x->out));
}

/* ---- property arrays ------------------------------------------------------------------------ */

typedef struct prop_block {
    uint32_t start;   /* of the block in the input */
    size_t out_start; /* and in the output */
} prop_block;

/* Writes the value and corrects its index entry, which is in the output already. */
static void write_value(walk *x, const prop_block *b, size_t entry, bool is_text, cpuu_blob value)
{
    uint32_t type = CPUU_TAG_TYPE(x->item.tag);
    uint32_t offset = (uint32_t)(x->out->size - b->out_start);
    size_t before = x->out->size;
    uint32_t kind = cpuu_rawprop_link(x->item.tag, value);
    cpuu_rewrite_value(x->w, kind, type, value, x->out);
    uint32_t n = (uint32_t)(x->out->size - before);
    cpuu_buf_fill(x->out, 0, type == CPUU_PT_STRING ? 2 : type == CPUU_PT_STRING8 ? 1 : 0);
    cpuu_buf_put_u32(x->out, entry + 8, is_text ? offset : n);
    if (!is_text)
        cpuu_buf_put_u32(x->out, entry + 12, offset);
}

/* Entry i of the index: a value outside the index follows for texts and binaries only. */
static void prop_value(walk *x, const prop_block *b, uint32_t i)
{
    const uint8_t *e = x->r.data + b->start + 16 * i;
    x->item.tag = cpuu_le32(e);
    uint32_t type = CPUU_TAG_TYPE(x->item.tag), start = x->r.pos;
    bool is_text = type == CPUU_PT_STRING || type == CPUU_PT_STRING8;
    if (!is_text && type != CPUU_PT_BINARY)
        return;
    if (cpuu_le32(e + (is_text ? 8 : 12)) != x->r.pos - b->start) {
        cpuu_reader_fail(&x->r, "propval index", "has an offset where the value is not");
        return;
    }
    cpuu_blob value = type == CPUU_PT_STRING    ? fmt_blob_sz16(&x->r, "propval data")
                      : type == CPUU_PT_STRING8 ? fmt_blob_sz8(&x->r, "propval data")
                                                : fmt_blob(&x->r, cpuu_le32(e + 8), "propval data");
    show(x, CPUU_XR_VALUE, "propval data", start, value);
    if (!x->r.failed && x->out)
        write_value(x, b, b->out_start + 16 * (size_t)i, is_text, value);
}

static void prop_array(walk *x)
{
    number(x, 4, "propval array: 0");
    uint32_t n = number(x, 4, "propval array: number of properties");
    size_t size_at = written(x);
    uint32_t size = number(x, 4, "propval array: bytes in block");
    prop_block b = {x->r.pos, written(x)};
    if (n > cpuu_reader_left(&x->r) / 16)
        cpuu_reader_fail(&x->r, "propval array: number of properties", "runs past the end");
    for (uint32_t i = 0; i < n && !x->r.failed; i++) {
        x->item.tag = cpuu_le32(x->r.data + x->r.pos);
        bytes(x, CPUU_XR_INDEX, 16, "propval index");
    }
    for (uint32_t i = 0; i < n && !x->r.failed; i++)
        prop_value(x, &b, i);
    if (!x->r.failed && x->r.pos - b.start != size)
        cpuu_reader_fail(&x->r, "propval array: bytes in block", "does not match the values");
    set_size(x, size_at, written(x) - b.out_start);
}

/* ---- elements -------------------------------------------------------------------------------- */

/*
 * d 4-byte number, D time, g GUID, s text, a 8-bit text, e size and EntryID, n property tag,
 * p property array, L 4-byte and W 2-byte count of what the next brackets hold
 */
#define NOTHING    "d"
#define NUMBER     "ddd"
#define TEXT       "dds"
#define PEOPLE     "ddL(p)dd"
#define WORDS      "L(ds)"
#define FLAGGED    "dddsd"
#define SIZES      "dddd"
#define DATES      "ddddDddD"
#define FORMS      "Ld(sa)"
#define FORM_PROPS "ddsW(sndsdddddddDd)L(a)"
#define ACCOUNT    "ddsa"
#define OBJECT     "ddes"
#define FOLDER     "ddeesd"

static const struct {
    uint16_t kind;
    const char *name;
    const char *layout;
} elements[] = {
    {100, "condition 100", NUMBER},
    {200, "my name in To", NOTHING},
    {201, "only to me", NOTHING},
    {202, "my name not in To", NOTHING},
    {203, "from", PEOPLE},
    {204, "sent to", PEOPLE},
    {205, "words in subject", WORDS},
    {206, "words in body", WORDS},
    {207, "words in subject or body", WORDS},
    {208, "flagged for action", FLAGGED},
    {210, "importance", NUMBER},
    {211, "sensitivity", NUMBER},
    {215, "category", TEXT},
    {220, "automatic reply", NOTHING},
    {222, "attachment", NOTHING},
    {223, "form property", FORM_PROPS},
    {224, "size", SIZES},
    {225, "date", DATES},
    {226, "my name in Cc", NOTHING},
    {227, "my name in To or Cc", NOTHING},
    {228, "form", FORMS},
    {229, "words in recipient address", WORDS},
    {230, "words in sender address", WORDS},
    {232, "words in header", WORDS},
    {238, "account", ACCOUNT},
    {239, "this computer", "ddg"},
    {240, "address book", OBJECT},
    {241, "meeting request", NOTHING},
    {245, "RSS feed", TEXT},
    {246, "any category", NOTHING},
    {247, "any RSS feed", NOTHING},
    {300, "move", FOLDER},
    {301, "delete", NOTHING},
    {302, "forward", PEOPLE},
    {303, "reply with template file", TEXT},
    {304, "notification text", TEXT},
    {305, "flag for action in days", FLAGGED},
    {306, "clear flag", NOTHING},
    {307, "set categories", TEXT},
    {310, "play sound", TEXT},
    {311, "set importance", NUMBER},
    {313, "copy", FOLDER},
    {314, "notify when read", NOTHING},
    {315, "notify when delivered", NOTHING},
    {316, "Cc", PEOPLE},
    {318, "defer delivery", NUMBER},
    {322, "stop processing", NOTHING},
    {324, "redirect", PEOPLE},
    {326, "reply with message", OBJECT},
    {327, "forward as attachment", PEOPLE},
    {328, "print", NOTHING},
    {330, "delete permanently", NOTHING},
    {332, "mark as read", NOTHING},
    {335, "desktop alert", NOTHING},
    {337, "set follow-up flag", "ddds"},
    {338, "clear categories", NOTHING},
    {400, "received or sent", NUMBER},
    {500, "except my name in To", NOTHING},
    {501, "except only to me", NOTHING},
    {502, "except my name not in To", NOTHING},
    {503, "except from", PEOPLE},
    {504, "except sent to", PEOPLE},
    {505, "except words in subject", WORDS},
    {506, "except words in body", WORDS},
    {507, "except words in subject or body", WORDS},
    {508, "except flagged for action", FLAGGED},
    {510, "except importance", NUMBER},
    {511, "except sensitivity", NUMBER},
    {515, "except category", TEXT},
    {520, "except automatic reply", NOTHING},
    {522, "except attachment", NOTHING},
    {523, "except form property", FORM_PROPS},
    {524, "except size", SIZES},
    {525, "except date", DATES},
    {526, "except my name in Cc", NOTHING},
    {527, "except my name in To or Cc", NOTHING},
    {528, "except form", FORMS},
    {529, "except words in recipient address", WORDS},
    {530, "except words in sender address", WORDS},
    {531, "except words in header", WORDS},
    {532, "except account", ACCOUNT},
    {533, "except address book", OBJECT},
    {534, "except meeting request", NOTHING},
    {537, "except RSS feed", TEXT},
    {538, "except any category", NOTHING},
    {539, "except any RSS feed", NOTHING},
};

static size_t find_kind(uint32_t kind)
{
    size_t i = 0, n = sizeof(elements) / sizeof(elements[0]);
    while (i < n && elements[i].kind != kind)
        i++;
    return i;
}

const char *cpuu_xr_kind_name(uint32_t kind)
{
    size_t i = find_kind(kind);
    return i < sizeof(elements) / sizeof(elements[0]) ? elements[i].name : NULL;
}

static void fields(walk *x, const char *f, const char *end)
{
    uint32_t count = 0;
    for (; f < end && !x->r.failed; f++) {
        switch (*f) {
        case 'd': number(x, 4, "word"); break;
        case 'D': bytes(x, CPUU_XR_TIME, 8, "time"); break;
        case 'g': bytes(x, CPUU_XR_GUID, 16, "GUID"); break;
        case 's': text(x, true, "text"); break;
        case 'a': text(x, false, "8-bit text"); break;
        case 'e': entry_id(x); break;
        case 'n': named_tag(x); break;
        case 'p': prop_array(x); break;
        case 'L': count = number(x, 4, "count"); break;
        case 'W': count = number(x, 2, "count"); break;
        case '(': {
            const char *close = strchr(f, ')');
            for (uint32_t i = 0; i < count && !x->r.failed; i++)
                fields(x, f + 1, close);
            f = close;
            break;
        }
        }
    }
}

static void element(walk *x)
{
    uint32_t start = x->r.pos;
    cpuu_blob kind = fmt_blob(&x->r, 4, "element kind");
    if (x->r.failed)
        return;
    x->item.kind = cpuu_le32(kind.data);
    copy(x, start);
    show(x, CPUU_XR_ELEMENT, "element kind", start, kind);
    size_t i = find_kind(x->item.kind);
    if (i == sizeof(elements) / sizeof(elements[0])) {
        cpuu_reader_fail(&x->r, "element kind", "is not known");
        return;
    }
    fields(x, elements[i].layout, elements[i].layout + strlen(elements[i].layout));
}

/* ---- rules ----------------------------------------------------------------------------------- */

/* What the byte count of the header counts. */
static void rule_body(walk *x)
{
    uint32_t n = number(x, 2, "number of elements");
    uint32_t class = number(x, 2, "class");
    if (class == NEW_CLASS) {
        number(x, 2, "schema");
        bytes(x, CPUU_XR_TEXT8, number(x, 2, "class name length"), "class name");
    } else if (class != SEPARATOR) {
        cpuu_reader_fail(&x->r, "class", "is neither a name nor a reference");
    }
    for (uint32_t i = 0; i < n && !x->r.failed; i++) {
        x->item.element = i;
        if (i && number(x, 2, "separator") != SEPARATOR)
            cpuu_reader_fail(&x->r, "separator", "is not 0x8001");
        element(x);
    }
    x->item.element = UINT32_MAX;
    if (cpuu_reader_left(&x->r))
        bytes(x, CPUU_XR_BYTES, cpuu_reader_left(&x->r), "rest of the rule");
}

/* Reads the body without showing or copying, to know beforehand whether it can be taken apart. */
static bool probe(const walk *x, cpuu_reader body, cpuu_xr_item *at, cpuu_fmt_error *err)
{
    walk dry = *x;
    dry.r = body;
    dry.cb = NULL;
    dry.w = NULL;
    dry.out = NULL;
    rule_body(&dry);
    *at = dry.item;
    return fmt_done(&dry.r, err);
}

static bool known_magic(const uint8_t *p)
{
    static const uint8_t known[][3] = {
        {0x00, 0x00, 0x14}, {0x40, 0x42, 0x0f}, {0x80, 0x4f, 0x12}, {0xe0, 0xc8, 0x10}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (memcmp(p, known[i], 3) == 0)
            return true;
    return false;
}

static void body_of(walk *x, uint32_t size)
{
    cpuu_reader outer = x->r;
    cpuu_reader body = cpuu_reader_sub(&outer, size, "byte count");
    cpuu_xr_item at;
    cpuu_fmt_error err;
    bool apart = !body.failed && probe(x, body, &at, &err);
    x->r = body;
    if (apart) {
        rule_body(x);
    } else if (!body.failed) {
        x->opaque++;
        x->item.kind = at.kind;
        x->item.element = at.element;
        cpuu_blob all = fmt_blob_left(&x->r, "rule");
        copy(x, 0);
        show(x, CPUU_XR_OPAQUE, err.field, 0, all);
        x->item.element = UINT32_MAX;
    }
    cpuu_reader_join(&outer, &x->r);
    x->r = outer;
}

static void rule(walk *x)
{
    static const char *const words[] = {"rule active",  "zero",         "state word 0",
                                        "state word 1", "state word 2"};
    cpuu_reader ahead = x->r;
    const uint8_t *magic = cpuu_read_bytes(&ahead, 3, "rule magic");
    if (magic && !known_magic(magic))
        cpuu_reader_fail(&x->r, "rule magic", "is not of a known version");
    bytes(x, CPUU_XR_BYTES, 3, "rule magic");
    number(x, 1, "locator");
    text(x, true, "rule name");
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        number(x, 4, words[i]);
    size_t size_at = written(x);
    uint32_t size = number(x, 4, "byte count");
    size_t before = written(x);
    body_of(x, size);
    set_size(x, size_at, written(x) - before);
}

static void next_rule(walk *x, uint32_t i)
{
    x->item = (cpuu_xr_item){.rule = i, .element = UINT32_MAX};
    show(x, CPUU_XR_RULE, "rule", x->r.pos, (cpuu_blob){NULL, 0});
    rule(x);
}

/* ---- both outer forms ----------------------------------------------------------------------- */

bool cpuu_xr_is_defer(cpuu_blob in)
{
    if (in.size >= 7 && cpuu_le32(in.data) == in.size - 4 && known_magic(in.data + 4))
        return true;
    return in.size >= 4 && known_magic(in.data);
}

static void defer(walk *x)
{
    bool counted = x->r.size >= 4 && cpuu_le32(x->r.data) == x->r.size - 4;
    size_t start = written(x);
    if (counted)
        number(x, 4, "length of the rest");
    uint32_t i = 0;
    do {
        next_rule(x, i++);
    } while (cpuu_reader_left(&x->r));
    if (counted)
        set_size(x, start, written(x) - start - 4);
}

static void stream(walk *x)
{
    static const uint8_t tail[5] = {0, 0, 0, 0x14, 0x06};
    cpuu_reader ahead = x->r;
    const uint8_t *magic = cpuu_read_bytes(&ahead, 8, "stream magic");
    if (magic && (!known_magic(magic) || memcmp(magic + 3, tail, sizeof(tail)) != 0))
        cpuu_reader_fail(&x->r, "stream magic", "is not of a known version");
    bytes(x, CPUU_XR_BYTES, 8, "stream magic");
    for (int i = 0; i < 9; i++)
        number(x, 4, "word");
    uint32_t n = number(x, 2, "number of rules");
    for (uint32_t i = 0; i < n && !x->r.failed; i++)
        next_rule(x, i);
    uint32_t chars = number(x, 4, "template folder length");
    if (chars > UINT32_MAX / 2)
        cpuu_reader_fail(&x->r, "template folder length", "runs past the end");
    bytes(x, CPUU_XR_BYTES, 2 * chars, "template folder");
    number(x, 4, "zero");
    bytes(x, CPUU_XR_TIME, 8, "time stamp");
    number(x, 4, "zero");
    if (cpuu_reader_left(&x->r))
        bytes(x, CPUU_XR_BYTES, cpuu_reader_left(&x->r), "rest of the stream");
}

static bool run(walk *x, cpuu_blob in, cpuu_xr_form form, uint32_t *opaque, cpuu_fmt_error *err)
{
    cpuu_reader_init(&x->r, in.data, in.size);
    x->item.element = UINT32_MAX;
    if (form == CPUU_XR_STREAM)
        stream(x);
    else
        defer(x);
    if (!fmt_done(&x->r, err) || (x->out && !fmt_wrote(x->out, err)))
        return false;
    if (opaque)
        *opaque = x->opaque;
    return true;
}

bool cpuu_xr_walk(cpuu_blob in, cpuu_xr_form form, cpuu_xr_cb cb, void *user, uint32_t *opaque,
                  cpuu_fmt_error *err)
{
    walk x;
    memset(&x, 0, sizeof(x));
    x.cb = cb;
    x.user = user;
    return run(&x, in, form, opaque, err);
}

bool cpuu_xr_rewrite(cpuu_blob in, cpuu_xr_form form, cpuu_link_cb cb, void *user, cpuu_buf *out,
                     bool *replaced, uint32_t *opaque, cpuu_fmt_error *err)
{
    cpuu_rewriter w = {cb, user, NULL, NULL, false};
    walk x;
    memset(&x, 0, sizeof(x));
    x.w = &w;
    x.out = out;
    if (!run(&x, in, form, opaque, err))
        return false;
    if (replaced && w.replaced)
        *replaced = true;
    return true;
}
