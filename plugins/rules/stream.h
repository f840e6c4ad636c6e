/*
 * The rules organizer's own copy of all rules, PidTagRwRulesStream ([MS-OXORULE] 3.1.4.2.4: opaque to
 * a server; layout as cpuu/formats/rulestream.h has it). Client-only and disabled rules exist nowhere
 * else, so the stream is rewritten whole and never taken apart.
 */
#ifndef CPUU_PLUGINS_RULES_STREAM_H
#define CPUU_PLUGINS_RULES_STREAM_H

#include "common/rulekit.h"

/* First pass: collects the links of a stream; one that cannot be read has none. */
void stream_collect(kit_relink *links, cpuu_blob stream, bool at_target);
/* How many rules a stream says it has; 0 when it cannot be read. */
uint32_t stream_count(cpuu_blob stream);
/*
 * Second pass: the stream for the target. Rules with a link that has no place there are switched off
 * in it, as their copies on the server are. Each rule that is on, and is not one of the `reported`
 * ones, gets its decision; `reported` NULL: none does. *readable false: it is not such a stream, `out`
 * is empty.
 */
cpuu_rc stream_rewrite(kit_rule_job *job, cpuu_blob stream, bool at_target,
                       const kit_rules *reported, cpuu_buf *out, bool *readable);

#endif
