/*
 * Nicks: the names Outlook offers while an address is typed. Since Outlook 2010 the list is the stream
 * of a hidden message in the Inbox; before that it was <profile>.nk2 in the user's roaming folder. Both
 * have one layout (cpuu/formats/nickname.h) and one kind of row.
 *
 * A row that names somebody in the address book holds one identity several times: address, EntryIDs,
 * record key, search key, SMTP address. They change together or not at all. Rows of other kinds, and
 * every byte that is not part of such an identity, are copied as they are.
 *
 * The list the target has is corrected in place; rows it lacks are merged in from the source by weight;
 * a list it does not have at all is created.
 */
#include "nicks/nicks.h"

#include <stdio.h>
#include <string.h>

#define NICK_CLASS "IPM.Configuration.Autocomplete" /* Outlook MAPI reference, "nickname cache" */

enum column { CLASS, SUBJECT, DATATYPES, STREAM, MODIFIED, N_COLUMNS };
static const uint32_t tags[N_COLUMNS] = {
    [CLASS] = 0x001A001F,     /* PidTagMessageClass */
    [SUBJECT] = 0x0037001F,   /* PidTagSubject */
    [DATATYPES] = 0x7C060003, /* PidTagRoamingDatatypes */
    [STREAM] = 0x7C090102,    /* PidTagRoamingBinary */
    [MODIFIED] = 0x30080040,  /* PidTagLastModificationTime */
};

static const cpuu_query reads[] = {
    CPUU_QUERY(CPUU_SOURCE, CPUU_HIDDEN, CPUU_ROLE_INBOX, NICK_CLASS, tags),
    CPUU_QUERY(CPUU_TARGET, CPUU_HIDDEN, CPUU_ROLE_INBOX, NICK_CLASS, tags),
};

typedef struct stored { /* one list and where it came from */
    nick_list list;
    cpuu_blob id;            /* of the message; empty for a file */
    const cpuu_value *v;     /* of the message */
    uint64_t modified;
    bool damaged;
} stored;

typedef struct job {
    const cpuu_host *host;
    cpuu_run *run;
    cpuu_rows *rows[2];
    stored source, file;
    stored *target;
    uint32_t n_target;
    kit_links links;
    char file_name[256];
} job;

/* ---- reading --------------------------------------------------------------------------------- */

static void stored_free(stored *s)
{
    nick_list_free(&s->list);
}

/* A list that cannot be read is reported and left alone; only memory can fail here. */
static cpuu_rc take_list(job *j, stored *s, cpuu_blob bytes, const char *what)
{
    cpuu_fmt_error err = {0, "", ""};
    cpuu_rc rc = nick_list_open(bytes, &s->list, &err);
    if (rc == CPUU_E_NOMEM)
        return kit_nomem(j->host, j->run);
    if (rc == CPUU_OK)
        return CPUU_OK;
    char text[256];
    snprintf(text, sizeof(text), "%s is damaged and stays as it is: %s %s at offset %u", what,
             err.field, err.what, (unsigned)err.offset);
    j->host->log(j->run, CPUU_LOG_WARNING, text);
    kit_decide_as(j->host, j->run, CPUU_KEPT, CPUU_WHY_UNREADABLE, what, NULL, NULL);
    s->damaged = true;
    return CPUU_OK;
}

/* The next row that is an AutoComplete list: its class is exactly that. */
static cpuu_rc next_message(job *j, cpuu_rows *rows, uint32_t *index, cpuu_row *row)
{
    for (;; ++*index) {
        char class[64];
        *row = (cpuu_row){.size = sizeof(*row)};
        cpuu_rc rc = j->host->rows(rows, *index, row);
        if (rc == CPUU_END)
            return rc;
        if (rc == CPUU_OK && row->rc != CPUU_OK)
            rc = row->rc;
        if (rc != CPUU_OK)
            return j->host->fail(j->run, rc, "read the AutoComplete list", "Inbox");
        kit_text(&row->values[CLASS], class, sizeof(class));
        cpuu_blob have = {(const uint8_t *)class, (uint32_t)strlen(class)};
        cpuu_blob want = {(const uint8_t *)NICK_CLASS, sizeof(NICK_CLASS) - 1};
        if (cpuu_blob_equal_nocase(have, want) && kit_blob(&row->values[STREAM]).size) {
            ++*index;
            return CPUU_OK;
        }
    }
}

