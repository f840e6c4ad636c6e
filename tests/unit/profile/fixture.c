#include "fixture.h"

#include "base/fault.h"
#include "base/file.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned long fail_in;

void cpuu_fault_step(const char *what)
{
    (void)what;
}

bool cpuu_fault_fail(const char *what)
{
    return strcmp(what, "alloc") == 0 && fail_in && --fail_in == 0;
}

static void *counted_realloc(void *p, size_t n)
{
    return cpuu_realloc(p, n);
}

void fail_allocation(unsigned long n)
{
    cpuu_fmt_realloc = counted_realloc;
    cpuu_fmt_free = cpuu_free;
    fail_in = n;
}

bool allocation_failed(void)
{
    return fail_in == 0;
}

static void apply_text(cpuu_reg *reg, const void *text, size_t size)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_edits e;
    cpuu_edits_init(&e);
    OK(cpuu_reg_parse_text(text, size, &e, &err));
    OK(cpuu_reg_apply(reg, &e, &err));
    cpuu_edits_free(&e);
}

void reg_add_text(cpuu_reg *reg, const char *text)
{
    apply_text(reg, text, strlen(text));
}

void reg_add_generated(cpuu_reg *reg, const gen_profile *g)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    gen_write(g, f);
    fclose(f);
    apply_text(reg, text, size);
    free(text);
}

void reg_add_file(cpuu_reg *reg, const char *path)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_buf b;
    cpuu_buf_init(&b, 1 << 24);
    OK(cpuu_file_read(path, &b, NULL, &err));
    apply_text(reg, b.data, b.size);
    cpuu_buf_free(&b);
}

cpuu_reg *reg_from_file(const char *path)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_reg *reg = NULL;
    OK(cpuu_reg_open_memory(&reg, &err));
    if (path)
        reg_add_file(reg, path);
    return reg;
}

char *reg_dump(cpuu_reg *reg, const char *key)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_buf b;
    cpuu_buf_init(&b, 1 << 24);
    OK(cpuu_reg_export_text(reg, key, &b, &err));
    char *s = strndup((char *)b.data, b.size);
    cpuu_buf_free(&b);
    return s;
}

cpuu_profile *open_profile(cpuu_reg *reg, const char *name)
{
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_profile_roots roots;
    cpuu_profile *p = NULL;
    OK(cpuu_profile_discover(reg, &roots, &err));
    ck_assert_uint_ge(roots.count, 1);
    OK(cpuu_profile_open(reg, &roots.items[0], name, &p, &err));
    cpuu_profile_roots_free(&roots);
    return p;
}

const char *hex_of(cpuu_reg *reg, const char *key, const char *name)
{
    static char text[8192];
    cpuu_reg_values v;
    text[0] = 0;
    if (cpuu_reg_get(reg, key, name, &v, NULL) < 0)
        return text;
    ck_assert_uint_lt(v.items[0].size, sizeof(text) / 2);
    cpuu_hex(text, v.items[0].data, v.items[0].size);
    cpuu_reg_values_free(&v);
    return text;
}

const char *text_of(cpuu_profile *p, const char *section, uint32_t tag)
{
    static char text[4096];
    cpuu_arena arena = {0};
    cpuu_value v;
    strcpy(text, "(none)");
    if (cpuu_profile_get(p, section, tag, &arena, &v, NULL) >= 0) {
        ck_assert_uint_lt(v.size, sizeof(text));
        memcpy(text, v.data, v.size);
        text[v.size] = 0;
    }
    cpuu_arena_free(&arena);
    return text;
}
