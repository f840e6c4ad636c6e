/*
 * LOOKUP: who is that? All keys of a run go through one session: ResolveNames for everybody (it
 * also finds X500 aliases and brings the rows along), then DNToMId and QueryRows for the DNs that
 * are left.
 *
 * Nothing a server says is believed unchecked: ResolveNames matches parts of names, DNToMId was
 * seen to compare a part of the DN only. A person counts as found when an address of the entry is
 * exactly the one that was asked for; who is asked for by name, when the display name is exactly
 * that.
 *
 * A kind of request that the server refuses costs only those whom no other kind answered for.
 */
#include "mailbox/mapihttp/nspi.h"
#include "mailbox/pool.h"

#include "base/text.h"

#include <string.h>

#define NAMES_PER_REQUEST 160u
#define MIDS_PER_REQUEST  100u
#define MAX_REBINDS       2u

/* A name nobody has: what the server says of it tells what "not found" looks like there. */
#define PROBE "cpuu-no-such-name@name.invalid"

#define TAG_ANR CPUU_TAG(0x360c, CPUU_PT_STRING) /* PidTagAnr */

enum { COL_DN, COL_SMTP, COL_NAME, COL_TYPE, COL_TYPE_EX, COL_PROXIES, N_COLS };
static const uint32_t columns[N_COLS] = {
    CPUU_TAG(0x3003, CPUU_PT_STRING), CPUU_TAG(0x39fe, CPUU_PT_STRING),
    CPUU_TAG(0x3001, CPUU_PT_STRING), CPUU_TAG(0x3900, CPUU_PT_INT32),
    CPUU_TAG(0x3905, CPUU_PT_INT32),  CPUU_TAG(0x800f, CPUU_PT_MULTIPLE | CPUU_PT_STRING)};

#define MATCHES_PER_REQUEST 50u
#define MAX_MATCHES         200u

typedef enum phase { IDLE, BINDING, RESOLVING, MATCHING, MAPPING, READING, LEAVING } phase;

typedef struct wanted {
    cpuu_mail_op *op;
    const char *key;
    cpuu_person *person;
    uint32_t mid;
    bool unclear; /* the address is a part of others: which of them is to be asked */
    bool answered; /* so that "not found" is known, not guessed */
} wanted;

struct cpuu_directory {
    cpuu_directory *next;
    cpuu_mail *mail;
    const cpuu_endpoint *endpoint;
    cpuu_session *session;
    const char *url; /* of the session; the endpoint's may be another by now */
    cpuu_call call;
    cpuu_buf body;
    cpuu_nspi_answer answer;
    wanted *all;
    size_t n_all, cap;
    size_t next_name, next_dn;        /* how far each phase has come */
    size_t chosen[NAMES_PER_REQUEST]; /* keys of the request under way */
    size_t n_chosen;
    phase phase;
    unsigned rebinds;
    cpuu_error refused; /* the first request that the server would not answer */
};

static void step(cpuu_directory *d);

/* ---- one entry ---------------------------------------------------------------------------------
 */

typedef struct text {
    const char *s;
    size_t n;
} text;

static text cell_text(const cpuu_nspi_answer *a, size_t row, unsigned col)
{
    const cpuu_cell *c = &a->cells[row * N_COLS + col];
    text t = {NULL, 0};
    bool is_text = CPUU_TAG_TYPE(c->tag) == CPUU_PT_STRING ||
                   CPUU_TAG_TYPE(c->tag) == CPUU_PT_STRING8; /* UTF-8 by now, both */
    if (is_text && c->size) {
        t.s = (const char *)a->bytes.data + c->offset;
        t.n = c->size;
    }
    return t;
}

static uint32_t cell_number(const cpuu_nspi_answer *a, size_t row, unsigned col)
{
    const cpuu_cell *c = &a->cells[row * N_COLS + col];
    return CPUU_TAG_TYPE(c->tag) == CPUU_PT_INT32 ? cpuu_le32(a->bytes.data + c->offset) : 0;
}

static bool text_is(text t, const char *s)
{
    return t.s && strlen(s) == t.n && cpuu_ncasecmp(t.s, s, t.n) == 0;
}

