/* cpuu-inspect profile: the profile as a tree, as a graph, and what is wrong with it. */
#include "config.h"

#include "inspect/profile.h"

#include "base/text.h"

#include <cpuu/formats/mv.h>

#include <string.h>

/* ---- opening --------------------------------------------------------------------------------- */

static cpuu_rc open_text(const char *path, cpuu_reg **out, cpuu_error *err)
{
    cpuu_buf text;
    cpuu_edits edits;
    cpuu_reg *reg = NULL;
    cpuu_buf_init(&text, INSPECT_LIMIT);
    cpuu_edits_init(&edits);
    cpuu_rc rc = inspect_read(path, &text, err);
    if (rc >= 0 && (rc = cpuu_reg_parse_text(text.data, text.size, &edits, err)) < 0)
        cpuu_wrap(err, "reading '%s'", path);
    if (rc >= 0)
        rc = cpuu_reg_open_memory(&reg, err);
    if (rc >= 0)
        rc = cpuu_reg_apply(reg, &edits, err);
    cpuu_edits_free(&edits);
    cpuu_buf_free(&text);
    if (rc >= 0)
        *out = reg;
    else
        cpuu_reg_close(reg);
    return rc;
}

static bool is_hive(const char *path)
{
    char magic[4] = "";
    FILE *f = fopen(path, "rb");
    bool yes = f && fread(magic, 1, 4, f) == 4 && memcmp(magic, "regf", 4) == 0;
    if (f)
        fclose(f);
    return yes;
}

static cpuu_rc open_registry(const char *path, bool hive, cpuu_reg **out, cpuu_error *err)
{
    return hive ? cpuu_reg_open_hive(path, NULL, out, err) : open_text(path, out, err);
}

static cpuu_rc open_profile(cpuu_reg *reg, const char *name, cpuu_profile **out, cpuu_error *err)
{
    cpuu_profile_roots roots;
    cpuu_rc rc = cpuu_profile_discover(reg, &roots, err);
    if (rc < 0)
        return rc;
    rc = CPUU_E_NOTFOUND;
    for (size_t r = 0; r < roots.count && rc == CPUU_E_NOTFOUND; r++) {
        const cpuu_profile_root *root = &roots.items[r];
        const char *wanted = name ? name : root->default_profile;
        if (!wanted && root->names.count)
            wanted = root->names.items[0];
        for (size_t i = 0; wanted && i < root->names.count; i++)
            if (cpuu_name_eq(root->names.items[i], wanted)) {
                rc = cpuu_profile_open(reg, root, root->names.items[i], out, err);
                break;
            }
    }
    cpuu_profile_roots_free(&roots);
    if (rc == CPUU_E_NOTFOUND)
        cpuu_fail(err, rc, "'%s' has no profile%s%s", cpuu_reg_location(reg), name ? " named " : "",
                  name ? name : "");
    return rc;
}

/* ---- values ---------------------------------------------------------------------------------- */

static void add(cpuu_buf *out, const char *s)
{
    cpuu_buf_add(out, s, strlen(s));
}

static void add_hex(cpuu_buf *out, cpuu_blob b)
{
    for (uint32_t i = 0; i < b.size && i < 32; i++) {
        char two[3];
        cpuu_hex(two, b.data + i, 1);
        add(out, two);
    }
    char more[32];
    snprintf(more, sizeof(more), "... (%u bytes)", b.size);
    if (b.size > 32)
        add(out, more);
}

static void add_binary(cpuu_buf *out, cpuu_blob b)
{
    cpuu_eid e;
    if (cpuu_eid_decode(b, &e, NULL) && e.kind != CPUU_EID_UNKNOWN)
        describe_eid(&e, out);
    else
        add_hex(out, b);
}

