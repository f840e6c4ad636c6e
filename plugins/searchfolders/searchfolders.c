/*
 * SearchFolders: the definitions of search folders, hidden messages of class
 * IPM.Microsoft.WunderBar.SFInfo in Common Views ([MS-OXOSRCH] 2.2.1). A definition alone is an
 * inactive search folder; its container is made by the client when the user first clicks it, so
 * containers are neither copied nor made.
 *
 * A definition is known by its GUID. One that the target does not have is created with all its
 * settings; one it has is corrected in place where it still names the source.
 */
#include "common/relink.h"

#include <cpuu/formats/searchfolder.h>

#include <stdio.h>
#include <string.h>

#define DEFINITION_CLASS "IPM.Microsoft.WunderBar.SFInfo"
#define MAX_DEFINITION   (4u << 20)

/* [MS-OXOSRCH] 2.2.1.2. The numbers are those of navigation shortcuts as well: class and type tell. */
enum column {
    CLASS, SUBJECT, TEMPLATE, ID, RECREATE, DEFINITION, STORAGE, TAG, EFP, LAST_USED, EXPIRATION,
    N_COLUMNS
};
static const uint32_t tags[N_COLUMNS] = {
    [CLASS] = 0x001A001F,      /* PidTagMessageClass */
    [SUBJECT] = 0x0037001F,    /* PidTagSubject */
    [TEMPLATE] = 0x68410003,   /* PidTagSearchFolderTemplateId */
    [ID] = 0x68420102,         /* PidTagSearchFolderId */
    [RECREATE] = 0x68440102,   /* PidTagSearchFolderRecreateInfo */
    [DEFINITION] = 0x68450102, /* PidTagSearchFolderDefinition */
    [STORAGE] = 0x68460003,    /* PidTagSearchFolderStorageType */
    [TAG] = 0x68470003,        /* PidTagSearchFolderTag */
    [EFP] = 0x68480003,        /* PidTagSearchFolderEfpFlags */
    [LAST_USED] = 0x68340003,  /* PidTagSearchFolderLastUsed */
    [EXPIRATION] = 0x683A0003, /* PidTagSearchFolderExpiration */
};

static const cpuu_query reads[] = {
    CPUU_QUERY(CPUU_SOURCE, CPUU_HIDDEN, CPUU_ROLE_COMMON_VIEWS, DEFINITION_CLASS, tags),
    CPUU_QUERY(CPUU_TARGET, CPUU_HIDDEN, CPUU_ROLE_COMMON_VIEWS, DEFINITION_CLASS, tags),
};

typedef struct searches {
    const cpuu_host *host;
    cpuu_run *run;
    cpuu_rows *rows[2];
    kit_relink links;
} searches;

/* The row, or false at the end or on failure (then *rc). */
static bool row_at(const searches *x, int side, uint32_t i, cpuu_row *row, cpuu_rc *rc)
{
    memset(row, 0, sizeof(*row));
    row->size = sizeof(*row);
    cpuu_rc got = x->host->rows(x->rows[side], i, row);
    if (got == CPUU_END)
        return false;
    if (got == CPUU_OK)
        got = row->rc;
    if (got != CPUU_OK) {
        *rc = x->host->fail(x->run, got, "read the search folders", "Common Views");
        return false;
    }
    return true;
}

/* ---- collecting ------------------------------------------------------------------------------ */

/* The SMTP address in a row of the address list, as UTF-8 in `out`. */
static void row_smtp(cpuu_reader r, uint32_t n, cpuu_buf *out)
{
    cpuu_rawprop p;
    for (uint32_t i = 0; i < n && cpuu_rawprop_read(&r, CPUU_FORM_SEARCH, &p); i++) {
        if (p.tag == 0x39FE001Fu && cpuu_buf_utf8_from_utf16(out, p.value.data, p.value.size))
            cpuu_buf_u8(out, 0); /* PidTagSmtpAddress */
    }
}

