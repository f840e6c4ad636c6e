/* The table of formats, and the trees of all but rules (types_rules.c). */
#include "config.h"

#include "inspect/types.h"

#include "base/text.h"

#include <cpuu/formats/distlist.h>
#include <cpuu/formats/ewsid.h>
#include <cpuu/formats/lists.h>
#include <cpuu/formats/mv.h>
#include <cpuu/formats/navxml.h>
#include <cpuu/formats/nickname.h>
#include <cpuu/formats/profileblob.h>
#include <cpuu/formats/searchfolder.h>
#include <cpuu/formats/srs.h>

#include <string.h>

#define LIMIT (1u << 26)

static bool failed(cpuu_fmt_error *err, uint32_t offset, const char *field, const char *what)
{
    if (err)
        *err = (cpuu_fmt_error){offset, field, what};
    return false;
}

static bool ended(const cpuu_reader *r, cpuu_fmt_error *err)
{
    if (r->failed && err)
        *err = r->error;
    return !r->failed;
}

/* Copies what has no links once it was found to be sound. */
static bool copied(bool ok, cpuu_blob in, cpuu_buf *out, cpuu_fmt_error *err)
{
    if (!ok)
        return false;
    return cpuu_buf_add(out, in.data, in.size) ||
           failed(err, 0, "output", "is over its limit, or memory ran out");
}

/* ---- single identifiers ------------------------------------------------------------------------
 */

static bool print_entryid(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    cpuu_eid e;
    if (!cpuu_eid_decode(in, &e, err))
        return false;
    print_eid(p, "EntryID", in);
    return true;
}

static bool rewrite_entryid(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out,
                            bool *replaced, cpuu_fmt_error *err)
{
    cpuu_eid e;
    cpuu_buf again;
    if (!cpuu_eid_decode(in, &e, err))
        return false;
    cpuu_buf_init(&again, LIMIT);
    bool same = cpuu_eid_encode(&e, &again) && again.size == in.size &&
                memcmp(again.data, in.data, in.size) == 0;
    cpuu_buf_free(&again);
    if (!same)
        return failed(err, 0, "EntryID", "does not encode to the same bytes");
    return cpuu_eid_rewrite(in, cb, user, out, replaced) ||
           failed(err, 0, "output", "is over its limit, or memory ran out");
}

static bool print_source_key(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    cpuu_gid id;
    if (!cpuu_source_key_decode(in, &id))
        return failed(err, 0, "source key", "is not 22 bytes");
    print_guid(p, 0, "replica", id.replica);
    print_hex(p, "counter", (cpuu_blob){in.data + 16, 6});
    return true;
}

static bool rewrite_source_key(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out,
                               bool *replaced, cpuu_fmt_error *err)
{
    if (in.size != CPUU_SOURCE_KEY_SIZE)
        return failed(err, 0, "source key", "is not 22 bytes");
    return cpuu_link_ask(cb, user, CPUU_LINK_SOURCE_KEY, in, out, replaced);
}

static bool print_search_key(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    cpuu_blob type, address;
    if (!cpuu_search_key_parse(in, &type, &address))
        return failed(err, 0, "search key", "has no ':'");
    print_text8(p, "type", type);
    print_text8(p, "address", address);
    return true;
}

static bool rewrite_search_key(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out,
                               bool *replaced, cpuu_fmt_error *err)
{
    cpuu_blob type, address;
    if (!cpuu_search_key_parse(in, &type, &address))
        return failed(err, 0, "search key", "has no ':'");
    return cpuu_link_ask(cb, user, CPUU_LINK_SEARCH_KEY, in, out, replaced);
}

static bool print_server_eid(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    cpuu_server_eid e;
    if (!cpuu_server_eid_decode(in, &e, err))
        return false;
    print_leaf(p, 0, "in this store", "%s", e.ours ? "yes" : "no");
    print_hex(p, "FID", (cpuu_blob){in.data + 1, 8});
    print_hex(p, "MID", (cpuu_blob){in.data + 9, 8});
    print_leaf(p, 17, "instance", "%u", e.instance);
    return true;
}

