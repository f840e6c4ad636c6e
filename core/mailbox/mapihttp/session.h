/*
 * One MAPI/HTTP session context ([MS-OXCMAPIHTTP]): with a mailbox server (Connect, Execute,
 * Disconnect) or with an address book (Bind, NSPI requests, Unbind).
 *
 * Calls are asynchronous: a function below submits one request, cpuu_http_drive() runs it, and
 * call->on_done is called exactly once, never from within the submitting function. A context takes
 * one call at a time ([MS-OXCMAPIHTTP] R1227-1228); for more, open more contexts. on_done may
 * submit the next call on the same session.
 *
 * What this layer knows: HTTP headers, cookies, meta-tags, the bodies of Connect, Execute and
 * Disconnect, and RPC_HEADER_EXT. What is inside a ROP buffer or an NSPI body is the caller's.
 * It repeats a request by itself in one case only: nothing of it can have reached the server.
 */
#ifndef CPUU_MAPIHTTP_SESSION_H
#define CPUU_MAPIHTTP_SESSION_H

#include "mailbox/mapihttp/errors.h"
#include "net/http.h"

typedef struct cpuu_session cpuu_session;

typedef enum cpuu_session_kind {
    CPUU_SESSION_MAILBOX = 1,
    CPUU_SESSION_DIRECTORY
} cpuu_session_kind;

typedef struct cpuu_session_options {
    cpuu_session_kind kind;
    const char *url;     /* the endpoint's URL from Autodiscover, with its ?MailboxId= */
    const char *user_dn; /* MAILBOX: legacyExchangeDN of the authenticated account itself */
    const char *name;    /* for messages: "mailbox user@domain"; NULL = the URL */
    const cpuu_credentials *credentials; /* borrowed while the session lives */
    /* X-ClientInfo: one GUID for all contexts of a client, a different number for each context
     * ([MS-OXCMAPIHTTP] R2042-2043). A zero GUID is replaced by a random one. */
    uint8_t client_guid[16];
    uint32_t number;
} cpuu_session_options;

/* Copies the strings. Nothing is sent yet. */
cpuu_rc cpuu_session_new(cpuu_http *http, const cpuu_session_options *options, cpuu_log *log,
                         cpuu_session **out, cpuu_error *err);
/* Sends nothing: see cpuu_session_disconnect. Not while a call is under way. NULL is allowed. */
void cpuu_session_free(cpuu_session *s);

/* True between a successful Connect or Bind and Disconnect, Unbind or the loss of the context. */
bool cpuu_session_connected(const cpuu_session *s);
/* A call is under way; submitting another one is a bug (it ends with CPUU_E_FAILED). */
bool cpuu_session_busy(const cpuu_session *s);

/* The response to one extended buffer (RPC_HEADER_EXT taken off, all as if it had been plain). */
typedef struct cpuu_rop_reply {
    const uint8_t *rops;    /* ROP responses; borrowed from the call */
    uint32_t rops_size;     /* bytes */
    const uint8_t *handles; /* server object handle table: n_handles unaligned little-endian u32 */
    uint32_t n_handles;
} cpuu_rop_reply;

typedef enum cpuu_call_end {
    CPUU_CALL_ANSWERED = 1, /* the server carried the request out or refused it: error_code says */
    CPUU_CALL_CONTEXT_LOST, /* the server no longer knows or accepts this context (any non-zero
                             * X-ResponseCode): handles are gone; connect again and repeat as
                             * far as maybe_done allows, once. The session is not connected now. */
    CPUU_CALL_NO_ANSWER     /* connection, TLS, authentication, HTTP status, unreadable response,
                             * out of memory, stop. rc says which. When the state of the context
                             * is uncertain the session is no longer connected. */
} cpuu_call_end;