/* A proxy address: "SMTP:a@b", "X500:/o=...", and as seen "SMTP:X500:/o=...". */
static bool proxy_is(text proxy, const char *key)
{
    size_t n = strlen(key);
    if (proxy.n < n || cpuu_ncasecmp(proxy.s + proxy.n - n, key, n) != 0)
        return false;
    if (proxy.n == n)
        return true;
    if (proxy.s[proxy.n - n - 1] != ':')
        return false;
    return key[0] == '/' || (proxy.n == n + 5 && cpuu_ncasecmp(proxy.s, "smtp:", 5) == 0);
}

/* Proxy address number i; false behind the last one. */
static bool proxy_at(const cpuu_nspi_answer *a, size_t row, uint32_t i, text *out)
{
    const cpuu_cell *c = &a->cells[row * N_COLS + COL_PROXIES];
    uint32_t type = CPUU_TAG_TYPE(c->tag);
    cpuu_reader r;
    if (type != (CPUU_PT_MULTIPLE | CPUU_PT_STRING) && type != (CPUU_PT_MULTIPLE | CPUU_PT_STRING8))
        return false;
    cpuu_reader_init(&r, a->bytes.data + c->offset, c->size);
    uint32_t n = cpuu_read_u32(&r, "count");
    for (uint32_t k = 0; k <= i && k < n; k++) {
        uint32_t size = cpuu_read_u32(&r, "size");
        out->s = (const char *)cpuu_read_bytes(&r, size, "proxy");
        out->n = size;
    }
    return i < n && !r.failed;
}

static bool any_proxy_is(const cpuu_nspi_answer *a, size_t row, const char *key)
{
    text t = {NULL, 0};
    for (uint32_t i = 0; proxy_at(a, row, i, &t); i++)
        if (proxy_is(t, key))
            return true;
    return false;
}

/* PidTagSmtpAddress; an entry that has none says it among its proxy addresses, the primary one with
 * "SMTP:" in capitals ([MS-OXOABK] PidTagAddressBookProxyAddresses). */
static text smtp_of(const cpuu_nspi_answer *a, size_t row)
{
    text smtp = cell_text(a, row, COL_SMTP), t = {NULL, 0};
    for (uint32_t i = 0; !smtp.s && proxy_at(a, row, i, &t); i++)
        if (t.n > 5 && memcmp(t.s, "SMTP:", 5) == 0 && memchr(t.s + 5, '@', t.n - 5)) {
            smtp.s = t.s + 5;
            smtp.n = t.n - 5;
        }
    return smtp;
}

static bool is_him(const cpuu_nspi_answer *a, size_t row, const char *key)
{
    unsigned col = key[0] == '/' ? COL_DN : strchr(key, '@') ? COL_SMTP : COL_NAME;
    return text_is(cell_text(a, row, col), key) || (col != COL_NAME && any_proxy_is(a, row, key));
}

/* PidTagDisplayTypeEx: bit 31 remote, low byte 6 a remote user or contact; without it the display
 * type alone ([MS-OXOABK] 2.2.3.12, and measured). */
static bool lives_here(uint32_t type, uint32_t type_ex)
{
    if (type_ex)
        return !(type_ex & 0x80000000u) && (type_ex & 0xffu) != 6;
    return type != 6;
}

static const char *keep(cpuu_mail_op *op, text t, bool *ok)
{
    char *copy = t.s ? cpuu_arena_alloc(&op->rows.arena, t.n + 1) : NULL;
    if (t.s && !copy)
        *ok = false;
    if (copy)
        memcpy(copy, t.s, t.n);
    return copy;
}

static bool take(const cpuu_nspi_answer *a, size_t row, wanted *w)
{
    bool ok = true;
    cpuu_person *p = w->person;
    p->dn = keep(w->op, cell_text(a, row, COL_DN), &ok);
    p->smtp = keep(w->op, smtp_of(a, row), &ok);
    p->display_name = keep(w->op, cell_text(a, row, COL_NAME), &ok);
    p->display_type = cell_number(a, row, COL_TYPE);
    p->display_type_ex = cell_number(a, row, COL_TYPE_EX);
    p->is_local_mailbox = lives_here(p->display_type, p->display_type_ex);
    p->ambiguous = false;
    p->found = ok;
    return ok;
}

/* ---- answers -----------------------------------------------------------------------------------
 */

