/* Addresses of contacts; see contactmembers.h. [MS-OXOCNTC] 2.2.1.2 */
#include "contactmembers/contactmembers.h"

#include <string.h>

#define TEXT 0x001Fu
#define BIN  0x0102u
#define SLOT(n)                                                                                    \
    CPUU_NAMED((n) * CM_SLOT_NAMES + CM_TYPE, TEXT), CPUU_NAMED((n) * CM_SLOT_NAMES + CM_ADDRESS, TEXT), \
        CPUU_NAMED((n) * CM_SLOT_NAMES + CM_ORIGINAL, TEXT),                                        \
        CPUU_NAMED((n) * CM_SLOT_NAMES + CM_EID, BIN)

const uint32_t cm_contact_tags[CM_GAL + 1] = {SLOT(0u), SLOT(1u), SLOT(2u), SLOT(3u), SLOT(4u),
                                              SLOT(5u), CPUU_NAMED(CM_GAL, BIN)};

static bool names_entry(cpuu_blob eid)
{
    cpuu_eid e;
    return cpuu_eid_decode(eid, &e, NULL) && e.kind == CPUU_EID_AB &&
           e.u.ab.type != CPUU_AB_CONTAINER;
}

static bool is_ex(cpuu_blob type)
{
    return cpuu_blob_equal_nocase(type, (cpuu_blob){(const uint8_t *)"EX", 2});
}

/* What an address is: "/o=..." a DN, "x@y" an SMTP address. */
static uint32_t address_kind(cpuu_blob text)
{
    if (text.size > 3 && cpuu_blob_equal_nocase((cpuu_blob){text.data, 3},
                                                (cpuu_blob){(const uint8_t *)"/o=", 3}))
        return CPUU_LINK_EX_DN;
    return text.size && memchr(text.data, '@', text.size) ? CPUU_LINK_SMTP : 0;
}

static void add_link(cm_contacts *c, uint32_t kind, cpuu_blob in, const char *smtp, uint32_t tag)
{
    if (!kind || !in.size)
        return;
    if (!kit_grow(&c->tags, &c->cap_tags, c->links.count, sizeof(*c->tags))) {
        c->failed = true;
        return;
    }
    c->tags[kit_links_add(&c->links, kind, kit_pool_copy(&c->pool, in), smtp)] = tag;
}

static void add_group(cm_contacts *c, uint32_t first, uint8_t what)
{
    if (!kit_grow(&c->groups, &c->cap_groups, c->n_groups, sizeof(*c->groups))) {
        c->failed = true;
        return;
    }
    c->groups[c->n_groups++] = (cm_group){first, c->links.count - first, first, false, what};
}

/* The address that leads to the person when the directory does not know the DN: for an address-book
 * entry the original display name is its SMTP address ([MS-OXOCNTC] 2.2.1.2.4). */
static const char *smtp_of(cm_contacts *c, cpuu_blob original, cpuu_blob address)
{
    cpuu_blob smtp = address_kind(original) == CPUU_LINK_SMTP  ? original
                     : address_kind(address) == CPUU_LINK_SMTP ? address
                                                               : (cpuu_blob){NULL, 0};
    return (const char *)kit_pool_copy(&c->pool, smtp).data;
}

static void add_slot(cm_contacts *c, uint8_t slot, const cpuu_value *values)
{
    const uint32_t at = slot * (uint32_t)CM_SLOT_NAMES, first = c->links.count;
    cpuu_blob type = kit_blob(&values[at + CM_TYPE]), eid = kit_blob(&values[at + CM_EID]);
    cpuu_blob address = kit_blob(&values[at + CM_ADDRESS]);
    cpuu_blob original = kit_blob(&values[at + CM_ORIGINAL]);
    const bool entry = names_entry(eid), dn = address_kind(address) == CPUU_LINK_EX_DN;
    if (!entry && !(is_ex(type) && dn))
        return;
    const char *smtp = smtp_of(c, original, address);
    if (entry)
        add_link(c, CPUU_LINK_EID, eid, smtp, cm_contact_tags[at + CM_EID]);
    add_link(c, address_kind(address), address, smtp, cm_contact_tags[at + CM_ADDRESS]);
    add_link(c, address_kind(original), original, smtp, cm_contact_tags[at + CM_ORIGINAL]);
    add_group(c, first, slot);
}

void cm_contacts_add(cm_contacts *c, cpuu_blob id, const char *title, const cpuu_value *values)
{
    const uint32_t first = c->n_groups;
    for (uint8_t slot = 0; slot < CM_SLOTS; slot++)
        add_slot(c, slot, values);
    cpuu_blob gal = kit_blob(&values[CM_GAL]);
    if (names_entry(gal)) {
        add_link(c, CPUU_LINK_EID, gal, NULL, cm_contact_tags[CM_GAL]);
        add_group(c, c->links.count - 1, CM_GAL);
    }
    if (c->n_groups == first)
        return;
    cpuu_blob name = {(const uint8_t *)title, (uint32_t)strlen(title)};
    name = kit_pool_copy(&c->pool, name);
    if (kit_grow(&c->items, &c->cap, c->count, sizeof(*c->items)))
        c->items[c->count++] =
            (cm_contact){kit_pool_copy(&c->pool, id), name.size ? (const char *)name.data : "",
                         first, c->n_groups - first};
    else
        c->failed = true;
    c->failed = c->failed || c->links.failed || c->pool.failed;
}

void cm_contacts_settle(cm_contacts *c)
{
    for (uint32_t i = 0; i < c->n_groups; i++) {
        cm_group *g = &c->groups[i];
        g->decides = kit_settle(&c->links, g->first, g->n, &g->rewrite);
    }
}

uint32_t cm_contact_values(const cm_contacts *c, const cm_contact *contact, cpuu_value *set)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < contact->n_groups; i++) {
        const cm_group *g = &c->groups[contact->first_group + i];
        for (uint32_t k = g->first; g->rewrite && k < g->first + g->n; k++) {
            if (c->links.items[k].outcome == CPUU_REWRITTEN)
                set[n++] = kit_blob_value(c->tags[k], c->links.items[k].out);
        }
    }
    return n;
}

const char *cm_group_name(const cm_group *g)
{
    static const char *const names[] = {"e-mail 1", "e-mail 2", "e-mail 3",
                                        "fax 1",    "fax 2",    "fax 3"};
    return g->what < CM_SLOTS ? names[g->what] : "entry of the address book it is linked with";
}

void cm_contacts_free(cm_contacts *c)
{
    kit_pool_free(&c->pool);
    kit_links_free(&c->links);
    cpuu_fmt_free(c->tags);
    cpuu_fmt_free(c->groups);
    cpuu_fmt_free(c->items);
    memset(c, 0, sizeof(*c));
}
