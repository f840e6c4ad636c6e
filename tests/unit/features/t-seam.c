/*
 * The seam against the rehearsal server: what features read, what is written, and that undo,
 * rollback and replay after a killed process or a lost answer give back the mailbox. "Gives back"
 * is judged by the server's own canonical dump.
 */
#include "base/fault.h"
#include "base/text.h"
#include "features/features.h"

#include "tests/lab/http.h"
#include "tests/lab/labctl.h"

#include <check.h>
#undef fail /* a member of cpuu_host */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define T_CLASS   0x001A001Fu
#define T_SUBJECT 0x0037001Fu
#define T_GROUP   0x6851001Fu /* PidTagWlinkGroupName */
#define T_EID     0x684C0102u /* PidTagWlinkEntryId */
#define T_NAME    0x3001001Fu
#define T_COMMENT 0x3004001Fu
#define T_MINE    CPUU_NAMED(0, 0x001F)
#define WLINK     "IPM.Microsoft.WunderBar.Link"

/* ---- fault points ---------------------------------------------------------------------------- */

static int steps_left = -1;

void cpuu_fault_step(const char *what)
{
    (void)what;
    if (steps_left >= 0 && steps_left-- == 0)
        _exit(99);
}

bool cpuu_fault_fail(const char *what)
{
    (void)what;
    return false;
}

/* ---- what is reported ------------------------------------------------------------------------ */

static char reported[16384];

static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *fmt, ...)
{
    const size_t n = strlen(reported);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(reported + n, sizeof(reported) - n, fmt, ap);
    va_end(ap);
}

static const char *or_dash(const char *s)
{
    return s ? s : "-";
}

void cpuu_report_feature_begin(cpuu_report *r, const char *feature)
{
    (void)r;
    note("[%s", feature);
}

void cpuu_report_feature_end(cpuu_report *r, cpuu_feature_state state, const char *message)
{
    static const char *const words[] = {"?", "ok", "nothing", "partly", "failed", "skipped"};
    (void)r;
    note(" %s%s%s]", words[state], message ? ": " : "", message ? message : "");
}

void cpuu_report_link(cpuu_report *r, uint32_t outcome, uint32_t reason, const char *title,
                      const char *before, const char *after)
{
    (void)r;
    (void)outcome;
    (void)reason;
    note("<%s %s %s>", title, or_dash(before), or_dash(after));
}

void cpuu_report_change(cpuu_report *r, const char *where, const char *name, const char *before,
                        const char *after, char mark)
{
    (void)r;
    (void)mark;
    note("{%s %s: %s -> %s}", where, name, or_dash(before), or_dash(after));
}

void cpuu_report_conflict(cpuu_report *r, const char *where, const char *what)
{
    (void)r;
    note("!%s: %s!", where, what);
}

void cpuu_report_progress(cpuu_report *r, const char *what, uint32_t done, uint32_t total)
{
    (void)r;
    (void)what;
    (void)done;
    (void)total;
}

/* ---- the lab, and a profile being updated ---------------------------------------------------- */

static lab_server *server;
static lab *model;
static cpuu_http *http;
static cpuu_work work;
static cpuu_settings settings;
static cpuu_plugins *plugins;
static char dir[64], *before;
static const uint8_t UID[16] = {6};
static const cpuu_journal_key KEY = {"Root", "Test", UID, ""};

typedef struct account {
    char emsmdb[300];
    cpuu_credentials credentials;
    cpuu_endpoint endpoint;
    lab_user *user;
} account;
static account source, target;

static labctl *process; /* the lab as a process of its own, where this one forks */

static void account_of(account *a, const char *org)
{
    char url[200], guid[40];
    lab_org *o = lab_find_org(model, org);
    a->user = lab_find_user(o, "alice");
    if (process)
        snprintf(url, sizeof(url), "%s", labctl_url(process, org));
    else
        lab_org_url(o, url, sizeof(url));
    cpuu_guid_text(guid, a->user->store->mailbox_guid);
    guid[strlen(guid) - 1] = 0;
    if (process)
        snprintf(a->emsmdb, sizeof(a->emsmdb), "%s/mapi/emsmdb/", url);
    else
        snprintf(a->emsmdb, sizeof(a->emsmdb), "%s/mapi/emsmdb/?MailboxId=%s@%s.test", url,
                 guid + 1, org);
    a->credentials = (cpuu_credentials){a->user->name, a->user->password};
    a->endpoint = (cpuu_endpoint){a->emsmdb, NULL, a->user->dn, &a->credentials};
}

static void connect_both(void)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_http_options ho = {.allow_insecure_http = true, .request_timeout_ms = 20000};
    ck_assert_int_eq(cpuu_http_new(&ho, NULL, &http, &err), CPUU_OK);
    ck_assert_int_eq(cpuu_mail_new(http, NULL, NULL, &work.mail, &err), CPUU_OK);
    cpuu_mail_open o[2] = {
        {.endpoint = &source.endpoint, .mailbox_dn = source.user->dn, .smtp = source.user->smtp},
        {.endpoint = &target.endpoint,
         .mailbox_dn = target.user->dn,
         .smtp = target.user->smtp,
         .writable = true}};
    ck_assert_int_eq(cpuu_mail_open_all(work.mail, o, 2, &err), CPUU_OK);
    ck_assert_msg(o[0].rc == CPUU_OK && o[1].rc == CPUU_OK, "%s %s", o[0].error.text,
                  o[1].error.text);
    work.source = o[0].box;
    work.target = o[1].box;
    cpuu_translate_options to = {.mail = work.mail, .source = work.source, .target = work.target,
                                 .source_endpoint = &source.endpoint,
                                 .target_endpoint = &target.endpoint,
                                 .source_dn = source.user->dn, .source_smtp = source.user->smtp,
                                 .target_dn = target.user->dn, .target_smtp = target.user->smtp,
                                 .max_other_mailboxes = 5};
    ck_assert_int_eq(cpuu_translate_new(&to, NULL, &work.translate, &err), CPUU_OK);
}

static void disconnect(void)
{
    cpuu_translate_free(work.translate);
    cpuu_mail_free(work.mail);
    cpuu_http_free(http);
    work.translate = NULL;
    work.mail = NULL;
    http = NULL;
}

static char *dump(void)
{
    if (process)
        return labctl_dump(process, "target");
    pthread_mutex_lock(&model->lock);
    char *text = lab_dump(model, lab_find_org(model, "target"));
    pthread_mutex_unlock(&model->lock);
    return text;
}

/* The first line where they differ goes into the message. */
static void mailbox_is(const char *want)
{
    char *now = dump();
    size_t i = 0;
    while (now[i] && now[i] == want[i])
        i++;
    const size_t from = i > 300 ? i - 300 : 0;
    ck_assert_msg(now[i] == want[i], "differs at:\n%.600s\n---- expected:\n%.600s", now + from,
                  want + from);
    free(now);
}

static cpuu_rc (*scenario)(const cpuu_host *h, cpuu_run *run);

static cpuu_rc CPUU_CALL update_verb(const cpuu_host *h, cpuu_run *run)
{
    return scenario ? scenario(h, run) : CPUU_OK;
}

static const uint32_t TAGS[] = {T_SUBJECT, T_GROUP, T_MINE};
static const uint32_t RULE_TAGS[] = {0x66760003u,         0x66770003u,         0x66780003u,
                                     0x66790000u | 0xFDu, 0x66800000u | 0xFEu, 0x6681001Fu,
                                     0x6682001Fu,         0x66830003u,         0x66840102u};
