/* Values of the content file: tags and names, references resolved to binary ids, rules. */
#include "tests/lab/content.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- tags ------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    uint32_t tag;
} tag_names[] = {
    {"Class", 0x001A001F},
    {"Subject", 0x0037001F},
    {"Body", 0x1000001F},
    {"DisplayName", 0x3001001F},
    {"Comment", 0x3004001F},
    {"ContainerClass", 0x3613001F},
    {"RoamingDatatypes", 0x7C060003},
    {"RoamingXml", 0x7C080102},
    {"RoamingBinary", 0x7C090102},
    {"WlinkGroupHeaderID", 0x68420102},
    {"WlinkSaveStamp", 0x68470003},
    {"WlinkType", 0x68490003},
    {"WlinkFlags", 0x684A0003},
    {"WlinkOrdinal", 0x684B0102},
    {"WlinkEntryId", 0x684C0102},
    {"WlinkRecordKey", 0x684D0102},
    {"WlinkStoreEntryId", 0x684E0102},
    {"WlinkFolderType", 0x684F0102},
    {"WlinkGroupClsid", 0x68500102},
    {"WlinkGroupName", 0x6851001F},
    {"WlinkSection", 0x68520003},
    {"WlinkCalendarColor", 0x68530003},
    {"WlinkAddressBookEID", 0x68540102},
    {"WlinkClientID", 0x68900102},
    {"WlinkAddressBookStoreEID", 0x68910102},
    {"WlinkROGroupType", 0x68920003},
};

/* "{guid}:0x8085:0102" or "{guid}:Keywords:101F" */
static bool named_tag(content *c, const content_line *l, const char *text, uint32_t *tag)
{
    char guid[39], name[256];
    unsigned type;
    lab_name n = {{0}, 0, 0, NULL, 0};
    if (sscanf(text, "%38[^:]:%255[^:]:%4x", guid, name, &type) != 3 ||
        !cpuu_guid_parse(n.guid, guid))
        return content_fail(c, "'%s' is no named property", text);
    char *end;
    n.lid = (uint32_t)strtoul(name, &end, 0);
    n.kind = *end != 0;
    n.name = n.kind ? name : NULL;
    *tag = TAG(lab_name_id(l->store, &n, true), (uint16_t)type);
    return true;
}

static bool parse_tag(content *c, const content_line *l, const char *text, uint32_t *tag)
{
    char *end;
    if (*text == '{')
        return named_tag(c, l, text, tag);
    for (size_t i = 0; i < sizeof(tag_names) / sizeof(tag_names[0]); i++)
        if (cpuu_caseeq(tag_names[i].name, text)) {
            *tag = tag_names[i].tag;
            return true;
        }
    *tag = (uint32_t)strtoul(text, &end, 16);
    if (*end || !lab_known_type(TAG_TYPE(*tag)))
        return content_fail(c, "'%s' is no property tag", text);
    return true;
}

/* ---- binary expressions ---------------------------------------------------------------------- */

static bool add_hex(content *c, cpuu_buf *b, const char *hex)
{
    size_t n = strlen(hex);
    uint8_t *bytes = lab_calloc(1, n / 2 + 1);
    bool ok = n % 2 == 0 && cpuu_unhex(bytes, hex, n / 2);
    if (ok)
        cpuu_buf_add(b, bytes, n / 2);
    cpuu_free(bytes);
    return ok || content_fail(c, "'%s' is neither hex nor a reference", hex);
}

/* One-off EntryID, [MS-OXCDATA] 2.2.5.1: "display|type|address" */
bool content_one_off(content *c, cpuu_buf *b, const char *text)
{
    static const uint8_t provider[16] = {0x81, 0x2B, 0x1F, 0xA4, 0xBE, 0xA3, 0x10, 0x19,
                                         0x9D, 0x6E, 0x00, 0xDD, 0x01, 0x0F, 0x54, 0x02};
    char display[256], type[64], address[512];
    if (sscanf(text, "%255[^|]|%63[^|]|%511[^\n]", display, type, address) != 3)
        return content_fail(c, "oneoff: needs display|type|address");
    cpuu_buf_u32(b, 0);
    cpuu_buf_add(b, provider, 16);
    cpuu_buf_u16(b, 0);
    cpuu_buf_u16(b, 0x9001); /* Unicode, no rich info, don't look up */
    cpuu_buf_utf16(b, display, true);
    cpuu_buf_utf16(b, type, true);
    return cpuu_buf_utf16(b, address, true);
}

