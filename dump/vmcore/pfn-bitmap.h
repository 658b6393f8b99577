/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Page bitmaps of a kdump-compressed file, generated from runs of page frames
 * in pieces, so that the whole bitmap is never held in memory.
 *
 * Pure functions; any thread may call them.
 */

#ifndef DUMP_VMCORE_PFN_BITMAP_H
#define DUMP_VMCORE_PFN_BITMAP_H

/* A run of page frames. */
typedef struct PfnRun {
    uint64_t first;             /* page frame number */
    uint64_t count;             /* pages, not 0 */
} PfnRun;

/*
 * Fill @buf with the bits of the page frames from @first_pfn (a multiple
 * of 8) on: bit n % 8 of byte n / 8, least significant first, is set if a run
 * contains page frame @first_pfn + n and that is below @limit.
 *
 * @runs: sorted, not overlapping; @nr_runs of them
 * @limit: page frame number from which on all bits are clear; UINT64_MAX
 *         for none
 * @buf: @len bytes, all of them written
 */
void pfn_bitmap_fill(const PfnRun *runs, size_t nr_runs, uint64_t first_pfn,
                     uint64_t limit, uint8_t *buf, size_t len);

/* Set or clear the bits of @runs in a @buf filled by pfn_bitmap_fill. */
void pfn_bitmap_set(const PfnRun *runs, size_t nr_runs, uint64_t first_pfn,
                    uint8_t *buf, size_t len);
void pfn_bitmap_clear(const PfnRun *runs, size_t nr_runs, uint64_t first_pfn,
                      uint8_t *buf, size_t len);

#endif
