/* The address book over MAPI/HTTP ([MS-OXCMAPIHTTP] 2.2.5, [MS-OXNSPI]). */
#include "tests/lab/http.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define MID_RESOLVED   2u /* [MS-OXNSPI] 2.2.1.9 */
#define MID_AMBIGUOUS  1u
#define MID_UNRESOLVED 0u

typedef struct stat_block { /* STAT, [MS-OXNSPI] 2.2.8 */
    uint32_t sort_type, container, current, delta, num_pos, total, codepage, locale, sort_locale;
} stat_block;

typedef struct nspi_call {
    lab_context *ctx;
    lab_org *org;
    cpuu_reader in;
    cpuu_buf *out;
    cpuu_arena arena;
    stat_block stat;
    uint32_t *tags;
    uint32_t n_tags;
    bool has_tags;
} nspi_call;

/* ---- reading --------------------------------------------------------------------------------- */

static void read_stat(nspi_call *c)
{
    if (!cpuu_read_u8(&c->in, "HasState"))
        return;
    uint32_t *f[9] = {&c->stat.sort_type, &c->stat.container, &c->stat.current,
                      &c->stat.delta,     &c->stat.num_pos,   &c->stat.total,
                      &c->stat.codepage,  &c->stat.locale,    &c->stat.sort_locale};
    for (int i = 0; i < 9; i++)
        *f[i] = cpuu_read_u32(&c->in, "State");
}

static void write_stat(nspi_call *c)
{
    const stat_block *s = &c->stat;
    const uint32_t f[9] = {s->sort_type, s->container, s->current, s->delta,      s->num_pos,
                           s->total,     s->codepage,  s->locale,  s->sort_locale};
    cpuu_buf_u8(c->out, 0xFF);
    for (int i = 0; i < 9; i++)
        cpuu_buf_u32(c->out, f[i]);
}

/* Count-prefixed 32-bit numbers. */
static uint32_t *read_list(nspi_call *c, uint32_t *n)
{
    *n = cpuu_read_u32(&c->in, "Count");
    if (*n > cpuu_reader_left(&c->in) / 4) {
        cpuu_reader_fail(&c->in, "Count", "runs past the end");
        *n = 0;
        return NULL;
    }
    uint32_t *list = lab_arena(&c->arena, *n * sizeof(uint32_t));
    for (uint32_t i = 0; i < *n; i++)
        list[i] = cpuu_read_u32(&c->in, "Item");
    return list;
}

static void read_tags(nspi_call *c)
{
    c->has_tags = cpuu_read_u8(&c->in, "HasPropertyTags");
    if (c->has_tags)
        c->tags = read_list(c, &c->n_tags);
}

static bool read_end(nspi_call *c)
{
    cpuu_read_skip(&c->in, cpuu_read_u32(&c->in, "AuxiliaryBufferSize"), "AuxiliaryBuffer");
    return !c->in.failed && !cpuu_reader_left(&c->in);
}

/* ---- entries --------------------------------------------------------------------------------- */

static int by_display(const void *a, const void *b)
{
    return cpuu_casecmp((*(lab_user *const *)a)->display, (*(lab_user *const *)b)->display);
}

/* The global address list: entries by display name. */
static lab_user **gal(nspi_call *c)
{
    lab_user **list = lab_arena(&c->arena, c->org->n_users * sizeof(*list));
    memcpy(list, c->org->users, c->org->n_users * sizeof(*list));
    qsort(list, c->org->n_users, sizeof(*list), by_display);
    return list;
}

static lab_user *by_mid(const nspi_call *c, uint32_t mid)
{
    for (size_t i = 0; i < c->org->n_users; i++)
        if (c->org->users[i]->mid == mid)
            return c->org->users[i];
    return NULL;
}

static uint32_t display_type_ex(const lab_user *u)
{
    switch (u->kind) { /* reference "independent server" B2 */
    case LAB_LIST:
        return 0x40000001;
    case LAB_REMOTE:
        return 0x00000006;
    case LAB_ROOM:
        return 0x40000007;
    default:
        return 0x40000000;
    }
}