static void add_list(cpuu_buf *out, uint32_t type, cpuu_blob stored)
{
    cpuu_buf list;
    cpuu_reader r;
    unsigned width = 0;
    char head[32];
    cpuu_buf_init(&list, 1u << 24);
    if (!cpuu_mv_decode(type, stored.data, stored.size, &list, &width, NULL)) {
        add_hex(out, stored);
        cpuu_buf_free(&list);
        return;
    }
    cpuu_reader_init(&r, list.data, list.size);
    uint32_t n = cpuu_read_u32(&r, "n");
    snprintf(head, sizeof(head), "[%u]", n);
    add(out, head);
    for (uint32_t i = 0; i < n && !r.failed; i++) {
        cpuu_blob b = {NULL, cpuu_read_u32(&r, "size")};
        b.data = cpuu_read_bytes(&r, b.size, "element");
        add(out, i ? "; " : " ");
        if (!b.data)
            break;
        if (type == CPUU_MV_UNICODE)
            cpuu_buf_utf8_from_utf16(out, b.data, b.size & ~1u);
        else if (type == CPUU_MV_STRING8)
            cpuu_buf_add(out, b.data, b.size);
        else
            add_binary(out, b);
    }
    cpuu_buf_free(&list);
}

static cpuu_blob without_nul(const cpuu_reg_value *v)
{
    cpuu_blob b = {v->data, v->size & ~1u};
    while (b.size >= 2 && b.data[b.size - 1] == 0 && b.data[b.size - 2] == 0)
        b.size -= 2;
    return b;
}

/* Tag of a value named TTTTIIII; 0 for other names. */
static uint32_t tag_of(const char *name)
{
    uint8_t b[4];
    if (strlen(name) != 8 || !cpuu_unhex(b, name, 4))
        return 0;
    return (uint32_t)b[2] << 24 | (uint32_t)b[3] << 16 | (uint32_t)b[0] << 8 | b[1];
}

void describe_value(const cpuu_reg_value *v, cpuu_buf *out)
{
    uint32_t tag = tag_of(v->name), type = CPUU_TAG_TYPE(tag);
    cpuu_blob b = {v->data, v->size}, text = without_nul(v);
    char number[48];
    bool list = type == CPUU_MV_BINARY || type == CPUU_MV_UNICODE || type == CPUU_MV_STRING8;
    if (v->type == CPUU_REG_SZ || v->type == CPUU_REG_EXPAND_SZ ||
        (tag && type == CPUU_PT_STRING)) {
        add(out, "\"");
        cpuu_buf_utf8_from_utf16(out, text.data, text.size);
        add(out, "\"");
    } else if (v->size == 4 && (v->type == CPUU_REG_DWORD || type == CPUU_PT_INT32)) {
        snprintf(number, sizeof(number), "%u (0x%x)", cpuu_le32(v->data), cpuu_le32(v->data));
        add(out, number);
    } else if (tag && list) {
        add_list(out, type, b);
    } else {
        add_binary(out, b);
    }
}

/* One text of a section, in UTF-8; empty when it is not there. */
static void section_value(cpuu_profile *p, const char *section, uint16_t id, cpuu_buf *out)
{
    static const uint32_t types[] = {CPUU_PT_STRING, CPUU_PT_STRING8, CPUU_PT_BINARY,
                                     CPUU_PT_INT32};
    cpuu_buf_reset(out);
    for (size_t i = 0; i < 4 && out->size == 0; i++) {
        cpuu_arena arena = {NULL, 0};
        cpuu_value v;
        cpuu_error ignored = CPUU_ERROR_INIT;
        if (cpuu_profile_get(p, section, CPUU_TAG(id, types[i]), &arena, &v, &ignored) == CPUU_OK)
            cpuu_buf_add(out, v.data, v.size);
        cpuu_arena_free(&arena);
    }
}

static void show_text(printer *t, cpuu_profile *p, const char *section, uint16_t id,
                      const char *name)
{
    cpuu_buf b;
    cpuu_buf_init(&b, 1u << 20);
    section_value(p, section, id, &b);
    if (b.size)
        print_leaf(t, NO_OFFSET, name, "%.*s", (int)b.size, (const char *)b.data);
    cpuu_buf_free(&b);
}

/* ---- tree ------------------------------------------------------------------------------------ */

