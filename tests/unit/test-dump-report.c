/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Warnings about a dump and counters of omitted memory.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "report.h"

static void test_empty(void)
{
    g_auto(GStrv) none = dump_report_warnings(NULL);
    g_auto(GStrv) warnings = NULL;
    DumpReport r;

    dump_report_init(&r);
    warnings = dump_report_warnings(&r);
    g_assert_cmpuint(g_strv_length(warnings), ==, 0);
    g_assert_cmpuint(g_strv_length(none), ==, 0);
    g_assert_cmpuint(dump_report_lost(&r), ==, 0);
    g_assert_cmpuint(dump_report_lost(NULL), ==, 0);
    dump_report_warn(NULL, "nobody asked");
    dump_report_add_lost(NULL, 1);
    dump_report_add_left_out(NULL, 1);
    g_assert_cmpuint(dump_report_left_out(NULL), ==, 0);
    g_assert_cmpuint(dump_report_left_out(&r), ==, 0);
    dump_report_deinit(&r);
}

static void test_order(void)
{
    g_auto(GStrv) warnings = NULL;
    Error *err = NULL;
    DumpReport r;

    dump_report_init(&r);
    error_setg(&err, "second");
    dump_report_warn(&r, "first %d", 1);
    dump_report_warn_err(&r, err);
    dump_report_warn_err(&r, NULL);
    dump_report_add_lost(&r, 4096);
    dump_report_add_left_out(&r, 77);
    dump_report_add_left_out(&r, 23);
    dump_report_add_lost(&r, 0);
    dump_report_warn(&r, "first %d", 1);
    dump_report_add_lost(&r, 8192);
    warnings = dump_report_warnings(&r);
    g_assert_cmpuint(g_strv_length(warnings), ==, 3);
    g_assert_cmpstr(warnings[0], ==, "first 1");
    g_assert_cmpstr(warnings[1], ==, "second");
    g_assert_cmpstr(warnings[2], ==, "12288 bytes of guest memory could not "
                    "be read and are missing from the dump");
    g_assert_cmpuint(dump_report_lost(&r), ==, 12288);
    g_assert_cmpuint(dump_report_left_out(&r), ==, 100);
    dump_report_deinit(&r);
}

static void test_bound(void)
{
    g_auto(GStrv) warnings = NULL;
    DumpReport r;

    dump_report_init(&r);
    for (unsigned i = 0; i < DUMP_REPORT_MAX_WARNINGS + 5; i++) {
        dump_report_warn(&r, "warning %u", i);
    }
    warnings = dump_report_warnings(&r);
    g_assert_cmpuint(g_strv_length(warnings), ==,
                     DUMP_REPORT_MAX_WARNINGS + 1);
    g_assert_cmpstr(warnings[DUMP_REPORT_MAX_WARNINGS], ==,
                    "5 more warnings");
    dump_report_deinit(&r);
}

static void test_classes(void)
{
    DumpReport r;

    dump_report_init(&r);
    dump_report_add_class(&r, PAGE_CLASS_FREE, 5);
    dump_report_add_class(&r, PAGE_CLASS_UNUSABLE, 7);
    dump_report_add_class(&r, PAGE_CLASS_FREE, 5);
    dump_report_add_class(NULL, PAGE_CLASS_FREE, 5);
    g_assert_cmpuint(dump_report_class(&r, PAGE_CLASS_FREE), ==, 10);
    g_assert_cmpuint(dump_report_class(&r, PAGE_CLASS_UNUSABLE), ==, 7);
    g_assert_cmpuint(dump_report_class(&r, PAGE_CLASS_USER), ==, 0);
    g_assert_cmpuint(dump_report_class(NULL, PAGE_CLASS_FREE), ==, 0);
    dump_report_deinit(&r);
}

static gpointer add(gpointer opaque)
{
    for (unsigned i = 0; i < 1000; i++) {
        dump_report_add_lost(opaque, 1);
        dump_report_warn(opaque, "the same");
    }
    return NULL;
}

static void test_threads(void)
{
    g_auto(GStrv) warnings = NULL;
    GThread *threads[4];
    DumpReport r;

    dump_report_init(&r);
    for (unsigned i = 0; i < ARRAY_SIZE(threads); i++) {
        threads[i] = g_thread_new("add", add, &r);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(threads); i++) {
        g_thread_join(threads[i]);
    }
    warnings = dump_report_warnings(&r);
    g_assert_cmpuint(g_strv_length(warnings), ==, 2);
    g_assert_cmpuint(dump_report_lost(&r), ==, 4000);
    dump_report_deinit(&r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/report/empty", test_empty);
    g_test_add_func("/dump/report/order", test_order);
    g_test_add_func("/dump/report/bound", test_bound);
    g_test_add_func("/dump/report/classes", test_classes);
    g_test_add_func("/dump/report/threads", test_threads);
    return g_test_run();
}
