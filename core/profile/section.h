/*
 * Reading profile sections: what the files of this folder share. A property is a registry value
 * named TTTTIIII, type and id in hex (reference 2.1); a section is a key named by the 16 bytes of
 * its UID in memory order.
 */
#ifndef CPUU_PROFILE_SECTION_H
#define CPUU_PROFILE_SECTION_H

#include "profile/profile.h"

/* Property tags: MAPI headers and EdkMdb.h, see the reference for what each holds. */
#define TAG(id, type) ((uint32_t)(id) << 16 | (type))
enum {
    PT_LONG = 0x0003,
    PT_ERROR = 0x000a,
    PT_STRING8 = 0x001e,
    PT_UNICODE = 0x001f,
    PT_BINARY = 0x0102,
    PT_MV_STRING8 = 0x101e
};
#define PR_DISPLAY_NAME          0x3001u
#define PR_RESOURCE_TYPE         TAG(0x3e03u, PT_LONG)
#define PR_RESOURCE_FLAGS        TAG(0x3009u, PT_LONG)
#define PR_PROFILE_UID           TAG(0x300bu, PT_BINARY) /* 0102300b, a search key */
#define PR_MDB_PROVIDER          TAG(0x3414u, PT_BINARY)
#define PR_ENTRYID               TAG(0x0fffu, PT_BINARY)
#define PR_RECORD_KEY            TAG(0x0ff9u, PT_BINARY)
#define PR_STORE_PROVIDERS       TAG(0x3d00u, PT_BINARY)
#define PR_AB_PROVIDERS          TAG(0x3d01u, PT_BINARY)
#define PR_TRANSPORT_PROVIDERS   TAG(0x3d02u, PT_BINARY)
#define PR_AB_SEARCH_PATH_UPDATE TAG(0x3d11u, PT_BINARY)
#define PR_SERVICE_UID           TAG(0x3d0cu, PT_BINARY)
#define PR_SERVICES              TAG(0x3d0eu, PT_BINARY)
#define PR_EMSMDB_SECTION_UID    TAG(0x3d15u, PT_BINARY)
#define PR_SERVICE_NAME          0x3d09u
#define PR_SERVICE_SUPPORT_FILES TAG(0x3d0fu, PT_MV_STRING8)
#define PR_PROFILE_CONFIG_FLAGS  TAG(0x6601u, PT_LONG)
#define PR_PROFILE_USER          0x6603u
#define PR_PROFILE_MAILBOX       0x660bu
#define PR_PROFILE_OST_PATH      0x6610u
#define PR_PROFILE_AUTH_PACKAGE  TAG(0x6619u, PT_LONG)
#define PR_PROFILE_USER_EMAIL    0x663du
#define PR_PROFILE_USER_SMTP     0x6641u /* "SMTP:user@domain" */
#define PR_DISPLAYNAME_SET       TAG(0x6688u, PT_LONG)

#define CPUU_EXCHANGE_SERVICE "MSEMS"

#define CPUU_SECTION_EMSAB "dca740c8c042101ab4b908002b2fe182" /* MUIDEMSAB, reference 3.1 */

/* The kinds of an Exchange store provider (PR_MDB_PROVIDER), EdkMdb.h; in section.c. */
extern const uint8_t cpuu_mdb_primary[16];
extern const uint8_t cpuu_mdb_delegate[16];
extern const uint8_t cpuu_mdb_public[16];

typedef struct cpuu_section { /* one key, read once */
    char *key;
    cpuu_reg_values v;
    bool exists;
} cpuu_section;

/* A missing section is success with exists = false. close() after success only. */
cpuu_rc cpuu_section_open(cpuu_profile *p, const char *name, cpuu_section *out, cpuu_error *err);
cpuu_rc cpuu_section_open_key(cpuu_reg *reg, const char *key, cpuu_section *out, cpuu_error *err);
void cpuu_section_close(cpuu_section *s);
/* cpuu_reg_has_key() that tells "no" from "could not look": an image must not record a key as
 * absent because memory ran out. */
cpuu_rc cpuu_key_exists(cpuu_reg *reg, const char *key, bool *exists, cpuu_error *err);
/* The same for a section of the profile. */
cpuu_rc cpuu_section_exists(cpuu_profile *p, const char *name, bool *exists, cpuu_error *err);

void cpuu_tag_name(char out[9], uint32_t tag);
/* True when a value name is that of a MAPI property (8 hex digits; not a secure "S" one). */
bool cpuu_tag_parse(const char *name, uint32_t *tag);

const cpuu_reg_value *cpuu_section_find(const cpuu_section *s, uint32_t tag);
/* A PT_LONG, or `missing` when there is none or it does not have 4 bytes. */
uint32_t cpuu_section_u32(const cpuu_section *s, uint32_t tag, uint32_t missing);
/* Exactly 16 bytes of binary. */
bool cpuu_section_uid(const cpuu_section *s, uint32_t tag, uint8_t uid[16]);
bool cpuu_section_is(const cpuu_section *s, uint32_t tag, const uint8_t uid[16]);
/* The text of a property, Unicode form first, else the 8-bit one; NULL when missing, empty or not
 * text. In `arena`. */
cpuu_rc cpuu_section_text(const cpuu_section *s, uint32_t id, cpuu_arena *arena, char **out,
                          cpuu_error *err);

/* Text of a value that is REG_SZ, or (account manager up to 15.0, PT_UNICODE) REG_BINARY with
 * UTF-16LE. *out NULL: not text. In `arena`. */
cpuu_rc cpuu_value_text(const cpuu_reg_value *v, cpuu_arena *arena, char **out, cpuu_error *err);

/* Whether a profile of that Outlook version can have that key, and DefaultProfile that other one.
 */
bool cpuu_profile_is_place(const char *version, const char *default_key, const char *profile_key);
/* Full key of a section, owned by the caller; NULL when out of memory. */
char *cpuu_section_key(const cpuu_profile *p, const char *name);
/* Hands an error on that was first caught because some codes of it are no errors here. */
cpuu_rc cpuu_pass(cpuu_error *err, const cpuu_error *why);

/* A UID list (16-byte UIDs, concatenated): the number of whole UIDs, and whether one is in it. A
 * longer one is none: real profiles have a dozen, and time must stay bounded. */
#define CPUU_MAX_UIDS 1024u
size_t cpuu_uids_count(const cpuu_reg_value *v);
bool cpuu_uids_has(const cpuu_reg_value *v, const uint8_t uid[16]);
/* 32 hex digits of a UID in `arena`, or NULL. */
char *cpuu_uid_text(cpuu_arena *arena, const uint8_t uid[16]);

#endif
