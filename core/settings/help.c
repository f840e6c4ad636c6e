/* --help, the option and key sections of the manual pages, and the template of CPUU.ini. */
#include "settings/table.h"

#include "base/text.h"

#include <ctype.h>
#include <string.h>

#define TEXT_COLUMN 29
#define LAST_COLUMN 79

/* ---- shared ---------------------------------------------------------------------------------- */

/* "-Profiles NAME...", "--json FILE", "KeepOST=0|1". */
static void form(const cpuu_setting *row, unsigned where, char out[120])
{
    const char *name = row->name, *arg = row->arg ? row->arg : "";
    if (where & (CPUU_IN_PARAMETERS | CPUU_IN_NOTIFICATION))
        snprintf(out, 120, "%s=%s", name, arg);
    else if ((where & CPUU_ON_LINE) && row->long_name)
        snprintf(out, 120, "-%s, --%s", name, row->long_name);
    else if (where & CPUU_ON_LINE)
        snprintf(out, 120, "-%s%s%s", name, *arg ? " " : "", arg);
    else
        snprintf(out, 120, "--%s%s%s", row->long_name ? row->long_name : name, *arg ? " " : "",
                 arg);
}

/* Help text with what the table knows besides. */
static void full_text(const cpuu_setting *row, char out[1000])
{
    bool has_default = row->fallback && row->type != CPUU_T_FLAG;
    bool sentence = has_default && row->fallback[strlen(row->fallback) - 1] == '.';
    snprintf(out, 1000, "%s%s%s%s%s%s%s%s", row->help, has_default ? " Default: " : "",
             has_default ? row->fallback : "", has_default && !sentence ? "." : "",
             row->aliases && isupper((unsigned char)row->aliases[0]) ? " Also: " : "",
             row->aliases && isupper((unsigned char)row->aliases[0]) ? row->aliases : "",
             row->aliases && isupper((unsigned char)row->aliases[0]) ? "." : "",
             row->effect == CPUU_LATER ? " (No effect yet.)" : "");
}

/* Rows of one kind; a row of the guide's switches is not repeated among the additions. */
static bool belongs(const cpuu_setting *row, unsigned where)
{
    if (where == CPUU_LONG)
        return (row->where & CPUU_LONG) && !(row->where & CPUU_ON_LINE);
    return row->where & where;
}

/* ---- --help ---------------------------------------------------------------------------------- */

/* Words of text from TEXT_COLUMN on, broken before LAST_COLUMN. */
static void wrap(FILE *out, size_t column, const char *text)
{
    bool first = true;
    while (*text) {
        size_t n = strcspn(text, " ");
        if (!first && column + 1 + n > LAST_COLUMN) {
            fprintf(out, "\n%*s", TEXT_COLUMN, "");
            column = TEXT_COLUMN;
        } else if (!first) {
            fputc(' ', out);
            column++;
        }
        fprintf(out, "%.*s", (int)n, text);
        column += n;
        text += n + strspn(text + n, " ");
        first = false;
    }
    fputc('\n', out);
}

static void help_section(FILE *out, const char *title, unsigned where)
{
    fprintf(out, "\n%s\n", title);
    for (size_t i = 0; i < cpuu_settings_count; i++) {
        const cpuu_setting *row = &cpuu_settings_table[i];
        char left[120], text[1000];
        if (!belongs(row, where))
            continue;
        form(row, where, left);
        full_text(row, text);
        fprintf(out, "  %s", left);
        if (strlen(left) + 4 > TEXT_COLUMN)
            fprintf(out, "\n%*s", TEXT_COLUMN, "");
        else
            fprintf(out, "%*s", (int)(TEXT_COLUMN - 2 - strlen(left)), "");
        wrap(out, TEXT_COLUMN, text);
    }
}

void cpuu_settings_print_help(FILE *out)
{
    fputs("Usage: cpuu [switches]\n"
          "Updates Outlook profiles after their mailboxes have moved to another Exchange\n"
          "organisation, rolls such updates back, and cleans up.\n",
          out);
    help_section(out, "Switches (in any case):", CPUU_ON_LINE);
    help_section(out, "Additions:", CPUU_LONG);
    help_section(out, "CPUU.ini, section [Parameters]:", CPUU_IN_PARAMETERS);
    help_section(out, "CPUU.ini, section [Admin notification]:", CPUU_IN_NOTIFICATION);
    fputs("\n\"--\" ends a list of names and makes what follows names too.\n"
          "See cpuu(1), cpuu.ini(5) and cpuu-json(5).\n",
          out);
}

