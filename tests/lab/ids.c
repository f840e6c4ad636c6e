/*
 * Identifiers of the lab's objects as JSON, for who builds a profile that opens them: per mailbox the
 * DN, the mailbox GUID, the store EntryID, the EntryID of every folder by its path and the numbers of
 * named properties.
 */
#include "tests/lab/lab.h"

#include "base/text.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static json_t *hex(const uint8_t *data, size_t size)
{
    char *text = lab_calloc(1, 2 * size + 1);
    cpuu_hex(text, data, size);
    json_t *j = json_string(text);
    cpuu_free(text);
    return j;
}

static json_t *hex_of(const cpuu_buf *b)
{
    return hex(b->data, b->size);
}

/* Path as the content file writes it: from the nearest role folder down. */
static char *path_of(const lab_folder *f)
{
    if (f->role)
        return cpuu_asprintf("@%s", f->role);
    char *name = lab_folder_name(f);
    char *above = f->parent && f->parent->parent ? path_of(f->parent) : NULL;
    char *path = above && f->parent != f->store->ipm ? cpuu_asprintf("%s/%s", above, name)
                                                     : lab_strdup(name);
    free(name);
    free(above);
    return path;
}

static json_t *folders_of(const lab_store *s)
{
    json_t *j = json_object();
    for (size_t i = 0; i < s->n_folders; i++) {
        cpuu_buf b;
        if (s->folders[i]->deleted)
            continue;
        cpuu_buf_init(&b, 64);
        lab_put_folder_eid(&b, s->folders[i]);
        char *path = path_of(s->folders[i]);
        json_object_set_new(j, path, hex_of(&b));
        free(path);
        cpuu_buf_free(&b);
    }
    return j;
}

/* Numbers of named properties, by "{guid}:name". */
static json_t *names_of(const lab_store *s)
{
    json_t *j = json_object();
    for (size_t i = 0; i < s->n_names; i++) {
        const lab_name *n = &s->names[i];
        char guid[39], key[400];
        cpuu_guid_text(guid, n->guid);
        if (n->kind == 0)
            snprintf(key, sizeof(key), "%s:0x%04X", guid, n->lid);
        else
            snprintf(key, sizeof(key), "%s:%s", guid, n->name);
        json_object_set_new(j, key, json_integer(n->id));
    }
    return j;
}

static void add_store(json_t *j, const lab_store *s)
{
    cpuu_buf b;
    cpuu_buf_init(&b, 65536);
    lab_put_store_eid(&b, s);
    json_object_set_new(j, "store", hex_of(&b));
    json_object_set_new(j, "folders", folders_of(s));
    cpuu_buf_free(&b);
}

static json_t *user_ids(const lab_user *u)
{
    json_t *j = json_object();
    json_object_set_new(j, "smtp", json_string(u->smtp));
    json_object_set_new(j, "dn", json_string(u->dn));
    json_object_set_new(j, "display", json_string(u->display));
    if (u->store) {
        json_object_set_new(j, "guid", hex(u->store->mailbox_guid, 16));
        add_store(j, u->store);
        json_object_set_new(j, "names", names_of(u->store));
    }
    return j;
}

char *lab_ids(const lab *l)
{
    json_t *all = json_object();
    for (size_t i = 0; i < l->n_orgs; i++) {
        const lab_org *o = l->orgs[i];
        json_t *org = json_object();
        for (size_t k = 0; k < o->n_users; k++)
            json_object_set_new(org, o->users[k]->name, user_ids(o->users[k]));
        if (o->public_store) {
            json_t *public = json_object();
            add_store(public, o->public_store);
            json_object_set_new(org, "(public)", public);
        }
        json_object_set_new(all, o->name, org);
    }
    char *text = json_dumps(all, JSON_INDENT(1));
    json_decref(all);
    return text;
}
