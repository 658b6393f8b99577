/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A synthetic Windows kernel in the memory of a test guest: page tables, KDBG,
 * KiProcessorBlock, KPRCBs with context frames, and a crash dump header.
 */

#ifndef DUMP_TEST_WINDOWS_H
#define DUMP_TEST_WINDOWS_H

#include "dump-test-guest.h"

/* Guest-physical addresses, all in one block from 1 MiB on. */
#define WIN_RAM         0x100000
#define WIN_RAM_SIZE    0x100000
#define WIN_ROOT        0x100000        /* page tables up to 0x110000 */
#define WIN_KDBG        0x110010
#define WIN_BUGCHECK    0x110800
#define WIN_BLOCK       0x111ff8        /* crosses a page */
#define WIN_PRCB        0x120000        /* WIN_PRCB_STEP for each CPU */
#define WIN_PRCB_STEP   0x3000
#define WIN_CONTEXT     0x150d00        /* crosses a page */
#define WIN_CONTEXT_STEP 0x2000
#define WIN_CPUS        3

#define WIN_PRCB_CONTEXT 0x2fc          /* offset in the KPRCB */
#define WIN_PCR_PRCB    0x180           /* offset of the KPRCB in the KPCR */

typedef struct TestWindows {
    TestGuest t;
    TestBlock ram;
    bool is64;
    uint64_t base;              /* virtual address of physical 0 */
    uint8_t header[WINDMP_HEADER_SIZE64];
    WinDmpCpu cpus[WIN_CPUS];
    GArray *paging;             /* X86Paging */
} TestWindows;

static inline void win_put(TestWindows *w, uint64_t paddr, uint64_t v,
                           unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        w->ram.host[paddr - WIN_RAM + i] = v >> (8 * i);
    }
}

/* Store a pointer to @paddr as the kernel does. */
static inline void win_put_pointer(TestWindows *w, uint64_t at,
                                   uint64_t paddr)
{
    win_put(w, at, w->base + paddr, w->is64 ? 8 : 4);
}

static inline void win_header_put(TestWindows *w, unsigned at32,
                                  unsigned at64, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        w->header[(w->is64 ? at64 : at32) + i] = v >> (8 * i);
    }
}

/* Map the first 4 MiB at base with 4 KiB pages. */
static inline void win_make_tables(TestWindows *w)
{
    uint64_t table = WIN_ROOT;
    unsigned entry = w->is64 ? 8 : 4;

    memset(w->ram.host, 0, 0x10000);
    if (w->is64) {
        win_put(w, table + 8 * 0x1f0, table + 0x1063, 8);
        win_put(w, table + 0x1000, table + 0x2063, 8);
        win_put(w, table + 0x2000, table + 0x3063, 8);
        win_put(w, table + 0x2008, table + 0x4063, 8);
        table += 0x3000;
    } else {
        win_put(w, table + 4 * 0x200, table + 0x1063, 4);
        table += 0x1000;
    }
    for (unsigned i = 0; i < 1024; i++) {
        win_put(w, table + i * entry, i << 12 | 0x63, entry);
    }
}

static inline void win_make_kernel(TestWindows *w)
{
    win_put(w, WIN_KDBG + 0x10, 0x4742444b, 4);
    win_put(w, WIN_KDBG + 0x14, 0x340, 4);
    /* 32-bit pointers are stored sign-extended. */
    win_put(w, WIN_KDBG + 0x88, w->base + WIN_BUGCHECK, 8);
    win_put(w, WIN_KDBG + 0x218, w->base + WIN_BLOCK, 8);
    if (!w->is64) {
        win_put(w, WIN_KDBG + 0x8c, 0xffffffff, 4);
        win_put(w, WIN_KDBG + 0x21c, 0xffffffff, 4);
    }
    win_put(w, WIN_KDBG + 0x2e6, WIN_PCR_PRCB, 2);
    win_put(w, WIN_KDBG + 0x338, WIN_PRCB_CONTEXT, 2);
    memset(w->ram.host + WIN_BUGCHECK - WIN_RAM, 0, 40);
    for (unsigned i = 0; i < WIN_CPUS; i++) {
        win_put_pointer(w, WIN_BLOCK + i * (w->is64 ? 8 : 4),
                        WIN_PRCB + i * WIN_PRCB_STEP);
        win_put_pointer(w, WIN_PRCB + i * WIN_PRCB_STEP + WIN_PRCB_CONTEXT,
                        WIN_CONTEXT + i * WIN_CONTEXT_STEP);
    }
}

