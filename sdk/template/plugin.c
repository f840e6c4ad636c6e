/*
 * Example: rewrites the folder link that a hidden message of class IPM.Example.Link carries.
 *
 * A mailbox feature upserts: it reads both sides, matches, and rewrites or creates what differs.
 * What exists only at the target is never touched, so that running it twice changes nothing more.
 */
#include <cpuu/plugin.h>

#include <stdlib.h>
#include <string.h>

#define CLASS "IPM.Example.Link"

enum { COL_CLASS, COL_SUBJECT, COL_LINK, N_COLS };
static const uint32_t TAGS[N_COLS] = {
    0x001A001Fu,          /* PidTagMessageClass */
    0x0037001Fu,          /* PidTagSubject: what a person calls the link, and what we match by */
    CPUU_NAMED(0, 0x102), /* our own named property: the EntryID of a folder */
};

/* PS_PUBLIC_STRINGS, [MS-OXPROPS] 1.3.2 */
static const cpuu_name NAMES[] = {{{0x29, 0x03, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0xC0, 0x00,
                                    0x00, 0x00, 0x00, 0x00, 0x00, 0x46},
                                   0,
                                   "cpuu-example-link"}};

static const cpuu_query READS[] = {
    CPUU_QUERY(CPUU_SOURCE, CPUU_HIDDEN, CPUU_ROLE_INBOX, CLASS, TAGS),
    CPUU_QUERY(CPUU_TARGET, CPUU_HIDDEN, CPUU_ROLE_INBOX, CLASS, TAGS),
};

