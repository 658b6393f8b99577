/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Selection of the running kernel's VMCOREINFO note among those found in guest
 * memory.
 *
 * After kexec there may be a note of each kernel, and files in the guest's page
 * cache may contain copies of notes. On x86_64 the page tables of the CPUs show
 * whether a kernel runs: they map its virtual addresses to the physical
 * addresses that follow from its note.
 *
 * Any thread may call these functions, with a reader of its own.
 */

#ifndef DUMP_VMCORE_VMCOREINFO_PICK_H
#define DUMP_VMCORE_VMCOREINFO_PICK_H

#include "vmcoreinfo-scan.h"
#include "x86-paging.h"

/* State of a note's kernel according to the CPUs. */
typedef enum VmcoreInfoMatch {
    VMCOREINFO_MISMATCH,        /* another kernel is mapped there */
    VMCOREINFO_UNKNOWN,         /* not mapped by any CPU, or other target */
    VMCOREINFO_RUNS,            /* a CPU runs it */
} VmcoreInfoMatch;

/*
 * Compare the CPUs' page tables with the addresses that follow from @note. One
 * CPU that runs its kernel is enough.
 *
 * @mem: all memory of @guest
 * @paging: X86Paging of its CPUs; may be NULL
 */
VmcoreInfoMatch vmcoreinfo_check_cpus(const DumpGuest *guest,
                                      DumpPagesReader *mem,
                                      const GArray *paging,
                                      const VmcoreInfoNote *note);

/* Can vmcoreinfo_check_cpus give a result for this guest? */
bool vmcoreinfo_can_check_cpus(const DumpGuest *guest, const GArray *paging);

/*
 * The one of @notes whose kernel is known to run on a CPU; NULL if there is
 * none or more than one. Adds no warnings.
 */
const VmcoreInfoNote *vmcoreinfo_pick_running(const DumpGuest *guest,
                                              DumpPagesReader *mem,
                                              const GArray *paging,
                                              const GPtrArray *notes);

/*
 * The one of @notes (a result of vmcoreinfo_scan) whose kernel runs on a CPU;
 * if there is none, the only one that is not VMCOREINFO_MISMATCH. If one note
 * is a prefix of another, the longer one is used: a kernel that panics appends
 * the time of the crash.
 *
 * Returns NULL if there is none or more than one. In this case, unless @notes
 * is empty, a warning is added to @guest->report; also if the result is
 * VMCOREINFO_UNKNOWN though the CPUs' page tables are known.
 */
const VmcoreInfoNote *vmcoreinfo_pick(const DumpGuest *guest,
                                      DumpPagesReader *mem,
                                      const GArray *paging,
                                      const GPtrArray *notes);

#endif