static bool rewrite_server_eid(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out,
                               bool *replaced, cpuu_fmt_error *err)
{
    cpuu_server_eid e;
    size_t at = out->size;
    if (!cpuu_server_eid_decode(in, &e, err))
        return false;
    cpuu_buf_add(out, in.data, 1);
    cpuu_link_ask(cb, user, CPUU_LINK_FID, (cpuu_blob){in.data + 1, 8}, out, replaced);
    if (out->size - at != 9)
        return failed(err, 1, "FID", "was replaced by one of another size");
    return copied(true, (cpuu_blob){in.data + 9, in.size - 9}, out, err);
}

static bool ews_decode(cpuu_blob in, cpuu_buf *bytes, cpuu_ewsid *id, cpuu_fmt_error *err)
{
    char text[4096];
    while (in.size && in.data[in.size - 1] <= ' ')
        in.size--;
    if (in.size >= sizeof(text))
        return failed(err, 0, "EWS id", "is too long");
    memcpy(text, in.data, in.size);
    text[in.size] = 0;
    cpuu_buf_init(bytes, CPUU_EWSID_BYTES_MAX);
    return cpuu_ewsid_decode(text, bytes, id, err);
}

static bool print_ewsid(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    cpuu_buf bytes;
    cpuu_ewsid id;
    bool ok = ews_decode(in, &bytes, &id, err);
    if (ok) {
        print_leaf(p, NO_OFFSET, "layout", "%u", (unsigned)id.layout);
        print_leaf(p, NO_OFFSET, "compression", "%u", id.compression);
        print_leaf(p, NO_OFFSET, "type", "%u", id.type);
        print_text8(p, "moniker", id.moniker);
        print_eid(p, "object", id.store_id);
        if (id.folder_id.size)
            print_eid(p, "folder", id.folder_id);
        if (id.rest.size)
            print_hex(p, "rest", id.rest);
    }
    cpuu_buf_free(&bytes);
    return ok;
}

static bool rewrite_ewsid(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                          cpuu_fmt_error *err)
{
    cpuu_buf bytes, eid;
    cpuu_ewsid id;
    bool ok = ews_decode(in, &bytes, &id, err);
    cpuu_buf_init(&eid, LIMIT);
    if (ok && id.store_id.size) {
        cpuu_eid_rewrite(id.store_id, cb, user, &eid, replaced);
        id.store_id = (cpuu_blob){eid.data, (uint32_t)eid.size};
    }
    if (ok && !cpuu_ewsid_encode(&id, out))
        ok = failed(err, 0, "EWS id", "cannot be encoded again");
    while (ok && in.size && in.data[in.size - 1] <= ' ' && in.size > out->size)
        cpuu_buf_u8(out, in.data[out->size]);
    cpuu_buf_free(&eid);
    cpuu_buf_free(&bytes);
    return ok;
}

/* ---- lists ----------------------------------------------------------------------------------- */

static void entries(printer *p, cpuu_entry_list *list)
{
    cpuu_blob eid;
    uint32_t pad;
    while (cpuu_entry_list_next(list, &eid, &pad))
        print_eid(p, "entry", eid);
}

static bool print_entry_list(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    cpuu_entry_list list;
    if (!cpuu_entry_list_open(in, &list, err))
        return false;
    print_open(p, 0, "entry list", "%u entries", list.n);
    entries(p, &list);
    print_close(p);
    if (list.rest.size)
        print_hex(p, "rest", list.rest);
    return true;
}

static void flat_entries(printer *p, cpuu_flat_list list)
{
    cpuu_blob eid;
    while (cpuu_flat_list_next(&list, &eid))
        print_eid(p, "entry", eid);
}

static bool print_flat_list(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    cpuu_reader r;
    cpuu_flat_list list;
    cpuu_reader_init(&r, in.data, in.size);
    if (cpuu_flat_list_read(&r, &list)) {
        print_open(p, 0, "flat entry list", "%u entries", list.n);
        flat_entries(p, list);
        print_close(p);
    }
    if (cpuu_reader_left(&r))
        print_hex(p, "rest", (cpuu_blob){r.data + r.pos, cpuu_reader_left(&r)});
    return ended(&r, err);
}

