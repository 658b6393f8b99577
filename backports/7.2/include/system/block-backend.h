/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU 7.2 has this header under another name. It has AioContext locks, which
 * the main thread takes to use a node that may be in an iothread, and no graph
 * lock.
 */

#ifndef BACKPORT_SYSTEM_BLOCK_BACKEND_H
#define BACKPORT_SYSTEM_BLOCK_BACKEND_H

#include "block/aio.h"
#include "block/block.h"
#include "sysemu/block-backend.h"

#define GRAPH_RDLOCK
#define GRAPH_RDLOCK_GUARD_MAINLOOP()

static inline BlockBackend *backport_blk_new_with_bs(BlockDriverState *bs,
                                                     uint64_t perm,
                                                     uint64_t shared_perm,
                                                     Error **errp)
{
    AioContext *ctx = bdrv_get_aio_context(bs);
    BlockBackend *blk;

    aio_context_acquire(ctx);
    blk = blk_new_with_bs(bs, perm, shared_perm, errp);
    aio_context_release(ctx);
    return blk;
}

static inline void backport_blk_unref(BlockBackend *blk)
{
    AioContext *ctx = blk_get_aio_context(blk);

    aio_context_acquire(ctx);
    blk_unref(blk);
    aio_context_release(ctx);
}

static inline int64_t backport_blk_getlength(BlockBackend *blk)
{
    AioContext *ctx = blk_get_aio_context(blk);
    int64_t length;

    aio_context_acquire(ctx);
    length = blk_getlength(blk);
    aio_context_release(ctx);
    return length;
}

static inline int backport_blk_truncate(BlockBackend *blk, int64_t offset,
                                        bool exact, PreallocMode prealloc,
                                        BdrvRequestFlags flags, Error **errp)
{
    AioContext *ctx = blk_get_aio_context(blk);
    int ret;

    aio_context_acquire(ctx);
    ret = blk_truncate(blk, offset, exact, prealloc, flags, errp);
    aio_context_release(ctx);
    return ret;
}

#define blk_new_with_bs backport_blk_new_with_bs
#define blk_unref backport_blk_unref
#define blk_getlength backport_blk_getlength
#define blk_truncate backport_blk_truncate

#endif
