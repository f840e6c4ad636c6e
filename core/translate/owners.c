/*
 * Where does the owner of a linked mailbox live, and which of its folders is which? Decision D7 (b):
 * the mapping file, else a valid Switch Message in the owner's source mailbox.
 */
#include "translate/facts.h"

#include "base/text.h"

#include <string.h>

int cpuu_facts_owner(cpuu_translate *t, const char *dn, const char *smtp)
{
    for (size_t i = 0; i < t->n_owners; i++) {
        cpuu_owner *w = &t->owners[i];
        if (w->is_public)
            continue;
        if (same(w->dn, dn) || ((!dn || !w->dn) && same(w->smtp, smtp)))
            return (int)i;
    }
    if (!cpuu_grow(&t->owners, &t->cap_owners, t->n_owners, sizeof(*t->owners)))
        return -1;
    cpuu_owner *w = &t->owners[t->n_owners];
    memset(w, 0, sizeof(*w));
    w->dn = dn && *dn ? cpuu_arena_strdup(&t->arena, dn) : NULL;
    w->smtp = smtp && *smtp ? cpuu_arena_strdup(&t->arena, smtp) : NULL;
    if ((dn && *dn && !w->dn) || (smtp && *smtp && !w->smtp))
        return -1;
    return (int)t->n_owners++;
}

int cpuu_facts_owner_by_guid(const cpuu_translate *t, const uint8_t guid[16], bool target_side)
{
    for (size_t i = 0; i < t->n_owners; i++) {
        cpuu_mailbox *box = target_side ? t->owners[i].target : t->owners[i].source;
        if (box && memcmp(cpuu_mailbox_get_info(box)->mailbox_guid, guid, 16) == 0)
            return (int)i;
    }
    return -1;
}

static void settle(cpuu_owner *w, cpuu_where where, uint32_t why)
{
    w->where = where;
    w->why = why;
    w->asked = true;
}

static void settle_from_mapping(const cpuu_translate *t, cpuu_owner *w)
{
    const cpuu_mapping_row *row = cpuu_mapping_find(t->o.mapping, w->smtp, w->dn);
    if (!row)
        return;
    if (!w->dn)
        w->dn = row->source_dn;
    w->target_dn = row->target_dn;
    w->target_smtp = row->target_smtp;
    settle(w, row->migrated ? CPUU_WHERE_MOVED : CPUU_WHERE_NOT_MOVED,
           row->migrated ? CPUU_WHY_MIGRATED : CPUU_WHY_NOT_MIGRATED);
}

/* An address book that does not answer leaves owners as they are known. */
static cpuu_rc ask(cpuu_translate *t, cpuu_question *q, cpuu_directory *directory, bool target_side,
                   cpuu_error *err)
{
    cpuu_rc rc = cpuu_question_ask(q, t, directory, err);
    if (rc == CPUU_OK && q->op.rc < 0)
        cpuu_logf(t->log, CPUU_LV_WARNING, "Cannot look mailbox owners up in the %s address book: %s",
                  target_side ? "target" : "source", q->op.error.text);
    return rc;
}

/* Completes owners known by one identity only, from a directory. */
static cpuu_rc complete(cpuu_translate *t, cpuu_directory *directory, bool target_side,
                        cpuu_error *err)
{
    cpuu_question q;
    cpuu_rc rc = cpuu_question_open(&q, t->n_owners, err);
    for (size_t i = 0; rc == CPUU_OK && i < t->n_owners; i++) {
        const cpuu_owner *w = &t->owners[i];
        const char *dn = target_side ? w->target_dn : w->dn;
        const char *smtp = target_side ? w->target_smtp : w->smtp;
        bool wanted = target_side ? w->where == CPUU_WHERE_MOVED : !w->asked || w->wanted[false];
        if (!wanted || w->is_public || (dn && smtp) || (!dn && !smtp) || (!target_side && dn))
            continue;
        cpuu_question_add(&q, i, dn ? dn : smtp);
    }
    if (rc == CPUU_OK)
        rc = ask(t, &q, directory, target_side, err);
    for (size_t i = 0; rc == CPUU_OK && i < q.n; i++) {
        cpuu_owner *w = &t->owners[q.who[i]];
        const cpuu_person *p = &q.answers[i];
        if (!target_side && !p->found)
            w->why = CPUU_WHY_UNKNOWN;
        if (!target_side && p->ambiguous)
            w->why = CPUU_WHY_AMBIGUOUS;
        if (!p->found || p->ambiguous)
            continue;
        const char **dn = target_side ? &w->target_dn : &w->dn;
        const char **smtp = target_side ? &w->target_smtp : &w->smtp;
        if (!*dn && p->dn)
            *dn = cpuu_arena_strdup(&t->arena, p->dn);
        if (!*smtp && p->smtp)
            *smtp = cpuu_arena_strdup(&t->arena, p->smtp);
    }
    cpuu_question_close(&q);
    return rc;
}

