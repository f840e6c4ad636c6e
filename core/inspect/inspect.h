/* The commands of cpuu-inspect. */
#ifndef CPUU_INSPECT_INSPECT_H
#define CPUU_INSPECT_INSPECT_H

#include "base/error.h"

#include <cpuu/formats/bytes.h>

#include <stdbool.h>
#include <stdio.h>

#define INSPECT_FINE     0
#define INSPECT_FINDINGS 1
#define INSPECT_UNUSABLE 2

#define INSPECT_LIMIT (64u << 20) /* bytes of input */

typedef struct inspect_options {
    bool json, links, verify, graph, check;
    const char *type; /* NULL = guess */
    const char *hive;
    const char *reg;
    const char *profile; /* NULL = the default one */
    const char *diff[2];
    const char *file; /* blob */
} inspect_options;

int inspect_blob(const inspect_options *o, FILE *out);
int inspect_profile(const inspect_options *o, FILE *out);

/* A file, or standard input for "-", into an initialised buffer. */
cpuu_rc inspect_read(const char *path, cpuu_buf *out, cpuu_error *err);
/* Replaces hexadecimal or base64 text by its bytes; other input stays. A text that is both is taken
 * as hexadecimal. */
void inspect_decode_text(cpuu_buf *b);

#endif
