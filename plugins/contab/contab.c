/*
 * CONTAB: the Outlook Address Book. The provider section of service CONTAB holds parallel arrays, one
 * element for each contact folder shown in the address book; most of these folders also stand in the
 * address-book search path of the MAPI profile section. Both are rewritten together. Layout: observed
 * in profiles of Outlook 2010 to 2016, 32 and 64 bit.
 */
#include "common/kit.h"

#include <string.h>

enum column { FOLDERS, STORES, STORE_NAMES, FOLDER_NAMES, NAMES, STORE_NAMES_A, FOLDER_NAMES_A,
              NAMES_A, SUPPORT, FLAGS, N_COLUMNS };
static const uint32_t tags[N_COLUMNS] = {
    [FOLDERS] = 0x66201102,      /* folder EntryIDs */
    [STORES] = 0x66261102,       /* wrapped store EntryIDs */
    [STORE_NAMES] = 0x6627101F,
    [FOLDER_NAMES] = 0x6628101F,
    [NAMES] = 0x6629101F,        /* name in the address book */
    [STORE_NAMES_A] = 0x6622101E, /* 8-bit copies of the three above */
    [FOLDER_NAMES_A] = 0x6623101E,
    [NAMES_A] = 0x6624101E,
    [SUPPORT] = 0x66211003,      /* store support masks */
    [FLAGS] = 0x66251003,        /* multi-address flags */
};
static const uint32_t path_tags[] = {0x3D051102}; /* PR_AB_SEARCH_PATH */

static const cpuu_query reads[] = {
    CPUU_QUERY(CPUU_PROFILE, CPUU_SECTIONS, CPUU_ROLE_PROVIDERS, "CONTAB", tags),
    CPUU_QUERY(CPUU_PROFILE, CPUU_SECTIONS, CPUU_ROLE_MASTER, NULL, path_tags),
};

/* ---- one provider section -------------------------------------------------------------------- */

typedef struct book {
    cpuu_row row;
    kit_list lists[N_COLUMNS];
    bool changed;
} book;

static void free_book(book *b)
{
    for (int c = 0; c < N_COLUMNS; c++)
        kit_list_free(&b->lists[c]);
}

/* Arrays of different lengths cannot be edited element by element without guessing. */
static cpuu_rc open_book(const cpuu_row *row, book *b)
{
    memset(b, 0, sizeof(*b));
    b->row = *row;
    cpuu_rc rc = CPUU_OK;
    for (int c = 0; rc == CPUU_OK && c < N_COLUMNS; c++)
        rc = kit_list_split(&row->values[c], &b->lists[c]);
    for (int c = 0; rc == CPUU_OK && c < N_COLUMNS; c++) {
        if (b->lists[c].present && b->lists[c].count != b->lists[FOLDERS].count)
            rc = CPUU_E_FORMAT;
    }
    if (rc != CPUU_OK)
        free_book(b);
    return rc;
}

static void drop_element(book *b, uint32_t i)
{
    for (int c = 0; c < N_COLUMNS; c++)
        kit_list_remove(&b->lists[c], i);
    b->changed = true;
}

static void title_of(const book *b, uint32_t i, char *out, size_t size)
{
    const kit_list *l = b->lists[NAMES].present ? &b->lists[NAMES] : &b->lists[FOLDER_NAMES];
    out[0] = 0;
    if (i < l->count) {
        cpuu_value v = kit_blob_value(tags[NAMES], l->items[i]);
        kit_text(&v, out, size);
    }
}

/* A store name that is the address of the old mailbox becomes the address of the new one. */
static void rename_store(kit_list *l, uint32_t i, const cpuu_link *store)
{
    size_t n = strlen(store->in_text);
    if (i < l->count && l->items[i].size == n && memcmp(l->items[i].data, store->in_text, n) == 0)
        l->items[i] = (cpuu_blob){(const uint8_t *)store->out_text,
                                  (uint32_t)strlen(store->out_text)};
}

