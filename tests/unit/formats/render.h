#ifndef CPUU_TESTS_RENDER_H
#define CPUU_TESTS_RENDER_H

#include "samples.h"

#include <cpuu/formats/entryid.h>
#include <cpuu/formats/restriction.h>

void render_eid(text *t, cpuu_blob in);
/* A tag and its value, with what the program itself shows of an EntryID inside. */
void render_prop(text *t, const cpuu_rawprop *p);
bool render_restriction(text *t, cpuu_reader *r, cpuu_form form);
void render_npi(text *t, const cpuu_npi *npi);

#endif
