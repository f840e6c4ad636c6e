/* Does not want this host. */
#include <cpuu/plugin.h>

const cpuu_plugin *CPUU_CALL cpuu_plugin_query(uint32_t host_abi)
{
    (void)host_abi;
    return NULL;
}
