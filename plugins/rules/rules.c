/*
 * Rules: every copy a mailbox has of its rules is rewritten in one go, so that Outlook sees them
 * agree: the rules table of the Inbox, the organizer's streams, the rule messages and the reply
 * templates. Rules that are off stay as they are; the organizer's stream, the only place of client-only
 * rules, is carried whole. Rules of other providers are left to whoever made them.
 *
 * The junk e-mail rule is one of the rule messages. It is corrected where it is; with
 * RemoveJunkEmailMessages it is deleted and Outlook makes a new one.
 */
#include "stream.h"

#include <string.h>

#define ORGANIZER "IPM.RuleOrganizer" /* and IPM.RuleOrganizer.ClientRules (observed) */
#define VERSION2  "IPM.Rule.Version2.Message"
#define EXTENDED  "IPM.ExtendedRule.Message"
#define TEMPLATES "IPM.Note.rules." /* OofTemplate.*, ReplyTemplate.* */
#define JUNK      "JunkEmailRule"   /* [MS-OXCSPAM] 3.1.4.1 */
#define DELEGATES "Schedule+ EMS Interface"

enum organizer_column { O_CLASS, O_SUBJECT, O_STREAM, O_COLUMNS };
static const uint32_t organizer_tags[O_COLUMNS] = {
    [O_CLASS] = 0x001A001F,   /* PidTagMessageClass */
    [O_SUBJECT] = 0x0037001F, /* PidTagSubject */
    [O_STREAM] = 0x68020102,  /* PidTagRwRulesStream */
};

enum template_column {
    T_CLASS, T_SUBJECT, T_GUID, T_BODY, T_HTML, T_RTF, T_CODEPAGE, T_FORMAT, T_HAS_ATTACHMENTS, T_TO,
    T_CC, T_COLUMNS
};
static const uint32_t template_tags[T_COLUMNS] = {
    [T_CLASS] = 0x001A001F,           /* PidTagMessageClass */
    [T_SUBJECT] = 0x0037001F,         /* PidTagSubject */
    [T_GUID] = 0x65C20102,            /* PidTagReplyTemplateId */
    [T_BODY] = 0x1000001F,            /* PidTagBody */
    [T_HTML] = 0x10130102,            /* PidTagHtml */
    [T_RTF] = 0x10090102,             /* PidTagRtfCompressed */
    [T_CODEPAGE] = 0x3FDE0003,        /* PidTagInternetCodepage */
    [T_FORMAT] = 0x59090003,          /* PidTagMessageEditorFormat */
    [T_HAS_ATTACHMENTS] = 0x0E1B000B, /* PidTagHasAttachments */
    [T_TO] = 0x0E04001F,              /* PidTagDisplayTo */
    [T_CC] = 0x0E03001F,              /* PidTagDisplayCc */
};

enum answer {
    A_SOURCE_TABLE, A_TARGET_TABLE, A_SOURCE_ORGANIZER, A_TARGET_ORGANIZER, A_SOURCE_VERSION2,
    A_TARGET_VERSION2, A_SOURCE_EXTENDED, A_TARGET_EXTENDED, A_SOURCE_TEMPLATES,
    A_TARGET_TEMPLATES, N_ANSWERS
};
static const cpuu_query reads[N_ANSWERS] = {
    CPUU_QUERY(CPUU_SOURCE, CPUU_RULES, CPUU_ROLE_INBOX, NULL, kit_rule_row_tags),
    CPUU_QUERY(CPUU_TARGET, CPUU_RULES, CPUU_ROLE_INBOX, NULL, kit_rule_row_tags),
    CPUU_QUERY(CPUU_SOURCE, CPUU_HIDDEN, CPUU_ROLE_INBOX, ORGANIZER, organizer_tags),
    CPUU_QUERY(CPUU_TARGET, CPUU_HIDDEN, CPUU_ROLE_INBOX, ORGANIZER, organizer_tags),
    CPUU_QUERY(CPUU_SOURCE, CPUU_HIDDEN, CPUU_ROLE_INBOX, VERSION2, kit_rule_message_tags),
    CPUU_QUERY(CPUU_TARGET, CPUU_HIDDEN, CPUU_ROLE_INBOX, VERSION2, kit_rule_message_tags),
    CPUU_QUERY(CPUU_SOURCE, CPUU_HIDDEN, CPUU_ROLE_INBOX, EXTENDED, kit_rule_message_tags),
    CPUU_QUERY(CPUU_TARGET, CPUU_HIDDEN, CPUU_ROLE_INBOX, EXTENDED, kit_rule_message_tags),
    CPUU_QUERY(CPUU_SOURCE, CPUU_HIDDEN, CPUU_ROLE_INBOX, TEMPLATES, template_tags),
    CPUU_QUERY(CPUU_TARGET, CPUU_HIDDEN, CPUU_ROLE_INBOX, TEMPLATES, template_tags),
};

