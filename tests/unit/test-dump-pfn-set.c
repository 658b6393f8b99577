/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sets of page frames compared to an array with a byte per page frame.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "pfn-set.h"

#define B       PFN_SET_BLOCK
#define FRAMES  (5 * B)

/* A set and its model. */
typedef struct Twin {
    PfnSet *set;
    uint8_t *has;               /* FRAMES bytes, and a 0 */
    uint64_t base;              /* the first page frame */
} Twin;

static void twin_init(Twin *t, const PfnRun *runs, size_t n, uint64_t base)
{
    t->set = pfn_set_new(runs, n, &error_abort);
    t->has = g_malloc0(FRAMES + 1);
    t->base = base;
    for (size_t i = 0; i < n; i++) {
        memset(t->has + (runs[i].first - base), 1, runs[i].count);
    }
}

static void twin_deinit(Twin *t)
{
    pfn_set_free(t->set);
    g_free(t->has);
}

static void twin_remove(Twin *t, uint64_t first, uint64_t count)
{
    const PfnRun run = { t->base + first, count };
    uint64_t removed, expected = 0;

    for (uint64_t i = first; i < first + count; i++) {
        expected += t->has[i];
        t->has[i] = 0;
    }
    g_assert_true(pfn_set_remove(t->set, &run, &removed, &error_abort));
    g_assert_cmpuint(removed, ==, expected);
}

static void check_count(const Twin *t)
{
    uint64_t n = 0;

    for (uint64_t i = 0; i < FRAMES; i++) {
        if (i % 61 == 0 || i % B < 2 || t->has[i] != t->has[i + 1]) {
            g_assert_cmpuint(pfn_set_rank(t->set, t->base + i), ==, n);
        }
        if (t->has[i]) {
            if (n % 97 == 0 || !t->has[i + 1]) {
                g_assert_cmpuint(pfn_set_nth(t->set, n), ==, t->base + i);
            }
            n++;
        }
    }
    g_assert_cmpuint(pfn_set_count(t->set), ==, n);
    g_assert_cmpuint(pfn_set_nth(t->set, n), ==, UINT64_MAX);
    g_assert_cmpuint(pfn_set_rank(t->set, t->base + FRAMES), ==, n);
    g_assert_cmpuint(pfn_set_rank(t->set, UINT64_MAX), ==, n);
    if (t->base) {
        g_assert_cmpuint(pfn_set_rank(t->set, t->base - 1), ==, 0);
    }
}

/* Walk all page frames in pieces of @max. */
static void check_walk(const Twin *t, uint64_t max)
{
    uint64_t at = 0;
    PfnRun run;

    while (pfn_set_next(t->set, t->base + at, max, &run)) {
        for (; at < run.first - t->base; at++) {
            g_assert_cmpint(t->has[at], ==, 0);
        }
        g_assert_cmpuint(run.count, >, 0);
        g_assert_cmpuint(run.count, <=, max);
        for (; at < run.first - t->base + run.count; at++) {
            g_assert_cmpint(t->has[at], ==, 1);
        }
        /* A run is as long as possible. */
        g_assert_true(run.count == max || at == FRAMES || !t->has[at]);
    }
    for (; at < FRAMES; at++) {
        g_assert_cmpint(t->has[at], ==, 0);
    }
}

static void check_window(const Twin *t, uint64_t first, uint64_t limit,
                         size_t len)
{
    g_autofree uint8_t *buf = g_malloc(len);

    memset(buf, 0xaa, len);
    pfn_set_fill(t->set, t->base + first,
                 limit == UINT64_MAX ? limit : t->base + limit, buf, len);
    for (uint64_t i = 0; i < len * 8; i++) {
        uint64_t pfn = first + i;
        bool has = pfn < FRAMES && pfn < limit && t->has[pfn];

        g_assert_cmpint(buf[i / 8] >> i % 8 & 1, ==, has);
    }
}