/* Wrapped member of a personal list, [MS-OXOCNTC] 2.2.2.2.4.1.1: a user of the address list. */
void content_member(cpuu_buf *b, const lab_user *u)
{
    static const uint8_t provider[16] = {0xC0, 0x91, 0xAD, 0xD3, 0x51, 0x9D, 0xCF, 0x11,
                                         0xA4, 0xA9, 0x00, 0xAA, 0x00, 0x47, 0xFA, 0xA4};
    cpuu_buf_u32(b, 0);
    cpuu_buf_add(b, provider, 16);
    cpuu_buf_u8(b, u->kind == LAB_LIST ? 0xB6 : 0xB5);
    lab_put_ab_eid(b, u->dn, lab_display_type(u));
}

bool content_message(content *c, cpuu_buf *b, const char *label, bool short_id)
{
    for (size_t i = 0; i < c->n_labels; i++)
        if (strcmp(c->labels[i].name, label) == 0) {
            const lab_message *m = c->labels[i].message;
            if (short_id)
                cpuu_buf_u64(b, lab_id(m->folder->store, m->counter));
            else
                lab_put_message_eid(b, m);
            return true;
        }
    return content_fail(c, "no item labelled '%s'", label);
}

static bool add_of_folder(content *c, const content_line *l, cpuu_buf *b, const char *ref, bool key)
{
    lab_folder *f = content_folder(c, l, ref);
    if (f && key)
        lab_put_id22(b, f->store, f->counter);
    else if (f)
        lab_put_folder_eid(b, f);
    return f != NULL;
}

static bool add_of_user(content *c, const content_line *l, cpuu_buf *b, const char *what,
                        const char *ref)
{
    const char *bare = strstr(ref, "public");
    if (strcmp(what, "store") == 0 && bare && strcmp(bare, "public") == 0) {
        char root[300];
        snprintf(root, sizeof(root), "%s:/", ref);
        lab_folder *f = content_folder(c, l, root);
        if (f)
            lab_put_store_eid(b, f->store);
        return f != NULL;
    }
    lab_user *u = content_user(c, l, ref);
    if (!u)
        return false;
    if (strcmp(what, "ab") == 0)
        lab_put_ab_eid(b, u->dn, lab_display_type(u));
    else if (strcmp(what, "member") == 0)
        content_member(b, u);
    else if (strcmp(what, "searchkey") == 0)
        lab_put_search_key(b, "EX", u->dn);
    else if (!u->store)
        return content_fail(c, "'%s' has no mailbox", ref);
    else
        lab_put_store_eid(b, u->store);
    return true;
}

/* "684C0102", "{guid}:name:type", or the latter as a property of another mailbox: "user/{guid}:..." */
static bool add_tag(content *c, const content_line *l, cpuu_buf *b, const char *text)
{
    const char *brace = strchr(text, '{');
    content_line other = *l;
    uint32_t tag;
    if (brace && brace > text) {
        char who[300];
        snprintf(who, sizeof(who), "%.*s", (int)(brace - text - 1), text);
        lab_user *u = content_user(c, l, who);
        if (!u || !u->store)
            return u && content_fail(c, "'%s' has no mailbox", who);
        other.store = u->store;
        text = brace;
    }
    return parse_tag(c, &other, text, &tag) && cpuu_buf_u32(b, tag);
}

