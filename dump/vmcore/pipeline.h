/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A bounded pool of workers that handles numbered items in parallel and
 * hands the results over in order.
 *
 *   worker 0..n-1   claim the next item, fill a slot
 *   caller          takes the slots in the order of their items
 *
 * There are a fixed number of slots, allocated once: four for each worker,
 * and eight, but no more than 64, or with more than 48 workers sixteen more
 * than these. So memory does not grow with the number of items. No lock
 * is held while an item is worked on or consumed.
 */

#ifndef DUMP_VMCORE_PIPELINE_H
#define DUMP_VMCORE_PIPELINE_H

#include "progress.h"

#define DUMP_PIPELINE_MAX_THREADS 64

/*
 * What to do with the items. All but consume get the opaque pointer of the
 * work; it is shared by all workers.
 */
typedef struct DumpPipelineOps {
    /*
     * A slot: room for one item's result. NULL with @errp on failure.
     * Called on the caller's thread.
     */
    void *(*slot_new)(void *opaque, Error **errp);
    void (*slot_free)(void *opaque, void *slot);

    /* What one worker keeps for itself. Called on the caller's thread. */
    void *(*worker_new)(void *opaque, Error **errp);
    void (*worker_free)(void *opaque, void *worker);

    /* On a worker's thread: work on item @index into @slot. */
    bool (*work)(void *opaque, void *worker, uint64_t index, void *slot,
                 Error **errp);

    /*
     * On the caller's thread, in the order of @index: use the result.
     * @opaque: the consumer's
     */
    bool (*consume)(void *opaque, uint64_t index, void *slot, Error **errp);
} DumpPipelineOps;

/*
 * Handle items 0 .. @nr_items - 1 and return when all are consumed, or on
 * the first failure of work or consume (in the order of items), or soon
 * after @progress was cancelled (error "dump: cancelled"). In every case
 * all workers have ended and all slots and workers are freed on return.
 *
 * @threads: workers, 1 to DUMP_PIPELINE_MAX_THREADS; fewer run if a thread
 *           cannot be created, there is no memory for as many workers and
 *           slots, or there are fewer items. With 1 the caller does the
 *           work itself. It is an error if there is no memory for one worker
 *           and one slot.
 * @progress: only its cancel flag is read
 */
bool dump_pipeline_run(const DumpPipelineOps *ops, void *work_opaque,
                       void *consume_opaque, unsigned threads,
                       uint64_t nr_items, DumpProgress *progress,
                       Error **errp);

#endif
