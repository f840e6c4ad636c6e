/* MAPI and ec error codes as words and as results ([MS-OXCDATA] 2.4; some also seen as bare ec codes). */
#ifndef CPUU_MAPIHTTP_ERRORS_H
#define CPUU_MAPIHTTP_ERRORS_H

#include "base/error.h"

/* "ecAccessDenied: no right to do that"; for a code that is not in the table "unknown error". Never NULL. */
const char *cpuu_mapi_words(uint32_t code);
/* CPUU_OK for 0 and for warnings; else the nearest CPUU_E_* (CPUU_E_FAILED when nothing is nearer). */
cpuu_rc cpuu_mapi_rc(uint32_t code);
/* "<fmt>: 0x80070005 ecAccessDenied: ..." with code kept as err->detail; returns cpuu_mapi_rc(code), and
 * CPUU_E_FAILED when that would be CPUU_OK. */
cpuu_rc cpuu_mapi_fail(cpuu_error *err, uint32_t code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
