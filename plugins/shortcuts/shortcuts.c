/*
 * Shortcuts: the Shortcuts pane, in the navigation file <profile>.xml. A shortcut names its folder,
 * a record key and, by number, one of the stores listed at the top of the file; all of that moves
 * together or not at all. Identifiers are replaced where they stand, a shortcut that has no place
 * at the target is cut out, and every other byte of the file stays. Layout: observed, Outlook 2003
 * to 2016.
 */
#include "common/kit.h"

#include <cpuu/formats/navxml.h>

#include <string.h>

#define MAX_FILE  (16u << 20)
#define MAX_ITEMS 10000u /* real files have some dozens */
#define NONE      0xffffffffu

typedef struct item { /* an identifier in the file */
    cpuu_nav_what what;
    uint32_t offset, size; /* of its digits in the file */
    uint32_t link;         /* index, or NONE: no link that could be replaced */
    cpuu_blob storeid, name;
    uint32_t shortcut; /* the one it is in, or NONE */
} item;

typedef struct shortcut {
    uint32_t begin, end;
    uint32_t store;        /* item of its store, or NONE */
    const cpuu_link *says; /* the link that decides; NULL = none in it */
    uint32_t outcome, reason;
} shortcut;

typedef struct pane {
    cpuu_blob file;
    item *items;
    shortcut *shortcuts;
    uint32_t n_items, n_shortcuts;
    kit_links links;
    cpuu_buf ids; /* the identifiers of all links, one after the other */
    bool nomem;
} pane;

static void close_pane(pane *p)
{
    cpuu_fmt_free(p->items);
    cpuu_fmt_free(p->shortcuts);
    kit_links_free(&p->links);
    cpuu_buf_free(&p->ids);
}

/* Room for one more; sizes are powers of two. */
static void *grown(void *list, uint32_t count, size_t size)
{
    if (count && (count & (count - 1)))
        return list;
    return cpuu_fmt_realloc(list, (count ? 2 * (size_t)count : 1) * size);
}

/* ---- reading the file --------------------------------------------------------------------------
 */

static bool add_shortcut(void *user, uint32_t begin, uint32_t end)
{
    pane *p = user;
    if (p->n_shortcuts == MAX_ITEMS)
        return false;
    shortcut *list = grown(p->shortcuts, p->n_shortcuts, sizeof(*list));
    p->nomem |= !list;
    if (!list)
        return false;
    p->shortcuts = list;
    list[p->n_shortcuts++] = (shortcut){.begin = begin, .end = end, .store = NONE};
    return true;
}

/* Shortcuts are in the order of the file. */
static uint32_t shortcut_at(const pane *p, uint32_t offset)
{
    uint32_t low = 0, high = p->n_shortcuts;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (p->shortcuts[mid].end <= offset)
            low = mid + 1;
        else
            high = mid;
    }
    return low < p->n_shortcuts && p->shortcuts[low].begin <= offset ? low : NONE;
}

static bool add_item(void *user, const cpuu_nav_item *from)
{
    pane *p = user;
    if (p->n_items == MAX_ITEMS)
        return false;
    item *list = grown(p->items, p->n_items, sizeof(*list));
    if (list)
        p->items = list;
    p->nomem |= !list || (from->kind && !cpuu_buf_add(&p->ids, from->id.data, from->id.size));
    if (p->nomem)
        return false;
    item *it = &list[p->n_items++];
    *it = (item){.what = from->what,
                 .offset = from->offset,
                 .size = from->hex.size,
                 .storeid = from->storeid,
                 .name = from->name,
                 .link = NONE,
                 .shortcut = shortcut_at(p, from->offset)};
    if (from->kind) /* the data follows in set_links(), when `ids` does not move any more */
        it->link = kit_links_add(&p->links, from->kind, (cpuu_blob){NULL, from->id.size}, NULL);
    p->nomem |= p->links.failed;
    return !p->nomem;
}

static void set_links(pane *p)
{
    const uint8_t *at = p->ids.data;
    for (uint32_t i = 0; i < p->links.count; i++) {
        p->links.items[i].in.data = at;
        at += p->links.items[i].in.size;
    }
}

static cpuu_rc open_pane(const cpuu_host *host, cpuu_run *run, const char *name, cpuu_blob file,
                         pane *p)
{
    memset(p, 0, sizeof(*p));
    p->file = file;
    cpuu_buf_init(&p->ids, MAX_FILE);
    bool ok = file.size <= MAX_FILE && cpuu_nav_shortcuts(file, add_shortcut, p, NULL) &&
              cpuu_nav_walk(file, add_item, p, NULL);
    if (ok)
        set_links(p);
    if (p->nomem)
        return kit_nomem(host, run);
    return ok ? CPUU_OK
              : host->fail(run, CPUU_E_FORMAT,
                           "understand the navigation file, which is left as it is", name);
}

/* ---- deciding ----------------------------------------------------------------------------------
 */

static uint32_t store_of(const pane *p, cpuu_blob storeid)
{
    for (uint32_t i = 0; storeid.size && i < p->n_items; i++)
        if (p->items[i].what == CPUU_NAV_STORE && cpuu_blob_equal(p->items[i].storeid, storeid))
            return i;
    return NONE;
}

