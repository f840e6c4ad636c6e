/*
 * PublicFav: the Favorites folder of the public folder tree. Each favourite is a message in the
 * mailbox's hidden Shortcuts folder and names a public folder, and its parent, by source key.
 * Folders are found at the target by their path. What is known of the properties comes from two
 * open implementations and from mfcmapi's names for them; nothing is documented.
 *
 * An upsert: a favourite is found at the target by the folder it will name, or by the one of the
 * source that it still names because the mailbox move copied it.
 */
#include "common/kit.h"

#include <string.h>

enum column {
    CLASS,
    SUBJECT,
    NAME,
    ALIAS,
    LEVEL,
    AUTO_SUBFOLDERS,
    INHERIT_AUTO,
    CONTAINER_CLASS,
    KEY,
    PARENT,
    DELETED_SUBS,
    N_COLUMNS
};
static const uint32_t tags[N_COLUMNS] = {
    [CLASS] = 0x001A001F,
    [SUBJECT] = 0x0037001F,
    [NAME] = 0x7C00001F,            /* PR_FAV_DISPLAY_NAME: the folder's own name */
    [ALIAS] = 0x7C01001F,           /* PR_FAV_DISPLAY_ALIAS: the user's name for it */
    [LEVEL] = 0x7D030003,           /* PR_FAV_LEVEL_MASK: depth, 1 = top */
    [AUTO_SUBFOLDERS] = 0x7D010003, /* PR_FAV_AUTOSUBFOLDERS */
    [INHERIT_AUTO] = 0x7D070003,    /* PR_FAV_INHERIT_AUTO */
    [CONTAINER_CLASS] = 0x7D09001F, /* PR_FAV_CONTAINER_CLASS */
    [KEY] = 0x7C020102,             /* PR_FAV_PUBLIC_SOURCE_KEY */
    [PARENT] = 0x7D020102,          /* PR_FAV_PARENT_SOURCE_KEY; none at depth 1 */
    [DELETED_SUBS] = 0x7D080102,    /* PR_FAV_DEL_SUBS: source key, 00 00, 02 00 00 00 each */
};
#define N_PLAIN ((int)KEY) /* the columns before KEY are carried over as they are */

#define KEY_SIZE CPUU_SOURCE_KEY_SIZE
#define SUB_SIZE 28u

static const cpuu_query reads[] = {
    CPUU_QUERY(CPUU_SOURCE, CPUU_ITEMS, CPUU_ROLE_SHORTCUTS, NULL, tags),
    CPUU_QUERY(CPUU_TARGET, CPUU_ITEMS, CPUU_ROLE_SHORTCUTS, NULL, tags),
};

typedef struct favourite {
    cpuu_blob id;
    const cpuu_value *v;
    uint32_t link; /* of KEY; PARENT and then those of DELETED_SUBS follow */
    bool taken;    /* of the target: already matched */
} favourite;

typedef struct favourites {
    favourite *items;
    uint32_t count, cap;
} favourites;

typedef struct work {
    const cpuu_host *host;
    cpuu_run *run;
    cpuu_rows *rows[2];
    favourites source, target;
    kit_links links;
} work;

/* ---- reading -----------------------------------------------------------------------------------
 */

static bool add(favourites *f, const cpuu_row *row)
{
    if (!kit_grow(&f->items, &f->cap, f->count, sizeof(*f->items)))
        return false;
    f->items[f->count++] = (favourite){.id = row->id, .v = row->values};
    return true;
}

/* Other things in that folder have no source key and are none of ours. */
static cpuu_rc take_rows(work *w, cpuu_rows *rows, favourites *out)
{
    for (uint32_t i = 0;; i++) {
        cpuu_row row = {.size = sizeof(row)};
        cpuu_rc rc = w->host->rows(rows, i, &row);
        if (rc == CPUU_END)
            return CPUU_OK;
        if (rc == CPUU_OK)
            rc = row.rc;
        if (rc != CPUU_OK)
            return w->host->fail(w->run, rc, "read the favourite public folders", "Shortcuts");
        if (kit_blob(&row.values[KEY]).size == KEY_SIZE && !add(out, &row))
            return kit_nomem(w->host, w->run);
    }
}

