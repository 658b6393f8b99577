/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * AArch64 translation tables, with hand-made entries of each format.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "arm64-paging.h"
#include "dump-test-paging.h"

#define RAM_BASE        0x100000
#define RAM_SIZE        0x80000

typedef struct Machine {
    TestMemory memory;          /* RAM_SIZE bytes at RAM_BASE */
    Arm64Paging paging;
} Machine;

static void machine_init(Machine *m, unsigned page_bits, unsigned vaddr_bits)
{
    test_memory_init(&m->memory, RAM_BASE, RAM_SIZE);
    m->paging = (Arm64Paging) { .root = RAM_BASE, .page_bits = page_bits,
                                .vaddr_bits = vaddr_bits };
}

static void machine_deinit(Machine *m)
{
    test_memory_deinit(&m->memory);
}

/* Set entry @index of the table at @table. */
static void put(Machine *m, uint64_t table, unsigned index, uint64_t entry)
{
    stq_le_p(m->memory.host + (table - RAM_BASE) + index * 8, entry);
}

static void check(Machine *m, uint64_t vaddr, uint64_t paddr, uint64_t left)
{
    test_translates(&m->memory, arm64_paging_translator, &m->paging, vaddr,
                    paddr, left);
}

static void check_none(Machine *m, uint64_t vaddr)
{
    test_translates_not(&m->memory, arm64_paging_translator, &m->paging,
                        vaddr);
}

static void test_4k(void)
{
    Machine m;

    machine_init(&m, 12, 48);
    put(&m, 0x100000, 0x100, 0x101003);
    put(&m, 0x101000, 0, 0x102003);
    put(&m, 0x101000, 1, 0x0060012340000701);   /* 1 GiB; UXN, PXN */
    put(&m, 0x101000, 2, 0x104000);             /* not valid */
    put(&m, 0x101000, 3, 0x700000003);          /* not memory */
    put(&m, 0x102000, 0, 0x103003);
    put(&m, 0x102000, 1, 0x0000ffff89200f01);   /* 2 MiB */
    put(&m, 0x103000, 5, 0x00e8000012345f03);
    put(&m, 0x103000, 6, 0x00e8000012345f01);   /* invalid type here */
    check(&m, 0xffff800000005123, 0x12345123, 0xedd);
    check_none(&m, 0xffff800000006123);
    check_none(&m, 0xffff800000004123);
    check(&m, 0xffff800000201234, 0xffff89201234, 0x1fedcc);
    check(&m, 0xffff800040000001, 0x12340000001, 0x3fffffff);
    check_none(&m, 0xffff800080000000);
    check_none(&m, 0xffff8000c0000000);
    check_none(&m, 0x0000800000005123);
    check_none(&m, 0xfffe800000005123);
    machine_deinit(&m);
}

/* Five levels; upper address bits replace attributes of other formats. */
static void test_4k_52(void)
{
    Machine m;

    machine_init(&m, 12, 52);
    put(&m, 0x100000, 0xf, 0x101003);
    put(&m, 0x101000, 0x1ff, 0x102003);
    put(&m, 0x102000, 0x1ff, 0x103003);
    put(&m, 0x103000, 0x1fe, 0x0003123456600301);       /* 2 MiB */
    put(&m, 0x103000, 0x1ff, 0x104003);
    put(&m, 0x104000, 0x1ff, 0x0002000012345603);
    check(&m, UINT64_MAX, 0xa000012345fff, 1);
    check(&m, UINT64_MAX << 22, 0xf123456600000, 0x200000);
    check_none(&m, 0xffefffffffffffff);
    machine_deinit(&m);
}

static void test_16k(void)
{
    Machine m;

    machine_init(&m, 14, 47);
    put(&m, 0x100000, 0x7ff, 0x104003);
    put(&m, 0x104000, 0x7ff, 0x108003);
    put(&m, 0x104000, 0x7fe, 0x12346000f01);    /* 32 MiB */
    put(&m, 0x108000, 0x7ff, 0x123456783303);   /* 0x3300: attributes */
    check(&m, UINT64_MAX, 0x123456783fff, 1);
    check(&m, UINT64_MAX << 26, 0x12346000000, 0x2000000);
    check_none(&m, 0xffff7fffffffffff);
    machine_deinit(&m);
}

static void test_64k_52(void)
{
    Machine m;

    machine_init(&m, 16, 52);
    put(&m, 0x100000, 0x3ff, 0x110003);
    put(&m, 0x110000, 0x1fff, 0x120003);
    put(&m, 0x110000, 0x1ffe, 0x123460005f01);  /* 512 MiB */
    put(&m, 0x120000, 0x1fff, 0x12345678a703);
    check(&m, UINT64_MAX, 0xa12345678ffff, 1);
    check(&m, UINT64_MAX << 30, 0x5123460000000, 0x20000000);
    machine_deinit(&m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/arm64-paging/4k", test_4k);
    g_test_add_func("/dump/arm64-paging/4k-52", test_4k_52);
    g_test_add_func("/dump/arm64-paging/16k", test_16k);
    g_test_add_func("/dump/arm64-paging/64k-52", test_64k_52);
    return g_test_run();
}
