/*
 * The mailbox layer end to end, against the rehearsal server in this process. Expected values come
 * from the server's own model, which shares no code with the client's codecs.
 */
#include "mailbox/mailbox.h"

#include <cpuu/formats/propvalue.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/text.h"
#include "tests/lab/http.h"
#include "tests/lab/replay.h"

#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define T_CLASS   0x001a001fu
#define T_SUBJECT 0x0037001fu
#define T_BLOB    0x7c080102u
#define T_BODY    0x1000001fu
#define T_ENTRYID 0x0fff0102u
#define T_WLINK   0x684c0102u
#define T_STORE   0x684e0102u
#define T_NAME    0x3001001fu
#define T_COMMENT 0x3004001fu

static lab_server *server;
static lab *model;
static cpuu_http *http;
static cpuu_mail *mail;
static cpuu_error err;

/* The server runs in this process: only allocations of the client's thread may fail. */
static _Thread_local unsigned fail_alloc; /* the n-th one from now; 0 = none */
static _Thread_local unsigned writes_begun, writes_ended;

void cpuu_fault_step(const char *what)
{
    writes_begun += strcmp(what, "mailbox.write") == 0;
    writes_ended += strcmp(what, "mailbox.written") == 0;
}

bool cpuu_fault_fail(const char *what)
{
    return strcmp(what, "alloc") == 0 && fail_alloc && --fail_alloc == 0;
}

static void *failing_realloc(void *p, size_t n)
{
    return fail_alloc && --fail_alloc == 0 ? NULL : realloc(p, n);
}

typedef struct account {
    lab_user *user;
    char emsmdb[300], nspi[300];
    cpuu_credentials credentials;
    cpuu_endpoint endpoint;
} account;

static void account_of(account *a, const char *org, const char *name)
{
    char base[200], guid[40];
    lab_org *o = lab_find_org(model, org);
    a->user = lab_find_user(o, name);
    ck_assert_ptr_nonnull(a->user);
    lab_org_url(o, base, sizeof(base));
    cpuu_guid_text(guid, a->user->store->mailbox_guid);
    guid[strlen(guid) - 1] = 0;
    snprintf(a->emsmdb, sizeof(a->emsmdb), "%s/mapi/emsmdb/?MailboxId=%s@%s.test", base, guid + 1,
             org);
    snprintf(a->nspi, sizeof(a->nspi), "%s/mapi/nspi/?MailboxId=%s@%s.test", base, guid + 1, org);
    a->credentials.user = a->user->name;
    a->credentials.password = a->user->password;
    a->endpoint.emsmdb_url = a->emsmdb;
    a->endpoint.nspi_url = a->nspi;
    a->endpoint.account_dn = a->user->dn;
    a->endpoint.credentials = &a->credentials;
}

static void up(void)
{
    char text[800] = "";
    lab_options o = {.content = CPUU_SRCDIR "/tests/lab/demo.conf", .http = true};
    server = lab_server_start(&o, text, sizeof(text));
    ck_assert_msg(server != NULL, "%s", text);
    model = lab_server_lab(server);
    cpuu_http_options ho = {.allow_insecure_http = true, .request_timeout_ms = 20000};
    memset(&err, 0, sizeof(err));
    ck_assert_int_eq(cpuu_http_new(&ho, NULL, &http, &err), CPUU_OK);
    ck_assert_int_eq(cpuu_mail_new(http, NULL, NULL, &mail, &err), CPUU_OK);
}

/* The same server with the measured habits of an independent one, and one that refuses the admin
 * flag on other people's mailboxes. */
static void up_independent(void)
{
    up();
    for (size_t i = 0; i < model->n_orgs; i++) {
        model->orgs[i]->independent = true;
        model->orgs[i]->admin_flag = LAB_ADMIN_REFUSED;
    }
}

static void down(void)
{
    cpuu_mail_free(mail);
    cpuu_http_free(http);
    lab_server_stop(server);
}

static cpuu_mailbox *open_box(account *a, const char *org, const char *name, bool writable)
{
    account_of(a, org, name);
    cpuu_mail_open o = {.endpoint = &a->endpoint,
                        .mailbox_dn = a->user->dn,
                        .smtp = a->user->smtp,
                        .writable = writable};
    ck_assert_int_eq(cpuu_mail_open_all(mail, &o, 1, &err), CPUU_OK);
    ck_assert_msg(o.rc == CPUU_OK, "%s", o.error.text);
    return o.box;
}

static void run(cpuu_mail_op *ops, size_t n)
{
    ck_assert_msg(cpuu_mail_run(mail, ops, n, &err) == CPUU_OK, "%s", err.text);
}

static void run_ok_on(cpuu_mail *m, cpuu_mail_op *ops, size_t n)
{
    ck_assert_msg(cpuu_mail_run(m, ops, n, &err) == CPUU_OK, "%s", err.text);
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(ops[i].rc == CPUU_OK, "op %zu: %s", i, ops[i].error.text);
}

static void clear_all(cpuu_mail_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++)
        cpuu_mail_op_clear(&ops[i]);
}

static void run_ok(cpuu_mail_op *ops, size_t n)
{
    run_ok_on(mail, ops, n);
}

static bool same_text(const cpuu_value *v, const char *s)
{
    return v->size == strlen(s) && memcmp(v->data, s, v->size) == 0;
}

static void fault(const char *org, const char *action, const char *type, uint32_t at,
                  uint32_t count)
{
    lab_org *o = lab_find_org(model, org);
    pthread_mutex_lock(&model->lock);
    memset(&o->fault, 0, sizeof(o->fault));
    snprintf(o->fault.action, sizeof(o->fault.action), "%s", action);
    snprintf(o->fault.type, sizeof(o->fault.type), "%s", type);
    o->fault.at = at;
    o->fault.count = count;
    pthread_mutex_unlock(&model->lock);
}

static uint64_t executes(const char *org)
{
    return lab_find_org(model, org)->stats.executes;
}

static lab_message *model_message(const lab_folder *f, cpuu_blob eid)
{
    for (size_t i = 0; i < f->n_messages; i++) {
        cpuu_buf b;
        cpuu_buf_init(&b, 200);
        lab_put_message_eid(&b, f->messages[i]);
        bool same =
            !f->messages[i]->deleted && b.size == eid.size && memcmp(b.data, eid.data, b.size) == 0;
        cpuu_buf_free(&b);
        if (same)
            return f->messages[i];
    }
    return NULL;
}

static size_t count_messages(const lab_folder *f, bool fai)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n_messages; i++)
        n += !f->messages[i]->deleted && f->messages[i]->fai == fai;
    return n;
}

/* ---- opening -----------------------------------------------------------------------------------
 */

START_TEST(an_own_mailbox_opens_with_its_special_folders)
{
    static const struct {
        uint32_t role;
        const char *name;
    } roles[] = {{CPUU_ROLE_INBOX, "@inbox"},       {CPUU_ROLE_CALENDAR, "@calendar"},
                 {CPUU_ROLE_CONTACTS, "@contacts"}, {CPUU_ROLE_COMMON_VIEWS, "@commonviews"},
                 {CPUU_ROLE_DRAFTS, "@drafts"},     {CPUU_ROLE_JUNK, "@junkemail"},
                 {CPUU_ROLE_FINDER, "@finder"}};
    static account a;
    cpuu_mailbox *box = open_box(&a, "source", "alice", true);
    const cpuu_mailbox_info *info = cpuu_mailbox_get_info(box);
    ck_assert_mem_eq(info->mailbox_guid, a.user->store->mailbox_guid, 16);
    ck_assert(info->owner && !info->is_public);
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        lab_folder *f = lab_folder_by_path(a.user->store, roles[i].name);
        cpuu_blob eid;
        cpuu_buf want;
        ck_assert_msg(f != NULL, "%s", roles[i].name);
        ck_assert_msg(cpuu_mailbox_role(box, roles[i].role, &eid), "%s", roles[i].name);
        cpuu_buf_init(&want, 100);
        lab_put_folder_eid(&want, f);
        ck_assert_uint_eq(eid.size, want.size);
        ck_assert_mem_eq(eid.data, want.data, want.size);
        cpuu_buf_free(&want);
    }
    ck_assert_uint_eq(lab_find_org(model, "source")->stats.executes, 2);
}
END_TEST

START_TEST(a_mailbox_without_rights_is_refused_and_one_with_full_access_is_not)
{
    static account alice, bob, dave;
    account_of(&alice, "source", "alice");
    account_of(&bob, "source", "bob");
    account_of(&dave, "source", "dave");
    cpuu_mail_open o[3] = {
        {.endpoint = &alice.endpoint, .mailbox_dn = bob.user->dn, .smtp = bob.user->smtp},
        {.endpoint = &alice.endpoint, .mailbox_dn = dave.user->dn, .smtp = dave.user->smtp},
        {.endpoint = &alice.endpoint, .mailbox_dn = NULL}};
    ck_assert_int_eq(cpuu_mail_open_all(mail, o, 3, &err), CPUU_OK);
    ck_assert_msg(o[0].rc == CPUU_OK, "%s", o[0].error.text);
    ck_assert_int_eq(o[1].rc, CPUU_E_ACCESS);
    ck_assert_ptr_null(o[1].box);
    ck_assert_msg(o[2].rc == CPUU_OK, "%s", o[2].error.text);
    uint32_t tags[] = {T_NAME};
    cpuu_mail_op op = {.verb = CPUU_MAIL_READ,
                       .box = o[2].box,
                       .what = CPUU_FOLDERS,
                       .role = CPUU_ROLE_PUBLIC,
                       .flags = CPUU_DEEP,
                       .tags = tags,
                       .n_tags = 1};
    run_ok(&op, 1);
    ck_assert_uint_eq(op.rows.count, 3);
    cpuu_mail_op_clear(&op);
}
END_TEST

/* The URL's MailboxId decides which server answers; it names the one of another mailbox. */
START_TEST(a_mailbox_on_another_server_is_opened_there)
{
    static account a, b;
    lab_org *o = lab_find_org(model, "source");
    account_of(&a, "source", "alice");
    account_of(&b, "source", "carol");
    uint64_t connects = o->stats.connects;
    o->odd = true;
    cpuu_mail_open opens[] = {
        {.endpoint = &a.endpoint, .mailbox_dn = a.user->dn, .smtp = a.user->smtp},
        {.endpoint = &a.endpoint, .mailbox_dn = b.user->dn, .smtp = b.user->smtp}};
    ck_assert_int_eq(cpuu_mail_open_all(mail, opens, 2, &err), CPUU_OK);
    ck_assert_msg(opens[1].rc == CPUU_OK, "%s", opens[1].error.text);
    ck_assert_mem_eq(cpuu_mailbox_get_info(opens[1].box)->mailbox_guid,
                     b.user->store->mailbox_guid, 16);
    ck_assert_uint_eq(o->stats.connects, connects + 3); /* alice's, hers again, carol's */
    o->odd = false;
}
END_TEST

START_TEST(connect_names_the_owner_where_the_account_is_not_taken)
{
    static account alice, bob;
    lab_org *o = lab_find_org(model, "source");
    account_of(&alice, "source", "alice");
    account_of(&bob, "source", "bob");
    o->owner_connects = true;
    cpuu_endpoint e = bob.endpoint; /* his mailbox, as alice */
    e.credentials = &alice.credentials;
    e.account_dn = alice.user->dn;
    cpuu_mail_open open = {.endpoint = &e, .mailbox_dn = bob.user->dn, .smtp = bob.user->smtp};
    ck_assert_int_eq(cpuu_mail_open_all(mail, &open, 1, &err), CPUU_OK);
    ck_assert_msg(open.rc == CPUU_OK, "%s", open.error.text);
    ck_assert_mem_eq(cpuu_mailbox_get_info(open.box)->mailbox_guid, bob.user->store->mailbox_guid,
                     16);
    cpuu_mail_free(mail); /* before the endpoint it borrows */
    ck_assert_int_eq(cpuu_mail_new(http, NULL, NULL, &mail, &err), CPUU_OK);
    e = alice.endpoint; /* his mailbox at hers: neither DN is taken, the first refusal is told */
    e.account_dn = "/o=SourceOrg/cn=service";
    open.endpoint = &e;
    ck_assert_int_eq(cpuu_mail_open_all(mail, &open, 1, &err), CPUU_OK);
    ck_assert_int_eq(open.rc, o->independent ? CPUU_E_FAILED : CPUU_E_NOTFOUND);
    o->owner_connects = false;
    cpuu_mail_free(mail);
    ck_assert_int_eq(cpuu_mail_new(http, NULL, NULL, &mail, &err), CPUU_OK);
}
END_TEST

START_TEST(a_wrong_password_and_an_unknown_mailbox_are_told_apart)
{
    static account a;
    account_of(&a, "source", "alice");
    cpuu_credentials wrong = {a.credentials.user, (char *)"wrong"};
    cpuu_endpoint e = a.endpoint;
    e.credentials = &wrong;
    cpuu_mail_open o[3] = {
        {.endpoint = &e, .mailbox_dn = a.user->dn, .smtp = a.user->smtp},
        {.endpoint = &a.endpoint,
         .mailbox_dn = "/o=SourceOrg/cn=nobody",
         .smtp = "nobody@source.test"},
        {.endpoint = &a.endpoint, .mailbox_dn = a.user->dn, .smtp = a.user->smtp}};
    ck_assert_int_eq(cpuu_mail_open_all(mail, o, 3, &err), CPUU_OK);
    ck_assert_int_eq(o[0].rc, CPUU_E_AUTH);
    ck_assert_int_eq(o[1].rc, CPUU_E_NOTFOUND);
    ck_assert_msg(o[2].rc == CPUU_OK, "%s", o[2].error.text);
    ck_assert_ptr_null(strstr(o[0].error.text, "wrong"));
    cpuu_mail_free(mail); /* before the endpoint it borrows */
    ck_assert_int_eq(cpuu_mail_new(http, NULL, NULL, &mail, &err), CPUU_OK);
}
END_TEST