static const cpuu_link *link_of(const pane *p, uint32_t i)
{
    return i == NONE || p->items[i].link == NONE ? NULL : &p->links.items[p->items[i].link];
}

/* DROPPED is stronger than KEPT, KEPT than the rest: that is the order in which links decide. */
static uint32_t rank(uint32_t outcome)
{
    return outcome == CPUU_DROPPED     ? 3
           : outcome == CPUU_KEPT      ? 2
           : outcome == CPUU_REWRITTEN ? 1
                                       : 0;
}

static void hear(shortcut *s, const cpuu_link *l)
{
    if (!l || (s->says && rank(l->outcome) <= rank(s->outcome)))
        return;
    s->says = l;
    s->outcome = l->outcome;
    s->reason = l->reason;
}

/* First what each shortcut says by itself: its folder, and when that moves its store and record
 * key. */
static void ask_shortcuts(pane *p)
{
    for (uint32_t i = 0; i < p->n_items; i++) {
        item *it = &p->items[i];
        if (it->shortcut == NONE || it->what != CPUU_NAV_EID || !link_of(p, i))
            continue;
        shortcut *s = &p->shortcuts[it->shortcut];
        hear(s, link_of(p, i));
        s->store = store_of(p, it->storeid);
        const cpuu_link *store = link_of(p, s->store);
        if (s->outcome == CPUU_REWRITTEN)
            hear(s, store);
        if (store && s->says)
            s->says = kit_why(s->says, store);
        s->reason = s->says->reason;
    }
    for (uint32_t i = 0; i < p->n_items; i++) {
        const item *it = &p->items[i];
        if (it->what == CPUU_NAV_RECORD_KEY && it->shortcut != NONE &&
            p->shortcuts[it->shortcut].outcome == CPUU_REWRITTEN)
            hear(&p->shortcuts[it->shortcut], link_of(p, i));
    }
}

/*
 * Shortcuts share the entry of their store, so that it can only move when all of them do. The own
 * mailbox moves in any case; what would have to stay behind there goes. Elsewhere one that stays
 * keeps the others of its store with it.
 */
static void agree_on_store(pane *p, uint32_t store)
{
    const cpuu_link *l = link_of(p, store);
    const shortcut *stays = NULL;
    bool own = l->reason == CPUU_WHY_OWN;
    for (uint32_t k = 0; k < p->n_shortcuts; k++) {
        shortcut *s = &p->shortcuts[k];
        if (s->store != store || !s->says || s->outcome != CPUU_KEPT)
            continue;
        stays = s;
        if (own)
            s->outcome = CPUU_DROPPED;
    }
    if (own || !stays)
        return;
    uint32_t reason = stays->reason;
    for (uint32_t k = 0; k < p->n_shortcuts; k++) {
        shortcut *s = &p->shortcuts[k];
        if (s->store == store && s->says && s->outcome == CPUU_REWRITTEN) {
            s->outcome = CPUU_KEPT;
            s->reason = reason;
        }
    }
    p->links.items[p->items[store].link].outcome = CPUU_KEPT;
}

static void settle(pane *p)
{
    ask_shortcuts(p);
    for (uint32_t i = 0; i < p->n_items; i++) {
        const cpuu_link *l = link_of(p, i);
        if (p->items[i].what == CPUU_NAV_STORE && l && l->outcome == CPUU_REWRITTEN)
            agree_on_store(p, i);
    }
}

static void report(const cpuu_host *host, cpuu_run *run, const pane *p)
{
    for (uint32_t i = 0; i < p->n_items; i++) {
        char title[256];
        const item *it = &p->items[i];
        const shortcut *s = it->shortcut == NONE ? NULL : &p->shortcuts[it->shortcut];
        const cpuu_link *l = link_of(p, i);
        if (!l)
            continue;
        cpuu_value v = {0x3001001F, it->name.size, it->name.data};
        kit_text(&v, title, sizeof(title));
        if (!s) /* lists of stores; remnants of old versions */
            kit_decide_as(host, run, l->outcome == CPUU_DROPPED ? CPUU_KEPT : l->outcome, l->reason,
                          it->what == CPUU_NAV_STORE ? "store of the navigation pane"
                                                     : "folder of the navigation pane",
                          l->in_text, l->out_text);
        else if (it->what == CPUU_NAV_EID)
            kit_decide_as(host, run, s->outcome, s->reason, title[0] ? title : "shortcut",
                          s->outcome == CPUU_KEPT ? s->says->in_text : l->in_text,
                          s->outcome == CPUU_KEPT ? s->says->in_text : l->out_text);
    }
}

/* ---- writing -----------------------------------------------------------------------------------
 */

static void add_hex(cpuu_buf *out, cpuu_blob id)
{
    static const char digits[] = "0123456789ABCDEF";
    for (uint32_t i = 0; i < id.size; i++) {
        cpuu_buf_u8(out, (uint8_t)digits[id.data[i] >> 4]);
        cpuu_buf_u8(out, (uint8_t)digits[id.data[i] & 15]);
    }
}

