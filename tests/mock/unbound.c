/* Calls what does not exist: must be refused when it is loaded, not when it is called. */
#include "mock.h"

cpuu_rc cpuu_mock_function_that_nobody_has(void);

static cpuu_rc CPUU_CALL update(const cpuu_host *host, cpuu_run *run)
{
    (void)host;
    (void)run;
    return cpuu_mock_function_that_nobody_has();
}

static const cpuu_feature feature = MOCK_FEATURE("MockUnbound", 0, 0, update);
MOCK_PLUGIN(CPUU_ABI_VERSION, &feature)
