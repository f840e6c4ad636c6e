/*
 * Which message of the target a message of the source became; see contactmembers.h. The search key
 * survives a copy ([MS-OXCPRPT] says how it is made; mailbox moves keep it: inferred), but copies share
 * it, so that the folder decides between several and more than one answer is none.
 */
#include "contactmembers/contactmembers.h"

#include <stdlib.h>
#include <string.h>

static uint64_t hash(uint64_t h, const uint8_t *data, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ data[i]) * 1099511628211u;
    return h;
}

void cm_messages_add(cm_messages *m, cpuu_blob id, cpuu_blob search_key, const char *class,
                     uint32_t folder)
{
    uint64_t key = 0;
    if (search_key.size) {
        key = hash(14695981039346656037u, search_key.data, search_key.size);
        key = hash(key, (const uint8_t *)class, strlen(class)) | 1;
    }
    if (!kit_grow(&m->items, &m->cap, m->count, sizeof(*m->items))) {
        m->failed = true;
        return;
    }
    m->items[m->count++] = (cm_message){kit_pool_copy(&m->pool, id), key, folder};
    m->sorted = false;
    m->failed = m->failed || m->pool.failed;
}

static int by_id(const void *a, const void *b)
{
    const cm_message *x = a, *y = b;
    const uint32_t n = x->id.size < y->id.size ? x->id.size : y->id.size;
    int d = n ? memcmp(x->id.data, y->id.data, n) : 0;
    return d ? d : (x->id.size > y->id.size) - (x->id.size < y->id.size);
}

static int by_key(const void *a, const void *b)
{
    const cm_message *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->folder > y->folder) - (x->folder < y->folder);
}

static void sort(cm_messages *m, int (*order)(const void *, const void *))
{
    if (!m->sorted && m->count)
        qsort(m->items, m->count, sizeof(*m->items), order);
    m->sorted = true;
}

/* The provider UID of a private EntryID is the mailbox. */
static bool of_mailbox(const cm_messages *m, cpuu_blob id)
{
    return m->count && id.size == CPUU_MESSAGE_EID_SIZE && m->items[0].id.size >= 20 &&
           memcmp(id.data + 4, m->items[0].id.data + 4, 16) == 0;
}

/* The one message with that key; in that folder when there are several. */
static const cm_message *with_key(const cm_messages *m, uint64_t key, uint32_t folder,
                                  bool *ambiguous)
{
    cm_message want = {.key = key};
    uint32_t low = 0, high = m->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (by_key(&m->items[middle], &want) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    const cm_message *found = NULL;
    unsigned all = 0, here = 0;
    for (uint32_t i = low; i < m->count && m->items[i].key == key; i++) {
        all++;
        if (folder && m->items[i].folder == folder) {
            here++;
            found = &m->items[i];
        }
    }
    if (all == 1)
        found = &m->items[low];
    *ambiguous = all > 1 && here != 1;
    return all == 1 || here == 1 ? found : NULL;
}

uint32_t cm_messages_find(cm_messages *source, cm_messages *target, cpuu_blob id, uint32_t *reason,
                          cpuu_blob *out)
{
    const cm_message key = {.id = id};
    bool ambiguous = false;
    *reason = CPUU_WHY_AT_TARGET;
    if (of_mailbox(target, id))
        return CPUU_ALREADY;
    sort(source, by_id);
    sort(target, by_key);
    const cm_message *from =
        source->count ? bsearch(&key, source->items, source->count, sizeof(key), by_id) : NULL;
    *reason = of_mailbox(source, id) ? CPUU_WHY_MISSING : CPUU_WHY_UNKNOWN;
    if (!from || !from->key)
        return CPUU_KEPT;
    const cm_message *to = with_key(target, from->key, from->folder, &ambiguous);
    if (ambiguous)
        *reason = CPUU_WHY_AMBIGUOUS;
    if (!to)
        return CPUU_KEPT;
    *reason = CPUU_WHY_OWN;
    *out = to->id;
    return CPUU_REWRITTEN;
}

void cm_messages_free(cm_messages *m)
{
    cpuu_fmt_free(m->items);
    kit_pool_free(&m->pool);
    memset(m, 0, sizeof(*m));
}
