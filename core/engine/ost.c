/*
 * The offline file (OST) of the source mailbox. It belongs to one mailbox and is left behind by the
 * switch, unless a Recreate message (D5) in the source's Inbox says that the target mailbox was
 * made for it: then KeepOST goes on using it, BackupOST copies it first, and a .reg file can bring
 * a lost link to it back. The file itself is never changed and never deleted.
 */
#include "engine/job.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

/* ---- the Recreate message -------------------------------------------------------------------- */

static const uint32_t recreate_tags[] = {
    0x001A001Fu, /* PidTagMessageClass */
    0x7C080102u  /* PidTagRoamingXmlStream */
};

/* Every message of the class must be a good one: there is no telling which of several holds. */
static cpuu_rc take_rows(const cpuu_mail_rows *rows, cpuu_error *err)
{
    bool found = false;
    for (size_t i = 0; i < rows->count; i++) {
        const cpuu_mail_row *row = &rows->items[i];
        const cpuu_value *class = row->rc == CPUU_OK && row->n_values == 2 ? row->values : NULL;
        if (!class)
            return cpuu_fail(err, CPUU_E_IO, "a hidden message of the Inbox cannot be read");
        if (class->size != strlen(CPUU_RECREATE_CLASS)) /* the filter is a prefix */
            continue;
        if (!CPUU_FOUND(&class[1]))
            return cpuu_fail(err, CPUU_E_FORMAT, "the Recreate message has no content");
        cpuu_rc rc = cpuu_recreate_parse(class[1].data, class[1].size, err);
        if (rc != CPUU_OK)
            return rc;
        found = true;
    }
    return found ? CPUU_OK : cpuu_fail(err, CPUU_E_NOTFOUND, "the mailbox has no Recreate message");
}

static cpuu_rc read_recreate(cpuu_job *job, cpuu_error *err)
{
    cpuu_mail_op op = {.verb = CPUU_MAIL_READ,
                       .box = job->c.source,
                       .what = CPUU_HIDDEN,
                       .role = CPUU_ROLE_INBOX,
                       .filter = CPUU_RECREATE_CLASS,
                       .tags = recreate_tags,
                       .n_tags = 2};
    cpuu_rc rc = cpuu_mail_run(job->c.mail, &op, 1, err);
    if (rc == CPUU_OK && op.rc < 0) {
        *err = op.error;
        rc = op.rc;
    } else if (rc == CPUU_OK) {
        rc = take_rows(&op.rows, err);
    }
    cpuu_mail_op_clear(&op);
    return rc;
}

/* ---- where the file is ----------------------------------------------------------------------- */

/* The file as this machine sees it: only in Outlook's local folder of the user, which is all that
 * can be reached of a profile on another disk. NULL when it is elsewhere, or not there. */
static char *find_file(const cpuu_job *job, const char *ost)
{
    static const char folder[] = "\\Microsoft\\Outlook\\";
    const size_t n = sizeof(folder) - 1;
    const char *base = strrchr(ost, '\\');
    cpuu_error why = CPUU_ERROR_INIT;
    char *path = NULL;
    if (!base || !job->local_dir || (size_t)(base + 1 - ost) < n ||
        cpuu_ncasecmp(base + 1 - n, folder, n) != 0)
        return NULL;
    if (cpuu_path_nocase(job->local_dir, base + 1, &path, &why) == CPUU_OK)
        return path;
    cpuu_free(path);
    return NULL;
}

/* What the rest needs outlives the model of the profile, which is read anew after the switch. */
static cpuu_rc remember(cpuu_job *job, const cpuu_account *account, cpuu_error *err)
{
    char *key = cpuu_reg_join(job->profile->key, account->emsmdb_section);
    job->ost.path = cpuu_arena_strdup(&job->arena, account->ost_path);
    job->ost.key = key ? cpuu_arena_strdup(&job->arena, key) : NULL;
    cpuu_free(key);
    return job->ost.path && job->ost.key ? CPUU_OK : cpuu_nomem(err);
}

