/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Windows crash dumps are read back: header, runs, every page.
 */

#include "qemu/osdep.h"
#include "dump-test-windows.h"

static const DumpFormat windmp = { .kind = DUMP_KIND_WINDMP };

typedef struct Run {
    uint64_t first, count;
} Run;

static bool is64(const TestImage *f)
{
    return !memcmp(test_at(f, 0, 8), "PAGEDU64", 8);
}

static uint64_t nr_runs(const TestImage *f)
{
    return test_get(f, is64(f) ? 0x88 : 0x64, 4);
}

static Run get_run(const TestImage *f, uint64_t i)
{
    return is64(f) ? (Run) { test_get(f, 0x98 + 16 * i, 8),
                             test_get(f, 0xa0 + 16 * i, 8) } :
                     (Run) { test_get(f, 0x6c + 8 * i, 4),
                             test_get(f, 0x70 + 8 * i, 4) };
}

/*
 * Header and runs are consistent with the file and with each other; each page
 * has the contents of guest memory. Pages of runs that are not memory are
 * zero.
 */
static void check_file(const TestImage *f, TestGuest *t)
{
    uint64_t at = is64(f) ? 0x2000 : 0x1000, pages = 0, bytes = 0;
    uint8_t want[4096];

    for (uint64_t i = 0; i < nr_runs(f); i++) {
        Run r = get_run(f, i);

        g_assert_cmpuint(r.count, >, 0);
        if (i) {
            Run before = get_run(f, i - 1);

            g_assert_cmpuint(before.first + before.count, <, r.first);
        }
        for (uint64_t n = 0; n < r.count; n++, at += 4096) {
            bytes += test_guest_read(&t->g, (r.first + n) * 4096, want,
                                     4096);
            g_assert_true(!memcmp(test_at(f, at, 4096), want, 4096));
        }
        pages += r.count;
    }
    g_assert_cmpuint(bytes, ==, t->g.ram.bytes);
    g_assert_cmpuint(f->len, ==, at);
    g_assert_cmpuint(test_get(f, is64(f) ? 0x90 : 0x68, is64(f) ? 8 : 4), ==,
                     pages);
    g_assert_cmpuint(test_get(f, is64(f) ? 0xf98 : 0xf88, 4), ==, 1);
    g_assert_cmpuint(test_get(f, 0xfa0, 8), ==, at);
}

static void check_dump(bool wide, TestOutput kind)
{
    g_autoptr(TestImage) f = NULL;
    g_auto(TestWindows) w;
    uint64_t plan;
    Run r;

    win_init(&w, wide);
    test_guest_add(&w.t, 0, 0xa0000);
    /* Contiguous in the guest, not on the host; unaligned. */
    test_guest_add(&w.t, WIN_RAM + WIN_RAM_SIZE, 0x1010);
    test_guest_add(&w.t, 0xfffc0800, 0x3f800);
    g_assert_null(win_describe(&w, WIN_CPUS));
    f = test_dump(&windmp, &w.t, kind, 1, &plan);
    if (kind == TEST_OLD_FILE) {
        g_assert_cmpuint(f->len, ==, TEST_OLD_SIZE);
        f->len = plan;
    }
    g_assert_cmpuint(f->len, ==, plan);
    g_assert_true(is64(f) == wide);
    g_assert_cmpuint(nr_runs(f), ==, 3);
    r = get_run(f, 1);
    g_assert_cmpuint(r.first, ==, WIN_RAM >> 12);
    g_assert_cmpuint(r.count, ==, (WIN_RAM_SIZE >> 12) + 2);
    check_file(f, &w.t);
    /* The rest of the header is unchanged. */
    g_assert_cmpmem(test_at(f, wide ? 0xfa8 : 0xfa8, 0x58), 0x58,
                    w.header + 0xfa8, 0x58);
    g_assert_cmpuint(test_get(f, wide ? 0x38 : 0x28, 4), ==, 0x161);
}

static void test_memory(void)
{
    for (int wide = 0; wide < 2; wide++) {
        check_dump(wide, TEST_FILE);
        check_dump(wide, TEST_STREAM);
        check_dump(wide, TEST_OLD_FILE);
    }
}

/* The maximum number of runs, and more, which are merged. */
static void check_many(bool wide, unsigned n, uint64_t want)
{
    g_autoptr(TestImage) f = NULL;
    g_auto(TestWindows) w;
    uint64_t plan, pages = 0;

    win_init(&w, wide);
    for (unsigned i = 1; i < n; i++) {
        /* Gaps of 1, 2, 3 and 40 pages. */
        pages += 2 + (i % 4 ? i % 4 : 40);
        test_guest_add(&w.t, 0x1000000 + pages * 4096, 0x2000);
    }
    g_assert_null(win_describe(&w, WIN_CPUS));
    f = test_dump(&windmp, &w.t, TEST_STREAM, 1, &plan);
    g_assert_cmpuint(nr_runs(f), ==, want);
    check_file(f, &w.t);
    /* Only the smallest gaps were filled. */
    g_assert_cmpuint(f->len, <=, 0x2000 + WIN_RAM_SIZE +
                     (2 * n + 3 * (n - want)) * 4096);
}

static void test_many_runs(void)
{
    check_many(true, 42, 42);
    check_many(true, 43, 42);
    check_many(true, 150, 42);
    check_many(false, 86, 86);
    check_many(false, 87, 86);
    check_many(false, 300, 86);
}

