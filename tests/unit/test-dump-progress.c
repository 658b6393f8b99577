/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Progress: sums, and the assertion that guards the total.
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
    g_test_add_func("/dump/progress/past-total", test_past_total);
    return g_test_run();
}
