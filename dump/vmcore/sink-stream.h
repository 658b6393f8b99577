/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sink over a descriptor that cannot seek: offsets must follow one another;
 * a step forward is filled with zero bytes.
 */

#ifndef DUMP_VMCORE_SINK_STREAM_H
#define DUMP_VMCORE_SINK_STREAM_H

#include "sink.h"

/* See dump_sink_fd_new, which knows when this is right. */
DumpSink *dump_sink_stream_new(int fd, DumpProgress *progress);

/*
 * Over the named pipe @path, which nobody reads yet: the first write waits
 * for a reader. That can be cancelled.
 */
DumpSink *dump_sink_stream_new_fifo(const char *path, DumpProgress *progress);

#endif
