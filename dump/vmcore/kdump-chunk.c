/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Chunks of guest pages; see the header.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "kdump-chunk.h"
#include "spare.h"

/* Bytes of guest memory per chunk. */
#define KDUMP_CHUNK             (512 * KiB)

typedef struct KdumpWorker {
    void *codec;                /* the codec's state */
    DumpPagesReader *reader;
    uint8_t *scratch;           /* for a page with parts of several kinds */
} KdumpWorker;

bool kdump_chunks_init(KdumpChunks *chunks, const DumpGuest *guest,
                       const DumpCodec *codec, Error **errp)
{
    chunks->guest = guest;
    chunks->codec = codec;
    chunks->chunk_pages = MAX(KDUMP_CHUNK / guest->page_size, 1);
    chunks->ram = guest_ram_pfn_runs(&guest->ram, guest->page_size);
    if (guest->kept) {
        chunks->set = guest->kept;
    } else {
        chunks->own = pfn_set_new((PfnRun *)chunks->ram->data,
                                  chunks->ram->len, errp);
        chunks->set = chunks->own;
    }
    if (!chunks->set) {
        return false;
    }
    chunks->nr_pages = pfn_set_count(chunks->set);
    return true;
}

void kdump_chunks_deinit(KdumpChunks *chunks)
{
    g_clear_pointer(&chunks->worked, pfn_set_free);
    g_clear_pointer(&chunks->own, pfn_set_free);
    g_clear_pointer(&chunks->ram, g_array_unref);
}

uint64_t kdump_chunks_count(const KdumpChunks *chunks)
{
    return DIV_ROUND_UP(chunks->nr_pages, chunks->chunk_pages);
}

unsigned kdump_chunk_pages(const KdumpChunks *chunks, uint64_t index)
{
    return MIN(chunks->nr_pages - index * chunks->chunk_pages,
               chunks->chunk_pages);
}

/*
 * Skip the pages, from the @nth of the set on, that are known to be zero, and
 * return the index of the next one. dump_pages_zero_ahead() ends at gaps in
 * memory, so it is called repeatedly.
 */
static uint64_t kdump_zero_end(const KdumpChunks *c, DumpPagesReader *reader,
                               uint64_t nth)
{
    uint64_t size = c->guest->page_size;

    while (nth < c->nr_pages) {
        uint64_t pfn = pfn_set_nth(c->set, nth);
        uint64_t n = dump_pages_zero_ahead(reader, pfn * size,
                                           UINT64_MAX - pfn * size) / size;

        if (!n) {
            break;
        }
        nth = pfn_set_rank(c->set, pfn + n);
    }
    return nth;
}

/*
 * Release the pages of @chunks. Memory in between is released by
 * kdump_chunks_give_rest().
 */
static void kdump_give_chunks(const KdumpChunks *c, const PfnRun *chunks)
{
    uint64_t size = c->guest->page_size;
    uint64_t nth = chunks->first * c->chunk_pages;
    uint64_t end = MIN(nth + chunks->count * c->chunk_pages, c->nr_pages);
    uint64_t pfn = pfn_set_nth(c->set, nth);
    PfnRun run;

    if (!dump_pages_may_change(c->guest->pages)) {
        return;
    }
    while (nth < end && pfn_set_next(c->set, pfn, end - nth, &run)) {
        dump_pages_give(c->guest->pages, run.first * size, run.count * size);
        nth += run.count;
        pfn = run.first + run.count;
    }
}

static bool kdump_find_untouched(KdumpChunks *c, DumpPagesReader *reader,
                                 const DumpProgress *progress, Error **errp)
{
    uint64_t nr_chunks = kdump_chunks_count(c), removed;

    for (uint64_t i = 0; i < nr_chunks; ) {
        PfnRun zero = { .first = i };
        uint64_t end = kdump_zero_end(c, reader, i * c->chunk_pages);

        zero.count = end == c->nr_pages ? nr_chunks - i :
                                          end / c->chunk_pages - i;
        if (dump_progress_cancelled(progress)) {
            error_setg(errp, "dump: cancelled");
            return false;
        }
        if (zero.count) {
            if (!pfn_set_remove(c->worked, &zero, &removed, errp)) {
                return false;
            }
            kdump_give_chunks(c, &zero);
        }
        i += zero.count + 1;    /* the next chunk is not zero */
    }
    pfn_set_seal(c->worked);
    return true;
}

