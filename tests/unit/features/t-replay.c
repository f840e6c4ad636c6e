/*
 * Replay of many records against the rehearsal server: what it gives back (judged by the server's
 * own canonical dump), and what it costs. Changes are made here by hand, journalled as the seam
 * does it, so that every order and every lost answer can be had. Counted are calls, not seconds.
 */
#include "base/fault.h"
#include "features/proplist.h"
#include "features/replay.h"

#include "tests/lab/lab.h"
#include "tests/lab/labctl.h"

#include <check.h>
#undef fail
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define T_CLASS   0x001A001Fu
#define T_SUBJECT 0x0037001Fu
#define T_NAME    0x3001001Fu
#define T_COMMENT 0x3004001Fu
#define T_RIGHTS  0x66730003u

/* ---- what is counted (the linker puts these in front of the real ones) -------------------------
 */

static struct {
    size_t finds, compared; /* looks into the journal; properties compared */
    size_t most_ops, reads, listings;
    int64_t live, peak; /* bytes the host has allocated */
} n;

cpuu_rc __wrap_cpuu_journal_find(cpuu_journal *j, const cpuu_journal_filter *f,
                                 cpuu_rc (*use)(void *, const cpuu_record *), void *user,
                                 int64_t *seq, cpuu_error *err);
cpuu_rc __real_cpuu_journal_find(cpuu_journal *j, const cpuu_journal_filter *f,
                                 cpuu_rc (*use)(void *, const cpuu_record *), void *user,
                                 int64_t *seq, cpuu_error *err);
bool __wrap_cpuu_prop_same(const cpuu_prop *a, const cpuu_prop *b);
bool __real_cpuu_prop_same(const cpuu_prop *a, const cpuu_prop *b);
cpuu_rc __wrap_cpuu_mail_run(cpuu_mail *mail, cpuu_mail_op *ops, size_t count, cpuu_error *err);
cpuu_rc __real_cpuu_mail_run(cpuu_mail *mail, cpuu_mail_op *ops, size_t count, cpuu_error *err);
void *__wrap_calloc(size_t count, size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__real_realloc(void *p, size_t size);
void __wrap_free(void *p);
void __real_free(void *p);

cpuu_rc __wrap_cpuu_journal_find(cpuu_journal *j, const cpuu_journal_filter *f,
                                 cpuu_rc (*use)(void *, const cpuu_record *), void *user,
                                 int64_t *seq, cpuu_error *err)
{
    n.finds++;
    return __real_cpuu_journal_find(j, f, use, user, seq, err);
}

bool __wrap_cpuu_prop_same(const cpuu_prop *a, const cpuu_prop *b)
{
    n.compared++;
    return __real_cpuu_prop_same(a, b);
}

cpuu_rc __wrap_cpuu_mail_run(cpuu_mail *mail, cpuu_mail_op *ops, size_t count, cpuu_error *err)
{
    n.most_ops = count > n.most_ops ? count : n.most_ops;
    for (size_t i = 0; i < count; i++) {
        n.reads += ops[i].verb == CPUU_MAIL_READ;
        n.listings += ops[i].verb == CPUU_MAIL_READ && ops[i].n_ids == 0;
    }
    return __real_cpuu_mail_run(mail, ops, count, err);
}

static void *counted(void *p)
{
    n.live += (int64_t)malloc_usable_size(p);
    n.peak = n.live > n.peak ? n.live : n.peak;
    return p;
}

void *__wrap_calloc(size_t count, size_t size)
{
    return counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *p, size_t size)
{
    const size_t old = malloc_usable_size(p);
    void *q = __real_realloc(p, size);
    n.live -= q ? (int64_t)old : 0;
    return counted(q);
}

void __wrap_free(void *p)
{
    n.live -= (int64_t)malloc_usable_size(p);
    __real_free(p);
}

static void count_from_here(void)
{
    const int64_t live = n.live;
    memset(&n, 0, sizeof(n));
    n.live = n.peak = live;
}

/* ---- fault points, the report ---------------------------------------------------------------- */

static long steps_left = -1, allocs_left = -1;
static long *steps; /* shared with children */

void cpuu_fault_step(const char *what)
{
    (void)what;
    ++*steps;
    if (steps_left >= 0 && steps_left-- == 0)
        _exit(99);
}

bool cpuu_fault_fail(const char *what)
{
    return strcmp(what, "alloc") == 0 && allocs_left >= 0 && allocs_left-- == 0;
}

static char reported[8192];

static unsigned times_reported(const char *text)
{
    unsigned count = 0;
    for (const char *p = reported; (p = strstr(p, text)); p++)
        count++;
    return count;
}

void cpuu_report_conflict(cpuu_report *r, const char *where, const char *what)
{
    const size_t used = strlen(reported);
    (void)r;
    snprintf(reported + used, sizeof(reported) - used, "!%s: %s\n", where, what);
}

/* ---- the lab, its mailbox, and a journal ------------------------------------------------------
 */

static labctl *server;
static lab *model; /* in this process it only knows names */
static cpuu_http *http;
static cpuu_work work;
static char dir[64], url[300], *before;
static cpuu_credentials credentials;
static cpuu_endpoint endpoint;
static lab_user *alice;
static cpuu_arena arena; /* ids */
static cpuu_blob many;   /* the folder the items are in */
static cpuu_blob *items;
static size_t n_items;
static const uint8_t UID[16] = {7};
static const cpuu_journal_key KEY = {"Root", "Test", UID, ""};

static void connect_target(void)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_http_options ho = {.allow_insecure_http = true, .request_timeout_ms = 20000};
    ck_assert_int_eq(cpuu_http_new(&ho, NULL, &http, &err), CPUU_OK);
    ck_assert_int_eq(cpuu_mail_new(http, NULL, NULL, &work.mail, &err), CPUU_OK);
    cpuu_mail_open o = {
        .endpoint = &endpoint, .mailbox_dn = alice->dn, .smtp = alice->smtp, .writable = true};
    ck_assert_int_eq(cpuu_mail_open_all(work.mail, &o, 1, &err), CPUU_OK);
    ck_assert_msg(o.rc == CPUU_OK, "%s", o.error.text);
    work.target = o.box;
}

