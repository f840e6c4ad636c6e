/*
 * Memory. All host code allocates through these, so that tests can make the n-th allocation fail.
 * NULL means out of memory; the caller returns cpuu_nomem(err).
 */
#ifndef CPUU_BASE_MEM_H
#define CPUU_BASE_MEM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *cpuu_calloc(size_t n, size_t size); /* zeroed; n * size is checked; n = 0 is allowed */
void *cpuu_realloc(void *p, size_t n);
void cpuu_free(void *p);
char *cpuu_strdup(const char *s); /* NULL stays NULL */
char *cpuu_strndup(const char *s, size_t n);
void *cpuu_memdup(const void *p, size_t n); /* n = 0 gives a valid pointer */
/* Formatted text, owned by the caller. */
char *cpuu_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *cpuu_vasprintf(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));
/* Grows an array geometrically so that it has room for one more element: on success *array has
 * space for *count + 1 elements. *cap counts elements. The array stays valid on failure. */
bool cpuu_grow(void *array, size_t *cap, size_t count, size_t elem_size);
/* Gives what was freed back to the system, where the C library keeps it: before much is needed. */
void cpuu_mem_trim(void);
/* Overwrites and frees a secret. */
void cpuu_free_secret(char *s);

/* An arena: many small allocations freed together. Ownership is the arena's. */
typedef struct cpuu_arena {
    struct cpuu_arena_chunk *head;
    size_t used; /* bytes handed out, for limits */
} cpuu_arena;
void *cpuu_arena_alloc(cpuu_arena *a, size_t n); /* zeroed, aligned for any type */
void *cpuu_arena_dup(cpuu_arena *a, const void *p, size_t n);
char *cpuu_arena_strdup(cpuu_arena *a, const char *s);
void cpuu_arena_free(cpuu_arena *a);

#endif
