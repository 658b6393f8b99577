/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Batches of page descriptors and page data of a kdump-compressed file, passed
 * to the sink in large writes. Used by one thread.
 */

#ifndef DUMP_VMCORE_KDUMP_BATCH_H
#define DUMP_VMCORE_KDUMP_BATCH_H

#include "kdump-format.h"
#include "kdump-layout.h"

/* Maximum number of chunks per write. */
#define KDUMP_DATA_CHUNKS       16

/* Page descriptors for one write. */
typedef struct KdumpDescBatch {
    uint64_t pos;               /* in the extent, of the first byte held */
    size_t used;
    size_t size;
    size_t same;                /* bytes known to hold add_same's desc */
    uint8_t *buf;               /* size bytes */
} KdumpDescBatch;

/* Allocate room for @chunk_pages more descriptors than make it due. */
bool kdump_desc_batch_init(KdumpDescBatch *b, unsigned chunk_pages,
                           Error **errp);
void kdump_desc_batch_deinit(KdumpDescBatch *b);

void kdump_desc_batch_add(KdumpDescBatch *b, const DumpAbi *abi,
                          const KdumpPageDesc *desc);

/*
 * Add @desc @n times. It must be the same in all calls: copies that the
 * previous batch has left in the buffer are reused.
 */
void kdump_desc_batch_add_same(KdumpDescBatch *b, const DumpAbi *abi,
                               const KdumpPageDesc *desc, unsigned n);

/* Must it be flushed before the next chunk is added? */
bool kdump_desc_batch_due(const KdumpDescBatch *b);
bool kdump_desc_batch_flush(KdumpDescBatch *b, const KdumpLayout *l,
                            DumpSink *sink, Error **errp);

/* Data of chunks for one write, in the buffers of the workers' slots. */
typedef struct KdumpDataBatch {
    uint64_t pos;               /* in the extent, of the first byte held */
    size_t used;
    struct iovec iov[KDUMP_DATA_CHUNKS + 1];    /* and the zero page */
    int niov;
    /*
     * Buffers taken from slots, and spare ones to replace them. There may be
     * no spare one; then each chunk is written separately.
     */
    uint8_t *held[KDUMP_DATA_CHUNKS], *spare[KDUMP_DATA_CHUNKS];
    unsigned n_held, n_spare;
    uint8_t *zero;              /* a page of zeroes */
    size_t zero_size;
} KdumpDataBatch;

/*
 * Fewer spare buffers are allocated if memory is short. Returns false, with
 * @errp set, only if not even one page is available.
 */
bool kdump_data_batch_init(KdumpDataBatch *b, const KdumpChunks *chunks,
                           Error **errp);
void kdump_data_batch_deinit(KdumpDataBatch *b);

/* Called once per dump. */
void kdump_data_batch_add_zero_page(KdumpDataBatch *b);

/*
 * Take the slot's data, and give it a spare buffer. If there is none, the slot
 * has no buffer; then the batch is due, and after the flush
 * kdump_data_batch_give_room must be called.
 */
void kdump_data_batch_add(KdumpDataBatch *b, KdumpSlot *slot);
void kdump_data_batch_give_room(KdumpDataBatch *b, KdumpSlot *slot);

/* Must it be flushed before the next chunk is added? */
bool kdump_data_batch_due(const KdumpDataBatch *b);
bool kdump_data_batch_flush(KdumpDataBatch *b, const KdumpLayout *l,
                            DumpSink *sink, Error **errp);

#endif
