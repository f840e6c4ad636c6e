/*
 * Services: address-book settings in the MAPI profile section: the search path (but for the contact
 * folders in it, which are CONTAB's), the address list shown first and the folder for new contacts;
 * and the stores and windows Outlook remembers, in its own section.
 * Address lists are named by a GUID of their own directory, so a list of the source has no place at
 * the target and is dropped; the global address list stands for itself.
 */
#include "common/relink.h"

#include <cpuu/formats/profileblob.h>

#include <string.h>

enum column { SEARCH_PATH, DEFAULT_DIR, DEFAULT_PAB, PATH_MODE, CHOOSE_DIR, N_COLUMNS };
static const uint32_t tags[N_COLUMNS] = {
    [SEARCH_PATH] = 0x3D051102, /* PR_AB_SEARCH_PATH */
    [DEFAULT_DIR] = 0x3D060102, /* PR_AB_DEFAULT_DIR */
    [DEFAULT_PAB] = 0x3D070102, /* PR_AB_DEFAULT_PAB */
    [PATH_MODE] = 0x3D1B0003,   /* order: 0 custom, 1 global list first, 2 contacts first */
    [CHOOSE_DIR] = 0x3D1C000B,  /* PR_AB_CHOOSE_DIRECTORY_AUTOMATICALLY */
};

/* What Outlook remembers of stores and windows, in the Outlook section (observed; what some of the
 * lists are for is inferred). Elements of STORES and ORDER are EntryIDs, of WINDOWS
 * cpuu_window_state. */
enum remembered { STORES, STORES_2, STORES_3, ORDER, WINDOWS, N_REMEMBERED };
#define REMEMBERED_TITLE "stores and windows Outlook remembers"
static const uint32_t remembered_tags[N_REMEMBERED] = {
    [STORES] = 0x039B1102, /* stores that were open, each followed by its Inbox */
    [STORES_2] = 0x044E1102, [STORES_3] = 0x032F1102,
    [ORDER] = 0x04581102,   /* of mailboxes in the folder pane */
    [WINDOWS] = 0x04341102, /* of the last session */
};

static const cpuu_query reads[] = {
    CPUU_QUERY(CPUU_PROFILE, CPUU_SECTIONS, CPUU_ROLE_MASTER, NULL, tags),
    CPUU_QUERY(CPUU_PROFILE, CPUU_SECTIONS, CPUU_ROLE_OUTLOOK, NULL, remembered_tags),
};
static const char *const after[] = {"CONTAB", NULL};

static bool is_contab(cpuu_blob b)
{
    cpuu_eid eid;
    return cpuu_eid_decode(b, &eid, NULL) && eid.kind == CPUU_EID_CONTAB;
}

typedef struct edit { /* of the one section */
    cpuu_value set[N_COLUMNS];
    uint32_t unset[N_COLUMNS];
    uint32_t n_set, n_unset;
    cpuu_buf path;
} edit;

static cpuu_rc save(const cpuu_host *host, cpuu_run *run, const cpuu_row *row, const edit *e)
{
    if (e->n_set + e->n_unset == 0)
        return CPUU_OK;
    cpuu_change change = {.size = sizeof(change),
                          .verb = CPUU_UPDATE,
                          .what = CPUU_SECTIONS,
                          .id = row->id,
                          .set = e->set,
                          .n_set = e->n_set,
                          .unset = e->unset,
                          .n_unset = e->n_unset,
                          .title = "address book settings"};
    return e->path.failed ? kit_nomem(host, run) : kit_change(host, run, &change, 1, NULL);
}

static void put_path(edit *e, const kit_list *path)
{
    cpuu_value v = kit_list_join(path, tags[SEARCH_PATH], &e->path);
    if (path->count)
        e->set[e->n_set++] = v;
    else
        e->unset[e->n_unset++] = tags[SEARCH_PATH];
}

