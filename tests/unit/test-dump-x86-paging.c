/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * x86 page tables, walked in all modes, and random tables.
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include "dump-test-mappings.h"
#include "dump-test-paging.h"
#include "x86-paging.h"

#define RAM_BASE        0x10000
#define RAM_SIZE        0x20000
#define FAR_SIZE        0x80000000ULL

typedef struct Machine {
    TestMemory memory;          /* RAM_SIZE bytes at RAM_BASE */
    void *far;                  /* the rest of memory, or NULL */
    X86Paging paging;
} Machine;

static void machine_init(Machine *m, X86PagingMode mode)
{
    test_memory_init(&m->memory, RAM_BASE, RAM_SIZE);
    m->far = NULL;
    m->paging = (X86Paging) { .mode = mode, .root = RAM_BASE };
}

/* Memory that is mapped by tables, but never read. */
static void machine_add_far(Machine *m, uint64_t paddr, uint64_t size)
{
    if (!m->far) {
        m->far = mmap(NULL, FAR_SIZE, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        g_assert_true(m->far != MAP_FAILED);
    }
    g_assert_cmpuint(size, <=, FAR_SIZE);
    guest_ram_add(&m->memory.ram, paddr, size, m->far);
    guest_ram_seal(&m->memory.ram);
}

static void machine_deinit(Machine *m)
{
    if (m->far) {
        munmap(m->far, FAR_SIZE);
    }
    test_memory_deinit(&m->memory);
}

static void put(Machine *m, uint64_t paddr, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        m->memory.host[paddr - RAM_BASE + i] = v >> (8 * i);
    }
}

static void check(Machine *m, uint64_t vaddr, uint64_t paddr, uint64_t left)
{
    test_translates(&m->memory, x86_paging_translator, &m->paging, vaddr,
                    paddr, left);
}

static bool read_at(const Machine *m, uint64_t vaddr, void *buf, size_t len)
{
    return x86_paging_read(&m->paging, m->memory.mem, vaddr, buf, len);
}

static void check_none(Machine *m, uint64_t vaddr)
{
    test_translates_not(&m->memory, x86_paging_translator, &m->paging, vaddr);
}

static void test_32bit(void)
{
    Machine m;

    machine_init(&m, X86_PAGING_PSE);
    m.paging.root |= 0xabc00000fffULL;          /* ignored */
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
    /* Without large pages these are tables outside of memory. */
    m.paging.mode = X86_PAGING_32BIT;
    check(&m, 0x807ff123, 0x12345123, 0xedd);
    check_none(&m, 0xfffffffe);
    machine_deinit(&m);
}

static void test_pae(void)
{
    Machine m;

    machine_init(&m, X86_PAGING_PAE);
    m.paging.root = 0x10fe0 | 0x1f;             /* need not be page-aligned */
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
    put(&m, table + 16, (1ULL << 40) | 3, 8);   /* table outside of RAM */
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
    /* Non-canonical addresses with the same low bits. */
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
    put(&m, 0x11000 + 12, 0x30003, 4);          /* the page after it */
    for (int i = 0; i < 0x1000; i++) {
        m.memory.host[0x1f000 + i] = i;
        m.memory.host[0x10000 + i] = 3 * i + 1;
    }
    g_assert_true(read_at(&m, 0x1000, buf, 0x2000));
    g_assert_cmpmem(buf, 0x1000, m.memory.host + 0x1f000, 0x1000);
    g_assert_cmpmem(buf + 0x1000, 0x1000, m.memory.host + 0x10000, 0x1000);
    g_assert_true(read_at(&m, 0x1ffe, buf, 4));
    g_assert_cmpmem(buf, 2, m.memory.host + 0x1fffe, 2);
    g_assert_cmpmem(buf + 2, 2, m.memory.host + 0x10000, 2);
    /* One byte that is not memory, not mapped, or beyond 2^64. */
    g_assert_false(read_at(&m, 0x1000, buf, 0x2001));
    g_assert_false(read_at(&m, 0xfff, buf, 2));
    g_assert_false(read_at(&m, 0xffffffff, buf, 2));
    g_assert_false(read_at(&m, UINT64_MAX, buf, 2));
    g_assert_true(read_at(&m, 0x5000, buf, 0));
    machine_deinit(&m);
}

/* All mappings of one or two CPUs. */
static GArray *all_mappings(const Machine *m, const X86Paging *other,
                            bool *whole)
{
    g_autoptr(GArray) paging = g_array_new(false, false, sizeof(X86Paging));

    g_array_append_val(paging, m->paging);
    if (other) {
        g_array_append_vals(paging, other, 1);
    }
    return x86_paging_mappings(paging, &m->memory.ram, m->memory.mem, NULL,
                               whole);
}

static void check_all(const Machine *m, const X86Paging *other,
                      const DumpMapping *want, size_t n)
{
    bool whole;
    g_autoptr(GArray) found = all_mappings(m, other, &whole);

    g_assert_true(whole);
    test_check_mappings(found, want, n);
}

