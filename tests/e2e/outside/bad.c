/*
 * A plugin that does one thing wrong, chosen with -DCASE_...: what the host must notice, name, and take
 * back. Only the last part of the file differs.
 */
#include <cpuu/plugin.h>

#include <stdlib.h>
#include <string.h>

static const uint32_t TAGS[] = {0x0037001Fu, 0x684D0102u, 0x684E0102u}; /* Subject; a link's record key and store */
static const cpuu_query READS[] = {
    CPUU_QUERY(CPUU_SOURCE, CPUU_HIDDEN, CPUU_ROLE_COMMON_VIEWS, "IPM.Microsoft.WunderBar.Link", TAGS),
    CPUU_QUERY(CPUU_TARGET, CPUU_HIDDEN, CPUU_ROLE_COMMON_VIEWS, "IPM.Microsoft.WunderBar.Link", TAGS),
};

/* A message that would be found in the mailbox, had it been written. */
static cpuu_rc queue_one(const cpuu_host *h, cpuu_run *run)
{
    static const char class[] = "IPM.Outside.Bad", subject[] = "written by a bad plugin";
    const cpuu_value set[] = {{0x001A001Fu, sizeof(class) - 1, (const uint8_t *)class},
                              {0x0037001Fu, sizeof(subject) - 1, (const uint8_t *)subject}};
    cpuu_change c;
    memset(&c, 0, sizeof(c));
    c.size = sizeof(c);
    c.verb = CPUU_CREATE;
    c.what = CPUU_HIDDEN;
    c.role = CPUU_ROLE_INBOX;
    c.set = set;
    c.n_set = 2;
    c.title = "bad";
    return h->change(run, &c, 1, NULL);
}

#if defined(CASE_FOREIGN_ID)
/* Changes a message whose id it has read nowhere. */
static cpuu_rc CPUU_CALL update(const cpuu_host *h, cpuu_run *run)
{
    uint8_t id[70];
    const cpuu_value set = {0x0037001Fu, 3, (const uint8_t *)"bad"};
    cpuu_change c;
    memset(id, 0x5A, sizeof(id));
    memset(&c, 0, sizeof(c));
    c.size = sizeof(c);
    c.verb = CPUU_UPDATE;
    c.what = CPUU_HIDDEN;
    c.role = CPUU_ROLE_COMMON_VIEWS;
    c.id.data = id;
    c.id.size = sizeof(id);
    c.set = &set;
    c.n_set = 1;
    c.title = "of nobody";
    queue_one(h, run);
    return h->change(run, &c, 1, NULL);
}
#elif defined(CASE_COLLEAGUE)
/* Deletes what it has read in a colleague's mailbox. */
static cpuu_rc CPUU_CALL update(const cpuu_host *h, cpuu_run *run)
{
    cpuu_rows *rows[2] = {NULL, NULL}, *his = NULL;
    cpuu_row row;
    cpuu_link store;
    cpuu_query q = CPUU_QUERY(CPUU_TARGET, CPUU_ITEMS, CPUU_ROLE_INBOX, NULL, TAGS);
    cpuu_change c;
    memset(&store, 0, sizeof(store));
    store.size = sizeof(store);
    store.kind = CPUU_LINK_EID;
    h->read(run, READS, 2, rows);
    for (uint32_t i = 0; row.size = sizeof(row), h->rows(rows[0], i, &row) == CPUU_OK; i++)
        if (CPUU_FOUND(&row.values[0]) && row.values[0].size == 9 &&
            memcmp(row.values[0].data, "Bob Brown", 9) == 0) {
            store.in.data = row.values[2].data;
            store.in.size = row.values[2].size;
        }
    h->translate(run, &store, 1);
    q.store = store.out;
    h->read(run, &q, 1, &his);
    row.size = sizeof(row);
    if (h->rows(his, 0, &row) != CPUU_OK)
        return h->fail(run, CPUU_E_NOTFOUND, "find a message of Bob's", "his Inbox");
    memset(&c, 0, sizeof(c));
    c.size = sizeof(c);
    c.verb = CPUU_DELETE;
    c.what = CPUU_ITEMS;
    c.role = CPUU_ROLE_INBOX;
    c.id = row.id;
    c.title = "Bob's message";
    queue_one(h, run);
    return h->change(run, &c, 1, NULL);
}
#elif defined(CASE_CODE)
static cpuu_rc CPUU_CALL update(const cpuu_host *h, cpuu_run *run)
{
    queue_one(h, run);
    return 77;
}
#elif defined(CASE_SILENT)
static cpuu_rc CPUU_CALL update(const cpuu_host *h, cpuu_run *run)
{
    queue_one(h, run);
    h->flush(run); /* written already, and to be taken back */
    return CPUU_E_FAILED;
}
#elif defined(CASE_SOURCE)
/* Writes to a section it has not declared. */
static cpuu_rc CPUU_CALL update(const cpuu_host *h, cpuu_run *run)
{
    cpuu_blob text = {(const uint8_t *)"x", 1};
    queue_one(h, run);
    h->file_write(run, CPUU_DIR_ROAMING, "bad.txt", &text);
    return CPUU_OK;
}
#elif defined(CASE_LATE)
/* Keeps what belongs to a verb, and uses it after the verb has returned. */
static cpuu_run *kept;
static cpuu_rc CPUU_CALL update(const cpuu_host *h, cpuu_run *run)
{
    (void)h;
    kept = run;
    return CPUU_OK;
}
static cpuu_rc CPUU_CALL second(const cpuu_host *h, cpuu_run *run)
{
    cpuu_rows *rows[2] = {NULL, NULL};
    (void)run;
    h->log(kept, CPUU_LOG_INFO, "I should be silent");
    h->read(kept, READS, 2, rows);
    queue_one(h, kept);
    h->flush(kept);
    return CPUU_OK;
}
#elif defined(CASE_HANGS)
/* Has written, and computes without end. */
static cpuu_rc CPUU_CALL update(const cpuu_host *h, cpuu_run *run)
{
    volatile unsigned i = 0;
    queue_one(h, run);
    h->flush(run);
    while (i < 2)
        i = 1;
    return CPUU_OK;
}
#elif defined(CASE_SLOW)
/* Has written, and goes on asking without end. */
static cpuu_rc CPUU_CALL update(const cpuu_host *h, cpuu_run *run)
{
    cpuu_rc rc = queue_one(h, run);
    if (rc == CPUU_OK)
        rc = h->flush(run);
    for (uint32_t i = 0; rc == CPUU_OK; i++)
        rc = h->beat(run, i, 0);
    return rc;
}
#else
static cpuu_rc CPUU_CALL update(const cpuu_host *h, cpuu_run *run)
{
    return queue_one(h, run);
}
#endif

