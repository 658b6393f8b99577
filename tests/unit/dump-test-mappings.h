/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Helper for tests of guest-virtual mappings.
 */

#ifndef DUMP_TEST_MAPPINGS_H
#define DUMP_TEST_MAPPINGS_H

#include "mappings.h"

/* @found must be the @n mappings of @want, in this order. */
static inline void test_check_mappings(const GArray *found,
                                       const DumpMapping *want, size_t n)
{
    g_assert_cmpuint(found->len, ==, n);
    for (size_t i = 0; i < n; i++) {
        const DumpMapping *f = &g_array_index(found, DumpMapping, i);

        g_assert_cmphex(f->paddr, ==, want[i].paddr);
        g_assert_cmphex(f->vaddr, ==, want[i].vaddr);
        g_assert_cmphex(f->size, ==, want[i].size);
    }
}

#endif