cpuu_directory *cpuu_facts_source_directory(cpuu_translate *t)
{
    if (!t->o.mail || !t->o.source_endpoint || !t->o.source_endpoint->nspi_url)
        return NULL;
    if (t->o.source_directory)
        return t->o.source_directory;
    if (!t->source_directory_tried) {
        cpuu_error why = CPUU_ERROR_INIT;
        t->source_directory_tried = true;
        if (cpuu_mail_directory(t->o.mail, t->o.source_endpoint, &t->source_directory, &why) < 0)
            cpuu_logf(t->log, CPUU_LV_WARNING, "Cannot open the source address book: %s", why.text);
    }
    return t->source_directory;
}

cpuu_rc cpuu_facts_name_sources(cpuu_translate *t, cpuu_error *err)
{
    bool wanted = false;
    for (size_t i = 0; i < t->n_owners; i++) {
        const cpuu_owner *w = &t->owners[i];
        wanted |= (!w->asked || (w->wanted[false] && !w->source_tried)) && !w->dn && w->smtp;
    }
    cpuu_directory *d = wanted ? cpuu_facts_source_directory(t) : NULL;
    return d ? complete(t, d, false, err) : CPUU_OK;
}

static void take_switch(cpuu_translate *t, cpuu_owner *w, cpuu_rc rc, const cpuu_switch_message *m)
{
    if (rc == CPUU_E_NOTFOUND) {
        settle(w, CPUU_WHERE_NOT_MOVED, CPUU_WHY_NOT_MIGRATED);
        return;
    }
    if (rc != CPUU_OK) {
        settle(w, CPUU_WHERE_UNKNOWN, rc == CPUU_E_FORMAT ? CPUU_WHY_UNREADABLE
                                                          : CPUU_WHY_NO_ACCESS);
        return;
    }
    w->target_dn = cpuu_arena_strdup(&t->arena, m->target_dn);
    w->target_smtp = cpuu_arena_strdup(&t->arena, m->target_smtp);
    settle(w, CPUU_WHERE_MOVED, CPUU_WHY_MIGRATED);
}

static cpuu_rc read_switches(cpuu_translate *t, cpuu_error *err)
{
    size_t n = 0;
    cpuu_mailbox **boxes = cpuu_calloc(t->n_owners, sizeof(*boxes));
    size_t *who = cpuu_calloc(t->n_owners, sizeof(*who));
    cpuu_rc *rcs = cpuu_calloc(t->n_owners, sizeof(*rcs));
    cpuu_switch_message *messages = cpuu_calloc(t->n_owners, sizeof(*messages));
    cpuu_rc rc = boxes && who && rcs && messages ? CPUU_OK : cpuu_nomem(err);
    for (size_t i = 0; rc == CPUU_OK && i < t->n_owners; i++) {
        if (t->owners[i].asked || !t->owners[i].source)
            continue;
        boxes[n] = t->owners[i].source;
        who[n++] = i;
    }
    if (rc == CPUU_OK && n > 0)
        rc = t->o.read_switch(t->o.user, t->o.mail, boxes, n, rcs, messages);
    if (rc < 0)
        cpuu_fail(err, rc, "cannot read the Switch Messages of mailbox owners");
    for (size_t i = 0; rc == CPUU_OK && i < n; i++) {
        if (cpuu_facts_is_ours(rcs[i]))
            rc = cpuu_fail(err, rcs[i], "cannot read the Switch Messages of mailbox owners");
        else
            take_switch(t, &t->owners[who[i]], rcs[i], &messages[i]);
    }
    cpuu_free(boxes);
    cpuu_free(who);
    cpuu_free(rcs);
    cpuu_free(messages);
    return rc;
}

