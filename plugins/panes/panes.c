/*
 * Navigation panes: Favorites, Calendar, Contacts, Tasks, Notes and Journal, six features over one kind
 * of message. Every shortcut and every group header of a pane is a hidden message of class
 * IPM.Microsoft.WunderBar.Link in the Common Views folder ([MS-OXOCFG] 2.2.9); the section property
 * says which pane it is in.
 *
 * The rule is an upsert: each shortcut of the source is translated and then found at the target, by
 * the folder it will open or by the source folder it still opens (the mailbox move copied it);
 * found ones are corrected in place, missing ones created, and what only the target has is left alone.
 */
#include "common/kit.h"

#include <stdio.h>
#include <string.h>

#define SECTION_FAVORITES 1u /* [MS-OXOCFG] 2.2.9.14 */
#define SECTION_CALENDAR  3u
#define SECTION_CONTACTS  4u
#define SECTION_TASKS     5u
#define SECTION_NOTES     6u
#define SECTION_JOURNAL   7u

#define TYPE_SEARCH_FOLDER 1u /* [MS-OXOCFG] 2.2.9.5: PidTagWlinkType */
#define TYPE_GROUP         4u
#define FLAG_PUBLIC        0x1u /* [MS-OXOCFG] 2.2.9.6: PidTagWlinkFlags */

#define LINK_CLASS "IPM.Microsoft.WunderBar.Link"

/* The properties of a shortcut ([MS-OXOCFG] 2.2.9.1-18). Three GUIDs are binary by their definition
 * and PtypGuid in the specification's own examples: both are read, binary is written. */
enum column {
    SUBJECT, GROUP_ID, SAVE_STAMP, TYPE, FLAGS, ORDINAL, ENTRY_ID, RECORD_KEY, STORE_ID, FOLDER_TYPE,
    GROUP_CLSID, GROUP_NAME, SECTION, COLOR, AB_ID, CLIENT_ID, AB_STORE_ID, RO_GROUP, GROUP_ID_GUID,
    FOLDER_TYPE_GUID, GROUP_CLSID_GUID, N_COLUMNS
};
static const uint32_t tags[N_COLUMNS] = {
    [SUBJECT] = 0x0E1D001F,     /* PidTagNormalizedSubject */
    [GROUP_ID] = 0x68420102,    /* PidTagWlinkGroupHeaderID */
    [SAVE_STAMP] = 0x68470003,  /* PidTagWlinkSaveStamp */
    [TYPE] = 0x68490003,        /* PidTagWlinkType */
    [FLAGS] = 0x684A0003,       /* PidTagWlinkFlags */
    [ORDINAL] = 0x684B0102,     /* PidTagWlinkOrdinal */
    [ENTRY_ID] = 0x684C0102,    /* PidTagWlinkEntryId */
    [RECORD_KEY] = 0x684D0102,  /* PidTagWlinkRecordKey */
    [STORE_ID] = 0x684E0102,    /* PidTagWlinkStoreEntryId */
    [FOLDER_TYPE] = 0x684F0102, /* PidTagWlinkFolderType */
    [GROUP_CLSID] = 0x68500102, /* PidTagWlinkGroupClsid */
    [GROUP_NAME] = 0x6851001F,  /* PidTagWlinkGroupName */
    [SECTION] = 0x68520003,     /* PidTagWlinkSection */
    [COLOR] = 0x68530003,       /* PidTagWlinkCalendarColor */
    [AB_ID] = 0x68540102,       /* PidTagWlinkAddressBookEID */
    [CLIENT_ID] = 0x68900102,   /* PidTagWlinkClientID */
    [AB_STORE_ID] = 0x68910102, /* PidTagWlinkAddressBookStoreEID */
    [RO_GROUP] = 0x68920003,    /* PidTagWlinkROGroupType */
    [GROUP_ID_GUID] = 0x68420048,
    [FOLDER_TYPE_GUID] = 0x684F0048,
    [GROUP_CLSID_GUID] = 0x68500048,
};
#define SUBJECT_TAG 0x0037001Fu /* PidTagSubject: what is written; the normalized form follows */
#define CLASS_TAG   0x001A001Fu /* PidTagMessageClass */

static const cpuu_query reads[] = {
    CPUU_QUERY(CPUU_SOURCE, CPUU_HIDDEN, CPUU_ROLE_COMMON_VIEWS, LINK_CLASS, tags),
    CPUU_QUERY(CPUU_TARGET, CPUU_HIDDEN, CPUU_ROLE_COMMON_VIEWS, LINK_CLASS, tags),
};

