/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Page bitmaps from runs of page frames.
 */

#include "qemu/osdep.h"
#include "pfn-bitmap.h"

/* Set @count bits from bit @first on; whole bytes at once. */
static void bitmap_set_bits(uint8_t *buf, uint64_t first, uint64_t count)
{
    uint64_t end = first + count;

    while (first < end && first % 8) {
        buf[first / 8] |= 1 << (first % 8);
        first++;
    }
    if (first < end) {
        memset(buf + first / 8, 0xff, (end - first) / 8);
        first += (end - first) / 8 * 8;
    }
    for (; first < end; first++) {
        buf[first / 8] |= 1 << (first % 8);
    }
}

/* The first run that ends above @pfn. */
static size_t first_run_above(const PfnRun *runs, size_t nr_runs,
                              uint64_t pfn)
{
    size_t lo = 0, hi = nr_runs;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (runs[mid].first + runs[mid].count <= pfn) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

void pfn_bitmap_fill(const PfnRun *runs, size_t nr_runs, uint64_t first_pfn,
                     uint64_t limit, uint8_t *buf, size_t len)
{
    uint64_t end_pfn = MIN(first_pfn + (uint64_t)len * 8, limit);

    memset(buf, 0, len);
    if (end_pfn <= first_pfn) {
        return;
    }
    for (size_t i = first_run_above(runs, nr_runs, first_pfn);
         i < nr_runs && runs[i].first < end_pfn; i++) {
        uint64_t start = MAX(runs[i].first, first_pfn);
        uint64_t end = MIN(runs[i].first + runs[i].count, end_pfn);

        bitmap_set_bits(buf, start - first_pfn, end - start);
    }
}

uint64_t pfn_runs_count(const PfnRun *runs, size_t nr_runs)
{
    uint64_t count = 0;

    for (size_t i = 0; i < nr_runs; i++) {
        count += runs[i].count;
    }
    return count;
}

uint64_t pfn_runs_nth(const PfnRun *runs, size_t nr_runs, uint64_t index)
{
    for (size_t i = 0; i < nr_runs; i++) {
        if (index < runs[i].count) {
            return runs[i].first + index;
        }
        index -= runs[i].count;
    }
    return UINT64_MAX;
}