/* Search path: elements are links of the set from `first` on. */
static void settle_path(const cpuu_host *host, cpuu_run *run, kit_list *path, const cpuu_link *l,
                        edit *e)
{
    bool changed = false;
    uint32_t n = path->count;
    for (uint32_t i = 0, element = 0; element < n; element++) {
        const cpuu_link *link = &l[element];
        if (link->in.size)
            kit_decide(host, run, link, "address list in the search path");
        if (link->in.size && link->outcome == CPUU_DROPPED) {
            kit_list_remove(path, i);
            changed = true;
            continue;
        }
        if (link->in.size && link->outcome == CPUU_REWRITTEN) {
            path->items[i] = link->out;
            changed = true;
        }
        i++;
    }
    if (changed)
        put_path(e, path);
}

static void settle_one(const cpuu_host *host, cpuu_run *run, const cpuu_link *l, enum column column,
                       const char *title, edit *e)
{
    if (!l->in.size)
        return;
    kit_decide(host, run, l, title);
    if (l->outcome == CPUU_REWRITTEN)
        e->set[e->n_set++] = kit_blob_value(tags[column], l->out);
    else if (l->outcome == CPUU_DROPPED)
        e->unset[e->n_unset++] = tags[column];
}

static cpuu_rc update_section(const cpuu_host *host, cpuu_run *run, const cpuu_row *row)
{
    kit_list path;
    kit_links l = {0};
    edit e = {.n_set = 0};
    cpuu_rc rc = kit_list_split(&row->values[SEARCH_PATH], &path);
    if (rc != CPUU_OK)
        return host->fail(run, rc, "understand the address book search path",
                          "MAPI profile section");
    cpuu_buf_init(&e.path, 4u << 20);
    kit_links_add(&l, CPUU_LINK_EID, kit_blob(&row->values[DEFAULT_DIR]), NULL);
    kit_links_add(&l, CPUU_LINK_EID, kit_blob(&row->values[DEFAULT_PAB]), NULL);
    for (uint32_t i = 0; i < path.count; i++)
        kit_links_add(&l, CPUU_LINK_EID,
                      is_contab(path.items[i]) ? (cpuu_blob){NULL, 0} : path.items[i], NULL);
    rc = l.failed ? kit_nomem(host, run) : kit_translate(host, run, l.items, l.count);
    if (rc == CPUU_OK) {
        settle_one(host, run, &l.items[0], DEFAULT_DIR, "address list shown first", &e);
        settle_one(host, run, &l.items[1], DEFAULT_PAB, "folder for new contacts", &e);
        settle_path(host, run, &path, &l.items[2], &e);
        rc = save(host, run, row, &e);
    }
    cpuu_buf_free(&e.path);
    kit_links_free(&l);
    kit_list_free(&path);
    return rc;
}

/* Not selected: settings go back to their defaults; contact folders are CONTAB's to decide. */
static cpuu_rc reset_section(const cpuu_host *host, cpuu_run *run, const cpuu_row *row)
{
    kit_list path;
    edit e = {.n_set = 0};
    cpuu_rc rc = kit_list_split(&row->values[SEARCH_PATH], &path);
    if (rc != CPUU_OK)
        return host->fail(run, rc, "understand the address book search path",
                          "MAPI profile section");
    cpuu_buf_init(&e.path, 4u << 20);
    uint32_t before = path.count;
    for (uint32_t i = 0; i < path.count;) {
        if (is_contab(path.items[i]))
            i++;
        else
            kit_list_remove(&path, i);
    }
    if (path.count != before)
        put_path(&e, &path);
    for (int c = DEFAULT_DIR; c < N_COLUMNS; c++) {
        if (CPUU_FOUND(&row->values[c]))
            e.unset[e.n_unset++] = tags[c];
    }
    rc = save(host, run, row, &e);
    cpuu_buf_free(&e.path);
    kit_list_free(&path);
    return rc;
}

/* ---- what Outlook remembers --------------------------------------------------------------------
 */

/* The list with what is known of its links put in; false when it is not understood or nothing
 * changes. An EntryID that cannot move stays: as in any such list, it is a dead entry at worst. */
