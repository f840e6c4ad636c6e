#include "fixture.h"

#include "base/fault.h"

#include <cpuu/formats/bytes.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

unsigned long fail_at;
unsigned long allocations;
static char folder[64];

void cpuu_fault_step(const char *what)
{
    (void)what;
}

bool cpuu_fault_fail(const char *what)
{
    if (strcmp(what, "alloc") != 0)
        return false;
    allocations++;
    return fail_at && allocations == fail_at;
}

const char *in_folder(const char *name)
{
    static char path[512];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

void folder_make(void)
{
    cpuu_fmt_realloc = cpuu_realloc; /* buffers count as allocations too */
    cpuu_fmt_free = cpuu_free;
    snprintf(folder, sizeof(folder), "/tmp/cpuu-t-settings-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0); /* so that no CPUU.ini of the build is found */
}

void folder_remove(void)
{
    char command[128];
    ck_assert_int_eq(chdir("/"), 0);
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

void write_file(const char *name, const void *data, size_t size, unsigned mode)
{
    const char *path = in_folder(name);
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(data, 1, size, f), size);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(chmod(path, mode), 0);
}

static cpuu_rc load(const char *ini, const char *arguments, cpuu_settings *s, cpuu_error *err)
{
    char words[4096], *argv[100], program[] = "cpuu", dash_ini[] = "-INI", path[512];
    int argc = 0;
    argv[argc++] = program;
    snprintf(words, sizeof(words), "%s", arguments ? arguments : "");
    for (char *p = strtok(words, " "); p; p = strtok(NULL, " "))
        argv[argc++] = p;
    if (ini) {
        snprintf(path, sizeof(path), "%s", ini);
        argv[argc++] = dash_ini;
        argv[argc++] = path;
    }
    argv[argc] = NULL;
    memset(err, 0, sizeof(*err));
    return cpuu_settings_load(argc, argv, s, err);
}

cpuu_rc load_text(const char *text, const char *arguments, cpuu_settings *s, cpuu_error *err)
{
    write_file("CPUU.ini", text, strlen(text), 0600);
    return load(in_folder("CPUU.ini"), arguments, s, err);
}

cpuu_rc load_arguments(const char *arguments, cpuu_settings *s, cpuu_error *err)
{
    return load(NULL, arguments, s, err);
}

bool has_note(const cpuu_settings *s, cpuu_level level, const char *text)
{
    for (size_t i = 0; i < s->n_notes; i++) {
        if (s->notes[i].level == level && strstr(s->notes[i].text, text))
            return true;
    }
    return false;
}