static bool rewrite_flat_list(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out,
                              bool *replaced, cpuu_fmt_error *err)
{
    cpuu_reader r;
    cpuu_reader_init(&r, in.data, in.size);
    cpuu_flat_list_rewrite(&r, cb, user, out, replaced);
    if (!ended(&r, err))
        return false;
    return copied(true, (cpuu_blob){r.data + r.pos, cpuu_reader_left(&r)}, out, err);
}

static const char *ren_name(uint16_t id)
{
    switch (id) {
    case 0:
        return "end";
    case CPUU_REN_RSS:
        return "RSS feeds";
    case CPUU_REN_TRACKED_MAIL:
        return "tracked mail";
    case CPUU_REN_TODO_SEARCH:
        return "to-do search";
    case CPUU_REN_CONVERSATION:
        return "conversation actions";
    case CPUU_REN_SUGGESTED:
        return "suggested contacts";
    case CPUU_REN_CONTACTS:
        return "contacts search";
    case CPUU_REN_IM_LISTS:
        return "IM lists";
    case CPUU_REN_IM_CONTACTS:
        return "IM contacts";
    default:
        return "unknown";
    }
}

static bool print_ren(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    cpuu_reader r;
    cpuu_ren_block block;
    cpuu_ren_element e;
    uint32_t at = 0;
    cpuu_reader_init(&r, in.data, in.size);
    while (at = r.pos, cpuu_ren_next(&r, &block)) {
        print_open(p, at, "block", "%04x %s", block.id, ren_name(block.id));
        while (cpuu_ren_element_next(&block, &e)) {
            if (e.id == 1)
                print_eid(p, "EntryID", e.data);
            else
                print_hex(p, e.id == 2 ? "header" : "end", e.data);
        }
        print_close(p);
        if (!cpuu_reader_join(&r, &block.elements) || block.id == 0)
            break;
    }
    return ended(&r, err);
}

static bool print_efp(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    static const char *const names[] = {
        "0", "flags", "search folder id", "search folder tag", "4", "to-do version"};
    cpuu_reader r;
    cpuu_efp e;
    cpuu_reader_init(&r, in.data, in.size);
    while (cpuu_efp_next(&r, &e))
        print_hex(p, e.id < 6 ? names[e.id] : "unknown", e.data);
    return ended(&r, err);
}

static bool rewrite_efp(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                        cpuu_fmt_error *err)
{
    cpuu_reader r;
    cpuu_efp e;
    (void)cb;
    (void)user;
    (void)replaced;
    cpuu_reader_init(&r, in.data, in.size);
    while (cpuu_efp_next(&r, &e))
        cpuu_efp_write(out, &e);
    return ended(&r, err);
}

static bool print_todo(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    cpuu_swapped_todo t;
    if (!cpuu_swapped_todo_decode(in, &t, err))
        return false;
    uint32_t n = 0;
    while (n + 2 <= CPUU_TODO_TEXT && (t.flag_to[n] || t.flag_to[n + 1]))
        n += 2;
    print_leaf(p, 4, "flags", "0x%x", t.flags);
    print_leaf(p, 8, "item", "%u", t.item);
    print_text16(p, "flag to", (cpuu_blob){in.data + 12, n});
    print_leaf(p, 12 + CPUU_TODO_TEXT, "start", "%u", t.start);
    print_leaf(p, 16 + CPUU_TODO_TEXT, "due", "%u", t.due);
    print_leaf(p, 20 + CPUU_TODO_TEXT, "reminder", "%u (%s)", t.reminder,
               t.reminder_set ? "set" : "not set");
    return true;
}

static bool rewrite_todo(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                         cpuu_fmt_error *err)
{
    cpuu_swapped_todo t;
    (void)cb;
    (void)user;
    (void)replaced;
    return cpuu_swapped_todo_decode(in, &t, err) && cpuu_swapped_todo_encode(out, &t);
}

