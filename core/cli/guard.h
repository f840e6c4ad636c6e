/* Ends the program when a plugin does not come back; see cpuu_guard in settings.h. */
#ifndef CPUU_CLI_GUARD_H
#define CPUU_CLI_GUARD_H

#include "settings/settings.h"

/* log_fd: the open log, -1 = none. status: what the program ends with. */
const cpuu_guard *cpuu_guard_start(int log_fd, int status);

#endif
