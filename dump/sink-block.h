/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sink over a node of QEMU's block layer: any offset, in any order.
 *
 * What was in the node does not show through: what lies between writes, and
 * up to the end of the dump, is zero. The node grows where it has to and can,
 * and is cut to the dump's length where it can.
 */

#ifndef DUMP_SINK_BLOCK_H
#define DUMP_SINK_BLOCK_H

#include "system/block-backend.h"
#include "vmcore/sink.h"

/*
 * A sink that owns @blk, which must have the permissions to write and resize.
 * It is written to by one thread that is not the one of @blk's AioContext:
 * that must be polled meanwhile. Any thread; but the sink is freed by the
 * main thread with the BQL held.
 * @length: of the node, bytes
 */
DumpSink *dump_sink_block_new(BlockBackend *blk, uint64_t length,
                              DumpProgress *progress);

#endif
