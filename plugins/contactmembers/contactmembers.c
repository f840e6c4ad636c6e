/*
 * ContactMembers: addresses of contacts, members of personal distribution lists, and contacts linked with
 * others, in all contact folders of the target mailbox. The mailbox move has copied them with what the
 * source knew people by; they are corrected in place.
 *
 * Two passes, in portions, so that any number of contacts needs little memory and few round trips:
 * first every contact; then the lists, and those contacts that link to other contacts, because these
 * need to know which message of the target each message of the source became.
 */
#include "contactmembers/contactmembers.h"

#include <cpuu/formats/lists.h>

#include <stdio.h>
#include <string.h>

#define PORTION       2048u        /* contacts looked at in one set */
#define FOLDER_SET    16u          /* folders opened in one set */
#define LIST_PORTION  64u          /* lists in one set, ... */
#define LIST_BYTES    (2u << 20)   /* ... or so many bytes of them */
#define VALUE_MAX     (16u << 20)  /* bytes of one list */
#define CONTACT_CLASS "IPF.Contact"
#define LIST_CLASS    "IPM.DistList"

/* PSETID_Address and PSETID_Common, [MS-OXPROPS] 1.3.2 */
#define ADDRESS(id)                                                                                \
    {{0x04, 0x20, 0x06, 0, 0, 0, 0, 0, 0xC0, 0, 0, 0, 0, 0, 0, 0x46}, id, NULL}
#define COMMON(id)                                                                                 \
    {{0x08, 0x20, 0x06, 0, 0, 0, 0, 0, 0xC0, 0, 0, 0, 0, 0, 0, 0x46}, id, NULL}
/* [MS-OXOCNTC] 2.2.1.2: type, address, original display name, original EntryID; fax at the same
 * distances. */
#define SLOT(base) ADDRESS(base + 2), ADDRESS(base + 3), ADDRESS(base + 4), ADDRESS(base + 5)

static const cpuu_name names[CM_NAMES] = {
    SLOT(0x8080), SLOT(0x8090), SLOT(0x80A0), SLOT(0x80B0), SLOT(0x80C0), SLOT(0x80D0),
    [CM_GAL] = ADDRESS(0x80E2),       /* PidLidContactLinkedGlobalAddressListEntryId */
    [CM_LINKED] = COMMON(0x8585),     /* PidLidContactLinkEntry */
    [CM_LIST_NAME] = ADDRESS(0x8053), /* PidLidDistributionListName */
    [CM_MEMBERS] = ADDRESS(0x8055),   /* PidLidDistributionListMembers */
    [CM_ONEOFFS] = ADDRESS(0x8054),   /* PidLidDistributionListOneOffMembers */
    [CM_CHECKSUM] = ADDRESS(0x804C),  /* PidLidDistributionListChecksum */
    [CM_STREAM] = ADDRESS(0x8064),    /* PidLidDistributionListStream */
};

enum folder_column { F_NAME, F_CLASS, N_FOLDER_COLUMNS };
static const uint32_t folder_tags[N_FOLDER_COLUMNS] = {
    [F_NAME] = 0x3001001F,  /* PidTagDisplayName */
    [F_CLASS] = 0x3613001F, /* PidTagContainerClass */
};

/* The contacts: the columns of contact.c, then these. */
enum contact_column { C_LINKED = CM_GAL + 1, C_CLASS, C_NAME, C_KEY, N_CONTACT_COLUMNS };
#define TAG_CLASS      0x001A001Fu /* PidTagMessageClass */
#define TAG_NAME       0x3001001Fu /* PidTagDisplayName */
#define TAG_SEARCH_KEY 0x300B0102u /* PidTagSearchKey */

enum list_column { L_CLASS, L_NAME, L_LIST_NAME, L_LINKED, L_MEMBERS, L_ONEOFFS, L_CHECKSUM, L_STREAM,
                   N_LIST_COLUMNS };
static const uint32_t list_tags[N_LIST_COLUMNS] = {
    [L_CLASS] = TAG_CLASS,
    [L_NAME] = TAG_NAME,
    [L_LIST_NAME] = CPUU_NAMED(CM_LIST_NAME, 0x001F),
    [L_LINKED] = CPUU_NAMED(CM_LINKED, 0x0102),
    [L_MEMBERS] = CPUU_NAMED(CM_MEMBERS, 0x1102),
    [L_ONEOFFS] = CPUU_NAMED(CM_ONEOFFS, 0x1102),
    [L_CHECKSUM] = CPUU_NAMED(CM_CHECKSUM, 0x0003),
    [L_STREAM] = CPUU_NAMED(CM_STREAM, 0x0102),
};