typedef struct cpuu_call {
    /* in; borrowed until on_done has been called */
    const uint8_t *body; /* Execute: u16 RopSize, ROPs, handle table (no RPC_HEADER_EXT);
                          * Bind and other NSPI requests: the whole body; Connect, Disconnect and
                          * Unbind: not used */
    size_t body_size;    /* Execute: at most 0x8000 - 8 */
    uint32_t max_rop_out; /* Execute MaxRopOut; 0 = 0x10008; at most 0x40000 */
    const uint8_t *more;  /* Execute: payloads packed behind the body, by cpuu_rop_buffer_add(); only
                           * with cpuu_session_info.packs_streams; all of it at most 0x40000 */
    size_t more_size;
    bool chain;           /* Execute flag 0x4: the last ROP may be repeated into more payloads */
    void (*on_done)(struct cpuu_call *call);
    void *user;

    /* out; valid until cpuu_call_clear() or the next use of this call */
    cpuu_call_end end;
    cpuu_rc rc;             /* CPUU_OK: answered, StatusCode 0 and ErrorCode 0 or a warning;
                             * CPUU_E_NETWORK, _AUTH, _BUSY (429, 503: retry_after_s), _FORMAT,
                             * _TOOBIG, _NOMEM, _STOP, _IO (context lost), or from error_code */
    cpuu_error error;       /* when rc < 0 */
    bool maybe_done;        /* rc < 0, but the server may have carried it out, wholly or in part */
    uint32_t response_code; /* X-ResponseCode */
    uint32_t status_code;   /* StatusCode of the body */
    uint32_t error_code;    /* ErrorCode of the body; 0x47D = the responses did not fit, but the
                             * ROPs before the overflow were executed (maybe_done is set) */
    uint32_t retry_after_s; /* CPUU_E_BUSY: what the server asked for; 0 = nothing */
    cpuu_rop_reply *replies; /* Execute: 1..96 payloads, in order */
    size_t n_replies;
    const uint8_t *reply;   /* NSPI: the body after ErrorCode, auxiliary buffer included */
    size_t reply_size;

    /* private */
    cpuu_session *session;
    const char *type;
    cpuu_http_request http;
    cpuu_buf request;
    cpuu_buf plain;
    bool resent;
    bool with_old_cookies;
} cpuu_call;

/* MAILBOX: Connect. DIRECTORY: Bind with call->body. Discards what is left of an earlier context. */
void cpuu_session_connect(cpuu_session *s, cpuu_call *call);
/* MAILBOX only, connected. */
void cpuu_session_execute(cpuu_session *s, cpuu_call *call);
/* DIRECTORY only, connected: "ResolveNames", "DNToMId", "QueryRows", "GetProps", "GetMatches" ...
 * `type` is borrowed like the body. ErrorCode warnings (0x00040380 ErrorsReturned) are CPUU_OK. */
void cpuu_session_request(cpuu_session *s, const char *type, cpuu_call *call);
/* Disconnect or Unbind; afterwards the session is not connected, whatever happened. */
void cpuu_session_disconnect(cpuu_session *s, cpuu_call *call);

/* Frees what a finished call holds; the in fields are kept, so it can be submitted again. */
void cpuu_call_clear(cpuu_call *call);

/* What Connect said; empty before. Borrowed. */
typedef struct cpuu_session_info {
    char display_name[256]; /* of the account */
    char dn_prefix[512];
    char server[64];        /* X-ServerApplication */
    uint32_t retry_count;   /* RetryCount, RetryDelay (ms) of Connect */
    uint32_t retry_delay_ms;
    uint32_t expires_ms;    /* X-ExpirationInfo; 0 = not given */
    bool packs_streams;     /* PACKED_WRITE_STREAM_UPLOAD_BUFFERS, [MS-OXCRPC] 2.2.2.2.19 */
} cpuu_session_info;
const cpuu_session_info *cpuu_session_get_info(const cpuu_session *s);

/* ---- pure parts, for tests and fuzzing ------------------------------------------------------- */

/* A response body of Content-Type application/mapi-http: meta-tag lines, additional headers, data
 * ([MS-OXCMAPIHTTP] 2.2.2.2, 2.2.7). The last X-ResponseCode wins. */
typedef struct cpuu_mapi_frame {
    bool done;               /* the DONE tag was there */
    bool has_response_code;  /* among the additional headers */
    uint32_t response_code;
    uint32_t processing, pending; /* how many of each */
    const uint8_t *data;     /* borrowed from the body */
    size_t size;
} cpuu_mapi_frame;
cpuu_rc cpuu_mapi_frame_parse(const void *body, size_t size, cpuu_mapi_frame *out,
                              cpuu_error *err);

/* The payloads of an Execute response's RopBuffer. Obfuscation and compression, which we always ask
 * not to be used, are undone into *plain. *replies is owned by the caller (cpuu_free). */
cpuu_rc cpuu_rop_buffer_parse(const void *data, size_t size, cpuu_buf *plain,
                              cpuu_rop_reply **replies, size_t *n, cpuu_error *err);
/* Adds one payload of a request's RopBuffer with its RPC_HEADER_EXT. */
void cpuu_rop_buffer_add(cpuu_buf *b, const void *payload, size_t size, bool last);

/* The capabilities a Connect response's AuxiliaryBuffer tells of; 0 when it has none, or cannot be
 * read. */
#define CPUU_CAN_PACK_STREAMS 0x2u /* [MS-OXCRPC] 2.2.2.2.19 */
uint32_t cpuu_aux_capabilities(const void *data, size_t size);

/* One compressed payload, XORed with mask, of which out_size bytes are to come ([MS-OXCRPC]
 * 3.1.4.1.1.2.2). False when it does not give exactly those. */
bool cpuu_direct2_decode(const uint8_t *data, size_t size, uint8_t mask, uint8_t *out,
                         size_t out_size);

#endif
