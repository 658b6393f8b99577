/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Analysis of Windows guests, from the crash dump header that the guest's
 * driver published to the kernel's structures:
 *
 *   header -> KDBG -> KiProcessorBlock -> KPRCB -> CONTEXT
 *
 * A debugger reads each processor's registers from its CONTEXT, which has no
 * useful contents in a running system. So the registers are written to copies
 * of these pages, which replace the pages in the dump. Guest memory is not
 * changed.
 *
 * The guest's data is not trusted: counts are bounded by the number of CPUs,
 * and addresses must be mapped to memory. Processors whose structures cannot be
 * found are left out.
 *
 * Layout sources: KDDEBUGGER_DATA64 in Microsoft's wdbgexts.h; the header's
 * fields as the guest driver fwcfg64 of virtio-win fills them.
 */

#ifndef DUMP_VMCORE_WINDOWS_GUEST_H
#define DUMP_VMCORE_WINDOWS_GUEST_H

#include "windmp-format.h"
#include "x86-paging.h"

typedef struct DumpWindows {
    WinDmpHeader header;        /* without the fields set by the writer */
    GHashTable *pages;          /* uint64_t address -> bytes of the page */
    unsigned contexts;          /* processors whose registers are included */
} DumpWindows;

/*
 * Copy and correct @header, and overlay @ram (all memory of the guest, sealed)
 * with pages that contain the registers of @cpus. @ram then refers to these
 * pages, so the result must outlive it.
 *
 * @mem: reader of @ram; not to be used by others during the call
 * @nr_cpus: CPUs of the machine, at least 1
 * @paging: X86Paging of the CPUs with paging enabled
 * @warning: set if something was left out; not fatal
 */
DumpWindows *dump_windows_new(const WinDmpHeader *header, GuestRam *ram,
                              DumpPagesReader *mem,
                              const WinDmpCpu *cpus, unsigned nr_cpus,
                              const GArray *paging, Error **warning);

/* NULL is allowed. */
void dump_windows_free(DumpWindows *windows);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DumpWindows, dump_windows_free)

#endif
