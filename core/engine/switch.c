/* The Switch Message in the source mailbox, and the switch of the profile that follows from it. */
#include "engine/job.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

/* ---- reading --------------------------------------------------------------------------------- */

static const uint32_t switch_tags[] = {
    0x001A001Fu, /* PidTagMessageClass */
    0x7C080102u  /* PidTagRoamingXmlStream */
};

const cpuu_mail_op cpuu_switch_op = {.verb = CPUU_MAIL_READ, .what = CPUU_HIDDEN,
                                     .role = CPUU_ROLE_INBOX, .filter = CPUU_SWITCH_CLASS,
                                     .tags = switch_tags, .n_tags = 2};

/* Rows may hold messages whose class only begins like ours. */
static bool is_switch(const cpuu_mail_row *row)
{
    const cpuu_value *class = row->rc == CPUU_OK && row->n_values == 2 ? &row->values[0] : NULL;
    return class && class->size == strlen(CPUU_SWITCH_CLASS) &&
           cpuu_ncasecmp((const char *)class->data, CPUU_SWITCH_CLASS, class->size) == 0;
}

bool cpuu_switch_guess(const cpuu_mail_row *row, cpuu_switch_message *out)
{
    return is_switch(row) && CPUU_FOUND(&row->values[1]) &&
           cpuu_switch_parse(row->values[1].data, row->values[1].size, out, NULL) == CPUU_OK;
}

static cpuu_rc take_rows(const cpuu_mail_rows *rows, cpuu_switch_message *out, cpuu_error *err)
{
    const cpuu_mail_row *found = NULL;
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->items[i].rc < 0)
            return cpuu_fail(err, CPUU_E_IO, "a hidden message of the Inbox cannot be read");
        if (!is_switch(&rows->items[i]))
            continue;
        if (found)
            return cpuu_fail(err, CPUU_E_FORMAT, "the mailbox has several Switch Messages; which of "
                             "them holds could only be guessed");
        found = &rows->items[i];
    }
    if (!found)
        return cpuu_fail(err, CPUU_E_NOTFOUND, "the mailbox has no Switch Message");
    const cpuu_value *xml = &found->values[1];
    if (!CPUU_FOUND(xml))
        return cpuu_fail(err, CPUU_E_FORMAT, "the Switch Message has no content");
    return cpuu_switch_parse(xml->data, xml->size, out, err);
}

cpuu_rc cpuu_switch_read(void *user, cpuu_mail *mail, cpuu_mailbox **boxes, size_t n, cpuu_rc *rcs,
                         cpuu_switch_message *out)
{
    cpuu_log *log = user;
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_mail_op *ops = cpuu_calloc(n, sizeof(*ops));
    if (!ops)
        return CPUU_E_NOMEM;
    for (size_t i = 0; i < n; i++) {
        ops[i] = cpuu_switch_op;
        ops[i].box = boxes[i];
    }
    cpuu_rc rc = cpuu_mail_run(mail, ops, n, &err);
    for (size_t i = 0; i < n; i++) {
        cpuu_error why = ops[i].error;
        if (rc == CPUU_OK)
            rcs[i] = ops[i].rc < 0 ? ops[i].rc : take_rows(&ops[i].rows, &out[i], &why);
        if (rc == CPUU_OK && rcs[i] < 0)
            cpuu_logf(log, rcs[i] == CPUU_E_NOTFOUND ? CPUU_LV_INFO : CPUU_LV_WARNING,
                      "Mailbox '%s': %s", cpuu_mailbox_get_info(boxes[i])->smtp, why.text);
        cpuu_mail_op_clear(&ops[i]);
    }
    cpuu_free(ops);
    return rc;
}

/* ---- switching ------------------------------------------------------------------------------- */

/* True when the OST folder is known and already has a file of that name. */
static bool ost_taken(const cpuu_job *job, const char *name)
{
    cpuu_error why = CPUU_ERROR_INIT;
    char *path = NULL;
    if (!job->local_dir)
        return false;
    cpuu_rc rc = cpuu_path_nocase(job->local_dir, name, &path, &why);
    cpuu_free(path);
    return rc == CPUU_OK;
}

/*
 * Where the target's OST will be: the folder of the old one, "<smtp>.ost", with the profile name and
 * then a number when that name is taken (profile registry reference 8.4: done so by tools in the
 * field). An OST belongs to one mailbox, so the old file is not named again, unless it is kept.
 */
static char *new_ost_path(cpuu_job *job, const cpuu_account *account)
{
    const char *slash = strrchr(account->ost_path, '\\');
    size_t folder = slash ? (size_t)(slash - account->ost_path) + 1 : 0;
    for (unsigned i = 0; i < 100; i++) {
        char *name = i == 0   ? cpuu_asprintf("%s.ost", job->target_smtp)
                     : i == 1 ? cpuu_asprintf("%s - %s.ost", job->target_smtp, job->name)
                              : cpuu_asprintf("%s - %s(%u).ost", job->target_smtp, job->name, i - 1);
        if (!name)
            return NULL;
        bool same = cpuu_name_eq(account->ost_path + folder, name);
        char *path = same || ost_taken(job, name)
                         ? NULL
                         : cpuu_asprintf("%.*s%s", (int)folder, account->ost_path, name);
        cpuu_free(name);
        if (path)
            return path;
    }
    return NULL;
}

