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
 * the start of a flattened file; bitmap 2 and the main header last, so that
 * a file that was cut short has no signature and is not taken for a dump.
 *
 * When writing fails or is cancelled, the dump is closed as an incomplete
 * one: taken back to a mark, where all pages so far have their data and
 * descriptors in the output, bitmap 2 cut to those. On a full disk the
 * mark is so far back that bitmap and header fit into the room that is
 * given up; without the flattened form their places are reserved beforehand.
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

/* What is gathered before it goes to the sink, at the end of a chunk. */
#define KDUMP_DATA_BATCH        (2 * MiB)
#define KDUMP_DATA_CHUNKS       16
#define KDUMP_DESC_BATCH        (64 * KiB)

#define KDUMP_BITMAP_PIECE      MiB

/* How long a cancelled dump waits for its reader, to be closed properly. */
#define KDUMP_GRACE_MS          300

/* More than what a sink wraps around one write. */
#define KDUMP_WRITE_OVERHEAD    64

/* Page descriptors for one write. */
typedef struct KdumpDescBatch {
    uint64_t pos;               /* in the extent, of the first byte held */
    size_t used;
    size_t size;
    uint8_t *buf;               /* size bytes */
} KdumpDescBatch;

/* Data of chunks for one write, where the workers left it. */
typedef struct KdumpDataBatch {
    uint64_t pos;               /* in the extent, of the first byte held */
    size_t used;
    struct iovec iov[KDUMP_DATA_CHUNKS + 1];    /* and the zero page */
    int niov;
    /* From the slots, and for them in return: together as many as fit. */
    uint8_t *held[KDUMP_DATA_CHUNKS], *spare[KDUMP_DATA_CHUNKS];
    unsigned n_held, n_spare;
} KdumpDataBatch;

/* A state of the dump in which all its pages can be read. */
typedef struct KdumpMark {
    DumpSinkMark sink;
    uint64_t nr_pages;
    uint64_t data_bytes;        /* of page data */
} KdumpMark;

typedef struct KdumpWriter {
    const DumpGuest *guest;
    KdumpChunks chunks;
    DumpProgress *progress;
    DumpLayout *layout;
    uint64_t max_pfn;           /* one past the highest page frame */
    unsigned header, sub_header, bitmap1, bitmap2, descs, data; /* extents */

    /* While it is being written. */
    DumpSink *sink;
    KdumpDataBatch data_batch;
    KdumpDescBatch desc_batch;
    uint64_t nr_done;           /* pages in the batches or the output */
    uint64_t data_pos;          /* bytes of page data handed out */
    uint64_t zero_page;         /* file offset of the zero page, 0: not yet */
    uint8_t *zero_buf;          /* its bytes */
    GArray *marks;              /* KdumpMark, the latest last */
    bool closing;               /* bitmap 2 and header are begun */
} KdumpWriter;

/* -- planning ------------------------------------------------------------ */

static void kdump_free(DumpWriter *opaque)
{
    KdumpWriter *w = (KdumpWriter *)opaque;

    dump_layout_free(w->layout);
    g_array_unref(w->marks);
    for (unsigned i = 0; i < w->data_batch.n_held; i++) {
        g_free(w->data_batch.held[i]);
    }
    for (unsigned i = 0; i < w->data_batch.n_spare; i++) {
        g_free(w->data_batch.spare[i]);
    }
    g_free(w->desc_batch.buf);
    g_free(w->zero_buf);
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
    w->marks = g_array_new(false, false, sizeof(KdumpMark));
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
                               w->chunks.nr_pages * KDUMP_PAGE_DESC_SIZE,
                               block);
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

static bool kdump_flush_descs(KdumpWriter *w, Error **errp)
{
    KdumpDescBatch *b = &w->desc_batch;

    if (b->used && !dump_layout_write(w->layout, w->descs, b->pos, b->buf,
                                      b->used, w->sink, errp)) {
        return false;
    }
    b->pos += b->used;
    b->used = 0;
    return true;
}

static bool kdump_flush_data(KdumpWriter *w, Error **errp)
{
    KdumpDataBatch *b = &w->data_batch;

    if (b->used && !dump_layout_writev(w->layout, w->data, b->pos, b->iov,
                                       b->niov, w->sink, errp)) {
        return false;
    }
    b->pos += b->used;
    b->used = 0;
    b->niov = 0;
    while (b->n_held) {
        b->spare[b->n_spare++] = b->held[--b->n_held];
    }
    return true;
}

/* @data stays where it is until the batch is flushed. */
static void kdump_add_data(KdumpDataBatch *b, uint8_t *data, size_t len)
{
    assert(b->niov < ARRAY_SIZE(b->iov));
    b->iov[b->niov++] = (struct iovec) { data, len };
    b->used += len;
}

/* Keep the slot's data, and give it other room. */
static void kdump_take_data(KdumpWriter *w, KdumpSlot *slot)
{
    KdumpDataBatch *b = &w->data_batch;

    if (slot->used) {
        assert(b->n_spare);
        kdump_add_data(b, slot->data, slot->used);
        b->held[b->n_held++] = slot->data;
        slot->data = b->spare[--b->n_spare];
    }
}

