/* Says nothing about itself. */
#include "mock.h"

static const cpuu_feature feature = {.size = sizeof(cpuu_feature), .name = "MockNulls"};
MOCK_PLUGIN(CPUU_ABI_VERSION, &feature)
