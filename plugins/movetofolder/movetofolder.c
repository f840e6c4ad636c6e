/*
 * MoveToFolder: the folders a message was moved to lately, in the Outlook section of the profile.
 * Two parallel arrays hold a name and a folder reference for each of ten slots; the last target of
 * all stands apart. A reference names store and folder, and is written whole or not at all. Layout:
 * observed in profiles of Outlook 2010 to 2016, 32 and 64 bit.
 */
#include "common/kit.h"

#include <cpuu/formats/profileblob.h>

#include <string.h>

#define TITLE "recent move-to folders"

enum column { NAMES, NAME_SLOT, REFS, REF_SLOT, LAST_FOLDER, LAST_STORE, N_COLUMNS };
static const uint32_t tags[N_COLUMNS] = {
    [NAMES] = 0x031E101F,     /* display names; an unused slot is empty */
    [NAME_SLOT] = 0x031F0003, /* slot used last */
    [REFS] = 0x022A1102,      /* folder references, see cpuu_folder_ref */
    [REF_SLOT] = 0x022B0003,   [LAST_FOLDER] = 0x04080102, /* EntryID of the last target */
    [LAST_STORE] = 0x04090102,                             /* and of its store */
};

static const cpuu_query reads[] = {
    CPUU_QUERY(CPUU_PROFILE, CPUU_SECTIONS, CPUU_ROLE_OUTLOOK, NULL, tags),
};

#define MAX_VALUE (1u << 20)

typedef struct recent {
    cpuu_row row;
    kit_list names, refs;
    kit_links links; /* two for each slot, store and folder; then two for the last target */
    bool changed;    /* of the arrays */
    cpuu_buf built;  /* reference after reference; may move while it grows */
    uint32_t *sizes; /* of the new reference of each slot; 0 = as it was */
} recent;

static void close_recent(recent *r)
{
    kit_list_free(&r->names);
    kit_list_free(&r->refs);
    kit_links_free(&r->links);
    cpuu_buf_free(&r->built);
    cpuu_fmt_free(r->sizes);
}

static cpuu_rc open_recent(const cpuu_row *row, recent *r)
{
    memset(r, 0, sizeof(*r));
    r->row = *row;
    cpuu_buf_init(&r->built, MAX_VALUE);
    cpuu_rc rc = kit_list_split(&row->values[NAMES], &r->names);
    if (rc == CPUU_OK)
        rc = kit_list_split(&row->values[REFS], &r->refs);
    if (rc == CPUU_OK) {
        r->sizes = cpuu_fmt_realloc(NULL, (r->refs.count + 1) * sizeof(*r->sizes));
        if (r->sizes)
            memset(r->sizes, 0, (r->refs.count + 1) * sizeof(*r->sizes));
        else
            rc = CPUU_E_NOMEM;
    }
    if (rc != CPUU_OK)
        close_recent(r);
    return rc;
}

static const char *title_of(const recent *r, uint32_t slot, char *out, size_t size)
{
    out[0] = 0;
    if (slot < r->names.count) {
        cpuu_value v = kit_blob_value(tags[NAMES], r->names.items[slot]);
        kit_text(&v, out, size);
    }
    return out[0] ? out : "recent move-to folder";
}

static cpuu_rc translate(const cpuu_host *host, cpuu_run *run, recent *r)
{
    for (uint32_t i = 0; i < r->refs.count; i++) {
        cpuu_folder_ref ref = {.folder = {NULL, 0}, .store = {NULL, 0}};
        cpuu_folder_ref_decode(r->refs.items[i], &ref, NULL); /* settle() tells what it is not */
        kit_links_add(&r->links, CPUU_LINK_EID, ref.store, NULL);
        kit_links_add(&r->links, CPUU_LINK_EID, ref.folder, NULL);
    }
    kit_links_add(&r->links, CPUU_LINK_EID, kit_blob(&r->row.values[LAST_STORE]), NULL);
    kit_links_add(&r->links, CPUU_LINK_EID, kit_blob(&r->row.values[LAST_FOLDER]), NULL);
    return r->links.failed ? kit_nomem(host, run)
                           : kit_translate(host, run, r->links.items, r->links.count);
}

/* What becomes of a folder and its store together: half a link is worse than an old one. Of both,
 * the one that decides is left in *says. */
static uint32_t outcome_of(const cpuu_link *store, const cpuu_link *folder, const cpuu_link **says)
{
    *says = kit_why(folder, store);
    if (folder->outcome == CPUU_DROPPED || folder->outcome == CPUU_KEPT)
        return folder->outcome;
    if (store->outcome == CPUU_REWRITTEN || store->outcome == CPUU_ALREADY)
        return store->outcome == CPUU_REWRITTEN ? CPUU_REWRITTEN : folder->outcome;
    *says = store;
    return CPUU_KEPT;
}

static void report(const cpuu_host *host, cpuu_run *run, const char *title, uint32_t outcome,
                   const cpuu_link *folder, const cpuu_link *says)
{
    const cpuu_link *l = outcome == CPUU_REWRITTEN ? folder : says;
    kit_decide_as(host, run, outcome, says->reason, title, l->in_text, l->out_text);
}

static void clear_slot(recent *r, uint32_t slot)
{
    r->refs.items[slot] = (cpuu_blob){NULL, 0};
    if (slot < r->names.count)
        r->names.items[slot] = (cpuu_blob){NULL, 0};
    r->changed = true;
}

