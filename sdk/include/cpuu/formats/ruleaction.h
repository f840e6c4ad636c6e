/*
 * Rule actions, standard (PidTagRuleActions) and extended (PidTagExtendedRuleMessageActions):
 * [MS-OXORULE] 2.2.5 and 2.2.4.1.9. Decoding borrows and allocates nothing.
 */
#ifndef CPUU_FORMATS_RULEACTION_H
#define CPUU_FORMATS_RULEACTION_H

#include <cpuu/formats/restriction.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CPUU_OP_MOVE      0x01u
#define CPUU_OP_COPY      0x02u
#define CPUU_OP_REPLY     0x03u
#define CPUU_OP_OOF_REPLY 0x04u
#define CPUU_OP_DEFER     0x05u
#define CPUU_OP_BOUNCE    0x06u
#define CPUU_OP_FORWARD   0x07u
#define CPUU_OP_DELEGATE  0x08u
#define CPUU_OP_TAG       0x09u
#define CPUU_OP_DELETE    0x0au
#define CPUU_OP_MARK_READ 0x0bu

typedef struct cpuu_rule_actions {
    cpuu_form form;   /* CPUU_FORM_RULE or CPUU_FORM_EXTENDED */
    cpuu_npi names;   /* extended only */
    uint32_t version; /* extended only: 1 */
    uint32_t n;       /* actions still to be read */
    cpuu_reader rest; /* the actions not read yet */
} cpuu_rule_actions;

typedef struct cpuu_rule_action {
    uint32_t type; /* CPUU_OP_*, or one not known */
    uint32_t flavor;
    uint32_t flags;
    cpuu_blob data;   /* ActionData */
    uint32_t data_at; /* its offset in the input */
} cpuu_rule_action;

/* Opens; then cpuu_rule_action_next() `n` times. */
bool cpuu_rule_actions_open(cpuu_blob in, cpuu_form form, cpuu_rule_actions *out,
                            cpuu_fmt_error *err);
/* The next action; false at the end or on error (then `actions->rest.failed`). */
bool cpuu_rule_action_next(cpuu_rule_actions *actions, cpuu_rule_action *out);
/* Appends the start of a list of n actions, and one action. An action or a count that does not fit
 * into the 16 bits of a standard rule fails the buffer. `names` may be NULL for none. */
bool cpuu_rule_actions_begin(cpuu_buf *out, cpuu_form form, const cpuu_npi *names, uint32_t version,
                             uint32_t n);
bool cpuu_rule_action_write(cpuu_buf *out, cpuu_form form, const cpuu_rule_action *action);

/* OP_MOVE, OP_COPY, [MS-OXORULE] 2.2.5.1.2.1 */
typedef struct cpuu_rule_move {
    uint8_t ours;     /* standard only: 1 = this store, folder is a ServerEid (21 bytes) */
    cpuu_blob store;  /* EntryID; meaningless when ours, and in extended rules */
    cpuu_blob folder; /* ServerEid, or folder EntryID */
    cpuu_blob rest;   /* what follows; normally empty */
} cpuu_rule_move;
bool cpuu_rule_move_decode(const cpuu_rule_action *a, cpuu_form form, cpuu_rule_move *out,
                           cpuu_fmt_error *err);
/* Appends ActionData. */
bool cpuu_rule_move_encode(cpuu_buf *out, cpuu_form form, const cpuu_rule_move *m);

/* OP_REPLY, OP_OOF_REPLY, 2.2.5.1.2.2 */
typedef struct cpuu_rule_reply {
    uint8_t fid[8], mid[8]; /* standard: replica id and counter */
    cpuu_blob message;      /* extended: message EntryID */
    uint8_t guid[16];       /* PidTagReplyTemplateId of the template */
    cpuu_blob rest;
} cpuu_rule_reply;
bool cpuu_rule_reply_decode(const cpuu_rule_action *a, cpuu_form form, cpuu_rule_reply *out,
                            cpuu_fmt_error *err);
bool cpuu_rule_reply_encode(cpuu_buf *out, cpuu_form form, const cpuu_rule_reply *reply);

/* OP_FORWARD, OP_DELEGATE, 2.2.5.1.2.4 */
typedef struct cpuu_rule_recipients {
    cpuu_form form;
    bool narrow;      /* counts have 16 bits: what servers accept in standard rules, although
                         [MS-OXORULE] 2.2.5.1.2.4 prints 32; both are read */
    uint32_t n;  /* recipients still to be read */
    cpuu_reader rest;
} cpuu_rule_recipients;
typedef struct cpuu_rule_recipient {
    uint8_t reserved;
    uint32_t n;         /* properties */
    cpuu_blob values;   /* read them with cpuu_rawprop_read() */
    uint32_t values_at; /* offset in the input */
} cpuu_rule_recipient;
bool cpuu_rule_recipients_open(const cpuu_rule_action *a, cpuu_form form, cpuu_rule_recipients *out,
                               cpuu_fmt_error *err);
bool cpuu_rule_recipient_next(cpuu_rule_recipients *list, cpuu_rule_recipient *out);

/*
 * Copies all actions with links replaced and lengths re-laid. Asked for, in order:
 *   MOVE, COPY   the store when it is an EntryID, then the folder: CPUU_LINK_FID with the 8 bytes
 * of the FID when ours (the answer must be 8 bytes), else the EntryID REPLY        extended: the
 * template's EntryID. Standard: nothing, since FID, MID and GUID can only change together: decode,
 * copy the template, encode FORWARD ...  each property of each recipient (cpuu_rewrite_rawprop)
 *   DEFER        everything in the Outlook rule stream (rulestream.h); other data is kept
 *   TAG          the named property, unless named in the blob
 */
bool cpuu_rule_actions_rewrite(cpuu_blob in, cpuu_form form, cpuu_link_cb cb, void *user,
                               cpuu_buf *out, bool *replaced, cpuu_fmt_error *err);

#ifdef __cplusplus
}
#endif
#endif
