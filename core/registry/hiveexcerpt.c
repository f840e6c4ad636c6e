/*
 * The part of a hive that a change concerns, as a hive of its own. libhivex reads all of a hive into
 * memory and writes all of it: with an excerpt of some hundred kilobytes that costs nothing, whatever
 * the size of the hive.
 *
 * Each cell that libhivex looks at is copied, with its references led to the other copies. A key of
 * which only the name matters has nothing below it there. Because the excerpt is a sound hive, what
 * libhivex makes of it can be checked as a hive. Then the references are led home, and each copy that
 * changed goes back over the cell that it was made of; bins that libhivex added go behind those of
 * the hive. A cell in use of eight bytes stands between two copies, so that no version of libhivex
 * joins what is free before and behind it: what was one cell goes back as one piece.
 *
 * Whether the result is right is not decided here: hiveverify.c looks at the file.
 *
 * Offsets as in hivescan.c.
 */
#include <config.h>

#include "registry/hiveexcerpt.h"
#include "registry/hivelog.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

typedef enum copy_kind {
    COPY_CELL,
    COPY_NAME,      /* of a key of which only the name matters: it does not go back */
    COPY_DESCRIPTOR /* of security */
} copy_kind;

typedef struct cpuu_excerpt_cell {
    uint32_t at, home; /* in the excerpt and in the hive */
    uint32_t size;
    copy_kind kind;
} copy;

void cpuu_excerpt_free(cpuu_excerpt *x)
{
    cpuu_free(x->copies);
    cpuu_hive_image_free(&x->file);
}

/* ---- there ----------------------------------------------------------------------------------- */

typedef struct taker {
    cpuu_excerpt *x;
    const uint8_t *bins; /* of the hive */
    uint32_t minor;
    cpuu_buf out;        /* base block and bins; failed: out of memory */
    cpuu_tally taken;    /* where the copy of a descriptor is */
} taker;

static void refer(taker *t, uint32_t field, uint32_t to)
{
    cpuu_buf_put_u32(&t->out, CPUU_SCAN_BASE + field, to);
}

/* Where the copy is; of no use once the buffer has failed. */
static uint32_t take_cell(taker *t, uint32_t home, copy_kind kind)
{
    static const uint8_t between[8] = {0xf8, 0xff, 0xff, 0xff};
    cpuu_excerpt *x = t->x;
    const uint8_t *cell = t->bins + home;
    uint32_t at = (uint32_t)t->out.size - CPUU_SCAN_BASE, size = 0u - cpuu_le32(cell);
    if (!cpuu_grow(&x->copies, &x->cap_copies, x->n_copies, sizeof(*x->copies)))
        t->out.failed = true;
    else if (cpuu_buf_add(&t->out, cell, size) && cpuu_buf_add(&t->out, between, sizeof(between)))
        x->copies[x->n_copies++] = (copy){at, home, size, kind};
    return at;
}

static uint32_t take_descriptor(taker *t, uint32_t home)
{
    uint32_t *taken = cpuu_tally_of(&t->taken, home);
    if (!taken)
        t->out.failed = true;
    else if (!*taken)
        *taken = take_cell(t, home, COPY_DESCRIPTOR);
    return taken ? *taken : 0;
}

static void take_data(taker *t, uint32_t at, const uint8_t *vk)
{
    uint32_t bytes = cpuu_le32(vk + 8), home = cpuu_le32(vk + 12);
    if (bytes == 0 || bytes & 0x80000000u)
        return;
    uint32_t data = take_cell(t, home, COPY_CELL);
    refer(t, at + 12, data);
    if (!cpuu_hive_in_segments(t->bins, t->minor, vk))
        return;
    const uint8_t *db = t->bins + home, *segments = t->bins + cpuu_le32(db + 8);
    uint32_t list = take_cell(t, cpuu_le32(db + 8), COPY_CELL);
    refer(t, data + 8, list);
    for (uint32_t i = 0; i < cpuu_le16(db + 6); i++)
        refer(t, list + 4 + 4 * i, take_cell(t, cpuu_le32(segments + 4 + 4 * i), COPY_CELL));
}

