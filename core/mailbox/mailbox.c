/*
 * The pool, and opening mailboxes: Connect, Logon, then one request that reads the special folders
 * and proves the right to open Inbox and Common Views.
 */
#include "mailbox/pool.h"

#include "base/text.h"

#include <cpuu/formats/entryid.h>

#include <string.h>

#define GOODBYE_MS 50 /* for Disconnects to be answered; what takes longer is not waited for */

/* ---- pool --------------------------------------------------------------------------------------
 */

cpuu_rc cpuu_mail_new(cpuu_http *http, const cpuu_mail_options *options, cpuu_log *log,
                      cpuu_mail **out, cpuu_error *err)
{
    cpuu_mail *mail = cpuu_calloc(1, sizeof(*mail));
    if (!mail)
        return cpuu_nomem(err);
    mail->http = http;
    mail->log = log;
    if (options)
        mail->options = *options;
    if (mail->options.contexts_per_mailbox == 0 ||
        mail->options.contexts_per_mailbox > CPUU_MAX_LANES)
        mail->options.contexts_per_mailbox = CPUU_MAX_LANES;
    if (mail->options.batch_bytes > CPUU_MAX_PAYLOAD)
        mail->options.batch_bytes = CPUU_MAX_PAYLOAD;
    if (mail->options.batch_bytes && mail->options.batch_bytes < 4096)
        mail->options.batch_bytes = 4096;
    if (!cpuu_guid_random(mail->client_guid)) {
        cpuu_free(mail);
        return cpuu_fail(err, CPUU_E_FAILED, "the system has no random numbers to give");
    }
    cpuu_rop_answer_init(&mail->answer);
    *out = mail;
    return CPUU_OK;
}

static void left(cpuu_call *call)
{
    cpuu_call_clear(call);
}

bool cpuu_mail_under_way(const cpuu_mail *mail)
{
    bool any = false;
    for (const cpuu_mailbox *box = mail->boxes; box; box = box->next)
        for (uint32_t i = 0; i < CPUU_MAX_LANES; i++)
            any = any || cpuu_http_is_under_way(mail->http, &box->lanes[i].call.http);
    for (cpuu_spare *s = mail->spares; s; s = cpuu_spare_next(s))
        any = any || cpuu_http_is_under_way(mail->http, &cpuu_spare_call(s)->http);
    for (cpuu_directory *d = mail->directories; d; d = cpuu_directory_next(d))
        any = any || cpuu_directory_under_way(d);
    return any;
}

static void cancel_all(cpuu_mail *mail)
{
    for (cpuu_mailbox *box = mail->boxes; box; box = box->next)
        for (uint32_t i = 0; i < CPUU_MAX_LANES; i++)
            cpuu_http_cancel(mail->http, &box->lanes[i].call.http);
    for (cpuu_spare *s = mail->spares; s; s = cpuu_spare_next(s))
        cpuu_http_cancel(mail->http, &cpuu_spare_call(s)->http);
    for (cpuu_directory *d = mail->directories; d; d = cpuu_directory_next(d))
        cpuu_directory_cancel(d);
}

/* Ends what was begun ahead of time and is not wanted any more. */
static void end_background(cpuu_mail *mail)
{
    cpuu_error why = CPUU_ERROR_INIT;
    mail->fatal = cpuu_fail(&why, CPUU_E_STOP, "not needed any more");
    cancel_all(mail);
    for (cpuu_mailbox *box = mail->boxes; box; box = box->next) {
        cpuu_box_drop(box, &why);
        cpuu_ahead_free(box);
    }
}

static bool is_over(void *user)
{
    return !cpuu_mail_under_way(user);
}