/* ---- reading -----------------------------------------------------------------------------------
 */

START_TEST(hidden_messages_come_whole_and_with_their_entry_ids)
{
    static account a;
    cpuu_mailbox *box = open_box(&a, "source", "alice", false);
    lab_folder *views = lab_folder_by_role(a.user->store, "commonviews");
    uint32_t tags[] = {T_SUBJECT, T_WLINK, T_STORE, T_ENTRYID, 0x68490003};
    cpuu_mail_op op = {.verb = CPUU_MAIL_READ,
                       .box = box,
                       .what = CPUU_HIDDEN,
                       .role = CPUU_ROLE_COMMON_VIEWS,
                       .filter = "IPM.Microsoft.WunderBar.Link",
                       .tags = tags,
                       .n_tags = 5};
    run_ok(&op, 1);
    ck_assert_uint_eq(op.rows.count, count_messages(views, true));
    ck_assert_uint_gt(op.rows.count, 15);
    for (size_t i = 0; i < op.rows.count; i++) {
        const cpuu_mail_row *row = &op.rows.items[i];
        const lab_message *m = model_message(views, row->id);
        ck_assert_ptr_nonnull(m);
        for (uint32_t k = 1; k < 3; k++) {
            const lab_prop *p = lab_props_find(&m->content.props, tags[k]);
            ck_assert_int_eq(CPUU_FOUND(&row->values[k]), p != NULL);
            if (!p)
                continue;
            ck_assert_uint_eq(row->values[k].size, p->size);
            ck_assert_mem_eq(row->values[k].data, p->data, p->size);
        }
        ck_assert_uint_eq(row->values[3].size, row->id.size);
        ck_assert_mem_eq(row->values[3].data, row->id.data, row->id.size);
    }
    cpuu_mail_op_clear(&op);
}
END_TEST

/* Two things that every server has to do, and one did not. */
START_TEST(a_table_without_restrictions_and_ids_without_names_are_no_end)
{
    static account a;
    static const uint32_t tags[] = {T_SUBJECT};
    lab_org *o = lab_find_org(model, "source");
    o->unsupported = 0x43; /* LongTermIdFromId */
    cpuu_mailbox *box = open_box(&a, "source", "alice", false);
    lab_folder *inbox = lab_folder_by_role(a.user->store, "inbox");
    cpuu_buf eid;
    cpuu_blob role;
    cpuu_buf_init(&eid, 200);
    lab_put_folder_eid(&eid, inbox);
    ck_assert(cpuu_mailbox_role(box, CPUU_ROLE_INBOX, &role));
    ck_assert_uint_eq(role.size, eid.size);
    ck_assert_mem_eq(role.data, eid.data, eid.size);
    cpuu_buf_free(&eid);
    static const char *const filters[] = {"IPM.configuration.", "IPM.Configurations"};
    o->unsupported = 0x14; /* Restrict */
    for (unsigned i = 0; i < 2; i++) {
        cpuu_mail_op op = {.verb = CPUU_MAIL_READ, .box = box, .what = CPUU_HIDDEN,
                           .role = CPUU_ROLE_INBOX, .filter = filters[i], .tags = tags,
                           .n_tags = 1};
        run_ok(&op, 1);
        ck_assert_uint_eq(op.rows.count, i == 0); /* the inbox has one such message */
        ck_assert(i || model_message(inbox, op.rows.items[0].id));
        cpuu_mail_op_clear(&op);
    }
    o->unsupported = 0;
}
END_TEST

static size_t count_folders(const lab_store *s, const lab_folder *top)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_folders; i++) {
        const lab_folder *f = s->folders[i];
        for (const lab_folder *p = f->deleted ? NULL : f->parent; p; p = p->parent)
            n += p == top;
    }
    return n;
}

START_TEST(many_sets_of_several_mailboxes_are_read_at_once)
{
    static account a, b;
    cpuu_mailbox *one = open_box(&a, "source", "alice", false);
    cpuu_mailbox *two = open_box(&b, "target", "alice", true);
    uint32_t name[] = {T_NAME, 0x3613001f, 0x36010003};
    cpuu_mail_op ops[] = {
        {.verb = CPUU_MAIL_READ,
         .box = one,
         .what = CPUU_FOLDERS,
         .role = CPUU_ROLE_IPM_SUBTREE,
         .flags = CPUU_DEEP,
         .tags = name,
         .n_tags = 3},
        {.verb = CPUU_MAIL_READ,
         .box = two,
         .what = CPUU_FOLDERS,
         .role = CPUU_ROLE_IPM_SUBTREE,
         .flags = CPUU_DEEP,
         .tags = name,
         .n_tags = 3},
        {.verb = CPUU_MAIL_READ, .box = one, .what = CPUU_RULES, .role = CPUU_ROLE_INBOX},
        {.verb = CPUU_MAIL_READ, .box = one, .what = CPUU_PERMISSIONS, .role = CPUU_ROLE_CALENDAR},
        {.verb = CPUU_MAIL_READ,
         .box = one,
         .what = CPUU_FOLDER,
         .role = CPUU_ROLE_INBOX,
         .tags = name,
         .n_tags = 3},
        {.verb = CPUU_MAIL_READ, .box = one, .what = CPUU_STORE, .tags = name, .n_tags = 1},
        {.verb = CPUU_MAIL_READ, .box = one, .what = CPUU_HIDDEN, .role = CPUU_ROLE_COMMON_VIEWS},
        {.verb = CPUU_MAIL_READ, .box = one, .what = CPUU_ITEMS, .role = CPUU_ROLE_CONTACTS},
    };
    size_t n = sizeof(ops) / sizeof(ops[0]);
    uint64_t before = executes("source");
    run_ok(ops, n);
    ck_assert_uint_eq(ops[0].rows.count, count_folders(a.user->store, a.user->store->ipm));
    ck_assert_uint_eq(ops[1].rows.count, count_folders(b.user->store, b.user->store->ipm));
    ck_assert_uint_eq(ops[2].rows.count, lab_folder_by_role(a.user->store, "inbox")->n_rules);
    ck_assert_uint_eq(ops[3].rows.count, lab_folder_by_role(a.user->store, "calendar")->n_members);
    ck_assert_uint_eq(ops[4].rows.count, 1);
    ck_assert(same_text(&ops[4].rows.items[0].values[0], "Inbox"));
    ck_assert_uint_eq(ops[5].rows.count, 1);
    lab_folder *views = lab_folder_by_role(a.user->store, "commonviews");
    ck_assert_uint_eq(ops[6].rows.count, count_messages(views, true));
    for (size_t i = 0; i < ops[6].rows.count; i++) {
        const cpuu_mail_row *row = &ops[6].rows.items[i];
        const lab_message *m = model_message(views, row->id);
        ck_assert_int_eq(row->rc, CPUU_OK);
        for (size_t k = 0; k < m->content.props.count;
             k++) { /* everything the model has is there */
            const lab_prop *p = &m->content.props.items[k];
            bool seen = false;
            for (uint32_t v = 0; v < row->n_values; v++)
                seen = seen || row->values[v].tag >> 16 == p->tag >> 16;
            ck_assert_msg(seen, "0x%08x", p->tag);
        }
    }
    ck_assert_msg(executes("source") - before <= 5, "%llu Executes",
                  (unsigned long long)(executes("source") - before));
    for (size_t i = 0; i < n; i++)
        cpuu_mail_op_clear(&ops[i]);
}
END_TEST

/* Every hundredth has a value that a table cuts. */
static void add_long_rows(lab_folder *f, unsigned n)
{
    uint8_t blob[800];
    pthread_mutex_lock(&model->lock);
    for (unsigned i = 0; i < n; i++) {
        char subject[60];
        lab_message *m = lab_message_new(f, true);
        snprintf(subject, sizeof(subject), "row %05u", i);
        memset(blob, (int)i, sizeof(blob));
        lab_props_set_text(&m->content.props, T_CLASS >> 16, "IPM.Long");
        lab_props_set_text(&m->content.props, T_SUBJECT >> 16, subject);
        lab_props_set(&m->content.props, T_BLOB, blob, i % 100 ? 100 : sizeof(blob));
    }
    pthread_mutex_unlock(&model->lock);
}

START_TEST(a_long_table_is_read_to_its_end_in_few_requests)
{
    enum { N = 1500 };
    static account a;
    cpuu_mailbox *box = open_box(&a, "source", "alice", false);
    lab_folder *inbox = lab_folder_by_role(a.user->store, "inbox");
    add_long_rows(inbox, N);
    uint32_t tags[] = {T_SUBJECT, T_BLOB};
    cpuu_mail_op op[2] = {{.verb = CPUU_MAIL_READ,
                           .box = box,
                           .what = CPUU_HIDDEN,
                           .role = CPUU_ROLE_INBOX,
                           .filter = "IPM.Long",
                           .tags = tags,
                           .n_tags = 2},
                          {.verb = CPUU_MAIL_READ,
                           .box = box,
                           .what = CPUU_HIDDEN,
                           .role = CPUU_ROLE_COMMON_VIEWS,
                           .tags = tags,
                           .n_tags = 2}};
    uint64_t before = executes("source");
    run_ok(op, 2);
    uint64_t used = executes("source") - before;
    ck_assert_uint_eq(op[0].rows.count, N);
    for (unsigned i = 0; i < N; i++) {
        const cpuu_mail_row *row = &op[0].rows.items[i];
        const lab_message *m = model_message(inbox, row->id);
        ck_assert_ptr_nonnull(m);
        const lab_prop *p = lab_props_find(&m->content.props, T_BLOB);
        ck_assert_uint_eq(row->values[1].size, p->size);
        ck_assert_mem_eq(row->values[1].data, p->data, p->size);
        if (i)
            ck_assert(memcmp(row->id.data, op[0].rows.items[i - 1].id.data, row->id.size) != 0);
    }
    printf("1500 rows: %llu Executes\n", (unsigned long long)used);
    ck_assert_uint_le(used, 8);
    cpuu_mail_op_clear(&op[0]);
    cpuu_mail_op_clear(&op[1]);
}
END_TEST

/* Objects by id, a page at a time: from the table while its rows are where they were. */
START_TEST(pages_of_known_objects_come_from_their_table)
{
    enum { N = 1000, PARTS = 4, PART = N / PARTS };
    static const uint32_t tags[] = {T_SUBJECT, T_BLOB, 0x7ffe001f};
    static account a;
    cpuu_mailbox *box = open_box(&a, "target", "alice", true);
    lab_folder *inbox = lab_folder_by_role(a.user->store, "inbox");
    add_long_rows(inbox, N);
    cpuu_mail_op list = {.verb = CPUU_MAIL_READ, .box = box, .what = CPUU_HIDDEN,
                         .role = CPUU_ROLE_INBOX, .filter = "IPM.Long", .tags = tags, .n_tags = 1};
    run_ok(&list, 1);
    ck_assert_uint_eq(list.rows.count, N);
    cpuu_blob ids[N];
    for (unsigned i = 0; i < N; i++)
        ids[i] = list.rows.items[i].id;
    /* Somebody deletes one: the rows behind it move up, and the last of each part is elsewhere. */
    cpuu_mail_op gone = {.verb = CPUU_MAIL_DELETE, .box = box, .what = CPUU_HIDDEN, .id = ids[10]};
    run_ok(&gone, 1);
    cpuu_mail_op ops[PARTS];
    for (unsigned i = 0; i < PARTS; i++)
        ops[i] = (cpuu_mail_op){.verb = CPUU_MAIL_READ, .box = box, .what = CPUU_HIDDEN,
                                .filter = "IPM.Long", .tags = tags, .n_tags = 3,
                                .ids = ids + i * PART, .n_ids = PART, .in_table = true,
                                .first_row = i * PART};
    uint64_t before = executes("target");
    run_ok(ops, PARTS);
    ck_assert_msg(executes("target") - before <= 12, "%llu Executes",
                  (unsigned long long)(executes("target") - before));
    for (unsigned i = 0; i < N; i++) {
        const cpuu_mail_row *row = &ops[i / PART].rows.items[i % PART];
        ck_assert_uint_eq(ops[i / PART].rows.count, PART);
        ck_assert_mem_eq(row->id.data, ids[i].data, ids[i].size);
        ck_assert_int_eq(row->rc, i == 10 ? CPUU_E_NOTFOUND : CPUU_OK);
        ck_assert_uint_eq(row->n_values, 3);
        if (i == 10)
            continue;
        const lab_message *m = model_message(inbox, row->id);
        const lab_prop *p = lab_props_find(&m->content.props, T_BLOB);
        ck_assert_mem_eq(row->values[0].data, list.rows.items[i].values[0].data,
                         row->values[0].size);
        ck_assert_uint_eq(row->values[1].size, p->size);
        ck_assert_mem_eq(row->values[1].data, p->data, p->size);
        ck_assert(!CPUU_FOUND(&row->values[2]));
    }
    for (unsigned i = 0; i < PARTS; i++)
        cpuu_mail_op_clear(&ops[i]);
    cpuu_mail_op_clear(&list);
    cpuu_mail_op_clear(&gone);
}
END_TEST

/* ---- writing -----------------------------------------------------------------------------------
 */

typedef struct fresh {
    char subject[40];
    cpuu_value set[3];
    uint8_t blob[900];
} fresh;

static void fresh_init(fresh *f, unsigned i, const char *word)
{
    snprintf(f->subject, sizeof(f->subject), "%s %u äö", word, i);
    for (size_t k = 0; k < sizeof(f->blob); k++)
        f->blob[k] = (uint8_t)(k * 7 + i);
    cpuu_value class_v = {T_CLASS, 20, (const uint8_t *)"IPM.Configuration.T1"};
    cpuu_value subject_v = {T_SUBJECT, (uint32_t)strlen(f->subject), (const uint8_t *)f->subject};
    cpuu_value blob_v = {T_BLOB, sizeof(f->blob), f->blob};
    f->set[0] = class_v;
    f->set[1] = subject_v;
    f->set[2] = blob_v;
}

