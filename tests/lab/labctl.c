/* Starting, asking and stopping a lab in a child process. */
#include "config.h"

#include "tests/lab/labctl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CPUU_LAB_PROGRAM
#define CPUU_LAB_PROGRAM "cpuu-lab"
#endif

struct labctl {
    pid_t pid;
    int keep; /* our end of its standard input: closing it ends the lab */
    char dir[64];
    json_t *ready;
    int status; /* of waitpid, once it ended */
};

/* ---- process --------------------------------------------------------------------------------- */

static void run_child(int in, int out, const char *dir, bool http, const char *content,
                      const char *const *args)
{
    const char *argv[40], *program = getenv("CPUU_LAB");
    size_t n = 0;
    if (!program || !*program)
        program = CPUU_LAB_PROGRAM;
    argv[n++] = program;
    argv[n++] = "--until-eof";
    argv[n++] = "--ca-dir";
    argv[n++] = dir;
    if (http)
        argv[n++] = "--http";
    for (size_t i = 0; args && args[i] && n < 37; i++)
        argv[n++] = args[i];
    argv[n++] = content;
    argv[n] = NULL;
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    execv(program, (char *const *)argv);
    fprintf(stderr, "cannot run '%s': %s\n", program, strerror(errno));
    _exit(127);
}

/* The ready line, within 20 seconds. */
static bool read_line(int fd, char *out, size_t size)
{
    size_t n = 0;
    struct pollfd p = {fd, POLLIN, 0};
    while (n + 1 < size && poll(&p, 1, 20000) > 0) {
        ssize_t got = read(fd, out + n, 1);
        if (got <= 0)
            return false;
        if (out[n] == '\n') {
            out[n] = 0;
            return true;
        }
        n++;
    }
    return false;
}

static bool spawn(labctl *l, const char *content, bool http, const char *const *args, char *line,
                  size_t size)
{
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC))
        return false;
    if (pipe2(out, O_CLOEXEC)) {
        close(in[0]);
        close(in[1]);
        return false;
    }
    l->pid = fork();
    if (l->pid == 0)
        run_child(in[0], out[1], l->dir, http, content, args);
    close(in[0]);
    close(out[1]);
    l->keep = in[1];
    bool ok = l->pid > 0 && read_line(out[0], line, size);
    close(out[0]);
    return ok;
}

labctl *labctl_start_args(const char *content, bool http, const char *const *args, char *err,
                          size_t err_size)
{
    char line[4096] = "";
    labctl *l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    l->keep = -1;
    l->status = -1;
    snprintf(l->dir, sizeof(l->dir), "/tmp/cpuu-lab-XXXXXX");
    if (mkdtemp(l->dir) && spawn(l, content, http, args, line, sizeof(line)))
        l->ready = json_loads(line, 0, NULL);
    if (l->ready)
        return l;
    snprintf(err, err_size, "the lab did not start with '%s'", content);
    labctl_stop(l);
    return NULL;
}

labctl *labctl_start(const char *content, bool http, char *err, size_t err_size)
{
    return labctl_start_args(content, http, NULL, err, err_size);
}

bool labctl_running(labctl *l)
{
    if (l->pid <= 0)
        return false;
    if (waitpid(l->pid, &l->status, WNOHANG) != l->pid)
        return true;
    l->pid = 0;
    return false;
}

int labctl_stop(labctl *l)
{
    if (!l)
        return -1;
    if (l->keep >= 0)
        close(l->keep);
    if (l->pid > 0)
        waitpid(l->pid, &l->status, 0);
    int rc = WIFEXITED(l->status) ? WEXITSTATUS(l->status) : -1;
    char path[128];
    snprintf(path, sizeof(path), "%s/ca.pem", l->dir);
    unlink(path);
    rmdir(l->dir);
    json_decref(l->ready);
    free(l);
    return rc;
}

/* ---- what the ready line says ---------------------------------------------------------------- */

uint16_t labctl_port(const labctl *l, const char *org)
{
    char key[128];
    snprintf(key, sizeof(key), "%s_port", org);
    return (uint16_t)json_integer_value(json_object_get(l->ready, key));
}

const char *labctl_url(const labctl *l, const char *org)
{
    return json_string_value(json_object_get(l->ready, org));
}

