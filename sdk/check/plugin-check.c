/*
 * cpuu-plugin-check: does a plugin keep the rules of cpuu/plugin.h?
 *
 *   cpuu-plugin-check [--quiet] FILE...
 *
 * Looks at the file before it runs any of it: what it exports (one function) and what it imports
 * (memory, strings and arithmetic; nothing that opens, connects, forks or asks for the time). Then
 * it is loaded with immediate binding, asked for its data twice, and the data is checked as the
 * host checks it. Output is TAP; the exit status is 0 when all is well, 1 with findings, 2 when it
 * could not run.
 */
#include "elf.h"

#include <cpuu/validate.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE (256l << 20)
#define USAGE    "Usage: cpuu-plugin-check [--quiet] FILE..."

/* What a plugin may call: no function here reaches outside its own memory. A name that ends in *
 * stands for all that begin so (compiler and sanitizer run time). */
static const char *const ALLOWED[] = {
    /* memory */
    "malloc", "calloc", "realloc", "reallocarray", "free", "memcpy", "memmove", "memset", "memcmp",
    "memchr", "memrchr", "memmem", "explicit_bzero", "bcmp",
    /* strings */
    "strlen", "strnlen", "strcmp", "strncmp", "strcasecmp", "strncasecmp", "strcpy", "strncpy",
    "stpcpy", "stpncpy", "strcat", "strncat", "strchr", "strchrnul", "strrchr", "strstr",
    "strcasestr", "strspn", "strcspn", "strpbrk", "strsep", "strtok_r", "strdup", "strndup",
    "strtol", "strtoul", "strtoll", "strtoull", "__isoc23_strtol", "__isoc23_strtoul",
    "__isoc23_strtoll", "__isoc23_strtoull", "snprintf", "vsnprintf", "asprintf", "vasprintf",
    "sscanf", "__isoc99_sscanf", "__isoc23_sscanf", "tolower", "toupper", "__ctype_b_loc",
    "__ctype_tolower_loc", "__ctype_toupper_loc",
    /* arithmetic, sorting */
    "qsort", "qsort_r", "bsearch", "abs", "labs", "llabs", "div", "ldiv", "lldiv",
    /* checked twins of the above */
    "__memcpy_chk", "__memmove_chk", "__memset_chk", "__strcpy_chk", "__strncpy_chk",
    "__strcat_chk", "__strncat_chk", "__stpcpy_chk", "__snprintf_chk", "__vsnprintf_chk",
    "__asprintf_chk", "__vasprintf_chk", "__explicit_bzero_chk", "__stack_chk_fail",
    "__assert_fail", "abort", "__errno_location",
    /* run time of compiler, linker and sanitizers */
    "__cxa_finalize", "__gmon_start__", "_ITM_*", "__asan_*", "__ubsan_*", "__lsan_*", "__tsan_*",
    "__msan_*", "__sanitizer_*", "__gcov_*", "__llvm_*", "__sancov_*", "__interceptor_*",
    "__sanitizer_cov_*", "__register_frame_info", "__deregister_frame_info",
    /* the codecs, when they are linked as a library */
    "cpuu_*", NULL};

typedef struct check {
    const char *file;
    unsigned n, failed;
    bool quiet;
    bool has_query;
    char extra[256];     /* exported besides the one function */
    char forbidden[512]; /* imported and not allowed */
} check;

static void result(check *c, bool ok, const char *what, const char *detail)
{
    c->n++;
    c->failed += !ok;
    if (ok && c->quiet)
        return;
    printf("%s %u - %s: %s%s%s\n", ok ? "ok" : "not ok", c->n, c->file, what,
           ok || !detail ? "" : ": ", ok || !detail ? "" : detail);
}

static void append(char *list, size_t size, const char *word)
{
    const size_t n = strlen(list);
    if (n + strlen(word) + 3 < size)
        snprintf(list + n, size - n, "%s%s", n ? ", " : "", word);
}

/* ---- symbols --------------------------------------------------------------------------------- */

static bool allowed(const char *name)
{
    for (size_t i = 0; ALLOWED[i]; i++) {
        const size_t n = strlen(ALLOWED[i]);
        if (ALLOWED[i][n - 1] == '*' ? strncmp(name, ALLOWED[i], n - 1) == 0
                                     : strcmp(name, ALLOWED[i]) == 0)
            return true;
    }
    return false;
}

