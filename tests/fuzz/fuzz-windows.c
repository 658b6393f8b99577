/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Windows guests with arbitrary data: the synthetic kernel of the unit tests,
 * with words of its structures, page tables and crash dump header replaced.
 *
 * Guest memory must not be modified, and only the registers of its processors
 * may be overlaid.
 */

#include "fuzz.h"
#include "../unit/dump-test-windows.h"

/* Where words are replaced: the structures on the path to registers. */
static const struct {
    uint32_t at, size;
} places[] = {
    { WIN_ROOT, 0x5000 }, { WIN_KDBG, 0x348 }, { WIN_BUGCHECK, 48 },
    { WIN_BLOCK, WIN_CPUS * 8 + 8 },
    { WIN_PRCB + WIN_PRCB_CONTEXT - 8, 2 * WIN_PRCB_STEP + 24 },
    { WIN_RAM, WIN_RAM_SIZE },
};

/* Number of bytes that differ. */
static size_t changed(const uint8_t *old, const uint8_t *new, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        n += old[i] != new[i];
    }
    return n;
}

static void check(const TestWindows *w, const uint8_t *before,
                  unsigned nr_cpus)
{
    const DumpWindows *d = w->t.g.windows;
    g_autofree uint8_t *seen = g_malloc(WIN_RAM_SIZE);
    uint32_t processors = windmp_get(&d->header, WINDMP_NR_CPUS);
    size_t laid_over = 0;

    FUZZ_CHECK(!memcmp(before, w->ram.host, WIN_RAM_SIZE));
    FUZZ_CHECK(!memcmp(d->header.bytes, w->is64 ? "PAGEDU64" : "PAGEDUMP", 8));
    FUZZ_CHECK(processors >= 1 && processors <= nr_cpus);
    FUZZ_CHECK(d->contexts <= processors);
    FUZZ_CHECK(g_hash_table_size(d->pages) <= 2 * processors);
    for (uint64_t at = 0; at < WIN_RAM_SIZE; at += 4096) {
        uint64_t paddr = WIN_RAM + at;
        const uint8_t *page = g_hash_table_lookup(d->pages, &paddr);

        laid_over += page != NULL;
        if (test_guest_read(&w->t.g, paddr, seen + at, 4096) < 4096) {
            memcpy(seen + at, before + at, 4096);
        }
        FUZZ_CHECK(!memcmp(seen + at, page ?: before + at, 4096));
    }
    FUZZ_CHECK(laid_over == g_hash_table_size(d->pages));
    FUZZ_CHECK(changed(before, seen, WIN_RAM_SIZE) <=
               d->contexts * windmp_context_size(w->is64));
}

/* A kernel address, a table entry, a small or an arbitrary number. */
static uint64_t make_word(const TestWindows *w, FuzzInput *in)
{
    unsigned kind = fuzz_u8(in);

    return kind < 128 ? w->base + WIN_RAM + fuzz_u32(in) % WIN_RAM_SIZE :
           kind < 160 ? WIN_RAM + kind % 8 * 4096 + (fuzz_u8(in) | 1) :
           kind < 192 ? kind % 8 : fuzz_edge(in);
}

static void replace_word(TestWindows *w, FuzzInput *in)
{
    static const uint8_t sizes[] = { 8, 4, 2, 1 };
    unsigned place = fuzz_u8(in);
    unsigned n = sizes[place >> 6];
    uint32_t offset = fuzz_u16(in) * (place & 32 ? 8 : 1);
    uint64_t v = make_word(w, in);

    place %= ARRAY_SIZE(places) + 1;
    if (place == ARRAY_SIZE(places)) {
        offset %= sizeof(w->header) - n;
        win_header_put(w, offset, offset, v, n);
    } else {
        offset %= places[place].size;
        offset = MIN(places[place].at - WIN_RAM + offset, WIN_RAM_SIZE - n);
        win_put(w, WIN_RAM + offset, v, n);
    }
}

static void make_case(TestWindows *w, FuzzInput *in, uint8_t flags)
{
    if (flags & 2) {            /* half a page of memory is missing */
        g_array_set_size(w->t.g.all.runs, 0);
        guest_ram_add(&w->t.g.all, WIN_RAM, 0x51800, w->ram.host);
        guest_ram_add(&w->t.g.all, WIN_RAM + 0x52000, WIN_RAM_SIZE - 0x52000,
                      w->ram.host + 0x52000);
    }
    if (flags & 4) {
        g_array_set_size(w->paging, fuzz_u8(in) % 3);
    }
    for (unsigned i = 0; i < WIN_CPUS; i++) {
        w->cpus[i].crashed = flags >> (3 + i) & 1;
    }
    while (in->len) {
        replace_word(w, in);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = { data, size };
    uint8_t flags = fuzz_u8(&in);
    unsigned nr_cpus = fuzz_u8(&in) % WIN_CPUS + 1;
    g_auto(TestWindows) w = { 0 };
    g_autofree uint8_t *before = NULL;
    WinDmpHeader hdr;

    win_init(&w, flags & 1);
    make_case(&w, &in, flags);
    before = g_memdup2(w.ram.host, WIN_RAM_SIZE);
    dump_guest_seal(&w.t.g, 0, 0);
    if (windmp_header_read(&hdr, w.header, w.is64 ? WINDMP_HEADER_SIZE64 :
                           WINDMP_HEADER_SIZE32, NULL)) {
        /* Exact size, for the sanitizer. */
        g_autofree WinDmpCpu *cpus = g_memdup2(w.cpus,
                                               nr_cpus * sizeof(*cpus));
        g_autoptr(DumpPagesReader) mem =
            dump_pages_reader_new(w.t.g.pages, &error_abort);
        Error *warning = NULL;

        w.t.g.windows = dump_windows_new(&hdr, &w.t.g.all, mem, cpus, nr_cpus,
                                         w.paging, &warning);
        check(&w, before, nr_cpus);
        FUZZ_CHECK(warning || w.t.g.windows->contexts ==
                   windmp_get(&w.t.g.windows->header, WINDMP_NR_CPUS));
        error_free(warning);
    }
    return 0;
}

void fuzz_seeds(FuzzEmit *seed, FuzzEmit *word)
{
    GRand *rand = g_rand_new_with_seed(3);

    for (unsigned i = 0; i < 64; i++) {
        uint8_t in[128];
        size_t n = i < 4 ? 2 : i * 2;

        for (size_t j = 0; j < n; j++) {
            in[j] = g_rand_int(rand);
        }
        in[0] = i % 2 | (i >= 32 ? i * 2 : 0);
        in[1] = 2;
        seed(in, n);
    }
    word("\x01\x88\0", 3);      /* KDBG: bug check, processor block, ... */
    word("\x01\x18\x02", 3);
    word("\x81\xe6\x02", 3);
    word("\x81\x38\x03", 3);
    g_rand_free(rand);
}