static bool print_fav_keys(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    if (in.size % CPUU_FAV_ENTRY_SIZE)
        return failed(err, in.size, "SourceKey", "runs past the end");
    for (uint32_t i = 0; i < in.size; i += CPUU_FAV_ENTRY_SIZE)
        print_hex(p, "source key", (cpuu_blob){in.data + i, CPUU_SOURCE_KEY_SIZE});
    return true;
}

/* ---- files and streams -------------------------------------------------------------------------
 */

static bool print_nickname(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    cpuu_nick_stream s;
    cpuu_nick_row row;
    cpuu_nick_prop prop;
    if (!cpuu_nick_open(in, &s, err))
        return false;
    print_leaf(p, 4, "version", "%u.%u", s.major, s.minor);
    print_leaf(p, 12, "rows", "%u", s.n_rows);
    while (cpuu_nick_next(&s, &row)) {
        print_open(p, row.offset, "row", "%u, %u properties", row.index, row.n);
        while (cpuu_nick_prop_next(&row, &prop))
            print_prop(p, prop.offset, prop.tag, prop.value);
        print_close(p);
    }
    print_hex(p, "extra information", s.extra);
    if (s.rest.size)
        print_hex(p, "rest", s.rest);
    return true;
}

static void sf_addresses(printer *p, const cpuu_search_folder *sf)
{
    cpuu_reader r;
    cpuu_rawprop prop;
    cpuu_reader_init(&r, sf->addresses.data, sf->addresses.size);
    r.base = sf->addresses_at;
    for (uint32_t i = 0; i < sf->n_addresses && !r.failed; i++) {
        uint32_t at = r.base + r.pos, n = cpuu_read_u32(&r, "count");
        cpuu_read_skip(&r, 4, "pad");
        print_open(p, at, "address", "%u properties", n);
        for (uint32_t k = 0; k < n; k++) {
            at = r.base + r.pos;
            if (!cpuu_rawprop_read(&r, CPUU_FORM_SEARCH, &prop))
                break;
            print_prop(p, at, prop.tag, prop.value);
        }
        print_close(p);
    }
}

static void sf_filter(printer *p, const cpuu_search_folder *sf)
{
    cpuu_filter_list found;
    uint32_t from = 0;
    print_open(p, sf->filter_at, "filter stream", "%u bytes", sf->filter.size);
    while (cpuu_filter_list_find(sf->filter, from, &found)) {
        print_open(p, sf->filter_at + found.offset, "flat entry list", "%u entries", found.list.n);
        flat_entries(p, found.list);
        print_close(p);
        from = found.offset + found.size;
    }
    print_close(p);
}

static bool print_search_folder(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    cpuu_search_folder sf;
    cpuu_entry_list list;
    if (!cpuu_search_folder_decode(in, &sf, err))
        return false;
    print_leaf(p, 4, "flags", "0x%x", sf.flags);
    print_leaf(p, 8, "number", "%u", sf.number);
    print_text16(p, "text", sf.text);
    print_leaf(p, NO_OFFSET, "with sub-folders", "%s", sf.deep ? "yes" : "no");
    print_text16(p, "folder names", sf.folder_names);
    if (sf.folders.size && cpuu_entry_list_open(sf.folders, &list, NULL)) {
        print_open(p, sf.folders_at, "folders", "%u", list.n);
        entries(p, &list);
        print_close(p);
    }
    sf_addresses(p, &sf);
    if (sf.restriction.size) {
        print_open(p, sf.restriction_at, "restriction", NULL);
        bool ok = print_restriction(p, sf.restriction, err);
        print_close(p);
        if (!ok)
            return false;
    }
    if (sf.filter.size)
        sf_filter(p, &sf);
    if (sf.rest.size)
        print_hex(p, "rest", sf.rest);
    return true;
}

