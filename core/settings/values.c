/* From text to a member of cpuu_settings; see table.h. Nothing is stored when a value is refused.
 */
#include "settings/table.h"

#include "base/text.h"

#include <stdarg.h>
#include <string.h>

void cpuu_place_text(const cpuu_place *place, char *out, size_t size)
{
    if (place->file)
        snprintf(out, size, "%s:%u: %s", place->file, place->line, place->name);
    else
        snprintf(out, size, "%s", place->name);
}

void cpuu_origin_text(const cpuu_settings *s, const cpuu_setting *row, char *out, size_t size)
{
    const cpuu_origin *o = &s->origins[cpuu_settings_index(row)];
    if (o->kind == CPUU_FROM_INI)
        snprintf(out, size, "%s:%u", s->ini_file, o->line);
    else
        snprintf(out, size, "%s", o->kind == CPUU_FROM_LINE ? "command line" : "default");
}

/* Refuses a value: "CPUU.ini:12: Attempt: 'x' is not ...". The value is shown shortened. */
static cpuu_rc refuse(const cpuu_place *place, const char *value, const char *what, cpuu_error *err)
{
    char where[300];
    cpuu_place_text(place, where, sizeof(where));
    return cpuu_fail(err, CPUU_E_USAGE, "%s: '%.80s' %s", where, value, what);
}

/* ---- words ----------------------------------------------------------------------------------- */

cpuu_rc cpuu_words_add(cpuu_settings *s, cpuu_words *words, const char *word, size_t size,
                       cpuu_error *err)
{
    if (words->count + 1 >= words->cap) { /* one more for the NULL at the end */
        size_t cap = words->cap ? words->cap * 2 : 8;
        char **items = cpuu_arena_alloc(&s->arena, cap * sizeof(*items));
        if (!items)
            return cpuu_nomem(err);
        if (words->count)
            memcpy(items, words->items, words->count * sizeof(*items));
        words->items = items;
        words->cap = cap;
    }
    char *copy = cpuu_arena_alloc(&s->arena, size + 1);
    if (!copy)
        return cpuu_nomem(err);
    memcpy(copy, word, size);
    words->items[words->count++] = copy;
    words->items[words->count] = NULL;
    return CPUU_OK;
}

/* Length of a word; a service name that is known to have a blank in it counts as one word, so that
 * it needs no quotes (ruling A15). */
static size_t word_size(const char *word, bool services)
{
    static const char *const pairs[] = {"MSPST AB", "MSPST MS", "MSUPST MS"};
    for (size_t i = 0; services && i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        size_t n = strlen(pairs[i]);
        if (cpuu_ncasecmp(word, pairs[i], n) == 0 && (word[n] == 0 || strchr(" \t", word[n])))
            return n;
    }
    return strcspn(word, " \t");
}

/* Finds the next word of *text; what is in double quotes is one. False at the end, and then
 * *unclosed says whether a quote is missing. */
static bool next_word(const char **text, bool services, const char **word, size_t *size,
                      bool *unclosed)
{
    const char *p = *text + strspn(*text, " \t");
    *unclosed = false;
    if (!*p)
        return false;
    *word = p;
    if (*p != '"') {
        *size = word_size(p, services);
        *text = p + *size;
        return true;
    }
    *word = p + 1;
    *size = strcspn(p + 1, "\"");
    *unclosed = p[1 + *size] == 0;
    *text = p + 1 + *size + !*unclosed;
    return !*unclosed;
}

static bool word_is(const char *word, size_t size, const char *name)
{
    return strlen(name) == size && cpuu_ncasecmp(word, name, size) == 0;
}

static bool is_all(const char *word, size_t size)
{
    return word_is(word, size, "All") || word_is(word, size, "<All>");
}

static const char *check_domain(const char *word, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)word[i];
        if (c == ';' || c == ',')
            return "has a separator in it; only blanks separate domains";
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '-' || c == '_' || c >= 0x80))
            return "is not a domain name";
    }
    return *word == '.' || *word == '-' ? "is not a domain name" : NULL;
}

static const char *check_address(const char *word, size_t size)
{
    const char *at = memchr(word, '@', size);
    if (memchr(word, ';', size) || memchr(word, ',', size))
        return "has a separator in it; only blanks separate addresses";
    return !at || at == word || at == word + size - 1 ? "is not an SMTP address" : NULL;
}