/* PR_MDB_PROVIDER, EdkMdb.h and mspst.h */
static const struct {
    uint8_t start[4];
    const char *name;
} store_kinds[] = {
    {{0x54, 0x94, 0xa1, 0xc0}, "primary mailbox"},
    {{0x9e, 0xb4, 0x77, 0x00}, "additional mailbox"},
    {{0x78, 0xb2, 0xfa, 0x70}, "public folders"},
    {{0xa9, 0x06, 0x40, 0xe0}, "Exchange transport"},
    {{0x4e, 0x49, 0x54, 0x41}, "personal folders file"},
};

static const char *provider_kind(cpuu_profile *p, const char *section)
{
    cpuu_buf b;
    const char *kind = "provider";
    cpuu_buf_init(&b, 1u << 16);
    section_value(p, section, 0x3414, &b);
    for (size_t i = 0; b.size >= 4 && i < sizeof(store_kinds) / sizeof(store_kinds[0]); i++)
        if (memcmp(b.data, store_kinds[i].start, 4) == 0)
            kind = store_kinds[i].name;
    if (strcmp(kind, "provider") == 0) {
        section_value(p, section, 0x3e03, &b); /* MAPI_STORE_PROVIDER and so on, mapidefs.h */
        switch (b.size == 4 ? cpuu_le32(b.data) : 0) {
        case 0x21:
            kind = "store";
            break;
        case 0x22:
            kind = "transport";
            break;
        case 0x23:
            kind = "address book";
            break;
        case 0x28:
            kind = "hook";
            break;
        }
    }
    cpuu_buf_free(&b);
    return kind;
}

static void show_contacts(printer *t, cpuu_profile *p, const char *section)
{
    cpuu_arena arena = {NULL, 0};
    cpuu_value v;
    cpuu_error ignored = CPUU_ERROR_INIT;
    if (cpuu_profile_get(p, section, CPUU_TAG(0x6620, CPUU_MV_BINARY), &arena, &v, &ignored) ==
        CPUU_OK) {
        cpuu_reader r;
        cpuu_reader_init(&r, v.data, v.size);
        for (uint32_t n = cpuu_read_u32(&r, "n"); n-- && !r.failed;) {
            cpuu_blob b = {NULL, cpuu_read_u32(&r, "size")};
            b.data = cpuu_read_bytes(&r, b.size, "element");
            if (b.data)
                print_eid(t, "contact folder", b);
        }
    }
    cpuu_arena_free(&arena);
}

static void show_provider(printer *t, cpuu_profile *p, const char *section)
{
    cpuu_buf eid;
    print_open(t, NO_OFFSET, provider_kind(p, section), "%s", section);
    show_text(t, p, section, 0x3001, "display name");
    show_text(t, p, section, 0x300a, "DLL");
    show_text(t, p, section, 0x6641, "SMTP address");
    show_text(t, p, section, 0x660b, "mailbox DN");
    show_text(t, p, section, 0x6700, "file");
    cpuu_buf_init(&eid, 1u << 20);
    section_value(p, section, 0x0fff, &eid);
    if (eid.size)
        print_eid(t, "store EntryID", (cpuu_blob){eid.data, (uint32_t)eid.size});
    cpuu_buf_free(&eid);
    show_contacts(t, p, section);
    print_close(t);
}

static void show_account(printer *t, const cpuu_account *a, bool primary)
{
    print_open(t, NO_OFFSET, primary ? "primary Exchange account" : "Exchange account", "%s",
               a->smtp ? a->smtp : "mailbox unknown");
    if (a->subkey)
        print_leaf(t, NO_OFFSET, "account", "%s", a->subkey);
    if (a->legacy_dn)
        print_leaf(t, NO_OFFSET, "mailbox DN", "%s", a->legacy_dn);
    if (a->display_name)
        print_leaf(t, NO_OFFSET, "display name", "%s", a->display_name);
    print_leaf(t, NO_OFFSET, "cached mode", "%s", a->cached ? "yes" : "no");
    print_leaf(t, NO_OFFSET, "OST file", "%s", a->ost_path ? a->ost_path : "none");
    print_leaf(t, NO_OFFSET, "configuration flags", "0x%x", a->config_flags);
    print_leaf(t, NO_OFFSET, "service", "%s", a->service_section);
    print_leaf(t, NO_OFFSET, "EMSMDB section", "%s", a->emsmdb_section);
    if (a->has_disagreement)
        print_leaf(t, NO_OFFSET, "warning", "the values that name its mailbox do not agree");
    print_close(t);
}

