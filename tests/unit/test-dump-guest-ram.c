/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Guest memory: sealing, clipping, pages; random layouts compared to a model.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "pages.h"

#define MODEL_SIZE 65536

static uint8_t host[MODEL_SIZE * 2];

static size_t ram_read(const GuestRam *ram, uint64_t paddr, void *buf,
                       size_t len)
{
    DumpPages *pages = dump_pages_still_new(ram, NULL);
    DumpPagesReader *reader = dump_pages_reader_new(pages, &error_abort);
    size_t found = dump_pages_read(reader, paddr, buf, len, NULL);

    dump_pages_reader_free(reader);
    dump_pages_free(pages);
    return found;
}

static void test_seal(void)
{
    GuestRam ram;

    guest_ram_init(&ram);
    guest_ram_add(&ram, 0x3000, 0x1000, host + 0x3000);
    guest_ram_add(&ram, 0x1000, 0x1000, host + 0x1000);
    guest_ram_add(&ram, 0x2000, 0x1000, host + 0x2000);
    guest_ram_add(&ram, 0x4000, 0x1000, host + 0x9000);
    guest_ram_add(&ram, 0x7000, 0, host);
    guest_ram_seal(&ram);
    g_assert_cmpuint(guest_ram_nr_runs(&ram), ==, 2);
    g_assert_cmphex(guest_ram_run(&ram, 0)->paddr, ==, 0x1000);
    g_assert_cmphex(guest_ram_run(&ram, 0)->size, ==, 0x3000);
    g_assert_cmphex(guest_ram_run(&ram, 1)->paddr, ==, 0x4000);
    g_assert_cmpuint(ram.bytes, ==, 0x4000);
    g_assert_cmpuint(guest_ram_max_pfn(&ram, 4096), ==, 5);
    g_assert_cmpuint(guest_ram_max_pfn(&ram, 65536), ==, 1);
    guest_ram_deinit(&ram);
}

static void test_end_of_space(void)
{
    GuestRam ram, top;
    uint64_t len;

    guest_ram_init(&ram);
    guest_ram_add(&ram, UINT64_MAX - 0xfff, 0x1000, host);
    guest_ram_add(&ram, UINT64_MAX - 0x2fff, 0x100000, host + 0x1000);
    guest_ram_seal(&ram);
    g_assert_cmpuint(ram.bytes, ==, 0x3000);
    g_assert_cmpuint(guest_ram_max_pfn(&ram, 4096), ==, 1ULL << 52);
    g_assert_nonnull(guest_ram_host(&ram, UINT64_MAX, &len));
    g_assert_cmpuint(len, ==, 1);
    guest_ram_init(&top);
    guest_ram_clip_of(&top, &ram, UINT64_MAX - 9, 10);
    g_assert_cmpuint(guest_ram_run(&top, 0)->size, ==, 10);
    guest_ram_deinit(&top);
    guest_ram_deinit(&ram);
}

/* Pages that are only partly RAM are included; the rest reads as zero. */
static void test_partial_pages(void)
{
    GuestRam ram;
    uint8_t scratch[4096], want[4096] = { 0 };
    GArray *pfns;
    const PfnRun *runs;

    guest_ram_init(&ram);
    guest_ram_add(&ram, 0x1800, 0x100, host);
    guest_ram_add(&ram, 0x1a00, 0x700, host + 0x4000);
    guest_ram_add(&ram, 0x5fff, 2, host + 0x100);
    guest_ram_seal(&ram);

    pfns = guest_ram_pfn_runs(&ram, 4096);
    runs = (PfnRun *)pfns->data;
    g_assert_cmpuint(pfns->len, ==, 2);
    g_assert_cmpuint(runs[0].first, ==, 1);
    g_assert_cmpuint(runs[0].count, ==, 2);
    g_assert_cmpuint(runs[1].first, ==, 5);
    g_assert_cmpuint(runs[1].count, ==, 2);
    g_assert_cmpuint(guest_ram_max_pfn(&ram, 4096), ==, 7);
    g_array_unref(pfns);

    memcpy(want + 0x800, host, 0x100);
    memcpy(want + 0xa00, host + 0x4000, 0x600);
    memset(scratch, 0xaa, sizeof(scratch));
    g_assert_cmpuint(ram_read(&ram, 0x1000, scratch, 4096), ==, 0x700);
    g_assert_cmpmem(scratch, 4096, want, 4096);
    memset(scratch, 0xaa, sizeof(scratch));
    g_assert_cmpuint(ram_read(&ram, 0x3000, scratch, 4096), ==, 0);
    memset(want, 0, sizeof(want));
    g_assert_cmpmem(scratch, 4096, want, 4096);
    guest_ram_deinit(&ram);
}

