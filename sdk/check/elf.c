#include "elf.h"

#include <elf.h>
#include <string.h>

typedef struct section {
    uint32_t type, link;
    uint64_t offset, size, entry;
} section;

/* Copies n bytes at an offset; false past the end. */
static bool at(const uint8_t *file, size_t size, uint64_t offset, void *out, size_t n)
{
    if (offset > size || n > size - offset)
        return false;
    memcpy(out, file + offset, n);
    return true;
}

static bool read_section(const uint8_t *file, size_t size, bool wide, uint64_t offset, section *out)
{
    Elf64_Shdr h64;
    Elf32_Shdr h32;
    if (wide) {
        if (!at(file, size, offset, &h64, sizeof(h64)))
            return false;
        *out = (section){h64.sh_type, h64.sh_link, h64.sh_offset, h64.sh_size, h64.sh_entsize};
    } else {
        if (!at(file, size, offset, &h32, sizeof(h32)))
            return false;
        *out = (section){h32.sh_type, h32.sh_link, h32.sh_offset, h32.sh_size, h32.sh_entsize};
    }
    return out->type == SHT_NOBITS || (out->offset <= size && out->size <= size - out->offset);
}

static const char *walk(const uint8_t *file, bool wide, const section *symbols,
                        const section *names, cpuu_elf_symbol each, void *user)
{
    const size_t entry = wide ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
    const char *text = (const char *)file + names->offset;
    if (symbols->entry != entry || names->size == 0 || text[names->size - 1] != 0)
        return "its symbol table is malformed";
    for (uint64_t i = 1; i < symbols->size / entry; i++) {
        Elf64_Sym s = {0};
        Elf32_Sym s32;
        if (wide) {
            memcpy(&s, file + symbols->offset + i * entry, sizeof(s));
        } else {
            memcpy(&s32, file + symbols->offset + i * entry, sizeof(s32));
            s.st_name = s32.st_name;
            s.st_info = s32.st_info;
            s.st_other = s32.st_other;
            s.st_shndx = s32.st_shndx;
        }
        const unsigned bind = ELF64_ST_BIND(s.st_info);
        if (s.st_name >= names->size)
            return "its symbol table is malformed";
        if ((bind == STB_GLOBAL || bind == STB_WEAK) && text[s.st_name])
            each(user, text + s.st_name, s.st_shndx == SHN_UNDEF);
    }
    return NULL;
}

const char *cpuu_elf_symbols(const uint8_t *file, size_t size, cpuu_elf_symbol each, void *user)
{
    uint8_t ident[EI_NIDENT];
    Elf64_Ehdr e = {0};
    Elf32_Ehdr e32;
    if (!at(file, size, 0, ident, sizeof(ident)) || memcmp(ident, ELFMAG, SELFMAG) != 0)
        return "it is not an ELF file";
    const bool wide = ident[EI_CLASS] == ELFCLASS64;
    if (ident[EI_DATA] != (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB))
        return "it was built for another kind of machine";
    if (wide ? !at(file, size, 0, &e, sizeof(e)) : !at(file, size, 0, &e32, sizeof(e32)))
        return "it is cut short";
    const uint64_t table = wide ? e.e_shoff : e32.e_shoff;
    const uint64_t stride = wide ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);
    const unsigned count = wide ? e.e_shnum : e32.e_shnum;
    if ((wide ? e.e_type : e32.e_type) != ET_DYN)
        return "it is not a shared object";
    for (unsigned i = 0; i < count; i++) {
        section symbols, names;
        if (table > size || !read_section(file, size, wide, table + i * stride, &symbols))
            return "its section table is malformed";
        if (symbols.type != SHT_DYNSYM)
            continue;
        if (symbols.link >= count ||
            !read_section(file, size, wide, table + symbols.link * stride, &names) ||
            names.type != SHT_STRTAB)
            return "its symbol table is malformed";
        return walk(file, wide, &symbols, &names, each, user);
    }
    return "it has no dynamic symbols";
}
