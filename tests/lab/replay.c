/* A scripted HTTP server; see replay.h. Test code: out of memory aborts. */
#include "replay.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_STEPS       512
#define MAX_REQUESTS    1024
#define MAX_CONNECTIONS 256
#define MAX_REQUEST     ((size_t)1 << 20)

typedef struct step {
    char *type;
    uint8_t *data;
    size_t size;
    unsigned flags;
} step;

typedef struct taken {
    char *data; /* NUL after the last byte */
    size_t head, size;
    unsigned connection;
} taken;

struct replay {
    int listener;
    unsigned port;
    bool stopping;
    pthread_t accepter;
    pthread_mutex_t lock;
    step steps[MAX_STEPS];
    unsigned n_steps, next;
    taken requests[MAX_REQUESTS];
    unsigned n_requests;
    int sockets[MAX_CONNECTIONS];
    pthread_t threads[MAX_CONNECTIONS];
    unsigned n_connections;
};

typedef struct connection {
    replay *r;
    int fd;
    unsigned number;
} connection;

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

static bool find_header(const char *head, size_t size, const char *name, char *out,
                        size_t out_size)
{
    size_t len = strlen(name);
    for (const char *p = head, *end = head + size; p < end;) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        if (!eol)
            break;
        if ((size_t)(eol - p) > len && p[len] == ':' && strncasecmp(p, name, len) == 0) {
            const char *v = p + len + 1;
            while (*v == ' ')
                v++;
            snprintf(out, out_size, "%.*s", (int)(eol - v), v);
            out[strcspn(out, "\r\n")] = 0;
            return true;
        }
        p = eol + 1;
    }
    return false;
}

/* Reads one request; NULL when the connection ends first. */
static char *read_request(int fd, size_t *head, size_t *size)
{
    char *data = must(malloc(MAX_REQUEST + 1));
    size_t n = 0, want = 0;
    *head = 0;
    while (n < MAX_REQUEST && (!want || n < want)) {
        ssize_t got = recv(fd, data + n, want ? want - n : 1, 0);
        if (got <= 0)
            break;
        n += (size_t)got;
        data[n] = 0;
        if (!want && n >= 4 && memcmp(data + n - 4, "\r\n\r\n", 4) == 0) {
            char length[32];
            *head = n;
            want = n;
            if (find_header(data, n, "Content-Length", length, sizeof(length)))
                want += strtoul(length, NULL, 10);
        }
    }
    *size = n;
    if (want && n == want)
        return data;
    free(data);
    return NULL;
}

static bool send_all(int fd, const uint8_t *data, size_t size)
{
    while (size) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        data += n;
        size -= (size_t)n;
    }
    return true;
}

/* Files the request and takes the step that answers it. */
static const step *take_step(connection *c, char *data, size_t head, size_t size)
{
    static const char text[] = "HTTP/1.1 599 Not in the script\r\nContent-Length: 0\r\n\r\n";
    static const step unexpected = {NULL, (uint8_t *)(uintptr_t)text, sizeof(text) - 1, 0};
    replay *r = c->r;
    char type[64] = "";
    const step *s = &unexpected;
    pthread_mutex_lock(&r->lock);
    if (r->n_requests == MAX_REQUESTS)
        abort();
    r->requests[r->n_requests++] = (taken){data, head, size, c->number};
    if (r->next < r->n_steps)
        s = &r->steps[r->next++];
    find_header(data, head, "X-RequestType", type, sizeof(type));
    if (s->type && strcmp(s->type, type) != 0)
        s = &unexpected;
    pthread_mutex_unlock(&r->lock);
    return s;
}

static void *serve(void *arg)
{
    connection *c = arg;
    size_t head, size;
    char *data;
    while ((data = read_request(c->fd, &head, &size))) {
        const step *s = take_step(c, data, head, size);
        if (!send_all(c->fd, s->data, s->size))
            break;
        if (s->flags & REPLAY_CLOSE)
            break;
        if (s->flags & REPLAY_HANG) {
            char ignored;
            while (recv(c->fd, &ignored, 1, 0) > 0)
                continue;
        }
    }
    shutdown(c->fd, SHUT_RDWR);
    free(c);
    return NULL;
}

