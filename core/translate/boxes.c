/*
 * Opening mailboxes of other people and public folders, on both sides and always as a set: because
 * links lead into them, or because a feature wants to look inside. A mailbox is tried once; one that
 * stays closed has its reason, and concerns nobody but those who asked for it.
 */
#include "translate/facts.h"

#include "base/text.h"

#include <stdio.h>

/* Trouble of this program says nothing about an owner. */
bool cpuu_facts_is_ours(cpuu_rc rc)
{
    return rc == CPUU_E_NOMEM || rc == CPUU_E_STOP;
}

static const uint32_t folder_tags[] = {
    0x3001001Fu, /* PidTagDisplayName */
    0x3613001Fu, /* PidTagContainerClass */
    0x0E090102u  /* PidTagParentEntryId */
};

cpuu_mail_op cpuu_translate_folders_read(void)
{
    return (cpuu_mail_op){.verb = CPUU_MAIL_READ, .what = CPUU_FOLDERS, .flags = CPUU_DEEP,
                          .role = CPUU_ROLE_ROOT, .tags = folder_tags,
                          .n_tags = sizeof(folder_tags) / sizeof(*folder_tags)};
}

static const char *called(const cpuu_owner *w)
{
    return w->smtp ? w->smtp : w->dn ? w->dn : "?";
}

static void stays_closed(cpuu_translate *t, cpuu_owner *w, bool target_side, cpuu_rc rc,
                         const char *why)
{
    const char *text = cpuu_arena_strdup(&t->arena, why);
    w->closed[target_side] = rc;
    w->why_closed[target_side] = text ? text : "";
}

/* False when no more may be opened. */
static bool count_one(cpuu_translate *t, cpuu_owner *w, bool target_side)
{
    char text[80];
    if (t->n_opened < t->o.max_other_mailboxes) {
        t->n_opened++;
        return true;
    }
    snprintf(text, sizeof(text), "MaxOtherMailboxes=%u is reached", t->o.max_other_mailboxes);
    cpuu_logf(t->log, CPUU_LV_WARNING, "The mailbox of '%s' is not opened: %s", called(w), text);
    stays_closed(t, w, target_side, CPUU_E_ACCESS, text);
    return false;
}

static bool source_wanted(const cpuu_owner *w)
{
    return !w->asked || w->wanted[false] || (w->folders_wanted && w->where == CPUU_WHERE_MOVED);
}

cpuu_rc cpuu_facts_open_sources(cpuu_translate *t, cpuu_error *err)
{
    const cpuu_mail_op folders = cpuu_translate_folders_read();
    size_t n = 0;
    cpuu_mail_open *opens = cpuu_calloc(t->n_owners, sizeof(*opens));
    size_t *who = cpuu_calloc(t->n_owners, sizeof(*who));
    cpuu_rc rc = opens && who ? CPUU_OK : cpuu_nomem(err);
    for (size_t i = 0; rc == CPUU_OK && i < t->n_owners; i++) {
        cpuu_owner *w = &t->owners[i];
        if (!source_wanted(w) || w->source || w->source_tried || w->own || w->is_public || !w->dn)
            continue;
        w->source_tried = !count_one(t, w, false);
        if (w->source_tried)
            continue;
        const cpuu_mail_op *ahead = !w->asked          ? t->o.switch_read
                                    : w->folders_wanted ? &folders
                                                        : NULL;
        opens[n] = (cpuu_mail_open){.endpoint = t->o.source_endpoint, .mailbox_dn = w->dn,
                                    .smtp = w->smtp, .ahead = ahead, .n_ahead = ahead ? 1 : 0};
        who[n++] = i;
    }
    if (rc == CPUU_OK && n > 0)
        rc = cpuu_mail_open_all(t->o.mail, opens, n, err);
    for (size_t i = 0; rc == CPUU_OK && i < n; i++) {
        if (cpuu_facts_is_ours(opens[i].rc)) {
            *err = opens[i].error;
            rc = opens[i].rc;
            break;
        }
        cpuu_owner *w = &t->owners[who[i]];
        w->source_tried = true;
        w->source = opens[i].rc == CPUU_OK ? opens[i].box : NULL;
        if (!w->source) {
            cpuu_logf(t->log, CPUU_LV_INFO, "Cannot open the source mailbox of '%s': %s", called(w),
                      opens[i].error.text);
            stays_closed(t, w, false, opens[i].rc, opens[i].error.text);
        }
        if (!w->asked)
            w->why = opens[i].rc == CPUU_E_NOTFOUND ? CPUU_WHY_UNKNOWN : CPUU_WHY_NO_ACCESS;
    }
    cpuu_free(opens);
    cpuu_free(who);
    return rc;
}