/* Runs with the same start: the first wins; contained runs are dropped. */
static void test_ties(void)
{
    GuestRam ram;
    uint64_t len;

    guest_ram_init(&ram);
    guest_ram_add(&ram, 0x2000, 0x800, host + 0x8000);
    guest_ram_add(&ram, 0x1000, 0x1000, host);
    guest_ram_add(&ram, 0x1000, 0x1800, host + 0x4000);
    guest_ram_add(&ram, 0x1100, 0x100, host + 0xc000);
    guest_ram_seal(&ram);
    g_assert_cmpuint(guest_ram_nr_runs(&ram), ==, 2);
    g_assert_cmpuint(ram.bytes, ==, 0x1800);
    g_assert_true(guest_ram_host(&ram, 0x1100, &len) == host + 0x100);
    g_assert_cmphex(len, ==, 0xf00);
    g_assert_true(guest_ram_host(&ram, 0x2000, &len) == host + 0x5000);
    g_assert_cmphex(len, ==, 0x800);
    guest_ram_deinit(&ram);
}

static void test_empty(void)
{
    GuestRam ram;
    GArray *pfns;
    uint8_t buf[16], zero[16] = { 0 };
    uint64_t len;

    guest_ram_init(&ram);
    guest_ram_seal(&ram);
    g_assert_cmpuint(guest_ram_nr_runs(&ram), ==, 0);
    g_assert_cmpuint(ram.bytes, ==, 0);
    g_assert_cmpuint(guest_ram_max_pfn(&ram, 4096), ==, 0);
    g_assert_null(guest_ram_host(&ram, 0x1000, &len));
    memset(buf, 0xaa, sizeof(buf));
    g_assert_cmpuint(ram_read(&ram, 0x1000, buf, 16), ==, 0);
    g_assert_cmpmem(buf, 16, zero, 16);
    pfns = guest_ram_pfn_runs(&ram, 4096);
    g_assert_cmpuint(pfns->len, ==, 0);
    g_array_unref(pfns);
    guest_ram_deinit(&ram);
}

static void check_part(const GuestRam *all, uint64_t begin, uint64_t length,
                       size_t runs, uint64_t bytes)
{
    GuestRam ram;

    guest_ram_init(&ram);
    guest_ram_clip_of(&ram, all, begin, length);
    g_assert_cmpuint(guest_ram_nr_runs(&ram), ==, runs);
    g_assert_cmphex(ram.bytes, ==, bytes);
    for (size_t i = 0; i < runs; i++) {
        const GuestRamRun *run = guest_ram_run(&ram, i);
        const GuestRamRun *of = guest_ram_run_at(all, run->paddr);
        uint64_t skip = MAX(begin, of->paddr) - of->paddr;

        g_assert_cmphex(run->paddr, ==, of->paddr + skip);
        g_assert_true(run->host == of->host + skip);
        g_assert_cmpint(run->backing, ==, of->backing);
        g_assert_cmpint(run->fd, ==, of->fd);
        g_assert_cmphex(run->fd_offset, ==, of->fd_offset + skip);
    }
    guest_ram_deinit(&ram);
}

/* Clipping does not change the original object. */
static void test_clip_of(void)
{
    GuestRam all;

    guest_ram_init(&all);
    guest_ram_add(&all, UINT64_MAX - 0xff, 0x100, host + 0x4000);
    guest_ram_add_run(&all, &(GuestRamRun) {
        .paddr = 0x2000, .size = 0x1000, .host = host + 0x9000,
        .backing = GUEST_RAM_SHARED_FILE, .fd = 5, .fd_offset = 0x300,
    });
    guest_ram_add(&all, 0x1000, 0x1000, host);
    guest_ram_seal(&all);
    check_part(&all, 0, 0, 3, 0x2100);
    check_part(&all, 0x1fff, 0, 3, 0x1101);
    check_part(&all, 0x1800, 0x1000, 2, 0x1000);
    check_part(&all, 0x2001, 0x10, 1, 0x10);
    check_part(&all, 0x3000, 0x10, 0, 0);
    check_part(&all, 0x2800, -0x2800ULL, 2, 0x900);
    check_part(&all, UINT64_MAX, 1, 1, 1);
    g_assert_cmpuint(guest_ram_nr_runs(&all), ==, 3);
    g_assert_cmphex(all.bytes, ==, 0x2100);
    guest_ram_deinit(&all);
}

