/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Linux's sparse memory model; see the header.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bswap.h"
#include "qemu/host-utils.h"
#include "linux-memmap.h"

/*
 * Minimum of SECTION_SIZE_BITS, which bounds the number of sections. Linux has
 * 27 or more.
 */
#define SECTION_BITS_MIN        24

/* Flags in section_mem_map: section present, map present. */
#define SECTION_WANTED          0x3ULL
/* All flags ever defined; arrays have a larger alignment. */
#define SECTION_FLAGS           0x3fULL

struct LinuxMemMap {
    const KernelSpace *space;
    uint64_t roots;             /* address of the array of root pointers */
    uint64_t nr_roots;
    unsigned per_root;          /* sections per root */
    unsigned section_size;      /* bytes of struct mem_section */
    unsigned map_offset;        /* offset of section_mem_map in it */
    unsigned frame_bits;        /* log2 of page frames per section */
    unsigned page_struct;       /* bytes of struct page */
};

/* log2 of the sizes of a section and of all memory; x86 has defaults. */
static bool get_bits(const DumpGuest *guest, const VmcoreInfo *info,
                     int64_t *section, int64_t *all, Error **errp)
{
    int64_t five = 0, bits;

    if (guest->abi.elf_machine == EM_X86_64 &&
        !vmcoreinfo_get(info, "NUMBER(SECTION_SIZE_BITS)")) {
        vmcoreinfo_get_number(info, "NUMBER(pgtable_l5_enabled)", &five);
        *section = 27;
        *all = five ? 52 : 46;
        if (vmcoreinfo_get_in_range(info, "NUMBER(MAX_PHYSMEM_BITS)",
                                    *section, 52, &bits, NULL)) {
            *all = bits;
        }
        return true;
    }
    return vmcoreinfo_get_in_range(info, "NUMBER(SECTION_SIZE_BITS)",
                                   SECTION_BITS_MIN, 40, section, errp) &&
           vmcoreinfo_get_in_range(info, "NUMBER(MAX_PHYSMEM_BITS)",
                                   *section, 52, all, errp);
}

/* False if the numbers do not fit SPARSEMEM_EXTREME. */
static bool memmap_describe(LinuxMemMap *m, const DumpGuest *guest,
                            const VmcoreInfo *info, Error **errp)
{
    int64_t size, offset, roots, section_bits, all_bits;

    if (!vmcoreinfo_get_in_range(info, "SIZE(mem_section)", 8, 256, &size,
                                 errp) ||
        !vmcoreinfo_get_in_range(info, "OFFSET(mem_section.section_mem_map)",
                                 0, size - 8, &offset, errp) ||
        !vmcoreinfo_get_in_range(info, "LENGTH(mem_section)", 1, INT32_MAX,
                                 &roots, errp) ||
        !get_bits(guest, info, &section_bits, &all_bits, errp)) {
        return false;
    }
    m->section_size = size;
    m->map_offset = offset;
    m->nr_roots = roots;
    m->per_root = guest->page_size / size;
    m->frame_bits = section_bits - ctz64(guest->page_size);
    if (m->nr_roots != DIV_ROUND_UP(1ULL << (all_bits - section_bits),
                                    m->per_root)) {
        error_setg(errp, "the guest's memory model is not supported");
        return false;
    }
    return true;
}

/* Read a pointer; false if it cannot be read or is NULL. */
static bool read_pointer(const LinuxMemMap *m, DumpPagesReader *mem,
                         uint64_t vaddr, uint64_t *value)
{
    uint8_t buf[8];

    if (!kernel_space_read(m->space, mem, vaddr, buf, sizeof(buf))) {
        return false;
    }
    *value = ldq_le_p(buf);
    return *value;
}

bool linux_memmap_at(const LinuxMemMap *m, DumpPagesReader *mem,
                     uint64_t pfn, uint64_t *vaddr, uint64_t *left)
{
    uint64_t section = pfn >> m->frame_bits;
    uint64_t root, map;

    *left = ((section + 1) << m->frame_bits) - pfn;
    if (section / m->per_root >= m->nr_roots ||
        !read_pointer(m, mem, m->roots + section / m->per_root * 8, &root) ||
        !read_pointer(m, mem, root + section % m->per_root * m->section_size +
                      m->map_offset, &map) ||
        (map & SECTION_WANTED) != SECTION_WANTED) {
        return false;
    }
    *vaddr = (map & ~SECTION_FLAGS) + pfn * m->page_struct;
    return true;
}

/* Is there a page frame of @guest whose struct page can be read? */
static bool memmap_has_memory(const LinuxMemMap *m, const DumpGuest *guest,
                              DumpPagesReader *mem)
{
    g_autoptr(GArray) runs = guest_ram_pfn_runs(&guest->all,
                                                guest->page_size);

    for (guint i = 0; i < runs->len; i++) {
        const PfnRun *run = &g_array_index(runs, PfnRun, i);
        uint64_t vaddr, left;
        uint8_t page[8];

        for (uint64_t at = 0; at < run->count; at += left) {
            if (linux_memmap_at(m, mem, run->first + at, &vaddr, &left) &&
                kernel_space_read(m->space, mem, vaddr, page, sizeof(page))) {
                return true;
            }
        }
    }
    return false;
}

/*
 * SYMBOL(mem_section) is the address of the array of root pointers; in some
 * kernels, the address of a pointer to that array.
 */
static bool memmap_find(LinuxMemMap *m, const DumpGuest *guest,
                        DumpPagesReader *mem, const VmcoreInfo *info,
                        Error **errp)
{
    if (!vmcoreinfo_get_address(info, "SYMBOL(mem_section)", &m->roots)) {
        error_setg(errp, "VMCOREINFO has no SYMBOL(mem_section)");
        return false;
    }
    if (memmap_has_memory(m, guest, mem) ||
        (read_pointer(m, mem, m->roots, &m->roots) &&
         memmap_has_memory(m, guest, mem))) {
        return true;
    }
    error_setg(errp, "the guest's memory map was not found");
    return false;
}

LinuxMemMap *linux_memmap_new(const DumpGuest *guest,
                              const KernelSpace *space, DumpPagesReader *mem,
                              const VmcoreInfo *info, unsigned page_struct,
                              Error **errp)
{
    g_autoptr(LinuxMemMap) m = g_new0(LinuxMemMap, 1);

    m->space = space;
    m->page_struct = page_struct;
    if (!memmap_describe(m, guest, info, errp) ||
        !memmap_find(m, guest, mem, info, errp)) {
        return NULL;
    }
    return g_steal_pointer(&m);
}

void linux_memmap_free(LinuxMemMap *map)
{
    g_free(map);
}