/* ---- manual pages ---------------------------------------------------------------------------- */

/* Text for troff: no line begins with a control character, backslashes and dashes are themselves.
 */
static void put_man(FILE *out, const char *text)
{
    if (*text == '.' || *text == '\'')
        fputs("\\&", out);
    for (; *text; text++) {
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else
            fputc(*text, out);
    }
}

static void man_section(FILE *out, unsigned where)
{
    for (size_t i = 0; i < cpuu_settings_count; i++) {
        const cpuu_setting *row = &cpuu_settings_table[i];
        char left[120], text[1000];
        if (!belongs(row, where))
            continue;
        form(row, where, left);
        full_text(row, text);
        fputs(".TP\n.B ", out);
        put_man(out, left);
        fputc('\n', out);
        put_man(out, text);
        if (row->where & CPUU_ADDED)
            fputs("\n(This key is an addition.)", out);
        fputc('\n', out);
    }
}

void cpuu_settings_print_man(bool ini_page, FILE *out)
{
    if (ini_page) {
        fputs(".SH SECTION [Parameters]\n", out);
        man_section(out, CPUU_IN_PARAMETERS);
        fputs(".SH SECTION [Admin notification]\n", out);
        man_section(out, CPUU_IN_NOTIFICATION);
    } else {
        fputs(".SH SWITCHES\n", out);
        man_section(out, CPUU_ON_LINE);
        fputs(".SH ADDITIONS\n", out);
        man_section(out, CPUU_LONG);
    }
}

/* ---- template -------------------------------------------------------------------------------- */

static void comment(FILE *out, const char *text)
{
    while (*text) {
        size_t n = strlen(text);
        if (n > 76) {
            n = 76;
            while (n && text[n] != ' ')
                n--;
        }
        fprintf(out, "; %.*s\r\n", (int)n, text);
        text += n + strspn(text + n, " ");
    }
}

static void template_section(FILE *out, const char *name, unsigned where)
{
    fprintf(out, "[%s]\r\n", name);
    for (size_t i = 0; i < cpuu_settings_count; i++) {
        const cpuu_setting *row = &cpuu_settings_table[i];
        char text[1000];
        if (!belongs(row, where))
            continue;
        full_text(row, text);
        comment(out, text);
        fprintf(out, ";%s=%s\r\n\r\n", row->name, row->fallback ? row->fallback : "");
    }
}

void cpuu_settings_print_template(FILE *out)
{
    fputs("; CPUU.ini: take the semicolon off the lines that you want to change.\r\n\r\n", out);
    template_section(out, CPUU_SECTION_PARAMETERS, CPUU_IN_PARAMETERS);
    template_section(out, CPUU_SECTION_NOTIFICATION, CPUU_IN_NOTIFICATION);
}

/* ---- completion ------------------------------------------------------------------------------ */

void cpuu_settings_print_completion(FILE *out)
{
    char words[4096] = "", files[1024] = "", form_text[120];
    for (size_t i = 0; i < cpuu_settings_count; i++) {
        const cpuu_setting *row = &cpuu_settings_table[i];
        if (!(row->where & (CPUU_ON_LINE | CPUU_LONG)))
            continue;
        form(row, row->where & (CPUU_ON_LINE | CPUU_LONG), form_text);
        size_t n = strcspn(form_text, " ,"), used = strlen(words);
        snprintf(words + used, sizeof(words) - used, " %.*s", (int)n, form_text);
        used = strlen(files);
        if (row->arg && (cpuu_caseeq(row->arg, "FILE") || cpuu_caseeq(row->arg, "DIR")))
            snprintf(files + used, sizeof(files) - used, "%s%.*s", used ? "|" : "", (int)n,
                     form_text);
    }
    fprintf(out,
            "# Completion for bash; generated from the table of settings.\n"
            "_cpuu()\n{\n"
            "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
            "    case $before in\n"
            "    %s)\n"
            "        mapfile -t COMPREPLY < <(compgen -f -- \"$word\") ;;\n"
            "    --exit-style)\n"
            "        mapfile -t COMPREPLY < <(compgen -W \"guide posix\" -- \"$word\") ;;\n"
            "    *)\n"
            "        mapfile -t COMPREPLY < <(compgen -W \"%s\" -- \"$word\") ;;\n"
            "    esac\n}\n"
            "complete -o filenames -F _cpuu cpuu ClientProfileUpdatingUtility\n",
            files, words + 1);
}
