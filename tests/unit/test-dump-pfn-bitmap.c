/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Page bitmaps compared to a bit-by-bit model.
 */

#include "qemu/osdep.h"
#include "pfn-bitmap.h"

static bool in_runs(const PfnRun *runs, size_t n, uint64_t pfn)
{
    for (size_t i = 0; i < n; i++) {
        if (pfn >= runs[i].first && pfn - runs[i].first < runs[i].count) {
            return true;
        }
    }
    return false;
}

static void check(const PfnRun *runs, size_t n, uint64_t first,
                  uint64_t limit, size_t len)
{
    g_autofree uint8_t *b = g_malloc(len);

    memset(b, 0xaa, len);
    pfn_bitmap_fill(runs, n, first, limit, b, len);
    for (size_t i = 0; i < len * 8; i++) {
        bool set = b[i / 8] >> (i % 8) & 1;

        g_assert_cmpint(set, ==, in_runs(runs, n, first + i) &&
                        first + i < limit);
    }
}

static void test_fill(void)
{
    static const PfnRun runs[] = {
        { 0, 1 }, { 3, 5 }, { 17, 100 }, { 200, 8 }, { 1024, 9000 },
        { 0xfffc0, 0x40 },
    };

    for (uint64_t first = 0; first < 400; first += 8) {
        check(runs, ARRAY_SIZE(runs), first, UINT64_MAX, 64);
        check(runs, ARRAY_SIZE(runs), first, 205, 64);
        check(runs, ARRAY_SIZE(runs), first, first, 64);
    }
    /* A limit below the window, inside the same run. */
    check(runs, ARRAY_SIZE(runs), 2048, 1030, 64);
    check(runs, ARRAY_SIZE(runs), 2048, 0, 64);
    check(runs, ARRAY_SIZE(runs), 0xfff80, UINT64_MAX, 64);
    check(runs, ARRAY_SIZE(runs), 8000, UINT64_MAX, 1024);
    check(runs, 0, 0, UINT64_MAX, 16);
    check(runs, ARRAY_SIZE(runs), 1ULL << 52, UINT64_MAX, 16);
}

static void test_order_of_bits(void)
{
    PfnRun run = { 9, 1 };
    uint8_t b[2];

    pfn_bitmap_fill(&run, 1, 0, UINT64_MAX, b, 2);
    g_assert_cmpmem(b, 2, "\0\2", 2);
}

static void test_set_and_clear(void)
{
    static const PfnRun runs[] = { { 3, 2 }, { 15, 9 } };
    uint8_t b[3] = { 0x81, 0, 0 };

    pfn_bitmap_set(runs, 2, 0, b, 3);
    g_assert_cmpmem(b, 3, "\x99\x80\xff", 3);
    pfn_bitmap_clear(runs, 1, 0, b, 3);
    g_assert_cmpmem(b, 3, "\x81\x80\xff", 3);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/pfn-bitmap/fill", test_fill);
    g_test_add_func("/dump/pfn-bitmap/order", test_order_of_bits);
    g_test_add_func("/dump/pfn-bitmap/set-and-clear", test_set_and_clear);
    return g_test_run();
}
