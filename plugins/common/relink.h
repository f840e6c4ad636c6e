/*
 * Links inside blobs, translated as one set. Every blob is rewritten twice with the same codec: the
 * first time its links are only collected, then one translate() answers for all of them, and the
 * second time the answers are put in. Equal links are asked once.
 */
#ifndef CPUU_PLUGINS_RELINK_H
#define CPUU_PLUGINS_RELINK_H

#include "common/kit.h"

#include <cpuu/formats/links.h>

typedef struct kit_relink_entry {
    cpuu_link link; /* `in` and `smtp` are owned */
    bool preset;    /* answered by the plugin itself; `out` is owned then */
    uint32_t object; /* the last one that asked for it */
} kit_relink_entry;

typedef struct kit_relink {
    kit_relink_entry *items;
    uint32_t count, cap;
    uint32_t *slots; /* index + 1, 0 = empty; a power of two of them */
    uint32_t n_slots;
    bool translated;
    bool failed;      /* out of memory */
    const char *smtp; /* address stored beside the links of the blob at hand; borrowed, may be NULL */
    uint32_t ignore;  /* kinds left alone: see kit_relink_begin() */
    uint32_t object;  /* counts calls of kit_relink_begin() */
    /* Verdict over the links asked for since kit_relink_begin(). */
    uint32_t decides; /* index + 1 of the link that decides: dropped before kept before rewritten */
    bool dead;        /* a link has no place at the target: what holds it must not act there */
} kit_relink;

void kit_relink_free(kit_relink *r);
/* Folder ids and property numbers say nothing of their mailbox. In what the target has of its own they
 * are its own, and must not be taken for the source's. */
#define KIT_OWN_IDS (CPUU_LINK_FID | CPUU_LINK_NAMED_TAG)
/* A new object: forgets the verdict and the address. ignore: kinds that are no links in it. */
void kit_relink_begin(kit_relink *r, uint32_t ignore);
/* The link that decides over the object; NULL when it holds none. Valid after the translation. */
const cpuu_link *kit_relink_verdict(const kit_relink *r);
/* Takes a link out of what the object names: it is a part of another one. */
void kit_relink_hush(kit_relink *r, uint32_t kind, cpuu_blob in);
/* Reports what became of each person and folder the object names, after it was rewritten: of several
 * identifiers of one only the first. Nothing when it holds no link. */
void kit_relink_report(const kit_relink *r, const cpuu_host *host, cpuu_run *run, const char *title);
/* The callback of the codecs; user is the kit_relink. Once translated, a folder id that could not be
 * rewritten becomes zero: at the target it could be any folder's. */
bool kit_relink_cb(void *user, uint32_t kind, cpuu_blob in, cpuu_buf *out);
/* Answers one link before the translation. */
void kit_relink_preset(kit_relink *r, uint32_t kind, cpuu_blob in, uint32_t outcome,
                       uint32_t reason, cpuu_blob out);
/* What is known of a link; NULL when it was never asked for. */
const cpuu_link *kit_relink_find(const kit_relink *r, uint32_t kind, cpuu_blob in);
/* Asks the host about everything collected. Once per verb. */
cpuu_rc kit_relink_translate(kit_relink *r, const cpuu_host *host, cpuu_run *run);

#endif
