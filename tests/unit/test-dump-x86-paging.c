/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * x86 page tables, walked in all modes; and tables of noise.
 */

#include "qemu/osdep.h"
#include "x86-paging.h"

#define RAM_BASE        0x10000
#define RAM_SIZE        0x20000

typedef struct Machine {
    uint8_t *host;              /* RAM_SIZE bytes at RAM_BASE */
    GuestRam ram;
    X86Paging paging;
} Machine;

static void machine_init(Machine *m, X86PagingMode mode)
{
    m->host = g_malloc0(RAM_SIZE);
    guest_ram_init(&m->ram);
    guest_ram_add(&m->ram, RAM_BASE, RAM_SIZE, m->host);
    guest_ram_seal(&m->ram);
    m->paging = (X86Paging) { .mode = mode, .root = RAM_BASE };
}

static void machine_deinit(Machine *m)
{
    guest_ram_deinit(&m->ram);
    g_free(m->host);
}

static void put(Machine *m, uint64_t paddr, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        m->host[paddr - RAM_BASE + i] = v >> (8 * i);
    }
}

/* Translation of @vaddr must be @paddr, with @left bytes behind it. */
static void check(Machine *m, uint64_t vaddr, uint64_t paddr, uint64_t left)
{
    uint64_t p, n;

    g_assert_true(x86_paging_translate(&m->paging, &m->ram, vaddr, &p, &n));
    g_assert_cmphex(p, ==, paddr);
    g_assert_cmphex(n, ==, left);
}

static void check_none(Machine *m, uint64_t vaddr)
{
    uint64_t p, n;

    g_assert_false(x86_paging_translate(&m->paging, &m->ram, vaddr, &p, &n));
}

static void test_32bit(void)
{
    Machine m;

    machine_init(&m, X86_PAGING_PSE);
    m.paging.root |= 0xabc00000fffULL;          /* not looked at */
    put(&m, 0x10000 + 4 * 0x201, 0x11067, 4);   /* 0x80400000.. */
    put(&m, 0x11000 + 4 * 0x3ff, 0x12345007, 4);
    put(&m, 0x11000 + 4 * 0x3fe, 0x12345006, 4);        /* not present */
    put(&m, 0x10000 + 4 * 0x3ff, 0x7fc000e7, 4);        /* 4 MiB */
    put(&m, 0x10000 + 4 * 0x3fe, 0x7fc1e0e7, 4);        /* above 4 GiB */
    check(&m, 0x807ff123, 0x12345123, 0xedd);
    check_none(&m, 0x807fe123);
    check_none(&m, 0x80400000);
    check_none(&m, 0x1000);
    check(&m, 0xfffffffe, 0x7ffffffe, 2);
    check(&m, 0xff800000, 0xf7fc00000ULL, 0x400000);
    check_none(&m, 0xffffffff807ff123ULL);
    check_none(&m, 0x1807ff123ULL);
    /* Without large pages they are tables, where there is no memory. */
    m.paging.mode = X86_PAGING_32BIT;
    check(&m, 0x807ff123, 0x12345123, 0xedd);
    check_none(&m, 0xfffffffe);
    machine_deinit(&m);
}

static void test_pae(void)
{
    Machine m;

    machine_init(&m, X86_PAGING_PAE);
    m.paging.root = 0x10fe0 | 0x1f;             /* need not be a page */
    put(&m, 0x10fe0 + 8 * 2, 0x11001, 8);       /* 0x80000000.. */
    put(&m, 0x11000 + 8 * 0x1ff, 0x12067, 8);
    put(&m, 0x12000, 0x8000001234567001ULL, 8); /* no-execute */
    put(&m, 0x11000, 0x12345200083ULL, 8);      /* 2 MiB */
    put(&m, 0x10fe0 + 8 * 3, 0x81, 8);          /* no large pages here */
    check(&m, 0xbfe00fff, 0x1234567fff, 1);
    check(&m, 0x80000001, 0x12345200001ULL, 0x1fffff);
    check_none(&m, 0xc0000000);
    check_none(&m, 0xbfe01000);
    machine_deinit(&m);
}

