/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * kdump-compressed writer, header version 6. See kdump-layout.h for the file.
 *
 * Pages are compressed by a pipeline of workers, one chunk at a time. The
 * writing thread consumes the chunks in order, assigns file offsets to their
 * pages and passes descriptors and data to the sink in large writes. Chunks of
 * untouched memory are found in advance and bypass the workers.
 *
 * The sub header is written first, because crash --osrelease expects it at the
 * start of a flattened file. Bitmap 2 and the main header are written last, so
 * that a truncated file has no signature and is not taken for a dump; that of
 * an older dump in the output is removed first.
 *
 * When writing fails or is cancelled, the dump is closed as an incomplete one:
 * it is rewound to a mark at which all pages so far have their data and
 * descriptors in the output, and bitmap 2 is limited to these pages. On a full
 * disk, a mark is chosen that frees enough space for the bitmap and the header.
 * If the file is not flattened, their space is reserved in advance.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "kdump-batch.h"
#include "kdump-marks.h"
#include "kdump-missing.h"
#include "pipeline.h"
#include "writer.h"

/* How long closing a cancelled dump may wait for the reader of a pipe. */
#define KDUMP_GRACE_MS          300

typedef struct KdumpWriter {
    DumpWriter parent;
    unsigned threads;           /* as in dump_pipeline_run */
    KdumpChunks chunks;
    KdumpLayout parts;

    /* State of writing. */
    DumpSink *sink;
    KdumpDataBatch data_batch;
    KdumpDescBatch desc_batch;
    KdumpMarks marks;
    uint64_t next_chunk;        /* chunks before this one are done */
    uint64_t nr_done;           /* pages in the batches or the output */
    KdumpMissing missing;       /* pages of nr_done that are not in the file */
    uint64_t data_pos;          /* bytes of page data assigned so far */
    uint64_t zero_page;         /* file offset of the zero page, 0: not yet */
    bool closing;               /* writing of bitmap 2 has begun */
} KdumpWriter;

static void kdump_release(DumpWriter *parent)
{
    KdumpWriter *w = container_of(parent, KdumpWriter, parent);

    kdump_missing_deinit(&w->missing);
    kdump_marks_deinit(&w->marks);
    kdump_data_batch_deinit(&w->data_batch);
    kdump_desc_batch_deinit(&w->desc_batch);
    kdump_chunks_deinit(&w->chunks);
}

static bool kdump_plan(DumpWriter *parent, const DumpFormat *format,
                       uint64_t *total, Error **errp)
{
    KdumpWriter *w = container_of(parent, KdumpWriter, parent);

    w->threads = format->threads;
    if (!kdump_chunks_init(&w->chunks, parent->guest,
                           dump_codec_find(format->codec), errp)) {
        return false;
    }
    *total = w->chunks.nr_pages * parent->guest->page_size;
    return kdump_layout_init(&w->parts, parent->guest, &w->chunks,
                             parent->layout, errp);
}

static bool kdump_flush_data(KdumpWriter *w, Error **errp)
{
    return kdump_data_batch_flush(&w->data_batch, &w->parts, w->sink, errp);
}

/* Flush the batches to the output, and add a mark. */
static bool kdump_sync(KdumpWriter *w, Error **errp)
{
    if (!kdump_flush_data(w, errp) ||
        !kdump_desc_batch_flush(&w->desc_batch, &w->parts, w->sink, errp) ||
        !dump_sink_sync(w->sink, errp)) {
        return false;
    }
    kdump_marks_add(&w->marks, w->nr_done, w->data_pos);
    return true;
}

/*
 * All zero pages share one page of data, which is stored uncompressed: it is
 * cheap to read.
 */
static void kdump_add_zero_page(KdumpWriter *w)
{
    w->zero_page = kdump_layout_data(&w->parts) + w->data_pos;
    w->data_pos += w->parent.guest->page_size;
    kdump_data_batch_add_zero_page(&w->data_batch);
}

/* The next page is not in the file; it has no descriptor either. */
static void kdump_add_missing(KdumpWriter *w)
{
    kdump_missing_add(&w->missing, pfn_set_nth(w->chunks.set, w->nr_done));
}

