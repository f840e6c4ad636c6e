/*
 * Reading sets: the services a feature reads with. What was declared is answered from what all
 * features share, what was not is fetched as a set when asked.
 */
#include "features/reads.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

#define FIRST_PAGE 64u /* rows of a streamed query */

/* ---- profile sections ------------------------------------------------------------------------ */

static cpuu_rc section_row(cpuu_work *w, cpuu_fetch *f, const char *section, cpuu_error *err)
{
    uint8_t uid[16];
    if (!cpuu_unhex(uid, section, sizeof(uid)))
        return cpuu_fail(err, CPUU_E_FORMAT, "profile section '%s' has no UID for a name", section);
    cpuu_value *values = cpuu_arena_alloc(&f->arena, (f->q.n_tags + 1) * sizeof(*values));
    cpuu_mail_row row = {.id = {cpuu_arena_dup(&f->arena, uid, sizeof(uid)), sizeof(uid)},
                         .values = values,
                         .n_values = f->q.n_tags};
    if (!values || !row.id.data)
        return cpuu_nomem(err);
    for (uint32_t i = 0; i < f->q.n_tags; i++) {
        cpuu_error why = CPUU_ERROR_INIT;
        cpuu_rc rc =
            cpuu_profile_get(w->profile, section, f->q.tags[i], &f->arena, &values[i], &why);
        if (rc == CPUU_E_NOMEM)
            return cpuu_nomem(err);
        if (rc < 0)
            values[i] = cpuu_fetch_absent(f->q.tags[i]);
        if (rc < 0 && rc != CPUU_E_NOTFOUND)
            cpuu_logf(w->log, CPUU_LV_WARNING, "%s", why.text);
    }
    if (!cpuu_grow(&f->rows, &f->cap, f->count, sizeof(*f->rows)))
        return cpuu_nomem(err);
    f->rows[f->count++] = row;
    return CPUU_OK;
}

static cpuu_rc fetch_sections(cpuu_work *w, cpuu_fetch *f, cpuu_error *err)
{
    char **names = NULL;
    size_t n = 0;
    cpuu_error why = CPUU_ERROR_INIT;
    if (!w->profile) {
        cpuu_fetch_failed(f, CPUU_E_NOTFOUND, "there is no profile");
        return CPUU_OK;
    }
    cpuu_rc rc = cpuu_profile_sections(w->profile, w->account, f->q.role, f->q.filter, &f->arena,
                                       &names, &n, &why);
    for (size_t i = 0; i < n && rc == CPUU_OK; i++)
        rc = section_row(w, f, names[i], &why);
    f->done = true;
    if (rc == CPUU_E_NOMEM)
        return cpuu_nomem(err);
    if (rc < 0)
        cpuu_fetch_failed(f, rc, why.text);
    return CPUU_OK;
}

/* ---- the services ---------------------------------------------------------------------------- */

static cpuu_rows *rows_new(cpuu_run *run, cpuu_fetch *fetch, bool own)
{
    cpuu_rows *r = cpuu_calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->run = run;
    r->fetch = fetch;
    r->own = own;
    r->next = run->rows;
    r->link = &run->rows;
    if (run->rows)
        run->rows->link = &r->next;
    run->rows = r;
    return r;
}

/* Rows for one query: shared when it was declared and is still true, else of its own. */
static cpuu_rc open_rows(cpuu_run *run, const cpuu_query *q, cpuu_rows **out, cpuu_error *err)
{
    cpuu_fetch *f = q->side != CPUU_PROFILE ? cpuu_declared_find(run->s, run->f, q) : NULL;
    if (f && f->stale)
        cpuu_declared_forget(f);
    const bool own = !f;
    if (own) {
        cpuu_query plain = *q;
        if (q->flags & CPUU_STREAM)
            plain.n_tags = 0; /* first the ids; values follow page by page */
        f = cpuu_fetch_new(run->f, &plain);
    }
    cpuu_rows *r = f ? rows_new(run, f, own) : NULL;
    if (!r) {
        if (own)
            cpuu_fetch_free(f);
        return cpuu_nomem(err);
    }
    *out = r;
    if (q->flags & CPUU_STREAM) {
        r->page_size = FIRST_PAGE;
        r->page = cpuu_fetch_new(run->f, q);
        if (!r->page)
            return cpuu_nomem(err);
        return own ? cpuu_pages_ids(run->s, f, q, err) : CPUU_OK;
    }
    return q->side == CPUU_PROFILE ? fetch_sections(run->w, f, err) : CPUU_OK;
}