cpuu_rc cpuu_ost_look(cpuu_job *job, const cpuu_account *account, cpuu_error *err)
{
    const cpuu_settings *s = job->e->settings;
    cpuu_error why = CPUU_ERROR_INIT;
    if (!account->ost_path)
        return CPUU_OK;
    cpuu_rc rc = !s->keep_ost && !s->backup_ost ? CPUU_E_NOTFOUND
                 : job->c.source
                     ? read_recreate(job, &why)
                     : cpuu_fail(&why, CPUU_E_NOTFOUND, "the source mailbox is not opened");
    if (rc == CPUU_E_NOTFOUND) {
        cpuu_logf(
            job->e->log, CPUU_LV_WARNING,
            "Profile '%s': the offline file '%s' stays where it is and is not used any more%s%s.",
            job->name, account->ost_path, why.rc ? "; KeepOST and BackupOST are ignored: " : "",
            why.text);
        return CPUU_OK;
    }
    if (rc != CPUU_OK) {
        cpuu_fail(err, rc, "cannot tell whether the offline file '%s' may be kept: %s",
                  account->ost_path, why.text);
        return cpuu_job_fail(job, CPUU_PROFILE_IS_OFFLINE_AND_RC, CPUU_EXIT_SWITCH_ERR, err);
    }
    job->ost.recreated = true;
    job->ost.keep = s->keep_ost;
    return remember(job, account, err);
}

/* ---- the copy -------------------------------------------------------------------------------- */

static cpuu_rc copy_file(cpuu_job *job, const char *file, const char *copy, cpuu_error *err)
{
    /* In the journal first: a copy that was cut short is found and removed. */
    cpuu_rc rc = cpuu_journal_put(job->journal, "ost.copy", copy, strlen(copy), err);
    if (rc == CPUU_OK)
        rc = cpuu_journal_flush(job->journal, err);
    if (rc == CPUU_OK)
        rc = cpuu_file_copy(file, copy, err);
    if (rc == CPUU_OK)
        cpuu_logf(job->e->log, CPUU_LV_INFO, "Profile '%s': the offline file was copied to '%s'.",
                  job->name, copy);
    return rc;
}

cpuu_rc cpuu_ost_backup(cpuu_job *job, cpuu_error *err)
{
    if (!job->ost.recreated || !job->e->settings->backup_ost)
        return CPUU_OK;
    char *file = find_file(job, job->ost.path);
    char *copy = file ? cpuu_asprintf("%s.cpuu-backup", file) : NULL;
    cpuu_rc rc;
    if (!file)
        rc = cpuu_fail(err, CPUU_E_NOTFOUND, "the offline file '%s' cannot be reached to copy it",
                       job->ost.path);
    else
        rc = copy ? copy_file(job, file, copy, err) : cpuu_nomem(err);
    cpuu_free(file);
    cpuu_free(copy);
    if (rc != CPUU_OK)
        cpuu_job_fail(job,
                      rc == CPUU_E_TOOBIG ? CPUU_PROFILE_NOT_FREESPACE_FOR_BACKUPOST
                                          : CPUU_PROFILE_FAILED_TO_CREATE_BACKUP,
                      CPUU_EXIT_SWITCH_ERR, err);
    return rc;
}

/* Path of the copy the journal knows of, owned by the caller; NULL when there is none. */
static char *known_copy(cpuu_job *job)
{
    cpuu_buf b;
    char *path = NULL;
    cpuu_buf_init(&b, 65536);
    if (job->journal && cpuu_journal_get(job->journal, "ost.copy", &b, NULL) == CPUU_OK)
        path = cpuu_strndup((const char *)b.data, b.size);
    cpuu_buf_free(&b);
    return path;
}

void cpuu_ost_discard(cpuu_job *job)
{
    cpuu_error why = CPUU_ERROR_INIT;
    char *copy = known_copy(job);
    if (copy && cpuu_file_delete(copy, &why) < 0)
        cpuu_logf(job->e->log, CPUU_LV_WARNING,
                  "Profile '%s': the copy of the offline file stays: %s", job->name, why.text);
    cpuu_free(copy);
}

