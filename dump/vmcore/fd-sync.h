/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Flushing a descriptor to stable storage.
 */

#ifndef DUMP_VMCORE_FD_SYNC_H
#define DUMP_VMCORE_FD_SYNC_H

#include "progress.h"

/* Does @fd have stable storage: is it a regular file or a block device? */
bool fd_is_storage(int fd);

/*
 * Wait until everything written to *@fd is on stable storage. It is not an
 * error if the file does not support this.
 *
 * The system call may take very long and cannot be interrupted. Therefore
 * another thread makes it, unless none can be started. If the dump of @progress
 * (may be NULL) is cancelled, the wait ends and *@fd becomes -1: that thread
 * owns the descriptor and closes it after the system call.
 *
 * Returns false, with @errp set, on failure or if cancelled
 * ("dump: cancelled").
 */
bool fd_sync(int *fd, const DumpProgress *progress, Error **errp);

#endif
