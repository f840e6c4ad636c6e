/* Names of log and CSV file, and whether they are written somewhere else first. */
#include "report/private.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define MAX_NAME 8192 /* bytes of an expanded name */

/* ---- variables ------------------------------------------------------------------------------- */

static const char *user_name(void)
{
    const char *name = getenv("USERNAME");
    if (!name)
        name = getenv("USER");
    if (!name) {
        struct passwd *pw = getpwuid(geteuid());
        name = pw ? pw->pw_name : NULL;
    }
    return name;
}

/* Windows finds variables in any case; here the name is tried as written and in capitals. */
static const char *variable(const char *name, const char *host)
{
    char upper[128];
    size_t n = strlen(name);
    if (cpuu_caseeq(name, "username"))
        return user_name();
    if (cpuu_caseeq(name, "computername"))
        return host;
    const char *value = getenv(name);
    if (value || n >= sizeof(upper))
        return value;
    for (size_t i = 0; i <= n; i++)
        upper[i] = name[i] >= 'a' && name[i] <= 'z' ? (char)(name[i] - 32) : name[i];
    return getenv(upper);
}

/* Appends what a variable at p stands for; returns the length of the variable, 0 if it is none. */
static size_t expand_one(cpuu_buf *out, const char *p, const char *host, const char *date,
                         const char *time)
{
    const char *value = NULL;
    size_t used = 2;
    if (*p == '#') {
        char letter = (char)(p[1] | 0x20);
        value = letter == 'h' ? host : letter == 'd' ? date : letter == 't' ? time : NULL;
    } else if (*p == '%') {
        char name[128];
        const char *end = strchr(p + 1, '%');
        size_t n = end ? (size_t)(end - p - 1) : 0;
        if (n == 0 || n >= sizeof(name))
            return 0;
        memcpy(name, p + 1, n);
        name[n] = 0;
        value = variable(name, host);
        used = n + 2;
    }
    if (!value)
        return 0;
    cpuu_buf_add(out, value, strlen(value));
    return used;
}

char *cpuu_report_expand_name(const char *pattern, const char *host, const char *date,
                              const char *time)
{
    cpuu_buf out;
    cpuu_buf_init(&out, MAX_NAME);
    while (*pattern) {
        size_t used = expand_one(&out, pattern, host, date, time);
        if (!used) {
            cpuu_buf_u8(&out, (uint8_t)*pattern);
            used = 1;
        }
        pattern += used;
    }
    cpuu_buf_u8(&out, 0);
    char *name = out.failed ? NULL : cpuu_strdup((const char *)out.data);
    cpuu_buf_free(&out);
    return name;
}

/* ---- folders --------------------------------------------------------------------------------- */

/* Magic numbers of statfs(2) and linux/magic.h. FUSE may be local, but copying does no harm. */
bool cpuu_is_remote(const char *folder)
{
    static const unsigned long kinds[] = {0x6969,     /* NFS */
                                          0x517b,     /* SMB */
                                          0xff534d42, /* CIFS */
                                          0xfe534d42, /* SMB2 */
                                          0x5346414f, /* AFS */
                                          0x73757245, /* Coda */
                                          0x00c36400, /* Ceph */
                                          0x01021997, /* 9P */
                                          0x65735546 /* FUSE */};
    struct statfs fs;
    if (statfs(folder, &fs) != 0)
        return false;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (((unsigned long)fs.f_type & 0xffffffffUL) == kinds[i])
            return true;
    }
    return false;
}

/* CPUULogs in the TEMP folder: ours, and not writable by others, or it is not used. */
static char *local_folder(void)
{
    const char *temp = getenv("TMPDIR");
    char *path = cpuu_path_join(temp && *temp ? temp : "/tmp", "CPUULogs");
    struct stat st;
    if (!path)
        return NULL;
    bool made = mkdir(path, 0700) == 0 || errno == EEXIST;
    if (made && lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
        !(st.st_mode & (S_IWGRP | S_IWOTH)))
        return path;
    cpuu_free(path);
    return NULL;
}

static char *csv_beside(const char *log)
{
    size_t n = strlen(log);
    if (cpuu_ends_with_nocase(log, ".log"))
        n -= 4;
    return cpuu_asprintf("%.*s.csv", (int)n, log);
}

/* ---- choosing -------------------------------------------------------------------------------- */

static cpuu_rc choose_local(cpuu_log_place *p, cpuu_error *err)
{
    char *folder = local_folder();
    if (!folder) {
        p->exit |= CPUU_EXIT_FAILED_TO_CREATE_TMP;
        return CPUU_OK;
    }
    const char *slash = strrchr(p->log, p->unreachable ? '\\' : '/');
    p->local_log = cpuu_path_join(folder, slash ? slash + 1 : p->log);
    p->local_csv = p->local_log ? csv_beside(p->local_log) : NULL;
    cpuu_free(folder);
    return p->local_csv ? CPUU_OK : cpuu_nomem(err);
}

static bool is_device(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISCHR(st.st_mode);
}

static cpuu_rc choose(const cpuu_settings *s, const char *host, cpuu_log_place *p, cpuu_error *err)
{
    char date[9], time[7];
    cpuu_clock_date(date);
    cpuu_clock_time(time);
    p->log = cpuu_report_expand_name(s->log_file ? s->log_file : "CPUU.log", host, date, time);
    if (!p->log)
        return cpuu_nomem(err);
    if (is_device(p->log))
        return CPUU_OK;
    char *folder = cpuu_path_dir(p->log);
    p->csv = csv_beside(p->log);
    p->unreachable = strncmp(p->log, "\\\\", 2) == 0;
    bool remote = p->unreachable || (folder && !s->log_write_directly && cpuu_is_remote(folder));
    bool complete = folder && p->csv;
    cpuu_free(folder);
    if (!complete)
        return cpuu_nomem(err);
    return remote ? choose_local(p, err) : CPUU_OK;
}

cpuu_rc cpuu_log_place_choose(const cpuu_settings *s, const char *host, cpuu_log_place *out,
                              cpuu_error *err)
{
    memset(out, 0, sizeof(*out));
    cpuu_rc rc = choose(s, host, out, err);
    if (rc != CPUU_OK)
        cpuu_log_place_free(out);
    return rc;
}

void cpuu_log_place_free(cpuu_log_place *p)
{
    cpuu_free(p->log);
    cpuu_free(p->csv);
    cpuu_free(p->local_log);
    cpuu_free(p->local_csv);
    memset(p, 0, sizeof(*p));
}
