/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Struct pages with arbitrary contents, and arbitrary VMCOREINFO about them.
 *
 * A synthetic kernel has page tables of x86_64 or AArch64, a memory map and
 * VMCOREINFO. The fuzzer fills in the struct pages. The set of kept pages must
 * be the one found by a reference implementation, which checks for each page
 * frame whether any struct page excludes it. If the fuzzer also changes page
 * tables, memory map or VMCOREINFO, only the counters of excluded pages are
 * checked.
 */

#include "fuzz.h"
#include "qapi/error.h"
#include "qemu/bswap.h"
#include "linux-guest.h"
#include "page-walk.h"

#define MEMORY      (1u << 20)
#define FRAMES      (MEMORY / 4096)
#define TABLES      0x1000u         /* four levels, top level first */
#define KERNEL      0x10000u        /* 64 KiB; mapped at VADDR */
#define PAGES       0x20000u        /* struct pages, at VADDR + 0x10000 */
#define VADDR       0xffffffff81000000ULL
#define UTS         0x100u          /* offset in KERNEL */
#define ROOTS       0x1000u
#define SECTIONS    0x2000u
#define PAGE        64u

typedef struct Case {
    uint8_t memory[MEMORY];
    DumpGuest g;
    DumpReport report;
    GString *text;              /* VMCOREINFO */
    unsigned level;
    bool types;                 /* with page types: Linux 6.16 */
} Case;

static void put_tables(Case *c, bool arm)
{
    uint64_t table = arm ? 3 : 0x63, page = arm ? 0x403 : 0x63;

    for (unsigned level = 0; level < 3; level++) {
        uint64_t index = VADDR >> (39 - 9 * level) & 511;

        stq_le_p(c->memory + TABLES + 4096 * level + 8 * index,
                 (TABLES + 4096 * (level + 1)) | table);
    }
    for (unsigned i = 0; i < 0x20000 / 4096; i++) {
        stq_le_p(c->memory + TABLES + 3 * 4096 + 8 * i,
                 (KERNEL + 4096 * i) | page);
    }
}

static void put_kernel(Case *c)
{
    strcpy((char *)c->memory + KERNEL + UTS + 4, "Linux");
    strcpy((char *)c->memory + KERNEL + UTS + 4 + 130, "6.1");
    stq_le_p(c->memory + KERNEL + ROOTS, VADDR + SECTIONS);
    stq_le_p(c->memory + KERNEL + SECTIONS, (VADDR + 0x10000) | 3);
}

static void put_text(Case *c, bool arm)
{
    g_string_append_printf(c->text,
        "OSRELEASE=6.1\nPAGESIZE=4096\nSYMBOL(init_uts_ns)=%llx\n"
        "OFFSET(uts_namespace.name)=4\nSYMBOL(swapper_pg_dir)=%llx\n"
        "SYMBOL(mem_section)=%llx\nLENGTH(mem_section)=16384\n"
        "SIZE(mem_section)=16\nOFFSET(mem_section.section_mem_map)=0\n"
        "NUMBER(SECTION_SIZE_BITS)=24\nNUMBER(MAX_PHYSMEM_BITS)=46\n"
        "SIZE(page)=64\nOFFSET(page.flags)=0\nOFFSET(page.mapping)=24\n"
        "OFFSET(page.private)=40\nOFFSET(page._mapcount)=48\n"
        "OFFSET(page.compound_head)=8\nNUMBER(PG_lru)=4\n"
        "NUMBER(PG_private)=13\nNUMBER(PG_swapcache)=10\n"
        "NUMBER(PG_swapbacked)=19\nNUMBER(PG_hwpoison)=23\n"
        "NUMBER(PG_head_mask)=65536\nLENGTH(zone.free_area)=11\n"
        "NUMBER(VA_BITS)=48\nNUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129\n"
        "NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)=-257\n",
        VADDR + UTS, VADDR - (KERNEL - TABLES), VADDR + ROOTS);
    if (arm) {
        g_string_append_printf(c->text, "NUMBER(kimage_voffset)=0x%llx\n",
                               VADDR - KERNEL);
    } else {
        g_string_append_printf(c->text, "NUMBER(phys_base)=%lld\n",
                               (long long)KERNEL - 0x1000000);
    }
    g_string_append(c->text, c->types ?
        "NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)=-184549376\n"
        "NUMBER(PAGE_UNACCEPTED_MAPCOUNT_VALUE)=-134217728\n"
        "NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)=-201326592\n" :
        "NUMBER(PG_slab)=9\nOFFSET(page.compound_order)=17\n"
        "OFFSET(page.compound_dtor)=16\nNUMBER(HUGETLB_PAGE_DTOR)=2\n");
}

