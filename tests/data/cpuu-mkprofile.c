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
 *   contacts=NAME;92HEX         folder in the address book;       "contacts=" likewise
 *   move=NAME;92HEX[;SMTP;DN]   move-to folder, of another mailbox; "move=" likewise
 *   move=NAME;92HEX;store;HEX   one in a store of that EntryID
 *   move=NAME;pst;PATH          one in a PST
 *   fresh=MOVE                  like move=, but without stale pointers; "fresh=-" an unused slot
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

static void add_folder(gen_folder *list, size_t max, size_t *n, char *value)
{
    if (!*value) {
        *n = 0;
        return;
    }
    if (*n == max)
        die("too many", value);
    gen_folder *f = &list[(*n)++];
    f->name = part(&value);
    unhex(f->eid, sizeof(f->eid), part(&value));
}

static void add_move(gen_profile *g, char *value, int fresh)
{
    if (!*value) {
        g->n_moves = 0;
        return;
    }
    if (g->n_moves == 10)
        die("too many", value);
    gen_move *m = &g->moves[g->n_moves++];
    *m = (gen_move){.name = part(&value), .fresh = fresh};
    m->empty = strcmp(m->name, "-") == 0;
    if (m->empty)
        return;
    char *where = part(&value);
    if (strcmp(where, "pst") == 0) {
        m->pst = part(&value);
        return;
    }
    unhex(m->eid, sizeof(m->eid), where);
    if (!value)
        return;
    m->smtp = part(&value);
    if (strcmp(m->smtp, "store") == 0)
        m->store = part(&value);
    else
        m->dn = part(&value);
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
        add_move(g, value, 0);
    else if (strcmp(name, "fresh") == 0)
        add_move(g, value, 1);
    else if (strcmp(name, "other") == 0 && !*value)
        g->n_others = 0;
    else if (strcmp(name, "other") == 0 && g->n_others < GEN_MAX)
        g->others[g->n_others++] = value;
    else
        die("unknown or too many", name);
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