static void take_values(taker *t, uint32_t at, const uint8_t *nk)
{
    uint32_t count = cpuu_le32(nk + 40), home = cpuu_le32(nk + 44);
    if (count == 0)
        return;
    uint32_t list = take_cell(t, home, COPY_CELL);
    refer(t, at + 44, list);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t from = cpuu_le32(t->bins + home + 4 + 4 * i);
        uint32_t vk = take_cell(t, from, COPY_CELL);
        refer(t, list + 4 + 4 * i, vk);
        take_data(t, vk, t->bins + from);
    }
}

static uint32_t take_key(taker *t, const cpuu_key *key, uint32_t parent);

static uint32_t entry_size(const uint8_t *list)
{
    return cpuu_cell_is(list, "lf") || cpuu_cell_is(list, "lh") ? 8 : 4;
}

/* A list of keys, or of lists. `kids` is the next key of the list, and moves on. */
static uint32_t take_list(taker *t, uint32_t home, uint32_t parent, cpuu_key ***kids)
{
    const uint8_t *list = t->bins + home;
    bool lists = cpuu_cell_is(list, "ri");
    uint32_t at = take_cell(t, home, COPY_CELL), step = entry_size(list);
    for (uint32_t i = 0; i < cpuu_le16(list + 6); i++) {
        uint32_t field = 8 + step * i;
        refer(t, at + field, lists ? take_list(t, cpuu_le32(list + field), parent, kids)
                                   : take_key(t, *(*kids)++, parent));
    }
    return at;
}

/* `parent` is 0 for the root, which refers to something outside of the hive. */
static uint32_t take_key(taker *t, const cpuu_key *key, uint32_t parent)
{
    const uint8_t *nk = t->bins + key->cell;
    uint32_t at = take_cell(t, key->cell, key->stub ? COPY_NAME : COPY_CELL);
    if (parent)
        refer(t, at + 20, parent);
    refer(t, at + 48, take_descriptor(t, cpuu_le32(nk + 48)));
    if (key->stub) {
        refer(t, at + 24, 0);
        refer(t, at + 40, 0);
        refer(t, at + 52, CPUU_SCAN_NONE);
        return at;
    }
    if (cpuu_le32(nk + 52) != CPUU_SCAN_NONE)
        refer(t, at + 52, take_cell(t, cpuu_le32(nk + 52), COPY_CELL));
    take_values(t, at, nk);
    cpuu_key **kids = key->kids;
    if (cpuu_le32(nk + 24))
        refer(t, at + 32, take_list(t, cpuu_le32(nk + 32), at, &kids));
    return at;
}

/* Descriptors lie in a ring, out of which libhivex takes those that it frees: all of them are taken.
 * One that no key has was not looked at by the scan. */
static cpuu_rc take_ring(taker *t, cpuu_error *err)
{
    cpuu_excerpt *x = t->x;
    cpuu_scan s = {t->bins, x->cells->size, t->minor, x->cells->states, err};
    for (size_t i = 0; i < x->n_copies && !t->out.failed; i++) {
        copy sk = x->copies[i];
        if (sk.kind != COPY_DESCRIPTOR)
            continue;
        cpuu_rc rc = cpuu_scan_ring(&s, sk.home, t->bins + sk.home);
        if (rc != CPUU_OK)
            return rc;
        refer(t, sk.at + 8, take_descriptor(t, cpuu_le32(t->bins + sk.home + 8)));
        refer(t, sk.at + 12, take_descriptor(t, cpuu_le32(t->bins + sk.home + 12)));
    }
    return CPUU_OK;
}

static void put32(uint8_t *p, uint32_t n)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(n >> 8 * i);
}

static void set_base(uint8_t *base, uint32_t root, uint32_t size, bool windows)
{
    put32(base + 36, root);
    put32(base + 40, size);
    uint32_t sum = cpuu_hive_xor(base);
    put32(base + 508, windows ? cpuu_hive_checksum(sum) : sum);
}

