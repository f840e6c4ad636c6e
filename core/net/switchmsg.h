/* The Switch Message (D5): an associated message in the source Inbox that says where a mailbox went. */
#ifndef CPUU_NET_SWITCHMSG_H
#define CPUU_NET_SWITCHMSG_H

#include "base/error.h"

#include <stdbool.h>

#define CPUU_SWITCH_CLASS   "IPM.Configuration.CPUU.Switch"
#define CPUU_RECREATE_CLASS "IPM.Configuration.CPUU.Recreate"

typedef struct cpuu_switch_message {
    char target_dn[1024];
    char target_smtp[512];
    bool office365;
} cpuu_switch_message;

/* Parses the XML of PidTagRoamingXmlStream. CPUU_E_FORMAT names what is wrong: an unknown version or
 * element, a field missing, twice or not valid. Pure. */
cpuu_rc cpuu_switch_parse(const void *xml, size_t size, cpuu_switch_message *out, cpuu_error *err);
/* The same for a Recreate message, which says nothing but that it is one. */
cpuu_rc cpuu_recreate_parse(const void *xml, size_t size, cpuu_error *err);
/* The XML for a message into out, NUL-terminated; CPUU_E_FORMAT when a field is not valid. */
cpuu_rc cpuu_switch_format(const cpuu_switch_message *m, char *out, size_t out_size,
                           cpuu_error *err);

#endif
