/*
 * cpuu-lab: a small Exchange-like server for rehearsals, the demo and the tests. Two organisations,
 * their state in memory; Autodiscover, MAPI/HTTP (mailbox and address book) and a control endpoint.
 *
 * This header is the model: organisations, users, stores, folders, messages. The server decodes
 * requests and encodes responses with code of its own, which the client under test does not share.
 * Running out of memory ends the lab with a message: it is a test program.
 *
 * Values are kept in one form: fixed-size types little-endian, text as UTF-16LE (or 8-bit) without
 * terminator, binary as it is, multi-valued types, restrictions and rule actions as on the wire of
 * a ROP ([MS-OXCDATA] 2.11.1, 2.12, [MS-OXORULE] 2.2.5).
 */
#ifndef CPUU_LAB_H
#define CPUU_LAB_H

#include "base/mem.h"

#include <cpuu/formats/bytes.h>

#include <pthread.h>
#include <stdatomic.h>

#define LAB_MAX_ORGS 2
#define LAB_ROLES    13 /* slots of RopLogon, [MS-OXCSTOR] 2.2.1.1.3 */

/* Error codes, [MS-OXCDATA] 2.4 */
#define EC_SUCCESS           0u
#define EC_ERRORS_RETURNED   0x00040380u
#define EC_UNKNOWN_USER      0x000003EBu
#define EC_LOGIN_PERM        0x000003F2u
#define EC_NOT_SEARCH_FOLDER 0x00000461u
#define EC_BUFFER_TOO_SMALL  0x0000047Du
#define EC_RPC_FORMAT        0x000004B6u
#define EC_BAD_STUB_DATA     0x000006F7u /* RPC_X_BAD_STUB_DATA */
#define EC_NULL_OBJECT       0x000004B9u
#define EC_NOT_SUPPORTED     0x80040102u
#define EC_OBJECT_CHANGED    0x80040109u
#define EC_OBJECT_DELETED    0x8004010Au
#define EC_NOT_FOUND         0x8004010Fu
#define EC_MAX_ATTACHMENT    0x000004DBu
#define EC_PROFILE           0x0000011Cu
#define EC_TOO_BIG           0x80040305u
#define EC_NETWORK           0x80040115u
#define EC_COLLIDING_NAMES   0x80040604u
#define EC_NO_MEMORY         0x8007000Eu
#define EC_ACCESS_DENIED     0x80070005u
#define EC_INVALID_PARAM     0x80070057u
#define EC_TOO_MANY_OBJECTS  0x000004D9u
#define EC_WRITE_FAULT       0x8003001Du

/* Property types, [MS-OXCDATA] 2.11.1 */
#define PT_UNSPECIFIED 0x0000
#define PT_I2          0x0002
#define PT_LONG        0x0003
#define PT_R4          0x0004
#define PT_DOUBLE      0x0005
#define PT_CURRENCY    0x0006
#define PT_APPTIME     0x0007
#define PT_ERROR       0x000A
#define PT_BOOLEAN     0x000B
#define PT_OBJECT      0x000D
#define PT_I8          0x0014
#define PT_STRING8     0x001E
#define PT_UNICODE     0x001F
#define PT_SYSTIME     0x0040
#define PT_CLSID       0x0048
#define PT_SVREID      0x00FB
#define PT_RESTRICTION 0x00FD
#define PT_ACTIONS     0x00FE
#define PT_BINARY      0x0102
#define PT_MV          0x1000

#define TAG_TYPE(tag) ((uint16_t)((tag)&0xFFFFu))
#define TAG_ID(tag)   ((uint16_t)((tag) >> 16))
#define TAG(id, type) (((uint32_t)(id) << 16) | (type))

/* ---- values and property bags ---------------------------------------------------------------- */

typedef struct lab_val { /* data is borrowed: from a bag, an arena or the request */
    uint32_t tag;
    const uint8_t *data;
    size_t size;
} lab_val;

typedef struct lab_prop {
    uint32_t tag;
    uint8_t *data;
    size_t size;
} lab_prop;

typedef struct lab_props {
    lab_prop *items;
    size_t count, cap;
} lab_props;

void *lab_calloc(size_t n, size_t size);
char *lab_strdup(const char *s);
void *lab_dup(const void *p, size_t n);
void *lab_arena(cpuu_arena *a, size_t n);
/* Makes room for one more element of an array. */
#define LAB_GROW(array, cap, count) lab_grow(&(array), &(cap), (count), sizeof(*(array)))
void lab_grow(void *array, size_t *cap, size_t count, size_t elem);

