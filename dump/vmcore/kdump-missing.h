/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pages that were planned for a kdump-compressed file but could not be
 * written. They are neither in bitmap 2 nor in the page descriptors. Used by
 * one thread.
 */

#ifndef DUMP_VMCORE_KDUMP_MISSING_H
#define DUMP_VMCORE_KDUMP_MISSING_H

#include "kdump-chunk.h"
#include "pfn-bitmap.h"

/* Initialized with zeroes. */
typedef struct KdumpMissing {
    PfnRun *runs;               /* sorted; size allocated, n used */
    size_t n, size;
    uint64_t nr_pages;          /* in all runs */
} KdumpMissing;

void kdump_missing_deinit(KdumpMissing *m);

/*
 * Make room for the missing pages of @slot. Returns false, with @errp set, if
 * out of memory.
 */
bool kdump_missing_reserve(KdumpMissing *m, const KdumpSlot *slot,
                           Error **errp);

/* Append a page above all others. The room must be reserved. */
void kdump_missing_add(KdumpMissing *m, uint64_t pfn);

#endif
