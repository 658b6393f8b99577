/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sink over a seekable descriptor: any offset, in any order.
 */

#ifndef DUMP_VMCORE_SINK_FILE_H
#define DUMP_VMCORE_SINK_FILE_H

#include "sink.h"

/* Called by dump_sink_fd_new(), which selects the kind of sink. */
DumpSink *dump_sink_file_new(int fd, DumpProgress *progress);

/* Keep data out of the page cache; see fd_writer_bypass_cache(). */
void dump_sink_file_bypass_cache(DumpSink *sink);

#endif
