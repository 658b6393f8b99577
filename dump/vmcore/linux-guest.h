/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a Linux guest says about itself: its notes, and in VMCOREINFO, one
 * of them, page size, where the kernel lies, and its utsname.
 *
 * Source: Linux Documentation/admin-guide/kdump/vmcoreinfo.rst.
 */

#ifndef DUMP_VMCORE_LINUX_GUEST_H
#define DUMP_VMCORE_LINUX_GUEST_H

#include "dump-guest.h"
#include "vmcoreinfo.h"

/* Is the kernel where VMCOREINFO says that it is? */
typedef enum LinuxKernelTrace {
    LINUX_KERNEL_NOT_KNOWN,
    LINUX_KERNEL_THERE,
    LINUX_KERNEL_GONE,          /* another or none is there */
} LinuxKernelTrace;

/* Of guests of this kind, is a search for VMCOREINFO known to find it? */
bool linux_guest_known_target(const DumpAbi *abi);

/* The guest-physical address of a symbol in the kernel image of @info. */
uint64_t linux_guest_kernel_to_phys(const DumpGuest *guest,
                                    const VmcoreInfo *info, uint64_t vaddr);

/*
 * Does guest memory bear @info out: is there a utsname where it says, with the
 * release that it names? Filled into *@uts if so, undefined if not.
 *
 * @mem: all memory of the guest
 */
LinuxKernelTrace linux_guest_find_kernel(const DumpGuest *guest,
                                         DumpPagesReader *mem,
                                         const VmcoreInfo *info,
                                         LinuxUts *uts);

/*
 * Append the notes in @buf[0..@len), which come from the guest, to the notes
 * of @guest, as far as they are whole; zeroes behind them are none. The first
 * one called VMCOREINFO sets vmcoreinfo_pos and vmcoreinfo_size. The report
 * of @guest is told if some are left out.
 *
 * Returns what VMCOREINFO says, NULL if there is none.
 */
VmcoreInfo *linux_guest_add_notes(DumpGuest *guest, const uint8_t *buf,
                                  size_t len);

/*
 * Fill page_size, phys_base and uts of @guest from @info, as far as it has
 * them and they make sense; what it has not is left as it was. If the kernel
 * is not where @info says, only page_size is believed.
 *
 * @mem: all memory of the guest; the kernel's own utsname is read from it,
 *       and taken only if it agrees with @info
 * @info: NULL is allowed: nothing but the machine's name is filled in then
 *
 * The report of @guest is told of a number that makes no sense, and of a
 * kernel that is not there.
 */
void linux_guest_describe(DumpGuest *guest, DumpPagesReader *mem,
                          const VmcoreInfo *info);

/*
 * Where the kernel's own page tables begin, in guest-physical memory, if
 * @info has that and memory bears @info out; x86 and AArch64. To be called
 * after linux_guest_describe.
 */
bool linux_guest_find_tables(const DumpGuest *guest, DumpPagesReader *mem,
                             const VmcoreInfo *info, uint64_t *root);

#endif
