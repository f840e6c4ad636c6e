/* One request to an address book about many people or names; see facts.h. */
#include "translate/facts.h"

#include <string.h>

cpuu_rc cpuu_question_open(cpuu_question *q, size_t most, cpuu_error *err)
{
    memset(q, 0, sizeof(*q));
    q->keys = cpuu_calloc(most, sizeof(*q->keys));
    q->who = cpuu_calloc(most, sizeof(*q->who));
    q->answers = cpuu_calloc(most, sizeof(*q->answers));
    return q->keys && q->who && q->answers ? CPUU_OK : cpuu_nomem(err);
}

void cpuu_question_add(cpuu_question *q, size_t who, const char *key)
{
    q->keys[q->n] = key;
    q->who[q->n++] = who;
}

cpuu_rc cpuu_question_ask(cpuu_question *q, cpuu_translate *t, cpuu_directory *directory,
                          cpuu_error *err)
{
    q->op = (cpuu_mail_op){.verb = CPUU_MAIL_LOOKUP,
                           .directory = directory,
                           .keys = q->keys,
                           .n_keys = (uint32_t)q->n,
                           .people = q->answers};
    cpuu_rc rc = q->n ? cpuu_mail_run(t->o.mail, &q->op, 1, err) : CPUU_OK;
    if (rc == CPUU_OK && q->op.rc < 0)
        q->n = 0;
    return rc;
}

void cpuu_question_close(cpuu_question *q)
{
    cpuu_mail_op_clear(&q->op);
    cpuu_free(q->keys);
    cpuu_free(q->who);
    cpuu_free(q->answers);
}