/* Fill a struct page, and the next one, with meaningful values. */
static void fill_page(Case *c, FuzzInput *in, unsigned pfn)
{
    static const uint32_t types[] = {
        -129, -257, -184549376, -134217728, -201326592, -1, 0, -128,
    };
    static const uint8_t flags[] = { 4, 13, 10, 19, 23, 16, 9, 7 };
    uint8_t *p = c->memory + PAGES + PAGE * (pfn % FRAMES);
    unsigned bits = fuzz_u8(in), word = 0;

    for (unsigned i = 0; i < 8; i++) {
        word |= (bits >> i & 1) << flags[i];
    }
    memset(p, 0, PAGE);
    stl_le_p(p, word);
    p[8] = fuzz_seldom(in, 4);
    p[24] = fuzz_u8(in) & 3;
    p[40] = fuzz_u8(in) % 16;
    stl_le_p(p + 48, types[fuzz_u8(in) % ARRAY_SIZE(types)]);
    if (fuzz_seldom(in, 4) && pfn + 1 < FRAMES) {
        p[PAGE] = p[PAGE + 17] = fuzz_u8(in) % 40;      /* the order */
        p[PAGE + 16] = fuzz_u8(in) % 3;
    }
}

/* Change a word of page tables or memory map, or a line of VMCOREINFO. */
static void spoil(Case *c, FuzzInput *in)
{
    unsigned at = fuzz_u16(in), lines = 0;
    char *line;

    if (fuzz_seldom(in, 2)) {
        stq_le_p(c->memory + TABLES + at / 2 * 8 % 0x1f000, fuzz_edge(in));
        return;
    }
    for (char *s = c->text->str; (s = strchr(s, '\n')); s++) {
        lines++;
    }
    line = c->text->str;
    for (unsigned i = at % lines; i; i--) {
        line = strchr(line, '\n') + 1;
    }
    line = g_strndup(line, strcspn(line, "="));
    g_string_prepend_c(c->text, '\n');
    if (fuzz_seldom(in, 2)) {
        g_autofree char *value = g_strdup_printf("%s=%" PRId64, line,
                                                 (int64_t)fuzz_edge(in));

        g_string_prepend(c->text, value);
    } else {
        g_autofree char *value = g_strdup_printf("%s=%u", line,
                                                 fuzz_u8(in) % 80);

        g_string_prepend(c->text, value);
    }
    g_free(line);
}

static uint64_t get(const Case *c, unsigned pfn, unsigned at, unsigned n)
{
    const uint8_t *p = c->memory + PAGES + PAGE * pfn + at;
    uint64_t v = 0;

    while (n--) {
        v = v << 8 | p[n];
    }
    return v;
}

/* Number of page frames from @pfn on that its struct page excludes. */
static uint64_t claims(const Case *c, unsigned pfn)
{
    uint64_t flags = get(c, pfn, 0, 8);
    int32_t type = get(c, pfn, 48, 4);
    bool slab = c->types ? type == -184549376 : flags >> 9 & 1;
    bool anon = get(c, pfn, 24, 8) & 1 && !slab;
    bool cache = flags >> 4 & 1 || (flags >> 10 & 1 && flags >> 19 & 1);
    uint64_t free_order = type == -129 ? get(c, pfn, 40, 8) : 10;
    uint64_t order = 0;
    bool huge = false;

    if (get(c, pfn, 8, 8) & 1) {
        return 0;
    }
    if (c->level & 16 && !slab &&
        (type == -129 || (c->types && type == -134217728)) &&
        free_order < 11 && pfn % (1u << free_order) == 0) {
        return 1u << free_order;
    }
    if (flags >> 16 & 1 && pfn + 1 < FRAMES) {
        order = get(c, pfn + 1, c->types ? 0 : 17, 1);
        huge = c->types ? type == -201326592 : get(c, pfn + 1, 16, 1) == 2;
        order = order < 32 && pfn % (1ULL << order) == 0 ? order : 0;
    }
    if ((c->level & 2 && cache && !anon && !(flags >> 13 & 1)) ||
        (c->level & 4 && cache && !anon) || (c->level & 8 && (anon || huge)) ||
        flags >> 23 & 1 || (!slab && type == -257)) {
        return 1ULL << order;
    }
    return 0;
}

