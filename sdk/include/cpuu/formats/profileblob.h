/*
 * Structures inside registry values of an Outlook profile. Values are taken as decoded from their
 * registry form; for multi-valued ones that is the list form of mv.h. All layouts are observed in
 * real profiles of both bitnesses, none is documented.
 */
#ifndef CPUU_FORMATS_PROFILEBLOB_H
#define CPUU_FORMATS_PROFILEBLOB_H

#include <cpuu/formats/entryid.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A folder, as the move-to-folder list keeps it (1102022a): the memory image of a structure with
 * two pointers, so its width depends on the bitness of the Outlook that wrote it.
 */
typedef struct cpuu_folder_ref {
    unsigned width;   /* 4 or 8 */
    cpuu_blob head;   /* the 20 or 40 bytes before the ids, stale pointers included; empty when made
                         anew: then pointers and padding are zero */
    cpuu_blob folder; /* EntryID */
    cpuu_blob store;  /* EntryID */
} cpuu_folder_ref;

bool cpuu_folder_ref_decode(cpuu_blob in, cpuu_folder_ref *out, cpuu_fmt_error *err);
bool cpuu_folder_ref_encode(cpuu_buf *out, const cpuu_folder_ref *ref);
/* Asks for the store, then the folder. When one was replaced the stale pointers become zero. An
 * empty element (an unused slot) stays empty. */
bool cpuu_folder_ref_rewrite(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out,
                             bool *replaced, cpuu_fmt_error *err);

/* One window of the last session, element of 11020434. */
typedef struct cpuu_window_state {
    uint32_t version; /* 3 or 4 */
    uint32_t word1;   /* 2 */
    uint32_t word2;   /* 0 */
    cpuu_blob ref;    /* see cpuu_folder_ref_decode() */
    cpuu_blob store;  /* EntryID */
    cpuu_blob rest;   /* position of the window */
} cpuu_window_state;
bool cpuu_window_state_decode(cpuu_blob in, cpuu_window_state *out, cpuu_fmt_error *err);
bool cpuu_window_state_encode(cpuu_buf *out, const cpuu_window_state *w);
bool cpuu_window_state_rewrite(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out,
                               bool *replaced, cpuu_fmt_error *err);

/* ---- lists in the form of mv.h: u32 count, then for each element u32 size and its bytes
 * ------------ */

typedef bool (*cpuu_element_rewrite)(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out,
                                     bool *replaced, cpuu_fmt_error *err);
/* cpuu_eid_rewrite() in that shape: address-book search path (11023d05), contact folders and their
 * stores (11026620, 11026626), store lists (1102039b, 1102044e, 1102032f). Never fails on input. */
bool cpuu_eid_element(cpuu_blob in, cpuu_link_cb cb, void *user, cpuu_buf *out, bool *replaced,
                      cpuu_fmt_error *err);
/* Copies a list with every element rewritten. An element that cannot be decoded is an error, whose
 * offset counts from the start of the list. */
bool cpuu_list_rewrite(cpuu_blob list, cpuu_element_rewrite rewrite, cpuu_link_cb cb, void *user,
                       cpuu_buf *out, bool *replaced, cpuu_fmt_error *err);
/* Element `index`, false when there is none. */
bool cpuu_list_at(cpuu_blob list, uint32_t index, cpuu_blob *element);
bool cpuu_list_count(cpuu_blob list, uint32_t *n, cpuu_fmt_error *err);
/* Appends the list without element `index`: contact folders are parallel arrays, so the same index
 * leaves all of them. */
bool cpuu_list_without(cpuu_blob list, uint32_t index, cpuu_buf *out, cpuu_fmt_error *err);

/* EntryID of a contact folder as the address-book search path has it: uid is 01026601 of the
 * address-book provider. */
bool cpuu_eid_build_contab(cpuu_buf *out, const uint8_t uid[16], cpuu_blob folder);

/* ---- account manager
 * -------------------------------------------------------------------------------- */

/* Text values: UTF-16LE with NUL, in REG_BINARY up to Outlook 15, in REG_SZ from 16 on (the same
 * bytes). Decoding takes what is before the first NUL, appended as UTF-8. */
bool cpuu_account_text_decode(cpuu_blob in, cpuu_buf *utf8);
bool cpuu_account_text_encode(const char *utf8, cpuu_buf *out);
/* Name of an account's key: 8 hexadecimal digits, upper case, and NUL; and back. */
void cpuu_account_key(uint32_t id, char name[9]);
bool cpuu_account_id(const char *name, uint32_t *id);
/* Order of accounts ({ED475418-...} and its kin): u32 each. -1 when it is not in the list. */
int32_t cpuu_account_position(cpuu_blob order, uint32_t id);

#ifdef __cplusplus
}
#endif
#endif
