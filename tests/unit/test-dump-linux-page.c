/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Struct pages of several kernels, and invalid descriptions of them.
 */

#include "qemu/osdep.h"
#include "dump-test-linux.h"
#include "linux-page.h"

#define ALL     PAGE_CLASS_LEVEL_MAX
#define BIT(c)  PAGE_CLASS_BIT(PAGE_CLASS_##c)
#define KEPT    PAGE_CLASS__MAX

#define LINUX_6_4 \
    "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129\n" \
    "NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)=-257\nNUMBER(PG_slab)=9\n" \
    "OFFSET(folio._folio_order)=81\nOFFSET(folio._folio_dtor)=80\n" \
    "NUMBER(HUGETLB_PAGE_DTOR)=2\n"
#define LINUX_6_6 \
    "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129\n" \
    "NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)=-257\nNUMBER(PG_slab)=9\n" \
    "NUMBER(PG_hugetlb)=8\n"
#define LINUX_6_16 \
    "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-268435456\n" \
    "NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)=-251658240\n" \
    "NUMBER(PAGE_UNACCEPTED_MAPCOUNT_VALUE)=-134217728\n" \
    "NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)=-184549376\n" \
    "NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)=-201326592\n"

#define FREE_6_1        ((uint32_t)-129)
#define OFFLINE_6_1     ((uint32_t)-257)
#define NONE            UINT32_MAX      /* no type, not mapped */

static bool init(LinuxPageLayout *l, const char *text, Error **errp)
{
    g_autofree char *all = g_strconcat("OSRELEASE=6.1.0-56-amd64\n",
                                       TEST_LINUX_PAGES_INFO, text, NULL);
    g_autoptr(VmcoreInfo) info = vmcoreinfo_parse((const uint8_t *)all,
                                                  strlen(all));

    return linux_page_layout_init(l, info, errp);
}

static PageClass class_of(const LinuxPageLayout *l, unsigned level,
                          uint64_t pfn, const TestPage *page,
                          unsigned *order)
{
    uint8_t p[TEST_LINUX_PAGE];

    test_page_put(p, page);
    return linux_page_class(l, level, pfn, p, NULL, order);
}

/* Classify one page at several dump levels. */
static void check(const char *text, const TestPage *page, unsigned level,
                  PageClass expected)
{
    LinuxPageLayout l;
    unsigned order = 99;

    g_assert_true(init(&l, text, &error_abort));
    g_assert_cmpint(class_of(&l, level, 0x1000, page, &order), ==, expected);
    if (expected != KEPT) {
        g_assert_cmpuint(order, ==, expected == PAGE_CLASS_FREE ?
                                    page->private : 0);
    }
}

static void test_cache(void)
{
    const TestPage file = { .flags = TEST_PAGE_LRU, .mapping = 0x1000,
                            .mapcount = NONE };
    const TestPage private = { .flags = TEST_PAGE_LRU | TEST_PAGE_PRIVATE,
                               .mapping = 0x1000, .mapcount = NONE };
    const TestPage swapped = { .flags = TEST_PAGE_SWAPCACHE |
                                        TEST_PAGE_SWAPBACKED,
                               .mapcount = NONE };
    /* The flag has another meaning for pages that cannot be swapped. */
    const TestPage owner = { .flags = TEST_PAGE_SWAPCACHE,
                             .mapcount = NONE };

    check(TEST_LINUX_6_1, &file, ALL, PAGE_CLASS_CACHE);
    check(TEST_LINUX_6_1, &file, BIT(CACHE_PRIVATE),
          PAGE_CLASS_CACHE_PRIVATE);
    check(TEST_LINUX_6_1, &file, ALL & ~BIT(CACHE) & ~BIT(CACHE_PRIVATE),
          KEPT);
    check(TEST_LINUX_6_1, &private, BIT(CACHE), KEPT);
    check(TEST_LINUX_6_1, &private, ALL, PAGE_CLASS_CACHE_PRIVATE);
    check(TEST_LINUX_6_1, &swapped, ALL, PAGE_CLASS_CACHE);
    check(TEST_LINUX_6_1, &owner, ALL, KEPT);
    check(LINUX_6_16, &file, BIT(CACHE), PAGE_CLASS_CACHE);
}

