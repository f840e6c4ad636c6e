/*
 * SRS: send/receive groups, in the file <name>.srs. Every folder that a group treats in a way of
 * its own is named there by its EntryID, which is replaced where it stands: the file keeps its size
 * and every other byte. Layout: observed in files of Outlook 2003 to 2016.
 */
#include "common/relink.h"

#include <cpuu/formats/srs.h>

#include <string.h>

static const uint32_t tags[] = {0x6000001F}; /* name of the file, without ".srs" */

static const cpuu_query reads[] = {
    CPUU_QUERY(CPUU_PROFILE, CPUU_SECTIONS, CPUU_ROLE_SEND_RECEIVE, NULL, tags),
};

#define MAX_NAME 240

/* Name of the file; that of the profile when the profile does not say. "" when it cannot be one. */
static cpuu_rc file_name(const cpuu_host *host, cpuu_run *run, char out[MAX_NAME + 5])
{
    cpuu_rows *rows = NULL;
    cpuu_row row = {.size = sizeof(row)};
    cpuu_rc rc = kit_read(host, run, reads, 1, &rows);
    if (rc == CPUU_OK)
        rc = host->rows(rows, 0, &row);
    out[0] = 0;
    if (rc == CPUU_OK && row.rc == CPUU_OK)
        kit_text(&row.values[0], out, MAX_NAME);
    host->rows_close(rows);
    if (rc < 0)
        return host->fail(run, rc, "read the send/receive section", "profile");
    const char *profile = host->option(run, "profile.name");
    if (!out[0] && profile && strlen(profile) < MAX_NAME)
        memcpy(out, profile, strlen(profile) + 1);
    if (out[0])
        memcpy(out + strlen(out), ".srs", 5);
    return CPUU_OK;
}

/* The file's contents; CPUU_E_NOTFOUND is no failure: Outlook makes the file when it needs one. */
static cpuu_rc read_file(const cpuu_host *host, cpuu_run *run, char name[MAX_NAME + 5],
                         cpuu_blob *file)
{
    cpuu_rc rc = file_name(host, run, name);
    if (rc == CPUU_OK)
        rc = name[0] ? host->file_read(run, CPUU_DIR_ROAMING, name, file) : CPUU_E_NOTFOUND;
    return rc == CPUU_OK || rc == CPUU_E_NOTFOUND
               ? rc
               : host->fail(run, rc, "read the send/receive settings", name);
}

static cpuu_rc pass(const cpuu_host *host, cpuu_run *run, const char *name, cpuu_blob file,
                    kit_relink *r, cpuu_buf *out)
{
    cpuu_buf_reset(out);
    if (cpuu_srs_rewrite(file, kit_relink_cb, r, out, NULL, NULL) && !r->failed)
        return CPUU_OK;
    return out->failed || r->failed
               ? kit_nomem(host, run)
               : host->fail(run, CPUU_E_FORMAT,
                            "understand the send/receive settings, which are left as they are",
                            name);
}

/* An entry cannot be taken out without moving what follows: one whose folder is missing stays, and
 * names a folder nobody has (inferred: harmless, Outlook drops it). */
static void report(const cpuu_host *host, cpuu_run *run, const kit_relink *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        const cpuu_link *l = &r->items[i].link;
        kit_decide_as(host, run, l->outcome == CPUU_DROPPED ? CPUU_KEPT : l->outcome, l->reason,
                      "folder of a send/receive group", l->in_text, l->out_text);
    }
}

static cpuu_rc write_file(const cpuu_host *host, cpuu_run *run, const char *name,
                          const cpuu_buf *out)
{
    cpuu_blob data = {out->data, (uint32_t)out->size};
    cpuu_rc rc = host->file_write(run, CPUU_DIR_ROAMING, name, &data); /* nothing, when equal */
    return rc == CPUU_OK ? rc : host->fail(run, rc, "write the send/receive settings", name);
}

static cpuu_rc rewrite(const cpuu_host *host, cpuu_run *run, const char *name, cpuu_blob file)
{
    kit_relink r = {.count = 0};
    cpuu_buf out;
    cpuu_buf_init(&out, CPUU_CFB_LIMIT);
    kit_relink_begin(&r, 0);
    cpuu_rc rc = pass(host, run, name, file, &r, &out);
    if (rc == CPUU_OK && r.count) {
        rc = kit_relink_translate(&r, host, run);
        if (rc == CPUU_OK)
            rc = pass(host, run, name, file, &r, &out);
        if (rc == CPUU_OK) {
            report(host, run, &r);
            rc = write_file(host, run, name, &out);
        }
    }
    cpuu_buf_free(&out);
    kit_relink_free(&r);
    return rc;
}

static cpuu_rc CPUU_CALL update(const cpuu_host *host, cpuu_run *run)
{
    char name[MAX_NAME + 5];
    cpuu_blob file;
    cpuu_rc rc = read_file(host, run, name, &file);
    if (rc == CPUU_E_NOTFOUND)
        return CPUU_OK;
    return rc == CPUU_OK ? rewrite(host, run, name, file) : rc;
}

/* Not selected: settings are lost. Without the file Outlook makes a new one. */
static cpuu_rc CPUU_CALL skip(const cpuu_host *host, cpuu_run *run)
{
    char name[MAX_NAME + 5];
    cpuu_blob file;
    cpuu_rc rc = read_file(host, run, name, &file);
    if (rc != CPUU_OK)
        return rc == CPUU_E_NOTFOUND ? CPUU_OK : rc;
    rc = host->file_write(run, CPUU_DIR_ROAMING, name, NULL);
    return rc == CPUU_OK ? rc : host->fail(run, rc, "delete the send/receive settings", name);
}

static const cpuu_feature srs = {
    .size = sizeof(cpuu_feature),
    .needs = CPUU_NEED_SOURCE | CPUU_NEED_TARGET | CPUU_NEED_OTHERS | CPUU_NEED_PUBLIC |
             CPUU_NEED_PROFILE | CPUU_NEED_FILES | CPUU_NEED_FILES_WRITE,
    .links = CPUU_LINK_EID,
    .n_reads = sizeof(reads) / sizeof(*reads),
    .name = "SRS",
    .title = "Send/receive settings",
    .reads = reads,
    .update = update,
    .skip = skip,
};

static const cpuu_feature *const features[] = {&srs, NULL};
KIT_PLUGIN(features)
