/*
 * Delegates: who may act for the user. Three things belong together: the delegate information object
 * "LocalFreebusy" in the Freebusy Data folder ([MS-OXODLGT] 2.2.2.2), the rule that sends meeting
 * requests on ([MS-OXODLGT] 3.1.4.3.5), and the rights of the delegates on the user's folders.
 *
 * Delegates the target has stay, in their order; those that still have their identity of the source get
 * the new one in place, missing ones follow in the order of the source. Rights are granted to the new
 * identity and never taken away. A delegate who has not moved stays what he is.
 */
#include "people.h"

#include "common/rulekit.h"

#include <stdio.h>
#include <string.h>

#define PROVIDER "Schedule+ EMS Interface" /* [MS-OXODLGT] 3.1.4.3.5 */
#define SUBJECT_OF_OBJECT "LocalFreebusy"
#define INFO_INDEX 1u /* in PidTagFreeBusyEntryIds, [MS-OXOSFLD] 2.2.6 */

enum column {
    CLASS, SUBJECT, NAMES, NAMES8, IDS, FLAGS, WANTS_COPY, DONT_MAIL, WANTS_INFO, AUTO_ACCEPT,
    NO_RECURRING, NO_OVERLAP, N_COLUMNS
};
static const uint32_t tags[N_COLUMNS] = {
    [CLASS] = 0x001A001F,        /* PidTagMessageClass */
    [SUBJECT] = 0x0037001F,      /* PidTagSubject */
    [NAMES] = 0x684A101F,        /* PidTagScheduleInfoDelegateNamesW */
    [NAMES8] = 0x6844101F,       /* PidTagScheduleInfoDelegateNames */
    [IDS] = 0x68451102,          /* PidTagScheduleInfoDelegateEntryIds */
    [FLAGS] = 0x686B1003,        /* PidTagDelegateFlags */
    [WANTS_COPY] = 0x6842000B,   /* PidTagScheduleInfoDelegatorWantsCopy */
    [DONT_MAIL] = 0x6843000B,    /* PidTagScheduleInfoDontMailDelegates */
    [WANTS_INFO] = 0x684B000B,   /* PidTagScheduleInfoDelegatorWantsInfo */
    [AUTO_ACCEPT] = 0x686D000B,  /* PidTagScheduleInfoAutoAcceptAppointments */
    [NO_RECURRING] = 0x686E000B, /* PidTagScheduleInfoDisallowRecurringAppts */
    [NO_OVERLAP] = 0x686F000B,   /* PidTagScheduleInfoDisallowOverlappingAppts */
};
static const enum column column_of[P_COLUMNS] = {
    [P_ID] = IDS, [P_NAME] = NAMES, [P_NAME8] = NAMES8, [P_FLAGS] = FLAGS};

static const uint32_t folder_tags[] = {0x36E41102}; /* PidTagFreeBusyEntryIds */

enum { M_ID, M_NAME, M_RIGHTS };
static const uint32_t member_tags[] = {
    [M_ID] = 0x0FFF0102,     /* PidTagEntryId */
    [M_NAME] = 0x6672001F,   /* PidTagMemberName */
    [M_RIGHTS] = 0x66730003, /* PidTagMemberRights */
};

#define FOLDERS 7
static const struct {
    uint32_t role;
    const char *name;
} folders[FOLDERS] = {
    {CPUU_ROLE_CALENDAR, "Calendar"}, {CPUU_ROLE_TASKS, "Tasks"},     {CPUU_ROLE_INBOX, "Inbox"},
    {CPUU_ROLE_CONTACTS, "Contacts"}, {CPUU_ROLE_NOTES, "Notes"},     {CPUU_ROLE_JOURNAL, "Journal"},
    {CPUU_ROLE_FREEBUSY, "Freebusy Data"},
};

#define BOTH(what, role, tags)                                                                     \
    CPUU_QUERY(CPUU_SOURCE, what, role, NULL, tags), CPUU_QUERY(CPUU_TARGET, what, role, NULL, tags)