static cpuu_rc undeclared(cpuu_run *run, const char *problem)
{
    cpuu_error err = CPUU_ERROR_INIT;
    run->bug = problem;
    cpuu_fail(&err, CPUU_E_UNDECLARED, "%s", problem);
    return cpuu_run_problem(run, &err);
}

static cpuu_rc run_queries(cpuu_run *run, cpuu_rows **out, uint32_t n, cpuu_error *err)
{
    cpuu_fetch **list = cpuu_calloc(n, sizeof(*list));
    if (!list)
        return cpuu_nomem(err);
    size_t missing = 0;
    for (uint32_t i = 0; i < n; i++) {
        bool twice = false;
        for (size_t k = 0; k < missing; k++)
            twice = twice || list[k] == out[i]->fetch;
        if (!out[i]->fetch->done && !twice)
            list[missing++] = out[i]->fetch;
    }
    cpuu_rc rc = missing ? cpuu_fetch_all(run->s, list, missing, err) : CPUU_OK;
    cpuu_free(list);
    return rc;
}


/* Whether an answer to the query would depend on what this waiting change does. New items are not
 * shown before they are there to a feature that does not name their maker in `after`: that one
 * never runs while its maker waits. */
static bool depends(const cpuu_query *q, const cpuu_fetch *shared, const cpuu_queued *waiting)
{
    const uint32_t what = waiting->c.what;
    if (q->side == CPUU_PROFILE || what == CPUU_SECTIONS)
        return q->side == CPUU_PROFILE && what == CPUU_SECTIONS;
    if (!shared)
        return q->what == what || (what == CPUU_FOLDERS && q->what == CPUU_FOLDER);
    const bool item = what == CPUU_ITEMS || what == CPUU_HIDDEN;
    return !cpuu_seen_foreseen(waiting) && !item && cpuu_seen_touches(shared, waiting);
}

static bool must_write_first(cpuu_run *run, const cpuu_query *q)
{
    cpuu_reading *s = run->s;
    if (s->n_pending == 0)
        return false;
    if (q->side != CPUU_PROFILE && s->selected && !s->fetched) /* the server will be asked */
        return true;
    if (q->side == CPUU_SOURCE)
        return false;
    const bool own = q->side == CPUU_PROFILE || (q->flags & CPUU_STREAM);
    const cpuu_fetch *shared = own ? NULL : cpuu_declared_find(s, run->f, q);
    if (shared && (shared->stale || !shared->done)) /* the server will be asked */
        return true;
    for (size_t i = 0; i < s->n_pending; i++) {
        const cpuu_run *r = s->pending[i];
        for (size_t k = r->n_applied; k < r->n_queue; k++) {
            if (r->queue[k].merged == k && depends(q, shared, &r->queue[k]))
                return true;
        }
    }
    return false;
}

