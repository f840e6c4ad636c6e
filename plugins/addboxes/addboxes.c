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
} box;

static bool is_delegate(const cpuu_row *row)
{
    cpuu_blob b = kit_blob(&row->values[MDB_PROVIDER]);
    return b.size == sizeof(delegate_uid) && memcmp(b.data, delegate_uid, b.size) == 0;
}

static void read_box(const cpuu_row *row, box *b)
{
    b->row = *row;
    kit_text(&row->values[USER_SMTP], b->smtp, sizeof(b->smtp));
    kit_text(&row->values[MAILBOX_DN], b->dn, sizeof(b->dn));
    kit_text(&row->values[DISPLAY_NAME], b->name, sizeof(b->name));
    static const char prefix[] = {'S', 'M', 'T', 'P', ':'};
    if (memcmp(b->smtp, prefix, sizeof(prefix)) == 0 || memcmp(b->smtp, "smtp:", 5) == 0)
        memmove(b->smtp, b->smtp + 5, strlen(b->smtp + 5) + 1);
}

/* The owner as a store EntryID: the stored one, or one built from address and DN, which ask the same
 * question. */
static bool store_link(const box *b, cpuu_buf *built, cpuu_blob *out)
{
    cpuu_eid eid;
    *out = kit_blob(&b->row.values[ENTRY_ID]);
    if (out->size && cpuu_eid_decode(*out, &eid, NULL) && cpuu_eid_is_mailbox(&eid))
        return true;
    if (!*b->smtp && !*b->dn)
        return false;
    cpuu_eid_build_store(built, b->smtp, b->dn, *b->smtp ? b->smtp : NULL, CPUU_STORE_TAKE_OWNERSHIP);
    *out = (cpuu_blob){built->data, (uint32_t)built->size};
    return !built->failed;
}

typedef struct identity { /* of the mailbox at the target */
    char smtp[MAX_TEXT], dn[MAX_TEXT];
    cpuu_blob entry_id, record_key; /* record_key empty = unknown */
} identity;

static bool read_identity(const cpuu_link *store, const cpuu_link *record, identity *out)
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
        return false;
    memcpy(out->dn, dn.data, dn.size);
    cpuu_buf_init(&smtp, sizeof(out->smtp) - 1);
    bool ok = cpuu_eid_store_smtp(&eid, &smtp);
    if (ok)
        memcpy(out->smtp, smtp.data, smtp.size);
    cpuu_buf_free(&smtp);
    return ok;
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
                          .n_unset = n_unset, .title = *b->name ? b->name : b->smtp};
    return host->change(run, &change, 1, NULL);
}

static cpuu_rc process(const cpuu_host *host, cpuu_run *run, const box *b)
{
    cpuu_buf built;
    cpuu_blob store;
    identity id;
    kit_links l = {0};
    const char *title = *b->name ? b->name : b->smtp;
    cpuu_buf_init(&built, 8192);
    cpuu_rc rc = CPUU_OK;
    if (!store_link(b, &built, &store)) {
        kit_decide_as(host, run, CPUU_KEPT, CPUU_WHY_UNREADABLE, title, NULL, NULL);
    } else {
        kit_links_add(&l, CPUU_LINK_EID, store, *b->smtp ? b->smtp : NULL);
        kit_links_add(&l, CPUU_LINK_RECORD_KEY, kit_blob(&b->row.values[RECORD_KEY]), NULL);
        rc = l.failed ? kit_nomem(host, run) : host->translate(run, l.items, l.count);
    }
    if (rc == CPUU_OK && l.count) {
        if (l.items[0].outcome == CPUU_REWRITTEN && !read_identity(&l.items[0], &l.items[1], &id)) {
            kit_decide_as(host, run, CPUU_KEPT, CPUU_WHY_UNKNOWN, title, l.items[0].in_text, NULL);
        } else {
            kit_decide(host, run, &l.items[0], title);
            if (l.items[0].outcome == CPUU_REWRITTEN)
                rc = rewrite(host, run, b, &id);
        }
    }
    kit_links_free(&l);
    cpuu_buf_free(&built);
    return rc;
}

/* All delegate stores in one set first, so that their owners are asked about together. */
static cpuu_rc ask_together(const cpuu_host *host, cpuu_run *run, cpuu_rows *rows)
{
    kit_links l = {0};
    cpuu_rc rc = CPUU_OK;
    cpuu_buf built[64];
    uint32_t n = 0;
    for (uint32_t i = 0; n < 64; i++) {
        cpuu_row row = {.size = sizeof(row)};
        box b;
        cpuu_blob store;
        if (host->rows(rows, i, &row) != CPUU_OK)
            break;
        if (row.rc != CPUU_OK || !is_delegate(&row))
            continue;
        read_box(&row, &b);
        cpuu_buf_init(&built[n], 8192);
        if (store_link(&b, &built[n], &store))
            kit_links_add(&l, CPUU_LINK_EID, store, NULL);
        n++;
    }
    if (l.failed)
        rc = kit_nomem(host, run);
    else if (l.count)
        rc = host->translate(run, l.items, l.count);
    while (n > 0)
        cpuu_buf_free(&built[--n]);
    kit_links_free(&l);
    return rc;
}

typedef cpuu_rc (*each_box)(const cpuu_host *host, cpuu_run *run, const box *b);

static cpuu_rc for_each(const cpuu_host *host, cpuu_run *run, cpuu_rows *rows, each_box each)
{
    for (uint32_t i = 0;; i++) {
        cpuu_row row = {.size = sizeof(row)};
        box b;
        cpuu_rc rc = host->rows(rows, i, &row);
        if (rc == CPUU_END)
            return CPUU_OK;
        if (rc != CPUU_OK)
            return host->fail(run, rc, "read the store providers", "profile");
        if (row.rc != CPUU_OK || !is_delegate(&row))
            continue;
        read_box(&row, &b);
        rc = each(host, run, &b);
        if (rc != CPUU_OK)
            return rc;
    }
}

static cpuu_rc CPUU_CALL update(const cpuu_host *host, cpuu_run *run)
{
    cpuu_rows *rows = NULL;
    cpuu_rc rc = host->read(run, reads, 1, &rows);
    if (rc == CPUU_OK)
        rc = ask_together(host, run, rows);
    if (rc == CPUU_OK)
        rc = for_each(host, run, rows, process);
    host->rows_close(rows);
    return rc;
}

static cpuu_rc remove_box(const cpuu_host *host, cpuu_run *run, const box *b)
{
    cpuu_change change = {.size = sizeof(change), .verb = CPUU_DELETE, .what = CPUU_SECTIONS,
                          .id = b->row.id, .title = *b->name ? b->name : b->smtp};
    return host->change(run, &change, 1, NULL);
}

/* Not selected: the list of additional mailboxes becomes empty. */
static cpuu_rc CPUU_CALL skip(const cpuu_host *host, cpuu_run *run)
{
    cpuu_rows *rows = NULL;
    cpuu_rc rc = host->read(run, reads, 1, &rows);
    if (rc == CPUU_OK)
        rc = for_each(host, run, rows, remove_box);
    host->rows_close(rows);
    return rc;
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
static const cpuu_plugin plugin = {sizeof(plugin), CPUU_ABI_VERSION, "0.1.0", "cpuu", "MIT",
                                   features};

const cpuu_plugin *CPUU_CALL cpuu_plugin_query(uint32_t host_abi)
{
    return CPUU_ABI_MAJOR(host_abi) == CPUU_ABI_MAJOR(CPUU_ABI_VERSION) ? &plugin : NULL;
}
