/*
 * Link by link: what kind it is, whom it names, and what the one table of outcomes says (reference
 * "mailbox formats" 2.3):
 *
 *   own mailbox                  rewritten; a folder that is missing at the target: dropped
 *   other mailbox, moved         rewritten; folder missing or mailbox closed to us: kept
 *   public folder                rewritten by path, else kept
 *   person, moved                rewritten; not moved or unknown: kept
 *   PST, one-off, target object  already right
 *   damaged or unknown           kept, byte for byte
 *
 * A set is handled in passes: note every person and owner that is named, fetch all missing facts in a
 * few batches, then decide each link from the facts alone.
 */
#include "translate/facts.h"

#include "base/text.h"

#include <cpuu/formats/entryid.h>

#include <stdio.h>
#include <string.h>

#define MAX_LINK 65536u /* bytes of one identifier */

typedef struct decision {
    uint32_t outcome, reason;
} decision;

static const decision unreadable = {CPUU_KEPT, CPUU_WHY_UNREADABLE};

/* ---- small helpers --------------------------------------------------------------------------- */

static char *text_dup(cpuu_translate *t, cpuu_blob b)
{
    char *s = cpuu_arena_alloc(&t->answers, (size_t)b.size + 1);
    if (s && b.size)
        memcpy(s, b.data, b.size);
    return s;
}

/* Text of a link that must be a C string: no NUL inside. NULL when it is not, or out of memory. */
static char *clean_text(cpuu_translate *t, cpuu_blob b)
{
    return b.size && !memchr(b.data, 0, b.size) ? text_dup(t, b) : NULL;
}

static char *store_smtp(cpuu_translate *t, const cpuu_eid *eid)
{
    cpuu_buf b;
    char *s = NULL;
    cpuu_buf_init(&b, MAX_LINK);
    if (cpuu_eid_store_smtp(eid, &b))
        s = clean_text(t, (cpuu_blob){b.data, (uint32_t)b.size});
    cpuu_buf_free(&b);
    return s;
}

static bool copy_text(char *out, size_t size, cpuu_blob b)
{
    if (b.size >= size || (b.size && memchr(b.data, 0, b.size)))
        return false;
    if (b.size)
        memcpy(out, b.data, b.size);
    out[b.size] = 0;
    return true;
}

bool cpuu_translate_store_names(cpuu_blob in, char *dn, size_t dn_size, char *smtp,
                                size_t smtp_size)
{
    cpuu_eid eid;
    cpuu_buf b;
    cpuu_blob text = {NULL, 0}, address = {NULL, 0};
    if (!cpuu_eid_decode(in, &eid, NULL) || eid.kind != CPUU_EID_STORE || !cpuu_eid_is_mailbox(&eid))
        return false;
    cpuu_eid_store_dn(&eid, &text);
    cpuu_buf_init(&b, MAX_LINK);
    if (cpuu_eid_store_smtp(&eid, &b))
        address = (cpuu_blob){b.data, (uint32_t)b.size};
    bool ok = copy_text(dn, dn_size, text) && copy_text(smtp, smtp_size, address);
    cpuu_buf_free(&b);
    return ok;
}

static cpuu_subject *person_of_dn(cpuu_translate *t, cpuu_blob dn, const char *smtp)
{
    char *text = clean_text(t, dn);
    return text ? cpuu_facts_person(t, text, smtp) : NULL;
}

/* A search key "EX:/O=..." or "SMTP:..." as the person it names. */
static cpuu_subject *person_of_key(cpuu_translate *t, cpuu_blob key, const char *smtp, bool *is_ex)
{
    cpuu_blob type, address;
    if (!cpuu_search_key_parse(key, &type, &address))
        return NULL;
    char *text = clean_text(t, address);
    *is_ex = cpuu_blob_equal_nocase(type, (cpuu_blob){(const uint8_t *)"EX", 2});
    bool is_smtp = cpuu_blob_equal_nocase(type, (cpuu_blob){(const uint8_t *)"SMTP", 4});
    if (!text || (!*is_ex && !is_smtp))
        return NULL;
    return cpuu_facts_person(t, *is_ex ? text : NULL, *is_ex ? smtp : text);
}

/* ---- pass 1: whom do the links name? --------------------------------------------------------- */

static bool is_target_store(const cpuu_translate *t, const char *dn, const char *smtp)
{
    return same(dn, t->o.target_dn) || (!dn && same(smtp, t->o.target_smtp) &&
                                        !same(smtp, t->o.source_smtp));
}

static int owner_of_store(cpuu_translate *t, const cpuu_eid *eid)
{
    cpuu_blob dn = {NULL, 0};
    cpuu_eid_store_dn(eid, &dn);
    return cpuu_facts_owner(t, clean_text(t, dn), store_smtp(t, eid));
}