/* All accounts, in the order of the account manager's keys; the Exchange ones are above in detail.
 */
static void show_other_accounts(printer *t, cpuu_profile *p)
{
    char *key = cpuu_reg_join(p->key, CPUU_SECTION_ACCOUNTS);
    cpuu_reg_names names;
    cpuu_error ignored = CPUU_ERROR_INIT;
    static const char *const texts[] = {"Account Name", "Email", "Service Name", "POP3 Server",
                                        "IMAP Server"};
    if (key && cpuu_reg_keys(p->reg, key, &names, &ignored) == CPUU_OK) {
        for (size_t i = 0; i < names.count; i++) {
            char *sub = cpuu_reg_join(key, names.items[i]);
            cpuu_reg_values v;
            if (sub && cpuu_reg_values_of(p->reg, sub, &v, &ignored) == CPUU_OK) {
                print_open(t, NO_OFFSET, "account", "%s", names.items[i]);
                for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++) {
                    const cpuu_reg_value *value = cpuu_reg_find(&v, texts[k]);
                    if (value)
                        print_text16(t, texts[k], without_nul(value));
                }
                print_close(t);
                cpuu_reg_values_free(&v);
            }
            cpuu_free(sub);
        }
        cpuu_reg_names_free(&names);
    }
    cpuu_free(key);
}

static void show_tree(printer *t, cpuu_profile *p)
{
    char guid[39];
    print_open(t, NO_OFFSET, "profile", "%s", p->name);
    print_leaf(t, NO_OFFSET, "key", "%s", p->key);
    print_leaf(t, NO_OFFSET, "default", "%s", p->is_default ? "yes" : "no");
    print_leaf(t, NO_OFFSET, "Outlook", "%s",
               *p->outlook_version ? p->outlook_version : "2010 or older");
    print_leaf(t, NO_OFFSET, "width of multi-valued values", "%u", p->mv_width);
    if (p->has_uid) {
        cpuu_guid_text(guid, p->uid);
        print_leaf(t, NO_OFFSET, "UID", "%s", guid);
    }
    for (size_t i = 0; i < p->n_accounts; i++)
        show_account(t, &p->accounts[i], i == 0);
    show_other_accounts(t, p);
    for (size_t i = 0; i < p->n_services; i++) {
        const cpuu_service *s = &p->services[i];
        print_open(t, NO_OFFSET, "service", "%s%s%s%s", s->missing ? "missing" : s->name,
                   s->display_name ? ", " : "", s->display_name ? s->display_name : "", "");
        print_leaf(t, NO_OFFSET, "section", "%s", s->section);
        for (size_t k = 0; k < s->n_providers; k++)
            show_provider(t, p, s->providers[k]);
        print_close(t);
    }
    print_close(t);
}

/* ---- graph ----------------------------------------------------------------------------------- */

/* A DOT string: only '"' and '\' need care, and line breaks stay out. */
static void dot_text(FILE *f, const char *s)
{
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            putc('\\', f);
        putc((uint8_t)*s < 0x20 || *s == 0x7f ? ' ' : *s, f);
    }
}

static void dot_node(FILE *f, const char *id, const char *shape, const char *a, const char *b)
{
    fprintf(f, "  \"%s\" [shape=%s, label=\"", id, shape);
    dot_text(f, a);
    fputs("\\n", f);
    dot_text(f, b);
    fputs("\"];\n", f);
}

