/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a Linux guest's VMCOREINFO says about the guest: page size, where
 * the kernel lies, and its utsname.
 *
 * Sources: Linux Documentation/admin-guide/kdump/vmcoreinfo.rst; struct
 * new_utsname of the Linux user ABI (six strings of 65 bytes).
 */

#ifndef DUMP_VMCORE_LINUX_GUEST_H
#define DUMP_VMCORE_LINUX_GUEST_H

#include "vmcoreinfo.h"
#include "writer.h"

/*
 * Fill page_size, phys_base and uts of @guest from @info, as far as it has
 * them and they make sense; what it has not is left as it was.
 *
 * @ram: all memory of the guest, sealed; the kernel's own utsname is read
 *       from it, and taken only if it agrees with @info
 * @info: NULL is allowed: nothing but the machine's name is filled in then
 *
 * Returns false if a number in @info made no sense and was passed over.
 */
bool linux_guest_describe(DumpGuest *guest, const GuestRam *ram,
                          const VmcoreInfo *info);

#endif
