/*
 * Asks the control port of the lab: cpuu-lab-get URL [JSON to post]. A few lines of sockets, so that
 * scripts need no HTTP client and nothing of cpuu looks at its own results.
 */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void fail(const char *what)
{
    fprintf(stderr, "cpuu-lab-get: %s\n", what);
    exit(1);
}

static int connect_to(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
    if (getaddrinfo(host, port, &hints, &list) != 0)
        fail("unknown host");
    for (struct addrinfo *a = list; a; a = a->ai_next) {
        int fd = socket(a->ai_family, a->ai_socktype, 0);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0) {
            freeaddrinfo(list);
            return fd;
        }
        close(fd);
    }
    fail("cannot connect");
    return -1;
}

int main(int argc, char **argv)
{
    char host[256], port[8], path[1024];
    if (argc < 2 || sscanf(argv[1], "http://%255[^:]:%7[0-9]%1023s", host, port, path) != 3)
        fail("usage: cpuu-lab-get http://HOST:PORT/PATH [JSON]");
    const char *body = argc > 2 ? argv[2] : "";
    FILE *f = fdopen(connect_to(host, port), "r+");
    if (!f)
        fail("out of memory");
    fprintf(f, "%s %s HTTP/1.0\r\nHost: %s:%s\r\nContent-Length: %zu\r\n\r\n%s",
            argc > 2 ? "POST" : "GET", path, host, port, strlen(body), body);
    fflush(f);
    fseek(f, 0, SEEK_CUR);
    char line[4096];
    unsigned status = 0;
    if (!fgets(line, sizeof(line), f) || sscanf(line, "HTTP/%*s %u", &status) != 1)
        fail("no answer");
    while (fgets(line, sizeof(line), f) && strcmp(line, "\r\n") != 0)
        ;
    size_t n;
    while ((n = fread(line, 1, sizeof(line), f)) > 0)
        fwrite(line, 1, n, stdout);
    fclose(f);
    return status == 200 ? 0 : 1;
}
