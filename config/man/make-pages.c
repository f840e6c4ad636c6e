/*
 * Makes what is generated from the table of settings, at build time:
 *     make-pages page FILE.in    a manual page: a line "@SWITCHES@" or "@KEYS@" becomes those
 * sections make-pages template        CPUU.ini make-pages completion      completion for bash
 */
#include "config.h"

#include "settings/settings.h"

#include <string.h>

static int page(const char *path)
{
    char line[4096];
    FILE *in = fopen(path, "r");
    if (!in) {
        perror(path);
        return 1;
    }
    while (fgets(line, sizeof(line), in)) {
        if (strcmp(line, "@SWITCHES@\n") == 0)
            cpuu_settings_print_man(false, stdout);
        else if (strcmp(line, "@KEYS@\n") == 0)
            cpuu_settings_print_man(true, stdout);
        else
            fputs(line, stdout);
    }
    int failed = ferror(in);
    fclose(in);
    return failed || fflush(stdout) != 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "page") == 0)
        return page(argv[2]);
    if (argc == 2 && strcmp(argv[1], "template") == 0)
        cpuu_settings_print_template(stdout);
    else if (argc == 2 && strcmp(argv[1], "completion") == 0)
        cpuu_settings_print_completion(stdout);
    else
        return 2;
    return fflush(stdout) != 0;
}
