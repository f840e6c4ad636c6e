/*
 * POX Autodiscover ([MS-OXDSCLI]): from an SMTP address to the mailbox's legacyExchangeDN and its
 * MAPI/HTTP endpoints. Facts and lookup order: reference "exchange protocols", section 1.
 */
#ifndef CPUU_NET_AUTODISCOVER_H
#define CPUU_NET_AUTODISCOVER_H

#include "net/http.h"

typedef struct cpuu_autodiscover_result { /* free with cpuu_autodiscover_result_free */
    char *smtp;          /* address the answer is for, after redirects */
    char *display_name;  /* may be NULL */
    char *legacy_dn;     /* never NULL on success */
    char *emsmdb_url;    /* MAPI/HTTP mail store: external, else internal; NULL = not offered */
    char *nspi_url;      /* MAPI/HTTP address book; NULL = not offered */
    char *emsmdb_url2;   /* the internal ones, where they are others; else NULL */
    char *nspi_url2;
    char *server;        /* EXCH Server (guid@domain), may be NULL */
    char *ews_url;       /* may be NULL */
    char *url;           /* URL that answered */
    bool microsoft_online;
    /* AlternativeMailbox entries: type, smtp, legacy DN, display name; count n */
    struct cpuu_alternative_mailbox {
        char *type, *smtp, *legacy_dn, *display_name;
    } *alternatives;
    size_t n_alternatives;
} cpuu_autodiscover_result;

typedef struct cpuu_autodiscover_query {
    const char *smtp;
    const char *url; /* AutodiscoverSourceURL/TargetURL: the only URL asked; NULL = look it up */
    const cpuu_credentials *credentials;
    /* Without `url` the order is: the domain's root, autodiscover.<domain>, the redirect of plain
     * http, DNS SRV; Active Directory (SCP) is not asked. The endpoints named by a host that was
     * allowed to answer are trusted like that host.
     *
     * Domains whose hosts may be given credentials and be redirected to (R8): suffix match on whole
     * labels; NULL-terminated. With `url` set its host is allowed too. */
    const char *const *allowed_domains;
    const char *side; /* "source" or "target", for the log lines of the guide */
} cpuu_autodiscover_query;

/*
 * Looks one mailbox up. Logs the guide's lines ([TraceW] Failed to get Autodiscover response ...,
 * [Warning] Cannot get ..., [Error] ... on source). Errors: CPUU_E_NETWORK, CPUU_E_AUTH (401, or a
 * host that may not be given credentials), CPUU_E_NOTFOUND (ErrorCode 500/501), CPUU_E_FORMAT,
 * CPUU_E_BUSY (429 or 503 until patience was at its end: patience.h), CPUU_E_FAILED (another
 * ErrorCode).
 */
cpuu_rc cpuu_autodiscover(cpuu_http *http, const cpuu_autodiscover_query *query, cpuu_log *log,
                          cpuu_autodiscover_result *out, cpuu_error *err);
void cpuu_autodiscover_result_free(cpuu_autodiscover_result *r);

/* What one response body says; pure, for tests and fuzzing. */
typedef enum cpuu_autodiscover_kind {
    CPUU_AD_SETTINGS = 1,
    CPUU_AD_REDIRECT_ADDR,
    CPUU_AD_REDIRECT_URL,
    CPUU_AD_ERROR
} cpuu_autodiscover_kind;
typedef struct cpuu_autodiscover_answer {
    cpuu_autodiscover_kind kind;
    char *redirect;      /* address or URL */
    uint32_t error_code; /* 500, 501, 600 ... */
    char *error_text;
    cpuu_autodiscover_result result;
} cpuu_autodiscover_answer;
cpuu_rc cpuu_autodiscover_parse(const void *xml, size_t size, cpuu_autodiscover_answer *out,
                                cpuu_error *err);
void cpuu_autodiscover_answer_free(cpuu_autodiscover_answer *a);

#endif
