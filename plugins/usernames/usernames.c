/*
 * UserNames: names the user has given to stores. They live in the profile, which is edited in
 * place, so carrying them over means not to touch them: AddBoxes and the switch leave a name alone
 * whose section says that the user has chosen it (PR_PROFILE_DISPLAYNAME_SET, EdkMdb.h). What this
 * feature adds is the report, and the way back to default names when it is not selected.
 *
 *   mailbox     name and PR_PROFILE_DISPLAYNAME_SET of its store provider
 *   public      names of "Favorites" and "All Public Folders" (660F, 6616); absent = the default
 *   PST         name of provider and service; the default is the name of the file (observed)
 */
#include "common/kit.h"

#include <string.h>

enum column {
    MDB_PROVIDER,
    NAME,
    NAME_SET,
    SMTP,
    PATH,
    FAVORITES,
    FAVORITES_A,
    ALL_PUBLIC,
    ALL_PUBLIC_A,
    N_COLUMNS
};
static const uint32_t tags[N_COLUMNS] = {
    [MDB_PROVIDER] = 0x34140102, /* PR_MDB_PROVIDER */
    [NAME] = 0x3001001F,         /* PidTagDisplayName */
    [NAME_SET] = 0x66880003,     /* PR_PROFILE_DISPLAYNAME_SET: 1 = chosen by the user */
    [SMTP] = 0x6641001F,         /* PR_PROFILE_USER_SMTP_EMAIL_ADDRESS: "SMTP:user@domain" */
    [PATH] = 0x6700001F,         /* PR_PST_PATH */
    [FAVORITES] = 0x660F001F,    /* PR_PROFILE_FAVFLD_DISPLAY_NAME */
    [FAVORITES_A] = 0x660F001E,  [ALL_PUBLIC] = 0x6616001F, /* PR_PROFILE_ALLPUB_DISPLAY_NAME */
    [ALL_PUBLIC_A] = 0x6616001E,
};

enum service_column { SERVICE_NAME, STORES, N_SERVICE_COLUMNS };
static const uint32_t service_tags[N_SERVICE_COLUMNS] = {
    [SERVICE_NAME] = 0x3001001F, [STORES] = 0x3D000102, /* PR_STORE_PROVIDERS: section UIDs */
};

static const uint32_t account_tags[] = {
    0x66880003}; /* documented without its section: both count */

/* NULL as filter: services of all kinds, but for Exchange accounts that are not being switched. */
static const cpuu_query reads[] = {
    CPUU_QUERY(CPUU_PROFILE, CPUU_SECTIONS, CPUU_ROLE_PROVIDERS, NULL, tags),
    CPUU_QUERY(CPUU_PROFILE, CPUU_SECTIONS, CPUU_ROLE_SERVICES, NULL, service_tags),
    CPUU_QUERY(CPUU_PROFILE, CPUU_SECTIONS, CPUU_ROLE_ACCOUNT, NULL, account_tags),
};
/* Names of additional mailboxes follow their addresses, so that these must be the new ones. */
static const char *const after[] = {"AddBoxes", NULL};

#define MAX_TEXT 1024

/* PR_MDB_PROVIDER, in storage order (EdkMdb.h; the PST's as observed). */
static const uint8_t uid_primary[16] = {0x54, 0x94, 0xA1, 0xC0, 0x29, 0x7F, 0x10, 0x1B,
                                        0xA5, 0x87, 0x08, 0x00, 0x2B, 0x2A, 0x25, 0x17};
static const uint8_t uid_delegate[16] = {0x9E, 0xB4, 0x77, 0x00, 0x74, 0xE4, 0x11, 0xCE,
                                         0x8C, 0x5E, 0x00, 0xAA, 0x00, 0x42, 0x54, 0xE2};
static const uint8_t uid_public[16] = {0x78, 0xB2, 0xFA, 0x70, 0xAF, 0xF7, 0x11, 0xCD,
                                       0x9B, 0xC8, 0x00, 0xAA, 0x00, 0x2F, 0xC4, 0x5A};
static const uint8_t uid_pst[16] = {0x4E, 0x49, 0x54, 0x41, 0xF9, 0xBF, 0xB8, 0x01,
                                    0x00, 0xAA, 0x00, 0x37, 0xD9, 0x6E, 0x00, 0x00};

static bool is_kind(const cpuu_row *row, const uint8_t uid[16])
{
    cpuu_blob b = kit_blob(&row->values[MDB_PROVIDER]);
    return b.size == 16 && memcmp(b.data, uid, 16) == 0;
}