static void *accept_all(void *arg)
{
    replay *r = arg;
    for (;;) {
        int fd = accept(r->listener, NULL, NULL), on = 1;
        pthread_mutex_lock(&r->lock);
        if (fd < 0 || r->stopping || r->n_connections == MAX_CONNECTIONS) {
            pthread_mutex_unlock(&r->lock);
            if (fd >= 0)
                close(fd);
            return NULL;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        connection *c = must(malloc(sizeof(*c)));
        *c = (connection){r, fd, r->n_connections};
        r->sockets[r->n_connections] = fd;
        if (pthread_create(&r->threads[r->n_connections++], NULL, serve, c) != 0)
            abort();
        pthread_mutex_unlock(&r->lock);
    }
}

replay *replay_start(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t n = sizeof(a);
    replay *r = must(calloc(1, sizeof(*r)));
    pthread_mutex_init(&r->lock, NULL);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    r->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (r->listener < 0 || bind(r->listener, (struct sockaddr *)&a, sizeof(a)) != 0 ||
        listen(r->listener, 64) != 0 ||
        getsockname(r->listener, (struct sockaddr *)&a, &n) != 0 ||
        pthread_create(&r->accepter, NULL, accept_all, r) != 0) {
        free(r);
        return NULL;
    }
    r->port = ntohs(a.sin_port);
    return r;
}

void replay_stop(replay *r)
{
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_mutex_unlock(&r->lock);
    shutdown(r->listener, SHUT_RDWR);
    pthread_join(r->accepter, NULL);
    close(r->listener);
    for (unsigned i = 0; i < r->n_connections; i++) {
        shutdown(r->sockets[i], SHUT_RDWR);
        pthread_join(r->threads[i], NULL);
        close(r->sockets[i]);
    }
    for (unsigned i = 0; i < r->n_steps; i++) {
        free(r->steps[i].type);
        free(r->steps[i].data);
    }
    for (unsigned i = 0; i < r->n_requests; i++)
        free(r->requests[i].data);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

unsigned replay_port(const replay *r)
{
    return r->port;
}

void replay_add(replay *r, const char *type, const void *response, size_t size, unsigned flags)
{
    step s = {type ? must(strdup(type)) : NULL, must(malloc(size + 1)), size, flags};
    if (size)
        memcpy(s.data, response, size);
    pthread_mutex_lock(&r->lock);
    if (r->n_steps == MAX_STEPS)
        abort();
    r->steps[r->n_steps++] = s;
    pthread_mutex_unlock(&r->lock);
}

void replay_add_text(replay *r, const char *response, unsigned flags)
{
    replay_add(r, NULL, response, strlen(response), flags);
}

void replay_add_http(replay *r, const char *type, const char *status_and_headers, const void *body,
                     size_t size)
{
    char head[8192];
    int n = snprintf(head, sizeof(head), "%sContent-Length: %zu\r\n\r\n", status_and_headers, size);
    uint8_t *all = must(malloc((size_t)n + size));
    memcpy(all, head, (size_t)n);
    if (size)
        memcpy(all + n, body, size);
    replay_add(r, type, all, (size_t)n + size, 0);
    free(all);
}

bool replay_add_file(replay *r, const char *type, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return false;
    uint8_t *data = must(malloc(MAX_REQUEST));
    size_t n = fread(data, 1, MAX_REQUEST, f);
    fclose(f);
    replay_add(r, type, data, n, 0);
    free(data);
    return n > 0;
}

unsigned replay_requests(replay *r)
{
    pthread_mutex_lock(&r->lock);
    unsigned n = r->n_requests;
    pthread_mutex_unlock(&r->lock);
    return n;
}

unsigned replay_connections(replay *r)
{
    pthread_mutex_lock(&r->lock);
    unsigned n = r->n_connections;
    pthread_mutex_unlock(&r->lock);
    return n;
}

static const taken *nth(replay *r, unsigned n)
{
    if (n >= replay_requests(r))
        abort();
    return &r->requests[n];
}

const char *replay_request(replay *r, unsigned n)
{
    return nth(r, n)->data;
}

unsigned replay_request_connection(replay *r, unsigned n)
{
    return nth(r, n)->connection;
}

bool replay_header(replay *r, unsigned n, const char *name, char *out, size_t out_size)
{
    const taken *t = nth(r, n);
    return find_header(t->data, t->head, name, out, out_size);
}

const uint8_t *replay_body(replay *r, unsigned n, size_t *size)
{
    const taken *t = nth(r, n);
    *size = t->size - t->head;
    return (const uint8_t *)t->data + t->head;
}
