/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Walk over struct pages; see the header.
 *
 *   workers   read the struct pages of a piece of memory, and list the runs
 *             of pages that are in an excluded class
 *   caller    removes these runs from the set of pages that are kept
 *
 * A run may extend beyond the piece of memory in which it begins.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "linux-memmap.h"
#include "linux-page.h"
#include "page-walk.h"
#include "pipeline.h"
#include "spare.h"

/* Page frames per work item. */
#define WALK_PIECE      4096u

/*
 * Granularity at which unreadable struct pages are skipped; a divisor of
 * WALK_PIECE.
 */
#define WALK_STEP       64u

/* Pages to exclude. */
typedef struct WalkRun {
    PfnRun run;
    PageClass class;
} WalkRun;

typedef struct Walk {
    DumpGuest *guest;
    const LinuxMemMap *map;
    const KernelSpace *space;
    LinuxPageLayout layout;
    unsigned level;
    PfnSet *all;                /* page frames to walk over; constant */
    PfnSet *kept;               /* from here on: caller's thread only */
    uint64_t left_out[PAGE_CLASS__MAX];         /* pages */
    uint64_t unreadable;        /* struct pages */
} Walk;

typedef struct WalkWorker {
    DumpPagesReader *mem;
    uint8_t *pages;             /* room for WALK_PIECE + 1 struct pages */
} WalkWorker;

typedef struct WalkSlot {
    WalkRun *runs;              /* room for WALK_PIECE; n used */
    unsigned n;
    uint64_t unreadable;
} WalkSlot;

static bool no_memory(Error **errp)
{
    dump_no_memory(errp, "to find pages to exclude");
    return false;
}

static void slot_add(WalkSlot *slot, uint64_t pfn, uint64_t count,
                     PageClass class)
{
    WalkRun *last = slot->n ? &slot->runs[slot->n - 1] : NULL;

    if (last && last->class == class &&
        last->run.first + last->run.count == pfn) {
        last->run.count += count;
        return;
    }
    assert(slot->n < WALK_PIECE);
    slot->runs[slot->n++] = (WalkRun) { { pfn, count }, class };
}

/*
 * Classify @n pages from @pfn on, whose struct pages are at @vaddr. If the last
 * one may be the head of a compound page, which has an even page frame number,
 * one more struct page is read. Returns false if they cannot be read.
 */
static bool walk_pages(const Walk *w, WalkWorker *worker, uint64_t vaddr,
                       uint64_t pfn, unsigned n, WalkSlot *slot)
{
    unsigned size = w->layout.size;
    unsigned there = n + (pfn + n) % 2;
    const uint8_t *page = worker->pages;

    if (!kernel_space_read(w->space, worker->mem, vaddr, worker->pages,
                           (size_t)there * size)) {
        return false;
    }
    for (unsigned i = 0; i < n; i++, page += size) {
        const uint8_t *next = i + 1 < there ? page + size : NULL;
        unsigned order;
        PageClass class = linux_page_class(&w->layout, w->level, pfn + i,
                                           page, next, &order);

        if (class != PAGE_CLASS__MAX) {
            slot_add(slot, pfn + i, 1ULL << order, class);
        }
    }
    return true;
}

/* Like walk_pages(), in steps, if some struct pages cannot be read. */
static void walk_steps(const Walk *w, WalkWorker *worker, uint64_t vaddr,
                       uint64_t pfn, unsigned n, WalkSlot *slot)
{
    for (unsigned i = 0, step; i < n; i += step) {
        step = MIN(n - i, WALK_STEP - (pfn + i) % WALK_STEP);
        if (!walk_pages(w, worker, vaddr + (uint64_t)i * w->layout.size,
                        pfn + i, step, slot)) {
            slot->unreadable += step;
        }
    }
}

/* Classify the pages of @run, at most WALK_PIECE. */
static void walk_run(const Walk *w, WalkWorker *worker, const PfnRun *run,
                     WalkSlot *slot)
{
    uint64_t vaddr, left;

    for (uint64_t at = 0; at < run->count; at += left) {
        uint64_t pfn = run->first + at;
        bool mapped = linux_memmap_at(w->map, worker->mem, pfn, &vaddr,
                                      &left);

        left = MIN(left, run->count - at);
        if (mapped && !walk_pages(w, worker, vaddr, pfn, left, slot)) {
            walk_steps(w, worker, vaddr, pfn, left, slot);
        }
    }
}

static bool walk_work(void *opaque, void *worker, uint64_t index, void *p,
                      Error **errp)
{
    const Walk *w = opaque;
    WalkSlot *slot = p;
    uint64_t nth = index * WALK_PIECE, left = WALK_PIECE;
    uint64_t pfn = pfn_set_nth(w->all, nth);
    PfnRun run;

    slot->n = 0;
    slot->unreadable = 0;
    while (left && pfn_set_next(w->all, pfn, left, &run)) {
        walk_run(w, worker, &run, slot);
        left -= run.count;
        pfn = run.first + run.count;
    }
    return true;
}

