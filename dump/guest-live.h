/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Snapshot of the memory of a running guest, for a live dump.
 *
 *     guest_live_new        check whether it is possible
 *     guest_live_prepare    write-protect memory, while the guest runs
 *     guest_live_take       take the snapshot, while the guest is stopped
 *     guest_live_end        memory is no longer needed
 *     guest_live_free
 */

#ifndef DUMP_GUEST_LIVE_H
#define DUMP_GUEST_LIVE_H

#include "guest-types.h"
#include "vmcore/pages-snapshot.h"

typedef struct GuestLive GuestLive;

/*
 * Set up tracking of writes to all memory of the guest. Main thread with the
 * BQL held.
 *
 * @device: descriptor of /dev/userfaultfd, owned by the caller, or -1
 * @limit: bytes, at most 2^56; see dump_snapshot_new
 *
 * Returns NULL, with @errp set and without side effects, if writes to this
 * guest's memory cannot be tracked.
 */
GuestLive *guest_live_new(int device, uint64_t limit,
                          const DumpSnapshotEvents *events, Error **errp);

/*
 * Write-protect memory in advance. Called without locks. Returns false, with
 * @errp set, on failure.
 */
bool guest_live_prepare(GuestLive *live, const DumpProgress *progress,
                        Error **errp);

/*
 * Take the snapshot: from now on @state has the current contents of memory. The
 * guest is stopped, but devices may be active. Main thread with the BQL held.
 * Returns false, with @errp set, on failure.
 */
bool guest_live_take(GuestLive *live, GuestState *state, Error **errp);

/*
 * The snapshot is no longer read: release all writers. No lock is needed. May
 * be called more than once.
 */
void guest_live_end(GuestLive *live);

/* Why the snapshot is not consistent, or NULL. Any thread. */
const char *guest_live_broken(const GuestLive *live);

/* Any thread. */
void guest_live_get_stats(const GuestLive *live, DumpSnapshotStats *stats);

/*
 * Called after the GuestState was freed, in the main thread with the BQL held.
 * NULL is allowed.
 */
void guest_live_free(GuestLive *live);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestLive, guest_live_free)

#endif