/* Returns the outcome for element i; links 2i and 2i+1 are its folder and its store. */
static uint32_t settle(const cpuu_host *host, cpuu_run *run, book *b, uint32_t i, uint32_t element,
                       const kit_links *l)
{
    char title[256];
    const cpuu_link *folder = &l->items[2 * element], *store = &l->items[2 * element + 1];
    title_of(b, i, title, sizeof(title));
    if (folder->outcome == CPUU_REWRITTEN && store->outcome == CPUU_KEPT) {
        kit_decide(host, run, store, title);
        return CPUU_KEPT;
    }
    kit_decide(host, run, kit_why(folder, store), title);
    if (folder->outcome == CPUU_REWRITTEN) {
        b->lists[FOLDERS].items[i] = folder->out;
        if (i < b->lists[STORES].count) {
            b->lists[STORES].items[i] = store->out;
            rename_store(&b->lists[STORE_NAMES], i, store);
            rename_store(&b->lists[STORE_NAMES_A], i, store);
        }
        b->changed = true;
    }
    return folder->outcome;
}

static cpuu_rc save_book(const cpuu_host *host, cpuu_run *run, const book *b)
{
    cpuu_value set[N_COLUMNS];
    uint32_t unset[N_COLUMNS], n_set = 0, n_unset = 0;
    cpuu_buf bufs[N_COLUMNS];
    bool failed = false;
    for (int c = 0; c < N_COLUMNS; c++) {
        cpuu_buf_init(&bufs[c], 4u << 20);
        if (!b->lists[c].present)
            continue;
        if (b->lists[c].count == 0)
            unset[n_unset++] = tags[c];
        else
            set[n_set++] = kit_list_join(&b->lists[c], tags[c], &bufs[c]);
        failed |= bufs[c].failed;
    }
    cpuu_change change = {.size = sizeof(change), .verb = CPUU_UPDATE, .what = CPUU_SECTIONS,
                          .id = b->row.id, .set = set, .n_set = n_set, .unset = unset,
                          .n_unset = n_unset, .title = "Outlook Address Book"};
    cpuu_rc rc = failed ? kit_nomem(host, run) : kit_change(host, run, &change, 1, NULL);
    for (int c = 0; c < N_COLUMNS; c++)
        cpuu_buf_free(&bufs[c]);
    return rc;
}

static cpuu_rc translate_book(const cpuu_host *host, cpuu_run *run, book *b, kit_links *l)
{
    for (uint32_t i = 0; i < b->lists[FOLDERS].count; i++) {
        cpuu_blob none = {NULL, 0};
        kit_links_add(l, CPUU_LINK_EID, b->lists[FOLDERS].items[i], NULL);
        kit_links_add(l, CPUU_LINK_EID,
                      i < b->lists[STORES].count ? b->lists[STORES].items[i] : none, NULL);
    }
    if (l->failed)
        return kit_nomem(host, run);
    return l->count ? kit_translate(host, run, l->items, l->count) : CPUU_OK;
}

static cpuu_rc update_book(const cpuu_host *host, cpuu_run *run, book *b)
{
    kit_links l = {0};
    cpuu_rc rc = translate_book(host, run, b, &l);
    uint32_t n = b->lists[FOLDERS].count;
    for (uint32_t i = 0, element = 0; rc == CPUU_OK && element < n; element++) {
        if (settle(host, run, b, i, element, &l) == CPUU_DROPPED)
            drop_element(b, i);
        else
            i++;
    }
    if (rc == CPUU_OK && b->changed)
        rc = save_book(host, run, b);
    kit_links_free(&l);
    return rc;
}

static cpuu_rc empty_book(const cpuu_host *host, cpuu_run *run, book *b)
{
    while (b->lists[FOLDERS].count)
        drop_element(b, 0);
    return b->changed ? save_book(host, run, b) : CPUU_OK;
}

/* ---- the search path ------------------------------------------------------------------------- */

static bool is_contab(cpuu_blob b)
{
    cpuu_eid eid;
    return cpuu_eid_decode(b, &eid, NULL) && eid.kind == CPUU_EID_CONTAB;
}

static cpuu_rc save_path(const cpuu_host *host, cpuu_run *run, const cpuu_row *row,
                         const kit_list *path)
{
    cpuu_buf buf;
    cpuu_buf_init(&buf, 4u << 20);
    cpuu_value v = kit_list_join(path, path_tags[0], &buf);
    cpuu_change change = {.size = sizeof(change), .verb = CPUU_UPDATE, .what = CPUU_SECTIONS,
                          .id = row->id, .title = "address book search path"};
    if (path->count) {
        change.set = &v;
        change.n_set = 1;
    } else {
        change.unset = path_tags;
        change.n_unset = 1;
    }
    cpuu_rc rc = buf.failed ? kit_nomem(host, run) : kit_change(host, run, &change, 1, NULL);
    cpuu_buf_free(&buf);
    return rc;
}

