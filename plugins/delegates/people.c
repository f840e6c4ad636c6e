#include "people.h"

#include <string.h>

void people_free(people *p)
{
    cpuu_fmt_free(p->items);
    memset(p, 0, sizeof(*p));
}

bool people_add(people *p, const person *who)
{
    if (!kit_grow(&p->items, &p->cap, p->count, sizeof(*p->items)))
        return false;
    p->items[p->count++] = *who;
    return true;
}

bool people_has(const people *p, cpuu_blob id)
{
    for (uint32_t i = 0; i < p->count; i++) {
        if (cpuu_blob_equal(p->items[i].field[P_ID], id) ||
            cpuu_eid_same(p->items[i].field[P_ID], id))
            return true;
    }
    return false;
}

static cpuu_rc take_people(const kit_list lists[P_COLUMNS], people *out)
{
    for (uint32_t i = 0; i < lists[P_ID].count; i++) {
        person one;
        memset(&one, 0, sizeof(one));
        for (int k = 0; k < P_COLUMNS; k++) {
            if (lists[k].present)
                one.field[k] = lists[k].items[i];
        }
        if (one.field[P_FLAGS].size != 0 && one.field[P_FLAGS].size != 4)
            return CPUU_E_FORMAT;
        if (!people_add(out, &one))
            return CPUU_E_NOMEM;
    }
    return CPUU_OK;
}

cpuu_rc people_split(const cpuu_value *const values[P_COLUMNS], people *out)
{
    kit_list lists[P_COLUMNS];
    cpuu_rc rc = CPUU_OK;
    memset(lists, 0, sizeof(lists));
    memset(out, 0, sizeof(*out));
    for (int k = 0; k < P_COLUMNS && rc == CPUU_OK; k++) {
        rc = kit_list_split(values[k], &lists[k]);
        out->has[k] = lists[k].present;
        if (rc == CPUU_OK && lists[k].present && lists[k].count != lists[P_ID].count)
            rc = CPUU_E_FORMAT;
    }
    if (rc == CPUU_OK)
        rc = take_people(lists, out);
    for (int k = 0; k < P_COLUMNS; k++)
        kit_list_free(&lists[k]);
    if (rc != CPUU_OK)
        people_free(out);
    return rc;
}

cpuu_value people_join(const people *p, enum person_column column, uint32_t tag, cpuu_buf *buf)
{
    static const uint8_t none[4];
    cpuu_buf_u32(buf, p->count);
    for (uint32_t i = 0; i < p->count; i++) {
        cpuu_blob b = p->items[i].field[column];
        if (column == P_FLAGS && b.size == 0)
            b = (cpuu_blob){none, sizeof(none)};
        cpuu_buf_u32(buf, b.size);
        cpuu_buf_add(buf, b.data, b.size);
    }
    return (cpuu_value){tag, (uint32_t)buf->size, buf->data};
}
