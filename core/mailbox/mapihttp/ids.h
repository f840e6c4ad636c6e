/*
 * Ids of one mailbox: the 8-byte ids of a logon, long-term ids and EntryIDs ([MS-OXCDATA] 2.2.1,
 * 2.2.4.1, 2.2.4.2). A short id is a replica number and a counter; which GUID the number stands for
 * only the server can say, so the pairs seen are kept here.
 */
#ifndef CPUU_MAPIHTTP_IDS_H
#define CPUU_MAPIHTTP_IDS_H

#include "base/mem.h"

#include <cpuu/plugin.h>

#define CPUU_FOLDER_EID_SIZE  46u
#define CPUU_MESSAGE_EID_SIZE 70u

typedef struct cpuu_replica {
    uint16_t id;
    uint8_t guid[16];
} cpuu_replica;

typedef struct cpuu_ids {
    uint8_t provider[16]; /* MailboxGuid, or the fixed UID of public stores */
    bool is_public;
    cpuu_replica *replicas;
    size_t n_replicas, cap;
} cpuu_ids;

void cpuu_ids_free(cpuu_ids *ids);
/* Remembers a pair; a pair already known is left alone. A zero GUID is refused (false): a server
 * was seen to answer so for a number it does not know. False also when out of memory. */
bool cpuu_ids_learn(cpuu_ids *ids, uint16_t id, const uint8_t guid[16]);
const uint8_t *cpuu_ids_guid(const cpuu_ids *ids, uint64_t short_id);

/* Short id -> EntryID; false when the GUID behind a replica number is not known yet. */
bool cpuu_ids_folder_eid(const cpuu_ids *ids, uint64_t fid, uint8_t out[CPUU_FOLDER_EID_SIZE]);
bool cpuu_ids_message_eid(const cpuu_ids *ids, uint64_t fid, uint64_t mid,
                          uint8_t out[CPUU_MESSAGE_EID_SIZE]);

typedef enum cpuu_id_result {
    CPUU_ID_OK = 0,
    CPUU_ID_UNKNOWN_GUID, /* right mailbox, but the replica number must be asked: long_term_id */
    CPUU_ID_FOREIGN,      /* of another store */
    CPUU_ID_BAD           /* no EntryID of that kind */
} cpuu_id_result;

/* EntryID -> short id. mid may be NULL for folders, else a message EntryID is expected. On
 * CPUU_ID_UNKNOWN_GUID *long_term_id holds the 24-byte LongTermID to ask for. */
cpuu_id_result cpuu_ids_from_eid(const cpuu_ids *ids, cpuu_blob eid, uint64_t *fid, uint64_t *mid,
                                 uint8_t long_term_id[24]);

#endif