/* One kind of copy: where the rules of both sides are. */
typedef struct copies {
    kit_rules source, target;
} copies;

typedef struct rules {
    kit_rule_job job;
    cpuu_rows *rows[N_ANSWERS];
    copies table, version2, extended;
    kit_template *templates;
    uint32_t *tickets; /* of templates being made; UINT32_MAX = none */
    bool remove_junk;
} rules;

/* ---- which rules ------------------------------------------------------------------------------ */

/* The providers whose rules are made of documented actions ([MS-OXORULE] 2.2.1.3.2.5 and notes). */
static bool is_ours(const kit_rule *r)
{
    return kit_rule_provided_by(r, "RuleOrganizer") || kit_rule_provided_by(r, "Organizer2") ||
           kit_rule_provided_by(r, "MSFT:TDX OOF Rules");
}

static bool is_junk(const kit_rule *r)
{
    return kit_rule_provided_by(r, JUNK);
}

static bool is_processed(const rules *x, const kit_rule *r)
{
    return kit_rule_enabled(r) && (is_ours(r) || (is_junk(r) && !x->remove_junk));
}

/* ---- rows with few columns --------------------------------------------------------------------- */

/* The row of `rows`, or false at the end or on failure (then *rc). */
static bool row_at(const kit_rule_job *job, cpuu_rows *rows, uint32_t i, cpuu_row *row, cpuu_rc *rc)
{
    memset(row, 0, sizeof(*row));
    row->size = sizeof(*row);
    cpuu_rc got = job->host->rows(rows, i, row);
    if (got == CPUU_END)
        return false;
    if (got == CPUU_OK)
        got = row->rc;
    if (got != CPUU_OK) {
        *rc = job->host->fail(job->run, got, "read the rules", "Inbox");
        return false;
    }
    return true;
}

static bool same_class(const cpuu_value *a, const cpuu_value *b)
{
    return cpuu_blob_equal_nocase(kit_blob(a), kit_blob(b));
}

/* ---- reply templates --------------------------------------------------------------------------- */

static cpuu_rc take_templates(rules *x)
{
    cpuu_rc rc = CPUU_OK;
    cpuu_row row;
    uint32_t n = 0;
    while (row_at(&x->job, x->rows[A_SOURCE_TEMPLATES], n, &row, &rc))
        n++;
    x->templates = cpuu_fmt_realloc(NULL, (n + 1) * sizeof(*x->templates));
    x->tickets = cpuu_fmt_realloc(NULL, (n + 1) * sizeof(*x->tickets));
    if (!x->templates || !x->tickets)
        return kit_nomem(x->job.host, x->job.run);
    for (uint32_t i = 0; i < n && row_at(&x->job, x->rows[A_SOURCE_TEMPLATES], i, &row, &rc); i++) {
        x->templates[i] = (kit_template){.id = row.id, .guid = kit_blob(&row.values[T_GUID])};
        x->tickets[i] = UINT32_MAX;
        x->job.n_templates = i + 1;
    }
    x->job.templates = x->templates;
    return rc;
}

/* The target's template with the same PidTagReplyTemplateId, which copies keep. */
static cpuu_rc find_template(rules *x, kit_template *t)
{
    cpuu_rc rc = CPUU_OK;
    cpuu_row row;
    for (uint32_t i = 0; row_at(&x->job, x->rows[A_TARGET_TEMPLATES], i, &row, &rc); i++) {
        if (t->guid.size && cpuu_blob_equal(t->guid, kit_blob(&row.values[T_GUID])))
            t->target_id = row.id;
    }
    return rc;
}

/* Attachments and recipients are not properties: a template that has some is not copied. */
static bool is_plain(const cpuu_value *v)
{
    cpuu_blob attachments = kit_blob(&v[T_HAS_ATTACHMENTS]);
    return kit_blob(&v[T_TO]).size == 0 && kit_blob(&v[T_CC]).size == 0 &&
           kit_blob(&v[T_GUID]).size == 16 && (attachments.size == 0 || !attachments.data[0]);
}