/* Whether the target mailbox (or public folders) shall be tried now. */
static bool target_wanted(cpuu_translate *t, cpuu_owner *w)
{
    if ((!w->folders_wanted && !w->wanted[true]) || w->target_tried || w->own ||
        !t->o.target_endpoint ||
        (w->where != CPUU_WHERE_MOVED && w->where != CPUU_WHERE_AT_TARGET) ||
        (!w->is_public && !w->target_dn))
        return false;
    w->target_tried = true;
    return w->folders_wanted || w->is_public || w->source_tried || count_one(t, w, true);
}

cpuu_rc cpuu_facts_open_targets(cpuu_translate *t, cpuu_error *err)
{
    const cpuu_mail_op folders = cpuu_translate_folders_read();
    size_t n = 0;
    cpuu_mail_open *opens = cpuu_calloc(2 * t->n_owners, sizeof(*opens));
    size_t *who = cpuu_calloc(2 * t->n_owners, sizeof(*who));
    cpuu_rc rc = opens && who ? CPUU_OK : cpuu_nomem(err);
    for (size_t i = 0; rc == CPUU_OK && i < t->n_owners; i++) {
        cpuu_owner *w = &t->owners[i];
        if (!target_wanted(t, w))
            continue;
        opens[n] = (cpuu_mail_open){.endpoint = t->o.target_endpoint, .mailbox_dn = w->target_dn,
                                    .smtp = w->target_smtp, .ahead = &folders,
                                    .n_ahead = w->folders_wanted && !w->is_public &&
                                               w->where == CPUU_WHERE_MOVED};
        who[n++] = 2 * i + 1;
        if (!w->is_public || !t->o.source_endpoint)
            continue;
        w->source_tried = true;
        opens[n] = (cpuu_mail_open){.endpoint = t->o.source_endpoint};
        who[n++] = 2 * i;
    }
    if (rc == CPUU_OK && n > 0)
        rc = cpuu_mail_open_all(t->o.mail, opens, n, err);
    for (size_t i = 0; rc == CPUU_OK && i < n; i++) {
        if (cpuu_facts_is_ours(opens[i].rc)) {
            *err = opens[i].error;
            rc = opens[i].rc;
            break;
        }
        cpuu_owner *w = &t->owners[who[i] / 2];
        bool target_side = who[i] % 2;
        *(target_side ? &w->target : &w->source) = opens[i].rc == CPUU_OK ? opens[i].box : NULL;
        if (opens[i].rc == CPUU_OK)
            continue;
        stays_closed(t, w, target_side, opens[i].rc, opens[i].error.text);
        cpuu_logf(t->log, CPUU_LV_INFO, "Cannot open the %s %s%s%s: %s",
                  target_side ? "target" : "source",
                  w->is_public ? "public folders" : "mailbox of '",
                  w->is_public ? "" : w->target_smtp ? w->target_smtp : w->target_dn,
                  w->is_public ? "" : "'", opens[i].error.text);
    }
    cpuu_free(opens);
    cpuu_free(who);
    return rc;
}

/* ---- for features ---------------------------------------------------------------------------- */

/* A store of the target may be asked for by what it is called there. */
static int owner_of_target(const cpuu_translate *t, const char *dn, const char *smtp)
{
    for (size_t i = 0; i < t->n_owners; i++) {
        const cpuu_owner *w = &t->owners[i];
        if (!w->is_public && (same(w->target_dn, dn) || (!dn && same(w->target_smtp, smtp))))
            return (int)i;
    }
    return -1;
}

