/*
 * From source to target: the one place that decides what a link becomes. The same rules for every
 * feature (reference "mailbox formats" 2.3; decisions D7, R8). Given facts (who moved, which folders
 * exist) it is pure; the facts it still needs are fetched in sets through the mailbox layer.
 */
#ifndef CPUU_TRANSLATE_TRANSLATE_H
#define CPUU_TRANSLATE_TRANSLATE_H

#include "mailbox/mailbox.h"
#include "net/switchmsg.h"
#include "translate/mapping.h"

typedef struct cpuu_translate cpuu_translate;

typedef struct cpuu_translate_options {
    cpuu_mail *mail;                 /* NULL: only the mapping file and the profile's own identity */
    cpuu_mailbox *source, *target;   /* the user's own mailboxes; NULL without network */
    cpuu_directory *target_directory;/* may be NULL */
    cpuu_directory *source_directory;/* NULL: opened when it is needed */
    const cpuu_endpoint *source_endpoint, *target_endpoint;
    const cpuu_mapping *mapping;     /* may be NULL */
    /* identities of the user */
    const char *source_dn, *source_smtp, *target_dn, *target_smtp;
    uint32_t max_other_mailboxes;
    /* Reads the Switch Message of an opened mailbox (engine supplies it); see D7(b). */
    cpuu_rc (*read_switch)(void *user, cpuu_mail *mail, cpuu_mailbox **boxes, size_t n,
                           cpuu_rc *rcs, cpuu_switch_message *out);
    void *user;
    const cpuu_mail_op *switch_read; /* what read_switch reads, to be read ahead; NULL = nothing */
} cpuu_translate_options;

/* How the folders of a mailbox are read, for reading ahead. */
cpuu_mail_op cpuu_translate_folders_read(void);
/* The mailbox a store EntryID names, as links are understood: its DN (or "") and address (or "").
 * False when it names none, or does not fit. Pure. */
bool cpuu_translate_store_names(cpuu_blob eid, char *dn, size_t dn_size, char *smtp,
                                size_t smtp_size);

cpuu_rc cpuu_translate_new(const cpuu_translate_options *o, cpuu_log *log, cpuu_translate **out,
                           cpuu_error *err);
void cpuu_translate_free(cpuu_translate *t);

/* Translates n links as one set; fills outcome, reason, out and the readable texts of each. `out`
 * blobs and texts live until the next call or cpuu_translate_forget(). make_names: names of named
 * properties that the target does not know are made there, for good; otherwise such links are
 * kept. */
cpuu_rc cpuu_translate_links(cpuu_translate *t, cpuu_link *links, size_t n, bool make_names,
                             cpuu_error *err);

/* A mailbox that a feature wants to look into. */
typedef struct cpuu_translate_box {
    bool target_side;    /* in */
    cpuu_blob store;     /* in: store EntryID, the owner's of either side; empty = public folders */
    cpuu_rc rc;          /* out: CPUU_E_ACCESS: closed to this account; CPUU_E_NOTFOUND: there is none */
    const char *problem; /* out: why, when rc < 0; lives as long as the translation */
    cpuu_mailbox *box;   /* out; NULL when rc < 0 */
} cpuu_translate_box;

/* Opens n mailboxes as one set, by the way links to them go (D7): the store names an owner, of whom
 * mapping file, Switch Message and directories tell where he lives. Each has its own rc. */
cpuu_rc cpuu_translate_open(cpuu_translate *t, cpuu_translate_box *boxes, size_t n, cpuu_error *err);

/* Gives back what the last answers need: nobody looks at them any more. */
void cpuu_translate_forget(cpuu_translate *t);

/* Readable identity of an EntryID or address, for reports: "Bob Brown <bob@...>: \Calendar". Lives
 * until the next cpuu_translate_links() or cpuu_translate_forget(). Never NULL. */
const char *cpuu_translate_describe(cpuu_translate *t, bool target_side, uint32_t kind,
                                    cpuu_blob id);

#endif