/* The list form of a multi-valued binary. */
static bool print_list(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    uint32_t n;
    cpuu_blob b;
    if (!cpuu_list_count(in, &n, err))
        return false;
    cpuu_reader r;
    cpuu_reader_init(&r, in.data, in.size);
    cpuu_read_skip(&r, 4, "count");
    for (uint32_t i = 0; i < n; i++) {
        b.size = cpuu_read_u32(&r, "size");
        b.data = cpuu_read_bytes(&r, b.size, "element");
        if (!b.data)
            break;
        print_eid(p, "element", b);
    }
    return ended(&r, err);
}

static bool print_dl_members(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    uint32_t sum;
    if (!cpuu_dl_checksum(in, &sum, err) || !print_list(p, in, err))
        return false;
    print_leaf(p, NO_OFFSET, "checksum", "0x%08x", sum);
    return true;
}

static bool rewrite_dl_members(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out,
                               bool *replaced, cpuu_fmt_error *err)
{
    uint32_t sum;
    cpuu_buf none;
    cpuu_buf_init(&none, 0);
    return cpuu_dl_rewrite(in, (cpuu_blob){NULL, 0}, cb, user, out, &none, &sum, replaced, err);
}

static bool print_dl_stream(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    cpuu_dl_stream s;
    cpuu_dl_member m;
    if (!cpuu_dl_stream_open(in, &s, err))
        return false;
    print_leaf(p, 4, "build", "0x%x", s.build);
    print_leaf(p, 8, "flags", "0x%x", s.flags);
    while (cpuu_dl_stream_next(&s, &m)) {
        print_open(p, m.offset, "member", NULL);
        print_eid(p, "EntryID", m.eid);
        print_eid(p, "one-off", m.oneoff);
        print_close(p);
    }
    return true;
}

static void srs_accounts(printer *p, cpuu_srs_group *g)
{
    cpuu_srs_account a;
    cpuu_srs_folder f;
    while (cpuu_srs_account_next(g, &a)) {
        print_open(p, NO_OFFSET, "account", "%d%s", a.id, a.is_store ? ", store" : "");
        while (cpuu_srs_folder_next(&a, &f))
            print_eid(p, "folder", f.eid);
        print_close(p);
    }
}

static bool srs_stream(printer *p, const cpuu_cfb_entry *e, cpuu_blob stream, cpuu_fmt_error *err)
{
    cpuu_srs_collection c;
    cpuu_srs_listed listed;
    cpuu_srs_group g;
    if (cpuu_srs_is_collection(e)) {
        if (!cpuu_srs_collection_open(stream, &c, err))
            return false;
        while (cpuu_srs_collection_next(&c, &listed))
            print_text16(p, "group", listed.name);
        return true;
    }
    if (!cpuu_srs_group_open(stream, &g, err))
        return false;
    print_guid(p, NO_OFFSET, "GUID", g.guid);
    print_leaf(p, NO_OFFSET, "online", "F9 %s, schedule %s, %u minutes", g.f9_online ? "yes" : "no",
               g.schedule_online ? "yes" : "no", g.minutes_online);
    print_leaf(p, NO_OFFSET, "offline", "F9 %s, schedule %s, %u minutes",
               g.f9_offline ? "yes" : "no", g.schedule_offline ? "yes" : "no", g.minutes_offline);
    srs_accounts(p, &g);
    return true;
}

/* Offsets inside a stream are no offsets of the file, so there are none. */
static bool print_srs(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    cpuu_cfb c;
    cpuu_cfb_entry e;
    cpuu_buf b;
    cpuu_fmt_error end = {0, NULL, NULL};
    uint32_t room = in.size;
    bool ok = cpuu_cfb_open(in, &c, err);
    cpuu_buf_init(&b, CPUU_CFB_LIMIT);
    for (uint32_t i = 1; ok && cpuu_cfb_entry_at(&c, i, &e, &end); i++) {
        if (e.type != CPUU_CFB_STREAM)
            continue;
        cpuu_buf name;
        cpuu_buf_init(&name, 256);
        cpuu_buf_utf8_from_utf16(&name, e.name.data, e.name.size);
        print_open(p, NO_OFFSET, "stream", "%.*s, %u bytes", (int)name.size,
                   name.size ? (const char *)name.data : "", e.size);
        cpuu_buf_free(&name);
        cpuu_buf_reset(&b);
        ok = e.size <= room || failed(err, 0, "stream size", "is larger than the file");
        room -= ok ? e.size : 0;
        ok = ok && cpuu_cfb_read(&c, &e, &b, err) &&
             srs_stream(p, &e, (cpuu_blob){b.data, (uint32_t)b.size}, err);
        print_close(p);
    }
    cpuu_buf_free(&b);
    return ok && (!end.field || failed(err, end.offset, end.field, end.what));
}

