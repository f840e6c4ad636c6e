/*
 * Streamed queries: all ids, and the rows around the current one. The ids were listed in the order of
 * the table, so that its rows are taken from there.
 */
#include "features/reads.h"

#include <string.h>

/* Rows of a streamed query held at a time: few at first, more while they are small. */
#define LARGEST_PAGE 1024u
#define PAGE_GROWS   (1u << 20) /* bytes: below this the next page is four times as long, ... */
#define PAGE_SHRINKS (4u << 20) /* ... above this half as long */
#define PAGE_PARTS   4u         /* read side by side */
#define LEAST_PART   128u       /* rows */

/* ---- ids ------------------------------------------------------------------------------------- */

/* Whether a shared answer has a row for each that the query asks for, and no other. */
static bool lists(const cpuu_fetch *f, const cpuu_query *q)
{
    cpuu_blob folder = f->q.folder;
    if (!f->done || f->rc < 0 || f->stale || f->q.side != q->side || f->q.what != q->what ||
        !cpuu_same_text(f->q.filter, q->filter) || f->q.flags || f->q.store.size || q->store.size)
        return false;
    if (f->q.role != CPUU_ROLE_NONE && q->role == CPUU_ROLE_NONE &&
        !cpuu_mailbox_role(f->box, f->q.role, &folder))
        return false;
    return q->role != CPUU_ROLE_NONE ? f->q.role == q->role
                                     : folder.size && cpuu_blob_same(folder, q->folder);
}

/* The ids of a streamed query, from a declared read of the same folder when there is one. */
cpuu_rc cpuu_pages_ids(cpuu_reading *s, cpuu_fetch *f, const cpuu_query *q, cpuu_error *err)
{
    const cpuu_fetch *from = s->declared;
    while (from && !lists(from, q))
        from = from->next;
    for (size_t i = 0; from && i < from->count; i++) {
        cpuu_mail_row row = {.id = from->rows[i].id};
        row.id.data = cpuu_arena_dup(&f->arena, row.id.data, row.id.size);
        if (!row.id.data || !cpuu_grow(&f->rows, &f->cap, f->count, sizeof(*f->rows)))
            return cpuu_nomem(err);
        f->rows[f->count++] = row;
    }
    if (from) {
        f->box = from->box;
        f->is_target = from->is_target;
        f->done = true;
    }
    return CPUU_OK;
}

/* ---- pages ----------------------------------------------------------------------------------- */

/* An empty page in place of the last one; rows handed out from that are no longer valid. */
static cpuu_rc new_page(cpuu_rows *r, size_t start, cpuu_error *err)
{
    cpuu_fetch *old = r->page;
    if (old->count && old->arena.used < PAGE_GROWS)
        r->page_size = r->page_size < LARGEST_PAGE / 4 ? r->page_size * 4 : LARGEST_PAGE;
    else if (old->arena.used > PAGE_SHRINKS && r->page_size > 1)
        r->page_size /= 2;
    cpuu_fetch *fresh = cpuu_fetch_new(old->feature, &old->q);
    if (!fresh)
        return cpuu_nomem(err);
    cpuu_fetch_free(old);
    cpuu_arena_free(&r->arena);
    r->page = fresh;
    r->page_start = start;
    fresh->box = r->fetch->box;
    fresh->is_target = r->fetch->is_target;
    return CPUU_OK;
}

/* The ids were listed in the order of the table, so its rows are taken from there. */
static size_t page_ops(const cpuu_rows *r, cpuu_blob *ids, cpuu_mail_op *ops)
{
    const size_t left = r->fetch->count - r->page_start;
    const uint32_t n = left < r->page_size ? (uint32_t)left : r->page_size;
    const uint32_t part = n / PAGE_PARTS < LEAST_PART ? n : (n + PAGE_PARTS - 1) / PAGE_PARTS;
    size_t n_ops = 0;
    for (uint32_t i = 0; i < n; i++)
        ids[i] = r->fetch->rows[r->page_start + i].id;
    for (uint32_t i = 0; i < n; i += part) {
        cpuu_mail_op *op = &ops[n_ops++];
        *op = cpuu_fetch_op(r->page);
        op->on_row = NULL;
        op->ids = ids + i;
        op->n_ids = n - i < part ? n - i : part;
        op->in_table = true;
        op->first_row = (uint32_t)r->page_start + i;
    }
    return n_ops;
}

