/*
 * The list of delegates: four parallel multi-valued properties of the delegate information object
 * ([MS-OXODLGT] 2.2.2.2), taken apart into people and put together again in their order.
 */
#ifndef CPUU_PLUGINS_DELEGATES_PEOPLE_H
#define CPUU_PLUGINS_DELEGATES_PEOPLE_H

#include "common/relink.h"

enum person_column { P_ID, P_NAME, P_NAME8, P_FLAGS, P_COLUMNS };

typedef struct person {
    cpuu_blob field[P_COLUMNS]; /* borrowed; P_FLAGS: 4 bytes or empty */
} person;

typedef struct people {
    person *items;
    uint32_t count, cap;
    bool has[P_COLUMNS]; /* which of the properties are there at all */
} people;

void people_free(people *p);
/* Takes the values apart. CPUU_E_FORMAT: they are not of one length, or damaged. */
cpuu_rc people_split(const cpuu_value *const values[P_COLUMNS], people *out);
bool people_has(const people *p, cpuu_blob id);
/* Appends one person. False: out of memory. */
bool people_add(people *p, const person *who);
/* One property of all people, appended to `buf`, which the value borrows from. */
cpuu_value people_join(const people *p, enum person_column column, uint32_t tag, cpuu_buf *buf);

#endif
