#include "common/rulekit.h"

#include <stdio.h>
#include <string.h>

#define MAX_RULE (4u << 20) /* bytes of conditions or actions */

const uint32_t kit_rule_row_tags[KR_COLUMNS - 1] = {
    [KR_SEQUENCE] = 0x66760003,      /* PidTagRuleSequence */
    [KR_STATE] = 0x66770003,         /* PidTagRuleState */
    [KR_USER_FLAGS] = 0x66780003,    /* PidTagRuleUserFlags */
    [KR_LEVEL] = 0x66830003,         /* PidTagRuleLevel */
    [KR_PROVIDER] = 0x6681001F,      /* PidTagRuleProvider */
    [KR_NAME] = 0x6682001F,          /* PidTagRuleName */
    [KR_PROVIDER_DATA] = 0x66840102, /* PidTagRuleProviderData */
    [KR_CONDITION] = 0x667900FD,     /* PidTagRuleCondition */
    [KR_ACTIONS] = 0x668000FE,       /* PidTagRuleActions */
};
const uint32_t kit_rule_message_tags[KR_COLUMNS] = {
    [KR_SEQUENCE] = 0x65F30003,      /* PidTagRuleMessageSequence */
    [KR_STATE] = 0x65E90003,         /* PidTagRuleMessageState */
    [KR_USER_FLAGS] = 0x65EA0003,    /* PidTagRuleMessageUserFlags */
    [KR_LEVEL] = 0x65ED0003,         /* PidTagRuleMessageLevel */
    [KR_PROVIDER] = 0x65EB001F,      /* PidTagRuleMessageProvider */
    [KR_NAME] = 0x65EC001F,          /* PidTagRuleMessageName */
    [KR_PROVIDER_DATA] = 0x65EE0102, /* PidTagRuleMessageProviderData */
    [KR_CONDITION] = 0x0E9A0102,     /* PidTagExtendedRuleMessageCondition */
    [KR_ACTIONS] = 0x0E990102,       /* PidTagExtendedRuleMessageActions */
    [KR_CLASS] = 0x001A001F,         /* PidTagMessageClass */
};

static const uint32_t *tags_of(cpuu_form form)
{
    return form == CPUU_FORM_RULE ? kit_rule_row_tags : kit_rule_message_tags;
}

static unsigned columns_of(cpuu_form form)
{
    return form == CPUU_FORM_RULE ? KR_COLUMNS - 1 : KR_COLUMNS;
}

/* ---- reading --------------------------------------------------------------------------------- */

cpuu_rc kit_rules_take(const kit_rule_job *job, cpuu_rows *rows, kit_rules *out)
{
    for (uint32_t i = 0;; i++) {
        cpuu_row row = {.size = sizeof(row)};
        cpuu_rc rc = job->host->rows(rows, i, &row);
        if (rc == CPUU_END)
            return CPUU_OK;
        if (rc == CPUU_OK)
            rc = row.rc;
        if (rc != CPUU_OK)
            return job->host->fail(job->run, rc, "read the rules", "Inbox");
        if (out->count == out->cap) {
            uint32_t cap = out->cap ? 2 * out->cap : 32;
            kit_rule *p = cpuu_fmt_realloc(out->items, cap * sizeof(*p));
            if (!p)
                return kit_nomem(job->host, job->run);
            out->items = p;
            out->cap = cap;
        }
        out->items[out->count++] = (kit_rule){row.id, row.values, false};
    }
}

void kit_rules_free(kit_rules *set)
{
    cpuu_fmt_free(set->items);
    memset(set, 0, sizeof(*set));
}