static uint64_t modified(const cpuu_row *row)
{
    cpuu_blob b = kit_blob(&row->values[MODIFIED]);
    return b.size == 8 ? cpuu_le64(b.data) : 0;
}

/* Several lists at the source: the newest is the one in use. */
static cpuu_rc take_source(job *j)
{
    cpuu_row row, newest = {.size = sizeof(newest)};
    uint32_t i = 0;
    bool any = false;
    cpuu_rc rc;
    while ((rc = next_message(j, j->rows[0], &i, &row)) == CPUU_OK) {
        if (any && modified(&row) <= modified(&newest))
            continue;
        newest = row;
        any = true;
    }
    if (rc != CPUU_END || !any)
        return rc == CPUU_END ? CPUU_OK : rc;
    j->source.v = newest.values;
    return take_list(j, &j->source, kit_blob(&newest.values[STREAM]),
                     "AutoComplete list of the source mailbox");
}

static cpuu_rc take_target(job *j)
{
    cpuu_row row;
    uint32_t i = 0;
    cpuu_rc rc;
    while ((rc = next_message(j, j->rows[1], &i, &row)) == CPUU_OK) {
        stored *more = cpuu_fmt_realloc(j->target, (j->n_target + 1) * sizeof(*more));
        if (!more)
            return kit_nomem(j->host, j->run);
        j->target = more;
        stored *s = &j->target[j->n_target++];
        *s = (stored){.id = row.id, .v = row.values, .modified = modified(&row)};
        rc = take_list(j, s, kit_blob(&row.values[STREAM]),
                       "AutoComplete list of the target mailbox");
        if (rc != CPUU_OK)
            return rc;
    }
    return rc == CPUU_END ? CPUU_OK : rc;
}

/* <profile>.nk2, for an Outlook that may keep the list there: up to 2010 profiles lie below Windows
 * Messaging Subsystem, which the host calls version "". Later ones have no use for the file. */
static cpuu_rc take_file(job *j)
{
    const char *profile = j->host->option(j->run, "profile.name");
    const char *version = j->host->option(j->run, "outlook.version");
    cpuu_blob bytes = {NULL, 0};
    if (!profile || !version || *version || strlen(profile) > sizeof(j->file_name) - 8 ||
        strpbrk(profile, "/\\:*?\"<>|"))
        return CPUU_OK;
    snprintf(j->file_name, sizeof(j->file_name), "%s.nk2", profile);
    cpuu_rc rc = j->host->file_read(j->run, CPUU_DIR_ROAMING, j->file_name, &bytes);
    if (rc == CPUU_E_NOTFOUND) {
        j->file_name[0] = 0;
        return CPUU_OK;
    }
    if (rc != CPUU_OK)
        return j->host->fail(j->run, rc, "read the AutoComplete file", j->file_name);
    return take_list(j, &j->file, bytes, j->file_name);
}

static cpuu_rc take_all(job *j)
{
    cpuu_rc rc = kit_read(j->host, j->run, reads, 2, j->rows);
    if (rc != CPUU_OK)
        return j->host->fail(j->run, rc, "read the AutoComplete list", "Inbox");
    rc = take_source(j);
    if (rc == CPUU_OK)
        rc = take_target(j);
    return rc == CPUU_OK ? take_file(j) : rc;
}

/* ---- removing -------------------------------------------------------------------------------- */

static void say_removed(job *j, const stored *s, const char *where)
{
    char text[256], title[128];
    unsigned n = s->damaged ? 0 : (unsigned)s->list.stream.n_rows;
    snprintf(text, sizeof(text),
             "Remove=Nicks deletes the AutoComplete list (%s) with its %u entries; undo brings it "
             "back. To leave the list as it is, say Skip=Nicks",
             where, n);
    j->host->log(j->run, CPUU_LOG_WARNING, text);
    snprintf(title, sizeof(title), "AutoComplete list with %u entries", n);
    kit_decide_as(j->host, j->run, CPUU_DROPPED, CPUU_WHY_EXCLUDED, title, where, NULL);
}

