/* From a profile's account to opened mailboxes: credentials, Autodiscover, logon. */
#include "engine/job.h"

#include "base/text.h"

#include <string.h>

/* ---- preparing ------------------------------------------------------------------------------- */

static cpuu_rc open_http(cpuu_engine *e, cpuu_error *err)
{
    const cpuu_settings *s = e->settings;
    cpuu_http_options o = {.ca_file = s->ca_file,
                           .connect_to = (const char *const *)s->connect_to.items,
                           .allow_insecure_http = s->allow_insecure_http};
    if (e->http)
        return CPUU_OK;
    if (s->allow_insecure_http)
        cpuu_logf(e->log, CPUU_LV_WARNING,
                  "AllowInsecureHTTP is set: credentials may travel unencrypted. For the lab only.");
    if (s->ca_file && !cpuu_is_file(s->ca_file)) { /* libcurl would wait for a pipe */
        cpuu_fail(err, CPUU_E_USAGE, "'%s' is not a file", s->ca_file);
        return cpuu_settings_refuse(s, "CAFile", err);
    }
    return cpuu_http_new(&o, e->log, &e->http, err);
}

static cpuu_rc prepare(cpuu_job *job, bool target, cpuu_error *err)
{
    cpuu_engine *e = job->e;
    bool *asked = target ? &e->target_credentials : &e->source_credentials;
    cpuu_rc rc = CPUU_OK;
    if (!*asked)
        rc = cpuu_settings_credentials(e->settings, target, err);
    if (rc == CPUU_OK)
        rc = open_http(e, err);
    if (rc != CPUU_OK)
        return rc;
    *asked = true;
    cpuu_http_on_beat(e->http, cpuu_job_beat, job);
    return job->c.mail ? CPUU_OK : cpuu_mail_new(e->http, NULL, e->log, &job->c.mail, err);
}

static const cpuu_credentials *credentials(const cpuu_engine *e, bool target)
{
    return target ? &e->settings->target : &e->settings->source;
}

/* Domains whose hosts may be given credentials (R8), NULL-terminated, in the job's arena. */
static const char *const *allowed_domains(cpuu_job *job, bool target, const char *smtp)
{
    const cpuu_settings *s = job->e->settings;
    size_t n = 0, room = s->processed_domains.count + s->target_domains.count + 2;
    const char **list = cpuu_arena_alloc(&job->arena, room * sizeof(*list));
    if (!list)
        return NULL;
    for (size_t i = 0; i < s->processed_domains.count; i++)
        list[n++] = s->processed_domains.items[i];
    for (size_t i = 0; target && i < s->target_domains.count; i++)
        list[n++] = s->target_domains.items[i];
    /* The source address comes from the user's own profile, a mapped target from the administrator;
     * a target that only a Switch Message names earns nothing. */
    if ((!target || job->e->mapping) && cpuu_smtp_domain(smtp))
        list[n++] = cpuu_smtp_domain(smtp);
    return list;
}

static cpuu_rc discover(cpuu_job *job, bool target, const char *smtp,
                        cpuu_autodiscover_result *out, cpuu_error *err)
{
    const cpuu_settings *s = job->e->settings;
    cpuu_autodiscover_query q = {
        .smtp = smtp,
        .url = target ? s->autodiscover_target_url : s->autodiscover_source_url,
        .credentials = credentials(job->e, target),
        .allowed_domains = allowed_domains(job, target, smtp),
        .side = target ? "target" : "source",
    };
    if (!q.allowed_domains)
        return cpuu_nomem(err);
    return cpuu_autodiscover(job->e->http, &q, job->e->log, out, err);
}

/*
 * Connect names the caller, not the mailbox: with a service account that is the account's own DN
 * ([MS-OXCRPC] 3.1.4.1). It is asked for once per run.
 */
static cpuu_rc account_dn(cpuu_job *job, bool target, const char *smtp, const char *mailbox_dn,
                          const char **out, cpuu_error *err)
{
    cpuu_engine *e = job->e;
    const char *user = credentials(e, target)->user;
    char **known = target ? &e->target_account_dn : &e->source_account_dn;
    *out = mailbox_dn;
    if (!user || !strchr(user, '@') || cpuu_caseeq(user, smtp))
        return CPUU_OK;
    if (!*known) {
        cpuu_autodiscover_result r = {0};
        cpuu_rc rc = discover(job, target, user, &r, err);
        if (rc == CPUU_E_AUTH || rc == CPUU_E_STOP || rc == CPUU_E_NOMEM)
            return rc;
        if (rc != CPUU_OK) /* no address, or an account without a mailbox, of which servers say in many
                            * ways that they know nothing: try as the mailbox itself */
            return CPUU_OK;
        *known = cpuu_arena_strdup(&e->arena, r.legacy_dn);
        cpuu_autodiscover_result_free(&r);
        if (!*known)
            return cpuu_nomem(err);
    }
    *out = *known;
    return CPUU_OK;
}

