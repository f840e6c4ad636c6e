/*
 * Multi-valued properties as Outlook stores them in a profile section: the in-memory array of MAPI
 * with pointers turned into offsets, so its layout depends on the bitness of the Outlook that wrote
 * it. The width of a descriptor field is 4 bytes (32-bit Outlook) or 8 (64-bit); writing with the
 * wrong one destroys the profile, so it is found when decoding and asked for when encoding.
 *
 *   PtypMultipleInteger32   bare u32 array, no count, no width
 *   PtypMultipleBinary      u32 n, n x {width length, width offset}, elements padded to 4 bytes
 *   PtypMultipleString(8)   u32 n, n x {width offset}, NUL-terminated texts, packed
 *
 * Offsets count from the start of the value. Source: observed in 78 values of 5 profiles of both
 * widths (Outlook 2010 and 2016), all of which this layout reproduces byte for byte.
 *
 * The decoded form is a list: u32 count, then for each element u32 size and its bytes. Texts are as
 * stored (UTF-16LE or 8-bit), without their NUL. Decoding accepts exactly what encoding writes:
 * whatever decodes encodes to the same bytes again, and a value in any other layout is refused.
 */
#ifndef CPUU_FORMATS_MV_H
#define CPUU_FORMATS_MV_H

#include <cpuu/formats/bytes.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Property types ([MS-OXCDATA] 2.11.1) whose stored layout is known. */
#define CPUU_MV_LONG    0x1003u
#define CPUU_MV_STRING8 0x101eu
#define CPUU_MV_UNICODE 0x101fu
#define CPUU_MV_BINARY  0x1102u

/* Descriptor width of a stored value: 4 or 8; 0 when it has none (CPUU_MV_LONG, no elements) or
 * fits neither. Looks at the first descriptor only. */
unsigned cpuu_mv_width(uint32_t type, const void *data, size_t size);

/* Appends the list form of a stored value to `list`; *width (may be NULL) gets 4, 8 or 0. False:
 * the value is not in the stored layout, the type is none of the above, or `list` is full or out of
 * memory (list->failed). `error` may be NULL. */
bool cpuu_mv_decode(uint32_t type, const void *data, size_t size, cpuu_buf *list, unsigned *width,
                    cpuu_fmt_error *error);

/* Appends the stored form of a list to `out`. width: 4 or 8 (ignored for CPUU_MV_LONG). False: the
 * list is malformed, an element does not suit the type (an integer that is not 4 bytes, a text with
 * a NUL or an odd number of UTF-16 bytes), or `out` failed. */
bool cpuu_mv_encode(uint32_t type, unsigned width, const void *list, size_t size, cpuu_buf *out,
                    cpuu_fmt_error *error);

#ifdef __cplusplus
}
#endif
#endif