enum answer {
    A_ITEMS = 0,   /* source, then target; likewise below */
    A_HIDDEN = 2,
    A_INBOX = 4,
    A_ROOT = 6,
    A_RULES = 8,
    A_MEMBERS = 10,
    N_ANSWERS = A_MEMBERS + 2 * FOLDERS
};
static const cpuu_query reads[N_ANSWERS] = {
    BOTH(CPUU_ITEMS, CPUU_ROLE_FREEBUSY, tags),
    BOTH(CPUU_HIDDEN, CPUU_ROLE_FREEBUSY, tags),
    BOTH(CPUU_FOLDER, CPUU_ROLE_INBOX, folder_tags),
    BOTH(CPUU_FOLDER, CPUU_ROLE_ROOT, folder_tags),
    BOTH(CPUU_RULES, CPUU_ROLE_INBOX, kit_rule_row_tags),
    BOTH(CPUU_PERMISSIONS, CPUU_ROLE_CALENDAR, member_tags),
    BOTH(CPUU_PERMISSIONS, CPUU_ROLE_TASKS, member_tags),
    BOTH(CPUU_PERMISSIONS, CPUU_ROLE_INBOX, member_tags),
    BOTH(CPUU_PERMISSIONS, CPUU_ROLE_CONTACTS, member_tags),
    BOTH(CPUU_PERMISSIONS, CPUU_ROLE_NOTES, member_tags),
    BOTH(CPUU_PERMISSIONS, CPUU_ROLE_JOURNAL, member_tags),
    BOTH(CPUU_PERMISSIONS, CPUU_ROLE_FREEBUSY, member_tags),
};

/* The delegate information object of one side. */
typedef struct info {
    bool found, hidden;
    cpuu_blob id;
    const cpuu_value *v;
    people list;
} info;

typedef struct delegates {
    kit_rule_job job;
    cpuu_rows *rows[N_ANSWERS];
    info source, target;
    kit_rules source_rules, target_rules;
} delegates;

/* ---- reading --------------------------------------------------------------------------------- */

/* The row, or false at the end or on failure (then *rc). A mailbox without such a folder has no rows. */
static bool row_at(const delegates *x, uint32_t answer, uint32_t i, cpuu_row *row, cpuu_rc *rc)
{
    memset(row, 0, sizeof(*row));
    row->size = sizeof(*row);
    cpuu_rc got = x->job.host->rows(x->rows[answer], i, row);
    if (got == CPUU_END || got == CPUU_E_NOTFOUND)
        return false;
    if (got == CPUU_OK)
        got = row->rc;
    if (got != CPUU_OK) {
        *rc = x->job.host->fail(x->job.run, got, "read the delegates", "Freebusy Data");
        return false;
    }
    return true;
}

/* The EntryID of the object, as the Inbox has it. */
static cpuu_rc info_id(const delegates *x, int side, cpuu_blob *out)
{
    cpuu_rc rc = CPUU_OK;
    cpuu_row row;
    kit_list ids;
    *out = (cpuu_blob){NULL, 0};
    if (!row_at(x, A_INBOX + (uint32_t)side, 0, &row, &rc))
        return rc;
    rc = kit_list_split(&row.values[0], &ids);
    if (rc == CPUU_OK && ids.count > INFO_INDEX)
        *out = ids.items[INFO_INDEX];
    kit_list_free(&ids);
    return rc == CPUU_E_NOMEM ? kit_nomem(x->job.host, x->job.run) : CPUU_OK;
}

static bool is_info(const cpuu_row *row, cpuu_blob id)
{
    static const cpuu_blob name = {(const uint8_t *)SUBJECT_OF_OBJECT, sizeof(SUBJECT_OF_OBJECT) - 1};
    return id.size ? cpuu_blob_equal(row->id, id)
                   : cpuu_blob_equal_nocase(kit_blob(&row->values[SUBJECT]), name);
}

