/*
 * A file goes back to what it was when its contents are those of one of its records; what somebody
 * else has written stays. One record is in memory at a time.
 */
#include "features/replay.h"

#include "base/file.h"

#include <string.h>

typedef struct chain { /* all open records of a file */
    cpuu_buf now;
    bool there, known;
    int64_t *seqs; /* newest first */
    size_t n, cap;
    const char *path, *title;
    cpuu_error *err;
} chain;

static bool file_is(const chain *c, bool has, cpuu_blob data)
{
    return c->there == has &&
           (!has || cpuu_blob_same((cpuu_blob){c->now.data, (uint32_t)c->now.size}, data));
}

static cpuu_rc compare(void *user, const cpuu_record *r)
{
    chain *c = user;
    if (!cpuu_grow(&c->seqs, &c->cap, c->n, sizeof(*c->seqs)))
        return cpuu_nomem(c->err);
    c->seqs[c->n++] = r->seq;
    c->known =
        c->known || file_is(c, r->has_before, r->before) || file_is(c, r->has_after, r->after);
    return CPUU_OK;
}

/* With the oldest record. */
static cpuu_rc put_back(void *user, const cpuu_record *r)
{
    const chain *c = user;
    if (file_is(c, r->has_before, r->before))
        return CPUU_OK;
    return r->has_before ? cpuu_file_write(c->path, r->before.data, r->before.size, 0600, c->err)
                         : cpuu_file_delete(c->path, c->err);
}

static cpuu_rc read_chain(cpuu_replay *r, chain *c, cpuu_journal_filter *f)
{
    int64_t seq = 0;
    cpuu_rc rc = cpuu_file_read(c->path, &c->now, NULL, c->err);
    c->there = rc == CPUU_OK;
    if (rc == CPUU_E_NOTFOUND)
        rc = CPUU_OK;
    do {
        f->below = seq;
        if (rc == CPUU_OK)
            rc = cpuu_journal_find(r->w->journal, f, compare, c, &seq, c->err);
    } while (rc == CPUU_OK && seq);
    return rc;
}

static cpuu_rc restore(cpuu_replay *r, chain *c, cpuu_journal_filter *f)
{
    int64_t seq = 0;
    cpuu_rc rc = read_chain(r, c, f);
    if (rc == CPUU_OK && c->known) {
        f->below = c->seqs[c->n - 1] + 1;
        rc = cpuu_journal_find(r->w->journal, f, put_back, c, &seq, c->err);
    } else if (rc == CPUU_OK) {
        const char *what = "the file was changed since the update";
        cpuu_report_conflict(r->w->report, c->title, what);
        cpuu_logf(r->w->log, CPUU_LV_WARNING, "'%s' stays as it is: %s", c->title, what);
    }
    for (size_t i = 0; i < c->n && rc == CPUU_OK && c->known; i++)
        cpuu_replay_settle(r, c->seqs[i]);
    return rc;
}

cpuu_rc cpuu_unwrite(cpuu_replay *r, const cpuu_record *head, cpuu_error *err)
{
    cpuu_error why = CPUU_ERROR_INIT;
    cpuu_journal_filter f = {.span = r->span, .open = true, .path = head->path};
    int64_t newest = 0;
    cpuu_rc rc = cpuu_journal_find(r->w->journal, &f, NULL, NULL, &newest, err);
    if (rc < 0 || newest != head->seq)
        return rc;
    chain c = {.path = head->path, .title = head->title ? head->title : "", .err = &why};
    cpuu_buf_init(&c.now, CPUU_PROPLIST_MAX);
    rc = restore(r, &c, &f);
    if (rc < 0) {
        cpuu_replay_refused(r, c.title, &why);
        rc = cpuu_fail(err, rc, "%s", r->refused.text);
    }
    cpuu_buf_free(&c.now);
    cpuu_free(c.seqs);
    return rc;
}