static bool good_columns(const cpuu_nspi_answer *a)
{
    if (a->n_rows && a->n_columns != N_COLS)
        return false;
    for (size_t i = 0; i < a->n_columns; i++)
        if (CPUU_TAG_ID(a->columns[i]) != CPUU_TAG_ID(columns[i]))
            return false;
    return true;
}

/* One answer per name; a row for each that was resolved, in order. The last name is the probe. */
static bool resolved(cpuu_directory *d)
{
    const cpuu_nspi_answer *a = &d->answer;
    size_t row = 0;
    if (a->n_mids != d->n_chosen + 1 || !good_columns(a))
        return false;
    bool telling = a->mids[d->n_chosen] == CPUU_NSPI_UNRESOLVED;
    for (size_t i = 0; i < a->n_mids; i++) {
        bool has_row = a->mids[i] == CPUU_NSPI_RESOLVED;
        if (has_row && row >= a->n_rows)
            return false;
        if (i < d->n_chosen) {
            wanted *w = &d->all[d->chosen[i]];
            if (has_row && is_him(a, row, w->key)) {
                if (!take(a, row, w))
                    d->mail->fatal = CPUU_E_NOMEM;
            } else if (a->mids[i] == CPUU_NSPI_AMBIGUOUS && !w->person->found) {
                w->person->ambiguous = telling;
                w->unclear = strchr(w->key, '@') != NULL;
            }
        }
        row += has_row;
    }
    return true;
}

/* Entries a part of which is what was asked for: whose address is exactly that? */
static bool matched(cpuu_directory *d)
{
    const cpuu_nspi_answer *a = &d->answer;
    if (!good_columns(a))
        return false;
    for (size_t row = 0; row < a->n_rows; row++)
        for (size_t i = 0; i < d->n_chosen; i++) {
            wanted *w = &d->all[d->chosen[i]];
            if (!w->person->found && is_him(a, row, w->key) && !take(a, row, w))
                d->mail->fatal = CPUU_E_NOMEM;
        }
    return true;
}

static bool mapped(cpuu_directory *d)
{
    const cpuu_nspi_answer *a = &d->answer;
    if (a->n_mids != d->n_chosen)
        return false;
    for (size_t i = 0; i < d->n_chosen; i++)
        d->all[d->chosen[i]].mid = a->mids[i];
    return true;
}

static bool read_back(cpuu_directory *d)
{
    const cpuu_nspi_answer *a = &d->answer;
    if (a->n_rows != d->n_chosen || !good_columns(a))
        return false;
    for (size_t i = 0; i < d->n_chosen; i++) {
        wanted *w = &d->all[d->chosen[i]];
        w->mid = 0;
        if (is_him(a, i, w->key) && !take(a, i, w))
            d->mail->fatal = CPUU_E_NOMEM;
    }
    return true;
}

/* ---- requests ----------------------------------------------------------------------------------
 */

static void done(cpuu_call *call);

static void call_begin(cpuu_directory *d, phase next)
{
    cpuu_call_clear(&d->call);
    memset(&d->call, 0, sizeof(d->call));
    d->call.body = d->body.data;
    d->call.body_size = d->body.size;
    d->call.on_done = done;
    d->call.user = d;
    d->phase = next;
}

static void fail_all(cpuu_directory *d, const cpuu_error *err)
{
    for (size_t i = 0; i < d->n_all; i++) {
        cpuu_mail_op *op = d->all[i].op;
        if (op->rc < 0)
            continue;
        op->error = *err;
        op->rc = err->rc < 0 ? err->rc : CPUU_E_FAILED;
    }
    d->n_all = d->n_chosen = 0;
    if (!d->session || !cpuu_session_busy(d->session)) /* else it is being bound */
        d->phase = IDLE;
}

static void bind(cpuu_directory *d)
{
    static const cpuu_nspi_stat stat = CPUU_NSPI_STAT_INIT;
    cpuu_error err = CPUU_ERROR_INIT;
    if (d->session && d->url != d->endpoint->nspi_url) {
        cpuu_session_free(d->session);
        d->session = NULL;
    }
    if (!d->session) {
        d->url = d->endpoint->nspi_url;
        cpuu_session_options o = {.kind = CPUU_SESSION_DIRECTORY,
                                  .url = d->endpoint->nspi_url,
                                  .user_dn = d->endpoint->account_dn,
                                  .name = "address book",
                                  .credentials = d->endpoint->credentials,
                                  .number = ++d->mail->contexts};
        memcpy(o.client_guid, d->mail->client_guid, sizeof(o.client_guid));
        if (cpuu_session_new(d->mail->http, &o, d->mail->log, &d->session, &err) != CPUU_OK) {
            fail_all(d, &err);
            return;
        }
    }
    cpuu_nspi_bind(&d->body, &stat);
    call_begin(d, BINDING);
    cpuu_session_connect(d->session, &d->call);
}

