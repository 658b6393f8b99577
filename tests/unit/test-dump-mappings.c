/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Guest-virtual mappings: sorting and merging.
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
        { 0x7000, 0x4000, 0x1000 },     /* contiguous in physical space only */
        { 0x9000, 0x5000, 0x1000 },     /* contiguous in virtual space only */
        { 0x8000, 0x4000, 0x1000 },     /* precedes both */
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
        { 0x5000, 0x81000, 0x1000 },    /* same memory, other address */
        { 0x5000, 0x25000, 0x3000 },
        { 0x6000, 0x26000, 0x1000 },    /* a part */
        { 0x7000, 0x27000, 0x2000 },    /* overlaps, up to the first */
        { 0x5000, 0x25000, 0x3000 },    /* duplicate */
        { 0x20000, 0x1000, 0x1000 },
    };
    const DumpMapping want[] = {
        { 0x5000, 0x25000, 0x5000 }, pieces[1], pieces[6],
    };
    g_autoptr(GArray) found = add_all(pieces, ARRAY_SIZE(pieces));

    dump_mappings_sort(found);
    test_check_mappings(found, want, ARRAY_SIZE(want));
}

/* Address 0 does not follow the last address. */
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

/* @upper: an address in the upper half, of 64 or of 32 bits. */
static void check_aliases(uint64_t upper, unsigned n_lower, unsigned n_upper,
                          unsigned kept_lower, unsigned kept_upper)
{
    g_autoptr(GArray) found = g_array_new(false, false, sizeof(DumpMapping));
    g_autoptr(GArray) want = g_array_new(false, false, sizeof(DumpMapping));
    const DumpMapping large = { 0x5000, upper + 0x100000, 0x2000 };
    const DumpMapping other = { 0x6000, 0x100000, 0x1000 };

    for (unsigned i = 0; i < n_lower + n_upper; i++) {
        bool low = i < n_lower;
        unsigned k = low ? i : i - n_lower;
        DumpMapping m = { 0x5000, (low ? 0 : upper) + (k + 1) * 0x10000,
                          0x1000 };

        g_array_append_val(found, m);
        if (k < (low ? kept_lower : kept_upper)) {
            g_array_append_val(want, m);
        }
    }
    g_array_append_val(found, large);
    g_array_append_val(want, large);
    g_array_append_val(found, other);
    g_array_append_val(want, other);
    dump_mappings_sort(found);
    dump_mappings_sort(want);
    dump_mappings_drop_aliases(found, 0x1000);
    test_check_mappings(found, (DumpMapping *)want->data, want->len);
}

static void test_aliases(void)
{
    const uint64_t upper[] = { 0xffffff0000000000, 0x80000000 };

    for (size_t i = 0; i < ARRAY_SIZE(upper); i++) {
        check_aliases(upper[i], 0, 0, 0, 0);
        check_aliases(upper[i], 8, 8, 8, 8);
        check_aliases(upper[i], 8, 9, 7, 9);
        check_aliases(upper[i], 13, 14, 2, 14);
        check_aliases(upper[i], 17, 0, 16, 0);
        check_aliases(upper[i], 5, 15, 1, 15);
    }
}

/* Result for @n mappings of memory at [0x1000, 0x5000) and 0x7000. */
static void check_rest(const DumpMapping *m, size_t n,
                       const DumpMapping *want, size_t n_want)
{
    g_autoptr(GArray) found = add_all(m, n);
    static uint8_t host[0x5000];
    GuestRam ram;

    guest_ram_init(&ram);
    guest_ram_add(&ram, 0x1000, 0x4000, host);
    guest_ram_add(&ram, 0x7000, 0x1000, host + 0x4000);
    guest_ram_seal(&ram);
    dump_mappings_sort(found);
    dump_mappings_add_rest(found, &ram);
    test_check_mappings(found, want, n_want);
    guest_ram_deinit(&ram);
}

static void test_rest(void)
{
    const DumpMapping all[] = { { 0x1000, 0x1000, 0x4000 },
                                { 0x7000, 0x7000, 0x1000 } };
    const DumpMapping high[] = { { 0x1000, 0x91000, 0x7000 } };
    const DumpMapping ends[] = { { 0x1000, 0xa1000, 0x1000 },
                                 { 0x1000, 0x81000, 0x2000 },
                                 { 0x4000, 0x64000, 0x1000 } };
    const DumpMapping with_ends[] = { ends[1], ends[0],
                                      { 0x3000, 0x3000, 0x1000 }, ends[2],
                                      { 0x7000, 0x7000, 0x1000 } };
    /* Part of the identity mapping is used by other memory. */
    const DumpMapping taken[] = { { 0x1000, 0x3000, 0x1000 },
                                  { 0x7000, 0x3000, 0x1000 } };
    const DumpMapping with_taken[] = { taken[0],
                                       { 0x2000, 0x2000, 0x1000 },
                                       { 0x4000, 0x4000, 0x1000 }, taken[1] };
    /* Merged with the existing mapping. */
    const DumpMapping same[] = { { 0x2000, 0x2000, 0x1000 } };

    check_rest(NULL, 0, all, 2);
    check_rest(all, 2, all, 2);
    check_rest(high, 1, high, 1);
    check_rest(ends, 3, with_ends, 5);
    check_rest(taken, 2, with_taken, 4);
    check_rest(same, 1, all, 2);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/mappings/add", test_add);
    g_test_add_func("/dump/mappings/sort", test_sort);
    g_test_add_func("/dump/mappings/ends", test_ends);
    g_test_add_func("/dump/mappings/none", test_none);
    g_test_add_func("/dump/mappings/aliases", test_aliases);
    g_test_add_func("/dump/mappings/rest", test_rest);
    return g_test_run();
}