static void note_eid(cpuu_translate *t, cpuu_blob in, const char *smtp, unsigned depth)
{
    cpuu_eid eid;
    cpuu_blob inner, dn = {NULL, 0};
    if (!cpuu_eid_decode(in, &eid, NULL))
        return;
    if (cpuu_eid_inner(&eid, &inner)) {
        if (depth < 4)
            note_eid(t, inner, smtp, depth + 1);
    } else if (eid.kind == CPUU_EID_AB && eid.u.ab.type != CPUU_AB_CONTAINER) {
        person_of_dn(t, eid.u.ab.dn, smtp);
    } else if (eid.kind == CPUU_EID_STORE && cpuu_eid_is_mailbox(&eid)) {
        cpuu_eid_store_dn(&eid, &dn);
        if (!is_target_store(t, clean_text(t, dn), store_smtp(t, &eid)))
            owner_of_store(t, &eid);
    }
}

static void note(cpuu_translate *t, const cpuu_link *l)
{
    bool is_ex;
    char *text;
    switch (l->kind) {
    case CPUU_LINK_EID:
        note_eid(t, l->in, l->smtp, 0);
        break;
    case CPUU_LINK_EX_DN:
        person_of_dn(t, l->in, l->smtp);
        break;
    case CPUU_LINK_SMTP:
        text = clean_text(t, l->in);
        if (text)
            cpuu_facts_person(t, NULL, text);
        break;
    case CPUU_LINK_SEARCH_KEY:
        person_of_key(t, l->in, l->smtp, &is_ex);
        break;
    case CPUU_LINK_NAME:
        text = clean_text(t, l->in);
        if (text)
            cpuu_facts_called(t, text);
        break;
    default:
        break;
    }
}

/* ---- pass 2: whose folders are needed? ------------------------------------------------------- */

/* The folder EntryID a link stands for; false when it stands for none. */
static bool folder_of(const cpuu_link *l, cpuu_eid *eid)
{
    cpuu_blob in = l->in, inner;
    if (l->kind != CPUU_LINK_EID && !(l->kind == CPUU_LINK_RECORD_KEY &&
                                      in.size == CPUU_FOLDER_EID_SIZE))
        return false;
    for (unsigned depth = 0; depth < 5; depth++) {
        if (!cpuu_eid_decode(in, eid, NULL))
            return false;
        if (!cpuu_eid_inner(eid, &inner))
            break;
        in = inner;
    }
    return eid->kind == CPUU_EID_FOLDER || eid->kind == CPUU_EID_FOLDER_PUBLIC;
}

/* Public folders carry a fixed provider UID, or (seen on one server) the store's own GUID: the type
 * tells, and the decoder reports it as the kind. */
static int owner_of_folder(const cpuu_translate *t, const cpuu_eid *eid)
{
    if (eid->kind == CPUU_EID_FOLDER_PUBLIC)
        return CPUU_OWNER_PUBLIC;
    return cpuu_facts_owner_by_guid(t, eid->provider, false);
}

static bool is_public_store(cpuu_blob in)
{
    cpuu_eid eid;
    return cpuu_eid_decode(in, &eid, NULL) && eid.kind == CPUU_EID_STORE && !cpuu_eid_is_mailbox(&eid);
}

static void want_folders(cpuu_translate *t, const cpuu_link *l)
{
    cpuu_eid eid;
    int i = -1;
    if (l->kind == CPUU_LINK_FID) {
        i = CPUU_OWNER_OWN;
    } else if (l->kind == CPUU_LINK_SOURCE_KEY) {
        t->owners[CPUU_OWNER_OWN].folders_wanted = true;
        t->owners[CPUU_OWNER_PUBLIC].folders_wanted = true;
    } else if (l->kind == CPUU_LINK_RECORD_KEY && l->in.size == 16) {
        i = cpuu_facts_owner_by_guid(t, l->in.data, false); /* the target's GUID must be learnt */
    } else if (folder_of(l, &eid)) {
        i = owner_of_folder(t, &eid);
    } else if (l->kind == CPUU_LINK_EID && is_public_store(l->in)) {
        i = CPUU_OWNER_PUBLIC; /* its EntryID is what the target's says when it is opened */
    }
    if (i >= 0)
        t->owners[i].folders_wanted = true;
}

/* A folder in a mailbox that nobody's store EntryID in this set names: with a mapping file, owners are
 * settled without being opened, and so are those of the target; open them now to learn their GUIDs. */
static void want_unknown_owners(cpuu_translate *t, const cpuu_link *links, size_t n)
{
    bool unknown = false;
    for (size_t i = 0; i < n; i++) {
        cpuu_eid eid;
        if (folder_of(&links[i], &eid) && owner_of_folder(t, &eid) < 0 &&
            cpuu_facts_owner_by_guid(t, eid.provider, true) < 0)
            unknown = true;
    }
    for (size_t i = CPUU_OWNER_PUBLIC + 1; unknown && i < t->n_owners; i++)
        t->owners[i].folders_wanted |= t->owners[i].where == CPUU_WHERE_MOVED ||
                                       t->owners[i].where == CPUU_WHERE_AT_TARGET;
}

static cpuu_rc gather(cpuu_translate *t, const cpuu_link *links, size_t n, cpuu_error *err)
{
    for (size_t i = 0; i < n; i++)
        note(t, &links[i]);
    /* Names first: owners may be on their way already (reading ahead), and come meanwhile. */
    cpuu_rc rc = cpuu_facts_resolve_called(t, err);
    if (rc == CPUU_OK)
        rc = cpuu_facts_resolve_owners(t, err);
    if (rc == CPUU_OK)
        rc = cpuu_facts_resolve_people(t, err);
    if (rc == CPUU_OK)
        rc = cpuu_facts_name_called(t, err);
    for (size_t i = 0; rc == CPUU_OK && i < n; i++)
        want_folders(t, &links[i]);
    if (rc == CPUU_OK)
        want_unknown_owners(t, links, n);
    return rc == CPUU_OK ? cpuu_facts_read_folders(t, err) : rc;
}

