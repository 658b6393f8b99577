/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Concurrent requests to a block node from a thread outside of the node's
 * AioContext.
 *
 * One thread at a time may use a queue; requests run as coroutines in the
 * node's AioContext. Functions that wait check for cancellation ten times per
 * second. If cancelled, they return while requests are still in flight; these
 * own all that they need and complete on their own.
 *
 * The queue ensures that requests in flight do not overlap.
 */

#ifndef DUMP_BLOCK_QUEUE_H
#define DUMP_BLOCK_QUEUE_H

#include "system/block-backend.h"
#include "vmcore/progress.h"

/* Maximum size of a write, in bytes; also the preferred alignment. */
#define BLOCK_QUEUE_WRITE_SIZE      (512 * 1024)

typedef struct BlockQueue BlockQueue;

/* A write that is being prepared. */
typedef struct BlockQueueWrite {
    uint64_t offset;            /* in the node, bytes */
    uint32_t len;               /* bytes in @buf, not 0 when submitted */
    const char *what;           /* for error messages; static */
    uint8_t *buf;               /* BLOCK_QUEUE_WRITE_SIZE bytes */
} BlockQueueWrite;

/*
 * Create a queue, which takes ownership of @blk. @blk must have the permissions
 * for the requests. Any thread.
 */
BlockQueue *block_queue_new(BlockBackend *blk, DumpProgress *progress);

/*
 * Free the queue. @blk is released now, or by the main loop when the last
 * request has completed. Main thread, BQL held.
 */
void block_queue_free(BlockQueue *q);

/*
 * QEMU is exiting: abort the requests still in flight in freed queues. This is
 * only possible for network connections that support "yank"; QEMU's exit waits
 * for all other requests. Main thread, BQL held.
 */
void block_queue_break_all(void);

/*
 * Get a write, waiting if all are in use. The caller fills it and passes it to
 * _submit or _drop. Returns NULL, with @errp set, if cancelled while waiting,
 * if out of memory, or if an earlier request failed.
 */
BlockQueueWrite *block_queue_get(BlockQueue *q, Error **errp);
void block_queue_drop(BlockQueue *q, BlockQueueWrite *write);

/*
 * Start a write, or write zeroes to any number of bytes (@flags: for example
 * BDRV_REQ_MAY_UNMAP). Waits for overlapping requests, but not for completion.
 * Returns false, with @errp set, as block_queue_get does. Takes ownership of
 * @write in any case.
 */
bool block_queue_submit(BlockQueue *q, BlockQueueWrite *write, Error **errp);
bool block_queue_zero(BlockQueue *q, uint64_t offset, uint64_t len,
                      BdrvRequestFlags flags, const char *what, Error **errp);

/*
 * Wait until no request is in flight. Returns false, with @errp set, if
 * cancelled while waiting or if a request failed.
 */
bool block_queue_wait(BlockQueue *q, Error **errp);

/*
 * The same, but clear the errors of failed requests. Returns false, with @errp
 * set, if cancelled while requests were in flight.
 */
bool block_queue_recover(BlockQueue *q, Error **errp);

/*
 * The lowest offset of all requests that ever failed; UINT64_MAX if there is
 * none.
 */
uint64_t block_queue_arrived(const BlockQueue *q);

/*
 * Synchronous requests: set the node's length, exactly if @exact; flush; write
 * zeroes if that is cheap. They return false, with @errp set to "dump: @doing:
 * " and the block layer's error, or if cancelled. Errors of earlier requests
 * are ignored.
 */
bool block_queue_truncate(BlockQueue *q, uint64_t length, bool exact,
                          BdrvRequestFlags flags, const char *doing,
                          Error **errp);
bool block_queue_flush(BlockQueue *q, Error **errp);
bool block_queue_zero_quickly(BlockQueue *q, uint64_t offset, uint64_t len);

#endif
