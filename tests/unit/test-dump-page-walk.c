/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The walk over the struct pages of synthetic kernels, and the contents of
 * their dumps.
 */

#include "qemu/osdep.h"
#include "dump-test-linux.h"
#include "linux-guest.h"
#include "page-walk.h"

/* An excluded range that starts at page frame @pfn. */
typedef struct Stretch {
    uint64_t pfn;
    unsigned order;
    PageClass class;
} Stretch;

static void put(TestLinux *l, const Stretch *s)
{
    TestPage page = { .mapcount = UINT32_MAX };
    uint8_t *at = test_linux_page(l, s->pfn);

    switch (s->class) {
    case PAGE_CLASS_FREE:
        page.mapcount = (uint32_t)-129;
        page.private = s->order;
        break;
    case PAGE_CLASS_CACHE:
        page.flags = TEST_PAGE_LRU;
        break;
    default:
        page.flags = TEST_PAGE_LRU;
        page.mapping = 1;
        break;
    }
    if (s->class != PAGE_CLASS_FREE && s->order) {
        page.flags |= TEST_PAGE_HEAD;
    }
    test_page_put(at, &page);
    for (uint64_t i = 1; i < 1ULL << s->order; i++) {
        const TestPage tail = { .mapcount = UINT32_MAX, .head = 1 };

        if (s->class != PAGE_CLASS_FREE) {
            test_page_put(at + i * TEST_LINUX_PAGE, &tail);
        }
    }
    if (page.flags & TEST_PAGE_HEAD) {
        at[TEST_LINUX_PAGE + 17] = s->order;
    }
}

static const Stretch stretches[] = {
    { 0x100, 5, PAGE_CLASS_CACHE }, { 0x130, 0, PAGE_CLASS_CACHE },
    { 0x132, 0, PAGE_CLASS_CACHE }, { 0x140, 4, PAGE_CLASS_FREE },
    { 0x180, 6, PAGE_CLASS_USER }, { 0x1ff, 0, PAGE_CLASS_USER },
};

static void prepare(TestLinux *l, const TestLinuxKind *kind)
{
    test_linux_init(l, kind);
    test_linux_add_pages(l);
    for (unsigned i = 0; i < ARRAY_SIZE(stretches); i++) {
        put(l, &stretches[i]);
    }
}

static bool walk(TestLinux *l, unsigned level, unsigned threads, Error **errp)
{
    g_autoptr(VmcoreInfo) info = test_linux_info(l);
    g_autoptr(DumpPagesReader) mem = dump_pages_reader_new(l->t.g.pages,
                                                           &error_abort);
    DumpProgress progress;

    dump_progress_init(&progress);
    linux_guest_describe(&l->t.g, mem, info);
    return page_walk(&l->t.g, mem, info, level, threads, &progress, errp);
}

/* Check that exactly the ranges of @level are excluded. */
static void check_kept(const TestLinux *l, unsigned level)
{
    uint64_t frames = TEST_LINUX_RAM >> l->kind->page_bits, left_out = 0;
    g_autofree uint8_t *bits = g_malloc(frames / 8);

    pfn_set_fill(l->t.g.kept, 0, UINT64_MAX, bits, frames / 8);
    for (unsigned i = 0; i < ARRAY_SIZE(stretches); i++) {
        const Stretch *s = &stretches[i];

        if (!(level & PAGE_CLASS_BIT(s->class))) {
            continue;
        }
        for (uint64_t pfn = s->pfn; pfn < s->pfn + (1ULL << s->order);
             pfn++) {
            g_assert_cmpint(bits[pfn / 8] >> pfn % 8 & 1, ==, 0);
            left_out++;
        }
    }
    g_assert_cmpuint(pfn_set_count(l->t.g.kept), ==, frames - left_out);
}

static void test_walk(gconstpointer data)
{
    g_auto(TestLinux) l;
    static const unsigned levels[] = { 2, 8, 16, 31, 32 };

    prepare(&l, data);
    dump_guest_seal(&l.t.g, 0, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(levels); i++) {
        g_assert_true(walk(&l, levels[i], 1 + i, &error_abort));
        check_kept(&l, levels[i]);
        g_clear_pointer(&l.t.g.kept, pfn_set_free);
    }
    g_assert_cmpuint(dump_report_class(&l.report, PAGE_CLASS_FREE), ==,
                     (2 << 4) * l.t.g.page_size);
    g_assert_cmpuint(dump_report_class(&l.report, PAGE_CLASS_UNUSABLE), ==,
                     0);
}

