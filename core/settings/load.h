/* The two sources of settings, command line and CPUU.ini; private to settings/. */
#ifndef CPUU_SETTINGS_LOAD_H
#define CPUU_SETTINGS_LOAD_H

#include "settings/ini.h"
#include "settings/table.h"

/* Reads the command line into s: values, mode, origins. */
cpuu_rc cpuu_cmdline_read(cpuu_settings *s, int argc, char *const *argv, cpuu_error *err);
/* Applies CPUU.ini to what the command line has left open. `file` is the path for messages. */
cpuu_rc cpuu_inifile_apply(cpuu_settings *s, const cpuu_ini *ini, const char *file,
                           cpuu_error *err);
/* What the keys of CPUU.ini are to the line reader. */
cpuu_ini_key cpuu_inifile_classify(const char *section, const char *key);

#endif
