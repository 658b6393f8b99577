/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Batches of page descriptors and page data; see the header.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/units.h"
#include "kdump-batch.h"
#include "spare.h"

/* Size in bytes at which a batch is due; checked after each chunk. */
#define KDUMP_DATA_BATCH        (2 * MiB)
#define KDUMP_DESC_BATCH        (64 * KiB)

bool kdump_desc_batch_init(KdumpDescBatch *b, unsigned chunk_pages,
                           Error **errp)
{
    *b = (KdumpDescBatch) {
        .size = KDUMP_DESC_BATCH + chunk_pages * KDUMP_PAGE_DESC_SIZE,
    };
    b->buf = g_try_malloc(b->size);
    if (!b->buf) {
        dump_no_memory(errp, "to buffer the output");
    }
    return b->buf;
}

void kdump_desc_batch_deinit(KdumpDescBatch *b)
{
    g_free(b->buf);
}

void kdump_desc_batch_add(KdumpDescBatch *b, const DumpAbi *abi,
                          const KdumpPageDesc *desc)
{
    assert(KDUMP_PAGE_DESC_SIZE <= b->size - b->used);
    kdump_put_page_desc(abi, desc, b->buf + b->used);
    b->same = MIN(b->same, b->used);
    b->used += KDUMP_PAGE_DESC_SIZE;
}

void kdump_desc_batch_add_same(KdumpDescBatch *b, const DumpAbi *abi,
                               const KdumpPageDesc *desc, unsigned n)
{
    size_t end = b->used + (size_t)n * KDUMP_PAGE_DESC_SIZE;
    size_t from = MAX(b->used, b->used <= b->same ? b->same : 0);
    size_t at = from;

    assert(end <= b->size);
    if (at < end) {
        kdump_put_page_desc(abi, desc, b->buf + at);
        at += KDUMP_PAGE_DESC_SIZE;
    }
    while (at < end) {
        size_t len = MIN(at - from, end - at);

        memcpy(b->buf + at, b->buf + from, len);
        at += len;
    }
    if (b->used <= b->same) {
        b->same = MAX(b->same, end);
    }
    b->used = end;
}

bool kdump_desc_batch_due(const KdumpDescBatch *b)
{
    return b->used >= KDUMP_DESC_BATCH;
}

bool kdump_desc_batch_flush(KdumpDescBatch *b, const KdumpLayout *l,
                            DumpSink *sink, Error **errp)
{
    if (b->used && !dump_layout_write(l->file, l->descs, b->pos, b->buf,
                                      b->used, sink, errp)) {
        return false;
    }
    b->pos += b->used;
    b->used = 0;
    return true;
}

/*
 * Allocate spare buffers, but at most half of what is available: batches work
 * without them, while other users of memory may not.
 */
static void kdump_make_spares(KdumpDataBatch *b, const KdumpChunks *chunks)
{
    uint8_t *got[2 * KDUMP_DATA_CHUNKS];
    unsigned n = 0;

    while (n < ARRAY_SIZE(got)) {
        got[n] = kdump_chunk_data_new(chunks);
        if (!got[n]) {
            break;
        }
        n++;
    }
    while (b->n_spare < n / 2) {
        b->spare[b->n_spare] = got[b->n_spare];
        b->n_spare++;
    }
    while (n > b->n_spare) {
        g_free(got[--n]);
    }
}

bool kdump_data_batch_init(KdumpDataBatch *b, const KdumpChunks *chunks,
                           Error **errp)
{
    *b = (KdumpDataBatch) { .zero_size = chunks->guest->page_size };
    b->zero = g_try_malloc0(b->zero_size);
    if (!b->zero) {
        dump_no_memory(errp, "to buffer the output");
        return false;
    }
    kdump_make_spares(b, chunks);
    return true;
}

void kdump_data_batch_deinit(KdumpDataBatch *b)
{
    for (unsigned i = 0; i < b->n_held; i++) {
        g_free(b->held[i]);
    }
    for (unsigned i = 0; i < b->n_spare; i++) {
        g_free(b->spare[i]);
    }
    g_free(b->zero);
}

/* @data must stay valid until the batch is flushed. */
static void kdump_add_data(KdumpDataBatch *b, uint8_t *data, size_t len)
{
    assert(b->niov < ARRAY_SIZE(b->iov));
    b->iov[b->niov++] = (struct iovec) { data, len };
    b->used += len;
}

void kdump_data_batch_add_zero_page(KdumpDataBatch *b)
{
    kdump_add_data(b, b->zero, b->zero_size);
}

void kdump_data_batch_add(KdumpDataBatch *b, KdumpSlot *slot)
{
    if (slot->used) {
        assert(b->n_held < KDUMP_DATA_CHUNKS);
        kdump_add_data(b, slot->data, slot->used);
        b->held[b->n_held++] = g_steal_pointer(&slot->data);
        if (b->n_spare) {
            slot->data = b->spare[--b->n_spare];
        }
    }
}

void kdump_data_batch_give_room(KdumpDataBatch *b, KdumpSlot *slot)
{
    if (!slot->data) {
        assert(b->n_spare);
        slot->data = b->spare[--b->n_spare];
    }
}

bool kdump_data_batch_due(const KdumpDataBatch *b)
{
    return b->used >= KDUMP_DATA_BATCH || (b->n_held && !b->n_spare);
}

bool kdump_data_batch_flush(KdumpDataBatch *b, const KdumpLayout *l,
                            DumpSink *sink, Error **errp)
{
    if (b->used && !dump_layout_writev(l->file, l->data, b->pos, b->iov,
                                       b->niov, sink, errp)) {
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