/* ---- pass 3: decide -------------------------------------------------------------------------- */

static decision about_person(const cpuu_subject *p)
{
    if (!p)
        return unreadable;
    switch (p->where) {
    case CPUU_WHERE_MOVED:
        return (decision){CPUU_REWRITTEN, p->own ? CPUU_WHY_OWN : CPUU_WHY_MIGRATED};
    case CPUU_WHERE_AT_TARGET:
        return (decision){CPUU_ALREADY, CPUU_WHY_AT_TARGET};
    case CPUU_WHERE_NOT_MOVED:
        return (decision){CPUU_KEPT, CPUU_WHY_NOT_MIGRATED};
    case CPUU_WHERE_AMBIGUOUS:
        return (decision){CPUU_KEPT, CPUU_WHY_AMBIGUOUS};
    default:
        return (decision){CPUU_KEPT, CPUU_WHY_UNKNOWN};
    }
}

/* A moved person whose identity of the wanted kind is not known stays: half a link is worse. */
static decision need(decision d, const char *identity)
{
    if (d.outcome == CPUU_REWRITTEN && !identity)
        return (decision){CPUU_KEPT, CPUU_WHY_UNKNOWN};
    return d;
}

static decision put_ab(cpuu_translate *t, const cpuu_eid *eid, cpuu_buf *out)
{
    if (eid->u.ab.type == CPUU_AB_CONTAINER) {
        /* An address list is named by a GUID of its own directory; "/" or nothing is the global
         * list, which every organisation has. */
        bool global = eid->u.ab.dn.size == 0 ||
                      (eid->u.ab.dn.size == 1 && eid->u.ab.dn.data[0] == '/');
        return global ? (decision){CPUU_ALREADY, CPUU_WHY_AT_TARGET}
                      : (decision){CPUU_DROPPED, CPUU_WHY_UNKNOWN};
    }
    const cpuu_subject *p = person_of_dn(t, eid->u.ab.dn, NULL);
    decision d = need(about_person(p), p ? p->target_dn : NULL);
    if (d.outcome == CPUU_REWRITTEN)
        cpuu_eid_build_ab(out, p->target_dn, eid->u.ab.type);
    return d;
}

static uint32_t why_rewritten(const cpuu_owner *w)
{
    return w->own ? CPUU_WHY_OWN : w->is_public ? CPUU_WHY_PUBLIC : CPUU_WHY_MIGRATED;
}

static decision put_store(cpuu_translate *t, const cpuu_eid *eid, cpuu_buf *out)
{
    cpuu_blob dn = {NULL, 0};
    cpuu_eid_store_dn(eid, &dn);
    if (is_target_store(t, clean_text(t, dn), store_smtp(t, eid)))
        return (decision){CPUU_ALREADY, CPUU_WHY_AT_TARGET};
    int i = owner_of_store(t, eid);
    if (i < 0)
        return unreadable;
    const cpuu_owner *w = &t->owners[i];
    if (w->where == CPUU_WHERE_AT_TARGET)
        return (decision){CPUU_ALREADY, CPUU_WHY_AT_TARGET};
    if (w->where != CPUU_WHERE_MOVED)
        return (decision){CPUU_KEPT, w->why};
    if (!w->target_dn || !w->target_smtp)
        return (decision){CPUU_KEPT, CPUU_WHY_UNKNOWN};
    /* The server field holds an SMTP address or guid@domain since Exchange 2013 (observed). */
    cpuu_eid_build_store(out, w->target_smtp, w->target_dn, w->target_smtp,
                         eid->u.store.wrapped_type);
    return (decision){CPUU_REWRITTEN, why_rewritten(w)};
}

static decision put_public_store(const cpuu_translate *t, cpuu_buf *out)
{
    const cpuu_owner *w = &t->owners[CPUU_OWNER_PUBLIC];
    if (!w->target)
        return (decision){CPUU_KEPT, w->target_tried ? CPUU_WHY_NO_ACCESS : CPUU_WHY_UNKNOWN};
    cpuu_blob eid = cpuu_mailbox_get_info(w->target)->store_entryid;
    if (!eid.size)
        return (decision){CPUU_KEPT, CPUU_WHY_UNKNOWN};
    cpuu_buf_add(out, eid.data, eid.size);
    return (decision){CPUU_REWRITTEN, why_rewritten(w)};
}

static decision missing_folder(const cpuu_owner *w, cpuu_folder_match m)
{
    uint32_t outcome = w->own ? CPUU_DROPPED : CPUU_KEPT;
    if (m == CPUU_MATCH_AMBIGUOUS)
        return (decision){CPUU_KEPT, CPUU_WHY_AMBIGUOUS};
    return (decision){outcome, CPUU_WHY_MISSING};
}

