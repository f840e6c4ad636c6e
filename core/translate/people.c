/* Where does a person live? Decision D7 (a): one batch for all of them. */
#include "translate/facts.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

static void settle_as_user(const cpuu_translate *t, cpuu_subject *p)
{
    const cpuu_translate_options *o = &t->o;
    if (same(p->dn, o->target_dn) || (!p->dn && same(p->smtp, o->target_smtp) &&
                                      !same(p->smtp, o->source_smtp))) {
        p->where = CPUU_WHERE_AT_TARGET;
        return;
    }
    p->own = same(p->dn, o->source_dn) || (!p->dn && same(p->smtp, o->source_smtp));
    if (!p->own)
        return;
    p->where = CPUU_WHERE_MOVED;
    p->target_dn = o->target_dn;
    p->target_smtp = o->target_smtp;
}

/* ---- finding by identity ---------------------------------------------------------------------- */

/* A person is known by the DN or, without one, by the address; case does not matter (FNV-1a). */
static size_t slot_of(const cpuu_translate *t, const char *dn, const char *smtp)
{
    uint64_t h = dn ? 14695981039346656037u : 1099511628211u;
    for (const unsigned char *p = (const unsigned char *)(dn ? dn : smtp); p && *p; p++)
        h = (h ^ (*p >= 'A' && *p <= 'Z' ? *p + 32u : *p)) * 1099511628211u;
    return (size_t)(h ^ (h >> 32)) & (t->people_slots - 1);
}

static void index_person(cpuu_translate *t, size_t person)
{
    const cpuu_subject *p = &t->people[person];
    size_t slot = slot_of(t, p->dn, p->smtp);
    while (t->people_index[slot])
        slot = (slot + 1) & (t->people_slots - 1);
    t->people_index[slot] = (uint32_t)person + 1;
}

/* Keeps the table at most half full. */
static bool index_room(cpuu_translate *t)
{
    if (2 * (t->n_people + 1) <= t->people_slots)
        return true;
    const size_t slots = t->people_slots ? 2 * t->people_slots : 64;
    uint32_t *index = cpuu_calloc(slots, sizeof(*index));
    if (!index)
        return false;
    cpuu_free(t->people_index);
    t->people_index = index;
    t->people_slots = slots;
    for (size_t i = 0; i < t->n_people; i++)
        index_person(t, i);
    return true;
}

static cpuu_subject *find_person(const cpuu_translate *t, const char *dn, const char *smtp)
{
    if (t->people_slots == 0 || (!dn && !smtp))
        return NULL;
    for (size_t slot = slot_of(t, dn, smtp); t->people_index[slot];
         slot = (slot + 1) & (t->people_slots - 1)) {
        cpuu_subject *p = &t->people[t->people_index[slot] - 1];
        if (dn ? same(p->dn, dn) : !p->dn && same(p->smtp, smtp))
            return p;
    }
    return NULL;
}

cpuu_subject *cpuu_facts_person(cpuu_translate *t, const char *dn, const char *smtp)
{
    cpuu_subject *p = find_person(t, dn, smtp);
    if (p) {
        /* A second way to find somebody, and what an address beside it may be settled by. */
        if (smtp && !p->smtp) {
            p->smtp = cpuu_arena_strdup(&t->arena, smtp);
            if (p->where == CPUU_WHERE_UNKNOWN)
                p->where = CPUU_WHERE_UNASKED;
        }
        return p;
    }
    if (!index_room(t) || !cpuu_grow(&t->people, &t->cap_people, t->n_people, sizeof(*t->people)))
        return NULL;
    p = &t->people[t->n_people];
    memset(p, 0, sizeof(*p));
    p->dn = dn ? cpuu_arena_strdup(&t->arena, dn) : NULL;
    p->smtp = smtp ? cpuu_arena_strdup(&t->arena, smtp) : NULL;
    if ((dn && !p->dn) || (smtp && !p->smtp))
        return NULL;
    settle_as_user(t, p);
    index_person(t, t->n_people++);
    return p;
}

/* A person who also owns a mailbox that was asked about: the owner's answer wins (D7). */
static bool settle_from_owner(const cpuu_translate *t, cpuu_subject *p)
{
    for (size_t i = 0; i < t->n_owners; i++) {
        const cpuu_owner *w = &t->owners[i];
        if (!w->asked || w->own || w->is_public || (w->where != CPUU_WHERE_MOVED &&
                                                    w->where != CPUU_WHERE_NOT_MOVED))
            continue;
        if (!same(w->dn, p->dn) && !(same(w->smtp, p->smtp) && (!w->dn || !p->dn)))
            continue;
        p->where = w->where;
        p->target_dn = w->target_dn;
        p->target_smtp = w->target_smtp;
        return true;
    }
    return false;
}

static void settle_from_mapping(const cpuu_translate *t, cpuu_subject *p)
{
    const cpuu_mapping_row *row = cpuu_mapping_find(t->o.mapping, p->smtp, p->dn);
    if (!row) {
        p->where = CPUU_WHERE_UNKNOWN;
        return;
    }
    p->where = row->migrated ? CPUU_WHERE_MOVED : CPUU_WHERE_NOT_MOVED;
    p->target_dn = row->target_dn;
    p->target_smtp = row->target_smtp;
    p->target_name = row->display_name;
}