static const cpuu_query reads[] = {
    {sizeof(cpuu_query), CPUU_TARGET, CPUU_FOLDERS, CPUU_ROLE_IPM_SUBTREE, CPUU_DEEP,
     N_FOLDER_COLUMNS, folder_tags, NULL, {NULL, 0}, {NULL, 0}},
    {sizeof(cpuu_query), CPUU_SOURCE, CPUU_FOLDERS, CPUU_ROLE_IPM_SUBTREE, CPUU_DEEP,
     N_FOLDER_COLUMNS, folder_tags, NULL, {NULL, 0}, {NULL, 0}},
    /* Nobody looks at this one: it lets the first pass begin without asking what there is. */
    {sizeof(cpuu_query), CPUU_TARGET, CPUU_ITEMS, CPUU_ROLE_CONTACTS, 0, 0, NULL, NULL, {NULL, 0},
     {NULL, 0}},
};

typedef struct folder {
    cpuu_blob id;
    const char *name;
    bool has_lists, has_linked;
    uint32_t at_target; /* source folders: number of the target's folder + 1; 0 = none */
} folder;

typedef struct folders {
    folder *items;
    uint32_t count, cap;
} folders;

/* A list, or the linked contacts of a contact, in one portion of the second pass. */
typedef struct holder {
    cpuu_blob id;
    const char *title;
    cpuu_value v[N_LIST_COLUMNS];
    cm_members arrays, stream, linked;
    cpuu_dl_stream head;
    bool has_arrays, has_stream, has_linked, padded;
} holder;

typedef struct job {
    const cpuu_host *host;
    cpuu_run *run;
    kit_pool pool; /* folders */
    folders target, source;
    cm_contacts contacts;
    cm_messages at_target, at_source;
    bool source_read;
    holder lists[LIST_PORTION];
    uint32_t n_lists;
    kit_pool list_pool;
    kit_links links;
    uint32_t done;
} job;

static cpuu_rc beat(job *j)
{
    return ++j->done % PORTION == 0 ? j->host->beat(j->run, j->done, 0) : CPUU_OK;
}

/* ---- folders --------------------------------------------------------------------------------- */

static bool has_prefix(const char *text, const char *prefix)
{
    const uint32_t n = (uint32_t)strlen(prefix);
    return strlen(text) >= n && cpuu_blob_equal_nocase((cpuu_blob){(const uint8_t *)text, n},
                                                       (cpuu_blob){(const uint8_t *)prefix, n});
}

/* The class itself or one derived from it: IPF.Contact.MOC.QuickContacts, not IPF.Contacts. */
static bool is_class(const char *class, const char *base)
{
    return has_prefix(class, base) && (!class[strlen(base)] || class[strlen(base)] == '.');
}

static cpuu_rc take_folders(job *j, cpuu_rows *rows, folders *out)
{
    for (uint32_t i = 0;; i++) {
        cpuu_row row = {.size = sizeof(row)};
        char class[64];
        cpuu_rc rc = j->host->rows(rows, i, &row);
        if (rc == CPUU_END)
            return CPUU_OK;
        if (rc == CPUU_OK)
            rc = row.rc;
        if (rc != CPUU_OK)
            return j->host->fail(j->run, rc, "list the folders", "contact folders");
        if (!is_class(kit_text(&row.values[F_CLASS], class, sizeof(class)), CONTACT_CLASS))
            continue;
        if (!kit_grow(&out->items, &out->cap, out->count, sizeof(*out->items)))
            return kit_nomem(j->host, j->run);
        cpuu_blob name = kit_pool_copy(&j->pool, kit_blob(&row.values[F_NAME]));
        out->items[out->count++] = (folder){.id = kit_pool_copy(&j->pool, row.id),
                                            .name = name.size ? (const char *)name.data : ""};
        if (j->pool.failed)
            return kit_nomem(j->host, j->run);
    }
}

static cpuu_rc read_folders(job *j)
{
    cpuu_rows *rows[2] = {NULL, NULL};
    cpuu_rc rc = kit_read(j->host, j->run, reads, 2, rows);
    if (rc != CPUU_OK)
        return j->host->fail(j->run, rc, "list the folders", "contact folders");
    rc = take_folders(j, rows[0], &j->target);
    if (rc == CPUU_OK)
        rc = take_folders(j, rows[1], &j->source);
    j->host->rows_close(rows[0]);
    j->host->rows_close(rows[1]);
    return rc;
}