static void copy_to(const pane *p, uint32_t *done, uint32_t offset, cpuu_buf *out)
{
    if (offset > *done)
        cpuu_buf_add(out, p->file.data + *done, offset - *done);
    *done = offset > *done ? offset : *done;
}

/* A shortcut that goes takes the white space before it along. */
static void cut(const pane *p, const shortcut *s, uint32_t *done, cpuu_buf *out)
{
    uint32_t begin = s->begin;
    while (begin > *done && (p->file.data[begin - 1] == ' ' || p->file.data[begin - 1] == '\t' ||
                             p->file.data[begin - 1] == '\r' || p->file.data[begin - 1] == '\n'))
        begin--;
    copy_to(p, done, begin, out);
    *done = s->end;
}

static bool is_new(const pane *p, const item *it)
{
    const cpuu_link *l = it->link == NONE ? NULL : &p->links.items[it->link];
    bool moves = it->shortcut == NONE || p->shortcuts[it->shortcut].outcome == CPUU_REWRITTEN;
    return l && moves && l->outcome == CPUU_REWRITTEN;
}

/* The file with every change in it; `all` = every shortcut goes. */
static void write_pane(const pane *p, bool all, cpuu_buf *out)
{
    uint32_t done = 0, k = 0;
    for (uint32_t i = 0; i <= p->n_items; i++) {
        uint32_t at = i < p->n_items ? p->items[i].offset : p->file.size;
        for (; k < p->n_shortcuts && p->shortcuts[k].begin <= at; k++) {
            const shortcut *s = &p->shortcuts[k];
            if (all || (s->says && s->outcome == CPUU_DROPPED))
                cut(p, s, &done, out);
        }
        if (i == p->n_items || at < done || all || !is_new(p, &p->items[i]))
            continue;
        copy_to(p, &done, at, out);
        add_hex(out, p->links.items[p->items[i].link].out);
        done = at + p->items[i].size;
    }
    copy_to(p, &done, p->file.size, out);
}

static cpuu_rc save(const cpuu_host *host, cpuu_run *run, const char *name, const pane *p, bool all)
{
    cpuu_buf out;
    cpuu_buf_init(&out, 4u * MAX_FILE);
    write_pane(p, all, &out);
    cpuu_blob data = {out.data, (uint32_t)out.size};
    cpuu_rc rc =
        out.failed ? kit_nomem(host, run) : host->file_write(run, CPUU_DIR_ROAMING, name, &data);
    if (rc != CPUU_OK && !out.failed)
        host->fail(run, rc, "write the navigation file", name);
    cpuu_buf_free(&out);
    return rc;
}

/* ---- the verbs ---------------------------------------------------------------------------------
 */

static cpuu_rc update_pane(const cpuu_host *host, cpuu_run *run, const char *name, pane *p)
{
    if (p->links.count == 0)
        return CPUU_OK;
    cpuu_rc rc = kit_translate(host, run, p->links.items, p->links.count);
    if (rc != CPUU_OK)
        return rc;
    settle(p);
    report(host, run, p);
    return save(host, run, name, p, false);
}

static cpuu_rc with_pane(const cpuu_host *host, cpuu_run *run, bool empty)
{
    char name[256];
    const char *profile = host->option(run, "profile.name");
    cpuu_blob file;
    pane p;
    if (!profile || strlen(profile) > sizeof(name) - 5)
        return CPUU_OK;
    memcpy(name, profile, strlen(profile));
    memcpy(name + strlen(profile), ".xml", 5);
    cpuu_rc rc = host->file_read(run, CPUU_DIR_ROAMING, name, &file);
    if (rc == CPUU_E_NOTFOUND) /* Outlook makes the file when it needs one */
        return CPUU_OK;
    if (rc != CPUU_OK)
        return host->fail(run, rc, "read the navigation file", name);
    rc = open_pane(host, run, name, file, &p);
    if (rc == CPUU_OK)
        rc = empty ? save(host, run, name, &p, true) : update_pane(host, run, name, &p);
    close_pane(&p);
    return rc;
}

static cpuu_rc CPUU_CALL update(const cpuu_host *host, cpuu_run *run)
{
    return with_pane(host, run, false);
}

/* Not selected: the pane becomes empty; its groups and everything else in the file stay. */
static cpuu_rc CPUU_CALL skip(const cpuu_host *host, cpuu_run *run)
{
    return with_pane(host, run, true);
}

static const cpuu_feature shortcuts = {
    .size = sizeof(cpuu_feature),
    .needs = CPUU_NEED_SOURCE | CPUU_NEED_TARGET | CPUU_NEED_OTHERS | CPUU_NEED_PUBLIC |
             CPUU_NEED_FILES | CPUU_NEED_FILES_WRITE,
    .links = CPUU_LINK_EID | CPUU_LINK_RECORD_KEY,
    .name = "Shortcuts",
    .title = "Shortcuts",
    .update = update,
    .skip = skip,
};

static const cpuu_feature *const features[] = {&shortcuts, NULL};
KIT_PLUGIN(features)
