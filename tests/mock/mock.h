/* Shared by the mock plugins: the smallest feature and the entry point. */
#ifndef CPUU_TESTS_MOCK_H
#define CPUU_TESTS_MOCK_H

#include <cpuu/plugin.h>

#define MOCK_FEATURE(word, needs_, links_, update_)                                                \
    {                                                                                              \
        .size = sizeof(cpuu_feature), .needs = (needs_), .links = (links_), .name = word,          \
        .title = "Mock " word, .update = (update_)                                                 \
    }

#define MOCK_PLUGIN(abi_, ...)                                                                     \
    static const cpuu_feature *const FEATURES[] = {__VA_ARGS__, NULL};                             \
    static const cpuu_plugin PLUGIN = {                                                            \
        sizeof(cpuu_plugin), (abi_), "1.0", "mock", "MIT", FEATURES};                              \
    const cpuu_plugin *CPUU_CALL cpuu_plugin_query(uint32_t host_abi)                              \
    {                                                                                              \
        (void)host_abi;                                                                            \
        return &PLUGIN;                                                                            \
    }

#endif