static bool kdump_init_batches(KdumpWriter *w, Error **errp)
{
    KdumpDataBatch *b = &w->data_batch;
    bool ok = true;

    /* With room for a chunk more than what makes it due. */
    w->desc_batch.size = KDUMP_DESC_BATCH + w->chunks.chunk_pages *
                         KDUMP_PAGE_DESC_SIZE;
    w->desc_batch.buf = g_try_malloc(w->desc_batch.size);
    w->zero_buf = g_try_malloc0(w->guest->page_size);
    while (ok && b->n_spare < KDUMP_DATA_CHUNKS) {
        b->spare[b->n_spare] = kdump_chunk_data_new(&w->chunks);
        ok = b->spare[b->n_spare++];
    }
    if (!ok || !w->desc_batch.buf || !w->zero_buf) {
        error_setg(errp, "dump: no memory to gather what is written");
        return false;
    }
    return true;
}

/* What closing the dump still takes: bitmap 2, the header, trailers. */
static uint64_t kdump_closing_bytes(const KdumpWriter *w)
{
    uint64_t bitmap = kdump_bitmap_size(w);

    return bitmap + w->guest->page_size + KDUMP_WRITE_OVERHEAD *
           (DIV_ROUND_UP(bitmap, KDUMP_BITMAP_PIECE) + 3);
}

static const KdumpMark *kdump_mark(const KdumpWriter *w, unsigned i)
{
    return &g_array_index(w->marks, KdumpMark, i);
}

/* Keep the new state, and of the old ones what a full disk may ask for. */
static void kdump_add_mark(KdumpWriter *w)
{
    KdumpMark mark = {
        .sink = dump_sink_mark(w->sink),
        .nr_pages = w->nr_done,
        .data_bytes = w->data_pos,
    };
    uint64_t need = kdump_closing_bytes(w);

    g_array_append_val(w->marks, mark);
    while (w->marks->len > 1 &&
           dump_sink_room(w->sink, &kdump_mark(w, 1)->sink) >= need) {
        g_array_remove_index(w->marks, 0);
    }
}

/* All that was added is to be in the output. */
static bool kdump_sync(KdumpWriter *w, Error **errp)
{
    if (!kdump_flush_data(w, errp) || !kdump_flush_descs(w, errp)) {
        return false;
    }
    kdump_add_mark(w);
    return true;
}

/* All zero pages share one, which is stored as it is: no work to read. */
static void kdump_add_zero_page(KdumpWriter *w)
{
    w->zero_page = dump_layout_offset(w->layout, w->data) + w->data_pos;
    w->data_pos += w->guest->page_size;
    kdump_add_data(&w->data_batch, w->zero_buf, w->guest->page_size);
}

static void kdump_add_page(KdumpWriter *w, const KdumpPage *page)
{
    KdumpDescBatch *batch = &w->desc_batch;
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
    assert(KDUMP_PAGE_DESC_SIZE <= batch->size - batch->used);
    kdump_put_page_desc(&w->guest->abi, &desc, batch->buf + batch->used);
    batch->used += KDUMP_PAGE_DESC_SIZE;
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
    KdumpWriter *w = opaque;
    KdumpSlot *slot = p;
    bool ok = true;

    if (kdump_wants_zero_page(w, slot)) {
        kdump_add_zero_page(w);
    }
    kdump_take_data(w, slot);
    for (unsigned i = 0; i < slot->nr_pages; i++) {
        kdump_add_page(w, &slot->pages[i]);
    }
    w->nr_done += slot->nr_pages;
    if (w->desc_batch.used >= KDUMP_DESC_BATCH) {
        ok = kdump_sync(w, errp);
    } else if (w->data_batch.used >= KDUMP_DATA_BATCH ||
               w->data_batch.n_held == KDUMP_DATA_CHUNKS) {
        ok = kdump_flush_data(w, errp);
    }
    if (ok) {
        dump_progress_advance(w->progress, (uint64_t)slot->nr_pages *
                              w->guest->page_size);
    }
    return ok;
}

static bool kdump_write_pages(KdumpWriter *w, unsigned threads, Error **errp)
{
    static const DumpPipelineOps ops = {
        .slot_new = kdump_chunk_slot_new,
        .slot_free = kdump_chunk_slot_free,
        .worker_new = kdump_chunk_worker_new,
        .worker_free = kdump_chunk_worker_free,
        .work = kdump_chunk_work,
        .consume = kdump_consume,
    };

    return dump_pipeline_run(&ops, &w->chunks, w, threads,
                             kdump_chunks_count(&w->chunks), w->progress,
                             errp) &&
           kdump_sync(w, errp);
}