typedef struct names {
    cpuu_rows *rows[3]; /* in the order of `reads` */
    cpuu_row account;
    bool account_chosen; /* by the account's section the user has named the primary mailbox */
} names;

static cpuu_rc open_names(const cpuu_host *host, cpuu_run *run, names *n)
{
    memset(n, 0, sizeof(*n));
    n->account.size = sizeof(n->account);
    cpuu_rc rc = kit_read(host, run, reads, 3, n->rows);
    if (rc != CPUU_OK)
        return rc;
    rc = host->rows(n->rows[2], 0, &n->account);
    if (rc != CPUU_OK && rc != CPUU_END)
        return host->fail(run, rc, "read the section of the account", "profile");
    n->account_chosen =
        rc == CPUU_OK && n->account.rc == CPUU_OK && kit_u32(&n->account.values[0], 0) == 1;
    return CPUU_OK;
}

static void close_names(const cpuu_host *host, names *n)
{
    for (int i = 0; i < 3; i++)
        host->rows_close(n->rows[i]);
}

typedef cpuu_rc (*each_store)(const cpuu_host *host, cpuu_run *run, names *n, const cpuu_row *row);

static cpuu_rc with_stores(const cpuu_host *host, cpuu_run *run, names *n, each_store act)
{
    for (uint32_t i = 0;; i++) {
        cpuu_row row = {.size = sizeof(row)};
        cpuu_rc rc = host->rows(n->rows[0], i, &row);
        if (rc == CPUU_END)
            return CPUU_OK;
        if (rc != CPUU_OK)
            return host->fail(run, rc, "read the stores", "profile");
        if (row.rc == CPUU_OK && (rc = act(host, run, n, &row)) != CPUU_OK)
            return rc;
    }
}

/* The user has chosen the name of this mailbox. */
static bool is_named(const names *n, const cpuu_row *row)
{
    bool primary = is_kind(row, uid_primary);
    return (primary && n->account_chosen) ||
           ((primary || is_kind(row, uid_delegate)) && kit_u32(&row->values[NAME_SET], 0) == 1);
}

/* What Outlook calls a PST of that path: the file's name without ".pst". "" when there is no path.
 */
static void pst_default(const cpuu_row *row, char *out, size_t size)
{
    char path[MAX_TEXT];
    kit_text(&row->values[PATH], path, sizeof(path));
    const char *base = path;
    for (const char *p = path; *p; p++)
        base = *p == '\\' || *p == '/' ? p + 1 : base;
    size_t n = strlen(base);
    if (n > 4 && base[n - 4] == '.')
        n -= 4;
    n = n < size - 1 ? n : size - 1;
    memcpy(out, base, n);
    out[n] = 0;
}

/* ---- selected: names stay, and that is said ----------------------------------------------------
 */

static void report(const cpuu_host *host, cpuu_run *run, const cpuu_row *row, enum column c,
                   const char *what)
{
    char name[MAX_TEXT];
    if (*kit_text(&row->values[c], name, sizeof(name)))
        kit_decide_as(host, run, CPUU_ALREADY, CPUU_WHY_LOCAL, what, name, name);
}

static cpuu_rc keep_name(const cpuu_host *host, cpuu_run *run, names *n, const cpuu_row *row)
{
    char name[MAX_TEXT], usual[MAX_TEXT];
    if (is_named(n, row))
        report(host, run, row, NAME, "name of a mailbox");
    if (is_kind(row, uid_public)) {
        for (int c = FAVORITES; c <= ALL_PUBLIC_A; c++)
            report(host, run, row, (enum column)c, "name of a public folder");
    }
    if (is_kind(row, uid_pst)) {
        pst_default(row, usual, sizeof(usual));
        if (strcmp(kit_text(&row->values[NAME], name, sizeof(name)), usual) != 0)
            report(host, run, row, NAME, "name of a PST");
    }
    return CPUU_OK;
}

static cpuu_rc CPUU_CALL update(const cpuu_host *host, cpuu_run *run)
{
    names n;
    cpuu_rc rc = open_names(host, run, &n);
    if (rc == CPUU_OK)
        rc = with_stores(host, run, &n, keep_name);
    close_names(host, &n);
    return rc;
}

/* ---- not selected: back to the default ---------------------------------------------------------
 */