static void add_rows(const account *a, const char *role, unsigned n, size_t size)
{
    lab_folder *f = lab_folder_by_role(a->user->store, role);
    uint8_t blob[400];
    pthread_mutex_lock(&model->lock);
    for (unsigned i = 0; i < n; i++) {
        lab_message *m = lab_message_new(f, true);
        memset(blob, (int)i, sizeof(blob));
        lab_props_set_text(&m->content.props, T_CLASS >> 16, "IPM.Rows");
        lab_props_set(&m->content.props, T_BLOB, blob, size);
    }
    pthread_mutex_unlock(&model->lock);
}

/* Tables of every size in one set: whole and in order, whether the guesses about them fit or not. The
 * long ones together have `bytes`, so many payloads of 32 KB at least. */
static void read_tables(const account *a, cpuu_mailbox *box, unsigned n, size_t size, uint64_t most)
{
    static const uint32_t roles[] = {CPUU_ROLE_INBOX, CPUU_ROLE_CALENDAR, CPUU_ROLE_TASKS,
                                     CPUU_ROLE_NOTES, CPUU_ROLE_CONTACTS, CPUU_ROLE_JOURNAL};
    static const char *const names[] = {"inbox", "calendar", "tasks", "notes", "contacts", "journal"};
    enum { N = sizeof(roles) / sizeof(roles[0]), LONG = 3 };
    uint32_t tags[] = {T_CLASS, T_BLOB, T_SUBJECT, T_COMMENT};
    cpuu_mail_op ops[2 * N] = {0};
    for (size_t i = 0; i < N; i++) {
        if (i < LONG)
            add_rows(a, names[i], n, size);
        ops[i] = (cpuu_mail_op){.verb = CPUU_MAIL_READ, .box = box, .what = CPUU_HIDDEN,
                                .role = roles[i], .tags = tags, .n_tags = 4};
        ops[N + i] = (cpuu_mail_op){.verb = CPUU_MAIL_READ, .box = box, .what = CPUU_PERMISSIONS,
                                    .role = roles[i]};
    }
    uint64_t before = executes("source");
    run_ok(ops, 2 * N);
    uint64_t used = executes("source") - before;
    for (size_t i = 0; i < N; i++) {
        const lab_folder *f = lab_folder_by_role(a->user->store, names[i]);
        ck_assert_uint_eq(ops[N + i].rows.count, f->n_members);
        ck_assert_uint_eq(ops[i].rows.count, count_messages(f, true));
        for (size_t k = 0; k < ops[i].rows.count; k++) {
            const cpuu_mail_row *row = &ops[i].rows.items[k];
            const lab_message *m = model_message(f, row->id);
            ck_assert_ptr_nonnull(m);
            const lab_prop *p = lab_props_find(&m->content.props, T_BLOB);
            ck_assert(!p || (row->values[1].size == p->size &&
                             memcmp(row->values[1].data, p->data, p->size) == 0));
            ck_assert(k == 0 || memcmp(row->id.data, ops[i].rows.items[k - 1].id.data,
                                       row->id.size) != 0);
        }
    }
    printf("%u x %zu bytes in three tables, and nine short ones: %llu Executes\n", n, size,
           (unsigned long long)used);
    ck_assert_uint_le(used, most);
    clear_all(ops, 2 * N);
}

START_TEST(several_tables_share_the_answers_by_what_they_need)
{
    static account a;
    cpuu_mailbox *box = open_box(&a, "source", "alice", false);
    read_tables(&a, box, 40, 60, 2);    /* they fit into one answer, but nobody knows */
    read_tables(&a, box, 160, 60, 3);   /* some 60 KB */
    read_tables(&a, box, 100, 400, 5);  /* none as was guessed: some 200 KB */
}
END_TEST

START_TEST(five_hundred_messages_are_created_changed_and_deleted_in_few_requests)
{
    enum { N = 500 };
    static account a;
    cpuu_mailbox *box = open_box(&a, "target", "alice", true);
    lab_folder *inbox = lab_folder_by_role(a.user->store, "inbox");
    size_t there = count_messages(inbox, true);
    fresh *f = calloc(N, sizeof(*f));
    cpuu_mail_op *ops = calloc(N, sizeof(*ops)), *more = calloc(N, sizeof(*more));
    uint64_t start = executes("target");
    for (unsigned i = 0; i < N; i++) {
        fresh_init(&f[i], i, "made");
        cpuu_mail_op op = {.verb = CPUU_MAIL_CREATE,
                           .box = box,
                           .what = CPUU_HIDDEN,
                           .role = CPUU_ROLE_INBOX,
                           .set = f[i].set,
                           .n_set = 3};
        ops[i] = op;
    }
    run_ok(ops, N);
    uint64_t creates = executes("target") - start;
    ck_assert_uint_eq(count_messages(inbox, true), there + N);
    for (unsigned i = 0; i < N; i++) {
        const lab_message *m = model_message(inbox, ops[i].created);
        ck_assert_ptr_nonnull(m);
        const lab_prop *p = lab_props_find(&m->content.props, T_BLOB);
        ck_assert_uint_eq(p->size, sizeof(f[i].blob));
        ck_assert_mem_eq(p->data, f[i].blob, p->size);
        fresh_init(&f[i], i + 1, "changed");
        static const uint32_t gone[] = {T_BLOB};
        cpuu_mail_op op = {.verb = CPUU_MAIL_UPDATE,
                           .box = box,
                           .what = CPUU_HIDDEN,
                           .id = ops[i].created,
                           .set = f[i].set,
                           .n_set = 2,
                           .unset = gone,
                           .n_unset = 1};
        more[i] = op;
    }
    run_ok(more, N);
    for (unsigned i = 0; i < N; i++) {
        const lab_message *m = model_message(inbox, ops[i].created);
        ck_assert_ptr_null(lab_props_find(&m->content.props, T_BLOB));
        more[i].verb = CPUU_MAIL_DELETE;
    }
    run_ok(more, N);
    ck_assert_uint_eq(count_messages(inbox, true), there);
    printf("500 creates of 1 KB: %llu Executes\n", (unsigned long long)creates);
    ck_assert_uint_le(creates, 26); /* 500 x (900 + 100) bytes / 28 KB, and a little */
    for (unsigned i = 0; i < N; i++)
        cpuu_mail_op_clear(&ops[i]);
    free(f);
    free(ops);
    free(more);
}
END_TEST

START_TEST(a_message_whose_property_is_refused_does_not_stay)
{
    static account a;
    cpuu_mailbox *box = open_box(&a, "target", "alice", true);
    lab_folder *inbox = lab_folder_by_role(a.user->store, "inbox");
    size_t there = count_messages(inbox, true);
    fresh f;
    fresh_init(&f, 1, "refused");
    cpuu_value set[] = {f.set[0], f.set[1], {0xfff0001f, 1, (const uint8_t *)"x"}};
    cpuu_mail_op op = {.verb = CPUU_MAIL_CREATE,
                       .box = box,
                       .what = CPUU_HIDDEN,
                       .role = CPUU_ROLE_INBOX,
                       .set = set,
                       .n_set = 3};
    run(&op, 1);
    ck_assert_int_lt(op.rc, 0);
    ck_assert(!op.maybe_done);
    ck_assert_uint_eq(op.created.size, 0);
    ck_assert_ptr_nonnull(strstr(op.error.text, "0xFFF0001F"));
    ck_assert_uint_eq(count_messages(inbox, true), there);
    cpuu_mail_op_clear(&op);
}
END_TEST

START_TEST(large_values_go_and_come_by_stream)
{
    enum { BIG = 300000 };
    static account a;
    cpuu_mailbox *box = open_box(&a, "target", "alice", true);
    lab_find_org(model, "target")->whole_reads = _i;
    uint8_t *big = malloc(BIG);
    char *text = malloc(60001);
    for (size_t i = 0; i < BIG; i++)
        big[i] = (uint8_t)((i * 2654435761u) >> 13);
    for (size_t i = 0; i < 60000; i += 3)
        memcpy(text + i, "\xe6\x97\xa5", 3);
    text[60000] = 0;
    cpuu_value set[] = {{T_CLASS, 8, (const uint8_t *)"IPM.Note"},
                        {T_SUBJECT, 5, (const uint8_t *)"large"},
                        {T_BLOB, BIG, big},
                        {T_BODY, 60000, (const uint8_t *)text}};
    cpuu_mail_op op = {.verb = CPUU_MAIL_CREATE,
                       .box = box,
                       .what = CPUU_ITEMS,
                       .role = CPUU_ROLE_INBOX,
                       .set = set,
                       .n_set = 4};
    run_ok(&op, 1);
    const lab_message *m = model_message(lab_folder_by_role(a.user->store, "inbox"), op.created);
    ck_assert_ptr_nonnull(m);
    const lab_prop *p = lab_props_find(&m->content.props, T_BLOB);
    ck_assert_uint_eq(p->size, BIG);
    ck_assert_mem_eq(p->data, big, BIG);
    ck_assert_uint_eq(lab_props_find(&m->content.props, T_BODY)->size, 40000);

    uint32_t tags[] = {T_SUBJECT, T_BLOB, T_BODY};
    cpuu_mail_op read[2] = {
        {.verb = CPUU_MAIL_READ,
         .box = box,
         .what = CPUU_ITEMS,
         .role = CPUU_ROLE_INBOX,
         .filter = "ipm.note",
         .tags = tags,
         .n_tags = 3},
        {.verb = CPUU_MAIL_READ, .box = box, .what = CPUU_ITEMS, .ids = &op.created, .n_ids = 1}};
    run_ok(read, 2);
    bool seen = false;
    for (size_t i = 0; i < read[0].rows.count; i++) {
        const cpuu_mail_row *row = &read[0].rows.items[i];
        if (!same_text(&row->values[0], "large"))
            continue;
        seen = true;
        ck_assert_int_eq(row->rc, CPUU_OK);
        ck_assert_uint_eq(row->values[1].size, BIG);
        ck_assert_mem_eq(row->values[1].data, big, BIG);
        ck_assert_uint_eq(row->values[2].size, 60000);
        ck_assert_mem_eq(row->values[2].data, text, 60000);
    }
    ck_assert(seen);
    ck_assert_uint_eq(read[1].rows.count, 1);
    seen = false;
    for (uint32_t i = 0; i < read[1].rows.items[0].n_values; i++) {
        const cpuu_value *v = &read[1].rows.items[0].values[i];
        seen = seen || (v->tag == T_BLOB && v->size == BIG && memcmp(v->data, big, BIG) == 0);
    }
    ck_assert(seen);
    cpuu_mail_op_clear(&read[0]);
    cpuu_mail_op_clear(&read[1]);
    cpuu_mail_op_clear(&op);
    free(big);
    free(text);
}
END_TEST

/* [MS-OXCRPC] 3.1.4.2.1.2.1: what a server says it takes goes in a fraction of the requests; a server
 * that then refuses it, or gives no answer, gets the same bytes the long way. */
START_TEST(large_values_are_packed_where_the_server_takes_that)
{
    enum { BIG = 600000 };
    static account a;
    cpuu_mailbox *box = open_box(&a, "target", "alice", true);
    lab_org *o = lab_find_org(model, "target");
    lab_folder *inbox = lab_folder_by_role(a.user->store, "inbox");
    uint8_t *big = malloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        big[i] = (uint8_t)((i * 2654435761u) >> 11);
    cpuu_value set[] = {{T_CLASS, 8, (const uint8_t *)"IPM.Note"}, {T_BLOB, BIG, big}};
    for (unsigned round = 0; round < 4; round++) {
        cpuu_mail_op op = {.verb = CPUU_MAIL_CREATE,
                           .box = box,
                           .what = CPUU_ITEMS,
                           .role = CPUU_ROLE_INBOX,
                           .set = set,
                           .n_set = 2};
        const uint64_t before = o->stats.executes;
        const size_t there = count_messages(inbox, false);
        if (round == 1) /* the second packed request is lost on its way back */
            fault("target", "close-after", "Execute", 3, 1);
        o->unsupported = round == 2 ? 0xa3 : 0;
        if (round == 2)
            box = open_box(&a, "target", "alice", true);
        op.box = box;
        run_ok(&op, 1);
        const uint64_t took = o->stats.executes - before;
        if (round == 0 && !o->independent) /* which takes one payload, and says so */
            ck_assert_uint_le(took, 5); /* opening, 2 x 250 KB, the end; one read to learn an id */
        else
            ck_assert_uint_ge(took, BIG / 0x7000);
        ck_assert_uint_eq(count_messages(inbox, false), there + 1);
        const lab_message *m = model_message(inbox, op.created);
        const lab_prop *p = m ? lab_props_find(&m->content.props, T_BLOB) : NULL;
        ck_assert(p && p->size == BIG && memcmp(p->data, big, BIG) == 0);
        cpuu_mail_op_clear(&op);
    }
    fault("target", "", "", 1, 0);
    free(big);
}
END_TEST