const char *labctl_ca(const labctl *l)
{
    return json_string_value(json_object_get(l->ready, "ca"));
}

const char *labctl_dir(const labctl *l)
{
    return l->dir;
}

/* ---- a small HTTP client --------------------------------------------------------------------- */

static bool send_all(int fd, const void *data, size_t n)
{
    const char *p = data;
    while (n) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        p += sent;
        n -= (size_t)sent;
    }
    return true;
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static uint8_t *read_all(int fd, size_t *size)
{
    size_t cap = 65536, n = 0;
    uint8_t *p = malloc(cap + 1);
    for (ssize_t got; p && (got = recv(fd, p + n, cap - n, 0)) > 0;) {
        n += (size_t)got;
        if (n == cap) {
            uint8_t *more = realloc(p, 2 * cap + 1);
            if (!more) {
                free(p);
                return NULL;
            }
            p = more;
            cap *= 2;
        }
    }
    if (p)
        p[n] = 0;
    *size = n;
    return p;
}

/* HTTP/1.0: the body ends with the connection and is never chunked. */
bool labctl_http(uint16_t port, const char *method, const char *path, const char *headers,
                 const void *body, size_t size, labctl_reply *out)
{
    char head[8192];
    memset(out, 0, sizeof(*out));
    int fd = connect_to(port);
    int n = snprintf(head, sizeof(head),
                     "%s %s HTTP/1.0\r\nHost: localhost\r\nContent-Length: %zu\r\n%s\r\n", method,
                     path, size, headers ? headers : "");
    bool ok = fd >= 0 && n > 0 && (size_t)n < sizeof(head) && send_all(fd, head, (size_t)n) &&
              send_all(fd, body, size);
    size_t got = 0;
    uint8_t *all = ok ? read_all(fd, &got) : NULL;
    if (fd >= 0)
        close(fd);
    if (!all)
        return false;
    char *end = strstr((char *)all, "\r\n\r\n");
    out->headers = end ? strndup((char *)all, (size_t)(end + 2 - (char *)all)) : strdup("");
    out->status = end && strlen((char *)all) > 12 ? atoi((char *)all + 9) : 0;
    out->size = end ? got - (size_t)(end + 4 - (char *)all) : 0;
    out->body = malloc(out->size + 1);
    if (out->body) {
        memcpy(out->body, end ? (uint8_t *)end + 4 : all, out->size);
        out->body[out->size] = 0;
    }
    free(all);
    return out->headers && out->body;
}

void labctl_reply_free(labctl_reply *r)
{
    free(r->headers);
    free(r->body);
    memset(r, 0, sizeof(*r));
}

bool labctl_header(const labctl_reply *r, const char *name, unsigned nth, char *out, size_t size)
{
    size_t n = strlen(name);
    for (const char *p = r->headers; p && *p;) {
        const char *end = strstr(p, "\r\n");
        if (strncasecmp(p, name, n) == 0 && p[n] == ':' && nth-- == 0) {
            const char *value = p + n + 1 + strspn(p + n + 1, " ");
            snprintf(out, size, "%.*s", (int)((end ? end : value + strlen(value)) - value), value);
            return true;
        }
        p = end ? end + 2 : NULL;
    }
    return false;
}

/* ---- control --------------------------------------------------------------------------------- */

char *labctl_get(labctl *l, const char *path)
{
    labctl_reply r;
    if (!labctl_http(labctl_port(l, "control"), "GET", path, NULL, NULL, 0, &r))
        return NULL;
    char *text = r.status == 200 ? strdup((char *)r.body) : NULL;
    labctl_reply_free(&r);
    return text;
}

bool labctl_fault(labctl *l, const char *json)
{
    labctl_reply r;
    if (!labctl_http(labctl_port(l, "control"), "POST", "/lab/fault", NULL, json, strlen(json), &r))
        return false;
    bool ok = r.status == 200;
    labctl_reply_free(&r);
    return ok;
}

char *labctl_dump(labctl *l, const char *org)
{
    char path[128];
    snprintf(path, sizeof(path), "/lab/dump%s%s", org ? "?org=" : "", org ? org : "");
    return labctl_get(l, path);
}
