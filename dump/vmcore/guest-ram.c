/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Guest-physical memory as sorted runs.
 *
 * Comparisons use the address of a run's last byte, paddr + (size - 1), since
 * the end may be 2^64.
 */

#include "qemu/osdep.h"
#include "guest-ram.h"

void guest_ram_init(GuestRam *ram)
{
    ram->runs = g_array_new(false, false, sizeof(GuestRamRun));
    ram->bytes = 0;
}

void guest_ram_deinit(GuestRam *ram)
{
    g_clear_pointer(&ram->runs, g_array_unref);
}

void guest_ram_add_run(GuestRam *ram, const GuestRamRun *run)
{
    GuestRamRun copy = *run;

    if (!copy.size) {
        return;
    }
    copy.size = MIN(copy.size - 1, UINT64_MAX - copy.paddr) + 1;
    g_array_append_val(ram->runs, copy);
}

void guest_ram_add(GuestRam *ram, uint64_t paddr, uint64_t size,
                   const uint8_t *host)
{
    GuestRamRun run = { .paddr = paddr, .size = size, .host = host };

    guest_ram_add_run(ram, &run);
}

static uint64_t run_last(const GuestRamRun *run)
{
    return run->paddr + (run->size - 1);
}

static void run_drop_front(GuestRamRun *run, uint64_t n)
{
    run->paddr += n;
    run->host += n;
    run->fd_offset += n;
    run->size -= n;
}

/* Clip @run to [@begin, @last]; false if nothing is left. */
static bool run_clip(GuestRamRun *run, uint64_t begin, uint64_t last)
{
    uint64_t from = MAX(run->paddr, begin);
    uint64_t to = MIN(run_last(run), last);

    if (from > to) {
        return false;
    }
    run_drop_front(run, from - run->paddr);
    run->size = to - from + 1;
    return true;
}

void guest_ram_clip_of(GuestRam *ram, const GuestRam *all, uint64_t begin,
                       uint64_t length)
{
    uint64_t last = length ? begin + (length - 1) : UINT64_MAX;

    for (size_t i = 0; i < guest_ram_nr_runs(all); i++) {
        GuestRamRun run = *guest_ram_run(all, i);

        if (run_clip(&run, begin, last)) {
            g_array_append_val(ram->runs, run);
            ram->bytes += run.size;
        }
    }
}

static gint compare_runs(gconstpointer a, gconstpointer b)
{
    const GuestRamRun *ra = a, *rb = b;

    return ra->paddr < rb->paddr ? -1 : ra->paddr > rb->paddr;
}

/* Remove the part that @prev covers from @run; false if nothing is left. */
static bool run_cut_overlap(const GuestRamRun *prev, GuestRamRun *run)
{
    uint64_t over;

    if (run->paddr > run_last(prev)) {
        return true;
    }
    if (run_last(run) <= run_last(prev)) {
        return false;
    }
    over = run_last(prev) - run->paddr + 1;
    run_drop_front(run, over);
    return true;
}

static bool runs_join(const GuestRamRun *prev, const GuestRamRun *run)
{
    return run_last(prev) + 1 == run->paddr &&
           prev->host + prev->size == run->host &&
           prev->backing == run->backing && prev->fd == run->fd &&
           (prev->backing == GUEST_RAM_OTHER ||
            prev->backing == GUEST_RAM_ANON ||
            prev->fd_offset + prev->size == run->fd_offset);
}

void guest_ram_seal(GuestRam *ram)
{
    size_t kept = 0;

    g_array_sort(ram->runs, compare_runs);
    for (size_t i = 0; i < ram->runs->len; i++) {
        GuestRamRun run = *guest_ram_run(ram, i);
        GuestRamRun *prev = kept ?
            &g_array_index(ram->runs, GuestRamRun, kept - 1) : NULL;

        if (prev && !run_cut_overlap(prev, &run)) {
            continue;
        }
        if (prev && runs_join(prev, &run)) {
            prev->size += run.size;
        } else {
            g_array_index(ram->runs, GuestRamRun, kept++) = run;
        }
    }
    g_array_set_size(ram->runs, kept);

    ram->bytes = 0;
    for (size_t i = 0; i < kept; i++) {
        ram->bytes += guest_ram_run(ram, i)->size;
    }
}

/* One past the last run of the contiguous range that starts with @first. */
static size_t range_end(const GuestRam *ram, size_t first, uint64_t *bytes)
{
    size_t i = first;

    *bytes = 0;
    do {
        *bytes += guest_ram_run(ram, i)->size;
        i++;
    } while (i < guest_ram_nr_runs(ram) &&
             run_last(guest_ram_run(ram, i - 1)) + 1 ==
             guest_ram_run(ram, i)->paddr);
    return i;
}