static int same(const cpuu_value *a, const cpuu_value *b)
{
    return CPUU_FOUND(a) && CPUU_FOUND(b) && a->size == b->size &&
           (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

/* Rows of one side; CPUU_END is the normal end. A row that cannot be read is the host's to report.
 */
static cpuu_rc count(const cpuu_host *h, cpuu_rows *rows, uint32_t *n)
{
    cpuu_row row;
    cpuu_rc rc;
    for (*n = 0;; ++*n) {
        row.size = sizeof(row);
        rc = h->rows(rows, *n, &row);
        if (rc != CPUU_OK)
            return rc == CPUU_END ? CPUU_OK : rc;
    }
}

/* The target message with the same subject. */
static int find(const cpuu_host *h, cpuu_rows *target, const cpuu_value *subject, cpuu_row *out)
{
    for (uint32_t i = 0; out->size = sizeof(*out), h->rows(target, i, out) == CPUU_OK; i++) {
        if (out->rc >= 0 && same(&out->values[COL_SUBJECT], subject))
            return 1;
    }
    return 0;
}

static void decide(const cpuu_host *h, cpuu_run *run, const char *title, const cpuu_link *link)
{
    cpuu_decision d;
    memset(&d, 0, sizeof(d));
    d.size = sizeof(d);
    d.outcome = link->outcome;
    d.reason = link->reason;
    d.title = title;
    d.before = link->in_text;
    d.after = link->out_text;
    h->decide(run, &d);
}

/* Queues what makes the target message look like `values`, if it does not already. */
static cpuu_rc put(const cpuu_host *h, cpuu_run *run, cpuu_rows *target, const cpuu_value *values,
                   const char *title)
{
    cpuu_row old;
    cpuu_change c;
    memset(&c, 0, sizeof(c));
    c.size = sizeof(c);
    c.what = CPUU_HIDDEN;
    c.role = CPUU_ROLE_INBOX;
    c.set = values;
    c.n_set = N_COLS;
    c.title = title;
    c.verb = CPUU_CREATE;
    if (find(h, target, &values[COL_SUBJECT], &old)) {
        if (same(&old.values[COL_LINK], &values[COL_LINK]))
            return CPUU_OK;
        c.verb = CPUU_UPDATE;
        c.id = old.id;
        c.set = &values[COL_LINK];
        c.n_set = 1;
    }
    return h->change(run, &c, 1, NULL);
}

static cpuu_rc one(const cpuu_host *h, cpuu_run *run, cpuu_rows *target, const cpuu_row *source,
                   const cpuu_link *link)
{
    cpuu_value values[N_COLS];
    char title[128];
    const cpuu_value *subject = &source->values[COL_SUBJECT];
    const uint32_t n = subject->size < sizeof(title) ? subject->size : sizeof(title) - 1u;
    memcpy(title, subject->data, n);
    title[n] = 0;
    decide(h, run, title, link);
    if (link->outcome == CPUU_DROPPED)
        return CPUU_OK;
    memcpy(values, source->values, sizeof(values));
    values[COL_LINK].data = link->out.data;
    values[COL_LINK].size = link->out.size;
    return put(h, run, target, values, title);
}

static int usable(const cpuu_row *row)
{
    return row->rc >= 0 && CPUU_FOUND(&row->values[COL_SUBJECT]) &&
           CPUU_FOUND(&row->values[COL_LINK]);
}

static cpuu_rc all(const cpuu_host *h, cpuu_run *run, cpuu_rows **side, cpuu_link *links,
                   uint32_t n)
{
    cpuu_row row;
    cpuu_rc rc = CPUU_OK;
    for (uint32_t i = 0; i < n; i++) {
        row.size = sizeof(row);
        if (h->rows(side[0], i, &row) != CPUU_OK)
            continue;
        links[i].size = sizeof(*links);
        links[i].kind = CPUU_LINK_EID;
        if (usable(&row)) { /* an empty link gives CPUU_ALREADY */
            links[i].in.data = row.values[COL_LINK].data;
            links[i].in.size = row.values[COL_LINK].size;
        }
    }
    rc = h->translate(run, links, n);
    if (rc < 0)
        return h->fail(run, rc, "translate the links", CLASS);
    for (uint32_t i = 0; i < n && rc >= 0; i++) {
        row.size = sizeof(row);
        if (h->rows(side[0], i, &row) == CPUU_OK && usable(&row))
            rc = one(h, run, side[1], &row, &links[i]);
    }
    return rc < 0 ? h->fail(run, rc, "queue a change", CLASS) : CPUU_OK;
}

static cpuu_rc CPUU_CALL update(const cpuu_host *h, cpuu_run *run)
{
    cpuu_rows *side[2] = {NULL, NULL};
    cpuu_link *links = NULL;
    uint32_t n = 0, unused = 0;
    cpuu_rc rc = h->read(run, READS, 2, side);
    if (rc < 0)
        return h->fail(run, rc, "read the links", "both Inboxes");
    rc = count(h, side[0], &n);
    if (rc == CPUU_OK)
        rc = count(h, side[1], &unused);
    if (rc < 0) {
        h->fail(run, rc, "read the links", "Inbox");
    } else {
        links = (cpuu_link *)calloc(n ? n : 1u, sizeof(*links));
        rc = links ? all(h, run, side, links, n)
                   : h->fail(run, CPUU_E_NOMEM, "hold the links", CLASS);
    }
    free(links);
    h->rows_close(side[0]);
    h->rows_close(side[1]);
    return rc;
}

static const cpuu_feature EXAMPLE = {
    sizeof(cpuu_feature),
    CPUU_NEED_SOURCE | CPUU_NEED_TARGET | CPUU_NEED_TARGET_WRITE | CPUU_FOR_RESOURCES, /* needs */
    CPUU_LINK_EID,                                                                     /* links */
    2u,                                                                                /* n_reads */
    1u,                                                                                /* n_names */
    "Example",
    "Example links",
    NULL, /* after */
    READS,
    NAMES,
    NULL,   /* check */
    update, /* update */
    NULL,   /* skip: what lives in the mailbox is left alone */
    NULL,   /* undo: the journal is enough */
    NULL,   /* cleanup */
};

static const cpuu_feature *const FEATURES[] = {&EXAMPLE, NULL};
static const cpuu_plugin PLUGIN = {
    sizeof(cpuu_plugin), CPUU_ABI_VERSION, "1.0", "Your name here", "MIT", FEATURES};

CPUU_EXPORT const cpuu_plugin *CPUU_CALL cpuu_plugin_query(uint32_t host_abi)
{
    return CPUU_ABI_MAJOR(host_abi) == CPUU_ABI_MAJOR(CPUU_ABI_VERSION) ? &PLUGIN : NULL;
}