/* A guest with a hole, so that pieces of workers end anywhere. */
static void test_odd_pieces(void)
{
    g_auto(TestLinux) l;
    GuestRam whole;

    prepare(&l, &test_linux_kinds[0]);
    /* All memory but one page frame: heads are unaligned in pieces. */
    whole = l.t.g.all;
    guest_ram_init(&l.t.g.all);
    guest_ram_add(&l.t.g.all, 0, 0x7000, l.ram);
    guest_ram_add(&l.t.g.all, 0x8000, TEST_LINUX_RAM - 0x8000,
                  l.ram + 0x8000);
    guest_ram_deinit(&whole);
    for (uint64_t pfn = 0x1000; pfn < 0x1040; pfn += 2) {
        const Stretch s = { pfn, 1, PAGE_CLASS_USER };

        put(&l, &s);
    }
    dump_guest_seal(&l.t.g, 0, 0);
    g_assert_true(walk(&l, 8, 2, &error_abort));
    g_assert_cmpuint(dump_report_class(&l.report, PAGE_CLASS_USER), ==,
                     (0x40 + 0x41) * 4096);
}

/* A range is dumped; a head below it determines the class of its pages. */
static void test_range(void)
{
    g_auto(TestLinux) l;

    prepare(&l, &test_linux_kinds[0]);
    dump_guest_seal(&l.t.g, 0x190000, 0x20000);
    g_assert_true(walk(&l, 8, 1, &error_abort));
    g_assert_cmpuint(pfn_set_count(l.t.g.kept), ==, 0);
    g_assert_cmpuint(dump_report_class(&l.report, PAGE_CLASS_USER), ==,
                     0x20000);
}

/* Pages without a readable struct page are kept. */
static void test_unreadable(void)
{
    g_auto(TestLinux) l;
    g_auto(GStrv) warnings = NULL;

    prepare(&l, &test_linux_kinds[0]);
    test_linux_set_section(&l, 1, false);
    /* 64 of 4096 bytes. */
    test_linux_map(&l, TEST_LINUX_VMEMMAP + 0x140 * TEST_LINUX_PAGE,
                   1ULL << 40, 12);
    dump_guest_seal(&l.t.g, 0, 0);
    g_assert_true(walk(&l, 31, 1, &error_abort));
    warnings = dump_report_warnings(&l.report);
    g_assert_cmpstr(warnings[0], ==, "64 pages are in the dump, whatever their "
                    "class: the guest's struct pages for them could not be "
                    "read");
    g_assert_cmpuint(dump_report_class(&l.report, PAGE_CLASS_FREE), ==, 0);
    g_assert_cmpuint(dump_report_class(&l.report, PAGE_CLASS_USER), ==,
                     65 * 4096);
}

/* SYMBOL(mem_section) is the address of a pointer to the array. */
static void test_pointer(void)
{
    g_auto(TestLinux) l;
    g_autofree char *at = g_strdup_printf("%llx", TEST_LINUX_VADDR + 0x50000);

    prepare(&l, &test_linux_kinds[0]);
    stq_le_p(l.ram + TEST_LINUX_KERNEL + 0x50000,
             TEST_LINUX_VADDR + TEST_LINUX_ROOTS);
    test_linux_say(&l, "SYMBOL(mem_section)", at);
    dump_guest_seal(&l.t.g, 0, 0);
    g_assert_true(walk(&l, 31, 1, &error_abort));
    check_kept(&l, 31);
}

static void check_refused(TestLinux *l, const char *key, const char *value,
                          const char *reason)
{
    g_autofree char *text = g_strconcat("dump: cannot determine which pages "
                                        "to exclude: ", reason, NULL);
    g_autofree char *said = g_strdup(l->text->str);
    Error *err = NULL;

    test_linux_say(l, key, value);
    g_assert_false(walk(l, 31, 1, &err));
    g_assert_cmpstr(error_get_pretty(err), ==, text);
    g_assert_null(l->t.g.kept);
    error_free(err);
    g_string_assign(l->text, said);
}

