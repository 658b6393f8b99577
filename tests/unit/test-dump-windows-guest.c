/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Windows guests: from the header to the context frames, and with invalid data
 * at every step.
 */

#include "qemu/osdep.h"
#include "dump-test-windows.h"

static uint64_t field(const TestWindows *w, WinDmpField f)
{
    return windmp_get(&w->t.g.windows->header, f);
}

/* In the dump, the frame of processor @i has the registers of @cpu. */
static void check_context(TestWindows *w, unsigned i, unsigned cpu)
{
    uint8_t want[WINDMP_CONTEXT_SIZE64], got[WINDMP_CONTEXT_SIZE64];
    size_t n = windmp_context_size(w->is64);

    windmp_put_context(w->is64, &w->cpus[cpu], want);
    g_assert_cmpuint(test_guest_read(&w->t.g, WIN_CONTEXT +
                                    i * WIN_CONTEXT_STEP, got, n), ==, n);
    g_assert_cmpmem(got, n, want, n);
}

/* In the dump, memory is that of the guest except for the frames. */
static void check_memory(TestWindows *w, unsigned nr_contexts)
{
    g_autofree uint8_t *got = g_malloc(WIN_RAM_SIZE);
    size_t n = windmp_context_size(w->is64);

    g_assert_cmpuint(w->t.g.windows->contexts, ==, nr_contexts);
    g_assert_cmpuint(test_guest_read(&w->t.g, WIN_RAM, got, WIN_RAM_SIZE),
                     ==, WIN_RAM_SIZE);
    for (unsigned i = 0; i < nr_contexts; i++) {
        size_t at = WIN_CONTEXT + i * WIN_CONTEXT_STEP - WIN_RAM;

        memcpy(got + at, w->ram.host + at, n);
    }
    g_assert_true(!memcmp(got, w->ram.host, WIN_RAM_SIZE));
    g_assert_cmpuint(w->t.g.ram.bytes, ==, WIN_RAM_SIZE);
}

/* The header's context record has the registers of @cpu. */
static void check_current(TestWindows *w, unsigned cpu)
{
    uint8_t want[WINDMP_CONTEXT_SIZE64];

    windmp_put_context(w->is64, &w->cpus[cpu], want);
    g_assert_cmpmem(w->t.g.windows->header.bytes +
                    (w->is64 ? 0x348 : 0x320),
                    windmp_context_size(w->is64),
                    want, windmp_context_size(w->is64));
}

static void check_live(TestWindows *w)
{
    g_assert_cmphex(field(w, WINDMP_BUGCHECK_CODE), ==, 0x161);
    for (int i = 0; i < 4; i++) {
        g_assert_cmphex(field(w, WINDMP_BUGCHECK_PARAM1 + i), ==, 0);
    }
}

static void check_good(bool is64)
{
    g_auto(TestWindows) w;

    win_init(&w, is64);
    g_assert_null(win_describe(&w, WIN_CPUS));
    check_memory(&w, WIN_CPUS);
    for (unsigned i = 0; i < WIN_CPUS; i++) {
        check_context(&w, i, i);
    }
    check_current(&w, 0);
    check_live(&w);
    g_assert_cmpuint(field(&w, WINDMP_NR_CPUS), ==, WIN_CPUS);
    g_assert_cmphex(field(&w, WINDMP_KDBG), ==, w.base + WIN_KDBG);
}

static void test_good(void)
{
    check_good(true);
    check_good(false);
}

/* Windows and QEMU number CPUs differently; GS or FS identifies them. */
static void check_order(bool is64)
{
    static const unsigned order[WIN_CPUS] = { 2, 0, 1 };
    g_auto(TestWindows) w;

    win_init(&w, is64);
    for (unsigned i = 0; i < WIN_CPUS; i++) {
        WinDmpCpu *cpu = &w.cpus[order[i]];

        cpu->fs_base = cpu->gs_base = w.base + WIN_PRCB +
                                      i * WIN_PRCB_STEP - WIN_PCR_PRCB;
        if (is64 && i == 1) {
            /* A CPU in user mode has swapped GS bases. */
            cpu->kernel_gs_base = cpu->gs_base;
            cpu->gs_base = 0x7ff00000;
        }
    }
    g_assert_null(win_describe(&w, WIN_CPUS));
    check_memory(&w, WIN_CPUS);
    for (unsigned i = 0; i < WIN_CPUS; i++) {
        check_context(&w, i, order[i]);
    }
}

static void test_order(void)
{
    check_order(true);
    check_order(false);
}