const lab_prop *lab_props_find(const lab_props *p, uint32_t tag); /* same id, any type */
void lab_props_set(lab_props *p, uint32_t tag, const void *data, size_t size);
void lab_props_set_text(lab_props *p, uint16_t id, const char *utf8);
void lab_props_set_u32(lab_props *p, uint32_t tag, uint32_t v);
void lab_props_remove(lab_props *p, uint16_t id);
void lab_props_copy(lab_props *to, const lab_props *from);
void lab_props_free(lab_props *p);

/* Size of a fixed-size type, 0 for the others. */
uint32_t lab_fixed_size(uint16_t type);
bool lab_known_type(uint16_t type);
/* One value as it is in a ROP buffer; the result borrows from the reader. */
bool lab_value_read(cpuu_reader *r, uint32_t tag, lab_val *out);
bool lab_tagged_read(cpuu_reader *r, lab_val *out); /* tag in front */
void lab_value_write(cpuu_buf *b, const lab_val *v);
size_t lab_value_wire_size(const lab_val *v);
/* <0, 0, >0; values of the same type. Text without regard to ASCII case. */
int lab_value_compare(const lab_val *a, const lab_val *b);
/* Text types as UTF-8 in the arena; NULL for other types. */
char *lab_value_text(cpuu_arena *a, const lab_val *v);
/* v as type `type` (text 8-bit <-> Unicode, also multi-valued); false when it cannot be. */
bool lab_value_convert(cpuu_arena *a, const lab_val *v, uint16_t type, lab_val *out);
lab_val lab_val_text(cpuu_arena *a, uint16_t id, const char *utf8);
lab_val lab_val_u32(cpuu_arena *a, uint32_t tag, uint32_t v);
lab_val lab_val_u64(cpuu_arena *a, uint32_t tag, uint64_t v);
lab_val lab_val_bytes(cpuu_arena *a, uint32_t tag, const void *p, size_t n);

/* Walks a restriction ([MS-OXCDATA] 2.12, 16-bit counts). get = NULL only checks the layout. */
typedef bool (*lab_getter)(void *obj, uint32_t tag, lab_val *out);
bool lab_restriction(cpuu_reader *r, lab_getter get, void *obj, bool *match, unsigned depth);
bool lab_actions_valid(cpuu_reader *r);
/* Does `have` match `want` under a relation ([MS-OXCDATA] 2.12.5) or a fuzzy level (2.12.4)? */
bool lab_relop(uint8_t relop, const lab_val *have, const lab_val *want);
bool lab_content(uint32_t fuzzy, const lab_val *have, const lab_val *want);

/* ---- stores ---------------------------------------------------------------------------------- */

typedef struct lab_org lab_org;
typedef struct lab_user lab_user;
typedef struct lab_store lab_store;
typedef struct lab_folder lab_folder;

typedef struct lab_attachment {
    uint32_t number;
    lab_props props;
} lab_attachment;

typedef struct lab_recipient {
    uint32_t row_id;
    uint8_t type;
    uint8_t *row; /* RecipientRow, [MS-OXCDATA] 2.8.3, as it came */
    uint16_t size;
} lab_recipient;

typedef struct lab_content_of { /* what Save replaces as a whole */
    lab_props props;
    lab_attachment *attachments;
    size_t n_attachments, attachments_cap;
    uint32_t next_attachment;
    lab_recipient *recipients;
    size_t n_recipients, recipients_cap;
    uint32_t *recipient_tags;
    uint16_t n_recipient_tags;
} lab_content_of;

typedef struct lab_message {
    lab_folder *folder;
    uint64_t counter;
    bool fai, deleted;
    uint32_t version; /* of the last save */
    uint64_t created, modified, change;
    lab_content_of content;
} lab_message;

typedef struct lab_rule {
    uint64_t id; /* as on the wire */
    lab_props props;
} lab_rule;

typedef struct lab_member {
    int64_t id; /* 0 default, -1 anonymous */
    char *dn;   /* NULL for the two */
    char *name;
    uint32_t rights;
} lab_member;

struct lab_folder {
    lab_store *store;
    lab_folder *parent; /* NULL: the root */
    uint64_t counter;
    uint32_t type; /* 0 root, 1 generic, 2 search */
    bool deleted;
    bool built_in; /* made by the lab for every mailbox: not in the dump unless it has contents */
    const char *role; /* "inbox", ... or NULL */
    uint64_t created, modified, change;
    uint32_t version; /* changes with every change of contents or children */
    lab_props props;
    lab_message **messages;
    size_t n_messages, messages_cap;
    lab_rule *rules;
    size_t n_rules, rules_cap;
    uint64_t next_rule;
    lab_member *members;
    size_t n_members, members_cap;
    int64_t next_member;
    uint8_t *criteria; /* search folder */
    uint16_t criteria_size;
    uint64_t *scope; /* folder ids as on the wire */
    uint16_t n_scope;
    uint32_t search_flags;
};