static void check_long(X86PagingMode mode)
{
    uint64_t kernel = 0xfffff80000000000ULL, table = RAM_BASE;
    Machine m;

    machine_init(&m, mode);
    m.paging.root |= 0x8000000000000fffULL;     /* PCID and such */
    if (mode == X86_PAGING_5LEVEL) {
        put(&m, table + 8 * 0x1ff, table + 0x1003, 8);
        put(&m, table, table + 0x1003, 8);
        table += 0x1000;
    }
    put(&m, table + 8 * 0x1f0, table + 0x1063, 8);
    table += 0x1000;
    put(&m, table, table + 0x1063, 8);
    put(&m, table + 8, 0x7fffc0000083ULL | 1ULL << 63, 8);      /* 1 GiB */
    put(&m, table + 16, (1ULL << 40) | 3, 8);   /* a table that is no RAM */
    table += 0x1000;
    put(&m, table, table + 0x1063, 8);
    put(&m, table + 8, 0x40000001e3ULL | 1ULL << 62, 8);        /* 2 MiB */
    table += 0x1000;
    put(&m, table + 8 * 5, 0x40012345063ULL | 1ULL << 63, 8);

    check(&m, kernel + 0x5678, 0x40012345678ULL, 0x988);
    check(&m, kernel + 0x3fffff, 0x40001fffffULL, 1);
    check(&m, kernel + 0x40000000, 0x7fffc0000000ULL, 1 << 30);
    check_none(&m, kernel + 0x6000);
    check_none(&m, kernel + 0x80000000);
    check_none(&m, kernel + 0x400000);
    /* The same bits below, others above. */
    check_none(&m, 0x0000f80000000000ULL + (mode == X86_PAGING_5LEVEL ?
                                            1ULL << 56 : 0));
    check_none(&m, 0x7ffff80000000000ULL);
    machine_deinit(&m);
}

static void test_long(void)
{
    check_long(X86_PAGING_4LEVEL);
    check_long(X86_PAGING_5LEVEL);
}

static void test_read(void)
{
    uint8_t buf[0x3000];
    Machine m;

    machine_init(&m, X86_PAGING_PSE);
    put(&m, 0x10000, 0x11003, 4);
    put(&m, 0x11000 + 4, 0x2f003, 4);           /* the last page of RAM */
    put(&m, 0x11000 + 8, 0x20003, 4);
    put(&m, 0x11000 + 12, 0x30003, 4);          /* behind it */
    for (int i = 0; i < 0x1000; i++) {
        m.host[0x1f000 + i] = i;
        m.host[0x10000 + i] = 3 * i + 1;
    }
    g_assert_true(x86_paging_read(&m.paging, &m.ram, 0x1000, buf, 0x2000));
    g_assert_cmpmem(buf, 0x1000, m.host + 0x1f000, 0x1000);
    g_assert_cmpmem(buf + 0x1000, 0x1000, m.host + 0x10000, 0x1000);
    g_assert_true(x86_paging_read(&m.paging, &m.ram, 0x1ffe, buf, 4));
    g_assert_cmpmem(buf, 2, m.host + 0x1fffe, 2);
    g_assert_cmpmem(buf + 2, 2, m.host + 0x10000, 2);
    /* One byte that is not memory, not mapped, or beyond all addresses. */
    g_assert_false(x86_paging_read(&m.paging, &m.ram, 0x1000, buf, 0x2001));
    g_assert_false(x86_paging_read(&m.paging, &m.ram, 0xfff, buf, 2));
    g_assert_false(x86_paging_read(&m.paging, &m.ram, 0xffffffff, buf, 2));
    g_assert_false(x86_paging_read(&m.paging, &m.ram, UINT64_MAX, buf, 2));
    g_assert_true(x86_paging_read(&m.paging, &m.ram, 0x5000, buf, 0));
    machine_deinit(&m);
}

/* Tables that point anywhere, at themselves too: every walk ends. */
static void test_noise(void)
{
    GRand *rand = g_rand_new_with_seed(5);
    unsigned mapped = 0;

    for (X86PagingMode mode = 0; mode <= X86_PAGING_5LEVEL; mode++) {
        Machine m;

        machine_init(&m, mode);
        for (unsigned i = 0; i < RAM_SIZE; i += 8) {
            uint64_t v = RAM_BASE + g_rand_int_range(rand, 0, RAM_SIZE);

            put(&m, RAM_BASE + i, g_rand_int(rand) % 8 ? v | 1 :
                (uint64_t)g_rand_int(rand) << 32 | v, 8);
        }
        for (int i = 0; i < 20000; i++) {
            uint64_t vaddr = (uint64_t)g_rand_int(rand) << 32 |
                             g_rand_int(rand);
            uint8_t buf[64];

            vaddr = (int64_t)vaddr >> (g_rand_int(rand) % 40);
            mapped += x86_paging_read(&m.paging, &m.ram,
                                      x86_paging_is64(mode) ? vaddr :
                                      (uint32_t)vaddr, buf,
                                      sizeof(buf));
        }
        machine_deinit(&m);
    }
    g_assert_cmpuint(mapped, >, 1000);
    g_rand_free(rand);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/x86-paging/32bit", test_32bit);
    g_test_add_func("/dump/x86-paging/pae", test_pae);
    g_test_add_func("/dump/x86-paging/long", test_long);
    g_test_add_func("/dump/x86-paging/read", test_read);
    g_test_add_func("/dump/x86-paging/noise", test_noise);
    return g_test_run();
}
