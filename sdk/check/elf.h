/* Names in the dynamic symbol table of an ELF file: what it exports and what it imports. Hostile
 * files give an error, never a read outside the input. Layout: System V ABI, chapters 4 and 5
 * (gABI). */
#ifndef CPUU_CHECK_ELF_H
#define CPUU_CHECK_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Called for every named global or weak symbol; the name lives as long as the file. */
typedef void (*cpuu_elf_symbol)(void *user, const char *name, bool imported);
/* NULL, or what is wrong with the file. */
const char *cpuu_elf_symbols(const uint8_t *file, size_t size, cpuu_elf_symbol each, void *user);

#endif