static cpuu_rc make_template(rules *x, uint32_t index)
{
    cpuu_value set[T_COLUMNS];
    cpuu_row row;
    char title[256];
    uint32_t n = 0;
    cpuu_rc rc = CPUU_OK;
    if (!row_at(&x->job, x->rows[A_SOURCE_TEMPLATES], index, &row, &rc) || !is_plain(row.values))
        return rc;
    for (int k = 0; k < T_HAS_ATTACHMENTS; k++) {
        if (CPUU_FOUND(&row.values[k]))
            set[n++] = row.values[k];
    }
    cpuu_change change = {.size = sizeof(change), .verb = CPUU_CREATE, .what = CPUU_HIDDEN,
                          .role = CPUU_ROLE_INBOX, .set = set, .n_set = n,
                          .title = kit_text(&row.values[T_SUBJECT], title, sizeof(title))};
    return kit_change(x->job.host, x->job.run, &change, 1, &x->tickets[index]);
}

static void answer_template(rules *x, uint32_t index)
{
    kit_template *t = &x->templates[index];
    cpuu_result made = {.size = sizeof(made)};
    if (x->tickets[index] != UINT32_MAX &&
        x->job.host->result(x->job.run, x->tickets[index], &made) == CPUU_OK && made.rc == CPUU_OK)
        t->target_id = made.id;
    kit_relink_preset(&x->job.links, CPUU_LINK_EID, t->id,
                      t->target_id.size ? CPUU_REWRITTEN : CPUU_DROPPED,
                      t->target_id.size ? CPUU_WHY_OWN : CPUU_WHY_MISSING, t->target_id);
}

/* Templates that rules name are looked for at the target, or made there. */
static cpuu_rc settle_templates(rules *x)
{
    cpuu_rc rc = CPUU_OK;
    bool any = false;
    for (uint32_t i = 0; i < x->job.n_templates && rc == CPUU_OK; i++) {
        kit_template *t = &x->templates[i];
        if (!kit_relink_find(&x->job.links, CPUU_LINK_EID, t->id))
            continue;
        rc = find_template(x, t);
        if (rc == CPUU_OK && !t->target_id.size)
            rc = make_template(x, i);
        any = any || x->tickets[i] != UINT32_MAX;
    }
    if (rc == CPUU_OK && any)
        rc = x->job.host->flush(x->job.run);
    if (rc != CPUU_OK && rc != CPUU_E_STOP)
        return x->job.host->fail(x->job.run, rc, "copy the reply templates", "Inbox");
    for (uint32_t i = 0; i < x->job.n_templates && rc == CPUU_OK; i++) {
        if (kit_relink_find(&x->job.links, CPUU_LINK_EID, x->templates[i].id))
            answer_template(x, i);
    }
    return rc;
}

/* ---- collecting --------------------------------------------------------------------------------- */

static cpuu_rc read_copies(rules *x, copies *c, enum answer source, cpuu_form form)
{
    c->source.form = c->target.form = form;
    cpuu_rc rc = kit_rules_take(&x->job, x->rows[source], &c->source);
    return rc == CPUU_OK ? kit_rules_take(&x->job, x->rows[source + 1], &c->target) : rc;
}

static cpuu_rc read_all(rules *x)
{
    cpuu_rc rc = kit_read(x->job.host, x->job.run, reads, N_ANSWERS, x->rows);
    if (rc == CPUU_OK)
        rc = read_copies(x, &x->table, A_SOURCE_TABLE, CPUU_FORM_RULE);
    if (rc == CPUU_OK)
        rc = read_copies(x, &x->version2, A_SOURCE_VERSION2, CPUU_FORM_EXTENDED);
    if (rc == CPUU_OK)
        rc = read_copies(x, &x->extended, A_SOURCE_EXTENDED, CPUU_FORM_EXTENDED);
    return rc == CPUU_OK ? take_templates(x) : rc;
}

static void collect(rules *x, const kit_rules *set, bool at_target)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if (is_processed(x, &set->items[i]))
            kit_rule_collect(&x->job, set->form, &set->items[i], at_target);
    }
}

static cpuu_rc collect_streams(rules *x, enum answer which)
{
    cpuu_rc rc = CPUU_OK;
    cpuu_row row;
    for (uint32_t i = 0; row_at(&x->job, x->rows[which], i, &row, &rc); i++)
        stream_collect(&x->job.links, kit_blob(&row.values[O_STREAM]), which == A_TARGET_ORGANIZER);
    return rc;
}