static decision put_mapped_folder(const cpuu_owner *w, cpuu_blob in, cpuu_buf *out)
{
    const cpuu_folder *f;
    if (w->where != CPUU_WHERE_MOVED)
        return (decision){CPUU_KEPT, w->why};
    if (!w->folders_ok)
        return (decision){CPUU_KEPT, CPUU_WHY_NO_ACCESS};
    cpuu_folder_match m = cpuu_folder_map(&w->source_folders, &w->target_folders, in, &f);
    if (m != CPUU_MATCH_FOUND)
        return missing_folder(w, m);
    cpuu_buf_add(out, f->eid.data, f->eid.size);
    return (decision){CPUU_REWRITTEN, why_rewritten(w)};
}

/* A folder of some mailbox nobody has seen inside. When all owners of this set that stayed closed did so
 * for one reason, that is the reason; otherwise it is nobody we know. */
static uint32_t why_closed(const cpuu_translate *t)
{
    uint32_t why = 0;
    for (size_t k = CPUU_OWNER_PUBLIC + 1; k < t->n_owners; k++) {
        const cpuu_owner *w = &t->owners[k];
        uint32_t this = w->where == CPUU_WHERE_MOVED ? CPUU_WHY_NO_ACCESS : w->why;
        if (w->source || w->where == CPUU_WHERE_AT_TARGET)
            continue;
        if (why && why != this)
            return CPUU_WHY_UNKNOWN;
        why = this;
    }
    return why ? why : CPUU_WHY_UNKNOWN;
}

static decision put_folder(const cpuu_translate *t, const cpuu_eid *eid, cpuu_blob in, cpuu_buf *out)
{
    int i = owner_of_folder(t, eid);
    if (i >= 0) {
        const cpuu_owner *w = &t->owners[i];
        if (w->is_public && w->folders_ok && cpuu_folder_find(&w->target_folders, in) &&
            !cpuu_folder_find(&w->source_folders, in))
            return (decision){CPUU_ALREADY, CPUU_WHY_AT_TARGET};
        return put_mapped_folder(w, in, out);
    }
    if (cpuu_facts_owner_by_guid(t, eid->provider, true) >= 0)
        return (decision){CPUU_ALREADY, CPUU_WHY_AT_TARGET};
    return (decision){CPUU_KEPT, why_closed(t)};
}

static decision put_leaf(cpuu_translate *t, cpuu_blob in, cpuu_buf *out)
{
    cpuu_eid eid;
    if (!cpuu_eid_decode(in, &eid, NULL))
        return unreadable;
    switch (eid.kind) {
    case CPUU_EID_AB:
        return put_ab(t, &eid, out);
    case CPUU_EID_STORE:
        return cpuu_eid_is_mailbox(&eid) ? put_store(t, &eid, out) : put_public_store(t, out);
    case CPUU_EID_FOLDER:
    case CPUU_EID_FOLDER_PUBLIC:
        return put_folder(t, &eid, in, out);
    case CPUU_EID_STORE_PST:
    case CPUU_EID_STORE_OTHER:
        return (decision){CPUU_ALREADY, CPUU_WHY_LOCAL};
    case CPUU_EID_ONEOFF: /* an address written out in full needs no directory */
        return (decision){CPUU_ALREADY, CPUU_WHY_AT_TARGET};
    case CPUU_EID_EPHEMERAL:
        return (decision){CPUU_DROPPED, CPUU_WHY_UNREADABLE};
    case CPUU_EID_UNKNOWN: /* another provider's: a PST folder, an add-in's store */
        return (decision){CPUU_ALREADY, CPUU_WHY_LOCAL};
    default: /* messages are matched by content, which no feature asks for yet */
        return (decision){CPUU_KEPT, CPUU_WHY_UNKNOWN};
    }
}

typedef struct leaf_call {
    cpuu_translate *t;
    decision d;
} leaf_call;

static bool on_leaf(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out)
{
    leaf_call *c = user;
    (void)kind;
    c->d = put_leaf(c->t, in, out);
    return c->d.outcome == CPUU_REWRITTEN;
}

static decision put_eid(cpuu_translate *t, cpuu_blob in, cpuu_buf *out)
{
    leaf_call c = {t, unreadable};
    cpuu_eid_rewrite(in, on_leaf, &c, out, NULL);
    return c.d;
}

static decision put_text(cpuu_translate *t, const cpuu_link *l, cpuu_buf *out)
{
    char *text = clean_text(t, l->in);
    bool dn = l->kind == CPUU_LINK_EX_DN;
    const cpuu_subject *p = text ? cpuu_facts_person(t, dn ? text : NULL, dn ? l->smtp : text) : NULL;
    const char *target = p ? dn ? p->target_dn : p->target_smtp : NULL;
    decision d = need(about_person(p), target);
    if (d.outcome == CPUU_REWRITTEN)
        cpuu_buf_add(out, target, strlen(target));
    return d;
}

/* A display name; the directory may call the same person otherwise at the target. */
static decision put_name(cpuu_translate *t, cpuu_blob in, cpuu_buf *out)
{
    char *text = clean_text(t, in);
    const cpuu_called *c = text ? cpuu_facts_called(t, text) : NULL;
    const cpuu_subject *p = c ? cpuu_facts_called_person(t, c) : NULL;
    if (!c)
        return unreadable;
    if (!p)
        return (decision){CPUU_KEPT, c->ambiguous ? CPUU_WHY_AMBIGUOUS : CPUU_WHY_UNKNOWN};
    decision d = need(about_person(p), p->target_name);
    if (d.outcome == CPUU_REWRITTEN)
        cpuu_buf_add(out, p->target_name, strlen(p->target_name));
    return d;
}

