/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Selects a sink for a descriptor.
 */

#ifndef DUMP_VMCORE_SINK_FD_H
#define DUMP_VMCORE_SINK_FD_H

#include "sink.h"

/*
 * Create a sink that writes to @fd; it takes ownership of it. Offsets are
 * relative to the current file position. The sink is a file sink for a regular
 * file (without O_APPEND), a block device, or a seekable character device, and
 * a stream otherwise. Never fails.
 *
 * @progress: counts the bytes written; checked for a cancel while waiting; may
 *            be NULL; must outlive the sink
 */
DumpSink *dump_sink_fd_new(int fd, DumpProgress *progress);

/* True if dump_sink_fd_new() would create a file sink. */
bool dump_fd_can_seek(int fd);

#endif