static bool nav_item(void *user, const cpuu_nav_item *item)
{
    static const char *const what[] = {"", "store", "EntryID", "record key"};
    printer *p = user;
    print_open(p, item->offset, what[item->what], item->kind ? NULL : "no link");
    if (item->ltype.size)
        print_text8(p, "ltype", item->ltype);
    if (item->storeid.size)
        print_text8(p, "storeid", item->storeid);
    if (item->name.size)
        print_leaf(p, print_offset(p, item->name), "name", "%.*s", (int)item->name.size,
                   (const char *)item->name.data);
    print_eid(p, "value", item->id);
    print_close(p);
    return true;
}

static bool print_nav(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    return cpuu_nav_walk(in, nav_item, p, err);
}

/* ---- values of the profile ---------------------------------------------------------------------
 */

static uint32_t mv_decode(cpuu_blob in, cpuu_buf *list, unsigned *width, cpuu_fmt_error *err)
{
    static const uint32_t types[] = {CPUU_MV_BINARY, CPUU_MV_UNICODE, CPUU_MV_STRING8};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        cpuu_buf_reset(list);
        if (cpuu_mv_decode(types[i], in.data, in.size, list, width, i ? NULL : err))
            return types[i];
    }
    return 0;
}

static bool print_mv(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    cpuu_buf list;
    unsigned width = 0;
    cpuu_buf_init(&list, LIMIT);
    uint32_t type = mv_decode(in, &list, &width, err);
    cpuu_reader r;
    cpuu_reader_init(&r, list.data, list.size);
    uint32_t n = type ? cpuu_read_u32(&r, "n") : 0;
    if (type)
        print_leaf(p, 0, "elements", "%u, type %04x, descriptor width %u", n, type, width);
    for (uint32_t i = 0; i < n; i++) {
        cpuu_blob b = {NULL, cpuu_read_u32(&r, "size")};
        b.data = cpuu_read_bytes(&r, b.size, "element");
        if (!b.data)
            break;
        if (type == CPUU_MV_BINARY)
            print_eid(p, "element", b);
        else if (type == CPUU_MV_UNICODE)
            print_text16(p, "element", b);
        else
            print_text8(p, "element", b);
    }
    cpuu_buf_free(&list);
    return type != 0;
}

static bool rewrite_mv(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                       cpuu_fmt_error *err)
{
    cpuu_buf list, now;
    unsigned width = 0;
    cpuu_buf_init(&list, LIMIT);
    cpuu_buf_init(&now, LIMIT);
    uint32_t type = mv_decode(in, &list, &width, err);
    cpuu_blob b = {list.data, (uint32_t)list.size};
    bool ok = type != 0;
    if (ok && type == CPUU_MV_BINARY) {
        ok = cpuu_list_rewrite(b, cpuu_eid_element, cb, user, &now, replaced, err);
        b = (cpuu_blob){now.data, (uint32_t)now.size};
    }
    ok = ok && cpuu_mv_encode(type, width ? width : 4, b.data, b.size, out, err);
    cpuu_buf_free(&list);
    cpuu_buf_free(&now);
    return ok;
}

static bool print_folder_ref(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    cpuu_folder_ref ref;
    if (!cpuu_folder_ref_decode(in, &ref, err))
        return false;
    print_leaf(p, NO_OFFSET, "width", "%u", ref.width);
    print_eid(p, "folder", ref.folder);
    print_eid(p, "store", ref.store);
    return true;
}