/* The identity is the one of the target: nothing is left to find. */
static void settle_at_target(cpuu_owner *w)
{
    w->target_dn = w->dn;
    w->target_smtp = w->smtp;
    settle(w, CPUU_WHERE_AT_TARGET, CPUU_WHY_AT_TARGET);
}

static bool is_target_of_another(const cpuu_translate *t, const cpuu_owner *w)
{
    for (size_t i = 0; i < t->n_owners; i++) {
        if (same(t->owners[i].target_dn, w->dn))
            return true;
    }
    return false;
}

/* Owners nobody knows at the source may be people of the target: its directory tells. */
static cpuu_rc ask_target(cpuu_translate *t, cpuu_error *err)
{
    cpuu_question q;
    cpuu_rc rc = cpuu_question_open(&q, t->n_owners, err);
    for (size_t i = 0; rc == CPUU_OK && i < t->n_owners; i++) {
        if (!t->owners[i].asked && t->owners[i].dn)
            cpuu_question_add(&q, i, t->owners[i].dn);
    }
    if (rc == CPUU_OK)
        rc = ask(t, &q, t->o.target_directory, true, err);
    for (size_t i = 0; rc == CPUU_OK && i < q.n; i++) {
        cpuu_owner *w = &t->owners[q.who[i]];
        if (q.answers[i].found && !q.answers[i].ambiguous && same(q.answers[i].dn, w->dn))
            settle_at_target(w);
    }
    cpuu_question_close(&q);
    return rc;
}

/* Those of whom neither mapping file nor source mailbox has told where they are. */
static cpuu_rc settle_rest(cpuu_translate *t, cpuu_error *err)
{
    cpuu_rc rc = CPUU_OK;
    for (size_t i = 0; i < t->n_owners; i++) {
        if (!t->owners[i].asked && is_target_of_another(t, &t->owners[i]))
            settle_at_target(&t->owners[i]);
    }
    if (!t->o.mapping && t->o.mail && t->o.target_directory)
        rc = ask_target(t, err);
    for (size_t i = 0; rc == CPUU_OK && i < t->n_owners; i++) {
        cpuu_owner *w = &t->owners[i];
        if (!w->asked)
            settle(w, CPUU_WHERE_UNKNOWN,
                   t->o.mapping ? CPUU_WHY_UNKNOWN : w->why ? w->why : CPUU_WHY_NO_ACCESS);
    }
    return rc;
}

cpuu_rc cpuu_facts_resolve_owners(cpuu_translate *t, cpuu_error *err)
{
    bool open = false;
    for (size_t i = 0; i < t->n_owners; i++) {
        cpuu_owner *w = &t->owners[i];
        if (w->asked)
            continue;
        if (is_target_of_another(t, w))
            settle_at_target(w);
        else if (t->o.mapping)
            settle_from_mapping(t, w);
        else
            open = true;
    }
    cpuu_rc rc = CPUU_OK;
    if (open && t->o.mail && t->o.source_endpoint && t->o.read_switch) {
        rc = cpuu_facts_name_sources(t, err);
        if (rc == CPUU_OK)
            rc = cpuu_facts_open_sources(t, err);
        if (rc == CPUU_OK)
            rc = read_switches(t, err);
    }
    if (rc == CPUU_OK)
        rc = settle_rest(t, err);
    if (rc == CPUU_OK && t->o.target_directory)
        rc = complete(t, t->o.target_directory, true, err);
    return rc;
}

/* ---- folders --------------------------------------------------------------------------------- */

static char *text_of(cpuu_arena *arena, const cpuu_value *v)
{
    char *s = cpuu_arena_alloc(arena, (CPUU_FOUND(v) ? v->size : 0) + 1);
    if (s && CPUU_FOUND(v) && v->size)
        memcpy(s, v->data, v->size);
    return s;
}

static uint32_t role_of(const cpuu_mailbox *box, cpuu_blob eid)
{
    for (uint32_t role = CPUU_ROLE_ROOT; role <= CPUU_ROLE_PUBLIC; role++) {
        cpuu_blob r;
        if (cpuu_mailbox_role(box, role, &r) && r.size == eid.size &&
            memcmp(r.data, eid.data, eid.size) == 0)
            return role;
    }
    return CPUU_ROLE_NONE;
}