cpuu_rc CPUU_CALL cpuu_service_read(cpuu_run *run, const cpuu_query *queries, uint32_t n,
                                    cpuu_rows **out)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_rc rc = cpuu_run_beat(run);
    for (uint32_t i = 0; i < n; i++)
        out[i] = NULL;
    if (rc < 0 || n == 0)
        return rc;
    if (queries[0].size < CPUU_QUERY_MIN)
        return undeclared(run, "a query has the wrong size");
    for (uint32_t i = 0; i < n; i++) {
        cpuu_query q = cpuu_validate_query_at(queries, i);
        cpuu_feature allowed = *run->f;
        allowed.needs = run->needs;
        const char *problem = cpuu_validate_query(&allowed, &q);
        if (problem)
            return undeclared(run, problem);
    }
    for (uint32_t i = 0; i < n && rc == CPUU_OK; i++) {
        cpuu_query q = cpuu_validate_query_at(queries, i);
        if (must_write_first(run, &q))
            rc = cpuu_batch_before(run);
    }
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < n && rc == CPUU_OK; i++) {
        cpuu_query q = cpuu_validate_query_at(queries, i);
        if (q.side != CPUU_PROFILE && run->s->selected && !run->s->fetched)
            rc = cpuu_declared_fetch(run->s, &err);
        if (rc == CPUU_OK)
            rc = open_rows(run, &q, &out[i], &err);
    }
    if (rc == CPUU_OK)
        rc = run_queries(run, out, n, &err);
    if (rc == CPUU_OK)
        rc = cpuu_pages_first(out, n, &err);
    if (rc == CPUU_OK)
        return cpuu_run_beat(run);
    for (uint32_t i = 0; i < n; i++) {
        cpuu_service_rows_close(out[i]);
        out[i] = NULL;
    }
    return cpuu_run_problem(run, &err);
}

/* Values with the tags the feature asked with. */
static const cpuu_value *feature_values(cpuu_rows *r, const cpuu_fetch *f, const cpuu_mail_row *row)
{
    bool named = false;
    for (uint32_t i = 0; i < f->q.n_tags; i++)
        named = named || f->q.tags[i] >= 0x80000000u;
    if (!named)
        return row->values;
    cpuu_value *values = cpuu_arena_dup(&r->arena, row->values, f->q.n_tags * sizeof(*values));
    for (uint32_t i = 0; values && i < f->q.n_tags; i++)
        values[i].tag = (f->q.tags[i] & 0xffff0000u) | (values[i].tag & 0xffffu);
    return values;
}

cpuu_rc CPUU_CALL cpuu_service_rows(cpuu_rows *r, uint32_t index, cpuu_row *out)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_fetch *f;
    size_t at;
    if (r->fetch->rc < 0) {
        cpuu_fail(&err, r->fetch->rc, "%s", r->fetch->problem);
        return cpuu_run_problem(r->run, &err);
    }
    cpuu_rc rc = cpuu_pages_row(r, index, &f, &at, &err);
    if (rc < 0)
        return cpuu_run_problem(r->run, &err);
    if (rc == CPUU_END)
        return rc;
    cpuu_row row = {.size = out->size, .rc = f->rows[at].rc, .id = f->rows[at].id};
    row.values = feature_values(r, f, &f->rows[at]);
    if (f->q.n_tags && !row.values)
        return CPUU_E_NOMEM;
    memcpy(out, &row, out->size < sizeof(row) ? out->size : sizeof(row));
    return CPUU_OK;
}

void CPUU_CALL cpuu_service_rows_close(cpuu_rows *r)
{
    if (!r)
        return;
    *r->link = r->next;
    if (r->next)
        r->next->link = r->link;
    if (r->own)
        cpuu_fetch_free(r->fetch);
    cpuu_fetch_free(r->page);
    cpuu_arena_free(&r->arena);
    cpuu_free(r);
}

void cpuu_reading_free(cpuu_reading *s)
{
    cpuu_free(s->pending);
    cpuu_free(s->again);
    while (s->declared) {
        cpuu_fetch *f = s->declared;
        s->declared = f->next;
        cpuu_fetch_free(f);
    }
    while (s->overlays) {
        cpuu_overlay *o = s->overlays;
        s->overlays = o->next;
        cpuu_free(o->key);
        cpuu_free(o->data);
        cpuu_free(o);
    }
    cpuu_arena_free(&s->arena);
}
