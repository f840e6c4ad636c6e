/*
 * A registry: keys, values, and one way to change them, an edit list applied atomically.
 *
 * Backends: memory (tests, .reg text) and hive (an offline NTUSER.DAT through libhivex). Paths are
 * UTF-8, separated by "\", relative to HKEY_CURRENT_USER (the root of the hive), "" is the root.
 * Names are compared without regard to case and keep the case they are stored with.
 */
#ifndef CPUU_REGISTRY_REGISTRY_H
#define CPUU_REGISTRY_REGISTRY_H

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"

#include <cpuu/formats/bytes.h>

#define CPUU_REG_NONE      0u
#define CPUU_REG_SZ        1u
#define CPUU_REG_EXPAND_SZ 2u
#define CPUU_REG_BINARY    3u
#define CPUU_REG_DWORD     4u
#define CPUU_REG_MULTI_SZ  7u

typedef struct cpuu_reg cpuu_reg;

typedef struct cpuu_reg_value {
    char *name;     /* UTF-8; "" is the default value */
    uint32_t type;  /* CPUU_REG_*, or any other number, carried through */
    uint8_t *data;  /* as stored: REG_SZ is UTF-16LE, its NUL included when there is one */
    uint32_t size;  /* bytes */
} cpuu_reg_value;

typedef struct cpuu_reg_values { /* free with cpuu_reg_values_free */
    cpuu_reg_value *items;       /* in stored order */
    size_t count;
    cpuu_arena arena;            /* owns everything above */
} cpuu_reg_values;

typedef struct cpuu_reg_names { /* free with cpuu_reg_names_free */
    char **items;               /* in stored order */
    size_t count;
    cpuu_arena arena;
} cpuu_reg_names;

/* ---- edits ----------------------------------------------------------------------------------- */

typedef enum cpuu_edit_kind {
    CPUU_EDIT_CREATE_KEY = 1, /* and its missing parents; existing is fine */
    CPUU_EDIT_DELETE_KEY,     /* with everything below; missing is fine */
    CPUU_EDIT_SET,            /* creates or replaces a value; its key must exist by then */
    CPUU_EDIT_UNSET           /* removes a value; missing is fine */
} cpuu_edit_kind;

/* How sure the source of a fact is; printed by the dry run. */
typedef enum cpuu_mark {
    CPUU_MARK_NONE = 0,       /* our own data, or a restored value */
    CPUU_MARK_DOCUMENTED = 'D',
    CPUU_MARK_CODED = 'C',    /* done by tools that work in the field */
    CPUU_MARK_OBSERVED = 'O', /* seen in real data */
    CPUU_MARK_INFERRED = 'I'
} cpuu_mark;

typedef struct cpuu_edit {
    cpuu_edit_kind kind;
    char *key;
    char *name;      /* SET, UNSET */
    uint32_t type;   /* SET */
    uint8_t *data;   /* SET */
    uint32_t size;   /* SET, bytes */
    cpuu_mark mark;
    char *title;     /* what a person calls it: "OST file of the account"; may be NULL */
} cpuu_edit;

/* An ordered list; later edits see the effect of earlier ones. */
typedef struct cpuu_edits {
    cpuu_edit *items;
    size_t count;
    size_t cap;
} cpuu_edits;

void cpuu_edits_init(cpuu_edits *e);
void cpuu_edits_free(cpuu_edits *e);
/* Everything passed in is copied. CPUU_OK or CPUU_E_NOMEM, and then the list is unchanged. */
cpuu_rc cpuu_edits_create_key(cpuu_edits *e, const char *key, cpuu_mark mark, const char *title);
cpuu_rc cpuu_edits_delete_key(cpuu_edits *e, const char *key, cpuu_mark mark, const char *title);
cpuu_rc cpuu_edits_set(cpuu_edits *e, const char *key, const char *name, uint32_t type,
                       const void *data, uint32_t size, cpuu_mark mark, const char *title);
cpuu_rc cpuu_edits_set_sz(cpuu_edits *e, const char *key, const char *name, const char *utf8,
                          cpuu_mark mark, const char *title);
cpuu_rc cpuu_edits_unset(cpuu_edits *e, const char *key, const char *name, cpuu_mark mark,
                         const char *title);
/* Savepoint = e->count; rollback to it. */
void cpuu_edits_truncate(cpuu_edits *e, size_t count);

/* ---- a registry ------------------------------------------------------------------------------ */

/* An empty registry in memory. apply() changes it at once and all or nothing. */
cpuu_rc cpuu_reg_open_memory(cpuu_reg **out, cpuu_error *err);

