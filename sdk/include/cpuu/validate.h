/*
 * What can be told about a plugin from its constant data alone. The host refuses a plugin with
 * these findings, and cpuu-plugin-check reports them, so that both say the same.
 */
#ifndef CPUU_VALIDATE_H
#define CPUU_VALIDATE_H

#include <cpuu/plugin.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The first problem as a constant sentence, NULL when there is none. *feature: the name of the
 * feature it is about, NULL when it concerns the plugin as a whole. Nothing behind `abi` is read
 * when the major version is foreign. */
const char *cpuu_validate_plugin(const cpuu_plugin *p, const char **feature);
/* Why a feature with these `needs` and `names` may not ask this; NULL when it may. */
const char *cpuu_validate_query(const cpuu_feature *f, const cpuu_query *q);
/* Element i of an array whose stride is the first one's size, cut or padded to this version's. */
cpuu_query cpuu_validate_query_at(const cpuu_query *first, uint32_t i);

#ifdef __cplusplus
}
#endif
#endif
