/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Arbitrary x86 page tables: translation of addresses, and collection of all
 * mappings.
 *
 * A reference implementation translates addresses according to the manual. The
 * engine's translation and its mappings, which are limited to RAM, must agree
 * with it.
 *
 * Finally aliases of pages are dropped and unmapped memory is added.
 */

#include <sys/mman.h>
#include "fuzz.h"
#include "qapi/error.h"
#include "x86-paging.h"

#define PAGES           8
#define MAX_CPUS        3
#define ZERO_SIZE       (1ULL << 31)

typedef struct Case {
    uint64_t base;              /* guest-physical start of RAM */
    uint8_t *host;              /* PAGES pages */
    uint64_t zero_base, zero_size;      /* zeroes, if any */
    GuestRam ram;
    DumpPages *pages;
    DumpPagesReader *mem;
    GArray *paging;             /* X86Paging */
} Case;

static bool entry_at(const Case *c, uint64_t at, unsigned size, uint64_t *e)
{
    *e = 0;
    if (at < c->base || at + size > c->base + PAGES * 4096) {
        return false;
    }
    memcpy(e, c->host + (at - c->base), size);  /* little-endian, both */
    return *e & 1;
}

static bool look_up_32(const Case *c, uint64_t root, bool pse, uint32_t va,
                       uint64_t *pa)
{
    uint64_t pde, pte;

    if (!entry_at(c, (root & 0xfffff000) + (va >> 22) * 4, 4, &pde)) {
        return false;
    }
    if (pse && (pde & 0x80)) {
        *pa = (pde & 0xffc00000) | (pde & 0x1fe000) << 19 | (va & 0x3fffff);
        return true;
    }
    if (!entry_at(c, (pde & 0xfffff000) + (va >> 12 & 1023) * 4, 4, &pte)) {
        return false;
    }
    *pa = (pte & 0xfffff000) | (va & 4095);
    return true;
}

/* Walk tables of 512 entries; those of the first map 2^@shift bytes. */
static bool look_up_512(const Case *c, uint64_t table, unsigned shift,
                        uint64_t va, uint64_t *pa)
{
    uint64_t e;

    if (!entry_at(c, table + (va >> shift & 511) * 8, 8, &e)) {
        return false;
    }
    e &= ~(0xfffULL << 52);
    if (shift == 12 || (shift <= 30 && (e & 0x80))) {
        uint64_t offset = (1ULL << shift) - 1;

        *pa = (e & ~offset) | (va & offset);
        return true;
    }
    return look_up_512(c, e & ~0xfffULL, shift - 9, va, pa);
}

static bool look_up(const Case *c, const X86Paging *p, uint64_t va,
                    uint64_t *pa)
{
    uint64_t top = (p->root << 12) >> 12 & ~0xfffULL, e;
    unsigned bits = p->mode == X86_PAGING_5LEVEL ? 57 : 48;
    uint64_t high = va >> (bits - 1);

    switch (p->mode) {
    case X86_PAGING_32BIT:
    case X86_PAGING_PSE:
        return va <= UINT32_MAX &&
               look_up_32(c, p->root, p->mode == X86_PAGING_PSE, va, pa);
    case X86_PAGING_PAE:
        return va <= UINT32_MAX &&
               entry_at(c, (p->root & 0xffffffe0) + (va >> 30) * 8, 8, &e) &&
               look_up_512(c, e & 0x000ffffffffff000, 21, va, pa);
    default:
        return (high == 0 || high == UINT64_MAX >> (bits - 1)) &&
               look_up_512(c, top, bits - 9, va, pa);
    }
}

static const X86Paging *paging_of(const Case *c, size_t cpu)
{
    return &g_array_index(c->paging, X86Paging, cpu);
}

static void check_translate(const Case *c, const X86Paging *p, uint64_t va)
{
    uint64_t want = 0, got, left, last;
    bool mapped = look_up(c, p, va, &want);

    FUZZ_CHECK(x86_paging_translate(p, c->mem, va, &got, &left) == mapped);
    if (mapped) {
        FUZZ_CHECK(got == want);
        FUZZ_CHECK(left && left <= 1 << 30);
        FUZZ_CHECK(look_up(c, p, va + (left - 1), &last));
        FUZZ_CHECK(last == want + (left - 1));
    }
}

