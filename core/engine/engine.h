/*
 * The sequence for a run and for a profile: recover, discover, resolve, source, target, back up,
 * features, switch, commit, report. Knows features only through features/.
 */
#ifndef CPUU_ENGINE_ENGINE_H
#define CPUU_ENGINE_ENGINE_H

#include "report/report.h"
#include "settings/settings.h"

#include <signal.h>

/*
 * Runs the mode of the settings on every selected profile of every hive; the outcome is in the
 * report. `stop` becomes non-zero when the user asks to stop (a signal handler's flag): the profile
 * under way is rolled back. A negative result means that the run itself could not start.
 */
cpuu_rc cpuu_engine_run(cpuu_settings *s, cpuu_report *r, const volatile sig_atomic_t *stop,
                        cpuu_error *err);

#endif