void cpuu_mail_leave(cpuu_mail *mail)
{
    if (!mail || mail->left)
        return;
    mail->left = true;
    end_background(mail);
    for (cpuu_mailbox *box = mail->boxes; box; box = box->next)
        for (uint32_t i = 0; i < CPUU_MAX_LANES; i++) {
            cpuu_lane *lane = &box->lanes[i];
            if (!lane->session || !cpuu_session_connected(lane->session) ||
                cpuu_session_busy(lane->session))
                continue;
            memset(&lane->call, 0, sizeof(lane->call));
            lane->call.on_done = left;
            cpuu_session_disconnect(lane->session, &lane->call);
        }
    for (cpuu_spare *s = mail->spares; s; s = cpuu_spare_next(s))
        cpuu_spare_leave(s);
    for (cpuu_directory *d = mail->directories; d; d = cpuu_directory_next(d))
        cpuu_directory_leave(d);
    cpuu_http_drive_for(mail->http, 0, is_over, mail, NULL);
}

void cpuu_mail_free(cpuu_mail *mail)
{
    if (!mail)
        return;
    cpuu_mail_leave(mail);
    cpuu_http_drive_for(mail->http, GOODBYE_MS, is_over, mail, NULL);
    cancel_all(mail);
    cpuu_spares_free(mail);
    while (mail->boxes) {
        cpuu_mailbox *box = mail->boxes;
        mail->boxes = box->next;
        cpuu_box_free(box);
    }
    while (mail->directories) {
        cpuu_directory *d = mail->directories;
        mail->directories = cpuu_directory_next(d);
        cpuu_directory_free(d);
    }
    cpuu_rop_answer_free(&mail->answer);
    cpuu_free(mail);
}

const cpuu_mailbox_info *cpuu_mailbox_get_info(const cpuu_mailbox *box)
{
    return &box->info;
}

bool cpuu_mailbox_role(const cpuu_mailbox *box, uint32_t role, cpuu_blob *eid)
{
    if (role >= CPUU_ROLES || !box->has_role[role])
        return false;
    eid->data = box->role_eid[role];
    eid->size = CPUU_FOLDER_EID_SIZE;
    return true;
}

bool cpuu_mailbox_folder_of_fid(const cpuu_mailbox *box, const uint8_t fid[8],
                                uint8_t eid[CPUU_FID_EID_SIZE])
{
    return cpuu_ids_folder_eid(&box->ids, cpuu_le64(fid), eid);
}

bool cpuu_mailbox_fid_of_folder(const cpuu_mailbox *box, cpuu_blob eid, uint8_t fid[8])
{
    uint64_t id;
    uint8_t unknown[24];
    if (cpuu_ids_from_eid(&box->ids, eid, &id, NULL, unknown) != CPUU_ID_OK)
        return false;
    for (unsigned i = 0; i < 8; i++)
        fid[i] = (uint8_t)(id >> (8 * i));
    return true;
}

/* ---- logon -------------------------------------------------------------------------------------
 */

void cpuu_box_logon_fill(const cpuu_mailbox *box, cpuu_buf *b, uint8_t slot)
{
    if (box->info.is_public) {
        cpuu_rop_logon(b, slot, 0, CPUU_OPEN_PUBLIC | CPUU_OPEN_HOME | CPUU_OPEN_PER_MDB_REPLID,
                       "");
        return;
    }
    uint32_t flags = CPUU_OPEN_PER_MDB_REPLID | (box->admin ? CPUU_OPEN_ADMIN : 0) | CPUU_OPEN_HOME;
    cpuu_rop_logon(b, slot, CPUU_LOGON_PRIVATE, flags, box->dn);
}

static void queue_open(cpuu_mailbox *box);

/* The value of MailboxId in the URL of an endpoint; NULL when it has none. */
static const char *mailbox_id(const char *url, size_t *n)
{
    static const char key[] = "MailboxId=";
    for (const char *p = url ? strchr(url, '?') : NULL; p; p = strchr(p + 1, '&'))
        if (cpuu_ncasecmp(p + 1, key, sizeof(key) - 1) == 0) {
            *n = strcspn(p + sizeof(key), "&#");
            return p + sizeof(key);
        }
    return NULL;
}

