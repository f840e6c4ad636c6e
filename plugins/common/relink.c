#include "common/relink.h"

#include <string.h>

void kit_relink_free(kit_relink *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        cpuu_fmt_free((void *)(uintptr_t)r->items[i].link.in.data);
        cpuu_fmt_free((void *)(uintptr_t)r->items[i].link.smtp);
        if (r->items[i].preset)
            cpuu_fmt_free((void *)(uintptr_t)r->items[i].link.out.data);
    }
    cpuu_fmt_free(r->items);
    cpuu_fmt_free(r->slots);
    memset(r, 0, sizeof(*r));
}

void kit_relink_begin(kit_relink *r, uint32_t ignore)
{
    r->object++;
    r->decides = 0;
    r->dead = false;
    r->smtp = NULL;
    r->ignore = ignore;
}

const cpuu_link *kit_relink_verdict(const kit_relink *r)
{
    return r->decides ? &r->items[r->decides - 1].link : NULL;
}

/* ---- table ----------------------------------------------------------------------------------- */

static uint32_t hash(uint32_t kind, cpuu_blob in)
{
    uint32_t h = 2166136261u ^ kind; /* FNV-1a */
    for (uint32_t i = 0; i < in.size; i++)
        h = (h ^ in.data[i]) * 16777619u;
    return h;
}

/* The slot where the link is, or where it would go. The table is never full. */
static uint32_t *slot_of(const kit_relink *r, uint32_t kind, cpuu_blob in)
{
    for (uint32_t i = hash(kind, in);; i++) {
        uint32_t *slot = &r->slots[i & (r->n_slots - 1)];
        if (!*slot)
            return slot;
        const cpuu_link *l = &r->items[*slot - 1].link;
        if (l->kind == kind && cpuu_blob_equal(l->in, in))
            return slot;
    }
}

static bool more_slots(kit_relink *r)
{
    uint32_t n = r->n_slots ? 2 * r->n_slots : 64;
    uint32_t *slots = cpuu_fmt_realloc(NULL, n * sizeof(*slots));
    if (!slots)
        return false;
    memset(slots, 0, n * sizeof(*slots));
    cpuu_fmt_free(r->slots);
    r->slots = slots;
    r->n_slots = n;
    for (uint32_t i = 0; i < r->count; i++)
        *slot_of(r, r->items[i].link.kind, r->items[i].link.in) = i + 1;
    return true;
}

static uint8_t *copy(const void *data, size_t n)
{
    uint8_t *p = cpuu_fmt_realloc(NULL, n ? n : 1);
    if (p && n)
        memcpy(p, data, n);
    return p;
}

static kit_relink_entry *add(kit_relink *r, uint32_t kind, cpuu_blob in)
{
    if (!kit_grow(&r->items, &r->cap, r->count, sizeof(*r->items)))
        return NULL;
    if (2 * (r->count + 1) > r->n_slots && !more_slots(r))
        return NULL;
    uint32_t *slot = slot_of(r, kind, in);
    if (*slot)
        return &r->items[*slot - 1];
    kit_relink_entry *e = &r->items[r->count];
    memset(e, 0, sizeof(*e));
    e->link.size = sizeof(e->link);
    e->link.kind = kind;
    e->link.in.data = copy(in.data, in.size);
    e->link.in.size = in.size;
    if (!e->link.in.data)
        return NULL;
    *slot = ++r->count;
    return e;
}

const cpuu_link *kit_relink_find(const kit_relink *r, uint32_t kind, cpuu_blob in)
{
    uint32_t *slot = r->n_slots ? slot_of(r, kind, in) : NULL;
    return slot && *slot ? &r->items[*slot - 1].link : NULL;
}

void kit_relink_preset(kit_relink *r, uint32_t kind, cpuu_blob in, uint32_t outcome,
                       uint32_t reason, cpuu_blob out)
{
    kit_relink_entry *e = add(r, kind, in);
    uint8_t *answer = e && !e->preset ? copy(out.data, out.size) : NULL;
    if (!answer) {
        r->failed = r->failed || !e || !e->preset;
        return;
    }
    e->preset = true;
    e->link.out.data = answer;
    e->link.out.size = out.size;
    e->link.outcome = outcome;
    e->link.reason = reason;
    e->link.in_text = e->link.out_text = "";
}

/* ---- collecting and answering ---------------------------------------------------------------- */

static bool collect(kit_relink *r, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    kit_relink_entry *e = add(r, kind, in);
    if (e && r->smtp && !e->link.smtp)
        e->link.smtp = (const char *)copy(r->smtp, strlen(r->smtp) + 1);
    if (!e || (r->smtp && !e->link.smtp))
        r->failed = out->failed = true;
    return false;
}

static unsigned rank(const cpuu_link *l)
{
    return l->outcome == CPUU_DROPPED ? 4 : l->outcome == CPUU_KEPT ? 3 : l->outcome == CPUU_REWRITTEN ? 2 : 1;
}