static bool print_window(printer *p, cpuu_blob in, cpuu_fmt_error *err)
{
    cpuu_window_state w;
    if (!cpuu_window_state_decode(in, &w, err))
        return false;
    print_leaf(p, 0, "version", "%u", w.version);
    print_open(p, print_offset(p, w.ref), "folder", NULL);
    bool ok = w.ref.size == 0 || print_folder_ref(p, w.ref, err);
    print_close(p);
    print_eid(p, "store", w.store);
    print_hex(p, "position", w.rest);
    return ok;
}

/* ---- guessing -------------------------------------------------------------------------------- */

static bool starts(cpuu_blob in, const void *text, uint32_t n)
{
    return in.size >= n && memcmp(in.data, text, n) == 0;
}

/* Its sizes have to fit, and that says enough. */
static bool by_size(cpuu_blob in)
{
    return in.size > 4;
}

static bool is_cfb(cpuu_blob in)
{
    return starts(in, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 8);
}

static bool is_xml(cpuu_blob in)
{
    return starts(in, "<", 1) || starts(in, "\xef\xbb\xbf<", 4);
}

/* The first metadata field is the same in all streams that were seen. */
static bool is_nickname(cpuu_blob in)
{
    return starts(in, "\x0d\xf0\xad\xba", 4);
}

static bool is_search_folder(cpuu_blob in)
{
    return starts(in, "\x04\x10\0", 4);
}

static bool is_dl_stream(cpuu_blob in)
{
    cpuu_dl_stream s;
    return cpuu_dl_stream_open(in, &s, NULL) && s.rest.size == 0;
}

static bool is_entry_list(cpuu_blob in)
{
    cpuu_entry_list list;
    return cpuu_entry_list_open(in, &list, NULL) && list.n && list.rest.size == 0;
}

/* Nothing but blocks of ids in the range that is known, up to the mark of the end if there is one.
 */
static bool is_ren(cpuu_blob in)
{
    cpuu_reader r;
    cpuu_ren_block block;
    unsigned blocks = 0;
    cpuu_reader_init(&r, in.data, in.size);
    for (; cpuu_ren_next(&r, &block) && block.id; blocks++)
        if (block.id < CPUU_REN_RSS || block.id > 0x80ff)
            return false;
    return blocks && !r.failed;
}

static bool is_flat_list(cpuu_blob in)
{
    cpuu_reader r;
    cpuu_flat_list list;
    cpuu_reader_init(&r, in.data, in.size);
    return cpuu_flat_list_read(&r, &list) && list.n && cpuu_reader_left(&r) == 0;
}

static bool is_search_key(cpuu_blob in)
{
    return starts(in, "EX:/", 4) || starts(in, "SMTP:", 5);
}

static bool is_server_eid(cpuu_blob in)
{
    return in.size == CPUU_SERVER_EID_SIZE && in.data[0] == 1;
}

static bool is_source_key(cpuu_blob in)
{
    return in.size == CPUU_SOURCE_KEY_SIZE;
}

/* EntryIDs have no signature, but a provider that is known is nearly one. */
static bool is_entryid(cpuu_blob in)
{
    cpuu_eid e;
    return cpuu_eid_decode(in, &e, NULL) && e.kind != CPUU_EID_UNKNOWN;
}

static bool is_any_entryid(cpuu_blob in)
{
    return in.size > 20 && cpuu_le32(in.data) == 0;
}

/* ---- the table --------------------------------------------------------------------------------
 */