typedef struct lab_name { /* a named property */
    uint8_t guid[16];
    uint8_t kind; /* 0 lid, 1 name */
    uint32_t lid;
    char *name;
    uint16_t id;
} lab_name;

struct lab_store {
    lab_org *org;
    lab_user *owner; /* NULL: the public store */
    uint8_t mailbox_guid[16];
    uint8_t repl_guid[16];
    uint16_t repl_id;
    uint64_t next_counter;
    lab_folder **folders;
    size_t n_folders, folders_cap;
    lab_folder *roles[LAB_ROLES];
    lab_folder *root, *ipm;
    lab_props props; /* of the store object */
    lab_name *names;
    size_t n_names, names_cap;
    uint16_t next_name;
};

typedef enum lab_kind { LAB_MAILBOX, LAB_LIST, LAB_REMOTE, LAB_ROOM } lab_kind;

struct lab_user {
    lab_org *org;
    lab_kind kind;
    char *name; /* login and name in the content file */
    char *smtp;
    char *dn;
    char *display;
    char *password;
    char *autodiscover; /* special answer, or NULL */
    char **proxies;     /* "smtp:...", "X500:/o=..." */
    size_t n_proxies, proxies_cap;
    char **grants; /* users with full access to this mailbox */
    size_t n_grants, grants_cap;
    char **alternatives;
    size_t n_alternatives, alternatives_cap;
    lab_store *store;
    uint32_t mid; /* address book */
    uint8_t guid[16];
};

typedef enum lab_admin_flag { LAB_ADMIN_ANY, LAB_ADMIN_REQUIRED, LAB_ADMIN_REFUSED } lab_admin_flag;

typedef struct lab_fault {
    char action[24]; /* "" = none */
    char type[24];   /* request type it counts, "" = all, "change" = what has changed anything */
    uint32_t at;     /* 1 = the next matching request */
    uint32_t count;  /* how many in a row */
    uint32_t seen;
} lab_fault;

typedef struct lab_stats {
    uint64_t requests, bytes_in, bytes_out, executes, rops, connects, autodiscovers, nspi;
} lab_stats;

struct lab_org {
    struct lab *lab;
    char *name; /* "source", "target" */
    char *o;    /* organisation in DNs */
    char *domain;
    char *host; /* in URLs; NULL = localhost:port */
    lab_user **users;
    size_t n_users, users_cap;
    lab_store *public_store;
    bool independent; /* behave like the independent server of the reference */
    bool odd;         /* what the documents leave open, answered unlike both: other cookies beside the own
                       * ones, obfuscated payloads, at most 3 rows and 1500 bytes of a stream at
                       * once, rows always flagged, no SMTP address but among the proxies,
                       * Autodiscover in prefixes and capitals with an external address nobody can
                       * reach, special folders of another mailbox in the root's properties */
    uint8_t unsupported; /* a RopId that is answered with NotSupported; 0 = none */
    uint8_t unknown;     /* a RopId nobody knows here: nothing of its request is done; 0 = none */
    bool crashing;       /* and that ends in a 500 instead of RpcFormat */
    bool stopping;       /* or in an error for that ROP, and no answer to what comes after it */
    bool lax;            /* Restrict and the Depth flag are taken, and have no effect */
    bool whole_reads;    /* a ReadStream is answered whole or with RopBufferTooSmall */
    uint8_t without;     /* bit n: request n of lab_nspi is not known here */
    bool mapihttp;    /* offered at all */
    bool legacy_too;  /* EXCH/EXPR also when MAPI/HTTP is offered */
    bool owner_connects; /* Connect names the owner of the URL's mailbox, whoever authenticates */
    lab_admin_flag admin_flag;
    uint32_t max_messages; /* open at once */
    uint32_t max_contexts;
    uint32_t delay_ms; /* each way */
    uint16_t port;
    lab_fault fault;
    lab_stats stats;
    struct lab_context **contexts;
    size_t n_contexts, contexts_cap;
};

typedef struct lab {
    pthread_mutex_t lock;
    lab_org *orgs[LAB_MAX_ORGS];
    size_t n_orgs;
    bool http;
    uint64_t clock;   /* next time stamp, 100 ns since 1601 */
    uint64_t change;  /* change numbers */
    uint64_t cookies; /* session numbers */
    uint8_t secret[16];
    atomic_bool die; /* the main loop ends with status 3 */
} lab;

