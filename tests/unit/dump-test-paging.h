/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Memory with page tables, and checks of translations.
 */

#ifndef DUMP_TEST_PAGING_H
#define DUMP_TEST_PAGING_H

#include "qapi/error.h"
#include "pages.h"

typedef struct TestMemory {
    uint8_t *host;
    GuestRam ram;
    DumpPages *pages;
    DumpPagesReader *mem;
} TestMemory;

/* @size bytes of zeroes at guest-physical @base. */
static inline void test_memory_init(TestMemory *m, uint64_t base, size_t size)
{
    m->host = g_malloc0(size);
    guest_ram_init(&m->ram);
    guest_ram_add(&m->ram, base, size, m->host);
    guest_ram_seal(&m->ram);
    m->pages = dump_pages_still_new(&m->ram, NULL);
    m->mem = dump_pages_reader_new(m->pages, &error_abort);
}

static inline void test_memory_deinit(TestMemory *m)
{
    dump_pages_reader_free(m->mem);
    dump_pages_free(m->pages);
    guest_ram_deinit(&m->ram);
    g_free(m->host);
}

/* @vaddr must translate to @paddr, with @left bytes to the page's end. */
static inline void test_translates(const TestMemory *m,
                                   DumpPagesTranslate *translate,
                                   const void *tables, uint64_t vaddr,
                                   uint64_t paddr, uint64_t left)
{
    uint64_t p, n;

    g_assert_true(translate(tables, m->mem, vaddr, &p, &n));
    g_assert_cmphex(p, ==, paddr);
    g_assert_cmphex(n, ==, left);
}

static inline void test_translates_not(const TestMemory *m,
                                       DumpPagesTranslate *translate,
                                       const void *tables, uint64_t vaddr)
{
    uint64_t p, n;

    g_assert_false(translate(tables, m->mem, vaddr, &p, &n));
}

#endif