START_TEST(rules_and_permissions_are_changed_one_by_one)
{
    static account a, b;
    cpuu_mailbox *box = open_box(&a, "source", "alice", true);
    account_of(&b, "source", "dave");
    lab_folder *inbox = lab_folder_by_role(a.user->store, "inbox");
    lab_folder *calendar = lab_folder_by_role(a.user->store, "calendar");
    size_t rules = inbox->n_rules, members = calendar->n_members;
    cpuu_mail_op read[2] = {
        {.verb = CPUU_MAIL_READ, .box = box, .what = CPUU_RULES, .role = CPUU_ROLE_INBOX},
        {.verb = CPUU_MAIL_READ, .box = box, .what = CPUU_PERMISSIONS, .role = CPUU_ROLE_CALENDAR}};
    run_ok(read, 2);
    ck_assert_uint_eq(read[0].rows.count, rules);
    const cpuu_mail_row *first = &read[0].rows.items[0];
    ck_assert_uint_eq(first->id.size, 8);
    cpuu_value state[] = {{0x66770003, 4, (const uint8_t *)"\x10\0\0\0"}};
    cpuu_buf eid;
    cpuu_buf_init(&eid, 1000);
    lab_put_ab_eid(&eid, b.user->dn, 0);
    cpuu_value grant[] = {{T_ENTRYID, (uint32_t)eid.size, eid.data},
                          {0x66730003, 4, (const uint8_t *)"\x7b\x04\0\0"}};
    cpuu_mail_op ops[] = {{.verb = CPUU_MAIL_UPDATE,
                           .box = box,
                           .what = CPUU_RULES,
                           .role = CPUU_ROLE_INBOX,
                           .id = first->id,
                           .set = state,
                           .n_set = 1},
                          {.verb = CPUU_MAIL_CREATE,
                           .box = box,
                           .what = CPUU_RULES,
                           .role = CPUU_ROLE_INBOX,
                           .set = first->values + 1,
                           .n_set = first->n_values - 1},
                          {.verb = CPUU_MAIL_DELETE,
                           .box = box,
                           .what = CPUU_RULES,
                           .role = CPUU_ROLE_INBOX,
                           .id = read[0].rows.items[1].id},
                          {.verb = CPUU_MAIL_CREATE,
                           .box = box,
                           .what = CPUU_PERMISSIONS,
                           .role = CPUU_ROLE_CALENDAR,
                           .set = grant,
                           .n_set = 2}};
    run_ok(ops, 4);
    ck_assert_uint_eq(inbox->n_rules, rules);
    ck_assert_uint_eq(calendar->n_members, members + 1);
    cpuu_mail_op again = {.verb = CPUU_MAIL_READ,
                          .box = box,
                          .what = CPUU_RULES,
                          .role = CPUU_ROLE_INBOX,
                          .ids = &read[0].rows.items[1].id,
                          .n_ids = 1};
    run_ok(&again, 1);
    ck_assert_uint_eq(again.rows.count, 1);
    ck_assert_int_eq(again.rows.items[0].rc, CPUU_E_NOTFOUND);
    cpuu_mail_op_clear(&again);
    cpuu_mail_op_clear(&read[0]);
    cpuu_mail_op_clear(&read[1]);
    for (int i = 0; i < 4; i++)
        cpuu_mail_op_clear(&ops[i]);
    cpuu_buf_free(&eid);
}
END_TEST

static void add_rules(lab_folder *f, unsigned n)
{
    pthread_mutex_lock(&model->lock);
    for (unsigned i = 0; i < n; i++) {
        char name[40];
        uint8_t condition[9] = {8}; /* Exist, [MS-OXCDATA] 2.12.7 */
        lab_rule *rule = lab_rule_new(f);
        snprintf(name, sizeof(name), "rule %04u", i);
        lab_props_set_u32(&rule->props, 0x66760003, i);
        lab_props_set_text(&rule->props, 0x6682, name);
        lab_props_set(&rule->props, 0x667900FD, condition, sizeof(condition));
    }
    pthread_mutex_unlock(&model->lock);
}

/* Each rule asked for on its own, as who compares before a change does. */
START_TEST(all_who_ask_about_one_table_share_its_reading)
{
    enum { N = 400 };
    static const uint32_t tags[] = {0x6682001f, 0x66760003, 0x7ffe001f}, few[] = {0x66760003};
    static const uint8_t gone[8] = {1, 2, 3};
    static account a;
    cpuu_mailbox *box = open_box(&a, "target", "alice", false);
    lab_folder *inbox = lab_folder_by_role(a.user->store, "inbox");
    add_rules(inbox, N);
    cpuu_mail_op list = {.verb = CPUU_MAIL_READ, .box = box, .what = CPUU_RULES,
                         .role = CPUU_ROLE_INBOX, .tags = tags, .n_tags = 3};
    run_ok(&list, 1);
    const size_t n = list.rows.count;
    ck_assert_uint_ge(n, N);
    cpuu_mail_op *ops = calloc(n + 3, sizeof(*ops));
    const cpuu_blob missing = {gone, sizeof(gone)};
    for (size_t i = 0; i < n + 3; i++) {
        ops[i] = list;
        ops[i].ids = i < n ? &list.rows.items[n - 1 - i].id : &missing;
        ops[i].n_ids = 1;
    }
    ops[n + 1].tags = few; /* another question: a reading of its own */
    ops[n + 1].n_tags = 1;
    ops[n + 1].ids = &list.rows.items[0].id;
    ops[n + 2].what = CPUU_PERMISSIONS;
    uint64_t before = executes("target");
    run_ok(ops, n + 3);
    ck_assert_msg(executes("target") - before <= 4, "%llu Executes",
                  (unsigned long long)(executes("target") - before));
    for (size_t i = 0; i < n; i++) {
        const cpuu_mail_row *want = &list.rows.items[n - 1 - i], *row = ops[i].rows.items;
        ck_assert_uint_eq(ops[i].rows.count, 1);
        ck_assert_int_eq(row->rc, CPUU_OK);
        ck_assert_mem_eq(row->id.data, want->id.data, 8);
        ck_assert_uint_eq(row->n_values, 3);
        ck_assert_uint_eq(row->values[0].size, want->values[0].size);
        ck_assert_mem_eq(row->values[0].data, want->values[0].data, row->values[0].size);
        ck_assert_mem_eq(row->values[1].data, want->values[1].data, 4);
        ck_assert(!CPUU_FOUND(&row->values[2]));
    }
    ck_assert_int_eq(ops[n].rows.items[0].rc, CPUU_E_NOTFOUND);
    ck_assert_uint_eq(ops[n].rows.items[0].n_values, 3);
    ck_assert(!CPUU_FOUND(&ops[n].rows.items[0].values[0]));
    ck_assert_uint_eq(ops[n + 1].rows.items[0].n_values, 1);
    ck_assert_mem_eq(ops[n + 1].rows.items[0].values[0].data, list.rows.items[0].values[1].data, 4);
    ck_assert_int_eq(ops[n + 2].rows.items[0].rc, CPUU_E_NOTFOUND);
    for (size_t i = 0; i < n + 3; i++)
        cpuu_mail_op_clear(&ops[i]);
    cpuu_mail_op_clear(&list);
    free(ops);
}
END_TEST

START_TEST(folders_are_created_renamed_and_deleted_unless_something_is_in_them)
{
    static account a;
    cpuu_mailbox *box = open_box(&a, "target", "alice", true);
    cpuu_value set[] = {{T_NAME, 6, (const uint8_t *)"Gr\xc3\xbcn"},
                        {0x3613001f, 8, (const uint8_t *)"IPF.Note"}};
    set[0].size = 5;
    cpuu_mail_op make = {.verb = CPUU_MAIL_CREATE,
                         .box = box,
                         .what = CPUU_FOLDERS,
                         .role = CPUU_ROLE_INBOX,
                         .set = set,
                         .n_set = 2};
    run_ok(&make, 1);
    lab_folder *f = lab_folder_by_path(a.user->store, "@inbox/Gr\xc3\xbcn");
    ck_assert_ptr_nonnull(f);
    cpuu_buf want;
    cpuu_buf_init(&want, 100);
    lab_put_folder_eid(&want, f);
    ck_assert_uint_eq(make.created.size, want.size);
    ck_assert_mem_eq(make.created.data, want.data, want.size);
    cpuu_buf_free(&want);
    cpuu_mail_op twice = make;
    run(&twice, 1);
    ck_assert_int_eq(twice.rc, CPUU_E_EXISTS);

    fresh in;
    fresh_init(&in, 1, "inside");
    cpuu_value name = {T_NAME, 3, (const uint8_t *)"Rot"};
    cpuu_mail_op ops[] = {{.verb = CPUU_MAIL_UPDATE,
                           .box = box,
                           .what = CPUU_FOLDERS,
                           .id = make.created,
                           .set = &name,
                           .n_set = 1},
                          {.verb = CPUU_MAIL_CREATE,
                           .box = box,
                           .what = CPUU_ITEMS,
                           .folder = make.created,
                           .set = in.set,
                           .n_set = 3}};
    run_ok(ops, 2);
    ck_assert_ptr_nonnull(lab_folder_by_path(a.user->store, "@inbox/Rot"));
    cpuu_mail_op gone = {.verb = CPUU_MAIL_DELETE,
                         .box = box,
                         .what = CPUU_FOLDERS,
                         .role = CPUU_ROLE_INBOX,
                         .id = make.created};
    run(&gone, 1);
    ck_assert_int_eq(gone.rc, CPUU_E_CONFLICT);
    cpuu_mail_op empty = {
        .verb = CPUU_MAIL_DELETE, .box = box, .what = CPUU_ITEMS, .id = ops[1].created};
    run_ok(&empty, 1);
    run_ok(&gone, 1);
    ck_assert_ptr_null(lab_folder_by_path(a.user->store, "@inbox/Rot"));
    cpuu_mail_op_clear(&make);
    cpuu_mail_op_clear(&ops[1]);
}
END_TEST

START_TEST(names_become_ids_of_this_mailbox_and_back)
{
    static account a;
    cpuu_mailbox *box = open_box(&a, "source", "alice", false);
    uint8_t address[16];
    ck_assert(cpuu_guid_parse(address, "00062004-0000-0000-C000-000000000046"));
    cpuu_name names[3], back[3];
    uint16_t ids[3] = {0};
    memset(names, 0, sizeof(names));
    memset(back, 0, sizeof(back));
    for (int i = 0; i < 3; i++)
        memcpy(names[i].guid, address, 16);
    names[0].id = 0x8085;
    names[1].id = 0x8055;
    names[2].string = "cpuu-nobody-has-this";
    cpuu_mail_op op = {
        .verb = CPUU_MAIL_NAME_IDS, .box = box, .names = names, .n_names = 3, .name_ids = ids};
    run_ok(&op, 1);
    ck_assert_uint_ge(ids[0], 0x8000);
    ck_assert_uint_ge(ids[1], 0x8000);
    ck_assert_uint_eq(ids[2], 0);
    op.create_names = true;
    run(&op, 1);
    ck_assert_int_eq(op.rc, CPUU_E_ACCESS);
    cpuu_mail_op rev = {
        .verb = CPUU_MAIL_ID_NAMES, .box = box, .n_names = 2, .name_ids = ids, .names_out = back};
    run_ok(&rev, 1);
    ck_assert_uint_eq(back[0].id, 0x8085);
    ck_assert_mem_eq(back[1].guid, address, 16);
    cpuu_mail_op_clear(&rev);
}
END_TEST

START_TEST(people_are_found_by_exact_addresses_only)
{
    static account a;
    account_of(&a, "target", "alice");
    lab_org *o = lab_find_org(model, "target");
    cpuu_directory *d;
    ck_assert_int_eq(cpuu_mail_directory(mail, &a.endpoint, &d, &err), CPUU_OK);
    char cut[300];
    snprintf(cut, sizeof(cut), "%.*s", (int)strlen(a.user->dn) - 1, a.user->dn);
    const char *keys[] = {a.user->dn,           "BOB@target.test",
                          "lice@target.test",   cut,
                          "carol@source.test",  lab_find_user(o, "staff")->dn,
                          "nobody@nowhere.test"};
    cpuu_person p[7];
    cpuu_mail_op op = {
        .verb = CPUU_MAIL_LOOKUP, .directory = d, .keys = keys, .n_keys = 7, .people = p};
    run_ok(&op, 1);
    ck_assert(p[0].found && p[0].is_local_mailbox);
    ck_assert_str_eq(p[0].dn, a.user->dn);
    ck_assert(p[1].found && cpuu_caseeq(p[1].smtp, "bob@target.test"));
    ck_assert(!p[2].found);
    ck_assert(!p[3].found);
    ck_assert(!p[4].found || !p[4].is_local_mailbox);
    ck_assert(p[5].found && p[5].is_local_mailbox);
    ck_assert(!p[6].found && !p[6].ambiguous);
    cpuu_mail_op_clear(&op);
}
END_TEST

/* ANR takes an address for the beginning, or any part, of a longer one. */
START_TEST(an_address_that_begins_another_is_found)
{
    static account a;
    account_of(&a, "target", "alice");
    lab_org *o = lab_find_org(model, "target");
    lab_user *carol = lab_find_user(o, "carol");
    char longer[] = "bob@target.test.org";
    char *own = carol->smtp;
    carol->smtp = longer;
    cpuu_directory *d;
    ck_assert_int_eq(cpuu_mail_directory(mail, &a.endpoint, &d, &err), CPUU_OK);
    const char *keys[] = {"bob@target.test", "bob@target.tes", "bob@target.test.org"};
    cpuu_person p[3];
    cpuu_mail_op op = {
        .verb = CPUU_MAIL_LOOKUP, .directory = d, .keys = keys, .n_keys = 3, .people = p};
    run_ok(&op, 1);
    ck_assert(p[0].found && !p[0].ambiguous);
    ck_assert_str_eq(p[0].dn, lab_find_user(o, "bob")->dn);
    ck_assert(!p[1].found);
    ck_assert(p[2].found);
    ck_assert_str_eq(p[2].dn, carol->dn);
    cpuu_mail_op_clear(&op);
    carol->smtp = own;
}
END_TEST

START_TEST(an_old_dn_is_found_as_an_alias)
{
    static account a, old;
    account_of(&a, "target", "alice");
    account_of(&old, "source", "bob");
    lab_user *bob = lab_find_user(lab_find_org(model, "target"), "bob");
    char alias[400];
    snprintf(alias, sizeof(alias), "X500:%s", old.user->dn);
    LAB_GROW(bob->proxies, bob->proxies_cap, bob->n_proxies);
    bob->proxies[bob->n_proxies++] = lab_strdup(alias);
    cpuu_directory *d;
    ck_assert_int_eq(cpuu_mail_directory(mail, &a.endpoint, &d, &err), CPUU_OK);
    const char *keys[] = {old.user->dn, "/o=SourceOrg/cn=nobody"};
    cpuu_person p[2];
    cpuu_mail_op op = {
        .verb = CPUU_MAIL_LOOKUP, .directory = d, .keys = keys, .n_keys = 2, .people = p};
    run_ok(&op, 1);
    ck_assert(p[0].found && p[0].is_local_mailbox);
    ck_assert_str_eq(p[0].dn, bob->dn);
    ck_assert(!p[1].found);
    cpuu_mail_op_clear(&op);
}
END_TEST