/* ---- a folder, row by row ---------------------------------------------------------------------- */

typedef cpuu_rc (*row_fn)(job *j, folder *f, const cpuu_row *row);

static cpuu_rc each_row(job *j, folder *f, cpuu_rows *rows, row_fn fn)
{
    cpuu_rc rc = CPUU_OK;
    for (uint32_t i = 0; rc == CPUU_OK; i++) {
        cpuu_row row = {.size = sizeof(row)};
        rc = j->host->rows(rows, i, &row);
        if (rc < 0)
            j->host->fail(j->run, rc, "read the contacts", f->name);
        if (rc != CPUU_OK)
            break;
        rc = beat(j);
        if (rc == CPUU_OK && row.rc == CPUU_OK)
            rc = fn(j, f, &row);
        else if (rc == CPUU_OK && row.rc != CPUU_E_NOTFOUND) /* gone meanwhile: somebody deleted it */
            rc = j->host->fail(j->run, row.rc, "read a contact", f->name);
    }
    return rc == CPUU_END ? CPUU_OK : rc;
}

static bool has_any(const folder *f)
{
    (void)f;
    return true;
}

/* All rows of the folders that `wanted` picks, folder by folder. They are opened several at a time:
 * most are small, and each on its own would cost as many round trips as a large one. */
static cpuu_rc each_folder(job *j, folders *all, const cpuu_query *like,
                           bool (*wanted)(const folder *f), row_fn fn)
{
    cpuu_query queries[FOLDER_SET];
    cpuu_rows *rows[FOLDER_SET];
    folder *set[FOLDER_SET];
    cpuu_rc rc = CPUU_OK;
    for (uint32_t at = 0; rc == CPUU_OK && at < all->count;) {
        uint32_t n = 0;
        for (; at < all->count && n < FOLDER_SET; at++) {
            if (!wanted(&all->items[at]))
                continue;
            set[n] = &all->items[at];
            queries[n] = *like;
            queries[n].folder = set[n]->id;
            queries[n].filter = like->filter && !set[n]->has_linked ? like->filter : NULL;
            n++;
        }
        if (n == 0)
            break;
        memset(rows, 0, sizeof(rows)); /* what a failed read leaves */
        rc = kit_read(j->host, j->run, queries, n, rows);
        for (uint32_t i = 0; i < n; i++) {
            if (rc == CPUU_OK)
                rc = each_row(j, set[i], rows[i], fn);
            j->host->rows_close(rows[i]);
        }
    }
    return rc;
}

static cpuu_query query_of(uint32_t side, const uint32_t *tags, uint32_t n)
{
    return (cpuu_query){.size = sizeof(cpuu_query), .side = side, .what = CPUU_ITEMS,
                        .role = CPUU_ROLE_NONE, .flags = CPUU_STREAM, .n_tags = n, .tags = tags};
}

/* ---- first pass: addresses --------------------------------------------------------------------- */

static cpuu_rc change(job *j, cpuu_blob id, const char *title, const cpuu_value *set, uint32_t n)
{
    cpuu_change c = {.size = sizeof(c), .verb = CPUU_UPDATE, .what = CPUU_ITEMS, .id = id,
                     .set = set, .n_set = n, .title = title};
    return n ? kit_change(j->host, j->run, &c, 1, NULL) : CPUU_OK;
}

static cpuu_rc flush_contacts(job *j)
{
    cm_contacts *c = &j->contacts;
    cpuu_rc rc = c->failed ? kit_nomem(j->host, j->run) : CPUU_OK;
    if (rc == CPUU_OK && c->links.count)
        rc = kit_translate(j->host, j->run, c->links.items, c->links.count);
    if (rc == CPUU_OK)
        cm_contacts_settle(c);
    for (uint32_t i = 0; rc == CPUU_OK && i < c->count; i++) {
        cpuu_value set[CM_MAX_SET];
        const cm_contact *one = &c->items[i];
        for (uint32_t k = 0; k < one->n_groups; k++) {
            char title[400];
            const cm_group *g = &c->groups[one->first_group + k];
            snprintf(title, sizeof(title), "%.300s: %s", one->title, cm_group_name(g));
            kit_decide(j->host, j->run, &c->links.items[g->decides], title);
        }
        rc = change(j, one->id, one->title, set, cm_contact_values(c, one, set));
    }
    if (rc == CPUU_OK && c->count && (rc = j->host->flush(j->run)) < 0)
        j->host->fail(j->run, rc, "write the contacts", "contact folders");
    cm_contacts_free(c);
    return rc;
}

