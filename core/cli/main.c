/* cpuu: settings, report, engine. Wiring only. */
#include "settings/settings.h"
int main(int argc, char **argv)
{
    cpuu_settings s;
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_rc rc = cpuu_settings_load(argc, argv, &s, &err);
    if (rc != CPUU_OK) {
        fprintf(stderr, "cpuu: %s\n", err.text);
        return s.posix_exit ? 2 : 0;
    }
    if (s.mode == CPUU_MODE_HELP)
        cpuu_settings_print_help(stdout);
    else if (s.mode == CPUU_MODE_SHOW_CONFIG)
        cpuu_settings_print_config(&s, stdout);
    cpuu_settings_free(&s);
    return 0;
}