static cpuu_rc find_info(const delegates *x, int side, cpuu_blob id, info *out)
{
    cpuu_rc rc = CPUU_OK;
    cpuu_row row;
    for (uint32_t kind = 0; kind < 2 && !out->found && rc == CPUU_OK; kind++) {
        uint32_t answer = (kind ? A_HIDDEN : A_ITEMS) + (uint32_t)side;
        for (uint32_t i = 0; !out->found && row_at(x, answer, i, &row, &rc); i++) {
            if (!is_info(&row, id))
                continue;
            out->found = true;
            out->hidden = kind == 1;
            out->id = row.id;
            out->v = row.values;
        }
    }
    return rc;
}

static cpuu_rc read_info(delegates *x, int side, info *out)
{
    cpuu_blob id;
    cpuu_rc rc = info_id(x, side, &id);
    if (rc == CPUU_OK)
        rc = find_info(x, side, id, out);
    if (rc == CPUU_OK && !out->found && id.size) /* the pointer leads nowhere: look by name */
        rc = find_info(x, side, (cpuu_blob){NULL, 0}, out);
    if (rc != CPUU_OK || !out->found)
        return rc;
    const cpuu_value *values[P_COLUMNS];
    for (int k = 0; k < P_COLUMNS; k++)
        values[k] = &out->v[column_of[k]];
    rc = people_split(values, &out->list);
    if (rc == CPUU_E_NOMEM)
        return kit_nomem(x->job.host, x->job.run);
    return rc == CPUU_OK ? CPUU_OK
                         : x->job.host->fail(x->job.run, rc, "take the list of delegates apart",
                                             side ? "target" : "source");
}

static cpuu_rc read_all(delegates *x)
{
    cpuu_rc rc = kit_read(x->job.host, x->job.run, reads, N_ANSWERS, x->rows);
    if (rc == CPUU_OK)
        rc = read_info(x, 0, &x->source);
    if (rc == CPUU_OK)
        rc = read_info(x, 1, &x->target);
    if (rc == CPUU_OK)
        rc = kit_rules_take(&x->job, x->rows[A_RULES], &x->source_rules);
    return rc == CPUU_OK ? kit_rules_take(&x->job, x->rows[A_RULES + 1], &x->target_rules) : rc;
}

/* ---- translating ----------------------------------------------------------------------------- */

static void collect_people(delegates *x, const people *list)
{
    cpuu_buf scratch;
    cpuu_buf_init(&scratch, 1u << 20);
    kit_relink_begin(&x->job.links, 0);
    for (uint32_t i = 0; i < list->count; i++)
        cpuu_eid_rewrite(list->items[i].field[P_ID], kit_relink_cb, &x->job.links, &scratch, NULL);
    x->job.links.failed = x->job.links.failed || scratch.failed;
    cpuu_buf_free(&scratch);
}

static bool is_ours(const kit_rule *r)
{
    return kit_rule_enabled(r) && kit_rule_provided_by(r, PROVIDER);
}

static void collect_rules(delegates *x, const kit_rules *set, bool at_target)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if (is_ours(&set->items[i]))
            kit_rule_collect(&x->job, set->form, &set->items[i], at_target);
    }
}

static cpuu_rc translate(delegates *x)
{
    collect_people(x, &x->source.list);
    collect_people(x, &x->target.list);
    collect_rules(x, &x->source_rules, false);
    collect_rules(x, &x->target_rules, true);
    return kit_relink_translate(&x->job.links, x->job.host, x->job.run);
}

/* What a delegate is called at the target: the new identity, or the one he has. */
static cpuu_blob wanted_id(const delegates *x, cpuu_blob id)
{
    const cpuu_link *l = kit_relink_find(&x->job.links, CPUU_LINK_EID, id);
    return l && l->outcome == CPUU_REWRITTEN ? l->out : id;
}

