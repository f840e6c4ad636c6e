/* Private to features/: what loader, services, runner and replay share. */
#ifndef CPUU_FEATURES_PRIVATE_H
#define CPUU_FEATURES_PRIVATE_H

#include "features/features.h"

#include <stddef.h>

/* ---- structures of plugins of other minors ----------------------------------------------------- */

/* Sizes in interface 1.0; a plugin's structures may be larger, never smaller. */
#define CPUU_END_OF(type, member) (offsetof(type, member) + sizeof(((type *)0)->member))
#define CPUU_PLUGIN_MIN           CPUU_END_OF(cpuu_plugin, features)
#define CPUU_FEATURE_MIN          CPUU_END_OF(cpuu_feature, cleanup)
#define CPUU_QUERY_MIN            CPUU_END_OF(cpuu_query, store)
#define CPUU_CHANGE_MIN           CPUU_END_OF(cpuu_change, title)
#define CPUU_ROW_MIN              CPUU_END_OF(cpuu_row, values)
#define CPUU_RESULT_MIN           CPUU_END_OF(cpuu_result, id)
#define CPUU_LINK_MIN             CPUU_END_OF(cpuu_link, out_text)
#define CPUU_DECISION_MIN         CPUU_END_OF(cpuu_decision, after)

/* What skip() of a feature that was not selected may touch (R1). */
#define CPUU_SKIP_NEEDS                                                                            \
    (CPUU_NEED_PROFILE | CPUU_NEED_PROFILE_WRITE | CPUU_NEED_FILES | CPUU_NEED_FILES_WRITE)

/* Element i of an array whose stride is the first one's size, cut or padded to our size. */
cpuu_query cpuu_query_at(const cpuu_query *first, uint32_t i);

/* ---- loader ----------------------------------------------------------------------------------- */

/* Why a feature may not ask this; NULL when it may. */
const char *cpuu_query_problem(const cpuu_feature *f, const cpuu_query *q);
cpuu_rc cpuu_plugin_validate(const cpuu_plugin *p, const char *path, cpuu_error *err);
bool cpuu_feature_is_critical(const cpuu_settings *s, const char *name);
bool cpuu_feature_is_removed(const cpuu_settings *s, const char *name);

#endif
