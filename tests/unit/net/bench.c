#include "bench.h"

#include "base/fault.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

unsigned fail_alloc, fail_request;

void cpuu_fault_step(const char *what)
{
    (void)what;
}

bool cpuu_fault_fail(const char *what)
{
    unsigned *n = strcmp(what, "alloc") == 0     ? &fail_alloc
                  : strcmp(what, "request") == 0 ? &fail_request
                                                 : NULL;
    return n && *n && --*n == 0;
}

void *failing_realloc(void *p, size_t n)
{
    return fail_alloc && --fail_alloc == 0 ? NULL : realloc(p, n);
}

static void remember(cpuu_log *log, cpuu_level level, const char *text)
{
    memory_log *m = (memory_log *)log;
    if (level == CPUU_LV_TRACE) /* times and sizes, different each time */
        return;
    size_t n = strlen(m->text);
    snprintf(m->text + n, sizeof(m->text) - n, "[%s] %s\n", cpuu_level_word(level), text);
}

void memory_log_init(memory_log *l)
{
    l->log.write = remember;
    l->text[0] = 0;
}

static char folder[64];

static bool run_openssl(const char *arguments)
{
    char command[1024];
    snprintf(command, sizeof(command), "cd %s && openssl %s >/dev/null 2>&1", folder, arguments);
    return system(command) == 0;
}

static void write_text(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    if (f) {
        fputs(text, f);
        fclose(f);
    }
}

const char *make_ca(const char *test)
{
    static const char key[] = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    char req[512];
    strcpy(folder, "/tmp/cpuu-t-net-XXXXXX");
    if (!mkdtemp(folder))
        abort();
    write_text("ext", "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:source.test,"
                      "DNS:*.source.test,DNS:mail.target.test,DNS:*.evil.test\n");
    snprintf(req, sizeof(req),
             "req -x509 %s -keyout ca.key -out ca.pem -days 2 -subj /CN=cpuu-test-ca", key);
    bool ok = run_openssl(req);
    snprintf(req, sizeof(req), "req %s -keyout good.key -out good.csr -subj /CN=localhost", key);
    ok = ok && run_openssl(req) &&
         run_openssl("x509 -req -in good.csr -CA ca.pem -CAkey ca.key -CAcreateserial "
                     "-days 2 -extfile ext -out good.pem");
    if (ok)
        return folder;
    printf("SKIP: %s: no openssl program\n", test);
    drop_ca();
    return NULL;
}

void drop_ca(void)
{
    static const char *const names[] = {"ext", "ca.key", "ca.pem", "ca.srl", "good.key",
                                        "good.csr", "good.pem"};
    char path[128];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

char *ca_file(const char *name)
{
    char path[128];
    char *text = calloc(1, 16384);
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "r");
    if (!f || !text || fread(text, 1, 16383, f) == 0)
        abort();
    fclose(f);
    return text;
}