/* The server that a Logon names is the last part of a DN, and since Exchange 2013 a
 * <mailboxguid>@<domain> by which the endpoint finds it ([MS-OXCROPS] 2.2.3.1.4). False when it is
 * something else, or where we are already. */
static bool move_to(cpuu_mailbox *box, const char *server)
{
    const char *url = box->url ? box->url : box->endpoint->emsmdb_url, *name = server;
    size_t old_size, n;
    const char *old = mailbox_id(url, &old_size);
    for (const char *p = server; *p; p++)
        if (cpuu_ncasecmp(p, "/cn=", 4) == 0)
            name = p + 4;
    n = strlen(name);
    if (!old || box->moves == 2 || !strchr(name, '@') ||
        name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_@")] ||
        (n == old_size && cpuu_ncasecmp(old, name, n) == 0))
        return false;
    char *moved = cpuu_asprintf("%.*s%s%s", (int)(old - url), url, name, old + old_size);
    if (!moved)
        return false;
    cpuu_free(box->url);
    box->url = moved;
    box->moves++;
    box->moved = true;
    return true;
}

static bool logon_failed(cpuu_mailbox *box, const cpuu_rop_answer *a, bool *again)
{
    bool permission = a->code == 0x3f2 || a->code == 0x80070005;
    if (permission && !box->info.is_public && !box->admin_tried) {
        box->admin = !box->admin; /* servers disagree about who must ask for it: once each way */
        box->admin_tried = true;
        *again = true;
        return false;
    }
    if (a->code == 0x478 && !box->info.is_public && move_to(box, a->logon.server)) {
        *again = true;
        return false;
    }
    if (a->code == 0x478 && a->logon.server[0])
        box->rc =
            cpuu_fail(&box->error, CPUU_E_NETWORK,
                      "%s: the mailbox is on another server (%s); check the Autodiscover answer",
                      box->name, a->logon.server);
    else
        box->rc = cpuu_mapi_fail(&box->error, a->code, "%s: logon failed", box->name);
    return false;
}

bool cpuu_box_logon_answer(cpuu_mailbox *box, cpuu_lane *lane, const cpuu_rop_answer *a,
                           bool *again)
{
    (void)lane;
    *again = false;
    if (a->code)
        return logon_failed(box, a, again);
    if (box->known || box->folder_ids[0])
        return true;
    if (a->logon.is_private == box->info.is_public) {
        box->rc = cpuu_fail(&box->error, CPUU_E_FORMAT,
                            "%s: the server opened another kind of store", box->name);
        return false;
    }
    memcpy(box->folder_ids, a->logon.folder_ids, sizeof(box->folder_ids));
    memcpy(box->info.mailbox_guid, a->logon.mailbox_guid, 16);
    memcpy(box->replguid, a->logon.replguid, 16);
    box->replid = a->logon.replid;
    memcpy(box->ids.provider, box->info.is_public ? cpuu_uid_public : a->logon.mailbox_guid, 16);
    box->ids.is_public = box->info.is_public;
    box->info.owner = (a->logon.response_flags & 0x02) != 0;
    if (box->admin_tried)
        cpuu_logf(box->mail->log, CPUU_LV_TRACE, "%s: logged on %s administrative access",
                  box->name, box->admin ? "with" : "without");
    queue_open(box);
    cpuu_ahead_begin(box);
    return true;
}

/* ---- special folders ---------------------------------------------------------------------------
 */

enum { WHAT_ROOT = 1, WHAT_INBOX, WHAT_VIEWS, WHAT_ROOT_PROPS, WHAT_INBOX_PROPS, WHAT_ID };

/* [MS-OXOSFLD] 2.2.3 and 2.2.4 */
static const uint32_t special_tags[] = {0x36d00102, 0x36d10102, 0x36d20102, 0x36d30102,
                                        0x36d40102, 0x36d70102, 0x36d81102, 0x36e41102};