static cpuu_rc take_folders(const cpuu_mailbox *box, const cpuu_mail_rows *rows,
                            cpuu_folder_list *l)
{
    for (size_t i = 0; i < rows->count; i++) {
        const cpuu_mail_row *row = &rows->items[i];
        if (row->rc < 0 || row->n_values < 3)
            continue;
        const cpuu_value *parent = &row->values[2];
        cpuu_folder f = {.eid = row->id, .role = role_of(box, row->id)};
        if (CPUU_FOUND(parent))
            f.parent = (cpuu_blob){parent->data, parent->size};
        f.name = text_of(&l->arena, &row->values[0]);
        f.klass = text_of(&l->arena, &row->values[1]);
        if (!f.name || !f.klass || cpuu_folder_list_add(l, &f) != CPUU_OK)
            return CPUU_E_NOMEM;
    }
    /* Special folders outside the tree that was read: their parents' parent is not needed. */
    for (uint32_t role = CPUU_ROLE_ROOT; role <= CPUU_ROLE_PUBLIC; role++) {
        cpuu_folder f = {.role = role};
        bool listed = false;
        if (!cpuu_mailbox_role(box, role, &f.eid))
            continue;
        for (size_t i = 0; i < l->count && !listed; i++)
            listed = l->items[i].role == role;
        if (!listed && cpuu_folder_list_add(l, &f) != CPUU_OK)
            return CPUU_E_NOMEM;
    }
    cpuu_folder_list_sort(l);
    return CPUU_OK;
}

static cpuu_rc finish_owner(cpuu_owner *w, const cpuu_mail_op *source, const cpuu_mail_op *target,
                            cpuu_log *log, cpuu_error *err)
{
    w->folders_read = true;
    if (source->rc < 0 || target->rc < 0) {
        const cpuu_mail_op *bad = source->rc < 0 ? source : target;
        cpuu_logf(log, CPUU_LV_WARNING, "Cannot read the %s folders of '%s': %s",
                  source->rc < 0 ? "source" : "target", w->smtp ? w->smtp : w->dn ? w->dn : "public",
                  bad->error.text);
        return CPUU_OK;
    }
    w->folders_ok = true;
    if (take_folders(w->source, &source->rows, &w->source_folders) != CPUU_OK ||
        take_folders(w->target, &target->rows, &w->target_folders) != CPUU_OK)
        return cpuu_nomem(err);
    return CPUU_OK;
}

cpuu_rc cpuu_facts_read_folders(cpuu_translate *t, cpuu_error *err)
{
    cpuu_rc rc = t->o.mail ? cpuu_facts_open_sources(t, err) : CPUU_OK;
    if (rc == CPUU_OK && t->o.mail)
        rc = cpuu_facts_open_targets(t, err);
    size_t n = 0;
    cpuu_mail_op *ops = cpuu_calloc(2 * t->n_owners, sizeof(*ops));
    size_t *who = cpuu_calloc(t->n_owners, sizeof(*who));
    if (rc == CPUU_OK && (!ops || !who))
        rc = cpuu_nomem(err);
    for (size_t i = 0; rc == CPUU_OK && i < t->n_owners; i++) {
        cpuu_owner *w = &t->owners[i];
        if (!w->folders_wanted || w->folders_read || !w->source || !w->target)
            continue;
        for (size_t side = 0; side < 2; side++) {
            cpuu_mail_op *op = &ops[2 * n + side];
            *op = cpuu_translate_folders_read();
            op->box = side ? w->target : w->source;
            if (w->is_public)
                op->role = CPUU_ROLE_PUBLIC;
        }
        who[n++] = i;
    }
    if (rc == CPUU_OK && n > 0)
        rc = cpuu_mail_run(t->o.mail, ops, 2 * n, err);
    for (size_t i = 0; i < n; i++) {
        if (rc == CPUU_OK)
            rc = finish_owner(&t->owners[who[i]], &ops[2 * i], &ops[2 * i + 1], t->log, err);
        cpuu_mail_op_clear(&ops[2 * i]);
        cpuu_mail_op_clear(&ops[2 * i + 1]);
    }
    cpuu_free(ops);
    cpuu_free(who);
    return rc;
}
