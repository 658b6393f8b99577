/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Find the pages of a Linux guest that are to be excluded from a dump: walk
 * over the struct pages of all its memory.
 *
 * All data that is read is under the guest's control, so the guest can have any
 * page excluded. It can do no other harm: only guest memory is read, and the
 * time is bounded by its size.
 */

#ifndef DUMP_VMCORE_PAGE_WALK_H
#define DUMP_VMCORE_PAGE_WALK_H

#include "dump-guest.h"
#include "progress.h"
#include "vmcoreinfo.h"

/*
 * Set @guest->kept to the pages of @guest->ram that are neither in one of the
 * classes in @level (PAGE_CLASS_BIT) nor unusable, and add the bytes that are
 * excluded to the guest's report. Called after linux_guest_describe.
 *
 * A page without a struct page is kept. So is one whose struct page cannot be
 * read; this causes a warning.
 *
 * @mem: all memory of @guest, for the calling thread
 * @info: if NULL, the walk fails
 * @threads: as in dump_pipeline_run
 *
 * Returns false, with @errp set, if the kernel's data structures are not
 * understood, out of memory, or if @progress was cancelled.
 */
bool page_walk(DumpGuest *guest, DumpPagesReader *mem, const VmcoreInfo *info,
               unsigned level, unsigned threads, DumpProgress *progress,
               Error **errp);

#endif