#define N_SPECIAL (sizeof(special_tags) / sizeof(special_tags[0]))
static const uint8_t special_roles[] = {CPUU_ROLE_CALENDAR, CPUU_ROLE_CONTACTS, CPUU_ROLE_JOURNAL,
                                        CPUU_ROLE_NOTES,    CPUU_ROLE_TASKS,    CPUU_ROLE_DRAFTS};
/* Place in FolderIds of a private logon, [MS-OXCSTOR] 2.2.1.1.3 */
static const struct {
    uint8_t role, slot;
} logon_roles[] = {
    {CPUU_ROLE_ROOT, 0},         {CPUU_ROLE_IPM_SUBTREE, 3}, {CPUU_ROLE_INBOX, 4},
    {CPUU_ROLE_OUTBOX, 5},       {CPUU_ROLE_SENT, 6},        {CPUU_ROLE_DELETED, 7},
    {CPUU_ROLE_COMMON_VIEWS, 8}, {CPUU_ROLE_FINDER, 10},     {CPUU_ROLE_SHORTCUTS, 12}};

bool cpuu_box_logon_fid(const cpuu_mailbox *box, uint32_t role, uint64_t *fid)
{
    for (size_t i = 0; i < sizeof(logon_roles) / sizeof(logon_roles[0]); i++) {
        if (logon_roles[i].role != role || box->info.is_public)
            continue;
        *fid = box->folder_ids[logon_roles[i].slot];
        return *fid != 0;
    }
    return false;
}

static uint8_t folder_props(cpuu_unit *u, cpuu_batch *b, uint64_t fid, uint16_t open,
                            uint16_t props)
{
    uint8_t slot = cpuu_batch_open_folder(b, u, fid, open);
    cpuu_rop_get_properties(&b->body, slot, special_tags, N_SPECIAL);
    cpuu_batch_step(b, u, CPUU_ROP_GET_PROPERTIES_SPECIFIC, slot, props, special_tags, N_SPECIAL);
    cpuu_rop_release(&b->body, slot);
    return slot;
}

static void open_fill(cpuu_unit *u, cpuu_lane *lane, cpuu_batch *b)
{
    (void)lane;
    const cpuu_mailbox *box = u->box;
    const uint64_t *fids = box->folder_ids;
    for (uint16_t i = 0; i < 13; i++) {
        if (!fids[i] || box->plain)
            continue;
        cpuu_rop_long_term_id_from_id(&b->body, 0, fids[i]);
        cpuu_batch_step(b, u, CPUU_ROP_LONG_TERM_ID_FROM_ID, 0, (uint16_t)(WHAT_ID + i), NULL, 0);
    }
    if (box->info.is_public) {
        uint8_t slot = cpuu_batch_open_folder(b, u, fids[1], WHAT_INBOX);
        cpuu_rop_release(&b->body, slot);
        return;
    }
    folder_props(u, b, fids[0], WHAT_ROOT, WHAT_ROOT_PROPS);
    folder_props(u, b, fids[4], WHAT_INBOX, WHAT_INBOX_PROPS);
    uint8_t views = cpuu_batch_open_folder(b, u, fids[8], WHAT_VIEWS);
    cpuu_rop_release(&b->body, views);
    b->expected += 3000;
}

/* A property that came along with migrated content may still name the folder of another mailbox. */
static void set_role(cpuu_mailbox *box, uint32_t role, const uint8_t *eid, uint32_t size)
{
    if (box->has_role[role] || size != CPUU_FOLDER_EID_SIZE ||
        memcmp(eid + 4, box->ids.provider, sizeof(box->ids.provider)) != 0)
        return;
    memcpy(box->role_eid[role], eid, size);
    box->has_role[role] = true;
}

/* Element n of a multi-valued binary; false when it is not there. */
static bool element(const cpuu_value *v, uint32_t n, const uint8_t **data, uint32_t *size)
{
    cpuu_reader r;
    cpuu_reader_init(&r, v->data, v->size);
    uint32_t count = cpuu_read_u32(&r, "count");
    *data = NULL;
    for (uint32_t i = 0; i <= n && i < count; i++) {
        *size = cpuu_read_u32(&r, "size");
        *data = cpuu_read_bytes(&r, *size, "element");
    }
    return count > n && !r.failed;
}

