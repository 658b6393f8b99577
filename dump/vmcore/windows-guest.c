/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Analysis of Windows guests; see the header.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "windows-guest.h"

/* KDDEBUGGER_DATA64: same layout and 8-byte pointers for both word sizes. */
#define KDBG_OWNER_TAG                  0x10
#define KDBG_SIZE                       0x14
#define KDBG_KI_BUGCHECK_DATA           0x88
#define KDBG_KI_PROCESSOR_BLOCK         0x218
#define KDBG_OFFSET_PCR_CONTAINED_PRCB  0x2e6
#define KDBG_OFFSET_PRCB_CONTEXT        0x338   /* Windows 7 and newer */
#define KDBG_MIN_SIZE                   0x33a

#define KDBG_TAG                        0x4742444b      /* "KDBG" */

/* A code and four parameters. */
#define BUGCHECK_WORDS                  5

/* State of the analysis. */
typedef struct WinGuest {
    DumpWindows *dump;
    const GuestRam *ram;
    DumpPagesReader *mem;       /* guest memory, without overlaid pages */
    const WinDmpCpu *cpus;
    unsigned nr_cpus;
    X86Paging paging;
    uint8_t kdbg[KDBG_MIN_SIZE];
    unsigned nr_prcbs;          /* number of Windows processors */
    uint64_t *prcbs;            /* guest-virtual; 0 for none */
    unsigned *cpu_of;           /* for each processor its index in cpus */
    bool *taken;                /* CPUs assigned to a processor */
} WinGuest;

static bool win_is64(const WinGuest *g)
{
    return g->dump->header.is64;
}

/* 32-bit Windows stores pointers sign-extended to 8 bytes. */
static uint64_t win_address(const WinGuest *g, uint64_t value)
{
    return win_is64(g) ? value : (uint32_t)value;
}

/*
 * Kernel structures are in the upper half of the address space and do not wrap
 * to address 0.
 */
static bool win_in_kernel(const WinGuest *g, uint64_t vaddr, size_t len)
{
    uint64_t last = win_is64(g) ? UINT64_MAX : UINT32_MAX;

    return vaddr > last / 2 && len - 1 <= last - vaddr;
}

static bool win_read(const WinGuest *g, uint64_t vaddr, void *buf, size_t len)
{
    vaddr = win_address(g, vaddr);
    return win_in_kernel(g, vaddr, len) &&
           x86_paging_read(&g->paging, g->mem, vaddr, buf, len);
}

static size_t win_word_size(const WinGuest *g)
{
    return win_is64(g) ? 8 : 4;
}

/* Read @n integers of pointer size. */
static bool win_read_words(const WinGuest *g, uint64_t vaddr, uint64_t *words,
                           unsigned n)
{
    uint8_t buf[8];

    for (unsigned i = 0; i < n; i++) {
        if (!win_read(g, vaddr + i * win_word_size(g), buf,
                      win_word_size(g))) {
            return false;
        }
        words[i] = win_is64(g) ? ldq_le_p(buf) : (uint32_t)ldl_le_p(buf);
    }
    return true;
}

/*
 * The header gives the root of the kernel's page tables. The paging mode is
 * taken from any CPU with the kernel's word size.
 */
static bool win_find_paging(WinGuest *g, const GArray *paging,
                            Error **warning)
{
    for (size_t i = 0; i < paging->len; i++) {
        X86PagingMode mode = g_array_index(paging, X86Paging, i).mode;

        if (x86_paging_is64(mode) == win_is64(g)) {
            g->paging.mode = mode;
            g->paging.root = windmp_get(&g->dump->header,
                                        WINDMP_DIRECTORY_TABLE_BASE);
            return true;
        }
    }
    error_setg(warning, "Windows guest: no CPU runs with %d-bit paging, so "
               "the dump lacks the CPUs' registers",
               win_is64(g) ? 64 : 32);
    return false;
}

static bool win_read_kdbg(WinGuest *g, uint64_t vaddr)
{
    return win_read(g, vaddr, g->kdbg, sizeof(g->kdbg)) &&
           (uint32_t)ldl_le_p(g->kdbg + KDBG_OWNER_TAG) == KDBG_TAG &&
           (uint32_t)ldl_le_p(g->kdbg + KDBG_SIZE) >= KDBG_MIN_SIZE;
}

/*
 * The kernel may keep its KDBG encoded. The driver then stores the address of
 * a decoded copy in BugCheckParameter1, which is unused until a bug check.
 */
static bool win_find_kdbg(WinGuest *g, Error **warning)
{
    static const WinDmpField places[] = { WINDMP_KDBG,
                                          WINDMP_BUGCHECK_PARAM1 };
    WinDmpHeader *hdr = &g->dump->header;

    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        uint64_t vaddr = windmp_get(hdr, places[i]);

        if (win_read_kdbg(g, vaddr)) {
            windmp_put(hdr, WINDMP_KDBG, vaddr);
            return true;
        }
    }
    error_setg(warning, "Windows guest: no KDBG at 0x%" PRIx64 " or 0x%"
               PRIx64 ", so the dump lacks the CPUs' registers",
               windmp_get(hdr, places[0]), windmp_get(hdr, places[1]));
    return false;
}

