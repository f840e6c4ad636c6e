/* A temporary folder, a CPUU.ini in it, and allocations that can be told to fail. */
#ifndef CPUU_TESTS_SETTINGS_FIXTURE_H
#define CPUU_TESTS_SETTINGS_FIXTURE_H

#include "settings/settings.h"

/* The n-th allocation fails (1 = the first); 0 = none. */
extern unsigned long fail_at;
extern unsigned long allocations;

/* "<folder>/<name>" in a static buffer that the next call overwrites. */
const char *in_folder(const char *name);
void folder_make(void);
void folder_remove(void);
void write_file(const char *name, const void *data, size_t size, unsigned mode);

/* Loads CPUU.ini with this text and these further arguments (blank-separated words, NULL = none).
 */
cpuu_rc load_text(const char *text, const char *arguments, cpuu_settings *s, cpuu_error *err);
/* The same without any file: current folder and -INI are left alone. */
cpuu_rc load_arguments(const char *arguments, cpuu_settings *s, cpuu_error *err);
/* True when a note of that level contains the text. */
bool has_note(const cpuu_settings *s, cpuu_level level, const char *text);

#endif
