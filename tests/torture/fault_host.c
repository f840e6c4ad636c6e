/*
 * The services of the host with a fault in one of them: for the program whose plugins are tested, linked with
 * -Wl,--wrap=CPUU_HOST_TABLE. Nothing in the product knows of it.
 *
 *   CPUU_FAULT_FEATURE=NAME   only calls of that feature count; without it there is no fault
 *   CPUU_FAULT_PLUGIN=NAME    likewise for allocations: a part of the path of its shared object
 *   CPUU_FAULT_RC=N           what the service that fails returns (default: CPUU_E_IO)
 *
 * Which call fails is said by CPUU_FAULT_FAIL (fault_env.c) with these kinds: "service" is any call that can
 * fail, "memory" any allocation of a plugin's own; "service-place" and "memory-place" count the places in the
 * plugin's code that make one, each when it is reached for the first time.
 */
#include "base/fault.h"
#include "features/private.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

extern const cpuu_host __real_CPUU_HOST_TABLE;
extern const cpuu_host __wrap_CPUU_HOST_TABLE;

static const cpuu_host *const real = &__real_CPUU_HOST_TABLE;

/* ---- services -------------------------------------------------------------------------------- */

/* Counts the call and, when it comes from a place that was not seen before, the place. */
static bool fault(const void *place, const char *call_kind, const char *place_kind)
{
    static const void *seen[1024];
    size_t i = 0;
    while (i < sizeof(seen) / sizeof(*seen) - 1 && seen[i] && seen[i] != place)
        i++;
    const bool is_new = !seen[i];
    seen[i] = place;
    const bool by_place = is_new && cpuu_fault_fail(place_kind);
    return cpuu_fault_fail(call_kind) || by_place;
}

static bool fails_at(const void *place, const cpuu_run *run, cpuu_rc *rc)
{
    const char *feature = getenv("CPUU_FAULT_FEATURE"), *code = getenv("CPUU_FAULT_RC");
    if (!feature || strcmp(feature, run->f->name) != 0 ||
        !fault(place, "service", "service-place"))
        return false;
    *rc = code ? (cpuu_rc)strtol(code, NULL, 10) : CPUU_E_IO;
    return true;
}

#define fails(run, rc) fails_at(__builtin_return_address(0), run, rc)

static cpuu_rc CPUU_CALL f_beat(cpuu_run *run, uint32_t done, uint32_t total)
{
    return real->beat(run, done, total); /* cannot fail: it can only ask to stop */
}

static cpuu_rc CPUU_CALL f_read(cpuu_run *run, const cpuu_query *queries, uint32_t n,
                                cpuu_rows **out)
{
    cpuu_rc rc;
    return fails(run, &rc) ? rc : real->read(run, queries, n, out);
}

static cpuu_rc CPUU_CALL f_rows(cpuu_rows *rows, uint32_t index, cpuu_row *out)
{
    cpuu_rc rc;
    return fails(rows->run, &rc) ? rc : real->rows(rows, index, out);
}

static cpuu_rc CPUU_CALL f_translate(cpuu_run *run, cpuu_link *links, uint32_t n)
{
    cpuu_rc rc;
    return fails(run, &rc) ? rc : real->translate(run, links, n);
}

static cpuu_rc CPUU_CALL f_change(cpuu_run *run, const cpuu_change *changes, uint32_t n,
                                  uint32_t *ticket)
{
    cpuu_rc rc;
    return fails(run, &rc) ? rc : real->change(run, changes, n, ticket);
}

static cpuu_rc CPUU_CALL f_flush(cpuu_run *run)
{
    cpuu_rc rc;
    return fails(run, &rc) ? rc : real->flush(run);
}

static cpuu_rc CPUU_CALL f_result(cpuu_run *run, uint32_t ticket, cpuu_result *out)
{
    cpuu_rc rc;
    return fails(run, &rc) ? rc : real->result(run, ticket, out);
}

static cpuu_rc CPUU_CALL f_file_read(cpuu_run *run, uint32_t dir, const char *name, cpuu_blob *out)
{
    cpuu_rc rc;
    return fails(run, &rc) ? rc : real->file_read(run, dir, name, out);
}

static cpuu_rc CPUU_CALL f_file_write(cpuu_run *run, uint32_t dir, const char *name,
                                      const cpuu_blob *data)
{
    cpuu_rc rc;
    return fails(run, &rc) ? rc : real->file_write(run, dir, name, data);
}

static cpuu_rc CPUU_CALL f_note_put(cpuu_run *run, const char *key, cpuu_blob value)
{
    cpuu_rc rc;
    return fails(run, &rc) ? rc : real->note_put(run, key, value);
}

static cpuu_rc CPUU_CALL f_note_get(cpuu_run *run, const char *key, cpuu_blob *out)
{
    cpuu_rc rc;
    return fails(run, &rc) ? rc : real->note_get(run, key, out);
}

/* What cannot fail goes straight through. */
static void CPUU_CALL f_log(cpuu_run *run, int32_t level, const char *text)
{
    real->log(run, level, text);
}

static cpuu_rc CPUU_CALL f_fail(cpuu_run *run, cpuu_rc rc, const char *what, const char *where)
{
    return real->fail(run, rc, what, where);
}

static const char *CPUU_CALL f_option(cpuu_run *run, const char *key)
{
    return real->option(run, key);
}

static void CPUU_CALL f_rows_close(cpuu_rows *rows)
{
    real->rows_close(rows);
}

static void CPUU_CALL f_decide(cpuu_run *run, const cpuu_decision *decision)
{
    real->decide(run, decision);
}

const cpuu_host __wrap_CPUU_HOST_TABLE = {
    .size = sizeof(cpuu_host),
    .abi = CPUU_ABI_VERSION,
    .log = f_log,
    .fail = f_fail,
    .beat = f_beat,
    .option = f_option,
    .read = f_read,
    .rows = f_rows,
    .rows_close = f_rows_close,
    .translate = f_translate,
    .change = f_change,
    .flush = f_flush,
    .result = f_result,
    .decide = f_decide,
    .file_read = f_file_read,
    .file_write = f_file_write,
    .note_put = f_note_put,
    .note_get = f_note_get,
};

/* ---- memory ---------------------------------------------------------------------------------- */

/* Plugins allocate with cpuu_fmt_realloc, which is realloc(); they are shared objects, so that the one they
 * find is the program's own. Everybody else's calls go on to the library (or the sanitizer). */
__attribute__((visibility("default"))) void *realloc(void *p, size_t n)
{
    static void *(*next)(void *, size_t);
    const void *caller = __builtin_return_address(0);
    const char *plugin = getenv("CPUU_FAULT_PLUGIN");
    Dl_info info;
    if (!next) {
        void *found = dlsym(RTLD_NEXT, "realloc");
        memcpy(&next, &found, sizeof(next));
    }
    if (plugin && dladdr(caller, &info) && info.dli_fname && strstr(info.dli_fname, plugin) &&
        fault(caller, "memory", "memory-place"))
        return NULL;
    return next(p, n);
}
