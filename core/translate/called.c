/*
 * People known by their display name alone (lists of names that Outlook keeps). The source's own
 * address book says who that is; from there on the person is treated like every other. A name that
 * belongs to nobody, or to several, is left as it is: D7, never a guess.
 */
#include "translate/facts.h"

#include "base/text.h"

#include <string.h>

cpuu_called *cpuu_facts_called(cpuu_translate *t, const char *name)
{
    for (size_t i = 0; i < t->n_called; i++)
        if (strcmp(t->called[i].name, name) == 0)
            return &t->called[i];
    if (!cpuu_grow(&t->called, &t->cap_called, t->n_called, sizeof(*t->called)))
        return NULL;
    cpuu_called *c = &t->called[t->n_called];
    memset(c, 0, sizeof(*c));
    c->name = cpuu_arena_strdup(&t->arena, name);
    if (!c->name)
        return NULL;
    t->n_called++;
    return c;
}

cpuu_subject *cpuu_facts_called_person(cpuu_translate *t, const cpuu_called *c)
{
    return c->dn ? cpuu_facts_person(t, c->dn, c->smtp) : NULL;
}

/* An address book that does not answer leaves names as they are; that is no reason to fail. */
static cpuu_rc ask(cpuu_translate *t, cpuu_question *q, cpuu_directory *d, cpuu_error *err)
{
    cpuu_rc rc = cpuu_question_ask(q, t, d, err);
    if (rc == CPUU_OK && q->op.rc < 0)
        cpuu_logf(t->log, CPUU_LV_WARNING, "Cannot look people up by name: %s", q->op.error.text);
    return rc;
}

static cpuu_rc take_answer(cpuu_translate *t, cpuu_called *c, const cpuu_person *p)
{
    c->ambiguous = p->ambiguous;
    if (!p->found || p->ambiguous || !p->dn)
        return CPUU_OK;
    c->dn = cpuu_arena_strdup(&t->arena, p->dn);
    c->smtp = p->smtp ? cpuu_arena_strdup(&t->arena, p->smtp) : NULL;
    return c->dn && cpuu_facts_called_person(t, c) ? CPUU_OK : CPUU_E_NOMEM;
}

cpuu_rc cpuu_facts_resolve_called(cpuu_translate *t, cpuu_error *err)
{
    cpuu_question q;
    bool wanted = false;
    for (size_t i = 0; i < t->n_called; i++)
        wanted = wanted || !t->called[i].asked;
    cpuu_directory *d = wanted ? cpuu_facts_source_directory(t) : NULL;
    if (!d)
        return CPUU_OK;
    cpuu_rc rc = cpuu_question_open(&q, t->n_called, err);
    for (size_t i = 0; rc == CPUU_OK && i < t->n_called; i++) {
        if (!t->called[i].asked)
            cpuu_question_add(&q, i, t->called[i].name);
        t->called[i].asked = true;
    }
    if (rc == CPUU_OK)
        rc = ask(t, &q, d, err);
    for (size_t i = 0; rc == CPUU_OK && i < q.n; i++)
        if (take_answer(t, &t->called[q.who[i]], &q.answers[i]) != CPUU_OK)
            rc = cpuu_nomem(err);
    cpuu_question_close(&q);
    return rc;
}

cpuu_rc cpuu_facts_name_called(cpuu_translate *t, cpuu_error *err)
{
    cpuu_question q;
    if (!t->n_called || !t->o.target_directory)
        return CPUU_OK;
    cpuu_rc rc = cpuu_question_open(&q, t->n_called, err);
    for (size_t i = 0; rc == CPUU_OK && i < t->n_called; i++) {
        const cpuu_subject *p = cpuu_facts_called_person(t, &t->called[i]);
        if (p && p->where == CPUU_WHERE_MOVED && !p->target_name && p->target_dn)
            cpuu_question_add(&q, i, p->target_dn);
    }
    if (rc == CPUU_OK)
        rc = ask(t, &q, t->o.target_directory, err);
    for (size_t i = 0; rc == CPUU_OK && i < q.n; i++) {
        const cpuu_person *a = &q.answers[i];
        cpuu_subject *p = cpuu_facts_called_person(t, &t->called[q.who[i]]);
        if (!p || !a->found || a->ambiguous || !a->display_name)
            continue;
        p->target_name = cpuu_arena_strdup(&t->arena, a->display_name);
        if (!p->target_name)
            rc = cpuu_nomem(err);
    }
    cpuu_question_close(&q);
    return rc;
}
