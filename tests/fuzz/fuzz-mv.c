/* Multi-valued registry values: what decodes encodes to the same bytes. The first byte is the type.
 */
#include <cpuu/formats/mv.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t types[] = {CPUU_MV_LONG, CPUU_MV_STRING8, CPUU_MV_UNICODE,
                                     CPUU_MV_BINARY};
    if (size < 1)
        return 0;
    uint32_t type = types[data[0] & 3];
    cpuu_buf list, again;
    unsigned width = 0;
    cpuu_buf_init(&list, 1 << 24);
    cpuu_buf_init(&again, 1 << 24);
    if (cpuu_mv_decode(type, data + 1, size - 1, &list, &width, NULL)) {
        if (!cpuu_mv_encode(type, width ? width : 4, list.data, list.size, &again, NULL) ||
            again.size != size - 1 || (again.size && memcmp(again.data, data + 1, again.size) != 0))
            abort();
        /* the other width must give the same list */
        cpuu_buf_reset(&again);
        if (!cpuu_mv_encode(type, width == 4 ? 8 : 4, list.data, list.size, &again, NULL))
            abort();
        cpuu_buf twice;
        cpuu_buf_init(&twice, 1 << 24);
        if (!cpuu_mv_decode(type, again.data, again.size, &twice, NULL, NULL) ||
            twice.size != list.size || memcmp(twice.data, list.data, list.size) != 0)
            abort();
        cpuu_buf_free(&twice);
    }
    cpuu_buf_reset(&again);
    cpuu_mv_encode(type, data[0] & 4 ? 4 : 8, data + 1, size - 1, &again, NULL);
    cpuu_buf_free(&again);
    cpuu_buf_free(&list);
    return 0;
}
