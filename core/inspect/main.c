/* cpuu-inspect: the command line. */
#include "config.h"

#include "inspect/inspect.h"
#include "inspect/types.h"

#include <getopt.h>
#include <string.h>

static const char usage[] =
    "Usage: cpuu-inspect blob [--type TYPE] [--json] [--links | --verify] FILE|-\n"
    "       cpuu-inspect profile (--hive FILE | --reg FILE) [--profile NAME] [--json]\n"
    "                    [--graph | --check | --diff PROFILE PROFILE]\n"
    "       cpuu-inspect profile --diff FILE FILE [--profile NAME] [--json]\n"
    "       cpuu-inspect --list-types | --help | --version\n"
    "\n"
    "Shows what is inside an Outlook profile, its files and MAPI values. Changes nothing.\n"
    "\n"
    "  --type TYPE     what the blob is; guessed when left out\n"
    "  --links         only the identifiers of objects\n"
    "  --verify        decode, encode and compare\n"
    "  --graph         sections as a graph for dot(1)\n"
    "  --check         what is wrong with the profile\n"
    "  --diff A B      two profiles, value by value\n"
    "\n"
    "Exit status: 0 fine, 1 findings or differences, 2 unusable input or arguments.\n";

enum {
    OPT_TYPE = 256,
    OPT_JSON,
    OPT_LINKS,
    OPT_VERIFY,
    OPT_HIVE,
    OPT_REG,
    OPT_PROFILE,
    OPT_GRAPH,
    OPT_CHECK,
    OPT_DIFF,
    OPT_LIST,
    OPT_HELP,
    OPT_VERSION
};

static const struct option options[] = {
    {"type", required_argument, NULL, OPT_TYPE},       {"json", no_argument, NULL, OPT_JSON},
    {"links", no_argument, NULL, OPT_LINKS},           {"verify", no_argument, NULL, OPT_VERIFY},
    {"hive", required_argument, NULL, OPT_HIVE},       {"reg", required_argument, NULL, OPT_REG},
    {"profile", required_argument, NULL, OPT_PROFILE}, {"graph", no_argument, NULL, OPT_GRAPH},
    {"check", no_argument, NULL, OPT_CHECK},           {"diff", no_argument, NULL, OPT_DIFF},
    {"list-types", no_argument, NULL, OPT_LIST},       {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},       {NULL, 0, NULL, 0}};

typedef struct command_line {
    inspect_options o;
    bool diff;
    int show; /* OPT_LIST, OPT_HELP, OPT_VERSION, or '?' after an unknown option */
} command_line;

static void option(command_line *c, int which)
{
    switch (which) {
    case OPT_TYPE:
        c->o.type = optarg;
        break;
    case OPT_JSON:
        c->o.json = true;
        break;
    case OPT_LINKS:
        c->o.links = true;
        break;
    case OPT_VERIFY:
        c->o.verify = true;
        break;
    case OPT_HIVE:
        c->o.hive = optarg;
        break;
    case OPT_REG:
        c->o.reg = optarg;
        break;
    case OPT_PROFILE:
        c->o.profile = optarg;
        break;
    case OPT_GRAPH:
        c->o.graph = true;
        break;
    case OPT_CHECK:
        c->o.check = true;
        break;
    case OPT_DIFF:
        c->diff = true;
        break;
    default:
        c->show = which;
    }
}

static int bad(const char *what)
{
    fprintf(stderr, "cpuu-inspect: %s; see cpuu-inspect --help\n", what);
    return INSPECT_UNUSABLE;
}

static void list_types(void)
{
    for (size_t i = 0; i < n_blob_types; i++)
        printf("%-18s%s\n", blob_types[i].name, blob_types[i].title);
}

static int blob_command(command_line *c, int n, char **words)
{
    inspect_options *o = &c->o;
    if (o->hive || o->reg || o->profile || o->graph || o->check || c->diff)
        return bad("that option is for profiles");
    if (o->links && o->verify)
        return bad("--links and --verify are two different things");
    if (n != 1)
        return bad("one FILE is needed (or - for standard input)");
    o->file = words[0];
    return inspect_blob(o, stdout);
}

static int profile_command(command_line *c, int n, char **words)
{
    inspect_options *o = &c->o;
    if (o->type || o->links || o->verify)
        return bad("that option is for blobs");
    if (o->hive && o->reg)
        return bad("--hive and --reg exclude each other");
    if ((int)o->graph + (int)o->check + (int)c->diff > 1)
        return bad("--graph, --check and --diff exclude each other");
    if (o->graph && o->json)
        return bad("a graph has no JSON form");
    if (n != (c->diff ? 2 : 0))
        return bad(c->diff ? "--diff needs two names" : "there is something after the options");
    if (!c->diff && !o->hive && !o->reg)
        return bad("--hive or --reg is needed");
    if (c->diff && (o->hive || o->reg) && o->profile)
        return bad("--diff names the profiles itself");
    for (int i = 0; c->diff && i < 2; i++)
        o->diff[i] = words[i];
    return inspect_profile(o, stdout);
}

static int run(command_line *c, int n, char **words)
{
    switch (c->show) {
    case 0:
        break;
    case OPT_HELP:
        fputs(usage, stdout);
        return INSPECT_FINE;
    case OPT_VERSION:
        puts("cpuu-inspect " PACKAGE_VERSION);
        return INSPECT_FINE;
    case OPT_LIST:
        list_types();
        return INSPECT_FINE;
    default:
        return INSPECT_UNUSABLE; /* getopt has said why */
    }
    if (n && strcmp(words[0], "blob") == 0)
        return blob_command(c, n - 1, words + 1);
    if (n && strcmp(words[0], "profile") == 0)
        return profile_command(c, n - 1, words + 1);
    return bad(n ? "there is no such command" : "a command is needed");
}

int main(int argc, char **argv)
{
    command_line c;
    int which;
    memset(&c, 0, sizeof(c));
    while ((which = getopt_long(argc, argv, "", options, NULL)) != -1)
        option(&c, which);
    int status = run(&c, argc - optind, argv + optind);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("cpuu-inspect: standard output");
        return INSPECT_UNUSABLE;
    }
    return status;
}