/* The people of the address list, each with the address stored beside. */
static void collect_addresses(searches *x, const cpuu_search_folder *sf)
{
    cpuu_reader r;
    cpuu_reader_init(&r, sf->addresses.data, sf->addresses.size);
    for (uint32_t i = 0; i < sf->n_addresses && !r.failed; i++) {
        cpuu_buf smtp, scratch;
        cpuu_rewriter w = {.cb = kit_relink_cb, .user = &x->links};
        uint32_t n = cpuu_read_u32(&r, "properties");
        cpuu_read_u32(&r, "pad");
        cpuu_buf_init(&smtp, MAX_DEFINITION);
        cpuu_buf_init(&scratch, MAX_DEFINITION);
        row_smtp(r, n, &smtp);
        x->links.smtp = smtp.size && !smtp.failed ? (const char *)smtp.data : NULL;
        cpuu_rawprop_rewrite_row(&r, CPUU_FORM_SEARCH, n, &w, &scratch);
        x->links.smtp = NULL;
        x->links.failed = x->links.failed || smtp.failed || scratch.failed;
        cpuu_buf_free(&smtp);
        cpuu_buf_free(&scratch);
    }
}

static void collect(searches *x, cpuu_blob definition, bool at_target)
{
    cpuu_search_folder sf;
    cpuu_buf scratch;
    kit_relink_begin(&x->links, at_target ? KIT_OWN_IDS : 0);
    if (!cpuu_search_folder_decode(definition, &sf, NULL))
        return;
    collect_addresses(x, &sf);
    cpuu_buf_init(&scratch, MAX_DEFINITION);
    cpuu_search_folder_rewrite(definition, kit_relink_cb, &x->links, &scratch, NULL, NULL);
    x->links.failed = x->links.failed || scratch.failed;
    cpuu_buf_free(&scratch);
}

static cpuu_rc translate(searches *x)
{
    cpuu_rc rc = CPUU_OK;
    cpuu_row row;
    for (int side = 0; side < 2; side++) {
        for (uint32_t i = 0; row_at(x, side, i, &row, &rc); i++)
            collect(x, kit_blob(&row.values[DEFINITION]), side == 1);
    }
    return rc == CPUU_OK ? kit_relink_translate(&x->links, x->host, x->run) : rc;
}

/* ---- rewriting ------------------------------------------------------------------------------- */

typedef enum fate {
    REWRITTEN,  /* `out` holds the definition for the target */
    NOWHERE,    /* none of its folders is at the target */
    UNRESOLVED, /* it looks for a property whose name the source does not know */
    UNREADABLE, /* carried through byte for byte */
    NO_MEMORY
} fate;

/* Copies the entry list without the folders that have no place at the target; each is reported. False:
 * out of memory. *left: how many remain of *had. */
static bool drop_folders(searches *x, cpuu_blob list, const char *title, cpuu_buf *out,
                         uint32_t *had, uint32_t *left)
{
    cpuu_entry_list l;
    cpuu_blob eid;
    uint32_t pad, n = 0, all = 0;
    if (!cpuu_entry_list_open(list, &l, NULL))
        return false;
    uint32_t list_pad = l.pad;
    cpuu_blob *eids = cpuu_fmt_realloc(NULL, (list.size / 8 + 1) * sizeof(*eids));
    uint32_t *pads = cpuu_fmt_realloc(NULL, (list.size / 8 + 1) * sizeof(*pads));
    while (eids && pads && cpuu_entry_list_next(&l, &eid, &pad)) {
        cpuu_buf scratch;
        cpuu_buf_init(&scratch, MAX_DEFINITION);
        kit_relink_begin(&x->links, 0);
        cpuu_eid_rewrite(eid, kit_relink_cb, &x->links, &scratch, NULL);
        x->links.failed = x->links.failed || scratch.failed;
        cpuu_buf_free(&scratch);
        const cpuu_link *verdict = kit_relink_verdict(&x->links);
        all++;
        if (verdict && verdict->outcome == CPUU_DROPPED) {
            kit_decide(x->host, x->run, verdict, title);
            continue;
        }
        eids[n] = eid;
        pads[n++] = pad;
    }
    bool ok = eids && pads && cpuu_entry_list_write(out, list_pad, eids, pads, n);
    cpuu_fmt_free(eids);
    cpuu_fmt_free(pads);
    *had = all;
    *left = n;
    return ok;
}