/* One bin, without a free cell: libhivex puts what is new behind it. */
static void end_bin(taker *t, uint32_t root)
{
    uint32_t left = (uint32_t)(0u - t->out.size) % CPUU_HIVE_PAGE; /* a multiple of eight */
    if (left) {
        cpuu_buf_u32(&t->out, 0u - left);
        cpuu_buf_fill(&t->out, 0, left - 4);
    }
    if (t->out.failed)
        return;
    t->x->size = (uint32_t)t->out.size - CPUU_SCAN_BASE;
    memcpy(t->out.data + CPUU_SCAN_BASE, "hbin", 4);
    put32(t->out.data + CPUU_SCAN_BASE + 8, t->x->size);
    set_base(t->out.data, root, t->x->size, false);
}

static cpuu_rc save(cpuu_excerpt *x, const cpuu_buf *bytes, cpuu_error *err)
{
    cpuu_rc rc = cpuu_hive_image_create(&x->file, err);
    if (rc == CPUU_OK && !cpuu_hive_put(x->file.fd, bytes->data, bytes->size, 0))
        rc = cpuu_fail_errno(err, errno, "cannot get memory for a part of the hive");
    return rc;
}

cpuu_rc cpuu_excerpt_take(cpuu_excerpt *x, const cpuu_hive_image *from,
                          const cpuu_hive_cells *cells, const cpuu_key *tree, cpuu_error *err)
{
    *x = (cpuu_excerpt){.from = from, .cells = cells};
    cpuu_hive_image_init(&x->file);
    taker t = {.x = x, .bins = from->data + CPUU_SCAN_BASE, .minor = cpuu_le32(from->data + 24)};
    cpuu_rc rc = CPUU_OK;
    cpuu_buf_init(&t.out, 2 * CPUU_HIVE_MAX_SIZE); /* cells have 8 bytes or more */
    t.out.failed = !cpuu_tally_init(&t.taken, cells->size);
    cpuu_buf_add(&t.out, from->data, CPUU_SCAN_BASE);
    cpuu_buf_fill(&t.out, 0, CPUU_SCAN_HEAD);
    if (!t.out.failed) {
        uint32_t root = take_key(&t, tree, 0);
        rc = take_ring(&t, err);
        end_bin(&t, root);
    }
    if (rc == CPUU_OK)
        rc = t.out.failed ? cpuu_nomem(err) : save(x, &t.out, err);
    cpuu_tally_free(&t.taken);
    cpuu_buf_free(&t.out);
    return rc;
}

/* ---- and back -------------------------------------------------------------------------------- */

typedef struct giver {
    const cpuu_excerpt *x;
    uint8_t *bins; /* of the changed excerpt */
    uint32_t minor, size;
    bool lost;     /* a reference leads to no copy */
} giver;

/* The last copy that begins at or before the offset, NULL when there is none. */
static const copy *copy_before(const cpuu_excerpt *x, uint32_t at)
{
    size_t from = 0, to = x->n_copies;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (x->copies[middle].at <= at)
            from = middle + 1;
        else
            to = middle;
    }
    return from ? &x->copies[from - 1] : NULL;
}

static const copy *copy_at(const giver *g, uint32_t at)
{
    const copy *c = at < g->x->size ? copy_before(g->x, at) : NULL;
    return c && c->at == at ? c : NULL;
}

/* Where the cell belongs in the hive. */
static bool find_home(const giver *g, uint32_t at, uint32_t *home)
{
    const cpuu_excerpt *x = g->x;
    if (at >= x->size) {
        *home = at - x->size + x->cells->size;
        return at < g->size;
    }
    const copy *c = copy_before(x, at);
    if (!c || at - c->at >= c->size)
        return false;
    *home = at - c->at + c->home;
    return true;
}

static void lead_home(giver *g, uint32_t field)
{
    uint32_t home;
    if (find_home(g, cpuu_le32(g->bins + field), &home))
        put32(g->bins + field, home);
    else
        g->lost = true;
}

static void return_data(giver *g, uint32_t at)
{
    const uint8_t *vk = g->bins + at;
    uint32_t bytes = cpuu_le32(vk + 8), data = cpuu_le32(vk + 12);
    if (bytes == 0 || bytes & 0x80000000u)
        return;
    if (cpuu_hive_in_segments(g->bins, g->minor, vk)) {
        uint32_t list = cpuu_le32(g->bins + data + 8);
        for (uint32_t i = 0; i < cpuu_le16(g->bins + data + 6); i++)
            lead_home(g, list + 4 + 4 * i);
        lead_home(g, data + 8);
    }
    lead_home(g, at + 12);
}