/* 32-bit user mode: CPUs cannot be identified and are used in order. */
static void test_order_unknown(void)
{
    g_auto(TestWindows) w;

    win_init(&w, false);
    for (unsigned i = 0; i < WIN_CPUS; i++) {
        w.cpus[i].fs_base = 0x7ffde000;
    }
    g_assert_null(win_describe(&w, WIN_CPUS));
    for (unsigned i = 0; i < WIN_CPUS; i++) {
        check_context(&w, i, i);
    }
}

/* One CPU is identified; the others are assigned in order. */
static void test_order_in_part(void)
{
    static const unsigned order[WIN_CPUS] = { 2, 1, 0 };
    g_auto(TestWindows) w;

    win_init(&w, false);
    w.cpus[2].fs_base = w.cpus[0].fs_base;
    w.cpus[0].fs_base = w.cpus[1].fs_base = 0x7ffde000;
    g_assert_null(win_describe(&w, WIN_CPUS));
    for (unsigned i = 0; i < WIN_CPUS; i++) {
        check_context(&w, i, order[i]);
    }
}

/* The KDBG is encoded; the driver stored the address of a copy. */
static void check_copy(bool is64)
{
    g_auto(TestWindows) w;

    win_init(&w, is64);
    memcpy(w.ram.host + 0x80000, w.ram.host + WIN_KDBG - WIN_RAM, 0x340);
    win_put(&w, WIN_KDBG + 0x10, 0x12345678, 4);
    win_header_put(&w, 0x2c, 0x40, w.base + WIN_RAM + 0x80000,
                   is64 ? 8 : 4);
    g_assert_null(win_describe(&w, WIN_CPUS));
    check_memory(&w, WIN_CPUS);
    check_live(&w);
    g_assert_cmphex(field(&w, WINDMP_KDBG), ==, w.base + WIN_RAM + 0x80000);
}

static void test_copy(void)
{
    check_copy(true);
    check_copy(false);
}

static void check_crashed(bool is64)
{
    g_auto(TestWindows) w;

    win_init(&w, is64);
    for (unsigned i = 0; i < 5; i++) {
        win_put(&w, WIN_BUGCHECK + i * (is64 ? 8 : 4), 0xd1 + i,
                is64 ? 8 : 4);
    }
    w.cpus[1].crashed = w.cpus[2].crashed = true;
    g_assert_null(win_describe(&w, WIN_CPUS));
    g_assert_cmphex(field(&w, WINDMP_BUGCHECK_CODE), ==, 0xd1);
    for (int i = 0; i < 4; i++) {
        g_assert_cmphex(field(&w, WINDMP_BUGCHECK_PARAM1 + i), ==, 0xd2 + i);
    }
    check_current(&w, 1);
}

static void test_crashed(void)
{
    check_crashed(true);
    check_crashed(false);
}

/* A bug check in the header only. */
static void test_bugcheck_in_header(void)
{
    g_auto(TestWindows) w;

    win_init(&w, true);
    win_header_put(&w, 0x28, 0x38, 0xc0000221, 4);
    win_header_put(&w, 0x2c, 0x40, 17, 8);
    g_assert_null(win_describe(&w, WIN_CPUS));
    g_assert_cmphex(field(&w, WINDMP_BUGCHECK_CODE), ==, 0xc0000221);
    g_assert_cmphex(field(&w, WINDMP_BUGCHECK_PARAM1), ==, 17);
}

/* After @lie, @lost contexts are missing and a warning has @word. */
static void check_lie(void (*lie)(TestWindows *w), unsigned lost,
                      const char *word)
{
    for (int is64 = 0; is64 < 2; is64++) {
        g_autofree char *warning = NULL;
        g_auto(TestWindows) w;

        win_init(&w, is64);
        lie(&w);
        warning = win_describe(&w, WIN_CPUS);
        g_assert_nonnull(warning);
        g_assert_nonnull(strstr(warning, word));
        g_assert_cmpuint(w.t.g.windows->contexts, ==, WIN_CPUS - lost);
        check_live(&w);
        check_current(&w, 0);
    }
}

static void lie_many_processors(TestWindows *w)
{
    win_header_put(w, 0x24, 0x34, 0xffffffff, 4);
}

static void lie_one_processor_too_many(TestWindows *w)
{
    win_header_put(w, 0x24, 0x34, WIN_CPUS + 1, 4);
}

static void lie_no_processor(TestWindows *w)
{
    win_header_put(w, 0x24, 0x34, 0, 4);
}

static void lie_kdbg(TestWindows *w)
{
    win_header_put(w, 0x60, 0x80, UINT64_MAX, w->is64 ? 8 : 4);
}

