/* A Switch Message that anybody may have written. What is accepted can be written and read again. */
#include "net/switchmsg.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char xml[16384];
    cpuu_switch_message m, again;
    cpuu_error err = CPUU_ERROR_INIT;
    if (cpuu_switch_parse(data, size, &m, &err) < 0)
        return 0;
    if (cpuu_switch_format(&m, xml, sizeof(xml), &err) < 0 ||
        cpuu_switch_parse(xml, strlen(xml), &again, &err) < 0 ||
        strcmp(m.target_dn, again.target_dn) != 0 ||
        strcmp(m.target_smtp, again.target_smtp) != 0 || m.office365 != again.office365)
        abort();
    return 0;
}