static cpuu_identity source_identity(const cpuu_job *job)
{
    cpuu_identity id = {.smtp = job->source_smtp, .legacy_dn = job->source_dn};
    if (job->c.source) {
        const cpuu_mailbox_info *info = cpuu_mailbox_get_info(job->c.source);
        id.store_uid = info->mailbox_guid;
        id.store_entryid = info->store_entryid;
    }
    return id;
}

static cpuu_identity target_identity(const cpuu_job *job)
{
    cpuu_identity id = {.smtp = job->target_smtp, .legacy_dn = job->target_dn,
                        .display_name = job->target_name};
    if (job->c.target) {
        const cpuu_mailbox_info *info = cpuu_mailbox_get_info(job->c.target);
        id.store_uid = info->mailbox_guid;
        id.store_entryid = info->store_entryid;
        cpuu_mailbox_role(job->c.target, CPUU_ROLE_INBOX, &id.inbox_entryid);
        id.ews_url = job->c.target_ad.ews_url;
    }
    return id;
}

static cpuu_rc stage_backup(cpuu_job *job, cpuu_error *err)
{
    char name[64] = CPUU_BACKUP_PREFIX;
    uint8_t guid[16];
    if (job->e->settings->backup_copy_in_journal_only)
        return CPUU_OK;
    if (!cpuu_guid_random(guid))
        return cpuu_fail(err, CPUU_E_FAILED, "the system gives no random numbers");
    cpuu_hex(name + strlen(name), guid, sizeof(guid));
    /* The copy is of the profile as it is in the registry, not as staged. */
    cpuu_profile *before;
    cpuu_rc rc = cpuu_profile_open(job->reg, job->root, job->name, &before, err);
    if (rc == CPUU_OK) {
        rc = cpuu_profile_copy(before, name, NULL, &job->edits, err);
        cpuu_profile_free(before);
    }
    if (rc == CPUU_OK && job->journal)
        rc = cpuu_journal_put(job->journal, "backup", name, strlen(name), err);
    if (rc != CPUU_OK)
        return cpuu_job_fail(job, CPUU_PROFILE_FAILED_TO_CREATE_BACKUP, CPUU_EXIT_SWITCH_ERR, err);
    cpuu_report_change(job->e->report, "Profiles", "backup copy", NULL, name, 0);
    return CPUU_OK;
}

static cpuu_rc stage_marker(cpuu_job *job, cpuu_error *err)
{
    cpuu_marker m = {.journal_id = (char *)(job->journal ? cpuu_journal_id(job->journal) : ""),
                     .profile_key = job->profile->key,
                     .target_dn = (char *)(job->target_dn ? job->target_dn : ""),
                     .target_smtp = (char *)job->target_smtp};
    return cpuu_marker_write(&job->edits, &m, err);
}

/* A value for a person: text where it is text, else the first bytes. */
static void render(char *out, size_t out_size, const char *name, uint32_t type, const uint8_t *data,
                   uint32_t size)
{
    bool wide = type == CPUU_REG_SZ || type == CPUU_REG_EXPAND_SZ ||
                (type == CPUU_REG_BINARY && strncmp(name, "001f", 4) == 0);
    if (wide && size % 2 == 0) {
        cpuu_buf b;
        cpuu_buf_init(&b, 4096);
        while (size >= 2 && data[size - 1] == 0 && data[size - 2] == 0)
            size -= 2;
        bool ok = cpuu_buf_utf8_from_utf16(&b, data, size) && cpuu_buf_u8(&b, 0);
        if (ok)
            snprintf(out, out_size, "%s", (const char *)b.data);
        cpuu_buf_free(&b);
        if (ok)
            return;
    }
    if (type == CPUU_REG_DWORD && size == 4) {
        snprintf(out, out_size, "%u", cpuu_le32(data));
        return;
    }
    char hex[2 * 24 + 1];
    cpuu_hex(hex, data, size < 24 ? size : 24);
    snprintf(out, out_size, "%s%s (%u bytes)", hex, size > 24 ? "..." : "", size);
}