bool kdump_chunks_find_untouched(KdumpChunks *chunks,
                                 const DumpProgress *progress, Error **errp)
{
    const PfnRun all = { .count = kdump_chunks_count(chunks) };
    g_autoptr(DumpPagesReader) reader = NULL;

    chunks->worked = pfn_set_new(&all, 1, errp);
    if (!chunks->worked) {
        return false;
    }
    reader = dump_pages_reader_new(chunks->guest->pages, errp);
    return reader && kdump_find_untouched(chunks, reader, progress, errp);
}

uint64_t kdump_chunks_nr_worked(const KdumpChunks *chunks)
{
    return pfn_set_count(chunks->worked);
}

uint64_t kdump_chunks_worked(const KdumpChunks *chunks, uint64_t nth)
{
    return pfn_set_nth(chunks->worked, nth);
}

void kdump_chunks_give_rest(const KdumpChunks *chunks)
{
    DumpPages *pages = chunks->guest->pages;
    uint64_t size = chunks->guest->page_size, at = 0;
    PfnRun run;

    /* Skip the loop if it has no effect: there may be millions of runs. */
    if (!dump_pages_may_change(pages)) {
        return;
    }
    while (pfn_set_next(chunks->set, at / size, UINT64_MAX, &run)) {
        dump_pages_give(pages, at, run.first * size - at);
        if (run.first + run.count > UINT64_MAX / size) {
            return;
        }
        at = (run.first + run.count) * size;
    }
    dump_pages_give(pages, at, UINT64_MAX - at);
}

void kdump_chunk_slot_free(void *opaque, void *p)
{
    KdumpSlot *slot = p;

    if (slot) {
        g_free(slot->pages);
        g_free(slot->data);
        g_free(slot);
    }
}

uint8_t *kdump_chunk_data_new(const KdumpChunks *chunks)
{
    size_t page = chunks->guest->page_size;

    /* The last page may need codec->bound() bytes before it is stored raw. */
    return g_try_malloc(page * (chunks->chunk_pages - 1) +
                        MAX(chunks->codec->bound(page), page));
}

void *kdump_chunk_slot_new(void *opaque, Error **errp)
{
    const KdumpChunks *c = opaque;
    KdumpSlot *slot = g_try_new0(KdumpSlot, 1);

    if (slot) {
        slot->pages = g_try_new(KdumpPage, c->chunk_pages);
        slot->data = kdump_chunk_data_new(c);
    }
    if (!slot || !slot->pages || !slot->data) {
        dump_no_memory(errp, "to compress pages");
        kdump_chunk_slot_free(opaque, slot);
        return NULL;
    }
    return slot;
}

void kdump_chunk_worker_free(void *opaque, void *p)
{
    const KdumpChunks *c = opaque;
    KdumpWorker *worker = p;

    if (worker->codec) {
        c->codec->destroy(worker->codec);
    }
    dump_pages_reader_free(worker->reader);
    g_free(worker->scratch);
    g_free(worker);
}

void *kdump_chunk_worker_new(void *opaque, Error **errp)
{
    const KdumpChunks *c = opaque;
    KdumpWorker *worker = g_try_new0(KdumpWorker, 1);

    if (!worker) {
        dump_no_memory(errp, "to compress pages");
        return NULL;
    }
    worker->scratch = g_try_malloc(c->guest->page_size);
    if (!worker->scratch) {
        dump_no_memory(errp, "to compress pages");
    } else {
        worker->codec = c->codec->create(errp);
    }
    if (worker->codec) {
        worker->reader = dump_pages_reader_new(c->guest->pages, errp);
    }
    if (!worker->reader) {
        kdump_chunk_worker_free(opaque, worker);
        return NULL;
    }
    return worker;
}

