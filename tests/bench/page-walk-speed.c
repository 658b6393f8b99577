/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Measure the time to find the pages that a dump can exclude:
 *
 *   page-walk-speed [GIB [THREADS]]
 *
 * walks over the struct pages of a synthetic x86_64 guest with GIB (default:
 * 64) GiB of memory, with 1 and with THREADS (default: 2) threads, and prints
 * nanoseconds per page frame. Each 2 MiB of memory is in turn: free blocks of
 * one size; page cache; one huge page; every other page in use.
 *
 * Only 64 MiB of struct pages are allocated, more than fits CPU caches; the
 * memory map refers to them repeatedly.
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include "qapi/error.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "linux-guest.h"
#include "page-walk.h"

#define VADDR       0xffffffff81000000ULL   /* of the kernel image */
#define VMEMMAP     0xffffea0000000000ULL
#define KERNEL      (2 * MiB)
#define UTS         0x1000
#define ROOTS       0x2000
#define SECTIONS    0x100000                /* offset from the kernel's start */
#define TABLES      (8 * MiB)
#define PAGES       (64 * MiB)              /* address of the struct pages */
#define PAGES_SIZE  (64 * MiB)
#define PAGE        64

typedef struct Bench {
    DumpGuest g;
    uint8_t *low;               /* 128 MiB of allocated memory */
    void *all;
    uint64_t tables;            /* address of the next table */
    uint64_t frames;
} Bench;

static uint64_t next_table(Bench *b, uint8_t *entry)
{
    if (!ldq_le_p(entry)) {
        stq_le_p(entry, b->tables | 0x63);
        b->tables += 4096;
        g_assert_cmpuint(b->tables, <=, PAGES);
    }
    return ldq_le_p(entry) & -4096ULL;
}

/* Map a page of 2 MiB. */
static void map(Bench *b, uint64_t vaddr, uint64_t paddr)
{
    uint64_t table = TABLES;

    for (unsigned shift = 39; shift > 21; shift -= 9) {
        table = next_table(b, b->low + table + (vaddr >> shift & 511) * 8);
    }
    stq_le_p(b->low + table + (vaddr >> 21 & 511) * 8, paddr | 0xe3);
}

static void fill_page(uint8_t *p, uint64_t pfn)
{
    bool head = pfn % 512 == 0;
    uint64_t flags = 1ULL << 36 | 1 << 19;

    stl_le_p(p + 48, -1);
    switch (pfn / 512 % 4) {
    case 0:
        if (pfn % (1 << pfn / 2048 % 10) == 0) {
            stl_le_p(p + 48, -129);
            stq_le_p(p + 40, pfn / 2048 % 10);
        }
        break;
    case 1:
        flags |= 1 << 4;
        break;
    case 2:
        flags |= head ? 1 << 16 | 1 << 4 : 0;
        stq_le_p(p + 8, head ? 0 : 1);
        stq_le_p(p + 24, head);
        p[17] = pfn % 512 == 1 ? 9 : 0;
        break;
    default:
        flags |= pfn % 2 ? 1 << 4 : 0;
    }
    stq_le_p(p, flags);
}

static void fill(Bench *b)
{
    uint8_t *uts = b->low + KERNEL + UTS + 4;

    b->tables = TABLES + 4096;
    map(b, VADDR, KERNEL);
    strcpy((char *)uts, "Linux");
    strcpy((char *)uts + 130, "6.1.0");
    for (uint64_t i = 0; i < PAGES_SIZE / PAGE; i++) {
        fill_page(b->low + PAGES + i * PAGE, i);
    }
    for (uint64_t at = 0; at < b->frames * PAGE; at += 2 * MiB) {
        map(b, VMEMMAP + at, PAGES + at % PAGES_SIZE);
    }
    for (uint64_t i = 0; i < 8192 / 256; i++) {
        stq_le_p(b->low + KERNEL + ROOTS + i * 8, VADDR + SECTIONS + i * 4096);
    }
    for (uint64_t i = 0; i < MIN(b->frames / 32768, 8192); i++) {
        stq_le_p(b->low + KERNEL + SECTIONS + i * 16, VMEMMAP | 3);
    }
}