static void return_values(giver *g, uint32_t at)
{
    uint32_t count = cpuu_le32(g->bins + at + 40), list = cpuu_le32(g->bins + at + 44);
    for (uint32_t i = 0; i < count; i++) {
        return_data(g, cpuu_le32(g->bins + list + 4 + 4 * i));
        lead_home(g, list + 4 + 4 * i);
    }
    if (count)
        lead_home(g, at + 44);
}

static void return_key(giver *g, uint32_t at, bool root);

/* What is left behind the end of a list that became shorter goes home, too. */
static void return_rest(giver *g, uint32_t at, uint32_t step)
{
    const copy *c = copy_at(g, at);
    uint32_t home, room = (0u - cpuu_le32(g->bins + at) - 8) / step;
    uint32_t count = c ? cpuu_le16(g->x->from->data + CPUU_SCAN_BASE + c->home + 6) : 0;
    for (uint32_t i = cpuu_le16(g->bins + at + 6); i < count && i < room; i++) {
        uint8_t *entry = g->bins + at + 8 + step * i;
        if (find_home(g, cpuu_le32(entry), &home))
            put32(entry, home);
    }
}

static void return_list(giver *g, uint32_t at)
{
    const uint8_t *list = g->bins + at;
    bool lists = cpuu_cell_is(list, "ri");
    uint32_t step = entry_size(list);
    for (uint32_t i = 0; i < cpuu_le16(list + 6); i++) {
        uint32_t field = 8 + step * i, to = cpuu_le32(list + field);
        if (lists)
            return_list(g, to);
        else
            return_key(g, to, false);
        lead_home(g, at + field);
    }
    return_rest(g, at, step);
}

static void return_key(giver *g, uint32_t at, bool root)
{
    const uint8_t *nk = g->bins + at;
    const copy *c = copy_at(g, at);
    uint32_t home;
    if (c && c->kind == COPY_NAME)
        return;
    if (cpuu_le32(nk + 24))
        return_list(g, cpuu_le32(nk + 32));
    if (cpuu_le32(nk + 24))
        lead_home(g, at + 32);
    else if (c && cpuu_le32(g->x->from->data + CPUU_SCAN_BASE + c->home + 24) &&
             find_home(g, cpuu_le32(nk + 32), &home)) /* libhivex keeps a list without entries */
        put32(g->bins + at + 32, home);
    return_values(g, at);
    if (!root)
        lead_home(g, at + 20);
    lead_home(g, at + 48);
    if (cpuu_le32(nk + 52) != CPUU_SCAN_NONE)
        lead_home(g, at + 52);
}

static bool in_use(const uint8_t *cell)
{
    return cpuu_le32(cell) & 0x80000000u;
}

static void return_descriptors(giver *g)
{
    for (size_t i = 0; i < g->x->n_copies; i++) {
        const copy *c = &g->x->copies[i];
        const uint8_t *sk = g->bins + c->at;
        if (c->kind != COPY_DESCRIPTOR || !in_use(sk) || !cpuu_cell_is(sk, "sk"))
            continue;
        lead_home(g, c->at + 8);
        lead_home(g, c->at + 12);
    }
}

static void return_bins(giver *g)
{
    for (uint32_t at = g->x->size; at < g->size; at += cpuu_le32(g->bins + at + 8))
        lead_home(g, at + 4);
}

/* A run of bytes of the hive, to be written at once. */
typedef struct run {
    size_t from, to; /* in the file */
    uint8_t bytes[16 * CPUU_HIVE_PAGE];
} run;

static bool end_run(run *r, size_t next, int fd)
{
    bool done = cpuu_hive_put(fd, r->bytes, r->to - r->from, r->from);
    r->from = r->to = next;
    return done;
}