/* An overlay replaces some bytes and leaves the rest unchanged. */
static void test_overlay(void)
{
    uint8_t page[0x100], other[0x100], buf[0x2000], want[0x2000];
    GuestRam ram;
    uint64_t len;

    memset(page, 0x55, sizeof(page));
    memset(other, 0x66, sizeof(other));
    guest_ram_init(&ram);
    guest_ram_add(&ram, 0x1000, 0x1000, host);
    guest_ram_add(&ram, 0x2000, 0x1000, host + 0x8000);
    guest_ram_seal(&ram);
    memcpy(want, host, 0x1000);
    memcpy(want + 0x1000, host + 0x8000, 0x1000);

    /* In two runs, outside of all runs, empty. */
    g_assert_false(guest_ram_overlay(&ram, 0x1f80, 0x100, page));
    g_assert_false(guest_ram_overlay(&ram, 0x2f01, 0x100, page));
    g_assert_false(guest_ram_overlay(&ram, 0x3000, 0x100, page));
    g_assert_false(guest_ram_overlay(&ram, 0xfff, 0x100, page));
    g_assert_false(guest_ram_overlay(&ram, 0x1000, 0, page));
    g_assert_false(guest_ram_overlay(&ram, 0x2000, UINT64_MAX, page));
    g_assert_cmpuint(guest_ram_nr_runs(&ram), ==, 2);

    /* In the middle; at the start; at the end; over another overlay. */
    g_assert_true(guest_ram_overlay(&ram, 0x1800, 0x100, page));
    g_assert_cmpuint(guest_ram_nr_runs(&ram), ==, 4);
    g_assert_true(guest_ram_overlay(&ram, 0x2000, 0x100, page));
    g_assert_true(guest_ram_overlay(&ram, 0x2f00, 0x100, page));
    g_assert_true(guest_ram_overlay(&ram, 0x2f00, 0x100, other));
    memset(want + 0x800, 0x55, 0x100);
    memset(want + 0x1000, 0x55, 0x100);
    memset(want + 0x1f00, 0x66, 0x100);
    g_assert_cmpuint(guest_ram_nr_runs(&ram), ==, 6);
    g_assert_cmpuint(ram_read(&ram, 0x1000, buf, 0x2000), ==, 0x2000);
    g_assert_cmpmem(buf, 0x2000, want, 0x2000);
    g_assert_true(guest_ram_host(&ram, 0x2100, &len) == host + 0x8100);
    g_assert_cmphex(len, ==, 0xe00);
    g_assert_cmpuint(ram.bytes, ==, 0x2000);
    guest_ram_deinit(&ram);
}

static void test_gap(void)
{
    GuestRam ram;

    guest_ram_init(&ram);
    guest_ram_add(&ram, 0x1000, 0x1000, host);
    guest_ram_seal(&ram);
    g_assert_cmphex(guest_ram_gap(&ram, 0), ==, 0x1000);
    g_assert_cmphex(guest_ram_gap(&ram, 0xfff), ==, 1);
    g_assert_true(guest_ram_gap(&ram, 0x2000) == UINT64_MAX);
    guest_ram_deinit(&ram);
}

/* Reads that start or end outside of memory, or at 2^64. */
static void test_read_edges(void)
{
    GuestRam ram;
    uint8_t buf[16], want[16] = { 0 };

    guest_ram_init(&ram);
    guest_ram_add(&ram, UINT64_MAX - 3, 4, host);
    guest_ram_add(&ram, 100, 4, host + 10);
    guest_ram_seal(&ram);
    g_assert_cmpuint(ram_read(&ram, UINT64_MAX - 7, buf, 16), ==, 4);
    memcpy(want + 4, host, 4);
    g_assert_cmpmem(buf, 16, want, 16);
    g_assert_cmpuint(ram_read(&ram, 96, buf, 16), ==, 4);
    memcpy(want + 4, host + 10, 4);
    g_assert_cmpmem(buf, 16, want, 16);
    g_assert_cmpuint(ram_read(&ram, 103, buf, 16), ==, 1);
    g_assert_cmpuint(ram_read(&ram, 104, buf, 16), ==, 0);
    g_assert_cmpuint(ram_read(&ram, 84, buf, 16), ==, 0);
    g_assert_cmpuint(ram_read(&ram, 100, NULL, 0), ==, 0);
    guest_ram_deinit(&ram);
}

