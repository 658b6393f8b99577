/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Requests to a block node, several at a time, from a thread that is not the
 * node's.
 *
 * One thread at a time may use a queue; requests are carried out in the
 * node's AioContext, by coroutines. Who waits here looks for a cancel ten
 * times a second, and may leave: what is under way then stays so, with all
 * that it needs, and ends by itself.
 *
 * Requests that are under way at the same time must not overlap; the queue
 * sees to that.
 */

#ifndef DUMP_BLOCK_QUEUE_H
#define DUMP_BLOCK_QUEUE_H

#include "system/block-backend.h"
#include "vmcore/progress.h"

/* The largest write: beginning and end are multiples of it where they can. */
#define BLOCK_QUEUE_WRITE_SIZE      (512 * 1024)

typedef struct BlockQueue BlockQueue;

/* A write that is being prepared. */
typedef struct BlockQueueWrite {
    uint64_t offset;            /* in the node, bytes */
    uint32_t len;               /* bytes in @buf, not 0 when it is submitted */
    const char *what;           /* for the message; lives on */
    uint8_t *buf;               /* of BLOCK_QUEUE_WRITE_SIZE */
} BlockQueueWrite;

/*
 * A queue that owns @blk, which has to be allowed what is asked for. Any
 * thread.
 */
BlockQueue *block_queue_new(BlockBackend *blk, DumpProgress *progress);

/*
 * Nothing is submitted any more. @blk is released now, or by the main loop
 * when the last request has ended. Main thread, BQL held.
 */
void block_queue_free(BlockQueue *q);

/*
 * Break off what is still under way in queues that were freed, as QEMU exits.
 * Only network connections can be broken (those that "yank" knows); all else
 * QEMU's exit waits for. Main thread, BQL held.
 */
void block_queue_break_all(void);

/*
 * Room for a write; waits for it if all is in use. The caller fills it and
 * gives it back to _submit or _drop. NULL with @errp set if the dump was
 * cancelled while waiting, there is no memory, or an earlier request failed.
 */
BlockQueueWrite *block_queue_get(BlockQueue *q, Error **errp);
void block_queue_drop(BlockQueue *q, BlockQueueWrite *write);

/*
 * Begin a write, or to write zeroes to any number of bytes (with @flags:
 * BDRV_REQ_MAY_UNMAP), and do not wait for it but for what it overlaps. False
 * with @errp set as for block_queue_get; a write is used up in any case.
 */
bool block_queue_submit(BlockQueue *q, BlockQueueWrite *write, Error **errp);
bool block_queue_zero(BlockQueue *q, uint64_t offset, uint64_t len,
                      BdrvRequestFlags flags, const char *what, Error **errp);

/* Wait until nothing is under way. False as for block_queue_get. */
bool block_queue_wait(BlockQueue *q, Error **errp);

/*
 * The same, but forget what has failed. False, with @errp set, if the dump
 * was cancelled while something was still under way.
 */
bool block_queue_recover(BlockQueue *q, Error **errp);

/*
 * What was submitted below this offset has not failed, ever; UINT64_MAX if
 * nothing has.
 */
uint64_t block_queue_arrived(const BlockQueue *q);

/*
 * Wait for these: set the node's length, not necessarily exactly unless
 * @exact; flush; zero if that is cheap. False with @errp set to "dump: @doing:
 * ..." and what the block layer says, or if the dump was cancelled. They look
 * at no earlier failure.
 */
bool block_queue_truncate(BlockQueue *q, uint64_t length, bool exact,
                          BdrvRequestFlags flags, const char *doing,
                          Error **errp);
bool block_queue_flush(BlockQueue *q, Error **errp);
bool block_queue_zero_quickly(BlockQueue *q, uint64_t offset, uint64_t len);

#endif