static void test_user(void)
{
    const TestPage anon = { .flags = TEST_PAGE_LRU | TEST_PAGE_SWAPBACKED,
                            .mapping = 0x1001 };
    const TestPage slab = { .flags = TEST_PAGE_SLAB, .mapping = 0x1001 };
    const TestPage slab_type = { .mapping = 0x1001,
                                 .mapcount = (uint32_t)-184549376 };

    check(TEST_LINUX_6_1, &anon, ALL, PAGE_CLASS_USER);
    check(TEST_LINUX_6_1, &anon, ALL & ~BIT(USER), KEPT);
    check(TEST_LINUX_6_1, &slab, ALL, KEPT);
    check(LINUX_6_16, &slab_type, ALL, KEPT);
    /* In this kernel slab is a page type, and the flag is not used. */
    check(LINUX_6_16, &slab, ALL, PAGE_CLASS_USER);
}

static void test_free(void)
{
    const TestPage free = { .private = 5, .mapcount = FREE_6_1 };
    const TestPage huge = { .private = 11, .mapcount = FREE_6_1 };
    const TestPage max = { .private = UINT64_MAX, .mapcount = FREE_6_1 };
    /* Slab pages store a count in this field. */
    const TestPage slab = { .flags = TEST_PAGE_SLAB, .mapcount = FREE_6_1 };
    const TestPage used = { .private = 5, .mapcount = NONE };
    LinuxPageLayout l;
    unsigned order;

    check(TEST_LINUX_6_1, &free, ALL, PAGE_CLASS_FREE);
    check(TEST_LINUX_6_1, &free, BIT(FREE), PAGE_CLASS_FREE);
    check(TEST_LINUX_6_1, &free, ALL & ~BIT(FREE), KEPT);
    check(TEST_LINUX_6_1, &huge, ALL, KEPT);
    check(TEST_LINUX_6_1, &max, ALL, KEPT);
    check(TEST_LINUX_6_1, &slab, ALL, KEPT);
    check(TEST_LINUX_6_1, &used, ALL, KEPT);
    check(LINUX_6_16, &free, ALL, KEPT);
    /* Not aligned to a block of that order. */
    g_assert_true(init(&l, TEST_LINUX_6_1, &error_abort));
    g_assert_cmpint(class_of(&l, ALL, 0x1010, &free, &order), ==, KEPT);
    g_assert_cmpint(class_of(&l, ALL, 0x1020, &free, &order), ==,
                    PAGE_CLASS_FREE);
}

static void test_unaccepted(void)
{
    const TestPage page = { .private = 3, .mapcount = (uint32_t)-134217728 };
    LinuxPageLayout l;
    unsigned order;

    g_assert_true(init(&l, LINUX_6_16, &error_abort));
    g_assert_cmpint(class_of(&l, ALL, 0x1400, &page, &order), ==,
                    PAGE_CLASS_FREE);
    g_assert_cmpuint(order, ==, 10);
    g_assert_cmpint(class_of(&l, ALL, 0x1200, &page, &order), ==, KEPT);
}

static void test_unusable(void)
{
    const TestPage poison = { .flags = TEST_PAGE_HWPOISON,
                              .mapcount = NONE };
    const TestPage offline = { .mapcount = OFFLINE_6_1 };
    const TestPage slab = { .flags = TEST_PAGE_SLAB,
                            .mapcount = OFFLINE_6_1 };
    const TestPage cache = { .flags = TEST_PAGE_HWPOISON | TEST_PAGE_LRU,
                             .mapcount = NONE };

    check(TEST_LINUX_6_1, &poison, ALL, PAGE_CLASS_UNUSABLE);
    check(TEST_LINUX_6_1, &poison, BIT(USER), PAGE_CLASS_UNUSABLE);
    check(TEST_LINUX_6_1, &offline, BIT(UNUSABLE), PAGE_CLASS_UNUSABLE);
    check(TEST_LINUX_6_1, &slab, ALL, KEPT);
    check(TEST_LINUX_6_1, &cache, ALL, PAGE_CLASS_CACHE);
}