/* A whole page of one run is not copied. */
static void test_whole_page(void)
{
    GuestRam ram;
    uint64_t len;

    guest_ram_init(&ram);
    guest_ram_add(&ram, 0x10000, 0x3000, host);
    guest_ram_seal(&ram);
    g_assert_true(guest_ram_host(&ram, 0x11000, &len) == host + 0x1000);
    g_assert_cmphex(len, ==, 0x2000);
    g_assert_true(guest_ram_host(&ram, 0x12000, &len) == host + 0x2000);
    guest_ram_deinit(&ram);
}

/* Runs contain the page frames with any RAM; pages have the right bytes. */
static void model_pages(const GuestRam *ram, const uint8_t **model,
                        const uint8_t *bytes)
{
    enum { PAGE = 1024 };
    GArray *pfns = guest_ram_pfn_runs(ram, PAGE);
    const PfnRun *runs = (PfnRun *)pfns->data;
    size_t r = 0, max = 0;
    uint8_t scratch[PAGE];

    for (size_t i = 1; i < pfns->len; i++) {
        g_assert_cmpuint(runs[i].first, >,
                         runs[i - 1].first + runs[i - 1].count);
    }
    for (size_t pfn = 0; pfn < MODEL_SIZE / PAGE; pfn++) {
        bool is_ram = false;

        for (size_t k = 0; k < PAGE; k++) {
            is_ram |= model[pfn * PAGE + k] != NULL;
        }
        if (r < pfns->len && pfn >= runs[r].first + runs[r].count) {
            r++;
        }
        g_assert_cmpint(is_ram, ==, r < pfns->len && pfn >= runs[r].first);
        max = is_ram ? pfn + 1 : max;
        ram_read(ram, pfn * PAGE, scratch, PAGE);
        g_assert_cmpmem(scratch, PAGE, bytes + pfn * PAGE, PAGE);
    }
    g_assert_cmpuint(guest_ram_max_pfn(ram, PAGE), ==, max);
    g_array_unref(pfns);
}

/*
 * Random runs, which may overlap, compared to an array with an entry per byte.
 * If runs overlap, the one that starts first has the byte. All runs start at
 * different addresses, so there are no ties.
 */
static void model_round(GRand *r)
{
    g_autofree const uint8_t **model = g_new0(const uint8_t *, MODEL_SIZE);
    g_autofree uint8_t *got = g_malloc(MODEL_SIZE);
    uint64_t begin = g_rand_int_range(r, 0, MODEL_SIZE);
    uint64_t length = g_rand_int_range(r, 1, MODEL_SIZE);
    size_t n = g_rand_int_range(r, 0, 12), bytes = 0;
    uint64_t last = 0;
    GuestRam all, ram;

    guest_ram_init(&all);
    for (size_t i = 0; i < n; i++) {
        uint64_t paddr = last + g_rand_int_range(r, 1, 6000);
        uint64_t size = g_rand_int_range(r, 0, 9000);
        const uint8_t *h = host + g_rand_int_range(r, 0, MODEL_SIZE / 2);

        if (paddr + size > MODEL_SIZE) {
            break;
        }
        last = paddr;
        guest_ram_add(&all, paddr, size, h);
        for (uint64_t k = MAX(paddr, begin);
             k < MIN(paddr + size, begin + length); k++) {
            if (!model[k]) {
                model[k] = h + (k - paddr);
                bytes++;
            }
        }
    }
    guest_ram_seal(&all);
    guest_ram_init(&ram);
    guest_ram_clip_of(&ram, &all, begin, length);
    guest_ram_deinit(&all);
    g_assert_cmpuint(ram.bytes, ==, bytes);
    g_assert_cmpuint(ram_read(&ram, 0, got, MODEL_SIZE), ==, bytes);
    for (size_t k = 0; k < MODEL_SIZE; k++) {
        g_assert_cmpuint(got[k], ==, model[k] ? *model[k] : 0);
    }
    model_pages(&ram, model, got);
    guest_ram_deinit(&ram);
}

static void test_model(void)
{
    GRand *r = g_rand_new_with_seed(4711);

    for (int i = 0; i < 300; i++) {
        model_round(r);
    }
    g_rand_free(r);
}

/* Bytes dropped of 1 MiB at 0 and @size bytes at @paddr. */
static uint64_t far_dropped(uint64_t paddr, uint64_t size, size_t pieces)
{
    GuestRam ram;
    uint64_t bytes;

    guest_ram_init(&ram);
    guest_ram_add(&ram, 0, 1 << 20, host);
    for (size_t i = 0; i < pieces; i++) {
        /* It is not read; the pieces are not merged. */
        guest_ram_add(&ram, paddr + size / pieces * i, size / pieces,
                      host + i);
    }
    guest_ram_seal(&ram);
    bytes = guest_ram_drop_far(&ram);
    g_assert_cmpuint(ram.bytes, ==, (1 << 20) + size - bytes);
    g_assert_cmpuint(guest_ram_nr_runs(&ram), ==, bytes ? 1 : 1 + pieces);
    guest_ram_deinit(&ram);
    return bytes;
}

