/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Analysis of Linux guests: the guest's ELF notes, and page size, physical
 * base and utsname according to its VMCOREINFO note.
 *
 * Source: Linux Documentation/admin-guide/kdump/vmcoreinfo.rst.
 */

#ifndef DUMP_VMCORE_LINUX_GUEST_H
#define DUMP_VMCORE_LINUX_GUEST_H

#include "dump-guest.h"
#include "vmcoreinfo.h"

/* Is the kernel at the address that VMCOREINFO gives? */
typedef enum LinuxKernelTrace {
    LINUX_KERNEL_NOT_KNOWN,
    LINUX_KERNEL_THERE,
    LINUX_KERNEL_GONE,          /* another kernel or none */
} LinuxKernelTrace;

/* Is the search for VMCOREINFO in memory supported on this target? */
bool linux_guest_known_target(const DumpAbi *abi);

/* The guest-physical address of a symbol in the kernel image of @info. */
uint64_t linux_guest_kernel_to_phys(const DumpGuest *guest,
                                    const VmcoreInfo *info, uint64_t vaddr);

/*
 * Check @info against guest memory: is there a utsname at the address that it
 * gives, with the same release? *@uts is that utsname if the result is
 * LINUX_KERNEL_THERE, else undefined.
 *
 * @mem: all memory of the guest
 */
LinuxKernelTrace linux_guest_find_kernel(const DumpGuest *guest,
                                         DumpPagesReader *mem,
                                         const VmcoreInfo *info,
                                         LinuxUts *uts);

/*
 * Append the complete notes in @buf[0..@len), which come from the guest, to the
 * notes of @guest. The first one called VMCOREINFO sets vmcoreinfo_pos and
 * vmcoreinfo_size. Adds a warning to @guest->report if anything but zeroes
 * follows the last complete note.
 *
 * Returns the parsed VMCOREINFO, owned by the caller; NULL if there is none.
 */
VmcoreInfo *linux_guest_add_notes(DumpGuest *guest, const uint8_t *buf,
                                  size_t len);

/*
 * Set page_size, phys_base and uts of @guest from @info. Missing or invalid
 * values leave the field unchanged. If the kernel is not at the address that
 * @info gives, only page_size is used.
 *
 * @mem: all memory of the guest; the kernel's utsname is read from it and used
 *       if it agrees with @info
 * @info: NULL is allowed; only uts.machine is set then
 *
 * Adds warnings to @guest->report for invalid numbers and a missing kernel.
 */
void linux_guest_describe(DumpGuest *guest, DumpPagesReader *mem,
                          const VmcoreInfo *info);

/*
 * Set *@root to the guest-physical address of the kernel's top page table (x86
 * and AArch64). Called after linux_guest_describe. Returns false if @info has
 * no such symbol or the kernel is not found in memory.
 */
bool linux_guest_find_tables(const DumpGuest *guest, DumpPagesReader *mem,
                             const VmcoreInfo *info, uint64_t *root);

#endif