static void kdump_compress_page(const KdumpChunks *c, KdumpWorker *worker,
                                const uint8_t *src, KdumpSlot *slot,
                                KdumpPage *page)
{
    size_t page_size = c->guest->page_size;
    uint8_t *dst = slot->data + slot->used;
    size_t n;

    if (buffer_is_zero(src, page_size)) {
        *page = (KdumpPage) { 0 };
        return;
    }
    n = c->codec->compress(worker->codec, src, page_size, dst);
    if (n && n < page_size) {
        *page = (KdumpPage) { .size = n, .flags = c->codec->kdump_flag };
    } else {
        memcpy(dst, src, page_size);
        *page = (KdumpPage) { .size = page_size };
    }
    slot->used += page->size;
}

/* A page with parts of several kinds. */
static void kdump_mixed_page(const KdumpChunks *c, KdumpWorker *worker,
                             uint64_t paddr, KdumpSlot *slot, KdumpPage *page)
{
    size_t lost;

    dump_pages_read(worker->reader, paddr, worker->scratch,
                    c->guest->page_size, &lost);
    if (lost) {
        *page = (KdumpPage) { .missing = true };
        dump_report_add_lost(c->guest->report, c->guest->page_size);
    } else {
        kdump_compress_page(c, worker, worker->scratch, slot, page);
    }
}

/* @n pages of one kind. @bytes: their contents if they are data */
static void kdump_stretch(const KdumpChunks *c, KdumpWorker *worker,
                          DumpPagesKind kind, const uint8_t *bytes,
                          KdumpSlot *slot, KdumpPage *pages, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (kind == DUMP_PAGES_DATA) {
            kdump_compress_page(c, worker, bytes, slot, &pages[i]);
            bytes += c->guest->page_size;
        } else {
            pages[i] = (KdumpPage) { .missing = kind == DUMP_PAGES_LOST };
        }
    }
}

/*
 * Process the first of the @n frames at @pfn: as many as are of the same kind,
 * or one page with parts of several kinds. Returns the number of pages.
 */
static unsigned kdump_some_pages(const KdumpChunks *c, KdumpWorker *worker,
                                 uint64_t pfn, unsigned n, KdumpSlot *slot,
                                 KdumpPage *pages)
{
    uint64_t size = c->guest->page_size;
    uint64_t paddr = pfn * size, len;
    size_t used = slot->used;
    const uint8_t *bytes;
    DumpPagesKind kind;

    do {
        slot->used = used;
        len = n * size;
        kind = dump_pages_get(worker->reader, paddr, &len, &bytes);
        if (len < size) {
            kdump_mixed_page(c, worker, paddr, slot, pages);
            return 1;
        }
        kdump_stretch(c, worker, kind, bytes, slot, pages, len / size);
    } while (!dump_pages_put(worker->reader, paddr, len / size * size));
    if (kind == DUMP_PAGES_LOST) {
        dump_report_add_lost(c->guest->report, len / size * size);
    }
    return len / size;
}

/* Process the @n frames from @pfn on, all of which are in the set. */
static void kdump_run_pages(const KdumpChunks *c, KdumpWorker *worker,
                            uint64_t pfn, unsigned n, KdumpSlot *slot,
                            KdumpPage *pages)
{
    uint64_t size = c->guest->page_size;

    for (unsigned i = 0; i < n; ) {
        i += kdump_some_pages(c, worker, pfn + i, n - i, slot, &pages[i]);
    }
    /* The slot has copies of all data. */
    dump_pages_give(c->guest->pages, pfn * size, n * size);
}

bool kdump_chunk_work(void *opaque, void *p, uint64_t nth, void *q,
                      Error **errp)
{
    const KdumpChunks *c = opaque;
    KdumpSlot *slot = q;
    uint64_t index = kdump_chunks_worked(c, nth);
    uint64_t pfn = pfn_set_nth(c->set, index * c->chunk_pages);
    unsigned i = 0;

    slot->nr_pages = kdump_chunk_pages(c, index);
    slot->used = 0;
    while (i < slot->nr_pages) {
        PfnRun run;
        bool more = pfn_set_next(c->set, pfn, slot->nr_pages - i, &run);

        assert(more);
        kdump_run_pages(c, p, run.first, run.count, slot, &slot->pages[i]);
        i += run.count;
        pfn = run.first + run.count;
    }
    return true;
}