static void walk_worker_free(void *opaque, void *p)
{
    WalkWorker *worker = p;

    dump_pages_reader_free(worker->mem);
    g_free(worker->pages);
    g_free(worker);
}

static void *walk_worker_new(void *opaque, Error **errp)
{
    const Walk *w = opaque;
    WalkWorker *worker = g_try_new0(WalkWorker, 1);

    if (!worker) {
        no_memory(errp);
        return NULL;
    }
    worker->pages = g_try_malloc_n(WALK_PIECE + 1, w->layout.size);
    if (!worker->pages) {
        no_memory(errp);
    } else {
        worker->mem = dump_pages_reader_new(w->guest->pages, errp);
    }
    if (!worker->mem) {
        walk_worker_free(opaque, worker);
        return NULL;
    }
    return worker;
}

static void walk_slot_free(void *opaque, void *p)
{
    WalkSlot *slot = p;

    g_free(slot->runs);
    g_free(slot);
}

static void *walk_slot_new(void *opaque, Error **errp)
{
    WalkSlot *slot = g_try_new0(WalkSlot, 1);

    if (slot) {
        slot->runs = g_try_new(WalkRun, WALK_PIECE);
        if (!slot->runs) {
            g_clear_pointer(&slot, g_free);
        }
    }
    if (!slot) {
        no_memory(errp);
    }
    return slot;
}

static bool walk_consume(void *opaque, uint64_t index, void *p, Error **errp)
{
    Walk *w = opaque;
    const WalkSlot *slot = p;

    w->unreadable += slot->unreadable;
    for (unsigned i = 0; i < slot->n; i++) {
        uint64_t removed;

        if (!pfn_set_remove(w->kept, &slot->runs[i].run, &removed, errp)) {
            return false;
        }
        w->left_out[slot->runs[i].class] += removed;
    }
    return true;
}

static const DumpPipelineOps walk_ops = {
    .slot_new = walk_slot_new,
    .slot_free = walk_slot_free,
    .worker_new = walk_worker_new,
    .worker_free = walk_worker_free,
    .work = walk_work,
    .consume = walk_consume,
};

static PfnSet *frames_of(const GuestRam *ram, uint32_t page_size,
                         Error **errp)
{
    g_autoptr(GArray) runs = guest_ram_pfn_runs(ram, page_size);

    return pfn_set_new((PfnRun *)runs->data, runs->len, errp);
}

static void walk_report(const Walk *w)
{
    DumpReport *report = w->guest->report;

    for (unsigned i = 0; i < PAGE_CLASS__MAX; i++) {
        dump_report_add_class(report, i,
                              w->left_out[i] * w->guest->page_size);
    }
    if (w->unreadable) {
        dump_report_warn(report, "%" PRIu64 " pages are in the dump, whatever "
                         "their class: the guest's struct pages for them could "
                         "not be read", w->unreadable);
    }
}

/* Run the walk, and set guest->kept. */
static bool walk_all(Walk *w, unsigned threads, DumpProgress *progress,
                     Error **errp)
{
    g_autoptr(PfnSet) all = frames_of(&w->guest->all, w->guest->page_size,
                                      errp);
    g_autoptr(PfnSet) kept = NULL;

    if (all) {
        kept = frames_of(&w->guest->ram, w->guest->page_size, errp);
    }
    w->all = all;
    w->kept = kept;
    if (!kept ||
        !dump_pipeline_run(&walk_ops, w, w, threads,
                           DIV_ROUND_UP(pfn_set_count(all), WALK_PIECE),
                           progress, errp)) {
        return false;
    }
    pfn_set_seal(kept);
    walk_report(w);
    w->guest->kept = g_steal_pointer(&kept);
    return true;
}

static bool walk_prepare(Walk *w, DumpPagesReader *mem,
                         const VmcoreInfo *info, KernelSpace **space,
                         LinuxMemMap **map, Error **errp)
{
    if (!info) {
        error_setg(errp, "there is no VMCOREINFO");
        return false;
    }
    if (!linux_page_layout_init(&w->layout, info, errp)) {
        return false;
    }
    w->space = *space = kernel_space_new(w->guest, mem, info, errp);
    if (!*space) {
        return false;
    }
    w->map = *map = linux_memmap_new(w->guest, *space, mem, info,
                                      w->layout.size, errp);
    return *map;
}

bool page_walk(DumpGuest *guest, DumpPagesReader *mem, const VmcoreInfo *info,
               unsigned level, unsigned threads, DumpProgress *progress,
               Error **errp)
{
    Walk w = { .guest = guest, .level = level };
    g_autoptr(KernelSpace) space = NULL;
    g_autoptr(LinuxMemMap) map = NULL;
    Error *err = NULL;

    if (!walk_prepare(&w, mem, info, &space, &map, &err)) {
        error_setg(errp, "dump: cannot determine which pages to exclude: %s",
                   error_get_pretty(err));
        error_free(err);
        return false;
    }
    return walk_all(&w, threads, progress, errp);
}
