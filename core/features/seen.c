/*
 * What a feature saw of the objects it changes, which is compared with what is there when they are
 * written; and shared answers brought up to date with what was written.
 */
#include "features/reads.h"

#include "base/text.h"

#include <string.h>

#define KEEP_BYTES (1u << 20) /* answers below this stay until the profile is done */

/* Ids of rules and members are those of one folder: another one may have the same. */
static bool is_of_folder(const cpuu_fetch *f, const cpuu_queued *q)
{
    cpuu_blob folder = f->q.folder;
    if (q->c.what != CPUU_RULES && q->c.what != CPUU_PERMISSIONS)
        return true;
    if (f->q.role != CPUU_ROLE_NONE && !cpuu_mailbox_role(f->box, f->q.role, &folder))
        return false;
    return cpuu_blob_same(folder, q->folder);
}

static const cpuu_mail_row *row_of(const cpuu_fetch *f, const cpuu_queued *q)
{
    if (!f || !f->is_target || f->rc < 0 || f->q.what != q->c.what || !is_of_folder(f, q))
        return NULL;
    for (size_t i = 0; i < f->count; i++) {
        if (f->rows[i].rc >= 0 && cpuu_blob_same(f->rows[i].id, q->c.id))
            return &f->rows[i];
    }
    return NULL;
}

/* Adds the columns of one answer that no earlier one had. */
static cpuu_rc remember_row(cpuu_run *run, cpuu_queued *q, const cpuu_fetch *f, cpuu_error *err)
{
    const cpuu_mail_row *row = row_of(f, q);
    if (!row || f->q.n_tags == 0)
        return CPUU_OK;
    cpuu_prop *seen =
        cpuu_arena_alloc(&run->values, ((size_t)q->n_seen + f->q.n_tags) * sizeof(*seen));
    if (!seen)
        return cpuu_nomem(err);
    if (q->n_seen)
        memcpy(seen, q->seen, q->n_seen * sizeof(*seen));
    uint32_t n = q->n_seen;
    for (uint32_t i = 0; i < f->q.n_tags; i++) {
        bool known = f->columns[i] == 0;
        for (uint32_t k = 0; k < q->n_seen && !known; k++)
            known = seen[k].tag == f->columns[i];
        if (known)
            continue;
        seen[n] = cpuu_prop_of(f->columns[i], &row->values[i]);
        seen[n].tag = f->columns[i];
        seen[n].data.data = cpuu_arena_dup(&run->values, seen[n].data.data, seen[n].data.size);
        if (!seen[n++].data.data)
            return cpuu_nomem(err);
    }
    q->seen = seen;
    q->n_seen = n;
    return CPUU_OK;
}

/* Rows still open come first; a declared read that the feature has closed counts as seen, too. */
cpuu_rc cpuu_run_remember(cpuu_run *run, cpuu_queued *q, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    for (cpuu_rows *r = run->rows; r && rc == CPUU_OK; r = r->next)
        rc = remember_row(run, q, r->page ? r->page : r->fetch, err);
    for (cpuu_fetch *f = run->s->declared; f && rc == CPUU_OK; f = f->next)
        rc = remember_row(run, q, f, err);
    return rc;
}

/* Large answers that nobody else has declared: what the feature saw of the objects it changes has
 * been remembered. */
void cpuu_reading_release(cpuu_reading *s, const cpuu_run *run)
{
    for (cpuu_fetch **at = &s->declared; *at;) {
        cpuu_fetch *f = *at;
        bool keep = f->feature != run->f || f->shared || f->arena.used < KEEP_BYTES;
        for (const cpuu_rows *r = run->rows; r && !keep; r = r->next)
            keep = r->fetch == f;
        if (keep) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        cpuu_fetch_free(f);
    }
}

static const cpuu_value *find_value(const cpuu_queued *q, uint32_t tag)
{
    for (uint32_t i = 0; i < q->c.n_set; i++) {
        if (q->set[i].tag == tag)
            return &q->set[i];
    }
    return NULL;
}

static bool is_unset(const cpuu_queued *q, uint32_t tag)
{
    for (uint32_t i = 0; i < q->c.n_unset; i++) {
        if (q->unset[i] >> 16 == tag >> 16)
            return true;
    }
    return false;
}

/* False when the row cannot be told without asking the server. */
static bool patch_row(cpuu_fetch *f, cpuu_mail_row *row, const cpuu_queued *q)
{
    cpuu_value *values = cpuu_arena_dup(&f->arena, row->values, f->q.n_tags * sizeof(*values));
    for (uint32_t i = 0; values && i < f->q.n_tags; i++) {
        const cpuu_value *v = find_value(q, f->columns[i]);
        if (v) {
            values[i] = *v;
            values[i].data = cpuu_arena_dup(&f->arena, v->data, v->size);
            if (!values[i].data)
                return false;
        } else if (f->columns[i] && is_unset(q, f->columns[i])) {
            values[i] = cpuu_fetch_absent(f->columns[i]);
        }
    }
    row->values = values;
    return values != NULL;
}