static decision put_search_key(cpuu_translate *t, cpuu_blob in, cpuu_buf *out)
{
    bool is_ex = false;
    const cpuu_subject *p = person_of_key(t, in, NULL, &is_ex);
    const char *target = p ? is_ex ? p->target_dn : p->target_smtp : NULL;
    decision d = need(about_person(p), target);
    if (d.outcome == CPUU_REWRITTEN)
        cpuu_search_key_build(out, is_ex ? "EX" : "SMTP", target);
    return d;
}

static bool has_source_key(const cpuu_folder_list *l, size_t k, cpuu_blob key)
{
    cpuu_eid eid;
    uint8_t have[CPUU_SOURCE_KEY_SIZE];
    return key.size == sizeof(have) && cpuu_eid_decode(l->items[k].eid, &eid, NULL) &&
           cpuu_eid_source_key(&eid, have) && memcmp(key.data, have, sizeof(have)) == 0;
}

/* No folder of the source. */
static decision foreign_source_key(const cpuu_translate *t, cpuu_blob in)
{
    bool closed = false;
    for (int i = CPUU_OWNER_OWN; i <= CPUU_OWNER_PUBLIC; i++) {
        const cpuu_owner *w = &t->owners[i];
        closed |= !w->folders_ok;
        for (size_t k = 0; w->folders_ok && k < w->target_folders.count; k++)
            if (has_source_key(&w->target_folders, k, in))
                return (decision){CPUU_ALREADY, CPUU_WHY_AT_TARGET};
    }
    return (decision){CPUU_KEPT, closed ? CPUU_WHY_NO_ACCESS : CPUU_WHY_UNKNOWN};
}

/* A source key says nothing of its store: it is looked for in the own mailbox, then in the public
 * folders; both trees were read. */
static decision put_source_key(const cpuu_translate *t, cpuu_blob in, cpuu_buf *out)
{
    for (int i = CPUU_OWNER_OWN; i <= CPUU_OWNER_PUBLIC; i++) {
        const cpuu_owner *w = &t->owners[i];
        for (size_t k = 0; w->folders_ok && k < w->source_folders.count; k++) {
            cpuu_eid target;
            uint8_t key[CPUU_SOURCE_KEY_SIZE];
            cpuu_buf found;
            if (!has_source_key(&w->source_folders, k, in))
                continue;
            cpuu_buf_init(&found, MAX_LINK);
            decision d = put_mapped_folder(w, w->source_folders.items[k].eid, &found);
            if (d.outcome == CPUU_REWRITTEN) {
                cpuu_blob b = {found.data, (uint32_t)found.size};
                if (cpuu_eid_decode(b, &target, NULL) && cpuu_eid_source_key(&target, key))
                    cpuu_buf_add(out, key, sizeof(key));
                else
                    d = unreadable;
            }
            cpuu_buf_free(&found);
            return d;
        }
    }
    return foreign_source_key(t, in);
}

/* The record key of a store is its mailbox GUID, that of a folder its EntryID (observed). */
static decision put_record_key(cpuu_translate *t, cpuu_blob in, cpuu_buf *out)
{
    if (in.size == CPUU_FOLDER_EID_SIZE)
        return put_eid(t, in, out);
    if (in.size != 16)
        return unreadable;
    int i = cpuu_facts_owner_by_guid(t, in.data, false);
    if (i < 0)
        return cpuu_facts_owner_by_guid(t, in.data, true) >= 0
                   ? (decision){CPUU_ALREADY, CPUU_WHY_AT_TARGET}
                   : (decision){CPUU_KEPT, CPUU_WHY_UNKNOWN};
    const cpuu_owner *w = &t->owners[i];
    if (w->where != CPUU_WHERE_MOVED)
        return (decision){CPUU_KEPT, w->why};
    if (!w->target)
        return (decision){CPUU_KEPT, CPUU_WHY_NO_ACCESS};
    cpuu_buf_add(out, cpuu_mailbox_get_info(w->target)->mailbox_guid, 16);
    return (decision){CPUU_REWRITTEN, why_rewritten(w)};
}

/* The 8-byte id of a folder in a rule: always one of the user's own mailbox. */
static decision put_fid(const cpuu_translate *t, cpuu_blob in, cpuu_buf *out)
{
    const cpuu_owner *w = &t->owners[CPUU_OWNER_OWN];
    uint8_t eid[CPUU_FID_EID_SIZE], fid[8];
    cpuu_buf found;
    if (in.size != sizeof(fid))
        return unreadable;
    if (!w->source || !w->target || !w->folders_ok)
        return (decision){CPUU_KEPT, CPUU_WHY_NO_ACCESS};
    if (!cpuu_mailbox_folder_of_fid(w->source, in.data, eid))
        return (decision){CPUU_DROPPED, CPUU_WHY_MISSING};
    cpuu_buf_init(&found, MAX_LINK);
    decision d = put_mapped_folder(w, (cpuu_blob){eid, sizeof(eid)}, &found);
    if (d.outcome == CPUU_REWRITTEN) {
        cpuu_blob target = {found.data, (uint32_t)found.size};
        if (cpuu_mailbox_fid_of_folder(w->target, target, fid))
            cpuu_buf_add(out, fid, sizeof(fid));
        else
            d = unreadable;
    }
    cpuu_buf_free(&found);
    return d;
}