/* "X500:/o=...": the form an alias has in the list of proxy addresses. NULL: out of memory. */
static const char *as_alias(const wanted *w)
{
    size_t n = strlen(w->key);
    char *name = cpuu_arena_alloc(&w->op->rows.arena, n + 6);
    if (name) {
        memcpy(name, "X500:", 5);
        memcpy(name + 5, w->key, n);
    }
    return name;
}

/* A DN is asked for as it is and as an alias; whichever is known brings its row. */
static bool ask_names(cpuu_directory *d)
{
    static const cpuu_nspi_stat stat = CPUU_NSPI_STAT_INIT;
    const char *names[NAMES_PER_REQUEST + 1];
    for (; d->next_name < d->n_all && d->n_chosen + 2 <= NAMES_PER_REQUEST; d->next_name++) {
        const wanted *w = &d->all[d->next_name];
        const char *alias = w->key[0] == '/' && !w->person->found ? as_alias(w) : NULL;
        if (w->person->found)
            continue;
        names[d->n_chosen] = w->key;
        d->chosen[d->n_chosen++] = d->next_name;
        if (w->key[0] != '/')
            continue;
        if (!alias)
            d->mail->fatal = CPUU_E_NOMEM; /* better no answer than a wrong "not found" */
        names[d->n_chosen] = alias ? alias : w->key;
        d->chosen[d->n_chosen++] = d->next_name;
    }
    if (d->n_chosen == 0)
        return false;
    names[d->n_chosen] = PROBE;
    cpuu_nspi_resolve_names(&d->body, &stat, columns, N_COLS, names, (uint32_t)d->n_chosen + 1);
    call_begin(d, RESOLVING);
    cpuu_session_request(d->session, "ResolveNames", &d->call);
    return true;
}

static void add_match(cpuu_directory *d, cpuu_value *any, size_t who, const char *key)
{
    any[d->n_chosen] = (cpuu_value){TAG_ANR, (uint32_t)strlen(key), (const uint8_t *)key};
    d->chosen[d->n_chosen++] = who;
}

/* A server takes an address for a part of longer ones: ResolveNames says "ambiguous" although
 * somebody has exactly that one. GetMatches brings all of them ([MS-OXNSPI] 3.1.4.1.10). It also
 * serves where there is no ResolveNames. */
static bool ask_matches(cpuu_directory *d)
{
    static const cpuu_nspi_stat stat = CPUU_NSPI_STAT_INIT;
    cpuu_value any[MATCHES_PER_REQUEST];
    for (size_t i = 0; i < d->n_all && d->n_chosen + 2 <= MATCHES_PER_REQUEST; i++) {
        wanted *w = &d->all[i];
        if (!w->unclear || w->person->found)
            continue;
        w->unclear = false;
        add_match(d, any, i, w->key);
        const char *alias = w->key[0] == '/' ? as_alias(w) : NULL;
        if (alias)
            add_match(d, any, i, alias);
        else if (w->key[0] == '/')
            d->mail->fatal = CPUU_E_NOMEM;
    }
    if (d->n_chosen == 0)
        return false;
    cpuu_nspi_get_matches(&d->body, &stat, any, (uint32_t)d->n_chosen, MAX_MATCHES, columns, N_COLS);
    call_begin(d, MATCHING);
    cpuu_session_request(d->session, "GetMatches", &d->call);
    return true;
}

static bool ask_rows(cpuu_directory *d)
{
    static const cpuu_nspi_stat stat = CPUU_NSPI_STAT_INIT;
    uint32_t mids[MIDS_PER_REQUEST];
    for (size_t i = 0; i < d->n_all && d->n_chosen < MIDS_PER_REQUEST; i++)
        if (d->all[i].mid && !d->all[i].person->found) {
            mids[d->n_chosen] = d->all[i].mid;
            d->chosen[d->n_chosen++] = i;
        }
    if (d->n_chosen == 0)
        return false;
    cpuu_nspi_query_rows(&d->body, &stat, mids, (uint32_t)d->n_chosen, (uint32_t)d->n_chosen,
                         columns, N_COLS);
    call_begin(d, READING);
    cpuu_session_request(d->session, "QueryRows", &d->call);
    return true;
}