static cpuu_rc translate(rules *x)
{
    const copies *all[] = {&x->table, &x->version2, &x->extended};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        collect(x, &all[i]->source, false);
        collect(x, &all[i]->target, true);
    }
    cpuu_rc rc = collect_streams(x, A_SOURCE_ORGANIZER);
    if (rc == CPUU_OK)
        rc = collect_streams(x, A_TARGET_ORGANIZER);
    if (rc == CPUU_OK)
        rc = settle_templates(x);
    return rc == CPUU_OK ? kit_relink_translate(&x->job.links, x->job.host, x->job.run) : rc;
}

/* ---- writing ------------------------------------------------------------------------------------- */

/* A rule that is off is carried by the organizer's stream, if there is one; in the table it is left. */
static void report_left(rules *x, const kit_rule *r)
{
    char title[256];
    if (is_junk(r) || kit_rule_provided_by(r, DELEGATES))
        return;
    kit_text(&r->v[KR_NAME], title, sizeof(title));
    kit_decide_as(x->job.host, x->job.run, CPUU_KEPT, CPUU_WHY_EXCLUDED, title, NULL, NULL);
}

static cpuu_rc put_copies(rules *x, copies *c, bool quiet)
{
    cpuu_rc rc = CPUU_OK;
    x->job.quiet = quiet;
    for (uint32_t i = 0; i < c->source.count && rc == CPUU_OK; i++) {
        const kit_rule *s = &c->source.items[i];
        if (is_processed(x, s))
            rc = kit_rule_upsert(&x->job, s, &c->target, !is_junk(s));
        else if (!quiet)
            report_left(x, s);
    }
    x->job.quiet = false;
    return rc;
}

static cpuu_rc write_stream(rules *x, uint32_t verb, const cpuu_row *source, cpuu_blob id,
                            const cpuu_buf *stream)
{
    cpuu_value set[O_COLUMNS];
    uint32_t n = 0;
    char title[256];
    if (verb == CPUU_CREATE) {
        set[n++] = source->values[O_CLASS];
        if (CPUU_FOUND(&source->values[O_SUBJECT]))
            set[n++] = source->values[O_SUBJECT];
    }
    set[n++] = (cpuu_value){organizer_tags[O_STREAM], (uint32_t)stream->size, stream->data};
    cpuu_change change = {.size = sizeof(change), .verb = verb, .what = CPUU_HIDDEN,
                          .role = CPUU_ROLE_INBOX, .id = id, .set = set, .n_set = n,
                          .title = kit_text(&source->values[O_CLASS], title, sizeof(title))};
    return kit_change(x->job.host, x->job.run, &change, 1, NULL);
}

/* A stream with rules of its own stays, with the links it has corrected: it may hold rules that were
 * made at the target. One that is the source's, or has no rules, becomes the source's in its new form. */
static cpuu_rc replace_stream(rules *x, const cpuu_row *source, const cpuu_row *target,
                              const cpuu_buf *wanted)
{
    cpuu_blob have = kit_blob(&target->values[O_STREAM]);
    cpuu_blob from = kit_blob(&source->values[O_STREAM]);
    cpuu_buf own;
    bool readable = false;
    if (cpuu_blob_equal(have, (cpuu_blob){wanted->data, (uint32_t)wanted->size}))
        return CPUU_OK;
    if (have.size == 0 || cpuu_blob_equal(have, from) || stream_count(have) == 0)
        return write_stream(x, CPUU_UPDATE, source, target->id, wanted);
    cpuu_buf_init(&own, 32u << 20);
    cpuu_rc rc = stream_rewrite(&x->job, have, true, NULL, &own, &readable);
    if (rc == CPUU_OK && readable &&
        !cpuu_blob_equal(have, (cpuu_blob){own.data, (uint32_t)own.size}))
        rc = write_stream(x, CPUU_UPDATE, source, target->id, &own);
    cpuu_buf_free(&own);
    x->job.host->log(x->job.run, CPUU_LOG_INFO,
                     "the target has rules of its own: its rules stream is corrected, not replaced");
    return rc;
}

