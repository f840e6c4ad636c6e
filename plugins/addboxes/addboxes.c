/*
 * AddBoxes: additional mailboxes of the account. Each is a delegate store provider section of the
 * profile's Exchange service (PR_MDB_PROVIDER = pbExchangeProviderDelegateGuid). Where its owner has
 * moved, the identity inside is rewritten in place; where not, the section stays as it is.
 */
#include "common/kit.h"

#include <string.h>

enum column {
    MDB_PROVIDER, USER_SMTP, DISPLAY_NAME, MAILBOX_DN, SERVER, SERVER_DN, SERVER_FQDN, ENTRY_ID,
    RECORD_KEY, NAME_SET, N_COLUMNS
};
static const uint32_t tags[N_COLUMNS] = {
    [MDB_PROVIDER] = 0x34140102, /* PR_MDB_PROVIDER */
    [USER_SMTP] = 0x6641001F,    /* PR_PROFILE_USER_SMTP_EMAIL_ADDRESS: "SMTP:user@domain" */
    [DISPLAY_NAME] = 0x3001001F, /* PidTagDisplayName */
    [MAILBOX_DN] = 0x660B001E,   /* PR_PROFILE_MAILBOX */
    [SERVER] = 0x660C001E,       /* PR_PROFILE_SERVER */
    [SERVER_DN] = 0x6614001E,    /* PR_PROFILE_SERVER_DN */
    [SERVER_FQDN] = 0x662B001F,  /* PR_PROFILE_SERVER_FQDN_W */
    [ENTRY_ID] = 0x0FFF0102,     /* PidTagEntryId of the store */
    [RECORD_KEY] = 0x0FF90102,   /* PidTagRecordKey: the mailbox GUID */
    [NAME_SET] = 0x66880003,     /* 1 = the user chose the display name */
};

/* pbExchangeProviderDelegateGuid, in storage order. */
static const uint8_t delegate_uid[16] = {0x9E, 0xB4, 0x77, 0x00, 0x74, 0xE4, 0x11, 0xCE,
                                         0x8C, 0x5E, 0x00, 0xAA, 0x00, 0x42, 0x54, 0xE2};

static const cpuu_query reads[] = {
    CPUU_QUERY(CPUU_PROFILE, CPUU_SECTIONS, CPUU_ROLE_PROVIDERS, "MSEMS", tags),
};

#define MAX_TEXT 1024

typedef struct box {
    cpuu_row row;
    char smtp[MAX_TEXT]; /* without "SMTP:" */
    char dn[MAX_TEXT];
    char name[MAX_TEXT];
    cpuu_buf built; /* store EntryID, when the section has none that can be used */
} box;

typedef struct boxes {
    box *items;
    uint32_t count, cap;
} boxes;

static bool is_delegate(const cpuu_row *row)
{
    cpuu_blob b = kit_blob(&row->values[MDB_PROVIDER]);
    return b.size == sizeof(delegate_uid) && memcmp(b.data, delegate_uid, b.size) == 0;
}

static void read_box(const cpuu_row *row, box *b)
{
    b->row = *row;
    kit_address(&row->values[USER_SMTP], b->smtp, sizeof(b->smtp));
    kit_text(&row->values[MAILBOX_DN], b->dn, sizeof(b->dn));
    kit_text(&row->values[DISPLAY_NAME], b->name, sizeof(b->name));
    cpuu_buf_init(&b->built, 8192);
}

static const char *title_of(const box *b)
{
    return *b->name ? b->name : b->smtp;
}

static void boxes_free(boxes *all)
{
    for (uint32_t i = 0; i < all->count; i++)
        cpuu_buf_free(&all->items[i].built);
    cpuu_fmt_free(all->items);
}

static cpuu_rc boxes_read(const cpuu_host *host, cpuu_run *run, cpuu_rows *rows, boxes *all)
{
    for (uint32_t i = 0;; i++) {
        cpuu_row row = {.size = sizeof(row)};
        cpuu_rc rc = host->rows(rows, i, &row);
        if (rc == CPUU_END)
            return CPUU_OK;
        if (rc != CPUU_OK)
            return host->fail(run, rc, "read the store providers", "profile");
        if (row.rc != CPUU_OK || !is_delegate(&row))
            continue;
        if (!kit_grow(&all->items, &all->cap, all->count, sizeof(*all->items)))
            return kit_nomem(host, run);
        read_box(&row, &all->items[all->count++]);
    }
}

