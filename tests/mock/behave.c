/*
 * Features that behave in every way a plugin can: properly, and in all the ways the runner guards
 * against. Which one runs is chosen with Features=.
 */
#include "mock.h"

#include <string.h>

#define OUTLOOK_TAG 0x3001001Fu /* any text property of the Outlook section */

static const uint32_t TAGS[] = {OUTLOOK_TAG};

static cpuu_blob text(const char *s)
{
    cpuu_blob b = {(const uint8_t *)s, (uint32_t)strlen(s)};
    return b;
}

/* ---- wrong ways to end ----------------------------------------------------------------------- */

static cpuu_rc CPUU_CALL fails(const cpuu_host *h, cpuu_run *run)
{
    return h->fail(run, CPUU_E_ACCESS, "open the drawer", "desk");
}

static cpuu_rc CPUU_CALL mute(const cpuu_host *h, cpuu_run *run)
{
    cpuu_blob b;
    (void)h->file_read(run, CPUU_DIR_ROAMING, "missing.txt", &b);
    return CPUU_E_IO;
}

static cpuu_rc CPUU_CALL strange(const cpuu_host *h, cpuu_run *run)
{
    (void)h;
    (void)run;
    return 77;
}

static cpuu_rc CPUU_CALL liar(const cpuu_host *h, cpuu_run *run)
{
    h->fail(run, CPUU_E_IO, "go on", "here");
    return CPUU_OK;
}

static cpuu_rc CPUU_CALL stops(const cpuu_host *h, cpuu_run *run)
{
    (void)h;
    (void)run;
    return CPUU_E_STOP;
}

static cpuu_rc CPUU_CALL hangs(const cpuu_host *h, cpuu_run *run)
{
    for (uint32_t i = 0;; i++) {
        cpuu_rc rc = h->beat(run, i, 0);
        if (rc < 0)
            return rc;
    }
}

/* ---- undeclared ------------------------------------------------------------------------------ */

static cpuu_rc CPUU_CALL undeclared(const cpuu_host *h, cpuu_run *run)
{
    cpuu_blob b = text("x");
    cpuu_rc rc = h->file_write(run, CPUU_DIR_ROAMING, "undeclared.txt", &b);
    return rc < 0 ? h->fail(run, rc, "write a file", "undeclared.txt") : rc;
}

static cpuu_rc CPUU_CALL swallows(const cpuu_host *h, cpuu_run *run)
{
    cpuu_query q = CPUU_QUERY(CPUU_SOURCE, CPUU_HIDDEN, CPUU_ROLE_INBOX, NULL, TAGS);
    cpuu_rows *rows = NULL;
    (void)h->read(run, &q, 1, &rows);
    return CPUU_OK;
}

/* ---- proper ---------------------------------------------------------------------------------- */

static cpuu_rc write_files(const cpuu_host *h, cpuu_run *run)
{
    cpuu_blob first = text("one"), second = text("two"), seen;
    cpuu_rc rc = h->file_write(run, CPUU_DIR_ROAMING, "A.TXT", &first); /* on disk: a.txt */
    if (rc == CPUU_OK)
        rc = h->file_write(run, CPUU_DIR_ROAMING, "a.txt", &second);
    if (rc == CPUU_OK)
        rc = h->file_write(run, CPUU_DIR_ROAMING, "b.txt", NULL);
    if (rc == CPUU_OK)
        rc = h->file_write(run, CPUU_DIR_ROAMING, "c.txt", &first);
    if (rc == CPUU_OK)
        rc = h->file_read(run, CPUU_DIR_ROAMING, "a.txt", &seen);
    if (rc == CPUU_OK && (seen.size != 3 || memcmp(seen.data, "two", 3) != 0))
        rc = h->fail(run, CPUU_E_FAILED, "see my own write", "a.txt");
    return rc;
}

static cpuu_rc CPUU_CALL files(const cpuu_host *h, cpuu_run *run)
{
    return write_files(h, run);
}

static cpuu_rc CPUU_CALL files_fail(const cpuu_host *h, cpuu_run *run)
{
    cpuu_rc rc = write_files(h, run);
    return rc < 0 ? rc : h->fail(run, CPUU_E_FAILED, "finish", "files");
}