static cpuu_rc read_both(work *w)
{
    cpuu_rc rc = kit_read(w->host, w->run, reads, 2, w->rows);
    if (rc == CPUU_OK)
        rc = take_rows(w, w->rows[0], &w->source);
    return rc == CPUU_OK ? take_rows(w, w->rows[1], &w->target) : rc;
}

static cpuu_rc translate(work *w)
{
    for (uint32_t i = 0; i < w->source.count; i++) {
        favourite *f = &w->source.items[i];
        cpuu_blob subs = kit_blob(&f->v[DELETED_SUBS]);
        f->link = kit_links_add(&w->links, CPUU_LINK_SOURCE_KEY, kit_blob(&f->v[KEY]), NULL);
        kit_links_add(&w->links, CPUU_LINK_SOURCE_KEY, kit_blob(&f->v[PARENT]), NULL);
        for (uint32_t at = 0; subs.size % SUB_SIZE == 0 && at < subs.size; at += SUB_SIZE)
            kit_links_add(&w->links, CPUU_LINK_SOURCE_KEY, (cpuu_blob){subs.data + at, KEY_SIZE},
                          NULL);
    }
    if (w->links.failed)
        return kit_nomem(w->host, w->run);
    return w->links.count ? kit_translate(w->host, w->run, w->links.items, w->links.count)
                          : CPUU_OK;
}

/* ---- changing ----------------------------------------------------------------------------------
 */

static favourite *match(work *w, cpuu_blob key)
{
    for (uint32_t i = 0; i < w->target.count; i++) {
        favourite *t = &w->target.items[i];
        if (!t->taken && cpuu_blob_equal(kit_blob(&t->v[KEY]), key))
            return t;
    }
    return NULL;
}

/* Subfolders the user has taken out: those that are found at the target. */
static cpuu_value wanted_subs(const work *w, const favourite *f, cpuu_buf *buf)
{
    cpuu_blob subs = kit_blob(&f->v[DELETED_SUBS]);
    for (uint32_t at = 0, k = 2; subs.size % SUB_SIZE == 0 && at < subs.size; at += SUB_SIZE, k++) {
        const cpuu_link *l = &w->links.items[f->link + k];
        if (l->outcome != CPUU_REWRITTEN && l->outcome != CPUU_ALREADY)
            continue;
        cpuu_buf_add(buf, l->out.data, l->out.size);
        cpuu_buf_add(buf, subs.data + at + KEY_SIZE, SUB_SIZE - KEY_SIZE);
    }
    return kit_blob_value(tags[DELETED_SUBS], (cpuu_blob){buf->data, (uint32_t)buf->size});
}

static bool differs(const favourite *t, const cpuu_value *want, enum column c)
{
    return !t || !cpuu_blob_equal(kit_blob(&t->v[c]), (cpuu_blob){want->data, want->size});
}

/* Creates the favourite, or corrects the links of the one the target has: names and the rest are
 * the target user's then. */