static bool ask_mids(cpuu_directory *d)
{
    const char *dns[NAMES_PER_REQUEST];
    for (; d->next_dn < d->n_all && d->n_chosen < NAMES_PER_REQUEST; d->next_dn++) {
        const wanted *w = &d->all[d->next_dn];
        if (w->person->found || w->key[0] != '/')
            continue;
        dns[d->n_chosen] = w->key;
        d->chosen[d->n_chosen++] = d->next_dn;
    }
    if (d->n_chosen == 0)
        return false;
    cpuu_nspi_dn_to_mid(&d->body, dns, (uint32_t)d->n_chosen);
    call_begin(d, MAPPING);
    cpuu_session_request(d->session, "DNToMId", &d->call);
    return true;
}

/* Nobody is said to be unknown who was not asked about. */
static void finish(cpuu_directory *d)
{
    for (size_t i = 0; i < d->n_all; i++) {
        const wanted *w = &d->all[i];
        if (w->answered || w->person->found || w->op->rc < 0)
            continue;
        w->op->error = d->refused;
        w->op->rc = d->refused.rc < 0 ? d->refused.rc : CPUU_E_FAILED;
    }
    d->n_all = 0;
    d->phase = IDLE;
}

/* The next request, or the end. */
static void step(cpuu_directory *d)
{
    cpuu_buf_reset(&d->body);
    d->n_chosen = 0;
    if (d->n_all == 0) {
        d->phase = IDLE;
        return;
    }
    if (!d->session || !cpuu_session_connected(d->session)) {
        bind(d);
        return;
    }
    if (!ask_names(d) && !ask_matches(d) && !ask_rows(d) && !ask_mids(d))
        finish(d);
}

static bool understand(cpuu_directory *d, const cpuu_call *call, cpuu_error *err)
{
    static const char *const types[] = {"",        "Bind",    "ResolveNames", "GetMatches",
                                        "DNToMId", "QueryRows"};
    cpuu_reader r;
    bool nomem, ok;
    cpuu_reader_init(&r, call->reply, call->reply_size);
    if (!cpuu_nspi_decode(&r, types[d->phase], &d->answer, &nomem)) {
        if (nomem)
            d->mail->fatal = cpuu_nomem(err);
        else
            cpuu_fail(err, CPUU_E_FORMAT,
                      "address book: the answer cannot be read: %s at byte %u %s", r.error.field,
                      r.error.offset, r.error.what);
        return false;
    }
    ok = d->phase == RESOLVING ? resolved(d)
         : d->phase == MATCHING ? matched(d)
         : d->phase == MAPPING ? mapped(d)
         : d->phase == READING ? read_back(d)
                               : true;
    if (!ok)
        cpuu_fail(err, CPUU_E_FORMAT, "address book: the answer does not fit the question");
    for (size_t i = 0; ok && i < d->n_chosen; i++) {
        wanted *w = &d->all[d->chosen[i]];
        w->answered = w->answered || d->phase != MAPPING || !w->mid;
    }
    return ok;
}

/* This server does not answer such a request: it is not sent again, and who is left is asked about
 * in the other ways. */
static void other_way(cpuu_directory *d, const cpuu_error *err)
{
    if (d->refused.rc >= 0)
        d->refused = *err;
    if (d->phase == RESOLVING) {
        for (size_t i = d->chosen[0]; i < d->n_all; i++)
            d->all[i].unclear = !d->all[i].person->found;
        d->next_name = d->n_all;
    } else if (d->phase == MAPPING) {
        d->next_dn = d->n_all;
    } else if (d->phase == READING) {
        for (size_t i = 0; i < d->n_chosen; i++)
            d->all[d->chosen[i]].mid = 0;
    }
    step(d);
}

/* Keys of the request under way are asked again. */
static void back_up(cpuu_directory *d)
{
    if (d->n_chosen && d->phase == RESOLVING)
        d->next_name = d->chosen[0];
    else if (d->n_chosen && d->phase == MAPPING)
        d->next_dn = d->chosen[0];
}

