/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Page bitmaps from runs of page frames.
 */

#include "qemu/osdep.h"
#include "pfn-bitmap.h"

static void bitmap_put_bit(uint8_t *buf, uint64_t bit, bool value)
{
    uint8_t mask = 1 << (bit % 8);

    buf[bit / 8] = value ? buf[bit / 8] | mask : buf[bit / 8] & ~mask;
}

/* Set @count bits from bit @first on to @value. */
static void bitmap_put_bits(uint8_t *buf, uint64_t first, uint64_t count,
                            bool value)
{
    uint64_t end = first + count;

    while (first < end && first % 8) {
        bitmap_put_bit(buf, first++, value);
    }
    if (first < end) {
        memset(buf + first / 8, value ? 0xff : 0, (end - first) / 8);
        first += (end - first) / 8 * 8;
    }
    while (first < end) {
        bitmap_put_bit(buf, first++, value);
    }
}

/* Index of the first run that ends above @pfn. */
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

/* Set the bits of @runs in [@first_pfn, @end_pfn) to @value. */
static void bitmap_put_runs(const PfnRun *runs, size_t nr_runs,
                            uint64_t first_pfn, uint64_t end_pfn, bool value,
                            uint8_t *buf)
{
    for (size_t i = first_run_above(runs, nr_runs, first_pfn);
         i < nr_runs && runs[i].first < end_pfn; i++) {
        uint64_t start = MAX(runs[i].first, first_pfn);
        uint64_t end = MIN(runs[i].first + runs[i].count, end_pfn);

        bitmap_put_bits(buf, start - first_pfn, end - start, value);
    }
}

void pfn_bitmap_fill(const PfnRun *runs, size_t nr_runs, uint64_t first_pfn,
                     uint64_t limit, uint8_t *buf, size_t len)
{
    uint64_t end_pfn = MIN(first_pfn + (uint64_t)len * 8, limit);

    memset(buf, 0, len);
    if (end_pfn > first_pfn) {
        bitmap_put_runs(runs, nr_runs, first_pfn, end_pfn, true, buf);
    }
}

void pfn_bitmap_set(const PfnRun *runs, size_t nr_runs, uint64_t first_pfn,
                    uint8_t *buf, size_t len)
{
    bitmap_put_runs(runs, nr_runs, first_pfn, first_pfn + (uint64_t)len * 8,
                    true, buf);
}

void pfn_bitmap_clear(const PfnRun *runs, size_t nr_runs, uint64_t first_pfn,
                      uint8_t *buf, size_t len)
{
    bitmap_put_runs(runs, nr_runs, first_pfn, first_pfn + (uint64_t)len * 8,
                    false, buf);
}
