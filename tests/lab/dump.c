/*
 * The state as canonical JSON: two mailboxes are equal when their dumps are. Per folder the
 * multiset of (class, all properties) without ids, change keys, times and name-to-id mappings:
 * messages are sorted by their own text, named properties carry their name. What is left out is one
 * table below.
 */
#include "tests/lab/lab.h"

#include "base/text.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Server-made properties that a client's rewrite or restore cannot and need not bring back. */
static const uint16_t excluded[] = {
    0x3007,         /* PidTagCreationTime */
    0x3008,         /* PidTagLastModificationTime */
    0x65E0, 0x65E1, /* source keys */
    0x65E2, 0x65E3, /* change key, predecessor list */
    0x300B,         /* PidTagSearchKey: read-only, [MS-OXCMSG] R1724 */
};

static bool is_excluded(uint32_t tag)
{
    for (size_t i = 0; i < sizeof(excluded) / sizeof(excluded[0]); i++)
        if (excluded[i] == TAG_ID(tag))
            return true;
    return false;
}

static json_t *hex_json(const uint8_t *data, size_t size)
{
    char *text = lab_calloc(1, 2 * size + 1);
    cpuu_hex(text, data, size);
    json_t *j = json_string(text);
    cpuu_free(text);
    return j;
}

static json_t *value_json(const lab_val *v)
{
    cpuu_arena a = {0};
    char *text = lab_value_text(&a, v);
    json_t *j = text && cpuu_utf8_valid(text, strlen(text)) ? json_string(text) : NULL;
    uint64_t n = 0;
    if (!j && lab_fixed_size(TAG_TYPE(v->tag)) && TAG_TYPE(v->tag) != PT_CLSID &&
        v->size == lab_fixed_size(TAG_TYPE(v->tag))) {
        for (size_t i = v->size; i > 0; i--)
            n = (n << 8) | v->data[i - 1];
        if (TAG_TYPE(v->tag) == PT_LONG)
            n = (uint64_t)(int64_t)(int32_t)n;
        j = json_integer((json_int_t)n);
    }
    cpuu_arena_free(&a);
    return j ? j : hex_json(v->data, v->size);
}

static void key_of(const lab_store *s, uint32_t tag, char *out, size_t size)
{
    const lab_name *n = TAG_ID(tag) >= 0x8000 ? lab_name_of(s, TAG_ID(tag)) : NULL;
    char guid[39];
    if (!n) {
        snprintf(out, size, "%08X", tag);
        return;
    }
    cpuu_guid_text(guid, n->guid);
    if (n->kind == 0)
        snprintf(out, size, "%s:0x%04X:%04X", guid, n->lid, TAG_TYPE(tag));
    else
        snprintf(out, size, "%s:\"%s\":%04X", guid, n->name, TAG_TYPE(tag));
}

static json_t *props_json(const lab_store *s, const lab_props *p)
{
    json_t *j = json_object();
    for (size_t i = 0; i < p->count; i++) {
        char key[700];
        lab_val v = {p->items[i].tag, p->items[i].data, p->items[i].size};
        if (is_excluded(v.tag) || (v.tag == 0x003D001F && !v.size))
            continue; /* an empty subject prefix is the same as none */
        key_of(s, v.tag, key, sizeof(key));
        json_object_set_new(j, key, value_json(&v));
    }
    return j;
}

