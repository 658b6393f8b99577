/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Page descriptors and page data of a kdump-compressed file, gathered to be
 * handed to the sink in large pieces. One thread.
 */

#ifndef DUMP_VMCORE_KDUMP_BATCH_H
#define DUMP_VMCORE_KDUMP_BATCH_H

#include "kdump-format.h"
#include "kdump-layout.h"

/* Of chunks, at most, in one write. */
#define KDUMP_DATA_CHUNKS       16

/* Page descriptors for one write. */
typedef struct KdumpDescBatch {
    uint64_t pos;               /* in the extent, of the first byte held */
    size_t used;
    size_t size;
    size_t same;                /* bytes that are those of add_same already */
    uint8_t *buf;               /* size bytes */
} KdumpDescBatch;

/* Room for @chunk_pages more than what makes it due. */
bool kdump_desc_batch_init(KdumpDescBatch *b, unsigned chunk_pages,
                           Error **errp);
void kdump_desc_batch_deinit(KdumpDescBatch *b);

void kdump_desc_batch_add(KdumpDescBatch *b, const DumpAbi *abi,
                          const KdumpPageDesc *desc);

/*
 * Add @n times @desc, which is the same in all calls: where the batch before
 * had nothing else, they are still there.
 */
void kdump_desc_batch_add_same(KdumpDescBatch *b, const DumpAbi *abi,
                               const KdumpPageDesc *desc, unsigned n);

/* It is to be flushed before the next chunk is added. */
bool kdump_desc_batch_due(const KdumpDescBatch *b);
bool kdump_desc_batch_flush(KdumpDescBatch *b, const KdumpLayout *l,
                            DumpSink *sink, Error **errp);

/* Data of chunks for one write, where the workers left it. */
typedef struct KdumpDataBatch {
    uint64_t pos;               /* in the extent, of the first byte held */
    size_t used;
    struct iovec iov[KDUMP_DATA_CHUNKS + 1];    /* and the zero page */
    int niov;
    /*
     * From the slots, and for them in return. There may be no spare one at
     * all; a chunk is then written by itself.
     */
    uint8_t *held[KDUMP_DATA_CHUNKS], *spare[KDUMP_DATA_CHUNKS];
    unsigned n_held, n_spare;
    uint8_t *zero;              /* a page of zeroes */
    size_t zero_size;
} KdumpDataBatch;

/*
 * With less memory there are fewer spare buffers. False with @errp if there is
 * not even a page.
 */
bool kdump_data_batch_init(KdumpDataBatch *b, const KdumpChunks *chunks,
                           Error **errp);
void kdump_data_batch_deinit(KdumpDataBatch *b);

/* Once. */
void kdump_data_batch_add_zero_page(KdumpDataBatch *b);

/*
 * Keep the slot's data, and give it other room. It has none if that was the
 * last: the batch is due then, and once it is flushed, has room to give.
 */
void kdump_data_batch_add(KdumpDataBatch *b, KdumpSlot *slot);
void kdump_data_batch_give_room(KdumpDataBatch *b, KdumpSlot *slot);

/* It is to be flushed before the next chunk is added. */
bool kdump_data_batch_due(const KdumpDataBatch *b);
bool kdump_data_batch_flush(KdumpDataBatch *b, const KdumpLayout *l,
                            DumpSink *sink, Error **errp);

#endif