/* The links of one shortcut, in the order they are added to the set. */
enum link { L_ENTRY, L_RECORD, L_STORE, L_AB, L_AB_STORE, N_LINKS };
static const struct {
    enum column column;
    uint32_t kind;
} link_columns[N_LINKS] = {
    [L_ENTRY] = {ENTRY_ID, CPUU_LINK_EID},    [L_RECORD] = {RECORD_KEY, CPUU_LINK_RECORD_KEY},
    [L_STORE] = {STORE_ID, CPUU_LINK_EID},    [L_AB] = {AB_ID, CPUU_LINK_EID},
    [L_AB_STORE] = {AB_STORE_ID, CPUU_LINK_EID},
};

typedef struct shortcut {
    cpuu_blob id; /* message EntryID */
    const cpuu_value *v;
    uint32_t first_link;
    bool taken;   /* target rows: already matched */
} shortcut;

typedef struct shortcuts {
    shortcut *items;
    uint32_t count, cap;
} shortcuts;

typedef struct pane {
    const cpuu_host *host;
    cpuu_run *run;
    uint32_t section;
    cpuu_rows *rows[2];
    shortcuts source, target;
    kit_links links;
    uint32_t stamp;
} pane;

/* ---- reading --------------------------------------------------------------------------------- */

/* A GUID column in whichever of its two types it is stored. */
static cpuu_blob guid_of(const cpuu_value *v, enum column binary, enum column guid)
{
    cpuu_blob b = kit_blob(&v[binary]);
    return b.size ? b : kit_blob(&v[guid]);
}

static bool add_row(shortcuts *s, const cpuu_row *row)
{
    if (!kit_grow(&s->items, &s->cap, s->count, sizeof(*s->items)))
        return false;
    shortcut one = {.id = row->id, .v = row->values};
    s->items[s->count++] = one;
    return true;
}

/* Takes the rows of this pane. The stamp says which session saved a shortcut ([MS-OXOCFG] 2.2.9.4): one
 * of no other client, and the same for all panes of a run. So it is mixed from the rows of the source,
 * which no pane changes. */
static cpuu_rc take_rows(pane *p, cpuu_rows *rows, shortcuts *out)
{
    for (uint32_t i = 0;; i++) {
        cpuu_row row = {.size = sizeof(row)};
        cpuu_rc rc = p->host->rows(rows, i, &row);
        if (rc == CPUU_END)
            return CPUU_OK;
        if (rc != CPUU_OK)
            return p->host->fail(p->run, rc, "read the navigation shortcuts", "Common Views");
        if (row.rc != CPUU_OK)
            return p->host->fail(p->run, row.rc, "read a navigation shortcut", "Common Views");
        if (out == &p->source)
            p->stamp = (p->stamp ^ kit_u32(&row.values[SAVE_STAMP], 0)) * 16777619u + 1;
        if (kit_u32(&row.values[SECTION], 0) == p->section && !add_row(out, &row))
            return kit_nomem(p->host, p->run);
    }
}

static cpuu_rc read_both(pane *p)
{
    cpuu_rc rc = kit_read(p->host, p->run, reads, 2, p->rows);
    if (rc == CPUU_OK)
        rc = take_rows(p, p->rows[0], &p->source);
    if (rc == CPUU_OK)
        rc = take_rows(p, p->rows[1], &p->target);
    return rc;
}

/* ---- deciding -------------------------------------------------------------------------------- */

static bool is_group(const shortcut *s)
{
    return kit_u32(&s->v[TYPE], 0) == TYPE_GROUP;
}

/* Favorites leaves search folders and public folders out, as the product this follows does. */
static bool is_excluded(const pane *p, const shortcut *s)
{
    return p->section == SECTION_FAVORITES && !is_group(s) &&
           (kit_u32(&s->v[TYPE], 0) == TYPE_SEARCH_FOLDER ||
            (kit_u32(&s->v[FLAGS], 0) & FLAG_PUBLIC));
}

static cpuu_rc translate(pane *p)
{
    for (uint32_t i = 0; i < p->source.count; i++) {
        shortcut *s = &p->source.items[i];
        if (is_group(s) || is_excluded(p, s))
            continue;
        s->first_link = p->links.count;
        for (int k = 0; k < N_LINKS; k++)
            kit_links_add(&p->links, link_columns[k].kind, kit_blob(&s->v[link_columns[k].column]),
                          NULL);
    }
    if (p->links.failed)
        return kit_nomem(p->host, p->run);
    return p->links.count ? kit_translate(p->host, p->run, p->links.items, p->links.count)
                          : CPUU_OK;
}

/* All links of a shortcut must tell one story. When the folder moves but its store or owner cannot be
 * named at the target, the whole shortcut stays: half of one opens nothing. The current user's
 * store is not part of the story. Returns the link that decides. */
