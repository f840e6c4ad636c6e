/*
 * A plugin as somebody else writes it: built out of the tree from what is installed and nothing else.
 *
 * Hidden messages of class IPM.Outside.Share in the Inbox each remember a folder of a colleague: the
 * EntryIDs of his store and of the folder, and what the folder is called. They are made anew at the
 * target, with the colleague's new store and folder; what it is called is read in his mailbox.
 */
#include <cpuu/formats/entryid.h>
#include <cpuu/plugin.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLASS "IPM.Outside.Share"

enum { COL_CLASS, COL_SUBJECT, COL_STORE, COL_FOLDER, COL_CALLED, N_COLS };
static const uint32_t TAGS[N_COLS] = {
    0x001A001Fu,           /* PidTagMessageClass */
    0x0037001Fu,           /* PidTagSubject */
    CPUU_NAMED(0, 0x0102), /* the colleague's store */
    CPUU_NAMED(1, 0x0102), /* his folder */
    CPUU_NAMED(2, 0x001F), /* what it is called */
};
static const uint32_t NAME_TAG[] = {0x3001001Fu}; /* PidTagDisplayName */

/* PS_PUBLIC_STRINGS, [MS-OXPROPS] 1.3.2 */
#define PUBLIC_STRINGS {0x29, 3, 2, 0, 0, 0, 0, 0, 0xC0, 0, 0, 0, 0, 0, 0, 0x46}
static const cpuu_name NAMES[] = {{PUBLIC_STRINGS, 0, "outside-store"},
                                  {PUBLIC_STRINGS, 0, "outside-folder"},
                                  {PUBLIC_STRINGS, 0, "outside-called"}};

static const cpuu_query READS[] = {
    CPUU_QUERY(CPUU_SOURCE, CPUU_HIDDEN, CPUU_ROLE_INBOX, CLASS, TAGS),
    CPUU_QUERY(CPUU_TARGET, CPUU_HIDDEN, CPUU_ROLE_INBOX, CLASS, TAGS),
};

#define MAX_SHARES 32u

typedef struct share {
    cpuu_row row;
    char title[128];
    cpuu_link *store, *folder;
    cpuu_value called; /* at the target */
} share;

typedef struct work {
    const cpuu_host *h;
    cpuu_run *run;
    cpuu_rows *target;
    share shares[MAX_SHARES];
    cpuu_link links[2 * MAX_SHARES];
    uint32_t n;
} work;

static cpuu_blob blob(const cpuu_value *v)
{
    cpuu_blob b = {v->data, v->size};
    return b;
}

static int same(const cpuu_value *a, const cpuu_value *b)
{
    return CPUU_FOUND(a) && CPUU_FOUND(b) && a->size == b->size &&
           memcmp(a->data, b->data, a->size) == 0;
}

static void take_shares(work *w, cpuu_rows *source)
{
    cpuu_row row;
    for (uint32_t i = 0; row.size = sizeof(row), w->h->rows(source, i, &row) == CPUU_OK; i++) {
        share *s = &w->shares[w->n];
        if (w->n == MAX_SHARES || row.rc < 0 || !CPUU_FOUND(&row.values[COL_SUBJECT]) ||
            !CPUU_FOUND(&row.values[COL_STORE]) || !CPUU_FOUND(&row.values[COL_FOLDER]))
            continue;
        s->row = row;
        snprintf(s->title, sizeof(s->title), "%.*s", (int)row.values[COL_SUBJECT].size,
                 (const char *)row.values[COL_SUBJECT].data);
        s->store = &w->links[2 * w->n];
        s->folder = s->store + 1;
        s->store->in = blob(&row.values[COL_STORE]);
        s->folder->in = blob(&row.values[COL_FOLDER]);
        w->n++;
    }
}

/* What the folders are called where they are: in the colleagues' mailboxes of one side, as one set. One
 * that is closed costs its own name and nothing else. */
static cpuu_rc ask_names(work *w, uint32_t side, cpuu_value *names)
{
    cpuu_query q[MAX_SHARES];
    cpuu_rows *rows[MAX_SHARES];
    char line[700];
    uint32_t n = 0, which[MAX_SHARES];
    for (uint32_t i = 0; i < w->n; i++) {
        const share *s = &w->shares[i];
        cpuu_query one = CPUU_QUERY(side, CPUU_FOLDER, CPUU_ROLE_NONE, NULL, NAME_TAG);
        if (side == CPUU_TARGET && s->folder->outcome != CPUU_REWRITTEN)
            continue;
        one.store = side == CPUU_TARGET ? s->store->out : s->store->in;
        one.folder = side == CPUU_TARGET ? s->folder->out : s->folder->in;
        which[n] = i;
        q[n++] = one;
    }
    cpuu_rc rc = w->h->read(w->run, q, n, rows);
    for (uint32_t k = 0; k < n && rc >= 0; k++) {
        cpuu_row row;
        row.size = sizeof(row);
        const cpuu_rc found = w->h->rows(rows[k], 0, &row);
        const int ok = found == CPUU_OK && row.rc >= 0 && CPUU_FOUND(&row.values[0]);
        if (ok)
            names[which[k]] = row.values[0];
        snprintf(line, sizeof(line), "%s at the %s: %.*s (%d)", w->shares[which[k]].title,
                 side == CPUU_TARGET ? "target" : "source", ok ? (int)row.values[0].size : 6,
                 ok ? (const char *)row.values[0].data : "closed", (int)found);
        w->h->log(w->run, CPUU_LOG_INFO, line);
    }
    return rc;
}

