/*
 * LOOKUP: who is that? ResolveNames for everybody (it also finds X500 aliases and brings the rows
 * along), then DNToMId and QueryRows for the DNs that are left. Requests of one session follow one
 * another, so that many keys go through several sessions side by side.
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

#define NAMES_PER_REQUEST 320u /* [MS-OXNSPI] 2.2.6 allows 100,000; each is a search in a directory */
#define MIDS_PER_REQUEST  100u
#define FEWEST_NAMES      20u  /* what no server refuses for its length */
#define MAX_TALKS         4u
#define BODY_MAX          (1u << 20)
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
    bool named, mapped; /* ResolveNames, DNToMId was sent for it */
} wanted;

typedef struct talk { /* one session */
    cpuu_directory *d;
    cpuu_session *session;
    const char *url; /* of the session; the endpoint's may be another by now */
    cpuu_call call;
    cpuu_buf body;
    cpuu_nspi_answer answer;
    size_t chosen[NAMES_PER_REQUEST]; /* keys of the request under way */
    size_t n_chosen;
    phase phase;
    unsigned rebinds;
    bool dead; /* one too many for the server */
} talk;

struct cpuu_directory {
    cpuu_directory *next;
    cpuu_mail *mail;
    const cpuu_endpoint *endpoint;
    talk talks[MAX_TALKS];
    wanted *all;
    size_t n_all, cap;
    size_t next_name, next_dn; /* how far each phase has come */
    size_t most;               /* names in a request */
    cpuu_error refused;        /* the first request that the server would not answer */
};

