/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pieces of guest-virtual address space: which of them become one.
 */

#include "qemu/osdep.h"
#include "dump-test-mappings.h"

static GArray *add_all(const DumpMapping *m, size_t n)
{
    GArray *mappings = g_array_new(false, false, sizeof(DumpMapping));

    for (size_t i = 0; i < n; i++) {
        dump_mappings_add(mappings, &m[i]);
    }
    return mappings;
}

static void test_add(void)
{
    const DumpMapping pages[] = {
        { 0x5000, 0x1000, 0x1000 },
        { 0x6000, 0x2000, 0x1000 },     /* follows */
        { 0x7000, 0x4000, 0x1000 },     /* in memory only */
        { 0x9000, 0x5000, 0x1000 },     /* in addresses only */
        { 0x8000, 0x4000, 0x1000 },     /* comes before both */
    };
    const DumpMapping want[] = {
        { 0x5000, 0x1000, 0x2000 }, pages[2], pages[3], pages[4],
    };
    g_autoptr(GArray) found = add_all(pages, ARRAY_SIZE(pages));

    test_check_mappings(found, want, ARRAY_SIZE(want));
}

static void test_sort(void)
{
    const DumpMapping pieces[] = {
        { 0x9000, 0x29000, 0x1000 },
        { 0x5000, 0x81000, 0x1000 },    /* the same memory elsewhere */
        { 0x5000, 0x25000, 0x3000 },
        { 0x6000, 0x26000, 0x1000 },    /* a part */
        { 0x7000, 0x27000, 0x2000 },    /* overlaps, up to the first */
        { 0x5000, 0x25000, 0x3000 },    /* once more */
        { 0x20000, 0x1000, 0x1000 },
    };
    const DumpMapping want[] = {
        { 0x5000, 0x25000, 0x5000 }, pieces[1], pieces[6],
    };
    g_autoptr(GArray) found = add_all(pieces, ARRAY_SIZE(pieces));

    dump_mappings_sort(found);
    test_check_mappings(found, want, ARRAY_SIZE(want));
}

/* The last address is not followed by the first. */
static void test_ends(void)
{
    const DumpMapping pages[] = {
        { 0x5000, UINT64_MAX - 0xfff, 0x1000 },
        { 0x6000, 0, 0x1000 },
        { UINT64_MAX - 0xfff, 0x7000, 0x1000 },
        { 0, 0x8000, 0x1000 },
    };
    const DumpMapping sorted[] = { pages[3], pages[0], pages[1], pages[2] };
    g_autoptr(GArray) found = add_all(pages, ARRAY_SIZE(pages));

    test_check_mappings(found, pages, ARRAY_SIZE(pages));
    dump_mappings_sort(found);
    test_check_mappings(found, sorted, ARRAY_SIZE(sorted));
}

static void test_none(void)
{
    g_autoptr(GArray) found = add_all(NULL, 0);

    dump_mappings_sort(found);
    test_check_mappings(found, NULL, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/mappings/add", test_add);
    g_test_add_func("/dump/mappings/sort", test_sort);
    g_test_add_func("/dump/mappings/ends", test_ends);
    g_test_add_func("/dump/mappings/none", test_none);
    return g_test_run();
}