static bool add_binary(content *c, const content_line *l, cpuu_buf *b, const char *text)
{
    char what[16] = "";
    const char *colon = strchr(text, ':');
    if (!colon || (size_t)(colon - text) >= sizeof(what))
        return add_hex(c, b, text);
    snprintf(what, sizeof(what), "%.*s", (int)(colon - text), text);
    const char *rest = colon + 1;
    uint8_t guid[16];
    if (strcmp(what, "hex") == 0)
        return add_hex(c, b, rest);
    if (strcmp(what, "utf8") == 0)
        return cpuu_buf_add(b, rest, strlen(rest));
    if (strcmp(what, "utf16") == 0)
        return cpuu_buf_utf16(b, rest, true);
    if (strcmp(what, "abdn") == 0) {
        lab_put_ab_eid(b, rest, 0);
        return true;
    }
    if (strcmp(what, "oneoff") == 0)
        return content_one_off(c, b, rest);
    if (strcmp(what, "membermsg") == 0)
        return content_member_message(c, b, rest);
    if (strcmp(what, "liststream") == 0)
        return content_list_stream(c, l, b, rest);
    if (strncmp(what, "nick", 4) == 0)
        return content_nick(c, l, b, what, rest);
    if (strcmp(what, "msg") == 0)
        return content_message(c, b, rest, false);
    if (strcmp(what, "guid") == 0)
        return (cpuu_guid_parse(guid, rest) && cpuu_buf_add(b, guid, 16)) ||
               content_fail(c, "'%s' is no GUID", rest);
    if (strcmp(what, "text16") == 0)
        return cpuu_buf_utf16(b, rest, false);
    if (strcmp(what, "tag") == 0) {
        return add_tag(c, l, b, rest);
    }
    if (strcmp(what, "fid") == 0) {
        lab_folder *f = content_folder(c, l, rest);
        return f && cpuu_buf_u64(b, lab_id(f->store, f->counter));
    }
    if (strcmp(what, "mid") == 0)
        return content_message(c, b, rest, true);
    if (strcmp(what, "fill") == 0) {
        for (unsigned long i = 0, n = strtoul(rest, NULL, 0); i < n; i++)
            cpuu_buf_u8(b, (uint8_t)(i * 7));
        return !b->failed;
    }
    if (strcmp(what, "eid") == 0 || strcmp(what, "rk") == 0 || strcmp(what, "sk") == 0)
        return add_of_folder(c, l, b, rest, *what == 's');
    return add_of_user(c, l, b, what, rest);
}

/* ---- one value ------------------------------------------------------------------------------- */

static bool add_fixed(content *c, cpuu_buf *b, uint16_t type, const char *text)
{
    uint8_t guid[16];
    char *end;
    if (type == PT_CLSID)
        return (cpuu_guid_parse(guid, text) && cpuu_buf_add(b, guid, 16)) ||
               content_fail(c, "'%s' is no GUID", text);
    uint64_t n = *text == '-' ? (uint64_t)strtoll(text, &end, 0) : strtoull(text, &end, 0);
    if (!*text || *end)
        return content_fail(c, "'%s' is no number", text);
    for (uint32_t i = 0; i < lab_fixed_size(type); i++)
        cpuu_buf_u8(b, (uint8_t)(n >> (8 * i)));
    return true;
}

static bool add_single(content *c, const content_line *l, cpuu_buf *b, uint16_t type,
                       const char *text)
{
    if (lab_fixed_size(type))
        return add_fixed(c, b, type, text);
    if (type == PT_UNICODE)
        return cpuu_buf_utf16(b, text, false);
    if (type == PT_STRING8)
        return cpuu_buf_add(b, text, strlen(text));
    return add_binary(c, l, b, text);
}

static bool add_multi(content *c, const content_line *l, size_t first, cpuu_buf *b, uint16_t type)
{
    cpuu_buf_u32(b, (uint32_t)(l->n_words - first));
    for (size_t i = first; i < l->n_words; i++) {
        size_t at = b->size;
        if (type == PT_BINARY)
            cpuu_buf_u16(b, 0);
        if (!add_single(c, l, b, type, l->words[i]))
            return false;
        if (type == PT_BINARY)
            cpuu_buf_put_u16(b, at, (uint16_t)(b->size - at - 2));
        if (type == PT_UNICODE || type == PT_STRING8)
            cpuu_buf_add(b, "\0", type == PT_UNICODE ? 2 : 1);
    }
    return !b->failed;
}

/* Words that make up one value. "size8[" ... "]" (also 16, 32) puts the size of what is between in
 * front of it; "chars8[" counts 16-bit characters. */
static bool add_words(content *c, const content_line *l, size_t first, cpuu_buf *b, uint16_t type)
{
    struct {
        size_t at;
        unsigned width, unit;
    } open[16];
    size_t depth = 0;
    for (size_t i = first; i < l->n_words; i++) {
        const char *word = l->words[i];
        unsigned bits = 0;
        bool chars = sscanf(word, "chars%u[", &bits) == 1;
        if (type == PT_UNICODE || type == PT_STRING8 || lab_fixed_size(type)) {
            if (!add_single(c, l, b, type, word))
                return false;
        } else if (word[strlen(word) - 1] == '[' && (chars || sscanf(word, "size%u[", &bits) == 1)) {
            if (depth == 16 || (bits != 8 && bits != 16 && bits != 32))
                return content_fail(c, "'%s' cannot be opened here", word);
            open[depth].at = b->size;
            open[depth].width = bits / 8;
            open[depth++].unit = chars ? 2 : 1;
            cpuu_buf_fill(b, 0, bits / 8);
        } else if (strcmp(word, "]") == 0) {
            if (depth == 0)
                return content_fail(c, "']' closes nothing");
            depth--;
            size_t n = (b->size - open[depth].at - open[depth].width) / open[depth].unit;
            for (unsigned k = 0; k < open[depth].width; k++)
                b->data[open[depth].at + k] = (uint8_t)(n >> (8 * k));
        } else if (!add_single(c, l, b, type, word)) {
            return false;
        }
    }
    return depth == 0 || content_fail(c, "']' is missing");
}