/* Marks that linkers leave in every shared object. */
static bool linkers_own(const char *name)
{
    static const char *const marks[] = {"_init", "_fini", "_edata", "_end", "__bss_start", NULL};
    for (size_t i = 0; marks[i]; i++) {
        if (strcmp(name, marks[i]) == 0)
            return true;
    }
    return strncmp(name, "__asan_", 7) == 0 || strncmp(name, "__odr_asan", 10) == 0;
}

static void symbol(void *user, const char *name, bool imported)
{
    check *c = user;
    if (imported) {
        if (!allowed(name))
            append(c->forbidden, sizeof(c->forbidden), name);
    } else if (strcmp(name, "cpuu_plugin_query") == 0) {
        c->has_query = true;
    } else if (!linkers_own(name)) {
        append(c->extra, sizeof(c->extra), name);
    }
}

static bool check_symbols(check *c, const uint8_t *file, size_t size)
{
    const char *problem = cpuu_elf_symbols(file, size, symbol, c);
    result(c, !problem, "is a shared object", problem);
    if (problem)
        return false;
    result(c, c->has_query, "exports cpuu_plugin_query", "it does not");
    result(c, !c->extra[0], "exports nothing else", c->extra);
    result(c, !c->forbidden[0], "imports only what works on memory", c->forbidden);
    return c->has_query && !c->forbidden[0];
}

/* ---- data ------------------------------------------------------------------------------------ */

static void check_data(check *c)
{
    const char *feature = NULL;
    char path[4096], detail[512];
    snprintf(path, sizeof(path), "%s%s", strchr(c->file, '/') ? "" : "./", c->file);
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const char *why = handle ? NULL : dlerror();
    result(c, handle != NULL, "loads with immediate binding", why);
    if (!handle)
        return;
    cpuu_plugin_query_fn ask = NULL;
    void *found = dlsym(handle, "cpuu_plugin_query");
    memcpy(&ask, &found, sizeof(ask));
    const cpuu_plugin *p = ask(CPUU_ABI_VERSION);
    result(c, p != NULL, "accepts this version of the interface", "it returned NULL");
    if (!p)
        return;
    result(c, p == ask(CPUU_ABI_VERSION), "gives the same data each time", "it does not");
    const char *problem = cpuu_validate_plugin(p, &feature);
    snprintf(detail, sizeof(detail), "%s%s%s", feature ? feature : "", feature ? ": " : "",
             problem ? problem : "");
    result(c, !problem, "declares itself well", detail);
    for (size_t i = 0; !problem && p->features[i]; i++) {
        if (!c->quiet)
            printf("# feature %s (%s), %u declared reads, %u names\n", p->features[i]->name,
                   p->features[i]->title, p->features[i]->n_reads, p->features[i]->n_names);
    }
}

static uint8_t *read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data = NULL;
    if (!f)
        return NULL;
    if (fseek(f, 0, SEEK_END) == 0) {
        const long n = ftell(f);
        if (n > 0 && n < MAX_FILE && fseek(f, 0, SEEK_SET) == 0 && (data = malloc((size_t)n)) &&
            fread(data, 1, (size_t)n, f) != (size_t)n) {
            free(data);
            data = NULL;
        }
        *size = n > 0 ? (size_t)n : 0;
    }
    fclose(f);
    return data;
}

int main(int argc, char **argv)
{
    check c = {0};
    int first = 1;
    if (argc > 1 && strcmp(argv[1], "--quiet") == 0) {
        c.quiet = true;
        first++;
    }
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        puts(USAGE);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("cpuu-plugin-check: plugin interface %u.%u\n",
               CPUU_ABI_MAJOR(CPUU_ABI_VERSION), CPUU_ABI_VERSION & 0xffffu);
        return 0;
    }
    if (first >= argc || argv[first][0] == '-') {
        fprintf(stderr, USAGE "\n");
        return 2;
    }
    for (int i = first; i < argc; i++) {
        size_t size = 0;
        uint8_t *file = read_file(argv[i], &size);
        c.file = argv[i];
        c.has_query = false;
        c.extra[0] = c.forbidden[0] = 0;
        if (!file) {
            fprintf(stderr, "cpuu-plugin-check: cannot read '%s'\n", argv[i]);
            return 2;
        }
        if (check_symbols(&c, file, size)) /* what does too much is not run to see what it says */
            check_data(&c);
        free(file);
    }
    printf("1..%u\n", c.n);
    return c.failed ? 1 : 0;
}
