/*
 * What the parts of ContactMembers share. contact.c: addresses of contacts; members.c: members of
 * personal lists and linked contacts; messages.c: which message of the target a message of the source
 * became. These three use no service of the host.
 */
#ifndef CPUU_PLUGINS_CONTACTMEMBERS_H
#define CPUU_PLUGINS_CONTACTMEMBERS_H

#include "common/kit.h"

#include <cpuu/formats/distlist.h>

/* ---- named properties ------------------------------------------------------------------------ */

#define CM_SLOTS 6u /* e-mail 1-3, fax 1-3 */

/* Of each slot, in the order of `names`. */
enum cm_slot_name { CM_TYPE, CM_ADDRESS, CM_ORIGINAL, CM_EID, CM_SLOT_NAMES };
enum cm_name {
    CM_GAL = CM_SLOTS * CM_SLOT_NAMES, /* EntryID of the entry it is linked with */
    CM_LINKED,
    CM_LIST_NAME,
    CM_MEMBERS,
    CM_ONEOFFS,
    CM_CHECKSUM,
    CM_STREAM,
    CM_NAMES
};

/* ---- contacts -------------------------------------------------------------------------------- */

/* One identity in several forms, changed together. */
typedef struct cm_group {
    uint32_t first, n; /* links */
    uint32_t decides;
    bool rewrite;
    uint8_t what; /* slot, or CM_GAL */
} cm_group;

typedef struct cm_contact {
    cpuu_blob id;
    const char *title;
    uint32_t first_group, n_groups;
} cm_contact;

/* Contacts that name people in an address book; everything is copied. */
typedef struct cm_contacts {
    kit_pool pool;
    kit_links links;
    uint32_t *tags; /* of each link: the property it came from */
    uint32_t cap_tags;
    cm_group *groups;
    uint32_t n_groups, cap_groups;
    cm_contact *items;
    uint32_t count, cap;
    bool failed; /* out of memory */
} cm_contacts;

/* The columns slots and GAL link are read with, CM_GAL + 1 of them, in the order of the names. */
extern const uint32_t cm_contact_tags[CM_GAL + 1];
/* Takes a contact with values in that order, if it names somebody; else does nothing. */
void cm_contacts_add(cm_contacts *c, cpuu_blob id, const char *title, const cpuu_value *values);
void cm_contacts_settle(cm_contacts *c);
/* Values to write; set has room for all links of one contact. Returns how many. */
#define CM_MAX_SET (CM_SLOTS * CM_SLOT_NAMES + 1)
uint32_t cm_contact_values(const cm_contacts *c, const cm_contact *contact, cpuu_value *set);
const char *cm_group_name(const cm_group *g);
void cm_contacts_free(cm_contacts *c); /* empty and usable again */

/* ---- messages -------------------------------------------------------------------------------- */

typedef struct cm_message {
    cpuu_blob id;  /* EntryID */
    uint64_t key;  /* of search key and class; 0 = has none */
    uint32_t folder; /* number of the folder at the target it is in, or should be in; 0 = unknown */
} cm_message;

typedef struct cm_messages {
    cm_message *items;
    uint32_t count, cap;
    kit_pool pool;
    bool sorted;
    bool failed; /* out of memory */
} cm_messages;

void cm_messages_add(cm_messages *m, cpuu_blob id, cpuu_blob search_key, const char *class,
                     uint32_t folder);
/* Where the source's message is at the target. CPUU_REWRITTEN with *out, CPUU_ALREADY when it is one of
 * the target's, else CPUU_KEPT with the reason. Sorts both when needed. */
uint32_t cm_messages_find(cm_messages *source, cm_messages *target, cpuu_blob id, uint32_t *reason,
                          cpuu_blob *out);
void cm_messages_free(cm_messages *m);

/* ---- members --------------------------------------------------------------------------------- */

typedef struct cm_member {
    cpuu_blob eid;    /* as stored */
    cpuu_blob oneoff; /* stands for it; may be empty */
    cpuu_blob extra;  /* streams only */
    uint32_t first, n; /* links */
    uint32_t decides;
    cpuu_blob message; /* EntryID of a message inside eid; empty if none */
    cpuu_blob message_out;
    uint32_t outcome, reason; /* 0: no link */
    bool rewrite;
} cm_member;

typedef struct cm_members {
    cm_member *items;
    uint32_t count;
} cm_members;

/* All borrow from what they are made of. CPUU_OK, CPUU_E_FORMAT, CPUU_E_NOMEM. */
cpuu_rc cm_members_arrays(const cpuu_value *eids, const cpuu_value *oneoffs, cm_members *out);
cpuu_rc cm_members_stream(cpuu_blob stream, cm_members *out, cpuu_dl_stream *head);
cpuu_rc cm_members_flat(cpuu_blob list, cm_members *out, bool *padded);
void cm_members_free(cm_members *m);
/* Adds the links of all members and notes the messages inside. */
void cm_members_links(cm_members *m, kit_pool *pool, kit_links *links);
/* After translation, and after message_out, outcome and reason of messages were filled in. True when
 * something is to be rewritten. */
bool cm_members_settle(cm_members *m, const kit_links *links);
/* Appends member and one-off as they shall be. */
void cm_member_write(const cm_member *m, const kit_links *links, cpuu_buf *eid, cpuu_buf *oneoff);
/* Name of the member as the list has it, UTF-8. False: out of memory. */
bool cm_member_name(const cm_member *m, char *out, size_t out_size);

#endif
