/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * ELF core file headers: one neutral description of each header, written
 * as Elf32 or Elf64 in the target's byte order.
 *
 * Layout source: System V ABI, "Object Files" and "Program Loading";
 * PN_XNUM from the Linux elf(5) manual page.
 *
 * Pure functions; any thread may call them.
 */

#ifndef DUMP_VMCORE_ELF_CORE_H
#define DUMP_VMCORE_ELF_CORE_H

#include "byteorder.h"

/* makedumpfile's e_flags bit for an incomplete dump. */
#define ELF_CORE_FLAG_INCOMPLETE 0x1

/*
 * Maximum number of program headers that e_phnum can hold. With more, e_phnum
 * is PN_XNUM (0xffff) and sh_info of section header 0 holds the number.
 */
#define ELF_CORE_MAX_PLAIN_PHNUM 0xfffe

typedef struct ElfCoreHeader {
    uint32_t phnum;             /* program headers, at least 1 */
    uint32_t shnum;             /* section headers; 0 for none */
    uint32_t shstrndx;          /* index of the name table, with shnum */
    uint64_t phoff;             /* file offset of program headers, bytes */
    uint64_t shoff;             /* file offset of section headers, bytes */
    uint32_t flags;             /* e_flags */
} ElfCoreHeader;

typedef struct ElfCoreSegment {
    uint32_t type;              /* PT_NOTE, PT_LOAD */
    uint32_t flags;             /* PF_* */
    uint64_t offset;            /* file offset, bytes */
    uint64_t vaddr;
    uint64_t paddr;
    uint64_t filesz;            /* bytes in the file */
    uint64_t memsz;             /* bytes in memory */
    uint64_t align;
} ElfCoreSegment;

typedef struct ElfCoreSection {
    uint32_t name;              /* offset in the name table */
    uint32_t type;              /* SHT_* */
    uint64_t flags;
    uint64_t addr;
    uint64_t offset;            /* file offset, bytes */
    uint64_t size;              /* bytes */
    uint32_t link;
    uint32_t info;
    uint64_t addralign;
    uint64_t entsize;
} ElfCoreSection;

/* Sizes in bytes of the target's structures. */
size_t elf_core_ehdr_size(const DumpAbi *abi);
size_t elf_core_phdr_size(const DumpAbi *abi);
size_t elf_core_shdr_size(const DumpAbi *abi);

/*
 * Write one structure to @buf, which holds the matching size above.
 * Values too large for ELF32 fields are a programming error and assert
 * (planners check with elf_core_fits), except vaddr, which is truncated like
 * the target's own pointers.
 *
 * elf_core_put_ehdr writes PN_XNUM for e_phnum when @hdr->phnum is above
 * ELF_CORE_MAX_PLAIN_PHNUM; the caller writes section header 0
 * (elf_core_null_section) then. e_ehsize, e_phentsize and e_shentsize are
 * the real structure sizes (e_shentsize 0 when shnum is 0).
 */
void elf_core_put_ehdr(const DumpAbi *abi, const ElfCoreHeader *hdr,
                       uint8_t *buf);
void elf_core_put_phdr(const DumpAbi *abi, const ElfCoreSegment *seg,
                       uint8_t *buf);
void elf_core_put_shdr(const DumpAbi *abi, const ElfCoreSection *sec,
                       uint8_t *buf);

/*
 * Section header 0: all zero, but sh_info is @phnum if that is too large for
 * e_phnum.
 */
ElfCoreSection elf_core_null_section(uint32_t phnum);

/* True if @value fits a field of the target's address size. */
bool elf_core_fits(const DumpAbi *abi, uint64_t value);

#endif
