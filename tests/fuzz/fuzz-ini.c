/* Any bytes as CPUU.ini: read, applied to settings, freed. */
#include "settings/load.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const known[] = {"AddBoxes", "CONTAB", "Nicks", NULL};
    cpuu_settings s;
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_ini ini;
    memset(&s, 0, sizeof(s));
    if (cpuu_ini_parse(data, size, "CPUU.ini", cpuu_inifile_classify, &ini, &err) != CPUU_OK)
        return 0;
    char file[] = "CPUU.ini";
    s.ini_file = file;
    s.origins = cpuu_arena_alloc(&s.arena, cpuu_settings_count * sizeof(*s.origins));
    if (s.origins && cpuu_inifile_apply(&s, &ini, file, &err) == CPUU_OK)
        (void)cpuu_settings_check_features(&s, known, &err);
    cpuu_ini_free(&ini);
    cpuu_settings_free(&s);
    return 0;
}
