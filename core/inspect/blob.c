/* cpuu-inspect blob */
#include "config.h"

#include "inspect/inspect.h"
#include "inspect/types.h"

#include "base/text.h"

#include <string.h>

/* The JSON object: type, size, then "tree", "links" or "equal", then "error" when damaged. */
static void head(const inspect_options *o, const blob_type *t, cpuu_blob in, FILE *out)
{
    if (o->json)
        fprintf(out,
                "{\"format\":\"cpuu-inspect-blob\",\"format_version\":1,\"type\":\"%s\","
                "\"size\":%u",
                t->name, in.size);
    else if (!o->links && !o->verify)
        fprintf(out, "%s, %u bytes\n", t->title, in.size);
}

static int tail(const inspect_options *o, bool ok, const cpuu_fmt_error *err, FILE *out)
{
    if (o->json && !ok)
        fprintf(out, ",\n\"error\":{\"offset\":%u,\"field\":\"%s\",\"what\":\"%s\"}", err->offset,
                err->field, err->what);
    if (o->json)
        fputs("}\n", out);
    if (!ok)
        fprintf(stderr, "cpuu-inspect: '%s' at offset %u (0x%x): %s %s\n", o->file, err->offset,
                err->offset, err->field, err->what);
    return ok ? INSPECT_FINE : INSPECT_UNUSABLE;
}

static int tree(const inspect_options *o, const blob_type *t, cpuu_blob in, FILE *out)
{
    printer p = {out, o->json, in, 0, false};
    cpuu_fmt_error err = {0, "", ""};
    head(o, t, in, out);
    if (o->json)
        fputs(",\n\"tree\":[", out);
    bool ok = t->print(&p, in, &err);
    while (p.depth)
        print_close(&p);
    if (o->json)
        fputs("]", out);
    return tail(o, ok, &err, out);
}

/* ---- links ----------------------------------------------------------------------------------- */

typedef struct link_list {
    const inspect_options *o;
    FILE *out;
    uint32_t n;
} link_list;

static const char *kind_name(uint32_t kind)
{
    static const char *const names[] = {"entryid",   "dn",  "smtp",     "searchkey", "sourcekey",
                                        "recordkey", "fid", "namedtag", "name"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (kind == 1u << i)
            return names[i];
    return "unknown";
}

/* What the link is, for a person: empty for identifiers without meaning of their own. */
static void meaning(uint32_t kind, cpuu_blob in, cpuu_buf *text)
{
    cpuu_eid e;
    if (kind == CPUU_LINK_EID && cpuu_eid_decode(in, &e, NULL))
        describe_eid(&e, text);
    else if (kind & (CPUU_LINK_EX_DN | CPUU_LINK_SMTP | CPUU_LINK_NAME | CPUU_LINK_SEARCH_KEY))
        cpuu_buf_add(text, in.data, in.size - (in.data[in.size - 1] == 0));
}

static void print_bytes(FILE *f, cpuu_blob in, uint32_t most)
{
    for (uint32_t i = 0; i < in.size && i < most; i++)
        fprintf(f, "%02x", in.data[i]);
    if (in.size > most)
        fprintf(f, "...");
}

static bool show_link(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *ignored)
{
    link_list *x = user;
    cpuu_buf text;
    (void)ignored;
    cpuu_buf_init(&text, 65536);
    meaning(kind, in, &text);
    const char *what = text.size ? (const char *)text.data : "";
    if (x->o->json) {
        fprintf(x->out, "%s\n{\"kind\":\"%s\",\"size\":%u,\"hex\":\"", x->n ? "," : "",
                kind_name(kind), in.size);
        print_bytes(x->out, in, UINT32_MAX);
        fputs("\",\"text\":", x->out);
        print_json_string(x->out, what, text.size);
        putc('}', x->out);
    } else {
        fprintf(x->out, "%-10s %5u  ", kind_name(kind), in.size);
        if (text.size)
            print_plain(x->out, what, text.size);
        else
            print_bytes(x->out, in, 64);
        putc('\n', x->out);
    }
    x->n++;
    cpuu_buf_free(&text);
    return false;
}

static int links(const inspect_options *o, const blob_type *t, cpuu_blob in, FILE *out)
{
    link_list x = {o, out, 0};
    cpuu_fmt_error err = {0, "", ""};
    cpuu_buf copy;
    head(o, t, in, out);
    if (o->json)
        fputs(",\n\"links\":[", out);
    cpuu_buf_init(&copy, 2 * (size_t)INSPECT_LIMIT);
    bool ok = t->rewrite(in, show_link, &x, &copy, NULL, &err);
    cpuu_buf_free(&copy);
    if (o->json)
        fputs("]", out);
    return tail(o, ok, &err, out);
}

/* ---- verification ---------------------------------------------------------------------------- */

static bool keep(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    (void)user;
    (void)kind;
    (void)in;
    (void)out;
    return false;
}

/* Every codec rewrites by reading and laying out again, so a kept blob is a re-encoded one. */
static int verify(const inspect_options *o, const blob_type *t, cpuu_blob in, FILE *out)
{
    cpuu_fmt_error err = {0, "", ""};
    cpuu_buf copy;
    cpuu_buf_init(&copy, 2 * (size_t)INSPECT_LIMIT);
    head(o, t, in, out);
    bool ok = t->rewrite(in, keep, NULL, &copy, NULL, &err);
    uint32_t at = 0;
    while (at < in.size && at < copy.size && in.data[at] == copy.data[at])
        at++;
    bool equal = ok && at == in.size && at == copy.size;
    cpuu_buf_free(&copy);
    if (o->json)
        fprintf(out, ",\"equal\":%s", equal ? "true" : "false");
    else if (equal)
        fprintf(out, "%s, %u bytes: equal\n", t->name, in.size);
    else if (ok)
        fprintf(out, "%s, %u bytes: differs from offset %u (0x%x) on\n", t->name, in.size, at, at);
    int status = tail(o, ok, &err, out);
    return status == INSPECT_FINE && !equal ? INSPECT_FINDINGS : status;
}

/* ---- the command ----------------------------------------------------------------------------- */

static const blob_type *choose(const inspect_options *o, cpuu_blob in)
{
    const blob_type *t = o->type ? type_find(o->type) : type_guess(in);
    if (!t && o->type)
        fprintf(stderr, "cpuu-inspect: there is no type '%s'; see --list-types\n", o->type);
    else if (!t)
        fprintf(stderr, "cpuu-inspect: '%s' is of no known type; give one with --type\n", o->file);
    return t;
}

int inspect_blob(const inspect_options *o, FILE *out)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_buf bytes;
    int status = INSPECT_UNUSABLE;
    cpuu_buf_init(&bytes, INSPECT_LIMIT);
    bool text_type = o->type && (cpuu_caseeq(o->type, "ewsid") || cpuu_caseeq(o->type, "navxml"));
    if (inspect_read(o->file, &bytes, &err) != CPUU_OK) {
        fprintf(stderr, "cpuu-inspect: %s\n", err.text);
    } else {
        if (!text_type)
            inspect_decode_text(&bytes);
        cpuu_blob in = {bytes.data ? bytes.data : (const uint8_t *)"", (uint32_t)bytes.size};
        const blob_type *t = choose(o, in);
        if (t)
            status = o->links    ? links(o, t, in, out)
                     : o->verify ? verify(o, t, in, out)
                                 : tree(o, t, in, out);
    }
    cpuu_buf_free(&bytes);
    return status;
}
