/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which of the VMCOREINFO notes in guest memory is that of the kernel that
 * runs?
 *
 * After kexec there may be one of each kernel, and files in the guest's page
 * cache may hold copies, of this kernel's note or of others'. Page tables
 * tell: what a CPU of an x86_64 guest has mapped where a note says its kernel
 * is, is that kernel or is not.
 *
 * Any thread may call these, with a reader of its own.
 */

#ifndef DUMP_VMCORE_VMCOREINFO_PICK_H
#define DUMP_VMCORE_VMCOREINFO_PICK_H

#include "vmcoreinfo-scan.h"
#include "x86-paging.h"

/* What the CPUs say of a note's kernel. */
typedef enum VmcoreInfoWord {
    VMCOREINFO_DENIED,          /* another kernel is there */
    VMCOREINFO_UNKNOWN,         /* nothing: in no page table, other target */
    VMCOREINFO_RUNS,            /* a CPU runs it */
} VmcoreInfoWord;

/*
 * @mem: all memory of @guest
 * @paging: X86Paging of its CPUs; may be NULL
 */
VmcoreInfoWord vmcoreinfo_ask_cpus(const DumpGuest *guest,
                                   DumpPagesReader *mem,
                                   const GArray *paging,
                                   const VmcoreInfoNote *note);

/* Is there a CPU whose page tables could tell? */
bool vmcoreinfo_cpus_can_tell(const DumpGuest *guest, const GArray *paging);

/*
 * The one of @notes of which a CPU is known to run the kernel; NULL if there
 * is none, or if there are several. The report is not told.
 */
const VmcoreInfoNote *vmcoreinfo_pick_running(const DumpGuest *guest,
                                              DumpPagesReader *mem,
                                              const GArray *paging,
                                              const GPtrArray *notes);

/*
 * The one of @notes, as vmcoreinfo_scan finds them, that the CPUs run; or, if
 * they are silent of all, the only one that they do not deny. Of two notes
 * that differ in that one goes on where the other ends, the longer one
 * counts: a kernel that panics adds the time.
 *
 * NULL if there is none or it cannot be told. The report of @guest is told
 * why, unless @notes is empty, and when the CPUs are silent though their page
 * tables are known.
 */
const VmcoreInfoNote *vmcoreinfo_pick(const DumpGuest *guest,
                                      DumpPagesReader *mem,
                                      const GArray *paging,
                                      const GPtrArray *notes);

#endif