static json_t *message_json(const lab_store *s, const lab_message *m)
{
    json_t *j = json_object();
    json_t *props = props_json(s, &m->content.props);
    /* PidTagMessageFlags as every read message has them say nothing */
    if (json_integer_value(json_object_get(props, "0E070003")) == (m->fai ? 0x41 : 0x01))
        json_object_del(props, "0E070003");
    json_object_set_new(j, "properties", props);
    if (m->content.n_recipients) {
        json_t *list = json_array();
        for (size_t i = 0; i < m->content.n_recipients; i++)
            json_array_append_new(
                list, hex_json(m->content.recipients[i].row, m->content.recipients[i].size));
        json_object_set_new(j, "recipients", list);
    }
    if (m->content.n_attachments) {
        json_t *list = json_array();
        for (size_t i = 0; i < m->content.n_attachments; i++)
            json_array_append_new(list, props_json(s, &m->content.attachments[i].props));
        json_object_set_new(j, "attachments", list);
    }
    return j;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A JSON array whose elements are in the order of their text. */
static json_t *sorted(json_t *list)
{
    size_t n = json_array_size(list);
    char **text = lab_calloc(n, sizeof(*text));
    for (size_t i = 0; i < n; i++)
        text[i] = json_dumps(json_array_get(list, i), JSON_SORT_KEYS | JSON_COMPACT);
    qsort(text, n, sizeof(*text), by_text);
    json_t *out = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(out, json_loads(text[i], 0, NULL));
        free(text[i]);
    }
    cpuu_free(text);
    json_decref(list);
    return out;
}

static json_t *messages_json(const lab_folder *f, bool fai)
{
    json_t *list = json_array();
    for (size_t i = 0; i < f->n_messages; i++)
        if (!f->messages[i]->deleted && f->messages[i]->fai == fai)
            json_array_append_new(list, message_json(f->store, f->messages[i]));
    return sorted(list);
}

static json_t *rules_json(const lab_folder *f)
{
    json_t *list = json_array();
    for (size_t i = 0; i < f->n_rules; i++)
        json_array_append_new(list, props_json(f->store, &f->rules[i].props));
    return sorted(list);
}

static json_t *members_json(const lab_folder *f)
{
    json_t *j = json_object();
    for (size_t i = 0; i < f->n_members; i++)
        json_object_set_new(j, f->members[i].dn ? f->members[i].dn : f->members[i].name,
                            json_integer(f->members[i].rights));
    return j;
}

static void set_if_any(json_t *j, const char *key, json_t *list)
{
    if (json_array_size(list))
        json_object_set_new(j, key, list);
    else
        json_decref(list);
}

static char *path_of(const lab_folder *f)
{
    if (!f->parent)
        return lab_strdup("/");
    char *up = path_of(f->parent), *name = lab_folder_name(f);
    char *path = cpuu_asprintf("%s%s%s", up, f->parent->parent ? "/" : "", name);
    cpuu_free(up);
    cpuu_free(name);
    return path;
}

static json_t *folder_json(const lab_folder *f)
{
    json_t *j = json_object();
    json_object_set_new(j, "type", json_integer(f->type));
    json_object_set_new(j, "properties", props_json(f->store, &f->props));
    json_object_set_new(j, "permissions", members_json(f));
    set_if_any(j, "messages", messages_json(f, false));
    set_if_any(j, "associated", messages_json(f, true));
    set_if_any(j, "rules", rules_json(f));
    if (f->criteria_size)
        json_object_set_new(j, "criteria", hex_json(f->criteria, f->criteria_size));
    return j;
}

static json_t *store_json(const lab_store *s)
{
    json_t *j = json_object();
    for (size_t i = 0; i < s->n_folders; i++) {
        if (s->folders[i]->deleted)
            continue;
        char *path = path_of(s->folders[i]);
        json_object_set_new(j, path, folder_json(s->folders[i]));
        cpuu_free(path);
    }
    return j;
}

static json_t *org_json(const lab_org *o)
{
    json_t *j = json_object(), *boxes = json_object();
    for (size_t i = 0; i < o->n_users; i++)
        if (o->users[i]->store)
            json_object_set_new(boxes, o->users[i]->name, store_json(o->users[i]->store));
    json_object_set_new(j, "mailboxes", boxes);
    if (o->public_store)
        json_object_set_new(j, "public", store_json(o->public_store));
    return j;
}

char *lab_dump(const lab *l, const lab_org *only)
{
    json_t *j = json_object();
    for (size_t i = 0; i < l->n_orgs; i++)
        if (!only || l->orgs[i] == only)
            json_object_set_new(j, l->orgs[i]->name, org_json(l->orgs[i]));
    char *text = json_dumps(j, JSON_SORT_KEYS | JSON_INDENT(1));
    json_decref(j);
    return text;
}