static void check_all(const Case *c)
{
    uint8_t bits[FRAMES / 8], want[FRAMES / 8];

    memset(want, 0xff, sizeof(want));
    for (unsigned pfn = 0; pfn < FRAMES; pfn++) {
        uint64_t n = claims(c, pfn);

        for (unsigned i = pfn; i < FRAMES && i - pfn < n; i++) {
            want[i / 8] &= ~(1 << i % 8);
        }
    }
    pfn_set_fill(c->g.kept, 0, UINT64_MAX, bits, sizeof(bits));
    FUZZ_CHECK(!memcmp(bits, want, sizeof(bits)));
}

static void check_count(Case *c)
{
    uint64_t bytes = pfn_set_count(c->g.kept) * c->g.page_size;

    for (unsigned i = 0; i < PAGE_CLASS__MAX; i++) {
        bytes += dump_report_class(&c->report, i);
    }
    FUZZ_CHECK(bytes == MEMORY);
}

static void walk(Case *c, bool spoilt, unsigned threads)
{
    g_autoptr(VmcoreInfo) info =
        vmcoreinfo_parse((const uint8_t *)c->text->str, c->text->len);
    DumpPagesReader *mem = dump_pages_reader_new(c->g.pages, &error_abort);
    DumpProgress progress;
    Error *err = NULL;

    dump_progress_init(&progress);
    linux_guest_describe(&c->g, mem, info);
    if (page_walk(&c->g, mem, info, c->level, threads, &progress, &err)) {
        check_count(c);
        if (!spoilt) {
            check_all(c);
        }
    } else {
        FUZZ_CHECK(spoilt && !c->g.kept);
        FUZZ_CHECK(g_str_has_prefix(error_get_pretty(err), "dump: cannot "));
        error_free(err);
    }
    dump_pages_reader_free(mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = { data, size };
    uint8_t flags = fuzz_u8(&in);
    unsigned changes = flags & 4 ? fuzz_u8(&in) % 4 : 0;
    unsigned threads = flags & 8 ? 2 : 1, first;
    Case *c = g_new0(Case, 1);

    dump_guest_init(&c->g);
    dump_report_init(&c->report);
    c->g.report = &c->report;
    c->g.page_size = 4096;
    c->g.abi = (DumpAbi) { ELFCLASS64, ELFDATA2LSB,
                           flags & 1 ? EM_AARCH64 : EM_X86_64 };
    c->types = flags & 2;
    c->level = fuzz_u8(&in) % 64;
    c->text = g_string_new(NULL);
    put_tables(c, flags & 1);
    put_kernel(c);
    put_text(c, flags & 1);
    first = fuzz_u16(&in);
    for (unsigned i = 0; in.len > 64 * changes; i++) {
        fill_page(c, &in, first + i);
    }
    for (unsigned i = 0; i < changes; i++) {
        spoil(c, &in);
    }
    guest_ram_add(&c->g.all, 0, MEMORY, c->memory);
    dump_guest_seal(&c->g, 0, 0);
    walk(c, changes, threads);

    dump_guest_deinit(&c->g);
    dump_report_deinit(&c->report);
    g_string_free(c->text, TRUE);
    g_free(c);
    return 0;
}

void fuzz_seeds(FuzzEmit *seed, FuzzEmit *word)
{
    GRand *rand = g_rand_new_with_seed(1);

    for (unsigned i = 0; i < 64; i++) {
        uint8_t in[1000];

        for (size_t j = 0; j < sizeof(in); j++) {
            in[j] = g_rand_int(rand);
        }
        in[0] = i;
        in[1] = i % 2 ? 31 : in[1];
        seed(in, 100 + i * 13);
    }
    word("\x1f", 1);
    g_rand_free(rand);
}
