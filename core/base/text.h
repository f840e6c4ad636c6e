/* Text helpers: hex, case-insensitive comparison, GUIDs, lists of names. UTF-8 throughout. */
#ifndef CPUU_BASE_TEXT_H
#define CPUU_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ASCII letters compare equal in both cases, other bytes as they are. */
int cpuu_casecmp(const char *a, const char *b);
int cpuu_ncasecmp(const char *a, const char *b, size_t n);
bool cpuu_caseeq(const char *a, const char *b); /* NULL equals only NULL */
bool cpuu_ends_with_nocase(const char *s, const char *suffix);
/* Unicode simple case folding for Latin, Greek and Cyrillic, as the registry and Exchange compare
 * names: equal when the folded code points are. */
bool cpuu_name_eq(const char *a, const char *b);
/* An order in which those are equal: for sorting. */
int cpuu_name_cmp(const char *a, const char *b);
/* The same for parts of strings: n and m are bytes. */
bool cpuu_name_neq(const char *a, size_t n, const char *b, size_t m);

/* Writes 2n lower-case hex digits and a NUL. */
void cpuu_hex(char *out, const uint8_t *data, size_t n);
/* Reads exactly 2n hex digits; false on any other character. */
bool cpuu_unhex(uint8_t *out, const char *hex, size_t n);

/* 16 bytes in storage order <-> "{xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx}" (first three groups are
 * little-endian integers). out has room for 39 bytes. Parsing takes it with or without braces. */
void cpuu_guid_text(char out[39], const uint8_t guid[16]);
bool cpuu_guid_parse(uint8_t guid[16], const char *text);
/* A random version-4 GUID; false when the system has no randomness to give. */
bool cpuu_guid_random(uint8_t guid[16]);

/* Levenshtein distance, for "did you mean"; ignores ASCII case. */
unsigned cpuu_edit_distance(const char *a, const char *b);

/* The domain of an SMTP address, or NULL. Points into the address. */
const char *cpuu_smtp_domain(const char *smtp);
/* Identities that come from outside and go into a profile: no control character in them ... */
bool cpuu_is_plain(const char *s);
/* ... the form x@y, without blanks, quotes and angle brackets ... */
bool cpuu_is_smtp(const char *s);
/* ... "/o=...". */
bool cpuu_is_legacy_dn(const char *s);

#endif