lab *lab_new(void);
void lab_free(lab *l);
lab_org *lab_add_org(lab *l, const char *name);
lab_org *lab_find_org(const lab *l, const char *name);
lab_user *lab_add_user(lab_org *o, const char *name, lab_kind kind);
lab_user *lab_find_user(const lab_org *o, const char *name);        /* name, SMTP address or DN */
lab_user *lab_user_by_dn(const lab_org *o, const char *dn);         /* own DN only */
lab_user *lab_user_by_proxy(const lab_org *o, const char *address); /* SMTP or X500 */
bool lab_full_access(const lab_user *who, const lab_user *mailbox);

lab_store *lab_store_new(lab_org *o, lab_user *owner);
lab_folder *lab_folder_new(lab_folder *parent, const char *name, const char *klass, uint32_t type);
lab_folder *lab_folder_by_role(const lab_store *s, const char *role);
/* "@role/a/b" or "a/b" below the visible tree, "/a" below the root; "\/" is a slash in a name. */
lab_folder *lab_folder_by_path(const lab_store *s, const char *path);
lab_folder *lab_folder_child(const lab_folder *f, const char *name);
char *lab_folder_name(const lab_folder *f); /* UTF-8, caller frees */
void lab_folder_delete(lab_folder *f);
void lab_folder_touch(lab_folder *f);
lab_message *lab_message_new(lab_folder *f, bool fai);
void lab_message_delete(lab_message *m);
void lab_content_copy(lab_content_of *to, const lab_content_of *from);
void lab_content_free(lab_content_of *c);
lab_rule *lab_rule_new(lab_folder *f);
void lab_rule_delete(lab_folder *f, size_t i);
lab_member *lab_member_new(lab_folder *f, const char *dn, const char *name, uint32_t rights);
uint32_t lab_rights(const lab_folder *f, const lab_user *who);      /* [MS-OXCPERM] 2.2.7 */
uint16_t lab_name_id(lab_store *s, const lab_name *n, bool create); /* 0 = none */
const lab_name *lab_name_of(const lab_store *s, uint16_t id);
uint64_t lab_now(lab *l); /* strictly increasing */

/* ids as on the wire: replica id, then the counter big-endian ([MS-OXCDATA] 2.2.1.1) */
uint64_t lab_id(const lab_store *s, uint64_t counter);
uint64_t lab_counter(uint64_t id);
lab_folder *lab_folder_by_id(const lab_store *s, uint64_t id);
lab_message *lab_message_by_id(const lab_folder *f, uint64_t id);

/* Binary ids, appended to b. Layouts: [MS-OXCDATA] 2.2.4, 2.2.5.2; store entry v3: as observed. */
void lab_put_id22(cpuu_buf *b, const lab_store *s, uint64_t counter); /* source key */
void lab_put_folder_eid(cpuu_buf *b, const lab_folder *f);
void lab_put_message_eid(cpuu_buf *b, const lab_message *m);
void lab_put_store_eid(cpuu_buf *b, const lab_store *s);
void lab_put_ab_eid(cpuu_buf *b, const char *dn, uint32_t type);
void lab_put_search_key(cpuu_buf *b, const char *type, const char *address); /* upper case, NUL */
uint32_t lab_display_type(const lab_user *u);

/* ---- content file and dump ------------------------------------------------------------------- */

/* false: message in err (one line with file and line number). */
bool lab_load(lab *l, const char *path, char *err, size_t err_size);
/* The same for a text in memory, which is changed; name is for messages. */
bool lab_load_text(lab *l, const char *name, char *text, char *err, size_t err_size);
/* Canonical JSON of one organisation or (NULL) all; caller frees with free(). */
char *lab_dump(const lab *l, const lab_org *only);
/* Identifiers of mailboxes and folders as JSON; caller frees with free(). */
char *lab_ids(const lab *l);

/* ---- objects as a client sees them ----------------------------------------------------------- */

typedef enum lab_obj_kind {
    LAB_OBJ_NONE,
    LAB_OBJ_LOGON,
    LAB_OBJ_FOLDER,
    LAB_OBJ_MESSAGE,
    LAB_OBJ_ATTACHMENT,
    LAB_OBJ_RULE,
    LAB_OBJ_MEMBER,
    LAB_OBJ_TABLE,
    LAB_OBJ_STREAM
} lab_obj_kind;

typedef struct lab_view { /* something that has properties */
    lab_obj_kind kind;
    lab_store *store;
    lab_folder *folder;
    const lab_message *message;
    const lab_content_of *content; /* of the message: stored or opened */
    const lab_attachment *attachment;
    const lab_rule *rule;
    const lab_member *member;
    const lab_user *user; /* who looks */
    cpuu_arena *arena;    /* computed values live here */
} lab_view;

bool lab_get(const lab_view *v, uint32_t tag, lab_val *out);
/* Every tag the object has, in the arena. */
uint32_t *lab_get_list(const lab_view *v, size_t *count);
bool lab_read_only(const lab_view *v, uint32_t tag);

#endif
