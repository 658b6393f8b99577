/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Page bitmaps of a kdump-compressed file, made window by window from runs
 * of page frames, so that no guest needs its whole bitmap in memory.
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
 * has page @first_pfn + n and that page is below @limit.
 *
 * @runs: sorted, not overlapping; @nr_runs of them
 * @limit: page frame number from which on all bits are clear; UINT64_MAX
 *         for none
 * @buf: @len bytes, all of them written
 */
void pfn_bitmap_fill(const PfnRun *runs, size_t nr_runs, uint64_t first_pfn,
                     uint64_t limit, uint8_t *buf, size_t len);

/* Set or clear the bits of the pages in @runs, in a @buf that was filled so. */
void pfn_bitmap_set(const PfnRun *runs, size_t nr_runs, uint64_t first_pfn,
                    uint8_t *buf, size_t len);
void pfn_bitmap_clear(const PfnRun *runs, size_t nr_runs, uint64_t first_pfn,
                      uint8_t *buf, size_t len);

#endif