static cpuu_rc take_contact(job *j, folder *f, const cpuu_row *row)
{
    char class[64], title[256];
    kit_text(&row->values[C_CLASS], class, sizeof(class));
    kit_text(&row->values[C_NAME], title, sizeof(title));
    cm_messages_add(&j->at_target, row->id, kit_blob(&row->values[C_KEY]), class,
                    (uint32_t)(f - j->target.items) + 1);
    if (j->at_target.failed)
        return kit_nomem(j->host, j->run);
    f->has_lists = f->has_lists || is_class(class, LIST_CLASS);
    f->has_linked = f->has_linked || kit_blob(&row->values[C_LINKED]).size;
    cm_contacts_add(&j->contacts, row->id, title, row->values);
    return j->contacts.count >= PORTION || j->contacts.failed ? flush_contacts(j) : CPUU_OK;
}

static cpuu_rc first_pass(job *j)
{
    uint32_t tags[N_CONTACT_COLUMNS];
    memcpy(tags, cm_contact_tags, sizeof(cm_contact_tags));
    tags[C_LINKED] = CPUU_NAMED(CM_LINKED, 0x0102);
    tags[C_CLASS] = TAG_CLASS;
    tags[C_NAME] = TAG_NAME;
    tags[C_KEY] = TAG_SEARCH_KEY;
    const cpuu_query q = query_of(CPUU_TARGET, tags, N_CONTACT_COLUMNS);
    cpuu_rc rc = each_folder(j, &j->target, &q, has_any, take_contact);
    return rc == CPUU_OK ? flush_contacts(j) : rc;
}

/* ---- messages of the source -------------------------------------------------------------------- */

static cpuu_rc take_source_message(job *j, folder *f, const cpuu_row *row)
{
    char class[64];
    kit_text(&row->values[0], class, sizeof(class));
    cm_messages_add(&j->at_source, row->id, kit_blob(&row->values[1]), class, f->at_target);
    return j->at_source.failed ? kit_nomem(j->host, j->run) : CPUU_OK;
}

/* Which folder of the target each contact folder of the source became. */
static cpuu_rc map_folders(job *j)
{
    kit_links links = {0};
    cpuu_rc rc = CPUU_OK;
    for (uint32_t i = 0; i < j->source.count; i++)
        kit_links_add(&links, CPUU_LINK_EID, j->source.items[i].id, NULL);
    if (links.failed)
        rc = kit_nomem(j->host, j->run);
    else if (links.count)
        rc = kit_translate(j->host, j->run, links.items, links.count);
    for (uint32_t i = 0; rc == CPUU_OK && i < links.count; i++) {
        for (uint32_t k = 0; k < j->target.count; k++) {
            if (cpuu_blob_equal(links.items[i].out, j->target.items[k].id))
                j->source.items[i].at_target = k + 1;
        }
    }
    kit_links_free(&links);
    return rc;
}

static cpuu_rc read_source(job *j)
{
    static const uint32_t tags[] = {TAG_CLASS, TAG_SEARCH_KEY};
    cpuu_query q = query_of(CPUU_SOURCE, tags, 2);
    cpuu_rc rc = map_folders(j);
    j->source_read = true;
    q.flags = 0; /* two short columns: the table itself has them */
    return rc == CPUU_OK ? each_folder(j, &j->source, &q, has_any, take_source_message) : rc;
}

/* ---- second pass: lists and linked contacts ---------------------------------------------------- */

static cm_members *parts_of(holder *h, int part)
{
    return part == 0 ? &h->stream : part == 1 ? &h->arrays : &h->linked;
}

static void holder_free(holder *h)
{
    for (int part = 0; part < 3; part++)
        cm_members_free(parts_of(h, part));
}

static void unreadable(job *j, const holder *h, const char *what)
{
    char text[400];
    snprintf(text, sizeof(text), "%s of '%.200s' cannot be read and stay as they are", what, h->title);
    j->host->log(j->run, CPUU_LOG_WARNING, text);
    kit_decide_as(j->host, j->run, CPUU_KEPT, CPUU_WHY_UNREADABLE, h->title, NULL, NULL);
}

