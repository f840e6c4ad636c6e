/* --show-config: every setting, its value and where it comes from. Secrets are never shown. */
#include "settings/table.h"

#include <string.h>

static void show_words(const cpuu_words *words, FILE *out)
{
    for (size_t i = 0; i < words->count; i++) {
        bool quote = strpbrk(words->items[i], " \t") != NULL;
        fprintf(out, "%s%s%s%s", i ? " " : "", quote ? "\"" : "", words->items[i],
                quote ? "\"" : "");
    }
}

static void show_value(const cpuu_settings *s, const cpuu_setting *row, FILE *out)
{
    const void *member = (const char *)s + row->offset;
    const char *text;
    switch (row->type) {
    case CPUU_T_FLAG:
    case CPUU_T_BOOL:
        fprintf(out, "%d", *(const bool *)member);
        break;
    case CPUU_T_NUMBER:
        fprintf(out, "%u", *(const uint32_t *)member);
        break;
    case CPUU_T_TEXT:
    case CPUU_T_URL:
    case CPUU_T_CHOICE:
        text = *(char *const *)member;
        fputs(text ? text : "", out);
        break;
    case CPUU_T_SWITCH:
        text = strchr(row->choices, ' ');
        if (*(const bool *)member)
            fputs(text + 1, out);
        else
            fprintf(out, "%.*s", (int)(text - row->choices), row->choices);
        break;
    case CPUU_T_SECRET:
        fputs(*(const bool *)member ? "(given)" : "", out);
        break;
    case CPUU_T_MODE:
        break;
    default:
        if (s->origins[row - cpuu_settings_table].all)
            fputs("All", out);
        else
            show_words(member, out);
    }
}

static void show_row(const cpuu_settings *s, const cpuu_setting *row, FILE *out)
{
    char origin[300];
    cpuu_origin_text(s, row, origin, sizeof(origin));
    fprintf(out, "%s = ", row->name);
    show_value(s, row, out);
    fprintf(out, "   ; %s%s\n", origin, row->effect == CPUU_LATER ? ", no effect yet" : "");
}

static void show_section(const cpuu_settings *s, const char *title, unsigned where, FILE *out)
{
    fprintf(out, "[%s]\n", title);
    for (size_t i = 0; i < cpuu_settings_count; i++) {
        const cpuu_setting *row = &cpuu_settings_table[i];
        /* Selectors of different modes share their members: shown is the one that was used. */
        bool elsewhere = row->mode && s->origins[i].kind != CPUU_FROM_LINE;
        unsigned home = row->where & (CPUU_IN_PARAMETERS | CPUU_IN_NOTIFICATION);
        bool here = home ? home & where : row->where & where;
        if (here && !elsewhere && row->type != CPUU_T_MODE)
            show_row(s, row, out);
    }
}

void cpuu_settings_print_config(const cpuu_settings *s, FILE *out)
{
    if (s->ini_file)
        fprintf(out, "; settings are read from %s\n", s->ini_file);
    else
        fputs("; no CPUU.ini was found\n", out);
    show_section(s, "command line", CPUU_ON_LINE | CPUU_LONG, out);
    show_section(s, CPUU_SECTION_PARAMETERS, CPUU_IN_PARAMETERS, out);
    show_section(s, CPUU_SECTION_NOTIFICATION, CPUU_IN_NOTIFICATION, out);
    for (size_t i = 0; i < s->n_options; i++)
        fprintf(out, "[%s%s] %s = %s   ; %s:%u\n", CPUU_SECTION_FEATURE, s->options[i].feature,
                s->options[i].key, s->options[i].value, s->ini_file, s->options[i].line);
}
