/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A synthetic Linux kernel in guest memory: page tables, utsname and
 * VMCOREINFO.
 */

#ifndef DUMP_TEST_LINUX_H
#define DUMP_TEST_LINUX_H

#include "qemu/bswap.h"
#include "dump-test-guest.h"
#include "vmcoreinfo.h"

/* Address translation. */
typedef struct TestLinuxKind {
    const char *name;
    uint16_t machine;
    unsigned page_bits, vaddr_bits;
    const char *info;           /* its lines in VMCOREINFO */
} TestLinuxKind;

static const TestLinuxKind test_linux_kinds[] = {
    { "x86_64", EM_X86_64, 12, 48, "" },
    { "x86_64-5", EM_X86_64, 12, 57, "NUMBER(pgtable_l5_enabled)=1\n" },
    { "arm64-4k", EM_AARCH64, 12, 48,
      "NUMBER(VA_BITS)=48\nNUMBER(TCR_EL1_T1SZ)=0x10\n" },
    { "arm64-4k-39", EM_AARCH64, 12, 39, "NUMBER(VA_BITS)=39\n" },
    { "arm64-16k", EM_AARCH64, 14, 47,
      "NUMBER(VA_BITS)=52\nNUMBER(TCR_EL1_T1SZ)=0x11\n" },
    { "arm64-16k-52", EM_AARCH64, 14, 52,
      "NUMBER(VA_BITS)=52\nNUMBER(TCR_EL1_T1SZ)=0xc\n" },
    /* A CPU with 48 bits; the kernel's table is built for 52. */
    { "arm64-64k", EM_AARCH64, 16, 52,
      "NUMBER(VA_BITS)=52\nNUMBER(TCR_EL1_T1SZ)=0x10\n" },
};

#define TEST_LINUX_RELEASE  "6.1.0"

/* Guest memory: 1 MiB of the kernel, followed by page tables. */
#define TEST_LINUX_KERNEL   0x100000ULL
#define TEST_LINUX_TABLES   0x200000ULL
#define TEST_LINUX_UTS      0x20000         /* in the kernel */
#define TEST_LINUX_VADDR    0xffffffff81000000ULL
#define TEST_LINUX_RAM      (32ULL << 20)

typedef struct TestLinux {
    TestGuest t;
    const TestLinuxKind *kind;
    uint8_t *ram;               /* TEST_LINUX_RAM bytes, from address 0 on */
    uint64_t tables;            /* address of the next page table */
    GString *text;              /* VMCOREINFO */
    DumpReport report;
} TestLinux;

static inline uint64_t test_linux_new_table(TestLinux *l)
{
    uint64_t at = l->tables;

    l->tables += 1ULL << l->kind->page_bits;
    return at;
}

/* An entry for a table, a page of minimum size, or a larger page. */
static inline uint64_t test_linux_entry(const TestLinux *l, uint64_t paddr,
                                        bool table, bool smallest)
{
    if (l->kind->machine == EM_X86_64) {
        return paddr | (table || smallest ? 0x63 : 0xe3);
    }
    return paddr | 0x400 | (table || smallest ? 3 : 1);
}

/* Map a page of 2^@size bytes. */
static inline void test_linux_map(TestLinux *l, uint64_t vaddr,
                                  uint64_t paddr, unsigned size)
{
    unsigned page = l->kind->page_bits, per_level = page - 3;
    unsigned end = l->kind->vaddr_bits;
    unsigned shift = page + (end - page - 1) / per_level * per_level;
    uint64_t table = TEST_LINUX_TABLES;

    for (;; shift -= per_level) {
        uint64_t index = vaddr >> shift & ((1ULL << (end - shift)) - 1);
        uint8_t *entry = l->ram + table + index * 8;

        if (shift == size) {
            stq_le_p(entry, test_linux_entry(l, paddr, false, size == page));
            return;
        }
        if (!ldq_le_p(entry)) {
            stq_le_p(entry, test_linux_entry(l, test_linux_new_table(l), true,
                                             false));
        }
        table = ldq_le_p(entry) & 0xfffffffff000 & -(1ULL << page);
        end = shift;
    }
}

