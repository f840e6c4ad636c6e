/* Whether a profile may be processed: the guide's codes that need no mailbox (1, 4-8, 23, 24). */
#include "profile/section.h"

#include "base/text.h"
#include "report/report.h" /* the names of the codes, nothing else */

#include <stdarg.h>
#include <string.h>

/* The guide, AllowAdditionalServices: "the services updated by default". */
static const char *const default_services[] = {"MSEMS",  "MSPST AB", "MSPST MS",  "MSUPST MS",
                                               "CONTAB", "EMABLT",   "INTERSTOR", "IMAIL"};

static int say(cpuu_profile *p, const char **reason, int code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static int say(cpuu_profile *p, const char **reason, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = cpuu_vasprintf(fmt, ap);
    va_end(ap);
    const char *kept = text ? cpuu_arena_strdup(&p->arena, text) : NULL;
    cpuu_free(text);
    *reason = kept ? kept : "out of memory";
    return code;
}

static bool in_list(const char *const *list, const char *word)
{
    for (; list && *list; list++)
        if (cpuu_name_eq(*list, word))
            return true;
    return false;
}

static bool is_allowed(const cpuu_profile_rules *rules, const char *service)
{
    for (size_t i = 0; i < sizeof(default_services) / sizeof(default_services[0]); i++)
        if (cpuu_caseeq(default_services[i], service))
            return true;
    return rules->allow_all_services || in_list(rules->allowed_services, service);
}

static int check_services(cpuu_profile *p, const cpuu_profile_rules *rules, const char **reason)
{
    for (size_t i = 0; i < p->n_services; i++) {
        const cpuu_service *s = &p->services[i];
        if (s->missing)
            return say(p, reason, CPUU_PROFILE_NOT_RESOLVED,
                       "service section %s is listed but missing", s->section);
        if (!is_allowed(rules, s->name))
            return say(p, reason, CPUU_PROFILE_UNEXPECTED_SERVICES,
                       "service '%s' is not among the services that are processed "
                       "(AllowAdditionalServices)",
                       s->name);
    }
    return 0;
}

static bool domain_allowed(const cpuu_profile_rules *rules, const cpuu_account *a)
{
    const char *domain = a->smtp ? cpuu_smtp_domain(a->smtp) : NULL;
    return domain && in_list(rules->domains, domain);
}

/* ProcessedDomainsFQDNs: one list with both effects (A40, A41). Only the primary account counts. */
static int check_domains(cpuu_profile *p, const cpuu_profile_rules *rules, const char **reason)
{
    const cpuu_account *a = &p->accounts[0];
    bool any_domain = !rules->domains || !rules->domains[0];
    if (any_domain && p->n_accounts > 1)
        return say(p, reason, CPUU_PROFILE_MORE_THAN_ONE_ACCOUNT,
                   "Profile %s contains multiple Exchange accounts: ProcessedDomainsFQDNs must say "
                   "whether the primary one is switched",
                   p->name);
    if (!any_domain && !domain_allowed(rules, a))
        return say(p, reason, CPUU_PROFILE_NO_ACCOUNT_ALLOWED,
                   "the primary account '%s' is not in a domain of ProcessedDomainsFQDNs",
                   a->smtp ? a->smtp : "(no SMTP address)");
    return 0;
}

/* "Insert a smart card" of Outlook's policy "Authentication with Exchange Server" (value
 * AuthenticationService); its other numbers are those of 0x6619, so this one is taken to be, too. */
#define AUTH_SMART_CARD 0x8000f000u

static int check_account(cpuu_profile *p, const cpuu_profile_rules *rules, const cpuu_account *a,
                         const char **reason)
{
    if (!a->emsmdb_section || !a->store_section)
        return say(p, reason, CPUU_PROFILE_NOT_RESOLVED,
                   "the %s of the Exchange account is missing",
                   a->emsmdb_section ? "mailbox store" : "settings section");
    if (!a->smtp && !a->legacy_dn)
        return say(p, reason, CPUU_PROFILE_NOT_EXCHANGE_SERVICE,
                   "neither an address nor a distinguished name is known for the Exchange account");
    if (a->auth_package == AUTH_SMART_CARD)
        return say(p, reason, CPUU_PROFILE_HAS_UNSUPPORTED_AUTHENTICATION,
                   "its account logs on with a smart card, which is not supported; choose another way "
                   "of logging on in its security settings first");
    if (a->ost_path && !rules->process_offline)
        return say(p, reason, CPUU_PROFILE_IS_OFFLINE,
                   "it has an offline file '%s' and ProcessOfflineProfiles is not set",
                   a->ost_path);
    return 0;
}

int cpuu_profile_classify(cpuu_profile *p, const cpuu_profile_rules *rules,
                          const cpuu_account **account, const char **reason)
{
    *account = NULL;
    if (p->is_backup)
        return say(p, reason, CPUU_PROFILE_IS_BACKUP, "it is a backup copy");
    if (p->n_services == 0)
        return say(p, reason, CPUU_PROFILE_NOT_RESOLVED,
                   "it lists no services: the profile is empty or damaged");
    int code = check_services(p, rules, reason);
    if (code == CPUU_PROFILE_NOT_RESOLVED)
        return code;
    if (p->n_accounts == 0)
        return say(p, reason, CPUU_PROFILE_HAS_NO_SERVER, "it has no Exchange service");
    if (code == 0)
        code = check_domains(p, rules, reason);
    if (code == 0)
        code = check_account(p, rules, &p->accounts[0], reason);
    if (code != 0)
        return code;
    *account = &p->accounts[0];
    *reason = p->accounts[0].has_disagreement
                  ? "different places of the profile name different mailboxes"
                  : "";
    return 0;
}