/* Takes the three places apart. The stream counts when it is there ([MS-OXOCNTC] 2.2.2.2.4), the arrays
 * follow it as far as they can. */
static cpuu_rc open_holder(job *j, holder *h)
{
    cpuu_rc rc = CPUU_OK, bad = CPUU_OK;
    cpuu_blob stream = kit_blob(&h->v[L_STREAM]), linked = kit_blob(&h->v[L_LINKED]);
    if (stream.size) {
        rc = cm_members_stream(stream, &h->stream, &h->head);
        h->has_stream = rc == CPUU_OK;
        bad = rc;
    }
    if (rc != CPUU_E_NOMEM && bad == CPUU_OK && CPUU_FOUND(&h->v[L_MEMBERS])) {
        rc = cm_members_arrays(&h->v[L_MEMBERS], &h->v[L_ONEOFFS], &h->arrays);
        h->has_arrays = rc == CPUU_OK;
        bad = rc;
    }
    if (bad == CPUU_E_FORMAT)
        unreadable(j, h, "Members");
    if (rc != CPUU_E_NOMEM && linked.size) {
        rc = cm_members_flat(linked, &h->linked, &h->padded);
        h->has_linked = rc == CPUU_OK;
        if (rc == CPUU_E_FORMAT)
            unreadable(j, h, "Linked contacts");
    }
    return rc == CPUU_E_NOMEM ? kit_nomem(j->host, j->run) : CPUU_OK;
}

static cpuu_rc find_messages(job *j, cm_members *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        cm_member *one = &m->items[i];
        if (!one->message.size)
            continue;
        if (!j->source_read) {
            cpuu_rc rc = read_source(j);
            if (rc != CPUU_OK)
                return rc;
        }
        one->outcome = cm_messages_find(&j->at_source, &j->at_target, one->message, &one->reason,
                                        &one->message_out);
    }
    return CPUU_OK;
}

/* Reading the source translates folders, so it comes before the links of this portion. */
static cpuu_rc translate_lists(job *j)
{
    cpuu_rc rc = CPUU_OK;
    for (uint32_t i = 0; i < j->n_lists; i++) {
        for (int part = 0; part < 3; part++)
            cm_members_links(parts_of(&j->lists[i], part), &j->list_pool, &j->links);
    }
    if (j->links.failed)
        return kit_nomem(j->host, j->run);
    for (uint32_t i = 0; rc == CPUU_OK && i < j->n_lists; i++) {
        for (int part = 0; rc == CPUU_OK && part < 3; part++)
            rc = find_messages(j, parts_of(&j->lists[i], part));
    }
    if (rc == CPUU_OK && j->links.count)
        rc = kit_translate(j->host, j->run, j->links.items, j->links.count);
    return rc;
}

static cpuu_rc decide_members(job *j, const holder *h, const cm_members *m, const char *what)
{
    for (uint32_t i = 0; i < m->count; i++) {
        const cm_member *one = &m->items[i];
        char name[200], title[500];
        if (!one->outcome)
            continue;
        if (!cm_member_name(one, name, sizeof(name)))
            return kit_nomem(j->host, j->run);
        snprintf(title, sizeof(title), "%.200s: %s%s%.200s", h->title, what, *name ? " " : "", name);
        if (one->n)
            kit_decide(j->host, j->run, &j->links.items[one->decides], title);
        else
            kit_decide_as(j->host, j->run, one->outcome, one->reason, title,
                          one->message.size ? "a contact of the source mailbox"
                                            : "a contact outside the mailboxes",
                          one->rewrite ? "its copy in the target mailbox" : NULL);
    }
    return CPUU_OK;
}

/* The new stream. */
static cpuu_value put_stream(job *j, const cm_members *m, const cpuu_dl_stream *head, cpuu_buf *out)
{
    cpuu_buf eid, oneoff;
    cpuu_buf_init(&eid, VALUE_MAX);
    cpuu_buf_init(&oneoff, VALUE_MAX);
    const size_t at = cpuu_dl_stream_begin(out, head);
    for (uint32_t i = 0; i < m->count; i++) {
        cpuu_buf_reset(&eid);
        cpuu_buf_reset(&oneoff);
        cm_member_write(&m->items[i], &j->links, &eid, &oneoff);
        cpuu_dl_member one = {0, {eid.data, (uint32_t)eid.size},
                              {oneoff.data, (uint32_t)oneoff.size}, m->items[i].extra};
        cpuu_dl_member_write(out, at, &one);
        out->failed = out->failed || eid.failed || oneoff.failed;
    }
    cpuu_dl_stream_end(out, head);
    cpuu_buf_free(&eid);
    cpuu_buf_free(&oneoff);
    return (cpuu_value){list_tags[L_STREAM], (uint32_t)out->size, out->data};
}

