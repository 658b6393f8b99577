/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What was written to a descriptor, on stable storage.
 */

#ifndef DUMP_VMCORE_FD_SYNC_H
#define DUMP_VMCORE_FD_SYNC_H

#include "progress.h"

/* Is it for something that has stable storage: a regular file or a disk? */
bool fd_is_storage(int fd);

/*
 * Wait until all that was written to *@fd is on stable storage. What cannot
 * be synchronized (a file system that has no notion of it) is no error.
 *
 * The system call may take very long, and nothing ends it. So it is made by
 * another thread if there is one to be had, and a cancel of @progress (which
 * may be NULL) ends the wait: then *@fd is -1, as it belongs to that thread,
 * which closes it when it can.
 *
 * False with @errp set to what the system says, or to "dump: cancelled".
 */
bool fd_sync(int *fd, const DumpProgress *progress, Error **errp);

#endif