uint64_t guest_ram_drop_far(GuestRam *ram)
{
    uint64_t before = ram->bytes;
    size_t kept = 0, next;

    ram->bytes = 0;
    for (size_t i = 0; i < guest_ram_nr_runs(ram); i = next) {
        uint64_t bytes, last;

        next = range_end(ram, i, &bytes);
        last = run_last(guest_ram_run(ram, next - 1));
        if (i && last >= GUEST_RAM_NEAR &&
            last / GUEST_RAM_FAR_FACTOR >= ram->bytes + bytes) {
            continue;
        }
        ram->bytes += bytes;
        while (i < next) {
            g_array_index(ram->runs, GuestRamRun, kept++) =
                *guest_ram_run(ram, i++);
        }
    }
    g_array_set_size(ram->runs, kept);
    return before - ram->bytes;
}

uint64_t guest_ram_drop_above(GuestRam *ram, uint64_t last)
{
    uint64_t before = ram->bytes;
    size_t kept = 0;

    ram->bytes = 0;
    for (size_t i = 0; i < guest_ram_nr_runs(ram); i++) {
        GuestRamRun *run = &g_array_index(ram->runs, GuestRamRun, i);

        if (run_clip(run, 0, last)) {
            ram->bytes += run->size;
            kept++;
        }
    }
    g_array_set_size(ram->runs, kept);
    return before - ram->bytes;
}

GArray *guest_ram_pfn_runs(const GuestRam *ram, size_t page_size)
{
    GArray *runs = g_array_new(false, false, sizeof(PfnRun));

    for (size_t i = 0; i < guest_ram_nr_runs(ram); i++) {
        const GuestRamRun *run = guest_ram_run(ram, i);
        PfnRun *prev = runs->len ?
            &g_array_index(runs, PfnRun, runs->len - 1) : NULL;
        uint64_t first = run->paddr / page_size;
        uint64_t end = run_last(run) / page_size + 1;

        if (prev && first <= prev->first + prev->count) {
            prev->count = end - prev->first;
        } else {
            PfnRun pfns = { .first = first, .count = end - first };
            g_array_append_val(runs, pfns);
        }
    }
    return runs;
}

uint64_t guest_ram_max_pfn(const GuestRam *ram, size_t page_size)
{
    size_t n = guest_ram_nr_runs(ram);

    return n ? run_last(guest_ram_run(ram, n - 1)) / page_size + 1 : 0;
}

/* Index of the first run that ends at or above @paddr. */
static size_t first_run_above(const GuestRam *ram, uint64_t paddr)
{
    size_t lo = 0, hi = guest_ram_nr_runs(ram);

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (run_last(guest_ram_run(ram, mid)) < paddr) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

const GuestRamRun *guest_ram_run_at(const GuestRam *ram, uint64_t paddr)
{
    size_t i = first_run_above(ram, paddr);

    if (i == guest_ram_nr_runs(ram) || guest_ram_run(ram, i)->paddr > paddr) {
        return NULL;
    }
    return guest_ram_run(ram, i);
}

bool guest_ram_overlay(GuestRam *ram, uint64_t paddr, uint64_t size,
                       const uint8_t *host)
{
    size_t i = first_run_above(ram, paddr);
    GuestRamRun before, after, pieces[3];
    guint n = 0;

    if (!size || !guest_ram_run_at(ram, paddr) ||
        size - 1 > run_last(guest_ram_run(ram, i)) - paddr) {
        return false;
    }
    before = after = *guest_ram_run(ram, i);
    before.size = paddr - before.paddr;
    run_drop_front(&after, before.size + size);
    if (before.size) {
        pieces[n++] = before;
    }
    pieces[n++] = (GuestRamRun) { paddr, size, host };
    if (after.size) {
        pieces[n++] = after;
    }
    g_array_remove_index(ram->runs, i);
    g_array_insert_vals(ram->runs, i, pieces, n);
    return true;
}

const uint8_t *guest_ram_host(const GuestRam *ram, uint64_t paddr,
                              uint64_t *len)
{
    const GuestRamRun *run = guest_ram_run_at(ram, paddr);

    if (!run) {
        return NULL;
    }
    *len = run->size - (paddr - run->paddr);
    return run->host + (paddr - run->paddr);
}

uint64_t guest_ram_gap(const GuestRam *ram, uint64_t paddr)
{
    size_t i = first_run_above(ram, paddr);

    return i == guest_ram_nr_runs(ram) ? UINT64_MAX :
                                         guest_ram_run(ram, i)->paddr - paddr;
}