static cpuu_rc take_page(cpuu_fetch *f, cpuu_mail_op *ops, size_t n, cpuu_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (ops[i].rc < 0)
            return cpuu_fail(err, ops[i].rc, "%s", ops[i].error.text);
        for (size_t k = 0; k < ops[i].rows.count; k++) {
            cpuu_rc rc = cpuu_fetch_add_row(f, &ops[i].rows.items[k]);
            if (rc < 0)
                return cpuu_fail(err, rc, "a page of rows is too large");
        }
        cpuu_mail_op_clear(&ops[i]);
    }
    return CPUU_OK;
}

static cpuu_rc prepare_page(cpuu_rows *r, size_t start, cpuu_error *err)
{
    cpuu_rc rc = new_page(r, start, err);
    if (rc == CPUU_OK)
        rc = cpuu_fetch_columns(r->run->s, r->page, err);
    if (rc == CPUU_OK && r->page->done)
        rc = cpuu_fail(err, r->page->rc, "%s", r->page->problem);
    return rc;
}

/* Reads the pages that were prepared in one set; the error is that of the first one that cannot be
 * read, and does not keep the others from being read. */
static cpuu_rc load_pages(cpuu_rows *const *list, size_t n, cpuu_error *err)
{
    cpuu_mail_op *ops = cpuu_calloc(n * PAGE_PARTS, sizeof(*ops));
    cpuu_blob *ids = cpuu_calloc(n * LARGEST_PAGE, sizeof(*ids));
    size_t *ends = cpuu_calloc(n, sizeof(*ends)), n_ops = 0;
    cpuu_rc rc = ops && ids && ends ? CPUU_OK : cpuu_nomem(err);
    for (size_t i = 0; i < n && rc == CPUU_OK; i++) {
        n_ops += page_ops(list[i], ids + i * LARGEST_PAGE, ops + n_ops);
        ends[i] = n_ops;
    }
    if (rc == CPUU_OK)
        rc = cpuu_mail_run(list[0]->run->w->mail, ops, n_ops, err);
    const bool read = rc == CPUU_OK;
    for (size_t i = 0; i < n && read; i++) {
        const size_t begin = i ? ends[i - 1] : 0;
        cpuu_error why = CPUU_ERROR_INIT;
        if (take_page(list[i]->page, ops + begin, ends[i] - begin, &why) < 0 && rc == CPUU_OK) {
            rc = why.rc;
            if (err)
                *err = why;
        }
    }
    for (size_t i = 0; i < n_ops; i++)
        cpuu_mail_op_clear(&ops[i]);
    cpuu_free(ops);
    cpuu_free(ids);
    cpuu_free(ends);
    return rc;
}

/* The first pages of all streams of a set. What cannot be read stays empty: whoever asks for its rows
 * tries again, and learns why. */
cpuu_rc cpuu_pages_first(cpuu_rows *const *rows, uint32_t n, cpuu_error *err)
{
    cpuu_rows **list = cpuu_calloc(n, sizeof(*list));
    cpuu_error why = CPUU_ERROR_INIT;
    size_t count = 0;
    cpuu_rc rc = list ? CPUU_OK : cpuu_nomem(err);
    for (uint32_t i = 0; i < n && rc == CPUU_OK; i++) {
        if (!rows[i]->page || rows[i]->fetch->rc < 0 || rows[i]->fetch->count == 0)
            continue;
        if (prepare_page(rows[i], 0, &why) == CPUU_OK)
            list[count++] = rows[i];
    }
    if (rc == CPUU_OK && count)
        rc = load_pages(list, count, &why);
    cpuu_free(list);
    if (rc != CPUU_E_NOMEM && rc != CPUU_E_STOP)
        return CPUU_OK;
    return cpuu_fail(err, rc, "%s", why.text);
}

cpuu_rc cpuu_pages_row(cpuu_rows *r, uint32_t index, cpuu_fetch **f, size_t *at, cpuu_error *err)
{
    *f = r->fetch;
    *at = index;
    if (index >= r->fetch->count)
        return CPUU_END;
    if (!r->page)
        return CPUU_OK;
    cpuu_rc rc = CPUU_OK;
    if (index < r->page_start || index >= r->page_start + r->page->count) {
        rc = prepare_page(r, index, err);
        if (rc == CPUU_OK)
            rc = load_pages(&r, 1, err);
    }
    *f = r->page;
    *at = index - r->page_start;
    if (rc == CPUU_OK && *at >= r->page->count)
        rc = cpuu_fail(err, CPUU_E_IO, "the server gave fewer rows than asked for");
    return rc;
}
