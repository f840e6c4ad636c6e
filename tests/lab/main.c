/* cpuu-lab: command line and life of the rehearsal server. */
#include "tests/lab/http.h"

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"

#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t stop_now;

static void on_signal(int sig)
{
    (void)sig;
    stop_now = 1;
}

static void usage(FILE *f)
{
    fputs("usage: cpuu-lab [options] CONTENT-FILE\n"
          "  --ca-dir DIR         write ca.pem here (default: current folder)\n"
          "  --http               plain HTTP instead of HTTPS\n"
          "  --port ORG=N         port of an organisation (default: a free one)\n"
          "  --control-port N     port of the control endpoint (default: a free one)\n"
          "  --ready-file FILE    write the ready line here, too\n"
          "  --dump-on-exit FILE  write the state as JSON when the lab ends\n"
          "  --until-eof          end when standard input is closed\n"
          "  --check              read the content file and end\n"
          "  --help, --version\n",
          f);
}

typedef struct arguments {
    lab_options options;
    const char *ready_file, *dump_file;
    const char *port_org[LAB_MAX_ORGS];
    uint16_t port_number[LAB_MAX_ORGS];
    size_t n_ports;
    bool until_eof, check;
} arguments;

static bool parse_port(arguments *a, char *text)
{
    char *equals = strchr(text, '='), *end;
    if (!equals || a->n_ports >= LAB_MAX_ORGS)
        return false;
    *equals = 0;
    unsigned long n = strtoul(equals + 1, &end, 10);
    if (*end || n > 65535)
        return false;
    a->port_org[a->n_ports] = text;
    a->port_number[a->n_ports++] = (uint16_t)n;
    return true;
}

/* -1: go on; else the exit status. */
static int parse(arguments *a, int argc, char **argv)
{
    enum {
        O_CA = 256,
        O_HTTP,
        O_PORT,
        O_CONTROL,
        O_READY,
        O_DUMP,
        O_EOF,
        O_CHECK,
        O_HELP,
        O_VERSION
    };
    static const struct option options[] = {{"ca-dir", required_argument, NULL, O_CA},
                                            {"http", no_argument, NULL, O_HTTP},
                                            {"port", required_argument, NULL, O_PORT},
                                            {"control-port", required_argument, NULL, O_CONTROL},
                                            {"ready-file", required_argument, NULL, O_READY},
                                            {"dump-on-exit", required_argument, NULL, O_DUMP},
                                            {"until-eof", no_argument, NULL, O_EOF},
                                            {"check", no_argument, NULL, O_CHECK},
                                            {"help", no_argument, NULL, O_HELP},
                                            {"version", no_argument, NULL, O_VERSION},
                                            {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case O_CA:
            a->options.ca_dir = optarg;
            break;
        case O_HTTP:
            a->options.http = true;
            break;
        case O_PORT:
            if (!parse_port(a, optarg)) {
                fprintf(stderr, "cpuu-lab: --port wants ORG=N\n");
                return 2;
            }
            break;
        case O_CONTROL:
            a->options.control_port = (uint16_t)atoi(optarg);
            break;
        case O_READY:
            a->ready_file = optarg;
            break;
        case O_DUMP:
            a->dump_file = optarg;
            break;
        case O_EOF:
            a->until_eof = true;
            break;
        case O_CHECK:
            a->check = true;
            break;
        case O_HELP:
            usage(stdout);
            return 0;
        case O_VERSION:
            puts("cpuu-lab 0.1.0");
            return 0;
        default:
            usage(stderr);
            return 2;
        }
    }
    if (optind + 1 != argc) {
        usage(stderr);
        return 2;
    }
    a->options.content = argv[optind];
    return -1;
}

/* Organisations are listened to in the order of the file; --port names them. */
static bool assign_ports(arguments *a, char *err, size_t size)
{
    lab *l = lab_new();
    bool ok = lab_load(l, a->options.content, err, size);
    for (size_t i = 0; ok && i < a->n_ports; i++) {
        bool found = false;
        for (size_t k = 0; k < l->n_orgs; k++)
            if (cpuu_caseeq(l->orgs[k]->name, a->port_org[i])) {
                a->options.ports[k] = a->port_number[i];
                found = true;
            }
        if (!found)
            snprintf(err, size, "no organisation '%s' in %s", a->port_org[i], a->options.content);
        ok = found;
    }
    lab_free(l);
    return ok;
}

static bool announce(const lab_server *s, const char *ready_file)
{
    cpuu_error e = CPUU_ERROR_INIT;
    char *text = lab_server_ready(s);
    printf("%s\n", text);
    fflush(stdout);
    bool ok = !ready_file || cpuu_file_write(ready_file, text, strlen(text), 0644, &e) >= 0;
    if (!ok)
        fprintf(stderr, "cpuu-lab: %s\n", e.text);
    free(text);
    return ok;
}

static void wait_for_end(lab_server *s, bool until_eof)
{
    char skip[256];
    struct pollfd p = {until_eof ? STDIN_FILENO : -1, POLLIN, 0};
    while (!stop_now && !lab_server_lab(s)->die) {
        if (poll(&p, 1, 20) > 0 && read(STDIN_FILENO, skip, sizeof(skip)) <= 0)
            break;
    }
}

static int write_dump(lab_server *s, const char *path)
{
    cpuu_error e = CPUU_ERROR_INIT;
    lab *l = lab_server_lab(s);
    pthread_mutex_lock(&l->lock);
    char *text = lab_dump(l, NULL);
    pthread_mutex_unlock(&l->lock);
    bool ok = text && cpuu_file_write(path, text, strlen(text), 0644, &e) >= 0;
    free(text);
    if (!ok)
        fprintf(stderr, "cpuu-lab: cannot write '%s': %s\n", path, e.text);
    return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
    arguments a = {0};
    char err[800] = "";
    int rc = parse(&a, argc, argv);
    if (rc >= 0)
        return rc;
    if (!assign_ports(&a, err, sizeof(err))) {
        fprintf(stderr, "cpuu-lab: %s\n", err);
        return 1;
    }
    if (a.check)
        return 0;
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGPIPE, SIG_IGN);
    lab_server *s = lab_server_start(&a.options, err, sizeof(err));
    if (!s) {
        fprintf(stderr, "cpuu-lab: %s\n", err);
        return 1;
    }
    rc = announce(s, a.ready_file) ? 0 : 1;
    if (rc == 0)
        wait_for_end(s, a.until_eof);
    bool died = lab_server_lab(s)->die;
    if (a.dump_file && write_dump(s, a.dump_file))
        rc = 1;
    lab_server_stop(s);
    return died ? 3 : rc;
}
