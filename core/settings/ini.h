/*
 * Reads the dialect of INI files that administrators of Windows networks write (ruling A18): UTF-8,
 * UTF-16LE or windows-1252, values that span lines, sections that are plain lists. The lines are
 * prepared here and taken apart by inih; nobody else includes ini.h of inih.
 *
 *   - Section headers and keys are compared without regard to case; "=" separates key and value,
 * ":" does not. A line that starts with ";" is a comment; a ";" further on is part of the value.
 *   - Blanks around keys and values do not count. One pair of quotes around a value is taken off,
 *     unless the same quote occurs between them.
 *   - In a section called [Mailboxes...] or [TargetMailboxes...] every line is one value.
 *   - Lines that follow a key which the caller calls a paragraph belong to its value, joined by one
 *     blank, up to an empty line, a comment, a section header or a line that starts with a known
 * key.
 *   - A NUL, a line over 64 KiB, a section header without "]" and an unknown encoding are errors
 * with the number of the line.
 */
#ifndef CPUU_SETTINGS_INI_H
#define CPUU_SETTINGS_INI_H

#include "base/error.h"
#include "base/mem.h"

#define CPUU_INI_MAX_FILE (4u << 20) /* bytes */
#define CPUU_INI_MAX_LINE 65536u     /* bytes of UTF-8, without the line end */

typedef struct cpuu_ini_entry {
    const char *section; /* "" before the first header */
    const char *key;     /* NULL: a section header; "": a line of a list section */
    const char *value;   /* without quotes; NULL: the key stood alone on its line */
    const char *raw;     /* as written, blanks trimmed; NULL like value */
    unsigned line;       /* where it starts, from 1 */
} cpuu_ini_entry;

typedef struct cpuu_ini {
    cpuu_ini_entry *items; /* in the order of the file; repeated keys are all there */
    size_t count;
    size_t cap;
    char *text; /* what the entries point into; wiped when freed: it may hold passwords */
    size_t text_size;
    cpuu_arena names; /* section names */
} cpuu_ini;

typedef enum cpuu_ini_key {
    CPUU_INI_UNKNOWN = 0, /* also a misspelt one is CPUU_INI_KNOWN if it can hardly be prose */
    CPUU_INI_KNOWN,
    CPUU_INI_PARAGRAPH /* its value may span lines */
} cpuu_ini_key;

/* Says what a key of a section is; NULL for a file without paragraphs. */
typedef cpuu_ini_key (*cpuu_ini_classify)(const char *section, const char *key);

/* Messages begin with "<name>:<line>: ". *out is empty after failure. */
cpuu_rc cpuu_ini_parse(const void *data, size_t size, const char *name,
                       cpuu_ini_classify classifier, cpuu_ini *out, cpuu_error *err);
void cpuu_ini_free(cpuu_ini *ini);

#endif
