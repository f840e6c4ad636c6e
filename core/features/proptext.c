#include "features/proptext.h"

#include "base/mem.h"
#include "base/text.h"

#include <cpuu/formats/entryid.h>
#include <cpuu/formats/propvalue.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct prop_name {
    uint16_t id;
    const char *name;
} prop_name;

/* Ids that several message classes use ([MS-OXODLGT] 2.2.2.2, [MS-OXOSRCH] 2.2.1.2, [MS-OXOCFG] 2.2.9):
 * the type tells. Where it does not, both names are given. */
static const struct {
    uint32_t tag;
    const char *name;
} shared_names[] = {
    {0x68410003, "PidTagSearchFolderTemplateId"},
    {0x6842000B, "PidTagScheduleInfoDelegatorWantsCopy"},
    {0x68420102, "PidTagWlinkGroupHeaderID or PidTagSearchFolderId"},
    {0x6843000B, "PidTagScheduleInfoDontMailDelegates"},
    {0x68440102, "PidTagSearchFolderRecreateInfo"},
    {0x6844101F, "PidTagScheduleInfoDelegateNames"},
    {0x68450102, "PidTagSearchFolderDefinition"},
    {0x68451102, "PidTagScheduleInfoDelegateEntryIds"},
    {0x68460003, "PidTagSearchFolderStorageType"},
    {0x68470003, "PidTagWlinkSaveStamp or PidTagSearchFolderTag"},
    {0x68480003, "PidTagSearchFolderEfpFlags"},
    {0x68490003, "PidTagWlinkType"},
    {0x684A0003, "PidTagWlinkFlags"},
    {0x684A101F, "PidTagScheduleInfoDelegateNamesW"},
    {0x684B000B, "PidTagScheduleInfoDelegatorWantsInfo"},
    {0x684B0102, "PidTagWlinkOrdinal"},
    {0x686B1003, "PidTagDelegateFlags"},
};

/* [MS-OXPROPS]; other properties that features change. */
static const prop_name mailbox_names[] = {
    {0x001A, "PidTagMessageClass"},
    {0x0037, "PidTagSubject"},
    {0x0E1D, "PidTagNormalizedSubject"},
    {0x3001, "PidTagDisplayName"},
    {0x65E9, "PidTagRuleMessageState"},
    {0x65EB, "PidTagRuleMessageProvider"},
    {0x65EC, "PidTagRuleMessageName"},
    {0x6676, "PidTagRuleSequence"},
    {0x6677, "PidTagRuleState"},
    {0x6679, "PidTagRuleCondition"},
    {0x6680, "PidTagRuleActions"},
    {0x6681, "PidTagRuleProvider"},
    {0x6682, "PidTagRuleName"},
    {0x6684, "PidTagRuleProviderData"},
    {0x6802, "PidTagRwRulesStream"},
    {0x684C, "PidTagWlinkEntryId"},
    {0x684D, "PidTagWlinkRecordKey"},
    {0x684E, "PidTagWlinkStoreEntryId"},
    {0x684F, "PidTagWlinkFolderType"},
    {0x6850, "PidTagWlinkGroupClsid"},
    {0x6851, "PidTagWlinkGroupName"},
    {0x6852, "PidTagWlinkSection"},
    {0x6853, "PidTagWlinkCalendarColor"},
    {0x6854, "PidTagWlinkAddressBookEID"},
    {0x6890, "PidTagWlinkClientID"},
    {0x6891, "PidTagWlinkAddressBookStoreEID"},
    {0x6892, "PidTagWlinkROGroupType"},
    {0x7C06, "PidTagRoamingDatatypes"},
    {0x7C09, "PidTagRoamingBinary"},
    {0x0E99, "PidTagExtendedRuleMessageActions"},
    {0x0E9A, "PidTagExtendedRuleMessageCondition"},
};

/* Profile sections: names of the public headers for Exchange profiles; CONTAB's are descriptions. */
static const prop_name section_names[] = {
    {0x022A, "move-to folders"},
    {0x031E, "names of the move-to folders"},
    {0x0390, "other users' folders"},
    {0x0408, "last move-to folder"},
    {0x0409, "store of the last move-to folder"},
    {0x0FF9, "record key"},
    {0x0FFF, "EntryID"},
    {0x3001, "display name"},
    {0x3D05, "PR_AB_SEARCH_PATH"},
    {0x3D06, "PR_AB_DEFAULT_DIR"},
    {0x3D07, "PR_AB_DEFAULT_PAB"},
    {0x6620, "folders of the address book"},
    {0x6622, "store names (8-bit)"},
    {0x6626, "stores of the address book"},
    {0x6627, "store names"},
    {0x660B, "PR_PROFILE_MAILBOX"},
    {0x660C, "PR_PROFILE_SERVER"},
    {0x6614, "PR_PROFILE_SERVER_DN"},
    {0x662B, "PR_PROFILE_SERVER_FQDN"},
    {0x6641, "PR_PROFILE_USER_SMTP_EMAIL_ADDRESS"},
};

