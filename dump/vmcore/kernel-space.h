/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Memory of a Linux guest by its kernel's own virtual addresses: x86_64 with 4
 * and 5 levels of page tables, AArch64 with any granule and addresses of up to
 * 52 bits.
 *
 * Sources: Linux Documentation/admin-guide/kdump/vmcoreinfo.rst, and
 * Documentation/arch/arm64/memory.rst.
 */

#ifndef DUMP_VMCORE_KERNEL_SPACE_H
#define DUMP_VMCORE_KERNEL_SPACE_H

#include "dump-guest.h"
#include "vmcoreinfo.h"

/* Not changed once it is made: any thread may use it, with its own reader. */
typedef struct KernelSpace KernelSpace;

/* Are there page tables that can be walked on a target such as this? */
bool kernel_space_known_target(const DumpAbi *abi);

/*
 * The kernel of @info, whose page tables must show it where it has to be: a
 * check that they are understood. To be called after linux_guest_describe.
 * NULL with @errp set if that cannot be, and what is missing.
 *
 * @mem: all memory of @guest; only used during the call
 */
KernelSpace *kernel_space_new(const DumpGuest *guest, DumpPagesReader *mem,
                              const VmcoreInfo *info, Error **errp);

/* NULL is allowed. */
void kernel_space_free(KernelSpace *space);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KernelSpace, kernel_space_free)

/*
 * Read @len bytes at @vaddr. False, with undefined bytes in @buf, unless all
 * of them are mapped and in guest memory.
 */
bool kernel_space_read(const KernelSpace *space, DumpPagesReader *mem,
                       uint64_t vaddr, void *buf, size_t len);

#endif