static int find(const work *w, const cpuu_value *subject, cpuu_row *out)
{
    for (uint32_t i = 0; out->size = sizeof(*out), w->h->rows(w->target, i, out) == CPUU_OK; i++)
        if (out->rc >= 0 && same(&out->values[COL_SUBJECT], subject))
            return 1;
    return 0;
}

static void decide(work *w, const share *s)
{
    /* A folder alone does not tell whose it is; when its mailbox stayed closed, the store does. */
    const cpuu_link *says = s->store->outcome == CPUU_KEPT ? s->store : s->folder;
    cpuu_decision d;
    memset(&d, 0, sizeof(d));
    d.size = sizeof(d);
    d.outcome = says->outcome;
    d.reason = says->reason;
    d.title = s->title;
    d.before = s->folder->in_text;
    d.after = s->folder->out_text;
    w->h->decide(w->run, &d);
}

static cpuu_rc put(work *w, const share *s)
{
    cpuu_value values[N_COLS];
    cpuu_row old;
    cpuu_change c;
    memcpy(values, s->row.values, sizeof(values));
    values[COL_STORE].data = s->store->out.data;
    values[COL_STORE].size = s->store->out.size;
    values[COL_FOLDER].data = s->folder->out.data;
    values[COL_FOLDER].size = s->folder->out.size;
    values[COL_CALLED] = s->called;
    values[COL_CALLED].tag = TAGS[COL_CALLED];
    memset(&c, 0, sizeof(c));
    c.size = sizeof(c);
    c.what = CPUU_HIDDEN;
    c.role = CPUU_ROLE_INBOX;
    c.verb = CPUU_CREATE;
    c.set = values;
    c.n_set = s->called.size ? N_COLS : COL_CALLED;
    c.title = s->title;
    if (find(w, &values[COL_SUBJECT], &old)) {
        if (same(&old.values[COL_FOLDER], &values[COL_FOLDER]) &&
            same(&old.values[COL_STORE], &values[COL_STORE]))
            return CPUU_OK;
        c.verb = CPUU_UPDATE;
        c.id = old.id;
        c.set = values + COL_STORE;
        c.n_set -= COL_STORE;
    }
    return w->h->change(w->run, &c, 1, NULL);
}

static cpuu_rc run(work *w)
{
    cpuu_value here[MAX_SHARES], there[MAX_SHARES];
    cpuu_eid eid;
    cpuu_rc rc;
    memset(here, 0, sizeof(here));
    memset(there, 0, sizeof(there));
    for (uint32_t i = 0; i < w->n; i++)
        if (!cpuu_eid_decode(w->shares[i].store->in, &eid, NULL)) /* the codecs, as installed */
            return w->h->fail(w->run, CPUU_E_FORMAT, "understand a store", w->shares[i].title);
    rc = ask_names(w, CPUU_SOURCE, here);
    if (rc < 0)
        return w->h->fail(w->run, rc, "look into the mailboxes", "source");
    for (uint32_t i = 0; i < 2 * w->n; i++) {
        w->links[i].size = sizeof(w->links[i]);
        w->links[i].kind = CPUU_LINK_EID;
    }
    rc = w->h->translate(w->run, w->links, 2 * w->n);
    if (rc < 0)
        return w->h->fail(w->run, rc, "translate the shares", "Inbox");
    rc = ask_names(w, CPUU_TARGET, there);
    if (rc < 0)
        return w->h->fail(w->run, rc, "look into the mailboxes", "target");
    for (uint32_t i = 0; i < w->n && rc >= 0; i++) {
        w->shares[i].called = there[i].size ? there[i] : here[i];
        decide(w, &w->shares[i]);
        rc = put(w, &w->shares[i]);
    }
    return rc < 0 ? w->h->fail(w->run, rc, "queue a share", "Inbox") : CPUU_OK;
}

static cpuu_rc CPUU_CALL update(const cpuu_host *h, cpuu_run *r)
{
    cpuu_rows *side[2] = {NULL, NULL};
    work *w = calloc(1, sizeof(*w));
    cpuu_rc rc;
    if (!w)
        return h->fail(r, CPUU_E_NOMEM, "hold the shares", "Inbox");
    w->h = h;
    w->run = r;
    rc = h->read(r, READS, 2, side);
    if (rc < 0) {
        h->fail(r, rc, "read the shares", "both Inboxes");
    } else {
        w->target = side[1];
        take_shares(w, side[0]);
        rc = run(w);
    }
    h->rows_close(side[0]);
    h->rows_close(side[1]);
    free(w);
    return rc;
}

static const cpuu_feature SHARES = {
    sizeof(cpuu_feature),
    CPUU_NEED_SOURCE | CPUU_NEED_TARGET | CPUU_NEED_TARGET_WRITE | CPUU_NEED_OTHERS,
    CPUU_LINK_EID,
    2u,
    3u,
    "Shares",
    "Folders that colleagues share",
    NULL,
    READS,
    NAMES,
    NULL,
    update,
    NULL,
    NULL,
    NULL,
};
static const cpuu_feature *const FEATURES[] = {&SHARES, NULL};
static const cpuu_plugin PLUGIN = {
    sizeof(cpuu_plugin), CPUU_ABI_VERSION, "2.1", "Somebody else", "MIT", FEATURES};

CPUU_EXPORT const cpuu_plugin *CPUU_CALL cpuu_plugin_query(uint32_t host_abi)
{
    return CPUU_ABI_MAJOR(host_abi) == CPUU_ABI_MAJOR(CPUU_ABI_VERSION) ? &PLUGIN : NULL;
}
