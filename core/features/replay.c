/*
 * Taking work back: undo, rollback of a feature, recovery after a crash. Records are taken newest
 * first, in portions; each portion holds whole objects (chain.c), so that every object goes in one
 * step from what is there to what was there before. What is done is marked in the journal, portion
 * by portion; a replay that is killed goes on with the next one. Folders that were created go last,
 * when they are empty, then files.
 */
#include "features/replay.h"

#include <string.h>

static bool is_closed(const cpuu_record *r)
{
    return r->status == CPUU_RECORD_UNDONE || r->status == CPUU_RECORD_FAILED;
}

/* ---- before anything is changed -------------------------------------------------------------- */

typedef struct look {
    bool mailbox;
    cpuu_error *err;
} look;

/* A damaged record is found before anything is taken back. */
static cpuu_rc check(void *user, const cpuu_record *r)
{
    look *l = user;
    if (is_closed(r) || r->kind == CPUU_RECORD_FILE)
        return CPUU_OK;
    l->mailbox = true;
    return cpuu_chain_check(r, l->err);
}

static cpuu_rc look_for_mailbox(void *user, const cpuu_record *r)
{
    bool *found = user;
    *found = *found || (!is_closed(r) && r->kind != CPUU_RECORD_FILE);
    return CPUU_OK;
}

cpuu_rc cpuu_features_has_mailbox_records(cpuu_journal *j, bool *out, cpuu_error *err)
{
    bool found = false;
    cpuu_rc rc = cpuu_journal_each(j, 0, true, look_for_mailbox, &found, err);
    if (rc == CPUU_OK)
        *out = found;
    return rc;
}

/* ---- portions -------------------------------------------------------------------------------- */

typedef struct pass {
    cpuu_portion portion;
    bool folders; /* those that were created, in the order of their creation; else all else */
    cpuu_error *err;
} pass;

static cpuu_rc add_object(void *user, const cpuu_record *r)
{
    pass *a = user;
    cpuu_portion *p = &a->portion;
    cpuu_object *o = NULL;
    if (r->kind == CPUU_RECORD_FILE)
        return CPUU_OK;
    cpuu_rc rc = cpuu_chain_load(p, r, a->folders, &o, a->err);
    if (rc < 0 || !o || (o->what == CPUU_FOLDERS && cpuu_chain_created(o)) != a->folders)
        return rc;
    *p->tail = o;
    p->tail = &o->next;
    p->n_objects++;
    return CPUU_OK;
}

static void flush_marks(cpuu_replay *r)
{
    cpuu_error err = CPUU_ERROR_INIT;
    if (r->unmarked || cpuu_journal_flush(r->w->journal, &err) == CPUU_OK)
        return;
    r->unmarked = true;
    cpuu_logf(r->w->log, CPUU_LV_WARNING, "%s", err.text);
}

/* One portion of what is below `f`, which is then where the next one begins. */
static cpuu_rc replay_portion(cpuu_replay *r, cpuu_journal_filter *f, bool folders, cpuu_error *err)
{
    pass a = {.folders = folders, .err = err};
    cpuu_portion *p = &a.portion;
    cpuu_rc rc = CPUU_OK;
    cpuu_portion_begin(p, r);
    while (rc == CPUU_OK && f->below && p->n_objects < CPUU_PORTION_OBJECTS &&
           p->arena.used < CPUU_PORTION_BYTES) {
        int64_t seq = 0;
        rc = cpuu_journal_find(r->w->journal, f, add_object, &a, &seq, err);
        f->below = seq;
    }
    if (rc == CPUU_OK && p->n_objects)
        rc = cpuu_portion_restore(p, err);
    flush_marks(r);
    cpuu_portion_free(p);
    return rc;
}

static cpuu_rc replay_mailbox(cpuu_replay *r, bool folders, cpuu_error *err)
{
    cpuu_journal_filter f = {.span = r->span, .open = true, .below = INT64_MAX};
    cpuu_rc rc = CPUU_OK;
    if (folders) {
        f.kind = CPUU_RECORD_CREATE;
        f.what = CPUU_FOLDERS;
    }
    while (rc == CPUU_OK && f.below)
        rc = replay_portion(r, &f, folders, err);
    return rc;
}

/* ---- the whole ------------------------------------------------------------------------------- */

typedef struct files {
    cpuu_replay *r;
    cpuu_error *err;
} files;

static cpuu_rc restore_file(void *user, const cpuu_record *r)
{
    const files *f = user;
    return cpuu_unwrite(f->r, r, f->err);
}

static cpuu_rc replay_files(cpuu_replay *r, cpuu_error *err)
{
    cpuu_journal_filter f = {
        .span = r->span, .open = true, .kind = CPUU_RECORD_FILE, .below = INT64_MAX};
    files user = {r, err};
    cpuu_rc rc = CPUU_OK;
    while (rc == CPUU_OK && f.below) {
        int64_t seq = 0;
        rc = cpuu_journal_find(r->w->journal, &f, restore_file, &user, &seq, err);
        f.below = seq;
    }
    return rc;
}

static cpuu_rc replay_all(cpuu_replay *r, bool skip_mailbox, cpuu_error *err)
{
    cpuu_work *w = r->w;
    look l = {.err = err};
    cpuu_rc rc = cpuu_journal_each(w->journal, r->span, true, check, &l, err);
    const bool mailbox = l.mailbox && !skip_mailbox;
    if (rc == CPUU_OK && mailbox && (!w->mail || !w->target))
        rc = cpuu_fail(
            err, CPUU_E_NETWORK,
            "the target mailbox cannot be reached, so that nothing was taken back; try again "
            "later, or use --profile-only to restore only the profile");
    if (rc == CPUU_OK && mailbox)
        rc = replay_mailbox(r, false, err);
    if (rc == CPUU_OK && mailbox)
        rc = replay_mailbox(r, true, err);
    if (rc == CPUU_OK && r->refused.rc < 0)
        rc = cpuu_fail(err, r->refused.rc, "%s", r->refused.text);
    return rc == CPUU_OK ? replay_files(r, err) : rc;
}

cpuu_rc cpuu_features_rollback(cpuu_work *w, int64_t span, bool skip_mailbox, cpuu_error *err)
{
    cpuu_error why = CPUU_ERROR_INIT;
    cpuu_replay r = {.w = w, .span = span};
    cpuu_rc rc = replay_all(&r, skip_mailbox, &why);
    cpuu_places_free(&r);
    if (rc < 0)
        return cpuu_fail(err, rc, "%s", why.text[0] ? why.text : "taking the changes back failed");
    return CPUU_OK;
}