static void disconnect(void)
{
    cpuu_mail_free(work.mail);
    cpuu_http_free(http);
    work.mail = NULL;
    http = NULL;
}

static cpuu_blob keep(cpuu_blob b)
{
    return (cpuu_blob){cpuu_arena_dup(&arena, b.data, b.size), b.size};
}

static void run(cpuu_mail_op *op)
{
    cpuu_error err = CPUU_ERROR_INIT;
    op->box = work.target;
    ck_assert_msg(cpuu_mail_run(work.mail, op, 1, &err) == CPUU_OK, "%s", err.text);
    ck_assert_msg(op->rc == CPUU_OK, "%s", op->error.text);
}

static cpuu_blob role(uint32_t which)
{
    cpuu_blob eid = {NULL, 0};
    ck_assert(cpuu_mailbox_role(work.target, which, &eid));
    return eid;
}

static size_t ids_in(uint32_t what, cpuu_blob folder, cpuu_blob **out)
{
    const uint32_t tag = what == CPUU_FOLDERS ? T_NAME : T_CLASS;
    cpuu_mail_op op = {
        .verb = CPUU_MAIL_READ, .what = what, .folder = folder, .tags = &tag, .n_tags = 1};
    run(&op);
    const size_t count = op.rows.count;
    *out = cpuu_arena_alloc(&arena, (count + 1) * sizeof(**out));
    for (size_t i = 0; i < count; i++)
        (*out)[i] = keep(op.rows.items[i].id);
    cpuu_mail_op_clear(&op);
    return count;
}

static void find_items(void)
{
    static const uint32_t tag = T_NAME;
    const cpuu_blob inbox = role(CPUU_ROLE_INBOX);
    cpuu_mail_op op = {
        .verb = CPUU_MAIL_READ, .what = CPUU_FOLDERS, .folder = inbox, .tags = &tag, .n_tags = 1};
    run(&op);
    many.size = 0;
    for (size_t i = 0; i < op.rows.count; i++) {
        const cpuu_value *v = op.rows.items[i].values;
        if (v->size == 4 && memcmp(v->data, "Many", 4) == 0)
            many = keep(op.rows.items[i].id);
    }
    cpuu_mail_op_clear(&op);
    ck_assert_uint_gt(many.size, 0);
    n_items = ids_in(CPUU_ITEMS, many, &items);
}