static bool is_memory(const Case *c, uint64_t pa)
{
    return pa - c->base < PAGES * 4096 || pa - c->zero_base < c->zero_size;
}

/* Check that a CPU maps @va to @pa. */
static void check_seen(const Case *c, uint64_t va, uint64_t pa)
{
    FUZZ_CHECK(is_memory(c, pa));
    for (size_t i = 0; i < c->paging->len; i++) {
        uint64_t got;

        if (look_up(c, paging_of(c, i), va, &got) && got == pa) {
            return;
        }
    }
    FUZZ_CHECK(!"a mapping that no CPU has");
}

static void check_found(const GArray *found, uint64_t va, uint64_t pa)
{
    for (size_t i = 0; i < found->len; i++) {
        const DumpMapping *m = &g_array_index(found, DumpMapping, i);

        if (va >= m->vaddr && va - m->vaddr < m->size) {
            if (pa - m->paddr == va - m->vaddr) {
                return;
            }
        }
    }
    FUZZ_CHECK(!"a mapping was not found");
}

static bool has_page(const GArray *found, uint64_t paddr, bool virtual)
{
    for (size_t i = 0; i < found->len; i++) {
        const DumpMapping *m = &g_array_index(found, DumpMapping, i);

        if (paddr - (virtual ? m->vaddr : m->paddr) < m->size) {
            return true;
        }
    }
    return false;
}

/* Check the further steps of the analysis. */
static void check_rest(const Case *c, GArray *found)
{
    g_autoptr(GArray) all = g_array_copy(found);
    uint64_t page;

    dump_mappings_drop_aliases(found, X86_PAGING_PAGE_SIZE);
    FUZZ_CHECK(found->len <= all->len);
    for (page = 0; page < PAGES; page++) {
        FUZZ_CHECK(has_page(found, c->base + page * 4096, false) ==
                   has_page(all, c->base + page * 4096, false));
    }
    dump_mappings_add_rest(found, &c->ram);
    for (page = 0; page < PAGES; page++) {
        FUZZ_CHECK(has_page(found, c->base + page * 4096, false) ||
                   has_page(all, c->base + page * 4096, true));
    }
}

static void check_mappings(const Case *c, const uint64_t *at, size_t n)
{
    bool whole;
    g_autoptr(GArray) found = x86_paging_mappings(c->paging, &c->ram, c->mem,
                                                  NULL, &whole);
    size_t step = found->len / 64 + 1;

    FUZZ_CHECK(found->len <= X86_PAGING_MAX_MAPPINGS);
    for (size_t i = 0; i < found->len; i += step) {
        const DumpMapping *m = &g_array_index(found, DumpMapping, i);

        FUZZ_CHECK(m->size && m->size % 4096 == 0);
        FUZZ_CHECK(m->vaddr + (m->size - 1) >= m->vaddr);
        FUZZ_CHECK(i == 0 || m[-1].paddr < m->paddr ||
                   (m[-1].paddr == m->paddr && m[-1].vaddr < m->vaddr));
        check_seen(c, m->vaddr + (m->size - 1), m->paddr + (m->size - 1));
        for (uint64_t page = 0; page < MIN(m->size, 64 * 4096); page += 4096) {
            check_seen(c, m->vaddr + page, m->paddr + page);
        }
    }
    for (size_t i = 0; whole && i < n; i++) {
        for (size_t cpu = 0; cpu < c->paging->len; cpu++) {
            uint64_t pa;

            if (look_up(c, paging_of(c, cpu), at[i], &pa) &&
                is_memory(c, pa)) {
                check_found(found, at[i], pa);
            }
        }
    }
    check_rest(c, found);
}

static uint64_t make_address(const Case *c, FuzzInput *in)
{
    unsigned kind = fuzz_u8(in);

    /* A page of RAM, one just outside, or an arbitrary one. */
    return kind < 224 ? c->base + kind % PAGES * 4096 :
           kind < 240 ? c->base + kind % 2 * (PAGES + 1) * 4096 - 4096 :
                        fuzz_edge(in);
}

/* An entry of a table, often its first or last. */
static void make_entry(Case *c, FuzzInput *in)
{
    unsigned where = fuzz_u8(in);
    unsigned size = where & 0x80 ? 4 : 8;
    uint16_t what = fuzz_u16(in);
    unsigned index = what < 0x8000 ? what % (4096 / size) :
                     what % 2 ? 4096 / size - 1 : 0;
    uint8_t flags = fuzz_u8(in);
    uint64_t entry = (make_address(c, in) & ~0xfffULL) | (flags ^ 1) |
                     (uint64_t)fuzz_u8(in) << 56;

    memcpy(c->host + where % PAGES * 4096 + index * size, &entry, size);
}