static decision put_link(cpuu_translate *t, const cpuu_link *l, cpuu_buf *out)
{
    switch (l->kind) {
    case CPUU_LINK_EID:
        return put_eid(t, l->in, out);
    case CPUU_LINK_EX_DN:
    case CPUU_LINK_SMTP:
        return put_text(t, l, out);
    case CPUU_LINK_SEARCH_KEY:
        return put_search_key(t, l->in, out);
    case CPUU_LINK_NAME:
        return put_name(t, l->in, out);
    case CPUU_LINK_SOURCE_KEY:
        return put_source_key(t, l->in, out);
    case CPUU_LINK_RECORD_KEY:
        return put_record_key(t, l->in, out);
    case CPUU_LINK_FID:
        return put_fid(t, l->in, out);
    default:
        return unreadable;
    }
}

static cpuu_rc decide(cpuu_translate *t, cpuu_link *l, cpuu_error *err)
{
    l->out = l->in;
    l->outcome = CPUU_ALREADY;
    l->reason = CPUU_WHY_OWN;
    if (l->in.size == 0)
        return CPUU_OK;
    if (l->in.size > MAX_LINK) {
        l->outcome = unreadable.outcome;
        l->reason = unreadable.reason;
        return CPUU_OK;
    }
    cpuu_buf out;
    cpuu_buf_init(&out, 4 * MAX_LINK);
    decision d = put_link(t, l, &out);
    cpuu_rc rc = CPUU_OK;
    if (d.outcome == CPUU_REWRITTEN && out.failed) {
        d = unreadable;
    } else if (d.outcome == CPUU_REWRITTEN && out.size == l->in.size &&
               memcmp(out.data, l->in.data, out.size) == 0) {
        d = (decision){CPUU_ALREADY, CPUU_WHY_AT_TARGET};
    } else if (d.outcome == CPUU_REWRITTEN) {
        l->out.data = cpuu_arena_dup(&t->answers, out.data, out.size);
        l->out.size = (uint32_t)out.size;
        if (!l->out.data)
            rc = cpuu_nomem(err);
    }
    l->outcome = d.outcome;
    l->reason = d.reason;
    cpuu_buf_free(&out);
    return rc;
}

/* ---- named properties ------------------------------------------------------------------------ */

static cpuu_rc translate_names(cpuu_translate *t, cpuu_link *links, size_t n, bool make_names,
                               cpuu_error *err);

cpuu_rc cpuu_translate_links(cpuu_translate *t, cpuu_link *links, size_t n, bool make_names,
                             cpuu_error *err)
{
    cpuu_arena before = t->answers; /* links may be made of the last answers */
    t->answers = (cpuu_arena){0};
    cpuu_rc rc = gather(t, links, n, err);
    for (size_t i = 0; rc == CPUU_OK && i < n; i++)
        rc = decide(t, &links[i], err);
    if (rc == CPUU_OK)
        rc = translate_names(t, links, n, make_names, err);
    for (size_t i = 0; rc == CPUU_OK && i < n; i++) {
        bool already = links[i].outcome == CPUU_ALREADY;
        bool moved = already || links[i].outcome == CPUU_REWRITTEN;
        links[i].in_text = cpuu_translate_describe(t, already, links[i].kind, links[i].in);
        links[i].out_text = cpuu_translate_describe(t, moved, links[i].kind, links[i].out);
    }
    cpuu_arena_free(&before);
    return rc;
}

void cpuu_translate_forget(cpuu_translate *t)
{
    cpuu_arena_free(&t->answers);
}

typedef struct name_set {
    cpuu_link **links; /* those with an id >= 0x8000 */
    uint16_t *ids;
    cpuu_name *names;
    uint32_t n;
} name_set;

static cpuu_rc name_set_take(name_set *s, cpuu_link *links, size_t n, cpuu_error *err)
{
    s->links = cpuu_calloc(n, sizeof(cpuu_link *));
    s->ids = cpuu_calloc(n, sizeof(*s->ids));
    s->names = cpuu_calloc(n, sizeof(*s->names));
    if (!s->links || !s->ids || !s->names)
        return cpuu_nomem(err);
    for (size_t i = 0; i < n; i++) {
        if (links[i].kind != CPUU_LINK_NAMED_TAG || links[i].in.size != 4)
            continue;
        uint16_t id = cpuu_le16(links[i].in.data + 2);
        links[i].outcome = id >= 0x8000 ? CPUU_KEPT : CPUU_ALREADY;
        links[i].reason = id >= 0x8000 ? CPUU_WHY_UNKNOWN : CPUU_WHY_OWN;
        if (id >= 0x8000) {
            s->ids[s->n] = id;
            s->links[s->n++] = &links[i];
        }
    }
    return CPUU_OK;
}

