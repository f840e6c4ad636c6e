/*
 * Comparing what the lab answers with a recorded exchange: counterparts of ids, sessions, and the
 * meaning of ROP and address-book responses.
 */
#ifndef CPUU_TESTS_RECORDINGS_H
#define CPUU_TESTS_RECORDINGS_H

#include "tests/lab/lab.h"
#include "tests/lab/labctl.h"

#include <jansson.h>

#define MAX_PAIRS 2000
typedef struct pair { /* a number of the recording and the lab's */
    char kind;        /* f id, g GUID, r rule, m member, d address-book MId, n property id */
    char store;       /* a, b, p: ids are per store */
    uint8_t size;
    uint8_t rec[16], own[16];
} pair;

typedef struct session {
    char name[8];
    char cookie[200];
    const char *login;
    bool open, nspi;
    char store;
    struct {
        uint32_t rec, own;
    } handles[400];
    size_t n_handles;
    struct {
        uint32_t handle; /* the lab's */
        uint32_t tags[40];
        size_t n;
    } columns[60];
    size_t n_columns;
} session;

typedef struct replayer {
    labctl *lab;
    uint16_t port;
    const char *dir;
    pair pairs[MAX_PAIRS];
    size_t n_pairs;
    session sessions[40];
    size_t n_sessions;
    session *s;
    char why[600];  /* first difference of the exchange; "" = none */
    unsigned notes; /* differences that the list below allows */
    unsigned number;
    bool documented; /* the lab follows the documents now: their X-ResponseCode is expected */
    json_t
        *all_rows; /* 060: the rows of all payloads; where a payload ends is the server's choice */
    size_t next_row;
} replayer;

/* Notes the first difference of the exchange. */
void differ(replayer *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* True when the two are counterparts, or have not been seen and become so. */
bool same(replayer *t, char kind, const uint8_t *rec, const uint8_t *own, uint8_t size);
bool same_id_hex(replayer *t, char kind, const char *hex, uint64_t own);
/* Puts the lab's numbers in the place of the recording's. */
void translate(replayer *t, uint8_t *p, size_t n);
uint32_t json_u32(const json_t *v);
uint32_t json_tag(const json_t *v);
uint32_t field(const json_t *o, const char *key);
bool same_value(replayer *t, const json_t *prop, const lab_val *v);
bool is_allowed(replayer *t, uint32_t tag);

/* The body of a response after the meta-tags. */
void check_execute(replayer *t, const json_t *exchange, const uint8_t *body, size_t size);
void check_nspi(replayer *t, const json_t *exchange, const uint8_t *body, size_t size);

#endif
