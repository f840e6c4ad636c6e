/* Two features that wait for each other. */
#include "mock.h"

static cpuu_rc CPUU_CALL update(const cpuu_host *host, cpuu_run *run)
{
    (void)host;
    (void)run;
    return CPUU_OK;
}

static const char *const A[] = {"MockHen", NULL}, *const B[] = {"MockEgg", NULL};
static const cpuu_feature egg = {
    .size = sizeof(cpuu_feature), .name = "MockEgg", .title = "Egg", .after = A, .update = update};
static const cpuu_feature hen = {
    .size = sizeof(cpuu_feature), .name = "MockHen", .title = "Hen", .after = B, .update = update};
MOCK_PLUGIN(CPUU_ABI_VERSION, &egg, &hen)