static void lie_kdbg_tag(TestWindows *w)
{
    win_put(w, WIN_KDBG + 0x10, 0x4742444c, 4);
}

static void lie_kdbg_small(TestWindows *w)
{
    win_put(w, WIN_KDBG + 0x14, 0x339, 4);
}

static void lie_block(TestWindows *w)
{
    win_put(w, WIN_KDBG + 0x218, UINT64_MAX - 3, 8);
}

static void lie_block_unmapped(TestWindows *w)
{
    win_put(w, WIN_KDBG + 0x218, w->base + (4 << 20), 8);
}

static void lie_no_prcb(TestWindows *w)
{
    win_put(w, WIN_BLOCK + (w->is64 ? 8 : 4), 0, w->is64 ? 8 : 4);
}

static void lie_prcb(TestWindows *w)
{
    win_put(w, WIN_BLOCK, UINT64_MAX, w->is64 ? 8 : 4);
}

static void lie_context(TestWindows *w)
{
    win_put(w, WIN_PRCB + WIN_PRCB_CONTEXT, 0, w->is64 ? 8 : 4);
}

/* The frame's second page is mapped, but not memory. */
static void lie_context_at_end(TestWindows *w)
{
    win_put_pointer(w, WIN_PRCB + WIN_PRCB_CONTEXT,
                    WIN_RAM + WIN_RAM_SIZE - 0x100);
}

static void lie_context_wraps(TestWindows *w)
{
    win_put(w, WIN_PRCB + WIN_PRCB_CONTEXT, UINT64_MAX - 0xff,
            w->is64 ? 8 : 4);
}

/* Addresses of user space are not accepted. */
static void lie_context_in_user_space(TestWindows *w)
{
    unsigned entry = w->is64 ? 8 : 4;
    unsigned kernel = w->is64 ? 0x1f0 : 0x200;

    memcpy(w->ram.host, w->ram.host + kernel * entry, entry);
    win_put(w, WIN_PRCB + WIN_PRCB_CONTEXT, WIN_CONTEXT, entry);
}

static void lie_context_offset(TestWindows *w)
{
    win_put(w, WIN_KDBG + 0x338, 0, 2);
}

static void lie_tables(TestWindows *w)
{
    win_header_put(w, 0x10, 0x10, 0xfffff000, w->is64 ? 8 : 4);
}

static void lie_tables_loop(TestWindows *w)
{
    for (unsigned i = 0; i < 0x10000; i += 8) {
        win_put(w, WIN_ROOT + i, WIN_ROOT | 1 | (w->is64 ? 0 : 1ULL << 32 |
                (uint64_t)WIN_ROOT << 32), 8);
    }
}

static void lie_no_paging(TestWindows *w)
{
    g_array_set_size(w->paging, 0);
}

static void lie_word_size(TestWindows *w)
{
    g_array_set_size(w->paging, 1);
}

static void test_lies(void)
{
    check_lie(lie_many_processors, 0, "4294967295 processors");
    check_lie(lie_one_processor_too_many, 0, "4 processors");
    check_lie(lie_no_processor, 0, "0 processors");
    check_lie(lie_kdbg, 3, "no KDBG");
    check_lie(lie_kdbg_tag, 3, "no KDBG");
    check_lie(lie_kdbg_small, 3, "no KDBG");
    check_lie(lie_block, 3, "3 of 3");
    check_lie(lie_block_unmapped, 3, "3 of 3");
    check_lie(lie_no_prcb, 1, "1 of 3");
    check_lie(lie_prcb, 1, "1 of 3");
    check_lie(lie_context, 1, "1 of 3");
    check_lie(lie_context_at_end, 1, "1 of 3");
    check_lie(lie_context_wraps, 1, "1 of 3");
    check_lie(lie_context_in_user_space, 1, "1 of 3");
    check_lie(lie_context_offset, 3, "3 of 3");
    check_lie(lie_tables, 3, "no KDBG");
    check_lie(lie_tables_loop, 3, "no KDBG");
    check_lie(lie_no_paging, 3, "no CPU runs");
    check_lie(lie_word_size, 3, "no CPU runs");
}

/* Two processors with the same frame: the last one is written. */
static void test_shared_frame(void)
{
    g_auto(TestWindows) w;

    win_init(&w, true);
    win_put_pointer(&w, WIN_PRCB + WIN_PRCB_CONTEXT,
                    WIN_CONTEXT + WIN_CONTEXT_STEP);
    g_assert_null(win_describe(&w, WIN_CPUS));
    check_context(&w, 1, 1);
    check_context(&w, 2, 2);
}