static void start(unsigned count)
{
    char text[800] = "", content[] = "/tmp/t-replay-XXXXXX.conf", command[1024];
    int fd = mkstemps(content, 5);
    ck_assert_int_ge(fd, 0);
    close(fd);
    /* Whoever is killed says no goodbye: its sessions stay. */
    snprintf(command, sizeof(command),
             "{ sed 's/^domain = .*/&\\nmax-contexts = 100000/' '" CPUU_SRCDIR
             "/tests/lab/demo.conf'; echo '[mailbox target/alice]'; echo 'folder @inbox/Many';"
             " for i in $(seq %u); do echo item @inbox/Many; echo prop Class IPM.Note;"
             " echo prop Subject \\\"Item $i\\\"; done; } > '%s'",
             count, content);
    ck_assert_int_eq(system(command), 0);
    model = lab_new();
    ck_assert_msg(lab_load(model, CPUU_SRCDIR "/tests/lab/demo.conf", text, sizeof(text)), "%s",
                  text);
    server = labctl_start(content, true, text, sizeof(text));
    unlink(content);
    ck_assert_msg(server != NULL, "%s", text);
    snprintf(url, sizeof(url), "%s/mapi/emsmdb/", labctl_url(server, "target"));
    alice = lab_find_user(lab_find_org(model, "target"), "alice");
    credentials = (cpuu_credentials){alice->name, alice->password};
    endpoint = (cpuu_endpoint){url, NULL, alice->dn, &credentials};
    strcpy(dir, "/tmp/t-replay-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    connect_target();
    find_items();
    ck_assert_uint_eq(n_items, count);
    before = labctl_dump(server, "target");
    ck_assert_ptr_nonnull(before);
    reported[0] = 0;
}

static void stop(void)
{
    char command[128];
    free(before);
    cpuu_journal_close(work.journal);
    work.journal = NULL;
    if (work.mail)
        disconnect();
    cpuu_arena_free(&arena);
    labctl_stop(server);
    lab_free(model);
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    ck_assert_int_eq(system(command), 0);
}

static void open_journal(void)
{
    cpuu_error err = CPUU_ERROR_INIT;
    ck_assert_msg(cpuu_journal_open(dir, &KEY, true, NULL, &work.journal, &err) == CPUU_OK, "%s",
                  err.text);
}

static void close_journal(void)
{
    cpuu_journal_close(work.journal);
    work.journal = NULL;
}

static void forget_journal(void)
{
    ck_assert_int_eq(cpuu_journal_destroy(work.journal, NULL), CPUU_OK);
    work.journal = NULL;
}

/* The first line where they differ goes into the message. */
static void mailbox_is_as_before(void)
{
    char *now = labctl_dump(server, "target");
    size_t i = 0;
    while (now[i] && now[i] == before[i])
        i++;
    const size_t from = i > 300 ? i - 300 : 0;
    ck_assert_msg(now[i] == before[i], "differs at:\n%.600s\n---- expected:\n%.600s\n%s",
                  now + from, before + from, reported);
    free(now);
}

/* ---- changes, as the seam makes them ----------------------------------------------------------
 */

static cpuu_prop text(uint32_t tag, const char *s)
{
    return (cpuu_prop){tag, s != NULL, {(const uint8_t *)s, s ? (uint32_t)strlen(s) : 0}};
}

static int64_t journal(cpuu_record_kind kind, uint32_t what, cpuu_blob folder, cpuu_blob id,
                       const char *title, const cpuu_buf *old, const cpuu_prop *after,
                       uint32_t n_after)
{
    cpuu_buf b;
    cpuu_buf_init(&b, CPUU_PROPLIST_MAX);
    ck_assert_int_eq(cpuu_proplist_encode(after, n_after, &b, NULL), CPUU_OK);
    cpuu_record r = {.span = 1,
                     .kind = kind,
                     .status = CPUU_RECORD_SENT,
                     .what = what,
                     .folder = folder,
                     .id = id,
                     .title = title,
                     .before = {old->data, (uint32_t)old->size},
                     .has_before = true,
                     .has_after = kind != CPUU_RECORD_DELETE};
    if (r.has_after)
        r.after = (cpuu_blob){b.data, (uint32_t)b.size};
    ck_assert_int_eq(cpuu_journal_add(work.journal, &r, NULL), CPUU_OK);
    cpuu_buf_free(&b);
    return r.seq;
}

static struct {
    cpuu_mail_op *ops;
    cpuu_value *values; /* one of each */
    int64_t *seqs;
    size_t count, cap_ops, cap_values, cap_seqs;
} plan;

static void plan_update(uint32_t what, cpuu_blob folder, cpuu_blob id, const char *title,
                        cpuu_prop old, cpuu_prop new)
{
    cpuu_buf b;
    cpuu_buf_init(&b, CPUU_PROPLIST_MAX);
    ck_assert_int_eq(cpuu_proplist_encode(&old, 1, &b, NULL), CPUU_OK);
    ck_assert(cpuu_grow(&plan.ops, &plan.cap_ops, plan.count, sizeof(*plan.ops)));
    ck_assert(cpuu_grow(&plan.values, &plan.cap_values, plan.count, sizeof(*plan.values)));
    ck_assert(cpuu_grow(&plan.seqs, &plan.cap_seqs, plan.count, sizeof(*plan.seqs)));
    plan.seqs[plan.count] = journal(CPUU_RECORD_UPDATE, what, folder, id, title, &b, &new, 1);
    plan.values[plan.count] = (cpuu_value){new.tag, new.data.size, keep(new.data).data};
    plan.ops[plan.count++] = (cpuu_mail_op){.verb = CPUU_MAIL_UPDATE,
                                            .box = work.target,
                                            .what = what,
                                            .folder = folder,
                                            .id = id,
                                            .n_set = 1};
    cpuu_buf_free(&b);
}

static void carry_out(void)
{
    cpuu_error err = CPUU_ERROR_INIT;
    ck_assert_int_eq(cpuu_journal_flush(work.journal, NULL), CPUU_OK);
    for (size_t i = 0; i < plan.count; i++)
        plan.ops[i].set = &plan.values[i];
    ck_assert_msg(cpuu_mail_run(work.mail, plan.ops, plan.count, &err) == CPUU_OK, "%s", err.text);
    for (size_t i = 0; i < plan.count; i++) {
        ck_assert_msg(plan.ops[i].rc == CPUU_OK, "%s", plan.ops[i].error.text);
        cpuu_mail_op_clear(&plan.ops[i]);
        cpuu_journal_mark(work.journal, plan.seqs[i], CPUU_RECORD_DONE, NULL, NULL);
    }
    ck_assert_int_eq(cpuu_journal_flush(work.journal, NULL), CPUU_OK);
    cpuu_free(plan.ops);
    cpuu_free(plan.values);
    cpuu_free(plan.seqs);
    memset(&plan, 0, sizeof(plan));
}

static void update_text(uint32_t what, cpuu_blob folder, cpuu_blob id, const char *title,
                        uint32_t tag, const char *old, const char *new)
{
    plan_update(what, folder, id, title, text(tag, old), text(tag, new));
}

/* One object and at once; `learn`: whether its answer was seen. */
static cpuu_blob create(uint32_t what, cpuu_blob folder, const char *title, const cpuu_prop *props,
                        uint32_t count, bool learn)
{
    cpuu_buf b;
    cpuu_blob *there;
    cpuu_value set[4];
    const size_t n_there = ids_in(what, folder, &there);
    cpuu_buf_init(&b, CPUU_PROPLIST_MAX);
    ck_assert_int_eq(cpuu_idlist_encode(there, (uint32_t)n_there, &b, NULL), CPUU_OK);
    const int64_t seq =
        journal(CPUU_RECORD_CREATE, what, folder, (cpuu_blob){NULL, 0}, title, &b, props, count);
    cpuu_buf_free(&b);
    ck_assert_int_eq(cpuu_journal_flush(work.journal, NULL), CPUU_OK);
    for (uint32_t i = 0; i < count; i++)
        set[i] = (cpuu_value){props[i].tag, props[i].data.size, props[i].data.data};
    cpuu_mail_op op = {
        .verb = CPUU_MAIL_CREATE, .what = what, .folder = folder, .set = set, .n_set = count};
    run(&op);
    const cpuu_blob id = keep(op.created);
    cpuu_mail_op_clear(&op);
    if (learn)
        cpuu_journal_mark(work.journal, seq, CPUU_RECORD_DONE, &id, NULL);
    return id;
}

static cpuu_blob create_item(cpuu_blob folder, const char *subject, bool learn)
{
    const cpuu_prop props[] = {text(T_CLASS, "IPM.Note"), text(T_SUBJECT, subject)};
    return create(CPUU_ITEMS, folder, subject, props, 2, learn);
}

static cpuu_blob create_folder(cpuu_blob parent, const char *name)
{
    const cpuu_prop prop = text(T_NAME, name);
    return create(CPUU_FOLDERS, parent, name, &prop, 1, true);
}

static void delete_item(cpuu_blob id, const char *title)
{
    cpuu_buf b;
    cpuu_prop props[200];
    cpuu_mail_op op = {
        .verb = CPUU_MAIL_READ, .what = CPUU_ITEMS, .folder = many, .ids = &id, .n_ids = 1};
    run(&op);
    const cpuu_mail_row *row = op.rows.items;
    ck_assert(row->rc == CPUU_OK && row->n_values < 200);
    for (uint32_t i = 0; i < row->n_values; i++)
        props[i] = cpuu_prop_of(row->values[i].tag, &row->values[i]);
    cpuu_buf_init(&b, CPUU_PROPLIST_MAX);
    ck_assert_int_eq(cpuu_proplist_encode(props, row->n_values, &b, NULL), CPUU_OK);
    const int64_t seq = journal(CPUU_RECORD_DELETE, CPUU_ITEMS, many, id, title, &b, NULL, 0);
    cpuu_buf_free(&b);
    cpuu_mail_op_clear(&op);
    ck_assert_int_eq(cpuu_journal_flush(work.journal, NULL), CPUU_OK);
    op = (cpuu_mail_op){.verb = CPUU_MAIL_DELETE, .what = CPUU_ITEMS, .folder = many, .id = id};
    run(&op);
    cpuu_mail_op_clear(&op);
    cpuu_journal_mark(work.journal, seq, CPUU_RECORD_DONE, NULL, NULL);
}

/* By somebody else, without a journal. */
static void others_set(uint32_t what, cpuu_blob folder, cpuu_blob id, uint32_t tag, const char *s)
{
    const cpuu_value v = {tag, (uint32_t)strlen(s), (const uint8_t *)s};
    cpuu_mail_op op = {
        .verb = CPUU_MAIL_UPDATE, .what = what, .folder = folder, .id = id, .set = &v, .n_set = 1};
    run(&op);
    cpuu_mail_op_clear(&op);
}

static void others_delete(cpuu_blob id)
{
    cpuu_mail_op op = {.verb = CPUU_MAIL_DELETE, .what = CPUU_ITEMS, .folder = many, .id = id};
    run(&op);
    cpuu_mail_op_clear(&op);
}

static cpuu_rc undo(cpuu_error *err)
{
    return cpuu_features_rollback(&work, 0, false, err);
}

static void undo_ok(void)
{
    cpuu_error err = CPUU_ERROR_INIT;
    ck_assert_msg(undo(&err) == CPUU_OK, "%s", err.text);
}

/* ---- cost -------------------------------------------------------------------------------------
 */

/* Changes all items. The first, the second and a new one are changed again when all others have
 * been: their records are further apart than a portion is long. */
static void change_many(void)
{
    char old[32], new[32];
    const cpuu_blob made = create_item(many, "Made", true);
    for (size_t i = 0; i < n_items; i++) {
        snprintf(old, sizeof(old), "Item %zu", i + 1);
        snprintf(new, sizeof(new), "New %zu", i + 1);
        update_text(CPUU_ITEMS, many, items[i], old, T_SUBJECT, old, new);
        if (plan.count == 500 || i + 1 == n_items)
            carry_out();
    }
    update_text(CPUU_ITEMS, many, items[0], "Item 1", T_SUBJECT, "New 1", "Newer 1");
    update_text(CPUU_ITEMS, many, items[0], "Item 1", T_COMMENT, NULL, "a comment");
    update_text(CPUU_ITEMS, many, made, "Made", T_SUBJECT, "Made", "Made and changed");
    carry_out();
    delete_item(items[1], "Item 2");
    ck_assert_int_eq(cpuu_journal_flush(work.journal, NULL), CPUU_OK);
}

START_TEST(work_is_linear_and_memory_bounded)
{
    static const unsigned sizes[] = {2500, 5000};
    size_t finds[2], compared[2], reads[2];
    int64_t peak[2];
    for (int i = 0; i < 2; i++) {
        start(sizes[i]);
        open_journal();
        change_many();
        count_from_here();
        const int64_t live = n.live;
        undo_ok();
        finds[i] = n.finds;
        compared[i] = n.compared;
        reads[i] = n.reads;
        peak[i] = n.peak - live;
        printf("undo of %u items: %zu looks into the journal, %zu comparisons, %zu reads, at most "
               "%zu at once, %lld KiB\n",
               sizes[i], finds[i], compared[i], reads[i], n.most_ops, (long long)peak[i] / 1024);
        ck_assert_uint_le(n.most_ops, CPUU_PORTION_OBJECTS);
        mailbox_is_as_before();
        ck_assert_str_eq(reported, "");
        stop();
    }
    /* Of twice as much; what is spent once leaves a little room. */
    ck_assert_uint_le(finds[1], 2 * finds[0] + 10);
    ck_assert_uint_le(finds[1], 3 * sizes[1] + 100);
    ck_assert_uint_le(compared[1], 3 * sizes[1] + 100);
    ck_assert_uint_le(reads[1], 100); /* of the folder's table, not of each item */
    ck_assert_int_le(peak[1], peak[0] + peak[0] / 10);
    ck_assert_int_le(peak[1], 24 << 20);
}
END_TEST

static int in_child(long kill_at)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        cpuu_error err = CPUU_ERROR_INIT;
        connect_target();
        open_journal();
        *steps = 0;
        steps_left = kill_at;
        const cpuu_rc rc = undo(&err);
        steps_left = -1;
        if (rc < 0)
            fprintf(stderr, "child: %s\n", err.text);
        _exit(rc < 0 ? 1 : 0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Again and again, in every portion: whoever comes next finds part of the work done. */
START_TEST(killed_in_a_portion_it_goes_on_with_the_next)
{
    unsigned killed = 0;
    start(2500);
    open_journal();
    change_many();
    close_journal();
    disconnect();
    while (killed < 20 && in_child(40) == 99)
        killed++;
    ck_assert_uint_ge(killed, 2);
    ck_assert_uint_lt(killed, 20);
    connect_target();
    open_journal();
    undo_ok();
    mailbox_is_as_before();
    ck_assert_str_eq(reported, "");
    stop();
}
END_TEST

/* Of many objects of one folder: what differs is asked of the object itself, and then told. */
START_TEST(what_others_changed_among_many_stays)
{
    char old[32], new[32], *now;
    start(1500);
    open_journal();
    for (size_t i = 0; i < n_items; i++) {
        snprintf(old, sizeof(old), "Item %zu", i + 1);
        snprintf(new, sizeof(new), "New %zu", i + 1);
        update_text(CPUU_ITEMS, many, items[i], old, T_SUBJECT, old, new);
        if (plan.count == 500 || i + 1 == n_items)
            carry_out();
    }
    others_set(CPUU_ITEMS, many, items[7], T_SUBJECT, "New 8!");  /* longer, */
    others_set(CPUU_ITEMS, many, items[700], T_SUBJECT, "New 70"); /* shorter, */
    others_set(CPUU_ITEMS, many, items[1400], T_SUBJECT, "Item 1401"); /* as it was, */
    others_set(CPUU_ITEMS, many, items[1401], T_SUBJECT, "New 1402"); /* as we wrote it */
    others_delete(items[900]);
    count_from_here();
    undo_ok();
    ck_assert_uint_le(n.reads, 100);
    ck_assert_uint_eq(times_reported("!"), 3);
    ck_assert_uint_eq(times_reported("!Item 8: "), 1);
    ck_assert_uint_eq(times_reported("!Item 701: "), 1);
    ck_assert_uint_eq(times_reported("!Item 901: it was deleted"), 1);
    now = labctl_dump(server, "target");
    ck_assert_ptr_nonnull(strstr(now, "New 8!"));
    ck_assert_ptr_nonnull(strstr(now, "\"New 70\""));
    ck_assert_ptr_nonnull(strstr(now, "\"Item 1401\""));
    ck_assert_ptr_nonnull(strstr(now, "\"Item 1402\""));
    ck_assert_ptr_nonnull(strstr(now, "\"Item 899\""));
    ck_assert_ptr_null(strstr(now, "\"New 9"));
    free(now);
    stop();
}
END_TEST

/* ---- answers that never came ------------------------------------------------------------------
 */

START_TEST(creations_without_an_answer_are_found_with_one_listing)
{
    char subject[32];
    start(5);
    const cpuu_blob *own = items;
    open_journal();
    others_set(CPUU_ITEMS, many, own[0], T_SUBJECT, "Twin 3"); /* was there before */
    others_set(CPUU_ITEMS, many, own[0], T_CLASS, "IPM.Note");
    free(before);
    before = labctl_dump(server, "target");
    for (unsigned i = 0; i < 60; i++) {
        snprintf(subject, sizeof(subject), "Twin %u", i % 6);
        create_item(many, subject, i % 10 == 9);
    }
    const cpuu_prop vague = text(T_CLASS, "IPM.Note"),
                    precise[] = {text(T_CLASS, "IPM.Note"), text(T_SUBJECT, "Twin 1"),
                                 text(T_COMMENT, "with a comment")};
    create(CPUU_ITEMS, many, "vague", &vague, 1, false);
    create(CPUU_ITEMS, many, "precise", precise, 3, false);
    count_from_here();
    undo_ok();
    ck_assert_uint_eq(n.listings, 1);
    mailbox_is_as_before();
    ck_assert_str_eq(reported, "");
    stop();
}
END_TEST

/* What was deleted comes back once, wherever the undo that brings it back is killed. */
START_TEST(what_was_deleted_comes_back_once)
{
    start(40);
    long killed = 0;
    for (bool done = false; !done; killed++) {
        find_items();
        open_journal();
        for (size_t i = 0; i < n_items; i++)
            delete_item(items[i], "an item");
        ck_assert_int_eq(cpuu_journal_flush(work.journal, NULL), CPUU_OK);
        close_journal();
        const int rc = in_child(killed);
        ck_assert(rc == 0 || rc == 99);
        done = rc == 0;
        open_journal();
        count_from_here();
        undo_ok();
        ck_assert_uint_le(n.listings, 2);
        mailbox_is_as_before();
        forget_journal();
    }
    ck_assert_int_gt(killed, 10);
    ck_assert_str_eq(reported, "");
    stop();
}
END_TEST

/* ---- folders ----------------------------------------------------------------------------------
 */

/* The outer one was changed last: it is deleted last all the same. */
START_TEST(folders_go_from_the_inside_out)
{
    start(1);
    open_journal();
    const cpuu_blob inbox = role(CPUU_ROLE_INBOX);
    const cpuu_blob a = create_folder(inbox, "A"), b = create_folder(a, "B"),
                    c = create_folder(b, "C"), d = create_folder(a, "D");
    create_item(c, "inside", true);
    create_item(d, "inside", false);
    update_text(CPUU_FOLDERS, (cpuu_blob){NULL, 0}, a, "A", T_COMMENT, NULL, "changed");
    carry_out();
    count_from_here();
    undo_ok();
    ck_assert_uint_le(n.listings, 1 + 4 * 3);
    mailbox_is_as_before();
    ck_assert_str_eq(reported, "");
    stop();
}
END_TEST

START_TEST(a_folder_in_use_stays_with_those_around_it)
{
    start(1);
    open_journal();
    const cpuu_blob inbox = role(CPUU_ROLE_INBOX);
    const cpuu_blob a = create_folder(inbox, "A"), b = create_folder(a, "B"),
                    c = create_folder(b, "C"), d = create_folder(a, "D");
    const cpuu_value set = {T_SUBJECT, 4, (const uint8_t *)"mine"};
    cpuu_mail_op op = {
        .verb = CPUU_MAIL_CREATE, .what = CPUU_ITEMS, .folder = b, .set = &set, .n_set = 1};
    (void)c;
    (void)d;
    run(&op);
    const cpuu_blob mine = keep(op.created);
    cpuu_mail_op_clear(&op);
    undo_ok();
    ck_assert_uint_eq(times_reported("!B: "), 1);
    ck_assert_uint_eq(times_reported("!A: "), 1);
    ck_assert_uint_eq(times_reported("!"), 2);
    char *now = labctl_dump(server, "target");
    ck_assert(strstr(now, "/A/B\"") && strstr(now, "mine"));
    ck_assert(!strstr(now, "/A/B/C\"") && !strstr(now, "/A/D\""));
    free(now);
    op = (cpuu_mail_op){.verb = CPUU_MAIL_DELETE, .what = CPUU_ITEMS, .folder = b, .id = mine};
    run(&op);
    cpuu_mail_op_clear(&op);
    undo_ok(); /* nothing is in the way any more */
    mailbox_is_as_before();
    stop();
}
END_TEST

/* ---- what stays -------------------------------------------------------------------------------
 */

/* A replay that goes on after a crash must not keep to itself what the killed one found. */
START_TEST(a_conflict_is_told_by_every_replay)
{
    start(2);
    open_journal();
    update_text(CPUU_ITEMS, many, items[0], "Item 1", T_SUBJECT, "Item 1", "New 1");
    update_text(CPUU_ITEMS, many, items[0], "Item 1", T_COMMENT, NULL, "a comment");
    update_text(CPUU_ITEMS, many, items[1], "Item 2", T_SUBJECT, "Item 2", "New 2");
    carry_out();
    others_set(CPUU_ITEMS, many, items[0], T_SUBJECT, "Mine");
    for (unsigned i = 1; i <= 2; i++) {
        undo_ok();
        ck_assert_uint_eq(times_reported("!Item 1: property 0x0037001F"), i);
        ck_assert_uint_eq(times_reported("!"), i);
    }
    others_set(CPUU_ITEMS, many, items[0], T_SUBJECT, "New 1");
    undo_ok();
    mailbox_is_as_before();
    stop();
}
END_TEST

/* No property has this number: the server refuses it. */
START_TEST(one_that_is_refused_does_not_keep_the_others)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_buf b;
    start(3);
    open_journal();
    update_text(CPUU_ITEMS, many, items[0], "Item 1", T_SUBJECT, "Item 1", "New 1");
    carry_out();
    const cpuu_prop old = text(0x9FFF001Fu, "old"), none = text(0x9FFF001Fu, NULL);
    cpuu_buf_init(&b, 1000);
    ck_assert_int_eq(cpuu_proplist_encode(&old, 1, &b, NULL), CPUU_OK);
    journal(CPUU_RECORD_UPDATE, CPUU_ITEMS, many, items[2], "Refused", &b, &none, 1);
    cpuu_buf_free(&b);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_lt(undo(&err), 0);
        ck_assert_msg(strstr(err.text, "cannot take back 'Refused'"), "%s", err.text);
        mailbox_is_as_before();
    }
    stop();
}
END_TEST