static void step(talk *t);

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
static bool resolved(talk *t)
{
    cpuu_directory *d = t->d;
    const cpuu_nspi_answer *a = &t->answer;
    size_t row = 0;
    if (a->n_mids != t->n_chosen + 1 || !good_columns(a))
        return false;
    bool telling = a->mids[t->n_chosen] == CPUU_NSPI_UNRESOLVED;
    for (size_t i = 0; i < a->n_mids; i++) {
        bool has_row = a->mids[i] == CPUU_NSPI_RESOLVED;
        if (has_row && row >= a->n_rows)
            return false;
        if (i < t->n_chosen) {
            wanted *w = &d->all[t->chosen[i]];
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
static bool matched(talk *t)
{
    cpuu_directory *d = t->d;
    const cpuu_nspi_answer *a = &t->answer;
    if (!good_columns(a))
        return false;
    for (size_t row = 0; row < a->n_rows; row++)
        for (size_t i = 0; i < t->n_chosen; i++) {
            wanted *w = &d->all[t->chosen[i]];
            if (!w->person->found && is_him(a, row, w->key) && !take(a, row, w))
                d->mail->fatal = CPUU_E_NOMEM;
        }
    return true;
}

static bool mapped(talk *t)
{
    cpuu_directory *d = t->d;
    const cpuu_nspi_answer *a = &t->answer;
    if (a->n_mids != t->n_chosen)
        return false;
    for (size_t i = 0; i < t->n_chosen; i++)
        d->all[t->chosen[i]].mid = a->mids[i];
    return true;
}

static bool read_back(talk *t)
{
    cpuu_directory *d = t->d;
    const cpuu_nspi_answer *a = &t->answer;
    if (a->n_rows != t->n_chosen || !good_columns(a))
        return false;
    for (size_t i = 0; i < t->n_chosen; i++) {
        wanted *w = &d->all[t->chosen[i]];
        if (is_him(a, i, w->key) && !take(a, i, w))
            d->mail->fatal = CPUU_E_NOMEM;
    }
    return true;
}

/* ---- requests ----------------------------------------------------------------------------------
 */

static void done(cpuu_call *call);

static void call_begin(talk *t, phase next)
{
    cpuu_call_clear(&t->call);
    memset(&t->call, 0, sizeof(t->call));
    t->call.body = t->body.data;
    t->call.body_size = t->body.size;
    t->call.on_done = done;
    t->call.user = t;
    t->phase = next;
}

/* Answers that still come find nobody waiting. */
static void fail_all(cpuu_directory *d, const cpuu_error *err)
{
    for (size_t i = 0; i < d->n_all; i++) {
        cpuu_mail_op *op = d->all[i].op;
        if (op->rc < 0)
            continue;
        op->error = *err;
        op->rc = err->rc < 0 ? err->rc : CPUU_E_FAILED;
    }
    d->n_all = 0;
    for (talk *t = d->talks; t < d->talks + MAX_TALKS; t++) {
        t->n_chosen = 0;
        if (!t->session || !cpuu_session_busy(t->session)) /* else it is being bound */
            t->phase = IDLE;
    }
}

static void bind(talk *t)
{
    static const cpuu_nspi_stat stat = CPUU_NSPI_STAT_INIT;
    cpuu_directory *d = t->d;
    cpuu_error err = CPUU_ERROR_INIT;
    if (t->session && t->url != d->endpoint->nspi_url) {
        cpuu_session_free(t->session);
        t->session = NULL;
    }
    if (!t->session) {
        t->url = d->endpoint->nspi_url;
        cpuu_session_options o = {.kind = CPUU_SESSION_DIRECTORY,
                                  .url = d->endpoint->nspi_url,
                                  .user_dn = d->endpoint->account_dn,
                                  .name = "address book",
                                  .credentials = d->endpoint->credentials,
                                  .number = ++d->mail->contexts};
        memcpy(o.client_guid, d->mail->client_guid, sizeof(o.client_guid));
        if (cpuu_session_new(d->mail->http, &o, d->mail->log, &t->session, &err) != CPUU_OK) {
            fail_all(d, &err);
            return;
        }
    }
    cpuu_buf_reset(&t->body);
    cpuu_nspi_bind(&t->body, &stat);
    call_begin(t, BINDING);
    cpuu_session_connect(t->session, &t->call);
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

/* Adds what a key is asked as: a DN as it is and as an alias; whichever is known brings its row. */
static void add_name(talk *t, size_t index, const char **names)
{
    wanted *w = &t->d->all[index];
    names[t->n_chosen] = w->key;
    t->chosen[t->n_chosen++] = index;
    w->named = true;
    if (w->key[0] != '/')
        return;
    const char *alias = as_alias(w);
    if (!alias)
        t->d->mail->fatal = CPUU_E_NOMEM; /* better no answer than a wrong "not found" */
    names[t->n_chosen] = alias ? alias : w->key;
    t->chosen[t->n_chosen++] = index;
}

static bool ask_names(talk *t)
{
    static const cpuu_nspi_stat stat = CPUU_NSPI_STAT_INIT;
    cpuu_directory *d = t->d;
    const char *names[NAMES_PER_REQUEST + 1];
    for (; d->next_name < d->n_all && t->n_chosen + 2 <= d->most; d->next_name++)
        if (!d->all[d->next_name].named && !d->all[d->next_name].person->found)
            add_name(t, d->next_name, names);
    if (t->n_chosen == 0)
        return false;
    names[t->n_chosen] = PROBE;
    cpuu_nspi_resolve_names(&t->body, &stat, columns, N_COLS, names, (uint32_t)t->n_chosen + 1);
    call_begin(t, RESOLVING);
    cpuu_session_request(t->session, "ResolveNames", &t->call);
    return true;
}

static void add_match(talk *t, cpuu_value *any, size_t who, const char *key)
{
    any[t->n_chosen] = (cpuu_value){TAG_ANR, (uint32_t)strlen(key), (const uint8_t *)key};
    t->chosen[t->n_chosen++] = who;
}

/* A server takes an address for a part of longer ones: ResolveNames says "ambiguous" although
 * somebody has exactly that one. GetMatches brings all of them ([MS-OXNSPI] 3.1.4.1.10). It also
 * serves where there is no ResolveNames. */
static bool ask_matches(talk *t)
{
    cpuu_directory *d = t->d;
    static const cpuu_nspi_stat stat = CPUU_NSPI_STAT_INIT;
    cpuu_value any[MATCHES_PER_REQUEST];
    for (size_t i = 0; i < d->n_all && t->n_chosen + 2 <= MATCHES_PER_REQUEST; i++) {
        wanted *w = &d->all[i];
        if (!w->unclear || w->person->found)
            continue;
        w->unclear = false;
        add_match(t, any, i, w->key);
        const char *alias = w->key[0] == '/' ? as_alias(w) : NULL;
        if (alias)
            add_match(t, any, i, alias);
        else if (w->key[0] == '/')
            d->mail->fatal = CPUU_E_NOMEM;
    }
    if (t->n_chosen == 0)
        return false;
    cpuu_nspi_get_matches(&t->body, &stat, any, (uint32_t)t->n_chosen, MAX_MATCHES, columns, N_COLS);
    call_begin(t, MATCHING);
    cpuu_session_request(t->session, "GetMatches", &t->call);
    return true;
}

static bool ask_rows(talk *t)
{
    cpuu_directory *d = t->d;
    static const cpuu_nspi_stat stat = CPUU_NSPI_STAT_INIT;
    uint32_t mids[MIDS_PER_REQUEST];
    for (size_t i = 0; i < d->n_all && t->n_chosen < MIDS_PER_REQUEST; i++)
        if (d->all[i].mid && !d->all[i].person->found) {
            mids[t->n_chosen] = d->all[i].mid;
            d->all[i].mid = 0;
            t->chosen[t->n_chosen++] = i;
        }
    if (t->n_chosen == 0)
        return false;
    cpuu_nspi_query_rows(&t->body, &stat, mids, (uint32_t)t->n_chosen, (uint32_t)t->n_chosen,
                         columns, N_COLS);
    call_begin(t, READING);
    cpuu_session_request(t->session, "QueryRows", &t->call);
    return true;
}

static bool ask_mids(talk *t)
{
    cpuu_directory *d = t->d;
    const char *dns[NAMES_PER_REQUEST];
    for (; d->next_dn < d->n_all && t->n_chosen < d->most; d->next_dn++) {
        wanted *w = &d->all[d->next_dn];
        if (w->mapped || w->person->found || w->key[0] != '/')
            continue;
        w->mapped = true;
        dns[t->n_chosen] = w->key;
        t->chosen[t->n_chosen++] = d->next_dn;
    }
    if (t->n_chosen == 0)
        return false;
    cpuu_nspi_dn_to_mid(&t->body, dns, (uint32_t)t->n_chosen);
    call_begin(t, MAPPING);
    cpuu_session_request(t->session, "DNToMId", &t->call);
    return true;
}

static bool any_in(const cpuu_directory *d, phase first, phase last)
{
    for (const talk *t = d->talks; t < d->talks + MAX_TALKS; t++)
        if (t->phase >= first && t->phase <= last)
            return true;
    return false;
}

static void clear_talk(talk *t)
{
    cpuu_call_clear(&t->call);
    cpuu_buf_free(&t->body);
    cpuu_buf_init(&t->body, BODY_MAX);
    cpuu_nspi_answer_free(&t->answer);
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
    for (talk *t = d->talks; t < d->talks + MAX_TALKS; t++)
        if (t->phase == IDLE) /* large while there was much to ask, and rarely needed again */
            clear_talk(t);
}

/* The next request; nothing while others have to bring their answers first; or the end. */
static void step(talk *t)
{
    cpuu_directory *d = t->d;
    cpuu_buf_reset(&t->body);
    t->n_chosen = 0;
    t->phase = IDLE;
    if (d->n_all == 0 || t->dead)
        return;
    if (!t->session || !cpuu_session_connected(t->session)) {
        bind(t);
        return;
    }
    if (!ask_names(t) && !ask_matches(t) && !any_in(d, RESOLVING, MATCHING) && !ask_rows(t) &&
        !ask_mids(t) && !any_in(d, MAPPING, READING))
        finish(d);
}

/* What an answer has made known may be work for those that had none. */
static void wake(cpuu_directory *d)
{
    for (talk *t = d->talks; t < d->talks + MAX_TALKS; t++)
        if (d->n_all && t->phase == IDLE && t->session && cpuu_session_connected(t->session))
            step(t);
}

static bool understand(talk *t, const cpuu_call *call, cpuu_error *err)
{
    cpuu_directory *d = t->d;
    static const char *const types[] = {"",        "Bind",    "ResolveNames", "GetMatches",
                                        "DNToMId", "QueryRows"};
    cpuu_reader r;
    bool nomem, ok;
    cpuu_reader_init(&r, call->reply, call->reply_size);
    if (!cpuu_nspi_decode(&r, types[t->phase], &t->answer, &nomem)) {
        if (nomem)
            d->mail->fatal = cpuu_nomem(err);
        else
            cpuu_fail(err, CPUU_E_FORMAT,
                      "address book: the answer cannot be read: %s at byte %u %s", r.error.field,
                      r.error.offset, r.error.what);
        return false;
    }
    ok = t->phase == RESOLVING ? resolved(t)
         : t->phase == MATCHING ? matched(t)
         : t->phase == MAPPING ? mapped(t)
         : t->phase == READING ? read_back(t)
                               : true;
    if (!ok)
        cpuu_fail(err, CPUU_E_FORMAT, "address book: the answer does not fit the question");
    for (size_t i = 0; ok && i < t->n_chosen; i++) {
        wanted *w = &d->all[t->chosen[i]];
        w->answered = w->answered || t->phase != MAPPING || !w->mid;
    }
    return ok;
}

/* Keys of the request under way are asked again. */
static void back_up(talk *t)
{
    cpuu_directory *d = t->d;
    for (size_t i = 0; i < t->n_chosen; i++) {
        wanted *w = &d->all[t->chosen[i]];
        if (t->phase == RESOLVING)
            w->named = false;
        else if (t->phase == MAPPING || t->phase == READING)
            w->mapped = false;
    }
    if (t->n_chosen && t->phase == RESOLVING && t->chosen[0] < d->next_name)
        d->next_name = t->chosen[0];
    else if (t->n_chosen && t->phase != RESOLVING && t->chosen[0] < d->next_dn)
        d->next_dn = t->chosen[0];
}

/* A request that was refused may have been too long. */
static bool ask_for_fewer(talk *t, const cpuu_call *call)
{
    cpuu_directory *d = t->d;
    if (call->end != CPUU_CALL_ANSWERED || d->most <= FEWEST_NAMES || t->n_chosen <= FEWEST_NAMES)
        return false;
    d->most = d->most / 4 > FEWEST_NAMES ? d->most / 4 : FEWEST_NAMES;
    return true;
}

/* This server does not answer such a request: it is not sent again, and who is left is asked about
 * in the other ways. */
static void other_way(talk *t, const cpuu_error *err)
{
    cpuu_directory *d = t->d;
    if (d->refused.rc >= 0)
        d->refused = *err;
    if (t->phase == MAPPING)
        d->next_dn = d->n_all;
    if (t->phase != RESOLVING)
        return;
    back_up(t);
    for (; d->next_name < d->n_all; d->next_name++) {
        wanted *w = &d->all[d->next_name];
        w->unclear = w->unclear || (!w->named && !w->person->found);
        w->named = true;
    }
}

/* The request has failed. False: nobody can be looked up. */
static bool goes_on(talk *t, const cpuu_call *call)
{
    if (t->phase == BINDING && t > t->d->talks) /* the first one goes on alone */
        t->dead = true;
    else if (t->phase == BINDING || call->rc == CPUU_E_AUTH)
        return false;
    else if (t->phase != MATCHING && (ask_for_fewer(t, call) || t->rebinds++ < MAX_REBINDS))
        back_up(t);
    else
        other_way(t, &call->error);
    return true;
}

static bool answered(talk *t, const cpuu_call *call, cpuu_error *err)
{
    if (understand(t, call, err))
        return true;
    if (t->phase == BINDING || t->d->mail->fatal)
        return false;
    other_way(t, err);
    return true;
}

static void done(cpuu_call *call)
{
    talk *t = call->user;
    cpuu_directory *d = t->d;
    cpuu_error err = call->error;
    const bool stop = call->rc == CPUU_E_STOP || call->rc == CPUU_E_NOMEM;
    if (stop && t->phase != LEAVING)
        d->mail->fatal = call->rc;
    if (t->phase == LEAVING || d->n_all == 0) {
        t->phase = IDLE;
        return;
    }
    if (call->rc >= 0 ? answered(t, call, &err) : !stop && goes_on(t, call)) {
        step(t);
        wake(d);
        return;
    }
    t->phase = IDLE;
    fail_all(d, &err);
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
    d->most = NAMES_PER_REQUEST;
    for (talk *t = d->talks; t < d->talks + MAX_TALKS; t++) {
        t->d = d;
        cpuu_buf_init(&t->body, BODY_MAX);
        cpuu_nspi_answer_init(&t->answer);
    }
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

/* Bind takes a trip of its own: it pays from three requests on. */
static void start_talks(cpuu_directory *d)
{
    size_t names = 0;
    for (size_t i = 0; i < d->n_all; i++)
        names += d->all[i].key[0] == '/' ? 2 : 1;
    const size_t requests = names / d->most + 1;
    for (talk *t = d->talks; t < d->talks + MAX_TALKS; t++) {
        const bool more = t > d->talks && requests < 3;
        t->rebinds = 0;
        if (t->phase == IDLE && (!more || t->session) && d->n_all) /* else it is being bound */
            step(t);
    }
}

void cpuu_directory_start(cpuu_directory *d, cpuu_mail_op **ops, size_t n)
{
    d->n_all = d->next_name = d->next_dn = 0;
    d->refused = (cpuu_error)CPUU_ERROR_INIT;
    for (size_t i = 0; i < n; i++)
        if (!add_keys(d, ops[i])) {
            cpuu_error err = CPUU_ERROR_INIT;
            d->mail->fatal = ops[i]->rc = cpuu_nomem(&err);
            ops[i]->error = err;
            fail_all(d, &err);
            return;
        }
    start_talks(d);
}

bool cpuu_directory_idle(const cpuu_directory *d)
{
    return d->n_all == 0 && !any_in(d, RESOLVING, LEAVING);
}

void cpuu_directory_finish(cpuu_directory *d, const cpuu_error *err)
{
    fail_all(d, err);
}

void cpuu_directory_leave(cpuu_directory *d)
{
    for (talk *t = d->talks; t < d->talks + MAX_TALKS; t++) {
        if (!t->session || !cpuu_session_connected(t->session) || cpuu_session_busy(t->session))
            continue;
        cpuu_buf_reset(&t->body);
        cpuu_nspi_unbind(&t->body);
        call_begin(t, LEAVING);
        cpuu_session_disconnect(t->session, &t->call);
    }
}

bool cpuu_directory_under_way(const cpuu_directory *d)
{
    for (const talk *t = d->talks; t < d->talks + MAX_TALKS; t++)
        if (cpuu_http_is_under_way(d->mail->http, &t->call.http))
            return true;
    return false;
}

void cpuu_directory_cancel(cpuu_directory *d)
{
    for (talk *t = d->talks; t < d->talks + MAX_TALKS; t++)
        cpuu_http_cancel(d->mail->http, &t->call.http);
}

/* Ready for the first question, which will not have to wait for the Bind. */
void cpuu_directory_ahead(cpuu_directory *d)
{
    if (d->talks->phase == IDLE && !d->talks->session)
        bind(d->talks);
}

cpuu_directory *cpuu_directory_next(const cpuu_directory *d)
{
    return d->next;
}

void cpuu_directory_free(cpuu_directory *d)
{
    for (talk *t = d->talks; t < d->talks + MAX_TALKS; t++) {
        cpuu_session_free(t->session);
        clear_talk(t);
    }
    cpuu_free(d->all);
    cpuu_free(d);
}
