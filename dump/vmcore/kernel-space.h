/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Access to memory of a Linux guest by kernel-virtual address: x86_64 with 4
 * and 5 levels of page tables, AArch64 with any granule and up to 52 address
 * bits.
 *
 * Sources: Linux Documentation/admin-guide/kdump/vmcoreinfo.rst, and
 * Documentation/arch/arm64/memory.rst.
 */

#ifndef DUMP_VMCORE_KERNEL_SPACE_H
#define DUMP_VMCORE_KERNEL_SPACE_H

#include "dump-guest.h"
#include "vmcoreinfo.h"

/* Immutable: any thread may use it, with a reader of its own. */
typedef struct KernelSpace KernelSpace;

/* Is the format of this target's page tables supported? */
bool kernel_space_known_target(const DumpAbi *abi);

/*
 * Create an accessor for the kernel that @info describes. To verify that its
 * page tables are understood, they must map the kernel to its known physical
 * address. Called after linux_guest_describe. Returns NULL, with @errp set, on
 * failure.
 *
 * @mem: all memory of @guest; only used during the call
 */
KernelSpace *kernel_space_new(const DumpGuest *guest, DumpPagesReader *mem,
                              const VmcoreInfo *info, Error **errp);

/* NULL is allowed. */
void kernel_space_free(KernelSpace *space);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KernelSpace, kernel_space_free)

/*
 * Read @len bytes at @vaddr. Returns false, with @buf undefined, unless all of
 * them are mapped and in guest memory.
 */
bool kernel_space_read(const KernelSpace *space, DumpPagesReader *mem,
                       uint64_t vaddr, void *buf, size_t len);

#endif