static const cpuu_query READS[] = {
    CPUU_QUERY(CPUU_TARGET, CPUU_HIDDEN, CPUU_ROLE_COMMON_VIEWS, WLINK, TAGS),
    CPUU_QUERY(CPUU_SOURCE, CPUU_HIDDEN, CPUU_ROLE_COMMON_VIEWS, WLINK, TAGS),
    CPUU_QUERY(CPUU_SOURCE, CPUU_RULES, CPUU_ROLE_INBOX, NULL, RULE_TAGS),
};
static const cpuu_name NAMES[] = {
    {{0x29, 3, 2, 0, 0, 0, 0, 0, 0xC0, 0, 0, 0, 0, 0, 0, 0x46}, 0, "cpuu-test-mark"}};
#define ALL_NEEDS                                                                                  \
    (CPUU_NEED_SOURCE | CPUU_NEED_TARGET | CPUU_NEED_TARGET_WRITE | CPUU_NEED_OTHERS |             \
     CPUU_NEED_PUBLIC)
static const cpuu_feature SEAM = {
    sizeof(cpuu_feature), ALL_NEEDS, 0,    3,   1, "Seam", "Seam", NULL, READS, NAMES, NULL,
    update_verb,          NULL,      NULL, NULL};
static const char *const AFTER_SEAM[] = {"Seam", NULL};
static cpuu_rc (*second)(const cpuu_host *h, cpuu_run *run);

static cpuu_rc CPUU_CALL second_verb(const cpuu_host *h, cpuu_run *run)
{
    return second ? second(h, run) : CPUU_OK;
}

static const cpuu_feature SECOND = {sizeof(cpuu_feature),
                                    ALL_NEEDS,
                                    0,
                                    3,
                                    1,
                                    "Second",
                                    "Second",
                                    AFTER_SEAM,
                                    READS,
                                    NAMES,
                                    NULL,
                                    second_verb,
                                    NULL,
                                    NULL,
                                    NULL};
/* Three that do not depend on each other. */
static cpuu_rc (*parts[3])(const cpuu_host *h, cpuu_run *run);
#define PART(n, ident, word)                                                                       \
    static cpuu_rc CPUU_CALL ident##_verb(const cpuu_host *h, cpuu_run *run)                       \
    {                                                                                              \
        return parts[n] ? parts[n](h, run) : CPUU_OK;                                              \
    }                                                                                              \
    static const cpuu_feature ident = {                                                            \
        sizeof(cpuu_feature), ALL_NEEDS | CPUU_NEED_PROFILE | CPUU_NEED_PROFILE_WRITE,             \
        0,                    3,                                                                   \
        1,                    word,                                                                \
        word,                 NULL,                                                                \
        READS,                NAMES,                                                               \
        NULL,                 ident##_verb,                                                        \
        NULL,                 NULL,                                                                \
        NULL};
PART(0, ONE, "One")
PART(1, TWO, "Two")
PART(2, THREE, "Three")
static const cpuu_feature *const FEATURES[] = {&SEAM, &SECOND, &ONE, &TWO, &THREE, NULL};
static const cpuu_plugin PLUGIN = {
    sizeof(cpuu_plugin), CPUU_ABI_VERSION, "1", "t", "MIT", FEATURES};
static const cpuu_plugin *const PLUGINS[] = {&PLUGIN, NULL};

#define CONTENT CPUU_SRCDIR "/tests/lab/demo.conf"

