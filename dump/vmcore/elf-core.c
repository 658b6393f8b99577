/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Encoding of ELF core headers for both classes and byte orders.
 */

#include "qemu/osdep.h"
#include "elf-core.h"

#ifndef PN_XNUM
#define PN_XNUM 0xffff
#endif

size_t elf_core_ehdr_size(const DumpAbi *abi)
{
    return dump_abi_is64(abi) ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);
}

size_t elf_core_phdr_size(const DumpAbi *abi)
{
    return dump_abi_is64(abi) ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
}

size_t elf_core_shdr_size(const DumpAbi *abi)
{
    return dump_abi_is64(abi) ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);
}

bool elf_core_fits(const DumpAbi *abi, uint64_t value)
{
    return dump_abi_is64(abi) || value <= UINT32_MAX;
}

/* Append a word; asserts that it fits the ELF class. */
static void put_word(DumpEncoder *e, uint64_t v)
{
    assert(elf_core_fits(e->abi, v));
    dump_enc_word(e, v);
}

static void put_ident(DumpEncoder *e)
{
    const uint8_t ident[EI_NIDENT] = {
        ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3,
        e->abi->elf_class, e->abi->elf_data, EV_CURRENT,
    };

    dump_enc_bytes(e, ident, sizeof(ident));
}

void elf_core_put_ehdr(const DumpAbi *abi, const ElfCoreHeader *hdr,
                       uint8_t *buf)
{
    DumpEncoder e = { abi, buf, elf_core_ehdr_size(abi) };
    bool xnum = hdr->phnum > ELF_CORE_MAX_PLAIN_PHNUM;

    assert(hdr->phnum && (!xnum || hdr->shnum) && hdr->shnum <= UINT16_MAX);

    put_ident(&e);
    dump_enc16(&e, ET_CORE);
    dump_enc16(&e, abi->elf_machine);
    dump_enc32(&e, EV_CURRENT);
    put_word(&e, 0);                                /* e_entry */
    put_word(&e, hdr->phoff);
    put_word(&e, hdr->shoff);
    dump_enc32(&e, hdr->flags);
    dump_enc16(&e, elf_core_ehdr_size(abi));
    dump_enc16(&e, elf_core_phdr_size(abi));
    dump_enc16(&e, xnum ? PN_XNUM : hdr->phnum);
    dump_enc16(&e, hdr->shnum ? elf_core_shdr_size(abi) : 0);
    dump_enc16(&e, hdr->shnum);
    dump_enc16(&e, hdr->shstrndx);
    assert(e.pos == e.size);
}

void elf_core_put_phdr(const DumpAbi *abi, const ElfCoreSegment *seg,
                       uint8_t *buf)
{
    DumpEncoder e = { abi, buf, elf_core_phdr_size(abi) };

    dump_enc32(&e, seg->type);
    if (dump_abi_is64(abi)) {
        dump_enc32(&e, seg->flags);
    }
    put_word(&e, seg->offset);
    dump_enc_word(&e, seg->vaddr);
    put_word(&e, seg->paddr);
    put_word(&e, seg->filesz);
    put_word(&e, seg->memsz);
    if (!dump_abi_is64(abi)) {
        dump_enc32(&e, seg->flags);
    }
    put_word(&e, seg->align);
    assert(e.pos == e.size);
}

void elf_core_put_shdr(const DumpAbi *abi, const ElfCoreSection *sec,
                       uint8_t *buf)
{
    DumpEncoder e = { abi, buf, elf_core_shdr_size(abi) };

    dump_enc32(&e, sec->name);
    dump_enc32(&e, sec->type);
    put_word(&e, sec->flags);
    put_word(&e, sec->addr);
    put_word(&e, sec->offset);
    put_word(&e, sec->size);
    dump_enc32(&e, sec->link);
    dump_enc32(&e, sec->info);
    put_word(&e, sec->addralign);
    put_word(&e, sec->entsize);
    assert(e.pos == e.size);
}

ElfCoreSection elf_core_null_section(uint32_t phnum)
{
    return (ElfCoreSection) {
        .info = phnum > ELF_CORE_MAX_PLAIN_PHNUM ? phnum : 0,
    };
}