static cpuu_rc save(work *w, const favourite *f, const favourite *t, const char *title)
{
    const cpuu_link *l = &w->links.items[f->link];
    cpuu_value set[N_COLUMNS];
    uint32_t n = 0;
    cpuu_buf buf;
    cpuu_buf_init(&buf, 1u << 20);
    for (int c = 0; !t && c < N_PLAIN; c++) {
        if (CPUU_FOUND(&f->v[c]))
            set[n++] = f->v[c];
    }
    const cpuu_value links[] = {kit_blob_value(tags[KEY], l[0].out),
                                kit_blob_value(tags[PARENT], l[1].out), wanted_subs(w, f, &buf)};
    for (int c = KEY; c < N_COLUMNS; c++) {
        if (links[c - KEY].size && differs(t, &links[c - KEY], (enum column)c))
            set[n++] = links[c - KEY];
    }
    cpuu_change change = {.size = sizeof(change),
                          .verb = t ? CPUU_UPDATE : CPUU_CREATE,
                          .what = CPUU_ITEMS,
                          .role = CPUU_ROLE_SHORTCUTS,
                          .set = set,
                          .n_set = n,
                          .title = title};
    if (t)
        change.id = t->id;
    cpuu_rc rc = buf.failed ? kit_nomem(w->host, w->run)
                 : n        ? kit_change(w->host, w->run, &change, 1, NULL)
                            : CPUU_OK;
    cpuu_buf_free(&buf);
    return rc;
}

/* The public folder tree knows folders, not favourites: one whose folder or parent has no place at
 * the target is left out. */
static cpuu_rc process(work *w, const favourite *f)
{
    char title[256];
    const cpuu_link *key = &w->links.items[f->link], *parent = key + 1, *says = key;
    kit_text(&f->v[CPUU_FOUND(&f->v[ALIAS]) ? ALIAS : NAME], title, sizeof(title));
    if (key->outcome == CPUU_REWRITTEN &&
        (parent->outcome == CPUU_KEPT || parent->outcome == CPUU_DROPPED))
        says = parent;
    bool stays_out = says->outcome == CPUU_KEPT || says->outcome == CPUU_DROPPED;
    kit_decide_as(w->host, w->run, stays_out ? CPUU_DROPPED : key->outcome, says->reason, title,
                  key->in_text, stays_out ? NULL : key->out_text);
    if (stays_out)
        return CPUU_OK;
    favourite *t = match(w, key->out);
    if (!t)
        t = match(w, key->in);
    if (t)
        t->taken = true;
    return save(w, f, t, title);
}

/* A recreated mailbox of a profile with an offline file: favourites are not preserved (the guide).
 */
static void leave_out(const work *w)
{
    char title[256];
    for (uint32_t i = 0; i < w->source.count; i++) {
        const cpuu_value *v = w->source.items[i].v;
        kit_text(&v[CPUU_FOUND(&v[ALIAS]) ? ALIAS : NAME], title, sizeof(title));
        kit_decide_as(w->host, w->run, CPUU_DROPPED, CPUU_WHY_EXCLUDED, title, NULL, NULL);
    }
}

static cpuu_rc CPUU_CALL update(const cpuu_host *host, cpuu_run *run)
{
    work w = {.host = host, .run = run};
    bool excluded = host->option(run, "ost.recreated") != NULL;
    cpuu_rc rc = read_both(&w);
    if (rc == CPUU_OK && excluded)
        leave_out(&w);
    else if (rc == CPUU_OK)
        rc = translate(&w);
    for (uint32_t i = 0; rc == CPUU_OK && !excluded && i < w.source.count; i++)
        rc = process(&w, &w.source.items[i]);
    host->rows_close(w.rows[0]);
    host->rows_close(w.rows[1]);
    cpuu_fmt_free(w.source.items);
    cpuu_fmt_free(w.target.items);
    kit_links_free(&w.links);
    return rc;
}

static const cpuu_feature publicfav = {
    .size = sizeof(cpuu_feature),
    .needs = CPUU_NEED_SOURCE | CPUU_NEED_TARGET | CPUU_NEED_TARGET_WRITE | CPUU_NEED_PUBLIC,
    .links = CPUU_LINK_SOURCE_KEY,
    .n_reads = sizeof(reads) / sizeof(*reads),
    .name = "PublicFav",
    .title = "Favorite public folders",
    .reads = reads,
    .update = update,
};

static const cpuu_feature *const features[] = {&publicfav, NULL};
KIT_PLUGIN(features)