static double walk(Bench *b, const VmcoreInfo *info, unsigned threads)
{
    g_autoptr(DumpPagesReader) mem = dump_pages_reader_new(b->g.pages,
                                                           &error_abort);
    DumpProgress progress;
    int64_t start = g_get_monotonic_time();

    dump_progress_init(&progress);
    page_walk(&b->g, mem, info, PAGE_CLASS_LEVEL_MAX, threads, &progress,
              &error_abort);
    return (g_get_monotonic_time() - start) * 1e3 / b->frames;
}

static VmcoreInfo *describe(void)
{
    g_autofree char *text = g_strdup_printf(
        "OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(init_uts_ns)=%llx\n"
        "OFFSET(uts_namespace.name)=4\nSYMBOL(init_top_pgt)=%llx\n"
        "NUMBER(phys_base)=%lld\nSYMBOL(mem_section)=%llx\n"
        "LENGTH(mem_section)=2048\nSIZE(mem_section)=16\n"
        "OFFSET(mem_section.section_mem_map)=0\nSIZE(page)=64\n"
        "OFFSET(page.flags)=0\nOFFSET(page.mapping)=24\n"
        "OFFSET(page.private)=40\nOFFSET(page._mapcount)=48\n"
        "OFFSET(page.compound_head)=8\nOFFSET(page.compound_order)=17\n"
        "OFFSET(page.compound_dtor)=16\nNUMBER(PG_lru)=4\nNUMBER(PG_slab)=9\n"
        "NUMBER(PG_private)=13\nNUMBER(PG_swapcache)=10\n"
        "NUMBER(PG_swapbacked)=19\nNUMBER(PG_head_mask)=65536\n"
        "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129\nLENGTH(zone.free_area)=11\n",
        VADDR + UTS, VADDR + TABLES - KERNEL, (long long)(KERNEL - 0x1000000),
        VADDR + ROOTS);

    return vmcoreinfo_parse((const uint8_t *)text, strlen(text));
}

int main(int argc, char **argv)
{
    uint64_t gib = argc > 1 ? g_ascii_strtoull(argv[1], NULL, 10) : 64;
    unsigned threads = argc > 2 ? g_ascii_strtoull(argv[2], NULL, 10) : 2;
    g_autoptr(VmcoreInfo) info = describe();
    g_autoptr(DumpPagesReader) mem = NULL;
    Bench b = { .frames = gib * GiB / 4096 };

    gib = CLAMP(gib, 1, 1024);
    b.frames = gib * GiB / 4096;
    dump_guest_init(&b.g);
    b.g.abi = (DumpAbi) { ELFCLASS64, ELFDATA2LSB, EM_X86_64 };
    b.all = mmap(NULL, gib * GiB, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    g_assert_true(b.all != MAP_FAILED);
    b.low = b.all;
    fill(&b);
    guest_ram_add(&b.g.all, 0, gib * GiB, b.all);
    dump_guest_seal(&b.g, 0, 0);
    mem = dump_pages_reader_new(b.g.pages, &error_abort);
    linux_guest_describe(&b.g, mem, info);
    for (unsigned n = 1; n <= threads; n += MAX(threads - 1, 1)) {
        double ns = walk(&b, info, n);

        printf("%u threads: %.1f ns per page frame, %.3f s; %" PRIu64
               " of %" PRIu64 " page frames are kept\n", n, ns,
               ns * b.frames / 1e9, pfn_set_count(b.g.kept), b.frames);
        g_clear_pointer(&b.g.kept, pfn_set_free);
    }
    g_clear_pointer(&mem, dump_pages_reader_free);
    dump_guest_deinit(&b.g);
    munmap(b.all, gib * GiB);
    return 0;
}