static void kdump_add_desc(KdumpWriter *w, const KdumpPage *page)
{
    KdumpPageDesc desc = {
        .offset = w->zero_page,
        .size = w->parent.guest->page_size,
    };

    if (page->size) {
        desc.offset = kdump_layout_data(&w->parts) + w->data_pos;
        desc.size = page->size;
        desc.flags = page->flags;
        w->data_pos += page->size;
    }
    kdump_desc_batch_add(&w->desc_batch, &w->parent.guest->abi, &desc);
}

static void kdump_add_page(KdumpWriter *w, const KdumpPage *page)
{
    if (page->missing) {
        kdump_add_missing(w);
    } else {
        kdump_add_desc(w, page);
    }
    w->nr_done++;
}

/* Does the chunk need the shared zero page, and is that not yet added? */
static bool kdump_wants_zero_page(const KdumpWriter *w, const KdumpSlot *slot)
{
    for (unsigned i = 0; !w->zero_page && i < slot->nr_pages; i++) {
        if (!slot->pages[i].size && !slot->pages[i].missing) {
            return true;
        }
    }
    return false;
}

/* Called after a chunk of @nr_pages pages was added. */
static bool kdump_end_chunk(KdumpWriter *w, unsigned nr_pages, Error **errp)
{
    w->next_chunk++;
    if (kdump_desc_batch_due(&w->desc_batch)) {
        if (!kdump_sync(w, errp)) {
            return false;
        }
    } else if (kdump_data_batch_due(&w->data_batch)) {
        if (!kdump_flush_data(w, errp)) {
            return false;
        }
    }
    dump_progress_advance(w->parent.progress, (uint64_t)nr_pages *
                          w->parent.guest->page_size);
    return true;
}

/* Add a chunk of untouched memory, without reading it. */
static bool kdump_add_untouched(KdumpWriter *w, Error **errp)
{
    unsigned n = kdump_chunk_pages(&w->chunks, w->next_chunk);
    KdumpPageDesc desc = { .size = w->parent.guest->page_size };

    if (dump_progress_cancelled(w->parent.progress)) {
        error_setg(errp, "dump: cancelled");
        return false;
    }
    if (!w->zero_page) {
        kdump_add_zero_page(w);
    }
    desc.offset = w->zero_page;
    kdump_desc_batch_add_same(&w->desc_batch, &w->parent.guest->abi, &desc, n);
    w->nr_done += n;
    return kdump_end_chunk(w, n, errp);
}

/* Add all chunks before @end, which are untouched. */
static bool kdump_add_untouched_to(KdumpWriter *w, uint64_t end, Error **errp)
{
    while (w->next_chunk < end) {
        if (!kdump_add_untouched(w, errp)) {
            return false;
        }
    }
    return true;
}

static bool kdump_consume(void *opaque, uint64_t nth, void *p, Error **errp)
{
    KdumpWriter *w = opaque;
    KdumpSlot *slot = p;

    if (!kdump_add_untouched_to(w, kdump_chunks_worked(&w->chunks, nth),
                                errp)) {
        return false;
    }
    if (!kdump_missing_reserve(&w->missing, slot, errp)) {
        return false;
    }
    if (kdump_wants_zero_page(w, slot)) {
        kdump_add_zero_page(w);
    }
    kdump_data_batch_add(&w->data_batch, slot);
    for (unsigned i = 0; i < slot->nr_pages; i++) {
        kdump_add_page(w, &slot->pages[i]);
    }
    if (!kdump_end_chunk(w, slot->nr_pages, errp)) {
        return false;
    }
    kdump_data_batch_give_room(&w->data_batch, slot);
    return true;
}

static bool kdump_write_pages(KdumpWriter *w, Error **errp)
{
    static const DumpPipelineOps ops = {
        .slot_new = kdump_chunk_slot_new,
        .slot_free = kdump_chunk_slot_free,
        .worker_new = kdump_chunk_worker_new,
        .worker_free = kdump_chunk_worker_free,
        .work = kdump_chunk_work,
        .consume = kdump_consume,
    };

    return dump_pipeline_run(&ops, &w->chunks, w, w->threads,
                             kdump_chunks_nr_worked(&w->chunks),
                             w->parent.progress, errp) &&
           kdump_add_untouched_to(w, kdump_chunks_count(&w->chunks), errp) &&
           kdump_sync(w, errp) &&
           kdump_layout_fill_descs(&w->parts, w->nr_done - w->missing.nr_pages,
                                   w->sink, errp);
}