/* Zeroes in a new file become holes. */
static void test_holes(void)
{
    g_autoptr(TestImage) f = NULL;
    g_auto(TestWindows) w;
    TestBlock *b;
    uint64_t plan;

    win_init(&w, true);
    b = test_guest_add(&w.t, 0x1000000, 16 << 20);
    memset(b->host, 0, b->size);
    g_assert_null(win_describe(&w, WIN_CPUS));
    f = test_dump(&windmp, &w.t, TEST_FILE, 1, &plan);
    check_file(f, &w.t);
    g_assert_cmpuint(f->blocks * 512, <=, WIN_RAM_SIZE + 256 * 1024);
}

/* The maximum number of 32-bit page frames fits, one more does not. */
static void test_too_large(void)
{
    g_autofree char *text = NULL;
    g_auto(TestWindows) w;

    win_init(&w, false);
    test_guest_add(&w.t, 0xfffffffeULL << 12, 0x1000);
    test_guest_add(&w.t, 0xffffffffULL << 12, 0x1000);
    g_assert_null(win_describe(&w, WIN_CPUS));
    text = test_plan_error(&windmp, &w.t.g);
    g_assert_nonnull(strstr(text, "too large for a 32-bit"));
}

static void test_too_large_64(void)
{
    g_autofree char *text = NULL;
    g_auto(TestWindows) w;

    win_init(&w, true);
    test_guest_add(&w.t, -0x1000ULL, 0x1000);
    g_assert_null(win_describe(&w, WIN_CPUS));
    text = test_plan_error(&windmp, &w.t.g);
    g_assert_nonnull(strstr(text, "too large for a 64-bit"));
}

static void test_no_windows(void)
{
    const DumpAbi abi = { ELFCLASS64, ELFDATA2LSB, EM_X86_64 };
    g_autofree char *text = NULL;
    g_auto(TestGuest) t;

    test_guest_init(&t, &abi, 4096);
    test_guest_add(&t, 0, 0x1000);
    dump_guest_seal(&t.g, 0, 0);
    text = test_plan_error(&windmp, &t.g);
    g_assert_nonnull(strstr(text, "no Windows crash dump header"));
}

static void test_not_flat(void)
{
    const DumpFormat flat = { .kind = DUMP_KIND_WINDMP, .flat = true };

    g_assert_true(dump_writer_available(&windmp));
    g_assert_false(dump_writer_available(&flat));
}

static void test_full(void)
{
    g_autofree char *text = NULL;
    g_auto(TestWindows) w;

    win_init(&w, true);
    g_assert_null(win_describe(&w, WIN_CPUS));
    text = test_full_error(&windmp, &w.t.g, 1);
    g_assert_true(g_str_has_prefix(text, "dump: writing "));
    g_assert_nonnull(strstr(text, "No space left on device"));
}

static void test_cancel(void)
{
    g_autofree char *text = NULL;
    g_auto(TestWindows) w;

    win_init(&w, true);
    g_assert_null(win_describe(&w, WIN_CPUS));
    text = test_cancel_error(&windmp, &w.t.g, 1);
    g_assert_cmpstr(text, ==, "dump: cancelled");
}

/*
 * An incomplete file has no signature, neither in a new file nor one left over
 * from its old contents.
 */
static void check_cut(TestOutput kind)
{
    g_autofree char *path = NULL;
    g_auto(TestWindows) w;
    char head[8] = "PAGEDU64";
    DumpProgress progress;
    Error *err = NULL;
    DumpWriter *writer;
    DumpSink *sink;
    int fd;

    win_init(&w, true);
    g_assert_null(win_describe(&w, WIN_CPUS));
    fd = test_output_open(kind, &path);
    if (kind == TEST_OLD_FILE) {
        g_assert_cmpint(pwrite(fd, head, 8, 0), ==, 8);
    }
    writer = test_plan(&windmp, &w.t.g, 1, &progress);
    sink = dump_sink_fd_new(fd, &progress);
    dump_progress_cancel(&progress);
    g_assert_false(dump_writer_write(writer, sink, &err));
    error_free(err);
    dump_sink_free(sink);
    dump_writer_free(writer);

    fd = open(path, O_RDONLY);
    memset(head, 0, 8);
    g_assert_cmpint(pread(fd, head, 8, 0), >=, 0);
    g_assert_true(memcmp(head, "PAGEDU64", 8) != 0);
    close(fd);
    g_unlink(path);
}

static void test_cut(void)
{
    check_cut(TEST_FILE);
    check_cut(TEST_OLD_FILE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/writer-windmp/memory", test_memory);
    g_test_add_func("/dump/writer-windmp/many-runs", test_many_runs);
    g_test_add_func("/dump/writer-windmp/holes", test_holes);
    g_test_add_func("/dump/writer-windmp/too-large", test_too_large);
    g_test_add_func("/dump/writer-windmp/too-large-64", test_too_large_64);
    g_test_add_func("/dump/writer-windmp/no-windows", test_no_windows);
    g_test_add_func("/dump/writer-windmp/not-flat", test_not_flat);
    g_test_add_func("/dump/writer-windmp/full", test_full);
    g_test_add_func("/dump/writer-windmp/cancel", test_cancel);
    g_test_add_func("/dump/writer-windmp/cut", test_cut);
    return g_test_run();
}