/* ---- the delegate information object ------------------------------------------------------------ */

static cpuu_rc merge(const delegates *x, people *out)
{
    const people *lists[] = {&x->target.list, &x->source.list};
    memset(out, 0, sizeof(*out));
    for (int k = 0; k < P_COLUMNS; k++)
        out->has[k] = lists[0]->has[k] || lists[1]->has[k];
    for (int side = 0; side < 2; side++) {
        for (uint32_t i = 0; i < lists[side]->count; i++) {
            person one = lists[side]->items[i];
            one.field[P_ID] = wanted_id(x, one.field[P_ID]);
            if (!people_has(out, one.field[P_ID]) && !people_add(out, &one))
                return kit_nomem(x->job.host, x->job.run);
        }
    }
    return CPUU_OK;
}

typedef struct change_set {
    cpuu_value set[N_COLUMNS];
    uint32_t n;
    cpuu_buf lists[P_COLUMNS];
} change_set;

/* Settings that concern all delegates are the source's, unless the target has delegates of its own. */
static void put_settings(const delegates *x, change_set *c)
{
    for (int k = WANTS_COPY; k < N_COLUMNS && x->target.list.count == 0; k++) {
        const cpuu_value *s = &x->source.v[k];
        bool have = x->target.found && CPUU_FOUND(&x->target.v[k]) &&
                    cpuu_blob_equal(kit_blob(s), kit_blob(&x->target.v[k]));
        if (CPUU_FOUND(s) && !have)
            c->set[c->n++] = *s;
    }
}

static void put_lists(const delegates *x, const people *all, change_set *c)
{
    for (int k = 0; k < P_COLUMNS; k++) {
        cpuu_value v = people_join(all, (enum person_column)k, tags[column_of[k]], &c->lists[k]);
        const cpuu_value *have = x->target.found ? &x->target.v[column_of[k]] : NULL;
        if (all->has[k] && !(have && CPUU_FOUND(have) &&
                             cpuu_blob_equal(kit_blob(have), kit_blob(&v))))
            c->set[c->n++] = v;
    }
}

/* The Inbox and the root point at a new object; what else they list stays. */
static cpuu_rc point_at(const delegates *x, uint32_t answer, cpuu_blob id)
{
    cpuu_row row;
    kit_list ids;
    cpuu_buf buf;
    cpuu_rc rc = CPUU_OK;
    if (!row_at(x, answer + 1, 0, &row, &rc))
        return rc;
    rc = kit_list_split(&row.values[0], &ids);
    if (rc != CPUU_OK || ids.count <= INFO_INDEX) {
        kit_list_free(&ids);
        return x->job.host->fail(x->job.run, rc == CPUU_E_NOMEM ? rc : CPUU_E_FORMAT,
                                 "register the list of delegates: the target mailbox does not list its "
                                 "free/busy folder; open it once with Outlook and run again", "Inbox");
    }
    ids.items[INFO_INDEX] = id;
    cpuu_buf_init(&buf, 1u << 16);
    cpuu_value set = kit_list_join(&ids, folder_tags[0], &buf);
    cpuu_change change = {.size = sizeof(change), .verb = CPUU_UPDATE, .what = CPUU_FOLDERS,
                          .id = row.id, .set = &set, .n_set = 1,
                          .title = "place of the list of delegates"};
    rc = buf.failed ? kit_nomem(x->job.host, x->job.run)
                    : kit_change(x->job.host, x->job.run, &change, 1, NULL);
    cpuu_buf_free(&buf);
    kit_list_free(&ids);
    return rc;
}