/* A created item is told by what was set; what the server adds by itself stays absent. */
static bool patch_new(cpuu_fetch *f, const cpuu_queued *q)
{
    const cpuu_value *class = find_value(q, 0x001A001Fu); /* PidTagMessageClass */
    if ((q->c.what != CPUU_ITEMS && q->c.what != CPUU_HIDDEN) || !q->result.size)
        return false;
    if (f->q.filter && !class)
        return false;
    const size_t n = f->q.filter ? strlen(f->q.filter) : 0;
    if (n && (class->size < n || cpuu_ncasecmp((const char *)class->data, f->q.filter, n) != 0))
        return true; /* not what that query asks for */
    cpuu_mail_row row = {.id = q->result, .n_values = f->q.n_tags};
    cpuu_value *values = cpuu_arena_alloc(&f->arena, (f->q.n_tags + 1) * sizeof(*values));
    row.id.data = cpuu_arena_dup(&f->arena, q->result.data, q->result.size);
    row.values = values;
    if (!values || !row.id.data || !cpuu_grow(&f->rows, &f->cap, f->count, sizeof(*f->rows)))
        return false;
    for (uint32_t i = 0; i < f->q.n_tags; i++)
        values[i] = cpuu_fetch_absent(f->q.tags[i]);
    f->rows[f->count] = row;
    if (!patch_row(f, &f->rows[f->count], q))
        return false;
    f->count++;
    return true;
}

static bool patch_fetch(cpuu_fetch *f, const cpuu_queued *q)
{
    if (q->c.what == CPUU_RULES || q->c.what == CPUU_PERMISSIONS)
        return false; /* the server rewrites what it is given */
    if (q->c.what == CPUU_FOLDERS)
        return false;
    if (q->c.verb == CPUU_CREATE)
        return patch_new(f, q);
    for (size_t i = 0; i < f->count; i++) {
        if (!cpuu_blob_same(f->rows[i].id, q->c.id) && q->c.what != CPUU_STORE)
            continue;
        if (q->c.verb == CPUU_UPDATE)
            return patch_row(f, &f->rows[i], q);
        memmove(&f->rows[i], &f->rows[i + 1], (f->count - i - 1) * sizeof(*f->rows));
        f->count--;
        return true;
    }
    return true; /* not in this answer */
}

bool cpuu_seen_touches(const cpuu_fetch *f, const cpuu_queued *q)
{
    cpuu_blob folder = f->q.folder;
    if (!f->is_target || !f->done || f->rc < 0)
        return false;
    if (q->c.what == CPUU_FOLDERS) /* their order and depth are the server's business */
        return f->q.what == CPUU_FOLDERS || f->q.what == CPUU_FOLDER;
    if (f->q.what != q->c.what)
        return false;
    if (f->q.role != CPUU_ROLE_NONE && !cpuu_mailbox_role(f->box, f->q.role, &folder))
        return true;
    return q->folder.size == 0 || cpuu_blob_same(folder, q->folder);
}

/* A write may have created names at the target that no row could have before. */
static void learn_names(cpuu_reading *s, cpuu_fetch *f)
{
    const cpuu_names *n = cpuu_names_find(s, f->feature, f->box);
    for (uint32_t i = 0; n && i < f->q.n_tags; i++) {
        if (!f->columns[i])
            f->columns[i] = cpuu_wire_tag(n->ids, f->q.tags[i]);
    }
}

void cpuu_reading_patch(cpuu_reading *s, const cpuu_run *run)
{
    for (cpuu_fetch *f = s->declared; f; f = f->next) {
        if (f->is_target && f->done && f->rc >= 0)
            learn_names(s, f);
    }
    for (size_t i = 0; i < run->n_queue; i++) {
        const cpuu_queued *q = &run->queue[i];
        if (q->merged != i || !q->applied || q->rc < 0 || q->c.what == CPUU_SECTIONS)
            continue;
        for (cpuu_fetch *f = s->declared; f; f = f->next) {
            if (cpuu_seen_touches(f, q) && !f->stale)
                f->stale = q->forgotten || !patch_fetch(f, q);
        }
    }
}

/* What a waiting change will do to an item is known already, but for the id of a new one. */
bool cpuu_seen_foreseen(const cpuu_queued *q)
{
    return q->c.verb != CPUU_CREATE && (q->c.what == CPUU_ITEMS || q->c.what == CPUU_HIDDEN ||
                                        q->c.what == CPUU_STORE);
}

void cpuu_reading_expect(cpuu_reading *s, const cpuu_run *run)
{
    for (size_t i = run->n_applied; i < run->n_queue; i++) {
        const cpuu_queued *q = &run->queue[i];
        if (q->merged != i || !cpuu_seen_foreseen(q))
            continue;
        for (cpuu_fetch *f = s->declared; f; f = f->next) {
            if (cpuu_seen_touches(f, q) && !f->stale)
                f->stale = !patch_fetch(f, q);
        }
    }
}
