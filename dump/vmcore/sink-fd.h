/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The sink that suits a descriptor.
 */

#ifndef DUMP_VMCORE_SINK_FD_H
#define DUMP_VMCORE_SINK_FD_H

#include "sink.h"

/*
 * A sink over @fd, which it owns and closes from here on. Offsets count
 * from the descriptor's position at this call. A regular file (without
 * O_APPEND), a block device or a character device that can seek gives a
 * file sink, all else a stream. Never fails.
 *
 * @progress: told of every byte handed to the kernel, asked for a cancel
 *            while waiting; NULL for none; must outlive the sink
 */
DumpSink *dump_sink_fd_new(int fd, DumpProgress *progress);

/* True if dump_sink_fd_new would give a file sink. */
bool dump_fd_can_seek(int fd);

#endif
