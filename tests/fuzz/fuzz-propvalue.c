/*
 * Property values. Input: which wire form, then tagged values. What was decoded is valid, and what
 * is encoded from it decodes to the same.
 */
#include <cpuu/formats/propvalue.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(cpuu_wire wire, const cpuu_value *v)
{
    cpuu_buf wire_bytes, bytes;
    cpuu_reader r;
    cpuu_cell cell;
    cpuu_buf_init(&wire_bytes, 1 << 20);
    cpuu_buf_init(&bytes, 1 << 20);
    if (cpuu_prop_encode_tagged(&wire_bytes, wire, v)) {
        cpuu_reader_init(&r, wire_bytes.data, wire_bytes.size);
        if (!cpuu_prop_decode_tagged(&r, wire, &bytes, &cell) || cpuu_reader_left(&r) ||
            cell.tag != v->tag || cell.size != v->size ||
            (cell.size && memcmp(bytes.data + cell.offset, v->data, cell.size) != 0))
            abort();
    }
    cpuu_buf_free(&wire_bytes);
    cpuu_buf_free(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cpuu_reader r;
    cpuu_buf bytes;
    cpuu_cell cell;
    cpuu_reader_init(&r, data, size);
    cpuu_wire wire = (cpuu_wire)(CPUU_WIRE_ROP + cpuu_read_u8(&r, "wire") % 3);
    cpuu_buf_init(&bytes, 1 << 20);
    while (cpuu_reader_left(&r) && cpuu_prop_decode_tagged(&r, wire, &bytes, &cell)) {
        cpuu_value v = cpuu_cell_value(&cell, &bytes);
        bool carried = CPUU_TAG_TYPE(v.tag) == CPUU_PT_RESTRICTION ||
                       CPUU_TAG_TYPE(v.tag) == CPUU_PT_RULEACTION;
        if (wire == CPUU_WIRE_ROP && CPUU_FOUND(&v) && !cpuu_prop_valid(&v))
            abort();
        if (wire == CPUU_WIRE_ROP || !carried)
            again(wire, &v);
    }
    cpuu_buf_free(&bytes);
    return 0;
}