#define NEEDS                                                                                      \
    (CPUU_NEED_SOURCE | CPUU_NEED_TARGET | CPUU_NEED_TARGET_WRITE | CPUU_NEED_OTHERS)
static const cpuu_feature BAD = {
    sizeof(cpuu_feature), NEEDS, CPUU_LINK_EID, 2u, 0u, "Bad", "Bad plugin", NULL, READS, NULL,
    NULL, update, NULL, NULL, NULL};
#ifdef CASE_LATE
static const char *const AFTER[] = {"Bad", NULL};
static const cpuu_feature WORSE = {
    sizeof(cpuu_feature), NEEDS, CPUU_LINK_EID, 2u, 0u, "Worse", "Worse plugin", AFTER, READS,
    NULL, NULL, second, NULL, NULL, NULL};
static const cpuu_feature *const FEATURES[] = {&BAD, &WORSE, NULL};
#else
static const cpuu_feature *const FEATURES[] = {&BAD, NULL};
#endif
#ifdef CASE_ABI
#define ABI CPUU_ABI_MAKE(2, 0)
#else
#define ABI CPUU_ABI_VERSION
#endif
static const cpuu_plugin PLUGIN = {sizeof(cpuu_plugin), ABI, "0.1", "Nobody", "MIT", FEATURES};

#ifdef CASE_SYMBOL
CPUU_EXPORT const cpuu_plugin *CPUU_CALL another_name(uint32_t host_abi);
CPUU_EXPORT const cpuu_plugin *CPUU_CALL another_name(uint32_t host_abi)
#else
CPUU_EXPORT const cpuu_plugin *CPUU_CALL cpuu_plugin_query(uint32_t host_abi)
#endif
{
    (void)host_abi;
#ifdef CASE_NULL
    return NULL;
#else
    return &PLUGIN;
#endif
}
