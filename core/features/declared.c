/*
 * Declared reads of all features: fetched as one set when the first of them asks a mailbox for
 * anything, or ahead of time; features that ask the same share the answer.
 */
#include "features/reads.h"

#include <string.h>

/* ---- declared reads -------------------------------------------------------------------------- */

bool cpuu_same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Named tags of two features mean the same only when their names do: compared as declared. */
static bool same_tag(const cpuu_feature *fa, uint32_t a, const cpuu_feature *fb, uint32_t b)
{
    if (a != b)
        return false;
    if (a < 0x80000000u || fa == fb)
        return true;
    const cpuu_name *x = &fa->names[(a >> 16) - 0x8000u], *y = &fb->names[(b >> 16) - 0x8000u];
    return memcmp(x->guid, y->guid, 16) == 0 && cpuu_same_text(x->string, y->string) &&
           (x->string || x->id == y->id);
}

static bool same_query(const cpuu_fetch *f, const cpuu_feature *feature, const cpuu_query *q)
{
    if (f->q.side != q->side || f->q.what != q->what || f->q.role != q->role ||
        f->q.flags != q->flags || f->q.n_tags != q->n_tags ||
        !cpuu_same_text(f->q.filter, q->filter) || !cpuu_blob_same(f->q.folder, q->folder) || !cpuu_blob_same(f->q.store, q->store))
        return false;
    for (uint32_t i = 0; i < q->n_tags; i++) {
        if (!same_tag(f->feature, f->q.tags[i], feature, q->tags[i]))
            return false;
    }
    return true;
}

cpuu_fetch *cpuu_declared_find(cpuu_reading *s, const cpuu_feature *feature, const cpuu_query *q)
{
    for (cpuu_fetch *f = s->declared; f; f = f->next) {
        if (same_query(f, feature, q))
            return f;
    }
    return NULL;
}

static cpuu_rc declare(cpuu_reading *s, const cpuu_feature *feature, cpuu_error *err)
{
    for (uint32_t i = 0; i < feature->n_reads; i++) {
        cpuu_query q = cpuu_validate_query_at(feature->reads, i);
        cpuu_fetch *f = q.side == CPUU_PROFILE ? NULL : cpuu_declared_find(s, feature, &q);
        if (f)
            f->shared = true;
        if (f || q.side == CPUU_PROFILE)
            continue;
        f = cpuu_fetch_new(feature, &q);
        if (!f)
            return cpuu_nomem(err);
        f->next = s->declared;
        s->declared = f;
    }
    return CPUU_OK;
}

cpuu_rc cpuu_reading_declare(cpuu_reading *s, const bool *selected, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    s->selected = selected;
    for (size_t i = 0; i < cpuu_plugins_count(s->w->plugins) && rc == CPUU_OK; i++) {
        if (selected[i])
            rc = declare(s, cpuu_plugins_feature(s->w->plugins, i, NULL, NULL), err);
    }
    return rc;
}

/* What was declared, all of it. Most of it has been under way since the mailboxes were opened
 * (cpuu_features_ahead); a feature that reads no mailbox need not wait for it. */
cpuu_rc cpuu_declared_fetch(cpuu_reading *s, cpuu_error *err)
{
    size_t n = 0, at = 0;
    cpuu_rc rc = s->w->mail ? cpuu_names_map(s, err) : CPUU_OK;
    for (const cpuu_fetch *f = s->declared; f; f = f->next)
        n++;
    cpuu_fetch **list = rc == CPUU_OK ? cpuu_calloc(n + 1, sizeof(*list)) : NULL;
    if (rc < 0 || !list)
        return rc < 0 ? rc : cpuu_nomem(err);
    for (cpuu_fetch *f = s->declared; f; f = f->next)
        list[at++] = f;
    rc = cpuu_fetch_all(s, list, n, err);
    cpuu_free(list);
    s->fetched = rc == CPUU_OK;
    return rc;
}

/* Reads of the user's own mailbox whose columns are known without asking for ids of names. */
static bool is_ahead(const cpuu_query *q, uint32_t side)
{
    bool named = false;
    for (uint32_t i = 0; i < q->n_tags; i++)
        named = named || q->tags[i] >= 0x80000000u;
    return q->side == side && !named && q->role != CPUU_ROLE_NONE && q->role != CPUU_ROLE_PUBLIC &&
           q->store.size == 0;
}

static size_t feature_ahead(const cpuu_feature *f, uint32_t side, cpuu_mail_op *ops)
{
    size_t n = 0;
    if (f->n_names && (f->needs & (side == CPUU_SOURCE ? CPUU_NEED_SOURCE : CPUU_NEED_TARGET)))
        ops[n++] = (cpuu_mail_op){.verb = CPUU_MAIL_NAME_IDS, .names = f->names,
                                  .n_names = f->n_names};
    for (uint32_t i = 0; i < f->n_reads; i++) {
        cpuu_query q = cpuu_validate_query_at(f->reads, i);
        if (is_ahead(&q, side))
            ops[n++] = (cpuu_mail_op){.verb = CPUU_MAIL_READ, .what = q.what, .role = q.role,
                                      .flags = q.flags & CPUU_DEEP, .filter = q.filter,
                                      .tags = q.n_tags ? q.tags : cpuu_fetch_id_column(q.what),
                                      .n_tags = q.n_tags ? q.n_tags : 1};
    }
    return n;
}

cpuu_rc cpuu_features_ahead(const cpuu_plugins *p, const cpuu_settings *s, uint32_t side,
                            cpuu_arena *arena, cpuu_mail_op **out, size_t *n, cpuu_error *err)
{
    const size_t count = cpuu_plugins_count(p);
    bool *selected = cpuu_arena_alloc(arena, (count + 1) * sizeof(*selected));
    size_t room = 1, used = 0;
    if (!selected)
        return cpuu_nomem(err);
    cpuu_plugins_select(p, s, selected);
    for (size_t i = 0; i < count; i++)
        room += 1 + cpuu_plugins_feature(p, i, NULL, NULL)->n_reads;
    cpuu_mail_op *ops = cpuu_arena_alloc(arena, room * sizeof(*ops));
    if (!ops)
        return cpuu_nomem(err);
    for (size_t i = 0; i < count; i++)
        if (selected[i])
            used += feature_ahead(cpuu_plugins_feature(p, i, NULL, NULL), side, ops + used);
    *out = ops;
    *n = used;
    return CPUU_OK;
}

void cpuu_reading_stale(cpuu_reading *s)
{
    for (cpuu_fetch *f = s->declared; f; f = f->next)
        f->stale = f->stale || f->is_target;
}

void cpuu_declared_forget(cpuu_fetch *f)
{
    f->count = 0;
    f->done = f->stale = false;
    f->rc = CPUU_OK; /* old rows stay in the arena until the session ends */
}