/* ---- opening --------------------------------------------------------------------------------- */

static cpuu_rc endpoint(cpuu_job *job, bool target, const char *smtp,
                        const cpuu_autodiscover_result *ad, cpuu_endpoint *out, cpuu_error *err)
{
    if (!ad->emsmdb_url)
        return cpuu_fail(err, CPUU_E_UNSUPPORTED,
                         "the %s server offers no MAPI over HTTP for '%s'; enable it, or use an "
                         "Exchange version that has it", target ? "target" : "source", smtp);
    cpuu_endpoint ep = {.emsmdb_url = ad->emsmdb_url, .nspi_url = ad->nspi_url,
                        .credentials = credentials(job->e, target)};
    cpuu_rc rc = account_dn(job, target, smtp, ad->legacy_dn, &ep.account_dn, err);
    if (rc == CPUU_OK) /* not before it is complete: guesses use it as soon as it is there */
        *out = ep;
    return rc;
}

/* The internal addresses instead of external ones that cannot be reached. */
static bool use_second(cpuu_job *job, cpuu_endpoint *ep, const cpuu_autodiscover_result *ad,
                       const cpuu_error *why)
{
    if (!ad->emsmdb_url2 || ep->emsmdb_url == ad->emsmdb_url2)
        return false;
    cpuu_logf(job->e->log, CPUU_LV_TRACEW, "%s; trying %s", why->text, ad->emsmdb_url2);
    ep->emsmdb_url = ad->emsmdb_url2;
    if (ad->nspi_url2)
        ep->nspi_url = ad->nspi_url2;
    return true;
}

static cpuu_rc open_mailbox(cpuu_job *job, cpuu_endpoint *ep, const cpuu_autodiscover_result *ad,
                            const char *smtp, bool target, bool ahead, cpuu_mailbox **out,
                            cpuu_error *err)
{
    cpuu_mail_open o = {.endpoint = ep, .mailbox_dn = ad->legacy_dn, .smtp = smtp,
                        .writable = target, .contexts = target && ahead ? 2 : 1};
    cpuu_rc rc = ahead ? cpuu_ahead_own(job, target, &o, err) : CPUU_OK;
    if (rc == CPUU_OK)
        rc = cpuu_mail_open_all(job->c.mail, &o, 1, err);
    if (rc == CPUU_OK && o.rc == CPUU_E_NETWORK && use_second(job, ep, ad, &o.error))
        rc = cpuu_mail_open_all(job->c.mail, &o, 1, err);
    if (rc != CPUU_OK)
        return rc;
    if (o.rc < 0) {
        *err = o.error;
        return cpuu_wrap(err, "cannot open the %s mailbox '%s'", target ? "target" : "source",
                         smtp);
    }
    *out = o.box;
    return CPUU_OK;
}

/* The answer must be about the mailbox the profile (or the Switch Message) means. */
static cpuu_rc check_dn(cpuu_job *job, const char *side, const char *where, const char *answered,
                        const char *expected, cpuu_error *err)
{
    if (!expected || cpuu_caseeq(answered, expected))
        return CPUU_OK;
    cpuu_logf(job->e->log, CPUU_LV_WARNING,
              "User LegacyExchangeDN properties are different: from the %s Autodiscover response: "
              "'%s', from the %s: '%s'.", side, answered, where, expected);
    if (job->e->settings->skip_autodiscover_checking)
        return CPUU_OK;
    cpuu_logf(job->e->log, CPUU_LV_ERROR,
              "Cannot get an Autodiscover response on %s. See logged errors to resolve the issue. "
              "Profile will not be processed.", side);
    return cpuu_fail(err, CPUU_E_FAILED,
                     "Autodiscover on %s answers for another mailbox; check Autodiscover%sURL, or use "
                     "-SkipAutodiscoverChecking if this is intended", side,
                     strcmp(side, "source") == 0 ? "Source" : "Target");
}

/* Where an administrator named the target's host, it is asked how it authenticates while the source
 * is being asked who the mailbox is. */
static void learn_target(cpuu_job *job)
{
    const char *url = job->e->settings->autodiscover_target_url;
    const cpuu_credentials *c = credentials(job->e, true);
    if (url && c->user)
        cpuu_http_learn(job->e->http, url, c);
}