typedef struct new_arrays {
    cpuu_buf eids, oneoffs; /* in the form of multi-valued properties */
    uint8_t checksum[4];
    bool fits; /* both stay below the limit */
} new_arrays;

static void add_element(cpuu_buf *list, const cpuu_buf *element)
{
    cpuu_buf_u32(list, (uint32_t)element->size);
    cpuu_buf_add(list, element->data, element->size);
}

/* The new arrays and their checksum, [MS-OXOCNTC] 2.2.2.2.1-3. */
static void put_arrays(job *j, const cm_members *m, new_arrays *out)
{
    cpuu_buf eid, oneoff;
    uint32_t sum = 0;
    size_t eids = 0, oneoffs = 0;
    cpuu_buf_init(&eid, VALUE_MAX);
    cpuu_buf_init(&oneoff, VALUE_MAX);
    cpuu_buf_u32(&out->eids, m->count);
    cpuu_buf_u32(&out->oneoffs, m->count);
    for (uint32_t i = 0; i < m->count; i++) {
        cpuu_buf_reset(&eid);
        cpuu_buf_reset(&oneoff);
        cm_member_write(&m->items[i], &j->links, &eid, &oneoff);
        sum = cpuu_dl_checksum_add(sum, eid.data, eid.size);
        eids += eid.size;
        oneoffs += oneoff.size;
        add_element(&out->eids, &eid);
        add_element(&out->oneoffs, &oneoff);
        out->eids.failed = out->eids.failed || eid.failed || oneoff.failed;
    }
    for (int i = 0; i < 4; i++)
        out->checksum[i] = (uint8_t)(sum >> (8 * i));
    out->fits = eids < CPUU_DL_LIMIT && oneoffs < CPUU_DL_LIMIT;
    cpuu_buf_free(&eid);
    cpuu_buf_free(&oneoff);
}

static cpuu_value put_linked(job *j, const holder *h, cpuu_buf *out)
{
    cpuu_buf all, none;
    const uint32_t n = h->linked.count;
    cpuu_blob *eids = cpuu_fmt_realloc(NULL, (n + 1) * sizeof(*eids));
    size_t *ends = cpuu_fmt_realloc(NULL, (n + 1) * sizeof(*ends));
    cpuu_buf_init(&all, VALUE_MAX);
    cpuu_buf_init(&none, VALUE_MAX);
    for (uint32_t i = 0; eids && ends && i < n; i++) {
        cm_member_write(&h->linked.items[i], &j->links, &all, &none);
        ends[i] = all.size;
    }
    for (uint32_t i = 0; eids && ends && i < n; i++) {
        const size_t start = i ? ends[i - 1] : 0;
        eids[i] = (cpuu_blob){all.data + start, (uint32_t)(ends[i] - start)};
    }
    if (!eids || !ends || all.failed)
        out->failed = true;
    else
        cpuu_flat_list_write(out, eids, n, h->padded);
    cpuu_fmt_free(eids);
    cpuu_fmt_free(ends);
    cpuu_buf_free(&all);
    cpuu_buf_free(&none);
    return (cpuu_value){list_tags[L_LINKED], (uint32_t)out->size, out->data};
}

/* A list that has outgrown its arrays gets a stream, which replaces them. */
static const cpuu_dl_stream *stream_head(const holder *h, cpuu_dl_stream *fresh)
{
    if (h->has_stream)
        return &h->head;
    *fresh = (cpuu_dl_stream){.version = 1, .flags = CPUU_DL_STREAM_ALWAYS, .n = h->arrays.count};
    return fresh;
}

static uint32_t set_arrays(const holder *h, const new_arrays *a, cpuu_value *set)
{
    uint32_t n = 0;
    set[n++] = (cpuu_value){list_tags[L_MEMBERS], (uint32_t)a->eids.size, a->eids.data};
    if (CPUU_FOUND(&h->v[L_ONEOFFS]))
        set[n++] = (cpuu_value){list_tags[L_ONEOFFS], (uint32_t)a->oneoffs.size, a->oneoffs.data};
    if (CPUU_FOUND(&h->v[L_CHECKSUM]))
        set[n++] = (cpuu_value){list_tags[L_CHECKSUM], 4, a->checksum};
    return n;
}

