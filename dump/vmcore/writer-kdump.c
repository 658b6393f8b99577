/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * kdump-compressed writer, header version 6.
 *
 *   block 0     main header
 *   block 1     sub header, all notes behind it
 *               bitmap 1: page frames that are RAM
 *               bitmap 2: page frames in the file; the same here
 *               page descriptors, one for each bit of bitmap 2
 *               page data, in the order it was made
 *
 * Pages are compressed by a pipeline of workers, a chunk at a time; this
 * thread takes the chunks in order, numbers their pages' offsets and hands
 * descriptors and data to the sink in large pieces.
 *
 * The sub header is written first, because crash --osrelease looks for it at
 * the start of a flattened file; the main header last, so that a file that
 * was cut short has no signature and is not taken for a dump.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/compiler.h"
#include "qemu/units.h"
#include "kdump-chunk.h"
#include "kdump-format.h"
#include "layout.h"
#include "pipeline.h"
#include "writer.h"

/* What is gathered before it goes to the sink. */
#define KDUMP_BATCH             MiB

/* Gathers consecutive bytes of one extent into large writes. */
typedef struct KdumpBatch {
    DumpLayout *layout;
    unsigned extent;
    uint64_t pos;               /* in the extent, of the first byte held */
    size_t used;
    uint8_t *buf;               /* KDUMP_BATCH bytes */
} KdumpBatch;

typedef struct KdumpWriter {
    const DumpGuest *guest;
    KdumpChunks chunks;
    DumpProgress *progress;
    DumpLayout *layout;
    uint64_t max_pfn;           /* one past the highest page frame */
    unsigned header, sub_header, bitmap1, bitmap2, descs, data; /* extents */

    /* While it is being written. */
    DumpSink *sink;
    KdumpBatch data_batch, desc_batch;
    uint64_t data_pos;          /* bytes of page data handed out */
    uint64_t zero_page;         /* file offset of the zero page, 0: not yet */
} KdumpWriter;

/* -- planning ------------------------------------------------------------ */

static void kdump_free(DumpWriter *opaque)
{
    KdumpWriter *w = (KdumpWriter *)opaque;

    dump_layout_free(w->layout);
    kdump_chunks_deinit(&w->chunks);
    g_free(w);
}

static KdumpWriter *kdump_new(const DumpFormat *format,
                              const DumpGuest *guest, DumpProgress *progress)
{
    KdumpWriter *w = g_new0(KdumpWriter, 1);

    w->guest = guest;
    w->progress = progress;
    w->layout = dump_layout_new();
    w->max_pfn = guest_ram_max_pfn(&guest->ram, guest->page_size);
    kdump_chunks_init(&w->chunks, guest, dump_codec_find(format->codec));
    return w;
}

/* Bytes of one bitmap in the file: whole blocks. */
static uint64_t kdump_bitmap_size(const KdumpWriter *w)
{
    return ROUND_UP(DIV_ROUND_UP(w->max_pfn, 8),
                    (uint64_t)w->guest->page_size);
}

static uint64_t kdump_sub_header_bytes(const KdumpWriter *w)
{
    return kdump_sub_header_size(&w->guest->abi) + w->guest->notes->len;
}

/*
 * The header counts the bitmaps' blocks in 32 bits, and as an int in some
 * readers; with 4 KiB pages that is 2^45 page frames, or 2^57 bytes.
 */
static bool kdump_check_size(const KdumpWriter *w, Error **errp)
{
    if (!w->chunks.nr_pages) {
        error_setg(errp, "dump: the guest has no memory to dump");
        return false;
    }
    if (2 * kdump_bitmap_size(w) / w->guest->page_size > INT32_MAX) {
        error_setg(errp, "dump: guest memory is too large for a "
                   "kdump-compressed file");
        return false;
    }
    return true;
}

static void kdump_lay_out(KdumpWriter *w)
{
    uint64_t block = w->guest->page_size;
    uint64_t bitmap = kdump_bitmap_size(w);
    DumpLayout *l = w->layout;

    w->header = dump_layout_add(l, "kdump header", block, block);
    w->sub_header = dump_layout_add(l, "kdump sub header and notes",
                                    ROUND_UP(kdump_sub_header_bytes(w),
                                             block), block);
    w->bitmap1 = dump_layout_add(l, "page bitmap", bitmap, block);
    w->bitmap2 = dump_layout_add(l, "page bitmap", bitmap, block);
    w->descs = dump_layout_add(l, "page descriptors",
                               w->chunks.nr_pages * KDUMP_PAGE_DESC_SIZE, block);
    w->data = dump_layout_add(l, "page data", DUMP_EXTENT_OPEN, block);
}

