/* Built for a later minor: every structure has grown at its end, so that strides differ. */
#include "mock.h"

typedef struct late_query {
    cpuu_query q;
    uint64_t added[3];
} late_query;
typedef struct late_feature {
    cpuu_feature f;
    const void *added[2];
} late_feature;
typedef struct late_plugin {
    cpuu_plugin p;
    uint64_t added;
} late_plugin;

static const uint32_t TAGS[] = {0x001A001Fu};
static const late_query READS[] = {
    {.q = {.size = sizeof(late_query),
           .side = CPUU_SOURCE,
           .what = CPUU_HIDDEN,
           .role = CPUU_ROLE_COMMON_VIEWS,
           .n_tags = 1,
           .tags = TAGS,
           .filter = "A"},
     .added = {~0ull, ~0ull, ~0ull}},
    {.q = {.size = sizeof(late_query),
           .side = CPUU_TARGET,
           .what = CPUU_HIDDEN,
           .role = CPUU_ROLE_COMMON_VIEWS,
           .n_tags = 1,
           .tags = TAGS,
           .filter = "B"},
     .added = {~0ull, ~0ull, ~0ull}},
};

static cpuu_rc CPUU_CALL update(const cpuu_host *host, cpuu_run *run)
{
    (void)host;
    (void)run;
    return CPUU_OK;
}

static const late_feature feature = {.f = {.size = sizeof(late_feature),
                                           .needs = CPUU_NEED_SOURCE | CPUU_NEED_TARGET,
                                           .n_reads = 2,
                                           .name = "MockFuture",
                                           .title = "Mock of a later minor",
                                           .reads = &READS[0].q,
                                           .update = update}};
static const cpuu_feature *const FEATURES[] = {&feature.f, NULL};
static const late_plugin PLUGIN = {
    .p = {sizeof(late_plugin), CPUU_ABI_VERSION + 9, "2.0", "mock", "MIT", FEATURES}};

const cpuu_plugin *CPUU_CALL cpuu_plugin_query(uint32_t host_abi)
{
    (void)host_abi;
    return &PLUGIN.p;
}