/* Four fields, each of which may be empty; an IPv6 address stands in brackets (curl, --connect-to). */
static const char *check_connect(const char *word, size_t size)
{
    size_t colons = 0, i = 0;
    for (bool address = false; i < size; i++) {
        address = word[i] == '[' || (address && word[i] != ']');
        colons += word[i] == ':' && !address;
    }
    return colons == 3 ? NULL : "is not HOST:PORT:HOST:PORT";
}

/* Why a word of this type is refused, or NULL. */
static const char *check_word(cpuu_type type, const char *word, size_t size)
{
    if (size == 0)
        return "is an empty word";
    if (type == CPUU_T_DOMAINS)
        return check_domain(word, size);
    if (type == CPUU_T_ADDRESSES)
        return check_address(word, size);
    if (type == CPUU_T_CONNECT)
        return check_connect(word, size);
    if (type == CPUU_T_REMOVE && !word_is(word, size, "Nicks"))
        return "cannot be removed; only Nicks can";
    if (type == CPUU_T_FEATURES && is_all(word, size))
        return "cannot stand here, or together with other names";
    return NULL;
}

static cpuu_rc set_words(cpuu_settings *s, const cpuu_setting *row, const char *value,
                         const cpuu_place *place, bool add, cpuu_error *err)
{
    cpuu_words *member = (cpuu_words *)((char *)s + row->offset);
    cpuu_words words = add ? *member : (cpuu_words){NULL, 0, 0};
    const char *word;
    size_t size;
    bool unclosed;
    while (next_word(&value, row->type == CPUU_T_SERVICES, &word, &size, &unclosed)) {
        const char *why = check_word(row->type, word, size);
        if (why) {
            char shown[81];
            snprintf(shown, sizeof(shown), "%.*s", (int)(size > 80 ? 80 : size), word);
            return refuse(place, shown, why, err);
        }
        cpuu_rc rc = cpuu_words_add(s, &words, word, size, err);
        if (rc != CPUU_OK)
            return rc;
    }
    if (unclosed)
        return refuse(place, word, "begins with a quote that does not end", err);
    *member = words;
    return CPUU_OK;
}

/* Features, Skip and AllowAdditionalServices know the word All (ruling A14). */
static cpuu_rc set_names(cpuu_settings *s, const cpuu_setting *row, const char *value,
                         const cpuu_place *place, cpuu_error *err)
{
    bool all = is_all(value, strlen(value));
    bool *flag = row == CPUU_ROW(skip)             ? &s->skip_all
                 : row == CPUU_ROW(allow_services) ? &s->allow_all_services
                                                   : NULL;
    bool understood = flag || row == CPUU_ROW(features);
    cpuu_rc rc = CPUU_OK;
    if (!all || !understood)
        rc = set_words(s, row, value, place, false, err);
    if (rc == CPUU_OK && understood)
        s->origins[cpuu_settings_index(row)].all = all;
    if (rc == CPUU_OK && flag)
        *flag = all;
    return rc;
}

/* StopProcesses: the value replaces the default; "+name" adds to it (ruling A51). */
static cpuu_rc set_plain_words(cpuu_settings *s, const cpuu_setting *row, const char *value,
                               const cpuu_place *place, cpuu_error *err)
{
    bool extend = row == CPUU_ROW(stop_processes) && *value == '+';
    cpuu_rc rc = set_words(s, row, value, place, extend, err);
    cpuu_words *words = (cpuu_words *)((char *)s + row->offset);
    for (size_t i = 0; rc == CPUU_OK && extend && i < words->count; i++)
        words->items[i] += words->items[i][0] == '+';
    return rc;
}

/* ---- single values --------------------------------------------------------------------------- */

static cpuu_rc set_bool(bool *out, const char *value, const cpuu_place *place, cpuu_error *err)
{
    static const char *const words[] = {"0", "1", "off", "on", "no", "yes", "false", "true"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (cpuu_caseeq(value, words[i])) {
            *out = i & 1;
            return CPUU_OK;
        }
    }
    return refuse(place, value, "is neither 0 nor 1 (or off, on, no, yes, false, true)", err);
}