static void report_edit(cpuu_job *job, const cpuu_edit *edit)
{
    char before[512] = "", after[512] = "";
    cpuu_reg_values v = {0};
    const char *below = edit->key;
    if (cpuu_ncasecmp(below, job->profile->key, strlen(job->profile->key)) == 0 &&
        below[strlen(job->profile->key)] == '\\')
        below += strlen(job->profile->key) + 1;
    if (edit->name && cpuu_reg_get(job->reg, edit->key, edit->name, &v, NULL) == CPUU_OK)
        render(before, sizeof(before), edit->name, v.items[0].type, v.items[0].data,
               v.items[0].size);
    if (edit->kind == CPUU_EDIT_SET)
        render(after, sizeof(after), edit->name, edit->type, edit->data, edit->size);
    char title[256];
    if (edit->name && edit->title)
        snprintf(title, sizeof(title), "%s (%s)", edit->name, edit->title);
    else
        snprintf(title, sizeof(title), "%s", edit->name ? edit->name : edit->title ? edit->title : "");
    const bool goes = edit->kind == CPUU_EDIT_DELETE_KEY, comes = edit->kind == CPUU_EDIT_CREATE_KEY;
    cpuu_report_change(job->e->report, below, *title ? title : NULL,
                       *before ? before : goes ? "(the key)" : NULL,
                       *after ? after : comes ? "(the key)" : NULL, (char)edit->mark);
    cpuu_reg_values_free(&v);
}

/* Says what the switch changes, and how sure the sources of these facts are (R10). */
static void report_switch(cpuu_job *job, size_t from)
{
    unsigned n[4] = {0};
    for (size_t i = from; i < job->edits.count; i++) {
        const cpuu_edit *edit = &job->edits.items[i];
        report_edit(job, edit);
        n[edit->mark == CPUU_MARK_DOCUMENTED ? 0 : edit->mark == CPUU_MARK_INFERRED ? 2 : 1]++;
    }
    cpuu_logf(job->e->log, CPUU_LV_INFO,
              "Profile '%s': the switch changes %zu values: %u documented, %u observed or used in the "
              "field, %u inferred.", job->name, job->edits.count - from, n[0], n[1], n[2]);
}

static void report_leftovers(cpuu_job *job, const cpuu_identity *source)
{
    cpuu_leftovers left = {0};
    cpuu_error why = CPUU_ERROR_INIT;
    cpuu_rc rc = cpuu_profile_scan(job->profile, source, &left, &why);
    if (rc != CPUU_OK)
        cpuu_logf(job->e->log, CPUU_LV_WARNING, "Cannot look for left-over source identities: %s",
                  why.text);
    for (size_t i = 0; i < left.count; i++)
        cpuu_logf(job->e->log, CPUU_LV_INFO, "Profile '%s': %s of the source stays in %s, value %s.",
                  job->name, left.items[i].what, left.items[i].key, left.items[i].value);
    char count[24];
    snprintf(count, sizeof(count), "%zu", left.count);
    cpuu_report_fact(job->e->report, "leftovers", count);
    cpuu_leftovers_free(&left);
}

/* An update must not leave a finding that was not there before. */
static cpuu_rc check_invariants(cpuu_job *job, cpuu_error *err)
{
    cpuu_findings before = {0}, after = {0};
    cpuu_profile *old = NULL;
    cpuu_rc rc = cpuu_profile_open(job->reg, job->root, job->name, &old, err);
    if (rc == CPUU_OK)
        rc = cpuu_profile_check(old, &before, err);
    if (rc == CPUU_OK)
        rc = cpuu_profile_check(job->profile, &after, err);
    for (size_t i = 0; rc == CPUU_OK && i < after.count; i++) {
        bool known = !after.items[i].fatal;
        for (size_t k = 0; k < before.count && !known; k++)
            known = strcmp(after.items[i].text, before.items[k].text) == 0 &&
                    cpuu_caseeq(after.items[i].section, before.items[k].section);
        if (!known)
            rc = cpuu_fail(err, CPUU_E_FAILED, "the switched profile would not be sound: section %s: "
                           "%s; nothing was written", after.items[i].section, after.items[i].text);
    }
    cpuu_profile_free(old);
    cpuu_findings_free(&before);
    cpuu_findings_free(&after);
    return rc;
}

cpuu_rc cpuu_stage_switch(cpuu_job *job, const cpuu_account *account, cpuu_error *err)
{
    const cpuu_settings *s = job->e->settings;
    cpuu_identity source = source_identity(job), target = target_identity(job);
    char *ost = job->ost.keep                          ? cpuu_strdup(job->ost.path)
                : account->ost_path && account->cached ? new_ost_path(job, account)
                                                       : NULL;
    cpuu_switch_options o = {.name_target_as_source = s->name_target_as_source,
                             .disable_scp = !cpuu_settings_keep_scp(s), .ost_path = ost};
    size_t from = job->edits.count;
    cpuu_rc rc = cpuu_profile_switch(job->profile, account, &source, &target, &o, &job->edits, err);
    cpuu_free(ost);
    if (rc == CPUU_OK)
        report_switch(job, from);
    if (rc == CPUU_OK)
        rc = cpuu_job_reload(job, err);
    if (rc == CPUU_OK)
        rc = check_invariants(job, err);
    if (rc == CPUU_OK)
        report_leftovers(job, &source);
    if (rc == CPUU_OK)
        rc = stage_backup(job, err);
    if (rc == CPUU_OK)
        rc = stage_marker(job, err);
    if (rc == CPUU_OK)
        rc = cpuu_reg_check(job->reg, &job->edits, err);
    return rc;
}