static void done(cpuu_call *call)
{
    cpuu_directory *d = call->user;
    cpuu_error err = call->error;
    if (d->phase == LEAVING) {
        d->phase = IDLE;
    } else if (call->rc >= 0) {
        if (understand(d, call, &err))
            step(d);
        else if (d->phase != BINDING && !d->mail->fatal)
            other_way(d, &err);
        else
            fail_all(d, &err);
    } else if (call->rc == CPUU_E_STOP || call->rc == CPUU_E_NOMEM) {
        d->mail->fatal = call->rc;
        fail_all(d, &err);
    } else if (d->phase == BINDING || call->rc == CPUU_E_AUTH) {
        fail_all(d, &err);
    } else if (d->phase != MATCHING && d->rebinds < MAX_REBINDS) {
        d->rebinds++;
        back_up(d);
        step(d);
    } else {
        other_way(d, &err);
    }
}

/* ---- for the pool ------------------------------------------------------------------------------
 */

cpuu_rc cpuu_mail_directory(cpuu_mail *mail, const cpuu_endpoint *endpoint, cpuu_directory **out,
                            cpuu_error *err)
{
    if (!endpoint || !endpoint->nspi_url)
        return cpuu_fail(err, CPUU_E_UNSUPPORTED,
                         "no address-book address is known for this organisation");
    cpuu_directory *d = cpuu_calloc(1, sizeof(*d));
    if (!d)
        return cpuu_nomem(err);
    d->mail = mail;
    d->endpoint = endpoint;
    cpuu_buf_init(&d->body, 1u << 20);
    cpuu_nspi_answer_init(&d->answer);
    d->next = mail->directories;
    mail->directories = d;
    *out = d;
    return CPUU_OK;
}

static bool add_keys(cpuu_directory *d, cpuu_mail_op *op)
{
    for (uint32_t i = 0; i < op->n_keys; i++) {
        memset(&op->people[i], 0, sizeof(op->people[i]));
        if (!op->keys[i] || !op->keys[i][0])
            continue;
        if (!cpuu_grow(&d->all, &d->cap, d->n_all, sizeof(*d->all)))
            return false;
        wanted w = {.op = op, .key = op->keys[i], .person = &op->people[i]};
        d->all[d->n_all++] = w;
    }
    return true;
}

void cpuu_directory_start(cpuu_directory *d, cpuu_mail_op **ops, size_t n)
{
    d->n_all = d->next_name = d->next_dn = 0;
    d->rebinds = 0;
    d->refused = (cpuu_error)CPUU_ERROR_INIT;
    for (size_t i = 0; i < n; i++)
        if (!add_keys(d, ops[i])) {
            cpuu_error err = CPUU_ERROR_INIT;
            d->mail->fatal = ops[i]->rc = cpuu_nomem(&err);
            ops[i]->error = err;
            fail_all(d, &err);
            return;
        }
    if (d->phase == IDLE) /* else it is being bound */
        step(d);
}

bool cpuu_directory_idle(const cpuu_directory *d)
{
    return d->phase == IDLE || (d->phase == BINDING && d->n_all == 0);
}

void cpuu_directory_finish(cpuu_directory *d, const cpuu_error *err)
{
    fail_all(d, err);
}

void cpuu_directory_leave(cpuu_directory *d)
{
    if (!d->session || !cpuu_session_connected(d->session) || cpuu_session_busy(d->session))
        return;
    cpuu_buf_reset(&d->body);
    cpuu_nspi_unbind(&d->body);
    call_begin(d, LEAVING);
    cpuu_session_disconnect(d->session, &d->call);
}

cpuu_call *cpuu_directory_call(cpuu_directory *d)
{
    return &d->call;
}

/* Ready for the first question, which will not have to wait for the Bind. */
void cpuu_directory_ahead(cpuu_directory *d)
{
    if (d->phase == IDLE && !d->session)
        bind(d);
}

cpuu_directory *cpuu_directory_next(const cpuu_directory *d)
{
    return d->next;
}

void cpuu_directory_free(cpuu_directory *d)
{
    cpuu_session_free(d->session);
    cpuu_call_clear(&d->call);
    cpuu_buf_free(&d->body);
    cpuu_nspi_answer_free(&d->answer);
    cpuu_free(d->all);
    cpuu_free(d);
}