static DumpWriter *kdump_plan(const DumpFormat *format,
                              const DumpGuest *guest, DumpProgress *progress,
                              Error **errp)
{
    KdumpWriter *w = kdump_new(format, guest, progress);

    if (!kdump_check_size(w, errp)) {
        kdump_free((DumpWriter *)w);
        return NULL;
    }
    kdump_lay_out(w);
    dump_progress_set_total(progress, w->chunks.nr_pages * guest->page_size);
    return (DumpWriter *)w;
}

static uint64_t kdump_file_size(const DumpWriter *opaque)
{
    return UINT64_MAX;
}

/* -- writing ------------------------------------------------------------ */

static void kdump_batch_init(KdumpBatch *b, DumpLayout *layout,
                             unsigned extent)
{
    *b = (KdumpBatch) { .layout = layout, .extent = extent };
    b->buf = g_malloc(KDUMP_BATCH);
}

static bool kdump_batch_flush(KdumpBatch *b, DumpSink *sink, Error **errp)
{
    if (b->used && !dump_layout_write(b->layout, b->extent, b->pos, b->buf,
                                      b->used, sink, errp)) {
        return false;
    }
    b->pos += b->used;
    b->used = 0;
    return true;
}

static bool kdump_batch_add(KdumpBatch *b, const void *buf, size_t len,
                            DumpSink *sink, Error **errp)
{
    while (len) {
        size_t n = MIN(len, KDUMP_BATCH - b->used);

        memcpy(b->buf + b->used, buf, n);
        b->used += n;
        buf = (const uint8_t *)buf + n;
        len -= n;
        if (b->used == KDUMP_BATCH && !kdump_batch_flush(b, sink, errp)) {
            return false;
        }
    }
    return true;
}

/* All zero pages share one, which is stored as it is: no work to read. */
static bool kdump_add_zero_page(KdumpWriter *w, Error **errp)
{
    g_autofree uint8_t *zero = g_malloc0(w->guest->page_size);

    w->zero_page = dump_layout_offset(w->layout, w->data) + w->data_pos;
    w->data_pos += w->guest->page_size;
    return kdump_batch_add(&w->data_batch, zero, w->guest->page_size, w->sink,
                           errp);
}

static bool kdump_add_page(KdumpWriter *w, const KdumpPage *page,
                           Error **errp)
{
    uint8_t buf[KDUMP_PAGE_DESC_SIZE];
    KdumpPageDesc desc = {
        .offset = w->zero_page,
        .size = w->guest->page_size,
    };

    if (page->size) {
        desc.offset = dump_layout_offset(w->layout, w->data) + w->data_pos;
        desc.size = page->size;
        desc.flags = page->flags;
        w->data_pos += page->size;
    }
    kdump_put_page_desc(&w->guest->abi, &desc, buf);
    return kdump_batch_add(&w->desc_batch, buf, sizeof(buf), w->sink, errp);
}

/* Does the chunk need the shared zero page, which is not there yet? */
static bool kdump_wants_zero_page(const KdumpWriter *w, const KdumpSlot *slot)
{
    for (unsigned i = 0; !w->zero_page && i < slot->nr_pages; i++) {
        if (!slot->pages[i].size) {
            return true;
        }
    }
    return false;
}

static bool kdump_consume(void *opaque, uint64_t index, void *p, Error **errp)
{
    KdumpWriter *w = container_of(opaque, KdumpWriter, chunks);
    const KdumpSlot *slot = p;

    if (kdump_wants_zero_page(w, slot) && !kdump_add_zero_page(w, errp)) {
        return false;
    }
    for (unsigned i = 0; i < slot->nr_pages; i++) {
        if (!kdump_add_page(w, &slot->pages[i], errp)) {
            return false;
        }
    }
    if (!kdump_batch_add(&w->data_batch, slot->data, slot->used, w->sink,
                         errp)) {
        return false;
    }
    dump_progress_advance(w->progress,
                          (uint64_t)slot->nr_pages * w->guest->page_size);
    return true;
}

