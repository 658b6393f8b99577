/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sink over a descriptor that cannot seek: offsets must ascend; a gap is filled
 * with zero bytes.
 */

#ifndef DUMP_VMCORE_SINK_STREAM_H
#define DUMP_VMCORE_SINK_STREAM_H

#include "sink.h"

/* Called by dump_sink_fd_new(), which selects the kind of sink. */
DumpSink *dump_sink_stream_new(int fd, DumpProgress *progress);

/*
 * The same for the named pipe @path, which has no reader yet: the first write
 * waits for one, or until the dump is cancelled.
 */
DumpSink *dump_sink_stream_new_fifo(const char *path, DumpProgress *progress);

#endif