static void prepare(void)
{
    cpuu_error err = CPUU_ERROR_INIT;
    account_of(&source, "source");
    account_of(&target, "target");
    memset(&settings, 0, sizeof(settings));
    ck_assert_msg(cpuu_plugins_from(PLUGINS, NULL, &plugins, &err) == CPUU_OK, "%s", err.text);
    work = (cpuu_work){.settings = &settings, .plugins = plugins};
    steps_left = -1;
    scenario = second = NULL;
    memset(parts, 0, sizeof(parts));
    reported[0] = 0;
    strcpy(dir, "/tmp/t-seam-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    before = dump();
    ck_assert_ptr_nonnull(before);
}

static void set_up(void)
{
    char text[800] = "";
    lab_options o = {.content = CONTENT, .http = true};
    process = NULL;
    server = lab_server_start(&o, text, sizeof(text));
    ck_assert_msg(server != NULL, "%s", text);
    model = lab_server_lab(server);
    prepare();
    connect_both();
}

/* The model in this process only knows the names; the server has its own. */
static void set_up_process(void)
{
    char text[800] = "", content[] = "/tmp/t-seam-XXXXXX.conf", command[1024];
    int fd = mkstemps(content, 5);
    ck_assert_int_ge(fd, 0);
    close(fd);
    /* Whoever is killed says no goodbye: its sessions stay. */
    snprintf(command, sizeof(command),
             "sed 's/^domain = .*/&\\nmax-contexts = 100000/' '%s' > '%s'", CONTENT, content);
    ck_assert_int_eq(system(command), 0);
    model = lab_new();
    ck_assert_msg(lab_load(model, content, text, sizeof(text)), "%s", text);
    process = labctl_start(content, true, text, sizeof(text));
    unlink(content);
    ck_assert_msg(process != NULL, "%s", text);
    prepare();
}

static void tear_down(void)
{
    char command[128];
    free(before);
    cpuu_journal_close(work.journal);
    if (work.mail)
        disconnect();
    cpuu_plugins_free(plugins);
    if (process) {
        labctl_stop(process);
        lab_free(model);
    } else {
        lab_server_stop(server);
    }
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    ck_assert_int_eq(system(command), 0);
}

static void open_journal(void)
{
    cpuu_error err = CPUU_ERROR_INIT;
    ck_assert_msg(cpuu_journal_open(dir, &KEY, true, NULL, &work.journal, &err) == CPUU_OK, "%s",
                  err.text);
    ck_assert_int_eq(cpuu_journal_set_state(work.journal, CPUU_J_ACTIVE, &err), CPUU_OK);
}

static void fault_in(const char *type, const char *action, uint32_t at)
{
    lab_org *o = lab_find_org(model, "target");
    pthread_mutex_lock(&model->lock);
    memset(&o->fault, 0, sizeof(o->fault));
    if (action) {
        snprintf(o->fault.action, sizeof(o->fault.action), "%s", action);
        snprintf(o->fault.type, sizeof(o->fault.type), "%s", type);
        o->fault.at = at;
        o->fault.count = 1;
    }
    pthread_mutex_unlock(&model->lock);
}

static void fault(const char *action, uint32_t at)
{
    fault_in("Execute", action, at);
}

/* ---- a feature that does everything ---------------------------------------------------------- */

static cpuu_value text_value(uint32_t tag, const char *s)
{
    return (cpuu_value){tag, (uint32_t)strlen(s), (const uint8_t *)s};
}

static bool find(const cpuu_host *h, cpuu_rows *rows, uint32_t column, const char *text,
                 cpuu_row *out)
{
    for (uint32_t i = 0; out->size = sizeof(*out), h->rows(rows, i, out) == CPUU_OK; i++) {
        const cpuu_value *v = &out->values[column];
        if (out->rc >= 0 && CPUU_FOUND(v) && v->size == strlen(text) &&
            memcmp(v->data, text, v->size) == 0)
            return true;
    }
    return false;
}

static cpuu_change change_of(uint32_t verb, uint32_t what, uint32_t role, const char *title)
{
    return (cpuu_change){
        .size = sizeof(cpuu_change), .verb = verb, .what = what, .role = role, .title = title};
}

/* Rewrites, creates and deletes shortcuts; a named property, a removed one, two changes of one
 * object. */
static cpuu_rc shortcuts(const cpuu_host *h, cpuu_run *run)
{
    static const uint8_t eid[46] = {1, 2, 3};
    cpuu_rows *rows = NULL;
    cpuu_row inbox, calendar;
    cpuu_rc rc = h->read(run, READS, 1, &rows);
    if (rc < 0 || !find(h, rows, 0, "Posteingang", &inbox) ||
        !find(h, rows, 0, "Kalender", &calendar))
        return h->fail(run, rc < 0 ? rc : CPUU_E_NOTFOUND, "find the shortcuts", "target");
    const cpuu_value renamed = text_value(T_SUBJECT, "Eingang"),
                     marked = text_value(T_MINE, "mine");
    const uint32_t group[] = {T_GROUP};
    const cpuu_value fresh[] = {text_value(T_CLASS, WLINK),
                                text_value(T_SUBJECT, "New shortcut"),
                                {T_EID, sizeof(eid), eid},
                                text_value(T_MINE, "new")};
    cpuu_change c[4] = {
        change_of(CPUU_UPDATE, CPUU_HIDDEN, CPUU_ROLE_COMMON_VIEWS, "Posteingang"),
        change_of(CPUU_UPDATE, CPUU_HIDDEN, CPUU_ROLE_COMMON_VIEWS, "Posteingang"),
        change_of(CPUU_DELETE, CPUU_HIDDEN, CPUU_ROLE_NONE, "Kalender"),
        change_of(CPUU_CREATE, CPUU_HIDDEN, CPUU_ROLE_COMMON_VIEWS, "New shortcut"),
    };
    c[0].id = c[1].id = inbox.id;
    c[0].set = &renamed;
    c[1].set = &marked;
    c[0].n_set = c[1].n_set = 1;
    c[1].unset = group;
    c[1].n_unset = 1;
    c[2].id = calendar.id;
    c[3].set = fresh;
    c[3].n_set = 4;
    return h->change(run, c, 4, NULL);
}

/* A folder, something in it, and a change of both after they were made. */
static cpuu_rc folders(const cpuu_host *h, cpuu_run *run)
{
    const cpuu_value name = text_value(T_NAME, "Made"), comment = text_value(T_COMMENT, "by us");
    const cpuu_value item[] = {text_value(T_CLASS, "IPM.Note"), text_value(T_SUBJECT, "inside")};
    const cpuu_value again = text_value(T_SUBJECT, "inside, again");
    cpuu_change c = change_of(CPUU_CREATE, CPUU_FOLDERS, CPUU_ROLE_INBOX, "Made");
    cpuu_result made = {.size = sizeof(made)}, inside = {.size = sizeof(inside)};
    uint32_t ticket = 0;
    c.set = &name;
    c.n_set = 1;
    if (h->change(run, &c, 1, &ticket) < 0 || h->flush(run) < 0 ||
        h->result(run, ticket, &made) < 0 || made.rc < 0)
        return h->fail(run, CPUU_E_FAILED, "make a folder", "Inbox");
    cpuu_change d[2] = {change_of(CPUU_CREATE, CPUU_ITEMS, CPUU_ROLE_NONE, "inside"),
                        change_of(CPUU_UPDATE, CPUU_FOLDERS, CPUU_ROLE_NONE, "Made")};
    d[0].folder = made.id;
    d[0].set = item;
    d[0].n_set = 2;
    d[1].id = made.id;
    d[1].set = &comment;
    d[1].n_set = 1;
    if (h->change(run, d, 2, &ticket) < 0 || h->flush(run) < 0 ||
        h->result(run, ticket, &inside) < 0 || inside.rc < 0)
        return h->fail(run, CPUU_E_FAILED, "fill the folder", "Made");
    cpuu_change e = change_of(CPUU_UPDATE, CPUU_ITEMS, CPUU_ROLE_NONE, "inside");
    e.id = inside.id;
    e.set = &again;
    e.n_set = 1;
    return h->change(run, &e, 1, NULL);
}

static cpuu_rc rules(const cpuu_host *h, cpuu_run *run)
{
    cpuu_rows *rows = NULL;
    cpuu_row row = {.size = sizeof(row)};
    cpuu_change c = change_of(CPUU_CREATE, CPUU_RULES, CPUU_ROLE_INBOX, "A rule");
    cpuu_value set[9];
    if (h->read(run, &READS[2], 1, &rows) < 0 ||
        !find(h, rows, 6, "Projects to their folder", &row))
        return h->fail(run, CPUU_E_NOTFOUND, "find the rule", "source");
    for (uint32_t i = 0; i < 9; i++) {
        if (CPUU_FOUND(&row.values[i]))
            set[c.n_set++] = row.values[i];
    }
    c.set = set;
    return h->change(run, &c, 1, NULL);
}

/* The server gives no id to a rule that is made: undo must look for each of them. */
static cpuu_rc many_rules(const cpuu_host *h, cpuu_run *run)
{
    cpuu_rows *rows = NULL;
    cpuu_row row = {.size = sizeof(row)};
    cpuu_rc rc = h->read(run, &READS[2], 1, &rows);
    if (rc < 0 || !find(h, rows, 6, "Projects to their folder", &row))
        return h->fail(run, CPUU_E_NOTFOUND, "find the rule", "source");
    for (unsigned i = 0; i < 300 && rc == CPUU_OK; i++) {
        char name[40];
        cpuu_change c = change_of(CPUU_CREATE, CPUU_RULES, CPUU_ROLE_INBOX, "One of many");
        cpuu_value set[9];
        snprintf(name, sizeof(name), "rule %u", i);
        for (uint32_t k = 0; k < 9; k++) {
            if (CPUU_FOUND(&row.values[k]))
                set[c.n_set++] = k == 6 ? text_value(row.values[k].tag, name) : row.values[k];
        }
        c.set = set;
        rc = h->change(run, &c, 1, NULL);
    }
    return rc;
}

static cpuu_rc permissions(const cpuu_host *h, cpuu_run *run)
{
    static const uint32_t tags[] = {0x66730003u, 0x6672001Fu}; /* MemberRights, MemberName */
    static const uint8_t rights[4] = {0x01, 0x08, 0, 0};
    cpuu_query q = CPUU_QUERY(CPUU_TARGET, CPUU_PERMISSIONS, CPUU_ROLE_CALENDAR, NULL, tags);
    cpuu_rows *rows = NULL;
    cpuu_row row = {.size = sizeof(row)};
    if (h->read(run, &q, 1, &rows) < 0 || h->rows(rows, 0, &row) != CPUU_OK)
        return h->fail(run, CPUU_E_NOTFOUND, "find a permission", "Calendar");
    const cpuu_value v = {0x66730003u, 4, rights};
    cpuu_change c = change_of(CPUU_UPDATE, CPUU_PERMISSIONS, CPUU_ROLE_CALENDAR, "Default");
    c.id = row.id;
    c.set = &v;
    c.n_set = 1;
    return h->change(run, &c, 1, NULL);
}

static cpuu_rc everything(const cpuu_host *h, cpuu_run *run)
{
    cpuu_rc rc = shortcuts(h, run);
    if (rc == CPUU_OK)
        rc = rules(h, run);
    if (rc == CPUU_OK)
        rc = permissions(h, run);
    return rc == CPUU_OK ? folders(h, run) : rc;
}

static cpuu_rc everything_then_fail(const cpuu_host *h, cpuu_run *run)
{
    cpuu_rc rc = everything(h, run);
    if (rc == CPUU_OK)
        rc = h->flush(run);
    return h->fail(run, rc < 0 ? rc : CPUU_E_FAILED, "finish", "test");
}

static void update_ok(void)
{
    cpuu_error err = CPUU_ERROR_INIT;
    ck_assert_msg(cpuu_features_update(&work, &err) == CPUU_OK, "%s", err.text);
}

static void undo_ok(void)
{
    cpuu_error err = CPUU_ERROR_INIT;
    ck_assert_msg(cpuu_features_rollback(&work, 0, false, &err) == CPUU_OK, "%s", err.text);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static uint64_t trips(void)
{
    return lab_find_org(model, "target")->stats.executes;
}

static void undone(cpuu_rc (*what)(const cpuu_host *h, cpuu_run *run))
{
    open_journal();
    scenario = what;
    update_ok();
    ck_assert_msg(strstr(reported, " ok]"), "%s", reported);
    char *after = dump();
    ck_assert_str_ne(after, before);
    free(after);
    for (int i = 0; i < 2; i++) {
        undo_ok();
        mailbox_is(before);
    }
    ck_assert_msg(!strchr(reported, '!'), "%s", reported);
}

START_TEST(shortcuts_come_back)
{
    undone(shortcuts);
}
END_TEST

START_TEST(folders_come_back)
{
    undone(folders);
}
END_TEST

START_TEST(rules_come_back)
{
    undone(rules);
}
END_TEST

START_TEST(many_rules_come_back_in_few_requests)
{
    open_journal();
    scenario = many_rules;
    const uint64_t start = trips();
    update_ok();
    /* rules go in as many requests as their bytes need */
    ck_assert_msg(trips() - start <= 16, "%u requests", (unsigned)(trips() - start));
    const uint64_t undo = trips();
    undo_ok();
    ck_assert_msg(trips() - undo <= 8, "%u requests", (unsigned)(trips() - undo));
    mailbox_is(before);
    ck_assert_msg(!strchr(reported, '!'), "%s", reported);
}
END_TEST

START_TEST(permissions_come_back)
{
    undone(permissions);
}
END_TEST

START_TEST(everything_comes_back)
{
    undone(everything);
}
END_TEST

START_TEST(a_failed_feature_is_taken_back_at_once)
{
    open_journal();
    scenario = everything_then_fail;
    update_ok();
    ck_assert_msg(strstr(reported, "failed: feature Seam cannot finish"), "%s", reported);
    mailbox_is(before);
}
END_TEST

START_TEST(a_dry_run_writes_nothing_and_says_all)
{
    work.dry_run = true;
    scenario = everything;
    update_ok();
    mailbox_is(before);
    ck_assert_msg(strstr(reported, "{Posteingang PidTagSubject: Posteingang -> Eingang}"), "%s",
                  reported);
    ck_assert_msg(strstr(reported, "{Posteingang PidTagWlinkGroupName: Favoriten -> -}"), "%s", reported);
    ck_assert_msg(strstr(reported, "{Kalender (object): present -> deleted}"), "%s", reported);
    ck_assert_msg(strstr(reported, "{Made PidTagDisplayName: - -> Made}"), "%s", reported);
    ck_assert_msg(strstr(reported, "{inside PidTagSubject: - -> inside, again}"), "%s", reported);
    ck_assert_msg(strstr(reported, "[Seam") && strstr(reported, " ok]"), "%s", reported);
}
END_TEST

/* Somebody else's hand: through another connection of the same layer. */
static void others_rename(const char *from, const char *to)
{
    static const uint32_t tags[] = {T_SUBJECT};
    cpuu_error err = CPUU_ERROR_INIT;
    const cpuu_value v = text_value(T_SUBJECT, to);
    cpuu_mail_op read = {.verb = CPUU_MAIL_READ,
                         .box = work.target,
                         .what = CPUU_HIDDEN,
                         .role = CPUU_ROLE_COMMON_VIEWS,
                         .tags = tags,
                         .n_tags = 1};
    ck_assert_int_eq(cpuu_mail_run(work.mail, &read, 1, &err), CPUU_OK);
    for (size_t i = 0; i < read.rows.count; i++) {
        const cpuu_mail_row *row = &read.rows.items[i];
        if (row->values[0].size != strlen(from) ||
            memcmp(row->values[0].data, from, strlen(from)) != 0)
            continue;
        cpuu_mail_op write = {.verb = CPUU_MAIL_UPDATE,
                              .box = work.target,
                              .what = CPUU_HIDDEN,
                              .role = CPUU_ROLE_COMMON_VIEWS,
                              .id = row->id,
                              .set = &v,
                              .n_set = 1};
        ck_assert_int_eq(cpuu_mail_run(work.mail, &write, 1, &err), CPUU_OK);
        ck_assert_msg(write.rc == CPUU_OK, "%s", write.error.text);
        cpuu_mail_op_clear(&write);
        cpuu_mail_op_clear(&read);
        return;
    }
    ck_abort_msg("no '%s'", from);
}

START_TEST(what_others_changed_since_stays)
{
    open_journal();
    scenario = shortcuts;
    update_ok();
    others_rename("Eingang", "Mine now");
    others_rename("New shortcut", "Mine, too");
    undo_ok();
    ck_assert_msg(strstr(reported, "!Posteingang: property 0x0037001F"), "%s", reported);
    ck_assert_msg(strstr(reported, "!New shortcut: created by the update"), "%s", reported);
    char *now = dump();
    ck_assert_ptr_nonnull(strstr(now, "Mine now"));
    ck_assert_ptr_nonnull(strstr(now, "Mine, too"));
    ck_assert_ptr_nonnull(strstr(now, "Kalender")); /* the deleted one is back */
    free(now);
}
END_TEST

static cpuu_rc interrupted(const cpuu_host *h, cpuu_run *run)
{
    cpuu_rc rc = shortcuts(h, run);
    others_rename("Posteingang", "Changed meanwhile");
    rc = rc == CPUU_OK ? h->flush(run) : rc;
    return rc < 0 ? h->fail(run, rc, "apply", "target") : rc;
}

START_TEST(what_others_change_meanwhile_is_a_conflict_and_nothing_is_written)
{
    open_journal();
    scenario = interrupted;
    update_ok();
    ck_assert_msg(strstr(reported, "failed") && strstr(reported, "somebody else changed it"), "%s",
                  reported);
    others_rename("Changed meanwhile", "Posteingang");
    mailbox_is(before);
}
END_TEST

static bool second_saw;

static cpuu_rc looks_again(const cpuu_host *h, cpuu_run *run)
{
    cpuu_rows *rows = NULL;
    cpuu_row row;
    cpuu_rc rc = h->read(run, READS, 1, &rows);
    if (rc < 0)
        return h->fail(run, rc, "read", "target");
    second_saw = find(h, rows, 0, "Eingang", &row) && !CPUU_FOUND(&row.values[1]) &&
                 CPUU_FOUND(&row.values[2]) && row.values[2].size == 4 &&
                 memcmp(row.values[2].data, "mine", 4) == 0 && row.values[2].tag == T_MINE &&
                 find(h, rows, 0, "New shortcut", &row) && row.id.size == 70 &&
                 !find(h, rows, 0, "Kalender", &row) && !find(h, rows, 0, "Posteingang", &row);
    return CPUU_OK;
}

/* Without a request: the shared answer is brought up to date. */
START_TEST(a_later_feature_sees_what_an_earlier_one_wrote)
{
    open_journal();
    scenario = shortcuts;
    second = looks_again;
    second_saw = false;
    update_ok();
    ck_assert(second_saw);
}
END_TEST

START_TEST(a_feature_costs_few_round_trips)
{
    open_journal();
    scenario = shortcuts;
    second = looks_again;
    const uint64_t start = trips();
    update_ok();
    /* names, declared reads, names created, before-image, writes; reads may take a second request
     */
    ck_assert_msg(trips() - start <= 12, "%u requests", (unsigned)(trips() - start));
    const uint64_t undo = trips();
    undo_ok();
    ck_assert_msg(trips() - undo <= 8, "%u requests", (unsigned)(trips() - undo));
}
END_TEST

static unsigned calls;

static cpuu_rc everything_counted(const cpuu_host *h, cpuu_run *run)
{
    calls++;
    return everything(h, run);
}

/* An update whose n-th request is disturbed (0 = none) ends as if none had been: *after, which is
 * found out when it is NULL. Then undo. */
static void update_disturbed(const char *action, uint32_t at, char **after)
{
    cpuu_error err = CPUU_ERROR_INIT;
    open_journal();
    reported[0] = 0;
    calls = 0;
    work.restore_failed = false;
    fault(at ? action : NULL, at);
    cpuu_rc rc = cpuu_features_update(&work, &err);
    fault(NULL, 0);
    ck_assert_msg(rc == CPUU_OK && !strstr(reported, "failed") && !strchr(reported, '!'),
                  "%s at %u: %s\n%s", action, at, err.text, reported);
    if (!*after)
        *after = dump();
    mailbox_is(*after);
    undo_ok();
    ck_assert_msg(!strchr(reported, '!'), "%s at %u: %s", action, at, reported);
    mailbox_is(before);
    ck_assert_int_eq(cpuu_journal_destroy(work.journal, NULL), CPUU_OK);
    work.journal = NULL;
}

/* Every request in turn loses its answer, or its connection before it arrives. */
START_TEST(a_lost_answer_costs_nothing)
{
    static const char *const actions[] = {"close-after", "close", "fail", "fail-after"};
    char *after = NULL;
    scenario = everything_counted;
    for (int a = 0; a < 4; a++) {
        unsigned again = 0;
        for (uint32_t at = 0; at <= 14; at++) {
            update_disturbed(actions[a], at, &after);
            again += calls > 1;
            ck_assert_uint_le(calls, 2);
        }
        ck_assert_msg(a == 1 || again > 0, "no write ever lost its answer to %s", actions[a]);
    }
    free(after);
}
END_TEST

typedef enum job { UPDATE, UNDO, RECOVER } job;

static int in_child(int kill_at, job what)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        cpuu_error err = CPUU_ERROR_INIT;
        connect_both();
        steps_left = kill_at;
        cpuu_rc rc = cpuu_journal_open(dir, &KEY, true, NULL, &work.journal, &err);
        if (rc == CPUU_OK && what == UPDATE)
            rc = cpuu_journal_set_state(work.journal, CPUU_J_ACTIVE, &err);
        if (rc == CPUU_OK)
            rc = what == UPDATE ? cpuu_features_update(&work, &err)
                                : cpuu_features_rollback(&work, 0, false, &err);
        if (rc == CPUU_OK && what == UNDO)
            rc = cpuu_journal_destroy(work.journal, &err);
        else if (rc == CPUU_OK && what == RECOVER)
            rc = cpuu_journal_reset(work.journal, &err);
        if (rc < 0)
            fprintf(stderr, "child: %s\n", err.text);
        _exit(rc < 0 ? 1 : strchr(reported, '!') ? 2 : 0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

START_TEST(killed_anywhere_the_mailbox_comes_back)
{
    int points = 0;
    scenario = everything;
    for (bool done = false; !done; points++) {
        const int rc = in_child(points, UPDATE);
        ck_assert_msg(rc == 0 || rc == 99, "update killed at %d: %d", points, rc);
        done = rc == 0;
        for (int k = points % 4;; k += 3) { /* the replay is killed, too, until it gets through */
            const int undo = in_child(k, UNDO);
            ck_assert_msg(undo == 0 || undo == 99, "update killed at %d, replay at %d: %d", points,
                          k, undo);
            if (undo == 0)
                break;
        }
        mailbox_is(before);
    }
    ck_assert_int_gt(points, 15);
}
END_TEST

/* ---- features that are written together ------------------------------------------------------ */

static const uint8_t OUTLOOK_SECTION[16] = {0x0a, 0x0d, 0x02, 0, 0, 0, 0, 0,
                                            0xc0, 0,    0,    0, 0, 0, 0, 0x46};

static cpuu_rc rename_shortcut(const cpuu_host *h, cpuu_run *run, const char *from, const char *to)
{
    cpuu_rows *rows = NULL;
    cpuu_row row;
    const cpuu_value v = text_value(T_SUBJECT, to);
    cpuu_rc rc = h->read(run, READS, 1, &rows);
    if (rc < 0 || !find(h, rows, 0, from, &row))
        return h->fail(run, rc < 0 ? rc : CPUU_E_NOTFOUND, "find the shortcut", from);
    cpuu_change c = change_of(CPUU_UPDATE, CPUU_HIDDEN, CPUU_ROLE_COMMON_VIEWS, from);
    c.id = row.id;
    c.set = &v;
    c.n_set = 1;
    return h->change(run, &c, 1, NULL);
}

static cpuu_rc create_shortcut(const cpuu_host *h, cpuu_run *run, const char *name)
{
    const cpuu_value set[] = {text_value(T_CLASS, WLINK), text_value(T_SUBJECT, name)};
    cpuu_change c = change_of(CPUU_CREATE, CPUU_HIDDEN, CPUU_ROLE_COMMON_VIEWS, name);
    c.set = set;
    c.n_set = 2;
    return h->change(run, &c, 1, NULL);
}

static cpuu_rc part_one(const cpuu_host *h, cpuu_run *run)
{
    cpuu_rc rc = rename_shortcut(h, run, "Posteingang", "Eingang");
    return rc == CPUU_OK ? create_shortcut(h, run, "Of one") : rc;
}

static cpuu_rc part_two(const cpuu_host *h, cpuu_run *run)
{
    cpuu_rc rc = create_shortcut(h, run, "Of two");
    return rc == CPUU_OK ? rename_shortcut(h, run, "Kalender", "Termine") : rc;
}

static cpuu_rc part_three(const cpuu_host *h, cpuu_run *run)
{
    return create_shortcut(h, run, "Of three");
}

/* The server refuses the last of its changes, a rule that does nothing, when the others have been
 * made. */
static cpuu_rc part_refused(const cpuu_host *h, cpuu_run *run)
{
    const cpuu_value name = text_value(0x6682001Fu, "Refused"); /* PidTagRuleName */
    cpuu_change c = change_of(CPUU_CREATE, CPUU_RULES, CPUU_ROLE_INBOX, "Refused");
    cpuu_rc rc = part_two(h, run);
    c.set = &name;
    c.n_set = 1;
    return rc == CPUU_OK ? h->change(run, &c, 1, NULL) : rc;
}

static cpuu_rc part_disturbed(const cpuu_host *h, cpuu_run *run)
{
    cpuu_rc rc = part_two(h, run);
    others_rename("Kalender", "Of others");
    return rc;
}

static void parts_are(cpuu_rc (*one)(const cpuu_host *h, cpuu_run *run),
                      cpuu_rc (*two)(const cpuu_host *h, cpuu_run *run),
                      cpuu_rc (*three)(const cpuu_host *h, cpuu_run *run))
{
    parts[0] = one;
    parts[1] = two;
    parts[2] = three;
}

static bool mailbox_has(const char *text)
{
    char *now = dump();
    const bool has = strstr(now, text) != NULL;
    free(now);
    return has;
}

START_TEST(features_are_written_together_and_come_back)
{
    unsigned cost[2];
    for (int all = 0; all < 2; all++) {
        open_journal();
        parts_are(part_one, all ? part_two : NULL, all ? part_three : NULL);
        const uint64_t start = trips();
        update_ok();
        cost[all] = (unsigned)(trips() - start);
        ck_assert(mailbox_has("Of one") && mailbox_has("Eingang"));
        ck_assert(!all || (mailbox_has("Of two") && mailbox_has("Of three")));
        undo_ok();
        mailbox_is(before);
        ck_assert_int_eq(cpuu_journal_destroy(work.journal, NULL), CPUU_OK);
        work.journal = NULL;
    }
    ck_assert_msg(cost[1] <= cost[0], "one costs %u requests, three cost %u", cost[0], cost[1]);
    ck_assert_msg(strstr(reported, "[One{") && strstr(reported, "[Two{") &&
                      strstr(reported, "[Three{"),
                  "%s", reported);
}
END_TEST

/* What failed is gone, what did not is there; then undo takes back the rest. */
static void one_fails_in_the_middle(cpuu_rc (*two)(const cpuu_host *h, cpuu_run *run),
                                    const char *words)
{
    open_journal();
    parts_are(part_one, two, part_three);
    update_ok();
    ck_assert_msg(strstr(reported, "failed: feature Two") && strstr(reported, words), "%s",
                  reported);
    if (two == part_refused) /* its other changes had been made, but not for long */
        ck_assert_msg(!strstr(reported, "{Of two"), "%s", reported);
    ck_assert(mailbox_has("Of one") && mailbox_has("Of three"));
    ck_assert(!mailbox_has("Of two") && !mailbox_has("Termine") && !mailbox_has("Refused"));
    undo_ok();
    if (two == part_disturbed)
        others_rename("Of others", "Kalender");
    mailbox_is(before);
}

START_TEST(a_conflict_of_one_is_not_the_others_failure)
{
    one_fails_in_the_middle(part_disturbed, "somebody else changed it");
}
END_TEST

START_TEST(a_refusal_of_one_is_not_the_others_failure)
{
    one_fails_in_the_middle(part_refused, "cannot change 'Refused'");
}
END_TEST

static cpuu_rc fails(const cpuu_host *h, cpuu_run *run)
{
    return h->fail(run, CPUU_E_FAILED, "do anything", "at all");
}

START_TEST(a_critical_one_takes_the_others_with_it)
{
    static char *critical[] = {"Two"};
    cpuu_rc (*const ways[])(const cpuu_host *h, cpuu_run *run) = {part_disturbed, part_refused,
                                                                  fails};
    settings.critical.items = critical;
    settings.critical.count = 1;
    for (int i = 0; i < 3; i++) {
        cpuu_error err = CPUU_ERROR_INIT;
        open_journal();
        reported[0] = 0;
        parts_are(part_one, ways[i], part_three);
        ck_assert_int_lt(cpuu_features_update(&work, &err), 0);
        ck_assert_msg(strstr(err.text, "feature Two"), "%s", err.text);
        if (i == 0)
            others_rename("Of others", "Kalender");
        mailbox_is(before);
        ck_assert(!work.restore_failed);
        ck_assert_int_eq(cpuu_journal_destroy(work.journal, NULL), CPUU_OK);
        work.journal = NULL;
    }
}
END_TEST

static cpuu_rc goes_on(const cpuu_host *h, cpuu_run *run)
{
    return rename_shortcut(h, run, "Eingang", "Eingang, twice");
}

static cpuu_rc part_one_disturbed(const cpuu_host *h, cpuu_run *run)
{
    cpuu_rc rc = part_one(h, run);
    others_rename("Posteingang", "Of others");
    return rc;
}

/* The later feature builds on what the earlier one is going to write; when that does not come to
 * pass, it must not be written either. */
START_TEST(two_change_the_same_object_in_turn)
{
    open_journal();
    parts_are(part_one, goes_on, part_three);
    update_ok();
    ck_assert_msg(!strstr(reported, "failed"), "%s", reported);
    ck_assert(mailbox_has("Eingang, twice"));
    undo_ok();
    mailbox_is(before);
    ck_assert_int_eq(cpuu_journal_destroy(work.journal, NULL), CPUU_OK);

    open_journal();
    reported[0] = 0;
    parts_are(part_one_disturbed, goes_on, part_three);
    update_ok();
    ck_assert_msg(strstr(reported, "failed: feature One") &&
                      strstr(reported, "failed: feature Two"),
                  "%s", reported);
    ck_assert(mailbox_has("Of others") && mailbox_has("Of three") && !mailbox_has("Eingang"));
    undo_ok();
    others_rename("Of others", "Posteingang");
    mailbox_is(before);
}
END_TEST

/* Alike items could not be told apart when an answer is lost. */
START_TEST(alike_items_are_not_written_together)
{
    static const uint32_t at_most = 16;
    for (uint32_t at = 1; at <= at_most; at++) {
        cpuu_error err = CPUU_ERROR_INIT;
        open_journal();
        work.restore_failed = false;
        parts_are(part_three, part_three, part_three);
        fault("close-after", at);
        cpuu_features_update(&work, &err);
        fault(NULL, 0);
        undo_ok();
        mailbox_is(before);
        ck_assert_int_eq(cpuu_journal_destroy(work.journal, NULL), CPUU_OK);
        work.journal = NULL;
    }
}
END_TEST

/* Each sets something that the other leaves to the server, so that each item is also what the other
 * one is looked for by. */
static cpuu_rc create_with(const cpuu_host *h, cpuu_run *run, uint32_t tag, const char *subject)
{
    const cpuu_value set[] = {text_value(T_CLASS, WLINK), text_value(T_SUBJECT, subject),
                              text_value(tag, "")};
    cpuu_change c = change_of(CPUU_CREATE, CPUU_HIDDEN, CPUU_ROLE_COMMON_VIEWS, subject);
    c.set = set;
    c.n_set = 3;
    return h->change(run, &c, 1, NULL);
}

static cpuu_rc alike_one(const cpuu_host *h, cpuu_run *run)
{
    return create_with(h, run, T_GROUP, "Alike");
}

static cpuu_rc alike_two(const cpuu_host *h, cpuu_run *run)
{
    return create_with(h, run, T_COMMENT, "Alike");
}

static cpuu_rc other_two(const cpuu_host *h, cpuu_run *run)
{
    return create_with(h, run, T_COMMENT, "Not alike");
}

START_TEST(new_items_that_may_come_to_look_alike_are_not_written_together)
{
    unsigned cost[2];
    for (int alike = 0; alike < 2; alike++) {
        open_journal();
        parts_are(alike_one, alike ? alike_two : other_two, NULL);
        const uint64_t start = trips();
        update_ok();
        cost[alike] = (unsigned)(trips() - start);
        undo_ok();
        mailbox_is(before);
        ck_assert_int_eq(cpuu_journal_destroy(work.journal, NULL), CPUU_OK);
        work.journal = NULL;
    }
    ck_assert_msg(cost[1] > cost[0], "together %u requests, alike %u", cost[0], cost[1]);
}
END_TEST

/* Nothing of the second flush can be written: it changes what it has deleted. */
static cpuu_rc ignores_what_flush_says(const cpuu_host *h, cpuu_run *run)
{
    cpuu_rows *rows = NULL;
    cpuu_row row;
    cpuu_change c = change_of(CPUU_DELETE, CPUU_HIDDEN, CPUU_ROLE_COMMON_VIEWS, "Kalender");
    cpuu_rc rc = create_shortcut(h, run, "Of two");
    if (rc == CPUU_OK)
        rc = h->flush(run);
    if (rc == CPUU_OK)
        rc = h->read(run, READS, 1, &rows);
    if (rc < 0 || !find(h, rows, 0, "Kalender", &row))
        return h->fail(run, rc, "find", "Kalender");
    c.id = row.id;
    rc = h->change(run, &c, 1, NULL);
    if (rc == CPUU_OK)
        rc = rename_shortcut(h, run, "Kalender", "Termine");
    ck_assert_int_lt(h->flush(run), 0);
    ck_assert_int_lt(h->flush(run), 0);
    return rc;
}

START_TEST(a_failed_flush_fails_the_feature_whatever_it_returns)
{
    open_journal();
    parts_are(part_one, ignores_what_flush_says, part_three);
    update_ok();
    ck_assert_msg(strstr(reported, "failed: feature Two"), "%s", reported);
    ck_assert(mailbox_has("Of one") && mailbox_has("Of three") && !mailbox_has("Of two"));
    undo_ok();
    mailbox_is(before);
}
END_TEST

static cpuu_rc part_one_counted(const cpuu_host *h, cpuu_run *run)
{
    calls++;
    return part_one(h, run);
}

static unsigned times(const char *word)
{
    unsigned n = 0;
    for (const char *p = reported; (p = strstr(p, word)); p++)
        n++;
    return n;
}

START_TEST(a_lost_answer_to_several_costs_nothing)
{
    unsigned again = 0;
    char *after = NULL;
    parts_are(part_one_counted, part_two, part_three);
    for (uint32_t at = 0; at <= 12; at++) {
        update_disturbed("close-after", at, &after);
        again += calls > 1;
        ck_assert_uint_le(calls, 2);
        ck_assert_msg(times("[One{") == 1 && times("[Two{") == 1 && times("[Three{") == 1, "%s",
                      reported);
    }
    ck_assert_uint_gt(again, 0);
    free(after);
}
END_TEST

/* The answer to what it writes is lost, whoever else is in it. */
static cpuu_rc is_cut_off(const cpuu_host *h, cpuu_run *run)
{
    calls++;
    fault_in("change", "close-after", 1);
    return part_two(h, run);
}

START_TEST(what_fails_by_itself_too_has_failed)
{
    open_journal();
    parts_are(part_one, is_cut_off, part_three);
    calls = 0;
    update_ok();
    ck_assert_uint_eq(calls, 2);
    ck_assert_msg(times("[Two failed") == 1 && times(" failed: feature") == 1 &&
                      times("[One{") == 1 && times("[Three{") == 1,
                  "%s", reported);
    ck_assert(mailbox_has("Of one") && mailbox_has("Of three"));
    ck_assert(!mailbox_has("Of two") && !mailbox_has("Termine"));
    undo_ok();
    mailbox_is(before);
}
END_TEST

START_TEST(a_critical_one_is_tried_twice_and_takes_the_others_with_it)
{
    static char *critical[] = {"Two"};
    cpuu_error err = CPUU_ERROR_INIT;
    open_journal();
    settings.critical.items = critical;
    settings.critical.count = 1;
    parts_are(part_one, is_cut_off, part_three);
    calls = 0;
    ck_assert_int_lt(cpuu_features_update(&work, &err), 0);
    ck_assert_uint_eq(calls, 2);
    ck_assert_msg(times("[Two failed") == 1, "%s", reported);
    mailbox_is(before);
}
END_TEST

/* ---- and their edits of the profile ---------------------------------------------------------- */

static const char REG[] =
    "REGEDIT4\n\n"
    "[HKEY_CURRENT_USER\\Software\\Microsoft\\Office\\16.0\\Outlook\\Profiles\\Test]\n\n"
    "[HKEY_CURRENT_USER\\Software\\Microsoft\\Office\\16.0\\Outlook\\Profiles\\Test"
    "\\9207f3e0a3b11019908b08002b2a56c2]\n\n"
    "[HKEY_CURRENT_USER\\Software\\Microsoft\\Office\\16.0\\Outlook\\Profiles\\Test"
    "\\0a0d020000000000c000000000000046]\n";

static cpuu_rc edit(const cpuu_host *h, cpuu_run *run, uint32_t tag, const char *text)
{
    const cpuu_value v = text_value(tag, text);
    cpuu_change c = change_of(CPUU_UPDATE, CPUU_SECTIONS, CPUU_ROLE_NONE, "profile");
    c.id = (cpuu_blob){OUTLOOK_SECTION, 16};
    c.set = &v;
    c.n_set = 1;
    return h->change(run, &c, 1, NULL);
}

static cpuu_rc edits_one(const cpuu_host *h, cpuu_run *run)
{
    cpuu_rc rc = edit(h, run, T_NAME, "one");
    return rc == CPUU_OK ? part_one(h, run) : rc;
}

static cpuu_rc edits_two(const cpuu_host *h, cpuu_run *run)
{
    cpuu_rc rc = edit(h, run, T_NAME, "two");
    if (rc == CPUU_OK)
        rc = edit(h, run, T_SUBJECT, "only two");
    return rc == CPUU_OK ? part_disturbed(h, run) : rc;
}

static cpuu_rc edits_three(const cpuu_host *h, cpuu_run *run)
{
    return edit(h, run, T_COMMENT, "three");
}

static const char *edited(uint32_t tag)
{
    static char text[64];
    cpuu_arena arena = {0};
    cpuu_value v;
    cpuu_error err = CPUU_ERROR_INIT;
    strcpy(text, "-");
    if (cpuu_profile_get(work.profile, CPUU_SECTION_OUTLOOK, tag, &arena, &v, &err) == CPUU_OK)
        snprintf(text, sizeof(text), "%.*s", (int)v.size, (const char *)v.data);
    cpuu_arena_free(&arena);
    return text;
}

START_TEST(the_edits_of_the_failed_one_are_gone_and_only_they)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_reg *base = NULL, *view = NULL;
    cpuu_edits first, edits;
    cpuu_profile_roots roots;
    cpuu_edits_init(&first);
    cpuu_edits_init(&edits);
    ck_assert_int_eq(cpuu_reg_parse_text(REG, strlen(REG), &first, &err), CPUU_OK);
    ck_assert_int_eq(cpuu_reg_open_memory(&base, &err), CPUU_OK);
    ck_assert_int_eq(cpuu_reg_apply(base, &first, &err), CPUU_OK);
    ck_assert_int_eq(cpuu_reg_open_overlay(base, &edits, &view, &err), CPUU_OK);
    ck_assert_int_eq(cpuu_profile_discover(view, &roots, &err), CPUU_OK);
    ck_assert_int_eq(cpuu_profile_open(view, &roots.items[0], "Test", &work.profile, &err),
                     CPUU_OK);
    work.edits = &edits;
    open_journal();
    parts_are(edits_one, edits_two, edits_three);
    update_ok();
    ck_assert_msg(strstr(reported, "failed: feature Two"), "%s", reported);
    ck_assert_str_eq(edited(T_NAME), "one");
    ck_assert_str_eq(edited(T_SUBJECT), "-");
    ck_assert_str_eq(edited(T_COMMENT), "three");
    ck_assert(mailbox_has("Of one") && !mailbox_has("Of two"));
    undo_ok();
    others_rename("Of others", "Kalender");
    mailbox_is(before);
    cpuu_profile_free(work.profile);
    work.profile = NULL;
    work.edits = NULL;
    cpuu_profile_roots_free(&roots);
    cpuu_reg_close(view);
    cpuu_reg_close(base);
    cpuu_edits_free(&first);
    cpuu_edits_free(&edits);
}
END_TEST

/* ---- killed together ------------------------------------------------------------------------- */

START_TEST(killed_anywhere_several_features_come_back)
{
    int points = 0;
    parts_are(part_one, part_two, part_three);
    for (bool done = false; !done; points++) {
        const int rc = in_child(points, UPDATE);
        ck_assert_msg(rc == 0 || rc == 99, "update killed at %d: %d", points, rc);
        done = rc == 0;
        for (int k = points % 5;; k += 3) {
            const int undo = in_child(k, UNDO);
            ck_assert_msg(undo == 0 || undo == 99, "update killed at %d, replay at %d: %d", points,
                          k, undo);
            if (undo == 0)
                break;
        }
        mailbox_is(before);
    }
    ck_assert_int_gt(points, 15);
}
END_TEST

static cpuu_rc kills(const cpuu_host *h, cpuu_run *run)
{
    (void)h;
    (void)run;
    _exit(99);
}

START_TEST(who_waits_is_not_blamed_for_a_kill)
{
    unsigned one = 9, three = 9;
    parts_are(part_one, NULL, kills);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(in_child(-1, UPDATE), 99);
    open_journal();
    ck_assert_int_eq(cpuu_journal_span_deaths(work.journal, "One", &one, NULL), CPUU_OK);
    ck_assert_int_eq(cpuu_journal_span_deaths(work.journal, "Three", &three, NULL), CPUU_OK);
    ck_assert_uint_eq(one, 0);
    ck_assert_uint_eq(three, 2);
    mailbox_is(before);
    cpuu_journal_close(work.journal);
    work.journal = NULL;
    ck_assert_int_eq(in_child(-1, UPDATE), 0); /* now without the third */
    ck_assert(mailbox_has("Of one"));
    ck_assert_int_eq(in_child(-1, UNDO), 0);
    mailbox_is(before);
}
END_TEST

/* A death while several are written counts against all of them, a second one only against one. */
START_TEST(two_kills_bar_one_feature_at_most)
{
    int points = 0;
    parts_are(part_one, part_two, part_three);
    for (int step = 0;; step++, points++) {
        unsigned deaths = 0, barred = 0;
        if (in_child(step, UPDATE) == 0)
            break;
        ck_assert_int_eq(in_child(-1, RECOVER), 0);
        in_child(step, UPDATE);
        ck_assert_int_eq(in_child(-1, RECOVER), 0);
        open_journal();
        for (int i = 0; i < 3; i++) {
            static const char *const names[] = {"One", "Two", "Three"};
            ck_assert_int_eq(cpuu_journal_span_deaths(work.journal, names[i], &deaths, NULL),
                             CPUU_OK);
            barred += deaths >= 2;
        }
        cpuu_journal_close(work.journal);
        work.journal = NULL;
        ck_assert_msg(barred <= 1, "killed at %d: %u features are barred", step, barred);
        ck_assert_int_eq(in_child(-1, UNDO), 0);
        mailbox_is(before);
    }
    ck_assert_int_eq(in_child(-1, UNDO), 0);
    ck_assert_int_gt(points, 15);
}
END_TEST

static unsigned n_public, n_bob, n_streamed;
static uint64_t n_first; /* requests for the first page of a stream */

static cpuu_rc reads_elsewhere(const cpuu_host *h, cpuu_run *run)
{
    static const uint32_t tags[] = {T_NAME}, link[] = {T_SUBJECT, 0x684E0102u};
    cpuu_query stores = CPUU_QUERY(CPUU_SOURCE, CPUU_HIDDEN, CPUU_ROLE_COMMON_VIEWS, WLINK, link);
    cpuu_query q[2] = {CPUU_QUERY(CPUU_SOURCE, CPUU_FOLDERS, CPUU_ROLE_PUBLIC, NULL, tags),
                       CPUU_QUERY(CPUU_SOURCE, CPUU_FOLDERS, CPUU_ROLE_IPM_SUBTREE, NULL, tags)};
    cpuu_query streamed = stores;
    cpuu_rows *rows = NULL, *more[2] = {NULL, NULL}, *stream = NULL;
    cpuu_row row;
    if (h->read(run, &stores, 1, &rows) < 0 || !find(h, rows, 0, "Bob Brown", &row))
        return h->fail(run, CPUU_E_NOTFOUND, "find Bob's calendar", "source");
    q[0].flags = q[1].flags = CPUU_DEEP;
    q[1].store.data = row.values[1].data;
    q[1].store.size = row.values[1].size;
    if (h->read(run, q, 2, more) < 0)
        return h->fail(run, CPUU_E_FAILED, "read elsewhere", "source");
    for (n_public = 0; row.size = sizeof(row), h->rows(more[0], n_public, &row) == CPUU_OK;)
        n_public++;
    for (n_bob = 0; row.size = sizeof(row), h->rows(more[1], n_bob, &row) == CPUU_OK;)
        n_bob++;
    streamed.flags = CPUU_STREAM;
    n_first = lab_find_org(model, "source")->stats.executes;
    if (h->read(run, &streamed, 1, &stream) < 0)
        return h->fail(run, CPUU_E_FAILED, "stream", "source");
    n_first = lab_find_org(model, "source")->stats.executes - n_first;
    for (n_streamed = 0; row.size = sizeof(row), h->rows(stream, n_streamed, &row) == CPUU_OK;) {
        if (!CPUU_FOUND(&row.values[0]))
            return h->fail(run, CPUU_E_FORMAT, "read a streamed row", "source");
        n_streamed++;
    }
    uint32_t all = 0;
    while (row.size = sizeof(row), h->rows(rows, all, &row) == CPUU_OK)
        all++;
    return all == n_streamed ? CPUU_OK : h->fail(run, CPUU_E_FORMAT, "count rows", "source");
}

START_TEST(other_mailboxes_public_folders_and_streams_are_read)
{
    open_journal();
    scenario = reads_elsewhere;
    update_ok();
    ck_assert_msg(strstr(reported, "[Seam nothing]"), "%s", reported);
    ck_assert_uint_eq(n_public, 3); /* demo.conf: Company, News, Über uns */
    ck_assert_uint_gt(n_bob, 5);
    ck_assert_uint_gt(n_streamed, 15);
    ck_assert_uint_eq(n_first, 1); /* what there is to stream READS[1] has told */
    mailbox_is(before);
}
END_TEST

START_TEST(without_the_mailbox_nothing_is_taken_back)
{
    cpuu_error err = CPUU_ERROR_INIT;
    open_journal();
    scenario = shortcuts;
    update_ok();
    char *after = dump();
    cpuu_mail *mail = work.mail;
    work.mail = NULL;
    ck_assert_int_eq(cpuu_features_rollback(&work, 0, false, &err), CPUU_E_NETWORK);
    ck_assert_ptr_nonnull(strstr(err.text, "--profile-only"));
    ck_assert_int_eq(cpuu_features_rollback(&work, 0, true, &err), CPUU_OK);
    work.mail = mail;
    mailbox_is(after);
    free(after);
    undo_ok(); /* the records are still there */
    mailbox_is(before);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("seam");
    TCase *t = tcase_create("seam");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 300);
    tcase_add_test(t, shortcuts_come_back);
    tcase_add_test(t, folders_come_back);
    tcase_add_test(t, rules_come_back);
    tcase_add_test(t, many_rules_come_back_in_few_requests);
    tcase_add_test(t, permissions_come_back);
    tcase_add_test(t, everything_comes_back);
    tcase_add_test(t, a_failed_feature_is_taken_back_at_once);
    tcase_add_test(t, a_dry_run_writes_nothing_and_says_all);
    tcase_add_test(t, what_others_changed_since_stays);
    tcase_add_test(t, what_others_change_meanwhile_is_a_conflict_and_nothing_is_written);
    tcase_add_test(t, a_later_feature_sees_what_an_earlier_one_wrote);
    tcase_add_test(t, a_feature_costs_few_round_trips);
    tcase_add_test(t, other_mailboxes_public_folders_and_streams_are_read);
    tcase_add_test(t, without_the_mailbox_nothing_is_taken_back);
    tcase_add_test(t, a_lost_answer_costs_nothing);
    tcase_add_test(t, features_are_written_together_and_come_back);
    tcase_add_test(t, a_conflict_of_one_is_not_the_others_failure);
    tcase_add_test(t, a_refusal_of_one_is_not_the_others_failure);
    tcase_add_test(t, a_critical_one_takes_the_others_with_it);
    tcase_add_test(t, two_change_the_same_object_in_turn);
    tcase_add_test(t, alike_items_are_not_written_together);
    tcase_add_test(t, new_items_that_may_come_to_look_alike_are_not_written_together);
    tcase_add_test(t, a_failed_flush_fails_the_feature_whatever_it_returns);
    tcase_add_test(t, a_lost_answer_to_several_costs_nothing);
    tcase_add_test(t, what_fails_by_itself_too_has_failed);
    tcase_add_test(t, a_critical_one_is_tried_twice_and_takes_the_others_with_it);
    tcase_add_test(t, the_edits_of_the_failed_one_are_gone_and_only_they);
    suite_add_tcase(s, t);
    TCase *k = tcase_create("killed");
    tcase_add_checked_fixture(k, set_up_process, tear_down);
    tcase_add_test(k, killed_anywhere_the_mailbox_comes_back);
    tcase_add_test(k, killed_anywhere_several_features_come_back);
    tcase_add_test(k, who_waits_is_not_blamed_for_a_kill);
    tcase_add_test(k, two_kills_bar_one_feature_at_most);
    tcase_set_timeout(k, 300);
    suite_add_tcase(s, k);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
