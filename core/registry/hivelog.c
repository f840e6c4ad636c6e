/* Replaying the log files of a hive; see hivelog.h for the promises. */
#include "registry/hivelog.h"

#include "base/mem.h"

#include <string.h>

#define BASE_BLOCK 4096u
#define LOG_HEAD   512u /* the first sector of a base block, then entries */
#define ENTRY_HEAD 40u
#define SECTOR     512u
#define BIN_UNIT   4096u
#define NEW_LOG    6u /* file type, offset 28 */
#define OLD_LOG    1u
#define MAX_GROWTH ((size_t)64 << 20) /* of a hive, beyond what the log files themselves hold */

typedef struct log_file {
    const uint8_t *data;
    size_t size;
    size_t at;         /* of the next entry */
    uint32_t sequence; /* that it must have */
    size_t most;       /* bytes of a hive that it may make */
} log_file;

typedef struct entry {
    uint32_t size, sequence, bins_size, pages;
    const uint8_t *data;
} entry;

/* ---- numbers --------------------------------------------------------------------------------- */

static void put32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

uint32_t cpuu_hive_xor(const uint8_t *base_block)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < 508; i += 4)
        sum ^= cpuu_le32(base_block + i);
    return sum;
}

uint32_t cpuu_hive_checksum(uint32_t xor)
{
    return xor == 0 ? 1 : xor == 0xffffffffu ? 0xfffffffeu : xor;
}

static uint32_t checksum(const uint8_t *block)
{
    return cpuu_hive_checksum(cpuu_hive_xor(block));
}

static uint32_t rotate(uint32_t v, unsigned n)
{
    return v << n | v >> (32 - n);
}

static void mix(uint32_t *lo, uint32_t *hi, uint32_t v)
{
    *lo += v;
    *hi ^= *lo;
    *lo = rotate(*lo, 20) + *hi;
    *hi = rotate(*hi, 9) ^ *lo;
    *lo = rotate(*lo, 27) + *hi;
    *hi = rotate(*hi, 19);
}

uint64_t cpuu_marvin32(const uint8_t *data, size_t size, uint64_t seed)
{
    uint32_t lo = (uint32_t)seed, hi = (uint32_t)(seed >> 32), last = 0x80;
    for (; size >= 4; data += 4, size -= 4)
        mix(&lo, &hi, cpuu_le32(data));
    while (size)
        last = last << 8 | data[--size];
    mix(&lo, &hi, last);
    mix(&lo, &hi, 0);
    return (uint64_t)hi << 32 | lo;
}

/* ---- one log file ---------------------------------------------------------------------------- */

static bool is_base_block(const uint8_t *block, size_t size, size_t least)
{
    return size >= least && memcmp(block, "regf", 4) == 0 && checksum(block) == cpuu_le32(block + 508);
}

bool cpuu_hive_is_dirty(const uint8_t *hive, size_t size)
{
    return is_base_block(hive, size, BASE_BLOCK) && cpuu_le32(hive + 4) != cpuu_le32(hive + 8);
}

/* A whole log of that format that belongs to this hive: version, root and file name are those. */
static bool belongs(const uint8_t *hive, const cpuu_buf *file, uint32_t type)
{
    const uint8_t *p = file->data;
    return is_base_block(p, file->size, LOG_HEAD) && cpuu_le32(p + 28) == type &&
           cpuu_le32(p + 4) == cpuu_le32(p + 8) && memcmp(p + 20, hive + 20, 8) == 0 &&
           memcmp(p + 36, hive + 36, 4) == 0 && memcmp(p + 48, hive + 48, 64) == 0;
}

static bool open_log(const uint8_t *hive, const cpuu_buf *file, log_file *log)
{
    const uint8_t *p = file->data;
    if (!belongs(hive, file, NEW_LOG))
        return false;
    *log = (log_file){p, file->size, LOG_HEAD, cpuu_le32(p + 4), 0};
    return true;
}