static cpuu_rc create_info(const delegates *x, change_set *c)
{
    cpuu_result made = {.size = sizeof(made)};
    uint32_t ticket;
    c->set[c->n++] = x->source.v[CLASS];
    c->set[c->n++] = x->source.v[SUBJECT];
    cpuu_change change = {.size = sizeof(change), .verb = CPUU_CREATE,
                          .what = x->source.hidden ? CPUU_HIDDEN : CPUU_ITEMS,
                          .role = CPUU_ROLE_FREEBUSY, .set = c->set, .n_set = c->n,
                          .title = "list of delegates"};
    cpuu_rc rc = kit_change(x->job.host, x->job.run, &change, 1, &ticket);
    if (rc == CPUU_OK)
        rc = x->job.host->flush(x->job.run);
    if (rc == CPUU_OK)
        rc = x->job.host->result(x->job.run, ticket, &made);
    if (rc != CPUU_OK && rc != CPUU_E_STOP)
        return x->job.host->fail(x->job.run, rc, "make the list of delegates", "Freebusy Data");
    if (rc == CPUU_OK)
        rc = point_at(x, A_INBOX, made.id);
    return rc == CPUU_OK ? point_at(x, A_ROOT, made.id) : rc;
}

static cpuu_rc update_info(const delegates *x, const change_set *c)
{
    cpuu_change change = {.size = sizeof(change), .verb = CPUU_UPDATE,
                          .what = x->target.hidden ? CPUU_HIDDEN : CPUU_ITEMS,
                          .role = CPUU_ROLE_FREEBUSY, .id = x->target.id, .set = c->set,
                          .n_set = c->n, .title = "list of delegates"};
    return c->n ? kit_change(x->job.host, x->job.run, &change, 1, NULL) : CPUU_OK;
}

static cpuu_rc put_info(const delegates *x)
{
    people all;
    change_set c = {.n = 0};
    cpuu_rc rc = merge(x, &all);
    for (int k = 0; k < P_COLUMNS; k++)
        cpuu_buf_init(&c.lists[k], 1u << 20);
    if (rc == CPUU_OK) {
        put_lists(x, &all, &c);
        put_settings(x, &c);
        for (int k = 0; k < P_COLUMNS && rc == CPUU_OK; k++)
            rc = c.lists[k].failed ? kit_nomem(x->job.host, x->job.run) : CPUU_OK;
    }
    if (rc == CPUU_OK)
        rc = x->target.found ? update_info(x, &c) : create_info(x, &c);
    for (int k = 0; k < P_COLUMNS; k++)
        cpuu_buf_free(&c.lists[k]);
    people_free(&all);
    return rc;
}

/* ---- rights ------------------------------------------------------------------------------------- */

static cpuu_rc grant(const delegates *x, uint32_t folder, const cpuu_row *member, cpuu_blob id)
{
    cpuu_rc rc = CPUU_OK;
    cpuu_row t;
    char who[200], title[256];
    uint32_t rights = kit_u32(&member->values[M_RIGHTS], 0), have = 0;
    cpuu_change change = {.size = sizeof(change), .verb = CPUU_CREATE, .what = CPUU_PERMISSIONS,
                          .role = folders[folder].role, .title = title};
    for (uint32_t i = 0; row_at(x, A_MEMBERS + 2 * folder + 1, i, &t, &rc); i++) {
        if (!cpuu_eid_same(kit_blob(&t.values[M_ID]), id))
            continue;
        change.verb = CPUU_UPDATE;
        change.id = t.id;
        have = kit_u32(&t.values[M_RIGHTS], 0);
        break;
    }
    if (rc != CPUU_OK || (change.verb == CPUU_UPDATE && (have | rights) == have))
        return rc;
    rights |= have;
    uint8_t le[4] = {(uint8_t)rights, (uint8_t)(rights >> 8), (uint8_t)(rights >> 16),
                     (uint8_t)(rights >> 24)};
    cpuu_value set[] = {{member_tags[M_RIGHTS], 4, le}, kit_blob_value(member_tags[M_ID], id)};
    change.set = set;
    change.n_set = change.verb == CPUU_CREATE ? 2 : 1;
    kit_text(&member->values[M_NAME], who, sizeof(who));
    snprintf(title, sizeof(title), "%s: rights of %s", folders[folder].name, who);
    return kit_change(x->job.host, x->job.run, &change, 1, NULL);
}

