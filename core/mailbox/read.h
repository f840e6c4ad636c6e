/* What read.c (operations and their rows), read_object.c and read_table.c share. */
#ifndef CPUU_MAILBOX_READ_H
#define CPUU_MAILBOX_READ_H

#include "mailbox/pool.h"

#define TAG_BELOW CPUU_TAG(0x360a, CPUU_PT_BOOL) /* PidTagSubfolders */
#define PAYLOAD   0x8008u

/* What a step does. */
enum {
    WHAT_OPEN = 1,
    WHAT_STREAM,
    WHAT_READ,
    WHAT_PROPS,
    WHAT_LIST,
    WHAT_TABLE,
    WHAT_ROWS,
    WHAT_REPLICA
};

/* read.c */
bool cpuu_read_is_message(const cpuu_work *w);
/* Rules and permissions: at most some hundred rows, in no stable place. */
bool cpuu_read_is_short_table(const cpuu_work *w);
/* Where the values of rows live; cpuu_read_alloc() fails the operation when memory ends. */
cpuu_arena *cpuu_read_arena(cpuu_work *w);
void *cpuu_read_alloc(cpuu_work *w, size_t n);
/* The tags whose values the row has, the columns that only identify it left out. */
const uint32_t *cpuu_read_row_tags(const cpuu_work *w, const cpuu_read_row *row, uint32_t *n);
cpuu_read_row *cpuu_read_row_add(cpuu_work *w);
/* A copy of the data. */
void cpuu_read_set_value(cpuu_work *w, cpuu_value *v, uint32_t tag, const uint8_t *data,
                         uint32_t size);
void cpuu_read_set_error(cpuu_work *w, cpuu_value *v, uint32_t tag, uint32_t code);
/* The server says that the value does not fit in an answer. */
bool cpuu_read_too_big(const cpuu_value *v);
/* `expected`: bytes of answer. */
cpuu_unit *cpuu_read_queue(cpuu_work *w, const cpuu_unit_class *cls, size_t row, uint32_t expected);
bool cpuu_read_columns(cpuu_work *w);

/* read_object.c */
void cpuu_read_row_code(cpuu_read_row *row, uint32_t code);
bool cpuu_read_make_values(cpuu_work *w, cpuu_read_row *row, uint32_t n);
/* Queues the object of a row, or of its tags only the named ones. */
void cpuu_read_object(cpuu_work *w, size_t index);
void cpuu_read_props(cpuu_work *w, size_t index, uint32_t expected);
/* Of a unit class: nothing is left to do; the row says why it is not there. */
void cpuu_read_finish_only(cpuu_unit *u, cpuu_lane *lane, const cpuu_rop_reply *reply);
void cpuu_read_object_fail(cpuu_unit *u, const cpuu_error *err, bool maybe_done);

/* read_table.c: the next page of the operation's table */
void cpuu_read_page(cpuu_work *w);

#endif
