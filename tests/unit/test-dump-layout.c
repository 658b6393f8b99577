/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Layout: offsets, alignment, and assertions about writes outside of the plan.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "layout.h"
#include "sink-fd.h"

static DumpSink *null_sink(void)
{
    return dump_sink_fd_new(open("/dev/null", O_WRONLY), NULL);
}

static void test_offsets(void)
{
    g_autoptr(DumpLayout) l = dump_layout_new();

    g_assert_cmpuint(dump_layout_end(l), ==, 0);
    g_assert_cmpuint(dump_layout_add(l, "a", 10, 1), ==, 0);
    g_assert_cmpuint(dump_layout_add(l, "b", 0, 8), ==, 1);
    g_assert_cmpuint(dump_layout_add(l, "c", 5, 4096), ==, 2);
    g_assert_cmpuint(dump_layout_add(l, "d", DUMP_EXTENT_OPEN, 4), ==, 3);
    g_assert_cmpuint(dump_layout_offset(l, 0), ==, 0);
    g_assert_cmpuint(dump_layout_offset(l, 1), ==, 16);
    g_assert_cmpuint(dump_layout_offset(l, 2), ==, 4096);
    g_assert_cmpuint(dump_layout_size(l, 2), ==, 5);
    g_assert_cmpuint(dump_layout_offset(l, 3), ==, 4104);
    g_assert_cmpuint(dump_layout_end(l), ==, 4104);
}

static void test_complete(void)
{
    g_autoptr(DumpLayout) l = dump_layout_new();
    g_autoptr(DumpSink) s = null_sink();

    dump_layout_add(l, "a", 4, 1);
    dump_layout_add(l, "b", 10, 1);
    dump_layout_add(l, "c", DUMP_EXTENT_OPEN, 1);
    g_assert_false(dump_layout_complete(l));
    g_assert_true(dump_layout_write(l, 0, 0, "abcd", 4, s, &error_abort));
    g_assert_true(dump_layout_write(l, 1, 8, "ab", 2, s, &error_abort));
    dump_layout_skip(l, 1, 7);
    g_assert_false(dump_layout_complete(l));
    g_assert_true(dump_layout_write(l, 1, 7, "x", 1, s, &error_abort));
    g_assert_true(dump_layout_complete(l));
    g_assert_true(dump_layout_write(l, 2, 0, "xyz", 3, s, &error_abort));
    g_assert_true(dump_layout_write(l, 2, 3, "xyz", 3, s, &error_abort));
    g_assert_true(dump_layout_complete(l));
    g_assert_cmpuint(dump_layout_end(l), ==, 20);
}

static void test_error_names_extent(void)
{
    g_autoptr(DumpLayout) l = dump_layout_new();
    g_autoptr(DumpSink) s =
        dump_sink_fd_new(open("/dev/full", O_WRONLY), NULL);
    Error *err = NULL;

    dump_layout_add(l, "page bitmap", 4, 1);
    g_assert_false(dump_layout_write(l, 0, 0, "abcd", 4, s, &err));
    g_assert_cmpstr(error_get_pretty(err), ==, "dump: writing page bitmap: "
                    "No space left on device");
    error_free(err);
}

/* Bytes are written to the extent's offset in the file. */
static void test_places(void)
{
    g_autoptr(DumpLayout) l = dump_layout_new();
    g_autofree char *path = NULL, *data = NULL;
    DumpSink *s = dump_sink_fd_new(g_file_open_tmp("dump-layout-XXXXXX",
                                                   &path, NULL), NULL);
    struct iovec iov[] = { { (char *)"cd", 2 }, { (char *)"e", 1 } };
    gsize len;

    dump_layout_add(l, "a", 2, 1);
    dump_layout_add(l, "b", 4, 4);
    g_assert_true(dump_layout_writev(l, 1, 1, iov, 2, s, &error_abort));
    g_assert_true(dump_layout_write(l, 0, 0, "ab", 2, s, &error_abort));
    g_assert_true(dump_layout_write(l, 0, 2, NULL, 0, s, &error_abort));
    g_assert_false(dump_layout_complete(l));
    g_assert_true(dump_layout_write(l, 1, 0, "-", 1, s, &error_abort));
    g_assert_true(dump_layout_complete(l));
    g_assert_true(dump_sink_finish(s, dump_layout_end(l), &error_abort));
    dump_sink_free(s);
    g_assert_true(g_file_get_contents(path, &data, &len, NULL));
    g_assert_cmpmem(data, len, "ab\0\0-cde", 8);
    unlink(path);
}

