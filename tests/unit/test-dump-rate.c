/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The smoothed rate, with an artificial clock.
 */

#include "qemu/osdep.h"
#include "rate.h"

#define SECOND 1000000ULL

static void test_nothing(void)
{
    DumpRate r;

    dump_rate_init(&r, 5 * SECOND);
    g_assert_cmpuint(dump_rate_get(&r, 5 * SECOND, 0), ==, 0);
    g_assert_cmpuint(dump_rate_get(&r, 9 * SECOND, 0), ==, 0);
    /* Time slightly before the start. */
    g_assert_cmpuint(dump_rate_get(&r, 4 * SECOND, 0), ==, 0);
}

/* Before the first sample: the average so far. */
static void test_beginning(void)
{
    DumpRate r;

    dump_rate_init(&r, SECOND);
    dump_rate_update(&r, SECOND + 1000, 500);
    g_assert_cmpuint(dump_rate_get(&r, SECOND + 1000, 500), ==, 500000);
}

static void test_steady(void)
{
    DumpRate r;
    uint64_t amount = 0;

    dump_rate_init(&r, 0);
    for (uint64_t t = 10000; t <= 3 * SECOND; t += 10000) {
        amount += 1000;
        dump_rate_update(&r, t, amount);
    }
    g_assert_cmpuint(dump_rate_get(&r, 3 * SECOND, amount), ==, 100000);
}

/* The rate follows a change within seconds; a single spike is smoothed. */
static void test_change(void)
{
    DumpRate r;

    dump_rate_init(&r, 0);
    dump_rate_update(&r, SECOND, 1000);
    dump_rate_update(&r, 2 * SECOND, 11000);
    g_assert_cmpuint(dump_rate_get(&r, 2 * SECOND, 11000), ==, 3250);
    for (int i = 3; i < 40; i++) {
        dump_rate_update(&r, i * SECOND, 11000 + (i - 2) * 10000);
    }
    g_assert_cmpuint(dump_rate_get(&r, 39 * SECOND, 381000), >, 9990);
    g_assert_cmpuint(dump_rate_get(&r, 39 * SECOND, 381000), <=, 10000);
}

/* On a stall the rate decreases without updates. */
static void test_stall(void)
{
    DumpRate r;

    dump_rate_init(&r, 0);
    dump_rate_update(&r, SECOND, 1000);
    g_assert_cmpuint(dump_rate_get(&r, SECOND + 1000, 1000), ==, 1000);
    g_assert_cmpuint(dump_rate_get(&r, 2 * SECOND, 1000), ==, 0);
    g_assert_cmpuint(dump_rate_get(&r, 11 * SECOND, 2000), ==, 100);
}

static void test_large(void)
{
    DumpRate r;

    dump_rate_init(&r, 0);
    dump_rate_update(&r, SECOND, 1ULL << 62);
    g_assert_cmpuint(dump_rate_get(&r, SECOND, 1ULL << 62), ==, 1ULL << 62);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/rate/nothing", test_nothing);
    g_test_add_func("/dump/rate/beginning", test_beginning);
    g_test_add_func("/dump/rate/steady", test_steady);
    g_test_add_func("/dump/rate/change", test_change);
    g_test_add_func("/dump/rate/stall", test_stall);
    g_test_add_func("/dump/rate/large", test_large);
    return g_test_run();
}
