/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Run state of the guest during a live dump. It is stopped only while the
 * snapshot is taken, and again if it modifies memory faster than the dump is
 * written.
 *
 *   dump thread                          main thread, BQL
 *   ----------------------------------   --------------------------------
 *                                        dump_live_new
 *   dump_live_take: protect memory;
 *     request the snapshot, wait    ---> stop the guest, collect its state,
 *                                        take the snapshot, start the guest
 *   analyse memory, plan, write    <---
 *     (too many pages are held)     ---> stop the guest until the end
 *   dump_live_end                   ---> dump_live_free
 */

#ifndef DUMP_LIVE_H
#define DUMP_LIVE_H

#include "qapi/qapi-types-dump.h"
#include "guest-types.h"

typedef struct DumpLive DumpLive;

typedef struct DumpLiveSetup {
    int device;                 /* see write_watch_open */
    uint64_t buffer;            /* maximum bytes of saved pages */
    const GuestStateQuery *query;
    DumpProgress *progress;     /* cancelled if the snapshot breaks */
    DumpReport *report;
    /* Called when QEMU is about to exit; may call dump_live_free. */
    void (*exit)(void *opaque);
    void *opaque;
} DumpLiveSetup;

/*
 * Prepare a live dump of a running guest. The objects that @setup points to
 * must outlive the result. Returns NULL, with @errp set and without side
 * effects, if a live dump is not possible. Main thread with the BQL held.
 */
DumpLive *dump_live_new(const DumpLiveSetup *setup, Error **errp);

/*
 * Take the snapshot. Returns the guest's state, to be freed before
 * dump_live_free; NULL, with @errp set, on failure or cancellation. Called by
 * the dump's thread, without the BQL.
 */
GuestState *dump_live_take(DumpLive *live, Error **errp);

/* The snapshot is no longer needed. Called by the dump's thread. */
void dump_live_end(DumpLive *live);

/* Why the snapshot is not consistent, or NULL. Valid after dump_live_end. */
const char *dump_live_broken(const DumpLive *live);

/* Must the guest be stopped now? BQL held. */
bool dump_live_holds_guest(const DumpLive *live);

/* Statistics, owned by the caller. BQL held. */
DumpLiveInfo *dump_live_describe(const DumpLive *live);

/*
 * Resume the guest if it was stopped again. NULL is allowed. Main thread with
 * the BQL held.
 */
void dump_live_free(DumpLive *live);

#endif