/* A name the source does not know (all zero) is not asked for. */
static bool is_name(const cpuu_name *name)
{
    static const uint8_t zero[16];
    return memcmp(name->guid, zero, 16) != 0;
}

static void name_set_shrink(name_set *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        if (!is_name(&s->names[i]))
            continue;
        s->names[n] = s->names[i];
        s->ids[n] = 0;
        s->links[n++] = s->links[i];
    }
    s->n = n;
}

static cpuu_rc put_names(cpuu_translate *t, const name_set *s, cpuu_error *err)
{
    for (uint32_t i = 0; i < s->n; i++) {
        cpuu_link *l = s->links[i];
        if (s->ids[i] < 0x8000)
            continue;
        uint8_t *tag = cpuu_arena_dup(&t->answers, l->in.data, 4);
        if (!tag)
            return cpuu_nomem(err);
        tag[2] = (uint8_t)s->ids[i];
        tag[3] = (uint8_t)(s->ids[i] >> 8);
        l->outcome = memcmp(tag, l->in.data, 4) == 0 ? CPUU_ALREADY : CPUU_REWRITTEN;
        l->reason = CPUU_WHY_OWN;
        l->out.data = tag;
    }
    return CPUU_OK;
}

/* A mailbox that will not tell its names leaves the links as they are, with a word; a request that was
 * lost is no answer. */
static cpuu_rc names_failed(cpuu_translate *t, const cpuu_mail_op *op, cpuu_error *err)
{
    if (op->rc == CPUU_E_ACCESS || op->rc == CPUU_E_UNSUPPORTED) {
        cpuu_logf(t->log, CPUU_LV_WARNING, "Cannot look up the names of properties: %s",
                  op->error.text);
        return CPUU_OK;
    }
    *err = op->error;
    return cpuu_wrap(err, "looking up the names of properties");
}

/* Property tags >= 0x8000 inside blobs: id -> (GUID, name) at the source -> id at the target. A name
 * the target does not have stays unresolved unless make_names: creating one is permanent, so it is
 * done only for who is about to write it. */
static cpuu_rc translate_names(cpuu_translate *t, cpuu_link *links, size_t n, bool make_names,
                               cpuu_error *err)
{
    name_set s = {0};
    cpuu_mail_op source = {.verb = CPUU_MAIL_ID_NAMES, .box = t->o.source};
    cpuu_mail_op target = {.verb = CPUU_MAIL_NAME_IDS, .box = t->o.target,
                           .create_names = make_names};
    cpuu_rc rc = name_set_take(&s, links, n, err);
    bool ask = rc == CPUU_OK && s.n > 0 && t->o.mail && t->o.source && t->o.target;
    source.name_ids = target.name_ids = s.ids;
    source.names_out = s.names;
    source.n_names = s.n;
    if (ask)
        rc = cpuu_mail_run(t->o.mail, &source, 1, err);
    if (ask && rc == CPUU_OK && source.rc < 0)
        rc = names_failed(t, &source, err);
    ask = ask && rc == CPUU_OK && source.rc == CPUU_OK;
    if (ask)
        name_set_shrink(&s);
    target.names = s.names;
    target.n_names = s.n;
    if (ask && s.n > 0)
        rc = cpuu_mail_run(t->o.mail, &target, 1, err);
    if (ask && rc == CPUU_OK && target.rc < 0)
        rc = names_failed(t, &target, err);
    if (ask && rc == CPUU_OK && target.rc == CPUU_OK)
        rc = put_names(t, &s, err);
    cpuu_mail_op_clear(&source);
    cpuu_mail_op_clear(&target);
    cpuu_free(s.ids);
    cpuu_free(s.names);
    cpuu_free(s.links);
    return rc;
}

/* ---- life ------------------------------------------------------------------------------------ */

static cpuu_rc add_fixed_owners(cpuu_translate *t)
{
    const cpuu_translate_options *o = &t->o;
    int own = cpuu_facts_owner(t, o->source_dn, o->source_smtp);
    if (own != CPUU_OWNER_OWN)
        return CPUU_E_NOMEM;
    cpuu_owner *w = &t->owners[own];
    w->own = true;
    w->asked = true;
    w->where = CPUU_WHERE_MOVED;
    w->source = o->source;
    w->target = o->target;
    w->target_dn = o->target_dn;
    w->target_smtp = o->target_smtp;
    if (!cpuu_grow(&t->owners, &t->cap_owners, t->n_owners, sizeof(*t->owners)))
        return CPUU_E_NOMEM;
    w = &t->owners[t->n_owners++];
    memset(w, 0, sizeof(*w));
    w->is_public = true;
    w->asked = true;
    w->where = CPUU_WHERE_MOVED;
    return CPUU_OK;
}

cpuu_rc cpuu_translate_new(const cpuu_translate_options *o, cpuu_log *log, cpuu_translate **out,
                           cpuu_error *err)
{
    cpuu_translate *t = cpuu_calloc(1, sizeof(*t));
    if (!t)
        return cpuu_nomem(err);
    t->o = *o;
    t->log = log;
    if (add_fixed_owners(t) != CPUU_OK) {
        cpuu_translate_free(t);
        return cpuu_nomem(err);
    }
    *out = t;
    return CPUU_OK;
}