static void take_specials(cpuu_mailbox *box, const cpuu_rop_answer *a)
{
    const uint8_t *data;
    uint32_t size;
    for (size_t i = 0; i < a->n_cells; i++) {
        cpuu_value v = cpuu_cell_value(&a->cells[i], &a->bytes);
        if (!CPUU_FOUND(&v))
            continue;
        if (i < sizeof(special_roles))
            set_role(box, special_roles[i], v.data, v.size);
        else if (i == 6 && element(&v, 4, &data, &size)) /* junk is the fifth */
            set_role(box, CPUU_ROLE_JUNK, data, size);
        else if (i == 7 && element(&v, 3, &data, &size)) /* the folder is the fourth */
            set_role(box, CPUU_ROLE_FREEBUSY, data, size);
    }
}

static void open_answer(cpuu_unit *u, cpuu_lane *lane, const cpuu_step *step,
                        const cpuu_rop_answer *a)
{
    (void)lane;
    cpuu_mailbox *box = u->box;
    if (a->code && a->code != 0x00040380)
        return; /* what is missing shows at the end */
    if (step->what >= WHAT_ID)
        cpuu_ids_learn(&box->ids, (uint16_t)box->folder_ids[step->what - WHAT_ID], a->long_term_id);
    else if (step->what == WHAT_INBOX)
        box->inbox_ok = true;
    else if (step->what == WHAT_VIEWS)
        box->views_ok = true;
    else if (step->what == WHAT_ROOT_PROPS || step->what == WHAT_INBOX_PROPS)
        take_specials(box, a);
}

static void logon_role(cpuu_mailbox *box, uint32_t role, uint64_t fid)
{
    uint8_t eid[CPUU_FOLDER_EID_SIZE];
    if (fid && cpuu_ids_folder_eid(&box->ids, fid, eid))
        set_role(box, role, eid, sizeof(eid));
}

static void open_result(cpuu_mailbox *box)
{
    if (box->info.is_public) {
        logon_role(box, CPUU_ROLE_PUBLIC, box->folder_ids[1]);
        box->info.owner = false;
        if (!box->inbox_ok)
            box->rc = cpuu_fail(&box->error, CPUU_E_ACCESS,
                                "%s: no right to see the public folder tree", box->name);
        return;
    }
    for (size_t i = 0; i < sizeof(logon_roles) / sizeof(logon_roles[0]); i++)
        logon_role(box, logon_roles[i].role, box->folder_ids[logon_roles[i].slot]);
    box->info.owner = box->info.owner || (box->inbox_ok && box->views_ok);
    if (!box->info.owner)
        box->rc = cpuu_fail(&box->error, CPUU_E_ACCESS,
                            "%s: no right to open Inbox and Common Views; full access is needed",
                            box->name);
    else if (!box->has_role[CPUU_ROLE_INBOX])
        box->rc =
            cpuu_fail(&box->error, CPUU_E_FORMAT,
                      "%s: the server does not tell the ids of the special folders", box->name);
}

bool cpuu_box_own_replica(cpuu_mailbox *box, uint64_t id)
{
    return !box->info.is_public && (uint16_t)id == box->replid &&
           cpuu_ids_learn(&box->ids, box->replid, box->replguid);
}

static void open_finish(cpuu_unit *u, cpuu_lane *lane, const cpuu_rop_reply *reply)
{
    (void)lane;
    (void)reply;
    cpuu_mailbox *box = u->box;
    box->known = true;
    cpuu_box_own_replica(box, box->replid);
    open_result(box);
    if (box->rc == CPUU_OK)
        cpuu_ahead_begin(box);
    cpuu_unit_done(u);
}