static void test_refused(void)
{
    g_auto(TestLinux) l;

    prepare(&l, &test_linux_kinds[0]);
    dump_guest_seal(&l.t.g, 0, 0);
    check_refused(&l, "SYMBOL(mem_section)", NULL,
                  "VMCOREINFO has no SYMBOL(mem_section)");
    check_refused(&l, "SYMBOL(mem_section)", "ffffffff81010000",
                  "the guest's memory map was not found");
    check_refused(&l, "LENGTH(mem_section)", "65537",
                  "the guest's memory model is not supported");
    check_refused(&l, "NUMBER(SECTION_SIZE_BITS)", "23",
                  "VMCOREINFO has no valid NUMBER(SECTION_SIZE_BITS)");
    check_refused(&l, "NUMBER(MAX_PHYSMEM_BITS)", "53",
                  "VMCOREINFO has no valid NUMBER(MAX_PHYSMEM_BITS)");
    check_refused(&l, "SIZE(mem_section)", "7",
                  "VMCOREINFO has no valid SIZE(mem_section)");
    check_refused(&l, "OFFSET(mem_section.section_mem_map)", "9",
                  "VMCOREINFO has no valid "
                  "OFFSET(mem_section.section_mem_map)");
    check_refused(&l, "NUMBER(PG_lru)", NULL,
                  "VMCOREINFO has no valid NUMBER(PG_lru)");
    test_linux_set_section(&l, 0, false);
    test_linux_set_section(&l, 1, false);
    check_refused(&l, "PAGESIZE", "4096",
                  "the guest's memory map was not found");
}

static void test_no_note(void)
{
    g_auto(TestLinux) l;
    g_autoptr(DumpPagesReader) mem = NULL;
    DumpProgress progress;
    Error *err = NULL;

    test_linux_init(&l, &test_linux_kinds[0]);
    dump_guest_seal(&l.t.g, 0, 0);
    dump_progress_init(&progress);
    mem = dump_pages_reader_new(l.t.g.pages, &error_abort);
    g_assert_false(page_walk(&l.t.g, mem, NULL, 31, 1, &progress, &err));
    g_assert_cmpstr(error_get_pretty(err), ==, "dump: cannot determine which "
                    "pages to exclude: there is no VMCOREINFO");
    error_free(err);
    g_clear_pointer(&mem, dump_pages_reader_free);
}

static void test_cancel(void)
{
    g_auto(TestLinux) l;
    g_autoptr(VmcoreInfo) info = NULL;
    g_autoptr(DumpPagesReader) mem = NULL;
    DumpProgress progress;
    Error *err = NULL;

    prepare(&l, &test_linux_kinds[0]);
    dump_guest_seal(&l.t.g, 0, 0);
    info = test_linux_info(&l);
    mem = dump_pages_reader_new(l.t.g.pages, &error_abort);
    linux_guest_describe(&l.t.g, mem, info);
    dump_progress_init(&progress);
    dump_progress_cancel(&progress);
    g_assert_false(page_walk(&l.t.g, mem, info, 31, 2, &progress, &err));
    g_assert_cmpstr(error_get_pretty(err), ==, "dump: cancelled");
    g_assert_null(l.t.g.kept);
    error_free(err);
    g_clear_pointer(&mem, dump_pages_reader_free);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(test_linux_kinds); i++) {
        g_autofree char *path = g_strdup_printf("/dump/page-walk/%s",
                                                test_linux_kinds[i].name);

        g_test_add_data_func(path, &test_linux_kinds[i], test_walk);
    }
    g_test_add_func("/dump/page-walk/odd-pieces", test_odd_pieces);
    g_test_add_func("/dump/page-walk/range", test_range);
    g_test_add_func("/dump/page-walk/unreadable", test_unreadable);
    g_test_add_func("/dump/page-walk/pointer", test_pointer);
    g_test_add_func("/dump/page-walk/refused", test_refused);
    g_test_add_func("/dump/page-walk/no-note", test_no_note);
    g_test_add_func("/dump/page-walk/cancel", test_cancel);
    return g_test_run();
}
