/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sink for a node of QEMU's block layer: any offset, in any order.
 *
 * Gaps between writes, up to the end of the dump, are zeroed, so that no old
 * data of the node is visible. The node is grown if needed and truncated to the
 * dump's length, if it supports that.
 */

#ifndef DUMP_SINK_BLOCK_H
#define DUMP_SINK_BLOCK_H

#include "system/block-backend.h"
#include "vmcore/sink.h"

/*
 * Create a sink, which takes ownership of @blk. @blk must have the permissions
 * to write and resize. The sink is used by one thread outside of @blk's
 * AioContext, which must be polled meanwhile. May be created by any thread, but
 * is freed by the main thread with the BQL held.
 *
 * @length: of the node, in bytes
 */
DumpSink *dump_sink_block_new(BlockBackend *blk, uint64_t length,
                              DumpProgress *progress);

#endif