/* Takes the directory's answer to one key. A remote object or contact is somebody who has not moved
 * (mailbox formats 2.3; independent server B2 for what marks a local mailbox). */
static void settle_from_directory(cpuu_translate *t, cpuu_subject *p, const cpuu_person *answer)
{
    if (answer->ambiguous) {
        p->where = CPUU_WHERE_AMBIGUOUS;
        return;
    }
    if (!answer->found)
        return;
    if (same(answer->dn, p->dn)) {
        p->where = CPUU_WHERE_AT_TARGET;
        return;
    }
    if (!answer->is_local_mailbox) {
        p->where = CPUU_WHERE_NOT_MOVED;
        return;
    }
    p->where = CPUU_WHERE_MOVED;
    p->target_dn = answer->dn ? cpuu_arena_strdup(&t->arena, answer->dn) : NULL;
    p->target_smtp = answer->smtp ? cpuu_arena_strdup(&t->arena, answer->smtp) : NULL;
    p->target_name =
        answer->display_name ? cpuu_arena_strdup(&t->arena, answer->display_name) : NULL;
}

/* One directory question for all: by_dn first, then the rest by address. */
static cpuu_rc ask_directory(cpuu_translate *t, bool by_dn, cpuu_error *err)
{
    cpuu_question q;
    cpuu_rc rc = cpuu_question_open(&q, t->n_people, err);
    for (size_t i = 0; rc == CPUU_OK && i < t->n_people; i++) {
        const char *key = by_dn ? t->people[i].dn : t->people[i].smtp;
        if (t->people[i].where == CPUU_WHERE_UNASKED && key)
            cpuu_question_add(&q, i, key);
    }
    if (rc == CPUU_OK)
        rc = cpuu_question_ask(&q, t, t->o.target_directory, err);
    if (rc == CPUU_OK && q.op.rc < 0) {
        *err = q.op.error;
        rc = cpuu_wrap(err, "looking people up in the target address book");
    }
    for (size_t i = 0; rc == CPUU_OK && i < q.n; i++)
        settle_from_directory(t, &t->people[q.who[i]], &q.answers[i]);
    cpuu_question_close(&q);
    return rc;
}

static int by_smtp(const void *a, const void *b)
{
    const cpuu_subject *x = *(const cpuu_subject *const *)a, *y = *(const cpuu_subject *const *)b;
    return cpuu_casecmp(x->smtp, y->smtp);
}

/* An address nobody at the target has, which was stored beside the DN of somebody who was found: the
 * same person. Two people with one address settle nothing. */
static cpuu_rc settle_from_neighbours(cpuu_translate *t, cpuu_error *err)
{
    const cpuu_subject **moved = cpuu_calloc(t->n_people, sizeof(*moved));
    size_t n = 0;
    if (!moved)
        return cpuu_nomem(err);
    for (size_t i = 0; i < t->n_people; i++) {
        if (t->people[i].dn && t->people[i].smtp && t->people[i].where == CPUU_WHERE_MOVED)
            moved[n++] = &t->people[i];
    }
    qsort(moved, n, sizeof(*moved), by_smtp);
    for (size_t i = 0; i < t->n_people && n > 0; i++) {
        cpuu_subject *p = &t->people[i];
        const cpuu_subject *key = p;
        if ((p->where != CPUU_WHERE_UNASKED && p->where != CPUU_WHERE_UNKNOWN) || p->dn || !p->smtp)
            continue;
        const cpuu_subject **hit = bsearch(&key, moved, n, sizeof(*moved), by_smtp);
        if (!hit || (hit > moved && by_smtp(hit - 1, hit) == 0) ||
            (hit + 1 < moved + n && by_smtp(hit + 1, hit) == 0))
            continue;
        p->where = CPUU_WHERE_MOVED;
        p->target_dn = (*hit)->target_dn;
        p->target_smtp = (*hit)->target_smtp;
        p->target_name = (*hit)->target_name;
    }
    cpuu_free(moved);
    return CPUU_OK;
}

cpuu_rc cpuu_facts_resolve_people(cpuu_translate *t, cpuu_error *err)
{
    for (size_t i = 0; i < t->n_people; i++) {
        cpuu_subject *p = &t->people[i];
        /* Whom nobody knew may have been heard of since: his mailbox was opened for its own sake. */
        if ((p->where == CPUU_WHERE_UNASKED || p->where == CPUU_WHERE_UNKNOWN) &&
            settle_from_owner(t, p))
            continue;
        if (p->where == CPUU_WHERE_UNASKED && t->o.mapping)
            settle_from_mapping(t, p);
    }
    cpuu_rc rc = CPUU_OK;
    if (t->o.target_directory) {
        rc = ask_directory(t, true, err);
        if (rc == CPUU_OK)
            rc = ask_directory(t, false, err);
    }
    if (rc == CPUU_OK)
        rc = settle_from_neighbours(t, err);
    for (size_t i = 0; rc == CPUU_OK && i < t->n_people; i++) {
        if (t->people[i].where == CPUU_WHERE_UNASKED)
            t->people[i].where = CPUU_WHERE_UNKNOWN;
    }
    return rc;
}
