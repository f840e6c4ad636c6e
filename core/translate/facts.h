/*
 * What the translation knows so far about people and about mailboxes. Facts are fetched in sets, kept
 * for the whole profile, and never guessed. Private to translate/.
 */
#ifndef CPUU_TRANSLATE_FACTS_H
#define CPUU_TRANSLATE_FACTS_H

#include "base/text.h"
#include "translate/foldermap.h"
#include "translate/translate.h"

typedef enum cpuu_where {
    CPUU_WHERE_UNASKED = 0,
    CPUU_WHERE_MOVED,
    CPUU_WHERE_NOT_MOVED,
    CPUU_WHERE_AT_TARGET, /* the identity already is one of the target organisation */
    CPUU_WHERE_UNKNOWN,
    CPUU_WHERE_AMBIGUOUS
} cpuu_where;

/* A person or list, by what the source calls it. Strings live in the arena of cpuu_translate. */
typedef struct cpuu_subject {
    const char *dn;   /* as asked; may be NULL */
    const char *smtp; /* as asked, or stored beside the DN; may be NULL */
    bool own;         /* the user */
    cpuu_where where;
    const char *target_dn, *target_smtp, *target_name;
} cpuu_subject;

/* A display name, and whom the source's address book knows by it. */
typedef struct cpuu_called {
    const char *name;
    bool asked, ambiguous;
    const char *dn, *smtp; /* at the source; dn NULL = nobody, or not one person */
} cpuu_called;

/* A mailbox other people own (or the user's own, or the public store). */
typedef struct cpuu_owner {
    const char *dn, *smtp;            /* at the source; the public store has neither */
    bool own, is_public;
    cpuu_where where;
    uint32_t why;                     /* CPUU_WHY_* when where is not MOVED */
    bool asked;
    const char *target_dn, *target_smtp;
    cpuu_mailbox *source, *target;    /* NULL = not opened */
    bool source_tried, target_tried;
    /* [false] at the source, [true] at the target; public folders: both by [true] */
    bool wanted[2];                   /* a feature wants to look inside */
    cpuu_rc closed[2];                /* why it stays closed, CPUU_OK = no reason is known */
    const char *why_closed[2];
    bool supposed;                    /* target_dn is a guess that is being tried */
    bool folders_wanted, folders_read, folders_ok;
    cpuu_folder_list source_folders, target_folders;
} cpuu_owner;

struct cpuu_translate {
    cpuu_translate_options o;
    cpuu_log *log;
    cpuu_subject *people;
    size_t n_people, cap_people;
    uint32_t *people_index;           /* hash table: number of a person + 1, 0 = free */
    size_t people_slots;              /* a power of two */
    cpuu_called *called;
    size_t n_called, cap_called;
    cpuu_owner *owners;               /* [0] own, [1] public */
    size_t n_owners, cap_owners;
    unsigned n_opened;                /* other people's source mailboxes, against the limit */
    cpuu_directory *source_directory; /* opened when an owner is known by address only */
    bool source_directory_tried;
    cpuu_arena arena;                 /* facts */
    cpuu_arena answers;               /* of the last set of links */
};

/* Both known and equal without regard to case: what makes two identities one. */
static inline bool same(const char *a, const char *b)
{
    return a && b && cpuu_casecmp(a, b) == 0;
}

/*
 * One request to an address book about many people. Open with the number of keys there can be at
 * most, close is owed whatever happened; a key lives until then. After ask, answer i of n is about
 * `who` [i]; when the address book has failed, n is 0 and op.rc and op.error say why.
 */
typedef struct cpuu_question {
    const char **keys;
    size_t *who; /* the caller's number of what a key stands for */
    cpuu_person *answers;
    size_t n;
    cpuu_mail_op op;
} cpuu_question;

cpuu_rc cpuu_question_open(cpuu_question *q, size_t most, cpuu_error *err);
void cpuu_question_add(cpuu_question *q, size_t who, const char *key);
cpuu_rc cpuu_question_ask(cpuu_question *q, cpuu_translate *t, cpuu_directory *directory,
                          cpuu_error *err);
void cpuu_question_close(cpuu_question *q);

#define CPUU_OWNER_OWN    0
#define CPUU_OWNER_PUBLIC 1

/* The subject known by either identity, added when new. NULL when out of memory. */
cpuu_subject *cpuu_facts_person(cpuu_translate *t, const char *dn, const char *smtp);
/* Asks mapping file or target directory about every person not asked about yet, in one batch. */
cpuu_rc cpuu_facts_resolve_people(cpuu_translate *t, cpuu_error *err);
/* The entry of a display name, added when new. NULL when out of memory. */
cpuu_called *cpuu_facts_called(cpuu_translate *t, const char *name);
/* Whom it names; NULL when that is not known. */
cpuu_subject *cpuu_facts_called_person(cpuu_translate *t, const cpuu_called *c);
/* Asks the source's address book who is called so; before cpuu_facts_resolve_people(). */
cpuu_rc cpuu_facts_resolve_called(cpuu_translate *t, cpuu_error *err);
/* Completes the target's names of those who have moved; after it. */
cpuu_rc cpuu_facts_name_called(cpuu_translate *t, cpuu_error *err);
/* The source's address book, opened at the first call; NULL when it cannot be. */
cpuu_directory *cpuu_facts_source_directory(cpuu_translate *t);
/* Index of the owner, added when new; -1 when out of memory. */
int cpuu_facts_owner(cpuu_translate *t, const char *dn, const char *smtp);
/* Settles where every owner lives: mapping file, else a Switch Message in the source mailbox. */
cpuu_rc cpuu_facts_resolve_owners(cpuu_translate *t, cpuu_error *err);
/* Index of the owner whose source (target_side: target) mailbox has this GUID; -1 = nobody known. */
int cpuu_facts_owner_by_guid(const cpuu_translate *t, const uint8_t guid[16], bool target_side);
/* Completes wanted or unsettled owners known by their address only, from the source's directory. */
cpuu_rc cpuu_facts_name_sources(cpuu_translate *t, cpuu_error *err);
/* Opens the source mailboxes of owners that are wanted, not settled, or whose folders are. */
cpuu_rc cpuu_facts_open_sources(cpuu_translate *t, cpuu_error *err);
/* Opens the target mailboxes of those who have moved, and the public folders of both sides. */
cpuu_rc cpuu_facts_open_targets(cpuu_translate *t, cpuu_error *err);
/* Trouble of this program, which says nothing about an owner. */
bool cpuu_facts_is_ours(cpuu_rc rc);
/* Opens the target mailboxes and reads both folder trees of every owner that wants them. */
cpuu_rc cpuu_facts_read_folders(cpuu_translate *t, cpuu_error *err);

#endif
