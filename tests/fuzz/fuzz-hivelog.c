/* The log files of a hive: within bounds, and all that is added or nothing. The input is what
 * one log file holds behind its head, in both formats; hashes of entries are made right, or nothing
 * would get past them. */
#include "registry/hivelog.h"

#include "../lab/emptyhive.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t le32(const uint8_t *p)
{
    return cpuu_le32(p);
}

static void put64(uint8_t *p, uint64_t v)
{
    put32(p, (uint32_t)v);
    put32(p + 4, (uint32_t)(v >> 32));
}

static void seal_entries(cpuu_buf *log)
{
    for (size_t at = 512; at + 40 <= log->size;) {
        uint8_t *e = log->data + at;
        uint32_t n = le32(e + 4);
        if (n < 40 || n > log->size - at)
            return;
        put64(e + 24, cpuu_marvin32(e + 40, n - 40, CPUU_HIVELOG_SEED));
        put64(e + 32, cpuu_marvin32(e, 32, CPUU_HIVELOG_SEED));
        at += n;
    }
}

static void replay(uint32_t type, const uint8_t *data, size_t size)
{
    uint8_t hive[EMPTY_HIVE_SIZE], head[512];
    cpuu_buf logs[2], out;
    unsigned entries;
    empty_hive(hive, 5);
    put32(hive + 4, 8);
    put32(hive + 8, 7);
    hive_checksum(hive);
    memcpy(head, hive, sizeof(head));
    put32(head + 4, 7);
    put32(head + 8, 7);
    put32(head + 28, type);
    hive_checksum(head);
    cpuu_buf_init(&logs[0], (size_t)1 << 20);
    cpuu_buf_init(&logs[1], 0);
    cpuu_buf_init(&out, (size_t)4 << 20);
    cpuu_buf_add(&logs[0], head, sizeof(head));
    cpuu_buf_add(&logs[0], data, size);
    if (type == 6)
        seal_entries(&logs[0]);
    if (cpuu_hive_replay(hive, sizeof(hive), logs, &out, &entries, NULL) == CPUU_OK &&
        (entries == 0 || cpuu_hive_is_dirty(out.data, out.size) ||
         le32(out.data + 8) != (type == 6 ? 7 + entries : 9)))
        abort();
    cpuu_buf_free(&logs[0]);
    cpuu_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    replay(6, data, size);
    replay(1, data, size);
    return 0;
}