static lab_val proxies(nspi_call *c, const lab_user *u)
{
    cpuu_buf b;
    char *primary = cpuu_asprintf("SMTP:%s", u->smtp);
    cpuu_buf_init(&b, 1u << 20);
    cpuu_buf_u32(&b, (uint32_t)u->n_proxies + 1);
    cpuu_buf_utf16(&b, primary ? primary : "", true);
    for (size_t i = 0; i < u->n_proxies; i++)
        cpuu_buf_utf16(&b, u->proxies[i], true);
    lab_val v = lab_val_bytes(&c->arena, 0x800F101F, b.data, b.size);
    cpuu_free(primary);
    cpuu_buf_free(&b);
    return v;
}

static lab_val key_of(nspi_call *c, const lab_user *u, uint16_t id)
{
    cpuu_buf b;
    cpuu_buf_init(&b, 4096);
    if (id == 0x300B)
        lab_put_search_key(&b, "EX", u->dn);
    else
        lab_put_ab_eid(&b, u->dn, lab_display_type(u));
    lab_val v = lab_val_bytes(&c->arena, TAG(id, PT_BINARY), b.data, b.size);
    cpuu_buf_free(&b);
    return v;
}

static bool entry_value(nspi_call *c, const lab_user *u, uint16_t id, lab_val *v)
{
    switch (id) {
    case 0x3001:
    case 0x3A20:
        *v = lab_val_text(&c->arena, id, u->display);
        return true;
    case 0x3002:
        *v = lab_val_text(&c->arena, id, "EX");
        return true;
    case 0x3003:
        *v = lab_val_text(&c->arena, id, u->dn);
        return true;
    case 0x39FE:
        *v = lab_val_text(&c->arena, id, u->smtp);
        return true;
    case 0x3A00:
        *v = lab_val_text(&c->arena, id, u->name);
        return true;
    case 0x0FFF:
    case 0x0FF9:
    case 0x300B:
        *v = key_of(c, u, id);
        return true;
    case 0x0FF6:
        *v = lab_val_bytes(&c->arena, 0x0FF60102, &u->mid, 4);
        return true;
    case 0x3900:
        *v = lab_val_u32(&c->arena, 0x39000003, lab_display_type(u));
        return true;
    case 0x3905:
        *v = lab_val_u32(&c->arena, 0x39050003, display_type_ex(u));
        return true;
    case 0x0FFE:
        *v = lab_val_u32(&c->arena, 0x0FFE0003, u->kind == LAB_LIST ? 8 : 6);
        return true;
    case 0x800F:
        *v = proxies(c, u);
        return true;
    case 0x8C6D:
        *v = lab_val_bytes(&c->arena, 0x8C6D0102, u->guid, 16);
        return true;
    default:
        return false;
    }
}

static bool entry_get(nspi_call *c, const lab_user *u, uint32_t tag, lab_val *v)
{
    lab_val have;
    if (c->org->odd && (TAG_ID(tag) == 0x39FE || TAG_ID(tag) == 0x3905))
        return false;
    return u && entry_value(c, u, TAG_ID(tag), &have) &&
           lab_value_convert(&c->arena, &have, TAG_TYPE(tag), v);
}

/* ---- writing: AddressBookPropertyValue, [MS-OXCMAPIHTTP] 2.2.1 ------------------------------- */

static void put_single(cpuu_buf *b, const lab_val *v)
{
    uint16_t type = TAG_TYPE(v->tag);
    if (lab_fixed_size(type)) {
        cpuu_buf_add(b, v->data, v->size);
        return;
    }
    cpuu_buf_u8(b, 0xFF);
    if (type == PT_BINARY)
        cpuu_buf_u32(b, (uint32_t)v->size);
    cpuu_buf_add(b, v->data, v->size);
    if (type != PT_BINARY)
        cpuu_buf_add(b, "\0", type == PT_UNICODE ? 2 : 1);
}