static void judge(kit_relink *r, uint32_t index)
{
    const cpuu_link *l = &r->items[index].link;
    r->items[index].object = r->object;
    if (!r->decides || rank(l) > rank(&r->items[r->decides - 1].link))
        r->decides = index + 1;
    if (l->outcome == CPUU_DROPPED ||
        (l->outcome == CPUU_KEPT && (l->kind == CPUU_LINK_FID || l->kind == CPUU_LINK_NAMED_TAG)))
        r->dead = true;
}

bool kit_relink_cb(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    static const uint8_t nowhere[8];
    kit_relink *r = user;
    if (kind == CPUU_LINK_NAME || (kind & r->ignore)) /* a person may be called as the user likes */
        return false;
    if (!r->translated)
        return collect(r, kind, in, out);
    uint32_t *slot = r->n_slots ? slot_of(r, kind, in) : NULL;
    if (!slot || !*slot)
        return false;
    const cpuu_link *l = &r->items[*slot - 1].link;
    judge(r, *slot - 1);
    if (l->outcome == CPUU_REWRITTEN)
        return cpuu_buf_add(out, l->out.data, l->out.size);
    if (kind == CPUU_LINK_FID && l->outcome != CPUU_ALREADY)
        return cpuu_buf_add(out, nowhere, sizeof(nowhere));
    return false;
}

/* ---- reporting ------------------------------------------------------------------------------- */

void kit_relink_hush(kit_relink *r, uint32_t kind, cpuu_blob in)
{
    uint32_t *slot = r->n_slots ? slot_of(r, kind, in) : NULL;
    if (slot && *slot)
        r->items[*slot - 1].object = 0;
}

/* The identity itself, without the address type in front of it that search keys have. */
static cpuu_blob bare(const cpuu_link *l)
{
    const char *colon = strchr(l->in_text, ':');
    const char *text = l->kind == CPUU_LINK_SEARCH_KEY && colon ? colon + 1 : l->in_text;
    return (cpuu_blob){(const uint8_t *)text, (uint32_t)strlen(text)};
}

static bool is_store(const cpuu_link *l)
{
    cpuu_eid e;
    return l->kind == CPUU_LINK_EID && cpuu_eid_decode(l->in, &e, NULL) &&
           e.kind >= CPUU_EID_STORE && e.kind <= CPUU_EID_STORE_OTHER;
}

static bool is_folder(const cpuu_link *l)
{
    cpuu_eid e;
    return l->kind == CPUU_LINK_EID && cpuu_eid_decode(l->in, &e, NULL) &&
           e.kind <= CPUU_EID_FOLDER_PUBLIC;
}

/* The object names the same by `other`: another identifier of a person; a folder and its store, of which
 * the folder says more when it moves, the store when it stays. */
static bool is_same_thing(const cpuu_link *l, const cpuu_link *other, bool earlier)
{
    if (l->kind == CPUU_LINK_SMTP && other->smtp && strlen(other->smtp) == l->in.size &&
        memcmp(other->smtp, l->in.data, l->in.size) == 0)
        return true; /* stored beside the person */
    if (l->outcome != other->outcome || l->reason != other->reason)
        return false;
    if (is_store(l) && is_folder(other))
        return l->outcome == CPUU_REWRITTEN;
    if (is_folder(l) && is_store(other))
        return l->outcome != CPUU_REWRITTEN;
    return earlier && cpuu_blob_equal_nocase(bare(l), bare(other));
}

static bool is_reported(const kit_relink *r, uint32_t index)
{
    const cpuu_link *l = &r->items[index].link;
    const bool stays = l->outcome == CPUU_KEPT || l->outcome == CPUU_DROPPED;
    if (r->items[index].object != r->object || (l->kind == CPUU_LINK_NAMED_TAG && !stays) ||
        (l->kind == CPUU_LINK_SMTP && stays)) /* an address goes on working */
        return false;
    for (uint32_t i = 0; i < r->count; i++) {
        if (i != index && r->items[i].object == r->object &&
            is_same_thing(l, &r->items[i].link, i < index))
            return false;
    }
    return true;
}

void kit_relink_report(const kit_relink *r, const cpuu_host *host, cpuu_run *run, const char *title)
{
    bool any = false;
    for (uint32_t i = 0; i < r->count; i++) {
        if (!is_reported(r, i))
            continue;
        kit_decide(host, run, &r->items[i].link, title);
        any = true;
    }
    if (!any && r->decides)
        kit_decide(host, run, &r->items[r->decides - 1].link, title);
}

cpuu_rc kit_relink_translate(kit_relink *r, const cpuu_host *host, cpuu_run *run)
{
    uint32_t n = 0;
    if (r->failed)
        return kit_nomem(host, run);
    cpuu_link *links = cpuu_fmt_realloc(NULL, (r->count ? r->count : 1) * sizeof(*links));
    if (!links)
        return kit_nomem(host, run);
    for (uint32_t i = 0; i < r->count; i++) {
        if (!r->items[i].preset)
            links[n++] = r->items[i].link;
    }
    cpuu_rc rc = n ? kit_translate(host, run, links, n) : CPUU_OK;
    n = 0;
    for (uint32_t i = 0; i < r->count && rc == CPUU_OK; i++) {
        if (!r->items[i].preset)
            r->items[i].link = links[n++];
    }
    cpuu_fmt_free(links);
    r->translated = rc == CPUU_OK;
    return rc;
}
