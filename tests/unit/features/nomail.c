/* Ends of the mailbox layer that these tests never reach. */
#include "mailbox/mailbox.h"
#include "translate/translate.h"

#include <stdlib.h>

cpuu_rc cpuu_mail_run(cpuu_mail *m, cpuu_mail_op *o, size_t n, cpuu_error *e)
{
    (void)m, (void)o, (void)n, (void)e;
    abort();
}
cpuu_rc cpuu_mail_open_all(cpuu_mail *m, cpuu_mail_open *o, size_t n, cpuu_error *e)
{
    (void)m, (void)o, (void)n, (void)e;
    abort();
}
void cpuu_mail_op_clear(cpuu_mail_op *op)
{
    (void)op;
}
const cpuu_mailbox_info *cpuu_mailbox_get_info(const cpuu_mailbox *box)
{
    (void)box;
    abort();
}
bool cpuu_mailbox_role(const cpuu_mailbox *box, uint32_t role, cpuu_blob *eid)
{
    (void)box, (void)role, (void)eid;
    abort();
}
cpuu_rc cpuu_translate_links(cpuu_translate *t, cpuu_link *links, size_t n, cpuu_error *err)
{
    (void)t, (void)links, (void)n, (void)err;
    abort();
}