/* A request that was refused as a whole may have been so for what can be done without. */
static void open_fail(cpuu_unit *u, const cpuu_error *err, bool maybe_done)
{
    cpuu_mailbox *box = u->box;
    (void)maybe_done;
    if (!box->plain && box->rc == CPUU_OK && cpuu_other_way_may_help(err->rc)) {
        box->plain = true;
        queue_open(box);
        return;
    }
    box->error = *err;
    box->rc = err->rc < 0 ? err->rc : CPUU_E_FAILED;
}

static const cpuu_unit_class open_class = {.name = "special folders",
                                           .fill = open_fill,
                                           .answer = open_answer,
                                           .finish = open_finish,
                                           .fail = open_fail};

static void queue_open(cpuu_mailbox *box)
{
    cpuu_unit *u = cpuu_unit_new(box, NULL, &open_class);
    if (u)
        cpuu_unit_queue(u);
    else
        box->mail->fatal = box->rc = cpuu_nomem(&box->error);
}

/* ---- opening -----------------------------------------------------------------------------------
 */

/* <mailboxguid>@<domain> as Exchange 2013 and later write it, from the URL's MailboxId; else the
 * host name. */
static char *server_name(const char *url)
{
    size_t n;
    const char *p = mailbox_id(url, &n);
    if (p)
        return cpuu_strndup(p, n);
    p = url ? strstr(url, "://") : NULL;
    p = p ? p + 3 : "";
    return cpuu_strndup(p, strcspn(p, ":/?#"));
}

static bool build_store_eid(cpuu_mailbox *box)
{
    char *server = server_name(box->endpoint->emsmdb_url);
    bool own =
        box->dn && box->endpoint->account_dn && cpuu_caseeq(box->dn, box->endpoint->account_dn);
    uint32_t type = box->info.is_public ? CPUU_STORE_PUBLIC | CPUU_STORE_HOME_LOGON
                    : own               ? CPUU_STORE_HOME_LOGON | CPUU_STORE_TAKE_OWNERSHIP
                                        : CPUU_STORE_TAKE_OWNERSHIP;
    bool ok = server && cpuu_eid_build_store(&box->store_eid, server, box->dn,
                                             box->info.is_public ? NULL : box->smtp, type);
    cpuu_free(server);
    box->info.store_entryid.data = box->store_eid.data;
    box->info.store_entryid.size = (uint32_t)box->store_eid.size;
    return ok;
}

/* DN and address as whoever opens it knows them. */
static bool name_box(cpuu_mailbox *box, const cpuu_mail_open *open)
{
    char *dn = cpuu_strdup(open->mailbox_dn), *smtp = cpuu_strdup(open->smtp);
    char *name = box->info.is_public
                     ? cpuu_strdup("public folders")
                     : cpuu_asprintf("mailbox %s", open->smtp ? open->smtp : open->mailbox_dn);
    if (!name || (open->mailbox_dn && !dn) || (open->smtp && !smtp)) {
        cpuu_free(dn);
        cpuu_free(smtp);
        cpuu_free(name);
        return false;
    }
    cpuu_free(box->dn);
    cpuu_free(box->smtp);
    cpuu_free(box->name);
    box->info.mailbox_dn = box->dn = dn;
    box->info.smtp = box->smtp = smtp;
    box->name = name;
    cpuu_buf_reset(&box->store_eid);
    return build_store_eid(box);
}

static cpuu_mailbox *box_new(cpuu_mail *mail, const cpuu_mail_open *open)
{
    cpuu_mailbox *box = cpuu_calloc(1, sizeof(*box));
    if (!box)
        return NULL;
    box->mail = mail;
    box->endpoint = open->endpoint;
    box->writable = open->writable;
    box->packed = true;
    box->max_lanes = mail->options.contexts_per_mailbox;
    box->first_lanes = open->contexts < box->max_lanes ? open->contexts : box->max_lanes;
    box->info.is_public = open->mailbox_dn == NULL;
    cpuu_buf_init(&box->store_eid, 8192);
    for (uint32_t i = 0; i < CPUU_MAX_LANES; i++) {
        box->lanes[i].box = box;
        cpuu_buf_init(&box->lanes[i].batch.body, 0x20000);
        cpuu_buf_init(&box->lanes[i].batch.more, 0x40000);
    }
    if (!name_box(box, open)) {
        cpuu_box_free(box);
        return NULL;
    }
    return box;
}

