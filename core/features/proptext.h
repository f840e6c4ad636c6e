/* Property names and values as a person reads them, for the dry run and the report. */
#ifndef CPUU_FEATURES_PROPTEXT_H
#define CPUU_FEATURES_PROPTEXT_H

#include "features/proplist.h"

/* "PidTagWlinkEntryId", or "0x684C0102" when the name is not known, into out. `section`: a property of a
 * profile section, whose ids mean something else. Returns out. */
const char *cpuu_prop_name(uint32_t tag, bool section, char *out, size_t out_size);
/* One line of UTF-8, owned by the caller; NULL when the property is absent (or out of memory). EntryIDs
 * are decoded: what they name, not their bytes. */
char *cpuu_prop_text(const cpuu_prop *p);

#endif