/* Only delegates: what others may do is no part of this list. */
static cpuu_rc put_rights(const delegates *x, uint32_t folder)
{
    cpuu_rc rc = CPUU_OK;
    cpuu_row row;
    for (uint32_t i = 0; rc == CPUU_OK && row_at(x, A_MEMBERS + 2 * folder, i, &row, &rc); i++) {
        cpuu_blob id = kit_blob(&row.values[M_ID]);
        for (uint32_t k = 0; id.size && k < x->source.list.count && rc == CPUU_OK; k++) {
            cpuu_blob delegate = x->source.list.items[k].field[P_ID];
            const cpuu_link *l = kit_relink_find(&x->job.links, CPUU_LINK_EID, delegate);
            if (l && l->outcome == CPUU_REWRITTEN && cpuu_eid_same(delegate, id))
                rc = grant(x, folder, &row, l->out);
        }
    }
    return rc;
}

/* ---- the verb ------------------------------------------------------------------------------------ */

static void report(const delegates *x)
{
    char title[256];
    for (uint32_t i = 0; i < x->source.list.count; i++) {
        const person *p = &x->source.list.items[i];
        const cpuu_link *l = kit_relink_find(&x->job.links, CPUU_LINK_EID, p->field[P_ID]);
        cpuu_blob name = p->field[p->field[P_NAME].size ? P_NAME : P_NAME8];
        cpuu_value v = kit_blob_value(tags[SUBJECT], name);
        if (l)
            kit_decide(x->job.host, x->job.run, l, kit_text(&v, title, sizeof(title)));
    }
}

static cpuu_rc put_all(delegates *x)
{
    cpuu_rc rc = CPUU_OK;
    report(x);
    if (x->source.found && x->source.list.count)
        rc = put_info(x);
    x->job.quiet = true; /* its people have been reported */
    for (uint32_t i = 0; i < x->source_rules.count && rc == CPUU_OK; i++) {
        if (is_ours(&x->source_rules.items[i]))
            rc = kit_rule_upsert(&x->job, &x->source_rules.items[i], &x->target_rules, true);
    }
    for (uint32_t i = 0; i < FOLDERS && rc == CPUU_OK; i++)
        rc = put_rights(x, i);
    return rc;
}

static cpuu_rc CPUU_CALL update(const cpuu_host *host, cpuu_run *run)
{
    delegates x = {.job = {.host = host, .run = run}};
    x.source_rules.form = x.target_rules.form = CPUU_FORM_RULE;
    cpuu_rc rc = read_all(&x);
    if (rc == CPUU_OK)
        rc = translate(&x);
    if (rc == CPUU_OK)
        rc = put_all(&x);
    for (size_t i = 0; i < N_ANSWERS; i++)
        host->rows_close(x.rows[i]);
    people_free(&x.source.list);
    people_free(&x.target.list);
    kit_rules_free(&x.source_rules);
    kit_rules_free(&x.target_rules);
    kit_relink_free(&x.job.links);
    return rc;
}

static const cpuu_feature feature = {
    .size = sizeof(cpuu_feature),
    .needs = CPUU_NEED_SOURCE | CPUU_NEED_TARGET | CPUU_NEED_TARGET_WRITE,
    .links = CPUU_LINK_EID | CPUU_LINK_EX_DN | CPUU_LINK_SMTP | CPUU_LINK_SEARCH_KEY |
             CPUU_LINK_FID | CPUU_LINK_NAMED_TAG | CPUU_LINK_SOURCE_KEY | CPUU_LINK_RECORD_KEY,
    .n_reads = N_ANSWERS,
    .name = "Delegates",
    .title = "Delegates",
    .reads = reads,
    .update = update,
};

static const cpuu_feature *const features[] = {&feature, NULL};
KIT_PLUGIN(features)