/* The pages an entry lists lie within the bins and are all there behind the list. */
static bool pages_fit(const entry *e)
{
    uint64_t need = ENTRY_HEAD + (uint64_t)8 * e->pages;
    if (need > e->size)
        return false;
    for (uint32_t i = 0; i < e->pages; i++) {
        uint32_t to = cpuu_le32(e->data + ENTRY_HEAD + 8u * i);
        uint32_t size = cpuu_le32(e->data + ENTRY_HEAD + 8u * i + 4);
        if (size == 0 || size % SECTOR || to % SECTOR || to > e->bins_size ||
            size > e->bins_size - to)
            return false;
        need += size;
    }
    return need <= e->size;
}

/* The next entry; false where the log ends, or where writing it was interrupted. */
static bool next_entry(log_file *log, entry *e)
{
    const uint8_t *p = log->data + log->at;
    if (log->size - log->at < ENTRY_HEAD || memcmp(p, "HvLE", 4) != 0)
        return false;
    *e = (entry){.data = p, .size = cpuu_le32(p + 4), .sequence = cpuu_le32(p + 12),
                 .bins_size = cpuu_le32(p + 16), .pages = cpuu_le32(p + 20)};
    if (e->size < ENTRY_HEAD || e->size % SECTOR || e->size > log->size - log->at ||
        e->sequence != log->sequence || e->bins_size == 0 || e->bins_size % BIN_UNIT ||
        e->bins_size > log->most - BASE_BLOCK || !pages_fit(e))
        return false;
    if (cpuu_marvin32(p, 32, CPUU_HIVELOG_SEED) != cpuu_le64(p + 32) ||
        cpuu_marvin32(p + ENTRY_HEAD, e->size - ENTRY_HEAD, CPUU_HIVELOG_SEED) !=
            cpuu_le64(p + 24))
        return false;
    log->at += e->size;
    log->sequence++;
    return true;
}

/* ---- replaying ------------------------------------------------------------------------------- */

static bool apply(const entry *e, cpuu_buf *out)
{
    const uint8_t *page = e->data + ENTRY_HEAD + (size_t)8 * e->pages;
    size_t end = BASE_BLOCK + (size_t)e->bins_size;
    if (out->size < end && !cpuu_buf_fill(out, 0, end - out->size))
        return false; /* what is not written to it now is found when the structure is looked at */
    for (uint32_t i = 0; i < e->pages; i++) {
        uint32_t to = cpuu_le32(e->data + ENTRY_HEAD + 8u * i);
        uint32_t size = cpuu_le32(e->data + ENTRY_HEAD + 8u * i + 4);
        if (!cpuu_buf_put(out, BASE_BLOCK + (size_t)to, page, size))
            return false;
        page += size;
    }
    put32(out->data + 40, e->bins_size);
    memcpy(out->data + 144, e->data + 8, 4); /* Flags */
    return true;
}

/* The entries of one log from number *next on; what is older is in the hive already, and Windows does
 * not begin with any other number than the hive's secondary one. */
static bool replay_log(log_file *log, uint32_t *next, cpuu_buf *out, unsigned *entries)
{
    entry e;
    while (next_entry(log, &e)) {
        if (e.sequence != *next)
            continue;
        if (!apply(&e, out))
            return false;
        ++*next;
        ++*entries;
    }
    return true;
}

/* ---- the older format ------------------------------------------------------------------------ */

/* One set of pages of 512 bytes, named by a bitmap behind "DIRT". It is the right one when it was
 * made at the time the hive was written last. Pages come in blocks of 4096 bytes, so that a byte of
 * the bitmap is 0x00 or 0xff; with anything else the log is not used. */
static bool is_old_log(const uint8_t *hive, const cpuu_buf *file, size_t most, size_t *first)
{
    const uint8_t *p = file->data;
    if (!belongs(hive, file, OLD_LOG) || memcmp(p + 12, hive + 12, 8) != 0)
        return false;
    size_t bins = cpuu_le32(p + 40), bytes = bins / BIN_UNIT, pages = 0;
    *first = (LOG_HEAD + 4 + bytes + SECTOR - 1) / SECTOR * SECTOR;
    if (bins == 0 || bins % BIN_UNIT || bins > most - BASE_BLOCK || file->size < *first ||
        memcmp(p + LOG_HEAD, "DIRT", 4) != 0)
        return false;
    for (size_t i = 0; i < bytes; i++) {
        if (p[LOG_HEAD + 4 + i] != 0 && p[LOG_HEAD + 4 + i] != 0xff)
            return false;
        pages += p[LOG_HEAD + 4 + i] != 0;
    }
    return pages && pages <= (file->size - *first) / BIN_UNIT;
}

