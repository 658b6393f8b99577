/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pages that a kdump-compressed file was to have and has not: bitmap 2 is
 * without them, and so are the page descriptors. One thread.
 */

#ifndef DUMP_VMCORE_KDUMP_MISSING_H
#define DUMP_VMCORE_KDUMP_MISSING_H

#include "kdump-chunk.h"
#include "pfn-bitmap.h"

/* All zero: none. */
typedef struct KdumpMissing {
    PfnRun *runs;               /* sorted; size of them, n used */
    size_t n, size;
    uint64_t nr_pages;          /* in all runs */
} KdumpMissing;

void kdump_missing_deinit(KdumpMissing *m);

/* Room for those of the slot; false with @errp if there is no memory. */
bool kdump_missing_reserve(KdumpMissing *m, const KdumpSlot *slot,
                           Error **errp);

/* Add a page behind all others. There has to be room. */
void kdump_missing_add(KdumpMissing *m, uint64_t pfn);

#endif
