/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Progress: counters, and the assertion about the total.
 */

#include "qemu/osdep.h"
#include "progress.h"

static void test_sums(void)
{
    DumpProgress p;

    dump_progress_init(&p);
    dump_progress_set_total(&p, 100);
    dump_progress_advance(&p, 60);
    dump_progress_advance(&p, 40);
    dump_progress_add_written(&p, 7);
    dump_progress_add_written(&p, 8);
    g_assert_cmpuint(dump_progress_total(&p), ==, 100);
    g_assert_cmpuint(dump_progress_completed(&p), ==, 100);
    g_assert_cmpuint(dump_progress_written(&p), ==, 15);
    g_assert_false(dump_progress_cancelled(&p));
    dump_progress_cancel(&p);
    g_assert_true(dump_progress_cancelled(&p));
}

static void test_phase(void)
{
    DumpProgress p;

    dump_progress_init(&p);
    g_assert_cmpint(dump_progress_phase(&p), ==, DUMP_PROGRESS_COLLECT);
    dump_progress_set_phase(&p, DUMP_PROGRESS_CLOSE);
    g_assert_cmpint(dump_progress_phase(&p), ==, DUMP_PROGRESS_CLOSE);
}

/* Cancellation takes effect at once, or at the end of the grace. */
static void test_grace(void)
{
    DumpProgress p;

    dump_progress_init(&p);
    g_assert_false(dump_progress_out_of_time(&p));
    dump_progress_cancel(&p);
    g_assert_true(dump_progress_out_of_time(&p));
    dump_progress_set_grace(&p, 3600 * 1000);
    g_assert_false(dump_progress_out_of_time(&p));
    dump_progress_set_grace(&p, 0);
    g_assert_true(dump_progress_out_of_time(&p));
}

static void test_rate(void)
{
    DumpProgress p;

    dump_progress_init(&p);
    dump_progress_set_total(&p, 1ULL << 40);
    g_usleep(1000);
    dump_progress_advance(&p, 1ULL << 30);
    g_usleep(1000);
    g_assert_cmpuint(dump_progress_rate(&p), >, 0);
}

static void test_past_total(void)
{
    if (g_test_subprocess()) {
        DumpProgress p;

        dump_progress_init(&p);
        dump_progress_set_total(&p, 100);
        dump_progress_advance(&p, 60);
        dump_progress_advance(&p, 41);
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_failed();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/progress/sums", test_sums);
    g_test_add_func("/dump/progress/phase", test_phase);
    g_test_add_func("/dump/progress/grace", test_grace);
    g_test_add_func("/dump/progress/rate", test_rate);
    g_test_add_func("/dump/progress/past-total", test_past_total);
    return g_test_run();
}
