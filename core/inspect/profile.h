/* What the two files of "cpuu-inspect profile" share. */
#ifndef CPUU_INSPECT_PROFILE_H
#define CPUU_INSPECT_PROFILE_H

#include "inspect/inspect.h"
#include "inspect/print.h"

#include "profile/profile.h"

/* Value by value; INSPECT_FINDINGS when they differ. */
int inspect_diff(const inspect_options *o, cpuu_profile *a, cpuu_profile *b, FILE *out);
/* One line of UTF-8 about a registry value of a profile. Appends. */
void describe_value(const cpuu_reg_value *v, cpuu_buf *out);

#endif