cpuu_rc cpuu_connect_source(cpuu_job *job, const cpuu_account *account, cpuu_error *err)
{
    cpuu_connection *c = &job->c;
    cpuu_rc rc = prepare(job, false, err);
    cpuu_job_step(job, "opening the source mailbox");
    if (rc == CPUU_OK) {
        learn_target(job);
        rc = discover(job, false, job->source_smtp, &c->source_ad, err);
    }
    if (rc == CPUU_OK)
        rc = check_dn(job, "source", "profile", c->source_ad.legacy_dn, account->legacy_dn, err);
    if (rc == CPUU_OK)
        rc = endpoint(job, false, job->source_smtp, &c->source_ad, &c->source_endpoint, err);
    if (rc != CPUU_OK)
        return cpuu_job_fail(job, CPUU_PROFILE_MODIFYING_FAILED, CPUU_EXIT_SWITCH_ERR, err);
    if (!job->source_dn)
        job->source_dn = c->source_ad.legacy_dn;
    rc = open_mailbox(job, &c->source_endpoint, &c->source_ad, job->source_smtp, false, true,
                      &c->source, err);
    if (rc != CPUU_OK)
        return cpuu_job_fail(job, CPUU_PROFILE_IS_UNABLE_OPEN_DEFSTORE, CPUU_EXIT_SWITCH_ERR, err);
    if ((job->e->links & CPUU_LINK_NAME) && c->source_endpoint.nspi_url &&
        cpuu_mail_directory(c->mail, &c->source_endpoint, &c->source_directory, NULL) == CPUU_OK)
        cpuu_directory_ahead(c->source_directory);
    return CPUU_OK;
}

/* Links whose people the target's address book is asked for. */
#define WHO (CPUU_LINK_EX_DN | CPUU_LINK_SMTP | CPUU_LINK_SEARCH_KEY | CPUU_LINK_NAME)

/* The guide (AskCredentials): when the source account may not log on to the target, the user is asked
 * for another one; once a run. */
static cpuu_rc discover_target(cpuu_job *job, cpuu_error *err)
{
    cpuu_engine *e = job->e;
    cpuu_error why = CPUU_ERROR_INIT;
    cpuu_rc rc = discover(job, true, job->target_smtp, &job->c.target_ad, err);
    if (rc != CPUU_E_AUTH || err->detail != 401 || e->target_asked_again)
        return rc;
    e->target_asked_again = true;
    cpuu_rc asked = cpuu_settings_ask_target(e->settings, &why);
    if (asked == CPUU_E_STOP)
        *err = why;
    if (asked != CPUU_OK)
        return err->rc;
    return discover(job, true, job->target_smtp, &job->c.target_ad, err);
}

cpuu_rc cpuu_connect_target(cpuu_job *job, bool update, cpuu_error *err)
{
    cpuu_connection *c = &job->c;
    cpuu_rc rc = prepare(job, true, err);
    cpuu_job_step(job, "opening the target mailbox");
    if (rc == CPUU_OK)
        rc = discover_target(job, err);
    if (rc == CPUU_OK)
        rc = check_dn(job, "target", job->e->mapping ? "mapping file" : "Switch Message",
                      c->target_ad.legacy_dn, job->target_dn, err);
    if (rc == CPUU_OK)
        rc = endpoint(job, true, job->target_smtp, &c->target_ad, &c->target_endpoint, err);
    if (rc != CPUU_OK)
        return cpuu_job_fail(job, CPUU_PROFILE_MODIFYING_FAILED, CPUU_EXIT_SWITCH_ERR, err);
    if (!job->target_dn)
        job->target_dn = c->target_ad.legacy_dn;
    if (!job->target_name)
        job->target_name = c->target_ad.display_name;
    cpuu_error why = CPUU_ERROR_INIT;
    if (c->target_endpoint.nspi_url &&
        cpuu_mail_directory(c->mail, &c->target_endpoint, &c->directory, &why) < 0)
        cpuu_logf(job->e->log, CPUU_LV_WARNING, "Cannot open the target address book: %s", why.text);
    if (c->directory && update && (job->e->links & WHO))
        cpuu_directory_ahead(c->directory);
    cpuu_ahead_target(job);
    rc = open_mailbox(job, &c->target_endpoint, &c->target_ad, job->target_smtp, true, update,
                      &c->target, err);
    return rc == CPUU_OK ? CPUU_OK
                         : cpuu_job_fail(job, CPUU_PROFILE_IS_UNABLE_OPEN_MAILBOX_STORE,
                                         CPUU_EXIT_SWITCH_ERR, err);
}

/* The answers to the Disconnects may come while the next profile is being worked on. */
void cpuu_connection_close(cpuu_engine *e, cpuu_connection *c)
{
    if (c->mail) {
        cpuu_http_on_beat(e->http, NULL, NULL);
        cpuu_mail_leave(c->mail);
        cpuu_mail_free(e->leaving);
        e->leaving = c->mail;
    }
    cpuu_autodiscover_result_free(&c->source_ad);
    cpuu_autodiscover_result_free(&c->target_ad);
    memset(c, 0, sizeof(*c));
}
