/*
 * Synthetic Outlook profiles as .reg text, for tests and rehearsals: an Exchange account with
 * additional mailboxes, contact folders in the address book, a PST, move-to folders, junk lists.
 *
 * Made from the published layouts and the observed facts the reference lists, with encoders of its
 * own: nothing of the code under test is used. It is not a real profile; where a section holds what
 * only a real one could tell, it follows the reference's best knowledge.
 */
#ifndef CPUU_TESTS_PROFILEGEN_H
#define CPUU_TESTS_PROFILEGEN_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct gen_box { /* an additional mailbox */
    const char *smtp, *dn, *name;
    uint8_t guid[16];
    const char *named; /* name the user has given to it; NULL = none */
} gen_box;

typedef struct gen_folder { /* a folder, wherever it is */
    const char *name;
    uint8_t eid[46];      /* not used with pst */
    const char *smtp, *dn; /* of the mailbox; NULL = the account's own */
    const char *store;     /* EntryID of the store in hex, when neither */
    const char *pst;       /* path of the PST the folder is in; NULL = an Exchange mailbox */
    int empty;             /* a move-to folder: an unused slot */
    int fresh;             /* written by something that knows no pointers: they are zero */
} gen_folder;

#define GEN_MAX 16

typedef struct gen_profile {
    unsigned width;      /* 4 or 8: bitness of the Outlook that "wrote" it */
    const char *version; /* "16.0" or "15.0" (account texts REG_BINARY) */
    const char *profile; /* its name */
    const char *user;    /* folder of the user on Windows, "C:\Users\anna" */
    const char *smtp, *dn, *name, *server;
    uint8_t guid[16]; /* mailbox GUID = record key */
    uint8_t inbox[46];
    int online; /* no offline file */
    int public_store;
    int second_account; /* a POP account that delivers into the mailbox */
    const char *pst;    /* path, NULL = none */
    gen_box boxes[GEN_MAX];
    size_t n_boxes;
    gen_folder contacts[GEN_MAX]; /* shown in the Outlook Address Book */
    size_t n_contacts;
    const char *named;         /* name the user has given to the mailbox; NULL = none */
    const char *favorites_name, *all_public_name; /* names given to these two; NULL = none */
    const char *pst_name;      /* NULL = "Archive" */
    gen_folder moves[10]; /* most recently used move-to folders */
    size_t n_moves;
    int windows; /* stores and windows Outlook remembers: 1 with stale pointers, 2 without */
    const char *remembered[GEN_MAX]; /* more of these stores, EntryIDs in hex */
    size_t n_remembered;
    const char *books[GEN_MAX]; /* more address lists in the search path, EntryIDs in hex */
    size_t n_books;
    const char *pab; /* folder for new contacts, EntryID in hex; NULL = none */
    const char *others[GEN_MAX]; /* "Open Other User's Folder" names, as well in 8 bit */
    size_t n_others;
} gen_profile;

/* Fills in a complete example: anna.alder@source.example in organisation SourceOrg. */
void gen_example(gen_profile *g);
/* Section UID of a label ("store", "service", "emsmdb", "box0", "contab", "pst", ...). */
void gen_uid(const gen_profile *g, const char *label, uint8_t uid[16]);
/* Writes the whole as .reg text (UTF-8) below HKEY_CURRENT_USER. */
void gen_write(const gen_profile *g, FILE *out);

#endif
