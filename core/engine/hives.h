/* Which hives a run is about. Private to engine/. */
#ifndef CPUU_ENGINE_HIVES_H
#define CPUU_ENGINE_HIVES_H

#include "settings/settings.h"

typedef struct cpuu_hives {
    char **paths; /* sorted, each once; in arena */
    size_t count, cap;
    unsigned unreadable; /* --hives folders that cannot be read */
    cpuu_arena arena;
} cpuu_hives;

/* --hive files as given, then every NTUSER.DAT (any case) below each --hives folder. Symbolic links
 * are not followed. A folder that cannot be read is logged and left out. */
cpuu_rc cpuu_hives_find(const cpuu_settings *s, cpuu_log *log, cpuu_hives *out, cpuu_error *err);
void cpuu_hives_free(cpuu_hives *h);

#endif