/* The definition with the folders that have a place at the target, in `out`. */
static fate trim(searches *x, cpuu_blob in, const char *title, cpuu_buf *out)
{
    cpuu_search_folder sf;
    cpuu_buf folders;
    uint32_t had = 0, left = 0;
    if (!cpuu_search_folder_decode(in, &sf, NULL))
        return UNREADABLE;
    cpuu_buf_init(&folders, MAX_DEFINITION);
    bool ok = sf.folders.size == 0 || drop_folders(x, sf.folders, title, &folders, &had, &left);
    if (ok && left != had) { /* else the list stays as it is, byte for byte */
        sf.folders.data = folders.data;
        sf.folders.size = (uint32_t)folders.size;
    }
    ok = ok && cpuu_search_folder_encode(out, &sf);
    cpuu_buf_free(&folders);
    return !ok ? NO_MEMORY : had && !left ? NOWHERE : REWRITTEN;
}

static fate rewrite(searches *x, cpuu_blob in, const char *title, cpuu_buf *out)
{
    cpuu_buf trimmed;
    cpuu_buf_init(&trimmed, MAX_DEFINITION);
    fate f = trim(x, in, title, &trimmed);
    kit_relink_begin(&x->links, 0);
    if (f == REWRITTEN &&
        !cpuu_search_folder_rewrite((cpuu_blob){trimmed.data, (uint32_t)trimmed.size},
                                    kit_relink_cb, &x->links, out, NULL, NULL))
        f = out->failed ? NO_MEMORY : UNREADABLE;
    if (f == REWRITTEN && x->links.dead)
        f = UNRESOLVED;
    cpuu_buf_free(&trimmed);
    return f;
}

/* What the target has of its own: its property numbers are right. False: it stays as it is. */
static bool rewrite_own(searches *x, cpuu_blob in, cpuu_buf *out)
{
    kit_relink_begin(&x->links, KIT_OWN_IDS);
    return cpuu_search_folder_rewrite(in, kit_relink_cb, &x->links, out, NULL, NULL);
}

/* ---- writing --------------------------------------------------------------------------------- */

static cpuu_rc queue(searches *x, uint32_t verb, cpuu_blob id, const cpuu_value *set, uint32_t n,
                     const char *title)
{
    cpuu_change change = {.size = sizeof(change), .verb = verb, .what = CPUU_HIDDEN,
                          .role = CPUU_ROLE_COMMON_VIEWS, .id = id, .set = set, .n_set = n,
                          .title = title};
    return kit_change(x->host, x->run, &change, 1, NULL);
}

static cpuu_rc create(searches *x, const cpuu_row *s, cpuu_blob definition, const char *title)
{
    cpuu_value set[N_COLUMNS];
    uint32_t n = 0;
    for (int k = 0; k < N_COLUMNS; k++) {
        if (k == DEFINITION && definition.size)
            set[n++] = kit_blob_value(tags[k], definition);
        else if (CPUU_FOUND(&s->values[k]))
            set[n++] = s->values[k];
    }
    return queue(x, CPUU_CREATE, (cpuu_blob){NULL, 0}, set, n, title);
}