static void put_value(cpuu_buf *b, const lab_val *v)
{
    if (!(TAG_TYPE(v->tag) & PT_MV)) {
        put_single(b, v);
        return;
    }
    cpuu_reader r;
    cpuu_reader_init(&r, v->data, v->size);
    uint32_t n = cpuu_read_u32(&r, "count");
    cpuu_buf_u8(b, 0xFF);
    cpuu_buf_u32(b, n);
    lab_val one;
    for (uint32_t i = 0; i < n && lab_value_read(&r, v->tag & ~(uint32_t)PT_MV, &one); i++)
        put_single(b, &one);
}

static void put_row(nspi_call *c, const lab_user *u)
{
    lab_val *v = lab_arena(&c->arena, c->n_tags * sizeof(*v));
    bool *have = lab_arena(&c->arena, c->n_tags * sizeof(*have));
    bool flagged = false;
    for (uint32_t i = 0; i < c->n_tags; i++) {
        have[i] = entry_get(c, u, c->tags[i], &v[i]);
        flagged |= !have[i];
    }
    cpuu_buf_u8(c->out, flagged);
    for (uint32_t i = 0; i < c->n_tags; i++) {
        if (flagged)
            cpuu_buf_u8(c->out, have[i] ? 0x00 : 0x0A);
        if (have[i])
            put_value(c->out, &v[i]);
        else
            cpuu_buf_u32(c->out, u || !c->org->independent ? EC_NOT_FOUND : 0);
    }
}

static void put_list(cpuu_buf *b, const uint32_t *list, uint32_t n)
{
    cpuu_buf_u8(b, 0xFF);
    cpuu_buf_u32(b, n);
    for (uint32_t i = 0; i < n; i++)
        cpuu_buf_u32(b, list[i]);
}

static const uint32_t default_tags[] = {0x0FFE0003, 0x39000003, 0x0FFF0102,
                                        0x3001001F, 0x3003001F, 0x39FE001F};

static void want_tags(nspi_call *c)
{
    if (c->has_tags)
        return;
    c->n_tags = sizeof(default_tags) / sizeof(default_tags[0]);
    c->tags = lab_arena(&c->arena, sizeof(default_tags));
    memcpy(c->tags, default_tags, sizeof(default_tags));
}

static void put_rows(nspi_call *c, lab_user *const *rows, uint32_t n)
{
    put_list(c->out, c->tags, c->n_tags);
    cpuu_buf_u32(c->out, n);
    for (uint32_t i = 0; i < n; i++)
        put_row(c, rows[i]);
}

/* ---- requests -------------------------------------------------------------------------------- */

static bool dn_to_mid(nspi_call *c)
{
    cpuu_read_u32(&c->in, "Reserved");
    bool has = cpuu_read_u8(&c->in, "HasNames");
    uint32_t n = has ? cpuu_read_u32(&c->in, "NameCount") : 0;
    if (n > cpuu_reader_left(&c->in))
        return false;
    uint32_t *mids = lab_arena(&c->arena, n * sizeof(*mids));
    for (uint32_t i = 0; i < n; i++) {
        uint32_t size;
        const uint8_t *p = cpuu_read_sz8(&c->in, &size, "Name");
        lab_val v = {PT_STRING8, p, size};
        lab_user *u = p ? lab_user_by_dn(c->org, lab_value_text(&c->arena, &v)) : NULL;
        mids[i] = u ? u->mid : 0;
    }
    if (!read_end(c))
        return false;
    cpuu_buf_u32(c->out, EC_SUCCESS);
    put_list(c->out, mids, n);
    return true;
}