/* Outlook starts a new list by itself; an empty stream would be one more thing to get wrong. */
static cpuu_rc remove_lists(job *j)
{
    cpuu_rc rc = CPUU_OK;
    for (uint32_t i = 0; i < j->n_target && rc == CPUU_OK; i++) {
        cpuu_change c = {.size = sizeof(c), .verb = CPUU_DELETE, .what = CPUU_HIDDEN,
                         .role = CPUU_ROLE_INBOX, .id = j->target[i].id,
                         .title = "AutoComplete list"};
        say_removed(j, &j->target[i], "target mailbox");
        rc = kit_change(j->host, j->run, &c, 1, NULL);
    }
    if (rc == CPUU_OK && j->file_name[0]) {
        say_removed(j, &j->file, j->file_name);
        rc = j->host->file_write(j->run, CPUU_DIR_ROAMING, j->file_name, NULL);
        if (rc != CPUU_OK)
            return j->host->fail(j->run, rc, "delete the AutoComplete file", j->file_name);
    }
    return rc;
}

/* ---- deciding -------------------------------------------------------------------------------- */

/* The target's list that rows of the source are merged into: the newest one that can be read. */
static stored *main_target(job *j)
{
    stored *best = NULL;
    for (uint32_t i = 0; i < j->n_target; i++) {
        stored *s = &j->target[i];
        if (!s->damaged && (!best || s->modified > best->modified))
            best = s;
    }
    return best;
}

static cpuu_rc translate(job *j)
{
    nick_list_links(&j->source.list, &j->links);
    for (uint32_t i = 0; i < j->n_target; i++)
        nick_list_links(&j->target[i].list, &j->links);
    nick_list_links(&j->file.list, &j->links);
    if (j->links.failed)
        return kit_nomem(j->host, j->run);
    if (j->links.count == 0)
        return CPUU_OK;
    return kit_translate(j->host, j->run, j->links.items, j->links.count);
}

