/* What write.c (objects written in one request) and parts.c (in several) share. */
#ifndef CPUU_MAILBOX_WRITE_H
#define CPUU_MAILBOX_WRITE_H

#include "mailbox/pool.h"

/* What a step does. */
enum {
    WHAT_OPEN = 1,
    WHAT_MAKE,
    WHAT_SET,
    WHAT_UNSET,
    WHAT_SAVE,
    WHAT_REMOVE,
    WHAT_MODIFY,
    WHAT_STREAM
};

/* Properties the server computes: sent along they would be refused, so they are left out. */
bool cpuu_write_is_computed(uint32_t tag);
void cpuu_write_answer(cpuu_unit *u, cpuu_lane *lane, const cpuu_step *step,
                       const cpuu_rop_answer *a);
void cpuu_write_finish(cpuu_unit *u, cpuu_lane *lane, const cpuu_rop_reply *reply);
/* The set without what the server computes and without `skip`; scratch memory. NULL: none left. */
const cpuu_value *cpuu_write_sendable(cpuu_work *w, const uint32_t *skip, size_t n_skip,
                                      uint32_t *n);
/* Opens or creates the message; its slot. */
uint8_t cpuu_write_begin_message(cpuu_unit *u, cpuu_batch *b);
void cpuu_write_set_some(cpuu_unit *u, cpuu_batch *b, uint8_t slot, const cpuu_value *values,
                         uint32_t n);
/* What is to be removed, and the Save. */
void cpuu_write_end_message(cpuu_unit *u, cpuu_batch *b, uint8_t slot);

/* parts.c. NULL: out of memory. */
const cpuu_unit_class *cpuu_parts_class(cpuu_work *w);
void cpuu_parts_free(cpuu_work *w);

#endif