static cpuu_rc edit(const cpuu_host *host, cpuu_run *run, const cpuu_row *row,
                    const cpuu_value *set, const uint32_t *unset, uint32_t n_unset)
{
    cpuu_change change = {.size = sizeof(change),
                          .verb = CPUU_UPDATE,
                          .what = CPUU_SECTIONS,
                          .id = row->id,
                          .set = set,
                          .n_set = set ? 1 : 0,
                          .unset = unset,
                          .n_unset = n_unset,
                          .title = "name of a store"};
    return set || n_unset ? kit_change(host, run, &change, 1, NULL) : CPUU_OK;
}

/* The default name of a mailbox is its address (Outlook 2010 and later). Where the address is not
 * known the name stays; without the mark Outlook is free to change it. */
static cpuu_rc reset_mailbox(const cpuu_host *host, cpuu_run *run, const cpuu_row *row)
{
    char smtp[MAX_TEXT];
    const char *address = kit_address(&row->values[SMTP], smtp, sizeof(smtp));
    cpuu_value name = kit_text_value(tags[NAME], address);
    return edit(host, run, row, *address ? &name : NULL, &tags[NAME_SET],
                CPUU_FOUND(&row->values[NAME_SET]) ? 1 : 0);
}

static cpuu_rc reset_public(const cpuu_host *host, cpuu_run *run, const cpuu_row *row)
{
    uint32_t unset[N_COLUMNS], n = 0;
    for (int c = FAVORITES; c <= ALL_PUBLIC_A; c++) {
        if (CPUU_FOUND(&row->values[c]))
            unset[n++] = tags[c];
    }
    return edit(host, run, row, NULL, unset, n);
}

/* The service of a PST carries the same name as its provider. */
static cpuu_rc rename_service(const cpuu_host *host, cpuu_run *run, cpuu_rows *services,
                              const cpuu_row *store, const cpuu_value *name)
{
    for (uint32_t i = 0;; i++) {
        cpuu_row row = {.size = sizeof(row)};
        cpuu_rc rc = host->rows(services, i, &row);
        if (rc != CPUU_OK)
            return rc == CPUU_END ? CPUU_OK : host->fail(run, rc, "read the services", "profile");
        if (row.rc != CPUU_OK)
            continue;
        cpuu_blob stores = kit_blob(&row.values[STORES]);
        if (stores.size == 16 && store->id.size == 16 &&
            memcmp(stores.data, store->id.data, 16) == 0)
            return edit(host, run, &row, name, NULL, 0);
    }
}

static cpuu_rc reset_pst(const cpuu_host *host, cpuu_run *run, const cpuu_row *row,
                         cpuu_rows *services)
{
    char old[MAX_TEXT], usual[MAX_TEXT];
    pst_default(row, usual, sizeof(usual));
    if (!*usual || strcmp(kit_text(&row->values[NAME], old, sizeof(old)), usual) == 0)
        return CPUU_OK;
    cpuu_value name = kit_text_value(tags[NAME], usual);
    cpuu_rc rc = edit(host, run, row, &name, NULL, 0);
    return rc == CPUU_OK ? rename_service(host, run, services, row, &name) : rc;
}

static cpuu_rc reset(const cpuu_host *host, cpuu_run *run, names *n, const cpuu_row *row)
{
    if (is_named(n, row))
        return reset_mailbox(host, run, row);
    if (is_kind(row, uid_public))
        return reset_public(host, run, row);
    return is_kind(row, uid_pst) ? reset_pst(host, run, row, n->rows[1]) : CPUU_OK;
}

static cpuu_rc CPUU_CALL skip(const cpuu_host *host, cpuu_run *run)
{
    names n;
    cpuu_rc rc = open_names(host, run, &n);
    if (rc == CPUU_OK)
        rc = with_stores(host, run, &n, reset);
    if (rc == CPUU_OK && n.account_chosen)
        rc = edit(host, run, &n.account, NULL, account_tags, 1);
    close_names(host, &n);
    return rc;
}

static const cpuu_feature usernames = {
    .size = sizeof(cpuu_feature),
    .needs = CPUU_NEED_PROFILE | CPUU_NEED_PROFILE_WRITE,
    .n_reads = sizeof(reads) / sizeof(*reads),
    .name = "UserNames",
    .title = "User names",
    .after = after,
    .reads = reads,
    .update = update,
    .skip = skip,
};

static const cpuu_feature *const features[] = {&usernames, NULL};
KIT_PLUGIN(features)