static bool kdump_write_pages(KdumpWriter *w, DumpSink *sink,
                              unsigned threads, Error **errp)
{
    static const DumpPipelineOps ops = {
        .slot_new = kdump_chunk_slot_new,
        .slot_free = kdump_chunk_slot_free,
        .worker_new = kdump_chunk_worker_new,
        .worker_free = kdump_chunk_worker_free,
        .work = kdump_chunk_work,
        .consume = kdump_consume,
    };
    bool ok;

    w->sink = sink;
    kdump_batch_init(&w->data_batch, w->layout, w->data);
    kdump_batch_init(&w->desc_batch, w->layout, w->descs);
    ok = dump_pipeline_run(&ops, &w->chunks, threads,
                           kdump_chunks_count(&w->chunks), w->progress,
                           errp) &&
         kdump_batch_flush(&w->desc_batch, sink, errp) &&
         kdump_batch_flush(&w->data_batch, sink, errp);
    g_free(w->data_batch.buf);
    g_free(w->desc_batch.buf);
    return ok;
}

static bool kdump_write_bitmap(KdumpWriter *w, unsigned extent,
                               DumpSink *sink, Error **errp)
{
    const GArray *runs = w->chunks.runs;
    uint64_t size = dump_layout_size(w->layout, extent);
    g_autofree uint8_t *buf = g_malloc(KDUMP_BATCH);

    for (uint64_t pos = 0; pos < size; pos += KDUMP_BATCH) {
        size_t n = MIN(size - pos, KDUMP_BATCH);

        pfn_bitmap_fill((PfnRun *)runs->data, runs->len, pos * 8, UINT64_MAX,
                        buf, n);
        if (!dump_layout_write(w->layout, extent, pos, buf, n, sink, errp)) {
            return false;
        }
    }
    return true;
}

static void kdump_fill_sub_header(const KdumpWriter *w, uint8_t *buf)
{
    const DumpGuest *guest = w->guest;
    size_t sub_size = kdump_sub_header_size(&guest->abi);
    uint64_t note = dump_layout_offset(w->layout, w->sub_header) + sub_size;
    KdumpSubHeader sub = {
        .phys_base = guest->phys_base,
        .offset_note = note,
        .size_note = guest->notes->len,
        .max_mapnr = w->max_pfn,
    };

    if (guest->vmcoreinfo_size) {
        sub.offset_vmcoreinfo = note + guest->vmcoreinfo_pos;
        sub.size_vmcoreinfo = guest->vmcoreinfo_size;
    }
    kdump_put_sub_header(&guest->abi, &sub, buf);
    if (guest->notes->len) {
        memcpy(buf + sub_size, guest->notes->data, guest->notes->len);
    }
}

static bool kdump_write_sub_header(KdumpWriter *w, DumpSink *sink,
                                   Error **errp)
{
    size_t size = dump_layout_size(w->layout, w->sub_header);
    g_autofree uint8_t *buf = g_malloc0(size);

    kdump_fill_sub_header(w, buf);
    return dump_layout_write(w->layout, w->sub_header, 0, buf, size, sink,
                             errp);
}

static bool kdump_write_header(KdumpWriter *w, DumpSink *sink, Error **errp)
{
    const DumpGuest *guest = w->guest;
    uint32_t block = guest->page_size;
    g_autofree uint8_t *buf = g_malloc0(block);
    KdumpHeader hdr = {
        .uts = guest->uts,
        .time_sec = guest->time_sec,
        .time_usec = guest->time_usec,
        .status = w->chunks.codec->kdump_flag,
        .block_size = block,
        .sub_hdr_blocks = dump_layout_size(w->layout, w->sub_header) / block,
        .bitmap_blocks = 2 * kdump_bitmap_size(w) / block,
        .max_mapnr = w->max_pfn,
        .nr_cpus = guest->nr_cpus,
    };

    kdump_put_header(&guest->abi, &hdr, buf);
    return dump_layout_write(w->layout, w->header, 0, buf, block, sink, errp);
}

static bool kdump_write(DumpWriter *opaque, DumpSink *sink, unsigned threads,
                        Error **errp)
{
    KdumpWriter *w = (KdumpWriter *)opaque;

    if (!kdump_write_sub_header(w, sink, errp) ||
        !kdump_write_pages(w, sink, threads, errp) ||
        !kdump_write_bitmap(w, w->bitmap1, sink, errp) ||
        !kdump_write_bitmap(w, w->bitmap2, sink, errp) ||
        !kdump_write_header(w, sink, errp)) {
        return false;
    }
    assert(dump_layout_complete(w->layout));
    return dump_sink_finish(sink, dump_layout_end(w->layout), errp);
}

static bool kdump_available(const DumpFormat *format)
{
    return dump_codec_find(format->codec) != NULL;
}

const DumpWriterOps dump_writer_kdump = {
    .kind = DUMP_KIND_KDUMP,
    .available = kdump_available,
    .plan = kdump_plan,
    .file_size = kdump_file_size,
    .write = kdump_write,
    .free = kdump_free,
};