void cpuu_ost_mention(cpuu_job *job)
{
    char *copy = known_copy(job);
    if (copy)
        cpuu_logf(job->e->log, CPUU_LV_INFO,
                  "Profile '%s': the copy of the offline file as it was "
                  "before the update stays: '%s'. Delete it when it is not needed.",
                  job->name, copy);
    cpuu_free(copy);
}

/* ---- the .reg file --------------------------------------------------------------------------- */

/* UTF-16LE with a byte order mark and CR LF, as the registry editor writes it. */
static bool reg_text(const cpuu_job *job, cpuu_buf *out)
{
    cpuu_buf value;
    char hex[3];
    bool ok = cpuu_buf_u16(out, 0xfeff) &&
              cpuu_buf_utf16(
                  out, "Windows Registry Editor Version 5.00\r\n\r\n[HKEY_CURRENT_USER\\", false) &&
              cpuu_buf_utf16(out, job->ost.key, false) &&
              cpuu_buf_utf16(out, "]\r\n\"001f6610\"=hex:", false);
    cpuu_buf_init(&value, 65536);
    ok = ok && cpuu_buf_utf16(&value, job->ost.path, true);
    for (size_t i = 0; ok && i < value.size; i++) {
        cpuu_hex(hex, value.data + i, 1);
        ok = (i == 0 || cpuu_buf_utf16(out, ",", false)) && cpuu_buf_utf16(out, hex, false);
    }
    cpuu_buf_free(&value);
    return ok && cpuu_buf_utf16(out, "\r\n", false);
}

/* "<profile>.ost.reg"; what a file name may not hold becomes "_". */
static char *reg_path(const cpuu_job *job)
{
    char *name = cpuu_asprintf("%s.ost.reg", job->name);
    for (char *p = name; p && *p; p++)
        if (strchr("/\\:*?\"<>|", *p))
            *p = '_';
    char *path = name ? cpuu_path_join(job->local_dir, name) : NULL;
    cpuu_free(name);
    return path;
}

/* As features write files: the old contents in the journal, flushed, then the file. */
static cpuu_rc write_recorded(cpuu_job *job, const char *path, const cpuu_buf *text,
                              cpuu_error *err)
{
    cpuu_buf before;
    int64_t span = 0;
    cpuu_buf_init(&before, 64u << 20);
    cpuu_record rec = {.kind = CPUU_RECORD_FILE,
                       .status = CPUU_RECORD_SENT,
                       .path = path,
                       .title = cpuu_path_base(path),
                       .after = {text->data, (uint32_t)text->size},
                       .has_after = true};
    cpuu_rc rc = cpuu_file_read(path, &before, NULL, err);
    rec.has_before = rc == CPUU_OK;
    rec.before = (cpuu_blob){before.data, (uint32_t)before.size};
    if (rc == CPUU_OK || rc == CPUU_E_NOTFOUND)
        rc = cpuu_journal_begin_span(job->journal, "OST", &span, err);
    rec.span = span;
    if (rc == CPUU_OK)
        rc = cpuu_journal_add(job->journal, &rec, err);
    if (rc == CPUU_OK)
        rc = cpuu_journal_flush(job->journal, err);
    if (rc == CPUU_OK)
        rc = cpuu_file_write(path, text->data, text->size, 0600, err);
    if (rc == CPUU_OK)
        rc = cpuu_journal_mark(job->journal, rec.seq, CPUU_RECORD_DONE, NULL, err);
    if (rc == CPUU_OK)
        rc = cpuu_journal_end_span(job->journal, span, CPUU_SPAN_OK, err);
    cpuu_buf_free(&before);
    return rc;
}

cpuu_rc cpuu_ost_write_reg(cpuu_job *job, cpuu_error *err)
{
    cpuu_buf text;
    if (!job->ost.keep || !job->e->settings->create_reg_for_ost || !job->local_dir)
        return CPUU_OK;
    cpuu_buf_init(&text, 1u << 20);
    char *path = reg_path(job);
    cpuu_rc rc =
        path && reg_text(job, &text) ? write_recorded(job, path, &text, err) : cpuu_nomem(err);
    cpuu_free(path);
    cpuu_buf_free(&text);
    return rc;
}