static void set_subject(lab_props *bag, const cpuu_buf *b)
{
    lab_props_set(bag, 0x003D001F, "", 0);
    lab_props_set(bag, 0x0E1D001F, b->data, b->size);
}

bool content_prop(content *c, const content_line *l, size_t first, lab_props *bag)
{
    uint32_t tag;
    cpuu_buf b;
    if (!parse_tag(c, l, l->words[first], &tag))
        return false;
    cpuu_buf_init(&b, 16u << 20);
    bool ok = true;
    if (TAG_TYPE(tag) & PT_MV)
        ok = add_multi(c, l, first + 1, &b, TAG_TYPE(tag) & 0x0FFF);
    else
        ok = add_words(c, l, first + 1, &b, TAG_TYPE(tag));
    if (ok && tag == 0x0037001F)
        set_subject(bag, &b);
    else if (ok)
        lab_props_set(bag, tag, b.data, b.size);
    cpuu_buf_free(&b);
    return ok;
}

/* ---- rules ([MS-OXORULE] 2.2.1.3, 2.2.5) ----------------------------------------------------- */

static void put_tagged_text(cpuu_buf *b, uint32_t tag, const char *text)
{
    cpuu_buf_u32(b, tag);
    cpuu_buf_utf16(b, text, true);
}

static void put_tagged_u32(cpuu_buf *b, uint32_t tag, uint32_t v)
{
    cpuu_buf_u32(b, tag);
    cpuu_buf_u32(b, v);
}

static void put_tagged_id(cpuu_buf *b, uint32_t tag, const lab_user *u)
{
    cpuu_buf_u32(b, tag);
    size_t at = b->size;
    cpuu_buf_u16(b, 0);
    if (TAG_ID(tag) == 0x0FFF)
        lab_put_ab_eid(b, u->dn, lab_display_type(u));
    else
        lab_put_search_key(b, "EX", u->dn);
    cpuu_buf_put_u16(b, at, (uint16_t)(b->size - at - 2));
}

static bool put_condition(content *c, const content_line *l, cpuu_buf *b, const char *text)
{
    if (strncmp(text, "subject:", 8) == 0) {
        cpuu_buf_u8(b, 0x03);
        cpuu_buf_u32(b, 0x00010001); /* substring, ignoring case */
        cpuu_buf_u32(b, 0x0037001F);
        put_tagged_text(b, 0x0037001F, text + 8);
        return true;
    }
    if (strncmp(text, "from:", 5) == 0) {
        lab_user *u = content_user(c, l, text + 5);
        if (!u)
            return false;
        cpuu_buf_u8(b, 0x04);
        cpuu_buf_u8(b, 0x04);
        cpuu_buf_u32(b, 0x0C1D0102); /* PidTagSenderSearchKey */
        put_tagged_id(b, 0x0C1D0102, u);
        return true;
    }
    return add_hex(c, b, strncmp(text, "hex:", 4) == 0 ? text + 4 : text);
}

static void put_recipients(cpuu_buf *b, const lab_user *u)
{
    cpuu_buf_u16(b, 1);
    cpuu_buf_u8(b, 0);
    cpuu_buf_u16(b, 10);
    put_tagged_id(b, 0x0FFF0102, u);
    put_tagged_text(b, 0x3001001F, u->display);
    put_tagged_u32(b, 0x0FFE0003, 6);
    put_tagged_u32(b, 0x39000003, lab_display_type(u));
    put_tagged_text(b, 0x3A20001F, u->display);
    put_tagged_text(b, 0x3003001F, u->dn);
    put_tagged_text(b, 0x3002001F, "EX");
    put_tagged_text(b, 0x39FE001F, u->smtp);
    put_tagged_u32(b, 0x0C150003, 1);
    put_tagged_id(b, 0x300B0102, u);
}