static bool rewrite_list(const cpuu_value *v, enum remembered which, kit_relink *r, cpuu_buf *out)
{
    bool replaced = false;
    cpuu_buf_reset(out);
    return CPUU_FOUND(v) &&
           cpuu_list_rewrite(kit_blob(v),
                             which == WINDOWS ? cpuu_window_state_rewrite : cpuu_eid_element,
                             kit_relink_cb, r, out, &replaced, NULL) &&
           replaced;
}

static void report_remembered(const cpuu_host *host, cpuu_run *run, const kit_relink *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        const cpuu_link *l = &r->items[i].link;
        kit_decide_as(host, run, l->outcome == CPUU_DROPPED ? CPUU_KEPT : l->outcome, l->reason,
                      "store or folder Outlook remembers", l->in_text, l->out_text);
    }
}

static cpuu_rc update_remembered(const cpuu_host *host, cpuu_run *run, const cpuu_row *row)
{
    kit_relink r = {.count = 0};
    cpuu_buf out[N_REMEMBERED];
    cpuu_value set[N_REMEMBERED];
    uint32_t n = 0;
    kit_relink_begin(&r, 0);
    for (int c = 0; c < N_REMEMBERED; c++) {
        cpuu_buf_init(&out[c], 4u << 20);
        rewrite_list(&row->values[c], (enum remembered)c, &r, &out[c]);
        r.failed = r.failed || out[c].failed;
    }
    cpuu_rc rc = r.failed ? kit_nomem(host, run) : CPUU_OK;
    if (rc == CPUU_OK && r.count)
        rc = kit_relink_translate(&r, host, run);
    for (int c = 0; rc == CPUU_OK && r.count && c < N_REMEMBERED; c++) {
        if (rewrite_list(&row->values[c], (enum remembered)c, &r, &out[c]))
            set[n++] =
                kit_blob_value(remembered_tags[c], (cpuu_blob){out[c].data, (uint32_t)out[c].size});
        if (out[c].failed)
            rc = kit_nomem(host, run);
    }
    cpuu_change change = {.size = sizeof(change),
                          .verb = CPUU_UPDATE,
                          .what = CPUU_SECTIONS,
                          .id = row->id,
                          .set = set,
                          .n_set = n,
                          .title = REMEMBERED_TITLE};
    if (rc == CPUU_OK)
        report_remembered(host, run, &r);
    if (rc == CPUU_OK && n)
        rc = kit_change(host, run, &change, 1, NULL);
    for (int c = 0; c < N_REMEMBERED; c++)
        cpuu_buf_free(&out[c]);
    kit_relink_free(&r);
    return rc;
}

static cpuu_rc forget_remembered(const cpuu_host *host, cpuu_run *run, const cpuu_row *row)
{
    return kit_clear(host, run, row, remembered_tags, N_REMEMBERED, REMEMBERED_TITLE);
}

/* ---- the verbs ---------------------------------------------------------------------------------
 */

static cpuu_rc CPUU_CALL update(const cpuu_host *host, cpuu_run *run)
{
    cpuu_rc rc = kit_each_section(host, run, &reads[0], update_section);
    return rc == CPUU_OK ? kit_each_section(host, run, &reads[1], update_remembered) : rc;
}

static cpuu_rc CPUU_CALL skip(const cpuu_host *host, cpuu_run *run)
{
    cpuu_rc rc = kit_each_section(host, run, &reads[0], reset_section);
    return rc == CPUU_OK ? kit_each_section(host, run, &reads[1], forget_remembered) : rc;
}

static const cpuu_feature services = {
    .size = sizeof(cpuu_feature),
    .needs = CPUU_NEED_SOURCE | CPUU_NEED_TARGET | CPUU_NEED_OTHERS | CPUU_NEED_PUBLIC |
             CPUU_NEED_PROFILE | CPUU_NEED_PROFILE_WRITE,
    .links = CPUU_LINK_EID,
    .n_reads = sizeof(reads) / sizeof(*reads),
    .name = "Services",
    .title = "Settings of the profile",
    .after = after,
    .reads = reads,
    .update = update,
    .skip = skip,
};

static const cpuu_feature *const features[] = {&services, NULL};
KIT_PLUGIN(features)
