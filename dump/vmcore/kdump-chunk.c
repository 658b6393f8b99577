/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Chunks of guest pages, compressed by the workers of a pipeline.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "kdump-chunk.h"

/* Guest memory that a worker compresses at a time. */
#define KDUMP_CHUNK             (512 * KiB)

typedef struct KdumpWorker {
    void *codec;                /* the codec's state */
    uint8_t *scratch;           /* a page that no single run holds */
} KdumpWorker;

void kdump_chunks_init(KdumpChunks *chunks, const DumpGuest *guest,
                       const DumpCodec *codec)
{
    chunks->guest = guest;
    chunks->codec = codec;
    chunks->runs = guest_ram_pfn_runs(&guest->ram, guest->page_size);
    chunks->nr_pages = pfn_runs_count((PfnRun *)chunks->runs->data,
                                      chunks->runs->len);
    chunks->chunk_pages = MAX(KDUMP_CHUNK / guest->page_size, 1);
}

void kdump_chunks_deinit(KdumpChunks *chunks)
{
    g_array_unref(chunks->runs);
}

uint64_t kdump_chunks_count(const KdumpChunks *chunks)
{
    return DIV_ROUND_UP(chunks->nr_pages, chunks->chunk_pages);
}

size_t kdump_chunk_bytes(const KdumpChunks *chunks)
{
    return (size_t)chunks->chunk_pages * chunks->guest->page_size;
}

void kdump_chunk_slot_free(void *opaque, void *p)
{
    KdumpSlot *slot = p;

    g_free(slot->pages);
    g_free(slot->data);
    g_free(slot);
}

uint8_t *kdump_chunk_data_new(const KdumpChunks *chunks)
{
    size_t page = chunks->guest->page_size;

    /* The last page may need the codec's full room, then be stored raw. */
    return g_try_malloc(page * (chunks->chunk_pages - 1) +
                        MAX(chunks->codec->bound(page), page));
}

void *kdump_chunk_slot_new(void *opaque, Error **errp)
{
    const KdumpChunks *c = opaque;
    KdumpSlot *slot = g_new0(KdumpSlot, 1);

    slot->pages = g_try_new(KdumpPage, c->chunk_pages);
    slot->data = kdump_chunk_data_new(c);
    if (!slot->pages || !slot->data) {
        error_setg(errp, "dump: no memory to compress pages");
        kdump_chunk_slot_free(opaque, slot);
        return NULL;
    }
    return slot;
}

void kdump_chunk_worker_free(void *opaque, void *p)
{
    const KdumpChunks *c = opaque;
    KdumpWorker *worker = p;

    c->codec->destroy(worker->codec);
    g_free(worker->scratch);
    g_free(worker);
}

void *kdump_chunk_worker_new(void *opaque, Error **errp)
{
    const KdumpChunks *c = opaque;
    KdumpWorker *worker;
    void *codec = c->codec->create(errp);

    if (!codec) {
        return NULL;
    }
    worker = g_new0(KdumpWorker, 1);
    worker->codec = codec;
    worker->scratch = g_malloc(c->guest->page_size);
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

/* What is known of memory around the page in hand. */
typedef struct KdumpProbe {
    uint64_t start, end;        /* guest-physical bytes that it is for */
    bool untouched;
} KdumpProbe;

/*
 * Is the page known to be zero without a look at it? @ahead: bytes from
 * there on that will be asked for too.
 */
static bool kdump_untouched(const DumpGuest *guest, KdumpProbe *probe,
                            uint64_t paddr, uint64_t ahead)
{
    uint64_t len = ahead;

    if (paddr < probe->start || paddr >= probe->end) {
        probe->untouched = dump_untouched_probe(guest->untouched, &guest->ram,
                                                paddr, &len);
        probe->start = paddr;
        probe->end = paddr + len;
    }
    /* A page that is only partly so is read. */
    return probe->untouched && probe->end - paddr >= guest->page_size;
}

bool kdump_chunk_work(void *opaque, void *p, uint64_t index, void *q,
                      Error **errp)
{
    const KdumpChunks *c = opaque;
    KdumpWorker *worker = p;
    KdumpSlot *slot = q;
    uint64_t first = index * c->chunk_pages;
    const PfnRun *runs = (const PfnRun *)c->runs->data;
    KdumpProbe probe = { 0 };
    size_t r = 0;

    slot->nr_pages = MIN(c->chunk_pages, c->nr_pages - first);
    slot->used = 0;
    for (; first >= runs[r].count; r++) {
        first -= runs[r].count;
    }
    for (unsigned i = 0; i < slot->nr_pages; i++, first++) {
        uint64_t pfn, ahead;

        if (first == runs[r].count) {
            r++;
            first = 0;
        }
        pfn = runs[r].first + first;
        ahead = MIN(slot->nr_pages - i, runs[r].count - first);
        if (kdump_untouched(c->guest, &probe, pfn * c->guest->page_size,
                            ahead * c->guest->page_size)) {
            slot->pages[i] = (KdumpPage) { 0 };
            continue;
        }
        kdump_compress_page(c, worker,
                            guest_ram_page(&c->guest->ram, pfn,
                                           c->guest->page_size,
                                           worker->scratch),
                            slot, &slot->pages[i]);
    }
    return true;
}