/* One decision for each row that names somebody in the address book. */
static cpuu_rc decide_rows(job *j, nick_list *l, bool only_added)
{
    for (uint32_t i = 0; i < l->stream.n_rows; i++) {
        nick_row *r = &l->rows[i];
        if (r->n_links == 0 || (only_added && !r->add))
            continue;
        char title[256];
        const cpuu_link *by = &j->links.items[r->decides];
        if (!nick_row_title(r, title, sizeof(title)))
            return kit_nomem(j->host, j->run);
        kit_decide(j->host, j->run, by, title);
    }
    return CPUU_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

static cpuu_rc correct(job *j, stored *s, const nick_list *more)
{
    cpuu_buf b;
    cpuu_rc rc = CPUU_OK;
    if (s->damaged || (!s->list.changed && !(more && more->n_add)))
        return CPUU_OK;
    cpuu_buf_init(&b, NICK_MAX);
    if (!nick_list_write(&s->list, more, &j->links, &b)) {
        rc = j->host->fail(j->run, CPUU_E_TOOBIG, "rewrite the AutoComplete list", "target mailbox");
    } else if (s->id.size) {
        cpuu_value v = {tags[STREAM], (uint32_t)b.size, b.data};
        cpuu_change c = {.size = sizeof(c), .verb = CPUU_UPDATE, .what = CPUU_HIDDEN,
                         .role = CPUU_ROLE_INBOX, .id = s->id, .set = &v, .n_set = 1,
                         .title = "AutoComplete list"};
        rc = kit_change(j->host, j->run, &c, 1, NULL);
    } else {
        cpuu_blob data = {b.data, (uint32_t)b.size};
        rc = j->host->file_write(j->run, CPUU_DIR_ROAMING, j->file_name, &data);
        if (rc != CPUU_OK)
            j->host->fail(j->run, rc, "write the AutoComplete file", j->file_name);
    }
    cpuu_buf_free(&b);
    return rc;
}

/* The target has no list at all: the source's, rewritten. */
static cpuu_rc create(job *j)
{
    cpuu_buf b;
    cpuu_value set[4];
    cpuu_change c = {.size = sizeof(c), .verb = CPUU_CREATE, .what = CPUU_HIDDEN,
                     .role = CPUU_ROLE_INBOX, .set = set, .title = "AutoComplete list"};
    cpuu_rc rc;
    cpuu_buf_init(&b, NICK_MAX);
    if (nick_list_write(&j->source.list, NULL, &j->links, &b)) {
        set[c.n_set++] = kit_text_value(tags[CLASS], NICK_CLASS);
        set[c.n_set++] = kit_text_value(tags[SUBJECT], NICK_CLASS);
        set[c.n_set++] = (cpuu_value){tags[STREAM], (uint32_t)b.size, b.data};
        if (CPUU_FOUND(&j->source.v[DATATYPES]))
            set[c.n_set++] = j->source.v[DATATYPES];
        rc = kit_change(j->host, j->run, &c, 1, NULL);
    } else {
        rc = j->host->fail(j->run, CPUU_E_TOOBIG, "rewrite the AutoComplete list", "source mailbox");
    }
    cpuu_buf_free(&b);
    return rc;
}

static cpuu_rc update_lists(job *j)
{
    stored *into = main_target(j);
    bool has_source = j->source.v && !j->source.damaged;
    cpuu_rc rc = translate(j);
    if (rc != CPUU_OK)
        return rc;
    nick_list_settle(&j->source.list, &j->links);
    for (uint32_t i = 0; i < j->n_target; i++)
        nick_list_settle(&j->target[i].list, &j->links);
    nick_list_settle(&j->file.list, &j->links);
    if (has_source && into && !nick_list_compare(&j->source.list, &into->list, &j->links))
        return kit_nomem(j->host, j->run);
    rc = decide_rows(j, &j->source.list, j->n_target > 0);
    for (uint32_t i = 0; i < j->n_target && rc == CPUU_OK; i++) {
        stored *s = &j->target[i];
        rc = decide_rows(j, &s->list, false);
        if (rc == CPUU_OK)
            rc = correct(j, s, has_source && s == into ? &j->source.list : NULL);
    }
    if (rc == CPUU_OK)
        rc = decide_rows(j, &j->file.list, false);
    if (rc == CPUU_OK)
        rc = correct(j, &j->file, NULL);
    if (rc == CPUU_OK && has_source && j->n_target == 0)
        rc = create(j);
    return rc;
}

/* ---- the verb -------------------------------------------------------------------------------- */

static cpuu_rc CPUU_CALL update(const cpuu_host *host, cpuu_run *run)
{
    job j = {.host = host, .run = run};
    cpuu_rc rc = take_all(&j);
    if (rc == CPUU_OK)
        rc = host->option(run, "Remove") ? remove_lists(&j) : update_lists(&j);
    host->rows_close(j.rows[0]);
    host->rows_close(j.rows[1]);
    stored_free(&j.source);
    stored_free(&j.file);
    for (uint32_t i = 0; i < j.n_target; i++)
        stored_free(&j.target[i]);
    cpuu_fmt_free(j.target);
    kit_links_free(&j.links);
    return rc;
}

static const cpuu_feature nicks = {
    .size = sizeof(cpuu_feature),
    .needs = CPUU_NEED_SOURCE | CPUU_NEED_TARGET | CPUU_NEED_TARGET_WRITE | CPUU_NEED_FILES |
             CPUU_NEED_FILES_WRITE | CPUU_FOR_RESOURCES,
    .links = CPUU_LINK_EID | CPUU_LINK_EX_DN | CPUU_LINK_SMTP | CPUU_LINK_SEARCH_KEY,
    .n_reads = sizeof(reads) / sizeof(*reads),
    .name = "Nicks",
    .title = "AutoComplete list (nicknames)",
    .reads = reads,
    .update = update,
};

static const cpuu_feature *const features[] = {&nicks, NULL};
KIT_PLUGIN(features)
