/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Location of the struct pages of a Linux kernel: the sparse memory model with
 * SPARSEMEM_EXTREME of x86_64 and AArch64, with or without vmemmap.
 *
 *   mem_section -> array of pointers to roots
 *              root -> a page of struct mem_section
 *   mem_section.section_mem_map -> struct page of page frame 0, as if the
 *                                  array of this section began there
 *
 * Sources: Linux include/linux/mmzone.h, kernel/vmcore_info.c.
 */

#ifndef DUMP_VMCORE_LINUX_MEMMAP_H
#define DUMP_VMCORE_LINUX_MEMMAP_H

#include "kernel-space.h"

/* Immutable: any thread may use it, with a reader of its own. */
typedef struct LinuxMemMap LinuxMemMap;

/*
 * Find the memory map of the kernel that @info describes. @space must outlive
 * the result; @mem is all memory of @guest, only used during the call. Returns
 * NULL, with @errp set, if the memory model is a different one or the map has
 * no memory of @guest.
 *
 * @page_struct: bytes of struct page
 */
LinuxMemMap *linux_memmap_new(const DumpGuest *guest,
                              const KernelSpace *space, DumpPagesReader *mem,
                              const VmcoreInfo *info, unsigned page_struct,
                              Error **errp);

/* NULL is allowed. */
void linux_memmap_free(LinuxMemMap *map);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LinuxMemMap, linux_memmap_free)

/*
 * Set *@vaddr to the kernel-virtual address of the struct page of @pfn, as
 * given by the guest (not trusted). Returns false if there is none. *@left is
 * the number of page frames from @pfn on for which the result holds; their
 * struct pages are contiguous.
 */
bool linux_memmap_at(const LinuxMemMap *map, DumpPagesReader *mem,
                     uint64_t pfn, uint64_t *vaddr, uint64_t *left);

#endif