/* The owner as a store EntryID: the stored one, or one built from address and DN, which ask the same
 * question; empty when neither can be had. */
static cpuu_blob store_link(box *b)
{
    cpuu_eid eid;
    cpuu_blob stored = kit_blob(&b->row.values[ENTRY_ID]);
    if (stored.size && cpuu_eid_decode(stored, &eid, NULL) && cpuu_eid_is_mailbox(&eid))
        return stored;
    if ((!*b->smtp && !*b->dn) ||
        !cpuu_eid_build_store(&b->built, b->smtp, b->dn, *b->smtp ? b->smtp : NULL,
                              CPUU_STORE_TAKE_OWNERSHIP))
        return (cpuu_blob){NULL, 0};
    return (cpuu_blob){b->built.data, (uint32_t)b->built.size};
}

typedef struct identity { /* of the mailbox at the target */
    char smtp[MAX_TEXT], dn[MAX_TEXT];
    cpuu_blob entry_id, record_key; /* record_key empty = unknown */
} identity;

/* CPUU_E_NOTFOUND when the EntryID does not name both. */
static cpuu_rc read_identity(const cpuu_link *store, const cpuu_link *record, identity *out)
{
    cpuu_eid eid;
    cpuu_blob dn;
    cpuu_buf smtp;
    memset(out, 0, sizeof(*out));
    out->entry_id = store->out;
    if (record->outcome == CPUU_REWRITTEN)
        out->record_key = record->out;
    if (!cpuu_eid_decode(store->out, &eid, NULL) || !cpuu_eid_store_dn(&eid, &dn) ||
        dn.size >= sizeof(out->dn))
        return CPUU_E_NOTFOUND;
    memcpy(out->dn, dn.data, dn.size);
    cpuu_buf_init(&smtp, 1u << 18);
    bool ok = cpuu_eid_store_smtp(&eid, &smtp) && smtp.size < sizeof(out->smtp);
    if (ok)
        memcpy(out->smtp, smtp.data, smtp.size);
    cpuu_rc rc = smtp.failed ? CPUU_E_NOMEM : ok ? CPUU_OK : CPUU_E_NOTFOUND;
    cpuu_buf_free(&smtp);
    return rc;
}

/* Rewrites the identity; what described the old server goes, Outlook asks Autodiscover for it. */
static cpuu_rc rewrite(const cpuu_host *host, cpuu_run *run, const box *b, const identity *id)
{
    cpuu_value set[5];
    uint32_t unset[4], n_set = 0, n_unset = 0;
    char smtp[MAX_TEXT + 5];
    const cpuu_value *v = b->row.values;
    memcpy(smtp, "SMTP:", 5);
    memcpy(smtp + 5, id->smtp, strlen(id->smtp) + 1);
    set[n_set++] = kit_text_value(tags[USER_SMTP], smtp);
    /* A name that only repeats the address follows it; any other is the person's or the user's. */
    if (*b->name && strcmp(b->name, b->smtp) == 0 && kit_u32(&v[NAME_SET], 0) != 1)
        set[n_set++] = kit_text_value(tags[DISPLAY_NAME], id->smtp);
    if (CPUU_FOUND(&v[MAILBOX_DN]))
        set[n_set++] = kit_text_value(tags[MAILBOX_DN], id->dn);
    if (CPUU_FOUND(&v[ENTRY_ID]))
        set[n_set++] = kit_blob_value(tags[ENTRY_ID], id->entry_id);
    if (CPUU_FOUND(&v[RECORD_KEY]) && id->record_key.size)
        set[n_set++] = kit_blob_value(tags[RECORD_KEY], id->record_key);
    else if (CPUU_FOUND(&v[RECORD_KEY]))
        unset[n_unset++] = tags[RECORD_KEY];
    for (int c = SERVER; c <= SERVER_FQDN; c++) {
        if (CPUU_FOUND(&v[c]))
            unset[n_unset++] = tags[c];
    }
    cpuu_change change = {.size = sizeof(change), .verb = CPUU_UPDATE, .what = CPUU_SECTIONS,
                          .id = b->row.id, .set = set, .n_set = n_set, .unset = unset,
                          .n_unset = n_unset, .title = title_of(b)};
    return kit_change(host, run, &change, 1, NULL);
}