/*
 * An offline hive, read once into memory and locked until it is closed: a second open of the same
 * file fails with CPUU_E_BUSY, in this process, too. Refuses, without changing a byte:
 *   CPUU_E_DIRTY        sequence numbers differ, and there are no log files beside it that go on
 *                       exactly where it ends; else hive and log files are read as one
 *   CPUU_E_FORMAT       wrong magic, checksum, length or structure
 *   CPUU_E_UNSUPPORTED  unknown version, symbolic link, several hard links, not a regular file
 */
cpuu_rc cpuu_reg_open_hive(const char *path, cpuu_log *log, cpuu_reg **out, cpuu_error *err);

/* A view of `base` with `edits` applied, as they are at the time of each call; apply() is refused.
 * Borrows both. This is "the profile as staged so far". */
cpuu_rc cpuu_reg_open_overlay(cpuu_reg *base, const cpuu_edits *edits, cpuu_reg **out,
                              cpuu_error *err);

/* Reads .reg text (UTF-16LE with BOM, UTF-8 or ASCII; "Windows Registry Editor Version 5.00" or
 * REGEDIT4; "-" deletions) as edits, relative to HKEY_CURRENT_USER or to the first two components
 * of HKEY_USERS\<sid>. Errors name the line. */
cpuu_rc cpuu_reg_parse_text(const void *text, size_t size, cpuu_edits *out, cpuu_error *err);
/* Writes a key with everything below it as .reg text (UTF-8; "hex(n):" for all but plain strings
 * and DWORDs), for support and tests. */
cpuu_rc cpuu_reg_export_text(cpuu_reg *reg, const char *key, cpuu_buf *out, cpuu_error *err);

void cpuu_reg_close(cpuu_reg *reg);
/* What the registry is called in messages: the path of the hive, "memory", ... */
const char *cpuu_reg_location(const cpuu_reg *reg);
/* True for a hive file that users of the machine log on with; paths of files depend on it. */
const char *cpuu_reg_hive_path(const cpuu_reg *reg); /* NULL when not a hive */

/* CPUU_E_NOTFOUND when the key (or value) is not there; out is then empty. */
cpuu_rc cpuu_reg_keys(cpuu_reg *reg, const char *key, cpuu_reg_names *out, cpuu_error *err);
cpuu_rc cpuu_reg_values_of(cpuu_reg *reg, const char *key, cpuu_reg_values *out, cpuu_error *err);
/* One value into *out (a list of one). */
cpuu_rc cpuu_reg_get(cpuu_reg *reg, const char *key, const char *name, cpuu_reg_values *out,
                     cpuu_error *err);
/* A REG_SZ or REG_EXPAND_SZ as UTF-8, owned by the caller; CPUU_E_FORMAT for other types. */
cpuu_rc cpuu_reg_get_text(cpuu_reg *reg, const char *key, const char *name, char **out,
                          cpuu_error *err);
bool cpuu_reg_has_key(cpuu_reg *reg, const char *key);
void cpuu_reg_values_free(cpuu_reg_values *v);
void cpuu_reg_names_free(cpuu_reg_names *n);
/* The value of that name in a list, NULL when there is none. */
const cpuu_reg_value *cpuu_reg_find(const cpuu_reg_values *v, const char *name);

/*
 * Applies the whole list or nothing. For a hive: written to a temporary file in the same folder,
 * read again, every byte that no edit concerns compared and every edited key checked, the original
 * checked to be unchanged since it was opened (else CPUU_E_BUSY), flushed, looked at once more,
 * then renamed over it. That takes memory for the hive once, a tenth of it more, and a few times what
 * edits concern. Killing the process at any moment leaves the old or the new hive, complete. Edits
 * that change nothing write nothing. When only the last step, the flush of the folder, fails, an error is returned although
 * the new hive is in place: after an error look at the hive again. After a failure the registry
 * object can only be closed.
 */
cpuu_rc cpuu_reg_apply(cpuu_reg *reg, const cpuu_edits *edits, cpuu_error *err);

/* Whether apply() could take these edits, asked before anything else is changed. CPUU_E_NOTFOUND: a
 * value for a missing key. CPUU_E_UNSUPPORTED, for a hive: a key with a name outside ASCII would be
 * created, deleted or renamed; a changed key has a value of more than 16,344 bytes (regf 1.4 and
 * later) or 999,996 bytes (regf 1.3). CPUU_E_TOOBIG, for a hive: more than about 11,500 keys would
 * be created below one key. That the new hive has more than 512 MiB only apply() can find out. */
cpuu_rc cpuu_reg_check(cpuu_reg *reg, const cpuu_edits *edits, cpuu_error *err);

/* Gives the memory of a large hive back until it is needed, which the next call of any other kind
 * finds out: that reads the hive again. When it is not the same by then (CPUU_E_BUSY), or cannot be
 * read, the registry object can only be closed. */
void cpuu_reg_rest(cpuu_reg *reg);

/* "a\b": owned by the caller; NULL when out of memory. "" joins to the other part. */
char *cpuu_reg_join(const char *key, const char *name);

#endif