/* Map @size bytes with pages of minimum size. */
static inline void test_linux_map_pages(TestLinux *l, uint64_t vaddr,
                                        uint64_t paddr, uint64_t size)
{
    uint64_t page = 1ULL << l->kind->page_bits;

    for (uint64_t at = 0; at < size; at += page) {
        test_linux_map(l, vaddr + at, paddr + at, l->kind->page_bits);
    }
}

static inline void test_linux_put_uts(TestLinux *l)
{
    char *uts = (char *)l->ram + TEST_LINUX_KERNEL + TEST_LINUX_UTS + 4;

    strcpy(uts, "Linux");
    strcpy(uts + 2 * 65, TEST_LINUX_RELEASE);
}

static inline void test_linux_init(TestLinux *l, const TestLinuxKind *kind)
{
    const DumpAbi abi = { ELFCLASS64, ELFDATA2LSB, kind->machine };

    test_guest_init(&l->t, &abi, 1 << kind->page_bits);
    l->kind = kind;
    l->ram = test_guest_add(&l->t, 0, TEST_LINUX_RAM)->host;
    memset(l->ram, 0, TEST_LINUX_RAM);
    dump_report_init(&l->report);
    l->t.g.report = &l->report;
    l->tables = TEST_LINUX_TABLES;
    test_linux_new_table(l);
    if (kind->page_bits == 14) {
        test_linux_new_table(l);        /* a level that is not folded */
    }
    test_linux_map_pages(l, TEST_LINUX_VADDR, TEST_LINUX_KERNEL, 0x100000);
    test_linux_put_uts(l);
    l->text = g_string_new("OSRELEASE=" TEST_LINUX_RELEASE "\n");
    g_string_append_printf(l->text, "PAGESIZE=%d\n%s"
                           "SYMBOL(init_uts_ns)=%llx\n"
                           "OFFSET(uts_namespace.name)=4\n"
                           "SYMBOL(swapper_pg_dir)=%llx\n",
                           1 << kind->page_bits, kind->info,
                           TEST_LINUX_VADDR + TEST_LINUX_UTS,
                           TEST_LINUX_VADDR + TEST_LINUX_TABLES -
                           TEST_LINUX_KERNEL);
    if (kind->machine == EM_X86_64) {
        g_string_append_printf(l->text, "NUMBER(phys_base)=%lld\n",
                               (long long)TEST_LINUX_KERNEL - 0x1000000);
    } else {
        g_string_append_printf(l->text, "NUMBER(kimage_voffset)=0x%llx\n",
                               TEST_LINUX_VADDR - TEST_LINUX_KERNEL);
    }
}

static inline VmcoreInfo *test_linux_info(const TestLinux *l)
{
    return vmcoreinfo_parse((const uint8_t *)l->text->str, l->text->len);
}

/* Replace a value in VMCOREINFO, or remove it if NULL. */
static inline void test_linux_say(TestLinux *l, const char *key,
                                  const char *value)
{
    g_autofree char *line = g_strdup_printf("%s=", key);
    char *at = strstr(l->text->str, line);

    if (at) {
        gssize start = at - l->text->str;

        g_string_erase(l->text, start, strchr(at, '\n') - at + 1);
    }
    if (value) {
        g_string_append_printf(l->text, "%s%s\n", line, value);
    }
}

/* As in Linux 6.1, with sections of 16 MiB. */
#define TEST_LINUX_PAGE     64
#define TEST_LINUX_SECTION  24
#define TEST_LINUX_PAGES_INFO \
    "SIZE(page)=64\nOFFSET(page.flags)=0\nOFFSET(page.mapping)=24\n" \
    "OFFSET(page.private)=40\nOFFSET(page._mapcount)=48\n" \
    "OFFSET(page.compound_head)=8\nNUMBER(PG_lru)=4\n" \
    "NUMBER(PG_private)=13\nNUMBER(PG_swapcache)=10\n" \
    "NUMBER(PG_swapbacked)=19\nNUMBER(PG_hwpoison)=23\n" \
    "NUMBER(PG_head_mask)=65536\nLENGTH(zone.free_area)=11\n"