static const cpuu_link *settle(pane *p, const shortcut *s, bool *keep)
{
    const cpuu_link *l = &p->links.items[s->first_link];
    const cpuu_link *decides = &l[L_ENTRY];
    *keep = decides->outcome != CPUU_REWRITTEN;
    for (int k = L_STORE; k <= L_AB && !*keep; k++) {
        if (l[k].outcome == CPUU_KEPT || l[k].outcome == CPUU_DROPPED) {
            decides = &l[k];
            *keep = true;
        }
    }
    return kit_why(decides, &l[L_STORE]);
}

/* What column `k` of a shortcut shall hold at the target. */
static cpuu_blob wanted_link(const pane *p, const shortcut *s, int k, bool keep)
{
    const cpuu_link *l = &p->links.items[s->first_link + (uint32_t)k];
    bool use = l->outcome == CPUU_REWRITTEN && (!keep || k == L_AB_STORE);
    if (k == L_RECORD && !use && !keep && l->in.size) /* must follow the EntryID */
        return p->links.items[s->first_link + L_ENTRY].out;
    return use ? l->out : l->in;
}

/* ---- matching -------------------------------------------------------------------------------- */

static shortcut *match_group(pane *p, const shortcut *s)
{
    cpuu_blob id = guid_of(s->v, GROUP_ID, GROUP_ID_GUID);
    for (uint32_t i = 0; i < p->target.count; i++) {
        shortcut *t = &p->target.items[i];
        if (is_group(t) && id.size && cpuu_blob_equal(id, guid_of(t->v, GROUP_ID, GROUP_ID_GUID)))
            return t;
    }
    return NULL;
}

/* The target's shortcut to the same folder: in the same group if there is one, else in any. */
static shortcut *match_folder(pane *p, const shortcut *s, cpuu_blob entry_id)
{
    shortcut *other_group = NULL;
    cpuu_blob group = guid_of(s->v, GROUP_CLSID, GROUP_CLSID_GUID);
    if (!entry_id.size)
        return NULL;
    for (uint32_t i = 0; i < p->target.count; i++) {
        shortcut *t = &p->target.items[i];
        if (t->taken || is_group(t) || !cpuu_blob_equal(entry_id, kit_blob(&t->v[ENTRY_ID])))
            continue;
        if (cpuu_blob_equal(group, guid_of(t->v, GROUP_CLSID, GROUP_CLSID_GUID)))
            return t;
        if (!other_group)
            other_group = t;
    }
    return other_group;
}

/* ---- changing -------------------------------------------------------------------------------- */

#define MAX_SET (N_COLUMNS + 2)

typedef struct change_set {
    cpuu_value set[MAX_SET];
    uint32_t n;
} change_set;

static void put(change_set *c, cpuu_value v)
{
    c->set[c->n++] = v;
}

static cpuu_rc queue(pane *p, uint32_t verb, cpuu_blob id, const change_set *c, const char *title)
{
    cpuu_change change = {.size = sizeof(change), .verb = verb, .what = CPUU_HIDDEN,
                          .role = CPUU_ROLE_COMMON_VIEWS, .id = id, .set = c->set, .n_set = c->n,
                          .title = title};
    return kit_change(p->host, p->run, &change, 1, NULL);
}

static void put_stamp(pane *p, change_set *c, uint8_t le[4])
{
    for (int i = 0; i < 4; i++)
        le[i] = (uint8_t)(p->stamp >> (8 * i));
    put(c, (cpuu_value){tags[SAVE_STAMP], 4, le});
}

/* A new message: everything the source has, in the types the specification defines. */
static cpuu_rc create(pane *p, const shortcut *s, bool keep, const char *title)
{
    static const enum column plain[] = {TYPE, FLAGS, ORDINAL, GROUP_NAME, SECTION, COLOR, CLIENT_ID,
                                        RO_GROUP};
    static const enum column guids[][2] = {{GROUP_ID, GROUP_ID_GUID},
                                           {FOLDER_TYPE, FOLDER_TYPE_GUID},
                                           {GROUP_CLSID, GROUP_CLSID_GUID}};
    change_set c = {.n = 0};
    uint8_t stamp[4];
    put(&c, kit_text_value(CLASS_TAG, LINK_CLASS));
    cpuu_blob subject = kit_blob(&s->v[SUBJECT]);
    put(&c, kit_blob_value(SUBJECT_TAG, subject));
    put_stamp(p, &c, stamp);
    for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++) {
        if (CPUU_FOUND(&s->v[plain[i]]))
            put(&c, s->v[plain[i]]);
    }
    for (size_t i = 0; i < sizeof(guids) / sizeof(*guids); i++) {
        cpuu_blob b = guid_of(s->v, guids[i][0], guids[i][1]);
        if (b.size)
            put(&c, kit_blob_value(tags[guids[i][0]], b));
    }
    for (int k = 0; k < N_LINKS && !is_group(s); k++) {
        cpuu_blob b = wanted_link(p, s, k, keep);
        if (b.size)
            put(&c, kit_blob_value(tags[link_columns[k].column], b));
    }
    return queue(p, CPUU_CREATE, (cpuu_blob){NULL, 0}, &c, title);
}

