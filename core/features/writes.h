/*
 * Parts of the seam: changes.c (the queue and the services), images.c (before-images and what they
 * are compared with), writes.c (journal, mailbox, profile).
 */
#ifndef CPUU_FEATURES_WRITES_H
#define CPUU_FEATURES_WRITES_H

#include "features/private.h"

/* Of objects that only a dry run knows. */
#define CPUU_PLACEHOLDER "cpuu-dry-run-"

/* ---- changes.c ------------------------------------------------------------------------------- */

/* Copies what the blob points to. False: out of memory. */
bool cpuu_queued_keep(cpuu_arena *a, cpuu_blob *b);
/* Ids of rules and members are those of one folder: another one may have the same. */
bool cpuu_queued_same_place(const cpuu_change *a, const cpuu_change *b);
/* Whether that change of the queue is one of the mailbox and still to be made. */
bool cpuu_run_writes(const cpuu_run *run, size_t i);

/* ---- images.c -------------------------------------------------------------------------------- */

typedef struct cpuu_slot { /* one change of one of the runs that are written together */
    cpuu_run *run;
    cpuu_queued *q;
} cpuu_slot;

/* The changes that are still to be written, of all runs that have not failed; cpuu_free(). NULL: out
 * of memory. */
cpuu_slot *cpuu_slots_of(cpuu_run *const *runs, size_t n, size_t *count);
cpuu_rc cpuu_images_read(const cpuu_slot *slots, size_t n, cpuu_error *err);
/* Fails on the first conflict or failed image that the feature did not allow to fail. */
cpuu_rc cpuu_images_compare(cpuu_run *run, cpuu_error *err);
/* Notes that it was the whole request that failed. */
void cpuu_run_note_unanswered(cpuu_run *run, const cpuu_mail_op *op);
/* A change that is not made: an error unless the feature has said that it may fail. */
cpuu_rc cpuu_run_excuse(cpuu_run *run, cpuu_queued *q, cpuu_rc rc, const char *why,
                        cpuu_error *err);

#endif