/* One that was begun ahead of time, or by whoever asked for it. A guess that failed decides nothing:
 * it is asked again. */
static cpuu_mailbox *find_begun(cpuu_mail *mail, const cpuu_mail_open *open, bool claimed)
{
    for (cpuu_mailbox *box = mail->boxes; box; box = box->next)
        if (box->claimed <= claimed && box->rc == CPUU_OK && box->endpoint == open->endpoint &&
            box->writable == open->writable &&
            (open->mailbox_dn ? box->dn && cpuu_caseeq(box->dn, open->mailbox_dn) : !box->dn))
            return box;
    return NULL;
}

static cpuu_mailbox *box_begin(cpuu_mail *mail, const cpuu_mail_open *open)
{
    cpuu_mailbox *box = box_new(mail, open);
    if (!box)
        return NULL;
    box->next = mail->boxes;
    mail->boxes = box;
    return box;
}

void cpuu_mail_ahead(cpuu_mail *mail, const cpuu_mail_open *opens, size_t n)
{
    for (size_t i = 0; i < n && mail->fatal == CPUU_OK; i++) {
        cpuu_mailbox *box = find_begun(mail, &opens[i], true);
        if (!box && !(box = box_begin(mail, &opens[i])))
            continue;
        cpuu_ahead_add(box, opens[i].ahead, opens[i].n_ahead);
        if (box->folder_ids[0] && box->rc == CPUU_OK)
            cpuu_ahead_begin(box);
        cpuu_box_schedule(box);
    }
}

static void open_one(cpuu_mail *mail, cpuu_mail_open *open, cpuu_mailbox **made)
{
    open->box = NULL;
    open->rc = CPUU_OK;
    memset(&open->error, 0, sizeof(open->error));
    if (!open->endpoint || !open->endpoint->emsmdb_url || !open->endpoint->account_dn) {
        open->rc = cpuu_fail(&open->error, CPUU_E_UNSUPPORTED,
                             "mailbox %s: no MAPI over HTTP address is known for it",
                             open->smtp         ? open->smtp
                             : open->mailbox_dn ? open->mailbox_dn
                                                : "");
        return;
    }
    cpuu_mailbox *box = find_begun(mail, open, false);
    if (box ? !name_box(box, open) : !(box = box_begin(mail, open))) {
        open->rc = cpuu_nomem(&open->error);
        return;
    }
    cpuu_ahead_add(box, open->ahead, open->n_ahead);
    if (box->folder_ids[0] && box->rc == CPUU_OK)
        cpuu_ahead_begin(box);
    box->claimed = true;
    *made = box;
}

static void open_report(cpuu_mail_open *open, cpuu_mailbox *box)
{
    if (!box)
        return;
    if (box->rc == CPUU_OK && !box->known)
        box->rc = cpuu_fail(&box->error, CPUU_E_NETWORK, "%s: could not be opened", box->name);
    open->rc = box->rc;
    open->error = box->error;
    open->box = box->rc == CPUU_OK ? box : NULL;
}

cpuu_rc cpuu_mail_open_all(cpuu_mail *mail, cpuu_mail_open *opens, size_t n, cpuu_error *err)
{
    cpuu_mailbox **made = cpuu_calloc(n ? n : 1, sizeof(cpuu_mailbox *));
    if (!made)
        return cpuu_nomem(err);
    mail->fatal = CPUU_OK;
    mail->works_left = 0;
    for (size_t i = 0; i < n; i++)
        open_one(mail, &opens[i], &made[i]);
    cpuu_rc rc = cpuu_mail_drive(mail, err);
    for (size_t i = 0; i < n; i++)
        open_report(&opens[i], made[i]);
    cpuu_free(made);
    return rc;
}