/* What has a signature comes first. */
const blob_type blob_types[] = {
    {"entryid", "EntryID of any kind", is_entryid, print_entryid, rewrite_entryid},
    {"srs", "send/receive groups file (.srs)", is_cfb, print_srs, cpuu_srs_rewrite},
    {"navxml", "navigation pane file (<profile>.xml)", is_xml, print_nav, cpuu_nav_rewrite},
    {"nickname", "AutoComplete stream, .nk2 file", is_nickname, print_nickname, cpuu_nick_rewrite},
    {"searchfolder", "search-folder definition", is_search_folder, print_search_folder,
     cpuu_search_folder_rewrite},
    {"swappedtodo", "swapped to-do data", by_size, print_todo, rewrite_todo},
    {"dlstream", "personal list: stream of members", is_dl_stream, print_dl_stream,
     cpuu_dl_stream_rewrite},
    {"renentryids", "special folders (PidTagAdditionalRenEntryIdsEx)", is_ren, print_ren,
     cpuu_ren_rewrite},
    {"rulestream", "Outlook rule stream (rules organizer)", by_size, print_rule_stream,
     rewrite_rule_stream},
    {"deferaction", "Outlook rule in OP_DEFER_ACTION", by_size, print_defer, rewrite_defer},
    {"entrylist", "entry list of a search folder", is_entry_list, print_entry_list,
     cpuu_entry_list_rewrite},
    {"flatentrylist", "FLATENTRYLIST", is_flat_list, print_flat_list, rewrite_flat_list},
    {"extruleactions", "actions of an extended rule", by_size, print_ext_actions,
     rewrite_ext_actions},
    {"extrulecondition", "condition of an extended rule", by_size, print_ext_condition,
     rewrite_ext_condition},
    {"ruleactions", "actions of a rule", by_size, print_rule_actions, rewrite_rule_actions},
    {"restriction", "restriction of a search folder", by_size, print_restriction,
     rewrite_restriction},
    {"rulecondition", "condition of a rule", by_size, print_rule_condition, rewrite_rule_condition},
    {"mv", "multi-valued value of a profile (binary or text)", by_size, print_mv, rewrite_mv},
    {"dlmembers", "personal list: array of members", by_size, print_dl_members, rewrite_dl_members},
    {"windowstate", "window of the last session (11020434)", by_size, print_window,
     cpuu_window_state_rewrite},
    {"folderref", "folder reference (move-to-folder list)", by_size, print_folder_ref,
     cpuu_folder_ref_rewrite},
    {"searchkey", "search key of a person", is_search_key, print_search_key, rewrite_search_key},
    {"wlink-eid", "EntryID in a navigation shortcut", NULL, print_entryid, rewrite_entryid},
    {"ewsid", "id of Exchange Web Services", NULL, print_ewsid, rewrite_ewsid},
    {"sourcekey", "source key", is_source_key, print_source_key, rewrite_source_key},
    {"servereid", "folder or message of the own store (rules)", is_server_eid, print_server_eid,
     rewrite_server_eid},
    {"folderflags", "extended folder flags", NULL, print_efp, rewrite_efp},
    {"favkeys", "deleted sub-folders of public-folder favourites", NULL, print_fav_keys,
     cpuu_fav_keys_rewrite},
    {"properties", "property stream", NULL, print_properties, rewrite_properties},
};
const size_t n_blob_types = sizeof(blob_types) / sizeof(blob_types[0]);

const blob_type *type_find(const char *name)
{
    for (size_t i = 0; i < n_blob_types; i++)
        if (cpuu_caseeq(blob_types[i].name, name))
            return &blob_types[i];
    return NULL;
}

static bool keep(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    (void)user;
    (void)kind;
    (void)in;
    (void)out;
    return false;
}

static bool takes(const blob_type *t, cpuu_blob in)
{
    cpuu_buf out;
    cpuu_fmt_error err;
    bool replaced = false;
    cpuu_buf_init(&out, LIMIT);
    bool ok = t->rewrite(in, keep, NULL, &out, &replaced, &err) && out.size == in.size &&
              (in.size == 0 || memcmp(out.data, in.data, in.size) == 0);
    cpuu_buf_free(&out);
    return ok;
}

const blob_type *type_guess(cpuu_blob in)
{
    for (size_t i = 0; i < n_blob_types; i++)
        if (blob_types[i].plausible && blob_types[i].plausible(in) && takes(&blob_types[i], in))
            return &blob_types[i];
    return is_any_entryid(in) ? type_find("entryid") : NULL;
}
