/* Two features of one plugin; the first in the list wants to run last. */
#include "mock.h"

static cpuu_rc CPUU_CALL update(const cpuu_host *host, cpuu_run *run)
{
    (void)host;
    (void)run;
    return CPUU_OK;
}

static const char *const LAST[] = {"MockFirst", "NotInstalled", NULL};
static const cpuu_feature last = {.size = sizeof(cpuu_feature),
                                  .name = "MockLast",
                                  .title = "Mock last",
                                  .after = LAST,
                                  .update = update};
static const cpuu_feature first = MOCK_FEATURE("MockFirst", 0, 0, update);
MOCK_PLUGIN(CPUU_ABI_VERSION, &last, &first)