static cpuu_rc write_holder(job *j, const holder *h, bool arrays, bool stream, bool linked)
{
    cpuu_value set[5];
    cpuu_buf stream_buf, linked_buf;
    cpuu_dl_stream fresh;
    new_arrays a = {.fits = true};
    uint32_t n = 0;
    cpuu_buf_init(&stream_buf, VALUE_MAX);
    cpuu_buf_init(&linked_buf, VALUE_MAX);
    cpuu_buf_init(&a.eids, VALUE_MAX);
    cpuu_buf_init(&a.oneoffs, VALUE_MAX);
    if (arrays)
        put_arrays(j, &h->arrays, &a);
    if (arrays && a.fits)
        n = set_arrays(h, &a, set);
    if (stream || !a.fits)
        set[n++] = put_stream(j, h->has_stream ? &h->stream : &h->arrays, stream_head(h, &fresh),
                              &stream_buf);
    if (linked)
        set[n++] = put_linked(j, h, &linked_buf);
    cpuu_rc rc = CPUU_OK;
    if (stream_buf.failed || linked_buf.failed || a.eids.failed || a.oneoffs.failed)
        rc = j->host->fail(j->run, CPUU_E_TOOBIG, "rewrite a distribution list", h->title);
    else
        rc = change(j, h->id, h->title, set, n);
    cpuu_buf_free(&stream_buf);
    cpuu_buf_free(&linked_buf);
    cpuu_buf_free(&a.eids);
    cpuu_buf_free(&a.oneoffs);
    return rc;
}

static cpuu_rc flush_lists(job *j)
{
    cpuu_rc rc = CPUU_OK;
    const uint32_t n = j->n_lists;
    for (uint32_t i = 0; rc == CPUU_OK && i < n; i++)
        rc = open_holder(j, &j->lists[i]);
    if (rc == CPUU_OK)
        rc = translate_lists(j);
    for (uint32_t i = 0; rc == CPUU_OK && i < n; i++) {
        holder *h = &j->lists[i];
        const bool stream = cm_members_settle(&h->stream, &j->links);
        const bool arrays = cm_members_settle(&h->arrays, &j->links);
        const bool linked = cm_members_settle(&h->linked, &j->links);
        rc = decide_members(j, h, h->has_stream ? &h->stream : &h->arrays, "member");
        if (rc == CPUU_OK)
            rc = decide_members(j, h, &h->linked, "linked contact");
        if (rc == CPUU_OK)
            rc = write_holder(j, h, arrays, stream, linked);
    }
    if (rc == CPUU_OK && n && (rc = j->host->flush(j->run)) < 0)
        j->host->fail(j->run, rc, "write the distribution lists", "contact folders");
    for (uint32_t i = 0; i < n; i++)
        holder_free(&j->lists[i]);
    j->n_lists = 0;
    kit_links_free(&j->links);
    kit_pool_free(&j->list_pool);
    return rc;
}

static cpuu_rc take_list(job *j, folder *f, const cpuu_row *row)
{
    char class[64];
    const char *name = NULL;
    (void)f;
    kit_text(&row->values[L_CLASS], class, sizeof(class));
    if (!is_class(class, LIST_CLASS) && !kit_blob(&row->values[L_LINKED]).size)
        return CPUU_OK;
    holder *h = &j->lists[j->n_lists++];
    *h = (holder){.id = kit_pool_copy(&j->list_pool, row->id)};
    for (int i = 0; i < N_LIST_COLUMNS; i++) {
        h->v[i] = row->values[i];
        h->v[i].data = kit_pool_copy(&j->list_pool, (cpuu_blob){h->v[i].data, h->v[i].size}).data;
        if (!name && (i == L_LIST_NAME || i == L_NAME) && kit_blob(&h->v[i]).size)
            name = (const char *)h->v[i].data;
    }
    h->title = name ? name : "";
    if (j->list_pool.failed)
        return kit_nomem(j->host, j->run);
    return j->n_lists == LIST_PORTION || j->list_pool.used > LIST_BYTES ? flush_lists(j) : CPUU_OK;
}

static bool has_lists(const folder *f)
{
    return f->has_lists || f->has_linked;
}