#define TEST_LINUX_6_1 \
    "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129\n" \
    "NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)=-257\nNUMBER(PG_slab)=9\n" \
    "OFFSET(page.compound_order)=17\nOFFSET(page.compound_dtor)=16\n" \
    "NUMBER(HUGETLB_PAGE_DTOR)=2\n"

#define TEST_PAGE_LRU           (1u << 4)
#define TEST_PAGE_SLAB          (1u << 9)
#define TEST_PAGE_SWAPCACHE     (1u << 10)
#define TEST_PAGE_PRIVATE       (1u << 13)
#define TEST_PAGE_HEAD          (1u << 16)
#define TEST_PAGE_SWAPBACKED    (1u << 19)
#define TEST_PAGE_HWPOISON      (1u << 23)

typedef struct TestPage {
    uint64_t flags, head, mapping, private;
    uint32_t mapcount;
} TestPage;

static inline void test_page_put(uint8_t *p, const TestPage *page)
{
    memset(p, 0, TEST_LINUX_PAGE);
    stq_le_p(p, page->flags);
    stq_le_p(p + 8, page->head);
    stq_le_p(p + 24, page->mapping);
    stq_le_p(p + 40, page->private);
    stl_le_p(p + 48, page->mapcount);
}

/* Addresses of struct pages, and of the structures that refer to them. */
#define TEST_LINUX_VMEMMAP  0xffffffffd0000000ULL
#define TEST_LINUX_PAGES    0x800000ULL
#define TEST_LINUX_ROOTS    0x40000         /* in the kernel */
#define TEST_LINUX_SECTIONS 0x60000

/* Set whether the section has struct pages. */
static inline void test_linux_set_section(TestLinux *l, unsigned section,
                                          bool present)
{
    stq_le_p(l->ram + TEST_LINUX_KERNEL + TEST_LINUX_SECTIONS + section * 16,
             present ? TEST_LINUX_VMEMMAP | 0xf : 0);
}

/* The struct page of a page frame. */
static inline uint8_t *test_linux_page(const TestLinux *l, uint64_t pfn)
{
    return l->ram + TEST_LINUX_PAGES + pfn * TEST_LINUX_PAGE;
}

/* Add struct pages of pages in use to all sections; called once. */
static inline void test_linux_add_pages(TestLinux *l)
{
    uint64_t frames = TEST_LINUX_RAM >> l->kind->page_bits;
    uint64_t per_root = (1 << l->kind->page_bits) / 16;
    uint64_t nr_roots = DIV_ROUND_UP(1ULL << (48 - TEST_LINUX_SECTION),
                                     per_root);
    const TestPage page = { .mapcount = UINT32_MAX };

    stq_le_p(l->ram + TEST_LINUX_KERNEL + TEST_LINUX_ROOTS,
             TEST_LINUX_VADDR + TEST_LINUX_SECTIONS);
    for (unsigned i = 0; i < TEST_LINUX_RAM >> TEST_LINUX_SECTION; i++) {
        test_linux_set_section(l, i, true);
    }
    for (uint64_t pfn = 0; pfn < frames; pfn++) {
        test_page_put(test_linux_page(l, pfn), &page);
    }
    test_linux_map_pages(l, TEST_LINUX_VMEMMAP, TEST_LINUX_PAGES,
                         ROUND_UP(frames * TEST_LINUX_PAGE,
                                  1ULL << l->kind->page_bits));
    g_string_append_printf(l->text, TEST_LINUX_PAGES_INFO TEST_LINUX_6_1
                           "SYMBOL(mem_section)=%llx\n"
                           "LENGTH(mem_section)=%" PRIu64 "\n"
                           "SIZE(mem_section)=16\n"
                           "OFFSET(mem_section.section_mem_map)=0\n"
                           "NUMBER(SECTION_SIZE_BITS)=%d\n"
                           "NUMBER(MAX_PHYSMEM_BITS)=48\n",
                           TEST_LINUX_VADDR + TEST_LINUX_ROOTS, nr_roots,
                           TEST_LINUX_SECTION);
}

static inline void test_linux_deinit(TestLinux *l)
{
    test_guest_deinit(&l->t);
    g_string_free(l->text, TRUE);
    dump_report_deinit(&l->report);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TestLinux, test_linux_deinit)

#endif
