#include "features/private.h"

#include <string.h>

cpuu_query cpuu_query_at(const cpuu_query *first, uint32_t i)
{
    cpuu_query q = {0};
    const size_t stride = first->size;
    memcpy(&q, (const char *)first + stride * i, stride < sizeof(q) ? stride : sizeof(q));
    q.size = sizeof(q);
    return q;
}