/* store: the link of its owner; the one behind it is that of its record key. */
static cpuu_rc process(const cpuu_host *host, cpuu_run *run, const box *b, const cpuu_link *store)
{
    identity id;
    if (b->built.failed)
        return kit_nomem(host, run);
    if (!store->in.size) {
        kit_decide_as(host, run, CPUU_KEPT, CPUU_WHY_UNREADABLE, title_of(b), NULL, NULL);
        return CPUU_OK;
    }
    cpuu_rc rc = CPUU_OK;
    if (store->outcome == CPUU_REWRITTEN)
        rc = read_identity(store, store + 1, &id);
    if (rc == CPUU_E_NOMEM)
        return kit_nomem(host, run);
    if (rc != CPUU_OK) {
        kit_decide_as(host, run, CPUU_KEPT, CPUU_WHY_UNKNOWN, title_of(b), store->in_text, NULL);
        return CPUU_OK;
    }
    kit_decide(host, run, store, title_of(b));
    return store->outcome == CPUU_REWRITTEN ? rewrite(host, run, b, &id) : CPUU_OK;
}

/* All owners are asked about in one set. */
static cpuu_rc update_boxes(const cpuu_host *host, cpuu_run *run, boxes *all)
{
    kit_links l = {0};
    for (uint32_t i = 0; i < all->count; i++) {
        box *b = &all->items[i];
        kit_links_add(&l, CPUU_LINK_EID, store_link(b), *b->smtp ? b->smtp : NULL);
        kit_links_add(&l, CPUU_LINK_RECORD_KEY, kit_blob(&b->row.values[RECORD_KEY]), NULL);
    }
    cpuu_rc rc = l.failed ? kit_nomem(host, run) : CPUU_OK;
    if (rc == CPUU_OK && l.count)
        rc = kit_translate(host, run, l.items, l.count);
    for (uint32_t i = 0; rc == CPUU_OK && i < all->count; i++)
        rc = process(host, run, &all->items[i], &l.items[2 * i]);
    kit_links_free(&l);
    return rc;
}

/* Not selected: the list of additional mailboxes becomes empty. */
static cpuu_rc remove_boxes(const cpuu_host *host, cpuu_run *run, boxes *all)
{
    cpuu_rc rc = CPUU_OK;
    for (uint32_t i = 0; rc == CPUU_OK && i < all->count; i++) {
        const box *b = &all->items[i];
        cpuu_change change = {.size = sizeof(change), .verb = CPUU_DELETE, .what = CPUU_SECTIONS,
                              .id = b->row.id, .title = title_of(b)};
        rc = kit_change(host, run, &change, 1, NULL);
    }
    return rc;
}

static cpuu_rc with_boxes(const cpuu_host *host, cpuu_run *run,
                          cpuu_rc (*act)(const cpuu_host *, cpuu_run *, boxes *))
{
    cpuu_rows *rows = NULL;
    boxes all = {NULL, 0, 0};
    cpuu_rc rc = kit_read(host, run, reads, 1, &rows);
    if (rc == CPUU_OK)
        rc = boxes_read(host, run, rows, &all);
    if (rc == CPUU_OK)
        rc = act(host, run, &all);
    boxes_free(&all);
    host->rows_close(rows);
    return rc;
}

static cpuu_rc CPUU_CALL update(const cpuu_host *host, cpuu_run *run)
{
    return with_boxes(host, run, update_boxes);
}

static cpuu_rc CPUU_CALL skip(const cpuu_host *host, cpuu_run *run)
{
    return with_boxes(host, run, remove_boxes);
}

static const cpuu_feature addboxes = {
    .size = sizeof(cpuu_feature),
    .needs = CPUU_NEED_SOURCE | CPUU_NEED_TARGET | CPUU_NEED_OTHERS | CPUU_NEED_PROFILE |
             CPUU_NEED_PROFILE_WRITE,
    .links = CPUU_LINK_EID | CPUU_LINK_RECORD_KEY,
    .n_reads = sizeof(reads) / sizeof(*reads),
    .name = "AddBoxes",
    .title = "Additional mailboxes",
    .reads = reads,
    .update = update,
    .skip = skip,
};

static const cpuu_feature *const features[] = {&addboxes, NULL};
KIT_PLUGIN(features)