static void show_graph(FILE *f, cpuu_profile *p)
{
    fputs("digraph profile {\n  rankdir=LR;\n", f);
    dot_node(f, CPUU_SECTION_MASTER, "box", "profile", p->name);
    for (size_t i = 0; i < p->n_services; i++) {
        const cpuu_service *s = &p->services[i];
        dot_node(f, s->section, s->missing ? "octagon" : "ellipse",
                 s->missing ? "missing" : s->name, s->section);
        fprintf(f, "  \"%s\" -> \"%s\";\n", CPUU_SECTION_MASTER, s->section);
        for (size_t k = 0; k < s->n_providers; k++) {
            dot_node(f, s->providers[k], "note", provider_kind(p, s->providers[k]),
                     s->providers[k]);
            fprintf(f, "  \"%s\" -> \"%s\";\n", s->section, s->providers[k]);
        }
    }
    for (size_t i = 0; i < p->n_accounts; i++) {
        const cpuu_account *a = &p->accounts[i];
        dot_node(f, a->emsmdb_section, "component", a->smtp ? a->smtp : "mailbox unknown",
                 a->emsmdb_section);
        fprintf(f, "  \"%s\" -> \"%s\" [label=\"EMSMDB section\"];\n", a->service_section,
                a->emsmdb_section);
        if (a->store_section)
            fprintf(f, "  \"%s\" -> \"%s\" [style=dashed, label=\"mailbox\"];\n", a->emsmdb_section,
                    a->store_section);
    }
    fputs("}\n", f);
}

/* ---- check ----------------------------------------------------------------------------------- */

static cpuu_rc show_findings(printer *t, cpuu_profile *p, size_t *n, cpuu_error *err)
{
    cpuu_findings found;
    cpuu_rc rc = cpuu_profile_check(p, &found, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < found.count; i++) {
        print_open(t, NO_OFFSET, found.items[i].fatal ? "error" : "warning", "%s",
                   found.items[i].text);
        print_leaf(t, NO_OFFSET, "section", "%s", found.items[i].section);
        print_close(t);
    }
    *n = found.count;
    cpuu_findings_free(&found);
    return CPUU_OK;
}

/* ---- the command ----------------------------------------------------------------------------- */

static int fail_with(const cpuu_error *err)
{
    fprintf(stderr, "cpuu-inspect: %s\n", err->text);
    return INSPECT_UNUSABLE;
}

static int show(const inspect_options *o, cpuu_profile *p, FILE *out)
{
    printer t = {out, o->json, {NULL, 0}, 0, false};
    cpuu_error err = CPUU_ERROR_INIT;
    size_t findings = 0;
    cpuu_rc rc = CPUU_OK;
    if (o->graph) {
        show_graph(out, p);
        return INSPECT_FINE;
    }
    if (o->json)
        fputs("{\"format\":\"cpuu-inspect-profile\",\"format_version\":1,\n\"tree\":[", out);
    if (o->check)
        rc = show_findings(&t, p, &findings, &err);
    else
        show_tree(&t, p);
    if (o->json)
        fputs("]}\n", out);
    else if (o->check && rc >= 0)
        fprintf(out, "%zu finding%s\n", findings, findings == 1 ? "" : "s");
    if (rc < 0)
        return fail_with(&err);
    return findings ? INSPECT_FINDINGS : INSPECT_FINE;
}

/* One or two registries, one or two profiles. Two names with --hive or --reg are profiles of the
 * same registry, otherwise files. */
int inspect_profile(const inspect_options *o, FILE *out)
{
    cpuu_reg *regs[2] = {NULL, NULL};
    cpuu_profile *profiles[2] = {NULL, NULL};
    cpuu_error err = CPUU_ERROR_INIT;
    const char *path = o->hive ? o->hive : o->reg;
    bool two_files = o->diff[0] && !path;
    int n = o->diff[0] ? 2 : 1, status = INSPECT_UNUSABLE;
    cpuu_rc rc = CPUU_OK;
    for (int i = 0; rc >= 0 && i < n; i++) {
        const char *name = o->diff[0] && !two_files ? o->diff[i] : o->profile;
        if (two_files)
            rc = open_registry(o->diff[i], is_hive(o->diff[i]), &regs[i], &err);
        else if (i == 0)
            rc = open_registry(path, o->hive != NULL, &regs[0], &err);
        if (rc >= 0)
            rc = open_profile(two_files ? regs[i] : regs[0], name, &profiles[i], &err);
    }
    if (rc < 0)
        fail_with(&err);
    else if (n == 2)
        status = inspect_diff(o, profiles[0], profiles[1], out);
    else
        status = show(o, profiles[0], out);
    for (int i = 0; i < 2; i++) {
        cpuu_profile_free(profiles[i]);
        cpuu_reg_close(regs[i]);
    }
    return status;
}
