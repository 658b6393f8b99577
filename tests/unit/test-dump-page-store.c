/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Storage for copies of pages.
 */

#include "qemu/osdep.h"
#include "page-store.h"

#define PAGES   1000

static void test_take(void)
{
    PageStore store;
    uint8_t *pages[PAGES];

    page_store_init(&store, 4096);
    for (unsigned i = 0; i < PAGES; i++) {
        pages[i] = page_store_take(&store);
        g_assert_nonnull(pages[i]);
        memset(pages[i], i, 4096);
    }
    for (unsigned i = 0; i < PAGES; i++) {
        g_assert_cmpint(pages[i][0], ==, (uint8_t)i);
        g_assert_cmpint(pages[i][4095], ==, (uint8_t)i);
    }
    g_assert_cmpuint(page_store_held(&store), ==, PAGES * 4096);
    page_store_deinit(&store);
}

static void test_again(void)
{
    PageStore store;
    void *page;

    page_store_init(&store, 4096);
    page = page_store_take(&store);
    page_store_give(&store, page);
    g_assert_cmpuint(page_store_held(&store), ==, 0);
    g_assert_true(page_store_take(&store) == page);
    g_assert_cmpuint(page_store_held(&store), ==, 4096);
    g_assert_cmpuint(page_store_most(&store), ==, 4096);
    g_assert_cmpuint(page_store_taken(&store), ==, 2);
    page_store_deinit(&store);
}

/* Pages are allocated again in the order in which they were freed. */
static void test_order(void)
{
    PageStore store;
    uint8_t *pages[PAGES];

    page_store_init(&store, 4096);
    for (unsigned i = 0; i < PAGES; i++) {
        pages[i] = page_store_take(&store);
    }
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < PAGES; i++) {
            page_store_give(&store, pages[i]);
        }
        g_assert_cmpuint(page_store_held(&store), ==, 0);
        for (unsigned i = 0; i < PAGES; i++) {
            g_assert_true(page_store_take(&store) == pages[i]);
        }
    }
    g_assert_true(page_store_take(&store) != pages[0]);
    page_store_deinit(&store);
}

/* Host pages of 64 KiB. */
static void test_large(void)
{
    PageStore store;

    page_store_init(&store, 65536);
    for (unsigned i = 0; i < 50; i++) {
        memset(page_store_take(&store), 0xff, 65536);
    }
    g_assert_cmpuint(page_store_most(&store), ==, 50 * 65536);
    page_store_deinit(&store);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/page-store/take", test_take);
    g_test_add_func("/dump/page-store/again", test_again);
    g_test_add_func("/dump/page-store/order", test_order);
    g_test_add_func("/dump/page-store/large", test_large);
    return g_test_run();
}
