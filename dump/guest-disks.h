/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Requests of the guest's disks that are under way while it is stopped.
 *
 * Called with the BQL held, in the main thread.
 */

#ifndef DUMP_GUEST_DISKS_H
#define DUMP_GUEST_DISKS_H

#include "vmcore/progress.h"

/* How many disks have some. */
unsigned guest_disks_busy(void);

/*
 * Wait until none has, for about a second at most, and not after a cancel.
 * Nothing is drained: a disk that does not answer is left alone. Polls the
 * main AioContext. Returns how many disks still have some.
 */
unsigned guest_disks_settle(const DumpProgress *progress);

#endif