static const char *skip_prefix(const char *name)
{
    static const char *const prefixes[] = {"smtp:", "ex:", "x500:"};
    for (size_t i = 0; i < 3; i++)
        if (cpuu_ncasecmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return name + strlen(prefixes[i]);
    return name;
}

static bool contains_nocase(const char *text, const char *part)
{
    for (size_t n = strlen(part); *text; text++)
        if (cpuu_ncasecmp(text, part, n) == 0)
            return true;
    return false;
}

/* Ambiguous name resolution is the server's policy: here the beginning of a word of the display
 * name, of the alias or of an address; the independent server takes any part. */
static bool anr(const lab_user *u, const char *name, bool any_part)
{
    size_t n = strlen(name);
    if (any_part)
        return contains_nocase(u->display, name) || contains_nocase(u->smtp, name) ||
               contains_nocase(u->name, name) || contains_nocase(u->dn, name);
    for (const char *p = u->display; *p; p++)
        if ((p == u->display || p[-1] == ' ') && cpuu_ncasecmp(p, name, n) == 0)
            return true;
    return cpuu_ncasecmp(u->name, name, n) == 0 || cpuu_ncasecmp(u->smtp, name, n) == 0;
}

static uint32_t resolve(nspi_call *c, const char *text, lab_user **found)
{
    bool exact = *text == '=' && !c->org->independent;
    const char *name = skip_prefix(*text == '=' && exact ? text + 1 : text);
    uint32_t hits = 0;
    if (!*name)
        return MID_UNRESOLVED;
    *found = lab_user_by_dn(c->org, name);
    if (*found)
        return MID_RESOLVED;
    for (size_t i = 0; i < c->org->n_users && !strchr(name, '/'); i++) {
        lab_user *u = c->org->users[i];
        if (exact ? cpuu_caseeq(u->display, name) || cpuu_caseeq(u->name, name)
                  : anr(u, name, c->org->independent)) {
            *found = u;
            hits++;
        }
    }
    if (hits == 0 && (*found = lab_user_by_proxy(c->org, name)))
        return MID_RESOLVED;
    if (hits == 0)
        return c->org->independent ? MID_AMBIGUOUS : MID_UNRESOLVED;
    return hits == 1 ? MID_RESOLVED : MID_AMBIGUOUS;
}

static bool resolve_names(nspi_call *c)
{
    cpuu_read_u32(&c->in, "Reserved");
    read_stat(c);
    read_tags(c);
    bool has = cpuu_read_u8(&c->in, "HasNames");
    uint32_t n = has ? cpuu_read_u32(&c->in, "NameCount") : 0, n_rows = 0;
    if (c->in.failed || n > cpuu_reader_left(&c->in))
        return false;
    uint32_t *mids = lab_arena(&c->arena, n * sizeof(*mids));
    lab_user **rows = lab_arena(&c->arena, n * sizeof(*rows));
    for (uint32_t i = 0; i < n; i++) {
        uint32_t size;
        const uint8_t *p = cpuu_read_sz16(&c->in, &size, "Name");
        lab_val v = {PT_UNICODE, p, size};
        lab_user *u = NULL;
        if (!p)
            return false;
        mids[i] = resolve(c, lab_value_text(&c->arena, &v), &u);
        if (mids[i] == MID_RESOLVED)
            rows[n_rows++] = u;
    }
    if (!read_end(c))
        return false;
    want_tags(c);
    cpuu_buf_u32(c->out, EC_SUCCESS);
    cpuu_buf_u32(c->out, 1200);
    put_list(c->out, mids, n);
    put_rows(c, rows, n_rows);
    return true;
}

/* Rows of the address list from the STAT's current record on; moves the STAT behind them. */
static uint32_t browse(nspi_call *c, lab_user **rows, uint32_t max)
{
    lab_user **list = gal(c);
    uint32_t total = (uint32_t)c->org->n_users, at = 0, n = 0;
    if (c->stat.current == 2) /* MID_END_OF_TABLE */
        at = total;
    for (uint32_t i = 0; c->stat.current > 2 && i < total; i++)
        if (list[i]->mid == c->stat.current)
            at = i;
    int64_t moved = (int64_t)at + (int32_t)c->stat.delta;
    at = moved < 0 ? 0 : moved > total ? total : (uint32_t)moved;
    while (n < max && at < total)
        rows[n++] = list[at++];
    c->stat.current = at < total ? list[at]->mid : 2;
    c->stat.delta = 0;
    c->stat.num_pos = at;
    c->stat.total = total;
    return n;
}

static bool query_rows(nspi_call *c)
{
    uint32_t n_mids;
    cpuu_read_u32(&c->in, "Flags");
    read_stat(c);
    uint32_t *mids = read_list(c, &n_mids);
    uint32_t count = cpuu_read_u32(&c->in, "RowCount");
    read_tags(c);
    if (!read_end(c))
        return false;
    want_tags(c);
    uint32_t max = n_mids ? n_mids : (uint32_t)c->org->n_users, n = 0;
    lab_user **rows = lab_arena(&c->arena, (max + 1) * sizeof(*rows));
    if (n_mids)
        for (; n < n_mids && n < count; n++)
            rows[n] = by_mid(c, mids[n]);
    else
        n = browse(c, rows, count < max ? count : max);
    cpuu_buf_u32(c->out, EC_SUCCESS);
    write_stat(c);
    put_rows(c, rows, n);
    return true;
}

static bool get_props(nspi_call *c)
{
    cpuu_read_u32(&c->in, "Flags");
    read_stat(c);
    read_tags(c);
    if (!read_end(c))
        return false;
    want_tags(c);
    const lab_user *u = by_mid(c, c->stat.current);
    uint32_t rc = EC_SUCCESS;
    size_t at = c->out->size;
    cpuu_buf_u32(c->out, rc);
    cpuu_buf_u32(c->out, c->stat.codepage);
    cpuu_buf_u8(c->out, 0xFF);
    cpuu_buf_u32(c->out, c->n_tags);
    for (uint32_t i = 0; i < c->n_tags; i++) {
        lab_val v;
        if (entry_get(c, u, c->tags[i], &v)) {
            cpuu_buf_u32(c->out, v.tag);
            put_value(c->out, &v);
            continue;
        }
        rc = EC_ERRORS_RETURNED;
        cpuu_buf_u32(c->out, TAG(TAG_ID(c->tags[i]), PT_ERROR));
        cpuu_buf_u32(c->out, u || !c->org->independent ? EC_NOT_FOUND : 0);
    }
    cpuu_buf_put_u32(c->out, at, rc);
    return true;
}

/* ---- GetMatches: restrictions with 32-bit counts and presence bytes (recording 085) ---------- */

static bool read_ab_value(nspi_call *c, lab_val *v)
{
    v->tag = cpuu_read_u32(&c->in, "PropertyTag");
    uint16_t type = TAG_TYPE(v->tag);
    uint32_t size = lab_fixed_size(type);
    if (!size && !cpuu_read_u8(&c->in, "HasValue"))
        return cpuu_reader_fail(&c->in, "HasValue", "value expected");
    if (size)
        v->data = cpuu_read_bytes(&c->in, size, "Value");
    else if (type == PT_UNICODE)
        v->data = cpuu_read_sz16(&c->in, &size, "Value");
    else if (type == PT_STRING8)
        v->data = cpuu_read_sz8(&c->in, &size, "Value");
    else {
        size = cpuu_read_u32(&c->in, "Count");
        v->data = cpuu_read_bytes(&c->in, size, "Value");
    }
    v->size = size;
    return !c->in.failed;
}

static bool any_value_matches(nspi_call *c, const lab_user *u, uint32_t tag, bool content,
                              uint32_t how, const lab_val *want)
{
    lab_val have, one;
    if (TAG_ID(tag) == 0x360C) { /* PidTagAnr */
        char *text = lab_value_text(&c->arena, want);
        return text && anr(u, text, c->org->independent);
    }
    if (c->org->independent || !entry_get(c, u, tag, &have))
        return false;
    if (!(TAG_TYPE(have.tag) & PT_MV))
        return content ? lab_content(how, &have, want) : lab_relop((uint8_t)how, &have, want);
    cpuu_reader r;
    cpuu_reader_init(&r, have.data, have.size);
    uint32_t n = cpuu_read_u32(&r, "count");
    for (uint32_t i = 0; i < n && lab_value_read(&r, want->tag, &one); i++)
        if (content ? lab_content(how, &one, want) : lab_relop((uint8_t)how, &one, want))
            return true;
    return false;
}

static bool filter(nspi_call *c, const lab_user *u, unsigned depth)
{
    uint8_t type = cpuu_read_u8(&c->in, "RestrictType");
    if (c->in.failed || depth > 32)
        return cpuu_reader_fail(&c->in, "RestrictType", "nested too deeply");
    if (type <= 1) {
        uint32_t n = cpuu_read_u32(&c->in, "Count");
        bool result = type == 0;
        for (uint32_t i = 0; i < n && !c->in.failed; i++) {
            bool one = filter(c, u, depth + 1);
            result = type == 0 ? result && one : result || one;
        }
        return result;
    }
    if (type == 2)
        return !filter(c, u, depth + 1);
    if (type == 8) {
        lab_val skip;
        return entry_get(c, u, cpuu_read_u32(&c->in, "PropTag"), &skip);
    }
    if (type != 3 && type != 4)
        return cpuu_reader_fail(&c->in, "RestrictType", "not supported here");
    uint32_t how = type == 3 ? cpuu_read_u32(&c->in, "FuzzyLevel") : cpuu_read_u8(&c->in, "RelOp");
    uint32_t tag = cpuu_read_u32(&c->in, "PropTag");
    lab_val want;
    cpuu_read_u8(&c->in, "HasValue");
    return read_ab_value(c, &want) && any_value_matches(c, u, tag, type == 3, how, &want);
}

static bool get_matches(nspi_call *c)
{
    uint32_t n = 0;
    cpuu_read_u32(&c->in, "Reserved");
    read_stat(c);
    if (cpuu_read_u8(&c->in, "HasMinimalIds"))
        read_list(c, &n);
    cpuu_read_u32(&c->in, "InterfaceOptionFlags");
    bool has_filter = cpuu_read_u8(&c->in, "HasFilter");
    if (c->in.failed)
        return false;
    lab_user **list = gal(c), **hits = lab_arena(&c->arena, (c->org->n_users + 1) * sizeof(*hits));
    uint32_t start = c->in.pos;
    n = 0;
    for (size_t i = 0; i < c->org->n_users; i++) {
        c->in.pos = start;
        if (!has_filter || filter(c, list[i], 0))
            hits[n++] = list[i];
    }
    if (cpuu_read_u8(&c->in, "HasPropertyName"))
        cpuu_read_skip(&c->in, 20, "PropertyName");
    uint32_t max = cpuu_read_u32(&c->in, "RowCount");
    read_tags(c);
    if (!read_end(c))
        return false;
    want_tags(c);
    if (n > max)
        n = max;
    uint32_t *mids = lab_arena(&c->arena, (n + 1) * sizeof(*mids));
    for (uint32_t i = 0; i < n; i++)
        mids[i] = hits[i]->mid;
    cpuu_buf_u32(c->out, EC_SUCCESS);
    write_stat(c);
    put_list(c->out, mids, n);
    put_rows(c, hits, n);
    return true;
}

/* ---- dispatch -------------------------------------------------------------------------------- */

static const struct {
    const char *type;
    bool (*run)(nspi_call *c);
} calls[] = {
    {"DNToMId", dn_to_mid},  {"ResolveNames", resolve_names}, {"QueryRows", query_rows},
    {"GetProps", get_props}, {"GetMatches", get_matches},
};

bool lab_nspi_type(const lab_org *o, const char *type)
{
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        if (cpuu_caseeq(calls[i].type, type))
            return !(o->without >> i & 1);
    return false;
}

bool lab_nspi(lab_context *ctx, const char *type, const uint8_t *body, size_t size, cpuu_buf *out)
{
    nspi_call c = {.ctx = ctx, .org = ctx->org, .out = out};
    bool ok = false;
    cpuu_reader_init(&c.in, body, size);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        if (cpuu_caseeq(calls[i].type, type))
            ok = calls[i].run(&c);
    cpuu_buf_u32(out, 0); /* auxiliary buffer */
    cpuu_arena_free(&c.arena);
    return ok && !out->failed;
}