static cpuu_rc second_pass(job *j)
{
    cpuu_query q = query_of(CPUU_TARGET, list_tags, N_LIST_COLUMNS);
    q.filter = LIST_CLASS; /* but all rows of a folder with linked contacts */
    cpuu_rc rc = each_folder(j, &j->target, &q, has_lists, take_list);
    return rc == CPUU_OK ? flush_lists(j) : rc;
}

/* ---- PST files --------------------------------------------------------------------------------- */

/* Contacts in PST files are not processed: the files are the user's, and no service reads them. Said
 * once, so that nobody takes silence for success. */
static cpuu_rc report_pst(job *j)
{
    static const uint32_t tags[] = {TAG_NAME};
    static const cpuu_query queries[] = {
        CPUU_QUERY(CPUU_PROFILE, CPUU_SECTIONS, CPUU_ROLE_SERVICES, "MSUPST MS", tags),
        CPUU_QUERY(CPUU_PROFILE, CPUU_SECTIONS, CPUU_ROLE_SERVICES, "MSPST MS", tags),
    };
    cpuu_rows *rows[2] = {NULL, NULL};
    unsigned n = 0;
    if (!j->host->option(j->run, "profile.name"))
        return CPUU_OK;
    cpuu_rc rc = kit_read(j->host, j->run, queries, 2, rows);
    for (int i = 0; i < 2; i++) {
        cpuu_row row = {.size = sizeof(row)};
        for (uint32_t k = 0; rc == CPUU_OK && (rc = j->host->rows(rows[i], k, &row)) == CPUU_OK; k++)
            n++;
        j->host->rows_close(rows[i]);
        rc = rc == CPUU_END ? CPUU_OK : rc;
    }
    if (rc != CPUU_OK)
        return j->host->fail(j->run, rc, "look for PST files", "profile");
    if (n == 0)
        return CPUU_OK;
    char text[128];
    snprintf(text, sizeof(text), "Contacts in %u PST file%s of the profile", n, n == 1 ? "" : "s");
    kit_decide_as(j->host, j->run, CPUU_ALREADY, CPUU_WHY_LOCAL, text, NULL, NULL);
    snprintf(text, sizeof(text), "contacts in %u PST file%s were not processed", n, n == 1 ? "" : "s");
    j->host->log(j->run, CPUU_LOG_INFO, text);
    return CPUU_OK;
}

/* ---- the verb ---------------------------------------------------------------------------------- */

static cpuu_rc update_with(job *j)
{
    cpuu_rc rc = report_pst(j);
    if (rc == CPUU_OK)
        rc = read_folders(j);
    if (rc == CPUU_OK)
        rc = first_pass(j);
    return rc == CPUU_OK ? second_pass(j) : rc;
}

static cpuu_rc CPUU_CALL update(const cpuu_host *host, cpuu_run *run)
{
    job *j = cpuu_fmt_realloc(NULL, sizeof(*j));
    if (!j)
        return kit_nomem(host, run);
    memset(j, 0, sizeof(*j));
    j->host = host;
    j->run = run;
    cpuu_rc rc = update_with(j);
    cm_contacts_free(&j->contacts);
    cm_messages_free(&j->at_target);
    cm_messages_free(&j->at_source);
    for (uint32_t i = 0; i < j->n_lists; i++)
        holder_free(&j->lists[i]);
    kit_links_free(&j->links);
    kit_pool_free(&j->list_pool);
    kit_pool_free(&j->pool);
    cpuu_fmt_free(j->target.items);
    cpuu_fmt_free(j->source.items);
    cpuu_fmt_free(j);
    return rc;
}

static const cpuu_feature contact_members = {
    .size = sizeof(cpuu_feature),
    .needs = CPUU_NEED_SOURCE | CPUU_NEED_TARGET | CPUU_NEED_TARGET_WRITE | CPUU_NEED_PROFILE |
             CPUU_FOR_RESOURCES,
    .links = CPUU_LINK_EID | CPUU_LINK_EX_DN | CPUU_LINK_SMTP,
    .n_reads = sizeof(reads) / sizeof(*reads),
    .n_names = CM_NAMES,
    .name = "ContactMembers",
    .title = "Contacts and personal distribution lists",
    .reads = reads,
    .names = names,
    .update = update,
};

static const cpuu_feature *const features[] = {&contact_members, NULL};
KIT_PLUGIN(features)