static cpuu_rc set_section(const cpuu_host *h, cpuu_run *run, const char *value)
{
    cpuu_query q = CPUU_QUERY(CPUU_PROFILE, CPUU_SECTIONS, CPUU_ROLE_OUTLOOK, NULL, TAGS);
    cpuu_rows *rows = NULL; /* left open: the host closes it */
    cpuu_row row;
    cpuu_value v;
    cpuu_change c;
    cpuu_rc rc = h->read(run, &q, 1, &rows);
    row.size = sizeof(row);
    if (rc == CPUU_OK)
        rc = h->rows(rows, 0, &row);
    if (rc != CPUU_OK)
        return h->fail(run, rc < 0 ? rc : CPUU_E_NOTFOUND, "read the Outlook section", "profile");
    v.tag = OUTLOOK_TAG;
    v.data = (const uint8_t *)value;
    v.size = (uint32_t)strlen(value);
    memset(&c, 0, sizeof(c));
    c.size = sizeof(c);
    c.verb = CPUU_UPDATE;
    c.what = CPUU_SECTIONS;
    c.id = row.id;
    c.set = &v;
    c.n_set = 1;
    c.title = "Outlook section";
    return h->change(run, &c, 1, NULL);
}

static cpuu_rc CPUU_CALL profile(const cpuu_host *h, cpuu_run *run)
{
    return set_section(h, run, "new name");
}

static cpuu_rc CPUU_CALL profile_fail(const cpuu_host *h, cpuu_run *run)
{
    cpuu_rc rc = set_section(h, run, "lost name");
    if (rc == CPUU_OK)
        rc = h->flush(run); /* staged now, and to be taken back */
    return rc < 0 ? rc : h->fail(run, CPUU_E_FAILED, "finish", "profile");
}

static cpuu_rc CPUU_CALL notes(const cpuu_host *h, cpuu_run *run)
{
    cpuu_blob old = {NULL, 0}, v;
    const cpuu_rc rc = h->note_get(run, "seen", &old);
    v = text(rc == CPUU_OK ? "again" : "first");
    return h->note_put(run, "seen", v);
}

static cpuu_rc CPUU_CALL check_refuses(const cpuu_host *h, cpuu_run *run)
{
    return h->fail(run, CPUU_E_ACCESS, "see how this could work", "check");
}

static cpuu_rc CPUU_CALL nothing(const cpuu_host *h, cpuu_run *run)
{
    (void)h;
    (void)run;
    return CPUU_OK;
}

static cpuu_rc CPUU_CALL skip_writes(const cpuu_host *h, cpuu_run *run)
{
    cpuu_blob b = text("skipped");
    return h->file_write(run, CPUU_DIR_ROAMING, "skip.txt", &b);
}

#define FILES   (CPUU_NEED_FILES | CPUU_NEED_FILES_WRITE)
#define PROFILE (CPUU_NEED_PROFILE | CPUU_NEED_PROFILE_WRITE)

static const cpuu_feature FAILS = MOCK_FEATURE("MockFails", 0, 0, fails);
static const cpuu_feature MUTE = MOCK_FEATURE("MockMute", CPUU_NEED_FILES, 0, mute);
static const cpuu_feature STRANGE = MOCK_FEATURE("MockStrange", 0, 0, strange);
static const cpuu_feature LIAR = MOCK_FEATURE("MockLiar", 0, 0, liar);
static const cpuu_feature STOPS = MOCK_FEATURE("MockStops", 0, 0, stops);
static const cpuu_feature HANGS = MOCK_FEATURE("MockHangs", 0, 0, hangs);
static const cpuu_feature UNDECLARED = MOCK_FEATURE("MockUndeclared", 0, 0, undeclared);
static const cpuu_feature SWALLOWS = MOCK_FEATURE("MockSwallows", 0, 0, swallows);
static const cpuu_feature FILES_OK = MOCK_FEATURE("MockFiles", FILES, 0, files);
static const cpuu_feature FILES_FAIL = MOCK_FEATURE("MockFilesFail", FILES, 0, files_fail);
static const cpuu_feature PROFILE_OK = MOCK_FEATURE("MockProfile", PROFILE, 0, profile);
static const cpuu_feature PROFILE_FAIL = MOCK_FEATURE("MockProfileFail", PROFILE, 0, profile_fail);
static const cpuu_feature NOTES = MOCK_FEATURE("MockNotes", 0, 0, notes);
static const cpuu_feature CHECKS = {.size = sizeof(cpuu_feature),
                                    .name = "MockChecks",
                                    .title = "Mock of a refusing check",
                                    .check = check_refuses,
                                    .update = nothing};
static const cpuu_feature SKIPS = {.size = sizeof(cpuu_feature),
                                   .name = "MockSkips",
                                   .title = "Mock of an effect when skipped",
                                   .needs = FILES,
                                   .update = nothing,
                                   .skip = skip_writes};

MOCK_PLUGIN(CPUU_ABI_VERSION, &FILES_OK, &PROFILE_OK, &NOTES, &FAILS, &MUTE, &STRANGE, &LIAR,
            &STOPS, &HANGS, &UNDECLARED, &SWALLOWS, &FILES_FAIL, &PROFILE_FAIL, &CHECKS, &SKIPS)