static inline void win_make_header(TestWindows *w)
{
    for (size_t i = 0; i < sizeof(w->header); i += 4) {
        memcpy(w->header + i, "PAGE", 4);
    }
    memcpy(w->header + 4, w->is64 ? "DU64" : "DUMP", 4);
    win_header_put(w, 0x10, 0x10, WIN_ROOT, w->is64 ? 8 : 4);
    win_header_put(w, 0x20, 0x30, w->is64 ? 0x8664 : 0x14c, 4);
    win_header_put(w, 0x24, 0x34, WIN_CPUS, 4);
    win_header_put(w, 0x60, 0x80, w->base + WIN_KDBG, w->is64 ? 8 : 4);
}

/* CPU n has the KPCR of processor n; all register values differ. */
static inline void win_make_cpus(TestWindows *w)
{
    for (unsigned i = 0; i < WIN_CPUS; i++) {
        WinDmpCpu *cpu = &w->cpus[i];
        uint64_t pcr = w->base + WIN_PRCB + i * WIN_PRCB_STEP - WIN_PCR_PRCB;

        memset(cpu, 0x11 * (i + 1), sizeof(*cpu));
        cpu->crashed = false;
        cpu->gs_base = pcr;
        cpu->fs_base = pcr;
    }
}

/* Two CPUs with paging, one of them in another mode. */
static inline void win_make_paging(TestWindows *w)
{
    const X86Paging paging[2] = {
        { .mode = w->is64 ? X86_PAGING_PAE : X86_PAGING_4LEVEL },
        { .mode = w->is64 ? X86_PAGING_4LEVEL : X86_PAGING_PSE },
    };

    w->paging = g_array_new(false, false, sizeof(X86Paging));
    g_array_append_vals(w->paging, paging, 2);
}

static inline void win_init(TestWindows *w, bool is64)
{
    const DumpAbi abi = { is64 ? ELFCLASS64 : ELFCLASS32, ELFDATA2LSB,
                          is64 ? EM_X86_64 : EM_386 };

    memset(w, 0, sizeof(*w));
    w->is64 = is64;
    w->base = is64 ? 0xfffff80000000000ULL : 0x80000000;
    test_guest_init(&w->t, &abi, 4096);
    w->t.g.nr_cpus = WIN_CPUS;
    w->ram = *test_guest_add(&w->t, WIN_RAM, WIN_RAM_SIZE);
    win_make_tables(w);
    win_make_kernel(w);
    win_make_header(w);
    win_make_cpus(w);
    win_make_paging(w);
}

static inline void win_deinit(TestWindows *w)
{
    test_guest_deinit(&w->t);
    g_array_unref(w->paging);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TestWindows, win_deinit)

/*
 * Seal the memory and analyse the guest as Windows. Checks that its memory is
 * not changed. Returns the warning, owned by the caller; NULL for none.
 */
static inline char *win_describe(TestWindows *w, unsigned nr_cpus)
{
    g_autofree uint8_t *before = g_memdup2(w->ram.host, WIN_RAM_SIZE);
    /* Exact size, for the sanitizer. */
    g_autofree WinDmpCpu *cpus = g_memdup2(w->cpus,
                                           nr_cpus * sizeof(*cpus));
    Error *warning = NULL;
    char *text = NULL;
    g_autoptr(DumpPagesReader) mem = NULL;
    WinDmpHeader hdr;

    windmp_header_read(&hdr, w->header, w->is64 ? WINDMP_HEADER_SIZE64 :
                       WINDMP_HEADER_SIZE32, &error_abort);
    dump_guest_seal(&w->t.g, 0, 0);
    mem = dump_pages_reader_new(w->t.g.pages, &error_abort);
    w->t.g.windows = dump_windows_new(&hdr, &w->t.g.all, mem, cpus, nr_cpus,
                                      w->paging, &warning);
    g_assert_true(!memcmp(before, w->ram.host, WIN_RAM_SIZE));
    if (warning) {
        text = g_strdup(error_get_pretty(warning));
        error_free(warning);
    }
    return text;
}

#endif