/* The same folders with the same parents, whether or not the server goes deep when it is asked to. */
START_TEST(a_tree_is_read_from_a_server_that_does_not_go_deep)
{
    static const uint32_t tags[] = {0x3001001Fu, 0x0E090102u};
    static account a;
    cpuu_mailbox *box = open_box(&a, "source", "alice", false);
    cpuu_mail_op op[2];
    for (int i = 0; i < 2; i++) {
        lab_find_org(model, "source")->lax = i;
        op[i] = (cpuu_mail_op){.verb = CPUU_MAIL_READ, .box = box, .what = CPUU_FOLDERS,
                               .flags = CPUU_DEEP, .role = CPUU_ROLE_ROOT, .tags = tags,
                               .n_tags = 2};
        run_ok(&op[i], 1);
    }
    ck_assert_uint_gt(op[0].rows.count, 20);
    ck_assert_uint_eq(op[0].rows.count, op[1].rows.count);
    for (size_t i = 0; i < op[0].rows.count; i++) {
        const cpuu_mail_row *x = &op[0].rows.items[i], *y = op[1].rows.items;
        size_t k = 0;
        while (k < op[1].rows.count && (y[k].id.size != x->id.size ||
                                        memcmp(y[k].id.data, x->id.data, x->id.size) != 0))
            k++;
        ck_assert_uint_lt(k, op[1].rows.count);
        for (size_t v = 0; v < 2; v++)
            ck_assert(x->values[v].size == y[k].values[v].size && x->values[v].size &&
                      memcmp(x->values[v].data, y[k].values[v].data, x->values[v].size) == 0);
    }
    cpuu_mail_op_clear(&op[0]);
    cpuu_mail_op_clear(&op[1]);
    lab_find_org(model, "source")->lax = false;
}
END_TEST

/* A server that lacks a kind of request: 1 DNToMId, 2 ResolveNames, 4 QueryRows, 16 GetMatches. Who
 * it was about is found in the other ways, and nobody is "not found" who was not asked about. */
START_TEST(a_kind_of_request_the_address_book_lacks_is_made_up_for)
{
    static account a, old;
    static const struct {
        uint8_t without;
        bool dn, alias, smtp, none;
    } cases[] = {{1, 1, 1, 1, 1}, {2, 1, 1, 1, 1},  {4, 1, 1, 1, 1},  {16, 1, 1, 1, 1},
                 {3, 1, 1, 1, 1}, {18, 1, 1, 0, 0}, {19, 0, 0, 0, 0}, {22, 0, 1, 0, 0}};
    account_of(&a, "target", "alice");
    account_of(&old, "source", "bob");
    lab_org *o = lab_find_org(model, "target");
    lab_user *bob = lab_find_user(o, "bob");
    char alias[400];
    snprintf(alias, sizeof(alias), "X500:%s", old.user->dn);
    LAB_GROW(bob->proxies, bob->proxies_cap, bob->n_proxies);
    bob->proxies[bob->n_proxies++] = lab_strdup(alias);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cpuu_directory *d;
        const char *keys[] = {a.user->dn, old.user->dn, "bob@target.test", "nobody@nowhere.test"};
        bool known[] = {cases[i].dn, cases[i].alias, cases[i].smtp, cases[i].none};
        bool there[] = {true, cases[i].without < 18, true, false};
        cpuu_person p[4];
        cpuu_mail_op op[4];
        ck_assert_int_eq(cpuu_mail_directory(mail, &a.endpoint, &d, &err), CPUU_OK);
        for (size_t k = 0; k < 4; k++)
            op[k] = (cpuu_mail_op){.verb = CPUU_MAIL_LOOKUP, .directory = d, .keys = &keys[k],
                                   .n_keys = 1, .people = &p[k]};
        o->without = cases[i].without;
        ck_assert_int_eq(cpuu_mail_run(mail, op, 4, &err), CPUU_OK);
        for (size_t k = 0; k < 4; k++) {
            ck_assert_msg((op[k].rc == CPUU_OK) == known[k], "without %u: %s: %s",
                          cases[i].without, keys[k], op[k].error.text);
            ck_assert_msg((cases[i].without == 3 && k == 0) || /* servers differ */
                              p[k].found == (known[k] && there[k]), "without %u: %s", cases[i].without,
                          keys[k]);
            cpuu_mail_op_clear(&op[k]);
        }
    }
    o->without = 0;
}
END_TEST

/* More names than one request holds: every answer reaches who asked, whatever becomes of one of the
 * sessions. */
START_TEST(many_people_are_looked_up_side_by_side)
{
    enum { N = 1400 };
    static account a;
    account_of(&a, "target", "alice");
    const lab_user *bob = lab_find_user(lab_find_org(model, "target"), "bob");
    static const char *const faults[][2] = {{"", ""}, {"503", "Bind"}, {"fail", "ResolveNames"},
                                            {"lose-context", "ResolveNames"},
                                            {"close-after", "ResolveNames"},
                                            {"lose-context", "DNToMId"}};
    static char text[N][60];
    static const char *keys[N];
    static cpuu_person p[N];
    for (unsigned i = 0; i < N; i++) {
        snprintf(text[i], sizeof(text[i]), i % 3 ? "/o=SourceOrg/cn=n%u" : "n%u@nowhere.test", i);
        keys[i] = i % 7 == 0 ? bob->dn : i % 7 == 1 ? bob->smtp : text[i];
    }
    for (unsigned f = 0; f < sizeof(faults) / sizeof(faults[0]); f++) {
        cpuu_directory *d;
        ck_assert_int_eq(cpuu_mail_directory(mail, &a.endpoint, &d, &err), CPUU_OK);
        cpuu_mail_op op = {
            .verb = CPUU_MAIL_LOOKUP, .directory = d, .keys = keys, .n_keys = N, .people = p};
        fault("target", faults[f][0], faults[f][1], 2, f ? 1 : 0);
        run_ok(&op, 1);
        for (unsigned i = 0; i < N; i++) {
            ck_assert_int_eq(p[i].found, i % 7 < 2);
            if (p[i].found)
                ck_assert_str_eq(p[i].dn, bob->dn);
        }
        cpuu_mail_op_clear(&op);
    }
    fault("target", "", "", 1, 0);
}
END_TEST

START_TEST(a_read_only_mailbox_is_not_written_to)
{
    static account a;
    cpuu_mailbox *box = open_box(&a, "source", "alice", false);
    fresh f;
    fresh_init(&f, 1, "no");
    cpuu_mail_op op = {.verb = CPUU_MAIL_CREATE,
                       .box = box,
                       .what = CPUU_HIDDEN,
                       .role = CPUU_ROLE_INBOX,
                       .set = f.set,
                       .n_set = 3};
    uint64_t before = executes("source");
    run(&op, 1);
    ck_assert_int_eq(op.rc, CPUU_E_ACCESS);
    ck_assert_uint_eq(executes("source"), before);
}
END_TEST

/* ---- streaming ---------------------------------------------------------------------------------
 */

static size_t rows_seen;
static cpuu_rc count_row(void *user, const cpuu_mail_row *row)
{
    ck_assert_int_eq(row->rc, CPUU_OK);
    rows_seen++;
    return user && rows_seen == *(size_t *)user ? CPUU_E_STOP : CPUU_OK;
}

START_TEST(rows_are_handed_over_one_by_one_and_can_be_stopped)
{
    static account a;
    cpuu_mailbox *box = open_box(&a, "source", "alice", false);
    uint32_t tags[] = {T_SUBJECT, T_WLINK};
    cpuu_mail_op op = {.verb = CPUU_MAIL_READ,
                       .box = box,
                       .what = CPUU_HIDDEN,
                       .role = CPUU_ROLE_COMMON_VIEWS,
                       .tags = tags,
                       .n_tags = 2,
                       .on_row = count_row};
    rows_seen = 0;
    run_ok(&op, 1);
    ck_assert_uint_eq(rows_seen,
                      count_messages(lab_folder_by_role(a.user->store, "commonviews"), true));
    size_t stop = 3;
    op.user = &stop;
    rows_seen = 0;
    run(&op, 1);
    ck_assert_int_eq(op.rc, CPUU_E_STOP);
    ck_assert_uint_eq(rows_seen, 3);
}
END_TEST

/* ---- faults ------------------------------------------------------------------------------------
 */

START_TEST(reads_survive_a_lost_context_an_overflow_and_a_closed_connection)
{
    static const char *const actions[] = {"lose-context", "too-small", "close", "close-after",
                                          "503"};
    static account a;
    cpuu_mailbox *box = open_box(&a, "source", "alice", false);
    lab_folder *views = lab_folder_by_role(a.user->store, "commonviews");
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        for (uint32_t at = 1; at <= 3; at++) {
            uint32_t tags[] = {T_SUBJECT, T_WLINK, T_STORE};
            cpuu_mail_op op[2] = {{.verb = CPUU_MAIL_READ,
                                   .box = box,
                                   .what = CPUU_HIDDEN,
                                   .role = CPUU_ROLE_COMMON_VIEWS,
                                   .tags = tags,
                                   .n_tags = 3},
                                  {.verb = CPUU_MAIL_READ,
                                   .box = box,
                                   .what = CPUU_HIDDEN,
                                   .role = CPUU_ROLE_COMMON_VIEWS}};
            fault("source", actions[i], "Execute", at, 1);
            run(op, 2);
            ck_assert_msg(op[0].rc == CPUU_OK && op[1].rc == CPUU_OK, "%s at %u: %s%s", actions[i],
                          at, op[0].error.text, op[1].error.text);
            ck_assert_uint_eq(op[0].rows.count, count_messages(views, true));
            ck_assert_uint_eq(op[1].rows.count, count_messages(views, true));
            cpuu_mail_op_clear(&op[0]);
            cpuu_mail_op_clear(&op[1]);
        }
    fault("source", "", "", 1, 0);
}
END_TEST

START_TEST(answers_that_do_not_fit_are_asked_for_in_smaller_portions)
{
    enum { N = 80 };
    static account a;
    cpuu_mailbox *box = open_box(&a, "source", "alice", false);
    lab_folder *inbox = lab_folder_by_role(a.user->store, "inbox");
    lab_message *made[N];
    uint8_t eids[N][70], blob[3000];
    cpuu_blob ids[N];
    pthread_mutex_lock(&model->lock);
    for (unsigned i = 0; i < N; i++) {
        cpuu_buf b;
        made[i] = lab_message_new(inbox, false);
        memset(blob, (int)i, sizeof(blob));
        lab_props_set_text(&made[i]->content.props, T_CLASS >> 16, "IPM.Note");
        lab_props_set(&made[i]->content.props, T_BLOB, blob, sizeof(blob) - i);
        cpuu_buf_init(&b, 70);
        lab_put_message_eid(&b, made[i]);
        memcpy(eids[i], b.data, 70);
        cpuu_buf_free(&b);
        ids[i].data = eids[i];
        ids[i].size = 70;
    }
    pthread_mutex_unlock(&model->lock);
    uint32_t tags[] = {T_CLASS, T_BLOB};
    cpuu_mail_op op = {.verb = CPUU_MAIL_READ,
                       .box = box,
                       .what = CPUU_ITEMS,
                       .tags = tags,
                       .n_tags = 2,
                       .ids = ids,
                       .n_ids = N};
    uint64_t before = executes("source");
    run_ok(&op, 1);
    printf("80 values of 3 KB: %llu Executes\n", (unsigned long long)(executes("source") - before));
    ck_assert_uint_eq(op.rows.count, N);
    for (unsigned i = 0; i < N; i++) {
        const cpuu_value *v = &op.rows.items[i].values[1];
        ck_assert_int_eq(op.rows.items[i].rc, CPUU_OK);
        ck_assert_uint_eq(v->size, sizeof(blob) - i);
        ck_assert_uint_eq(v->data[0], i);
        ck_assert_uint_eq(v->data[v->size - 1], i);
    }
    cpuu_mail_op_clear(&op);
}
END_TEST

static unsigned beats_left;
static cpuu_rc beat(void *user)
{
    (void)user;
    return beats_left && --beats_left == 0 ? CPUU_E_STOP : CPUU_OK;
}

START_TEST(a_stop_ends_everything_and_the_pool_is_usable_afterwards)
{
    static account a;
    cpuu_mailbox *box = open_box(&a, "source", "alice", false);
    uint32_t tags[] = {T_SUBJECT};
    cpuu_mail_op op[2] = {
        {.verb = CPUU_MAIL_READ,
         .box = box,
         .what = CPUU_HIDDEN,
         .role = CPUU_ROLE_COMMON_VIEWS,
         .tags = tags,
         .n_tags = 1},
        {.verb = CPUU_MAIL_READ, .box = box, .what = CPUU_RULES, .role = CPUU_ROLE_INBOX}};
    cpuu_http_on_beat(http, beat, NULL);
    beats_left = 1;
    ck_assert_int_eq(cpuu_mail_run(mail, op, 2, &err), CPUU_E_STOP);
    ck_assert_int_eq(op[0].rc, CPUU_E_STOP);
    ck_assert_int_eq(op[1].rc, CPUU_E_STOP);
    beats_left = 0;
    run_ok(op, 2);
    cpuu_mail_op_clear(&op[0]);
    cpuu_mail_op_clear(&op[1]);
}
END_TEST