/* Untouched memory. */
static const uint8_t *zeroes(void)
{
    static const uint8_t *map;

    if (!map) {
        map = mmap(NULL, ZERO_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS |
                   MAP_NORESERVE, -1, 0);
        assert(map != MAP_FAILED);
    }
    return map;
}

static void make_case(Case *c, FuzzInput *in)
{
    unsigned cpus = fuzz_u8(in) % MAX_CPUS + 1;
    unsigned entries;

    c->base = fuzz_seldom(in, 4) ? (fuzz_edge(in) & 0x000ffffffffff000) >> 1 :
                                   0x10000;
    c->base &= ~0xfffULL;
    c->zero_base = fuzz_seldom(in, 2) ? 1ULL << 32 : 0x100000;
    c->host = g_malloc0(PAGES * 4096);
    c->paging = g_array_new(false, false, sizeof(X86Paging));
    for (unsigned i = 0; i < cpus; i++) {
        X86Paging p = { .mode = fuzz_u8(in) % (X86_PAGING_5LEVEL + 1) };

        p.root = make_address(c, in) | fuzz_u8(in);
        g_array_append_val(c->paging, p);
    }
    entries = fuzz_u16(in) % 1024;
    while (entries-- && in->len > 16) {
        make_entry(c, in);
    }
    guest_ram_init(&c->ram);
    guest_ram_add(&c->ram, c->base, PAGES * 4096, c->host);
    if (c->base + PAGES * 4096 <= c->zero_base ||
        c->base >= c->zero_base + ZERO_SIZE) {
        c->zero_size = ZERO_SIZE;
        guest_ram_add(&c->ram, c->zero_base, c->zero_size, zeroes());
    }
    guest_ram_seal(&c->ram);
    c->pages = dump_pages_still_new(&c->ram, NULL);
    c->mem = dump_pages_reader_new(c->pages, &error_abort);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = { data, size };
    uint64_t at[16];
    Case c = { 0 };

    make_case(&c, &in);
    for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
        at[i] = fuzz_edge(&in);
        for (size_t cpu = 0; cpu < c.paging->len; cpu++) {
            check_translate(&c, paging_of(&c, cpu), at[i]);
        }
    }
    check_mappings(&c, at, ARRAY_SIZE(at));
    dump_pages_reader_free(c.mem);
    dump_pages_free(c.pages);
    guest_ram_deinit(&c.ram);
    g_array_unref(c.paging);
    g_free(c.host);
    return 0;
}

/* A top level with @n entries that refer to itself: n^4 pages. */
static void seed_cycle(FuzzEmit *seed, uint8_t n)
{
    static const uint8_t head[] = { 0, 0, 0, X86_PAGING_4LEVEL, 0, 0 };
    g_autoptr(GByteArray) in = g_byte_array_new();

    g_byte_array_append(in, head, sizeof(head));
    g_byte_array_append(in, (uint8_t[]) { n, 0 }, 2);
    for (uint8_t i = 0; i < n; i++) {
        g_byte_array_append(in, (uint8_t[]) { 0, i, i % 2, 0, 0, 0 }, 6);
    }
    g_byte_array_append(in, (uint8_t[32]) { 0 }, 32);
    seed(in->data, in->len);
}

void fuzz_seeds(FuzzEmit *seed, FuzzEmit *word)
{
    GRand *rand = g_rand_new_with_seed(2);

    for (unsigned i = 0; i < 64; i++) {
        uint8_t in[1024];
        size_t n = i % 4 ? 200 : sizeof(in);

        for (size_t j = 0; j < n; j++) {
            /* Small numbers make low indices, which meet more often. */
            in[j] = g_rand_int(rand) % (i % 3 ? 256 : 8);
        }
        in[0] = i;
        seed(in, n);
    }
    seed_cycle(seed, 5);
    seed_cycle(seed, 30);
    word("\0\0\0\0\0", 5);
    word("\xff\x01\0\0\0", 5);
    word("\0\0\x80\0\0", 5);
    g_rand_free(rand);
}
