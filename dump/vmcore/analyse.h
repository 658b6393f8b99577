/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The second step of collecting: what is found out by looking into guest
 * memory.
 *
 * The first step takes from QEMU what only QEMU knows, with the BQL held; it
 * takes milliseconds, whatever the guest's size. This one needs no more than
 * memory, may take long, and can be cancelled.
 */

#ifndef DUMP_VMCORE_ANALYSE_H
#define DUMP_VMCORE_ANALYSE_H

#include "dump-guest.h"
#include "progress.h"
#include "x86-paging.h"

/* What the first step left to be looked into. */
typedef struct DumpFindings {
    GByteArray *guest_note;     /* of the guest's driver; NULL for none */
    uint64_t guest_note_paddr;  /* where it was read */
    bool note_awaited;          /* there is a device, but no driver */
    bool want_search;           /* for VMCOREINFO, if the driver has none */
    unsigned threads;           /* for that, and the next */
    bool has_place;             /* an earlier search has found a note */
    uint64_t place;             /* there, guest-physical */
    GArray *paging;             /* X86Paging of CPUs that use it; or NULL */
    unsigned dump_level;        /* classes of pages to be left out */
    bool want_mappings;         /* from paging, if there is any */
    bool want_windows;
    WinDmpHeader windows_header;    /* with want_windows */
    GArray *windows_cpus;           /* WinDmpCpu, likewise */
} DumpFindings;

void dump_findings_init(DumpFindings *findings);
void dump_findings_deinit(DumpFindings *findings);

/*
 * Files on hugetlbfs: is what the process has not mapped untouched? Part of
 * the analysis; of a guest that will run before it, to be asked first.
 */
void dump_guest_judge_huge_pages(DumpGuest *guest);

/*
 * Complete @guest, whose memory, CPU notes and general values are there: with
 * the guest's own notes, or VMCOREINFO found in memory, and what they say,
 * mappings, Windows structures. What is damaged or missing is told to its
 * report.
 *
 * Runs on the thread that is going to write; no lock is needed. False, with
 * @errp set, if there is no memory or the dump was cancelled.
 */
bool dump_guest_analyse(DumpGuest *guest, const DumpFindings *findings,
                        DumpProgress *progress, Error **errp);

/* VMCOREINFO as a query tells of it. */
typedef struct VmcoreInfoFound {
    char *text;                 /* NULL: there is none; owned */
    bool searched;              /* found in memory, not told by the driver */
    uint64_t paddr;             /* guest-physical, of its ELF note */
    size_t size;                /* bytes of that, without padding at the end */
} VmcoreInfoFound;

/*
 * Find VMCOREINFO as for a dump, and nothing else, of a @guest whose memory
 * and general values are there; it may run. Of the text, which is the guest's,
 * what lies behind a zero byte or 64 KiB is not in *@v.
 *
 * The report of @guest is told what is doubtful of it or, if there is none,
 * why.
 *
 * Any thread; no lock is needed. False, with @errp set, if there is no memory
 * or @progress was cancelled.
 */
bool dump_guest_find_vmcoreinfo(DumpGuest *guest,
                                const DumpFindings *findings,
                                DumpProgress *progress, VmcoreInfoFound *v,
                                Error **errp);

#endif
