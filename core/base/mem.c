#include "base/mem.h"

#include "base/fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

void *cpuu_calloc(size_t n, size_t size)
{
    if (cpuu_fault_fail("alloc"))
        return NULL;
    return calloc(n ? n : 1, size ? size : 1);
}

void *cpuu_realloc(void *p, size_t n)
{
    if (cpuu_fault_fail("alloc"))
        return NULL;
    return realloc(p, n ? n : 1);
}

void cpuu_free(void *p)
{
    free(p);
}

void cpuu_mem_trim(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

void *cpuu_memdup(const void *p, size_t n)
{
    void *q = cpuu_realloc(NULL, n);
    if (q && n)
        memcpy(q, p, n);
    return q;
}

char *cpuu_strndup(const char *s, size_t n)
{
    size_t len = strnlen(s, n);
    char *q = cpuu_realloc(NULL, len + 1);
    if (q) {
        memcpy(q, s, len);
        q[len] = 0;
    }
    return q;
}

char *cpuu_strdup(const char *s)
{
    return s ? cpuu_strndup(s, strlen(s)) : NULL;
}

char *cpuu_vasprintf(const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (n < 0)
        return NULL;
    char *s = cpuu_realloc(NULL, (size_t)n + 1);
    if (s)
        vsnprintf(s, (size_t)n + 1, fmt, ap);
    return s;
}

char *cpuu_asprintf(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *s = cpuu_vasprintf(fmt, ap);
    va_end(ap);
    return s;
}

bool cpuu_grow(void *array, size_t *cap, size_t count, size_t elem_size)
{
    void **slot = array;
    if (count < *cap)
        return true;
    size_t want = *cap ? *cap * 2 : 8;
    if (want <= *cap || want > SIZE_MAX / elem_size)
        return false;
    void *p = cpuu_realloc(*slot, want * elem_size);
    if (!p)
        return false;
    *slot = p;
    *cap = want;
    return true;
}

void cpuu_free_secret(char *s)
{
    if (!s)
        return;
    explicit_bzero(s, strlen(s));
    free(s);
}

struct cpuu_arena_chunk {
    struct cpuu_arena_chunk *next;
    size_t size;
    size_t used;
    max_align_t data[];
};

void *cpuu_arena_alloc(cpuu_arena *a, size_t n)
{
    const size_t align = sizeof(max_align_t);
    if (n > SIZE_MAX / 2)
        return NULL;
    size_t need = (n + align - 1) / align * align;
    struct cpuu_arena_chunk *c = a->head;
    if (!c || need > c->size - c->used) {
        /* Small at first: there is one arena for each of many thousand rows. */
        size_t size = !c ? 512 : c->size < 8192 ? 2 * c->size : 16384;
        if (size < need)
            size = need;
        c = cpuu_calloc(1, sizeof(*c) + size);
        if (!c)
            return NULL;
        c->size = size;
        c->next = a->head;
        a->head = c;
    }
    void *p = (char *)c->data + c->used;
    c->used += need;
    a->used += need;
    return p;
}

void *cpuu_arena_dup(cpuu_arena *a, const void *p, size_t n)
{
    void *q = cpuu_arena_alloc(a, n ? n : 1);
    if (q && n)
        memcpy(q, p, n);
    return q;
}

char *cpuu_arena_strdup(cpuu_arena *a, const char *s)
{
    return cpuu_arena_dup(a, s, strlen(s) + 1);
}

void cpuu_arena_free(cpuu_arena *a)
{
    while (a->head) {
        struct cpuu_arena_chunk *next = a->head->next;
        free(a->head);
        a->head = next;
    }
    a->used = 0;
}
