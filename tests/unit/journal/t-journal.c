/*
 * The journal against its promises: permissions, ownership, order of states, damage, and what is
 * left after the process was killed at every fault point of a whole update and undo.
 */
#include "config.h"

#include "base/fault.h"
#include "base/file.h"
#include "base/text.h"
#include "journal/journal.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the test's own fault points ------------------------------------------------------------- */

static int steps_left = -1; /* the process ends at that step; -1 never */
static int fails_left = -1; /* the n-th fallible operation of kind fail_kind fails */
static const char *fail_kind;

void cpuu_fault_step(const char *what)
{
    (void)what;
    if (steps_left >= 0 && steps_left-- == 0)
        _exit(99);
}

bool cpuu_fault_fail(const char *what)
{
    return fail_kind && strcmp(what, fail_kind) == 0 && fails_left >= 0 && fails_left-- == 0;
}

/* ---- fixture --------------------------------------------------------------------------------- */

static char dir[64];
static const uint8_t UID[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static const cpuu_journal_key KEY = {"Software\\Microsoft\\Office\\16.0\\Outlook", "Outlook", UID,
                                     "/home/u/NTUSER.DAT"};

static void set_up(void)
{
    strcpy(dir, "/tmp/t-journal-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    steps_left = fails_left = -1;
    fail_kind = NULL;
}

static void tear_down(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    ck_assert_int_eq(system(command), 0);
}

static cpuu_journal *open_ok(bool create)
{
    cpuu_journal *j = NULL;
    cpuu_error err = CPUU_ERROR_INIT;
    ck_assert_msg(cpuu_journal_open(dir, &KEY, create, NULL, &j, &err) == CPUU_OK, "%s", err.text);
    return j;
}

static cpuu_rc open_rc(bool create)
{
    cpuu_journal *j = NULL;
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_rc rc = cpuu_journal_open(dir, &KEY, create, NULL, &j, &err);
    ck_assert_int_eq(rc, err.rc);
    if (rc < 0)
        ck_assert_ptr_null(j);
    cpuu_journal_close(j);
    return rc;
}

/* Path of the only journal file. */
static void the_file(char out[300])
{
    DIR *d = opendir(dir);
    out[0] = 0;
    for (struct dirent *e; (e = readdir(d));) {
        if (strlen(e->d_name) == 37)
            snprintf(out, 300, "%s/%s", dir, e->d_name);
    }
    closedir(d);
}

static unsigned entries(void)
{
    DIR *d = opendir(dir);
    unsigned n = 0;
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static cpuu_rc add(cpuu_journal *j, int64_t span, const char *before, const char *after,
                   int64_t *seq)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_record r = {.span = span,
                     .kind = CPUU_RECORD_UPDATE,
                     .status = CPUU_RECORD_PLANNED,
                     .what = CPUU_HIDDEN,
                     .folder = {(const uint8_t *)"FOLDER", 6},
                     .id = {(const uint8_t *)"ID\0X", 4},
                     .title = "Calendar of Bob",
                     .before = {(const uint8_t *)before, (uint32_t)strlen(before)},
                     .after = {(const uint8_t *)after, (uint32_t)strlen(after)},
                     .has_before = true,
                     .has_after = true};
    cpuu_rc rc = cpuu_journal_add(j, &r, &err);
    if (seq)
        *seq = r.seq;
    return rc;
}

typedef struct seen {
    unsigned n;
    char order[256];
    cpuu_record_status last_status;
    char last_id[16];
    cpuu_journal *mark_with;
} seen;

static cpuu_rc look(void *user, const cpuu_record *r)
{
    seen *s = user;
    s->n++;
    strncat(s->order, (const char *)r->before.data, r->before.size);
    s->last_status = r->status;
    memcpy(s->last_id, r->id.data, r->id.size < 16 ? r->id.size : 16);
    ck_assert_int_eq(r->kind, CPUU_RECORD_UPDATE);
    ck_assert_uint_eq(r->what, CPUU_HIDDEN);
    ck_assert_str_eq(r->title, "Calendar of Bob");
    ck_assert_ptr_null(r->path);
    ck_assert_uint_eq(r->folder.size, 6);
    ck_assert(r->has_before && r->has_after);
    if (s->mark_with)
        ck_assert_int_eq(cpuu_journal_mark(s->mark_with, r->seq, CPUU_RECORD_UNDONE, NULL, NULL),
                         0);
    return CPUU_OK;
}

static seen records(cpuu_journal *j, int64_t span, bool newest)
{
    cpuu_error err = CPUU_ERROR_INIT;
    seen s = {0};
    ck_assert_msg(cpuu_journal_each(j, span, newest, look, &s, &err) == CPUU_OK, "%s", err.text);
    return s;
}

typedef struct listed {
    unsigned n;
    cpuu_rc rc;
    bool has_problem;
    char file[64];
    cpuu_journal_state state;
} listed;

static cpuu_rc note_summary(void *user, const cpuu_journal_summary *s)
{
    listed *l = user;
    l->n++;
    l->rc = s->rc;
    l->has_problem = s->problem != NULL;
    l->state = s->state;
    snprintf(l->file, sizeof(l->file), "%s", s->file);
    if (s->rc == CPUU_OK) {
        ck_assert_str_eq(s->profile, KEY.profile);
        ck_assert_str_eq(s->hive, KEY.hive);
        ck_assert_mem_eq(s->profile_uid, UID, 16);
        ck_assert_uint_eq(strlen(s->id), 38);
        ck_assert_int_gt(s->created, 1600000000);
    }
    return CPUU_OK;
}

/* ---- permissions and ownership --------------------------------------------------------------- */

START_TEST(the_file_is_private_whatever_the_umask)
{
    struct stat st;
    char path[300];
    mode_t old = umask(0);
    cpuu_journal *j = open_ok(true);
    umask(old);
    the_file(path);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    ck_assert_int_eq(cpuu_journal_put(j, "image", "x", 1, NULL), CPUU_OK);
    cpuu_journal_close(j);

    old = umask(0777); /* nothing would be allowed: the file must be readable by us all the same */
    ck_assert_int_eq(unlink(path), 0);
    j = open_ok(true);
    umask(old);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    cpuu_journal_close(j);
}
END_TEST

START_TEST(a_folder_others_can_write_to_is_refused)
{
    ck_assert_int_eq(chmod(dir, 0770), 0);
    ck_assert_int_eq(open_rc(true), CPUU_E_ACCESS);
    ck_assert_int_eq(chmod(dir, 0702), 0);
    ck_assert_int_eq(open_rc(true), CPUU_E_ACCESS);
    ck_assert_uint_eq(entries(), 0);
    ck_assert_int_eq(chmod(dir, 0755), 0);
    ck_assert_int_eq(open_rc(true), CPUU_OK);
}
END_TEST

START_TEST(a_link_in_the_place_of_the_journal_is_refused)
{
    char path[300], other[100];
    cpuu_journal_close(open_ok(true));
    the_file(path);
    snprintf(other, sizeof(other), "%s/victim", dir);
    ck_assert_int_eq(rename(path, other), 0);
    ck_assert_int_eq(symlink(other, path), 0);
    ck_assert_int_lt(open_rc(true), 0);
    ck_assert_int_lt(open_rc(false), 0);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(link(other, path), 0); /* a second name for it */
    ck_assert_int_eq(open_rc(true), CPUU_E_ACCESS);
}
END_TEST

START_TEST(a_journal_others_can_read_is_refused)
{
    char path[300];
    cpuu_journal_close(open_ok(true));
    the_file(path);
    ck_assert_int_eq(chmod(path, 0644), 0);
    ck_assert_int_eq(open_rc(false), CPUU_E_ACCESS);
}
END_TEST

START_TEST(a_second_process_is_told_that_it_is_busy)
{
    cpuu_journal *j = open_ok(true);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        cpuu_journal *mine = NULL;
        cpuu_error err = CPUU_ERROR_INIT;
        _exit(cpuu_journal_open(dir, &KEY, true, NULL, &mine, &err) == CPUU_E_BUSY ? 0 : 1);
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(open_rc(false), CPUU_E_BUSY); /* and so is this one */
    cpuu_journal_close(j);
    ck_assert_int_eq(open_rc(false), CPUU_OK);
}
END_TEST

START_TEST(the_lock_dies_with_its_owner)
{
    pid_t pid = fork();
    if (pid == 0) {
        cpuu_journal *mine = NULL;
        cpuu_journal_open(dir, &KEY, true, NULL, &mine, NULL);
        _exit(0); /* without closing */
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(open_rc(false), CPUU_OK);
}
END_TEST

START_TEST(listing_does_not_drop_the_lock_of_the_owner)
{
    cpuu_journal *j = open_ok(true);
    ck_assert_int_eq(cpuu_journal_put(j, "a", "b", 1, NULL), CPUU_OK);
    listed l = {0};
    ck_assert_int_eq(cpuu_journal_list(dir, note_summary, &l, NULL), CPUU_OK);
    ck_assert_uint_eq(l.n, 1);
    ck_assert_int_eq(l.rc, CPUU_OK);
    pid_t pid = fork();
    if (pid == 0) {
        cpuu_journal *mine = NULL;
        _exit(cpuu_journal_open(dir, &KEY, true, NULL, &mine, NULL) == CPUU_E_BUSY ? 0 : 1);
    }
    int status;
    waitpid(pid, &status, 0);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(cpuu_journal_flush(j, NULL), CPUU_OK);
    cpuu_journal_close(j);
}
END_TEST

/* ---- states, blobs, records ------------------------------------------------------------------ */

START_TEST(without_create_nothing_is_created)
{
    ck_assert_int_eq(open_rc(false), CPUU_E_NOTFOUND);
    ck_assert_uint_eq(entries(), 0);
}
END_TEST

START_TEST(states_go_in_their_order_and_last)
{
    static const cpuu_journal_state all[] = {CPUU_J_NONE, CPUU_J_ACTIVE, CPUU_J_COMMITTED,
                                             CPUU_J_UNDOING, CPUU_J_CLEANING};
    /* allowed[from][to], from the table in journal.h */
    static const bool allowed[5][5] = {
        {1, 1, 0, 0, 0}, {0, 1, 1, 0, 0}, {0, 0, 1, 1, 1}, {0, 0, 0, 1, 0}, {0, 0, 0, 0, 1}};
    static const int path_to[5][4] = {{0}, {1}, {1, 2}, {1, 2, 3}, {1, 2, 4}};
    for (int from = 0; from < 5; from++) {
        for (int to = 0; to < 5; to++) {
            cpuu_journal *j = open_ok(true);
            for (int i = 0; i < 4 && path_to[from][i]; i++)
                ck_assert_int_eq(cpuu_journal_set_state(j, all[path_to[from][i]], NULL), CPUU_OK);
            cpuu_rc rc = cpuu_journal_set_state(j, all[to], NULL);
            ck_assert_int_eq(rc >= 0, allowed[from][to]);
            cpuu_journal_close(j);
            j = open_ok(false);
            ck_assert_int_eq(cpuu_journal_get_state(j), all[allowed[from][to] ? to : from]);
            ck_assert_int_eq(cpuu_journal_destroy(j, NULL), CPUU_OK);
            ck_assert_uint_eq(entries(), 0);
        }
    }
}
END_TEST

START_TEST(blobs_come_back_whole)
{
    cpuu_journal *j = open_ok(true);
    uint8_t big[70000];
    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (uint8_t)(i * 7 + i / 256);
    ck_assert_int_eq(cpuu_journal_put(j, "image", big, sizeof(big), NULL), CPUU_OK);
    ck_assert_int_eq(cpuu_journal_put(j, "empty", NULL, 0, NULL), CPUU_OK);
    ck_assert_int_eq(cpuu_journal_put(j, "note:Rules:k", "old", 3, NULL), CPUU_OK);
    ck_assert_int_eq(cpuu_journal_put(j, "note:Rules:k", "new\0!", 5, NULL), CPUU_OK);
    ck_assert_int_eq(cpuu_journal_flush(j, NULL), CPUU_OK);
    char id[64];
    snprintf(id, sizeof(id), "%s", cpuu_journal_id(j));
    cpuu_journal_close(j);

    j = open_ok(false);
    ck_assert_str_eq(cpuu_journal_id(j), id);
    cpuu_buf b;
    cpuu_buf_init(&b, 1 << 20);
    ck_assert_int_eq(cpuu_journal_get(j, "image", &b, NULL), CPUU_OK);
    ck_assert_uint_eq(b.size, sizeof(big));
    ck_assert_mem_eq(b.data, big, sizeof(big));
    cpuu_buf_reset(&b);
    ck_assert_int_eq(cpuu_journal_get(j, "empty", &b, NULL), CPUU_OK);
    ck_assert_uint_eq(b.size, 0);
    ck_assert_int_eq(cpuu_journal_get(j, "note:Rules:k", &b, NULL), CPUU_OK);
    ck_assert_uint_eq(b.size, 5);
    ck_assert_mem_eq(b.data, "new\0!", 5);
    ck_assert_int_eq(cpuu_journal_get(j, "nothing", &b, NULL), CPUU_E_NOTFOUND);
    cpuu_buf_free(&b);
    cpuu_buf_init(&b, 100);
    ck_assert_int_eq(cpuu_journal_get(j, "image", &b, NULL), CPUU_E_TOOBIG);
    cpuu_buf_free(&b);
    cpuu_journal_close(j);
}
END_TEST

START_TEST(what_was_not_flushed_is_gone_what_was_flushed_stays)
{
    cpuu_journal *j = open_ok(true);
    int64_t span;
    ck_assert_int_eq(cpuu_journal_begin_span(j, "Rules", &span, NULL), CPUU_OK);
    ck_assert_int_eq(add(j, span, "a", "A", NULL), CPUU_OK);
    ck_assert_int_eq(cpuu_journal_flush(j, NULL), CPUU_OK);
    ck_assert_int_eq(add(j, span, "b", "B", NULL), CPUU_OK);
    cpuu_journal_close(j);
    j = open_ok(false);
    ck_assert_str_eq(records(j, 0, false).order, "a");
    cpuu_journal_close(j);
}
END_TEST

START_TEST(records_come_in_both_orders_and_by_span)
{
    cpuu_journal *j = open_ok(true);
    int64_t s1, s2, seq;
    cpuu_journal_begin_span(j, "Rules", &s1, NULL);
    add(j, s1, "a", "A", NULL);
    add(j, s1, "b", "B", NULL);
    cpuu_journal_end_span(j, s1, CPUU_SPAN_OK, NULL);
    cpuu_journal_begin_span(j, "Nicks", &s2, NULL);
    add(j, s2, "c", "C", &seq);
    ck_assert_int_ne(s1, s2);
    ck_assert_str_eq(records(j, 0, false).order, "abc");
    ck_assert_str_eq(records(j, 0, true).order, "cba");
    ck_assert_str_eq(records(j, s1, true).order, "ba");
    ck_assert_str_eq(records(j, s2, true).order, "c");
    cpuu_blob id = {(const uint8_t *)"new", 3};
    ck_assert_int_eq(cpuu_journal_mark(j, seq, CPUU_RECORD_DONE, &id, NULL), CPUU_OK);
    seen s = records(j, s2, true);
    ck_assert_int_eq(s.last_status, CPUU_RECORD_DONE);
    ck_assert_str_eq(s.last_id, "new");
    s = (seen){.mark_with = j}; /* marking from the callback */
    ck_assert_int_eq(cpuu_journal_each(j, 0, true, look, &s, NULL), CPUU_OK);
    ck_assert_uint_eq(s.n, 3);
    ck_assert_int_eq(records(j, s1, false).last_status, CPUU_RECORD_UNDONE);
    cpuu_journal_close(j);
}
END_TEST

static int64_t found(cpuu_journal *j, cpuu_journal_filter f)
{
    int64_t seq = -1;
    ck_assert_int_eq(cpuu_journal_find(j, &f, NULL, NULL, &seq, NULL), CPUU_OK);
    return seq;
}

static cpuu_blob bytes(const char *s)
{
    return (cpuu_blob){(const uint8_t *)s, (uint32_t)strlen(s)};
}

/* Three features, two objects with the same id in two folders, a file, and an id learnt late. */
START_TEST(the_newest_record_that_matches_is_found)
{
    cpuu_journal *j = open_ok(true);
    int64_t s[7];
    static const char *const folders[] = {"A", "B", "A", "A", "A"};
    ck_assert_int_eq(found(j, (cpuu_journal_filter){.open = true}), 0);
    for (int i = 0; i < 5; i++) {
        cpuu_record r = {.span = 1 + i / 2,
                         .kind = i == 4 ? CPUU_RECORD_CREATE : CPUU_RECORD_UPDATE,
                         .status = i == 3 ? CPUU_RECORD_FAILED : CPUU_RECORD_SENT,
                         .what = i == 4 ? CPUU_FOLDERS : CPUU_HIDDEN,
                         .folder = bytes(folders[i]),
                         .id = i == 4 ? (cpuu_blob){NULL, 0} : bytes("id"),
                         .title = ""};
        ck_assert_int_eq(cpuu_journal_add(j, &r, NULL), CPUU_OK);
        s[i] = r.seq;
    }
    for (int i = 5; i < 7; i++) {
        cpuu_record r = {.span = 3,
                         .kind = CPUU_RECORD_FILE,
                         .status = CPUU_RECORD_DONE,
                         .path = i == 5 ? "/a" : "/b",
                         .title = ""};
        ck_assert_int_eq(cpuu_journal_add(j, &r, NULL), CPUU_OK);
        s[i] = r.seq;
    }
    ck_assert_int_eq(found(j, (cpuu_journal_filter){0}), s[6]);
    ck_assert_int_eq(found(j, (cpuu_journal_filter){.below = s[6]}), s[5]);
    ck_assert_int_eq(found(j, (cpuu_journal_filter){.below = s[0]}), 0);
    ck_assert_int_eq(found(j, (cpuu_journal_filter){.span = 2}), s[3]);
    ck_assert_int_eq(found(j, (cpuu_journal_filter){.span = 2, .open = true}), s[2]);
    ck_assert_int_eq(found(j, (cpuu_journal_filter){.kind = CPUU_RECORD_UPDATE}), s[3]);
    ck_assert_int_eq(found(j, (cpuu_journal_filter){.what = CPUU_FOLDERS}), s[4]);
    ck_assert_int_eq(found(j, (cpuu_journal_filter){.path = "/a"}), s[5]);
    ck_assert_int_eq(found(j, (cpuu_journal_filter){.path = "/c"}), 0);
    cpuu_journal_filter f = {.id = bytes("id"), .what = CPUU_HIDDEN, .open = true};
    ck_assert_int_eq(found(j, f), s[2]);
    f.what = CPUU_ITEMS;
    ck_assert_int_eq(found(j, f), 0);
    f = (cpuu_journal_filter){.id = bytes("id"), .folder = bytes("B")};
    ck_assert_int_eq(found(j, f), s[1]);
    f = (cpuu_journal_filter){.id = bytes("new"), .open = true};
    ck_assert_int_eq(found(j, f), 0);
    ck_assert_int_eq(cpuu_journal_mark(j, s[4], CPUU_RECORD_DONE, &f.id, NULL), CPUU_OK);
    ck_assert_int_eq(found(j, f), s[4]);
    ck_assert_int_eq(cpuu_journal_mark(j, s[4], CPUU_RECORD_UNDONE, NULL, NULL), CPUU_OK);
    ck_assert_int_eq(found(j, f), 0);
    cpuu_journal_close(j);
}
END_TEST

START_TEST(deaths_are_spans_of_earlier_owners_without_an_end)
{
    unsigned n = 99;
    int64_t span;
    for (unsigned i = 0; i < 3; i++) {
        cpuu_journal *j = open_ok(true);
        ck_assert_int_eq(cpuu_journal_span_deaths(j, "Rules", &n, NULL), CPUU_OK);
        ck_assert_uint_eq(n, i);
        cpuu_journal_begin_span(j, "Nicks", &span, NULL);
        cpuu_journal_end_span(j, span, i ? CPUU_SPAN_FAILED : CPUU_SPAN_OK, NULL);
        cpuu_journal_begin_span(j, "Rules", &span, NULL);
        ck_assert_int_eq(cpuu_journal_flush(j, NULL), CPUU_OK);
        ck_assert_int_eq(cpuu_journal_span_deaths(j, "Rules", &n, NULL), CPUU_OK);
        ck_assert_uint_eq(n, i); /* the running one is not dead */
        cpuu_journal_close(j);
    }
    cpuu_journal *j = open_ok(false);
    cpuu_journal_span_deaths(j, "Nicks", &n, NULL);
    ck_assert_uint_eq(n, 0);
    cpuu_journal_close(j);
}
END_TEST

START_TEST(a_reset_forgets_all_but_the_deaths)
{
    unsigned n = 0;
    int64_t span;
    for (unsigned i = 0; i < 3; i++) {
        cpuu_journal *j = open_ok(true);
        ck_assert_int_eq(cpuu_journal_get_state(j), CPUU_J_NONE);
        ck_assert_int_eq(cpuu_journal_set_state(j, CPUU_J_ACTIVE, NULL), CPUU_OK);
        ck_assert_int_eq(cpuu_journal_put(j, "image", "x", 1, NULL), CPUU_OK);
        cpuu_journal_begin_span(j, "Nicks", &span, NULL);
        cpuu_journal_end_span(j, span, CPUU_SPAN_OK, NULL);
        cpuu_journal_begin_span(j, "Rules", &span, NULL);
        ck_assert_int_eq(add(j, span, "a", "A", NULL), CPUU_OK);
        ck_assert_int_eq(cpuu_journal_flush(j, NULL), CPUU_OK);
        cpuu_journal_close(j); /* killed */
        j = open_ok(false);
        ck_assert_int_eq(cpuu_journal_reset(j, NULL), CPUU_OK);
        j = open_ok(false);
        cpuu_buf b;
        cpuu_buf_init(&b, 10);
        ck_assert_int_eq(cpuu_journal_get(j, "image", &b, NULL), CPUU_E_NOTFOUND);
        cpuu_buf_free(&b);
        ck_assert_uint_eq(records(j, 0, true).n, 0);
        cpuu_journal_span_deaths(j, "Rules", &n, NULL);
        ck_assert_uint_eq(n, i + 1);
        cpuu_journal_span_deaths(j, "Nicks", &n, NULL);
        ck_assert_uint_eq(n, 0);
        cpuu_journal_close(j);
    }
    cpuu_journal *j = open_ok(false);
    ck_assert_int_eq(cpuu_journal_destroy(j, NULL), CPUU_OK);
    j = open_ok(true); /* nobody died: a reset leaves nothing */
    ck_assert_int_eq(cpuu_journal_reset(j, NULL), CPUU_OK);
    ck_assert_uint_eq(entries(), 0);
}
END_TEST

START_TEST(each_profile_has_a_journal_of_its_own)
{
    static const uint8_t OTHER[16] = {9};
    const cpuu_journal_key keys[] = {
        KEY,
        {KEY.root, "Outlook 2", UID, KEY.hive},
        {KEY.root, "Outlook", OTHER, KEY.hive},
        {KEY.root, "Outlook", UID, "/home/v/NTUSER.DAT"},
        {"Software\\Microsoft\\Office\\15.0\\Outlook", "Outlook", UID, KEY.hive},
        {"SOFTWARE\\microsoft\\Office\\16.0\\Outlook", "OUTLOOK", UID, KEY.hive}, /* KEY again */
    };
    for (size_t i = 0; i < 6; i++) {
        cpuu_journal *j = NULL;
        ck_assert_int_eq(cpuu_journal_open(dir, &keys[i], true, NULL, &j, NULL), CPUU_OK);
        cpuu_journal_close(j);
    }
    ck_assert_uint_eq(entries(), 5);
}
END_TEST

/* ---- damage ---------------------------------------------------------------------------------- */

static void damage(const char *path, long offset, uint8_t x)
{
    FILE *f = fopen(path, "r+b");
    ck_assert_ptr_nonnull(f);
    fseek(f, offset, SEEK_SET);
    int c = fgetc(f);
    fseek(f, offset, SEEK_SET);
    fputc(c ^ x, f);
    fclose(f);
}

static size_t slurp(const char *path, uint8_t *out, size_t max)
{
    FILE *f = fopen(path, "rb");
    size_t n = fread(out, 1, max, f);
    fclose(f);
    return n;
}

static uint8_t before[1 << 20], after[1 << 20];

START_TEST(a_damaged_file_is_refused_and_kept)
{
    char path[300];
    cpuu_journal_close(open_ok(true));
    the_file(path);
    damage(path, 3, 0xff);
    size_t n = slurp(path, before, sizeof(before));
    ck_assert_int_eq(open_rc(true), CPUU_E_FORMAT);
    ck_assert_int_eq(open_rc(false), CPUU_E_FORMAT);
    ck_assert_uint_eq(slurp(path, after, sizeof(after)), n);
    ck_assert_mem_eq(before, after, n);
    listed l = {0};
    ck_assert_int_eq(cpuu_journal_list(dir, note_summary, &l, NULL), CPUU_OK);
    ck_assert_uint_eq(l.n, 1);
    ck_assert_int_eq(l.rc, CPUU_E_FORMAT);
    ck_assert(l.has_problem);
    ck_assert_ptr_nonnull(strstr(path, l.file));
}
END_TEST

START_TEST(a_later_schema_is_refused)
{
    char path[300];
    cpuu_journal_close(open_ok(true));
    the_file(path);
    damage(path, 63, 0x7e); /* user_version: big-endian at 60, https://sqlite.org/fileformat.html */
    ck_assert_int_eq(open_rc(true), CPUU_E_UNSUPPORTED);
    damage(path, 63, 0x7e);
    damage(path, 71, 0x01); /* application_id at 68 */
    ck_assert_int_eq(open_rc(true), CPUU_E_FORMAT);
    damage(path, 71, 0x01);
    ck_assert_int_eq(open_rc(true), CPUU_OK);
}
END_TEST

/* Any single flipped bit of a stored old value must be noticed, or an undo would write it back. */
START_TEST(a_flipped_bit_in_a_value_is_found)
{
    static const char needle[] = "THE-OLD-VALUE";
    char path[300];
    cpuu_journal *j = open_ok(true);
    add(j, 1, needle, "THE-NEW-VALUE", NULL);
    cpuu_journal_put(j, "image", "THE-IMAGE", 9, NULL);
    cpuu_journal_flush(j, NULL);
    cpuu_journal_close(j);
    the_file(path);
    size_t n = slurp(path, before, sizeof(before));
    const char *names[] = {needle, "THE-NEW-VALUE", "THE-IMAGE"};
    for (int k = 0; k < 3; k++) {
        uint8_t *at = memmem(before, n, names[k], strlen(names[k]));
        ck_assert_ptr_nonnull(at);
        damage(path, at - before + 2, 0x04);
        j = open_ok(false);
        cpuu_buf b;
        cpuu_buf_init(&b, 100);
        seen s = {0};
        ck_assert_int_eq(cpuu_journal_each(j, 0, true, look, &s, NULL), k < 2 ? CPUU_E_FORMAT : 0);
        ck_assert_uint_eq(s.n, k < 2 ? 0 : 1);
        const cpuu_journal_filter f = {.open = true};
        int64_t seq;
        ck_assert_int_eq(cpuu_journal_find(j, &f, look, &s, &seq, NULL), k < 2 ? CPUU_E_FORMAT : 0);
        ck_assert_uint_eq(s.n, k < 2 ? 0 : 2);
        ck_assert_int_eq(cpuu_journal_get(j, "image", &b, NULL), k == 2 ? CPUU_E_FORMAT : 0);
        cpuu_buf_free(&b);
        cpuu_journal_close(j);
        damage(path, at - before + 2, 0x04);
    }
}
END_TEST

START_TEST(a_file_cut_anywhere_is_never_taken_for_whole)
{
    char path[300];
    cpuu_journal *j = open_ok(true);
    for (int i = 0; i < 200; i++)
        add(j, 1, "x", "y", NULL);
    cpuu_journal_set_state(j, CPUU_J_ACTIVE, NULL);
    cpuu_journal_close(j);
    the_file(path);
    size_t n = slurp(path, before, sizeof(before));
    for (size_t cut = 1; cut < n; cut += cut < 600 ? 97 : 1021) {
        FILE *f = fopen(path, "wb");
        fwrite(before, 1, cut, f);
        fclose(f);
        ck_assert_int_eq(open_rc(false), CPUU_E_FORMAT);
    }
}
END_TEST

/* After a failed write nothing that was not flushed may be believed to be there. */
START_TEST(a_failed_write_stops_the_journal)
{
    for (int n = 0; n < 4; n++) {
        for (int flush = 0; flush < 2; flush++) {
            cpuu_journal *j = open_ok(true);
            ck_assert_int_eq(add(j, 1, "a", "A", NULL), CPUU_OK);
            ck_assert_int_eq(cpuu_journal_flush(j, NULL), CPUU_OK);
            fail_kind = flush ? "flush" : "write";
            fails_left = flush ? 0 : n;
            cpuu_rc rc = CPUU_OK;
            for (int i = 0; i < 4 && rc == CPUU_OK; i++)
                rc = add(j, 1, "b", "B", NULL);
            if (rc == CPUU_OK)
                rc = cpuu_journal_flush(j, NULL);
            ck_assert_int_eq(rc, CPUU_E_IO);
            ck_assert_int_lt(cpuu_journal_flush(j, NULL), 0);
            ck_assert_int_lt(cpuu_journal_set_state(j, CPUU_J_ACTIVE, NULL), 0);
            ck_assert_str_eq(records(j, 0, true).order, "a");
            ck_assert_int_eq(cpuu_journal_destroy(j, NULL), CPUU_OK);
        }
    }
    fail_kind = NULL;
}
END_TEST

START_TEST(every_allocation_may_fail)
{
    for (int n = 0; n < 200; n++) {
        cpuu_journal *j = NULL;
        cpuu_error err = CPUU_ERROR_INIT;
        fail_kind = "alloc";
        fails_left = n;
        cpuu_rc rc = cpuu_journal_open(dir, &KEY, true, NULL, &j, &err);
        cpuu_journal_close(j);
        listed l = {0};
        if (rc == CPUU_OK)
            rc = cpuu_journal_list(dir, note_summary, &l, &err);
        if (rc == CPUU_OK)
            rc = l.rc;
        bool reached = fails_left < 0;
        fails_left = -1;
        ck_assert_int_eq(rc, reached ? CPUU_E_NOMEM : CPUU_OK);
        if (!reached) {
            ck_assert_int_gt(n, 5);
            return;
        }
    }
    ck_abort_msg("the run never ended");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("journal");
    TCase *t = tcase_create("journal");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, the_file_is_private_whatever_the_umask);
    tcase_add_test(t, a_folder_others_can_write_to_is_refused);
    tcase_add_test(t, a_link_in_the_place_of_the_journal_is_refused);
    tcase_add_test(t, a_journal_others_can_read_is_refused);
    tcase_add_test(t, a_second_process_is_told_that_it_is_busy);
    tcase_add_test(t, the_lock_dies_with_its_owner);
    tcase_add_test(t, listing_does_not_drop_the_lock_of_the_owner);
    tcase_add_test(t, without_create_nothing_is_created);
    tcase_add_test(t, states_go_in_their_order_and_last);
    tcase_add_test(t, blobs_come_back_whole);
    tcase_add_test(t, what_was_not_flushed_is_gone_what_was_flushed_stays);
    tcase_add_test(t, records_come_in_both_orders_and_by_span);
    tcase_add_test(t, the_newest_record_that_matches_is_found);
    tcase_add_test(t, deaths_are_spans_of_earlier_owners_without_an_end);
    tcase_add_test(t, a_reset_forgets_all_but_the_deaths);
    tcase_add_test(t, each_profile_has_a_journal_of_its_own);
    tcase_add_test(t, a_damaged_file_is_refused_and_kept);
    tcase_add_test(t, a_later_schema_is_refused);
    tcase_add_test(t, a_flipped_bit_in_a_value_is_found);
    tcase_add_test(t, a_file_cut_anywhere_is_never_taken_for_whole);
    tcase_add_test(t, a_failed_write_stops_the_journal);
    tcase_add_test(t, every_allocation_may_fail);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
