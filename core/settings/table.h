/*
 * The one table of everything that can be set. Parsing, --help, the manual pages, --show-config and
 * the template of CPUU.ini are all made from it; a setting exists exactly when it has a row.
 */
#ifndef CPUU_SETTINGS_TABLE_H
#define CPUU_SETTINGS_TABLE_H

#include "settings/settings.h"

typedef enum cpuu_type {
    CPUU_T_FLAG = 1,  /* bool; no value on the command line */
    CPUU_T_BOOL,      /* bool; 1/0, on/off, yes/no, true/false */
    CPUU_T_NUMBER,    /* uint32_t within min..max */
    CPUU_T_TEXT,      /* char * */
    CPUU_T_URL,       /* char *; http or https */
    CPUU_T_CHOICE,    /* char *; one of `choices` */
    CPUU_T_SWITCH,    /* bool; the second of two `choices` means true */
    CPUU_T_ITEM,      /* cpuu_words; each use on the command line adds one */
    CPUU_T_WORDS,     /* cpuu_words; blanks separate, quotes hold together */
    CPUU_T_FEATURES,  /* cpuu_words; "All" or "<All>" stands alone */
    CPUU_T_SERVICES,  /* cpuu_words; known names of two words need no quotes */
    CPUU_T_DOMAINS,   /* cpuu_words; DNS names, blanks are the only separator */
    CPUU_T_ADDRESSES, /* cpuu_words; SMTP addresses */
    CPUU_T_CONNECT,   /* cpuu_words; HOST:PORT:HOST:PORT, as curl takes it */
    CPUU_T_REMOVE,    /* cpuu_words; "Nicks" */
    CPUU_T_SECRET,    /* bool: it was given. The value is not kept */
    CPUU_T_MODE       /* no value; sets the mode */
} cpuu_type;

/* Where it may be written. */
#define CPUU_IN_PARAMETERS   1u  /* [Parameters] of CPUU.ini */
#define CPUU_IN_NOTIFICATION 2u  /* [Admin notification] of CPUU.ini */
#define CPUU_ON_LINE         4u  /* -Name, a switch of the guide */
#define CPUU_LONG            8u  /* --name, an addition */
#define CPUU_ADDED           16u /* a key that the guide does not have */

typedef enum cpuu_effect {
    CPUU_NOW = 0,
    CPUU_LATER, /* accepted; "no effect yet" */
    CPUU_NEVER  /* accepted for the sake of old files; has no meaning here */
} cpuu_effect;

typedef struct cpuu_setting {
    const char *name;      /* as an INI key or behind "-" */
    const char *long_name; /* behind "--"; NULL when it is `name` or there is none */
    const char *aliases;   /* separated by blanks; NULL */
    unsigned where;
    cpuu_type type;
    cpuu_effect effect;
    size_t offset;        /* of the value in cpuu_settings */
    const char *fallback; /* default, as it would be written; NULL = none */
    const char *arg;      /* how the value is shown in help; NULL = none */
    const char *choices;  /* separated by blanks */
    uint32_t min, max;    /* CPUU_T_NUMBER */
    cpuu_mode mode;       /* selects this mode; 0 = none */
    cpuu_mode needs;      /* makes sense in this mode only; 0 = any */
    const char *help;     /* plain sentences */
} cpuu_setting;

extern const cpuu_setting cpuu_settings_table[];
extern const size_t cpuu_settings_count;

#define CPUU_SECTION_PARAMETERS   "Parameters"
#define CPUU_SECTION_NOTIFICATION "Admin notification"
#define CPUU_SECTION_FEATURE      "Feature." /* prefix */

typedef enum cpuu_origin_kind {
    CPUU_FROM_DEFAULT = 0,
    CPUU_FROM_INI,
    CPUU_FROM_LINE
} cpuu_origin_kind;

typedef struct cpuu_origin { /* one per row of the table */
    cpuu_origin_kind kind;
    unsigned line; /* CPUU_FROM_INI */
    unsigned seen; /* first line of CPUU.ini that sets it, whether it counts or not; 0 = none */
    bool all;      /* the value was "All" */
} cpuu_origin;

/* More remarks than these are not kept; a hostile file could make any number. */
#define CPUU_MAX_NOTES   200
#define CPUU_MAX_OPTIONS 1000

struct cpuu_feature_option {
    char *feature, *key, *value;
    unsigned line;
};

/* Row of an INI key or alias (where: CPUU_IN_*), or of a switch (CPUU_ON_LINE); NULL when unknown.
 */
const cpuu_setting *cpuu_settings_find(const char *name, unsigned where);
/* The name that is nearest to a misspelt one, or NULL when none is near. */
const char *cpuu_settings_nearest(const char *name, unsigned where);
static inline size_t cpuu_settings_index(const cpuu_setting *row)
{
    return (size_t)(row - cpuu_settings_table);
}
/* The row whose value lives at an offset of cpuu_settings. */
const cpuu_setting *cpuu_settings_row(size_t offset);
#define CPUU_ROW(member) cpuu_settings_row(offsetof(cpuu_settings, member))

/* Features of the guide, in its order: what Features, Skip and Critical may name. NULL-terminated.
 */
extern const char *const cpuu_guide_features[];

/* ---- values.c -------------------------------------------------------------------------------- */

/* "CPUU.ini:12: Features", "-Critical": where a value was written, for messages. */
typedef struct cpuu_place {
    const char *file; /* NULL = command line */
    unsigned line;
    const char *name;
} cpuu_place;
void cpuu_place_text(const cpuu_place *place, char *out, size_t size);

/* Parses a value into its member; a list replaces what was there unless `add`. */
cpuu_rc cpuu_settings_set(cpuu_settings *s, const cpuu_setting *row, const char *value,
                          const cpuu_place *place, bool add, cpuu_error *err);
/* Appends one word; spelling and order are kept. */
cpuu_rc cpuu_words_add(cpuu_settings *s, cpuu_words *words, const char *word, size_t size,
                       cpuu_error *err);
/* "CPUU.ini:12", "command line" or "default" of a row. */
void cpuu_origin_text(const cpuu_settings *s, const cpuu_setting *row, char *out, size_t size);

/* ---- defaults.c ------------------------------------------------------------------------------ */

/* Folder of the running program; NULL when it cannot be known. Owned by the caller. */
char *cpuu_program_folder(void);
/* What depends on the machine: state folder and plugin folder. */
cpuu_rc cpuu_settings_machine_defaults(cpuu_settings *s, cpuu_error *err);

#endif
