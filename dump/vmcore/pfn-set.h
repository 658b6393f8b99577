/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A set of page frames, compact even if it is fragmented.
 *
 * The set consists of blocks of PFN_SET_BLOCK frames. A full or empty block
 * needs no bitmap; others have one bit per frame (8 KiB). Blocks without any
 * memory are omitted. With 4 KiB pages, a set thus takes from a few bytes per
 * 256 MiB of guest memory to 1/32768 of it, wherever memory is located. Each
 * block has the number of frames in the blocks before it, so that the n-th
 * frame and the rank of a frame are found by a binary search.
 *
 * The page size is the user's choice. A set that is no longer modified may be
 * read by any thread.
 */

#ifndef DUMP_VMCORE_PFN_SET_H
#define DUMP_VMCORE_PFN_SET_H

#include "pfn-bitmap.h"

#define PFN_SET_BLOCK   65536u

typedef struct PfnSet PfnSet;

/*
 * Create a set from @nr_runs runs, which are sorted, do not overlap and end at
 * 2^63 or below. It is owned by the caller, and sealed. Returns NULL, with
 * @errp set, if out of memory.
 */
PfnSet *pfn_set_new(const PfnRun *runs, size_t nr_runs, Error **errp);

/* NULL is allowed. */
void pfn_set_free(PfnSet *set);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PfnSet, pfn_set_free)

/*
 * Remove the frames of @run that are in the set. *@removed: their number.
 * Returns false, with @errp set, if out of memory; some frames may be removed
 * then. Afterwards pfn_set_seal must be called before any other function but
 * pfn_set_remove and pfn_set_next.
 */
bool pfn_set_remove(PfnSet *set, const PfnRun *run, uint64_t *removed,
                    Error **errp);

/* Update the counts after frames were removed. */
void pfn_set_seal(PfnSet *set);

/* Number of frames in the set. */
uint64_t pfn_set_count(const PfnSet *set);

/*
 * The first contiguous run of frames of the set at or above @from, truncated
 * to @max frames. Returns false if there is none.
 */
bool pfn_set_next(const PfnSet *set, uint64_t from, uint64_t max,
                  PfnRun *run);

/* The @index-th frame (from 0); UINT64_MAX if there are fewer frames. */
uint64_t pfn_set_nth(const PfnSet *set, uint64_t index);

/* Number of frames of the set below @pfn. */
uint64_t pfn_set_rank(const PfnSet *set, uint64_t pfn);

/* Like pfn_bitmap_fill, with the frames of the set. */
void pfn_set_fill(const PfnSet *set, uint64_t first_pfn, uint64_t limit,
                  uint8_t *buf, size_t len);

#endif
