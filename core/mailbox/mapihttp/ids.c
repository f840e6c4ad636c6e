/* Short ids, long-term ids and EntryIDs of one mailbox; see ids.h for the promises. */
#include "mailbox/mapihttp/ids.h"

#include <cpuu/formats/bytes.h>

#include <string.h>

/* Message and folder types inside an EntryID, [MS-OXCDATA] 2.2.4.1 and 2.2.4.2 */
enum {
    PRIVATE_FOLDER = 0x0001,
    PUBLIC_FOLDER = 0x0003,
    PRIVATE_MESSAGE = 0x0007,
    PUBLIC_MESSAGE = 0x0009
};

void cpuu_ids_free(cpuu_ids *ids)
{
    cpuu_free(ids->replicas);
    memset(ids, 0, sizeof(*ids));
}

static const uint8_t *guid_of(const cpuu_ids *ids, uint16_t id)
{
    for (size_t i = 0; i < ids->n_replicas; i++)
        if (ids->replicas[i].id == id)
            return ids->replicas[i].guid;
    return NULL;
}

bool cpuu_ids_learn(cpuu_ids *ids, uint16_t id, const uint8_t guid[16])
{
    static const uint8_t zero[16];
    if (memcmp(guid, zero, 16) == 0)
        return false;
    if (guid_of(ids, id))
        return true;
    if (!cpuu_grow(&ids->replicas, &ids->cap, ids->n_replicas, sizeof(*ids->replicas)))
        return false;
    ids->replicas[ids->n_replicas].id = id;
    memcpy(ids->replicas[ids->n_replicas].guid, guid, 16);
    ids->n_replicas++;
    return true;
}

const uint8_t *cpuu_ids_guid(const cpuu_ids *ids, uint64_t short_id)
{
    return guid_of(ids, (uint16_t)short_id);
}

/* GUID and counter: 22 bytes */
static bool put_gid(const cpuu_ids *ids, uint64_t short_id, uint8_t *out)
{
    const uint8_t *guid = cpuu_ids_guid(ids, short_id);
    if (!guid)
        return false;
    memcpy(out, guid, 16);
    for (unsigned i = 0; i < 6; i++)
        out[16 + i] = (uint8_t)(short_id >> (16 + 8 * i));
    return true;
}

static void put_head(const cpuu_ids *ids, uint8_t *out, uint16_t type)
{
    memcpy(out + 4, ids->provider, 16);
    out[20] = (uint8_t)type;
}

bool cpuu_ids_folder_eid(const cpuu_ids *ids, uint64_t fid, uint8_t out[CPUU_FOLDER_EID_SIZE])
{
    memset(out, 0, CPUU_FOLDER_EID_SIZE);
    put_head(ids, out, ids->is_public ? PUBLIC_FOLDER : PRIVATE_FOLDER);
    return put_gid(ids, fid, out + 22);
}

bool cpuu_ids_message_eid(const cpuu_ids *ids, uint64_t fid, uint64_t mid,
                          uint8_t out[CPUU_MESSAGE_EID_SIZE])
{
    memset(out, 0, CPUU_MESSAGE_EID_SIZE);
    put_head(ids, out, ids->is_public ? PUBLIC_MESSAGE : PRIVATE_MESSAGE);
    return put_gid(ids, fid, out + 22) && put_gid(ids, mid, out + 46);
}

static cpuu_id_result short_id(const cpuu_ids *ids, const uint8_t *gid, uint64_t *out,
                               uint8_t long_term_id[24])
{
    for (size_t i = 0; i < ids->n_replicas; i++) {
        if (memcmp(ids->replicas[i].guid, gid, 16) != 0)
            continue;
        uint64_t id = ids->replicas[i].id;
        for (unsigned k = 0; k < 6; k++)
            id |= (uint64_t)gid[16 + k] << (16 + 8 * k);
        *out = id;
        return CPUU_ID_OK;
    }
    memset(long_term_id, 0, 24);
    memcpy(long_term_id, gid, 22);
    return CPUU_ID_UNKNOWN_GUID;
}

cpuu_id_result cpuu_ids_from_eid(const cpuu_ids *ids, cpuu_blob eid, uint64_t *fid, uint64_t *mid,
                                 uint8_t long_term_id[24])
{
    if (eid.size != (mid ? CPUU_MESSAGE_EID_SIZE : CPUU_FOLDER_EID_SIZE))
        return CPUU_ID_BAD;
    uint16_t type = cpuu_le16(eid.data + 20);
    uint16_t want_private = mid ? PRIVATE_MESSAGE : PRIVATE_FOLDER;
    uint16_t want_public = mid ? PUBLIC_MESSAGE : PUBLIC_FOLDER;
    if (type != want_private && type != want_public)
        return CPUU_ID_BAD;
    /* A public store is known by the type: a server was seen that puts its own GUID there. */
    if (ids->is_public ? type != want_public
                       : type != want_private || memcmp(eid.data + 4, ids->provider, 16) != 0)
        return CPUU_ID_FOREIGN;
    cpuu_id_result got = short_id(ids, eid.data + 22, fid, long_term_id);
    if (got == CPUU_ID_OK && mid)
        got = short_id(ids, eid.data + 46, mid, long_term_id);
    return got;
}