static void put_move(cpuu_buf *b, const lab_folder *f)
{
    cpuu_buf_u8(b, 1); /* in this store */
    cpuu_buf_u16(b, 1);
    cpuu_buf_u8(b, 0);
    cpuu_buf_u16(b, 21);
    cpuu_buf_u8(b, 1); /* ServerEid */
    cpuu_buf_u64(b, lab_id(f->store, f->counter));
    cpuu_buf_fill(b, 0, 12);
}

static bool put_action(content *c, const content_line *l, cpuu_buf *b, const char *text)
{
    static const struct {
        const char *name;
        uint8_t type;
        char operand;
    } kinds[] = {{"move:", 0x01, 'f'},     {"copy:", 0x02, 'f'}, {"forward:", 0x07, 'u'},
                 {"delegate:", 0x08, 'u'}, {"delete", 0x0A, 0},  {"read", 0x0B, 0}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        size_t n = strlen(kinds[i].name);
        if (strncmp(text, kinds[i].name, n) != 0)
            continue;
        lab_folder *f = kinds[i].operand == 'f' ? content_folder(c, l, text + n) : NULL;
        lab_user *u = kinds[i].operand == 'u' ? content_user(c, l, text + n) : NULL;
        if ((kinds[i].operand == 'f' && !f) || (kinds[i].operand == 'u' && !u))
            return false;
        size_t at = b->size;
        cpuu_buf_u16(b, 0);
        cpuu_buf_u8(b, kinds[i].type);
        cpuu_buf_u32(b, 0);
        cpuu_buf_u32(b, 0);
        if (f)
            put_move(b, f);
        if (u)
            put_recipients(b, u);
        return cpuu_buf_put_u16(b, at, (uint16_t)(b->size - at - 2));
    }
    return content_fail(c, "unknown rule action '%s'", text);
}

static bool rule_words(content *c, const content_line *l, lab_rule *rule, cpuu_buf *condition,
                       cpuu_buf *actions)
{
    for (size_t i = 3; i < l->n_words; i++) {
        const char *word = l->words[i], *value = strchr(word, '=');
        size_t n = value ? (size_t)(value - word) : 0;
        if (!value)
            return content_fail(c, "expected key=value, not '%s'", word);
        value++;
        if (strncmp(word, "seq", n) == 0)
            lab_props_set_u32(&rule->props, 0x66760003, (uint32_t)atoi(value));
        else if (strncmp(word, "state", n) == 0)
            lab_props_set_u32(&rule->props, 0x66770003, (uint32_t)strtoul(value, NULL, 0));
        else if (strncmp(word, "provider", n) == 0)
            lab_props_set_text(&rule->props, 0x6681, value);
        else if (strncmp(word, "if", n) == 0) {
            if (!put_condition(c, l, condition, value))
                return false;
        } else if (strncmp(word, "do", n) == 0) {
            actions->data[0]++;
            if (!put_action(c, l, actions, value))
                return false;
        } else if (strncmp(word, "actions", n) == 0) {
            cpuu_buf_reset(actions);
            if (!add_hex(c, actions, value))
                return false;
        } else {
            return content_fail(c, "unknown rule word '%s'", word);
        }
    }
    return true;
}

bool content_rule(content *c, const content_line *l, lab_props **bag)
{
    static const uint8_t provider_data[16] = {1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xE6, 0x40};
    lab_folder *f = content_folder(c, l, l->words[1]);
    if (!f)
        return false;
    lab_rule *rule = lab_rule_new(f);
    cpuu_buf condition, actions;
    cpuu_buf_init(&condition, 65536);
    cpuu_buf_init(&actions, 65536);
    cpuu_buf_u16(&actions, 0);
    lab_props_set_u32(&rule->props, 0x66760003, (uint32_t)f->n_rules + 9);
    lab_props_set_u32(&rule->props, 0x66770003, 1);
    lab_props_set_u32(&rule->props, 0x66780003, 0);
    lab_props_set_u32(&rule->props, 0x66830003, 0);
    lab_props_set(&rule->props, 0x66840102, provider_data, sizeof(provider_data));
    lab_props_set_text(&rule->props, 0x6681, "RuleOrganizer");
    lab_props_set_text(&rule->props, 0x6682, l->words[2]);
    bool ok = rule_words(c, l, rule, &condition, &actions);
    if (ok) {
        lab_props_set(&rule->props, 0x667900FD, condition.data, condition.size);
        lab_props_set(&rule->props, 0x668000FE, actions.data, actions.size);
    }
    cpuu_buf_free(&condition);
    cpuu_buf_free(&actions);
    *bag = &rule->props;
    return ok;
}