/* Without holes, old data in gaps is overwritten. */
static void test_gaps(void)
{
    g_autoptr(DumpLayout) l = dump_layout_new();
    g_autofree char *path = NULL, *data = NULL;
    int fd = g_file_open_tmp("dump-layout-XXXXXX", &path, NULL);
    DumpSink *s;
    gsize len;

    g_assert_cmpint(pwrite(fd, "0123456789012345678", 19, 0), ==, 19);
    s = dump_sink_fd_new(fd, NULL);
    dump_layout_add(l, "a", 2, 1);
    dump_layout_add(l, "none", 0, 4);
    dump_layout_add(l, "b", 2, 8);
    dump_layout_add(l, "c", DUMP_EXTENT_OPEN, 4);
    g_assert_true(dump_layout_write(l, 3, 0, "c", 1, s, &error_abort));
    g_assert_true(dump_layout_write(l, 0, 0, "aa", 2, s, &error_abort));
    g_assert_true(dump_layout_write(l, 2, 0, "bb", 2, s, &error_abort));
    g_assert_true(dump_sink_finish(s, dump_layout_end(l), &error_abort));
    dump_sink_free(s);
    g_assert_true(g_file_get_contents(path, &data, &len, NULL));
    g_assert_cmpmem(data, len, "aa\0\0\0\0\0\0bb\0\0c345678", 19);
    unlink(path);
}

static void test_restart(void)
{
    g_autoptr(DumpLayout) l = dump_layout_new();
    g_autoptr(DumpSink) s = null_sink();

    dump_layout_add(l, "a", 4, 1);
    g_assert_true(dump_layout_write(l, 0, 0, "abcd", 4, s, &error_abort));
    dump_layout_restart(l, 0);
    g_assert_false(dump_layout_complete(l));
    g_assert_true(dump_layout_write(l, 0, 0, "abcd", 4, s, &error_abort));
    g_assert_true(dump_layout_complete(l));
}

typedef void Wrong(DumpLayout *l, DumpSink *s);

static void wrong_end(DumpLayout *l, DumpSink *s)
{
    dump_layout_write(l, 0, 2, "abc", 3, s, NULL);
}

static void wrong_twice(DumpLayout *l, DumpSink *s)
{
    dump_layout_write(l, 0, 0, "abc", 3, s, NULL);
    dump_layout_write(l, 0, 0, "abc", 3, s, NULL);
}

static void wrong_skip(DumpLayout *l, DumpSink *s)
{
    dump_layout_skip(l, 0, 5);
}

static void wrong_order_open(DumpLayout *l, DumpSink *s)
{
    dump_layout_write(l, 1, 1, "a", 1, s, NULL);
}

static void wrong_behind_open(DumpLayout *l, DumpSink *s)
{
    dump_layout_add(l, "behind", 1, 1);
}

static void wrong_wrap(DumpLayout *l, DumpSink *s)
{
    g_autoptr(DumpLayout) m = dump_layout_new();

    dump_layout_add(m, "a", UINT64_MAX - 10, 1);
    dump_layout_add(m, "b", 20, 1);
}

static void wrong_align(DumpLayout *l, DumpSink *s)
{
    g_autoptr(DumpLayout) m = dump_layout_new();

    dump_layout_add(m, "a", 4, 12);
}

static void wrong_wrap_align(DumpLayout *l, DumpSink *s)
{
    g_autoptr(DumpLayout) m = dump_layout_new();

    dump_layout_add(m, "a", UINT64_MAX - 10, 1);
    dump_layout_add(m, "b", 0, 4096);
}

static void wrong_pos_wrap(DumpLayout *l, DumpSink *s)
{
    dump_layout_write(l, 0, UINT64_MAX, "ab", 2, s, NULL);
}

static void wrong_extent(DumpLayout *l, DumpSink *s)
{
    dump_layout_offset(l, 2);
}

static void wrong_skip_open(DumpLayout *l, DumpSink *s)
{
    dump_layout_skip(l, 1, 1);
}

static Wrong *const wrongs[] = {
    wrong_end, wrong_twice, wrong_skip, wrong_order_open, wrong_behind_open,
    wrong_wrap, wrong_align, wrong_wrap_align, wrong_pos_wrap, wrong_extent,
    wrong_skip_open,
};

static void test_wrong(gconstpointer opaque)
{
    if (g_test_subprocess()) {
        g_autoptr(DumpLayout) l = dump_layout_new();
        g_autoptr(DumpSink) s = null_sink();

        dump_layout_add(l, "a", 4, 1);
        dump_layout_add(l, "b", DUMP_EXTENT_OPEN, 1);
        (*(Wrong *const *)opaque)(l, s);
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_failed();
    g_test_trap_assert_stderr("*Assertion*");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/layout/offsets", test_offsets);
    g_test_add_func("/dump/layout/complete", test_complete);
    g_test_add_func("/dump/layout/places", test_places);
    g_test_add_func("/dump/layout/gaps", test_gaps);
    g_test_add_func("/dump/layout/restart", test_restart);
    g_test_add_func("/dump/layout/error", test_error_names_extent);
    for (size_t i = 0; i < ARRAY_SIZE(wrongs); i++) {
        g_autofree char *path = g_strdup_printf("/dump/layout/wrong/%zu", i);
        g_test_add_data_func(path, &wrongs[i], test_wrong);
    }
    return g_test_run();
}