START_TEST(a_write_whose_answer_was_lost_is_not_repeated)
{
    static account a;
    cpuu_mailbox *box = open_box(&a, "target", "alice", true);
    lab_folder *inbox = lab_folder_by_role(a.user->store, "inbox");
    size_t there = count_messages(inbox, true);
    fresh f;
    fresh_init(&f, 1, "once");
    cpuu_mail_op op = {.verb = CPUU_MAIL_CREATE,
                       .box = box,
                       .what = CPUU_HIDDEN,
                       .role = CPUU_ROLE_INBOX,
                       .set = f.set,
                       .n_set = 3};
    fault("target", "close-after", "Execute", 1, 1);
    run(&op, 1);
    ck_assert_int_eq(op.rc, CPUU_E_IO);
    ck_assert(op.maybe_done);
    ck_assert_uint_eq(count_messages(inbox, true), there + 1);
    fault("target", "lose-context", "Execute", 1, 1); /* refused before it was carried out */
    run_ok(&op, 1);
    ck_assert_uint_eq(count_messages(inbox, true), there + 2);
    cpuu_mail_op_clear(&op);
}
END_TEST

static unsigned count_comment(const lab_folder *f, const char *utf8)
{
    cpuu_buf wide;
    unsigned n = 0;
    cpuu_buf_init(&wide, 1000);
    cpuu_buf_utf16(&wide, utf8, false);
    for (size_t i = 0; i < f->n_messages; i++) {
        const lab_prop *p = lab_props_find(&f->messages[i]->content.props, T_COMMENT);
        n += !f->messages[i]->deleted && p && p->size == wide.size &&
             memcmp(p->data, wide.data, p->size) == 0;
    }
    cpuu_buf_free(&wide);
    return n;
}

START_TEST(whatever_fails_each_message_is_made_once_or_reported)
{
    static const char *const actions[] = {"lose-context", "close",   "close-after", "503",
                                          "truncate",     "garbage", "too-small",   "fail"};
    enum { N = 150 };
    static account a;
    cpuu_mailbox *box = open_box(&a, "target", "alice", true);
    lab_folder *inbox = lab_folder_by_role(a.user->store, "inbox");
    fresh *f = calloc(N, sizeof(*f));
    cpuu_mail_op *ops = calloc(N, sizeof(*ops));
    unsigned doubtful = 0, failed = 0;
    for (size_t k = 0; k < sizeof(actions) / sizeof(actions[0]); k++)
        for (uint32_t at = 1; at <= 5; at += 2) {
            for (unsigned i = 0; i < N; i++) {
                fresh_init(&f[i], i, actions[k]);
                snprintf(f[i].subject, sizeof(f[i].subject), "%s %u %u", actions[k], at, i);
                f[i].set[1].tag = T_COMMENT;
                f[i].set[1].size = (uint32_t)strlen(f[i].subject);
                cpuu_mail_op op = {.verb = CPUU_MAIL_CREATE,
                                   .box = box,
                                   .what = CPUU_HIDDEN,
                                   .role = CPUU_ROLE_INBOX,
                                   .set = f[i].set,
                                   .n_set = 3};
                ops[i] = op;
            }
            fault("target", actions[k], "Execute", at, 1);
            writes_begun = writes_ended = 0;
            run(ops, N);
            ck_assert_uint_ge(writes_begun, 5);
            ck_assert_uint_le(writes_ended, writes_begun);
            for (unsigned i = 0; i < N; i++) {
                unsigned there = count_comment(inbox, f[i].subject);
                if (ops[i].rc == CPUU_OK)
                    ck_assert_msg(there == 1, "%s: %u times", f[i].subject, there);
                else if (!ops[i].maybe_done)
                    ck_assert_uint_eq(there, 0);
                else
                    ck_assert_uint_le(there, 1);
                doubtful += ops[i].maybe_done;
                failed += ops[i].rc < 0;
                cpuu_mail_op_clear(&ops[i]);
            }
            fault("target", "", "", 1, 0);
        }
    printf("%u of %zu creates failed, %u of them in doubt\n", failed,
           (size_t)N * 3 * sizeof(actions) / sizeof(actions[0]), doubtful);
    free(f);
    free(ops);
}
END_TEST

START_TEST(a_large_message_begins_again_when_its_context_is_lost)
{
    enum { BIG = 150000 };
    static account a;
    cpuu_mailbox *box = open_box(&a, "target", "alice", true);
    lab_folder *inbox = lab_folder_by_role(a.user->store, "inbox");
    size_t there = count_messages(inbox, false);
    uint8_t *big = malloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        big[i] = (uint8_t)((i * 40503u) >> 7);
    cpuu_value set[] = {{T_CLASS, 8, (const uint8_t *)"IPM.Note"}, {T_BLOB, BIG, big}};
    for (uint32_t at = 1; at <= 6; at++) {
        cpuu_mail_op op = {.verb = CPUU_MAIL_CREATE,
                           .box = box,
                           .what = CPUU_ITEMS,
                           .role = CPUU_ROLE_INBOX,
                           .set = set,
                           .n_set = 2};
        fault("target", "lose-context", "Execute", at, 1);
        run_ok(&op, 1);
        ck_assert_uint_eq(count_messages(inbox, false), there + at);
        const lab_message *m = model_message(inbox, op.created);
        const lab_prop *p = m ? lab_props_find(&m->content.props, T_BLOB) : NULL;
        ck_assert(p && p->size == BIG && memcmp(p->data, big, BIG) == 0);
        cpuu_mail_op_clear(&op);
    }
    fault("target", "", "", 1, 0);
    free(big);
}
END_TEST

START_TEST(a_message_somebody_else_has_changed_is_a_conflict_or_gone)
{
    static account a;
    cpuu_mailbox *box = open_box(&a, "target", "alice", true);
    fresh f;
    fresh_init(&f, 1, "gone");
    cpuu_mail_op op = {.verb = CPUU_MAIL_CREATE,
                       .box = box,
                       .what = CPUU_HIDDEN,
                       .role = CPUU_ROLE_INBOX,
                       .set = f.set,
                       .n_set = 3};
    run_ok(&op, 1);
    cpuu_mail_op del = {
        .verb = CPUU_MAIL_DELETE, .box = box, .what = CPUU_HIDDEN, .id = op.created};
    cpuu_mail_op upd = {.verb = CPUU_MAIL_UPDATE,
                        .box = box,
                        .what = CPUU_HIDDEN,
                        .id = op.created,
                        .set = f.set,
                        .n_set = 3};
    run_ok(&del, 1);
    cpuu_mail_op twice = del;
    run(&twice, 1); /* both are seen: nothing to complain of, or not there */
    ck_assert(twice.rc == CPUU_OK || twice.rc == CPUU_E_NOTFOUND);
    run(&upd, 1);
    ck_assert_int_eq(upd.rc, CPUU_E_NOTFOUND);
    uint32_t tags[] = {T_SUBJECT};
    cpuu_mail_op read = {.verb = CPUU_MAIL_READ,
                         .box = box,
                         .what = CPUU_HIDDEN,
                         .tags = tags,
                         .n_tags = 1,
                         .ids = &op.created,
                         .n_ids = 1};
    run_ok(&read, 1);
    ck_assert_uint_eq(read.rows.count, 1);
    ck_assert_int_eq(read.rows.items[0].rc, CPUU_E_NOTFOUND);
    ck_assert_uint_eq(read.rows.items[0].n_values, 1);
    cpuu_mail_op_clear(&read);
    cpuu_mail_op_clear(&op);
}
END_TEST

static void delay(uint32_t ms)
{
    pthread_mutex_lock(&model->lock);
    for (size_t i = 0; i < model->n_orgs; i++)
        model->orgs[i]->delay_ms = ms;
    pthread_mutex_unlock(&model->lock);
}

/* ---- reading ahead ------------------------------------------------------------------------------
 */

static const uint32_t fai_tags[] = {T_SUBJECT, T_WLINK, T_STORE}, tree_tags[] = {T_NAME, 0x3613001f};
static const cpuu_name kind_name = {.id = 0x8085};
static uint16_t kind_id;

#define N_AHEAD 6
/* What is asked after an opening: of folders the logon tells, of one it does not, and a name. */
static void questions(cpuu_mail_op ops[N_AHEAD], cpuu_mailbox *box)
{
    const cpuu_mail_op all[N_AHEAD] = {
        {.verb = CPUU_MAIL_READ, .what = CPUU_HIDDEN, .role = CPUU_ROLE_COMMON_VIEWS,
         .tags = fai_tags, .n_tags = 3},
        {.verb = CPUU_MAIL_READ, .what = CPUU_FOLDERS, .role = CPUU_ROLE_ROOT, .flags = CPUU_DEEP,
         .tags = tree_tags, .n_tags = 2},
        {.verb = CPUU_MAIL_READ, .what = CPUU_RULES, .role = CPUU_ROLE_INBOX},
        {.verb = CPUU_MAIL_READ, .what = CPUU_PERMISSIONS, .role = CPUU_ROLE_CALENDAR},
        {.verb = CPUU_MAIL_READ, .what = CPUU_FOLDER, .role = CPUU_ROLE_INBOX, .tags = tree_tags,
         .n_tags = 2},
        {.verb = CPUU_MAIL_NAME_IDS, .names = &kind_name, .n_names = 1, .name_ids = &kind_id}};
    memcpy(ops, all, sizeof(all));
    for (size_t i = 0; i < N_AHEAD; i++)
        ops[i].box = box;
}

static void same_rows(const cpuu_mail_rows *a, const cpuu_mail_rows *b)
{
    ck_assert_uint_eq(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        const cpuu_mail_row *x = &a->items[i], *y = &b->items[i];
        ck_assert(x->id.size == y->id.size && memcmp(x->id.data, y->id.data, x->id.size) == 0);
        ck_assert_uint_eq(x->n_values, y->n_values);
        for (uint32_t k = 0; k < x->n_values; k++)
            ck_assert(x->values[k].tag == y->values[k].tag &&
                      x->values[k].size == y->values[k].size &&
                      memcmp(x->values[k].data, y->values[k].data, x->values[k].size) == 0);
    }
}

START_TEST(what_is_read_ahead_is_what_would_be_read_and_costs_no_trip)
{
    static account a;
    cpuu_mail_op plain[N_AHEAD], ahead[N_AHEAD], taken[N_AHEAD];
    questions(plain, open_box(&a, "source", "alice", false));
    run_ok(plain, N_AHEAD);
    uint16_t id = kind_id;
    questions(ahead, NULL);
    cpuu_mail_open o = {.endpoint = &a.endpoint, .mailbox_dn = a.user->dn, .smtp = a.user->smtp,
                        .ahead = ahead, .n_ahead = N_AHEAD};
    ck_assert_int_eq(cpuu_mail_open_all(mail, &o, 1, &err), CPUU_OK);
    ck_assert_int_eq(o.rc, CPUU_OK);
    ck_assert_int_eq(cpuu_http_drive(http, &err), CPUU_OK);
    uint64_t before = executes("source");
    questions(taken, o.box);
    kind_id = 0;
    run_ok(taken, N_AHEAD);
    ck_assert_uint_eq(executes("source"), before);
    ck_assert_uint_eq(kind_id, id);
    ck_assert_uint_gt(taken[0].rows.count, 0);
    for (size_t i = 0; i < N_AHEAD; i++)
        same_rows(&taken[i].rows, &plain[i].rows);
    clear_all(taken, N_AHEAD);
    run_ok(taken, N_AHEAD); /* an answer is given once */
    ck_assert_uint_gt(executes("source"), before);
    for (size_t i = 0; i < N_AHEAD; i++)
        same_rows(&taken[i].rows, &plain[i].rows);
    clear_all(taken, N_AHEAD);
    clear_all(plain, N_AHEAD);
}
END_TEST

static cpuu_rc look(void *user, const cpuu_mail_row *row)
{
    (void)row;
    ++*(size_t *)user;
    return CPUU_OK;
}

static cpuu_rc stop_at_two(void *user, const cpuu_mail_row *row)
{
    (void)row;
    return ++*(size_t *)user == 2 ? CPUU_E_STOP : CPUU_OK;
}

START_TEST(a_guess_is_taken_over_or_is_as_if_it_had_not_been_made)
{
    static account alice, bob, dave;
    account_of(&alice, "source", "alice");
    account_of(&bob, "source", "bob");
    account_of(&dave, "source", "dave");
    size_t seen = 0, handed = 0;
    cpuu_mail_op ahead[N_AHEAD], asked[N_AHEAD];
    questions(ahead, NULL);
    ahead[1].on_row = look;
    ahead[1].user = &seen;
    cpuu_mail_open guesses[] = {
        {.endpoint = &alice.endpoint, .mailbox_dn = bob.user->dn, .ahead = ahead, .n_ahead = 2},
        {.endpoint = &alice.endpoint, .mailbox_dn = dave.user->dn, .ahead = ahead, .n_ahead = 2},
        {.endpoint = &alice.endpoint, .mailbox_dn = "/o=nobody/cn=x", .ahead = ahead, .n_ahead = 2}};
    cpuu_mail_ahead(mail, guesses, 3);
    cpuu_mail_ahead(mail, guesses, 1); /* known already */
    cpuu_mail_open o[2] = {
        {.endpoint = &alice.endpoint, .mailbox_dn = bob.user->dn, .smtp = bob.user->smtp},
        {.endpoint = &alice.endpoint, .mailbox_dn = dave.user->dn, .smtp = dave.user->smtp}};
    ck_assert_int_eq(cpuu_mail_open_all(mail, o, 2, &err), CPUU_OK);
    ck_assert_msg(o[0].rc == CPUU_OK, "%s", o[0].error.text);
    ck_assert_int_eq(o[1].rc, CPUU_E_ACCESS);
    ck_assert_str_eq(cpuu_mailbox_get_info(o[0].box)->smtp, bob.user->smtp);
    questions(asked, o[0].box);
    asked[1].on_row = stop_at_two;
    asked[1].user = &handed;
    run(asked, 2);
    ck_assert_int_eq(asked[0].rc, CPUU_OK);
    ck_assert_uint_eq(asked[0].rows.count,
                      count_messages(lab_folder_by_role(bob.user->store, "commonviews"), true));
    ck_assert_int_eq(asked[1].rc, CPUU_E_STOP);
    ck_assert_uint_eq(handed, 2);
    ck_assert_uint_eq(seen, count_folders(bob.user->store, bob.user->store->root));
    clear_all(asked, 2);
}
END_TEST