/* Corrects the links of a shortcut the target has. Its place and look are the target user's. */
static cpuu_rc correct(pane *p, const shortcut *s, shortcut *t, bool keep, const char *title)
{
    change_set c = {.n = 0};
    uint8_t stamp[4];
    t->taken = true;
    for (int k = 0; k < N_LINKS; k++) {
        cpuu_blob want = wanted_link(p, s, k, keep);
        cpuu_blob have = kit_blob(&t->v[link_columns[k].column]);
        if (want.size && !cpuu_eid_same(want, have) && !cpuu_blob_equal(want, have))
            put(&c, kit_blob_value(tags[link_columns[k].column], want));
    }
    if (c.n == 0)
        return CPUU_OK;
    put_stamp(p, &c, stamp);
    return queue(p, CPUU_UPDATE, t->id, &c, title);
}

static cpuu_rc process_group(pane *p, const shortcut *s)
{
    char title[256];
    if (match_group(p, s))
        return CPUU_OK;
    kit_text(&s->v[SUBJECT], title, sizeof(title));
    return create(p, s, true, title);
}

static cpuu_rc process_shortcut(pane *p, const shortcut *s)
{
    char title[256];
    bool keep;
    kit_text(&s->v[SUBJECT], title, sizeof(title));
    if (is_excluded(p, s)) {
        kit_decide_as(p->host, p->run, CPUU_DROPPED, CPUU_WHY_EXCLUDED, title, NULL, NULL);
        return CPUU_OK;
    }
    const cpuu_link *decides = settle(p, s, &keep);
    kit_decide(p->host, p->run, decides, title);
    if (decides->outcome == CPUU_DROPPED)
        return CPUU_OK;
    shortcut *t = match_folder(p, s, wanted_link(p, s, L_ENTRY, keep));
    if (!t)
        t = match_folder(p, s, kit_blob(&s->v[ENTRY_ID]));
    return t ? correct(p, s, t, keep, title) : create(p, s, keep, title);
}

/* ---- the verb -------------------------------------------------------------------------------- */

static cpuu_rc update(const cpuu_host *host, cpuu_run *run, uint32_t section)
{
    pane p = {.host = host, .run = run, .section = section, .stamp = 2166136261u};
    cpuu_rc rc = read_both(&p);
    if (rc == CPUU_OK)
        rc = translate(&p);
    for (uint32_t i = 0; rc == CPUU_OK && i < p.source.count; i++) {
        const shortcut *s = &p.source.items[i];
        rc = is_group(s) ? process_group(&p, s) : process_shortcut(&p, s);
    }
    if (rc == CPUU_OK && section == SECTION_CALENDAR && p.source.count) /* ruling R9 */
        host->log(run, CPUU_LOG_INFO, "which calendars are ticked in the pane is not carried over, "
                  "because it is not known where Outlook keeps it");
    host->rows_close(p.rows[0]);
    host->rows_close(p.rows[1]);
    cpuu_fmt_free(p.source.items);
    cpuu_fmt_free(p.target.items);
    kit_links_free(&p.links);
    return rc;
}

#define PANE(ident, section, word, words)                                                          \
    static cpuu_rc CPUU_CALL ident##_update(const cpuu_host *host, cpuu_run *run)                  \
    {                                                                                              \
        return update(host, run, section);                                                        \
    }                                                                                              \
    static const cpuu_feature ident = {                                                            \
        .size = sizeof(cpuu_feature),                                                              \
        .needs = CPUU_NEED_SOURCE | CPUU_NEED_TARGET | CPUU_NEED_TARGET_WRITE | CPUU_NEED_OTHERS | \
                 CPUU_NEED_PUBLIC,                                                                 \
        .links = CPUU_LINK_EID | CPUU_LINK_RECORD_KEY,                                             \
        .n_reads = sizeof(reads) / sizeof(*reads),                                                 \
        .name = word,                                                                              \
        .title = words,                                                                            \
        .reads = reads,                                                                            \
        .update = ident##_update,                                                                  \
    };

PANE(favorites, SECTION_FAVORITES, "Favorites", "Favorites group of the Mail pane")
PANE(calendar, SECTION_CALENDAR, "Calendar", "Calendar pane")
PANE(contacts, SECTION_CONTACTS, "Contacts", "Contacts pane")
PANE(tasks, SECTION_TASKS, "Tasks", "Tasks pane")
PANE(notes, SECTION_NOTES, "Notes", "Notes pane")
PANE(journal, SECTION_JOURNAL, "Journal", "Journal pane")

static const cpuu_feature *const features[] = {&favorites, &calendar, &contacts,
                                               &tasks,     &notes,    &journal, NULL};
KIT_PLUGIN(features)
