#include "base/error.h"

#include <cpuu/formats/bytes.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Makes text one line of whole UTF-8 characters. */
static void tidy(char *text)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = ' ';
    }
    while (n > 0 && !cpuu_utf8_valid(text, n) && (text[n - 1] & 0x80))
        text[--n] = 0; /* vsnprintf may have cut a character in two */
}

cpuu_rc cpuu_fail(cpuu_error *err, cpuu_rc rc, const char *fmt, ...)
{
    if (!err)
        return rc;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof(err->text), fmt, ap);
    va_end(ap);
    tidy(err->text);
    err->rc = rc;
    err->detail = 0;
    return rc;
}

cpuu_rc cpuu_fail_errno(cpuu_error *err, int errnum, const char *fmt, ...)
{
    cpuu_rc rc = errnum == ENOMEM                       ? CPUU_E_NOMEM
                 : errnum == ENOENT                     ? CPUU_E_NOTFOUND
                 : errnum == EACCES || errnum == EPERM  ? CPUU_E_ACCESS
                                                        : CPUU_E_IO;
    if (!err)
        return rc;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof(err->text), fmt, ap);
    va_end(ap);
    size_t n = strlen(err->text);
    snprintf(err->text + n, sizeof(err->text) - n, ": %s", strerror(errnum));
    tidy(err->text);
    err->rc = rc;
    err->detail = (uint32_t)errnum;
    return rc;
}

cpuu_rc cpuu_wrap(cpuu_error *err, const char *fmt, ...)
{
    if (!err)
        return CPUU_E_FAILED;
    char old[sizeof(err->text)];
    memcpy(old, err->text, sizeof(old));
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof(err->text), fmt, ap);
    va_end(ap);
    size_t n = strlen(err->text);
    snprintf(err->text + n, sizeof(err->text) - n, ": %s", old);
    tidy(err->text);
    return err->rc;
}

cpuu_rc cpuu_nomem(cpuu_error *err)
{
    return cpuu_fail(err, CPUU_E_NOMEM, "out of memory");
}
