/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The memory of a guest that is dumped while it runs.
 *
 *     guest_live_new        before anything is touched: can it be done?
 *     guest_live_prepare    most of the work, while the guest runs
 *     guest_live_take       the moment; the guest stands still
 *     guest_live_end        the memory is not needed any more
 *     guest_live_free
 */

#ifndef DUMP_GUEST_LIVE_H
#define DUMP_GUEST_LIVE_H

#include "guest-types.h"
#include "vmcore/pages-snapshot.h"

typedef struct GuestLive GuestLive;

/*
 * Watch all memory of the guest. BQL, main thread.
 *
 * @device: descriptor of /dev/userfaultfd, not used up, or -1
 * @limit: bytes, at most 2^56; see dump_snapshot_new
 *
 * NULL with @errp set, and nothing changed, if this guest's memory cannot be
 * watched.
 */
GuestLive *guest_live_new(int device, uint64_t limit,
                          const DumpSnapshotEvents *events, Error **errp);

/*
 * Protect what there is to be protected before the moment. No lock is to
 * be held. False with @errp set on failure.
 */
bool guest_live_prepare(GuestLive *live, const DumpProgress *progress,
                        Error **errp);

/*
 * The moment: from here on @state's memory is what it is now. The guest does
 * not run; devices may be at work. BQL, main thread. False with @errp set on
 * failure.
 */
bool guest_live_take(GuestLive *live, GuestState *state, Error **errp);

/*
 * Nobody reads any more: let all writers go on. No lock need be held. May be
 * called more than once.
 */
void guest_live_end(GuestLive *live);

/* Why what was read is of no use, or NULL. Any thread. */
const char *guest_live_broken(const GuestLive *live);

/* Any thread. */
void guest_live_get_stats(const GuestLive *live, DumpSnapshotStats *stats);

/* NULL is allowed. After the GuestState was freed. BQL, main thread. */
void guest_live_free(GuestLive *live);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestLive, guest_live_free)

#endif