/* Remove the signature of an older dump. */
static bool kdump_wipe_signature(KdumpWriter *w, Error **errp)
{
    static const uint8_t zero[sizeof(KDUMP_SIGNATURE) - 1];

    return dump_sink_has_holes(w->sink) ||
           dump_sink_write(w->sink, 0, zero, sizeof(zero), "kdump header",
                           errp);
}

/* Write what precedes the pages, and reserve space for the rest. */
static bool kdump_begin(KdumpWriter *w, Error **errp)
{
    kdump_marks_init(&w->marks, w->sink,
                     kdump_layout_closing_bytes(&w->parts));
    if (!kdump_desc_batch_init(&w->desc_batch, w->chunks.chunk_pages, errp) ||
        !kdump_data_batch_init(&w->data_batch, &w->chunks, errp) ||
        !dump_sink_reserve(w->sink, 0, kdump_layout_data(&w->parts),
                           "headers and page descriptors", errp) ||
        !kdump_wipe_signature(w, errp) ||
        !kdump_layout_write_sub_header(&w->parts, w->sink, errp) ||
        !kdump_layout_write_bitmap1(&w->parts, w->sink, errp) ||
        !dump_sink_sync(w->sink, errp)) {
        return false;
    }
    kdump_marks_add(&w->marks, 0, 0);
    return true;
}

/* Close the dump with its first @nr_pages pages. */
static bool kdump_close(KdumpWriter *w, uint64_t nr_pages,
                        uint64_t data_bytes, bool incomplete, Error **errp)
{
    w->closing = true;
    dump_progress_set_phase(w->parent.progress, DUMP_PROGRESS_CLOSE);
    return kdump_layout_write_bitmap2(&w->parts, nr_pages, &w->missing,
                                      w->sink, errp) &&
           dump_sink_sync(w->sink, errp) &&
           kdump_layout_write_header(&w->parts, incomplete, w->sink, errp) &&
           dump_sink_finish(w->sink, kdump_layout_data(&w->parts) +
                            data_bytes, errp);
}

static bool kdump_close_at(KdumpWriter *w, const KdumpMark *mark)
{
    /* On a stream an extent must not be written twice. */
    if (!mark || (w->closing && !dump_sink_rewinds(w->sink))) {
        return false;
    }
    kdump_layout_restart_closing(&w->parts);
    return dump_sink_resume(w->sink, &mark->sink, NULL) &&
           kdump_close(w, mark->nr_pages, mark->data_bytes, true, NULL);
}

/*
 * Close as an incomplete dump after a failure or cancellation. Errors are
 * ignored: the original one is reported. After a cancellation the sink still
 * works, so the batches are flushed first.
 */
static void kdump_close_incomplete(KdumpWriter *w)
{
    bool flushed;

    dump_progress_set_grace(w->parent.progress, KDUMP_GRACE_MS);
    flushed = kdump_marks_last(&w->marks) && !w->closing && kdump_sync(w, NULL);
    if (!flushed || !kdump_close_at(w, kdump_marks_last(&w->marks))) {
        kdump_close_at(w, kdump_marks_with_room(&w->marks));
    }
}

static bool kdump_write(DumpWriter *parent, DumpSink *sink, Error **errp)
{
    KdumpWriter *w = container_of(parent, KdumpWriter, parent);

    w->sink = sink;
    kdump_chunks_give_rest(&w->chunks);
    if (kdump_begin(w, errp) &&
        kdump_chunks_find_untouched(&w->chunks, w->parent.progress, errp) &&
        kdump_write_pages(w, errp) &&
        kdump_close(w, w->nr_done, w->data_pos, false, errp)) {
        assert(dump_layout_complete(w->parent.layout));
        return true;
    }
    kdump_close_incomplete(w);
    return false;
}

static bool kdump_available(const DumpFormat *format)
{
    return dump_codec_find(format->codec) != NULL;
}

/* Bitmap 2 and the header precede the pages, but are written last. */
static const char *kdump_must_seek(const DumpFormat *format)
{
    return format->flat ? NULL :
           "kdump-raw formats require a seekable output; "
           "use a flattened format for a pipe";
}

const DumpWriterOps dump_writer_kdump = {
    .kind = DUMP_KIND_KDUMP,
    .size = sizeof(KdumpWriter),
    .low_memory = true,
    .ends_with_ram = true,
    .must_seek = kdump_must_seek,
    .available = kdump_available,
    .plan = kdump_plan,
    .write = kdump_write,
    .release = kdump_release,
};
