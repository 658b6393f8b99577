/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The bandwidth limit, with a simulated clock.
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "throttle.h"

#define SECOND 1000000ULL

/* Write @bytes in pieces of @piece; returns the time when it is done. */
static uint64_t spend(DumpThrottle *t, uint64_t now, uint64_t bytes,
                      uint64_t piece)
{
    while (bytes) {
        uint64_t n = MIN(bytes, piece), us;

        while ((us = dump_throttle_wait(t, now, n))) {
            now += us;
        }
        dump_throttle_spend(t, n);
        bytes -= n;
    }
    return now;
}

static void test_none(void)
{
    DumpThrottle t;

    dump_throttle_init(&t, 0, 5);
    g_assert_cmpuint(dump_throttle_piece(&t), ==, UINT64_MAX);
    g_assert_cmpuint(dump_throttle_wait(&t, 5, UINT64_MAX), ==, 0);
    dump_throttle_spend(&t, UINT64_MAX);
    g_assert_cmpuint(dump_throttle_wait(&t, 5, UINT64_MAX), ==, 0);
}

static void test_piece(void)
{
    DumpThrottle t;

    dump_throttle_init(&t, 100 * MiB, 0);
    g_assert_cmpuint(dump_throttle_piece(&t), ==, 10 * MiB);
    dump_throttle_init(&t, 1, 0);
    g_assert_cmpuint(dump_throttle_piece(&t), ==, 4096);
    dump_throttle_init(&t, UINT64_MAX, 0);
    g_assert_cmpuint(dump_throttle_piece(&t), ==, UINT64_MAX / 10 & ~4095ull);
    /* Rounded down to whole pages. */
    dump_throttle_init(&t, 500000, 0);
    g_assert_cmpuint(dump_throttle_piece(&t), ==, 12 * 4096);
}

/* For any size of pieces the total time is exact, up to rounding. */
static void test_time(void)
{
    static const uint64_t pieces[] = { 4096, 65536, 10000, 1, 2 * MiB };

    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
        uint64_t begin = 77 * SECOND, bytes = pieces[i] * 500, took;
        uint64_t rate = MAX(bytes / 10, 1);
        DumpThrottle t;

        dump_throttle_init(&t, rate, begin);
        took = spend(&t, begin, bytes, pieces[i]) - begin;
        /* Each wait is rounded up to a microsecond. */
        g_assert_cmpuint(took, >=, bytes * SECOND / rate);
        g_assert_cmpuint(took, <=, bytes * SECOND / rate + 1000);
    }
}

/* A piece may be written only after the time that it takes. */
static void test_begin(void)
{
    DumpThrottle t;

    dump_throttle_init(&t, 1000000, 0);
    g_assert_cmpuint(dump_throttle_wait(&t, 0, 50000), >=, 50000);
    g_assert_cmpuint(dump_throttle_wait(&t, 25000, 50000), >=, 25000);
    g_assert_cmpuint(dump_throttle_wait(&t, 25000, 50000), <=, 25001);
    g_assert_cmpuint(dump_throttle_wait(&t, 50001, 50000), ==, 0);
    /* Nothing was spent, so there is no further wait. */
    g_assert_cmpuint(dump_throttle_wait(&t, 50001, 50000), ==, 0);
    dump_throttle_spend(&t, 50000);
    g_assert_cmpuint(dump_throttle_wait(&t, 50001, 50000), >, 49000);
}

/* After an idle hour the burst is limited to one piece. */
static void test_burst(void)
{
    DumpThrottle t;
    uint64_t now = 3600 * SECOND, piece;

    dump_throttle_init(&t, 1000000, 0);
    piece = dump_throttle_piece(&t);
    g_assert_cmpuint(piece, <=, 100000);
    g_assert_cmpuint(dump_throttle_wait(&t, now, 1024), ==, 0);
    now = spend(&t, now, piece, 1024);
    g_assert_cmpuint(now, ==, 3600 * SECOND);
    /* At this rate a byte takes one microsecond. */
    now = spend(&t, now, piece, 1024) - now;
    g_assert_cmpuint(now, >=, piece);
}

/* Writes larger than a piece, such as a block node's requests. */
static void test_large(void)
{
    DumpThrottle t;
    uint64_t took;

    dump_throttle_init(&t, 10000, 0);
    took = spend(&t, 0, 5 * 512 * KiB, 512 * KiB);
    g_assert_cmpuint(took, >=, 5 * 512 * KiB * 100ULL);
    g_assert_cmpuint(took, <=, 5 * 512 * KiB * 100ULL + 10);
}

/* Extreme rates and sizes. */
static void test_extremes(void)
{
    DumpThrottle t;

    dump_throttle_init(&t, 1, 0);
    g_assert_cmpuint(dump_throttle_wait(&t, 0, UINT64_MAX), >, 0);
    dump_throttle_init(&t, UINT64_MAX, 0);
    g_assert_cmpuint(dump_throttle_wait(&t, 1, MiB), ==, 0);
    dump_throttle_spend(&t, MiB);
    g_assert_cmpuint(dump_throttle_wait(&t, 2, MiB), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/throttle/none", test_none);
    g_test_add_func("/dump/throttle/piece", test_piece);
    g_test_add_func("/dump/throttle/time", test_time);
    g_test_add_func("/dump/throttle/begin", test_begin);
    g_test_add_func("/dump/throttle/burst", test_burst);
    g_test_add_func("/dump/throttle/large", test_large);
    g_test_add_func("/dump/throttle/extremes", test_extremes);
    return g_test_run();
}
