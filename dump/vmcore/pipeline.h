/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A bounded pool of workers that processes numbered items in parallel and
 * delivers the results in order.
 *
 *   worker 0..n-1   claim the next item, fill a slot
 *   caller          consumes the slots in the order of their items
 *
 * The number of slots is fixed, so memory does not grow with the number of
 * items: four per worker plus eight, at most 64, or with more than 48 workers
 * their number plus 16. No lock is held while an item is worked on or
 * consumed.
 */

#ifndef DUMP_VMCORE_PIPELINE_H
#define DUMP_VMCORE_PIPELINE_H

#include "progress.h"

#define DUMP_PIPELINE_MAX_THREADS 64

/*
 * Callbacks of the user. All but consume get work_opaque, which all workers
 * share.
 */
typedef struct DumpPipelineOps {
    /*
     * Create a slot, which holds one item's result. Returns NULL, with @errp
     * set, on failure. Called on the caller's thread.
     */
    void *(*slot_new)(void *opaque, Error **errp);
    void (*slot_free)(void *opaque, void *slot);

    /* Create the state of one worker. Called on the caller's thread. */
    void *(*worker_new)(void *opaque, Error **errp);
    void (*worker_free)(void *opaque, void *worker);

    /* On a worker's thread: process item @index, store the result in @slot. */
    bool (*work)(void *opaque, void *worker, uint64_t index, void *slot,
                 Error **errp);

    /*
     * On the caller's thread, in the order of @index: use the result.
     * @opaque: consume_opaque
     */
    bool (*consume)(void *opaque, uint64_t index, void *slot, Error **errp);
} DumpPipelineOps;

/*
 * Process items 0 .. @nr_items - 1 and return when all are consumed, on the
 * first failure of work or consume (in the order of items), or soon after
 * @progress was cancelled (error "dump: cancelled"). On return all workers
 * have ended, and all slots and workers are freed.
 *
 * @threads: workers, 1 to DUMP_PIPELINE_MAX_THREADS; fewer are used if a
 *           thread cannot be created, memory is short, or there are fewer
 *           items. With 1 the caller does the work itself. It is an error if
 *           there is no memory for one worker and one slot.
 * @progress: only its cancel flag is read; may be NULL
 */
bool dump_pipeline_run(const DumpPipelineOps *ops, void *work_opaque,
                       void *consume_opaque, unsigned threads,
                       uint64_t nr_items, DumpProgress *progress,
                       Error **errp);

#endif
