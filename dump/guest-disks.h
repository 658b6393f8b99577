/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Requests of the guest's disks that are in flight while it is stopped.
 *
 * Called with the BQL held, in the main thread.
 */

#ifndef DUMP_GUEST_DISKS_H
#define DUMP_GUEST_DISKS_H

#include "vmcore/progress.h"

/* The number of disks with requests in flight. */
unsigned guest_disks_busy(void);

/*
 * Wait until no disk has requests in flight, for about a second at most or
 * until cancelled. Nothing is drained, so that a disk that does not answer
 * cannot block. Polls the main AioContext. Returns guest_disks_busy().
 */
unsigned guest_disks_settle(const DumpProgress *progress);

#endif