/* @limit: as in pfn_bitmap_fill. */
static bool kdump_write_bitmap(KdumpWriter *w, unsigned extent,
                               uint64_t limit, Error **errp)
{
    const GArray *runs = w->chunks.runs;
    uint64_t size = dump_layout_size(w->layout, extent);
    g_autofree uint8_t *buf = g_try_malloc(MIN(size, KDUMP_BITMAP_PIECE));

    if (!buf) {
        error_setg(errp, "dump: no memory to make the page bitmap");
        return false;
    }
    for (uint64_t pos = 0; pos < size; pos += KDUMP_BITMAP_PIECE) {
        size_t n = MIN(size - pos, KDUMP_BITMAP_PIECE);

        pfn_bitmap_fill((PfnRun *)runs->data, runs->len, pos * 8, limit,
                        buf, n);
        if (!dump_layout_write(w->layout, extent, pos, buf, n, w->sink,
                               errp)) {
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

static bool kdump_write_sub_header(KdumpWriter *w, Error **errp)
{
    size_t size = dump_layout_size(w->layout, w->sub_header);
    g_autofree uint8_t *buf = g_malloc0(size);

    kdump_fill_sub_header(w, buf);
    return dump_layout_write(w->layout, w->sub_header, 0, buf, size, w->sink,
                             errp);
}

static bool kdump_write_header(KdumpWriter *w, uint32_t status, Error **errp)
{
    const DumpGuest *guest = w->guest;
    uint32_t block = guest->page_size;
    g_autofree uint8_t *buf = g_malloc0(block);
    KdumpHeader hdr = {
        .uts = guest->uts,
        .time_sec = guest->time_sec,
        .time_usec = guest->time_usec,
        .status = w->chunks.codec->kdump_flag | status,
        .block_size = block,
        .sub_hdr_blocks = dump_layout_size(w->layout, w->sub_header) / block,
        .bitmap_blocks = 2 * kdump_bitmap_size(w) / block,
        .max_mapnr = w->max_pfn,
        .nr_cpus = guest->nr_cpus,
    };

    kdump_put_header(&guest->abi, &hdr, buf);
    return dump_layout_write(w->layout, w->header, 0, buf, block, w->sink,
                             errp);
}

/* What comes before the pages, and room for what comes behind them. */
static bool kdump_begin(KdumpWriter *w, Error **errp)
{
    if (!kdump_init_batches(w, errp) ||
        !dump_sink_reserve(w->sink, 0, dump_layout_offset(w->layout, w->data),
                           "headers and page descriptors", errp) ||
        !kdump_write_sub_header(w, errp) ||
        !kdump_write_bitmap(w, w->bitmap1, UINT64_MAX, errp)) {
        return false;
    }
    kdump_add_mark(w);
    return true;
}

/* The dump is to have its first @nr_pages pages. */
static bool kdump_close(KdumpWriter *w, uint64_t nr_pages,
                        uint64_t data_bytes, uint32_t status, Error **errp)
{
    const GArray *runs = w->chunks.runs;
    uint64_t limit = pfn_runs_nth((PfnRun *)runs->data, runs->len, nr_pages);

    w->closing = true;
    dump_progress_set_phase(w->progress, DUMP_PROGRESS_CLOSE);
    return kdump_write_bitmap(w, w->bitmap2, limit, errp) &&
           kdump_write_header(w, status, errp) &&
           dump_sink_finish(w->sink, dump_layout_offset(w->layout, w->data) +
                            data_bytes, errp);
}

/* The latest mark that leaves room for closing the dump; NULL for none. */
static const KdumpMark *kdump_mark_with_room(const KdumpWriter *w)
{
    for (unsigned i = w->marks->len; i--; ) {
        const KdumpMark *mark = kdump_mark(w, i);

        if (dump_sink_room(w->sink, &mark->sink) >= kdump_closing_bytes(w)) {
            return mark;
        }
    }
    return NULL;
}

static bool kdump_close_at(KdumpWriter *w, const KdumpMark *mark)
{
    /* Down a pipe, what is written twice is ambiguous. */
    if (!mark || (w->closing && !dump_sink_rewinds(w->sink))) {
        return false;
    }
    dump_layout_restart(w->layout, w->bitmap2);
    dump_layout_restart(w->layout, w->header);
    return dump_sink_resume(w->sink, &mark->sink, NULL) &&
           kdump_close(w, mark->nr_pages, mark->data_bytes,
                       KDUMP_STATUS_INCOMPLETE, NULL);
}

/*
 * After a failure, save what can be saved; there is nobody to tell. After a
 * cancel the sink is well, and what is at hand costs little.
 */
static void kdump_close_incomplete(KdumpWriter *w)
{
    bool well;

    dump_progress_set_grace(w->progress, KDUMP_GRACE_MS);
    well = w->marks->len && !w->closing && kdump_sync(w, NULL);
    if (!well || !kdump_close_at(w, kdump_mark(w, w->marks->len - 1))) {
        kdump_close_at(w, kdump_mark_with_room(w));
    }
}

static bool kdump_write(DumpWriter *opaque, DumpSink *sink, unsigned threads,
                        Error **errp)
{
    KdumpWriter *w = (KdumpWriter *)opaque;

    w->sink = sink;
    if (kdump_begin(w, errp) &&
        kdump_write_pages(w, threads, errp) &&
        kdump_close(w, w->nr_done, w->data_pos, 0, errp)) {
        assert(dump_layout_complete(w->layout));
        return true;
    }
    kdump_close_incomplete(w);
    return false;
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
