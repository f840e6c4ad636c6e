/*
 * Independent test data outside the repository: $CPUU_ORACLES, else ../shared/oracles beside the
 * source tree. A test that needs it says "SKIP: <test>: <why>" and passes where it is absent.
 */
#ifndef CPUU_TESTS_ORACLE_H
#define CPUU_TESTS_ORACLE_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef CPUU_SRCDIR
#define CPUU_SRCDIR "."
#endif

/* Path of a file or folder of the oracles in a static buffer, or NULL (and a SKIP line). */
static inline const char *oracle_path(const char *test, const char *relative)
{
    static char path[4096];
    const char *dir = getenv("CPUU_ORACLES");
    if (dir && *dir)
        snprintf(path, sizeof(path), "%s/%s", dir, relative);
    else
        snprintf(path, sizeof(path), "%s/../shared/oracles/%s", CPUU_SRCDIR, relative);
    if (access(path, R_OK) == 0)
        return path;
    printf("SKIP: %s: no independent data (%s)\n", test, relative);
    return NULL;
}

#endif