static void test_mappings_32bit(void)
{
    const DumpMapping want[] = {
        { 0x12345000, 0x807fe000, 0x1000 },
        { 0x12346000, 0x807fd000, 0x1000 },
        { 0x12347000, 0x00000000, 0x1000 },
        { 0xff7fc00000ULL, 0xff800000, 0x800000 },
    };
    Machine m;

    machine_init(&m, X86_PAGING_PSE);
    put(&m, 0x10000 + 4 * 0x201, 0x11067, 4);
    put(&m, 0x11000 + 4 * 0x3fe, 0x12345007, 4);
    put(&m, 0x11000 + 4 * 0x3fd, 0x12346001, 4);
    put(&m, 0x11000 + 4 * 0x3fc, 0x12347000, 4);        /* not present */
    put(&m, 0x10000 + 4 * 0x3fe, 0x7fdfe0e7, 4);        /* 4 MiB each */
    put(&m, 0x10000 + 4 * 0x3ff, 0x801fe0e7, 4);
    put(&m, 0x10000, 0x12003, 4);
    put(&m, 0x12000, 0x12347003, 4);    /* not contiguous */
    put(&m, 0x10000 + 4, 0x40000003, 4);        /* table outside of RAM */
    machine_add_far(&m, 0x12000000, 0x1000000);
    machine_add_far(&m, 0xff40000000ULL, 0x80000000);
    check_all(&m, NULL, want, 4);
    machine_deinit(&m);
}

static void test_mappings_pae(void)
{
    const DumpMapping want[] = {
        { 0x2000, 0xbfe00000, 0x1000 },
        { 0x200000, 0x80000000, 0x400000 },
    };
    Machine m;

    machine_init(&m, X86_PAGING_PAE);
    m.paging.root = 0x10fe0 | 0x1f;
    put(&m, 0x10fe0 + 8 * 2, 0x11001, 8);
    put(&m, 0x11000, 0x200083, 8);
    put(&m, 0x11000 + 8, 0x400083, 8);
    put(&m, 0x11000 + 8 * 0x1ff, 0x12067, 8);
    put(&m, 0x12000, 0x8000000000002001ULL, 8);
    machine_add_far(&m, 0, RAM_BASE);
    machine_add_far(&m, 0x100000, 0x10000000);
    check_all(&m, NULL, want, 2);
    machine_deinit(&m);
}

/* Two CPUs with the same kernel; the second maps one more page. */
static void check_mappings_long(X86PagingMode mode)
{
    bool five = mode == X86_PAGING_5LEVEL;
    const DumpMapping want[] = {
        { 0x5000, 0x7f0000001000, 0x1000 },
        { 0x5000, 0xfffff80000005000ULL, 0x1000 },
        { 0x5000, 0xfffffffffffff000ULL, 0x1000 },
        { 0x6000, 0x0000000000000000, 0x1000 },
        { 0x200000, 0xfffff80000200000ULL, 0x200000 },
        { 0x40000000, 0xfffff80040000000ULL, 0x80000000ULL },
    };
    X86Paging other = { .mode = mode, .root = 0x1f000 };
    Machine m;

    machine_init(&m, mode);
    if (five) {
        put(&m, 0x10000 + 8 * 0x1ff, 0x11003, 8);
        put(&m, 0x10000, 0x1c003, 8);
        put(&m, 0x1f000 + 8 * 0x1ff, 0x11063, 8);       /* flags differ */
        put(&m, 0x1f000, 0x1e003, 8);
    }
    put(&m, (five ? 0x11000 : 0x10000) + 8 * 0x1f0, 0x12003, 8);
    put(&m, (five ? 0x11000 : 0x10000) + 8 * 0x1ff, 0x13003, 8);
    put(&m, five ? 0x1c000 : 0x10000, 0x16003, 8);
    if (!five) {
        put(&m, 0x1f000 + 8 * 0x1f0, 0x12063, 8);
        put(&m, 0x1f000 + 8 * 0x1ff, 0x13063, 8);
    }
    put(&m, 0x12000, 0x14003, 8);
    put(&m, 0x12000 + 8, 0x40000083, 8);                /* 1 GiB each */
    put(&m, 0x12000 + 16, 0x80000083, 8);
    put(&m, 0x14000, 0x15003, 8);
    put(&m, 0x14000 + 8, 0x200083, 8);                  /* 2 MiB */
    put(&m, 0x15000 + 8 * 5, 0x5003 | 1ULL << 63, 8);
    /* The last and the first page of address space, adjacent in memory. */
    put(&m, 0x13000 + 8 * 0x1ff, 0x19003, 8);
    put(&m, 0x19000 + 8 * 0x1ff, 0x1a003, 8);
    put(&m, 0x1a000 + 8 * 0x1ff, 0x5003, 8);
    put(&m, 0x16000, 0x17003, 8);
    put(&m, 0x17000, 0x18003, 8);
    put(&m, 0x18000, 0x6003, 8);
    /* Mapped by the other CPU only. */
    put(&m, (five ? 0x1e000 : 0x1f000) + 8 * 0xfe, 0x1b003, 8);
    put(&m, 0x1b000, 0x1d003, 8);
    put(&m, 0x1d000, 0x20003, 8);
    put(&m, 0x20000 + 8, 0x5003, 8);
    machine_add_far(&m, 0, RAM_BASE);
    machine_add_far(&m, 0x100000, 0x10000000);
    machine_add_far(&m, 0x40000000, 0x80000000);

    check_all(&m, NULL, want + 1, 5);
    check_all(&m, &other, want, 6);
    machine_deinit(&m);
}

