/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where a Linux kernel has its struct pages: the sparse memory model with
 * SPARSEMEM_EXTREME, which x86_64 and AArch64 have, with or without vmemmap.
 *
 *   mem_section -> roots, a page of pointers after another
 *              root -> a page of struct mem_section
 *   mem_section.section_mem_map -> struct page of page frame 0, as if the
 *                                  array of this section began there
 *
 * Sources: Linux include/linux/mmzone.h, kernel/vmcore_info.c.
 */

#ifndef DUMP_VMCORE_LINUX_MEMMAP_H
#define DUMP_VMCORE_LINUX_MEMMAP_H

#include "kernel-space.h"

/* Not changed once it is made: any thread may use it, with its own reader. */
typedef struct LinuxMemMap LinuxMemMap;

/*
 * The map of the kernel of @info. @space must outlive the result; @mem is all
 * memory of @guest, and only used during the call. NULL with @errp set if it
 * is of another kind, or no memory of @guest is in it.
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
 * The kernel-virtual address of the struct page of page frame @pfn: the
 * guest's word for it. False if there is none. *@left: page frames
 * from there that the answer is for; where there is one, their struct pages
 * follow one another.
 */
bool linux_memmap_at(const LinuxMemMap *map, DumpPagesReader *mem,
                     uint64_t pfn, uint64_t *vaddr, uint64_t *left);

#endif
