/* Built for the next major interface. Everything behind `abi` is unreadable. */
#include <cpuu/plugin.h>

static const struct {
    uint32_t size, abi;
    uintptr_t junk[6];
} PLUGIN = {64, CPUU_ABI_MAKE(CPUU_ABI_MAJOR(CPUU_ABI_VERSION) + 1, 0), {1, 1, 1, 1, 1, 1}};

const cpuu_plugin *CPUU_CALL cpuu_plugin_query(uint32_t host_abi)
{
    (void)host_abi;
    return (const cpuu_plugin *)&PLUGIN;
}