static void test_mappings_long(void)
{
    check_mappings_long(X86_PAGING_4LEVEL);
    check_mappings_long(X86_PAGING_5LEVEL);
}

/* A large page with three pieces of memory, and one without memory. */
static void test_mappings_cut(void)
{
    const DumpMapping want[] = {
        { 0x200000, 0x80000000, 0x1000 },
        { 0x280000, 0x80080000, 0x80000 },
        { 0x3ff000, 0x801ff000, 0x2000 },       /* continues in the next page */
    };
    Machine m;

    machine_init(&m, X86_PAGING_PAE);
    put(&m, 0x10000 + 8 * 2, 0x11001, 8);
    put(&m, 0x11000, 0x200083, 8);
    put(&m, 0x11000 + 8, 0x400083, 8);
    put(&m, 0x11000 + 16, 0x40000083, 8);
    machine_add_far(&m, 0x1ff000, 0x2000);
    machine_add_far(&m, 0x280000, 0x80000);
    machine_add_far(&m, 0x3ff000, 0x2000);
    check_all(&m, NULL, want, 3);
    machine_deinit(&m);
}

/* All entries of a table refer to the table itself. */
static void test_mappings_too_many(void)
{
    const X86PagingMode mode = X86_PAGING_5LEVEL;
    Machine m;
    bool whole;
    g_autoptr(GArray) pages = NULL;
    g_autoptr(GArray) empty = NULL;

    /* The kernel's half and all that fits the limit is included. */
    machine_init(&m, mode);
    for (unsigned i = 0; i < 512; i++) {
        put(&m, RAM_BASE + 8 * i, RAM_BASE | 1, 8);
    }
    pages = all_mappings(&m, NULL, &whole);
    g_assert_false(whole);
    g_assert_cmpuint(pages->len, ==, X86_PAGING_MAX_MAPPINGS);
    g_assert_cmphex(g_array_index(pages, DumpMapping, 0).vaddr, ==,
                    0xff00000000000000ULL);

    /* Five levels of tables without any page. */
    for (unsigned level = 0; level < 4; level++) {
        for (unsigned i = 0; i < 512; i++) {
            put(&m, RAM_BASE + 4096 * level + 8 * i,
                (RAM_BASE + 4096 * (level + 1)) | 1, 8);
        }
    }
    empty = all_mappings(&m, NULL, &whole);
    g_assert_false(whole);
    g_assert_cmpuint(empty->len, ==, 0);
    machine_deinit(&m);
}

/* Random tables: translation and the list of mappings agree. */
static void check_noise_mappings(const Machine *m, GRand *rand)
{
    bool whole;
    g_autoptr(GArray) found = all_mappings(m, NULL, &whole);

    for (unsigned n = 0; n < 2000 && found->len; n++) {
        const DumpMapping *f = &g_array_index(found, DumpMapping,
            g_rand_int_range(rand, 0, found->len));
        uint64_t vaddr = f->vaddr + (g_rand_int(rand) & (f->size - 1));
        uint64_t paddr, left;

        g_assert_true(x86_paging_translate(&m->paging, m->memory.mem, vaddr,
                                           &paddr, &left));
        g_assert_cmphex(paddr - f->paddr, ==, vaddr - f->vaddr);
    }
}

/* Random tables, which may refer to themselves: every walk ends. */
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
            mapped += x86_paging_read(&m.paging, m.memory.mem,
                                      x86_paging_is64(mode) ? vaddr :
                                      (uint32_t)vaddr, buf,
                                      sizeof(buf));
        }
        check_noise_mappings(&m, rand);
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
    g_test_add_func("/dump/x86-paging/mappings/32bit", test_mappings_32bit);
    g_test_add_func("/dump/x86-paging/mappings/pae", test_mappings_pae);
    g_test_add_func("/dump/x86-paging/mappings/long", test_mappings_long);
    g_test_add_func("/dump/x86-paging/mappings/cut", test_mappings_cut);
    g_test_add_func("/dump/x86-paging/mappings/too-many",
                    test_mappings_too_many);
    g_test_add_func("/dump/x86-paging/noise", test_noise);
    return g_test_run();
}
