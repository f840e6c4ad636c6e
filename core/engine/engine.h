/*
 * The sequence for a run and for a profile: recover, discover, resolve, source, target, back up,
 * features, switch, commit, report. Knows features only through features/.
 */
#ifndef CPUU_ENGINE_ENGINE_H
#define CPUU_ENGINE_ENGINE_H

#include "report/report.h"
#include "settings/settings.h"

/*
 * Runs the mode of the settings on every selected profile of every hive; the outcome is in the
 * report. When settings->stop becomes non-zero the profile under way is rolled back and the run ends. A negative result means that the run itself could not start.
 */
cpuu_rc cpuu_engine_run(cpuu_settings *s, cpuu_report *r, cpuu_error *err);

#endif
