/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The second step of collecting the guest's state: analysis of guest memory.
 *
 * The first step copies QEMU's own state with the BQL held; it takes
 * milliseconds, whatever the guest's size. The second step only reads guest
 * memory, may take long, and can be cancelled.
 */

#ifndef DUMP_VMCORE_ANALYSE_H
#define DUMP_VMCORE_ANALYSE_H

#include "dump-guest.h"
#include "progress.h"
#include "x86-paging.h"

/* Results of the first step that the analysis starts from. */
typedef struct DumpFindings {
    GByteArray *guest_note;     /* set by the guest's driver, or NULL */
    uint64_t guest_note_paddr;  /* guest-physical address of guest_note */
    bool note_awaited;          /* vmcoreinfo device without a guest driver */
    bool want_search;           /* search memory if the driver has no note */
    unsigned threads;           /* for the search and the page walk */
    bool has_place;             /* an earlier search found a note at @place */
    uint64_t place;             /* guest-physical */
    GArray *paging;             /* X86Paging of CPUs with paging on, or NULL */
    unsigned dump_level;        /* classes of pages to exclude */
    bool want_mappings;         /* collect mappings from the page tables */
    bool want_windows;
    WinDmpHeader windows_header;    /* with want_windows */
    GArray *windows_cpus;           /* WinDmpCpu, likewise */
} DumpFindings;

void dump_findings_init(DumpFindings *findings);
void dump_findings_deinit(DumpFindings *findings);

/*
 * Determine for each file on hugetlbfs whether pages that this process has
 * not mapped are known to be untouched. dump_guest_analyse does this too; if
 * the guest is to run before the analysis, call it while it is still stopped.
 */
void dump_guest_classify_huge_pages(DumpGuest *guest);

/*
 * Complete @guest, whose memory, CPU notes and general values are set: add
 * the guest's own notes or VMCOREINFO found in memory, values derived from
 * them, mappings and Windows structures. Damaged or missing data causes
 * warnings in @guest->report.
 *
 * Called on the dump's thread, without locks. Returns false, with @errp set,
 * if out of memory or cancelled.
 */
bool dump_guest_analyse(DumpGuest *guest, const DumpFindings *findings,
                        DumpProgress *progress, Error **errp);

/* Result of dump_guest_find_vmcoreinfo. */
typedef struct VmcoreInfoFound {
    char *text;                 /* owned; NULL if no VMCOREINFO was found */
    bool searched;              /* found by search, not set by the driver */
    uint64_t paddr;             /* guest-physical address of its ELF note */
    size_t size;                /* bytes of the note, without final padding */
} VmcoreInfoFound;

/*
 * Find VMCOREINFO in the same way as for a dump, without the other steps of
 * the analysis. The memory and general values of @guest are set; the guest may
 * run. The guest's text is cut at the first zero byte, or at 64 KiB.
 *
 * Doubts about the result, or the reason why nothing was found, become
 * warnings in @guest->report.
 *
 * Any thread, without locks. Returns false, with @errp set, if out of memory
 * or if @progress was cancelled.
 */
bool dump_guest_find_vmcoreinfo(DumpGuest *guest,
                                const DumpFindings *findings,
                                DumpProgress *progress, VmcoreInfoFound *v,
                                Error **errp);

#endif