static void check(const Twin *t)
{
    check_count(t);
    check_walk(t, 1 << 20);
    check_walk(t, 128);
    check_window(t, 0, UINT64_MAX, FRAMES / 8);
    check_window(t, 64, UINT64_MAX, 100);
    check_window(t, B - 64, 2 * B + 5, 3 * B / 8);
    check_window(t, 2 * B + 8, B, 1000);
    check_window(t, 4 * B, 4 * B + 3, B / 4);
}

static void test_random(gconstpointer data)
{
    uint64_t base = *(const uint64_t *)data;
    const PfnRun runs[] = {
        { base + 3, 100 }, { base + 120, B }, { base + 2 * B, 2 * B },
        { base + 4 * B + 64, 700 }, { base + 5 * B - 1, 1 },
    };
    GRand *rand = g_rand_new_with_seed(15);
    Twin t;

    twin_init(&t, runs, ARRAY_SIZE(runs), base);
    check(&t);
    for (unsigned round = 0; round < 6; round++) {
        for (unsigned i = 0; i < 300; i++) {
            uint64_t first = g_rand_int_range(rand, 0, FRAMES - 64);
            uint64_t most = i ? 64 : FRAMES - first;

            twin_remove(&t, first, g_rand_int_range(rand, 1, most));
        }
        pfn_set_seal(t.set);
        check(&t);
    }
    twin_remove(&t, 0, FRAMES);
    pfn_set_seal(t.set);
    check(&t);
    g_assert_cmpuint(pfn_set_count(t.set), ==, 0);
    twin_deinit(&t);
    g_rand_free(rand);
}

/* Full blocks, which are stored without a bitmap. */
static void test_whole_blocks(void)
{
    const PfnRun runs[] = { { 0, FRAMES } };
    Twin t;

    twin_init(&t, runs, 1, 0);
    check(&t);
    twin_remove(&t, B, B);
    twin_remove(&t, 3 * B, 1);
    twin_remove(&t, 4 * B - 1, 2);
    pfn_set_seal(t.set);
    check(&t);
    twin_deinit(&t);
}

static void test_far_apart(void)
{
    const PfnRun runs[] = { { 1, 2 }, { 1ULL << 40, 3 }, { 1ULL << 52, B } };
    g_autoptr(PfnSet) set = pfn_set_new(runs, 3, &error_abort);
    const PfnRun all = { 0, UINT64_MAX };
    uint64_t removed;
    PfnRun run;

    g_assert_cmpuint(pfn_set_count(set), ==, B + 5);
    g_assert_cmpuint(pfn_set_nth(set, 4), ==, (1ULL << 40) + 2);
    g_assert_cmpuint(pfn_set_nth(set, 5), ==, 1ULL << 52);
    g_assert_true(pfn_set_next(set, 3, 10, &run));
    g_assert_cmpuint(run.first, ==, 1ULL << 40);
    g_assert_cmpuint(run.count, ==, 3);
    g_assert_false(pfn_set_next(set, (1ULL << 52) + B, 10, &run));
    g_assert_true(pfn_set_remove(set, &all, &removed, &error_abort));
    g_assert_cmpuint(removed, ==, B + 5);
}

static void test_empty(void)
{
    g_autoptr(PfnSet) set = pfn_set_new(NULL, 0, &error_abort);
    PfnRun run = { 7, 9 };
    uint64_t removed = 1;

    g_assert_cmpuint(pfn_set_count(set), ==, 0);
    g_assert_false(pfn_set_next(set, 0, 1, &run));
    g_assert_true(pfn_set_remove(set, &run, &removed, &error_abort));
    g_assert_cmpuint(removed, ==, 0);
}

int main(int argc, char **argv)
{
    static const uint64_t low = 0, high = 1ULL << 40;

    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/dump/pfn-set/random", &low, test_random);
    g_test_add_data_func("/dump/pfn-set/random-high", &high, test_random);
    g_test_add_func("/dump/pfn-set/whole-blocks", test_whole_blocks);
    g_test_add_func("/dump/pfn-set/far-apart", test_far_apart);
    g_test_add_func("/dump/pfn-set/empty", test_empty);
    return g_test_run();
}
