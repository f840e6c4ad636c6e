/* The content file of the lab, inside: statements, references, values. Described in cpuu-lab(1). */
#ifndef CPUU_LAB_CONTENT_H
#define CPUU_LAB_CONTENT_H

#include "tests/lab/lab.h"

#define CONTENT_MAX_WORDS 65536

typedef struct content_line {
    unsigned number;
    lab_org *org;     /* of its section */
    lab_user *user;   /* NULL in [org] and [public] */
    lab_store *store; /* of [mailbox] and [public] */
    char **words;
    size_t n_words;
    lab_message *message; /* item, fai, switch: what it made */
} content_line;

typedef struct content_label {
    const char *name;
    lab_message *message;
} content_label;

typedef struct content {
    lab *lab;
    const char *path;
    content_line *lines;
    size_t n_lines, lines_cap;
    content_label *labels;
    size_t n_labels, labels_cap;
    char *err;
    size_t err_size;
    unsigned number; /* line being worked on */
} content;

bool content_fail(content *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "user", "org/user": NULL with a message when there is none. */
lab_user *content_user(content *c, const content_line *l, const char *ref);
/* "path", "user:path", "org/user:path", "public:path", "org/public:path" */
lab_folder *content_folder(content *c, const content_line *l, const char *ref);
/* words[first] is a tag, the rest its value; into bag. */
bool content_prop(content *c, const content_line *l, size_t first, lab_props *bag);
/* *bag: the rule's properties, until the next rule is made. */
bool content_rule(content *c, const content_line *l, lab_props **bag);
/* One-off EntryID from "display|type|address". */
bool content_one_off(content *c, cpuu_buf *b, const char *text);
/* Wrapped member of a personal list that is an e-mail address of a contact. */
bool content_member_message(content *c, cpuu_buf *b, const char *label);
/* Stream of a personal list: "user=display|type|address;user=..." */
bool content_list_stream(content *c, const content_line *l, cpuu_buf *b, const char *text);
void content_member(cpuu_buf *b, const lab_user *u);
bool content_message(content *c, cpuu_buf *b, const char *label, bool short_id);
/* Parts of an AutoComplete list: what is nick, nickrow, nickfill or nickend. */
bool content_nick(content *c, const content_line *l, cpuu_buf *b, const char *what,
                  const char *text);

#endif