static cpuu_blob default_member(cpuu_blob folder, uint32_t *rights)
{
    const uint32_t tag = T_RIGHTS;
    cpuu_mail_op op = {.verb = CPUU_MAIL_READ,
                       .what = CPUU_PERMISSIONS,
                       .folder = folder,
                       .tags = &tag,
                       .n_tags = 1};
    run(&op);
    ck_assert_uint_gt(op.rows.count, 0);
    const cpuu_blob id = keep(op.rows.items[0].id);
    memcpy(rights, op.rows.items[0].values[0].data, 4);
    cpuu_mail_op_clear(&op);
    return id;
}

/* Everybody is member 0 of every folder ([MS-OXCPERM] 2.2.5). */
START_TEST(members_of_two_folders_are_two_members)
{
    static const uint32_t roles[] = {CPUU_ROLE_INBOX, CPUU_ROLE_CALENDAR};
    static const uint8_t rights[2][4] = {{0x01, 0x04}, {0x01, 0x08}};
    uint8_t old[2][4];
    cpuu_blob id[2];
    start(1);
    open_journal();
    for (int i = 0; i < 2; i++) {
        uint32_t now;
        id[i] = default_member(role(roles[i]), &now);
        memcpy(old[i], &now, 4);
        plan_update(CPUU_PERMISSIONS, role(roles[i]), id[i], i ? "Calendar" : "Inbox",
                    (cpuu_prop){T_RIGHTS, true, {old[i], 4}},
                    (cpuu_prop){T_RIGHTS, true, {rights[i], 4}});
    }
    ck_assert(cpuu_blob_same(id[0], id[1]));
    carry_out();
    undo_ok();
    mailbox_is_as_before();
    ck_assert_str_eq(reported, "");
    stop();
}
END_TEST

