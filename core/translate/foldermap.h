/*
 * Which folder of the target is which folder of the source (reference "mailbox formats" 3.2): first by
 * role, then by path below the nearest matched parent, names compared without case, the container
 * class deciding between equals. Pure: works on two lists of folders.
 */
#ifndef CPUU_TRANSLATE_FOLDERMAP_H
#define CPUU_TRANSLATE_FOLDERMAP_H

#include "base/error.h"
#include "base/mem.h"

#include <cpuu/plugin.h>

typedef struct cpuu_folder {
    cpuu_blob eid;
    cpuu_blob parent;     /* EntryID; empty at the top */
    const char *name;
    const char *klass;    /* container class, "" when none */
    uint32_t role;        /* CPUU_ROLE_*, CPUU_ROLE_NONE */
} cpuu_folder;

/* Folders of one mailbox, sorted for look-up. */
typedef struct cpuu_folder_list {
    cpuu_folder *items; /* by EntryID */
    size_t count, cap;
    const cpuu_folder **places; /* the same by parent and name */
    size_t places_cap;
    const cpuu_folder *roles[CPUU_ROLE_PUBLIC + 1];
    cpuu_arena arena;     /* owns names and ids */
} cpuu_folder_list;

/* Copies everything. CPUU_OK or CPUU_E_NOMEM. */
cpuu_rc cpuu_folder_list_add(cpuu_folder_list *l, const cpuu_folder *folder);
/* Call once, after the last add and before any look-up. */
void cpuu_folder_list_sort(cpuu_folder_list *l);
void cpuu_folder_list_free(cpuu_folder_list *l);
const cpuu_folder *cpuu_folder_find(const cpuu_folder_list *l, cpuu_blob eid);
const cpuu_folder *cpuu_folder_by_role(const cpuu_folder_list *l, uint32_t role);

typedef enum cpuu_folder_match {
    CPUU_MATCH_FOUND = 1,
    CPUU_MATCH_UNKNOWN,   /* the source folder itself is not in the list */
    CPUU_MATCH_MISSING,   /* no such folder at the target */
    CPUU_MATCH_AMBIGUOUS
} cpuu_folder_match;

cpuu_folder_match cpuu_folder_map(const cpuu_folder_list *source, const cpuu_folder_list *target,
                                  cpuu_blob eid, const cpuu_folder **out);

/* "\Inbox\Projects" as far as the parents are known, appended. */
bool cpuu_folder_path(const cpuu_folder_list *l, const cpuu_folder *f, char *out, size_t out_size);

#endif
