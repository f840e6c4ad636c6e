/*
 * Writes a synthetic Outlook profile as .reg text to standard output, for the demo and the tests;
 * cpuu-mkhive makes an NTUSER.DAT of it. Arguments are KEY=VALUE; several parts of a value are
 * separated by ";". Without arguments: the example of profilegen.h (anna.alder@source.example).
 *
 *   width=8|4           bitness of Outlook (8 = 64-bit)
 *   version=16.0|15.0   Outlook version
 *   profile=NAME        name of the profile (ASCII)
 *   user=FOLDER         Windows path of the user's folder
 *   smtp=A dn=D name=N server=S guid=32HEX inbox=92HEX      the mailbox
 *   online=0|1 public=0|1 pop=0|1                           no OST; public store; a POP account
 *   windows=0|1|2               stores and windows Outlook remembers; 2 = without stale pointers
 *   pst=PATH            "" = none
 *   named=NAME favorites=NAME allpublic=NAME pstname=NAME   names the user has given
 *   box=SMTP;DN;NAME;32HEX[;N]  additional mailbox, named N by the user; "box=" forgets those of
 *                               the example
 *   contacts=NAME;92HEX[;...]   folder in the address book;       "contacts=" likewise
 *   move=NAME;92HEX[;SMTP;DN]   move-to folder, of another mailbox; "move=" likewise
 *   move=NAME;92HEX;store;HEX   one in a store of that EntryID; contacts= likewise
 *   move=NAME;pst;PATH          one in a PST; contacts= likewise
 *   fresh=MOVE                  like move=, but without stale pointers; "fresh=-" an unused slot
 *   remembered=HEX              one more store Outlook remembers (with windows=)
 *   book=HEX pab=HEX            one more address list in the search path; folder for new contacts
 *   other=NAME                  "Open Other User's Folder" name;  "other=" likewise
 */
#include "profilegen.h"

#include <stdlib.h>
#include <string.h>

static void die(const char *what, const char *arg)
{
    fprintf(stderr, "cpuu-mkprofile: %s: '%s'\n", what, arg);
    exit(2);
}

static void unhex(uint8_t *out, size_t n, const char *digits)
{
    if (!digits || strlen(digits) != 2 * n)
        die("wrong number of hex digits", digits ? digits : "");
    for (size_t i = 0; i < n; i++) {
        char two[3] = {digits[2 * i], digits[2 * i + 1], 0}, *end;
        out[i] = (uint8_t)strtoul(two, &end, 16);
        if (*end)
            die("not hex", digits);
    }
}

/* The next part of a value; "" at its end. */
static char *part(char **rest)
{
    char *p = strsep(rest, ";");
    return p ? p : (char *)"";
}

static void add_box(gen_profile *g, char *value)
{
    if (!*value) {
        g->n_boxes = 0;
        return;
    }
    if (g->n_boxes == GEN_MAX)
        die("too many", value);
    gen_box *b = &g->boxes[g->n_boxes++];
    b->smtp = part(&value);
    b->dn = part(&value);
    b->name = part(&value);
    unhex(b->guid, 16, part(&value));
    b->named = value;
}

/* Where a folder is, as move= and contacts= say it. */
static void read_folder(gen_folder *f, char *value)
{
    *f = (gen_folder){.name = part(&value)};
    f->empty = strcmp(f->name, "-") == 0;
    if (f->empty)
        return;
    char *where = part(&value);
    if (strcmp(where, "pst") == 0) {
        f->pst = part(&value);
        return;
    }
    unhex(f->eid, sizeof(f->eid), where);
    if (!value)
        return;
    f->smtp = part(&value);
    if (strcmp(f->smtp, "store") == 0) {
        f->smtp = NULL;
        f->store = part(&value);
    } else {
        f->dn = part(&value);
    }
}

static gen_folder *add_folder(gen_folder *list, size_t max, size_t *n, char *value)
{
    if (!*value) {
        *n = 0;
        return NULL;
    }
    if (*n == max)
        die("too many", value);
    read_folder(&list[*n], value);
    return &list[(*n)++];
}

static void add_text(const char **list, size_t *n, const char *value)
{
    if (!*value)
        *n = 0;
    else if (*n == GEN_MAX)
        die("too many", value);
    else
        list[(*n)++] = value;
}

static int set_text(gen_profile *g, const char *name, char *value)
{
    const struct {
        const char *name;
        const char **to;
    } texts[] = {{"version", &g->version},
                 {"profile", &g->profile},
                 {"user", &g->user},
                 {"smtp", &g->smtp},
                 {"dn", &g->dn},
                 {"name", &g->name},
                 {"server", &g->server},
                 {"pst", &g->pst},
                 {"named", &g->named},
                 {"favorites", &g->favorites_name},
                 {"allpublic", &g->all_public_name},
                 {"pab", &g->pab},
                 {"pstname", &g->pst_name}};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (strcmp(name, texts[i].name) != 0)
            continue;
        *texts[i].to = value;
        if (g->pst && !*g->pst)
            g->pst = NULL;
        return 1;
    }
    return 0;
}

static int set_number(gen_profile *g, const char *name, const char *value)
{
    const struct {
        const char *name;
        int *to;
    } numbers[] = {{"online", &g->online},
                   {"public", &g->public_store},
                   {"pop", &g->second_account},
                   {"windows", &g->windows}};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (strcmp(name, numbers[i].name) != 0)
            continue;
        *numbers[i].to = atoi(value);
        return 1;
    }
    return 0;
}

static void set(gen_profile *g, char *arg)
{
    char *value = arg;
    const char *name = strsep(&value, "=");
    if (!value)
        die("expected KEY=VALUE", arg);
    if (set_text(g, name, value) || set_number(g, name, value))
        return;
    if (strcmp(name, "width") == 0)
        g->width = atoi(value) == 4 ? 4 : 8;
    else if (strcmp(name, "guid") == 0)
        unhex(g->guid, 16, value);
    else if (strcmp(name, "inbox") == 0)
        unhex(g->inbox, sizeof(g->inbox), value);
    else if (strcmp(name, "box") == 0)
        add_box(g, value);
    else if (strcmp(name, "contacts") == 0)
        add_folder(g->contacts, GEN_MAX, &g->n_contacts, value);
    else if (strcmp(name, "move") == 0)
        add_folder(g->moves, 10, &g->n_moves, value);
    else if (strcmp(name, "fresh") == 0 && *value)
        add_folder(g->moves, 10, &g->n_moves, value)->fresh = 1;
    else if (strcmp(name, "other") == 0)
        add_text(g->others, &g->n_others, value);
    else if (strcmp(name, "remembered") == 0)
        add_text(g->remembered, &g->n_remembered, value);
    else if (strcmp(name, "book") == 0)
        add_text(g->books, &g->n_books, value);
    else
        die("unknown", name);
}

int main(int argc, char **argv)
{
    gen_profile g;
    gen_example(&g);
    for (int i = 1; i < argc; i++)
        set(&g, argv[i]);
    gen_write(&g, stdout);
    return ferror(stdout) || fflush(stdout) != 0;
}