static cpuu_rc find_owner(cpuu_translate *t, cpuu_translate_box *b, size_t *out)
{
    char dn[1024] = "", smtp[512] = "";
    int i = CPUU_OWNER_PUBLIC;
    if (b->store.size) {
        if (!cpuu_translate_store_names(b->store, dn, sizeof(dn), smtp, sizeof(smtp)) ||
            (!*dn && !*smtp)) {
            b->rc = CPUU_E_FORMAT;
            b->problem = "what names the other mailbox is not a store EntryID";
            return CPUU_OK;
        }
        i = b->target_side ? owner_of_target(t, *dn ? dn : NULL, *smtp ? smtp : NULL) : -1;
        if (i < 0)
            i = cpuu_facts_owner(t, *dn ? dn : NULL, *smtp ? smtp : NULL);
        if (i < 0)
            return CPUU_E_NOMEM;
    }
    *out = (size_t)i;
    t->owners[i].wanted[b->target_side || i == CPUU_OWNER_PUBLIC] = true;
    return CPUU_OK;
}

/* Somebody whom nothing places may be a person of the target: opening his mailbox there tells. */
static void suppose_at_target(cpuu_owner *w)
{
    w->supposed = w->wanted[true] && !w->target_tried && w->where == CPUU_WHERE_UNKNOWN && w->dn;
    if (!w->supposed)
        return;
    w->where = CPUU_WHERE_AT_TARGET;
    w->target_dn = w->dn;
    w->target_smtp = w->smtp;
}

static void suppose_no_more(cpuu_owner *w)
{
    if (w->supposed && !w->target) {
        w->where = CPUU_WHERE_UNKNOWN;
        w->target_dn = w->target_smtp = NULL;
    }
    w->supposed = false;
}

/* Why a mailbox that nobody tried to open on that side is not there. */
static cpuu_rc not_tried(const cpuu_owner *w, bool target_side, const char **why)
{
    *why = "nobody is known by that identity";
    if (target_side && w->where == CPUU_WHERE_NOT_MOVED)
        *why = "its owner has not moved";
    else if (target_side && w->closed[false]) {
        *why = w->why_closed[false];
        return w->closed[false];
    }
    return CPUU_E_NOTFOUND;
}

static void answer(cpuu_translate *t, const cpuu_owner *w, cpuu_translate_box *b)
{
    char text[600];
    const char *why = w->why_closed[b->target_side];
    b->box = b->target_side ? w->target : w->source;
    b->rc = b->box ? CPUU_OK : w->closed[b->target_side];
    if (b->box)
        return;
    if (b->rc == CPUU_OK)
        b->rc = not_tried(w, b->target_side, &why);
    snprintf(text, sizeof(text), "the %s %s%s cannot be opened: %.400s",
             b->target_side ? "target" : "source",
             w->is_public ? "public folders" : "mailbox of ", w->is_public ? "" : called(w), why);
    b->problem = cpuu_arena_strdup(&t->arena, text);
    if (!b->problem)
        b->problem = "the mailbox cannot be opened";
}

cpuu_rc cpuu_translate_open(cpuu_translate *t, cpuu_translate_box *boxes, size_t n, cpuu_error *err)
{
    size_t *who = cpuu_calloc(n, sizeof(*who));
    cpuu_rc rc = who ? CPUU_OK : cpuu_nomem(err);
    for (size_t i = 0; rc == CPUU_OK && i < n; i++) {
        boxes[i].rc = CPUU_OK;
        boxes[i].box = NULL;
        rc = find_owner(t, &boxes[i], &who[i]) == CPUU_OK ? CPUU_OK : cpuu_nomem(err);
    }
    if (rc == CPUU_OK)
        rc = cpuu_facts_resolve_owners(t, err);
    if (rc == CPUU_OK)
        rc = cpuu_facts_name_sources(t, err);
    if (rc == CPUU_OK && t->o.source_endpoint)
        rc = cpuu_facts_open_sources(t, err);
    for (size_t i = 0; i < t->n_owners; i++)
        suppose_at_target(&t->owners[i]);
    if (rc == CPUU_OK)
        rc = cpuu_facts_open_targets(t, err);
    for (size_t i = 0; i < t->n_owners; i++)
        suppose_no_more(&t->owners[i]);
    for (size_t i = 0; rc == CPUU_OK && i < n; i++)
        if (boxes[i].rc == CPUU_OK)
            answer(t, &t->owners[who[i]], &boxes[i]);
    cpuu_free(who);
    return rc;
}