START_TEST(nothing_read_before_a_write_is_given_after_it)
{
    static account a;
    account_of(&a, "target", "alice");
    cpuu_mail_op ahead[N_AHEAD], asked[N_AHEAD];
    questions(ahead, NULL);
    cpuu_mail_open o = {.endpoint = &a.endpoint, .mailbox_dn = a.user->dn, .smtp = a.user->smtp,
                        .writable = true, .ahead = ahead, .n_ahead = 1};
    ck_assert_int_eq(cpuu_mail_open_all(mail, &o, 1, &err), CPUU_OK);
    ck_assert_int_eq(o.rc, CPUU_OK);
    size_t n = count_messages(lab_folder_by_role(a.user->store, "commonviews"), true);
    fresh f;
    fresh_init(&f, 1, "after");
    cpuu_mail_op create = {.verb = CPUU_MAIL_CREATE, .box = o.box, .what = CPUU_HIDDEN,
                           .role = CPUU_ROLE_COMMON_VIEWS, .set = f.set, .n_set = 3};
    run_ok(&create, 1);
    questions(asked, o.box);
    run_ok(asked, 1);
    ck_assert_uint_eq(asked[0].rows.count, n + 1);
    clear_all(asked, 1);
    cpuu_mail_op_clear(&create);
}
END_TEST

/* Rows of a long table are shown as they come, and all of them again in the end. */
typedef struct glance {
    size_t rows, executes_at_first;
} glance;

static cpuu_rc take_a_glance(void *user, const cpuu_mail_row *row)
{
    glance *g = user;
    ck_assert_uint_eq(row->n_values, 3);
    if (g->rows++ == 0)
        g->executes_at_first = executes("source");
    return CPUU_OK;
}

START_TEST(a_long_table_read_ahead_is_shown_as_it_comes)
{
    enum { N = 3000 };
    static account a;
    account_of(&a, "source", "alice");
    lab_folder *views = lab_folder_by_role(a.user->store, "commonviews");
    size_t all = count_messages(views, true) + N;
    add_long_rows(views, N);
    glance g = {0};
    cpuu_mail_op ahead[N_AHEAD], asked[N_AHEAD];
    questions(ahead, NULL);
    ahead[0].tags = (const uint32_t[]){T_SUBJECT, T_WLINK, T_BLOB};
    ahead[0].on_row = take_a_glance;
    ahead[0].user = &g;
    cpuu_mail_open o = {.endpoint = &a.endpoint, .mailbox_dn = a.user->dn, .smtp = a.user->smtp,
                        .ahead = ahead, .n_ahead = 1};
    ck_assert_int_eq(cpuu_mail_open_all(mail, &o, 1, &err), CPUU_OK);
    ck_assert_int_eq(cpuu_http_drive(http, &err), CPUU_OK);
    ck_assert_uint_lt(g.executes_at_first, executes("source"));
    ck_assert_uint_gt(g.rows, all);
    uint64_t before = executes("source");
    questions(asked, o.box);
    asked[0].tags = ahead[0].tags;
    run_ok(asked, 1);
    ck_assert_uint_eq(executes("source"), before);
    ck_assert_uint_eq(asked[0].rows.count, all);
    clear_all(asked, 1);
}
END_TEST

/* ---- several contexts ------------------------------------------------------------------------------
 */

static uint64_t connects(const char *org)
{
    return lab_find_org(model, org)->stats.connects;
}

static void add_folders(lab_store *store, unsigned n)
{
    char name[60];
    pthread_mutex_lock(&model->lock);
    for (unsigned i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "one of very many folders in this mailbox, number %05u", i);
        ck_assert_ptr_nonnull(lab_folder_new(store->ipm, name, "IPF.Note", 1));
    }
    pthread_mutex_unlock(&model->lock);
}

/* A mailbox with many folders, opened with two contexts. */
static cpuu_mailbox *open_with_two(account *a, cpuu_mail_op ahead[N_AHEAD])
{
    account_of(a, "target", "alice");
    add_folders(a->user->store, 2500);
    questions(ahead, NULL);
    cpuu_mail_open o = {.endpoint = &a->endpoint, .mailbox_dn = a->user->dn, .smtp = a->user->smtp,
                        .writable = true, .contexts = 2, .ahead = ahead, .n_ahead = N_AHEAD};
    ck_assert_int_eq(cpuu_mail_open_all(mail, &o, 1, &err), CPUU_OK);
    ck_assert_msg(o.rc == CPUU_OK, "%s", o.error.text);
    return o.box;
}

START_TEST(the_tree_of_folders_is_read_beside_the_rest)
{
    static account a;
    cpuu_mail_op ops[N_AHEAD];
    cpuu_mailbox *box = open_with_two(&a, ops);
    questions(ops, box);
    run_ok(ops, N_AHEAD);
    ck_assert_int_eq(cpuu_http_drive(http, &err), CPUU_OK);
    ck_assert_uint_eq(connects("target"), 2);
    ck_assert_uint_eq(ops[0].rows.count,
                      count_messages(lab_folder_by_role(a.user->store, "commonviews"), true));
    ck_assert_uint_eq(ops[1].rows.count, count_folders(a.user->store, a.user->store->root));
    for (size_t i = 0; i < ops[1].rows.count; i++)
        ck_assert_uint_eq(ops[1].rows.items[i].id.size, 46);
    clear_all(ops, N_AHEAD);
}
END_TEST

/* One context is in the middle of a table when the other has nothing left but writes. */
START_TEST(what_one_context_reads_does_not_hide_writes_from_the_other)
{
    static account a;
    cpuu_mail_op ops[N_AHEAD];
    cpuu_mailbox *box = open_with_two(&a, ops);
    lab_folder *views = lab_folder_by_role(a.user->store, "commonviews");
    size_t n = count_messages(views, true);
    fresh f;
    fresh_init(&f, 1, "beside");
    cpuu_mail_op create = {.verb = CPUU_MAIL_CREATE, .box = box, .what = CPUU_HIDDEN,
                           .role = CPUU_ROLE_COMMON_VIEWS, .set = f.set, .n_set = 3};
    run_ok(&create, 1);
    ck_assert_uint_eq(count_messages(views, true), n + 1);
    cpuu_mail_op_clear(&create);
}
END_TEST

START_TEST(a_context_connected_early_is_taken_by_who_comes)
{
    static account alice, bob;
    account_of(&alice, "source", "alice");
    account_of(&bob, "source", "bob");
    for (unsigned failing = 0; failing < 2; failing++)
        for (unsigned wait = 0; wait < 2; wait++) {
            cpuu_mail *m;
            ck_assert_int_eq(cpuu_mail_new(http, NULL, NULL, &m, &err), CPUU_OK);
            uint64_t before = connects("source");
            if (failing) /* at most one of two who come before the others have failed */
                fault("source", "close", "Connect", 1, wait ? 2 : 1);
            cpuu_mail_spare(m, &alice.endpoint, 2);
            if (wait)
                ck_assert_int_eq(cpuu_http_drive(http, &err), CPUU_OK);
            cpuu_mail_open o[2] = {
                {.endpoint = &alice.endpoint, .mailbox_dn = bob.user->dn, .smtp = bob.user->smtp},
                {.endpoint = &alice.endpoint, .mailbox_dn = alice.user->dn,
                 .smtp = alice.user->smtp}};
            ck_assert_int_eq(cpuu_mail_open_all(m, o, 2, &err), CPUU_OK);
            ck_assert_msg(o[0].rc == CPUU_OK, "%s", o[0].error.text);
            ck_assert_msg(o[1].rc == CPUU_OK, "%s", o[1].error.text);
            if (!failing)
                ck_assert_uint_eq(connects("source") - before, 2);
            fault("source", "", "", 1, 0);
            cpuu_mail_spare(m, &alice.endpoint, 2); /* nobody comes */
            cpuu_mail_free(m);
        }
}
END_TEST

START_TEST(an_opening_survives_what_happens_to_what_rides_along)
{
    static const char *const actions[] = {"lose-context", "too-small", "close-after", "503"};
    static account a;
    account_of(&a, "source", "alice");
    lab_folder *views = lab_folder_by_role(a.user->store, "commonviews");
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        for (uint32_t at = 1; at <= 3; at++) {
            cpuu_mail_op ops[N_AHEAD];
            questions(ops, NULL);
            cpuu_mail_open o = {.endpoint = &a.endpoint, .mailbox_dn = a.user->dn,
                                .smtp = a.user->smtp, .contexts = 1 + (unsigned)_i,
                                .ahead = ops, .n_ahead = N_AHEAD};
            fault("source", actions[i], "Execute", at, 1);
            ck_assert_int_eq(cpuu_mail_open_all(mail, &o, 1, &err), CPUU_OK);
            ck_assert_msg(o.rc == CPUU_OK, "%s at %u: %s", actions[i], at, o.error.text);
            questions(ops, o.box);
            run_ok(ops, N_AHEAD);
            ck_assert_uint_eq(ops[0].rows.count, count_messages(views, true));
            clear_all(ops, N_AHEAD);
        }
    fault("source", "", "", 1, 0);
}
END_TEST

/* Requests with a ROP the server does not know are refused as a whole, or end in a 500. */
START_TEST(a_rop_the_server_does_not_know_costs_only_what_needs_it)
{
    /* LongTermIdFromId, Restrict, GetPermissionsTable, GetRulesTable, GetIdsFromNames */
    static const uint8_t unknown[] = {0x43, 0x14, 0x3e, 0x3f, 0x56};
    static account a;
    account_of(&a, "source", "alice");
    lab_org *o = lab_find_org(model, "source");
    lab_folder *views = lab_folder_by_role(a.user->store, "commonviews");
    for (size_t i = 0; i < 3 * sizeof(unknown); i++) {
        cpuu_mail_op ops[N_AHEAD];
        questions(ops, NULL);
        cpuu_mail_open open = {.endpoint = &a.endpoint, .mailbox_dn = a.user->dn,
                               .smtp = a.user->smtp, .ahead = ops, .n_ahead = N_AHEAD};
        o->unknown = unknown[i / 3];
        o->crashing = i % 3 == 1;
        o->stopping = i % 3 == 2;
        ops[0].filter = "IPM.Microsoft.WunderBar";
        ck_assert_int_eq(cpuu_mail_open_all(mail, &open, 1, &err), CPUU_OK);
        ck_assert_msg(open.rc == CPUU_OK, "%02x: %s", o->unknown, open.error.text);
        questions(ops, open.box);
        ops[0].filter = "IPM.Microsoft.WunderBar";
        run(ops, N_AHEAD);
        for (size_t k = 0; k < N_AHEAD; k++) {
            bool needs = o->unknown == (k == 2 ? 0x3f : k == 3 ? 0x3e : k == 5 ? 0x56 : 0);
            ck_assert_msg(ops[k].rc < 0 ? needs : !needs, "%02x: question %zu: %s", o->unknown, k,
                          ops[k].rc < 0 ? ops[k].error.text : "answered");
        }
        ck_assert_uint_eq(ops[0].rows.count, count_messages(views, true));
        clear_all(ops, N_AHEAD);
    }
    o->unknown = o->crashing = o->stopping = 0;
}
END_TEST

static size_t contexts(const char *org)
{
    pthread_mutex_lock(&model->lock);
    size_t n = lab_find_org(model, org)->n_contexts;
    pthread_mutex_unlock(&model->lock);
    return n;
}

/* A server that is far away gets the Disconnects, but nobody waits for what it says to them. */
START_TEST(taking_leave_is_not_waited_for)
{
    static account a;
    cpuu_mail *far;
    cpuu_directory *d;
    cpuu_person person;
    account_of(&a, "source", "alice");
    const char *key = a.user->dn;
    size_t before = contexts("source");
    ck_assert_int_eq(cpuu_mail_new(http, NULL, NULL, &far, &err), CPUU_OK);
    cpuu_mail_open o = {.endpoint = &a.endpoint, .mailbox_dn = a.user->dn, .smtp = a.user->smtp};
    ck_assert_int_eq(cpuu_mail_open_all(far, &o, 1, &err), CPUU_OK);
    ck_assert_int_eq(cpuu_mail_directory(far, &a.endpoint, &d, &err), CPUU_OK);
    cpuu_mail_op op = {.verb = CPUU_MAIL_LOOKUP, .directory = d, .keys = &key, .n_keys = 1,
                       .people = &person};
    run_ok_on(far, &op, 1);
    cpuu_mail_op_clear(&op);
    ck_assert_uint_eq(contexts("source"), before + 2);
    delay(500);
    int64_t start = cpuu_clock_ms();
    cpuu_mail_leave(far);
    memset(&a.endpoint, 0, sizeof(a.endpoint)); /* not needed any more */
    memset(a.emsmdb, 0, sizeof(a.emsmdb));
    memset(a.nspi, 0, sizeof(a.nspi));
    cpuu_mail_free(far);
    ck_assert_int_lt(cpuu_clock_ms() - start, 400);
    delay(0);
    for (int i = 0; i < 300 && contexts("source") > before; i++)
        poll(NULL, 0, 10);
    ck_assert_uint_eq(contexts("source"), before);
}
END_TEST

/* Answered at once where the server is near, and while something else is done. */
START_TEST(farewells_are_answered_meanwhile)
{
    static account a, b;
    cpuu_mail *first;
    account_of(&a, "source", "alice");
    ck_assert_int_eq(cpuu_mail_new(http, NULL, NULL, &first, &err), CPUU_OK);
    cpuu_mail_open o = {.endpoint = &a.endpoint, .mailbox_dn = a.user->dn, .smtp = a.user->smtp};
    ck_assert_int_eq(cpuu_mail_open_all(first, &o, 1, &err), CPUU_OK);
    cpuu_mail_leave(first);
    cpuu_mail_leave(first);
    open_box(&b, "target", "alice", false);
    ck_assert_uint_eq(contexts("source"), 0);
    cpuu_mail_free(first);
}
END_TEST

