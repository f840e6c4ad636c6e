/*
 * OtherUsersFolders: the names in "Open Other User's Folder", in the Outlook section of the
 * profile. They are display names and nothing else; Outlook looks them up again when one is chosen.
 * A name changes only when the person has moved and is called otherwise in the target's address
 * book.
 */
#include "common/kit.h"

#include <string.h>

#define TITLE "names in Open Other User's Folder"

enum column { NAMES, NAMES_A, N_COLUMNS };
static const uint32_t tags[N_COLUMNS] = {
    [NAMES] = 0x0390101F,   /* Outlook 2003 and later */
    [NAMES_A] = 0x0384101E, /* Outlook 97 */
};

static const cpuu_query reads[] = {
    CPUU_QUERY(CPUU_PROFILE, CPUU_SECTIONS, CPUU_ROLE_OUTLOOK, NULL, tags),
};

#define MAX_VALUE (1u << 20)

/* Old and new Outlook keep the same names, each in a value of its own: to a person that is one link. */
static bool is_first(const kit_links *l, uint32_t at)
{
    const cpuu_blob a = l->items[at].in;
    for (uint32_t i = 0; i < at; i++) {
        const cpuu_blob b = l->items[i].in;
        if (a.size == b.size && memcmp(a.data, b.data, a.size) == 0)
            return false;
    }
    return true;
}

static void settle(const cpuu_host *host, cpuu_run *run, const kit_links *all, uint32_t at,
                   cpuu_blob *name, bool *changed)
{
    char title[256];
    const cpuu_link *l = &all->items[at];
    cpuu_value v = kit_blob_value(tags[NAMES], l->in);
    if (l->in.size == 0)
        return;
    if (is_first(all, at))
        kit_decide(host, run, l, kit_text(&v, title, sizeof(title)));
    if (l->outcome == CPUU_REWRITTEN) {
        *name = l->out;
        *changed = true;
    }
}

static cpuu_rc save(const cpuu_host *host, cpuu_run *run, const cpuu_row *row, kit_list *lists,
                    const bool *changed)
{
    cpuu_value set[N_COLUMNS];
    cpuu_buf bufs[N_COLUMNS];
    uint32_t n = 0;
    bool failed = false;
    for (int c = 0; c < N_COLUMNS; c++) {
        cpuu_buf_init(&bufs[c], MAX_VALUE);
        if (changed[c])
            set[n++] = kit_list_join(&lists[c], tags[c], &bufs[c]);
        failed |= bufs[c].failed;
    }
    cpuu_change change = {.size = sizeof(change),
                          .verb = CPUU_UPDATE,
                          .what = CPUU_SECTIONS,
                          .id = row->id,
                          .set = set,
                          .n_set = n,
                          .title = TITLE};
    cpuu_rc rc = failed ? kit_nomem(host, run) : CPUU_OK;
    if (rc == CPUU_OK && n)
        rc = kit_change(host, run, &change, 1, NULL);
    for (int c = 0; c < N_COLUMNS; c++)
        cpuu_buf_free(&bufs[c]);
    return rc;
}

static cpuu_rc update_section(const cpuu_host *host, cpuu_run *run, const cpuu_row *row)
{
    kit_list lists[N_COLUMNS] = {{0}};
    kit_links l = {0};
    bool changed[N_COLUMNS] = {false};
    cpuu_rc rc = CPUU_OK;
    for (int c = 0; rc == CPUU_OK && c < N_COLUMNS; c++) {
        rc = kit_list_split(&row->values[c], &lists[c]);
        if (rc != CPUU_OK)
            host->fail(run, rc, "read the names of other users", "Outlook section");
        for (uint32_t i = 0; rc == CPUU_OK && i < lists[c].count; i++)
            kit_links_add(&l, CPUU_LINK_NAME, lists[c].items[i], NULL);
    }
    if (rc == CPUU_OK && l.failed)
        rc = kit_nomem(host, run);
    if (rc == CPUU_OK && l.count)
        rc = kit_translate(host, run, l.items, l.count);
    for (uint32_t c = 0, at = 0; rc == CPUU_OK && c < N_COLUMNS; c++)
        for (uint32_t i = 0; i < lists[c].count; i++)
            settle(host, run, &l, at++, &lists[c].items[i], &changed[c]);
    if (rc == CPUU_OK)
        rc = save(host, run, row, lists, changed);
    kit_links_free(&l);
    for (int c = 0; c < N_COLUMNS; c++)
        kit_list_free(&lists[c]);
    return rc;
}

/* Not selected: the list becomes empty. */
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

static const cpuu_feature otherusersfolders = {
    .size = sizeof(cpuu_feature),
    .needs = CPUU_NEED_SOURCE | CPUU_NEED_TARGET | CPUU_NEED_PROFILE | CPUU_NEED_PROFILE_WRITE,
    .links = CPUU_LINK_NAME,
    .n_reads = sizeof(reads) / sizeof(*reads),
    .name = "OtherUsersFolders",
    .title = "Other users' folders",
    .reads = reads,
    .update = update,
    .skip = skip,
};

static const cpuu_feature *const features[] = {&otherusersfolders, NULL};
KIT_PLUGIN(features)