/* Adds bytes that lie behind those before. What is between is as in the hive. */
static bool add_bytes(run *r, size_t at, const uint8_t *p, size_t n, const uint8_t *hive, int fd)
{
    if (n > sizeof(r->bytes))
        return cpuu_hive_put(fd, p, n, at);
    if ((at - r->to > CPUU_HIVE_PAGE || at + n - r->from > sizeof(r->bytes)) && !end_run(r, at, fd))
        return false;
    memcpy(r->bytes + (r->to - r->from), hive + r->to, at - r->to);
    memcpy(r->bytes + (at - r->from), p, n);
    r->to = at + n;
    return true;
}

static int by_home(const void *a, const void *b)
{
    uint32_t p = (*(const copy *const *)a)->home, q = (*(const copy *const *)b)->home;
    return p < q ? -1 : p > q;
}

/* What the copy has to change: a cell that is free now keeps what it held, but for its size. */
static uint32_t changed_bytes(const giver *g, const copy *c)
{
    const uint8_t *cell = g->bins + c->at;
    uint32_t size = cpuu_le32(cell) == c->size ? 4 : c->size;
    const uint8_t *before = g->x->from->data + CPUU_SCAN_BASE + c->home;
    return c->kind == COPY_NAME || memcmp(cell, before, size) == 0 ? 0 : size;
}

static bool write_cells(const giver *g, const copy **list, int fd)
{
    run r = {0};
    size_t n = 0;
    bool done = true;
    for (size_t i = 0; i < g->x->n_copies; i++) {
        list[n] = &g->x->copies[i];
        n += changed_bytes(g, list[n]) != 0;
    }
    qsort(list, n, sizeof(*list), by_home);
    for (size_t i = 0; done && i < n; i++)
        done = add_bytes(&r, CPUU_SCAN_BASE + (size_t)list[i]->home, g->bins + list[i]->at,
                         changed_bytes(g, list[i]), g->x->from->data, fd);
    return done && end_run(&r, 0, fd);
}

static cpuu_rc write_all(const giver *g, uint8_t *base, int fd, cpuu_error *err)
{
    uint32_t before = g->x->cells->size, more = g->size - g->x->size;
    const copy **list = cpuu_calloc(g->x->n_copies, sizeof(*list));
    if (!list)
        return cpuu_nomem(err);
    set_base(base, cpuu_le32(g->x->from->data + 36), before + more, true);
    bool done =
        write_cells(g, list, fd) &&
        cpuu_hive_put(fd, g->bins + g->x->size, more, CPUU_SCAN_BASE + (size_t)before) &&
        cpuu_hive_put(fd, base, CPUU_SCAN_BASE, 0);
    cpuu_free(list);
    return done ? CPUU_OK : cpuu_fail_errno(err, errno, "cannot write the changed hive");
}

static cpuu_rc give_back(const cpuu_excerpt *x, uint8_t *bytes, const cpuu_hive_head *head, int fd,
                         cpuu_error *err)
{
    giver g = {x, bytes + CPUU_SCAN_BASE, head->minor, head->bins_size, head->bins_size < x->size};
    if (!g.lost) {
        return_key(&g, cpuu_le32(bytes + 36), true);
        return_descriptors(&g);
        return_bins(&g);
    }
    if (g.lost)
        return cpuu_fail(err, CPUU_E_FAILED, "libhivex made something unexpected of it");
    return write_all(&g, bytes, fd, err);
}

cpuu_rc cpuu_excerpt_give_back(cpuu_excerpt *x, int fd, cpuu_error *err)
{
    cpuu_hive_head head;
    cpuu_hive_cells cells = {0};
    cpuu_rc rc = cpuu_hive_image_map(&x->file, err);
    if (rc == CPUU_OK)
        rc = cpuu_hive_check(&x->file, &head, &cells, err);
    cpuu_hive_cells_free(&cells);
    uint8_t *bytes = (uint8_t *)x->file.data; /* ours alone, and of no use afterwards */
    if (rc == CPUU_OK && mprotect(bytes, x->file.size, PROT_READ | PROT_WRITE) != 0)
        rc = cpuu_fail_errno(err, errno, "cannot put a part of the hive back");
    return rc == CPUU_OK ? give_back(x, bytes, &head, fd, err) : rc;
}