/* Frames that overlay the structures which refer to them. */
static void test_frame_over_structures(void)
{
    g_auto(TestWindows) w;
    uint8_t want[WINDMP_CONTEXT_SIZE64], got[WINDMP_CONTEXT_SIZE64];

    win_init(&w, true);
    win_put_pointer(&w, WIN_PRCB + WIN_PRCB_CONTEXT, WIN_BLOCK - 8);
    win_put_pointer(&w, WIN_PRCB + WIN_PRCB_STEP + WIN_PRCB_CONTEXT,
                    WIN_ROOT + 0xf00);
    g_assert_null(win_describe(&w, WIN_CPUS));
    check_context(&w, 2, 2);
    windmp_put_context(true, &w.cpus[1], want);
    test_guest_read(&w.t.g, WIN_ROOT + 0xf00, got, sizeof(got));
    g_assert_cmpmem(got, sizeof(got), want, sizeof(want));
}

/* Fewer CPUs than processors in the tables. */
static void test_fewer_cpus(void)
{
    g_autofree char *warning = NULL;
    g_auto(TestWindows) w;

    win_init(&w, true);
    warning = win_describe(&w, 1);
    g_assert_nonnull(strstr(warning, "using 1"));
    check_memory(&w, 1);
    check_context(&w, 0, 0);
    g_assert_cmpuint(field(&w, WINDMP_NR_CPUS), ==, 1);
}

/*
 * Random changes in all structures that are read. Guest memory must not be
 * modified (checked by win_describe), and nothing outside of it may be read
 * (checked by the sanitizer).
 */
static void fuzz(GRand *rand, bool is64)
{
    static const struct {
        uint64_t at, size;
    } places[] = {
        { WIN_ROOT, 0x8000 }, { WIN_KDBG, 0x340 }, { WIN_BLOCK, 24 },
        { WIN_PRCB + WIN_PRCB_CONTEXT, 8 },
        { WIN_PRCB + WIN_PRCB_STEP + WIN_PRCB_CONTEXT, 8 },
    };
    g_auto(TestWindows) w;

    win_init(&w, is64);
    for (int n = g_rand_int_range(rand, 1, 12); n > 0; n--) {
        int kind = g_rand_int_range(rand, 0, ARRAY_SIZE(places) + 1);
        /* A random word, or one near a limit. */
        uint64_t value = g_rand_boolean(rand) ? g_rand_int(rand) :
                         w.base + WIN_RAM + WIN_RAM_SIZE -
                         g_rand_int_range(rand, 0, 0x2000);

        if (kind < ARRAY_SIZE(places)) {
            win_put(&w, places[kind].at +
                    g_rand_int_range(rand, 0, places[kind].size) / 4 * 4,
                    value, 1 << g_rand_int_range(rand, 0, 3));
        } else {
            unsigned at = g_rand_int_range(rand, 8, 0x90) / 4 * 4;

            at = at == 0x20 || at == 0x30 ? 0x10 : at;
            win_header_put(&w, at, at, value, 4);
        }
    }
    g_free(win_describe(&w, g_rand_int_range(rand, 1, WIN_CPUS + 1)));
    g_assert_cmpuint(field(&w, WINDMP_NR_CPUS), <=, WIN_CPUS);
    g_assert_cmpuint(g_hash_table_size(w.t.g.windows->pages), <=,
                     2 * WIN_CPUS);
}

static void test_fuzz(void)
{
    GRand *rand = g_rand_new_with_seed(161);

    for (int i = 0; i < 150; i++) {
        fuzz(rand, i % 2);
    }
    g_rand_free(rand);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/windows-guest/good", test_good);
    g_test_add_func("/dump/windows-guest/order", test_order);
    g_test_add_func("/dump/windows-guest/order-unknown", test_order_unknown);
    g_test_add_func("/dump/windows-guest/order-in-part", test_order_in_part);
    g_test_add_func("/dump/windows-guest/copy", test_copy);
    g_test_add_func("/dump/windows-guest/crashed", test_crashed);
    g_test_add_func("/dump/windows-guest/bugcheck-in-header",
                    test_bugcheck_in_header);
    g_test_add_func("/dump/windows-guest/lies", test_lies);
    g_test_add_func("/dump/windows-guest/shared-frame", test_shared_frame);
    g_test_add_func("/dump/windows-guest/frame-over-structures",
                    test_frame_over_structures);
    g_test_add_func("/dump/windows-guest/fewer-cpus", test_fewer_cpus);
    g_test_add_func("/dump/windows-guest/fuzz", test_fuzz);
    return g_test_run();
}