static void test_drop_far(void)
{
    const uint64_t tib = 1ULL << 40;
    GuestRam ram;

    /* A BAR mapped far away, and one that is near enough. */
    g_assert_cmpuint(far_dropped(1ULL << 52, 4096, 1), ==, 4096);
    g_assert_cmpuint(far_dropped(0 - 65536ULL, 65536, 2), ==, 65536);
    g_assert_cmpuint(far_dropped(4 * tib - 4096, 4096, 1), ==, 0);
    g_assert_cmpuint(far_dropped(4 * tib, 4096, 1), ==, 4096);
    /* Large enough for its address, in one or several pieces. */
    g_assert_cmpuint(far_dropped(8 * tib, tib, 1), ==, 0);
    g_assert_cmpuint(far_dropped(8 * tib, tib, 16), ==, 0);
    g_assert_cmpuint(far_dropped(100 * tib, tib, 16), ==, tib);

    /* The lowest range is always kept. */
    guest_ram_init(&ram);
    guest_ram_add(&ram, 1ULL << 52, 4096, host);
    guest_ram_add(&ram, 1ULL << 53, 4096, host);
    guest_ram_seal(&ram);
    g_assert_cmpuint(guest_ram_drop_far(&ram), ==, 4096);
    g_assert_cmphex(guest_ram_run(&ram, 0)->paddr, ==, 1ULL << 52);
    guest_ram_deinit(&ram);

    guest_ram_init(&ram);
    guest_ram_seal(&ram);
    g_assert_cmpuint(guest_ram_drop_far(&ram), ==, 0);
    guest_ram_deinit(&ram);
}

/* The rest of [0x1000, 0x3000) and of [0x4000, 0x5000). */
static void check_drop_above(uint64_t last, uint64_t kept, size_t runs)
{
    GuestRam ram;

    guest_ram_init(&ram);
    guest_ram_add(&ram, 0x1000, 0x2000, host);
    guest_ram_add(&ram, 0x4000, 0x1000, host);
    guest_ram_seal(&ram);
    g_assert_cmphex(guest_ram_drop_above(&ram, last), ==, 0x3000 - kept);
    g_assert_cmphex(ram.bytes, ==, kept);
    g_assert_cmpuint(guest_ram_nr_runs(&ram), ==, runs);
    if (runs) {
        g_assert_true(guest_ram_run(&ram, 0)->host == host);
        g_assert_cmphex(guest_ram_run(&ram, 0)->paddr, ==, 0x1000);
        g_assert_cmphex(guest_ram_run(&ram, 0)->size, ==, MIN(kept, 0x2000));
    }
    guest_ram_deinit(&ram);
}

static void test_drop_above(void)
{
    check_drop_above(UINT64_MAX, 0x3000, 2);
    check_drop_above(0x4fff, 0x3000, 2);
    check_drop_above(0x4000, 0x2001, 2);
    check_drop_above(0x3fff, 0x2000, 1);
    check_drop_above(0x2fff, 0x2000, 1);
    check_drop_above(0x1fff, 0x1000, 1);
    check_drop_above(0x0fff, 0, 0);
}

int main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof(host); i++) {
        host[i] = i * 31 + (i >> 8) + 1;
    }
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/guest-ram/seal", test_seal);
    g_test_add_func("/dump/guest-ram/end-of-space", test_end_of_space);
    g_test_add_func("/dump/guest-ram/partial-pages", test_partial_pages);
    g_test_add_func("/dump/guest-ram/whole-page", test_whole_page);
    g_test_add_func("/dump/guest-ram/ties", test_ties);
    g_test_add_func("/dump/guest-ram/empty", test_empty);
    g_test_add_func("/dump/guest-ram/read-edges", test_read_edges);
    g_test_add_func("/dump/guest-ram/model", test_model);
    g_test_add_func("/dump/guest-ram/drop-far", test_drop_far);
    g_test_add_func("/dump/guest-ram/drop-above", test_drop_above);
    g_test_add_func("/dump/guest-ram/overlay", test_overlay);
    g_test_add_func("/dump/guest-ram/gap", test_gap);
    g_test_add_func("/dump/guest-ram/clip-of", test_clip_of);
    return g_test_run();
}