/* The head of a compound page of 2^@order in the kernel of @text. */
static void check_compound(const char *text, uint64_t pfn, uint8_t order,
                           bool hugetlb, unsigned level, PageClass expected,
                           unsigned expected_order)
{
    TestPage head = { .flags = TEST_PAGE_HEAD | TEST_PAGE_LRU,
                      .mapping = hugetlb ? 0 : 0x1001, .mapcount = NONE };
    uint8_t pages[2 * TEST_LINUX_PAGE] = { 0 };
    LinuxPageLayout l;
    unsigned got;

    g_assert_true(init(&l, text, &error_abort));
    if (hugetlb && l.huge == LINUX_PAGE_HUGE_TYPE) {
        head.mapcount = (uint32_t)-201326592;
    }
    if (hugetlb) {
        head.flags &= ~TEST_PAGE_LRU;
    }
    test_page_put(pages, &head);
    if (l.huge == LINUX_PAGE_HUGE_DTOR) {
        pages[TEST_LINUX_PAGE + 16] = hugetlb ? 2 : 1;
        pages[TEST_LINUX_PAGE + 17] = order;
    } else {
        pages[TEST_LINUX_PAGE] = order;
        pages[TEST_LINUX_PAGE + 1] = hugetlb &&
                                     l.huge == LINUX_PAGE_HUGE_FLAG;
    }
    g_assert_cmpint(linux_page_class(&l, level, pfn, pages,
                                     pages + TEST_LINUX_PAGE, &got), ==,
                    expected);
    if (expected != KEPT) {
        g_assert_cmpuint(got, ==, expected_order);
    }
    /* Without the second page the compound page is unknown. */
    if (!hugetlb && level & BIT(USER)) {
        g_assert_cmpint(linux_page_class(&l, level, pfn, pages, NULL, &got),
                        ==, PAGE_CLASS_USER);
        g_assert_cmpuint(got, ==, 0);
    }
}

static void test_compound(gconstpointer data)
{
    const char *text = data;
    const TestPage tail = { .flags = TEST_PAGE_LRU, .head = 0x1001,
                            .mapcount = NONE };

    check_compound(text, 0x1000, 9, false, ALL, PAGE_CLASS_USER, 9);
    check_compound(text, 0x1000, 9, true, ALL, PAGE_CLASS_USER, 9);
    check_compound(text, 0x1000, 9, true, ALL & ~BIT(USER), KEPT, 0);
    check_compound(text, 0x40000, 18, true, ALL, PAGE_CLASS_USER, 18);
    check_compound(text, 0x1004, 3, false, ALL, PAGE_CLASS_USER, 0);
    check_compound(text, 0, 255, false, ALL, PAGE_CLASS_USER, 0);
    check_compound(text, 0, 32, false, ALL, PAGE_CLASS_USER, 0);
    check(text, &tail, ALL, KEPT);
}

static bool init_with(LinuxPageLayout *l, const char *first,
                      const char *text, Error **errp)
{
    g_autofree char *all = g_strconcat("OSRELEASE=6.1.0\n", first, text,
                                       NULL);
    g_autoptr(VmcoreInfo) info = vmcoreinfo_parse((const uint8_t *)all,
                                                  strlen(all));

    return linux_page_layout_init(l, info, errp);
}

