/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Chunks of guest pages, compressed for a kdump-compressed file: what the
 * workers of its pipeline do.
 *
 * All functions take a KdumpChunks as their first argument, and have the
 * signatures and threads of DumpPipelineOps.
 */

#ifndef DUMP_VMCORE_KDUMP_CHUNK_H
#define DUMP_VMCORE_KDUMP_CHUNK_H

#include "pfn-set.h"
#include "writer.h"

/* What there is to compress. Read-only while the pipeline runs. */
typedef struct KdumpChunks {
    const DumpGuest *guest;
    const DumpCodec *codec;
    GArray *ram;                /* PfnRun: pages that are memory, sorted */
    const PfnSet *set;          /* those of the dump */
    PfnSet *own;                /* the same, if it is not the guest's */
    uint64_t nr_pages;          /* in the set */
    unsigned chunk_pages;
    PfnSet *worked;             /* chunks, not frames: those to be read */
} KdumpChunks;

/* One page's result. */
typedef struct KdumpPage {
    uint32_t size;              /* bytes in the slot's data; 0: zero page */
    uint32_t flags;             /* KDUMP_PAGE_* */
    bool missing;               /* lost or left out: not in the file at all */
} KdumpPage;

/* One chunk's results. */
typedef struct KdumpSlot {
    KdumpPage *pages;           /* chunk_pages of them */
    unsigned nr_pages;
    uint8_t *data;              /* all pages, one behind the other; owned */
    size_t used;                /* bytes of data: no more than was read */
} KdumpSlot;

/*
 * @guest must outlive the chunks. False with @errp if there is no memory; they
 * are to be deinitialized all the same, as those that are all zero may be.
 */
bool kdump_chunks_init(KdumpChunks *chunks, const DumpGuest *guest,
                       const DumpCodec *codec, Error **errp);
void kdump_chunks_deinit(KdumpChunks *chunks);

/* Number of chunks; each but the last has chunk_pages pages of the set. */
uint64_t kdump_chunks_count(const KdumpChunks *chunks);

/* Pages in chunk @index. */
unsigned kdump_chunk_pages(const KdumpChunks *chunks, uint64_t index);

/*
 * Find out which chunks are zero without a look at them, by probes that go by
 * stretches of memory: the workers get the others, in kdump_chunks_worked.
 * What is zero is not read any more: dump_pages_give. To be called once,
 * before the pipeline. False with @errp if there is no memory, or @progress
 * was cancelled.
 */
bool kdump_chunks_find_untouched(KdumpChunks *chunks,
                                 const DumpProgress *progress, Error **errp);

/* How many chunks are for the workers, and which is the @nth (from 0)? */
uint64_t kdump_chunks_nr_worked(const KdumpChunks *chunks);
uint64_t kdump_chunks_worked(const KdumpChunks *chunks, uint64_t nth);

/*
 * What is in no chunk is not in the file: dump_pages_give. Nothing of it is
 * read any more.
 */
void kdump_chunks_give_rest(const KdumpChunks *chunks);

/* Room for a chunk's data; NULL if there is no memory. g_free() it. */
uint8_t *kdump_chunk_data_new(const KdumpChunks *chunks);

/* A KdumpSlot. */
void *kdump_chunk_slot_new(void *chunks, Error **errp);
void kdump_chunk_slot_free(void *chunks, void *slot);

void *kdump_chunk_worker_new(void *chunks, Error **errp);
void kdump_chunk_worker_free(void *chunks, void *worker);

/*
 * Compress the @nth chunk that is for the workers. Chunk i is from the (i *
 * chunk_pages)-th page of the set on, found without a walk through those
 * before. A page that does not shrink is
 * stored as it is; one of which a part cannot be read is missing, and counted
 * in the guest's report.
 */
bool kdump_chunk_work(void *chunks, void *worker, uint64_t nth, void *slot,
                      Error **errp);

#endif