/* The contact folders of the search path; its other elements are left to Services. */
static cpuu_rc update_path(const cpuu_host *host, cpuu_run *run, const cpuu_row *row, bool empty)
{
    kit_list path;
    kit_links l = {0};
    bool changed = false;
    cpuu_rc rc = kit_list_split(&row->values[0], &path);
    if (rc != CPUU_OK)
        return host->fail(run, rc, "understand the address book search path", "MAPI profile section");
    for (uint32_t i = 0; i < path.count; i++)
        kit_links_add(&l, CPUU_LINK_EID, is_contab(path.items[i]) ? path.items[i]
                                                                  : (cpuu_blob){NULL, 0}, NULL);
    if (l.failed)
        rc = kit_nomem(host, run);
    else if (l.count && !empty)
        rc = kit_translate(host, run, l.items, l.count);
    for (uint32_t i = 0, element = 0; rc == CPUU_OK && element < l.count; element++) {
        const cpuu_link *link = &l.items[element];
        bool drop = link->in.size && (empty || link->outcome == CPUU_DROPPED);
        if (drop) {
            kit_list_remove(&path, i);
        } else {
            if (link->in.size && link->outcome == CPUU_REWRITTEN)
                path.items[i] = link->out;
            i++;
        }
        changed |= drop || (link->in.size && !empty && link->outcome == CPUU_REWRITTEN);
    }
    if (rc == CPUU_OK && changed)
        rc = save_path(host, run, row, &path);
    kit_links_free(&l);
    kit_list_free(&path);
    return rc;
}

/* ---- the verbs ------------------------------------------------------------------------------- */

static cpuu_rc books(const cpuu_host *host, cpuu_run *run, cpuu_rows *rows, bool empty)
{
    for (uint32_t i = 0;; i++) {
        cpuu_row row = {.size = sizeof(row)};
        book b;
        cpuu_rc rc = host->rows(rows, i, &row);
        if (rc == CPUU_END)
            return CPUU_OK;
        if (rc == CPUU_OK)
            rc = row.rc != CPUU_OK ? row.rc : open_book(&row, &b);
        if (rc != CPUU_OK)
            return host->fail(run, rc, "understand the Outlook Address Book section",
                              "service CONTAB");
        rc = empty ? empty_book(host, run, &b) : update_book(host, run, &b);
        free_book(&b);
        if (rc != CPUU_OK)
            return rc;
    }
}

static cpuu_rc paths(const cpuu_host *host, cpuu_run *run, cpuu_rows *rows, bool empty)
{
    cpuu_row row = {.size = sizeof(row)};
    cpuu_rc rc = host->rows(rows, 0, &row);
    if (rc == CPUU_END || (rc == CPUU_OK && !CPUU_FOUND(&row.values[0])))
        return CPUU_OK;
    if (rc != CPUU_OK)
        return host->fail(run, rc, "read the MAPI profile section", "profile");
    return update_path(host, run, &row, empty);
}

static cpuu_rc both(const cpuu_host *host, cpuu_run *run, bool empty)
{
    cpuu_rows *rows[2] = {NULL, NULL};
    cpuu_rc rc = kit_read(host, run, reads, 2, rows);
    if (rc == CPUU_OK)
        rc = books(host, run, rows[0], empty);
    if (rc == CPUU_OK)
        rc = paths(host, run, rows[1], empty);
    host->rows_close(rows[0]);
    host->rows_close(rows[1]);
    return rc;
}

static cpuu_rc CPUU_CALL update(const cpuu_host *host, cpuu_run *run)
{
    return both(host, run, false);
}

/* Not selected: the Outlook Address Book becomes empty. */
static cpuu_rc CPUU_CALL skip(const cpuu_host *host, cpuu_run *run)
{
    return both(host, run, true);
}

static const cpuu_feature contab = {
    .size = sizeof(cpuu_feature),
    .needs = CPUU_NEED_SOURCE | CPUU_NEED_TARGET | CPUU_NEED_OTHERS | CPUU_NEED_PUBLIC |
             CPUU_NEED_PROFILE | CPUU_NEED_PROFILE_WRITE,
    .links = CPUU_LINK_EID,
    .n_reads = sizeof(reads) / sizeof(*reads),
    .name = "CONTAB",
    .title = "Outlook Address Book",
    .reads = reads,
    .update = update,
    .skip = skip,
};

static const cpuu_feature *const features[] = {&contab, NULL};
KIT_PLUGIN(features)