static cpuu_rc correct(searches *x, const cpuu_row *s, const cpuu_row *t, cpuu_blob definition,
                       const char *title)
{
    cpuu_blob have = kit_blob(&t->values[DEFINITION]), want = definition;
    cpuu_buf own;
    cpuu_buf_init(&own, MAX_DEFINITION);
    if (!cpuu_blob_equal(have, kit_blob(&s->values[DEFINITION])))
        want = rewrite_own(x, have, &own) ? (cpuu_blob){own.data, (uint32_t)own.size} : have;
    cpuu_value set = kit_blob_value(tags[DEFINITION], want);
    cpuu_rc rc = own.failed                    ? kit_nomem(x->host, x->run)
                 : cpuu_blob_equal(want, have) ? CPUU_OK
                                               : queue(x, CPUU_UPDATE, t->id, &set, 1, title);
    cpuu_buf_free(&own);
    return rc;
}

static cpuu_rc find(const searches *x, const cpuu_row *s, cpuu_row *t, bool *found)
{
    cpuu_rc rc = CPUU_OK;
    cpuu_blob id = kit_blob(&s->values[ID]);
    *found = false;
    for (uint32_t i = 0; !*found && id.size && row_at(x, 1, i, t, &rc); i++)
        *found = cpuu_blob_equal(id, kit_blob(&t->values[ID]));
    return rc;
}

static cpuu_rc put(searches *x, const cpuu_row *s, fate f, const cpuu_buf *definition,
                   const char *title)
{
    cpuu_row t;
    bool found;
    cpuu_blob b = f == REWRITTEN ? (cpuu_blob){definition->data, (uint32_t)definition->size}
                                 : kit_blob(&s->values[DEFINITION]);
    cpuu_rc rc = find(x, s, &t, &found);
    if (rc != CPUU_OK)
        return rc;
    return found ? correct(x, s, &t, b, title) : create(x, s, b, title);
}

static cpuu_rc process(searches *x, const cpuu_row *s)
{
    char title[256];
    cpuu_buf out;
    cpuu_rc rc = CPUU_OK;
    kit_text(&s->values[SUBJECT], title, sizeof(title));
    cpuu_buf_init(&out, MAX_DEFINITION);
    fate f = rewrite(x, kit_blob(&s->values[DEFINITION]), title, &out);
    if (f == UNREADABLE)
        kit_decide_as(x->host, x->run, CPUU_KEPT, CPUU_WHY_UNREADABLE, title, NULL, NULL);
    else if (f != NO_MEMORY)
        kit_relink_report(&x->links, x->host, x->run, title);
    if (f == NO_MEMORY || x->links.failed)
        rc = kit_nomem(x->host, x->run);
    else if (f == REWRITTEN || f == UNREADABLE)
        rc = put(x, s, f, &out, title);
    cpuu_buf_free(&out);
    return rc;
}

/* ---- the verb -------------------------------------------------------------------------------- */

static cpuu_rc CPUU_CALL update(const cpuu_host *host, cpuu_run *run)
{
    searches x = {.host = host, .run = run};
    cpuu_row row;
    cpuu_rc rc = kit_read(host, run, reads, 2, x.rows);
    if (rc == CPUU_OK)
        rc = translate(&x);
    for (uint32_t i = 0; rc == CPUU_OK && row_at(&x, 0, i, &row, &rc); i++)
        rc = process(&x, &row);
    host->rows_close(x.rows[0]);
    host->rows_close(x.rows[1]);
    kit_relink_free(&x.links);
    return rc;
}

static const cpuu_feature feature = {
    .size = sizeof(cpuu_feature),
    .needs = CPUU_NEED_SOURCE | CPUU_NEED_TARGET | CPUU_NEED_TARGET_WRITE | CPUU_NEED_OTHERS |
             CPUU_NEED_PUBLIC,
    .links = CPUU_LINK_EID | CPUU_LINK_EX_DN | CPUU_LINK_SMTP | CPUU_LINK_SEARCH_KEY |
             CPUU_LINK_NAMED_TAG | CPUU_LINK_SOURCE_KEY | CPUU_LINK_RECORD_KEY,
    .n_reads = sizeof(reads) / sizeof(*reads),
    .name = "SearchFolders",
    .title = "Search folders",
    .reads = reads,
    .update = update,
};

static const cpuu_feature *const features[] = {&feature, NULL};
KIT_PLUGIN(features)
