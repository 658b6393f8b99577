/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A Windows guest's description of itself: the crash dump header that its
 * driver published, and from there its kernel's structures.
 *
 *   header -> KDBG -> KiProcessorBlock -> KPRCB -> CONTEXT
 *
 * A debugger looks for each processor's registers at the end of this path.
 * While the system runs nothing of use is there, so the registers are laid
 * over copies of these pages, which take the pages' place in the dump. The
 * guest's memory is not changed.
 *
 * The path is the guest's word: counts are bounded by the number of CPUs,
 * addresses by what is mapped and is memory. What cannot be followed is
 * left out.
 *
 * Layout sources: KDDEBUGGER_DATA64 in Microsoft's wdbgexts.h; the header's
 * fields as the guest driver fwcfg64 of virtio-win fills them.
 */

#ifndef DUMP_VMCORE_WINDOWS_GUEST_H
#define DUMP_VMCORE_WINDOWS_GUEST_H

#include "windmp-format.h"
#include "x86-paging.h"

typedef struct DumpWindows {
    WinDmpHeader header;        /* all but what depends on the file */
    GHashTable *pages;          /* uint64_t address -> bytes of the page */
    unsigned contexts;          /* processors whose registers are in */
} DumpWindows;

/*
 * Take the header, correct it, and lay the registers of @cpus over @ram,
 * which is sealed and all of the guest's memory. @ram is changed only in
 * what stands for those pages; the result must outlive it.
 *
 * @mem: reads @ram; not to be used for anything else meanwhile
 * @nr_cpus: CPUs of the machine, at least 1
 * @paging: X86Paging, of those CPUs that have it on
 * @warning: set if something was left out; the rest goes on without it
 */
DumpWindows *dump_windows_new(const WinDmpHeader *header, GuestRam *ram,
                              DumpPagesReader *mem,
                              const WinDmpCpu *cpus, unsigned nr_cpus,
                              const GArray *paging, Error **warning);

/* NULL is allowed. */
void dump_windows_free(DumpWindows *windows);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DumpWindows, dump_windows_free)

#endif