static uint64_t win_kdbg_pointer(const WinGuest *g, unsigned offset)
{
    return ldq_le_p(g->kdbg + offset);
}

static void win_put_bugcheck(WinDmpHeader *hdr, uint64_t code,
                             const uint64_t *params)
{
    windmp_put(hdr, WINDMP_BUGCHECK_CODE, code);
    for (int i = 0; i < 4; i++) {
        windmp_put(hdr, WINDMP_BUGCHECK_PARAM1 + i, params[i]);
    }
}

/*
 * Set the bug check that stopped the guest: from KiBugCheckData if @follow is
 * set, else from the guest's header if it was written after the bug check. If
 * there was none, mark the dump as that of a live system.
 */
static void win_set_bugcheck(const WinGuest *g, bool follow)
{
    static const uint64_t none[4];
    WinDmpHeader *hdr = &g->dump->header;
    uint32_t code = windmp_get(hdr, WINDMP_BUGCHECK_CODE);
    uint64_t words[BUGCHECK_WORDS];

    if (follow &&
        win_read_words(g, win_kdbg_pointer(g, KDBG_KI_BUGCHECK_DATA), words,
                       BUGCHECK_WORDS) && (uint32_t)words[0]) {
        win_put_bugcheck(hdr, words[0], words + 1);
    } else if (!code || code == WINDMP_FILL) {
        win_put_bugcheck(hdr, WINDMP_BUGCHECK_LIVE, none);
    }
}

static void win_count_processors(WinGuest *g, Error **warning)
{
    WinDmpHeader *hdr = &g->dump->header;
    uint32_t claimed = windmp_get(hdr, WINDMP_NR_CPUS);

    g->nr_prcbs = claimed;
    if (!claimed || claimed > g->nr_cpus) {
        error_setg(warning, "Windows guest: its header claims %" PRIu32
                   " processors, using %u", claimed, g->nr_cpus);
        g->nr_prcbs = g->nr_cpus;
        windmp_put(hdr, WINDMP_NR_CPUS, g->nr_cpus);
    }
}

static void win_read_prcbs(WinGuest *g)
{
    uint64_t block = win_kdbg_pointer(g, KDBG_KI_PROCESSOR_BLOCK);

    for (unsigned i = 0; i < g->nr_prcbs; i++) {
        if (!win_read_words(g, block + (uint64_t)i * win_word_size(g),
                            &g->prcbs[i], 1)) {
            g->prcbs[i] = 0;
        }
    }
}

/* In the kernel, GS (32-bit: FS) points to the processor's KPCR. */
static bool win_cpu_has_prcb(const WinGuest *g, const WinDmpCpu *cpu,
                             uint64_t prcb)
{
    uint64_t pcr = prcb - lduw_le_p(g->kdbg + KDBG_OFFSET_PCR_CONTAINED_PRCB);

    return win_is64(g) ? cpu->gs_base == pcr || cpu->kernel_gs_base == pcr :
                         (uint32_t)cpu->fs_base == (uint32_t)pcr;
}

/*
 * Assign a free CPU, preferably @first. If @prcb is not 0, it must be the CPU's
 * KPRCB. Returns nr_cpus if there is none.
 */
static unsigned win_take_cpu(WinGuest *g, unsigned first, uint64_t prcb)
{
    for (unsigned i = 0; i < g->nr_cpus; i++) {
        unsigned n = (first + i) % g->nr_cpus;

        if (!g->taken[n] && (!prcb ||
                             win_cpu_has_prcb(g, &g->cpus[n], prcb))) {
            g->taken[n] = true;
            return n;
        }
    }
    return g->nr_cpus;
}

/*
 * Assign a CPU to each processor: first by the KPRCB that the CPU uses. The
 * remaining ones most likely have the same numbers in Windows and QEMU.
 */
static void win_match_cpus(WinGuest *g)
{
    for (unsigned i = 0; i < g->nr_prcbs; i++) {
        g->cpu_of[i] = g->prcbs[i] ? win_take_cpu(g, i, g->prcbs[i]) :
                                     g->nr_cpus;
    }
    for (unsigned i = 0; i < g->nr_prcbs; i++) {
        if (g->cpu_of[i] == g->nr_cpus) {
            g->cpu_of[i] = win_take_cpu(g, i, 0);
        }
    }
}

/* A writable copy of the page at @paddr; NULL if it is not readable memory. */
static uint8_t *win_page(const WinGuest *g, uint64_t paddr)
{
    uint8_t *page = g_hash_table_lookup(g->dump->pages, &paddr);
    const GuestRamRun *run = guest_ram_run_at(g->ram, paddr);

    if (page) {
        return page;
    }
    if (!run || run->size - (paddr - run->paddr) < WINDMP_PAGE_SIZE) {
        return NULL;
    }
    page = g_malloc(WINDMP_PAGE_SIZE);
    if (dump_pages_read(g->mem, paddr, page, WINDMP_PAGE_SIZE, NULL) <
        WINDMP_PAGE_SIZE) {
        g_free(page);
        return NULL;
    }
    g_hash_table_insert(g->dump->pages, g_memdup2(&paddr, sizeof(paddr)),
                        page);
    return page;
}