static void count_end(cpuu_http_request *req)
{
    ++*(unsigned *)req->user;
}

/* 503 to the logon, while a request that has nothing to do with it hangs (20 s until it ends). */
START_TEST(a_pause_ends_although_another_server_is_silent)
{
    static account a;
    unsigned ends = 0;
    char url[64];
    replay *silent = replay_start();
    replay_add_text(silent, "", REPLAY_HANG);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", replay_port(silent));
    cpuu_http_request hung = {.method = "GET", .url = url, .on_done = count_end, .user = &ends};
    cpuu_http_submit(http, &hung);
    fault("source", "503", "Execute", 1, 1);
    int64_t start = cpuu_clock_ms();
    open_box(&a, "source", "alice", false);
    ck_assert_int_lt(cpuu_clock_ms() - start, 10000);
    ck_assert_uint_eq(ends, 0);
    cpuu_http_cancel(http, &hung);
    ck_assert_uint_eq(ends, 1);
    cpuu_http_request_clear(&hung);
    replay_stop(silent);
    fault("source", "", "", 1, 0);
}
END_TEST

/* Opens two mailboxes, reads, writes and looks people up. True when nothing failed. */
static bool everything(account *a, account *b)
{
    cpuu_mail *m;
    cpuu_error e = CPUU_ERROR_INIT;
    uint32_t tags[] = {T_SUBJECT, T_WLINK};
    uint16_t ids[1];
    cpuu_name name = {.id = 0x8085};
    cpuu_person person;
    const char *key = a->user->dn;
    static uint8_t big[40000];
    fresh f;
    fresh_init(&f, 1, "frail");
    cpuu_value large[] = {f.set[0], {T_BLOB, sizeof(big), big}};
    if (cpuu_mail_new(http, NULL, NULL, &m, &e) != CPUU_OK)
        return false;
    cpuu_mail_op ahead[N_AHEAD];
    questions(ahead, NULL);
    cpuu_mail_open o[2] = {{.endpoint = &a->endpoint,
                            .mailbox_dn = a->user->dn,
                            .smtp = a->user->smtp,
                            .ahead = ahead,
                            .n_ahead = N_AHEAD},
                           {.endpoint = &b->endpoint,
                            .mailbox_dn = b->user->dn,
                            .smtp = b->user->smtp,
                            .contexts = 2,
                            .writable = true}};
    cpuu_directory *d = NULL;
    cpuu_mail_spare(m, &a->endpoint, 1);
    cpuu_mail_ahead(m, o, 1);
    bool good = cpuu_mail_open_all(m, o, 2, &e) == CPUU_OK && o[0].rc == CPUU_OK &&
                o[1].rc == CPUU_OK && cpuu_mail_directory(m, &a->endpoint, &d, &e) == CPUU_OK;
    cpuu_mail_op ops[] = {
        {.verb = CPUU_MAIL_READ,
         .box = o[0].box,
         .what = CPUU_HIDDEN,
         .role = CPUU_ROLE_COMMON_VIEWS,
         .tags = tags,
         .n_tags = 2},
        {.verb = CPUU_MAIL_READ, .box = o[0].box, .what = CPUU_HIDDEN, .role = CPUU_ROLE_INBOX},
        {.verb = CPUU_MAIL_READ, .box = o[0].box, .what = CPUU_RULES, .role = CPUU_ROLE_INBOX},
        {.verb = CPUU_MAIL_READ,
         .box = o[0].box,
         .what = CPUU_FOLDERS,
         .role = CPUU_ROLE_ROOT,
         .flags = CPUU_DEEP,
         .tags = tree_tags,
         .n_tags = 2},
        {.verb = CPUU_MAIL_NAME_IDS,
         .box = o[0].box,
         .names = &name,
         .n_names = 1,
         .name_ids = ids},
        {.verb = CPUU_MAIL_LOOKUP, .directory = d, .keys = &key, .n_keys = 1, .people = &person},
        {.verb = CPUU_MAIL_CREATE,
         .box = o[1].box,
         .what = CPUU_HIDDEN,
         .role = CPUU_ROLE_INBOX,
         .set = f.set,
         .n_set = 3},
        {.verb = CPUU_MAIL_CREATE,
         .box = o[1].box,
         .what = CPUU_HIDDEN,
         .role = CPUU_ROLE_INBOX,
         .set = large,
         .n_set = 2}};
    size_t n = sizeof(ops) / sizeof(ops[0]);
    if (good) {
        cpuu_directory_ahead(d);
        good = cpuu_mail_run(m, ops, n, &e) == CPUU_OK;
        for (size_t i = 0; i < n; i++) {
            good = good && ops[i].rc == CPUU_OK;
            cpuu_mail_op_clear(&ops[i]);
        }
    }
    cpuu_mail_free(m);
    return good;
}

START_TEST(every_allocation_may_fail)
{
    static account a, b;
    account_of(&a, "source", "alice");
    account_of(&b, "target", "alice");
    cpuu_fmt_realloc = failing_realloc;
    unsigned n = 1, tries = 0;
    for (;; n += n < 400 ? 1 : n / 40, tries++) {
        fail_alloc = n;
        bool good = everything(&a, &b);
        bool reached = fail_alloc == 0;
        fail_alloc = 0;
        if (!reached) {
            ck_assert(good);
            break;
        }
    }
    cpuu_fmt_realloc = realloc;
    printf("%u runs with a failing allocation, up to number %u\n", tries, n);
    ck_assert_uint_gt(n, 200);
}
END_TEST

/* Milliseconds for a whole profile's worth of mailbox work. */
static int64_t profile_work(account *a, account *b, account *c, fresh *f, unsigned n_writes)
{
    cpuu_mail *m;
    cpuu_directory *d;
    int64_t start = cpuu_clock_ms();
    uint32_t tags[] = {T_SUBJECT, T_WLINK, T_STORE, T_CLASS}, names[] = {T_NAME, 0x3613001f};
    ck_assert_int_eq(cpuu_mail_new(http, NULL, NULL, &m, &err), CPUU_OK);
    cpuu_mail_open o[3] = {
        {.endpoint = &a->endpoint, .mailbox_dn = a->user->dn, .smtp = a->user->smtp},
        {.endpoint = &b->endpoint,
         .mailbox_dn = b->user->dn,
         .smtp = b->user->smtp,
         .writable = true},
        {.endpoint = &a->endpoint, .mailbox_dn = c->user->dn, .smtp = c->user->smtp}};
    ck_assert_int_eq(cpuu_mail_open_all(m, o, 3, &err), CPUU_OK);
    ck_assert_int_eq(cpuu_mail_directory(m, &b->endpoint, &d, &err), CPUU_OK);
    cpuu_mail_op reads[30];
    size_t n = 0;
    for (unsigned side = 0; side < 3; side++) {
        static const uint32_t roles[] = {CPUU_ROLE_INBOX, CPUU_ROLE_COMMON_VIEWS,
                                         CPUU_ROLE_CALENDAR};
        cpuu_mail_op tree = {.verb = CPUU_MAIL_READ,
                             .box = o[side].box,
                             .what = CPUU_FOLDERS,
                             .role = CPUU_ROLE_IPM_SUBTREE,
                             .flags = CPUU_DEEP,
                             .tags = names,
                             .n_tags = 2};
        reads[n++] = tree;
        for (unsigned k = 0; k < 3; k++) {
            cpuu_mail_op fai = {.verb = CPUU_MAIL_READ,
                                .box = o[side].box,
                                .what = CPUU_HIDDEN,
                                .role = roles[k],
                                .tags = tags,
                                .n_tags = 4};
            reads[n++] = fai;
        }
        cpuu_mail_op rules = {.verb = CPUU_MAIL_READ,
                              .box = o[side].box,
                              .what = CPUU_RULES,
                              .role = CPUU_ROLE_INBOX};
        reads[n++] = rules;
    }
    run_ok_on(m, reads, n);
    cpuu_mail_op *ops = calloc(n_writes + 1, sizeof(*ops));
    for (unsigned i = 0; i < n_writes; i++) {
        cpuu_mail_op op = {.verb = CPUU_MAIL_CREATE,
                           .box = o[1].box,
                           .what = CPUU_HIDDEN,
                           .role = CPUU_ROLE_COMMON_VIEWS,
                           .set = f[i].set,
                           .n_set = 3};
        ops[i] = op;
    }
    run_ok_on(m, ops, n_writes);
    for (size_t i = 0; i < n; i++)
        cpuu_mail_op_clear(&reads[i]);
    for (unsigned i = 0; i < n_writes; i++)
        cpuu_mail_op_clear(&ops[i]);
    free(ops);
    cpuu_mail_free(m);
    return cpuu_clock_ms() - start;
}

/* The budget of the architecture, measured from outside: time per round trip that is not server
 * work. 500 creates of about 1 KB send some 500 KB. */
START_TEST(a_profile_costs_few_sequential_round_trips)
{
    enum { N = 500, EACH_WAY = 50 };
    static account a, b, c;
    account_of(&a, "source", "alice");
    account_of(&b, "target", "alice");
    account_of(&c, "source", "bob");
    fresh *f = calloc(N, sizeof(*f));
    for (unsigned i = 0; i < N; i++)
        fresh_init(&f[i], i, "cost");
    uint64_t requests, sent, received, requests0, sent0, received0;
    int64_t near = profile_work(&a, &b, &c, f, N);
    delay(EACH_WAY);
    cpuu_http_totals(http, &requests0, &sent0, &received0);
    int64_t far = profile_work(&a, &b, &c, f, N);
    cpuu_http_totals(http, &requests, &sent, &received);
    delay(0);
    double trips = (double)(far - near) / (2 * EACH_WAY);
    double up = (double)(sent - sent0) / 28672, down = (double)(received - received0) / 204800;
    printf("%.1f sequential round trips, %llu requests, %.0f KB up, %.0f KB down\n", trips,
           (unsigned long long)(requests - requests0), up * 28, down * 200);
    ck_assert(trips <= 12 + (up + 1) / 4 + (down + 1) / 4);
    free(f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("mailbox");
    const TTest *const tests[] = {
        an_own_mailbox_opens_with_its_special_folders,
        a_mailbox_without_rights_is_refused_and_one_with_full_access_is_not,
        a_mailbox_on_another_server_is_opened_there,
        connect_names_the_owner_where_the_account_is_not_taken,
        a_wrong_password_and_an_unknown_mailbox_are_told_apart,
        hidden_messages_come_whole_and_with_their_entry_ids,
        a_table_without_restrictions_and_ids_without_names_are_no_end,
        many_sets_of_several_mailboxes_are_read_at_once,
        a_long_table_is_read_to_its_end_in_few_requests,
        several_tables_share_the_answers_by_what_they_need,
        pages_of_known_objects_come_from_their_table,
        five_hundred_messages_are_created_changed_and_deleted_in_few_requests,
        a_message_whose_property_is_refused_does_not_stay,
        rules_and_permissions_are_changed_one_by_one,
        all_who_ask_about_one_table_share_its_reading,
        folders_are_created_renamed_and_deleted_unless_something_is_in_them,
        names_become_ids_of_this_mailbox_and_back,
        people_are_found_by_exact_addresses_only,
        an_address_that_begins_another_is_found,
        an_old_dn_is_found_as_an_alias,
        a_kind_of_request_the_address_book_lacks_is_made_up_for,
        many_people_are_looked_up_side_by_side,
        a_tree_is_read_from_a_server_that_does_not_go_deep,
        a_read_only_mailbox_is_not_written_to,
        rows_are_handed_over_one_by_one_and_can_be_stopped,
        reads_survive_a_lost_context_an_overflow_and_a_closed_connection,
        answers_that_do_not_fit_are_asked_for_in_smaller_portions,
        a_stop_ends_everything_and_the_pool_is_usable_afterwards,
        a_write_whose_answer_was_lost_is_not_repeated,
        whatever_fails_each_message_is_made_once_or_reported,
        a_large_message_begins_again_when_its_context_is_lost,
        a_message_somebody_else_has_changed_is_a_conflict_or_gone,
        what_is_read_ahead_is_what_would_be_read_and_costs_no_trip,
        a_guess_is_taken_over_or_is_as_if_it_had_not_been_made,
        nothing_read_before_a_write_is_given_after_it,
        a_long_table_read_ahead_is_shown_as_it_comes,
        the_tree_of_folders_is_read_beside_the_rest,
        what_one_context_reads_does_not_hide_writes_from_the_other,
        a_context_connected_early_is_taken_by_who_comes,
        a_rop_the_server_does_not_know_costs_only_what_needs_it,
        taking_leave_is_not_waited_for,
        farewells_are_answered_meanwhile,
        a_pause_ends_although_another_server_is_silent,
    };
    for (int independent = 0; independent < 2; independent++) {
        TCase *t = tcase_create(independent ? "independent server" : "strict server");
        tcase_set_timeout(t, 120);
        tcase_add_checked_fixture(t, independent ? up_independent : up, down);
        for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
            tcase_add_test(t, tests[i]);
        tcase_add_loop_test(t, large_values_go_and_come_by_stream, 0, 2);
        tcase_add_test(t, large_values_are_packed_where_the_server_takes_that);
        tcase_add_loop_test(t, an_opening_survives_what_happens_to_what_rides_along, 0, 2);
        if (!independent) {
            tcase_add_test(t, every_allocation_may_fail);
            tcase_add_test(t, a_profile_costs_few_sequential_round_trips);
        }
        suite_add_tcase(s, t);
    }
    SRunner *run = srunner_create(s);
    srunner_run_all(run, CK_NORMAL);
    int failed = srunner_ntests_failed(run);
    srunner_free(run);
    return failed ? 1 : 0;
}