/* Set another value for @key; all reads must stay in the struct page. */
static void check_value(const char *key, const char *value)
{
    g_autofree char *line = g_strdup_printf("%s=%s\n", key, value);
    LinuxPageLayout l;

    if (init_with(&l, line, TEST_LINUX_PAGES_INFO TEST_LINUX_6_1, NULL)) {
        g_assert_cmpuint(l.flags + 8, <=, l.size);
        g_assert_cmpuint(l.mapping + 8, <=, l.size);
        g_assert_cmpuint(l.private + 8, <=, l.size);
        g_assert_cmpuint(l.head + 8, <=, l.size);
        g_assert_cmpuint(l.mapcount + 4, <=, l.size);
        g_assert_cmpuint(l.order, <, l.size);
        g_assert_cmpuint(l.dtor, <, l.size);
        g_assert_cmpuint(l.nr_orders, <=, LINUX_PAGE_MAX_ORDER);
    }
}

/* Without line @i, which is optional. */
static void check_missing(char **lines, unsigned i)
{
    bool optional = strstr(lines[i], "swapbacked") ||
                    strstr(lines[i], "hwpoison") ||
                    strstr(lines[i], "OFFLINE") ||
                    strstr(lines[i], "HUGETLB");
    char first = *lines[i];
    g_autofree char *text = NULL;
    LinuxPageLayout l;
    Error *err = NULL;

    *lines[i] = 'X';
    text = g_strjoinv("\n", lines);
    *lines[i] = first;
    g_assert_cmpint(init_with(&l, "", text, &err), ==, optional);
    if (err) {
        g_assert_true(g_str_has_prefix(error_get_pretty(err),
                                       "VMCOREINFO has no "));
        error_free(err);
    }
}

/* Each line missing or invalid. */
static void test_refused(void)
{
    static const char *const values[] = { "-1", "64", "457", "70000000000" };
    g_auto(GStrv) lines = g_strsplit(TEST_LINUX_PAGES_INFO TEST_LINUX_6_1,
                                     "\n", -1);

    for (unsigned i = 0; lines[i] && *lines[i]; i++) {
        g_autofree char *key = g_strndup(lines[i], strcspn(lines[i], "="));

        for (unsigned j = 0; j < ARRAY_SIZE(values); j++) {
            check_value(key, values[j]);
        }
        check_missing(lines, i);
    }
}

static void test_release(void)
{
    static const struct {
        const char *release, *error;
    } cases[] = {
        { "4.15.9", "the guest's Linux 4.15 is too old: 4.16 is needed" },
        { "3.10.0", "the guest's Linux 3.10 is too old: 4.16 is needed" },
        { "4.16.0", NULL },
        { "6.12-rc1", NULL },
        { "next", "VMCOREINFO has no valid OSRELEASE" },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autofree char *all = g_strconcat(
            "OSRELEASE=", cases[i].release, "\n", TEST_LINUX_PAGES_INFO,
            TEST_LINUX_6_1, NULL);
        g_autoptr(VmcoreInfo) info = vmcoreinfo_parse((const uint8_t *)all,
                                                      strlen(all));
        LinuxPageLayout l;
        Error *err = NULL;

        g_assert_cmpint(linux_page_layout_init(&l, info, &err), ==,
                        !cases[i].error);
        if (err) {
            g_assert_cmpstr(error_get_pretty(err), ==, cases[i].error);
            error_free(err);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/linux-page/cache", test_cache);
    g_test_add_func("/dump/linux-page/user", test_user);
    g_test_add_func("/dump/linux-page/free", test_free);
    g_test_add_func("/dump/linux-page/unaccepted", test_unaccepted);
    g_test_add_func("/dump/linux-page/unusable", test_unusable);
    g_test_add_data_func("/dump/linux-page/compound/6.1", TEST_LINUX_6_1,
                         test_compound);
    g_test_add_data_func("/dump/linux-page/compound/6.4", LINUX_6_4,
                         test_compound);
    g_test_add_data_func("/dump/linux-page/compound/6.6", LINUX_6_6,
                         test_compound);
    g_test_add_data_func("/dump/linux-page/compound/6.16", LINUX_6_16,
                         test_compound);
    g_test_add_func("/dump/linux-page/refused", test_refused);
    g_test_add_func("/dump/linux-page/release", test_release);
    return g_test_run();
}
