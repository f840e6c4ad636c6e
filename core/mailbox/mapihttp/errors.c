/*
 * MAPI error codes in words. Names and values are those of [MS-OXCDATA] 2.4 and of the Return
 * Values in [MS-OXCRPC] 3.1.4.1 and [MS-OXCSTOR] 3.2.5.1; the words are ours.
 */
#include "mailbox/mapihttp/errors.h"

#include <stdarg.h>
#include <stdio.h>

typedef struct entry {
    uint32_t code;
    cpuu_rc rc;
    const char *words;
} entry;

static const entry table[] = {
    {0x00000000, CPUU_OK, "success"},
    {0x00040380, CPUU_OK, "ErrorsReturned: some values could not be read"},
    {0x00040680, CPUU_OK, "PartialCompletion: only a part was done"},
    {0x000003EB, CPUU_E_NOTFOUND, "ecUnknownUser: the server knows no such user"},
    {0x000003EF, CPUU_E_FAILED, "ecUnknownCodePage: code page not known to the server"},
    {0x000003F2, CPUU_E_ACCESS, "ecLoginPerm: no permission to log on to that mailbox"},
    {0x00000460, CPUU_E_FAILED, "ecSearchFolder: not possible for a search folder"},
    {0x00000461, CPUU_E_FAILED, "ecNotSearchFolder: the folder is not a search folder"},
    {0x00000469, CPUU_E_NOTFOUND, "ecNoReplicaAvailable: no server has that public folder"},
    {0x00000478, CPUU_E_FAILED, "ecWrongServer: the mailbox is on another server"},
    {0x0000047D, CPUU_E_TOOBIG, "ecBufferTooSmall: the response does not fit"},
    {0x0000047F, CPUU_E_BUSY, "ecServerPaused: the server asks to come back later"},
    {0x00000480, CPUU_E_BUSY, "ecServerBusy: the server asks to come back later"},
    {0x00000490, CPUU_E_FAILED, "ecSearchFolderScopeViolation: scope not possible"},
    {0x000004B6, CPUU_E_FORMAT, "ecRpcFormat: the server could not read the request"},
    {0x000004B9, CPUU_E_FAILED, "ecNullObject: the object it refers to was not opened"},
    {0x000004D9, CPUU_E_TOOBIG, "ecQuotaExceeded: the mailbox is over its quota"},
    {0x000004DF, CPUU_E_ACCESS, "ecClientVerDisallowed: client version is blocked"},
    {0x000004E0, CPUU_E_ACCESS, "ecRpcHttpDisallowed: remote access is disabled for this user"},
    {0x000004E1, CPUU_E_ACCESS, "ecCachedModeRequired: the server allows cached mode only"},
    {0x000006F7, CPUU_E_TOOBIG, "the request is larger than the server accepts"},
    {0x000007D8, CPUU_E_ACCESS, "ecProtocolDisabled: MAPI access is disabled for this user"},
    {0x000007EE, CPUU_E_FAILED, "ecRejected: the server rejected the request"},
    {0x00000970, CPUU_E_ACCESS, "ecNotEncrypted: the server requires encryption"},
    {0x80004002, CPUU_E_UNSUPPORTED, "ecInterfaceNotSupported: not possible for that object"},
    {0x80004005, CPUU_E_FAILED, "ecError: the server reports a general failure"},
    {0x80040102, CPUU_E_UNSUPPORTED, "ecNotSupported: the server does not support that"},
    {0x80040103, CPUU_E_FAILED, "ecBadCharwidth: wrong kind of text"},
    {0x80040105, CPUU_E_TOOBIG, "ecStringTooLarge: a text is too long"},
    {0x80040106, CPUU_E_FAILED, "ecUnknownFlags: the server does not know a flag"},
    {0x80040107, CPUU_E_FORMAT, "ecInvalidEntryId: the server does not accept the EntryID"},
    {0x80040108, CPUU_E_FAILED, "ecInvalidObject: the object is no longer valid"},
    {0x80040109, CPUU_E_CONFLICT, "ecObjectModified: somebody else changed the object"},
    {0x8004010A, CPUU_E_NOTFOUND, "ecObjectDeleted: the object was deleted meanwhile"},
    {0x8004010B, CPUU_E_BUSY, "ecBusy: the server is busy"},
    {0x8004010D, CPUU_E_FAILED, "ecDiskFull: the server has no disk space left"},
    {0x8004010E, CPUU_E_FAILED, "ecInsufficientResrc: the server is short of resources"},
    {0x8004010F, CPUU_E_NOTFOUND, "ecNotFound: no such object, or no right to see it"},
    {0x80040110, CPUU_E_UNSUPPORTED, "ecVersion: versions do not fit together"},
    {0x80040111, CPUU_E_ACCESS, "ecLoginFailure: logon failed"},
    {0x80040112, CPUU_E_BUSY, "ecTooManySessions: too many sessions of this user are open"},
    {0x80040114, CPUU_E_FAILED, "ecUnableToAbort: the operation cannot be stopped"},
    {0x80040115, CPUU_E_FAILED, "ecRpcFailed: the server could not carry the request out"},
    {0x80040116, CPUU_E_FAILED, "ecWriteFault: the server could not write"},
    {0x80040117, CPUU_E_TOOBIG, "ecTooComplex: too complex for the server"},
    {0x8004011A, CPUU_E_ACCESS, "ecComputed: the server computes that value itself"},
    {0x8004011B, CPUU_E_FORMAT, "ecCorruptData: stored data is damaged"},
    {0x80040305, CPUU_E_TOOBIG, "ecTooBig: too big for the server"},
    {0x80040401, CPUU_E_FAILED, "ecTimeout: the server gave up"},
    {0x80040405, CPUU_E_FAILED, "ecInvalidBookmark: the place in the table is gone"},
    {0x80040600, CPUU_E_FORMAT, "ecCorruptStore: the mailbox is damaged"},
    {0x80040604, CPUU_E_EXISTS, "ecDuplicateName: the name is taken"},
    {0x80040900, CPUU_E_TOOBIG, "ecNPQuotaExceeded: no more named properties are possible"},
    {0x80070005, CPUU_E_ACCESS, "ecAccessDenied: no right to do that"},
    {0x8007000E, CPUU_E_TOOBIG, "ecMAPIOOM: too big, or the server is out of memory"},
    {0x80070057, CPUU_E_FORMAT, "ecInvalidParam: the server does not accept a parameter"},
};

static const entry *find(uint32_t code)
{
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (table[i].code == code)
            return &table[i];
    }
    return NULL;
}

const char *cpuu_mapi_words(uint32_t code)
{
    const entry *e = find(code);
    return e ? e->words : "unknown error";
}

cpuu_rc cpuu_mapi_rc(uint32_t code)
{
    const entry *e = find(code);
    return e ? e->rc : CPUU_E_FAILED;
}

cpuu_rc cpuu_mapi_fail(cpuu_error *err, uint32_t code, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    cpuu_rc rc = cpuu_mapi_rc(code);
    rc = cpuu_fail(err, rc < 0 ? rc : CPUU_E_FAILED, "%s: 0x%08X %s", text, code,
                   cpuu_mapi_words(code));
    if (err)
        err->detail = code;
    return rc;
}