const char *cpuu_prop_name(uint32_t tag, bool section, char *out, size_t out_size)
{
    const prop_name *names = section ? section_names : mailbox_names;
    size_t n = section ? sizeof(section_names) / sizeof(*section_names)
                       : sizeof(mailbox_names) / sizeof(*mailbox_names);
    for (size_t i = 0; !section && i < sizeof(shared_names) / sizeof(*shared_names); i++) {
        if (shared_names[i].tag == tag) {
            snprintf(out, out_size, "%s", shared_names[i].name);
            return out;
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (names[i].id == tag >> 16) {
            snprintf(out, out_size, "%s", names[i].name);
            return out;
        }
    }
    snprintf(out, out_size, "0x%08" PRIX32, tag);
    return out;
}

static char *hex_text(cpuu_blob data)
{
    char hex[65];
    const uint32_t n = data.size < 32 ? data.size : 32;
    cpuu_hex(hex, data.data, n);
    return cpuu_asprintf("%s%s (%" PRIu32 " bytes)", hex, n < data.size ? "..." : "", data.size);
}

/* What an EntryID names; NULL when the bytes are none, or of a kind nothing readable is in. */
static char *eid_text(cpuu_blob data)
{
    cpuu_eid eid;
    cpuu_blob inner, dn;
    char guid[39], counter[13];
    if (!cpuu_eid_decode(data, &eid, NULL) || eid.kind == CPUU_EID_UNKNOWN)
        return NULL;
    if (cpuu_eid_inner(&eid, &inner))
        return inner.size < data.size ? eid_text(inner) : NULL;
    if (eid.kind == CPUU_EID_AB)
        return cpuu_asprintf("%.*s", (int)eid.u.ab.dn.size, (const char *)eid.u.ab.dn.data);
    if (eid.kind == CPUU_EID_STORE && cpuu_eid_store_dn(&eid, &dn)) {
        cpuu_buf smtp;
        cpuu_buf_init(&smtp, 2048);
        bool known = cpuu_eid_store_smtp(&eid, &smtp) && cpuu_buf_u8(&smtp, 0);
        char *text = known ? cpuu_asprintf("mailbox %s", (const char *)smtp.data)
                           : cpuu_asprintf("mailbox %.*s", (int)dn.size, (const char *)dn.data);
        cpuu_buf_free(&smtp);
        return text;
    }
    if (eid.kind != CPUU_EID_FOLDER && eid.kind != CPUU_EID_FOLDER_PUBLIC)
        return cpuu_strdup(cpuu_eid_kind_name(eid.kind));
    cpuu_guid_text(guid, eid.provider);
    cpuu_hex(counter, eid.u.folder.id.counter, sizeof(eid.u.folder.id.counter));
    return cpuu_asprintf("folder %s of store %s", counter, guid);
}

char *cpuu_prop_text(const cpuu_prop *p)
{
    if (!p->present)
        return NULL;
    const uint8_t *d = p->data.data;
    char *text = NULL;
    switch (p->tag & 0xffffu) {
    case CPUU_PT_STRING:
    case CPUU_PT_STRING8: {
        size_t n = p->data.size < 200 ? p->data.size : 200;
        while (n > 0 && n < p->data.size && (d[n] & 0xc0) == 0x80)
            n--; /* not inside a character */
        return cpuu_asprintf("%.*s%s", (int)n, (const char *)d, n < p->data.size ? "..." : "");
    }
    case CPUU_PT_INT32:
        return p->data.size == 4 ? cpuu_asprintf("%" PRId32, (int32_t)cpuu_le32(d))
                                 : hex_text(p->data);
    case CPUU_PT_BOOL:
        return cpuu_strdup(p->data.size && d[0] ? "true" : "false");
    case CPUU_PT_BINARY:
        text = eid_text(p->data);
        return text ? text : hex_text(p->data);
    default:
        return hex_text(p->data);
    }
}