/* ---- out of memory ----------------------------------------------------------------------------
 */

static void change_some(void)
{
    const cpuu_blob folder = create_folder(role(CPUU_ROLE_INBOX), "Made");
    create_item(folder, "inside", true);
    create_item(many, "lost", false);
    update_text(CPUU_ITEMS, many, items[0], "Item 1", T_SUBJECT, "Item 1", "New 1");
    update_text(CPUU_ITEMS, many, items[1], "Item 2", T_COMMENT, NULL, "a comment");
    carry_out();
    delete_item(items[2], "Item 3");
    ck_assert_int_eq(cpuu_journal_flush(work.journal, NULL), CPUU_OK);
}

START_TEST(out_of_memory_anywhere_it_can_be_done_again)
{
    unsigned failed = 0;
    start(3);
    for (long at = 0, reached = true; reached; at += 1 + at / 24) {
        cpuu_error err = CPUU_ERROR_INIT;
        find_items();
        open_journal();
        /* The one that was deleted has come back as the last. */
        const cpuu_blob id = items[2];
        others_set(CPUU_ITEMS, many, id, T_SUBJECT, "Item 3");
        change_some();
        allocs_left = at;
        const cpuu_rc rc = undo(&err);
        reached = allocs_left < 0;
        allocs_left = -1;
        failed += rc < 0;
        disconnect();
        connect_target();
        undo_ok();
        mailbox_is_as_before();
        ck_assert_str_eq(reported, "");
        forget_journal();
    }
    ck_assert_uint_gt(failed, 50);
    stop();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("replay");
    TCase *t = tcase_create("replay");
    steps = mmap(NULL, sizeof(*steps), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    tcase_set_timeout(t, 300);
    tcase_add_test(t, work_is_linear_and_memory_bounded);
    tcase_add_test(t, killed_in_a_portion_it_goes_on_with_the_next);
    tcase_add_test(t, what_others_changed_among_many_stays);
    tcase_add_test(t, creations_without_an_answer_are_found_with_one_listing);
    tcase_add_test(t, what_was_deleted_comes_back_once);
    tcase_add_test(t, folders_go_from_the_inside_out);
    tcase_add_test(t, a_folder_in_use_stays_with_those_around_it);
    tcase_add_test(t, a_conflict_is_told_by_every_replay);
    tcase_add_test(t, one_that_is_refused_does_not_keep_the_others);
    tcase_add_test(t, members_of_two_folders_are_two_members);
    tcase_add_test(t, out_of_memory_anywhere_it_can_be_done_again);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