bool kit_rule_enabled(const kit_rule *rule)
{
    return kit_u32(&rule->v[KR_STATE], 0) & KR_ENABLED;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

bool kit_rule_provided_by(const kit_rule *rule, const char *prefix)
{
    cpuu_blob b = kit_blob(&rule->v[KR_PROVIDER]);
    uint32_t at = 0;
    for (; *prefix; prefix++) {
        if (*prefix == ' ')
            continue;
        while (at < b.size && b.data[at] == ' ')
            at++;
        if (at == b.size || lower(b.data[at++]) != lower((uint8_t)*prefix))
            return false;
    }
    return true;
}

/* ---- rewriting ------------------------------------------------------------------------------- */

typedef struct rule_text {
    cpuu_buf condition, actions;
} rule_text;

static void text_free(rule_text *t)
{
    cpuu_buf_free(&t->condition);
    cpuu_buf_free(&t->actions);
}

/* The SMTP address beside a recipient's other properties, as UTF-8 in `out`. */
static void recipient_smtp(const cpuu_rule_recipient *who, cpuu_form form, cpuu_buf *out)
{
    cpuu_reader r;
    cpuu_rawprop p;
    cpuu_reader_init(&r, who->values.data, who->values.size);
    for (uint32_t i = 0; i < who->n && cpuu_rawprop_read(&r, form, &p); i++) {
        if (p.tag == 0x39FE001Fu && cpuu_buf_utf8_from_utf16(out, p.value.data, p.value.size))
            cpuu_buf_u8(out, 0); /* PidTagSmtpAddress */
    }
}

/* Collects the links of recipients together with the address stored beside them. */
static void collect_recipients(kit_relink *links, cpuu_form form, const cpuu_rule_action *action)
{
    cpuu_rule_recipients list;
    cpuu_rule_recipient who;
    if (!cpuu_rule_recipients_open(action, form, &list, NULL))
        return;
    while (cpuu_rule_recipient_next(&list, &who)) {
        cpuu_reader r;
        cpuu_buf smtp, scratch;
        cpuu_rewriter w = {.cb = kit_relink_cb, .user = links};
        cpuu_buf_init(&smtp, MAX_RULE);
        cpuu_buf_init(&scratch, MAX_RULE);
        recipient_smtp(&who, form, &smtp);
        links->smtp = smtp.size && !smtp.failed ? (const char *)smtp.data : NULL;
        cpuu_reader_init(&r, who.values.data, who.values.size);
        cpuu_rawprop_rewrite_row(&r, form, who.n, &w, &scratch);
        links->smtp = NULL;
        links->failed = links->failed || smtp.failed || scratch.failed;
        cpuu_buf_free(&smtp);
        cpuu_buf_free(&scratch);
    }
}

static const kit_template *template_of(const kit_rule_job *job, const uint8_t guid[16])
{
    for (uint32_t i = 0; i < job->n_templates; i++) {
        const kit_template *t = &job->templates[i];
        if (t->guid.size == 16 && memcmp(t->guid.data, guid, 16) == 0)
            return t;
    }
    return NULL;
}

/* The message id of a template: the replica number of its folder's id and the counter of its EntryID
 * ([MS-OXCDATA] 2.2.4.2), where both are of one replica. All zero: not known. */
static void message_id(const uint8_t fid[8], cpuu_blob eid, uint8_t mid[8])
{
    memset(mid, 0, 8);
    if (eid.size != 70 || memcmp(eid.data + 22, eid.data + 46, 16) != 0)
        return;
    memcpy(mid, fid, 2);
    memcpy(mid + 2, eid.data + 62, 6);
}

/* The folder and the message of a reply template change together, or the rule is dead. */
static void put_template(kit_rule_job *job, cpuu_rule_reply *reply)
{
    kit_relink *links = &job->links;
    const kit_template *t = template_of(job, reply->guid);
    cpuu_buf fid, eid;
    if (links->ignore & CPUU_LINK_FID)
        return;
    cpuu_buf_init(&fid, 64);
    cpuu_buf_init(&eid, 256);
    bool moved = t && kit_relink_cb(links, CPUU_LINK_EID, t->id, &eid);
    kit_relink_cb(links, CPUU_LINK_FID, (cpuu_blob){reply->fid, sizeof(reply->fid)}, &fid);
    kit_relink_hush(links, CPUU_LINK_FID, (cpuu_blob){reply->fid, sizeof(reply->fid)});
    if (links->translated) {
        links->dead = links->dead || !moved;
        if (fid.size == sizeof(reply->fid))
            memcpy(reply->fid, fid.data, sizeof(reply->fid));
        message_id(reply->fid, moved ? t->target_id : (cpuu_blob){NULL, 0}, reply->mid);
    }
    links->failed = links->failed || fid.failed || eid.failed;
    cpuu_buf_free(&fid);
    cpuu_buf_free(&eid);
}

/* Standard actions name a reply template by ids the codec leaves alone. */
static bool put_replies(kit_rule_job *job, cpuu_blob in, cpuu_buf *out)
{
    cpuu_rule_actions list;
    cpuu_rule_action a;
    if (!cpuu_rule_actions_open(in, CPUU_FORM_RULE, &list, NULL) ||
        !cpuu_rule_actions_begin(out, CPUU_FORM_RULE, &list.names, list.version, list.n))
        return false;
    while (cpuu_rule_action_next(&list, &a)) {
        cpuu_rule_reply reply;
        cpuu_buf data;
        cpuu_buf_init(&data, MAX_RULE);
        if (!job->links.translated && (a.type == CPUU_OP_FORWARD || a.type == CPUU_OP_DELEGATE))
            collect_recipients(&job->links, CPUU_FORM_RULE, &a);
        if ((a.type == CPUU_OP_REPLY || a.type == CPUU_OP_OOF_REPLY) &&
            cpuu_rule_reply_decode(&a, CPUU_FORM_RULE, &reply, NULL)) {
            put_template(job, &reply);
            if (cpuu_rule_reply_encode(&data, CPUU_FORM_RULE, &reply))
                a.data = (cpuu_blob){data.data, (uint32_t)data.size};
        }
        cpuu_rule_action_write(out, CPUU_FORM_RULE, &a);
        out->failed = out->failed || data.failed;
        cpuu_buf_free(&data);
    }
    return !list.rest.failed && !out->failed;
}

static bool put_condition(kit_rule_job *job, cpuu_form form, cpuu_blob in, cpuu_buf *out)
{
    if (in.size == 0)
        return true;
    return form == CPUU_FORM_RULE
               ? cpuu_restriction_rewrite(in, form, kit_relink_cb, &job->links, out, NULL, NULL)
               : cpuu_rule_condition_rewrite(in, form, kit_relink_cb, &job->links, out, NULL, NULL);
}

static bool put_actions(kit_rule_job *job, cpuu_form form, cpuu_blob in, cpuu_buf *out)
{
    cpuu_buf first;
    if (in.size == 0)
        return true;
    if (form != CPUU_FORM_RULE)
        return cpuu_rule_actions_rewrite(in, form, kit_relink_cb, &job->links, out, NULL, NULL);
    cpuu_buf_init(&first, MAX_RULE);
    bool ok = put_replies(job, in, &first) &&
              cpuu_rule_actions_rewrite((cpuu_blob){first.data, (uint32_t)first.size}, form,
                                        kit_relink_cb, &job->links, out, NULL, NULL);
    out->failed = out->failed || first.failed;
    cpuu_buf_free(&first);
    return ok;
}

/* Condition and actions with their links in place; false when the rule cannot be read, or is out of
 * memory (then links.failed). Free `out` either way. */
static bool rewrite(kit_rule_job *job, cpuu_form form, const kit_rule *rule, rule_text *out)
{
    cpuu_buf_init(&out->condition, MAX_RULE);
    cpuu_buf_init(&out->actions, MAX_RULE);
    return put_condition(job, form, kit_blob(&rule->v[KR_CONDITION]), &out->condition) &&
           put_actions(job, form, kit_blob(&rule->v[KR_ACTIONS]), &out->actions);
}

void kit_rule_collect(kit_rule_job *job, cpuu_form form, const kit_rule *rule, bool at_target)
{
    rule_text text;
    kit_relink_begin(&job->links, at_target ? KIT_OWN_IDS : 0);
    rewrite(job, form, rule, &text);
    job->links.failed = job->links.failed || text.condition.failed || text.actions.failed;
    text_free(&text);
}

/* ---- matching -------------------------------------------------------------------------------- */

static bool same(const kit_rule *a, const kit_rule *b, enum kit_rule_column k)
{
    return cpuu_blob_equal(kit_blob(&a->v[k]), kit_blob(&b->v[k]));
}

/* How surely two rules of one provider are the same: 0 = they are not. */
static unsigned likeness(cpuu_form form, const kit_rule *s, const kit_rule *t)
{
    if (!same(s, t, KR_PROVIDER) || (form != CPUU_FORM_RULE && !same(s, t, KR_CLASS)))
        return 0;
    bool data = same(s, t, KR_PROVIDER_DATA), name = same(s, t, KR_NAME);
    bool sequence = same(s, t, KR_SEQUENCE);
    if (name && data)
        return sequence ? 4 : 3;
    if (name && sequence)
        return 2;
    return same(s, t, KR_CONDITION) && same(s, t, KR_ACTIONS) ? 1 : 0;
}

static kit_rule *match(const kit_rule *s, kit_rules *target)
{
    kit_rule *best = NULL;
    unsigned most = 0;
    for (uint32_t i = 0; i < target->count; i++) {
        kit_rule *t = &target->items[i];
        unsigned n = t->taken ? 0 : likeness(target->form, s, t);
        if (n > most) {
            most = n;
            best = t;
        }
    }
    return best;
}

/* ---- writing --------------------------------------------------------------------------------- */

typedef struct change_set {
    cpuu_value set[KR_COLUMNS];
    uint32_t n;
    uint8_t state[4];
} change_set;

static void put(change_set *c, uint32_t tag, cpuu_blob b)
{
    c->set[c->n++] = kit_blob_value(tag, b);
}

static void put_state(change_set *c, cpuu_form form, uint32_t state)
{
    for (int i = 0; i < 4; i++)
        c->state[i] = (uint8_t)(state >> (8 * i));
    put(c, tags_of(form)[KR_STATE], (cpuu_blob){c->state, 4});
}

static cpuu_blob blob_of(const cpuu_buf *b)
{
    return (cpuu_blob){b->data, (uint32_t)b->size};
}

static cpuu_rc queue(kit_rule_job *job, uint32_t verb, cpuu_form form, cpuu_blob id,
                     const change_set *c, const char *title)
{
    cpuu_change change = {.size = sizeof(change), .verb = verb, .id = id, .set = c->set,
                          .what = form == CPUU_FORM_RULE ? CPUU_RULES : CPUU_HIDDEN,
                          .role = CPUU_ROLE_INBOX, .n_set = c->n, .title = title};
    return c->n ? kit_change(job->host, job->run, &change, 1, NULL) : CPUU_OK;
}

static cpuu_rc create(kit_rule_job *job, cpuu_form form, const kit_rule *s, const rule_text *text,
                      uint32_t state, const char *title)
{
    change_set c = {.n = 0};
    for (unsigned k = 0; k < columns_of(form); k++) {
        if (k == KR_STATE)
            put_state(&c, form, state);
        else if (k == KR_CONDITION && text->condition.size)
            put(&c, tags_of(form)[k], blob_of(&text->condition));
        else if (k == KR_ACTIONS && text->actions.size)
            put(&c, tags_of(form)[k], blob_of(&text->actions));
        else if (k != KR_CONDITION && k != KR_ACTIONS && CPUU_FOUND(&s->v[k]))
            put(&c, tags_of(form)[k], kit_blob(&s->v[k]));
    }
    return queue(job, CPUU_CREATE, form, (cpuu_blob){NULL, 0}, &c, title);
}

/* What is still the source's gets the source's text in its new form. What differs was adapted already,
 * by the mailbox move or by the user: there only people and other unmistakable links are corrected. */
static cpuu_rc correct(kit_rule_job *job, cpuu_form form, const kit_rule *s, const kit_rule *t,
                       const rule_text *text, uint32_t state, const char *title)
{
    static const enum kit_rule_column columns[] = {KR_CONDITION, KR_ACTIONS};
    const cpuu_buf *wanted[] = {&text->condition, &text->actions};
    change_set c = {.n = 0};
    rule_text own;
    kit_relink_begin(&job->links, KIT_OWN_IDS);
    bool readable = rewrite(job, form, t, &own);
    const cpuu_buf *adapted[] = {&own.condition, &own.actions};
    for (int i = 0; i < 2; i++) {
        cpuu_blob have = kit_blob(&t->v[columns[i]]);
        bool copied = same(s, t, columns[i]);
        cpuu_blob want = copied ? blob_of(wanted[i]) : readable ? blob_of(adapted[i]) : have;
        if (cpuu_blob_equal(want, have) || want.size == 0)
            continue;
        put(&c, tags_of(form)[columns[i]], want);
        if (copied && columns[i] == KR_ACTIONS && kit_u32(&t->v[KR_STATE], 0) != state)
            put_state(&c, form, state);
    }
    const bool failed = job->links.failed || own.condition.failed || own.actions.failed;
    cpuu_rc rc = failed ? kit_nomem(job->host, job->run)
                        : queue(job, CPUU_UPDATE, form, t->id, &c, title);
    text_free(&own);
    return rc;
}

static void warn_dead(kit_rule_job *job, const char *title)
{
    char line[400];
    snprintf(line, sizeof(line),
             "the rule '%.250s' is switched off at the target: something it needs is not there", title);
    job->host->log(job->run, CPUU_LOG_WARNING, line);
}

cpuu_rc kit_rule_upsert(kit_rule_job *job, const kit_rule *source, kit_rules *target, bool may_create)
{
    char title[256];
    rule_text text;
    uint32_t state = kit_u32(&source->v[KR_STATE], 0) & ~KR_ERRORS;
    cpuu_rc rc = CPUU_OK;
    if (!*kit_text(&source->v[KR_NAME], title, sizeof(title)))
        snprintf(title, sizeof(title), "rule without a name");
    kit_relink_begin(&job->links, 0);
    bool readable = rewrite(job, target->form, source, &text);
    bool dead = job->links.dead;
    kit_rule *t = match(source, target);
    if (t)
        t->taken = true;
    if (job->links.failed || text.condition.failed || text.actions.failed) {
        rc = kit_nomem(job->host, job->run);
    } else if (!readable) {
        if (!job->quiet)
            kit_decide_as(job->host, job->run, CPUU_KEPT, CPUU_WHY_UNREADABLE, title, NULL, NULL);
    } else if (t || may_create) {
        if (!job->quiet)
            kit_relink_report(&job->links, job->host, job->run, title);
        if (dead)
            state &= ~KR_ENABLED;
        if (dead && !job->quiet)
            warn_dead(job, title);
        rc = t ? correct(job, target->form, source, t, &text, state, title)
               : create(job, target->form, source, &text, state, title);
    }
    text_free(&text);
    return rc;
}
