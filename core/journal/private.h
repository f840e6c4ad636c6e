/* Private to journal/: what journal.c and records.c share. */
#ifndef CPUU_JOURNAL_PRIVATE_H
#define CPUU_JOURNAL_PRIVATE_H

#include "journal/store.h"

struct cpuu_journal {
    cpuu_store store;
    cpuu_log *log;
    char id[39];
    cpuu_journal_state state;
    int64_t first_span; /* spans from here on were begun by this owner */
};

/* Sets first_span; part of opening. */
cpuu_rc cpuu_journal_load_spans(cpuu_journal *j, cpuu_error *err);

/* Whether any span was begun and never ended. */
cpuu_rc cpuu_journal_has_deaths(cpuu_journal *j, bool *out, cpuu_error *err);

#endif