/* Overlay guest-virtual memory with @buf, completely or not at all. */
static bool win_overlay(const WinGuest *g, uint64_t vaddr,
                        const uint8_t *buf, size_t len)
{
    /* Destination and length of the parts in at most two pages. */
    uint8_t *to[2];
    size_t n[2] = { 0 };
    size_t done = 0;

    assert(len <= WINDMP_PAGE_SIZE);
    vaddr = win_address(g, vaddr);
    if (!win_in_kernel(g, vaddr, len)) {
        return false;
    }
    for (int i = 0; i < 2 && done < len; i++) {
        uint64_t at = vaddr + done;
        uint64_t in_page = at % WINDMP_PAGE_SIZE;
        uint64_t paddr, left;

        if (!x86_paging_translate(&g->paging, g->mem, at, &paddr, &left)) {
            return false;
        }
        to[i] = win_page(g, paddr - in_page);
        if (!to[i]) {
            return false;
        }
        to[i] += in_page;
        n[i] = MIN(len - done, WINDMP_PAGE_SIZE - in_page);
        done += n[i];
    }
    memcpy(to[0], buf, n[0]);
    if (n[1]) {
        memcpy(to[1], buf + n[0], n[1]);
    }
    return true;
}

static bool win_put_processor(const WinGuest *g, unsigned i)
{
    uint64_t frame = lduw_le_p(g->kdbg + KDBG_OFFSET_PRCB_CONTEXT);
    uint8_t context[WINDMP_CONTEXT_SIZE64];

    if (!g->prcbs[i] || !frame ||
        !win_read_words(g, g->prcbs[i] + frame, &frame, 1)) {
        return false;
    }
    windmp_put_context(win_is64(g), &g->cpus[g->cpu_of[i]], context);
    return win_overlay(g, frame, context, windmp_context_size(win_is64(g)));
}

static void win_put_processors(WinGuest *g, Error **warning)
{
    g->prcbs = g_new0(uint64_t, g->nr_prcbs);
    g->cpu_of = g_new0(unsigned, g->nr_prcbs);
    g->taken = g_new0(bool, g->nr_cpus);
    win_read_prcbs(g);
    win_match_cpus(g);
    for (unsigned i = 0; i < g->nr_prcbs; i++) {
        g->dump->contexts += win_put_processor(g, i);
    }
    g_free(g->prcbs);
    g_free(g->cpu_of);
    g_free(g->taken);
    if (g->dump->contexts < g->nr_prcbs) {
        error_setg(warning, "Windows guest: the dump lacks the registers of "
                   "%u of %u processors: their location was not found",
                   g->nr_prcbs - g->dump->contexts, g->nr_prcbs);
    }
}

/* The debugger's initial CPU: the first one that crashed, or CPU 0. */
static void win_put_current(const WinGuest *g)
{
    unsigned current = 0;

    for (unsigned i = g->nr_cpus; i-- > 0; ) {
        if (g->cpus[i].crashed) {
            current = i;
        }
    }
    windmp_put_current(&g->dump->header, &g->cpus[current]);
}

static void win_overlay_pages(const DumpWindows *dump, GuestRam *ram)
{
    GHashTableIter iter;
    gpointer paddr, page;

    g_hash_table_iter_init(&iter, dump->pages);
    while (g_hash_table_iter_next(&iter, &paddr, &page)) {
        bool ok = guest_ram_overlay(ram, *(uint64_t *)paddr,
                                    WINDMP_PAGE_SIZE, page);

        assert(ok);             /* checked by win_page */
    }
}

DumpWindows *dump_windows_new(const WinDmpHeader *header, GuestRam *ram,
                              DumpPagesReader *mem,
                              const WinDmpCpu *cpus, unsigned nr_cpus,
                              const GArray *paging, Error **warning)
{
    DumpWindows *dump = g_new0(DumpWindows, 1);
    WinGuest g = { .dump = dump, .ram = ram, .mem = mem, .cpus = cpus,
                   .nr_cpus = nr_cpus };
    Error *count = NULL, *rest = NULL;
    bool follow;

    dump->header = *header;
    dump->pages = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                        g_free);
    win_count_processors(&g, &count);
    follow = win_find_paging(&g, paging, &rest) && win_find_kdbg(&g, &rest);
    win_set_bugcheck(&g, follow);
    win_put_current(&g);
    if (follow) {
        win_put_processors(&g, &rest);
    }
    win_overlay_pages(dump, ram);
    /* Report the first of several warnings. */
    error_propagate(warning, count);
    error_propagate(warning, rest);
    return dump;
}

void dump_windows_free(DumpWindows *windows)
{
    if (windows) {
        g_hash_table_unref(windows->pages);
        g_free(windows);
    }
}