static cpuu_rc put_stream(rules *x, const cpuu_row *source, bool decide)
{
    cpuu_buf wanted;
    cpuu_row target;
    bool readable, found = false;
    cpuu_buf_init(&wanted, 32u << 20);
    cpuu_rc rc = stream_rewrite(&x->job, kit_blob(&source->values[O_STREAM]), false,
                                decide ? &x->table.source : NULL, &wanted, &readable);
    if (rc == CPUU_OK && !readable && kit_blob(&source->values[O_STREAM]).size)
        kit_decide_as(x->job.host, x->job.run, CPUU_KEPT, CPUU_WHY_UNREADABLE, "Rules stream", NULL,
                      NULL);
    for (uint32_t i = 0; rc == CPUU_OK && readable && !found &&
                         row_at(&x->job, x->rows[A_TARGET_ORGANIZER], i, &target, &rc); i++) {
        found = same_class(&source->values[O_CLASS], &target.values[O_CLASS]);
        if (found)
            rc = replace_stream(x, source, &target, &wanted);
    }
    if (rc == CPUU_OK && readable && !found)
        rc = write_stream(x, CPUU_CREATE, source, (cpuu_blob){NULL, 0}, &wanted);
    cpuu_buf_free(&wanted);
    return rc;
}

static cpuu_rc put_streams(rules *x)
{
    cpuu_rc rc = CPUU_OK;
    cpuu_row row;
    for (uint32_t i = 0; row_at(&x->job, x->rows[A_SOURCE_ORGANIZER], i, &row, &rc); i++) {
        rc = put_stream(x, &row, i == 0);
        if (rc != CPUU_OK)
            break;
    }
    return rc;
}

/* ---- junk e-mail ----------------------------------------------------------------------------------- */

static cpuu_rc remove_junk(rules *x)
{
    cpuu_rc rc = CPUU_OK;
    for (uint32_t i = 0; x->remove_junk && i < x->extended.target.count && rc == CPUU_OK; i++) {
        const kit_rule *t = &x->extended.target.items[i];
        cpuu_change change = {.size = sizeof(change), .verb = CPUU_DELETE, .what = CPUU_HIDDEN,
                              .role = CPUU_ROLE_INBOX, .id = t->id, .title = "Junk e-mail settings"};
        if (is_junk(t))
            rc = kit_change(x->job.host, x->job.run, &change, 1, NULL);
    }
    return rc;
}

/* ---- the verb ---------------------------------------------------------------------------------------- */

static void close_all(rules *x)
{
    copies *all[] = {&x->table, &x->version2, &x->extended};
    for (size_t i = 0; i < N_ANSWERS; i++)
        x->job.host->rows_close(x->rows[i]);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        kit_rules_free(&all[i]->source);
        kit_rules_free(&all[i]->target);
    }
    cpuu_fmt_free(x->templates);
    cpuu_fmt_free(x->tickets);
    kit_relink_free(&x->job.links);
}

static cpuu_rc CPUU_CALL update(const cpuu_host *host, cpuu_run *run)
{
    rules x = {.job = {.host = host, .run = run}};
    x.remove_junk = host->option(run, "RemoveJunkEmailMessages") != NULL;
    cpuu_rc rc = read_all(&x);
    if (rc == CPUU_OK)
        rc = translate(&x);
    if (rc == CPUU_OK)
        rc = put_copies(&x, &x.table, false);
    if (rc == CPUU_OK)
        rc = put_copies(&x, &x.version2, true);
    if (rc == CPUU_OK)
        rc = put_copies(&x, &x.extended, false);
    if (rc == CPUU_OK)
        rc = put_streams(&x);
    if (rc == CPUU_OK)
        rc = remove_junk(&x);
    close_all(&x);
    return rc;
}

static const cpuu_feature feature = {
    .size = sizeof(cpuu_feature),
    .needs = CPUU_NEED_SOURCE | CPUU_NEED_TARGET | CPUU_NEED_TARGET_WRITE | CPUU_NEED_OTHERS |
             CPUU_NEED_PUBLIC,
    .links = CPUU_LINK_EID | CPUU_LINK_EX_DN | CPUU_LINK_SMTP | CPUU_LINK_SEARCH_KEY |
             CPUU_LINK_FID | CPUU_LINK_NAMED_TAG | CPUU_LINK_SOURCE_KEY | CPUU_LINK_RECORD_KEY,
    .n_reads = N_ANSWERS,
    .name = "Rules",
    .title = "Rules",
    .reads = reads,
    .update = update,
};

static const cpuu_feature *const features[] = {&feature, NULL};
KIT_PLUGIN(features)