static void settle(const cpuu_host *host, cpuu_run *run, recent *r, uint32_t slot)
{
    char text[256];
    cpuu_folder_ref ref;
    const char *title = title_of(r, slot, text, sizeof(text));
    const cpuu_link *store = &r->links.items[2 * slot], *folder = store + 1, *says;
    if (r->refs.items[slot].size == 0)
        return;
    if (!cpuu_folder_ref_decode(r->refs.items[slot], &ref, NULL)) {
        kit_decide_as(host, run, CPUU_KEPT, CPUU_WHY_UNREADABLE, title, NULL, NULL);
        return;
    }
    uint32_t outcome = outcome_of(store, folder, &says);
    report(host, run, title, outcome, folder, says);
    if (outcome == CPUU_DROPPED) {
        clear_slot(r, slot);
    } else if (outcome == CPUU_REWRITTEN) {
        size_t before = r->built.size;
        ref.head = (cpuu_blob){NULL, 0}; /* pointers of the old memory image: zero (observed) */
        ref.folder = folder->out;
        ref.store = store->out;
        cpuu_folder_ref_encode(&r->built, &ref);
        r->sizes[slot] = (uint32_t)(r->built.size - before);
        r->changed = true;
    }
}

/* Puts what was built into its slots, once it does not move any more. */
static void place(recent *r)
{
    const uint8_t *at = r->built.data;
    for (uint32_t i = 0; !r->built.failed && i < r->refs.count; i++) {
        if (!r->sizes[i])
            continue;
        r->refs.items[i] = (cpuu_blob){at, r->sizes[i]};
        at += r->sizes[i];
    }
}

typedef struct edit {
    cpuu_value set[N_COLUMNS];
    uint32_t unset[N_COLUMNS];
    uint32_t n_set, n_unset;
} edit;

static void settle_last(const cpuu_host *host, cpuu_run *run, const recent *r, edit *e)
{
    const cpuu_link *store = &r->links.items[2 * r->refs.count], *folder = store + 1, *says;
    if (folder->in.size == 0)
        return;
    uint32_t outcome = outcome_of(store, folder, &says);
    report(host, run, "last move-to folder", outcome, folder, says);
    for (int c = LAST_FOLDER; c <= LAST_STORE; c++) {
        const cpuu_link *l = c == LAST_FOLDER ? folder : store;
        if (outcome == CPUU_REWRITTEN && l->in.size)
            e->set[e->n_set++] = kit_blob_value(tags[c], l->out);
        else if (outcome == CPUU_DROPPED && l->in.size)
            e->unset[e->n_unset++] = tags[c];
    }
}

static cpuu_rc save(const cpuu_host *host, cpuu_run *run, const cpuu_row *row, const edit *e)
{
    cpuu_change change = {.size = sizeof(change),
                          .verb = CPUU_UPDATE,
                          .what = CPUU_SECTIONS,
                          .id = row->id,
                          .set = e->set,
                          .n_set = e->n_set,
                          .unset = e->unset,
                          .n_unset = e->n_unset,
                          .title = TITLE};
    return e->n_set + e->n_unset ? kit_change(host, run, &change, 1, NULL) : CPUU_OK;
}

static cpuu_rc update_section(const cpuu_host *host, cpuu_run *run, const cpuu_row *row)
{
    recent r;
    edit e = {.n_set = 0};
    cpuu_buf names, refs;
    cpuu_rc rc = open_recent(row, &r);
    if (rc != CPUU_OK)
        return host->fail(run, rc, "read the list of move-to folders", "Outlook section");
    cpuu_buf_init(&names, MAX_VALUE);
    cpuu_buf_init(&refs, MAX_VALUE);
    rc = translate(host, run, &r);
    for (uint32_t i = 0; rc == CPUU_OK && i < r.refs.count; i++)
        settle(host, run, &r, i);
    if (rc == CPUU_OK)
        settle_last(host, run, &r, &e);
    place(&r);
    if (rc == CPUU_OK && r.changed) {
        e.set[e.n_set++] = kit_list_join(&r.refs, tags[REFS], &refs);
        if (r.names.present)
            e.set[e.n_set++] = kit_list_join(&r.names, tags[NAMES], &names);
    }
    if (rc == CPUU_OK && (r.built.failed || names.failed || refs.failed))
        rc = kit_nomem(host, run);
    if (rc == CPUU_OK)
        rc = save(host, run, row, &e);
    cpuu_buf_free(&names);
    cpuu_buf_free(&refs);
    close_recent(&r);
    return rc;
}

/* Not selected: the list becomes empty. Outlook has no value rather than an empty one. */
static cpuu_rc empty_section(const cpuu_host *host, cpuu_run *run, const cpuu_row *row)
{
    return kit_clear(host, run, row, tags, N_COLUMNS, TITLE);
}

static cpuu_rc CPUU_CALL update(const cpuu_host *host, cpuu_run *run)
{
    return kit_each_section(host, run, &reads[0], update_section);
}

static cpuu_rc CPUU_CALL skip(const cpuu_host *host, cpuu_run *run)
{
    return kit_each_section(host, run, &reads[0], empty_section);
}

static const cpuu_feature movetofolder = {
    .size = sizeof(cpuu_feature),
    .needs = CPUU_NEED_SOURCE | CPUU_NEED_TARGET | CPUU_NEED_OTHERS | CPUU_NEED_PUBLIC |
             CPUU_NEED_PROFILE | CPUU_NEED_PROFILE_WRITE,
    .links = CPUU_LINK_EID,
    .n_reads = sizeof(reads) / sizeof(*reads),
    .name = "MoveToFolder",
    .title = "Folder lists",
    .reads = reads,
    .update = update,
    .skip = skip,
};

static const cpuu_feature *const features[] = {&movetofolder, NULL};
KIT_PLUGIN(features)