static cpuu_rc set_number(uint32_t *out, const cpuu_setting *row, const char *value,
                          const cpuu_place *place, cpuu_error *err)
{
    uint64_t n = 0;
    const char *p = value;
    for (; *p >= '0' && *p <= '9' && n <= row->max; p++)
        n = n * 10 + (uint64_t)(*p - '0');
    if (p == value || *p || n < row->min || n > row->max) {
        char what[80];
        snprintf(what, sizeof(what), "is not a number from %u to %u", row->min, row->max);
        return refuse(place, value, what, err);
    }
    *out = (uint32_t)n;
    return CPUU_OK;
}

static cpuu_rc set_text(cpuu_settings *s, char **out, const char *value, cpuu_error *err)
{
    char *copy = cpuu_arena_strdup(&s->arena, value);
    if (!copy)
        return cpuu_nomem(err);
    *out = copy;
    return CPUU_OK;
}

static cpuu_rc set_url(cpuu_settings *s, char **out, const char *value, const cpuu_place *place,
                       cpuu_error *err)
{
    size_t scheme = cpuu_ncasecmp(value, "https://", 8) == 0  ? 8
                    : cpuu_ncasecmp(value, "http://", 7) == 0 ? 7
                                                              : 0;
    if (!scheme)
        return refuse(place, value, "does not begin with https://", err);
    size_t host = strcspn(value + scheme, "/?#");
    if (host == 0 || strpbrk(value, " \t\"<>\\"))
        return refuse(place, value, "is not a URL", err);
    if (memchr(value + scheme, '@', host)) { /* not shown: it may hold a password */
        char where[300];
        cpuu_place_text(place, where, sizeof(where));
        return cpuu_fail(err, CPUU_E_USAGE,
                         "%s: a URL may not hold a user name or password; use CredentialsFile",
                         where);
    }
    return set_text(s, out, value, err);
}

/* Index of a choice; the canonical spelling goes to out. */
static int find_choice(const cpuu_setting *row, const char *value, char *out, size_t size)
{
    int index = 0;
    for (const char *p = row->choices; *p; index++) {
        size_t n = strcspn(p, " ");
        if (word_is(p, n, value)) {
            snprintf(out, size, "%.*s", (int)n, p);
            return index;
        }
        p += n + strspn(p + n, " ");
    }
    return -1;
}

static cpuu_rc set_choice(cpuu_settings *s, const cpuu_setting *row, const char *value,
                          const cpuu_place *place, cpuu_error *err)
{
    void *member = (char *)s + row->offset;
    char word[32] = "";
    int index = find_choice(row, value, word, sizeof(word));
    if (index < 0) {
        char what[120];
        snprintf(what, sizeof(what), "is not one of: %s", row->choices);
        return refuse(place, value, what, err);
    }
    if (row->type == CPUU_T_SWITCH) {
        *(bool *)member = index == 1;
        return CPUU_OK;
    }
    /* The wizard says "summary" where the file says "statistics" (ruling A21). */
    return set_text(s, member, strcmp(word, "summary") == 0 ? "statistics" : word, err);
}

cpuu_rc cpuu_settings_set(cpuu_settings *s, const cpuu_setting *row, const char *value,
                          const cpuu_place *place, bool add, cpuu_error *err)
{
    void *member = (char *)s + row->offset;
    switch (row->type) {
    case CPUU_T_FLAG:
    case CPUU_T_BOOL:
        return set_bool(member, value, place, err);
    case CPUU_T_NUMBER:
        return set_number(member, row, value, place, err);
    case CPUU_T_TEXT:
        return set_text(s, member, value, err);
    case CPUU_T_URL:
        return set_url(s, member, value, place, err);
    case CPUU_T_CHOICE:
    case CPUU_T_SWITCH:
        return set_choice(s, row, value, place, err);
    case CPUU_T_ITEM:
        return cpuu_words_add(s, member, value, strlen(value), err);
    case CPUU_T_FEATURES:
    case CPUU_T_SERVICES:
        if (!add)
            return set_names(s, row, value, place, err);
        return set_words(s, row, value, place, true, err);
    case CPUU_T_WORDS:
    case CPUU_T_DOMAINS:
    case CPUU_T_ADDRESSES:
    case CPUU_T_CONNECT:
    case CPUU_T_REMOVE:
        return set_plain_words(s, row, value, place, err);
    case CPUU_T_SECRET:
        *(bool *)member = true;
        return CPUU_OK;
    case CPUU_T_MODE:
        s->mode = row->mode;
        return CPUU_OK;
    }
    return CPUU_OK;
}
