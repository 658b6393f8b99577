/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Chunks of guest pages, compressed for a kdump-compressed file by the workers
 * of a pipeline.
 *
 * The functions that work on slots and workers implement DumpPipelineOps, with
 * a KdumpChunks as their first argument.
 */

#ifndef DUMP_VMCORE_KDUMP_CHUNK_H
#define DUMP_VMCORE_KDUMP_CHUNK_H

#include "pfn-set.h"
#include "writer.h"

/* The pages to compress. Read-only while the pipeline runs. */
typedef struct KdumpChunks {
    const DumpGuest *guest;
    const DumpCodec *codec;
    GArray *ram;                /* PfnRun: page frames that are RAM, sorted */
    const PfnSet *set;          /* page frames in the dump */
    PfnSet *own;                /* owned set; NULL if set is the guest's */
    uint64_t nr_pages;          /* pages in the set */
    unsigned chunk_pages;
    PfnSet *worked;             /* chunks (not frames) to be read */
} KdumpChunks;

/* One page's result. */
typedef struct KdumpPage {
    uint32_t size;              /* bytes in the slot's data; 0: zero page */
    uint32_t flags;             /* KDUMP_PAGE_* */
    bool missing;               /* lost: not in the file */
} KdumpPage;

/* One chunk's results. */
typedef struct KdumpSlot {
    KdumpPage *pages;           /* chunk_pages of them */
    unsigned nr_pages;
    uint8_t *data;              /* data of all pages, contiguous; owned */
    size_t used;                /* bytes of data, at most those of the pages */
} KdumpSlot;

/*
 * @guest must outlive the chunks. Returns false, with @errp set, if out of
 * memory. kdump_chunks_deinit must be called in this case, too, and may be
 * called on a structure that is all zero.
 */
bool kdump_chunks_init(KdumpChunks *chunks, const DumpGuest *guest,
                       const DumpCodec *codec, Error **errp);
void kdump_chunks_deinit(KdumpChunks *chunks);

/* Number of chunks; each but the last has chunk_pages pages of the set. */
uint64_t kdump_chunks_count(const KdumpChunks *chunks);

/* Pages in chunk @index. */
unsigned kdump_chunk_pages(const KdumpChunks *chunks, uint64_t index);

/*
 * Find the chunks that are known to be zero without reading them, as their
 * memory is untouched, and release their memory (dump_pages_give). Only the
 * other chunks are processed by workers. Called once, before the pipeline runs.
 * Returns false, with @errp set, if out of memory or @progress was cancelled.
 */
bool kdump_chunks_find_untouched(KdumpChunks *chunks,
                                 const DumpProgress *progress, Error **errp);

/* Number of chunks for the workers, and the index of the @nth (from 0). */
uint64_t kdump_chunks_nr_worked(const KdumpChunks *chunks);
uint64_t kdump_chunks_worked(const KdumpChunks *chunks, uint64_t nth);

/*
 * Release all memory that is in no chunk (dump_pages_give). It must not be read
 * afterwards.
 */
void kdump_chunks_give_rest(const KdumpChunks *chunks);

/* A buffer for a chunk's data, freed by g_free(); NULL if out of memory. */
uint8_t *kdump_chunk_data_new(const KdumpChunks *chunks);

/* Create a KdumpSlot. */
void *kdump_chunk_slot_new(void *chunks, Error **errp);
void kdump_chunk_slot_free(void *chunks, void *slot);

void *kdump_chunk_worker_new(void *chunks, Error **errp);
void kdump_chunk_worker_free(void *chunks, void *worker);

/*
 * Compress the @nth chunk for the workers. Chunk i starts at page i *
 * chunk_pages of the set. Pages that do not shrink are stored uncompressed. A
 * page that cannot be read completely is missing, and counted in the guest's
 * report.
 */
bool kdump_chunk_work(void *chunks, void *worker, uint64_t nth, void *slot,
                      Error **errp);

#endif