void cpuu_translate_free(cpuu_translate *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n_owners; i++) {
        cpuu_folder_list_free(&t->owners[i].source_folders);
        cpuu_folder_list_free(&t->owners[i].target_folders);
    }
    cpuu_free(t->owners);
    cpuu_free(t->people);
    cpuu_free(t->called);
    cpuu_free(t->people_index);
    cpuu_arena_free(&t->answers);
    cpuu_arena_free(&t->arena);
    cpuu_free(t);
}

/* ---- readable -------------------------------------------------------------------------------- */

static const char *keep_text(cpuu_translate *t, const char *text)
{
    const char *s = cpuu_arena_strdup(&t->answers, text);
    return s ? s : "";
}

static const char *describe_folder(cpuu_translate *t, bool target_side, const cpuu_eid *eid,
                                   cpuu_blob in)
{
    char path[512], line[1024];
    int i = eid->kind == CPUU_EID_FOLDER_PUBLIC
                ? CPUU_OWNER_PUBLIC
                : cpuu_facts_owner_by_guid(t, eid->provider, target_side);
    if (i < 0)
        return "folder of an unknown mailbox";
    const cpuu_owner *w = &t->owners[i];
    const cpuu_folder_list *l = target_side ? &w->target_folders : &w->source_folders;
    const cpuu_folder *f = cpuu_folder_find(l, in);
    const char *who = w->is_public ? "public folders" : target_side ? w->target_smtp : w->smtp;
    bool known = f && cpuu_folder_path(l, f, path, sizeof(path));
    if (!who)
        who = w->dn ? w->dn : "?";
    if (f)
        snprintf(line, sizeof(line), "%s:%s", who, known ? path : "\\");
    else
        snprintf(line, sizeof(line), "a folder of %s", who);
    return keep_text(t, line);
}

static const char *describe_eid(cpuu_translate *t, bool target_side, cpuu_blob id)
{
    cpuu_eid eid;
    cpuu_blob inner, dn = {NULL, 0};
    if (!cpuu_eid_decode(id, &eid, NULL))
        return "damaged EntryID";
    if (cpuu_eid_inner(&eid, &inner))
        return inner.size < id.size ? describe_eid(t, target_side, inner) : "nested EntryID";
    if (eid.kind == CPUU_EID_FOLDER || eid.kind == CPUU_EID_FOLDER_PUBLIC)
        return describe_folder(t, target_side, &eid, id);
    if (eid.kind == CPUU_EID_AB)
        dn = eid.u.ab.dn;
    else if (eid.kind == CPUU_EID_STORE && !cpuu_eid_is_mailbox(&eid)) {
        return "public folders";
    } else if (eid.kind == CPUU_EID_STORE) {
        const char *smtp = store_smtp(t, &eid);
        if (smtp)
            return smtp;
        cpuu_eid_store_dn(&eid, &dn);
    }
    const char *text = dn.size ? clean_text(t, dn) : NULL;
    if (!text && eid.kind == CPUU_EID_UNKNOWN)
        return "entry of a PST or another provider";
    return text ? text : cpuu_eid_kind_name(eid.kind);
}

/* NULL: no folder of the trees that were read. */
static const char *describe_source_key(cpuu_translate *t, bool target_side, cpuu_blob key)
{
    for (int i = CPUU_OWNER_OWN; i <= CPUU_OWNER_PUBLIC; i++) {
        const cpuu_owner *w = &t->owners[i];
        const cpuu_folder_list *l = target_side ? &w->target_folders : &w->source_folders;
        for (size_t k = 0; w->folders_ok && k < l->count; k++)
            if (has_source_key(l, k, key))
                return describe_eid(t, target_side, l->items[k].eid);
    }
    return NULL;
}

const char *cpuu_translate_describe(cpuu_translate *t, bool target_side, uint32_t kind, cpuu_blob id)
{
    uint8_t eid[CPUU_FID_EID_SIZE];
    const cpuu_mailbox *own = target_side ? t->o.target : t->o.source;
    if (kind == CPUU_LINK_FID && id.size == 8 && own &&
        cpuu_mailbox_folder_of_fid(own, id.data, eid))
        return describe_eid(t, target_side, (cpuu_blob){eid, sizeof(eid)});
    const char *folder =
        kind == CPUU_LINK_SOURCE_KEY ? describe_source_key(t, target_side, id) : NULL;
    if (folder)
        return folder;
    if (kind == CPUU_LINK_EID ||
        (kind == CPUU_LINK_RECORD_KEY && id.size == CPUU_FOLDER_EID_SIZE))
        return describe_eid(t, target_side, id);
    if (kind == CPUU_LINK_EX_DN || kind == CPUU_LINK_SMTP || kind == CPUU_LINK_NAME) {
        const char *text = clean_text(t, id);
        return text ? text : "";
    }
    if (kind == CPUU_LINK_SEARCH_KEY && id.size > 1) {
        cpuu_blob bare = {id.data, id.size - (id.data[id.size - 1] == 0)};
        const char *text = clean_text(t, bare);
        return text ? text : "";
    }
    char hex[2 * 24 + 1];
    cpuu_hex(hex, id.data, id.size < 24 ? id.size : 24);
    return keep_text(t, hex);
}
