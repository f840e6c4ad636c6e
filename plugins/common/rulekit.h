/*
 * Rules as a server keeps them: rows of a rules table ([MS-OXORULE] 2.2.1.3) and rule messages
 * ([MS-OXORULE] 2.2.4), which hold the same things in other encodings. Used by the features that own
 * such rules; each sees only the ones of its providers.
 */
#ifndef CPUU_PLUGINS_RULEKIT_H
#define CPUU_PLUGINS_RULEKIT_H

#include "common/relink.h"

#include <cpuu/formats/ruleaction.h>

enum kit_rule_column {
    KR_SEQUENCE, KR_STATE, KR_USER_FLAGS, KR_LEVEL, KR_PROVIDER, KR_NAME, KR_PROVIDER_DATA,
    KR_CONDITION, KR_ACTIONS, KR_CLASS, KR_COLUMNS
};
extern const uint32_t kit_rule_row_tags[KR_COLUMNS - 1]; /* a table has no message class */
extern const uint32_t kit_rule_message_tags[KR_COLUMNS];

#define KR_ENABLED 0x01u /* [MS-OXORULE] 2.2.1.3.1.3 */
#define KR_ERRORS  0x42u /* ST_ERROR and ST_RULE_PARSE_ERROR: the server's own */

typedef struct kit_rule {
    cpuu_blob id;
    const cpuu_value *v; /* KR_COLUMNS, in a table one less */
    bool taken;          /* of the target: matched already */
} kit_rule;

typedef struct kit_rules {
    cpuu_form form; /* CPUU_FORM_RULE: a table; CPUU_FORM_EXTENDED: messages */
    kit_rule *items;
    uint32_t count, cap;
} kit_rules;

/* A reply template of the source, and where it is at the target. */
typedef struct kit_template {
    cpuu_blob id, guid;
    cpuu_blob target_id; /* empty: it has none */
} kit_template;

typedef struct kit_rule_job {
    const cpuu_host *host;
    cpuu_run *run;
    kit_relink links;
    const kit_template *templates;
    uint32_t n_templates;
    bool quiet; /* copies of rules that are reported elsewhere: no decisions */
} kit_rule_job;

/* Takes the rows of one query. */
cpuu_rc kit_rules_take(const kit_rule_job *job, cpuu_rows *rows, kit_rules *out);
void kit_rules_free(kit_rules *set);

bool kit_rule_enabled(const kit_rule *rule);
/* True when the provider of the rule starts with `prefix`; case and blanks do not count, since one
 * string is documented with a blank that others leave out. */
bool kit_rule_provided_by(const kit_rule *rule, const char *prefix);

/* First pass: collects the links of a rule. A rule that cannot be read has none. The folder ids of a
 * rule at the target are not links: they are its own already. */
void kit_rule_collect(kit_rule_job *job, cpuu_form form, const kit_rule *rule, bool at_target);
/*
 * Second pass: brings one source rule to the target and reports it. The target's rule of that
 * identity is corrected in place, where it still is what the source has or names people of the source;
 * a missing one is created. A rule with a link that has no place at the target is disabled there.
 */
cpuu_rc kit_rule_upsert(kit_rule_job *job, const kit_rule *source, kit_rules *target, bool create);

#endif
