/*
 * What an update will ask, asked early. On a slow link the time goes into questions that wait for one
 * another, and most of them can be foreseen:
 *
 *   own source     Connect; Logon; special folders, Switch Message, folders and what features read
 *     rows come      -> whoever's store they name is a colleague:
 *   colleague      Connect; Logon; special folders and Switch Message
 *     it comes       -> he has moved: his folders at the source, and, when the target's endpoint is
 *                       known, at the target: Logon; special folders and folders
 *   own target     Autodiscover; Connect, for each colleague too; Logon; special folders, folders and
 *                  what features read
 *
 * The colleagues' lines run beside the own target's; contexts at the target are connected before it is
 * known which of them have moved. All of it is guessing and decides nothing: the
 * update asks its own questions in its own order, and finds that many answers are there already (see
 * cpuu_mail_ahead()). A wrong guess costs a few requests; a failed one is as if it had not been made.
 */
#include "engine/job.h"

#include "base/text.h"

#include <cpuu/formats/propvalue.h>

typedef struct cpuu_guess { /* a colleague */
    cpuu_job *job;
    char *dn, *smtp;               /* at the source; smtp may be NULL */
    char *target_dn, *target_smtp; /* NULL = not known to have moved */
    bool begun;                    /* at the target */
    struct cpuu_guess *next;
} cpuu_guess;

static bool target_is_known(const cpuu_connection *c)
{
    return c->target_endpoint.emsmdb_url && c->target_endpoint.account_dn;
}

static void begin_at_target(cpuu_guess *g)
{
    const cpuu_mail_op folders = cpuu_translate_folders_read();
    cpuu_connection *c = &g->job->c;
    cpuu_mail_open open = {.endpoint = &c->target_endpoint, .mailbox_dn = g->target_dn,
                           .smtp = g->target_smtp, .ahead = &folders, .n_ahead = 1};
    if (g->begun || !g->target_dn || !target_is_known(c))
        return;
    g->begun = true;
    cpuu_mail_ahead(c->mail, &open, 1);
}

static cpuu_rc look_at_switch(void *user, const cpuu_mail_row *row)
{
    cpuu_guess *g = user;
    const cpuu_mail_op folders = cpuu_translate_folders_read();
    cpuu_mail_open open = {.endpoint = &g->job->c.source_endpoint, .mailbox_dn = g->dn,
                           .smtp = g->smtp, .ahead = &folders, .n_ahead = 1};
    cpuu_switch_message m;
    if (g->target_dn || !cpuu_switch_guess(row, &m))
        return CPUU_OK;
    g->target_smtp = cpuu_arena_strdup(&g->job->arena, m.target_smtp);
    g->target_dn = cpuu_arena_strdup(&g->job->arena, m.target_dn);
    if (!g->target_dn || !g->target_smtp)
        return CPUU_OK;
    cpuu_mail_ahead(g->job->c.mail, &open, 1);
    begin_at_target(g);
    return CPUU_OK;
}

static bool is_new(const cpuu_job *job, const char *dn)
{
    for (const cpuu_guess *g = job->c.guesses; g; g = g->next)
        if (cpuu_caseeq(g->dn, dn))
            return false;
    return *dn && !cpuu_caseeq(dn, job->c.source_ad.legacy_dn);
}

static void guess(cpuu_job *job, const char *dn, const char *smtp)
{
    cpuu_connection *c = &job->c;
    if (c->n_guesses >= job->e->settings->max_other_mailboxes || !is_new(job, dn))
        return;
    cpuu_guess *g = cpuu_arena_alloc(&job->arena, sizeof(*g));
    if (!g)
        return;
    g->job = job;
    g->dn = cpuu_arena_strdup(&job->arena, dn);
    g->smtp = *smtp ? cpuu_arena_strdup(&job->arena, smtp) : NULL;
    if (!g->dn)
        return;
    g->next = c->guesses;
    c->guesses = g;
    c->n_guesses++;
    cpuu_mail_op read = cpuu_switch_op;
    read.on_row = look_at_switch;
    read.user = g;
    cpuu_mail_open open = {.endpoint = &c->source_endpoint, .mailbox_dn = g->dn, .smtp = g->smtp,
                           .ahead = &read, .n_ahead = 1};
    cpuu_mail_ahead(c->mail, &open, 1);
    if (target_is_known(c))
        cpuu_mail_spare(c->mail, &c->target_endpoint, 1);
}

static cpuu_rc look_for_stores(void *user, const cpuu_mail_row *row)
{
    char dn[1024], smtp[512];
    for (uint32_t i = 0; i < row->n_values; i++) {
        const cpuu_value *v = &row->values[i];
        if (CPUU_TAG_TYPE(v->tag) == CPUU_PT_BINARY &&
            cpuu_translate_store_names((cpuu_blob){v->data, v->size}, dn, sizeof(dn), smtp,
                                       sizeof(smtp)))
            guess(user, dn, smtp);
    }
    return CPUU_OK;
}

/* With a mapping file nobody's Switch Message is asked for, so nobody is guessed at. */
cpuu_rc cpuu_ahead_own(cpuu_job *job, bool target, cpuu_mail_open *open, cpuu_error *err)
{
    cpuu_mail_op *reads, *ops;
    size_t n, at = 0;
    cpuu_rc rc = cpuu_features_ahead(job->e->plugins, job->e->settings,
                                     target ? CPUU_TARGET : CPUU_SOURCE, &job->arena, &reads, &n, err);
    if (rc != CPUU_OK)
        return rc;
    ops = cpuu_arena_alloc(&job->arena, (n + 2) * sizeof(*ops));
    if (!ops)
        return cpuu_nomem(err);
    if (!target && !job->e->mapping)
        ops[at++] = cpuu_switch_op;
    for (size_t i = 0; i < n; i++) {
        ops[at] = reads[i];
        if (!target && !job->e->mapping && reads[i].verb == CPUU_MAIL_READ) {
            ops[at].on_row = look_for_stores;
            ops[at].user = job;
        }
        at++;
    }
    ops[at++] = cpuu_translate_folders_read();
    open->ahead = ops;
    open->n_ahead = at;
    return CPUU_OK;
}

void cpuu_ahead_target(cpuu_job *job)
{
    cpuu_mail_spare(job->c.mail, &job->c.target_endpoint, job->c.n_guesses);
    for (cpuu_guess *g = job->c.guesses; g; g = g->next)
        begin_at_target(g);
}