static bool replay_old(const cpuu_buf *file, size_t first, cpuu_buf *out)
{
    const uint8_t *p = file->data, *page = p + first;
    size_t bins = cpuu_le32(p + 40);
    if (out->size < BASE_BLOCK + bins && !cpuu_buf_fill(out, 0, BASE_BLOCK + bins - out->size))
        return false;
    for (size_t i = 0; i < bins / BIN_UNIT; i++) {
        if (!p[LOG_HEAD + 4 + i])
            continue;
        cpuu_buf_put(out, BASE_BLOCK + i * BIN_UNIT, page, BIN_UNIT);
        page += BIN_UNIT;
    }
    put32(out->data + 40, (uint32_t)bins);
    /* Another time: this log must not seem to be the hive's any more. */
    put32(out->data + 12, cpuu_le32(out->data + 12) + 1);
    return !out->failed;
}

static cpuu_rc dirty(const uint8_t *hive, const char *why, cpuu_error *err)
{
    return cpuu_fail(err, CPUU_E_DIRTY,
                     "the hive is dirty: changes are still in its log files (sequence numbers %u "
                     "and %u differ), and %s. Copy the hive together with its .LOG1 and .LOG2, or "
                     "let the user log on to Windows and off again, then retry",
                     cpuu_le32(hive + 4), cpuu_le32(hive + 8), why);
}

static void make_clean(cpuu_buf *out, uint32_t sequence)
{
    put32(out->data + 4, sequence);
    put32(out->data + 8, sequence);
    put32(out->data + 508, checksum(out->data));
}

/* False: neither of the logs is one of the older format for this hive. */
static bool replay_older(const uint8_t *hive, const cpuu_buf logs[2], size_t most, cpuu_buf *out,
                         bool *ok)
{
    for (size_t i = 0; i < 2; i++) {
        size_t first;
        if (!is_old_log(hive, &logs[i], most, &first))
            continue;
        *ok = *ok && replay_old(&logs[i], first, out);
        if (*ok)
            make_clean(out, cpuu_le32(hive + 4) + 1);
        return true;
    }
    return false;
}

cpuu_rc cpuu_hive_replay(const uint8_t *hive, size_t size, const cpuu_buf logs[2], cpuu_buf *out,
                         unsigned *entries, cpuu_error *err)
{
    log_file log[2];
    size_t n = 0;
    *entries = 0;
    if (!cpuu_hive_is_dirty(hive, size))
        return cpuu_fail(err, CPUU_E_FAILED, "a hive that is not dirty needs no log files");
    for (size_t i = 0; i < 2; i++)
        n += open_log(hive, &logs[i], &log[n]);
    if (n == 2 && log[1].sequence < log[0].sequence) { /* the older one first */
        log_file newer = log[0];
        log[0] = log[1];
        log[1] = newer;
    }
    uint32_t next = cpuu_le32(hive + 8);
    size_t most = size + logs[0].size + logs[1].size + MAX_GROWTH;
    most = most < out->max ? most : out->max;
    bool ok = cpuu_buf_add(out, hive, size), older = false;
    if (n == 0)
        older = replay_older(hive, logs, most, out, &ok);
    for (size_t i = 0; i < n && ok; i++) {
        log[i].most = most;
        ok = replay_log(&log[i], &next, out, entries);
    }
    if (!ok)
        return cpuu_nomem(err);
    if (n == 0 && !older)
        return dirty(hive, "there is no log file that belongs to it", err);
    *entries += older;
    if (*entries == 0)
        return dirty(hive, "the log files do not go on where it ends", err);
    /* One more than the last entry's: the log files stay where they are, and should the hive ever be
     * dirty again before Windows has begun new ones, nothing in them must count as new. */
    if (!older)
        make_clean(out, next);
    return CPUU_OK;
}
